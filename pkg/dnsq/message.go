package dnsq

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// Reading a reply is done by hand, record by record, for three reasons. A
// library that stops quietly where the octets end makes an empty answer section
// of a reply that was cut, and an empty answer section means "no such record".
// Records that have nothing to do with the question are skipped instead of
// decoded, so a broken one cannot spoil an answer and a planted one cannot join
// it. And TXT strings stay the octets that they are, without the escapes of zone
// files.

// The header of RFC 1035 §4.1.1.
const (
	headerLen = 12

	flagQR     = 1 << 15
	maskOpcode = 15 << 11
	flagAA     = 1 << 10
	flagTC     = 1 << 9
	flagRD     = 1 << 8
	flagRA     = 1 << 7
	flagAD     = 1 << 5
	maskRcode  = 15

	classIN  = 1
	typeOPT  = 41
	typeANY  = 255
	maxWire  = 255 // octets of a name, RFC 1035 §2.3.4
	ednsSize = 1232

	maxChain = 32 // CNAMEs followed in one reply
	maxEDE   = 8  // extended errors kept of one reply
	maxText  = 256
)

// A query is a question in wire format.
type query struct {
	wire []byte
	end  int    // where the question section ends
	name string // as read back off the wire
	t    Type
	edns bool
}

// newQuery packs q. The error says why a name cannot be asked.
func newQuery(q Question, edns bool) (query, error) {
	b := make([]byte, headerLen+maxWire+1+4+11)
	// RD: we ask resolvers. AD in a question: "I understand AD in the reply"
	// (RFC 6840 §5.7), which makes validating resolvers set it without sending
	// signatures that DO would ask for.
	binary.BigEndian.PutUint16(b[2:], flagRD|flagAD)
	binary.BigEndian.PutUint16(b[4:], 1)
	off, ok := packName(q.Name, b)
	if !ok {
		return query{}, errors.New("the name cannot be asked: a label is empty or longer than 63 octets, or the name longer than 255 (RFC 1035 §2.3.4)")
	}
	for i := headerLen; i < off; i++ {
		if c := b[i]; 'A' <= c && c <= 'Z' { // lengths are at most 63: below 'A'
			b[i] = c + 'a' - 'A'
		}
	}
	name := q.Name
	if strings.IndexByte(name, '\\') >= 0 {
		// Escapes have several spellings; replies have one. The chain starts at theirs.
		if s, _, err := dns.UnpackDomainName(b, headerLen); err == nil {
			name = CanonicalName(s)
		}
	}
	binary.BigEndian.PutUint16(b[off:], uint16(q.Type))
	binary.BigEndian.PutUint16(b[off+2:], classIN)
	end := off + 4
	n := end
	if edns {
		// RFC 6891 §6.1.2: root, OPT, payload size, extended RCODE and version
		// and flags 0, no options. 1232 octets are what crosses every path
		// unfragmented (1280 of IPv6 less headers); DNS Flag Day 2020.
		binary.BigEndian.PutUint16(b[n+1:], typeOPT)
		binary.BigEndian.PutUint16(b[n+3:], ednsSize)
		n += 11
		binary.BigEndian.PutUint16(b[10:], 1)
	}
	return query{wire: b[:n], end: end, name: name, t: q.Type, edns: edns}, nil
}

// packName packs name after the header.
func packName(name string, b []byte) (off int, ok bool) {
	if name == "." {
		b[headerLen] = 0
		return headerLen + 1, true
	}
	if strings.IndexByte(name, '\\') >= 0 {
		off, err := dns.PackDomainName(name+".", b, headerLen, nil, false)
		return off, err == nil && off-headerLen <= maxWire && !badEscape(name)
	}
	off = headerLen
	for start := 0; start <= len(name); {
		n := strings.IndexByte(name[start:], '.')
		if n < 0 {
			n = len(name) - start
		}
		if n == 0 || n > MaxLabel || off-headerLen+1+n+1 > maxWire {
			return 0, false
		}
		b[off] = byte(n)
		copy(b[off+1:], name[start:start+n])
		off += 1 + n
		start += n + 1
	}
	b[off] = 0
	return off + 1, true
}

