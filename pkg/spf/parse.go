package spf

import (
	"fmt"
	"net/netip"
	"strings"
)

// A Span is a half-open range of octets of [Record.Text].
type Span struct{ Start, End int }

// A Qualifier says what a match means (RFC 7208 §4.6.2).
type Qualifier byte

// The four qualifiers. A directive without one has [Plus].
const (
	Plus     Qualifier = '+' // pass
	Minus    Qualifier = '-' // fail
	Tilde    Qualifier = '~' // softfail
	Question Qualifier = '?' // neutral
)

// Result is the result that a match with this qualifier gives.
func (q Qualifier) Result() Result {
	switch q {
	case Minus:
		return Fail
	case Tilde:
		return SoftFail
	case Question:
		return Neutral
	}
	return Pass
}

// A Term is one directive or modifier of a record, well formed or not.
type Term struct {
	Span // of the whole term, qualifier included
	Text string
	// Qualifier is Plus where none is written; Explicit says whether one is.
	// A modifier has none: 0 and false.
	Qualifier Qualifier
	Explicit  bool
	// Name of the mechanism or modifier in lower case; "" if none can be read.
	Name string
	// Modifier is true for name=value.
	Modifier bool
	// Domain is the domain-spec as written, macros included, "" if there is
	// none; for an unknown modifier it is the value. DomainSpan is where.
	Domain     string
	DomainSpan Span
	// Prefix is the network of ip4 and ip6. Host bits are kept as written.
	Prefix netip.Prefix
	// CIDR4 (0-32) and CIDR6 (0-128) are the prefix lengths written after a,
	// mx, ip4 (CIDR4) and ip6 (CIDR6); -1 where none is written.
	CIDR4, CIDR6 int
	// Invalid is true if the term has a [SyntaxError]; then only Span, Text
	// and what could be read before the error are set.
	Invalid bool

	macros []piece // Domain, tokenised
}

// Counts reports whether evaluating the term counts towards the limit of ten
// (RFC 7208 §4.6.4): include, a, mx, ptr, exists and redirect do; exp does not.
func (t *Term) Counts() bool {
	if t.Modifier {
		return t.Name == "redirect"
	}
	switch t.Name {
	case "include", "a", "mx", "ptr", "exists":
		return true
	}
	return false
}

// Macros are the macro letters in Domain, in lower case, in order, with
// repetitions: "il" for "%{i}.%{l}.example.com".
func (t *Term) Macros() string {
	var b strings.Builder
	for i := range t.macros {
		if l := t.macros[i].letter; l != 0 {
			b.WriteByte(l)
		}
	}
	return b.String()
}

// MechanismAsModifier reports whether the term is an unknown modifier with the
// name of a mechanism, such as "include=example.com" or "ip4=192.0.2.1".
// Receivers ignore it without a word (RFC 7208 §6), which is hardly what its
// author wanted.
func (t *Term) MechanismAsModifier() bool { return t.Modifier && isMechanism(t.Name) }

// The codes of [SyntaxError].
const (
	ErrUnknownMechanism   = "unknown-mechanism"   // a name that is no mechanism (§4.6.1), "redirect:" included
	ErrBadModifier        = "bad-modifier"        // name=value whose name is not ALPHA *(ALPHA / DIGIT / - / _ / .), or with a qualifier before it
	ErrDuplicateModifier  = "duplicate-modifier"  // redirect or exp more than once (§6)
	ErrMissingDomain      = "missing-domain"      // include, exists, redirect, exp without a domain-spec, or an empty one after ":" or "="
	ErrUnexpectedArgument = "unexpected-argument" // ":" or "/" after a mechanism that takes none: all:x, ptr/24
	ErrMissingAddress     = "missing-address"     // ip4 or ip6 without an address
	ErrBadIP4             = "bad-ip4"             // not four decimal octets without leading zeros
	ErrBadIP6             = "bad-ip6"             // not an IPv6 address (RFC 4291 §2.2)
	ErrBadCIDR            = "bad-cidr"            // a prefix length out of range, with a leading zero, empty, or where none may be
	ErrBadMacro           = "bad-macro"           // a % that starts no macro, or %{…} that is none (§7.1)
	ErrMacroNotHere       = "macro-not-here"      // c, r, t outside of an explanation (§7.2)
	ErrBadTopLabel        = "bad-toplabel"        // the domain-spec does not end in ".toplabel" or a macro (§7.1)
	ErrNonASCII           = "non-ascii"           // an octet over 127 (§3.1: records are US-ASCII)
	ErrControlChar        = "control-char"        // a control character: TAB, CR, LF, NUL, …
)

