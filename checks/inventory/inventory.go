// Package inventory holds what people declare about a domain (todoku.yaml)
// against what the DNS says: who sends for it, and which domains never send.
//
// Declared addresses and selectors are part of the target: whether the SPF record
// allows the addresses and whether the selectors have keys is what the checks spf
// and dkim say. This one says the rest: declared services without a place in the
// record, places in the record that nobody declared, and domains that are to be
// closed and are not.
package inventory

import (
	"context"
	"embed"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dmarc"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/orgdomain"
	"github.com/todoku-mail/todoku/pkg/provider"
	"github.com/todoku-mail/todoku/pkg/receiver"
	"github.com/todoku-mail/todoku/pkg/spf"
)

//go:embed doc.*.md
var docs embed.FS

// What the check can find.
var (
	parkedSPF = &diag.Kind{ID: "INV-PARKED-SPF", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"found"}, Refs: []diag.Ref{diag.RFC(7208, "10.1.2"), diag.RFC(7208, "5.1")}}
	parkedDMARC = &diag.Kind{ID: "INV-PARKED-DMARC", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"policy"}, Refs: []diag.Ref{diag.RFC(9989, "4.7"), diag.RFC(9989, "4.10.1")}}
	parkedKey = &diag.Kind{ID: "INV-PARKED-KEY", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"selector"}, Key: []string{"selector"}, Refs: []diag.Ref{diag.RFC(6376, "3.6.1"), diag.RFC(9989, "4.4")}}
	parkedMX = &diag.Kind{ID: "INV-PARKED-MX", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"hosts"}, Refs: []diag.Ref{diag.RFC(7505, "3")}}
	parkedOK = &diag.Kind{ID: "INV-PARKED-OK", Status: diag.Pass, Since: "0.2",
		Refs: []diag.Ref{diag.RFC(7208, "10.1.2"), diag.RFC(9989, "4.7")}}
	notInSPF = &diag.Kind{ID: "INV-PROVIDER-NOT-IN-SPF", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"provider"}, Key: []string{"provider"}, Refs: []diag.Ref{diag.RFC(7208, "5.2")}}
	undeclared = &diag.Kind{ID: "INV-PROVIDER-UNDECLARED", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"term", "provider"}, Key: []string{"term"}, Refs: []diag.Ref{diag.RFC(7208, "5.2"), diag.RFC(7208, "11.4")}}
	address = &diag.Kind{ID: "INV-ADDRESS-UNDECLARED", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"term"}, Key: []string{"term"}, Refs: []diag.Ref{diag.RFC(7208, "5.6"), diag.RFC(7208, "11.4")}}
	demanded = &diag.Kind{ID: "INV-DMARC-DEMANDED", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"receivers"}, Refs: demands()}
	ok = &diag.Kind{ID: "INV-OK", Status: diag.Pass, Since: "0.2",
		Refs: []diag.Ref{diag.RFC(7208, "5.2")}}
	skipped = &diag.Kind{ID: "INV-SKIPPED", Status: diag.Skip, Since: "0.2",
		Args: []string{"missing"}, Refs: []diag.Ref{diag.RFC(7208, "4.5")}}
	undetermined = &diag.Kind{ID: "INV-UNDETERMINED", Status: diag.Inconclusive, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"question", "reason"}, Key: []string{"question"}, Refs: []diag.Ref{diag.RFC(7208, "4.4")}}
)

// demands are the pages on which receivers ask for DMARC.
func demands() []diag.Ref {
	var out []diag.Ref
	for _, r := range receiver.All {
		if r.DMARC != "" {
			out = append(out, diag.Page(r.Title, r.DMARC))
		}
	}
	return out
}

