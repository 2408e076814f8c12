// Package lock holds the records of a domain, and those of others that they lead
// to, against a lock file (todoku lock): what moved since it was written, and
// whether the domain's own administrator moved it or a provider did.
//
// A name at or below the registered domain of the sender is its own; every other
// is a provider's. What could not be learnt has not moved: it is inconclusive.
package lock

import (
	"context"
	"embed"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/orgdomain"
)

//go:embed doc.*.md
var docs embed.FS

// What the check can find. What came and went is part of a finding's key: who has
// accepted one move of a provider has not accepted the next.
var (
	gone = &diag.Kind{ID: "LOCK-PROVIDER-GONE", Status: diag.Fail, Owner: diag.Provider, Since: "0.2",
		Args: []string{"name", "type"}, Key: []string{"name", "type"}, Refs: []diag.Ref{diag.RFC(7208, "5.2"), diag.RFC(6376, "3.6.1")}}
	networks = &diag.Kind{ID: "LOCK-PROVIDER-NETWORKS", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"name", "added", "removed"}, Key: []string{"name", "added", "removed"}, Refs: []diag.Ref{diag.RFC(7208, "5.2"), diag.RFC(7208, "11.4")}}
	key = &diag.Kind{ID: "LOCK-PROVIDER-KEY", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"selector", "name", "was", "now"}, Key: []string{"selector", "now"}, Refs: []diag.Ref{diag.RFC(6376, "3.6.2"), diag.RFC(6376, "3.1")}}
	mx = &diag.Kind{ID: "LOCK-PROVIDER-MX", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"host", "added", "removed"}, Key: []string{"host", "added", "removed"}, Refs: []diag.Ref{diag.RFC(5321, "5.1")}}
	addresses = &diag.Kind{ID: "LOCK-SPF-ADDRESSES", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"name", "added", "removed"}, Key: []string{"name", "added", "removed"}, Refs: []diag.Ref{diag.RFC(7208, "5.3"), diag.RFC(7208, "5.4")}}
	noEntry = &diag.Kind{ID: "LOCK-NO-ENTRY", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.2",
		Refs: []diag.Ref{diag.RFC(7208, "5.2")}}
	rewritten = &diag.Kind{ID: "LOCK-PROVIDER-REWRITTEN", Status: diag.Info, Since: "0.2",
		Args: []string{"name"}, Key: []string{"name"}, Refs: []diag.Ref{diag.RFC(7208, "5.2")}}
	own = &diag.Kind{ID: "LOCK-OWN-CHANGED", Status: diag.Info, Since: "0.2",
		Args: []string{"name", "type"}, Key: []string{"name", "type"}, Refs: []diag.Ref{diag.RFC(7208, "3")}}
	ok = &diag.Kind{ID: "LOCK-OK", Status: diag.Pass, Since: "0.2",
		Refs: []diag.Ref{diag.RFC(7208, "5.2")}}
	skipped = &diag.Kind{ID: "LOCK-SKIPPED", Status: diag.Skip, Since: "0.2",
		Args: []string{"missing"}, Refs: []diag.Ref{diag.RFC(7208, "4.5")}}
	undetermined = &diag.Kind{ID: "LOCK-UNDETERMINED", Status: diag.Inconclusive, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"question", "reason"}, Key: []string{"question"}, Refs: []diag.Ref{diag.RFC(7208, "4.4")}}
)

// Check is the lock check. It applies to runs with a lock file.
var Check = &diag.Check{
	Name:         "lock",
	Docs:         docs,
	Kinds:        []*diag.Kind{gone, networks, key, mx, addresses, noEntry, undetermined, rewritten, own, ok, skipped},
	Needs:        diag.Needs{Input: diag.LockInput},
	Uses:         diag.Doors{DNS: true},
	Requires:     []diag.AnyFact{facts.Lock},
	Run:          run,
	Undetermined: undetermined,
	Skipped:      skipped,
}

// run1 is one run of the check.
type run1 struct {
	*diag.Job
	was  *diag.Locked
	now  *facts.Snapshot
	said bool
	open map[string]bool
}

func run(ctx context.Context, j *diag.Job) error {
	c := &run1{Job: j, was: j.Target.Lock, open: map[string]bool{}}
	if c.was == nil {
		c.finding(diag.Finding{Kind: noEntry, Subject: j.Target.Domain, Args: diag.Args{}})
		return nil
	}
	var selectors []string
	for _, k := range c.was.DKIM {
		selectors = append(selectors, k.Selector)
	}
	ask := facts.LockAskOf(j.Target, selectors)
	// What was locked is what is compared, whatever the target says today.
	ask.ReturnPath, ask.DKIMDomain = c.was.ReturnPath, c.was.DKIMDomain
	var err error
	if c.now, err = facts.Lock.Of(ctx, j.World, ask); err != nil {
		return err
	}
	c.spf()
	c.mx()
	c.dkim()
	if !c.said {
		c.finding(diag.Finding{Kind: ok, Subject: j.Target.Domain, Args: diag.Args{}})
	}
	return nil
}

