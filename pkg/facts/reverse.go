package facts

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

func sortedMX(rrs []dnsq.RR) []*dnsq.RR {
	out := make([]*dnsq.RR, len(rrs))
	for i := range rrs {
		out[i] = &rrs[i]
	}
	slices.SortStableFunc(out, func(a, b *dnsq.RR) int {
		return cmp.Or(cmp.Compare(a.Pref, b.Pref), cmp.Compare(a.Host, b.Host))
	})
	return out
}

// Literal reads a host name that is an IP address in disguise: "192.0.2.1" as
// an MX target, with or without brackets or an "IPv6:" in front.
func Literal(host string) (netip.Addr, bool) {
	h := strings.TrimSuffix(strings.TrimPrefix(strings.ReplaceAll(host, `\`, ""), "["), "]")
	h = strings.TrimPrefix(strings.ToLower(h), "ipv6:")
	a, err := netip.ParseAddr(h)
	return a, err == nil
}

// MaxReverseNames is how many names of one address are looked up. Receivers
// stop sooner (RFC 7208 §5.5: at ten); we look further so as not to call an
// address unconfirmed whose eleventh name confirms it.
const MaxReverseNames = 50

// ReverseNames are the names that an address has, and which of them lead back
// to it.
type ReverseNames struct {
	IP     netip.Addr
	Answer *dnsq.Answer  // to the PTR question; its error is the fact's error
	Names  []ReverseName // sorted by name, at most MaxReverseNames
	Total  int           // PTR records there are
}

// A ReverseName is one PTR target and what its own addresses say.
type ReverseName struct {
	Name   string
	RR     *dnsq.RR
	Answer *dnsq.Answer // A or AAAA, by the family of the IP
	Err    *dnsq.Error
	// Confirmed: one of its addresses is the IP (forward-confirmed reverse
	// DNS, RFC 8601 §3 "iprev").
	Confirmed bool
}

// Confirmed are the names that lead back to the address.
func (r *ReverseNames) Confirmed() []string {
	var out []string
	for i := range r.Names {
		if r.Names[i].Confirmed {
			out = append(out, r.Names[i].Name)
		}
	}
	return out
}

// All are the names, confirmed or not.
func (r *ReverseNames) All() []string {
	out := make([]string, len(r.Names))
	for i := range r.Names {
		out[i] = r.Names[i].Name
	}
	return out
}

// Unknown are the names' questions without an answer.
func (r *ReverseNames) Unknown() []*dnsq.Error {
	var out []*dnsq.Error
	for i := range r.Names {
		if r.Names[i].Err != nil {
			out = append(out, r.Names[i].Err)
		}
	}
	return out
}

// Reverse is the fact: the names of an address.
var Reverse = &diag.Fact[netip.Addr, *ReverseNames]{
	Name: "reverse",
	Learn: func(ctx context.Context, w *diag.World, ip netip.Addr) (*ReverseNames, error) {
		ip = ip.Unmap()
		a, err := ask(ctx, w, dnsq.ReverseName(ip), dnsq.TypePTR)
		if err != nil {
			return nil, err
		}
		r := &ReverseNames{IP: ip, Answer: a, Total: len(a.RRs)}
		rrs := make([]*dnsq.RR, len(a.RRs))
		for i := range a.RRs {
			rrs[i] = &a.RRs[i]
		}
		// By name, so that the same names are looked at in every run however
		// the server rotates its answer.
		slices.SortStableFunc(rrs, func(a, b *dnsq.RR) int { return cmp.Compare(a.Host, b.Host) })
		rrs = slices.CompactFunc(rrs, func(a, b *dnsq.RR) bool { return a.Host == b.Host })
		r.Names = make([]ReverseName, min(len(rrs), MaxReverseNames))
		t := dnsq.TypeA
		if ip.Is6() {
			t = dnsq.TypeAAAA
		}
		var wg sync.WaitGroup
		for i := range r.Names {
			n := &r.Names[i]
			n.Name, n.RR = rrs[i].Host, rrs[i]
			wg.Go(func() {
				n.Answer, n.Err = ask(ctx, w, n.Name, t)
				if n.Answer != nil {
					n.Confirmed = slices.ContainsFunc(n.Answer.RRs, func(rr dnsq.RR) bool { return rr.Addr == ip })
				}
			})
		}
		wg.Wait()
		return r, nil
	},
}
