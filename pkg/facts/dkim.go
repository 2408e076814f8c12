package facts

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"slices"
	"strings"
	"sync"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/provider"
	"github.com/todoku-mail/todoku/pkg/spf"
)

// MaxNamedSelectors is how many selectors that a person named are looked up.
const MaxNamedSelectors = 50

// maxSuggested is how many selectors are asked for because of the domain's
// providers, beside the well-known ones that are asked of every domain.
const maxSuggested = 14

// DKIMAsk is whose keys are looked for. Selectors are those that were named,
// each ended by a line feed; "" if none was. Make it with [DKIMAskOf].
type DKIMAsk struct {
	Domain    string
	Selectors string
	Hints     string // selectors to guess first, in the same form
}

// DKIMAskOf is the DKIMAsk of a target: everyone who asks with it shares one
// search.
func DKIMAskOf(t *diag.Target) DKIMAsk {
	d := t.DKIMDomain
	if d == "" {
		d = t.Domain
	}
	if name, err := dnsq.ParseName(d); err == nil {
		d = name
	}
	join := func(list []string) string {
		var b strings.Builder
		seen := map[string]bool{}
		for _, s := range list {
			s = selectorOf(s, d)
			if key := strings.ToLower(s); !seen[key] && len(seen) < MaxNamedSelectors {
				seen[key] = true
				b.WriteString(strings.ReplaceAll(s, "\n", " ") + "\n") // no selector that is in use has one
			}
		}
		return b.String()
	}
	return DKIMAsk{Domain: dnsq.CanonicalName(d), Selectors: join(t.Selectors), Hints: join(t.SelectorHints)}
}

// selectorOf takes off what people copy along with a selector: the rest of the
// record's name, a final dot, white space round it.
func selectorOf(s, domain string) string {
	s = strings.TrimSpace(s)
	t := strings.TrimSuffix(s, ".")
	for _, tail := range []string{"._domainkey." + domain, "._domainkey"} {
		if i := len(t) - len(tail); i > 0 && strings.EqualFold(t[i:], tail) {
			return t[:i]
		}
	}
	return s
}

// names are the selectors that were named.
func (a DKIMAsk) names() []string { return split(a.Selectors) }

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(list, "\n"), "\n")
}

// A DKIMKey is what is known of one selector.
type DKIMKey struct {
	*dkim.Result
	// Provider suggested the selector; "" if it was named or is well-known.
	Provider string
	// Wild: the answer is the one that the domain gives for any selector.
	Wild bool
	// Elsewhere are the places, other than its own, where a key of this
	// selector was found. Looked for only where a named selector has no key.
	Elsewhere []Misplaced
	// Unlooked are the places of Elsewhere that got no answer.
	Unlooked []*dnsq.Error
}

// A Misplaced is a key at a name where no verifier looks.
type Misplaced struct {
	*dkim.Result
	Doubled bool   // the domain stands twice: s._domainkey.example.com.example.com
	Right   string // the name where it belongs; "" if the selector is not known
}

// DKIMSearch is what was found out about the keys of a domain.
type DKIMSearch struct {
	Domain string
	Named  bool // selectors were named: Keys are those, and no others were looked for
	// Keys are the selectors in order: as named; else suggested by providers,
	// then well-known. All that were asked are here, missing ones too.
	Keys []DKIMKey
	// Misplaced are keys found at other names while searching (not Named).
	Misplaced []Misplaced
	// Wildcard is the answer that any selector gets, nil if there is none (or
	// nobody looked: Named). Its Selector is "*".
	Wildcard *dkim.Result
	// Base is the answer at _domainkey.Domain; nil if not learnt or not asked.
	Base *dnsq.Answer
	// Providers are those that the domain's SPF record and MX hosts show, in
	// order of discovery.
	Providers []provider.Fact
	// NeverSends: the SPF record is exactly "v=spf1 -all" and the MX record is
	// null (RFC 7505): the domain says that it has nothing to do with mail.
	NeverSends bool
	// Unknown are the questions for selectors that got no answer, in the order
	// of Keys.
	Unknown []*dnsq.Error
	// Hints are the questions without an answer that would have led the search:
	// for the providers, and the control question.
	Hints []*dnsq.Error
	// Unlooked are those for places where a key may have ended up by mistake,
	// and for _domainkey itself: they matter where no usable key was found.
	Unlooked []*dnsq.Error
	// ControlUnknown is the control question, if it got no answer: whether a record
	// is that of its selector, or of any, is then not known.
	ControlUnknown *dnsq.Error
	// WildUnsure: the control question got no answer, and three or more
	// selectors have the same record. Wildcard is that record; whether it is
	// one, nobody knows.
	WildUnsure bool
}