// Check is the inventory check. It applies to targets of an inventory.
var Check = &diag.Check{
	Name: "inventory",
	Docs: docs,
	Kinds: []*diag.Kind{parkedSPF, parkedDMARC, parkedKey, notInSPF, demanded, undetermined,
		parkedMX, undeclared, address, parkedOK, ok, skipped},
	Needs:        diag.Needs{Input: diag.InventoryInput},
	Uses:         diag.Doors{DNS: true},
	Requires:     []diag.AnyFact{facts.SPFTree, facts.DMARC, facts.DKIMKeys, facts.MX},
	Run:          run,
	Undetermined: undetermined,
	Skipped:      skipped,
}

// run1 is one run of the check.
type run1 struct {
	*diag.Job
	ctx  context.Context
	said bool // something was reported
	open map[string]bool
}

func run(ctx context.Context, j *diag.Job) error {
	c := &run1{Job: j, ctx: ctx, open: map[string]bool{}}
	t := j.Target
	d := t.Declared
	if d == nil { // an inventory that says nothing about this domain
		c.report(skipped, t.Domain, diag.Args{"missing": "declaration"})
		return nil
	}
	if d.NeverSends {
		return c.closed()
	}
	return c.sending()
}

func (c *run1) report(k *diag.Kind, subject string, args diag.Args, evidence ...diag.Evidence) {
	c.finding(diag.Finding{Kind: k, Subject: subject, Args: args, Evidence: evidence})
}

func (c *run1) finding(f diag.Finding) {
	c.said = true
	c.Report(f)
}

// unknown reports questions without an answer, each once.
func (c *run1) unknown(subject string, errs ...*dnsq.Error) {
	for _, e := range errs {
		if q := e.Question.String(); !c.open[q] {
			c.open[q] = true
			c.finding(diag.Finding{Kind: undetermined, Subject: subject, Unknown: []*dnsq.Error{e},
				Args: diag.Args{"question": q, "reason": string(e.Reason)}})
		}
	}
}

// closed judges a domain that is declared never to send: nobody shall be able to
// send as it. The record is to refuse everyone, the policy to have mail that is
// not proved refused, and no key is to prove any.
func (c *run1) closed() error {
	t := c.Target
	facts.SPFTree.Start(c.World, t.Domain)
	facts.DMARC.Start(c.World, t.Domain)
	facts.DKIMKeys.Start(c.World, facts.DKIMAskOf(t))
	facts.MX.Start(c.World, t.Domain)
	tree, err := facts.SPFTree.Of(c.ctx, c.World, t.Domain)
	if err != nil {
		return err
	}
	c.closedSPF(tree)
	policy, err := facts.DMARC.Of(c.ctx, c.World, t.Domain)
	if err != nil {
		return err
	}
	c.closedDMARC(policy)
	keys, err := facts.DKIMKeys.Of(c.ctx, c.World, facts.DKIMAskOf(t))
	if err != nil {
		return err
	}
	c.closedKeys(keys)
	if !t.TakesMail() {
		m, err := facts.MX.Of(c.ctx, c.World, t.Domain)
		if err != nil {
			c.unknown(t.Domain, dnsq.AsError(dnsq.Q(t.Domain, dnsq.TypeMX), err))
		} else {
			c.closedMX(m)
		}
	}
	if !c.said {
		c.report(parkedOK, t.Domain, diag.Args{})
	}
	return nil
}

// The codes of {found}.
const (
	foundNone    = "missing"
	foundSeveral = "several"
	foundBroken  = "broken"
	foundSoft    = "soft"    // it ends in ~all, ?all or +all
	foundSenders = "senders" // it lets somebody send
	foundOpen    = "open"    // it has no all
)

