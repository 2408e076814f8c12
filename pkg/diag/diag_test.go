package diag_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	. "github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// The order of statuses is a contract: inconclusive is worse than a warning
// (the run did not do its work) and milder than a failure (which is proved).
func TestStatusOrder(t *testing.T) {
	want := []string{"skip", "pass", "info", "warn", "inconclusive", "fail"}
	if len(Statuses) != len(want) {
		t.Fatalf("%d statuses", len(Statuses))
	}
	for i, s := range Statuses {
		if s.String() != want[i] || i > 0 && s <= Statuses[i-1] {
			t.Errorf("status %d is %s, expected %s", i, s, want[i])
		}
		b, err := json.Marshal(s)
		var back Status
		if err != nil || string(b) != `"`+want[i]+`"` || json.Unmarshal(b, &back) != nil || back != s {
			t.Errorf("%s as JSON: %s, back %s (%v)", s, b, back, err)
		}
	}
	var s Status
	for _, text := range []string{`"FAIL"`, `""`, `"status(9)"`} {
		if err := json.Unmarshal([]byte(text), &s); err == nil {
			t.Errorf("%s was read as %s", text, s)
		}
	}
	if got := Status(9).String(); got != "status(9)" {
		t.Errorf("Status(9) is %q", got)
	}
}

func TestReportStatus(t *testing.T) {
	kind := func(s Status) Finding { return Finding{Kind: &Kind{Status: s}} }
	r := &Report{}
	if r.Status() != Skip || r.Broken() {
		t.Errorf("an empty report is %s", r.Status())
	}
	r.Checks = []CheckReport{{Status: Warn, Findings: []Finding{kind(Warn), kind(Pass)}}, {Status: Inconclusive, Findings: []Finding{kind(Inconclusive), kind(Warn)}}, {Status: Pass}}
	if r.Status() != Inconclusive {
		t.Errorf("status %s, expected the worst", r.Status())
	}
	n := r.Counts()
	if len(n) != len(Statuses) || n[Warn] != 2 || n[Pass] != 1 || n[Inconclusive] != 1 || n[Fail] != 0 {
		t.Errorf("counts %v", n)
	}
	r.Checks[2].Panic = "x"
	if !r.Broken() {
		t.Error("a report with a crash is not broken")
	}
}

func TestRef(t *testing.T) {
	for _, c := range []struct {
		ref           Ref
		text, url, js string
	}{
		{RFC(7208, "4.6.4"), "RFC 7208 §4.6.4", "https://www.rfc-editor.org/rfc/rfc7208#section-4.6.4", `{"rfc":7208,"section":"4.6.4","url":"https://www.rfc-editor.org/rfc/rfc7208#section-4.6.4"}`},
		{RFC(5321, ""), "RFC 5321", "https://www.rfc-editor.org/rfc/rfc5321", `{"rfc":5321,"url":"https://www.rfc-editor.org/rfc/rfc5321"}`},
		{Page("A & B", "https://example.com/?a&b"), "A & B", "https://example.com/?a&b", `{"title":"A & B","url":"https://example.com/?a&b"}`},
	} {
		b, err := c.ref.MarshalJSON()
		if c.ref.String() != c.text || c.ref.URL() != c.url || string(b) != c.js || err != nil {
			t.Errorf("%v: %q %q %s %v", c.ref, c.ref.String(), c.ref.URL(), b, err)
		}
	}
}

func TestMailFromDomain(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "shop.example": "shop.example", "a@shop.example": "shop.example",
		`"a@b"@shop.example`: "shop.example", "a@": "", "a@SHOP..example": "SHOP..example",
	} {
		if got := (&Target{MailFrom: in}).MailFromDomain(); got != want {
			t.Errorf("%q: %q, expected %q", in, got, want)
		}
	}
}

