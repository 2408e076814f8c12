package zone

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
)

// lintOf is what Lint says of zones, a line each: place, code, and what was meant.
func lintOf(s *Set) []string {
	var out []string
	for _, l := range Lint(s).Lints {
		out = append(out, strings.TrimRight(fmt.Sprintf("%d %s %s", l.Place.Line, l.Code, l.Meant), " "))
	}
	return out
}

// What is wrong is in checks/zone/testdata, a fixture for each code. Here is what
// looks like it and is right, and what stands close to the border.
func TestLint(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       []string
	}{
		{"relative names with dots that exist in the zone", "@ MX 10 mx.lan\nmx.lan A 192.0.2.1\n@ MX 20 a.com\na.com A 192.0.2.1\n", nil},
		{"a relative name that a wildcard answers for", "@ MX 10 mx.mailer.com\n*.com A 192.0.2.1\n", nil},
		{"subdomains that are named like top-level domains", "@ MX 10 mail.shop\n@ MX 20 mail.us\n@ MX 30 mail.cloud\n", nil},
		{"others' names without their dot", "@ MX 10 aspmx.l.google.com\nx CNAME mx.isp.co.jp\n_s._tcp SRV 1 2 25 mx.isp.net\n",
			[]string{"1 missing-dot aspmx.l.google.com", "2 missing-dot mx.isp.co.jp", "3 missing-dot mx.isp.net"}},
		{"the root, the origin, one label", "@ MX 0 .\n@ MX 10 @\n@ MX 20 mail\n", nil},
		{"a name that only looks like the origin's", "@ MX 10 mail.notexample.com.\nnotexample.com A 192.0.2.1\n", nil},
		{"$GENERATE has no text of its own", "$GENERATE 1-2 h$ MX 10 h$.example.com\n", nil},
		{"a mended record beside its doubled twin: only the twin goes", "_dmarc TXT \"v=DMARC1; p=none\"\n_dmarc.example.com TXT \"v=DMARC1; p=none\"\n",
			[]string{"2 name-doubled _dmarc.example.com"}},
		{"text that is not about mail may be anything", "a TXT one two\nb TXT “x”\nc TXT v=abc;d=e\nd TXT \"\\\\;\"\ne TXT 'x y'\n", nil},
		{"a real comment behind a word", "a TXT v=spf1 ; the old one = nobody knows\n", nil},
		{"a key without its version, cut", "s._domainkey TXT k=rsa; p=AAAA\n", []string{"1 cut-by-semicolon k=rsa; p=AAAA"}},
		{"escaped semicolons and a comment", "s._domainkey TXT v=DKIM1\\;p=AAAA ; k=the comment\n", []string{"1 cut-by-semicolon v=DKIM1;p=AAAA; k=the comment"}},
		{"escaped semicolons and a comment with no tag of DKIM", "s._domainkey TXT v=DKIM1\\;p=AAAA ; since=2026\n", nil},
		{"SPF in two unquoted words is broken, in one it is not", "a TXT v=spf1 -all\nb TXT v=spf1\\032-all\n", []string{"1 unquoted v=spf1 -all"}},
		{"v=spf10 is not SPF", "a TXT v=spf10 -all\n", nil},
		{"glue below a delegation", "sub NS ns.sub\nns.sub A 192.0.2.1\nns.sub AAAA 2001:db8::1\n", nil},
		{"names for programs are no hosts", "_spf.a A 127.0.0.2\n1.2.0.192._spf.b A 127.0.0.2\n*.c A 192.0.2.1\n", nil},
		{"the same record twice, a CNAME too", "a CNAME b\na CNAME b\nb A 192.0.2.1\nb A 192.0.2.1\n", nil},
		{"DNSSEC beside a CNAME", "a CNAME b\na NSEC b.example.com. CNAME RRSIG NSEC\nb A 192.0.2.1\n", nil},
		{"TTLs of a day are fine, of what is not about mail any", "@ 86400 MX 10 mail\nmail 86401 A 192.0.2.1\nwww 999999 A 192.0.2.1\n", []string{"2 ttl"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := lintOf(mustSet(t, mustParse(t, "$ORIGIN example.com.\n"+tc.text, "example.com")))
			for i := range tc.want { // lines count from the text's first
				line, rest, _ := strings.Cut(tc.want[i], " ")
				tc.want[i] = fmt.Sprintf("%d %s", line[0]-'0'+1, rest)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

// Zones that work are quiet: thousands of records that are really published, and
// the demo's, in which one fault is on purpose.
func TestLintOfRealZones(t *testing.T) {
	var zones []*Zone
	names, err := filepath.Glob("../../cmd/todoku/demo/*.zone")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, n := range names {
		spec := n
		if filepath.Base(n) == "root.zone" {
			spec += "@."
		}
		z, err := Open(spec)
		if err != nil {
			t.Fatal(err)
		}
		zones = append(zones, z)
	}
	got := slices.DeleteFunc(lintOf(mustSet(t, zones...)), func(s string) bool { return strings.HasSuffix(s, "no-name-server") })
	if want := []string{"11 missing-dot mail.shop.example"}; !slices.Equal(got, want) {
		t.Errorf("the demo: %q, want %q", got, want)
	}
	b, err := os.ReadFile("../../../shared/suites/records/records.zone")
	if err != nil {
		b, err = os.ReadFile("../../testdata/e2e/records.zone")
	}
	if err != nil {
		t.Fatal(err)
	}
	var codes []diag.LintCode
	for _, l := range Lint(mustSet(t, mustParse(t, string(b), "."))).Lints {
		codes = append(codes, l.Code)
		t.Logf("%s %s: %q", l.Code, l.Name, l.Text)
	}
	// One published key has a backslash in it.
	if len(codes) > 1 || len(codes) == 1 && codes[0] != diag.LintBackslash {
		t.Errorf("real records: %q", codes)
	}
}

func TestLintIsBounded(t *testing.T) {
	var b strings.Builder
	for i := range 3 * MaxLints {
		fmt.Fprintf(&b, "@ MX 10 h%d.example.com\n", i)
	}
	l := Lint(mustSet(t, mustParse(t, b.String(), "example.com"), mustParse(t, b.String(), "example.net"))).Lints
	if len(l) != MaxLints+1 || l[MaxLints].Code != diag.LintMore {
		t.Errorf("%d lints, the last is %+v", len(l), l[len(l)-1])
	}
}

// RFC 1982 §3.2, with the corners of the circle.
func TestSerialGrown(t *testing.T) {
	for _, tc := range []struct {
		a, b uint32
		want bool
	}{
		{1, 2, true}, {2, 1, false}, {1, 1, false}, {2026112201, 2026112202, true}, {2026112202, 2026112201, false},
		{4294967295, 0, true}, {0, 4294967295, false}, {0, 1<<31 - 1, true}, {0, 1 << 31, false}, {1 << 31, 0, false}, {1, 1<<31 + 1, false},
	} {
		if got := SerialGrown(tc.a, tc.b); got != tc.want {
			t.Errorf("from %d to %d: %t", tc.a, tc.b, got)
		}
	}
}

func TestLintChange(t *testing.T) {
	soa := "@ SOA a b %d 2 3 4 5\n"
	zone := func(serial int, rest string) *Set {
		return mustSet(t, mustParse(t, fmt.Sprintf(soa, serial)+rest, "example.com"))
	}
	for _, tc := range []struct {
		name     string
		old, new *Set
		want     int
	}{
		{"it changes and the serial stays", zone(7, "a TXT x\n"), zone(7, "a TXT y\n"), 1},
		{"it changes and the serial grows", zone(7, "a TXT x\n"), zone(8, "a TXT y\n"), 0},
		{"only the layout changes", zone(7, "a TXT x\nb TXT y\n"), zone(7, "b TXT y ; moved\na TXT \"x\"\n"), 0},
		{"the SOA itself changes", zone(7, ""), mustSet(t, mustParse(t, "@ SOA a b 7 2 3 4 6\n", "example.com")), 1},
		{"a TTL changes", zone(7, "a 5 TXT x\n"), zone(7, "a 6 TXT x\n"), 1},
		{"one side has no SOA", mustSet(t, mustParse(t, "a TXT x\n", "example.com")), zone(7, "a TXT y\n"), 0},
		{"a zone that is new", mustSet(t, mustParse(t, "@ SOA a b 7 2 3 4 5\n", "example.net")), zone(7, "a TXT y\n"), 0},
	} {
		if got := LintChange(tc.old, tc.new); len(got) != tc.want {
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
}

// FuzzLint: nothing panics, every lint points at a line of the file, and its fix
// can be read as edits.
func FuzzLint(f *testing.F) {
	for _, s := range []string{
		"@ MX 10 mail.example.com\n_dmarc.example.com TXT v=DMARC1; p=none\n",
		"@ TXT “v=spf1 -all”\n@ SPF v=spf1\ns._domainkey TXT 'v=DKIM1\\\\; p=x'\n",
		"a CNAME b\na TXT x\nd DNAME e\nf.d MX 1 x\nsub NS x\ny.sub TXT v=spf1\n",
		"$ORIGIN x\n@ SOA a b 1 2 3 4 99999999\n@ NS ns\n例 MX 1 例\nmail_1 A 1.2.3.4\n",
		"_s._tcp SRV 1 2 3 a.com\n@ PTR b.co.jp\n$GENERATE 1-3 $ MX 1 $.com\n\\000.a MX 1 \\..b.com\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		z, err := Parse(strings.NewReader(src), "f", "example.com")
		if err != nil {
			return
		}
		s, err := NewSet(z)
		if err != nil {
			t.Fatal(err)
		}
		out := Lint(s)
		for _, l := range out.Lints {
			if !slices.Contains(diag.LintCodes, l.Code) || l.Code != diag.LintMore && (l.Place.Line < 1 || l.Place.Line > strings.Count(src, "\n")+1) {
				t.Fatalf("%+v", l)
			}
			if l.Offset < 0 || l.Length < 0 || l.Offset+l.Length > len(l.Text) {
				t.Fatalf("%+v marks what is not there", l)
			}
			for _, e := range l.Fix {
				for _, text := range []string{e.Old, e.New} {
					if text == "" {
						continue
					}
					if _, err := RecordOf(e.Name, e.Type, text); err != nil {
						t.Fatalf("%+v: %v", l, err)
					}
				}
			}
			if after := out.After(l.Fix); len(l.Fix) > 0 && slices.ContainsFunc(after.Lints, func(m diag.Lint) bool {
				return m.Code == l.Code && m.Name == l.Name && m.Type == l.Type && m.Text == l.Text
			}) {
				t.Fatalf("%+v is still there after its fix", l)
			}
		}
		if LintChange(s, s) != nil {
			t.Fatal("a zone differs from itself")
		}
	})
}

// BenchmarkLint: to lint a zone costs a part of what it costs to read it, which
// is the metric "of-parse".
func BenchmarkLint(b *testing.B) {
	text := benchZone(10000)
	z := mustParse(b, text, "")
	s := mustSet(b, z)
	begin := time.Now()
	const reads = 10
	for range reads {
		mustParse(b, text, "")
	}
	parse := time.Since(begin) / reads
	b.ReportAllocs()
	for b.Loop() {
		Lint(s)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(parse.Nanoseconds()), "of-parse")
}
