package render

// The text report. Rules of the terminal:
//
//   - What matters most stands first: the verdict, then what spoils the whole
//     run (DNS trouble), then the checks; in a check the worst comes first.
//   - A line that starts with a status word in column one is a finding. The
//     words are Latin and four columns wide in every language. WAIV in the place
//     of a status is a finding that was accepted until a date.
//   - Colour repeats what a word or a sign says already; it never says anything
//     alone. Without colour the bytes are the same but for the escapes.
//   - Nothing is wider than the terminal but a word that cannot be cut. Records
//     wrap like sentences, carets wrap with them.
//   - What is to be published is whole and exact, in zone file syntax that can
//     be pasted; it may break over lines only as a zone file may.
//   - Every byte of a record, a name or an error went through package sanitize.
//     The escapes of colour are the only ones that this file writes.
//   - What is good takes one sentence. What is bad says: what, the record, what
//     happens to mail, who does what, what to publish, where it is laid down.
//   - Nothing is asked, no pager, no cursor: the report is a stream that can go
//     to a file.

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/fatih/color"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
)

// Bounds of what is shown without -v; hostile zones can hold thousands.
const (
	maxTrouble  = 6  // questions without an answer, on top
	maxEvidence = 6  // records per finding
	maxUnknown  = 6  // questions per finding
	recordLines = 6  // lines per record
	maxVerbose  = 60 // any of those with -v
	moreLines   = 24 // lines per record with -v
)

const margin = 6 // columns of the status word and the gap after it

type textReport struct {
	page
	r    *diag.Report
	cat  *i18n.Catalog
	o    Options
	said map[dnsq.Question]bool // questions without an answer that are on top
	// changes are the verified changes shown so far, with the finding they stand at.
	changes map[string]string
}

// runText writes the reports one below the other, or the diff.
func runText(w io.Writer, r *diag.Run, cat *i18n.Catalog, o Options) error {
	if r.Diffs != nil {
		return diffText(w, r, cat, o)
	}
	if len(r.Reports) > 1 {
		var b bytes.Buffer
		summary(&b, r.Reports, cat, o)
		b.WriteString("\n")
		if _, err := w.Write(b.Bytes()); err != nil {
			return err
		}
	}
	for i, rep := range r.Reports {
		if i > 0 {
			if _, err := io.WriteString(w, "\n"); err != nil {
				return err
			}
		}
		if err := Text(w, rep, cat, o); err != nil {
			return err
		}
	}
	return nil
}

// Text writes the report for a person at a terminal.
func Text(w io.Writer, r *diag.Report, cat *i18n.Catalog, o Options) error {
	t := &textReport{page: newPage(o), r: r, cat: cat, o: o, said: map[dnsq.Question]bool{}, changes: map[string]string{}}
	if o.Quiet {
		t.quiet()
	} else {
		t.head()
		t.trouble()
		for i := range r.Checks {
			t.check(&r.Checks[i])
		}
		t.foot()
	}
	_, err := w.Write(t.Bytes())
	return err
}

func newPage(o Options) page {
	full := o.Width
	if full == 0 {
		full = 80
	}
	full = min(max(full, 40), 200)
	return page{st: newStyle(o.Color), prose: min(full, 100), full: full}
}

// say, dim and loud make spans of our own text or of the catalog's, which is
// sanitised.
func (p *page) say(s string) span  { return span{text: s, style: p.st.plain} }
func (p *page) dim(s string) span  { return span{text: s, style: p.st.faint} }
func (p *page) loud(s string) span { return span{text: s, style: p.st.bold} }
func (p *page) solid(s span) span  { s.solid = true; return s }
func (p *page) narrow() bool       { return p.prose < 60 }
func (p *page) pad(n int)          { p.WriteString(strings.Repeat(" ", max(n, 0))) }
func (t *textReport) limit(n int) int {
	if t.o.Verbose {
		return maxVerbose
	}
	return n
}

func (p *page) status(s diag.Status) {
	p.put(span{text: word(s), style: p.st.status[s]})
	p.pad(margin - 4)
}

