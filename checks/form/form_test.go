package form_test

import (
	"testing"

	"github.com/todoku-mail/todoku/checks/form"
	"github.com/todoku-mail/todoku/pkg/checktest"
)

func TestFixtures(t *testing.T) { checktest.Run(t, form.Check, "testdata") }
