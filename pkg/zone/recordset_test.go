package zone

import (
	"slices"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

func sets(t testing.TB, lines ...string) *RecordSets {
	t.Helper()
	s, err := ParseRecordSets(lines, "flag")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParseRecordSets(t *testing.T) {
	long := strings.Repeat("x", 300)
	for line, want := range map[string]string{
		`example.com TXT "v=spf1 -all"`:                           `example.com. 3600 IN TXT "v=spf1 -all"`,
		`example.com TXT v=spf1 include:x.example -all`:           `example.com. 3600 IN TXT "v=spf1 include:x.example -all"`,
		`_dmarc.example.com TXT v=DMARC1; p=none`:                 `_dmarc.example.com. 3600 IN TXT "v=DMARC1; p=none"`,
		`example.com. 300 IN TXT "a" "b"`:                         `example.com. 300 IN TXT "a" "b"`,
		"\texample.com \t IN 1h  MX  10 mail.example.com ":        `example.com. 3600 IN MX 10 mail.example.com.`,
		`Example.COM mx 0 .`:                                      `example.com. 3600 IN MX 0 .`,
		`*.example.com A 192.0.2.1`:                               `*.example.com. 3600 IN A 192.0.2.1`,
		`例え.jp AAAA 2001:db8::1`:                                  `xn--r8jz45g.jp. 3600 IN AAAA 2001:db8::1`,
		`s1._domainkey.example.com CNAME s1.provider.example`:     `s1._domainkey.example.com. 3600 IN CNAME s1.provider.example.`,
		`example.com TXT ` + long:                                 `example.com. 3600 IN TXT "` + long[:255] + `" "` + long[:45] + `"`,
		`example.com TXT "` + long + `"`:                          `example.com. 3600 IN TXT "` + long[:255] + `" "` + long[:45] + `"`,
		`example.com TXT \# 3 02 61 62`:                           `example.com. 3600 IN TXT "ab"`,
		`_25._tcp.mail.example.com TLSA 3 1 1 ` + long[:0] + "ab": `_25._tcp.mail.example.com. 3600 IN TLSA 3 1 1 ab`,
	} {
		s, err := ParseRecordSets([]string{line}, "flag")
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if got := FormatRecord(s.rrs[0]); got != want || s.rrs[0].File != "flag" || s.rrs[0].Line != 0 {
			t.Errorf("%s: got %s, want %s", line, got, want)
		}
	}
	for line, want := range map[string]string{
		``:                             "expected NAME TYPE DATA",
		`example.com`:                  "expected NAME TYPE DATA",
		`example.com TXT`:              "the TXT record has no data: expected NAME",
		`example.com 300`:              "the type is missing: expected NAME",
		`example.com FOO bar`:          `"FOO" is not a record type: expected NAME`,
		`example.com "v=spf1 -all"`:    "is not a record type",
		`@ TXT x`:                      "is no name here",
		`a..b TXT x`:                   "empty label",
		`example.com A 192.0.2`:        "not an IPv4",
		`example.com MX mail`:          "ends too early",
		`example.com TXT "open`:        "not closed",
		`example.com TXT "a" ; b`:      "a semicolon outside quotes",
		`example.com MX 10 a ; b`:      "a semicolon outside quotes",
		"example.com TXT a\nb TXT c":   "more than one line",
		`example.com NS ns.example`:    "NS changes answers beyond its own name",
		`example.com CH TXT x`:         "class CH",
		`example.com ANY x`:            "not a record type",
		`example.com 1 2 IN TXT x`:     "not a record type",
		`example.com TYPE65280 \# 1 x`: "not valid data",
	} {
		if _, err := ParseRecordSets([]string{line}, "flag"); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
	if _, err := ParseRecordSets([]string{"a.example CNAME b.example", "a.example TXT x"}, ""); err == nil || !strings.Contains(err.Error(), "beside a CNAME") {
		t.Error(err)
	}
	if _, err := ParseRecordSets([]string{"a.example CNAME b.example", "a.example CNAME c.example"}, ""); err == nil {
		t.Error("two CNAMEs")
	}
}

// What is answered with sets in place: the sets themselves, and what their coming
// does to names beside, below and above.
func TestRecordSetsOver(t *testing.T) {
	z := mustParse(t, `$ORIGIN example.com.
$TTL 100
@ SOA ns hostmaster 1 2 3 4 50
@ TXT "v=spf1 old -all"
@ TXT "verification"
@ MX 10 mail
mail A 192.0.2.1
alias CNAME mail
*.wild A 192.0.2.2
*.wild MX 10 mail
own.wild TXT "x"
`, "")
	for _, tc := range []struct {
		sets string // by " | "
		want map[string]string
	}{
		{`example.com 7 TXT "v=spf1 new -all"`, map[string]string{
			"example.com TXT":     `zone found example.com="v=spf1 new -all" ttl=7`, // all of the old set is gone
			"example.com MX":      "zone found example.com=10 mail.example.com. ttl=100",
			"no.example.com A":    "zone nxdomain ttl=50",
			"alias.example.com A": "zone found >mail.example.com mail.example.com=192.0.2.1 ttl=100",
		}},
		{`example.com TXT "a" | example.com TXT "b" | example.com MX 0 .`, map[string]string{
			"example.com TXT": `zone found example.com="a" example.com="b" ttl=3600`,
			"example.com MX":  "zone found example.com=0 . ttl=3600",
		}},
		{`_dmarc.example.com TXT v=DMARC1; p=none`, map[string]string{
			"_dmarc.example.com TXT":   `zone found _dmarc.example.com="v=DMARC1; p=none" ttl=3600`,
			"_dmarc.example.com A":     "zone nodata ttl=50", // it exists now
			"a._dmarc.example.com TXT": "zone nxdomain ttl=50",
		}},
		{`s.k.example.com TXT x`, map[string]string{
			"k.example.com TXT":     "zone nodata ttl=50", // an empty non-terminal
			"other.k.example.com A": "zone nxdomain ttl=50",
		}},
		{`a.wild.example.com TXT x`, map[string]string{
			"a.wild.example.com TXT": `zone found a.wild.example.com="x" ttl=3600`,
			"a.wild.example.com MX":  "zone nodata ttl=100", // no longer the wildcard's
			"b.wild.example.com MX":  "zone found b.wild.example.com=10 mail.example.com. ttl=100",
		}},
		{`*.wild.example.com A 192.0.2.9`, map[string]string{
			"b.wild.example.com A":     "zone found b.wild.example.com=192.0.2.9 ttl=3600",
			"own.wild.example.com TXT": `zone found own.wild.example.com="x" ttl=100`,
		}},
		{`mail.example.com CNAME elsewhere.example.net`, map[string]string{
			"mail.example.com A": "malformed: a record beside a CNAME", // the address is still there
		}},
		{`new.example.com CNAME mail.example.com`, map[string]string{
			"new.example.com A":     "zone found >mail.example.com mail.example.com=192.0.2.1 ttl=100",
			"new.example.com CNAME": "zone found new.example.com=mail.example.com. ttl=3600",
		}},
		{`alias.example.com CNAME example.com`, map[string]string{
			"alias.example.com MX": "zone found >example.com example.com=10 mail.example.com. ttl=100",
		}},
		{`alias.example.com TXT x`, map[string]string{
			"alias.example.com TXT": "malformed: a record beside a CNAME",
		}},
		// What cannot be learnt is not needed for the set itself, only for the rest.
		{`example.net TXT x | k.example.net CNAME mail.example.com`, map[string]string{
			"example.net TXT": `zone found example.net="x" ttl=3600`,
			"k.example.net A": "zone found >mail.example.com mail.example.com=192.0.2.1 ttl=100",
			"example.net MX":  "offline: nothing is below",
		}},
	} {
		r := sets(t, strings.Split(tc.sets, " | ")...).Over(mustSet(t, z).Overlay(dnsq.OfflineResolver("nothing is below")))
		for q, want := range tc.want {
			if got := ask(r, q); got != want {
				t.Errorf("with %s, %s: got %s, want %s", tc.sets, q, got, want)
			}
		}
		a, err := r.Ask(t.Context(), question(strings.Fields(tc.sets)[0]+" TXT"))
		if err == nil && len(a.RRs) > 0 && strings.Contains(tc.sets, "TXT") && a.RRs[0].File != "flag" {
			t.Errorf("with %s: the record is of file %q", tc.sets, a.RRs[0].File)
		}
	}
}

func TestRecordSetsReplaceLints(t *testing.T) {
	z := &diag.ZoneFiles{Lints: []diag.Lint{{Name: "a.example", Type: "TXT"}, {Name: "a.example", Type: "MX"}, {Name: "b.example", Type: "TXT"}}}
	got := sets(t, "a.example TXT x").Replace(z)
	if len(got.Lints) != 2 || got.Lints[0].Type != "MX" || got.Lints[1].Name != "b.example" || len(z.Lints) != 3 {
		t.Errorf("%+v", got)
	}
	if sets(t, "a.example TXT x").Replace(nil) != nil {
		t.Error("of nothing comes something")
	}
	if names := MailNames(sets(t, "shop.example MX 1 a.example", "_dmarc.b.example TXT v=DMARC1").Zones()); len(names) != 2 || names[0].Domain != "b.example" || names[1].Domain != "shop.example" {
		t.Errorf("%+v", names)
	}
}

// FuzzRecordSet: nothing panics; what is read is answered, and reads back.
func FuzzRecordSet(f *testing.F) {
	for _, s := range []string{`example.com TXT "v=spf1 -all"`, `a 1 IN MX 10 b`, `*.a CNAME b.`, `x TXT a;b "c`, `\000. A 1.2.3.4`, `a TYPE65280 \# 2 abcd`, "a SRV 1 2 3 例"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		s, err := ParseRecordSets([]string{line}, "f")
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Fatalf("%q", err.Error())
			}
			return
		}
		rr := s.rrs[0]
		again, err := ParseRecordSets([]string{FormatRecord(rr)}, "f")
		if err != nil || !sameData(&again.rrs[0], &rr) || again.rrs[0].Name != rr.Name || again.rrs[0].TTL != rr.TTL {
			t.Fatalf("%q reads back as %+v: %v", FormatRecord(rr), again, err)
		}
		a, err := s.Over(dnsq.OfflineResolver("")).Ask(t.Context(), dnsq.Question{Name: rr.Name, Type: rr.Type})
		if err != nil || len(a.RRs) != 1 || !sameData(&a.RRs[0], &rr) || a.Source != dnsq.SourceZone {
			t.Fatalf("%q: %+v %v", line, a, err)
		}
	})
}

// A wildcard answers for names that no file lists: one of them stands for all.
func TestMailNamesWildcard(t *testing.T) {
	for _, c := range []struct{ records, want []string }{
		{[]string{"*.shop.example MX 1 a.example"}, []string{"any-name.shop.example"}},
		{[]string{"*.shop.example MX 1 a.example", "x.any-name.shop.example A 192.0.2.1"}, []string{"any-name-2.shop.example"}},
		{[]string{"*._domainkey.shop.example TXT v=DKIM1; p="}, []string{"shop.example"}},
		{[]string{"*.shop.example A 192.0.2.1", "*.shop.example TXT hello"}, nil},
	} {
		var got []string
		for _, n := range MailNames(sets(t, c.records...).Zones()) {
			got = append(got, n.Domain)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.records, got, c.want)
		}
	}
}
