// Package claims checks what others wrote into a mail about SPF, DKIM, DMARC and
// ARC (Authentication-Results, Received-SPF, ARC-Authentication-Results), side by
// side with todoku's own verdict: where they differ, and why.
//
// Anybody can write such a field into a mail. What the receiver wrote is a fact
// about what it found; who that is, the Received path says (package received). All
// else is shown as a claim and compared with nothing: a mail that says of itself
// that it passes has said nothing.
//
// # Whose a field is
//
// Servers put their fields on top. So what stands above the Received field with
// which the mail came in was written behind the border: by the receiver. Filters of
// Postfix and sendmail (milters) put theirs right below that field, where the last
// field of the sender could stand as well: such a field counts as the receiver's if
// it bears the name of the receiver's host, and the report says that this is all
// that is known. Everything else came with the mail.
package claims

import (
	"context"
	"embed"
	"slices"
	"strings"

	"github.com/todoku-mail/todoku/pkg/arc"
	"github.com/todoku-mail/todoku/pkg/authres"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/message"
	"github.com/todoku-mail/todoku/pkg/orgdomain"
	"github.com/todoku-mail/todoku/pkg/received"
)

//go:embed doc.*.md
var docs embed.FS

// What the check can find.
var (
	undetermined = &diag.Kind{ID: "CLAIMS-UNDETERMINED", Status: diag.Inconclusive, Owner: diag.DNSAdmin, Since: "0.2", Harmless: true,
		Args: []string{"question", "reason"}, Key: []string{"question"}, Refs: []diag.Ref{diag.RFC(8601, "2.7")}}
	worse = &diag.Kind{ID: "CLAIMS-WORSE", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"by", "results"}, Refs: []diag.Ref{diag.RFC(8601, "2.7"), diag.RFC(8601, "7.10")}}
	mended = &diag.Kind{ID: "CLAIMS-MENDED", Status: diag.Info, Since: "0.2",
		Args: []string{"by", "results"}, Refs: []diag.Ref{diag.RFC(8601, "2.7"), diag.RFC(8601, "7.10")}}
	keyGone = &diag.Kind{ID: "CLAIMS-KEY-GONE", Status: diag.Info, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"by", "key", "why"}, Key: []string{"key"}, Refs: []diag.Ref{diag.RFC(6376, "6.1.2"), diag.RFC(8601, "7.10")}}
	changed = &diag.Kind{ID: "CLAIMS-CHANGED-SINCE", Status: diag.Info, Owner: diag.Reader, Since: "0.2",
		Args: []string{"by", "domain", "what"}, Key: []string{"domain"}, Refs: []diag.Ref{diag.RFC(8601, "2.7.1"), diag.RFC(6376, "6.1.3")}}
	otherAddress = &diag.Kind{ID: "CLAIMS-OTHER-ADDRESS", Status: diag.Info, Owner: diag.Reader, Since: "0.2",
		Args: []string{"by", "theirs", "ours"}, Refs: []diag.Ref{diag.RFC(8601, "2.7.2"), diag.RFC(7208, "9.1")}}
	differ = &diag.Kind{ID: "CLAIMS-DIFFER", Status: diag.Info, Since: "0.2",
		Args: []string{"by", "what", "then", "now", "why"}, Key: []string{"what"}, Refs: []diag.Ref{diag.RFC(8601, "2.7")}}
	overridden = &diag.Kind{ID: "CLAIMS-OVERRIDDEN", Status: diag.Info, Since: "0.2",
		Args: []string{"by", "policy", "reason"}, Refs: []diag.Ref{diag.RFC(9989, "5.4"), diag.RFC(8617, "7.2.1")}}
	agree = &diag.Kind{ID: "CLAIMS-AGREE", Status: diag.Pass, Since: "0.2",
		Args: []string{"by", "results", "sure"}, Refs: []diag.Ref{diag.RFC(8601, "2.7")}}
	notRemoved = &diag.Kind{ID: "CLAIMS-NOT-REMOVED", Status: diag.Info, Owner: diag.Receiver, Since: "0.2",
		Args: []string{"by", "says", "place"}, Key: []string{"place"}, Refs: []diag.Ref{diag.RFC(8601, "5")}}
	untrusted = &diag.Kind{ID: "CLAIMS-UNTRUSTED", Status: diag.Info, Since: "0.2",
		Args: []string{"header", "by", "says", "why", "place"}, Key: []string{"place"}, Refs: []diag.Ref{diag.RFC(8601, "1.6"), diag.RFC(8601, "7.1")}}
	malformed = &diag.Kind{ID: "CLAIMS-MALFORMED", Status: diag.Info, Owner: diag.Receiver, Since: "0.2",
		Args: []string{"header", "by", "fault", "text", "place"}, Key: []string{"place", "fault"}, Refs: []diag.Ref{diag.RFC(8601, "2.2"), diag.RFC(7208, "9.1")}}
	none = &diag.Kind{ID: "CLAIMS-NONE", Status: diag.Skip, Since: "0.2",
		Args: []string{"why"}, Refs: []diag.Ref{diag.RFC(8601, "2.2")}}
)

