package path_test

import (
	"testing"

	"github.com/todoku-mail/todoku/checks/path"
	"github.com/todoku-mail/todoku/pkg/checktest"
)

func TestFixtures(t *testing.T) { checktest.Run(t, path.Check, "testdata") }