// Incomplete are the questions without an answer that could change what the
// search found, none if it is complete.
func (d *DKIMSearch) Incomplete() []*dnsq.Error {
	out := slices.Concat(d.Unknown, d.Hints)
	if len(d.Usable()) == 0 {
		out = append(out, d.Unlooked...)
	}
	return out
}

// Usable are the keys with which mail can verify. A wildcard's counts.
func (d *DKIMSearch) Usable() []*dkim.Result {
	var out []*dkim.Result
	if d.Wildcard != nil && d.Wildcard.Usable() {
		out = append(out, d.Wildcard)
	}
	for i := range d.Keys {
		if k := &d.Keys[i]; !k.Wild && k.Usable() {
			out = append(out, k.Result)
		}
	}
	return out
}

// Possibility says whether mail can carry a valid DKIM signature of a domain.
type Possibility string

const (
	Possible    Possibility = "possible"     // a usable key was found
	Impossible  Possibility = "impossible"   // none of the named selectors has one, or the domain has no keys at all
	NotFound    Possibility = "not-found"    // the search found none, which proves nothing
	NotLearned  Possibility = "undetermined" // questions that matter got no answer
	OnlyTesting Possibility = "testing"      // the usable keys are flagged t=y
)

// Possible sums the search up.
func (d *DKIMSearch) Possible() Possibility {
	usable := d.Usable()
	switch {
	case slices.ContainsFunc(usable, func(r *dkim.Result) bool { return !r.Key().Testing() }):
		return Possible
	case len(d.Incomplete()) > 0:
		return NotLearned
	case len(usable) > 0:
		return OnlyTesting
	case d.Named, d.Absent():
		return Impossible
	}
	return NotFound
}

// Absent reports whether the domain certainly has no keys: nothing was found,
// every question was answered, and the name _domainkey itself does not exist,
// so nothing is below it (RFC 8020 §2). Some old name servers say so of a name
// that exists only because of names below it, against RFC 8020 §4 and RFC 4592
// §2.2.2; the selectors are therefore asked all the same, and one that is found
// refutes it.
func (d *DKIMSearch) Absent() bool {
	if d.Named || len(d.Incomplete()) > 0 || d.Base == nil || d.Base.Outcome != dnsq.NXDomain || len(d.Base.Chain) > 0 || d.Wildcard != nil {
		return false
	}
	return !slices.ContainsFunc(d.Keys, func(k DKIMKey) bool { return k.Status != dkim.Missing || k.Target() != "" })
}

// DKIMKeys is the fact: the keys of a domain. It has no error: what could not
// be learnt is in the DKIMSearch.
//
// Named selectors are looked up and nothing else. Without any, selectors are
// guessed: the well-known ones, a control question that unmasks wildcards and
// the question for _domainkey itself go out at once, together with those that
// show the domain's providers (its SPF record and MX); the providers' own
// selectors follow as soon as these are known. That is three round trips at
// most, and one more where a doubled name shows.
var DKIMKeys = &diag.Fact[DKIMAsk, *DKIMSearch]{
	Name: "dkim-keys",
	Learn: func(ctx context.Context, w *diag.World, a DKIMAsk) (*DKIMSearch, error) {
		s := &DKIMSearch{Domain: a.Domain}
		if names := a.names(); names != nil {
			s.Named = true
			s.named(ctx, w, names)
		} else {
			s.guess(ctx, w, split(a.Hints))
		}
		for i := range s.Keys {
			if e := s.Keys[i].Err; e != nil {
				s.Unknown = append(s.Unknown, e)
			}
		}
		return s, nil
	},
}

func (s *DKIMSearch) named(ctx context.Context, w *diag.World, names []string) {
	s.Keys = make([]DKIMKey, len(names))
	var wg sync.WaitGroup
	for i, n := range names {
		wg.Go(func() {
			k := &s.Keys[i]
			k.Result = dkim.Lookup(ctx, w, n, s.Domain)
			if k.Status == dkim.Missing || k.Status == dkim.NotKey {
				k.Elsewhere, k.Unlooked = elsewhere(ctx, w.Optional(), n, s.Domain, k.Result)
			}
		})
	}
	wg.Wait()
}

