package gate_test

import (
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/gate"
)

var (
	bad     = &diag.Kind{ID: "T-BAD", Status: diag.Fail}
	poor    = &diag.Kind{ID: "T-POOR", Status: diag.Warn}
	open    = &diag.Kind{ID: "T-UNDETERMINED", Status: diag.Inconclusive, Args: []string{"question", "reason"}}
	skipped = &diag.Kind{ID: "T-SKIPPED", Status: diag.Skip, Args: []string{"missing"}}
	gone    = &diag.Kind{ID: "U-GONE", Status: diag.Fail}
	tCheck  = &diag.Check{Name: "t", Kinds: []*diag.Kind{bad, poor, open, skipped}, Undetermined: open, Skipped: skipped}
	uCheck  = &diag.Check{Name: "u", Kinds: []*diag.Kind{gone}}
)

func finding(k *diag.Kind, subject string) diag.Finding {
	return diag.Finding{Kind: k, Subject: subject, Args: diag.Args{}}
}

func report(domain string, fs ...diag.Finding) *diag.Report {
	r := &diag.Report{Target: diag.Target{Domain: domain, From: domain, MailFrom: domain, DKIMDomain: domain},
		Checks: []diag.CheckReport{{Check: tCheck}, {Check: uCheck}}}
	for _, f := range fs {
		c := &r.Checks[0]
		if f.Kind == gone {
			c = &r.Checks[1]
		}
		c.Findings = append(c.Findings, f)
	}
	return r
}

// Only a fault or a warning that a report shows, and that was not waived in it,
// is known afterwards.
func TestBaseline(t *testing.T) {
	fp := func(f diag.Finding) string { return f.Fingerprint() }
	line := func(f diag.Finding, status, more string) string {
		return `{"id":"` + f.Kind.ID + `","status":"` + status + `","fingerprint":"` + fp(f) + `"` + more + `}`
	}
	a, b, c, d := finding(bad, "a.example"), finding(poor, "a.example"), finding(open, "a.example"), finding(bad, "b.example")
	text := `{"schema":1,"checks":[{"check":"t","findings":[` + strings.Join([]string{
		line(a, "fail", ""), line(b, "warn", `,"waived":{"reason":"x","expires":"2027-01-01"}`), line(c, "inconclusive", "")}, ",") + `]}]}` + "\n" +
		`{"schema":1,"version":"x","reports":[{"schema":1,"checks":[]},{"schema":1,"checks":[{"check":"t","findings":[` + line(d, "fail", "") + `]}]}]}`
	base, err := gate.ReadBaseline(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if base.Reports != 3 || base.Len() != 2 {
		t.Errorf("%d reports, %d findings", base.Reports, base.Len())
	}
	r := report("a.example", a, b, c, d, finding(bad, "c.example"))
	base.Mark([]*diag.Report{r})
	var got []bool
	for _, f := range r.Checks[0].Findings {
		got = append(got, f.Known)
	}
	if want := []bool{true, false, false, true, false}; !equal(got, want) {
		t.Errorf("known: %v, want %v", got, want)
	}
	if n := r.Decisive(); n[diag.Fail] != 1 || n[diag.Warn] != 1 || n[diag.Inconclusive] != 1 || r.Known() != 2 {
		t.Errorf("decisive: %v", n)
	}
}

func equal(a, b []bool) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// A file that is no report excuses nothing and is named in one line.
func TestBaselineBroken(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "is empty",
		" \n":                      "is empty",
		"v=spf1":                   "line 1: invalid character",
		"{}":                       "is no report",
		"null":                     "is no report",
		"[]":                       "line 1: array where",
		`{"schema":"1"}`:           `line 1: "schema" is string`,
		`{"schema":2,"checks":[]}`: "schema 2",
		`{"schema":1}`:             "has no \"checks\"",
		`{"schema":1,"checks":[`:   "ends in the middle",
		"{\"schema\":1,\n\"checks\":[{\n\"findings\":\n7}]}":           `line 4: "checks.findings" is number`,
		`{"schema":1,"checks":[null]}`:                                 "is null",
		`{"schema":1,"checks":[{"findings":[null]}]}`:                  "no ID or no fingerprint",
		`{"schema":1,"checks":[{"findings":[{"id":"A-B"}]}]}`:          "no ID or no fingerprint",
		`{"schema":1,"checks":[{"findings":[{"status":"terrible"}]}]}`: "is not a status",
		`{"schema":1,"reports":[null]}`:                                "expected reports",
		`{"schema":1,"reports":[{"schema":1,"reports":[]}]}`:           "expected reports",
		`{"schema":1,"diffs":[]}`:                                      "is a diff",
		`{"schema":1,"checks":[]}x`:                                    "line 1: invalid character",
	} {
		b, err := gate.ReadBaseline(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, error %v, want %s", text, b, err, want)
		}
	}
}

// FuzzBaseline: any text is an error in one line, or a baseline of reports.
func FuzzBaseline(f *testing.F) {
	f.Add(`{"schema":1,"checks":[{"check":"t","findings":[{"id":"A-B","status":"fail","fingerprint":"0123456789abcdef01234567"}]}]}`)
	f.Add(`{"schema":1,"reports":[{"schema":1,"checks":[]}]}`)
	f.Add("{\"schema\":1,\"diffs\":[]}\n{}")
	f.Fuzz(func(t *testing.T, text string) {
		b, err := gate.ReadBaseline(strings.NewReader(text))
		if err == nil {
			if b.Reports == 0 {
				t.Error("taken without a report")
			}
			b.Mark([]*diag.Report{report("a.example", finding(bad, "a.example"))})
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("error of two lines: %v", err)
		}
	})
}
