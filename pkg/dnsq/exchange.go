package dnsq

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// exchangeTimeout holds where the caller's context has no deadline.
	exchangeTimeout = 5 * time.Second
	// maxRequery bounds how often one question is asked on at the end of a
	// chain that the server did not follow.
	maxRequery = 10
	// maxStray is the number of wrong replies to one question after which UDP
	// is given up for TCP (RFC 5452 §9.3).
	maxStray = 100
	// A UDP socket is used for at most socketUses questions within socketAge.
	socketUses = 32
	socketAge  = 2 * time.Second
	// At most maxIdle sockets wait for the next question, at most maxStreams
	// connections to one TCP or TLS server are open; an idle one for streamIdle.
	maxIdle    = 64
	maxStreams = 16
	streamIdle = 3 * time.Second
)

// errTry is the cause of a context that ended because one try's time did, not
// the run's.
var errTry = errors.New("the time of one try was used up")

const (
	detailOverDue   = "the time of the run was used up"
	detailCancelled = "the run was cancelled"
)

// ctxError is what a context that has ended means for q. The end of a single
// try is a timeout of that server. Anything else ended the run: that is no
// server's fault, so none is named.
func ctxError(ctx context.Context, q Question, server string) *Error {
	cause := context.Cause(ctx)
	if errors.Is(cause, errTry) {
		return &Error{Question: q, Reason: Timeout, Server: server, Err: cause}
	}
	e := &Error{Question: q, Reason: OverDue, Detail: detailOverDue, Err: cause}
	if errors.Is(ctx.Err(), context.Canceled) {
		e.Detail = detailCancelled
	}
	return e
}

// An Exchange asks one server one question at a time of each caller, without
// trying again: that is [Retry]'s. It speaks the server's transport, turns to
// TCP when a UDP reply is truncated, asks once more without EDNS where the
// server does not know EDNS, and asks on for the target of a CNAME that the
// server did not follow.
//
// # Sockets
//
// RFC 5452 §9.2 and §10 want source ports that cannot be guessed, and a new
// socket per question is the usual way to have them. Opening one costs more than
// the question itself. An Exchange keeps a few open: never two questions on the
// same socket at a time, at most 32 one after another, none that is older than
// two seconds, and one on which anything unexpected arrived, or a reply failed
// to, is closed at once. So whoever learns a port can use it for a moment and
// a few questions, each with its own random 16-bit ID, and a guess that misses
// burns the port. Sockets are connected, so the kernel drops what comes
// from another address or port; it picks the ports at random (from 28,000 or
// so on Linux).
type Exchange struct {
	server  Server
	label   string
	udp     udpPool
	streams streamPool
	http    *http.Client
	url     string
	tr      *http.Transport
}

// ExchangeOptions are what an Exchange may be told besides its server.
type ExchangeOptions struct {
	// RootCAs are whom to trust for TLS and HTTPS servers; nil: the system's.
	RootCAs *x509.CertPool
}

// NewExchange is an Exchange with s. Close it to let go of its idle connections.
func NewExchange(s Server, o ExchangeOptions) *Exchange {
	x := &Exchange{server: s, label: s.String()}
	x.udp.addr = s.Addr
	x.streams.addr = s.Addr
	x.streams.slots = make(chan struct{}, maxStreams)
	name := s.Name
	if name == "" {
		name = s.Addr.Addr().WithZone("").String()
	}
	// RFC 7858 §3.2, RFC 8310: without a checked certificate DNS over TLS is only
	// a promise. RFC 9325 §3.1.1: nothing below TLS 1.2.
	conf := &tls.Config{ServerName: name, RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12}
	switch s.Net {
	case TLS:
		x.streams.tls = conf
	case HTTPS:
		x.newHTTP(conf)
	}
	return x
}

