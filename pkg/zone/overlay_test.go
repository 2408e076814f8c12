package zone

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// world is a resolver with fixed answers, for what lies under an overlay. A
// question that is not in it is a timeout.
type world struct {
	answers map[string]*dnsq.Answer
	errs    map[string]dnsq.Reason
	asked   []string
}

func (w *world) Ask(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
	w.asked = append(w.asked, q.String())
	if a := w.answers[q.String()]; a != nil {
		b := *a
		b.Question, b.Source, b.Server = q, dnsq.SourceDNS, "192.0.2.53:53"
		return &b, nil
	}
	r := w.errs[q.String()]
	if r == "" {
		r = dnsq.Timeout
	}
	return nil, &dnsq.Error{Question: q, Reason: r}
}

// live makes a world's answer: the chain, then an address.
func live(addr string, chain ...string) *dnsq.Answer {
	a := &dnsq.Answer{Outcome: dnsq.NXDomain, TTL: 20, Chain: chain}
	if addr != "" {
		rr, err := RecordOf("x", "A", addr)
		if err != nil {
			panic(err)
		}
		if len(chain) > 0 {
			rr.Name = chain[len(chain)-1]
		}
		a.Outcome, a.RRs = dnsq.Found, []dnsq.RR{rr}
	}
	return a
}

// ask is an answer, or the error, in one line.
func ask(r dnsq.Resolver, q string) string {
	a, err := r.Ask(context.Background(), question(q))
	if err != nil {
		e, ok := err.(*dnsq.Error)
		if !ok {
			return "not a dnsq.Error: " + err.Error()
		}
		if a != nil {
			return "an answer beside an error"
		}
		if e.Question != question(q) {
			return fmt.Sprintf("an error for another question: %v", e)
		}
		return fmt.Sprintf("%s: %s", e.Reason, e.Detail)
	}
	if a.Question != question(q) {
		return fmt.Sprintf("an answer to %v", a.Question)
	}
	return fmt.Sprintf("%s %s", a.Source, show(a))
}

func TestOverlay(t *testing.T) {
	z := mustParse(t, `$ORIGIN example.com.
$TTL 100
@ SOA ns hostmaster 1 2 3 4 50
www A 192.0.2.1
tonet CNAME www.example.net.
tonet2 CNAME back.example.net.
nowhere CNAME lost.example.net.
circle CNAME circle.example.net.
both CNAME @
both A 192.0.2.1
del NS ns.example.net.
d DNAME example.net.
`, "")
	w := &world{
		answers: map[string]*dnsq.Answer{
			"www.example.net A":           live("198.51.100.1"),
			"back.example.net A":          live("203.0.113.9", "www.example.com"), // the live www differs from the file's
			"outback.example.net A":       live("", "gone.example.com"),
			"circle.example.net A":        live("203.0.113.9", "circle.example.com"),
			"unserved.example.net CNAME":  {Outcome: dnsq.Found, TTL: 9, RRs: []dnsq.RR{{Type: dnsq.TypeCNAME, Host: "www.example.com"}}},
			"elsewhere.example.net CNAME": {Outcome: dnsq.Found, TTL: 9, RRs: []dnsq.RR{{Type: dnsq.TypeCNAME, Host: "other.example.org"}}},
			"x.del.example.com A":         live("198.51.100.2"),
			"del.example.com NS":          {Outcome: dnsq.Found, TTL: 9, RRs: []dnsq.RR{{Name: "del.example.com", Type: dnsq.TypeNS, Host: "ns.example.net"}}},
		},
		errs: map[string]dnsq.Reason{"unserved.example.net A": dnsq.ServFail, "elsewhere.example.net A": dnsq.ServFail},
	}
	o := mustSet(t, z).Overlay(w)
	for _, tc := range []struct{ q, want string }{
		{"www.example.com A", "zone found www.example.com=192.0.2.1 ttl=100"},
		{"none.example.com A", "zone nxdomain ttl=50"},
		{"www.example.net A", "dns found x=198.51.100.1 ttl=20"},
		{"tonet.example.com A", "dns found >www.example.net x=198.51.100.1 ttl=20"},
		{"www.d.example.com A", "dns found >www.example.net x=198.51.100.1 ttl=20"},
		// A name of ours in the middle of someone else's chain: what is live
		// behind it is not what the file says.
		{"back.example.net A", "zone found >www.example.com www.example.com=192.0.2.1 ttl=20"},
		{"tonet2.example.com A", "zone found >back.example.net >www.example.com www.example.com=192.0.2.1 ttl=20"},
		{"outback.example.net A", "zone nxdomain >gone.example.com ttl=20"},
		{"circle.example.com A", "malformed: CNAME loop"},
		{"circle.example.net A", "malformed: CNAME loop"},
		{"both.example.com A", "malformed: a record beside a CNAME (RFC 1034 §3.6.2)"},
		// What is not learnt is never an absence.
		{"nowhere.example.com A", "timeout: at the alias target lost.example.net"},
		{"lost.example.net A", "timeout: "},
		{"x.del.example.com A", "dns found x=198.51.100.2 ttl=20"},
		{"y.del.example.com A", "timeout: "},
		// The zone is not served yet, so its alias fails as a whole.
		{"unserved.example.net A", "zone found >www.example.com www.example.com=192.0.2.1 ttl=9"},
		{"elsewhere.example.net A", "servfail: "},
	} {
		if got := ask(o, tc.q); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.q, got, tc.want)
		}
	}

	// What the file says is not asked elsewhere, and what it does not say is
	// handed on as it came.
	w.asked = nil
	ask(o, "www.example.com A")
	ask(o, "none.example.com A")
	if len(w.asked) != 0 {
		t.Errorf("asked %q", w.asked)
	}
	a, err := o.Ask(context.Background(), question("www.example.net A"))
	if err != nil || a.Server != "192.0.2.53:53" || len(w.asked) != 1 {
		t.Errorf("%+v %v, asked %q", a, err, w.asked)
	}
	if a, err = o.Ask(context.Background(), question("www.example.com A")); err != nil || a.RRs[0].File != "test.zone" || a.RRs[0].Line != 4 {
		t.Errorf("%+v %v", a, err)
	}
}