func (c *run1) finding(f diag.Finding) {
	c.said = true
	c.Report(f)
}

func (c *run1) report(k *diag.Kind, args diag.Args, evidence ...diag.Evidence) {
	c.finding(diag.Finding{Kind: k, Subject: c.Target.Domain, Args: args, Evidence: evidence})
}

// unknown reports questions without an answer, each once.
func (c *run1) unknown(errs ...*dnsq.Error) {
	for _, e := range errs {
		if q := e.Question.String(); !c.open[q] {
			c.open[q] = true
			c.finding(diag.Finding{Kind: undetermined, Subject: c.Target.Domain, Unknown: []*dnsq.Error{e},
				Args: diag.Args{"question": q, "reason": string(e.Reason)}})
		}
	}
}

// changed reports a record of the domain's own that is not what it was.
func (c *run1) changed(name, typ string, evidence ...diag.Evidence) {
	c.report(own, diag.Args{"name": name, "type": typ}, evidence...)
}

// ours reports whether a name belongs to the sender.
func (c *run1) ours(name string) bool {
	for _, d := range []string{c.was.Domain, c.was.ReturnPath, c.was.DKIMDomain} {
		if org, ok := orgdomain.PSL(d); ok {
			d = org
		}
		if dnsq.AtOrBelow(name, d) {
			return true
		}
	}
	return false
}

// spf compares the tree of records. A provider's record is compared by what it
// lets send, at the name that a record of the domain's own leads to: how the
// provider spreads that over further records is its own affair.
func (c *run1) spf() {
	was := map[string]*diag.LockedSPF{}
	for i := range c.was.SPF {
		was[c.was.SPF[i].Name] = &c.was.SPF[i]
	}
	if root := c.now.SPFAt[c.was.ReturnPath]; root != nil {
		c.walk(root, was, map[string]bool{})
	}
}

func (c *run1) walk(n *facts.SnapshotSPF, was map[string]*diag.LockedSPF, seen map[string]bool) {
	if seen[n.Name] {
		return
	}
	seen[n.Name] = true
	w := was[n.Name]
	if !c.ours(n.Name) {
		c.foreign(n, w, was)
		return
	}
	switch record := n.Record; {
	case n.RR == nil && len(n.Unknown) > 0: // of this very record, for nothing is known below it
		c.unknown(n.Unknown...)
		return
	case w == nil && record == "":
		return
	case w == nil, w.Record != record:
		c.changed(n.Name, "TXT", evidence(n)...)
	default:
		c.moved(n, w, was)
	}
	for _, name := range n.Includes {
		if child := c.now.SPFAt[name]; child != nil {
			c.walk(child, was, seen)
		}
	}
}

// moved looks at the names behind a and mx of an unchanged record: what it lets
// send beside what the records that it includes let send.
func (c *run1) moved(n *facts.SnapshotSPF, w *diag.LockedSPF, was map[string]*diag.LockedSPF) {
	if len(n.Unknown) > 0 {
		c.unknown(n.Unknown...)
		return
	}
	for _, name := range n.Includes {
		child, before := c.now.SPFAt[name], was[name]
		if child == nil || before == nil || !slices.Equal(child.Networks, before.Networks) {
			return // told where it is
		}
	}
	if added, removed := difference(w.Networks, n.Networks); len(added)+len(removed) > 0 {
		c.report(addresses, diag.Args{"name": n.Name, "added": added, "removed": removed}, evidence(n)...)
	}
}

// foreign compares what a provider's record lets send.
func (c *run1) foreign(n *facts.SnapshotSPF, w *diag.LockedSPF, was map[string]*diag.LockedSPF) {
	if w == nil {
		return // new in a record of our own, which is told there
	}
	if len(n.Unknown) > 0 {
		c.unknown(n.Unknown...)
		return
	}
	if n.Record == "" {
		if w.Record != "" {
			c.report(gone, diag.Args{"name": n.Name, "type": "TXT"})
		}
		return
	}
	if added, removed := difference(w.Networks, n.Networks); len(added)+len(removed) > 0 {
		c.report(networks, diag.Args{"name": n.Name, "added": added, "removed": removed}, evidence(n)...)
		return
	}
	if !c.same(n, was, map[string]bool{}) {
		c.report(rewritten, diag.Args{"name": n.Name}, evidence(n)...)
	}
}

