package render

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
)

// The JSON report. Keys and their order are a contract (testdata/
// report.schema.json); "message" is a sentence and is not. New keys come at
// the end of an object.
//
// Texts from records are exact: what JSON must escape is escaped, and so is
// what would act on a terminal that shows the report, which changes nothing
// for a program. Bytes that are no UTF-8 cannot stand in JSON: the text then
// has them as \xNN, and a key that ends in _base64 holds the exact bytes.

type jsonReport struct {
	Schema     int           `json:"schema"`
	Version    string        `json:"version"`
	Started    string        `json:"started"` // RFC 3339, UTC
	DurationMS int64         `json:"duration_ms"`
	Queries    int           `json:"queries"`
	Target     jsonTarget    `json:"target"`
	Status     diag.Status   `json:"status"`
	Counts     jsonCounts    `json:"counts"`
	Checks     []jsonCheck   `json:"checks"`
	Server     string        `json:"server,omitempty"`
	Trouble    []jsonUnknown `json:"trouble,omitempty"`
}

type jsonTarget struct {
	Domain     string   `json:"domain"`
	From       string   `json:"from"`
	MailFrom   string   `json:"mail_from"` // as given; "<>" for the null sender
	Helo       string   `json:"helo"`
	IPs        []string `json:"ips"`
	Selectors  []string `json:"selectors"`
	DKIMDomain string   `json:"dkim_domain,omitempty"`

	Message *jsonMessage `json:"message,omitempty"`
}

// A jsonMessage is the head of the message that the run is about, its texts
// decoded.
type jsonMessage struct {
	File      string `json:"file"`
	Size      int64  `json:"size"` // octets
	From      string `json:"from"`
	To        string `json:"to"`
	Subject   string `json:"subject"`
	Date      string `json:"date"`
	MessageID string `json:"message_id"`
	Clock     string `json:"clock"` // RFC 3339: the time for which it is judged
	ClockFrom string `json:"clock_from"`
	// AddressFrom is "" if the sending address is not known; AddressUnknown says
	// why.
	AddressFrom    string `json:"address_from"`
	AddressUnknown string `json:"address_unknown,omitempty"`
	Receiver       string `json:"receiver,omitempty"`
}

type jsonCounts struct {
	Pass         int `json:"pass"`
	Info         int `json:"info"`
	Warn         int `json:"warn"`
	Inconclusive int `json:"inconclusive"`
	Fail         int `json:"fail"`
	Skip         int `json:"skip"`
	Waived       int `json:"waived"` // in none of the above
	Known        int `json:"known"`  // in the above: those that the baseline has
}

type jsonCheck struct {
	Check      string        `json:"check"`
	Status     diag.Status   `json:"status"`
	Queries    int           `json:"queries"`
	DurationMS int64         `json:"duration_ms"`
	Findings   []jsonFinding `json:"findings"`
	Data       any           `json:"data,omitempty"`
	Crash      string        `json:"crash,omitempty"`
}

type jsonFinding struct {
	ID          string         `json:"id"`
	Status      diag.Status    `json:"status"`
	Subject     string         `json:"subject"`
	Args        map[string]any `json:"args"`
	Message     string         `json:"message"`
	Owner       diag.Owner     `json:"owner"` // "" if there is nothing to do
	Evidence    []jsonEvidence `json:"evidence"`
	Fixes       []jsonFix      `json:"fixes"`
	References  []diag.Ref     `json:"references"`
	Fingerprint string         `json:"fingerprint"`
	Unknown     []jsonUnknown  `json:"unknown,omitempty"`
	Waived      *jsonWaiver    `json:"waived,omitempty"`
	Known       bool           `json:"known,omitempty"`
}

// A jsonWaiver is why a finding counts for nothing.
type jsonWaiver struct {
	Reason  string `json:"reason"`
	Expires string `json:"expires"` // year-month-day: the first day on which it counts again
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
}

type jsonEvidence struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Text string `json:"text"`
	// Offset and Length count octets of the raw text (of text_base64 if that
	// is there); both are left out if the whole text is meant.
	Offset     *int        `json:"offset,omitempty"`
	Length     *int        `json:"length,omitempty"`
	Source     dnsq.Source `json:"source,omitempty"`
	File       string      `json:"file,omitempty"`
	Line       int         `json:"line,omitempty"`
	TextBase64 string      `json:"text_base64,omitempty"`
}

type jsonFix struct {
	Owner      diag.Owner `json:"owner"`
	Verified   bool       `json:"verified"`
	Edits      []jsonEdit `json:"edits"`
	Unverified []string   `json:"unverified,omitempty"`
}

