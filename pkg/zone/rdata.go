package zone

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/miekg/dns"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// A word is a token of RDATA outside any file: text with escapes, quotes off.
type word struct {
	text   string
	quoted bool
	glued  bool // without a blank behind the word before
}

// rdataError says which word is at fault; at the number of words: the end.
type rdataError struct {
	word int
	msg  string
}

func rdErr(word int, format string, a ...any) *rdataError {
	return &rdataError{word, fmt.Sprintf(format, a...)}
}

// typeOf reads a type that a record can have.
func typeOf(s string) (dnsq.Type, bool) {
	t, err := dnsq.ParseType(strings.ToUpper(s))
	if err != nil || metaType(t) {
		return 0, false
	}
	return t, true
}

// metaType reports whether t is no type of a stored record: 0, OPT, and the
// range that RFC 6895 §3.1 gives to questions and meta-types.
func metaType(t dnsq.Type) bool {
	return t == 0 || t == 41 || 128 <= t && t <= 255 || t == math.MaxUint16
}

// parseRData fills rr's data from words. Types that todoku reads are read
// here, with an exact position for a fault; all others by miekg/dns.
func parseRData(rr *dnsq.RR, words []word, origin string) *rdataError {
	if len(words) == 0 {
		return rdErr(0, "the %s record has no data", rr.Type)
	}
	// RFC 3597 §5: the generic form is allowed for every type.
	if words[0].text == `\#` && !words[0].quoted {
		return parseOther(rr, words, origin)
	}
	exactly := func(n int, what string) *rdataError {
		if len(words) < n {
			return rdErr(len(words), "the %s record ends too early: expected %s", rr.Type, what)
		}
		if len(words) > n {
			return rdErr(n, "too much data for %s: expected %s and nothing behind it", rr.Type, what)
		}
		return nil
	}
	name := func(i int) (string, *rdataError) {
		if words[i].quoted {
			return "", rdErr(i, "a quoted string where %s has a name; names are written without quotes", rr.Type)
		}
		n, err := parseName(words[i].text, origin)
		if err != nil {
			return "", rdErr(i, "%v", err)
		}
		return n, nil
	}
	switch rr.Type {
	case dnsq.TypeA, dnsq.TypeAAAA:
		what := "an IPv4 address such as 192.0.2.1"
		if rr.Type == dnsq.TypeAAAA {
			what = "an IPv6 address such as 2001:db8::1"
		}
		if err := exactly(1, what); err != nil {
			return err
		}
		a, err := netip.ParseAddr(words[0].text)
		if err != nil || a.Zone() != "" || a.Is4() != (rr.Type == dnsq.TypeA) {
			return rdErr(0, "%q is not %s", clip(words[0].text), what)
		}
		rr.Addr = a
	case dnsq.TypeNS, dnsq.TypeCNAME, dnsq.TypeDNAME, dnsq.TypePTR:
		if err := exactly(1, "one name"); err != nil {
			return err
		}
		n, err := name(0)
		if err != nil {
			return err
		}
		rr.Host = n
	case dnsq.TypeMX:
		if err := exactly(2, "a preference and a host name, as in 10 mail.example.com."); err != nil {
			return err
		}
		p, err := strconv.ParseUint(words[0].text, 10, 16)
		if err != nil {
			return rdErr(0, "%q is not a preference: expected a number from 0 to 65535", clip(words[0].text))
		}
		n, rerr := name(1)
		if rerr != nil {
			return rerr
		}
		rr.Pref, rr.Host = uint16(p), n
	case dnsq.TypeTXT, dnsq.TypeSPF:
		// RFC 1035 §3.3.14: one or more character-strings.
		total := 0
		rr.Strings = make([]string, 0, len(words))
		for i, w := range words {
			s, err := unescape(w.text)
			if err != nil {
				return rdErr(i, "%v", err)
			}
			for _, part := range split255(s) {
				total += 1 + len(part)
				rr.Strings = append(rr.Strings, part)
			}
			// RFC 1035 §3.2.1: RDLENGTH has 16 bits.
			if total > math.MaxUint16 {
				return rdErr(i, "the record is longer than 65535 octets")
			}
		}
	case dnsq.TypeSOA:
		if err := exactly(7, "primary server, mail address, serial, refresh, retry, expire, minimum"); err != nil {
			return err
		}
		m, err := name(0)
		if err != nil {
			return err
		}
		r, err := name(1)
		if err != nil {
			return err
		}
		s := &dnsq.SOA{MName: m, RName: r}
		serial, perr := strconv.ParseUint(words[2].text, 10, 32)
		if perr != nil {
			return rdErr(2, "%q is not a serial: expected a number from 0 to 4294967295", clip(words[2].text))
		}
		s.Serial = uint32(serial)
		for i, f := range []*uint32{&s.Refresh, &s.Retry, &s.Expire, &s.Minimum} {
			v, ok := parseTTL(words[3+i].text)
			if !ok {
				return rdErr(3+i, "%q is not a time: expected seconds, or a number with s, m, h, d or w", clip(words[3+i].text))
			}
			*f = v
		}
		rr.SOA = s
	default:
		return parseOther(rr, words, origin)
	}
	return nil
}

