package dnsbl_test

import (
	"testing"

	"github.com/todoku-mail/todoku/checks/dnsbl"
	"github.com/todoku-mail/todoku/pkg/checktest"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/i18n"
)

func TestFixtures(t *testing.T) { checktest.Run(t, dnsbl.Check, "testdata") }

func TestDocuments(t *testing.T) {
	cs := []*diag.Check{dnsbl.Check}
	for _, err := range append(diag.Validate(cs, i18n.Languages...), i18n.Problems(cs)...) {
		t.Error(err)
	}
}
