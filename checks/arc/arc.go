// Package arc checks the Authenticated Received Chain of a real mail (RFC 8617):
// what forwarders wrote down and sealed, set by set, and if the chain does not
// hold, which forwarder has to act.
//
// A chain decides nothing by itself. One that does not hold is the same as none
// (RFC 8617 §5.2), and one that holds says only that the named forwarders wrote
// what they wrote: whether to believe them is up to each receiver. So nothing here
// fails, what could not be learnt is harmless, and what a chain says is called a
// claim.
package arc

import (
	"context"
	"embed"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/todoku-mail/todoku/pkg/arc"
	"github.com/todoku-mail/todoku/pkg/authres"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/facts"
)

//go:embed doc.*.md
var docs embed.FS

// What most findings are about: one set.
var bySet = []string{"instance", "sealer"}

// What the check can find.
var (
	structure = &diag.Kind{ID: "ARC-STRUCTURE", Status: diag.Warn, Owner: diag.Provider, Since: "0.2",
		Args: []string{"instance", "sealer", "field", "problem"}, Key: []string{"instance", "field", "problem"},
		Refs: []diag.Ref{diag.RFC(8617, "5.2"), diag.RFC(8617, "4.2.1")}}
	changed = &diag.Kind{ID: "ARC-CHANGED", Status: diag.Warn, Owner: diag.Provider, Since: "0.2",
		Args: []string{"instance", "sealer", "what"}, Key: bySet, Refs: []diag.Ref{diag.RFC(8617, "5.2"), diag.RFC(8617, "4.1.2")}}
	sealBroken = &diag.Kind{ID: "ARC-SEAL-BROKEN", Status: diag.Warn, Owner: diag.Provider, Since: "0.2",
		Args: bySet, Key: bySet, Refs: []diag.Ref{diag.RFC(8617, "5.2"), diag.RFC(8617, "4.1.3")}}
	unusable = &diag.Kind{ID: "ARC-UNUSABLE", Status: diag.Warn, Owner: diag.Provider, Since: "0.2",
		Args: []string{"instance", "sealer", "field", "problem"}, Key: bySet,
		Refs: []diag.Ref{diag.RFC(8617, "5.2"), diag.RFC(6376, "6.1.2"), diag.RFC(8301, "3.2")}}
	failedBefore = &diag.Kind{ID: "ARC-FAILED-BEFORE", Status: diag.Warn, Owner: diag.Provider, Since: "0.2",
		Args: bySet, Key: bySet, Refs: []diag.Ref{diag.RFC(8617, "5.1.2"), diag.RFC(8617, "5.2")}}
	// Harmless: a chain decides nothing by itself.
	undetermined = &diag.Kind{ID: "ARC-UNDETERMINED", Status: diag.Inconclusive, Harmless: true, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"question", "reason"}, Key: []string{"question"}, Refs: []diag.Ref{diag.RFC(8617, "5.2"), diag.RFC(6376, "6.1.2")}}
	keyGone = &diag.Kind{ID: "ARC-KEY-GONE-SINCE", Status: diag.Inconclusive, Harmless: true, Owner: diag.Reader, Since: "0.2",
		Args: []string{"instance", "sealer", "question", "reason", "received"}, Key: bySet, Refs: []diag.Ref{diag.RFC(8617, "5.2"), diag.RFC(6376, "3.1")}}
	claim = &diag.Kind{ID: "ARC-CLAIM", Status: diag.Info, Since: "0.2",
		Args: []string{"sealer", "by", "claims"}, Refs: []diag.Ref{diag.RFC(8617, "4.1.1"), diag.RFC(8617, "7.2.1")}}
	modified = &diag.Kind{ID: "ARC-MODIFIED", Status: diag.Info, Since: "0.2",
		Args: []string{"instance", "sealer"}, Key: bySet, Refs: []diag.Ref{diag.RFC(8617, "5.2")}}
	pass = &diag.Kind{ID: "ARC-PASS", Status: diag.Pass, Since: "0.2",
		Args: []string{"count", "sealers"}, Refs: []diag.Ref{diag.RFC(8617, "5.2"), diag.RFC(8617, "9.5")}}
	none = &diag.Kind{ID: "ARC-NONE", Status: diag.Pass, Since: "0.2", Refs: []diag.Ref{diag.RFC(8617, "5.2")}}
)

