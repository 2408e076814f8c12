package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/engine"
)

var (
	bad     = &diag.Kind{ID: "T-BAD", Status: diag.Fail}
	worse   = &diag.Kind{ID: "T-WORSE", Status: diag.Fail}
	hint    = &diag.Kind{ID: "T-HINT", Status: diag.Warn}
	good    = &diag.Kind{ID: "T-GOOD", Status: diag.Pass}
	unknown = &diag.Kind{ID: "T-UNDETERMINED", Status: diag.Inconclusive, Args: []string{"question", "reason"}, Key: []string{"question"}}
)

func check(name string, run func(context.Context, *diag.Job) error, requires ...diag.AnyFact) *diag.Check {
	return &diag.Check{Name: name, Kinds: []*diag.Kind{bad, worse, hint, good, unknown}, Undetermined: unknown, Requires: requires, Run: run}
}

func say(kinds ...*diag.Kind) func(context.Context, *diag.Job) error {
	return func(_ context.Context, j *diag.Job) error {
		for _, k := range kinds {
			j.Report(diag.Finding{Kind: k, Subject: j.Target.Domain})
		}
		return nil
	}
}

// dns is a DNS of TXT records. A text that starts with ! is the reason why
// there is no answer.
type dns map[string]string

func (d dns) Ask(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
	text, ok := d[q.Name]
	switch {
	case !ok:
		return &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain, Source: dnsq.SourceDNS}, nil
	case strings.HasPrefix(text, "!"):
		return nil, &dnsq.Error{Question: q, Reason: dnsq.Reason(text[1:])}
	case q.Type != dnsq.TypeTXT:
		return &dnsq.Answer{Question: q, Outcome: dnsq.NoData, Source: dnsq.SourceDNS}, nil
	}
	return &dnsq.Answer{Question: q, Outcome: dnsq.Found, Source: dnsq.SourceDNS,
		RRs: []dnsq.RR{{Name: q.Name, Type: q.Type, TTL: 300, Strings: []string{text}}}}, nil
}

var target = diag.Target{Domain: "shop.example"}

func run(t *testing.T, r dnsq.Resolver, list ...*diag.Check) (*diag.Report, engine.Config) {
	t.Helper()
	if r == nil {
		r = dns{}
	}
	c := engine.Config{Checks: list, Resolver: dnsq.NewCache(t.Context(), r)}
	return engine.Run(t.Context(), c, target), c
}

// ids are the findings of a report by check.
func ids(r *diag.Report) map[string][]string {
	out := map[string][]string{}
	for i := range r.Checks {
		for j := range r.Checks[i].Findings {
			f := &r.Checks[i].Findings[j]
			s := f.Kind.ID
			if f.Kind == unknown {
				s += fmt.Sprintf(" %v %v", f.Args["question"], f.Args["reason"])
			}
			out[r.Checks[i].Check.Name] = append(out[r.Checks[i].Check.Name], s)
		}
	}
	return out
}

func want(t *testing.T, r *diag.Report, w map[string][]string) {
	t.Helper()
	if d := cmp.Diff(w, ids(r)); d != "" {
		t.Errorf("findings (-want +got):\n%s", d)
	}
}