// SyntaxCodes lists every code of a [SyntaxError], in the order above.
var SyntaxCodes = []string{
	ErrUnknownMechanism, ErrBadModifier, ErrDuplicateModifier, ErrMissingDomain, ErrUnexpectedArgument,
	ErrMissingAddress, ErrBadIP4, ErrBadIP6, ErrBadCIDR, ErrBadMacro, ErrMacroNotHere, ErrBadTopLabel,
	ErrNonASCII, ErrControlChar,
}

// A SyntaxError is one place where a record breaks the grammar of RFC 7208
// §12. Span is the part at fault, within the term; Text is that part and may
// hold any octets.
type SyntaxError struct {
	Span
	Code string
	Text string
	// Term is the index in Record.Terms of the term at fault.
	Term int
}

// Error is the code, the part at fault, quoted, and its offset.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s at octet %d: %q", e.Code, e.Start, e.Text)
}

// A Record is an SPF record, parsed.
type Record struct {
	Text   string
	Terms  []Term        // every term in order, those with errors too
	Errors []SyntaxError // in order; a record with any is a permerror (§4.6)
}

// All is the first well-formed all mechanism, or nil.
func (r *Record) All() *Term { return r.find("all", false) }

// Redirect is the redirect modifier, or nil.
func (r *Record) Redirect() *Term { return r.find("redirect", true) }

// Exp is the exp modifier, or nil.
func (r *Record) Exp() *Term { return r.find("exp", true) }

func (r *Record) find(name string, modifier bool) *Term {
	for i := range r.Terms {
		if t := &r.Terms[i]; t.Name == name && t.Modifier == modifier && !t.Invalid {
			return t
		}
	}
	return nil
}

const version = "v=spf1"

// IsSPF reports whether the text of a TXT record is an SPF record: it begins
// with "v=spf1" in any case, and the version is followed by a space or by
// nothing (RFC 7208 §4.5). So "v=spf10 …" is none, nor is " v=spf1".
func IsSPF(text string) bool {
	return len(text) >= len(version) && strings.EqualFold(text[:len(version)], version) &&
		(len(text) == len(version) || text[len(version)] == ' ')
}

// Parse reads an SPF record. It is never nil and reads the whole record: §4.6
// wants syntax errors found anywhere in it, whatever would have matched before.
//
// A text that is not [IsSPF] is read as if its first token were the version,
// so that callers can look at what might have been meant. At most one error
// is noted per term, the first one.
func Parse(text string) *Record {
	r := &Record{Text: text}
	// record = version terms *SP; terms = *( 1*SP ( directive / modifier ) ) (§4.5, §4.6.1).
	// SP is the one separator: a TAB or line break is an error inside a term.
	i := strings.IndexByte(text, ' ')
	if i < 0 {
		return r
	}
	n := strings.Count(text[i:], " ")
	r.Terms = make([]Term, 0, min(n, 64))
	var seenRedirect, seenExp bool
	for i < len(text) {
		if text[i] == ' ' {
			i++
			continue
		}
		end := i + 1
		for end < len(text) && text[end] != ' ' {
			end++
		}
		r.Terms = append(r.Terms, Term{Span: Span{i, end}, Text: text[i:end], CIDR4: -1, CIDR6: -1})
		t := &r.Terms[len(r.Terms)-1]
		p := termParser{t: t}
		p.parse()
		// §6: redirect and exp MUST NOT appear more than once each; if they
		// do, permerror.
		if p.code == "" && t.Modifier {
			if t.Name == "redirect" && seenRedirect || t.Name == "exp" && seenExp {
				p.fail(ErrDuplicateModifier, 0, len(t.Text))
			}
			seenRedirect = seenRedirect || t.Name == "redirect"
			seenExp = seenExp || t.Name == "exp"
		}
		if p.code != "" {
			t.Invalid = true
			t.macros = nil
			r.Errors = append(r.Errors, SyntaxError{
				Span: Span{i + p.from, i + p.to}, Code: p.code, Text: t.Text[p.from:p.to], Term: len(r.Terms) - 1,
			})
		}
		i = end
	}
	return r
}