// head says what was looked at, from where, and the verdict.
func (t *textReport) head() {
	t.para(0, t.loud(t.cat.Value("", title(&t.r.Target))))
	t.newline()
	var rows [][2]string
	for _, r := range headRows(t.r, t.cat, t.limit(8)) {
		rows = append(rows, [2]string{t.cat.T("head."+r.key, nil), plainText(r.value)})
	}
	t.table(2, rows)
	t.newline()
	t.verdict()
}

// table sets rows of a label and a text.
func (p *page) table(indent int, rows [][2]string) {
	wide := 0
	for _, r := range rows {
		wide = max(wide, columns(r[0]))
	}
	for _, r := range rows {
		p.pad(indent)
		p.put(p.dim(r[0]))
		p.pad(wide - columns(r[0]) + 2)
		p.para(indent+wide+2, p.say(r[1]))
	}
}

func (t *textReport) verdict() {
	s := VerdictStatus(t.r)
	if s == diag.Info {
		s = diag.Pass // over a whole report INFO would read as a doubt
	}
	t.status(s)
	t.para(margin, span{text: Verdict(t.r, t.cat), style: t.st.status[s]})
}

// trouble says once, on top, what went wrong with DNS for several checks: one
// question that they share, or several questions with one cause (a server that
// is not there, the network). Findings that rest on nothing else are short
// then.
func (t *textReport) trouble() {
	groups := troubleGroups(t.r)
	if len(groups) == 0 {
		return
	}
	t.newline()
	t.para(0, t.loud(t.cat.T("trouble.head", nil)))
	for i, g := range groups {
		if i == t.limit(maxTrouble) {
			t.pad(margin)
			t.para(margin, t.say(t.cat.T("trouble.more", diag.Args{"n": len(groups) - i})))
			break
		}
		var questions []string
		for _, e := range g.errs {
			t.said[e.Question] = true
			questions = append(questions, e.Question.String())
		}
		e := *g.errs[0]
		what := t.cat.Value("question", questions)
		t.status(diag.Inconclusive)
		t.para(margin, append(t.unansweredAs(what, &e), t.dim(" · "+t.cat.T("trouble.needed", diag.Args{"checks": g.checks})))...)
	}
	t.detail("fix", t.say(troubleFix(groups, t.cat)))
}

// troubleFix is what to do about questions without an answer.
func troubleFix(groups []*troubleGroup, cat *i18n.Catalog) string {
	if slices.ContainsFunc(groups, func(g *troubleGroup) bool { return dnssecBroken(g.errs) }) {
		return cat.T("trouble.fix.dnssec", nil)
	}
	switch groups[0].errs[0].Reason {
	case dnsq.Offline:
		return cat.T("trouble.fix.offline", nil)
	case dnsq.OverDue:
		return cat.T("trouble.fix.budget", nil)
	case dnsq.Delegated:
		return cat.T("trouble.fix.delegated", nil)
	}
	return cat.T("trouble.fix", nil)
}

// dnssecBroken reports whether a resolver said that it could not validate: it
// got an answer and threw it away. Codes 6 to 12 of RFC 8914 §4.
func dnssecBroken(errs []*dnsq.Error) bool {
	for _, e := range errs {
		if e == nil {
			continue
		}
		for _, s := range e.EDE {
			code, _, _ := strings.Cut(s, " ")
			if n, err := strconv.Atoi(strings.TrimSuffix(code, ":")); err == nil && n >= 6 && n <= 12 {
				return true
			}
		}
	}
	return false
}

// A troubleGroup is questions without an answer for one reason, from one server.
type troubleGroup struct {
	errs   []*dnsq.Error
	checks []string
}

