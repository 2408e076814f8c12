package render

import (
	"strings"

	"github.com/todoku-mail/todoku/pkg/render/sanitize"
)

// zoneRecord is a record in zone file syntax (RFC 1035 §5.1), absolute name and
// all, in lines of at most width columns where that is possible.
//
// data is as in [diag.Edit]: the joined text for TXT (and the obsolete SPF),
// else presentation format. A TXT record that does not fit goes over several
// lines as RFC 1035 allows it, in parentheses, as several strings. That changes
// nothing for who reads it: SPF, DKIM and DMARC join the strings with nothing
// in between (RFC 7208 §3.3, RFC 6376 §3.6.2.2, RFC 9989 §4.1).
func zoneRecord(name, typ, data string, width int) []string {
	name = sanitize.Text(name)
	if !strings.HasSuffix(name, ".") {
		name += "."
	}
	head := name + " " + sanitize.Text(typ) + " "
	if typ != "TXT" && typ != "SPF" {
		return broken(head+data, width)
	}
	whole := quoted(data, 255, 1<<20)
	if line := head + strings.Join(whole, " "); columns(line) <= width && len(whole) == 1 {
		return []string{line}
	}
	const indent = "    "
	parts := quoted(data, 255, max(width-len(indent)-2, 12))
	out := broken(head+"(", width) // names have up to 253 characters
	for _, p := range parts {
		out = append(out, indent+p)
	}
	out[len(out)-1] += " )"
	return out
}

// broken is text in lines of at most width columns, sanitised.
func broken(text string, width int) []string {
	var out []string
	lines, _ := record(text, 0, 0, width, 1<<16)
	for i, l := range lines {
		if i > 0 {
			l.text = strings.TrimLeft(l.text, " ")
		}
		out = append(out, l.text)
	}
	return out
}

// quoted is data as quoted character-strings of at most most octets (RFC 1035
// §3.3) and width columns with quotes, broken after a blank or ';' if one is
// after the first quarter. Octets that are not printable ASCII become \DDD, so the
// result is plain ASCII whatever data holds.
func quoted(data string, most, width int) []string {
	var out []string
	for len(data) > 0 || out == nil {
		var b strings.Builder
		b.WriteByte('"')
		n, good, goodLen := 0, 0, 0 // octets taken; and where a break is good
		for n < len(data) && n < most {
			var esc string
			switch c := data[n]; {
			case c == '"' || c == '\\':
				esc = `\` + string(rune(c))
			case c < ' ' || c > '~':
				esc = string([]byte{'\\', '0' + c/100, '0' + c/10%10, '0' + c%10})
			default:
				esc = string(rune(c))
			}
			if b.Len()+len(esc)+1 > width && n > 0 {
				break
			}
			b.WriteString(esc)
			n++
			if data[n-1] == ' ' || data[n-1] == ';' {
				good, goodLen = n, b.Len()
			}
		}
		s := b.String()
		if n < len(data) && good > n/4 {
			n, s = good, s[:goodLen]
		}
		out = append(out, s+`"`)
		data = data[n:]
	}
	return out
}