func isMechanism(name string) bool {
	switch name {
	case "all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists":
		return true
	}
	return false
}

func isAlpha(c byte) bool    { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func isDigit(c byte) bool    { return '0' <= c && c <= '9' }
func isAlnum(c byte) bool    { return isAlpha(c) || isDigit(c) }
func isNameChar(c byte) bool { return isAlnum(c) || c == '-' || c == '_' || c == '.' }

// termParser reads one term. Offsets are into t.Text.
type termParser struct {
	t        *Term
	code     string
	from, to int
}

func (p *termParser) fail(code string, from, to int) {
	if p.code == "" {
		p.code, p.from, p.to = code, from, to
	}
}

func (p *termParser) parse() {
	t, s := p.t, p.t.Text
	// §3.1: a record is US-ASCII; §12: nothing but VCHAR inside a term.
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			j := i + 1
			for j < len(s) && s[j] >= 0x80 {
				j++
			}
			p.fail(ErrNonASCII, i, j)
			break
		}
		if s[i] < ' ' || s[i] == 0x7f {
			p.fail(ErrControlChar, i, i+1)
			break
		}
	}
	i := 0
	switch s[0] {
	case '+', '-', '~', '?':
		t.Qualifier, t.Explicit, i = Qualifier(s[0]), true, 1
	}
	// Directive or modifier? The first character that no name can hold tells:
	// "=" makes a modifier (so "moo.cow-far_out=man:dog/cat" is one), anything
	// else a mechanism (so "moo.cow/far_out=man" is a mechanism, unknown).
	j := i
	for j < len(s) && isNameChar(s[j]) {
		j++
	}
	t.Name = strings.ToLower(s[i:j])
	if j < len(s) && s[j] == '=' {
		t.Modifier = true
		if t.Explicit || t.Name == "" || !isAlpha(s[i]) {
			p.fail(ErrBadModifier, 0, j+1)
			t.Qualifier, t.Explicit = 0, false
			return
		}
		p.modifier(j + 1)
		return
	}
	if !t.Explicit {
		t.Qualifier = Plus
	}
	p.mechanism(i, j)
}

func (p *termParser) modifier(at int) {
	t, s := p.t, p.t.Text
	t.Domain, t.DomainSpan = s[at:], Span{t.Start + at, t.End}
	if p.code != "" {
		return
	}
	switch t.Name {
	case "redirect", "exp":
		// §6.1, §6.2: domain-spec is not optional.
		if at == len(s) {
			p.fail(ErrMissingDomain, 0, len(s))
			return
		}
		p.domainSpec(at, len(s))
	default:
		// §6: unknown-modifier = name "=" macro-string, which may be empty. It
		// is ignored, but must be a macro-string. The letters c, r and t are
		// in the grammar there: nothing is expanded.
		p.pieces(at, len(s), true)
	}
}