// A naive engine loses the report to the first check that crashes.
func TestCrashesStayWithTheirCheck(t *testing.T) {
	ask := dnsq.Q("slow.example", dnsq.TypeTXT)
	r, _ := run(t, nil,
		check("panics", func(ctx context.Context, j *diag.Job) error { _ = say(hint)(ctx, j); panic("no such luck") }),
		check("errs", func(ctx context.Context, j *diag.Job) error { _ = say(bad)(ctx, j); return errors.New("no such luck") }),
		check("silent", say()),
		check("dns", func(context.Context, *diag.Job) error {
			return fmt.Errorf("wrapped: %w", &dnsq.Error{Question: ask, Reason: dnsq.ServFail})
		}),
		check("late", func(context.Context, *diag.Job) error { return fmt.Errorf("late: %w", context.DeadlineExceeded) }),
		check("wrong", func(_ context.Context, j *diag.Job) error {
			j.Report(diag.Finding{Kind: &diag.Kind{ID: "T-BAD"}})
			return nil
		}),
		check("fine", say(good)),
	)
	want(t, r, map[string][]string{
		"panics": {"T-HINT", "T-UNDETERMINED - internal"},
		"errs":   {"T-BAD", "T-UNDETERMINED - internal"},
		"silent": {"T-UNDETERMINED - internal"},
		"dns":    {"T-UNDETERMINED slow.example TXT servfail"},
		"late":   {"T-UNDETERMINED - budget"},
		"wrong":  {"T-UNDETERMINED - internal"},
		"fine":   {"T-GOOD"},
	})
	for i, crashed := range []bool{true, true, true, false, false, true, false} {
		if got := r.Checks[i].Panic != ""; got != crashed {
			t.Errorf("%s: crashed is %t: %q", r.Checks[i].Check.Name, got, r.Checks[i].Panic)
		}
	}
	if !strings.Contains(r.Checks[0].Panic, "engine_test.go") {
		t.Errorf("a crash does not tell where it happened:\n%s", r.Checks[0].Panic)
	}
	for i, s := range []diag.Status{diag.Inconclusive, diag.Fail, diag.Inconclusive, diag.Inconclusive, diag.Inconclusive, diag.Inconclusive, diag.Pass} {
		if r.Checks[i].Status != s {
			t.Errorf("%s: status %s, expected %s", r.Checks[i].Check.Name, r.Checks[i].Status, s)
		}
	}
	if !r.Broken() || r.Status() != diag.Fail {
		t.Errorf("broken %t, status %s", r.Broken(), r.Status())
	}
}

// A resolver that panics does so in whichever goroutine asks, where nobody
// could recover it: World.Ask does.
func TestResolverPanics(t *testing.T) {
	fact := &diag.Fact[string, string]{Name: "f"}
	fact.Learn = func(ctx context.Context, w *diag.World, k string) (string, error) {
		var wg sync.WaitGroup
		var err error
		wg.Go(func() { _, err = w.Ask(ctx, dnsq.Q(k, dnsq.TypeTXT)) })
		wg.Wait()
		return k, err
	}
	use := func(ctx context.Context, j *diag.Job) error {
		if _, err := fact.Of(ctx, j.World, "boom.example"); err != nil {
			return err
		}
		return say(good)(ctx, j)
	}
	c := engine.Config{Checks: []*diag.Check{check("a", use, fact), check("b", use, fact), check("fine", say(good))},
		Resolver: dnsq.ResolverFunc(func(context.Context, dnsq.Question) (*dnsq.Answer, error) { panic("no such luck") })}
	r := engine.Run(t.Context(), c, target)
	want(t, r, map[string][]string{
		"a": {"T-UNDETERMINED boom.example TXT malformed"}, "b": {"T-UNDETERMINED boom.example TXT malformed"}, "fine": {"T-GOOD"}})
	for i, crashed := range []bool{true, true, false} {
		if got := strings.Contains(r.Checks[i].Panic, "no such luck"); got != crashed {
			t.Errorf("%s: %q", r.Checks[i].Check.Name, r.Checks[i].Panic)
		}
	}
}

