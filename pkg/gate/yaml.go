package gate

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
	"github.com/mattn/go-runewidth"
)

// The strict reading of YAML. The library's decoder stops at the first fault and
// knows nothing of names and dates, so the syntax tree is walked here: every
// fault is told, each with the line it stands on.

// Limits of what is read.
const (
	maxFile   = 1 << 20 // octets of an inventory
	maxLock   = 8 << 20 // octets of a lock
	maxDepth  = 20      // lists and mappings inside each other, on one line
	maxIndent = 200     // columns of indentation: what is nested line by line is no deeper
	maxErrors = 20      // told; more are only counted
)

// An Error is one fault of a file, with the place where it stands.
type Error struct {
	File         string
	Line, Column int    // from 1, in characters; 0: the file as a whole
	Source       string // the line, as it stands
	Length       int    // characters at fault, from Column
	Message      string
}

// Error is "file:line:column: message", then the line with carets under the part
// at fault.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Message
	}
	head := fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
	line := []rune(strings.ReplaceAll(e.Source, "\t", " "))
	from := min(max(e.Column-1, 0), len(line))
	n := min(max(e.Length, 1), max(len(line)-from, 1))
	// A long line is cut to what stands round the fault.
	const before, wide = 30, 70
	start := 0
	if from > wide-20 {
		start = from - before
	}
	end := min(len(line), start+wide)
	n = max(min(n, end-from), 1)
	lead, tail := "", ""
	if start > 0 {
		lead = "…"
	}
	if end < len(line) {
		tail = "…"
	}
	at := runewidth.StringWidth(lead + string(line[start:from]))
	long := max(runewidth.StringWidth(string(line[from:min(from+n, len(line))])), 1)
	no := fmt.Sprintf("%5d | ", e.Line)
	return head + "\n" + no + lead + string(line[start:end]) + tail + "\n" +
		strings.Repeat(" ", len(no)-2) + "| " + strings.Repeat(" ", at) + strings.Repeat("^", long)
}

// Errors are all the faults of a file, in the order in which they stand there.
type Errors []*Error

// Error has them all, one below the other.
func (l Errors) Error() string {
	var out []string
	for i, e := range l {
		if i == maxErrors {
			out = append(out, fmt.Sprintf("… and %d more", len(l)-i))
			break
		}
		out = append(out, e.Error())
	}
	return strings.Join(out, "\n")
}

// A reader walks a syntax tree and collects what is wrong with it.
type reader struct {
	file  string
	max   int // octets that are read
	lines []string
	errs  Errors
}

// sorted are the faults in the order in which they stand in the file.
func (r *reader) sorted() Errors {
	slices.SortStableFunc(r.errs, func(a, b *Error) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
	return r.errs
}

// parse is the value of the one document in text; nil and errs set if it cannot
// be read at all.
func (r *reader) parse(text []byte) (root ast.Node) {
	whole := func(format string, a ...any) { // a fault of the file as a whole
		r.errs = append(r.errs, &Error{File: r.file, Message: fmt.Sprintf(format, a...)})
	}
	if len(text) > r.max {
		whole("is %d octets long; at most %d are read", len(text), r.max)
		return nil
	}
	if !utf8.Valid(text) {
		whole("is not valid UTF-8 text")
		return nil
	}
	src := strings.ReplaceAll(strings.TrimPrefix(string(text), "\ufeff"), "\r\n", "\n")
	r.lines = strings.Split(src, "\n")
	for i, l := range r.lines {
		if body := strings.TrimLeft(l, " "); body != "" && len(l)-len(body) > maxIndent {
			r.errs = append(r.errs, &Error{File: r.file, Line: i + 1, Column: maxIndent + 1, Source: l, Length: 1,
				Message: fmt.Sprintf("indented by more than %d columns", maxIndent)})
			return nil
		}
		for j, c := range []rune(l) {
			// YAML 1.2 §5.1 allows no control characters but the tab.
			if c < ' ' && c != '\t' || c == 0x7f {
				r.errs = append(r.errs, &Error{File: r.file, Line: i + 1, Column: j + 1, Source: l, Length: 1, Message: "a control character, which YAML does not allow"})
				return nil
			}
			// §6.1: nor tabs for indentation.
			if c == '\t' && strings.TrimLeft(string([]rune(l)[:j]), " ") == "" && strings.TrimSpace(l) != "" {
				r.errs = append(r.errs, &Error{File: r.file, Line: i + 1, Column: j + 1, Source: l, Length: 1, Message: "a tab in the indentation: expected spaces"})
				return nil
			}
		}
	}
	defer func() {
		if p := recover(); p != nil { // the parser's own trouble with hostile text
			root = nil
			whole("is no YAML that can be read (%v)", p)
		}
	}()
	tokens := lexer.Tokenize(src)
	if !r.shallow(tokens) {
		return nil
	}
	f, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var ye yaml.Error
		if errors.As(err, &ye) && ye.GetToken() != nil {
			msg := ye.GetMessage()
			r.at(ye.GetToken(), "is no YAML: %s", msg)
		} else {
			whole("is no YAML: %v", err)
		}
		return nil
	}
	for _, d := range f.Docs {
		if d.Body == nil {
			continue
		}
		if root != nil {
			r.at(d.Body.GetToken(), "a second document: expected one in the file")
			return nil
		}
		root = d.Body
	}
	return root
}

