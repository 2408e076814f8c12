package zone

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// show is an answer in one line: outcome, chain, data, TTL.
func show(a *dnsq.Answer) string {
	s := a.Outcome.String()
	for _, c := range a.Chain {
		s += " >" + c
	}
	for _, rr := range a.RRs {
		s += " " + rr.Name + "=" + FormatData(rr)
	}
	return fmt.Sprintf("%s ttl=%d", s, a.TTL)
}

func showWhere(a *dnsq.Answer, w Where) string {
	switch w.Place {
	case In:
		return show(a)
	case Out:
		return "out"
	case Delegated:
		return "delegated " + w.Cut
	case Leaves:
		return "leaves " + strings.Join(a.Chain, " >") + " next " + w.Next
	}
	return "broken: " + w.Detail
}

func mustSet(t testing.TB, zones ...*Zone) *Set {
	t.Helper()
	s, err := NewSet(zones...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func question(s string) dnsq.Question {
	name, typ, _ := strings.Cut(s, " ")
	t, err := dnsq.ParseType(typ)
	if err != nil {
		panic(err)
	}
	return dnsq.Question{Name: name, Type: t}
}

type lookupCase struct{ q, want string }

func checkLookups(t *testing.T, s *Set, cases []lookupCase) {
	t.Helper()
	for _, tc := range cases {
		a, w := s.Lookup(question(tc.q))
		if got := showWhere(a, w); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.q, got, tc.want)
		}
		if (a != nil) != (w.Place == In || w.Place == Leaves) {
			t.Errorf("%s: answer %v at %v", tc.q, a, w.Place)
		}
		if a != nil && (a.Question != question(tc.q) || a.Source != dnsq.SourceZone) {
			t.Errorf("%s: answer to %v from %v", tc.q, a.Question, a.Source)
		}
	}
}

// TestRFC4592 has all the examples of RFC 4592 §2.2.1.
func TestRFC4592(t *testing.T) {
	z := mustParse(t, `$ORIGIN example.
example.                 3600 IN  SOA   ns.example.com. hostmaster.example.com. 1 2 3 4 60
example.                 3600     NS    ns.example.com.
example.                 3600     NS    ns.example.net.
*.example.               3600     TXT   "this is a wildcard"
*.example.               3600     MX    10 host1.example.
sub.*.example.           3600     TXT   "this is not a wildcard"
host1.example.           3600     A     192.0.2.1
_ssh._tcp.host1.example. 3600     SRV   0 0 22 host1.example.
_ssh._tcp.host2.example. 3600     SRV   0 0 22 host1.example.
subdel.example.          3600     NS    ns.example.com.
subdel.example.          3600     NS    ns.example.net.
`, "")
	checkLookups(t, mustSet(t, z), []lookupCase{
		// Synthesised.
		{"host3.example MX", "found host3.example=10 host1.example. ttl=3600"},
		{"host3.example A", "nodata ttl=60"},
		{"foo.bar.example TXT", `found foo.bar.example="this is a wildcard" ttl=3600`},
		// Not synthesised.
		{"host1.example MX", "nodata ttl=60"},
		{"sub.*.example MX", "nodata ttl=60"},
		{"_telnet._tcp.host1.example SRV", "nxdomain ttl=60"},
		{"host.subdel.example A", "delegated subdel.example"},
		{"ghost.*.example MX", "nxdomain ttl=60"},
		// §2.2.2, §2.2.3: empty non-terminals, and the asterisk as a plain name.
		{"host2.example MX", "nodata ttl=60"},
		{"_tcp.host2.example SRV", "nodata ttl=60"},
		{"*.example MX", "found *.example=10 host1.example. ttl=3600"},
		{"sub.*.example TXT", `found sub.*.example="this is not a wildcard" ttl=3600`},
		{"subdel.example NS", "delegated subdel.example"},
		{"example NS", "found example=ns.example.com. example=ns.example.net. ttl=3600"},
	})
}

