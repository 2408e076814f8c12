package checks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/todoku-mail/todoku/checks"
	"github.com/todoku-mail/todoku/pkg/checktest"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/dnsq/dnstest"
	"github.com/todoku-mail/todoku/pkg/engine"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/render"
)

// Nothing is asked twice: over all fixtures and some real records, each
// question crosses the wire once however many checks need it, fixes included,
// and the report says how many there were. A check that goes round its World,
// or a layer that forgets, shows here.
func TestNothingIsAskedTwice(t *testing.T) {
	for _, w := range append(append(worlds(t), hard()...), realWorlds(t, 40)...) {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			srv, sh := w.shared(t, patience, 1, dnstest.Faults{})
			var mu sync.Mutex
			failing := map[dnsq.Question]bool{} // questions that the fixture answers with a fault: not on the wire
			under := w.under(sh)
			s, err := dnsq.New(t.Context(), dnsq.Options{Under: dnsq.ResolverFunc(func(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
				if _, ok := w.faults[q]; ok {
					mu.Lock()
					failing[q] = true
					mu.Unlock()
				}
				return under.Ask(ctx, q)
			})})
			if err != nil {
				t.Fatal(err)
			}
			cfg := config(checks.All, s)
			rep := engine.Run(t.Context(), cfg, w.target)

			log := map[dnsq.Question]int{}
			for _, q := range srv.Log() {
				log[q.Question]++
			}
			if got := len(log) + len(failing); rep.Queries != got {
				t.Errorf("the report says %d questions, %d different ones were asked", rep.Queries, got)
			}
			most, sum := 0, 0
			for i := range rep.Checks {
				most, sum = max(most, rep.Checks[i].Queries), sum+rep.Checks[i].Queries
			}
			if most > rep.Queries || sum < rep.Queries {
				t.Errorf("%d questions in all, %d of one check, %d of all checks added up", rep.Queries, most, sum)
			}
			engine.Verify(t.Context(), cfg, rep)
			type sent struct {
				q   dnsq.Question
				net string
			}
			times := map[sent]int{} // a truncated answer is fetched over TCP: once each
			for _, q := range srv.Log() {
				k := sent{q.Question, q.Net}
				if times[k]++; times[k] == 2 {
					t.Errorf("%s was asked more than once over %s", q.Question, q.Net)
				}
			}
			// On the wire the fixture's own check says what it says alone and
			// from zone files.
			for i, c := range checks.All {
				if c.Name != w.check {
					continue
				}
				cfg.Checks = checks.All[i : i+1]
				var got []string
				alone := engine.Run(t.Context(), cfg, w.target)
				for j := range alone.Checks[0].Findings {
					got = append(got, checktest.Line(&alone.Checks[0].Findings[j]))
				}
				if d := cmp.Diff(w.want, got); d != "" {
					t.Errorf("findings from zone files and on the wire (-files +wire):\n%s", d)
				}
			}
		})
	}
}

// A check needs the same number of questions whether it runs alone or beside
// the others: those of facts count for each check that pulls them, whoever
// asked first.
func TestQuestionsPerCheck(t *testing.T) {
	for _, w := range append(worlds(t), hard()...) {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			together, rec := w.learn(t, checks.All)
			for i := range together.Checks {
				c := together.Checks[i].Check
				alone := w.replay(t, []*diag.Check{c}, rec, "")
				if a, b := alone.Checks[0].Queries, together.Checks[i].Queries; a != b || a != alone.Queries {
					t.Errorf("%s: %d questions alone, %d beside the others, %d in its report", c.Name, a, b, alone.Queries)
				}
			}
		})
	}
}