// shallow reports whether nothing is nested deeper than a file could need, and
// that nothing refers to other parts: the parser recurses, and references make a
// small file large.
func (r *reader) shallow(tokens token.Tokens) bool {
	flow, entries, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position != nil && t.Position.Line != line {
			entries, line = 0, t.Position.Line
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType:
			entries++
		case token.AnchorType, token.AliasType, token.MergeKeyType, token.TagType, token.DirectiveType:
			r.at(t, "anchors, references, tags and directives are not read here: write the value out")
			return false
		}
		if flow > maxDepth || entries > maxDepth {
			r.at(t, "nested more than %d levels deep", maxDepth)
			return false
		}
	}
	return true
}

// at notes a fault at a token.
func (r *reader) at(t *token.Token, format string, a ...any) {
	e := &Error{File: r.file, Message: fmt.Sprintf(format, a...)}
	if t != nil && t.Position != nil {
		e.Line, e.Column = t.Position.Line, t.Position.Column
		e.Length = utf8.RuneCountInString(t.Value)
		if t.Type == token.DoubleQuoteType || t.Type == token.SingleQuoteType {
			e.Length += 2
		}
		if e.Line >= 1 && e.Line <= len(r.lines) {
			e.Source = r.lines[e.Line-1]
		}
	}
	r.errs = append(r.errs, e)
}

// bad notes a fault at a node.
func (r *reader) bad(n ast.Node, format string, a ...any) { r.at(first(n), format, a...) }

// first is the token at which a node begins.
func first(n ast.Node) *token.Token {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return n.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken()
	}
	if n == nil {
		return nil
	}
	return n.GetToken()
}

func line(n ast.Node) int {
	if t := first(n); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

// A pair is one key of a mapping, and its value.
type pair struct {
	name  string
	key   ast.Node
	value ast.Node // nil if there is none
}

// kindOf says what a node is, for a person.
func kindOf(n ast.Node) string {
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.BoolNode:
		return n.GetToken().Value
	default:
		if s, ok := text(n); ok {
			return fmt.Sprintf("%q", s)
		}
		return "something else"
	}
}

// mapping is the keys of n, which is to be a mapping of what; ok is false, and
// the fault noted, if it is none. A key that stands twice is a fault, and taken
// the first time.
func (r *reader) mapping(n ast.Node, what string) (out []pair, ok bool) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		r.bad(n, "%s: expected a mapping, a \"key: value\" a line, but found %s", what, kindOf(n))
		return nil, false
	}
	seen := map[string]ast.Node{}
	for _, v := range values {
		name, ok := text(v.Key)
		if !ok {
			r.bad(v.Key, "%s: a key is to be text, but is %s", what, kindOf(v.Key))
			continue
		}
		if at, twice := seen[name]; twice {
			r.bad(v.Key, "%s: %q stands here a second time; the first time in line %d", what, name, line(at))
			continue
		}
		seen[name] = v.Key
		p := pair{name: name, key: v.Key, value: v.Value}
		if _, null := v.Value.(*ast.NullNode); null {
			p.value = nil
		}
		out = append(out, p)
	}
	return out, true
}

