// Package alignment checks, before any mail exists, whether mail would pass
// DMARC: given the domain of the From header, the Return-Path and the DKIM
// signature's d=, does one of SPF and DKIM both pass and belong to the From
// domain (RFC 9989 §4.4)?
//
// An identifier that is aligned but fails is no alignment, so SPF's own result
// for each address counts, and DKIM counts only where a usable key was found. Of a
// real mail its signatures count, as they verify.
package alignment

import (
	"context"
	"embed"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dmarc"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/orgdomain"
	"github.com/todoku-mail/todoku/pkg/provider"
	"github.com/todoku-mail/todoku/pkg/spf"
)

//go:embed doc.*.md
var docs embed.FS

// What the check can find.
var (
	none = &diag.Kind{ID: "ALIGN-NONE", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.1",
		Args: []string{"return_path", "spf", "dkim_domain", "dkim", "remedy"}, Refs: []diag.Ref{diag.RFC(9989, "4.4"), facts.Gmail}}
	someServers = &diag.Kind{ID: "ALIGN-SOME-SERVERS", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.1",
		Args: []string{"ips", "spf", "dkim"}, Refs: []diag.Ref{diag.RFC(9989, "4.4"), facts.Gmail}}
	fromUnusable = &diag.Kind{ID: "ALIGN-FROM-UNUSABLE", Status: diag.Fail, Owner: diag.Developer, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(5322, "3.6.2"), diag.RFC(9989, "4.2")}}
	undetermined = &diag.Kind{ID: "ALIGN-UNDETERMINED", Status: diag.Inconclusive, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"question", "reason"}, Key: []string{"question"}, Refs: []diag.Ref{diag.RFC(9989, "4.10")}}
	hostReturnPath = &diag.Kind{ID: "ALIGN-HOST-RETURN-PATH", Status: diag.Warn, Owner: diag.Developer, Since: "0.1",
		Args: []string{"return_path"}, Refs: []diag.Ref{diag.RFC(9989, "4.4.2"), facts.Gmail}}
	otherDomain = &diag.Kind{ID: "ALIGN-OTHER-DOMAIN", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.1",
		Args: []string{"return_path"}, Refs: []diag.Ref{diag.RFC(9989, "4.4.2"), facts.Gmail}}
	foreignFrom = &diag.Kind{ID: "ALIGN-FOREIGN-FROM", Status: diag.Warn, Owner: diag.Developer, Since: "0.1",
		Args: []string{"domain"}, Refs: []diag.Ref{diag.RFC(5322, "3.6.2"), facts.Gmail}}
	dkimOther = &diag.Kind{ID: "ALIGN-DKIM-OTHER-DOMAIN", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.1",
		Args: []string{"dkim_domain"}, Refs: []diag.Ref{diag.RFC(9989, "4.4.1"), facts.Gmail}}
	strictMode = &diag.Kind{ID: "ALIGN-STRICT", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"domain", "tag"}, Key: []string{"tag"}, Refs: []diag.Ref{diag.RFC(9989, "4.4"), diag.RFC(9989, "4.7")}}
	spfOnly = &diag.Kind{ID: "ALIGN-SPF-ONLY", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.1",
		Args: []string{"dkim"}, Refs: []diag.Ref{diag.RFC(9989, "4.4"), diag.RFC(7960, "3")}}
	shared = &diag.Kind{ID: "ALIGN-SHARED-DOMAIN", Status: diag.Warn, Owner: diag.Developer, Since: "0.1",
		Args: []string{"domain", "provider"}, Key: []string{"domain"}, Refs: []diag.Ref{facts.Gmail}}
	relaxed = &diag.Kind{ID: "ALIGN-RELAXED", Status: diag.Info, Since: "0.1",
		Args: []string{"domains"}, Refs: []diag.Ref{diag.RFC(9989, "4.4")}}
	keyGone = &diag.Kind{ID: "ALIGN-KEY-GONE-SINCE", Status: diag.Info, Since: "0.2",
		Args: []string{"name"}, Refs: []diag.Ref{diag.RFC(9989, "4.4"), diag.RFC(6376, "3.1")}}
	dkimOnly = &diag.Kind{ID: "ALIGN-DKIM-ONLY", Status: diag.Info, Since: "0.1",
		Args: []string{"return_path", "spf"}, Refs: []diag.Ref{diag.RFC(9989, "4.4")}}
	ok = &diag.Kind{ID: "ALIGN-OK", Status: diag.Pass, Since: "0.1",
		Args: []string{"return_path", "dkim_domain"}, Refs: []diag.Ref{diag.RFC(9989, "4.4")}}
	skipped = &diag.Kind{ID: "ALIGN-SKIPPED", Status: diag.Skip, Since: "0.1",
		Args: []string{"missing"}, Refs: []diag.Ref{diag.RFC(9989, "4.4")}}
)

