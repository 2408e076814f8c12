// Package engine runs checks over a target and verifies the fixes they
// propose. It knows no single check: order, names and kinds come from the list
// it is handed.
//
// All checks start at once. What they share they pull as facts (package facts)
// from one [diag.World], so there is no plan and no scheduler: whoever needs a
// fact first learns it, the others wait for it. A check that returns an error
// or panics costs one inconclusive finding, never another check's findings.
// Output order is the list's order, so the same answers give the same report.
package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/zone"
)

// Config is what a run needs beside its target.
type Config struct {
	Checks []*diag.Check
	// Others are checks that the report leaves out, but that no fix may make
	// worse: Verify and Plan run them too.
	Others   []*diag.Check
	Resolver dnsq.Resolver    // with its cache: Run and Verify share it
	Now      func() time.Time // the clock of the run; nil is time.Now
	Version  string
	Server   string // which resolver was asked, for the head of the report
	// Try says which findings' fixes Verify tries; nil: all.
	Try func(*diag.Finding) bool
	// Parallel is how many targets of RunAll or Diff run at a time; 0 is 8.
	Parallel int
}

func (c *Config) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

// Run runs every check that applies to t and returns a complete report, also when
// ctx ends: what was not learnt by then is inconclusive. Started and Duration are
// wall time.
func Run(ctx context.Context, c Config, t diag.Target) *diag.Report {
	c.Checks = slices.DeleteFunc(slices.Clone(c.Checks), func(ch *diag.Check) bool { return ch.Run == nil || !ch.Applies(&t) })
	started := c.now()
	begin := time.Now()
	w := diag.NewWorld(ctx, c.Resolver, c.now)
	r := &diag.Report{Version: c.Version, Started: started, Server: c.Server, Target: t,
		Checks: make([]diag.CheckReport, len(c.Checks))}
	views := make([]*diag.Job, len(c.Checks))
	var before *diag.World
	if t.Before != nil {
		before = diag.NewWorld(ctx, t.Before, c.now)
	}
	var wg sync.WaitGroup
	for i, ch := range c.Checks {
		job := diag.NewJob(ch, &r.Target, w)
		if before != nil {
			job.LookBack(before)
		}
		views[i] = job
		wg.Go(func() { r.Checks[i] = runOne(ctx, ch, job) })
	}
	wg.Wait()
	moot(r, started)
	r.Duration = time.Since(begin)

	all := map[dnsq.Question]bool{}
	trouble := map[dnsq.Question]*diag.Trouble{}
	var order []*diag.Trouble
	for i, job := range views {
		r.Checks[i].Asked = job.Questions()
		for _, q := range r.Checks[i].Asked {
			all[q] = true
		}
		for _, e := range job.Unanswered() {
			tr := trouble[e.Question]
			if tr == nil {
				tr = &diag.Trouble{Err: e}
				trouble[e.Question] = tr
				order = append(order, tr)
			}
			tr.Checks = append(tr.Checks, c.Checks[i].Name)
		}
	}
	r.Queries = len(all)
	slices.SortStableFunc(order, func(a, b *diag.Trouble) int { return a.Err.Question.Compare(b.Err.Question) })
	for _, tr := range order {
		r.Trouble = append(r.Trouble, *tr)
	}
	return r
}

// RunAll runs every target, tries the fixes, lets mark say what of it is waived
// or known (nil: nothing), and has that reviewed. Targets run at the same time,
// c.Parallel of them; their reports are in the order of the targets. Each has the
// budget of questions of one.
func RunAll(ctx context.Context, c Config, targets []diag.Target, mark func([]*diag.Report)) *diag.Run {
	begin := time.Now()
	out := &diag.Run{Version: c.Version, Started: c.now(), Server: c.Server, Reports: make([]*diag.Report, len(targets))}
	c.each(targets, func(i int, t diag.Target) {
		c := c
		if len(targets) > 1 {
			// A hostile domain must not use up what is there for all.
			c.Resolver = dnsq.Budget(0, c.Resolver)
		}
		out.Reports[i] = Run(ctx, c, t)
		Verify(ctx, c, out.Reports[i])
	})
	if mark != nil {
		mark(out.Reports)
	}
	for _, r := range out.Reports {
		Review(ctx, c, r)
	}
	out.Duration = time.Since(begin)
	if len(out.Reports) == 1 {
		out.Duration = out.Reports[0].Duration
	}
	return out
}

// defaultParallel is how many targets run at a time: enough that one which waits
// for DNS does not hold up the rest, few enough that a thousand domains do not
// open a thousand times the questions of one.
const defaultParallel = 8

// each does something with every target, Parallel of them at a time, and waits.
func (c *Config) each(targets []diag.Target, do func(i int, t diag.Target)) {
	n := c.Parallel
	if n <= 0 {
		n = defaultParallel
	}
	slots := make(chan struct{}, n)
	var wg sync.WaitGroup
	for i, t := range targets {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			do(i, t)
		})
	}
	wg.Wait()
}

