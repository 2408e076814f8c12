// Package whatif checks a mail under a supposition: with records that are not
// published yet, from another server, or after somebody has forwarded it. It says
// what would become of this very mail, beside what became of it.
package whatif

import (
	"context"
	"embed"
	"net/netip"
	"slices"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
)

//go:embed doc.*.md
var docs embed.FS

// What the check can find.
var (
	breaks = &diag.Kind{ID: "WHATIF-BREAKS", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"what", "before", "after"}, Refs: []diag.Ref{diag.RFC(9989, "4.4")}}
	undetermined = &diag.Kind{ID: "WHATIF-UNDETERMINED", Status: diag.Inconclusive, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"question", "reason"}, Key: []string{"question"}, Refs: []diag.Ref{diag.RFC(9989, "4.10")}}
	weaker = &diag.Kind{ID: "WHATIF-WEAKER", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"what", "before", "after", "lost"}, Refs: []diag.Ref{diag.RFC(9989, "4.4"), diag.RFC(7960, "3")}}
	forwardFails = &diag.Kind{ID: "WHATIF-FORWARD-FAILS", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"after"}, Refs: []diag.Ref{diag.RFC(7960, "3.2"), diag.RFC(7208, "11.2")}}
	helpless = &diag.Kind{ID: "WHATIF-FAILS", Status: diag.Info, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"what", "before", "after"}, Refs: []diag.Ref{diag.RFC(9989, "4.4")}}
	forwardPasses = &diag.Kind{ID: "WHATIF-FORWARD-PASSES", Status: diag.Pass, Since: "0.2",
		Args: []string{"by"}, Refs: []diag.Ref{diag.RFC(7960, "3.2")}}
	passes = &diag.Kind{ID: "WHATIF-PASSES", Status: diag.Pass, Since: "0.2",
		Args: []string{"what", "before", "after"}, Refs: []diag.Ref{diag.RFC(9989, "4.4")}}
)

// Check is the whatif check.
var Check = &diag.Check{
	Name:         "whatif",
	Docs:         docs,
	Kinds:        []*diag.Kind{breaks, undetermined, weaker, forwardFails, helpless, passes, forwardPasses},
	Needs:        diag.Needs{Input: diag.WhatIfInput},
	Uses:         diag.Doors{DNS: true},
	Requires:     []diag.AnyFact{facts.MailVerdict},
	Run:          run,
	Undetermined: undetermined,
}

// Data are the check's facts for machines. A part that was not asked for is null.
type Data struct {
	Before    *Outcome `json:"before"` // as the mail came in, by the DNS of now
	After     *Outcome `json:"after"`  // with what is supposed
	Forwarded *Outcome `json:"forwarded"`
}

// An Outcome is what one evaluation of the mail comes to.
type Outcome struct {
	SPF   string `json:"spf"`  // "none" if it was not judged
	DKIM  string `json:"dkim"` // of the best signature, "none" without one
	DMARC string `json:"dmarc"`
	// Passing are the identifiers that pass and are aligned.
	Passing []string `json:"passing"`
	state   state
	unknown []*dnsq.Error
}

// A state is whether something vouches for the From domain.
type state byte

const (
	fails state = iota
	vouched
	open // a question went unanswered, or the sending address is not known
)

func run(ctx context.Context, j *diag.Job) error {
	m := facts.MailOf(j.Target)
	var d Data
	defer func() { j.SetData(&d) }()
	after, err := judge(ctx, j.World, facts.MailAskOf(j.Target))
	if err != nil {
		return err
	}
	if m.Proposed {
		before, err := received(ctx, j, m)
		if err != nil {
			return err
		}
		d.Before, d.After = before, after
		compare(j, m, before, after)
	}
	if m.Forwarded {
		if d.Forwarded, err = judge(ctx, j.World, forward(j.Target)); err != nil {
			return err
		}
		forwarded(j, d.Forwarded)
	}
	return nil
}

func subject(t *diag.Target) string {
	if t.From != "" {
		return t.From
	}
	return facts.MailOf(t).File
}

// received evaluates the mail as it came in.
func received(ctx context.Context, j *diag.Job, m *facts.Mail) (*Outcome, error) {
	ask, w := facts.MailAskOf(j.Target), j.World
	if b := &m.AsReceived; b.Addr.IsValid() && b.Addr != ask.IP {
		ask.IP, ask.Helo = b.Addr, b.HELO
	}
	if j.Before != nil {
		w = j.Before
	}
	return judge(ctx, w, ask)
}