// What makes a finding the same finding, part by part. A fingerprint made of
// the text changes with every edit; one without the key takes three MX hosts
// for one.
func TestFingerprint(t *testing.T) {
	k := &Kind{ID: "T-A", Args: []string{"host", "count"}, Key: []string{"host"}}
	base := func() Finding {
		return Finding{Kind: k, Subject: "shop.example", Args: Args{"host": "mx1", "count": 3},
			Evidence: []Evidence{{Name: "shop.example", Type: "MX", Text: "10 mx1", Offset: 1, Length: 2, Line: 3, File: "f", Source: dnsq.SourceDNS}}}
	}
	f := base()
	want := f.Fingerprint()
	if len(want) != 24 {
		t.Errorf("fingerprint %q", want)
	}
	same := map[string]func(*Finding){
		"a count":               func(f *Finding) { f.Args["count"] = 4 },
		"the text":              func(f *Finding) { f.Evidence[0].Text = "20 mx1" },
		"the position":          func(f *Finding) { f.Evidence[0].Offset, f.Evidence[0].Length, f.Evidence[0].Line = 9, 9, 9 },
		"the source":            func(f *Finding) { f.Evidence[0].Source, f.Evidence[0].File = dnsq.SourceZone, "g" },
		"the same record again": func(f *Finding) { f.Evidence = append(f.Evidence, f.Evidence[0]) },
		"the status":            func(f *Finding) { c := *k; c.Status = Fail; f.Kind = &c },
		"owner and fixes":       func(f *Finding) { f.Owner, f.Fixes = Provider, []Fix{{}} },
		"what is unknown":       func(f *Finding) { f.Unknown = []*dnsq.Error{{}} },
	}
	differs := map[string]func(*Finding){
		"the ID":             func(f *Finding) { c := *k; c.ID = "T-B"; f.Kind = &c },
		"the subject":        func(f *Finding) { f.Subject = "other.example" },
		"the key":            func(f *Finding) { f.Args["host"] = "mx2" },
		"name of evidence":   func(f *Finding) { f.Evidence[0].Name = "other.example" },
		"type of evidence":   func(f *Finding) { f.Evidence[0].Type = "TXT" },
		"another record":     func(f *Finding) { f.Evidence = append(f.Evidence, Evidence{Name: "x", Type: "A"}) },
		"no evidence":        func(f *Finding) { f.Evidence = nil },
		"parts put together": func(f *Finding) { f.Subject, f.Args["host"] = "shop.examplem", "x1" },
	}
	for name, change := range same {
		f := base()
		if change(&f); f.Fingerprint() != want {
			t.Errorf("%s changes the fingerprint", name)
		}
	}
	for name, change := range differs {
		f := base()
		if change(&f); f.Fingerprint() == want {
			t.Errorf("%s does not change the fingerprint", name)
		}
	}
}

func TestWho(t *testing.T) {
	f := Finding{Kind: &Kind{Owner: DNSAdmin}}
	if f.Who() != DNSAdmin {
		t.Errorf("owner %q", f.Who())
	}
	if f.Owner = Provider; f.Who() != Provider {
		t.Errorf("owner %q", f.Who())
	}
}

// fact requires what later tests put into it.
func fact(name string, requires ...AnyFact) *Fact[string, string] {
	return &Fact[string, string]{Name: name, Requires: requires, Learn: func(context.Context, *World, string) (string, error) { return "", nil }}
}

func valid() *Check {
	u := &Kind{ID: "T-UNDETERMINED", Status: Inconclusive, Args: []string{"question", "reason"}, Refs: []Ref{RFC(1, "")}, Since: "0.1"}
	b := &Kind{ID: "T-BAD", Status: Fail, Owner: DNSAdmin, Args: []string{"host", "a_1"}, Key: []string{"host"}, Refs: []Ref{Page("Page", "https://example.com")}, Since: "1.12"}
	return &Check{Name: "t-2", Docs: fstest.MapFS{"doc.en.md": {}, "doc.ja.md": {}}, Kinds: []*Kind{b, u}, Undetermined: u,
		Requires: []AnyFact{fact("a", fact("b"))}, Run: func(context.Context, *Job) error { return nil }}
}