// Check is the alignment check.
var Check = &diag.Check{
	Name: "alignment",
	Docs: docs,
	Kinds: []*diag.Kind{none, someServers, fromUnusable, undetermined, hostReturnPath, otherDomain, foreignFrom, dkimOther, strictMode, spfOnly, shared,
		nowEnforced, enforcedUnsigned, relaxed, keyGone, dkimOnly, ok, skipped},
	Needs:        diag.Needs{IP: true},
	Uses:         diag.Doors{DNS: true},
	Requires:     []diag.AnyFact{facts.DMARC, facts.OrgDomain, facts.SPFResult, facts.DKIMKeys, facts.MailSignatures},
	Run:          run,
	Undetermined: undetermined,
	Skipped:      skipped,
}

// Data are the check's facts for machines.
type Data struct {
	SPF        dmarc.Alignment `json:"spf"`   // strict, relaxed, none, unknown: of the Return-Path's domain
	DKIM       dmarc.Alignment `json:"dkim"`  // likewise of d=
	DMARC      string          `json:"dmarc"` // pass, fail, unknown
	From       string          `json:"from"`
	ReturnPath string          `json:"return_path"` // domain that SPF judges
	DKIMDomain string          `json:"dkim_domain"`
}

// A leg is one of the two ways to pass.
type leg struct {
	domain  string
	aligned dmarc.Alignment
	state   state
	why     string // a code: what is in the way, for no
	unknown []*dnsq.Error
	gone    string // the name of a key that is not in the DNS any more, if that is why it is unknown
}

type state byte

const (
	no       state = iota
	yes            // aligned, and it passes
	unknown        // a question went unanswered
	unasked        // SPF cannot be judged: no address was given, or no HELO name for the null sender
	unproved       // aligned, but no key was found by guessing, which proves nothing
)

func run(ctx context.Context, j *diag.Job) error {
	t := j.Target
	from, err := dnsq.ParseName(t.From)
	if err != nil || !strings.Contains(from, ".") {
		j.Report(diag.Finding{Kind: fromUnusable, Subject: t.From, Args: diag.Args{}})
		j.SetData(Data{SPF: dmarc.Undetermined, DKIM: dmarc.Undetermined, DMARC: "fail", From: t.From})
		return nil
	}
	c := &align{Job: j, ctx: ctx, from: from}
	c.spf.domain, c.dkim.domain = spfDomain(t), facts.DKIMAskOf(t).Domain

	// All at once; then each is waited for.
	facts.DMARC.Start(j.World, from)
	if mail := facts.MailOf(t); mail != nil {
		facts.MailSignatures.Start(j.World, mail)
	} else {
		facts.DKIMKeys.Start(j.World, facts.DKIMAskOf(t))
	}
	for _, d := range []string{from, c.spf.domain, c.dkim.domain} {
		if d != "" {
			facts.OrgDomain.Start(j.World, d)
		}
	}
	if !noReturnPath(t) {
		for _, ip := range t.IPs {
			facts.SPFResult.Start(j.World, c.ask(ip))
		}
	}
	if c.policy, err = facts.DMARC.Of(ctx, j.World, from); err != nil {
		return err
	}
	if err := c.learnSPF(); err != nil {
		return err
	}
	never, err := c.learnDKIM()
	if err != nil {
		return err
	}
	if t.NeverSends() || never && len(t.IPs) == 0 {
		// Nothing is sent, so nothing needs to be aligned.
		j.Report(diag.Finding{Kind: skipped, Subject: from, Args: diag.Args{"missing": "never-sends"}})
	} else {
		c.judge()
		if err := c.change(); err != nil {
			return err
		}
	}
	j.SetData(Data{SPF: c.spf.aligned, DKIM: c.dkim.aligned, DMARC: c.dmarc(),
		From: from, ReturnPath: c.spf.domain, DKIMDomain: c.dkim.domain})
	return nil
}

type align struct {
	*diag.Job
	ctx       context.Context
	from      string
	policy    *facts.DMARCPolicy
	spf, dkim leg
	refused   []string // addresses that SPF does not let pass
}

