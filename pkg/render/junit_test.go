package render

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
)

// junitSchema is what the schema of Jenkins (jenkins-junit.xsd) lets stand where,
// as far as todoku needs it: the attributes of each element, those that must be
// there marked, and its children.
var junitSchema = map[string]struct {
	attrs    map[string]string // pattern; "!" before it: must be there
	children []string
}{
	"testsuites": {map[string]string{"name": "", "time": decimal, "tests": number, "failures": number, "errors": number}, []string{"testsuite"}},
	"testsuite": {map[string]string{"name": "!", "tests": "!" + number, "failures": number, "errors": number, "skipped": number, "time": decimal,
		"timestamp": `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$`}, []string{"testcase"}},
	"testcase":   {map[string]string{"name": "!", "classname": "!", "time": decimal}, []string{"skipped", "error", "failure", "system-out"}},
	"skipped":    {map[string]string{"message": ""}, nil},
	"error":      {map[string]string{"message": "", "type": ""}, nil},
	"failure":    {map[string]string{"message": "", "type": ""}, nil},
	"system-out": {nil, nil},
}

const (
	decimal = `^[0-9]+\.[0-9]{3}$`
	number  = `^[0-9]+$`
)

// validJUnit reads the document as Jenkins and GitLab do, and counts anew.
func validJUnit(t testing.TB, b []byte) junitSuites {
	t.Helper()
	if !bytes.HasPrefix(b, []byte(`<?xml version="1.0" encoding="UTF-8"?>`)) {
		t.Fatalf("no XML declaration: %.60q", b)
	}
	var open []string
	for d := xml.NewDecoder(bytes.NewReader(b)); ; {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			name := tok.Name.Local
			s, ok := junitSchema[name]
			if !ok {
				t.Fatalf("<%s> is not in the schema", name)
			}
			if len(open) > 0 && !strings.Contains(" "+strings.Join(junitSchema[open[len(open)-1]].children, " ")+" ", " "+name+" ") {
				t.Fatalf("<%s> in <%s>", name, open[len(open)-1])
			}
			has := map[string]bool{}
			for _, a := range tok.Attr {
				p, ok := s.attrs[a.Name.Local]
				if !ok {
					t.Errorf("<%s> has the attribute %s", name, a.Name.Local)
				}
				if p = strings.TrimPrefix(p, "!"); p != "" && !regexp.MustCompile(p).MatchString(a.Value) {
					t.Errorf("<%s %s=%q>", name, a.Name.Local, a.Value)
				}
				has[a.Name.Local] = true
			}
			for a, p := range s.attrs {
				if strings.HasPrefix(p, "!") && !has[a] {
					t.Errorf("<%s> without %s", name, a)
				}
			}
			open = append(open, name)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			for _, r := range string(tok) {
				if r != '\n' && sanitize.Unsafe(r) {
					t.Errorf("U+%04X stands in the text", r)
				}
			}
		}
	}
	for _, l := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(strings.TrimSpace(l), "::") || strings.Contains(l, "##[") {
			t.Errorf("a GitHub runner takes this line for a command: %q", l)
		}
	}
	var all junitSuites
	if err := xml.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	tests, failures, errs := 0, 0, 0
	for _, s := range all.Suites {
		var f, e, k int
		for _, c := range s.Cases {
			n := 0
			if c.Failure != nil {
				f, n = f+1, n+1
			}
			if c.Error != nil {
				e, n = e+1, n+1
			}
			if c.Skipped != nil {
				k, n = k+1, n+1
			}
			if n > 1 {
				t.Errorf("%s has %d outcomes; Jenkins keeps one", c.Name, n)
			}
		}
		if s.Tests != len(s.Cases) || s.Failures != f || s.Errors != e || s.Skipped != k {
			t.Errorf("suite %s counts %d, %d, %d, %d of %d, %d, %d, %d", s.Name, s.Tests, s.Failures, s.Errors, s.Skipped, len(s.Cases), f, e, k)
		}
		tests, failures, errs = tests+len(s.Cases), failures+f, errs+e
	}
	if all.Tests != tests || all.Failures != failures || all.Errors != errs {
		t.Errorf("the whole counts %d, %d, %d of %d, %d, %d", all.Tests, all.Failures, all.Errors, tests, failures, errs)
	}
	return all
}

// outcomes are each case with what became of it and why.
func outcomes(t testing.TB, r *diag.Run, o Options) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, s := range validJUnit(t, machine(t, "junit", r, "en", o)).Suites {
		for _, c := range s.Cases {
			switch {
			case c.Failure != nil:
				out[c.Name] = "failure " + c.Failure.Type
			case c.Error != nil:
				out[c.Name] = "error " + c.Error.Type
			case c.Skipped != nil:
				out[c.Name] = "skipped " + c.Skipped.Message
			default:
				out[c.Name] = "passed"
			}
		}
	}
	return out
}

func only(c *diag.Check, fs ...diag.Finding) *diag.Run {
	rep := &diag.Report{Target: diag.Target{Domain: "shop.example"}, Checks: []diag.CheckReport{{Check: c, Findings: fs}}}
	rep.Checks[0].Weigh()
	return &diag.Run{Reports: []*diag.Report{rep}}
}

