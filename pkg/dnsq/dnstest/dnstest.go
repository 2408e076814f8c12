// Package dnstest is a DNS server for tests: on loopback, over UDP and TCP (and
// TLS and HTTPS when asked), answering from zone text, with the faults that real
// servers and real networks have.
//
//	srv := dnstest.Start(t, `
//	$ORIGIN example.com.
//	@     TXT "v=spf1 -all"
//	mail  A   192.0.2.1
//	`)
//	srv.Fault("slow.example.com", dnsq.TypeTXT, dnstest.Timeout)
//	answer, err := srv.Resolver().Ask(ctx, dnsq.Q("example.com", dnsq.TypeTXT))
//
// It poses as a resolver to which its zones are all of the DNS: names outside
// do not exist. What happens by chance (loss, SERVFAIL rates) depends only on
// the seed, the question and how often it was asked before, not on timing: a
// test that fails once fails again.
package dnstest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// A Fault is what goes wrong with one question.
type Fault string

// The faults. All but NoEDNS, Truncated, Reset and the four forgeries are all
// that the asker gets; after a forgery the true answer follows.
const (
	Timeout   Fault = "timeout"   // no reply
	ServFail  Fault = "servfail"  // RCODE 2
	Refused   Fault = "refused"   // RCODE 5
	FormErr   Fault = "formerr"   // RCODE 1, whatever is asked
	NotImp    Fault = "notimp"    // RCODE 4, whatever is asked
	NoEDNS    Fault = "noedns"    // FORMERR, header only, to questions with EDNS; the true answer to others
	BadVers   Fault = "badvers"   // BADVERS to questions with EDNS; the true answer to others
	NXDomain  Fault = "nxdomain"  // the name does not exist
	NoData    Fault = "nodata"    // the type does not exist
	Garbage   Fault = "garbage"   // right header and question, then octets that are no records
	Cut       Fault = "cut"       // the true answer without its last octets, and without TC
	Truncated Fault = "truncated" // over UDP: TC and half of the records; over streams: the true answer
	TCPFails  Fault = "tcp-fails" // truncated over UDP, and TCP is closed without a word
	Referral  Fault = "referral"  // NS of the root, no answer: a server that does not recurse
	Lame      Fault = "lame"      // NOERROR without anything, neither RA nor AA

	WrongID       Fault = "wrong-id"       // first a forged reply with another ID
	WrongQuestion Fault = "wrong-question" // first a forged reply to another question
	WrongSource   Fault = "wrong-source"   // first a forged reply from another port (UDP)
	NotReply      Fault = "not-reply"      // first the question itself sent back (QR unset)

	OnlyWrongID       Fault = "only-wrong-id"       // as above, and then nothing
	OnlyWrongQuestion Fault = "only-wrong-question" // as above, and then nothing
)

var faults = []Fault{
	Timeout, ServFail, Refused, FormErr, NotImp, NoEDNS, BadVers, NXDomain, NoData, Garbage, Cut, Truncated,
	TCPFails, Referral, Lame, WrongID, WrongQuestion, WrongSource, NotReply, OnlyWrongID, OnlyWrongQuestion,
}

// ParseFault reads the word of a Fault.
func ParseFault(s string) (Fault, error) {
	if !slices.Contains(faults, Fault(s)) {
		return "", fmt.Errorf("%q is not a fault: expected one of %v", s, faults)
	}
	return Fault(s), nil
}

// Faults happen to all questions. Rates are from 0 to 1.
type Faults struct {
	Latency  time.Duration // every reply comes this much later, however many are under way
	Loss     float64       // UDP replies that never come
	ServFail float64       // SERVFAIL instead of the answer
	Truncate float64       // UDP replies truncated
	Forge    float64       // a forged reply (wrong ID, question or source, in turn) comes first
	Garbage  float64       // octets that are no message instead of the answer
	Seed     uint64
}

