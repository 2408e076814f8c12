// Package provider knows mail providers by what they leave in the DNS: the
// SPF include that they ask for, the name to which a DKIM CNAME leads, the
// suffix of their MX hosts, their Return-Path domains, and the DKIM selectors
// that they use.
//
// It is a table (data.tsv) with look-ups, no protocol. Every row names where
// it was learnt, when, and how sure that is. Only rows that were read at an
// official source or observed in records may be shown to a person as a fact
// ([Fact.Shown]); the others may guide what is asked next, where a mistake
// costs one question.
//
// # The columns of data.tsv
//
//	kind        selector, spf-include, dkim-target, mx-suffix, return-path, shared
//	value       a selector, or a domain name that stands for itself and
//	            everything below it
//	provider    whose it is; "generic" for selectors of many
//	region      two-letter country, or * for anywhere
//	use         of a selector: always (asked of every domain) or provider
//	            (asked where the provider is in use); - otherwise
//	source      where it was learnt
//	date        when, YYYY-MM
//	confidence  official, observed, secondary, memory
package provider

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// A Kind says what a Fact is about.
type Kind string

const (
	Selector   Kind = "selector"    // a DKIM selector
	SPFInclude Kind = "spf-include" // the target of an SPF include
	DKIMTarget Kind = "dkim-target" // where the CNAME of a DKIM selector leads
	MXSuffix   Kind = "mx-suffix"   // the end of an MX host's name
	ReturnPath Kind = "return-path" // a provider's own Return-Path domain
	Shared     Kind = "shared"      // a provider's domain that many customers send under
)

var kinds = []Kind{Selector, SPFInclude, DKIMTarget, MXSuffix, ReturnPath, Shared}

// A Confidence says how a Fact was learnt.
type Confidence string

const (
	Official  Confidence = "official"  // read at the provider's own page or template
	Observed  Confidence = "observed"  // seen in records or messages
	Secondary Confidence = "secondary" // read at somebody else's
	Memory    Confidence = "memory"    // common knowledge, read nowhere
)

var confidences = []Confidence{Official, Observed, Secondary, Memory}

// Generic is the Provider of selectors that many use.
const Generic = "generic"

// A Fact is one row of the table.
type Fact struct {
	Kind       Kind
	Value      string // canonical name, or a selector in lower case
	Provider   string
	Region     string // two letters, or "*"
	Always     bool   // of a selector: asked of every domain
	Source     string
	Date       string // YYYY-MM
	Confidence Confidence
}

// Shown reports whether the Fact may be told to a person as true.
func (f Fact) Shown() bool { return f.Confidence == Official || f.Confidence == Observed }

//go:embed data.tsv
var data string

const header = "kind\tvalue\tprovider\tregion\tuse\tsource\tdate\tconfidence"

var (
	regionForm = regexp.MustCompile(`^([A-Z]{2}|\*)$`)
	dateForm   = regexp.MustCompile(`^20[0-9]{2}-(0[1-9]|1[0-2])$`)
)