func (c *run1) closedSPF(tree *spf.Analysis) {
	n := tree.Root
	if n == nil {
		return // not a name: the inventory would not have been read
	}
	if n.Answer == nil {
		c.unknown(c.Target.Domain, tree.Unknown...)
		return
	}
	var found string
	var unknown []*dnsq.Error
	switch {
	case n.RR == nil && n.Problem != nil && n.Problem.Code == spf.ProblemMultiple:
		found = foundSeveral // RFC 7208 §4.5: permerror, by which nobody is refused
	case n.RR == nil:
		found = foundNone
	default:
		found, unknown = refuses(n)
	}
	switch {
	case len(unknown) > 0:
		c.unknown(c.Target.Domain, unknown...)
	case found != "":
		f := diag.Finding{Kind: parkedSPF, Subject: c.Target.Domain, Args: diag.Args{"found": found}}
		var edits []diag.Edit
		for i := range n.Answer.RRs {
			if rr := &n.Answer.RRs[i]; spf.IsSPF(rr.Text()) {
				f.Evidence = append(f.Evidence, facts.Evidence(rr, rr.Text(), 0, 0))
				edits = append(edits, diag.Edit{Name: rr.Name, Type: "TXT", Old: rr.Text()})
			}
		}
		if len(edits) == 0 {
			edits = []diag.Edit{{Name: n.Domain, Type: "TXT"}}
		}
		// One of several stays, if it is the right one already.
		const right = "v=spf1 -all"
		if i := slices.IndexFunc(edits, func(e diag.Edit) bool { return e.Old == right }); i >= 0 {
			edits = slices.Delete(edits, i, i+1)
		} else {
			edits[0].New = right
		}
		if len(n.Answer.Chain) == 0 { // beside a CNAME nothing can be published
			f.Fixes = []diag.Fix{{Owner: diag.DNSAdmin, Edits: edits}}
		}
		c.finding(f)
	}
}

// refuses says what keeps a record from refusing every sender; "" if nothing
// does: each directive that can match has the qualifier "-", and the last one is
// all (RFC 7208 §10.1.2). The records that redirect leads to count as its own.
func refuses(n *spf.Node) (found string, unknown []*dnsq.Error) {
	for depth := 0; ; depth++ {
		r := n.Record
		if r == nil || len(r.Errors) > 0 || depth > spf.MaxLookups {
			return foundBroken, nil
		}
		for i := range r.Terms {
			switch t := &r.Terms[i]; {
			case t.Modifier:
			case t.Name == "all" && t.Qualifier == spf.Minus:
				return "", nil
			case t.Name == "all":
				return foundSoft, nil
			case t.Qualifier != spf.Minus:
				return foundSenders, nil
			}
		}
		i := slices.IndexFunc(n.Steps, func(s *spf.Step) bool { return s.Term.Modifier && s.Term.Name == "redirect" })
		if i < 0 {
			return foundOpen, nil
		}
		s := n.Steps[i]
		switch {
		case s.Err != nil:
			return "", []*dnsq.Error{s.Err}
		case s.Child == nil:
			return foundBroken, nil
		case s.Child.Answer == nil && s.Child.Problem != nil && s.Child.Problem.Err != nil:
			return "", []*dnsq.Error{s.Child.Problem.Err}
		}
		n = s.Child
	}
}

func (c *run1) closedDMARC(p *facts.DMARCPolicy) {
	if !p.Known() {
		c.unknown(c.Target.Domain, p.Unknown...)
		return
	}
	if p.Step != nil && p.Verdict.Applied == dmarc.Reject {
		return
	}
	f := diag.Finding{Kind: parkedDMARC, Subject: c.Target.Domain, Args: diag.Args{"policy": "absent"}}
	edit := diag.Edit{Name: dnsq.Join("_dmarc", c.Target.Domain), Type: "TXT", New: "v=DMARC1; p=reject"}
	if p.Step != nil {
		rr := p.Step.Record()
		if a := string(p.Verdict.Applied); a != "" {
			f.Args["policy"] = a
		}
		f.Evidence = []diag.Evidence{facts.Evidence(rr, rr.Text(), 0, 0)}
		if p.Step.Domain == c.Target.Domain {
			// The reports that are asked for stay; everything that weakens goes.
			edit.Name, edit.Old = rr.Name, rr.Text()
			if rua := p.Record.Tag("rua"); rua != nil && rua.Counts {
				edit.New += "; rua=" + rua.Value
			}
		}
	}
	if own := p.Walk.Steps[0].Answer; own != nil && len(own.Chain) == 0 && (edit.Old != "" || len(own.RRs) == 0) {
		f.Fixes = []diag.Fix{{Owner: diag.DNSAdmin, Edits: []diag.Edit{edit}}}
	}
	c.finding(f)
}