// troubleGroups are the groups that touch several checks, and what was not in the
// files: its remedy is the command line's, not that of the finding.
func troubleGroups(r *diag.Report) []*troubleGroup {
	type cause struct {
		reason dnsq.Reason
		server string
		ede    string
	}
	byCause := map[cause]*troubleGroup{}
	var order []*troubleGroup
	for _, tr := range r.Trouble {
		if tr.Err == nil {
			continue
		}
		c := cause{tr.Err.Reason, tr.Err.Server, strings.Join(tr.Err.EDE, "\n")}
		g := byCause[c]
		// SERVFAIL is about the name that was asked: two of them are two causes.
		if g == nil || tr.Err.Reason == dnsq.ServFail {
			g = &troubleGroup{}
			byCause[c] = g
			order = append(order, g)
		}
		g.errs = append(g.errs, tr.Err)
		for _, name := range tr.Checks {
			if !slices.Contains(g.checks, name) {
				g.checks = append(g.checks, name)
			}
		}
	}
	place := map[string]int{}
	for i := range r.Checks {
		place[r.Checks[i].Check.Name] = i
	}
	for _, g := range order {
		slices.SortStableFunc(g.checks, func(a, b string) int { return place[a] - place[b] })
	}
	return slices.DeleteFunc(order, func(g *troubleGroup) bool {
		return len(g.checks) < 2 && g.errs[0].Reason != dnsq.Offline
	})
}

// unanswered is a question, why it got no answer, and who was asked.
func (t *textReport) unanswered(e *dnsq.Error) []span {
	return t.unansweredAs(t.cat.Value("question", e.Question.String()), e)
}

func (t *textReport) unansweredAs(what string, e *dnsq.Error) []span {
	out := []span{t.say(what + ": " + t.cat.Value("reason", string(e.Reason)))}
	if e.Server != "" {
		out = append(out, t.dim(" · "+t.cat.T("trouble.server", diag.Args{"server": e.Server})))
	}
	for i, s := range e.EDE {
		if i == 3 {
			break
		}
		out = append(out, t.dim(" · EDE "+t.cat.Value("", s)))
	}
	if e.Detail != "" && (t.o.Verbose || e.Reason == dnsq.Malformed || e.Reason == dnsq.Delegated) {
		out = append(out, t.dim(" · "+t.cat.Value("", e.Detail)))
	}
	return out
}

// heading is the name of a check, a rule, and its status.
func (t *textReport) heading(c *diag.CheckReport) {
	title := c.Check.Name
	if d := t.cat.Check(c.Check.Name); d != nil {
		title = d.Title
		if !strings.HasPrefix(strings.ToLower(title), c.Check.Name) {
			title = c.Check.Name + ": " + title
		}
	}
	// What is unknown without harm does not count for the run; over a section
	// that says nothing else it is the word for it all the same.
	shown := c.Status
	for i := range c.Findings {
		switch f := &c.Findings[i]; {
		case shown == diag.Skip && f.Waived != nil:
			shown = diag.Info // something was found, but nothing that counts
		case shown == diag.Skip && f.Kind.Harmless:
			shown = f.Kind.Status
		}
	}
	title = sanitize.Text(title)
	room := t.prose - 4 - 2 - 2 // status word, blanks, two columns of rule
	if columns(title) > room {
		title = cond.Truncate(title, room, "…")
	}
	t.newline()
	t.put(t.loud(title), t.say(" "), t.dim(strings.Repeat("─", t.prose-columns(title)-6)), t.say(" "),
		span{text: word(shown), style: t.st.status[shown]})
	t.newline()
	if t.o.Verbose {
		t.pad(margin)
		t.para(margin, t.dim(t.cat.N("check.cost", c.Queries, diag.Args{"ms": int(c.Duration.Milliseconds())})))
	}
}

func (t *textReport) check(c *diag.CheckReport) {
	if c.Check == nil {
		return
	}
	t.heading(c)
	t.newline()
	if c.Panic != "" {
		t.crash(c)
	}
	fs := worstFirst(c)
	if len(fs) == 0 && c.Panic == "" {
		t.pad(margin)
		t.para(margin, t.dim(t.cat.T("foot.none", nil)))
	}
	for i, f := range fs {
		full := t.o.Verbose || f.Kind.Status >= diag.Warn && f.Waived == nil && !f.Known
		if i > 0 && (full || fs[i-1].Kind.Status >= diag.Warn) {
			t.newline()
		}
		t.finding(f, full)
	}
	if tr, ok := c.Data.(diag.Treer); ok && (t.o.Verbose || tr.ShowTree()) {
		t.tree(c.Check.Name, tr.Tree())
	}
	if ro, ok := c.Data.(diag.Router); ok {
		t.route(c.Check.Name, ro.Route())
	}
}

