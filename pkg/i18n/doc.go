package i18n

import (
	"fmt"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Doc is the document of one check in one language.
type Doc struct {
	Title   string // "SPF: which servers may send mail for the domain"
	Intro   string // one paragraph: what the check looks at
	Entries []*Entry
	// Terms are texts for values that are codes: {problem} with the value
	// "bad-ip4" is shown by the text of "problem.bad-ip4".
	Terms map[string]string
	file  string
}

// An Entry is the texts of one kind of finding, placeholders unfilled.
type Entry struct {
	ID       string
	Message  string
	Why, Fix []Block // may be empty; the first is Prose
	// Ask is the question to a person without whose answer no record can be
	// proposed; "" if there is none.
	Ask  string
	line int
}

func (e *Entry) placeholders() []string {
	seen := map[string]bool{}
	texts := []string{e.Message, e.Ask}
	for _, b := range e.Why {
		texts = append(texts, b.Text)
	}
	for _, b := range e.Fix {
		texts = append(texts, b.Text)
	}
	for _, t := range texts {
		names, _ := placeholders(t) // checked when the document was read
		for _, n := range names {
			seen[n] = true
		}
	}
	out := make([]string, 0, len(seen))
	for n := range seen {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}

// A BlockKind says how a block is set.
type BlockKind uint8

const (
	Prose BlockKind = iota // a paragraph, on one line
	Item                   // an item of a list, on one line, without its mark
	Code                   // lines to be shown as they are
)

// A Block is a paragraph of a text, placeholders unfilled.
type Block struct {
	Kind BlockKind
	Text string
}

// docParser reads a document line by line. Its state is where the next
// paragraph belongs.
type docParser struct {
	doc     *Doc
	line    int // from 1
	section int
	entry   *Entry
	para    []string // lines of the open paragraph
	paraAt  int      // its first line
	kind    BlockKind
	open    bool // a block is open
	fence   int  // line of the ``` that is open, or 0
}

// Where the next paragraph goes.
const (
	atTitle = iota // nothing may stand here
	atIntro
	atMessage
	atWhy
	atFix
	atAsk
	atTerms
)

// parseDoc reads a document. The first fault is the error, with file and line.
func parseDoc(file, src string) (*Doc, error) {
	p := &docParser{doc: &Doc{file: file}}
	if !utf8.ValidString(src) {
		return nil, fmt.Errorf("%s: not valid UTF-8", file)
	}
	for rest := src; rest != ""; {
		var l string
		l, rest, _ = strings.Cut(rest, "\n")
		p.line++
		if err := p.take(l); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, p.line, err)
		}
	}
	if p.fence != 0 {
		return nil, fmt.Errorf("%s:%d: ``` is never closed", file, p.fence)
	}
	at := p.line
	if err := p.endEntry(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", file, at, err)
	}
	if p.doc.Title == "" {
		return nil, fmt.Errorf("%s:1: no # title", file)
	}
	if p.doc.Intro == "" {
		return nil, fmt.Errorf("%s:%d: no paragraph below the title", file, at)
	}
	return p.doc, nil
}

func (p *docParser) take(l string) error {
	if t := strings.TrimRight(l, " \t\r"); t != l {
		return fmt.Errorf("blanks at the end of the line")
	}
	for _, r := range l {
		if r < ' ' {
			return fmt.Errorf("control character %q", r)
		}
	}
	switch {
	case strings.HasPrefix(l, "```"):
		if p.fence != 0 {
			p.fence = 0
			return p.endBlock()
		}
		if err := p.endBlock(); err != nil {
			return err
		}
		p.fence = p.line
		return p.begin(Code)
	case p.fence != 0:
		p.para = append(p.para, l)
		return nil
	case l == "":
		if p.open && p.kind == Code {
			// A blank line inside indented code belongs to it if more follows;
			// endBlock drops those at the end.
			p.para = append(p.para, "")
			return nil
		}
		return p.endBlock()
	case strings.HasPrefix(l, "#"):
		return p.heading(l)
	case strings.HasPrefix(l, "    ") && (!p.open || p.kind == Code):
		if !p.open {
			if err := p.begin(Code); err != nil {
				return err
			}
		}
		p.para = append(p.para, l[4:])
		return nil
	case strings.HasPrefix(l, "- "):
		if err := p.endBlock(); err != nil {
			return err
		}
		if err := p.begin(Item); err != nil {
			return err
		}
		p.para = append(p.para, strings.TrimSpace(l[2:]))
		return nil
	}
	if p.open && p.kind == Code {
		if err := p.endBlock(); err != nil {
			return err
		}
	}
	if !p.open {
		if err := p.begin(Prose); err != nil {
			return err
		}
	}
	p.para = append(p.para, strings.TrimSpace(l))
	return nil
}

func (p *docParser) begin(k BlockKind) error {
	if p.section == atTitle {
		return fmt.Errorf("text before the # title")
	}
	p.open, p.kind, p.paraAt, p.para = true, k, p.line, p.para[:0]
	return nil
}

