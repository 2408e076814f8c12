package dnsbl

import (
	_ "embed"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

//go:embed lists.txt
var listsText string

// A Tier says who acts on a list.
type Tier string

const (
	Major     Tier = "major"     // large receivers refuse mail by it
	Secondary Tier = "secondary" // many filters count it
	Minor     Tier = "minor"     // few do, or it is about something else
)

// A Class says what a listing is. It is the list's tier, or one of its own.
type Class string

const (
	ClassMajor           = Class(Major)
	ClassSecondary       = Class(Secondary)
	ClassMinor           = Class(Minor)
	Policy         Class = "policy" // no mail from such addresses, by somebody's decision
	Abused         Class = "abused" // a good site that was broken into
	Good           Class = "good"   // no listing
)

// When says when a list is asked.
type When string

const (
	ByDefault When = "default"
	WithAll   When = "all"
	WithKey   When = "key"
	WhenNamed When = "named"
	Never     When = "never"
)

// Access says whom a list answers.
type Access string

const (
	Open       Access = "open"
	NoPublic   Access = "no-public" // refuses public resolvers
	Registered Access = "register"  // answers registered resolvers only
)

// A Code is an answer and its meaning.
type Code struct {
	First, Last netip.Addr // the range; the same for a single code
	Bit         byte       // of a list with Bits: the bit instead
	Meaning     string     // a word: lower case, digits, '-'
	Class       Class      // "": the list's tier
}

func (c *Code) class(l *List) Class {
	if c.Class != "" {
		return c.Class
	}
	return Class(l.Tier)
}

// is reports whether an answer is the code, or holds its bit.
func (c *Code) is(l *List, b [4]byte) bool {
	if c.Bit != 0 {
		base := l.Base.As4()
		return [3]byte(b[:3]) == [3]byte(base[:3]) && b[3]&c.Bit != 0
	}
	a := netip.AddrFrom4(b)
	return c.First.Compare(a) <= 0 && a.Compare(c.Last) <= 0
}

// String is the code as the table writes it.
func (c *Code) String() string {
	switch {
	case c.Bit != 0:
		return strconv.Itoa(int(c.Bit))
	case c.First != c.Last:
		return c.First.String() + "-" + c.Last.String()
	}
	return c.First.String()
}

// A List is a blocklist. Do not change those that this package hands out.
type List struct {
	Zone     string // canonical
	Operator string
	Kinds    []Kind
	Tier     Tier
	Ask      When
	Access   Access
	Codes    []Code
	Errors   []Code // Meaning is the reason
	Bits     bool   // answers are Base plus a sum of bits
	Base     netip.Addr
	// Service and KeyZone: with a key of Service it is asked at KEY.KeyZone.
	Service, KeyZone string
	// Lookup and Remove are pages where people look up and ask for removal, ""
	// if not known.
	Lookup, Remove string
	Limit          string // terms of use, English
	Source         string // where this was learnt
	Trust          string // official, secondary, observed or hearsay
	// Why a list is never asked (a word), and since when: "2024-06" or "2012" or
	// "", if that is not known.
	Why, Since string
	// Own: not in the table; somebody named it.
	Own bool

	testListed, testNot string
}

// Has reports whether the list holds entries of kind k.
func (l *List) Has(k Kind) bool { return slices.Contains(l.Kinds, k) }

// Page is where to go because of a listing, or "".
func (l *List) Page() string {
	if l.Remove != "" {
		return l.Remove
	}
	return l.Lookup
}

// table is the parsed lists.txt. A test holds that it can be parsed.
var table = func() []*List {
	ls, err := parse(listsText)
	if err != nil {
		panic("dnsbl: lists.txt: " + err.Error())
	}
	return ls
}()

// Lists are all lists of the table, those never asked included, in its order.
func Lists() []*List { return slices.Clone(table) }

// Lookup is the list of that zone, or the dead one that stands for it, or nil.
func Lookup(zone string) *List {
	zone = dnsq.CanonicalName(zone)
	for _, l := range table {
		if l.Zone == zone {
			return l
		}
	}
	for _, l := range table {
		if l.Ask == Never && dnsq.AtOrBelow(zone, l.Zone) {
			return l
		}
	}
	return nil
}

// Services are the names of those who give out keys, sorted.
func Services() []string {
	var out []string
	for _, l := range table {
		if l.Service != "" && !slices.Contains(out, l.Service) {
			out = append(out, l.Service)
		}
	}
	slices.Sort(out)
	return out
}

// Keys are keys by service. They are secrets: a Keys prints as nothing.
type Keys map[string]string

// Format prints no key, whatever the verb.
func (k Keys) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%d keys", len(k)) }

// MarshalText fails: keys are not to be written anywhere.
func (k Keys) MarshalText() ([]byte, error) {
	return nil, fmt.Errorf("keys of blocklists are not written anywhere")
}

// Services are the services that there is a key of, sorted: what Select takes.
func (k Keys) Services() []string {
	var out []string
	for s := range k {
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

// Rules are the rules that put the keys into questions, for dnsq.Rewrite. The
// error names the service, never the key: an unknown service, or a key that is
// no single DNS label of 8 to 63 letters and digits.
func (k Keys) Rules() ([]dnsq.Rule, error) {
	var out []dnsq.Rule
	for _, s := range k.Services() {
		if !slices.Contains(Services(), s) {
			return nil, fmt.Errorf("there is no blocklist service %q that takes a key: expected one of %s", s, strings.Join(Services(), ", "))
		}
		for _, l := range table {
			if l.Service != s {
				continue
			}
			r, err := dnsq.NewRule(l.Zone, l.KeyZone, k[s])
			if err != nil {
				return nil, fmt.Errorf("the key of %s: %w", s, err)
			}
			out = append(out, r)
		}
	}
	return out, nil
}

// A Spec is a list that somebody named: "bl.example", or "bl.example:ip4,ip6".
type Spec struct {
	Zone  string
	Kinds []Kind // nil: not said
}

// ParseSpec reads a Spec. The error is one line for the person who wrote it. A
// name that holds a key is refused, and not repeated.
func ParseSpec(s string) (Spec, error) {
	zone, kinds, said := strings.Cut(s, ":")
	for _, l := range table {
		z := dnsq.CanonicalName(strings.TrimSpace(zone))
		if l.KeyZone != "" && z != l.KeyZone && dnsq.AtOrBelow(z, l.KeyZone) {
			return Spec{}, fmt.Errorf("a key has no place on the command line, where everybody can read it: give the key of %s by its environment variable or file, and the list is asked with it", l.Service)
		}
	}
	name, err := dnsq.ParseName(zone)
	if err != nil {
		return Spec{}, err
	}
	if !strings.Contains(name, ".") {
		return Spec{}, fmt.Errorf("%q is no blocklist: expected its full zone, such as bl.example.net", s)
	}
	spec := Spec{Zone: name}
	if !said {
		return spec, nil
	}
	for _, w := range strings.Split(kinds, ",") {
		i := slices.Index(kindNames[:], strings.ToLower(strings.TrimSpace(w)))
		if i < 0 {
			return Spec{}, fmt.Errorf("%q: %q is not what a blocklist holds: expected %s", s, w, strings.Join(kindNames[:], ", "))
		}
		if !slices.Contains(spec.Kinds, Kind(i)) {
			spec.Kinds = append(spec.Kinds, Kind(i))
		}
	}
	slices.Sort(spec.Kinds)
	return spec, nil
}

// Select picks the lists to ask, in the order of the table, named ones last:
// the default ones; with all those for --dnsbl-all; those whose service is
// among keyed; and the named ones. Named lists that are never asked are in
// never. A named list that is not in the table is Own, with the test entries of
// RFC 5782 §5; where its kind was not said all three are asked, and [Judge]
// tells those that it has from those that it has not.
func Select(all bool, keyed []string, named []Spec) (ask, never []*List) {
	for _, l := range table {
		switch {
		case l.Ask == ByDefault, l.Ask == WithAll && all,
			l.Ask == WithKey && slices.Contains(keyed, l.Service):
			ask = append(ask, l)
		}
	}
	for _, s := range named {
		l := Lookup(s.Zone)
		switch {
		case l == nil:
			l = &List{Zone: s.Zone, Kinds: s.Kinds, Tier: Secondary, Ask: WhenNamed, Access: Open, Own: true}
			if l.Kinds == nil {
				l.Kinds = Kinds
			}
		case l.Ask == Never:
			if !slices.Contains(never, l) {
				never = append(never, l)
			}
			continue
		}
		if !slices.ContainsFunc(ask, func(o *List) bool { return o.Zone == l.Zone }) {
			ask = append(ask, l)
		}
	}
	return ask, never
}

// parse reads a table in the form that lists.txt describes.
func parse(text string) ([]*List, error) {
	var out []*List
	var l *List
	seen := map[string]bool{} // words of the block
	end := func() error {
		if l == nil {
			return nil
		}
		err := l.complete()
		out = append(out, l)
		l = nil
		return err
	}
	line := 0
	for raw := range strings.Lines(text) {
		line++
		raw = strings.TrimRight(raw, "\n")
		err := func() error {
			if strings.HasPrefix(raw, "#") {
				return nil
			}
			if raw == "" {
				return end()
			}
			word, rest, ok := strings.Cut(raw, " ")
			if rest = strings.TrimSpace(rest); !ok || rest == "" {
				return fmt.Errorf("expected a word and a value")
			}
			if word == "zone" {
				if l != nil {
					return fmt.Errorf("an empty line belongs before a zone")
				}
				if rest != dnsq.CanonicalName(rest) || !strings.Contains(rest, ".") {
					return fmt.Errorf("%q is not a zone in canonical form", rest)
				}
				for _, o := range out {
					if o.Zone == rest {
						return fmt.Errorf("%s is here twice", rest)
					}
				}
				l = &List{Zone: rest, Access: Open}
				clear(seen)
				return nil
			}
			if l == nil {
				return fmt.Errorf("%s before any zone", word)
			}
			if seen[word] && word != "code" && word != "error" {
				return fmt.Errorf("%s is said twice", word)
			}
			seen[word] = true
			return l.set(word, rest)
		}()
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
	if err := end(); err != nil {
		return nil, fmt.Errorf("line %d: %w", line, err)
	}
	return out, nil
}

func oneOf[T ~string](s string, allowed ...T) (T, error) {
	if slices.Contains(allowed, T(s)) {
		return T(s), nil
	}
	return "", fmt.Errorf("%q is none of %v", s, allowed)
}

func (l *List) set(word, rest string) (err error) {
	fields := strings.Fields(rest)
	switch word {
	case "by":
		l.Operator = rest
	case "kind":
		for _, f := range fields {
			i := slices.Index(kindNames[:], f)
			if i < 0 {
				return fmt.Errorf("%q is no kind", f)
			}
			l.Kinds = append(l.Kinds, Kind(i))
		}
	case "tier":
		l.Tier, err = oneOf(rest, Major, Secondary, Minor)
	case "ask":
		l.Ask, err = oneOf(rest, ByDefault, WithAll, WithKey, WhenNamed)
	case "access":
		l.Access, err = oneOf(rest, Open, NoPublic, Registered)
	case "keyed":
		if len(fields) != 2 {
			return fmt.Errorf("expected keyed SERVICE ZONE")
		}
		l.Service, l.KeyZone = fields[0], fields[1]
	case "bits":
		a, err := netip.ParseAddr(rest)
		if err != nil || !a.Is4() || !loopback.Contains(a) || a.As4()[3] != 0 {
			return fmt.Errorf("%q is no base for bits", rest)
		}
		l.Bits, l.Base = true, a
	case "code", "error":
		c, err := l.parseCode(fields)
		if err != nil {
			return err
		}
		if word == "code" {
			l.Codes = append(l.Codes, c)
		} else {
			l.Errors = append(l.Errors, c)
		}
	case "test":
		if len(fields) != 3 || fields[0] != Domain.String() {
			return fmt.Errorf("expected test domain LISTED NOT")
		}
		l.testListed, l.testNot = fields[1], fields[2]
	case "lookup":
		l.Lookup = rest
	case "remove":
		l.Remove = rest
	case "limit":
		l.Limit = rest
	case "source":
		l.Source = rest
	case "trust":
		l.Trust, err = oneOf(rest, "official", "secondary", "observed", "hearsay")
	case "never":
		l.Ask, l.Why = Never, fields[0]
		if len(fields) > 1 {
			l.Since = fields[1]
		}
		if len(fields) > 2 || !isWord(l.Why) {
			return fmt.Errorf("expected never REASON [DATE]")
		}
	default:
		return fmt.Errorf("unknown word %q", word)
	}
	return err
}

func isWord(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func (l *List) parseCode(f []string) (c Code, err error) {
	if len(f) < 2 || len(f) > 3 || !isWord(f[1]) {
		return c, fmt.Errorf("expected CODE MEANING [CLASS]")
	}
	c.Meaning = f[1]
	if len(f) == 3 {
		if c.Class, err = oneOf(f[2], ClassMajor, ClassSecondary, ClassMinor, Policy, Abused, Good); err != nil {
			return c, err
		}
	}
	if !strings.Contains(f[0], ".") {
		n, err := strconv.ParseUint(f[0], 10, 8)
		if err != nil || n == 0 || n&(n-1) != 0 || !l.Bits {
			return c, fmt.Errorf("%q is no bit, or bits are not said before", f[0])
		}
		c.Bit = byte(n)
		return c, nil
	}
	first, last, ranged := strings.Cut(f[0], "-")
	if !ranged {
		last = first
	}
	c.First, err = netip.ParseAddr(first)
	if err == nil {
		c.Last, err = netip.ParseAddr(last)
	}
	if err != nil || !c.First.Is4() || !c.Last.Is4() || !loopback.Contains(c.First) || !loopback.Contains(c.Last) || c.Last.Less(c.First) {
		return c, fmt.Errorf("%q is no code: expected an address in 127.0.0.0/8, or two as a range", f[0])
	}
	return c, nil
}

// complete looks at a block that has ended.
func (l *List) complete() error {
	bad := func(what string) error { return fmt.Errorf("%s: %s", l.Zone, what) }
	switch {
	case l.Operator == "" || l.Source == "" || l.Trust == "":
		return bad("by, source and trust belong to every zone")
	case l.Ask != Never && l.Why != "":
		return bad("it is never asked and asked")
	case l.Ask == Never:
		if l.Kinds != nil || l.Codes != nil || l.Tier != "" || l.Why == "" {
			return bad("a zone that is never asked has no kind, tier or codes")
		}
		return nil
	case l.Ask == "" || l.Tier == "" || l.Kinds == nil || l.Codes == nil:
		return bad("ask, tier, kind and code belong to a zone that is asked")
	case l.Ask == WithKey && l.KeyZone == "":
		return bad("it needs a key, but no zone for it is said")
	case l.Trust == "hearsay":
		return bad("what nobody has confirmed is not asked")
	}
	return nil
}
