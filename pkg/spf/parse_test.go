package spf

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestIsSPF(t *testing.T) {
	for _, tc := range []struct {
		text string
		want bool
		why  string
	}{
		{"v=spf1", true, "an empty record is a record"},
		{"v=spf1 -all", true, ""},
		{"V=SPF1 -all", true, "ABNF strings are case-insensitive"},
		{"v=spf10 -all", false, "strings.HasPrefix is not the test of §4.5"},
		{"v=spf1\t-all", false, "only a space ends the version"},
		{" v=spf1 -all", false, "no leading space"},
		{"v=spf1-all", false, ""},
		{"v=spf1;-all", false, ""},
		{"v=spf", false, ""},
		{"", false, ""},
	} {
		if got := IsSPF(tc.text); got != tc.want {
			t.Errorf("IsSPF(%q) = %t: %s", tc.text, got, tc.why)
		}
	}
}

// TestParseErrors: each record has exactly one error, and it points at exactly
// the octets at fault.
func TestParseErrors(t *testing.T) {
	for _, tc := range []struct{ terms, code, text string }{
		{"-all.", ErrUnknownMechanism, "all."},
		{"-all:x", ErrUnexpectedArgument, ":x"},
		{"-all/8", ErrUnexpectedArgument, "/8"},
		{"moo", ErrUnknownMechanism, "moo"},
		{"~moo:x", ErrUnknownMechanism, "moo"},
		{"redirect:example.com", ErrUnknownMechanism, "redirect"},
		{"moo.cow/far_out=man:dog/cat", ErrUnknownMechanism, "moo.cow"},
		{"-", ErrUnknownMechanism, "-"},
		{"++all", ErrUnknownMechanism, "+"},
		{"a;mx", ErrUnknownMechanism, "a;mx"},
		{"1up=foo", ErrBadModifier, "1up="},
		{"=all", ErrBadModifier, "="},
		{"-exp=e.example.com", ErrBadModifier, "-exp="},
		{"+redirect=e.example.com", ErrBadModifier, "+redirect="},
		{"exp=a.example.com exp=b.example.com", ErrDuplicateModifier, "exp=b.example.com"},
		{"redirect=a.example.com Redirect=a.example.com", ErrDuplicateModifier, "Redirect=a.example.com"},
		{"include", ErrMissingDomain, "include"},
		{"include:", ErrMissingDomain, "include:"},
		{"exists:", ErrMissingDomain, "exists:"},
		{"ptr:", ErrMissingDomain, "ptr:"},
		{"a:", ErrMissingDomain, "a:"},
		{"mx:/24", ErrMissingDomain, "mx:/24"},
		{"redirect=", ErrMissingDomain, "redirect="},
		{"exp=", ErrMissingDomain, "exp="},
		{"ptr/24", ErrUnexpectedArgument, "/24"},
		{"include/24", ErrBadCIDR, "/24"},
		{"include:example.com/24", ErrBadTopLabel, "com/24"},
		{"exists:example.com/24", ErrBadTopLabel, "com/24"},
		{"ip4", ErrMissingAddress, "ip4"},
		{"ip6:", ErrMissingAddress, "ip6:"},
		{"ip4:1.2.3", ErrBadIP4, "1.2.3"},
		{"ip4:1.2.3.4:25", ErrBadIP4, "1.2.3.4:25"},
		{"ip4:01.2.3.4", ErrBadIP4, "01.2.3.4"},
		{"ip4:1.2.3.256", ErrBadIP4, "1.2.3.256"},
		{"ip4:::1", ErrBadIP4, "::1"},
		{"ip4:example.com", ErrBadIP4, "example.com"},
		{"ip4:/8", ErrBadIP4, "/"},
		{"ip4:1.2.3.4/33", ErrBadCIDR, "/33"},
		{"ip4:1.2.3.4/032", ErrBadCIDR, "/032"},
		{"ip4:1.2.3.4/", ErrBadCIDR, "/"},
		{"ip4:1.2.3.4//32", ErrBadCIDR, "//32"},
		{"ip4:1.2.3.4/+8", ErrBadCIDR, "/+8"},
		{"ip6:1.2.3.4", ErrBadIP6, "1.2.3.4"},
		{"ip6::CAFE::BABE", ErrBadIP6, ":CAFE::BABE"},
		{"ip6:fe80::1%eth0", ErrBadIP6, "fe80::1%eth0"},
		{"ip6:2001:db8::/129", ErrBadCIDR, "/129"},
		{"ip6:2001:db8:://33", ErrBadCIDR, "//33"},
		{"a/33", ErrBadCIDR, "/33"},
		{"a//129", ErrBadCIDR, "//129"},
		{"a/24/64", ErrBadCIDR, "/24/64"},
		{"a/24//64//64", ErrBadCIDR, "//64//64"},
		{"mx/", ErrBadCIDR, "/"},
		{"mx/24//", ErrBadCIDR, "//"},
		{"mx/0x1", ErrBadCIDR, "/0x1"},
		{"a:foo.example.com/24/64", ErrBadCIDR, "/24/64"},
		{"a:foo", ErrBadTopLabel, "foo"},
		{"a:museum.", ErrBadTopLabel, "museum."},
		{"a:abc.123", ErrBadTopLabel, "123"},
		{"a:1.2.3.4", ErrBadTopLabel, "4"},
		{"a:example.-com", ErrBadTopLabel, "-com"},
		{"a:example.com-", ErrBadTopLabel, "com-"},
		{"a:example.com..", ErrBadTopLabel, "."},
		{"a:example.c_m", ErrBadTopLabel, "c_m"},
		{"a:example.com:8080", ErrBadTopLabel, "com:8080"},
		{"a:%{d}com", ErrBadTopLabel, "com"},
		{"a:%{d}.", ErrBadTopLabel, "."},
		{"include:https://example.com/x", ErrBadTopLabel, "com/x"},
		{"exists:%(ir).sbl.example.com", ErrBadMacro, "%("},
		{"exists:foo%.example.com", ErrBadMacro, "%."},
		{"exists:example.com%", ErrBadMacro, "%"},
		{"exists:%{x}.example.com", ErrBadMacro, "%{x}"},
		{"exists:%{}.example.com", ErrBadMacro, "%{}"},
		{"exists:%{i.example.com", ErrBadMacro, "%{i.example.com"},
		{"exists:%{d0}.example.com", ErrBadMacro, "%{d0}"},
		{"exists:%{dr2}.example.com", ErrBadMacro, "%{dr2}"},
		{"exists:%{d.r}.example.com", ErrBadMacro, "%{d.r}"},
		{"exists:%{d;}.example.com", ErrBadMacro, "%{d;}"},
		{"exists:%{\x01}.example.com", ErrControlChar, "\x01"},
		{"moo=%abc", ErrBadMacro, "%a"},
		{"exists:%{r}.example.com", ErrMacroNotHere, "%{r}"},
		{"exp=%{T}.example.com", ErrMacroNotHere, "%{T}"},
		{"redirect=%{c}.example.com", ErrMacroNotHere, "%{c}"},
		{"a:ex\xc3\xa9mple.com", ErrNonASCII, "\xc3\xa9"},
		{"\xe2\x80\x9call\xe2\x80\x9d", ErrNonASCII, "\xe2\x80\x9c"},
		{"a\tmx", ErrControlChar, "\t"},
		{"ip4:1.2.3.4\ninclude:example.com", ErrControlChar, "\n"},
		{"a:example.com\x00", ErrControlChar, "\x00"},
		{"a:example.com\x7f", ErrControlChar, "\x7f"},
	} {
		rec := Parse("v=spf1 ip4:192.0.2.1 " + tc.terms + " -all")
		if len(rec.Errors) != 1 {
			t.Errorf("%q: errors %v, expected one %s", tc.terms, rec.Errors, tc.code)
			continue
		}
		e := rec.Errors[0]
		if e.Code != tc.code || e.Text != tc.text || rec.Text[e.Start:e.End] != tc.text {
			t.Errorf("%q: %v (span %v), expected %s %q", tc.terms, &e, e.Span, tc.code, tc.text)
		}
		if !slices.Contains(SyntaxCodes, e.Code) {
			t.Errorf("%s is not in SyntaxCodes", e.Code)
		}
		if tm := rec.Terms[e.Term]; !tm.Invalid || e.Start < tm.Start || e.End > tm.End {
			t.Errorf("%q: error %v is not inside of its term %v", tc.terms, e.Span, tm)
		}
	}
}