func TestLookup(t *testing.T) {
	z := mustParse(t, `$ORIGIN example.com.
$TTL 100
@ SOA ns hostmaster 1 2 3 4 50
@ NS ns
@ 90 A 192.0.2.1
@ 80 A 192.0.2.2
@ A 192.0.2.2
www 40 CNAME @
w2 CNAME www
out CNAME a.example.net.
loop CNAME loop2
loop2 CNAME loop
self CNAME self
dangling CNAME none
toent CNAME ent
a.ent TXT "below"
both CNAME @
both TXT "beside"
two CNAME a
two CNAME b
same CNAME @
same CNAME @
*.wild CNAME host
host 30 MX 10 mail
*.dots TXT "w"
x.y.dots TXT "explicit"
del NS ns.del
ns.del A 192.0.2.3
del DS 1 8 2 abababababababababababababababababababababababababababababababab
todel CNAME www.del
d 70 DNAME example.net.
d TXT "its own name"
hidden.d TXT "must not exist"
din DNAME ent
dself DNAME x.dself
*.starns NS ns.example.net.
*.stard DNAME example.net.
`, "")
	child := mustParse(t, "$TTL 7\n@ SOA a b 1 2 3 4 5\nwww TXT \"child\"\n", "child.example.com")
	snippet := mustParse(t, "_dmarc TXT \"v=DMARC1; p=none\"\n", "snippet.example")
	s := mustSet(t, z, child, snippet)
	checkLookups(t, s, []lookupCase{
		{"example.com A", "found example.com=192.0.2.1 example.com=192.0.2.2 ttl=80"}, // RFC 2181 §5.2: one TTL, no record twice
		{"example.com MX", "nodata ttl=50"},
		{"none.example.com A", "nxdomain ttl=50"},
		{"a.none.example.com A", "nxdomain ttl=50"},
		{"www.example.com A", "found >example.com example.com=192.0.2.1 example.com=192.0.2.2 ttl=40"},
		{"w2.example.com A", "found >www.example.com >example.com example.com=192.0.2.1 example.com=192.0.2.2 ttl=40"},
		{"www.example.com CNAME", "found www.example.com=example.com. ttl=40"},
		{"www.example.com MX", "nodata >example.com ttl=40"},
		{"example.com CNAME", "nodata ttl=50"},
		{"dangling.example.com A", "nxdomain >none.example.com ttl=50"},
		{"toent.example.com A", "nodata >ent.example.com ttl=50"},
		{"ent.example.com TXT", "nodata ttl=50"},
		{"out.example.com A", "leaves a.example.net next a.example.net"},
		{"loop.example.com A", "broken: CNAME loop"},
		{"self.example.com A", "broken: CNAME loop"},
		{"loop.example.com CNAME", "found loop.example.com=loop2.example.com. ttl=100"},
		{"both.example.com TXT", "broken: a record beside a CNAME (RFC 1034 §3.6.2)"},
		{"both.example.com CNAME", "broken: a record beside a CNAME (RFC 1034 §3.6.2)"},
		{"two.example.com A", "broken: a record beside a CNAME (RFC 1034 §3.6.2)"},
		{"same.example.com MX", "nodata >example.com ttl=50"},
		{"a.wild.example.com MX", "found >host.example.com host.example.com=10 mail.example.com. ttl=30"},
		{"a.wild.example.com CNAME", "found a.wild.example.com=host.example.com. ttl=100"},
		{"wild.example.com MX", "nodata ttl=50"},
		{"a.dots.example.com TXT", `found a.dots.example.com="w" ttl=100`},
		{"a.b.dots.example.com TXT", `found a.b.dots.example.com="w" ttl=100`},
		{"y.dots.example.com TXT", "nodata ttl=50"},     // empty, and blocks the wildcard …
		{"a.y.dots.example.com TXT", "nxdomain ttl=50"}, // … for what is below it
		{"del.example.com A", "delegated del.example.com"},
		{"ns.del.example.com A", "delegated del.example.com"}, // glue is not authoritative
		{"del.example.com DS", "found del.example.com=1 8 2 ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB ttl=100"},
		{"x.del.example.com DS", "delegated del.example.com"},
		{"todel.example.com A", "leaves www.del.example.com next www.del.example.com"},
		{"d.example.com TXT", `found d.example.com="its own name" ttl=100`},
		{"d.example.com A", "nodata ttl=50"},
		{"a.b.d.example.com A", "leaves a.b.example.net next a.b.example.net"},
		{"hidden.d.example.com TXT", "leaves hidden.example.net next hidden.example.net"},
		{"a.d.example.com CNAME", "found a.d.example.com=a.example.net. ttl=70"},
		{"a.din.example.com TXT", `found >a.ent.example.com a.ent.example.com="below" ttl=100`},
		{"a.dself.example.com A", fmt.Sprintf("broken: a CNAME chain of more than %d links", maxChain)},
		{strings.Repeat("a.", 117) + "din.example.com TXT", "nxdomain >" + strings.Repeat("a.", 117) + "ent.example.com ttl=50"},
		{"a.starns.example.com A", "delegated *.starns.example.com"},
		{"a.stard.example.com A", "nodata ttl=50"},
		{"example.net A", "out"},
		{"com A", "out"},
		{". NS", "out"},
		{"notexample.com A", "out"},
		{"www.child.example.com TXT", `found www.child.example.com="child" ttl=7`}, // the longest origin
		{"child.example.com DS", "nxdomain ttl=50"},                                // the parent's to say
		{"x.child.example.com A", "nxdomain ttl=5"},
		{"snippet.example TXT", "nodata ttl=0"}, // exists though the file has nothing at it
		{"x.snippet.example TXT", "nxdomain ttl=0"},
		{"_dmarc.snippet.example TXT", `found _dmarc.snippet.example="v=DMARC1; p=none" ttl=3600`},
		{"snippet.example DS", "out"},
		{"example.com AXFR", "broken: AXFR is not a type of record"},
	})
	if a, w := s.Lookup(question("x.y.dots.example.com TXT")); w.Zone != z || a.RRs[0].File != "test.zone" || a.RRs[0].Line != 26 {
		t.Errorf("the record comes from %+v", a.RRs)
	}
}

