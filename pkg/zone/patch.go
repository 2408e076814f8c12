package zone

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// Patch is a resolver that answers as under would if the edits were published.
// It learns through under what is there now, so an edited record set is as
// uncertain as under is: what cannot be learnt now gives the same error.
//
//   - The records of an edited name and type are under's, without Old, with New.
//     None left is NoData.
//   - A name that did not exist and gets a record exists: NoData for its other
//     types, and for the names between it and what existed (RFC 4592 §2.2.2).
//   - A name whose answers came from a wildcard no longer gets them when it, or
//     a name below it, gets a record of its own (RFC 4592 §2.2.1).
//   - A wildcard that gets a record answers for names that did not exist.
//   - An added or removed CNAME changes what all types of the name resolve to.
//
// An edit that could not be published on what is there makes the questions it
// concerns errors of reason malformed: Old is not there, a record beside a
// CNAME, two CNAMEs. A fix that rests on it can so never be verified.
//
// Whether a name exists itself or by a wildcard does not show in DNS. It is
// taken to be the wildcard's if the name and the asterisk beside it answer
// alike for A, AAAA, MX and TXT. Names of one or two labels, which are
// registered, always exist.
//
// Patched sets have Source zone and no file; a new record has the TTL of its
// set, or [DefaultTTL]. Patch itself fails if an edit cannot be read, has
// neither side, or is of a type whose effect reaches beyond its name (NS,
// DNAME, SOA, DS).
func Patch(under dnsq.Resolver, edits []diag.Edit) (dnsq.Resolver, error) {
	p := &patch{under: under, names: map[string]*patchedName{}, known: map[string]bool{}}
	for _, e := range edits {
		if e.Old == "" && e.New == "" {
			return nil, fmt.Errorf("edit of %q %s: neither an old nor a new record", e.Name, e.Type)
		}
		var c change
		var rr dnsq.RR
		for _, side := range []struct {
			text string
			to   **dnsq.RR
		}{{e.Old, &c.old}, {e.New, &c.new}} {
			if side.text == "" {
				continue
			}
			r, err := RecordOf(e.Name, e.Type, side.text)
			if err != nil {
				return nil, err
			}
			rr, *side.to = r, &r
		}
		if reachesBeyond(rr.Type) {
			return nil, fmt.Errorf("edit of %s %s: its effect reaches beyond the name and cannot be tried", rr.Name, rr.Type)
		}
		p.put(rr.Name, rr.Type, c)
	}
	return p, nil
}

// reachesBeyond reports whether records of a type change answers for more than
// their own name.
func reachesBeyond(t dnsq.Type) bool {
	return t == dnsq.TypeNS || t == dnsq.TypeDNAME || t == dnsq.TypeSOA || t == typeDS
}

func (p *patch) put(name string, t dnsq.Type, c change) *patchedName {
	n := p.names[name]
	if n == nil {
		n = &patchedName{edits: map[dnsq.Type][]change{}, whole: map[dnsq.Type]bool{}}
		p.names[name] = n
		if isWild(name) {
			p.wild = append(p.wild, name)
		}
	}
	n.edits[t] = append(n.edits[t], c)
	if c.new != nil {
		if !n.adds {
			p.added = append(p.added, name)
		}
		n.adds = true
		n.addsData = n.addsData || !besides(t) && t != dnsq.TypeCNAME
	}
	return n
}

// Compose makes one set of edits of those that are made first and those that are
// made then: what is added and then changed is added as changed, what is changed
// twice is changed once, what is removed again was never there. An edit that
// cannot be read is an error.
func Compose(first, then []diag.Edit) ([]diag.Edit, error) {
	type side struct{ old, new *dnsq.RR }
	read := func(e diag.Edit) (s side, err error) {
		for _, x := range []struct {
			text string
			to   **dnsq.RR
		}{{e.Old, &s.old}, {e.New, &s.new}} {
			if x.text != "" {
				rr, err := RecordOf(e.Name, e.Type, x.text)
				if err != nil {
					return s, err
				}
				*x.to = &rr
			}
		}
		return s, nil
	}
	same := func(a, b *dnsq.RR) bool {
		return a != nil && b != nil && a.Name == b.Name && a.Type == b.Type && sameText(a, b)
	}
	var out []diag.Edit
	var sides []side
	again := map[int]bool{} // made of two edits
	for i, e := range slices.Concat(first, then) {
		s, err := read(e)
		if err != nil {
			return nil, err
		}
		at := -1
		if i >= len(first) {
			for k := range sides {
				switch {
				case same(sides[k].new, s.old): // changed again
					out[k].New, sides[k].new = e.New, s.new
					at = k
				case s.old == nil && sides[k].new == nil && same(sides[k].old, s.new): // put back
					out[k].New, sides[k].new = e.New, s.new
					at = k
				}
				if at >= 0 {
					again[k] = true
					break
				}
			}
		}
		if at < 0 {
			out, sides = append(out, e), append(sides, s)
		}
	}
	kept := out[:0]
	for k, e := range out {
		if again[k] && (sides[k].old == nil && sides[k].new == nil || same(sides[k].old, sides[k].new)) {
			continue
		}
		kept = append(kept, e)
	}
	return kept, nil
}

