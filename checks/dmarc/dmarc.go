// Package dmarc checks the DMARC policy for mail From a domain (RFC 9989):
// which record applies, whether it says what its author meant, how strong it
// is, and whether the reports that it asks for can arrive.
//
// Which record applies comes from the tree walk (package orgdomain). Where the
// older rules of RFC 7489 lead to another policy, DMARC-OLD-RECEIVERS says so:
// receivers of both kinds are out there. A domain without a record is looked
// at more closely before it is called so, for the record is often there, at
// the wrong name: at the domain itself, without the underscore, or below a
// doubled name, as web forms make it that add the domain by themselves.
package dmarc

import (
	"context"
	"embed"
	"slices"
	"strings"
	"sync"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dmarc"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/orgdomain"
)

//go:embed doc.*.md
var docs embed.FS

// What the check can find.
var (
	multiple = &diag.Kind{ID: "DMARC-MULTIPLE", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"count"}, Refs: []diag.Ref{diag.RFC(9989, "4.10"), diag.RFC(7489, "6.6.3")}}
	syntax = &diag.Kind{ID: "DMARC-SYNTAX", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"text", "problem"}, Refs: []diag.Ref{diag.RFC(9989, "4.7"), diag.RFC(9989, "4.8"), diag.RFC(9989, "4.10.1")}}
	nameDoubled = &diag.Kind{ID: "DMARC-NAME-DOUBLED", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"at"}, Refs: []diag.Ref{diag.RFC(9989, "4.5")}}
	misplaced = &diag.Kind{ID: "DMARC-MISPLACED", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"at"}, Key: []string{"at"}, Refs: []diag.Ref{diag.RFC(9989, "4.5")}}
	undetermined = &diag.Kind{ID: "DMARC-UNDETERMINED", Status: diag.Inconclusive, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"question", "reason"}, Key: []string{"question"}, Refs: []diag.Ref{diag.RFC(9989, "4.10.1"), diag.RFC(9989, "5.3.6")}}
	missing = &diag.Kind{ID: "DMARC-MISSING", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(9989, "4.10.1"), facts.Gmail, facts.Yahoo}}
	cnameEmpty = &diag.Kind{ID: "DMARC-CNAME-EMPTY", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"target"}, Refs: []diag.Ref{diag.RFC(9989, "4.5"), diag.RFC(1034, "3.6.2")}}
	policyNone = &diag.Kind{ID: "DMARC-POLICY-NONE", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"at"}, Refs: []diag.Ref{diag.RFC(9989, "4.7"), diag.RFC(9989, "5.1.7")}}
	partial = &diag.Kind{ID: "DMARC-PARTIAL", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"text", "policy"}, Key: []string{"text"}, Refs: []diag.Ref{diag.RFC(9989, "4.7"), diag.RFC(7489, "6.3")}}
	subdomainWeaker = &diag.Kind{ID: "DMARC-SUBDOMAIN-WEAKER", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"tag", "value", "policy"}, Key: []string{"tag"}, Refs: []diag.Ref{diag.RFC(9989, "4.7")}}
	duplicateTag = &diag.Kind{ID: "DMARC-DUPLICATE-TAG", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"tag"}, Key: []string{"tag"}, Refs: []diag.Ref{diag.RFC(6376, "3.2"), diag.RFC(9989, "4.8")}}
	ignored = &diag.Kind{ID: "DMARC-IGNORED", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"text", "problem"}, Key: []string{"text"}, Refs: []diag.Ref{diag.RFC(9989, "4.8")}}
	noReports = &diag.Kind{ID: "DMARC-NO-REPORTS", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(9989, "4.7"), diag.RFC(9989, "5.1.3")}}
	ruaInvalid = &diag.Kind{ID: "DMARC-RUA-INVALID", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"tag", "text", "problem"}, Key: []string{"tag", "text"}, Refs: []diag.Ref{diag.RFC(9989, "4.6"), diag.RFC(9989, "4.7"), diag.RFC(6068, "2")}}
	ruaUnauthorized = &diag.Kind{ID: "DMARC-RUA-UNAUTHORIZED", Status: diag.Warn, Owner: diag.Provider, Since: "0.1",
		Args: []string{"destination", "name"}, Key: []string{"destination"}, Refs: []diag.Ref{diag.RFC(9990, ""), diag.RFC(7489, "7.1")}}
	ruaDiverted = &diag.Kind{ID: "DMARC-RUA-DIVERTED", Status: diag.Warn, Owner: diag.Provider, Since: "0.1",
		Args: []string{"destination", "name"}, Key: []string{"destination"}, Refs: []diag.Ref{diag.RFC(9990, ""), diag.RFC(7489, "7.1")}}
	ruaNoMail = &diag.Kind{ID: "DMARC-RUA-NO-MAIL", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"destination"}, Key: []string{"destination"}, Refs: []diag.Ref{diag.RFC(5321, "5.1"), diag.RFC(7505, "3")}}
	inherited = &diag.Kind{ID: "DMARC-INHERITED", Status: diag.Info, Since: "0.1",
		Args: []string{"at", "tag", "policy"}, Refs: []diag.Ref{diag.RFC(9989, "4.10.1")}}
	oldReceivers = &diag.Kind{ID: "DMARC-OLD-RECEIVERS", Status: diag.Info, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"old", "new"}, Refs: []diag.Ref{diag.RFC(7489, "6.6.3"), diag.RFC(9989, "4.10.1")}}
	obsoleteTag = &diag.Kind{ID: "DMARC-OBSOLETE-TAG", Status: diag.Info, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"text"}, Key: []string{"text"}, Refs: []diag.Ref{diag.RFC(9989, "4.8"), diag.RFC(7489, "6.3")}}
	withoutEffect = &diag.Kind{ID: "DMARC-TAG-WITHOUT-EFFECT", Status: diag.Info, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"text", "problem"}, Key: []string{"text"}, Refs: []diag.Ref{diag.RFC(9989, "4.7")}}
	spelling = &diag.Kind{ID: "DMARC-SPELLING", Status: diag.Info, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"text", "problem"}, Key: []string{"text"}, Refs: []diag.Ref{diag.RFC(9989, "4.8"), diag.RFC(6376, "3.2")}}
	foreign = &diag.Kind{ID: "DMARC-FOREIGN-TXT", Status: diag.Info, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"text"}, Key: []string{"text"}, Refs: []diag.Ref{diag.RFC(9989, "4.10")}}
	wildcard = &diag.Kind{ID: "DMARC-WILDCARD", Status: diag.Info, Owner: diag.DNSAdmin, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(4592, "2.1.1"), diag.RFC(9989, "4.5")}}
	ok = &diag.Kind{ID: "DMARC-OK", Status: diag.Pass, Since: "0.1",
		Args: []string{"policy"}, Refs: []diag.Ref{diag.RFC(9989, "4.7")}}
	parkedOK = &diag.Kind{ID: "DMARC-PARKED", Status: diag.Pass, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(7505, "3"), diag.RFC(9989, "4.7")}}
	skipped = &diag.Kind{ID: "DMARC-SKIPPED", Status: diag.Skip, Since: "0.1",
		Args: []string{"missing"}, Refs: []diag.Ref{diag.RFC(9989, "5.3.1")}}
)

