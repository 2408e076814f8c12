// Package checks is the list of todoku's checks. See README.md here for how to
// add one.
package checks

import (
	"github.com/todoku-mail/todoku/checks/alignment"
	"github.com/todoku-mail/todoku/checks/arc"
	"github.com/todoku-mail/todoku/checks/bulk"
	"github.com/todoku-mail/todoku/checks/claims"
	"github.com/todoku-mail/todoku/checks/dkim"
	"github.com/todoku-mail/todoku/checks/dmarc"
	"github.com/todoku-mail/todoku/checks/dnsbl"
	"github.com/todoku-mail/todoku/checks/domain"
	"github.com/todoku-mail/todoku/checks/form"
	"github.com/todoku-mail/todoku/checks/format"
	"github.com/todoku-mail/todoku/checks/gate"
	"github.com/todoku-mail/todoku/checks/inventory"
	"github.com/todoku-mail/todoku/checks/lock"
	"github.com/todoku-mail/todoku/checks/mx"
	"github.com/todoku-mail/todoku/checks/path"
	"github.com/todoku-mail/todoku/checks/ptr"
	"github.com/todoku-mail/todoku/checks/signature"
	"github.com/todoku-mail/todoku/checks/spf"
	"github.com/todoku-mail/todoku/checks/whatif"
	"github.com/todoku-mail/todoku/checks/zone"
	"github.com/todoku-mail/todoku/pkg/diag"
)

// All is every check, in the order of the report, which is one of trouble
// shooting: of a mail, which way it came and who sent it; is there a domain at
// all, would a server load its file, who may send for it and sign for it, what
// receivers are to do with the rest, where mail comes back to, what the server
// looks like, whether all of it fits together, what the receiver wrote about it,
// and who has complained; which settings of the program that wrote the mail are at
// fault, and whether a newsletter can be left; at the end what only some runs are
// about, such as what has been accepted.
//
// A name stays what it is once released: --only, --skip and scripts rely on it.
var All = []*diag.Check{
	path.Check,
	domain.Check,
	zone.Check,
	spf.Check,
	dkim.Check,
	signature.Check,
	arc.Check,
	dmarc.Check,
	mx.Check,
	ptr.Check,
	alignment.Check,
	claims.Check,
	whatif.Check,
	dnsbl.Check,
	format.Check,
	form.Check,
	bulk.Check,
	inventory.Check,
	lock.Check,
	gate.Check,
}
