package zone

import (
	"context"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// Overlay is a resolver in which the zones answer for all names at or below
// their origins, except at and below their own delegations; under answers for
// everything else. A CNAME chain is followed from one into the other and back.
//
// What the zones hand on to other name servers is asked of under only if under
// hands it on to one of them too. A delegation that is not in force yet leads
// nowhere: under answers for the state that is to be replaced, so the question is
// an Error of reason delegated, as it is where under may ask nobody.
//
// Answers of the zones have Source zone and records with File and Line. What
// the zones leave undetermined ([Broken]) is an Error of reason malformed.
func (s *Set) Overlay(under dnsq.Resolver) dnsq.Resolver {
	return &overlay{s, s.beyond(under)}
}

// beyond is under for names that the set does not answer for, with an eye on
// delegations that only the set knows of.
func (s *Set) beyond(under dnsq.Resolver) dnsq.Resolver {
	return dnsq.ResolverFunc(func(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
		r := s.step(q)
		if r.kind != stepDelegated || isWild(r.next) {
			return under.Ask(ctx, q)
		}
		// The parent's NS records are not the child's, but they share a server
		// wherever the delegation works (RFC 1034 §4.2.2).
		ns := dnsq.Question{Name: r.next, Type: dnsq.TypeNS}
		a, err := under.Ask(ctx, ns)
		e := &dnsq.Error{Question: q, Reason: dnsq.Delegated, Detail: r.next + " is handed to"}
		for i := range r.rrs {
			e.Detail += " " + r.rrs[i].Host
		}
		if err != nil {
			if u := dnsq.AsError(ns, err); u.Reason != dnsq.Offline {
				return nil, u.About(q, "whether the delegation of "+r.next+" is in force: "+ns.String())
			}
			return nil, e
		}
		for i := range r.rrs {
			for j := range a.RRs {
				if a.RRs[j].Host == r.rrs[i].Host {
					return under.Ask(ctx, q)
				}
			}
		}
		return nil, e
	})
}

type overlay struct {
	set   *Set
	under dnsq.Resolver
}

func (o *overlay) Ask(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
	return walk(ctx, q, o.under, o.set.ours, func(_ context.Context, q dnsq.Question) (*dnsq.Answer, string, error) {
		a, w := o.set.Lookup(q)
		switch w.Place {
		case Broken:
			return nil, "", malformed(q, w.Detail)
		case Leaves:
			return a, w.Next, nil
		}
		return a, "", nil
	})
}

// ours reports whether the set answers for q itself.
func (s *Set) ours(q dnsq.Question) bool {
	switch s.step(q).kind {
	case stepOut, stepDelegated:
		return false
	}
	return true
}

func malformed(q dnsq.Question, detail string) *dnsq.Error {
	return &dnsq.Error{Question: q, Reason: dnsq.Malformed, Detail: detail}
}

// walk resolves q where some names are answered locally and the rest by
// under. ours says which; local answers for one of ours: completely, or a
// chain so far (no Outcome) and the name to go on with.
func walk(ctx context.Context, q dnsq.Question, under dnsq.Resolver, ours func(dnsq.Question) bool,
	local func(context.Context, dnsq.Question) (*dnsq.Answer, string, error)) (*dnsq.Answer, error) {

	total := &dnsq.Answer{Question: q, TTL: ^uint32(0)}
	zonePart := false
	at := q
	// fail makes an error that belongs to a later name one of q.
	fail := func(err error) error {
		e := dnsq.AsError(at, err)
		if at == q && e.Question == q {
			return e
		}
		c := *e
		c.Question, c.Err = q, e
		where := "at the alias target " + at.Name
		if e.Question != at {
			where = "it needs " + e.Question.String()
		}
		if c.Detail != "" {
			where += ": " + c.Detail
		}
		c.Detail = where
		return &c
	}
	// Every turn adds a link to the chain, which follow bounds.
	for {
		var a *dnsq.Answer
		var next string
		var err error
		if ours(at) {
			if a, next, err = local(ctx, at); err != nil {
				return nil, fail(err)
			}
		} else {
			if a, next, err = askUnder(ctx, at, under, ours); err != nil {
				return nil, fail(err)
			}
		}
		if next == "" && len(total.Chain) == 0 && a.Question == q {
			return a, nil // untouched
		}
		for _, c := range a.Chain {
			if detail := follow(total, c); detail != "" {
				return nil, malformed(q, detail)
			}
		}
		zonePart = zonePart || a.Source == dnsq.SourceZone
		total.TTL = min(total.TTL, a.TTL)
		total.EDE = append(total.EDE, a.EDE...)
		if a.Source != dnsq.SourceZone {
			total.Server, total.Cached = a.Server, a.Cached
		}
		total.RTT += a.RTT
		if next != "" {
			at.Name = next
			continue
		}
		total.Outcome, total.RRs, total.Source = a.Outcome, a.RRs, a.Source
		total.Authentic = a.Authentic && !zonePart
		if a.Source == dnsq.SourceZone {
			total.Server, total.Cached, total.RTT = "", false, 0
		}
		return total, nil
	}
}

// askUnder asks under. If the chain of its answer comes upon a name that is
// ours, the answer is cut there: next is that name.
func askUnder(ctx context.Context, q dnsq.Question, under dnsq.Resolver, ours func(dnsq.Question) bool) (a *dnsq.Answer, next string, err error) {
	a, err = under.Ask(ctx, q)
	if err != nil {
		// A resolver that cannot resolve an alias' target fails as a whole, but
		// the target may be ours: a zone that is not served yet. The alias
		// itself can then still be learnt.
		e := dnsq.AsError(q, err)
		if e.Reason != dnsq.ServFail || q.Type == dnsq.TypeCNAME {
			return nil, "", err
		}
		c, cerr := under.Ask(ctx, dnsq.Question{Name: q.Name, Type: dnsq.TypeCNAME})
		if cerr != nil || c.Outcome != dnsq.Found || len(c.RRs) != 1 || len(c.Chain) > 0 ||
			!ours(dnsq.Question{Name: c.RRs[0].Host, Type: q.Type}) {
			return nil, "", err
		}
		cut := *c
		cut.Question, cut.Outcome, cut.RRs, cut.Chain = q, 0, nil, []string{c.RRs[0].Host}
		return &cut, c.RRs[0].Host, nil
	}
	a, next = cutChain(a, ours)
	return a, next, nil
}

// cutChain cuts an answer at the first name of its chain that is ours: next.
func cutChain(a *dnsq.Answer, ours func(dnsq.Question) bool) (part *dnsq.Answer, next string) {
	for i, c := range a.Chain {
		if ours(dnsq.Question{Name: c, Type: a.Type}) {
			cut := *a
			cut.Outcome, cut.RRs, cut.Chain = 0, nil, a.Chain[:i+1:i+1]
			return &cut, c
		}
	}
	return a, ""
}