// TestParseGood: what looks odd and is allowed.
func TestParseGood(t *testing.T) {
	for _, terms := range []string{
		"", " ", "   -all   ", "a  mx", "A MX PTR ALL IP4:192.0.2.1 InClUdE:Example.COM",
		"moo.cow-far_out=man:dog/cat", "moo=", "moo=%{c}%{r}%{t}%%%_%-", "x=a=b", "default=+", "include=example.com", "a=b", "ip4=1.2.3.4",
		"a:foo:bar/baz.example.com", "a:foo:bar/baz.example.com/24//64", "a:example.com./24", "mx:%{d}/24", "mx:%{d}//64", "mx:%{l/}/0//0",
		"a/0", "a//0", "a/32//128", "a:.com", "a:a..com", "a:_x.example.com", "a:example.xn--zckzah", "a:x.0a", "a:x.1-1", "a:x.a1",
		"ip4:1.2.3.4", "ip4:0.0.0.0/0", "ip4:1.2.3.4/8", "ip6:::/0", "ip6:::FFFF:1.2.3.4/128", "ip6:1:2:3:4:5:6:7::",
		"exists:%{i}", "exists:%%", "exists:x%_", "exists:x%-", "exists:%{IR}.x.com", "exists:%{d128r.-+,/_=}", "exists:%{L}._u.%{D2}", "exists:%{d00002}.com",
		"redirect=%{d}", "redirect=a.example.com exp=b.example.com all",
	} {
		if rec := Parse("v=spf1 " + terms); len(rec.Errors) > 0 {
			t.Errorf("%q: %v", terms, &rec.Errors[0])
		}
	}
}