// Check is the dmarc check.
var Check = &diag.Check{
	Name: "dmarc",
	Docs: docs,
	Kinds: []*diag.Kind{multiple, syntax, nameDoubled, misplaced, undetermined, missing, cnameEmpty, policyNone, partial,
		subdomainWeaker, duplicateTag, ignored, noReports, ruaInvalid, ruaUnauthorized, ruaDiverted, ruaNoMail,
		messageFail, messageNone, messageOld, messagePass, inherited, oldReceivers, obsoleteTag, withoutEffect, spelling, foreign, wildcard, ok, parkedOK, skipped},
	Uses:         diag.Doors{DNS: true},
	Requires:     []diag.AnyFact{facts.DMARC, facts.OrgDomain, facts.MX, facts.MailVerdict},
	Run:          run,
	Undetermined: undetermined,
	Skipped:      skipped,
}

// Data are the check's facts for machines.
type Data struct {
	Record  string `json:"record,omitempty"`   // the record that applies
	FoundAt string `json:"found_at,omitempty"` // the name it was found at
	// OrgDomain is the organizational domain by the tree walk; absent if it
	// could not be determined.
	OrgDomain string `json:"org_domain,omitempty"`
	// Policy is what is asked for mail From the domain that fails: none,
	// quarantine, reject; absent if there is no policy or it is not known.
	// AppliedPolicy is the same after t=y.
	Policy          dmarc.Policy `json:"policy,omitempty"`
	AppliedPolicy   dmarc.Policy `json:"applied_policy,omitempty"`
	SubdomainPolicy dmarc.Policy `json:"subdomain_policy,omitempty"`
	// OldPolicy is what receivers that follow RFC 7489 and the Public Suffix
	// List take it to be; absent if none or not known.
	OldPolicy dmarc.Policy `json:"rfc7489_policy,omitempty"`
	ADKIM     string       `json:"adkim,omitempty"`
	ASPF      string       `json:"aspf,omitempty"`
	Walk      []string     `json:"walk"` // the names asked
	// Of a message: pass, fail, none, temperror by RFC 9989 and by RFC 7489, and
	// what it rests on.
	Result      string           `json:"result,omitempty"`
	OldResult   string           `json:"rfc7489_result,omitempty"`
	Identifiers []IdentifierData `json:"identifiers,omitempty"`
}