// Check is the arc check.
var Check = &diag.Check{
	Name:         "arc",
	Docs:         docs,
	Kinds:        []*diag.Kind{structure, changed, sealBroken, unusable, failedBefore, undetermined, keyGone, claim, modified, pass, none},
	Needs:        diag.Needs{Input: diag.MailInput},
	Uses:         diag.Doors{DNS: true, Clock: true},
	Requires:     []diag.AnyFact{facts.MailSignatures},
	Run:          run,
	Undetermined: undetermined,
}

// Data are the check's facts for machines.
type Data struct {
	// CV is the state of the chain: none, pass, fail, or temperror where a key
	// could not be learnt.
	CV        string `json:"cv"`
	Instances int    `json:"instances"`
	// OldestPass is the lowest instance from which on the mail was not changed; 0
	// if the chain does not pass.
	OldestPass int     `json:"oldest_pass"`
	Sets       []Set   `json:"sets"`
	Faults     []Fault `json:"faults"`
}

// A Set is one set of the chain.
type Set struct {
	Instance int    `json:"instance"`
	Sealer   string `json:"sealer"` // d= of the seal
	Selector string `json:"selector"`
	CV       string `json:"cv"`      // what the seal says of the chain before it
	Seal     string `json:"seal"`    // pass, fail, temperror, unjudged; "" if missing
	Message  string `json:"message"` // pass, fail, temperror, permerror; "" if missing
	// By and Claims are what its ARC-Authentication-Results says: a claim.
	By     string   `json:"by"`
	Claims []string `json:"claims"`
	Line   int      `json:"line,omitempty"` // of the seal in the file
}

// A Fault is one thing for which the chain does not pass.
type Fault struct {
	Code     string `json:"code"`
	Instance int    `json:"instance,omitempty"`
	Field    string `json:"field,omitempty"`
	Line     int    `json:"line,omitempty"`
	Error    string `json:"error,omitempty"` // what is wrong in the field: a code
	KeyGone  string `json:"key_gone,omitempty"`
}

// maxFaults is how many faults are reported: one is enough for a chain to fail.
const maxFaults = 5

// maxClaims is how many results of a set are shown.
const maxClaims = 10

type run1 struct {
	*diag.Job
	mail *facts.Mail
	*arc.Report
	found []diag.Finding
	data  Data
}

func run(ctx context.Context, j *diag.Job) error {
	mail := facts.MailOf(j.Target)
	if mail == nil {
		return nil // there is no message: see Needs
	}
	auth, err := facts.MailSignatures.Of(ctx, j.World, mail)
	if err != nil {
		return err
	}
	c := &run1{Job: j, mail: mail, Report: auth.ARC}
	c.learn()
	switch c.Status {
	case arc.None:
		c.found = append(c.found, diag.Finding{Kind: none, Subject: c.subject(""), Args: diag.Args{}})
	case arc.Pass:
		c.passes()
	default:
		c.faults()
		if c.Status == arc.Fail && slices.ContainsFunc(c.found, func(f diag.Finding) bool { return f.Kind.Status == diag.Warn }) {
			// It fails whatever the keys were.
			c.found = slices.DeleteFunc(c.found, func(f diag.Finding) bool { return f.Kind == keyGone })
		}
	}
	// Worst first; within a status in the order of the chain.
	slices.SortStableFunc(c.found, func(a, b diag.Finding) int { return int(b.Kind.Status) - int(a.Kind.Status) })
	// A key serves for both signatures of a set: what is wrong with it is said once.
	said := map[string]bool{}
	for _, f := range c.found {
		k := f.Fingerprint()
		if f.Kind == unusable || f.Kind == keyGone {
			k = fmt.Sprint(f.Kind.ID, f.Args["instance"], f.Args["problem"], f.Args["reason"])
		}
		if !said[k] {
			said[k] = true
			j.Report(f)
		}
	}
	j.SetData(c.data)
	return nil
}