// A fact that panics costs everyone who asks one finding: a naive once gives
// the second asker a zero value without an error.
func TestFactPanics(t *testing.T) {
	var learnt atomic.Int32
	inner := &diag.Fact[string, *string]{Name: "inner", Learn: func(context.Context, *diag.World, string) (*string, error) {
		learnt.Add(1)
		panic("no such luck")
	}}
	outer := &diag.Fact[string, *string]{Name: "outer", Requires: []diag.AnyFact{inner}}
	outer.Learn = func(ctx context.Context, w *diag.World, k string) (*string, error) { return inner.Of(ctx, w, k) }
	use := func(f *diag.Fact[string, *string]) func(ctx context.Context, j *diag.Job) error {
		return func(ctx context.Context, j *diag.Job) error {
			f.Start(j.World, "x") // starting alone never panics for what Learn does
			v, err := f.Of(ctx, j.World, "x")
			if v == nil && err == nil {
				return say(bad)(ctx, j)
			}
			return say(good)(ctx, j)
		}
	}
	r, _ := run(t, nil, check("a", use(inner), inner), check("b", use(inner), inner), check("c", use(outer), outer), check("fine", say(good)))
	one := []string{"T-UNDETERMINED - internal"}
	want(t, r, map[string][]string{"a": one, "b": one, "c": one, "fine": {"T-GOOD"}})
	for i := range 3 {
		if p := r.Checks[i].Panic; !strings.HasPrefix(p, "no such luck\n") || !strings.Contains(p, "engine_test.go") {
			t.Errorf("%s: expected the panic of Learn with its stack, got %q", r.Checks[i].Check.Name, p)
		}
	}
	if n := learnt.Load(); n != 1 {
		t.Errorf("the fact was learnt %d times", n)
	}
}

// A check that pulls a fact which it does not list is a defect that a test
// must meet, also where another check has learnt it already.
func TestFactNotListed(t *testing.T) {
	fact := &diag.Fact[string, string]{Name: "f", Learn: func(context.Context, *diag.World, string) (string, error) { return "v", nil }}
	use := func(ctx context.Context, j *diag.Job) error {
		if v, err := fact.Of(ctx, j.World, "x"); v != "v" || err != nil {
			return say(bad)(ctx, j)
		}
		return say(good)(ctx, j)
	}
	begin := func(ctx context.Context, j *diag.Job) error { fact.Start(j.World, "x"); return say(good)(ctx, j) }
	r, _ := run(t, nil, check("listed", use, fact), check("not", use), check("begins", begin))
	want(t, r, map[string][]string{"listed": {"T-GOOD"}, "not": {"T-UNDETERMINED - internal"}, "begins": {"T-UNDETERMINED - internal"}})
	for i := 1; i < 3; i++ {
		if p := r.Checks[i].Panic; !strings.Contains(p, `the fact "f" that it does not list in Requires`) {
			t.Errorf("%s: %q", r.Checks[i].Check.Name, p)
		}
	}
}

// The first asker gives up before the fact is learnt. The others must get it,
// learnt once, under the run's context.
func TestFirstAskerGivesUp(t *testing.T) {
	asked, go1 := make(chan struct{}), make(chan struct{})
	var learnt atomic.Int32
	fact := &diag.Fact[string, string]{Name: "f", Learn: func(ctx context.Context, _ *diag.World, k string) (string, error) {
		learnt.Add(1)
		close(asked)
		<-go1
		return "learnt", ctx.Err()
	}}
	first := check("first", func(ctx context.Context, j *diag.Job) error {
		ctx, cancel := context.WithCancel(ctx)
		go func() { <-asked; cancel() }()
		_, err := fact.Of(ctx, j.World, "x")
		close(go1)
		return err
	}, fact)
	second := check("second", func(ctx context.Context, j *diag.Job) error {
		<-asked
		if v, err := fact.Of(ctx, j.World, "x"); v != "learnt" || err != nil {
			return fmt.Errorf("got %q, %w", v, err)
		}
		return say(good)(ctx, j)
	}, fact)
	r, _ := run(t, nil, first, second)
	want(t, r, map[string][]string{"first": {"T-UNDETERMINED - budget"}, "second": {"T-GOOD"}})
	if n := learnt.Load(); n != 1 {
		t.Errorf("the fact was learnt %d times", n)
	}
}