// Check is the claims check.
var Check = &diag.Check{
	Name: "claims",
	Docs: docs,
	Kinds: []*diag.Kind{worse, undetermined, mended, keyGone, changed, otherAddress, differ, overridden, notRemoved,
		malformed, untrusted, agree, none},
	Needs:        diag.Needs{Input: diag.MailInput},
	Uses:         diag.Doors{DNS: true},
	Requires:     []diag.AnyFact{facts.MailSignatures, facts.MailVerdict, facts.SPFResult},
	Run:          run,
	Undetermined: undetermined,
}

// Bounds of what is read and said of a hostile mail.
const (
	maxFields   = 50 // fields of the three names; the rest is counted
	maxResults  = 40 // results of one field that are kept
	maxClaims   = 5  // findings about fields that came with the mail, and about broken ones
	maxOpen     = 4  // questions without an answer that are named
	maxDiffer   = 12 // findings about single results
	maxText     = 100
	maxCompared = 60 // results that are compared
)

// Data are the check's facts for machines. By to DMARC are what the receiver says.
type Data struct {
	By    string `json:"by"` // authserv-id, or the receiver's host; "" if no field is the receiver's
	SPF   string `json:"spf"`
	DKIM  string `json:"dkim"` // of the best signature
	DMARC string `json:"dmarc"`
	// Agrees: all is as todoku finds it; null if nothing could be compared, or not all
	// for want of an answer.
	Agrees *bool       `json:"agrees"`
	Fields []FieldData `json:"fields"`
	More   int         `json:"more,omitempty"` // fields that were not read
}

// FieldData is one field.
type FieldData struct {
	Header string `json:"header"`
	Line   int    `json:"line"` // of the file
	By     string `json:"by"`
	// WrittenBy is "receiver", "receiver-likely" (in its name, where its filters
	// write), "outside" (it came with the mail) or "unknown" (where the mail came in
	// is not known).
	WrittenBy string `json:"written_by"`
	Instance  int    `json:"instance,omitempty"` // of the ARC form
	// Sealed is the domain of the ARC set whose valid seal covers the field.
	Sealed  string       `json:"sealed,omitempty"`
	Results []ResultData `json:"results"`
}

// ResultData is one result of a field.
type ResultData struct {
	Method  string `json:"method"`
	Result  string `json:"result"`
	Domain  string `json:"domain,omitempty"`
	Address string `json:"address,omitempty"`
	// Now is todoku's own result, Agrees whether it is the same; both only of what
	// the receiver wrote and could be compared. Why says why not, as a code.
	Now    string `json:"now,omitempty"`
	Agrees *bool  `json:"agrees,omitempty"`
	Why    string `json:"why,omitempty"`
}

// Who wrote a field.
const (
	byReceiver = "receiver"
	likely     = "receiver-likely"
	outside    = "outside"
	unknown    = "unknown"
)

// A field is one of the three kinds, read.
type field struct {
	at      int // in the header
	raw     *message.Field
	by      string
	writer  string
	ownName bool // it bears the receiver's name
	sealed  string
	arc     bool
	results []authres.Result
	faults  []authres.Fault
	inst    int
	data    *FieldData
}

func run(ctx context.Context, j *diag.Job) error {
	m := facts.MailOf(j.Target)
	c := &claims{Job: j, ctx: ctx, mail: m, border: m.Path.Boundary}
	if c.border.Index < 0 {
		// An address that was given takes the place of the one that sent it; the
		// mail came in where it came in.
		c.border = m.AsReceived
	}
	c.read()
	c.data.Fields = []FieldData{}
	defer func() {
		for _, f := range c.fields {
			c.data.Fields = append(c.data.Fields, *f.data)
		}
		j.SetData(&c.data)
	}()
	if len(c.fields) == 0 {
		j.Report(diag.Finding{Kind: none, Subject: c.subject(), Args: diag.Args{"why": "no-field"}})
		return nil
	}
	facts.MailSignatures.Start(j.World, m)
	auth, err := facts.MailSignatures.Of(ctx, j.World, m)
	if err != nil {
		return err
	}
	c.auth = auth
	c.seals()
	if err := c.compare(); err != nil {
		return err
	}
	c.summary()
	c.strangers()
	return nil
}

