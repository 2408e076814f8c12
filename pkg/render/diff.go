package render

// The text of a diff. What breaks stands first, each fault with the records that
// changed, before and after; then what could not be decided; then what is fixed;
// then in one line what was wrong before too; last the other changed records.

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
)

// Bounds of what a diff shows without -v.
const (
	maxChanges = 12 // changed records that no finding rests on
	maxDomains = 6  // names in the head
)

// DiffStatus is what a diff comes to: fail or warn if the change brings such a
// finding, inconclusive if it cannot be said whether it does, else pass.
func DiffStatus(r *diag.Run) diag.Status {
	s := diag.Pass
	for _, d := range r.Diffs {
		if d.New.Broken() || d.Old.Broken() {
			s = max(s, diag.Inconclusive)
		}
		for i := range d.Pairs {
			s = max(s, PairStatus(&d.Pairs[i]))
		}
	}
	return s
}

// PairStatus is how much a pair counts against a change: the weight of a new
// finding; inconclusive for one of weight that may be new; else pass.
func PairStatus(p *diag.Pair) diag.Status {
	if p.New == nil {
		return diag.Pass
	}
	w := p.New.Weight()
	switch {
	case p.New.Known || w < diag.Warn, p.Change == diag.Unchanged, p.Change == diag.Fixed:
		return diag.Pass
	case p.Change == diag.Undecided:
		return diag.Inconclusive
	}
	return w
}

// DiffVerdict is the diff in a sentence or two, sanitised.
func DiffVerdict(r *diag.Run, cat *i18n.Catalog) string {
	return plainText(diffVerdictPieces(r, cat))
}

func diffVerdictPieces(r *diag.Run, cat *i18n.Catalog) []i18n.Piece {
	n := map[diag.Status]int{}
	broken := map[string]bool{}
	crashed := false
	waived := 0
	for _, d := range r.Diffs {
		crashed = crashed || d.New.Broken() || d.Old.Broken()
		for i := range d.Pairs {
			if p := &d.Pairs[i]; p.New != nil && p.New.Waived != nil && p.Change != diag.Unchanged {
				waived++
			}
			s := PairStatus(&d.Pairs[i])
			n[s]++
			if s == diag.Fail {
				broken[d.Target.Domain] = true
			}
		}
	}
	var say [][]i18n.Piece
	switch {
	case n[diag.Fail] > 0:
		var names []string
		for _, d := range r.Diffs {
			if broken[d.Target.Domain] {
				names = append(names, d.Target.Domain)
			}
		}
		say = append(say, cat.NPieces("diff.verdict.fail", n[diag.Fail], diag.Args{"domains": somePieces(names, maxDomains, cat)}))
		if n[diag.Inconclusive] > 0 {
			say = append(say, cat.NPieces("diff.verdict.more", n[diag.Inconclusive], nil))
		}
	case n[diag.Inconclusive] > 0:
		say = append(say, cat.NPieces("diff.verdict.inconclusive", n[diag.Inconclusive], nil))
	case n[diag.Warn] > 0:
		say = append(say, cat.NPieces("diff.verdict.warn", n[diag.Warn], nil))
	case crashed:
	case len(r.Changes) == 0:
		say = append(say, cat.TPieces("diff.verdict.same", nil))
	default:
		say = append(say, cat.TPieces("diff.verdict.pass", nil))
	}
	if waived > 0 {
		say = append(say, cat.NPieces("verdict.waived", waived, nil))
	}
	if crashed {
		say = append(say, cat.TPieces("verdict.broken", nil))
	}
	if cat.Lang() == "ja" {
		return slices.Concat(say...)
	}
	return slices.Concat(between(say, " ")...)
}

// some is a list of names, at most n of them.
func some(names []string, n int, cat *i18n.Catalog) string {
	return plainText(somePieces(names, n, cat))
}

func somePieces(names []string, n int, cat *i18n.Catalog) []i18n.Piece {
	if len(names) > n {
		return append(cat.ValuePieces(nil, "", names[:n]), i18n.Piece{Text: cat.T("list.more", diag.Args{"n": len(names) - n})})
	}
	return cat.ValuePieces(nil, "", names)
}

// Duration is a time in the unit that people would use, sanitised: "1 h".
func Duration(d time.Duration, cat *i18n.Catalog) string {
	return cat.Duration(int(d / time.Second))
}