// split255 cuts s into character-strings (RFC 1035 §3.3): at most 255 octets,
// at least one string.
func split255(s string) []string {
	if len(s) <= 255 {
		return []string{s}
	}
	var out []string
	for len(s) > 255 {
		out = append(out, s[:255])
		s = s[255:]
	}
	return append(out, s)
}

// parseTTL reads seconds, or BIND's units: "1h", "1h30m". A value over 2^31-1
// is no TTL (RFC 2181 §8).
func parseTTL(s string) (uint32, bool) {
	if s == "" || !digit(s[0]) {
		return 0, false
	}
	var total, n uint64
	number := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		if digit(c) {
			n = n*10 + uint64(c-'0')
			number = true
			if n > math.MaxInt32 {
				return 0, false
			}
			continue
		}
		if !number {
			return 0, false
		}
		switch c | 0x20 {
		case 's':
		case 'm':
			n *= 60
		case 'h':
			n *= 60 * 60
		case 'd':
			n *= 24 * 60 * 60
		case 'w':
			n *= 7 * 24 * 60 * 60
		default:
			return 0, false
		}
		total += n
		n, number = 0, false
		if total > math.MaxInt32 {
			return 0, false
		}
	}
	total += n
	return uint32(total), total <= math.MaxInt32
}

// parseOther reads RDATA with miekg/dns: the types that todoku only hands on,
// and RFC 3597's generic form of any type. The data is packed and unpacked
// once, so that what is kept is what a server would send.
func parseOther(rr *dnsq.RR, words []word, origin string) *rdataError {
	var b strings.Builder
	b.WriteString(". 0 IN ")
	b.WriteString(rr.Type.String())
	for i, w := range words {
		if i == 0 || !w.glued {
			b.WriteByte(' ')
		}
		if w.quoted {
			b.WriteString(`"` + w.text + `"`)
			continue
		}
		b.WriteString(asciiWord(w.text))
	}
	b.WriteByte('\n')
	wire, m, err := miekgParse(b.String(), origin)
	if err != nil {
		return rdErr(0, "not valid data for %s: %v", rr.Type, err)
	}
	if uint16(rr.Type) != m.Header().Rrtype {
		return rdErr(0, "not valid data for %s", rr.Type)
	}
	switch m := m.(type) {
	case *dns.A:
		rr.Addr, _ = netip.AddrFromSlice(m.A.To4())
	case *dns.AAAA:
		rr.Addr, _ = netip.AddrFromSlice(m.AAAA.To16())
	case *dns.NS:
		rr.Host = wireName(m.Ns)
	case *dns.CNAME:
		rr.Host = wireName(m.Target)
	case *dns.DNAME:
		rr.Host = wireName(m.Target)
	case *dns.PTR:
		rr.Host = wireName(m.Ptr)
	case *dns.MX:
		rr.Pref, rr.Host = m.Preference, wireName(m.Mx)
	case *dns.SOA:
		rr.SOA = &dnsq.SOA{MName: wireName(m.Ns), RName: wireName(m.Mbox), Serial: m.Serial,
			Refresh: m.Refresh, Retry: m.Retry, Expire: m.Expire, Minimum: m.Minttl}
		for _, t := range []uint32{m.Refresh, m.Retry, m.Expire, m.Minttl} {
			if t > math.MaxInt32 {
				return rdErr(0, "a time of the SOA record is over 2147483647 seconds")
			}
		}
	case *dns.TXT:
		return setStrings(rr, m.Txt)
	case *dns.SPF:
		return setStrings(rr, m.Txt)
	default:
		// What miekg/dns prints does not always read back to the same octets;
		// the generic form does.
		rr.Data = strings.TrimPrefix(m.String(), m.Header().String())
		again, _, err := miekgParse(". 0 IN "+rr.Type.String()+" "+rr.Data+"\n", ".")
		if err != nil || again != wire {
			rdata := wire[11:]
			rr.Data = strings.TrimSuffix(fmt.Sprintf(`\# %d %s`, len(rdata), hex.EncodeToString([]byte(rdata))), " ")
		}
		return nil
	}
	if (rr.Type == dnsq.TypeA || rr.Type == dnsq.TypeAAAA) && !rr.Addr.IsValid() {
		return rdErr(0, "not a valid address")
	}
	return nil
}

