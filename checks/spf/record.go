package spf

import (
	"regexp"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/orgdomain"
	"github.com/todoku-mail/todoku/pkg/spf"
)

// walk visits every step of a tree, in order of evaluation.
func walk(n *spf.Node, visit func(*spf.Node, *spf.Step)) {
	if n == nil {
		return
	}
	for _, s := range n.Steps {
		visit(n, s)
		walk(s.Child, visit)
	}
}

// index notes the nodes of a tree by domain.
func (c *run1) index(n *spf.Node) {
	if n == nil {
		return
	}
	if old := c.nodes[n.Domain]; old == nil || old.Answer == nil {
		c.nodes[n.Domain] = n
	}
	for _, s := range n.Steps {
		c.index(s.Child)
	}
}

// owner is who can change the records of a domain: us, at or below the domain
// that is checked, and otherwise the provider who publishes it.
func (c *run1) owner(domain string) diag.Owner {
	if c.own(domain) {
		return diag.Nobody // as the Kind says
	}
	return diag.Provider
}

// own reports whether a domain is ours: below the same registered domain as
// the sending domain. A Return-Path elsewhere (a web host's, a mail provider's)
// is not ours to publish records for.
func (c *run1) own(domain string) bool {
	d := c.Target.Domain
	if org, ok := orgdomain.PSL(d); ok {
		d = org
	}
	return dnsq.AtOrBelow(domain, d)
}

// evidence is a node's record as a whole.
func (c *run1) evidence(n *spf.Node) []diag.Evidence {
	if n == nil || n.RR == nil {
		return nil
	}
	return []diag.Evidence{facts.Evidence(n.RR, n.RR.Text(), 0, 0)}
}

// allRecords are all the SPF records of a domain that has several.
func (c *run1) allRecords(domain string) []diag.Evidence {
	var out []diag.Evidence
	for _, rr := range c.records(domain) {
		out = append(out, facts.Evidence(rr, rr.Text(), 0, 0))
	}
	return out
}

func (c *run1) records(domain string) []*dnsq.RR {
	n := c.nodes[domain]
	if n == nil || n.Answer == nil {
		return nil
	}
	var out []*dnsq.RR
	for i := range n.Answer.RRs {
		if rr := &n.Answer.RRs[i]; spf.IsSPF(rr.Text()) {
			out = append(out, rr)
		}
	}
	return out
}

// spot is a domain's record with a part of it marked.
func (c *run1) spot(domain string, r *spf.Record, at spf.Span) []diag.Evidence {
	for _, rr := range c.records(domain) {
		if rr.Text() == r.Text {
			return []diag.Evidence{facts.Evidence(rr, r.Text, at.Start, at.End-at.Start)}
		}
	}
	return nil
}

// maxSpots is how many parts of one record are shown: its text stands in the
// report once for each.
const maxSpots = 8

// spots is a domain's record once for each part, the first maxSpots.
func (c *run1) spots(domain string, r *spf.Record, at []spf.Span) []diag.Evidence {
	var out []diag.Evidence
	for _, s := range at[:min(len(at), maxSpots)] {
		out = append(out, c.spot(domain, r, s)...)
	}
	return out
}

func (c *run1) spotTerm(p *spf.Problem) []diag.Evidence {
	if p.Record == nil || p.Term == nil {
		return nil
	}
	return c.spot(p.Domain, p.Record, p.Term.Span)
}

// path shows the records on the way to the term that decided, each with the
// term that was followed; where none decided, the record.
func (c *run1) path(v *spf.Verdict) []diag.Evidence {
	var out []diag.Evidence
	n := v.Root
	for _, s := range v.Path {
		if n != nil && n.RR != nil {
			out = append(out, facts.Evidence(n.RR, n.Record.Text, s.Term.Start, s.Term.End-s.Term.Start))
		}
		n = s.Child
	}
	if out == nil {
		out = c.evidence(v.Root)
	}
	return out
}

