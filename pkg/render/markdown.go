package render

// Markdown for a comment on a pull request, or the summary of a job: what breaks
// first, what is good collapsed. It is written for GitHub and GitLab; the rules:
//
//   - A value that a stranger may have written is in a code span or a fenced block
//     whose fence is longer than any run of backticks in it. Nothing in there is
//     markup, a link, or a @person who gets a mail (GitHub looks for those in the
//     rendered page, so that a backslash does not help, but not inside code).
//   - There are no tables: a backslash before a pipe in a value would end a cell.
//   - What stands inside HTML (the line of a <details>) is escaped as HTML.
//   - A comment on GitHub has at most 65,536 characters. What does not fit is first
//     shortened to its sentence, then left out, and the end says how much.

import (
	"fmt"
	"html"
	"io"
	"slices"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
)

// mdLimit is the most that GitHub takes for a comment, in UTF-16 code units,
// which are never fewer than characters.
const mdLimit = 65536

// mdReserve is kept for what closes the page and says what was left out.
const mdReserve = 600

// mdWidth is the columns of records in fenced blocks.
const mdWidth = 100

type markdown struct {
	strings.Builder
	cat  *i18n.Catalog
	o    Options
	size int // UTF-16 code units written
	left int // findings left out
	open int // <details> that are open
}

// runMarkdown writes a run for a comment on a pull request.
func runMarkdown(w io.Writer, r *diag.Run, cat *i18n.Catalog, o Options) error {
	m := &markdown{cat: cat, o: o}
	for _, rep := range r.Reports {
		m.report(rep, len(r.Reports) > 1)
	}
	if len(r.Diffs) > 0 {
		m.diff(r)
	}
	if len(r.Reports) == 0 && len(r.Diffs) == 0 {
		m.must(mdText(cat.T("foot.none", nil)) + "\n\n")
	}
	for ; m.open > 0; m.open-- {
		m.must("</details>\n\n")
	}
	if m.left > 0 {
		m.must(mdText(cat.N("md.cut", m.left, nil)) + "\n\n")
	}
	if r.Version != "" {
		m.must("<sub>" + mdPieces(cat.TPieces("foot.version", diag.Args{"version": r.Version})) + "</sub>\n")
	}
	_, err := io.WriteString(w, strings.TrimRight(m.String(), "\n")+"\n")
	return err
}

func units(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r >= 0x10000 {
			n++
		}
	}
	return n
}

// must writes what has to be there.
func (m *markdown) must(s string) {
	m.size += units(s)
	m.WriteString(s)
}

// put writes s if there is room, and reports whether it did.
func (m *markdown) put(s string) bool {
	if m.size+units(s) > mdLimit-mdReserve {
		return false
	}
	m.must(s)
	return true
}

// block writes a finding in full, or else in brief, or counts it as left out.
func (m *markdown) block(full, brief string) {
	if !m.put(full) && !m.put(brief) {
		m.left++
	}
}

// details opens a part that is folded; its line is HTML.
func (m *markdown) details(summary string) bool {
	if !m.put("<details><summary>" + summary + "</summary>\n\n") {
		return false
	}
	m.open++
	return true
}

func (m *markdown) end() {
	m.open--
	m.must("</details>\n\n")
}

// icons are coloured dots: GitHub shows no other colour. The word beside each
// says the same.
var icons = map[diag.Status]string{diag.Fail: "🔴", diag.Inconclusive: "🟣", diag.Warn: "🟡", diag.Info: "🔵", diag.Pass: "🟢", diag.Skip: "⚪"}

func mdStatus(s diag.Status) string { return icons[s] + " **" + word(s) + "**" }

// folded reports whether a finding stands in the folded part.
func folded(it *item) bool { return it.weight() < diag.Warn }

