package spf_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/spf"
)

// records is a DNS of TXT records only, for the examples.
func records(txt map[string]string) dnsq.Resolver {
	return dnsq.ResolverFunc(func(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
		text, ok := txt[q.Name]
		if !ok {
			return &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain}, nil
		}
		if q.Type != dnsq.TypeTXT {
			return &dnsq.Answer{Question: q, Outcome: dnsq.NoData}, nil
		}
		return &dnsq.Answer{Question: q, Outcome: dnsq.Found, RRs: []dnsq.RR{{Name: q.Name, Type: q.Type, Strings: []string{text}}}}, nil
	})
}

func ExampleChecker_Check() {
	c := spf.Checker{Prefetch: true, Resolver: records(map[string]string{
		"shop.example":      "v=spf1 ip4:192.0.2.0/24 include:_spf.mail.example ~all",
		"_spf.mail.example": "v=spf1 ip4:198.51.100.0/24 -all",
	})}
	for _, ip := range []string{"198.51.100.7", "203.0.113.1"} {
		v := c.Check(context.Background(), netip.MustParseAddr(ip), "mail.shop.example", "news@shop.example")
		fmt.Printf("%s: %s, %d of %d lookups\n", ip, v.Result, v.Lookups, spf.MaxLookups)
		for _, s := range v.Path {
			fmt.Printf("  by %s (%s)\n", s.Term.Text, s.Why)
		}
	}
	// Output:
	// 198.51.100.7: pass, 1 of 10 lookups
	//   by include:_spf.mail.example (include-pass)
	//   by ip4:198.51.100.0/24 (in-network)
	// 203.0.113.1: softfail, 1 of 10 lookups
	//   by ~all (all)
}

func ExampleChecker_Analyze() {
	c := spf.Checker{Resolver: records(map[string]string{
		"shop.example":      "v=spf1 ip4:192.0.2.0/24 include:_spf.mail.example include:_spf.gone.example ~all",
		"_spf.mail.example": "v=spf1 ip4:198.51.100.0/25 ip4:198.51.100.128/25 -all",
	})}
	a := c.Analyze(context.Background(), "shop.example")
	fmt.Println("lookups:", a.Lookups)
	fmt.Println("authorised:", a.V4.Prefixes, a.V4.Count())
	for _, p := range a.Problems {
		fmt.Println("problem:", p.Code, p.Term.Text)
	}
	// Output:
	// lookups: 2
	// authorised: [192.0.2.0/24 198.51.100.0/24] 512
	// problem: include-none include:_spf.gone.example
}

func ExampleParse() {
	rec := spf.Parse("v=spf1 ip4:192.0.2.0/33 include:_spf.mail.example -all")
	for i := range rec.Errors {
		e := &rec.Errors[i]
		fmt.Println(rec.Text)
		fmt.Printf("%s%s %s\n", strings.Repeat(" ", e.Start), strings.Repeat("^", e.End-e.Start), e.Code)
	}
	// Output:
	// v=spf1 ip4:192.0.2.0/33 include:_spf.mail.example -all
	//                     ^^^ bad-cidr
}
