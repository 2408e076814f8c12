package dkim

import (
	"bytes"
	"io"
	"slices"
	"strings"
)

// A Cause is what broke a signature, in one word.
type Cause string

const (
	CauseNone         Cause = ""                // it verifies
	CauseSyntax       Cause = "syntax"          // the field is malformed
	CauseKeyMissing   Cause = "key-missing"     // no key is published
	CauseKeyRevoked   Cause = "key-revoked"     // the key was taken back
	CauseKeyUnusable  Cause = "key-unusable"    // a record that does not serve for this signature
	CauseKeyUnknown   Cause = "key-unavailable" // the DNS did not say
	CauseKeyChanged   Cause = "key-changed"     // the published key is not the one that signed, or b= was damaged
	CauseBody         Cause = "body"            // the body was changed
	CauseHeader       Cause = "header"          // signed header fields were changed
	CauseBodyHeader   Cause = "body-and-header" // both
	CauseHeaderOrKey  Cause = "header-or-key"   // header fields were changed, or the key; which of them cannot be told
	CauseExpired      Cause = "expired"         // nothing was changed; its time is over
	CauseUnacceptable Cause = "unacceptable"    // it verifies, but no receiver may take it (RFC 8301)
)

// Causes lists every [Cause].
var Causes = []Cause{
	CauseNone, CauseSyntax, CauseKeyMissing, CauseKeyRevoked, CauseKeyUnusable, CauseKeyUnknown, CauseKeyChanged,
	CauseBody, CauseHeader, CauseBodyHeader, CauseHeaderOrKey, CauseExpired, CauseUnacceptable,
}

// A ChangeKind says what was done to a message.
type ChangeKind string

const (
	// Of the body.
	FooterAdded     ChangeKind = "footer-added"      // text after the end
	BannerAdded     ChangeKind = "banner-added"      // text before the beginning
	TextInserted    ChangeKind = "text-inserted"     // whole lines in between, such as a footer within a MIME part
	PartAdded       ChangeKind = "part-added"        // a MIME part
	Wrapped         ChangeKind = "wrapped"           // the message became a part of a new multipart
	LineEnds        ChangeKind = "line-ends"         // bare LFs or CRs, doubled line ends
	BlankLines      ChangeKind = "blank-lines"       // empty lines added or taken away
	SpaceAdded      ChangeKind = "space-added"       // white space at line ends or within lines
	SpaceRemoved    ChangeKind = "space-removed"     // the space of "-- " before a signature
	FromQuoted      ChangeKind = "from-quoted"       // ">" before lines that begin with "From "
	DotsChanged     ChangeKind = "dots-changed"      // a "." at the beginning of lines doubled or taken away
	LinesBroken     ChangeKind = "lines-broken"      // long lines were broken
	EncodingChanged ChangeKind = "encoding-changed"  // another Content-Transfer-Encoding
	CharsetChanged  ChangeKind = "charset-changed"   // another charset
	AppendedBeyond  ChangeKind = "appended-beyond-l" // text after what l= covers: breaks nothing, and was not signed
	BodyCut         ChangeKind = "body-cut"          // the body is shorter than l=
	BodyChanged     ChangeKind = "body-changed"      // how, is not known
	// Of the header.
	SubjectTagged ChangeKind = "subject-tagged" // "[list] " and the like
	FromRewritten ChangeKind = "from-rewritten" // the author's address replaced by the list's
	FieldAdded    ChangeKind = "field-added"    // a field that the signature says is not there, or one more
	FieldRemoved  ChangeKind = "field-removed"  //
	FieldChanged  ChangeKind = "field-changed"  //
	Refolded      ChangeKind = "refolded"       // white space in a field, which simple does not forgive
	HeaderChanged ChangeKind = "header-changed" // how, is not known
)

