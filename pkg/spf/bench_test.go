package spf

import (
	"context"
	"net/netip"
	"testing"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// benchWorld has the shape of a shop on a big provider with a newsletter
// service: nine terms that need DNS, two levels of includes.
const benchWorld = `
	shop.example TXT v=spf1 ip4:192.0.2.10 ip6:2001:db8:1::/48 a mx include:_spf.mail.example include:spf.news.example include:spf.desk.example ~all
	shop.example A 192.0.2.1
	shop.example MX 10 mx1.mail.example
	shop.example MX 20 mx2.mail.example
	mx1.mail.example A 198.51.100.1
	mx2.mail.example A 198.51.100.2
	_spf.mail.example TXT v=spf1 include:_nb1.mail.example include:_nb2.mail.example include:_nb3.mail.example ~all
	_nb1.mail.example TXT v=spf1 ip4:35.190.247.0/24 ip4:64.233.160.0/19 ip4:66.102.0.0/20 ip4:66.249.80.0/20 ip4:72.14.192.0/18 ip4:74.125.0.0/16 ip4:108.177.8.0/21 ip4:173.194.0.0/16 ip4:209.85.128.0/17 ip4:216.58.192.0/19 ip4:216.239.32.0/19 ~all
	_nb2.mail.example TXT v=spf1 ip6:2001:4860:4000::/36 ip6:2404:6800:4000::/36 ip6:2607:f8b0:4000::/36 ip6:2800:3f0:4000::/36 ip6:2a00:1450:4000::/36 ip6:2c0f:fb50:4000::/36 ~all
	_nb3.mail.example TXT v=spf1 ip4:172.217.0.0/19 ip4:172.217.32.0/20 ip4:172.217.128.0/19 ip4:172.217.160.0/20 ip4:172.217.192.0/19 ip4:172.253.56.0/21 ip4:172.253.112.0/20 ip4:108.177.96.0/19 ip4:35.191.0.0/16 ip4:130.211.0.0/22 ~all
	spf.news.example TXT v=spf1 ip4:205.201.128.0/20 ip4:198.2.128.0/18 ip4:148.105.8.0/21 ?all
	spf.desk.example TXT v=spf1 ip4:192.161.144.0/20 ip4:185.12.80.0/22 ip4:96.46.150.192/27 ip4:174.137.46.0/24 ip4:188.172.128.0/20 ip4:216.198.0.0/18 ~all
`

func benchCheck(b *testing.B, prefetch bool) {
	w := newWorld(b, benchWorld)
	c := Checker{Resolver: w, Prefetch: prefetch}
	ip := netip.MustParseAddr("203.0.113.9") // matched by nothing: the whole tree
	ctx := context.Background()
	if v := c.Check(ctx, ip, "mail.shop.example", "news@shop.example"); v.Result != SoftFail || v.Lookups != 8 {
		b.Fatal(dump(v))
	}
	b.ReportAllocs()
	for b.Loop() {
		w.log = w.log[:0]
		c.Check(ctx, ip, "mail.shop.example", "news@shop.example")
	}
}

func BenchmarkCheck(b *testing.B)         { benchCheck(b, false) }
func BenchmarkCheckPrefetch(b *testing.B) { benchCheck(b, true) }

func BenchmarkAnalyze(b *testing.B) {
	w := newWorld(b, benchWorld)
	c := Checker{Resolver: w}
	if a := c.Analyze(context.Background(), "shop.example"); a.Lookups != 8 || len(a.Problems) != 0 {
		b.Fatal(dumpAnalysis(a))
	}
	b.ReportAllocs()
	for b.Loop() {
		w.log = w.log[:0]
		c.Analyze(context.Background(), "shop.example")
	}
}

func BenchmarkParse(b *testing.B) {
	text := newWorld(b, benchWorld).rrs[dnsq.Q("_nb1.mail.example", dnsq.TypeTXT)][0].Text()
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		Parse(text)
	}
}
