// Package dnsbl asks DNS blocklists and says what their answers mean.
//
// # How a blocklist works
//
// A blocklist is a DNS zone. To ask whether 192.0.2.25 is on bl.example, one
// writes the address backwards in front of the zone and asks for the A records
// of 25.2.0.192.bl.example (RFC 5782 §2.1; for IPv6 the 32 nibbles, §2.4; a
// domain list takes the domain as it is, §3). No record: not listed. A record:
// listed, and its address, always in 127.0.0.0/8, is a code that says why. A
// TXT record at the same name may give the reason in words.
//
// # Why an answer is not believed
//
// That scheme has no place for "I will not tell you", so lists abuse the one
// they have, and whoever takes every A record for a listing sooner or later
// reports the whole world as listed:
//
//   - Lists answer questions that come through public resolvers, or too many
//     of them, with a code that means "refused": 127.255.255.x (Spamhaus and
//     others), 127.0.0.1 (URIBL, SURBL).
//   - A list that closes often lets its domain lapse; who buys it points every
//     name at a web server, an address outside 127/8. Others end by listing
//     everything, so that the last users notice.
//   - Other lists, or the resolver's operator, answer "no such name" to
//     everything: silence that looks like a clean bill.
//   - Some answer with codes that are no listing at all (a neutral or a white
//     entry), or with a sum of bits.
//
// So a listing counts here only if its code is in the list's own table, and any
// answer only if the list is healthy. RFC 5782 §5 has every list carry test
// entries: 127.0.0.2 is listed, 127.0.0.1 never is (::FFFF:7F00:2 and :1 for
// IPv6; TEST and INVALID for domains). They are asked in the same round as the
// question itself and decide what it is worth ([Judge]): both listed, and the
// list lists the world; neither, and it does not answer us.
//
// # The parts
//
// [Lists] is the table of lists that todoku knows, living and dead, and [Select]
// picks those to ask. [Probe] asks for the test entries, [Ask] for one address
// or name, [Reasons] for the words. Nothing here judges how bad a listing is:
// the table says who acts on the list, and that is all.
//
// A key that some operators give out is part of the zone's name. It never comes
// near this package's questions: they name the zone that the table has, and
// [Keys.Rules] gives the rules by which a dnsq.Rewrite below every cache and
// recorder puts the key in and takes it out again.
package dnsbl

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// A Kind is what a list holds.
type Kind uint8

const (
	IPv4 Kind = iota
	IPv6
	Domain
	kinds // how many there are
)

var kindNames = [...]string{"ip4", "ip6", "domain"}

// Kinds are all kinds.
var Kinds = []Kind{IPv4, IPv6, Domain}

// String is "ip4", "ip6" or "domain".
func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return "kind(?)"
}

// A Subject is an address or a domain to ask about. It is comparable.
type Subject struct {
	Kind Kind
	IP   netip.Addr // of IPv4 and IPv6
	Name string     // of Domain, canonical
}

// IP is the Subject for an address; an IPv4-mapped one is its IPv4 address.
func IP(a netip.Addr) Subject {
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return Subject{Kind: IPv4, IP: a}
	}
	return Subject{Kind: IPv6, IP: a}
}

// DomainName is the Subject for a domain; ok is false for what a domain list
// must not be asked: an address in any disguise, a single label, the root. DBL
// answers questions for addresses with an error, and an address in a domain
// list would be a listing of nothing.
func DomainName(name string) (s Subject, ok bool) {
	name = dnsq.CanonicalName(name)
	labels := dnsq.Labels(name)
	if len(labels) < 2 {
		return Subject{}, false
	}
	// RFC 3696 §2: no top-level domain is all digits, so this is (part of) an
	// address.
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return Subject{}, false
	}
	return Subject{Kind: Domain, Name: name}, true
}

// String is the address or the domain.
func (s Subject) String() string {
	if s.Kind == Domain {
		return s.Name
	}
	return s.IP.String()
}

