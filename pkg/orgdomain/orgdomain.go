// Package orgdomain finds the organizational domain of a name: the domain that
// stands for whoever is responsible for it. shop.example is that of
// mail.shop.example and of a.b.shop.example. DMARC needs it twice: to know
// whose policy applies to a name without a record of its own, and to know
// whether two names belong together (relaxed alignment).
//
// DNS does not say where one organisation ends and the next begins: nothing in
// "shop.co.jp" shows that co.jp is a registry and shop is not. There are two
// ways to know, and receivers of both kinds exist:
//
//   - [Walk], RFC 9989 (May 2026): ask for a DMARC record at the name and at
//     each of its parents, and take the topmost domain that has one. A registry
//     that publishes a record marks it with psd=y; a domain that wants to be
//     the top whatever stands above it, with psd=n.
//   - [PSL], RFC 7489 (2015): a list of registries that browsers use too, the
//     Public Suffix List. One label more than the list's longest match.
//
// The walk rests on answers, and an answer may fail to come. A [Result] says
// for the organizational domain and for the policy whether what was not
// learnt could change it, by trying every way the missing answers could have
// turned out; [Same] does so for two names at once, because two names that
// share an unknown parent may well be aligned whatever that parent says.
//
// The package reads of a DMARC record only what the walk needs, its version
// and its psd tag. Package dmarc reads the rest; a test holds the two together.
package orgdomain

