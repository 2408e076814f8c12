package facts_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/spf"
)

// dns answers "name TYPE" with records in a short form: hosts, addresses or
// texts separated by spaces, "10:host" for MX, "!reason" for no answer.
type dns map[string]string

func (d dns) Ask(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
	data, ok := d[q.String()]
	switch {
	case !ok:
		for k := range d {
			if strings.HasPrefix(k, q.Name+" ") {
				return &dnsq.Answer{Question: q, Outcome: dnsq.NoData}, nil
			}
		}
		return &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain}, nil
	case strings.HasPrefix(data, "!"):
		return nil, &dnsq.Error{Question: q, Reason: dnsq.Reason(data[1:])}
	}
	a := &dnsq.Answer{Question: q, Outcome: dnsq.Found}
	for _, f := range strings.Fields(data) {
		rr := dnsq.RR{Name: q.Name, Type: q.Type}
		switch q.Type {
		case dnsq.TypeA, dnsq.TypeAAAA:
			rr.Addr = netip.MustParseAddr(f)
		case dnsq.TypeMX:
			fmt.Sscanf(f, "%d:%s", &rr.Pref, &rr.Host)
		default:
			rr.Host = f
		}
		a.RRs = append(a.RRs, rr)
	}
	return a, nil
}

func world(t *testing.T, r dnsq.Resolver) *diag.World {
	return diag.NewWorld(t.Context(), r, func() time.Time { return time.Unix(0, 0) })
}

// Unreachable are more networks than RFC 1918 knows; documentation addresses
// stand for public ones.
func TestPublic(t *testing.T) {
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "192.0.2.1": true, "198.51.100.1": true, "203.0.113.1": true, "2001:db8::1": true, "2a00::1": true,
		"10.0.0.1": false, "172.16.0.1": false, "172.31.255.255": false, "172.32.0.1": true, "192.168.1.1": false,
		"127.0.0.1": false, "0.0.0.0": false, "0.1.2.3": false, "169.254.1.1": false, "100.64.0.1": false, "100.128.0.1": true,
		"224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "fe80::1": false, "fd00::1": false, "fc00::1": false, "ff02::1": false,
		"::ffff:10.0.0.1": false, "::ffff:8.8.8.8": true,
	} {
		if got := facts.Public(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: public is %t", addr, got)
		}
	}
}

func TestLiteral(t *testing.T) {
	for host, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "[192.0.2.1]": "192.0.2.1", `\[192.0.2.1\]`: "192.0.2.1", "2001:db8::1": "2001:db8::1",
		"[ipv6:2001:db8::1]": "2001:db8::1", "IPv6:2001:db8::1": "2001:db8::1",
		"mx.shop.example": "", "192.0.2.1.shop.example": "", "1": "", "": "", "192.0.2.256": "",
	} {
		got, ok := facts.Literal(host)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%q: %v %t, expected %q", host, got, ok, want)
		}
	}
}

// Hosts come in the order of preference, then name, however the server turns
// its answer; null and literal targets are not asked for.
func TestMX(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	d := dns{
		"shop.example MX": "20:b.example 10:z.example 10:a.example 5:. 30:192.0.2.1",
		"a.example A":     "192.0.2.1", "b.example A": "!timeout", "b.example AAAA": "2001:db8::1",
	}
	w := world(t, dnsq.ResolverFunc(func(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
		mu.Lock()
		asked = append(asked, q.String())
		mu.Unlock()
		return d.Ask(ctx, q)
	}))
	for range 2 {
		m, err := facts.MX.Of(t.Context(), w, "shop.example")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, h := range m.Hosts {
			s := fmt.Sprint(h.RR.Pref, " ", h.RR.Host)
			switch {
			case h.Null:
				s += " null"
			case h.Literal.IsValid():
				s += " literal"
			default:
				s += fmt.Sprint(" ", h.Addresses.All(), " ", h.Addresses.Known(), " ", h.Addresses.Exists())
			}
			got = append(got, s)
		}
		want := []string{"5 . null", "10 a.example [192.0.2.1] true true", "10 z.example [] true false", "20 b.example [2001:db8::1] false true", "30 192.0.2.1 literal"}
		if !slices.Equal(got, want) {
			t.Errorf("hosts\n%s\nexpected\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if m.Implicit != nil {
			t.Error("a domain with MX has no implicit one")
		}
	}
	if len(asked) != 7 {
		t.Errorf("%d questions: %v", len(asked), asked)
	}
}

func TestImplicitMX(t *testing.T) {
	w := world(t, dns{"shop.example A": "192.0.2.1", "dead.example MX": "!servfail"})
	m, err := facts.MX.Of(t.Context(), w, "shop.example")
	if err != nil || m.Answer.Outcome != dnsq.NoData || len(m.Implicit.All()) != 1 {
		t.Errorf("%+v %v", m, err)
	}
	_, err = facts.MX.Of(t.Context(), w, "dead.example")
	if e := dnsq.AsError(dnsq.Question{}, err); e.Reason != dnsq.ServFail || e.Question != dnsq.Q("dead.example", dnsq.TypeMX) {
		t.Errorf("error %v", err)
	}
}

// The run ends while hosts are asked for. A naive fact has a nil in their
// place, and the check that reads it crashes at every time-out.
func TestMXWhenTheRunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w := diag.NewWorld(ctx, dnsq.ResolverFunc(func(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
			if q.Type == dnsq.TypeMX {
				return dns{"shop.example MX": "10:a.example", "none.example A": "192.0.2.1"}.Ask(ctx, q)
			}
			// A resolver that comes back far too late.
			time.Sleep(time.Minute)
			return nil, ctx.Err()
		}), time.Now)
		for _, domain := range []string{"shop.example", "none.example"} {
			m, err := facts.MX.Of(context.WithoutCancel(ctx), w, domain)
			if err != nil {
				t.Fatal(err)
			}
			a := m.Implicit
			if domain == "shop.example" {
				a = m.Hosts[0].Addresses
			}
			if a == nil || a.Known() || len(a.Unknown()) != 2 || len(a.All()) != 0 || a.Exists() || a.Alias() != nil {
				t.Fatalf("%s: %+v", domain, a)
			}
			for _, e := range a.Unknown() {
				if e.Reason != dnsq.OverDue || e.Name == "" {
					t.Errorf("%s: %v", domain, e)
				}
			}
		}
		time.Sleep(2 * time.Minute) // until the late answers are in (virtual time)
	})
}

