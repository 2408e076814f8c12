package dmarc

import (
	"strings"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// Whom says how the From domain stands to the domain of the record.
type Whom byte

const (
	Self        Whom = iota // the record is the From domain's own
	Subdomain               // the From domain is below it and exists
	NonExistent             // the From domain is below it and does not exist (NXDOMAIN, RFC 9989 §3.2.13)
)

// A Verdict is what a record asks for.
type Verdict struct {
	// Policy is what is asked for; "" means that receivers do no DMARC at all.
	Policy Policy
	// Tag is where it comes from: "p", "sp", "np", or "" if it is the none that
	// an invalid policy falls back to.
	Tag string
	// Applied is Policy, or one step weaker where t=y asks for that.
	Applied Policy
}

// Evaluate is the policy for whom (RFC 9989 §4.10.1). A record with Fatal has
// none.
func (r *Record) Evaluate(whom Whom) Verdict {
	if r.Fatal != nil {
		return Verdict{}
	}
	// §4.10.1: no valid p, or an invalid sp or np: with a valid report
	// destination the record counts as p=none, otherwise there is no DMARC.
	if r.P == "" || r.badSP || r.badNP {
		if !r.reports() {
			return Verdict{}
		}
		return Verdict{Policy: None, Applied: None}
	}
	v := Verdict{Policy: r.P, Tag: "p"}
	switch {
	case whom == NonExistent && r.NP != "":
		v = Verdict{Policy: r.NP, Tag: "np"}
	case whom != Self && r.SP != "":
		v = Verdict{Policy: r.SP, Tag: "sp"}
	}
	v.Applied = v.Policy
	// §4.7, t: one level below the policy.
	if r.Test {
		switch v.Policy {
		case Reject:
			v.Applied = Quarantine
		case Quarantine:
			v.Applied = None
		}
	}
	return v
}

// EvaluateOld is the policy by RFC 7489 §6.6.3, which knows neither np nor t.
// pct (§6.3) is not applied: it concerns a share of the mail.
func (r *Record) EvaluateOld(whom Whom) Verdict {
	if r.Fatal != nil {
		return Verdict{}
	}
	if r.P == "" || r.badSP {
		if !r.reports() {
			return Verdict{}
		}
		return Verdict{Policy: None, Applied: None}
	}
	if whom != Self && r.SP != "" {
		return Verdict{r.SP, "sp", r.SP}
	}
	return Verdict{r.P, "p", r.P}
}

func (r *Record) reports() bool {
	for i := range r.RUA {
		if r.RUA[i].Valid {
			return true
		}
	}
	return false
}

// An Alignment says whether an identifier vouches for the From domain.
type Alignment string

const (
	AlignedStrict  Alignment = "strict"  // the same domain
	AlignedRelaxed Alignment = "relaxed" // the same organizational domain, and that is enough
	NotAligned     Alignment = "none"
	Undetermined   Alignment = "unknown" // sameOrg could not say
)

// Aligned compares the From domain with an identifier that SPF or DKIM
// authenticated, in the mode that the From domain's record asks for (RFC 9989
// §4.4). Names are canonical. sameOrg is asked only where it decides: for
// relaxed mode and different names; known is false if it could not be learnt.
func Aligned(from, identifier string, mode Mode, sameOrg func(a, b string) (same, known bool)) Alignment {
	if from == identifier {
		return AlignedStrict
	}
	if mode == Strict {
		return NotAligned
	}
	switch same, known := sameOrg(from, identifier); {
	case !known:
		return Undetermined
	case same:
		return AlignedRelaxed
	}
	return NotAligned
}

// ReportName is the name whose TXT record allows reports about the domain with
// the record, policyDomain, to go to another organization's host (RFC 9990,
// "Verifying External Destinations"; RFC 7489 §7.1). ok is false if the name is
// too long to exist; reports are not sent then.
func ReportName(policyDomain, host string) (name string, ok bool) {
	name = dnsq.Join(policyDomain+"._report._dmarc", host)
	return name, len(name) <= dnsq.MaxName
}

// A Consent is what the TXT records at a [ReportName] say.
type Consent byte

const (
	NoConsent Consent = iota // no DMARC record there: no reports
	Consents                 // reports may be sent
	Diverts                  // it names another host: no reports, to neither
)

// ReadConsent reads the texts at a [ReportName] of host. One that parses is
// enough: it needs v=DMARC1 first and nothing more. An rua in it may send the
// reports to another mailbox of the same host, and only there.
func ReadConsent(texts []string, host string) Consent {
	c := NoConsent
	for _, text := range texts {
		r := Parse(text)
		if r.Fatal != nil {
			continue
		}
		for i := range r.RUA {
			if u := &r.RUA[i]; u.Valid && u.Host != host {
				return Diverts
			}
		}
		c = Consents
	}
	return c
}

// Problems are the notes that make a valid record do something else than it
// seems to: what is wrong with its policies. Without them there may be other
// notes, about details that are ignored.
func (r *Record) Problems() []Note {
	var out []Note
	for _, n := range r.Notes {
		switch {
		case n.Tag != "p" && n.Tag != "sp" && n.Tag != "np":
		case n.Code == NoteBadPolicy, n.Code == NoteNonASCII, n.Code == NoteControlChar:
			out = append(out, n)
		case (n.Code == NoteMissingPolicy || n.Code == NoteOnlyVersion) && !r.reports():
			// With a report destination the absence of p means none, and that
			// is allowed (§4.7).
			out = append(out, n)
		}
	}
	return out
}

// IsRecord reports whether text is a DMARC record by its version.
func IsRecord(text string) bool { return Parse(text).Fatal == nil }

// Meant reports whether text is a DMARC record or was clearly meant to be one.
func Meant(text string) bool {
	f := Parse(text).Fatal
	return f == nil || f.Code != NoteNotDMARC
}

// Includes reports whether everything that b asks for, a asks for too: every
// tag of b is in a with the same value. Of two records at one name, the one
// that includes the other can stay.
func Includes(a, b *Record) bool {
	for i := range b.Tags {
		t := a.Tag(b.Tags[i].Name)
		if t == nil || !strings.EqualFold(t.Value, b.Tags[i].Value) {
			return false
		}
	}
	return true
}
