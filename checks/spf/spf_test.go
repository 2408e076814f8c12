package spf_test

import (
	"testing"

	"github.com/todoku-mail/todoku/checks/spf"
	"github.com/todoku-mail/todoku/pkg/checktest"
)

func TestFixtures(t *testing.T) { checktest.Run(t, spf.Check, "testdata") }
