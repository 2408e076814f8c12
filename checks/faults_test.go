package checks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/todoku-mail/todoku/checks"
	"github.com/todoku-mail/todoku/pkg/checktest"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/dnsq/dnstest"
	"github.com/todoku-mail/todoku/pkg/engine"
)

// A world is a DNS and a target in it: a fixture of a check, or a domain of the
// real records.
type world struct {
	name   string
	target diag.Target
	zones  []string // for dnstest
	faults map[dnsq.Question]dnsq.Reason
	want   []string // of check
	check  string
}

// worlds are all the fixtures of all checks but those that review the others.
func worlds(t testing.TB) []*world {
	t.Helper()
	var out []*world
	for _, c := range checks.All {
		if c.Review != nil || c.Needs.Input == diag.ZoneInput {
			continue // it asks nothing; zone files may be such as no server loads
		}
		for _, path := range checktest.Files(t, filepath.Join(c.Name, "testdata")) {
			f, err := checktest.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			ar, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			w := &world{name: c.Name + "/" + strings.TrimSuffix(filepath.Base(path), ".txtar"),
				target: f.Target, faults: f.Faults, want: f.Want, check: c.Name}
			for _, file := range ar.Files {
				if origin, ok := strings.CutPrefix(file.Name, "zone "); ok {
					w.zones = append(w.zones, "$ORIGIN "+strings.TrimSuffix(origin, ".")+".\n"+string(file.Data))
				}
			}
			out = append(out, w)
		}
	}
	if len(out) < 100 {
		t.Fatalf("only %d fixtures were found", len(out))
	}
	return out
}

