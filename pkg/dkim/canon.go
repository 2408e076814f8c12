package dkim

import (
	"bytes"
	"cmp"
	"crypto"
	"hash"
	"slices"
)

// A Canonicalization is one of the two ways of RFC 6376 §3.4 in which a message
// is written before it is hashed.
type Canonicalization string

const (
	Simple  Canonicalization = "simple"  // almost no change is forgiven
	Relaxed Canonicalization = "relaxed" // white space may change, and the case of field names
)

var (
	crlf      = []byte("\r\n")
	twoSpaces = []byte("  ")
)

// AppendRelaxed appends the relaxed form of a header field (§3.4.2): the name
// in lower case, the value on one line, runs of spaces and tabs as one space,
// none round the colon nor at the end. A bare CR is no white space (§2.8) and
// stays.
func AppendRelaxed(dst, raw []byte) []byte {
	raw = bytes.TrimSuffix(raw, crlf)
	colon := bytes.IndexByte(raw, ':')
	if colon < 0 {
		colon = len(raw)
	}
	name := raw[:colon]
	for len(name) > 0 && isSpace(name[len(name)-1]) {
		name = name[:len(name)-1]
	}
	dst = append(appendLower(dst, name), ':')
	begin := len(dst)
	space := false
	v := raw[min(colon+1, len(raw)):]
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case c == ' ' || c == '\t':
			space = true
		case c == '\r' && i+1 < len(v) && v[i+1] == '\n':
			i++ // unfolded; the white space after it is what counts
		default:
			if space && len(dst) > begin {
				dst = append(dst, ' ')
			}
			space = false
			dst = append(dst, c)
		}
	}
	return append(dst, '\r', '\n')
}

// MaxAppended is how many octets after the l= of a signature [Body] keeps.
const MaxAppended = 4096

// A Body hashes a message's body as it is written to it: once for each
// canonicalization and hash that somebody wants, whatever the number of
// signatures, in bounded memory. Bare LFs are hashed as CRLF, as an MTA would
// have sent them; a bare CR is an octet like others.
//
//	b := new(dkim.Body)
//	s := verifier.Start(header, b)   // says what it wants
//	io.Copy(b, body)
//	b.Close()
//	report := s.Finish(ctx)
type Body struct {
	streams [2]*stream // simple, relaxed; nil if nobody wants it
	cr      bool       // the last octet was CR and its LF may come yet
	closed  bool

	Octets int64 // that were written
	Lines  int64 // line ends among them
	BareLF int64 // LFs without a CR before, taken for CRLF
	BareCR int64 // CRs without an LF after, kept
}

// A want is one digest of a canonical body: all of it, or its first length
// octets.
type want struct {
	hash   crypto.Hash
	length int64 // -1: all
	sum    []byte
	tail   []byte // what came after length, at most MaxAppended octets
}

type stream struct {
	relaxed bool
	eols    int64 // line ends not yet written: those at the end of the body do not count
	space   bool  // white space not yet written
	any     bool  // something was written
	n       int64 // canonical octets so far
	out     []byte
	hashes  map[crypto.Hash]hash.Hash
	wants   []*want
	limits  []*want // those of wants with a length, shortest first
	next    int     // the first of limits that is not reached
}

// streamBuffer is how much canonical text is gathered before it is hashed.
const streamBuffer = 8 << 10

// want asks for a digest; before the first Write.
func (b *Body) want(c Canonicalization, h crypto.Hash, length int64) *want {
	at := &b.streams[0]
	if c == Relaxed {
		at = &b.streams[1]
	}
	if *at == nil {
		*at = &stream{relaxed: c == Relaxed, hashes: map[crypto.Hash]hash.Hash{}, out: make([]byte, 0, streamBuffer)}
	}
	s := *at
	for _, w := range s.wants {
		if w.hash == h && w.length == length {
			return w
		}
	}
	w := &want{hash: h, length: length}
	s.wants = append(s.wants, w)
	if length >= 0 {
		i, _ := slices.BinarySearchFunc(s.limits, length, func(x *want, l int64) int { return cmp.Compare(x.length, l) })
		s.limits = slices.Insert(s.limits, i, w)
	}
	if s.hashes[h] == nil {
		s.hashes[h] = h.New()
	}
	return w
}

// size is the length of the canonical body in octets, once it is closed.
func (b *Body) size(c Canonicalization) int64 {
	s := b.streams[0]
	if c == Relaxed {
		s = b.streams[1]
	}
	if s == nil {
		return 0
	}
	return s.n
}

