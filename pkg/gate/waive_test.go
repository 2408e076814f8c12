package gate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/gate"
)

var now = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

func TestApply(t *testing.T) {
	later, today := now.AddDate(0, 1, 0), now.Truncate(24*time.Hour)
	by := func(id, subject string) diag.Waiver {
		return diag.Waiver{ID: id, Subject: subject, Reason: "x", Expires: later}
	}
	print := func(f diag.Finding, id string) diag.Waiver {
		return diag.Waiver{ID: id, Fingerprint: f.Fingerprint(), Reason: "x", Expires: later}
	}
	fp := func(k *diag.Kind) string { f := finding(k, "a.example"); return f.Fingerprint() }
	over := by("T-BAD", "a.example")
	over.Expires = today
	unknown := finding(open, "a.example")
	unknown.Unknown = []*dnsq.Error{{Question: dnsq.Q("a.example", dnsq.TypeMX), Reason: dnsq.Timeout}}
	noIP := finding(skipped, "a.example")
	noIP.Args["missing"] = "ip"
	noDomain := finding(skipped, "a.example")
	noDomain.Args["missing"] = "domain"
	for name, c := range map[string]struct {
		a, b    []diag.Finding // of the reports on a.example and b.example
		waivers []diag.Waiver
		part    bool     // not all targets were run
		waived  []string // "report ID subject"
		uses    []string // "report waiver: findings looked unknown"
	}{
		"covered": {a: []diag.Finding{finding(bad, "a.example"), finding(poor, "a.example")}, waivers: []diag.Waiver{by("T-BAD", "A.example.")},
			waived: []string{"a T-BAD a.example"}, uses: []string{"a T-BAD A.example.: 1 looked"}},
		"another subject": {a: []diag.Finding{finding(bad, "www.a.example")}, waivers: []diag.Waiver{by("T-BAD", "a.example")},
			uses: []string{"a T-BAD a.example: 0 looked"}},
		"in both reports": {a: []diag.Finding{finding(bad, "192.0.2.1")}, b: []diag.Finding{finding(bad, "192.0.2.1")}, waivers: []diag.Waiver{by("T-BAD", "192.0.2.1")},
			waived: []string{"a T-BAD 192.0.2.1", "b T-BAD 192.0.2.1"}, uses: []string{"a T-BAD 192.0.2.1: 2 looked"}},
		"told where it belongs": {waivers: []diag.Waiver{by("T-BAD", "mail.b.example")}, uses: []string{"b T-BAD mail.b.example: 0 looked"}},
		"fingerprint": {a: []diag.Finding{finding(bad, "a.example")}, waivers: []diag.Waiver{print(finding(bad, "a.example"), "")},
			waived: []string{"a T-BAD a.example"}, uses: []string{"a " + fp(bad) + ": 1 looked"}},
		"fingerprint of the open": {a: []diag.Finding{finding(open, "a.example")}, waivers: []diag.Waiver{print(finding(open, "a.example"), "")},
			uses: []string{"a " + fp(open) + ": 0 unlooked"}},
		"fingerprint and ID of the open": {a: []diag.Finding{finding(open, "a.example")}, waivers: []diag.Waiver{print(finding(open, "a.example"), "T-UNDETERMINED")},
			waived: []string{"a T-UNDETERMINED a.example"}, uses: []string{"a T-UNDETERMINED " + fp(open) + ": 1 looked"}},
		"expired":            {a: []diag.Finding{finding(bad, "a.example")}, waivers: []diag.Waiver{over}, uses: []string{"a T-BAD a.example: 1 looked"}},
		"no answer":          {a: []diag.Finding{unknown}, waivers: []diag.Waiver{by("T-BAD", "a.example")}, uses: []string{"a T-BAD a.example: 0 unlooked a.example MX"}},
		"no answer for b":    {a: []diag.Finding{unknown}, waivers: []diag.Waiver{by("T-BAD", "b.example")}, uses: []string{"b T-BAD b.example: 0 looked"}},
		"no answer anywhere": {b: []diag.Finding{unknown}, waivers: []diag.Waiver{by("T-BAD", "c.example")}, uses: []string{"a T-BAD c.example: 0 unlooked a.example MX"}},
		"another check's":    {a: []diag.Finding{unknown}, waivers: []diag.Waiver{by("U-GONE", "a.example")}, uses: []string{"a U-GONE a.example: 0 looked"}},
		"not run":            {waivers: []diag.Waiver{by("V-BAD", "a.example")}, uses: []string{"a V-BAD a.example: 0 unlooked"}},
		"no address":         {a: []diag.Finding{noIP}, waivers: []diag.Waiver{by("T-BAD", "a.example")}, uses: []string{"a T-BAD a.example: 0 looked"}},
		"about an address":   {a: []diag.Finding{noIP}, waivers: []diag.Waiver{by("T-BAD", "192.0.2.1")}, uses: []string{"a T-BAD 192.0.2.1: 0 unlooked"}},
		"no domain":          {a: []diag.Finding{noDomain}, waivers: []diag.Waiver{by("T-BAD", "a.example")}, uses: []string{"a T-BAD a.example: 0 unlooked"}},
		"of a domain not run": {part: true, waivers: []diag.Waiver{by("T-BAD", "c.example"), by("T-BAD", "b.example"), print(finding(bad, "c.example"), "")},
			uses: []string{"b T-BAD b.example: 0 looked"}},
	} {
		t.Run(name, func(t *testing.T) {
			reports := []*diag.Report{report("a.example", c.a...), report("b.example", c.b...)}
			for _, r := range reports {
				r.Target.Waivers = c.waivers
			}
			gate.Apply(reports, !c.part, now)
			gate.Apply(reports, !c.part, now) // twice is as good as once
			var waived, uses []string
			for _, r := range reports {
				side := r.Target.Domain[:1] + " "
				for i := range r.Checks {
					for _, f := range r.Checks[i].Findings {
						if f.Waived != nil {
							waived = append(waived, side+f.Kind.ID+" "+f.Subject)
						}
					}
				}
				for _, u := range r.Waivers {
					s := fmt.Sprintf("%s%s: %d %s", side, u.Name(), u.Findings, map[bool]string{true: "looked", false: "unlooked"}[u.Looked])
					for _, e := range u.Unknown {
						s += " " + e.Question.String()
					}
					uses = append(uses, s)
				}
				if r.Target.Inputs[diag.GateInput] != (len(r.Waivers) > 0) {
					t.Errorf("inputs of %s: %v", r.Target.Domain, r.Target.Inputs)
				}
			}
			if !slices.Equal(waived, c.waived) {
				t.Errorf("waived %q, want %q", waived, c.waived)
			}
			if !slices.Equal(uses, c.uses) {
				t.Errorf("uses %q, want %q", uses, c.uses)
			}
		})
	}
}

// A waived finding weighs nothing; what stands beside it weighs what it did.
func TestApplyWeighs(t *testing.T) {
	r := report("a.example", finding(bad, "a.example"), finding(poor, "a.example"), finding(gone, "a.example"))
	r.Target.Waivers = []diag.Waiver{{ID: "T-BAD", Subject: "a.example", Expires: now.AddDate(0, 1, 0)}, {ID: "U-GONE", Subject: "a.example", Expires: now.AddDate(0, 1, 0)}}
	gate.Apply([]*diag.Report{r}, true, now)
	if r.Checks[0].Status != diag.Warn || r.Checks[1].Status != diag.Skip || r.Status() != diag.Warn {
		t.Errorf("statuses %s, %s", r.Checks[0].Status, r.Checks[1].Status)
	}
	if n := r.Counts(); n[diag.Fail] != 0 || n[diag.Warn] != 1 || r.Waived() != 2 {
		t.Errorf("counts %v, waived %d", n, r.Waived())
	}
	if s := r.Waivers[0].Name(); !strings.HasPrefix(s, "T-BAD") {
		t.Errorf("order: %s first", s)
	}
}
