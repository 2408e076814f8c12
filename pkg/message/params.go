package message

import (
	"sort"
	"strconv"
	"strings"
)

// A Param is one parameter of a Content-Type or Content-Disposition.
type Param struct {
	Name  string // lower case, without the marks of RFC 2231
	Value string // decoded
	// Raw is the value as written, quotes taken off; the pieces of RFC 2231 §3
	// joined.
	Raw string
	// Form says how it was written.
	Form ParamForm
	// Charset is what a value in another form than plain was decoded from.
	Charset     string
	Undecodable bool
}

// A ParamForm says how a parameter's value was written.
type ParamForm string

// The forms. Those after Extended are not allowed and common all the same.
const (
	Plain       ParamForm = "plain"
	Extended    ParamForm = "rfc2231"      // name*=charset'language'%XX
	EncodedWord ParamForm = "encoded-word" // name="=?charset?B?…?=", which RFC 2047 §5 (3) forbids
	RawOctets   ParamForm = "raw"          // letters that are not ASCII as they are
)

// A Parametrized is a header value with parameters (RFC 2045 §5.1).
type Parametrized struct {
	Value  string // lower case: "text/plain", "attachment"
	Params []Param
	// Faults are FaultParamSyntax and FaultParamTwice with the name or text at
	// fault.
	Faults []ParamFault
}

// A ParamFault is a fault with its text.
type ParamFault struct {
	Code FaultCode
	Text string
}

// Get is the value of a parameter, "" if there is none.
func (p *Parametrized) Get(name string) string {
	for i := range p.Params {
		if p.Params[i].Name == name {
			return p.Params[i].Value
		}
	}
	return ""
}

// maxParams is how many parameters of one field are read.
const maxParams = 200

// ParseParams reads a value with parameters: RFC 2045 §5.1 with RFC 2231, and
// what mail programs write in their place. Of two parameters of one name the
// first counts; a value of RFC 2231 counts before a plain one.
func ParseParams(s string) Parametrized {
	var p Parametrized
	l := paramLexer{s: s}
	p.Value = strings.ToLower(strings.TrimSpace(l.word(";")))
	type piece struct {
		n        int
		extended bool
		text     string
	}
	type param struct {
		name   string
		plain  *string
		pieces []piece
	}
	var order []*param
	byName := map[string]*param{}
	fault := func(c FaultCode, text string) {
		if len(p.Faults) < 10 {
			p.Faults = append(p.Faults, ParamFault{c, clip([]byte(text), 100)})
		}
	}
	for n := 0; l.next() && n < maxParams; n++ {
		name := strings.ToLower(strings.TrimSpace(l.word("=;")))
		if !l.at('=') {
			if name != "" {
				fault(FaultParamSyntax, name)
			}
			continue
		}
		l.i++
		value, clean := l.value()
		if !clean || name == "" || strings.ContainsAny(name, " \t\"") {
			fault(FaultParamSyntax, name+"="+value)
		}
		base, mark, starred := strings.Cut(name, "*")
		q := byName[base]
		if q == nil {
			q = &param{name: base}
			byName[base] = q
			order = append(order, q)
		}
		if !starred {
			if q.plain != nil {
				fault(FaultParamTwice, name)
				continue
			}
			q.plain = &value
			continue
		}
		pc := piece{text: value}
		mark, pc.extended = strings.CutSuffix(mark, "*")
		if mark == "" { // name*= (§4), one piece, always encoded
			pc.extended = true
		} else if k, err := strconv.Atoi(mark); err != nil || k < 0 || k > maxParams {
			fault(FaultParamSyntax, name)
			continue
		} else {
			pc.n = k
		}
		q.pieces = append(q.pieces, pc)
	}
	for _, q := range order {
		if len(q.pieces) == 0 {
			if q.plain == nil { // every piece of it had a fault
				continue
			}
			p.Params = append(p.Params, plainParam(q.name, *q.plain))
			continue
		}
		sort.SliceStable(q.pieces, func(i, j int) bool { return q.pieces[i].n < q.pieces[j].n })
		out := Param{Name: q.name, Form: Extended}
		var octets []byte
		extended := false
		for i, pc := range q.pieces {
			if i > 0 && pc.n == q.pieces[i-1].n {
				fault(FaultParamTwice, q.name+"*"+strconv.Itoa(pc.n))
				continue
			}
			if pc.n != i && pc.n != q.pieces[0].n+i {
				fault(FaultParamSyntax, q.name+"*"+strconv.Itoa(pc.n))
			}
			out.Raw += pc.text
			text := pc.text
			if pc.extended {
				extended = true
				if i == 0 {
					// charset'language'text; a text without both quotes has no charset.
					if cs, rest, ok := strings.Cut(text, "'"); ok {
						if _, body, ok := strings.Cut(rest, "'"); ok {
							out.Charset, text = cs, body
						}
					}
				}
				octets = append(octets, percentDecode(text)...)
				continue
			}
			octets = append(octets, text...)
		}
		if !extended {
			// Pieces without a charset: some programs cut encoded-words up.
			d := plainParam(q.name, string(octets))
			d.Raw = out.Raw
			p.Params = append(p.Params, d)
			continue
		}
		if out.Charset != "" {
			text, err := decodeCharset(out.Charset, octets)
			out.Value, out.Undecodable = text, err != nil
		} else {
			text, cs, ok := guessText(octets)
			out.Value, out.Charset, out.Undecodable = text, cs, !ok
		}
		p.Params = append(p.Params, out)
	}
	return p
}

