package ptr

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// There is no standard for what a reverse name must look like. Receivers tell
// "a name that the access provider made up for the address" from "a name that
// somebody gave to a server" by patterns, and these are the ones they publish:
//
//   - the address inside the name, in decimal or hex, forwards or backwards
//     (SpamAssassin rule RDNS_DYNAMIC: names with "strings of numbers";
//     draft-msullivan-dnsop-generic-naming-schemes-00 §3 shows the forms)
//   - words for access networks (the same two sources; Yahoo's sender best
//     practices and docs of GMX refuse "generic-looking" or dynamic names)
//
// Read on 2026-11-22:
//
//	https://cwiki.apache.org/confluence/display/SPAMASSASSIN/Rules/RDNS_DYNAMIC
//	https://datatracker.ietf.org/doc/html/draft-msullivan-dnsop-generic-naming-schemes-00
//	https://senders.yahooinc.com/best-practices/
//
// A word counts only as a whole part of a host label, never in the last two
// labels: mail.generaldynamics.com and mx.dynamic.example are names of owners.
var accessWords = map[string]bool{
	"dynamic": true, "dyn": true, "dynip": true, "dynamicip": true, "dhcp": true,
	"pool": true, "pools": true, "ppp": true, "pppoe": true,
	"dialup": true, "dial": true, "dialin": true, "dip": true,
	"dsl": true, "adsl": true, "vdsl": true, "sdsl": true, "xdsl": true,
	"cable": true, "catv": true, "cablemodem": true, "ftth": true, "fiber": true, "fttx": true, "flets": true,
	"broadband": true, "residential": true, "res": true, "home": true, "hsd": true,
	"customer": true, "customers": true, "cust": true, "client": true, "clients": true, "subscriber": true,
	"unassigned": true, "unused": true, "generic": true, "nat": true, "wireless": true, "mobile": true,
}

// roleWord is a first label that names a mail server: with it, an address
// further on in the name is the owner's numbering (mail-203-0-113-9.example.com).
var roleWord = regexp.MustCompile(`^(mail|mx|mta|smtp|relay|out|outbound|send|sender|email|mailer|mout|mailout|postfix|exim)[0-9]*([-.]|$)`)

// generic says whether a reverse name looks made up for the address, and by
// which sign: "address" (the address is in the name) or "word" (its args: the
// word). Names that carry a mail server's role in front are not generic.
func generic(name string, ip netip.Addr) (sign, part string) {
	name = dnsq.CanonicalName(name)
	if roleWord.MatchString(name) {
		return "", ""
	}
	host := hostPart(name)
	if p := addressIn(host, ip.Unmap()); p != "" {
		return "address", p
	}
	for _, w := range strings.FieldsFunc(host, func(r rune) bool { return r < 'a' || r > 'z' }) {
		// A word alone may be a person's choice ("home.example.org" is cut off
		// by hostPart); with a number beside it, it is an access network's.
		if accessWords[w] && strings.ContainsAny(host, "0123456789") {
			return "word", w
		}
	}
	return "", ""
}

// hostPart is name without its last two labels: what names a host.
func hostPart(name string) string {
	l := dnsq.Labels(name)
	if len(l) <= 2 {
		return ""
	}
	return strings.Join(l[:len(l)-2], ".")
}

// addressIn returns the part of host that spells the address, or "".
func addressIn(host string, ip netip.Addr) string {
	for _, p := range spellings(ip) {
		if i := strings.Index(host, p); i >= 0 {
			// Not in the middle of a longer number: 1-2-3-45 does not hold 1-2-3-4.
			if edge(host, i-1, p[0]) && edge(host, i+len(p), p[len(p)-1]) {
				return p
			}
		}
	}
	return ""
}

// edge reports whether the octet at i does not continue a number that c is in.
func edge(s string, i int, c byte) bool {
	if i < 0 || i >= len(s) {
		return true
	}
	isHex := func(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' }
	if c >= '0' && c <= '9' {
		return s[i] < '0' || s[i] > '9'
	}
	return !isHex(s[i])
}

// spellings are the ways in which networks write an address into a name.
func spellings(ip netip.Addr) []string {
	var out []string
	if ip.Is4() {
		b := ip.As4()
		for _, o := range [][4]byte{{b[0], b[1], b[2], b[3]}, {b[3], b[2], b[1], b[0]}} {
			for _, sep := range []string{"-", ".", "_", "x"} {
				out = append(out,
					fmt.Sprintf("%d%s%d%s%d%s%d", o[0], sep, o[1], sep, o[2], sep, o[3]),
					fmt.Sprintf("%03d%s%03d%s%03d%s%03d", o[0], sep, o[1], sep, o[2], sep, o[3]))
			}
			out = append(out, fmt.Sprintf("%03d%03d%03d%03d", o[0], o[1], o[2], o[3]), hex.EncodeToString(o[:]))
		}
		return out
	}
	b := ip.As16()
	full := hex.EncodeToString(b[:])
	groups := make([]string, 8)
	for i := range groups {
		groups[i] = full[4*i : 4*i+4]
	}
	for _, sep := range []string{"-", ".", "_"} {
		out = append(out, strings.Join(groups, sep))
		short := make([]string, 8)
		for i, g := range groups {
			if short[i] = strings.TrimLeft(g, "0"); short[i] == "" {
				short[i] = "0"
			}
		}
		out = append(out, strings.Join(short, sep))
	}
	// The shortest text of RFC 5952 with its colons replaced.
	text := ip.String()
	out = append(out, full, strings.ReplaceAll(text, ":", "-"), strings.ReplaceAll(text, "::", "--"))
	// Reversed nibbles, as in ip6.arpa itself.
	out = append(out, dnsq.ReverseLabels(ip), strings.ReplaceAll(dnsq.ReverseLabels(ip), ".", ""))
	return out
}
