package spf

import (
	"context"
	"net/netip"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// Check is check_host for a message: ip is the client, helo what it said in
// HELO or EHLO, mailFrom the reverse-path with or without angle brackets.
//
// An empty mailFrom is the null sender: the identity is then the HELO name,
// and <sender> is postmaster at it (RFC 7208 §2.4). Without a local part it is
// postmaster (§4.3); a mailFrom without an @ is taken for a domain. An
// IPv4-mapped IPv6 address is its IPv4 one (§5). When ctx ends before the
// evaluation does, the result is temperror.
func (c *Checker) Check(ctx context.Context, ip netip.Addr, helo, mailFrom string) *Verdict {
	if n := len(mailFrom); n > 1 && mailFrom[0] == '<' && mailFrom[n-1] == '>' {
		mailFrom = mailFrom[1 : n-1]
	}
	if mailFrom == "" {
		return c.CheckHelo(ctx, ip, helo)
	}
	local, domain := "", mailFrom
	if i := strings.LastIndexByte(mailFrom, '@'); i >= 0 {
		local, domain = mailFrom[:i], mailFrom[i+1:]
	}
	return c.check(ctx, "mailfrom", ip, helo, local, domain)
}

// CheckHelo is check_host for the HELO identity (§2.3).
func (c *Checker) CheckHelo(ctx context.Context, ip netip.Addr, helo string) *Verdict {
	return c.check(ctx, "helo", ip, helo, "", helo)
}

func (c *Checker) check(ctx context.Context, identity string, ip netip.Addr, helo, local, domain string) *Verdict {
	v := &Verdict{Result: None, Identity: identity, Domain: domain}
	if !ip.IsValid() {
		v.Problem = &Problem{Code: ProblemInvalidIP, Domain: domain}
		return v
	}
	// §4.3: a malformed domain, or one that is not a multi-label name: none.
	raw, name, ok := initialDomain(domain)
	if !ok {
		v.Problem = &Problem{Code: ProblemInvalidDomain, Domain: domain}
		return v
	}
	v.Domain = name
	if local == "" {
		local = "postmaster" // §4.3
	}
	// The limits of SMTP are 64 and 255 octets (RFC 5321 §4.5.3.1); far more
	// than that would make work, not sense.
	e := &evaluation{
		c: c, ip: ip.Unmap().WithZone(""), helo: clip(heloASCII(helo)), local: clip(local), domain: raw,
		utf8Local: !isASCII(local),
	}
	ctx, cancel := context.WithCancel(ctx)
	e.m = &memo{resolver: c.Resolver, ctx: ctx, m: make(map[dnsq.Question]*flight)}
	if c.Prefetch {
		e.ahead = newAhead(e.m, e.valueAhead, familiesOf(e.ip), e.ip, maxAheadCheck)
		defer e.ahead.wg.Wait()
	}
	defer cancel() // runs before Wait: what was asked ahead and not needed ends

	root := e.host(raw, name, nil)
	v.Root, v.Result = root, root.Result
	v.Lookups, v.Voids = e.lookups, e.voids
	for n := root; n != nil; {
		// The first problem on the way down is the one: an include of a domain
		// without a record is the including record's, not that domain's.
		if v.Problem == nil {
			v.Problem = n.Problem
		}
		s := n.decisive
		if s == nil {
			break
		}
		v.Path = append(v.Path, s)
		n = s.Child
	}
	switch v.Result {
	case Pass, Fail, SoftFail, Neutral:
		v.Problem = nil
	}
	v.Ignored = e.ignored
	// Where only ptr terms went unanswered that say pass, a pass is one either
	// way, unless they were the void look-ups too many.
	v.Unsure = len(e.ignored) > 0 && (v.Result != Pass || e.turned || e.voids+len(e.ignored) > MaxVoids)
	if v.Result == Fail {
		v.Explanation, v.Exp = e.explain(root)
	}
	return v
}

func clip(s string) string { return s[:min(len(s), 1024)] }

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// initialDomain reads the domain of an identity, U-labels or not (RFC 8616
// §4). raw is it in A-labels and otherwise as given, for macros; name is for
// DNS. Odd ASCII is no reason to refuse: DNS knows whether such a name exists.
func initialDomain(domain string) (raw, name string, ok bool) {
	if !isASCII(domain) {
		name, err := dnsq.ParseName(domain)
		return name, name, err == nil && strings.Contains(name, ".")
	}
	raw = strings.TrimSuffix(domain, ".") // a zero-length label at the end is the root's (§4.3)
	name, ok = canAsk(raw)
	if !ok || !strings.Contains(raw, ".") || addressLiteral(raw) {
		return "", "", false
	}
	return raw, name, true
}

// addressLiteral reports [192.0.2.1], [IPv6:2001:db8::1] and 192.0.2.1: a
// HELO argument or a domain-literal that is no domain name. No top-level domain
// is all digits (RFC 3696 §2), so nothing that exists is refused.
func addressLiteral(s string) bool {
	if strings.HasPrefix(s, "[") {
		return true
	}
	_, err := netip.ParseAddr(s)
	return err == nil
}

// heloASCII is helo for %{h}: U-labels, which HELO must not hold, become
// A-labels if they can.
func heloASCII(helo string) string {
	if !isASCII(helo) {
		if name, err := dnsq.ParseName(helo); err == nil {
			return name
		}
	}
	return helo
}

type families uint8

func familiesOf(ip netip.Addr) families {
	if ip.Is4() {
		return family4
	}
	return family6
}

const (
	family4 families = 1 << iota
	family6
)

// evaluation is one run of check_host with its global limits (§4.6.4).
type evaluation struct {
	c             *Checker
	ip            netip.Addr // unmapped
	helo          string
	local, domain string // of <sender>
	utf8Local     bool
	m             *memo
	ahead         *ahead // nil without Prefetch
	lookups       int
	voids         int
	pDone         bool // names of ip looked up for %{p}
	pNames        []string

	ignored []*dnsq.Error // errors that were taken for no match
	turned  bool          // one of them may stand for another result than pass
	notPlus int           // includes with another qualifier than + on the way here
}

// value is the value of a macro letter in the context of the domain d (§7.2).
// p says that %{p} may be looked up; without it ok is false for it.
func (e *evaluation) value(letter byte, d string, p bool) (v string, ok bool) {
	switch letter {
	case 's':
		return e.local + "@" + e.domain, true
	case 'l':
		return e.local, true
	case 'o':
		return e.domain, true
	case 'd':
		return d, true
	case 'i':
		if e.ip.Is4() {
			return e.ip.String(), true
		}
		// Nibbles (§7.3). In DNS their case is nothing; in an explanation the
		// conformance suite expects capitals, the form of RFC 4408 §8.2.
		labels := strings.ToUpper(dnsq.ReverseLabels(e.ip))
		b := []byte(labels)
		for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
		return string(b), true
	case 'p':
		if !p {
			return "", false
		}
		return e.validatedName(d), true
	case 'v':
		if e.ip.Is4() {
			return "in-addr", true
		}
		return "ip6", true
	case 'h':
		return e.helo, true
	case 'c':
		return e.ip.String(), true
	case 'r':
		if e.c.Receiver == "" {
			return "unknown", true
		}
		return e.c.Receiver, true
	case 't':
		now := time.Now
		if e.c.Now != nil {
			now = e.c.Now
		}
		return unixSeconds(now().Unix()), true
	}
	return "", false
}

// valueAhead is value without look-ups, and without what RFC 8616 §4 rules out.
func (e *evaluation) valueAhead(letter byte, d string) (v string, ok bool) {
	if e.utf8Local && (letter == 's' || letter == 'l') {
		return "", false
	}
	return e.value(letter, d, false)
}

func addressType(ip netip.Addr) dnsq.Type {
	if ip.Is4() {
		return dnsq.TypeA
	}
	return dnsq.TypeAAAA
}

// record finds the one SPF record of a domain (§4.4, §4.5) and fills n.
// res is "" if there is exactly one and it has no syntax error.
func (m *memo) record(n *Node) (res Result) {
	// §4.4: type TXT only. A DNS error, or no answer in time: temperror.
	ans, err := m.ask(n.Domain, dnsq.TypeTXT)
	if err != nil {
		n.Problem = &Problem{Code: ProblemDNS, Domain: n.Domain, Err: err}
		return TempError
	}
	n.Answer = ans
	var texts []string
	for i := range ans.RRs {
		if rr := &ans.RRs[i]; rr.Type == dnsq.TypeTXT {
			if text := rr.Text(); IsSPF(text) {
				texts = append(texts, text)
				n.RR = rr
			}
		}
	}
	switch len(texts) {
	case 0: // §4.5: no record: none. §4.3: so is NXDOMAIN.
		n.Problem = &Problem{Code: ProblemNoRecord, Domain: n.Domain}
		return None
	case 1:
	default: // §4.5: more than one, the same text twice too: permerror
		n.RR = nil
		n.Problem = &Problem{Code: ProblemMultiple, Domain: n.Domain, Count: len(texts), Limit: 1, Records: texts}
		return PermError
	}
	n.Record = Parse(texts[0])
	// §4.6: syntax errors anywhere in the record: permerror, without further
	// interpretation or evaluation.
	if len(n.Record.Errors) > 0 {
		n.Problem = &Problem{Code: ProblemSyntax, Domain: n.Domain, Record: n.Record, Count: len(n.Record.Errors)}
		n.Problem.Term = &n.Record.Terms[n.Record.Errors[0].Term]
		return PermError
	}
	return ""
}

// host is check_host for one domain.
func (e *evaluation) host(raw, name string, via *Term) *Node {
	n := &Node{Domain: name, Raw: raw, Via: via}
	lookups, voids := e.lookups, e.voids
	n.Result = e.run(n)
	n.Lookups, n.Voids = e.lookups-lookups, e.voids-voids
	return n
}

func (e *evaluation) run(n *Node) Result {
	if r := e.m.record(n); r != "" {
		return r
	}
	if e.ahead != nil {
		e.ahead.record(n.Record, n.Raw, 0)
	}
	for i := range n.Record.Terms {
		t := &n.Record.Terms[i]
		if t.Modifier {
			continue // §6: wherever a modifier stands, it has its turn later
		}
		s := &Step{Term: t}
		n.Steps = append(n.Steps, s)
		before := e.lookups
		r, p := e.mechanism(n, s)
		s.Lookups = e.lookups - before
		switch {
		case r != "":
			n.decisive, n.Problem = s, p
			return r
		case s.Matched: // §4.6.2: the qualifier is the result
			n.decisive = s
			return t.Qualifier.Result()
		}
	}
	// §6.1: redirect is for when no mechanism matched; with an all anywhere in
	// the record it is ignored. An all always matches, so there is none here.
	if t := n.Record.Redirect(); t != nil {
		s := &Step{Term: t}
		n.Steps = append(n.Steps, s)
		before := e.lookups
		r, p := e.redirect(n, s)
		s.Lookups = e.lookups - before
		n.decisive, n.Problem = s, p
		return r
	}
	return Neutral // §4.7: default result
}

// count counts a term towards the limit of ten (§4.6.4). The term over the
// limit is not evaluated.
func (e *evaluation) count(n *Node, s *Step) *Problem {
	e.lookups++
	if e.lookups <= MaxLookups {
		return nil
	}
	s.Why = WhyLimit
	return e.problem(n, s, Problem{Code: ProblemLookups, Limit: MaxLookups, Count: e.lookups})
}

// void counts a term whose own query led to nothing (§4.6.4).
func (e *evaluation) void(n *Node, s *Step) *Problem {
	s.Void = true
	e.voids++
	if e.voids <= MaxVoids {
		return nil
	}
	return e.problem(n, s, Problem{Code: ProblemVoids, Limit: MaxVoids, Count: e.voids})
}

func (e *evaluation) problem(n *Node, s *Step, p Problem) *Problem {
	p.Domain, p.Record, p.Term = n.Domain, n.Record, s.Term
	if p.Target == "" {
		p.Target = s.Target
	}
	return &p
}

// dnsError: §5: an RCODE other than 0 and 3, or a timeout: check_host ends
// with temperror.
func (e *evaluation) dnsError(n *Node, s *Step, err *dnsq.Error) (Result, *Problem) {
	s.Err, s.Why = err, WhyDNSError
	return TempError, e.problem(n, s, Problem{Code: ProblemDNS, Err: err})
}

// target expands the domain-spec of a term, or takes the current domain
// where there is none (§4.8). ok is false if there is no name to ask for;
// s.Why says why.
func (e *evaluation) target(n *Node, s *Step) (raw, name string, ok bool) {
	t := s.Term
	if t.Domain == "" {
		s.Target = n.Domain
		return n.Raw, n.Domain, true
	}
	if e.utf8Local && strings.ContainsAny(t.Macros(), "sl") {
		// RFC 8616 §4: such terms do not match anything.
		s.Target, s.Why = t.Domain, WhyLocalPart
		return "", "", false
	}
	raw = expandDomain(t.macros, func(l byte) string {
		v, _ := e.value(l, n.Raw, true)
		return v
	})
	if name, ok = canAsk(raw); !ok {
		s.Target, s.Why = raw, WhyBadTarget
		return "", "", false
	}
	s.Target = name
	return raw, name, true
}

// unusable is the outcome of a mechanism whose target is no name. §4.8: "such
// names … Some implementations choose to treat as a no-match … whereas others
// return a permerror": permerror if the publisher wrote it so, no match if a
// macro made it so.
func (e *evaluation) unusable(n *Node, s *Step) (Result, *Problem) {
	if s.Why == WhyBadTarget && s.Term.Macros() == "" {
		return PermError, e.problem(n, s, Problem{Code: ProblemBadTarget})
	}
	return "", nil
}

// mechanism evaluates one mechanism: s.Matched, or a result that ends it all.
func (e *evaluation) mechanism(n *Node, s *Step) (Result, *Problem) {
	t := s.Term
	if t.Counts() {
		if p := e.count(n, s); p != nil {
			return PermError, p
		}
	}
	switch t.Name {
	case "all": // §5.1
		s.Matched, s.Why = true, WhyAll
		return "", nil
	case "ip4", "ip6": // §5.6
		switch {
		case e.ip.BitLen() != t.Prefix.Addr().BitLen():
			s.Why = WhyOtherFamily
		case t.Prefix.Masked().Contains(e.ip):
			s.Matched, s.Why = true, WhyInNetwork
		default:
			s.Why = WhyNotInNetwork
		}
		return "", nil
	case "include":
		return e.include(n, s)
	}
	_, name, ok := e.target(n, s)
	if !ok {
		return e.unusable(n, s)
	}
	switch t.Name {
	case "a":
		return e.a(n, s, name)
	case "mx":
		return e.mx(n, s, name)
	case "exists":
		return e.exists(n, s, name)
	case "ptr":
		return e.ptr(n, s, name)
	}
	// Parse lets no other name through without an error.
	return PermError, e.problem(n, s, Problem{Code: ProblemSyntax})
}

// addrsOf are the addresses of an A or AAAA answer.
func addrsOf(ans *dnsq.Answer) []netip.Addr {
	var out []netip.Addr
	for i := range ans.RRs {
		a := ans.RRs[i].Addr
		if a.IsValid() && ans.RRs[i].Type == ans.Type && a.Is4() == (ans.Type == dnsq.TypeA) {
			out = append(out, a)
		}
	}
	return out
}

// network is addr with the prefix length of a term for its family.
func network(t *Term, addr netip.Addr) netip.Prefix {
	bits := addr.BitLen()
	if addr.Is4() && t.CIDR4 >= 0 {
		bits = t.CIDR4
	} else if !addr.Is4() && t.CIDR6 >= 0 {
		bits = t.CIDR6
	}
	return netip.PrefixFrom(addr, bits).Masked()
}

// compare reports whether one of the addresses, widened, holds the client's.
func (e *evaluation) compare(s *Step, addrs []netip.Addr) bool {
	for _, a := range addrs {
		if a.BitLen() == e.ip.BitLen() && network(s.Term, a).Contains(e.ip) {
			return true
		}
	}
	return false
}

func absent(ans *dnsq.Answer, nodata string) string {
	if ans.Outcome == dnsq.NXDomain {
		return WhyNoName
	}
	return nodata
}

// a: §5.3. §5: A for an IPv4 client, AAAA for an IPv6 one, never both.
func (e *evaluation) a(n *Node, s *Step, name string) (Result, *Problem) {
	ans, err := e.m.ask(name, addressType(e.ip))
	if err != nil {
		return e.dnsError(n, s, err)
	}
	if ans.Outcome != dnsq.Found {
		s.Why = absent(ans, WhyNoAddress)
		if p := e.void(n, s); p != nil {
			return PermError, p
		}
		return "", nil
	}
	s.Addrs = addrsOf(ans)
	s.Why = WhyAddressDiffers
	if e.compare(s, s.Addrs) {
		s.Matched, s.Why = true, WhyAddressMatch
	}
	return "", nil
}

// mxHosts are the hosts of an MX answer, by preference and name so that the
// order of the answer decides nothing, without null MX (RFC 7505). count is
// the number of MX records.
func mxHosts(ans *dnsq.Answer) (hosts []string, count int) {
	type mx struct {
		pref uint16
		host string
	}
	var list []mx
	for i := range ans.RRs {
		rr := &ans.RRs[i]
		if rr.Type != dnsq.TypeMX {
			continue
		}
		count++
		if rr.Host != "" && rr.Host != "." {
			list = append(list, mx{rr.Pref, rr.Host})
		}
	}
	sort.SliceStable(list, func(i, j int) bool {
		if list[i].pref != list[j].pref {
			return list[i].pref < list[j].pref
		}
		return list[i].host < list[j].host
	})
	seen := make(map[string]bool, len(list))
	for _, m := range list {
		if !seen[m.host] {
			seen[m.host] = true
			hosts = append(hosts, m.host)
		}
	}
	return hosts, count
}

// mx: §5.4. There is no implicit MX: without MX records nothing matches.
func (e *evaluation) mx(n *Node, s *Step, name string) (Result, *Problem) {
	ans, err := e.m.ask(name, dnsq.TypeMX)
	if err != nil {
		return e.dnsError(n, s, err)
	}
	if ans.Outcome != dnsq.Found {
		s.Why = absent(ans, WhyNoMX)
		if p := e.void(n, s); p != nil {
			return PermError, p
		}
		return "", nil
	}
	hosts, count := mxHosts(ans)
	s.Hosts = hosts
	// §4.6.4: more than ten names: permerror.
	if count > MaxMXHosts {
		s.Why = WhyLimit
		return PermError, e.problem(n, s, Problem{Code: ProblemMX, Limit: MaxMXHosts, Count: count})
	}
	s.Why = WhyNoMX
	if len(hosts) > 0 {
		s.Why = WhyNoAddress
	}
	for _, h := range hosts {
		ans, err := e.m.ask(h, addressType(e.ip))
		if err != nil {
			return e.dnsError(n, s, err)
		}
		addrs := addrsOf(ans)
		if len(addrs) > 0 {
			s.Addrs = append(s.Addrs, addrs...)
			s.Why = WhyAddressDiffers
		}
		if e.compare(s, addrs) {
			s.Matched, s.Why = true, WhyAddressMatch
			return "", nil
		}
	}
	return "", nil
}

// exists: §5.7: an A query, whatever the client's family.
func (e *evaluation) exists(n *Node, s *Step, name string) (Result, *Problem) {
	ans, err := e.m.ask(name, dnsq.TypeA)
	if err != nil {
		return e.dnsError(n, s, err)
	}
	if ans.Outcome == dnsq.Found {
		s.Addrs = addrsOf(ans)
		s.Matched, s.Why = true, WhyExists
		return "", nil
	}
	s.Why = absent(ans, WhyNotExists)
	if p := e.void(n, s); p != nil {
		return PermError, p
	}
	return "", nil
}

// ptrNames are the first ten names of a PTR answer (§4.6.4: those beyond MUST
// be ignored), in the answer's order.
func ptrNames(ans *dnsq.Answer) []string {
	var names []string
	count := 0
	for i := range ans.RRs {
		rr := &ans.RRs[i]
		if rr.Type != dnsq.TypePTR {
			continue
		}
		if count++; count > MaxPTRNames {
			break
		}
		if rr.Host != "" && rr.Host != "." {
			names = append(names, dnsq.CanonicalName(rr.Host))
		}
	}
	return names
}

// confirmed reports whether name has the client's address. §5.5: a DNS error
// here skips the name.
func (e *evaluation) confirmed(name string) (bool, *dnsq.Error) {
	ans, err := e.m.ask(name, addressType(e.ip))
	if err != nil {
		return false, err
	}
	for _, a := range addrsOf(ans) {
		if a == e.ip {
			return true, nil
		}
	}
	return false, nil
}

// ignore notes an error that the RFC makes no match. plus says that a match
// would have been a pass of the whole.
func (e *evaluation) ignore(err *dnsq.Error, plus bool) {
	e.ignored = append(e.ignored, err)
	e.turned = e.turned || !plus
}

// ptr: §5.5. Only names at or below the target are confirmed: the others can
// change nothing, as an error in confirming one is no error of the mechanism.
func (e *evaluation) ptr(n *Node, s *Step, name string) (Result, *Problem) {
	plus := s.Term.Qualifier == Plus && e.notPlus == 0
	ans, err := e.m.ask(dnsq.ReverseName(e.ip), dnsq.TypePTR)
	if err != nil {
		// §5.5: "If a DNS error occurs while doing the PTR RR lookup, then
		// this mechanism fails to match."
		s.Err, s.Why = err, WhyPTRUnknown
		e.ignore(err, plus)
		return "", nil
	}
	s.Why = WhyPTRNoMatch
	if ans.Outcome != dnsq.Found {
		if p := e.void(n, s); p != nil {
			return PermError, p
		}
		return "", nil
	}
	var skipped []*dnsq.Error
	for _, h := range ptrNames(ans) {
		s.Hosts = append(s.Hosts, h)
		if !dnsq.AtOrBelow(h, name) {
			continue
		}
		ok, err := e.confirmed(h)
		if ok {
			s.Matched, s.Why = true, WhyPTRMatch
			return "", nil
		}
		if err != nil {
			skipped = append(skipped, err)
		}
	}
	for _, err := range skipped {
		e.ignore(err, plus)
	}
	return "", nil
}

// validatedName is %{p} (§7.3): the domain itself if it is a validated name of
// the client, else one below it, else any, else "unknown". Of several the
// first in alphabetical order is taken, so that the order of the answer decides
// nothing. A DNS error is "unknown".
func (e *evaluation) validatedName(d string) string {
	if !e.pDone {
		e.pDone = true
		ans, err := e.m.ask(dnsq.ReverseName(e.ip), dnsq.TypePTR)
		if err != nil {
			e.ignore(err, false)
			return "unknown"
		}
		for _, h := range ptrNames(ans) {
			ok, err := e.confirmed(h)
			if ok {
				e.pNames = append(e.pNames, h)
			}
			if err != nil {
				e.ignore(err, false)
			}
		}
		sort.Strings(e.pNames)
	}
	if len(e.pNames) == 0 {
		return "unknown"
	}
	if name, ok := canAsk(d); ok {
		for _, h := range e.pNames {
			if h == name {
				return h
			}
		}
		for _, h := range e.pNames {
			if dnsq.AtOrBelow(h, name) {
				return h
			}
		}
	}
	return e.pNames[0]
}

// include: §5.2.
func (e *evaluation) include(n *Node, s *Step) (Result, *Problem) {
	raw, name, ok := e.target(n, s)
	switch {
	case !ok && s.Why == WhyLocalPart:
		return "", nil
	case !ok && s.Term.Macros() == "":
		return e.unusable(n, s)
	case !ok || !strings.Contains(raw, "."):
		// §4.3: check_host of a malformed or single-label domain is none.
		s.Why = WhyBadTarget
		return PermError, e.problem(n, s, Problem{Code: ProblemIncludeNone, Why: WhyBadTarget})
	}
	if s.Term.Qualifier != Plus {
		e.notPlus++
		defer func() { e.notPlus-- }()
	}
	s.Child = e.host(raw, name, s.Term)
	switch r := s.Child.Result; r {
	case Pass:
		s.Matched, s.Why = true, WhyIncludePass
		return "", nil
	case Fail, SoftFail, Neutral:
		s.Why = WhyIncludeNot
		return "", nil
	case None: // none: permerror
		s.Why = WhyBroken
		return PermError, e.problem(n, s, Problem{Code: ProblemIncludeNone})
	default: // temperror and permerror stay what they are
		s.Why = WhyBroken
		return r, nil
	}
}

// redirect: §6.1: the result of the other record, as if it had been asked for
// first; none is permerror.
func (e *evaluation) redirect(n *Node, s *Step) (Result, *Problem) {
	if p := e.count(n, s); p != nil {
		return PermError, p
	}
	raw, name, ok := e.target(n, s)
	switch {
	case !ok && s.Why == WhyBadTarget && s.Term.Macros() == "":
		return e.unusable(n, s)
	case !ok || !strings.Contains(raw, "."):
		if s.Why == "" {
			s.Why = WhyBadTarget
		}
		return PermError, e.problem(n, s, Problem{Code: ProblemRedirectNone, Why: s.Why})
	}
	s.Why = WhyRedirect
	s.Child = e.host(raw, name, s.Term)
	if s.Child.Result == None {
		s.Why = WhyBroken
		return PermError, e.problem(n, s, Problem{Code: ProblemRedirectNone})
	}
	return s.Child.Result, nil
}

// explain finds the explanation of a fail (§6.2).
func (e *evaluation) explain(root *Node) (string, *Step) {
	// §6.2: the exp of the record whose directive decided. That is the last
	// one of the redirects: "the exp of the target of redirect is used". An
	// include's exp is never used.
	n := root
	for n.decisive != nil && n.decisive.Term.Modifier {
		n = n.decisive.Child
	}
	t := n.Record.Exp()
	if t == nil {
		return e.c.DefaultExplanation, nil
	}
	s := &Step{Term: t}
	_, name, ok := e.target(n, s)
	if !ok {
		return e.c.DefaultExplanation, s
	}
	// §6.2: on any processing error (any RCODE other than 0), no record, more
	// than one, or a syntax error in the explanation, proceed as if there were
	// no exp.
	ans, err := e.m.ask(name, dnsq.TypeTXT)
	if err != nil {
		s.Err, s.Why = err, WhyDNSError
		return e.c.DefaultExplanation, s
	}
	if ans.Outcome != dnsq.Found {
		s.Why = WhyNoText
		return e.c.DefaultExplanation, s
	}
	if len(ans.RRs) != 1 {
		s.Why = WhyManyTexts
		return e.c.DefaultExplanation, s
	}
	text, ok := e.explanation(n, ans.RRs[0].Text())
	if !ok {
		s.Why = WhyBadText
		return e.c.DefaultExplanation, s
	}
	s.Why, s.Matched = WhyExplained, true
	return text, s
}

func (e *evaluation) explanation(n *Node, text string) (string, bool) {
	// §6.2: explain-string = *( macro-string / SP ), US-ASCII.
	list, bad := tokenise(text, true)
	if bad.code != "" {
		return "", false
	}
	out, ok := expandText(list, func(l byte) string {
		v, _ := e.value(l, n.Raw, true)
		return v
	})
	if !ok {
		return "", false
	}
	// Macros can bring in what the text itself may not hold: a non-ASCII
	// local part, a control character of HELO. It is to stand in a reply line.
	for i := 0; i < len(out); i++ {
		if out[i] < ' ' || out[i] > '~' {
			return "", false
		}
	}
	return out, true
}
