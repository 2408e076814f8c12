package dnsq

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Limits of RFC 1035 §2.3.4. A name's 255 octets on the wire are 253
// characters in presentation form without the trailing dot.
const (
	MaxLabel = 63
	MaxName  = 253
)

// profile maps and checks one label that is not ASCII: UTS 46 mapping for
// look-up, the Bidi rule, and no STD3 restriction (underscores are common).
var profile = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false))

// dots are the four characters that separate labels (RFC 3490 §3.1, UTS 46).
var dots = strings.NewReplacer("\u3002", ".", "\uff0e", ".", "\uff61", ".")

// ParseName reads a domain name that a person typed: any case, U-labels or
// A-labels, ideographic full stops, a trailing dot, underscores. The result is
// canonical. The error is one line for that person: it names the value, what
// was expected and what to do.
func ParseName(s string) (string, error) {
	fail := func(format string, a ...any) (string, error) {
		return "", fmt.Errorf("%q is not a domain name: %s", s, fmt.Sprintf(format, a...))
	}
	if !utf8.ValidString(s) {
		return fail("it is not valid UTF-8; type it as text such as example.com")
	}
	t := strings.TrimSuffix(dots.Replace(s), ".")
	switch {
	case t == "":
		return fail("it is empty; give a name such as example.com")
	case strings.Contains(t, "@"):
		return fail("it holds an @; give only the part after it")
	case strings.Contains(t, "://") || strings.Contains(t, "/"):
		return fail("it looks like a URL; give only the host name in it")
	}
	if _, err := netip.ParseAddr(strings.Trim(t, "[]")); err == nil {
		return fail("it is an IP address; give the name here and the address with --ip")
	}
	labels := strings.Split(t, ".")
	for i, l := range labels {
		if l == "" {
			return fail("it has an empty label (two dots in a row, or one at the start)")
		}
		a, err := labelToASCII(l)
		if err != nil {
			return fail("label %q: %v", l, err)
		}
		if a == "" {
			// UTS 46 maps some characters (U+200B, U+00AD) to nothing.
			return fail("label %q holds only characters that an internationalised name ignores", l)
		}
		if len(a) > MaxLabel {
			return fail("label %q is %d characters long; a label has at most %d (RFC 1035 §2.3.4)", a, len(a), MaxLabel)
		}
		labels[i] = a
	}
	name := strings.Join(labels, ".")
	if len(name) > MaxName {
		return fail("it is %d characters long; a name has at most %d (RFC 1035 §2.3.4)", len(name), MaxName)
	}
	return name, nil
}

func labelToASCII(l string) (string, error) {
	ascii := true
	for i := 0; i < len(l); i++ {
		if l[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if !ascii {
		a, err := profile.ToASCII(l)
		if err != nil {
			return "", errors.New("it holds characters that an internationalised name cannot have (RFC 5891, UTS 46)")
		}
		l = a // mapping can yield any ASCII (full-width forms): checked below like the rest
	}
	l = strings.ToLower(l)
	for i := 0; i < len(l); i++ {
		switch c := l[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return "", fmt.Errorf("%q is not allowed; use letters, digits, '-' and '_'", rune(c))
		}
	}
	if strings.HasPrefix(l, "xn--") {
		if _, err := profile.ToUnicode(l); err != nil {
			return "", errors.New("it starts with xn-- but is no valid Punycode (RFC 3492)")
		}
	}
	return l, nil
}

// CanonicalName is the canonical spelling of a name in presentation format
// that is already ASCII: lower case, no trailing dot, "." for the root. It
// checks nothing; names of DNS data and of our own code go through it.
func CanonicalName(s string) string {
	if n := len(s); n > 0 && s[n-1] == '.' && !escapedAt(s, n-1) {
		s = s[:n-1]
	}
	if s == "" {
		return "."
	}
	for i := 0; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return asciiLower(s)
		}
	}
	return s
}

func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// escapedAt reports whether the octet at i is escaped by a backslash.
func escapedAt(s string, i int) bool {
	n := 0
	for i--; i >= 0 && s[i] == '\\'; i-- {
		n++
	}
	return n%2 == 1
}

