package dnsq

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// A recording is text, one JSON object a line. The first line is the [Header],
// each further line a question and what came of it, in order of name and type,
// so that two recordings can be compared with diff:
//
//	{"todoku-recording":1,"started":"2026-01-02T03:04:05Z"}
//	{"name":"example.com","type":"TXT","outcome":"found","ttl":300,"server":"192.0.2.53:53","rrs":[{"name":"example.com","type":"TXT","ttl":300,"strings":["v=spf1 -all"]}]}
//	{"name":"example.net","type":"MX","error":"servfail","server":"192.0.2.53:53","ede":["6 DNSSEC Bogus"]}
//
// Text from the network is a JSON string where it is valid UTF-8 and otherwise
// {"base64":"…"}, so every octet survives. How long answers took is left out: a
// replay is not measured.

// A Header is the first line of a recording.
type Header struct {
	Version int       `json:"todoku-recording"`
	Started time.Time `json:"started"` // of the run, so that a replayed report can say the same
	// Label says which servers were asked, so that a replayed report can too.
	Label string `json:"servers,omitempty"`
	// Hints are words that the run knew beside its answers and asked by, such as
	// the selectors of a zone file.
	Hints []string `json:"hints,omitempty"`
	// Context is what else the run knew that its report needs, as the program that
	// made the recording spells it.
	Context json.RawMessage `json:"context,omitempty"`
}

const (
	recordingVersion = 1
	maxLine          = 4 << 20
)

type octets = Octets

// Octets are a string that may hold anything: in JSON a string where it is valid
// UTF-8, else {"base64":"…"}.
type Octets string

// MarshalJSON writes the string, or its octets.
func (o Octets) MarshalJSON() ([]byte, error) {
	var v any = string(o)
	if !utf8.ValidString(string(o)) {
		v = map[string][]byte{"base64": []byte(o)}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (o *Octets) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var s string
		err := json.Unmarshal(b, &s)
		*o = octets(s)
		return err
	}
	var v struct {
		Base64 *[]byte `json:"base64"`
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return err
	}
	if v.Base64 == nil {
		return errors.New(`text must be a string or {"base64":"…"}`)
	}
	*o = octets(*v.Base64)
	return nil
}

func toOctets(s []string) []octets {
	var out []octets
	for _, v := range s {
		out = append(out, octets(v))
	}
	return out
}

func fromOctets(s []octets) []string {
	var out []string
	for _, v := range s {
		out = append(out, string(v))
	}
	return out
}

// An entry is one line.
type entry struct {
	Name      octets    `json:"name"`
	Type      Type      `json:"type"`
	Outcome   string    `json:"outcome,omitempty"`
	Error     Reason    `json:"error,omitempty"`
	Detail    octets    `json:"detail,omitempty"`
	Server    string    `json:"server,omitempty"`
	EDE       []octets  `json:"ede,omitempty"`
	Authentic bool      `json:"authentic,omitempty"`
	TTL       uint32    `json:"ttl,omitempty"`
	Chain     []octets  `json:"chain,omitempty"`
	RRs       []entryRR `json:"rrs,omitempty"`
}

type entryRR struct {
	Name    octets      `json:"name"`
	Type    Type        `json:"type"`
	TTL     uint32      `json:"ttl"`
	Addr    *netip.Addr `json:"addr,omitempty"`
	Strings []octets    `json:"strings,omitempty"`
	Pref    uint16      `json:"pref,omitempty"`
	Host    octets      `json:"host,omitempty"`
	SOA     *entrySOA   `json:"soa,omitempty"`
	Data    octets      `json:"data,omitempty"`
	File    string      `json:"file,omitempty"` // of a zone file that answered
	Line    int         `json:"line,omitempty"`
}

type entrySOA struct {
	MName   octets `json:"mname"`
	RName   octets `json:"rname"`
	Serial  uint32 `json:"serial"`
	Refresh uint32 `json:"refresh"`
	Retry   uint32 `json:"retry"`
	Expire  uint32 `json:"expire"`
	Minimum uint32 `json:"minimum"`
}