func run(ctx context.Context, j *diag.Job) error {
	from, err := dnsq.ParseName(j.Target.From)
	if err != nil {
		j.Report(diag.Finding{Kind: skipped, Subject: j.Target.From, Args: diag.Args{"missing": "name"}})
		j.SetData(Data{Walk: []string{}})
		return nil
	}
	p, err := facts.DMARC.Of(ctx, j.World, from)
	if err != nil {
		return err
	}
	c := &run1{Job: j, ctx: ctx, from: from, policy: p, reported: map[string]bool{}}
	if err := c.learn(); err != nil {
		return err
	}
	if facts.MailOf(j.Target) != nil {
		if err := c.message(); err != nil {
			return err
		}
	}
	if !facts.ForeignFrom(j.Target) { // else the policy is a mail provider's, who is not to be advised
		c.judge()
	}
	j.SetData(c.data())
	return nil
}

// run1 is one run of the check.
type run1 struct {
	*diag.Job
	ctx      context.Context
	from     string
	policy   *facts.DMARCPolicy
	reported map[string]bool
	faulty   bool // something at or above warn was reported

	// What is looked at beside the policy.
	apex, dotless, doubled, control, mx looked
	// parked: the From domain says that it has no mail, and nobody (no address
	// was given) says otherwise; or that it is declared as one that never sends.
	// parkedUnknown are the
	// questions without an answer that this hangs on.
	parked        bool
	saysParked    bool // the records say so
	parkedUnknown []*dnsq.Error
	destinations  []*destination

	mail *facts.MailDMARC // nil without a message
}

// looked is a question beside the policy: its answer, or why there is none, or
// neither if it was not asked.
type looked struct {
	answer *dnsq.Answer
	err    *dnsq.Error
}

// own is the step about the From domain itself.
func (c *run1) own() *orgdomain.Step { return &c.policy.Walk.Steps[0] }