// labels are what stands before the zone.
func (s Subject) labels() string {
	switch s.Kind {
	case Domain:
		return s.Name
	case IPv4:
		return dnsq.ReverseLabels(s.IP)
	}
	// Not dnsq.ReverseLabels, which takes ::ffff:127.0.0.2 for an IPv4 address:
	// that is just what the IPv6 test entry is.
	const hex = "0123456789abcdef"
	b := s.IP.As16()
	out := make([]byte, 0, 63)
	for i := 15; i >= 0; i-- {
		if len(out) > 0 {
			out = append(out, '.')
		}
		out = append(out, hex[b[i]&15], '.', hex[b[i]>>4])
	}
	return string(out)
}

// Question is the question for s at the list.
func (l *List) Question(s Subject) dnsq.Question {
	return dnsq.Q(s.labels()+"."+l.Zone, dnsq.TypeA)
}

// Test are the entries for tests: one that the list must hold, one that it
// must not (RFC 5782 §5). Those for IPv6 prove less than one would wish: rbldnsd
// answers for IPv4-mapped addresses from a list's IPv4 data.
func (l *List) Test(k Kind) (listed, not Subject) {
	switch k {
	case IPv4:
		return Subject{Kind: IPv4, IP: netip.AddrFrom4([4]byte{127, 0, 0, 2})}, Subject{Kind: IPv4, IP: netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	case IPv6:
		return Subject{Kind: IPv6, IP: netip.MustParseAddr("::ffff:127.0.0.2")}, Subject{Kind: IPv6, IP: netip.MustParseAddr("::ffff:127.0.0.1")}
	}
	if l.testListed != "" {
		return Subject{Kind: Domain, Name: l.testListed}, Subject{Kind: Domain, Name: l.testNot}
	}
	return Subject{Kind: Domain, Name: "test"}, Subject{Kind: Domain, Name: "invalid"}
}

// A Hit is a code that means a listing.
type Hit struct {
	Code    netip.Addr // the whole answer, also where it is a sum of bits
	Meaning string     // a word of the list's table
	Class   Class
}

// Reasons why an answer is no answer, beside those of a list's table.
const (
	// ReasonRefused: the list will not say why.
	ReasonRefused = "refused"
	// ReasonPublic: it was asked through a public resolver.
	ReasonPublic = "public-resolver"
	// ReasonRegister: it answers registered resolvers only.
	ReasonRegister = "register"
)

// A Reply is what one question came to.
type Reply struct {
	Subject  Subject
	Question dnsq.Question
	Answer   *dnsq.Answer // nil: not learnt
	Err      *dnsq.Error
	// Hits are the listings; in the order of the table, the worst first.
	Hits []Hit
	// Good are entries that are no listing (a white or neutral one).
	Good []netip.Addr
	// Unknown are codes in 127/8 that the list's table does not have.
	Unknown []netip.Addr
	// Refused is the reason of an error code, Parked an address outside 127/8;
	// both make the rest void.
	Refused string
	Parked  netip.Addr
}

// present reports whether the subject stands in the list, whatever the code,
// but for one that says that it is no listing.
func (r *Reply) present() bool { return len(r.Hits) > 0 || len(r.Unknown) > 0 }

var loopback = netip.MustParsePrefix("127.0.0.0/8")

// maxRRs bounds what is read of one answer. Spamhaus sends four at most.
const maxRRs = 64

// Ask asks the list about s and reads the answer by the list's table. It never
// fails: a question without an answer is in Err.
func Ask(ctx context.Context, r dnsq.Resolver, l *List, s Subject) *Reply {
	q := l.Question(s)
	reply := &Reply{Subject: s, Question: q}
	// A long name below a long zone is no name (RFC 1035 §2.3.4), so it cannot be
	// listed; but nobody has said so, and a shorter one may be.
	if len(q.Name) > dnsq.MaxName {
		reply.Err = &dnsq.Error{Question: q, Reason: dnsq.Malformed, Detail: "the name is too long to be asked"}
		return reply
	}
	a, err := r.Ask(ctx, q)
	if err != nil {
		reply.Err = dnsq.AsError(q, err)
		return reply
	}
	reply.Answer = a
	for i := range a.RRs[:min(len(a.RRs), maxRRs)] {
		if rr := &a.RRs[i]; rr.Type == dnsq.TypeA {
			l.read(reply, rr.Addr)
		}
	}
	slices.SortStableFunc(reply.Hits, func(a, b Hit) int { return l.rank(a) - l.rank(b) })
	return reply
}

func (l *List) rank(h Hit) int {
	return slices.IndexFunc(l.Codes, func(c Code) bool { return c.Meaning == h.Meaning && c.class(l) == h.Class })
}

// read takes in one address of an answer.
func (l *List) read(r *Reply, a netip.Addr) {
	// RFC 5782 §2.1: the address is in 127/8. Anything else comes from a parked
	// domain or from a resolver that sells answers.
	if !a.Is4() || !loopback.Contains(a) {
		r.Parked = a
		return
	}
	b := a.As4()
	// Errors first: no list has listings there, whatever else it does.
	for _, e := range l.Errors {
		if e.is(l, b) {
			r.Refused = e.Meaning
			return
		}
	}
	// 127.255.255.0/24 is no RFC's, but Spamhaus, Validity and, after them,
	// others use it for "not checked", and nobody for a listing.
	if b[1] == 255 && b[2] == 255 {
		r.Refused = ReasonRefused
		return
	}
	if l.Own {
		// A list that we have no table of: the person who named it knows what is
		// in it. RFC 5782 §2.1 makes every code a listing. 127.0.0.1 is not taken
		// for one: it is what URIBL and SURBL refuse with, and a resolver's usual
		// answer for a blocked name.
		if b == [4]byte{127, 0, 0, 1} {
			r.Unknown = append(r.Unknown, a)
			return
		}
		r.Hits = append(r.Hits, Hit{a, MeaningListed, Class(l.Tier)})
		return
	}
	if l.Bits {
		l.readBits(r, a)
		return
	}
	for _, c := range l.Codes {
		if c.is(l, b) {
			l.add(r, Hit{a, c.Meaning, c.class(l)})
			return
		}
	}
	r.Unknown = append(r.Unknown, a)
}

// readBits takes a sum of bits apart (RFC 5782 §2.3). A sum that holds a bit
// without a meaning still holds the others.
func (l *List) readBits(r *Reply, a netip.Addr) {
	b, base := a.As4(), l.Base.As4()
	if [3]byte(b[:3]) != [3]byte(base[:3]) {
		r.Unknown = append(r.Unknown, a)
		return
	}
	rest := b[3]
	for _, c := range l.Codes {
		if rest&c.Bit != 0 {
			rest &^= c.Bit
			l.add(r, Hit{a, c.Meaning, c.class(l)})
		}
	}
	if rest != 0 || b[3] == 0 {
		r.Unknown = append(r.Unknown, a)
	}
}

func (l *List) add(r *Reply, h Hit) {
	if h.Class == Good {
		r.Good = append(r.Good, h.Code)
		return
	}
	r.Hits = append(r.Hits, h)
}

// MeaningListed is the meaning of a code of a list without a table.
const MeaningListed = "listed"

// Health is what became of a list's test entries.
type Health struct {
	Listed, Not *Reply
}

// Probe asks for the test entries of l, both at once.
func Probe(ctx context.Context, r dnsq.Resolver, l *List, k Kind) *Health {
	listed, not := l.Test(k)
	h := &Health{}
	var wg sync.WaitGroup
	wg.Go(func() { h.Listed = Ask(ctx, r, l, listed) })
	wg.Go(func() { h.Not = Ask(ctx, r, l, not) })
	wg.Wait()
	return h
}

// A State is what is known about a subject at a list.
type State uint8

const (
	// Undetermined: a question got no answer. The zero State.
	Undetermined State = iota
	NotListed
	Listed
	// Unrecognised: there is an entry, but its codes are in no table.
	Unrecognised
	// Refused: the list said that it did not check.
	Refused
	// Unhealthy: the list answers, but its answers mean nothing.
	Unhealthy
)

var stateNames = [...]string{"undetermined", "not-listed", "listed", "unrecognised", "refused", "unhealthy"}

// String is the state in lower case.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "state(?)"
}

