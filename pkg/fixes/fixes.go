// Package fixes writes a plan of DNS changes (diag.Plan) in the syntax of the
// tools that people keep their records with: zone files, as lines to paste or as
// a unified diff of the very files; octoDNS; dnscontrol; and JSON for programs.
//
// Only edits that were tried, and as the set that they are, stand there as
// edits. Everything else is a comment: what each edit mends, what would do as
// well, what is left, and the questions that only a person can answer. Comments
// are in the reader's language; like everything from records they go through
// package sanitize, so that no text of a stranger ends a comment or a string.
package fixes

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/orgdomain"
	"github.com/todoku-mail/todoku/pkg/render"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
	"github.com/todoku-mail/todoku/pkg/zone"
)

// An Input is what there is to write.
type Input struct {
	Plan *diag.Plan
	// Sets are the record sets that the plan's edits change: see [Sets].
	Sets []Set
	// Zones are the zone files that the edits are made in; nil if there are none.
	Zones *zone.Set
	// Bump is the time for serials, as in [zone.Set.Edit].
	Bump    time.Time
	Version string // of todoku
}

// A Format is one way to write a plan.
type Format struct {
	Name  string // the value of --fix
	Write func(w io.Writer, in *Input, cat *i18n.Catalog) error
}

// Formats lists every format.
var Formats = []Format{
	{"zone", writeZone},
	{"json", writeJSON},
	{"octodns", writeOctoDNS},
	{"dnscontrol", writeDNSControl},
}

// Lookup is the format of that name.
func Lookup(name string) (Format, bool) {
	for _, f := range Formats {
		if f.Name == name {
			return f, true
		}
	}
	return Format{}, false
}

// A Set is the records of one name and type, before and after the edits.
type Set struct {
	Name string
	Type dnsq.Type
	// Zone is the zone that the name is in, canonical.
	Zone          string
	Before, After []dnsq.RR
	// TTL in seconds, of Before. Exact says that it comes from a zone file; what
	// a resolver answers may have been counted down.
	TTL   uint32
	Exact bool
	// Err: what is there could not be learnt, so the set cannot be written whole.
	Err error
}

// Sets asks under what the edits change, each name and type once, in order of
// zone, name and type. zones say where zones begin; what is in none of them is
// looked up by its SOA record (RFC 1034 §4.2), or if that cannot be learnt, taken
// to be in the domain that is registered.
func Sets(ctx context.Context, under dnsq.Resolver, zones *zone.Set, edits []diag.Edit) ([]Set, error) {
	patched, err := zone.Patch(under, edits)
	if err != nil {
		return nil, err
	}
	var out []Set
	for _, e := range edits {
		rr, err := zone.RecordOf(e.Name, e.Type, anyOf(e.New, e.Old))
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out, func(s Set) bool { return s.Name == rr.Name && s.Type == rr.Type }) {
			continue
		}
		s := Set{Name: rr.Name, Type: rr.Type, Zone: zoneOf(ctx, under, zones, rr.Name)}
		q := dnsq.Question{Name: rr.Name, Type: rr.Type}
		before, err1 := under.Ask(ctx, q)
		after, err2 := patched.Ask(ctx, q)
		switch {
		case err1 != nil:
			s.Err = err1
		case err2 != nil:
			s.Err = err2
		default:
			// What an alias leads to are the records of another name.
			if len(before.Chain) == 0 {
				s.Before = before.RRs
			}
			if len(after.Chain) == 0 {
				s.After = after.RRs
			}
			if len(s.Before) > 0 {
				s.TTL, s.Exact = s.Before[0].TTL, before.Source == dnsq.SourceZone
			}
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b Set) int {
		if c := strings.Compare(a.Zone, b.Zone); c != 0 {
			return c
		}
		if c := strings.Compare(label(a.Name, a.Zone), label(b.Name, b.Zone)); c != 0 {
			return c
		}
		return strings.Compare(a.Type.String(), b.Type.String())
	})
	return out, nil
}

func anyOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// zoneOf is the zone that name is in.
func zoneOf(ctx context.Context, r dnsq.Resolver, zones *zone.Set, name string) string {
	best := ""
	if zones != nil {
		for _, z := range zones.Zones() {
			if dnsq.AtOrBelow(name, z.Origin) && (best == "" || len(z.Origin) > len(best)) {
				best = z.Origin
			}
		}
	}
	if best != "" {
		return best
	}
	for n := name; n != "."; n = dnsq.Parent(n) {
		a, err := r.Ask(ctx, dnsq.Question{Name: n, Type: dnsq.TypeSOA})
		if err != nil {
			break
		}
		if a.Outcome == dnsq.Found && len(a.Chain) == 0 {
			return n
		}
	}
	if org, ok := orgdomain.PSL(name); ok {
		return org
	}
	return name
}

// label is name relative to its zone; "" for the zone's own name.
func label(name, zone string) string {
	switch {
	case name == zone:
		return ""
	case zone == "." || !dnsq.AtOrBelow(name, zone):
		return name
	}
	return name[:len(name)-len(zone)-1]
}

// A notes writes comments: lines that start with mark.
type notes struct {
	strings.Builder
	mark string
	cat  *i18n.Catalog
}

const columns = 78

// line writes a comment of one line, which was sanitised or is ours.
func (n *notes) line(text string) {
	n.WriteString(strings.TrimRight(n.mark+" "+sanitize.Text(text), " "))
	n.WriteByte('\n')
}

// say writes a comment, in as many lines as it takes; those behind the first
// are indented.
func (n *notes) say(text string) {
	for i, l := range render.Wrap(text, columns-len(n.mark)-3) {
		if i > 0 {
			l = "  " + l
		}
		n.line(l)
	}
}

func (n *notes) T(key string, args diag.Args) { n.say(n.cat.T(key, args)) }

// head says what the text is, what the edits mend and what would do as well.
func (n *notes) head(in *Input) {
	p := in.Plan
	n.T("fixes.head", diag.Args{"domain": p.Target.Domain, "version": in.Version})
	if len(p.Steps) == 0 {
		n.T("fixes.none", nil)
		return
	}
	before, after := p.Before.Counts(), p.After.Counts()
	n.T("fixes.tried", diag.Args{"fail": before[diag.Fail], "warn": before[diag.Warn],
		"failnow": after[diag.Fail], "warnnow": after[diag.Warn]})
	for _, s := range p.Steps {
		n.line("")
		n.say(n.cat.T("fixes.mends", diag.Args{"id": s.Finding.Kind.ID}) + n.cat.Message(&s.Finding))
		for i := range s.Gone {
			n.say(n.cat.T("fixes.mends.too", diag.Args{"id": s.Gone[i].Kind.ID}) + n.cat.Message(&s.Gone[i]))
		}
		for _, x := range s.Others {
			n.T("fixes.instead", diag.Args{"id": s.Finding.Kind.ID})
			n.edits(x.Edits)
		}
	}
}

// edits writes edits as comments.
func (n *notes) edits(edits []diag.Edit) {
	for _, e := range edits {
		remove, add, err := zone.FormatEdit(e)
		if err != nil {
			continue // it was tried, so it can be read
		}
		if remove != "" {
			n.line("    - " + remove)
		}
		if add != "" {
			n.line("    + " + add)
		}
	}
}

// left says what the edits do not mend, who acts, and asks what only a person
// can answer.
func (n *notes) left(in *Input) {
	p := in.Plan
	if p.More {
		n.line("")
		n.T("fixes.more", nil)
	}
	if open := p.After.Decisive()[diag.Inconclusive]; open > 0 {
		n.line("")
		n.say(n.cat.N("fixes.open", open, nil))
		if len(p.Left) == 0 {
			return
		}
	}
	if len(p.Left) == 0 {
		if len(p.Steps) > 0 && !p.More {
			n.line("")
			n.T("fixes.left.none", nil)
		}
		return
	}
	n.line("")
	n.T("fixes.left", nil)
	for i := range p.Left {
		l := &p.Left[i]
		f := &l.Finding
		n.line("")
		owner := ""
		if o := f.Who(); o != diag.Nobody {
			owner = " (" + n.cat.T("owner."+string(o), nil) + ")"
		}
		n.say(f.Kind.ID + owner + ": " + n.cat.Message(f))
		for _, x := range l.Tried {
			n.say(render.Unverified(n.cat, x.Unverified))
			n.edits(x.Edits)
		}
		if ask := n.cat.Ask(f); ask != "" {
			n.say(n.cat.T("fixes.ask", nil) + ask)
		} else if fix := n.cat.Fix(f); fix != "" && len(l.Tried) == 0 {
			n.say(fix)
		}
	}
}
