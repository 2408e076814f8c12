// Package spf checks the SPF record of the Return-Path's domain (RFC 7208):
// whether it is sound, what it says about each sending address, and what it
// costs receivers in the worst case.
//
// It asks two things of package pkg/spf and sets them side by side: the result
// of check_host for each address, and the analysis of the whole tree as if
// nothing matched. A fault that this address does not meet, because it matches
// early, breaks mail for the next one; so faults come from the analysis, and
// the results only add what depends on the sender.
package spf

import (
	"context"
	"embed"
	"net/netip"
	"slices"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/spf"
)

//go:embed doc.*.md
var docs embed.FS

// What the check can find.
var (
	missing = &diag.Kind{ID: "SPF-MISSING", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(7208, "4.5"), diag.RFC(7208, "3"), facts.Gmail}}
	multiple = &diag.Kind{ID: "SPF-MULTIPLE", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"count"}, Refs: []diag.Ref{diag.RFC(7208, "3.2"), diag.RFC(7208, "4.5")}}
	syntax = &diag.Kind{ID: "SPF-SYNTAX", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"text", "problem"}, Refs: []diag.Ref{diag.RFC(7208, "4.6"), diag.RFC(7208, "12")}}
	tooManyLookups = &diag.Kind{ID: "SPF-TOO-MANY-LOOKUPS", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"count"}, Refs: []diag.Ref{diag.RFC(7208, "4.6.4")}}
	tooManyVoids = &diag.Kind{ID: "SPF-TOO-MANY-VOID-LOOKUPS", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"count", "terms"}, Refs: []diag.Ref{diag.RFC(7208, "4.6.4")}}
	tooManyMX = &diag.Kind{ID: "SPF-TOO-MANY-MX", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"term", "count"}, Key: []string{"term"}, Refs: []diag.Ref{diag.RFC(7208, "4.6.4")}}
	includeWithoutRecord = &diag.Kind{ID: "SPF-INCLUDE-WITHOUT-RECORD", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"target"}, Key: []string{"target"}, Refs: []diag.Ref{diag.RFC(7208, "5.2"), diag.RFC(7208, "6.1")}}
	notAName = &diag.Kind{ID: "SPF-NOT-A-NAME", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"term", "target"}, Key: []string{"term"}, Refs: []diag.Ref{diag.RFC(7208, "4.8"), diag.RFC(7208, "4.3")}}
	loop = &diag.Kind{ID: "SPF-LOOP", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"path"}, Refs: []diag.Ref{diag.RFC(7208, "4.6.4"), diag.RFC(7208, "5.2")}}
	passAll = &diag.Kind{ID: "SPF-PASS-ALL", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"text"}, Refs: []diag.Ref{diag.RFC(7208, "5.1"), diag.RFC(7208, "11.5.1")}}
	notAuthorized = &diag.Kind{ID: "SPF-IP-NOT-AUTHORIZED", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"ip", "result"}, Key: []string{"ip"}, Refs: []diag.Ref{diag.RFC(7208, "2.6.4"), diag.RFC(7208, "2.6.5"), facts.Gmail}}
	domainInvalid = &diag.Kind{ID: "SPF-DOMAIN-INVALID", Status: diag.Fail, Owner: diag.Developer, Since: "0.1",
		Args: []string{"identity"}, Refs: []diag.Ref{diag.RFC(7208, "4.3")}}
	undetermined = &diag.Kind{ID: "SPF-UNDETERMINED", Status: diag.Inconclusive, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"question", "reason"}, Key: []string{"question"}, Refs: []diag.Ref{diag.RFC(7208, "2.6.6"), diag.RFC(7208, "4.4")}}
	noAll = &diag.Kind{ID: "SPF-NO-ALL", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(7208, "4.7"), diag.RFC(7208, "5.1")}}
	ipNeutral = &diag.Kind{ID: "SPF-IP-NEUTRAL", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"ip", "term"}, Key: []string{"ip"}, Refs: []diag.Ref{diag.RFC(7208, "2.6.2")}}
	ptrMechanism = &diag.Kind{ID: "SPF-PTR-MECHANISM", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(7208, "5.5")}}
	nearLimit = &diag.Kind{ID: "SPF-NEAR-LOOKUP-LIMIT", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"count"}, Refs: []diag.Ref{diag.RFC(7208, "4.6.4")}}
	oversize = &diag.Kind{ID: "SPF-OVERSIZE-ANSWER", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"bytes"}, Refs: []diag.Ref{diag.RFC(7208, "3.4"), diag.RFC(9715, "3")}}
	duplicate = &diag.Kind{ID: "SPF-DUPLICATE-TERM", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"terms"}, Refs: []diag.Ref{diag.RFC(7208, "4.6.2")}}
	afterAll = &diag.Kind{ID: "SPF-TERM-AFTER-ALL", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"terms"}, Refs: []diag.Ref{diag.RFC(7208, "5.1"), diag.RFC(7208, "6.1")}}
	ignored = &diag.Kind{ID: "SPF-IGNORED-TERM", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"term", "instead"}, Key: []string{"term"}, Refs: []diag.Ref{diag.RFC(7208, "6")}}
	lookalike = &diag.Kind{ID: "SPF-LOOKALIKE", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"text"}, Key: []string{"text"}, Refs: []diag.Ref{diag.RFC(7208, "4.5"), diag.RFC(7208, "12")}}
	heloNotAuthorized = &diag.Kind{ID: "SPF-HELO-NOT-AUTHORIZED", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"ip", "result"}, Key: []string{"ip"}, Refs: []diag.Ref{diag.RFC(7208, "2.3")}}
	heloBroken = &diag.Kind{ID: "SPF-HELO-BROKEN", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"code"}, Refs: []diag.Ref{diag.RFC(7208, "2.3"), diag.RFC(7208, "2.6.7")}}
	heloMissing = &diag.Kind{ID: "SPF-HELO-MISSING", Status: diag.Info, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(7208, "2.3"), diag.RFC(7208, "10.1.3")}}
	expUnusable = &diag.Kind{ID: "SPF-EXP-UNUSABLE", Status: diag.Info, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"target"}, Refs: []diag.Ref{diag.RFC(7208, "6.2")}}
	obsoleteType = &diag.Kind{ID: "SPF-OBSOLETE-TYPE", Status: diag.Info, Owner: diag.DNSAdmin, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(7208, "3.1")}}
	atCNAME = &diag.Kind{ID: "SPF-AT-CNAME", Status: diag.Info, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"target"}, Refs: []diag.Ref{diag.RFC(1034, "3.6.2"), diag.RFC(7208, "3.1")}}
	ok = &diag.Kind{ID: "SPF-OK", Status: diag.Pass, Since: "0.1",
		Args: []string{"ip", "term"}, Key: []string{"ip"}, Refs: []diag.Ref{diag.RFC(7208, "2.6.3")}}
	recordOK = &diag.Kind{ID: "SPF-RECORD-OK", Status: diag.Pass, Since: "0.1",
		Args: []string{"count"}, Refs: []diag.Ref{diag.RFC(7208, "4.6")}}
	heloOK = &diag.Kind{ID: "SPF-HELO-OK", Status: diag.Pass, Since: "0.1",
		Args: []string{"ip"}, Key: []string{"ip"}, Refs: []diag.Ref{diag.RFC(7208, "2.3")}}
	skipped = &diag.Kind{ID: "SPF-SKIPPED", Status: diag.Skip, Since: "0.1",
		Args: []string{"missing"}, Refs: []diag.Ref{diag.RFC(7208, "4.1")}}
)