// When says when a changed record is seen and how long a mistake in it lasts.
func When(c *diag.RecordChange, cat *i18n.Catalog) string {
	var say []string
	switch {
	case c.Seen < 0:
		say = append(say, cat.T("diff.seen.unknown", nil))
	case len(c.Old) == 0:
		say = append(say, cat.T("diff.seen.absent", diag.Args{"time": Duration(c.Seen, cat)}))
	case c.SeenAtLeast:
		say = append(say, cat.T("diff.seen.least", diag.Args{"time": Duration(c.Seen, cat)}))
	default:
		say = append(say, cat.T("diff.seen", diag.Args{"time": Duration(c.Seen, cat)}))
	}
	if c.Stays >= 0 {
		say = append(say, cat.T("diff.stays", diag.Args{"time": Duration(c.Stays, cat)}))
	}
	if cat.Lang() == "ja" {
		return strings.Join(say, "")
	}
	return strings.Join(say, " ")
}

type textDiff struct {
	textReport
	run   *diag.Run
	shown map[int]string    // changed records that are on the page, with the ID they stand at
	told  map[string]string // findings that are on the page, by fingerprint, with the domain they stand at
}

func diffText(w io.Writer, r *diag.Run, cat *i18n.Catalog, o Options) error {
	t := &textDiff{run: r, shown: map[int]string{}, told: map[string]string{}}
	t.page, t.cat, t.o = newPage(o), cat, o
	t.reset(&diag.Report{})
	s := DiffStatus(r)
	verdict := func() {
		t.status(s)
		t.para(margin, span{text: DiffVerdict(r, cat), style: t.st.status[s]})
	}
	if o.Quiet {
		verdict()
		t.each(func(d *diag.Diff, p *diag.Pair) {
			if PairStatus(p) >= diag.Inconclusive {
				t.finding(p.New, false)
			}
		})
		_, err := w.Write(t.Bytes())
		return err
	}
	t.diffHead()
	verdict()
	// Harmless and minor things do not break anything; they are shown if asked for.
	t.section("diff.new", func(p *diag.Pair) bool { s := PairStatus(p); return s == diag.Fail || s == diag.Warn }, t.broken)
	t.section("diff.undecided", func(p *diag.Pair) bool { return PairStatus(p) == diag.Inconclusive }, t.broken)
	t.section("diff.fixed", func(p *diag.Pair) bool { return p.Change == diag.Fixed && p.Old.Weight() >= diag.Warn }, t.fixed)
	if o.Verbose {
		t.section("diff.other", func(p *diag.Pair) bool {
			return p.Change != diag.Unchanged && p.Finding().Weight() < diag.Warn
		}, t.other)
	}
	t.unchanged()
	t.changes()
	t.diffFoot()
	_, err := w.Write(t.Bytes())
	return err
}

// reset begins the findings of another report: what that report says on top, or
// has said, is about it alone.
func (t *textDiff) reset(r *diag.Report) {
	t.r, t.said, t.textReport.changes = r, map[dnsq.Question]bool{}, map[string]string{}
}

func (t *textDiff) diffHead() {
	t.para(0, t.loud(t.cat.T("diff.head", nil)))
	t.newline()
	var names []string
	for _, d := range t.run.Diffs {
		names = append(names, d.Target.Domain)
	}
	n := maxDomains
	if t.o.Verbose {
		n = len(names)
	}
	rows := [][2]string{
		{t.cat.T("diff.before", nil), sanitize.Text(t.run.Before)},
		{t.cat.T("diff.after", nil), sanitize.Text(t.run.After)},
		{t.cat.T("diff.domains", nil), some(names, n, t.cat)},
	}
	if len(t.run.Diffs) == 1 {
		if tg := &t.run.Diffs[0].Target; len(tg.IPs) > 0 {
			rows = append(rows, [2]string{t.cat.T("head.ip", nil), ipList(tg, t.cat, t.limit(8))})
		}
	}
	if t.run.Server != "" {
		rows = append(rows, [2]string{t.cat.T("head.server", nil), t.cat.Value("", t.run.Server)})
	}
	t.table(2, rows)
	t.newline()
}

