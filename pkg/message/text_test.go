package message_test

import (
	"encoding/base64"
	"fmt"
	"net/mail"
	"strings"
	"testing"
	"time"

	. "github.com/todoku-mail/todoku/pkg/message"
)

func TestDecodeText(t *testing.T) {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	k := "お問い合わせ"
	for _, c := range []struct{ in, want, how string }{
		{"Hello", "Hello", ""},
		{"=?UTF-8?B?" + b64(k) + "?=", k, "b"},
		{"Re: =?UTF-8?B?" + b64(k) + "?= (2)", "Re: " + k + " (2)", "b"},
		{"=?utf-8?q?a_b=3D=E3=81=82?=", "a b=あ", "q"},
		{"=?utf-8*ja?Q?a?=", "a", "q"}, // RFC 2231 §5
		{"=?ISO-2022-JP?B?" + b64(iso2022jp(k)) + "?=", k, "b"},
		{"=?ISO-2022-JP?B?GyRCJCIbKEI=?=", "あ", "b"},
		{"=?Shift_JIS?B?" + b64(sjis("㈱①")) + "?=", "㈱①", "b"},
		{"=?windows-31j?B?" + b64(sjis("㈱①")) + "?=", "㈱①", "b"},
		{"=?EUC-JP?Q?=A4=A2?=", "あ", "q"},
		// White space between two words is no text; between a word and text it is.
		{"=?utf-8?Q?a?= \t=?utf-8?Q?b?= c", "ab c", "qq"},
		{"=?utf-8?Q?a?= =?us-ascii?Q?b?=", "ab", "qq"},
		// A character cut in two.
		{"=?UTF-8?B?" + b64(k[:4]) + "?= =?UTF-8?B?" + b64(k[4:]) + "?=", k, "bb"},
		// Raw octets.
		{"件名", "件名", "guess utf-8"},
		{sjis("お届けします"), "お届けします", "guess shift_jis"},
		{eucjp("お届けします"), "お届けします", "guess euc-jp"},
		{iso2022jp("お届けします"), "お届けします", "guess iso-2022-jp"},
		{"\xff\xfe\xff", "\ufffd", "undecodable"},
		// Not words.
		{"=?utf-8?X?a?=", "=?utf-8?X?a?=", ""},
		{"=?utf-8?Q?a", "=?utf-8?Q?a", ""},
		{"=?=?=?", "=?=?=?", ""},
		// Broken, and read by everybody.
		{"=?UTF-8?Q?a b?=", "a b", "q!"},
		{"=?UTF-8?B?" + strings.TrimRight(b64("ab"), "=") + "?=", "ab", "b!"},
		// Unknown charsets stay as they are.
		{"a =?x-none?B?gA==?= b", "a =?x-none?B?gA==?= b", "b undecodable"},
		{"=?UTF-8?Q?=FF?=", "\ufffd", "q undecodable"},
	} {
		d := DecodeText(c.in)
		how := ""
		for _, w := range d.Words {
			how += strings.ToLower(string(w.Encoding))
			if w.Broken {
				how += "!"
			}
			if !strings.HasPrefix(c.in[w.Start:w.End], "=?") || !strings.HasSuffix(c.in[w.Start:w.End], "?=") {
				t.Errorf("%q: a word at %d to %d", c.in, w.Start, w.End)
			}
		}
		if d.Guessed != "" {
			how += " guess " + d.Guessed
		}
		if d.Undecodable {
			how += " undecodable"
		}
		if d.Text != c.want || strings.TrimSpace(how) != c.how {
			t.Errorf("%q: %q (%s), want %q (%s)", c.in, d.Text, how, c.want, c.how)
		}
	}
}

