package dkim

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"strings"
)

// The codes of [KeyError].
const (
	ErrBareKey      = "bare-key"       // a base64 key without p= before it
	ErrNoValue      = "no-value"       // a tag without "="
	ErrBadTagName   = "bad-tag-name"   // a name that is not ALPHA *(ALPHA / DIGIT / _) (§3.2)
	ErrEmptyTag     = "empty-tag"      // nothing between two semicolons; tolerated
	ErrDuplicateTag = "duplicate-tag"  // a name twice makes the list invalid (§3.2)
	ErrBadVersion   = "bad-version"    // v= that is not exactly DKIM1 (§3.6.1)
	ErrVNotFirst    = "v-not-first"    // v= after another tag (§3.6.1); tolerated
	ErrBadKeyType   = "bad-key-type"   // k= neither rsa nor ed25519: such keys are ignored (§3.6.1)
	ErrCase         = "case"           // rsa, ed25519, sha1, sha256 or email not in lower case (§3.2); tolerated
	ErrNonASCII     = "non-ascii"      // an octet over 126 or a control character in a value (§3.2); tolerated where the value decides nothing
	ErrMissingP     = "missing-p"      // no p= (§3.6.1: required)
	ErrBadBase64    = "bad-base64"     // p= holds a character that is no base64
	ErrUnpadded     = "unpadded"       // p= is base64 whose length is no multiple of 4 (RFC 2045 §6.8)
	ErrTruncated    = "truncated"      // the key ends before it says it does
	ErrBadKey       = "bad-key"        // p= decodes, but to no key of this type
	ErrKeyMismatch  = "key-mismatch"   // p= is a public key of another type than k= says
	ErrSPKIEd25519  = "spki-ed25519"   // an Ed25519 key with an ASN.1 header, which RFC 8463 §4.2 leaves out
	ErrPrivateKey   = "private-key"    // p= holds a private key
	ErrCertificate  = "certificate"    // p= holds a certificate
	ErrTooManyTags  = "too-many-tags"  // more than [MaxTags]: not read on
	ErrTooLong      = "too-long"       // more than [MaxText] octets: not read
	WarnObsoleteTag = "obsolete-tag"   // g=, of RFC 4871: old verifiers heed it
	WarnUnknownTag  = "unknown-tag"    // ignored (§3.2), and often a slip
	WarnUnknownHash = "unknown-hash"   // an h= item that verifiers ignore
	WarnUnknownFlag = "unknown-flag"   // a t= item that verifiers ignore
	WarnRSAExponent = "small-exponent" // an RSA exponent other than 65537
)

// KeyCodes lists every code of a [KeyError], in the order above.
var KeyCodes = []string{
	ErrBareKey, ErrNoValue, ErrBadTagName, ErrEmptyTag, ErrDuplicateTag, ErrBadVersion, ErrVNotFirst,
	ErrBadKeyType, ErrCase, ErrNonASCII, ErrMissingP, ErrBadBase64, ErrUnpadded, ErrTruncated, ErrBadKey,
	ErrKeyMismatch, ErrSPKIEd25519, ErrPrivateKey, ErrCertificate, ErrTooManyTags, ErrTooLong,
}

// WarningCodes lists the codes of [Key.Warnings].
var WarningCodes = []string{WarnObsoleteTag, WarnUnknownTag, WarnUnknownHash, WarnUnknownFlag, WarnRSAExponent}

// The bounds of ParseKey. A 16384-bit RSA key is some 2800 octets.
const (
	MaxText = 16 << 10 // octets of a record
	MaxTags = 64
)

// A KeyError is one place where a record breaks RFC 6376. Span is the part at
// fault; Text is that part and may hold any octets.
type KeyError struct {
	Span
	Code string
	Text string
	// Tolerated: most verifiers in use read past it, though by the letter of
	// §6.1.2 the record is to be ignored.
	Tolerated bool
}

// Error is the code, the part at fault, quoted, and its offset.
func (e *KeyError) Error() string {
	text := e.Text
	if len(text) > 40 {
		text = text[:40] + "…"
	}
	return fmt.Sprintf("%s at octet %d: %q", e.Code, e.Start, text)
}