// ChangeKinds lists every [ChangeKind].
var ChangeKinds = []ChangeKind{
	FooterAdded, BannerAdded, TextInserted, PartAdded, Wrapped, LineEnds, BlankLines, SpaceAdded, SpaceRemoved,
	FromQuoted, DotsChanged, LinesBroken, EncodingChanged, CharsetChanged, AppendedBeyond, BodyCut, BodyChanged,
	SubjectTagged, FromRewritten, FieldAdded, FieldRemoved, FieldChanged, Refolded, HeaderChanged,
}

// A Change is one thing that was done to the message after it was signed.
type Change struct {
	Kind ChangeKind
	// Proven: with this change undone (and the other proven ones of its half),
	// the hash of the body or the signature of the header is right again. Without
	// it the change is likely, by what the message shows, and no more.
	Proven bool

	Field string // name of the header field, as written; "" for the body
	Index int    // of the field in the header, from 0 at the top; -1 if there is none (any more)
	// Offset and Length are the octets of the body, as it was given, at fault; -1
	// and 0 where the change has no one place.
	Offset, Length int64
	// Is is what stands there, Was what stood there when it was signed; at most
	// [MaxChangeText] octets of it, "" for nothing. They may hold any octets. Of
	// encoding-changed and charset-changed they are names of encodings and charsets.
	Is, Was string
}

// MaxChangeText is how much of a text a [Change] holds, in octets.
const MaxChangeText = 2048

// A Diagnosis says why a signature does not verify.
type Diagnosis struct {
	Cause   Cause
	Changes []Change
	// BodyProven, HeaderProven: the changes of that half are proven, and all.
	BodyProven, HeaderProven bool
	// Bounded: the search ended at a bound before everything was tried.
	Bounded bool
}

// The bounds of [Diagnose].
const (
	MaxDiagnoseBody = 8 << 20   // octets of a body that is looked at
	maxLines        = 400_000   // lines of it
	maxHashed       = 256 << 20 // octets hashed in trials of the body, and of the header
	maxValue        = 8 << 10   // octets of a field's value that is looked at for what it may have been
	maxRSATrials    = 30_000    // of the header, each some microseconds
	maxEdTrials     = 3_000     // likewise; each verifies
)

// Diagnose finds out why a signature does not verify: whose fault it is from
// the verification alone, and what kind of change by undoing likely changes one
// after the other, until a hash is right. h is the header of the verification;
// body gives the message's body once more, from its beginning, and may be nil.
//
// The work is bounded: bodies up to 8 MiB and 400,000 lines, some 256 MiB of
// hashing, some ten thousand trials of the header. Where a bound ends the search,
// the result says so.
func Diagnose(v *Verification, h *Header, body io.Reader) *Diagnosis {
	d := &Diagnosis{}
	d.Cause = cause(v)
	if v.BodyMatch == Mismatches && v.want != nil {
		d.body(v, h, body)
	}
	if v.BodyMatch == Matches && v.Unsigned > 0 {
		d.Changes = append(d.Changes, Change{
			Kind: AppendedBeyond, Proven: true, Index: -1, Offset: -1, Length: v.Unsigned, Is: clip(string(v.Appended)),
		})
	}
	if v.HeaderMatch == Mismatches && d.Cause != CauseKeyChanged {
		d.header(v, h)
		if d.HeaderProven && d.Cause == CauseHeaderOrKey {
			d.Cause = CauseHeader
			if v.BodyMatch == Mismatches {
				d.Cause = CauseBodyHeader
			}
		}
	}
	slices.SortStableFunc(d.Changes, func(a, b Change) int {
		switch {
		case a.Proven == b.Proven:
			return 0
		case a.Proven:
			return -1
		}
		return 1
	})
	return d
}