// badEscape reports whether name has a \DDD above 255, which the packer would
// take for another octet: a question that nobody asked.
func badEscape(name string) bool {
	for i := strings.IndexByte(name, '\\'); i >= 0 && i < len(name); i++ {
		if name[i] != '\\' {
			continue
		}
		if i+3 < len(name) {
			if n, err := strconv.ParseUint(name[i+1:i+4], 10, 16); err == nil && n > 255 {
				return true
			}
		}
		i++
	}
	return false
}

func (q *query) setID(id uint16) { binary.BigEndian.PutUint16(q.wire, id) }

// matches reports whether reply can be the reply to q. RFC 5452 §9.1: the ID,
// the question's name, type and class; the source address is the socket's
// business. It reads only the header and the question.
func (q *query) matches(reply []byte) bool {
	if len(reply) < headerLen || reply[0] != q.wire[0] || reply[1] != q.wire[1] {
		return false
	}
	flags := binary.BigEndian.Uint16(reply[2:])
	if flags&flagQR == 0 || flags&maskOpcode != 0 {
		return false
	}
	switch binary.BigEndian.Uint16(reply[4:]) {
	case 0:
		// Servers that do not understand a message may answer with the header
		// alone. Such a reply can only say that there is no answer, so taking it
		// decides nothing: without a question no reply is ever an Answer.
		rcode := flags & maskRcode
		return rcode != dns.RcodeSuccess && rcode != dns.RcodeNameError
	case 1:
	default:
		return false
	}
	if len(reply) < q.end {
		return false
	}
	for i := headerLen; i < q.end; i++ {
		c, d := reply[i], q.wire[i]
		if c != d && !(i < q.end-4 && 'A' <= c && c <= 'Z' && c+'a'-'A' == d) {
			return false
		}
	}
	return true
}

// A fault is why a reply (or the lack of one) teaches nothing.
type fault struct {
	reason Reason
	detail string
	ede    []string
	rcode  int // of a reply that says so itself, else 0
	err    error
}

func faultf(r Reason, format string, a ...any) *fault {
	return &fault{reason: r, detail: fmt.Sprintf(format, a...)}
}

// A record is one record of a reply, RDATA not read yet.
type record struct {
	name     string
	typ      uint16
	class    uint16
	ttl      uint32
	at       int // where the record starts
	off, end int // where its RDATA is
}

// A message is a reply, sections taken apart.
type message struct {
	b      []byte
	flags  uint16
	rcode  int // with the upper bits of EDNS
	answer []record
	soa    []record // of the authority section
	ns     bool     // the authority section has NS records
	edns   bool
	ede    []string
	policy string // the extended error that says that the answer is not the DNS's
}

var errCut = errors.New("it ends in the middle")

// readMessage takes apart a reply that matches q.
func readMessage(b []byte, q *query) (*message, error) {
	m := &message{b: b, flags: binary.BigEndian.Uint16(b[2:])}
	m.rcode = int(m.flags & maskRcode)
	off := headerLen
	if binary.BigEndian.Uint16(b[4:]) == 1 {
		off = q.end
	}
	var err error
	var r record
	count := func(i int) int { return int(binary.BigEndian.Uint16(b[i:])) }
	for range count(6) {
		if r, off, err = readRecord(b, off, q); err != nil {
			return nil, err
		}
		if r.class == classIN {
			m.answer = append(m.answer, r)
		}
	}
	for range count(8) {
		if r, off, err = readRecord(b, off, q); err != nil {
			return nil, err
		}
		switch {
		case r.class != classIN:
		case r.typ == uint16(TypeSOA):
			m.soa = append(m.soa, r)
		case r.typ == uint16(TypeNS):
			m.ns = true
		}
	}
	for range count(10) {
		if r, off, err = readRecord(b, off, q); err != nil {
			return nil, err
		}
		// RFC 6891 §6.1.1: one OPT at most, owned by the root. Of several the
		// first counts; nothing that decides an answer depends on it but RCODE.
		if r.typ == typeOPT && !m.edns {
			m.edns = true
			m.rcode |= int(r.ttl>>24) << 4
			m.ede, m.policy = readEDE(b[r.off:r.end])
		}
	}
	return m, nil
}

