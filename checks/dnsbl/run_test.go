package dnsbl_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	check "github.com/todoku-mail/todoku/checks/dnsbl"
	"github.com/todoku-mail/todoku/pkg/checktest"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsbl"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/engine"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/render"
)

// lists answers as healthy blocklists do, with the given entries beside their
// test entries, after a while.
type lists struct {
	entries map[string]string // name: address, or text for TXT ("name TXT")
	delay   time.Duration
	mu      sync.Mutex
	asked   map[dnsq.Question]int
	fail    func(q dnsq.Question) dnsq.Reason // nil, or "" for an answer
}

func healthy(delay time.Duration, entries map[string]string) *lists {
	l := &lists{entries: map[string]string{}, delay: delay, asked: map[dnsq.Question]int{}}
	for _, x := range dnsbl.Lists() {
		for _, k := range x.Kinds {
			listed, _ := x.Test(k)
			code := "127.0.0.2"
			if !x.Bits {
				code = x.Codes[0].First.String()
			}
			l.entries[x.Question(listed).Name] = code
		}
	}
	for n, v := range entries {
		l.entries[n] = v
	}
	return l
}

func (l *lists) Ask(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
	l.mu.Lock()
	l.asked[q]++
	l.mu.Unlock()
	if l.delay > 0 {
		t := time.NewTimer(l.delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if l.fail != nil {
		if r := l.fail(q); r != "" {
			return nil, &dnsq.Error{Question: q, Reason: r}
		}
	}
	a := &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain, Source: dnsq.SourceDNS}
	key := q.Name
	if q.Type != dnsq.TypeA {
		key += " " + q.Type.String()
	}
	if v, ok := l.entries[key]; ok {
		a.Outcome = dnsq.Found
		rr := dnsq.RR{Name: q.Name, Type: q.Type, TTL: 60}
		switch q.Type {
		case dnsq.TypeTXT:
			rr.Strings = []string{v}
		case dnsq.TypePTR:
			rr.Host = v
		default:
			rr.Addr = netip.MustParseAddr(v)
		}
		a.RRs = append(a.RRs, rr)
	}
	return a, nil
}

func target(ips ...string) diag.Target {
	const d = "shop.example"
	t := diag.Target{Domain: d, From: d, MailFrom: d, DKIMDomain: d}
	for _, ip := range ips {
		t.IPs = append(t.IPs, netip.MustParseAddr(ip))
	}
	return t
}

func run(ctx context.Context, r dnsq.Resolver, t diag.Target) *diag.Report {
	return engine.Run(ctx, engine.Config{Checks: []*diag.Check{check.Check}, Resolver: dnsq.NewCache(ctx, r),
		Now: func() time.Time { return checktest.Clock }, Version: "test"}, t)
}

func lines(rep *diag.Report) string {
	var out []string
	for i := range rep.Checks[0].Findings {
		out = append(out, checktest.Line(&rep.Checks[0].Findings[i]))
	}
	return strings.Join(out, "\n")
}

// Two round trips, whatever the number of lists: questions with the test
// entries, then the words of listings. Names of addresses come two round trips
// later, those of the check of reverse DNS.
func TestRoundTrips(t *testing.T) {
	const rtt = 100 * time.Millisecond
	const listed = "25.2.0.192.zen.spamhaus.org"
	ptr := map[string]string{"25.2.0.192.in-addr.arpa PTR": "mail.provider.example", "mail.provider.example": "192.0.2.25"}
	with := func(ms ...map[string]string) map[string]string {
		out := map[string]string{}
		for _, m := range ms {
			for k, v := range m {
				out[k] = v
			}
		}
		return out
	}
	for _, tt := range []struct {
		name    string
		ips     []string
		all     bool
		entries map[string]string
		trips   int
	}{
		{"domains alone, clean", nil, false, nil, 1},
		{"domains alone, listed", nil, false, map[string]string{"shop.example.dbl.spamhaus.org": "127.0.1.2"}, 2},
		{"an address without a name, clean", []string{"192.0.2.25"}, false, nil, 1},
		{"an address without a name, listed", []string{"192.0.2.25"}, false, map[string]string{listed: "127.0.0.2"}, 2},
		{"all lists, listed", []string{"192.0.2.25"}, true, map[string]string{listed: "127.0.0.2"}, 2},
		{"an address with a name, clean", []string{"192.0.2.25"}, true, ptr, 3},
		{"an address with a listed name", []string{"192.0.2.25"}, true, with(ptr, map[string]string{listed: "127.0.0.2", "provider.example.dbl.spamhaus.org": "127.0.1.2"}), 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := healthy(rtt, tt.entries)
				tg := target(tt.ips...)
				tg.Blocklists.All = tt.all
				begin := time.Now()
				rep := run(t.Context(), l, tg)
				if got := time.Since(begin); got != time.Duration(tt.trips)*rtt {
					t.Errorf("%v, want %d round trips\n%s", got, tt.trips, lines(rep))
				}
				for q, n := range l.asked {
					if n > 1 {
						t.Errorf("%s was asked %d times", q, n)
					}
				}
				if rep.Queries != len(l.asked) {
					t.Errorf("the report says %d questions, %d were asked", rep.Queries, len(l.asked))
				}
			})
		})
	}
}

