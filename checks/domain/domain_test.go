package domain_test

import (
	"testing"

	"github.com/todoku-mail/todoku/checks/domain"
	"github.com/todoku-mail/todoku/pkg/checktest"
)

func TestFixtures(t *testing.T) { checktest.Run(t, domain.Check, "testdata") }
