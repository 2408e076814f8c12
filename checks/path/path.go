// Package path checks the way that a mail came, by its Received fields: whether
// the address that sent it is known and who says so, where it waited, whether the
// clocks agree, whether it was encrypted on its way to the receiver, and whether
// it goes round in circles.
//
// What the receiver wrote is a fact. What stands below it was in the mail when it
// came, and anybody can write anything there: findings about it say "according
// to".
package path

import (
	"context"
	"embed"
	"net/netip"
	"slices"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/message"
	"github.com/todoku-mail/todoku/pkg/received"
)

//go:embed doc.*.md
var docs embed.FS

var traceFields = diag.RFC(5321, "4.4")

// What the check can find.
var (
	loop = &diag.Kind{ID: "PATH-LOOP", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"from", "times"}, Refs: []diag.Ref{diag.RFC(5321, "6.3")}}
	tooMany = &diag.Kind{ID: "PATH-TOO-MANY-HOPS", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"hops"}, Refs: []diag.Ref{diag.RFC(5321, "6.3"), facts.GmailCodes}}
	addressUnknown = &diag.Kind{ID: "PATH-ADDRESS-UNKNOWN", Status: diag.Inconclusive, Owner: diag.Reader, Since: "0.2",
		Args: []string{"why", "candidates", "host"}, Refs: []diag.Ref{traceFields, diag.RFC(7208, "2.4")}}
	noReceived = &diag.Kind{ID: "PATH-NO-RECEIVED", Status: diag.Inconclusive, Owner: diag.Reader, Since: "0.2",
		Refs: []diag.Ref{traceFields}}
	sendersCopy = &diag.Kind{ID: "PATH-SENDERS-COPY", Status: diag.Inconclusive, Owner: diag.Reader, Since: "0.2",
		Args: []string{"host"}, Refs: []diag.Ref{diag.RFC(6409, "3.1"), traceFields}}
	noTLS = &diag.Kind{ID: "PATH-NO-TLS", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"address", "protocol"}, Refs: []diag.Ref{facts.Gmail, diag.RFC(3207, "4"), diag.RFC(3848, "")}}
	oldTLS = &diag.Kind{ID: "PATH-OLD-TLS", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"address", "version"}, Refs: []diag.Ref{diag.RFC(8996, "4"), diag.RFC(8996, "5")}}
	delayed = &diag.Kind{ID: "PATH-DELAYED", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"duration", "next", "hop", "word"}, Key: []string{"hop"}, Refs: []diag.Ref{diag.RFC(5321, "4.5.4.1"), diag.RFC(6647, "2")}}
	delayedInside = &diag.Kind{ID: "PATH-DELAYED-AT-RECEIVER", Status: diag.Info, Owner: diag.Receiver, Since: "0.2",
		Args: []string{"duration", "next", "hop"}, Key: []string{"hop"}, Refs: []diag.Ref{diag.RFC(5321, "4.5.4.1")}}
	clock = &diag.Kind{ID: "PATH-CLOCK-BACKWARDS", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"duration", "next", "hop", "word"}, Key: []string{"hop"}, Refs: []diag.Ref{traceFields, diag.RFC(6376, "3.5")}}
	nameThen = &diag.Kind{ID: "PATH-NO-NAME-THEN", Status: diag.Info, Since: "0.2",
		Args: []string{"names", "receiver"}, Refs: []diag.Ref{diag.RFC(8601, "3"), diag.RFC(1912, "2.1")}}
	given = &diag.Kind{ID: "PATH-ADDRESS-NOT-THERE", Status: diag.Info, Since: "0.2",
		Refs: []diag.Ref{traceFields}}
	ok = &diag.Kind{ID: "PATH-OK", Status: diag.Pass, Since: "0.2",
		Args: []string{"receiver", "hops"}, Refs: []diag.Ref{traceFields}}
	undetermined = &diag.Kind{ID: "PATH-UNDETERMINED", Status: diag.Inconclusive, Owner: diag.Provider, Since: "0.2",
		Args: []string{"question", "reason"}, Refs: []diag.Ref{diag.RFC(1912, "2.1")}}
)

