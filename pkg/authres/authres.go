// Package authres reads what receivers wrote into a mail about SPF, DKIM and
// DMARC: Authentication-Results (RFC 8601), ARC-Authentication-Results (RFC
// 8617 §4.1.1) and Received-SPF (RFC 7208 §9.1).
//
// # The field in one page
//
// A receiver puts one on top of the mail:
//
//	Authentication-Results: mx.customer.example 1;
//		spf=pass smtp.mailfrom=order@shop.example;
//		dkim=fail reason="body hash did not verify" header.d=shop.example;
//		dmarc=pass (p=none) header.from=shop.example
//
// First the name of who says it (authserv-id), perhaps a version; then, each
// behind a semicolon, a method with its result, perhaps a reason, and
// properties of the form type.name=value, which say what was looked at. "none"
// in their place says that nothing was. Comments may stand anywhere. In the
// ARC form "i=N;" comes first.
//
// Anybody can write such a field into a mail. What one says is a fact only if
// the receiver wrote it; which those are, the Received path says (package
// received).
//
// # What is read beyond the RFC
//
// Microsoft writes no authserv-id, "action=none" and "reason=100" without a
// type, and used to put the recipient's domain between two results. Some leave
// out semicolons; some put "=" or unquoted spaces into values. [Parse] reads
// all that, notes what was wrong with its place ([Field.Faults]), and goes on
// behind what it cannot read.
package authres

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// Limits of what is read of one field.
const (
	MaxLength  = 64 << 10 // octets
	MaxResults = 200
	maxFaults  = 50
)

// A Field is one Authentication-Results or ARC-Authentication-Results field.
type Field struct {
	// AuthservID says who speaks, "" if the field does not say (Microsoft).
	AuthservID string
	// Version is 1 unless the field says otherwise (RFC 8601 §2.2).
	Version int
	// Instance is the i= of the ARC form, 0 in the other or where it lacks.
	Instance int
	// None: the field says that nothing was looked at.
	None    bool
	Results []Result
	Faults  []Fault
}

// A Result is what one method found.
type Result struct {
	Method string // lower case: "spf", "dkim"; a version behind "/" is left out
	Value  string // lower case: "pass"
	Reason string
	// Comments are without the outer parentheses, in order, wherever they stand
	// in the result.
	Comments []string
	Props    []Prop
	// Start and End are the octets of the result in the text.
	Start, End int
}

// A Prop is a property. Type is "" for what some write without one ("action").
type Prop struct {
	Type, Name string // lower case: "header", "from"
	Value      string // quotes taken off
}

// A Code says what is wrong with a field.
type Code string

// The codes.
const (
	NoAuthservID     Code = "no-authserv-id"
	NoInstance       Code = "no-instance" // the ARC form without i=
	BadInstance      Code = "bad-instance"
	MissingSemicolon Code = "missing-semicolon"
	StrayWord        Code = "stray-word" // a word that is neither a result nor a property
	BadVersion       Code = "bad-version"
	NoType           Code = "no-type"   // a property without its type
	NoResult         Code = "no-result" // a method without a result
	NoEnd            Code = "no-end"    // a comment or quoted-string without end
	TooLong          Code = "too-long"  // over MaxLength or MaxResults; the rest was not read
	Empty            Code = "empty"     // neither a result nor "none" (RFC 8601 §2.2)
)

// A Fault is a place that breaks the grammar.
type Fault struct {
	Code   Code
	Offset int // octets of the text
	Length int
	Text   string // at most 100 octets
}

// methods are those that RFC 8601 and the IANA registry have, and compauth.
// They tell a result from a property where a semicolon lacks.
var methods = map[string]bool{"auth": true, "dkim": true, "dkim-adsp": true, "dkim-atps": true, "domainkeys": true, "iprev": true, "sender-id": true, "spf": true,
	"dmarc": true, "vbr": true, "rrvs": true, "smime": true, "arc": true, "dnswl": true, "bimi": true, "compauth": true, "dara": true}

