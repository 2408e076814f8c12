// Package i18n holds the words: what each finding says, in each language, and
// the frame of the report around them.
//
// A check reports an ID and values, never a sentence. Its sentences stand in
// doc.en.md and doc.ja.md beside its code, in Markdown that reads well on its
// own:
//
//	# SPF: which servers may send mail for the domain
//
//	One or two sentences on what the check looks at.
//
//	## SPF-MISSING
//
//	{subject} publishes no SPF record.
//
//	### Why
//
//	What happens to mail because of it. This paragraph is in the report.
//
//	What else is worth knowing; for `todoku explain`.
//
//	### Fix
//
//	What to do. This paragraph is in the report, after who has to do it.
//
//	    example.com. TXT "v=spf1 mx -all"
//
// The paragraph under the ID is the message. {name} is the value of that name;
// {subject} is what the finding is about; {{ and }} are plain braces, as in
// %{{i}}. Lines of a paragraph are joined, in Japanese without a space between
// them. A line that starts with "- " is an item of a list; lines between ```
// or indented by four spaces are shown as they are. Nothing else of Markdown
// means anything, and a document that leaves this form is an error with file
// and line.
//
// [Load] reads the documents of checks, [Problems] holds the languages against
// each other and against the kinds that the checks declare, and [Pick] chooses
// the language. The texts of the report itself are in frame.en.txt and
// frame.ja.txt.
package i18n

import (
	"fmt"
	"io/fs"
	"sort"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
)

// Languages are those that every text exists in. The first is the default.
var Languages = []string{"en", "ja"}

// Pick chooses the language: the flag, else the first of LC_ALL, LC_MESSAGES
// and LANG that is set, as POSIX orders them ("ja_JP.UTF-8", "ja", "C").
// LANGUAGE, a GNU list of preferences, is not read. A locale of another
// language gives English. The only error is a flag with a value that is none
// of [Languages]; it is one line for the person who typed it.
func Pick(flag string, env func(string) string) (string, error) {
	if flag != "" {
		for _, l := range Languages {
			if flag == l {
				return l, nil
			}
		}
		return "", fmt.Errorf("--lang %q: expected one of %s", flag, strings.Join(Languages, ", "))
	}
	for _, v := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		locale := env(v)
		if locale == "" {
			continue
		}
		if i := strings.IndexAny(locale, "_.@"); i >= 0 {
			locale = locale[:i]
		}
		for _, l := range Languages {
			if strings.EqualFold(locale, l) {
				return l, nil
			}
		}
		break
	}
	return Languages[0], nil
}

// A Catalog is every text in one language. It is safe for use by many
// goroutines once loaded.
type Catalog struct {
	lang   string
	frame  map[string]string
	checks map[string]*Doc
	byID   map[string]*Entry
	docOf  map[string]*Doc // by ID
}

// Load reads the documents of checks in one language. With no checks it is the
// frame alone. The error names file and line; a program whose tests call
// [Problems] does not meet it.
func Load(checks []*diag.Check, lang string) (*Catalog, error) {
	frame, err := frames(lang)
	if err != nil {
		return nil, err
	}
	c := &Catalog{lang: lang, frame: frame, checks: make(map[string]*Doc, len(checks)), byID: map[string]*Entry{}, docOf: map[string]*Doc{}}
	for _, ch := range checks {
		d, err := read(ch, lang)
		if err != nil {
			return nil, err
		}
		c.checks[ch.Name] = d
		for _, e := range d.Entries {
			if _, twice := c.byID[e.ID]; twice {
				return nil, fmt.Errorf("%s:%d: %s is also in the document of another check", d.file, e.line, e.ID)
			}
			c.byID[e.ID] = e
			c.docOf[e.ID] = d
		}
	}
	return c, nil
}

func read(ch *diag.Check, lang string) (*Doc, error) {
	if ch.Docs == nil {
		return nil, fmt.Errorf("check %s: no documents", ch.Name)
	}
	name := "doc." + lang + ".md"
	b, err := fs.ReadFile(ch.Docs, name)
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", ch.Name, err)
	}
	return parseDoc(ch.Name+"/"+name, string(b))
}

// Lang is the language of the catalog.
func (c *Catalog) Lang() string { return c.lang }

// Check is the document of a check, or nil if it has none here.
func (c *Catalog) Check(name string) *Doc { return c.checks[name] }

// Entry is the texts of one kind of finding, or nil.
func (c *Catalog) Entry(id string) *Entry { return c.byID[id] }

// Placeholders are the names that the texts of an ID use, sorted.
func (c *Catalog) Placeholders(id string) []string {
	if e := c.byID[id]; e != nil {
		return e.placeholders()
	}
	return nil
}

