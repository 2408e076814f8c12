package engine_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/engine"
)

var (
	noA = &diag.Kind{ID: "T-NO-A", Status: diag.Fail}
	noB = &diag.Kind{ID: "T-NO-B", Status: diag.Fail}
	few = &diag.Kind{ID: "T-FEW", Status: diag.Warn}
	two = &diag.Kind{ID: "T-BOTH-C-AND-D", Status: diag.Fail}
)

// words wants the words a and b in the record of shop.example, three of them, and
// not both c and d. Each fix alone is right; those for a and b change one record,
// and those for few are c or d.
func words(name string, kinds ...*diag.Kind) *diag.Check {
	ch := check(name, func(ctx context.Context, j *diag.Job) error {
		a, err := j.Ask(ctx, dnsq.Q("shop.example", dnsq.TypeTXT))
		if err != nil {
			return err
		}
		old := ""
		if len(a.RRs) > 0 {
			old = a.RRs[0].Text()
		}
		has := strings.Fields(old)
		add := func(w string) diag.Fix {
			return diag.Fix{Edits: []diag.Edit{{Name: "shop.example", Type: "TXT", Old: old, New: strings.TrimSpace(old + " " + w)}}}
		}
		report := func(k *diag.Kind, fixes ...diag.Fix) {
			if slices.Contains(kinds, k) {
				j.Report(diag.Finding{Kind: k, Subject: "shop.example", Fixes: fixes})
			}
		}
		if !slices.Contains(has, "a") {
			report(noA, add("a"))
		}
		if !slices.Contains(has, "b") {
			report(noB, add("wrong"), add("b"))
		}
		if len(has) < 3 {
			report(few, add("c"), add("d"))
		}
		if slices.Contains(has, "c") && slices.Contains(has, "d") {
			report(two)
		}
		j.Report(diag.Finding{Kind: good, Subject: "shop.example"})
		return nil
	})
	ch.Kinds = append(slices.Clone(kinds), good, unknown)
	return ch
}

func TestPlan(t *testing.T) {
	r, c := run(t, dns{"shop.example": "x"}, words("w", noA, noB, few, two))
	engine.Verify(t.Context(), c, r)
	p := engine.Plan(t.Context(), c, r)
	// One edit of the one record, not three that exclude each other; of the
	// alternatives one. The two faults come before the warning, which they mend.
	want := []diag.Edit{{Name: "shop.example", Type: "TXT", Old: "x", New: "x a b"}}
	if !slices.Equal(p.Edits, want) {
		t.Errorf("%+v", p.Edits)
	}
	if len(p.Steps) != 2 || p.Steps[0].Finding.Kind != noA || p.Steps[1].Finding.Kind != noB {
		t.Fatalf("%+v", p.Steps)
	}
	if g := p.Steps[1].Gone; len(g) != 1 || g[0].Kind != few {
		t.Errorf("gone with it: %+v", g)
	}
	if len(p.Left) != 0 || p.Before != r || p.After.Status() != diag.Pass {
		t.Errorf("left %+v, after %v", p.Left, p.After.Status())
	}

	// Alternatives are named, and what fails is not among them.
	r, c = run(t, dns{"shop.example": "a b"}, words("w", noA, noB, few, two))
	p = engine.Plan(t.Context(), c, r)
	if len(p.Steps) != 1 || len(p.Steps[0].Others) != 1 || p.Steps[0].Others[0].Edits[0].New != "a b d" || p.Edits[0].New != "a b c" {
		t.Errorf("%+v", p)
	}

	// Nothing to do.
	r, c = run(t, dns{"shop.example": "a b c"}, words("w", noA, noB, few, two))
	if p = engine.Plan(t.Context(), c, r); len(p.Edits)+len(p.Steps)+len(p.Left) != 0 || p.After != r {
		t.Errorf("%+v", p)
	}
}