func cause(v *Verification) Cause {
	if v.Cryptographic == Pass {
		if v.RFC8301 != Pass {
			return CauseUnacceptable
		}
		return CauseNone
	}
	for _, c := range []struct {
		r Reason
		c Cause
	}{
		{ReasonSyntax, CauseSyntax}, {ReasonKeyMissing, CauseKeyMissing}, {ReasonKeyRevoked, CauseKeyRevoked},
		{ReasonKeySyntax, CauseKeyUnusable}, {ReasonKeyType, CauseKeyUnusable}, {ReasonKeyHash, CauseKeyUnusable},
		{ReasonKeyService, CauseKeyUnusable}, {ReasonStrict, CauseKeyUnusable}, {ReasonKeyUnknown, CauseKeyUnknown},
	} {
		if v.Has(c.r) {
			return c.c
		}
	}
	body, header := v.BodyMatch == Mismatches, v.HeaderMatch == Mismatches
	switch {
	case header && v.Key.Type == RSA && v.Signed == nil:
		// The signature does not open with the key.
		return CauseKeyChanged
	case header && v.Signed == nil:
		return CauseHeaderOrKey
	case body && header:
		return CauseBodyHeader
	case body:
		return CauseBody
	case header:
		return CauseHeader
	}
	return CauseExpired
}

func clip(s string) string { return s[:min(len(s), MaxChangeText)] }

// body undoes changes of the body.
func (d *Diagnosis) body(v *Verification, h *Header, r io.Reader) {
	if v.Has(ReasonTooLong) {
		// What is gone cannot be brought back.
		d.Changes = append(d.Changes, Change{Kind: BodyCut, Proven: true, Index: -1, Offset: v.BodySize, Length: 0})
		return
	}
	var raw []byte
	if r != nil {
		var err error
		raw, err = io.ReadAll(io.LimitReader(r, MaxDiagnoseBody+1))
		if err != nil {
			raw = nil
		}
	}
	if len(raw) > MaxDiagnoseBody || bytes.Count(raw, crlf[1:]) > maxLines {
		raw, d.Bounded = nil, true
	}
	if raw != nil {
		s := &bodySearch{form: v.BodyForm, hash: v.Algorithm.Hash(), want: v.BodyHash, length: v.Length, budget: maxHashed}
		changes := s.run(raw, h)
		d.Bounded = d.Bounded || s.bounded()
		if changes != nil {
			for i := range changes {
				changes[i].Proven = true
			}
			d.Changes, d.BodyProven = append(d.Changes, changes...), true
			return
		}
	}
	d.Changes = append(d.Changes, likelyBody(raw, h)...)
}

// value is a field's text on one line, white space at its ends taken off.
func value(f Field) string {
	return strings.TrimSpace(strings.ReplaceAll(f.Value(), "\r\n", ""))
}

func (h *Header) first(name string) (Field, bool) {
	if a := h.All(name); len(a) > 0 {
		return h.Fields[a[0]], true
	}
	return Field{}, false
}

// likelyBody is what the message shows of a change that could not be undone.
func likelyBody(raw []byte, h *Header) []Change {
	var out []Change
	add := func(k ChangeKind, offset int64, is string) {
		out = append(out, Change{Kind: k, Index: -1, Offset: offset, Length: int64(len(is)), Is: clip(is)})
	}
	// What sendmail and others leave when they recode.
	if f, ok := h.first("X-MIME-Autoconverted"); ok {
		out = append(out, Change{Kind: EncodingChanged, Index: h.All("X-MIME-Autoconverted")[0], Field: f.Name(), Offset: -1, Is: clip(value(f))})
	}
	_, list := h.first("List-Id")
	if !list {
		_, list = h.first("List-Post")
	}
	if at := footerLine(raw); at >= 0 && list {
		add(FooterAdded, int64(at), string(raw[at:]))
	}
	if len(out) == 0 {
		add(BodyChanged, -1, "")
	}
	return out
}

// footerLine is where the last line of underscores, hyphens or the like begins
// that has at most 40 lines after it; -1 without one.
func footerLine(raw []byte) int {
	end := len(raw)
	for n := 0; n < 40 && end > 0; n++ {
		start := bytes.LastIndexByte(raw[:end-1], '\n') + 1
		l := strings.TrimRight(string(raw[start:end]), "\r\n")
		if len(l) >= 4 && (strings.Trim(l, "_") == "" || strings.Trim(l, "=") == "" || strings.Trim(l, "-") == "") || l == "-- " {
			return start
		}
		end = start
	}
	return -1
}
