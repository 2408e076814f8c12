package mx_test

import (
	"testing"

	"github.com/todoku-mail/todoku/checks/mx"
	"github.com/todoku-mail/todoku/pkg/checktest"
)

func TestFixtures(t *testing.T) { checktest.Run(t, mx.Check, "testdata") }