func TestLookupDNAMETooLong(t *testing.T) {
	z := mustParse(t, "d DNAME "+strings.Repeat("long.", 20)+"example.org.\n", "example.com")
	checkLookups(t, mustSet(t, z), []lookupCase{
		{strings.Repeat("abcdefg.", 20) + "d.example.com A", "broken: the name is too long behind the DNAME at d.example.com"},
	})
}

func TestNewSetTwice(t *testing.T) {
	z := mustParse(t, "a A 192.0.2.1\n", "example.com")
	if _, err := NewSet(z, z); err == nil || !strings.Contains(err.Error(), "two zone files answer for example.com") {
		t.Errorf("%v", err)
	}
}

// slowStep is the same algorithm over a plain list of records, written from
// the standards' words and not from the index.
func slowStep(rrs []dnsq.RR, origin string, q dnsq.Question) string {
	at := func(name string, t dnsq.Type) (out []string) {
		for _, rr := range rrs {
			if rr.Name == name && rr.Type == t {
				out = append(out, FormatData(rr))
			}
		}
		return out
	}
	exists := func(name string) bool {
		for _, rr := range rrs {
			if dnsq.AtOrBelow(rr.Name, name) {
				return true
			}
		}
		return name == origin
	}
	labels := dnsq.Labels(strings.TrimSuffix(q.Name, origin))
	if len(labels) > 0 && labels[len(labels)-1] == "" {
		labels = labels[:len(labels)-1]
	}
	names := []string{origin}
	for i := len(labels) - 1; i >= 0; i-- {
		names = append(names, labels[i]+"."+names[len(names)-1])
	}
	answer := func(owner string) string {
		if c := at(owner, dnsq.TypeCNAME); len(c) > 0 && q.Type != dnsq.TypeCNAME {
			return "alias " + c[0]
		}
		if d := at(owner, q.Type); len(d) > 0 {
			return "found " + strings.Join(d, " ")
		}
		return "nodata"
	}
	for i, name := range names {
		if !exists(name) {
			star := "*." + names[i-1]
			switch {
			case !exists(star):
				return "nxdomain"
			case len(at(star, dnsq.TypeNS)) > 0:
				return "delegated"
			}
			return answer(star)
		}
		if i > 0 && len(at(name, dnsq.TypeNS)) > 0 {
			return "delegated"
		}
		if name == q.Name {
			return answer(name)
		}
		if d := at(name, dnsq.TypeDNAME); len(d) > 0 {
			to := strings.TrimSuffix(q.Name, name) + d[0]
			if q.Type == dnsq.TypeCNAME {
				return "found " + to
			}
			return "alias " + to
		}
	}
	return "?"
}

