package message

import (
	"fmt"
	"regexp"
	"strings"
)

// An Address is one mailbox of an address field (RFC 5322 §3.4).
type Address struct {
	// Name is the display name, decoded, or the comment behind a bare address,
	// where names used to stand. It comes from strangers.
	Name string
	// Local and Domain are the two sides of the address, quotes of the local
	// part taken off, the domain as written without comments and spaces
	// ("[192.0.2.1]" for a literal). Both are empty for "<>".
	Local, Domain string
	// Group is the display name of the group it is in, "" if none.
	Group string
	// Route is an obsolete source route without its colon (§4.4), "" if none.
	Route string
	// NameStart and NameEnd are the octets of the text that hold the display
	// name; Start and End those of the address itself, without < and >.
	NameStart, NameEnd, Start, End int
	// InBrackets: the address stands in < and >.
	InBrackets bool
}

// Address is local@domain, quoted where it must be.
func (a Address) Address() string {
	if a.Local == "" && a.Domain == "" {
		return ""
	}
	local := a.Local
	if !isDotAtom(local) && !looseDots(local) {
		local = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"`
	}
	if a.Domain == "" {
		return local
	}
	return local + "@" + a.Domain
}

// Null reports whether it is "<>".
func (a Address) Null() bool { return a.Local == "" && a.Domain == "" && a.InBrackets }

// An AddressError is a fault in an address field.
type AddressError struct {
	Code   FaultCode
	Offset int // octets into the text
	Length int
	Msg    string // in English, for developers
	// Tolerated: receivers in general read past it, and so is it here; the
	// address is in the list.
	Tolerated bool
}

func (e AddressError) Error() string { return fmt.Sprintf("octet %d: %s", e.Offset, e.Msg) }

// An AddressList is what an address field says.
type AddressList struct {
	Addresses []Address
	Groups    []string // display names of the groups, decoded, in order
	Errors    []AddressError
	// More: there are more than MaxAddresses; the rest was not read.
	More bool
}

// MaxAddresses is how many addresses of one field are read.
const MaxAddresses = 10000

const maxAddressErrors = 20

// maxAddress is how far the ">" behind a "<" is looked for. RFC 5321 §4.5.3.1.3
// allows 256 octets; comments and folding may come on top.
const maxAddress = 4 << 10

// Err is the first error that is not tolerated, nil if there is none.
func (l *AddressList) Err() error {
	for _, e := range l.Errors {
		if !e.Tolerated {
			return e
		}
	}
	return nil
}

// Addresses reads a field's value as a list of addresses. Offsets are octets of
// f.RawValue(); add f.ValueOffset() for those of f.Raw.
func (f *Field) Addresses() AddressList { return ParseAddressList(string(f.RawValue())) }

// ParseAddressList reads a list of addresses, folded or not: RFC 5322 §3.4 with
// the obsolete forms of §4.4, UTF-8 (RFC 6532), and, as errors that are
// tolerated, what receivers take in practice. It goes on behind an error at
// the next comma.
func ParseAddressList(s string) AddressList {
	p := addressParser{s: s}
	p.list()
	return p.out
}

type addressParser struct {
	s       string
	i       int
	group   string
	inGroup bool
	open    bool // a comment has no end
	noQuote bool // a quotation mark has no partner: they are text from there on
	comment string
	out     AddressList
}

func (p *addressParser) fault(code FaultCode, at, n int, tolerated bool, format string, a ...any) {
	if len(p.out.Errors) < maxAddressErrors {
		p.out.Errors = append(p.out.Errors, AddressError{code, at, n, fmt.Sprintf(format, a...), tolerated})
	}
}

// skip goes over white space and comments, and keeps the last comment.
func (p *addressParser) skip() {
	for p.i < len(p.s) {
		switch c := p.s[p.i]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			p.i++
		case c == '(' && !p.open:
			end := skipComment(p.s, p.i)
			if end < 0 {
				p.open = true
				p.fault(FaultAddressSyntax, p.i, 1, true, "a comment without end")
				return
			}
			p.comment = p.s[p.i+1 : end-1]
			p.i = end
		default:
			return
		}
	}
}

func (p *addressParser) list() {
	for {
		p.skip()
		if p.i >= len(p.s) {
			break
		}
		if len(p.out.Addresses) >= MaxAddresses {
			p.out.More = true
			return
		}
		switch p.s[p.i] {
		case ',':
			// §4.4: empty elements are obsolete; behind an address the comma is
			// what ends it.
			p.fault(FaultAddressSyntax, p.i, 1, true, "an empty element")
			p.i++
			continue
		case ';':
			if !p.inGroup {
				p.fault(FaultAddressSyntax, p.i, 1, true, "a semicolon outside a group")
			}
			p.inGroup, p.group = false, ""
			p.i++
			p.skip()
			if p.i < len(p.s) && p.s[p.i] == ',' {
				p.i++
			}
			continue
		}
		p.mailbox()
	}
	if p.inGroup {
		p.fault(FaultAddressSyntax, len(p.s), 0, true, "a group without its semicolon")
	}
}