// spfDomain is the domain that SPF judges: that of the Return-Path, or the HELO
// name where there is none (RFC 7208 §2.4); "" if it is no domain name.
func spfDomain(t *diag.Target) string {
	d := t.MailFromDomain()
	if t.NullSender {
		d = t.Helo
	}
	if name, err := dnsq.ParseName(d); err == nil && strings.Contains(name, ".") {
		return name
	}
	return ""
}

func (c *align) ask(ip netip.Addr) facts.SPFAsk {
	return facts.SPFAsk{IP: ip, Helo: c.Target.Helo, MailFrom: c.Target.MailFrom}
}

// aligned compares an identifier with the From domain. The mode is the one
// that the From domain's record asks for; without a record, relaxed, as
// receivers that look at alignment on their own account do (Gmail for bulk).
func (c *align) aligned(id string, mode func(*dmarc.Record) dmarc.Mode) (dmarc.Alignment, []*dnsq.Error) {
	m := dmarc.Relaxed
	if c.policy.Record != nil {
		m = mode(c.policy.Record)
	}
	var open []*dnsq.Error
	a := dmarc.Aligned(c.from, id, m, func(a, b string) (bool, bool) {
		x, errA := facts.OrgDomain.Of(c.ctx, c.World, a)
		y, errB := facts.OrgDomain.Of(c.ctx, c.World, b)
		if errA != nil || errB != nil {
			open = append(open, &dnsq.Error{Question: dnsq.Q("_dmarc."+a, dnsq.TypeTXT), Reason: dnsq.OverDue})
			return false, false
		}
		same, known := orgdomain.Same(x, y)
		if !known {
			open = append(append(open, x.OrgUnknown...), y.OrgUnknown...)
		}
		return same, known
	})
	// With the record unknown the mode is too, and strict would not be enough.
	if a == dmarc.AlignedRelaxed && c.policy.Record == nil && !c.policy.Known() {
		return dmarc.Undetermined, c.policy.Unknown
	}
	return a, open
}

func spfMode(r *dmarc.Record) dmarc.Mode  { return r.ASPF }
func dkimMode(r *dmarc.Record) dmarc.Mode { return r.ADKIM }

// unaligned notes why an identifier is not aligned: it is another
// organisation's, or ours but not the very name that strict mode wants. Which
// of them may not be known.
func (l *leg) unaligned(c *align, mode func(*dmarc.Record) dmarc.Mode) {
	l.why = "unaligned"
	if c.policy.Record == nil || mode(c.policy.Record) != dmarc.Strict {
		return
	}
	switch a, open := c.aligned(l.domain, func(*dmarc.Record) dmarc.Mode { return dmarc.Relaxed }); a {
	case dmarc.AlignedRelaxed:
		l.why = "strict"
	case dmarc.Undetermined:
		l.state, l.unknown = unknown, open
	}
}

func (c *align) learnSPF() error {
	l := &c.spf
	if c.Target.NullSender && c.Target.Helo == "" {
		// RFC 7208 §2.4: the HELO name would be judged, and nobody said which it
		// is. Every server gives one.
		l.aligned, l.state, l.why = dmarc.Undetermined, unasked, "helo"
		return nil
	}
	if noReturnPath(c.Target) {
		l.aligned, l.state, l.why = dmarc.Undetermined, unasked, "return-path"
		return nil
	}
	if l.domain == "" {
		l.aligned, l.why = dmarc.NotAligned, "no-domain"
		return nil
	}
	l.aligned, l.unknown = c.aligned(l.domain, spfMode)
	switch l.aligned {
	case dmarc.NotAligned:
		l.unaligned(c, spfMode)
		return nil
	case dmarc.Undetermined:
		l.state = unknown
		return nil
	}
	if len(c.Target.IPs) == 0 {
		l.state = unasked
		return nil
	}
	l.state = yes
	for _, ip := range c.Target.IPs {
		v, err := facts.SPFResult.Of(c.ctx, c.World, c.ask(ip))
		switch {
		case err != nil:
			return err
		case v.Result == spf.Pass && !v.Unsure:
		case v.Result == spf.TempError || v.Unsure:
			if l.state == yes {
				l.state = unknown
			}
			if v.Problem != nil && v.Problem.Err != nil {
				l.unknown = append(l.unknown, v.Problem.Err)
			}
			l.unknown = append(l.unknown, v.Ignored...)
		default:
			// One server that fails is enough: its mail does not pass by SPF.
			l.state, l.why = no, string(v.Result)
			c.refused = append(c.refused, ip.String())
		}
	}
	return nil
}