type jsonEdit struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	Old       string `json:"old"`
	New       string `json:"new"`
	OldBase64 string `json:"old_base64,omitempty"`
	NewBase64 string `json:"new_base64,omitempty"`
}

type jsonUnknown struct {
	Name   string      `json:"name"`
	Type   dnsq.Type   `json:"type"`
	Reason dnsq.Reason `json:"reason"`
	Server string      `json:"server,omitempty"`
	EDE    []string    `json:"ede,omitempty"`
	Detail string      `json:"detail,omitempty"`
	Checks []string    `json:"checks,omitempty"`
}

// A jsonRun is the reports of several targets as one object.
type jsonRun struct {
	Schema     int           `json:"schema"`
	Version    string        `json:"version"`
	Started    string        `json:"started"` // RFC 3339, UTC
	DurationMS int64         `json:"duration_ms"`
	Reports    []*jsonReport `json:"reports"`
}

// runJSON writes one report as the report contract has it, several as one object
// that holds them.
func runJSON(w io.Writer, r *diag.Run, cat *i18n.Catalog, o Options) error {
	if r.Diffs != nil {
		return writeJSON(w, diffJSON(r, cat), "  ")
	}
	if len(r.Reports) == 1 {
		return JSON(w, r.Reports[0], cat, o)
	}
	out := jsonRun{Schema: 1, Version: r.Version, Started: r.Started.UTC().Format(time.RFC3339),
		DurationMS: r.Duration.Milliseconds(), Reports: []*jsonReport{}}
	for _, rep := range r.Reports {
		out.Reports = append(out.Reports, reportJSON(rep, cat))
	}
	return writeJSON(w, out, "  ")
}

// runNDJSON writes a line for each report, or for a diff one line.
func runNDJSON(w io.Writer, r *diag.Run, cat *i18n.Catalog, o Options) error {
	if r.Diffs != nil {
		return writeJSON(w, diffJSON(r, cat), "")
	}
	for _, rep := range r.Reports {
		if err := NDJSON(w, rep, cat, o); err != nil {
			return err
		}
	}
	return nil
}

// JSON writes the report as one object, indented by two spaces.
func JSON(w io.Writer, r *diag.Report, cat *i18n.Catalog, _ Options) error {
	return writeJSON(w, reportJSON(r, cat), "  ")
}

// NDJSON writes the report as one object on one line.
func NDJSON(w io.Writer, r *diag.Report, cat *i18n.Catalog, _ Options) error {
	return writeJSON(w, reportJSON(r, cat), "")
}

func reportJSON(r *diag.Report, cat *i18n.Catalog) *jsonReport {
	out := &jsonReport{
		Schema:     1,
		Version:    r.Version,
		Started:    r.Started.UTC().Format(time.RFC3339),
		DurationMS: r.Duration.Milliseconds(),
		Queries:    r.Queries,
		Target:     targetJSON(&r.Target),
		Status:     VerdictStatus(r),
		Counts:     countsJSON(r),
		Checks:     []jsonCheck{},
		Server:     valid(r.Server),
	}
	for i := range r.Checks {
		c := &r.Checks[i]
		if c.Check == nil {
			continue
		}
		jc := jsonCheck{
			Check: c.Check.Name, Status: c.Status, Queries: c.Queries,
			DurationMS: c.Duration.Milliseconds(), Findings: []jsonFinding{}, Data: c.Data, Crash: valid(c.Panic),
		}
		for j := range c.Findings {
			jc.Findings = append(jc.Findings, findingJSON(&c.Findings[j], cat))
		}
		out.Checks = append(out.Checks, jc)
	}
	for _, tr := range r.Trouble {
		if tr.Err != nil {
			u := unknownJSON(tr.Err)
			u.Checks = tr.Checks
			out.Trouble = append(out.Trouble, u)
		}
	}
	return out
}

func countsJSON(r *diag.Report) jsonCounts {
	n := r.Counts()
	return jsonCounts{
		Pass: n[diag.Pass], Info: n[diag.Info], Warn: n[diag.Warn],
		Inconclusive: n[diag.Inconclusive], Fail: n[diag.Fail], Skip: n[diag.Skip],
		Waived: r.Waived(), Known: r.Known(),
	}
}

