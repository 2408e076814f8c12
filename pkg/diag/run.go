package diag

import "time"

// A Run is everything that one command found: what a renderer is handed.
type Run struct {
	Version  string
	Started  time.Time
	Duration time.Duration
	Server   string // which resolver was asked, for the head of the report
	// Reports are one per target, in the order of the targets. A diff has none.
	Reports []*Report
	// Diffs are one per target of a diff, in the order of the targets.
	Diffs []*Diff
	// Before and After say what the sides of a diff are: files, or "live".
	Before, After string
	// Changes are the records that a diff's sides differ in, in order of name and
	// type, each once, whichever targets they concern.
	Changes []RecordChange
}

// A Change says what became of a finding between the two sides of a diff.
type Change string

const (
	New       Change = "new"       // only the new side has it
	Fixed     Change = "fixed"     // only the old side has it
	Unchanged Change = "unchanged" // both have it
	// Undecided: it cannot be said whether it is new, for on one side the check
	// that would tell could not find out.
	Undecided Change = "undecided"
)

// Changes lists every Change, the one that matters most first.
var Changes = []Change{New, Undecided, Fixed, Unchanged}

// A Pair is a finding on both sides of a diff.
type Pair struct {
	Change Change
	Check  *Check
	// Old and New are the finding on each side; nil on a side that lacks it.
	Old, New *Finding
	// Changes are the changed records that it rests on: indices into Run.Changes.
	Changes []int
}

// Finding is the New one, or else the Old one.
func (p *Pair) Finding() *Finding {
	if p.New != nil {
		return p.New
	}
	return p.Old
}

// A Diff is one target before and after.
type Diff struct {
	Target   Target
	Old, New *Report
	// Pairs are in the order of the checks; within one check those of the new
	// side first.
	Pairs []Pair
}

// Counts is the number of pairs of each Change.
func (d *Diff) Counts() map[Change]int {
	m := make(map[Change]int, len(Changes))
	for _, c := range Changes {
		m[c] = 0
	}
	for i := range d.Pairs {
		m[d.Pairs[i].Change]++
	}
	return m
}

// A RecordChange is a set of records (one name, one type) that differs between
// the sides of a diff.
type RecordChange struct {
	Name, Type string
	// Old and New are the records of each side, with file and line where a zone
	// file holds them; none where the side has no such record.
	Old, New []Evidence
	// Seen is how long resolvers may go on to serve the old answer after the new
	// zone is published: the TTL of the old records (RFC 1035 §3.2.1), or where
	// there were none that of their absence (RFC 2308 §5). Unknown if negative.
	Seen time.Duration
	// SeenAtLeast: Seen is what is left of the TTL in the resolver that was asked;
	// others may hold the answer for longer.
	SeenAtLeast bool
	// Stays is the TTL of the new records: for how long a mistake in them lasts
	// once it is published. Negative if there are none.
	Stays time.Duration
}
