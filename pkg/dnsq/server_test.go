package dnsq

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParseServer(t *testing.T) {
	tests := []struct{ in, want string }{
		{"192.0.2.53", "192.0.2.53:53"},
		{"192.0.2.53:5353", "192.0.2.53:5353"},
		{"2001:db8::53", "[2001:db8::53]:53"},
		{"[2001:db8::53]", "[2001:db8::53]:53"},
		{"[2001:db8::53]:5353", "[2001:db8::53]:5353"},
		{"[fe80::1%eth0]:53", "[fe80::1%eth0]:53"},
		{"udp://192.0.2.53", "192.0.2.53:53"},
		{"tcp://192.0.2.53", "tcp://192.0.2.53:53"},
		{"tcp://[2001:db8::53]:5353", "tcp://[2001:db8::53]:5353"},
		{"tls://DNS.Example@192.0.2.53", "tls://dns.example@192.0.2.53:853"},
		{"tls://dns.example@[2001:db8::53]:8853", "tls://dns.example@[2001:db8::53]:8853"},
		{"tls://192.0.2.53", "tls://192.0.2.53:853"},
		{"tls://例え.jp@192.0.2.53", "tls://xn--r8jz45g.jp@192.0.2.53:853"},
		{"https://dns.example/dns-query", "https://dns.example/dns-query"},
		{"https://dns.example", "https://dns.example/dns-query"},
		{"https://dns.example/", "https://dns.example/"},
		{"https://dns.example:8443/q?x=y", "https://dns.example:8443/q?x=y"},
		{"https://192.0.2.53/dns-query", "https://192.0.2.53:443/dns-query"},
		{"https://[2001:db8::53]:8443/dns-query", "https://[2001:db8::53]:8443/dns-query"},
		{"https://dns.example@192.0.2.53/dns-query", "https://dns.example@192.0.2.53:443/dns-query"},
	}
	for _, tt := range tests {
		s, err := ParseServer(tt.in)
		if err != nil || s.String() != tt.want {
			t.Errorf("%q: %q, %v; want %q", tt.in, s, err, tt.want)
			continue
		}
		if again, err := ParseServer(s.String()); err != nil || again != s {
			t.Errorf("%q: %+v reads back as %+v, %v", tt.in, s, again, err)
		}
	}
	for _, in := range []string{
		"", "dns.example", "dns.example:53", "192.0.2", "192.0.2.53:", "192.0.2.53:0", "192.0.2.53:65536", "192.0.2.53:x",
		"tls://", "tls://dns.example", "tls://@192.0.2.53", "tls://a b@192.0.2.53", "quic://192.0.2.53", "udp://name@192.0.2.53",
		"https://", "https:///dns-query", "https://a@b@192.0.2.1/", "https://dns.example:0/", "https://dns.example/#x", "https://192.0.2.300/dns-query",
		"https://dns.example/\n", "https://192.0.2.53:99999/x", "192.0.2.53/24", "://192.0.2.53",
	} {
		s, err := ParseServer(in)
		if err == nil {
			t.Errorf("%q: taken as %+v", in, s)
			continue
		}
		// One line, which names the value and what was expected.
		if m := err.Error(); strings.Contains(m, "\n") || !strings.Contains(m, "is not a DNS server") || !strings.Contains(m, "expected ip[:port]") {
			t.Errorf("%q: %s", in, m)
		}
	}
}

func TestReadResolvConf(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"none: the local machine, as libc does", "search example.com\n", "127.0.0.1:53"},
		{"comments and options", "# nameserver 192.0.2.9\n;nameserver 192.0.2.8\nnameserver 192.0.2.1 # first\nnameserver\t2001:db8::1\noptions ndots:5\n", "192.0.2.1:53 [2001:db8::1]:53"},
		{"a zone", "nameserver fe80::1%eth0", "[fe80::1%eth0]:53"},
		{"three at most", strings.Repeat("nameserver 192.0.2.1\n", 5), "192.0.2.1:53 192.0.2.1:53 192.0.2.1:53"},
		{"not an address", "nameserver dns.example\nnameserver 192.0.2.1", "192.0.2.1:53"},
		{"not the keyword", "nameservers 192.0.2.2\nnameserver 192.0.2.1", "192.0.2.1:53"},
	}
	for _, tt := range tests {
		s, err := readResolvConf(strings.NewReader(tt.in))
		var got []string
		for _, x := range s {
			got = append(got, x.String())
		}
		if g := strings.Join(got, " "); err != nil || g != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.name, g, err, tt.want)
		}
	}
	if s, err := SystemServers(); err != nil || len(s) == 0 {
		t.Errorf("%v, %v", s, err)
	}
}

func FuzzParseServer(f *testing.F) {
	for _, s := range []string{"192.0.2.53", "[2001:db8::1]:53", "tls://a@192.0.2.1", "https://a.example:1/x?y", "https://a@[::1]:1/", "tcp://1.1.1.1:1", "https://[::1%25a]/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		s, err := ParseServer(in)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("more than one line: %q", err)
			}
			return
		}
		if s.Addr == (netip.AddrPort{}) && s.Name == "" {
			t.Fatalf("%q: nobody to ask: %+v", in, s)
		}
		again, err := ParseServer(s.String())
		if err != nil || again != s {
			t.Fatalf("%q: %+v reads back as %+v, %v", in, s, again, err)
		}
		NewExchange(s, ExchangeOptions{}).Close()
	})
}