func TestParseTerms(t *testing.T) {
	text := "v=spf1 -A:%{l/}.x/y.Example.com/24//64  ip4:192.0.2.7/24 ip6:2001:DB8::/32 ~mx//0 Redirect=_s.%{d2} foo=bar"
	rec := Parse(text)
	for i := range rec.Terms {
		rec.Terms[i].macros = nil
	}
	want := []Term{
		{Span: Span{7, 39}, Text: "-A:%{l/}.x/y.Example.com/24//64", Qualifier: Minus, Explicit: true, Name: "a", Domain: "%{l/}.x/y.Example.com", DomainSpan: Span{10, 31}, CIDR4: 24, CIDR6: 64},
		{Span: Span{0, 0}, Text: "ip4:192.0.2.7/24", Qualifier: Plus, Name: "ip4", Prefix: netip.MustParsePrefix("192.0.2.7/24"), CIDR4: 24, CIDR6: -1},
		{Text: "ip6:2001:DB8::/32", Qualifier: Plus, Name: "ip6", Prefix: netip.MustParsePrefix("2001:db8::/32"), CIDR4: -1, CIDR6: 32},
		{Text: "~mx//0", Qualifier: Tilde, Explicit: true, Name: "mx", CIDR4: -1, CIDR6: 0},
		{Text: "Redirect=_s.%{d2}", Name: "redirect", Modifier: true, Domain: "_s.%{d2}", CIDR4: -1, CIDR6: -1},
		{Text: "foo=bar", Name: "foo", Modifier: true, Domain: "bar", CIDR4: -1, CIDR6: -1},
	}
	for i := range want {
		w := &want[i]
		w.Start = strings.Index(text, w.Text)
		w.End = w.Start + len(w.Text)
		if w.Domain != "" {
			at := strings.Index(text, w.Domain)
			w.DomainSpan = Span{at, at + len(w.Domain)}
		}
		if i < len(rec.Terms) && !reflect.DeepEqual(rec.Terms[i], *w) {
			t.Errorf("term %d:\n got %+v\nwant %+v", i, rec.Terms[i], *w)
		}
	}
	if len(rec.Terms) != len(want) || len(rec.Errors) != 0 {
		t.Errorf("%d terms, errors %v", len(rec.Terms), rec.Errors)
	}
	rec = Parse(text)
	if rec.Redirect() == nil || rec.All() != nil || rec.Exp() != nil {
		t.Error("Redirect, All, Exp")
	}
	if m := rec.Terms[0].Macros() + rec.Redirect().Macros(); m != "ld" {
		t.Errorf("Macros %q", m)
	}
	if !Parse("v=spf1 include=x").Terms[0].MechanismAsModifier() || rec.Terms[0].MechanismAsModifier() {
		t.Error("MechanismAsModifier")
	}
}