func (t *textDiff) each(do func(*diag.Diff, *diag.Pair)) {
	for _, d := range t.run.Diffs {
		order := make([]*diag.Pair, len(d.Pairs))
		for i := range d.Pairs {
			order[i] = &d.Pairs[i]
		}
		// The worst first, else in the order of the checks.
		slices.SortStableFunc(order, func(a, b *diag.Pair) int {
			return int(b.Finding().Kind.Status) - int(a.Finding().Kind.Status)
		})
		for _, p := range order {
			do(d, p)
		}
	}
}

// section shows the pairs for which which holds, under a heading for each domain.
func (t *textDiff) section(key string, which func(*diag.Pair) bool, show func(*diag.Diff, *diag.Pair)) {
	var at *diag.Diff
	t.each(func(d *diag.Diff, p *diag.Pair) {
		if !which(p) {
			return
		}
		if d != at {
			at = d
			title := t.cat.T(key, diag.Args{"domain": d.Target.Domain})
			if columns(title) > t.prose-4 {
				title = cond.Truncate(title, t.prose-4, "…")
			}
			t.newline()
			t.put(t.loud(title), t.say(" "), t.dim(strings.Repeat("─", max(t.prose-columns(title)-1, 0))))
			t.newline()
			if p.New != nil {
				t.reset(d.New)
				if key == "diff.undecided" {
					t.trouble()
				}
			}
		}
		show(d, p)
	})
}

// broken shows a finding that is new, or may be, and what changed behind it.
func (t *textDiff) broken(d *diag.Diff, p *diag.Pair) {
	t.newline()
	// One fault may touch many domains: a record that they share.
	fp := p.New.Fingerprint()
	if at, ok := t.told[fp]; ok && !t.o.Verbose {
		t.status(p.New.Kind.Status)
		t.para(margin, t.say(t.cat.Message(p.New)+" "), t.solid(t.dim("["+p.New.Kind.ID+"]")),
			t.dim(" · "+t.cat.T("diff.told", diag.Args{"domain": at})))
		return
	}
	t.told[fp] = d.Target.Domain
	f := *p.New
	// The records that changed are shown before and after; the finding shows the
	// others, and a place in a record that it points at.
	f.Evidence = slices.DeleteFunc(slices.Clone(f.Evidence), func(e diag.Evidence) bool {
		return e.Length == 0 && slices.ContainsFunc(p.Changes, func(i int) bool {
			return t.run.Changes[i].Name == e.Name && t.run.Changes[i].Type == e.Type
		})
	})
	t.findingWith(&f, true, func() {
		for n, i := range p.Changes {
			if n == t.limit(maxEvidence) {
				t.detail("changed", t.dim(t.cat.N("more.evidence", len(p.Changes)-n, nil)))
				break
			}
			t.changedRecord(i, f.Kind.ID)
		}
		if p.Change == diag.Undecided && p.Old == nil {
			if open := openQuestions(d.Old, p.Check); open != nil {
				t.detail("unknown", t.say(t.cat.T("diff.why.undecided", diag.Args{"questions": open})))
			} else {
				t.detail("unknown", t.say(t.cat.T("diff.why.undecided.check", nil)))
			}
		}
	})
}

// openQuestions are the questions that a check got no answer to.
func openQuestions(r *diag.Report, c *diag.Check) []string {
	var out []string
	for i := range r.Checks {
		if r.Checks[i].Check != c {
			continue
		}
		for j := range r.Checks[i].Findings {
			for _, e := range r.Checks[i].Findings[j].Unknown {
				if q := e.Question.String(); !slices.Contains(out, q) && len(out) < maxUnknown {
					out = append(out, q)
				}
			}
		}
	}
	return out
}

func (t *textDiff) changedRecord(i int, id string) {
	c := &t.run.Changes[i]
	head := t.cat.Value("", c.Name) + " " + sanitize.Text(c.Type)
	if at, ok := t.shown[i]; ok {
		t.detail("changed", t.say(head), t.dim(" · "+t.cat.T("fix.same", diag.Args{"id": at})))
		return
	}
	t.shown[i] = id
	t.detail("changed", t.say(head), t.dim(t.where(c)))
	col := t.column()
	t.sides(col, c)
	t.pad(col)
	t.para(col, t.dim(When(c, t.cat)))
}