// same reports whether a record and those below it have the text that they had.
func (c *run1) same(n *facts.SnapshotSPF, was map[string]*diag.LockedSPF, seen map[string]bool) bool {
	if seen[n.Name] {
		return true
	}
	seen[n.Name] = true
	w := was[n.Name]
	if w == nil || w.Record != n.Record {
		return false
	}
	for _, name := range n.Includes {
		if child := c.now.SPFAt[name]; child != nil && child.Record != "" && !c.same(child, was, seen) {
			return false
		}
	}
	return true
}

func evidence(n *facts.SnapshotSPF) []diag.Evidence {
	if n.RR == nil {
		return nil
	}
	return []diag.Evidence{facts.Evidence(n.RR, n.RR.Text(), 0, 0)}
}

// difference is what came and what went, as few networks as hold just that.
func difference(was, now []netip.Prefix) (added, removed []string) {
	return texts(facts.Without(now, was)), texts(facts.Without(was, now))
}

// texts writes networks, those of one address as that address. It is never nil.
func texts(list []netip.Prefix) []string {
	out := []string{}
	for _, p := range list {
		if p.IsSingleIP() {
			out = append(out, p.Addr().String())
		} else {
			out = append(out, p.String())
		}
	}
	return out
}

// single are addresses as networks.
func single(list []netip.Addr) []netip.Prefix {
	var out []netip.Prefix
	for _, a := range list {
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out
}

// mx compares the mail hosts and where they are.
func (c *run1) mx() {
	if c.now.MXErr != nil {
		c.unknown(c.now.MXErr)
		return
	}
	type record struct {
		host string
		pref int
	}
	list := func(hosts []diag.LockedMX) (out []record) {
		for _, h := range hosts {
			out = append(out, record{h.Host, h.Preference})
		}
		return out
	}
	if !slices.Equal(list(c.was.MX), list(c.now.MX)) {
		var e []diag.Evidence
		for i := range c.now.Mail.Hosts {
			h := &c.now.Mail.Hosts[i]
			e = append(e, facts.Evidence(h.RR, fmt.Sprintf("%d %s", h.RR.Pref, strings.TrimSuffix(h.RR.Host, ".")+"."), 0, 0))
		}
		c.changed(c.was.Domain, "MX", e...)
	}
	seen := map[string]bool{}
	for _, w := range c.was.MX {
		i := slices.IndexFunc(c.now.Mail.Hosts, func(h facts.MailHost) bool { return h.RR.Host == w.Host })
		if i < 0 || seen[w.Host] || c.now.Mail.Hosts[i].Addresses == nil {
			continue
		}
		seen[w.Host] = true
		a := c.now.Mail.Hosts[i].Addresses
		if !a.Known() {
			c.unknown(a.Unknown()...)
			continue
		}
		j := slices.IndexFunc(c.now.MX, func(m diag.LockedMX) bool { return m.Host == w.Host })
		added, removed := difference(single(w.Addresses), single(c.now.MX[j].Addresses))
		switch {
		case len(added)+len(removed) == 0:
		case c.ours(w.Host):
			c.changed(w.Host, "A")
		case len(c.now.MX[j].Addresses) == 0:
			c.report(gone, diag.Args{"name": w.Host, "type": "A"})
		default:
			c.report(mx, diag.Args{"host": w.Host, "added": added, "removed": removed})
		}
	}
}

// dkim compares the keys.
func (c *run1) dkim() {
	for _, w := range c.was.DKIM {
		k := c.now.Keys[w.Selector]
		if k == nil || k.Status == dkim.Invalid {
			continue // no selector that could be asked for: the file was edited
		}
		if k.Err != nil {
			c.unknown(k.Err)
			continue
		}
		name, _ := dkim.Name(w.Selector, c.was.DKIMDomain)
		cname := ""
		if len(k.Answer.Chain) > 0 {
			cname = k.Answer.Chain[0]
		}
		digest := facts.KeyDigest(k)
		var e []diag.Evidence
		if rr := k.RR(); rr != nil {
			e = append(e, facts.Evidence(rr, rr.Text(), 0, 0))
		}
		switch {
		case cname != w.CNAME && cname+w.CNAME != "":
			c.changed(name, "CNAME", e...)
		case cname == "" || c.ours(k.Answer.Owner()):
			if digest != w.Key || len(k.Answer.RRs) == 0 {
				c.changed(name, "TXT", e...)
			}
		case len(k.Answer.RRs) == 0:
			c.report(gone, diag.Args{"name": k.Answer.Owner(), "type": "TXT"})
		case digest != w.Key:
			c.report(key, diag.Args{"selector": w.Selector, "name": k.Answer.Owner(), "was": short(w.Key), "now": short(digest)}, e...)
		}
	}
}

// short is the beginning of a digest, as people compare them.
func short(digest string) string { return digest[:min(len(digest), len("sha256:")+12)] }
