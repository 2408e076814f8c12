package ptr_test

import (
	"testing"

	"github.com/todoku-mail/todoku/checks/ptr"
	"github.com/todoku-mail/todoku/pkg/checktest"
)

func TestFixtures(t *testing.T) { checktest.Run(t, ptr.Check, "testdata") }