func (x *Exchange) newHTTP(conf *tls.Config) {
	s := x.server
	host := s.Name
	port := s.Port
	if s.Addr.IsValid() {
		port = s.Addr.Port()
		if host == "" {
			host = s.Addr.Addr().WithZone("").String()
		}
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	x.url = "https://" + host
	if port != 443 {
		x.url += fmt.Sprintf(":%d", port)
	}
	x.url += s.Path
	// No proxy: the server that the user named is the one that is asked.
	x.tr = &http.Transport{
		TLSClientConfig:        conf,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    maxStreams,
		MaxConnsPerHost:        maxStreams,
		IdleConnTimeout:        streamIdle,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
	}
	if s.Addr.IsValid() {
		to := s.Addr.String()
		x.tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", to)
		}
	}
	x.http = &http.Client{
		Transport:     x.tr,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Server is whom the Exchange asks.
func (x *Exchange) Server() Server { return x.server }

// Close closes idle connections. Questions under way are not disturbed, and
// the Exchange can still be used.
func (x *Exchange) Close() error {
	x.udp.close()
	x.streams.close()
	if x.tr != nil {
		x.tr.CloseIdleConnections()
	}
	return nil
}

// Ask asks the server. The time it may take is ctx's, or 5 seconds if ctx has
// no deadline. RTT in the answer is the sum over the replies it took.
func (x *Exchange) Ask(ctx context.Context, q Question) (*Answer, error) {
	q.Name = CanonicalName(q.Name)
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, exchangeTimeout, errTry)
		defer cancel()
	}
	ans := &Answer{Question: q, Source: SourceDNS, Server: x.label, Authentic: true}
	seen := []string{q.Name}
	name, ttl, noTTL := q.Name, uint32(1<<31-1), false
	for n := 0; ; n++ {
		s, f := x.once(ctx, Question{Name: name, Type: q.Type}, ans, seen)
		if f == nil && s.outcome == 0 && n == maxRequery {
			f = faultf(Malformed, "a chain of CNAMEs that the server does not follow, still going after %d names", maxRequery)
		}
		if f != nil {
			return nil, x.fail(ctx, q, name, f)
		}
		ans.Chain = append(ans.Chain, s.chain...)
		seen = append(seen, s.chain...)
		ttl = min(ttl, s.ttl)
		if s.outcome != 0 {
			ans.Outcome, ans.RRs, noTTL = s.outcome, s.rrs, s.noTTL
			break
		}
		name = s.name
	}
	if !noTTL {
		ans.TTL = ttl
	}
	return ans, nil
}

func (x *Exchange) fail(ctx context.Context, q Question, name string, f *fault) *Error {
	if f.reason == "" { // the context's end
		return ctxErrorDetail(ctx, q, x.label, f)
	}
	e := &Error{Question: q, Reason: f.reason, Server: x.label, EDE: f.ede, Detail: f.detail, Err: f.err}
	if name != q.Name {
		e.Detail = strings.TrimSuffix("at the CNAME target "+name+": "+f.detail, ": ")
	}
	return e
}

func ctxErrorDetail(ctx context.Context, q Question, server string, f *fault) *Error {
	e := ctxError(ctx, q, server)
	if e.Reason == Timeout && f.detail != "" {
		e.Detail = f.detail
	}
	return e
}

// once asks for one name, and reads what comes. It adds RTT, AD and EDE to ans.
func (x *Exchange) once(ctx context.Context, q Question, ans *Answer, before []string) (step, *fault) {
	for _, edns := range []bool{true, false} {
		qry, err := newQuery(q, edns)
		if err != nil {
			return step{}, faultf(Malformed, "%v", err)
		}
		start := time.Now()
		var out step
		var plain bool
		f := x.send(ctx, &qry, func(m *message) *fault {
			// RFC 6891 §6.2.2, §7: FORMERR from servers older than EDNS; NOTIMP
			// from some; BADVERS (§6.1.3) from those that know another version.
			// Nothing in our question needs EDNS: ask without.
			if edns && (m.rcode == dns.RcodeFormatError || m.rcode == dns.RcodeNotImplemented || m.rcode == dns.RcodeBadVers) {
				plain = true
				return nil
			}
			s, f := m.interpret(qry.name, q.Type, before)
			if f != nil {
				return f
			}
			out = s
			ans.Authentic = ans.Authentic && m.flags&flagAD != 0
			ans.EDE = append(ans.EDE, m.ede...)
			return nil
		})
		ans.RTT += time.Since(start)
		if plain {
			continue
		}
		return out, f
	}
	panic("unreachable: the second round does not ask for a third")
}

// send sends qry over the server's transport and hands the reply that was
// taken to read; its octets are only valid there.
func (x *Exchange) send(ctx context.Context, qry *query, read func(*message) *fault) *fault {
	if ctx.Err() != nil {
		return &fault{}
	}
	switch x.server.Net {
	case TCP, TLS:
		return x.sendStream(ctx, qry, read)
	case HTTPS:
		return x.sendHTTP(ctx, qry, read)
	}
	return x.sendUDP(ctx, qry, read)
}

func randomID() uint16 {
	var b [2]byte
	rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint16(b[:])
}

// netFault is what an error of a socket means. A time-out is the context's, so
// it has no reason of its own.
func netFault(ctx context.Context, err error) *fault {
	if ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		<-ctx.Done() // deadlines of sockets and of contexts do not fire in the same instant
		return &fault{err: err}
	}
	return &fault{reason: Network, detail: err.Error(), err: err}
}

// ---- UDP ----

