package alignment_test

import (
	"testing"

	"github.com/todoku-mail/todoku/checks/alignment"
	"github.com/todoku-mail/todoku/pkg/checktest"
)

func TestFixtures(t *testing.T) { checktest.Run(t, alignment.Check, "testdata") }
