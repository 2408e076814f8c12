package zone

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/miekg/dns"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// dump is a zone's records in one spelling, with their lines.
func dump(z *Zone) string {
	var b strings.Builder
	for _, rr := range z.Records {
		fmt.Fprintf(&b, "%d %s\n", rr.Line, FormatRecord(rr))
	}
	return b.String()
}

func mustParse(t testing.TB, text, origin string) *Zone {
	t.Helper()
	z, err := Parse(strings.NewReader(text), "test.zone", origin)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return z
}

func TestParse(t *testing.T) {
	const soa = "@ 300 IN SOA ns1 hostmaster 1 2h 1h 2w 10m\n"
	for _, tc := range []struct {
		name, origin, in, want string
	}{
		{"origin from the file", "", "$ORIGIN example.com.\n$TTL 1h\nwww A 192.0.2.1\n",
			"3 www.example.com. 3600 IN A 192.0.2.1\n"},
		{"TTL and class in any order, or missing: a reader that wants one order loses records", "example.com",
			"$TTL 60\na 5 IN A 192.0.2.1\nb IN 6 A 192.0.2.1\nc 7 A 192.0.2.1\nd in a 192.0.2.1\ne A 192.0.2.1\n",
			"2 a.example.com. 5 IN A 192.0.2.1\n3 b.example.com. 6 IN A 192.0.2.1\n4 c.example.com. 7 IN A 192.0.2.1\n" +
				"5 d.example.com. 60 IN A 192.0.2.1\n6 e.example.com. 60 IN A 192.0.2.1\n"},
		{"blank owner inherits, across comments and empty lines; the first line of an entry counts, not the last", "example.com",
			"$TTL 60\nmail A 192.0.2.1 ; one\n\n; two\n\t( TXT\n  \"a\" ) \n\tMX 10 @\n",
			"2 mail.example.com. 60 IN A 192.0.2.1\n5 mail.example.com. 60 IN TXT \"a\"\n7 mail.example.com. 60 IN MX 10 example.com.\n"},
		{"parentheses hold line ends and comments; a semicolon or a parenthesis in quotes is text", "example.com",
			soa + "k TXT ( \"v=DKIM1; k=rsa; \" ; the (first) part\n  \"p=AB)C\" )\n",
			"1 example.com. 300 IN SOA ns1.example.com. hostmaster.example.com. 1 7200 3600 1209600 600\n" +
				"2 k.example.com. 300 IN TXT \"v=DKIM1; k=rsa; \" \"p=AB)C\"\n"},
		{"no TTL anywhere but in the SOA's minimum, as BIND", "",
			"$ORIGIN example.com.\n@ SOA ns1 hostmaster 1 2h 1h 2w 10m\n@ MX 0 .\n",
			"2 example.com. 600 IN SOA ns1.example.com. hostmaster.example.com. 1 7200 3600 1209600 600\n3 example.com. 600 IN MX 0 .\n"},
		{"a stated TTL goes on to the next record (RFC 1035), unless there is $TTL (RFC 2308)", "example.com",
			"a 5 A 192.0.2.1\nb A 192.0.2.1\n$TTL 9\nc 7 A 192.0.2.1\nd A 192.0.2.1\n",
			"1 a.example.com. 5 IN A 192.0.2.1\n2 b.example.com. 5 IN A 192.0.2.1\n4 c.example.com. 7 IN A 192.0.2.1\n5 d.example.com. 9 IN A 192.0.2.1\n"},
		{"a snippet from a control panel: absolute names, upper case, CRLF, no TTL", "example.com",
			"Example.COM.\tIN\tTXT\t\"v=spf1 -all\"\r\n_dmarc.example.com. TXT \"v=DMARC1; p=none\"\r\n",
			"1 example.com. 3600 IN TXT \"v=spf1 -all\"\n2 _dmarc.example.com. 3600 IN TXT \"v=DMARC1; p=none\"\n"},
		{"escapes are undone: \\\" \\\\ \\DDD in text, \\. and letters in names", "example.com",
			"a TXT \"x\\\"y\\\\z\\059\\255\"\nb\\.c TXT \\\"\n\\097\\065 TXT d\n",
			"1 a.example.com. 3600 IN TXT \"x\\\"y\\\\z;\\255\"\n2 b\\.c.example.com. 3600 IN TXT \"\\\"\"\n3 aa.example.com. 3600 IN TXT \"d\"\n"},
		{"names in UTF-8 become A-labels, with ideographic full stops, in data too", "例え.jp",
			"メール A 192.0.2.1\n@ MX 10 メール。例え。jp。\n*.例え.jp. TXT \"x\"\n",
			"1 xn--4dkua4c.xn--r8jz45g.jp. 3600 IN A 192.0.2.1\n2 xn--r8jz45g.jp. 3600 IN MX 10 xn--4dkua4c.xn--r8jz45g.jp.\n3 *.xn--r8jz45g.jp. 3600 IN TXT \"x\"\n"},
		{"types that todoku does not read, the generic form of those it reads, and unknown ones", "example.com",
			"_25._tcp.mail TLSA 3 1 1 " + strings.Repeat("ab", 32) + "\n_s._tcp SRV 1 2 25 mail\na TYPE1 \\# 4 C0000201\nb TYPE65280 \\# 2 abcd\nc CAA 0 issue \"ca.example\"\nd TXT \\# 3 02 61 62\n",
			"1 _25._tcp.mail.example.com. 3600 IN TLSA 3 1 1 " + strings.Repeat("ab", 32) + "\n2 _s._tcp.example.com. 3600 IN SRV 1 2 25 mail.example.com.\n" +
				"3 a.example.com. 3600 IN A 192.0.2.1\n4 b.example.com. 3600 IN TYPE65280 \\# 2 abcd\n5 c.example.com. 3600 IN CAA 0 issue \"ca.example\"\n6 d.example.com. 3600 IN TXT \"ab\"\n"},
		{"the generic form (RFC 3597 §5) of types that have names or addresses in them", "example.com",
			"a NS \\# 5 03 41622E 00\nb MX \\# 7 000A 03 780179 00\nc TYPE28 \\# 16 20010db8000000000000000000000001\n@ SOA \\# 22 00 00 00000001 00000002 00000003 00000004 00000005\n" +
				"e CNAME \\# 1 00\nf PTR \\# 1 00\ng DNAME \\# 1 00\nh SPF \\# 2 01 22\n",
			"1 a.example.com. 5 IN NS ab\\..\n2 b.example.com. 5 IN MX 10 x\\001y.\n3 c.example.com. 5 IN AAAA 2001:db8::1\n4 example.com. 5 IN SOA . . 1 2 3 4 5\n" +
				"5 e.example.com. 5 IN CNAME .\n6 f.example.com. 5 IN PTR .\n7 g.example.com. 5 IN DNAME .\n8 h.example.com. 5 IN SPF \"\\\"\"\n"},
		{"names in UTF-8 in the data of types that are handed on", "example.com", "_s._tcp SRV 1 2 25 メール\n_t._tcp SRV 1 2 25 例え.jp.\n",
			"1 _s._tcp.example.com. 3600 IN SRV 1 2 25 xn--4dkua4c.example.com.\n2 _t._tcp.example.com. 3600 IN SRV 1 2 25 xn--r8jz45g.jp.\n"},
		{"$GENERATE keeps $TTL (miekg/dns gives 3600), pads, counts in nibbles, escapes", "example.com",
			"$TTL 99\n$GENERATE 1-3/2 h${0,3,d} A 192.0.2.$\n$GENERATE 10-10 $ 5 TXT \"\\$ $$ ${-1} ${1,0,x} ${0,3,n} ${0,0,N}\"\n",
			"2 h001.example.com. 99 IN A 192.0.2.1\n2 h003.example.com. 99 IN A 192.0.2.3\n" +
				"3 10.example.com. 5 IN TXT \"$ $ 9 b a.0 A\"\n"},
		{"the zone is the SOA's owner, not the first $ORIGIN", "", "$ORIGIN .\n$TTL 5\nexample.com SOA a. b. 1 2 3 4 5\n$ORIGIN example.com.\n@ NS a.\n",
			"3 example.com. 5 IN SOA a. b. 1 2 3 4 5\n5 example.com. 5 IN NS a.\n"},
		{"the SOA twice, as dig axfr prints it", "", "example.com. 5 SOA a. b. 1 2 3 4 5\nexample.com. 5 SOA a. b. 1 2 3 4 5\n",
			"1 example.com. 5 IN SOA a. b. 1 2 3 4 5\n2 example.com. 5 IN SOA a. b. 1 2 3 4 5\n"},
		{"the last line without a line end, and a byte order mark", "example.com", "\ufeffa A 192.0.2.1", "1 a.example.com. 3600 IN A 192.0.2.1\n"},
		{"owners that look like types", "example.com", "mx MX 10 txt\ntxt TXT in\n",
			"1 mx.example.com. 3600 IN MX 10 txt.example.com.\n2 txt.example.com. 3600 IN TXT \"in\"\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			z := mustParse(t, tc.in, tc.origin)
			if got := dump(z); got != tc.want {
				t.Errorf("got\n%swant\n%s", got, tc.want)
			}
			if len(z.Spans) != len(z.Records) {
				t.Errorf("%d spans for %d records", len(z.Spans), len(z.Records))
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	for _, tc := range []struct {
		name, origin, in string
		want             []string // "line:column: part of the message"
	}{
		{"all errors, not only the first, and the good records between them do no harm", "example.com",
			"a A 192.0.2\nb AAAA 192.0.2.1\nc A 192.0.2.1\nd MX mail\ne FOO x\nf\n",
			[]string{"1:5: not an IPv4", "2:8: not an IPv6", "4:10: MX record ends too early", "5:3: \"FOO\" is not a record type", "6:2: no type"}},
		{"a forgotten quote costs its line, not the file behind it", "example.com",
			"a TXT \"v=spf1 -all\nb A 192.0.2.1\nc A nope\n", []string{"1:7: not closed", "3:5: not an IPv4"}},
		{"a forgotten parenthesis is told where it stands, and reading goes on", "example.com",
			"a TXT ( \"x\"\n  \"y\"\nb A 192.0.2.1\nc A nope\n", []string{"1:7: not closed", "4:5: not an IPv4"}},
		{"a forgotten parenthesis, and a forgotten quote far behind it: what stands between is read", "example.com",
			"a TXT ( \"x\"\n  \"y\"\nb A nope\n$INCLUDE /x\nc TXT \"open\nd A nope\n", []string{"1:7: not closed", "3:5: not an IPv4", "4:10: $INCLUDE", "5:7: not closed", "6:5: not an IPv4"}},
		{"a forgotten quote inside parentheses that are right", "example.com", "@ SOA b c (\n1 2 3\n4 5 )\nd TXT ( \"x\n  \"y\" )\ne A nope\n",
			[]string{"4:9: not closed", "6:5: not an IPv4"}},
		{"a parenthesis too many", "example.com", "a TXT x )\nb A nope\n", []string{"1:9: without an opening", "2:5: not an IPv4"}},
		{"no origin at all", "", "example.com. A 192.0.2.1\n", []string{"0:0: FILE@ORIGIN"}},
		{"relative names without origin are one error", "", "@ A 192.0.2.1\nwww A 192.0.2.1\nx. MX 10 y\n", []string{"1:1: FILE@ORIGIN"}},
		{"an empty file is no zone in which nothing exists", "example.com", "; nothing\n", []string{"0:0: no records"}},
		{"nothing inherits a broken owner", "example.com", "a A 192.0.2.1\nb..c A 192.0.2.1\n  TXT \"belongs to b..c\"\n", []string{"2:1: empty label"}},
		{"a pasted line with a blank before its owner", "example.com", "a A 192.0.2.1\n  b.example.com. TXT \"x\"\n", []string{"2:3: starts with a blank"}},
		{"an invisible no-break space", "example.com", "a\u00a0A 192.0.2.1\n", []string{"1:2: U+00A0"}},
		{"label and name lengths", "example.com", strings.Repeat("a", 64) + " A 192.0.2.1\n" + strings.Repeat("a.", 122) + " A 192.0.2.1\n" + strings.Repeat("a.", 122) + "b A 192.0.2.1\n",
			[]string{"1:1: 64 octets", "3:1: at most 255"}},
		{"bad escapes", "example.com", "a TXT \"\\256\"\nb TXT \"\\1x\"\n\\300 A 192.0.2.1\n", []string{"1:7: no octet", "2:7: three digits", "3:1: no octet"}},
		{"class and TTL", "example.com", "a CH A 192.0.2.1\nb 2147483648 A 192.0.2.1\n$TTL x\n$TTL\n", []string{"1:3: class CH", "2:3: neither a TTL", "3:6: not a TTL", "4:5: expected $TTL"}},
		{"directives", "example.com", "$FOO x\n$ORIGIN\n$ORIGIN a b\n$INCLUDE x\n$GENERATE 1-0 a A 192.0.2.$\n$GENERATE 1-100000 a$ A 192.0.2.1\n$GENERATE 1-300 h$ A 192.0.2.$\n$GENERATE 1-2 ${x} A 192.0.2.1\n",
			[]string{"1:1: unknown directive", "2:8: expected $ORIGIN", "3:11: too much", "4:10: $INCLUDE", "5:11: ends before", "6:11: more than 65536", "7:1: $GENERATE at 256", "8:15: expected ${offset"}},
		{"two zones in one file", "", "a. 5 SOA a. b. 1 2 3 4 5\nb. 5 SOA a. b. 1 2 3 4 5\n", []string{"2:0: second SOA"}},
		{"the origin given is not the file's", "example.org", "example.com. 5 SOA a. b. 1 2 3 4 5\n", []string{"1:0: example.org was given"}},
		{"questions are no records", "example.com", "a ANY x\nb OPT x\nc TYPE0 \\# 0\n", []string{"1:3: not a record type", "2:3: not a record type", "3:3: not a record type"}},
		{"too much data", "example.com", "a MX 10 mail.example.com. 20 mail2\nb A 192.0.2.1 192.0.2.2\nc SRV 1 2 3 mail extra\n", []string{"1:27: too much", "2:15: too much", "3:7: not valid data for SRV"}},
		{"no data", "example.com", "a TXT\nb SRV\nc TXT ; v=spf1\n", []string{"1:6: no data", "2:6: no data", "3:6: no data"}},
		{"address forms that other readers take", "example.com", "a A 192.0.2.01\nb AAAA fe80::1%eth0\nc A \"x\"\n", []string{"1:5: not an IPv4", "2:8: not an IPv6", "3:5: not an IPv4"}},
		{"a first record without owner", "example.com", " A 192.0.2.1\n", []string{"1:2: no owner"}},
		{"a line that is too long", "example.com", "a TXT " + strings.Repeat("x ", MaxEntry/2+1) + "\nb A nope\n", []string{"1:0: longer than", "2:5: not an IPv4"}},
		{"a record that is too long", "example.com", "a TXT " + strings.Repeat("\"x\" ", 33000) + "\n", []string{"1:131075: longer than 65535"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			z, err := Parse(strings.NewReader(tc.in), "f", tc.origin)
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
				if got := fmt.Sprintf("%d:%d", e.Line, e.Column); got != where || !strings.Contains(e.Msg, part) {
					t.Errorf("got %v, want %s", e, tc.want[i])
				}
			}
			if len(es) < len(tc.want) {
				t.Errorf("got %d errors, want %d: %v", len(es), len(tc.want), es)
			}
		})
	}
}

func TestParseErrorsAreBounded(t *testing.T) {
	_, err := Parse(strings.NewReader(strings.Repeat("a A nope\n", 10*MaxErrors)), "f", "example.com")
	var es Errors
	if !errors.As(err, &es) || len(es) != MaxErrors+1 || !strings.Contains(es[MaxErrors].Msg, "more errors") {
		t.Fatalf("%d errors", len(es))
	}
	// Each of these lines opens a parenthesis that is never closed: a lexer
	// that looks for the end each time takes hours.
	_, err = Parse(strings.NewReader(strings.Repeat("a (\n", 1<<20)), "f", "example.com")
	if !errors.As(err, &es) || !strings.Contains(es[len(es)-1].Msg, "reading stopped here") {
		t.Fatalf("%d errors", len(es))
	}
}

func TestParseTooBig(t *testing.T) {
	_, err := Parse(&endless{}, "f", "example.com")
	if err == nil || !strings.Contains(err.Error(), "more than 64 MB") {
		t.Fatal(err)
	}
	// Little text that makes many records.
	_, err = Parse(strings.NewReader(strings.Repeat("$GENERATE 0-65535 a$ TXT \""+strings.Repeat("x", 5000)+"\"\n", 2)), "f", "example.com")
	if err == nil || !strings.Contains(err.Error(), "$GENERATE counted") {
		t.Fatal(err)
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = '\n'
	}
	return len(b), nil
}

func TestParseNotes(t *testing.T) {
	long := strings.Repeat("x", 256)
	z := mustParse(t, strings.Join([]string{
		`_dmarc TXT v=DMARC1; p=none; rua=mailto:a@example.com`,
		`a TXT v=spf1 include:x -all`,
		`b TXT "` + long + `"`,
		`c TXT “v=spf1”`,
		`d TXT "fine" ; a comment, no = tag`,
		`e TXT word ; a plain comment`,
		`例 A 192.0.2.1`,
		`other.org. A 192.0.2.1`,
		`f CNAME a`,
		`f TXT "x"`,
		`$ORIGIN sub`,
		`_k TXT v=DKIM1 ; p=abc`,
	}, "\n")+"\n", "example.com")
	var got []string
	for _, n := range z.Notes {
		got = append(got, fmt.Sprintf("%d:%d %s %d", n.Line, n.Column, n.Code, n.Record))
	}
	want := []string{"1:20 cut-by-semicolon 0", "2:7 unquoted-text 1", "3:7 long-string 2", "4:7 smart-quotes 3",
		"7:1 utf8-name 6", "11:9 origin-without-dot -1", "12:15 cut-by-semicolon 10", "8:1 out-of-zone 7", "10:1 beside-cname 9"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := z.Records[2].Strings; len(got) != 2 || len(got[0]) != 255 || len(got[1]) != 1 {
		t.Errorf("the long string became %q", got)
	}
	if got := z.Records[10].Name; got != "_k.sub.example.com" {
		t.Errorf("a relative $ORIGIN gave %s", got)
	}
}

func TestSpans(t *testing.T) {
	const text = "; head\n$TTL 60\na 5 A 192.0.2.1 ; the ; host\r\n\tTXT ( \"x\" ; one\n\t\t\"y\" ) ; two\n$GENERATE 1-2 g$ A 192.0.2.$ ; gen\n"
	z := mustParse(t, text, "example.com")
	for i, want := range []struct {
		raw, comment               string
		line, end                  int
		inherited, generated, sets bool
	}{
		{"a 5 A 192.0.2.1 ; the ; host", "; the ; host", 3, 3, false, false, true},
		{"\tTXT ( \"x\" ; one\n\t\t\"y\" ) ; two", "; one ; two", 4, 5, true, false, false},
		{"$GENERATE 1-2 g$ A 192.0.2.$ ; gen", "; gen", 6, 6, false, true, false},
		{"$GENERATE 1-2 g$ A 192.0.2.$ ; gen", "; gen", 6, 6, false, true, false},
	} {
		s := z.Spans[i]
		if got := z.Raw(i); got != want.raw || s.Comment != want.comment || s.Line != want.line || s.EndLine != want.end ||
			s.Inherited != want.inherited || s.Generated != want.generated || s.TTLSet != want.sets {
			t.Errorf("record %d: raw %q, span %+v; want %+v", i, got, s, want)
		}
		if z.Records[i].Line != want.line || text[s.Start:s.End] != want.raw {
			t.Errorf("record %d: line %d, source %q", i, z.Records[i].Line, text[s.Start:s.End])
		}
	}
	if string(z.Source("test.zone")) != text || fmt.Sprint(z.Files()) != "[test.zone]" {
		t.Errorf("source or files: %q", z.Files())
	}
}

func TestInclude(t *testing.T) {
	fsys := fstest.MapFS{
		"zones/main.zone": {Data: []byte("$ORIGIN example.com.\n$TTL 60\n@ A 192.0.2.1\n$INCLUDE sub/mail.inc mail\n TXT \"owner and origin are as before\"\n$INCLUDE sub/same.inc\n")},
		// Paths are relative to the file they stand in.
		"zones/sub/mail.inc":   {Data: []byte("@ A 192.0.2.2\n$INCLUDE deep.inc\n")},
		"zones/sub/deep.inc":   {Data: []byte("deep A 192.0.2.3\n")},
		"zones/sub/same.inc":   {Data: []byte("www A 192.0.2.4\n")},
		"zones/loop.zone":      {Data: []byte("a A 192.0.2.1\n$INCLUDE loop.zone\n")},
		"zones/out.zone":       {Data: []byte("$INCLUDE ../../etc/passwd\n$INCLUDE /etc/passwd\n$INCLUDE sub\n$INCLUDE none\na A 192.0.2.1\n")},
		"zones/many.zone":      {Data: []byte(strings.Repeat("$INCLUDE sub/same.inc\n", MaxIncludes+1))},
		"zones/broken.zone":    {Data: []byte("$INCLUDE sub/broken.inc\nb A nope\n")},
		"zones/sub/broken.inc": {Data: []byte("x A 192.0.2.1\na A nope\n")},
	}
	for i := 0; i < 10; i++ {
		fsys[fmt.Sprintf("deep/%d", i)] = &fstest.MapFile{Data: []byte(fmt.Sprintf("a%d A 192.0.2.1\n$INCLUDE %d\n", i, i+1))}
	}
	z, err := ParseFS(fsys, "zones/main.zone", "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, rr := range z.Records {
		got = append(got, fmt.Sprintf("%s:%d %s", rr.File, rr.Line, FormatRecord(rr)))
	}
	want := []string{
		"zones/main.zone:3 example.com. 60 IN A 192.0.2.1",
		"zones/sub/mail.inc:1 mail.example.com. 60 IN A 192.0.2.2",
		"zones/sub/deep.inc:1 deep.mail.example.com. 60 IN A 192.0.2.3",
		`zones/main.zone:5 example.com. 60 IN TXT "owner and origin are as before"`,
		"zones/sub/same.inc:1 www.example.com. 60 IN A 192.0.2.4",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	for file, parts := range map[string][]string{
		"zones/loop.zone":   {"loop.zone:2:10: $INCLUDE \"loop.zone\": the file includes itself"},
		"zones/out.zone":    {"out.zone:1:10: ", "out.zone:2:10: ", "out.zone:3:10: $INCLUDE \"sub\": not a regular file", "out.zone:4:10: "},
		"zones/many.zone":   {"more than 1000 $INCLUDE"},
		"zones/broken.zone": {"broken.inc:2:5: ", "broken.zone:2:5: "},
		"deep/0":            {"deep/7:2:10: $INCLUDE \"8\": files may include each other 7 deep"},
		"zones/absent":      {"zones/absent: cannot be opened: file does not exist"},
	} {
		_, err := ParseFS(fsys, file, "example.com")
		var es Errors
		if !errors.As(err, &es) || len(es) != len(parts) {
			t.Errorf("%s: %v", file, err)
			continue
		}
		for i := range es {
			if !strings.Contains(es[i].Error(), parts[i]) {
				t.Errorf("%s: got %v, want %s", file, es[i], parts[i])
			}
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	plain := write("z/plain", "a A 192.0.2.1\n$INCLUDE inc/b\n")
	write("z/inc/b", "b A 192.0.2.2\n")
	at := write("z/at@example.org", "$ORIGIN example.com.\na A 192.0.2.1\n")
	secret := write("secret", "root:x:0:0\n")
	link := write("z/link", "$INCLUDE away\n$INCLUDE up/secret\na A 192.0.2.1\n")
	if err := os.Symlink(secret, filepath.Join(dir, "z/away")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("..", filepath.Join(dir, "z/up")); err != nil {
		t.Fatal(err)
	}

	z, err := Open(plain + "@Example.COM.")
	if err != nil {
		t.Fatal(err)
	}
	if z.Origin != "example.com" || len(z.Records) != 2 || z.Records[0].File != plain || z.Records[1].File != filepath.ToSlash(filepath.Join(dir, "z/inc/b")) {
		t.Errorf("%s %+v", z.Origin, z.Records)
	}
	// A file whose name has an @ is that file.
	if z, err = Open(at); err != nil || z.Origin != "example.com" {
		t.Errorf("%v %v", z, err)
	}
	if z, err = Open(at + "@example.com"); err != nil || z.Origin != "example.com" {
		t.Errorf("%v %v", z, err)
	}
	if z, err = Open(plain + "@."); err != nil || z.Origin != "." || z.Records[0].Name != "a" {
		t.Errorf("%v %v", z, err)
	}
	// A link out of the folder shows nothing of what it points to.
	_, err = Open(link + "@example.com")
	var es Errors
	if !errors.As(err, &es) || len(es) != 2 || strings.Contains(err.Error(), "root") {
		t.Errorf("%v", err)
	}
	if _, err = Open(filepath.Join(dir, "none@exa mple")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "not a domain name either") {
		t.Errorf("%v", err)
	}
	if _, err = Open(dir); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("%v", err)
	}
	if _, err = Open(""); err == nil {
		t.Error("an empty name opens")
	}
}

// TestAgainstMiekg reads files with miekg/dns as well: same records, same
// order. (Where miekg/dns is known to be wrong, TestParse says what is right.)
func TestAgainstMiekg(t *testing.T) {
	files := map[string]string{
		"rfc1035 §5.3": "$ORIGIN ISI.EDU.\n@ 60 IN SOA VENERA Action\\.domains (\n 20 ; SERIAL\n 7200 ; REFRESH\n 600 ; RETRY\n 3600000; EXPIRE\n 60) ; MINIMUM\n\n\tNS A.ISI.EDU.\n\tNS VENERA\n\tNS VAXA\n\tMX 10 VENERA\n\tMX 20 VAXA\n\nA A 26.3.0.103\n\nVENERA A 10.1.0.52\n A 128.9.0.32\n\nVAXA A 10.2.0.27\n A 128.9.0.33\n",
		"text":         "$ORIGIN example.com.\n$TTL 1h30m\n@ TXT \"a\" \"b\\\"c\" d\\;e \"\\000\\031\\127\\255\"\nx TXT \"\"\ny TXT \"tab\there\" ; no\nz 1d IN SPF \"v=spf1 -all\"\n",
		"types":        "$ORIGIN example.com.\n$TTL 5\na CAA 0 issue \"x\"\nb SRV 0 0 25 mail\nc NAPTR 1 2 \"u\" \"E2U\" \"!a!b!\" .\nd SSHFP 1 1 " + strings.Repeat("aB", 20) + "\ne DS 1 8 2 " + strings.Repeat("ab", 32) + "\nf HTTPS 1 . alpn=h2\ng LOC 51 30 12.748 N 0 7 39.611 W 0.00m 0.00m 0.00m 0.00m\nh TYPE65280 \\# 0\ni HINFO \"a b\" c\nk SVCB 1 . alpn=\"h2,h3\" port=\"1\"\nj RP m t\n",
		"order":        "$ORIGIN example.com.\n$TTL 5\na IN 6 MX 1 b\na 7 IN MX 2 b.\n  8 MX 3 @\n  IN MX 4 b\\.c\n  MX 5 d\\@.e\n",
		"nested":       "$ORIGIN example.com.\n$TTL 5\na ( TXT ( \"x\" )\n(\"y\")\n) ; end\nb A ( 192.0.2.1 )\n",
	}
	for _, name := range []string{"../../../shared/suites/records/records.zone"} {
		if b, err := os.ReadFile(name); err == nil {
			files[name] = string(b)
		}
	}
	for name, text := range files {
		zp := dns.NewZoneParser(strings.NewReader(text), ".", "")
		zp.SetDefaultTTL(DefaultTTL)
		var want []string
		for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
			want = append(want, rr.String())
		}
		if err := zp.Err(); err != nil {
			t.Fatalf("%s: miekg: %v", name, err)
		}
		z, err := Parse(strings.NewReader(text), name, ".")
		if strings.Contains(text, "SOA") {
			z, err = Parse(strings.NewReader(text), name, "")
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(z.Records) != len(want) {
			t.Errorf("%s: %d records, miekg has %d", name, len(z.Records), len(want))
			continue
		}
		for i, rr := range z.Records {
			// Both forms through one printer: our line read by miekg.
			m, err := dns.NewRR(FormatRecord(rr))
			if err != nil {
				t.Errorf("%s: %q: %v", name, FormatRecord(rr), err)
				continue
			}
			w, _ := dns.NewRR(want[i])
			if !dns.IsDuplicate(m, w) || m.Header().Ttl != w.Header().Ttl {
				t.Errorf("%s: record %d: got %q, want %q", name, i, m, want[i])
			}
		}
	}
}

func TestFormatRecord(t *testing.T) {
	long := strings.Repeat("k", 300)
	for _, tc := range []struct {
		rr   dnsq.RR
		want string
	}{
		{dnsq.RR{Name: "example.com", Type: dnsq.TypeTXT, TTL: 60, Strings: []string{"a\"b\\c;\x00é"}}, `example.com. 60 IN TXT "a\"b\\c;\000\195\169"`},
		{dnsq.RR{Name: "k.example.com", Type: dnsq.TypeTXT, Strings: []string{long, ""}}, `k.example.com. 0 IN TXT "` + long[:255] + `" "` + long[255:] + `" ""`},
		{dnsq.RR{Name: ".", Type: dnsq.TypeMX, Pref: 0, Host: "."}, `. 0 IN MX 0 .`},
		{dnsq.RR{Name: "a", Type: dnsq.TypeTXT}, `a. 0 IN TXT ""`},
		{dnsq.RR{Name: "a", Type: 65280, Data: `\# 0`}, `a. 0 IN TYPE65280 \# 0`},
	} {
		if got := FormatRecord(tc.rr); got != tc.want {
			t.Errorf("got %s, want %s", got, tc.want)
		}
	}
}
