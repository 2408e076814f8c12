package sanitize

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for _, c := range []struct{ why, in, want string }{
		{"plain text must come back as it is", "v=spf1 include:_spf.example.net ~all", "v=spf1 include:_spf.example.net ~all"},
		{"a backslash is data: doubling it would show a fault that is not there", `v=DKIM1\; k=rsa`, `v=DKIM1\; k=rsa`},
		{"ESC starts a terminal command", "\x1b[2Jok", `\x1b[2Jok`},
		{"CR overwrites the line", "bad\rgood", `bad\rgood`},
		{"newline and tab break the layout and forge lines", "a\nPASS\tb", `a\nPASS\tb`},
		{"NUL, DEL", "\x00\x7f", `\x00\x7f`},
		{"C1 as UTF-8: CSI without ESC", "\u009b31m", `\u009b31m`},
		{"C1 as a raw byte is no UTF-8", "\x9b31m", `\x9b31m`},
		{"bidi override turns the rest of the line", "a\u202eb\u202c", `a\u202eb\u202c`},
		{"bidi isolates and marks", "\u2066\u2069\u200e\u200f\u061c", `\u2066\u2069\u200e\u200f\u061c`},
		{"zero width hides inside a word", "v=sp\u200bf1", `v=sp\u200bf1`},
		{"joiners, word joiner, BOM, soft hyphen", "\u200c\u200d\u2060\ufeff\u00ad", `\u200c\u200d\u2060\ufeff\u00ad`},
		{"tag characters carry invisible ASCII", "\U000e0041", `\U000e0041`},
		{"variation selectors", "❤\ufe0f\U000e0100", `❤\ufe0f\U000e0100`},
		{"line and paragraph separators", "\u2028\u2029", `\u2028\u2029`},
		{"a no-break space in a record is a fault that nobody sees", "v=spf1\u00a0-all", `v=spf1\u00a0-all`},
		{"Hangul fillers are letters to Unicode and blank to people", "\u3164\u115f\uffa0", `\u3164\u115f\uffa0`},
		{"private use and unassigned", "\ue000\U0010fffd\u0378", `\ue000\U0010fffd\u0378`},
		{"Japanese stays, wide space too", "届く　メール。", "届く　メール。"},
		{"half-width katakana and emoji stay", "ｶﾞ①📧", "ｶﾞ①📧"},
		{"half a character at the end", "\xe5\xb1", `\xe5\xb1`},
		{"an encoded surrogate is three bad bytes", "\xed\xa0\x80", `\xed\xa0\x80`},
		{"overlong NUL", "\xc0\x80", `\xc0\x80`},
		{"U+FFFD that is really there is a character", "\ufffd", "\ufffd"},
		{"a mark at the start would join the text before it", "\u0301a", `\u0301a`},
		{"a mark after its letter stays", "e\u0301", "e\u0301"},
		{"a mark after an escape would join the escape", "\x1b\u0301", `\x1b\u0301`},
		{"a tower of marks paints over other lines", "e" + strings.Repeat("\u0301", 6), "e" + strings.Repeat("\u0301", 4) + `\u0301\u0301`},
	} {
		if got := Text(c.in); got != c.want {
			t.Errorf("%s:\nText(%q)\n got %q\nwant %q", c.why, c.in, got, c.want)
		}
	}
}

// Every code point of the classes that the report promises to make visible.
func TestUnsafeClasses(t *testing.T) {
	in := func(lo, hi rune) {
		for r := lo; r <= hi; r++ {
			if !Unsafe(r) {
				t.Errorf("U+%04X is let through", r)
			}
		}
	}
	in(0, 0x1f)
	in(0x7f, 0x9f)
	in(0x202a, 0x202e)
	in(0x2066, 0x2069)
	in(0x200b, 0x200f)
	in(0x2060, 0x2064)
	in(0xfe00, 0xfe0f)
	in(0xfff9, 0xfffb)
	in(0xe0000, 0xe01ef)
	for _, r := range []rune{0x61c, 0xfeff, 0xad, 0x2028, 0x2029, 0x34f, 0x180e} {
		in(r, r)
	}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp) && !Unsafe(r) {
			t.Errorf("U+%04X is let through", r)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a", "\x1b[0m", "届\u202eく", "\xff\xfe", "e\u0301\u0301", `\x1b`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Text(s)
		if !utf8.ValidString(got) {
			t.Fatalf("Text(%q) = %q is not UTF-8", s, got)
		}
		for _, r := range got {
			if Unsafe(r) {
				t.Fatalf("Text(%q) holds U+%04X", s, r)
			}
		}
		if again := Text(got); again != got {
			t.Fatalf("not idempotent: %q, %q", got, again)
		}
		sum := 0
		var b strings.Builder
		Walk(s, func(n int, shown string, esc bool) {
			if !esc && shown != s[sum:sum+n] {
				t.Fatalf("%q at %d is shown as %q without being called an escape", s, sum, shown)
			}
			sum += n
			b.WriteString(shown)
		})
		if sum != len(s) || b.String() != got {
			t.Fatalf("Walk(%q) covers %d of %d bytes as %q, Text is %q", s, sum, len(s), b.String(), got)
		}
	})
}

func BenchmarkText(b *testing.B) {
	s := strings.Repeat("v=spf1 include:_spf.example.net ip4:192.0.2.0/24 ", 20)
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		Text(s)
	}
}