func readRecord(b []byte, off int, q *query) (record, int, error) {
	r := record{at: off}
	if off+2 <= len(b) && b[off] == 0xc0 && b[off+1] == headerLen && q.end > headerLen && binary.BigEndian.Uint16(b[4:]) == 1 {
		r.name = q.name // the usual pointer to the question
		off += 2
	} else {
		var err error
		if r.name, off, err = readName(b, off); err != nil {
			return r, off, err
		}
	}
	if off+10 > len(b) {
		return r, off, errCut
	}
	r.typ = binary.BigEndian.Uint16(b[off:])
	r.class = binary.BigEndian.Uint16(b[off+2:])
	r.ttl = binary.BigEndian.Uint32(b[off+4:])
	r.off = off + 10
	r.end = r.off + int(binary.BigEndian.Uint16(b[off+8:]))
	if r.end > len(b) {
		return r, off, errCut
	}
	if r.typ != typeOPT && r.ttl > 1<<31-1 {
		r.ttl = 0 // RFC 2181 §8
	}
	return r, r.end, nil
}

func readName(b []byte, off int) (string, int, error) {
	if off >= len(b) {
		return "", off, errCut
	}
	s, end, err := dns.UnpackDomainName(b, off)
	if err != nil {
		return "", off, errors.New("a name in it cannot be read")
	}
	return CanonicalName(s), end, nil
}

// readEDE reads the extended DNS errors (option 15, RFC 8914 §2) of an OPT
// record. Options that do not fit are left out: they decide nothing.
func readEDE(b []byte) (out []string, policy string) {
	for len(b) >= 4 && len(out) < maxEDE {
		code, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		b = b[4:]
		if n > len(b) {
			break
		}
		if code == dns.EDNS0EDE && n >= 2 {
			info := binary.BigEndian.Uint16(b)
			// RFC 8914 §2: the text may or may not end with a NUL.
			text := strings.TrimRight(string(b[2:n]), "\x00")
			if len(text) > maxText {
				text = text[:maxText]
			}
			s := formatEDE(info, text)
			out = append(out, s)
			switch info {
			case dns.ExtendedErrorCodeForgedAnswer, dns.ExtendedErrorCodeBlocked, dns.ExtendedErrorCodeCensored, dns.ExtendedErrorCodeFiltered:
				if policy == "" {
					policy = s
				}
			}
		}
		b = b[n:]
	}
	return out, policy
}

func formatEDE(code uint16, text string) string {
	s := strconv.Itoa(int(code))
	if name := dns.ExtendedErrorCodeToString[code]; name != "" {
		s += " " + name
	}
	if text != "" {
		s += ": " + text
	}
	return s
}

// A step is what one reply says about a name.
type step struct {
	outcome Outcome // 0: the chain leads to a name that has to be asked for
	name    string  // the end of the chain
	rrs     []RR
	chain   []string
	ttl     uint32
	noTTL   bool // an absence without SOA
}