type udpSocket struct {
	*net.UDPConn
	born time.Time
	uses int
}

type udpPool struct {
	addr netip.AddrPort
	mu   sync.Mutex
	idle []*udpSocket
}

func (p *udpPool) get() (*udpSocket, error) {
	now := time.Now()
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			break
		}
		s := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		if now.Sub(s.born) < socketAge {
			return s, nil
		}
		s.Close()
	}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(p.addr))
	if err != nil {
		return nil, err
	}
	return &udpSocket{UDPConn: c, born: now}, nil
}

func (p *udpPool) put(s *udpSocket, clean bool) {
	s.uses++
	if clean && s.uses < socketUses {
		p.mu.Lock()
		if len(p.idle) < maxIdle {
			p.idle = append(p.idle, s)
			s = nil
		}
		p.mu.Unlock()
	}
	if s != nil {
		s.Close()
	}
}

func (p *udpPool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, s := range idle {
		s.Close()
	}
}

// buffers are for replies over UDP: more than any server may send us (1232), so
// that one that fills the buffer was cut.
var buffers = sync.Pool{New: func() any { return new([4096]byte) }}

func (x *Exchange) sendUDP(ctx context.Context, qry *query, read func(*message) *fault) *fault {
	buf := buffers.Get().(*[4096]byte)
	defer buffers.Put(buf)
	m, why, f := x.receiveUDP(ctx, qry, buf[:])
	if f != nil {
		return f
	}
	if why == "" {
		return read(m)
	}
	// What is in a truncated reply is not looked at (RFC 2181 §9). If TCP then
	// fails, that is the result: half an answer is none.
	if f = x.sendStream(ctx, qry, read); f != nil {
		f.detail = strings.TrimSuffix(why+" over UDP, then over TCP: "+f.detail, ": ")
		if f.reason == "" {
			f.detail = why + " over UDP, no reply over TCP"
		}
	}
	return f
}

// receiveUDP returns the reply to qry, or why TCP must be asked instead.
func (x *Exchange) receiveUDP(ctx context.Context, qry *query, buf []byte) (m *message, why string, f *fault) {
	s, err := x.udp.get()
	if err != nil {
		return nil, "", netFault(ctx, err)
	}
	clean := false
	defer func() { x.udp.put(s, clean) }()
	// The end of ctx, by time or by cancelling, ends the read. A deadline on the
	// socket besides would be a second timer for the same moment.
	stop := context.AfterFunc(ctx, func() { s.SetReadDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() {
			clean = false // the deadline may be set at any moment from now on
		}
	}()
	qry.setID(randomID())
	if _, err := s.Write(qry.wire); err != nil {
		return nil, "", netFault(ctx, err)
	}
	stray, garbage := 0, 0
	for {
		n, err := s.Read(buf)
		if err != nil {
			f := netFault(ctx, err)
			switch {
			case f.reason != "":
			case garbage > 0 && errors.Is(context.Cause(ctx), errTry):
				// The server did answer this very question, with octets that make
				// no message. Waiting on was right (they might have been forged);
				// calling it silence would not be.
				f.reason, f.detail = Malformed, "a reply that cannot be read"
			case stray > 0:
				f.detail = fmt.Sprintf("%d replies to something else were ignored (RFC 5452 §9.1)", stray)
			}
			return nil, "", f
		}
		// RFC 5452 §9.1: a reply that does not match is not the reply. It does
		// not end the wait: it may be a late reply to an earlier question, or a
		// forger's, whose aim would be reached if it did.
		if !qry.matches(buf[:n]) {
			stray++
			if stray+garbage > maxStray {
				// RFC 5452 §9.3: someone is guessing. TCP cannot be forged blindly.
				return nil, "more than 100 forged or stray replies", nil
			}
			continue
		}
		if binary.BigEndian.Uint16(buf[2:])&flagTC != 0 {
			clean = stray+garbage == 0
			return nil, "truncated", nil
		}
		if n == len(buf) {
			return nil, "too large", nil
		}
		m, err := readMessage(buf[:n], qry)
		if err != nil {
			garbage++
			if stray+garbage > maxStray {
				return nil, "more than 100 forged or stray replies", nil
			}
			continue
		}
		clean = stray+garbage == 0
		return m, "", nil
	}
}

// ---- TCP and TLS ----

type streamPool struct {
	addr  netip.AddrPort
	tls   *tls.Config
	slots chan struct{}
	mu    sync.Mutex
	idle  []idleStream
}

type idleStream struct {
	net.Conn
	since time.Time
}

func (p *streamPool) pop() net.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := len(p.idle); n > 0; n = len(p.idle) {
		s := p.idle[n-1]
		p.idle = p.idle[:n-1]
		if time.Since(s.since) < streamIdle {
			return s.Conn
		}
		s.Close()
	}
	return nil
}