// Check is the spf check.
var Check = &diag.Check{
	Name: "spf",
	Docs: docs,
	Kinds: []*diag.Kind{missing, multiple, syntax, tooManyLookups, tooManyVoids, tooManyMX,
		includeWithoutRecord, notAName, loop, passAll, notAuthorized, domainInvalid, undetermined,
		noAll, senderRemoved, ipNeutral, ptrMechanism, nearLimit, oversize, duplicate, afterAll, ignored, lookalike, heloNotAuthorized, heloBroken,
		heloMissing, expUnusable, obsoleteType, atCNAME, ok, recordOK, heloOK, skipped},
	Needs:        diag.Needs{IP: true},
	Uses:         diag.Doors{DNS: true, Clock: true},
	Requires:     []diag.AnyFact{facts.SPFTree, facts.SPFResult, facts.ObsoleteSPF},
	Run:          run,
	Undetermined: undetermined,
	Skipped:      skipped,
}

// near is from how many lookups on the budget is called nearly used up: one
// more include, which is at least one lookup, and a provider's next change.
const near = 9

// maxUDP is the largest DNS answer that resolvers ask for over UDP today
// (RFC 9715 §3 recommends 1400 at most; resolvers use 1232, DNS Flag Day 2020).
const maxUDP = 1232