// learn sets what the data says of the sets.
func (c *run1) learn() {
	c.data = Data{CV: string(c.Status), Instances: len(c.Sets), OldestPass: c.OldestPass, Sets: []Set{}, Faults: []Fault{}}
	for _, s := range c.Sets {
		d := Set{Instance: s.Instance, Claims: []string{}}
		if s.Seal != nil {
			d.Sealer, d.Selector, d.CV, d.Seal = s.Seal.Domain, s.Seal.Selector, s.Seal.Chain, string(s.Seal.Status)
			d.Line = c.mail.Header[s.Seal.Index].Line
		}
		if s.Message != nil {
			d.Message = string(s.Message.RFC8301)
			if d.Sealer == "" {
				d.Sealer = s.Message.Domain
			}
		}
		if s.Results != nil {
			d.By, d.Claims = claims(s.Results.Text)
		}
		c.data.Sets = append(c.data.Sets, d)
	}
}

// claims are what an ARC-Authentication-Results field says, and who says it.
func claims(text string) (by string, out []string) {
	f := authres.Parse(text)
	out = []string{}
	for i := range f.Results {
		r := &f.Results[i]
		if len(out) == maxClaims {
			break
		}
		s := r.Method + "=" + r.Value
		if d := r.Domain(); d != "" {
			s += " (" + d + ")"
		}
		out = append(out, strings.ToValidUTF8(s, "�"))
	}
	return strings.ToValidUTF8(f.AuthservID, "�"), out
}

// passes reports on a chain that holds.
func (c *run1) passes() {
	sealers := []string{}
	for _, s := range c.data.Sets {
		sealers = append(sealers, s.Sealer)
	}
	last := c.Sets[len(c.Sets)-1]
	f := c.report(pass, last, diag.Args{"count": len(c.Sets), "sealers": sealers})
	f.Evidence = c.field(last.Seal.Index)
	first := c.Sets[0]
	if d := &c.data.Sets[0]; len(d.Claims) > 0 {
		f := c.report(claim, first, diag.Args{"by": d.By, "claims": d.Claims})
		f.Evidence = c.field(first.Results.Index)
	}
	// RFC 8617 §5.2, step 5: from the oldest that passes on the mail was not
	// changed. That the one before it does not is the work of the next forwarder,
	// unless it is the key that does not fit any more.
	if k := c.OldestPass; k > 1 {
		if m := c.Sets[k-2].Message; m.BodyMatch == dkim.Mismatches || m.HeaderMatch == dkim.Mismatches && m.Signed != nil {
			c.report(modified, c.Sets[k-1], nil).Evidence = c.field(m.Index)
		}
	}
}

// faults reports why a chain does not hold.
func (c *run1) faults() {
	for i := range c.Report.Faults {
		x := &c.Report.Faults[i]
		d := Fault{Code: x.Code, Instance: x.Instance, Field: x.Name}
		if x.Index >= 0 {
			d.Line = c.mail.Header[x.Index].Line
		}
		if x.Error != nil {
			d.Error = x.Error.Code
		}
		if i < maxFaults {
			d.KeyGone = c.fault(x)
		}
		if len(c.data.Faults) < arc.MaxSets {
			c.data.Faults = append(c.data.Faults, d)
		}
	}
}

// fault reports one fault. gone says why it may be none, where the DNS of today
// does not judge an old mail.
func (c *run1) fault(x *arc.Fault) (gone string) {
	var set *arc.Set
	if i := slices.IndexFunc(c.Sets, func(s *arc.Set) bool { return s.Instance == x.Instance }); i >= 0 {
		set = c.Sets[i]
	}
	switch x.Code {
	case arc.FaultChainFail:
		// RFC 8617 §5.1.2: whoever finds a chain broken says so, and it stays so.
		c.report(failedBefore, set, nil).Evidence = c.field(x.Index)
	case arc.FaultUnknownKey:
		r := set.Seal.Lookup
		if x.Name == arc.FieldMessage {
			r = set.Message.Lookup
		}
		f := c.report(undetermined, set, diag.Args{"question": r.Err.Question.String(), "reason": string(r.Err.Reason)})
		f.Unknown = append(f.Unknown, r.Err)
	case arc.FaultMessage:
		return c.message(set, set.Message)
	case arc.FaultSeal:
		return c.seal(set, set.Seal)
	default:
		args := diag.Args{"field": x.Name, "problem": x.Code, "instance": "unknown"}
		if x.Instance > 0 {
			args["instance"] = strconv.Itoa(x.Instance)
		}
		if x.Name == "" {
			args["field"] = "ARC"
		}
		if x.Error != nil {
			args["problem"] = x.Error.Code
		}
		f := c.report(structure, set, args)
		switch {
		case x.Error != nil && x.Error.End > 0:
			f.Evidence = []diag.Evidence{c.mail.SignatureEvidence(x.Index, x.Error.Start, x.Error.End)}
		case x.Index >= 0:
			f.Evidence = c.field(x.Index)
		}
	}
	return ""
}