func (c *run1) closedKeys(s *facts.DKIMSearch) {
	keys := s.Usable()
	for _, k := range keys {
		f := diag.Finding{Kind: parkedKey, Subject: c.Target.Domain, Args: diag.Args{"selector": k.Selector}}
		if rr := k.RR(); rr != nil {
			f.Evidence = []diag.Evidence{facts.Evidence(rr, rr.Text(), 0, 0)}
			if k.Target() == "" && k.Selector != "*" {
				// RFC 6376 §3.6.1: an empty p= says that the key is revoked.
				f.Fixes = []diag.Fix{{Owner: diag.DNSAdmin, Edits: []diag.Edit{{Name: rr.Name, Type: "TXT", Old: rr.Text(), New: "v=DKIM1; p="}}}}
			}
		}
		c.finding(f)
	}
	c.unknown(c.Target.Domain, s.Unknown...)
}

func (c *run1) closedMX(m *facts.MailHosts) {
	f := diag.Finding{Kind: parkedMX, Subject: m.Domain}
	var hosts []string
	fix := diag.Fix{Owner: diag.DNSAdmin}
	for i := range m.Hosts {
		h := &m.Hosts[i]
		if h.Null {
			continue
		}
		hosts = append(hosts, h.RR.Host)
		text := mxText(h.RR)
		f.Evidence = append(f.Evidence, facts.Evidence(h.RR, text, 0, 0))
		fix.Edits = append(fix.Edits, diag.Edit{Name: h.RR.Name, Type: "MX", Old: text})
	}
	if len(hosts) == 0 {
		return
	}
	if len(hosts) == len(m.Hosts) {
		fix.Edits = append(fix.Edits, diag.Edit{Name: m.Domain, Type: "MX", New: "0 ."})
	}
	f.Args = diag.Args{"hosts": hosts}
	if len(m.Answer.Chain) == 0 {
		f.Fixes = []diag.Fix{fix}
	}
	c.finding(f)
}

// mxText is MX RDATA in presentation format.
func mxText(rr *dnsq.RR) string { return fmt.Sprintf("%d %s.", rr.Pref, rr.Host) }

// sending judges a domain that sends.
func (c *run1) sending() error {
	t := c.Target
	d := t.Declared
	from := t.Domain
	if name, err := dnsq.ParseName(t.From); err == nil {
		from = name
	}
	wants := wantDMARC(d.Receivers)
	if len(wants) > 0 {
		facts.DMARC.Start(c.World, from)
	}
	looked := false
	if d.Complete || len(t.IPs) > 0 {
		name, err := dnsq.ParseName(t.MailFromDomain())
		if t.NullSender || err != nil {
			c.report(skipped, t.Domain, diag.Args{"missing": "return-path"})
		} else {
			tree, err := facts.SPFTree.Of(c.ctx, c.World, name)
			if err != nil {
				return err
			}
			looked = c.senders(tree)
		}
	}
	if len(wants) > 0 {
		p, err := facts.DMARC.Of(c.ctx, c.World, from)
		if err != nil {
			return err
		}
		looked = true
		c.dmarc(p, from, wants)
	}
	switch {
	case c.said:
	case looked:
		c.report(ok, t.Domain, diag.Args{})
	default:
		c.report(skipped, t.Domain, diag.Args{"missing": "declaration"})
	}
	return nil
}

// wantDMARC are the titles of those receivers that ask for a DMARC record.
func wantDMARC(names []string) []string {
	var out []string
	for _, n := range names {
		if r, ok := receiver.Lookup(n); ok && r.DMARC != "" {
			out = append(out, r.Title)
		}
	}
	return out
}

