package dnsq

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func packed(t testing.TB, rrs ...string) []byte {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion("example.com.", dns.TypeTXT)
	m.Response, m.RecursionAvailable, m.Compress, m.Id = true, true, true, 0
	for _, s := range rrs {
		rr, err := dns.NewRR(s)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	m.SetEdns0(1232, false)
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func read(t testing.TB, b []byte, typ Type) (*Answer, *fault) {
	q, err := newQuery(Question{Name: "example.com", Type: typ}, true)
	if err != nil {
		t.Fatal(err)
	}
	if !q.matches(b) {
		return nil, faultf(Timeout, "does not match")
	}
	m, err := readMessage(b, &q)
	if err != nil {
		return nil, faultf(Malformed, "%v", err)
	}
	s, f := m.interpret(q.name, typ, []string{q.name})
	if f != nil {
		return nil, f
	}
	return &Answer{Question: Question{Name: q.name, Type: typ}, Outcome: s.outcome, RRs: s.rrs, Chain: s.chain, TTL: s.ttl}, nil
}

// Every way to cut a reply is noticed: no prefix of a message is an answer. A
// reader that stops where the octets end takes the one cut right after the
// question for "no such record".
func TestNoPrefixIsAnAnswer(t *testing.T) {
	b := packed(t, `example.com. 60 TXT "v=spf1 -all"`, `example.com. 60 TXT "other"`)
	if a, f := read(t, b, TypeTXT); f != nil || len(a.RRs) != 2 {
		t.Fatalf("whole: %v, %v", a, f)
	}
	for n := range len(b) {
		if a, f := read(t, b[:n], TypeTXT); f == nil {
			t.Errorf("%d of %d octets: %v, %d records", n, len(b), a.Outcome, len(a.RRs))
		}
	}
}

func TestMatches(t *testing.T) {
	q, err := newQuery(Question{Name: "example.com", Type: TypeTXT}, true)
	if err != nil {
		t.Fatal(err)
	}
	q.setID(0x1234)
	good := packed(t, `example.com. 60 TXT "x"`)
	binary.BigEndian.PutUint16(good, 0x1234)
	change := func(f func(b []byte)) []byte {
		b := bytes.Clone(good)
		f(b)
		return b
	}
	head := func(rcode byte) []byte {
		return []byte{0x12, 0x34, 0x81, 0x80 | rcode, 0, 0, 0, 0, 0, 0, 0, 0}
	}
	tests := []struct {
		name string
		b    []byte
		want bool
	}{
		{"the reply", good, true},
		{"case of the name does not matter", change(func(b []byte) { b[13] = 'E' }), true},
		{"another ID", change(func(b []byte) { b[1]++ }), false},
		{"a question", change(func(b []byte) { b[2] &^= 0x80 }), false},
		{"opcode STATUS", change(func(b []byte) { b[2] |= 2 << 3 }), false},
		{"another name", change(func(b []byte) { b[13] = 'f' }), false},
		{"the name's bit 5 is case only for letters", change(func(b []byte) { b[20] ^= 0x20 }), false},
		{"another type", change(func(b []byte) { b[q.end-3] = 1 }), false},
		{"a type that looks like lower case", change(func(b []byte) { b[q.end-3] |= 0x20 }), false},
		{"another class", change(func(b []byte) { b[q.end-1] = 3 }), false},
		{"two questions", change(func(b []byte) { b[5] = 2 }), false},
		{"header alone, NOERROR", head(0), false},
		{"header alone, NXDOMAIN", head(3), false},
		{"header alone, FORMERR", head(1), true},
		{"header alone, SERVFAIL", head(2), true},
		{"less than a header", good[:11], false},
		{"nothing", nil, false},
	}
	for _, tt := range tests {
		if got := q.matches(tt.b); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestBrokenRDATA(t *testing.T) {
	// The answer holds TXT at example.com; its RDATA is replaced.
	rdata := func(typ Type, rd string) []byte {
		b := []byte{0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0}
		q, _ := newQuery(Question{Name: "example.com", Type: typ}, false)
		b = append(b, q.wire[12:q.end]...)
		b = append(b, 0xc0, 12)
		b = binary.BigEndian.AppendUint16(b, uint16(typ))
		b = append(b, 0, 1, 0, 0, 0, 60)
		b = binary.BigEndian.AppendUint16(b, uint16(len(rd)))
		return append(b, rd...)
	}
	for _, tt := range []struct {
		typ Type
		rd  string
		ok  bool
	}{
		{TypeA, "\x01\x02\x03\x04", true}, {TypeA, "\x01\x02\x03", false}, {TypeA, "", false}, {TypeA, "12345", false},
		{TypeAAAA, "0123456789abcdef", true}, {TypeAAAA, "\x01\x02\x03\x04", false},
		{TypeTXT, "\x00", true}, {TypeTXT, "\x03abc\x00", true}, {TypeTXT, "", false}, {TypeTXT, "\x04abc", false},
		{TypeMX, "\x00\x0a\x01a\x00", true}, {TypeMX, "\x00\x0a", false}, {TypeMX, "\x00\x0a\x01a", false}, {TypeMX, "\x00\x0a\x00x", false},
		{TypePTR, "\x01a\xc0\x0c", true}, {TypePTR, "\xc0\xff", false}, {TypePTR, "", false},
		{TypeSOA, "\x00\x00aaaabbbbccccddddeeee", true}, {TypeSOA, "\x00\x00aaaa", false}, {TypeSOA, "\x00", false},
		{257, "\x00\x05issueca", true}, {257, "\x00\x50issue", false},
		{65280, "anything", true}, {65280, "", true},
	} {
		a, f := read(t, rdata(tt.typ, tt.rd), tt.typ)
		if ok := f == nil && a.Outcome == Found; ok != tt.ok {
			t.Errorf("%s %q: %v, %+v", tt.typ, tt.rd, a, f)
		}
		if f != nil && f.reason != Malformed {
			t.Errorf("%s %q: %s", tt.typ, tt.rd, f.reason)
		}
	}
	// RFC 2181 §8: a TTL with the top bit set is 0.
	b := rdata(TypeA, "\x01\x02\x03\x04")
	b[len(b)-10] = 0x80
	if a, f := read(t, b, TypeA); f != nil || a.TTL != 0 {
		t.Errorf("TTL %v, %v", a, f)
	}
	// A broken record that is not asked about harms nobody.
	b = packed(t, `example.com. 60 TXT "v=spf1 -all"`, "other.example. 60 A 192.0.2.1")
	i := bytes.Index(b, []byte{192, 0, 2, 1})
	b = slices.Concat(b[:i-2], []byte{0, 1, 192}, b[i+4:])
	if a, f := read(t, b, TypeTXT); f != nil || len(a.RRs) != 1 {
		t.Errorf("%v, %+v", a, f)
	}
}

// Whatever arrives, reading it ends, never panics, and says no more than it
// holds.
func FuzzMessage(f *testing.F) {
	types := []Type{TypeTXT, TypeA, TypeAAAA, TypeMX, TypePTR, TypeCNAME, TypeSOA, TypeNS, TypeDNAME, 255, 257, 64, 46}
	f.Add(packed(f, `example.com. 60 TXT "v=spf1 -all" "\233"`), uint8(0))
	f.Add(packed(f, "example.com. 60 CNAME a.example.com.", "a.example.com. 60 CNAME b.example.net.", "b.example.net. 1 A 192.0.2.1"), uint8(1))
	f.Add(packed(f, "com. 60 DNAME example.net."), uint8(2))
	f.Add(packed(f, "example.com. 60 MX 10 .", "example.com. 60 MX 10 mail.example.com."), uint8(3))
	f.Add(packed(f, "example.com. 60 SOA a. b. 1 2 3 4 5"), uint8(6))
	f.Add(packed(f, `example.com. 60 CAA 0 issue "x"`, `example.com. 60 HTTPS 1 . alpn=h2`), uint8(10))
	f.Add([]byte{0, 0, 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0}, uint8(0))
	f.Fuzz(func(t *testing.T, b []byte, n uint8) {
		typ := types[int(n)%len(types)]
		// Make it match, so that the fuzzer gets past the question.
		q, err := newQuery(Question{Name: "example.com", Type: typ}, true)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) >= q.end {
			b = bytes.Clone(b)
			copy(b[12:q.end], q.wire[12:q.end])
		}
		a, fault := read(t, b, typ)
		if fault != nil {
			if !slices.Contains(Reasons, fault.reason) {
				t.Fatalf("reason %q", fault.reason)
			}
			return
		}
		switch a.Outcome {
		case Found:
			if len(a.RRs) == 0 {
				t.Fatal("found nothing")
			}
		case NoData, NXDomain, 0:
			if len(a.RRs) != 0 {
				t.Fatalf("%v with records", a.Outcome)
			}
		}
		if len(a.Chain) > maxChain || a.Outcome == 0 && len(a.Chain) == 0 {
			t.Fatalf("chain of %d", len(a.Chain))
		}
		for _, rr := range a.RRs {
			if rr.Name != a.Owner() || typ != 255 && rr.Type != typ {
				t.Fatalf("%s %s in the answer to %s, end of chain %s", rr.Name, rr.Type, a.Question, a.Owner())
			}
			for _, s := range rr.Strings {
				if !bytes.Contains(b, []byte(s)) {
					t.Fatalf("%q is not in the message", s)
				}
			}
			if rr.Host != CanonicalName(rr.Host) && rr.Host != "" {
				t.Fatalf("%q is not canonical", rr.Host)
			}
		}
		// The same octets through a recording are the same answer.
		if a.Outcome == 0 {
			return
		}
		var out bytes.Buffer
		rec := NewRecorder(&out, ResolverFunc(func(context.Context, Question) (*Answer, error) { return a, nil }))
		rec.Ask(context.Background(), a.Question)
		if err := rec.Close(); err != nil {
			t.Fatal(err)
		}
		replay, err := ReadRecording(&out)
		if err != nil {
			t.Fatalf("the recording of %+v cannot be read: %v", a, err)
		}
		back, err := replay.Resolver().Ask(context.Background(), a.Question)
		if err != nil || back.Outcome != a.Outcome || len(back.RRs) != len(a.RRs) || back.TTL != a.TTL || !slices.Equal(back.Chain, a.Chain) {
			t.Fatalf("%+v came back as %+v, %v", a, back, err)
		}
		for i := range a.RRs {
			if a.RRs[i].key() != back.RRs[i].key() {
				t.Fatalf("%+v came back as %+v", a.RRs[i], back.RRs[i])
			}
		}
	})
}

func FuzzReadRecording(f *testing.F) {
	const head = `{"todoku-recording":1,"started":"2026-01-02T03:04:05Z"}` + "\n"
	f.Add(head + `{"name":"example.com","type":"TXT","outcome":"found","ttl":300,"server":"192.0.2.53:53","rrs":[{"name":"example.com","type":"TXT","ttl":300,"strings":["v=spf1 -all",{"base64":"6Q=="}]}]}`)
	f.Add(head + `{"name":"example.net","type":"MX","error":"servfail","ede":["6 DNSSEC Bogus"]}`)
	f.Add(head + `{"name":"a","type":"SOA","outcome":"found","rrs":[{"name":"a","type":"SOA","ttl":1,"soa":{"mname":"a","rname":"b","serial":1,"refresh":1,"retry":1,"expire":1,"minimum":1}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		rec, err := ReadRecording(strings.NewReader(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "line ") {
				t.Errorf("no line in %v", err)
			}
			return
		}
		// What was read can be written and read again, as the same bytes.
		write := func(rec *Recording) string {
			var b bytes.Buffer
			w := NewRecorder(&b, rec.Resolver())
			w.Header = rec.Header
			for q := range rec.answers {
				w.Ask(context.Background(), q)
			}
			for q := range rec.errors {
				w.Ask(context.Background(), q)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			return b.String()
		}
		once := write(rec)
		again, err := ReadRecording(strings.NewReader(once))
		if err != nil {
			t.Fatalf("%q: %v", once, err)
		}
		if twice := write(again); twice != once {
			t.Fatalf("%q\n%q", once, twice)
		}
	})
}

// Packing by hand is packing as the library does it, for every name.
func FuzzPackName(f *testing.F) {
	for _, s := range []string{"example.com", "example.com.", ".", "", "a..b", `a\.b`, `\065`, strings.Repeat("a.", 127), strings.Repeat("a", 64), ".a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		name = CanonicalName(name)
		b, want := make([]byte, 300), make([]byte, 3000)
		off, ok := packName(name, b)
		fqdn := name + "."
		if name == "." {
			fqdn = name
		}
		n, err := dns.PackDomainName(fqdn, want, headerLen, nil, false)
		if wantOK := err == nil && n-headerLen <= 255 && !badEscape(name); ok != wantOK {
			t.Fatalf("%q: %v, want %v (%v)", name, ok, wantOK, err)
		}
		if ok && !bytes.Equal(b[:off], want[:n]) {
			t.Fatalf("%q: %q, want %q", name, b[:off], want[:n])
		}
	})
}
