package render

import (
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
)

// An item is a finding of a run, with what formats that list findings need to
// know about it.
type item struct {
	target *diag.Target
	check  *diag.Check
	f      *diag.Finding
	change diag.Change // "" unless it is of a diff
	pair   *diag.Pair  // nil unless it is of a diff
	run    *diag.Run
}

// items are the findings of a run in its order: target by target, check by
// check. Those of a diff are those of both sides, each pair once.
func items(r *diag.Run) []item {
	var out []item
	for _, rep := range r.Reports {
		for i := range rep.Checks {
			c := &rep.Checks[i]
			if c.Check == nil {
				continue
			}
			for j := range c.Findings {
				out = append(out, item{target: &rep.Target, check: c.Check, f: &c.Findings[j], run: r})
			}
		}
	}
	for _, d := range r.Diffs {
		for i := range d.Pairs {
			p := &d.Pairs[i]
			if f := p.Finding(); f != nil && p.Check != nil {
				out = append(out, item{&d.Target, p.Check, f, p.Change, p, r})
			}
		}
	}
	return out
}

// counts reports whether the finding is one that people have to look at because
// of this run: it is neither accepted nor known, nor, in a diff, gone or there
// before.
func (it *item) counts() bool {
	return it.f.Waived == nil && !it.f.Known && it.change != diag.Fixed && it.change != diag.Unchanged
}

// weight is how bad an item is for this run; Skip if it does not count. In a diff
// it is what the exit code goes by ([PairStatus]).
func (it *item) weight() diag.Status {
	switch w := it.f.Weight(); {
	case !it.counts():
		return diag.Skip
	case it.pair == nil:
		return w
	}
	if s := PairStatus(it.pair); s > diag.Pass {
		return s
	}
	return diag.Skip
}

// lost reports whether the item is a fault that was there before, of which the
// new side of a diff could not find out.
func (it *item) lost() bool {
	return it.change == diag.Undecided && it.pair.New == nil && it.f.Weight() >= diag.Warn
}

// important puts first what matters most: what counts for this run, the worst
// first, else the order of the report.
func important(list []item) []item {
	list = slices.Clone(list)
	rank := func(it *item) int {
		n := 2 * int(it.f.Kind.Status)
		if it.counts() && !it.f.Kind.Harmless {
			n += 100
		}
		return n
	}
	slices.SortStableFunc(list, func(a, b item) int { return rank(&b) - rank(&a) })
	return list
}

// place is the line of a file that an item is about: of the zone file that
// holds its record, else in a diff that of the change which brought it, else the
// line that names its target. ok is false if the finding stands in no file, as
// with records of the live DNS.
func (it *item) place(o Options) (p diag.Place, ok bool) {
	for _, e := range it.f.Evidence {
		if e.File != "" && e.Line > 0 {
			return diag.Place{File: o.file(e.File), Line: e.Line}, true
		}
	}
	if e := it.brought(); e != nil {
		return diag.Place{File: o.file(e.File), Line: e.Line}, true
	}
	if n := it.target.Named; n.File != "" {
		return diag.Place{File: o.file(n.File), Line: max(n.Line, 1)}, true
	}
	return diag.Place{}, false
}

// brought is the record in a file that brought an item of a diff: one that it
// rests on, else the first that changed at or below its domain; nil if there is
// none.
func (it *item) brought() *diag.Evidence {
	if it.change != diag.New && it.change != diag.Undecided {
		return nil
	}
	inFile := func(c *diag.RecordChange) *diag.Evidence {
		for i := range c.New {
			if e := &c.New[i]; e.File != "" && e.Line > 0 {
				return e
			}
		}
		return nil
	}
	for _, n := range it.pair.Changes {
		if n >= 0 && n < len(it.run.Changes) {
			if e := inFile(&it.run.Changes[n]); e != nil {
				return e
			}
		}
	}
	for i := range it.run.Changes {
		if c := &it.run.Changes[i]; c.Name == it.target.Domain || strings.HasSuffix(c.Name, "."+it.target.Domain) {
			if e := inFile(c); e != nil {
				return e
			}
		}
	}
	return nil
}