// Rounds is how many times the targets that run at the same time fit into n: by
// so much longer than one may all of them take.
func Rounds(n int) int { return max(1, (n+defaultParallel-1)/defaultParallel) }

// moot takes out what other checks say about a subject that one check has found
// to be beside the point, such as a domain that does not exist: one clear
// finding, not twenty that follow from it. A check that is left out by the
// person moots nothing, so each check still judges on its own; nor does a finding
// that is waived: what was accepted must not hide what was not.
func moot(r *diag.Report, now time.Time) {
	type verdict struct {
		check   *diag.Check
		subject string
	}
	var moots []verdict
	for i := range r.Checks {
		for j := range r.Checks[i].Findings {
			f := &r.Checks[i].Findings[j]
			waived := slices.ContainsFunc(r.Target.Waivers, func(w diag.Waiver) bool { return w.InForce(now) && w.Covers(f) })
			if f.Kind.Moots && !waived {
				moots = append(moots, verdict{r.Checks[i].Check, f.Subject})
			}
		}
	}
	for _, m := range moots {
		for i := range r.Checks {
			cr := &r.Checks[i]
			if cr.Check == m.check || cr.Check.Skipped == nil {
				continue
			}
			kept := slices.DeleteFunc(slices.Clone(cr.Findings), func(f diag.Finding) bool {
				return dnsq.AtOrBelow(f.Subject, m.subject)
			})
			if len(kept) == len(cr.Findings) {
				continue
			}
			cr.Findings = append(kept, diag.Finding{Kind: cr.Check.Skipped, Subject: m.subject, Args: diag.Args{"missing": "domain"}})
			cr.Weigh()
		}
	}
}

// Review runs the checks that are about what the others said, and adds what they
// say to the report. It comes after [Run], [Verify] and whatever marks findings.
func Review(ctx context.Context, c Config, r *diag.Report) {
	for _, ch := range c.Checks {
		if ch.Review == nil || !ch.Applies(&r.Target) {
			continue
		}
		reviewer := *ch
		reviewer.Run = func(_ context.Context, j *diag.Job) error {
			ch.Review(j, r)
			return nil
		}
		w := diag.NewWorld(ctx, c.Resolver, func() time.Time { return r.Started })
		cr := runOne(ctx, &reviewer, diag.NewJob(ch, &r.Target, w))
		cr.Check = ch
		r.Checks = append(r.Checks, cr)
	}
}

// runOne runs one check to its end, whatever happens inside it.
func runOne(ctx context.Context, ch *diag.Check, job *diag.Job) (cr diag.CheckReport) {
	begin := time.Now()
	cr.Check = ch
	undetermined := func(question, reason string, unknown ...*dnsq.Error) diag.Finding {
		return diag.Finding{Kind: ch.Undetermined, Subject: job.Target.Domain,
			Args: diag.Args{"question": question, "reason": reason}, Unknown: unknown}
	}
	err := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				stack := debug.Stack()
				if pe, ok := p.(*diag.PanicError); ok {
					p, stack = pe.Value, pe.Stack
				}
				cr.Panic = fmt.Sprintf("%v\n%s", p, stack)
				err = errors.New("panic")
			}
		}()
		return ch.Run(ctx, job)
	}()
	cr.Findings, cr.Data = job.Result()
	var de *dnsq.Error
	switch {
	case err == nil && len(cr.Findings) > 0:
	case err == nil:
		// A check that says nothing has not done its work: never a pass.
		cr.Panic = fmt.Sprintf("check %s reported nothing", ch.Name)
		cr.Findings = append(cr.Findings, undetermined("-", "internal"))
	case errors.As(err, &de):
		cr.Findings = append(cr.Findings, undetermined(de.Question.String(), string(de.Reason), de))
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		cr.Findings = append(cr.Findings, undetermined("-", string(dnsq.OverDue)))
	default:
		if cr.Panic == "" {
			cr.Panic = err.Error()
		}
		cr.Findings = append(cr.Findings, undetermined("-", "internal"))
	}
	cr.Weigh()
	// A resolver that panicked met its asker as an error (World.Ask): what could
	// not be learnt is inconclusive, and todoku is broken all the same.
	for _, e := range job.Unanswered() {
		var pe *diag.PanicError
		if cr.Panic == "" && errors.As(e, &pe) {
			cr.Panic = fmt.Sprintf("while asking for %s: %v\n%s", e.Question, pe.Value, pe.Stack)
		}
	}
	cr.Queries = job.Queries()
	cr.Duration = time.Since(begin)
	return cr
}