// Check is the path check.
var Check = &diag.Check{
	Name: "path",
	Docs: docs,
	Kinds: []*diag.Kind{addressUnknown, noReceived, sendersCopy, loop, tooMany, noTLS, oldTLS, delayed, clock,
		delayedInside, nameThen, given, ok, undetermined},
	Needs:        diag.Needs{Input: diag.MailInput},
	Uses:         diag.Doors{DNS: true},
	Requires:     []diag.AnyFact{facts.Reverse},
	Run:          run,
	Undetermined: undetermined,
}

// Limits of what is taken as in order.
const (
	// slowSeconds is how long a mail may take from one host to the next. A receiver
	// that greylists makes the sender come again, which Postfix does after five
	// minutes and Exim after fifteen by default; what takes longer was put off more
	// than once, or lay somewhere.
	slowSeconds = 20 * 60
	// clockSeconds is by how much clocks may disagree: five minutes, the drift that
	// OpenDKIM allows a signature's times by default.
	clockSeconds = 5 * 60
	// maxHops is the number of Received fields from which on servers begin to take
	// a mail for one in a loop: 25 in sendmail, 30 in Exim, 50 in Postfix and at
	// Gmail. RFC 5321 §6.3 would have at least 100.
	maxHops = 25
	// loopTimes is how often a mail may take the same step. Twice happens to mail
	// that a mailing list sends back to where it came from.
	loopTimes = 3
)

// Data are the check's facts for machines.
type Data struct {
	// Sending is the host that delivered the mail to the receiver; null if it is
	// not known, Reason then says why.
	Sending *Sending `json:"sending"`
	Reason  string   `json:"reason,omitempty"`
	// Candidates are addresses that could be the sending one, where it is not known.
	Candidates []Candidate `json:"candidates,omitempty"`
	Hops       []Hop       `json:"hops"` // in the order of travel
	More       int         `json:"more,omitempty"`
	route      *diag.Route
}

// Route is the way of the mail for a drawing.
func (d *Data) Route() *diag.Route { return d.route }

// Sending is who delivered the mail to the receiver.
type Sending struct {
	IP      string `json:"ip"`
	Helo    string `json:"helo"`
	Reverse string `json:"reverse"` // the name that the receiver found for the address
	// From says how it is known: "ip" (given), "receiver-host", "known-receiver".
	From     string `json:"from"`
	Receiver string `json:"receiver"`
	Hop      int    `json:"hop"` // in Hops, from 1; 0 if the address is in none
}

// A Candidate is an address that could be the sending one.
type Candidate struct {
	IP  string `json:"ip"`
	By  string `json:"by"` // who says so
	Hop int    `json:"hop"`
}

// A Hop is one Received field. What it says is a claim unless Trusted.
type Hop struct {
	Line          int    `json:"line"` // of the file
	Helo          string `json:"helo"`
	Reverse       string `json:"reverse"`
	IP            string `json:"ip"`
	Kind          string `json:"kind"` // of the address: public, private, loopback, link-local, reserved, none
	By            string `json:"by"`
	With          string `json:"with"`
	TLS           string `json:"tls"` // "yes", "no", "unknown"
	TLSVersion    string `json:"tls_version,omitempty"`
	Authenticated bool   `json:"authenticated"`
	Local         bool   `json:"local"`   // from a program on the host itself
	Fetched       bool   `json:"fetched"` // collected from a mailbox
	Time          string `json:"time"`    // RFC 3339; "" if there is none
	DelaySeconds  *int   `json:"delay_seconds"`
	Trusted       bool   `json:"trusted"`
}

// A walk is the check's look at one mail. Steps are topmost first, as in the
// file; fields[i] is the Received field of steps[i].
type walk struct {
	job    *diag.Job
	mail   *facts.Mail
	path   *received.Path
	fields []*message.Field
	found  bool // something that is no pass was reported
	data   Data
}

