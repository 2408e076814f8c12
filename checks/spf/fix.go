package spf

import (
	"cmp"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/spf"
)

// The fixes that this check proposes. All of them are tried by the engine
// before anybody sees them; none guesses who sends: an address goes into a
// record only if the person who runs the check said that it sends.

// edit is a fix that gives a record another text.
func edit(name, old, new string) diag.Fix {
	return diag.Fix{Owner: diag.DNSAdmin, Edits: []diag.Edit{{Name: name, Type: "TXT", Old: old, New: new}}}
}

// replace puts text in place of a part of the node's record.
func (c *run1) replace(n *spf.Node, at spf.Span, text string) diag.Fix {
	old := n.Record.Text
	return edit(n.RR.Name, old, old[:at.Start]+text+old[at.End:])
}

// remove takes parts, in order, out of the node's record, with the spaces
// before them.
func (c *run1) remove(n *spf.Node, at ...spf.Span) diag.Fix {
	old := n.Record.Text
	var b strings.Builder
	from := 0
	for _, s := range at {
		b.WriteString(strings.TrimRight(old[from:s.Start], " "))
		from = s.End
	}
	b.WriteString(old[from:])
	return edit(n.RR.Name, old, b.String())
}

// mechanism is the term that authorises one address.
func mechanism(ip netip.Addr) string {
	if ip.Is4() {
		return "ip4:" + ip.String()
	}
	return "ip6:" + ip.String()
}

// refused are the addresses that were given with --ip and that nothing in the
// record authorises, without those of an internal network (RFC 6890 §2.2): no
// receiver ever sees one, so none belongs into a record. Where the record is broken that is not the result of
// evaluating it, but what the result would be once it is mended.
func (c *run1) refused() []netip.Addr {
	var out []netip.Addr
	for i, v := range c.verdicts {
		ip := c.Target.IPs[i]
		if v.Result != spf.Pass && facts.Public(ip) && !c.tree.V4.Contains(ip) && !c.tree.V6.Contains(ip) {
			out = append(out, ip)
		}
	}
	return out
}

// andAddresses are the fix and, where it would leave addresses that were given
// without authorisation, a second one that authorises them too. The engine
// keeps those that work.
func (c *run1) andAddresses(fix diag.Fix) []diag.Fix { return c.and(fix, c.refused()) }

// andLosers is andAddresses for a fix that takes a term away: the addresses
// that pass by this very term are to be authorised otherwise. Without any
// address given, who passes by it is not known, and taking it away would stop
// mail: then there is nothing to propose.
func (c *run1) andLosers(fix diag.Fix, t *spf.Term) []diag.Fix {
	if len(c.Target.IPs) == 0 && t.Qualifier == spf.Plus {
		return nil
	}
	losers := c.refused()
	for i, v := range c.verdicts {
		if n := len(v.Path); v.Result == spf.Pass && facts.Public(c.Target.IPs[i]) && n > 0 && v.Path[n-1].Term.Text == t.Text {
			losers = append(losers, c.Target.IPs[i])
		}
	}
	return c.and(fix, losers)
}

func (c *run1) and(fix diag.Fix, addrs []netip.Addr) []diag.Fix {
	root := c.tree.Root
	if len(addrs) == 0 || root.RR == nil || root.Record == nil || !c.own(root.RR.Name) {
		return []diag.Fix{fix}
	}
	more := diag.Fix{Owner: fix.Owner, Edits: slices.Clone(fix.Edits)}
	if more.Edits[0].Name == root.RR.Name {
		more.Edits[0].New = with(more.Edits[0].New, addrs)
	} else { // the record at fault is one below
		more.Edits = append(more.Edits, edit(root.RR.Name, root.Record.Text, with(root.Record.Text, addrs)).Edits...)
	}
	return []diag.Fix{fix, more}
}

// with is a record that authorises addrs as well, in front, where they cost
// nothing to find.
func with(text string, addrs []netip.Addr) string {
	out := text[:len("v=spf1")]
	for _, a := range addrs {
		out += " " + mechanism(a)
	}
	return out + text[len("v=spf1"):]
}

// fixAddress authorises an address, and for several refused ones all of them:
// they are the sender's servers together. Not one that the record refuses by
// name, in front of a term that would allow it: somebody meant that.
func (c *run1) fixAddress(ip netip.Addr) []diag.Fix {
	n := c.tree.Root
	refused := c.refused()
	if n.Record == nil || n.RR == nil || !c.own(n.RR.Name) || !slices.Contains(refused, ip) {
		return nil
	}
	return []diag.Fix{edit(n.RR.Name, n.Record.Text, with(n.Record.Text, refused))}
}

