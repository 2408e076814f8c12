// Package checks is the list of todoku's checks. See README.md here for how to
// add one.
package checks

import (
	"github.com/todoku-mail/todoku/checks/domain"
	"github.com/todoku-mail/todoku/checks/mx"
	"github.com/todoku-mail/todoku/checks/ptr"
	"github.com/todoku-mail/todoku/checks/spf"
	"github.com/todoku-mail/todoku/pkg/diag"
)

// All is every check, in the order of the report. The order is one of trouble
// shooting: is there a domain at all, who may send, where mail comes back to, what the server looks like.
// A name stays what it is, once released: --only, --skip and scripts rely on it.
var All = []*diag.Check{
	domain.Check,
	spf.Check,
	mx.Check,
	ptr.Check,
}