// FuzzParse: spans are the text, nothing is lost, and the whole is the sum of
// its terms.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"v=spf1 -all", "v=spf1 a/24//64 mx:%{d2r.-}/8 ip6:::1/0 redirect=%{i}.x.com exp=%{p}", "v=spf1  %{ %", "\x00\xff =:/ -", "v=spf1 exp=a.b exp=a.b",
		"v=spf1 a:%{l/}/1.com/24 a:%%/%_.%-/1//2", "v=spf1 exists:%{d99999999999999999999r}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := Parse(text)
		if !reflect.DeepEqual(r, Parse(text)) {
			t.Fatal("not deterministic")
		}
		at := 0
		var parts []string
		for i := range r.Terms {
			tm := &r.Terms[i]
			if tm.Start < at || tm.End <= tm.Start || tm.End > len(text) || text[tm.Start:tm.End] != tm.Text {
				t.Fatalf("span %v of %q", tm.Span, tm.Text)
			}
			if tm.Domain != "" && text[tm.DomainSpan.Start:tm.DomainSpan.End] != tm.Domain {
				t.Fatalf("domain span %v of %q", tm.DomainSpan, tm.Domain)
			}
			if i > 0 && strings.Trim(text[at:tm.Start], " ") != "" {
				t.Fatalf("text lost before %q", tm.Text)
			}
			at = tm.End
			parts = append(parts, tm.Text)
			if !tm.Invalid && !tm.Modifier && !isMechanism(tm.Name) {
				t.Fatalf("%q is valid", tm.Text)
			}
			if (tm.Name == "ip4" || tm.Name == "ip6") && !tm.Modifier && !tm.Invalid && !tm.Prefix.IsValid() {
				t.Fatalf("%q has no network", tm.Text)
			}
		}
		for i := range r.Errors {
			e := &r.Errors[i]
			if e.Start < 0 || e.End < e.Start || e.End > len(text) || text[e.Start:e.End] != e.Text || !r.Terms[e.Term].Invalid || !slices.Contains(SyntaxCodes, e.Code) {
				t.Fatalf("error %+v", e)
			}
			if e.Start < r.Terms[e.Term].Start || e.End > r.Terms[e.Term].End {
				t.Fatalf("error %v outside of its term", e)
			}
		}
		again := Parse("v=spf1 " + strings.Join(parts, " "))
		if len(again.Terms) != len(r.Terms) || len(again.Errors) != len(r.Errors) {
			t.Fatalf("joined again: %d terms, %d errors; before %d, %d", len(again.Terms), len(again.Errors), len(r.Terms), len(r.Errors))
		}
		for i := range again.Terms {
			a, b := again.Terms[i], r.Terms[i]
			if a.Text != b.Text || a.Name != b.Name || a.Invalid != b.Invalid || a.Domain != b.Domain || a.Prefix != b.Prefix || a.CIDR4 != b.CIDR4 || a.CIDR6 != b.CIDR6 {
				t.Fatalf("joined again: %+v, before %+v", a, b)
			}
		}
	})
}