// Findings come in the order of the list, whichever check ends first; so do
// the names in the list of trouble.
func TestOrder(t *testing.T) {
	const n = 8
	var list []*diag.Check
	turn := make([]chan struct{}, n+1)
	for i := range turn {
		turn[i] = make(chan struct{})
	}
	for i := range n {
		list = append(list, check(fmt.Sprint("c", i), func(ctx context.Context, j *diag.Job) error {
			<-turn[i+1] // the last one ends first
			defer close(turn[i])
			for _, name := range []string{"b.example", "a.example"} {
				if i%2 == 0 {
					_, _ = j.Ask(ctx, dnsq.Q(name, dnsq.TypeTXT))
				}
			}
			_, _ = j.Ask(ctx, dnsq.Q("a.example", dnsq.TypeA))
			return say(hint, good)(ctx, j)
		}))
	}
	close(turn[n])
	r, _ := run(t, dns{"a.example": "!timeout", "b.example": "!servfail"}, list...)
	for i := range n {
		if r.Checks[i].Check != list[i] || len(r.Checks[i].Findings) != 2 || r.Checks[i].Findings[0].Kind != hint {
			t.Errorf("place %d holds %s %v", i, r.Checks[i].Check.Name, ids(r))
		}
		if want := 1 + 2*(1-i%2); r.Checks[i].Queries != want {
			t.Errorf("c%d needed %d questions, expected %d", i, r.Checks[i].Queries, want)
		}
	}
	var got []string
	for _, tr := range r.Trouble {
		got = append(got, fmt.Sprint(tr.Err.Question, " ", tr.Err.Reason, " ", strings.Join(tr.Checks, ",")))
	}
	if d := cmp.Diff([]string{
		"a.example A timeout c0,c1,c2,c3,c4,c5,c6,c7",
		"a.example TXT timeout c0,c2,c4,c6",
		"b.example TXT servfail c0,c2,c4,c6"}, got); d != "" {
		t.Errorf("trouble (-want +got):\n%s", d)
	}
	if r.Queries != 3 {
		t.Errorf("%d questions, expected 3", r.Queries)
	}
}

// A fact's questions are those of every check that pulls it, also of one that
// came too late to ask; an optional question is no trouble, unless another
// check needs it.
func TestQueriesAndTroubleOfFacts(t *testing.T) {
	inner := &diag.Fact[string, string]{Name: "inner", Learn: func(ctx context.Context, w *diag.World, k string) (string, error) {
		_, err := w.Ask(ctx, dnsq.Q(k, dnsq.TypeTXT))
		return k, err
	}}
	outer := &diag.Fact[string, string]{Name: "outer", Requires: []diag.AnyFact{inner}}
	outer.Learn = func(ctx context.Context, w *diag.World, k string) (string, error) {
		_, _ = w.Ask(ctx, dnsq.Q("outer.example", dnsq.TypeTXT))
		return inner.Of(ctx, w, k)
	}
	pull := func(ctx context.Context, j *diag.Job) error {
		if _, err := outer.Of(ctx, j.World, "dead.example"); err == nil {
			return say(bad)(ctx, j)
		}
		return say(hint)(ctx, j)
	}
	optional := func(ctx context.Context, j *diag.Job) error {
		if _, err := j.Optional().Ask(ctx, dnsq.Q("dead.example", dnsq.TypeMX)); err == nil {
			return say(bad)(ctx, j)
		}
		_, _ = j.Optional().Ask(ctx, dnsq.Q("dead.example", dnsq.TypeTXT))
		return say(good)(ctx, j)
	}
	r, _ := run(t, dns{"dead.example": "!refused"}, check("a", pull, outer), check("b", pull, outer), check("optional", optional))
	want(t, r, map[string][]string{"a": {"T-HINT"}, "b": {"T-HINT"}, "optional": {"T-GOOD"}})
	for i, n := range []int{2, 2, 2} {
		if r.Checks[i].Queries != n {
			t.Errorf("%s: %d questions, expected %d", r.Checks[i].Check.Name, r.Checks[i].Queries, n)
		}
	}
	if r.Queries != 3 || len(r.Trouble) != 1 || !slices.Equal(r.Trouble[0].Checks, []string{"a", "b"}) {
		t.Errorf("%d questions, trouble %+v", r.Queries, r.Trouble)
	}
}