func toEntry(q Question, a *Answer, err *Error) entry {
	if err != nil {
		return entry{Name: octets(q.Name), Type: q.Type, Error: err.Reason, Detail: octets(err.Detail), Server: err.Server, EDE: toOctets(err.EDE)}
	}
	e := entry{
		Name: octets(q.Name), Type: q.Type, Outcome: a.Outcome.String(), Server: a.Server,
		EDE: toOctets(a.EDE), Authentic: a.Authentic, TTL: a.TTL, Chain: toOctets(a.Chain),
	}
	for _, rr := range a.RRs {
		r := entryRR{
			Name: octets(rr.Name), Type: rr.Type, TTL: rr.TTL, Strings: toOctets(rr.Strings),
			Pref: rr.Pref, Host: octets(rr.Host), Data: octets(rr.Data), File: rr.File, Line: rr.Line,
		}
		if rr.Addr.IsValid() {
			r.Addr = &rr.Addr
		}
		if s := rr.SOA; s != nil {
			r.SOA = &entrySOA{octets(s.MName), octets(s.RName), s.Serial, s.Refresh, s.Retry, s.Expire, s.Minimum}
		}
		e.RRs = append(e.RRs, r)
	}
	return e
}

// result is the reverse of toEntry; its error is a defect of the line.
func (e *entry) result() (*Answer, *Error, error) {
	q := Question{Name: string(e.Name), Type: e.Type}
	switch {
	case q.Name == "" || q.Name != CanonicalName(q.Name):
		return nil, nil, fmt.Errorf("name %q is not in canonical form (lower case, no final dot)", q.Name)
	case (e.Outcome == "") == (e.Error == ""):
		return nil, nil, errors.New(`expected either "outcome" or "error"`)
	case e.Error != "":
		if !slices.Contains(Reasons, e.Error) {
			return nil, nil, fmt.Errorf("%q is not a reason", string(e.Error))
		}
		return nil, &Error{Question: q, Reason: e.Error, Detail: string(e.Detail), Server: e.Server, EDE: fromOctets(e.EDE)}, nil
	}
	a := &Answer{
		Question: q, Server: e.Server, EDE: fromOctets(e.EDE), Authentic: e.Authentic,
		TTL: e.TTL, Chain: fromOctets(e.Chain), Source: SourceReplay,
	}
	for _, o := range []Outcome{Found, NoData, NXDomain} {
		if o.String() == e.Outcome {
			a.Outcome = o
		}
	}
	if a.Outcome == 0 {
		return nil, nil, fmt.Errorf("%q is not an outcome", e.Outcome)
	}
	if (a.Outcome == Found) != (len(e.RRs) > 0) {
		return nil, nil, fmt.Errorf("outcome %s with %d records", e.Outcome, len(e.RRs))
	}
	for _, r := range e.RRs {
		rr := RR{
			Name: string(r.Name), Type: r.Type, TTL: r.TTL, Strings: fromOctets(r.Strings),
			Pref: r.Pref, Host: string(r.Host), Data: string(r.Data), File: r.File, Line: r.Line,
		}
		if r.Addr != nil {
			rr.Addr = *r.Addr
		}
		if s := r.SOA; s != nil {
			rr.SOA = &SOA{string(s.MName), string(s.RName), s.Serial, s.Refresh, s.Retry, s.Expire, s.Minimum}
		}
		// Whoever reads an A record takes its address for granted.
		ok := true
		switch rr.Type {
		case TypeA:
			ok = rr.Addr.Is4()
		case TypeAAAA:
			ok = rr.Addr.Is6()
		case TypeTXT, TypeSPF:
			ok = len(rr.Strings) > 0
		case TypeSOA:
			ok = rr.SOA != nil
		case TypeMX, TypeCNAME, TypeDNAME, TypeNS, TypePTR:
			ok = rr.Host != ""
		}
		if !ok || rr.Name == "" {
			return nil, nil, fmt.Errorf("a record of type %s without its data", rr.Type)
		}
		a.RRs = append(a.RRs, rr)
	}
	return a, nil, nil
}

// A Recorder passes questions on and remembers what came of them. Close writes
// the recording.
type Recorder struct {
	// Header may be changed before Close.
	Header Header
	w      io.Writer
	under  Resolver
	mu     sync.Mutex
	m      map[Question]*entry // nil: under way
}

// NewRecorder records what under answers. Nothing is written before Close.
func NewRecorder(w io.Writer, under Resolver) *Recorder {
	return &Recorder{
		Header: Header{Version: recordingVersion, Started: time.Now().UTC().Truncate(time.Second)},
		w:      w, under: under, m: make(map[Question]*entry),
	}
}

