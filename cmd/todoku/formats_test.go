package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"testing"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/net/html"

	"github.com/todoku-mail/todoku/checks"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/render"
)

// Every finding that the real checks can make, in every format and language:
// SARIF keeps to the schema of the standard with their real texts, and to what
// GitHub shows of a rule.
func TestEveryFindingInEveryFormat(t *testing.T) {
	r := &diag.Report{Target: diag.Target{Domain: "shop.example"}}
	n := 0
	for _, c := range checks.All {
		cr := diag.CheckReport{Check: c}
		for _, k := range c.Kinds {
			cr.Findings = append(cr.Findings, diag.Finding{Kind: k, Subject: "shop.example"})
			if k.Status > diag.Pass {
				n++
			}
		}
		cr.Weigh()
		r.Checks = append(r.Checks, cr)
	}
	run := &diag.Run{Version: version, Reports: []*diag.Report{r}}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile("../../pkg/render/testdata/sarif/sarif-schema-2.1.0.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range languages {
		cat, err := i18n.Load(checks.All, lang)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range render.Formats {
			var b bytes.Buffer
			if err := f.Write(&b, run, cat, render.Options{}); err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			switch f.Name {
			case "json", "ndjson":
				if !json.Valid(b.Bytes()) {
					t.Errorf("%s is no JSON", f.Name)
				}
			case "junit":
				if err := xml.Unmarshal(b.Bytes(), new(struct{})); err != nil {
					t.Error(err)
				}
			case "html":
				if _, err := html.Parse(&b); err != nil {
					t.Error(err)
				}
			case "sarif":
				v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b.Bytes()))
				if err != nil {
					t.Fatal(err)
				}
				if err := schema.Validate(v); err != nil {
					t.Error(err)
				}
				type text struct{ Text, Markdown string }
				var log struct {
					Runs []struct {
						Tool struct {
							Driver struct {
								Rules []struct {
									ID               string
									ShortDescription text
									FullDescription  *text
									Help             text
									HelpURI          string
								}
							}
						}
						Results []struct{ RuleID string }
					}
				}
				if err := json.Unmarshal(b.Bytes(), &log); err != nil {
					t.Fatal(err)
				}
				rules := log.Runs[0].Tool.Driver.Rules
				if len(rules) != n || len(log.Runs[0].Results) != n {
					t.Errorf("%d rules and %d results, expected %d", len(rules), len(log.Runs[0].Results), n)
				}
				for _, r := range rules {
					// GitHub takes 1,024 characters of each description.
					for _, d := range []*text{&r.ShortDescription, r.FullDescription} {
						if d != nil && (d.Text == "" || utf8.RuneCountInString(d.Text) > 1024) {
							t.Errorf("%s, %s: a description of %d characters", lang, r.ID, utf8.RuneCountInString(d.Text))
						}
					}
					if r.Help.Text == "" || r.Help.Markdown == "" || r.HelpURI == "" {
						t.Errorf("%s, %s: no help", lang, r.ID)
					}
				}
			}
		}
	}
}