// Each case breaks one rule, and Validate names what is wrong.
func TestValidate(t *testing.T) {
	other := func(c *Check) *Check { c.Name = "u"; return c }
	circle := fact("circle")
	circle.Requires = []AnyFact{fact("between", circle)}
	for _, c := range []struct {
		want   string
		change func(c *Check) []*Check
	}{
		{"", func(c *Check) []*Check { return nil }},
		{`check "T": the name must be lower case`, func(c *Check) []*Check { c.Name = "T"; return nil }},
		{`check "": the name must be lower case`, func(c *Check) []*Check { c.Name = ""; return nil }},
		{"check t-2: the name is used twice", func(c *Check) []*Check {
			d := valid()
			d.Kinds[0].ID, d.Kinds[1].ID = "U-BAD", "U-UNDETERMINED"
			return []*Check{d}
		}},
		{"check t-2: it has a Run or a Review, one of them", func(c *Check) []*Check { c.Run = nil; return nil }},
		{"check t-2: Docs is nil", func(c *Check) []*Check { c.Docs = nil; return nil }},
		{"doc.ja.md", func(c *Check) []*Check { c.Docs = fstest.MapFS{"doc.en.md": {}}; return nil }},
		{"check t-2: no kinds", func(c *Check) []*Check { c.Kinds = nil; return nil }},
		{"check t-2: Undetermined is nil", func(c *Check) []*Check { c.Undetermined = nil; return nil }},
		{"check t-2: Undetermined (T-UNDETERMINED) is not in Kinds", func(c *Check) []*Check { c.Kinds = c.Kinds[:1]; return nil }},
		{"check t-2: Undetermined (T-UNDETERMINED) has status warn", func(c *Check) []*Check {
			c.Undetermined.Status, c.Undetermined.Owner = Warn, DNSAdmin
			return nil
		}},
		{"check t-2: Undetermined (T-UNDETERMINED) must have exactly the arguments", func(c *Check) []*Check {
			c.Undetermined.Args = []string{"question"}
			return nil
		}},
		{`check t-2: ID "t-bad" must be upper case`, func(c *Check) []*Check { c.Kinds[0].ID = "t-bad"; return nil }},
		{`check t-2: ID "TBAD" must be upper case`, func(c *Check) []*Check { c.Kinds[0].ID = "TBAD"; return nil }},
		{"check t-2: ID T-UNDETERMINED does not start with U-", func(c *Check) []*Check { c.Kinds[0].ID = "U-BAD"; return nil }},
		{"check t-2: ID T-BAD is also one of check t-2", func(c *Check) []*Check {
			k := *c.Kinds[0]
			c.Kinds = append(c.Kinds, &k)
			return nil
		}},
		{"check u: ID T-BAD is also one of check t-2", func(c *Check) []*Check { return []*Check{other(valid())} }},
		{"T-BAD: a fail kind names who must act", func(c *Check) []*Check { c.Kinds[0].Owner = Nobody; return nil }},
		{"T-BAD: a warn kind names who must act", func(c *Check) []*Check { c.Kinds[0].Owner, c.Kinds[0].Status = Nobody, Warn; return nil }},
		{"T-BAD: no reference", func(c *Check) []*Check { c.Kinds[0].Refs = nil; return nil }},
		{"T-BAD: a reference that is no RFC", func(c *Check) []*Check { c.Kinds[0].Refs[0].Link = "http://example.com"; return nil }},
		{"T-BAD: a reference that is no RFC", func(c *Check) []*Check { c.Kinds[0].Refs[0].Title = ""; return nil }},
		{`T-BAD: Since is "soon"`, func(c *Check) []*Check { c.Kinds[0].Since = "soon"; return nil }},
		{`T-BAD: argument "Host"`, func(c *Check) []*Check { c.Kinds[0].Args, c.Kinds[0].Key = []string{"Host"}, nil; return nil }},
		{`T-BAD: argument "host"`, func(c *Check) []*Check { c.Kinds[0].Args = []string{"host", "host"}; return nil }},
		{`T-BAD: argument "subject"`, func(c *Check) []*Check { c.Kinds[0].Args = []string{"host", "subject"}; return nil }},
		{`T-BAD: key "other" is not one of its arguments`, func(c *Check) []*Check { c.Kinds[0].Key = []string{"other"}; return nil }},
		{`check t-2: fact "circle" requires itself`, func(c *Check) []*Check { c.Requires = []AnyFact{fact("x"), circle}; return nil }},
	} {
		t.Run(c.want, func(t *testing.T) {
			ch := valid()
			errs := Validate(append([]*Check{ch}, c.change(ch)...), "en", "ja")
			if c.want == "" {
				if errs != nil {
					t.Errorf("a valid check: %v", errs)
				}
				return
			}
			if !slices.ContainsFunc(errs, func(err error) bool { return strings.Contains(err.Error(), c.want) }) {
				t.Errorf("expected %q among %v", c.want, errs)
			}
		})
	}
	if errs := Validate([]*Check{valid()}, "en", "fr"); len(errs) != 1 || !strings.Contains(errs[0].Error(), "doc.fr.md") {
		t.Errorf("a language without a document: %v", errs)
	}
}

func world(t *testing.T, r dnsq.Resolver) *World {
	return NewWorld(t.Context(), r, func() time.Time { return time.Unix(42, 0) })
}

// A finding that its Kind does not describe must not get past the first test.
func TestJobReport(t *testing.T) {
	c := valid()
	ok := Finding{Kind: c.Kinds[0], Args: Args{"host": "mx1", "a_1": []string{"x"}}}
	for _, x := range []struct {
		want string
		f    Finding
	}{
		{"", ok},
		{"", Finding{Kind: c.Kinds[0], Args: Args{"host": 1, "a_1": true}}},
		{"not in its Kinds", Finding{}},
		{"not in its Kinds", Finding{Kind: &Kind{ID: "T-BAD"}}}, // another Kind with the same ID
		{`argument "a_1" is missing`, Finding{Kind: c.Kinds[0], Args: Args{"host": "mx1"}}},
		{`argument "more" is not in its Kind`, Finding{Kind: c.Kinds[0], Args: Args{"host": "mx1", "a_1": "", "more": ""}}},
		{`argument "host" has type float64`, Finding{Kind: c.Kinds[0], Args: Args{"host": 1.5, "a_1": ""}}},
		{`argument "host" has type <nil>`, Finding{Kind: c.Kinds[0], Args: Args{"host": nil, "a_1": ""}}},
	} {
		j := NewJob(c, &Target{}, world(t, nil))
		got := func() (p any) {
			defer func() { p = recover() }()
			j.Report(x.f)
			return nil
		}()
		fs, _ := j.Result()
		switch {
		case x.want == "" && (got != nil || len(fs) != 1):
			t.Errorf("%v: panic %v, %d findings", x.f.Args, got, len(fs))
		case x.want != "" && (got == nil || !strings.Contains(fmt.Sprint(got), x.want) || len(fs) != 0):
			t.Errorf("%v: panic %v, expected %q", x.f.Args, got, x.want)
		}
	}
	j := NewJob(c, &Target{}, world(t, nil))
	j.SetData(7)
	if _, d := j.Result(); d != 7 {
		t.Errorf("data %v", d)
	}
	if j.Now() != time.Unix(42, 0) {
		t.Errorf("the clock says %v", j.Now())
	}
}