// fixMissing is a record for the addresses that were given. Without any there
// is nothing to propose: an invented record would stop mail.
func (c *run1) fixMissing() []diag.Fix {
	n := c.tree.Root
	public := slices.DeleteFunc(slices.Clone(c.Target.IPs), func(ip netip.Addr) bool { return !facts.Public(ip) })
	if len(public) == 0 || !c.own(n.Domain) || n.Answer == nil || len(n.Answer.Chain) > 0 {
		return nil
	}
	return []diag.Fix{edit(n.Domain, "", with("v=spf1 ~all", public))}
}

// fixEnd ends a record with ~all. Addresses that were neutral before would be
// refused then, so they are authorised along with it.
func (c *run1) fixEnd(n *spf.Node, at spf.Span, text string) []diag.Fix {
	if !c.own(n.Domain) {
		return nil
	}
	return c.andAddresses(c.replace(n, at, text))
}

// fixDead removes terms that lead to nothing: they authorise nobody, so no
// sender is lost. Includes without a record, names without an address.
func (c *run1) fixDead(domain string) []diag.Fix {
	n := c.nodes[domain]
	if n == nil || n.RR == nil || !c.own(n.RR.Name) {
		return nil
	}
	var dead []spf.Span
	for _, s := range n.Steps {
		switch {
		case s.Term.Modifier: // without its redirect a record ends in neutral
		case s.Why == spf.WhyBadTarget, s.Void4 && s.Void6,
			s.Child != nil && s.Child.Problem != nil && s.Child.Problem.Code == spf.ProblemNoRecord:
			dead = append(dead, s.Term.Span)
		}
	}
	if dead == nil {
		return nil
	}
	return c.andAddresses(c.remove(n, dead...))
}

// fixMultiple merges several records into the first.
func (c *run1) fixMultiple(p *spf.Problem) []diag.Fix {
	if !c.own(p.Domain) {
		return nil
	}
	rrs := c.records(p.Domain)
	if len(rrs) < 2 {
		return nil
	}
	merged := merge(p.Records)
	plain := diag.Fix{Owner: diag.DNSAdmin}
	for i, rr := range rrs {
		e := diag.Edit{Name: rr.Name, Type: "TXT", Old: rr.Text()}
		if i == 0 {
			e.New = merged
		}
		plain.Edits = append(plain.Edits, e)
	}
	fixes := []diag.Fix{plain}
	if p.Domain == c.tree.Root.Domain && len(c.Target.IPs) > 0 {
		more := diag.Fix{Owner: diag.DNSAdmin, Edits: slices.Clone(plain.Edits)}
		r := spf.Parse(merged)
		var missing []netip.Addr
		for _, ip := range c.Target.IPs {
			if facts.Public(ip) && !slices.ContainsFunc(r.Terms, func(t spf.Term) bool { return t.Prefix.IsValid() && t.Prefix.Contains(ip) }) {
				missing = append(missing, ip)
			}
		}
		if len(missing) > 0 {
			more.Edits[0].New = with(merged, missing)
			fixes = append(fixes, more)
		}
	}
	return fixes
}

// merge makes one record of several: every mechanism once, in order, and one
// all at the end. What a record never comes to is left behind: mechanisms after
// all, a redirect beside one (RFC 7208 §5.1, §6.1). A redirect that counts for
// one record alone becomes an include. Of the alls the more careful is taken
// that still refuses: ~all if any record has ~all, +all or ?all or none, -all
// only if all agree on it.
func merge(texts []string) string {
	var terms []string
	exp := ""
	strict := true
	for _, text := range texts {
		r := spf.Parse(text)
		all := r.All()
		strict = strict && all != nil && all.Qualifier == spf.Minus
		for i := range r.Terms {
			t := &r.Terms[i]
			s := t.Text
			switch {
			case t == all, t.Name == "all" && !t.Modifier, !t.Modifier && all != nil && t.Start > all.Start:
				continue
			case t.Modifier && t.Name == "exp":
				if exp == "" {
					exp = s
				}
				continue
			case t.Modifier && t.Name == "redirect":
				if all != nil {
					continue
				}
				s = "include:" + t.Domain
			}
			if !slices.ContainsFunc(terms, func(o string) bool { return strings.EqualFold(o, s) }) {
				terms = append(terms, s)
			}
		}
	}
	out := "v=spf1"
	for _, t := range terms {
		out += " " + t
	}
	if strict {
		out += " -all"
	} else {
		out += " ~all"
	}
	if exp != "" {
		out += " " + exp
	}
	return out
}

