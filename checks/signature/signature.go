// Package signature checks the DKIM signatures of a real mail (RFC 6376, RFC
// 8301, RFC 8463): whether they verify, and if not, what broke them and who can
// mend it.
//
// A mail may have many signatures, and one that verifies and is aligned with From
// does all that DKIM can do for it. Beside such a one a broken signature is no
// fault: mailing lists and services leave them behind. So a broken signature fails
// only if nothing that verifies does its work; and where an unanswered question
// could still make one verify, the others are not judged at all.
//
// What was changed is found by trying (dkim.Diagnose), and is called proven only
// where undoing it makes the hash right again. Proof from the body does not depend
// on the DNS; everything that rests on the key does, and the DNS of today says
// little of an old mail: then a key that is gone or is another one is not called a
// fault, but something that cannot be found out any more.
package signature

import (
	"context"
	"embed"
	"slices"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dmarc"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/orgdomain"
)

//go:embed doc.*.md
var docs embed.FS

var bySelector = []string{"selector"}

// Of changes: who did it, as far as the mail shows, and whether that is proven.
var ofChange = []string{"selector", "by", "proof"}

// What the check can find.
var (
	footerAdded = &diag.Kind{ID: "SIGNATURE-FOOTER-ADDED", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: append([]string{"what"}, ofChange...), Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "6.1.3"), diag.RFC(6377, "3.3")}}
	recoded = &diag.Kind{ID: "SIGNATURE-RECODED", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: append([]string{"was", "is"}, ofChange...), Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "5.3"), diag.RFC(6376, "6.1.3")}}
	linesChanged = &diag.Kind{ID: "SIGNATURE-LINES-CHANGED", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: append([]string{"what"}, ofChange...), Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "5.3"), diag.RFC(5322, "2.1.1")}}
	whitespace = &diag.Kind{ID: "SIGNATURE-WHITESPACE", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: append([]string{"what", "canonicalization"}, ofChange...), Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.4"), diag.RFC(6376, "6.1.3")}}
	bodyCut = &diag.Kind{ID: "SIGNATURE-BODY-CUT", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"selector", "length", "size"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.5"), diag.RFC(6376, "6.1.3")}}
	bodyChanged = &diag.Kind{ID: "SIGNATURE-BODY-CHANGED", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"selector", "by"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "6.1.3"), diag.RFC(6376, "3.7")}}
	subjectTagged = &diag.Kind{ID: "SIGNATURE-SUBJECT-TAGGED", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: append([]string{"is", "was"}, ofChange...), Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "6.1.3"), diag.RFC(6377, "3.3")}}
	fromRewritten = &diag.Kind{ID: "SIGNATURE-FROM-REWRITTEN", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: append([]string{"is", "was"}, ofChange...), Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "5.4"), diag.RFC(7960, "")}}
	headerAdded = &diag.Kind{ID: "SIGNATURE-HEADER-ADDED", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: append([]string{"field"}, ofChange...), Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "5.4.2"), diag.RFC(6376, "8.15")}}
	headerRemoved = &diag.Kind{ID: "SIGNATURE-HEADER-REMOVED", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: append([]string{"field"}, ofChange...), Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "5.4"), diag.RFC(6376, "3.7")}}
	headerChanged = &diag.Kind{ID: "SIGNATURE-HEADER-CHANGED", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: append([]string{"field", "is", "was"}, ofChange...), Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.7"), diag.RFC(6376, "6.1.3")}}
	headerUnknown = &diag.Kind{ID: "SIGNATURE-HEADER-BROKEN", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"selector", "by", "fields"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.7"), diag.RFC(6376, "6.1.3")}}
	keyOrHeader = &diag.Kind{ID: "SIGNATURE-KEY-OR-HEADER", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: bySelector, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "6.1.3"), diag.RFC(8463, "3")}}
	keyMissing = &diag.Kind{ID: "SIGNATURE-KEY-MISSING", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"selector", "name"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "6.1.2"), diag.RFC(6376, "3.6.2.1")}}
	keyRevoked = &diag.Kind{ID: "SIGNATURE-KEY-REVOKED", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"selector", "name"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.6.1"), diag.RFC(6376, "6.1.2")}}
	keyUnusable = &diag.Kind{ID: "SIGNATURE-KEY-UNUSABLE", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"selector", "name", "problem"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.6.1"), diag.RFC(6376, "6.1.2")}}
	keyOther = &diag.Kind{ID: "SIGNATURE-KEY-OTHER", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"selector", "name"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "6.1.3"), diag.RFC(6376, "3.1")}}
	keyShort = &diag.Kind{ID: "SIGNATURE-KEY-SHORT", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"selector", "bits"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(8301, "3.2"), facts.Gmail}}
	sha1 = &diag.Kind{ID: "SIGNATURE-SHA1", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: bySelector, Key: bySelector, Refs: []diag.Ref{diag.RFC(8301, "3.1")}}
	syntax = &diag.Kind{ID: "SIGNATURE-SYNTAX", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"selector", "problem", "part"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.5"), diag.RFC(6376, "6.1.1")}}
	fromUnsigned = &diag.Kind{ID: "SIGNATURE-FROM-UNSIGNED", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: bySelector, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "5.4"), diag.RFC(6376, "6.1.1")}}
	identity = &diag.Kind{ID: "SIGNATURE-IDENTITY", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"selector", "identity", "problem"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.5"), diag.RFC(6376, "6.1.1"), diag.RFC(6376, "3.6.1")}}
	expired = &diag.Kind{ID: "SIGNATURE-EXPIRED", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"selector", "expires", "clock"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.5"), diag.RFC(6376, "6.1.1")}}
	undetermined = &diag.Kind{ID: "SIGNATURE-UNDETERMINED", Status: diag.Inconclusive, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"question", "reason"}, Key: []string{"question"}, Refs: []diag.Ref{diag.RFC(6376, "6.1.2")}}
	keyGone = &diag.Kind{ID: "SIGNATURE-KEY-GONE-SINCE", Status: diag.Inconclusive, Owner: diag.Reader, Since: "0.2",
		Args: []string{"selector", "question", "reason", "received"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.1"), diag.RFC(6376, "6.1.2")}}
	// Harmless: another signature does what this one could do, or this one cannot
	// verify whatever its key is.
	keyUnanswered = &diag.Kind{ID: "SIGNATURE-KEY-UNANSWERED", Status: diag.Inconclusive, Harmless: true, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"selector", "question", "reason"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "6.1.2")}}
	none = &diag.Kind{ID: "SIGNATURE-NONE", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Refs: []diag.Ref{diag.RFC(6376, "6.1"), facts.Gmail, facts.Yahoo}}
	testing = &diag.Kind{ID: "SIGNATURE-TESTING", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"selector", "name"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.6.1")}}
	length = &diag.Kind{ID: "SIGNATURE-LENGTH", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"selector", "length"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "8.2"), diag.RFC(6376, "3.5")}}
	appended = &diag.Kind{ID: "SIGNATURE-APPENDED", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"selector", "length", "unsigned"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "8.2"), diag.RFC(6376, "3.5")}}
	future = &diag.Kind{ID: "SIGNATURE-FUTURE", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"selector", "signed", "duration"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "3.5")}}
	tooMany = &diag.Kind{ID: "SIGNATURE-TOO-MANY", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"count", "looked"}, Refs: []diag.Ref{diag.RFC(6376, "6.1"), diag.RFC(6376, "8.4")}}
	otherBroken = &diag.Kind{ID: "SIGNATURE-OTHER-BROKEN", Status: diag.Info, Since: "0.2",
		Args: []string{"selector", "cause", "passing"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "6.1"), diag.RFC(6376, "4.2")}}
	keyWeak = &diag.Kind{ID: "SIGNATURE-KEY-WEAK", Status: diag.Info, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"selector", "bits"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(8301, "3.2"), facts.Gmail}}
	secondOpinion = &diag.Kind{ID: "SIGNATURE-SECOND-OPINION", Status: diag.Info, Since: "0.2",
		Args: []string{"selector", "ours", "theirs", "why"}, Key: bySelector,
		Refs: []diag.Ref{diag.Page("go-msgauth, a library for DKIM", "https://github.com/emersion/go-msgauth")}}
	ok = &diag.Kind{ID: "SIGNATURE-OK", Status: diag.Pass, Since: "0.2",
		Args: []string{"selector", "algorithm", "bits"}, Key: bySelector, Refs: []diag.Ref{diag.RFC(6376, "6.1"), diag.RFC(8301, "3.1")}}
)

