package zone

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// RecordSets are sets of records that somebody proposes one by one: each takes
// the place of all records of its name and type.
type RecordSets struct {
	rrs []dnsq.RR // File says where they come from
}

// ParseRecordSets reads lines "NAME [TTL] [IN] TYPE DATA"; several of one name
// and type make one set. Names are absolute, with or without a final dot. The
// data of TXT is the text itself, or quoted strings as in a zone file; of any
// other type it is as in a zone file. source is the File of the records. An error
// names the line and says what was expected.
//
// Types whose effect reaches beyond their name (NS, DNAME, SOA, DS) are refused: a
// zone file can say what they change, a line cannot.
func ParseRecordSets(lines []string, source string) (*RecordSets, error) {
	s := &RecordSets{}
	for _, l := range lines {
		rr, err := parseRecordLine(l)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", clip(l), err)
		}
		rr.File = source
		for i := range s.rrs {
			have := &s.rrs[i]
			if have.Name != rr.Name {
				continue
			}
			if (have.Type == dnsq.TypeCNAME || rr.Type == dnsq.TypeCNAME) && !besides(have.Type) && !besides(rr.Type) && !sameData(have, &rr) {
				return nil, fmt.Errorf("%q: a record beside a CNAME at %s (RFC 1034 §3.6.2): give one of them", clip(l), rr.Name)
			}
		}
		s.rrs = append(s.rrs, rr)
	}
	return s, nil
}

const recordLine = `expected NAME TYPE DATA, as in 'example.com TXT "v=spf1 -all"'`

func parseRecordLine(line string) (dnsq.RR, error) {
	if strings.ContainsAny(line, "\r\n") {
		return dnsq.RR{}, errors.New("more than one line: give one record each time")
	}
	word := func(s string) (first, rest string) {
		s = strings.TrimSpace(s)
		if i := strings.IndexFunc(s, unicode.IsSpace); i >= 0 {
			return s[:i], strings.TrimSpace(s[i:])
		}
		return s, ""
	}
	owner, rest := word(line)
	if owner == "" || rest == "" {
		return dnsq.RR{}, errors.New(recordLine)
	}
	if owner == "@" || strings.HasPrefix(owner, `"`) {
		return dnsq.RR{}, fmt.Errorf("%q is no name here: %s", clip(owner), recordLine)
	}
	name, err := parseName(owner, ".")
	if err != nil {
		return dnsq.RR{}, err
	}
	rr := dnsq.RR{Name: name, TTL: DefaultTTL}
	typ := ""
	for range 3 { // TTL and class in any order, then the type
		typ, rest = word(rest)
		if ttl, ok := parseTTL(typ); ok {
			rr.TTL = ttl
			continue
		}
		if class, ok := classOf(typ); ok {
			if class != 1 {
				return rr, fmt.Errorf("class %s: only records of class IN concern mail", strings.ToUpper(typ))
			}
			continue
		}
		break
	}
	t, ok := typeOf(typ)
	switch {
	case typ == "":
		return rr, fmt.Errorf("the type is missing: %s", recordLine)
	case !ok:
		return rr, fmt.Errorf("%q is not a record type: %s", clip(typ), recordLine)
	case reachesBeyond(t):
		return rr, fmt.Errorf("%s changes answers beyond its own name: give a zone file with --zone", t)
	case rest == "":
		return rr, fmt.Errorf("the %s record has no data: %s", t, recordLine)
	}
	rr.Type = t
	if (t == dnsq.TypeTXT || t == dnsq.TypeSPF) && rest[0] != '"' {
		// The shell has taken the quotes, or there never were any: a command line
		// has no comments.
		if rest[0] == '\\' && strings.HasPrefix(rest, `\#`) {
			return rr, dataOf(&rr, rest)
		}
		rr.Strings = split255(rest)
		if len(rest)+len(rr.Strings) > 65535 {
			return rr, errors.New("the record is longer than 65535 octets")
		}
		return rr, nil
	}
	return rr, dataOf(&rr, rest)
}

// Over is a resolver in which the sets have taken the place of what under has, as
// in [Patch]: wildcards, names that come into being, aliases. Their own records
// are answered also where under cannot say what is there now.
func (s *RecordSets) Over(under dnsq.Resolver) dnsq.Resolver {
	p := &patch{under: under, names: map[string]*patchedName{}, known: map[string]bool{}}
	for i := range s.rrs {
		rr := &s.rrs[i]
		p.put(rr.Name, rr.Type, change{new: rr}).whole[rr.Type] = true
	}
	return p
}

// Zones are the sets as a set of zones, for [MailNames] and [SelectorsIn] alone:
// it knows nothing else of the DNS.
func (s *RecordSets) Zones() *Set {
	z := &Zone{Origin: ".", Records: s.rrs, Spans: make([]Span, len(s.rrs)), foreign: true}
	return &Set{zones: map[string]*index{".": newIndex(z)}, order: []*Zone{z}}
}

// Replace is what zone files say in their text, without what they say of records
// that the sets take the place of.
func (s *RecordSets) Replace(z *diag.ZoneFiles) *diag.ZoneFiles {
	if z == nil {
		return nil
	}
	out := *z
	out.Lints = nil
	for _, l := range z.Lints {
		gone := false
		for i := range s.rrs {
			gone = gone || s.rrs[i].Name == l.Name && s.rrs[i].Type.String() == l.Type
		}
		if !gone {
			out.Lints = append(out.Lints, l)
		}
	}
	return &out
}