// Faults of an unhealthy list.
const (
	FaultEverything = "lists-everything" // both test entries are listed
	FaultSilent     = "silent"           // neither is
	FaultInverted   = "inverted"         // the wrong one is
	FaultParked     = "parked"           // answers are addresses of the Internet
)

// A Verdict is what an answer is worth.
type Verdict struct {
	State State
	// Why is the reason of Refused (a word of the list's table or one of the
	// Reasons) or the fault of Unhealthy.
	Why string
	Err *dnsq.Error // of Undetermined
}

// Judge weighs the answer for a subject, r, by the list's health. With r nil
// it judges the list alone: NotListed then means that it is healthy.
func Judge(l *List, h *Health, r *Reply) Verdict {
	replies := []*Reply{h.Listed, h.Not}
	if r != nil {
		replies = append(replies, r)
	}
	// An error code or a parked zone speaks for all answers of the list: the
	// other questions went through the same resolver at the same moment.
	for _, p := range replies {
		if p.Refused != "" {
			return Verdict{State: Refused, Why: p.Refused}
		}
	}
	for _, p := range replies {
		if p.Parked.IsValid() {
			return Verdict{State: Unhealthy, Why: FaultParked}
		}
	}
	// Nothing is concluded from one test entry alone. RFC 5782 §5 does not say
	// what to do if a test entry cannot be asked; that a listing might be true
	// all the same is not enough to say it.
	for _, p := range replies[:2] {
		if p.Err != nil {
			return Verdict{Err: p.Err}
		}
	}
	// RFC 5782 §5. A white or neutral entry at the one that must not be listed
	// is no listing (hostkarma answers 127.0.0.1 for "trusted").
	hit, miss := h.Listed.present(), h.Not.present()
	switch {
	case hit && miss:
		return Verdict{State: Unhealthy, Why: FaultEverything}
	case miss:
		return Verdict{State: Unhealthy, Why: FaultInverted}
	case !hit && l.Access == Registered:
		// Such a list tells strangers nothing in just this way.
		return Verdict{State: Refused, Why: ReasonRegister}
	case !hit:
		return Verdict{State: Unhealthy, Why: FaultSilent}
	case r == nil:
		return Verdict{State: NotListed}
	case r.Err != nil:
		return Verdict{Err: r.Err}
	case len(r.Hits) > 0:
		return Verdict{State: Listed}
	case len(r.Unknown) > 0:
		return Verdict{State: Unrecognised}
	}
	return Verdict{State: NotListed}
}

// maxReasons bounds what is read of a list's words.
const (
	maxReasons    = 4
	maxReasonText = 512
)

// Reasons are the list's words about an entry: its TXT records (RFC 5782 §2.1),
// in order, each at most 512 octets, four at most; nil if there are none or
// they cannot be learnt. The text is hostile.
func Reasons(ctx context.Context, r dnsq.Resolver, l *List, s Subject) []string {
	q := l.Question(s)
	q.Type = dnsq.TypeTXT
	if len(q.Name) > dnsq.MaxName {
		return nil
	}
	a, err := r.Ask(ctx, q)
	if err != nil {
		return nil
	}
	var out []string
	for i := range a.RRs[:min(len(a.RRs), maxRRs)] {
		t := a.RRs[i].Text()
		if len(t) > maxReasonText {
			t = t[:maxReasonText]
		}
		if t = strings.TrimSpace(t); t != "" && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	slices.Sort(out) // a server may rotate them
	return out[:min(len(out), maxReasons)]
}