// elsewhere looks for a key of the selector at the names that a slip leads to:
// the domain twice, because a form adds it; no underscore; no _domainkey.
func elsewhere(ctx context.Context, r dnsq.Resolver, selector, domain string, own *dkim.Result) (places []Misplaced, unlooked []*dnsq.Error) {
	sel, ok := dnsq.NameOfRaw(selector)
	if !ok {
		return nil, nil
	}
	places = []Misplaced{
		{Result: &dkim.Result{Name: dnsq.Join(own.Name, domain)}, Doubled: true},
		{Result: &dkim.Result{Name: dnsq.Join(sel+".domainkey", domain)}},
		{Result: &dkim.Result{Name: dnsq.Join(sel, domain)}},
	}
	var wg sync.WaitGroup
	for i := range places {
		p := &places[i]
		if len(p.Name) > dnsq.MaxName {
			continue
		}
		wg.Go(func() {
			p.Result = dkim.LookupName(ctx, r, p.Name)
			p.Selector, p.Right = selector, own.Name
		})
	}
	wg.Wait()
	for i := range places {
		if e := places[i].Err; e != nil {
			unlooked = append(unlooked, e)
		}
	}
	return slices.DeleteFunc(places, func(p Misplaced) bool {
		// A wildcard that answers everywhere alike is no misplaced key.
		return p.Status != dkim.OK || same(p.Result, own)
	}), unlooked
}

// found is one selector to ask, and what came of it.
type found struct {
	selector, provider string
	result             *dkim.Result
}

func (s *DKIMSearch) guess(ctx context.Context, w *diag.World, hints []string) {
	// Whether any single one of these is answered decides nothing; the check
	// asks again through w, at no cost, for those that turn out to matter.
	r := w.Optional()
	var wg sync.WaitGroup
	// What a zone file holds is known, and comes before every guess.
	wellKnown := slices.Clone(hints)
	for _, sel := range provider.WellKnown() {
		if !slices.ContainsFunc(wellKnown, func(h string) bool { return strings.EqualFold(h, sel) }) {
			wellKnown = append(wellKnown, sel)
		}
	}
	known := make([]found, len(wellKnown))
	for i, sel := range wellKnown {
		known[i].selector = sel
	}
	for i := range known {
		wg.Go(func() { known[i].result = dkim.Lookup(ctx, r, known[i].selector, s.Domain) })
	}
	var control *dkim.Result
	wg.Go(func() { control = dkim.Lookup(ctx, r, controlSelector(s.Domain), s.Domain) })
	// The domain twice, and what a wildcard of the domain says there.
	var twice, wild *dnsq.Answer
	var baseErr, twiceErr, wildErr *dnsq.Error
	base := dnsq.Join("_domainkey", s.Domain)
	wg.Go(func() { s.Base, baseErr = ask(ctx, r, base, dnsq.TypeTXT) })
	if root := dnsq.Join(s.Domain, s.Domain); len(root)+len("._domainkey.")+dnsq.MaxLabel <= dnsq.MaxName {
		wg.Go(func() { twice, twiceErr = ask(ctx, r, dnsq.Join("_domainkey", root), dnsq.TypeTXT) })
		wg.Go(func() { wild, wildErr = ask(ctx, r, dnsq.Join(controlSelector(s.Domain), root), dnsq.TypeTXT) })
	}
	var suggested []found
	wg.Go(func() {
		s.providers(ctx, r)
		for _, f := range s.Providers {
			for _, sel := range provider.Selectors(f.Provider) {
				at := slices.IndexFunc(suggested, func(o found) bool { return o.selector == sel })
				if at < 0 {
					suggested = append(suggested, found{selector: sel, provider: f.Provider})
				}
			}
		}
		var more sync.WaitGroup
		extra := 0
		for i := range suggested {
			f := &suggested[i]
			if slices.Contains(wellKnown, f.selector) {
				continue // on its way already
			}
			if extra++; extra > maxSuggested {
				continue
			}
			more.Go(func() { f.result = dkim.Lookup(ctx, r, f.selector, s.Domain) })
		}
		more.Wait()
	})
	wg.Wait()

	// In the order of likelihood: what a provider suggests, then the rest.
	for _, f := range suggested {
		if f.result == nil {
			if i := slices.IndexFunc(known, func(k found) bool { return k.selector == f.selector }); i >= 0 {
				f.result = known[i].result
				known = slices.Delete(known, i, i+1)
			}
		}
		if f.result != nil {
			s.Keys = append(s.Keys, DKIMKey{Result: f.result, Provider: f.provider})
		}
	}
	for _, f := range known {
		s.Keys = append(s.Keys, DKIMKey{Result: f.result})
	}
	if control.Err != nil {
		s.Hints, s.ControlUnknown = append(s.Hints, control.Err), control.Err
	}
	for _, e := range []*dnsq.Error{baseErr, twiceErr, wildErr} {
		if e != nil {
			s.Unlooked = append(s.Unlooked, e)
		}
	}
	s.unmask(control)
	s.misplaced(ctx, r, twice, wild)
}