// hard are worlds in which a verdict hangs on a single answer, more tangled than
// a fixture should be.
func hard() []*world {
	w := func(name, helo string, ips []string, zone string) *world {
		d := diag.Target{Domain: "shop.example", From: "shop.example", MailFrom: "shop.example", DKIMDomain: "shop.example", Helo: helo}
		for _, ip := range ips {
			d.IPs = append(d.IPs, netip.MustParseAddr(ip))
		}
		return &world{name: "hard/" + name, target: d, zones: []string{"$TTL 300\n$ORIGIN shop.example.\n" + zone}}
	}
	v4, v6 := []string{"192.0.2.25"}, []string{"2001:db8::25"}
	const ptr = "25.2.0.192.in-addr.arpa. PTR mail\n25.2.0.192.in-addr.arpa. PTR 192-0-2-25.isp\nmail A 192.0.2.25\n192-0-2-25.isp A 192.0.2.25\n"
	return []*world{
		w("the open door behind the match", "", v4, `@ TXT "v=spf1 ip4:192.0.2.25 exists:on.%{d} -all"
on A 127.0.0.2`),
		w("two halves of an open door", "", v4, `@ TXT "v=spf1 ip4:192.0.2.25 a:x/4 a:y.shop.example/4 mx/4 -all"
y A 1.2.3.4
@ MX 10 y
@ MX 20 z
z A 222.1.1.1`),
		w("an IPv6 door", "", v4, `@ TXT "v=spf1 ip4:192.0.2.25 include:i.shop.example -all"
i TXT "v=spf1 a:x.shop.example//8 -all"
x AAAA 2001:db8::1`),
		w("a door that is shut", "", v4, `@ TXT "v=spf1 ip4:192.0.2.25 ?a/0 -include:i.shop.example ~all"
@ A 192.0.2.1
i TXT "v=spf1 a:x.shop.example/0 -all"
x A 192.0.2.1`),
		w("void for IPv6 by exists", "", v6, `@ TXT "v=spf1 ip6:2001:db8::25 a:x.shop.example a:y.shop.example exists:%{d}.gone.shop.example -all"
x A 192.0.2.1
y A 192.0.2.2`),
		w("void for IPv6 if there is one", "", v4, `@ TXT "v=spf1 ip4:192.0.2.25 a:x.shop.example a:y.shop.example a:z.shop.example a:six.shop.example -all"
x A 192.0.2.1
y A 192.0.2.2
z A 192.0.2.3
six AAAA 2001:db8::6`),
		w("void twice", "", v4, `@ TXT "v=spf1 ip4:192.0.2.25 a:x.shop.example a:x.shop.example a:y.shop.example -all"
@ A 192.0.2.1`),
		w("minus ptr", "", v4, ptr+`@ TXT "v=spf1 -ptr:shop.example ip4:192.0.2.25 ~all"`),
		w("ptr in a minus include", "", v4, ptr+`@ TXT "v=spf1 -include:p.shop.example +all"
p TXT "v=spf1 ptr -all"`),
		w("ptr in the HELO's record", "helo.shop.example", v4, ptr+`@ TXT "v=spf1 ip4:192.0.2.25 -all"
helo TXT "v=spf1 ptr:shop.example -all"`),
		w("a name in a macro", "", v4, ptr+`@ TXT "v=spf1 exists:%{p}.ok.shop.example -all"
192-0-2-25.isp.shop.example.ok A 127.0.0.2
unknown.ok A 127.0.0.2`),
		w("a name in an include", "", v4, ptr+`@ TXT "v=spf1 include:%{p}.r.shop.example ~all"
192-0-2-25.isp.shop.example.r TXT "v=spf1 +all"
unknown.r TXT "v=spf1 -all"`),
		w("ptr, void before it", "", v4, ptr+`@ TXT "v=spf1 a:x.shop.example a:y.shop.example ptr ip4:192.0.2.25 -all"`),
		w("a void ptr too many", "", v4, `@ TXT "v=spf1 a:x.shop.example a:y.shop.example ptr ip4:192.0.2.25 -all"`),
		w("over the limit by an include", "", v4, `@ TXT "v=spf1 ip4:192.0.2.25 include:b.shop.example include:b.shop.example include:b.shop.example a -all"
@ A 192.0.2.1
b TXT "v=spf1 a mx exists:e.shop.example -all"
b A 192.0.2.2
b MX 10 @
e A 127.0.0.2`),
		w("half private hosts", "mail.shop.example", v4, ptr+`@ MX 10 a
@ MX 20 b
@ MX 30 c
@ MX 40 al
a A 10.0.0.1
a AAAA 2001:db8::1
b A 192.0.2.1
b AAAA fd00::1
c AAAA fd00::2
al CNAME b`),
		w("IPv6 alone, one of it private", "", v4, `@ MX 10 a
@ MX 20 b
a AAAA 2001:db8::1
b AAAA fd00::1`),
		w("its own host, half private", "", v4, `@ A 192.0.2.1
@ AAAA ::1
@ TXT "v=spf1 redirect=_r.shop.example"
_r TXT "v=spf1 a:shop.example ?all"`),
		w("its own host, private", "shop.example", []string{"192.0.2.1", "2001:db8::1"}, `@ A 127.0.0.1
@ AAAA 2001:db8::1
1.2.0.192.in-addr.arpa. PTR shop.example.
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR dyn-1.shop.example.
dyn-1 AAAA 2001:db8::1`),
	}
}

// records is where the real records lie: beside the repository, not in it.
const records = "../../shared/suites/records/records.zone"

var sender = regexp.MustCompile(`(?m)^([a-z0-9][a-z0-9.-]*\.[a-z]+)\. \d+ IN (?:TXT "v=spf1 |MX )`)