func targetJSON(t *diag.Target) jsonTarget {
	out := jsonTarget{
		Domain: valid(t.Domain), From: valid(t.From), MailFrom: valid(t.MailFrom), Helo: valid(t.Helo),
		IPs: []string{}, Selectors: validAll(t.Selectors), DKIMDomain: valid(t.DKIMDomain),
	}
	if t.NullSender {
		out.MailFrom = "<>"
	}
	for _, ip := range t.IPs {
		out.IPs = append(out.IPs, ip.String())
	}
	if m := t.Mail; m != nil {
		out.Message = &jsonMessage{File: valid(m.File), Size: m.Size, From: valid(m.From), To: valid(m.To), Subject: valid(m.Subject),
			Date: valid(m.Date), MessageID: valid(m.MessageID), Clock: m.Clock.Format(time.RFC3339), ClockFrom: m.ClockFrom,
			AddressFrom: m.AddressFrom, AddressUnknown: m.AddressUnknown, Receiver: valid(m.Receiver)}
	}
	return out
}

func findingJSON(f *diag.Finding, cat *i18n.Catalog) jsonFinding {
	out := jsonFinding{
		ID: f.Kind.ID, Status: f.Kind.Status, Subject: valid(f.Subject), Args: map[string]any{},
		Message: cat.Message(f), Owner: f.Who(), Fixes: []jsonFix{},
		References: slices.Clone(f.Kind.Refs), Fingerprint: f.Fingerprint(),
	}
	if out.References == nil {
		out.References = []diag.Ref{}
	}
	for k, v := range f.Args {
		switch v := v.(type) {
		case string:
			out.Args[k] = valid(v)
		case []string:
			out.Args[k] = validAll(v)
		default:
			out.Args[k] = v
		}
	}
	out.Evidence = evidenceJSON(f.Evidence)
	if w := f.Waived; w != nil {
		out.Waived = &jsonWaiver{valid(w.Reason), w.Expires.UTC().Format(time.DateOnly), valid(w.Place.File), w.Place.Line}
	}
	out.Known = f.Known
	for _, x := range f.Fixes {
		jx := jsonFix{Owner: x.Owner, Verified: x.Verified, Edits: editsJSON(x.Edits), Unverified: validAll(x.Unverified)}
		if x.Owner == diag.Nobody {
			jx.Owner = f.Who()
		}
		out.Fixes = append(out.Fixes, jx)
	}
	for _, e := range f.Unknown {
		if e != nil {
			out.Unknown = append(out.Unknown, unknownJSON(e))
		}
	}
	return out
}

func evidenceJSON(list []diag.Evidence) []jsonEvidence {
	out := []jsonEvidence{}
	for _, e := range list {
		je := jsonEvidence{
			Name: valid(e.Name), Type: e.Type, Text: valid(e.Text),
			Source: e.Source, File: valid(e.File), Line: e.Line, TextBase64: raw(e.Text),
		}
		if off := min(max(e.Offset, 0), len(e.Text)); e.Length > 0 {
			n := min(e.Length, len(e.Text)-off)
			je.Offset, je.Length = &off, &n
		}
		out = append(out, je)
	}
	return out
}

func unknownJSON(e *dnsq.Error) jsonUnknown {
	return jsonUnknown{
		Name: valid(e.Name), Type: e.Type, Reason: e.Reason, Server: valid(e.Server),
		EDE: validAll(e.EDE), Detail: valid(e.Detail),
	}
}

// valid is s with bytes that are no UTF-8 as \xNN. encoding/json would make
// each of them U+FFFD, and two different records the same.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, `\x%02x`, s[0])
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

func validAll(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = valid(s)
	}
	return out
}

// raw is s in base64 if JSON cannot hold it, else "".
func raw(s string) string {
	if utf8.ValidString(s) {
		return ""
	}
	return base64.StdEncoding.EncodeToString([]byte(s))
}

// writeJSON writes v and a newline, indented unless indent is "".
func writeJSON(w io.Writer, v any, indent string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("report as JSON: %w", err)
	}
	out := escapeUnsafe(b.Bytes())
	// A runner of GitHub Actions takes "##[" in its log for a command (see Defuse).
	out = bytes.ReplaceAll(out, []byte("##["), []byte(`#\u0023[`))
	_, err := w.Write(out)
	return err
}

// escapeUnsafe replaces characters that must not reach a terminal by \uXXXX.
// encoding/json does that for C0 controls only. Outside strings JSON is ASCII,
// so whatever is found here is inside one.
func escapeUnsafe(b []byte) []byte {
	safe := true
	for _, c := range b {
		if c >= 0x7f {
			safe = false
			break
		}
	}
	if safe {
		return b
	}
	out := make([]byte, 0, len(b)+64)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == '\n' || !sanitize.Unsafe(r):
			out = append(out, b[:n]...)
		case r < 0x10000:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		}
		b = b[n:]
	}
	return out
}