// learn asks what the judgement needs beside the policy, all at once.
func (c *run1) learn() error {
	var wg sync.WaitGroup
	// decides: a verdict may hang on the answer. Otherwise it adds a detail.
	ask := func(to *looked, decides bool, name string, t dnsq.Type) {
		if len(name) > dnsq.MaxName {
			return
		}
		var r dnsq.Resolver = c.World
		if !decides {
			r = c.Optional()
		}
		wg.Go(func() {
			q := dnsq.Q(name, t)
			if a, err := r.Ask(c.ctx, q); err != nil {
				to.err = dnsq.AsError(q, err)
			} else {
				to.answer = a
			}
		})
	}
	if own := c.own(); own.Answer != nil {
		bare := own.Record() == nil
		if bare && strings.Contains(c.from, ".") {
			ask(&c.dotless, true, dnsq.Join("dmarc", c.from), dnsq.TypeTXT)
			ask(&c.doubled, true, dnsq.Join(own.Name, c.from), dnsq.TypeTXT)
		}
		if bare || c.wantsNoReports() || c.policy.Verdict.Policy == dmarc.None {
			// The domain's own records: a DMARC record at the wrong place, and
			// whether the domain is parked.
			ask(&c.apex, bare || c.wantsNoReports(), c.from, dnsq.TypeTXT)
			ask(&c.mx, c.wantsNoReports(), c.from, dnsq.TypeMX)
		}
		if there(own.Answer) {
			// A name that nobody made tells a wildcard from a record. If _dmarc
			// does not exist, no wildcard stands there (RFC 4592 §2.1.1).
			ask(&c.control, bare, dnsq.Join(controlLabel(c.from), c.from), dnsq.TypeTXT)
		}
	}
	err := c.learnDestinations(&wg)
	wg.Wait()
	// Whoever names a sending address says that the domain does send, whatever
	// its records say: then p=reject would cost mail.
	if len(c.Target.IPs) == 0 {
		c.parked, c.parkedUnknown = isParked(c.apex, c.mx)
	}
	c.saysParked = c.parked
	if c.Target.NeverSends() { // declared, whatever the records say
		c.parked, c.parkedUnknown = true, nil
	}
	return err
}

// wantsNoReports reports whether the record that applies is ours and has no
// rua: then it matters whether the domain is parked.
func (c *run1) wantsNoReports() bool {
	p := c.policy
	return p.Record != nil && c.ours(p.Step.Domain) && p.Record.Tag("rua") == nil
}

// report reports a finding, each (kind, subject, key) once.
func (c *run1) report(f diag.Finding) {
	if f.Args == nil {
		f.Args = diag.Args{}
	}
	fp := f.Fingerprint()
	if c.reported[fp] {
		return
	}
	c.reported[fp] = true
	c.faulty = c.faulty || f.Kind.Status >= diag.Warn
	if f.Kind.Status >= diag.Warn && c.foreign() {
		// What is weak in somebody else's policy is not ours to change.
		f.Owner, f.Fixes = diag.Provider, nil
	}
	c.Report(f)
}

// foreign reports whether the From domain is somebody else's: not of the
// registered domain that the mail is sent as, such as the address of a visitor
// that a form puts into From.
func (c *run1) foreign() bool {
	if facts.ForeignFrom(c.Target) {
		return true
	}
	org := func(d string) string {
		if o, ok := orgdomain.PSL(d); ok {
			return o
		}
		return d
	}
	return org(c.from) != org(c.Target.Domain)
}

func (c *run1) unknown(errs ...*dnsq.Error) {
	for _, e := range errs {
		c.report(diag.Finding{Kind: undetermined, Subject: c.from,
			Args: diag.Args{"question": e.Question.String(), "reason": string(e.Reason)}, Unknown: []*dnsq.Error{e}})
	}
}

