package render

import (
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/i18n"
)

// The JSON of a diff, a contract like that of a report (testdata/
// diff.schema.json). Records stand once, in "changes"; findings name them by
// their place in that list.

type jsonDiff struct {
	Schema     int              `json:"schema"`
	Version    string           `json:"version"`
	Started    string           `json:"started"` // RFC 3339, UTC
	DurationMS int64            `json:"duration_ms"`
	Before     string           `json:"before"`
	After      string           `json:"after"`
	Status     diag.Status      `json:"status"`
	Counts     jsonChangeCounts `json:"counts"`
	Changes    []jsonChange     `json:"changes"`
	Domains    []jsonDiffDomain `json:"domains"`
	Server     string           `json:"server,omitempty"`
}

// jsonChangeCounts count what is a warning or worse.
type jsonChangeCounts struct {
	New       int `json:"new"`
	Fixed     int `json:"fixed"`
	Unchanged int `json:"unchanged"`
	Undecided int `json:"undecided"`
}

type jsonChange struct {
	Name string         `json:"name"`
	Type string         `json:"type"`
	Old  []jsonEvidence `json:"old"`
	New  []jsonEvidence `json:"new"`
	// Seconds; null if not known, or if there is no new record.
	OldSeen        *int64 `json:"old_seen_seconds"`
	OldSeenAtLeast bool   `json:"old_seen_at_least"`
	NewStays       *int64 `json:"new_stays_seconds"`
}

type jsonDiffDomain struct {
	Target   jsonTarget       `json:"target"`
	Status   diag.Status      `json:"status"`
	Before   diag.Status      `json:"before"` // of the report on each side
	After    diag.Status      `json:"after"`
	Counts   jsonChangeCounts `json:"counts"`
	Findings []jsonPair       `json:"findings"`
}

type jsonPair struct {
	Change  diag.Change  `json:"change"`
	Check   string       `json:"check"`
	Changes []int        `json:"changes"` // places in the list of changes
	Old     *jsonFinding `json:"old"`
	New     *jsonFinding `json:"new"`
}

func diffJSON(r *diag.Run, cat *i18n.Catalog) *jsonDiff {
	out := &jsonDiff{
		Schema: 1, Version: r.Version, Started: r.Started.UTC().Format(time.RFC3339), DurationMS: r.Duration.Milliseconds(),
		Before: valid(r.Before), After: valid(r.After), Status: DiffStatus(r),
		Changes: []jsonChange{}, Domains: []jsonDiffDomain{}, Server: valid(r.Server),
	}
	for i := range r.Changes {
		c := &r.Changes[i]
		out.Changes = append(out.Changes, jsonChange{
			Name: valid(c.Name), Type: c.Type, Old: evidenceJSON(c.Old), New: evidenceJSON(c.New),
			OldSeen: seconds(c.Seen), OldSeenAtLeast: c.SeenAtLeast, NewStays: seconds(c.Stays),
		})
	}
	for _, d := range r.Diffs {
		jd := jsonDiffDomain{Target: targetJSON(&d.Target), Status: diag.Pass,
			Before: VerdictStatus(d.Old), After: VerdictStatus(d.New), Findings: []jsonPair{}}
		for i := range d.Pairs {
			p := &d.Pairs[i]
			jd.Status = max(jd.Status, PairStatus(p))
			if p.Finding().Weight() >= diag.Warn {
				jd.Counts.add(p.Change)
				out.Counts.add(p.Change)
			}
			jp := jsonPair{Change: p.Change, Check: p.Check.Name, Changes: append([]int{}, p.Changes...)}
			if p.Old != nil {
				f := findingJSON(p.Old, cat)
				jp.Old = &f
			}
			if p.New != nil {
				f := findingJSON(p.New, cat)
				jp.New = &f
			}
			jd.Findings = append(jd.Findings, jp)
		}
		out.Domains = append(out.Domains, jd)
	}
	return out
}

func (n *jsonChangeCounts) add(c diag.Change) {
	switch c {
	case diag.New:
		n.New++
	case diag.Fixed:
		n.Fixed++
	case diag.Unchanged:
		n.Unchanged++
	case diag.Undecided:
		n.Undecided++
	}
}

// seconds is d in seconds, nil if it is negative, which stands for not known.
func seconds(d time.Duration) *int64 {
	if d < 0 {
		return nil
	}
	s := int64(d / time.Second)
	return &s
}
