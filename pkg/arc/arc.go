// Package arc validates Authenticated Received Chains (RFC 8617), seal by seal.
//
// # ARC in one page
//
// A mailing list or a forwarder changes a mail, or sends it from its own
// address, and so breaks DKIM and SPF. What it saw itself when the mail came in
// is lost to the next receiver. With ARC the forwarder writes it down and signs
// it. It adds a set of three fields, all with the same instance number, i=1 for
// the first forwarder, 2 for the next:
//
//	ARC-Authentication-Results: i=1; lists.example.org; dkim=pass …; spf=pass …
//	ARC-Message-Signature: i=1; a=rsa-sha256; d=example.org; s=arc; h=…; bh=…; b=…
//	ARC-Seal: i=1; a=rsa-sha256; cv=none; d=example.org; s=arc; b=…
//
// The first is what it saw. The second is a DKIM signature over the mail as it
// leaves (without v=, and with i= for the instance). The third is a signature
// over all ARC fields so far: of set 1, of set 2, … and of its own, in the order
// results, message signature, seal. cv= is what the forwarder thought of the
// chain it got: none if there was no chain, pass, or fail.
//
// Later changes of the mail break the message signatures of older sets, but not
// of the newest; the seals stay valid, since they cover ARC fields alone. So a
// chain passes if every set is whole, the numbers run from 1 without a gap,
// cv= is none in the first and pass in all others, the newest message signature
// verifies, and every seal does. Older message signatures may be broken: the
// oldest that still holds tells since when the mail was not changed.
//
// A chain that passes says only that the named forwarders wrote what they wrote.
// Whether to believe them is up to the receiver. Gmail and Microsoft do for
// forwarders they know.
//
// # Where the RFC leaves a choice
//
//   - A key that the DNS does not give at the moment: RFC 8617 knows none, pass
//     and fail alone. Here it is [TempError], unless something else fails the
//     chain for good: not finding out is no failure.
//   - A newest seal that says cv=fail makes the chain fail at once (§5.2, step
//     2). Its seals are not judged, as they cover nothing of the older sets
//     (§5.1.2).
//   - A message signature without c= is relaxed/relaxed, and need not cover From:
//     so the suite of the RFC's authors has it, though DKIM's rules, which RFC
//     8617 §4.1.2 takes over, say otherwise.
//   - Faults of a field make its chain fail, also in tags that decide nothing.
package arc