// typos are slips that have one meaning only.
var typos = []struct {
	wrong *regexp.Regexp
	right string
}{
	{regexp.MustCompile(`(?i)^([-+~?]?)ipv?([46])[:=](\S+?)[,;]?$`), "${1}ip$2:$3"}, // ipv4:, ip4=, a comma at the end
	{regexp.MustCompile(`(?i)^([-+~?]?)ip4?:([0-9a-f]*:[0-9a-f:]+(?:/\d+)?)$`), "${1}ip6:$2"},
	{regexp.MustCompile(`(?i)^([-+~?]?)ip:([0-9]+\.[0-9.]+(?:/\d+)?)$`), "${1}ip4:$2"},
	{regexp.MustCompile(`(?i)^([-+~?]?)ip6:([0-9]+\.[0-9]+\.[0-9.]+(?:/\d+)?)$`), "${1}ip4:$2"},
	{regexp.MustCompile(`(?i)^([-+~?]?)includes?[:=]([^\s,;]+)[,;]?$`), "${1}include:$2"},
	{regexp.MustCompile(`(?i)^redirect:(\S+)$`), "redirect=$1"},
	{regexp.MustCompile(`(?i)^([-~?])all[.,;]$`), "${1}all"},
	{regexp.MustCompile(`(?i)^(all|[-+~?]?(?:a|mx)(?::[^\s,;]+)?)[,;]$`), "$1"},
}

// fixSyntax corrects slips whose meaning is plain; the rest a person must read.
func (c *run1) fixSyntax(p *spf.Problem) []diag.Fix {
	n := c.nodes[p.Domain]
	if !c.own(p.Domain) || n == nil || n.RR == nil {
		return nil
	}
	text := p.Record.Text
	var b strings.Builder
	from, fixed := 0, 0
	for i := range p.Record.Terms {
		t := &p.Record.Terms[i]
		if !t.Invalid {
			continue
		}
		for _, y := range typos {
			if y.wrong.MatchString(t.Text) {
				b.WriteString(text[from:t.Start])
				b.WriteString(y.wrong.ReplaceAllString(t.Text, y.right))
				from = t.End
				fixed++
				break
			}
		}
	}
	if fixed == 0 {
		return nil
	}
	b.WriteString(text[from:])
	if len(spf.Parse(b.String()).Errors) > 0 {
		return nil
	}
	return c.andAddresses(edit(n.RR.Name, text, b.String()))
}

// fixTerm takes away a term that breaks the record for everybody, and authorises
// the given addresses otherwise.
func (c *run1) fixTerm(p *spf.Problem) []diag.Fix {
	n := c.nodes[p.Domain]
	if n == nil || n.RR == nil || !c.own(n.RR.Name) || p.Term == nil || p.Term.Modifier {
		return nil
	}
	return c.andLosers(c.remove(n, p.Term.Span), p.Term)
}

// fixLoop takes away the term that closes a circle: what it leads to is on the
// way already, so it authorises nobody. A redirect is the end of its record; what
// is to stand there instead, nobody but its owner knows.
func (c *run1) fixLoop(p *spf.Problem) []diag.Fix {
	n := c.nodes[p.Domain]
	if n == nil || n.RR == nil || !c.own(n.RR.Name) || p.Term == nil || p.Term.Modifier {
		return nil
	}
	return c.andAddresses(c.remove(n, p.Term.Span))
}

// fixHelo authorises an address in the record of the HELO name.
func (c *run1) fixHelo(ip netip.Addr, v *spf.Verdict) []diag.Fix {
	n := v.Root
	if n == nil || n.Record == nil || n.RR == nil || !c.own(n.RR.Name) || !facts.Public(ip) {
		return nil
	}
	return []diag.Fix{edit(n.RR.Name, n.Record.Text, with(n.Record.Text, []netip.Addr{ip}))}
}