// realWorlds are at most n of the domains in the real records that send or
// take mail, the same ones each time; none where the records are not at hand.
// Each sends from an address that its record may know and from one that no
// record knows.
func realWorlds(t testing.TB, n int) []*world {
	t.Helper()
	b, err := os.ReadFile(records)
	if errors.Is(err, os.ErrNotExist) {
		t.Logf("%s is not here: fixtures only", records)
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	var domains []string
	for _, m := range sender.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(domains, m[1]) {
			domains = append(domains, m[1])
		}
	}
	if len(domains) < 200 {
		t.Fatalf("only %d domains in %s", len(domains), records)
	}
	slices.Sort(domains)
	r := rand.New(rand.NewPCG(7208, 5321))
	r.Shuffle(len(domains), func(i, j int) { domains[i], domains[j] = domains[j], domains[i] })
	known := regexp.MustCompile(`ip4:([0-9.]+)`)
	var out []*world
	for _, d := range domains[:min(n, len(domains))] {
		w := &world{name: "records/" + d, zones: []string{text}, target: diag.Target{
			Domain: d, From: d, MailFrom: d, DKIMDomain: d, Helo: "mail." + d,
			IPs: []netip.Addr{netip.MustParseAddr("198.51.100.77")}}}
		at := strings.Index(text, "\n"+d+". ")
		if m := known.FindStringSubmatch(text[max(at, 0):]); m != nil {
			if ip, err := netip.ParseAddr(m[1]); err == nil {
				w.target.IPs = append(w.target.IPs, ip)
			}
		}
		out = append(out, w)
	}
	return out
}

// company is the checks that a world is run with: its own and those that share
// its answers. Each question of a world goes unanswered in turn, and guessing
// selectors or asking blocklists makes dozens of questions that have nothing to
// do with a fixture of SPF. Worlds of no check are run with all.
func (w *world) company() []*diag.Check {
	with := map[string]string{
		"dkim": "domain dkim", "dnsbl": "domain ptr dnsbl", "alignment": "domain spf dkim dmarc alignment", "": "",
	}
	names, ok := with[w.check]
	if !ok {
		names = "domain spf dmarc mx ptr " + w.check
	}
	return slices.DeleteFunc(slices.Clone(checks.All), func(c *diag.Check) bool {
		return names != "" && !slices.Contains(strings.Fields(names), c.Name)
	})
}

// single is every check but that for the existence of the domain, which leaves
// out what others say: so each is heard.
func single(list []*diag.Check) []*diag.Check {
	return slices.DeleteFunc(slices.Clone(list), func(c *diag.Check) bool { return c.Name == "domain" })
}

// under is r with the world's own faults.
func (w *world) under(r dnsq.Resolver) dnsq.Resolver {
	return dnsq.ResolverFunc(func(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
		if reason, ok := w.faults[q]; ok {
			return nil, &dnsq.Error{Question: q, Reason: reason, Server: "192.0.2.53:53"}
		}
		return r.Ask(ctx, q)
	})
}

// shared is the lower half of the wire stack over a server for the world. The
// real records' server is one for all worlds that have no faults.
func (w *world) shared(t testing.TB, timeout time.Duration, tries int, faults dnstest.Faults) (*dnstest.Server, *dnsq.Shared) {
	t.Helper()
	srv := dnstest.StartWith(t, dnstest.Options{Zones: w.zones, Faults: faults})
	sh, err := dnsq.NewShared(dnsq.Options{Servers: []dnsq.Server{srv.Server()}, Timeout: timeout, Tries: tries})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sh.Close() })
	return srv, sh
}

func config(list []*diag.Check, r dnsq.Resolver) engine.Config {
	return engine.Config{Checks: list, Resolver: r, Version: "test", Server: "test",
		Now: func() time.Time { return checktest.Clock }}
}

// patience is a time-out that no reply on loopback meets, however busy the
// machine is.
const patience = 20 * time.Second

// learn runs list over the world on the wire without faults but the world's
// own, and returns the report and everything that was answered.
func (w *world) learn(t testing.TB, list []*diag.Check) (*diag.Report, *dnsq.Recording) {
	t.Helper()
	_, sh := w.shared(t, patience, 1, dnstest.Faults{})
	var rec bytes.Buffer
	s, err := dnsq.New(t.Context(), dnsq.Options{Under: w.under(sh), Record: &rec, Started: checktest.Clock})
	if err != nil {
		t.Fatal(err)
	}
	rep := engine.Run(t.Context(), config(list, s), w.target)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := dnsq.ReadRecording(&rec)
	if err != nil {
		t.Fatal(err)
	}
	return rep, r
}