// miekgParse reads one record and returns it as it is on the wire (owner ".",
// so 11 octets of header) and as unpacked from there.
func miekgParse(line, origin string) (wire string, rr dns.RR, err error) {
	// The parser is fed hostile text; it has panicked in the past.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("cannot be read")
		}
	}()
	if origin != "" {
		origin = dns.Fqdn(origin)
	}
	zp := dns.NewZoneParser(strings.NewReader(line), origin, "")
	first, ok := zp.Next()
	if !ok {
		if err := zp.Err(); err != nil {
			// "dns: bad SRV Target: \"x\" at line: 1:20" without the position,
			// which is that of our own line.
			msg := strings.TrimPrefix(err.Error(), "dns: ")
			if i := strings.LastIndex(msg, " at line:"); i >= 0 {
				msg = msg[:i]
			}
			return "", nil, errors.New(msg)
		}
		return "", nil, errors.New("there is none")
	}
	if second, more := zp.Next(); more || second != nil || zp.Err() != nil {
		return "", nil, errors.New("more than one record")
	}
	buf := make([]byte, dns.Len(first)+16)
	n, err := dns.PackRR(first, buf, 0, nil, false)
	if err != nil {
		buf = make([]byte, math.MaxUint16+512)
		if n, err = dns.PackRR(first, buf, 0, nil, false); err != nil {
			return "", nil, errors.New(strings.TrimPrefix(err.Error(), "dns: "))
		}
	}
	if n < 11 {
		return "", nil, errors.New("there is none")
	}
	out, _, err := dns.UnpackRR(buf[:n], 0)
	if err != nil {
		return "", nil, errors.New(strings.TrimPrefix(err.Error(), "dns: "))
	}
	return string(buf[:n]), out, nil
}

// setStrings takes over character-strings that still have escapes.
func setStrings(rr *dnsq.RR, txt []string) *rdataError {
	rr.Strings = nil
	for _, t := range txt {
		s, err := unescape(t)
		if err != nil {
			return rdErr(0, "%v", err)
		}
		rr.Strings = append(rr.Strings, s)
	}
	if len(rr.Strings) == 0 {
		return rdErr(0, "the %s record has no data", rr.Type)
	}
	return nil
}

// wireName is the canonical form of a name that miekg/dns unpacked.
func wireName(s string) string { return dnsq.CanonicalName(s) }

// asciiWord turns a word that is a name in UTF-8 into its A-labels and leaves
// any other alone.
func asciiWord(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			t := dots.Replace(s)
			abs := strings.HasSuffix(t, ".")
			n, err := parseName(strings.TrimSuffix(t, ".")+".", "")
			if err != nil {
				return s
			}
			if abs {
				n += "."
			}
			return n
		}
	}
	return s
}