// Check is the signature check.
var Check = &diag.Check{
	Name: "signature",
	Docs: docs,
	Kinds: []*diag.Kind{footerAdded, recoded, linesChanged, whitespace, bodyCut, bodyChanged, subjectTagged, fromRewritten,
		headerAdded, headerRemoved, headerChanged, headerUnknown, keyOrHeader, keyMissing, keyRevoked, keyUnusable, keyOther, keyShort, sha1,
		syntax, fromUnsigned, identity, expired, undetermined, keyGone, keyUnanswered, none, testing, length, appended, future, tooMany,
		otherBroken, keyWeak, secondOpinion, ok},
	Needs:        diag.Needs{Input: diag.MailInput},
	Uses:         diag.Doors{DNS: true, Clock: true},
	Requires:     []diag.AnyFact{facts.MailSignatures, facts.MailDiagnosis, facts.MailSecondOpinion, facts.OrgDomain},
	Run:          run,
	Undetermined: undetermined,
}

// run1 is one run of the check.
type run1 struct {
	*diag.Job
	mail    *facts.Mail
	auth    *facts.MailAuth
	why     []*facts.SignatureDiagnosis
	opinion *facts.MailOpinion
	sigs    []*sig
	found   []diag.Finding
}

// A sig is one signature and what it is worth.
type sig struct {
	*dkim.Verification
	at      int // among the signatures
	why     *facts.SignatureDiagnosis
	aligned dmarc.Alignment
	asked   []*dnsq.Error // unanswered, if that is why aligned is unknown
	state   state
	// gone says what the DNS of today says instead of the key of an old mail: a
	// code; "" if it says what is needed, or the mail is not old.
	gone string
}

