package render

// One HTML page that needs nothing else: no script, no font, no picture from
// elsewhere, and a policy (CSP) in its head that lets a browser fetch nothing. It
// can be sent by mail, kept, printed, and read on a phone and in the dark.
//
// Who runs the shop reads from the top: the verdict, then what to do and whom to
// ask. Who looks after the DNS finds with each finding the record with the part
// at fault marked, what to publish, and where it is laid down.
//
// Everything goes through html/template, which knows where in the page a value
// stands; what strangers wrote has gone through package sanitize before. Links
// lead to documents that the checks name, never to a value.

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
)

//go:embed html.tmpl
var htmlTemplate string

//go:embed html.css
var htmlStyle string

// htmlRecord is how many octets of a record are shown.
const htmlRecord = 2000

// htmlWidth is the columns of a record to publish; a narrow screen wraps it.
const htmlWidth = 72

var htmlPages = sync.OnceValues(func() (*template.Template, error) {
	// A template takes one value: texts of the frame and the finding go together.
	return template.New("page").Funcs(template.FuncMap{"pair": func(t func(string) string, f *htmlFinding) any {
		return struct {
			T func(string) string
			F *htmlFinding
		}{t, f}
	}}).Parse(htmlTemplate)
})

// htmlPolicy lets a page use its own style and nothing else.
var htmlPolicy = func() string {
	sum := sha256.Sum256([]byte(htmlStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
}()

type htmlPage struct {
	T       func(string) string
	Lang    string
	Title   string
	Style   template.CSS
	Policy  string
	Heading string
	Several bool
	Reports []*htmlReport
	Diff    *htmlDiff
	Foot    string
}

type htmlBadge struct{ Class, Sign, Word string }

type htmlReport struct {
	ID      string
	Domain  []i18n.Piece
	Message bool // it is about a mail: what the mail is stands on top
	Badge   htmlBadge
	Verdict []i18n.Piece
	Counts  []htmlCount
	Target  []htmlRow
	Trouble *htmlTrouble
	Todo    []htmlOwner
	Good    bool // nothing to do; not so if something was not found out
	Checks  []*htmlCheck
	Facts   []string
}

type htmlCount struct {
	htmlBadge
	N int
}

type htmlRow struct {
	Key   string
	Value []i18n.Piece
}

type htmlTrouble struct {
	Lines [][]i18n.Piece
	More  string
	Fix   string
}

type htmlOwner struct {
	Name  string
	Items []*htmlFinding
}

type htmlCheck struct {
	ID       string
	Title    string
	Intro    string
	Badge    htmlBadge
	Crash    string
	Findings []*htmlFinding // to be acted on
	Rest     []*htmlFinding
	Picture  *htmlTree
	Route    *htmlRoute
}

type htmlTree struct {
	Head, Sum  string
	Over       bool
	Wide, Slim template.HTML
	Text       string
}

type htmlFinding struct {
	ID       string // anchor
	Kind     string
	status   diag.Status
	Badge    htmlBadge
	Target   []i18n.Piece // of a diff over several domains
	Message  []i18n.Piece
	Marks    []i18n.Piece
	Owner    string
	Why, Fix []i18n.Piece
	Records  []htmlEvidence
	More     string // records that are not shown
	Changed  []*htmlChange
	Unknown  [][]i18n.Piece
	Changes  []htmlFix
	Refs     []diag.Ref
	Command  string
}

type htmlEvidence struct {
	Name          []i18n.Piece
	Place         string
	Head, At, End string // the record, the part at fault in the middle
	Cut           string
}

type htmlFix struct {
	Verified bool
	Say      []i18n.Piece
	Edits    []htmlEdit
	Same     string // the change stands at the finding SameAt
	SameAt   string
}

// An htmlEdit is a record that goes or comes. One that comes is to be copied.
type htmlEdit struct {
	Gone bool
	Text string
}

type htmlChange struct {
	Name  []i18n.Piece
	Place string
	Edits []htmlEdit
	When  string
}

type htmlDiff struct {
	Domains       []i18n.Piece
	Badge         htmlBadge
	Verdict       []i18n.Piece
	Before, After []i18n.Piece
	Todo          []htmlOwner
	Sections      []htmlSection
	Changes       []*htmlChange
}

type htmlSection struct {
	Title    string
	Findings []*htmlFinding
	Rest     []*htmlFinding // in a line each
}

type htmlWriter struct {
	cat *i18n.Catalog
	o   Options
	run *diag.Run
	n   int // anchors
	// shown are the verified changes that are on the page, with the finding that
	// they stand at: one change often mends several.
	shown map[string]*htmlFinding
	said  map[dnsq.Question]bool // questions whose trouble is said on top
}

// runHTML writes a run as one page.
func runHTML(w io.Writer, r *diag.Run, cat *i18n.Catalog, o Options) error {
	h := &htmlWriter{cat: cat, o: o, run: r}
	p := &htmlPage{
		T: func(key string) string { return cat.T(key, nil) }, Lang: cat.Lang(),
		Style: template.CSS(htmlStyle), Policy: htmlPolicy, Heading: cat.T("html.question", nil),
	}
	for i, rep := range r.Reports {
		p.Reports = append(p.Reports, h.report(rep, "d"+strconv.Itoa(i+1)))
	}
	p.Several = len(p.Reports) > 1
	if r.Diffs != nil {
		p.Diff = h.diff(r)
		p.Heading = cat.T("html.change", nil)
	}
	p.Title = p.Heading + " · todoku"
	if len(r.Reports) == 1 {
		p.Title = plainText(p.Reports[0].Domain) + " · " + p.Title
	}
	version, date := "todoku", r.Started
	if r.Version != "" {
		version = cat.T("foot.version", diag.Args{"version": r.Version})
	}
	p.Foot = cat.T("html.foot", diag.Args{"version": version, "date": date.UTC().Format(time.DateTime)})
	t, err := htmlPages()
	if err != nil {
		return fmt.Errorf("report as HTML: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, p); err != nil {
		return fmt.Errorf("report as HTML: %w", err)
	}
	_, err = io.WriteString(w, defuseMarkup(b.String()))
	return err
}

// signs repeat what the word beside them says, for those who see no colour.
var signs = map[diag.Status]string{diag.Fail: "✕", diag.Inconclusive: "?", diag.Warn: "!", diag.Info: "i", diag.Pass: "✓", diag.Skip: "–"}

func (h *htmlWriter) badge(s diag.Status) htmlBadge {
	return htmlBadge{s.String(), signs[s], h.cat.T("status."+s.String(), nil)}
}

func (h *htmlWriter) value(s string) []i18n.Piece { return h.cat.ValuePieces(nil, "", s) }

func (h *htmlWriter) report(r *diag.Report, id string) *htmlReport {
	cat := h.cat
	h.shown, h.said = map[string]*htmlFinding{}, saidOnTop(troubleGroups(r), maxTrouble)
	s := VerdictStatus(r)
	if s == diag.Info {
		s = diag.Pass // over a whole report a note would read as a doubt
	}
	out := &htmlReport{ID: id, Domain: h.value(title(&r.Target)), Message: r.Target.Mail != nil, Badge: h.badge(s), Verdict: verdictPieces(r, cat), Target: h.target(r), Trouble: h.trouble(r)}
	n := r.Counts()
	for _, s := range slices.Backward(diag.Statuses) {
		if n[s] > 0 {
			out.Counts = append(out.Counts, htmlCount{h.badge(s), n[s]})
		}
	}
	var todo []*htmlFinding
	for i := range r.Checks {
		c := &r.Checks[i]
		if c.Check == nil {
			continue
		}
		hc := h.check(r, c, id)
		out.Checks = append(out.Checks, hc)
		todo = append(todo, hc.Findings...)
	}
	out.Todo, out.Good = byOwner(todo), s == diag.Pass
	out.Facts = []string{cat.N("foot.questions", r.Queries, nil), cat.T("foot.time", diag.Args{"seconds": fmt.Sprintf("%.2f", r.Duration.Seconds())})}
	return out
}

// byOwner is what there is to do, by who does it, in the order in which they
// come up, the worst of each first.
func byOwner(list []*htmlFinding) []htmlOwner {
	var out []htmlOwner
	for _, f := range list {
		if f.Owner == "" {
			continue
		}
		i := slices.IndexFunc(out, func(o htmlOwner) bool { return o.Name == f.Owner })
		if i < 0 {
			i = len(out)
			out = append(out, htmlOwner{Name: f.Owner})
		}
		out[i].Items = append(out[i].Items, f)
	}
	for _, o := range out {
		slices.SortStableFunc(o.Items, func(a, b *htmlFinding) int { return int(b.status) - int(a.status) })
	}
	return out
}

func (h *htmlWriter) target(r *diag.Report) []htmlRow {
	var out []htmlRow
	for _, row := range headRows(r, h.cat, 8) {
		out = append(out, htmlRow{h.cat.T("head."+row.key, nil), row.value})
	}
	return out
}

func (h *htmlWriter) trouble(r *diag.Report) *htmlTrouble {
	groups := troubleGroups(r)
	if len(groups) == 0 {
		return nil
	}
	out := &htmlTrouble{Fix: troubleFix(groups, h.cat)}
	for i, g := range groups {
		if i == maxTrouble {
			out.More = h.cat.T("trouble.more", diag.Args{"n": len(groups) - i})
			break
		}
		var questions []string
		for _, e := range g.errs {
			questions = append(questions, e.Question.String())
		}
		line := h.unanswered(questions, g.errs[0])
		line = append(line, i18n.Piece{Text: " · "})
		out.Lines = append(out.Lines, append(line, h.cat.TPieces("trouble.needed", diag.Args{"checks": g.checks})...))
	}
	return out
}

// unanswered is questions, why they got no answer, and who was asked.
func (h *htmlWriter) unanswered(questions []string, e *dnsq.Error) []i18n.Piece {
	out := h.cat.TPieces("unanswered", diag.Args{"question": questions, "reason": string(e.Reason)})
	if e.Server != "" {
		out = append(out, i18n.Piece{Text: " · "})
		out = append(out, h.cat.TPieces("trouble.server", diag.Args{"server": e.Server})...)
	}
	for i, s := range e.EDE {
		if i == 3 {
			break
		}
		out = append(out, i18n.Piece{Text: " · EDE "})
		out = append(out, h.value(s)...)
	}
	return out
}

func (h *htmlWriter) check(r *diag.Report, c *diag.CheckReport, id string) *htmlCheck {
	out := &htmlCheck{ID: id + "-" + c.Check.Name, Title: c.Check.Name}
	if d := h.cat.Check(c.Check.Name); d != nil {
		out.Title, out.Intro = sanitize.Text(d.Title), sanitize.Text(d.Intro)
	}
	shown := c.Status
	for i := range c.Findings {
		if k := c.Findings[i].Kind; shown == diag.Skip && k.Harmless {
			shown = k.Status
		}
	}
	out.Badge = h.badge(shown)
	if c.Panic != "" {
		first, _, _ := strings.Cut(c.Panic, "\n")
		out.Crash = h.cat.T("check.crashed", nil) + " " + h.cat.Value("", first)
	}
	list := items(&diag.Run{Reports: []*diag.Report{{Target: r.Target, Checks: []diag.CheckReport{*c}}}})
	for _, it := range important(list) {
		f := h.finding(&it)
		// What is explained on top takes a line here.
		if folded(&it) || explained(it.f, h.said) {
			out.Rest = append(out.Rest, f)
		} else {
			out.Findings = append(out.Findings, f)
		}
	}
	if tr, ok := c.Data.(diag.Treer); ok {
		if root := tr.Tree(); root != nil && (tr.ShowTree() || h.o.Verbose || len(root.Children) > 0) {
			out.Picture = h.picture(c.Check.Name, root)
		}
	}
	if ro, ok := c.Data.(diag.Router); ok {
		if r := ro.Route(); r != nil && len(r.Legs) > 0 {
			out.Route = h.route(c.Check.Name, r)
		}
	}
	return out
}

func (h *htmlWriter) finding(it *item) *htmlFinding {
	f, cat := it.f, h.cat
	h.n++
	out := &htmlFinding{
		ID: "f" + strconv.Itoa(h.n), Kind: f.Kind.ID, status: f.Kind.Status, Badge: h.badge(f.Kind.Status), Message: cat.MessagePieces(f),
		Why: cat.WhyPieces(f), Fix: cat.FixPieces(f), Refs: f.Kind.Refs, Command: cat.T("explain.command", diag.Args{"id": f.Kind.ID}),
	}
	quiet := *it
	quiet.change = "" // the heading of the section says it
	out.Marks = marks(&quiet, cat)
	if f.Waived != nil {
		out.Badge = htmlBadge{diag.Skip.String(), signs[diag.Skip], cat.T("label.waived", nil)}
	}
	if it.change == diag.Fixed {
		out.Badge = htmlBadge{diag.Pass.String(), signs[diag.Pass], cat.T("change.fixed", nil)}
	}
	if o := f.Who(); o != diag.Nobody {
		out.Owner = ownerName(cat, o)
	}
	for i := range f.Evidence {
		e := &f.Evidence[i]
		// A record that changed is shown before and after, unless a part is marked.
		if e.Length == 0 && it.pair != nil && slices.ContainsFunc(it.pair.Changes, func(n int) bool {
			return n >= 0 && n < len(h.run.Changes) && h.run.Changes[n].Name == e.Name && h.run.Changes[n].Type == e.Type
		}) {
			continue
		}
		if len(out.Records) == maxEvidence {
			out.More = cat.N("more.evidence", len(f.Evidence)-i, nil)
			break
		}
		out.Records = append(out.Records, h.evidence(e))
	}
	for i, e := range f.Unknown {
		if e == nil || i >= maxUnknown {
			continue
		}
		out.Unknown = append(out.Unknown, h.unanswered([]string{e.Question.String()}, e))
	}
	if dnssecBroken(f.Unknown) {
		out.Fix = []i18n.Piece{{Text: cat.T("trouble.fix.dnssec", nil)}}
	}
	for i := range f.Fixes {
		x := &f.Fixes[i]
		hf := htmlFix{Verified: x.Verified}
		if len(f.Fixes) > 1 {
			hf.Say = append(hf.Say, i18n.Piece{Text: cat.T("fix.choice", diag.Args{"n": i + 1}) + " · "})
		}
		if x.Owner != diag.Nobody && x.Owner != f.Who() {
			hf.Say = append(hf.Say, i18n.Piece{Text: cat.T("fix.who", diag.Args{"owner": ownerName(cat, x.Owner)}) + " "})
		}
		if x.Verified {
			hf.Say = append(hf.Say, cat.TPieces("fix.verified", nil)...)
		} else {
			hf.Say = append(hf.Say, unverifiedPieces(cat, x.Unverified)...)
		}
		key := fmt.Sprint(x.Edits)
		if at := h.shown[key]; at != nil && x.Verified {
			hf.Same, hf.SameAt = cat.T("fix.same", diag.Args{"id": at.Kind}), at.ID
			out.Changes = append(out.Changes, hf)
			continue
		}
		if x.Verified {
			h.shown[key] = out
		}
		for _, e := range x.Edits {
			if e.Old != "" {
				hf.Edits = append(hf.Edits, htmlEdit{true, strings.Join(zoneRecord(e.Name, e.Type, e.Old, htmlWidth), "\n")})
			}
			if e.New != "" {
				hf.Edits = append(hf.Edits, htmlEdit{false, strings.Join(zoneRecord(e.Name, e.Type, e.New, htmlWidth), "\n")})
			}
		}
		out.Changes = append(out.Changes, hf)
	}
	if it.pair != nil {
		for i, n := range it.pair.Changes {
			if i == maxEvidence {
				break
			}
			if n >= 0 && n < len(h.run.Changes) {
				out.Changed = append(out.Changed, h.change(&h.run.Changes[n]))
			}
		}
	}
	return out
}

func (h *htmlWriter) evidence(e *diag.Evidence) htmlEvidence {
	out := htmlEvidence{Name: h.value(strings.TrimSpace(e.Name + " " + e.Type))}
	switch {
	case e.File != "" && e.Line > 0:
		out.Place = fmt.Sprintf("%s:%d", sanitize.Text(e.File), e.Line)
	case e.File != "":
		out.Place = sanitize.Text(e.File)
	case e.Source != "" && h.cat.Has("source."+string(e.Source)):
		out.Place = h.cat.T("source."+string(e.Source), nil)
	}
	text := e.Text
	off := min(max(e.Offset, 0), len(text))
	end := off + min(max(e.Length, 0), len(text)-off)
	if end == off {
		off, end = 0, 0
	}
	// A long record is cut round the part at fault.
	lo, hi := max(off-htmlRecord/2, 0), min(end+htmlRecord/2, len(text))
	end = min(end, off+htmlRecord)
	hi = min(hi, max(end, lo)+htmlRecord)
	clean := sanitize.Text
	if e.Source == dnsq.SourceMessage {
		clean = foldedText
	}
	out.Head, out.At, out.End = clean(text[lo:off]), clean(text[off:end]), clean(text[end:hi])
	if lo > 0 || hi < len(text) {
		out.Cut = h.cat.T("cut", diag.Args{"n": len(text)})
		if lo > 0 {
			out.Head = "…" + out.Head
		}
		if hi < len(text) {
			out.End += "…"
		}
	}
	return out
}

func (h *htmlWriter) change(c *diag.RecordChange) *htmlChange {
	out := &htmlChange{Name: h.value(c.Name + " " + c.Type), Place: changePlace(c, Options{}), When: When(c, h.cat)}
	has := func(list []diag.Evidence, e diag.Evidence) bool {
		return slices.ContainsFunc(list, func(o diag.Evidence) bool { return o.Text == e.Text })
	}
	for _, e := range c.Old {
		if !has(c.New, e) {
			out.Edits = append(out.Edits, htmlEdit{true, strings.Join(zoneRecord(e.Name, e.Type, e.Text, htmlWidth), "\n")})
		}
	}
	for _, e := range c.New {
		if !has(c.Old, e) {
			out.Edits = append(out.Edits, htmlEdit{false, strings.Join(zoneRecord(e.Name, e.Type, e.Text, htmlWidth), "\n")})
		}
	}
	return out
}

func (h *htmlWriter) diff(r *diag.Run) *htmlDiff {
	cat := h.cat
	h.shown, h.said = map[string]*htmlFinding{}, nil
	out := &htmlDiff{Badge: h.badge(DiffStatus(r)), Verdict: diffVerdictPieces(r, cat), Before: h.value(r.Before), After: h.value(r.After)}
	var names []string
	for _, d := range r.Diffs {
		names = append(names, d.Target.Domain)
	}
	out.Domains = somePieces(names, maxDomains, cat)
	by := byChange(r)
	var rest, todo []*htmlFinding
	add := func(it *item) *htmlFinding {
		f := h.finding(it)
		if len(r.Diffs) > 1 {
			f.Target = h.value(it.target.Domain)
		}
		return f
	}
	for _, c := range []diag.Change{diag.New, diag.Undecided} {
		s := htmlSection{Title: cat.T("change."+string(c)+".head", nil)}
		for _, it := range by[c] {
			f := add(&it)
			switch {
			case !folded(&it):
				s.Findings = append(s.Findings, f)
				todo = append(todo, f)
			case it.lost():
				s.Rest = append(s.Rest, f)
			default:
				rest = append(rest, f)
			}
		}
		if s.Findings != nil || s.Rest != nil {
			out.Sections = append(out.Sections, s)
		}
	}
	for _, c := range []diag.Change{diag.Fixed, diag.Unchanged} {
		s := htmlSection{Title: cat.T("change."+string(c)+".head", nil)}
		for _, it := range by[c] {
			if it.f.Kind.Status >= diag.Warn {
				s.Rest = append(s.Rest, add(&it))
			}
		}
		if s.Rest != nil {
			out.Sections = append(out.Sections, s)
		}
	}
	if rest != nil {
		out.Sections = append(out.Sections, htmlSection{Title: cat.T("html.good", nil), Rest: rest})
	}
	out.Todo = byOwner(todo)
	for i := range r.Changes {
		out.Changes = append(out.Changes, h.change(&r.Changes[i]))
	}
	return out
}

func (h *htmlWriter) picture(check string, root *diag.Tree) *htmlTree {
	unit := ""
	if root.Unit != "" {
		unit = h.cat.Value("unit", root.Unit)
	}
	out := &htmlTree{Head: h.cat.T("tree.head", nil), Sum: h.cat.T("tree.sum", diag.Args{"n": root.Cost})}
	if unit != "" {
		out.Head += " (" + unit + ")"
	}
	if root.Limit > 0 {
		out.Sum = h.cat.T("tree.sum.limit", diag.Args{"n": root.Cost, "limit": root.Limit})
		out.Over = root.Cost > root.Limit
	}
	out.Wide = drawTree(h.cat, check, root, 760)
	out.Slim = drawTree(h.cat, check, root, 320)
	t := &textReport{page: newPage(Options{Width: 72}), r: &diag.Report{}, cat: h.cat, o: Options{Width: 72}}
	t.tree(check, root)
	out.Text = dedent(strings.Trim(t.String(), "\n"))
	return out
}

// dedent takes the margin of the text report away.
func dedent(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(l, strings.Repeat(" ", margin))
	}
	return strings.Join(lines, "\n")
}