func run(ctx context.Context, j *diag.Job) error {
	c := &run1{Job: j, ctx: ctx, nodes: map[string]*spf.Node{}, reported: map[string]bool{}}
	t := j.Target
	c.domain, c.identity = t.MailFromDomain(), "mailfrom"
	if t.NullSender {
		// RFC 7208 §2.4: without a Return-Path the HELO name is judged.
		c.domain, c.identity = t.Helo, "helo"
		if t.Helo == "" {
			j.Report(diag.Finding{Kind: skipped, Subject: t.Domain, Args: diag.Args{"missing": "helo"}})
			j.SetData(Data{Identity: "helo"})
			return nil
		}
	}
	if facts.MailOf(t) != nil && t.MailFrom == "" && !t.NullSender {
		// A mail that does not show its Return-Path: one that was never delivered,
		// or was saved without it.
		j.Report(diag.Finding{Kind: skipped, Subject: t.Domain, Args: diag.Args{"missing": "return-path"}})
		j.SetData(Data{Identity: c.identity})
		return nil
	}
	// All at once; then each is waited for.
	facts.SPFTree.Start(j.World, spfName(c.domain))
	for _, ip := range t.IPs {
		facts.SPFResult.Start(j.World, facts.SPFAsk{IP: ip, Helo: t.Helo, MailFrom: t.MailFrom})
		if c.heloApart() {
			facts.SPFResult.Start(j.World, facts.SPFAsk{IP: ip, Helo: t.Helo})
		}
	}
	isName := false
	if name, err := dnsq.ParseName(c.domain); err == nil && strings.Contains(name, ".") {
		facts.ObsoleteSPF.Start(j.World, name)
		isName = true
	}
	var err error
	if c.tree, err = facts.SPFTree.Of(ctx, j.World, spfName(c.domain)); err != nil {
		return err
	}
	c.verdicts = make([]*spf.Verdict, len(t.IPs))
	c.helos = make([]*spf.Verdict, len(t.IPs))
	for i, ip := range t.IPs {
		if c.verdicts[i], err = facts.SPFResult.Of(ctx, j.World, facts.SPFAsk{IP: ip, Helo: t.Helo, MailFrom: t.MailFrom}); err != nil {
			return err
		}
		if !c.heloApart() {
			continue
		}
		if c.helos[i], err = facts.SPFResult.Of(ctx, j.World, facts.SPFAsk{IP: ip, Helo: t.Helo}); err != nil {
			return err
		}
	}
	if isName {
		if c.obsolete, err = facts.ObsoleteSPF.Of(ctx, j.World, spfName(c.domain)); err != nil {
			return err
		}
	}
	c.judge()
	if j.Before != nil {
		if err := c.change(); err != nil {
			return err
		}
	}
	j.SetData(c.data())
	return nil
}