func run(ctx context.Context, j *diag.Job) error {
	m := facts.MailOf(j.Target)
	w := &walk{job: j, mail: m, path: m.Path, fields: m.Fields("Received")}
	j.SetData(&w.data)
	b := &w.path.Boundary
	if b.How != received.NotKnown && b.Addr.IsValid() && w.noName() && facts.Public(b.Addr) {
		facts.Reverse.Start(j.World, b.Addr)
	}
	w.describe()
	w.address()
	w.circles()
	w.protection()
	w.times()
	w.nameThen(ctx)
	if !w.found && b.Index >= 0 {
		j.Report(diag.Finding{Kind: ok, Subject: b.Addr.String(), Args: diag.Args{"receiver": w.receiver(), "hops": len(w.path.Steps)},
			Evidence: w.evidence(b.Index)})
	}
	return nil
}

func (w *walk) report(f diag.Finding) {
	w.found = w.found || f.Kind.Status > diag.Info
	w.job.Report(f)
}

// evidence is the fields of steps, those that there are.
func (w *walk) evidence(steps ...int) []diag.Evidence {
	var out []diag.Evidence
	for _, i := range steps {
		if i >= 0 && i < len(w.fields) {
			out = append(out, w.mail.FieldEvidence(w.fields[i], 0, 0))
		}
	}
	return out
}

// hop is the number of a step in the order of travel, from 1.
func (w *walk) hop(i int) int { return len(w.path.Steps) - i }

// receiver is who received the mail: its name, or that of its host.
func (w *walk) receiver() string {
	b := &w.path.Boundary
	if b.Receiver == "" && b.Index >= 0 {
		return w.path.Steps[b.Index].By
	}
	return b.Receiver
}

// address says why the sending address is not known, and what would tell.
func (w *walk) address() {
	b := &w.path.Boundary
	subject := w.mail.File
	if b.How != received.NotKnown {
		if b.Index < 0 {
			w.report(diag.Finding{Kind: given, Subject: b.Addr.String(), Args: diag.Args{}})
		}
		return
	}
	switch b.Reason {
	case received.NoReceived:
		w.report(diag.Finding{Kind: noReceived, Subject: subject, Args: diag.Args{}})
		return
	case received.WasSubmission:
		// Whichever field says so: the topmost with a login is the submission.
		at := max(slices.IndexFunc(w.path.Steps, func(s received.Step) bool { return s.Authenticated }), 0)
		w.report(diag.Finding{Kind: sendersCopy, Subject: subject, Args: diag.Args{"host": w.path.Steps[at].By}, Evidence: w.evidence(at)})
		return
	}
	candidates := []string{}
	for _, i := range b.Candidates {
		if len(candidates) < 5 && !slices.Contains(candidates, w.path.Steps[i].Addr.String()) {
			candidates = append(candidates, w.path.Steps[i].Addr.String())
		}
	}
	steps := b.Candidates
	if len(steps) == 0 {
		steps = []int{0}
	}
	w.report(diag.Finding{Kind: addressUnknown, Subject: subject, Evidence: w.evidence(steps[:min(3, len(steps))]...),
		Args: diag.Args{"why": string(b.Reason), "candidates": candidates, "host": w.topHost()}})
}

// topHost is the host that the topmost field with the name of one is by: that
// which --receiver-host would name.
func (w *walk) topHost() string {
	for i := range w.path.Steps {
		if name, err := dnsq.ParseName(w.path.Steps[i].By); err == nil && strings.Contains(name, ".") {
			if _, err := netip.ParseAddr(name); err != nil {
				return name
			}
		}
	}
	return ""
}

// circles looks for steps that the mail took again and again.
func (w *walk) circles() {
	type step struct {
		addr netip.Addr
		by   string
	}
	seen := map[step][]int{}
	worst := step{}
	for i := range w.path.Steps {
		s := &w.path.Steps[i]
		// Filters hand mail round on one host; that is no way.
		if s.Kind != received.PublicNet || s.By == "" {
			continue
		}
		k := step{s.Addr, strings.ToLower(s.By)}
		seen[k] = append(seen[k], i)
		if len(seen[k]) > len(seen[worst]) {
			worst = k
		}
	}
	if at := seen[worst]; len(at) >= loopTimes {
		w.report(diag.Finding{Kind: loop, Subject: worst.by, Args: diag.Args{"from": worst.addr.String(), "times": len(at)}, Evidence: w.evidence(at[:min(len(at), 6)]...)})
		return
	}
	if n := len(w.path.Steps) + w.path.More; n > maxHops {
		w.report(diag.Finding{Kind: tooMany, Subject: w.mail.File, Args: diag.Args{"hops": n}, Evidence: w.evidence(0)})
	}
}

