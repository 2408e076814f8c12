package checks_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/todoku-mail/todoku/checks"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/dnsq/dnstest"
	"github.com/todoku-mail/todoku/pkg/engine"
	"github.com/todoku-mail/todoku/pkg/render"
	"github.com/todoku-mail/todoku/pkg/zone"
)

// benchShop is a domain in good order: SPF with nine flat includes, of which
// the last knows the senders, two mail hosts, two addresses with reverse names.
func benchShop(spf string) *world {
	var b strings.Builder
	b.WriteString("$TTL 300\n$ORIGIN shop.example.\n")
	fmt.Fprintf(&b, "@ TXT %q\n_dmarc TXT \"v=DMARC1; p=reject; rua=mailto:d@shop.example\"\n", spf)
	for i := 1; i <= 9; i++ {
		net := fmt.Sprintf("ip4:198.51.%d.0/24", i)
		if i == 9 {
			net = "ip4:192.0.2.0/24 ip6:2001:db8::/32"
		}
		fmt.Fprintf(&b, "_spf%d.provider.example. TXT \"v=spf1 %s ~all\"\n", i, net)
	}
	b.WriteString(`@ MX 10 mx1.provider.example.
@ MX 20 mx2.provider.example.
mx1.provider.example. A 198.51.100.1
mx1.provider.example. AAAA 2001:db8:1::1
mx2.provider.example. A 198.51.100.2
out.shop.example. A 192.0.2.25
out.shop.example. AAAA 2001:db8::25
25.2.0.192.in-addr.arpa. PTR out
`)
	six := netip.MustParseAddr("2001:db8::25")
	b.WriteString(dnsq.ReverseName(six) + ". PTR out\n")
	return &world{name: "shop", zones: []string{b.String()}, target: diag.Target{
		Domain: "shop.example", From: "shop.example", MailFrom: "shop.example", DKIMDomain: "shop.example",
		Helo: "out.shop.example", IPs: []netip.Addr{netip.MustParseAddr("192.0.2.25"), six}}}
}

func nineIncludes(end string) string {
	s := "v=spf1"
	for i := 1; i <= 9; i++ {
		s += fmt.Sprintf(" include:_spf%d.provider.example", i)
	}
	return s + end
}

// longestChain is the largest number of questions of which each could not be
// asked before the one before it was answered. A name that no answer holds, as
// a host or inside of a text, follows from the target (or from a list of ours)
// and can be asked for at once; so can the target's own names. For any other the
// chain is one longer than the shortest one to an answer that holds it. That a
// question is only asked after another for its order (A after an absent MX),
// though its name was known, does not make the chain longer: so waiting in
// vain shows in the ratio.
func longestChain(t testing.TB, w *world, asked []dnsq.Question, r dnsq.Resolver) int {
	t.Helper()
	known := map[string]bool{w.target.Domain: true, w.target.From: true, w.target.MailFromDomain(): true, dnsq.CanonicalName(w.target.Helo): true}
	for _, ip := range w.target.IPs {
		known[dnsq.ReverseName(ip)] = true
	}
	texts := map[dnsq.Question]string{}
	for _, q := range asked {
		a, err := r.Ask(t.Context(), q)
		if err != nil {
			continue
		}
		all := slices.Clone(a.Chain)
		for i := range a.RRs {
			all = append(all, a.RRs[i].Host, a.RRs[i].Text())
		}
		texts[q] = strings.ToLower(strings.Join(all, "\n"))
	}
	depth := map[dnsq.Question]int{}
	for _, q := range asked {
		held := false
		for other, text := range texts {
			held = held || other != q && strings.Contains(text, q.Name)
		}
		if known[q.Name] || !held {
			depth[q] = 1
		}
	}
	longest := 1
	for level := 2; len(depth) < len(asked); level++ {
		var found []dnsq.Question
		for _, q := range asked {
			for other, text := range texts {
				if depth[q] == 0 && depth[other] == level-1 && strings.Contains(text, q.Name) {
					found = append(found, q)
					break
				}
			}
		}
		if found == nil {
			t.Fatalf("of %d questions only %d can be reached from the target: %v", len(asked), len(depth), asked)
		}
		for _, q := range found {
			depth[q] = level
		}
		longest = level
	}
	return longest
}

// TestLongestChain holds the yardstick of BenchmarkCheck against cases counted
// by hand.
func TestLongestChain(t *testing.T) {
	for _, c := range []struct {
		name string
		w    *world
		want int
	}{
		{"TXT, then the includes; MX, then addresses; PTR, then the name", benchShop(nineIncludes(" ~all")), 2},
		{"three includes deep, then an address", &world{target: diag.Target{Domain: "shop.example", MailFrom: "shop.example"}, zones: []string{`
shop.example. TXT "v=spf1 include:a.example ~all"
a.example. TXT "v=spf1 include:b.example ~all"
b.example. TXT "v=spf1 include:c.example ~all"
c.example. TXT "v=spf1 a:host.example ~all"
host.example. A 192.0.2.1`}}, 5},
	} {
		_, rec := c.w.learn(t, checks.All)
		if got := longestChain(t, c.w, asked(t, checks.All, c.w, rec), rec.Resolver()); got != c.want {
			t.Errorf("%s: %d, expected %d", c.name, got, c.want)
		}
	}
}

