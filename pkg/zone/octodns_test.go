package zone

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// A zone as octodns-dump writes it and people go on with.
func TestOctoDNS(t *testing.T) {
	s, err := OpenAll([]string{"testdata/octodns/example.com.yaml"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("testdata/octodns/example.com.want")
	if err != nil {
		t.Fatal(err)
	}
	z := s.Zones()[0]
	if got := dump(z); got != string(b) {
		t.Errorf("got\n%swant\n%s", got, b)
	}
	for i, rr := range z.Records {
		if rr.File != "testdata/octodns/example.com.yaml" || z.Spans[i].Line != rr.Line {
			t.Fatalf("%+v %+v", rr, z.Spans[i])
		}
	}
	// What is there and not read is not absent.
	checkLookups(t, s, []lookupCase{
		{"example.com A", "broken: an ALIAS of octoDNS, which the provider resolves"},
		{"example.com CAA", "broken: a type that is not read from octoDNS"},
		{"example.com SRV", "nodata ttl=0"},
		{"go.example.com TXT", "nodata ttl=0"}, // a redirect of the provider's
		{"gone.example.com A", "nxdomain ttl=0"},
		{"x.wild.example.com A", "found x.wild.example.com=192.0.2.80 ttl=300"},
	})
	for _, l := range Lint(s).Lints {
		t.Errorf("%+v", l)
	}
}

// dnscontrol's get-zones writes a zone file.
func TestDNSControl(t *testing.T) {
	b, err := os.ReadFile("testdata/dnscontrol/example.com.zone")
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenAll([]string{"-"}, strings.NewReader(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/dnscontrol/example.com.want")
	if err != nil {
		t.Fatal(err)
	}
	if got := dump(s.Zones()[0]); got != string(want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for _, l := range Lint(s).Lints {
		t.Errorf("%+v", l)
	}
}

func TestOctoDNSFolders(t *testing.T) {
	dir := folder(t, `
-- config/production.yaml --
providers:
  config: {class: octodns.provider.yaml.YamlProvider, directory: ./config}
zones:
  example.com.: {sources: [config]}
-- config/example.com.yaml --
'': {type: MX, value: {preference: 10, exchange: mail.example.com.}}
-- config/example.net./$example.net.yaml --
'': {type: TXT, value: v=spf1 -all}
-- config/example.net./www.yaml --
www: {type: A, values: [192.0.2.1, 192.0.2.2]}
-- config/sub/example.org.yaml --
x: {type: TXT, value: x}
-- alone/example.edu/$example.edu.yaml --
'': {type: TXT, value: v=spf1 -all}
`)
	s, err := OpenAll([]string{filepath.Join(dir, "config")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := zonesOf(s), "example.com:1 example.net:3"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if p := s.Passed(); len(p) != 2 || !strings.HasSuffix(p[0].File, "production.yaml") || p[0].Why != "a YAML file whose name is no domain" {
		t.Errorf("%+v", p)
	}
	if s, err = OpenAll([]string{filepath.Join(dir, "config", "example.net."), filepath.Join(dir, "alone", "example.edu"), filepath.Join(dir, "config", "sub", "example.org.yaml") + "@example.info"}, nil); err != nil {
		t.Fatal(err)
	}
	if got, want := zonesOf(s), "example.net:3 example.edu:1 example.info:1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, l := range Lint(s).Lints {
		t.Errorf("%+v", l)
	}
	e := s.Edit([]diag.Edit{{Name: "example.net", Type: "TXT", Old: "v=spf1 -all", New: "v=spf1 ~all"}}, time.Time{})
	if len(e.Files) != 0 || len(e.Unplaced) != 1 {
		t.Errorf("%+v", e)
	}
}

func TestOctoDNSErrors(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     []string // "line:column: part of the message"
	}{
		{"all faults, not only the first", "a: {type: A, value: nope}\nb: {type: MX, value: {preference: 10, exchange: mail}}\nc: {type: TXT}\n",
			[]string{"1:21: not an IPv4", "2:23: final dot: mail.", "3:1: value or values is missing"}},
		{"an unescaped semicolon, which octoDNS refuses", "_dmarc:\n  type: TXT\n  value: v=DMARC1; p=none\n", []string{`3:10: octoDNS wants \;`}},
		{"escaped once too often", "_dmarc:\n  type: TXT\n  value: v=DMARC1\\\\; p=none\n", []string{`3:10: one backslash too many`}},
		{"unknown keys", "a:\n  type: A\n  valeu: 192.0.2.1\n", []string{`3:3: unknown key "valeu": expected one of type`}},
		{"MX in the wrong words", "'': {type: MX, values: [{pref: 10, host: a.}, 10 mail]}\n", []string{`1:26: unknown key "pref"`, "1:47: expected a mapping"}},
		{"no type", "a: {value: x}\n", []string{"1:1: the type is missing"}},
		{"the same set twice", "a: [{type: A, value: 192.0.2.1}, {type: A, value: 192.0.2.2}]\n", []string{"1:41: a second set of type A"}},
		{"the same name twice", "a: {type: A, value: 192.0.2.1}\na: {type: AAAA, value: \"2001:db8::1\"}\n", []string{`2:1: "a" stands here a second time`}},
		{"names of zone files", "'@': {type: A, value: 192.0.2.1}\na.: {type: A, value: 192.0.2.1}\n", []string{"1:1: octoDNS writes ''", "2:1: ends in a dot"}},
		{"ttl", "a: {type: A, ttl: 1h, value: 192.0.2.1}\n", []string{`1:19: ttl "1h": expected seconds`}},
		{"includes", "a: !include x.yaml\n", []string{"1:4: !include"}},
		{"merge keys", "a: &x {type: A}\nb: {<<: *x, value: 192.0.2.1}\n", []string{"2:5: merge keys"}},
		{"a reference to nothing", "a: *x\n", []string{"1:4: no anchor above it"}},
		{"a reference to itself", "a: &x [*x]\n", []string{"1:7: expected a mapping"}},
		{"no mapping", "- a\n- b\n", []string{"1:1: expected a mapping"}},
		{"not YAML", "a: [\n", []string{"0:0: is no YAML"}},
		{"empty", "---\n", []string{"0:0: holds no records"}},
		{"the configuration in place of a zone", "providers:\n  config:\n    class: x\nzones:\n  a.: {}\n", []string{"1:1: the configuration of octoDNS"}},
		{"deep", strings.Repeat("[", 10000), []string{"1:25: nested more than"}},
		{"not UTF-8", "a: \xff\n", []string{"0:0: not valid UTF-8"}},
		{"unknown types", "a: {type: FOO, value: x}\n", []string{`1:23: "FOO" is not a record type`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			z, err := ParseOctoDNS([]byte(tc.in), "f.yaml", "example.com")
			var es Errors
			if !errors.As(err, &es) || z != nil {
				t.Fatalf("no Errors: %v", err)
			}
			for i, e := range es {
				if i >= len(tc.want) {
					t.Errorf("one too many: %v", e)
					continue
				}
				where, part, _ := strings.Cut(tc.want[i], ": ")
				if got := fmt.Sprintf("%d:%d", e.Line, e.Column); (where != "0:0" && got != where) || !strings.Contains(e.Msg, part) {
					t.Errorf("got %v, want %s", e, tc.want[i])
				}
			}
			if len(es) < len(tc.want) {
				t.Errorf("got %d errors, want %d: %v", len(es), len(tc.want), es)
			}
		})
	}
	if _, err := ParseOctoDNS([]byte("a: {type: A, value: 192.0.2.1}\n"), "f.yaml", ""); err == nil || !strings.Contains(err.Error(), "FILE@ORIGIN") {
		t.Error(err)
	}
}

// FuzzOctoDNS: nothing panics; what is read can be printed as a zone file and
// read again.
func FuzzOctoDNS(f *testing.F) {
	b, err := os.ReadFile("testdata/octodns/example.com.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(b))
	for _, s := range []string{"a: &x {type: A, value: 192.0.2.1}\nb: *x\n", "? ''\n: - type: TXT\n    values: ['\"a\" \"b\"', 'c\\;']\n", "x: {type: MX, values: [{priority: 1, value: a.}]}\n", "a: {type: X/Y, value: 1}\nb: {type: TYPE65280, value: x}\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		z, err := ParseOctoDNS([]byte(src), "f", "example.com")
		if err != nil {
			var es Errors
			if !errors.As(err, &es) || len(es) == 0 || z != nil {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		if len(z.Records) != len(z.Spans) {
			t.Fatal("spans")
		}
		for _, rr := range z.Records {
			back, err := Parse(strings.NewReader(FormatRecord(rr)+"\n"), "f", ".")
			if err != nil || len(back.Records) != 1 || !sameData(&back.Records[0], &rr) || rr.Line < 1 {
				t.Fatalf("%q: %v", FormatRecord(rr), err)
			}
		}
		s, err := NewSet(z)
		if err != nil {
			t.Fatal(err)
		}
		Lint(s)
		s.Lookup(dnsq.Q("example.com", dnsq.TypeA))
	})
}