// What spoils a check that is not shown is not verified, and what is waived is
// neither mended nor left.
func TestPlanMindsTheOthers(t *testing.T) {
	strict := check("strict", func(ctx context.Context, j *diag.Job) error {
		a, err := j.Ask(ctx, dnsq.Q("shop.example", dnsq.TypeTXT))
		if err != nil {
			return err
		}
		if strings.Contains(a.RRs[0].Text(), "c") {
			j.Report(diag.Finding{Kind: worse, Subject: "shop.example"})
		}
		j.Report(diag.Finding{Kind: good, Subject: "shop.example"})
		return nil
	})
	r, c := run(t, dns{"shop.example": "a b"}, words("w", noA, noB, few, two))
	c.Others = []*diag.Check{strict}
	engine.Verify(t.Context(), c, r)
	if f := r.Checks[0].Findings[0]; f.Kind != few || len(f.Fixes) != 1 || f.Fixes[0].Edits[0].New != "a b d" {
		t.Errorf("%+v", f)
	}
	p := engine.Plan(t.Context(), c, r)
	if len(p.Edits) != 1 || p.Edits[0].New != "a b d" || len(p.After.Checks) != 1 {
		t.Errorf("%+v", p)
	}

	r.Checks[0].Findings[0].Waived = &diag.Waiver{Reason: "meant", Expires: time.Now()}
	r.Checks[0].Weigh()
	if p = engine.Plan(t.Context(), c, r); len(p.Steps)+len(p.Left) != 0 {
		t.Errorf("%+v", p)
	}
	// With something to mend beside it, it stays waived.
	r, c = run(t, dns{"shop.example": "a"}, words("w", noA, noB, few, two))
	for i := range r.Checks[0].Findings {
		if f := &r.Checks[0].Findings[i]; f.Kind == noB {
			f.Waived = &diag.Waiver{Reason: "meant", Expires: time.Now()}
		}
	}
	p = engine.Plan(t.Context(), c, r)
	if p.After.Waived() != 1 || len(p.Left) != 1 || p.Left[0].Finding.Kind != few {
		t.Errorf("%+v", p)
	}
}

// A fix without end is given up, and what was found stays.
func TestPlanIsBounded(t *testing.T) {
	endless := check("endless", func(ctx context.Context, j *diag.Job) error {
		a, err := j.Ask(ctx, dnsq.Q("shop.example", dnsq.TypeTXT))
		if err != nil {
			return err
		}
		old := a.RRs[0].Text()
		j.Report(diag.Finding{Kind: bad, Subject: old, Fixes: []diag.Fix{edit("shop.example", old, old+"x")}})
		return nil
	})
	// Each fix brings the next fault: not verified, for that is worse.
	r, c := run(t, dns{"shop.example": "x"}, endless)
	if p := engine.Plan(t.Context(), c, r); len(p.Steps) != 0 || len(p.Left) != 1 || len(p.Left[0].Tried) != 1 || p.More {
		t.Errorf("%+v", p)
	}
	// A warning that comes to light is not worse: that goes on to the limit.
	endless.Run = func(ctx context.Context, j *diag.Job) error {
		a, err := j.Ask(ctx, dnsq.Q("shop.example", dnsq.TypeTXT))
		if err != nil {
			return err
		}
		old := a.RRs[0].Text()
		j.Report(diag.Finding{Kind: hint, Subject: old, Fixes: []diag.Fix{edit("shop.example", old, old+"x")}})
		return nil
	}
	r, c = run(t, dns{"shop.example": "x"}, endless)
	if p := engine.Plan(t.Context(), c, r); len(p.Steps) != engine.MaxSteps || len(p.Edits) != 1 || !p.More {
		t.Errorf("%d steps", len(p.Steps))
	}
	// Out of time: no fix is called tried.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if p := engine.Plan(ctx, c, r); len(p.Edits) != 0 || !p.More {
		t.Errorf("%+v", p)
	}
}
