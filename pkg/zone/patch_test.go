package zone

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

func TestPatch(t *testing.T) {
	const file = `$ORIGIN example.com.
$TTL 100
@ SOA ns hostmaster 1 2 3 4 50
@ NS ns
@ 90 TXT "v=spf1 -all"
@ 90 TXT "other"
@ MX 10 mail
mail A 192.0.2.1
www CNAME mail
hop CNAME www
w.sub A 192.0.2.3
*.wild TXT "w1"
*.wild TXT "w2"
*.wild A 192.0.2.4
own.wild TXT "mine"
*.alias CNAME mail
*.one TXT "only"
*.redo TXT "before"
x.redo A 192.0.2.9
`
	const spf, dmarc = "v=spf1 ip4:192.0.2.1 -all", "v=DMARC1; p=none"
	long := strings.Repeat("k", 300)
	for _, tc := range []struct {
		name  string
		edits []diag.Edit
		want  []lookupCase
	}{
		{"one record of several is replaced in its place, the rest and other types stay",
			[]diag.Edit{{Name: "Example.com.", Type: "TXT", Old: "v=spf1 -all", New: spf}},
			[]lookupCase{
				{"example.com TXT", `zone found example.com="` + spf + `" example.com="other" ttl=90`},
				{"example.com MX", "zone found example.com=10 mail.example.com. ttl=100"},
				{"none.example.com TXT", "zone nxdomain ttl=50"},
			}},
		{"records added to a set that is there, and the same twice",
			[]diag.Edit{{Name: "example.com", Type: "MX", New: "20 mail2.example.com"}, {Name: "example.com", Type: "MX", New: "10 mail.example.com."}},
			[]lookupCase{{"example.com MX", "zone found example.com=10 mail.example.com. example.com=20 mail2.example.com. ttl=100"}}},
		{"all records removed is NoData, never NXDomain of a name that has others",
			[]diag.Edit{{Name: "example.com", Type: "TXT", Old: "v=spf1 -all"}, {Name: "example.com", Type: "TXT", Old: "other"}},
			[]lookupCase{{"example.com TXT", "zone nodata ttl=90"}, {"example.com MX", "zone found example.com=10 mail.example.com. ttl=100"}}},
		{"a new name: found, other types NoData, what is above it exists, what is below or beside it does not",
			[]diag.Edit{{Name: "s1._domainkey.example.com", Type: "TXT", New: long}},
			[]lookupCase{
				{"s1._domainkey.example.com TXT", `zone found s1._domainkey.example.com="` + long[:255] + `" "` + long[255:] + `" ttl=3600`},
				{"s1._domainkey.example.com A", "zone nodata ttl=50"},
				{"_domainkey.example.com TXT", "zone nodata ttl=50"},
				{"s2._domainkey.example.com TXT", "zone nxdomain ttl=50"},
				{"x.s1._domainkey.example.com TXT", "zone nxdomain ttl=50"},
				{"example.com TXT", `zone found example.com="v=spf1 -all" example.com="other" ttl=90`},
			}},
		{"a fix of a record that is not there is not a fix",
			[]diag.Edit{{Name: "example.com", Type: "TXT", Old: "v=spf1 ~all", New: spf}, {Name: "mail.example.com", Type: "TXT", Old: "x"}, {Name: "nx.example.com", Type: "TXT", Old: "x", New: "y"}},
			[]lookupCase{
				{"example.com TXT", `malformed: the record to change is not there: "v=spf1 ~all"`},
				{"example.com MX", "zone found example.com=10 mail.example.com. ttl=100"},
				{"mail.example.com TXT", `malformed: the record to change is not there: "x"`},
				{"mail.example.com A", "zone found mail.example.com=192.0.2.1 ttl=100"},
				{"nx.example.com TXT", `malformed: the record to change is not there: "x"`},
			}},
		{"the same record changed twice",
			[]diag.Edit{{Name: "mail.example.com", Type: "A", Old: "192.0.2.1", New: "192.0.2.5"}, {Name: "mail.example.com", Type: "A", Old: "192.0.2.1", New: "192.0.2.6"}},
			[]lookupCase{{"mail.example.com A", `malformed: the record to change is not there: "192.0.2.1"`}}},
		{"a record beside a CNAME: the records at its target are not those of the name",
			[]diag.Edit{{Name: "www.example.com", Type: "TXT", New: spf}},
			[]lookupCase{
				{"www.example.com TXT", "malformed: a record beside a CNAME"},
				{"www.example.com A", "malformed: a record beside a CNAME"},
				{"www.example.com CNAME", "malformed: a record beside a CNAME"},
				{"hop.example.com A", "malformed: at the alias target www.example.com: a record beside a CNAME"},
				{"mail.example.com A", "zone found mail.example.com=192.0.2.1 ttl=100"},
			}},
		{"the target of an alias is edited: the alias sees it",
			[]diag.Edit{{Name: "mail.example.com", Type: "A", Old: "192.0.2.1", New: "192.0.2.8"}},
			[]lookupCase{{"hop.example.com A", "zone found >www.example.com >mail.example.com mail.example.com=192.0.2.8 ttl=100"},
				{"hop.example.com AAAA", "zone nodata >www.example.com >mail.example.com ttl=50"}}},
		{"a CNAME added to a new name leads every type away",
			[]diag.Edit{{Name: "new.example.com", Type: "CNAME", New: "mail.example.com"}},
			[]lookupCase{{"new.example.com A", "zone found >mail.example.com mail.example.com=192.0.2.1 ttl=100"},
				{"new.example.com MX", "zone nodata >mail.example.com ttl=50"},
				{"new.example.com CNAME", "zone found new.example.com=mail.example.com. ttl=3600"}}},
		{"a CNAME added to a name with records, or at the top",
			[]diag.Edit{{Name: "mail.example.com", Type: "CNAME", New: "www.example.net"}, {Name: "example.com", Type: "CNAME", New: "mail.example.com"}},
			[]lookupCase{{"mail.example.com TXT", "malformed: a record beside a CNAME"}, {"mail.example.com CNAME", "malformed: a record beside a CNAME"},
				{"example.com A", "malformed: a record beside a CNAME"}}},
		{"a CNAME in place of the records that were there",
			[]diag.Edit{{Name: "mail.example.com", Type: "A", Old: "192.0.2.1"}, {Name: "mail.example.com", Type: "CNAME", New: "w.sub.example.com"}},
			[]lookupCase{{"mail.example.com A", "zone found >w.sub.example.com w.sub.example.com=192.0.2.3 ttl=100"}}},
		{"records in place of the CNAME that was there",
			[]diag.Edit{{Name: "www.example.com", Type: "CNAME", Old: "mail.example.com"}, {Name: "www.example.com", Type: "A", New: "192.0.2.7"}},
			[]lookupCase{{"www.example.com A", "zone found www.example.com=192.0.2.7 ttl=3600"}, {"www.example.com MX", "zone nodata ttl=100"},
				{"www.example.com CNAME", "zone nodata ttl=100"}, {"hop.example.com A", "zone found >www.example.com www.example.com=192.0.2.7 ttl=100"}}},
		{"a CNAME changed, into a circle too",
			[]diag.Edit{{Name: "www.example.com", Type: "CNAME", Old: "mail.example.com", New: "hop.example.com"}},
			[]lookupCase{{"www.example.com A", "malformed: CNAME loop"}, {"hop.example.com A", "malformed: CNAME loop"}, {"www.example.com CNAME", "zone found www.example.com=hop.example.com. ttl=100"}}},
		{"two CNAMEs", []diag.Edit{{Name: "www.example.com", Type: "CNAME", New: "hop.example.com"}},
			[]lookupCase{{"www.example.com A", "malformed: two CNAME records at one name"}}},
		{"a name that a wildcard answered for gets a record: nothing of the wildcard is left at it",
			[]diag.Edit{{Name: "_dmarc.wild.example.com", Type: "TXT", New: dmarc}},
			[]lookupCase{
				{"_dmarc.wild.example.com TXT", `zone found _dmarc.wild.example.com="` + dmarc + `" ttl=100`},
				{"_dmarc.wild.example.com A", "zone nodata ttl=100"},
				{"other.wild.example.com TXT", `zone found other.wild.example.com="w1" other.wild.example.com="w2" ttl=100`},
			}},
		{"a wildcard's record replaced at one name",
			[]diag.Edit{{Name: "a.wild.example.com", Type: "TXT", Old: "w1", New: "mine"}},
			[]lookupCase{{"a.wild.example.com TXT", `zone found a.wild.example.com="mine" ttl=100`}}},
		{"a wildcard's record cannot be removed at one name",
			[]diag.Edit{{Name: "a.wild.example.com", Type: "TXT", Old: "w1"}},
			[]lookupCase{{"a.wild.example.com TXT", `malformed: the record to remove is not at this name but at a wildcard: "w1"`}}},
		{"a name with records of its own beside a wildcard keeps them",
			[]diag.Edit{{Name: "own.wild.example.com", Type: "TXT", New: "more"}},
			[]lookupCase{{"own.wild.example.com TXT", `zone found own.wild.example.com="mine" own.wild.example.com="more" ttl=100`}, {"own.wild.example.com A", "zone nodata ttl=50"}}},
		{"a name under a wildcard CNAME gets a record: that is not beside a CNAME",
			[]diag.Edit{{Name: "_dmarc.alias.example.com", Type: "TXT", New: dmarc}},
			[]lookupCase{
				{"_dmarc.alias.example.com TXT", `zone found _dmarc.alias.example.com="` + dmarc + `" ttl=3600`},
				{"_dmarc.alias.example.com A", "zone nodata ttl=100"},
				{"_dmarc.alias.example.com CNAME", "zone nodata ttl=100"},
				{"x.alias.example.com A", "zone found >mail.example.com mail.example.com=192.0.2.1 ttl=100"},
			}},
		{"a new empty name blocks the wildcard above it (RFC 4592 §2.2.2)",
			[]diag.Edit{{Name: "a.b.one.example.com", Type: "TXT", New: "n"}},
			[]lookupCase{
				{"b.one.example.com TXT", "zone nodata ttl=100"},
				{"c.b.one.example.com TXT", "zone nxdomain ttl=100"},
				{"c.one.example.com TXT", `zone found c.one.example.com="only" ttl=100`},
			}},
		{"a new wildcard answers for what did not exist, and for nothing else",
			[]diag.Edit{{Name: "*.example.com", Type: "TXT", New: "star"}},
			[]lookupCase{
				{"nx.example.com TXT", `zone found nx.example.com="star" ttl=3600`},
				{"a.nx.example.com TXT", `zone found a.nx.example.com="star" ttl=3600`},
				{"nx.example.com A", "zone nodata ttl=50"},
				{"mail.example.com TXT", "zone nodata ttl=50"},
				{"x.mail.example.com TXT", "zone nxdomain ttl=50"},
				{"sub.example.com TXT", "zone nodata ttl=50"},
				{"x.sub.example.com TXT", "zone nxdomain ttl=50"},
				{"example.com TXT", `zone found example.com="v=spf1 -all" example.com="other" ttl=90`},
			}},
		{"a wildcard changed",
			[]diag.Edit{{Name: "*.redo.example.com", Type: "TXT", Old: "before", New: "after"}},
			[]lookupCase{{"a.redo.example.com TXT", `zone found a.redo.example.com="after" ttl=100`}, {"x.redo.example.com TXT", "zone nodata ttl=50"},
				{"x.redo.example.com A", "zone found x.redo.example.com=192.0.2.9 ttl=100"}, {"redo.example.com TXT", "zone nodata ttl=50"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			under := mustSet(t, mustParse(t, file, "")).Overlay(dnsq.OfflineResolver("not in the files"))
			r, err := Patch(under, tc.edits)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < 2; i++ { // what was found out the first time changes nothing
				for _, c := range tc.want {
					if got := ask(r, c.q); got != c.want {
						t.Errorf("%s: got %s, want %s", c.q, got, c.want)
					}
				}
			}
		})
	}
}

// TestPatchUnknown: what cannot be learnt now cannot be learnt with an edit.
func TestPatchUnknown(t *testing.T) {
	w := &world{
		answers: map[string]*dnsq.Answer{
			"www.example.com TXT":        {Outcome: dnsq.Found, TTL: 5, RRs: []dnsq.RR{{Name: "www.example.com", Type: dnsq.TypeTXT, TTL: 5, Strings: []string{"a"}}}},
			"x.example.net A":            live("203.0.113.1", "www.example.com"),
			"servfail.example.net CNAME": {Outcome: dnsq.Found, TTL: 9, RRs: []dnsq.RR{{Type: dnsq.TypeCNAME, Host: "new.example.com"}}},
			"new.example.com A":          live(""),
			"single.example.com TXT":     {Outcome: dnsq.Found, TTL: 5, RRs: []dnsq.RR{{Name: "single.example.com", Type: dnsq.TypeTXT, TTL: 5, Strings: []string{"a"}}}},
		},
		errs: map[string]dnsq.Reason{"example.com TXT": dnsq.ServFail, "servfail.example.net A": dnsq.ServFail},
	}
	r, err := Patch(w, []diag.Edit{
		{Name: "example.com", Type: "TXT", Old: "a", New: "b"},
		{Name: "www.example.com", Type: "TXT", New: "b"},
		{Name: "new.example.com", Type: "A", New: "192.0.2.1"},
		{Name: "single.example.com", Type: "TXT", Old: "a", New: "b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for q, want := range map[string]string{
		"example.com TXT": "servfail: ",
		// Whether "a" stays depends on a wildcard that could not be asked for.
		"www.example.com TXT": "timeout: it needs *.example.com TXT",
		// Replaced as a whole: it depends on nothing else.
		"single.example.com TXT": `zone found single.example.com="b" ttl=5`,
		"new.example.com A":      "zone found new.example.com=192.0.2.1 ttl=3600",
		"servfail.example.net A": "zone found >new.example.com new.example.com=192.0.2.1 ttl=9",
	} {
		if got := ask(r, q); got != want {
			t.Errorf("%s: got %s, want %s", q, got, want)
		}
	}
}

func TestPatchNotTouched(t *testing.T) {
	w := &world{answers: map[string]*dnsq.Answer{"www.example.net A": live("203.0.113.1"), "mail.example.com A": live("203.0.113.2")}}
	r, err := Patch(w, []diag.Edit{{Name: "_dmarc.example.com", Type: "TXT", New: "v=DMARC1; p=none"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{"www.example.net A", "mail.example.com A"} {
		a, err := r.Ask(context.Background(), question(q))
		if err != nil || a.Server == "" || a.Source != dnsq.SourceDNS {
			t.Errorf("%s: %+v %v", q, a, err)
		}
	}
	if len(w.asked) != 2 {
		t.Errorf("asked %q: an edit of one name costs no questions at others", w.asked)
	}
}

func TestPatchRefuses(t *testing.T) {
	for _, tc := range []struct {
		edit diag.Edit
		want string
	}{
		{diag.Edit{Name: "example.com", Type: "TXT"}, "neither an old nor a new"},
		{diag.Edit{Name: "example.com", Type: "NS", New: "ns.example.net"}, "reaches beyond"},
		{diag.Edit{Name: "example.com", Type: "DNAME", New: "example.net"}, "reaches beyond"},
		{diag.Edit{Name: "example..com", Type: "A", New: "192.0.2.1"}, "empty label"},
		{diag.Edit{Name: "example.com", Type: "ANY", New: "x"}, "not a type"},
		{diag.Edit{Name: "example.com", Type: "A", New: "mail"}, "not an IPv4"},
		{diag.Edit{Name: "example.com", Type: "A", New: "192.0.2.1\n192.0.2.2"}, "more than one line"},
		{diag.Edit{Name: "example.com", Type: "MX", New: "10 mail ; x"}, "semicolon"},
		{diag.Edit{Name: "example.com", Type: "MX", Old: "10 mail (", New: "10 mail"}, "not closed"},
		{diag.Edit{Name: "example.com", Type: "CAA", New: " "}, "no data"},
		{diag.Edit{Name: "example.com", Type: "TXT", New: strings.Repeat("x", 65536)}, "longer than 65535"},
	} {
		if _, err := Patch(dnsq.OfflineResolver(""), []diag.Edit{tc.edit}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%.80v: %v, want %s", tc.edit, err, tc.want)
		}
	}
}

func TestFormatEdit(t *testing.T) {
	rm, add, err := FormatEdit(diag.Edit{Name: "example.com", Type: "TXT", Old: `a"b`, New: strings.Repeat("x", 256)})
	if err != nil || rm != `example.com. IN TXT "a\"b"` || add != `example.com. IN TXT "`+strings.Repeat("x", 255)+`" "x"` {
		t.Errorf("%s %s %v", rm, add, err)
	}
	rm, add, err = FormatEdit(diag.Edit{Name: "例え.jp", Type: "mx", New: "10 mail.例え.jp"})
	if err != nil || rm != "" || add != "xn--r8jz45g.jp. IN MX 10 mail.xn--r8jz45g.jp." {
		t.Errorf("%s %s %v", rm, add, err)
	}
	if _, _, err = FormatEdit(diag.Edit{Name: "example.com", Type: "MX", Old: "x"}); err == nil {
		t.Error("a broken record has a line")
	}
}

// TestEditText: an edit made of a record is an edit of that record.
func TestEditText(t *testing.T) {
	z := mustParse(t, "@ SOA a b 1 2 3 4 5\na TXT \"x y\" \"z\\\"\\;\"\nb MX 10 c\nd A 192.0.2.1\ne AAAA 2001:db8::1\nf SRV 1 2 3 g\nh CAA 0 issue \"x;y\"\n", "example.com")
	for _, rr := range z.Records {
		back, err := RecordOf(rr.Name, rr.Type.String(), EditText(rr))
		if err != nil || !sameText(&back, &rr) {
			t.Errorf("%s: %q gives %+v %v", rr.Name, EditText(rr), back, err)
		}
	}
}

// TestPatchConcurrent: resolvers are shared by all checks of a run.
func TestPatchConcurrent(t *testing.T) {
	under := mustSet(t, mustParse(t, "*.w TXT \"a\"\n*.w TXT \"b\"\n", "example.com")).Overlay(dnsq.OfflineResolver(""))
	r, err := Patch(under, []diag.Edit{{Name: "x.y.w.example.com", Type: "TXT", New: "n"}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan string)
	const n = 16
	for i := 0; i < n; i++ {
		go func() {
			done <- ask(r, "x.y.w.example.com TXT") + "|" + ask(r, "z.y.w.example.com TXT")
		}()
	}
	for i := 0; i < n; i++ {
		if got, want := <-done, `zone found x.y.w.example.com="n" ttl=3600|zone nxdomain ttl=3600`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestCompose(t *testing.T) {
	e := func(name, old, new string) diag.Edit { return diag.Edit{Name: name, Type: "TXT", Old: old, New: new} }
	for _, c := range []struct {
		what              string
		first, then, want []diag.Edit
	}{
		{"changed twice", []diag.Edit{e("a", "1", "2")}, []diag.Edit{e("A.", "2", "3")}, []diag.Edit{e("a", "1", "3")}},
		{"added, then changed", []diag.Edit{e("a", "", "2")}, []diag.Edit{e("a", "2", "3")}, []diag.Edit{e("a", "", "3")}},
		{"added, then removed", []diag.Edit{e("a", "", "2")}, []diag.Edit{e("a", "2", "")}, nil},
		{"removed, then put back", []diag.Edit{e("a", "1", "")}, []diag.Edit{e("a", "", "1")}, nil},
		{"removed, then another", []diag.Edit{e("a", "1", "")}, []diag.Edit{e("a", "", "2")}, []diag.Edit{e("a", "1", ""), e("a", "", "2")}},
		{"changed, then removed", []diag.Edit{e("a", "1", "2")}, []diag.Edit{e("a", "2", "")}, []diag.Edit{e("a", "1", "")}},
		{"changed back", []diag.Edit{e("a", "1", "2")}, []diag.Edit{e("a", "2", "1")}, nil},
		{"another name", []diag.Edit{e("a", "1", "2")}, []diag.Edit{e("b", "2", "3")}, []diag.Edit{e("a", "1", "2"), e("b", "2", "3")}},
		{"cut anew", nil, []diag.Edit{e("a", "1", "1")}, []diag.Edit{e("a", "1", "1")}},
		{"two alike in one set are two", []diag.Edit{e("a", "", "1"), e("a", "1", "2")}, nil, []diag.Edit{e("a", "", "1"), e("a", "1", "2")}},
	} {
		got, err := Compose(c.first, c.then)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v %v", c.what, got, err)
		}
	}
	if _, err := Compose(nil, []diag.Edit{{Name: "a..b", Type: "TXT", New: "x"}}); err == nil {
		t.Error("a name that is none")
	}
}
