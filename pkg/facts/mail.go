package facts

import (
	"context"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/todoku-mail/todoku/pkg/arc"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dmarc"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/message"
	"github.com/todoku-mail/todoku/pkg/orgdomain"
	"github.com/todoku-mail/todoku/pkg/received"
	"github.com/todoku-mail/todoku/pkg/spf"
)

// A Mail is the message that `todoku message` is about: Target.Message.
type Mail struct {
	*message.Message
	Path *received.Path
	// Clock is the time for which the message is judged: that of receipt, unless
	// the person said another. ClockFrom says which: "flag", "received" (the
	// receiver's field), "topmost" (the topmost Received field, whoever wrote it),
	// "date" (the Date field) or "now".
	Clock     time.Time
	ClockFrom string
	// AddressFrom says where the sending address is from: "flag", or as
	// received.Boundary.How; "" if there is none.
	AddressFrom string
	// AsReceived is where the mail came in by its Received fields and the names of
	// the receiver's hosts alone: Path.Boundary, if no address was given.
	AsReceived received.Boundary
	// Proposed: it is judged otherwise than it came in: from another address, or
	// with records that are not published. Forwarded: it is also asked what becomes
	// of it when somebody forwards it.
	Proposed, Forwarded bool
}

// MailOf is the message of a target, nil if it has none.
func MailOf(t *diag.Target) *Mail {
	m, _ := t.Message.(*Mail)
	return m
}

// MailAuth is what the signatures of a message are worth.
type MailAuth struct {
	DKIM *dkim.Report
	ARC  *arc.Report
	// Header is the header as the signatures see it; indices of DKIM and ARC count
	// in it, as in Mail.Header.
	Header *dkim.Header
	// Gone says for each of DKIM.Signatures why the DNS of today cannot judge it:
	// see [Mail.KeyGone].
	Gone []string
}

// MailSignatures is the fact: the DKIM signatures and the ARC sets of a message,
// evaluated in one pass over its body at the message's clock. Its error is that of
// reading the message.
var MailSignatures = &diag.Fact[*Mail, *MailAuth]{
	Name: "mail-signatures",
	Learn: func(ctx context.Context, w *diag.World, m *Mail) (*MailAuth, error) {
		out := &MailAuth{Header: m.dkimHeader()}
		body := new(dkim.Body)
		v := &dkim.Verifier{Resolver: w, Now: m.Clock}
		a := &arc.Validator{Resolver: w, Now: m.Clock}
		sigs, sets := v.Start(out.Header, body), a.Start(out.Header, body)
		if _, err := io.Copy(body, m.Body()); err != nil {
			return nil, err
		}
		_ = body.Close() // never fails
		done := make(chan struct{})
		go func() { // both ask for their keys at once
			defer close(done)
			out.ARC = sets.Finish(ctx)
		}()
		out.DKIM = sigs.Finish(ctx)
		<-done
		for _, v := range out.DKIM.Signatures {
			out.Gone = append(out.Gone, m.KeyGone(w.Now(), v))
		}
		return out, nil
	},
}

func (m *Mail) dkimHeader() *dkim.Header {
	wire := m.WireHeader()
	fields := make([]dkim.Field, len(wire))
	for i := range wire {
		fields[i].Raw = wire[i]
	}
	return dkim.NewHeader(fields)
}

// MailAsk is whose DMARC result is asked for: that of a message with these
// identities. Make it with [MailAskOf].
type MailAsk struct {
	Mail     *Mail
	From     string
	IP       netip.Addr // the zero Addr if the sending address is not known
	Helo     string
	MailFrom string // as in [SPFAsk]
	// NoMailFrom: the message has no Return-Path, so SPF has nothing to judge but
	// the HELO name, which DMARC does not use unless the Return-Path is null.
	NoMailFrom bool
}

// MailAskOf is the MailAsk of a target that has a message.
func MailAskOf(t *diag.Target) MailAsk {
	a := MailAsk{Mail: MailOf(t), From: t.From, Helo: t.Helo, MailFrom: t.MailFrom, NoMailFrom: t.MailFrom == "" && !t.NullSender}
	if len(t.IPs) > 0 {
		a.IP = t.IPs[0]
	}
	return a
}