// TestOverlayAuthentic: the AD bit of a chain that goes through a file is not
// the file's.
func TestOverlayAuthentic(t *testing.T) {
	z := mustParse(t, "a CNAME www.example.net.\n", "example.com")
	under := live("198.51.100.1")
	under.Authentic = true
	o := mustSet(t, z).Overlay(&world{answers: map[string]*dnsq.Answer{"www.example.net A": under}})
	for q, want := range map[string]bool{"a.example.com A": false, "www.example.net A": true} {
		if a, err := o.Ask(context.Background(), question(q)); err != nil || a.Authentic != want {
			t.Errorf("%s: %+v %v", q, a, err)
		}
	}
}

// A delegation that only the proposed zone has. A naive overlay asks the live DNS,
// which still answers for the zone that is to be replaced: a verdict about the old
// records under the name of the new ones.
func TestOverlayNewDelegation(t *testing.T) {
	parse := func(origin, text string) *Zone {
		z, err := Parse(strings.NewReader("$TTL 300\n@ SOA ns h 1 1 1 1 60\n"+text), origin, origin)
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	set := func(zones ...*Zone) *Set {
		s, err := NewSet(zones...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	proposed := parse("shop.example", "news NS ns1.agency.example.\nnews NS ns2.agency.example.\nnews TXT hidden")
	q := dnsq.Q("x.news.shop.example", dnsq.TypeTXT)
	fails := dnsq.ResolverFunc(func(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
		return nil, &dnsq.Error{Question: q, Reason: dnsq.Timeout}
	})
	for _, c := range []struct {
		what  string
		under dnsq.Resolver
		want  string
	}{
		{"in the live DNS the name is the zone's own", set(parse("shop.example", "x.news TXT old")).Overlay(fails), "delegated"},
		{"in the live DNS it is another's", set(parse("news.shop.example", "@ NS ns.other.example.\nx TXT other")).Overlay(fails), "delegated"},
		{"in force", set(parse("news.shop.example", "@ NS ns2.agency.example.\nx TXT theirs")).Overlay(fails), "theirs"},
		{"nobody knows", fails, "timeout"},
		{"nobody may be asked", dnsq.OfflineResolver(""), "delegated"},
	} {
		a, err := set(proposed).Overlay(c.under).Ask(t.Context(), q)
		got := ""
		if err != nil {
			e := dnsq.AsError(q, err)
			got = string(e.Reason)
			if e.Question != q {
				t.Errorf("%s: the error is about %s", c.what, e.Question)
			}
		} else if a.Outcome == dnsq.Found {
			got = a.RRs[0].Text()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}