// controlSelector is a selector that nobody has published: it is derived from
// the domain, so that two runs ask the same questions.
func controlSelector(domain string) string {
	sum := sha256.Sum256([]byte("todoku control selector\x00" + domain))
	return "c" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:12]))
}

// unmask finds out whether answers are those of a wildcard.
func (s *DKIMSearch) unmask(control *dkim.Result) {
	if control.Err == nil {
		if control.Status != dkim.Missing {
			wild := *control
			wild.Selector = "*"
			s.Wildcard = &wild
		}
		for i := range s.Keys {
			k := &s.Keys[i]
			// A wildcard CNAME that leads to no TXT is a wildcard as well.
			k.Wild = k.Err == nil && same(k.Result, control) && (k.Status != dkim.Missing || k.Target() != "")
		}
		return
	}
	// Nobody knows whether there is a wildcard. Nobody publishes one and the
	// same record at three names on purpose either.
	for i := range s.Keys {
		k := &s.Keys[i]
		if k.Err != nil || k.Wild || k.Status == dkim.Missing && k.Target() == "" {
			continue
		}
		n := 0
		for j := range s.Keys {
			if o := &s.Keys[j]; o.Err == nil && same(o.Result, k.Result) {
				n++
			}
		}
		if n < 3 {
			continue
		}
		for j := range s.Keys {
			o := &s.Keys[j]
			o.Wild = o.Wild || o.Err == nil && same(o.Result, k.Result)
		}
		if s.Wildcard == nil && k.Status != dkim.Missing {
			wild := *k.Result
			wild.Selector = "*"
			s.Wildcard, s.WildUnsure = &wild, true
		}
	}
}

// same reports whether two selectors have the same answer: the same texts, and
// CNAMEs to the same place, but for the selector itself in the name, which a
// DNAME keeps.
func same(a, b *dkim.Result) bool {
	if a.Answer == nil || b.Answer == nil || a.Answer.Outcome != b.Answer.Outcome || where(a) != where(b) {
		return false
	}
	return slices.Equal(texts(a), texts(b))
}

func where(r *dkim.Result) string {
	t := r.Target()
	if r.Name != "" && t != "" {
		if first := dnsq.Labels(r.Name)[0] + "."; strings.HasPrefix(t, first) {
			return "*." + t[len(first):]
		}
	}
	return t
}

func texts(r *dkim.Result) []string {
	out := make([]string, len(r.Keys))
	for i, k := range r.Keys {
		out[i] = k.Text
	}
	slices.Sort(out) // servers rotate
	return out
}

// maxUnderWild is how many selectors are asked below the doubled domain where a
// wildcard makes every name there exist.
const maxUnderWild = 12

// misplaced looks for keys at other names, where none was found at its place.
// twice is the answer at _domainkey below the doubled domain, wild that at a
// name there that nobody has published.
func (s *DKIMSearch) misplaced(ctx context.Context, r dnsq.Resolver, twice, wild *dnsq.Answer) {
	if len(s.Usable()) > 0 {
		return
	}
	// The record without a selector, at _domainkey itself.
	if s.Base != nil && s.Base.Outcome == dnsq.Found && s.Wildcard == nil {
		if b := dkim.LookupName(ctx, r, s.Base.Name); b.Status == dkim.OK {
			s.Misplaced = append(s.Misplaced, Misplaced{Result: b})
		}
	}
	if twice == nil || !twice.Exists() {
		return
	}
	// Something is at or below _domainkey.example.com.example.com, or a
	// wildcard makes it look so, as for most domains that have one: then only
	// the likeliest are asked, with a control of their own.
	root := dnsq.Join(s.Domain, s.Domain)
	keys := s.Keys
	if wild == nil || wild.Exists() {
		keys = keys[:min(len(keys), maxUnderWild)]
	}
	results := make([]*dkim.Result, len(keys))
	var control *dkim.Result
	var wg sync.WaitGroup
	wg.Go(func() { control = dkim.Lookup(ctx, r, controlSelector(s.Domain), root) })
	for i := range keys {
		wg.Go(func() { results[i] = dkim.Lookup(ctx, r, keys[i].Selector, root) })
	}
	wg.Wait()
	if control.Err != nil {
		s.Unlooked = append(s.Unlooked, control.Err)
		return // it may all be one wildcard
	}
	for i, d := range results {
		if d.Err != nil {
			s.Unlooked = append(s.Unlooked, d.Err)
		}
		if d.Status == dkim.OK && !same(d, control) {
			s.Misplaced = append(s.Misplaced, Misplaced{Result: d, Doubled: true, Right: keys[i].Name})
		}
	}
}

