package facts

import (
	"context"
	"net/netip"
	"slices"
	"sync"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsbl"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/orgdomain"
)

// A BlocklistPart is what a blocklist holds of one kind.
type BlocklistPart struct {
	List *dnsbl.List
	Kind dnsbl.Kind
}

// BlocklistHealth is the fact: what became of a blocklist's test entries. It
// never has an error. A list that does not answer is no DNS trouble of the
// report: the verdict does not need it.
var BlocklistHealth = &diag.Fact[BlocklistPart, *dnsbl.Health]{
	Name: "blocklist-health",
	Learn: func(ctx context.Context, w *diag.World, p BlocklistPart) (*dnsbl.Health, error) {
		return dnsbl.Probe(ctx, w.Optional(), p.List, p.Kind), nil
	},
}

// A BlocklistAsk is a subject at a blocklist.
type BlocklistAsk struct {
	List    *dnsbl.List
	Subject dnsbl.Subject
}

// BlocklistEntry is the fact: what a blocklist answers for a subject. By itself
// it says nothing: dnsbl.Judge weighs it. It never has an error.
var BlocklistEntry = &diag.Fact[BlocklistAsk, *dnsbl.Reply]{
	Name: "blocklist-entry",
	Learn: func(ctx context.Context, w *diag.World, a BlocklistAsk) (*dnsbl.Reply, error) {
		return dnsbl.Ask(ctx, w.Optional(), a.List, a.Subject), nil
	},
}

// BlocklistReasons is the fact: the list's words about an entry, nil if there
// are none. It never has an error.
var BlocklistReasons = &diag.Fact[BlocklistAsk, []string]{
	Name: "blocklist-reasons",
	Learn: func(ctx context.Context, w *diag.World, a BlocklistAsk) ([]string, error) {
		return dnsbl.Reasons(ctx, w.Optional(), a.List, a.Subject), nil
	},
}

// maxAddressNames bounds the names of one address that are looked at, as
// receivers do (RFC 7208 §5.5).
const maxAddressNames = 10

// NamedDomains are the registered domains (by the Public Suffix List) of an
// address's names, sorted, and the questions about them that got no answer.
type NamedDomains struct {
	Domains []string
	Unknown []*dnsq.Error
}

// AddressDomains is the fact. Only names that lead back to the address count:
// anybody can give his address the name of somebody else. It never has an error,
// and an unanswered question is no trouble of the report: few verdicts hang on
// it.
var AddressDomains = &diag.Fact[netip.Addr, *NamedDomains]{
	Name: "address-domains",
	Learn: func(ctx context.Context, w *diag.World, ip netip.Addr) (*NamedDomains, error) {
		ip = ip.Unmap()
		r := w.Optional()
		out := &NamedDomains{}
		a, err := ask(ctx, r, dnsq.ReverseName(ip), dnsq.TypePTR)
		if err != nil {
			out.Unknown = append(out.Unknown, err)
			return out, nil
		}
		var names []string
		for i := range a.RRs {
			names = append(names, a.RRs[i].Host)
		}
		slices.Sort(names) // a server may rotate them
		names = slices.Compact(names)
		names = names[:min(len(names), maxAddressNames)]
		t := dnsq.TypeA
		if ip.Is6() {
			t = dnsq.TypeAAAA
		}
		answers, errs := make([]*dnsq.Answer, len(names)), make([]*dnsq.Error, len(names))
		var wg sync.WaitGroup
		for i, n := range names {
			wg.Go(func() { answers[i], errs[i] = ask(ctx, r, n, t) })
		}
		wg.Wait()
		for i, n := range names {
			d, ok := orgdomain.PSL(n)
			switch {
			case !ok:
			case errs[i] != nil:
				out.Unknown = append(out.Unknown, errs[i])
			case slices.ContainsFunc(answers[i].RRs, func(rr dnsq.RR) bool { return rr.Addr == ip }):
				out.Domains = append(out.Domains, d)
			}
		}
		slices.Sort(out.Domains)
		out.Domains = slices.Compact(out.Domains)
		return out, nil
	},
}

// SenderDomains are the domains that blocklists may know the sender by and that
// the target names: the header From, the Return-Path and the signature's d=, and
// the registered domain of each of these and of the HELO name. Lists such as
// SURBL hold registered domains alone, others single hosts too; they find the
// boundary by the Public Suffix List, whatever a domain says of itself by DMARC
// (RFC 9989). Duplicates and what is no domain are left out; the order is that
// of importance.
func SenderDomains(t *diag.Target) []dnsbl.Subject {
	var out []dnsbl.Subject
	add := func(name string) {
		if s, ok := dnsbl.DomainName(name); ok && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	var names []string
	for _, s := range []string{t.From, t.MailFromDomain(), t.DKIMDomain} {
		if n, err := dnsq.ParseName(s); err == nil {
			add(n)
			names = append(names, n)
		}
	}
	if n, err := dnsq.ParseName(t.Helo); err == nil {
		names = append(names, n)
	}
	for _, n := range names {
		if d, ok := orgdomain.PSL(n); ok {
			add(d)
		}
	}
	return out
}
