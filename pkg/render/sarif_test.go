package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

var sarifOnce = sync.OnceValues(func() (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	return c.Compile("testdata/sarif/sarif-schema-2.1.0.json")
})

// validSARIF holds a file against the schema of the standard, and against what
// GitHub demands beyond it.
func validSARIF(t testing.TB, _ *diag.Run, b []byte) sarifLog {
	t.Helper()
	s, err := sarifOnce()
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(v); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	var log sarifLog
	if err := json.Unmarshal(b, &log); err != nil {
		t.Fatal(err)
	}
	for _, run := range log.Runs {
		rules := run.Tool.Driver.Rules
		for i, r := range rules {
			if len(r.Properties.Tags) > 10 {
				t.Errorf("rule %s has %d tags, of which GitHub shows 10", r.ID, len(r.Properties.Tags))
			}
			if slices.IndexFunc(rules, func(o sarifRule) bool { return o.ID == r.ID }) != i {
				t.Errorf("rule %s is there twice", r.ID)
			}
			if r.Name == r.ID {
				t.Errorf("rule %s has its ID for a name (§3.49.7)", r.ID)
			}
		}
		for _, r := range run.Results {
			if r.RuleIndex < 0 || r.RuleIndex >= len(rules) || rules[r.RuleIndex].ID != r.RuleID {
				t.Fatalf("%s: rule index %d is another rule", r.RuleID, r.RuleIndex)
			}
			if r.Kind != "" && r.Kind != "fail" && r.Level != "none" {
				t.Errorf("%s: kind %s with level %s (§3.27.10)", r.RuleID, r.Kind, r.Level)
			}
			if len(r.Locations) != 1 {
				t.Fatalf("%s: %d locations", r.RuleID, len(r.Locations))
			}
			for _, l := range append(slices.Clone(r.Locations), r.Related...) {
				p := l.Physical
				u, err := url.Parse(p.Artifact.URI)
				if err != nil || u.IsAbs() || u.Host != "" || u.Path == "" || strings.HasPrefix(u.Path, "/") || strings.Contains("/"+u.Path+"/", "/../") || p.Artifact.Base != srcRoot || p.Region.StartLine < 1 {
					t.Errorf("%s: location %+v is none in the repository: %v", r.RuleID, p, err)
				}
			}
			if r.Fingerprints["todoku/v1"] == "" || r.Fingerprints["primaryLocationLineHash"] == "" {
				t.Errorf("%s: fingerprints %v", r.RuleID, r.Fingerprints)
			}
			if strings.Contains(r.Message.Text, "](") {
				t.Errorf("%s: a link in %q", r.RuleID, r.Message.Text)
			}
		}
	}
	return log
}

func TestSARIFSchema(t *testing.T) {
	crash := sampleRun()
	crash.Reports[0].Checks[0].Panic = "boom\nstack"
	for name, r := range map[string]*diag.Run{"run": sampleRun(), "diff": sampleChange(), "empty": {}, "crash": crash} {
		log := validSARIF(t, r, machine(t, "sarif", r, "en", Options{}))
		if got := log.Runs[0].Invocations[0].Successful; got == (name == "crash") {
			t.Errorf("%s: executionSuccessful is %v", name, got)
		}
	}
	// The schema is not one that lets everything through.
	good := string(machine(t, "sarif", sampleRun(), "en", Options{}))
	s, _ := sarifOnce()
	for _, c := range []struct{ old, new string }{
		{`"version": "2.1.0"`, `"version": "2.2"`}, {`"level": "error"`, `"level": "fatal"`},
		{`"ruleId"`, `"rule_id"`}, {`"startLine": 12`, `"startLine": 0`}, {`"kind": "external"`, `"kind": "other"`},
		{`"helpUri": "https:`, `"helpUri": "ht tp:`},
	} {
		bad := strings.Replace(good, c.old, c.new, 1)
		if bad == good {
			t.Fatalf("%s is not in the file", c.old)
		}
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(bad))
		if err != nil {
			t.Fatal(err)
		}
		if s.Validate(v) == nil {
			t.Errorf("the schema accepts %s", c.new)
		}
	}
}

func results(t *testing.T, r *diag.Run, o Options) map[string]sarifResult {
	t.Helper()
	out := map[string]sarifResult{}
	for _, res := range validSARIF(t, r, machine(t, "sarif", r, "en", o)).Runs[0].Results {
		out[res.RuleID] = res
	}
	return out
}

