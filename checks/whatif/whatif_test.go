package whatif_test

import (
	"testing"

	"github.com/todoku-mail/todoku/checks/whatif"
	"github.com/todoku-mail/todoku/pkg/checktest"
)

func TestFixtures(t *testing.T) { checktest.Run(t, whatif.Check, "testdata") }