// Verify tries every fix of the report: its edits are laid over the DNS and
// all checks run again, those in Others too. A fix is verified only if
//   - its finding is gone,
//   - no finding of status fail is there that was not there before,
//   - no check's status is worse than before,
//   - and nothing became inconclusive, but for what is harmless (diag.Kind).
//
// A record that was hidden behind a worse fault may come to light with a
// warning; that is not worse. Where a finding has a verified fix, fixes that
// are not are dropped; otherwise they stay, with the reason in Unverified.
// The answers come from the cache, so a fix costs only the questions that its
// record newly asks. At most [MaxTries] fixes are tried, and none after ctx has
// ended; the rest stay, as not tried.
func Verify(ctx context.Context, c Config, r *diag.Report) {
	tr := &trial{c: c, left: MaxTries}
	tr.start(ctx, r)
	for i := range r.Checks {
		for j := range r.Checks[i].Findings {
			f := &r.Checks[i].Findings[j]
			for k := range f.Fixes {
				x := &f.Fixes[k]
				x.Verified, x.Unverified = false, []string{"not-tried"}
				if c.Try != nil && !c.Try(f) {
					continue
				}
				_, x.Unverified = tr.try(ctx, f, x.Edits)
				x.Verified = len(x.Unverified) == 0
			}
			f.Fixes = best(f.Fixes)
		}
	}
}

// best are the verified fixes if there are any, each once; else all.
func best(fixes []diag.Fix) []diag.Fix {
	var out []diag.Fix
	for _, x := range fixes {
		if x.Verified && !slices.ContainsFunc(out, func(o diag.Fix) bool { return slices.Equal(o.Edits, x.Edits) }) {
			out = append(out, x)
		}
	}
	if out == nil {
		return fixes
	}
	return out
}

// MaxTries is how many fixes of a report are tried: each is a run of every
// check, and a hostile record can have thousands of faults.
const MaxTries = 60

// Try is [Run] as if edits were published: laid over the DNS, and made in the zone
// files of the target. An edit that cannot be made is an error.
func Try(ctx context.Context, c Config, t diag.Target, edits []diag.Edit) (*diag.Report, error) {
	patched, err := zone.Patch(c.Resolver, edits)
	if err != nil {
		return nil, err
	}
	c.Resolver = patched
	t.Zones = t.Zones.After(edits)
	return Run(ctx, c, t), nil
}

// A trial lays edits over the DNS and compares what all checks say then with
// what they said before.
type trial struct {
	c      Config
	left   int          // how many more edits may be tried
	made   []diag.Edit  // edits that are part of what was before
	before *diag.Report // with the findings of Others
	known  map[string]bool
	status map[string]diag.Status // by check
}

// start sets what was before. r is a report without the findings of Others.
func (tr *trial) start(ctx context.Context, r *diag.Report) {
	fixes := false
	for i := range r.Checks {
		for j := range r.Checks[i].Findings {
			f := &r.Checks[i].Findings[j]
			fixes = fixes || len(f.Fixes) > 0 && (tr.c.Try == nil || tr.c.Try(f))
		}
	}
	if len(tr.c.Others) > 0 && fixes {
		tr.c.Checks = slices.Concat(tr.c.Checks, tr.c.Others)
		r = Run(ctx, tr.c, r.Target)
	}
	tr.from(r)
}

func (tr *trial) from(r *diag.Report) {
	tr.before, tr.known, tr.status = r, map[string]bool{}, map[string]diag.Status{}
	for i := range r.Checks {
		tr.status[r.Checks[i].Check.Name] = r.Checks[i].Status
		for j := range r.Checks[i].Findings {
			tr.known[r.Checks[i].Findings[j].Fingerprint()] = true
		}
	}
}

// try runs all checks with edits made, and says why they cannot be called
// verified: see diag.Fix.Unverified. after is nil if nothing was run.
func (tr *trial) try(ctx context.Context, f *diag.Finding, edits []diag.Edit) (after *diag.Report, why []string) {
	if tr.left--; tr.left < 0 || ctx.Err() != nil || len(edits) == 0 {
		return nil, []string{"not-tried"}
	}
	fp := f.Fingerprint()
	if !tr.known[fp] { // what Others say makes it moot
		for i := range tr.before.Checks {
			for j := range tr.before.Checks[i].Findings {
				if k := tr.before.Checks[i].Findings[j].Kind; k.Moots {
					why = append(why, k.ID)
				}
			}
		}
		if why == nil {
			why = []string{"not-tried"}
		}
		return nil, why
	}
	all, err := zone.Compose(tr.made, edits)
	if err != nil {
		return nil, []string{"edit: " + err.Error()}
	}
	if after, err = Try(ctx, tr.c, tr.before.Target, all); err != nil {
		return nil, []string{"edit: " + err.Error()}
	}
	gone := true
	for i := range after.Checks {
		cr := &after.Checks[i]
		worse := cr.Status > tr.status[cr.Check.Name]
		for j := range cr.Findings {
			g := &cr.Findings[j]
			switch p := g.Fingerprint(); {
			case p == fp:
				gone = false
			case tr.known[p], g.Kind.Harmless:
			case g.Kind.Status == diag.Inconclusive && len(g.Unknown) > 0:
				for _, e := range g.Unknown {
					why = append(why, "inconclusive:"+e.Question.String())
				}
			case g.Kind.Status == diag.Fail,
				g.Kind.Status == diag.Inconclusive,
				worse && g.Kind.Status == cr.Status:
				why = append(why, g.Kind.ID)
			}
		}
	}
	if !gone {
		why = append([]string{f.Kind.ID}, why...)
	}
	return after, why
}
