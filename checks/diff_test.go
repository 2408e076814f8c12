package checks_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/checks"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/engine"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/render"
	"github.com/todoku-mail/todoku/pkg/zone"
)

// manyDomains is a zone of at least names names of which mails send mail through a
// provider, with a key each.
func manyDomains(t testing.TB, names, mails int, edit func(i int, record string) string) *zone.Set {
	t.Helper()
	var b strings.Builder
	b.WriteString("$TTL 3600\n$ORIGIN big.example.\n@ SOA ns1 h 1 3600 600 86400 300\n@ NS ns1.dns.example.\n@ MX 10 mx.provider.example.\n@ TXT \"v=spf1 include:_spf.provider.example -all\"\n")
	for i := 1; i < mails; i++ {
		spf := edit(i, "v=spf1 include:_spf.provider.example ip4:192.0.2.25 -all")
		fmt.Fprintf(&b, "d%d MX 10 mx.provider.example.\nd%d TXT %q\n_dmarc.d%d TXT \"v=DMARC1; p=reject\"\n", i, i, spf, i)
		fmt.Fprintf(&b, "s1._domainkey.d%d TXT \"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"\n", i)
	}
	for i := range names - 3*mails {
		fmt.Fprintf(&b, "w%d A 198.51.100.%d\n", i, i%250)
	}
	z, err := zone.Parse(strings.NewReader(b.String()), "big.zone", "")
	if err != nil {
		t.Fatal(err)
	}
	set, err := zone.NewSet(z)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

const provider = `$TTL 300
$ORIGIN provider.example.
_spf TXT "v=spf1 ip4:198.51.100.0/24 ~all"
mx A 198.51.100.1
big.example. NS ns1.dns.example.
_dmarc.example. TXT "v=DMARC1; p=none; psd=y"
`

// rest is the DNS outside the zone. Everything else does not exist.
func rest(t testing.TB) dnsq.Resolver {
	z, err := zone.Parse(strings.NewReader(provider), "rest", ".")
	if err != nil {
		t.Fatal(err)
	}
	set, err := zone.NewSet(z)
	if err != nil {
		t.Fatal(err)
	}
	return set.Overlay(dnsq.OfflineResolver(""))
}

func mailTargets(sets ...*zone.Set) []diag.Target {
	var out []diag.Target
	for _, n := range zone.MailNames(sets...) {
		out = append(out, diag.Target{Domain: n.Domain, From: n.Domain, MailFrom: n.Domain, DKIMDomain: n.Domain,
			SelectorHints: zone.SelectorsIn(n.Domain, sets...), Named: n.Place})
	}
	return out
}

func same(_ int, record string) string { return record }

// edited changes the SPF record of every tenth domain: half of them become a
// fault.
func edited(i int, record string) string {
	switch i % 20 {
	case 10:
		return strings.Replace(record, "ip4:192.0.2.25", "include:_gone.provider.example", 1)
	case 0:
		return strings.Replace(record, "ip4:192.0.2.25", "ip4:192.0.2.26", 1)
	}
	return record
}

// A diff costs the questions of one side, and those in which the sides differ. A
// naive one asks everything twice, and judges what did not change.
func TestDiffQuestions(t *testing.T) {
	old, new := manyDomains(t, 200, 40, same), manyDomains(t, 200, 40, edited)
	ask := func(run func(r dnsq.Resolver)) []dnsq.Question {
		c := dnsq.NewCache(t.Context(), rest(t))
		run(c)
		return c.Asked()
	}
	targets := mailTargets(old, new)
	if len(targets) != 40 {
		t.Fatalf("%d domains, want 40", len(targets))
	}
	alone := ask(func(r dnsq.Resolver) {
		cfg := config(checks.All, old.Overlay(r))
		for _, target := range targets {
			engine.Run(t.Context(), cfg, target)
		}
	})
	var run *diag.Run
	both := ask(func(r dnsq.Resolver) {
		run = engine.Diff(t.Context(), config(checks.All, nil), engine.Side{Resolver: old.Overlay(r)}, engine.Side{Resolver: new.Overlay(r)}, targets)
	})
	var more []dnsq.Question
	for _, q := range both {
		if !slices.Contains(alone, q) {
			more = append(more, q)
		}
	}
	// What the include that is new leads to, and what its fix is tried with.
	for _, q := range more {
		if q.Name != "_gone.provider.example" {
			t.Errorf("the diff asks for %s as well", q)
		}
	}
	if len(more) == 0 {
		t.Error("the new include was not asked for")
	}
	for _, d := range run.Diffs {
		n := 0
		fmt.Sscanf(d.Target.Domain, "d%d.", &n)
		fails := 0
		for i := range d.Pairs {
			if p := &d.Pairs[i]; render.PairStatus(p) == diag.Fail {
				fails++
			}
			if n%10 != 0 && d.Pairs[i].Change != diag.Unchanged {
				t.Errorf("%s: %s %s, and none of its records changed", d.Target.Domain, d.Pairs[i].Change, d.Pairs[i].Finding().Kind.ID)
			}
		}
		if want := n%20 == 10; (fails > 0) != want {
			t.Errorf("%s: %d new faults", d.Target.Domain, fails)
		}
	}
}

// BenchmarkDiff is the diff of a zone of 1,000 names, 200 of them domains that send
// mail, in which every tenth SPF record changes. "x-one-side" is its time over
// that of checking one side alone; "questions" are those asked of the live DNS, and
// "questions-one-side" what one side alone asks.
func BenchmarkDiff(b *testing.B) {
	old, new := manyDomains(b, 1000, 200, same), manyDomains(b, 1000, 200, edited)
	targets := mailTargets(old, new)
	cat, err := i18n.Load(checks.All, "en")
	if err != nil {
		b.Fatal(err)
	}
	text, _ := render.Lookup("text")
	var asked, alone int
	var bothTime, oneTime float64
	var mem runtime.MemStats
	for b.Loop() {
		begin := b.Elapsed()
		c := dnsq.NewCache(b.Context(), rest(b))
		run := engine.Diff(b.Context(), config(checks.All, nil), engine.Side{Resolver: old.Overlay(c)}, engine.Side{Resolver: new.Overlay(c)}, targets)
		if err := text.Write(io.Discard, run, cat, render.Options{}); err != nil || len(run.Changes) == 0 {
			b.Fatal(err, len(run.Changes))
		}
		runtime.ReadMemStats(&mem)
		asked = len(c.Asked())
		bothTime += (b.Elapsed() - begin).Seconds()
		begin = b.Elapsed()
		c = dnsq.NewCache(b.Context(), rest(b))
		cfg := config(checks.All, old.Overlay(c))
		for _, t := range targets {
			var out bytes.Buffer
			if err := render.Text(&out, engine.Run(b.Context(), cfg, t), cat, render.Options{}); err != nil {
				b.Fatal(err)
			}
		}
		alone = len(c.Asked())
		oneTime += (b.Elapsed() - begin).Seconds()
	}
	b.ReportMetric(bothTime/oneTime, "x-one-side")
	b.ReportMetric(bothTime/float64(b.N), "s/diff")
	b.ReportMetric(float64(asked), "questions")
	b.ReportMetric(float64(alone), "questions-one-side")
	b.ReportMetric(float64(mem.HeapSys)/(1<<20), "MB-heap")
}