type claims struct {
	*diag.Job
	ctx    context.Context
	mail   *facts.Mail
	border received.Boundary
	auth   *facts.MailAuth
	fields []*field
	items  []*item
	data   Data
}

func (c *claims) subject() string {
	if c.Target.Domain != "" {
		return c.Target.Domain
	}
	return c.mail.File
}

// read finds the fields and says who wrote them.
func (c *claims) read() {
	at, border, step := -1, -1, 0
	for i, h := range c.mail.Header {
		if h.Is("Received") {
			if step == c.border.Index {
				border = i
			}
			step++
		}
	}
	// beside is whether all fields since the border's are such as filters write.
	beside := false
	above := map[string]bool{}
	for at = range c.mail.Header {
		h := c.mail.Header[at]
		if at == border {
			beside = true
			continue
		}
		if len(c.fields) == maxFields && (h.Is("Authentication-Results") || h.Is("ARC-Authentication-Results") || h.Is("Received-SPF")) {
			c.data.More++
			continue
		}
		f := &field{at: at, raw: h}
		text := string(h.RawValue())
		switch {
		case h.Is("Authentication-Results"):
			p := authres.Parse(text)
			f.by, f.results, f.faults = p.AuthservID, p.Results, p.Faults
		case h.Is("ARC-Authentication-Results"):
			p := authres.ParseARC(text)
			f.by, f.results, f.faults, f.inst, f.arc = p.AuthservID, p.Results, p.Faults, p.Instance, true
		case h.Is("Received-SPF"):
			p := authres.ParseSPF(text)
			f.by, f.faults = spfBy(p), p.Faults
			f.results = []authres.Result{spfResult(p, len(text))}
		default:
			beside = beside && trace(h)
			continue
		}
		f.ownName = c.own(f.by)
		switch {
		case border < 0:
			f.writer = unknown
		case at < border:
			f.writer = byReceiver
			above[h.Key()] = true
		case beside && f.ownName && !above[h.Key()]:
			f.writer = likely
		default:
			f.writer = outside
			beside = beside && trace(h)
		}
		if f.by == "" && f.writer == byReceiver && c.border.Index >= 0 {
			f.by = c.mail.Path.Steps[c.border.Index].By // Microsoft does not say who it is
		}
		line, _ := h.At(0)
		f.data = &FieldData{Header: h.Name, Line: line, By: f.by, WrittenBy: f.writer, Instance: f.inst, Results: []ResultData{}}
		if len(f.results) > maxResults {
			f.results = f.results[:maxResults]
		}
		for i := range f.results {
			r := &f.results[i]
			d := ResultData{Method: r.Method, Result: r.Value, Domain: r.Domain()}
			if a := r.Addr(); a.IsValid() {
				d.Address = a.String()
			}
			f.data.Results = append(f.data.Results, d)
		}
		c.fields = append(c.fields, f)
	}
}