// A KeyType is the k= of a key.
type KeyType string

const (
	RSA     KeyType = "rsa"
	Ed25519 KeyType = "ed25519"
)

// RSA key sizes in bits that decide something.
const (
	MinRSA      = 1024 // RFC 8301 §3.2: verifiers must not accept less
	ShouldRSA   = 2048 // RFC 8301 §3.2: signers should use at least that
	MaxSureRSA  = 4096 // RFC 8301 §3.2: verifiers must be able to use that; more is luck
	maxParseRSA = 16384
)

// A Key is a key record, parsed.
type Key struct {
	Text     string
	Tags     []Tag
	Errors   []KeyError // in order of place
	Warnings []KeyError

	Type   KeyType // k=; RSA where none is written
	Public any     // *rsa.PublicKey or ed25519.PublicKey; nil if there is none
	Bits   int     // of the RSA modulus; 256 for Ed25519; 0 without a key
	PKCS1  bool    // p= is a bare RSAPublicKey (erratum 3017)
	// Revoked: p= is there and empty.
	Revoked bool
	Hashes  []string // h=, as written; nil: all are allowed
	Service []string // s=, as written; nil: all
	Flags   []string // t=, as written
	Notes   string   // n=, as written (quoted-printable)

	attempt bool
}

// Tag is the first tag of that name, or nil.
func (k *Key) Tag(name string) *Tag {
	for i := range k.Tags {
		if k.Tags[i].Name == name {
			return &k.Tags[i]
		}
	}
	return nil
}

// Attempt reports whether the record looks as if it was meant to be a key.
func (k *Key) Attempt() bool { return k.attempt }

// Broken reports whether verifiers ignore the record: it has an error that is
// not tolerated.
func (k *Key) Broken() bool { return k.fault() != nil }

// Fault is the first error that is not tolerated, or nil.
func (k *Key) Fault() *KeyError { return k.fault() }

func (k *Key) fault() *KeyError {
	for i := range k.Errors {
		if !k.Errors[i].Tolerated {
			return &k.Errors[i]
		}
	}
	return nil
}

// has reports whether list, a colon-separated tag, allows one of want.
func has(list []string, want ...string) bool {
	if list == nil {
		return true
	}
	for _, l := range list {
		for _, w := range want {
			if strings.EqualFold(l, w) {
				return true
			}
		}
	}
	return false
}

// AllowsSHA256 reports whether signatures with SHA-256 may use the key: the
// only hash left (RFC 8301 §3.1).
func (k *Key) AllowsSHA256() bool { return has(k.Hashes, "sha256") }

// SHA1Only reports whether the key allows SHA-1 and not SHA-256.
func (k *Key) SHA1Only() bool { return !k.AllowsSHA256() && has(k.Hashes, "sha1") }

// ForMail reports whether the key may sign mail (§3.6.1, s=).
func (k *Key) ForMail() bool { return has(k.Service, "*", "email") }

// Testing is the flag y.
func (k *Key) Testing() bool { return k.Flags != nil && has(k.Flags, "y") }

// Strict is the flag s: i= must be in d= itself.
func (k *Key) Strict() bool { return k.Flags != nil && has(k.Flags, "s") }

// Usable reports whether a signature with this key can verify by RFC 6376,
// 8301 and 8463. Tolerated errors and the flag y do not count.
func (k *Key) Usable() bool {
	return !k.Broken() && !k.Revoked && k.Public != nil && k.AllowsSHA256() && k.ForMail() &&
		(k.Type == Ed25519 || k.Bits >= MinRSA)
}

// ParseKey reads a key record: the strings of a TXT record, joined. It never
// fails and never returns nil; what is wrong is in Errors.
func ParseKey(text string) *Key {
	k := &Key{Text: text, Type: RSA}
	if len(text) > MaxText {
		k.attempt = startsWithVersion(text)
		k.fail(ErrTooLong, Span{0, len(text)}, false)
		return k
	}
	k.split()
	k.attempt = k.Tag("p") != nil || startsWithVersion(text)
	if !k.attempt {
		if s, ok := bareKey(text); ok {
			k.attempt, k.Tags, k.Errors, k.Warnings = true, nil, nil, nil
			k.fail(ErrBareKey, s, false)
			return k
		}
	}
	k.version()
	k.keyType()
	k.lists()
	k.publicKey()
	k.sortErrors()
	return k
}