import (
	"bufio"
	"context"
	"crypto"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// MaxSets is how many sets a chain may have (RFC 8617 §5.1.1.1.1).
const MaxSets = 50

// A Status is the state of a chain, or what became of one seal.
type Status string

const (
	None      Status = "none"      // there is no chain
	Pass      Status = "pass"      // valid
	Fail      Status = "fail"      // broken, for good
	TempError Status = "temperror" // a key could not be learnt
	Unjudged  Status = "unjudged"  // of a seal: the chain failed before it was its turn
)

// The codes of a [Fault].
const (
	FaultTooMany    = "too-many"    // more than 50 sets
	FaultField      = "field"       // a field whose syntax is broken, so that it counts for nothing
	FaultInstance   = "instance"    // a field without a number from 1 to 50, so that it is in no set
	FaultMissing    = "missing"     // a set that lacks a field; Name says which
	FaultDuplicate  = "duplicate"   // a set with a field twice
	FaultGap        = "gap"         // a number that has no set at all, below the highest
	FaultChain      = "cv"          // cv= not none in the first set, or not pass in a later one
	FaultChainFail  = "cv-fail"     // the newest seal says that the chain had failed already
	FaultMessage    = "message"     // the newest message signature does not verify
	FaultSeal       = "seal"        // a seal does not verify
	FaultUnknownKey = "unavailable" // a key that the DNS did not give
	FieldResults    = "ARC-Authentication-Results"
	FieldMessage    = "ARC-Message-Signature"
	FieldSeal       = "ARC-Seal"
)

// FaultCodes lists every code of a [Fault].
var FaultCodes = []string{
	FaultTooMany, FaultField, FaultInstance, FaultMissing, FaultDuplicate, FaultGap, FaultChain, FaultChainFail,
	FaultMessage, FaultSeal, FaultUnknownKey,
}

// A Fault is one thing for which a chain does not pass.
type Fault struct {
	Code     string
	Instance int    // of the set; 0 if none is known
	Name     string // of the field at fault; "" if it is the whole chain
	Index    int    // of the field in the header, from 0 at the top; -1 if it is missing
	// Error is what is wrong in the field, for field and instance; nil otherwise.
	Error *dkim.SignatureError
}

// A Set is the three fields of one instance. A field that is missing is nil.
type Set struct {
	Instance int
	Results  *Results
	Message  *dkim.Verification
	Seal     *Seal
}

// Results is an ARC-Authentication-Results field (RFC 8617 §4.1.1).
type Results struct {
	Index    int // in the header
	Instance int
	Text     string // what stands after "i=1;": the payload of an Authentication-Results field (RFC 8601), folds and all
	Offset   int    // of Text in the raw field
}

// A Seal is an ARC-Seal, judged.
type Seal struct {
	*dkim.Signature
	Lookup *dkim.Result  // the answer for its selector; nil if it does not say one
	Check  dkim.KeyCheck // what the key says
	Status Status        // pass, fail, temperror, or unjudged
	// Reason says why not pass: header-hash, short-key, sha1, or what is wrong
	// with the key; "" for pass and unjudged.
	Reason dkim.Reason
}

// A Report is what was found out about a chain.
type Report struct {
	Status Status
	Sets   []*Set // by instance, 1 first
	Faults []Fault
	// OldestPass is the lowest instance from which on all message signatures
	// verify: 1 if all do, 0 if the newest does not or the chain does not pass.
	// (RFC 8617 §5.2, step 5, writes 0 where we write 1.)
	OldestPass int
}

// A Validator judges chains.
type Validator struct {
	Resolver dnsq.Resolver
	Now      time.Time // for x= of message signatures; may be zero
}

// A Session is the validation of one message: begun before its body is read,
// finished afterwards.
type Session struct {
	v      *Validator
	header *dkim.Header
	report *Report
	sets   map[int]*Set
	dkim   *dkim.Session
	max    int
}

// Start reads the chain of a header and tells body what to hash. Then the body
// is written to body and closed, and [Session.Finish] called. body can serve a
// [dkim.Session] at the same time.
func (v *Validator) Start(h *dkim.Header, body *dkim.Body) *Session {
	s := &Session{v: v, header: h, report: &Report{Status: None}, sets: map[int]*Set{}}
	results, messages, seals := h.All(FieldResults), h.All(FieldMessage), h.All(FieldSeal)
	if len(results)+len(messages)+len(seals) == 0 {
		return s
	}
	// §5.2, step 1: with more than 50 sets the chain fails. Each field of one
	// name must be another set, so nothing needs to be read.
	if max(len(results), len(messages), len(seals)) > MaxSets {
		s.fault(Fault{Code: FaultTooMany, Index: -1})
		return s
	}
	for _, i := range results {
		r, e := ParseResults(h.Fields[i])
		r.Index = i
		if set := s.set(r.Instance, FieldResults, i, e); set != nil {
			if set.Results != nil {
				s.fault(Fault{Code: FaultDuplicate, Instance: r.Instance, Name: FieldResults, Index: i})
				continue
			}
			set.Results = r
		}
	}
	var sigs []*dkim.Signature
	var owners []*Set
	for _, i := range messages {
		sig := dkim.ParseARCSignature(h.Fields[i])
		sig.Index = i
		if set := s.set(sig.Instance, FieldMessage, i, sig.Fault()); set != nil {
			if contains(owners, set) {
				s.fault(Fault{Code: FaultDuplicate, Instance: sig.Instance, Name: FieldMessage, Index: i})
				continue
			}
			sigs, owners = append(sigs, sig), append(owners, set)
		}
	}
	for _, i := range seals {
		sig := dkim.ParseARCSeal(h.Fields[i])
		sig.Index = i
		if set := s.set(sig.Instance, FieldSeal, i, sig.Fault()); set != nil {
			if set.Seal != nil {
				s.fault(Fault{Code: FaultDuplicate, Instance: sig.Instance, Name: FieldSeal, Index: i})
				continue
			}
			set.Seal = &Seal{Signature: sig, Check: dkim.KeyCheck{Match: dkim.Unknown}, Status: Unjudged}
		}
	}
	ver := dkim.Verifier{Resolver: v.Resolver, Now: v.Now}
	s.dkim = ver.StartSignatures(h, body, sigs)
	for i, m := range s.dkim.Signatures() {
		owners[i].Message = m
	}
	s.structure()
	return s
}

func contains(sets []*Set, s *Set) bool {
	for _, o := range sets {
		if o == s {
			return true
		}
	}
	return false
}

func (s *Session) fault(f Fault) { s.report.Faults = append(s.report.Faults, f) }

// set is the set that a field belongs to, nil if it does not say one. A fault in
// the field is noted.
func (s *Session) set(instance int, name string, index int, e *dkim.SignatureError) *Set {
	if instance == 0 {
		s.fault(Fault{Code: FaultInstance, Name: name, Index: index, Error: e})
		return nil
	}
	if e != nil {
		s.fault(Fault{Code: FaultField, Instance: instance, Name: name, Index: index, Error: e})
	}
	s.max = max(s.max, instance)
	set := s.sets[instance]
	if set == nil {
		set = &Set{Instance: instance}
		s.sets[instance] = set
	}
	return set
}

// structure judges what can be judged without keys (§5.2, steps 2 and 3).
func (s *Session) structure() {
	for i := 1; i <= s.max; i++ {
		set := s.sets[i]
		if set == nil {
			s.fault(Fault{Code: FaultGap, Instance: i, Index: -1})
			continue
		}
		s.report.Sets = append(s.report.Sets, set)
		for _, f := range []struct {
			there bool
			name  string
		}{{set.Results != nil, FieldResults}, {set.Message != nil, FieldMessage}, {set.Seal != nil, FieldSeal}} {
			if !f.there {
				s.fault(Fault{Code: FaultMissing, Instance: i, Name: f.name, Index: -1})
			}
		}
		if set.Seal == nil || set.Seal.Chain == "" {
			continue
		}
		cv := set.Seal.Chain
		switch {
		case i == s.max && cv == "fail":
			// Step 2.
			s.fault(Fault{Code: FaultChainFail, Instance: i, Name: FieldSeal, Index: set.Seal.Index})
		case (i == 1) != (cv == "none") || cv == "fail":
			// Step 3.C.
			s.fault(Fault{Code: FaultChain, Instance: i, Name: FieldSeal, Index: set.Seal.Index})
		}
	}
}

// Finish asks for all keys at once and judges the chain. The body is complete
// and closed.
func (s *Session) Finish(ctx context.Context) *Report {
	r := s.report
	if s.dkim == nil {
		if len(r.Faults) > 0 {
			r.Status = Fail
		}
		return r
	}
	broken := len(r.Faults) > 0
	var wg sync.WaitGroup
	if !broken {
		for i, set := range r.Sets {
			seal := set.Seal
			wg.Go(func() {
				seal.Lookup = dkim.Lookup(ctx, s.v.Resolver, seal.Selector, seal.Domain)
				s.judge(seal, r.Sets[:i+1])
			})
		}
	}
	s.dkim.Finish(ctx)
	wg.Wait()
	unknown := false
	newest := s.sets[s.max]
	if newest != nil && newest.Message != nil && !broken {
		// Step 4.
		switch m := newest.Message; m.RFC8301 {
		case dkim.Pass:
		case dkim.TempError:
			if m.BodyMatch == dkim.Mismatches {
				s.fault(Fault{Code: FaultMessage, Instance: s.max, Name: FieldMessage, Index: m.Index})
				break
			}
			unknown = true
			s.fault(Fault{Code: FaultUnknownKey, Instance: s.max, Name: FieldMessage, Index: m.Index})
		default:
			s.fault(Fault{Code: FaultMessage, Instance: s.max, Name: FieldMessage, Index: m.Index})
		}
	}
	for i := len(r.Sets) - 1; i >= 0 && !broken; i-- {
		// Step 6.
		seal := r.Sets[i].Seal
		switch seal.Status {
		case TempError:
			unknown = true
			s.fault(Fault{Code: FaultUnknownKey, Instance: i + 1, Name: FieldSeal, Index: seal.Index})
		case Fail:
			s.fault(Fault{Code: FaultSeal, Instance: i + 1, Name: FieldSeal, Index: seal.Index})
		}
	}
	switch {
	case len(r.Faults) == 0:
		r.Status = Pass
	case unknown && only(r.Faults, FaultUnknownKey):
		r.Status = TempError
	default:
		r.Status = Fail
	}
	if r.Status == Pass {
		// Step 5.
		for i := len(r.Sets) - 1; i >= 0 && r.Sets[i].Message.RFC8301 == dkim.Pass; i-- {
			r.OldestPass = i + 1
		}
	}
	return r
}

func only(fs []Fault, code string) bool {
	for _, f := range fs {
		if f.Code != code {
			return false
		}
	}
	return true
}

// judge verifies a seal over the sets up to its own.
func (s *Session) judge(seal *Seal, sets []*Set) {
	h := seal.Algorithm.Hash().New()
	var buf []byte
	for _, set := range sets {
		// §5.1.1.1.2: by instance, and results, signature, seal in each, all in
		// the relaxed form; the seal under judgement last, without b= and CRLF.
		for _, i := range []int{set.Results.Index, set.Message.Index} {
			buf = dkim.AppendRelaxed(buf[:0], s.header.Fields[i].Raw)
			h.Write(buf)
		}
		if set.Seal != seal {
			buf = dkim.AppendRelaxed(buf[:0], s.header.Fields[set.Seal.Index].Raw)
			h.Write(buf)
		}
	}
	h.Write(dkim.AppendWithoutB(nil, seal.Raw, seal.Tag("b"), dkim.Relaxed))
	seal.Check, seal.Reason = seal.Lookup.CheckSeal(seal.Algorithm, h.Sum(nil), seal.Signature.Signature)
	seal.Status = Fail
	switch {
	case seal.Reason == dkim.ReasonKeyUnknown:
		seal.Status = TempError
	case seal.Reason != "":
	case seal.Check.Match != dkim.Matches:
		seal.Reason = dkim.ReasonHeader
	// RFC 8301 holds for ARC too (RFC 8617 §4.1.3 takes a= from DKIM).
	case seal.Algorithm.Hash() != crypto.SHA256:
		seal.Reason = dkim.ReasonSHA1
	case seal.Check.Key.Type == dkim.RSA && seal.Check.Key.Bits < dkim.MinRSA:
		seal.Reason = dkim.ReasonShortKey
	default:
		seal.Status = Pass
	}
}

// ParseResults reads i= of an ARC-Authentication-Results field:
//
//	arc-info = instance [CFWS] ";" authres-payload
//
// The instance is 0 where there is none; the error says what stands in its place.
func ParseResults(f dkim.Field) (*Results, *dkim.SignatureError) {
	raw := strings.TrimSuffix(string(f.Raw), "\r\n")
	r := &Results{}
	at := strings.IndexByte(raw, ':') + 1
	bad := func(end int) (*Results, *dkim.SignatureError) {
		start := at
		for start < end && isSpace(raw[start]) {
			start++
		}
		return &Results{}, &dkim.SignatureError{Span: dkim.Span{Start: start, End: end}, Code: dkim.ErrInstance, Text: raw[start:end]}
	}
	semi := strings.IndexByte(raw[at:], ';')
	if semi < 0 {
		return bad(len(raw))
	}
	semi += at
	name, value, ok := strings.Cut(raw[at:semi], "=")
	value = strings.TrimSpace(value)
	if i := strings.IndexByte(value, '('); i >= 0 && strings.HasSuffix(value, ")") {
		value = strings.TrimSpace(value[:i])
	}
	if !ok || strings.TrimSpace(name) != "i" || len(value) > 2 || value == "" {
		return bad(semi)
	}
	for i := range len(value) {
		if value[i] < '0' || value[i] > '9' {
			return bad(semi)
		}
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > MaxSets {
		return bad(semi)
	}
	r.Instance, r.Text, r.Offset = n, raw[semi+1:], semi+1
	return r, nil
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// Validate judges the chain of a whole message, header and body, as it is read.
// The error is that of r, or [dkim.ErrHeaderTooLarge].
func (v *Validator) Validate(ctx context.Context, r io.Reader) (*Report, error) {
	br := bufio.NewReaderSize(r, 16<<10)
	fields, _, err := dkim.ReadHeader(br)
	if err != nil {
		return nil, err
	}
	var body dkim.Body
	s := v.Start(dkim.NewHeader(fields), &body)
	if s.dkim != nil {
		if _, err := io.Copy(&body, br); err != nil {
			return nil, err
		}
		body.Close()
	}
	return s.Finish(ctx), nil
}