// judge turns what was learnt into findings, worst first.
func (c *run1) judge() {
	p := c.policy
	c.broken()
	if c.own().Answer != nil && c.own().Record() == nil {
		c.wrongPlaces()
	}
	if !p.Known() {
		c.unknown(p.Unknown...)
	}
	switch {
	case p.Record != nil:
		c.lint()
		if p.Known() && len(p.Record.Problems()) == 0 {
			c.strength()
		}
		c.reports()
		if p.Known() && p.Verdict.Policy == "" && !c.faulty {
			// A record of somebody else that says nothing valid (§4.10.1: no
			// DMARC is done then). It is not ours to repair.
			c.absent()
		}
	case p.Known() && !c.faulty:
		// Nothing was found, and nothing that was meant to be it.
		c.absent()
	}
	c.beside()
	if p.Record != nil && p.Known() {
		// Without the existence of the name it is not known which tag it is.
		if p.Step.Domain != c.from && p.Verdict.Policy != "" && p.WhomUnknown == nil {
			tag := p.Verdict.Tag
			if tag == "" {
				tag = "p"
			}
			c.report(diag.Finding{Kind: inherited, Subject: c.from,
				Args:     diag.Args{"at": p.Step.Domain, "tag": tag, "policy": string(p.Verdict.Policy)},
				Evidence: c.evidence(p.Step.Record(), dmarc.Span{})})
		}
	}
	if p.Known() {
		c.old()
	}
	if p.Record != nil && p.Known() && !c.faulty {
		f := diag.Finding{Kind: ok, Subject: c.from, Args: diag.Args{"policy": string(p.Verdict.Applied)},
			Evidence: c.evidence(p.Step.Record(), dmarc.Span{})}
		if c.wantsNoReports() && c.saysParked && p.Verdict.Applied == dmarc.Reject {
			f.Kind, f.Args = parkedOK, nil
		}
		c.report(f)
	}
}

// ours reports whether whoever runs the From domain also runs this one, as far
// as anybody can tell from outside: by the Public Suffix List, for it decides
// only who is asked to act.
func (c *run1) ours(domain string) bool {
	if domain == c.from {
		return true
	}
	a, ok := orgdomain.PSL(c.from)
	if !ok {
		return false
	}
	b, ok := orgdomain.PSL(domain)
	return ok && a == b
}

// owner is who can change a record: nobody else than the Kind says, or the
// provider who publishes it.
func (c *run1) owner(rr *dnsq.RR) diag.Owner {
	if c.ours(strings.TrimPrefix(rr.Name, "_dmarc.")) {
		return diag.Nobody
	}
	return diag.Provider
}

// broken reports what keeps records from being records: two at a name, or a
// text that was meant to be one. Names beyond the record that applies do not
// matter, and those of others are theirs.
func (c *run1) broken() {
	for i := range c.policy.Walk.Steps {
		s := &c.policy.Walk.Steps[i]
		if i > 0 && !c.policy.Known() && c.policy.Record == nil {
			// Which record applies is not known. It may be one below this name:
			// one that was found there, or one that a lost answer holds (with
			// psd=n it would end the walk, RFC 9989 §4.10.2).
			if below := &c.policy.Walk.Steps[i-1]; below.Err != nil || below.Record() != nil {
				return
			}
		}
		if s.Answer != nil && c.ours(s.Domain) {
			switch {
			case len(s.Records) > 1:
				// RFC 9989 §4.10: if several are returned, they are all discarded.
				f := diag.Finding{Kind: multiple, Subject: s.Domain, Args: diag.Args{"count": len(s.Records)},
					Owner: c.owner(s.Records[0]), Fixes: c.fixMultiple(s)}
				for _, rr := range s.Records {
					f.Evidence = append(f.Evidence, c.evidence(rr, dmarc.Span{})...)
				}
				c.report(f)
			case len(s.Records) == 0:
				for k := range s.Answer.RRs {
					rr := &s.Answer.RRs[k]
					fatal := dmarc.Parse(rr.Text()).Fatal
					if fatal.Code == dmarc.NoteNotDMARC {
						continue
					}
					text := fatal.Text
					if strings.Trim(text, " \t") == "" { // blanks are nothing to show
						text = rr.Text()
					}
					c.report(diag.Finding{Kind: syntax, Subject: s.Domain, Args: diag.Args{"text": text, "problem": fatal.Code},
						Owner: c.owner(rr), Evidence: c.evidence(rr, fatal.Span), Fixes: c.fixRepair(s, rr)})
				}
			}
		}
		if s == c.policy.Step {
			return
		}
	}
}