// A state is what a signature does for its mail.
type state byte

const (
	broken state = iota
	open         // it could verify: its key was not learnt, or has gone since
	passes
)

func run(ctx context.Context, j *diag.Job) error {
	c := &run1{Job: j, mail: facts.MailOf(j.Target)}
	if c.mail == nil {
		return nil // there is no message: see Needs
	}
	facts.MailDiagnosis.Start(j.World, c.mail)
	facts.MailSecondOpinion.Start(j.World, c.mail)
	var err error
	if c.auth, err = facts.MailSignatures.Of(ctx, j.World, c.mail); err != nil {
		return err
	}
	if c.why, err = facts.MailDiagnosis.Of(ctx, j.World, c.mail); err != nil {
		return err
	}
	if c.opinion, err = facts.MailSecondOpinion.Of(ctx, j.World, c.mail); err != nil {
		return err
	}
	c.align(ctx)
	c.judge()
	// Worst first; within a status in the order of the signatures.
	slices.SortStableFunc(c.found, func(a, b diag.Finding) int { return int(b.Kind.Status) - int(a.Kind.Status) })
	// Two signatures of one key with one fault are one finding.
	said := map[string]bool{}
	for _, f := range c.found {
		if k := f.Fingerprint(); !said[k] {
			said[k] = true
			j.Report(f)
		}
	}
	j.SetData(c.data())
	return nil
}

// align finds out which signatures belong to the From domain: by the Public Suffix
// List, as receivers under RFC 7489 have it, or else by the DNS tree walk (RFC 9989
// §4.4). Whether the From domain's record demands more is the alignment check's.
func (c *run1) align(ctx context.Context) {
	from := c.Target.From
	for i, v := range c.auth.DKIM.Signatures {
		s := &sig{Verification: v, at: i, why: c.why[i], aligned: dmarc.NotAligned}
		c.sigs = append(c.sigs, s)
		if from == "" || v.Domain == "" {
			continue
		}
		s.aligned = dmarc.Aligned(from, v.Domain, dmarc.Relaxed, func(a, b string) (bool, bool) {
			orgA, okA := orgdomain.PSL(a)
			if orgB, okB := orgdomain.PSL(b); okA && okB && orgA == orgB {
				return true, true
			}
			x, errA := facts.OrgDomain.Of(ctx, c.World, a)
			y, errB := facts.OrgDomain.Of(ctx, c.World, b)
			if errA != nil || errB != nil {
				return false, false
			}
			same, known := orgdomain.Same(x, y)
			if !known {
				s.asked = append(append(s.asked, x.OrgUnknown...), y.OrgUnknown...)
			}
			return same, known
		})
	}
}

func (s *sig) isAligned() bool {
	return s.aligned == dmarc.AlignedStrict || s.aligned == dmarc.AlignedRelaxed
}