type change struct{ old, new *dnsq.RR }

type patchedName struct {
	edits          map[dnsq.Type][]change
	adds, addsData bool // some New; some New that may not stand beside a CNAME
	// whole are the types of which the edits are all there is: what under has is
	// replaced.
	whole map[dnsq.Type]bool
}

type patch struct {
	under dnsq.Resolver
	names map[string]*patchedName
	added []string // names that get a record
	wild  []string // edited names that are wildcards

	mu    sync.Mutex
	known map[string]bool // what exists found out
}

func (p *patch) Ask(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
	return walk(ctx, q, p.under, p.ours, p.local)
}

// ours reports whether the edits may change the answer to q: its name is
// edited; or it is above, or shares a parent with, a name that gets a record;
// or it is below the parent of an edited wildcard.
func (p *patch) ours(q dnsq.Question) bool {
	if p.names[q.Name] != nil {
		return true
	}
	for _, n := range p.added {
		if dnsq.AtOrBelow(n, q.Name) || shared(q.Name, n) != "" {
			return true
		}
	}
	for _, w := range p.wild {
		if covers(w, q.Name) {
			return true
		}
	}
	return false
}

func isWild(n string) bool { return len(n) > 2 && n[:2] == "*." }

// covers reports whether name is below the parent of the wildcard w.
func covers(w, name string) bool {
	e := dnsq.Parent(w)
	return name != e && dnsq.AtOrBelow(name, e)
}

// registered reports whether name is taken to exist without asking.
func registered(name string) bool { return len(dnsq.Labels(name)) <= 2 }

// shared is the deepest name that is at or above name and strictly above
// added, if a record at added may bring it into being; "" otherwise.
func shared(name, added string) string {
	for a := dnsq.Parent(added); !registered(a); a = dnsq.Parent(a) {
		if dnsq.AtOrBelow(name, a) {
			return a
		}
	}
	return ""
}

// local answers for a name that the edits may concern. next is where a CNAME
// leads; then the answer has a Chain and no Outcome.
func (p *patch) local(ctx context.Context, q dnsq.Question) (a *dnsq.Answer, next string, err error) {
	n := p.names[q.Name]
	if n == nil {
		return p.beside(ctx, q)
	}
	if metaType(q.Type) {
		return nil, "", malformed(q, "only types of records can be asked of a name that an edit is tried on")
	}
	if changes := n.edits[dnsq.TypeCNAME]; changes != nil {
		return p.atAlias(ctx, q, n, changes)
	}
	base, err := p.under.Ask(ctx, q)
	if err != nil {
		if !n.whole[q.Type] {
			return nil, "", err
		}
		base = unknownBefore(q)
	}
	// A name that answers, but not with records of its own, gets none of the
	// wildcard's once it has one (RFC 4592 §2.2.1).
	own := true
	if answers(base) && n.depends(q.Type, base) {
		if own, err = p.exists(ctx, q.Name); err != nil {
			return nil, "", err
		}
	}
	changes := n.edits[q.Type]
	isAlias := len(base.Chain) > 0 || q.Type == dnsq.TypeCNAME && base.Outcome == dnsq.Found
	switch {
	case isAlias && own && n.addsData && !besides(q.Type):
		// RFC 1034 §3.6.2.
		return nil, "", malformed(q, "a record beside a CNAME")
	case isAlias && own && changes == nil, changes == nil && !n.adds:
		a, next = cutChain(base, p.ours)
		return a, next, nil
	case changes == nil:
		// Another type of a name that gets a record.
		if base.Outcome == dnsq.NXDomain || !own {
			return absent(q, dnsq.NoData, base), "", nil
		}
		return base, "", nil
	}
	rrs := base.RRs
	if isAlias || n.whole[q.Type] {
		rrs = nil // the records are those of another name, or replaced
	}
	a, err = apply(q, rrs, base, changes, own)
	return a, "", err
}