// Message is what a finding says. A finding whose ID has no text, which tests
// rule out, is shown as its ID and values: never nothing.
func (c *Catalog) Message(f *diag.Finding) string {
	e := c.byID[f.Kind.ID]
	if e == nil {
		var b strings.Builder
		b.WriteString(f.Kind.ID + ": " + c.Value("subject", f.Subject))
		names := make([]string, 0, len(f.Args))
		for n := range f.Args {
			names = append(names, n)
		}
		sort.Strings(names)
		for _, n := range names {
			b.WriteString("; " + n + " " + c.Value(n, f.Args[n]))
		}
		return b.String()
	}
	return c.Fill(e.Message, f)
}

// Why is what happens to mail because of a finding, one paragraph, or "".
func (c *Catalog) Why(f *diag.Finding) string {
	if e := c.byID[f.Kind.ID]; e != nil && len(e.Why) > 0 {
		return c.Fill(e.Why[0].Text, f)
	}
	return ""
}

// Fix is what to do about a finding, one paragraph, or "".
func (c *Catalog) Fix(f *diag.Finding) string {
	if e := c.byID[f.Kind.ID]; e != nil && len(e.Fix) > 0 {
		return c.Fill(e.Fix[0].Text, f)
	}
	return ""
}

// Ask is the question to a person that a finding leads to, one paragraph, or "".
func (c *Catalog) Ask(f *diag.Finding) string {
	if e := c.byID[f.Kind.ID]; e != nil && e.Ask != "" {
		return c.Fill(e.Ask, f)
	}
	return ""
}

// Fill puts a finding's values into a text of its entry. They are sanitised.
func (c *Catalog) Fill(text string, f *diag.Finding) string {
	doc := c.docOf[f.Kind.ID]
	return expand(text, func(name string) string {
		if name == "subject" {
			return c.value(doc, name, f.Subject)
		}
		if v, ok := f.Args[name]; ok {
			return c.value(doc, name, v)
		}
		return "‹" + name + "›"
	})
}

// Blank is a text of an entry with its placeholders as ‹name›.
func (c *Catalog) Blank(text string) string {
	return expand(text, func(name string) string { return "‹" + name + "›" })
}

// T is a text of the frame with values put in. Values are sanitised. A key
// that does not exist is shown as it is; a test holds that none is used.
func (c *Catalog) T(key string, args diag.Args) string {
	text, ok := c.frame[key]
	if !ok {
		return key
	}
	return expand(text, func(name string) string {
		if v, ok := args[name]; ok {
			return c.Value(name, v)
		}
		return "‹" + name + "›"
	})
}

// N is T of key.one if n is 1, else of key.many, with {n} beside args.
func (c *Catalog) N(key string, n int, args diag.Args) string {
	all := diag.Args{"n": n}
	for k, v := range args {
		all[k] = v
	}
	if n == 1 {
		return c.T(key+".one", all)
	}
	return c.T(key+".many", all)
}

// Has reports whether the frame has a text of that key.
func (c *Catalog) Has(key string) bool { _, ok := c.frame[key]; return ok }

// Values of findings come from strangers: a list of a thousand names or a term
// of 64 KB must not drown the sentence. The JSON report has them whole.
const (
	maxList  = 12  // elements of a list
	maxValue = 300 // bytes of a value, before it is sanitised
)

// Value is one value as it stands in a sentence, sanitised. A string v whose
// key term.<name>.<v> is in the frame is shown by that text; host names with
// A-labels are shown with their U-labels first.
func (c *Catalog) Value(name string, v any) string { return c.value(nil, name, v) }

// Term is Value for a value of a check: the Terms of its document have texts
// for codes too, <name>.<v>.
func (c *Catalog) Term(check, name string, v any) string { return c.value(c.checks[check], name, v) }

func (c *Catalog) value(doc *Doc, name string, v any) string {
	switch v := v.(type) {
	case string:
		return c.str(doc, name, v)
	case int:
		if name == "duration" {
			return c.Duration(v)
		}
		return strconv.Itoa(v)
	case bool:
		if v {
			return c.frame["value.true"]
		}
		return c.frame["value.false"]
	case []string:
		if len(v) == 0 {
			return c.frame["value.none"]
		}
		var b strings.Builder
		for i, s := range v {
			if i == maxList {
				b.WriteString(c.T("list.more", diag.Args{"n": len(v) - maxList}))
				break
			}
			if i > 0 {
				b.WriteString(c.frame["list.sep"])
			}
			b.WriteString(c.str(doc, name, s))
		}
		return b.String()
	}
	return sanitize.Text(fmt.Sprint(v))
}