// An Identifier is a domain that SPF or DKIM says something about.
type Identifier struct {
	Method string // "spf", "dkim"
	Domain string // canonical
	Result string // as RFC 8601 §2.7 has it: pass, fail, softfail, neutral, none, temperror, permerror
	// Signature is the place of a DKIM signature in MailAuth.DKIM.Signatures; -1 for SPF.
	Signature int
	// Aligned is how it stands to the From domain, as RFC 9989 has it; Old as RFC
	// 7489 has it, by the Public Suffix List.
	Aligned, Old dmarc.Alignment
}

// MailDMARC is what DMARC comes to for one message.
type MailDMARC struct {
	Policy      *DMARCPolicy
	Identifiers []Identifier // SPF first, then the signatures from the top
	// Result is pass, fail, none (no policy), temperror or permerror by RFC 9989;
	// Old by RFC 7489, whose receivers are still the most.
	Result, Old string
	// Asked and OldAsked are what the record asks to be done with a message that
	// fails; "" without a record.
	Asked, OldAsked dmarc.Policy
	// OldPct is the share of failing mail that RFC 7489 applies its policy to, in
	// percent; 100 without pct.
	OldPct int
	// Unknown are the questions without an answer that Result hangs on, if it is
	// temperror.
	Unknown []*dnsq.Error
	// Gone are the names of keys that signed the mail, which is old, and that are
	// not in the DNS of today.
	Gone []string
}

// MailVerdict is the fact: DMARC for a message (RFC 9989 §5.3, RFC 7489 §6.6.2).
// Its error is that of reading the message.
var MailVerdict = &diag.Fact[MailAsk, *MailDMARC]{
	Name:     "mail-dmarc",
	Requires: []diag.AnyFact{MailSignatures, SPFResult, DMARC, OrgDomain},
	Learn: func(ctx context.Context, w *diag.World, a MailAsk) (*MailDMARC, error) {
		MailSignatures.Start(w, a.Mail)
		DMARC.Start(w, a.From)
		out := &MailDMARC{OldPct: 100}
		// SPF counts for DMARC by the Return-Path, or by HELO where that is null
		// (RFC 7208 §2.4, RFC 9989 §4.4.2).
		if a.IP.IsValid() && !a.NoMailFrom {
			v, err := SPFResult.Of(ctx, w, SPFAsk{IP: a.IP, Helo: a.Helo, MailFrom: a.MailFrom})
			if err != nil {
				return nil, err
			}
			id := Identifier{Method: "spf", Domain: v.Domain, Result: string(v.Result), Signature: -1}
			if v.Unsure {
				id.Result = string(spf.TempError)
			}
			if id.Result == string(spf.TempError) {
				if v.Problem != nil && v.Problem.Err != nil {
					out.Unknown = append(out.Unknown, v.Problem.Err)
				}
				out.Unknown = append(out.Unknown, v.Ignored...)
			}
			out.Identifiers = append(out.Identifiers, id)
		}
		auth, err := MailSignatures.Of(ctx, w, a.Mail)
		if err != nil {
			return nil, err
		}
		for i, s := range auth.DKIM.Signatures {
			if s.Domain == "" {
				continue // a field that names no domain vouches for none
			}
			id := Identifier{Method: "dkim", Domain: s.Domain, Result: string(s.RFC8301), Signature: i}
			if s.RFC8301 == dkim.Pass && s.Key != nil && s.Key.Testing() {
				// RFC 6376 §3.6.1: with t=y a message is not to be treated otherwise
				// than an unsigned one.
				id.Result = string(spf.Neutral)
			}
			if s.RFC8301 == dkim.TempError && s.Lookup != nil && s.Lookup.Err != nil {
				out.Unknown = append(out.Unknown, s.Lookup.Err)
			}
			if auth.Gone[i] != "" {
				// Whether it passed then is not known, and the key of today does not
				// tell.
				id.Result = string(spf.TempError)
			}
			out.Identifiers = append(out.Identifiers, id)
		}
		if out.Policy, err = DMARC.Of(ctx, w, a.From); err != nil {
			return nil, err
		}
		out.align(ctx, w, a.From)
		for _, id := range out.Identifiers {
			if i := id.Signature; i >= 0 && auth.Gone[i] != "" && id.Aligned != dmarc.NotAligned {
				out.Gone = append(out.Gone, auth.DKIM.Signatures[i].Lookup.Name)
			}
		}
		out.judge(a)
		return out, nil
	},
}