// Options of [StartWith].
type Options struct {
	Zones         []string
	IPv6          bool // listen on [::1] instead of 127.0.0.1
	RefuseOutside bool // REFUSED instead of NXDOMAIN outside of all names of the zones
	Authoritative bool // AA and no RA; CNAMEs are not followed, the SOA is left out where they lead
	TLS, HTTPS    bool // listen for these too
	Faults        Faults
}

// A Query is one question that the server received.
type Query struct {
	dnsq.Question
	Net    string         // dnsq.UDP, TCP, TLS or HTTPS
	From   netip.AddrPort // not for HTTPS
	ID     uint16
	EDNS   bool // the question had an OPT record
	Size   uint16
	AD, DO bool
}

// A Reply is a programmed one. The zero Reply is NOERROR without records.
type Reply struct {
	Rcode     int
	Answer    []string // records as in a zone file, full names
	Authority []string
	AA, AD    bool
	NoRA, TC  bool
	EDE       map[uint16]string
	Raw       []byte // sent as it is, but for the ID
	Drop      bool   // no reply
	Close     bool   // streams: the connection is closed after the reply
	Delay     time.Duration
}

// A Server is a running server.
type Server struct {
	t    testing.TB
	o    Options
	data *data
	udp  *net.UDPConn
	liar *net.UDPConn // forged replies come from here
	tcp  net.Listener
	tls  net.Listener
	web  *http.Server
	url  net.Listener
	cert tls.Certificate
	pool *x509.CertPool

	mu     sync.Mutex
	faults Faults
	each   map[dnsq.Question][]Fault
	handle func(Query) *Reply
	log    []Query
	times  map[dnsq.Question]uint64
	conns  map[net.Conn]bool
	closed bool
	done   chan struct{}
	wg     sync.WaitGroup
}

// Start starts a server for the zones, each a zone file with full names or
// $ORIGIN; a text may hold names of any origin and needs no SOA. The server
// ends with the test.
func Start(t testing.TB, zones ...string) *Server {
	t.Helper()
	return StartWith(t, Options{Zones: zones})
}

// StartWith is Start with Options.
func StartWith(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := start(t, o)
	if err != nil {
		t.Fatalf("dnstest: %v", err)
	}
	t.Cleanup(s.close)
	return s
}

func start(t testing.TB, o Options) (*Server, error) {
	d, err := parseZones(o.Zones)
	if err != nil {
		return nil, err
	}
	s := &Server{
		t: t, o: o, data: d, faults: o.Faults,
		each:  make(map[dnsq.Question][]Fault),
		times: make(map[dnsq.Question]uint64),
		conns: make(map[net.Conn]bool),
		done:  make(chan struct{}),
	}
	host := "127.0.0.1"
	if o.IPv6 {
		host = "::1"
	}
	// The same port for UDP and TCP: the kernel chooses one, the other may be
	// taken by somebody else, then another.
	for try := 0; ; try++ {
		s.udp, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(host)})
		if err != nil {
			return nil, err
		}
		s.tcp, err = net.Listen("tcp", s.udp.LocalAddr().String())
		if err == nil {
			break
		}
		s.udp.Close()
		if try == 20 {
			return nil, err
		}
	}
	s.udp.SetReadBuffer(4 << 20) // bursts of tests are not what drops replies here
	if s.liar, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(host)}); err != nil {
		s.udp.Close()
		s.tcp.Close()
		return nil, err
	}
	s.wg.Add(2)
	go s.serveUDP()
	go s.serveStreams(s.tcp, dnsq.TCP)
	if o.TLS || o.HTTPS {
		if err := s.makeCert(); err != nil {
			s.close()
			return nil, err
		}
	}
	if o.TLS {
		s.tls, err = tls.Listen("tcp", net.JoinHostPort(host, "0"), &tls.Config{Certificates: []tls.Certificate{s.cert}})
		if err != nil {
			s.close()
			return nil, err
		}
		s.wg.Add(1)
		go s.serveStreams(s.tls, dnsq.TLS)
	}
	if o.HTTPS {
		s.url, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			s.close()
			return nil, err
		}
		s.web = &http.Server{
			Handler:   http.HandlerFunc(s.serveHTTP),
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{s.cert}, NextProtos: []string{"h2", "http/1.1"}},
			ErrorLog:  log.New(io.Discard, "", 0), // refused certificates are what tests want to see
		}
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			s.web.ServeTLS(s.url, "", "")
		}()
	}
	return s, nil
}

