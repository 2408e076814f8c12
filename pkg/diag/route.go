package diag

import "time"

// A Route is the way that something went from host to host, such as a mail by
// its Received fields. It holds data, no sentences: names are as they were
// found, hostile until a renderer has sanitised them.
type Route struct {
	Legs []Leg // in the order of travel
	// Border is the leg over which it came to the receiver: from there on the
	// account is the receiver's own. -1 if that is not known.
	Border   int
	Receiver string // who that is, if it has a name
	More     int    // legs before the first one that are not here
}

// A Leg is one step of a Route, from one host to the next.
type Leg struct {
	From string // what the host called itself
	Addr string // the address that the next one saw
	Name string // the name that the next one found for the address
	To   string
	With string // the protocol, as written
	TLS  string // its version, if said
	// Time is when it came to To, in the zone that To wrote; zero if not said.
	Time time.Time
	// Delay is the time since the leg before, negative where the clocks disagree.
	Delay    time.Duration
	HasDelay bool
	// Claim: nobody who is known to be the receiver says so.
	Claim bool
	// Notes are codes for what is worth saying of the leg; a renderer shows the
	// text term.leg.<code>, of the frame or of the check's document.
	Notes []LegNote
}

// A LegNote is something worth saying of a leg.
type LegNote struct {
	Code string
	Bad  bool // it is at fault
}

// A Router is check data (CheckReport.Data) that can be drawn as a [Route].
type Router interface {
	Route() *Route // nil: there is nothing to draw
}