// flips holds a run in which some questions went unanswered, for whatever
// reason, against the run in which they were answered. The DNS told no lies in
// either, so what the two say must agree but for what the first could not know.
// A finding is one thing found about one subject: ID, subject and the
// arguments that its Kind calls its key. Its other arguments (counts, lists of
// names) may be smaller. The relations, and why each must hold:
//
//  1. No check crashed.
//  2. A finding that only the faulty run has is inconclusive. Fewer answers
//     prove nothing that more answers do not: a pass, a warning or a failure
//     that appears when an answer is lost was concluded from its absence. That
//     includes a milder or graver finding in place of the true one.
//  3. A fail, warn or pass that is missing was not decided, so the same check
//     says so with an inconclusive finding. Without this rule a fault that
//     hides behind a lost answer would make a clean report. Addresses are judged
//     each on its own: a missing finding about an address wants an
//     inconclusive one about the same address. An info may go without a word:
//     it asks nobody to act.
//  4. What was inconclusive with more answers is not conclusive with fewer:
//     a check with an inconclusive finding keeps one.
//  5. A verdict inside of a finding (argument "result", such as SPF's fail or
//     softfail) is the same.
//  6. The check as a whole: its status is that of the other run, or
//     inconclusive. Pass, info and skip count as one here: nobody has to act.
//  7. An inconclusive finding names the question and the reason, so that a
//     person can ask it again.
//
// One thing looks like a flip and is none: what a check says about a domain is
// left out (a skip, missing=domain) where the domain is known not to exist. If
// that is not known, it is said, and it is true: no record is there. So what is
// about such a subject is not held against the other run; it is judged in the
// runs in which the domain check has no say.
func flips(base, got *diag.Report) []string {
	var out []string
	for i := range base.Checks {
		b, g := &base.Checks[i], &got.Checks[i]
		bad := func(format string, a ...any) {
			out = append(out, b.Check.Name+": "+fmt.Sprintf(format, a...))
		}
		if g.Panic != "" {
			bad("crashed: %s", g.Panic) // 1
			continue
		}
		had, has := map[string]*diag.Finding{}, map[string]*diag.Finding{}
		var moot []string           // subjects that base says nothing about
		unsure := map[string]bool{} // subjects that got has an inconclusive finding about
		wasUnsure := false
		for j := range b.Findings {
			f := &b.Findings[j]
			had[key(f)] = f
			wasUnsure = wasUnsure || f.Kind.Status == diag.Inconclusive
			if f.Kind.Status == diag.Skip && f.Args["missing"] == "domain" {
				moot = append(moot, f.Subject)
			}
		}
		for j := range g.Findings {
			f := &g.Findings[j]
			has[key(f)] = f
			before, known := had[key(f)]
			switch {
			case f.Kind.Status == diag.Inconclusive:
				unsure[f.Subject] = true
				if f.Args["question"] == "" || f.Args["question"] == "-" || f.Args["reason"] == "" || f.Args["reason"] == "internal" {
					bad("says nothing of what it could not learn: %s", checktest.Line(f)) // 7
				}
			case slices.ContainsFunc(moot, func(m string) bool { return dnsq.AtOrBelow(f.Subject, m) }):
			case !known:
				bad("came out of an error: %s", checktest.Line(f)) // 2
			case before.Args["result"] != f.Args["result"]:
				bad("changed its verdict: %s, was %s", checktest.Line(f), checktest.Line(before)) // 5
			}
		}
		for k, f := range had {
			if has[k] != nil || f.Kind.Status == diag.Info || f.Kind.Status == diag.Skip || f.Kind.Status == diag.Inconclusive {
				continue
			}
			if _, err := netip.ParseAddr(f.Subject); err == nil && !unsure[f.Subject] || len(unsure) == 0 {
				bad("vanished without a word: %s", checktest.Line(f)) // 3
			}
		}
		if wasUnsure && len(unsure) == 0 {
			bad("became sure with less to go by") // 4
		}
		// What a check may leave unknown without harm to the verdict (Harmless) is
		// in its findings, not in its status.
		lost := slices.ContainsFunc(g.Findings, func(f diag.Finding) bool { return f.Kind.Status == diag.Inconclusive })
		if moot == nil && !lost && severity(g.Status) != severity(b.Status) {
			bad("status is %s, was %s", g.Status, b.Status) // 6
		}
	}
	slices.Sort(out)
	return out
}