// maxIncludes is how many SPF records are read for the providers in them.
const maxIncludes = 12

// providers finds out who sends and receives for the domain: whose includes
// its SPF record has, whose hosts its MX records name. An include that nobody
// is known for, such as _spf.example.com, is read as well; what is further down
// is not: the search is not to take longer than the rest of the report.
func (s *DKIMSearch) providers(ctx context.Context, r dnsq.Resolver) {
	var byMX []provider.Fact
	var wg sync.WaitGroup
	nullMX, minusAll := false, false
	var mxErr *dnsq.Error
	wg.Go(func() {
		var a *dnsq.Answer
		if a, mxErr = ask(ctx, r, s.Domain, dnsq.TypeMX); mxErr != nil || a.Outcome != dnsq.Found {
			return
		}
		nullMX = len(a.RRs) == 1 && a.RRs[0].Host == "."
		for _, rr := range sortedMX(a.RRs) {
			if f, ok := provider.ByMX(rr.Host); ok {
				byMX = append(byMX, f)
			}
		}
	})
	var top spfHints
	var deeper []spfHints
	wg.Go(func() {
		top = readSPF(ctx, r, s.Domain)
		minusAll = top.minusAll
		unknown := top.unknown[:min(len(top.unknown), maxIncludes)]
		deeper = make([]spfHints, len(unknown))
		var more sync.WaitGroup
		for i, target := range unknown {
			more.Go(func() { deeper[i] = readSPF(ctx, r, target) })
		}
		more.Wait()
	})
	wg.Wait()
	var bySPF []provider.Fact
	for _, h := range append([]spfHints{top}, deeper...) {
		bySPF = append(bySPF, h.providers...)
		if h.err != nil {
			s.Hints = append(s.Hints, h.err)
		}
	}
	if mxErr != nil {
		s.Hints = append(s.Hints, mxErr)
	}
	s.NeverSends = nullMX && minusAll
	for _, f := range append(bySPF, byMX...) {
		if !slices.ContainsFunc(s.Providers, func(o provider.Fact) bool { return o.Provider == f.Provider }) {
			s.Providers = append(s.Providers, f)
		}
	}
}

// spfHints is what one SPF record says about the domain's providers.
type spfHints struct {
	providers []provider.Fact
	unknown   []string // targets of includes that are nobody's whom we know
	minusAll  bool     // the record is exactly "v=spf1 -all"
	err       *dnsq.Error
}

func readSPF(ctx context.Context, r dnsq.Resolver, domain string) (h spfHints) {
	a, err := ask(ctx, r, domain, dnsq.TypeTXT)
	if err != nil {
		h.err = err
		return h
	}
	var rec *spf.Record
	for i := range a.RRs {
		if text := a.RRs[i].Text(); spf.IsSPF(text) {
			if rec != nil {
				return h // two records are none (RFC 7208 §4.5)
			}
			rec = spf.Parse(text)
		}
	}
	if rec == nil {
		return h
	}
	h.minusAll = len(rec.Errors) == 0 && len(rec.Terms) == 1 && rec.Terms[0].Name == "all" && rec.Terms[0].Qualifier == spf.Minus
	for i := range rec.Terms {
		t := &rec.Terms[i]
		if t.Invalid || t.Name != "include" && t.Name != "redirect" || t.Domain == "" || t.Macros() != "" {
			continue
		}
		name, err := dnsq.ParseName(t.Domain)
		if err != nil {
			continue
		}
		if f, ok := provider.BySPFInclude(name); ok {
			h.providers = append(h.providers, f)
		} else if !slices.Contains(h.unknown, name) && name != domain {
			h.unknown = append(h.unknown, name)
		}
	}
	return h
}
