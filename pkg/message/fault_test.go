package message_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/todoku-mail/todoku/pkg/message"
)

// good has no fault; each case changes one line of it.
const good = `Return-Path: <order@shop.example>
From: "Shop" <order@shop.example>
To: taro@customer.example
Subject: Hello
Date: Mon, 2 Nov 2026 10:00:00 +0900
Message-ID: <1@shop.example>

Hello,

goodbye
`

var receipt = time.Date(2026, 11, 2, 1, 0, 5, 0, time.UTC)

func show(fs []Fault) string {
	var out []string
	for _, f := range fs {
		s := fmt.Sprintf("%s:%d", f.Code, f.Line)
		if f.Tolerated {
			s = "(" + s + ")"
		}
		if f.Line == 0 {
			s = fmt.Sprintf("%s %s", f.Code, f.Name)
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func TestFaults(t *testing.T) {
	word := func(s string) string { return "=?UTF-8?Q?" + s + "?=" }
	for _, c := range []struct{ name, from, to, want string }{
		{"good", "", "", ""},
		{"no From", `From: "Shop" <order@shop.example>` + "\n", "", "from-missing From"},
		{"two From", "To:", "From: x@shop.example\nTo:", "from-twice:3"},
		{"two addresses in From", `From: "Shop" <order@shop.example>`, "From: a@shop.example, b@shop.example", "from-several:2, sender-missing Sender"},
		{"two addresses in From with Sender", `From: "Shop" <order@shop.example>`, "From: a@shop.example, b@shop.example\nSender: a@shop.example", "from-several:2"},
		{"two addresses in Sender", "To:", "Sender: a@shop.example, b@shop.example\nTo:", "sender-several:3"},
		{"From without address", `From: "Shop" <order@shop.example>`, "From: Shop", "address-syntax:2, from-empty:2"},
		{"empty From", `From: "Shop" <order@shop.example>`, "From:", "from-empty:2"},
		{"null From", `From: "Shop" <order@shop.example>`, "From: <>", "from-empty:2"},
		{"From on a machine", "<order@shop.example>\nTo", "<order@localhost.localdomain>\nTo", "address-domain:2"},
		{"From without domain", "<order@shop.example>\nTo", "<order>\nTo", "address-no-domain:2"},
		{"a carrier's dots", "To: taro@", "To: taro..@", "(address-dots:3)"},
		{"undisclosed", "To: taro@customer.example", "To: undisclosed-recipients:;", ""},
		{"no To", "To: taro@customer.example\n", "", "to-missing To"},
		{"Cc only", "To: taro", "Cc: taro", "to-absent To"},
		{"two Subjects", "Subject:", "Subject: a\nsubject:", "field-twice:5"},
		{"no Subject", "Subject: Hello\n", "", "subject-missing Subject"},
		{"two Dates", "Date:", "Date: Mon, 2 Nov 2026 10:00:00 +0900\nDate:", "field-twice:6"},
		{"no Date", "Date: Mon, 2 Nov 2026 10:00:00 +0900\n", "", "date-missing Date"},
		{"no date in Date", "Mon, 2 Nov 2026 10:00:00 +0900", "today", "date-syntax:5"},
		{"wrong day", "Mon, 2", "Sun, 2", "date-day:5"},
		{"old zone", "+0900", "GMT", "(date-form:5), date-future:5"},
		{"GMT, read past", "10:00:00 +0900", "01:00:00 GMT", "(date-form:5)"},
		{"an hour and a bit ahead", "10:00:00", "11:00:06", "date-future:5"},
		{"within the hour", "10:00:00", "11:00:05", ""},
		{"four days back", "Mon, 2 Nov", "Thu, 29 Oct", "date-past:5"},
		{"1970", "Mon, 2 Nov 2026", "Thu, 1 Jan 1970", "date-past:5"},
		{"no Message-ID", "Message-ID: <1@shop.example>\n", "", "message-id-missing Message-ID"},
		{"empty Message-ID", "<1@shop.example>", "", "message-id-missing:6"},
		{"Message-ID without brackets", "<1@shop.example>", "1@shop.example", "message-id-syntax:6"},
		{"Message-ID without @", "<1@shop.example>", "<1shop.example>", "message-id-syntax:6"},
		{"Message-ID of localhost", "<1@shop.example>", "<1@localhost.localdomain>", "message-id-host:6"},
		{"Message-ID of a bare machine", "<1@shop.example>", "<1@web01>", "message-id-host:6"},
		{"Message-ID of a private address", "<1@shop.example>", "<1@[10.0.0.1]>", "message-id-host:6"},
		{"Message-ID of an address without brackets", "<1@shop.example>", "<1@192.0.2.1>", "message-id-host:6"},
		{"raw UTF-8", "Subject: Hello", "Subject: 届く", "raw-utf8:4"},
		{"raw Shift_JIS", "Subject: Hello", "Subject: " + sjis("届く"), "raw-8bit:4"},
		{"raw ISO-2022-JP", "Subject: Hello", "Subject: " + iso2022jp("届く"), "raw-iso2022:4"},
		{"raw UTF-8 on a folded line", "Subject: Hello", "Subject: Hello\n 届く", "raw-utf8:5"},
		{"a control character", "Subject: Hello", "Subject: Hel\x07lo", "control:4"},
		{"NUL in the header", "Subject: Hello", "Subject: Hel\x00lo", "nul:4"},
		{"NUL in the body", "Hello,", "Hel\x00lo,", "nul:8"},
		{"CR in the body", "Hello,", "Hel\rlo,", "bare-cr:8"},
		{"a long line in the body", "Hello,", strings.Repeat("x", 999), "long-line:8"},
		{"a line of 998", "Hello,", strings.Repeat("x", 998), ""},
		{"a long line in the header", "Subject: Hello", "Subject: " + strings.Repeat("x", 990), "long-line:4"},
		{"a large header", "Subject: Hello", "Subject: " + strings.Repeat(strings.Repeat("x", 70)+"\n ", 500) + "x", "header-large:1"},
		{"a space before the colon", "Subject: Hello", "Subject : Hello", "space-in-name:4"},
		{"a blank folded line", "Subject: Hello", "Subject: Hello\n \n more", "blank-folding:5"},
		{"encoded-word", "Subject: Hello", "Subject: " + word("a") + "\n " + word("b"), ""},
		{"encoded-word over 75", "Subject: Hello", "Subject: " + word(strings.Repeat("a", 64)), "word-long:4"},
		{"encoded-word of 75", "Subject: Hello", "Subject: " + word(strings.Repeat("a", 63)), ""},
		{"encoded-word with a space", "Subject: Hello", "Subject: " + word("a b"), "word-broken:4"},
		{"encoded-word beside text", "Subject: Hello", "Subject: Re:x" + word("a"), "word-glued:4"},
		{"encoded-word of an unknown charset", "Subject: Hello", "Subject: =?x-none?Q?=80?=", "undecodable:4"},
		{"encoded-word as a name", `"Shop" <`, word("a") + " <", ""},
		{"encoded-word in quotes", `"Shop" <`, `"` + word("a") + `" <`, "word-in-quotes:2"},
		{"encoded-word in an address", "<order@shop.example>\nTo", "<" + word("a") + "@shop.example>\nTo", "word-in-address:2"},
		{"the address inside an encoded-word", `"Shop" <order@shop.example>`, word("order=40shop.example"), "address-syntax:2, from-empty:2"},
		{"encoded-word in Message-ID", "<1@", "<" + word("1") + "@", "word-forbidden:6"},
		{"encoded-word in a comment", "Mon, 2 Nov 2026 10:00:00 +0900", "Mon, 2 Nov 2026 10:00:00 +0900 (JST)", ""},
		{"a program as attachment", "Subject: Hello", "Subject: Hello\nMIME-Version: 1.0\nContent-Type: application/octet-stream; name=\"invoice.pdf.EXE \"", "blocked-type:1"},
		{"a macro for Microsoft only", "Subject: Hello", "Subject: Hello\nMIME-Version: 1.0\nContent-Type: application/x\nContent-Disposition: attachment; filename*=UTF-8''%E8%A6%8B.docm", "blocked-type:7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.from != "" && strings.Count(good, c.from) < 1 {
				t.Fatal("the case changes nothing")
			}
			file := strings.Replace(good, c.from, c.to, 1)
			m := read(t, file)
			fs := m.Faults(LintOptions{Now: receipt})
			if got := show(fs); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			for _, f := range fs {
				if f.Text != "" && f.Code != FaultBlockedType && !strings.HasPrefix(file[f.Offset:], f.Text) {
					if !strings.Contains(file[max(0, f.Offset-200):], f.Text) {
						t.Errorf("%s: %q does not stand at %d", f.Code, f.Text, f.Offset)
					}
				}
			}
			if len(m.Faults(LintOptions{Now: receipt})) != len(fs) {
				t.Error("asked again it says something else")
			}
		})
	}
}

// LF alone is a repair in a file of LF, and a fault in one of CR LF.
func TestBareLF(t *testing.T) {
	if got := show(read(t, crlf(good)+"x\ny\r\nz\n").Faults(LintOptions{Now: receipt})); got != "bare-lf:11" {
		t.Error(got)
	}
	m := read(t, good+"x\r\n")
	if fs := m.Faults(LintOptions{Now: receipt}); show(fs) != "mixed-line-end:1" || fs[0].More != 9 {
		t.Errorf("%+v", fs)
	}
}

// A mail with ten thousand faults has ten of each and a count.
func TestFaultsAreBounded(t *testing.T) {
	m := read(t, strings.Repeat("X-A: \xe3\x81\x82\n", 20_000)+good+strings.Repeat("\x00\n", 30_000))
	fs := m.Faults(LintOptions{Now: receipt})
	n := map[FaultCode]int{}
	more := map[FaultCode]int{}
	for _, f := range fs {
		n[f.Code]++
		more[f.Code] += f.More
	}
	if n[FaultRawUTF8] != 10 || more[FaultRawUTF8] != 19_990 || n[FaultNUL] != 10 || more[FaultNUL] != 29_990 {
		t.Error(n, more)
	}
}

func TestBlockedBy(t *testing.T) {
	for name, want := range map[string]int{"a.exe": 2, "a.pdf": 0, "exe": 0, "a.js": 1, "x.Exe ": 2, "x.exe.": 2, "": 0, ".": 0, "archive.zip": 0} {
		if got := BlockedBy(name); len(got) != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func TestPublicName(t *testing.T) {
	for name, want := range map[string]bool{"shop.example": true, "localhost": false, "localhost.localdomain": false, "web01": false, "x.local": false, "[192.0.2.1]": true,
		"[10.0.0.1]": false, "[IPv6:2001:db8::1]": true, "[IPv6:fe80::1]": false, "192.0.2.1": false, "a..b": false, "": false, "mail.internal": false, "x.home.arpa": false, "例え.jp": true} {
		if got := PublicName(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// Headers made so that a reader goes over them again and again. No clock is
// needed: where the time is quadratic the test takes minutes.
func TestHostileHeaders(t *testing.T) {
	for _, c := range [][2]string{
		{"Subject", "=?a?B?"}, {"Subject", "=?utf-8?Q?a?= "}, {"Subject", "a\n "}, {"Subject", "\x1b$B"},
		{"From", "<a,"}, {"From", "("}, {"From", "<\""}, {"From", "a@b,"}, {"To", "\""}, {"To", "\"\\"}, {"To", "a:;"}, {"To", "<\"a>\","},
		{"Content-Type", "("}, {"Content-Type", "a*0*=x;"}, {"Content-Disposition", ";filename==?a?B?"}, {"Message-ID", "@"}, {"Date", "("},
		{"List-Unsubscribe", "(<"}, {"Return-Path", "="},
	} {
		m := read(t, c[0]+": "+strings.Repeat(c[1], (1<<17)/len(c[1]))+"\n\nx\n")
		if fs := m.Faults(LintOptions{Now: receipt}); len(fs) == 0 {
			t.Errorf("%s of %q: no fault", c[0], c[1])
		}
		if _, err := m.Signs(); err != nil {
			t.Error(err)
		}
		m.Unsubscribe()
	}
}
