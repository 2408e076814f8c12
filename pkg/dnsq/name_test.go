package dnsq

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestParseName(t *testing.T) {
	long := strings.Repeat("a", 63)
	tests := []struct{ in, want string }{
		{"example.com", "example.com"},
		{"Example.COM.", "example.com"},
		{"_dmarc.Example.com", "_dmarc.example.com"},
		{"例え.jp", "xn--r8jz45g.jp"},
		{"例え。jp", "xn--r8jz45g.jp"},  // ideographic full stop
		{"例え．jp．", "xn--r8jz45g.jp"}, // full-width, trailing too
		{"ｅｘａｍｐｌｅ．ｊｐ", "example.jp"}, // full-width letters
		{"食狮.公司.cn", "xn--85x722f.xn--55qx5d.cn"},
		{"Bücher.example", "xn--bcher-kva.example"},
		{"_dmarc.例え.jp", "_dmarc.xn--r8jz45g.jp"}, // idna.Lookup refuses the underscore
		{"XN--R8JZ45G.jp", "xn--r8jz45g.jp"},
		{"jp", "jp"},
		{long + ".example", long + ".example"},
		{strings.Repeat(long+".", 3) + strings.Repeat("b", 61), strings.Repeat(long+".", 3) + strings.Repeat("b", 61)},
	}
	for _, tt := range tests {
		if got, err := ParseName(tt.in); err != nil || got != tt.want {
			t.Errorf("%q: %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
	for _, tt := range []struct{ in, why string }{
		{"", "empty"}, {".", "empty"}, {"a..b", "empty label"}, {".a", "empty label"}, {"a..", "empty label"},
		{"me@example.com", "@"}, {"https://example.com", "URL"}, {"example.com/x", "URL"},
		{"192.0.2.1", "IP address"}, {"[2001:db8::1]", "IP address"}, {"2001:db8::1", "IP address"},
		{long + "a.example", "at most 63"}, {strings.Repeat(long+".", 3) + strings.Repeat("b", 62), "at most 253"},
		{"a b.example", "not allowed"}, {`a\.b.example`, "not allowed"}, {"a\x00b.example", "not allowed"},
		{"\xff.example", "UTF-8"}, {"xn--\u00e9.example", ""}, {"xn--zzzzzzzz999999999.example", ""}, {"\u200b.example", ""},
	} {
		got, err := ParseName(tt.in)
		if err == nil {
			t.Errorf("%q: taken as %q", tt.in, got)
		} else if !strings.Contains(err.Error(), tt.why) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", tt.in, err)
		}
	}
}

func TestCanonicalName(t *testing.T) {
	for in, want := range map[string]string{
		"": ".", ".": ".", "COM.": "com", "a.b": "a.b", `a\.`: `a\.`, `a\\.`: `a\\`, `A\065.`: `a\065`,
	} {
		if got := CanonicalName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestNameOfRaw(t *testing.T) {
	for _, tt := range []struct {
		in, want string
		ok       bool
	}{
		{"Example.COM.", "example.com", true},
		{"a b.x", `a\ b.x`, true},
		{"a@b", `a\@b`, true},
		{`a\b`, `a\\b`, true},
		{"\xe9\x00", `\233\000`, true},
		{"", "", false}, {".", "", false}, {"a..b", "", false}, {".a", "", false},
		{strings.Repeat("a", 64), "", false},
		{strings.Repeat("\xff", 63), strings.Repeat(`\255`, 63), true}, // 63 octets, 252 characters
		{strings.Repeat("a.", 126) + "a", strings.Repeat("a.", 126) + "a", true},
		{strings.Repeat("a.", 127) + "a", "", false},
	} {
		if got, ok := NameOfRaw(tt.in); got != tt.want || ok != tt.ok {
			t.Errorf("%q: %q, %v; want %q, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

func TestLabelsParentAtOrBelowJoin(t *testing.T) {
	if got := Labels(`a\.b.c`); !slices.Equal(got, []string{`a\.b`, "c"}) {
		t.Errorf("Labels: %q", got)
	}
	if Labels(".") != nil {
		t.Error("the root has labels")
	}
	for in, want := range map[string]string{"a.b.c": "b.c", "c": ".", ".": ".", `a\.b.c`: "c"} {
		if got := Parent(in); got != want {
			t.Errorf("Parent(%q) = %q, want %q", in, got, want)
		}
	}
	for _, tt := range []struct {
		name, zone string
		want       bool
	}{
		{"a.b", "b", true}, {"b", "b", true}, {"xb", "b", false}, {`a\.b`, "b", false}, {`a\\.b`, "b", true}, {"b", "a.b", false}, {"b", ".", true},
	} {
		if got := AtOrBelow(tt.name, tt.zone); got != tt.want {
			t.Errorf("AtOrBelow(%q, %q) = %v", tt.name, tt.zone, got)
		}
	}
	for _, tt := range [][3]string{{"_dmarc", "example.com", "_dmarc.example.com"}, {"", "A.", "a"}, {"a", ".", "a"}, {".", ".", "."}} {
		if got := Join(tt[0], tt[1]); got != tt[2] {
			t.Errorf("Join(%q, %q) = %q", tt[0], tt[1], got)
		}
	}
}

func TestReverseName(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1":        "1.2.0.192.in-addr.arpa",
		"2001:db8::1":      "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
		"::ffff:192.0.2.1": "1.2.0.192.in-addr.arpa",
	} {
		if got := ReverseName(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestDisplay(t *testing.T) {
	for in, want := range map[string]string{
		"example.com": "example.com", "xn--r8jz45g.jp": "例え.jp (xn--r8jz45g.jp)", "xn--zzzzzzzz999999999.jp": "xn--zzzzzzzz999999999.jp",
	} {
		if got := Display(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// What people may type is what can be asked, and reads back as itself.
func FuzzParseName(f *testing.F) {
	for _, s := range []string{"example.com", "例え。jp", "_dmarc.Example.COM.", "xn--r8jz45g.jp", "ｅ．ｊｐ", "\u00df.example", "a\u200d.b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		name, err := ParseName(in)
		if err != nil {
			return
		}
		again, err := ParseName(name)
		if err != nil || again != name {
			t.Fatalf("%q: %q reads back as %q, %v", in, name, again, err)
		}
		q, err := newQuery(Question{Name: name, Type: TypeA}, false)
		if err != nil || q.name != name {
			t.Fatalf("%q: %q cannot be asked: %v, %q", in, name, err, q.name)
		}
		Display(name)
	})
}

// NameOfRaw says that a name can be asked if and only if it can be packed, it
// packs to the very octets, and it is spelt as a name off the wire is.
func FuzzNameOfRaw(f *testing.F) {
	for _, s := range []string{"example.com", "a b.c", `\.`, "\xff.x", "a@b.c", `"';()`, strings.Repeat("a.", 127)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		name, ok := NameOfRaw(raw)
		if !ok {
			return
		}
		if CanonicalName(name) != name {
			t.Fatalf("%q: %q is not canonical", raw, name)
		}
		var want []byte
		for l := range strings.SplitSeq(strings.TrimSuffix(raw, "."), ".") {
			want = append(want, byte(len(l)))
			want = append(want, asciiLower(l)...)
		}
		want = append(want, 0)
		b := make([]byte, 300)
		off, err := dns.PackDomainName(dns.Fqdn(name), b, 0, nil, false)
		if err != nil || !bytes.Equal(b[:off], want) {
			t.Fatalf("%q: %q packs to %q, %v; want %q", raw, name, b[:off], err, want)
		}
		back, _, err := dns.UnpackDomainName(b, 0)
		if err != nil || CanonicalName(back) != name {
			t.Fatalf("%q: %q is %q off the wire, %v", raw, name, back, err)
		}
		if q, err := newQuery(Question{Name: name}, true); err != nil || q.name != name {
			t.Fatalf("%q: %q: %v", raw, name, err)
		}
		if n := len(Labels(name)); n != strings.Count(strings.TrimSuffix(raw, "."), ".")+1 {
			t.Fatalf("%q: %d labels", name, n)
		}
	})
}