// lint reports what is unwise in records that work, and the shape of the
// budget.
func (c *run1) lint() {
	a, root := c.tree, c.tree.Root
	// With a record unknown the count is a lower bound, and the truth may be
	// worse than near: SPF-UNDETERMINED has said so.
	whole := true
	walk(root, func(_ *spf.Node, s *spf.Step) {
		whole = whole && (s.Child == nil || s.Child.Problem == nil || s.Child.Problem.Code != spf.ProblemDNS)
	})
	if n := a.Lookups; whole && n >= near && n <= spf.MaxLookups {
		c.report(diag.Finding{Kind: nearLimit, Subject: root.Domain, Args: diag.Args{"count": n}, Evidence: c.evidence(root), Fixes: c.fixLookups(near-1, false)})
	}
	if a.AnswerBytes > maxUDP {
		c.report(diag.Finding{Kind: oversize, Subject: root.Domain, Args: diag.Args{"bytes": a.AnswerBytes}})
	}
	c.lintOpen()
	c.lintEnd(root)
	seen := map[*dnsq.RR]bool{}
	var visit func(n *spf.Node)
	visit = func(n *spf.Node) {
		if n == nil || n.Record == nil || seen[n.RR] {
			return
		}
		seen[n.RR] = true
		c.lintTerms(n)
		for _, s := range n.Steps {
			visit(s.Child)
		}
	}
	visit(root)
}

// Widths from which a record says "almost anybody": an eighth of all IPv4
// addresses, or what a regional registry has of IPv6. No sender is that large;
// the RFC warns of over-authorisation without a number (§11.5.1).
const (
	wide4 = 1.0 / 8
	wide6 = 12
)

// lintOpen reports a record that authorises almost anybody.
func (c *run1) lintOpen() {
	open := c.tree.V4.Share() >= wide4
	for _, p := range c.tree.V6.Prefixes {
		open = open || p.Bits() <= wide6
	}
	if !open {
		return
	}
	root := c.tree.Root
	n, t := widest(root)
	if t == nil {
		return
	}
	f := diag.Finding{Kind: passAll, Subject: root.Domain, Args: diag.Args{"text": t.Text}, Owner: c.owner(n.Domain)}
	if n.Domain != root.Domain {
		f.Evidence = c.evidence(root)
	}
	f.Evidence = append(f.Evidence, c.spot(n.Domain, n.Record, t.Span)...)
	if t.Name == "all" && c.own(n.Domain) {
		f.Fixes = c.andLosers(c.replace(n, t.Span, "~all"), t)
	}
	c.report(f)
}

// widest is the term that authorises most, among those that authorise at all.
func widest(n *spf.Node) (node *spf.Node, term *spf.Term) {
	best := 1 << 10
	var visit func(n *spf.Node)
	visit = func(n *spf.Node) {
		for _, s := range n.Steps {
			t := s.Term
			if t.Qualifier != spf.Plus && !t.Modifier {
				continue
			}
			width := 1 << 9
			switch t.Name {
			case "all":
				width = -1
			case "ip4", "ip6":
				width = t.Prefix.Bits()
			case "a", "mx":
				if t.CIDR4 >= 0 {
					width = t.CIDR4
				}
				if t.CIDR6 >= 0 {
					width = min(width, t.CIDR6)
				}
			case "exists":
				if len(s.Addrs) > 0 {
					width = 0
				}
			case "include", "redirect":
				if s.Child != nil {
					visit(s.Child)
				}
				continue
			}
			if width < best {
				node, term, best = n, t, width
			}
		}
	}
	visit(n)
	return node, term
}

// lintEnd reports a record whose end says nothing about other senders. A
// redirect hands that question to another record.
func (c *run1) lintEnd(n *spf.Node) {
	if n == nil || n.Record == nil || len(n.Record.Errors) > 0 {
		return
	}
	f := diag.Finding{Kind: noAll, Subject: n.Domain, Owner: c.owner(n.Domain)}
	text := n.Record.Text
	end := spf.Span{Start: len(strings.TrimRight(text, " ")), End: len(text)}
	switch all := n.Record.All(); {
	case all != nil && all.Qualifier == spf.Question:
		f.Evidence = c.spot(n.Domain, n.Record, all.Span)
		f.Fixes = c.fixEnd(n, all.Span, "~all")
	case all != nil:
		return
	case n.Record.Redirect() != nil:
		for _, s := range n.Steps {
			if s.Term == n.Record.Redirect() {
				c.lintEnd(s.Child)
			}
		}
		return
	default:
		f.Evidence = c.spot(n.Domain, n.Record, end)
		f.Fixes = c.fixEnd(n, end, " ~all")
	}
	c.report(f)
}

