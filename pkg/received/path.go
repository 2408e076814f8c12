package received

import (
	_ "embed"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"
)

//go:embed receivers.tsv
var receiversData string

// A Role says what hosts of a name are at a receiver.
type Role string

// The roles.
const (
	// Inside: a host of the receiver's own. What comes from it is on its way
	// within the receiver.
	Inside Role = "inside"
	// Edge: the host that takes mail from outside. Where a receiver has one in
	// the table, only its field is the border.
	Edge Role = "edge"
	// Outside: a host of the same provider that sends its customers' mail out.
	// What comes from it came from outside.
	Outside Role = "outside"
	// Submission: a host that takes mail from the provider's own customers.
	Submission Role = "submission"
)

// A Row is a row of receivers.tsv.
type Row struct {
	Receiver   string
	Role       Role
	Suffix     string // a name that stands for itself and all below
	Source     string
	Date       string // YYYY-MM
	Confidence string // official, observed, secondary, memory
}

var rows = sync.OnceValue(func() []Row {
	r, err := parseRows(receiversData)
	if err != nil {
		panic("received: receivers.tsv: " + err.Error()) // held by a test
	}
	return r
})

// Rows are the rows of the table.
func Rows() []Row { return append([]Row(nil), rows()...) }

func parseRows(text string) ([]Row, error) {
	var out []Row
	for i, l := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		c := strings.Split(l, "\t")
		if len(c) != 6 {
			return nil, fmt.Errorf("line %d: %d columns, not 6", i+1, len(c))
		}
		if i == 0 {
			continue
		}
		r := Row{c[0], Role(c[1]), c[2], c[3], c[4], c[5]}
		switch r.Role {
		case Inside, Edge, Outside, Submission:
		default:
			return nil, fmt.Errorf("line %d: no such role %q", i+1, c[1])
		}
		switch r.Confidence {
		case "official", "observed", "secondary", "memory":
		default:
			return nil, fmt.Errorf("line %d: no such confidence %q", i+1, c[5])
		}
		if r.Receiver == "" || r.Source == "" || len(r.Date) != 7 || r.Suffix != strings.ToLower(r.Suffix) || !strings.Contains(r.Suffix, ".") {
			return nil, fmt.Errorf("line %d: a column is empty or not in form", i+1)
		}
		out = append(out, r)
	}
	return out, nil
}

// within reports whether name is suffix or below it.
func within(name, suffix string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	suffix = strings.ToLower(strings.Trim(suffix, "."))
	return name == suffix || strings.HasSuffix(name, "."+suffix)
}

// lookup is the row with the longest suffix for name; of one receiver if
// receiver is not "".
func lookup(name, receiver string) (Row, bool) {
	var best Row
	found := false
	for _, r := range rows() {
		if (receiver == "" || r.Receiver == receiver) && len(r.Suffix) > len(best.Suffix) && within(name, r.Suffix) {
			best, found = r, true
		}
	}
	return best, found
}

// A Step is a hop in its path.
type Step struct {
	Hop
	// Kind is that of Addr.
	Kind Kind
	// Delay is the time since the field below, where both have one. It is
	// negative where the clocks run backwards.
	Delay    time.Duration
	HasDelay bool
	// Backwards: the clock is behind that of the field below by more than two
	// seconds.
	Backwards bool
	// Trusted: the receiver wrote the field. The others are claims.
	Trusted bool
}

// How says how the border of the receiver was found.
type How string

// The ways.
const (
	NotKnown        How = "unknown"
	ByIP            How = "ip"             // the address was given
	ByReceiverHost  How = "receiver-host"  // the receiver's hosts were given
	ByKnownReceiver How = "known-receiver" // by receivers.tsv
)

// A Reason says why the border is not known.
type Reason string

// The reasons.
const (
	NoReceived    Reason = "no-received"    // the mail has no Received field
	NotAReceiver  Reason = "not-a-receiver" // the topmost field is of a host that is in no list
	NoOutside     Reason = "no-outside"     // all fields are the receiver's own, or the one from outside has no address
	WasSubmission Reason = "submission"     // the mail was handed in by its author there: it is a sender's copy
	HostNotFound  Reason = "host-not-found" // no field is by one of the hosts given
)

// A Boundary is where the mail came in from outside.
type Boundary struct {
	How    How
	Reason Reason // of NotKnown
	// Index is the step whose field says who delivered it, -1 if none does.
	Index int
	// Receiver is the receiver's name in the table, or the host that was given.
	Receiver   string
	Confidence string // of the row, of ByKnownReceiver
	// Addr, HELO and Reverse are of the host that delivered it: the sending
	// host.
	Addr    netip.Addr
	HELO    string
	Reverse string
	// Time is when it came in; zero if the field has no date.
	Time time.Time
	// Candidates are steps that could be the border, for a user to choose from:
	// those with a public address that is not said to be the author's own. Only
	// of NotKnown.
	Candidates []int
}

// A Path is all Received fields, the topmost (the last hop) first.
type Path struct {
	Steps    []Step
	Boundary Boundary
	More     int // fields beyond MaxSteps, which are not read
}

// MaxSteps is how many fields are read. Mail with more than 100 is refused as a
// loop (RFC 5321 §6.3).
const MaxSteps = 200

// Options for Read.
type Options struct {
	// ReceiverHosts are names of the receiver's own hosts; each stands for itself
	// and all below.
	ReceiverHosts []string
	// Addr is the sending address, if the user says so.
	Addr netip.Addr
}

