package render

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fatih/color"
	"github.com/mattn/go-runewidth"
	"github.com/rivo/uniseg"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
)

// cond counts columns. Ambiguous characters (─ │ ● ①) are one column wide, as
// terminals show them today; the locale, which go-runewidth would look at, says
// nothing about the terminal's font.
var cond = &runewidth.Condition{StrictEmojiNeutral: true}

func columns(s string) int { return cond.StringWidth(s) }

// A span is text in one style. It holds only sanitised text.
type span struct {
	text  string
	style *color.Color
	solid bool // never broken at a blank
}

// A page is the report while it is set. Widths are in columns.
type page struct {
	bytes.Buffer
	st    *style
	prose int // where sentences end
	full  int // where records end
}

// put writes spans on the open line.
func (p *page) put(spans ...span) {
	for _, s := range spans {
		if s.text != "" {
			p.WriteString(s.style.Sprint(s.text))
		}
	}
}

// newline ends the open line, without blanks at its end.
func (p *page) newline() {
	b := p.Bytes()
	p.Truncate(len(bytes.TrimRight(b, " ")))
	p.WriteByte('\n')
}

// para sets spans as a paragraph: the open line has already used indent
// columns, following lines start there too. It ends the last line.
func (p *page) para(indent int, spans ...span) { p.hang(indent, indent, spans...) }

// hang is para with an open line that has used other columns than the indent
// of the following lines.
func (p *page) hang(used, indent int, spans ...span) {
	for i, l := range wrap(spans, max(p.prose-used, 10), max(p.prose-indent, 10)) {
		if i > 0 {
			p.pad(indent)
		}
		p.put(l...)
		p.newline()
	}
}

// Wrap is text as one paragraph, sanitised, in lines of at most width columns
// where its words allow it. Other writers than reports use it for comments.
func Wrap(text string, width int) []string {
	width = max(width, 10)
	var out []string
	for _, l := range wrap([]span{{text: sanitize.Text(text)}}, width, width) {
		var b strings.Builder
		for _, s := range l {
			b.WriteString(s.text)
		}
		out = append(out, strings.TrimRight(b.String(), " "))
	}
	return out
}

// wrap breaks spans into lines of at most width columns, the first of at most
// first. Breaks are those of
// UAX #14, which knows that 。 and 」 start no line, but inside a Latin word
// only blanks break: "SPF-" at the end of a line and "MISSING" on the next
// could not be found or copied. A word wider than a line is cut between
// characters.
func wrap(spans []span, first, width int) [][]span {
	var lines [][]span
	var line []span
	used := 0 // columns of line, blanks at its end included
	room := first
	flush := func() {
		// Blanks at the end of a line are dropped.
		for i := len(line) - 1; i >= 0; i-- {
			line[i].text = strings.TrimRight(line[i].text, " ")
			if line[i].text != "" {
				break
			}
			line = line[:i]
		}
		lines = append(lines, line)
		line, used, room = nil, 0, width
	}
	add := func(s span) {
		if n := len(line); n > 0 && line[n-1].style == s.style {
			line[n-1].text += s.text
		} else {
			line = append(line, s)
		}
	}
	for _, w := range words(spans) {
		cols := 0
		for _, s := range w {
			cols += columns(s.text)
		}
		last := w[len(w)-1].text
		tail := len(last) - len(strings.TrimRight(last, " "))
		if used > 0 && used+cols-tail > room {
			flush()
		}
		if cols-tail <= room {
			for _, s := range w {
				add(s)
			}
			used += cols
			continue
		}
		for _, s := range w { // wider than a line: cut between characters
			for g := uniseg.NewGraphemes(s.text); g.Next(); {
				c := columns(g.Str())
				if used > 0 && used+c > room {
					flush()
				}
				if used == 0 && g.Str() == " " {
					continue
				}
				add(span{text: g.Str(), style: s.style})
				used += c
			}
		}
	}
	if line != nil || lines == nil {
		flush()
	}
	return lines
}

// words cuts spans where a line may break. Each word is parts of one or more
// spans; blanks are at its end.
func words(spans []span) [][]span {
	var out [][]span
	var word []span
	end := func() {
		if word != nil {
			out = append(out, word)
			word = nil
		}
	}
	for _, s := range spans {
		if s.solid {
			word = append(word, s)
			if strings.HasSuffix(s.text, " ") {
				end()
			}
			continue
		}
		rest, state := s.text, -1
		for rest != "" {
			var seg string
			seg, rest, _, state = uniseg.FirstLineSegmentInString(rest, state)
			word = append(word, span{text: seg, style: s.style})
			before, _ := utf8.DecodeLastRuneInString(seg)
			after, _ := utf8.DecodeRuneInString(rest)
			if before == ' ' || rest != "" && (cond.RuneWidth(before) == 2 || cond.RuneWidth(after) == 2) {
				end()
			}
		}
	}
	end()
	return out
}

// A cell is one character of a record as it is shown: a grapheme cluster, or
// the escape of something that must not be shown as it is.
type cell struct {
	off, size int // bytes of the raw text
	text      string
	cols      int
}

// cells sanitises raw and says which columns show which bytes.
func cells(raw string) []cell {
	out := make([]cell, 0, len(raw))
	off := 0
	run := 0 // start of the open run of ordinary characters
	flush := func(to int) {
		rest, state := raw[run:to], -1
		for at := run; rest != ""; {
			var g string
			g, rest, _, state = uniseg.FirstGraphemeClusterInString(rest, state)
			out = append(out, cell{at, len(g), g, columns(g)})
			at += len(g)
		}
	}
	sanitize.Walk(raw, func(size int, shown string, escaped bool) {
		if escaped {
			flush(off)
			out = append(out, cell{off, size, shown, columns(shown)})
			run = off + size
		}
		off += size
	})
	flush(off)
	return out
}

