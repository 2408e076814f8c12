package dmarc

import (
	"slices"
	"sync"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dmarc"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/orgdomain"
)

// maxDestinations bounds how many hosts of rua and ruf are looked at. RFC 7489
// §6.2 asked receivers to serve two; few serve more.
const maxDestinations = 10

// A destination is a host that reports go to.
type destination struct {
	host   string
	policy *orgdomain.Result // the walks of the record's domain and of host
	walk   *orgdomain.Result
	name   string // the name of the consent
	exists bool   // it is short enough to exist
	answer *dnsq.Answer
	err    *dnsq.Error
	mx     *facts.MailHosts
	mxErr  *dnsq.Error
	fault  error // a fact that could not be pulled at all
}

// same reports whether the destination needs nobody's consent.
func (d *destination) same() (same, known bool) {
	if d.walk == nil {
		return true, true
	}
	if d.policy.Org != "" && d.walk.Org != "" {
		return d.policy.Org == d.walk.Org, true
	}
	return orgdomain.Same(d.policy, d.walk)
}

// learnDestinations starts to learn what the destinations of our record need.
func (c *run1) learnDestinations(wg *sync.WaitGroup) error {
	p := c.policy
	if p.Record == nil || !c.ours(p.Step.Domain) {
		return nil
	}
	home := p.Walk
	if p.Step.Domain != c.from {
		var err error
		if home, err = facts.OrgDomain.Of(c.ctx, c.World, p.Step.Domain); err != nil {
			return err
		}
	}
	for _, u := range slices.Concat(p.Record.RUA, p.Record.RUF) {
		if u.Host == "" || len(c.destinations) == maxDestinations ||
			slices.ContainsFunc(c.destinations, func(d *destination) bool { return d.host == u.Host }) {
			continue
		}
		d := &destination{host: u.Host, policy: home}
		c.destinations = append(c.destinations, d)
		wg.Go(func() {
			d.mx, d.fault = facts.MX.Of(c.ctx, c.World, d.host)
			if d.fault != nil {
				d.mxErr = dnsq.AsError(dnsq.Q(d.host, dnsq.TypeMX), d.fault)
			}
		})
		if d.host == p.Step.Domain {
			continue // our own: RFC 9990 asks nobody
		}
		wg.Go(func() {
			w, err := facts.OrgDomain.Of(c.ctx, c.World, d.host)
			if err != nil {
				d.err = dnsq.AsError(dnsq.Q("_dmarc."+d.host, dnsq.TypeTXT), err)
				return
			}
			d.walk = w
			if same, known := d.same(); same && known {
				return
			}
			// RFC 9990 (RFC 7489 §7.1 step 3): the domain where the policy was
			// found, not the From domain.
			if d.name, d.exists = dmarc.ReportName(p.Step.Domain, d.host); !d.exists {
				return
			}
			q := dnsq.Q(d.name, dnsq.TypeTXT)
			if d.answer, err = c.Ask(c.ctx, q); err != nil {
				d.answer, d.err = nil, dnsq.AsError(q, err)
			}
		})
	}
	return nil
}

// reports reports whether the reports that the record asks for can arrive.
func (c *run1) reports() {
	p := c.policy
	if !c.ours(p.Step.Domain) {
		return
	}
	rr := p.Step.Record()
	switch {
	case !c.wantsNoReports() || c.parked:
	case len(c.parkedUnknown) > 0:
		c.unknown(c.parkedUnknown...) // of a domain without mail there is nothing to report
	default:
		// Where they are to go, only a person can say.
		c.report(diag.Finding{Kind: noReports, Subject: p.Step.Domain, Owner: c.owner(rr), Evidence: c.evidence(rr, dmarc.Span{})})
	}
	for _, d := range c.destinations {
		c.consent(d, rr)
		c.reachable(d, rr)
	}
}

// consent reports a destination that has not agreed to get the reports.
func (c *run1) consent(d *destination, rr *dnsq.RR) {
	same, known := d.same()
	if d.err != nil && d.walk == nil {
		c.unknown(d.err)
		return
	}
	if same && known {
		return
	}
	f := diag.Finding{Subject: c.policy.Step.Domain, Args: diag.Args{"destination": d.host, "name": d.name}, Evidence: c.spot(rr, d.host)}
	switch {
	case d.err != nil:
		// Whether it agrees is not known: not the same as a refusal.
		c.unknown(d.err)
		return
	case !d.exists:
		// The name would be too long: no determination can be made, and no
		// reports are sent.
		f.Kind = ruaUnauthorized
	default:
		switch dmarc.ReadConsent(texts(d.answer), d.host) {
		case dmarc.Consents:
			return
		case dmarc.Diverts:
			f.Kind = ruaDiverted
			for i := range d.answer.RRs {
				f.Evidence = append(f.Evidence, c.evidence(&d.answer.RRs[i], dmarc.Span{})...)
			}
		default:
			f.Kind = ruaUnauthorized
			if len(d.answer.Chain) == 0 {
				f.Fixes = []diag.Fix{{Owner: diag.Provider, Edits: []diag.Edit{{Name: d.name, Type: "TXT", New: "v=DMARC1"}}}}
			}
			f.Fixes = append(f.Fixes, c.dropDestination(d, rr)...)
		}
	}
	if !known {
		// It may belong to us after all; that hangs on the walks.
		for _, w := range []*orgdomain.Result{d.policy, d.walk} {
			c.unknown(w.OrgUnknown...)
		}
		return
	}
	c.report(f)
}

// spot is the record with the destination marked.
func (c *run1) spot(rr *dnsq.RR, host string) []diag.Evidence {
	for _, u := range slices.Concat(c.policy.Record.RUA, c.policy.Record.RUF) {
		if u.Host == host {
			return c.evidence(rr, u.Span)
		}
	}
	return c.evidence(rr, dmarc.Span{})
}

// reachable reports a destination that takes no mail.
func (c *run1) reachable(d *destination, rr *dnsq.RR) {
	if d.mxErr != nil {
		c.unknown(d.mxErr)
		return
	}
	var unknown []*dnsq.Error
	look := func(a *facts.Addresses) bool {
		if a == nil {
			return false
		}
		if len(a.All()) > 0 {
			return true
		}
		unknown = append(unknown, a.Unknown()...)
		return false
	}
	if d.mx.Answer.Outcome != dnsq.Found {
		// RFC 5321 §5.1: without an MX record the domain's own address counts.
		if look(d.mx.Implicit) {
			return
		}
	}
	for i := range d.mx.Hosts {
		h := &d.mx.Hosts[i]
		if h.Literal.IsValid() || look(h.Addresses) {
			return // a literal is wrong in its own way, which is for the MX check to say
		}
	}
	if len(unknown) > 0 {
		c.unknown(unknown...)
		return
	}
	f := diag.Finding{Kind: ruaNoMail, Subject: c.policy.Step.Domain, Args: diag.Args{"destination": d.host}, Evidence: c.spot(rr, d.host)}
	f.Fixes = c.dropDestination(d, rr)
	for i := range d.mx.Hosts {
		f.Evidence = append(f.Evidence, facts.Evidence(d.mx.Hosts[i].RR, d.mx.Hosts[i].RR.Host, 0, 0))
	}
	c.report(f)
}