func (m *markdown) report(r *diag.Report, several bool) {
	s := VerdictStatus(r)
	if s == diag.Info {
		s = diag.Pass
	}
	m.put("## " + icons[s] + " " + word(s) + " " + m.value(title(&r.Target)) + "\n\n")
	m.put(mdPieces(verdictPieces(r, m.cat)) + "\n\n")
	if r.Target.Mail != nil {
		for _, row := range headRows(r, m.cat, 8) {
			m.put("- " + mdText(m.cat.T("head."+row.key, nil)) + ": " + mdPieces(row.value) + "\n")
		}
		m.put("\n")
	}
	all := items(&diag.Run{Reports: []*diag.Report{r}})
	groups := troubleGroups(r)
	m.trouble(groups)
	said := saidOnTop(groups, maxTrouble)
	for i := range r.Checks {
		if r.Checks[i].Panic != "" {
			m.put(mdStatus(diag.Inconclusive) + " " + m.value(r.Checks[i].Check.Name) + ": " + mdText(m.cat.T("check.crashed", nil)) + "\n\n")
		}
	}
	var rest []item
	for _, it := range important(all) {
		if folded(&it) {
			rest = append(rest, it)
			continue
		}
		if explained(it.f, said) { // with its remedy, on top
			brief := m.sentence(&it, "", true) + "\n\n"
			m.block(brief, brief)
			continue
		}
		m.finding(&it, "")
	}
	m.rest(rest, m.cat.N("md.rest", len(rest), nil), "")
}

// trouble says once what went wrong with DNS for several checks.
func (m *markdown) trouble(groups []*troubleGroup) {
	if len(groups) == 0 {
		return
	}
	b := "**" + mdText(m.cat.T("trouble.head", nil)) + "**\n\n"
	for i, g := range groups {
		if i == maxTrouble {
			b += "- " + mdText(m.cat.T("trouble.more", diag.Args{"n": len(groups) - i})) + "\n"
			break
		}
		var questions []string
		for _, e := range g.errs {
			questions = append(questions, e.Question.String())
		}
		b += "- " + mdPieces(m.cat.TPieces("unanswered", diag.Args{"question": questions, "reason": string(g.errs[0].Reason)})) +
			" · " + mdPieces(m.cat.TPieces("trouble.needed", diag.Args{"checks": g.checks})) + "\n"
	}
	m.put(b + "\n" + mdText(troubleFix(groups, m.cat)) + "\n\n")
}

// rest lists findings in a folded part, a line each, in order of importance.
func (m *markdown) rest(list []item, title string, target string) {
	if len(list) == 0 {
		return
	}
	if !m.details(html.EscapeString(title)) {
		m.left += len(list)
		return
	}
	for i := range list {
		m.line(&list[i], target)
	}
	m.must("\n")
	m.end()
}

// line is a finding in one line of a list.
func (m *markdown) line(it *item, target string) {
	if !m.put("- " + m.sentence(it, target, true) + "\n") {
		m.left++
	}
}

// sentence is what a finding says, with its status and ID.
func (m *markdown) sentence(it *item, target string, marked bool) string {
	s := mdStatus(it.f.Kind.Status) + " "
	if it.f.Waived != nil {
		s = icons[diag.Skip] + " **" + waivedWord + "** "
	}
	if target != "" {
		s += m.value(target) + ": "
	}
	s += mdPieces(m.cat.MessagePieces(it.f))
	if marked {
		quiet := *it
		quiet.change = "" // the heading above says it
		if x := marks(&quiet, m.cat); x != nil {
			s += " (" + mdPieces(x) + ")"
		}
	}
	return s + " " + m.id(it.f.Kind)
}

// id is the ID of a kind, as a link to what lays it down.
func (m *markdown) id(k *diag.Kind) string {
	id := "`" + k.ID + "`"
	if len(k.Refs) > 0 {
		return "[" + id + "](" + mdURL(k.Refs[0].URL()) + ")"
	}
	return id
}

// finding writes a finding with everything that is needed to act on it.
func (m *markdown) finding(it *item, target string) {
	f, cat := it.f, m.cat
	brief := m.sentence(it, target, true) + "\n\n"
	var b strings.Builder
	b.WriteString(brief)
	label := func(key, text string) { b.WriteString("**" + mdText(cat.T("label."+key, nil)) + "** " + text + "\n\n") }
	for i := range f.Evidence {
		if i == maxEvidence {
			label("record", mdText(cat.N("more.evidence", len(f.Evidence)-i, nil)))
			break
		}
		e := &f.Evidence[i]
		text := m.value(strings.TrimSpace(e.Name + " " + e.Type))
		if e.File != "" && e.Line > 0 {
			text += " (" + mdCode(fmt.Sprintf("%s:%d", sanitize.Text(m.o.file(e.File)), e.Line)) + ")"
		}
		label("record", text)
		b.WriteString(mdFence("", recordText(e, mdWidth)) + "\n")
	}
	for i, e := range f.Unknown {
		if i == maxUnknown {
			break
		}
		// The message names its question and reason; once is enough.
		if e != nil && (e.Question.String() != f.Args["question"] || string(e.Reason) != f.Args["reason"]) {
			label("unknown", mdPieces(cat.TPieces("unanswered", diag.Args{"question": e.Question.String(), "reason": string(e.Reason)})))
		}
	}
	if why := cat.WhyPieces(f); why != nil {
		label("effect", mdPieces(why))
	}
	if fix := cat.FixPieces(f); fix != nil {
		text := mdPieces(fix)
		if o := f.Who(); o != diag.Nobody {
			text = mdText(cat.T("fix.who", diag.Args{"owner": ownerName(cat, o)})) + " " + text
		}
		label("fix", text)
	}
	for i := range f.Fixes {
		x := &f.Fixes[i]
		text := mdText(cat.T("fix.verified", nil))
		if !x.Verified {
			text = mdPieces(unverifiedPieces(cat, x.Unverified))
		}
		if len(f.Fixes) > 1 {
			text = mdText(cat.T("fix.choice", diag.Args{"n": i + 1})) + " · " + text
		}
		label("change", text)
		b.WriteString(mdFence("diff", changeLines(x, mdWidth)) + "\n")
	}
	m.block(b.String(), brief)
}