// trace reports whether a field is of a kind that a server's filters put on top.
func trace(f *message.Field) bool {
	key := f.Key()
	for _, p := range []string{"x-", "arc-", "authentication-results", "received-spf", "dkim-filter", "dmarc-filter", "delivered-to", "return-path"} {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}

// spfBy is who wrote a Received-SPF field: the receiver's name, or, where it does not
// say one, that before the colon of its comment: "(google.com: domain of …".
func spfBy(p *authres.SPF) string {
	if by := p.Get("receiver"); by != "" {
		return by
	}
	name, _, ok := strings.Cut(p.Comment, ":")
	if ok && len(name) < 254 && strings.Contains(name, ".") && !strings.ContainsAny(name, " \t\r\n@") {
		return name
	}
	return ""
}

// spfResult is a Received-SPF field in the form of the others.
func spfResult(p *authres.SPF, length int) authres.Result {
	r := authres.Result{Method: "spf", Value: p.Result, End: length}
	if p.Comment != "" {
		r.Comments = []string{p.Comment}
	}
	if p.Addr.IsValid() {
		r.Props = append(r.Props, authres.Prop{Type: "smtp", Name: "remote-ip", Value: p.Addr.String()})
	}
	from, helo := p.Get("envelope-from"), p.Get("helo")
	if p.Identity == "helo" {
		from = ""
	}
	if from != "" {
		r.Props = append(r.Props, authres.Prop{Type: "smtp", Name: "mailfrom", Value: from})
	} else if helo != "" && p.Identity == "helo" {
		r.Props = append(r.Props, authres.Prop{Type: "smtp", Name: "helo", Value: helo})
	}
	return r
}

// own reports whether a name is that of the receiver: of its host at the border, or
// of another in the same organisation (RFC 8601 §2.5 lets a site choose).
func (c *claims) own(by string) bool {
	if c.border.Index < 0 || by == "" {
		return false
	}
	host := c.mail.Path.Steps[c.border.Index].By
	if strings.EqualFold(by, host) || strings.EqualFold(by, c.border.Receiver) {
		return true
	}
	a, okA := orgdomain.PSL(by)
	b, okB := orgdomain.PSL(host)
	return okA && okB && a == b
}

// seals notes which fields are covered by a seal of a chain that holds.
func (c *claims) seals() {
	if c.auth.ARC.Status != arc.Pass {
		return
	}
	for _, s := range c.auth.ARC.Sets {
		if s.Results == nil || s.Seal == nil || s.Seal.Status != arc.Pass {
			continue
		}
		for _, f := range c.fields {
			if f.at == s.Results.Index {
				f.sealed, f.data.Sealed = s.Seal.Domain, s.Seal.Domain
			}
		}
	}
}

func (f *field) evidence(c *claims, r *authres.Result) diag.Evidence {
	if r == nil {
		return c.mail.FieldEvidence(f.raw, 0, 0)
	}
	return c.mail.FieldEvidence(f.raw, f.raw.ValueOffset()+r.Start, r.End-r.Start)
}

// says are the results of a field in short.
func (f *field) says() []string {
	out := []string{}
	for i := range f.results {
		out = append(out, f.results[i].Method+"="+f.results[i].Value)
	}
	return out
}

// who is how a field's author calls itself.
func (f *field) who() string {
	if f.by == "" {
		return "nobody"
	}
	return f.by
}

// strangers reports the fields that came with the mail, and those that cannot be
// read as the grammar has it.
func (c *claims) strangers() {
	claimed, broken := 0, 0
	for _, f := range c.fields {
		if f.writer == byReceiver || f.writer == likely {
			if broken < maxClaims && c.fault(f) {
				broken++
			}
			continue
		}
		if claimed++; claimed > maxClaims {
			continue
		}
		ev := []diag.Evidence{f.evidence(c, nil)}
		if f.ownName && !f.arc {
			// RFC 8601 §5: who takes mail in removes fields in its own name.
			c.Report(diag.Finding{Kind: notRemoved, Subject: c.subject(), Evidence: ev,
				Args: diag.Args{"by": f.who(), "says": f.says(), "place": f.data.Line}})
			continue
		}
		why := "below"
		switch {
		case f.writer == unknown:
			why = "border-unknown"
		case f.sealed != "":
			why = "sealed"
		}
		c.Report(diag.Finding{Kind: untrusted, Subject: c.subject(), Evidence: ev,
			Args: diag.Args{"header": f.raw.Name, "by": f.who(), "says": f.says(), "why": why, "place": f.data.Line}})
	}
}

// fault reports the first breach of the grammar in a field of the receiver for which
// something may have been misread. That Microsoft names nobody and no types is known,
// and costs nothing.
func (c *claims) fault(f *field) bool {
	microsoft := slices.ContainsFunc(f.results, func(r authres.Result) bool { return r.Method == "compauth" }) || c.border.Receiver == "microsoft"
	for _, x := range f.faults {
		if microsoft && (x.Code == authres.NoAuthservID || x.Code == authres.NoType || x.Code == authres.StrayWord) {
			continue
		}
		c.Report(diag.Finding{Kind: malformed, Subject: c.subject(),
			Evidence: []diag.Evidence{c.mail.FieldEvidence(f.raw, f.raw.ValueOffset()+x.Offset, x.Length)},
			Args:     diag.Args{"header": f.raw.Name, "by": f.who(), "fault": string(x.Code), "text": x.Text[:min(len(x.Text), maxText)], "place": f.data.Line}})
		return true
	}
	return false
}
