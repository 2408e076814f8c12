package facts

import (
	"context"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/message"
)

// MailSigns is the fact: the evidence of what made a message and what kind of mail it
// is (message.Signs). Its error is that of reading the message.
var MailSigns = &diag.Fact[*Mail, []message.Sign]{
	Name:  "mail-signs",
	Learn: func(_ context.Context, _ *diag.World, m *Mail) ([]message.Sign, error) { return m.Signs() },
}