// protection looks at the step to the receiver, of which only the receiver's own
// word counts.
func (w *walk) protection() {
	b := &w.path.Boundary
	if b.Index < 0 {
		return
	}
	s := &w.path.Steps[b.Index]
	switch tls := encrypted(s); {
	case tls == "no":
		w.report(diag.Finding{Kind: noTLS, Subject: s.By, Args: diag.Args{"address": s.Addr.String(), "protocol": s.With}, Evidence: w.evidence(b.Index)})
	case old(s.TLS.Version):
		w.report(diag.Finding{Kind: oldTLS, Subject: s.By, Args: diag.Args{"address": s.Addr.String(), "version": s.TLS.Version}, Evidence: w.evidence(b.Index)})
	}
}

// encrypted says whether the connection of a step was: "yes", "no", "unknown". A
// field that says nothing of TLS is a "no" only of a program that always says it,
// and of a connection over the network (RFC 3848: ESMTPS with TLS, ESMTP without).
func encrypted(s *received.Step) string {
	if s.TLS.Used {
		return "yes"
	}
	first, _, _ := strings.Cut(strings.ToUpper(s.With), " ")
	switch s.Software {
	case received.Postfix, received.Exim, received.Sendmail, received.Google:
		switch first {
		case "SMTP", "ESMTP", "ESMTPA", "UTF8SMTP", "UTF8SMTPA":
			return "no"
		}
	}
	return "unknown"
}

// old reports whether a version of TLS is one that must not be used any more (RFC
// 8996 §4, §5).
func old(version string) bool {
	return version == "TLS1.0" || version == "TLS1.1" || strings.HasPrefix(version, "SSL")
}

// times says where the mail waited, and which clocks disagree.
func (w *walk) times() {
	for i := len(w.path.Steps) - 1; i >= 0; i-- { // as it travelled
		s := &w.path.Steps[i]
		if !s.HasDelay || s.Fetched {
			continue // somebody collected it when they liked
		}
		below := i + 1
		for below < len(w.path.Steps) && !w.path.Steps[below].HasDate {
			below++
		}
		before := &w.path.Steps[below]
		seconds := int(s.Delay.Seconds())
		args := diag.Args{"duration": max(seconds, -seconds), "next": s.By, "hop": w.hop(i), "word": "claim"}
		if before.Trusted {
			args["word"] = "fact"
		}
		switch {
		case seconds < -clockSeconds:
			w.report(diag.Finding{Kind: clock, Subject: before.By, Args: args, Evidence: w.evidence(i, below)})
		case seconds <= slowSeconds:
		case i < w.path.Boundary.Index:
			delete(args, "word") // it is always the receiver's
			w.found = true
			w.report(diag.Finding{Kind: delayedInside, Subject: before.By, Args: args, Evidence: w.evidence(i, below)})
		default:
			w.report(diag.Finding{Kind: delayed, Subject: before.By, Args: args, Evidence: w.evidence(i, below)})
		}
	}
}

// noName reports whether the receiver says that it found no name for the address.
func (w *walk) noName() bool {
	i := w.path.Boundary.Index
	return i >= 0 && w.path.Steps[i].NoReverse
}

// nameThen says that the receiver found no name for the address, where it has one
// today. Where it has none, the ptr check says so.
func (w *walk) nameThen(ctx context.Context) {
	b := &w.path.Boundary
	if !w.noName() || !facts.Public(b.Addr) {
		return
	}
	r, err := facts.Reverse.Of(ctx, w.job.World, b.Addr)
	if err != nil {
		e := dnsq.AsError(dnsq.Q(dnsq.ReverseName(b.Addr), dnsq.TypePTR), err)
		w.undecided(b.Addr, e)
		return
	}
	if names := r.Confirmed(); len(names) > 0 {
		w.report(diag.Finding{Kind: nameThen, Subject: b.Addr.String(), Args: diag.Args{"names": names, "receiver": w.receiver()}, Evidence: w.evidence(b.Index)})
		return
	}
	for _, e := range r.Unknown() {
		w.undecided(b.Addr, e)
		return
	}
}

