package dmarc

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dmarc"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/spf"
)

// evidence is a record with a part of it marked; an empty span is all of it.
func (c *run1) evidence(rr *dnsq.RR, at dmarc.Span) []diag.Evidence {
	return []diag.Evidence{facts.Evidence(rr, rr.Text(), at.Start, at.End-at.Start)}
}

// controlLabel is a label that nobody has: made of the domain, so that it is
// the same in every run and in a recording.
func controlLabel(domain string) string {
	h := sha256.Sum256([]byte("dmarc control " + domain))
	return "t" + hex.EncodeToString(h[:8])
}

// isParked reports whether a domain says that it neither gets mail (null MX,
// RFC 7505 §3) nor sends any (an SPF record that is -all and nothing else).
// unknown are the questions without an answer that this hangs on: if one of
// the two says no, the other does not matter.
func isParked(txt, mx looked) (parked bool, unknown []*dnsq.Error) {
	for _, l := range []struct {
		looked
		says func(*dnsq.Answer) bool
	}{{txt, sendsNone}, {mx, takesNone}} {
		switch {
		case l.err != nil:
			unknown = append(unknown, l.err)
		case l.answer == nil || !l.says(l.answer):
			return false, nil
		}
	}
	return len(unknown) == 0, unknown
}

func takesNone(mx *dnsq.Answer) bool { return len(mx.RRs) == 1 && mx.RRs[0].Host == "." }

func sendsNone(txt *dnsq.Answer) bool {
	n, none := 0, false
	for i := range txt.RRs {
		if !spf.IsSPF(txt.RRs[i].Text()) {
			continue
		}
		n++
		r := spf.Parse(txt.RRs[i].Text())
		none = len(r.Errors) == 0 && len(r.Terms) == 1 && r.Terms[0].Name == "all" && r.Terms[0].Qualifier == spf.Minus
	}
	return n == 1 && none
}

// lint reports what in the record that applies is ignored or misread. What
// others publish above the domain is theirs to look after.
func (c *run1) lint() {
	p := c.policy
	s, r, rr := p.Step, p.Record, p.Step.Record()
	if !c.ours(s.Domain) {
		return
	}
	found := func(k *diag.Kind, at dmarc.Span, args diag.Args, fixes []diag.Fix) {
		c.report(diag.Finding{Kind: k, Subject: s.Domain, Args: args, Owner: c.owner(rr), Evidence: c.evidence(rr, at), Fixes: fixes})
	}
	if ps := r.Problems(); len(ps) > 0 {
		n := ps[0]
		fixes := c.fixRepair(s, rr)
		if fixes == nil && (n.Code == dmarc.NoteMissingPolicy || n.Code == dmarc.NoteOnlyVersion) {
			// The policy that asks for nothing makes the record one.
			fixes = c.replace(s, rr, "v=DMARC1; p=none"+strings.TrimRight(r.Text[r.Tags[0].End:], "; \t"))
		}
		f := diag.Finding{Kind: syntax, Subject: s.Domain, Args: diag.Args{"text": n.Text, "problem": n.Code}, Owner: c.owner(rr), Fixes: fixes}
		for _, n := range ps {
			f.Evidence = append(f.Evidence, c.evidence(rr, n.Span)...)
		}
		c.report(f)
	}
	for _, n := range r.Notes {
		args := diag.Args{"text": n.Text, "problem": n.Code}
		switch n.Code {
		case dmarc.NoteDuplicate:
			var fixes []diag.Fix
			if t := r.Tag(n.Tag); t != nil && strings.EqualFold(strings.Join(strings.Fields(t.Text(r)), ""), strings.Join(strings.Fields(n.Text), "")) {
				fixes = c.cut(s, rr, n.Span)
			}
			found(duplicateTag, n.Span, diag.Args{"tag": n.Tag}, fixes)
		case dmarc.NoteBadTag, dmarc.NoteBadValue:
			if n.Tag == "pct" {
				continue // said as obsolete
			}
			found(ignored, n.Span, args, c.fixRepair(s, rr))
		case dmarc.NoteNoScheme, dmarc.NoteBadAddress, dmarc.NoteBadURI, dmarc.NoteNotMailto:
			args["tag"] = n.Tag
			found(ruaInvalid, n.Span, args, c.fixRepair(s, rr))
		case dmarc.NoteNonASCII, dmarc.NoteControlChar:
			switch n.Tag {
			case "p", "sp", "np":
			case "rua", "ruf":
				args["tag"] = n.Tag
				found(ruaInvalid, n.Span, args, c.fixRepair(s, rr))
			default:
				found(ignored, n.Span, args, c.fixRepair(s, rr))
			}
		case dmarc.NoteRemovedTag:
			if n.Tag != "pct" || !c.maybePartly() {
				found(obsoleteTag, n.Span, diag.Args{"text": n.Text}, c.cut(s, rr, n.Span))
			}
		case dmarc.NoteSizeLimit:
			found(obsoleteTag, n.Span, diag.Args{"text": n.Text}, c.replace(s, rr, r.Text[:n.Start]+r.Text[n.End:]))
		case dmarc.NoteUnknownTag, dmarc.NoteFOWithoutRUF:
			found(withoutEffect, n.Span, args, nil)
		case dmarc.NoteNameCase, dmarc.NoteValueCase, dmarc.NoteEmptyTag:
			if n.Code == dmarc.NoteEmptyTag {
				args["text"] = ";;"
			}
			found(spelling, n.Span, args, c.fixRepair(s, rr))
		}
	}
	// RFC 9989 §4.7, sp: ignored in the record of a domain that is not the
	// organizational one, because names below take that one's.
	if w := p.Walk; s.Domain == c.from && w.Org != "" && w.Org != s.Domain {
		for _, tag := range []string{"sp", "np"} {
			if t := r.Tag(tag); t != nil && t.Counts {
				found(withoutEffect, t.Span, diag.Args{"text": t.Text(r), "problem": "not-org"}, nil)
			}
		}
	}
}