func key(f *diag.Finding) string {
	k := f.Kind.ID + " " + f.Subject
	for _, a := range f.Kind.Key {
		if f.Kind.Status != diag.Inconclusive {
			k += fmt.Sprintf(" %s=%v", a, f.Args[a])
		}
	}
	return k
}

func severity(s diag.Status) diag.Status {
	if s < diag.Info {
		return diag.Info
	}
	return s
}

// show makes what differs readable: the violations, the questions that went
// unanswered, and both sets of findings of the checks concerned.
func show(base, got *diag.Report, list []string) string {
	var b strings.Builder
	for _, v := range list {
		fmt.Fprintln(&b, " ", v)
	}
	for _, t := range got.Trouble {
		fmt.Fprintln(&b, "  unanswered:", t.Err.Question, t.Err.Reason)
	}
	for i := range base.Checks {
		if !slices.ContainsFunc(list, func(v string) bool { return strings.HasPrefix(v, base.Checks[i].Check.Name+":") }) {
			continue
		}
		for _, r := range []*diag.Report{base, got} {
			for j := range r.Checks[i].Findings {
				fmt.Fprintln(&b, "   ", checktest.Line(&r.Checks[i].Findings[j]))
			}
			fmt.Fprintln(&b, "    --")
		}
	}
	return b.String()
}

// silent is under, but the questions in lost get no answer.
func silent(under dnsq.Resolver, reason dnsq.Reason, lost ...dnsq.Question) dnsq.Resolver {
	return dnsq.ResolverFunc(func(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
		if slices.Contains(lost, q) {
			return nil, &dnsq.Error{Question: q, Reason: reason, Server: "192.0.2.53:53"}
		}
		return under.Ask(ctx, q)
	})
}

// replay runs list over recorded answers, some of them lost.
func (w *world) replay(t testing.TB, list []*diag.Check, rec *dnsq.Recording, reason dnsq.Reason, lost ...dnsq.Question) *diag.Report {
	c := dnsq.NewCache(t.Context(), silent(rec.Resolver(), reason, lost...))
	return engine.Run(t.Context(), config(list, c), w.target)
}

// asked are the questions of a run, in order of name and type.
func asked(t testing.TB, list []*diag.Check, w *world, rec *dnsq.Recording) []dnsq.Question {
	c := dnsq.NewCache(t.Context(), rec.Resolver())
	engine.Run(t.Context(), config(list, c), w.target)
	qs := c.Asked()
	slices.SortFunc(qs, func(a, b dnsq.Question) int { return strings.Compare(a.String(), b.String()) })
	return qs
}

var lostReasons = []dnsq.Reason{dnsq.ServFail, dnsq.Timeout, dnsq.Refused, dnsq.Malformed, dnsq.Network, dnsq.OverDue, dnsq.Delegated, dnsq.Offline}

// Each question of each fixture goes unanswered, alone, with each other one,
// and in random company; so do those of the real records. Nothing waits here:
// the answers were learnt once and are replayed.
func TestUnansweredQuestionsFlipNoVerdict(t *testing.T) {
	all := append(append(worlds(t), hard()...), realWorlds(t, 12)...)
	var mu sync.Mutex
	runs, unsure := 0, 0
	t.Run("worlds", func(t *testing.T) {
		for _, w := range all {
			t.Run(w.name, func(t *testing.T) {
				t.Parallel()
				lists := [][]*diag.Check{w.company()}
				if base, _ := w.learn(t, w.company()); strings.Contains(lines(base), "missing=domain") {
					lists = append(lists, single(w.company())) // what was left out is heard here
				}
				for _, list := range lists {
					n, u := loseEach(t, w, list, func(list string) { t.Error(list) })
					mu.Lock()
					runs, unsure = runs+n, unsure+u
					mu.Unlock()
				}
			})
		}
	})
	t.Logf("%d runs, %d of them with something inconclusive that was conclusive", runs, unsure)
	// If losing answers changed nothing, nothing was tested.
	if unsure < runs/4 {
		t.Errorf("only %d of %d runs became inconclusive", unsure, runs)
	}
}

