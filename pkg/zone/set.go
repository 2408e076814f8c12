package zone

import (
	"fmt"
	"math"
	"strings"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

const (
	typeDS  = dnsq.Type(43)
	typeANY = dnsq.Type(255)
)

// maxChain is how many CNAME and DNAME steps are followed. The standards name
// no number; BIND and unbound stop after 11 to 17.
const maxChain = 16

// A node is a name that exists in a zone: with records, or without because
// only names below it have some (an empty non-terminal, RFC 4592 §2.2.2).
type node struct {
	sets   []rrset
	opaque []opaqueSet
}

type rrset struct {
	typ dnsq.Type
	rrs []dnsq.RR
}

func (n *node) set(t dnsq.Type) []dnsq.RR {
	for i := range n.sets {
		if n.sets[i].typ == t {
			return n.sets[i].rrs
		}
	}
	return nil
}

// alone reports whether a CNAME at n is the only one and without other data
// (RFC 1034 §3.6.2, RFC 2181 §10.1).
func (n *node) alone() bool {
	for i := range n.sets {
		if s := &n.sets[i]; s.typ == dnsq.TypeCNAME && len(s.rrs) > 1 || s.typ != dnsq.TypeCNAME && !besides(s.typ) {
			return false
		}
	}
	return true
}

// An index is a zone ready to answer.
type index struct {
	zone   *Zone
	origin string
	nodes  map[string]*node
	negTTL uint32
}

func newIndex(z *Zone) *index {
	x := &index{zone: z, origin: z.Origin, nodes: make(map[string]*node, len(z.Records)+1)}
	x.nodes[z.Origin] = &node{} // the origin exists, whatever the file holds
	for _, rr := range z.Records {
		if !dnsq.AtOrBelow(rr.Name, z.Origin) {
			continue
		}
		x.add(rr)
	}
	for _, o := range z.opaque {
		n := x.node(o.name)
		n.opaque = append(n.opaque, o)
	}
	if soa := x.nodes[z.Origin].set(dnsq.TypeSOA); len(soa) > 0 && soa[0].SOA != nil {
		// RFC 2308 §5: the minimum of the SOA's TTL and its MINIMUM field.
		x.negTTL = min(soa[0].TTL, soa[0].SOA.Minimum)
	}
	return x
}

// node is the node of a name, which comes into being.
func (x *index) node(name string) *node {
	n := x.nodes[name]
	if n == nil {
		n = &node{}
		x.nodes[name] = n
		// RFC 4592 §2.2.2: the names in between exist too.
		for up := dnsq.Parent(name); up != x.origin && dnsq.AtOrBelow(up, x.origin); up = dnsq.Parent(up) {
			if x.nodes[up] != nil {
				break
			}
			x.nodes[up] = &node{}
		}
	}
	return n
}

func (x *index) add(rr dnsq.RR) {
	n := x.node(rr.Name)
	for i := range n.sets {
		s := &n.sets[i]
		if s.typ != rr.Type {
			continue
		}
		// RFC 2181 §5.2: an RRset has one TTL; where the file disagrees with
		// itself, the smallest. §5: the same record twice is one.
		ttl := min(rr.TTL, s.rrs[0].TTL)
		same := false
		for j := range s.rrs {
			s.rrs[j].TTL = ttl
			same = same || sameData(&s.rrs[j], &rr)
		}
		if !same {
			rr.TTL = ttl
			s.rrs = append(s.rrs, rr)
		}
		return
	}
	n.sets = append(n.sets, rrset{rr.Type, []dnsq.RR{rr}})
}

// sameData reports whether two records of one name and type are one record
// (RFC 2181 §5). How TXT is cut into strings makes a difference on the wire,
// and here.
func sameData(a, b *dnsq.RR) bool {
	if a.Type != b.Type || a.Addr != b.Addr || a.Pref != b.Pref || a.Host != b.Host || a.Data != b.Data || len(a.Strings) != len(b.Strings) {
		return false
	}
	for i := range a.Strings {
		if a.Strings[i] != b.Strings[i] {
			return false
		}
	}
	if a.SOA == nil || b.SOA == nil {
		return a.SOA == b.SOA
	}
	return *a.SOA == *b.SOA
}

// A Set is some zones that answer together. It is safe for use by many
// goroutines.
type Set struct {
	zones  map[string]*index
	order  []*Zone
	passed []Passed
}

// NewSet puts zones together. Where origins lie inside each other, the longer
// one speaks for its names. Two zones with the same origin are an error, of type
// [Errors].
func NewSet(zones ...*Zone) (*Set, error) {
	s := &Set{zones: make(map[string]*index, len(zones)), order: zones}
	var errs Errors
	for _, z := range zones {
		if old, ok := s.zones[z.Origin]; ok {
			errs = append(errs, &Error{File: z.name(), Msg: fmt.Sprintf("two zone files answer for %s: this one and %s", z.Origin, old.zone.name())})
			continue
		}
		s.zones[z.Origin] = newIndex(z)
	}
	if errs != nil {
		return nil, errs
	}
	return s, nil
}

func (z *Zone) name() string {
	if len(z.Records) > 0 {
		return z.Records[0].File
	}
	return z.Origin
}

// Zones are the zones of the set, in the order they were given.
func (s *Set) Zones() []*Zone { return s.order }

// Passed are the files of folders that [OpenAll] did not take for zones.
func (s *Set) Passed() []Passed { return s.passed }

// A Place says how far a set can answer a question.
type Place uint8

const (
	// Out: the name is not at or below any origin. No answer.
	Out Place = iota
	// In: the set answers.
	In
	// Delegated: the name is at or below a zone cut (NS records below the
	// origin) of a zone of the set; others answer. No answer.
	Delegated
	// Leaves: the name is an alias whose chain leaves the set. The Answer has
	// Chain and TTL so far and no Outcome; Where.Next is to be asked elsewhere.
	Leaves
	// Broken: what the zone holds determines no answer: a CNAME loop, a CNAME
	// beside other records, a name too long after DNAME. No answer.
	Broken
)

// Where says how far a set could answer a question.
type Where struct {
	Place  Place
	Next   string // of Leaves: the name to ask elsewhere
	Cut    string // of Delegated: the name with the NS records
	Detail string // of Broken: why
	Zone   *Zone  // the zone that spoke last, nil if none did
}

// Lookup answers q as an authoritative server with these zones would, and
// follows CNAME and DNAME as long as they stay inside the set.
func (s *Set) Lookup(q dnsq.Question) (*dnsq.Answer, Where) {
	a := &dnsq.Answer{Question: q, Source: dnsq.SourceZone, TTL: math.MaxUint32}
	w := Where{}
	name := q.Name
	for {
		r := s.step(dnsq.Question{Name: name, Type: q.Type})
		if r.zone != nil {
			w.Zone = r.zone.zone
		}
		a.TTL = min(a.TTL, r.ttl)
		switch r.kind {
		case stepOut, stepDelegated:
			if len(a.Chain) > 0 {
				w.Place, w.Next = Leaves, name
				return a, w
			}
			w.Place = Out
			if r.kind == stepDelegated {
				w.Place, w.Cut = Delegated, r.next
			}
			return nil, w
		case stepBroken:
			w.Place, w.Detail = Broken, r.next
			return nil, w
		case stepAlias:
			if detail := follow(a, r.next); detail != "" {
				w.Place, w.Detail = Broken, detail
				return nil, w
			}
			name = r.next
		default:
			w.Place, a.Outcome, a.RRs = In, r.outcome, r.rrs
			return a, w
		}
	}
}

// follow adds a link to an answer's chain; the result is not "" if there are
// too many or one was there before.
func follow(a *dnsq.Answer, next string) string {
	if next == a.Name {
		return "CNAME loop"
	}
	for _, c := range a.Chain {
		if c == next {
			return "CNAME loop"
		}
	}
	if len(a.Chain) >= maxChain {
		return fmt.Sprintf("a CNAME chain of more than %d links", maxChain)
	}
	a.Chain = append(a.Chain, next)
	return ""
}

type stepKind uint8

const (
	stepOut stepKind = iota
	stepDelegated
	stepBroken
	stepAlias
	stepDone
)

// A stepResult is what one zone says to one question.
type stepResult struct {
	kind    stepKind
	next    string // the alias' target, the cut, or why it is broken
	outcome dnsq.Outcome
	rrs     []dnsq.RR
	ttl     uint32
	zone    *index
}

// find is the zone that speaks for q: the longest origin at or above its name.
func (s *Set) find(q dnsq.Question) *index {
	name := q.Name
	// RFC 4035 §3.1.4.1: DS of a zone's top is the parent's data.
	if q.Type == typeDS {
		if name == "." {
			return s.zones["."]
		}
		name = dnsq.Parent(name)
	}
	for {
		if x := s.zones[name]; x != nil {
			return x
		}
		if name == "." {
			return nil
		}
		name = dnsq.Parent(name)
	}
}

// step is RFC 1034 §4.3.2, as amended by RFC 4592 §3.3.1 and RFC 6672 §3.2,
// up to the first alias.
func (s *Set) step(q dnsq.Question) stepResult {
	x := s.find(q)
	if x == nil {
		return stepResult{ttl: math.MaxUint32}
	}
	r := x.step(q)
	r.zone = x
	return r
}

func (x *index) step(q dnsq.Question) stepResult {
	if metaType(q.Type) && q.Type != typeANY {
		return stepResult{kind: stepBroken, next: fmt.Sprintf("%s is not a type of record", q.Type)}
	}
	// Step 3: match down, label by label. path has the names from the origin
	// to q.Name.
	var buf [16]string
	path := append(buf[:0], q.Name)
	for n := q.Name; n != x.origin; {
		n = dnsq.Parent(n)
		path = append(path, n)
	}
	encloser := x.origin
	for i := len(path) - 1; i >= 0; i-- {
		name := path[i]
		n := x.nodes[name]
		if n == nil {
			break
		}
		encloser = name
		// 3b: NS below the top is a zone cut: what is at it and below it,
		// other than DS at it (RFC 4035 §3.1.4.1), is someone else's; address
		// records there are glue. It comes before DNAME: RFC 6672 §2.3 allows
		// both at one name only at the top.
		if name != x.origin && n.set(dnsq.TypeNS) != nil && !(q.Type == typeDS && i == 0) {
			return stepResult{kind: stepDelegated, next: name, rrs: n.set(dnsq.TypeNS), ttl: math.MaxUint32}
		}
		if i == 0 {
			return x.at(n, q, false)
		}
		// 3c as RFC 6672 has it: DNAME redirects what is below it, not its own
		// name (§2.3). Names that the file holds below it must not exist
		// (§2.4); BIND hides them and so do we.
		if d := n.set(dnsq.TypeDNAME); d != nil {
			return redirect(d, name, q)
		}
	}
	// RFC 4592 §3.3.1: the source of synthesis is the asterisk label below the
	// closest encloser, and no other: an existing name in between, an empty one
	// too, blocks a wildcard above it.
	if star := x.nodes[dnsq.Join("*", encloser)]; star != nil {
		// RFC 4592 §4.2 leaves NS at a wildcard undefined: not for us to say.
		if star.set(dnsq.TypeNS) != nil {
			return stepResult{kind: stepDelegated, next: dnsq.Join("*", encloser), ttl: math.MaxUint32}
		}
		// §4.4: a DNAME there redirects nothing.
		return x.at(star, q, true)
	}
	return stepResult{kind: stepDone, outcome: dnsq.NXDomain, ttl: x.negTTL}
}

// redirect is RFC 6672 §2.2: the owner's labels at the end of the name become
// the target's.
func redirect(d []dnsq.RR, owner string, q dnsq.Question) stepResult {
	// RFC 6672 §2.4: a singleton type.
	if len(d) > 1 {
		return stepResult{kind: stepBroken, next: "two DNAME records at " + owner}
	}
	front := q.Name
	if owner != "." {
		front = strings.TrimSuffix(front, "."+owner)
	}
	to := front
	if d[0].Host != "." {
		to += "." + d[0].Host
	}
	// §2.2: "If the resulting name is too long: YXDOMAIN", which no resolver
	// can give an answer for.
	if wireLen(to) > 255 {
		return stepResult{kind: stepBroken, next: "the name is too long behind the DNAME at " + owner}
	}
	// §3.1: the server adds a CNAME from the name to the target, with the TTL
	// of the DNAME (RFC 6672 §3.1). It is what an asker for CNAME gets.
	if q.Type == dnsq.TypeCNAME {
		rr := d[0]
		rr.Name, rr.Type, rr.Host = q.Name, dnsq.TypeCNAME, to
		return stepResult{kind: stepDone, outcome: dnsq.Found, rrs: []dnsq.RR{rr}, ttl: rr.TTL}
	}
	return stepResult{kind: stepAlias, next: to, ttl: d[0].TTL}
}

// at is step 3a, and the same for a wildcard (3c): the node is found.
func (x *index) at(n *node, q dnsq.Question, wild bool) stepResult {
	if c := n.set(dnsq.TypeCNAME); c != nil && !besides(q.Type) {
		if !n.alone() {
			// RFC 1034 §3.6.2 forbids it, no RFC says what a server answers;
			// BIND and NSD do not load such a zone.
			return stepResult{kind: stepBroken, next: "a record beside a CNAME (RFC 1034 §3.6.2)"}
		}
		// 3a: "if the data at the node is a CNAME, and QTYPE doesn't match CNAME".
		if q.Type != dnsq.TypeCNAME && q.Type != typeANY {
			return stepResult{kind: stepAlias, next: c[0].Host, ttl: c[0].TTL}
		}
	}
	for _, o := range n.opaque {
		if n.set(o.typ) == nil && (o.typ == q.Type || q.Type == typeANY) {
			return stepResult{kind: stepBroken, next: o.why}
		}
	}
	var rrs []dnsq.RR
	if q.Type == typeANY {
		for _, s := range n.sets {
			rrs = append(rrs, s.rrs...)
		}
	} else {
		rrs = n.set(q.Type)
	}
	if len(rrs) == 0 {
		// RFC 2308 §2.2. Also for an empty non-terminal (RFC 4592 §2.2.2) and
		// an asterisk that is one.
		return stepResult{kind: stepDone, outcome: dnsq.NoData, ttl: x.negTTL}
	}
	r := stepResult{kind: stepDone, outcome: dnsq.Found, rrs: rrs, ttl: math.MaxUint32}
	for i := range rrs {
		r.ttl = min(r.ttl, rrs[i].TTL)
	}
	if wild {
		// RFC 4592 §3.3.1: the owner is the name asked for.
		r.rrs = make([]dnsq.RR, len(rrs))
		copy(r.rrs, rrs)
		for i := range r.rrs {
			r.rrs[i].Name = q.Name
		}
	}
	return r
}