// A word of an address: an atom, a quoted-string or a dot.
type addrWord struct {
	start, end int
	quoted     bool
}

// words reads atoms, quoted-strings and dots up to one of < @ , ; : > or the
// end.
func (p *addressParser) words() []addrWord {
	var out []addrWord
	for {
		p.skip()
		if p.i >= len(p.s) {
			return out
		}
		start := p.i
		switch c := p.s[p.i]; {
		case strings.IndexByte("<@,;:>", c) >= 0:
			return out
		case c == '"' && p.noQuote:
			p.i++
		case c == '"':
			end := skipQuoted(p.s, p.i)
			if end < 0 {
				p.fault(FaultAddressSyntax, p.i, 1, false, "a quotation mark without its partner")
				p.noQuote = true
				p.i++
				continue
			}
			p.i = end
			out = append(out, addrWord{start, end, true})
		case c == '.':
			p.i++
			out = append(out, addrWord{start, p.i, false})
		default:
			p.i++
			for p.i < len(p.s) && strings.IndexByte(" \t\r\n<@,;:>\".", p.s[p.i]) < 0 && (p.s[p.i] != '(' || p.open) {
				p.i++
			}
			out = append(out, addrWord{start, p.i, false})
		}
	}
}

func skipQuoted(s string, i int) int {
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
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == '\r' || s[i] == '\n':
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func (p *addressParser) mailbox() {
	p.comment = ""
	begin := p.i
	words := p.words()
	next := byte(0)
	if p.i < len(p.s) {
		next = p.s[p.i]
	}
	switch next {
	case '<':
		p.angle(words)
		return
	case '@':
		p.bare(words)
		return
	case ':':
		if p.inGroup || len(words) == 0 {
			p.fault(FaultAddressSyntax, p.i, 1, false, "a colon where none may stand")
			p.i++
			return
		}
		p.i++
		p.inGroup, p.group = true, p.phrase(words)
		p.out.Groups = append(p.out.Groups, p.group)
		return
	case '>':
		p.fault(FaultAddressSyntax, p.i, 1, false, "\">\" without \"<\"")
		p.i++
		return
	}
	// A name and no address.
	if len(words) > 0 {
		end := words[len(words)-1].end
		p.fault(FaultAddressSyntax, begin, end-begin, false, "a name without an address: %.80q", p.s[begin:end])
	}
	p.comma()
}

// comma goes behind the comma that ends an element. A semicolon is left.
func (p *addressParser) comma() {
	if p.i < len(p.s) && p.s[p.i] == ',' {
		p.i++
		p.skip()
		if p.i >= len(p.s) || p.s[p.i] == ';' {
			p.fault(FaultAddressSyntax, max(0, p.i-1), 1, true, "an empty element")
		}
	}
}

// phrase is the display name that the words make: a space between two words
// where there is any between them in the text.
func (p *addressParser) phrase(words []addrWord) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 && w.start > words[i-1].end {
			b.WriteByte(' ')
		}
		if w.quoted {
			b.WriteString(unquote(p.s[w.start+1 : w.end-1]))
		} else {
			b.WriteString(p.s[w.start:w.end])
		}
	}
	return DecodeText(b.String()).Text
}

// angle reads <route:local@domain>.
func (p *addressParser) angle(words []addrWord) {
	a := Address{InBrackets: true, Group: p.group}
	if len(words) > 0 {
		a.NameStart, a.NameEnd = words[0].start, words[len(words)-1].end
		a.Name = p.phrase(words)
	}
	open := p.i
	p.i++
	window := p.s[p.i:min(len(p.s), p.i+maxAddress)]
	end := strings.IndexByte(window, '>')
	if end < 0 {
		p.fault(FaultAddressSyntax, open, 1, true, "\"<\" without \">\"")
		end = strings.IndexAny(window, ",;")
		if end < 0 {
			end = len(window)
		}
	}
	inside := p.s[p.i : p.i+end]
	base := p.i
	p.i += end
	if p.i < len(p.s) && p.s[p.i] == '>' {
		p.i++
	}
	// The quoted local part may hold ">".
	if strings.Count(inside, `"`)%2 == 1 {
		if q := p.quotedAngle(base); q > 0 {
			inside = p.s[base : q-1]
			p.i = q
		}
	}
	// §4.4: obs-route, "@a,@b:".
	if t := strings.TrimLeft(inside, " \t\r\n"); strings.HasPrefix(t, "@") {
		if c := strings.IndexByte(inside, ':'); c >= 0 {
			a.Route = strings.TrimSpace(inside[:c])
			p.fault(FaultAddressObsolete, base, c+1, true, "an obsolete source route")
			base += c + 1
			inside = inside[c+1:]
		}
	}
	p.spec(&a, inside, base)
	p.out.Addresses = append(p.out.Addresses, a)
	p.tail()
}

