// Package diag is todoku's vocabulary: what a check is, what it can find, and
// what a report holds. It does no I/O and knows no protocol.
//
// A [Check] is a struct value in a list (see package checks), not an interface
// and not registered by init: its name, documents, kinds of finding and needs
// are data that `todoku list`, `explain`, [Validate] and the completeness test
// read without running anything.
//
// A [Finding] is a [Kind], which has an ID, and data. No sentence is written
// here or in a check: texts live in doc.<lang>.md beside each check and are
// put together at the edge (packages i18n and render). So a finding can be
// compared, waived, counted and translated.
package diag

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// A Status is how bad something is. The order is that of the report contract:
// skip < pass < info < warn < inconclusive < fail.
type Status int8

const (
	Skip Status = iota
	Pass
	Info
	Warn
	Inconclusive
	Fail
)

// Statuses lists every Status in order.
var Statuses = []Status{Skip, Pass, Info, Warn, Inconclusive, Fail}

var statusNames = [...]string{"skip", "pass", "info", "warn", "inconclusive", "fail"}

// String is the status as the JSON report spells it.
func (s Status) String() string {
	if s < 0 || int(s) >= len(statusNames) {
		return fmt.Sprintf("status(%d)", int8(s))
	}
	return statusNames[s]
}

// MarshalText is String.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Status) UnmarshalText(b []byte) error {
	for i, n := range statusNames {
		if n == string(b) {
			*s = Status(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not a status: expected one of %s", b, strings.Join(statusNames[:], ", "))
}

// An Owner is who has to act.
type Owner string

const (
	Nobody    Owner = ""           // nothing to do
	DNSAdmin  Owner = "dns-admin"  // whoever edits the domain's DNS records
	MailAdmin Owner = "mail-admin" // whoever runs the sending mail server
	Developer Owner = "developer"  // whoever wrote or configured the site, form or program
	Provider  Owner = "provider"   // the hosting or mail provider
	Receiver  Owner = "receiver"   // whoever runs the receiving mail server
	Reader    Owner = "reader"     // the person who reads the mail
)

// Owners lists every Owner but Nobody.
var Owners = []Owner{DNSAdmin, MailAdmin, Developer, Provider, Receiver, Reader}

// A Ref is where something is laid down: an RFC with its section, or a page.
type Ref struct {
	RFC     int    // 0 if it is not an RFC
	Section string // "4.6.4"; "" for the whole document
	Title   string // of a page that is no RFC: who says it
	Link    string // of a page that is no RFC
}

// RFC is a reference to a section of an RFC.
func RFC(n int, section string) Ref { return Ref{RFC: n, Section: section} }

// Page is a reference to a document that is no RFC.
func Page(title, url string) Ref { return Ref{Title: title, Link: url} }

// URL is where to read it.
func (r Ref) URL() string {
	if r.RFC == 0 {
		return r.Link
	}
	u := "https://www.rfc-editor.org/rfc/rfc" + strconv.Itoa(r.RFC)
	if r.Section != "" {
		u += "#section-" + r.Section
	}
	return u
}

// String is "RFC 7208 §4.6.4", or the title of a page.
func (r Ref) String() string {
	switch {
	case r.RFC == 0:
		return r.Title
	case r.Section == "":
		return fmt.Sprintf("RFC %d", r.RFC)
	}
	return fmt.Sprintf("RFC %d §%s", r.RFC, r.Section)
}

// MarshalJSON writes the reference as the report contract has it.
func (r Ref) MarshalJSON() ([]byte, error) {
	return marshal(struct {
		RFC     int    `json:"rfc,omitempty"`
		Section string `json:"section,omitempty"`
		Title   string `json:"title,omitempty"`
		URL     string `json:"url"`
	}{r.RFC, r.Section, r.Title, r.URL()})
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// A Kind is one thing a check can find. One Kind per remedy: two causes that
// need different advice are two Kinds.
type Kind struct {
	ID     string // "SPF-MISSING"; stable for ever
	Status Status
	Owner  Owner    // who acts, unless a finding says otherwise
	Args   []string // names of the values its texts may use, beside {subject}
	// Key names those Args that tell findings of this kind about one subject
	// apart (an address, a host, a selector). They are part of the fingerprint.
	Key   []string
	Refs  []Ref
	Since string // the version that brought it, "0.1"
	// Harmless marks an inconclusive kind about something that the verdict does
	// not need: it is said and counted, but leaves the status of its check and of
	// the run, and so the exit code, as they are.
	Harmless bool
	// Moots: with a finding of this kind everything that other checks say about
	// its subject, or about names below, is beside the point. The engine puts
	// one finding of their kind Skipped in its place.
	Moots bool
}

// Weight is the status with which a finding of the kind counts for its check
// and for the run: Status, or Skip if it is harmless.
func (k *Kind) Weight() Status {
	if k.Harmless {
		return Skip
	}
	return k.Status
}

// Args are the values of a finding, by name. Values are string, int, bool or
// []string, so that every renderer can show them.
type Args map[string]any

// Evidence is a record (or another text) that a finding rests on.
type Evidence struct {
	Name string // owner of the record, or what the text is
	Type string // "TXT", "MX", …
	Text string // raw: hostile until sanitised by a renderer
	// Offset and Length mark the octets of Text at fault; Length 0: the whole.
	Offset, Length int
	Source         dnsq.Source
	File           string // zone file, if that is where it came from
	Line           int    // from 1
}

// An Edit changes one record. Old empty adds New; New empty removes Old. Text
// is RDATA as [dnsq.RR.Text] has it for TXT (no quotes), presentation format
// for other types.
type Edit struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Old  string `json:"old"`
	New  string `json:"new"`
}

// A Fix is a set of edits that removes a finding.
type Fix struct {
	Owner Owner
	Edits []Edit
	// Verified: the engine laid the edits over the DNS, ran every check again,
	// the finding was gone and nothing got worse. Only the engine sets it.
	Verified bool
	// Unverified says why not: IDs of the findings that stayed or came,
	// "inconclusive:" and a question that got no answer, "edit:" and why the edits
	// cannot be made, or "not-tried". Only the engine sets it.
	Unverified []string
}

// A Finding is one thing found. Its Kind belongs to the check that reports it.
type Finding struct {
	Kind     *Kind
	Subject  string // the domain name or address it is about
	Args     Args
	Evidence []Evidence
	Fixes    []Fix
	// Owner replaces Kind.Owner where the data says so; Nobody keeps it.
	Owner Owner
	// Unknown are the questions without an answer that an inconclusive
	// finding rests on.
	Unknown []*dnsq.Error
	// Waived says that people have accepted the finding, and why; nil if not. It
	// is shown and counted as waived and weighs nothing. Only package gate sets it.
	Waived *Waiver
	// Known: a baseline report has the finding already. It is shown and counts
	// for the status, but not for the exit code. Only package gate sets it.
	Known bool
}

// A Waiver accepts a finding, for a reason and until a date.
type Waiver struct {
	ID, Subject string // which finding: of this kind, about this name or address; or
	Fingerprint string // this very finding
	Reason      string
	Expires     time.Time // the first day on which it holds no more, UTC
	Place       Place     // where it is written
}

// Covers reports whether the waiver is about the finding, in force or not. An
// inconclusive finding is covered only by a waiver that names its ID: what was
// accepted is a fault that is known, not whatever could not be found out.
func (w *Waiver) Covers(f *Finding) bool {
	if w.ID != f.Kind.ID && (w.ID != "" || f.Kind.Status == Inconclusive) {
		return false
	}
	if w.Fingerprint != "" {
		return w.Fingerprint == f.Fingerprint()
	}
	return w.ID != "" && dnsq.CanonicalName(w.Subject) == dnsq.CanonicalName(f.Subject)
}

// InForce reports whether the waiver holds at a time.
func (w *Waiver) InForce(now time.Time) bool { return now.Before(w.Expires) }

// Name is how the waiver is called: its ID and subject, or its fingerprint.
func (w *Waiver) Name() string {
	switch {
	case w.Fingerprint == "":
		return w.ID + " " + w.Subject
	case w.ID != "":
		return w.ID + " " + w.Fingerprint
	}
	return w.Fingerprint
}

// A WaiverUse is what became of a waiver in a run.
type WaiverUse struct {
	Waiver
	Findings int // that it covers, in all reports of the run
	// Looked: whether anything is covered was found out. If not, Unknown are the
	// questions without an answer, if that is why.
	Looked  bool
	Unknown []*dnsq.Error
}

// A Place is where something is written, such as the line of the inventory that
// names a target. The zero Place is nowhere.
type Place struct {
	File string
	Line int // from 1; 0 is unknown
}

// Weight is the status with which the finding counts: that of its kind, or Skip
// if it is waived.
func (f *Finding) Weight() Status {
	if f.Waived != nil {
		return Skip
	}
	return f.Kind.Weight()
}

// Who is who has to act.
func (f *Finding) Who() Owner {
	if f.Owner != Nobody {
		return f.Owner
	}
	return f.Kind.Owner
}

// Fingerprint identifies the finding across runs, languages and versions. It
// is made of
//   - the ID: what is wrong;
//   - the check is not part of it: an ID belongs to one check for ever;
//   - the subject: about which name or address;
//   - the arguments in Kind.Key, which name things too: which of two MX hosts,
//     which of three addresses. Without them their findings would be one;
//   - name and type of each piece of evidence: on which record.
//
// Never of record text, counts or positions: a record that is edited and still
// wrong in the same way is the same finding.
func (f *Finding) Fingerprint() string {
	h := sha256.New()
	put := func(s string) { fmt.Fprintf(h, "%d:%s,", len(s), s) }
	put(f.Kind.ID)
	put(f.Subject)
	for _, k := range f.Kind.Key {
		put(fmt.Sprint(f.Args[k]))
	}
	seen := map[string]bool{}
	for _, e := range f.Evidence {
		if k := e.Name + " " + e.Type; !seen[k] {
			seen[k] = true
			put(e.Name)
			put(e.Type)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// Needs says what a check cannot do without.
type Needs struct {
	IP bool // at least one sending address; without one the check says SKIPPED, of all or of a part
	// Input is what the check is about, if that is not the DNS as everybody sees
	// it. Without its input a check is not run and not mentioned ([Check.Applies]).
	Input Input
}

// An Input is something that a command may or may not have been given.
type Input string

const (
	NoInput   Input = ""
	ZoneInput Input = "zone" // text of zone files (Target.Zones)
	LockInput Input = "lock" // a lock file (Target.Lock)
	GateInput Input = "gate" // waivers (Report.Waivers)
	// InventoryInput is what people declare about a domain (Target.Declared).
	InventoryInput Input = "inventory"
	MailInput      Input = "message" // a message (Target.Message)
	WhatIfInput    Input = "what-if" // something about the message to be supposed
)

// Applies reports whether the target has what the check needs to say anything.
func (c *Check) Applies(t *Target) bool {
	if t.Domain == "" && c.Needs.Input != MailInput {
		return false // a message that names no domain: there is only the message to look at
	}
	return c.Needs.Input == NoInput || t.Inputs[c.Needs.Input]
}

// Doors are the ways to the outside that a check uses, through its Job.
type Doors struct{ DNS, SMTP, HTTPS, Clock bool }

// A Check is one pluggable check.
type Check struct {
	Name     string // "spf": lower case, stable, the value of --only and --skip
	Docs     fs.FS  // holds doc.en.md and doc.ja.md
	Kinds    []*Kind
	Needs    Needs
	Uses     Doors
	Requires []AnyFact // the facts that Run pulls; others may not be pulled
	// Run reports findings to the Job. An error or a panic costs the check one
	// inconclusive finding of kind Undetermined and nothing that was reported
	// before.
	Run func(context.Context, *Job) error
	// Review stands in place of Run in a check that is about what the others said:
	// it is handed their report when they are done and fixes were tried.
	Review func(*Job, *Report)
	// Undetermined is the Kind for what could not be found out; also in Kinds.
	// Its Args are at least "question" and "reason".
	Undetermined *Kind
	// Skipped is the Kind for not having looked, also in Kinds; its argument is
	// "missing", a code for why: "ip", "domain". nil if the check always looks.
	Skipped *Kind
}

// Kind returns the check's Kind with that ID, or nil.
func (c *Check) Kind(id string) *Kind {
	for _, k := range c.Kinds {
		if k.ID == id {
			return k
		}
	}
	return nil
}

// A Target is what a run is about. Names are canonical.
type Target struct {
	Domain string // the sending domain, as given to the command
	From   string // domain of the header From
	// MailFrom is the Return-Path as given: an address, a domain, or "" for
	// the null sender <>. It may be malformed (RFC 7208 §4.3 decides then).
	MailFrom   string
	NullSender bool   // MailFrom is <>
	Helo       string // as given, "" if not; may be malformed
	IPs        []netip.Addr
	Selectors  []string
	DKIMDomain string // d=
	// SelectorHints are selectors to guess first, such as those of a zone file in
	// hand. They are no claim: one without a key is no fault.
	SelectorHints []string `json:"-"`
	// ProveKey says whether the sender's private key belongs to a published key
	// record; nil if none was given. The key itself is nowhere in the Target.
	ProveKey   func(record string) error `json:"-"`
	Blocklists Blocklists
	// Message is the mail that the target was taken from: a *facts.Mail; nil
	// without one. facts.MailOf reads it. Mail is what reports show of it.
	Message any       `json:"-"`
	Mail    *MailHead `json:"-"`
	// Inputs are what the command was given beside names and addresses.
	Inputs map[Input]bool `json:"-"`
	// Declared is what an inventory says about the domain; nil without one.
	Declared *Declared `json:"-"`
	// Before answers as the DNS did before the change that is judged; nil if no
	// change is. Checks see it as [Job].Before.
	Before dnsq.Resolver `json:"-"`
	// Lock is what a lock file says of the domain; nil if it has no entry.
	Lock *Locked `json:"-"`
	// Waivers are those that may concern the target.
	Waivers []Waiver `json:"-"`
	// Zones are the zone files that the command was given; nil without any.
	Zones *ZoneFiles `json:"-"`
	// Named is the line that names the target: of an inventory, a list of
	// domains, or a zone file. Formats that must point somewhere point there.
	Named Place `json:"-"`
}

// A Declared is what people say about a domain in their inventory, to be held
// against what the DNS says.
type Declared struct {
	// NeverSends: no mail has the domain as its sender, and nobody shall be able to
	// send as it. Receives: it takes mail all the same.
	NeverSends, Receives bool
	// Providers are the services that send for the domain. Complete says that
	// there are no others; without it nothing was declared about providers.
	Providers []DeclaredProvider
	Complete  bool
	// Receivers are the names (package receiver) of those whose demands matter.
	Receivers []string
}

// A DeclaredProvider is a service that sends for a domain.
type DeclaredProvider struct {
	Name string // as package provider has it, or the name of an SPF include
	// Include is set if Name is that of an SPF include.
	Include bool
	// NoSPF: it needs no place in the SPF record, for it sends with a Return-Path
	// of its own.
	NoSPF bool
}

// NeverSends reports whether the domain is declared as one that sends no mail.
func (t *Target) NeverSends() bool { return t.Declared != nil && t.Declared.NeverSends }

// TakesMail reports whether the domain is to have a way for mail to come in. One
// that never sends need not, unless it is declared to.
func (t *Target) TakesMail() bool { return !t.NeverSends() || t.Declared.Receives }

// A MailHead is what the head of a report shows of a message. Its texts are
// decoded, and hostile until a renderer has sanitised them.
type MailHead struct {
	File            string
	Size            int64 // octets
	From, To        string
	Subject         string
	Date, MessageID string
	// Clock is the time for which the message is judged; ClockFrom is a code for
	// where it is from: flag, received, topmost, date, now.
	Clock     time.Time
	ClockFrom string
	// AddressFrom is a code for where the sending address is from: ip,
	// receiver-host, known-receiver; "" if it is not known, and AddressUnknown then
	// says why. Receiver is who received the message, if that decided it.
	AddressFrom, AddressUnknown, Receiver string
}

// Blocklists say which DNS blocklists to ask beside the usual ones. A report
// does not hold them.
type Blocklists struct {
	All   bool     `json:"-"` // minor ones too
	Extra []string `json:"-"` // zones by name: what dnsbl.ParseSpec takes
	// Keyed are the services that a key is there for. The keys themselves are
	// known to the resolver alone (dnsq.Rewrite).
	Keyed []string `json:"-"`
	// Server is which resolver is asked, as in [Report].Server.
	Server string `json:"-"`
}

// MailFromDomain is the part of MailFrom after the last @, or all of it, as
// given (not canonical: it may be malformed).
func (t *Target) MailFromDomain() string {
	if i := strings.LastIndexByte(t.MailFrom, '@'); i >= 0 {
		return t.MailFrom[i+1:]
	}
	return t.MailFrom
}

// A CheckReport is what one check said.
type CheckReport struct {
	Check    *Check
	Status   Status
	Findings []Finding       // in the order of the check, which is the order of the report
	Data     any             // the check's facts for machines; nil if it has none
	Queries  int             // different questions that the check needed, whoever asked first
	Asked    []dnsq.Question // those questions, in order of name and type
	Duration time.Duration
	Panic    string // what a crashed check said, with a stack; "" otherwise
}

// Weigh sets Status from the findings. Whoever changes what they weigh calls it.
func (c *CheckReport) Weigh() {
	c.Status = Skip
	for i := range c.Findings {
		c.Status = max(c.Status, c.Findings[i].Weight())
	}
}

// Trouble is a question that got no answer, and the checks that needed it.
type Trouble struct {
	Err    *dnsq.Error
	Checks []string
}

// A Report is the outcome of a run.
type Report struct {
	Version  string
	Started  time.Time
	Duration time.Duration
	Queries  int // different questions asked, all checks together
	Server   string
	Target   Target
	Checks   []CheckReport
	Trouble  []Trouble
	// Waivers are those that this report tells about; each stands in one report of
	// a run. Only package gate sets them.
	Waivers []WaiverUse
}

// Status is the worst status of the checks; Skip if there are none.
func (r *Report) Status() Status {
	s := Skip
	for i := range r.Checks {
		s = max(s, r.Checks[i].Status)
	}
	return s
}

// Counts is the number of findings of each status, but for those that are
// waived.
func (r *Report) Counts() map[Status]int {
	return r.count(func(f *Finding) bool { return f.Waived == nil })
}

// Waived is the number of findings that are waived.
func (r *Report) Waived() int {
	return sum(r.count(func(f *Finding) bool { return f.Waived != nil }))
}

// Known is the number of findings that a baseline has, without those that are
// waived.
func (r *Report) Known() int {
	return sum(r.count(func(f *Finding) bool { return f.Known && f.Waived == nil }))
}

func sum(m map[Status]int) (n int) {
	for _, k := range m {
		n += k
	}
	return n
}

// Decisive is Counts without findings that are harmless or in the baseline: what
// an exit code goes by.
func (r *Report) Decisive() map[Status]int {
	return r.count(func(f *Finding) bool { return f.Waived == nil && !f.Known && !f.Kind.Harmless })
}

func (r *Report) count(which func(*Finding) bool) map[Status]int {
	m := make(map[Status]int, len(Statuses))
	for _, s := range Statuses {
		m[s] = 0
	}
	for i := range r.Checks {
		for j := range r.Checks[i].Findings {
			if f := &r.Checks[i].Findings[j]; which(f) {
				m[f.Kind.Status]++
			}
		}
	}
	return m
}

// Broken reports whether a check crashed: todoku itself is at fault.
func (r *Report) Broken() bool {
	for i := range r.Checks {
		if r.Checks[i].Panic != "" {
			return true
		}
	}
	return false
}
