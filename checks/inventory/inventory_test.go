package inventory_test

import (
	"testing"

	"github.com/todoku-mail/todoku/checks/inventory"
	"github.com/todoku-mail/todoku/pkg/checktest"
)

func TestFixtures(t *testing.T) { checktest.Run(t, inventory.Check, "testdata") }
