// Package mx checks how a sending domain takes mail: replies and bounces go to
// its MX hosts, and receivers look whether they could.
package mx

import (
	"context"
	"embed"
	"net/netip"
	"slices"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
)

//go:embed doc.*.md
var docs embed.FS

// What the check can find.
var (
	noHost = &diag.Kind{ID: "MX-NO-HOST", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(5321, "5.1")}}
	null = &diag.Kind{ID: "MX-NULL", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(7505, "3"), diag.RFC(7505, "4.2")}}
	hostUnresolvable = &diag.Kind{ID: "MX-HOST-UNRESOLVABLE", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"host"}, Key: []string{"host"}, Refs: []diag.Ref{diag.RFC(5321, "5.1")}}
	addressLiteral = &diag.Kind{ID: "MX-ADDRESS-LITERAL", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"host"}, Key: []string{"host"}, Refs: []diag.Ref{diag.RFC(1035, "3.3.9"), diag.RFC(5321, "5.1")}}
	notPublic = &diag.Kind{ID: "MX-NOT-PUBLIC", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"host", "addresses"}, Key: []string{"host"}, Refs: []diag.Ref{diag.RFC(6890, "2.2")}}
	implicit = &diag.Kind{ID: "MX-IMPLICIT", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"addresses"}, Refs: []diag.Ref{diag.RFC(5321, "5.1")}}
	cname = &diag.Kind{ID: "MX-CNAME", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"host", "target"}, Key: []string{"host"}, Refs: []diag.Ref{diag.RFC(2181, "10.3"), diag.RFC(5321, "5.1")}}
	nullAmongOthers = &diag.Kind{ID: "MX-NULL-AMONG-OTHERS", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(7505, "3")}}
	ipv6Only = &diag.Kind{ID: "MX-IPV6-ONLY", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"hosts"}, Refs: []diag.Ref{diag.RFC(3974, "3")}}
	single = &diag.Kind{ID: "MX-SINGLE", Status: diag.Info, Since: "0.1",
		Args: []string{"host"}, Key: []string{"host"}, Refs: []diag.Ref{diag.RFC(5321, "5.1")}}
	ipv6NotPublic = &diag.Kind{ID: "MX-IPV6-NOT-PUBLIC", Status: diag.Info, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"host", "addresses"}, Key: []string{"host"}, Refs: []diag.Ref{diag.RFC(6890, "2.2"), diag.RFC(5321, "5.1")}}
	ok = &diag.Kind{ID: "MX-OK", Status: diag.Pass, Since: "0.1",
		Args: []string{"hosts"}, Refs: []diag.Ref{diag.RFC(5321, "5.1")}}
	parked = &diag.Kind{ID: "MX-PARKED", Status: diag.Pass, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(7505, "3"), diag.RFC(7208, "10.1.2")}}
	notNeeded = &diag.Kind{ID: "MX-NOT-NEEDED", Status: diag.Pass, Since: "0.2",
		Refs: []diag.Ref{diag.RFC(7505, "3"), diag.RFC(5321, "5.1")}}
	skipped = &diag.Kind{ID: "MX-SKIPPED", Status: diag.Skip, Since: "0.1",
		Args: []string{"missing"}, Refs: []diag.Ref{diag.RFC(5321, "5.1")}}
	undetermined = &diag.Kind{ID: "MX-UNDETERMINED", Status: diag.Inconclusive, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"question", "reason"}, Key: []string{"question"}, Refs: []diag.Ref{diag.RFC(5321, "5.1")}}
)

// Check is the mx check. It judges each domain that mail may come back to: the
// sending domain, that of the header From and that of the Return-Path.
var Check = &diag.Check{
	Name: "mx",
	Docs: docs,
	Kinds: []*diag.Kind{noHost, null, hostUnresolvable, addressLiteral, notPublic, leftBehind, hostMoved,
		undetermined, implicit, cname, nullAmongOthers, ipv6Only, ipv6NotPublic, single, ok, parked, notNeeded, skipped},
	Uses:         diag.Doors{DNS: true},
	Requires:     []diag.AnyFact{facts.MX, facts.SendsNothing},
	Run:          run,
	Undetermined: undetermined,
	Skipped:      skipped,
}

// Data are the check's facts for machines.
type Data struct {
	Hosts    []HostData   `json:"hosts"`
	ByDomain []DomainData `json:"by_domain,omitempty"` // the other domains, if there are any
}

// DomainData are the hosts of one more domain.
type DomainData struct {
	Domain string     `json:"domain"`
	Hosts  []HostData `json:"hosts"`
}

// HostData is one MX host.
type HostData struct {
	Preference int      `json:"preference"`
	Host       string   `json:"host"`
	Addresses  []string `json:"addresses"`
}

