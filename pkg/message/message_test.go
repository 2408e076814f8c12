package message_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	. "github.com/todoku-mail/todoku/pkg/message"
)

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func read(t testing.TB, text string) *Message {
	t.Helper()
	m, err := Read(strings.NewReader(text), "mail.eml", Options{})
	if err != nil {
		t.Fatalf("%v\n%.300q", err, text)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func all(t testing.TB, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const plain = `From: Shop <order@shop.example>
To: taro@customer.example
Subject: =?UTF-8?B?44GT44KT44Gr44Gh44Gv?=
Date: Mon, 2 Nov 2026 10:00:00 +0900
Message-ID: <1@shop.example>

Hello,

goodbye
`

// The same mail lies in files in many ways; what went over the wire is one.
func TestFormsOfAFile(t *testing.T) {
	const from = "From order@shop.example Mon Nov  2 01:00:00 2026\n"
	wire := crlf(plain)
	for _, c := range []struct {
		name, file, wire string
		repairs          string
	}{
		{"crlf", wire, wire, ""},
		{"lf", plain, wire, "[{line-ends 1 9}]"},
		{"bom", "\xef\xbb\xbf" + wire, wire, "[{bom 1 3}]"},
		{"blank lines in front", "\r\n  \r\n" + wire, wire, "[{blank-lines 1 2}]"},
		{"mbox", from + plain + "\n", wire, "[{mbox 1 1} {trailing-line 11 1} {line-ends 2 10}]"},
		{"mbox cut by hand", from + plain, wire, "[{mbox 1 1} {line-ends 2 9}]"},
		{"mbox with CRLF", crlf(from + plain + "\n"), wire, "[{mbox 1 1} {trailing-line 11 1}]"},
		{"quoted From", from + plain + ">From here on\n>>From x\n>from y\n", wire + "From here on\r\n>From x\r\n>from y\r\n", "[{mbox 1 1} {from-quoting 11 2} {line-ends 2 12}]"},
		{"no mbox, nothing unquoted", plain + ">From here on\n", wire + ">From here on\r\n", "[{line-ends 1 10}]"},
		{"From in the text", from + plain + "\nFrom here on we sail.\n", wire + "\r\nFrom here on we sail.\r\n", "[{mbox 1 1} {line-ends 2 11}]"},
		{"quoted From line in the header", "Return-Path: <a@b.example>\n>From a Mon Nov  2 01:00:00 2026\n" + plain, crlf("Return-Path: <a@b.example>\n" + plain), "[{quoted-from 2 1} {line-ends 1 11}]"},
		{"no end of line at the end", strings.TrimSuffix(wire, "\r\n"), strings.TrimSuffix(wire, "\r\n"), ""},
		{"no body", "From: a@b.example\n", "From: a@b.example\r\n", "[{line-ends 1 1}]"},
		{"no body, no line end", "From: a@b.example", "From: a@b.example\r\n", ""},
		{"empty body", "From: a@b.example\n\n", "From: a@b.example\r\n\r\n", "[{line-ends 1 2}]"},
		{"mixed", "From: a@b.example\r\nTo: x@y.example\n\r\na\nb\r\n", "From: a@b.example\r\nTo: x@y.example\r\n\r\na\r\nb\r\n", "[{line-ends 2 2}]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(c.file), iotest.OneByteReader(strings.NewReader(c.file))} {
				m, err := Read(r, "mail.eml", Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				var b bytes.Buffer
				if _, err := m.WriteTo(&b); err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(c.wire, b.String()); d != "" {
					t.Error(d)
				}
				got := ""
				if len(m.Repairs) > 0 {
					got = fmt.Sprint(m.Repairs)
				}
				if got != c.repairs {
					t.Errorf("repairs %s, want %s", got, c.repairs)
				}
				if one, two := all(t, m.Body()), all(t, m.Body()); one != two {
					t.Errorf("the body is %q, then %q", one, two)
				}
				if raw := all(t, m.RawBody()); !strings.Contains(c.file, raw) || int64(len(raw)) != m.BodySize || c.file[m.BodyOffset:m.BodyOffset+m.BodySize] != raw {
					t.Errorf("the raw body is %q at %d", raw, m.BodyOffset)
				}
				checkPlaces(t, m, c.file)
			}
		})
	}
}

// checkPlaces holds every field against the file.
func checkPlaces(t testing.TB, m *Message, file string) {
	t.Helper()
	var walk func(fs []*Field)
	walk = func(fs []*Field) {
		for _, f := range fs {
			end := f.Offset + int64(len(f.Raw))
			if end > int64(len(file)) || file[f.Offset:end] != string(f.Raw) {
				t.Errorf("field %s is not at offset %d", f.Name, f.Offset)
				continue
			}
			if n := 1 + strings.Count(file[:f.Offset], "\n"); n != f.Line {
				t.Errorf("field %s is in line %d, not %d", f.Name, n, f.Line)
			}
		}
	}
	m.Root.Walk(func(p *Part) {
		walk(p.Header)
		if p.BodyOffset+p.Size > int64(len(file)) || p.Size < 0 || p.BodyOffset < 0 {
			t.Errorf("part %s reaches from %d over %d octets in a file of %d", p.ID, p.BodyOffset, p.Size, len(file))
			return
		}
		if n := 1 + strings.Count(file[:p.BodyOffset], "\n"); n != p.BodyLine {
			t.Errorf("part %s begins in line %d, not %d", p.ID, n, p.BodyLine)
		}
	})
}

// What is no message is one line that names the file and what was expected.
func TestNotAMessage(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"empty", "", "mail.eml: there is nothing in it"},
		{"blank", "\n\n \n", "mail.eml: there is nothing in it"},
		{"prose", "Hello there\nFrom: a@b.example\n", `mail.eml:1: "Hello there" is not a header field`},
		{"starts with folding", " x: y\nFrom: a@b.example\n", "mail.eml:1: "},
		{"utf-16", "\xff\xfeF\x00r\x00", "mail.eml: the file is UTF-16"},
		{"outlook", "\xd0\xcf\x11\xe0\xa1\xb1", "mail.eml: the file is an Outlook message"},
		{"mbox line only", "From a@b Mon Nov  2 01:00:00 2026\n", "mail.eml:1: an mbox line and nothing behind it"},
		{"mbox line and blank", "From a@b Mon Nov  2 01:00:00 2026\n\n", "mail.eml:2: there is no header"},
		{"header 64 MB", "From: a@b.example\nX: " + strings.Repeat("a\n ", 22<<20), "the file is larger than 50 MiB"},
		{"header 10 MB", "From: a@b.example\nX: " + strings.Repeat("aaaaaaaa\n ", 1<<20), "the header is larger than 4 MiB"},
		{"header line 10 MB", "From: a@b.example\nX: " + strings.Repeat("a", 10<<20), "mail.eml:2: the header is larger than 4 MiB"},
		{"100,000 fields", "From: a@b.example\n" + strings.Repeat("X: y\n", 100_000), "the header has more than 50000 fields"},
		{"too large", plain + strings.Repeat("0123456789abcdef", 50<<16), "mail.eml: the file is larger than 50 MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Read(strings.NewReader(c.file), "mail.eml", Options{})
			if err == nil {
				m.Close()
				t.Fatal("was read")
			}
			e, ok := err.(*Error)
			if !ok || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || e.File != "mail.eml" {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

func TestMboxWithSeveral(t *testing.T) {
	one := "From order@shop.example Mon Nov  2 01:00:00 2026\n" + plain + "\n"
	_, err := Read(strings.NewReader(one+one+one), "box", Options{})
	e, ok := err.(*Error)
	if !ok || e.Messages != 3 || e.Line != 12 || !strings.Contains(e.Error(), "box:12: an mbox with 3 messages") {
		t.Errorf("%v", err)
	}
}

func TestReaderThatFails(t *testing.T) {
	_, err := Read(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(plain))), "mail.eml", Options{})
	if err == nil || !strings.Contains(err.Error(), "timeout") || !strings.HasPrefix(err.Error(), "mail.eml: ") {
		t.Error(err)
	}
}

// A large message is in a file that is gone after Close, and read from there
// it is the same.
func TestSpool(t *testing.T) {
	dir := t.TempDir()
	body := strings.Repeat("0123456789012345678901234567890123456789\n", 60_000)
	m, err := Read(strings.NewReader(plain+body), "mail.eml", Options{TempDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if got := all(t, m.Body()); got != crlf("Hello,\n\ngoodbye\n"+body) {
		t.Errorf("another body of %d octets", len(got))
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := m.Close(); err != nil {
		t.Error("a second Close:", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%d files are left", len(left))
	}
	// Too large: nothing stays behind either.
	if _, err := Read(strings.NewReader(plain+body), "mail.eml", Options{TempDir: dir, MaxSize: 2 << 20}); err == nil {
		t.Error("was read")
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%d files are left", len(left))
	}
	if _, err := Read(strings.NewReader(plain+body), "mail.eml", Options{TempDir: dir + "/none"}); err == nil || !strings.Contains(err.Error(), "no place to keep") {
		t.Error(err)
	}
}

func TestFields(t *testing.T) {
	m := read(t, "Received: one\r\nSubject : a\r\n\tb\r\nRECEIVED: two\r\n\r\n")
	if got := len(m.Fields("received")); got != 2 {
		t.Errorf("%d fields", got)
	}
	f := m.Field("subject")
	if f.Name != "Subject" || f.Value() != "a\tb" || string(f.RawValue()) != " a\r\n\tb" || f.Line != 2 || f.Offset != 15 {
		t.Errorf("%+v %q %q", f, f.Value(), f.RawValue())
	}
	if line, off := f.At(14); line != 3 || off != 29 {
		t.Errorf("line %d, offset %d", line, off)
	}
	if m.Value("none") != "" || m.Field("none") != nil || m.HeaderSize != 15+17+15 {
		t.Error(m.HeaderSize)
	}
}

// A line that is no field ends the header, as Postfix has it, and the rest is
// body: From is not seen.
func TestHeaderEndsAtProse(t *testing.T) {
	m := read(t, "To: a@b.example\r\noops\r\nFrom: a@b.example\r\n\r\nx\r\n")
	if m.Field("From") != nil || all(t, m.Body()) != "oops\r\nFrom: a@b.example\r\n\r\nx\r\n" || m.BodyLine != 2 {
		t.Errorf("%v %q", m.Field("From"), all(t, m.Body()))
	}
	if fs := m.Faults(LintOptions{}); fs[0].Code != FaultNotAField || fs[0].Line != 2 || fs[0].Offset != 17 || fs[0].Text != "oops" {
		t.Errorf("%+v", fs[0])
	}
}