// Lists that cannot be asked never make a run inconclusive, are no DNS trouble
// of it, and are told.
func TestHarmless(t *testing.T) {
	refuses := healthy(0, nil)
	for n := range refuses.entries {
		refuses.entries[n] = "127.255.255.254"
	}
	for name, tt := range map[string]struct {
		l    *lists
		want string
	}{
		"refused":  {refuses, "DNSBL-REFUSED"},
		"silent":   {&lists{asked: map[dnsq.Question]int{}}, "DNSBL-UNHEALTHY"},
		"timeouts": {&lists{asked: map[dnsq.Question]int{}, fail: func(dnsq.Question) dnsq.Reason { return dnsq.Timeout }}, "DNSBL-UNDETERMINED"},
		"offline":  {&lists{asked: map[dnsq.Question]int{}, fail: func(dnsq.Question) dnsq.Reason { return dnsq.Offline }}, "DNSBL-UNDETERMINED"},
	} {
		t.Run(name, func(t *testing.T) {
			rep := run(t.Context(), tt.l, target("192.0.2.25"))
			if rep.Status() != diag.Skip || rep.Checks[0].Status != diag.Skip {
				t.Errorf("status %s, of the check %s\n%s", rep.Status(), rep.Checks[0].Status, lines(rep))
			}
			if n := rep.Decisive(); n[diag.Inconclusive] != 0 || n[diag.Fail] != 0 || n[diag.Pass] != 0 {
				t.Errorf("%v", n)
			}
			if rep.Counts()[diag.Inconclusive] == 0 || !strings.Contains(lines(rep), tt.want) {
				t.Errorf("nothing said:\n%s", lines(rep))
			}
			if len(rep.Trouble) != 0 {
				t.Errorf("%d questions of DNS trouble, the first %v", len(rep.Trouble), rep.Trouble[0].Err)
			}
			if n := len(rep.Checks[0].Findings); n > 4 {
				t.Errorf("said %d times:\n%s", n, lines(rep))
			}
		})
	}
}

// What is asked is bounded, however many addresses are given, and what was not
// asked is told.
func TestBounded(t *testing.T) {
	l := healthy(0, map[string]string{"1.2.0.192.zen.spamhaus.org": "127.0.0.2"})
	tg := target()
	for i := range 250 {
		tg.IPs = append(tg.IPs, netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}))
	}
	tg.Blocklists.All = true
	rep := run(t.Context(), l, tg)
	n := 0
	for q := range l.asked {
		if !strings.HasSuffix(q.Name, ".arpa") {
			n++
		}
	}
	if n < 150 || n > 260 || len(l.asked) > 300 {
		t.Errorf("%d questions to lists of %d", n, len(l.asked))
	}
	text := lines(rep)
	if !strings.Contains(text, "fail DNSBL-LISTED 192.0.2.1 ") {
		t.Error("the first address was not judged")
	}
	if !strings.Contains(text, "inconclusive DNSBL-UNDETERMINED 192.0.2.250 ") || !strings.Contains(text, "reason=budget") {
		t.Error("nothing is said of the last address")
	}
	for i := range rep.Checks[0].Findings {
		f := &rep.Checks[0].Findings[i]
		if names, ok := f.Args["names"].([]string); ok && slices.Contains(names, "192.0.2.250") {
			t.Errorf("the last address is called clean: %s", checktest.Line(f))
		}
	}
}

// The end of the run's time is no verdict and no hang.
func TestEndOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		rep := run(ctx, healthy(time.Hour, nil), target("192.0.2.25"))
		if text := lines(rep); !strings.Contains(text, "DNSBL-UNDETERMINED 192.0.2.25") || strings.Contains(text, "CLEAN") || rep.Broken() {
			t.Errorf("%s\n%s", text, rep.Checks[0].Panic)
		}
	})
}

// A name of a list that the command line should have refused is a defect of
// todoku, not a verdict.
func TestBadSpec(t *testing.T) {
	tg := target()
	tg.Blocklists.Extra = []string{"not a zone"}
	if rep := run(t.Context(), healthy(0, nil), tg); !rep.Broken() {
		t.Error(lines(rep))
	}
}