// meant are the records of an answer that were meant to be DMARC records.
func meant(a *dnsq.Answer) []*dnsq.RR {
	var out []*dnsq.RR
	if a != nil {
		for i := range a.RRs {
			f := dmarc.Parse(a.RRs[i].Text()).Fatal
			if f == nil || f.Code != dmarc.NoteNotDMARC && f.Code != dmarc.NoteVersionMissing {
				out = append(out, &a.RRs[i])
			}
		}
	}
	return out
}

// wrongPlaces looks where web forms and people put the record by mistake. A
// place that gave no answer may hold it: then it is not known what is to be
// done, publish a record or move it.
func (c *run1) wrongPlaces() {
	var lost []*dnsq.Error
	for _, place := range []struct {
		kind *diag.Kind
		looked
	}{{nameDoubled, c.doubled}, {misplaced, c.apex}, {misplaced, c.dotless}} {
		if place.err != nil {
			// RFC 8020 §2: nothing is at a name that does not exist, nor below.
			if !c.noDomain() {
				lost = append(lost, place.err)
			}
			continue
		}
		a := place.answer
		rrs := meant(a)
		if len(rrs) == 0 {
			continue
		}
		// A wildcard answers at every name but the domain's own. It needs the
		// control question to be told from a record, and without its answer
		// nothing is claimed; but if _dmarc does not exist, there is no wildcard
		// (RFC 4592 §2.1.1).
		if a.Name != c.from && there(c.own().Answer) {
			if c.control.err != nil {
				lost = append(lost, c.control.err)
			}
			if c.control.answer == nil || c.byWildcard(a) {
				continue
			}
		}
		f := diag.Finding{Kind: place.kind, Subject: c.from, Args: diag.Args{"at": a.Name}}
		for _, rr := range rrs {
			f.Evidence = append(f.Evidence, c.evidence(rr, dmarc.Span{})...)
		}
		f.Fixes = c.fixMove(rrs)
		c.report(f)
	}
	c.unknown(lost...)
}

// noDomain reports whether it is known that the From domain does not exist: an
// answer says so (NXDOMAIN is about the name, whatever type was asked for), and
// none has seen it, or a name below it.
func (c *run1) noDomain() bool {
	gone := false
	for _, a := range []*dnsq.Answer{c.apex.answer, c.mx.answer} {
		if a != nil && there(a) {
			return false
		}
		gone = gone || a != nil
	}
	a := c.own().Answer
	return gone && (a == nil || !there(a))
}

// there reports whether the name of an answer exists. An alias does, whatever
// becomes of its target.
func there(a *dnsq.Answer) bool { return a.Exists() || len(a.Chain) > 0 }

// byWildcard reports whether an answer is what any name below the domain gets.
func (c *run1) byWildcard(a *dnsq.Answer) bool {
	w := c.control.answer
	return a != nil && a.Outcome == dnsq.Found && w != nil && w.Outcome == dnsq.Found && slices.Equal(texts(a), texts(w))
}

func texts(a *dnsq.Answer) []string {
	out := make([]string, len(a.RRs))
	for i := range a.RRs {
		out[i] = a.RRs[i].Text()
	}
	slices.Sort(out)
	return out
}

// absent reports that there is no policy.
func (c *run1) absent() {
	a := c.own().Answer
	if a != nil && len(a.Chain) > 0 && len(a.RRs) == 0 {
		c.report(diag.Finding{Kind: cnameEmpty, Subject: c.from, Args: diag.Args{"target": a.Owner()}, Fixes: c.fixAlias(a)})
		return
	}
	if c.noDomain() {
		// No domain, no mail: what is wrong is not its policy.
		c.report(diag.Finding{Kind: skipped, Subject: c.from, Args: diag.Args{"missing": "domain"}})
		return
	}
	c.report(diag.Finding{Kind: missing, Subject: c.from, Fixes: c.fixMissing()})
}

