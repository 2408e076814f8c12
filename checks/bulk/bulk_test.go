package bulk_test

import (
	"testing"

	"github.com/todoku-mail/todoku/checks/bulk"
	"github.com/todoku-mail/todoku/pkg/checktest"
)

func TestFixtures(t *testing.T) { checktest.Run(t, bulk.Check, "testdata") }