// unknownBefore stands for what could not be learnt of a set that is replaced as
// a whole.
func unknownBefore(q dnsq.Question) *dnsq.Answer {
	return &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain, TTL: DefaultTTL}
}

// answers reports whether there is anything that a wildcard may have given.
func answers(a *dnsq.Answer) bool { return a.Outcome == dnsq.Found || len(a.Chain) > 0 }

// depends reports whether it matters for the answer to type t if the name's
// records are its own: not if all of them are replaced.
func (n *patchedName) depends(t dnsq.Type, base *dnsq.Answer) bool {
	if len(base.Chain) > 0 || t == dnsq.TypeCNAME {
		return n.adds
	}
	changes := n.edits[t]
	if changes == nil {
		return n.adds
	}
	if n.whole[t] {
		return false
	}
	for _, c := range changes {
		if c.new == nil {
			return true
		}
	}
	kept := 0
	for i := range base.RRs {
		if !replaced(changes, &base.RRs[i]) {
			kept++
		}
	}
	return kept > 0
}

func replaced(changes []change, rr *dnsq.RR) bool {
	for _, c := range changes {
		if c.old != nil && sameText(c.old, rr) {
			return true
		}
	}
	return false
}

// sameText reports whether two records have the same data as an edit spells
// it: how TXT is cut into strings makes no difference.
func sameText(a, b *dnsq.RR) bool {
	if a.Type == b.Type && (a.Type == dnsq.TypeTXT || a.Type == dnsq.TypeSPF) {
		return a.Text() == b.Text()
	}
	return sameData(a, b)
}

// apply carries out changes on the records rrs of one name and type. own is
// false if a wildcard gave them.
func apply(q dnsq.Question, rrs []dnsq.RR, base *dnsq.Answer, changes []change, own bool) (*dnsq.Answer, error) {
	ttl := uint32(DefaultTTL)
	if len(rrs) > 0 {
		ttl = rrs[0].TTL
	}
	type slot struct {
		rr      dnsq.RR
		touched bool
	}
	slots := make([]slot, len(rrs), len(rrs)+len(changes))
	for i := range rrs {
		slots[i].rr = rrs[i]
	}
	adds := false
	for _, c := range changes {
		at := -1
		if c.old != nil {
			for i := range slots {
				if !slots[i].touched && slots[i].rr.Type != 0 && sameText(&slots[i].rr, c.old) {
					at = i
					break
				}
			}
			if at < 0 {
				return nil, malformed(q, fmt.Sprintf("the record to change is not there: %q", clip(EditText(*c.old))))
			}
			if c.new == nil && !own {
				return nil, malformed(q, fmt.Sprintf("the record to remove is not at this name but at a wildcard: %q", clip(EditText(*c.old))))
			}
		}
		var s slot
		if c.new != nil {
			adds = true
			s = slot{rr: *c.new, touched: true}
			s.rr.Name = q.Name
			if s.rr.TTL == 0 {
				s.rr.TTL = ttl
			}
		}
		if at >= 0 {
			slots[at] = s // a zero record is left out below
		} else {
			slots = append(slots, s)
		}
	}
	a := &dnsq.Answer{Question: q, Outcome: dnsq.Found, Source: dnsq.SourceZone, TTL: math.MaxUint32}
next:
	for i := range slots {
		rr := &slots[i].rr
		if rr.Type == 0 || adds && !own && !slots[i].touched {
			continue
		}
		for j := range a.RRs { // RFC 2181 §5: the same record twice is one
			if sameText(&a.RRs[j], rr) {
				continue next
			}
		}
		a.RRs = append(a.RRs, *rr)
		a.TTL = min(a.TTL, rr.TTL)
	}
	if len(a.RRs) == 0 {
		return absent(q, dnsq.NoData, base), nil
	}
	if q.Type == dnsq.TypeCNAME && len(a.RRs) > 1 {
		// RFC 2181 §10.1.
		return nil, malformed(q, "two CNAME records at one name")
	}
	return a, nil
}

// absent is an answer without records, which may be kept as long as what is
// there now.
func absent(q dnsq.Question, o dnsq.Outcome, base *dnsq.Answer) *dnsq.Answer {
	return &dnsq.Answer{Question: q, Outcome: o, Source: dnsq.SourceZone, TTL: base.TTL}
}

