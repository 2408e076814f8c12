package zone

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

var errNoOrigin = errors.New("the name is relative and the file does not say to what: put $ORIGIN first or a final dot, or name the zone with FILE@ORIGIN")

// ideographic full stops separate labels too (RFC 3490 §3.1, UTS 46).
var dots = strings.NewReplacer("\u3002", ".", "\uff0e", ".", "\uff61", ".")

// parseName reads a name as zone files spell it (RFC 1035 §5.1): relative to
// origin ("" if none is known) unless it ends in a dot, "@" for the origin,
// \X and \DDD for odd octets, U-labels in UTF-8. The result is canonical.
func parseName(s, origin string) (string, error) {
	switch s {
	case "@":
		if origin == "" {
			return "", errNoOrigin
		}
		return origin, nil
	case ".":
		return ".", nil
	case "":
		return "", errors.New("the name is empty")
	}
	plain := true // no escape, nothing that is escaped in a canonical name
	ascii := true
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= utf8.RuneSelf:
			ascii, plain = false, false
		case c <= ' ', c == 0x7f, strings.IndexByte(`\'"@;()`, c) >= 0:
			plain = false
		}
	}
	if !ascii {
		if !utf8.ValidString(s) {
			return "", fmt.Errorf("the name %q is not ASCII and not valid UTF-8 either", s)
		}
		s = dots.Replace(s)
	}
	absolute := false
	if s[len(s)-1] == '.' && !escaped(s, len(s)-1) {
		absolute = true
		s = s[:len(s)-1]
	}
	if plain {
		n := 0
		for i := 0; i <= len(s); i++ {
			if i < len(s) && s[i] != '.' {
				n++
				continue
			}
			if err := labelLen(s, n); err != nil {
				return "", err
			}
			n = 0
		}
		s = dnsq.CanonicalName(s)
	} else {
		var out []string
		for _, l := range splitLabels(s) {
			a, err := canonicalLabel(l)
			if err != nil {
				return "", err
			}
			out = append(out, a)
		}
		s = strings.Join(out, ".")
	}
	if !absolute {
		switch origin {
		case "":
			return "", errNoOrigin
		case ".":
		default:
			s += "." + origin
		}
	}
	// RFC 1035 §2.3.4: 255 octets on the wire.
	if n := wireLen(s); n > 255 {
		return "", fmt.Errorf("the name %q takes %d octets; a name has at most 255 (RFC 1035 §2.3.4)", clip(s), n)
	}
	return s, nil
}

func labelLen(name string, n int) error {
	switch {
	case n == 0:
		return fmt.Errorf("the name %q has an empty label (two dots in a row, or one at the start)", clip(name))
	case n > dnsq.MaxLabel:
		return fmt.Errorf("a label of the name %q has %d octets; a label has at most %d (RFC 1035 §2.3.4)", clip(name), n, dnsq.MaxLabel)
	}
	return nil
}

// splitLabels splits at unescaped dots, empty labels included.
func splitLabels(s string) []string {
	if s == "" || s == "." {
		return strings.Split(s, ".")
	}
	return dnsq.Labels(s)
}

// canonicalLabel is a label of a zone file in canonical form: A-label if it is
// not ASCII, escapes undone and made anew, lower case. The result may be
// several labels if UTS 46 maps a character to a dot.
func canonicalLabel(l string) (string, error) {
	for i := 0; i < len(l); i++ {
		if l[i] >= utf8.RuneSelf {
			return dnsq.ParseName(l)
		}
	}
	raw, err := unescape(l)
	if err != nil {
		return "", err
	}
	if err := labelLen(l, len(raw)); err != nil {
		return "", err
	}
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case 'A' <= c && c <= 'Z':
			b.WriteByte(c + 'a' - 'A')
		case strings.IndexByte(` .'"@;()\`, c) >= 0:
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, "\\%03d", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

// unescape undoes \X and \DDD (RFC 1035 §5.1).
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		i++
		switch {
		case i == len(s):
			return "", errors.New("a backslash with nothing behind it; write \\\\ for a backslash")
		case !digit(s[i]):
			b = append(b, s[i])
		case i+2 < len(s) && digit(s[i+1]) && digit(s[i+2]):
			n := int(s[i]-'0')*100 + int(s[i+1]-'0')*10 + int(s[i+2]-'0')
			if n > 255 {
				return "", fmt.Errorf("%q is no octet: after a backslash come three digits up to 255", s[i-1:i+3])
			}
			b = append(b, byte(n))
			i += 2
		default:
			return "", errors.New("a backslash and a digit: three digits are expected, as in \\034")
		}
	}
	return string(b), nil
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// escaped reports whether the octet at i has an odd number of backslashes before it.
func escaped(s string, i int) bool {
	n := 0
	for i--; i >= 0 && s[i] == '\\'; i-- {
		n++
	}
	return n%2 == 1
}

// wireLen is the number of octets a canonical name takes on the wire.
func wireLen(name string) int {
	if name == "." {
		return 1
	}
	n := 2 // the first length octet and the root
	for i := 0; i < len(name); i++ {
		if name[i] == '\\' {
			i++
			if i < len(name) && digit(name[i]) {
				i += 2
			}
		}
		n++
	}
	return n
}

// clip shortens hostile text for a message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