// Read reads the values of a mail's Received fields, the topmost first.
func Read(values []string, o Options) *Path {
	p := &Path{}
	if len(values) > MaxSteps {
		p.More = len(values) - MaxSteps
		values = values[:MaxSteps]
	}
	for _, v := range values {
		h := Parse(v)
		p.Steps = append(p.Steps, Step{Hop: h, Kind: KindOf(h.Addr)})
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		if !s.HasDate {
			continue
		}
		for j := i + 1; j < len(p.Steps); j++ {
			if below := &p.Steps[j]; below.HasDate {
				s.Delay, s.HasDelay = s.Date.Time.Sub(below.Date.Time), true
				s.Backwards = s.Delay < -clockSlack
				break
			}
		}
	}
	p.Boundary = p.border(o)
	for i := range p.Steps {
		p.Steps[i].Trusted = i <= p.Boundary.Index
	}
	return p
}

// border finds where the mail came in.
func (p *Path) border(o Options) Boundary {
	if o.Addr.IsValid() {
		addr := o.Addr.Unmap()
		for i := range p.Steps {
			if p.Steps[i].Addr == addr {
				return p.at(i, ByIP, "", "")
			}
		}
		return Boundary{How: ByIP, Index: -1, Addr: addr}
	}
	if len(p.Steps) == 0 {
		return Boundary{How: NotKnown, Index: -1, Reason: NoReceived}
	}
	if len(o.ReceiverHosts) > 0 {
		return p.byHosts(o.ReceiverHosts)
	}
	return p.byTable()
}

func (p *Path) at(i int, how How, receiver, confidence string) Boundary {
	s := &p.Steps[i]
	b := Boundary{How: how, Index: i, Receiver: receiver, Confidence: confidence, Addr: s.Addr, HELO: s.HELO, Reverse: s.Reverse}
	if s.HasDate {
		b.Time = s.Date.Time
	}
	return b
}

func (p *Path) unknown(r Reason) Boundary {
	b := Boundary{How: NotKnown, Index: -1, Reason: r}
	for i := range p.Steps {
		if s := &p.Steps[i]; s.Kind == PublicNet && !s.Authenticated && !s.Fetched && !s.Local {
			b.Candidates = append(b.Candidates, i)
		}
	}
	return b
}

// byHosts takes the lowest of the fields at the top that the given hosts wrote:
// what is below the first field of somebody else could be forged.
func (p *Path) byHosts(hosts []string) Boundary {
	mine := func(name string) string {
		for _, h := range hosts {
			if name != "" && within(name, h) {
				return h
			}
		}
		return ""
	}
	seen := false
	for i := range p.Steps {
		s := &p.Steps[i]
		host := mine(s.By)
		if host == "" {
			if s.Fetched || s.internal() && !seen {
				continue // collected from the receiver's mailbox, or a relay within
			}
			if seen && s.internal() {
				continue
			}
			break
		}
		seen = true
		if s.Kind != PublicNet || mine(s.Reverse) != "" || s.Reverse == "" && !s.NoReverse && mine(s.HELO) != "" {
			continue
		}
		if s.Authenticated {
			return p.unknown(WasSubmission)
		}
		return p.at(i, ByReceiverHost, host, "")
	}
	if !seen {
		return p.unknown(HostNotFound)
	}
	return p.unknown(NoOutside)
}

// internal reports whether the step is one within a site: from a program or an
// address that nobody outside can have.
func (s *Step) internal() bool {
	return s.Local || s.Kind == Loopback || s.Kind == Private || s.Kind == LinkLocal || s.Kind == None
}

// byTable finds the receiver by the topmost field's host, and follows its hosts
// down to the one that took the mail from outside.
func (p *Path) byTable() Boundary {
	receiver := ""
	var row Row
	for i := range p.Steps {
		s := &p.Steps[i]
		r, known := lookup(s.By, receiver)
		if receiver == "" {
			if s.Fetched {
				continue // collected from the receiver's mailbox
			}
			if google6to4(s) {
				r, known = lookup("google.com", "")
			}
			if !known {
				return p.unknown(NotAReceiver)
			}
			receiver, row = r.Receiver, r
		}
		if !known && !s.ownAddress(receiver) {
			break
		}
		if known {
			row = r
		}
		if r.Role == Submission || s.Kind == PublicNet && s.Authenticated {
			return p.unknown(WasSubmission)
		}
		if s.Kind != PublicNet {
			continue
		}
		if hasEdge(receiver) {
			if r.Role != Edge {
				continue
			}
			return p.at(i, ByKnownReceiver, receiver, row.Confidence)
		}
		// Who delivered it: one of the receiver's own, or somebody outside? The
		// name in the DNS decides, where the field has one.
		name := s.Reverse
		if name == "" && !s.NoReverse {
			name = s.HELO
		}
		if from, ok := lookup(name, receiver); ok && from.Role != Outside {
			continue
		}
		return p.at(i, ByKnownReceiver, receiver, row.Confidence)
	}
	return p.unknown(NoOutside)
}

func hasEdge(receiver string) bool {
	for _, r := range rows() {
		if r.Receiver == receiver && r.Role == Edge {
			return true
		}
	}
	return false
}

var googleNet = netip.MustParsePrefix("2002:a00::/24")

// google6to4: within Google hosts are named by addresses of 10/8 in 6to4 form.
func google6to4(s *Step) bool {
	return s.ByAddr.IsValid() && googleNet.Contains(s.ByAddr) && !s.Addr.IsValid()
}

// ownAddress reports whether a field whose host is only an address, or a name
// without a domain, is of the receiver's inside.
func (s *Step) ownAddress(receiver string) bool {
	if google6to4(s) {
		return receiver == "gmail"
	}
	if s.ByAddr.IsValid() && s.By != "" {
		if _, isAddr := parseAddr(s.By); isAddr {
			return KindOf(s.ByAddr) != PublicNet
		}
	}
	return s.By != "" && !strings.Contains(s.By, ".") && s.internal()
}
