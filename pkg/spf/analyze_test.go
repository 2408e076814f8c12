package spf

import (
	"context"
	"fmt"
	"math/big"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

func codes(a *Analysis) (out []string) {
	for _, p := range a.Problems {
		out = append(out, p.Code+"@"+p.Domain)
	}
	return out
}

func prefixes(s AddrSet) (out []string) {
	for _, p := range s.Prefixes {
		out = append(out, p.String())
	}
	return out
}

// TestAnalyze: what the worst case is, whoever sends.
func TestAnalyze(t *testing.T) {
	w := newWorld(t, `
		h4.example.com A 192.0.2.1
		h6.example.com AAAA 2001:db8::1
		plain.example.com TXT v=spf1 ip4:192.0.2.0/25 ip4:192.0.2.128/25 ip4:192.0.2.7 ip6:2001:db8::/32 -all
		after.example.com TXT v=spf1 a:h4.example.com ~all a:h6.example.com redirect=plain.example.com
		voids.example.com TXT v=spf1 a:h4.example.com a:h6.example.com a:nx.example.com mx:h4.example.com exists:nx.example.com -all
		tree.example.com TXT v=spf1 include:t1.example.com -include:t2.example.com include:t3.example.com ~all
		t1.example.com TXT v=spf1 ip4:198.51.100.0/24 -ip4:203.0.113.0/24 include:t4.example.com -all
		t2.example.com TXT v=spf1 ip4:10.0.0.0/8 a:h4.example.com -all
		t3.example.com TXT v=spf1 redirect=t5.example.com
		t4.example.com TXT v=spf1 ip4:192.0.2.64/26
		t5.example.com TXT v=spf1 a:h4.example.com/24//64 a:h6.example.com/24//64 ?all
		passall.example.com TXT v=spf1 include:everyone.example.com -all
		everyone.example.com TXT v=spf1 +all
		halves.example.com TXT v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 ip6:::ffff:0:0/96 -all
		notpass.example.com TXT v=spf1 ?all
		existsall.example.com TXT v=spf1 exists:h4.example.com -all
		sender.example.com TXT v=spf1 include:%{ir}.x.example.com exists:%{l}.%{d} a:%{d2}.%{o} ptr -all
		example.com.sender.example.com A 192.0.2.9
		loop.example.com TXT v=spf1 include:loop2.example.com -all
		loop2.example.com TXT v=spf1 a:h4.example.com redirect=loop.example.com
		syntax.example.com TXT v=spf1 include:plain.example.com oops a:h4.example.com -all
		none.example.com TXT v=spf1 include:h4.example.com redirect=nx.example.com
		slow.example.com TXT v=spf1 include:timeout.example.com a:timeout.example.com include:plain.example.com -all
		timeout.example.com !TXT timeout
		timeout.example.com !A servfail
		timeout.example.com AAAA 2001:db8::2
		multi.example.com TXT v=spf1 a
		multi.example.com TXT v=spf1 mx
		incmulti.example.com TXT v=spf1 include:multi.example.com all
		bad.example.com TXT v=spf1 a:x..example.com include:y..example.com -all
		exp.example.com TXT v=spf1 -all exp=noexp.example.com
		expinc.example.com TXT v=spf1 include:exp.example.com -all
		expred.example.com TXT v=spf1 redirect=exp.example.com
		mxhosts.example.com TXT v=spf1 mx -all
		mxhosts.example.com MX 10 h4.example.com
		mxhosts.example.com MX 20 h6.example.com
		mxhosts.example.com MX 30 nx.example.com
		alias.example.com CNAME plain.example.com
	`)
	many := "v=spf1"
	for i := 0; i < 14; i++ {
		many += fmt.Sprintf(" a:h4.example.com")
	}
	w.add(t, "many.example.com", "TXT", many+" -all")
	for i := 0; i < 12; i++ {
		w.add(t, "mx12.example.com", "MX", fmt.Sprintf("1 m%d.example.com", i))
	}
	w.add(t, "mx12.example.com", "TXT", "v=spf1 mx -all")

	for _, tc := range []struct {
		domain                            string
		lookups, voids4, voids6, q4, q6   int
		atLeast                           bool
		v4, v6, problems, sender, unknown []string
	}{
		{domain: "plain.example.com", v4: []string{"192.0.2.0/24"}, v6: []string{"2001:db8::/32"}},
		{domain: "alias.example.com", v4: []string{"192.0.2.0/24"}, v6: []string{"2001:db8::/32"}},
		{domain: "after.example.com", lookups: 1, v4: []string{"192.0.2.1/32"}, voids6: 1, q6: 1},
		{domain: "voids.example.com", lookups: 5, voids4: 4, voids6: 4, q4: 4, q6: 4, v4: []string{"192.0.2.1/32"}, v6: []string{"2001:db8::1/128"}, problems: []string{"too-many-voids@voids.example.com"}},
		{domain: "tree.example.com", lookups: 8, voids4: 1, voids6: 2, q4: 1, q6: 2, v4: []string{"192.0.2.0/24", "198.51.100.0/24"}, v6: []string{"2001:db8::/64"}},
		{domain: "passall.example.com", lookups: 1, v4: []string{"0.0.0.0/0"}, v6: []string{"::/0"}},
		{domain: "halves.example.com", v4: []string{"0.0.0.0/0"}},
		{domain: "notpass.example.com"},
		{domain: "existsall.example.com", lookups: 1, v4: []string{"0.0.0.0/0"}, v6: []string{"::/0"}},
		{domain: "sender.example.com", lookups: 4, atLeast: true, voids6: 1, q6: 1, v4: []string{"192.0.2.9/32"}, sender: []string{"include:%{ir}.x.example.com", "exists:%{l}.%{d}", "ptr"}},
		{domain: "loop.example.com", lookups: 3, atLeast: true, voids6: 1, q6: 1, v4: []string{"192.0.2.1/32"}, problems: []string{"loop@loop2.example.com"}},
		{domain: "syntax.example.com", lookups: 2, voids6: 1, q6: 1, v4: []string{"192.0.2.0/24"}, v6: []string{"2001:db8::/32"}, problems: []string{"syntax@syntax.example.com"}},
		{domain: "none.example.com", lookups: 2, problems: []string{"include-none@none.example.com", "redirect-none@none.example.com"}},
		{domain: "slow.example.com", lookups: 3, atLeast: true, v4: []string{"192.0.2.0/24"}, v6: []string{"2001:db8::/32"}, unknown: []string{"timeout.example.com TXT: timeout", "timeout.example.com A: servfail"}},
		{domain: "timeout.example.com", atLeast: true, unknown: []string{"timeout.example.com TXT: timeout"}},
		{domain: "multi.example.com", problems: []string{"multiple@multi.example.com"}},
		{domain: "incmulti.example.com", lookups: 1, v4: []string{"0.0.0.0/0"}, v6: []string{"::/0"}, problems: []string{"multiple@multi.example.com"}},
		{domain: "nx.example.com", problems: []string{"no-record@nx.example.com"}},
		{domain: "nx", problems: []string{"invalid-domain@nx"}},
		{domain: "bad.example.com", lookups: 2, problems: []string{"bad-target@bad.example.com", "bad-target@bad.example.com"}},
		{domain: "exp.example.com", problems: []string{"exp-unusable@exp.example.com"}},
		{domain: "expinc.example.com", lookups: 1},
		{domain: "expred.example.com", lookups: 1, problems: []string{"exp-unusable@exp.example.com"}},
		{domain: "many.example.com", lookups: 14, voids6: 14, q6: 14, v4: []string{"192.0.2.1/32"}, problems: []string{"too-many-voids@many.example.com", "too-many-lookups@many.example.com"}},
		{domain: "mx12.example.com", lookups: 1, problems: []string{"too-many-mx@mx12.example.com"}},
		// One term, no void of its own; yet a receiver that counts queries counts two for each family.
		{domain: "mxhosts.example.com", lookups: 1, q4: 2, q6: 2, v4: []string{"192.0.2.1/32"}, v6: []string{"2001:db8::1/128"}},
	} {
		a := (&Checker{Resolver: w}).Analyze(context.Background(), tc.domain)
		var sender, unknown []string
		for _, s := range a.SenderDependent {
			sender = append(sender, s.Term.Text)
		}
		for _, e := range a.Unknown {
			unknown = append(unknown, e.Error())
		}
		for _, d := range []struct {
			what      string
			got, want any
		}{
			{"lookups", a.Lookups, tc.lookups}, {"at least", a.AtLeast, tc.atLeast}, {"voids4", a.Voids4, tc.voids4}, {"voids6", a.Voids6, tc.voids6},
			{"void queries4", a.VoidQueries4, tc.q4}, {"void queries6", a.VoidQueries6, tc.q6},
			{"v4", prefixes(a.V4), tc.v4}, {"v6", prefixes(a.V6), tc.v6}, {"problems", codes(a), tc.problems}, {"sender", sender, tc.sender}, {"unknown", unknown, tc.unknown},
		} {
			if !reflect.DeepEqual(d.got, d.want) {
				t.Errorf("%s: %s: got %v, want %v\n%s", tc.domain, d.what, d.got, d.want, dumpAnalysis(a))
			}
		}
		checkAnalysis(t, a)
	}
}

func checkAnalysis(t testing.TB, a *Analysis) {
	t.Helper()
	if a.Root != nil {
		checkNode(t, a.Root)
		if a.Root.Lookups != a.Lookups {
			t.Errorf("%s: root %d, analysis %d", a.Domain, a.Root.Lookups, a.Lookups)
		}
	}
	if a.Lookups > maxTerms {
		t.Errorf("%d terms", a.Lookups)
	}
	over := false
	for _, p := range a.Problems {
		if !slices.Contains(ProblemCodes, p.Code) {
			t.Errorf("unknown code %q", p.Code)
		}
		over = over || p.Code == ProblemLookups && p.Count == a.Lookups
	}
	if over != (a.Lookups > MaxLookups) {
		t.Errorf("%s: %d lookups, problem %t", a.Domain, a.Lookups, over)
	}
}

func TestAnalyzeProblems(t *testing.T) {
	w := newWorld(t, `
		example.com TXT v=spf1 include:a.example.com include:b.example.com -all
		a.example.com TXT v=spf1 include:b.example.com a:h.example.com a:h.example.com a:h.example.com a:h.example.com
		b.example.com TXT v=spf1 include:c.example.com a:h.example.com a:h.example.com a:h.example.com
		c.example.com TXT v=spf1 include:a.example.com
		h.example.com A 192.0.2.1
		h.example.com AAAA 2001:db8::1
	`)
	a := (&Checker{Resolver: w}).Analyze(context.Background(), "example.com")
	// a(1) b(1) c(1) a:loop(1) h h h, h h h h; then b(1) c(1) a(1) b:loop(1) h*4 h*3
	if a.Lookups != 22 || !a.AtLeast {
		t.Errorf("%s", dumpAnalysis(a))
	}
	if p := a.Problems[0]; p.Code != ProblemLoop || !reflect.DeepEqual(p.Loop, []string{"a.example.com", "b.example.com", "c.example.com", "a.example.com"}) {
		t.Errorf("loop: %s", dumpProblem(p))
	}
	if p := a.Problems[1]; p.Code != ProblemLookups || p.Count != 22 || p.Domain != "a.example.com" || p.Term.Text != "a:h.example.com" {
		t.Errorf("over: %s", dumpProblem(p))
	}
	for q, n := range w.asked() {
		if n > 1 {
			t.Errorf("%v asked %d times", q, n)
		}
	}
}

// TestAnalyzeBounds: a hostile tree costs no more than the bounds.
func TestAnalyzeBounds(t *testing.T) {
	wide := dnsq.ResolverFunc(func(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
		a := &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain}
		if q.Type == dnsq.TypeTXT {
			var b strings.Builder
			b.WriteString("v=spf1")
			for i := 0; i < 60; i++ {
				fmt.Fprintf(&b, " include:i%d.%s mx:m%d.%s", i, q.Name, i, q.Name)
			}
			a.Outcome, a.RRs = dnsq.Found, []dnsq.RR{{Type: dnsq.TypeTXT, Strings: []string{b.String()}}}
		}
		return a, nil
	})
	narrow := dnsq.ResolverFunc(func(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
		return &dnsq.Answer{Question: q, Outcome: dnsq.Found, RRs: []dnsq.RR{{Type: q.Type, Strings: []string{"v=spf1 include:x." + q.Name}}}}, nil
	})
	var same [2]string
	for name, r := range map[string]dnsq.Resolver{"wide": wide, "narrow": narrow} {
		for i := range same {
			ch := make(chan struct{}, 10000)
			count := dnsq.ResolverFunc(func(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
				ch <- struct{}{}
				return r.Ask(ctx, q)
			})
			a := (&Checker{Resolver: count}).Analyze(context.Background(), "e.com")
			calls := len(ch)
			cut := slices.ContainsFunc(a.Problems, func(p *Problem) bool { return p.Code == ProblemTooBig })
			if calls > 2*maxQuestions || a.Lookups > maxTerms || !a.AtLeast || !cut {
				t.Errorf("%s: %d questions\n%s", name, calls, dumpAnalysis(a))
			}
			checkAnalysis(t, a)
			same[i] = dumpAnalysis(a)
		}
		if same[0] != same[1] {
			t.Errorf("%s: two analyses differ", name)
		}
	}
}

func TestAnalyzeContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := flat(t)
		w.latency = time.Second
		ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
		defer cancel()
		a := (&Checker{Resolver: w}).Analyze(ctx, "example.com")
		if len(a.Unknown) != 9 || a.Unknown[0].Reason != dnsq.OverDue || !a.AtLeast || a.Lookups != 9 || len(a.Problems) != 0 {
			t.Errorf("%s", dumpAnalysis(a))
		}
	})
}

func TestAnswerBytes(t *testing.T) {
	for _, tc := range []struct {
		a    dnsq.Answer
		want int
	}{
		// header 12, question 13+4, OPT 11; record 2+10+1+11
		{dnsq.Answer{Question: dnsq.Q("example.com", dnsq.TypeTXT), RRs: []dnsq.RR{{Strings: []string{"v=spf1 -all"}}}}, 12 + 17 + 11 + 24},
		{dnsq.Answer{Question: dnsq.Q(`a\.b\007.com`, dnsq.TypeTXT)}, 12 + 6 + 4 + 4 + 11},
		{dnsq.Answer{Question: dnsq.Q("a.example", dnsq.TypeTXT), Chain: []string{"b.example"}, RRs: []dnsq.RR{{Strings: []string{strings.Repeat("x", 255), "y"}}}}, 12 + 11 + 4 + 11 + 12 + 11 + 12 + 258},
	} {
		if got := answerBytes(&tc.a); got != tc.want {
			t.Errorf("%s: %d, expected %d", tc.a.Question, got, tc.want)
		}
	}
}