// file is the name of a file from the folder of the repository, with slashes.
// GitHub and GitLab find a file by that name only, and GitHub refuses a whole
// SARIF file for one name that leads out of the repository or is a URI of
// another scheme: of a name from elsewhere the root and the ".." are left out.
func (o Options) file(name string) string {
	if name == "-" || name == "<stdin>" {
		return "stdin"
	}
	if o.Dir != "" && o.Root != "" {
		abs := name
		if !filepath.IsAbs(abs) {
			abs = filepath.Join(o.Dir, abs)
		}
		if rel, err := filepath.Rel(o.Root, abs); err == nil {
			name = rel
		}
	}
	name = name[len(filepath.VolumeName(name)):]
	name = strings.TrimPrefix(path.Clean("/"+filepath.ToSlash(name)), "/")
	if name == "" {
		return "stdin"
	}
	return name
}

// marks say, in the catalog's language, why an item does not count as others do:
// accepted, known before, or its place in a diff. None for an ordinary finding.
func marks(it *item, cat *i18n.Catalog) []i18n.Piece {
	var out [][]i18n.Piece
	if it.change != "" {
		out = append(out, cat.TPieces("change."+string(it.change), nil))
	}
	if w := it.f.Waived; w != nil {
		out = append(out, cat.TPieces("mark.waived", diag.Args{"date": []i18n.Piece{{Text: w.Expires.UTC().Format("2006-01-02")}}, "reason": w.Reason}))
	}
	if it.f.Known {
		out = append(out, cat.TPieces("mark.known", nil))
	}
	return slices.Concat(between(out, cat.T("clause.sep", nil))...)
}

// between puts a separator of ours between sentences.
func between(list [][]i18n.Piece, sep string) [][]i18n.Piece {
	var out [][]i18n.Piece
	for i, p := range list {
		if i > 0 {
			out = append(out, []i18n.Piece{{Text: sep}})
		}
		out = append(out, p)
	}
	return out
}

// plainText is pieces as plain text.
func plainText(list []i18n.Piece) string {
	var b strings.Builder
	for _, p := range list {
		b.WriteString(p.Text)
	}
	return b.String()
}

// ownerName is who has to act, as a reader calls them.
func ownerName(cat *i18n.Catalog, o diag.Owner) string {
	if k := "owner." + string(o); cat.Has(k) {
		return cat.T(k, nil)
	}
	return sanitize.Text(string(o))
}

// changeLines are the records that a fix takes away and puts there, in zone file
// syntax, with - and + before them.
func changeLines(x *diag.Fix, width int) []string {
	var out []string
	for _, e := range x.Edits {
		for _, side := range []struct{ sign, data string }{{"- ", e.Old}, {"+ ", e.New}} {
			if side.data == "" {
				continue
			}
			for _, l := range zoneRecord(e.Name, e.Type, side.data, width) {
				out = append(out, side.sign+l)
			}
		}
	}
	return out
}

// plain is a finding in sentences without markup: what it says, and who does
// what. They are sanitised.
func plain(it *item, cat *i18n.Catalog) []string {
	var out []string
	head := cat.Message(it.f)
	if m := marks(it, cat); m != nil {
		head += " (" + plainText(m) + ")"
	}
	out = append(out, head)
	if it.change == diag.Fixed || it.f.Kind.Status < diag.Warn {
		return out
	}
	if fix := cat.Fix(it.f); fix != "" {
		if o := it.f.Who(); o != diag.Nobody {
			fix = cat.T("fix.who", diag.Args{"owner": ownerName(cat, o)}) + " " + fix
		}
		out = append(out, fix)
	}
	for i := range it.f.Fixes {
		if x := &it.f.Fixes[i]; x.Verified {
			out = append(out, cat.T("label.change", nil)+" ("+cat.T("fix.verified", nil)+")")
			out = append(out, changeLines(x, 1<<16)...)
			break
		}
	}
	return out
}