// message reports a newest message signature that does not verify.
func (c *run1) message(set *arc.Set, m *dkim.Verification) string {
	old := !c.mail.DNSThen(c.Now(), m.Time)
	if m.BodyMatch == dkim.Mismatches || m.HeaderMatch == dkim.Mismatches && (m.Signed != nil || !old) {
		what := []string{}
		if m.BodyMatch == dkim.Mismatches {
			what = append(what, "body")
		}
		if m.HeaderMatch == dkim.Mismatches {
			what = append(what, "header")
		}
		c.report(changed, set, diag.Args{"what": what}).Evidence = c.field(m.Index)
		return ""
	}
	if m.HeaderMatch == dkim.Mismatches {
		return c.gone(set, m.Lookup, "key-other", m.Index)
	}
	for _, r := range append(append([]dkim.Reason{}, m.Reasons...), m.Refused...) {
		return c.unusable(set, m.Lookup, arc.FieldMessage, r, m.Index, old)
	}
	return ""
}

// seal reports a seal that does not verify.
func (c *run1) seal(set *arc.Set, s *arc.Seal) string {
	old := !c.mail.DNSThen(c.Now(), s.Time)
	switch {
	case s.Reason != dkim.ReasonHeader:
		return c.unusable(set, s.Lookup, arc.FieldSeal, s.Reason, s.Index, old)
	case old && s.Check.Signed == nil:
		return c.gone(set, s.Lookup, "key-other", s.Index)
	}
	c.report(sealBroken, set, nil).Evidence = c.field(s.Index)
	return ""
}

// unusable reports a signature whose key or method does not do.
func (c *run1) unusable(set *arc.Set, r *dkim.Result, field string, why dkim.Reason, index int, old bool) string {
	if old && strings.HasPrefix(string(why), "key-") {
		return c.gone(set, r, string(why), index)
	}
	f := c.report(unusable, set, diag.Args{"field": field, "problem": string(why)})
	f.Evidence = c.field(index)
	if r != nil && r.Answer != nil {
		for i, k := range r.Keys {
			if i == maxFaults || k.Fault() != nil && k.Fault().Code == dkim.ErrPrivateKey {
				break
			}
			rr := &r.Answer.RRs[i]
			f.Evidence = append(f.Evidence, facts.Evidence(rr, rr.Text(), 0, 0))
		}
	}
	return ""
}

// gone reports that the key of today does not judge an old mail.
func (c *run1) gone(set *arc.Set, r *dkim.Result, why string, index int) string {
	received := "unknown"
	if c.mail.ClockFrom != "now" {
		received = c.mail.Clock.Format("2006-01-02")
	}
	f := c.report(keyGone, set, diag.Args{"question": r.Name + " TXT", "reason": why, "received": received})
	f.Evidence = c.field(index)
	return why
}

func (c *run1) field(index int) []diag.Evidence {
	return []diag.Evidence{c.mail.SignatureEvidence(index, 0, 0)}
}

// report notes a finding about a set; nil is the whole chain.
func (c *run1) report(k *diag.Kind, set *arc.Set, args diag.Args) *diag.Finding {
	sealer, instance := "", 0
	if set != nil {
		i := slices.Index(c.Sets, set)
		sealer, instance = c.data.Sets[i].Sealer, set.Instance
	}
	f := diag.Finding{Kind: k, Subject: c.subject(sealer), Args: diag.Args{}}
	for n, v := range args {
		f.Args[n] = v
	}
	if slices.Contains(k.Args, "sealer") {
		if f.Args["sealer"] = sealer; sealer == "" {
			f.Args["sealer"] = "unknown"
		}
	}
	if slices.Contains(k.Args, "instance") && f.Args["instance"] == nil {
		f.Args["instance"] = instance
	}
	c.found = append(c.found, f)
	return &c.found[len(c.found)-1]
}

// subject is the domain of a sealer, or else what the mail is from.
func (c *run1) subject(sealer string) string {
	for _, d := range []string{sealer, c.Target.Domain} {
		if d != "" {
			return d
		}
	}
	return c.mail.File
}
