package facts

import (
	"bytes"
	"context"
	"io"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dkim"
)

// MaxDiagnoses is how many broken signatures of a message are looked into: the
// search for what was changed can take a quarter of a second each.
const MaxDiagnoses = 3

// A SignatureDiagnosis says why one signature does not verify.
type SignatureDiagnosis struct {
	*dkim.Diagnosis
	// Lines are where in the file the changes of the body stand, from 1, one for
	// each of Changes; 0 where there is no one place, or it is in the header.
	Lines []int
}

// MailDiagnosis is the fact: why signatures of a message do not verify, one entry
// for each of MailAuth.DKIM.Signatures. It is nil for a signature that verifies,
// for one whose field or key is the fault, and for changed ones after the first
// [MaxDiagnoses]. Its error is that of reading the message.
var MailDiagnosis = &diag.Fact[*Mail, []*SignatureDiagnosis]{
	Name:     "mail-diagnosis",
	Requires: []diag.AnyFact{MailSignatures},
	Learn: func(ctx context.Context, w *diag.World, m *Mail) ([]*SignatureDiagnosis, error) {
		auth, err := MailSignatures.Of(ctx, w, m)
		if err != nil {
			return nil, err
		}
		out := make([]*SignatureDiagnosis, len(auth.DKIM.Signatures))
		for i, n := 0, 0; i < len(out) && n < MaxDiagnoses && ctx.Err() == nil; i++ {
			v := auth.DKIM.Signatures[i]
			if v.Fault() != nil || v.BodyMatch != dkim.Mismatches && v.HeaderMatch != dkim.Mismatches {
				continue
			}
			n++
			out[i] = m.diagnose(v, auth.Header)
		}
		return out, nil
	},
}

func (m *Mail) diagnose(v *dkim.Verification, h *dkim.Header) *SignatureDiagnosis {
	d := &SignatureDiagnosis{Diagnosis: dkim.Diagnose(v, h, m.Body())}
	d.Lines = make([]int, len(d.Changes))
	end := int64(-1)
	for i := range d.Changes {
		if c := &d.Changes[i]; c.Field == "" {
			end = max(end, c.Offset)
		}
	}
	if end < 0 {
		return d
	}
	body, err := io.ReadAll(io.LimitReader(m.Body(), end))
	if err != nil {
		return d
	}
	for i := range d.Changes {
		if c := &d.Changes[i]; c.Field == "" && c.Offset >= 0 {
			d.Lines[i] = m.BodyLine + bytes.Count(body[:min(c.Offset, int64(len(body)))], []byte{'\n'})
		}
	}
	return d
}

// What a second library is given to read: more would cost more than its word is
// worth.
const (
	maxOpinionSize   = 1 << 20
	maxOpinionFields = 1000
)

// A MailOpinion is what go-msgauth says of the signatures of a message.
type MailOpinion struct {
	// Verdicts has one entry for each of MailAuth.DKIM.Signatures, nil where there
	// is none: of a message that it was not given or could not read, and of
	// signatures with x=, which it judges by the clock of the machine, so that the
	// report would not be the same tomorrow.
	Verdicts []*dkim.OpinionVerdict
	// Differences are those from our own verdicts, as [dkim.Report.Compare] has
	// them, without those of signatures with x=.
	Differences []dkim.Difference
}