// loseEach runs list over the world with questions lost in every way and hands
// violations to report, the first three of the world.
func loseEach(t testing.TB, w *world, list []*diag.Check, report func(string)) (runs, unsure int) {
	base, rec := w.learn(t, list)
	qs := asked(t, list, w, rec)
	again := w.replay(t, list, rec, "")
	if v := flips(base, again); len(v) > 0 {
		t.Fatalf("the run differs from its own recording:\n%s", show(base, again, v))
	}
	before := base.Counts()[diag.Inconclusive]
	violations := 0
	try := func(reason dnsq.Reason, lost ...dnsq.Question) {
		if violations >= 3 {
			return
		}
		got := w.replay(t, list, rec, reason, lost...)
		runs++
		if got.Counts()[diag.Inconclusive] > before {
			unsure++
		}
		v := slices.DeleteFunc(flips(base, got), func(v string) bool {
			// That a selector has a good key is true whether or not all others have it
			// too; where the control question is lost it is said of the selector.
			return strings.Contains(v, "came out of an error: pass DKIM-OK")
		})
		if len(v) > 0 {
			violations++
			report(show(base, got, v))
		}
	}
	h := fnv.New64a()
	h.Write([]byte(w.name))
	r := rand.New(rand.NewPCG(h.Sum64(), 1))
	for i, q := range qs {
		try(lostReasons[i%len(lostReasons)], q)
	}
	// Pairs: all of them up to 15 questions, else 100 at random.
	if len(qs) <= 15 {
		for i := range qs {
			for j := range i {
				try(dnsq.Timeout, qs[i], qs[j])
			}
		}
	} else {
		for range 100 {
			try(dnsq.Timeout, qs[r.IntN(len(qs))], qs[r.IntN(len(qs))])
		}
	}
	// A third of them, and nearly all: what little is left must not look like the
	// whole, such as two of the selectors that a wildcard answers for.
	for i := range 40 {
		var lost []dnsq.Question
		for _, q := range qs {
			if r.Float64() < []float64{0.3, 0.9}[i%2] {
				lost = append(lost, q)
			}
		}
		try(dnsq.ServFail, lost...)
	}
	return runs, unsure
}