// partly reports whether pct makes receivers of RFC 7489 apply the policy to a
// share of the mail only.
func (c *run1) partly() bool { return partly(c.policy.Record, c.policy.Verdict) }

func partly(r *dmarc.Record, v dmarc.Verdict) bool {
	return r.Pct >= 0 && r.Pct < 100 && v.Policy.Strength() > 0
}

// maybePartly is partly, and true also where it is not known whether the
// domain exists and pct matters in one of the two cases.
func (c *run1) maybePartly() bool {
	p := c.policy
	if p.Known() {
		return c.partly()
	}
	return partly(p.Record, p.Record.Evaluate(dmarc.Subdomain)) || partly(p.Record, p.Record.Evaluate(dmarc.NonExistent))
}

// strength reports a policy that asks for less than it could.
func (c *run1) strength() {
	p := c.policy
	s, r, rr := p.Step, p.Record, p.Step.Record()
	v := p.Verdict
	mark := func(tag string) dmarc.Span {
		if t := r.Tag(tag); t != nil {
			return t.Span
		}
		return dmarc.Span{}
	}
	if v.Policy == dmarc.None {
		f := diag.Finding{Kind: policyNone, Subject: c.from, Args: diag.Args{"at": s.Domain}, Owner: c.owner(rr),
			Evidence: c.evidence(rr, mark(v.Tag))}
		if c.parked && s.Domain == c.from {
			// The domain says elsewhere that no mail comes from it.
			if t := r.Tag("p"); t != nil && t.Counts {
				f.Fixes = c.replace(s, rr, r.Text[:t.ValueAt.Start]+"reject"+r.Text[t.ValueAt.End:])
			}
		}
		c.report(f)
	}
	if r.Test && v.Policy.Strength() > 0 {
		c.report(diag.Finding{Kind: partial, Subject: c.from, Args: diag.Args{"text": "t=y", "policy": string(v.Policy)},
			Owner: c.owner(rr), Evidence: c.evidence(rr, mark("t"))})
	}
	if c.partly() {
		c.report(diag.Finding{Kind: partial, Subject: c.from, Args: diag.Args{"text": "pct=" + strconv.Itoa(r.Pct), "policy": string(v.Policy)},
			Owner: c.owner(rr), Evidence: c.evidence(rr, mark("pct"))})
	}
	if s.Domain != c.from || p.Walk.Org != "" && p.Walk.Org != s.Domain {
		return // sp and np have decided already, or have no effect
	}
	weaker := func(f diag.Finding) {
		if p.Walk.Org == "" {
			// Whether this is the organizational domain, whose sp and np apply to
			// the names below it, hangs on answers that did not come.
			c.unknown(p.Walk.OrgUnknown...)
			return
		}
		c.report(f)
	}
	below := r.P
	if r.SP != "" {
		below = r.SP
		if r.SP.Strength() < r.P.Strength() {
			// Which subdomains send, and whether they could stand a stronger
			// policy, only their owner knows: no fix.
			weaker(diag.Finding{Kind: subdomainWeaker, Subject: s.Domain, Owner: c.owner(rr),
				Args: diag.Args{"tag": "sp", "value": string(r.SP), "policy": string(r.P)}, Evidence: c.evidence(rr, mark("sp"))})
		}
	}
	if r.NP != "" && r.NP.Strength() < below.Strength() {
		// A name that does not exist sends nothing.
		weaker(diag.Finding{Kind: subdomainWeaker, Subject: s.Domain, Owner: c.owner(rr),
			Args: diag.Args{"tag": "np", "value": string(r.NP), "policy": string(below)}, Evidence: c.evidence(rr, mark("np")),
			Fixes: c.cut(s, rr, mark("np"))})
	}
}