// startsWithVersion reports whether text begins with v=DKIM, in any case, with
// what people leave before it: white space, quotes, backslashes.
func startsWithVersion(text string) bool {
	t := squeeze(text[:min(len(text), 64)])
	t = strings.TrimLeft(t, "\"'\\")
	return len(t) >= 6 && strings.EqualFold(t[:6], "v=dkim")
}

// bareKey reports whether text is a key that somebody published without the
// tags around it. It must decode to one: base64 alone is any token.
func bareKey(text string) (Span, bool) {
	s := trim(text, Span{0, len(text)})
	b, err := base64.StdEncoding.DecodeString(squeeze(text[s.Start:s.End]))
	if err != nil || len(b) < 64 {
		return Span{}, false
	}
	if _, err := x509.ParsePKIXPublicKey(b); err == nil {
		return s, true
	}
	_, err = x509.ParsePKCS1PublicKey(b)
	return s, err == nil
}

func (k *Key) fail(code string, at Span, tolerated bool) {
	k.Errors = append(k.Errors, KeyError{Span: at, Code: code, Text: k.Text[at.Start:at.End], Tolerated: tolerated})
}

func (k *Key) warn(code string, at Span) {
	k.Warnings = append(k.Warnings, KeyError{Span: at, Code: code, Text: k.Text[at.Start:at.End]})
}

// sortErrors puts errors in the order of their places; there are few.
func (k *Key) sortErrors() {
	for i := 1; i < len(k.Errors); i++ {
		for j := i; j > 0 && k.Errors[j].Start < k.Errors[j-1].Start; j-- {
			k.Errors[j], k.Errors[j-1] = k.Errors[j-1], k.Errors[j]
		}
	}
}

// FWS of §2.8: the DNS can hold CR and LF like any octets.
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func trim(text string, s Span) Span {
	for s.Start < s.End && isSpace(text[s.Start]) {
		s.Start++
	}
	for s.End > s.Start && isSpace(text[s.End-1]) {
		s.End--
	}
	return s
}

