package spf

import (
	"strconv"
	"strings"
)

// A piece of a macro-string: literal text, one of the escapes %% %_ %-, or a
// macro %{…} (letter not 0).
type piece struct {
	from, to int    // octets of the macro-string
	macro    bool   // a macro-expand, that is, an escape or %{…}
	lit      string // what a literal or an escape stands for
	letter   byte   // lower case; 0 for a literal or an escape
	escape   bool   // the letter was upper case: URL escaping (§7.3)
	digits   int    // number of right-hand parts to keep, 0 for all
	reverse  bool
	delims   string // delimiters, "" for "."
}

type badMacro struct {
	code     string
	from, to int
}

// tokenise reads a macro-string (RFC 7208 §7.1), or with spaces an
// explain-string.
func tokenise(s string, spaces bool) ([]piece, badMacro) {
	if s == "" {
		return nil, badMacro{}
	}
	out := make([]piece, 0, 1+2*strings.Count(s, "%"))
	for i := 0; i < len(s); {
		if s[i] != '%' {
			j := i
			for j < len(s) && s[j] != '%' {
				// macro-literal = %x21-24 / %x26-7E
				switch c := s[j]; {
				case c == ' ' && spaces:
				case c >= 0x80:
					return nil, badMacro{ErrNonASCII, j, j + 1}
				case c <= ' ' || c == 0x7f:
					return nil, badMacro{ErrControlChar, j, j + 1}
				}
				j++
			}
			out = append(out, piece{from: i, to: j, lit: s[i:j]})
			i = j
			continue
		}
		// A % that is not followed by one of { % - _ is a syntax error (§7.1).
		if i+1 == len(s) {
			return nil, badMacro{ErrBadMacro, i, i + 1}
		}
		lit := ""
		switch s[i+1] {
		case '%':
			lit = "%"
		case '_':
			lit = " "
		case '-':
			lit = "%20"
		case '{':
			p, end, ok := readMacro(s, i)
			if !ok {
				return nil, badMacro{ErrBadMacro, i, end}
			}
			out = append(out, p)
			i = end
			continue
		default:
			return nil, badMacro{ErrBadMacro, i, i + 2}
		}
		out = append(out, piece{from: i, to: i + 2, macro: true, lit: lit})
		i += 2
	}
	return out, badMacro{}
}

// readMacro reads "%{" macro-letter transformers *delimiter "}" at i. end is
// behind it or, if it is wrong, behind the part at fault.
func readMacro(s string, i int) (p piece, end int, ok bool) {
	p = piece{from: i, macro: true}
	j := i + 2
	next := func() byte {
		if j < len(s) {
			return s[j]
		}
		return 0
	}
	// Everything up to the brace is at fault when something is.
	fail := func() (piece, int, bool) {
		if k := strings.IndexByte(s[i:], '}'); k >= 0 {
			return p, i + k + 1, false
		}
		return p, len(s), false
	}
	c := next()
	p.escape = 'A' <= c && c <= 'Z'
	p.letter = c | 0x20
	if !isAlpha(c) || strings.IndexByte("slodiphcrtv", p.letter) < 0 {
		return fail()
	}
	j++
	start := j
	for isDigit(next()) {
		if p.digits < 1000 { // §7.3: at least 128 must work; no value has 1000 parts that matter
			p.digits = p.digits*10 + int(s[j]-'0')
		}
		j++
	}
	// §7.3: if a DIGIT is specified, the value MUST be nonzero.
	if j > start && p.digits == 0 {
		return fail()
	}
	if next() == 'r' || next() == 'R' { // ABNF strings are case-insensitive
		p.reverse = true
		j++
	}
	start = j
	for c := next(); c != 0 && strings.IndexByte(".-+,/_=", c) >= 0; c = next() {
		j++
	}
	p.delims = s[start:j]
	if next() != '}' {
		return fail()
	}
	p.to = j + 1
	return p, p.to, true
}

// transform applies the transformers and the escaping of a macro to the value
// of its letter (§7.3).
func (p *piece) transform(v string) string {
	if p.digits != 0 || p.reverse || p.delims != "" {
		// "split into parts separated by one or more of the specified
		// delimiter characters": each delimiter character ends a part, as
		// other implementations read it too (blitiri.com.ar/go/spf among them).
		// "a--b" split at "-" has an empty part in the middle; the name that
		// comes of it cannot be asked.
		delims := p.delims
		if delims == "" {
			delims = "."
		}
		var parts []string
		start := 0
		for i := 0; i < len(v); i++ {
			if strings.IndexByte(delims, v[i]) >= 0 {
				parts = append(parts, v[start:i])
				start = i + 1
			}
		}
		parts = append(parts, v[start:])
		if p.reverse {
			for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
				parts[i], parts[j] = parts[j], parts[i]
			}
		}
		if p.digits > 0 && p.digits < len(parts) {
			parts = parts[len(parts)-p.digits:]
		}
		v = strings.Join(parts, ".") // rejoined with ".", not with the delimiters
	}
	if p.escape {
		v = urlEscape(v)
	}
	return v
}

// urlEscape escapes all but the unreserved set of RFC 3986 §2.3 (§7.3).
func urlEscape(s string) string {
	const hex = "0123456789ABCDEF"
	n := 0
	for i := 0; i < len(s); i++ {
		if !unreserved(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	b := make([]byte, 0, len(s)+2*n)
	for i := 0; i < len(s); i++ {
		if c := s[i]; unreserved(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

func unreserved(c byte) bool {
	return isAlnum(c) || c == '-' || c == '.' || c == '_' || c == '~'
}

// maxExplanation bounds an expanded explanation, octets. A reply line of SMTP
// has 512 (RFC 5321 §4.5.3.1.5); anything near this is an attack.
const maxExplanation = 16 << 10

// expandText expands an explanation. ok is false if it grows beyond all use.
func expandText(pieces []piece, value func(letter byte) string) (s string, ok bool) {
	var b strings.Builder
	for i := range pieces {
		p := &pieces[i]
		if p.letter == 0 {
			b.WriteString(p.lit)
		} else {
			b.WriteString(p.transform(value(p.letter)))
		}
		if b.Len() > maxExplanation {
			return "", false
		}
	}
	return b.String(), true
}

// expandDomain expands a domain-spec and cuts it to 253 characters (§7.3): the
// left side goes, by whole labels. Only the right end can matter, so pieces
// are expanded from the right and no further than needed: a record of 64 KiB
// of macros costs no more than a short one.
func expandDomain(pieces []piece, value func(letter byte) string) string {
	const enough = 2 * 256
	n, first := 0, len(pieces)
	var few [8]string
	vals := few[:0]
	for first > 0 && n <= enough {
		first--
		p := &pieces[first]
		v := p.lit
		if p.letter != 0 {
			v = p.transform(value(p.letter))
		}
		n += len(v)
		vals = append(vals, v)
	}
	var b strings.Builder
	b.Grow(n)
	for i := len(vals) - 1; i >= 0; i-- {
		b.WriteString(vals[i])
	}
	s := strings.TrimSuffix(b.String(), ".")
	for len(s) > 253 {
		i := strings.IndexByte(s, '.')
		if i < 0 {
			break // one label of over 253 octets: no name at all
		}
		s = s[i+1:]
	}
	return s
}

func unixSeconds(t int64) string { return strconv.FormatInt(t, 10) }