// TestLookupAgainstList compares the index with slowStep on thousands of small
// random zones in which everything collides with everything.
func TestLookupAgainstList(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	labels := []string{"a", "b", "*", "c"}
	name := func() string {
		n := "z"
		for i := r.Intn(4); i > 0; i-- {
			n = labels[r.Intn(len(labels))] + "." + n
		}
		return n
	}
	seen := map[string]int{}
	for i := 0; i < 3000; i++ {
		z := &Zone{Origin: "z"}
		taken := map[string]dnsq.Type{}
		for j := r.Intn(8); j >= 0; j-- {
			rr := dnsq.RR{Name: name(), TTL: 5}
			switch r.Intn(6) {
			case 0:
				rr.Type, rr.Host = dnsq.TypeCNAME, name()
			case 1:
				rr.Type, rr.Host = dnsq.TypeNS, "ns."
			case 2:
				rr.Type, rr.Host = dnsq.TypeDNAME, name()
			default:
				rr.Type, rr.Strings = dnsq.TypeTXT, []string{fmt.Sprint(j)}
			}
			if t, ok := taken[rr.Name]; ok && (t != dnsq.TypeTXT || rr.Type != dnsq.TypeTXT) {
				continue // CNAME beside others and the like are in TestLookup
			}
			taken[rr.Name] = rr.Type
			z.Records = append(z.Records, rr)
		}
		s := mustSet(t, z)
		for j := 0; j < 30; j++ {
			q := dnsq.Question{Name: name(), Type: []dnsq.Type{dnsq.TypeTXT, dnsq.TypeCNAME, dnsq.TypeA}[r.Intn(3)]}
			got := s.step(q)
			var show string
			switch got.kind {
			case stepDelegated:
				show = "delegated"
			case stepAlias:
				show = "alias " + got.next + "."
			case stepDone:
				show = got.outcome.String()
				for _, rr := range got.rrs {
					show += " " + FormatData(rr)
				}
			default:
				show = got.next
			}
			want := slowStep(z.Records, "z", q)
			seen[strings.Fields(want)[0]]++
			if show != want {
				t.Fatalf("%v: got %s, want %s in\n%v", q, show, want, dump(z))
			}
		}
	}
	for _, k := range []string{"found", "nodata", "nxdomain", "delegated", "alias"} {
		if seen[k] < 100 {
			t.Errorf("only %d answers of kind %s: the zones are too tame", seen[k], k)
		}
	}
}

// TestRealRecords serves a file of thousands of real records and asks for each.
func TestRealRecords(t *testing.T) {
	b, err := os.ReadFile("../../../shared/suites/records/records.zone")
	if err != nil {
		t.Log("the file is not there; nothing to compare")
		return
	}
	z, err := Parse(strings.NewReader(string(b)), "records.zone", ".")
	if err != nil {
		t.Fatal(err)
	}
	o := mustSet(t, z).Overlay(dnsq.OfflineResolver("nothing is below"))
	for i, rr := range z.Records {
		a, err := o.Ask(context.Background(), dnsq.Question{Name: rr.Name, Type: rr.Type})
		if err != nil {
			t.Errorf("%s %s: %v", rr.Name, rr.Type, err)
			continue
		}
		found := false
		for j := range a.RRs {
			found = found || sameData(&a.RRs[j], &rr) && a.RRs[j].Name == rr.Name
		}
		if !found || rr.Line == 0 || !strings.Contains(z.Raw(i), rr.Type.String()) {
			t.Errorf("%s %s of line %d is not in its answer: %s", rr.Name, rr.Type, rr.Line, show(a))
		}
	}
	if len(z.Records) < 2000 {
		t.Errorf("only %d records", len(z.Records))
	}
}
