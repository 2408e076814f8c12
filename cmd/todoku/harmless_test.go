package main

import (
	"errors"
	"testing"

	"github.com/todoku-mail/todoku/pkg/diag"
)

// What the verdict does not need leaves the exit code at 0; what it needs does
// not, also beside it.
func TestHarmlessExit(t *testing.T) {
	harmless := &diag.Kind{ID: "T-REFUSED", Status: diag.Inconclusive, Harmless: true}
	open := &diag.Kind{ID: "T-UNDETERMINED", Status: diag.Inconclusive}
	fail := &diag.Kind{ID: "T-FAIL", Status: diag.Fail}
	for _, tt := range []struct {
		kinds []*diag.Kind
		code  int
	}{
		{[]*diag.Kind{harmless, harmless}, exitOK},
		{[]*diag.Kind{harmless, open}, exitInconclusive},
		{[]*diag.Kind{harmless, fail}, exitFound},
	} {
		r := &diag.Report{Checks: []diag.CheckReport{{}}}
		for _, k := range tt.kinds {
			r.Checks[0].Findings = append(r.Checks[0].Findings, diag.Finding{Kind: k})
		}
		code := exitOK
		var e *exitError
		if err := (&runFlags{failOn: "fail", inconclusive: "fail"}).verdict([]*diag.Report{r}, &gating{}); errors.As(err, &e) {
			code = e.code
		}
		if code != tt.code {
			t.Errorf("%v: exit %d, want %d", tt.kinds, code, tt.code)
		}
	}
}