func (p *docParser) endBlock() error {
	if !p.open {
		return nil
	}
	p.open = false
	b := Block{Kind: p.kind}
	if p.kind == Code {
		for len(p.para) > 0 && p.para[len(p.para)-1] == "" {
			p.para = p.para[:len(p.para)-1]
		}
		b.Text = strings.Join(p.para, "\n")
	} else {
		b.Text = join(p.para)
	}
	if b.Text == "" {
		return fmt.Errorf("an empty block")
	}
	if _, err := placeholders(b.Text); err != nil {
		return fmt.Errorf("%w (in the paragraph that starts in line %d)", err, p.paraAt)
	}
	var list *[]Block
	switch p.section {
	case atTerms:
		key, text, ok := strings.Cut(b.Text, ": ")
		if p.kind != Item || !ok || !strings.Contains(key, ".") {
			return fmt.Errorf("below ## Terms stand items alone: - value.code: text")
		}
		if _, twice := p.doc.Terms[key]; twice {
			return fmt.Errorf("the term %s is here twice", key)
		}
		p.doc.Terms[key] = text
		return nil
	case atIntro:
		if p.doc.Intro != "" || p.kind != Prose {
			return fmt.Errorf("below the title stands one paragraph and nothing else")
		}
		p.doc.Intro = b.Text
		return nil
	case atMessage:
		if p.entry.Message != "" || p.kind != Prose {
			return fmt.Errorf("%s: below the ID stands one paragraph, the message, and nothing else", p.entry.ID)
		}
		p.entry.Message = b.Text
		return nil
	case atWhy:
		list = &p.entry.Why
	case atFix:
		list = &p.entry.Fix
	case atAsk:
		if p.entry.Ask != "" || p.kind != Prose {
			return fmt.Errorf("%s: below ### Ask stands one paragraph, the question, and nothing else", p.entry.ID)
		}
		p.entry.Ask = b.Text
		return nil
	}
	if len(*list) == 0 && b.Kind != Prose {
		return fmt.Errorf("%s: a section starts with a paragraph, for reports show that one", p.entry.ID)
	}
	*list = append(*list, b)
	return nil
}

func (p *docParser) heading(l string) error {
	if err := p.endBlock(); err != nil {
		return err
	}
	mark, text, _ := strings.Cut(l, " ")
	text = strings.TrimSpace(text)
	if text == "" {
		return fmt.Errorf("a heading without text")
	}
	switch mark {
	case "#":
		if p.section != atTitle {
			return fmt.Errorf("a second title")
		}
		p.doc.Title = text
		p.section = atIntro
		return nil
	case "##":
		if p.section == atTitle {
			return fmt.Errorf("a ## heading before the # title")
		}
		if p.doc.Intro == "" {
			return fmt.Errorf("no paragraph below the title")
		}
		if err := p.endEntry(); err != nil {
			return err
		}
		if p.section == atTerms {
			return fmt.Errorf("## Terms is the last part")
		}
		if text == "Terms" {
			p.entry, p.section, p.doc.Terms = nil, atTerms, map[string]string{}
			return nil
		}
		if strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
			return fmt.Errorf("%q is no ID: upper case words joined by '-'", text)
		}
		for _, e := range p.doc.Entries {
			if e.ID == text {
				return fmt.Errorf("%s is here twice, first in line %d", text, e.line)
			}
		}
		p.entry = &Entry{ID: text, line: p.line}
		p.doc.Entries = append(p.doc.Entries, p.entry)
		p.section = atMessage
		return nil
	case "###":
		if p.entry == nil {
			return fmt.Errorf("a ### heading outside an ID")
		}
		if p.entry.Message == "" {
			return fmt.Errorf("%s: no message between the ID and ### %s", p.entry.ID, text)
		}
		switch text {
		case "Why":
			if p.section != atMessage {
				return fmt.Errorf("%s: ### Why comes once, right after the message", p.entry.ID)
			}
			p.section = atWhy
			return nil
		case "Fix":
			if p.section == atWhy && len(p.entry.Why) == 0 {
				return fmt.Errorf("%s: ### Why is empty", p.entry.ID)
			}
			if p.section == atFix {
				return fmt.Errorf("%s: a second ### Fix", p.entry.ID)
			}
			if p.section == atAsk {
				return fmt.Errorf("%s: ### Fix comes before ### Ask", p.entry.ID)
			}
			p.section = atFix
			return nil
		case "Ask":
			if p.section != atFix || len(p.entry.Fix) == 0 {
				return fmt.Errorf("%s: ### Ask comes once, right after ### Fix", p.entry.ID)
			}
			p.section = atAsk
			return nil
		}
		return fmt.Errorf("%s: unknown heading ### %s: expected Why, Fix or Ask", p.entry.ID, text)
	}
	return fmt.Errorf("unknown heading %s: expected #, ## or ###", mark)
}

// endEntry holds the entry that ends here to be complete.
func (p *docParser) endEntry() error {
	if err := p.endBlock(); err != nil {
		return err
	}
	switch e := p.entry; {
	case e == nil:
	case e.Message == "":
		return fmt.Errorf("%s: no message", e.ID)
	case p.section == atWhy && len(e.Why) == 0:
		return fmt.Errorf("%s: ### Why is empty", e.ID)
	case p.section == atFix && len(e.Fix) == 0:
		return fmt.Errorf("%s: ### Fix is empty", e.ID)
	case p.section == atAsk && e.Ask == "":
		return fmt.Errorf("%s: ### Ask is empty", e.ID)
	}
	return nil
}

// join makes one line of the lines of a paragraph. Between two wide characters
// a line break leaves nothing, elsewhere a space: the rule for segment breaks
// of CSS Text Module Level 3 §4.1.2, which is how a browser shows the file.
func join(lines []string) string {
	if len(lines) == 1 {
		return lines[0]
	}
	var b strings.Builder
	for i, l := range lines {
		if i > 0 {
			before, _ := utf8.DecodeLastRuneInString(lines[i-1])
			after, _ := utf8.DecodeRuneInString(l)
			if !wide(before) || !wide(after) {
				b.WriteByte(' ')
			}
		}
		b.WriteString(l)
	}
	return b.String()
}

// wide reports whether r is Japanese or Chinese text or its punctuation. Hangul
// is wide too, but has spaces between words.
func wide(r rune) bool {
	return 0x3000 <= r && r <= 0x30ff || 0xff00 <= r && r <= 0xffef ||
		unicode.Is(unicode.Han, r)
}
