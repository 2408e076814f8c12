package dnstest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const zone = `
$ORIGIN example.com.
$TTL 300
@        3600 SOA ns1 hostmaster 7 3600 600 86400 120
@        300 TXT  "v=spf1 " "-all"
Mixed    A    192.0.2.7
www      CNAME web
web      A    192.0.2.1
web      A    192.0.2.2
a.ent    A    192.0.2.3
*.wild   TXT  "star"
sub.wild A    192.0.2.4
*.wc     CNAME web
old      DNAME example.net.
odd      TXT  "\233\000\"\\"
dangling CNAME nowhere
loop     CNAME loop2
loop2    CNAME loop
; another origin in the same text
$ORIGIN example.net.
host     A    192.0.2.9
`

func TestZone(t *testing.T) {
	srv := Start(t, zone)
	r := srv.Resolver()
	tests := []struct {
		name    string
		typ     dnsq.Type
		outcome dnsq.Outcome
		text    string // of the records, sorted as they come
		chain   string
		ttl     uint32
	}{
		{"example.com", dnsq.TypeTXT, dnsq.Found, "v=spf1 -all", "", 300},
		{"mixed.example.com", dnsq.TypeA, dnsq.Found, "192.0.2.7", "", 300},
		{"www.example.com", dnsq.TypeA, dnsq.Found, "192.0.2.1 192.0.2.2", "web.example.com", 300},
		{"www.example.com", dnsq.TypeTXT, dnsq.NoData, "", "web.example.com", 120},
		{"www.example.com", dnsq.TypeCNAME, dnsq.Found, "web.example.com", "", 300},
		// RFC 4592 §2.2.2: an empty non-terminal exists.
		{"ent.example.com", dnsq.TypeA, dnsq.NoData, "", "", 120},
		{"b.ent.example.com", dnsq.TypeA, dnsq.NXDomain, "", "", 120},
		{"x.wild.example.com", dnsq.TypeTXT, dnsq.Found, "star", "", 300},
		{"x.y.wild.example.com", dnsq.TypeTXT, dnsq.Found, "star", "", 300},
		{"x.wild.example.com", dnsq.TypeA, dnsq.NoData, "", "", 120},
		// RFC 4592 §3.3.1: an existing name blocks the wildcard, for what is
		// below it too.
		{"sub.wild.example.com", dnsq.TypeTXT, dnsq.NoData, "", "", 120},
		{"x.sub.wild.example.com", dnsq.TypeTXT, dnsq.NXDomain, "", "", 120},
		{"x.wc.example.com", dnsq.TypeA, dnsq.Found, "192.0.2.1 192.0.2.2", "web.example.com", 300},
		{"host.old.example.com", dnsq.TypeA, dnsq.Found, "192.0.2.9", "host.example.net", 300},
		{"odd.example.com", dnsq.TypeTXT, dnsq.Found, "\xe9\x00\"\\", "", 300},
		{"dangling.example.com", dnsq.TypeA, dnsq.NXDomain, "", "nowhere.example.com", 120},
		{"host.example.net", dnsq.TypeA, dnsq.Found, "192.0.2.9", "", 300},
		{"none.example.org", dnsq.TypeA, dnsq.NXDomain, "", "", 60},
	}
	for _, tt := range tests {
		t.Run(tt.name+" "+tt.typ.String(), func(t *testing.T) {
			a, err := r.Ask(context.Background(), dnsq.Question{Name: tt.name, Type: tt.typ})
			if err != nil {
				t.Fatal(err)
			}
			var text []string
			for _, rr := range a.RRs {
				switch {
				case rr.Addr.IsValid():
					text = append(text, rr.Addr.String())
				case rr.Host != "":
					text = append(text, rr.Host)
				default:
					text = append(text, rr.Text())
				}
			}
			got := strings.Join(text, " ")
			if a.Outcome != tt.outcome || got != tt.text || strings.Join(a.Chain, " ") != tt.chain || a.TTL != tt.ttl {
				t.Errorf("got %v %q chain %v TTL %d, want %v %q %q %d", a.Outcome, got, a.Chain, a.TTL, tt.outcome, tt.text, tt.chain, tt.ttl)
			}
		})
	}
}

func TestRefuseOutside(t *testing.T) {
	srv := StartWith(t, Options{Zones: []string{zone}, RefuseOutside: true})
	_, err := srv.Resolver().Ask(context.Background(), dnsq.Q("example.org", dnsq.TypeA))
	if e := dnsq.AsError(dnsq.Question{}, err); err == nil || e.Reason != dnsq.Refused {
		t.Errorf("outside: %v, want refused", err)
	}
	if a, err := srv.Resolver().Ask(context.Background(), dnsq.Q("nix.example.com", dnsq.TypeA)); err != nil || a.Outcome != dnsq.NXDomain {
		t.Errorf("inside: %v, %v, want nxdomain", a, err)
	}
}

func TestBadZone(t *testing.T) {
	if s, err := start(t, Options{Zones: []string{"example.com. TXT \"open"}}); err == nil {
		s.close()
		t.Error("a zone that cannot be read was taken")
	}
}

// Chance depends on the seed, the question and the time it is asked, not on
// who is faster.
func TestPickIsDeterministic(t *testing.T) {
	f := Faults{Loss: 0.3, ServFail: 0.3, Truncate: 0.2, Forge: 0.5, Garbage: 0.1, Seed: 1}
	draw := func(seed uint64) []Fault {
		g := f
		g.Seed = seed
		var out []Fault
		for i := range uint64(2000) {
			out = append(out, g.pick(dnsq.Q("example.com", dnsq.TypeTXT), i, dnsq.UDP))
		}
		return out
	}
	a, b, c := draw(1), draw(1), draw(2)
	if !slices.Equal(a, b) {
		t.Error("the same seed gives different faults")
	}
	if slices.Equal(a, c) {
		t.Error("another seed gives the same faults")
	}
	n := 0
	for _, f := range a {
		if f == Timeout {
			n++
		}
	}
	if n < 500 || n > 700 {
		t.Errorf("loss of 0.3: %d of 2000", n)
	}
	for i := range uint64(100) {
		if f.pick(dnsq.Q("example.com", dnsq.TypeTXT), i, dnsq.TCP) == Timeout {
			t.Fatal("TCP lost a message")
		}
	}
}

// Latency holds each reply back without holding back the next: 50 questions at
// once take about as long as one. A server that sleeps in its loop takes 50
// times as long.
func TestLatencyIsConcurrent(t *testing.T) {
	srv := StartWith(t, Options{Zones: []string{zone}, Faults: Faults{Latency: 50 * time.Millisecond}})
	x := dnsq.NewExchange(srv.Server(), dnsq.ExchangeOptions{})
	defer x.Close()
	start := time.Now()
	done := make(chan error)
	for range 50 {
		go func() {
			_, err := x.Ask(context.Background(), dnsq.Q("example.com", dnsq.TypeTXT))
			done <- err
		}()
	}
	for range 50 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if d := time.Since(start); d < 50*time.Millisecond || d > 1250*time.Millisecond {
		t.Errorf("50 questions at 50 ms took %v", d)
	}
}

func TestParseFault(t *testing.T) {
	for _, f := range faults {
		if g, err := ParseFault(string(f)); g != f || err != nil {
			t.Errorf("%s: %v, %v", f, g, err)
		}
	}
	if _, err := ParseFault("slow"); err == nil {
		t.Error("slow is no fault")
	}
}