// learnDKIM says besides whether the domain declares that it never sends.
func (c *align) learnDKIM() (neverSends bool, err error) {
	if mail := facts.MailOf(c.Target); mail != nil {
		return false, c.learnSignatures(mail)
	}
	l := &c.dkim
	s, err := facts.DKIMKeys.Of(c.ctx, c.World, facts.DKIMAskOf(c.Target))
	if err != nil {
		return false, err
	}
	l.aligned, l.unknown = c.aligned(l.domain, dkimMode)
	switch l.aligned {
	case dmarc.NotAligned:
		l.unaligned(c, dkimMode)
		return s.NeverSends, nil
	case dmarc.Undetermined:
		l.state = unknown
		return s.NeverSends, nil
	}
	switch p := s.Possible(); p {
	case facts.Possible:
		l.state = yes
	case facts.NotLearned:
		l.state, l.unknown = unknown, s.Incomplete()
	case facts.NotFound:
		// RFC 6376 §3.1: a selector can have any name, so one that nobody named
		// and that no guess met may sign all the mail.
		l.state, l.why = unproved, string(p)
	default: // impossible, testing
		l.why = string(p)
	}
	return s.NeverSends, nil
}

// dmarc is the outcome for the data.
func (c *align) dmarc() string {
	switch {
	case c.spf.state == yes || c.dkim.state == yes:
		return "pass"
	case c.spf.state == no && c.dkim.state == no:
		return "fail"
	}
	return "unknown"
}

func (c *align) judge() {
	report := func(k *diag.Kind, args diag.Args) {
		if args == nil {
			args = diag.Args{}
		}
		c.Report(diag.Finding{Kind: k, Subject: c.from, Args: args})
	}
	defer c.sharedDomains()
	if c.spf.state == yes && c.dkim.gone != "" && len(c.dkim.unknown) == 0 {
		// It passes by SPF; that DKIM did not vouch for it then, nobody can say now.
		report(keyGone, diag.Args{"name": c.dkim.gone})
		return
	}
	if c.spf.state == unknown || c.dkim.state == unknown {
		seen := map[dnsq.Question]bool{}
		for _, e := range append(slices.Clone(c.spf.unknown), c.dkim.unknown...) {
			if !seen[e.Question] && len(seen) < maxOpen {
				seen[e.Question] = true
				c.Report(diag.Finding{Kind: undetermined, Subject: c.from, Unknown: []*dnsq.Error{e},
					Args: diag.Args{"question": e.Question.String(), "reason": string(e.Reason)}})
			}
		}
		if len(seen) == 0 && c.dkim.gone != "" {
			c.Report(diag.Finding{Kind: undetermined, Subject: c.from,
				Args: diag.Args{"question": c.dkim.gone + " TXT", "reason": "gone-since"}})
		} else if len(seen) == 0 {
			c.Report(diag.Finding{Kind: undetermined, Subject: c.from,
				Args: diag.Args{"question": dnsq.Q("_dmarc."+c.from, dnsq.TypeTXT).String(), "reason": string(dnsq.OverDue)}})
		}
		return
	}
	returnPath := c.spf.domain
	if returnPath == "" {
		returnPath = c.Target.MailFrom
	}
	// Where SPF does not vouch for the From domain because mail leaves under
	// another name, and DKIM does not make up for it: the two cases of every day.
	noDKIM := c.dkim.state == no || c.dkim.state == unproved
	if c.spf.why == "unaligned" && noDKIM {
		if c.foreign() {
			sent := c.Target.Domain
			if facts.MailOf(c.Target) != nil { // whose domain is that of From
				sent = c.spf.domain
			}
			report(foreignFrom, diag.Args{"domain": sent})
		} else if host(c.spf.domain) {
			report(hostReturnPath, diag.Args{"return_path": returnPath})
		} else {
			report(otherDomain, diag.Args{"return_path": returnPath})
		}
	}
	if c.dkim.why == "strict" || c.spf.why == "strict" && noDKIM {
		c.strictModes()
	}
	if c.dkim.why == "unaligned" && c.spf.state != yes && !c.foreign() {
		report(dkimOther, diag.Args{"dkim_domain": c.dkim.domain})
	}
	switch {
	case c.spf.state == yes && c.dkim.state == yes:
		report(ok, diag.Args{"return_path": returnPath, "dkim_domain": c.dkim.domain})
	case c.spf.state == yes:
		report(spfOnly, diag.Args{"dkim": c.dkim.why})
	case c.spf.state == unasked:
		what := "ip"
		if c.spf.why != "" {
			what = c.spf.why
		}
		c.Report(diag.Finding{Kind: skipped, Subject: c.from, Args: diag.Args{"missing": what}})
	case c.dkim.state == yes:
		report(dkimOnly, diag.Args{"return_path": returnPath, "spf": c.spf.why})
	case c.dkim.state == unproved:
		// Only DKIM is left, and whether it is there was not learnt: no verdict.
		report(undetermined, diag.Args{"question": "selector", "reason": "not-named"})
	case len(c.refused) > 0 && len(c.refused) < len(c.Target.IPs):
		report(someServers, diag.Args{"ips": c.refused, "spf": c.spf.why, "dkim": c.dkim.why})
	default:
		remedy := "authenticate"
		if c.foreign() {
			remedy = "own-from"
		}
		f := diag.Finding{Kind: none, Subject: c.from, Args: diag.Args{"return_path": returnPath, "spf": c.spf.why,
			"dkim_domain": c.dkim.domain, "dkim": c.dkim.why, "remedy": remedy}}
		if remedy == "own-from" { // that is the program's doing
			f.Owner = diag.Developer
		}
		c.Report(f)
	}
	var loose []string
	for _, l := range []*leg{&c.spf, &c.dkim} {
		if l.aligned == dmarc.AlignedRelaxed && l.state != no && l.state != unproved && !slices.Contains(loose, l.domain) {
			loose = append(loose, l.domain)
		}
	}
	if loose != nil {
		report(relaxed, diag.Args{"domains": loose})
	}
}

