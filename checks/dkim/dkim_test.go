package dkim_test

import (
	"testing"

	"github.com/todoku-mail/todoku/checks/dkim"
	"github.com/todoku-mail/todoku/pkg/checktest"
	"github.com/todoku-mail/todoku/pkg/diag"
	rfc "github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/i18n"
)

func TestFixtures(t *testing.T) { checktest.Run(t, dkim.Check, "testdata") }

func TestDescriptors(t *testing.T) {
	for _, err := range diag.Validate([]*diag.Check{dkim.Check}, i18n.Languages...) {
		t.Error(err)
	}
	for _, err := range i18n.Problems([]*diag.Check{dkim.Check}) {
		t.Error(err)
	}
}

// Every finding is what some fixture wants. DKIM-SKIPPED is the engine's to
// report, in place of the others.
func TestFixturesCoverEveryID(t *testing.T) {
	wanted := map[string]bool{"DKIM-SKIPPED": true}
	for _, path := range checktest.Files(t, "testdata") {
		f, err := checktest.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		rep, _ := f.Report(t, dkim.Check)
		for _, fd := range rep.Checks[0].Findings {
			wanted[fd.Kind.ID] = true
		}
	}
	for _, k := range dkim.Check.Kinds {
		if !wanted[k.ID] {
			t.Errorf("%s: no fixture", k.ID)
		}
	}
}

// Codes that a person meets have a text in every language.
func TestTerms(t *testing.T) {
	for _, lang := range i18n.Languages {
		cat, err := i18n.Load([]*diag.Check{dkim.Check}, lang)
		if err != nil {
			t.Fatal(err)
		}
		codes := append([]string{"too-short", "sha1-only", "hash-unknown", "not-for-mail"}, rfc.KeyCodes...)
		for _, s := range []rfc.Status{rfc.Revoked, rfc.Multiple, rfc.NotKey} {
			codes = append(codes, string(s))
		}
		for _, code := range codes {
			if cat.Term("dkim", "problem", code) == code {
				t.Errorf("%s: no term problem.%s", lang, code)
			}
		}
	}
}