// atAlias answers for a name whose CNAME is edited: the CNAME that is there
// afterwards decides what every type is.
func (p *patch) atAlias(ctx context.Context, q dnsq.Question, n *patchedName, changes []change) (*dnsq.Answer, string, error) {
	cq := dnsq.Question{Name: q.Name, Type: dnsq.TypeCNAME}
	base, err := p.under.Ask(ctx, cq)
	if err != nil {
		if !n.whole[cq.Type] {
			return nil, "", err
		}
		base = unknownBefore(cq)
	}
	if len(base.Chain) > 0 {
		return nil, "", malformed(q, "the name is below a DNAME: a record there would not be seen")
	}
	own := true
	if answers(base) && n.depends(cq.Type, base) {
		if own, err = p.exists(ctx, q.Name); err != nil {
			return nil, "", err
		}
	}
	was := base.RRs
	if n.whole[cq.Type] {
		was = nil
	}
	c, err := apply(cq, was, base, changes, own)
	if err != nil {
		e := *dnsq.AsError(cq, err)
		e.Question = q
		return nil, "", &e
	}
	if c.Outcome == dnsq.Found {
		// RFC 1034 §3.6.2: nothing beside it, neither by an edit nor there.
		if n.addsData {
			return nil, "", malformed(q, "a record beside a CNAME")
		}
		if base.Outcome == dnsq.NoData || besides(q.Type) {
			if err := p.alone(ctx, q, n); err != nil {
				return nil, "", err
			}
		}
		switch {
		case q.Type == dnsq.TypeCNAME:
			return c, "", nil
		case besides(q.Type):
			a, err := p.under.Ask(ctx, q)
			return a, "", err
		}
		to := c.RRs[0].Host
		return &dnsq.Answer{Question: q, Chain: []string{to}, TTL: c.TTL, Source: dnsq.SourceZone}, to, nil
	}
	if q.Type == dnsq.TypeCNAME {
		return c, "", nil
	}
	// The CNAME is gone. There was one (or its removal would have failed), so
	// there is nothing but what the edits add.
	if more := n.edits[q.Type]; more != nil {
		a, err := apply(q, nil, base, more, true)
		return a, "", err
	}
	return absent(q, dnsq.NoData, base), "", nil
}

// alone is an error if other records stay beside a CNAME that is added to a
// name which had none. The types that mail or a zone's top has are looked at.
func (p *patch) alone(ctx context.Context, q dnsq.Question, n *patchedName) error {
	for _, t := range []dnsq.Type{dnsq.TypeTXT, dnsq.TypeMX, dnsq.TypeA, dnsq.TypeAAAA, dnsq.TypeNS, dnsq.TypeSOA} {
		tq := dnsq.Question{Name: q.Name, Type: t}
		a, err := p.under.Ask(ctx, tq)
		if err != nil {
			return err
		}
		if len(a.Chain) > 0 || a.Outcome != dnsq.Found {
			continue
		}
		left := a
		if changes := n.edits[t]; changes != nil {
			if left, err = apply(tq, a.RRs, a, changes, true); err != nil {
				return err
			}
		}
		if left.Outcome != dnsq.Found {
			continue
		}
		own, err := p.exists(ctx, q.Name)
		if err != nil {
			return err
		}
		if !own {
			return nil
		}
		return malformed(q, "a record beside a CNAME")
	}
	return nil
}

// beside answers for a name that is not edited itself, near one that is.
func (p *patch) beside(ctx context.Context, q dnsq.Question) (*dnsq.Answer, string, error) {
	base, err := p.under.Ask(ctx, q)
	if err != nil {
		return nil, "", err
	}
	if base.Outcome == dnsq.NXDomain && len(base.Chain) == 0 {
		// RFC 4592 §2.2.2: a name above one that exists exists.
		for _, n := range p.added {
			if dnsq.AtOrBelow(n, q.Name) {
				return absent(q, dnsq.NoData, base), "", nil
			}
		}
		w, err := p.wildFor(ctx, q)
		if err != nil {
			return nil, "", err
		}
		if w != "" {
			return p.fromWild(ctx, q, w)
		}
		return base, "", nil
	}

	// The name answers. If a wildcard does so for it, an edit may take that
	// away: by a name that comes into being between the wildcard and this one …
	for _, n := range p.added {
		c := shared(q.Name, n)
		if c == "" {
			continue
		}
		was, err := p.exists(ctx, c)
		if err != nil {
			return nil, "", err
		}
		if was {
			continue
		}
		if c == q.Name {
			return absent(q, dnsq.NoData, base), "", nil
		}
		if star := "*." + c; p.names[star] != nil && p.names[star].adds {
			return p.fromWild(ctx, q, star)
		}
		return absent(q, dnsq.NXDomain, base), "", nil
	}
	// … or by an edit of the wildcard itself, the nearest above the name.
	star := ""
	for _, w := range p.wild {
		if covers(w, q.Name) && len(w) > len(star) {
			star = w
		}
	}
	if star != "" && !registered(q.Name) {
		own, err := p.alike(ctx, q.Name, star)
		if err != nil {
			return nil, "", err
		}
		if own {
			return p.fromWild(ctx, q, star)
		}
	}
	a, next := cutChain(base, p.ours)
	return a, next, nil
}