// Duration is a time of so many seconds in the units that people would use,
// sanitised: "1 h". An int that is called "duration" is shown so.
func (c *Catalog) Duration(s int) string {
	switch {
	case s >= 2*86400 && (s%86400 == 0 || s >= 30*86400):
		return c.T("time.d", diag.Args{"n": s / 86400})
	case s >= 3*86400:
		return c.T("time.dh", diag.Args{"d": s / 86400, "h": s % 86400 / 3600})
	case s >= 3600 && s%3600 == 0:
		return c.T("time.h", diag.Args{"n": s / 3600})
	case s >= 3600:
		return c.T("time.hm", diag.Args{"h": s / 3600, "m": s % 3600 / 60})
	case s >= 120 || s == 60:
		return c.T("time.m", diag.Args{"n": s / 60})
	}
	return c.T("time.s", diag.Args{"n": s})
}

func (c *Catalog) str(doc *Doc, name, s string) string {
	text, _ := c.shown(doc, name, s)
	return text
}

// shown is a string value as it stands in a sentence, and whether that is a
// word of ours in its place.
func (c *Catalog) shown(doc *Doc, name, s string) (text string, ours bool) {
	if s == "" {
		return c.frame["value.empty"], true
	}
	if len(s) < maxValue && strings.Trim(s, " \u3000") == "" {
		return `"` + s + `"`, false // blanks alone could not be seen
	}
	if len(s) < 64 {
		if t, ok := c.frame["term."+name+"."+s]; ok {
			return t, true
		}
		if doc != nil {
			if t, ok := doc.Terms[name+"."+s]; ok {
				return t, true
			}
		}
	}
	tail := ""
	if len(s) > maxValue {
		cut := maxValue
		for cut > maxValue-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s, tail = s[:cut], "…"
	}
	return sanitize.Text(Name(s)) + tail, false
}

// Name is s with each host name in it that has A-labels shown as people read
// it ("例え.jp (xn--r8jz45g.jp) TXT"). A word counts as a host name if it is
// made of letters, digits, '-', '_' and dots alone. It does not sanitise.
func Name(s string) string {
	if !strings.Contains(s, "xn--") {
		return s
	}
	words := strings.Split(s, " ")
	for i, w := range words {
		if strings.Contains(w, "xn--") && strings.Trim(w, hostChars) == "" {
			words[i] = dnsq.Display(w)
		}
	}
	return strings.Join(words, " ")
}

const hostChars = "abcdefghijklmnopqrstuvwxyz0123456789-_."

// expand replaces {name} by value(name), {{ and }} by single braces. Texts are
// checked when they are read; here anything odd is copied.
func expand(text string, value func(string) string) string {
	if !strings.ContainsAny(text, "{}") {
		return text
	}
	var b strings.Builder
	b.Grow(len(text) + 32)
	walk(text, func(s string) { b.WriteString(s) }, func(name string) { b.WriteString(value(name)) })
	return b.String()
}

// walk calls own for each part of text that stands for itself, and value for
// each {name}.
func walk(text string, own, value func(string)) {
	i := strings.IndexAny(text, "{}")
	for i >= 0 {
		own(text[:i])
		text = text[i:]
		switch {
		case strings.HasPrefix(text, "{{"), strings.HasPrefix(text, "}}"):
			own(text[:1])
			text = text[2:]
		case text[0] == '{' && strings.IndexByte(text, '}') > 0:
			end := strings.IndexByte(text, '}')
			value(text[1:end])
			text = text[end+1:]
		default:
			own(text[:1])
			text = text[1:]
		}
		i = strings.IndexAny(text, "{}")
	}
	own(text)
}

// placeholders lists the names in text, in order, and says what is wrong with
// its braces.
func placeholders(text string) (names []string, err error) {
	for {
		i := strings.IndexAny(text, "{}")
		if i < 0 {
			return names, nil
		}
		text = text[i:]
		if strings.HasPrefix(text, "{{") || strings.HasPrefix(text, "}}") {
			text = text[2:]
			continue
		}
		if text[0] == '}' {
			return names, fmt.Errorf("a } without its {: write }} for a plain brace")
		}
		end := strings.IndexByte(text, '}')
		if end < 0 {
			return names, fmt.Errorf("a { without its }: write {{ for a plain brace")
		}
		name := text[1:end]
		if !isName(name) {
			return names, fmt.Errorf("{%s} is no placeholder: lower case letters, digits and _ only; write {{ for a plain brace", name)
		}
		names = append(names, name)
		text = text[end+1:]
	}
}

func isName(s string) bool {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

var frameOnce [2]struct {
	sync.Once
	m   map[string]string
	err error
}

// frames is the parsed frame of a language, read once.
func frames(lang string) (map[string]string, error) {
	for i, l := range Languages {
		if l == lang {
			f := &frameOnce[i]
			f.Do(func() { f.m, f.err = parseFrame("frame."+lang+".txt", frameText[lang]) })
			return f.m, f.err
		}
	}
	return nil, fmt.Errorf("no texts in the language %q: expected one of %s", lang, strings.Join(Languages, ", "))
}