// run1 is one run of the check.
type run1 struct {
	*diag.Job
	ctx              context.Context
	domain, identity string
	tree             *spf.Analysis
	verdicts, helos  []*spf.Verdict // by IP; helos only if heloApart
	obsolete         *dnsq.Answer   // SPF records of type 99; nil if not learnt
	nodes            map[string]*spf.Node
	reported         map[string]bool
	faulty           bool // something at or above warn was reported
}

// spfName is a domain as a key for facts: canonical if it is a name.
func spfName(domain string) string {
	if name, err := dnsq.ParseName(domain); err == nil {
		return name
	}
	return domain
}

// heloApart reports whether HELO is an identity of its own to judge.
func (c *run1) heloApart() bool {
	h := c.Target.Helo
	if h == "" || c.Target.NullSender || spfName(h) == spfName(c.domain) {
		return false
	}
	name, err := dnsq.ParseName(h)
	return err == nil && strings.Contains(name, ".")
}

// report reports a finding, each (kind, subject, key) once: the analysis and
// several results may meet the same fault.
func (c *run1) report(f diag.Finding) {
	if f.Args == nil {
		f.Args = diag.Args{}
	}
	fp := f.Fingerprint()
	if c.reported[fp] {
		return
	}
	c.reported[fp] = true
	if f.Kind.Status >= diag.Warn {
		c.faulty = true
	}
	c.Report(f)
}

// judge turns what was learnt into findings, worst first.
func (c *run1) judge() {
	root := c.tree.Root
	if root == nil {
		c.report(diag.Finding{Kind: domainInvalid, Subject: c.domain, Args: diag.Args{"identity": c.identity}})
		return
	}
	c.index(root)
	for _, v := range c.verdicts {
		c.index(v.Root)
	}
	// What is wrong anywhere in the tree, whoever sends.
	for _, p := range c.tree.Problems {
		c.problem(p)
	}
	// What only a particular sender meets: terms with macros, for instance.
	for _, v := range c.verdicts {
		if v.Problem != nil && !v.Unsure {
			c.problem(v.Problem)
		}
	}
	c.unknown()
	c.lookalikes()
	if root.Record != nil {
		c.lint()
		for i, v := range c.verdicts {
			if !v.Unsure {
				c.result(c.Target.IPs[i], v)
			}
		}
		if len(c.Target.IPs) == 0 {
			c.report(diag.Finding{Kind: skipped, Subject: root.Domain, Args: diag.Args{"missing": "ip"}})
		}
		if !c.faulty {
			c.report(diag.Finding{Kind: recordOK, Subject: root.Domain, Args: diag.Args{"count": c.tree.Lookups},
				Evidence: c.evidence(root)})
		}
	}
	for i, v := range c.helos {
		if v != nil {
			c.helo(c.Target.IPs[i], v)
		}
	}
	if root.Answer != nil && len(root.Answer.Chain) > 0 {
		c.report(diag.Finding{Kind: atCNAME, Subject: root.Domain, Args: diag.Args{"target": root.Answer.Owner()}})
	}
	if c.obsolete != nil && c.obsolete.Outcome == dnsq.Found {
		f := diag.Finding{Kind: obsoleteType, Subject: root.Domain, Fixes: []diag.Fix{{Owner: diag.DNSAdmin}}}
		for i := range c.obsolete.RRs {
			rr := &c.obsolete.RRs[i]
			f.Evidence = append(f.Evidence, facts.Evidence(rr, rr.Text(), 0, 0))
			f.Fixes[0].Edits = append(f.Fixes[0].Edits, diag.Edit{Name: rr.Name, Type: "SPF", Old: rr.Text()})
		}
		c.report(f)
	}
}

