package engine

import (
	"context"
	"slices"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/zone"
)

// Bounds of a plan. A real report has a handful of faults; a hostile record can
// have thousands.
const (
	MaxSteps     = 40  // fixes that are made together
	MaxPlanTries = 400 // runs of every check
)

// Plan chooses among the fixes of a report a set that can be made together.
//
// Fixes are proposed one by one, and two of them may change the same record, or
// be alternatives for one finding, so they cannot simply be put together. Plan
// takes the worst finding that has a verified fix, makes the first such fix, runs
// all checks, and goes on from what they say then, until no verified fix is left.
// Each fix is tried together with those before it, under the rules of [Verify],
// so what is returned was tried as the one set that it is.
//
// r is the report that the plan starts from; what it says about verification is
// found out anew. When ctx ends, what was found up to then is the plan.
func Plan(ctx context.Context, c Config, r *diag.Report) *diag.Plan {
	p := &diag.Plan{Target: r.Target, Before: r, After: r}
	shown := map[string]bool{}
	for _, ch := range c.Checks {
		shown[ch.Name] = true
	}
	// What people have accepted is not mended.
	waived := map[string]*diag.Waiver{}
	for i := range r.Checks {
		for j := range r.Checks[i].Findings {
			if f := &r.Checks[i].Findings[j]; f.Waived != nil {
				waived[f.Fingerprint()] = f.Waived
			}
		}
	}
	weighs := func(f *diag.Finding) bool {
		return (f.Kind.Status == diag.Fail || f.Kind.Status == diag.Warn) && waived[f.Fingerprint()] == nil
	}
	// Compared is what the checks say, before anybody weighs it: a run of our own.
	c.Checks = slices.Concat(c.Checks, c.Others)
	tr := &trial{c: c, left: MaxPlanTries}
	now := Run(ctx, c, r.Target)
	tr.from(now)
	tried := map[string][]diag.Fix{} // by fingerprint, over the edits made so far
	for len(p.Steps) < MaxSteps {
		step, after := next(ctx, tr, now, func(c *diag.CheckReport, f *diag.Finding) bool { return shown[c.Check.Name] && weighs(f) }, tried)
		if step == nil {
			break
		}
		all, err := zone.Compose(tr.made, step.Edits)
		if err != nil {
			break // try would have said so
		}
		still := map[string]bool{}
		for i := range after.Checks {
			for j := range after.Checks[i].Findings {
				still[after.Checks[i].Findings[j].Fingerprint()] = true
			}
		}
		for i := range now.Checks {
			cr := &now.Checks[i]
			for j := range cr.Findings {
				f := &cr.Findings[j]
				fp := f.Fingerprint()
				if shown[cr.Check.Name] && weighs(f) && !still[fp] && fp != step.Finding.Fingerprint() {
					step.Gone = append(step.Gone, *f)
				}
			}
		}
		p.Steps = append(p.Steps, *step)
		tr.made, p.Edits = all, all
		tr.from(after)
		now = after
		clear(tried)
	}
	p.More = len(p.Steps) == MaxSteps || tr.left < 0 || ctx.Err() != nil
	if len(p.Steps) > 0 {
		p.After = marked(now, r, shown, waived)
	}
	for i := range p.After.Checks {
		cr := &p.After.Checks[i]
		for j := range cr.Findings {
			if f := &cr.Findings[j]; weighs(f) && cr.Check.Run != nil {
				p.Left = append(p.Left, diag.Left{Check: cr.Check, Finding: *f, Tried: tried[f.Fingerprint()]})
			}
		}
	}
	return p
}

// marked is now as before would show it: without the checks that are not shown,
// with what is waived, and with the checks that review the others as they were.
func marked(now, before *diag.Report, shown map[string]bool, waived map[string]*diag.Waiver) *diag.Report {
	out := *now
	out.Checks = nil
	for _, cr := range now.Checks {
		if !shown[cr.Check.Name] {
			continue
		}
		cr.Findings = slices.Clone(cr.Findings)
		for j := range cr.Findings {
			cr.Findings[j].Waived = waived[cr.Findings[j].Fingerprint()]
		}
		cr.Weigh()
		out.Checks = append(out.Checks, cr)
	}
	for _, cr := range before.Checks {
		if cr.Check.Run == nil {
			out.Checks = append(out.Checks, cr)
		}
	}
	return &out
}

// next finds the next fix to make, worst findings first. tried gets the fixes
// that cannot be made.
func next(ctx context.Context, tr *trial, now *diag.Report, concerns func(*diag.CheckReport, *diag.Finding) bool, tried map[string][]diag.Fix) (*diag.Step, *diag.Report) {
	for _, status := range []diag.Status{diag.Fail, diag.Warn} {
		for i := range now.Checks {
			cr := &now.Checks[i]
			for j := range cr.Findings {
				f := &cr.Findings[j]
				if f.Kind.Status != status || !concerns(cr, f) {
					continue
				}
				var step *diag.Step
				var result *diag.Report
				for _, x := range f.Fixes {
					after, why := tr.try(ctx, f, x.Edits)
					x.Verified, x.Unverified = len(why) == 0, why
					switch {
					case !x.Verified:
						tried[f.Fingerprint()] = append(tried[f.Fingerprint()], x)
					case step == nil:
						step, result = &diag.Step{Check: cr.Check, Finding: *f, Edits: x.Edits}, after
					case !slices.Equal(step.Edits, x.Edits) && !slices.ContainsFunc(step.Others, func(o diag.Fix) bool { return slices.Equal(o.Edits, x.Edits) }):
						step.Others = append(step.Others, x)
					}
				}
				if step != nil {
					step.Finding.Fixes = nil
					return step, result
				}
			}
		}
	}
	return nil, nil
}
