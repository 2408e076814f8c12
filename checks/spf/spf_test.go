package spf_test

import (
	"testing"

	"github.com/todoku-mail/todoku/checks/spf"
	"github.com/todoku-mail/todoku/pkg/checktest"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/i18n"
	rfc "github.com/todoku-mail/todoku/pkg/spf"
)

func TestFixtures(t *testing.T) { checktest.Run(t, spf.Check, "testdata") }

// Codes that a person meets have a text in every language.
func TestTerms(t *testing.T) {
	meets := map[string]bool{ // the problems that make a permerror: SPF-HELO-BROKEN names them
		rfc.ProblemMultiple: true, rfc.ProblemSyntax: true, rfc.ProblemLookups: true, rfc.ProblemVoids: true,
		rfc.ProblemMX: true, rfc.ProblemIncludeNone: true, rfc.ProblemRedirectNone: true, rfc.ProblemBadTarget: true,
	}
	for _, lang := range i18n.Languages {
		cat, err := i18n.Load([]*diag.Check{spf.Check}, lang)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range rfc.SyntaxCodes {
			if cat.Term("spf", "problem", code) == code {
				t.Errorf("%s: no term problem.%s", lang, code)
			}
		}
		for code := range meets {
			if cat.Term("spf", "code", code) == code {
				t.Errorf("%s: no term code.%s", lang, code)
			}
		}
	}
}
