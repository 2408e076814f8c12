package diag_test

import (
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/pkg/diag"
)

// A harmless finding is counted and weighs nothing.
func TestHarmless(t *testing.T) {
	harmless := &diag.Kind{ID: "T-REFUSED", Status: diag.Inconclusive, Harmless: true}
	open := &diag.Kind{ID: "T-UNDETERMINED", Status: diag.Inconclusive}
	if harmless.Weight() != diag.Skip || open.Weight() != diag.Inconclusive {
		t.Errorf("%s, %s", harmless.Weight(), open.Weight())
	}
	r := &diag.Report{Checks: []diag.CheckReport{{Findings: []diag.Finding{{Kind: harmless}, {Kind: open}, {Kind: harmless}}}}}
	if n := r.Counts()[diag.Inconclusive]; n != 3 {
		t.Errorf("%d are counted", n)
	}
	if n := r.Decisive()[diag.Inconclusive]; n != 1 {
		t.Errorf("%d decide", n)
	}
	bad := &diag.Check{Name: "t", Kinds: []*diag.Kind{{ID: "T-BAD", Status: diag.Fail, Harmless: true}}}
	said := false
	for _, err := range diag.Validate([]*diag.Check{bad}) {
		said = said || strings.Contains(err.Error(), "harmless")
	}
	if !said {
		t.Error("a harmless failure passes")
	}
}