// quotedAngle is the offset behind the ">" that ends an address with a quoted
// local part, -1 if there is none.
func (p *addressParser) quotedAngle(i int) int {
	for limit := min(len(p.s), i+maxAddress); i < limit; {
		switch p.s[i] {
		case '"':
			end := skipQuoted(p.s, i)
			if end < 0 {
				return -1
			}
			i = end
		case '>':
			return i + 1
		default:
			i++
		}
	}
	return -1
}

// bare reads local@domain without brackets.
func (p *addressParser) bare(words []addrWord) {
	at := p.i
	a := Address{Group: p.group}
	p.i++
	p.skip()
	p.comment = ""
	domainStart := p.i
	if p.i < len(p.s) && p.s[p.i] == '[' {
		if j := strings.IndexByte(p.s[p.i:], ']'); j >= 0 {
			p.i += j + 1
		}
	}
	dw := p.words()
	domainEnd := p.i
	if len(dw) > 0 {
		domainEnd = dw[len(dw)-1].end
	} else if p.i > domainStart && p.s[p.i-1] == ']' {
		domainEnd = p.i
	}
	start := at
	if len(words) > 0 {
		start = words[0].start
		// "Taro taro@shop.example": the name stands before the address without
		// brackets. The local part is what touches the "@".
		k := len(words) - 1
		for k > 0 && words[k-1].end == words[k].start {
			k--
		}
		if k > 0 && words[k].end == at {
			gapDot := p.s[words[k].start] == '.' || p.s[words[k-1].end-1] == '.'
			if !gapDot {
				p.fault(FaultAddressSyntax, words[0].start, words[k-1].end-words[0].start, false, "a name and an address without \"<\" and \">\"")
				a.NameStart, a.NameEnd = words[0].start, words[k-1].end
				a.Name = p.phrase(words[:k])
				start = words[k].start
			}
		}
	}
	p.spec(&a, p.s[start:max(start, domainEnd)], start)
	if p.i < len(p.s) && p.s[p.i] == '<' {
		// "taro@shop.example <taro@shop.example>": an address as a name, not
		// quoted. Everybody reads it as a name.
		p.fault(FaultAddressSyntax, start, domainEnd-start, true, "an address as a name, without quotation marks")
		save := a
		p.angle(nil)
		last := &p.out.Addresses[len(p.out.Addresses)-1]
		last.Name = DecodeText(strings.TrimSpace(p.s[start:domainEnd])).Text
		last.NameStart, last.NameEnd = save.Start, save.End
		return
	}
	if a.Name == "" && p.comment != "" {
		// Before RFC 822 names stood in a comment behind the address.
		a.Name = DecodeText(unquote(p.comment)).Text
	}
	p.out.Addresses = append(p.out.Addresses, a)
	p.tail()
}

// tail goes behind an address to the next element.
func (p *addressParser) tail() {
	p.comment = ""
	p.skip()
	start := p.i
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ',', ';':
			if p.i > start {
				p.fault(FaultAddressSyntax, start, p.i-start, false, "text behind an address: %.80q", p.s[start:p.i])
			}
			if p.s[p.i] == ';' && !p.inGroup {
				// Outlook users separate addresses by semicolons.
				p.fault(FaultAddressSyntax, p.i, 1, true, "a semicolon in the place of a comma")
				p.i++
				return
			}
			p.comma()
			return
		case '<':
			if p.i == start {
				p.fault(FaultAddressSyntax, p.i, 1, false, "two addresses without a comma between them")
				return
			}
			p.i++
		case '"':
			if !p.noQuote {
				if end := skipQuoted(p.s, p.i); end > 0 {
					p.i = end
					continue
				}
				p.noQuote = true
			}
			p.i++
		default:
			p.i++
		}
	}
	if p.i > start {
		p.fault(FaultAddressSyntax, start, p.i-start, false, "text behind an address: %.80q", p.s[start:p.i])
	}
}

