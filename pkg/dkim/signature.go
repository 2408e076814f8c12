package dkim

import (
	"crypto"
	_ "crypto/sha1"   // verified, though no longer acceptable
	_ "crypto/sha256" // the hash of DKIM
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// The codes of [SignatureError] beside those of the tag list and of base64
// (ErrNoValue, ErrBadTagName, ErrEmptyTag, ErrDuplicateTag, ErrTooManyTags,
// ErrBadBase64, ErrUnpadded, ErrNonASCII, ErrCase, ErrTooLong), which keys and
// signatures share. ErrBadVersion here is a v= that is not exactly 1.
const (
	ErrMissingTag        = "missing-tag"         // a tag that must be there is not; Text is its name
	ErrEmptyValue        = "empty-value"         // a tag that must say something says nothing
	ErrAlgorithm         = "unknown-algorithm"   // a= none of rsa-sha256, ed25519-sha256, rsa-sha1
	ErrCanonicalization  = "unknown-canonical"   // c= not made of simple and relaxed
	ErrDomain            = "bad-domain"          // d= is no domain name
	ErrSelector          = "bad-selector"        // s= cannot be asked for
	ErrIdentity          = "bad-identity"        // i= has no @ or no domain after it
	ErrIdentityDomain    = "identity-outside"    // i= is neither in d= nor below it (§6.1.1)
	ErrFromUnsigned      = "from-not-signed"     // h= does not name From (§5.4)
	ErrHeaderName        = "bad-header-name"     // an item of h= that can name no field; tolerated: it selects nothing
	ErrLength            = "bad-length"          // l= is no number
	ErrQueryMethod       = "unknown-query"       // q= without dns/txt
	ErrTime              = "bad-time"            // t= or x= is no number of seconds
	ErrExpiresBeforeSign = "expires-before-sign" // x= is not after t= (§3.5)
	ErrCopied            = "bad-copied-header"   // z= breaks its grammar; tolerated: it decides nothing
	ErrInstance          = "bad-instance"        // of ARC: i= is no number from 1 to 50 (RFC 8617 §4.2.1)
	ErrChain             = "bad-cv"              // of ARC: cv= none of none, pass, fail (RFC 8617 §4.1.3)
	ErrForbidden         = "forbidden-tag"       // of ARC: a seal with h= (RFC 8617 §4.1.3), a signature that covers ARC-Seal (§4.1.2)
)

// SignatureCodes lists every code of a [SignatureError].
var SignatureCodes = []string{
	ErrNoValue, ErrBadTagName, ErrEmptyTag, ErrDuplicateTag, ErrTooManyTags, ErrBadBase64, ErrUnpadded, ErrNonASCII,
	ErrCase, ErrTooLong, ErrBadVersion, ErrMissingTag, ErrEmptyValue, ErrAlgorithm, ErrCanonicalization, ErrDomain,
	ErrSelector, ErrIdentity, ErrIdentityDomain, ErrFromUnsigned, ErrHeaderName, ErrLength, ErrQueryMethod, ErrTime,
	ErrExpiresBeforeSign, ErrCopied, ErrInstance, ErrChain, ErrForbidden,
}

// A SignatureError is one place where a signature breaks RFC 6376 §3.5. Span
// counts in the field's raw octets, from its name; Text is that part, or the
// name of the tag that is missing, and may hold any octets.
type SignatureError struct {
	Span
	Code string
	Text string
	// Tolerated: verifiers read past it, and so do we.
	Tolerated bool
}

// Error is the code, the part at fault, quoted, and its offset.
func (e *SignatureError) Error() string {
	text := e.Text
	if len(text) > 40 {
		text = text[:40] + "…"
	}
	return fmt.Sprintf("%s at octet %d: %q", e.Code, e.Start, text)
}

// An Algorithm is the a= of a signature, in lower case.
type Algorithm string

const (
	RSASHA256     Algorithm = "rsa-sha256"
	Ed25519SHA256 Algorithm = "ed25519-sha256" // RFC 8463
	RSASHA1       Algorithm = "rsa-sha1"       // verifies, but is not acceptable (RFC 8301 §3.1)
)

// KeyType is the type of key that the algorithm needs.
func (a Algorithm) KeyType() KeyType {
	if a == Ed25519SHA256 {
		return Ed25519
	}
	return RSA
}

// Hash is the hash of the algorithm.
func (a Algorithm) Hash() crypto.Hash {
	if a == RSASHA1 {
		return crypto.SHA1
	}
	return crypto.SHA256
}

func (a Algorithm) hashName() string {
	if a == RSASHA1 {
		return "sha1"
	}
	return "sha256"
}

// MaxSignature is the size in octets of the largest signature field that is
// read. A z= that copies a whole header stays below.
const MaxSignature = 64 << 10

// MaxNames is how many names of h= are read.
const MaxNames = 2048

// A Signature is a DKIM-Signature field, parsed (§3.5). What Errors spoilt is
// left at its zero value.
type Signature struct {
	Index  int    // of the field in the header, from 0 at the top; -1 if it is in none
	Raw    string // the field, name and CRLF and all
	Tags   []Tag  // spans count in Raw
	Errors []SignatureError

	Algorithm  Algorithm        // a=
	Signature  []byte           // b=
	BodyHash   []byte           // bh=
	HeaderForm Canonicalization // c=, before the slash
	BodyForm   Canonicalization // c=, after it
	Domain     string           // d=, canonical: lower case, A-labels
	Selector   string           // s=, lower case, A-labels
	Identity   string           // i=, quoted-printable undone; "@" and d= if there is none
	Names      []string         // h=, as written
	Length     int64            // l= in octets of the canonical body; -1 without one
	Time       time.Time        // t=; zero without one
	Expires    time.Time        // x=; zero without one
	Copied     []Copied         // z=
	Instance   int              // i= of ARC
	Chain      string           // cv= of an ARC-Seal: none, pass or fail

	kind     kind
	identity string // the domain of i=, canonical
}

// A Copied is one field of z=: a copy that the signer made, for diagnosis only.
type Copied struct {
	Name, Value string // quoted-printable undone
}

// Tag is the first tag of that name, or nil.
func (s *Signature) Tag(name string) *Tag { return findTag(s.Tags, name) }

// Fault is the first error that is not tolerated, or nil: with one, the
// signature cannot be evaluated (§6.1.1: PERMFAIL).
func (s *Signature) Fault() *SignatureError {
	for i := range s.Errors {
		if !s.Errors[i].Tolerated {
			return &s.Errors[i]
		}
	}
	return nil
}

func (s *Signature) fail(code string, at Span, tolerated bool) {
	s.Errors = append(s.Errors, SignatureError{Span: at, Code: code, Text: s.Raw[at.Start:at.End], Tolerated: tolerated})
}

// ParseSignature reads a DKIM-Signature field. It never fails and never returns
// nil; what is wrong is in Errors.
func ParseSignature(f Field) *Signature { return parseSignature(f, kindDKIM) }

// ParseARCSignature reads an ARC-Message-Signature field, which is written like
// a DKIM-Signature, but has no v=, has the instance as i=, and need not sign
// From (RFC 8617 §4.1.2).
func ParseARCSignature(f Field) *Signature { return parseSignature(f, kindAMS) }

// ParseARCSeal reads an ARC-Seal field: a signature over ARC fields alone, with
// neither h= nor bh=, and with the state of the chain as cv= (RFC 8617 §4.1.3).
func ParseARCSeal(f Field) *Signature { return parseSignature(f, kindSeal) }

type kind uint8

const (
	kindDKIM kind = iota
	kindAMS
	kindSeal
)

func parseSignature(f Field, kind kind) *Signature {
	s := &Signature{Index: -1, Raw: string(f.Raw), HeaderForm: Simple, BodyForm: Simple, Length: -1, kind: kind}
	colon := strings.IndexByte(s.Raw, ':')
	end := len(strings.TrimSuffix(s.Raw, "\r\n"))
	if len(s.Raw) > MaxSignature {
		s.fail(ErrTooLong, Span{0, end}, false)
		return s
	}
	s.Tags = tagList(s.Raw, Span{colon + 1, end}, func(code string, at Span) { s.fail(code, at, false) })
	for i := range s.Tags {
		if at, bad := badOctet(s.Raw, s.Tags[i].ValueSpan); bad {
			// RFC 8616 lets UTF-8 stand in d=, s= and i=; elsewhere it is the
			// tag's own business or decides nothing.
			s.fail(ErrNonASCII, at, true)
		}
	}
	if kind == kindDKIM {
		if t := s.need("v"); t != nil && t.Value != "1" {
			// §3.5: the version MUST be 1; §6.1.1: others are PERMFAIL.
			s.fail(ErrBadVersion, t.Span, false)
		}
	}
	s.algorithm()
	s.Signature = s.base64("b")
	s.domain()
	if kind == kindDKIM {
		s.auid()
	} else {
		s.instance()
	}
	if kind == kindSeal {
		s.HeaderForm = Relaxed // RFC 8617 §4.1.3: the only form of a seal
		s.chain()
	} else {
		s.BodyHash = s.base64("bh")
		s.canonicalizations()
		s.names()
		s.length()
		s.query()
	}
	s.times()
	if t := s.Tag("z"); t != nil && kind == kindDKIM {
		s.copied(t)
	}
	for i := 1; i < len(s.Errors); i++ {
		for j := i; j > 0 && s.Errors[j].Start < s.Errors[j-1].Start; j-- {
			s.Errors[j], s.Errors[j-1] = s.Errors[j-1], s.Errors[j]
		}
	}
	return s
}

// need is a tag that must be there and say something.
func (s *Signature) need(name string) *Tag {
	t := s.Tag(name)
	switch {
	case t == nil:
		end := len(strings.TrimSuffix(s.Raw, "\r\n"))
		s.Errors = append(s.Errors, SignatureError{Span: Span{end, end}, Code: ErrMissingTag, Text: name})
	case t.Value == "":
		s.fail(ErrEmptyValue, t.Span, false)
		return nil
	}
	return t
}

func (s *Signature) algorithm() {
	t := s.need("a")
	if t == nil {
		return
	}
	a := Algorithm(strings.ToLower(t.Value))
	switch a {
	case RSASHA256, Ed25519SHA256, RSASHA1:
		s.Algorithm = a
		if string(a) != t.Value {
			// As with k= in a key: §3.2 says case matters, the ABNF that it
			// does not, and verifiers compare without.
			s.fail(ErrCase, t.ValueSpan, true)
		}
	default:
		s.fail(ErrAlgorithm, t.ValueSpan, false)
	}
}

func (s *Signature) base64(name string) []byte {
	t := s.need(name)
	if t == nil {
		return nil
	}
	b, at, code := decode(s.Raw, t.ValueSpan)
	if code != "" {
		s.fail(code, at, false)
	}
	return b
}

func (s *Signature) canonicalizations() {
	t := s.Tag("c")
	if t == nil {
		// §3.5: default simple/simple. For ARC the suite of its authors and the
		// implementations that pass it take relaxed/relaxed.
		if s.kind == kindAMS {
			s.HeaderForm, s.BodyForm = Relaxed, Relaxed
		}
		return
	}
	header, body, slash := strings.Cut(t.Value, "/")
	if !slash {
		body = string(Simple) // §3.5: "c=relaxed" is relaxed/simple
	}
	for _, p := range []struct {
		text string
		to   *Canonicalization
	}{{header, &s.HeaderForm}, {body, &s.BodyForm}} {
		switch c := Canonicalization(strings.ToLower(p.text)); c {
		case Simple, Relaxed:
			*p.to = c
			if string(c) != p.text {
				s.fail(ErrCase, t.ValueSpan, true)
			}
		default:
			s.fail(ErrCanonicalization, t.Span, false)
			return
		}
	}
}

func (s *Signature) names() {
	t := s.Tag("h")
	if s.kind == kindDKIM {
		t = s.need("h")
	} else if t == nil {
		s.need("h") // RFC 8617 §4.1.2 takes h= over; the suite of its authors lets it be empty
	}
	if t == nil {
		return
	}
	from := false
	s.Names = make([]string, 0, min(strings.Count(t.Value, ":")+1, MaxNames))
	for at := t.ValueSpan.Start; at <= t.ValueSpan.End; {
		end := t.ValueSpan.End
		if i := strings.IndexByte(s.Raw[at:end], ':'); i >= 0 {
			end = at + i
		}
		span := trim(s.Raw, Span{at, end})
		// A name that was folded in its middle is what verifiers make of it: the
		// name without white space.
		name := squeeze(s.Raw[span.Start:span.End])
		at = end + 1
		if len(s.Names) == MaxNames {
			s.fail(ErrTooLong, Span{span.Start, t.ValueSpan.End}, false)
			return
		}
		if !isFieldName(name) || len(name) != span.End-span.Start {
			s.fail(ErrHeaderName, span, true)
		}
		from = from || strings.EqualFold(name, "from")
		// RFC 8617 §4.1.2: "MUST NOT be included".
		if s.kind == kindAMS && strings.EqualFold(name, "ARC-Seal") {
			s.fail(ErrForbidden, span, false)
		}
		s.Names = append(s.Names, name)
	}
	// §5.4: "The From header field MUST be signed."
	if !from && s.kind == kindDKIM {
		s.fail(ErrFromUnsigned, t.Span, false)
	}
}

// isFieldName is field-name of RFC 5322 §3.6.8, without the semicolon that ends
// the tag.
func isFieldName(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

// asciiName makes a canonical domain name of d=, s= or the domain of i=. In
// internationalized mail they may be U-labels (RFC 8616 §3).
func asciiName(v string) (string, bool) {
	for i := 0; i < len(v); i++ {
		if v[i] >= 0x80 {
			n, err := dnsq.ParseName(v)
			return n, err == nil
		}
	}
	if strings.HasSuffix(v, ".") {
		return "", false
	}
	for i := 0; i < len(v); i++ {
		if v[i] <= ' ' || v[i] > '~' {
			return "", false
		}
	}
	n, ok := dnsq.NameOfRaw(v)
	return dnsq.CanonicalName(n), ok
}

func (s *Signature) domain() {
	if t := s.need("d"); t != nil {
		// domain-name is sub-domain 1*("." sub-domain) (§3.5).
		n, ok := asciiName(t.Value)
		if !ok {
			s.fail(ErrDomain, t.ValueSpan, false)
		} else {
			s.Domain = n
		}
	}
	if t := s.need("s"); t != nil {
		n, ok := asciiName(t.Value)
		if ok && s.Domain != "" {
			_, ok = Name(n, s.Domain)
		}
		if !ok {
			s.fail(ErrSelector, t.ValueSpan, false)
		} else {
			s.Selector = n
		}
	}
}

// auid reads i=, the agent or user identifier.
func (s *Signature) auid() {
	t := s.Tag("i")
	if t == nil {
		// §3.5: default is an empty local part at d=.
		s.Identity, s.identity = "@"+s.Domain, s.Domain
		return
	}
	text, ok := unquote(t.Value)
	at := strings.LastIndexByte(text, '@')
	if !ok || at < 0 {
		s.fail(ErrIdentity, t.ValueSpan, false)
		return
	}
	dom, ok := asciiName(text[at+1:])
	if !ok {
		s.fail(ErrIdentity, t.ValueSpan, false)
		return
	}
	s.Identity, s.identity = text, dom
	// §3.5, §6.1.1: the domain part of i= MUST be d= or a subdomain of it.
	if s.Domain != "" && !dnsq.AtOrBelow(dom, s.Domain) {
		s.fail(ErrIdentityDomain, t.ValueSpan, false)
	}
}

// instance reads the i= of ARC.
func (s *Signature) instance() {
	t := s.need("i")
	if t == nil {
		return
	}
	n, ok := digits(t.Value, 2)
	if !ok || n < 1 || n > 50 {
		s.fail(ErrInstance, t.Span, false)
		return
	}
	s.Instance = int(n)
}

// chain reads cv=.
func (s *Signature) chain() {
	if t := s.need("cv"); t != nil {
		switch t.Value {
		case "none", "pass", "fail":
			s.Chain = t.Value
		default:
			s.fail(ErrChain, t.Span, false)
		}
	}
	// RFC 8617 §4.1.3: a seal with h= fails.
	if t := s.Tag("h"); t != nil {
		s.fail(ErrForbidden, t.Span, false)
	}
}

// digits reads a number of at most max digits.
func digits(v string, max int) (int64, bool) {
	if len(v) == 0 || len(v) > max {
		return 0, false
	}
	for i := 0; i < len(v); i++ {
		if v[i] < '0' || v[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		n = math.MaxInt64
	}
	return n, true
}

func (s *Signature) length() {
	t := s.Tag("l")
	if t == nil {
		return
	}
	n, ok := digits(t.Value, 76) // §3.5: 1*76DIGIT
	if !ok {
		s.fail(ErrLength, t.Span, false)
		return
	}
	s.Length = n
}

func (s *Signature) query() {
	t := s.Tag("q")
	if t == nil {
		return // §3.5: default dns/txt
	}
	for m := range strings.SplitSeq(t.Value, ":") {
		if strings.EqualFold(squeeze(m), "dns/txt") {
			return
		}
	}
	// §3.5: unrecognized methods are ignored; §6.1.2 needs one that is known.
	s.fail(ErrQueryMethod, t.Span, false)
}

func (s *Signature) times() {
	for _, p := range []struct {
		name string
		to   *time.Time
	}{{"t", &s.Time}, {"x", &s.Expires}} {
		t := s.Tag(p.name)
		if t == nil {
			continue
		}
		n, ok := digits(t.Value, 12) // §3.5: 1*12DIGIT
		if !ok {
			s.fail(ErrTime, t.Span, false)
			continue
		}
		*p.to = time.Unix(n, 0).UTC()
	}
	// §3.5: "The value of the x= tag MUST be greater than the value of the t= tag
	// if both are present."
	if t := s.Tag("x"); t != nil && !s.Time.IsZero() && !s.Expires.IsZero() && !s.Expires.After(s.Time) {
		s.fail(ErrExpiresBeforeSign, t.Span, false)
	}
}

// copied reads z=: copies of fields, separated by "|", in quoted-printable.
func (s *Signature) copied(t *Tag) {
	for c := range strings.SplitSeq(t.Value, "|") {
		text, ok := unquote(c)
		name, value, colon := strings.Cut(text, ":")
		if !ok || !colon || !isFieldName(name) {
			s.fail(ErrCopied, t.Span, true)
			continue
		}
		s.Copied = append(s.Copied, Copied{name, value})
		if len(s.Copied) == MaxNames {
			return
		}
	}
}

// unquote undoes dkim-quoted-printable (§2.11): "=" and two hexadecimal digits;
// white space does not count. ok is false if an "=" has no digits after it.
func unquote(v string) (out string, ok bool) {
	v = squeeze(v)
	if strings.IndexByte(v, '=') < 0 {
		return v, true
	}
	ok = true
	b := make([]byte, 0, len(v))
	for i := 0; i < len(v); i++ {
		if v[i] == '=' {
			if i+2 < len(v) {
				if n, err := strconv.ParseUint(v[i+1:i+3], 16, 8); err == nil {
					b = append(b, byte(n))
					i += 2
					continue
				}
			}
			ok = false
		}
		b = append(b, v[i])
	}
	return string(b), ok
}

// withoutB appends the field as it was when it was signed: without the value of
// b= and the white space round it, and without the final CRLF (§3.7), in the
// form c.
func (s *Signature) withoutB(dst []byte, c Canonicalization) []byte {
	return AppendWithoutB(dst, s.Raw, s.Tag("b"), c)
}

// AppendWithoutB appends a field in the form in which it was signed: the value
// of tag b and the white space round it deleted, and without the final CRLF
// (§3.5, §3.7). b is nil if the field has no such tag.
func AppendWithoutB(dst []byte, raw string, b *Tag, c Canonicalization) []byte {
	raw = strings.TrimSuffix(raw, "\r\n")
	if b != nil {
		raw = raw[:b.whole.Start] + raw[b.whole.End:]
	}
	if c == Simple {
		return append(dst, raw...)
	}
	dst = AppendRelaxed(dst, []byte(raw))
	return dst[:len(dst)-2]
}