// recordText is the text of a record in lines, with carets below what is at fault.
func recordText(e *diag.Evidence, width int) []string {
	lines, _ := evidenceLines(e, width, moreLines)
	var out []string
	for _, l := range lines {
		out = append(out, l.text)
		if l.carets != "" {
			out = append(out, l.carets)
		}
	}
	return out
}

func (m *markdown) diff(r *diag.Run) {
	by := byChange(r)
	s := DiffStatus(r)
	m.put("## " + icons[s] + " " + word(s) + " " + mdPieces(diffVerdictPieces(r, m.cat)) + "\n\n")
	if r.Before != "" || r.After != "" {
		m.put(mdText(m.cat.T("diff.before", nil)) + ": " + m.value(r.Before) + " · " + mdText(m.cat.T("diff.after", nil)) + ": " + m.value(r.After) + "\n\n")
	}
	name := func(it *item) string {
		if len(r.Diffs) == 1 {
			return ""
		}
		return it.target.Domain
	}
	var rest []item
	for _, c := range []diag.Change{diag.New, diag.Undecided} {
		head := false
		for _, it := range by[c] {
			if folded(&it) && !it.lost() {
				rest = append(rest, it)
				continue
			}
			if !head {
				head = true
				m.put("### " + mdText(m.cat.T("change."+string(c)+".head", nil)) + "\n\n")
			}
			m.finding(&it, name(&it))
		}
	}
	var gone []item
	for _, it := range by[diag.Fixed] {
		if it.f.Kind.Status >= diag.Warn && it.f.Waived == nil {
			gone = append(gone, it)
		} else if it.f.Waived != nil {
			rest = append(rest, it)
		}
	}
	if len(gone) > 0 {
		m.put("### " + mdText(m.cat.T("change.fixed.head", nil)) + "\n\n")
		for i := range gone {
			m.line(&gone[i], name(&gone[i]))
		}
		m.put("\n")
	}
	m.changes(r.Changes)
	var before []item
	for _, it := range by[diag.Unchanged] {
		if it.f.Kind.Status >= diag.Warn {
			before = append(before, it)
		}
	}
	if len(before) > 0 {
		if m.details(html.EscapeString(m.cat.N("change.unchanged.fold", len(before), nil))) {
			for i := range before {
				m.line(&before[i], name(&before[i]))
			}
			m.must("\n")
			m.end()
		} else {
			m.left += len(before)
		}
	}
	if len(rest) > 0 {
		if m.details(html.EscapeString(m.cat.N("md.rest", len(rest), nil))) {
			for i := range rest {
				m.line(&rest[i], name(&rest[i]))
			}
			m.must("\n")
			m.end()
		} else {
			m.left += len(rest)
		}
	}
}

// byChange is the findings of a diff by what became of them, the most important
// first. What is new and could not be found out is undecided.
func byChange(r *diag.Run) map[diag.Change][]item {
	by := map[diag.Change][]item{}
	for _, it := range important(items(r)) {
		c := it.change
		if c == diag.New && it.weight() == diag.Inconclusive {
			c = diag.Undecided
		}
		by[c] = append(by[c], it)
	}
	return by
}