// wildFor is the edited wildcard that answers for a name that did not exist,
// or "". RFC 4592 §3.3.1: the one below the closest encloser, no other.
func (p *patch) wildFor(ctx context.Context, q dnsq.Question) (string, error) {
	candidate := false
	for _, w := range p.wild {
		candidate = candidate || covers(w, q.Name) && p.names[w].adds
	}
	if !candidate {
		return "", nil
	}
	for e := dnsq.Parent(q.Name); e != "."; e = dnsq.Parent(e) {
		there := false
		for _, n := range p.added {
			there = there || dnsq.AtOrBelow(n, e)
		}
		if !there {
			a, err := p.under.Ask(ctx, dnsq.Question{Name: e, Type: q.Type})
			if err != nil {
				return "", err
			}
			there = a.Exists() || len(a.Chain) > 0
		}
		if there {
			if n := p.names["*."+e]; n != nil && n.adds {
				return "*." + e, nil
			}
			return "", nil
		}
	}
	return "", nil
}

// fromWild is the answer of an edited wildcard for a name that it covers.
func (p *patch) fromWild(ctx context.Context, q dnsq.Question, star string) (*dnsq.Answer, string, error) {
	a, next, err := p.local(ctx, dnsq.Question{Name: star, Type: q.Type})
	if err != nil {
		e := *dnsq.AsError(q, err)
		e.Question = q
		return nil, "", &e
	}
	b := *a
	b.Question = q
	if len(a.Chain) == 0 {
		b.RRs = make([]dnsq.RR, len(a.RRs))
		copy(b.RRs, a.RRs)
		for i := range b.RRs {
			b.RRs[i].Name = q.Name
		}
	}
	return &b, next, nil
}

// exists reports whether a name had records of its own, or names below it,
// before the edits; not if a wildcard answers for it.
func (p *patch) exists(ctx context.Context, name string) (bool, error) {
	if registered(name) {
		return true, nil
	}
	p.mu.Lock()
	v, ok := p.known[name]
	p.mu.Unlock()
	if ok {
		return v, nil
	}
	star := "*." + dnsq.Parent(name)
	if name == star {
		return true, nil
	}
	wild, err := p.alike(ctx, name, star)
	if err != nil {
		return false, err
	}
	p.mu.Lock()
	p.known[name] = !wild
	p.mu.Unlock()
	return !wild, nil
}

// alike reports whether name does not exist, or answers as the wildcard star
// does: then its answers are taken to come from there.
func (p *patch) alike(ctx context.Context, name, star string) (bool, error) {
	for _, t := range []dnsq.Type{dnsq.TypeTXT, dnsq.TypeA, dnsq.TypeMX, dnsq.TypeAAAA} {
		a, err := p.under.Ask(ctx, dnsq.Question{Name: name, Type: t})
		if err != nil {
			return false, err
		}
		if a.Outcome == dnsq.NXDomain && len(a.Chain) == 0 {
			return true, nil
		}
		sq := dnsq.Question{Name: star, Type: t}
		w, err := p.under.Ask(ctx, sq)
		if err != nil {
			// Files that hold the name and not the asterisk beside it hold no
			// wildcard for it.
			if dnsq.AsError(sq, err).Reason == dnsq.Offline {
				return false, nil
			}
			return false, err
		}
		if w.Outcome == dnsq.NXDomain && len(w.Chain) == 0 || !sameAnswer(a, w) {
			return false, nil
		}
	}
	return true, nil
}

func sameAnswer(a, b *dnsq.Answer) bool {
	if len(a.Chain) > 0 || len(b.Chain) > 0 {
		return len(a.Chain) > 0 && len(b.Chain) > 0 && a.Chain[0] == b.Chain[0]
	}
	if a.Outcome != b.Outcome || len(a.RRs) != len(b.RRs) {
		return false
	}
	for i := range a.RRs {
		found := false
		for j := range b.RRs {
			found = found || sameData(&a.RRs[i], &b.RRs[j])
		}
		if !found {
			return false
		}
	}
	return true
}