func TestJUnitOutcomes(t *testing.T) {
	waived := &diag.Waiver{Reason: "closes in spring"}
	crashed := only(alpha)
	crashed.Reports[0].Checks[0].Panic = "boom\n\tgoroutine 1"
	harmless := &diag.Kind{ID: "X-REFUSED", Status: diag.Inconclusive, Harmless: true}
	warn := Options{FailOn: func(*diag.Target) diag.Status { return diag.Warn }}
	for _, c := range []struct {
		why  string
		r    *diag.Run
		o    Options
		want string
	}{
		{"a fault", only(alpha, diag.Finding{Kind: kOK}, diag.Finding{Kind: kSyntax}), Options{}, "failure SPF-SYNTAX"},
		{"a fault hides what is unknown", only(alpha, diag.Finding{Kind: kUndet}, diag.Finding{Kind: kSyntax}), Options{}, "failure SPF-SYNTAX"},
		{"a warning is no failure", only(alpha, diag.Finding{Kind: kNear}), Options{}, "passed"},
		{"unless it is asked for", only(alpha, diag.Finding{Kind: kNear}), warn, "failure SPF-NEAR-LOOKUP-LIMIT"},
		{"not found out is an error, not a failure", only(alpha, diag.Finding{Kind: kUndet}), warn, "error SPF-UNDETERMINED"},
		{"not found out without harm", only(alpha, diag.Finding{Kind: harmless}), warn, "passed"},
		{"not looked at", only(alpha, diag.Finding{Kind: kSkip}), Options{}, "skipped No sending address was given, so SPF was not evaluated for one: give it with --ip."},
		{"nothing found", only(alpha), Options{}, "skipped "},
		{"accepted", only(alpha, diag.Finding{Kind: kSyntax, Waived: waived}, diag.Finding{Kind: kOK}), Options{}, "skipped accepted until 0001-01-01: closes in spring"},
		{"accepted, and another", only(alpha, diag.Finding{Kind: kSyntax, Waived: waived}, diag.Finding{Kind: kNotAuth}), Options{}, "failure SPF-IP-NOT-AUTHORIZED"},
		{"known", only(alpha, diag.Finding{Kind: kSyntax, Known: true}), Options{}, "skipped known: the baseline has it"},
		{"todoku failed", crashed, Options{}, "error crash"},
	} {
		if got := outcomes(t, c.r, c.o)["spf shop.example"]; got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
	// Each target has its own threshold.
	strict := Options{FailOn: func(t *diag.Target) diag.Status {
		if t.Domain == "strict.example" {
			return diag.Warn
		}
		return diag.Fail
	}}
	two := only(alpha, diag.Finding{Kind: kNear})
	two.Reports = append(two.Reports, only(alpha, diag.Finding{Kind: kNear}).Reports...)
	two.Reports[1].Target.Domain = "strict.example"
	if got := fmt.Sprint(outcomes(t, two, strict)); got != "map[spf shop.example:passed spf strict.example:failure SPF-NEAR-LOOKUP-LIMIT]" {
		t.Error(got)
	}
	// Of a diff only what it brings fails.
	got := fmt.Sprint(outcomes(t, sampleChange(), Options{}))
	if want := "map[ptr shop.example:error PTR-UNDETERMINED spf shop.example:failure SPF-IP-NOT-AUTHORIZED]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	c := sampleChange()
	c.Diffs[0].Pairs[0].Change = diag.Unchanged
	if got := outcomes(t, c, Options{})["spf shop.example"]; got != "passed" {
		t.Errorf("a fault that was there before: %s", got)
	}
}

// Names do not depend on the language.
func TestJUnitNames(t *testing.T) {
	names := func(lang string) (out []string) {
		for _, s := range validJUnit(t, machine(t, "junit", sampleRun(), lang, Options{})).Suites {
			for _, c := range s.Cases {
				out = append(out, c.Class+" "+c.Name)
			}
		}
		return out
	}
	if en, ja := names("en"), names("ja"); fmt.Sprint(en) != fmt.Sprint(ja) || len(en) != 3 {
		t.Errorf("%s\n%s", en, ja)
	}
}

func TestJUnitText(t *testing.T) {
	s := validJUnit(t, machine(t, "junit", sampleRun(), "en", Options{})).Suites[0].Cases[0]
	for _, want := range []string{"[SPF-IP-NOT-AUTHORIZED]", "^^^^", "+ xn--r8jz45g.jp. TXT", "DNS administrator:"} {
		if !strings.Contains(s.Failure.Text, want) {
			t.Errorf("the failure does not say %s:\n%s", want, s.Failure.Text)
		}
	}
	if !strings.Contains(s.Out, "Waived   FAIL until 2027-04-01") || strings.Contains(s.Failure.Text, "SPF-OK") {
		t.Errorf("what passes or is accepted is not in the output: %s", s.Out)
	}
	if _, err := strconv.ParseFloat(s.Time, 64); err != nil {
		t.Error(err)
	}
}