// Get is the value of a property; ok is false if there is none. Type and name
// are in lower case.
func (r *Result) Get(typ, name string) (value string, ok bool) {
	for _, p := range r.Props {
		if p.Type == typ && p.Name == name {
			return p.Value, true
		}
	}
	return "", false
}

// Domain is the domain that the result is about, in lower case: header.d or
// that of header.i of dkim, that of smtp.mailfrom (or smtp.helo) of spf,
// header.from of dmarc. "" if the field does not say; Microsoft's "none" counts
// as that.
func (r *Result) Domain() string {
	var try [][2]string
	switch r.Method {
	case "dkim", "domainkeys":
		try = [][2]string{{"header", "d"}, {"header", "i"}}
	case "spf", "sender-id":
		// "smtp.mail" is what Gmail wrote before RFC 7001.
		try = [][2]string{{"smtp", "mailfrom"}, {"smtp", "mail"}, {"smtp", "helo"}}
	case "dmarc", "compauth", "bimi", "dkim-adsp":
		try = [][2]string{{"header", "from"}, {"header", "d"}}
	}
	for _, t := range try {
		v, _ := r.Get(t[0], t[1])
		v = strings.Trim(v, "<> ")
		if i := strings.LastIndexByte(v, '@'); i >= 0 {
			v = v[i+1:]
		}
		if v = strings.ToLower(strings.TrimSuffix(v, ".")); v != "" && v != "none" {
			return v
		}
	}
	return ""
}

var (
	commentAddr = regexp.MustCompile(`(?i)(?:sender ip is|designates?|permitted? sender hosts?|client-ip[=:]) *\[?([0-9a-f][0-9a-f:.]+)\]?`)
	anyAddr     = regexp.MustCompile(`[0-9a-fA-F:.]{7,45}`)
	policyTag   = regexp.MustCompile(`(?i)\b(p|sp|dis|policy|d)=([a-z]+)`)
)

// Addr is the client's address that an spf or iprev result speaks of: from a
// property, or from the sentence that receivers put into a comment. The zero
// Addr if it says none.
func (r *Result) Addr() netip.Addr {
	for _, p := range r.Props {
		if p.Type == "smtp" && (p.Name == "remote-ip" || p.Name == "client-ip") || p.Type == "policy" && p.Name == "iprev" {
			if a, err := netip.ParseAddr(strings.Trim(p.Value, "[]")); err == nil {
				return a.Unmap()
			}
		}
	}
	for _, c := range r.Comments {
		if a := addrIn(c); a.IsValid() {
			return a
		}
	}
	return netip.Addr{}
}

// addrIn finds the address in a sentence about SPF.
func addrIn(s string) netip.Addr {
	if m := commentAddr.FindStringSubmatch(s); m != nil {
		if a, err := netip.ParseAddr(strings.TrimRight(m[1], ".:")); err == nil {
			return a.Unmap()
		}
	}
	for _, w := range anyAddr.FindAllString(s, 20) {
		if a, err := netip.ParseAddr(strings.TrimRight(w, ".")); err == nil {
			return a.Unmap()
		}
	}
	return netip.Addr{}
}

// Policy is what a dmarc result says of the domain's policy (p=) and of what
// was done (dis=, action=), both in lower case, "" if it does not say.
func (r *Result) Policy() (policy, disposition string) {
	for _, c := range r.Comments {
		for _, m := range policyTag.FindAllStringSubmatch(c, 20) {
			v := strings.ToLower(m[2])
			switch strings.ToLower(m[1]) {
			case "p", "policy":
				if policy == "" {
					policy = v
				}
			case "dis", "d":
				if disposition == "" {
					disposition = v
				}
			}
		}
	}
	for _, p := range r.Props {
		switch p.Name {
		case "published-domain-policy", "dmarc":
			if p.Type == "policy" && policy == "" {
				policy = strings.ToLower(p.Value)
			}
		case "applied-disposition":
			if p.Type == "policy" {
				disposition = strings.ToLower(p.Value)
			}
		case "action":
			disposition = strings.ToLower(p.Value)
		}
	}
	return policy, disposition
}