// beside reports other texts at the name.
func (c *run1) beside() {
	a := c.own().Answer
	// Without an answer to the control question, any text may come from a
	// wildcard, and nothing is said.
	if a == nil || a.Outcome != dnsq.Found || c.control.answer == nil {
		return
	}
	if c.byWildcard(a) {
		f := diag.Finding{Kind: wildcard, Subject: c.from}
		for i := range a.RRs {
			f.Evidence = append(f.Evidence, c.evidence(&a.RRs[i], dmarc.Span{})...)
		}
		c.report(f)
		return
	}
	for i := range a.RRs {
		rr := &a.RRs[i]
		fatal := dmarc.Parse(rr.Text()).Fatal
		if fatal == nil || fatal.Code != dmarc.NoteNotDMARC && len(c.own().Records) != 1 {
			continue // the record, or reported as broken
		}
		c.report(diag.Finding{Kind: foreign, Subject: c.from, Args: diag.Args{"text": rr.Text()},
			Owner: c.owner(rr), Evidence: c.evidence(rr, dmarc.Span{}), Fixes: c.fixForeign(rr)})
	}
}

// old reports where receivers that follow RFC 7489 decide otherwise.
func (c *run1) old() {
	rec, whom, known := c.oldRecord()
	if !known {
		return
	}
	before := dmarc.Verdict{}
	if rec != nil {
		before = rec.EvaluateOld(whom)
	}
	now := c.policy.Verdict
	// No policy and none come to the same for the mail.
	if before.Applied.Strength() == now.Applied.Strength() {
		return
	}
	name := func(p dmarc.Policy) string {
		if p == "" {
			return "no-policy"
		}
		return string(p)
	}
	f := diag.Finding{Kind: oldReceivers, Subject: c.from, Args: diag.Args{"old": name(before.Applied), "new": name(now.Applied)}}
	if c.policy.Step != nil {
		f.Evidence = c.evidence(c.policy.Step.Record(), dmarc.Span{})
	}
	c.report(f)
}

// oldRecord is the record that RFC 7489 §6.6.3 finds: that of the domain, or
// else that of its organizational domain by the Public Suffix List. known is
// false if an answer is lacking.
func (c *run1) oldRecord() (rec *dmarc.Record, whom dmarc.Whom, known bool) {
	s := c.own()
	if s.Err != nil {
		return nil, 0, false
	}
	if len(s.Records) == 0 {
		// Step 3 there: only if nothing at all is found, ask one level further.
		org, ok := orgdomain.PSL(c.from)
		if !ok || org == c.from {
			return nil, 0, true
		}
		if s = c.policy.Walk.At(org); s == nil || s.Err != nil {
			return nil, 0, false
		}
		whom = dmarc.Subdomain
	}
	if len(s.Records) != 1 {
		return nil, 0, true
	}
	return dmarc.Parse(s.Records[0].Text()), whom, true
}

func (c *run1) data() Data {
	p := c.policy
	d := Data{OrgDomain: p.Walk.Org, Walk: p.Walk.Names()}
	if p.Record != nil {
		d.Record, d.FoundAt = p.Record.Text, p.Step.Name
		d.Policy, d.AppliedPolicy = p.Verdict.Policy, p.Verdict.Applied
		d.SubdomainPolicy = p.Record.Evaluate(dmarc.Subdomain).Policy
		d.ADKIM, d.ASPF = string(p.Record.ADKIM), string(p.Record.ASPF)
	}
	if rec, whom, known := c.oldRecord(); known && rec != nil {
		d.OldPolicy = rec.EvaluateOld(whom).Policy
	}
	if c.mail != nil {
		d.Result, d.OldResult, d.Identifiers = c.mail.Result, c.mail.Old, identifierData(c.mail)
	}
	return d
}