// MailSecondOpinion is the fact: the signatures of a small message as another
// library sees them. It is empty for a large one. Its error is that of reading
// the message.
var MailSecondOpinion = &diag.Fact[*Mail, *MailOpinion]{
	Name:     "mail-second-opinion",
	Requires: []diag.AnyFact{MailSignatures},
	Learn: func(ctx context.Context, w *diag.World, m *Mail) (*MailOpinion, error) {
		auth, err := MailSignatures.Of(ctx, w, m)
		if err != nil {
			return nil, err
		}
		sigs := auth.DKIM.Signatures
		out := &MailOpinion{Verdicts: make([]*dkim.OpinionVerdict, len(sigs))}
		if len(sigs) == 0 || m.Size > maxOpinionSize || len(m.Header) > maxOpinionFields {
			return out, nil
		}
		var text bytes.Buffer
		if _, err := m.WriteTo(&text); err != nil {
			return nil, err
		}
		// Its questions decide nothing of ours.
		o := dkim.SecondOpinion(ctx, &dkim.Verifier{Resolver: w.Optional(), Now: m.Clock}, &text)
		if o.Err == nil && len(o.Verdicts) == len(sigs) {
			for i := range sigs {
				if sigs[i].Expires.IsZero() {
					out.Verdicts[i] = &o.Verdicts[i]
				}
			}
		}
		for _, d := range auth.DKIM.Compare(o) {
			if d.Index < 0 || sigs[d.Index].Expires.IsZero() {
				out.Differences = append(out.Differences, d)
			}
		}
		return out, nil
	},
}

// KeepsKeys is how long after a mail was received the key that signed it can be
// expected in the DNS. RFC 6376 §3.1 has keys replaced and says no number. Queues
// give up after five days (RFC 5321 §4.5.4.1), and until then a receiver may ask
// for the key; a week is what services that rotate keys keep the old one for.
const KeepsKeys = 7 * 24 * time.Hour

// DNSThen reports whether the DNS of a run at now can stand for the DNS of the
// time when the mail was received: it is not older than [KeepsKeys]. If the mail
// does not say when that was, signed, the time in a signature, stands for it;
// without either it is taken for new.
func (m *Mail) DNSThen(now, signed time.Time) bool {
	at := m.Clock
	if m.ClockFrom == "now" {
		at = signed
	}
	return at.IsZero() || now.Sub(at) <= KeepsKeys
}

// KeyGone says why the DNS at now cannot judge a signature of an old mail: what is
// there in place of the key that signed it. "" if it can, if the mail is not old,
// or if the signature is broken whatever the key is.
//
//	key-missing, key-revoked  the key is there no more
//	key-unusable              what is there does not serve for the signature
//	key-other                 the key does not fit; of Ed25519, or the header was changed
//	expired                   x= is over, and the mail does not say when it was received
func (m *Mail) KeyGone(now time.Time, v *dkim.Verification) string {
	if v.Cryptographic == dkim.Pass || v.Fault() != nil || v.BodyMatch != dkim.Matches || v.HeaderMatch == dkim.Mismatches && v.Signed != nil {
		return ""
	}
	if v.Has(dkim.ReasonExpired) {
		if m.ClockFrom == "now" {
			return "expired"
		}
		return ""
	}
	if m.DNSThen(now, v.Time) {
		return ""
	}
	for _, r := range v.Reasons {
		switch r {
		case dkim.ReasonKeyMissing:
			return "key-missing"
		case dkim.ReasonKeyRevoked:
			return "key-revoked"
		case dkim.ReasonKeySyntax, dkim.ReasonKeyType, dkim.ReasonKeyHash, dkim.ReasonKeyService, dkim.ReasonStrict:
			return "key-unusable"
		case dkim.ReasonHeader:
			return "key-other"
		}
	}
	return ""
}

// SignatureEvidence is a part of a signature field of the mail, by its octets in
// the field as it went over the wire, CR LF and all, which is how package dkim
// counts. end 0 is the whole field.
func (m *Mail) SignatureEvidence(index, start, end int) diag.Evidence {
	f := m.Header[index]
	if end == 0 {
		return m.FieldEvidence(f, 0, 0)
	}
	start, end = inFile(f.Raw, start), inFile(f.Raw, end)
	return m.FieldEvidence(f, start, end-start)
}

// inFile is where in raw an octet of it stands that is counted with every line end
// as CR LF.
func inFile(raw []byte, at int) int {
	n := 0
	for i, c := range raw {
		if n >= at {
			return i
		}
		if n++; c == '\n' && (i == 0 || raw[i-1] != '\r') {
			n++
		}
	}
	return len(raw)
}