func plainParam(name, value string) Param {
	out := Param{Name: name, Value: value, Raw: value, Form: Plain}
	if plainASCII(value) {
		return out
	}
	d := DecodeText(value)
	out.Value, out.Undecodable = d.Text, d.Undecodable
	switch {
	case len(d.Words) > 0:
		out.Form, out.Charset = EncodedWord, d.Words[0].Charset
	case d.Guessed != "" || d.Undecodable:
		out.Form, out.Charset = RawOctets, d.Guessed
	}
	return out
}

func percentDecode(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && hexValue(s[i+1]) >= 0 && hexValue(s[i+2]) >= 0 {
			out = append(out, byte(hexValue(s[i+1])<<4|hexValue(s[i+2])))
			i += 2
			continue
		}
		out = append(out, s[i])
	}
	return out
}

type paramLexer struct {
	s    string
	i    int
	open bool // a comment has no end: parentheses are text from there on
}

func (l *paramLexer) at(c byte) bool { return l.i < len(l.s) && l.s[l.i] == c }

// next goes behind the next semicolon; false at the end.
func (l *paramLexer) next() bool {
	if l.i < len(l.s) && l.s[l.i] != ';' {
		j := strings.IndexByte(l.s[l.i:], ';')
		if j < 0 {
			l.i = len(l.s)
			return false
		}
		l.i += j
	}
	if l.i >= len(l.s) {
		return false
	}
	l.i++
	return strings.Trim(l.s[l.i:], " \t\r\n") != ""
}

// word reads up to one of the octets in stop, comments left out.
func (l *paramLexer) word(stop string) string {
	var b strings.Builder
	for l.i < len(l.s) && strings.IndexByte(stop, l.s[l.i]) < 0 {
		if l.s[l.i] == '(' && !l.open {
			if end := skipComment(l.s, l.i); end > 0 {
				l.i = end
				continue
			}
			l.open = true
		}
		b.WriteByte(l.s[l.i])
		l.i++
	}
	return b.String()
}

// value reads what stands behind "=". clean is false if it is neither a token
// nor a quoted-string.
func (l *paramLexer) value() (v string, clean bool) {
	for l.i < len(l.s) && strings.IndexByte(" \t\r\n", l.s[l.i]) >= 0 {
		l.i++
	}
	if !l.at('"') {
		v = strings.Trim(l.word(";"), " \t\r\n")
		// RFC 2045 §5.1: a token has no spaces and none of the tspecials.
		return v, v != "" && !strings.ContainsAny(v, " \t()<>@,:\\\"/[]?=")
	}
	l.i++
	var b strings.Builder
	for l.i < len(l.s) {
		c := l.s[l.i]
		l.i++
		switch {
		case c == '\\' && l.i < len(l.s):
			b.WriteByte(l.s[l.i])
			l.i++
		case c == '"':
			rest := l.word(";")
			return b.String(), strings.Trim(rest, " \t\r\n") == ""
		case c == '\r' || c == '\n':
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), false
}

// skipComment is the offset behind the comment that begins at s[i] == '('; -1
// if it has no end (RFC 5322 §3.2.2; they nest).
func skipComment(s string, i int) int {
	depth := 0
	for ; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}