// NameOfRaw makes a canonical name of text that comes from a record's macro or
// from an address: labels of any octets, separated by dots, one trailing dot
// allowed. Octets that have a meaning in presentation format are escaped, in the
// same way as names off the wire (miekg/dns) are. ok
// is false if a label is empty or over 63 octets or the name over 255: such a
// name cannot be asked.
func NameOfRaw(raw string) (name string, ok bool) {
	raw = strings.TrimSuffix(raw, ".")
	if raw == "" {
		return "", false
	}
	var b strings.Builder
	wire := 1
	for i, label := range strings.Split(raw, ".") {
		if label == "" || len(label) > MaxLabel {
			return "", false
		}
		wire += 1 + len(label)
		if i > 0 {
			b.WriteByte('.')
		}
		for j := 0; j < len(label); j++ {
			switch c := label[j]; {
			case 'A' <= c && c <= 'Z':
				b.WriteByte(c + 'a' - 'A')
			case strings.IndexByte(` '"@;()\`, c) >= 0:
				b.WriteByte('\\')
				b.WriteByte(c)
			case c < ' ' || c > '~':
				fmt.Fprintf(&b, "\\%03d", c)
			default:
				b.WriteByte(c)
			}
		}
	}
	if wire > 255 {
		return "", false
	}
	return b.String(), true
}

// Labels splits a canonical name at its unescaped dots; the root has none.
func Labels(name string) []string {
	if name == "." || name == "" {
		return nil
	}
	var out []string
	start := 0
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '\\':
			i++
		case '.':
			out = append(out, name[start:i])
			start = i + 1
		}
	}
	return append(out, name[start:])
}

// Parent is the name without its first label; the parent of a single label,
// and of the root, is the root.
func Parent(name string) string {
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '\\':
			i++
		case '.':
			if i+1 < len(name) {
				return name[i+1:]
			}
		}
	}
	return "."
}

// AtOrBelow reports whether name is zone or a name below it.
func AtOrBelow(name, zone string) bool {
	if zone == "." || name == zone {
		return true
	}
	i := len(name) - len(zone)
	return i > 0 && name[i-1] == '.' && !escapedAt(name, i-1) && name[i:] == zone
}

// Join is sub below name ("_dmarc", "example.com"); either may be "" or ".".
func Join(sub, name string) string {
	switch {
	case sub == "" || sub == ".":
		return CanonicalName(name)
	case name == "" || name == ".":
		return CanonicalName(sub)
	}
	return CanonicalName(sub + "." + name)
}

// ReverseName is the name whose PTR records name addr: in-addr.arpa (RFC 1035
// §3.5) or ip6.arpa (RFC 3596 §2.5). An IPv4-mapped address is its IPv4 one.
func ReverseName(addr netip.Addr) string { return ReverseLabels(addr) + reverseSuffix(addr) }

func reverseSuffix(addr netip.Addr) string {
	if addr.Unmap().Is4() {
		return ".in-addr.arpa"
	}
	return ".ip6.arpa"
}

// ReverseLabels is addr as reversed labels without a suffix, as DNS blocklists
// use them too (RFC 5782 §2.1, §2.4): "1.2.0.192", or 32 nibbles.
func ReverseLabels(addr netip.Addr) string {
	addr = addr.Unmap()
	if addr.Is4() {
		b := addr.As4()
		return fmt.Sprintf("%d.%d.%d.%d", b[3], b[2], b[1], b[0])
	}
	const hex = "0123456789abcdef"
	b := addr.As16()
	out := make([]byte, 0, 63)
	for i := 15; i >= 0; i-- {
		if len(out) > 0 {
			out = append(out, '.')
		}
		out = append(out, hex[b[i]&15], '.', hex[b[i]>>4])
	}
	return string(out)
}

// Display is name as people read it: "xn--r8jz45g.jp" is "例え.jp (xn--r8jz45g.jp)",
// anything else is unchanged. It does not sanitise: renderers do.
func Display(name string) string {
	if !strings.Contains(name, "xn--") {
		return name
	}
	u := ToUnicode(name)
	if u == name {
		return name
	}
	return u + " (" + name + ")"
}

// ToUnicode is name with its A-labels as U-labels where they are valid.
func ToUnicode(name string) string {
	labels := Labels(name)
	for i, l := range labels {
		if strings.HasPrefix(l, "xn--") {
			if u, err := profile.ToUnicode(l); err == nil {
				labels[i] = u
			}
		}
	}
	return strings.Join(labels, ".")
}