func TestAddresses(t *testing.T) {
	// want: group/name<local|domain>, errors as code@offset, tolerated in brackets
	for _, c := range []struct{ in, want string }{
		{"a@b.example", "<a|b.example>"},
		{" Shop <a@b.example> ", "Shop<a|b.example>"},
		{`"Shop, Inc." <a@b.example>`, "Shop, Inc.<a|b.example>"},
		{"a@b.example, c@d.example", "<a|b.example> <c|d.example>"},
		{"=?UTF-8?B?5bGx55Sw?= <yamada@mail.example>", "山田<yamada|mail.example>"},
		{"山田 <yamada@mail.example>", "山田<yamada|mail.example>"},
		{"a@b.example (Taro \\(T\\))", "Taro (T)<a|b.example>"},
		{`"a b"@c.example`, "<a b|c.example>"},
		{`"a@b"@c.example`, "<a@b|c.example>"},
		{`<"a>b"@c.example>`, "<a>b|c.example>"},
		{"a@[192.0.2.1]", "<a|[192.0.2.1]>"},
		{"<a@[IPv6:2001:db8::1]>", "<a|[IPv6:2001:db8::1]>"},
		{"Team: a@b.example, Bob <c@d.example>;, e@f.example", "Team/<a|b.example> Team/Bob<c|d.example> <e|f.example>"},
		{"undisclosed-recipients:;", ""},
		{"<>", "<|>"},
		{"", ""},
		// Obsolete (§4.4), read by everybody.
		{"<@x.example,@y.example:a@b.example>", "<a|b.example> (address-obsolete@1)"},
		{"a . b @ c . example", "<a.b|c.example> (address-obsolete@0)"},
		{"Shop (a comment) <a(c)@b.example>", "Shop<a|b.example>"},
		{"Shop Inc. <a@b.example>", "Shop Inc.<a|b.example>"},
		{"a@b.example,,c@d.example,", "<a|b.example> <c|d.example> (address-syntax@12) (address-syntax@24)"},
		// What Japanese carriers once gave out.
		{"taro..x.@docomo.example", "<taro..x.|docomo.example> (address-dots@0)"},
		{`"taro..x."@docomo.example`, "<taro..x.|docomo.example>"},
		// Faults that are read past.
		{"a@b.example <a@b.example>", "a@b.example<a|b.example> (address-syntax@0)"},
		{"a@b.example; c@d.example", "<a|b.example> <c|d.example> (address-syntax@11)"},
		{"Shop <a@b.example", "Shop<a|b.example> (address-syntax@5)"},
		{"Team: a@b.example", "Team/<a|b.example> (address-syntax@17)"},
		{"a@b.example.", "<a|b.example> (address-syntax@0)"},
		// Faults.
		{"Shop", "address-syntax@0"},
		{"Yamada, Taro <a@b.example>", "Taro<a|b.example> address-syntax@0"},
		{"Shop a@b.example", "Shop<a|b.example> address-syntax@0"},
		{"<a>", "<a|> address-no-domain@1"},
		{"a@", "<a|> address-syntax@0"},
		{"@b.example", "<|b.example> address-syntax@0"},
		{"a b@c.example", "a<b|c.example> address-syntax@0"},
		{"<a b@c.example>", "<a b|c.example> address-syntax@1"},
		{"<a@b.example> <c@d.example>", "<a|b.example> <c|d.example> address-syntax@14"},
		{`"Shop <a@b.example>`, "Shop<a|b.example> address-syntax@0"},
		{"Shop (x <a@b.example>", "Shop (x<a|b.example> (address-syntax@5)"},
		{"a@b@c.example", "<a|b> address-syntax@3"},
		{"a@exa mple.com", "<a|exa mple.com> address-syntax@0"},
	} {
		l := ParseAddressList(c.in)
		var out []string
		for _, a := range l.Addresses {
			s := ""
			if a.Group != "" {
				s = a.Group + "/"
			}
			out = append(out, fmt.Sprintf("%s%s<%s|%s>", s, a.Name, a.Local, a.Domain))
			if a.Start > a.End || a.End > len(c.in) || a.NameStart > a.NameEnd || a.NameEnd > len(c.in) {
				t.Errorf("%q: places %+v", c.in, a)
			}
		}
		for _, e := range l.Errors {
			s := fmt.Sprintf("%s@%d", e.Code, e.Offset)
			if e.Tolerated {
				s = "(" + s + ")"
			}
			out = append(out, s)
		}
		if got := strings.Join(out, " "); got != c.want {
			t.Errorf("%q:\n got %s\nwant %s", c.in, got, c.want)
		}
	}
}

// What net/mail reads is read here alike.
func TestAddressesAgainstNetMail(t *testing.T) {
	n := 0
	for _, s := range []string{
		"a@b.example", "Shop <a@b.example>", `"Shop, Inc." <a@b.example>, c@d.example`, `"a b"@c.example`, "a@[192.0.2.1]",
		"Team: a@b.example, Bob <c@d.example>;", "=?utf-8?q?J=C3=B6rg_Doe?= <joerg@example.com>", "=?utf-8?q?J=C3=B6rg?= =?utf-8?q?Doe?= <joerg@example.com>",
		`John (middle) Doe <jdoe@machine.example>`, "jdoe@machine.example (John Doe)", `Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>`,
		`<boss@nil.test>, "Giant; \"Big\" Box" <sysservices@example.net>`, `Joe Q. Public <john.q.public@example.com>`, `(empty list)(start)Hidden recipients  :(nobody(that I know))  ;`,
	} {
		want, err := mail.ParseAddressList(s)
		got := ParseAddressList(s)
		if err != nil {
			continue
		}
		n++
		if len(want) != len(got.Addresses) || got.Err() != nil {
			t.Errorf("%q: %v, want %v", s, got, want)
			continue
		}
		for i, w := range want {
			g := got.Addresses[i]
			if at := strings.LastIndexByte(w.Address, '@'); w.Address[:at] != g.Local || w.Address[at+1:] != g.Domain || w.Name != g.Name {
				t.Errorf("%q: %+v, want %+v", s, g, w)
			}
		}
	}
	if n < 12 {
		t.Errorf("net/mail reads only %d", n)
	}
}