// sides shows the records that went and those that came.
func (t *textDiff) sides(col int, c *diag.RecordChange) {
	both := func(list []diag.Evidence, e diag.Evidence) bool {
		return slices.ContainsFunc(list, func(o diag.Evidence) bool { return o.Text == e.Text })
	}
	for _, e := range c.Old {
		if !both(c.New, e) {
			t.edit(col, '-', t.st.gone, e.Name, e.Type, e.Text)
		}
	}
	for _, e := range c.New {
		if !both(c.Old, e) {
			t.edit(col, '+', t.st.come, e.Name, e.Type, e.Text)
		} else if len(c.New) > 1 {
			t.edit(col, ' ', t.st.faint, e.Name, e.Type, e.Text)
		}
	}
}

// where is the file and line of what came, or else of what went.
func (t *textDiff) where(c *diag.RecordChange) string {
	for _, side := range [][]diag.Evidence{c.New, c.Old} {
		for _, e := range side {
			if e.File != "" && e.Line > 0 {
				return fmt.Sprintf(" (%s:%d)", sanitize.Text(e.File), e.Line)
			}
		}
	}
	return ""
}

func (t *textDiff) fixed(_ *diag.Diff, p *diag.Pair) {
	t.put(span{text: "GONE", style: t.st.status[diag.Pass]})
	t.pad(margin - 4)
	t.para(margin, t.say(t.cat.Message(p.Old)+" "), t.solid(t.dim("["+p.Old.Kind.ID+"]")))
}

func (t *textDiff) other(_ *diag.Diff, p *diag.Pair) {
	if p.New == nil {
		t.fixed(nil, p)
		return
	}
	t.finding(p.New, false)
}

// unchanged says in a line what was wrong before too; with -v, what that is.
func (t *textDiff) unchanged() {
	n := map[diag.Status]int{}
	for _, d := range t.run.Diffs {
		for i := range d.Pairs {
			if p := &d.Pairs[i]; p.Change == diag.Unchanged {
				n[p.New.Weight()]++
			}
		}
	}
	var what []string
	for _, s := range []diag.Status{diag.Fail, diag.Warn, diag.Inconclusive} {
		if n[s] > 0 {
			what = append(what, t.cat.N("diff.count."+s.String(), n[s], nil))
		}
	}
	if what == nil {
		return
	}
	t.newline()
	t.para(0, t.say(t.cat.T("diff.unchanged", diag.Args{"what": what})))
	if t.o.Verbose {
		t.section("diff.unchanged.head", func(p *diag.Pair) bool {
			return p.Change == diag.Unchanged && p.New.Weight() >= diag.Warn
		}, t.other)
	}
}

// changes lists the changed records that no finding above rests on.
func (t *textDiff) changes() {
	rest := 0
	for i := range t.run.Changes {
		if _, ok := t.shown[i]; !ok {
			rest++
		}
	}
	if rest == 0 {
		return
	}
	t.newline()
	t.para(0, t.loud(t.cat.T("diff.changes", nil)))
	n := 0
	for i := range t.run.Changes {
		c := &t.run.Changes[i]
		if _, ok := t.shown[i]; ok {
			continue
		}
		if n++; n > maxChanges && !t.o.Verbose {
			t.para(2, t.dim("  "+t.cat.N("more.evidence", rest-maxChanges, nil)))
			break
		}
		t.newline()
		t.pad(2)
		t.para(2, t.say(t.cat.Value("", c.Name)+" "+sanitize.Text(c.Type)), t.dim(t.where(c)))
		t.sides(4, c)
		t.pad(4)
		t.para(4, t.dim(When(c, t.cat)))
	}
}

func (t *textDiff) diffFoot() {
	n := map[diag.Change]int{}
	for _, d := range t.run.Diffs {
		for i := range d.Pairs {
			switch p := &d.Pairs[i]; {
			case PairStatus(p) == diag.Inconclusive:
				n[diag.Undecided]++ // under that heading, new or not
			case p.Finding().Weight() < diag.Warn, p.Change == diag.Undecided:
			default:
				n[p.Change]++
			}
		}
	}
	var spans []span
	for i, c := range diag.Changes {
		if i > 0 {
			spans = append(spans, t.dim(" · "))
		}
		spans = append(spans, t.solid(t.say(t.cat.N("diff.change."+string(c), n[c], nil))))
	}
	spans = append(spans, t.dim(" · "), t.solid(t.dim(t.cat.T("foot.time", diag.Args{"seconds": fmt.Sprintf("%.2f", t.run.Duration.Seconds())}))))
	t.newline()
	t.put(t.dim(strings.Repeat("─", t.prose)))
	t.newline()
	t.para(0, spans...)
}
