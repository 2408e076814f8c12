package gate_test

import (
	"testing"

	"github.com/todoku-mail/todoku/checks/dmarc"
	"github.com/todoku-mail/todoku/checks/domain"
	"github.com/todoku-mail/todoku/checks/gate"
	"github.com/todoku-mail/todoku/checks/mx"
	"github.com/todoku-mail/todoku/pkg/checktest"
)

func TestFixtures(t *testing.T) {
	checktest.Run(t, gate.Check, "testdata", domain.Check, dmarc.Check, mx.Check)
}