// text is the value of a scalar as it was written; false if n is none, or is
// true, false or null, which are no text.
func text(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return strings.TrimRight(n.Value.Value, "\n"), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		// A selector such as 20240101 or a fingerprint of digits alone.
		return n.GetToken().Value, true
	}
	return "", false
}

// str is the text of p, which is to be what.
func (r *reader) str(p pair, what string) (string, bool) {
	if p.value == nil {
		r.bad(p.key, "%s has no value: expected %s", p.name, what)
		return "", false
	}
	s, ok := text(p.value)
	switch {
	case !ok:
		hint := ""
		switch p.value.(type) {
		case *ast.BoolNode:
			hint = "; put it in quotes if that is what you mean"
		case *ast.MappingNode, *ast.MappingValueNode:
			hint = "; text with a colon in it goes in quotes here"
		}
		r.bad(p.value, "%s is %s: expected %s%s", p.name, kindOf(p.value), what, hint)
		return "", false
	case strings.TrimSpace(s) == "":
		r.bad(p.value, "%s is empty: expected %s", p.name, what)
		return "", false
	}
	return strings.TrimSpace(s), true
}

// boolean is p as true or false.
func (r *reader) boolean(p pair) bool {
	if b, ok := p.value.(*ast.BoolNode); ok {
		return b.Value
	}
	at := p.value
	if at == nil {
		at = p.key
	}
	r.bad(at, "%s is %s: expected true or false", p.name, kindOf(p.value))
	return false
}

// list are the members of p, a list or one value alone. Each is to be what.
func (r *reader) list(p pair, what string) []ast.Node {
	switch v := p.value.(type) {
	case nil:
		r.bad(p.key, "%s has no value: expected a list of %s, or [] for none", p.name, what)
		return nil
	case *ast.SequenceNode:
		return v.Values
	case *ast.MappingNode, *ast.MappingValueNode:
		r.bad(v, "%s is a mapping: expected a list of %s, a \"- \" before each", p.name, what)
		return nil
	default:
		return []ast.Node{v}
	}
}

// texts are the members of a list of texts, with their nodes.
func (r *reader) texts(p pair, what string) (out []scalar) {
	for _, n := range r.list(p, what) {
		if s, ok := r.str(pair{name: p.name, key: p.key, value: orNil(n)}, what); ok {
			out = append(out, scalar{s, n})
		}
	}
	return out
}

func orNil(n ast.Node) ast.Node {
	if _, null := n.(*ast.NullNode); null {
		return nil
	}
	return n
}

type scalar struct {
	text string
	node ast.Node
}

// unknown notes that a key is not one of those there are, and names the nearest.
func (r *reader) unknown(p pair, what string, known ...string) {
	r.bad(p.key, "%s: unknown key %q%s expected one of %s", what, p.name, didYouMean(p.name, known), strings.Join(known, ", "))
}

// nearest is the one of known that s was most probably meant to be, "" if none
// is near.
func nearest(s string, known []string) string {
	best, at := "", 1+max(len(s)/3, 2)
	fold := strings.NewReplacer("-", "", "_", "", " ", "").Replace
	for _, k := range known {
		a, b := strings.ToLower(fold(s)), strings.ToLower(fold(k))
		d := distance(a, b)
		if len(a) > 2 && (strings.HasPrefix(b, a) || strings.HasPrefix(a, b) && len(b) > 2) {
			d = min(d, 1)
		}
		if d < at {
			best, at = k, d
		}
	}
	return best
}

// distance is the number of octets to insert, remove or replace to make a of b
// (Levenshtein). Long texts are not compared to the end.
func distance(a, b string) int {
	a, b = a[:min(len(a), 80)], b[:min(len(b), 80)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