// weigh sets the state of a signature.
func (c *run1) weigh(s *sig) {
	switch {
	case s.RFC8301 == dkim.Pass && !s.Has(dkim.NoteTesting):
		s.state = passes
	case s.RFC8301 == dkim.Pass, s.Fault() != nil, s.BodyMatch != dkim.Matches, s.headerBroken(),
		s.Has(dkim.ReasonExpired) && c.mail.ClockFrom != "now":
		// A testing key's signature counts as none (RFC 6376 §3.6.1). A body that is
		// not the signed one stays that whatever the key is, and so does a header.
		s.state = broken
	case s.RFC8301 == dkim.TempError:
		s.state = open
	default:
		if s.gone = c.auth.Gone[s.at]; s.gone != "" {
			s.state = open
		}
	}
}

// headerBroken reports whether the header is known to be the fault: an RSA
// signature that the key opens was made by that key; otherwise the key may be
// another one, unless a change of the header was undone.
func (s *sig) headerBroken() bool {
	return s.HeaderMatch == dkim.Mismatches && (s.Signed != nil || s.why != nil && s.why.HeaderProven)
}

// judge reports on every signature.
func (c *run1) judge() {
	if len(c.sigs) == 0 {
		c.found = append(c.found, diag.Finding{Kind: none, Subject: c.subject(""), Args: diag.Args{}})
		return
	}
	for _, s := range c.sigs {
		c.weigh(s)
	}
	for _, s := range c.sigs {
		switch s.state {
		case passes:
			c.report(ok, s, diag.Args{"algorithm": string(s.Algorithm), "bits": s.Key.Bits}).Evidence = append(c.field(s), c.record(s)...)
			c.remarks(s)
		case open:
			c.open(s)
		default:
			c.broken(s)
		}
		c.differ(s)
	}
	if n := c.auth.DKIM.Skipped; n > 0 {
		c.found = append(c.found, diag.Finding{Kind: tooMany, Subject: c.subject(""),
			Args: diag.Args{"count": len(c.sigs) + n, "looked": len(c.sigs)}})
	}
}

// covered says whether the work of a signature that does not verify is done by
// another one: an aligned one, or, if it is not aligned itself, any. sure is false
// where that hangs on what was not learnt; unknown are the questions of alignment
// among that.
func (c *run1) covered(s *sig) (by *sig, sure bool, unknown []*dnsq.Error) {
	sure = true
	var any *sig
	anyOpen := false
	for _, o := range c.sigs {
		if o == s || o.state == broken {
			continue
		}
		if o.state == passes {
			if o.isAligned() {
				return o, true, nil
			}
			if any == nil {
				any = o
			}
		} else {
			anyOpen = true
		}
		if o.aligned != dmarc.NotAligned {
			sure = false
			if o.state == passes {
				unknown = append(unknown, o.asked...)
			}
		}
	}
	switch {
	case any != nil && s.aligned == dmarc.NotAligned:
		return any, true, nil
	case any != nil && s.aligned == dmarc.Undetermined:
		return nil, false, append(unknown, s.asked...)
	case any == nil && anyOpen && !s.isAligned():
		return nil, false, unknown
	}
	return nil, sure, unknown
}

// open reports a signature that could verify, if its key were known.
func (c *run1) open(s *sig) {
	by, _, _ := c.covered(s)
	if s.gone != "" {
		if by != nil {
			c.beside(s, by)
			return
		}
		received := "unknown"
		if c.mail.ClockFrom != "now" {
			received = c.mail.Clock.Format("2006-01-02")
		}
		f := c.report(keyGone, s, diag.Args{"question": s.Lookup.Name + " TXT", "reason": s.gone, "received": received})
		f.Evidence = append(c.field(s), c.record(s)...)
		return
	}
	e := s.Lookup.Err
	if by != nil {
		c.unanswered(s)
		return
	}
	f := c.report(undetermined, s, diag.Args{"question": e.Question.String(), "reason": string(e.Reason)})
	f.Unknown = []*dnsq.Error{e}
	f.Evidence = c.field(s)
}

// unanswered says that a key was not learnt that decides nothing.
func (c *run1) unanswered(s *sig) {
	e := s.Lookup.Err
	f := c.report(keyUnanswered, s, diag.Args{"question": e.Question.String(), "reason": string(e.Reason)})
	f.Unknown = []*dnsq.Error{e}
}