// A recordLine is a line of a raw text as it is shown, and the carets that go
// below it where a part is at fault.
type recordLine struct {
	text   string
	carets string // "" if nothing on this line is at fault
}

// minWindow is how many bytes either side of the part at fault are looked at,
// unless more would be shown.
const minWindow = 8 << 10

// record sets raw in lines of at most width columns and marks the bytes
// [off, off+n) with carets; n of 0 marks nothing. A text of more than most
// lines is cut round the part at fault, with … where something is left out;
// cut says so. Lines break after a blank if one is in the second half.
func record(raw string, off, n, width, most int) (lines []recordLine, cut bool) {
	width = max(width, 8)
	off = min(max(off, 0), len(raw))
	n = min(max(n, 0), len(raw)-off)
	window := max(minWindow, most*width)
	base := 0
	if lo := off - window; lo > 0 {
		for lo < off && !utf8.RuneStart(raw[lo]) {
			lo++
		}
		raw, base, cut = raw[lo:], lo, true
	}
	head, tail := base > 0, false
	if hi := off - base + window; hi < len(raw) {
		for hi < len(raw) && !utf8.RuneStart(raw[hi]) {
			hi++
		}
		tail = hi < len(raw)
		raw = raw[:hi]
		cut = cut || tail
	}
	cs := cells(raw)
	off -= base

	// Cut to the budget: a third of it before the part at fault.
	budget := most * width * 9 / 10
	total := 0
	at := len(cs) // first cell at fault
	for i := range cs {
		total += cs[i].cols
		if at == len(cs) && cs[i].off+cs[i].size > off {
			at = i
		}
	}
	if n == 0 && !head {
		at = 0
	}
	if total > budget {
		cut = true
		lo, room := at, budget/3
		for lo > 0 && room >= cs[lo-1].cols {
			lo--
			room -= cs[lo].cols
		}
		hi := lo
		for room = budget; hi < len(cs) && room >= cs[hi].cols; hi++ {
			room -= cs[hi].cols
		}
		// What is not needed after the part at fault is used before it.
		for lo > 0 && room >= cs[lo-1].cols {
			lo--
			room -= cs[lo].cols
		}
		head = head || lo > 0
		tail = tail || hi < len(cs)
		cs = cs[lo:hi]
	}
	if head {
		cs = append([]cell{{-1, 0, "…", 1}}, cs...)
	}
	if tail {
		cs = append(cs, cell{-1, 0, "…", 1})
	}
	for len(cs) > 0 {
		used, end := 0, 0
		for end < len(cs) && (used+cs[end].cols <= width || end == 0) {
			used += cs[end].cols
			end++
		}
		if end < len(cs) {
			for i := end; i > end/2; i-- {
				if cs[i-1].text == " " {
					end = i
					break
				}
			}
		}
		var text, carets strings.Builder
		for _, c := range cs[:end] {
			text.WriteString(c.text)
			mark := " "
			if n > 0 && c.off >= 0 && c.off < off+n && c.off+c.size > off {
				mark = "^"
			}
			carets.WriteString(strings.Repeat(mark, c.cols))
		}
		lines = append(lines, recordLine{strings.TrimRight(text.String(), " "), strings.TrimRight(carets.String(), " ")})
		cs = cs[end:]
	}
	return lines, cut
}

// evidenceLines is record for a piece of evidence. Text of a message keeps its
// lines: a folded header field is shown folded, at most so many lines of it, with
// those at fault among them.
func evidenceLines(e *diag.Evidence, width, most int) (lines []recordLine, cut bool) {
	if e.Source != dnsq.SourceMessage || !strings.Contains(e.Text, "\n") {
		return record(e.Text, e.Offset, e.Length, width, most)
	}
	type physical struct {
		text   string
		off, n int
	}
	var all []physical
	fault, at := 0, 0
	for l := range strings.Lines(e.Text) {
		p := physical{text: strings.TrimSuffix(l, "\n")}
		if len(p.text) < len(l) {
			p.text = strings.TrimSuffix(p.text, "\r")
		}
		from, to := max(e.Offset, at), min(e.Offset+e.Length, at+len(p.text))
		if to > from {
			if !slices.ContainsFunc(all, func(p physical) bool { return p.n > 0 }) {
				fault = len(all)
			}
			p.off, p.n = from-at, to-from
		}
		// The tab of a folded line is its form, not its text.
		if rest := strings.TrimLeft(p.text, "\t"); len(rest) < len(p.text) {
			p.text = strings.Repeat(" ", len(p.text)-len(rest)) + rest
		}
		all = append(all, p)
		at += len(l)
	}
	first := max(0, fault-most/3)
	for i := first; i < len(all); i++ {
		if len(lines) >= most {
			return lines, true
		}
		l, c := record(all[i].text, all[i].off, all[i].n, width, most-len(lines))
		lines, cut = append(lines, l...), cut || c
	}
	return lines, cut || first > 0
}

// foldedText is text of a message, sanitised, with its own lines.
func foldedText(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i, l := range lines {
		if i > 0 && strings.HasPrefix(l, "\t") {
			l = " " + l[1:]
		}
		lines[i] = sanitize.Text(l)
	}
	return strings.Join(lines, "\n")
}