func (w *walk) undecided(ip netip.Addr, e *dnsq.Error) {
	w.report(diag.Finding{Kind: undetermined, Subject: ip.String(),
		Args: diag.Args{"question": e.Question.String(), "reason": string(e.Reason)}, Unknown: []*dnsq.Error{e}})
}

// describe sets the data and the drawing.
func (w *walk) describe() {
	b := &w.path.Boundary
	w.data.Hops, w.data.More = []Hop{}, w.path.More
	w.data.route = &diag.Route{Border: -1, Receiver: w.receiver(), More: w.path.More}
	for i := len(w.path.Steps) - 1; i >= 0; i-- {
		w.data.Hops = append(w.data.Hops, w.describeHop(i))
		w.data.route.Legs = append(w.data.route.Legs, w.leg(i))
	}
	if b.Index >= 0 {
		w.data.route.Border = w.hop(b.Index) - 1
	}
	if b.How != received.NotKnown {
		w.data.Sending = &Sending{IP: b.Addr.String(), Helo: b.HELO, Reverse: b.Reverse, From: string(b.How), Receiver: b.Receiver}
		if b.Index >= 0 {
			w.data.Sending.Hop = w.hop(b.Index)
		}
		return
	}
	w.data.Reason = string(b.Reason)
	for _, i := range b.Candidates {
		w.data.Candidates = append(w.data.Candidates, Candidate{w.path.Steps[i].Addr.String(), w.path.Steps[i].By, w.hop(i)})
	}
}

func (w *walk) describeHop(i int) Hop {
	s := &w.path.Steps[i]
	h := Hop{Helo: s.HELO, Reverse: s.Reverse, Kind: string(s.Kind), By: s.By, With: s.With, TLS: encrypted(s), TLSVersion: s.TLS.Version,
		Authenticated: s.Authenticated, Local: s.Local, Fetched: s.Fetched, Trusted: s.Trusted, Line: w.fields[i].Line}
	if s.Addr.IsValid() {
		h.IP = s.Addr.String()
	}
	if s.HasDate {
		h.Time = s.Date.Time.Format("2006-01-02T15:04:05Z07:00")
	}
	if s.HasDelay {
		n := int(s.Delay.Seconds())
		h.DelaySeconds = &n
	}
	return h
}

func (w *walk) leg(i int) diag.Leg {
	s := &w.path.Steps[i]
	l := diag.Leg{From: s.HELO, Name: s.Reverse, To: s.By, With: s.With, TLS: s.TLS.Version, Delay: s.Delay, HasDelay: s.HasDelay, Claim: !s.Trusted}
	if s.Addr.IsValid() {
		l.Addr = s.Addr.String()
	}
	if l.To == "" && s.ByAddr.IsValid() {
		l.To = s.ByAddr.String()
	}
	if s.HasDate {
		l.Time = s.Date.Time
	}
	note := func(code string, bad bool) { l.Notes = append(l.Notes, diag.LegNote{Code: code, Bad: bad}) }
	switch s.Kind {
	case received.Private, received.Loopback, received.LinkLocal, received.Reserved:
		note(string(s.Kind), false)
	}
	if s.NoReverse {
		note("no-reverse", i == w.path.Boundary.Index)
	}
	switch {
	case s.Local:
		note("program", false)
	case s.HTTP:
		note("web", false)
	case s.Fetched:
		note("fetched", false)
	case s.Authenticated:
		note("login", false)
	}
	switch tls := encrypted(s); {
	case tls == "yes" && old(s.TLS.Version):
		note("old-tls", i == w.path.Boundary.Index)
	case tls == "yes" && s.TLS.Version == "":
		note("tls", false)
	case tls == "no" && s.Kind == received.PublicNet:
		note("no-tls", i == w.path.Boundary.Index)
	}
	if s.HasDelay && !s.Fetched {
		switch seconds := int(s.Delay.Seconds()); {
		case seconds > slowSeconds:
			note("slow", true)
		case s.Backwards:
			note("backwards", seconds < -clockSeconds)
		}
	}
	if !s.HasDate {
		note("no-time", false)
	}
	return l
}
