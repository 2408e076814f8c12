package dnstest

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// data is the records of all zones together: owner, type, records. It is kept
// apart from package zone on purpose: where both answer the same zone text,
// tests compare two implementations.
type data struct {
	rrs    map[string]map[uint16][]dns.RR // owner in lower case with final dot
	exists map[string]bool                // owners and their ancestors (empty non-terminals)
}

func parseZones(zones []string) (*data, error) {
	d := &data{rrs: make(map[string]map[uint16][]dns.RR), exists: map[string]bool{".": true}}
	for i, z := range zones {
		p := dns.NewZoneParser(strings.NewReader(z), ".", fmt.Sprintf("zone %d", i+1))
		p.SetDefaultTTL(300)
		for rr, ok := p.Next(); ok; rr, ok = p.Next() {
			d.add(rr)
		}
		if err := p.Err(); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *data) add(rr dns.RR) {
	h := rr.Header()
	name := strings.ToLower(h.Name)
	if d.rrs[name] == nil {
		d.rrs[name] = make(map[uint16][]dns.RR)
	}
	d.rrs[name][h.Rrtype] = append(d.rrs[name][h.Rrtype], rr)
	// RFC 4592 §2.2.2: every ancestor of a name that exists, exists.
	for n := name; !d.exists[n]; n = parent(n) {
		d.exists[n] = true
	}
}

func parent(name string) string {
	if off, end := dns.NextLabel(name, 0); !end {
		return name[off:]
	}
	return "."
}

// A result is what a resolver would say: the answer section and the RCODE, and
// an SOA if the end of the chain has no record of the type.
type result struct {
	rcode  int
	answer []dns.RR
	soa    dns.RR
}

// lookup answers like a resolver to which the zones are all of the DNS: RFC
// 1034 §4.3.2 without delegations (NS records are data here, they cut nothing),
// with DNAME (RFC 6672) and wildcards (RFC 4592).
func (d *data) lookup(name string, qtype uint16) result {
	var res result
	name = strings.ToLower(name)
	for range 16 {
		node := name
		if !d.exists[name] {
			// RFC 6672 §3.2: a DNAME at an ancestor redirects what is below it.
			if target, ok := d.dname(name, &res); ok {
				name = target
				continue
			}
			// RFC 4592 §3.3.1: the wildcard of the closest encloser, no other.
			closest := parent(name)
			for !d.exists[closest] {
				closest = parent(closest)
			}
			node = "*." + strings.TrimPrefix(closest, ".")
			if !d.exists[node] {
				res.rcode, res.soa = dns.RcodeNameError, d.soa(name)
				return res
			}
		}
		sets := d.rrs[node]
		if rrs := sets[qtype]; len(rrs) > 0 {
			res.add(name, rrs)
			return res
		}
		cname := sets[dns.TypeCNAME]
		if len(cname) == 0 {
			res.soa = d.soa(name)
			return res
		}
		res.add(name, cname)
		name = strings.ToLower(cname[0].(*dns.CNAME).Target)
	}
	return res
}

func (res *result) add(name string, rrs []dns.RR) {
	for _, rr := range rrs {
		rr = dns.Copy(rr)
		rr.Header().Name = name // a wildcard's records are owned by the name asked for
		res.answer = append(res.answer, rr)
	}
}

func (d *data) dname(name string, res *result) (string, bool) {
	for at := parent(name); ; at = parent(at) {
		if rrs := d.rrs[at][dns.TypeDNAME]; len(rrs) > 0 {
			to := strings.ToLower(rrs[0].(*dns.DNAME).Target)
			target := strings.TrimSuffix(name, at) + strings.TrimPrefix(to, ".")
			res.add(at, rrs[:1])
			res.answer = append(res.answer, &dns.CNAME{
				Hdr:    dns.RR_Header{Name: name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: rrs[0].Header().Ttl},
				Target: target,
			})
			return target, true
		}
		if at == "." {
			return "", false
		}
	}
}

// soa is the SOA of the zone that name is in. Zone texts need none: the root's
// stands in, with a TTL of 60 seconds.
func (d *data) soa(name string) dns.RR {
	for n := name; ; n = parent(n) {
		if rrs := d.rrs[n][dns.TypeSOA]; len(rrs) > 0 {
			return rrs[0]
		}
		if n == "." {
			break
		}
	}
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60},
		Ns:  "ns.invalid.", Mbox: "hostmaster.invalid.", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: 60,
	}
}

// inside reports whether name is at or below an owner name, or above one.
func (d *data) inside(name string) bool {
	for n := strings.ToLower(name); n != "."; n = parent(n) {
		if d.rrs[n] != nil {
			return true
		}
	}
	return d.exists[strings.ToLower(name)]
}
