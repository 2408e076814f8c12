package alignment

import (
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dmarc"
	"github.com/todoku-mail/todoku/pkg/facts"
)

// noReturnPath reports whether the target is a mail that does not show its
// Return-Path.
func noReturnPath(t *diag.Target) bool {
	return facts.MailOf(t) != nil && t.MailFrom == "" && !t.NullSender
}

// learnSignatures sets the DKIM leg from the signatures of a mail: from the one
// that does most for the From domain.
func (c *align) learnSignatures(mail *facts.Mail) error {
	auth, err := facts.MailSignatures.Of(c.ctx, c.World, mail)
	if err != nil {
		return err
	}
	best, rank := leg{aligned: dmarc.NotAligned, why: "unsigned"}, 0
	for i, s := range auth.DKIM.Signatures {
		if s.Domain == "" {
			continue // a field that names no domain vouches for none
		}
		l := leg{domain: s.Domain}
		l.aligned, l.unknown = c.aligned(s.Domain, dkimMode)
		r := 1
		switch {
		case l.aligned == dmarc.NotAligned:
			l.unaligned(c, dkimMode)
		case s.RFC8301 == dkim.Pass && s.Key != nil && s.Key.Testing():
			// RFC 6376 §3.6.1: to be treated as if it were unsigned.
			r, l.why = 3, "testing"
		case s.RFC8301 == dkim.Pass && l.aligned != dmarc.Undetermined:
			r, l.state = 5, yes
		case s.RFC8301 == dkim.Pass:
			r, l.state = 4, unknown
		case auth.Gone[i] != "":
			// The mail is old, and its key is not in the DNS of today.
			r, l.state, l.gone = 4, unknown, s.Lookup.Name
		case s.RFC8301 == dkim.TempError:
			r, l.state = 4, unknown
			if s.Lookup != nil && s.Lookup.Err != nil {
				l.unknown = append(l.unknown, s.Lookup.Err)
			}
		default:
			r, l.why = 2, "failed"
		}
		if l.state == unknown { // also where strict mode may be what is in the way
			r = max(r, 4)
		}
		if r > rank {
			best, rank = l, r
		}
	}
	c.dkim = best
	return nil
}