func (c *run1) dmarc(p *facts.DMARCPolicy, from string, wants []string) {
	switch {
	case p.Step != nil: // p=none is enough for all of them
	case !p.Known():
		c.unknown(from, p.Unknown...)
	default:
		f := diag.Finding{Kind: demanded, Subject: from, Args: diag.Args{"receivers": wants}}
		if own := p.Walk.Steps[0].Answer; own != nil && len(own.Chain) == 0 && len(own.RRs) == 0 {
			f.Fixes = []diag.Fix{{Owner: diag.DNSAdmin, Edits: []diag.Edit{{Name: dnsq.Join("_dmarc", from), Type: "TXT", New: "v=DMARC1; p=none"}}}}
		}
		c.finding(f)
	}
}

// A place is a term of one of the domain's own records.
type place struct {
	node *spf.Node
	step *spf.Step
}

// senders holds declared services and addresses against the record. It reports
// whether there was a record to look at.
func (c *run1) senders(tree *spf.Analysis) bool {
	n := tree.Root
	switch {
	case n == nil:
		c.report(skipped, c.Target.Domain, diag.Args{"missing": "return-path"})
		return false
	case n.Answer == nil:
		c.unknown(n.Domain, tree.Unknown...)
		return true
	case n.Record == nil:
		// None, or several: the check spf says so, and that is what to mend first.
		c.report(skipped, n.Domain, diag.Args{"missing": "spf"})
		return false
	}
	var terms []place
	var unknown []*dnsq.Error
	own(n, org(n.Domain), map[*spf.Node]bool{}, &terms, &unknown)
	if c.Target.Declared.Complete {
		c.providers(n, terms, unknown)
	}
	if len(c.Target.IPs) > 0 {
		c.addresses(terms)
	}
	return true
}

func org(domain string) string {
	if o, ok := orgdomain.PSL(domain); ok {
		return o
	}
	return domain
}

// own collects the terms of the records that belong to the domain itself: its
// record, and those that include and redirect lead to below the same registered
// domain. unknown are the questions for such records without an answer.
func own(n *spf.Node, org string, seen map[*spf.Node]bool, out *[]place, unknown *[]*dnsq.Error) {
	if seen[n] {
		return
	}
	seen[n] = true
	for _, s := range n.Steps {
		*out = append(*out, place{n, s})
		if !leads(s) || !dnsq.AtOrBelow(target(s), org) {
			continue
		}
		switch {
		case s.Err != nil:
			*unknown = append(*unknown, s.Err)
		case s.Child != nil && s.Child.Answer == nil && s.Child.Problem != nil && s.Child.Problem.Err != nil:
			*unknown = append(*unknown, s.Child.Problem.Err)
		case s.Child != nil:
			own(s.Child, org, seen, out, unknown)
		}
	}
}

func leads(s *spf.Step) bool { return s.Term.Name == "include" || s.Term.Name == "redirect" }

// target is the name that a term leads to; of one with macros, what follows the
// last of them.
func target(s *spf.Step) string {
	name := s.Target
	if name == "" {
		name = s.Term.Domain
	}
	if i := strings.LastIndexByte(name, '}'); i >= 0 {
		name = strings.TrimLeft(name[i+1:], ".")
	}
	return dnsq.CanonicalName(name)
}

