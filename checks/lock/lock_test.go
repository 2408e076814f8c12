package lock_test

import (
	"testing"

	"github.com/todoku-mail/todoku/checks/lock"
	"github.com/todoku-mail/todoku/pkg/checktest"
)

func TestFixtures(t *testing.T) { checktest.Run(t, lock.Check, "testdata") }
