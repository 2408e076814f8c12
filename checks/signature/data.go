package signature

import (
	"strings"

	"github.com/todoku-mail/todoku/pkg/dkim"
)

// Data are the check's facts for machines.
type Data struct {
	// Result is that of the best signature as a receiver of today has it (RFC
	// 8301); Cryptographic by RFC 6376 alone. pass, fail, none, temperror, permerror.
	Result     string          `json:"result"`
	Signatures []SignatureData `json:"signatures"` // from the top
	// Cryptographic and Skipped stand behind what scripts of schema 1 know.
	Cryptographic string `json:"cryptographic"`
	Skipped       int    `json:"skipped"` // signatures beyond the limit, not looked at
	Clock         string `json:"clock"`   // when the mail is taken to have been received, RFC 3339
}

// SignatureData is one signature.
type SignatureData struct {
	Domain        string `json:"domain"`
	Selector      string `json:"selector"`
	Identity      string `json:"identity"`
	Algorithm     string `json:"algorithm"`
	KeyBits       int    `json:"key_bits"`      // 0 if there is no key
	Cryptographic string `json:"cryptographic"` // pass, fail, temperror, permerror
	RFC8301       string `json:"rfc8301"`
	BodyHash      string `json:"body_hash"` // match, mismatch, unknown
	HeaderHash    string `json:"header_hash"`
	BrokenBy      string `json:"broken_by"` // a dkim.Cause; "" if it verifies

	Canonicalization string   `json:"canonicalization"`
	Signed           []string `json:"signed"`  // h=, as written
	Aligned          string   `json:"aligned"` // with From: strict, relaxed, none, unknown
	Length           *int64   `json:"length,omitempty"`
	Unsigned         int64    `json:"unsigned,omitempty"` // octets of the body after l=
	Time             string   `json:"time,omitempty"`     // t=, RFC 3339
	Expires          string   `json:"expires,omitempty"`
	// KeyName is where the key record stands; KeyStatus what is there, as
	// dkim.Status; KeyGone why that says nothing of the day when the mail came.
	KeyName   string   `json:"key_name,omitempty"`
	KeyStatus string   `json:"key_status,omitempty"`
	KeyGone   string   `json:"key_gone,omitempty"`
	Reasons   []string `json:"reasons"` // why it does not verify, or is not acceptable
	Notes     []string `json:"notes"`
	Errors    []Error  `json:"errors,omitempty"`
	// Diagnosis is missing where there was nothing to look for, and for changed
	// signatures after the first few.
	Diagnosis     *Diagnosis `json:"diagnosis,omitempty"`
	SecondOpinion *Opinion   `json:"second_opinion,omitempty"`
	Line          int        `json:"line"` // of the field in the file
}

// An Error is a place where the field breaks the grammar.
type Error struct {
	Code      string `json:"code"`
	Text      string `json:"text"`
	Offset    int    `json:"offset"` // octets in the field as it went over the wire
	Tolerated bool   `json:"tolerated,omitempty"`
}

// A Diagnosis says what was done to the message.
type Diagnosis struct {
	BodyProven   bool     `json:"body_proven"` // with all changes of the body undone its hash is right
	HeaderProven bool     `json:"header_proven"`
	Bounded      bool     `json:"bounded,omitempty"` // a limit ended the search
	Changes      []Change `json:"changes"`
}

// A Change is one thing that was done.
type Change struct {
	Kind   string `json:"kind"` // a dkim.ChangeKind
	Proven bool   `json:"proven"`
	Field  string `json:"field,omitempty"`
	Offset *int64 `json:"offset,omitempty"` // of the body as it went over the wire
	Length int64  `json:"length,omitempty"`
	Line   int    `json:"line,omitempty"` // of the file
	Is     string `json:"is"`
	Was    string `json:"was"`
}

// An Opinion is what go-msgauth says.
type Opinion struct {
	Verdict string   `json:"verdict"`
	Detail  string   `json:"detail,omitempty"`
	Why     []string `json:"why,omitempty"` // known weaknesses that explain a difference
}

const stamp = "2006-01-02T15:04:05Z07:00"

func (c *run1) data() Data {
	r := c.auth.DKIM
	d := Data{Result: string(r.Result8301()), Cryptographic: string(r.Result()), Skipped: r.Skipped,
		Clock: c.mail.Clock.Format(stamp), Signatures: []SignatureData{}}
	for _, s := range c.sigs {
		d.Signatures = append(d.Signatures, c.signatureData(s))
	}
	return d
}

func (c *run1) signatureData(s *sig) SignatureData {
	d := SignatureData{
		Domain: s.Domain, Selector: s.selector(), Identity: s.Identity, Algorithm: string(s.Algorithm),
		Cryptographic: string(s.Cryptographic), RFC8301: string(s.RFC8301),
		BodyHash: string(s.BodyMatch), HeaderHash: string(s.HeaderMatch), BrokenBy: string(c.cause(s)),
		Canonicalization: string(s.HeaderForm) + "/" + string(s.BodyForm), Signed: append([]string{}, s.Names...),
		Aligned: string(s.aligned), KeyGone: s.gone, Reasons: []string{}, Notes: []string{}, Line: c.mail.Header[s.Index].Line,
	}
	if s.Key != nil {
		d.KeyBits = s.Key.Bits
	}
	if s.Lookup != nil {
		d.KeyName, d.KeyStatus = s.Lookup.Name, string(s.Lookup.Status)
	}
	if s.Length >= 0 {
		d.Length, d.Unsigned = &s.Length, s.Unsigned
	}
	if !s.Time.IsZero() {
		d.Time = s.Time.UTC().Format(stamp)
	}
	if !s.Expires.IsZero() {
		d.Expires = s.Expires.UTC().Format(stamp)
	}
	for _, x := range append(append([]dkim.Reason{}, s.Reasons...), s.Refused...) {
		d.Reasons = append(d.Reasons, string(x))
	}
	for _, x := range s.Notes {
		d.Notes = append(d.Notes, string(x))
	}
	for i := range s.Errors {
		e := &s.Errors[i]
		d.Errors = append(d.Errors, Error{e.Code, text(e.Text), e.Start, e.Tolerated})
	}
	if s.why != nil {
		x := &Diagnosis{BodyProven: s.why.BodyProven, HeaderProven: s.why.HeaderProven, Bounded: s.why.Bounded, Changes: []Change{}}
		for i := range s.why.Changes {
			ch := &s.why.Changes[i]
			y := Change{Kind: string(ch.Kind), Proven: ch.Proven, Field: ch.Field, Length: ch.Length, Line: s.why.Lines[i], Is: text(ch.Is), Was: text(ch.Was)}
			if ch.Offset >= 0 {
				y.Offset = &ch.Offset
			}
			if ch.Field != "" && ch.Index >= 0 && ch.Index < len(c.mail.Header) {
				y.Line = c.mail.Header[ch.Index].Line
			}
			x.Changes = append(x.Changes, y)
		}
		d.Diagnosis = x
	}
	if o := c.opinion.Verdicts[s.at]; o != nil {
		d.SecondOpinion = &Opinion{Verdict: string(o.Verdict), Detail: text(o.Detail)}
		for _, x := range c.opinion.Differences {
			if x.Index != s.at {
				continue
			}
			for _, w := range x.Why {
				d.SecondOpinion.Why = append(d.SecondOpinion.Why, string(w))
			}
		}
	}
	return d
}

// text is hostile text for JSON: what is no UTF-8 shows as U+FFFD.
func text(s string) string { return strings.ToValidUTF8(s, "�") }
