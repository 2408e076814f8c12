package spf

import (
	"math/big"
	"net/netip"
	"sort"
)

// An AddrSet is a set of addresses of one family as disjoint prefixes, masked,
// in order, merged where two halves make a whole.
type AddrSet struct {
	Prefixes []netip.Prefix
	bits     int // 32 or 128
}

// Count is the number of addresses.
func (s *AddrSet) Count() *big.Int {
	n := new(big.Int)
	for _, p := range s.Prefixes {
		n.Add(n, new(big.Int).Lsh(big.NewInt(1), uint(s.bits-p.Bits())))
	}
	return n
}

// Share is Count over the size of the family's address space, from 0 to 1.
func (s *AddrSet) Share() float64 {
	f := 0.0
	for _, p := range s.Prefixes {
		share := 1.0
		for i := 0; i < p.Bits(); i++ {
			share /= 2
		}
		f += share
	}
	return f
}

// All reports whether the set is the whole address space.
func (s *AddrSet) All() bool { return len(s.Prefixes) == 1 && s.Prefixes[0].Bits() == 0 }

// Contains reports whether a is in the set. An IPv4-mapped address is its
// IPv4 one.
func (s *AddrSet) Contains(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	// The last prefix that does not begin after a.
	i := sort.Search(len(s.Prefixes), func(i int) bool { return a.Less(s.Prefixes[i].Addr()) })
	return i > 0 && s.Prefixes[i-1].Contains(a)
}

// Minus are the addresses of s that are not in o.
func (s *AddrSet) Minus(o *AddrSet) AddrSet {
	var left []netip.Prefix
	var take func(p netip.Prefix)
	take = func(p netip.Prefix) {
		// The first prefix of o that ends behind the start of p.
		i := sort.Search(len(o.Prefixes), func(i int) bool {
			q := o.Prefixes[i]
			return q.Contains(p.Addr()) || p.Addr().Less(q.Addr())
		})
		if i == len(o.Prefixes) || !o.Prefixes[i].Overlaps(p) {
			left = append(left, p)
			return
		}
		if o.Prefixes[i].Bits() <= p.Bits() {
			return // all of p
		}
		low := netip.PrefixFrom(p.Addr(), p.Bits()+1)
		take(low)
		take(netip.PrefixFrom(upperHalf(low), p.Bits()+1))
	}
	for _, p := range s.Prefixes {
		take(p)
	}
	return newAddrSet(left, s.bits)
}

// upperHalf is the first address behind low, which is the lower half of a prefix.
func upperHalf(low netip.Prefix) netip.Addr {
	b := low.Addr().AsSlice()
	n := low.Bits() - 1
	b[n/8] |= 0x80 >> (n % 8)
	a, _ := netip.AddrFromSlice(b)
	return a
}

// newAddrSet makes a set of prefixes in any order, overlapping or not, all of
// the family with the given number of bits.
func newAddrSet(list []netip.Prefix, bits int) AddrSet {
	ps := make([]netip.Prefix, len(list))
	for i, p := range list {
		ps[i] = p.Masked()
	}
	sort.Slice(ps, func(i, j int) bool {
		if c := ps[i].Addr().Compare(ps[j].Addr()); c != 0 {
			return c < 0
		}
		return ps[i].Bits() < ps[j].Bits()
	})
	out := ps[:0]
	for _, p := range ps {
		if n := len(out); n > 0 && out[n-1].Contains(p.Addr()) {
			continue // prefixes nest or are disjoint; the wider one came first
		}
		out = append(out, p)
		for len(out) > 1 {
			n := len(out)
			a, b := out[n-2], out[n-1]
			if a.Bits() != b.Bits() {
				break
			}
			whole := netip.PrefixFrom(a.Addr(), a.Bits()-1).Masked()
			if whole.Addr() != a.Addr() || !whole.Contains(b.Addr()) {
				break
			}
			out = append(out[:n-2], whole)
		}
	}
	return AddrSet{Prefixes: out, bits: bits}
}

// all4 and all6 are everything.
var (
	all4 = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	all6 = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
)