// align compares every identifier with the From domain, in both ways.
func (m *MailDMARC) align(ctx context.Context, w *diag.World, from string) {
	spfMode, dkimMode := dmarc.Relaxed, dmarc.Relaxed
	if r := m.Policy.Record; r != nil {
		spfMode, dkimMode = r.ASPF, r.ADKIM
	}
	for i := range m.Identifiers {
		id := &m.Identifiers[i]
		mode := spfMode
		if id.Method == "dkim" {
			mode = dkimMode
		}
		id.Aligned = dmarc.Aligned(from, id.Domain, mode, func(a, b string) (bool, bool) {
			x, errA := OrgDomain.Of(ctx, w, a)
			y, errB := OrgDomain.Of(ctx, w, b)
			if errA != nil || errB != nil {
				return false, false
			}
			same, known := orgdomain.Same(x, y)
			if !known && id.Result == "pass" {
				m.Unknown = append(append(m.Unknown, x.OrgUnknown...), y.OrgUnknown...)
			}
			return same, known
		})
		// With the record unknown the mode is too, and strict would not be enough.
		if id.Aligned == dmarc.AlignedRelaxed && m.Policy.Record == nil && !m.Policy.Known() {
			id.Aligned = dmarc.Undetermined
		}
		id.Old = dmarc.Aligned(from, id.Domain, mode, func(a, b string) (bool, bool) {
			x, okA := orgdomain.PSL(a)
			y, okB := orgdomain.PSL(b)
			return okA && okB && x == y, true
		})
	}
}

// judge sets the results.
func (m *MailDMARC) judge(a MailAsk) {
	m.Unknown = append(m.Unknown, m.Policy.Unknown...)
	one := func(aligned func(*Identifier) dmarc.Alignment) string {
		pass, open := false, false
		for i := range m.Identifiers {
			id := &m.Identifiers[i]
			al := aligned(id)
			switch {
			case al == dmarc.NotAligned:
			case id.Result == "pass" && al != dmarc.Undetermined:
				pass = true
			case id.Result == "pass", id.Result == string(spf.TempError):
				open = true
			}
		}
		if !a.IP.IsValid() || a.NoMailFrom {
			open = true // SPF could not be judged: it may vouch for the message
		}
		switch {
		case pass:
			return "pass"
		case open:
			return "temperror"
		}
		return "fail"
	}
	m.Result = one(func(id *Identifier) dmarc.Alignment { return id.Aligned })
	m.Old = one(func(id *Identifier) dmarc.Alignment { return id.Old })
	switch r := m.Policy.Record; {
	case r == nil && m.Policy.Known():
		// RFC 9989 §5.3.1: without a policy DMARC does not apply.
		m.Result, m.Old = "none", "none"
		return
	case r == nil:
		// Without a record a message that passes is none, and so is one that fails:
		// what it is hangs on a record that was not learnt.
		m.Result, m.Old = "temperror", "temperror"
		return
	default:
		m.Asked, m.OldAsked = m.Policy.Verdict.Applied, r.EvaluateOld(m.Policy.Whom).Policy
		if r.Pct >= 0 {
			m.OldPct = r.Pct
		}
		if m.Asked == "" && m.Policy.Known() {
			m.Result = "none"
		}
		if m.OldAsked == "" {
			m.Old = "none"
		}
	}
}

// Passing are the identifiers that pass and are aligned.
func (m *MailDMARC) Passing() []Identifier {
	return slices.DeleteFunc(slices.Clone(m.Identifiers), func(id Identifier) bool {
		return id.Result != "pass" || id.Aligned != dmarc.AlignedStrict && id.Aligned != dmarc.AlignedRelaxed
	})
}