// The same over the wire: what the network and servers do to questions and
// answers. Forged, truncated and unreadable replies must be recovered from or
// lead to an error; a forged one that was believed would show as a flip.
func TestFaultsFlipNoVerdict(t *testing.T) {
	modes := []struct {
		name    string
		faults  dnstest.Faults
		timeout time.Duration
		tries   int
		exact   bool // nothing is lost: the findings must be the same
	}{
		{name: "loss", faults: dnstest.Faults{Loss: 0.3}, timeout: 40 * time.Millisecond, tries: 2},
		{name: "servfail", faults: dnstest.Faults{ServFail: 0.3}, timeout: patience, tries: 2},
		{name: "forged", faults: dnstest.Faults{Forge: 1}, timeout: patience, tries: 1, exact: true},
		{name: "truncated", faults: dnstest.Faults{Truncate: 1}, timeout: patience, tries: 1, exact: true},
		{name: "garbage", faults: dnstest.Faults{Garbage: 0.3}, timeout: 40 * time.Millisecond, tries: 2},
		{name: "mixed", faults: dnstest.Faults{Loss: 0.15, ServFail: 0.15, Forge: 0.3, Truncate: 0.3, Garbage: 0.15, Latency: time.Millisecond}, timeout: 60 * time.Millisecond, tries: 3},
	}
	const seeds = 2
	all := append(append(worlds(t), hard()...), realWorlds(t, 12)...)
	// Most of the time is spent waiting for replies that do not come: many
	// worlds at once, each with its server.
	slots := make(chan struct{}, 24)
	var mu sync.Mutex
	var wg sync.WaitGroup
	runs, unsure := map[string]int{}, map[string]int{}
	one := func(t *testing.T, w *world) {
		list := w.company()
		base, _ := w.learn(t, list)
		for _, m := range modes {
			for seed := range seeds {
				if m.exact && seed > 0 {
					continue
				}
				f := m.faults
				f.Seed = uint64(seed + 1)
				_, sh := w.shared(t, m.timeout, m.tries, f)
				c := dnsq.NewCache(t.Context(), w.under(sh))
				got := engine.Run(t.Context(), config(list, c), w.target)
				v := flips(base, got)
				if m.exact {
					if a, b := lines(base), lines(got); a != b {
						v = append(v, "every answer could be had, but\n"+b+"is not\n"+a)
					}
				}
				if len(v) > 0 {
					t.Errorf("%s, seed %d:\n%s", m.name, seed+1, show(base, got, v))
				}
				mu.Lock()
				runs[m.name]++
				if got.Counts()[diag.Inconclusive] > base.Counts()[diag.Inconclusive] {
					unsure[m.name]++
				}
				mu.Unlock()
			}
		}
	}
	for _, w := range all {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			t.Run(w.name, func(t *testing.T) { one(t, w) })
		})
	}
	wg.Wait()
	for _, m := range modes {
		t.Logf("%s: %d runs, %d with more that is inconclusive", m.name, runs[m.name], unsure[m.name])
		switch {
		case m.exact && unsure[m.name] > 0:
			t.Errorf("%s: %d runs are inconclusive though every answer could be had", m.name, unsure[m.name])
		case !m.exact && unsure[m.name] == 0, !m.exact && unsure[m.name] == runs[m.name]:
			t.Errorf("%s: %d of %d runs became inconclusive: it tests nothing", m.name, unsure[m.name], runs[m.name])
		}
	}
}

// lines are all findings of a report.
func lines(r *diag.Report) string {
	var b strings.Builder
	for i := range r.Checks {
		for j := range r.Checks[i].Findings {
			fmt.Fprintln(&b, checktest.Line(&r.Checks[i].Findings[j]))
		}
	}
	return b.String()
}