// crash shows that todoku, not the mail, is at fault. The stack is for -v; its
// first line may hold text of a record.
func (t *textReport) crash(c *diag.CheckReport) {
	t.status(diag.Inconclusive)
	t.para(margin, t.loud(t.cat.T("check.crashed", nil)))
	for i, l := range strings.Split(c.Panic, "\n") {
		if i > 0 && !t.o.Verbose || i == maxVerbose {
			break
		}
		// Tabs of a stack are indents, not hostile.
		l = strings.ReplaceAll(l, "\t", "  ")
		lines, _ := record(l, 0, 0, t.full-margin, recordLines)
		for _, rl := range lines {
			t.pad(margin)
			t.put(t.say(rl.text))
			t.newline()
		}
	}
}

func (t *textReport) finding(f *diag.Finding, full bool) { t.findingWith(f, full, func() {}) }

// findingWith is finding with more to show behind the records.
func (t *textReport) findingWith(f *diag.Finding, full bool, more func()) {
	if f.Waived != nil {
		t.put(t.dim(waivedWord))
		t.pad(margin - 4)
	} else {
		t.status(f.Kind.Status)
	}
	t.para(margin, t.say(t.cat.Message(f)+" "), t.solid(t.dim("["+f.Kind.ID+"]")))
	switch {
	case f.Waived != nil:
		t.waiver(f)
	case f.Known:
		t.detail("known", t.say(t.cat.T("known.baseline", nil)))
	}
	if !full {
		return
	}
	t.evidence(f)
	more()
	t.unknown(f)
	if t.explainedOnTop(f) && !t.o.Verbose {
		return
	}
	if why := t.cat.Why(f); why != "" {
		t.detail("effect", t.say(why))
	}
	fix := t.cat.Fix(f)
	if dnssecBroken(f.Unknown) {
		fix = t.cat.T("trouble.fix.dnssec", nil)
	}
	if fix != "" {
		var spans []span
		if o := f.Who(); o != diag.Nobody {
			spans = append(spans, t.loud(t.cat.T("fix.who", diag.Args{"owner": t.owner(o)})+" "))
		}
		t.detail("fix", append(spans, t.say(fix))...)
	}
	t.fixes(f)
	var see []span
	for i, r := range f.Kind.Refs {
		if i > 0 {
			see = append(see, t.dim(", "))
		}
		see = append(see, t.solid(t.dim(sanitize.Text(r.String()))))
	}
	if len(see) > 0 {
		see = append(see, t.dim(" · "))
	}
	t.detail("see", append(see, t.solid(t.dim(t.cat.T("explain.command", diag.Args{"id": f.Kind.ID}))))...)
}

func (t *textReport) owner(o diag.Owner) string {
	if k := "owner." + string(o); t.cat.Has(k) {
		return t.cat.T(k, nil)
	}
	return sanitize.Text(string(o))
}

// labels are those of details, in the order of a finding.
var labels = []string{"waived", "known", "record", "changed", "unknown", "effect", "fix", "change", "see"}

// detail sets a labelled paragraph.
func (t *textReport) detail(key string, spans ...span) {
	l, col := t.cat.T("label."+key, nil), t.column()
	if t.narrow() {
		t.pad(2)
		t.put(t.dim(l), t.say("  "))
		t.hang(2+columns(l)+2, col, spans...)
		return
	}
	t.pad(margin)
	t.put(t.dim(l))
	t.pad(col - margin - columns(l))
	t.para(col, spans...)
}

// column is where the texts of details start: right of the labels, or, on a
// narrow terminal, where a column of labels would leave too little room, below
// them.
func (t *textReport) column() int {
	if t.narrow() {
		return 4
	}
	wide := 0
	for _, k := range labels {
		wide = max(wide, columns(t.cat.T("label."+k, nil)))
	}
	return margin + wide + 2
}