// problem reports what makes the record not work. A problem that is no fault
// of a record (no answer, no such domain) is dealt with elsewhere.
func (c *run1) problem(p *spf.Problem) {
	root := c.tree.Root.Domain
	f := diag.Finding{Subject: p.Domain, Owner: c.owner(p.Domain)}
	switch p.Code {
	case spf.ProblemNoRecord:
		f.Kind, f.Fixes = missing, c.fixMissing()
	case spf.ProblemMultiple:
		f.Kind, f.Args = multiple, diag.Args{"count": len(p.Records)}
		f.Evidence, f.Fixes = c.allRecords(p.Domain), c.fixMultiple(p)
	case spf.ProblemSyntax:
		e := p.Record.Errors[0]
		f.Kind, f.Args = syntax, diag.Args{"text": e.Text, "problem": e.Code}
		if e.Text == "" { // something is missing: show the term that lacks it
			f.Args["text"] = p.Record.Terms[e.Term].Text
		}
		var at []spf.Span
		for _, e := range p.Record.Errors {
			at = append(at, e.Span)
		}
		f.Evidence = c.spots(p.Domain, p.Record, at)
		f.Fixes = c.fixSyntax(p)
	case spf.ProblemLookups:
		// A circle ends in too many lookups for every sender that goes round it:
		// SPF-LOOP says why, and the number would be an accident.
		if c.tree.Lookups <= spf.MaxLookups && slices.ContainsFunc(c.tree.Problems, func(p *spf.Problem) bool { return p.Code == spf.ProblemLoop }) {
			return
		}
		f.Kind, f.Subject, f.Owner = tooManyLookups, root, diag.Nobody
		f.Args = diag.Args{"count": max(c.tree.Lookups, p.Count, spf.MaxLookups+1)}
		f.Evidence, f.Fixes = c.evidence(c.tree.Root), c.fixLookups(spf.MaxLookups, true)
	case spf.ProblemVoids:
		terms := c.voidTerms(p)
		if terms == nil {
			return
		}
		f.Kind, f.Subject, f.Owner = tooManyVoids, root, diag.Nobody
		f.Args = diag.Args{"count": len(terms), "terms": terms}
		f.Evidence, f.Fixes = c.spotTerm(p), c.fixDead(p.Domain)
	case spf.ProblemMX:
		f.Kind, f.Args = tooManyMX, diag.Args{"term": p.Term.Text, "count": p.Count}
		f.Evidence, f.Fixes = c.spotTerm(p), c.fixTerm(p)
	case spf.ProblemIncludeNone, spf.ProblemRedirectNone:
		f.Kind, f.Args = includeWithoutRecord, diag.Args{"target": p.Target}
		f.Evidence, f.Fixes = c.spotTerm(p), c.fixDead(p.Domain)
	case spf.ProblemBadTarget:
		f.Kind, f.Args = notAName, diag.Args{"term": p.Term.Text, "target": p.Target}
		f.Evidence, f.Fixes = c.spotTerm(p), c.fixDead(p.Domain)
	case spf.ProblemLoop:
		f.Kind, f.Args = loop, diag.Args{"path": p.Loop}
		f.Evidence, f.Fixes = c.spotTerm(p), c.fixLoop(p)
	case spf.ProblemExpUnusable:
		f.Kind, f.Args = expUnusable, diag.Args{"target": p.Target}
		f.Evidence = c.spotTerm(p)
	case spf.ProblemDNS:
		c.undetermined(p.Err)
		return
	case spf.ProblemTooBig:
		// Over ten lookups as a rule, which says it better. If not, the tree is
		// too wide for us to see the end of: no verdict.
		if c.tree.Lookups <= spf.MaxLookups {
			c.report(diag.Finding{Kind: undetermined, Subject: root,
				Args: diag.Args{"question": dnsq.Q(p.Target, dnsq.TypeTXT).String(), "reason": string(dnsq.OverDue)}})
		}
		return
	default: // invalid-domain, invalid-ip: there is no record to speak of
		return
	}
	c.report(f)
}

func (c *run1) undetermined(e *dnsq.Error) {
	c.report(diag.Finding{Kind: undetermined, Subject: c.tree.Root.Domain,
		Args: diag.Args{"question": e.Question.String(), "reason": string(e.Reason)}, Unknown: []*dnsq.Error{e}})
}

