package checks_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/pkg/checktest"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/engine"
	"github.com/todoku-mail/todoku/pkg/zone"
)

// For every fixture: the plan of all fixes that can be made together, written
// into the text of the zone files and run again with every check, has mended
// what it says, spoiled nothing, and leaves what it says is left.
func TestPlansWrittenIntoTheFiles(t *testing.T) {
	plans, steps, joint := 0, 0, 0
	for _, c := range judging() {
		for _, path := range checktest.Files(t, filepath.Join(c.Name, "testdata")) {
			f, err := checktest.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			f.AnswerOutside = true
			rep, cfg := f.Report(t, judging()...)
			p := engine.Plan(t.Context(), cfg, rep)
			if len(p.Steps) == 0 {
				continue
			}
			plans, steps = plans+1, steps+len(p.Steps)
			if len(p.Steps) > 1 {
				joint++
			}
			after, err := f.Edited(p.Edits)
			if err != nil {
				// Names outside the fixture's zones are answered here for the
				// checks that it was not made for, but stand in no file.
				if outside(f, p.Edits) {
					continue
				}
				t.Errorf("%s: %v", path, err)
				continue
			}
			r, err := after.Resolver(nil)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Resolver = dnsq.NewCache(t.Context(), r)
			again := engine.Run(t.Context(), cfg, after.Target)
			before, now := prints(rep), prints(again)
			for _, s := range p.Steps {
				if now[s.Finding.Fingerprint()] != nil {
					t.Errorf("%s: %s is still there after\n%s", path, s.Finding.Kind.ID, strings.Join(checktest.EditLines(p.Edits), "\n"))
				}
			}
			for fp, g := range now {
				if before[fp] == nil && g.Kind.Status == diag.Fail {
					t.Errorf("%s: %s came with\n%s", path, g.Kind.ID, strings.Join(checktest.EditLines(p.Edits), "\n"))
				}
			}
			left := map[string]bool{}
			for _, l := range p.Left {
				fp := l.Finding.Fingerprint()
				left[fp] = true
				if now[fp] == nil {
					t.Errorf("%s: %s is said to be left, and is not there", path, l.Finding.Kind.ID)
				}
			}
			for fp, g := range now {
				if s := g.Kind.Status; (s == diag.Fail || s == diag.Warn) && !left[fp] {
					t.Errorf("%s: %s is there and not said to be left", path, g.Kind.ID)
				}
			}
		}
	}
	if plans < 60 || joint < 20 {
		t.Errorf("only %d plans, %d of several steps: the test has lost its subject", plans, joint)
	}
	t.Logf("%d plans, %d steps, %d plans of several steps", plans, steps, joint)
}

func outside(f *checktest.Fixture, edits []diag.Edit) bool {
	return slices.ContainsFunc(edits, func(e diag.Edit) bool {
		return !slices.ContainsFunc(f.Zones, func(z *zone.Zone) bool { return dnsq.AtOrBelow(dnsq.CanonicalName(e.Name), z.Origin) })
	})
}

func prints(r *diag.Report) map[string]*diag.Finding {
	out := map[string]*diag.Finding{}
	for i := range r.Checks {
		for j := range r.Checks[i].Findings {
			f := &r.Checks[i].Findings[j]
			out[f.Fingerprint()] = f
		}
	}
	return out
}
