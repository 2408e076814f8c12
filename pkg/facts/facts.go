// Package facts holds what several checks need, learnt once per target: the
// hosts that take mail for a domain, the names of an address, an SPF tree.
//
// A fact is protocol knowledge without judgement: it says what the DNS says,
// and for each part that could not be learnt, that it could not. Checks judge.
package facts

import (
	"context"
	"net/netip"
	"slices"
	"sync"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// Addresses are the A and AAAA records of a name; each has an answer or an error.
type Addresses struct {
	Name        string
	A, AAAA     *dnsq.Answer
	AErr, A6Err *dnsq.Error
}

// All are the addresses that are known, IPv4 first.
func (a *Addresses) All() []netip.Addr {
	var out []netip.Addr
	for _, ans := range []*dnsq.Answer{a.A, a.AAAA} {
		if ans == nil {
			continue
		}
		for i := range ans.RRs {
			out = append(out, ans.RRs[i].Addr)
		}
	}
	return out
}

// Known reports whether both questions were answered.
func (a *Addresses) Known() bool { return a.AErr == nil && a.A6Err == nil }

// Unknown are the questions without an answer.
func (a *Addresses) Unknown() []*dnsq.Error {
	var out []*dnsq.Error
	for _, e := range []*dnsq.Error{a.AErr, a.A6Err} {
		if e != nil {
			out = append(out, e)
		}
	}
	return out
}

// Alias is the answer that shows the name to be a CNAME, or nil.
func (a *Addresses) Alias() *dnsq.Answer {
	for _, ans := range []*dnsq.Answer{a.A, a.AAAA} {
		if ans != nil && len(ans.Chain) > 0 {
			return ans
		}
	}
	return nil
}

// Exists reports whether the name exists; only meaningful if anything is known.
func (a *Addresses) Exists() bool {
	return a.A != nil && a.A.Exists() || a.AAAA != nil && a.AAAA.Exists()
}

// Host is the fact: the addresses of a name.
var Host = &diag.Fact[string, *Addresses]{
	Name: "host",
	Learn: func(ctx context.Context, w *diag.World, name string) (*Addresses, error) {
		h := &Addresses{Name: name}
		var wg sync.WaitGroup
		wg.Go(func() { h.A, h.AErr = ask(ctx, w, name, dnsq.TypeA) })
		wg.Go(func() { h.AAAA, h.A6Err = ask(ctx, w, name, dnsq.TypeAAAA) })
		wg.Wait()
		return h, nil
	},
}

func ask(ctx context.Context, r dnsq.Resolver, name string, t dnsq.Type) (*dnsq.Answer, *dnsq.Error) {
	q := dnsq.Q(name, t)
	a, err := r.Ask(ctx, q)
	if err != nil {
		return nil, dnsq.AsError(q, err)
	}
	return a, nil
}

// MailHosts is how a domain takes mail.
type MailHosts struct {
	Domain string
	// Answer is the answer to the MX question. Its error is the fact's error.
	Answer *dnsq.Answer
	// Hosts are the targets of the MX records in the order of preference, then
	// name. Null MX records (".") and address literals have no Addresses.
	Hosts []MailHost
	// Implicit are the domain's own addresses, learnt only where there is no
	// MX record: mail then goes to them (RFC 5321 §5.1).
	Implicit *Addresses
}

// A MailHost is one MX record and the addresses of its target.
type MailHost struct {
	RR        *dnsq.RR
	Null      bool       // the target is the root (RFC 7505)
	Literal   netip.Addr // the target is an IP address written as a name; else not valid
	Addresses *Addresses
}

// MX is the fact: the mail hosts of a domain.
var MX = &diag.Fact[string, *MailHosts]{
	Name:     "mx",
	Requires: []diag.AnyFact{Host},
	Learn: func(ctx context.Context, w *diag.World, domain string) (*MailHosts, error) {
		a, err := ask(ctx, w, domain, dnsq.TypeMX)
		if err != nil {
			return nil, err
		}
		m := &MailHosts{Domain: domain, Answer: a}
		if a.Outcome != dnsq.Found {
			m.Implicit = addresses(ctx, w, domain)
			return m, nil
		}
		m.Hosts = make([]MailHost, len(a.RRs))
		for i, rr := range sortedMX(a.RRs) {
			h := &m.Hosts[i]
			h.RR = rr
			if rr.Host == "." {
				h.Null = true
				continue
			}
			if lit, ok := Literal(rr.Host); ok {
				h.Literal = lit
				continue
			}
			Host.Start(w, rr.Host)
		}
		for i := range m.Hosts {
			if h := &m.Hosts[i]; !h.Null && !h.Literal.IsValid() {
				h.Addresses = addresses(ctx, w, h.RR.Host)
			}
		}
		return m, nil
	},
}

// addresses is the fact Host, never nil: if the run ends before it is learnt,
// neither question was answered.
func addresses(ctx context.Context, w *diag.World, name string) *Addresses {
	h, err := Host.Of(ctx, w, name)
	if h == nil {
		h = &Addresses{Name: name,
			AErr: dnsq.AsError(dnsq.Q(name, dnsq.TypeA), err), A6Err: dnsq.AsError(dnsq.Q(name, dnsq.TypeAAAA), err)}
	}
	return h
}

// MailDomains are the domains that a mail names as its sender's, each once: the
// sending domain, that of the header From and that of the Return-Path. One that
// is no valid name is left out.
func MailDomains(t *diag.Target) []string {
	out := []string{t.Domain}
	for _, d := range []string{t.From, t.MailFromDomain()} {
		if name, err := dnsq.ParseName(d); err == nil && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}
