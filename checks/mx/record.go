package mx

import (
	"fmt"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
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