// foreign reports whether it is the From header that is strange: the mail goes
// out as the sending domain in every way, and names somebody else in From. A
// contact form that puts its visitor's address there does so.
func (c *align) foreign() bool {
	if facts.ForeignFrom(c.Target) {
		return true
	}
	own := func(d string) bool {
		org, ok := orgdomain.PSL(c.Target.Domain)
		if !ok {
			org = c.Target.Domain
		}
		return d != "" && dnsq.AtOrBelow(d, org)
	}
	return !own(c.from) && own(c.spf.domain)
}

// maxOpen is how many unanswered questions are reported.
const maxOpen = 4

// strictModes reports each strict mode that keeps an identifier of the same
// organisation from counting, with the tag to change.
func (c *align) strictModes() {
	r, step := c.policy.Record, c.policy.Step
	for _, l := range []struct {
		*leg
		tag string
	}{{&c.spf, "aspf"}, {&c.dkim, "adkim"}} {
		t := r.Tag(l.tag)
		if l.why != "strict" || t == nil {
			continue
		}
		rr := step.Record()
		fixed := r.Text[:t.ValueAt.Start] + "r" + r.Text[t.ValueAt.End:]
		c.Report(diag.Finding{Kind: strictMode, Subject: c.from, Args: diag.Args{"domain": l.domain, "tag": l.tag},
			Evidence: []diag.Evidence{facts.Evidence(rr, r.Text, t.Start, t.End-t.Start)},
			Fixes:    []diag.Fix{{Owner: diag.DNSAdmin, Edits: []diag.Edit{{Name: rr.Name, Type: "TXT", Old: r.Text, New: fixed}}}}})
	}
}

// sharedDomains reports a Return-Path or d= on a domain that a hosting provider
// shares out among its customers.
func (c *align) sharedDomains() {
	seen := map[string]bool{}
	for _, d := range []string{c.spf.domain, c.dkim.domain} {
		f, is := provider.SharedDomain(d)
		if d == "" || !is || !f.Shown() || seen[d] {
			continue
		}
		seen[d] = true
		c.Report(diag.Finding{Kind: shared, Subject: c.from, Args: diag.Args{"domain": d, "provider": f.Provider}})
	}
}

// machine is a first label that numbers a server, as web hosts name theirs:
// sv1234, www567, web12, s3, host9, vps-1a2b.
var machine = regexp.MustCompile(`^(sv|srv|svr|server|www|web|host|h|s|ns|cp|vps|vm|cloud|box|node|p|hosting|shared)-?[0-9]+[a-z0-9-]*$`)

// host says whether a Return-Path domain looks like a web host's: a provider's
// shared domain (a guess is enough here), or a numbered machine.
func host(domain string) bool {
	if _, is := provider.SharedDomain(domain); is {
		return true
	}
	labels := dnsq.Labels(domain)
	return len(labels) > 2 && machine.MatchString(labels[0])
}