import (
	"context"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/publicsuffix"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// MaxQueries is the most names that a walk asks (RFC 9989 §4.10).
const MaxQueries = 8

// A PSD is the value of a record's psd tag (RFC 9989 §4.7).
type PSD byte

// The values. Unspecified is the default, also for a value that is none.
const (
	Unspecified PSD = 'u'
	No          PSD = 'n' // this domain is an organizational domain
	Yes         PSD = 'y' // this domain is a registry: a public suffix domain
)

// A Step is one name that the walk asks.
type Step struct {
	Domain string // the domain it is about
	Name   string // the name asked, "_dmarc." and Domain
	// Answer to the TXT question; nil if there is none (Err says why), or if
	// Name is too long to exist, which is no record and no error.
	Answer *dnsq.Answer
	Err    *dnsq.Error
	// Records are those of the answer that identify themselves as DMARC
	// records by their version. Others do not count.
	Records []*dnsq.RR
	// PSD is that of the record, if there is exactly one.
	PSD PSD
}

// Record is the step's record. RFC 9989 §4.10 steps 2 and 6: several records
// at one name are all discarded.
func (s *Step) Record() *dnsq.RR {
	if len(s.Records) == 1 {
		return s.Records[0]
	}
	return nil
}

// A Result is the outcome of a walk.
type Result struct {
	Domain string
	// Steps are the names asked in the order of the RFC: the domain itself,
	// then its parents. All are asked at once, so those behind a record with
	// psd=y or psd=n, where the RFC stops, are here too; they decide nothing.
	Steps []Step
	// Org is the organizational domain, "" if it is not determined because of
	// OrgUnknown.
	Org        string
	OrgUnknown []*dnsq.Error
	// Policy is the step whose record applies to mail From Domain (RFC 9989
	// §4.10.1). nil: there is none, or it is not determined because of
	// PolicyUnknown.
	Policy        *Step
	PolicyUnknown []*dnsq.Error
}

// Names are the names that were asked for.
func (r *Result) Names() []string {
	out := make([]string, len(r.Steps))
	for i := range r.Steps {
		out[i] = r.Steps[i].Name
	}
	return out
}

// At is the step about domain, or nil if the walk does not come by there.
func (r *Result) At(domain string) *Step {
	for i := range r.Steps {
		if r.Steps[i].Domain == domain {
			return &r.Steps[i]
		}
	}
	return nil
}

// Domains are the domains that a walk from domain looks at, in order: domain,
// then its parent (or, if domain has more than eight labels, its last seven
// labels), and so on to the top-level domain. At most [MaxQueries].
func Domains(domain string) []string {
	labels := dnsq.Labels(domain)
	if len(labels) == 0 {
		return nil
	}
	out := []string{domain}
	// RFC 9989 §4.10 step 4: below eight labels one goes, from eight on as many
	// as it takes to leave seven.
	next := len(labels) - 1
	if len(labels) >= 8 {
		next = 7
	}
	for ; next > 0; next-- {
		out = append(out, strings.Join(labels[len(labels)-next:], "."))
	}
	return out
}

// Walk performs the DNS tree walk of RFC 9989 §4.10 from domain, a canonical
// name. It asks at most [MaxQueries] questions, all at the same time. It never
// fails: what was not learnt is in the steps.
func Walk(ctx context.Context, r dnsq.Resolver, domain string) *Result {
	domain = dnsq.CanonicalName(domain)
	names := Domains(domain)
	w := &Result{Domain: domain, Steps: make([]Step, len(names))}
	var wg sync.WaitGroup
	for i, d := range names {
		s := &w.Steps[i]
		s.Domain, s.Name, s.PSD = d, dnsq.Join("_dmarc", d), Unspecified
		if wireLength(s.Name) > 255 {
			continue // no such name can exist (RFC 1035 §2.3.4)
		}
		wg.Go(func() {
			q := dnsq.Q(s.Name, dnsq.TypeTXT)
			a, err := r.Ask(ctx, q)
			if err != nil {
				s.Err = dnsq.AsError(q, err)
				return
			}
			s.Answer = a
			for i := range a.RRs {
				if psd, ok := Read(a.RRs[i].Text()); ok {
					s.Records = append(s.Records, &a.RRs[i])
					s.PSD = psd
				}
			}
			if len(s.Records) != 1 {
				s.PSD = Unspecified
			}
		})
	}
	wg.Wait()
	w.decide()
	return w
}

// What a step can turn out to be.
type state byte

const (
	unknown state = iota
	absent        // no record, or several
	plain         // a record without psd
	psdNo
	psdYes
)

func (s *Step) state() state {
	switch {
	case s.Err != nil:
		return unknown
	case s.Record() == nil:
		return absent
	case s.PSD == No:
		return psdNo
	case s.PSD == Yes:
		return psdYes
	}
	return plain
}

// maxUnknown bounds the trying out: 4^5 ways. With more names unanswered than
// that, nothing is taken for determined that the first step does not decide.
const maxUnknown = 5

// decide fills in what follows from the steps.
func (w *Result) decide() {
	unsure := unanswered(w)
	orgs, policies := map[string]bool{}, map[int]bool{}
	org, policy := "", -1
	ok := ways(unsure, func(of func(*Step) state) {
		org, policy = outcome(w, of)
		orgs[org], policies[policy] = true, true
	})
	if ok && len(orgs) == 1 {
		w.Org = org
	} else {
		w.OrgUnknown = errs(w)
	}
	switch {
	case len(w.Steps) > 0 && w.Steps[0].Record() != nil:
		w.Policy = &w.Steps[0] // decided, whatever stands above
	case ok && len(policies) == 1:
		if policy >= 0 {
			w.Policy = &w.Steps[policy]
		}
	default:
		w.PolicyUnknown = errs(w)
	}
}

func errs(w *Result) []*dnsq.Error {
	var out []*dnsq.Error
	for i := range w.Steps {
		if w.Steps[i].Err != nil {
			out = append(out, w.Steps[i].Err)
		}
	}
	return out
}

// unanswered are the domains without an answer of some walks.
func unanswered(ws ...*Result) []string {
	var out []string
	for _, w := range ws {
		for i := range w.Steps {
			if s := &w.Steps[i]; s.state() == unknown && !slices.Contains(out, s.Domain) {
				out = append(out, s.Domain)
			}
		}
	}
	return out
}

// ways calls f for every way the unanswered domains can turn out; false if
// there are too many of them.
func ways(unsure []string, f func(of func(*Step) state)) bool {
	if len(unsure) > maxUnknown {
		return false
	}
	n := 1 << (2 * len(unsure))
	for c := 0; c < n; c++ {
		f(func(s *Step) state {
			if st := s.state(); st != unknown {
				return st
			}
			return absent + state(c>>(2*slices.Index(unsure, s.Domain))&3)
		})
	}
	return true
}

// outcome is the organizational domain and the index of the step whose record
// is the policy (-1: none), if the steps are as of says.
func outcome(w *Result, of func(*Step) state) (org string, policy int) {
	org, policy = w.Domain, -1
	at := -1  // the step of the organizational domain's record
	psd := -1 // the step with psd=y
walk:
	for i := range w.Steps {
		switch s := &w.Steps[i]; of(s) {
		case psdNo:
			// §4.10.2 rule 1; the walk stops (§4.10 steps 2 and 6).
			org, at = s.Domain, i
			break walk
		case psdYes:
			if i == 0 {
				// Rule 2 excepts the domain where the walk started, and the walk
				// stops there: its record is the only one (rule 3).
				at = 0
				break walk
			}
			// Rule 2: the organizational domain is one label below.
			org, at, psd = below(w.Domain, s.Domain), -1, i
			for k := range i {
				if w.Steps[k].Domain == org && of(&w.Steps[k]) != absent {
					at = k
				}
			}
			break walk
		case plain:
			// Rule 3: so far the one with the fewest labels.
			org, at = s.Domain, i
		}
	}
	switch {
	// §4.10.1: the author domain, its organizational domain, its public suffix
	// domain, in this order. A record in between counts for nothing.
	case len(w.Steps) > 0 && of(&w.Steps[0]) != absent:
		policy = 0
	case at >= 0:
		policy = at
	default:
		policy = psd
	}
	return org, policy
}

// below is the name one label below parent on the way to name.
func below(name, parent string) string {
	l := dnsq.Labels(name)
	return strings.Join(l[len(l)-len(dnsq.Labels(parent))-1:], ".")
}

// Same reports whether two names have the same organizational domain. known is
// false if that hangs on an answer that did not come.
func Same(a, b *Result) (same, known bool) {
	if a.Domain == b.Domain {
		return true, true
	}
	yes, no := false, false
	ok := ways(unanswered(a, b), func(of func(*Step) state) {
		x, _ := outcome(a, of)
		y, _ := outcome(b, of)
		yes, no = yes || x == y, no || x != y
	})
	if !ok || yes && no {
		return false, false
	}
	return yes, true
}

// Read reports whether text is a DMARC record by its version, and what its psd
// tag says. RFC 9989 §4.8: the record starts with the tag v, whose value is
// "DMARC1" in exactly this case, and which ends at a semicolon or at the end.
func Read(text string) (PSD, bool) {
	head, rest, more := strings.Cut(text, ";")
	name, value, ok := strings.Cut(head, "=")
	if !ok || strings.ToLower(trimRight(name)) != "v" || trim(value) != "DMARC1" {
		return Unspecified, false
	}
	for more {
		head, rest, more = strings.Cut(rest, ";")
		name, value, ok := strings.Cut(head, "=")
		if !ok || strings.ToLower(trim(name)) != "psd" {
			continue
		}
		// The first psd counts, as in package dmarc.
		switch strings.ToLower(trim(value)) {
		case "y":
			return Yes, true
		case "n":
			return No, true
		}
		return Unspecified, true
	}
	return Unspecified, true
}

func trim(s string) string      { return strings.Trim(s, " \t") }
func trimRight(s string) string { return strings.TrimRight(s, " \t") }

// wireLength is the length of a canonical name on the wire, in octets.
func wireLength(name string) int {
	n := 1
	for _, l := range dnsq.Labels(name) {
		n++
		for i := 0; i < len(l); i++ {
			if l[i] == '\\' {
				if i+3 < len(l) && l[i+1] >= '0' && l[i+1] <= '9' {
					i += 2
				}
				i++
			}
			n++
		}
	}
	return n
}

// PSL is the organizational domain as RFC 7489 §3.2 finds it: one label more
// than the longest match in the Public Suffix List, with the rules of
// registries and those that private companies had added (github.io), as
// receivers do. The domain may be spelled any way a person spells it. ok is
// false if it is no domain name, an IP address, or itself a public suffix.
//
// The list is the one in the library; its date is that of the library's
// version. Receivers have other versions: that is why the walk replaced it.
func PSL(domain string) (org string, ok bool) {
	// The library takes the spelling as it is: "Example.COM", "食狮.公司.cn" and
	// a trailing dot give wrong answers, and an IP address a right-looking one.
	name, err := dnsq.ParseName(domain)
	if err != nil {
		return "", false
	}
	org, err = publicsuffix.EffectiveTLDPlusOne(name)
	return org, err == nil
}
