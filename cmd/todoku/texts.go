package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/zone"
)

// setTexts tells a target what the text of zone files says.
func setTexts(t *diag.Target, z *diag.ZoneFiles) {
	t.Zones = z
	t.Inputs = maps.Clone(t.Inputs)
	if t.Inputs == nil {
		t.Inputs = map[diag.Input]bool{}
	}
	t.Inputs[diag.ZoneInput] = z != nil
}

// texts are what the text of the zone files says: those of --zone, or those that
// a recording was made with; nil if there are none. The demo's stand for the DNS.
func (p *plan) texts() (*diag.ZoneFiles, error) {
	switch {
	case p.files:
		z := zone.Lint(p.zones)
		if p.records != nil {
			z = p.records.Replace(z)
		}
		return z, nil
	case p.replay != nil && p.replay.Context != nil:
		return readTexts(p.replay.Context)
	}
	return nil, nil
}

// proposed are the records of --record-set as zones, nil without any.
func (p *plan) proposed() *zone.Set {
	if p.records == nil {
		return nil
	}
	return p.records.Zones()
}

// A recorded is what a recording keeps beside the answers: what the zone files
// of the run say in their text. The files themselves are not in it.
type recorded struct {
	Zones []recordedZone `json:"zones,omitempty"`
	Lints []recordedLint `json:"lints,omitempty"`
}

type recordedZone struct {
	Origin  string   `json:"origin"`
	File    string   `json:"file"`
	Records int      `json:"records"`
	Cuts    []string `json:"cuts,omitempty"`
}

type recordedLint struct {
	Code   diag.LintCode  `json:"code"`
	Zone   string         `json:"zone"`
	File   string         `json:"file,omitempty"`
	Line   int            `json:"line,omitempty"`
	Column int            `json:"column,omitempty"`
	Name   dnsq.Octets    `json:"name"`
	Type   string         `json:"type,omitempty"`
	Text   dnsq.Octets    `json:"text,omitempty"`
	Offset int            `json:"offset,omitempty"`
	Length int            `json:"length,omitempty"`
	Read   dnsq.Octets    `json:"read,omitempty"`
	Meant  dnsq.Octets    `json:"meant,omitempty"`
	Was    int64          `json:"was,omitempty"`
	Number int64          `json:"number,omitempty"`
	Mail   bool           `json:"mail,omitempty"`
	Whole  bool           `json:"whole,omitempty"`
	Fix    []recordedEdit `json:"fix,omitempty"`
}

type recordedEdit struct {
	Name dnsq.Octets `json:"name"`
	Type string      `json:"type"`
	Old  dnsq.Octets `json:"old,omitempty"`
	New  dnsq.Octets `json:"new,omitempty"`
}

// recordTexts is what a recording keeps of z; nothing if that is nil.
func recordTexts(z *diag.ZoneFiles) (json.RawMessage, error) {
	if z == nil {
		return nil, nil
	}
	var r recorded
	for _, f := range z.Zones {
		r.Zones = append(r.Zones, recordedZone(f))
	}
	for _, l := range z.Lints {
		x := recordedLint{Code: l.Code, Zone: l.Zone, File: l.Place.File, Line: l.Place.Line, Column: l.Column,
			Name: dnsq.Octets(l.Name), Type: l.Type, Text: dnsq.Octets(l.Text), Offset: l.Offset, Length: l.Length,
			Read: dnsq.Octets(l.Read), Meant: dnsq.Octets(l.Meant), Was: l.Was, Number: l.Number, Mail: l.Mail, Whole: l.Whole}
		for _, e := range l.Fix {
			x.Fix = append(x.Fix, recordedEdit{dnsq.Octets(e.Name), e.Type, dnsq.Octets(e.Old), dnsq.Octets(e.New)})
		}
		r.Lints = append(r.Lints, x)
	}
	return json.Marshal(r)
}

// readTexts reads what recordTexts wrote.
func readTexts(raw json.RawMessage) (*diag.ZoneFiles, error) {
	var r recorded
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return nil, fmt.Errorf("the first line: context: %w", err)
	}
	z := &diag.ZoneFiles{}
	for _, f := range r.Zones {
		z.Zones = append(z.Zones, diag.ZoneFile(f))
	}
	for _, l := range r.Lints {
		if !slices.Contains(diag.LintCodes, l.Code) {
			return nil, fmt.Errorf("the first line: context: the code %q is not known: the recording is of a newer todoku", l.Code)
		}
		x := diag.Lint{Code: l.Code, Zone: l.Zone, Place: diag.Place{File: l.File, Line: l.Line}, Column: l.Column,
			Name: string(l.Name), Type: l.Type, Text: string(l.Text), Offset: l.Offset, Length: l.Length,
			Read: string(l.Read), Meant: string(l.Meant), Was: l.Was, Number: l.Number, Mail: l.Mail, Whole: l.Whole}
		for _, e := range l.Fix {
			x.Fix = append(x.Fix, diag.Edit{Name: string(e.Name), Type: e.Type, Old: string(e.Old), New: string(e.New)})
		}
		z.Lints = append(z.Lints, x)
	}
	return z, nil
}