// broken reports a signature that does not verify and never will.
func (c *run1) broken(s *sig) {
	by, sure, unknown := c.covered(s)
	if s.Has(dkim.ReasonKeyUnknown) {
		c.unanswered(s)
	}
	switch {
	case by != nil:
		c.beside(s, by)
		return
	case !sure:
		// Whether it matters hangs on another; that one's key is a finding of its
		// own.
		if len(unknown) > 0 {
			f := c.report(undetermined, s, diag.Args{"question": unknown[0].Question.String(), "reason": string(unknown[0].Reason)})
			f.Unknown = unknown
		}
		return
	}
	if e := s.Fault(); e != nil {
		c.syntax(s, e)
		return
	}
	switch {
	case s.RFC8301 == dkim.Pass: // a testing key
		c.testing(s)
	case s.Has(dkim.ReasonSHA1):
		c.report(sha1, s, nil).Evidence = c.tag(s, "a")
	case s.Has(dkim.ReasonShortKey):
		c.report(keyShort, s, diag.Args{"bits": s.Key.Bits}).Evidence = c.record(s)
	}
	if s.RFC8301 == dkim.Pass {
		c.remarks(s)
		return
	}
	c.key(s)
	c.changes(s)
	if s.Has(dkim.ReasonExpired) {
		f := c.report(expired, s, diag.Args{"expires": s.Expires.UTC().Format("2006-01-02 15:04 UTC"), "clock": c.mail.Clock.UTC().Format("2006-01-02 15:04 UTC")})
		f.Evidence = c.tag(s, "x")
	}
}

// beside reports a signature that does not verify where another one does its work.
func (c *run1) beside(s, by *sig) {
	cause := string(c.cause(s))
	if s.gone != "" {
		cause = "gone-" + s.gone
	}
	if s.RFC8301 == dkim.Pass {
		cause = "testing"
	}
	f := c.report(otherBroken, s, diag.Args{"cause": cause, "passing": by.Domain})
	f.Evidence = c.field(s)
	if d := s.why; d != nil {
		for i := range d.Changes {
			f.Evidence = append(f.Evidence, c.shows(s, i)...)
		}
	}
}

// cause is what broke a signature, in a word: what is certain, before what may be.
func (c *run1) cause(s *sig) dkim.Cause {
	body, header := s.BodyMatch == dkim.Mismatches, s.HeaderMatch == dkim.Mismatches
	var out dkim.Cause
	switch {
	case s.why != nil:
		out = s.why.Cause
	case s.Fault() != nil, !body && !header, s.RFC8301 == dkim.Pass:
		return dkim.Diagnose(s.Verification, c.auth.Header, nil).Cause // nothing to look for
	case body && s.headerBroken():
		out = dkim.CauseBodyHeader
	case body && !header:
		out = dkim.CauseBody
	case s.headerBroken():
		out = dkim.CauseHeader
	default:
		out = dkim.CauseHeaderOrKey
		if s.Key != nil && s.Key.Type == dkim.RSA {
			out = dkim.CauseKeyChanged
		}
	}
	if body && (out == dkim.CauseHeaderOrKey || out == dkim.CauseKeyUnknown) {
		return dkim.CauseBody
	}
	return out
}

// syntax reports a field that receivers cannot use.
func (c *run1) syntax(s *sig, e *dkim.SignatureError) {
	kind, args := syntax, diag.Args{"problem": e.Code, "part": e.Text}
	switch e.Code {
	case dkim.ErrFromUnsigned:
		kind, args = fromUnsigned, nil
	case dkim.ErrIdentity, dkim.ErrIdentityDomain:
		kind, args = identity, diag.Args{"identity": s.Identity, "problem": e.Code}
		if t := s.Tag("i"); t != nil {
			args["identity"] = t.Value
		}
	}
	f := c.report(kind, s, args)
	f.Evidence = []diag.Evidence{c.mail.SignatureEvidence(s.Index, e.Start, max(e.End, e.Start))}
}