// lintTerms reports terms of one record that do nothing or should not be there.
func (c *run1) lintTerms(n *spf.Node) {
	r := n.Record
	all := r.All()
	first := map[string]bool{}
	var late, again []string
	var lateSpans, againSpans []spf.Span
	for i := range r.Terms {
		t := &r.Terms[i]
		if t.Invalid {
			continue
		}
		if t.Name == "ptr" && !t.Modifier {
			f := diag.Finding{Kind: ptrMechanism, Subject: n.Domain, Owner: c.owner(n.Domain), Evidence: c.spot(n.Domain, r, t.Span)}
			if c.own(n.Domain) {
				f.Fixes = c.andLosers(c.remove(n, t.Span), t)
			}
			c.report(f)
		}
		// What a provider repeats or leaves over in its own record is of no
		// use to the reader of this report.
		if !c.own(n.Domain) {
			continue
		}
		if t.MechanismAsModifier() {
			c.report(diag.Finding{Kind: ignored, Subject: n.Domain,
				Args:     diag.Args{"term": t.Text, "instead": strings.Replace(t.Text, "=", ":", 1)},
				Evidence: c.spot(n.Domain, r, t.Span),
				Fixes:    []diag.Fix{c.replace(n, t.Span, strings.Replace(t.Text, "=", ":", 1))}})
		}
		// RFC 7208 §5.1: mechanisms after all are never tested. §6.1: a redirect
		// is ignored when there is an all anywhere.
		if all != nil && t != all && (!t.Modifier && t.Start > all.Start || t.Modifier && t.Name == "redirect") {
			late = append(late, t.Text)
			lateSpans = append(lateSpans, t.Span)
			continue
		}
		key := strings.ToLower(strings.TrimPrefix(t.Text, "+"))
		if first[key] && !t.Modifier {
			again = append(again, t.Text)
			againSpans = append(againSpans, t.Span)
		}
		first[key] = true
	}
	if again != nil {
		c.report(diag.Finding{Kind: duplicate, Subject: n.Domain, Args: diag.Args{"terms": again},
			Evidence: c.spots(n.Domain, r, againSpans), Fixes: []diag.Fix{c.remove(n, againSpans...)}})
	}
	if late != nil {
		c.report(diag.Finding{Kind: afterAll, Subject: n.Domain, Args: diag.Args{"terms": late},
			Evidence: c.spots(n.Domain, r, lateSpans), Fixes: []diag.Fix{c.remove(n, lateSpans...)}})
	}
}

// meantAsSPF is a text that was clearly meant to be an SPF record and is none:
// anything but a space or the end behind the version (RFC 7208 §4.5), or
// something before it. "v=spf10" is another version, not a slip.
var meantAsSPF = regexp.MustCompile(`(?i)^[\s"'\\]*v ?= ?spf ?1([^0-9]|$)|^spf1 `)

// lookalikes reports texts at the domain that look like an SPF record and that
// receivers pass over.
func (c *run1) lookalikes() {
	n := c.tree.Root
	if n.Answer == nil {
		return
	}
	for i := range n.Answer.RRs {
		rr := &n.Answer.RRs[i]
		if text := rr.Text(); !spf.IsSPF(text) && meantAsSPF.MatchString(text) {
			c.report(diag.Finding{Kind: lookalike, Subject: n.Domain, Args: diag.Args{"text": text},
				Evidence: []diag.Evidence{facts.Evidence(rr, text, 0, 0)}, Fixes: c.fixLookalike(rr)})
		}
	}
}