func TestAddrSet(t *testing.T) {
	set := func(bits int, s ...string) AddrSet {
		var list []netip.Prefix
		for _, p := range s {
			list = append(list, netip.MustParsePrefix(p))
		}
		return newAddrSet(list, bits)
	}
	for _, tc := range []struct {
		in, want []string
		count    int64
	}{
		{nil, nil, 0},
		{[]string{"10.0.0.1/32", "10.0.0.0/8", "10.255.0.0/16"}, []string{"10.0.0.0/8"}, 1 << 24},
		{[]string{"10.0.0.3/32", "10.0.0.0/32", "10.0.0.2/32", "10.0.0.1/32"}, []string{"10.0.0.0/30"}, 4},
		{[]string{"10.0.0.1/32", "10.0.0.2/32"}, []string{"10.0.0.1/32", "10.0.0.2/32"}, 2}, // neighbours, not halves of one
		{[]string{"10.0.0.77/24", "10.0.0.1/24"}, []string{"10.0.0.0/24"}, 256},
		{[]string{"128.0.0.0/1", "0.0.0.0/2", "64.0.0.0/2"}, []string{"0.0.0.0/0"}, 1 << 32},
	} {
		s := set(32, tc.in...)
		if !reflect.DeepEqual(prefixes(s), tc.want) || s.Count().Cmp(big.NewInt(tc.count)) != 0 {
			t.Errorf("%v: %v, %v", tc.in, s.Prefixes, s.Count())
		}
		if share := s.Share() * (1 << 32); int64(share) != tc.count {
			t.Errorf("%v: share %v", tc.in, s.Share())
		}
		if s.All() != (tc.count == 1<<32) {
			t.Errorf("%v: All", tc.in)
		}
	}
	s := set(32, "10.0.0.0/24", "192.0.2.0/25")
	for ip, want := range map[string]bool{"10.0.0.0": true, "10.0.0.255": true, "10.0.1.0": false, "9.255.255.255": false, "::ffff:192.0.2.1": true, "192.0.2.128": false, "2001:db8::1": false, "255.255.255.255": false} {
		if s.Contains(netip.MustParseAddr(ip)) != want {
			t.Errorf("Contains(%s) = %t", ip, !want)
		}
	}
	all := set(128, "::/0")
	if !all.All() || all.Contains(netip.MustParseAddr("192.0.2.1")) || !all.Contains(netip.MustParseAddr("2001:db8::1")) || all.Count().BitLen() != 129 {
		t.Error("::/0")
	}
}