// providers pairs what is declared with what the record has.
func (c *run1) providers(root *spf.Node, terms []place, unknown []*dnsq.Error) {
	used := map[string]bool{}
	for _, p := range terms {
		s := p.step
		// What is refused by the record sends nothing.
		if !leads(s) && s.Term.Name != "exists" || !s.Term.Modifier && s.Term.Qualifier != spf.Plus {
			continue
		}
		name := target(s)
		whose, known := provider.BySPFInclude(name)
		i := slices.IndexFunc(c.Target.Declared.Providers, func(d diag.DeclaredProvider) bool {
			return d.Include && dnsq.AtOrBelow(name, d.Name) || !d.Include && known && d.Name == whose.Provider
		})
		switch {
		case i >= 0:
			used[c.Target.Declared.Providers[i].Name] = true
		case dnsq.AtOrBelow(name, org(root.Domain)): // its own record: its terms are looked at
		default:
			who := org(name)
			if known && whose.Shown() {
				who = whose.Provider
			}
			c.report(undeclared, p.node.Domain, diag.Args{"term": s.Term.Text, "provider": who}, at(p))
		}
	}
	for _, d := range c.Target.Declared.Providers {
		switch {
		case d.NoSPF || used[d.Name]:
		case len(unknown) > 0: // it may stand there
			c.unknown(root.Domain, unknown...)
		default:
			f := diag.Finding{Kind: notInSPF, Subject: root.Domain, Args: diag.Args{"provider": d.Name},
				Evidence: []diag.Evidence{facts.Evidence(root.RR, root.RR.Text(), 0, 0)}, Fixes: include(root, d)}
			c.finding(f)
		}
	}
}

// include puts the include of a declared service before the end of the record,
// where it is known which it is.
func include(root *spf.Node, d diag.DeclaredProvider) []diag.Fix {
	var names []string
	if d.Include {
		names = []string{d.Name}
	}
	for _, f := range provider.Facts() {
		if !d.Include && f.Kind == provider.SPFInclude && f.Provider == d.Name && f.Shown() {
			names = append(names, f.Value)
		}
	}
	if len(names) != 1 || len(root.Answer.Chain) > 0 || len(root.Record.Errors) > 0 {
		return nil
	}
	text := root.RR.Text()
	at := len(text)
	if all := root.Record.All(); all != nil {
		at = all.Start
	} else if r := root.Record.Redirect(); r != nil {
		at = r.Start
	}
	with := text[:at] + "include:" + names[0] + " " + text[at:]
	if at == len(text) {
		with = text + " include:" + names[0]
	}
	return []diag.Fix{{Owner: diag.DNSAdmin, Edits: []diag.Edit{{Name: root.RR.Name, Type: "TXT", Old: text, New: with}}}}
}

// at is the record of a term, with the term marked.
func at(p place) diag.Evidence {
	t := p.step.Term
	return facts.Evidence(p.node.RR, p.node.RR.Text(), t.Start, t.End-t.Start)
}

// addresses tells of terms that let addresses send of which none is declared.
func (c *run1) addresses(terms []place) {
	for _, p := range terms {
		t := p.step.Term
		if t.Qualifier != spf.Plus {
			continue
		}
		var nets []netip.Prefix
		switch t.Name {
		case "ip4", "ip6":
			nets = []netip.Prefix{t.Prefix}
		case "a", "mx":
			if c.hosted(p.step) {
				continue
			}
			for _, a := range p.step.Addrs {
				bits := t.CIDR4
				if a.Is6() {
					bits = t.CIDR6
				}
				if bits < 0 {
					bits = a.BitLen()
				}
				nets = append(nets, netip.PrefixFrom(a, bits))
			}
		default:
			continue
		}
		holds := func(n netip.Prefix) bool {
			return slices.ContainsFunc(c.Target.IPs, func(ip netip.Addr) bool { return n.Contains(ip) })
		}
		switch {
		case slices.ContainsFunc(nets, holds):
		case p.step.Err != nil: // an address that was not learnt may be a declared one
			c.unknown(p.node.Domain, p.step.Err)
		case len(nets) > 0:
			c.report(address, p.node.Domain, diag.Args{"term": t.Text}, at(p))
		}
	}
}

// hosted reports whether the hosts of an mx term are those of a declared service:
// its servers are not among the declared addresses.
func (c *run1) hosted(s *spf.Step) bool {
	return slices.ContainsFunc(s.Hosts, func(host string) bool {
		f, ok := provider.ByMX(host)
		return ok && slices.ContainsFunc(c.Target.Declared.Providers, func(d diag.DeclaredProvider) bool { return d.Name == f.Provider })
	})
}
