package facts

import (
	"net/netip"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// shared is the address space of carrier-grade NAT (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

// Public reports whether the Internet can reach addr. Loopback, private (RFC
// 1918, RFC 4193), shared (RFC 6598), link-local, unspecified and multicast
// addresses are not public (RFC 6890 §2.2). Documentation addresses (RFC 5737,
// RFC 3849) count as public: in examples and in zones that are only tried out
// they stand for public ones.
func Public(addr netip.Addr) bool {
	addr = addr.Unmap()
	return !(addr.IsLoopback() || addr.IsPrivate() || addr.IsUnspecified() || addr.IsMulticast() ||
		addr.IsLinkLocalUnicast() || shared.Contains(addr) ||
		addr.Is4() && (addr.As4()[0] == 0 || addr.As4()[0] >= 240))
}

// Evidence shows a record: its text (RDATA, or the joined strings of a TXT)
// and the octets of it that matter; length 0 is all of it.
func Evidence(rr *dnsq.RR, text string, offset, length int) diag.Evidence {
	e := diag.Evidence{Name: rr.Name, Type: rr.Type.String(), Text: text, Offset: offset, Length: length,
		Source: dnsq.SourceDNS, File: rr.File, Line: rr.Line}
	if rr.File != "" {
		e.Source = dnsq.SourceZone
	}
	return e
}