func run(ctx context.Context, j *diag.Job) error {
	data := Data{Hosts: []HostData{}}
	list := facts.MailDomains(j.Target)
	for _, domain := range list { // all at once; then each is waited for
		facts.MX.Start(j.World, domain)
	}
	for i, domain := range list {
		m, err := facts.MX.Of(ctx, j.World, domain)
		if err != nil {
			e := dnsq.AsError(dnsq.Q(domain, dnsq.TypeMX), err)
			report(j, domain, undetermined, diag.Args{"question": e.Question.String(), "reason": string(e.Reason)}, e)
			continue
		}
		judge(ctx, j, m)
		if j.Before != nil {
			if err := change(ctx, j, m); err != nil {
				return err
			}
		}
		if i == 0 {
			data.Hosts = hostData(m)
		} else {
			data.ByDomain = append(data.ByDomain, DomainData{domain, hostData(m)})
		}
	}
	j.SetData(data)
	return nil
}

func judge(ctx context.Context, j *diag.Job, m *facts.MailHosts) {
	domain := m.Domain
	noMail := len(m.Hosts) > 0 && !slices.ContainsFunc(m.Hosts, func(h facts.MailHost) bool { return !h.Null })
	if !j.Target.TakesMail() && (m.Answer.Outcome != dnsq.Found || noMail) {
		// Nothing is sent, so nothing comes back.
		f := diag.Finding{Kind: notNeeded, Subject: domain, Args: diag.Args{}}
		for i := range m.Hosts {
			f.Evidence = append(f.Evidence, evidence(&m.Hosts[i])...)
		}
		j.Report(f)
		return
	}
	if m.Answer.Outcome != dnsq.Found {
		judgeImplicit(j, m)
		return
	}
	var nulls, others []*facts.MailHost
	for i := range m.Hosts {
		if h := &m.Hosts[i]; h.Null {
			nulls = append(nulls, h)
		} else {
			others = append(others, h)
		}
	}
	// RFC 7505 §3: a null MX stands alone, with preference 0.
	if len(others) == 0 {
		judgeNull(ctx, j, domain, nulls)
		return
	}
	if len(nulls) > 0 {
		j.Report(diag.Finding{Kind: nullAmongOthers, Subject: domain, Args: diag.Args{}, Evidence: evidence(nulls...),
			Fixes: removal(nulls)})
	}
	var good, unknown []*facts.MailHost
	faults := 0
	v4, v6only := false, []string{}
	seen := map[string]bool{}
	for _, h := range others {
		host := h.RR.Host
		if seen[host] {
			continue // a host that stands twice, with two preferences, is one host
		}
		seen[host] = true
		if h.Literal.IsValid() {
			// RFC 1035 §3.3.9: the exchange is a host name. An address there is a
			// name of its digits, which does not exist.
			j.Report(diag.Finding{Kind: addressLiteral, Subject: domain, Args: diag.Args{"host": host}, Evidence: evidence(h),
				Fixes: named(ctx, j, m.Answer.Owner(), others, h)})
			faults++
			continue
		}
		a := h.Addresses
		all, known := deciding(a)
		switch {
		case !known:
			unknown = append(unknown, h)
		case len(all) == 0:
			j.Report(diag.Finding{Kind: hostUnresolvable, Subject: domain, Args: diag.Args{"host": host}, Evidence: evidence(h),
				Fixes: append(undoubled(m.Answer.Owner(), others, host), without(others, host)...)})
			faults++
			continue
		case len(private(all)) > 0:
			j.Report(diag.Finding{Kind: notPublic, Subject: domain, Args: diag.Args{"host": host, "addresses": private(all)}, Evidence: evidence(h),
				Fixes: without(others, host)})
			faults++
		default:
			good = append(good, h)
		}
		if bad := privateBeside(a); len(bad) > 0 {
			j.Report(diag.Finding{Kind: ipv6NotPublic, Subject: domain, Args: diag.Args{"host": host, "addresses": bad}, Evidence: evidence(h)})
		}
		// RFC 2181 §10.3: the target of an MX is not an alias.
		if al := a.Alias(); al != nil {
			j.Report(diag.Finding{Kind: cname, Subject: domain, Args: diag.Args{"host": host, "target": al.Owner()},
				Evidence: evidence(h), Fixes: rename(m.Answer.Owner(), others, host, al.Owner())})
		}
		switch {
		case a.A == nil: // not known to lack IPv4: among the unknown
		case len(a.A.RRs) > 0:
			v4 = true
		case known:
			v6only = append(v6only, host)
		}
	}
	// A host of which not enough is known: neither a fault nor a working host.
	for _, h := range unknown {
		if u := h.Addresses.Unknown(); len(u) > 0 {
			report(j, domain, undetermined, diag.Args{"question": u[0].Question.String(), "reason": string(u[0].Reason)}, u...)
		}
	}
	if !v4 && len(v6only) > 0 && len(unknown) == 0 {
		j.Report(diag.Finding{Kind: ipv6Only, Subject: domain, Args: diag.Args{"hosts": v6only}, Evidence: evidence(good...)})
	}
	if faults == 0 && len(unknown) == 0 && len(good) > 0 {
		if len(good) == 1 {
			j.Report(diag.Finding{Kind: single, Subject: domain, Args: diag.Args{"host": good[0].RR.Host}, Evidence: evidence(good...)})
			return
		}
		var names []string
		for _, h := range good {
			names = append(names, h.RR.Host)
		}
		j.Report(diag.Finding{Kind: ok, Subject: domain, Args: diag.Args{"hosts": names}, Evidence: evidence(good...)})
	}
}