// Ask asks. A question asked twice is recorded as answered the first time.
func (r *Recorder) Ask(ctx context.Context, q Question) (*Answer, error) {
	q.Name = CanonicalName(q.Name)
	r.mu.Lock()
	_, again := r.m[q]
	if !again {
		r.m[q] = nil
	}
	r.mu.Unlock()
	a, err := r.under.Ask(ctx, q)
	if again {
		return a, err
	}
	var e entry
	if err != nil {
		e = toEntry(q, nil, AsError(q, err))
	} else {
		e = toEntry(q, a, nil)
	}
	r.mu.Lock()
	r.m[q] = &e
	r.mu.Unlock()
	return a, err
}

// Close writes the recording. A question that is still under way was not
// answered in the run's time, and is recorded so.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := make([]entry, 0, len(r.m))
	for q, e := range r.m {
		if e == nil {
			open := toEntry(q, nil, &Error{Reason: OverDue, Detail: detailOverDue})
			e = &open
		}
		lines = append(lines, *e)
	}
	slices.SortFunc(lines, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type))
	})
	w := bufio.NewWriter(r.w)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(r.Header); err != nil {
		return fmt.Errorf("the recording cannot be written: %w", err)
	}
	for i := range lines {
		if err := e.Encode(&lines[i]); err != nil {
			return fmt.Errorf("the recording cannot be written: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("the recording cannot be written: %w", err)
	}
	return nil
}

// A Recording is the answers of an earlier run.
type Recording struct {
	Header
	answers map[Question]*Answer
	errors  map[Question]*Error
}

// ReadRecording reads what a [Recorder] wrote. A line may have at most 4 MiB.
// The error names the line, from 1.
func ReadRecording(r io.Reader) (*Recording, error) {
	rec := &Recording{answers: make(map[Question]*Answer), errors: make(map[Question]*Error)}
	br := bufio.NewReaderSize(r, 64<<10)
	for n := 1; ; n++ {
		line, err := readLine(br)
		if err == io.EOF {
			if n == 1 {
				return nil, errors.New("line 1: the recording is empty; expected a file that --record wrote")
			}
			return rec, nil
		}
		if err == nil {
			err = rec.add(line, n == 1)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
}

func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return nil, fmt.Errorf("it is longer than %d octets", maxLine)
		case err == bufio.ErrBufferFull:
			continue
		case err == io.EOF && len(line) > 0:
			return line, nil
		}
		return line, err
	}
}

func strict(line []byte, v any) error {
	// encoding/json replaces invalid UTF-8 in silence; what was written has none.
	if !utf8.Valid(line) {
		return errors.New("it is not valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	return nil
}

func (rec *Recording) add(line []byte, first bool) error {
	if first {
		// The version is read before anything else: a newer one may have more keys.
		var v struct {
			Version int `json:"todoku-recording"`
		}
		if err := json.Unmarshal(line, &v); err != nil || v.Version == 0 {
			return errors.New(`expected {"todoku-recording":1,…}, the first line of a file that --record wrote`)
		}
		if v.Version != recordingVersion {
			return fmt.Errorf("recording version %d; this todoku reads version %d", v.Version, recordingVersion)
		}
		return strict(line, &rec.Header)
	}
	if strings.TrimSpace(string(line)) == "" {
		return nil
	}
	var e entry
	if err := strict(line, &e); err != nil {
		return err
	}
	a, fail, err := e.result()
	if err != nil {
		return err
	}
	q := Question{Name: string(e.Name), Type: e.Type}
	if rec.answers[q] != nil || rec.errors[q] != nil {
		return fmt.Errorf("%s is recorded twice", q)
	}
	if a != nil {
		rec.answers[q] = a
	} else {
		rec.errors[q] = fail
	}
	return nil
}

// Len is the number of questions in the recording.
func (rec *Recording) Len() int { return len(rec.answers) + len(rec.errors) }

// Resolver answers from the recording, with Source [SourceReplay], and asks
// nobody. A question that is not in it is an [Offline] error.
func (rec *Recording) Resolver() Resolver {
	return ResolverFunc(func(ctx context.Context, q Question) (*Answer, error) {
		q.Name = CanonicalName(q.Name)
		if a := rec.answers[q]; a != nil {
			return a, nil
		}
		if e := rec.errors[q]; e != nil {
			return nil, e
		}
		return nil, &Error{Question: q, Reason: Offline, Detail: "not in the recording"}
	})
}