// Write hashes a piece of the body. It never fails.
func (b *Body) Write(p []byte) (int, error) {
	n := len(p)
	b.Octets += int64(n)
	if b.cr && n > 0 {
		b.cr = false
		if p[0] == '\n' {
			p = p[1:]
			b.eol()
		} else {
			b.bareCR()
		}
	}
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			if p[len(p)-1] == '\r' {
				b.cr = true
				p = p[:len(p)-1]
			}
			b.text(p)
			break
		}
		line := p[:i]
		if i > 0 && line[i-1] == '\r' {
			line = line[:i-1]
		} else {
			b.BareLF++
		}
		b.text(line)
		b.eol()
		p = p[i+1:]
	}
	return n, nil
}

// Close says that the body is complete. It never fails.
func (b *Body) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	if b.cr {
		b.cr = false
		b.bareCR()
	}
	for _, s := range b.streams {
		if s != nil {
			s.close()
		}
	}
	return nil
}

func (b *Body) bareCR() {
	b.BareCR++
	for _, s := range b.streams {
		if s != nil {
			s.text([]byte{'\r'})
		}
	}
}

func (b *Body) text(p []byte) {
	if len(p) == 0 {
		return
	}
	if bytes.IndexByte(p, '\r') >= 0 {
		b.BareCR += int64(bytes.Count(p, crlf[:1]))
	}
	for _, s := range b.streams {
		if s != nil {
			s.text(p)
		}
	}
}

func (b *Body) eol() {
	b.Lines++
	for _, s := range b.streams {
		if s != nil {
			s.eols++
			s.space = false // relaxed: ignored at the end of a line (§3.4.4)
		}
	}
}

// text takes a part of a line, without its end.
func (s *stream) text(p []byte) {
	if !s.relaxed {
		s.flushEOLs()
		s.put(p)
		return
	}
	// Most lines are in relaxed form already: no tab, single spaces, none at the
	// end.
	if !s.space && p[len(p)-1] != ' ' && bytes.IndexByte(p, '\t') < 0 && bytes.Index(p, twoSpaces) < 0 {
		s.flushEOLs()
		s.put(p)
		return
	}
	for len(p) > 0 {
		i := 0
		for i < len(p) && (p[i] == ' ' || p[i] == '\t') {
			i++
		}
		if i > 0 {
			s.space = true
			p = p[i:]
			continue
		}
		for i < len(p) && p[i] != ' ' && p[i] != '\t' {
			i++
		}
		s.flushEOLs()
		if s.space {
			s.space = false
			if len(s.out) == cap(s.out) {
				s.flush()
			}
			s.out = append(s.out, ' ')
		}
		if i <= cap(s.out)-len(s.out) {
			s.out = append(s.out, p[:i]...)
		} else {
			s.put(p[:i])
		}
		p = p[i:]
	}
}

func (s *stream) flushEOLs() {
	s.any = true
	for ; s.eols > 0; s.eols-- {
		if len(s.out)+2 > cap(s.out) {
			s.flush()
		}
		s.out = append(s.out, '\r', '\n')
	}
}

// put gathers canonical text.
func (s *stream) put(p []byte) {
	if len(s.out)+len(p) > cap(s.out) {
		s.flush()
		if len(p) > cap(s.out) {
			s.emit(p)
			return
		}
	}
	s.out = append(s.out, p...)
}

func (s *stream) flush() {
	s.emit(s.out)
	s.out = s.out[:0]
}

// emit hashes canonical text, and takes the sums of what l= asks for on the way.
func (s *stream) emit(p []byte) {
	for s.next < len(s.limits) && s.limits[s.next].length <= s.n+int64(len(p)) {
		w := s.limits[s.next]
		s.hash(p[:w.length-s.n])
		p = p[w.length-s.n:]
		s.n = w.length
		w.sum = s.hashes[w.hash].Sum(nil)
		s.next++
	}
	s.hash(p)
	s.n += int64(len(p))
}

func (s *stream) hash(p []byte) {
	if len(p) == 0 {
		return
	}
	for _, w := range s.limits[:s.next] {
		if room := MaxAppended - len(w.tail); room > 0 {
			w.tail = append(w.tail, p[:min(room, len(p))]...)
		}
	}
	for _, h := range s.hashes {
		h.Write(p)
	}
}

func (s *stream) close() {
	// Simple: the empty lines at the end become one CRLF, also in a body that
	// has nothing else (§3.4.3). Relaxed: in an empty body there is none
	// (§3.4.4).
	s.eols = 0
	if !s.relaxed || s.any {
		if len(s.out)+2 > cap(s.out) {
			s.flush()
		}
		s.out = append(s.out, '\r', '\n')
	}
	s.flush()
	for _, w := range s.wants {
		// A length beyond the end has no octets to hash: sum stays nil.
		if w.length < 0 {
			w.sum = s.hashes[w.hash].Sum(nil)
		}
	}
}