// CertName is the name in the server's certificate, besides its addresses.
const CertName = "dns.test"

func (s *Server) makeCert() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: CertName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{CertName, "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	s.cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	s.pool = x509.NewCertPool()
	s.pool.AddCert(leaf)
	return nil
}

func (s *Server) close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	close(s.done)
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	s.udp.Close()
	s.liar.Close()
	for _, l := range []net.Listener{s.tcp, s.tls} {
		if l != nil {
			l.Close()
		}
	}
	for c := range conns {
		c.Close()
	}
	if s.web != nil {
		s.web.Close()
	}
	s.wg.Wait()
}

// Addr is where the server listens, UDP and TCP.
func (s *Server) Addr() netip.AddrPort { return s.udp.LocalAddr().(*net.UDPAddr).AddrPort() }

// Server is the server over UDP, as a dnsq.Server.
func (s *Server) Server() dnsq.Server { return dnsq.Server{Net: dnsq.UDP, Addr: s.Addr()} }

// TCP is the server over TCP alone.
func (s *Server) TCP() dnsq.Server { return dnsq.Server{Net: dnsq.TCP, Addr: s.Addr()} }

// TLS is the server over TLS, certificate for [CertName]. Options.TLS must be set.
func (s *Server) TLS() dnsq.Server {
	return dnsq.Server{Net: dnsq.TLS, Addr: s.tls.Addr().(*net.TCPAddr).AddrPort(), Name: CertName}
}

// HTTPS is the server over HTTPS, certificate for [CertName]. Options.HTTPS
// must be set.
func (s *Server) HTTPS() dnsq.Server {
	return dnsq.Server{Net: dnsq.HTTPS, Addr: s.url.Addr().(*net.TCPAddr).AddrPort(), Name: CertName, Path: "/dns-query"}
}

// RootCAs trust the server's certificate.
func (s *Server) RootCAs() *x509.CertPool { return s.pool }

// Resolver asks the server over UDP, with Retry: three tries that wait 250,
// 375 and 500 ms. It does not cache: what is asked is on the wire.
func (s *Server) Resolver() dnsq.Resolver {
	x := dnsq.NewExchange(s.Server(), dnsq.ExchangeOptions{})
	s.t.Cleanup(func() { x.Close() })
	return dnsq.NewRetry(dnsq.RetryOptions{Timeout: 250 * time.Millisecond, Backoff: time.Millisecond}, x)
}

// Fault makes a question go wrong: the first time it is asked as the first
// fault says, and so on; the last one stays. None: all is well again.
func (s *Server) Fault(name string, t dnsq.Type, f ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := dnsq.Q(name, t)
	s.each[q] = f
	delete(s.times, q)
}