// What each finding is for those who read SARIF.
func TestSARIFResults(t *testing.T) {
	got := results(t, sampleRun(), Options{})
	for _, c := range []struct{ id, kind, level, baseline, uri string }{
		{"SPF-IP-NOT-AUTHORIZED", "", "error", "new", "zones/shop.zone"},     // the record's line
		{"SPF-NEAR-LOOKUP-LIMIT", "", "warning", "unchanged", "todoku.yaml"}, // the line that names the target
		{"SPF-SYNTAX", "", "note", "new", "todoku.yaml"},                     // accepted
		{"SPF-OBSOLETE-TYPE", "", "note", "new", "todoku.yaml"},
		{"PTR-UNDETERMINED", "open", "none", "new", "todoku.yaml"},
		{"PTR-MISSING", "", "error", "new", "dns/news.example"}, // the live DNS
	} {
		r, ok := got[c.id]
		if !ok {
			t.Errorf("%s is no result", c.id)
			continue
		}
		if uri := r.Locations[0].Physical.Artifact.URI; r.Kind != c.kind || r.Level != c.level || r.Baseline != c.baseline || uri != c.uri {
			t.Errorf("%s: kind %q, level %q, baseline %q at %q; want %+v", c.id, r.Kind, r.Level, r.Baseline, uri, c)
		}
		if (len(r.Suppressions) > 0) != (c.id == "SPF-SYNTAX") {
			t.Errorf("%s: suppressions %v", c.id, r.Suppressions)
		}
	}
	if len(got) != 6 {
		t.Errorf("%d results: what is good is an alert at GitHub", len(got))
	}
	if s := got["SPF-SYNTAX"]; !strings.Contains(s.Message.Text, "the old shop closes in spring") || s.Suppressions[0].Justification == "" {
		t.Errorf("the reason of the waiver is not said: %+v", s)
	}
}

func TestSARIFDiff(t *testing.T) {
	r := sampleChange()
	log := validSARIF(t, r, machine(t, "sarif", r, "en", Options{}))
	got := map[string]string{}
	for _, res := range log.Runs[0].Results {
		got[res.RuleID] = res.Baseline + " " + res.Kind + " " + res.Level
	}
	want := map[string]string{
		"SPF-IP-NOT-AUTHORIZED": "new  error",
		"SPF-NEAR-LOOKUP-LIMIT": "unchanged  warning",
		"SPF-OBSOLETE-TYPE":     "new  note",
		"PTR-UNDETERMINED":      "new open none",
		"PTR-MISSING":           " open none", // neither there nor gone
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("results %v\nwant    %v", got, want)
	}
	// What is fixed is no result: GitHub would show it as a fault.
	if p := log.Runs[0].Properties; p == nil || len(p.Fixed) != 1 || p.Fixed[0].RuleID != "SPF-SYNTAX" {
		t.Errorf("fixed: %+v", p)
	}
}

// Paths are from the repository's folder, encoded, and ASCII.
func TestSARIFPaths(t *testing.T) {
	for name, want := range map[string]string{
		"zones/店 1.zone":    "zones/%E5%BA%97%201.zone",
		"a:b.zone":          "./a:b.zone",
		"x\xff?#%.zone":     "x%FF%3F%23%25.zone",
		"/repo/z/a.zone":    "z/a.zone",
		"../../../b/a.zone": "b/a.zone",
	} {
		r := sampleChange()
		r.Diffs[0].Pairs[0].New.Evidence[0].File = name
		got := results(t, r, Options{Dir: "/repo", Root: "/repo"})["SPF-IP-NOT-AUTHORIZED"]
		if uri := got.Locations[0].Physical.Artifact.URI; uri != want {
			t.Errorf("%q is %q, want %q", name, uri, want)
		}
	}
}

// GitHub refuses a file with more results than it takes: the worst are kept, and
// it is said.
func TestSARIFLimit(t *testing.T) {
	r := &diag.Run{}
	for i := range 3 {
		rep := &diag.Report{Target: diag.Target{Domain: fmt.Sprintf("d%d.example", i)}, Checks: []diag.CheckReport{{Check: alpha}}}
		for range 10000 {
			rep.Checks[0].Findings = append(rep.Checks[0].Findings, diag.Finding{Kind: kOld, Subject: "x"})
		}
		r.Reports = append(r.Reports, rep)
	}
	last := r.Reports[2].Checks[0].Findings
	last[len(last)-1].Kind = kNotAuth
	var log sarifLog
	if err := json.Unmarshal(machine(t, "sarif", r, "en", Options{}), &log); err != nil {
		t.Fatal(err)
	}
	run := log.Runs[0]
	if len(run.Results) != sarifResults || run.Results[0].RuleID != "SPF-IP-NOT-AUTHORIZED" {
		t.Errorf("%d results, the first %s", len(run.Results), run.Results[0].RuleID)
	}
	if n := run.Invocations[0].Notifications; len(n) != 1 || !strings.Contains(n[0].Message.Text, "5000 more") {
		t.Errorf("notifications %+v", n)
	}
}

// A finding keeps its fingerprints while its record is edited and stays wrong.
func TestSARIFFingerprint(t *testing.T) {
	a := sampleChange()
	b := sampleChange()
	e := &b.Diffs[0].Pairs[0].New.Evidence[0]
	e.Text, e.Line, e.Source = e.Text+" ", 99, dnsq.SourceDNS
	const id = "SPF-IP-NOT-AUTHORIZED"
	x, y := results(t, a, Options{})[id].Fingerprints, results(t, b, Options{})[id].Fingerprints
	if fmt.Sprint(x) != fmt.Sprint(y) {
		t.Errorf("%v, after an edit %v", x, y)
	}
}