// Of lists the results of a method, in order.
func (f *Field) Of(method string) []*Result {
	var out []*Result
	for i := range f.Results {
		if f.Results[i].Method == method {
			out = append(out, &f.Results[i])
		}
	}
	return out
}

// Parse reads the value of an Authentication-Results field, folded or not.
// Offsets are octets of value.
func Parse(value string) *Field { return parse(value, false) }

// ParseARC reads the value of an ARC-Authentication-Results field.
func ParseARC(value string) *Field { return parse(value, true) }

type tokenKind byte

const (
	word tokenKind = iota
	comment
	semicolon
	eof
)

// A token is a word, with "=" in it or not; quotes inside are taken off.
type token struct {
	kind       tokenKind
	text       string
	eq         int // index of the first "=" outside quotes in text, -1
	start, end int
}

type parser struct {
	s    string
	i    int
	f    *Field
	open bool    // a comment has no end
	held []token // comments inside the word that was read
	// noQuote: a quotation mark has no partner; they are text from there on.
	noQuote bool
}

func (p *parser) fault(code Code, start, end int) {
	if len(p.f.Faults) < maxFaults {
		p.f.Faults = append(p.f.Faults, Fault{code, start, end - start, p.s[start:min(end, start+100)]})
	}
}

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func (p *parser) next() token {
	if len(p.held) > 0 {
		t := p.held[0]
		p.held = p.held[1:]
		return t
	}
	for p.i < len(p.s) && space(p.s[p.i]) {
		p.i++
	}
	if p.i >= len(p.s) {
		return token{kind: eof, start: len(p.s), end: len(p.s)}
	}
	start := p.i
	switch {
	case p.s[p.i] == ';':
		p.i++
		return token{kind: semicolon, start: start, end: p.i}
	case p.s[p.i] == '(' && !p.open:
		if end := commentEnd(p.s, p.i); end > 0 {
			p.i = end
			return token{kind: comment, text: unfold(strings.TrimSpace(p.s[start+1 : end-1])), start: start, end: end}
		}
		p.open = true
		p.fault(NoEnd, start, start+1)
	}
	t := token{kind: word, eq: -1, start: start}
	var b strings.Builder
	p.word(&b, &t)
	// White space and comments may stand round "=", and round the "/" of a
	// method's version and the "." of a property (RFC 8601 §2.2).
	for {
		save, held := p.i, len(p.held)
		p.skip()
		c := byte(0)
		if p.i < len(p.s) {
			c = p.s[p.i]
		}
		so := b.String()
		last := byte(0)
		if so != "" {
			last = so[len(so)-1]
		}
		more := false
		switch {
		case c == 0 || c == ';' || c == '(':
		case t.eq < 0:
			more = c == '=' || c == '/' && methodName(strings.ToLower(so)) || c == '.' && ptypes[strings.ToLower(so)] ||
				last == '/' && methodName(strings.ToLower(so)) || last == '.' && ptypes[strings.ToLower(so[:len(so)-1])]
		case t.eq == len(so)-1:
			more = !p.isKey()
		}
		if !more {
			p.i, p.held = save, p.held[:held]
			break
		}
		p.word(&b, &t)
	}
	t.text, t.end = b.String(), p.i
	return t
}

// ptypes are the types of properties (RFC 8601 §2.3).
var ptypes = map[string]bool{"smtp": true, "header": true, "body": true, "policy": true}

// skip goes over white space and comments, which it holds back.
func (p *parser) skip() {
	for p.i < len(p.s) {
		switch c := p.s[p.i]; {
		case space(c):
			p.i++
		case c == '(' && !p.open:
			end := commentEnd(p.s, p.i)
			if end < 0 {
				return
			}
			p.held = append(p.held, token{kind: comment, text: unfold(strings.TrimSpace(p.s[p.i+1 : end-1])), start: p.i, end: end})
			p.i = end
		default:
			return
		}
	}
}

