package facts_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/todoku-mail/todoku/pkg/facts"
)

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestNetworks(t *testing.T) {
	for _, c := range []struct{ in, want []netip.Prefix }{
		{nil, nil},
		{prefixes("192.0.2.7/24", "192.0.2.0/24"), prefixes("192.0.2.0/24")},
		{prefixes("192.0.2.128/25", "192.0.2.0/25"), prefixes("192.0.2.0/24")},
		{prefixes("192.0.2.0/26", "192.0.2.64/26", "192.0.2.128/25"), prefixes("192.0.2.0/24")},
		{prefixes("192.0.2.64/26", "192.0.2.128/26"), prefixes("192.0.2.64/26", "192.0.2.128/26")},
		{prefixes("2001:db8::/32", "192.0.2.1/32", "2001:db8:1::/48"), prefixes("192.0.2.1/32", "2001:db8::/32")},
		{prefixes("0.0.0.0/1", "128.0.0.0/1", "::/0"), prefixes("0.0.0.0/0", "::/0")},
	} {
		if got := facts.Networks(c.in); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.in, got, c.want)
		}
	}
}

func TestWithout(t *testing.T) {
	for _, c := range []struct{ a, b, want []netip.Prefix }{
		{prefixes("192.0.2.0/24"), prefixes("192.0.2.0/25"), prefixes("192.0.2.128/25")},
		{prefixes("192.0.2.0/24"), prefixes("192.0.0.0/16"), nil},
		{prefixes("192.0.2.0/30"), prefixes("192.0.2.1/32"), prefixes("192.0.2.0/32", "192.0.2.2/31")},
		{prefixes("2001:db8::/32"), prefixes("192.0.2.0/24"), prefixes("2001:db8::/32")},
		{prefixes("0.0.0.0/0"), prefixes("128.0.0.0/1"), prefixes("0.0.0.0/1")},
	} {
		if got := facts.Without(c.a, c.b); !slices.Equal(got, c.want) {
			t.Errorf("%v without %v: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

// Against the plain way, over a small network: address by address.
func TestWithoutByAddress(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	set := func() (out []netip.Prefix) {
		for range r.IntN(6) {
			out = append(out, netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(r.UintN(256))}), 24+r.IntN(9)))
		}
		return out
	}
	holds := func(list []netip.Prefix, a netip.Addr) bool {
		return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	for range 2000 {
		a, b := set(), set()
		nets, rest := facts.Networks(a), facts.Without(a, b)
		if !slices.Equal(rest, facts.Networks(rest)) {
			t.Fatalf("%v without %v: %v is not in its shortest form", a, b, rest)
		}
		for i := range 256 {
			ip := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
			if holds(nets, ip) != holds(a, ip) || holds(rest, ip) != (holds(a, ip) && !holds(b, ip)) {
				t.Fatal(fmt.Sprintf("%v without %v is not %v, networks %v, by %v", a, b, rest, nets, ip))
			}
		}
	}
}