func (p *streamPool) push(c net.Conn) {
	p.mu.Lock()
	p.idle = append(p.idle, idleStream{c, time.Now()})
	p.mu.Unlock()
}

func (p *streamPool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, s := range idle {
		s.Close()
	}
}

func (p *streamPool) dial(ctx context.Context) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", p.addr.String())
	if err != nil || p.tls == nil {
		return c, err
	}
	t := tls.Client(c, p.tls)
	if err := t.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return t, nil
}

// sendStream asks over TCP or TLS. Connections are kept for the next question
// (RFC 7766 §6.2.1, RFC 7858 §3.4), one question at a time on each.
func (x *Exchange) sendStream(ctx context.Context, qry *query, read func(*message) *fault) *fault {
	p := &x.streams
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return &fault{}
	}
	for c := p.pop(); ; c = nil {
		reused := c != nil
		if !reused {
			var err error
			if c, err = p.dial(ctx); err != nil {
				return netFault(ctx, err)
			}
		}
		qry.setID(randomID())
		b, clean, f := roundTrip(ctx, c, qry)
		if f == nil && clean {
			p.push(c)
		} else {
			c.Close()
		}
		// RFC 7766 §6.2.4: a server may close an idle connection at any time;
		// the question is then asked on a new one.
		if f != nil && f.reason == Network && reused {
			continue
		}
		if f != nil {
			return f
		}
		return readWhole(b, qry, read)
	}
}

// readWhole reads a matching reply that came over a stream.
func readWhole(b []byte, qry *query, read func(*message) *fault) *fault {
	if binary.BigEndian.Uint16(b[2:])&flagTC != 0 {
		return faultf(Malformed, "truncated over a stream, where nothing needs to be")
	}
	m, err := readMessage(b, qry)
	if err != nil {
		return faultf(Malformed, "a reply that cannot be read: %v", err)
	}
	return read(m)
}

func roundTrip(ctx context.Context, c net.Conn, qry *query) (b []byte, clean bool, f *fault) {
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return nil, false, netFault(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() {
			clean = false
		}
	}()
	// RFC 7766 §8: length and message in one write.
	out := make([]byte, 2+len(qry.wire))
	binary.BigEndian.PutUint16(out, uint16(len(qry.wire)))
	copy(out[2:], qry.wire)
	if _, err := c.Write(out); err != nil {
		return nil, false, netFault(ctx, err)
	}
	for stray := 0; ; stray++ {
		var n [2]byte
		if _, err := io.ReadFull(c, n[:]); err != nil {
			return nil, false, netFault(ctx, err)
		}
		b := make([]byte, binary.BigEndian.Uint16(n[:]))
		if _, err := io.ReadFull(c, b); err != nil {
			return nil, false, netFault(ctx, err)
		}
		if qry.matches(b) {
			return b, stray == 0, nil
		}
		if stray == maxStray {
			return nil, false, faultf(Malformed, "only replies to something else")
		}
	}
}

// ---- HTTPS ----

const dnsMessage = "application/dns-message"

func (x *Exchange) sendHTTP(ctx context.Context, qry *query, read func(*message) *fault) *fault {
	qry.setID(0) // RFC 8484 §4.1; HTTP pairs replies with requests
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.url, bytes.NewReader(qry.wire))
	if err != nil {
		return &fault{reason: Network, detail: err.Error(), err: err}
	}
	req.Header.Set("Content-Type", dnsMessage)
	req.Header.Set("Accept", dnsMessage)
	req.Header.Set("User-Agent", "todoku")
	resp, err := x.http.Do(req)
	if err != nil {
		return netFault(ctx, err)
	}
	defer resp.Body.Close()
	// RFC 8484 §4.2.1: any DNS answer, NXDOMAIN included, comes with a 2xx;
	// another status says that there is none.
	if resp.StatusCode/100 != 2 {
		return faultf(Network, "HTTP status %d", resp.StatusCode)
	}
	if t, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(t), dnsMessage) {
		return faultf(Malformed, "HTTP content type %q instead of %s", resp.Header.Get("Content-Type"), dnsMessage)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return netFault(ctx, err)
	}
	switch {
	case len(b) == 1<<16:
		return faultf(Malformed, "a reply of more than 65535 octets")
	case len(b) < headerLen:
		return faultf(Malformed, "a reply that cannot be read: shorter than a DNS header")
	case !qry.matches(b):
		return faultf(Malformed, "a reply to something else")
	}
	return readWhole(b, qry, read)
}