// A key is in the question on the wire and nowhere else: not in any report, in
// any language, nor in the recording, whether lists answer, refuse or fail.
func TestKeyIsNeverShown(t *testing.T) {
	const key = "k3yk3yk3yk3yk3yk3yk3yk3yk3"
	rules, err := dnsbl.Keys{"spamhaus": key, "abusix": key}.Rules()
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]string{"clean": "", "listed": "127.0.0.2", "refused": "127.255.255.254", "unknown": "127.0.9.9", "fails": "!"} {
		t.Run(name, func(t *testing.T) {
			keyed := 0
			var mu sync.Mutex
			wire := dnsq.ResolverFunc(func(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
				if strings.Contains(q.Name, key) {
					mu.Lock()
					keyed++
					mu.Unlock()
				}
				if answer == "!" {
					return nil, &dnsq.Error{Question: q, Reason: dnsq.ServFail, Detail: "no answer for " + q.Name, EDE: []string{"22 " + strings.ToUpper(q.Name)}}
				}
				a := &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain}
				test := strings.HasPrefix(q.Name, "2.0.0.127.") || strings.HasPrefix(q.Name, "2.0.0.0.0.0.f.7.") || strings.HasPrefix(q.Name, "test.")
				miss := strings.HasPrefix(q.Name, "1.0.0.127.") || strings.HasPrefix(q.Name, "1.0.0.0.0.0.f.7.") || strings.HasPrefix(q.Name, "invalid.")
				switch {
				case q.Type == dnsq.TypeTXT:
					a.Outcome, a.RRs = dnsq.Found, []dnsq.RR{{Name: q.Name, Type: q.Type, Strings: []string{"see https://x.example/?" + q.Name}}}
				case q.Type == dnsq.TypeA && (test || answer != "" && !miss):
					addr := "127.0.0.2"
					if !test || answer == "127.255.255.254" {
						addr = answer
					}
					a.Outcome, a.RRs = dnsq.Found, []dnsq.RR{{Name: q.Name, Type: q.Type, Addr: netip.MustParseAddr(addr)}}
					a.Chain = []string{"c." + q.Name}
				}
				return a, nil
			})
			var recording bytes.Buffer
			rec := dnsq.NewRecorder(&recording, dnsq.Rewrite(wire, rules...))
			tg := target("192.0.2.25", "2001:db8::25")
			tg.Blocklists.Keyed = dnsbl.Keys{"spamhaus": key, "abusix": key}.Services()
			rep := run(t.Context(), rec, tg)
			if rep.Broken() {
				t.Fatal(rep.Checks[0].Panic)
			}
			if keyed < 10 {
				t.Errorf("the key was used %d times", keyed)
			}
			if err := rec.Close(); err != nil {
				t.Fatal(err)
			}
			seen := map[string]string{"recording": recording.String(), "report": fmt.Sprintf("%+v", rep)}
			for _, lang := range i18n.Languages {
				cat, err := i18n.Load([]*diag.Check{check.Check}, lang)
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range render.Formats {
					var b bytes.Buffer
					if err := f.Write(&b, &diag.Run{Reports: []*diag.Report{rep}}, cat, render.Options{Width: 100, Verbose: true}); err != nil {
						t.Fatal(err)
					}
					seen[f.Name+" "+lang] = b.String()
				}
			}
			for where, text := range seen {
				if strings.Contains(strings.ToLower(text), key) {
					t.Errorf("the %s holds the key", where)
				}
			}
			if answer == "listed" && !strings.Contains(seen["json en"], "zen.spamhaus.org") {
				t.Error("nothing found by the key")
			}
		})
	}
}

// Every code that a list, a refusal, a fault or an advice can bring has its text
// in every language.
func TestEveryCodeHasAText(t *testing.T) {
	codes := map[string]bool{"page.none": true, "says.nothing": true, "resolver.own": true, "since.unknown": true,
		"ip4.none": true, "ip6.none": true, "domain.none": true, "kind.listed": true,
		"reasons." + dnsbl.ReasonRefused: true, "reasons." + dnsbl.ReasonPublic: true, "reasons." + dnsbl.ReasonRegister: true}
	for _, f := range []string{dnsbl.FaultEverything, dnsbl.FaultSilent, dnsbl.FaultInverted, dnsbl.FaultParked} {
		codes["fault."+f] = true
	}
	for _, a := range check.Advice() {
		codes["advice."+a] = true
	}
	for _, l := range dnsbl.Lists() {
		if l.Ask == dnsbl.Never {
			codes["state."+l.Why] = true
		}
		for _, c := range l.Codes {
			if c.Class != dnsbl.Good {
				codes["kind."+c.Meaning] = true
			}
		}
		for _, c := range l.Errors {
			codes["reasons."+c.Meaning] = true
		}
	}
	term := regexp.MustCompile(`(?m)^- ([a-z0-9]+\.[a-z0-9-]+): `)
	for _, lang := range i18n.Languages {
		b, err := fs.ReadFile(check.Check.Docs, "doc."+lang+".md")
		if err != nil {
			t.Fatal(err)
		}
		has := map[string]bool{}
		for _, m := range term.FindAllStringSubmatch(string(b), -1) {
			has[m[1]] = true
		}
		for c := range codes {
			if !has[c] {
				t.Errorf("%s: no text for %s", lang, c)
			}
		}
		// Those of `todoku list --dnsbl`, and of what the engine says.
		elsewhere := regexp.MustCompile(`^(missing|lists|tier|access)\.`)
		for c := range has {
			if !codes[c] && !elsewhere.MatchString(c) {
				t.Errorf("%s: the text for %s is never used", lang, c)
			}
		}
	}
}
