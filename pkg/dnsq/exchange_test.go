package dnsq_test

import (
	"context"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	. "github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/dnsq/dnstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const zone = `
$TTL 300
example.com.        600 SOA ns1.example.com. hostmaster.example.com. 1 3600 600 86400 120
example.com.        TXT  "v=spf1 a " "-all"
example.com.        MX   10 Mail.Example.COM.
example.com.        MX   0 .
example.com.        NS   ns1.example.com.
example.com.        CAA  0 issue "ca.example"
mail.example.com.   A    192.0.2.1
mail.example.com.   AAAA 2001:db8::1
www.example.com.    60 CNAME mail.example.com.
odd.example.com.    TXT  "\233\000\"\\;" "b"
1.2.0.192.in-addr.arpa. PTR mail.example.com.
a\.b.example.com.   TXT  "dot in label"
`

// ask asks once, without Retry, with a try's time of d.
func ask(t *testing.T, x Resolver, q Question, d time.Duration) (*Answer, *Error) {
	t.Helper()
	ctx, cancel := TryContext(context.Background(), d)
	defer cancel()
	return askCtx(t, ctx, x, q)
}

func askCtx(t *testing.T, ctx context.Context, x Resolver, q Question) (*Answer, *Error) {
	t.Helper()
	a, err := x.Ask(ctx, q)
	if (a == nil) == (err == nil) {
		t.Fatalf("%v: answer %v and error %v", q, a, err)
	}
	if err == nil {
		return a, nil
	}
	e, ok := err.(*Error)
	if !ok {
		t.Fatalf("%v: error of type %T: %v", q, err, err)
	}
	if e.Question != q {
		t.Errorf("error for %v, asked %v", e.Question, q)
	}
	return nil, e
}

func exchange(t *testing.T, s Server, roots ...*x509.CertPool) *Exchange {
	t.Helper()
	o := ExchangeOptions{}
	if len(roots) > 0 {
		o.RootCAs = roots[0]
	}
	x := NewExchange(s, o)
	t.Cleanup(func() { x.Close() })
	return x
}

const long = 5 * time.Second // never reached by a test that passes

func TestAnswers(t *testing.T) {
	srv := dnstest.StartWith(t, dnstest.Options{Zones: []string{zone}, TLS: true, HTTPS: true})
	for _, s := range []Server{srv.Server(), srv.TCP(), srv.TLS(), srv.HTTPS()} {
		t.Run(s.Net, func(t *testing.T) {
			x := exchange(t, s, srv.RootCAs())
			get := func(name string, typ Type) *Answer {
				t.Helper()
				a, err := ask(t, x, Question{Name: name, Type: typ}, long)
				if err != nil {
					t.Fatal(err)
				}
				if a.Source != SourceDNS || a.Server != s.String() || a.RTT <= 0 || a.Cached || a.Authentic {
					t.Errorf("%s: source %q server %q RTT %v cached %v AD %v", name, a.Source, a.Server, a.RTT, a.Cached, a.Authentic)
				}
				return a
			}
			a := get("example.com", TypeTXT)
			if a.Outcome != Found || len(a.RRs) != 1 || a.RRs[0].Text() != "v=spf1 a -all" || len(a.RRs[0].Strings) != 2 || a.TTL != 300 {
				t.Errorf("TXT: %+v", a)
			}
			// Names in RDATA are canonical; the root is ".".
			a = get("example.com", TypeMX)
			if len(a.RRs) != 2 || a.RRs[0].Host != "mail.example.com" || a.RRs[0].Pref != 10 || a.RRs[1].Host != "." || a.RRs[1].Pref != 0 {
				t.Errorf("MX: %+v", a.RRs)
			}
			// Octets stay octets: no \233, no \" of zone files.
			if a = get("odd.example.com", TypeTXT); !slices.Equal(a.RRs[0].Strings, []string{"\xe9\x00\"\\;", "b"}) {
				t.Errorf("odd TXT: %q", a.RRs[0].Strings)
			}
			a = get("www.example.com", TypeA)
			if !slices.Equal(a.Chain, []string{"mail.example.com"}) || a.RRs[0].Addr != netip.MustParseAddr("192.0.2.1") || a.TTL != 60 || a.Owner() != "mail.example.com" {
				t.Errorf("A through CNAME: %+v", a)
			}
			if a = get("www.example.com", TypeCNAME); a.Outcome != Found || a.RRs[0].Host != "mail.example.com" || a.Chain != nil {
				t.Errorf("CNAME: %+v", a)
			}
			if a = get("mail.example.com", TypeAAAA); a.RRs[0].Addr != netip.MustParseAddr("2001:db8::1") {
				t.Errorf("AAAA: %+v", a)
			}
			if a = get("1.2.0.192.in-addr.arpa", TypePTR); a.RRs[0].Host != "mail.example.com" {
				t.Errorf("PTR: %+v", a)
			}
			if a = get("example.com", TypeSOA); a.RRs[0].SOA == nil || *a.RRs[0].SOA != (SOA{"ns1.example.com", "hostmaster.example.com", 1, 3600, 600, 86400, 120}) {
				t.Errorf("SOA: %+v", a)
			}
			if a = get("example.com", 257); a.RRs[0].Data != `0 issue "ca.example"` {
				t.Errorf("CAA: %q", a.RRs[0].Data)
			}
			// An escaped dot is part of its label.
			if a = get(`a\.b.example.com`, TypeTXT); a.Outcome != Found {
				t.Errorf("a\\.b: %+v", a)
			}
			// RFC 2308 §5: min(SOA TTL 600, MINIMUM 120).
			if a = get("mail.example.com", TypeMX); a.Outcome != NoData || a.TTL != 120 || !a.Exists() {
				t.Errorf("NODATA: %+v", a)
			}
			if a = get("nix.example.com", TypeA); a.Outcome != NXDomain || a.TTL != 120 || a.Exists() {
				t.Errorf("NXDOMAIN: %+v", a)
			}
		})
	}
}

// What the question looks like on the wire.
func TestQuestion(t *testing.T) {
	srv := dnstest.Start(t, zone)
	x := exchange(t, srv.Server())
	ids, ports := map[uint16]bool{}, map[uint16]int{}
	const n = 200
	for range n {
		if _, err := ask(t, x, Question{Name: "EXAMPLE.com.", Type: TypeTXT}, long); err != nil && err.Name != "example.com" {
			t.Fatal(err)
		}
	}
	for _, q := range srv.Log() {
		if q.Name != "example.com" || !q.EDNS || q.Size != 1232 || !q.AD || q.DO || q.Net != UDP {
			t.Fatalf("question on the wire: %+v", q)
		}
		ids[q.ID] = true
		ports[q.From.Port()]++
	}
	// 200 of 65,536: two equal ones are likely, fewer than 190 different are not.
	if len(ids) < n-10 {
		t.Errorf("%d different IDs in %d questions", len(ids), n)
	}
	if len(ports) < n/32 {
		t.Errorf("%d source ports in %d questions", len(ports), n)
	}
	for p, k := range ports {
		if k > 32 {
			t.Errorf("port %d was used for %d questions", p, k)
		}
	}
}

// Two questions at the same time never share a port: a forger who knows one
// port would have two chances.
func TestOneQuestionPerSocket(t *testing.T) {
	srv := dnstest.Start(t, zone)
	x := exchange(t, srv.Server())
	const n = 30
	arrived := make(chan netip.AddrPort, n)
	release := make(chan struct{})
	var once sync.Once
	defer once.Do(func() { close(release) })
	srv.Handle(func(q dnstest.Query) *dnstest.Reply {
		arrived <- q.From
		return &dnstest.Reply{Drop: true} // none is answered: all are under way at once
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := x.Ask(ctx, Q(fmt.Sprintf("n%d.example.com", i), TypeA)); err == nil {
				t.Error("an answer to a question that was dropped")
			}
		}()
	}
	ports := map[netip.AddrPort]bool{}
	for range n {
		ports[<-arrived] = true
	}
	cancel()
	wg.Wait()
	if len(ports) != n {
		t.Errorf("%d questions under way on %d ports", n, len(ports))
	}
}

// Faults of one server, seen through Exchange alone. What each row says about
// NODATA and NXDOMAIN matters most: none of these teaches that a record is
// missing.
func TestFaults(t *testing.T) {
	txt := Q("example.com", TypeTXT)
	const short = 80 * time.Millisecond // of what must time out
	tests := []struct {
		fault  dnstest.Fault
		d      time.Duration
		reason Reason // "": the true answer
		detail string
	}{
		{dnstest.Timeout, short, Timeout, ""},
		{dnstest.ServFail, long, ServFail, ""},
		{dnstest.Refused, long, Refused, ""},
		{dnstest.FormErr, long, ServFail, "FORMERR"},
		{dnstest.NotImp, long, ServFail, "NOTIMP"},
		{dnstest.NoEDNS, long, "", ""},
		{dnstest.BadVers, long, "", ""},
		{dnstest.Garbage, short, Malformed, "cannot be read"},
		// A naive reader stops where the octets end and finds an empty answer
		// section: "no SPF record".
		{dnstest.Cut, short, Malformed, "cannot be read"},
		{dnstest.Truncated, long, "", ""},
		{dnstest.TCPFails, long, Network, "truncated over UDP, then over TCP"},
		{dnstest.Referral, long, Refused, "referral: server does not recurse"},
		{dnstest.Lame, long, Refused, "neither recurses"},
		{dnstest.WrongID, long, "", ""},
		{dnstest.WrongQuestion, long, "", ""},
		{dnstest.WrongSource, long, "", ""},
		{dnstest.NotReply, long, "", ""},
		{dnstest.OnlyWrongID, short, Timeout, "1 replies to something else"},
		{dnstest.OnlyWrongQuestion, short, Timeout, "1 replies to something else"},
	}
	for _, tt := range tests {
		t.Run(string(tt.fault), func(t *testing.T) {
			srv := dnstest.Start(t, zone)
			srv.Fault(txt.Name, txt.Type, tt.fault)
			x := exchange(t, srv.Server())
			a, err := ask(t, x, txt, tt.d)
			switch {
			case tt.reason == "" && err != nil:
				t.Fatal(err)
			case tt.reason == "":
				if a.Outcome != Found || len(a.RRs) != 1 || a.RRs[0].Text() != "v=spf1 a -all" {
					t.Errorf("got %+v", a)
				}
			case err == nil:
				t.Fatalf("got %v %v, want %s", a.Outcome, a.RRs, tt.reason)
			default:
				if err.Reason != tt.reason || !strings.Contains(err.Detail, tt.detail) || err.Server != srv.Addr().String() {
					t.Errorf("got %v, want %s with %q", err, tt.reason, tt.detail)
				}
			}
			// The next question is not disturbed by what came before.
			if a, err := ask(t, x, Q("mail.example.com", TypeA), long); err != nil || a.Outcome != Found {
				t.Errorf("the next question: %v, %v", a, err)
			}
		})
	}
}

// Transports of truncation: once over UDP, then over TCP to the same server.
func TestTruncationUsesTCP(t *testing.T) {
	var b strings.Builder
	for i := range 40 {
		fmt.Fprintf(&b, "big.example.com. 300 TXT \"%03d %s\"\n", i, strings.Repeat("x", 200))
	}
	srv := dnstest.Start(t, b.String())
	a, err := ask(t, exchange(t, srv.Server()), Q("big.example.com", TypeTXT), long)
	if err != nil || len(a.RRs) != 40 {
		t.Fatalf("%v, %v", a, err)
	}
	log := srv.Log()
	if len(log) != 2 || log[0].Net != UDP || log[1].Net != TCP {
		t.Errorf("log: %+v", log)
	}
}

// The fallback without EDNS asks one more time and only one.
func TestPlainOnce(t *testing.T) {
	for _, f := range []dnstest.Fault{dnstest.NoEDNS, dnstest.BadVers, dnstest.FormErr} {
		srv := dnstest.Start(t, zone)
		srv.Fault("example.com", TypeTXT, f)
		ask(t, exchange(t, srv.Server()), Q("example.com", TypeTXT), long)
		log := srv.Log()
		if len(log) != 2 || !log[0].EDNS || log[1].EDNS {
			t.Errorf("%s: %+v", f, log)
		}
	}
}

// Programmed replies: what a message says about a name.
func TestMessages(t *testing.T) {
	const soa = "example.com. 600 IN SOA ns1.example.com. h.example.com. 1 3600 600 86400 120"
	bogus := map[uint16]string{6: "signature expired"}
	tests := []struct {
		name    string // says what a naive reader does
		q       Question
		reply   dnstest.Reply
		outcome Outcome
		n       int // records
		chain   string
		ttl     uint32
		reason  Reason
		detail  string
		asked   string // further questions
	}{
		{name: "records out of the chain are not the answer", q: Q("example.com", TypeA), outcome: NoData, ttl: 120,
			reply: dnstest.Reply{Answer: []string{"evil.example. 300 A 203.0.113.66"}, Authority: []string{soa}}},
		{name: "a record of another type is not the answer", q: Q("example.com", TypeTXT), outcome: NoData, ttl: 120,
			reply: dnstest.Reply{Answer: []string{"example.com. 300 A 203.0.113.66"}, Authority: []string{soa}}},
		{name: "class CH is not the answer", q: Q("example.com", TypeTXT), outcome: NoData, ttl: 120,
			reply: dnstest.Reply{Answer: []string{`example.com. 300 CH TXT "x"`}, Authority: []string{soa}}},
		{name: "the chain in any order and any case", q: Q("a.example.com", TypeA), outcome: Found, n: 1, chain: "b.example.com c.example.com", ttl: 30,
			reply: dnstest.Reply{Answer: []string{"c.example.com. 300 A 192.0.2.1", "B.EXAMPLE.com. 30 CNAME C.example.com.", "A.example.com. 60 CNAME b.example.com."}}},
		{name: "records at the alias's own name beside the chain", q: Q("a.example.com", TypeA), outcome: Found, n: 2, chain: "b.example.com", ttl: 60,
			reply: dnstest.Reply{Answer: []string{"a.example.com. 60 CNAME b.example.com.", "b.example.com. 300 A 192.0.2.1", "b.example.com. 300 A 192.0.2.2", "x.example.com. 1 A 192.0.2.3"}}},
		{name: "NXDOMAIN is about the end of the chain (RFC 6604 §3)", q: Q("a.example.com", TypeA), outcome: NXDomain, chain: "b.example.com", ttl: 60,
			reply: dnstest.Reply{Rcode: 3, Answer: []string{"a.example.com. 60 CNAME b.example.com."}, Authority: []string{soa}}},
		{name: "NODATA at the end of the chain", q: Q("a.example.com", TypeA), outcome: NoData, chain: "b.example.com", ttl: 60,
			reply: dnstest.Reply{Answer: []string{"a.example.com. 60 CNAME b.example.com."}, Authority: []string{soa}}},
		{name: "NXDOMAIN without SOA has no TTL", q: Q("a.example.com", TypeA), outcome: NXDomain,
			reply: dnstest.Reply{Rcode: 3}},
		{name: "NODATA type 3 (RFC 2308 §2.2) from a resolver", q: Q("a.example.com", TypeA), outcome: NoData,
			reply: dnstest.Reply{}},
		{name: "NODATA type 3 from the zone's own server", q: Q("a.example.com", TypeA), outcome: NoData,
			reply: dnstest.Reply{AA: true, NoRA: true}},
		{name: "an empty reply of a server that knows nothing is not NODATA", q: Q("a.example.com", TypeA), reason: Refused, detail: "empty reply",
			reply: dnstest.Reply{NoRA: true}},
		{name: "a referral is not NODATA", q: Q("a.example.com", TypeA), reason: Refused, detail: "referral",
			reply: dnstest.Reply{NoRA: true, Authority: []string{"com. 300 NS a.gtld.example."}}},
		{name: "NS and SOA is NODATA type 1", q: Q("a.example.com", TypeA), outcome: NoData, ttl: 120,
			reply: dnstest.Reply{AA: true, NoRA: true, Authority: []string{"example.com. 300 NS ns1.example.com.", soa}}},
		{name: "SOA TTL below MINIMUM", q: Q("a.example.com", TypeA), outcome: NXDomain, ttl: 7,
			reply: dnstest.Reply{Rcode: 3, Authority: []string{strings.Replace(soa, " 600 IN", " 7 IN", 1)}}},
		{name: "a CNAME loop", q: Q("a.example.com", TypeA), reason: Malformed, detail: "CNAME loop",
			reply: dnstest.Reply{Answer: []string{"a.example.com. 60 CNAME b.example.com.", "b.example.com. 60 CNAME a.example.com."}}},
		{name: "a CNAME to itself", q: Q("a.example.com", TypeA), reason: Malformed, detail: "CNAME loop",
			reply: dnstest.Reply{Answer: []string{"a.example.com. 60 CNAME a.example.com."}}},
		{name: "two CNAMEs: which one is chance", q: Q("a.example.com", TypeA), reason: Malformed, detail: "several CNAME",
			reply: dnstest.Reply{Answer: []string{"a.example.com. 60 CNAME b.example.com.", "a.example.com. 60 CNAME c.example.com.", "b.example.com. 60 A 192.0.2.1"}}},
		{name: "NXDOMAIN with the records asked for", q: Q("a.example.com", TypeA), reason: Malformed, detail: "NXDOMAIN together",
			reply: dnstest.Reply{Rcode: 3, Answer: []string{"a.example.com. 60 A 192.0.2.1"}}},
		{name: "NXDOMAIN with the CNAME asked for is about its target: unbound below a DNAME", q: Q("h.old.example.com", TypeCNAME), outcome: Found, n: 1, ttl: 60,
			reply: dnstest.Reply{Rcode: 3, Answer: []string{"old.example.com. 60 DNAME example.com.", "h.old.example.com. 60 CNAME h.example.com."}, Authority: []string{soa}}},
		{name: "the same record twice is one record (RFC 2181 §5)", q: Q("example.com", TypeTXT), outcome: Found, n: 1, ttl: 60,
			reply: dnstest.Reply{Answer: []string{`example.com. 60 TXT "v=spf1 -all"`, `example.com. 60 TXT "v=spf1 -all"`}}},
		{name: "strings split elsewhere are another record", q: Q("example.com", TypeTXT), outcome: Found, n: 2, ttl: 60,
			reply: dnstest.Reply{Answer: []string{`example.com. 60 TXT "ab" "c"`, `example.com. 60 TXT "a" "bc"`}}},
		{name: "a DNAME without its CNAME", q: Q("h.old.example.com", TypeA), outcome: Found, n: 1, chain: "h.new.example", ttl: 60,
			reply: dnstest.Reply{Answer: []string{"old.example.com. 60 DNAME new.example.", "h.new.example. 300 A 192.0.2.1"}}},
		{name: "a DNAME does not move its own name (RFC 6672 §2.3)", q: Q("old.example.com", TypeA), outcome: NoData, ttl: 120,
			reply: dnstest.Reply{Answer: []string{"old.example.com. 60 DNAME new.example."}, Authority: []string{soa}}},
		{name: "SERVFAIL with EDE", q: Q("example.com", TypeA), reason: ServFail, reply: dnstest.Reply{Rcode: 2, EDE: bogus}},
		{name: "REFUSED with records", q: Q("example.com", TypeA), reason: Refused,
			reply: dnstest.Reply{Rcode: 5, Answer: []string{"example.com. 60 A 192.0.2.1"}}},
		{name: "NXDOMAIN that a filter made up (RFC 8914 §4.18)", q: Q("example.com", TypeA), reason: Refused, detail: "policy",
			reply: dnstest.Reply{Rcode: 3, EDE: map[uint16]string{17: ""}}},
		{name: "an address that a filter made up (RFC 8914 §4.5)", q: Q("example.com", TypeA), reason: Refused, detail: "policy",
			reply: dnstest.Reply{Answer: []string{"example.com. 60 A 0.0.0.0"}, EDE: map[uint16]string{4: ""}}},
		{name: "a stale answer is an answer (RFC 8767)", q: Q("example.com", TypeA), outcome: Found, n: 1, ttl: 30,
			reply: dnstest.Reply{Answer: []string{"example.com. 30 A 192.0.2.1"}, EDE: map[uint16]string{3: ""}}},
		{name: "YXDOMAIN", q: Q("example.com", TypeA), reason: ServFail, detail: "YXDOMAIN", reply: dnstest.Reply{Rcode: 6}},
		{name: "NOTAUTH", q: Q("example.com", TypeA), reason: ServFail, detail: "NOTAUTH", reply: dnstest.Reply{Rcode: 9}},
		{name: "an unassigned RCODE", q: Q("example.com", TypeA), reason: ServFail, detail: "RCODE13", reply: dnstest.Reply{Rcode: 13}},
		{name: "CNAME and an SOA that says nothing about the target: asked on", q: Q("a.example.com", TypeA), outcome: Found, n: 1, chain: "t.example.net", ttl: 60,
			reply: dnstest.Reply{AA: true, Answer: []string{"a.example.com. 60 CNAME t.example.net."}, Authority: []string{soa}}, asked: "t.example.net"},
		{name: "CNAME alone, target does not exist", q: Q("a.example.com", TypeA), outcome: NXDomain, chain: "gone.example.net", ttl: 60,
			reply: dnstest.Reply{Answer: []string{"a.example.com. 90 CNAME gone.example.net."}}, asked: "gone.example.net"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := dnstest.Start(t, "t.example.net. 300 A 192.0.2.5")
			srv.Handle(func(q dnstest.Query) *dnstest.Reply {
				if q.Question == tt.q {
					return &tt.reply
				}
				return nil
			})
			a, err := ask(t, exchange(t, srv.Server()), tt.q, long)
			var asked []string
			for _, q := range srv.Log() {
				if q.Question != tt.q {
					asked = append(asked, q.Name)
				}
			}
			if got := strings.Join(asked, " "); got != tt.asked {
				t.Errorf("asked on for %q, want %q", got, tt.asked)
			}
			if tt.reason != "" {
				if err == nil {
					t.Fatalf("got %+v, want %s", a, tt.reason)
				}
				if err.Reason != tt.reason || !strings.Contains(err.Detail, tt.detail) {
					t.Errorf("got %v, want %s %q", err, tt.reason, tt.detail)
				}
				if tt.reply.EDE != nil && len(err.EDE) != 1 {
					t.Errorf("EDE %q", err.EDE)
				}
				if tt.reason == ServFail && tt.reply.EDE != nil && !slices.Equal(err.EDE, []string{"6 DNSSEC Bogus: signature expired"}) {
					t.Errorf("EDE %q", err.EDE)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if a.Outcome != tt.outcome || len(a.RRs) != tt.n || strings.Join(a.Chain, " ") != tt.chain || a.TTL != tt.ttl {
				t.Errorf("got %v, %d records, chain %v, TTL %d; want %v, %d, %q, %d", a.Outcome, len(a.RRs), a.Chain, a.TTL, tt.outcome, tt.n, tt.chain, tt.ttl)
			}
		})
	}
}

func TestADAndEDEInAnswers(t *testing.T) {
	srv := dnstest.Start(t)
	srv.Handle(func(q dnstest.Query) *dnstest.Reply {
		switch q.Name {
		case "a.example":
			return &dnstest.Reply{AD: true, Answer: []string{"a.example. 60 CNAME b.example."}}
		case "b.example":
			return &dnstest.Reply{AD: false, Answer: []string{"b.example. 60 A 192.0.2.1"}, EDE: map[uint16]string{3: "", 65000: "own\x00"}}
		}
		return &dnstest.Reply{AD: true, Answer: []string{"c.example. 60 A 192.0.2.1"}}
	})
	x := exchange(t, srv.Server())
	// One half that was not validated makes the whole not validated.
	a, err := ask(t, x, Q("a.example", TypeA), long)
	if err != nil || a.Authentic || !slices.Equal(a.EDE, []string{"3 Stale Answer", "65000: own"}) {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err = ask(t, x, Q("c.example", TypeA), long); err != nil || !a.Authentic {
		t.Errorf("%+v, %v", a, err)
	}
}

// A server that only ever answers with the next CNAME is followed ten times,
// then it is enough.
func TestEndlessChain(t *testing.T) {
	srv := dnstest.Start(t)
	srv.Handle(func(q dnstest.Query) *dnstest.Reply {
		n := len(Labels(q.Name))
		return &dnstest.Reply{Answer: []string{fmt.Sprintf("%s. 60 CNAME x%d.%s.", q.Name, n, q.Name)}}
	})
	_, err := ask(t, exchange(t, srv.Server()), Q("example", TypeA), long)
	if err == nil || err.Reason != Malformed || len(srv.Log()) != 11 {
		t.Errorf("%v after %d questions", err, len(srv.Log()))
	}
	// A loop over several messages is found at once.
	srv2 := dnstest.Start(t)
	srv2.Handle(func(q dnstest.Query) *dnstest.Reply {
		to := map[string]string{"a.example": "b.example", "b.example": "a.example"}[q.Name]
		return &dnstest.Reply{Answer: []string{q.Name + ". 60 CNAME " + to + "."}}
	})
	_, err = ask(t, exchange(t, srv2.Server()), Q("a.example", TypeA), long)
	if err == nil || err.Reason != Malformed || !strings.Contains(err.Detail, "CNAME loop") || len(srv2.Log()) != 2 {
		t.Errorf("%v after %d questions", err, len(srv2.Log()))
	}
}

// An authoritative server refuses the target of a CNAME out of its zones: the
// answer could not be learnt, and the error says where.
func TestTargetRefused(t *testing.T) {
	srv := dnstest.StartWith(t, dnstest.Options{Zones: []string{"a.example. 60 CNAME b.elsewhere."}, Authoritative: true, RefuseOutside: true})
	_, err := ask(t, exchange(t, srv.Server()), Q("a.example", TypeA), long)
	if err == nil || err.Reason != Refused || !strings.Contains(err.Detail, "b.elsewhere") {
		t.Errorf("%v", err)
	}
}

func TestNamesThatCannotBeAsked(t *testing.T) {
	srv := dnstest.Start(t, zone)
	x := exchange(t, srv.Server())
	for _, name := range []string{
		strings.Repeat("a", 64) + ".example", "a..example", strings.Repeat("abcdefg.", 32) + "example", `a\`, `\999.example`,
	} {
		a, err := x.Ask(context.Background(), Question{Name: name, Type: TypeA})
		if err == nil || AsError(Question{}, err).Reason != Malformed {
			t.Errorf("%.20q: %v, %v", name, a, err)
		}
	}
	if n := len(srv.Log()); n != 0 {
		t.Errorf("%d questions went out", n)
	}
}

// A flood of forged replies sends the question over TCP, where guessing does
// not work (RFC 5452 §9.3).
func TestFloodOfForgeries(t *testing.T) {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l, err := net.Listen("tcp", c.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	answer := func(b []byte) []byte {
		m := new(dns.Msg)
		if m.Unpack(b) != nil {
			return nil
		}
		r := new(dns.Msg)
		r.SetReply(m)
		r.RecursionAvailable = true
		rr, _ := dns.NewRR(m.Question[0].Name + " 60 A 192.0.2.1")
		r.Answer = []dns.RR{rr}
		out, _ := r.Pack()
		return out
	}
	var wg sync.WaitGroup
	wg.Add(2)
	go func() {
		defer wg.Done()
		buf := make([]byte, 4096)
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		id := binary.BigEndian.Uint16(buf)
		for i := range uint16(150) {
			b := answer(buf[:n])
			binary.BigEndian.PutUint16(b, id+1+i)
			c.WriteToUDPAddrPort(b, from)
		}
	}()
	go func() {
		defer wg.Done()
		s := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
			b, _ := m.Pack()
			w.Write(answer(b))
		})}
		s.NotifyStartedFunc = func() { wg.Add(1); go func() { defer wg.Done(); <-t.Context().Done(); s.Shutdown() }() }
		s.ActivateAndServe()
	}()
	t.Cleanup(wg.Wait)
	x := exchange(t, Server{Net: UDP, Addr: c.LocalAddr().(*net.UDPAddr).AddrPort()})
	a, e := ask(t, x, Q("example.com", TypeA), long)
	if e != nil || a.Outcome != Found {
		t.Errorf("%v, %v", a, e)
	}
}

func TestNetworkErrors(t *testing.T) {
	// A port that was just given back: nobody listens.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ap := l.Addr().(*net.TCPAddr).AddrPort()
	l.Close()
	srv := dnstest.StartWith(t, dnstest.Options{Zones: []string{zone}, TLS: true, HTTPS: true})
	wrongName, wrongWeb := srv.TLS(), srv.HTTPS()
	wrongName.Name, wrongWeb.Name = "other.test", "other.test"
	notFound := srv.HTTPS()
	notFound.Path = "/elsewhere"
	mail, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mail.Close()
	go func() {
		for c, err := mail.Accept(); err == nil; c, err = mail.Accept() {
			c.Write([]byte("220 mail.example ESMTP\r\n"))
			c.Close()
		}
	}()
	plain := srv.TLS()
	plain.Addr = mail.Addr().(*net.TCPAddr).AddrPort()
	tests := []struct {
		name   string
		s      Server
		roots  *x509.CertPool
		detail string
	}{
		{"udp, nobody there", Server{Net: UDP, Addr: ap}, nil, "refused"},
		{"tcp, nobody there", Server{Net: TCP, Addr: ap}, nil, "refused"},
		{"tls, certificate for another name", wrongName, srv.RootCAs(), "certificate"},
		{"tls, unknown authority", srv.TLS(), nil, "certificate"},
		{"tls, no TLS there", plain, srv.RootCAs(), ""},
		{"https, certificate for another name", wrongWeb, srv.RootCAs(), "certificate"},
		{"https, unknown authority", srv.HTTPS(), nil, "certificate"},
		{"https, another path", notFound, srv.RootCAs(), "HTTP status 404"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := ask(t, exchange(t, tt.s, tt.roots), Q("example.com", TypeTXT), long)
			if err == nil {
				t.Fatalf("got %v", a)
			}
			if err.Reason != Network || !strings.Contains(err.Detail, tt.detail) || err.Server != tt.s.String() {
				t.Errorf("got %v, want network with %q", err, tt.detail)
			}
		})
	}
}

// tls://ip and https://ip are checked against the addresses of the certificate.
func TestCertificateForAddress(t *testing.T) {
	srv := dnstest.StartWith(t, dnstest.Options{Zones: []string{zone}, TLS: true, HTTPS: true})
	for _, s := range []Server{srv.TLS(), srv.HTTPS()} {
		s.Name = ""
		parsed, err := ParseServer(s.String())
		if err != nil || parsed != s {
			t.Fatalf("%v: %v, %v", s, parsed, err)
		}
		if a, err := ask(t, exchange(t, s, srv.RootCAs()), Q("example.com", TypeTXT), long); err != nil || a.Outcome != Found {
			t.Errorf("%s: %v, %v", s, a, err)
		}
	}
	// And a host that the system resolves: localhost, without any DNS.
	s := Server{Net: HTTPS, Name: "localhost", Port: srv.HTTPS().Addr.Port(), Path: "/dns-query"}
	if a, err := ask(t, exchange(t, s, srv.RootCAs()), Q("example.com", TypeTXT), long); err != nil || a.Outcome != Found {
		t.Errorf("%s: %v, %v", s, a, err)
	}
}

func TestIPv6(t *testing.T) {
	srv := dnstest.StartWith(t, dnstest.Options{Zones: []string{zone}, IPv6: true})
	for _, s := range []Server{srv.Server(), srv.TCP()} {
		if a, err := ask(t, exchange(t, s), Q("example.com", TypeTXT), long); err != nil || a.Outcome != Found {
			t.Errorf("%v: %v, %v", s, a, err)
		}
	}
}

// RFC 7766 §6.2.1: connections are used again; §6.2.4: a server may close them
// in between, which costs a new connection and not the answer.
func TestStreamReuse(t *testing.T) {
	srv := dnstest.StartWith(t, dnstest.Options{Zones: []string{zone}, TLS: true})
	for _, s := range []Server{srv.TCP(), srv.TLS()} {
		srv.ResetLog()
		x := exchange(t, s, srv.RootCAs())
		for range 5 {
			if _, err := ask(t, x, Q("example.com", TypeTXT), long); err != nil {
				t.Fatal(err)
			}
		}
		ports := map[uint16]bool{}
		for _, q := range srv.Log() {
			ports[q.From.Port()] = true
		}
		if len(ports) != 1 {
			t.Errorf("%s: %d connections for 5 questions", s.Net, len(ports))
		}
		srv.Handle(func(q dnstest.Query) *dnstest.Reply {
			return &dnstest.Reply{Answer: []string{"example.com. 60 A 192.0.2.1"}, Close: true}
		})
		for range 5 {
			if _, err := ask(t, x, Q("example.com", TypeA), long); err != nil {
				t.Fatal(err)
			}
		}
		srv.Handle(nil)
	}
}

// More questions at once than connections: all are answered.
func TestManyOverStreams(t *testing.T) {
	srv := dnstest.StartWith(t, dnstest.Options{Zones: []string{zone}, TLS: true, HTTPS: true})
	for _, s := range []Server{srv.TCP(), srv.TLS(), srv.HTTPS()} {
		x := exchange(t, s, srv.RootCAs())
		var wg sync.WaitGroup
		for range 64 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				defer cancel()
				if a, err := x.Ask(ctx, Q("example.com", TypeTXT)); err != nil || a.Outcome != Found {
					t.Errorf("%s: %v, %v", s.Net, a, err)
				}
			}()
		}
		wg.Wait()
	}
}

// The end of the run is not the server's fault; the end of a try is.
func TestWhoseTime(t *testing.T) {
	srv := dnstest.StartWith(t, dnstest.Options{Zones: []string{zone}, TLS: true, HTTPS: true})
	srv.Handle(func(dnstest.Query) *dnstest.Reply { return &dnstest.Reply{Drop: true} })
	for _, s := range []Server{srv.Server(), srv.TCP(), srv.TLS(), srv.HTTPS()} {
		x := exchange(t, s, srv.RootCAs())
		q := Q("example.com", TypeTXT)
		_, e := ask(t, x, q, 100*time.Millisecond)
		if e == nil || e.Reason != Timeout || e.Server != s.String() {
			t.Errorf("%s: a try's end: %v", s.Net, e)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		if _, e = askCtx(t, ctx, x, q); e == nil || e.Reason != OverDue || e.Server != "" {
			t.Errorf("%s: the run's end: %v", s.Net, e)
		}
		cancel()
		ctx, cancel = context.WithCancel(context.Background())
		go func() {
			for len(srv.Log()) == 0 {
				time.Sleep(time.Millisecond)
			}
			cancel()
		}()
		srv.ResetLog()
		start := time.Now()
		if _, e = askCtx(t, ctx, x, q); e == nil || e.Reason != OverDue || !strings.Contains(e.Detail, "cancelled") {
			t.Errorf("%s: cancelled: %v", s.Net, e)
		}
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("%s: cancelling took %v", s.Net, d)
		}
		if _, e = askCtx(t, ctx, x, q); e == nil || e.Reason != OverDue {
			t.Errorf("%s: cancelled before: %v", s.Net, e)
		}
	}
}

// Replies over HTTPS that are no replies.
func TestHTTPSHostile(t *testing.T) {
	srv := dnstest.StartWith(t, dnstest.Options{Zones: []string{zone}, HTTPS: true})
	x := exchange(t, srv.HTTPS(), srv.RootCAs())
	for _, raw := range [][]byte{{}, {0, 0, 1}, make([]byte, 12), []byte(strings.Repeat("x", 70000))} {
		srv.Handle(func(dnstest.Query) *dnstest.Reply { return &dnstest.Reply{Raw: raw} })
		if a, err := ask(t, x, Q("example.com", TypeTXT), long); err == nil || err.Reason != Malformed {
			t.Errorf("%d octets: %v, %v", len(raw), a, err)
		}
	}
	srv.Handle(nil)
	if _, err := ask(t, x, Q("example.com", TypeTXT), long); err != nil {
		t.Fatal(err)
	}
	// RFC 8484 §4.1: the ID is 0.
	for _, q := range srv.Log() {
		if q.ID != 0 {
			t.Errorf("ID %d", q.ID)
		}
	}
}