// unknown reports the unanswered questions that the verdict on the record
// needs: records (TXT), and mail hosts (MX), of which there may be too many.
// Addresses matter only where they could break the void limit, or could open
// the record to almost anybody; whether one of them is that of the sender is
// in the sender's own result.
func (c *run1) unknown() {
	errs := map[dnsq.Question]*dnsq.Error{}
	for _, e := range c.tree.Unknown {
		errs[e.Question] = e
	}
	needed := map[dnsq.Question]bool{}
	var void4, void6 []dnsq.Question // one for each term that may be void: a term that stands twice is void twice
	records := map[string]bool{}     // names of records that could not be fetched
	var visit func(n *spf.Node, pass bool)
	visit = func(n *spf.Node, pass bool) {
		if n.Problem != nil && n.Problem.Code == spf.ProblemDNS {
			records[n.Domain] = true
		}
		for _, s := range n.Steps {
			t := s.Term
			a, aaaa := dnsq.Question{Name: s.Target, Type: dnsq.TypeA}, dnsq.Question{Name: s.Target, Type: dnsq.TypeAAAA}
			pass := pass && (t.Modifier || t.Qualifier == spf.Plus)
			switch t.Name {
			case "include", "redirect":
				if s.Child != nil {
					visit(s.Child, pass)
				}
			case "exists":
				if errs[a] != nil {
					void4, void6 = append(void4, a), append(void6, a)
					needed[a] = needed[a] || pass // the same name for everybody: if it exists, everybody passes
				}
			case "a":
				if errs[a] != nil {
					void4 = append(void4, a)
				}
				if errs[aaaa] != nil {
					void6 = append(void6, aaaa)
				}
			}
			if pass && (t.Name == "a" || t.Name == "mx") {
				for _, h := range append([]string{s.Target}, s.Hosts...) {
					if t.CIDR4 >= 0 && t.CIDR4 < vast4 {
						needed[dnsq.Question{Name: h, Type: dnsq.TypeA}] = true
					}
					if t.CIDR6 >= 0 && t.CIDR6 < vast6 {
						needed[dnsq.Question{Name: h, Type: dnsq.TypeAAAA}] = true
					}
				}
			}
		}
	}
	visit(c.tree.Root, true)
	if v := c.tree.Voids4; v <= spf.MaxVoids && v+len(void4) > spf.MaxVoids {
		for _, q := range void4 {
			needed[q] = true
		}
	}
	v6 := c.tree.Voids6
	if c.sendsIPv6() && v6 <= spf.MaxVoids && v6+len(void6) > spf.MaxVoids {
		for _, q := range void6 {
			needed[q] = true
		}
	}
	if !c.sendsIPv6() && v6+len(void6) > spf.MaxVoids {
		// Too many for IPv6 senders, and whether there are any is not known while
		// an address is not.
		for q := range errs {
			needed[q] = needed[q] || q.Type == dnsq.TypeAAAA
		}
	}
	for _, e := range c.tree.Unknown {
		switch e.Type {
		case dnsq.TypeA, dnsq.TypeAAAA:
			if !needed[e.Question] {
				continue
			}
		case dnsq.TypeTXT:
			// The explanation of exp= changes no result (RFC 7208 §6.2).
			if !records[e.Name] {
				continue
			}
		}
		c.undetermined(e)
	}
	// RFC 7208 §5.5 and §7.3 make no match of an error in ptr and %{p}. A
	// receiver whose question is answered comes to another result.
	for _, v := range c.verdicts {
		c.unsure(c.tree.Root.Domain, v)
	}
}

// vast4 and vast6 are prefix lengths below which one unanswered address could
// be what opens the record to almost anybody. No sender writes them.
const (
	vast4 = 16
	vast6 = 32
)

// unsure says which questions a result would need that is not sure.
func (c *run1) unsure(subject string, v *spf.Verdict) bool {
	if !v.Unsure {
		return false
	}
	for _, e := range v.Ignored {
		c.report(diag.Finding{Kind: undetermined, Subject: subject,
			Args: diag.Args{"question": e.Question.String(), "reason": string(e.Reason)}, Unknown: []*dnsq.Error{e}})
	}
	return true
}

