package fixes

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/zone"
)

// octoDNS and dnscontrol keep records in files of their own, and take away what
// is not there: what an edit removes is said in a comment, as zone lines, and so
// is what the syntax of a tool cannot hold.

// each writes the sets, zone by zone: open and shut what is round a zone's, put
// one set; not ok is a set that it cannot write.
//
// put may say that there is nothing to write, ok true: where records only go.
func each(n *notes, in *Input, open func(zone string), put func(s *Set) (text string, ok bool), shut func()) {
	last := ""
	for i := range in.Sets {
		s := &in.Sets[i]
		if s.Err == nil && len(without(s.Before, s.After)) == 0 && len(without(s.After, s.Before)) == 0 {
			continue // a text cut into strings anew: these tools cut it themselves
		}
		if s.Zone != last {
			if last != "" {
				shut()
			}
			n.WriteByte('\n')
			open(s.Zone)
			last = s.Zone
		}
		text, ok := "", false
		if s.Err == nil && len(s.After) > 0 {
			text, ok = put(s)
		}
		what := diag.Args{"record": s.Name + " " + s.Type.String()}
		switch {
		case s.Err != nil:
			n.T("fixes.unknown", what)
			n.edits(editsOf(in, s))
		case len(s.After) == 0:
			n.T("fixes.gone", what)
			n.records(s.Before)
		case !ok:
			n.T("fixes.unwritable", what)
			n.edits(editsOf(in, s))
		default:
			gone := without(s.Before, s.After)
			switch {
			case len(gone) == 0:
				n.T("fixes.new", what)
			case len(without(s.After, s.Before)) == 0:
				n.T("fixes.gone", what)
			default:
				n.T("fixes.instead.of", what)
			}
			n.records(gone)
			n.WriteString(text)
		}
	}
	if last != "" {
		shut()
	}
}

// without are the records of a that b lacks.
func without(a, b []dnsq.RR) []dnsq.RR {
	return slices.DeleteFunc(slices.Clone(a), func(rr dnsq.RR) bool {
		return slices.ContainsFunc(b, func(o dnsq.RR) bool { return zone.EditText(rr) == zone.EditText(o) })
	})
}

func editsOf(in *Input, s *Set) []diag.Edit {
	var out []diag.Edit
	for _, e := range in.Plan.Edits {
		if rr, err := zone.RecordOf(e.Name, e.Type, anyOf(e.New, e.Old)); err == nil && rr.Name == s.Name && rr.Type == s.Type {
			out = append(out, e)
		}
	}
	return out
}

func (n *notes) records(rrs []dnsq.RR) {
	for _, rr := range rrs {
		_, add, err := zone.FormatEdit(diag.Edit{Name: rr.Name, Type: rr.Type.String(), New: zone.EditText(rr)})
		if err == nil {
			n.line("    " + add)
		}
	}
}

// host is a name with its final dot.
func host(name string) string {
	if name == "." {
		return "."
	}
	return name + "."
}

// printable reports whether s is ASCII without control characters.
func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// writeOctoDNS writes YAML for octoDNS's YamlProvider, a document for each zone:
// the changed sets, to be put in place of those in ZONE.yaml. Of a name all other
// types stay as they are there.
func writeOctoDNS(w io.Writer, in *Input, cat *i18n.Catalog) error {
	n := &notes{mark: "#", cat: cat}
	n.head(in)
	name, documents := "\x00", 0
	each(n, in, func(zone string) {
		if documents++; documents > 1 {
			n.WriteString("---\n")
		}
		name = "\x00"
		n.T("fixes.octodns", diag.Args{"file": zone + ".yaml"})
	}, func(s *Set) (string, bool) {
		text, ok := octoSet(s)
		if !ok {
			return "", false
		}
		if l := label(s.Name, s.Zone); l != name {
			name = l
			text = doubleQuoted(l) + ":\n" + text
		}
		return text, true
	}, func() {})
	if len(in.Sets) == 0 {
		n.WriteByte('\n')
	}
	n.left(in)
	_, err := io.WriteString(w, n.String())
	return err
}