// The same names in every run, whatever order the server gives, at most fifty,
// and each is looked up in the family of the address.
func TestReverse(t *testing.T) {
	many := ""
	for i := range 60 {
		many += fmt.Sprintf(" n%02d.example", (i*37)%60)
	}
	d := dns{
		"25.2.0.192.in-addr.arpa PTR": "b.example a.example c.example b.example",
		"a.example A":                 "192.0.2.1 192.0.2.25", "b.example A": "192.0.2.9", "c.example A": "!refused",
		dnsq.ReverseName(netip.MustParseAddr("2001:db8::25")) + " PTR": "a.example",
		"a.example AAAA":              "2001:db8::25",
		"26.2.0.192.in-addr.arpa PTR": many,
		"28.2.0.192.in-addr.arpa PTR": "!timeout",
	}
	w := world(t, d)
	r, err := facts.Reverse.Of(t.Context(), w, netip.MustParseAddr("::ffff:192.0.2.25"))
	if err != nil || r.Total != 4 || !slices.Equal(r.All(), []string{"a.example", "b.example", "c.example"}) ||
		!slices.Equal(r.Confirmed(), []string{"a.example"}) || len(r.Unknown()) != 1 || r.Unknown()[0].Reason != dnsq.Refused {
		t.Errorf("%+v %v", r, err)
	}
	if r, err = facts.Reverse.Of(t.Context(), w, netip.MustParseAddr("2001:db8::25")); err != nil || len(r.Confirmed()) != 1 {
		t.Errorf("%+v %v", r, err)
	}
	if r, err = facts.Reverse.Of(t.Context(), w, netip.MustParseAddr("192.0.2.26")); err != nil || r.Total != 60 ||
		len(r.Names) != facts.MaxReverseNames || r.Names[0].Name != "n00.example" || r.Names[49].Name != "n49.example" {
		t.Errorf("%d names of %d, %v", len(r.Names), r.Total, err)
	}
	if r, err = facts.Reverse.Of(t.Context(), w, netip.MustParseAddr("192.0.2.27")); err != nil || r.Total != 0 || r.Answer.Outcome != dnsq.NXDomain {
		t.Errorf("%+v %v", r, err)
	}
	if _, err = facts.Reverse.Of(t.Context(), w, netip.MustParseAddr("192.0.2.28")); dnsq.AsError(dnsq.Question{}, err).Reason != dnsq.Timeout {
		t.Errorf("error %v", err)
	}
}

// Temperror is a result of SPF, not an error of the fact.
func TestSPFFactsHaveNoErrors(t *testing.T) {
	w := world(t, dns{"shop.example TXT": "!timeout"})
	a, err := facts.SPFTree.Of(t.Context(), w, "shop.example")
	if err != nil || len(a.Unknown) != 1 {
		t.Errorf("%+v %v", a, err)
	}
	v, err := facts.SPFResult.Of(t.Context(), w, facts.SPFAsk{IP: netip.MustParseAddr("192.0.2.1"), MailFrom: "shop.example"})
	if err != nil || v.Result != spf.TempError {
		t.Errorf("%+v %v", v, err)
	}
}

func TestEvidence(t *testing.T) {
	rr := &dnsq.RR{Name: "shop.example", Type: dnsq.TypeTXT}
	if e := facts.Evidence(rr, "text", 1, 2); e.Source != dnsq.SourceDNS || e.Name != rr.Name || e.Type != "TXT" || e.Text != "text" || e.Offset != 1 || e.Length != 2 {
		t.Errorf("%+v", e)
	}
	rr.File, rr.Line = "shop.zone", 3
	if e := facts.Evidence(rr, "text", 0, 0); e.Source != dnsq.SourceZone || e.File != "shop.zone" || e.Line != 3 {
		t.Errorf("%+v", e)
	}
}
