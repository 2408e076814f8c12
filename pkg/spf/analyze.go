package spf

import (
	"context"
	"net/netip"
	"strings"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// The bounds of Analyze. Real records stay far below; a hostile one gets no
// more than this out of us. A record that meets one has a ProblemTooBig.
const (
	maxTerms     = 200 // terms that count, in the whole tree
	maxDepth     = 20  // records on the way from the root
	maxQuestions = 150 // DNS questions that the walk needs; as many may be asked ahead
)

// An Analysis is what a domain's SPF record costs and authorises, whoever
// sends: the worst case.
type Analysis struct {
	Domain string
	// Root is the record with, below it, every record that include and
	// redirect lead to; nil only if Domain is no name.
	Root *Node
	// Lookups is the number of terms that need DNS if nothing matches before
	// the end: over MaxLookups, evaluation ends in permerror for senders who
	// are not matched early. AtLeast says that it is a lower bound: a record
	// could not be fetched, its name depends on the sender, there is a loop, or
	// the tree is beyond the bounds of the analysis.
	Lookups int
	AtLeast bool
	// Voids4 and Voids6 are the void terms met by an IPv4 and by an IPv6
	// sender, counted as Check does. VoidQueries4 and VoidQueries6 count every
	// void address query, the hosts of mx among them, as pyspf and Mail::SPF
	// do: over MaxVoids, receivers that use those end in permerror.
	// Terms that depend on the sender and questions in Unknown are not in them.
	Voids4, Voids6             int
	VoidQueries4, VoidQueries6 int
	// AnswerBytes is the size of a DNS message with the whole TXT answer for
	// Domain, in octets, question, CNAMEs and an EDNS OPT record included,
	// owner names compressed; 0 without an answer. Over 512 it needs EDNS or
	// TCP; over 1232 most servers send it by TCP only.
	AnswerBytes int
	// V4 and V6 are the addresses that terms with the qualifier + authorise,
	// through includes with + and a redirect. It is an upper bound: an address
	// that an earlier -, ~ or ? term matches is not taken out; and a lower
	// one for what SenderDependent terms and ptr authorise.
	V4, V6 AddrSet
	// Problems are everything wrong in the tree, in order of evaluation:
	// those that make the result a permerror for some sender or for all, and
	// ProblemExpUnusable.
	Problems []*Problem
	// Unknown are the questions that got no answer, each once, in order.
	Unknown []*dnsq.Error
	// SenderDependent are the terms that cannot be looked up without a sender:
	// ptr, and targets with macros other than %{d} and %{o}.
	SenderDependent []*Step
}

// Over reports whether the worst case breaks a limit of §4.6.4 for certain.
func (a *Analysis) Over() bool {
	return a.Lookups > MaxLookups || a.Voids4 > MaxVoids || a.Voids6 > MaxVoids
}

// Analyze walks the whole tree of records of a domain as if nothing matched,
// counting on beyond the limits, so that a report can say "14 of 10". Terms
// after all cost nothing and are not walked, nor is a redirect beside an all.
// A record with syntax errors is permerror as it stands; its well-formed terms
// are walked all the same, to tell what is to be met once they are corrected.
//
// Questions are asked in parallel as soon as their names are known: the time
// is that of the longest chain of includes.
func (c *Checker) Analyze(ctx context.Context, domain string) *Analysis {
	out := &Analysis{Domain: domain}
	raw, name, ok := initialDomain(domain)
	if !ok {
		out.Problems = []*Problem{{Code: ProblemInvalidDomain, Domain: domain}}
		out.V4.bits, out.V6.bits = 32, 128
		return out
	}
	out.Domain = name
	ctx, cancel := context.WithCancel(ctx)
	w := &walk{
		out: out, domain: raw,
		m:       &memo{resolver: c.Resolver, ctx: ctx, m: make(map[dnsq.Question]*flight)},
		asked:   make(map[dnsq.Question]bool),
		unknown: make(map[dnsq.Question]bool),
	}
	w.ahead = newAhead(w.m, w.value, family4|family6, netip.Addr{}, maxQuestions)
	defer w.ahead.wg.Wait()
	defer cancel()

	var pass addrs
	out.Root = &Node{Domain: name, Raw: raw}
	w.node(out.Root, 0, &pass)
	out.Lookups = w.lookups
	out.Root.Voids = max(out.Voids4, out.Voids6)
	if a := out.Root.Answer; a != nil {
		out.AnswerBytes = answerBytes(a)
	}
	out.V4, out.V6 = newAddrSet(pass.v4, 32), newAddrSet(pass.v6, 128)
	if w.overLookups != nil {
		w.overLookups.Count = w.lookups
	}
	if w.overVoids != nil {
		w.overVoids.Count = max(out.Voids4, out.Voids6)
	}
	return out
}

type addrs struct{ v4, v6 []netip.Prefix }

func (a *addrs) add(p netip.Prefix) {
	if p.Addr().Is4() {
		a.v4 = append(a.v4, p)
	} else if !p.Addr().Is4In6() || p.Bits() < 96 {
		// A network of IPv4-mapped addresses authorises nobody (§5).
		a.v6 = append(a.v6, p)
	}
}

type walk struct {
	out         *Analysis
	domain      string // %{o}
	m           *memo
	ahead       *ahead
	path        []string // canonical names of the records on the way here
	lookups     int
	asked       map[dnsq.Question]bool
	unknown     map[dnsq.Question]bool
	tooBig      bool
	overLookups *Problem
	overVoids   *Problem
}

// value: %{d} is known, and so is %{o}: the domain of the sender is the domain
// analysed, in MAIL FROM and in HELO.
func (w *walk) value(letter byte, d string) (string, bool) {
	switch letter {
	case 'd':
		return d, true
	case 'o':
		return w.domain, true
	}
	return "", false
}

func (w *walk) report(n *Node, t *Term, p Problem) *Problem {
	p.Domain, p.Term = n.Domain, t
	if p.Record == nil {
		p.Record = n.Record
	}
	w.out.Problems = append(w.out.Problems, &p)
	return &p
}

// tooLarge notes, once, that a bound was met.
func (w *walk) tooLarge(n *Node, s *Step, limit int) {
	s.Why = WhyTooBig
	w.out.AtLeast = true
	if !w.tooBig {
		w.tooBig = true
		w.report(n, s.Term, Problem{Code: ProblemTooBig, Target: s.Target, Limit: limit})
	}
}

// ask asks within the bound. ok is false if there is no answer; then either
// s.Err is set or the bound was met.
func (w *walk) ask(n *Node, s *Step, name string, t dnsq.Type) (ans *dnsq.Answer, ok bool) {
	q := dnsq.Question{Name: name, Type: t}
	if !w.asked[q] {
		if len(w.asked) >= maxQuestions {
			w.tooLarge(n, s, maxQuestions)
			return nil, false
		}
		w.asked[q] = true
	}
	ans, err := w.m.ask(name, t)
	if err != nil {
		w.failed(err)
		if s.Err == nil {
			s.Err = err
		}
		return nil, false
	}
	return ans, true
}

func (w *walk) failed(err *dnsq.Error) {
	if !w.unknown[err.Question] {
		w.unknown[err.Question] = true
		w.out.Unknown = append(w.out.Unknown, err)
	}
}

// node fetches and walks one record. n.Domain and n.Raw are set.
func (w *walk) node(n *Node, depth int, pass *addrs) {
	before := w.lookups
	defer func() { n.Lookups = w.lookups - before }()
	w.asked[dnsq.Question{Name: n.Domain, Type: dnsq.TypeTXT}] = true
	switch w.m.record(n); {
	case n.Problem == nil:
	case n.Problem.Code == ProblemDNS:
		w.failed(n.Problem.Err)
		w.out.AtLeast = true
		return
	case n.Problem.Code == ProblemNoRecord && n.Via != nil:
		return // the including term's problem, told there
	default:
		w.out.Problems = append(w.out.Problems, n.Problem)
	}
	if n.Record == nil {
		return
	}
	w.ahead.record(n.Record, n.Raw, 0)
	if n.Via == nil {
		w.ahead.exp(n.Record, n.Raw)
	}
	w.path = append(w.path, n.Domain)
	defer func() { w.path = w.path[:len(w.path)-1] }()

	all := false
	for i := range n.Record.Terms {
		t := &n.Record.Terms[i]
		if t.Modifier || t.Invalid {
			continue
		}
		s := &Step{Term: t}
		n.Steps = append(n.Steps, s)
		w.term(n, s, depth, pass)
		if t.Name == "all" {
			all = true
			break // §5.1: mechanisms after all are never tested
		}
		if w.tooBig {
			return
		}
	}
	if t := n.Record.Redirect(); t != nil && !all {
		s := &Step{Term: t}
		n.Steps = append(n.Steps, s)
		w.term(n, s, depth, pass)
	}
	if t := n.Record.Exp(); t != nil {
		w.exp(n, t)
	}
}

func (w *walk) term(n *Node, s *Step, depth int, pass *addrs) {
	t := s.Term
	before := w.lookups
	defer func() { s.Lookups = w.lookups - before }()
	if t.Counts() {
		if w.lookups >= maxTerms {
			w.tooLarge(n, s, maxTerms)
			return
		}
		w.lookups++
		if w.lookups == MaxLookups+1 {
			w.overLookups = w.report(n, t, Problem{Code: ProblemLookups, Limit: MaxLookups})
		}
	}
	if t.Qualifier != Plus && !t.Modifier {
		pass = &addrs{} // nothing here authorises
	}
	switch t.Name {
	case "all":
		s.Why = WhyAll
		pass.add(all4)
		pass.add(all6)
		return
	case "ip4", "ip6":
		s.Why = WhyAsked
		pass.add(t.Prefix)
		return
	}
	raw, name, ok := w.target(n, s)
	if !ok {
		return
	}
	switch t.Name {
	case "include", "redirect":
		w.follow(n, s, raw, name, depth, pass)
	case "a":
		v4, _ := w.addresses(n, s, name, dnsq.TypeA, pass)
		v6, _ := w.addresses(n, s, name, dnsq.TypeAAAA, pass)
		s.Why = WhyAsked
		s.Void4, s.Void6 = v4, v6
		w.queries(v4, v6)
		w.void(n, s)
	case "mx":
		w.mx(n, s, name, pass)
	case "exists":
		s.Why = WhyAsked
		if ans, ok := w.ask(n, s, name, dnsq.TypeA); ok {
			if ans.Outcome == dnsq.Found {
				// The same name for every sender exists: everyone matches.
				s.Addrs = addrsOf(ans)
				pass.add(all4)
				pass.add(all6)
			} else {
				s.Why = absent(ans, WhyNotExists)
				s.Void4, s.Void6 = true, true
				w.queries(true, true)
				w.void(n, s)
			}
		}
	}
	if s.Err != nil {
		s.Why = WhyDNSError
	}
}

// target is the term's name, if it is the same for every sender.
func (w *walk) target(n *Node, s *Step) (raw, name string, ok bool) {
	t := s.Term
	if t.Name == "ptr" || strings.Trim(t.Macros(), "do") != "" {
		s.Target, s.Why = t.Domain, WhySender
		w.out.SenderDependent = append(w.out.SenderDependent, s)
		if t.Name == "include" || t.Name == "redirect" {
			w.out.AtLeast = true
		}
		return "", "", false
	}
	if t.Domain == "" {
		s.Target = n.Domain
		return n.Raw, n.Domain, true
	}
	raw = expandDomain(t.macros, func(l byte) string {
		v, _ := w.value(l, n.Raw)
		return v
	})
	name, ok = canAsk(raw)
	if !ok || (t.Name == "include" || t.Name == "redirect") && !strings.Contains(raw, ".") {
		s.Target, s.Why = raw, WhyBadTarget
		w.report(n, t, Problem{Code: ProblemBadTarget, Target: raw})
		return "", "", false
	}
	s.Target = name
	return raw, name, true
}

func (w *walk) follow(n *Node, s *Step, raw, name string, depth int, pass *addrs) {
	for i, d := range w.path {
		if d == name {
			// Evaluation would go round until a limit ends it. The cost stops
			// here, at one for the term.
			s.Why = WhyLoop
			w.out.AtLeast = true
			loop := append(append([]string(nil), w.path[i:]...), name)
			w.report(n, s.Term, Problem{Code: ProblemLoop, Target: name, Loop: loop})
			return
		}
	}
	if depth+1 >= maxDepth {
		w.tooLarge(n, s, maxDepth)
		return
	}
	if q := (dnsq.Question{Name: name, Type: dnsq.TypeTXT}); !w.asked[q] && len(w.asked) >= maxQuestions {
		w.tooLarge(n, s, maxQuestions)
		return
	}
	s.Why = WhyAsked
	s.Child = &Node{Domain: name, Raw: raw, Via: s.Term}
	w.node(s.Child, depth+1, pass)
	p := s.Child.Problem
	switch {
	case p == nil:
	case p.Code == ProblemDNS:
		s.Err = p.Err
	case p.Code == ProblemNoRecord:
		s.Why = WhyBroken
		code := ProblemIncludeNone
		if s.Term.Modifier {
			code = ProblemRedirectNone
		}
		w.report(n, s.Term, Problem{Code: code, Target: name})
	default:
		s.Why = WhyBroken
	}
}

// addresses asks for the addresses of name and adds them to pass. void says
// that there are none, known that this could be learnt.
func (w *walk) addresses(n *Node, s *Step, name string, t dnsq.Type, pass *addrs) (void, known bool) {
	ans, ok := w.ask(n, s, name, t)
	if !ok {
		return false, false
	}
	for _, a := range addrsOf(ans) {
		s.Addrs = append(s.Addrs, a)
		pass.add(network(s.Term, a))
	}
	return ans.Outcome != dnsq.Found, true
}

func (w *walk) mx(n *Node, s *Step, name string, pass *addrs) {
	ans, ok := w.ask(n, s, name, dnsq.TypeMX)
	if !ok {
		return
	}
	if ans.Outcome != dnsq.Found {
		s.Why = absent(ans, WhyNoMX)
		s.Void4, s.Void6 = true, true
		w.queries(true, true)
		w.void(n, s)
		return
	}
	s.Why = WhyAsked
	hosts, count := mxHosts(ans)
	s.Hosts = hosts
	if len(hosts) == 0 {
		s.Why = WhyNoMX
	}
	if count > MaxMXHosts {
		s.Why = WhyLimit
		w.report(n, s.Term, Problem{Code: ProblemMX, Target: name, Limit: MaxMXHosts, Count: count})
		return
	}
	for _, h := range hosts {
		v4, _ := w.addresses(n, s, h, dnsq.TypeA, pass)
		v6, _ := w.addresses(n, s, h, dnsq.TypeAAAA, pass)
		w.queries(v4, v6)
	}
}

func (w *walk) queries(v4, v6 bool) {
	if v4 {
		w.out.VoidQueries4++
	}
	if v6 {
		w.out.VoidQueries6++
	}
}

func (w *walk) void(n *Node, s *Step) {
	s.Void = s.Void4 || s.Void6
	if s.Void4 {
		w.out.Voids4++
	}
	if s.Void6 {
		w.out.Voids6++
	}
	if w.overVoids == nil && max(w.out.Voids4, w.out.Voids6) > MaxVoids {
		w.overVoids = w.report(n, s.Term, Problem{Code: ProblemVoids, Target: s.Target, Limit: MaxVoids})
	}
}

// exp looks whether the explanation can be used (§6.2). It costs nothing and
// changes no result; included records' are never used.
func (w *walk) exp(n *Node, t *Term) {
	if n.Via != nil && !n.Via.Modifier {
		return
	}
	s := &Step{Term: t}
	if strings.Trim(t.Macros(), "do") != "" {
		return
	}
	raw := expandDomain(t.macros, func(l byte) string {
		v, _ := w.value(l, n.Raw)
		return v
	})
	name, ok := canAsk(raw)
	if !ok {
		w.report(n, t, Problem{Code: ProblemExpUnusable, Target: raw, Why: WhyBadTarget})
		return
	}
	ans, ok := w.ask(n, s, name, dnsq.TypeTXT)
	if !ok {
		return
	}
	why := ""
	switch {
	case ans.Outcome != dnsq.Found:
		why = WhyNoText
	case len(ans.RRs) != 1:
		why = WhyManyTexts
	default:
		if _, bad := tokenise(ans.RRs[0].Text(), true); bad.code != "" {
			why = WhyBadText
		}
	}
	if why != "" {
		w.report(n, t, Problem{Code: ProblemExpUnusable, Target: name, Why: why})
	}
}

// answerBytes is the size of a DNS message that holds a TXT answer.
func answerBytes(a *dnsq.Answer) int {
	const header, fixed, pointer, opt = 12, 10, 2, 11
	n := header + wireLen(a.Name) + 4 + opt
	for _, c := range a.Chain {
		n += pointer + fixed + wireLen(c)
	}
	for i := range a.RRs {
		n += pointer + fixed
		for _, s := range a.RRs[i].Strings {
			n += 1 + len(s)
		}
	}
	return n
}

// wireLen is the length of a canonical name on the wire, in octets.
func wireLen(name string) int {
	n := 1
	for _, l := range dnsq.Labels(name) {
		n++
		for i := 0; i < len(l); i++ {
			if l[i] == '\\' {
				if i+1 < len(l) && isDigit(l[i+1]) {
					i += 3
				} else {
					i++
				}
			}
			n++
		}
	}
	return n
}
