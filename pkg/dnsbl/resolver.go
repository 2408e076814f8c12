package dnsbl

import (
	"net/netip"
	"strings"
)

// public are resolvers that anybody may use. Lists that count questions per
// resolver refuse them: they cannot tell one user from another there.
var public = []struct {
	name     string
	prefixes []string
	hosts    []string // of DNS over TLS and HTTPS
}{
	{"Google Public DNS", []string{"8.8.8.8/32", "8.8.4.4/32", "2001:4860:4860::8888/128", "2001:4860:4860::8844/128", "2001:4860:4860::64/128", "2001:4860:4860::6464/128"}, []string{"dns.google", "dns.google.com"}},
	{"Cloudflare 1.1.1.1", []string{"1.1.1.0/29", "1.0.0.0/29", "2606:4700:4700::/48"}, []string{"cloudflare-dns.com", "one.one.one.one"}},
	{"Quad9", []string{"9.9.9.0/28", "149.112.112.0/24", "2620:fe::/48"}, []string{"quad9.net"}},
	{"OpenDNS", []string{"208.67.222.0/24", "208.67.220.0/24", "2620:119:35::/48", "2620:119:53::/48"}, []string{"opendns.com"}},
	{"AdGuard DNS", []string{"94.140.14.0/24", "94.140.15.0/24", "2a10:50c0::/32"}, []string{"adguard-dns.com"}},
	{"CleanBrowsing", []string{"185.228.168.0/24", "185.228.169.0/24", "2a0d:2a00:1::/48", "2a0d:2a00:2::/48"}, []string{"cleanbrowsing.org"}},
	{"Level3 public DNS", []string{"4.2.2.0/29", "209.244.0.3/32", "209.244.0.4/32"}, nil},
	{"Verisign/Neustar public DNS", []string{"64.6.64.6/32", "64.6.65.6/32", "156.154.70.0/24", "156.154.71.0/24"}, nil},
	{"DNS4EU", []string{"86.54.11.0/24"}, []string{"joindns4.eu"}},
}

var publicNets = func() (out []struct {
	name string
	net  netip.Prefix
}) {
	for _, p := range public {
		for _, s := range p.prefixes {
			out = append(out, struct {
				name string
				net  netip.Prefix
			}{p.name, netip.MustParsePrefix(s)})
		}
	}
	return out
}()

// PublicResolver is the name of the public resolver at addr; ok is false if it
// is none that we know. An unknown one may be public too, and a resolver of
// one's own may pass its questions on to a public one.
func PublicResolver(addr netip.Addr) (name string, ok bool) {
	addr = addr.Unmap()
	for _, p := range publicNets {
		if p.net.Contains(addr) {
			return p.name, true
		}
	}
	return "", false
}

// PublicResolverIn is the first public resolver in a list of servers as the
// head of a report and of a recording has it: "192.0.2.53:53,
// https://dns.google/dns-query".
func PublicResolverIn(servers string) (name string, ok bool) {
	for _, s := range strings.Split(servers, ",") {
		s = strings.ToLower(strings.TrimSpace(s))
		if _, after, found := strings.Cut(s, "://"); found {
			s = after
		}
		s, _, _ = strings.Cut(s, "/")
		host, at, named := strings.Cut(s, "@")
		if named {
			s = at
		}
		if a, err := netip.ParseAddrPort(s); err == nil {
			if n, ok := PublicResolver(a.Addr()); ok {
				return n, true
			}
		}
		if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
			if n, ok := PublicResolver(a); ok {
				return n, true
			}
		}
		if h, _, _ := strings.Cut(host, ":"); h != "" {
			for _, p := range public {
				for _, ph := range p.hosts {
					if h == ph || strings.HasSuffix(h, "."+ph) {
						return p.name, true
					}
				}
			}
		}
	}
	return "", false
}
