package render

import (
	"io"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/i18n"
)

// A plan of DNS changes as JSON, schema 1 (testdata/fix.schema.json). Findings
// and edits are as in a report.
type jsonPlan struct {
	Schema  int        `json:"schema"`
	Version string     `json:"version"`
	Started string     `json:"started"` // RFC 3339, UTC
	Target  jsonTarget `json:"target"`
	Edits   []jsonEdit `json:"edits"` // all steps as one set, tried as that
	Steps   []jsonStep `json:"steps"`
	Left    []jsonLeft `json:"left"`
	Before  jsonState  `json:"before"`
	After   jsonState  `json:"after"`
	More    bool       `json:"more"` // a limit ended the search: run again after these edits
}

// A jsonState is a report without and with the edits.
type jsonState struct {
	Status diag.Status `json:"status"`
	Counts jsonCounts  `json:"counts"`
}

type jsonStep struct {
	Check        string        `json:"check"`
	Finding      jsonFinding   `json:"finding"`
	Edits        []jsonEdit    `json:"edits"` // over those of the steps before
	AlsoGone     []jsonFinding `json:"also_gone"`
	Alternatives [][]jsonEdit  `json:"alternatives"` // each in place of edits
}

type jsonLeft struct {
	Check    string      `json:"check"`
	Finding  jsonFinding `json:"finding"`
	Question string      `json:"question,omitempty"` // what only a person can answer
	Tried    []jsonTried `json:"tried"`
}

type jsonTried struct {
	Edits      []jsonEdit `json:"edits"`
	Unverified []string   `json:"unverified"`
	Reason     string     `json:"reason"`
}

// PlanJSON writes a plan as one JSON object.
func PlanJSON(w io.Writer, p *diag.Plan, cat *i18n.Catalog) error {
	state := func(r *diag.Report) jsonState {
		return jsonState{Status: r.Status(), Counts: countsJSON(r)}
	}
	out := jsonPlan{Schema: 1, Version: p.Before.Version, Started: p.Before.Started.UTC().Format(time.RFC3339),
		Target: targetJSON(&p.Target), Edits: editsJSON(p.Edits), Steps: []jsonStep{}, Left: []jsonLeft{},
		Before: state(p.Before), After: state(p.After), More: p.More}
	for i := range p.Steps {
		s := &p.Steps[i]
		j := jsonStep{Check: s.Check.Name, Finding: findingJSON(&s.Finding, cat), Edits: editsJSON(s.Edits),
			AlsoGone: []jsonFinding{}, Alternatives: [][]jsonEdit{}}
		for k := range s.Gone {
			j.AlsoGone = append(j.AlsoGone, findingJSON(&s.Gone[k], cat))
		}
		for _, x := range s.Others {
			j.Alternatives = append(j.Alternatives, editsJSON(x.Edits))
		}
		out.Steps = append(out.Steps, j)
	}
	for i := range p.Left {
		l := &p.Left[i]
		j := jsonLeft{Check: l.Check.Name, Finding: findingJSON(&l.Finding, cat), Question: cat.Ask(&l.Finding), Tried: []jsonTried{}}
		for _, x := range l.Tried {
			j.Tried = append(j.Tried, jsonTried{editsJSON(x.Edits), validAll(x.Unverified), Unverified(cat, x.Unverified)})
		}
		out.Left = append(out.Left, j)
	}
	return writeJSON(w, out, "  ")
}

func editsJSON(edits []diag.Edit) []jsonEdit {
	out := []jsonEdit{}
	for _, e := range edits {
		out = append(out, jsonEdit{
			Name: valid(e.Name), Type: e.Type, Old: valid(e.Old), New: valid(e.New),
			OldBase64: raw(e.Old), NewBase64: raw(e.New),
		})
	}
	return out
}
