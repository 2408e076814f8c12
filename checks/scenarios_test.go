package checks_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/todoku-mail/todoku/checks"
	"github.com/todoku-mail/todoku/pkg/checktest"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/render"
	"github.com/todoku-mail/todoku/pkg/zone"
)

// The situations that people come with, through every check at once: what is
// found, and the report in both languages, to be read as a person would.
// -update writes them anew.
func TestScenarios(t *testing.T) {
	dir := filepath.Join("..", "testdata", "scenarios")
	root, err := zone.Open(filepath.Join(dir, "root.zone") + "@.")
	if err != nil {
		t.Fatal(err)
	}
	paths := checktest.Files(t, dir)
	if len(paths) < 11 {
		t.Fatalf("%d scenarios, expected 11 at least", len(paths))
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".txtar")
		t.Run(name, func(t *testing.T) {
			f, err := checktest.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			f.Zones = append(f.Zones, root)
			rep, _ := f.Report(t, checks.All...)
			rep.Duration, rep.Server = time.Second, "192.0.2.53:53"
			var found []string
			for i := range rep.Checks {
				cr := &rep.Checks[i]
				cr.Duration = 0
				if cr.Panic != "" {
					t.Fatalf("the check %s crashed: %s", cr.Check.Name, cr.Panic)
				}
				for j := range cr.Findings {
					found = append(found, checktest.Line(&cr.Findings[j]))
				}
			}
			golden(t, filepath.Join(dir, name+".findings"), strings.Join(found, "\n")+"\n")
			for _, lang := range i18n.Languages {
				cat, err := i18n.Load(checks.All, lang)
				if err != nil {
					t.Fatal(err)
				}
				var b bytes.Buffer
				if err := render.Text(&b, rep, cat, render.Options{Width: 80}); err != nil {
					t.Fatal(err)
				}
				golden(t, filepath.Join(dir, name+"."+lang+".txt"), b.String())
			}
		})
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s differs; make golden writes it anew (-want +got):\n%s", path, d)
	}
}
