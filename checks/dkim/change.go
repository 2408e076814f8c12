package dkim

import (
	"context"
	"crypto"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
)

// What the check can find about a change that takes keys away. Whether a server
// still signs with a key does not show in the DNS; that nothing is left to sign
// with does. A selector that was named needs none of this: its key is missing.
var (
	keyRemoved = &diag.Kind{ID: "DKIM-KEY-REMOVED", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"selector"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.1"), diag.RFC(6376, "6.1.2")}}
	lastKeyRemoved = &diag.Kind{ID: "DKIM-LAST-KEY-REMOVED", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"selectors"}, Refs: []diag.Ref{diag.RFC(6376, "6.1.2"), facts.Gmail}}
	keyReplaced = &diag.Kind{ID: "DKIM-KEY-REPLACED", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"selector"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.1"), diag.RFC(6376, "6.1.2")}}
)

// change compares the keys with those before the change.
func (c *run1) change(ctx context.Context) error {
	before, err := facts.DKIMKeys.Of(ctx, c.Before, facts.DKIMAskOf(c.Target))
	if err != nil {
		return err
	}
	now := map[string]*facts.DKIMKey{}
	for i := range c.Keys {
		now[c.Keys[i].Selector] = &c.Keys[i]
	}
	var gone []*dkim.Result
	var unknown *dnsq.Error
	for i := range before.Keys {
		old, k := &before.Keys[i], now[before.Keys[i].Selector]
		if k != nil && k.Status == dkim.Missing && old.Err != nil && unknown == nil {
			unknown = old.Err
		}
		if old.Wild || !old.Usable() {
			continue
		}
		switch {
		case k == nil || k.Status == dkim.Undetermined || k.Wild:
			// Not asked for, said already, or any selector still has a key.
		case k.Status == dkim.Missing || k.Status == dkim.NotKey:
			gone = append(gone, old.Result)
		case k.Usable() && !sameKey(k.Key(), old.Key()):
			// RFC 6376 §3.1 rotates keys by selector so that mail on its way keeps
			// its key. In place, what was signed with the old one no longer
			// verifies, and what resolvers still hold does not verify the new.
			c.report(keyReplaced, k.Result, nil)
		}
	}
	// What is not known of the keys that are left is said by itself.
	if c.Named || c.NeverSends || len(c.Incomplete()) > 0 {
		return nil
	}
	if len(gone) == 0 {
		if unknown != nil { // a key may have been there
			c.undetermined(unknown)
		}
		return nil
	}
	if c.Absent() { // nothing is left that mail could be signed with
		var names []string
		f := diag.Finding{Kind: lastKeyRemoved, Subject: c.Domain}
		for _, r := range gone {
			names = append(names, r.Selector)
			f.Evidence = append(f.Evidence, evidenceOf(r)...)
			f.Fixes = back(f.Fixes, r)
		}
		f.Args = diag.Args{"selectors": names}
		c.found = append(c.found, f)
		return nil
	}
	for _, r := range gone {
		c.report(keyRemoved, r, nil).Fixes = back(nil, r)
	}
	return nil
}

// sameKey reports whether two key records hold one key, however they are written.
func sameKey(a, b *dkim.Key) bool {
	x, ok := a.Public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && b.Public != nil && x.Equal(b.Public)
}

func evidenceOf(r *dkim.Result) []diag.Evidence {
	rr := r.RR()
	if rr == nil {
		return nil
	}
	return []diag.Evidence{facts.Evidence(rr, rr.Text(), 0, 0)}
}

// back adds to the one fix that leaves the keys where they are.
func back(fixes []diag.Fix, r *dkim.Result) []diag.Fix {
	rr := r.RR()
	if rr == nil {
		return fixes
	}
	if fixes == nil {
		fixes = []diag.Fix{{Owner: diag.DNSAdmin}}
	}
	name, typ, text := r.Name, "TXT", rr.Text()
	if t := r.Target(); t != "" { // the key is the provider's, the alias is ours
		typ, text = "CNAME", t+"."
	}
	fixes[0].Edits = append(fixes[0].Edits, diag.Edit{Name: name, Type: typ, New: text})
	return fixes
}