// The end of the run's time: a complete report, with what was learnt by then.
func TestTheRunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := dnsq.ResolverFunc(func(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
			if q.Name != "slow.example" {
				return dns{"quick.example": "text"}.Ask(ctx, q)
			}
			<-ctx.Done()
			return nil, ctx.Err()
		})
		// Like an SPF tree: it has no error, what could not be learnt is in it.
		half := &diag.Fact[string, []string]{Name: "half", Learn: func(ctx context.Context, w *diag.World, _ string) ([]string, error) {
			var out []string
			for _, n := range []string{"quick.example", "slow.example"} {
				if _, err := w.Ask(ctx, dnsq.Q(n, dnsq.TypeTXT)); err == nil {
					out = append(out, n)
				}
			}
			return out, nil
		}}
		deaf := &diag.Fact[string, string]{Name: "deaf", Learn: func(context.Context, *diag.World, string) (string, error) {
			time.Sleep(time.Hour) // does not look at its context
			return "", nil
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		c := engine.Config{Resolver: dnsq.NewCache(ctx, hang), Checks: []*diag.Check{
			check("half", func(ctx context.Context, j *diag.Job) error {
				v, err := half.Of(ctx, j.World, "")
				if err != nil || !slices.Equal(v, []string{"quick.example"}) {
					return fmt.Errorf("got %v, %w", v, err)
				}
				return say(hint)(ctx, j)
			}, half),
			check("own", func(ctx context.Context, j *diag.Job) error {
				_ = say(hint)(ctx, j)
				_, err := j.Ask(ctx, dnsq.Q("slow.example", dnsq.TypeTXT))
				return err
			}),
			check("deaf", func(ctx context.Context, j *diag.Job) error { _, err := deaf.Of(ctx, j.World, ""); return err }, deaf),
			check("fine", say(good)),
		}}
		r := engine.Run(ctx, c, target)
		want(t, r, map[string][]string{
			"half": {"T-HINT"},
			"own":  {"T-HINT", "T-UNDETERMINED slow.example TXT budget"},
			"deaf": {"T-UNDETERMINED - budget"},
			"fine": {"T-GOOD"},
		})
		if r.Broken() || len(r.Trouble) != 1 || !slices.Equal(r.Trouble[0].Checks, []string{"half", "own"}) {
			t.Errorf("broken %t, trouble %+v", r.Broken(), r.Trouble)
		}
		if r.Duration < 15*time.Second || r.Duration > 16*time.Second {
			t.Errorf("the report took %v, expected 15 s and at most one more", r.Duration)
		}
		time.Sleep(2 * time.Hour) // until the deaf one is back (virtual time)
	})
}

// world is a check that is bad while name's TXT is not "right", and whatever
// else a TXT makes of it.
func sensitive(name string, fixes ...diag.Fix) *diag.Check {
	return check(name[:1], func(ctx context.Context, j *diag.Job) error {
		q := dnsq.Q(name, dnsq.TypeTXT)
		a, err := j.Ask(ctx, q)
		if err != nil {
			return err
		}
		text := ""
		for i := range a.RRs {
			text += a.RRs[i].Text()
		}
		report := func(k *diag.Kind, f ...diag.Fix) {
			j.Report(diag.Finding{Kind: k, Subject: name, Fixes: slices.Clone(f)})
		}
		switch text {
		case "right":
			report(good)
		case "hint":
			report(hint)
		case "worse":
			report(worse)
		case "bad and worse":
			report(bad, fixes...)
			report(worse)
		case "crash":
			panic("no such luck")
		case "ask":
			if _, err := j.Ask(ctx, dnsq.Q("dead.example", dnsq.TypeTXT)); err != nil {
				e := dnsq.AsError(q, err)
				j.Report(diag.Finding{Kind: unknown, Subject: name, Unknown: []*dnsq.Error{e},
					Args: diag.Args{"question": e.Question.String(), "reason": string(e.Reason)}})
			}
			report(good)
		default:
			report(bad, fixes...)
		}
		return nil
	})
}