// octoSet is one item of the list below a name; false if octoDNS would refuse
// it or read it as something else. Keys are in order of the alphabet, which
// YamlProvider demands.
func octoSet(s *Set) (string, bool) {
	var values []string
	for _, rr := range s.After {
		switch rr.Type {
		case dnsq.TypeA, dnsq.TypeAAAA:
			values = append(values, doubleQuoted(rr.Addr.String()))
		case dnsq.TypeCNAME, dnsq.TypePTR, dnsq.TypeNS:
			values = append(values, doubleQuoted(host(rr.Host)))
		case dnsq.TypeMX:
			values = append(values, "exchange: "+doubleQuoted(host(rr.Host))+"\n      preference: "+strconv.Itoa(int(rr.Pref)))
		case dnsq.TypeTXT:
			v, ok := octoText(rr.Text())
			if !ok {
				return "", false
			}
			values = append(values, doubleQuoted(v))
		default:
			return "", false
		}
	}
	var b strings.Builder
	// The dash opens the item; the other keys stand below the first.
	first := "  - "
	if s.Exact {
		fmt.Fprintf(&b, "%sttl: %d\n", first, s.TTL)
		first = "    "
	}
	fmt.Fprintf(&b, "%stype: %s\n", first, s.After[0].Type)
	if s.After[0].Type == dnsq.TypeCNAME {
		fmt.Fprintf(&b, "    value: %s\n", values[0])
		return b.String(), len(values) == 1
	}
	b.WriteString("    values:\n")
	for _, v := range values {
		fmt.Fprintf(&b, "    - %s\n", v)
	}
	return b.String(), true
}

// octoText is a TXT record as octoDNS writes it: joined, each ; with a backslash
// before it. octoDNS has no way to write a backslash or what is not ASCII; it
// takes off quotes round a value and drops `" "` inside.
func octoText(s string) (string, bool) {
	if s == "" || !printable(s) || strings.Contains(s, `\`) || strings.HasPrefix(s, `"`) || strings.Contains(s, `" "`) {
		return "", false
	}
	return strings.ReplaceAll(s, ";", `\;`), true
}

// doubleQuoted is printable ASCII as a double-quoted YAML scalar, or as a
// JavaScript string: both have \" and \\ in common. Quoted, no text is taken for
// a number, a truth value or a key.
func doubleQuoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// writeDNSControl writes JavaScript for dnscontrol: D_EXTEND adds the records to
// the domain; what they replace is to be taken out where it stands. Long texts
// stay whole: dnscontrol cuts them itself, AUTOSPLIT says nothing any more. END
// lets a comma stand behind the last record.
func writeDNSControl(w io.Writer, in *Input, cat *i18n.Catalog) error {
	n := &notes{mark: "//", cat: cat}
	n.head(in)
	each(n, in, func(zone string) {
		n.T("fixes.dnscontrol", nil)
		n.WriteString("D_EXTEND(" + doubleQuoted(zone) + ",\n")
		n.mark = "    //"
	}, controlSet, func() {
		n.mark = "//"
		n.WriteString("    END);\n")
	})
	n.left(in)
	_, err := io.WriteString(w, n.String())
	return err
}

// controlSet is the lines of what is new in a set; false if dnscontrol has no function for it, or
// cannot hold it in a string.
func controlSet(s *Set) (string, bool) {
	name := label(s.Name, s.Zone)
	if name == "" {
		name = "@"
	}
	if !dnsq.AtOrBelow(s.Name, s.Zone) || !printable(name) {
		return "", false
	}
	ttl := ""
	if s.Exact {
		ttl = fmt.Sprintf(", TTL(%d)", s.TTL)
	}
	var b strings.Builder
	for _, rr := range without(s.After, s.Before) {
		data := ""
		switch rr.Type {
		case dnsq.TypeA, dnsq.TypeAAAA:
			data = doubleQuoted(rr.Addr.String())
		case dnsq.TypeCNAME, dnsq.TypePTR, dnsq.TypeNS:
			data = doubleQuoted(host(rr.Host))
		case dnsq.TypeMX:
			data = strconv.Itoa(int(rr.Pref)) + ", " + doubleQuoted(host(rr.Host))
		case dnsq.TypeTXT:
			// A JavaScript string holds characters, not octets.
			if !printable(rr.Text()) {
				return "", false
			}
			data = doubleQuoted(rr.Text())
		default:
			return "", false
		}
		fmt.Fprintf(&b, "    %s(%s, %s%s),\n", rr.Type, doubleQuoted(name), data, ttl)
	}
	return b.String(), true
}