// fixBroken is the fix of a fault in a record that is not the Return-Path's.
func (c *run1) fixBroken(p *spf.Problem) []diag.Fix {
	var fixes []diag.Fix
	switch p.Code {
	case spf.ProblemMultiple:
		fixes = c.fixMultiple(p)
	case spf.ProblemSyntax:
		fixes = c.fixSyntax(p)
	case spf.ProblemLoop:
		fixes = c.fixLoop(p)
	case spf.ProblemIncludeNone, spf.ProblemBadTarget, spf.ProblemVoids:
		fixes = c.fixDead(p.Domain)
	}
	return fixes[:min(len(fixes), 1)] // without the Return-Path's addresses
}

// fixLookups are ways to at most limit look-ups, the one that changes least for
// anybody first. Each is tried, alone; which services still send, only a person
// knows, so none of them is taken away.
//   - Terms that lead to nothing go.
//   - Includes go that another include leads to anyway.
//   - a and mx of one's own hosts become their addresses.
//   - Includes become the addresses behind them, as they are today: as few as it
//     takes, those with most look-ups first. Their owners may change the
//     addresses, so this comes last, only for a record that does not work
//     otherwise (copied), and only while it stays short.
func (c *run1) fixLookups(limit int, copied bool) []diag.Fix {
	n := c.tree.Root
	if n.RR == nil || n.Record == nil || !c.own(n.RR.Name) {
		return nil
	}
	fixes := c.fixDead(n.Domain)
	// One fix for each way: with the addresses that were given, if any is refused.
	way := func(x diag.Fix) {
		both := c.andAddresses(x)
		fixes = append(fixes, both[len(both)-1])
	}
	if idle := idle(n); idle != nil {
		way(c.remove(n, idle...))
	}
	var own, others []swap
	for _, s := range n.Steps {
		t := s.Term
		if t.Modifier || t.Qualifier != spf.Plus || s.Lookups == 0 {
			continue
		}
		addrs, ok := c.behind(s)
		if !ok || len(addrs) == 0 {
			continue
		}
		w := swap{t.Span, addrs, mechanisms(addrs), s.Lookups}
		if t.Name == "include" && copied {
			others = append(others, w)
		} else if t.Name != "include" && c.own(s.Target) {
			own = append(own, w)
		}
	}
	if own != nil {
		way(c.swap(n, own))
	}
	slices.SortStableFunc(others, func(a, b swap) int {
		return cmp.Or(cmp.Compare(b.lookups, a.lookups), cmp.Compare(len(a.text), len(b.text)))
	})
	length, count := len(n.Record.Text), c.tree.Lookups
	var few []swap
	for _, w := range others {
		if count <= limit {
			break
		}
		if length += len(w.text) - (w.at.End - w.at.Start); length > maxFlat {
			return fixes
		}
		few, count = append(few, w), count-w.lookups
	}
	if few == nil || count > limit {
		return fixes
	}
	slices.SortFunc(few, func(a, b swap) int { return cmp.Compare(a.at.Start, b.at.Start) })
	way(c.swap(n, few))
	return fixes
}

// maxFlat is how long, in octets, a record may become by flattening: RFC 7208 §3.4
// has 450 as what fits into a UDP answer of 512 octets with room for other records.
const maxFlat = 450

// A swap puts the networks behind a term in its place.
type swap struct {
	at      spf.Span
	nets    []netip.Prefix
	text    string
	lookups int
}

func (c *run1) swap(n *spf.Node, list []swap) diag.Fix {
	old := n.Record.Text
	var b strings.Builder
	from := 0
	var seen []netip.Prefix // each network once
	for _, w := range list {
		text := mechanisms(slices.DeleteFunc(slices.Clone(w.nets), func(p netip.Prefix) bool { return slices.Contains(seen, p) }))
		seen = append(seen, w.nets...)
		before := old[from:w.at.Start]
		if text == "" {
			before = strings.TrimRight(before, " ")
		}
		b.WriteString(before + text)
		from = w.at.End
	}
	b.WriteString(old[from:])
	return edit(n.RR.Name, old, b.String())
}

