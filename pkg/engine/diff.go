package engine

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/zone"
)

// A Side is one of the two states of the DNS that a diff compares.
type Side struct {
	Resolver dnsq.Resolver
	// Prepare sets what only this side knows of a target, such as what its zone
	// files say; nil: nothing.
	Prepare func(*diag.Target)
}

// Diff runs every check on both sides for each target and says what became of
// each finding. c.Resolver does not matter; the sides should stand on one cache,
// so that only the questions in which they differ are asked twice.
//
// Findings are paired by fingerprint. When is one new, and when is it not known?
//
//   - A check that asks no question whose answer differs between the sides comes
//     to the same result on both, whatever it could not learn: all its findings
//     are unchanged.
//   - In a check that does, a finding of one side alone is new, or fixed, unless
//     the check could not find out everything on the other side: then the finding
//     may have been hidden there, and is undecided. It is new all the same if it
//     rests on records that the old side certainly does not have, since they are
//     part of the fingerprint.
//   - A finding of the old side in whose place there is a worse one, or another
//     fault, is not called fixed: it may be hidden, and is undecided.
//   - What could not be found out on both sides is undecided too in such a check:
//     behind it the change may have broken something.
//
// Good findings, and those that a check did not look, are not paired. Fixes are
// tried for what is new or undecided.
func Diff(ctx context.Context, c Config, old, new Side, targets []diag.Target) *diag.Run {
	begin := time.Now()
	d := &differ{old: old.Resolver, new: new.Resolver, same: map[dnsq.Question]bool{}, at: map[[2]string]int{}}
	run := &diag.Run{Version: c.Version, Started: c.now(), Diffs: make([]*diag.Diff, len(targets))}
	c.each(targets, func(i int, t diag.Target) { run.Diffs[i] = d.run(ctx, c, old, new, t) })
	d.describe(ctx, run)
	run.Duration = time.Since(begin)
	return run
}

// A differ is the state of one Diff.
type differ struct {
	old, new dnsq.Resolver
	mu       sync.Mutex
	same     map[dnsq.Question]bool
	at       map[[2]string]int // place in Run.Changes by name and type
}

func (d *differ) run(ctx context.Context, c Config, old, new Side, t diag.Target) *diag.Diff {
	side := func(s Side, before dnsq.Resolver) *diag.Report {
		t, c := t, c
		t.Before = before
		if s.Prepare != nil {
			s.Prepare(&t)
		}
		c.Resolver = s.Resolver
		return Run(ctx, c, t)
	}
	out := &diag.Diff{Target: t}
	var wg sync.WaitGroup
	wg.Go(func() { out.Old = side(old, nil) })
	out.New = side(new, old.Resolver)
	wg.Wait()
	d.pair(ctx, out)
	fresh := map[string]bool{}
	for i := range out.Pairs {
		if p := &out.Pairs[i]; p.New != nil && p.Change != diag.Unchanged {
			fresh[p.New.Fingerprint()] = true
		}
	}
	if len(fresh) > 0 {
		c.Resolver = new.Resolver
		c.Try = func(f *diag.Finding) bool { return fresh[f.Fingerprint()] }
		Verify(ctx, c, out.New)
	}
	return out
}

// differs reports whether the sides answer q differently.
func (d *differ) differs(ctx context.Context, q dnsq.Question) bool {
	d.mu.Lock()
	same, ok := d.same[q]
	d.mu.Unlock()
	if !ok {
		a, errA := d.old.Ask(ctx, q)
		b, errB := d.new.Ask(ctx, q)
		if errA != nil || errB != nil {
			same = errA != nil && errB != nil && dnsq.AsError(q, errA).Reason == dnsq.AsError(q, errB).Reason
		} else {
			same = a.Outcome == b.Outcome && slices.Equal(a.Chain, b.Chain) && slices.Equal(contents(a), contents(b))
		}
		d.mu.Lock()
		d.same[q] = same
		d.mu.Unlock()
	}
	return !same
}

// contents are the records of an answer, in no order that a server chose.
func contents(a *dnsq.Answer) []string {
	out := make([]string, len(a.RRs))
	for i := range a.RRs {
		out[i] = zone.FormatData(a.RRs[i])
	}
	slices.Sort(out)
	return out
}

// pair sets out.Pairs.
func (d *differ) pair(ctx context.Context, out *diag.Diff) {
	for i := range out.New.Checks {
		after := &out.New.Checks[i]
		var before *diag.CheckReport
		for j := range out.Old.Checks {
			if out.Old.Checks[j].Check == after.Check {
				before = &out.Old.Checks[j]
			}
		}
		if before == nil { // it does not apply to the old side
			before = &diag.CheckReport{Check: after.Check}
		}
		d.pairCheck(ctx, out, before, after)
	}
}