// sendsIPv6 reports whether an IPv6 sender is to be reckoned with: one was
// given, or the record authorises some. Without, a record whose hosts have no
// IPv6 address is not blamed for the void look-ups of senders there are none of.
func (c *run1) sendsIPv6() bool {
	return len(c.tree.V6.Prefixes) > 0 || slices.ContainsFunc(c.Target.IPs, func(ip netip.Addr) bool { return ip.Is6() })
}

// voidTerms are the terms that lead to nothing, in the family of senders for
// which they are too many; nil if for none that sends.
func (c *run1) voidTerms(p *spf.Problem) []string {
	var v4, v6 []string
	walk(c.tree.Root, func(_ *spf.Node, s *spf.Step) {
		if s.Void4 {
			v4 = append(v4, s.Term.Text)
		}
		if s.Void6 {
			v6 = append(v6, s.Term.Text)
		}
	})
	switch {
	case len(v4) > spf.MaxVoids:
		return v4
	case len(v6) > spf.MaxVoids && c.sendsIPv6():
		return v6
	case p.Record != nil && c.tree.Voids4 <= spf.MaxVoids && c.tree.Voids6 <= spf.MaxVoids:
		// Met by one sender only, through terms that depend on the sender.
		return []string{p.Term.Text}
	}
	return nil
}

// result reports what the record says about one address.
func (c *run1) result(ip netip.Addr, v *spf.Verdict) {
	domain := c.tree.Root.Domain
	last := ""
	var decisive *spf.Term
	if n := len(v.Path); n > 0 {
		decisive = v.Path[n-1].Term
		last = decisive.Text
	}
	switch v.Result {
	case spf.Pass:
		c.report(diag.Finding{Kind: ok, Subject: domain, Args: diag.Args{"ip": ip.String(), "term": last}, Evidence: c.path(v)})
	case spf.Fail, spf.SoftFail:
		c.report(diag.Finding{Kind: notAuthorized, Subject: domain, Owner: c.owner(domain),
			Args: diag.Args{"ip": ip.String(), "result": string(v.Result)}, Evidence: c.path(v), Fixes: c.fixAddress(ip)})
	case spf.Neutral:
		// No all, or ?all, is SPF-NO-ALL of the record. Another term that says
		// neutral says so of this address.
		if decisive != nil && decisive.Name != "all" {
			c.report(diag.Finding{Kind: ipNeutral, Subject: domain, Owner: c.owner(domain), Args: diag.Args{"ip": ip.String(), "term": last},
				Evidence: c.path(v), Fixes: c.fixAddress(ip)})
		}
	}
}

// helo reports what the HELO name's own record says (RFC 7208 §2.3).
func (c *run1) helo(ip netip.Addr, v *spf.Verdict) {
	if c.unsure(v.Domain, v) {
		return
	}
	f := diag.Finding{Subject: v.Domain, Args: diag.Args{"ip": ip.String()}}
	switch v.Result {
	case spf.Pass:
		f.Kind = heloOK
	case spf.Fail, spf.SoftFail:
		f.Kind, f.Args["result"] = heloNotAuthorized, string(v.Result)
		f.Evidence, f.Fixes = c.path(v), c.fixHelo(ip, v)
	case spf.PermError:
		f.Kind, f.Args = heloBroken, diag.Args{"code": v.Problem.Code}
		c.index(v.Root)
		f.Fixes = c.fixBroken(v.Problem)
	case spf.TempError:
		e := v.Problem.Err
		f.Kind, f.Unknown = undetermined, []*dnsq.Error{e}
		f.Args = diag.Args{"question": e.Question.String(), "reason": string(e.Reason)}
	case spf.None:
		f.Kind, f.Args = heloMissing, nil
	default: // neutral says nothing
		return
	}
	c.report(f)
}