// isKey reports whether "name=" comes next: then the value before it is empty.
func (p *parser) isKey() bool {
	for j := p.i; j < len(p.s); j++ {
		c := p.s[j]
		if c == '=' {
			return j > p.i
		}
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '/') || j-p.i > 100 {
			return false
		}
	}
	return false
}

// word reads up to white space, a semicolon or a comment.
func (p *parser) word(b *strings.Builder, t *token) {
	for p.i < len(p.s) {
		c := p.s[p.i]
		switch {
		case space(c) || c == ';' || c == '(' && !p.open:
			return
		case c == '"' && !p.noQuote:
			end := quotedEnd(p.s, p.i)
			if end < 0 {
				p.noQuote = true
				p.fault(NoEnd, p.i, p.i+1)
				b.WriteByte(c)
				p.i++
				continue
			}
			b.WriteString(unquote(p.s[p.i+1 : end-1]))
			p.i = end
		default:
			if c == '=' && t.eq < 0 {
				t.eq = b.Len()
			}
			b.WriteByte(c)
			p.i++
		}
	}
}

func commentEnd(s string, i int) int {
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

func quotedEnd(s string, i int) int {
	for i++; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

func unquote(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return unfold(s)
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return unfold(b.String())
}

func unfold(s string) string {
	return strings.NewReplacer("\r", "", "\n", "").Replace(s)
}

func parse(value string, arc bool) *Field {
	f := &Field{Version: 1}
	p := &parser{s: value, f: f}
	if len(value) > MaxLength {
		p.s = value[:MaxLength]
		p.fault(TooLong, MaxLength, MaxLength)
	}
	first := true  // the authserv-id may come
	words := 0     // words of the first element
	element := -1  // index of the result that the current element has
	needI := arc   // i= has not come
	var early bool // a result came without a semicolon behind the authserv-id
	begin := func(t token, method, value string) {
		method, _, _ = strings.Cut(method, "/")
		f.Results = append(f.Results, Result{Method: strings.ToLower(method), Value: strings.ToLower(value), Start: t.start, End: t.end})
		element = len(f.Results) - 1
		if value == "" {
			p.fault(NoResult, t.start, t.end)
		}
	}
	for {
		t := p.next()
		if t.kind == eof {
			break
		}
		if len(f.Results) > MaxResults {
			f.Results = f.Results[:MaxResults]
			p.fault(TooLong, t.start, t.end)
			break
		}
		switch t.kind {
		case semicolon:
			element = -1
			if words > 0 || f.AuthservID != "" {
				first = false
			}
			continue
		case comment:
			if element >= 0 {
				r := &f.Results[element]
				r.Comments = append(r.Comments, t.text)
				r.End = t.end
			}
			continue
		}
		key, val := t.text, ""
		if t.eq >= 0 {
			key, val = t.text[:t.eq], t.text[t.eq+1:]
		}
		low := strings.ToLower(key)
		switch {
		case needI && low == "i" && t.eq >= 0:
			needI = false
			n, err := strconv.Atoi(val)
			// RFC 8617 §4.2.1: 1 to 50.
			if err != nil || n < 1 || n > 50 {
				p.fault(BadInstance, t.start, t.end)
			} else {
				f.Instance = n
			}
		case t.eq < 0 && first && words == 0:
			f.AuthservID = t.text
			words++
		case t.eq < 0 && first && words == 1 && f.AuthservID != "":
			words++
			n, err := strconv.Atoi(t.text)
			if err != nil || n < 1 {
				p.fault(BadVersion, t.start, t.end)
			} else {
				f.Version = n
			}
		case t.eq < 0 && element < 0 && strings.EqualFold(t.text, "none"):
			f.None = true
		case t.eq < 0:
			p.fault(StrayWord, t.start, t.end)
		case element < 0 && !strings.Contains(low, "."):
			// A method and its result.
			if first {
				if f.AuthservID == "" {
					if words == 0 {
						p.fault(NoAuthservID, t.start, t.start)
					}
				} else if methodName(low) {
					if !early {
						p.fault(MissingSemicolon, t.start, t.start)
					}
					early = true
				} else {
					// "mta.mail.example from=shop.example;", as Yahoo once wrote.
					p.fault(StrayWord, t.start, t.end)
					continue
				}
				first = false
			}
			begin(t, key, val)
		case element >= 0 && low == "reason" && f.Results[element].Method != "compauth":
			r := &f.Results[element]
			r.Reason, r.End = val, t.end
		case element >= 0 && !strings.Contains(low, ".") && methodName(low):
			p.fault(MissingSemicolon, t.start, t.start)
			begin(t, key, val)
		case element >= 0:
			r := &f.Results[element]
			typ, name, dotted := strings.Cut(low, ".")
			if !dotted {
				typ, name = "", low
				p.fault(NoType, t.start, t.end)
			}
			r.Props = append(r.Props, Prop{typ, name, val})
			r.End = t.end
		default:
			p.fault(StrayWord, t.start, t.end)
		}
	}
	if needI {
		p.fault(NoInstance, 0, 0)
	}
	if len(f.Results) == 0 && !f.None {
		p.fault(Empty, 0, len(p.s))
	}
	return f
}

// methodName reports whether a word before "=" is a method, to be told from a
// property without type.
func methodName(s string) bool {
	s, _, _ = strings.Cut(s, "/")
	return methods[s]
}

// An SPF is a Received-SPF field.
type SPF struct {
	Result  string // lower case: "pass"
	Comment string
	// Keys are the pairs in order, keys in lower case, quotes and < > taken off.
	Keys []Prop
	// Addr is client-ip, or the address in the comment where that lacks.
	Addr     netip.Addr
	Identity string // "mailfrom", "helo"; "" if not said
	Faults   []Fault
}

// Get is the value of a key, "" if there is none.
func (r *SPF) Get(key string) string {
	for _, k := range r.Keys {
		if k.Name == key {
			return k.Value
		}
	}
	return ""
}

// spfResults are those of RFC 7208 §2.6, and softfail's older spellings.
var spfResults = map[string]string{"pass": "pass", "fail": "fail", "softfail": "softfail", "neutral": "neutral", "none": "none", "temperror": "temperror", "permerror": "permerror",
	"error": "temperror", "unknown": "permerror", "hardfail": "fail", "soft-fail": "softfail"}

// ParseSPF reads the value of a Received-SPF field, folded or not. Older
// results (RFC 4408's forerunners) come as those of RFC 7208.
func ParseSPF(value string) *SPF {
	out := &SPF{}
	p := &parser{s: value, f: &Field{}}
	if len(value) > MaxLength {
		p.s = value[:MaxLength]
		p.fault(TooLong, MaxLength, MaxLength)
	}
	for {
		t := p.next()
		if t.kind == eof || len(out.Keys) > MaxResults {
			break
		}
		switch {
		case t.kind == comment:
			if out.Comment == "" {
				out.Comment = t.text
			}
		case t.kind == semicolon:
		case t.eq >= 0:
			k := strings.ToLower(t.text[:t.eq])
			out.Keys = append(out.Keys, Prop{Name: k, Value: strings.Trim(t.text[t.eq+1:], "<>")})
		case out.Result == "":
			low := strings.ToLower(strings.TrimRight(t.text, ":,"))
			if v, ok := spfResults[low]; ok {
				out.Result = v
			} else {
				out.Result = low
				p.fault(NoResult, t.start, t.end)
			}
		default:
			p.fault(StrayWord, t.start, t.end)
		}
	}
	if a, err := netip.ParseAddr(strings.Trim(out.Get("client-ip"), "[]")); err == nil {
		out.Addr = a.WithZone("").Unmap()
	} else {
		out.Addr = addrIn(out.Comment)
	}
	out.Identity = strings.ToLower(out.Get("identity"))
	if out.Result == "" {
		p.fault(Empty, 0, len(p.s))
	}
	out.Faults = p.f.Faults
	return out
}