func edit(name, old, new string) diag.Fix {
	return diag.Fix{Owner: diag.DNSAdmin, Edits: []diag.Edit{{Name: name, Type: "TXT", Old: old, New: new}}}
}

// A fix is verified if all four rules hold. Each case breaks one.
func TestVerify(t *testing.T) {
	const a, b = "a.example", "b.example"
	one := func(name, old, new string) []diag.Fix { return []diag.Fix{edit(name, old, new)} }
	for _, c := range []struct {
		name       string
		world      dns
		fixes      []diag.Fix
		verified   bool
		unverified string // of the first fix
		kept       int
	}{
		{"it works", dns{a: "wrong"}, one(a, "wrong", "right"), true, "", 1},
		{"it publishes what was missing", dns{}, one(a, "", "right"), true, "", 1},
		{"the finding stays", dns{a: "wrong"}, one(a, "wrong", "still wrong"), false, "T-BAD", 1},
		{"another failure comes", dns{a: "wrong"}, one(a, "wrong", "worse"), false, "T-WORSE", 1},
		{"a failure that was there stays", dns{a: "bad and worse"}, one(a, "bad and worse", "worse"), true, "", 1},
		{"a milder fault comes to light", dns{a: "wrong"}, one(a, "wrong", "hint"), true, "", 1},
		{"another check gets worse", dns{a: "wrong", b: "right"}, []diag.Fix{{Edits: []diag.Edit{
			{Name: a, Type: "TXT", Old: "wrong", New: "right"}, {Name: b, Type: "TXT", Old: "right", New: "hint"}}}}, false, "T-HINT", 1},
		{"another check fails", dns{a: "wrong", b: "right"}, []diag.Fix{{Edits: []diag.Edit{
			{Name: a, Type: "TXT", Old: "wrong", New: "right"}, {Name: b, Type: "TXT", Old: "right", New: "worse"}}}}, false, "T-WORSE", 1},
		{"something becomes inconclusive", dns{a: "wrong", "dead.example": "!timeout"}, one(a, "wrong", "ask"), false, "inconclusive:dead.example TXT", 1},
		{"a check crashes", dns{a: "wrong"}, one(a, "wrong", "crash"), false, "T-UNDETERMINED", 1},
		{"the record to change is not there", dns{a: "wrong"}, one(a, "other", "right"), false, "inconclusive:a.example TXT", 1},
		{"an edit that cannot be read", dns{a: "wrong"}, []diag.Fix{{Edits: []diag.Edit{{Name: a, Type: "A", New: "not an address"}}}}, false, "edit: ", 1},
		{"no edits", dns{a: "wrong"}, []diag.Fix{{}}, false, "not-tried", 1},
		{"the verified one is kept", dns{a: "wrong"}, []diag.Fix{edit(a, "wrong", "worse"), edit(a, "wrong", "right"), edit(a, "wrong", "hint"), {}}, true, "", 2},
		{"none is verified: all are kept", dns{a: "wrong"}, []diag.Fix{edit(a, "wrong", "worse"), edit(a, "wrong", "no")}, false, "T-WORSE", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i := range c.fixes {
				c.fixes[i].Verified = true // what a check claims counts for nothing
			}
			r, cfg := run(t, c.world, sensitive(a, c.fixes...), sensitive(b))
			before := ids(r)
			engine.Verify(t.Context(), cfg, r)
			if d := cmp.Diff(before, ids(r)); d != "" {
				t.Errorf("Verify changed the findings:\n%s", d)
			}
			f := &r.Checks[0].Findings[0]
			if len(f.Fixes) != c.kept {
				t.Fatalf("%d fixes are left, expected %d: %+v", len(f.Fixes), c.kept, f.Fixes)
			}
			x := f.Fixes[0]
			if x.Verified != c.verified || x.Verified != (len(x.Unverified) == 0) {
				t.Errorf("verified is %t, because of %q", x.Verified, x.Unverified)
			}
			if all := strings.Join(x.Unverified, " "); c.unverified != "" && !strings.HasPrefix(all, c.unverified) {
				t.Errorf("reason %q, expected %q", all, c.unverified)
			}
			for _, x := range f.Fixes {
				if x.Verified != c.verified {
					t.Errorf("a fix that is not verified stands beside one that is: %+v", f.Fixes)
				}
			}
		})
	}
}

