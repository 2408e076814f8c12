// Package dnsq asks DNS questions and keeps what the answer really said.
//
// The standard library's net.Resolver folds together things that a mail
// verdict must keep apart: NXDOMAIN and NODATA, an absence and a server that
// would not say, the CNAME that was followed, the TTL. Here an [Answer] is
// something that was learnt, and an error, always an [*Error], means exactly
// one thing: it could not be learnt. A caller can therefore not mistake a
// timeout for a missing record: there is no Answer to look at.
//
// [Resolver] has one method, so everything that changes how questions are
// asked is a small wrapper round another Resolver. From the outside in:
//
//	what-if overlay (package zone)  a proposed zone or edit answers first
//	Cache      one question crosses the wire once, whoever asks
//	Record     writes down each question and what came of it
//	Budget     a ceiling on questions per target
//	Rewrite    puts keys of blocklists into names, and takes them out again
//	Limit      a ceiling on questions under way per server
//	Retry      timeouts, SERVFAIL, REFUSED: again, at another server if there is one
//	Exchange   one question, one server, UDP then TCP (or TLS, or HTTPS)
//
// Names are canonical everywhere inside todoku: lower case, A-labels, no
// trailing dot, "." for the root, RFC 1035 §5.1 escapes for odd octets. See
// [ParseName] for names that people type and [CanonicalName] for names that
// come from DNS data.
package dnsq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// A Resolver answers one question. The error is nil or an *[Error], and an
// Error means only that the answer could not be learnt. Resolvers are safe for
// use by many goroutines. The Answer is shared: callers do not write to it.
type Resolver interface {
	Ask(ctx context.Context, q Question) (*Answer, error)
}

// ResolverFunc makes a function a Resolver.
type ResolverFunc func(ctx context.Context, q Question) (*Answer, error)

// Ask calls f.
func (f ResolverFunc) Ask(ctx context.Context, q Question) (*Answer, error) { return f(ctx, q) }

// A Type is a DNS RR TYPE code (RFC 1035 §3.2.2 and successors).
type Type uint16

// The types that todoku asks for or reads.
const (
	TypeA     Type = 1
	TypeNS    Type = 2
	TypeCNAME Type = 5
	TypeSOA   Type = 6
	TypePTR   Type = 12
	TypeMX    Type = 15
	TypeTXT   Type = 16
	TypeAAAA  Type = 28
	TypeDNAME Type = 39
	TypeTLSA  Type = 52
	TypeSPF   Type = 99 // obsolete since RFC 7208 §3.1
)

// A Question is what is asked, class IN. Name is canonical.
type Question struct {
	Name string `json:"name"`
	Type Type   `json:"type"`
}

// Q is a Question for a name in any spelling that [CanonicalName] takes.
func Q(name string, t Type) Question { return Question{Name: CanonicalName(name), Type: t} }

// String is "example.com TXT".
func (q Question) String() string { return q.Name + " " + q.Type.String() }

// Compare orders questions by name, then type.
func (q Question) Compare(r Question) int {
	return cmp.Or(strings.Compare(q.Name, r.Name), cmp.Compare(q.Type, r.Type))
}

// An Outcome is what was learnt. The zero Outcome is not valid.
type Outcome uint8

const (
	Found    Outcome = iota + 1 // at least one record of the type asked for
	NoData                      // the name exists, the type does not (RFC 2308 §2.2)
	NXDomain                    // the name does not exist, nor anything below it (RFC 8020)
)

// String is "found", "nodata" or "nxdomain".
func (o Outcome) String() string {
	switch o {
	case Found:
		return "found"
	case NoData:
		return "nodata"
	case NXDomain:
		return "nxdomain"
	}
	return fmt.Sprintf("outcome(%d)", uint8(o))
}

// A Source says where an answer came from.
type Source string

const (
	SourceDNS    Source = "dns"    // asked over the network in this run
	SourceZone   Source = "zone"   // a zone file or a proposed edit
	SourceReplay Source = "replay" // a recording of another run
	// SourceMessage is no answer's: it marks text of a mail that a finding rests on.
	SourceMessage Source = "message"
)