func (p *termParser) mechanism(from, at int) {
	t, s := p.t, p.t.Text
	if !isMechanism(t.Name) {
		if from == len(s) {
			from = 0 // a qualifier and nothing else
		}
		p.fail(ErrUnknownMechanism, from, max(at, from+1))
		return
	}
	rest := s[at:]
	if rest != "" && rest[0] != ':' && rest[0] != '/' {
		p.fail(ErrUnknownMechanism, from, len(s))
		return
	}
	if p.code != "" {
		return
	}
	switch t.Name {
	case "all": // §5.1: all = "all"
		if rest != "" {
			p.fail(ErrUnexpectedArgument, at, len(s))
		}
	case "ip4", "ip6": // §5.6
		p.network(at)
	case "include", "exists": // §5.2, §5.7: ":" domain-spec, always, and no CIDR
		if len(rest) < 2 || rest[0] != ':' {
			if rest != "" && rest[0] == '/' {
				p.fail(ErrBadCIDR, at, len(s))
			} else {
				p.fail(ErrMissingDomain, 0, len(s))
			}
			return
		}
		p.setDomain(at+1, len(s))
		p.domainSpec(at+1, len(s))
	case "ptr": // §5.5: [ ":" domain-spec ], no CIDR
		switch {
		case rest == "":
		case rest[0] == '/':
			p.fail(ErrUnexpectedArgument, at, len(s))
		case rest == ":":
			p.fail(ErrMissingDomain, 0, len(s))
		default:
			p.setDomain(at+1, len(s))
			p.domainSpec(at+1, len(s))
		}
	case "a", "mx": // §5.3, §5.4: [ ":" domain-spec ] [ dual-cidr-length ]
		cidr := at
		if rest != "" && rest[0] == ':' {
			cidr = p.cidrStart(at + 1)
			if cidr == at+1 {
				p.fail(ErrMissingDomain, 0, len(s))
				return
			}
			p.setDomain(at+1, cidr)
			p.domainSpec(at+1, cidr)
		}
		p.dualCIDR(cidr)
	}
}

func (p *termParser) setDomain(from, to int) {
	p.t.Domain = p.t.Text[from:to]
	p.t.DomainSpan = Span{p.t.Start + from, p.t.Start + to}
}

// cidrStart finds where the dual-cidr-length of a or mx begins. "/" may stand
// in a domain-spec too (a:foo:bar/baz.example.com), but never in its end: the
// end is ".toplabel", with an optional dot, or a macro. So the CIDR begins at
// the first "/" after the last macro and the last dot, and a "/" before
// another dot belongs to the name.
func (p *termParser) cidrStart(from int) int {
	s := p.t.Text
	last := from
	for i := from; i < len(s); i++ {
		switch s[i] {
		case '.':
			last = i + 1
		case '%':
			if i+1 < len(s) && s[i+1] == '{' {
				if j := strings.IndexByte(s[i:], '}'); j > 0 {
					i += j
					last = i + 1
				}
			} else if i+1 < len(s) {
				i++
				last = i + 1
			}
		}
	}
	if j := strings.IndexByte(s[last:], '/'); j >= 0 {
		return last + j
	}
	return len(s)
}

// dualCIDR reads [ "/" ip4-length ] [ "//" ip6-length ] (§5.3) at the end of the term.
func (p *termParser) dualCIDR(at int) {
	t, s := p.t, p.t.Text
	if p.code != "" || at == len(s) {
		return
	}
	v4, v6 := s[at:], ""
	at6 := len(s)
	if i := strings.Index(v4, "//"); i >= 0 {
		at6 = at + i + 1
		v4, v6 = v4[:i], s[at6:]
	}
	if v4 != "" {
		if t.CIDR4 = cidr(v4, 32); t.CIDR4 < 0 {
			p.fail(ErrBadCIDR, at, len(s))
			return
		}
	}
	if at6 < len(s) {
		if t.CIDR6 = cidr(v6, 128); t.CIDR6 < 0 {
			p.fail(ErrBadCIDR, at6-1, len(s))
		}
	}
}