// A fact is learnt once per key; its error is remembered like a value; a typed
// nil with an error stays one.
func TestFact(t *testing.T) {
	n := map[string]int{}
	f := &Fact[string, *int]{Name: "f", Learn: func(_ context.Context, _ *World, k string) (*int, error) {
		n[k]++
		if k == "bad" {
			return nil, errors.New("not today")
		}
		v := len(k)
		return &v, nil
	}}
	type empty interface{ None() }
	g := &Fact[string, empty]{Name: "g", Learn: func(context.Context, *World, string) (empty, error) { return nil, nil }}
	c := valid()
	c.Requires = []AnyFact{f, g}
	w := world(t, nil)
	for range 2 {
		for _, j := range []*Job{NewJob(c, &Target{}, w), NewJob(c, &Target{}, w)} {
			f.Start(j.World, "four")
			if v, err := f.Of(t.Context(), j.World, "four"); err != nil || *v != 4 {
				t.Errorf("%v %v", v, err)
			}
			if v, err := f.Of(t.Context(), j.World, "bad"); v != nil || err == nil || err.Error() != "not today" {
				t.Errorf("%v %v", v, err)
			}
			if v, err := g.Of(t.Context(), j.World, ""); v != nil || err != nil {
				t.Errorf("%v %v", v, err)
			}
		}
	}
	if n["four"] != 1 || n["bad"] != 1 {
		t.Errorf("learnt %v times", n)
	}
	if f.FactName() != "f" {
		t.Error(f.FactName())
	}
}

// An asker whose own time is up while the run goes on does not wait.
func TestFactOfAnImpatientAsker(t *testing.T) {
	release := make(chan struct{})
	f := &Fact[string, int]{Name: "f", Learn: func(context.Context, *World, string) (int, error) { <-release; return 1, nil }}
	c := valid()
	c.Requires = []AnyFact{f}
	j := NewJob(c, &Target{}, world(t, nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v, err := f.Of(ctx, j.World, ""); v != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%v %v", v, err)
	}
	close(release)
	if v, err := f.Of(t.Context(), j.World, ""); v != 1 || err != nil {
		t.Errorf("%v %v", v, err)
	}
}

// An unanswered question stays one, whether it was asked before or after as an
// optional one, and by whichever error type the resolver gives.
func TestUnanswered(t *testing.T) {
	r := dnsq.ResolverFunc(func(context.Context, dnsq.Question) (*dnsq.Answer, error) { return nil, errors.New("a bare error") })
	c := valid()
	need, opt, both := dnsq.Q("b.example", dnsq.TypeTXT), dnsq.Q("a.example", dnsq.TypeTXT), dnsq.Q("b.example", dnsq.TypeA)
	for _, optionalFirst := range []bool{true, false} {
		j := NewJob(c, &Target{}, world(t, r))
		ask := []func(){
			func() { _, _ = j.Optional().Ask(t.Context(), both) },
			func() { _, _ = j.Ask(t.Context(), both) },
		}
		if !optionalFirst {
			slices.Reverse(ask)
		}
		ask[0]()
		ask[1]()
		_, _ = j.Optional().Ask(t.Context(), opt)
		_, err := j.Ask(t.Context(), need)
		var e *dnsq.Error
		if !errors.As(err, &e) || e.Question != need || e.Reason != dnsq.Network {
			t.Errorf("error %#v", err)
		}
		var got []string
		for _, e := range j.Unanswered() {
			got = append(got, e.Question.String())
		}
		if s := strings.Join(got, ", "); s != "b.example A, b.example TXT" {
			t.Errorf("unanswered: %s", s)
		}
		if j.Queries() != 3 || len(j.Questions()) != 3 {
			t.Errorf("%d questions %v", j.Queries(), j.Questions())
		}
	}
}
