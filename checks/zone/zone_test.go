package zone

import (
	"testing"

	"github.com/todoku-mail/todoku/pkg/checktest"
	"github.com/todoku-mail/todoku/pkg/diag"
)

func TestFixtures(t *testing.T) { checktest.Run(t, Check, "testdata") }

// Every code of a lint is one that the check has words for.
func TestEveryCode(t *testing.T) {
	for _, c := range diag.LintCodes {
		if kinds[c] == nil && c != diag.LintMore {
			t.Errorf("%s: no kind", c)
		}
	}
	if len(kinds) != len(diag.LintCodes)-1 {
		t.Errorf("%d kinds for %d codes", len(kinds), len(diag.LintCodes))
	}
}
