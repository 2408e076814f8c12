package mx

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/orgdomain"
)

// text is MX RDATA in presentation format.
func text(pref uint16, host string) string {
	if host == "." {
		return fmt.Sprintf("%d .", pref)
	}
	return fmt.Sprintf("%d %s.", pref, host)
}

// evidence are the MX records of hosts, with the target as the part at fault.
func evidence(hosts ...*facts.MailHost) []diag.Evidence {
	var out []diag.Evidence
	for _, h := range hosts {
		t := text(h.RR.Pref, h.RR.Host)
		at := len(fmt.Sprint(h.RR.Pref)) + 1
		out = append(out, facts.Evidence(h.RR, t, at, len(t)-at))
	}
	return out
}

// rename is the fix that puts another host in place of one, in every MX record
// of the domain that names it.
func rename(domain string, hosts []*facts.MailHost, old, new string) []diag.Fix {
	fix := diag.Fix{Owner: diag.DNSAdmin}
	for _, h := range hosts {
		if h.RR.Host == old {
			fix.Edits = append(fix.Edits, diag.Edit{Name: domain, Type: "MX", Old: text(h.RR.Pref, old), New: text(h.RR.Pref, new)})
		}
	}
	return []diag.Fix{fix}
}

// removal is the fix that takes MX records away.
func removal(hosts []*facts.MailHost) []diag.Fix {
	fix := diag.Fix{Owner: diag.DNSAdmin}
	for _, h := range hosts {
		fix.Edits = append(fix.Edits, diag.Edit{Name: h.RR.Name, Type: "MX", Old: text(h.RR.Pref, h.RR.Host)})
	}
	return []diag.Fix{fix}
}

// undoubled is the fix for a host to which a zone's name was added twice, as web
// forms do: mail.shop.example.shop.example.
func undoubled(domain string, hosts []*facts.MailHost, host string) []diag.Fix {
	zones := []string{domain}
	if org, ok := orgdomain.PSL(domain); ok && org != domain {
		zones = append(zones, org)
	}
	for _, z := range zones {
		if once, ok := strings.CutSuffix(host, "."+z); ok && dnsq.AtOrBelow(once, z) {
			return rename(domain, hosts, host, once)
		}
	}
	return nil
}

// without is the fix that takes the records of a host away that takes no mail, if
// there is another that does: nobody could ever deliver to the one.
func without(hosts []*facts.MailHost, host string) []diag.Fix {
	var bad []*facts.MailHost
	good := false
	for _, h := range hosts {
		if h.RR.Host == host {
			bad = append(bad, h)
			continue
		}
		if h.Addresses != nil {
			all, known := deciding(h.Addresses)
			good = good || known && len(all) > 0 && len(private(all)) == 0
		}
	}
	if !good {
		return nil
	}
	return removal(bad)
}

// named is the fix for an address where a name must stand: the name that has it,
// the domain's own or that of mail below it, or else mail below it, if that name
// is free.
func named(ctx context.Context, j *diag.Job, domain string, hosts []*facts.MailHost, h *facts.MailHost) []diag.Fix {
	ip := h.Literal.Unmap()
	if !facts.Public(ip) {
		return nil
	}
	typ := dnsq.TypeA
	if ip.Is6() {
		typ = dnsq.TypeAAAA
	}
	mail := dnsq.Join("mail", domain)
	for _, name := range []string{domain, mail} {
		a, err := j.Optional().Ask(ctx, dnsq.Question{Name: name, Type: typ})
		switch {
		case err != nil:
			return nil
		case len(a.Chain) == 0 && slices.ContainsFunc(a.RRs, func(rr dnsq.RR) bool { return rr.Addr == ip }):
			return rename(domain, hosts, h.RR.Host, name)
		case name == mail && a.Outcome == dnsq.NXDomain && len(a.Chain) == 0:
			fix := rename(domain, hosts, h.RR.Host, name)
			fix[0].Edits = append(fix[0].Edits, diag.Edit{Name: name, Type: typ.String(), New: ip.String()})
			return fix
		}
	}
	return nil
}

func hostData(m *facts.MailHosts) []HostData {
	out := []HostData{}
	for i := range m.Hosts {
		h := &m.Hosts[i]
		d := HostData{Preference: int(h.RR.Pref), Host: h.RR.Host, Addresses: []string{}}
		if h.Addresses != nil {
			d.Addresses = texts(h.Addresses.All())
		}
		out = append(out, d)
	}
	if m.Implicit != nil {
		if all := m.Implicit.All(); len(all) > 0 {
			out = append(out, HostData{Host: dnsq.CanonicalName(m.Domain), Addresses: texts(all)})
		}
	}
	return out
}