// squeeze takes all white space out.
func squeeze(s string) string {
	if !strings.ContainsAny(s, " \t\r\n") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if !isSpace(s[i]) {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// split reads the tag list and looks at each tag by itself.
func (k *Key) split() {
	k.Tags = tagList(k.Text, Span{0, len(k.Text)}, func(code string, at Span) {
		// Most verifiers read past an empty tag in a key record.
		k.fail(code, at, code == ErrEmptyTag)
	})
	for i := range k.Tags {
		t := &k.Tags[i]
		if at, bad := badOctet(k.Text, t.ValueSpan); bad {
			// In a tag that decides nothing it harms nothing.
			k.fail(ErrNonASCII, at, t.Name == "n" || !knownTag(t.Name))
		}
		switch {
		case t.Name == "g":
			k.warn(WarnObsoleteTag, t.Span)
		case !knownTag(t.Name):
			k.warn(WarnUnknownTag, t.Span)
		}
	}
}

func knownTag(n string) bool {
	switch n {
	case "v", "k", "p", "h", "s", "t", "n", "g":
		return true
	}
	return false
}

// badOctet finds the first run of octets that no tag value may hold: VALCHAR
// is %x21-3A / %x3C-7E (§3.2).
func badOctet(text string, s Span) (Span, bool) {
	bad := func(c byte) bool { return c > '~' || c < '!' && !isSpace(c) }
	for i := s.Start; i < s.End; i++ {
		if bad(text[i]) {
			j := i
			for j < s.End && bad(text[j]) {
				j++
			}
			return Span{i, j}, true
		}
	}
	return Span{}, false
}

func (k *Key) version() {
	t := k.Tag("v")
	if t == nil {
		return // §3.6.1: RECOMMENDED, default DKIM1
	}
	switch {
	// §3.6.1: "Records beginning with a v= tag with any other value MUST be
	// discarded. Note that Verifiers must do a string comparison."
	case t.Value != "DKIM1":
		k.fail(ErrBadVersion, t.Span, false)
	// §3.6.1: "This tag MUST be the first tag in the record." OpenDKIM, dkimpy
	// and go-msgauth do not look; mox and others refuse.
	case t != &k.Tags[0]:
		k.fail(ErrVNotFirst, t.Span, true)
	}
}

func (k *Key) keyType() {
	t := k.Tag("k")
	if t == nil {
		return // §3.6.1: default rsa
	}
	k.Type = KeyType(t.Value)
	switch {
	case k.Type == RSA, k.Type == Ed25519:
	// §3.2: values are case-sensitive unless their description says otherwise,
	// and that of k= does not; but its ABNF ("rsa") matches any case (RFC 5234
	// §2.3), and verifiers differ.
	case strings.EqualFold(t.Value, string(RSA)), strings.EqualFold(t.Value, string(Ed25519)):
		k.Type = KeyType(strings.ToLower(t.Value))
		k.fail(ErrCase, t.ValueSpan, true)
	default:
		// §3.6.1: "Unrecognized key types MUST be ignored."
		k.fail(ErrBadKeyType, t.ValueSpan, false)
	}
}

// lists reads the colon-separated tags h, s, t, and the note.
func (k *Key) lists() {
	if t := k.Tag("h"); t != nil {
		k.Hashes = k.list(t, func(item string, at Span) {
			switch {
			case item == "sha1", item == "sha256":
			case strings.EqualFold(item, "sha1"), strings.EqualFold(item, "sha256"):
				k.fail(ErrCase, at, true)
			default:
				// §3.6.1: "Unrecognized algorithms MUST be ignored."
				k.warn(WarnUnknownHash, at)
			}
		})
	}
	if t := k.Tag("s"); t != nil {
		k.Service = k.list(t, func(item string, at Span) {
			if item != "email" && strings.EqualFold(item, "email") {
				k.fail(ErrCase, at, true)
			}
		})
	}
	if t := k.Tag("t"); t != nil {
		k.Flags = k.list(t, func(item string, at Span) {
			if item != "y" && item != "s" {
				k.warn(WarnUnknownFlag, at) // §3.6.1: unrecognized flags MUST be ignored
			}
		})
	}
	if t := k.Tag("n"); t != nil {
		k.Notes = t.Value
	}
}

// list reads items separated by colons, white space round them taken off.
// An empty value has no items and is the same as no tag: the grammar asks for
// at least one item, and verifiers read "h=" as "any".
func (k *Key) list(t *Tag, item func(string, Span)) []string {
	if t.Value == "" {
		return nil
	}
	var out []string
	for at := t.ValueSpan.Start; at <= t.ValueSpan.End; {
		end := t.ValueSpan.End
		if i := strings.IndexByte(k.Text[at:end], ':'); i >= 0 {
			end = at + i
		}
		s := trim(k.Text, Span{at, end})
		if text := k.Text[s.Start:s.End]; text != "" {
			out = append(out, text)
			item(text, s)
		}
		at = end + 1
	}
	if out == nil {
		out = []string{}
	}
	return out
}

func (k *Key) publicKey() {
	t := k.Tag("p")
	if t == nil {
		k.fail(ErrMissingP, Span{len(k.Text), len(k.Text)}, false)
		return
	}
	// §3.6.1: "An empty value means that this public key has been revoked."
	if t.Value == "" {
		k.Revoked = true
		return
	}
	for i := range k.Errors {
		if k.Errors[i].Code == ErrBadKeyType {
			return // a key of a type that we do not know cannot be read
		}
	}
	// base64string = ALPHADIGITPS *([FWS] ALPHADIGITPS) [ [FWS] "=" [ [FWS] "=" ] ]
	// (§2.10): white space may stand anywhere in it.
	der, at, code := decode(k.Text, t.ValueSpan)
	if code != "" {
		k.fail(code, at, false)
		return
	}
	if code := k.decodeKey(der); code != "" {
		k.fail(code, t.ValueSpan, false)
	}
}

// decode reads the base64 at s. Where it cannot, it says which part is wrong.
func decode(text string, s Span) (b []byte, at Span, code string) {
	for i := s.Start; i < s.End; i++ {
		c := text[i]
		l := c | 0x20
		if 'a' <= l && l <= 'z' || '0' <= c && c <= '9' || c == '+' || c == '/' || isSpace(c) {
			continue
		}
		if c == '=' && strings.Trim(squeeze(text[i:s.End]), "=") == "" {
			continue
		}
		j := i + 1
		for j < s.End && !isSpace(text[j]) && strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=", text[j]) < 0 {
			j++
		}
		return nil, Span{i, j}, ErrBadBase64
	}
	data := squeeze(text[s.Start:s.End])
	b, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		// RFC 2045 §6.8: a quantum is four characters, filled up with "=".
		return nil, Span{s.End, s.End}, ErrUnpadded
	}
	return b, Span{}, ""
}