func TestAddressInName(t *testing.T) {
	for in, want := range map[string]string{
		"Taro":                           "",
		"info@shop.example":              "info@shop.example",
		"Taro (info@shop.example) 様":     "info@shop.example",
		"「info＠shop.example」":            "info@shop.example",
		"Taro @ Shop":                    "",
		"a@b":                            "",
		"Support <help@bank.example> v2": "help@bank.example",
	} {
		if got := AddressInName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestDates(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"Mon, 2 Nov 2026 10:00:00 +0900", "2026-11-02T10:00:00+09:00"},
		{"2 Nov 2026 10:00 -0330 (comment (nested))", "2026-11-02T10:00:00-03:30"},
		{"Mon,2 Nov 2026 10:00:00 +0000", "2026-11-02T10:00:00Z"},
		{"Tue, 2 Nov 2026 10:00:00 +0000", "2026-11-02T10:00:00Z day"},
		{"Mon, 02 Nov 2026 10:00:00 -0000", "2026-11-02T10:00:00Z unknown-zone"},
		{"Sat, 31 Dec 2016 23:59:60 +0000", "2017-01-01T00:00:00Z"},
		// §4.3
		{"Mon, 2 Nov 26 10:00:00 GMT", "2026-11-02T10:00:00Z obsolete"},
		{"Fri, 2 Nov 84 10:00:00 EST", "1984-11-02T10:00:00-05:00 obsolete"},
		{"2 Nov 126 10:00:00 Z", "2026-11-02T10:00:00Z obsolete odd(zone Z)"},
		{"2 Nov 2026 10:00:00 K", "2026-11-02T10:00:00Z obsolete unknown-zone"},
		{"2 Nov 2026 10:00:00 XYZ", "2026-11-02T10:00:00Z obsolete unknown-zone"},
		// In no RFC.
		{"Mon, 2 Nov 2026 10:00:00 JST", "2026-11-02T10:00:00+09:00 odd(zone JST)"},
		{"Mon Nov  2 10:00:00 2026", "2026-11-02T10:00:00Z odd(not in the order day, month, year) unknown-zone"},
		{"Mon Nov  2 10:00:00 JST 2026", ""},
		{"2026-11-02 10:00:00 +0900", "2026-11-02T10:00:00+09:00 odd(not in the order day, month, year)"},
		{"2026-11-02T10:00:00+09:00", "2026-11-02T10:00:00+09:00 odd(not in the order day, month, year)"},
		{"2026-11-02T10:00:00.123Z", "2026-11-02T10:00:00Z odd(not in the order day, month, year)"},
		{"Monday, 2 November 2026 10:00:00 +0900", "2026-11-02T10:00:00+09:00 odd(day of the week Monday)"},
		{"Mon, 2 Nov 2026 10:00:00 GMT+9", "2026-11-02T10:00:00+09:00 odd(zone GMT+9)"},
		{"Mon, 2-Nov-2026 10:00:00 +0900", "2026-11-02T10:00:00+09:00 odd(hyphens in the date)"},
		{"Mon, 2 Nov 2026 9:00:00 +0900", "2026-11-02T09:00:00+09:00 odd(time of day 9:00:00)"},
		{"Mon, 2 Nov 2026 10:00:00", "2026-11-02T10:00:00Z odd(no zone) unknown-zone"},
		// None.
		{"", "! no date"},
		{"Mon, 2 Nov 2026", "! expected day, month, year, time and zone"},
		{"Mon, 31 Nov 2026 10:00:00 +0900", "! no such day"},
		{"29 Feb 2027 10:00:00 +0900", "! no such day"},
		{"2 Nov 2026 25:00:00 +0900", "! no such time of day: \"25:00:00\""},
		{"2 Foo 2026 10:00:00 +0900", "! no such month: \"Foo\""},
		{"2 Nov 2026 10:00:00 +0960", "! no such zone: \"+0960\""},
		{"2 Nov 2026 10:00:00 +9", "! no such zone: \"+9\""},
		{"2026年11月2日", "! expected day, month, year, time and zone"},
	} {
		if c.want == "" {
			c.want = "2026-11-02T10:00:00+09:00 odd(not in the order day, month, year)"
		}
		d, err := ParseDate(c.in)
		got := d.Time.Format(time.RFC3339)
		if d.Obsolete {
			got += " obsolete"
		}
		if d.Odd {
			got += " odd(" + d.Detail + ")"
		}
		if d.WrongDay {
			got += " day"
		}
		if d.UnknownZone {
			got += " unknown-zone"
		}
		if err != nil {
			got = "! " + err.Error()
		}
		if got != c.want {
			t.Errorf("%q:\n got %s\nwant %s", c.in, got, c.want)
		}
	}
}