// parse reads a table. The error names the line (from 1) and what is wrong.
func parse(text string) ([]Fact, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if lines[0] != header {
		return nil, fmt.Errorf("line 1: the columns are not %q", header)
	}
	var out []Fact
	seen := map[string]int{}
	for i, l := range lines[1:] {
		n := i + 2
		c := strings.Split(l, "\t")
		if len(c) != 8 {
			return nil, fmt.Errorf("line %d: %d columns, not 8", n, len(c))
		}
		f := Fact{Kind: Kind(c[0]), Value: c[1], Provider: c[2], Region: c[3], Always: c[4] == "always",
			Source: c[5], Date: c[6], Confidence: Confidence(c[7])}
		use := []string{"-"}
		if f.Kind == Selector {
			use = []string{"always", "provider"}
		}
		key := string(f.Kind) + " " + f.Value
		if f.Kind == Selector {
			key += " " + f.Provider
		}
		name, err := dnsq.ParseName(f.Value)
		switch {
		case !slices.Contains(kinds, f.Kind):
			return nil, fmt.Errorf("line %d: no such kind %q", n, c[0])
		case err != nil || name != f.Value:
			return nil, fmt.Errorf("line %d: %q is not a name in canonical form", n, f.Value)
		case f.Kind != Selector && !strings.Contains(f.Value, "."):
			return nil, fmt.Errorf("line %d: %q is a whole top-level domain", n, f.Value)
		case strings.TrimSpace(f.Provider) == "" || strings.TrimSpace(f.Source) == "":
			return nil, fmt.Errorf("line %d: provider and source must not be empty", n)
		case !regionForm.MatchString(f.Region):
			return nil, fmt.Errorf("line %d: no such region %q", n, f.Region)
		case !slices.Contains(use, c[4]):
			return nil, fmt.Errorf("line %d: use %q: expected one of %v", n, c[4], use)
		case !dateForm.MatchString(f.Date):
			return nil, fmt.Errorf("line %d: date %q is not YYYY-MM", n, f.Date)
		case !slices.Contains(confidences, f.Confidence):
			return nil, fmt.Errorf("line %d: no such confidence %q", n, c[7])
		case seen[key] != 0:
			return nil, fmt.Errorf("line %d: the same as line %d", n, seen[key])
		}
		seen[key] = n
		out = append(out, f)
	}
	return out, nil
}

type table struct {
	facts     []Fact
	byName    map[Kind]map[string]*Fact
	selectors map[string][]string // provider: selectors
	always    []string
}

var load = sync.OnceValue(func() *table {
	facts, err := parse(data)
	if err != nil {
		panic("provider: data.tsv: " + err.Error()) // held by a test
	}
	t := &table{facts: facts, byName: map[Kind]map[string]*Fact{}, selectors: map[string][]string{}}
	for i := range facts {
		f := &facts[i]
		if f.Kind == Selector {
			t.selectors[f.Provider] = append(t.selectors[f.Provider], f.Value)
			if f.Always && !slices.Contains(t.always, f.Value) {
				t.always = append(t.always, f.Value)
			}
			continue
		}
		if t.byName[f.Kind] == nil {
			t.byName[f.Kind] = map[string]*Fact{}
		}
		t.byName[f.Kind][f.Value] = f
	}
	return t
})

// Facts are all the rows, in the order of the table.
func Facts() []Fact { return slices.Clone(load().facts) }

// find is the row with the longest value that name is at or below.
func find(k Kind, name string) (Fact, bool) {
	m := load().byName[k]
	for name = dnsq.CanonicalName(name); name != "."; name = dnsq.Parent(name) {
		if f := m[name]; f != nil {
			return *f, true
		}
	}
	return Fact{}, false
}

// BySPFInclude is whose the target of an SPF include (or redirect) is.
func BySPFInclude(name string) (Fact, bool) { return find(SPFInclude, name) }

// ByTarget is whose the name is to which a DKIM selector's CNAME leads.
func ByTarget(name string) (Fact, bool) { return find(DKIMTarget, name) }

// ByMX is whose an MX host is.
func ByMX(host string) (Fact, bool) { return find(MXSuffix, host) }

// ByReturnPath is whose a Return-Path domain is, if it is a provider's own.
func ByReturnPath(domain string) (Fact, bool) { return find(ReturnPath, domain) }

// SharedDomain is the provider under whose own domain the name is, together
// with other customers' names: receivers that count senders by organizational
// domain count all of them as one.
func SharedDomain(name string) (Fact, bool) { return find(Shared, name) }

// Selectors are the selectors known of a provider, in the order of the table.
func Selectors(provider string) []string { return slices.Clone(load().selectors[provider]) }

// WellKnown are the selectors to ask of every domain, most common first.
func WellKnown() []string { return slices.Clone(load().always) }