func (d *differ) pairCheck(ctx context.Context, out *diag.Diff, before, after *diag.CheckReport) {
	changed := map[dnsq.Question]bool{}
	for _, asked := range [][]dnsq.Question{before.Asked, after.Asked} {
		for _, q := range asked {
			if d.differs(ctx, q) {
				changed[q] = true
			}
		}
	}
	old := map[string][]*diag.Finding{}
	for i := range before.Findings {
		f := &before.Findings[i]
		old[f.Fingerprint()] = append(old[f.Fingerprint()], f)
	}
	add := func(c diag.Change, o, n *diag.Finding) {
		p := diag.Pair{Change: c, Check: after.Check, Old: o, New: n}
		if p.Finding().Kind.Status >= diag.Info {
			out.Pairs = append(out.Pairs, p)
		}
	}
	for i := range after.Findings {
		f := &after.Findings[i]
		fp := f.Fingerprint()
		var o *diag.Finding
		if l := old[fp]; len(l) > 0 {
			o, old[fp] = l[0], l[1:]
		}
		open := f.Kind.Status == diag.Inconclusive
		switch {
		case o != nil && open && len(changed) > 0:
			add(diag.Undecided, o, f)
		case o != nil:
			add(diag.Unchanged, o, f)
		case !open && unsure(before) && !d.surelyNew(ctx, f):
			add(diag.Undecided, nil, f)
		default:
			add(diag.New, nil, f)
		}
	}
	for i := range before.Findings {
		f := &before.Findings[i]
		if l := old[f.Fingerprint()]; len(l) == 0 || l[0] != f {
			continue
		}
		old[f.Fingerprint()] = old[f.Fingerprint()][1:]
		if unsure(after) || mooted(after, f) || d.replaced(out, after.Check, f) {
			add(diag.Undecided, f, nil)
		} else {
			add(diag.Fixed, f, nil)
		}
	}
}

// unsure reports whether a check could not find out everything.
func unsure(c *diag.CheckReport) bool {
	return c.Panic != "" || slices.ContainsFunc(c.Findings, func(f diag.Finding) bool { return f.Kind.Status == diag.Inconclusive })
}

// mooted reports whether a check does not say what it found about the subject of
// f because another finding puts it beside the point: then f is not fixed.
func mooted(c *diag.CheckReport, f *diag.Finding) bool {
	return slices.ContainsFunc(c.Findings, func(g diag.Finding) bool {
		return g.Kind == c.Check.Skipped && g.Args["missing"] == "domain" && dnsq.AtOrBelow(f.Subject, g.Subject)
	})
}

// replaced reports whether a fault as bad as f, or anything worse, is new about its
// subject: then f may only be hidden behind that, and is not fixed.
func (d *differ) replaced(out *diag.Diff, c *diag.Check, f *diag.Finding) bool {
	return slices.ContainsFunc(out.Pairs, func(p diag.Pair) bool {
		return p.Check == c && p.Old == nil && p.New.Subject == f.Subject &&
			(p.New.Kind.Status > f.Kind.Status || p.New.Kind.Status == diag.Fail)
	})
}

// surelyNew reports whether the old side cannot have had f, whatever it did not
// learn.
func (d *differ) surelyNew(ctx context.Context, f *diag.Finding) bool {
	for _, e := range f.Evidence {
		t, err := dnsq.ParseType(e.Type)
		if err != nil {
			continue // a part of a message, not a record
		}
		a, err := d.old.Ask(ctx, dnsq.Q(e.Name, t))
		if err == nil && a.Outcome != dnsq.Found {
			return true // name and type of evidence are part of the fingerprint
		}
	}
	return false
}

// describe lists the records that differ, and ties the findings to them.
func (d *differ) describe(ctx context.Context, run *diag.Run) {
	var changed []dnsq.Question
	for q, same := range d.same {
		if !same {
			changed = append(changed, q)
		}
	}
	slices.SortFunc(changed, dnsq.Question.Compare)
	for _, q := range changed {
		d.change(ctx, run, q)
	}
	slices.SortFunc(run.Changes, func(a, b diag.RecordChange) int {
		return dnsq.Question.Compare(changeKey(&a), changeKey(&b))
	})
	for i := range run.Changes {
		d.at[[2]string{run.Changes[i].Name, run.Changes[i].Type}] = i
	}
	for _, diff := range run.Diffs {
		for i := range diff.Pairs {
			d.tie(ctx, diff, &diff.Pairs[i], run)
		}
	}
}