// behind are the networks that a term with a + authorises, if they are all known
// and do not depend on the sender.
func (c *run1) behind(s *spf.Step) ([]netip.Prefix, bool) {
	t := s.Term
	unknown := func(names ...string) bool {
		return slices.ContainsFunc(c.tree.Unknown, func(e *dnsq.Error) bool { return slices.Contains(names, e.Name) })
	}
	switch {
	case t.Invalid || t.Qualifier != spf.Plus && !t.Modifier || s.Err != nil:
		return nil, false
	case t.Prefix.IsValid():
		return []netip.Prefix{t.Prefix}, true
	case !t.Modifier && (t.Name == "a" || t.Name == "mx"):
		if unknown(append([]string{s.Target}, s.Hosts...)...) || strings.Contains(t.Domain, "%") {
			return nil, false
		}
		var out []netip.Prefix
		for _, a := range s.Addrs {
			bits := a.BitLen()
			if a.Is4() && t.CIDR4 >= 0 {
				bits = t.CIDR4
			} else if a.Is6() && t.CIDR6 >= 0 {
				bits = t.CIDR6
			}
			p, err := a.Prefix(bits)
			if err != nil {
				return nil, false
			}
			out = append(out, p)
		}
		return out, true
	case t.Name == "include" || t.Modifier && t.Name == "redirect":
		n := s.Child
		if n == nil || n.Record == nil || n.Problem != nil || strings.Contains(t.Domain, "%") {
			return nil, false
		}
		var out []netip.Prefix
		for _, below := range n.Steps {
			switch {
			case below.Term.Name == "all" && !below.Term.Modifier:
				if below.Term.Qualifier == spf.Plus {
					return nil, false
				}
				return out, true // nothing behind it is looked at
			case below.Term.Modifier && below.Term.Name != "redirect":
				continue
			}
			more, ok := c.behind(below)
			if !ok {
				return nil, false
			}
			out = append(out, more...)
		}
		return out, true
	}
	return nil, false
}

// idle are the includes of a record that another of its includes leads to as
// well: the same record would be evaluated twice. What refuses may stand between
// the two for a reason, and then there are none.
func idle(n *spf.Node) []spf.Span {
	reached := make([]map[string]bool, len(n.Steps))
	for i, s := range n.Steps {
		if !s.Term.Modifier && s.Term.Name != "all" && s.Term.Qualifier != spf.Plus {
			return nil
		}
		reached[i] = map[string]bool{}
		plus := true
		walk(s.Child, func(_ *spf.Node, below *spf.Step) {
			plus = plus && (below.Term.Modifier || below.Term.Qualifier == spf.Plus || below.Term.Name == "all")
			if below.Term.Name == "include" && below.Child != nil && plus {
				reached[i][below.Target] = true
			}
		})
	}
	var out []spf.Span
	for i, s := range n.Steps {
		if s.Term.Modifier || s.Term.Name != "include" {
			continue
		}
		for k := range reached {
			if k != i && reached[k][s.Target] && !reached[i][n.Steps[k].Target] {
				out = append(out, s.Term.Span)
				break
			}
		}
	}
	return out
}

// mechanisms are the terms that authorise networks, each network once and none
// that lies in another.
func mechanisms(nets []netip.Prefix) string {
	var out []string
	for i, p := range nets {
		if slices.ContainsFunc(nets[:i], func(q netip.Prefix) bool { return q == p }) ||
			slices.ContainsFunc(nets, func(q netip.Prefix) bool { return q.Bits() < p.Bits() && q.Contains(p.Addr()) }) {
			continue
		}
		s := mechanism(p.Addr())
		if p.Bits() < p.Addr().BitLen() {
			s += "/" + strconv.Itoa(p.Bits())
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

// lookalike slips: what stands before and between, and what ends the version.
var (
	spfVersion = regexp.MustCompile(`(?i)^v ?= ?spf ?1[\s;,:]+`)
	spfNoTag   = regexp.MustCompile(`(?i)^spf1\s+`)
)

// fixLookalike writes a text the way it was meant, if there is no other record
// and every term of it can be read. Where words ran together ("v=spf1mx"), where
// one ends and the next begins cannot be told.
func (c *run1) fixLookalike(rr *dnsq.RR) []diag.Fix {
	if c.tree.Root.Record != nil || !c.own(rr.Name) || len(c.records(rr.Name)) > 0 {
		return nil
	}
	old := rr.Text()
	text := strings.Trim(old, " \t\r\n\"'\\\u201c\u201d\u2018\u2019")
	switch {
	case spfVersion.MatchString(text):
		text = spfVersion.ReplaceAllString(text, "v=spf1 ")
	case spfNoTag.MatchString(text):
		text = spfNoTag.ReplaceAllString(text, "v=spf1 ")
	default:
		return nil
	}
	text = strings.Join(strings.Fields(text), " ")
	if r := spf.Parse(text); !spf.IsSPF(text) || len(r.Errors) > 0 || len(r.Terms) == 0 {
		return nil
	}
	return []diag.Fix{edit(rr.Name, old, text)}
}