// interpret says what m says about (name, t). before holds the names of the
// chain so far, the question's first.
func (m *message) interpret(name string, t Type, before []string) (step, *fault) {
	s := step{name: name, ttl: 1<<31 - 1}
	switch m.rcode {
	case dns.RcodeSuccess, dns.RcodeNameError:
	case dns.RcodeServerFailure:
		return s, &fault{reason: ServFail, ede: m.ede, rcode: m.rcode}
	case dns.RcodeRefused:
		return s, &fault{reason: Refused, ede: m.ede, rcode: m.rcode}
	default:
		// FORMERR, NOTIMP, YXDOMAIN, NOTAUTH, BADVERS and whatever comes: "I
		// could not", and which it was goes into the detail.
		n := dns.RcodeToString[m.rcode]
		if n == "" {
			n = "RCODE" + strconv.Itoa(m.rcode)
		}
		return s, &fault{reason: ServFail, detail: n, ede: m.ede, rcode: m.rcode}
	}
	// RFC 8914 §4.5, §4.16 to §4.18 (Forged Answer, Blocked, Censored, Filtered):
	// what the reply holds, NXDOMAIN most often, is the server's policy and not
	// what the domain published. Common on filtering public resolvers.
	if m.policy != "" {
		return s, &fault{reason: Refused, detail: "the server's own policy made up the answer", ede: m.ede}
	}
	for {
		rrs, err := m.records(s.name, t)
		if err != nil {
			return s, faultf(Malformed, "%v", err)
		}
		if len(rrs) > 0 {
			// RFC 2308 §2.1 and RFC 6604 §3: the RCODE is about the end of the
			// chain, so NXDOMAIN contradicts records there. Which half is true
			// cannot be known. A CNAME that was asked for need not be the end:
			// below a DNAME unbound answers with the CNAME and the RCODE of its
			// target.
			if m.rcode == dns.RcodeNameError && t != TypeCNAME {
				return s, faultf(Malformed, "NXDOMAIN together with records for %s", s.name)
			}
			s.outcome, s.rrs = Found, rrs
			for _, rr := range rrs {
				s.ttl = min(s.ttl, rr.TTL)
			}
			return s, nil
		}
		target, ttl, err := m.follow(s.name)
		if err != nil {
			return s, faultf(Malformed, "%v", err)
		}
		if target == "" {
			break
		}
		// RFC 1034 §3.6.2: a CNAME chain may not loop; §5.2.2: resolvers must
		// notice when it does.
		for _, n := range before {
			if n == target {
				return s, faultf(Malformed, "CNAME loop: %s leads back to %s", s.name, target)
			}
		}
		before = append(before[:len(before):len(before)], target)
		s.name, s.ttl = target, min(s.ttl, ttl)
		s.chain = append(s.chain, target)
		if len(s.chain) > maxChain {
			return s, faultf(Malformed, "a chain of more than %d CNAMEs", maxChain)
		}
	}
	soa, err := m.negativeTTL(s.name)
	if err != nil {
		return s, faultf(Malformed, "%v", err)
	}
	if soa >= 0 {
		s.ttl = min(s.ttl, uint32(soa))
	} else {
		s.noTTL = true
	}
	switch {
	case m.rcode == dns.RcodeNameError:
		s.outcome = NXDomain
	case soa >= 0:
		// RFC 2308 §2.2: NOERROR, no records of the type, an SOA of a zone that
		// the name is in.
		s.outcome = NoData
	case len(s.chain) > 0:
		// The server led us to a name and said nothing about it: it does not
		// chase (an authoritative server, at a target outside its zones), or it
		// leaves the SOA out. Asking for the target settles which.
	case m.ns:
		// RFC 2308 §2.2: NS without SOA in the authority section is a referral,
		// not NODATA. We do not walk down from it: the server was to do that.
		return s, &fault{reason: Refused, detail: "referral: server does not recurse", ede: m.ede}
	case m.flags&(flagRA|flagAA) == 0:
		// RFC 2308 §2.2 allows NODATA without SOA ("type 3"). From a server that
		// neither recurses nor has the zone it is nothing but silence.
		return s, &fault{reason: Refused, detail: "empty reply: server neither recurses nor has the zone", ede: m.ede}
	default:
		s.outcome = NoData
	}
	return s, nil
}

// records are the records of type t at name. Identical ones are one record:
// RFC 2181 §5 has no duplicates in a set, and a server that repeats itself must
// not turn one SPF record into two.
func (m *message) records(name string, t Type) ([]RR, error) {
	var out []RR
	var seen map[string]bool
	for i := range m.answer {
		r := &m.answer[i]
		if r.typ != uint16(t) && t != typeANY || r.name != name {
			continue
		}
		rr, err := m.decode(r)
		if err != nil {
			return nil, err
		}
		if len(m.answer) > 1 {
			k := rr.key()
			if seen[k] {
				continue
			}
			if seen == nil {
				seen = make(map[string]bool)
			}
			seen[k] = true
		}
		out = append(out, rr)
	}
	return out, nil
}