func changeKey(c *diag.RecordChange) dnsq.Question {
	t, _ := dnsq.ParseType(c.Type)
	return dnsq.Question{Name: c.Name, Type: t}
}

// change adds the record sets in which the answers to q differ. Where a chain of
// aliases leads elsewhere that is the alias, not what it leads to.
func (d *differ) change(ctx context.Context, run *diag.Run, q dnsq.Question) {
	a, errA := d.old.Ask(ctx, q)
	b, errB := d.new.Ask(ctx, q)
	if errA != nil || errB != nil {
		return // what could not be learnt is a finding of its own
	}
	i := 0
	for i < len(a.Chain) && i < len(b.Chain) && a.Chain[i] == b.Chain[i] {
		i++
	}
	owner := q.Name
	if i > 0 {
		owner = a.Chain[i-1]
	}
	if len(a.Chain) == i && len(b.Chain) == i {
		d.add(run, owner, q.Type, a, b)
		return
	}
	alias := dnsq.Question{Name: owner, Type: dnsq.TypeCNAME}
	ca, errA := d.old.Ask(ctx, alias)
	cb, errB := d.new.Ask(ctx, alias)
	if errA == nil && errB == nil {
		d.add(run, owner, dnsq.TypeCNAME, ca, cb)
	}
	// An alias in place of records, or the other way round.
	none := func(x *dnsq.Answer) *dnsq.Answer { y := *x; y.RRs = nil; return &y }
	switch {
	case len(a.Chain) == i && len(a.RRs) > 0:
		d.add(run, owner, q.Type, a, none(b))
	case len(b.Chain) == i && len(b.RRs) > 0:
		d.add(run, owner, q.Type, none(a), b)
	}
}

func (d *differ) add(run *diag.Run, name string, t dnsq.Type, a, b *dnsq.Answer) {
	key := [2]string{name, t.String()}
	if _, ok := d.at[key]; ok || len(a.RRs) == 0 && len(b.RRs) == 0 {
		return
	}
	d.at[key] = -1
	c := diag.RecordChange{Name: name, Type: t.String(), Old: records(a), New: records(b), Stays: -1,
		Seen: time.Duration(a.TTL) * time.Second, SeenAtLeast: a.Source != dnsq.SourceZone}
	if a.TTL == 0 && a.Outcome != dnsq.Found {
		c.Seen = -1 // an absence whose SOA did not come along
	}
	if len(b.RRs) > 0 {
		c.Stays = time.Duration(b.TTL) * time.Second
	}
	run.Changes = append(run.Changes, c)
}

func records(a *dnsq.Answer) []diag.Evidence {
	var out []diag.Evidence
	for i := range a.RRs {
		rr := &a.RRs[i]
		source := dnsq.SourceDNS // also in a replay, whose report is the same
		if rr.File != "" || a.Source == dnsq.SourceZone {
			source = dnsq.SourceZone
		}
		out = append(out, diag.Evidence{Name: rr.Name, Type: rr.Type.String(), Text: zone.EditText(*rr),
			Source: source, File: rr.File, Line: rr.Line})
	}
	slices.SortFunc(out, func(a, b diag.Evidence) int { return strings.Compare(a.Text, b.Text) })
	return out
}

// tie sets the changed records that a pair rests on: those of its evidence; if
// that holds none, those that its check asked for at or below its subject; and
// else all that its check asked for.
func (d *differ) tie(ctx context.Context, diff *diag.Diff, p *diag.Pair, run *diag.Run) {
	if p.Change == diag.Unchanged {
		return
	}
	var exact, near, far []int
	put := func(l []int, i int) []int {
		if slices.Contains(l, i) {
			return l
		}
		return append(l, i)
	}
	for _, f := range []*diag.Finding{p.New, p.Old} {
		if f == nil {
			continue
		}
		for _, e := range f.Evidence {
			if i, ok := d.at[[2]string{e.Name, e.Type}]; ok {
				exact = put(exact, i)
			}
		}
	}
	for _, r := range []*diag.Report{diff.New, diff.Old} {
		for i := range r.Checks {
			if r.Checks[i].Check != p.Check {
				continue
			}
			for _, q := range r.Checks[i].Asked {
				if !d.differs(ctx, q) {
					continue
				}
				for i := range run.Changes {
					c := &run.Changes[i]
					if c.Name != q.Name || c.Type != q.Type.String() && c.Type != "CNAME" {
						continue
					}
					far = put(far, i)
					if dnsq.AtOrBelow(c.Name, p.Finding().Subject) {
						near = put(near, i)
					}
				}
			}
		}
	}
	for _, l := range [][]int{exact, near, far} {
		if len(l) > 0 {
			slices.Sort(l)
			p.Changes = l
			return
		}
	}
}