// Set changes the faults that happen to all questions.
func (s *Server) Set(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

// Handle lets h answer before zones and faults do; nil from h: they answer.
func (s *Server) Handle(h func(Query) *Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handle = h
}

// Log is every question received so far, in order.
func (s *Server) Log() []Query {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// ResetLog forgets the questions received so far.
func (s *Server) ResetLog() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = nil
}

// An out is one datagram or stream message to send, in order.
type out struct {
	b     []byte
	liar  bool // from the other port
	close bool // streams: close after it, or instead of it if b is nil
}

// answer decides what goes back, and after how long.
func (s *Server) answer(b []byte, transport string, from netip.AddrPort) ([]out, time.Duration) {
	m := new(dns.Msg)
	if err := m.Unpack(b); err != nil || len(m.Question) != 1 || m.Response {
		return nil, 0
	}
	qn := m.Question[0]
	q := dnsq.Q(qn.Name, dnsq.Type(qn.Qtype))
	query := Query{Question: q, Net: transport, From: from, ID: m.Id, AD: m.AuthenticatedData}
	if opt := m.IsEdns0(); opt != nil {
		query.EDNS, query.Size, query.DO = true, opt.UDPSize(), opt.Do()
	}
	s.mu.Lock()
	s.log = append(s.log, query)
	nth := s.times[q]
	s.times[q]++
	all, each, handle := s.faults, s.each[q], s.handle
	s.mu.Unlock()

	if handle != nil {
		if r := handle(query); r != nil {
			return s.programmed(m, r), all.Latency + r.Delay
		}
	}
	var fault Fault
	if len(each) > 0 {
		fault = each[min(int(nth), len(each)-1)]
	} else {
		fault = all.pick(q, nth, transport)
	}
	return s.faulty(m, query, fault, nth), all.Latency
}

// pick draws the fault of the nth time that q is asked.
func (f *Faults) pick(q dnsq.Question, nth uint64, transport string) Fault {
	draw := func(what string) float64 {
		h := fnv.New64a()
		fmt.Fprintf(h, "%d %s %d %s %s", f.Seed, q, nth, transport, what)
		// FNV's upper bits of short inputs are poor: stir.
		v := h.Sum64()
		v ^= v >> 33
		v *= 0xff51afd7ed558ccd
		v ^= v >> 33
		v *= 0xc4ceb9fe1a85ec53
		v ^= v >> 33
		return float64(v>>11) / (1 << 53)
	}
	udp := transport == dnsq.UDP
	switch {
	case udp && f.Loss > 0 && draw("loss") < f.Loss:
		return Timeout
	case f.ServFail > 0 && draw("servfail") < f.ServFail:
		return ServFail
	case f.Garbage > 0 && draw("garbage") < f.Garbage:
		return Garbage
	case udp && f.Truncate > 0 && draw("truncate") < f.Truncate:
		return Truncated
	case f.Forge > 0 && draw("forge") < f.Forge:
		return []Fault{WrongID, WrongQuestion, WrongSource}[nth%3]
	}
	return ""
}

func (s *Server) reply(m *dns.Msg, rcode int) *dns.Msg {
	r := new(dns.Msg)
	r.SetRcode(m, rcode)
	r.RecursionAvailable = !s.o.Authoritative
	r.Authoritative = s.o.Authoritative
	r.Compress = true
	if m.IsEdns0() != nil {
		r.SetEdns0(1232, false)
	}
	return r
}

// truth is the answer that the zones give.
func (s *Server) truth(m *dns.Msg) *dns.Msg {
	qn := m.Question[0]
	r := s.reply(m, dns.RcodeSuccess)
	if s.o.RefuseOutside && !s.data.inside(qn.Name) {
		r.Rcode = dns.RcodeRefused
		return r
	}
	res := s.data.lookup(qn.Name, qn.Qtype)
	if s.o.Authoritative && len(res.answer) > 0 && res.answer[0].Header().Rrtype == dns.TypeCNAME {
		r.Answer = res.answer[:1]
		return r
	}
	r.Rcode = res.rcode
	r.Answer = res.answer
	if res.soa != nil {
		r.Ns = []dns.RR{res.soa}
	}
	return r
}

// forged is a reply that would be believed if it were: another answer, an
// hour to live.
func (s *Server) forged(m *dns.Msg) *dns.Msg {
	r := s.reply(m, dns.RcodeSuccess)
	h := dns.RR_Header{Name: m.Question[0].Name, Rrtype: m.Question[0].Qtype, Class: dns.ClassINET, Ttl: 3600}
	switch h.Rrtype {
	case dns.TypeA:
		r.Answer = []dns.RR{&dns.A{Hdr: h, A: net.IPv4(203, 0, 113, 66)}}
	case dns.TypeTXT:
		r.Answer = []dns.RR{&dns.TXT{Hdr: h, Txt: []string{"v=spf1 +all forged"}}}
	default:
		r.Rcode = dns.RcodeNameError
	}
	return r
}

func (s *Server) faulty(m *dns.Msg, q Query, f Fault, nth uint64) []out {
	rcode := func(code int) []out { return s.one(s.reply(m, code), q) }
	after := func(o ...out) []out {
		return append(o, s.one(s.truth(m), q)...)
	}
	pack := func(r *dns.Msg) []byte {
		b, err := r.Pack()
		if err != nil {
			return nil
		}
		return b
	}
	switch f {
	case Timeout:
		return nil
	case ServFail:
		return rcode(dns.RcodeServerFailure)
	case Refused:
		return rcode(dns.RcodeRefused)
	case FormErr:
		return rcode(dns.RcodeFormatError)
	case NotImp:
		return rcode(dns.RcodeNotImplemented)
	case NoEDNS:
		if q.EDNS {
			// As servers from before EDNS do: the header alone.
			b := make([]byte, 12)
			binary.BigEndian.PutUint16(b, m.Id)
			b[2], b[3] = 0x81, 0x80|dns.RcodeFormatError
			return []out{{b: b}}
		}
	case BadVers:
		if q.EDNS {
			return rcode(dns.RcodeBadVers)
		}
	case NXDomain, NoData:
		r := s.reply(m, dns.RcodeSuccess)
		if f == NXDomain {
			r.Rcode = dns.RcodeNameError
		}
		r.Ns = []dns.RR{s.data.soa(dns.CanonicalName(m.Question[0].Name))}
		return s.one(r, q)
	case Garbage:
		r := s.reply(m, dns.RcodeSuccess)
		r.Extra = nil
		b := pack(r)
		binary.BigEndian.PutUint16(b[6:], 3)
		return []out{{b: append(b, 0xc0, 0xff, 0xee, 0x40, byte(nth))}}
	case Cut:
		b := pack(s.truth(m))
		return []out{{b: b[:len(b)-min(len(b)-12, 15)]}}
	case Truncated, TCPFails:
		if q.Net == dnsq.UDP {
			r := s.truth(m)
			r.Truncated = true
			r.Answer = r.Answer[:len(r.Answer)/2]
			r.Ns = nil
			return []out{{b: pack(r)}}
		}
		if f == TCPFails {
			return []out{{close: true}}
		}
	case Referral:
		r := s.reply(m, dns.RcodeSuccess)
		r.Ns = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: 3600}, Ns: "a.root-servers.invalid."}}
		r.RecursionAvailable, r.Authoritative = false, false
		return s.one(r, q)
	case Lame:
		r := s.reply(m, dns.RcodeSuccess)
		r.RecursionAvailable, r.Authoritative = false, false
		return s.one(r, q)
	case WrongID, OnlyWrongID:
		r := s.forged(m)
		r.Id ^= 0x5555
		if f == OnlyWrongID {
			return []out{{b: pack(r)}}
		}
		return after(out{b: pack(r)})
	case WrongQuestion, OnlyWrongQuestion:
		other := m.Copy()
		other.Question[0].Name = "x" + other.Question[0].Name
		if other.Question[0].Name == "x." || len(other.Question[0].Name) > 60 {
			other.Question[0].Name = "other.invalid."
		}
		r := s.forged(other)
		if f == OnlyWrongQuestion {
			return []out{{b: pack(r)}}
		}
		return after(out{b: pack(r)})
	case WrongSource:
		return after(out{b: pack(s.forged(m)), liar: true})
	case NotReply:
		return after(out{b: pack(m)})
	}
	return s.one(s.truth(m), q)
}