// roundTrips is how many round trips a full run takes, fixes tried, when time
// passes only while a question is under way: virtual time, so no machine is too
// busy to count.
func roundTrips(t *testing.T, w *world) (trips, chain int) {
	t.Helper()
	_, rec := w.learn(t, checks.All)
	var all []dnsq.Question
	synctest.Test(t, func(t *testing.T) {
		const rtt = time.Second
		slow := dnsq.ResolverFunc(func(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
			time.Sleep(rtt)
			a, err := rec.Resolver().Ask(ctx, q)
			if err != nil { // asked for a fix only: an absence will do
				a, err = &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain, Source: dnsq.SourceDNS}, nil
			}
			return a, err
		})
		c := dnsq.NewCache(t.Context(), slow)
		start := time.Now()
		cfg := config(checks.All, c)
		rep := engine.Run(t.Context(), cfg, w.target)
		trips = int(time.Since(start) / rtt)
		engine.Verify(t.Context(), cfg, rep)
		all = asked(t, checks.All, w, rec)
	})
	return trips, longestChain(t, w, all, rec.Resolver())
}

// A run takes as many round trips as its longest chain has questions: nothing
// waits for what it does not need.
func TestRoundTrips(t *testing.T) {
	for _, spf := range []string{nineIncludes(" ~all"), nineIncludes(" mx a:out.shop.example ?all"), "v=spf1 mx -all"} {
		w := benchShop(spf)
		trips, chain := roundTrips(t, w)
		if trips > chain {
			t.Errorf("%s: %d round trips, the longest chain has %d questions", spf, trips, chain)
		}
	}
}

// allLists has every blocklist asked.
func allLists(w *world) *world {
	w.target.Blocklists.All = true
	return w
}

// BenchmarkCheck is a full check (every check, fixes tried) at a simulated
// round trip. "ratio" is its wall time over (longest chain × round trip): the
// median of the runs. 1 is as fast as the network lets it be. "q/…" are the
// questions of each check.
func BenchmarkCheck(b *testing.B) {
	for _, rtt := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond} {
		for _, c := range []struct {
			name string
			w    *world
		}{
			{"good", benchShop(nineIncludes(" ~all"))},
			{"broken", benchShop(nineIncludes(" ip4:192.0.2.25 ?all"))},
			{"all-lists", allLists(benchShop(nineIncludes(" ~all")))},
		} {
			b.Run(fmt.Sprintf("%s/rtt=%v", c.name, rtt), func(b *testing.B) {
				_, rec := c.w.learn(b, checks.All)
				chain := longestChain(b, c.w, asked(b, checks.All, c.w, rec), rec.Resolver())
				srv := dnstest.StartWith(b, dnstest.Options{Zones: c.w.zones, Faults: dnstest.Faults{Latency: rtt}})
				var ratios []float64
				var rep *diag.Report
				b.ReportAllocs()
				for b.Loop() {
					start := time.Now()
					s, err := dnsq.New(b.Context(), dnsq.Options{Servers: []dnsq.Server{srv.Server()}})
					if err != nil {
						b.Fatal(err)
					}
					cfg := config(checks.All, s)
					rep = engine.Run(b.Context(), cfg, c.w.target)
					engine.Verify(b.Context(), cfg, rep)
					ratios = append(ratios, float64(time.Since(start))/float64(time.Duration(chain)*rtt))
					s.Close()
				}
				fixes := 0
				for i := range rep.Checks {
					for _, f := range rep.Checks[i].Findings {
						for _, x := range f.Fixes {
							if x.Verified {
								fixes++
							}
						}
					}
				}
				if n := rep.Decisive()[diag.Inconclusive]; n > 0 || rep.Broken() || (fixes > 0) != (c.name == "broken") {
					b.Fatalf("%d inconclusive findings, %d verified fixes", n, fixes)
				}
				slices.Sort(ratios)
				b.ReportMetric(ratios[len(ratios)/2], "ratio")
				b.ReportMetric(float64(chain), "chain")
				b.ReportMetric(float64(rep.Queries), "q/run")
				for i := range rep.Checks {
					b.ReportMetric(float64(rep.Checks[i].Queries), "q/"+rep.Checks[i].Check.Name)
				}
			})
		}
	}
}

// BenchmarkZoneFiles is a full check from zone files, without any network:
// reading the files, checking, trying fixes, and writing the report.
func BenchmarkZoneFiles(b *testing.B) {
	w := benchShop(nineIncludes(" ip4:192.0.2.25 ?all"))
	cat := english(b)
	b.ReportAllocs()
	for b.Loop() {
		z, err := zone.Parse(strings.NewReader(w.zones[0]), "shop.zone", ".")
		if err != nil {
			b.Fatal(err)
		}
		set, err := zone.NewSet(z)
		if err != nil {
			b.Fatal(err)
		}
		cfg := config(checks.All, dnsq.NewCache(b.Context(), set.Overlay(dnsq.OfflineResolver("no network"))))
		rep := engine.Run(b.Context(), cfg, w.target)
		engine.Verify(b.Context(), cfg, rep)
		var out bytes.Buffer
		if err := render.Text(&out, rep, cat, render.Options{}); err != nil || rep.Broken() {
			b.Fatal(err)
		}
	}
}

// BenchmarkEachCheck is each check alone, its facts included, from answers in
// memory: what it allocates.
func BenchmarkEachCheck(b *testing.B) {
	w := benchShop(nineIncludes(" ~all"))
	_, rec := w.learn(b, checks.All)
	for _, c := range checks.All {
		b.Run(c.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				cfg := config([]*diag.Check{c}, dnsq.NewCache(b.Context(), rec.Resolver()))
				if rep := engine.Run(b.Context(), cfg, w.target); rep.Broken() {
					b.Fatal(rep.Checks[0].Panic)
				}
			}
		})
	}
}
