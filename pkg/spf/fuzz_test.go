package spf

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// fuzzWorld is what fuzzed records can lead to.
const fuzzWorld = `
	h.x.com A 192.0.2.1
	h.x.com AAAA 2001:db8::1
	x.com A 192.0.2.2
	x.com MX 10 h.x.com
	x.com MX 20 nx.x.com
	null.x.com MX 0 .
	slow.x.com !TXT timeout
	slow.x.com !A servfail
	slow.x.com !MX refused
	slowmx.x.com MX 10 slow.x.com
	slowmx.x.com MX 5 h.x.com
	p.x.com TXT v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all
	f.x.com TXT v=spf1 -all exp=e.x.com
	e.x.com TXT no %{s} %{c} %{p} %{h}
	e2.x.com TXT bad %{
	n.x.com TXT v=spf1 a mx:x.com ptr:x.com
	i.x.com TXT v=spf1 include:p.x.com ?include:f.x.com include:%{l}.x.com ~all
	r.x.com TXT v=spf1 a:h.x.com redirect=i.x.com
	l1.x.com TXT v=spf1 include:l2.x.com -all
	l2.x.com TXT v=spf1 a:h.x.com redirect=l1.x.com
	m.x.com TXT v=spf1 -all
	m.x.com TXT v=spf1 +all
	bad.x.com TXT v=spf1 ip4:1.2.3 -all
	t.x.com TXT v=spf1 include:slow.x.com -all
	v.x.com TXT v=spf1 a:n1.x.com a:n2.x.com a:n3.x.com -all
	c.x.com CNAME p.x.com
	cl.x.com CNAME cl.x.com
	1.2.0.192.in-addr.arpa PTR h.x.com
	1.2.0.192.in-addr.arpa PTR cl.x.com
	2.2.0.192.in-addr.arpa !PTR timeout
	1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR h.x.com
	big.x.com TXT v=spf1 `

// FuzzCheck: whatever the record and the sender, evaluation ends within its
// limits, gives one of the seven results, temperror exactly if DNS failed, the
// same with Prefetch, and agrees with the analysis of the same record.
func FuzzCheck(f *testing.F) {
	for _, r := range []string{
		"v=spf1 a mx ptr include:i.x.com exists:%{ir}.%{v}.x.com -all exp=e.x.com",
		"v=spf1 include:l1.x.com -all", "v=spf1 redirect=r.x.com", "v=spf1 include:t.x.com ~all", "v=spf1 mx:slowmx.x.com ?all", "v=spf1 a:h.x.com/8//8 -all",
		"v=spf1 include:v.x.com include:m.x.com include:bad.x.com all", "v=spf1 exists:%{p}.x.com redirect=%{d}", "v=spf1 include:big.x.com", "v=spf1 a:%{l}.%{h}.com -all exp=%{o}.x.com",
		"v=spf1 a:n.x.com mx:null.x.com include:n.x.com include:c.x.com include:cl.x.com", "v=spf1 ip4:192.0.2.1 ip6:::/0", "v=spf10", "v=spf1 moo=%{z}",
	} {
		f.Add(r, byte(0), "h.x.com", "a.b@fuzz.x.com")
		f.Add(r, byte(3), "", "é@fuzz.x.com")
	}
	ips := []netip.Addr{
		netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("198.51.100.1"),
		netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8:1::"), netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("fe80::1%eth0"),
	}
	world := newWorld(f, fuzzWorld+strings.Repeat("ip4:10.0.0.1 a:h.x.com %{ ", 300))
	f.Fuzz(func(t *testing.T, record string, n byte, helo, from string) {
		ip := ips[int(n)%len(ips)]
		asked := 0
		fuzzed := dnsq.RR{Name: "fuzz.x.com", Type: dnsq.TypeTXT, Strings: []string{record}}
		res := dnsq.ResolverFunc(func(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
			if q.Name == fuzzed.Name && q.Type == dnsq.TypeTXT {
				return &dnsq.Answer{Question: q, Outcome: dnsq.Found, RRs: []dnsq.RR{fuzzed}}, nil
			}
			if len(q.Name) > 1016 || q.Name == "" || q.Name == "." { // 253 octets, each escaped
				t.Errorf("asked for %q", q.Name)
			}
			return world.Ask(ctx, q)
		})
		plain := dnsq.ResolverFunc(func(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
			asked++ // without Prefetch there is one goroutine
			return res.Ask(ctx, q)
		})
		v := (&Checker{Resolver: plain, DefaultExplanation: "DEFAULT"}).Check(context.Background(), ip, helo, from)
		// 1 record, 10 terms of at most 11 queries, a PTR and ten names for %{p}, exp.
		if asked > 1+10*11+11+1 {
			t.Fatalf("%d questions", asked)
		}
		checkVerdict(t, v)
		if w := (&Checker{Resolver: res, DefaultExplanation: "DEFAULT", Prefetch: true}).Check(context.Background(), ip, helo, from); dump(v) != dump(w) {
			t.Fatalf("Prefetch changes the verdict:\n%s\n%s", dump(v), dump(w))
		}
		checkVerdict(t, (&Checker{Resolver: res}).CheckHelo(context.Background(), ip, helo))

		at := v.Domain
		if v.Root == nil {
			return
		}
		a := (&Checker{Resolver: res}).Analyze(context.Background(), at)
		checkAnalysis(t, a)
		// What passes is in the set of what may, unless by a sender-dependent term.
		set := &a.V4
		if !ip.Unmap().Is4() {
			set = &a.V6
		}
		if v.Result == Pass && !set.Contains(ip) && len(a.SenderDependent) == 0 {
			t.Fatalf("%v passes and is not in the set:\n%s\n%s", ip, dump(v), dumpAnalysis(a))
		}
		// A tree without problems has none for any sender.
		clean := len(a.Problems)+len(a.Unknown)+len(a.SenderDependent) == 0 && !a.AtLeast
		if clean && (v.Result == PermError || v.Result == TempError) {
			t.Fatalf("%s, yet:\n%s\n%s", v.Result, dump(v), dumpAnalysis(a))
		}
		if v.Lookups > a.Lookups && v.Lookups <= MaxLookups && !a.AtLeast {
			t.Fatalf("%d lookups, the worst case has %d", v.Lookups, a.Lookups)
		}
		world.mu.Lock()
		world.log = nil
		world.mu.Unlock()
	})
}