// An Answer is something that was learnt about a Question.
type Answer struct {
	Question
	Outcome Outcome
	// RRs are the records of the asked type, at the end of the chain; empty
	// unless Outcome is Found. Order is the server's.
	RRs []RR
	// Chain are the names that CNAMEs (or DNAMEs) led to, in order, without
	// the question's own name. The last one owns RRs.
	Chain []string
	// Authentic is the AD bit: the server says that it validated DNSSEC.
	Authentic bool
	// TTL in seconds: how long this answer may be kept. The smallest TTL on
	// the way, or for an absence min(SOA TTL, SOA MINIMUM) (RFC 2308 §5), 0 if
	// unknown.
	TTL uint32
	// EDE are extended DNS errors that came along (RFC 8914), as "6 DNSSEC Bogus: text".
	EDE []string
	// Source, Server and RTT: where the answer came from. Server is empty for
	// a zone; RTT is 0 for anything that was not asked in this run.
	Source Source
	Server string
	RTT    time.Duration
	// Cached is true when another asker of this run had already paid for it.
	Cached bool
}

// Exists reports whether the name exists (Found or NoData).
func (a *Answer) Exists() bool { return a.Outcome != NXDomain }

// Owner is the name that owns the records: the end of the CNAME chain.
func (a *Answer) Owner() string {
	if n := len(a.Chain); n > 0 {
		return a.Chain[n-1]
	}
	return a.Name
}

// An RR is one resource record. Which fields are set depends on Type.
type RR struct {
	Name string // owner
	Type Type
	TTL  uint32 // seconds

	Addr    netip.Addr // A, AAAA
	Strings []string   // TXT, SPF: the character-strings as raw octets, escapes undone
	Pref    uint16     // MX preference
	Host    string     // MX exchange, and the target of CNAME, DNAME, NS, PTR
	SOA     *SOA       // SOA
	Data    string     // any other type: RDATA in presentation format

	// File and Line (from 1) say where a zone file holds the record; "" and 0
	// for records from the network.
	File string
	Line int
}

// SOA is the RDATA of an SOA record (RFC 1035 §3.3.13), times in seconds.
type SOA struct {
	MName, RName                            string
	Serial, Refresh, Retry, Expire, Minimum uint32
}

// Text is the value of a TXT record as SPF, DKIM and DMARC read it: its
// strings joined with nothing in between (RFC 7208 §3.3, RFC 6376 §3.6.2.2),
// raw octets.
func (rr *RR) Text() string { return strings.Join(rr.Strings, "") }

// A Reason says why an answer could not be learnt.
type Reason string

const (
	Timeout   Reason = "timeout"   // no (valid) reply in time
	ServFail  Reason = "servfail"  // RCODE 2, or another RCODE that says "I could not"
	Refused   Reason = "refused"   // RCODE 5: this server does not answer us
	Malformed Reason = "malformed" // replies that cannot be read, or a CNAME loop
	Network   Reason = "network"   // no connection, TLS or HTTP failure
	OverDue   Reason = "budget"    // the run's time or its number of questions was used up
	// Delegated: a zone file hands the name to other name servers, which cannot be
	// asked for it: the delegation is not in force yet, or nobody may be asked.
	Delegated Reason = "delegated"
	Offline   Reason = "offline" // not in the zone files or the recording, and asking is not allowed
)

// Reasons lists every Reason, in the order of this file.
var Reasons = []Reason{Timeout, ServFail, Refused, Malformed, Network, OverDue, Delegated, Offline}

// An Error says that the answer to Question could not be learnt. It says
// nothing about whether records exist.
type Error struct {
	Question
	Reason Reason
	Server string   // the last server asked, "" if none was
	EDE    []string // extended DNS errors that came along (RFC 8914)
	Detail string   // a few words for people; may hold hostile text
	Err    error    // the cause, if there is one
}

// Error is "example.com TXT: timeout (asked 192.0.2.53:53): detail".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Question.String())
	b.WriteString(": ")
	b.WriteString(string(e.Reason))
	if e.Server != "" {
		b.WriteString(" (asked " + e.Server + ")")
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	for _, s := range e.EDE {
		b.WriteString("; EDE " + s)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// About is e as an error about another question, which needs e's; detail says why.
func (e *Error) About(q Question, detail string) *Error {
	if e.Question == q {
		return e
	}
	c := *e
	c.Question, c.Err, c.Detail = q, e, detail
	if e.Detail != "" {
		c.Detail += ": " + e.Detail
	}
	return &c
}

// AsError returns err as an *Error. An error of another kind (a caller's own
// Resolver, a cancelled context) becomes one for q: network, or budget when it
// is the context's.
func AsError(q Question, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	r := Network
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		r = OverDue
	}
	return &Error{Question: q, Reason: r, Detail: err.Error(), Err: err}
}

// OfflineResolver answers nothing: every question is an [Offline] error with
// the given detail. It stands below an overlay or a recording.
func OfflineResolver(detail string) Resolver {
	return ResolverFunc(func(_ context.Context, q Question) (*Answer, error) {
		return nil, &Error{Question: q, Reason: Offline, Detail: detail}
	})
}
