package zone

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// FormatRecord is rr as a line of a zone file without the line end: absolute
// names, TTL in seconds, class IN, TXT in quoted strings of at most 255 octets.
// [Parse] reads it back to the same record; every server reads it alike.
func FormatRecord(rr dnsq.RR) string {
	return ownerWord(fqdn(rr.Name)) + " " + strconv.FormatUint(uint64(rr.TTL), 10) + " IN " + rr.Type.String() + " " + FormatData(rr)
}

// FormatData is the data of rr as in [FormatRecord].
func FormatData(rr dnsq.RR) string {
	switch rr.Type {
	case dnsq.TypeTXT, dnsq.TypeSPF:
		var b strings.Builder
		for i, s := range rr.Strings {
			for j, part := range split255(s) {
				if i+j > 0 {
					b.WriteByte(' ')
				}
				quote(&b, part)
			}
		}
		if b.Len() == 0 {
			return `""` // RFC 1035 §3.3.14: at least one string
		}
		return b.String()
	}
	return presentation(rr)
}

// presentation is the data of rr, which is not TXT, in presentation format.
func presentation(rr dnsq.RR) string {
	switch rr.Type {
	case dnsq.TypeA, dnsq.TypeAAAA:
		if rr.Addr.IsValid() {
			return rr.Addr.String()
		}
	case dnsq.TypeNS, dnsq.TypeCNAME, dnsq.TypeDNAME, dnsq.TypePTR:
		return fqdn(rr.Host)
	case dnsq.TypeMX:
		return strconv.Itoa(int(rr.Pref)) + " " + fqdn(rr.Host)
	case dnsq.TypeSOA:
		if s := rr.SOA; s != nil {
			return fmt.Sprintf("%s %s %d %d %d %d %d", fqdn(s.MName), fqdn(s.RName),
				s.Serial, s.Refresh, s.Retry, s.Expire, s.Minimum)
		}
	}
	return rr.Data
}

func quote(b *strings.Builder, s string) {
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(b, "\\%03d", c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
}

// fqdn is a canonical name with its final dot.
func fqdn(name string) string {
	if name == "." || name == "" {
		return "."
	}
	return name + "."
}

// EditText is the data of rr as a [diag.Edit] holds it: the joined text for
// TXT, presentation format for any other type.
func EditText(rr dnsq.RR) string {
	switch rr.Type {
	case dnsq.TypeTXT, dnsq.TypeSPF:
		return rr.Text()
	}
	return presentation(rr)
}

// RecordOf makes a record of the parts of a [diag.Edit]: text is the joined
// text for TXT (cut into strings of at most 255 octets), presentation format
// for any other type, in which names are absolute with or without a final dot.
// The record has TTL 0.
func RecordOf(name, typ, text string) (dnsq.RR, error) {
	n, err := parseName(name, ".")
	if err != nil {
		return dnsq.RR{}, fmt.Errorf("edit of %q %s: %w", name, typ, err)
	}
	t, ok := typeOf(typ)
	if !ok {
		return dnsq.RR{}, fmt.Errorf("edit of %s %q: not a type that a record can have", n, typ)
	}
	rr := dnsq.RR{Name: n, Type: t}
	if t == dnsq.TypeTXT || t == dnsq.TypeSPF {
		rr.Strings = split255(text)
		if len(text)+len(rr.Strings) > 65535 {
			return dnsq.RR{}, fmt.Errorf("edit of %s %s: the record is longer than 65535 octets", n, t)
		}
		return rr, nil
	}
	if err := dataOf(&rr, text); err != nil {
		return dnsq.RR{}, fmt.Errorf("edit of %s %s: %w", n, t, err)
	}
	return rr, nil
}

// dataOf reads the data of a record, whose names are absolute, from one line.
func dataOf(rr *dnsq.RR, text string) error {
	l := lexer{file: "edit", src: []byte(text), line: 1}
	var e entry
	var words []word
	for l.next(&e) {
		switch {
		case e.err != nil:
			return errors.New(e.err.Msg)
		case len(e.tokens) > 0 && len(words) > 0:
			return errors.New("more than one line")
		case e.commentAt >= 0:
			return errors.New("a semicolon outside quotes")
		}
		for _, tok := range e.tokens {
			words = append(words, word{text[tok.start:tok.end], tok.quoted, tok.glued})
		}
	}
	if err := parseRData(rr, words, "."); err != nil {
		return errors.New(err.msg)
	}
	return nil
}

// FormatEdit is an edit as lines of a zone file to take out and to put in,
// without TTL (the zone's own applies); "" where the edit has no such side.
func FormatEdit(e diag.Edit) (remove, add string, err error) {
	line := func(text string) (string, error) {
		if text == "" {
			return "", nil
		}
		rr, err := RecordOf(e.Name, e.Type, text)
		if err != nil {
			return "", err
		}
		return ownerWord(fqdn(rr.Name)) + " IN " + rr.Type.String() + " " + FormatData(rr), nil
	}
	if remove, err = line(e.Old); err != nil {
		return "", "", err
	}
	if add, err = line(e.New); err != nil {
		return "", "", err
	}
	return remove, add, nil
}