// reportJSON is the report as JSON without durations.
func reportJSON(t testing.TB, r *diag.Report, cat *i18n.Catalog) []byte {
	t.Helper()
	r.Duration = 0
	for i := range r.Checks {
		r.Checks[i].Duration = 0
	}
	var b bytes.Buffer
	if err := render.JSON(&b, r, cat, render.Options{}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func english(t testing.TB) *i18n.Catalog {
	t.Helper()
	cat, err := i18n.Load(checks.All, "en")
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

// A recorded run, fixes tried, and its replay are the same bytes but for
// durations; so is a replay of a run on a bad wire, which asked in vain.
func TestReplayIsTheSameReport(t *testing.T) {
	cat := english(t)
	for _, w := range append(append(worlds(t), hard()...), realWorlds(t, 20)...) {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			for _, faults := range []dnstest.Faults{{}, {ServFail: 0.5, Seed: 3}} {
				_, sh := w.shared(t, patience, 1, faults)
				var rec bytes.Buffer
				s, err := dnsq.New(t.Context(), dnsq.Options{Under: w.under(sh), Record: &rec, Started: checktest.Clock})
				if err != nil {
					t.Fatal(err)
				}
				full := func(s *dnsq.Stack) []byte {
					cfg := config(w.company(), s)
					rep := engine.Run(t.Context(), cfg, w.target)
					engine.Verify(t.Context(), cfg, rep)
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					return reportJSON(t, rep, cat)
				}
				recorded := full(s)
				r, err := dnsq.ReadRecording(&rec)
				if err != nil {
					t.Fatal(err)
				}
				s, err = dnsq.New(t.Context(), dnsq.Options{Replay: r})
				if err != nil {
					t.Fatal(err)
				}
				if replayed := full(s); !bytes.Equal(recorded, replayed) {
					t.Errorf("the replay differs (-recorded +replayed):\n%s", cmp.Diff(string(recorded), string(replayed)))
				}
			}
		})
	}
}

// The same answers give the same bytes, in whatever order they come and on
// however many processors: 20 runs of each fixture, each answer with a latency
// of its own at random. Time is virtual, so an answer that is later by a
// second costs none.
func TestSameAnswersSameBytes(t *testing.T) {
	cat := english(t)
	const runs = 20
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, w := range append(append(worlds(t), hard()...), realWorlds(t, 10)...) {
		t.Run(w.name, func(t *testing.T) { // its server and sockets end with it
			_, rec := w.learn(t, w.company())
			h := fnv.New64a()
			h.Write([]byte(w.name))
			var first []byte
			for n := range runs {
				runtime.GOMAXPROCS(1 + n%4)
				synctest.Test(t, func(t *testing.T) {
					var mu sync.Mutex
					r := rand.New(rand.NewPCG(h.Sum64(), uint64(n)))
					late := dnsq.ResolverFunc(func(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
						mu.Lock()
						d := time.Duration(r.IntN(1000)) * time.Millisecond
						mu.Unlock()
						time.Sleep(d)
						return rec.Resolver().Ask(ctx, q)
					})
					cfg := config(w.company(), dnsq.NewCache(t.Context(), late))
					rep := engine.Run(t.Context(), cfg, w.target)
					engine.Verify(t.Context(), cfg, rep)
					b := reportJSON(t, rep, cat)
					if first == nil {
						first = b
					} else if !bytes.Equal(first, b) {
						t.Errorf("%s: run %d is another report (-first +this):\n%s", w.name, n+1, cmp.Diff(string(first), string(b)))
					}
				})
				if t.Failed() {
					break
				}
			}
		})
	}
}

// What a hostile record may hold, in the places that checks read: after the
// bytes of the fuzzer the world is fixed.
func FuzzReport(f *testing.F) {
	n := 0
	for _, c := range checks.All {
		for _, path := range checktest.Files(f, filepath.Join(c.Name, "testdata")) {
			if n++; n%3 > 0 {
				continue // a third of the fixtures is enough to begin with
			}
			fx, err := checktest.Load(path)
			if err != nil {
				f.Fatal(err)
			}
			for _, z := range fx.Zones {
				for i := range z.Records {
					if rr := &z.Records[i]; rr.Type == dnsq.TypeTXT {
						f.Add([]byte(rr.Text()), []byte("mx.shop.example"), uint8(i))
					}
				}
			}
		}
	}
	f.Add([]byte("v=spf1 include:\x1b[2Jevil exists:%{l}\u202e.x -all\x00"), []byte("a\x1b]0;x\x07.b\u202e"), uint8(7))
	f.Add([]byte("v=spf1 a:\xff\xfe.shop.example/0 ?all \u200b"), []byte("192.0.2.1"), uint8(255))
	f.Add([]byte("v=spf1 redirect=_r.shop.example exp=_e.shop.example"), []byte("[IPv6:::1]"), uint8(64))
	var cats []*i18n.Catalog
	for _, lang := range i18n.Languages {
		cat, err := i18n.Load(checks.All, lang)
		if err != nil {
			f.Fatal(err)
		}
		cats = append(cats, cat)
	}
	f.Fuzz(func(t *testing.T, text, host []byte, bits uint8) {
		if len(text) > 4000 || len(host) > 200 {
			return
		}
		w := fuzzWorld{text: text, host: host, bits: bits}
		target := diag.Target{Domain: "shop.example", From: "shop.example", MailFrom: "shop.example", DKIMDomain: "shop.example", IPs: fuzzIPs}
		if bits&1 != 0 {
			target.Helo = string(host) // as a log file has it
		}
		if bits&2 != 0 {
			target.MailFrom = string(host)
		}
		cfg := config(checks.All, dnsq.NewCache(t.Context(), w))
		rep := engine.Run(t.Context(), cfg, target)
		engine.Verify(t.Context(), cfg, rep)
		for i := range rep.Checks {
			if p := rep.Checks[i].Panic; p != "" {
				t.Fatalf("%s crashed: %s", rep.Checks[i].Check.Name, p)
			}
		}
		for _, cat := range cats {
			harmless(t, rep, cat)
		}
	})
}

// fuzzIPs send in FuzzReport.
var fuzzIPs = []netip.Addr{netip.MustParseAddr("192.0.2.25"), netip.MustParseAddr("2001:db8::25")}

// A fuzzWorld answers everything: TXT at the domain is the fuzzer's text, MX and
// PTR lead to its host, and every other name is what a hash of it says.
type fuzzWorld struct {
	text, host []byte
	bits       uint8
}

func (w fuzzWorld) Ask(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
	h := fnv.New32a()
	fmt.Fprint(h, q.Name, q.Type, w.bits>>2)
	v := h.Sum32() >> 3
	a := &dnsq.Answer{Question: q, Outcome: dnsq.Found, Source: dnsq.SourceDNS, Server: "192.0.2.53:53", TTL: 300}
	switch {
	case q.Name == "shop.example" && q.Type != dnsq.TypeA && q.Type != dnsq.TypeAAAA:
	case v%16 == 0:
		return nil, &dnsq.Error{Question: q, Reason: lostReasons[v/16%uint32(len(lostReasons))], Server: "192.0.2.53:53", Detail: string(w.host), EDE: []string{string(w.text)}}
	case v%16 < 3:
		a.Outcome = dnsq.NXDomain
		return a, nil
	case v%16 < 5:
		a.Outcome = dnsq.NoData
		return a, nil
	}
	host, ok := dnsq.NameOfRaw(string(w.host))
	if !ok {
		host = "mail.shop.example"
	}
	if v%16 == 5 {
		a.Chain = []string{host}
	}
	rr := dnsq.RR{Name: a.Owner(), Type: q.Type, TTL: 300}
	switch q.Type {
	case dnsq.TypeA:
		rr.Addr = []netip.Addr{fuzzIPs[0], netip.MustParseAddr("127.0.0.1"), netip.AddrFrom4([4]byte{byte(v), byte(v >> 8), 0, 1})}[v/16%3]
	case dnsq.TypeAAAA:
		rr.Addr = []netip.Addr{fuzzIPs[1], netip.MustParseAddr("::ffff:192.0.2.25"), netip.MustParseAddr("fe80::1")}[v/16%3]
	case dnsq.TypeMX, dnsq.TypePTR:
		for i := range v / 16 % 13 {
			more := rr
			more.Pref, more.Host = uint16(i%3), []string{host, ".", fmt.Sprintf("mx%d.shop.example", i), "shop.example"}[i%4]
			a.RRs = append(a.RRs, more)
		}
		rr.Host = host
	case dnsq.TypeTXT, dnsq.TypeSPF:
		text := string(w.text)
		switch {
		case q.Name == "shop.example" || v/16%2 == 0:
		case v/16%8 == 1:
			text = "v=spf1 +all"
		default:
			text = fmt.Sprintf("v=spf1 a mx:n%d.shop.example ?include:n%d.%%{d} ptr -all exp=%%{l}.e.shop.example", v%7, v%5)
		}
		for len(text) > 255 {
			rr.Strings, text = append(rr.Strings, text[:255]), text[255:]
		}
		rr.Strings = append(rr.Strings, text)
		if v/16%11 == 3 {
			a.RRs = append(a.RRs, rr, rr)
		}
	default:
		a.Outcome = dnsq.NoData
		return a, nil
	}
	a.RRs = append(a.RRs, rr)
	return a, nil
}

// harmless demands that a report can be shown: text of printable lines, JSON
// that is valid.
func harmless(t *testing.T, rep *diag.Report, cat *i18n.Catalog) {
	t.Helper()
	for _, o := range []render.Options{{}, {Width: 40, Verbose: true}, {Quiet: true}} {
		var b bytes.Buffer
		if err := render.Text(&b, rep, cat, o); err != nil {
			t.Fatal(err)
		}
		if !utf8.Valid(b.Bytes()) {
			t.Fatalf("the text is not UTF-8: %q", b.String())
		}
		for _, r := range b.String() {
			if r != '\n' && (unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029') {
				t.Fatalf("U+%04X is in the text:\n%q", r, b.String())
			}
		}
	}
	for _, write := range []func(io.Writer, *diag.Report, *i18n.Catalog, render.Options) error{render.JSON, render.NDJSON} {
		var b bytes.Buffer
		if err := write(&b, rep, cat, render.Options{}); err != nil {
			t.Fatal(err)
		}
		if !json.Valid(b.Bytes()) || !utf8.Valid(b.Bytes()) {
			t.Fatalf("the JSON is not valid:\n%q", b.String())
		}
		for _, r := range b.String() {
			if r != '\n' && (unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r)) {
				t.Fatalf("U+%04X is in the JSON", r)
			}
		}
	}
}
