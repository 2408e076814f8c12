package message_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	. "github.com/todoku-mail/todoku/pkg/message"
)

// Whatever lies in the file: no panic, every place is right, the wire form is
// what it says, and nothing is lost.
func FuzzRead(f *testing.F) {
	f.Add([]byte(plain))
	f.Add([]byte(crlf(plain)))
	f.Add([]byte("From a@b Mon Nov  2 01:00:00 2026\n" + plain + "\n>From x\n"))
	f.Add([]byte("From: a@b.example\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/x; boundary=\"b\"\n\n--b\n\n--a\nContent-Type: message/rfc822\n\nFrom: x\n\ny\n--a--\n"))
	f.Add([]byte("a:\r\n\r\r\n\r\n\x00\n"))
	f.Add([]byte(bounce))
	f.Add([]byte("From: a@b.e\x00\x80\nContent-Type: multipart/mixed;*0000000A=00\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := Read(bytes.NewReader(file), "f", Options{})
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("error of several lines: %q", err)
			}
			return
		}
		defer m.Close()
		checkPlaces(t, m, string(file))
		wire := all(t, m.Body())
		raw := all(t, m.RawBody())
		if int64(len(raw)) != m.BodySize || string(file[m.BodyOffset:m.BodyOffset+m.BodySize]) != raw {
			t.Fatalf("raw body %q at %d", raw, m.BodyOffset)
		}
		// No LF without CR on the wire, and apart from line ends and quoting it is
		// the file.
		if n, k := strings.Count(wire, "\n"), strings.Count(wire, "\r\n"); n != k {
			t.Fatalf("LF alone on the wire: %q", wire)
		}
		flat := func(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "\r", ""), ">From ", "From ") }
		for strings.Contains(wire+raw, ">From ") {
			wire, raw = flat(wire), flat(raw)
		}
		if flat(wire) != flat(raw) {
			t.Fatalf("%q on the wire, %q in the file", wire, raw)
		}
		for _, x := range m.WireHeader() {
			if !bytes.HasSuffix(x, []byte("\r\n")) || bytes.Count(x, []byte("\n")) != bytes.Count(x, []byte("\r\n")) {
				t.Fatalf("field %q", x)
			}
		}
		for _, x := range m.Faults(LintOptions{Now: time.Date(2026, 11, 2, 1, 0, 0, 0, time.UTC)}) {
			if x.Offset < 0 || x.Offset > int64(len(file)) || len(x.Text) > 200 || x.Line < 0 {
				t.Fatalf("%+v", x)
			}
			if x.Length > 0 && x.Field != nil && !strings.HasPrefix(string(file[x.Offset:]), x.Text) && x.Code != FaultBlockedType {
				t.Fatalf("%s: %q is not at %d", x.Code, x.Text, x.Offset)
			}
		}
		if _, err := m.Signs(); err != nil {
			t.Fatal(err)
		}
		m.Unsubscribe()
		if a, _, ok := m.ReturnPath(); ok {
			a.Rewritten()
			a.HostUser()
		}
		m.Root.Walk(func(p *Part) {
			if _, err := io.Copy(io.Discard, p.Content()); err != nil {
				t.Fatal(err)
			}
			x, err := p.Text(100)
			if err != nil || !utf8.ValidString(x.Text) {
				t.Fatalf("%q %v", x.Text, err)
			}
			if ok, _ := p.Embedded(); ok {
				if sub, err := p.Message(); err == nil {
					if p.Encoding != "base64" && p.Encoding != "quoted-printable" {
						checkPlaces(t, sub, string(file))
					}
					io.Copy(io.Discard, sub.Body())
					sub.Close()
				}
			}
		})
	})
}

func FuzzHeaderText(f *testing.F) {
	f.Add("=?ISO-2022-JP?B?GyRCJCIbKEI=?= =?utf-8?q?a?=")
	f.Add("\x1b$B$\"\x1b(B")
	f.Add("=?SO-2022-JP?B?GyRAX0170\x81\x81tf8?B??=")
	f.Add("a;00*A=")
	f.Add("Mon, 2 Nov 2026 10:00:00 +0900")
	f.Add("text/plain; a*0*=utf-8''%41; a*1=\"b\"; c=d (x")
	f.Fuzz(func(t *testing.T, s string) {
		if d := DecodeText(s); !utf8.ValidString(d.Text) {
			t.Fatalf("%q", d.Text)
		}
		for _, p := range ParseParams(s).Params {
			if !utf8.ValidString(p.Value) {
				t.Fatalf("%q", p.Value)
			}
		}
		ParseDate(s)
		ParseMessageID(s)
		AddressInName(s)
		BlockedBy(s)
	})
}

// Addresses have their places, and one that is strict comes back the same.
func FuzzAddresses(f *testing.F) {
	for _, s := range []string{"a@b.example", `"Shop, Inc." <a@b.example>, x: y@z;`, "<@a:b@c>", "a..b.@c", "(((", "<\"a>b\"@c>", "a . b@c\r\n d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l := ParseAddressList(s)
		for _, e := range l.Errors {
			if e.Offset < 0 || e.Offset > len(s) || e.Length < 0 || e.Offset+e.Length > len(s) {
				t.Fatalf("%+v", e)
			}
		}
		for _, a := range l.Addresses {
			if a.Start < 0 || a.Start > a.End || a.End > len(s) || a.NameStart > a.NameEnd || a.NameEnd > len(s) {
				t.Fatalf("%+v", a)
			}
		}
		if len(l.Errors) == 0 && len(l.Addresses) == 1 && !l.Addresses[0].Null() {
			a := l.Addresses[0]
			again := ParseAddressList("<" + a.Address() + ">")
			if len(again.Errors) != 0 || len(again.Addresses) != 1 || again.Addresses[0].Local != a.Local || again.Addresses[0].Domain != a.Domain {
				t.Fatalf("%q became %+v and then %+v", a.Address(), a, again)
			}
		}
	})
}