// one is r as a message: over UDP no larger than the asker can take (RFC 6891
// §6.2.5, RFC 1035 §4.2.1), truncated if it must be.
func (s *Server) one(r *dns.Msg, q Query) []out {
	if q.Net == dnsq.UDP {
		size := max(dns.MinMsgSize, int(q.Size))
		if r.Len() > size {
			r.Truncate(size)
		}
	}
	b, err := r.Pack()
	if err != nil {
		s.t.Errorf("dnstest: the reply to %s cannot be packed: %v", q.Question, err)
		return nil
	}
	return []out{{b: b}}
}

func (s *Server) programmed(m *dns.Msg, p *Reply) []out {
	switch {
	case p.Drop:
		return nil
	case p.Raw != nil:
		b := bytes.Clone(p.Raw)
		if len(b) >= 2 {
			binary.BigEndian.PutUint16(b, m.Id)
		}
		return []out{{b: b, close: p.Close}}
	}
	r := s.reply(m, p.Rcode)
	r.Authoritative, r.RecursionAvailable = p.AA, !p.NoRA
	r.AuthenticatedData, r.Truncated = p.AD, p.TC
	for _, sec := range []struct {
		text []string
		to   *[]dns.RR
	}{{p.Answer, &r.Answer}, {p.Authority, &r.Ns}} {
		for _, text := range sec.text {
			rr, err := dns.NewRR(text)
			if err != nil || rr == nil {
				s.t.Errorf("dnstest: record %q: %v", text, err)
				continue
			}
			*sec.to = append(*sec.to, rr)
		}
	}
	if opt := r.IsEdns0(); opt != nil {
		for _, code := range sortedKeys(p.EDE) {
			opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: code, ExtraText: p.EDE[code]})
		}
	}
	b, err := r.Pack()
	if err != nil {
		s.t.Errorf("dnstest: the programmed reply to %s cannot be packed: %v", m.Question[0].Name, err)
		return nil
	}
	return []out{{b: b, close: p.Close}}
}

