package spf

import (
	"slices"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/spf"
)

// Servers that may send before the change and not after it. Whether any of them
// still sends, only a person knows: an include that is taken out by mistake looks
// like one that is taken out on purpose.
var senderRemoved = &diag.Kind{ID: "SPF-SENDER-REMOVED", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.2",
	Args: []string{"networks", "terms"}, Refs: []diag.Ref{diag.RFC(7208, "5"), diag.RFC(7208, "8.4")}}

// maxNetworks is how many of the networks are named.
const maxNetworks = 6

// change compares the record with that before the change: with the addresses
// that it authorises, not with its words, so that an include that was flattened
// is no loss.
func (c *run1) change() error {
	before, err := facts.SPFTree.Of(c.ctx, c.Before, spfName(c.domain))
	if err != nil {
		return err
	}
	// Of a record that does not work the sets say nothing, and it is a fault by
	// itself.
	for _, a := range []*spf.Analysis{before, c.tree} {
		if a.Root == nil || a.Root.Record == nil || len(a.Problems) > 0 {
			return nil
		}
	}
	terms := goneTerms(before.Root.Record, c.tree.Root.Record)
	v4, v6 := before.V4.Minus(&c.tree.V4), before.V6.Minus(&c.tree.V6)
	lost := slices.Concat(v4.Prefixes, v6.Prefixes)
	if len(before.Unknown)+len(c.tree.Unknown) > 0 {
		// What an include allows is not known on one side. If every term that was
		// there still is, nothing was taken away; else nobody can say.
		if len(terms) > 0 || len(lost) > 0 {
			for _, e := range before.Unknown {
				c.report(diag.Finding{Kind: undetermined, Subject: c.tree.Root.Domain, Unknown: []*dnsq.Error{e},
					Args: diag.Args{"question": e.Question.String(), "reason": string(e.Reason)}})
			}
		}
		return nil
	}
	if len(lost) == 0 {
		return nil
	}
	var networks []string
	for i, p := range lost {
		if i == maxNetworks {
			networks = append(networks, "…")
			break
		}
		if p.IsSingleIP() {
			networks = append(networks, p.Addr().String())
		} else {
			networks = append(networks, p.String())
		}
	}
	c.report(diag.Finding{Kind: senderRemoved, Subject: c.tree.Root.Domain,
		Args: diag.Args{"networks": networks, "terms": terms}, Evidence: c.evidence(c.tree.Root)})
	return nil
}

// goneTerms are the terms that one record has and the next does not.
func goneTerms(before, now *spf.Record) []string {
	gone := []string{}
	for _, t := range before.Terms {
		if !slices.ContainsFunc(now.Terms, func(u spf.Term) bool { return strings.EqualFold(t.Text, u.Text) }) {
			gone = append(gone, t.Text)
		}
	}
	return gone
}