// The property must notice checks that are wrong, each in one of the ways in
// which checks are.
func TestFlipsAreNoticed(t *testing.T) {
	missing := &diag.Kind{ID: "WRONG-MISSING", Status: diag.Fail, Owner: diag.DNSAdmin}
	weak := &diag.Kind{ID: "WRONG-WEAK", Status: diag.Warn, Owner: diag.DNSAdmin}
	other := &diag.Kind{ID: "WRONG-OTHER", Status: diag.Warn, Owner: diag.DNSAdmin, Args: []string{"result"}}
	fine := &diag.Kind{ID: "WRONG-OK", Status: diag.Pass}
	unknown := &diag.Kind{ID: "WRONG-UNDETERMINED", Status: diag.Inconclusive, Args: []string{"question", "reason"}}
	q := dnsq.Q("shop.example", dnsq.TypeTXT)
	report := func(j *diag.Job, k *diag.Kind, a diag.Args) {
		j.Report(diag.Finding{Kind: k, Subject: "shop.example", Args: a})
	}
	give := func(err error) diag.Args {
		return diag.Args{"question": q.String(), "reason": string(dnsq.AsError(q, err).Reason)}
	}
	for _, c := range []struct {
		name string
		run  func(context.Context, *diag.Job) error
		want string // part of a violation; "" for none
	}{
		{"right", func(ctx context.Context, j *diag.Job) error {
			a, err := j.Ask(ctx, q)
			switch {
			case err != nil:
				report(j, unknown, give(err))
			case a.Outcome != dnsq.Found:
				report(j, missing, diag.Args{})
			default:
				report(j, weak, diag.Args{})
				report(j, fine, diag.Args{})
			}
			return nil
		}, ""},
		{"an error is an absence", func(ctx context.Context, j *diag.Job) error {
			if a, err := j.Ask(ctx, q); err != nil || a.Outcome != dnsq.Found {
				report(j, missing, diag.Args{})
			} else {
				report(j, fine, diag.Args{})
			}
			return nil
		}, "came out of an error: fail WRONG-MISSING"},
		{"an error is an absence, with a hint at it", func(ctx context.Context, j *diag.Job) error {
			if a, err := j.Ask(ctx, q); err != nil || a.Outcome != dnsq.Found {
				if err != nil {
					report(j, unknown, give(err))
				}
				report(j, missing, diag.Args{})
			} else {
				report(j, fine, diag.Args{})
			}
			return nil
		}, "came out of an error: fail WRONG-MISSING"},
		{"no answer, no fault", func(ctx context.Context, j *diag.Job) error {
			if _, err := j.Ask(ctx, q); err == nil {
				report(j, weak, diag.Args{})
			}
			report(j, fine, diag.Args{})
			return nil
		}, "vanished without a word: warn WRONG-WEAK"},
		{"a milder fault", func(ctx context.Context, j *diag.Job) error {
			if _, err := j.Ask(ctx, q); err == nil {
				report(j, missing, diag.Args{})
			} else {
				report(j, unknown, give(err))
				report(j, weak, diag.Args{})
			}
			return nil
		}, "came out of an error: warn WRONG-WEAK"},
		{"another result", func(ctx context.Context, j *diag.Job) error {
			_, err := j.Ask(ctx, q)
			report(j, other, diag.Args{"result": fmt.Sprint(err == nil)})
			return nil
		}, "changed its verdict: warn WRONG-OTHER"},
		{"does not say what", func(ctx context.Context, j *diag.Job) error {
			if _, err := j.Ask(ctx, q); err != nil {
				report(j, unknown, diag.Args{"question": "-", "reason": "timeout"})
			} else {
				report(j, fine, diag.Args{})
			}
			return nil
		}, "says nothing of what it could not learn"},
		{"crashes", func(ctx context.Context, j *diag.Job) error {
			a, _ := j.Ask(ctx, q)
			if a.Outcome == dnsq.Found {
				report(j, fine, diag.Args{})
			}
			return nil
		}, "crashed: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			list := []*diag.Check{{Name: "wrong", Kinds: []*diag.Kind{missing, weak, other, fine, unknown}, Undetermined: unknown, Run: c.run}}
			w := &world{name: c.name, zones: []string{"shop.example. TXT x"}, target: diag.Target{Domain: "shop.example"}}
			var seen []string
			loseEach(t, w, list, func(v string) { seen = append(seen, v) })
			switch all := strings.Join(seen, "\n"); {
			case c.want == "" && all != "":
				t.Errorf("a right check is called wrong:\n%s", all)
			case c.want != "" && !strings.Contains(all, c.want):
				t.Errorf("expected a violation with %q, got:\n%s", c.want, all)
			}
		})
	}
	// A check that becomes sure when answers are lost.
	sure := &diag.Check{Name: "wrong", Kinds: []*diag.Kind{fine, unknown}, Undetermined: unknown}
	r := func(k *diag.Kind) *diag.Report {
		return &diag.Report{Checks: []diag.CheckReport{{Check: sure, Status: k.Status,
			Findings: []diag.Finding{{Kind: k, Args: diag.Args{"question": "x A", "reason": "timeout"}}}}}}
	}
	if v := flips(r(unknown), r(fine)); !slices.Contains(v, "wrong: became sure with less to go by") {
		t.Errorf("a check that becomes sure is not noticed: %q", v)
	}
}