func sortedKeys(m map[uint16]string) []uint16 {
	var keys []uint16
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// later runs f after d; the server waits for it when it closes.
func (s *Server) later(d time.Duration, f func()) {
	if d <= 0 {
		f()
		return
	}
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			f()
		case <-s.done:
		}
	}()
}

func (s *Server) serveUDP() {
	defer s.wg.Done()
	buf := make([]byte, 1<<16)
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // an ICMP error of an earlier reply
		}
		outs, delay := s.answer(buf[:n], dnsq.UDP, from)
		s.later(delay, func() {
			for _, o := range outs {
				c := s.udp
				if o.liar {
					c = s.liar
				}
				if o.b != nil {
					c.WriteToUDPAddrPort(o.b, from)
				}
			}
		})
	}
}

func (s *Server) serveStreams(l net.Listener, transport string) {
	defer s.wg.Done()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			c.Close()
			return
		}
		s.conns[c] = true
		s.wg.Add(1)
		s.mu.Unlock()
		go func() {
			defer s.wg.Done()
			s.serveStream(c, transport)
			c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		}()
	}
}

func (s *Server) serveStream(c net.Conn, transport string) {
	from := c.RemoteAddr().(*net.TCPAddr).AddrPort()
	for {
		var n [2]byte
		if _, err := io.ReadFull(c, n[:]); err != nil {
			return
		}
		b := make([]byte, binary.BigEndian.Uint16(n[:]))
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		outs, delay := s.answer(b, transport, from)
		if !s.wait(context.Background(), delay) {
			return
		}
		for _, o := range outs {
			if o.b != nil && !o.liar {
				msg := binary.BigEndian.AppendUint16(nil, uint16(len(o.b)))
				if _, err := c.Write(append(msg, o.b...)); err != nil {
					return
				}
			}
			if o.close {
				return
			}
		}
	}
}

func (s *Server) wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.done:
	case <-ctx.Done():
	}
	return false
}

func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	const mime = "application/dns-message"
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16))
	switch {
	case err != nil || r.Method != http.MethodPost || r.URL.Path != "/dns-query":
		http.Error(w, "not here", http.StatusNotFound)
		return
	case r.Header.Get("Content-Type") != mime:
		http.Error(w, "send "+mime, http.StatusUnsupportedMediaType)
		return
	}
	outs, delay := s.answer(b, dnsq.HTTPS, netip.AddrPort{})
	if !s.wait(r.Context(), delay) {
		return
	}
	// HTTP has room for one reply: the last one.
	if n := len(outs); n > 0 && outs[n-1].b != nil {
		w.Header().Set("Content-Type", mime)
		w.Write(outs[n-1].b)
		return
	}
	if len(outs) > 0 {
		http.Error(w, "closed", http.StatusBadGateway)
		return
	}
	select { // no reply at all
	case <-r.Context().Done():
	case <-s.done:
	}
}