// judgeNull judges a domain that takes no mail. If nobody says that it sends
// any (no address was given) and its SPF record says that it does not, it is
// parked, and as it should be.
func judgeNull(ctx context.Context, j *diag.Job, domain string, nulls []*facts.MailHost) {
	k := null
	if len(j.Target.IPs) == 0 && !j.Target.NeverSends() {
		nothing, err := facts.SendsNothing.Of(ctx, j.World, domain)
		if err != nil {
			e := dnsq.AsError(dnsq.Q(domain, dnsq.TypeTXT), err)
			report(j, domain, undetermined, diag.Args{"question": e.Question.String(), "reason": string(e.Reason)}, e)
			return
		}
		if nothing {
			k = parked
		}
	}
	j.Report(diag.Finding{Kind: k, Subject: domain, Args: diag.Args{}, Evidence: evidence(nulls...)})
}

// judgeImplicit judges a domain without MX records.
func judgeImplicit(j *diag.Job, m *facts.MailHosts) {
	domain := m.Domain
	// RFC 5321 §5.1: without any MX the domain's own address is its mail host.
	all := m.Implicit.All()
	decisive, known := deciding(m.Implicit)
	if !known {
		unknown := m.Implicit.Unknown()
		e := unknown[0]
		report(j, domain, undetermined, diag.Args{"question": e.Question.String(), "reason": string(e.Reason)}, unknown...)
		if len(all) == 0 {
			return
		}
	} else if len(all) == 0 {
		j.Report(diag.Finding{Kind: noHost, Subject: domain, Args: diag.Args{}})
		return
	}
	if bad := private(decisive); len(bad) > 0 {
		j.Report(diag.Finding{Kind: notPublic, Subject: domain, Args: diag.Args{"host": domain, "addresses": bad}})
	}
	if bad := privateBeside(m.Implicit); len(bad) > 0 {
		j.Report(diag.Finding{Kind: ipv6NotPublic, Subject: domain, Args: diag.Args{"host": domain, "addresses": bad}})
	}
	f := diag.Finding{Kind: implicit, Subject: domain, Args: diag.Args{"addresses": texts(all)}}
	// Nothing stands beside a CNAME (RFC 1034 §3.6.2), so an alias gets no MX.
	if len(m.Answer.Chain) == 0 {
		f.Fixes = []diag.Fix{{Owner: diag.DNSAdmin, Edits: []diag.Edit{{Name: domain, Type: "MX", New: text(10, domain)}}}}
	}
	j.Report(f)
}

// deciding are the addresses by which a host is judged: the IPv4 ones, or where
// there are none, those of IPv6. Every sender that cannot deliver to an IPv6
// address goes on to IPv4 (RFC 5321 §5.1: the addresses are tried in turn), so
// beside an A record the AAAA record decides nothing and need not be known. known
// is false if what decides was not learnt.
func deciding(a *facts.Addresses) (addrs []netip.Addr, known bool) {
	if a.A == nil {
		return nil, false
	}
	if len(a.A.RRs) == 0 && a.AAAA == nil {
		return nil, false
	}
	for i := range a.A.RRs {
		addrs = append(addrs, a.A.RRs[i].Addr)
	}
	if len(addrs) == 0 {
		for i := range a.AAAA.RRs {
			addrs = append(addrs, a.AAAA.RRs[i].Addr)
		}
	}
	return addrs, true
}

// privateBeside are IPv6 addresses that cannot be reached, beside IPv4 ones.
func privateBeside(a *facts.Addresses) []string {
	if a.A == nil || len(a.A.RRs) == 0 || a.AAAA == nil {
		return nil
	}
	var v6 []netip.Addr
	for i := range a.AAAA.RRs {
		v6 = append(v6, a.AAAA.RRs[i].Addr)
	}
	return private(v6)
}

// private are the addresses that the Internet cannot reach (RFC 6890):
// loopback, private, shared, link-local, unspecified, multicast. Documentation
// addresses (RFC 5737, RFC 3849) count as public: they stand for public ones
// in examples and in a zone that is only tried out.
func private(addrs []netip.Addr) []string {
	var out []string
	for _, a := range addrs {
		if !facts.Public(a) {
			out = append(out, a.String())
		}
	}
	return out
}

func texts(addrs []netip.Addr) []string {
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return out
}

func report(j *diag.Job, subject string, k *diag.Kind, args diag.Args, unknown ...*dnsq.Error) {
	j.Report(diag.Finding{Kind: k, Subject: subject, Args: args, Unknown: unknown})
}