// What was asked for the report is not asked again for its fixes, and a fix
// costs only what its record newly asks.
func TestVerifyAsksNothingTwice(t *testing.T) {
	var mu sync.Mutex
	times := map[dnsq.Question]int{}
	under := dns{"a.example": "wrong", "b.example": "right", "dead.example": "alive"}
	count := dnsq.ResolverFunc(func(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
		mu.Lock()
		times[q]++
		mu.Unlock()
		return under.Ask(ctx, q)
	})
	r, cfg := run(t, count, sensitive("a.example", edit("a.example", "wrong", "worse"), edit("a.example", "wrong", "ask"), edit("a.example", "wrong", "right")), sensitive("b.example"))
	queries := r.Queries
	engine.Verify(t.Context(), cfg, r)
	if r.Queries != queries || queries != 2 {
		t.Errorf("%d questions in the report, then %d; expected 2", queries, r.Queries)
	}
	if d := cmp.Diff(map[dnsq.Question]int{dnsq.Q("a.example", dnsq.TypeTXT): 1, dnsq.Q("b.example", dnsq.TypeTXT): 1, dnsq.Q("dead.example", dnsq.TypeTXT): 1}, times); d != "" {
		t.Errorf("questions (-want +got):\n%s", d)
	}
}

// However many fixes a hostile record brings about, the number of those tried
// is bounded, and none is called verified without having been.
func TestVerifyIsBounded(t *testing.T) {
	var fixes []diag.Fix
	for i := range engine.MaxTries + 10 {
		fixes = append(fixes, edit("a.example", "wrong", fmt.Sprint("still wrong ", i)))
	}
	var runs atomic.Int32
	c := sensitive("a.example", fixes...)
	inner := c.Run
	c.Run = func(ctx context.Context, j *diag.Job) error { runs.Add(1); return inner(ctx, j) }
	r, cfg := run(t, dns{"a.example": "wrong"}, c)
	engine.Verify(t.Context(), cfg, r)
	if n := runs.Load(); n != engine.MaxTries+1 {
		t.Errorf("%d runs, expected one and %d tries", n, engine.MaxTries)
	}
	for i, x := range r.Checks[0].Findings[0].Fixes {
		if tried := i < engine.MaxTries; x.Verified || (x.Unverified[0] == "not-tried") == tried {
			t.Errorf("fix %d: %+v", i, x)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	runs.Store(0)
	engine.Verify(ctx, cfg, r)
	if runs.Load() != 0 || r.Checks[0].Findings[0].Fixes[0].Unverified[0] != "not-tried" {
		t.Errorf("%d runs after the end of the time", runs.Load())
	}
}

// The clock of a run is the one it is given.
func TestClock(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var seen time.Time
	c := engine.Config{Resolver: dns{}, Now: func() time.Time { return now }, Version: "1.2", Server: "srv", Checks: []*diag.Check{
		check("c", func(ctx context.Context, j *diag.Job) error { seen = j.Now(); return say(good)(ctx, j) })}}
	r := engine.Run(t.Context(), c, target)
	if r.Started != now || seen != now || r.Version != "1.2" || r.Server != "srv" || r.Target.Domain != target.Domain {
		t.Errorf("%+v, the check saw %v", r, seen)
	}
}