func (t *textReport) evidence(f *diag.Finding) {
	for i, e := range f.Evidence {
		if i == t.limit(maxEvidence) {
			t.detail("record", t.dim(t.cat.N("more.evidence", len(f.Evidence)-i, nil)))
			break
		}
		t.record(&e)
	}
}

// record shows one piece of evidence: whose it is, where it stands, its text,
// and carets under the part at fault.
func (t *textReport) record(e *diag.Evidence) {
	head := t.cat.Value("", e.Name)
	if e.Type != "" {
		head += " " + t.cat.Value("", e.Type)
	}
	where := ""
	switch {
	case e.File != "" && e.Line > 0:
		where = fmt.Sprintf("%s:%d", sanitize.Text(e.File), e.Line)
	case e.File != "":
		where = sanitize.Text(e.File)
	case e.Source != "" && t.cat.Has("source."+string(e.Source)):
		where = t.cat.T("source."+string(e.Source), nil)
	}
	if where != "" {
		where = " (" + where + ")"
	}
	t.detail("record", t.say(head), t.dim(where))
	col := t.column()
	most := recordLines
	if t.o.Verbose {
		most = moreLines
	}
	lines, cut := evidenceLines(e, t.full-col, most)
	for _, l := range lines {
		t.pad(col)
		t.put(t.say(l.text))
		t.newline()
		if l.carets != "" {
			t.pad(col)
			t.put(span{text: l.carets, style: t.st.caret})
			t.newline()
		}
	}
	if cut {
		t.pad(col)
		t.para(col, t.dim("("+t.cat.T("cut", diag.Args{"n": len(e.Text)})+")"))
	}
}

// explainedOnTop reports whether all that a finding rests on is DNS trouble
// that stands on top with its remedy.
func (t *textReport) explainedOnTop(f *diag.Finding) bool { return explained(f, t.said) }

// explained reports whether all that a finding rests on is questions whose
// trouble is said already.
func explained(f *diag.Finding, said map[dnsq.Question]bool) bool {
	return f.Kind.Status == diag.Inconclusive && len(f.Unknown) > 0 &&
		!slices.ContainsFunc(f.Unknown, func(e *dnsq.Error) bool { return e == nil || !said[e.Question] })
}

// saidOnTop are the questions of trouble that is said once for several checks.
func saidOnTop(groups []*troubleGroup, most int) map[dnsq.Question]bool {
	said := map[dnsq.Question]bool{}
	for i, g := range groups {
		if i == most {
			break
		}
		for _, e := range g.errs {
			said[e.Question] = true
		}
	}
	return said
}

// unknown lists the questions without an answer that are not on top already.
func (t *textReport) unknown(f *diag.Finding) {
	var list []*dnsq.Error
	for _, e := range f.Unknown {
		if e == nil || t.said[e.Question] {
			continue
		}
		// The message names its question and reason; once is enough.
		named := e.Question.String() == f.Args["question"] && string(e.Reason) == f.Args["reason"]
		if named && e.Server == t.r.Server && len(e.EDE) == 0 && e.Reason != dnsq.Malformed && !t.o.Verbose {
			continue
		}
		list = append(list, e)
	}
	for i, e := range list {
		if i == t.limit(maxUnknown) {
			t.detail("unknown", t.dim(t.cat.N("more.unknown", len(list)-i, nil)))
			break
		}
		t.detail("unknown", t.unanswered(e)...)
	}
}

