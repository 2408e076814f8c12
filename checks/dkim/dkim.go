// Package dkim checks the public keys of the signing domain (RFC 6376, RFC
// 8301, RFC 8463): of the selectors that were named, or else of those that can
// be found by reasoning.
//
// A selector that was named has to have a usable key; anything else fails. A
// selector that was found by guessing proves that a key is there, and one that
// was not found proves nothing: then the finding says so, and how to learn the
// selector. An answer that any selector gets, a wildcard's, is told apart by a
// question for one that nobody has published.
package dkim

import (
	"context"
	"embed"
	"slices"
	"sync"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/provider"
)

//go:embed doc.*.md
var docs embed.FS

var bySelector = []string{"selector"}

// What the check can find.
var (
	keyMissing = &diag.Kind{ID: "DKIM-KEY-MISSING", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: bySelector, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.6.2.1"), diag.RFC(6376, "6.1.2"), facts.Gmail}}
	targetMissing = &diag.Kind{ID: "DKIM-TARGET-MISSING", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.1",
		Args: []string{"selector", "target"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "6.1.2"), diag.RFC(1034, "3.6.2")}}
	notAKey = &diag.Kind{ID: "DKIM-NOT-A-KEY", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: bySelector, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.6.1"), diag.RFC(6376, "6.1.2")}}
	nameDoubled = &diag.Kind{ID: "DKIM-NAME-DOUBLED", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"selector", "name"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.6.2.1")}}
	nameMisplaced = &diag.Kind{ID: "DKIM-NAME-MISPLACED", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"name"}, Key: []string{"name"}, Refs: []diag.Ref{diag.RFC(6376, "3.6.2.1")}}
	keyRevoked = &diag.Kind{ID: "DKIM-KEY-REVOKED", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.1",
		Args: bySelector, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.6.1"), diag.RFC(6376, "6.1.2")}}
	keySyntax = &diag.Kind{ID: "DKIM-KEY-SYNTAX", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"selector", "problem"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.6.1"), diag.RFC(6376, "6.1.2"), diag.RFC(8463, "4.2")}}
	keyTooShort = &diag.Kind{ID: "DKIM-KEY-TOO-SHORT", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.1",
		Args: []string{"selector", "bits"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(8301, "3.2"), facts.Gmail}}
	privateKey = &diag.Kind{ID: "DKIM-PRIVATE-KEY-PUBLISHED", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.1",
		Args: bySelector, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.6.1"), diag.RFC(6376, "8")}}
	keyMismatch = &diag.Kind{ID: "DKIM-KEY-MISMATCH", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.1",
		Args: bySelector, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "6.1.3")}}
	multipleKeys = &diag.Kind{ID: "DKIM-MULTIPLE-KEYS", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"selector", "count"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.6.2.2")}}
	hashUnknown = &diag.Kind{ID: "DKIM-HASH-UNKNOWN", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"selector", "hashes"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.6.1"), diag.RFC(8301, "3.1")}}
	notForMail = &diag.Kind{ID: "DKIM-NOT-FOR-MAIL", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"selector", "services"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.6.1")}}
	selectorInvalid = &diag.Kind{ID: "DKIM-SELECTOR-INVALID", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.1",
		Args: bySelector, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.1"), diag.RFC(1035, "2.3.4")}}
	undetermined = &diag.Kind{ID: "DKIM-UNDETERMINED", Status: diag.Inconclusive, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"question", "reason"}, Key: []string{"question"}, Refs: []diag.Ref{diag.RFC(6376, "6.1.2")}}
	// Harmless: a key that works was found, or the fault itself, and what was not
	// learnt could only add to it. A selector that got no answer is then no more
	// than one that nobody thought of.
	searchIncomplete = &diag.Kind{ID: "DKIM-SEARCH-INCOMPLETE", Status: diag.Inconclusive, Harmless: true, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"question", "reason", "count"}, Key: []string{"question"}, Refs: []diag.Ref{diag.RFC(6376, "3.1")}}
	keyWeak = &diag.Kind{ID: "DKIM-KEY-WEAK", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.1",
		Args: []string{"selector", "bits"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(8301, "3.2"), facts.Gmail}}
	keyTooLong = &diag.Kind{ID: "DKIM-KEY-TOO-LONG", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.1",
		Args: []string{"selector", "bits"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(8301, "3.2")}}
	testingOnly = &diag.Kind{ID: "DKIM-TESTING", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: bySelector, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.6.1")}}
	sha1Only = &diag.Kind{ID: "DKIM-SHA1-ONLY", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: bySelector, Key: bySelector, Refs: []diag.Ref{diag.RFC(8301, "3.1"), diag.RFC(6376, "3.6.1")}}
	notStrict = &diag.Kind{ID: "DKIM-NOT-STRICT", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"selector", "problem"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.6.1"), diag.RFC(6376, "3.2")}}
	cnameDangling = &diag.Kind{ID: "DKIM-CNAME-DANGLING", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.1",
		Args: []string{"selector", "target"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "6.1.2"), diag.RFC(1034, "3.6.2")}}
	noSelector = &diag.Kind{ID: "DKIM-NO-SELECTOR-FOUND", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.1",
		Args: []string{"count", "base"}, Refs: []diag.Ref{diag.RFC(8020, "2"), diag.RFC(6376, "3.1"), facts.Gmail}}
	keyGone = &diag.Kind{ID: "DKIM-KEY-GONE-SINCE", Status: diag.Info, Since: "0.2",
		Args: []string{"selector", "problem"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.1"), diag.RFC(6376, "6.1.2")}}
	keyUnused = &diag.Kind{ID: "DKIM-KEY-UNUSED", Status: diag.Info, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"selector", "problem"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.6.1"), diag.RFC(6376, "3.1")}}
	notNeeded = &diag.Kind{ID: "DKIM-NOT-NEEDED", Status: diag.Info, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(7505, "4.2"), diag.RFC(6376, "3.6.1")}}
	wildcardKey = &diag.Kind{ID: "DKIM-WILDCARD-KEY", Status: diag.Info, Owner: diag.DNSAdmin, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(4592, "2.2.1"), diag.RFC(6376, "3.6.2.1")}}
	wildcardRevoked = &diag.Kind{ID: "DKIM-WILDCARD-REVOKED", Status: diag.Info, Owner: diag.MailAdmin, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(6376, "3.6.1"), diag.RFC(4592, "2.2.1")}}
	wildcardTXT = &diag.Kind{ID: "DKIM-WILDCARD-TXT", Status: diag.Info, Owner: diag.DNSAdmin, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(6376, "6.1.2"), diag.RFC(4592, "2.2.1")}}
	byProvider = &diag.Kind{ID: "DKIM-PROVIDER", Status: diag.Info, Since: "0.1",
		Args: []string{"selector", "provider", "target"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.6.2.1")}}
	ed25519Only = &diag.Kind{ID: "DKIM-ED25519-ONLY", Status: diag.Info, Owner: diag.MailAdmin, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(8463, "6"), diag.RFC(8301, "3.1")}}
	obsoleteTag = &diag.Kind{ID: "DKIM-OBSOLETE-TAG", Status: diag.Info, Owner: diag.DNSAdmin, Since: "0.1",
		Args: bySelector, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.6.1"), diag.RFC(4871, "3.6.1")}}
	skipped = &diag.Kind{ID: "DKIM-SKIPPED", Status: diag.Skip, Since: "0.1",
		Args: []string{"missing"}, Refs: []diag.Ref{diag.RFC(6376, "3.6.2.1")}}
	keyMatches = &diag.Kind{ID: "DKIM-KEY-MATCHES", Status: diag.Pass, Since: "0.1",
		Args: bySelector, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "6.1.3")}}
	ok = &diag.Kind{ID: "DKIM-OK", Status: diag.Pass, Since: "0.1",
		Args: []string{"selector", "type", "bits"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.6.1"), diag.RFC(8301, "3.2")}}
)

// Check is the dkim check.
var Check = &diag.Check{
	Name: "dkim",
	Docs: docs,
	Kinds: []*diag.Kind{keyMissing, targetMissing, notAKey, nameDoubled, nameMisplaced, keyRevoked, keySyntax, keyTooShort,
		lastKeyRemoved, privateKey, keyMismatch, multipleKeys, hashUnknown, notForMail, selectorInvalid, undetermined, searchIncomplete, keyRemoved, keyReplaced, keyWeak, keyTooLong, testingOnly,
		sha1Only, notStrict, cnameDangling, noSelector, keyGone, keyUnused, notNeeded, wildcardKey, wildcardRevoked,
		wildcardTXT, byProvider, ed25519Only, obsoleteTag, keyMatches, ok, skipped},
	Uses:         diag.Doors{DNS: true, Clock: true},
	Requires:     []diag.AnyFact{facts.DKIMKeys},
	Run:          run,
	Undetermined: undetermined,
	Skipped:      skipped,
}

// Data are the check's facts for machines.
type Data struct {
	Domain    string         `json:"domain"`
	Asked     int            `json:"asked"` // selectors asked for
	Selectors []SelectorData `json:"selectors"`
}

// SelectorData is one selector. Of guessed selectors only those with an answer
// are listed; "*" is what any selector gets.
type SelectorData struct {
	Selector string `json:"selector"`
	// Status is ok, missing, revoked, syntax, multiple, not-a-key, invalid,
	// undetermined; or what stops a readable key from verifying mail:
	// too-short, sha1-only, hash-unknown, not-for-mail.
	Status   string   `json:"status"`
	KeyType  string   `json:"key_type,omitempty"`
	Bits     int      `json:"bits,omitempty"`
	CNAME    string   `json:"cname,omitempty"`    // where CNAMEs lead
	Provider string   `json:"provider,omitempty"` // whose that is, where it is certain
	Flags    []string `json:"flags,omitempty"`    // t=
}

// run1 is one run of the check.
type run1 struct {
	*diag.Job
	*facts.DKIMSearch
	found []diag.Finding
}

func run(ctx context.Context, j *diag.Job) error {
	s, err := facts.DKIMKeys.Of(ctx, j.World, facts.DKIMAskOf(j.Target))
	if err != nil {
		return err
	}
	c := &run1{Job: j, DKIMSearch: s}
	if s.Named {
		for i := range s.Keys {
			c.judgeNamed(&s.Keys[i])
		}
	} else {
		c.judgeGuessed(ctx)
	}
	if u := s.Usable(); len(u) > 0 && len(s.Incomplete()) == 0 && !slices.ContainsFunc(u, func(r *dkim.Result) bool { return r.Key().Type != dkim.Ed25519 }) {
		// RFC 8463 §6: signers may sign with both; verifiers that do not know
		// Ed25519 see an unsigned message.
		c.report(ed25519Only, nil, nil)
	}
	if j.Before != nil {
		if err := c.change(ctx); err != nil {
			return err
		}
	}
	// Worst first; within a status in the order of the selectors.
	slices.SortStableFunc(c.found, func(a, b diag.Finding) int { return int(b.Kind.Status) - int(a.Kind.Status) })
	for _, f := range c.found {
		j.Report(f)
	}
	j.SetData(c.data())
	return nil
}

// report notes a finding about the domain; r, if not nil, is the selector that
// it is about, and its record the evidence.
func (c *run1) report(k *diag.Kind, r *dkim.Result, args diag.Args) *diag.Finding {
	f := diag.Finding{Kind: k, Subject: c.Domain, Args: diag.Args{}}
	for n, v := range args {
		f.Args[n] = v
	}
	if r != nil {
		if slices.Contains(k.Args, "selector") {
			f.Args["selector"] = r.Selector
		}
		if rr := r.RR(); rr != nil {
			f.Evidence = []diag.Evidence{facts.Evidence(rr, rr.Text(), 0, 0)}
			f.Owner = c.owner(rr.Name)
		}
	}
	c.found = append(c.found, f)
	return &c.found[len(c.found)-1]
}

// spot marks a part of the evidence.
func spot(f *diag.Finding, s dkim.Span) {
	if len(f.Evidence) > 0 {
		f.Evidence[0].Offset, f.Evidence[0].Length = s.Start, s.End-s.Start
	}
}

// owner is who can change a record: us, at or below the domain, and otherwise
// the provider to whom a CNAME leads.
func (c *run1) owner(name string) diag.Owner {
	if c.own(name) {
		return diag.Nobody // as the Kind says
	}
	return diag.Provider
}

func (c *run1) own(name string) bool {
	return dnsq.AtOrBelow(name, c.Domain) || dnsq.AtOrBelow(name, c.Target.Domain)
}

// judgeNamed judges a selector that was named: mail is signed with it, so it
// has to have a usable key.
func (c *run1) judgeNamed(k *facts.DKIMKey) {
	r := k.Result
	if m := facts.MailOf(c.Target); m != nil && !m.DNSThen(c.Now(), m.Clock) && r.Status != dkim.Invalid && r.Status != dkim.Undetermined && !r.Usable() {
		// The mail that names the selector is old: its key may have been replaced
		// since, as it should be.
		c.report(keyGone, r, diag.Args{"problem": c.problem(r)})
		return
	}
	switch r.Status {
	case dkim.Invalid:
		// RFC 6376 §3.1: selectors are labels, for they become a part of a name.
		c.report(selectorInvalid, r, nil)
	case dkim.Undetermined:
		// RFC 6376 §6.1.2: no answer is a reason to try later, not a missing key.
		c.undetermined(r.Err)
	case dkim.Missing, dkim.NotKey:
		switch {
		case len(k.Elsewhere) > 0:
			for i := range k.Elsewhere {
				c.misplaced(&k.Elsewhere[i])
			}
			c.incomplete(k.Unlooked)
		case len(k.Unlooked) > 0:
			// No key here; but whether it has to be published or only moved, and
			// so who has to do what, was not learnt.
			c.undetermined(k.Unlooked...)
		case r.Status == dkim.NotKey:
			f := c.report(notAKey, r, nil)
			if len(r.Keys) > 1 {
				f.Evidence = allRecords(r)
			}
		case r.Target() != "":
			f := c.report(targetMissing, r, diag.Args{"target": r.Target()})
			if c.own(r.Target()) {
				f.Owner = diag.DNSAdmin
			}
		default:
			c.report(keyMissing, r, nil)
		}
	case dkim.Revoked:
		// RFC 6376 §6.1.2: a revoked key is a permanent failure.
		f := c.report(keyRevoked, r, nil)
		spot(f, r.Key().Tag("p").Span)
	default:
		c.judgeRecord(r)
	}
	c.provider(r)
}

// judgeGuessed judges what the search found. What depends on there being no
// other key is said only if every question was answered: fewer answers must
// not prove what more would refute.
func (c *run1) judgeGuessed(ctx context.Context) {
	usable := len(c.Usable()) > 0
	missing := c.Incomplete()
	sure := usable || len(missing) == 0
	if c.Wildcard != nil && !c.WildUnsure {
		c.judgeWildcard(sure)
	}
	attempts := 0 // keys with a fault that was reported: DKIM is set up, and broken
	for i := range c.Keys {
		k := &c.Keys[i]
		r := k.Result
		if k.Wild || r.Status == dkim.Undetermined || r.Status == dkim.Invalid {
			continue
		}
		switch {
		case r.Status == dkim.Missing && r.Target() == "":
			continue
		case r.Status == dkim.Missing:
			// With a key that works beside it, it is one kept for the next change
			// of keys (Microsoft 365 has two and uses one).
			if !usable && sure {
				c.report(cnameDangling, r, diag.Args{"target": r.Target()})
				attempts++
			}
		case r.Status == dkim.Revoked, r.Status == dkim.NotKey, usable && c.unusable(r):
			// Whether anything is signed with it, nobody knows but its owner. It may
			// be a record that any selector has, which is nothing to be told of each.
			if c.ControlUnknown != nil {
				continue
			}
			c.report(keyUnused, r, diag.Args{"problem": c.problem(r)})
		case sure || !c.unusable(r):
			c.judgeRecord(r)
			attempts++
		}
		c.provider(r)
	}
	if sure {
		for i := range c.Misplaced {
			c.misplaced(&c.Misplaced[i])
		}
	}
	switch {
	case c.WildUnsure && !c.sound():
		c.unanswered(ctx, missing)
	case usable:
		// RFC 6376 §3.1: a domain has as many selectors as it likes; one that
		// works is enough to say so.
		c.incomplete(missing)
	case len(missing) > 0:
		c.unanswered(ctx, missing)
	case c.neverSends() && attempts == 0:
		c.report(notNeeded, nil, nil)
	case attempts > 0, len(c.Misplaced) > 0:
	case c.Wildcard != nil && c.Wildcard.Status != dkim.NotKey: // said by judgeWildcard
	case facts.MailOf(c.Target) != nil:
		// A mail without a signature: that is said by the check signature, and that
		// no selector could be guessed adds nothing to it.
		c.report(skipped, nil, diag.Args{"missing": "unsigned"})
	case c.Absent():
		// RFC 8020 §2: with no name _domainkey there is nothing below it.
		c.report(noSelector, nil, diag.Args{"count": len(c.Keys), "base": "absent"})
	default:
		c.report(noSelector, nil, diag.Args{"count": len(c.Keys), "base": "open"})
	}
}

// sound reports whether a selector with a record of its own has a usable key.
func (c *run1) sound() bool {
	return slices.ContainsFunc(c.Keys, func(k facts.DKIMKey) bool { return !k.Wild && k.Usable() })
}

// unusable reports whether a guessed selector's record cannot be used in a way
// that is of no concern beside a key that can: most likely nothing is signed
// with it, and mail that is signed with the other one is not refused for it. A
// published private key is a concern whatever else there is.
func (c *run1) unusable(r *dkim.Result) bool {
	switch r.Status {
	case dkim.Syntax:
		return r.Key().Fault().Code != dkim.ErrPrivateKey
	case dkim.Multiple:
		return true
	}
	return !r.Key().Usable()
}

// neverSends reports whether the domain's owner declares that it sends no mail;
// or its records do, and nobody (no address was given) says otherwise.
func (c *run1) neverSends() bool {
	return c.Target.NeverSends() || c.NeverSends && len(c.Target.IPs) == 0
}

// problem is a code for why a record is not usable.
func (c *run1) problem(r *dkim.Result) string {
	if r.Status == dkim.Syntax {
		return r.Key().Fault().Code
	}
	return status(r)
}

// status is the status of a selector in the data.
func status(r *dkim.Result) string {
	k := r.Key()
	if r.Status != dkim.OK || k.Usable() {
		return string(r.Status)
	}
	switch {
	case k.Type == dkim.RSA && k.Bits < dkim.MinRSA:
		return "too-short"
	case !k.ForMail():
		return "not-for-mail"
	case k.SHA1Only():
		return "sha1-only"
	}
	return "hash-unknown"
}

// judgeWildcard judges what any selector gets. sure: that there is no other
// usable key, if there is none, was learnt.
func (c *run1) judgeWildcard(sure bool) {
	w := c.Wildcard
	switch w.Status {
	case dkim.NotKey:
		// Such as an SPF record at *.example.com: receivers that look for any
		// selector get it.
		f := c.report(wildcardTXT, nil, nil)
		f.Evidence = allRecords(w)
	case dkim.Revoked:
		// A revoked key for every selector: the domain says that no signature
		// of it is genuine, which is what parked domains should say.
		if sure && !c.neverSends() && len(c.Usable()) == 0 {
			f := c.report(wildcardRevoked, nil, nil)
			f.Evidence = allRecords(w)
		}
	default:
		f := c.report(wildcardKey, nil, nil)
		f.Evidence = allRecords(w)
		c.judgeRecord(w)
	}
}

// judgeRecord judges the record or records at a selector that was looked up.
func (c *run1) judgeRecord(r *dkim.Result) {
	switch r.Status {
	case dkim.Multiple:
		// RFC 6376 §3.6.2.2: "if there are multiple records in an RRset, the
		// results are undefined".
		f := c.report(multipleKeys, r, diag.Args{"count": len(r.Answer.RRs)})
		f.Evidence = allRecords(r)
		f.Owner = c.owner(r.Answer.RRs[0].Name)
		f.Fixes = c.fixMultiple(r)
		return
	case dkim.Syntax:
		e := r.Key().Fault()
		if e.Code == dkim.ErrPrivateKey {
			// No evidence: the report is not to spread the key.
			f := c.report(privateKey, r, nil)
			f.Evidence = nil
			return
		}
		// RFC 6376 §6.1.2: a record that breaks the grammar is ignored,
		// and the signature fails for good.
		f := c.report(keySyntax, r, diag.Args{"problem": e.Code})
		spot(f, e.Span)
		f.Fixes = c.fixText(r, repair)
		return
	}
	k := r.Key()
	before := len(c.found)
	switch {
	// RFC 8301 §3.2: "Verifiers MUST NOT consider signatures using RSA keys of
	// less than 1024 bits as valid signatures."
	case k.Type == dkim.RSA && k.Bits < dkim.MinRSA:
		spot(c.report(keyTooShort, r, diag.Args{"bits": k.Bits}), k.Tag("p").ValueSpan)
	// RFC 8301 §3.2: "Signers MUST use RSA keys of at least 1024 bits … and
	// SHOULD use RSA keys of at least 2048 bits."
	case k.Type == dkim.RSA && k.Bits < dkim.ShouldRSA:
		spot(c.report(keyWeak, r, diag.Args{"bits": k.Bits}), k.Tag("p").ValueSpan)
	// RFC 8301 §3.2: verifiers must be able to use 1024 to 4096 bits.
	case k.Type == dkim.RSA && k.Bits > dkim.MaxSureRSA:
		spot(c.report(keyTooLong, r, diag.Args{"bits": k.Bits}), k.Tag("p").ValueSpan)
	}
	// RFC 6376 §3.6.1, s=: a verifier of mail ignores keys of other services.
	if !k.ForMail() {
		f := c.report(notForMail, r, diag.Args{"services": k.Service})
		spot(f, k.Tag("s").Span)
		if c.Named { // somebody signs mail with it; of a guessed one nobody says so
			f.Fixes = c.fixText(r, forMail)
		}
	}
	switch {
	// RFC 8301 §3.1: rsa-sha1 must not be used to verify.
	case k.SHA1Only():
		f := c.report(sha1Only, r, nil)
		spot(f, k.Tag("h").Span)
		f.Fixes = c.fixText(r, withSHA256)
	// RFC 6376 §3.6.1: unknown algorithms are ignored, and then none is left.
	case !k.AllowsSHA256():
		f := c.report(hashUnknown, r, diag.Args{"hashes": k.Hashes})
		spot(f, k.Tag("h").Span)
		f.Fixes = c.fixText(r, withSHA256)
	}
	// RFC 6376 §3.6.1, t=y: "Verifiers MUST NOT treat messages from Signers in
	// testing mode differently from unsigned email, even should the signature
	// fail to verify."
	if k.Testing() {
		f := c.report(testingOnly, r, nil)
		spot(f, k.Tag("t").Span)
		f.Fixes = c.fixText(r, withoutTesting)
	}
	if len(k.Errors) > 0 { // tolerated ones alone
		f := c.report(notStrict, r, diag.Args{"problem": k.Errors[0].Code})
		spot(f, k.Errors[0].Span)
		f.Fixes = c.fixText(r, repair)
	}
	sound := len(c.found) == before
	// RFC 6376 knows no g=; RFC 4871 did, and an empty one matched nobody.
	if t := k.Tag("g"); t != nil && t.Value != "*" {
		f := c.report(obsoleteTag, r, nil)
		spot(f, t.Span)
		f.Fixes = c.fixText(r, withoutTag("g"))
	}
	if c.Named && k.Usable() && c.Target.ProveKey != nil {
		// A message signed with the private key does or does not verify with the
		// published one, as at any receiver.
		if c.Target.ProveKey(k.Text) == nil {
			c.report(keyMatches, r, nil)
		} else {
			c.report(keyMismatch, r, nil)
			return
		}
	}
	if sound && k.Usable() {
		c.report(ok, r, diag.Args{"type": string(k.Type), "bits": k.Bits})
	}
}

func allRecords(r *dkim.Result) []diag.Evidence {
	var out []diag.Evidence
	for i := range r.Keys {
		rr := &r.Answer.RRs[i]
		out = append(out, facts.Evidence(rr, rr.Text(), 0, 0))
	}
	return out
}

// misplaced reports a key where no verifier looks.
func (c *run1) misplaced(m *facts.Misplaced) {
	kind := nameMisplaced
	if m.Doubled {
		kind = nameDoubled
	}
	f := c.report(kind, m.Result, diag.Args{"name": m.Name})
	f.Owner = diag.Nobody
	f.Fixes = c.fixName(m)
}

// provider says whose key a CNAME leads to, where that is certain.
func (c *run1) provider(r *dkim.Result) {
	if r.Target() == "" || !r.Usable() {
		return
	}
	if p, ok := provider.ByTarget(r.Target()); ok && p.Shown() {
		f := c.report(byProvider, r, diag.Args{"provider": p.Provider, "target": r.Target()})
		f.Owner, f.Evidence = diag.Nobody, nil
	}
}

func (c *run1) undetermined(es ...*dnsq.Error) {
	f := c.report(undetermined, nil, diag.Args{"question": es[0].Question.String(), "reason": string(es[0].Reason)})
	f.Unknown = es
}

// incomplete says that there may be more than was found.
func (c *run1) incomplete(es []*dnsq.Error) {
	if len(es) == 0 {
		return
	}
	f := c.report(searchIncomplete, nil, diag.Args{"question": es[0].Question.String(), "reason": string(es[0].Reason), "count": len(es)})
	f.Unknown = es
}

// unanswered reports questions of the search without an answer, in one finding.
// They were asked as if each did not matter; now they do, so they are asked for
// the record: the cache has their errors.
func (c *run1) unanswered(ctx context.Context, es []*dnsq.Error) {
	var wg sync.WaitGroup
	for _, e := range es {
		wg.Go(func() { _, _ = c.Ask(ctx, e.Question) })
	}
	wg.Wait()
	c.undetermined(es...)
}

func (c *run1) data() Data {
	d := Data{Domain: c.Domain, Asked: len(c.Keys), Selectors: []SelectorData{}}
	if c.Wildcard != nil {
		d.Selectors = append(d.Selectors, selectorData(c.Wildcard))
	}
	for i := range c.Keys {
		k := &c.Keys[i]
		if !c.Named && (k.Wild || k.Status == dkim.Missing && k.Target() == "") {
			continue
		}
		d.Selectors = append(d.Selectors, selectorData(k.Result))
	}
	return d
}

func selectorData(r *dkim.Result) SelectorData {
	d := SelectorData{Selector: r.Selector, Status: status(r), CNAME: r.Target()}
	if p, ok := provider.ByTarget(d.CNAME); ok && p.Shown() {
		d.Provider = p.Provider
	}
	if k := r.Key(); k != nil && k.Public != nil {
		d.KeyType, d.Bits, d.Flags = string(k.Type), k.Bits, k.Flags
	}
	return d
}