// follow is the name that a CNAME at name, or a DNAME above it, leads to.
func (m *message) follow(name string) (target string, ttl uint32, err error) {
	for i := range m.answer {
		r := &m.answer[i]
		if r.typ != uint16(TypeCNAME) || r.name != name {
			continue
		}
		rr, err := m.decode(r)
		if err != nil {
			return "", 0, err
		}
		// RFC 2181 §10.1: one CNAME at most. BIND refuses such a zone, other
		// servers answer in turns: which one a receiver follows is chance, so
		// there is no one truth to report.
		if target != "" && target != rr.Host {
			return "", 0, fmt.Errorf("several CNAME records at %s (RFC 2181 §10.1)", name)
		}
		target, ttl = rr.Host, r.ttl
	}
	if target != "" {
		return target, ttl, nil
	}
	// RFC 6672 §3.1: the server adds the CNAME that a DNAME stands for; that
	// was taken above. Where it is missing the substitution of §2.2 is ours.
	for i := range m.answer {
		r := &m.answer[i]
		if r.typ != uint16(TypeDNAME) || r.name == name || !AtOrBelow(name, r.name) {
			continue
		}
		rr, err := m.decode(r)
		if err != nil {
			return "", 0, err
		}
		sub := name
		if r.name != "." {
			sub = name[:len(name)-len(r.name)-1]
		}
		target = Join(sub, rr.Host)
		if _, err := newQuery(Question{Name: target}, false); err != nil {
			return "", 0, fmt.Errorf("the DNAME at %s makes a name that is too long (RFC 6672 §2.2)", r.name)
		}
		return target, r.ttl, nil
	}
	return "", 0, nil
}

// negativeTTL is min(TTL, MINIMUM) of the SOA of a zone that holds name, in
// seconds (RFC 2308 §5), or -1 if there is none. An SOA of another zone says
// nothing about name: the one beside a CNAME that leads out of its zone.
func (m *message) negativeTTL(name string) (int64, error) {
	for i := range m.soa {
		r := &m.soa[i]
		if !AtOrBelow(name, r.name) {
			continue
		}
		rr, err := m.decode(r)
		if err != nil {
			return -1, err
		}
		return int64(min(r.ttl, rr.SOA.Minimum)), nil
	}
	return -1, nil
}

// decode reads RDATA. Its error names the record.
func (m *message) decode(r *record) (RR, error) {
	rr := RR{Name: r.name, Type: Type(r.typ), TTL: r.ttl}
	b := m.b[r.off:r.end]
	bad := func() (RR, error) {
		return RR{}, fmt.Errorf("the RDATA of %s %s cannot be read", r.name, rr.Type)
	}
	// One name from off to the end of the RDATA.
	host := func(off int) bool {
		if off >= r.end {
			return false
		}
		name, end, err := readName(m.b, off)
		rr.Host = name
		return err == nil && end == r.end
	}
	switch rr.Type {
	case TypeA:
		if len(b) != 4 {
			return bad()
		}
		rr.Addr = netip.AddrFrom4([4]byte(b))
	case TypeAAAA:
		if len(b) != 16 {
			return bad()
		}
		rr.Addr = netip.AddrFrom16([16]byte(b))
	case TypeCNAME, TypeDNAME, TypeNS, TypePTR:
		if !host(r.off) {
			return bad()
		}
	case TypeMX:
		if len(b) < 3 || !host(r.off+2) {
			return bad()
		}
		rr.Pref = binary.BigEndian.Uint16(b)
	case TypeTXT, TypeSPF:
		// RFC 1035 §3.3.14: one or more character-strings.
		if len(b) == 0 {
			return bad()
		}
		for len(b) > 0 {
			n := 1 + int(b[0])
			if n > len(b) {
				return bad()
			}
			rr.Strings = append(rr.Strings, string(b[1:n]))
			b = b[n:]
		}
	case TypeSOA:
		mname, off, err := readName(m.b, r.off)
		if err != nil || off >= r.end {
			return bad()
		}
		rname, off, err := readName(m.b, off)
		if err != nil || off+20 != r.end {
			return bad()
		}
		n := func(i int) uint32 { return binary.BigEndian.Uint32(m.b[off+4*i:]) }
		rr.SOA = &SOA{MName: mname, RName: rname, Serial: n(0), Refresh: n(1), Retry: n(2), Expire: n(3), Minimum: n(4)}
	default:
		full, end, err := dns.UnpackRR(m.b, r.at)
		if err != nil || end != r.end {
			return bad()
		}
		rr.Data = strings.TrimPrefix(full.String(), full.Header().String())
	}
	return rr, nil
}

// key is the same for records with the same owner, type and RDATA.
func (rr *RR) key() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s %d %s %s", rr.Type, rr.Addr, rr.Pref, rr.Host, rr.Data)
	for _, s := range rr.Strings {
		b.WriteString(" " + strconv.Itoa(len(s)) + ":" + s)
	}
	if rr.SOA != nil {
		fmt.Fprintf(&b, " %v", *rr.SOA)
	}
	return b.String()
}
