package mx

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
)

// What the check can find about a change that leads mail elsewhere without
// touching the MX record: the address of its host changes. It happens when a web
// site moves and the mail host is the very name of the site.
var (
	leftBehind = &diag.Kind{ID: "MX-LEFT-BEHIND", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"host", "old", "new", "trace"}, Key: []string{"host"}, Refs: []diag.Ref{diag.RFC(5321, "5.1")}}
	hostMoved = &diag.Kind{ID: "MX-HOST-MOVED", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"host", "old", "new"}, Key: []string{"host"}, Refs: []diag.Ref{diag.RFC(5321, "5.1")}}
)

// mailNames are names below a domain that say that mail is handled there.
var mailNames = []string{"mail", "smtp", "imap", "pop", "mx"}

// change compares the addresses of each mail host that the domain had before the
// change, under the same name, with those that it has now.
func change(ctx context.Context, j *diag.Job, m *facts.MailHosts) error {
	open := func(u []*dnsq.Error) {
		report(j, m.Domain, undetermined, diag.Args{"question": u[0].Question.String(), "reason": string(u[0].Reason)}, u...)
	}
	before, err := facts.MX.Of(ctx, j.Before, m.Domain)
	if err != nil {
		open([]*dnsq.Error{dnsq.AsError(dnsq.Q(m.Domain, dnsq.TypeMX), err)})
		return nil
	}
	was := hosts(before)
	for _, now := range hosts(m) {
		name := now.name
		i := slices.IndexFunc(was, func(h mailHost) bool { return h.name == name })
		if i < 0 {
			continue // another host: the MX record says so, on purpose
		}
		old := &was[i]
		// Each family by itself: a sender of IPv4 is not helped by an IPv6 address
		// that stays.
		a, b, u := moved(old.addrs, now.addrs)
		if u != nil {
			open(u)
		}
		if len(a) == 0 {
			continue
		}
		f := diag.Finding{Kind: hostMoved, Subject: m.Domain, Args: diag.Args{"host": name, "old": texts(a), "new": texts(b)}, Evidence: now.evidence()}
		// A host that carries the domain's own name is likely to have moved with
		// the web site. Something that still says that mail lives at the old
		// address makes it certain enough: the mail server stayed.
		if name == m.Domain {
			host, trace, unknown := stayed(ctx, j, m.Domain, a)
			switch {
			case trace != "":
				f.Kind, f.Args["trace"] = leftBehind, trace
				if host != "" {
					f.Fixes = now.lead(m, host)
				}
			case unknown != nil:
				open(unknown)
				continue
			}
		}
		j.Report(f)
	}
	return nil
}

// moved are the addresses that a host had and those that it has, of each family
// in which none stayed; and the questions without an answer that hide whether one
// did. Where nobody was, or is, nothing moved: that is a fault of its own.
func moved(old, now *facts.Addresses) (from, to []netip.Addr, unknown []*dnsq.Error) {
	for _, f := range []struct {
		was, is       *dnsq.Answer
		wasErr, isErr *dnsq.Error
	}{{old.A, now.A, old.AErr, now.AErr}, {old.AAAA, now.AAAA, old.A6Err, now.A6Err}} {
		if f.isErr != nil && f.wasErr != nil && f.isErr.Reason == f.wasErr.Reason {
			continue // not known before, not known now: the change is not what hides it
		}
		for _, e := range []*dnsq.Error{f.isErr, f.wasErr} {
			if e != nil {
				unknown = append(unknown, e)
			}
		}
		if f.was == nil || f.is == nil {
			continue
		}
		var a, b []netip.Addr
		for i := range f.was.RRs {
			a = append(a, f.was.RRs[i].Addr)
		}
		for i := range f.is.RRs {
			b = append(b, f.is.RRs[i].Addr)
		}
		if len(a) > 0 && len(b) > 0 && !slices.ContainsFunc(a, func(x netip.Addr) bool { return slices.Contains(b, x) }) {
			from, to = append(from, a...), append(to, b...)
		}
	}
	return from, to, unknown
}