// fixes shows what to change: each fix, whether it was tried, and its edits.
func (t *textReport) fixes(f *diag.Finding) {
	for i, x := range f.Fixes {
		var spans []span
		if len(f.Fixes) > 1 {
			spans = append(spans, t.loud(t.cat.T("fix.choice", diag.Args{"n": i + 1})), t.dim(" · "))
		}
		if x.Owner != diag.Nobody && x.Owner != f.Who() {
			spans = append(spans, t.loud(t.cat.T("fix.who", diag.Args{"owner": t.owner(x.Owner)})+" "))
		}
		if x.Verified {
			spans = append(spans, span{text: t.cat.T("fix.verified", nil), style: t.st.come})
		} else {
			spans = append(spans, t.say(Unverified(t.cat, x.Unverified)))
		}
		// One change often mends several findings: it is shown with the first.
		key := fmt.Sprint(x.Edits)
		if id, shown := t.changes[key]; shown && x.Verified {
			spans = append(spans, t.dim(" · "), t.say(t.cat.T("fix.same", diag.Args{"id": id})))
			t.detail("change", spans...)
			continue
		}
		if x.Verified {
			t.changes[key] = f.Kind.ID
		}
		t.detail("change", spans...)
		col := t.column()
		for _, e := range x.Edits {
			t.edit(col, '-', t.st.gone, e.Name, e.Type, e.Old)
			t.edit(col, '+', t.st.come, e.Name, e.Type, e.New)
		}
	}
}

// Unverified says why a fix was not verified, sanitised: see diag.Fix.
func Unverified(cat *i18n.Catalog, why []string) string {
	return plainText(unverifiedPieces(cat, why))
}

func unverifiedPieces(cat *i18n.Catalog, why []string) []i18n.Piece {
	var ids, questions []string
	refused := ""
	for _, s := range why {
		if s == "not-tried" {
			continue
		}
		if e, ok := strings.CutPrefix(s, "edit:"); ok {
			refused = strings.TrimSpace(e)
		} else if q, ok := strings.CutPrefix(s, "inconclusive:"); ok {
			if q = strings.TrimSpace(q); !slices.Contains(questions, q) {
				questions = append(questions, q)
			}
		} else {
			ids = append(ids, s)
		}
	}
	var out [][]i18n.Piece
	if len(ids) > 0 {
		out = append(out, cat.TPieces("fix.stays", diag.Args{"ids": ids}))
	}
	if len(questions) > 0 {
		out = append(out, cat.TPieces("fix.unknown", diag.Args{"questions": questions}))
	}
	if refused != "" {
		out = append(out, cat.TPieces("fix.refused", diag.Args{"why": refused}))
	}
	if len(out) == 0 {
		out = append(out, cat.TPieces("fix.untried", nil))
	}
	return append(cat.TPieces("fix.unverified", nil), slices.Concat(between(out, cat.T("clause.sep", nil))...)...)
}

// edit shows a record that goes or comes. One that comes is always whole.
func (t *textReport) edit(col int, sign rune, c *color.Color, name, typ, data string) {
	if data == "" {
		return
	}
	lines := zoneRecord(name, typ, data, t.full-col-2)
	const most = 12
	if sign == '-' && len(lines) > most {
		gone := t.cat.T("cut", diag.Args{"n": len(data)})
		lines = slices.Concat(lines[:most/2], []string{"… (" + gone + ")"}, lines[len(lines)-2:])
	}
	for _, l := range lines {
		t.pad(col)
		t.put(span{text: string(sign) + " " + l, style: c})
		t.newline()
	}
}

func (t *textReport) quiet() {
	t.verdict()
	for i := range t.r.Checks {
		for _, f := range worstFirst(&t.r.Checks[i]) {
			if f.Weight() >= diag.Inconclusive {
				t.finding(f, false)
			}
		}
	}
}

// foot counts: findings of each status, questions, time.
func (t *textReport) foot() {
	spans := t.counts(t.r, t.cat)
	facts := []string{t.cat.N("foot.questions", t.r.Queries, nil),
		t.cat.T("foot.time", diag.Args{"seconds": fmt.Sprintf("%.2f", t.r.Duration.Seconds())})}
	if t.r.Version != "" {
		facts = append(facts, t.cat.T("foot.version", diag.Args{"version": t.r.Version}))
	}
	for i, f := range facts {
		if i > 0 {
			spans = append(spans, t.dim(" · "))
		}
		spans = append(spans, t.solid(t.dim(f)))
	}
	t.newline()
	t.put(t.dim(strings.Repeat("─", t.prose)))
	t.newline()
	t.para(0, spans...)
}
