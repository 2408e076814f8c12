package dkim

import (
	"bufio"
	"context"
	"crypto/subtle"
	"hash"
	"io"
	"sync"
	"time"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// A Verdict is what a verifier says of a signature, or of a message for its
// best one, in the words of RFC 8601 §2.7.1.
type Verdict string

const (
	None      Verdict = "none"      // of a message: it has no signature
	Pass      Verdict = "pass"      // verified
	Fail      Verdict = "fail"      // could be tried, and is not valid
	TempError Verdict = "temperror" // the key could not be learnt; later it may be
	PermError Verdict = "permerror" // cannot be evaluated: it is malformed, or there is no key for it
)

// A Reason says why a signature does not pass, or what there is to note of it.
type Reason string

const (
	// For permerror.
	ReasonSyntax     Reason = "syntax"           // the field breaks the grammar: [Signature.Errors]
	ReasonKeyMissing Reason = "key-missing"      // no record at the selector, or none that looks like a key
	ReasonKeyRevoked Reason = "key-revoked"      // an empty p=
	ReasonKeySyntax  Reason = "key-syntax"       // a record that verifiers ignore: [Key.Errors]
	ReasonKeyType    Reason = "key-type"         // k= is not the type that a= needs
	ReasonKeyHash    Reason = "key-hash"         // h= of the key does not allow the hash of a=
	ReasonKeyService Reason = "key-service"      // s= of the key does not allow mail
	ReasonStrict     Reason = "identity-strict"  // the key has the flag s, and i= is in a subdomain of d=
	ReasonTooLong    Reason = "length-too-large" // l= is more than the body has (§3.5)
	// For temperror.
	ReasonKeyUnknown Reason = "key-unavailable" // the DNS gave no answer
	// For fail.
	ReasonBody    Reason = "body-hash"   // the body is not the one that was signed
	ReasonHeader  Reason = "header-hash" // the signature is not that of this header
	ReasonExpired Reason = "expired"     // the clock is past x=
	// For fail under RFC 8301 alone.
	ReasonSHA1     Reason = "sha1"      // §3.1: must not be used
	ReasonShortKey Reason = "short-key" // §3.2: an RSA key under 1024 bits
	// Notes: nothing fails for them.
	NoteTesting  Reason = "testing"       // the key has the flag y: the signature is to be treated as if it were not there (§3.6.1)
	NoteFuture   Reason = "future"        // t= is later than the clock
	NotePartial  Reason = "partial"       // l= leaves a part of the body unsigned, or would let one be added
	NoteMultiple Reason = "multiple-keys" // several records at the selector
	NoteWeakKey  Reason = "weak-key"      // RSA with less than 2048 bits (RFC 8301 §3.2: signers should use at least that)
)

// Reasons lists every [Reason], in the order above.
var Reasons = []Reason{
	ReasonSyntax, ReasonKeyMissing, ReasonKeyRevoked, ReasonKeySyntax, ReasonKeyType, ReasonKeyHash, ReasonKeyService,
	ReasonStrict, ReasonTooLong, ReasonKeyUnknown, ReasonBody, ReasonHeader, ReasonExpired, ReasonSHA1, ReasonShortKey,
	NoteTesting, NoteFuture, NotePartial, NoteMultiple, NoteWeakKey,
}

// A Verification is all that was found out about one signature. The body hash
// and the header signature are judged each by itself: that one does not match
// hides nothing of the other.
type Verification struct {
	*Signature
	// Lookup is the answer for the selector; nil if the signature does not say
	// where its key is.
	Lookup *Result
	// Key is the record that was used: the one that verifies, if there are
	// several, else the first that fits; nil if none can be used.
	Key *Key

	Cryptographic Verdict // by RFC 6376 and 8463 alone
	RFC8301       Verdict // as a receiver today must: no SHA-1, no RSA key under 1024 bits

	BodyMatch   Match // bh= against the body
	HeaderMatch Match // b= against the header; unknown without a key
	// Signed is the header's digest that the signer signed, where the key shows
	// it: see [KeyCheck.Signed].
	Signed []byte

	Reasons []Reason // why Cryptographic is not pass, all of them
	Refused []Reason // why RFC8301 is not pass although Cryptographic is
	Notes   []Reason

	BodySize int64 // octets of the canonical body
	Unsigned int64 // octets of it after l=
	// Appended are the first of these, at most [MaxAppended] octets.
	Appended []byte
	// Selected are the fields that h= covers: see [Header.Selected].
	Selected []int

	want *want
}

// Has reports whether r is among the reasons, refusals or notes.
func (v *Verification) Has(r Reason) bool {
	for _, l := range [][]Reason{v.Reasons, v.Refused, v.Notes} {
		for _, x := range l {
			if x == r {
				return true
			}
		}
	}
	return false
}

// A Report is what was found out about all signatures of a message.
type Report struct {
	Signatures []*Verification // in the order of the header, from the top
	Skipped    int             // signatures beyond the limit, not looked at
}

// Result is the best cryptographic verdict: one valid signature is enough
// (§6.1). An error of the DNS comes before a failure: what is unknown could
// still pass.
func (r *Report) Result() Verdict {
	return best(r.Signatures, func(v *Verification) Verdict { return v.Cryptographic })
}

// Result8301 is the best verdict under RFC 8301.
func (r *Report) Result8301() Verdict {
	return best(r.Signatures, func(v *Verification) Verdict { return v.RFC8301 })
}

func best(vs []*Verification, of func(*Verification) Verdict) Verdict {
	out, rank := None, 0
	for _, v := range vs {
		for i, d := range []Verdict{PermError, Fail, TempError, Pass} {
			if of(v) == d && i+1 > rank {
				out, rank = d, i+1
			}
		}
	}
	return out
}

// DefaultMax is how many signatures of a message a [Verifier] evaluates if
// nothing else is said. RFC 6376 §6.1 leaves the number to the verifier: chasquid
// takes 5, go-msgauth all unless it is told. Real mail has one to four.
const DefaultMax = 20

// A Verifier evaluates DKIM signatures. It knows the outside only through its
// fields.
type Verifier struct {
	Resolver dnsq.Resolver
	// Now is the clock for x= and t=. With the zero Time no signature has
	// expired, and none is of the future.
	Now time.Time
	// Max is how many signatures are evaluated, from the top; [DefaultMax] if 0.
	Max int
}

// A Session is the verification of one message: begun before its body is read,
// finished afterwards.
type Session struct {
	v      *Verifier
	header *Header
	body   *Body
	report *Report
}

// Start reads the signatures of a header and tells body what to hash. Then the
// body is written to body and closed, and [Session.Finish] called.
func (v *Verifier) Start(h *Header, body *Body) *Session {
	limit := v.Max
	if limit <= 0 {
		limit = DefaultMax
	}
	all := h.All("DKIM-Signature")
	sigs := make([]*Signature, min(len(all), limit))
	for i := range sigs {
		sigs[i] = ParseSignature(h.Fields[all[i]])
		sigs[i].Index = all[i]
	}
	s := v.StartSignatures(h, body, sigs)
	s.report.Skipped = len(all) - len(sigs)
	return s
}

// StartSignatures is [Verifier.Start] for given signatures, such as those of
// ARC. Index of each is its place in the header.
func (v *Verifier) StartSignatures(h *Header, body *Body, sigs []*Signature) *Session {
	s := &Session{v: v, header: h, body: body, report: &Report{Signatures: make([]*Verification, len(sigs))}}
	for i, sig := range sigs {
		ver := &Verification{Signature: sig, BodyMatch: Unknown, HeaderMatch: Unknown}
		if sig.BodyHash != nil && sig.Algorithm != "" {
			ver.want = body.want(sig.BodyForm, sig.Algorithm.Hash(), sig.Length)
		}
		s.report.Signatures[i] = ver
	}
	return s
}

// Signatures are the verifications under way, in the order of the header. What
// they say stands only after [Session.Finish].
func (s *Session) Signatures() []*Verification { return s.report.Signatures }

// Finish asks for all keys at once and judges the signatures. The body is
// complete and closed.
func (s *Session) Finish(ctx context.Context) *Report {
	vs := s.report.Signatures
	lookups := make([]*Result, len(vs))
	var wg sync.WaitGroup
	for i, v := range vs {
		if v.Selector == "" || v.Domain == "" {
			continue
		}
		if j := sameKey(vs[:i], v); j >= 0 {
			continue
		}
		if len(vs) == 1 {
			lookups[i] = Lookup(ctx, s.v.Resolver, v.Selector, v.Domain)
			continue
		}
		wg.Go(func() { lookups[i] = Lookup(ctx, s.v.Resolver, v.Selector, v.Domain) })
	}
	wg.Wait()
	var hashes [2]hash.Hash
	for i, v := range vs {
		if j := sameKey(vs[:i], v); j >= 0 {
			lookups[i] = lookups[j]
		}
		v.Lookup = lookups[i]
		s.judge(v, &hashes)
	}
	return s.report
}

// sameKey is the index of the first of vs with the selector and domain of v.
func sameKey(vs []*Verification, v *Verification) int {
	for i, o := range vs {
		if o.Selector == v.Selector && o.Domain == v.Domain {
			return i
		}
	}
	return -1
}

func (s *Session) judge(v *Verification, hashes *[2]hash.Hash) {
	s.bodyHash(v)
	if v.Fault() != nil {
		v.Reasons = append(v.Reasons, ReasonSyntax)
	}
	if v.Algorithm != "" && v.Signature.Signature != nil && v.Tag("b") != nil {
		at := &hashes[0]
		if v.Algorithm == RSASHA1 {
			at = &hashes[1]
		}
		if *at == nil {
			*at = v.Algorithm.Hash().New()
		}
		v.Selected = s.header.Selected(v.Names, v.Index)
		var digest [64]byte
		s.signature(v, s.header.digest(*at, v.Signature, v.Selected, digest[:0]))
	} else if v.Lookup != nil {
		s.key(v)
	}
	if v.BodyMatch == Mismatches {
		v.Reasons = append(v.Reasons, ReasonBody)
	}
	if v.HeaderMatch == Mismatches {
		v.Reasons = append(v.Reasons, ReasonHeader)
	}
	if !s.v.Now.IsZero() {
		// §3.5, §6.1.1: the signature is valid up to and with x=.
		if !v.Expires.IsZero() && s.v.Now.After(v.Expires) {
			v.Reasons = append(v.Reasons, ReasonExpired)
		}
		// §3.5: signatures of the future MAY be ignored; nobody does.
		if !v.Time.IsZero() && v.Time.After(s.v.Now) {
			v.Notes = append(v.Notes, NoteFuture)
		}
	}
	if v.Length >= 0 {
		v.Notes = append(v.Notes, NotePartial)
	}
	v.Cryptographic = verdict(v.Reasons)
	v.RFC8301 = v.Cryptographic
	if v.Cryptographic == Pass {
		// RFC 8301 §3.1, §3.2: such signatures "have permanently failed".
		if v.Algorithm == RSASHA1 {
			v.Refused = append(v.Refused, ReasonSHA1)
		}
		if v.Key.Type == RSA && v.Key.Bits < MinRSA {
			v.Refused = append(v.Refused, ReasonShortKey)
		}
		if len(v.Refused) > 0 {
			v.RFC8301 = Fail
		}
	}
	if v.Key != nil {
		if v.Key.Testing() {
			v.Notes = append(v.Notes, NoteTesting)
		}
		if v.Key.Type == RSA && v.Key.Bits < ShouldRSA {
			v.Notes = append(v.Notes, NoteWeakKey)
		}
	}
}

// verdict is the one that the reasons add up to: a signature that cannot be
// evaluated whatever the DNS says is a permerror; then what is unknown decides,
// then what failed.
func verdict(rs []Reason) Verdict {
	out := Pass
	for _, r := range rs {
		switch r {
		case ReasonKeyUnknown:
			if out != PermError {
				out = TempError
			}
		case ReasonBody, ReasonHeader, ReasonExpired:
			if out == Pass {
				out = Fail
			}
		default:
			return PermError
		}
	}
	return out
}

func (s *Session) bodyHash(v *Verification) {
	if v.want == nil {
		return
	}
	v.BodySize = s.body.size(v.BodyForm)
	if v.Length >= 0 {
		// §3.5: "This value MUST NOT be larger than the actual number of octets
		// in the canonicalized message body."
		if v.Length > v.BodySize {
			v.BodyMatch = Mismatches
			v.Reasons = append(v.Reasons, ReasonTooLong)
			return
		}
		v.Unsigned, v.Appended = v.BodySize-v.Length, v.want.tail
	}
	v.BodyMatch = Mismatches
	if subtle.ConstantTimeCompare(v.want.sum, v.BodyHash) == 1 {
		v.BodyMatch = Matches
	}
}

// digest hashes the fields that a signature covers, in the order of h=, and its
// own field without b= last (§3.7).
func (h *Header) digest(to hash.Hash, sig *Signature, selected []int, sum []byte) []byte {
	to.Reset()
	for _, i := range selected {
		if i >= 0 {
			to.Write(h.canonical(i, sig.HeaderForm))
		}
	}
	to.Write(sig.withoutB(make([]byte, 0, len(sig.Raw)), sig.HeaderForm))
	return to.Sum(sum)
}

// signature tries the keys of the selector.
func (s *Session) signature(v *Verification, digest []byte) {
	if !s.key(v) {
		return
	}
	tried := false
	for _, k := range v.Lookup.candidates(v.Algorithm) {
		c := k.check(v.Algorithm, digest, v.Signature.Signature)
		if !tried || c.Match == Matches {
			v.Key, v.HeaderMatch, v.Signed = k, c.Match, c.Signed
		}
		tried = true
		if c.Match == Matches {
			break
		}
	}
	s.permitted(v)
}

// maxKeys is how many records of one selector are tried: §6.1.2 lets a verifier
// take any of them or all.
const maxKeys = 4

// candidates are the records that a signature of this algorithm could be
// verified with.
func (r *Result) candidates(a Algorithm) []*Key {
	var out []*Key
	for _, k := range r.Keys {
		if k.Public != nil && !k.Broken() && k.Type == a.KeyType() && len(out) < maxKeys {
			out = append(out, k)
		}
	}
	return out
}

// key says why the selector has no key that can be tried, if so.
func (s *Session) key(v *Verification) bool {
	r := v.Lookup
	if r == nil {
		return false // its domain or selector is a fault of the field
	}
	if r.Status == Multiple {
		v.Notes = append(v.Notes, NoteMultiple)
	}
	if reason := r.unusable(v.Algorithm); reason != "" {
		v.Reasons = append(v.Reasons, reason)
		return false
	}
	return true
}

// unusable says why no record can be tried; "" if one can.
func (r *Result) unusable(a Algorithm) Reason {
	switch r.Status {
	case Undetermined:
		// §6.1.2: no answer is temporary, never "no key".
		return ReasonKeyUnknown
	case Missing, NotKey, Invalid:
		return ReasonKeyMissing
	case Revoked:
		return ReasonKeyRevoked
	}
	if a == "" {
		return ""
	}
	if len(r.candidates(a)) > 0 {
		return ""
	}
	for _, k := range r.Keys {
		if k.Public != nil && !k.Broken() {
			return ReasonKeyType
		}
	}
	for _, k := range r.Keys {
		if k.Revoked && !k.Broken() {
			return ReasonKeyRevoked
		}
	}
	return ReasonKeySyntax
}

// permitted looks at what the key record says it may be used for (§6.1.2).
func (s *Session) permitted(v *Verification) {
	if !has(v.Key.Hashes, v.Algorithm.hashName()) {
		v.Reasons = append(v.Reasons, ReasonKeyHash)
	}
	if !v.Key.ForMail() {
		v.Reasons = append(v.Reasons, ReasonKeyService)
	}
	// §3.6.1, flag s: the domain of i= must be d= itself. An instance of ARC is
	// no identity.
	if v.Key.Strict() && v.kind == kindDKIM && v.identity != "" && v.identity != v.Domain {
		v.Reasons = append(v.Reasons, ReasonStrict)
	}
}

// Verify evaluates the signatures of a whole message, header and body, as it is
// read. Line ends may be CRLF or LF. The error is that of r, or
// [ErrHeaderTooLarge]; what is wrong with signatures is in the report.
func (v *Verifier) Verify(ctx context.Context, r io.Reader) (*Report, error) {
	br := bufio.NewReaderSize(r, 16<<10)
	fields, _, err := ReadHeader(br)
	if err != nil {
		return nil, err
	}
	var body Body
	s := v.Start(NewHeader(fields), &body)
	if len(s.report.Signatures) > 0 {
		if _, err := io.Copy(&body, br); err != nil {
			return nil, err
		}
		body.Close()
	}
	return s.Finish(ctx), nil
}

// CheckSeal verifies sig over a digest with a key of the selector, as an
// ARC-Seal needs it, whose digest is of other fields than h= says. reason says why no key could be
// tried, or that the key does not allow it (key-hash, key-service); the check
// is then empty or a fact beside it.
func (r *Result) CheckSeal(a Algorithm, digest, sig []byte) (c KeyCheck, reason Reason) {
	c.Match = Unknown
	if reason := r.unusable(a); reason != "" {
		return c, reason
	}
	for i, k := range r.candidates(a) {
		if x := k.check(a, digest, sig); i == 0 || x.Match == Matches {
			c = x
			if x.Match == Matches {
				break
			}
		}
	}
	switch {
	case !has(c.Key.Hashes, a.hashName()):
		return c, ReasonKeyHash
	case !c.Key.ForMail():
		return c, ReasonKeyService
	}
	return c, ""
}