// A mailHost is where mail for a domain goes: an MX host, or the domain itself.
type mailHost struct {
	name  string
	host  *facts.MailHost // nil for the domain itself, without an MX record
	addrs *facts.Addresses
}

func (h *mailHost) evidence() []diag.Evidence {
	var out []diag.Evidence
	if h.host != nil {
		out = evidence(h.host)
	}
	for _, a := range []*dnsq.Answer{h.addrs.A, h.addrs.AAAA} {
		if a == nil {
			continue
		}
		for i := range a.RRs {
			out = append(out, facts.Evidence(&a.RRs[i], a.RRs[i].Addr.String(), 0, 0))
		}
	}
	return out
}

// lead is the fix that has mail go to another name.
func (h *mailHost) lead(m *facts.MailHosts, host string) []diag.Fix {
	if h.host == nil {
		if len(m.Answer.Chain) > 0 {
			return nil // nothing stands beside a CNAME
		}
		return []diag.Fix{{Owner: diag.DNSAdmin, Edits: []diag.Edit{{Name: m.Domain, Type: "MX", New: text(10, host)}}}}
	}
	rr := h.host.RR
	return []diag.Fix{{Owner: diag.DNSAdmin, Edits: []diag.Edit{{Name: rr.Name, Type: "MX", Old: text(rr.Pref, rr.Host), New: text(rr.Pref, host)}}}}
}

// hosts are the hosts that mail for a domain goes to, each once, in order of
// preference.
func hosts(m *facts.MailHosts) []mailHost {
	if m.Answer.Outcome != dnsq.Found {
		if m.Implicit == nil {
			return nil
		}
		return []mailHost{{m.Domain, nil, m.Implicit}}
	}
	var out []mailHost
	for i := range m.Hosts {
		h := &m.Hosts[i]
		if h.Null || h.Literal.IsValid() || h.Addresses == nil ||
			slices.ContainsFunc(out, func(o mailHost) bool { return o.name == h.RR.Host }) {
			continue
		}
		out = append(out, mailHost{h.RR.Host, h, h.Addresses})
	}
	return out
}

// stayed looks for something that says, after the change, that the domain's mail
// is still at one of the old addresses: a name of mail that leads there, or the
// domain's own SPF record that names the very address. host is that name. Without
// a trace, unknown are the questions that may hide one.
func stayed(ctx context.Context, j *diag.Job, domain string, old []netip.Addr) (host, trace string, unknown []*dnsq.Error) {
	ask := func(q dnsq.Question) *dnsq.Answer {
		a, err := j.Ask(ctx, q)
		if err != nil {
			unknown = append(unknown, dnsq.AsError(q, err))
			return nil
		}
		return a
	}
	for _, n := range mailNames {
		name := dnsq.Join(n, domain)
		for _, t := range []dnsq.Type{dnsq.TypeA, dnsq.TypeAAAA} {
			a := ask(dnsq.Q(name, t))
			if a == nil || len(a.Chain) > 0 { // RFC 2181 §10.3: an MX names no alias
				continue
			}
			for i := range a.RRs {
				if slices.Contains(old, a.RRs[i].Addr) {
					return name, name + " " + t.String() + " " + a.RRs[i].Addr.String(), nil
				}
			}
		}
	}
	a := ask(dnsq.Q(domain, dnsq.TypeTXT))
	if a == nil {
		return "", "", unknown
	}
	for i := range a.RRs {
		terms := strings.Fields(strings.ToLower(a.RRs[i].Text()))
		if len(terms) == 0 || terms[0] != "v=spf1" {
			continue
		}
		for _, ip := range old {
			for _, term := range terms[1:] {
				term = strings.TrimPrefix(term, "+")
				if term == "ip4:"+ip.String() || term == "ip4:"+ip.String()+"/32" || term == "ip6:"+ip.String() || term == "ip6:"+ip.String()+"/128" {
					return "", term, nil
				}
			}
		}
	}
	return "", "", unknown
}