// changes shows the records before and after, folded: the pull request has them.
func (m *markdown) changes(list []diag.RecordChange) {
	if len(list) == 0 || !m.details(html.EscapeString(m.cat.N("change.records", len(list), nil))) {
		return
	}
	for i := range list {
		c := &list[i]
		var b strings.Builder
		b.WriteString(m.value(c.Name + " " + c.Type))
		if p := changePlace(c, m.o); p != "" {
			b.WriteString(" (" + mdCode(p) + ")")
		}
		b.WriteString("\n\n" + mdFence("diff", recordChangeLines(c, mdWidth)) + "\n")
		b.WriteString(mdText(When(c, m.cat)) + "\n\n")
		if !m.put(b.String()) {
			break
		}
	}
	m.end()
}

// changePlace is the line of the new record, else of the old one.
func changePlace(c *diag.RecordChange, o Options) string {
	for _, e := range slices.Concat(c.New, c.Old) {
		if e.File != "" && e.Line > 0 {
			return fmt.Sprintf("%s:%d", sanitize.Text(o.file(e.File)), e.Line)
		}
	}
	return ""
}

func recordChangeLines(c *diag.RecordChange, width int) []string {
	var out []string
	for _, side := range []struct {
		sign string
		list []diag.Evidence
	}{{"- ", c.Old}, {"+ ", c.New}} {
		for _, e := range side.list {
			for _, l := range zoneRecord(e.Name, e.Type, e.Text, width) {
				out = append(out, side.sign+l)
			}
		}
	}
	return out
}

func (m *markdown) value(s string) string { return mdPieces(m.cat.ValuePieces(nil, "", s)) }

// mdPieces is a sentence: words of ours escaped, values in code spans.
func mdPieces(list []i18n.Piece) string {
	var b strings.Builder
	for i := 0; i < len(list); i++ {
		p := list[i]
		switch {
		case p.Value:
			// Two spans side by side would be one with backticks in it.
			for i+1 < len(list) && list[i+1].Value {
				i++
				p.Text += list[i].Text
			}
			b.WriteString(mdCode(p.Text))
		case i == 0:
			b.WriteString(mdText(p.Text))
		default:
			b.WriteString(mdEscape(p.Text))
		}
	}
	return b.String()
}

// mdSpecial are the characters that mean something inside a line.
const mdSpecial = "\\`*_[]<>&#|~@$"

// mdEscape is text of ours with nothing in it that is markup inside a line
// (CommonMark §2.4).
func mdEscape(s string) string {
	if !strings.ContainsAny(s, mdSpecial) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if strings.IndexByte(mdSpecial, s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// mdText is mdEscape for what may begin a line: no list, heading or rule either.
func mdText(s string) string {
	out := mdEscape(s)
	if out == "" {
		return out
	}
	if strings.IndexByte("-+=:", out[0]) >= 0 {
		return `\` + out
	}
	if i := strings.IndexFunc(out, func(r rune) bool { return r < '0' || r > '9' }); i > 0 && (out[i] == '.' || out[i] == ')') {
		return out[:i] + `\` + out[i:]
	}
	return out
}

// mdCode is sanitised text as a code span: nothing in it means anything
// (CommonMark §6.1).
func mdCode(s string) string {
	if s == "" {
		return ""
	}
	fence := strings.Repeat("`", longestRun(s)+1)
	// A blank at both ends is taken off again; a backtick would join the fence.
	if s[0] == '`' || s[len(s)-1] == '`' || s[0] == ' ' && s[len(s)-1] == ' ' {
		s = " " + s + " "
	}
	return fence + s + fence
}

// mdFence is sanitised lines as a fenced block (CommonMark §4.5).
func mdFence(lang string, lines []string) string {
	fence := "```"
	for _, l := range lines {
		if n := longestRun(l); n >= len(fence) {
			fence = strings.Repeat("`", n+1)
		}
	}
	return fence + lang + "\n" + strings.Join(lines, "\n") + "\n" + fence + "\n"
}

// longestRun is the length of the longest run of backticks.
func longestRun(s string) int {
	most, n := 0, 0
	for i := 0; i < len(s); i++ {
		if s[i] != '`' {
			n = 0
			continue
		}
		n++
		most = max(most, n)
	}
	return most
}

// mdLink is a link of ours.
func mdLink(text, url string) string { return "[" + mdEscape(text) + "](" + mdURL(url) + ")" }

// mdURL is a URL of ours as a link's destination.
func mdURL(u string) string {
	return strings.NewReplacer("(", "%28", ")", "%29", " ", "%20", "<", "%3C", ">", "%3E").Replace(sanitize.Text(u))
}
