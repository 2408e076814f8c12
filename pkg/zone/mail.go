package zone

import (
	"fmt"
	"slices"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// A MailName is a domain that a zone file names as one that sends or takes mail.
type MailName struct {
	Domain string
	Place  diag.Place // the first record that says so; of the origin, the SOA
}

// MailNames are the domains that zone files say something about mail for, in
// order of name: the origin of each zone, and every name with an MX record, an SPF
// record, a DMARC record (at _dmarc below it) or a DKIM key (at
// SELECTOR._domainkey below it). A zone of reverse names has an origin that sends
// no mail: it is left out, and so are names that a zone hands on to other servers.
//
// A wildcard with an MX or SPF record answers for names that no file lists. For
// them stands one name below it that the files do not hold: "any-name.shop.example".
// Without it a wildcard that is taken away would break the mail of all those names,
// and nobody would say so.
func MailNames(sets ...*Set) []MailName {
	found := map[string]diag.Place{}
	for _, s := range sets {
		if s == nil {
			continue
		}
		for _, z := range s.Zones() {
			for i := range z.Records {
				rr := &z.Records[i]
				d, ok := mailDomain(z, rr)
				if !ok {
					continue
				}
				if isWild(d) {
					d = standIn(d[len("*."):], sets)
				}
				// Not below a delegation, where others answer.
				if _, w := s.Lookup(dnsq.Question{Name: rr.Name, Type: rr.Type}); w.Place == Delegated || w.Zone != z {
					continue
				}
				if _, ok := found[d]; !ok {
					found[d] = diag.Place{File: rr.File, Line: rr.Line}
				}
			}
			if _, ok := found[z.Origin]; !ok && !reverse(z.Origin) && z.Origin != "." {
				p := diag.Place{}
				for i := range z.Records {
					if rr := &z.Records[i]; rr.Name == z.Origin {
						p = diag.Place{File: rr.File, Line: rr.Line}
						break
					}
				}
				found[z.Origin] = p
			}
		}
	}
	out := make([]MailName, 0, len(found))
	for d, p := range found {
		out = append(out, MailName{d, p})
	}
	slices.SortFunc(out, func(a, b MailName) int { return compareNames(a.Domain, b.Domain) })
	return out
}

// standIn is a name below parent that no zone has a record at or below.
func standIn(parent string, sets []*Set) string {
	for i := 1; ; i++ {
		name := dnsq.Join("any-name", parent)
		if i > 1 {
			name = dnsq.Join(fmt.Sprintf("any-name-%d", i), parent)
		}
		if !slices.ContainsFunc(sets, func(s *Set) bool {
			return s != nil && slices.ContainsFunc(s.Zones(), func(z *Zone) bool {
				return slices.ContainsFunc(z.Records, func(rr dnsq.RR) bool { return dnsq.AtOrBelow(rr.Name, name) })
			})
		}) {
			return name
		}
	}
}

// compareNames orders names by their labels from the right, so that a domain
// stands before the names below it (RFC 4034 §6.1).
func compareNames(a, b string) int {
	x, y := dnsq.Labels(a), dnsq.Labels(b)
	slices.Reverse(x)
	slices.Reverse(y)
	return slices.Compare(x, y)
}

func reverse(name string) bool {
	return dnsq.AtOrBelow(name, "in-addr.arpa") || dnsq.AtOrBelow(name, "ip6.arpa")
}

// mailDomain is the domain that a record makes one of mail.
func mailDomain(z *Zone, rr *dnsq.RR) (domain string, ok bool) {
	if !dnsq.AtOrBelow(rr.Name, z.Origin) {
		return "", false
	}
	switch rr.Type {
	case dnsq.TypeMX:
		return rr.Name, true
	case dnsq.TypeTXT, dnsq.TypeCNAME:
		// A key or a policy may be an alias of the provider's.
		if d, ok := strings.CutPrefix(rr.Name, "_dmarc."); ok {
			return d, dnsq.AtOrBelow(d, z.Origin)
		}
		if _, d, ok := strings.Cut(rr.Name, "._domainkey."); ok {
			return d, dnsq.AtOrBelow(d, z.Origin)
		}
		// RFC 7208 §4.5: "v=spf1" and then a blank or the end.
		if v := strings.ToLower(rr.Text()); rr.Type == dnsq.TypeTXT && (v == "v=spf1" || strings.HasPrefix(v, "v=spf1 ")) {
			return rr.Name, true
		}
	}
	return "", false
}

// SelectorsIn are the DKIM selectors of a domain that zone files hold, in order of
// appearance.
func SelectorsIn(domain string, sets ...*Set) []string {
	var out []string
	for _, s := range sets {
		if s == nil {
			continue
		}
		for _, z := range s.Zones() {
			for i := range z.Records {
				sel, ok := strings.CutSuffix(z.Records[i].Name, "._domainkey."+domain)
				if ok && sel != "*" && !slices.Contains(out, sel) {
					out = append(out, sel)
				}
			}
		}
	}
	return out
}