// key reports what is wrong with the key.
func (c *run1) key(s *sig) {
	if s.Lookup == nil || !c.mail.DNSThen(c.Now(), s.Time) {
		return // of an old mail the key of today says nothing
	}
	args := diag.Args{"name": s.Lookup.Name}
	var f *diag.Finding
	for _, r := range s.Reasons {
		switch r {
		case dkim.ReasonKeyMissing:
			// RFC 6376 §6.1.2: no record, no key: the signature is to be ignored.
			f = c.report(keyMissing, s, args)
		case dkim.ReasonKeyRevoked:
			f = c.report(keyRevoked, s, args)
		case dkim.ReasonKeySyntax:
			problem := "bad-key"
			if k := s.Lookup.Key(); k != nil && k.Fault() != nil {
				problem = k.Fault().Code
			}
			args["problem"] = problem
			if f = c.report(keyUnusable, s, args); problem == dkim.ErrPrivateKey {
				f.Evidence = c.field(s) // the report is not to spread the key
				return
			}
		case dkim.ReasonKeyType, dkim.ReasonKeyHash, dkim.ReasonKeyService:
			args["problem"] = string(r)
			f = c.report(keyUnusable, s, args)
		case dkim.ReasonStrict:
			f = c.report(identity, s, diag.Args{"identity": s.Identity, "problem": string(r)})
		default:
			continue
		}
		f.Evidence = append(c.field(s), c.record(s)...)
		return
	}
}

// remarks are what there is to say of a signature although it verifies.
func (c *run1) remarks(s *sig) {
	if s.Length >= 0 {
		if s.Unsigned > 0 {
			f := c.report(appended, s, diag.Args{"length": int(s.Length), "unsigned": int(s.Unsigned)})
			f.Evidence = append(c.tag(s, "l"), c.bodyEvidence(string(s.Appended), 0))
		} else {
			c.report(length, s, diag.Args{"length": int(s.Length)}).Evidence = c.tag(s, "l")
		}
	}
	// RFC 6376 §3.5: signatures of the future may be ignored. OpenDKIM lets clocks
	// differ by 300 s, and so do we.
	if s.Has(dkim.NoteFuture) {
		// The Date field says when the mail was written, not when it was received.
		if ahead := s.Time.Sub(c.mail.Clock).Seconds(); ahead > 300 && c.mail.ClockFrom != "date" {
			f := c.report(future, s, diag.Args{"signed": s.Time.UTC().Format("2006-01-02 15:04 UTC"), "duration": int(min(ahead, 1<<31))})
			f.Evidence = c.tag(s, "t")
		}
	}
	if s.Has(dkim.NoteWeakKey) {
		c.report(keyWeak, s, diag.Args{"bits": s.Key.Bits}).Evidence = c.record(s)
	}
}

func (c *run1) testing(s *sig) {
	f := c.report(testing, s, diag.Args{"name": s.Lookup.Name})
	f.Evidence = c.record(s)
	if t := s.Key.Tag("t"); t != nil && len(f.Evidence) == 1 {
		f.Evidence[0].Offset, f.Evidence[0].Length = t.Start, t.End-t.Start
	}
}

// differ reports that another library says otherwise, where both are sure.
func (c *run1) differ(s *sig) {
	for _, d := range c.opinion.Differences {
		if d.Index >= 0 && d.Index != s.at || d.Index < 0 && s.at > 0 || d.Ours == dkim.TempError || d.Theirs == dkim.TempError {
			continue
		}
		why := []string{}
		for _, w := range d.Why {
			why = append(why, string(w))
		}
		if len(why) == 0 {
			why = append(why, "unexplained")
		}
		c.report(secondOpinion, s, diag.Args{"ours": string(d.Ours), "theirs": string(d.Theirs), "why": why})
	}
}

// report notes a finding about a signature.
func (c *run1) report(k *diag.Kind, s *sig, args diag.Args) *diag.Finding {
	f := diag.Finding{Kind: k, Subject: c.subject(s.Domain), Args: diag.Args{}}
	for n, v := range args {
		f.Args[n] = v
	}
	if slices.Contains(k.Args, "selector") {
		f.Args["selector"] = s.selector()
	}
	// Whoever signs with a domain that is not the sender's is who can mend it.
	if s.aligned == dmarc.NotAligned && c.Target.From != "" && s.Domain != "" && (k.Owner == diag.MailAdmin || k.Owner == diag.DNSAdmin) {
		f.Owner = diag.Provider
	}
	c.found = append(c.found, f)
	return &c.found[len(c.found)-1]
}

// selector is the s= of a signature, as far as it can be read.
func (s *sig) selector() string {
	if s.Selector != "" {
		return s.Selector
	}
	if t := s.Tag("s"); t != nil {
		return t.Value
	}
	return ""
}

// subject is the domain of a signature, or else what the mail is from.
func (c *run1) subject(domain string) string {
	for _, d := range []string{domain, c.Target.Domain} {
		if d != "" {
			return d
		}
	}
	return c.mail.File
}