// decodeKey reads the octets of p=. The result is the code of an error, or "".
func (k *Key) decodeKey(b []byte) string {
	if k.Type == Ed25519 {
		// RFC 8463 §4.2: the 32 octets of the key, without ASN.1.
		if len(b) == ed25519.PublicKeySize {
			k.Public, k.Bits = ed25519.PublicKey(b), 256
			return ""
		}
		if pub, err := x509.ParsePKIXPublicKey(b); err == nil {
			if _, ok := pub.(ed25519.PublicKey); ok {
				return ErrSPKIEd25519
			}
			return ErrKeyMismatch
		}
		return notPublic(b)
	}
	if len(b) == ed25519.PublicKeySize {
		return ErrKeyMismatch
	}
	pub, err := x509.ParsePKIXPublicKey(b)
	if err == nil {
		r, ok := pub.(*rsa.PublicKey)
		if !ok {
			return ErrKeyMismatch
		}
		return k.rsa(r)
	}
	r, err := x509.ParsePKCS1PublicKey(b)
	if err != nil {
		return notPublic(b)
	}
	k.PKCS1 = true
	return k.rsa(r)
}

func (k *Key) rsa(r *rsa.PublicKey) string {
	// An RSA modulus is a product of two odd primes, its exponent odd and over
	// one (RFC 8017 §3.1). The upper bound keeps hostile keys cheap.
	n := r.N.BitLen()
	if n < 2 || r.N.Sign() <= 0 || r.N.Bit(0) == 0 || r.E < 3 || r.E%2 == 0 || n > maxParseRSA {
		return ErrBadKey
	}
	k.Public, k.Bits = r, n
	if r.E != 65537 {
		// RFC 6376 says nothing about exponents; RFC 8017 allows any.
		if t := k.Tag("p"); t != nil {
			k.warn(WarnRSAExponent, t.ValueSpan)
		}
	}
	return ""
}

// notPublic says what the octets are, if they are no public key.
func notPublic(b []byte) string {
	if _, err := x509.ParsePKCS1PrivateKey(b); err == nil {
		return ErrPrivateKey
	}
	if _, err := x509.ParsePKCS8PrivateKey(b); err == nil {
		return ErrPrivateKey
	}
	if _, err := x509.ParseECPrivateKey(b); err == nil {
		return ErrPrivateKey
	}
	if _, err := x509.ParseCertificate(b); err == nil {
		return ErrCertificate
	}
	// A DER SEQUENCE that is longer than the octets there are: the usual
	// remains of a form that keeps 255 characters.
	if n, ok := derLength(b); ok && n > len(b) {
		return ErrTruncated
	}
	return ErrBadKey
}

// derLength is the length in octets, header included, that the outermost
// SEQUENCE of b says it has.
func derLength(b []byte) (int, bool) {
	if len(b) < 2 || b[0] != 0x20|asn1.TagSequence {
		return 0, false
	}
	if b[1] < 0x80 {
		return 2 + int(b[1]), true
	}
	n := int(b[1] & 0x7f)
	if n == 0 || n > 3 || len(b) < 2+n {
		return 0, false
	}
	l := 0
	for _, c := range b[2 : 2+n] {
		l = l<<8 | int(c)
	}
	return 2 + n + l, true
}
