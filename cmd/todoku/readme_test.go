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

// The screen in the README is what the demo prints.
func TestReadmeShowsTheDemo(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	demo, err := os.ReadFile(filepath.Join("..", "..", "testdata", "golden", "demo.en.txt"))
	if err != nil {
		t.Fatal(err)
	}
	_, screen, ok := strings.Cut(string(readme), "```\nshop.example\n")
	if !ok {
		t.Fatal("README.md shows no report of shop.example")
	}
	screen, _, _ = strings.Cut(screen, "```")
	shown := 0
	for _, part := range strings.Split(screen, "\n…\n") {
		if part = strings.Trim(part, "\n"); strings.Contains(part, "DNS questions") {
			continue // the last line, with the time it took
		}
		if !strings.Contains(string(demo), part) {
			t.Errorf("the demo does not print this part of README.md:\n%s", part)
		}
		shown++
	}
	if shown < 3 {
		t.Errorf("%d parts of the report are shown, expected 3 at least", shown)
	}
}
