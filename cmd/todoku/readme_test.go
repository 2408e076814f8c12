package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/checks"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/i18n"
)

var checksTable = regexp.MustCompile("(?s)(<!-- checks: written by `make golden` -->\n).*?(<!-- /checks -->)")

// The README's table of checks says what `todoku list` knows. `make golden`
// writes it anew.
func TestReadmeListsTheChecks(t *testing.T) {
	cat, err := i18n.Load(checks.All, "en")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| check | what it looks at | findings that fail, warn |\n|---|---|---|\n")
	for _, c := range checks.All {
		n := map[diag.Status]int{}
		for _, k := range c.Kinds {
			n[k.Status]++
		}
		fmt.Fprintf(&b, "| `%s` | %s | %d, %d |\n", c.Name, cat.Check(c.Name).Intro, n[diag.Fail], n[diag.Warn])
	}
	path := filepath.Join("..", "..", "README.md")
	readme, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !checksTable.Match(readme) {
		t.Fatal("README.md has no table of checks")
	}
	want := checksTable.ReplaceAllString(string(readme), "${1}"+strings.ReplaceAll(b.String(), "$", "$$")+"${2}")
	if want == string(readme) {
		return
	}
	if os.Getenv("UPDATE") == "" {
		t.Fatal("README.md lists other checks than `todoku list`; make golden writes it anew")
	}
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// demoParts are the parts of the demo's report that the README shows: the
// paragraphs that begin so.
var demoParts = []string{"\n  IP ", "FAIL  Mail from", "FAIL  The SPF record of shop.example needs", "WARN  203.0.113.25 is on the blocklist"}

// The screen in the README is what the demo prints. `make golden` writes it anew.
func TestReadmeShowsTheDemo(t *testing.T) {
	path := filepath.Join("..", "..", "README.md")
	readme, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	demo, err := os.ReadFile(filepath.Join("..", "..", "testdata", "golden", "demo.en.txt"))
	if err != nil {
		t.Fatal(err)
	}
	const first = "```\nshop.example\n"
	before, after, ok := strings.Cut(string(readme), first)
	if !ok {
		t.Fatal("README.md shows no report of shop.example")
	}
	_, after, _ = strings.Cut(after, "```")
	var b strings.Builder
	for i, begin := range demoParts {
		_, part, ok := strings.Cut(string(demo), begin)
		if !ok {
			t.Fatalf("the demo has no paragraph that begins with %q", begin)
		}
		part, _, _ = strings.Cut(part, "\n\n")
		b.WriteString(begin + part + "\n")
		if i > 0 {
			b.WriteString("\n…\n")
		}
		if i < len(demoParts)-1 {
			b.WriteString("\n")
		}
	}
	want := before + first + b.String() + "```" + after
	if want == string(readme) {
		return
	}
	if os.Getenv("UPDATE") == "" {
		t.Fatal("README.md shows another report than the demo prints; make golden writes it anew")
	}
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