// spec reads local@domain, which stands at s[base:].
func (p *addressParser) spec(a *Address, text string, base int) {
	lead := len(text) - len(strings.TrimLeft(text, " \t\r\n"))
	a.Start, a.End = base+lead, base+lead+len(strings.TrimSpace(text))
	spec := strings.TrimSpace(stripComments(text))
	if spec == "" {
		if strings.TrimSpace(text) != "" || !a.InBrackets {
			p.fault(FaultAddressSyntax, a.Start, a.End-a.Start, false, "no address")
		}
		return
	}
	// A quoted local part ends at its own "@"; otherwise the last one counts,
	// because no domain has one.
	at := -1
	if spec[0] == '"' {
		if q := skipQuoted(spec, 0); q > 0 {
			if j := strings.IndexByte(spec[q:], '@'); j >= 0 {
				at = q + j
			}
		}
	}
	if at < 0 {
		at = strings.LastIndexByte(spec, '@')
	}
	if at < 0 {
		a.Local = spec
		p.fault(FaultAddressNoDomain, a.Start, a.End-a.Start, false, "no \"@\" in the address %.80q", spec)
		return
	}
	local, domain := strings.TrimSpace(spec[:at]), strings.TrimSpace(spec[at+1:])
	loc, obsolete := local, false
	switch {
	case len(local) > 1 && local[0] == '"' && skipQuoted(local, 0) == len(local):
		loc = unquote(local[1 : len(local)-1])
	case isDotAtom(local):
	default:
		if l, ok := obsLocal(local); ok {
			loc, obsolete = l, true
		} else if looseDots(local) {
			// Old addresses of Japanese mobile carriers have ".." and ".@".
			p.fault(FaultAddressDots, a.Start, len(local), true, "dots in the local part that RFC 5322 §3.2.3 does not allow")
		} else {
			p.fault(FaultAddressSyntax, a.Start, len(local), false, "no local part: %.80q", local)
		}
	}
	a.Local = loc
	dom := domain
	if len(domain) > 0 && domain[0] == '[' {
		if domain[len(domain)-1] != ']' || strings.ContainsAny(domain[1:len(domain)-1], "[]\\ \t") {
			p.fault(FaultAddressSyntax, a.Start, a.End-a.Start, false, "no domain literal: %.80q", domain)
		}
	} else if !isDotAtom(domain) {
		d := blankDots.ReplaceAllString(domain, ".")
		if d != domain && isDotAtom(d) {
			dom, obsolete = d, true
		} else if t := strings.TrimSuffix(domain, "."); isDotAtom(t) {
			p.fault(FaultAddressSyntax, a.Start, a.End-a.Start, true, "a dot at the end of the domain")
			dom = t
		} else {
			p.fault(FaultAddressSyntax, a.Start, a.End-a.Start, false, "no domain: %.80q", domain)
		}
	}
	a.Domain = dom
	if obsolete {
		p.fault(FaultAddressObsolete, a.Start, a.End-a.Start, true, "spaces or comments inside an address (RFC 5322 §4.4)")
	}
}

// blankDots are the dots of an obsolete domain (§4.4).
var blankDots = regexp.MustCompile(`[ \t\r\n]*\.[ \t\r\n]*`)

// obsLocal reads words with dots and white space between them (§4.4).
func obsLocal(s string) (string, bool) {
	var b strings.Builder
	wantWord := true
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			i++
		case c == '.':
			if wantWord {
				return "", false
			}
			wantWord = true
			b.WriteByte('.')
			i++
		case c == '"':
			end := skipQuoted(s, i)
			if !wantWord || end < 0 {
				return "", false
			}
			wantWord = false
			b.WriteString(unquote(s[i+1 : end-1]))
			i = end
		default:
			if !wantWord || !isAtext(c) {
				return "", false
			}
			wantWord = false
			for i < len(s) && isAtext(s[i]) {
				b.WriteByte(s[i])
				i++
			}
		}
	}
	return b.String(), !wantWord
}

// isAtext reports whether c may stand in an atom (§3.2.3; RFC 6532 §3.2 for
// octets over 127).
func isAtext(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= 0x80 ||
		strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

func isDotAtom(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	return looseDots(s)
}

// looseDots reports whether s is atoms and dots in any order.
func looseDots(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] != '.' && !isAtext(s[i]) {
			return false
		}
	}
	return s != ""
}

// AddressInName finds an address in a display name ("info@shop.example via
// Taro"): the first word with an "@" between two sides that could be an
// address. "" if there is none.
func AddressInName(name string) string {
	for _, w := range strings.FieldsFunc(name, func(r rune) bool {
		return r <= ' ' || strings.ContainsRune("<>()[]{}\"',;:“”「」『』（）＜＞、　【】", r)
	}) {
		w = strings.ReplaceAll(w, "＠", "@")
		local, domain, ok := strings.Cut(w, "@")
		domain = strings.TrimRight(domain, ".!?")
		if ok && local != "" && strings.Contains(domain, ".") && !strings.Contains(domain, "@") && isDotAtom(domain) {
			return local + "@" + domain
		}
	}
	return ""
}