// cidr reads "/" followed by a number from 0 to limit without a leading zero;
// -1 if it is none. §5.6, as in the suite: /032 is an error.
func cidr(s string, limit int) int {
	if len(s) < 2 || len(s) > 4 || s[0] != '/' || s[1] == '0' && len(s) > 2 {
		return -1
	}
	n := 0
	for i := 1; i < len(s); i++ {
		if !isDigit(s[i]) {
			return -1
		}
		n = n*10 + int(s[i]-'0')
	}
	if n > limit {
		return -1
	}
	return n
}

func (p *termParser) network(at int) {
	t, s := p.t, p.t.Text
	if len(s) < at+2 || s[at] != ':' {
		p.fail(ErrMissingAddress, 0, len(s))
		return
	}
	at++
	addr, length := s[at:], ""
	slash := len(s)
	if i := strings.IndexByte(addr, '/'); i >= 0 {
		slash = at + i
		addr, length = addr[:i], s[slash:]
	}
	a, err := netip.ParseAddr(addr)
	if t.Name == "ip4" {
		// ip4-network = qnum 3( "." qnum ), conventional dotted quad; netip
		// refuses leading zeros and short forms too.
		if err != nil || !a.Is4() {
			p.fail(ErrBadIP4, at, max(slash, at+1))
			return
		}
		bits := 32
		if length != "" {
			if bits = cidr(length, 32); bits < 0 {
				p.fail(ErrBadCIDR, slash, len(s))
				return
			}
			t.CIDR4 = bits
		}
		t.Prefix = netip.PrefixFrom(a, bits)
		return
	}
	// ip6-network = as per RFC 4291 §2.2. That has no zone ("%eth0"), and an
	// IPv4-mapped one stays IPv6: it can match no sender (§5).
	if err != nil || !a.Is6() || a.Zone() != "" {
		p.fail(ErrBadIP6, at, max(slash, at+1))
		return
	}
	bits := 128
	if length != "" {
		if bits = cidr(length, 128); bits < 0 {
			p.fail(ErrBadCIDR, slash, len(s))
			return
		}
		t.CIDR6 = bits
	}
	t.Prefix = netip.PrefixFrom(a, bits)
}

// domainSpec checks domain-spec = macro-string domain-end (§7.1), where
// domain-end = ( "." toplabel [ "." ] ) / macro-expand.
func (p *termParser) domainSpec(from, to int) {
	tail, ok := p.pieces(from, to, false)
	if !ok || tail == to {
		return // tail == to: it ends in a macro (to > from here)
	}
	s := strings.TrimSuffix(p.t.Text[tail:to], ".")
	dot := strings.LastIndexByte(s, '.')
	if dot < 0 || !isTopLabel(s[dot+1:]) {
		p.fail(ErrBadTopLabel, tail+dot+1, to)
	}
}

// isTopLabel: toplabel = ( *alphanum ALPHA *alphanum ) / ( 1*alphanum "-"
// *( alphanum / "-" ) alphanum ): letters, digits and hyphens, neither first
// nor last a hyphen, not all digits.
func isTopLabel(s string) bool {
	if s == "" || !isAlnum(s[0]) || !isAlnum(s[len(s)-1]) {
		return false
	}
	digits := true
	for i := 0; i < len(s); i++ {
		if !isAlnum(s[i]) && s[i] != '-' {
			return false
		}
		digits = digits && isDigit(s[i])
	}
	return !digits
}

// pieces tokenises a macro-string into t.macros and returns where the literal
// text after the last macro begins.
func (p *termParser) pieces(from, to int, exp bool) (tail int, ok bool) {
	list, bad := tokenise(p.t.Text[from:to], false)
	if bad.code != "" {
		p.fail(bad.code, from+bad.from, from+bad.to)
		return 0, false
	}
	tail = from
	for i := range list {
		pc := &list[i]
		if pc.letter != 0 && !exp && strings.IndexByte("crt", pc.letter) >= 0 {
			// §7.2: "c", "r" and "t" are allowed only in explanations.
			p.fail(ErrMacroNotHere, from+pc.from, from+pc.to)
			return 0, false
		}
		if pc.macro {
			tail = from + pc.to
		}
	}
	p.t.macros = list
	return tail, true
}