// stranger is an address that no host can have (RFC 1112 §4), so that no record
// names it but one that names everybody.
var stranger = netip.AddrFrom4([4]byte{240, 0, 0, 1})

// forward is the mail as a plain forwarder passes it on: unchanged, with the same
// Return-Path, from its own address. A forwarder that rewrites the Return-Path (SRS)
// passes SPF for its own domain, which is not the From domain, and so does the HELO
// name that SPF judges where the Return-Path is null: DMARC comes out the same.
func forward(t *diag.Target) facts.MailAsk {
	ask := facts.MailAskOf(t)
	ask.IP = stranger
	return ask
}

func judge(ctx context.Context, w *diag.World, ask facts.MailAsk) (*Outcome, error) {
	v, err := facts.MailVerdict.Of(ctx, w, ask)
	if err != nil {
		return nil, err
	}
	o := &Outcome{SPF: "none", DKIM: "none", DMARC: v.Result, Passing: []string{}, unknown: v.Unknown}
	for _, id := range v.Identifiers {
		switch {
		case id.Method == "spf":
			o.SPF = id.Result
		case o.DKIM == "none" || id.Result == "pass":
			o.DKIM = id.Result
		}
	}
	for _, id := range v.Passing() {
		o.Passing = append(o.Passing, id.Method+" "+id.Domain)
	}
	switch {
	case v.Result == "pass", len(o.Passing) > 0:
		o.state = vouched // without a policy too: receivers look at alignment all the same
	case v.Result == "temperror", !ask.IP.IsValid() && !ask.NoMailFrom:
		o.state = open
	case slices.ContainsFunc(v.Identifiers, func(id facts.Identifier) bool { return id.Result == "temperror" }):
		o.state = open
	}
	return o, nil
}

// words are an outcome for people.
func (o *Outcome) words() []string {
	return []string{"SPF " + o.SPF, "DKIM " + o.DKIM, "DMARC " + o.DMARC}
}

// undecided reports what kept an outcome from being found out.
func undecided(j *diag.Job, o *Outcome) {
	for i, e := range o.unknown {
		if i == 4 {
			break
		}
		j.Report(diag.Finding{Kind: undetermined, Subject: subject(j.Target), Unknown: []*dnsq.Error{e},
			Args: diag.Args{"question": e.Question.String(), "reason": string(e.Reason)}})
	}
	if len(o.unknown) == 0 {
		j.Report(diag.Finding{Kind: undetermined, Subject: subject(j.Target),
			Args: diag.Args{"question": "sending-address", "reason": "not-known"}})
	}
}

// compare reports what the supposition changes.
func compare(j *diag.Job, m *facts.Mail, before, after *Outcome) {
	// With a question open that does not decide whether it passes, whether something
	// is lost is open still.
	if after.state == open || len(after.unknown) > 0 {
		undecided(j, after)
		return
	}
	if after.state == fails && before.state == open {
		undecided(j, before) // whether it is the change that breaks it
		return
	}
	what, owner := "records", diag.Nobody
	if m.AsReceived.Addr.IsValid() && len(j.Target.IPs) > 0 && m.AsReceived.Addr != j.Target.IPs[0] {
		what = "address"
		if j.Before != nil {
			what = "both"
		} else {
			owner = diag.MailAdmin // no record is proposed
		}
	}
	f := diag.Finding{Subject: subject(j.Target), Args: diag.Args{"what": what, "before": []string{"unknown"}, "after": after.words()}}
	if before.state != open {
		f.Args["before"] = before.words()
	}
	switch {
	case after.state == fails && before.state == vouched:
		f.Kind, f.Owner = breaks, owner
	case after.state == fails:
		f.Kind, f.Owner = helpless, owner
	default:
		f.Kind = passes
		lost := []string{}
		for _, p := range before.Passing {
			if !slices.Contains(after.Passing, p) {
				lost = append(lost, p)
			}
		}
		if len(lost) > 0 && len(after.Passing) < len(before.Passing) {
			f.Kind, f.Owner, f.Args["lost"] = weaker, owner, lost
		}
	}
	j.Report(f)
}

// forwarded reports what becomes of the mail when somebody forwards it.
func forwarded(j *diag.Job, o *Outcome) {
	switch o.state {
	case open:
		undecided(j, o)
	case vouched:
		j.Report(diag.Finding{Kind: forwardPasses, Subject: subject(j.Target), Args: diag.Args{"by": o.Passing}})
	default:
		j.Report(diag.Finding{Kind: forwardFails, Subject: subject(j.Target), Args: diag.Args{"after": o.words()}})
	}
}
