package render

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("%s (run with -update if the change is meant):\n%s", name, diff)
	}
}

func text(t testing.TB, r *diag.Report, lang string, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := Text(&b, r, catalog(t, lang), o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	for _, lang := range i18n.Languages {
		for name, o := range map[string]Options{
			"40": {Width: 40}, "80": {}, "100": {Width: 100},
			"colour": {Color: true}, "verbose": {Verbose: true}, "quiet": {Quiet: true},
		} {
			t.Run(lang+"-"+name, func(t *testing.T) {
				golden(t, "text-"+lang+"-"+name+".golden", []byte(text(t, sampleReport(), lang, o)))
			})
		}
		t.Run(lang+"-json", func(t *testing.T) {
			var b bytes.Buffer
			if err := JSON(&b, sampleReport(), catalog(t, lang), Options{}); err != nil {
				t.Fatal(err)
			}
			golden(t, "report-"+lang+".json", b.Bytes())
		})
		t.Run(lang+"-explain", func(t *testing.T) {
			var b bytes.Buffer
			for _, k := range []*diag.Kind{kNotAuth, kSyntax, kOK} {
				if err := Explain(&b, alpha, k, catalog(t, lang), Options{}); err != nil {
					t.Fatal(err)
				}
				b.WriteString("\n")
			}
			golden(t, "explain-"+lang+".golden", b.Bytes())
		})
		t.Run(lang+"-list", func(t *testing.T) {
			var b bytes.Buffer
			if err := List(&b, sampleChecks, catalog(t, lang), Options{}); err != nil {
				t.Fatal(err)
			}
			golden(t, "list-"+lang+".golden", b.Bytes())
		})
	}
	var b bytes.Buffer
	if err := ListJSON(&b, sampleChecks); err != nil {
		t.Fatal(err)
	}
	golden(t, "list.json", b.Bytes())
}

// The samples' own texts keep the rules that those of real checks keep.
func TestSampleTexts(t *testing.T) {
	for _, err := range i18n.Problems(sampleChecks) {
		t.Error(err)
	}
	for _, err := range diag.Validate(sampleChecks, i18n.Languages...) {
		if !strings.Contains(err.Error(), "it has a Run or a Review") {
			t.Error(err)
		}
	}
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// Nothing of a record reaches the terminal, no line is too wide, and colour
// adds escapes and nothing else, at any width, in any language and mode.
func TestEveryWidth(t *testing.T) {
	for _, lang := range i18n.Languages {
		for _, o := range []Options{{}, {Verbose: true}, {Quiet: true}} {
			for w := 40; w <= 130; w++ {
				o.Width, o.Color = w, false
				plain := text(t, sampleReport(), lang, o)
				safeLines(t, plain, w)
				o.Color = true
				colour := text(t, sampleReport(), lang, o)
				if !strings.Contains(colour, "\x1b[") {
					t.Fatal("no colour")
				}
				if got := escapes.ReplaceAllString(colour, ""); got != plain {
					t.Fatalf("%s, width %d: without its escapes the coloured report differs:\n%s", lang, w, cmp.Diff(plain, got))
				}
				if t.Failed() {
					t.Fatalf("%s, width %d, %+v", lang, w, o)
				}
			}
		}
	}
}

func safeLines(t *testing.T, out string, width int) {
	t.Helper()
	if !strings.HasSuffix(out, "\n") {
		t.Error("the report does not end with a newline")
	}
	for i, l := range strings.Split(out, "\n") {
		if c := columns(l); c > width {
			t.Errorf("line %d has %d of %d columns: %q", i+1, c, width, l)
		}
		if strings.TrimRight(l, " ") != l {
			t.Errorf("line %d ends with blanks: %q", i+1, l)
		}
		for _, r := range l {
			if sanitize.Unsafe(r) {
				t.Errorf("line %d holds U+%04X: %q", i+1, r, l)
			}
		}
	}
}

// Extremes of the width are brought into range, not obeyed.
func TestWidthRange(t *testing.T) {
	if a, b := text(t, sampleReport(), "en", Options{Width: 1}), text(t, sampleReport(), "en", Options{Width: 40}); a != b {
		t.Error("a width of 1 is not taken as 40")
	}
	if a, b := text(t, sampleReport(), "en", Options{Width: -5}), text(t, sampleReport(), "en", Options{Width: 40}); a != b {
		t.Error("a negative width is not taken as 40")
	}
	safeLines(t, text(t, sampleReport(), "en", Options{Width: 1 << 30}), 200)
}

func TestOrderAndSections(t *testing.T) {
	out := text(t, sampleReport(), "en", Options{})
	at := -1
	for _, want := range []string{"FAIL  Mail from", "DNS questions without an answer", "SPF: which servers",
		"[SPF-IP-NOT-AUTHORIZED]", "[SPF-SYNTAX]", "[SPF-NEAR-LOOKUP-LIMIT]", "[SPF-OBSOLETE-TYPE]", "[SPF-OK]", "sum: 12 of 10",
		"ptr: Reverse names", "[PTR-UNDETERMINED]", "[PTR-OK]", "FAIL 2   ???? 1   WARN 1   INFO 1   PASS 2"} {
		i := strings.Index(out, want)
		if i <= at {
			t.Errorf("%q is missing or out of order (at %d, after %d)", want, i, at)
		}
		at = i
	}
	// A question on top is not said again below; one of a single check is not on top.
	if n := strings.Count(out, "_dmarc.shop.example TXT"); n != 1 {
		t.Errorf("the shared question is there %d times, want once", n)
	}
	if i := strings.Index(out, "signature expired"); i < strings.Index(out, "ptr: Reverse") {
		t.Error("the question of one check alone is on top")
	}
	if strings.Contains(out, "todoku explain SPF-OK") || strings.Contains(out, "14 questions, 310 ms") {
		t.Error("details of what is good are shown without -v")
	}
	v := text(t, sampleReport(), "en", Options{Verbose: true})
	if !strings.Contains(v, "todoku explain SPF-OK") || !strings.Contains(v, "14 questions, 310 ms") {
		t.Error("-v does not show the details of what is good")
	}
}

// A tree is drawn under -v, and without it only where it shows the problem.
func TestTreeShown(t *testing.T) {
	r := sampleReport()
	r.Checks[0].Data = treeData{show: false, tree: sampleTree()}
	if strings.Contains(text(t, r, "en", Options{}), "├─") {
		t.Error("a tree that shows no problem is drawn without -v")
	}
	if !strings.Contains(text(t, r, "en", Options{Verbose: true}), "├─ ") {
		t.Error("-v draws no tree")
	}
	r.Checks[0].Data = treeData{show: true}
	text(t, r, "en", Options{}) // a nil tree
	// A circle and a crowd are drawn up to a bound.
	loop := &diag.Tree{Label: "a\x1b[31m", Cost: 1}
	loop.Children = []*diag.Tree{loop, nil, loop}
	for range 500 {
		loop.Children = append(loop.Children, &diag.Tree{Label: strings.Repeat("x", 5000)})
	}
	r.Checks[0].Data = treeData{show: true, tree: loop}
	for _, w := range []int{40, 80} {
		out := text(t, r, "en", Options{Width: w})
		safeLines(t, out, w)
		if n := strings.Count(out, "\n"); n > 5000 {
			t.Errorf("%d lines", n)
		}
		if !strings.Contains(out, "more") {
			t.Error("what is left out is not said")
		}
	}
}

// Zones that hold thousands of records do not flood the terminal, and the
// report says how many it leaves out.
func TestBounds(t *testing.T) {
	r := sampleReport()
	f := &r.Checks[0].Findings[2]
	f.Evidence, r.Trouble = nil, nil
	for i := range 1000 {
		q := dnsq.Q(fmt.Sprintf("n%d.example", i), dnsq.TypeTXT)
		f.Evidence = append(f.Evidence, diag.Evidence{Name: q.Name, Type: "TXT", Text: strings.Repeat("\x1b", 65535), Offset: 60000, Length: 9})
		e := &dnsq.Error{Question: q, Reason: dnsq.Timeout, EDE: make([]string, 100), Detail: strings.Repeat("y", 9999)}
		f.Unknown = append(f.Unknown, e)
		r.Trouble = append(r.Trouble, diag.Trouble{Err: e, Checks: []string{"spf", "ptr"}})
	}
	f.Fixes = []diag.Fix{{Edits: []diag.Edit{{Name: "a.example", Type: "TXT", Old: strings.Repeat("\xff", 65535)}}}}
	out := text(t, r, "en", Options{})
	safeLines(t, out, 80)
	if n := strings.Count(out, "\n"); n > 300 {
		t.Errorf("%d lines", n)
	}
	for _, want := range []string{"and 994 more", "and 994 more records", "(65535 bytes in all)"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

// What is published is never cut.
func TestNewRecordWhole(t *testing.T) {
	r := sampleReport()
	data := "v=spf1 " + strings.Repeat("ip4:192.0.2.1 ", 200) + "-all"
	r.Checks[0].Findings[2].Fixes = []diag.Fix{{Edits: []diag.Edit{{Name: "a.example", Type: "TXT", New: data}}}}
	var got strings.Builder
	for _, l := range strings.Split(text(t, r, "en", Options{}), "\n") {
		if l, ok := strings.CutPrefix(strings.TrimLeft(l, " "), "+ "); ok {
			got.WriteString(l + "\n")
		}
	}
	if unquote(t, got.String()) != data {
		t.Errorf("the record to publish reads back as %q", unquote(t, got.String()))
	}
}

// unquote joins the character-strings of zone file text, as a zone parser
// would: what is in quotes, \DDD and \X undone.
func unquote(t testing.TB, s string) string {
	var out []byte
	in, n := false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			in, n = !in, 0
			continue
		case !in:
			continue
		case c == '\\' && i+3 < len(s) && '0' <= s[i+1] && s[i+1] <= '9':
			v, err := strconv.Atoi(s[i+1 : i+4])
			if err != nil || v > 255 {
				t.Fatalf("bad escape in %q", s)
			}
			out = append(out, byte(v))
			i += 3
		case c == '\\':
			i++
			out = append(out, s[i])
		default:
			out = append(out, c)
		}
		if n++; n > 255 {
			t.Fatalf("a string of more than 255 octets (RFC 1035 §3.3)")
		}
	}
	if in {
		t.Fatalf("an open quote in %q", s)
	}
	return string(out)
}

func TestZoneRecord(t *testing.T) {
	for _, c := range []struct {
		why, name, typ, data string
		width                int
		want                 []string
	}{
		{"a short record is one line", "a.example", "TXT", "v=spf1 -all", 80, []string{`a.example. TXT "v=spf1 -all"`}},
		{"quotes and backslashes are escaped", "a.example", "TXT", `a"b\c;d`, 80, []string{`a.example. TXT "a\"b\\c;d"`}},
		{"octets that are not ASCII are \\DDD, never raw", "a.example", "TXT", "\x1b届\x00", 80, []string{`a.example. TXT "\027\229\177\138\000"`}},
		{"the root", ".", "TXT", "x", 80, []string{`. TXT "x"`}},
		{"breaks stand after a blank, so that terms stay whole", "a.example", "TXT", "v=spf1 include:_spf.example.net -all", 40,
			[]string{"a.example. TXT (", `    "v=spf1 include:_spf.example.net "`, `    "-all" )`}},
		{"other types are presentation format already", "a.example", "MX", "10 mx.example.", 80, []string{"a.example. MX 10 mx.example."}},
		{"a hostile name and data of another type", "a\x1b.example", "MX", "10 \u202ex.", 80, []string{`a\x1b.example. MX 10 \u202ex.`}},
	} {
		if diff := cmp.Diff(c.want, zoneRecord(c.name, c.typ, c.data, c.width)); diff != "" {
			t.Errorf("%s:\n%s", c.why, diff)
		}
	}
	// Nothing is left out of what is to be published, however long.
	if got := strings.Join(zoneRecord("a.example", "TYPE65400", strings.Repeat("ab", 30000), 80), ""); len(got) != len("a.example. TYPE65400 ")+60000 {
		t.Errorf("%d characters", len(got))
	}
	// A DKIM key of 2048 bits has no blank and over 255 octets.
	key := "v=DKIM1; k=rsa; p=" + strings.Repeat("MIGf", 100)
	for _, w := range []int{30, 80, 10000} {
		lines := zoneRecord("s._domainkey.a.example", "TXT", key, w)
		if unquote(t, strings.Join(lines, "\n")) != key {
			t.Errorf("width %d: the key does not read back", w)
		}
	}
}

// Carets stand under the octets at fault: under both columns of a wide
// character, under the whole of an escape, on the right line after a break.
func TestRecordCarets(t *testing.T) {
	for _, c := range []struct {
		why, raw    string
		off, n      int
		width, most int
		want        []recordLine
		cut         bool
	}{
		{"plain", "v=spf1 +all", 7, 4, 40, 6, []recordLine{{"v=spf1 +all", "       ^^^^"}}, false},
		{"length 0 marks nothing", "v=spf1", 0, 0, 40, 6, []recordLine{{"v=spf1", ""}}, false},
		{"wide characters before and at the fault", "届くx", 3, 3, 40, 6, []recordLine{{"届くx", "  ^^"}}, false},
		{"an escape is wider than its byte", "a\x1bb", 1, 1, 40, 6, []recordLine{{`a\x1bb`, " ^^^^"}}, false},
		{"after an escape", "\u202eb", 3, 1, 40, 6, []recordLine{{`\u202eb`, "      ^"}}, false},
		{"half of a character marks it all", "届", 1, 1, 40, 6, []recordLine{{"届", "^^"}}, false},
		{"a span over a break has carets on both lines", "aaaa bbbb cccc dddd", 5, 9, 10, 6, []recordLine{{"aaaa bbbb", "     ^^^^^"}, {"cccc dddd", "^^^^"}}, false},
		{"no blank: cut anywhere", "abcdefghijkl", 8, 1, 8, 6, []recordLine{{"abcdefgh", ""}, {"ijkl", "^"}}, false},
		{"a wide character does not stand across the edge", "aaaaaaa届", 7, 3, 8, 6, []recordLine{{"aaaaaaa", ""}, {"届", "^^"}}, false},
		{"offsets outside are brought inside", "abc", -4, 99, 8, 6, []recordLine{{"abc", "^^^"}}, false},
		{"and beyond", "abc", 7, 2, 8, 6, []recordLine{{"abc", ""}}, false},
		{"empty", "", 0, 0, 8, 6, nil, false},
	} {
		got, cut := record(c.raw, c.off, c.n, c.width, c.most)
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(recordLine{})); diff != "" || cut != c.cut {
			t.Errorf("%s: cut %v\n%s", c.why, cut, diff)
		}
	}
	// A text of 64 KB is cut round the fault, wherever that is.
	for _, off := range []int{0, 1, 100, 30000, 65000, 65534} {
		raw := []byte(strings.Repeat("a", 65535))
		raw[off] = '!'
		lines, cut := record(string(raw), off, 1, 40, 6)
		marked := 0
		for _, l := range lines {
			if i := strings.IndexByte(l.text, '!'); i >= 0 {
				marked++
				if columns(l.text[:i]) != strings.IndexByte(l.carets, '^') {
					t.Errorf("offset %d: the caret is beside it:\n%s\n%s", off, l.text, l.carets)
				}
			}
		}
		all := ""
		for _, l := range lines {
			all += l.text
		}
		if marked != 1 || !cut || len(lines) > 7 {
			t.Errorf("offset %d: the fault is shown %d times, cut %v, %d lines", off, marked, cut, len(lines))
		}
		if strings.HasPrefix(all, "…") != (off >= 100) || strings.HasSuffix(all, "…") != (off < 65534) {
			t.Errorf("offset %d: … does not say where something is left out:\n%s", off, all)
		}
	}
}

// Kinsoku: no line starts with what closes, none ends with what opens; Latin
// words stay whole.
func TestWrap(t *testing.T) {
	s := "SPF を確認する受信側は、メールを拒否します。「届く」ために、(--ip) を指定してください。ディーエヌエス・サーバーっょゃ、mail.my-host.example のレコード。"
	for w := 16; w < 60; w++ { // below, the long word has to be cut
		var all string
		for _, l := range wrap([]span{{text: s}}, w, w) {
			var line string
			for _, p := range l {
				line += p.text
			}
			if columns(line) > w {
				t.Errorf("width %d: %q", w, line)
			}
			if strings.ContainsAny(line[:min(3, len(line))], "、。」)") || strings.HasPrefix(line, "ー") || strings.HasPrefix(line, "っ") || strings.HasPrefix(line, "ょ") {
				t.Errorf("width %d: a line starts with %q", w, line)
			}
			if strings.HasSuffix(line, "「") || strings.HasSuffix(line, "(") {
				t.Errorf("width %d: a line ends with %q", w, line)
			}
			if w >= 20 && strings.HasSuffix(line, "-") {
				t.Errorf("width %d: a name is broken at its hyphen: %q", w, line)
			}
			all += line
		}
		if strings.ReplaceAll(all, " ", "") != strings.ReplaceAll(s, " ", "") {
			t.Errorf("width %d: text is lost: %q", w, all)
		}
	}
}

func TestVerdict(t *testing.T) {
	ip := []netip.Addr{netip.MustParseAddr("203.0.113.9")}
	timeout := &dnsq.Error{Question: dnsq.Q("a.example", dnsq.TypeTXT), Reason: dnsq.Timeout}
	run := func(ips []netip.Addr, trouble []diag.Trouble, kinds ...*diag.Kind) *diag.Report {
		c := diag.CheckReport{Check: alpha}
		for _, k := range kinds {
			c.Findings = append(c.Findings, diag.Finding{Kind: k})
			c.Status = max(c.Status, k.Status)
		}
		return &diag.Report{Target: diag.Target{Domain: "shop.example", IPs: ips}, Checks: []diag.CheckReport{c}, Trouble: trouble}
	}
	crashed := run(ip, nil, kOK)
	crashed.Checks[0].Panic = "boom"
	for _, c := range []struct {
		why    string
		r      *diag.Report
		status diag.Status
		want   string
	}{
		{"good", run(ip, nil, kOK, kOld), diag.Info, "Mail from shop.example sent by 203.0.113.9: no fault was found in what was checked."},
		{"one fault", run(ip, nil, kOK, kNotAuth), diag.Fail, "Mail from shop.example sent by 203.0.113.9 is likely to be refused or marked as spam: 1 fault to mend."},
		{"an unanswered question beside a fault is not hidden by it", run(ip, []diag.Trouble{{Err: timeout}}, kNotAuth, kSyntax, kUndet), diag.Fail,
			"Mail from shop.example sent by 203.0.113.9 is likely to be refused or marked as spam: 2 faults to mend. 1 question got no answer, so there may be more."},
		{"an unanswered question is no all-clear, warnings or not", run(ip, []diag.Trouble{{Err: timeout}, {Err: timeout}}, kUndet, kNear), diag.Inconclusive,
			"No fault was found, but 1 question got no answer: this is no all-clear."},
		{"inconclusive for another reason", run(ip, nil, kUndet, kUndet), diag.Inconclusive, "No fault was found, but 2 questions got no answer: this is no all-clear."},
		{"warnings", run(ip, nil, kNear, kOK), diag.Warn, "Nothing was found that stops mail from shop.example, but 1 warning is worth mending."},
		{"without an address the verdict does not speak of one", run(nil, nil, kOK, kSkip), diag.Pass,
			"Mail from shop.example: no fault was found in what was checked. Without a sending address (--ip), nothing is said about whether that server may send."},
		{"nothing was checked", run(ip, nil, kSkip), diag.Skip, "Nothing was checked, so nothing can be said about mail from shop.example."},
		{"no checks at all", &diag.Report{Target: diag.Target{Domain: "shop.example"}}, diag.Skip, "Nothing was checked, so nothing can be said about mail from shop.example."},
		{"a crash is never good", crashed, diag.Inconclusive, "todoku itself failed: what it could not check is neither good nor bad."},
	} {
		if s := VerdictStatus(c.r); s != c.status {
			t.Errorf("%s: status %s, want %s", c.why, s, c.status)
		}
		if got := Verdict(c.r, catalog(t, "en")); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.why, got, c.want)
		}
		if got := Verdict(c.r, catalog(t, "ja")); !strings.HasSuffix(got, "。") || strings.Contains(got, "‹") {
			t.Errorf("%s: %s", c.why, got)
		}
	}
}

// A crash is shown as todoku's own fault; its stack, which may quote a record,
// is sanitised and waits for -v.
func TestCrash(t *testing.T) {
	r := sampleReport()
	r.Checks[1] = diag.CheckReport{Check: beta, Status: diag.Inconclusive, Panic: "index out of range \x1b[2J\ngoroutine 1\n\tfile.go:1\n"}
	out := text(t, r, "en", Options{})
	if !strings.Contains(out, `index out of range \x1b[2J`) || strings.Contains(out, "goroutine") {
		t.Errorf("%s", out)
	}
	if out := text(t, r, "en", Options{Verbose: true}); !strings.Contains(out, "goroutine 1") || strings.Contains(out, "\t") {
		t.Errorf("%s", out)
	}
}

func TestColorMode(t *testing.T) {
	for _, c := range []struct {
		why, flag string
		env       map[string]string
		tty, want bool
	}{
		{"a terminal", "", nil, true, true},
		{"a file", "auto", nil, false, false},
		{"the flag beats all", "always", map[string]string{"NO_COLOR": "1"}, false, true},
		{"never", "never", map[string]string{"FORCE_COLOR": "1"}, true, false},
		{"NO_COLOR beats FORCE_COLOR", "", map[string]string{"NO_COLOR": "0", "FORCE_COLOR": "1"}, true, false},
		{"an empty NO_COLOR says nothing (no-color.org)", "", map[string]string{"NO_COLOR": ""}, true, true},
		{"CLICOLOR_FORCE", "", map[string]string{"CLICOLOR_FORCE": "1"}, false, true},
		{"CLICOLOR_FORCE=0 asks for nothing", "", map[string]string{"CLICOLOR_FORCE": "0"}, true, true},
		{"FORCE_COLOR=0 refuses", "", map[string]string{"FORCE_COLOR": "0"}, true, false},
		{"a dumb terminal", "", map[string]string{"TERM": "dumb"}, true, false},
	} {
		got, err := ColorMode(c.flag, func(k string) string { return c.env[k] }, c.tty)
		if err != nil || got != c.want {
			t.Errorf("%s: %v, %v", c.why, got, err)
		}
	}
	if _, err := ColorMode("yes", func(string) string { return "" }, true); err == nil || !strings.Contains(err.Error(), "auto, always or never") {
		t.Error(err)
	}
}

type brokenWriter struct{}

var errFull = errors.New("disk full")

func (brokenWriter) Write([]byte) (int, error) { return 0, errFull }

// A report that could not be written is never taken for one that was.
func TestWriteError(t *testing.T) {
	for _, f := range Formats {
		if err := f.Write(brokenWriter{}, &diag.Run{Reports: []*diag.Report{sampleReport()}}, catalog(t, "en"), Options{}); !errors.Is(err, errFull) {
			t.Errorf("%s: %v", f.Name, err)
		}
		if g, ok := Lookup(f.Name); !ok || g.Name != f.Name {
			t.Errorf("Lookup(%s)", f.Name)
		}
	}
	if _, ok := Lookup("xml"); ok {
		t.Error("Lookup(xml)")
	}
}

// Every key that the code names is in the frame, and every key of the frame is
// named by the code: a text that is missing would be seen only by the user who
// meets it.
func TestFrameKeys(t *testing.T) {
	cat := catalog(t, "en")
	exact, prefix := map[string]bool{}, map[string]bool{}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	fixes, err := filepath.Glob("../fixes/*.go")
	if err != nil || len(fixes) == 0 {
		t.Fatal(err)
	}
	for _, f := range append(append(files, fixes...), "../i18n/i18n.go") {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), f, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		lit := func(e ast.Expr) (string, bool) {
			b, ok := e.(*ast.BasicLit)
			if !ok || b.Kind != token.STRING {
				return "", false
			}
			s, err := strconv.Unquote(b.Value)
			return s, err == nil
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			if b, ok := n.(*ast.BinaryExpr); ok {
				if s, ok := lit(b.X); ok && strings.HasSuffix(s, ".") {
					prefix[s] = true
				}
				return true
			}
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			name := ""
			switch fn := call.Fun.(type) {
			case *ast.SelectorExpr:
				name = fn.Sel.Name
			case *ast.Ident:
				name = fn.Name
			}
			s, isLit := lit(call.Args[0])
			switch {
			case (name == "T" || name == "TPieces" || name == "section") && isLit:
				exact[s] = true
			case (name == "N" || name == "NPieces") && isLit:
				exact[s+".one"], exact[s+".many"] = true, true
			case (name == "row" || name == "maybe") && isLit:
				exact["head."+s] = true
			case name == "detail" && isLit:
				exact["label."+s] = true
			case name == "blocks":
				if s, ok := lit(call.Args[1]); ok {
					exact[s] = true
				}
			}
			return true
		})
	}
	for _, m := range regexp.MustCompile(`call \$t "([^"]+)"`).FindAllStringSubmatch(htmlTemplate, -1) {
		exact[m[1]] = true
	}
	for k := range exact {
		if !cat.Has(k) {
			t.Errorf("%s is used and not in the frame", k)
		}
	}
	for _, k := range frameKeys(t) {
		used := exact[k] || strings.HasPrefix(k, "value.") || strings.HasPrefix(k, "list.") || strings.HasPrefix(k, "term.")
		for p := range prefix {
			used = used || p != "head." && p != "label." && strings.HasPrefix(k, p)
		}
		if !used {
			t.Errorf("%s is in the frame and not used", k)
		}
	}
	if len(exact) < 30 {
		t.Errorf("only %d keys were found in the code: the test looks in the wrong place", len(exact))
	}
}

func frameKeys(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("../i18n/frame.en.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range strings.Split(string(b), "\n") {
		if k, _, ok := strings.Cut(l, " = "); ok && l[0] != '#' {
			out = append(out, k)
		}
	}
	return out
}

func BenchmarkText(b *testing.B) {
	r, cat := sampleReport(), catalog(b, "ja")
	b.ReportAllocs()
	for b.Loop() {
		var out bytes.Buffer
		if err := Text(&out, r, cat, Options{Color: true}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJSON(b *testing.B) {
	r, cat := sampleReport(), catalog(b, "ja")
	b.ReportAllocs()
	for b.Loop() {
		var out bytes.Buffer
		if err := JSON(&out, r, cat, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// Questions that went unanswered for one reason are one trouble, said once on
// top; a naive report repeats it in every check, or calls it several. Two
// SERVFAILs are two: each is about its own name.
func TestTroubleGroups(t *testing.T) {
	check := func(name string) diag.CheckReport { return diag.CheckReport{Check: &diag.Check{Name: name}} }
	tr := func(name string, reason dnsq.Reason, server string, checks ...string) diag.Trouble {
		return diag.Trouble{Err: &dnsq.Error{Question: dnsq.Q(name, dnsq.TypeTXT), Reason: reason, Server: server}, Checks: checks}
	}
	for name, c := range map[string]struct {
		trouble []diag.Trouble
		want    string
	}{
		"one server, several checks":  {[]diag.Trouble{tr("a", dnsq.Network, "s", "ptr"), tr("b", dnsq.Network, "s", "spf")}, "a,b:spf,ptr"},
		"two servers, one check each": {[]diag.Trouble{tr("a", dnsq.Network, "s", "ptr"), tr("b", dnsq.Network, "r", "spf")}, ""},
		"one question, two checks":    {[]diag.Trouble{tr("a", dnsq.Timeout, "s", "spf", "ptr")}, "a:spf,ptr"},
		"servfail is about the name":  {[]diag.Trouble{tr("a", dnsq.ServFail, "s", "ptr"), tr("b", dnsq.ServFail, "s", "spf")}, ""},
		"two questions, one check":    {[]diag.Trouble{tr("a", dnsq.Timeout, "s", "spf"), tr("b", dnsq.Timeout, "s", "spf")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := &diag.Report{Checks: []diag.CheckReport{check("spf"), check("ptr")}, Trouble: c.trouble}
			var got []string
			for _, g := range troubleGroups(r) {
				var names []string
				for _, e := range g.errs {
					names = append(names, e.Name)
				}
				got = append(got, strings.Join(names, ",")+":"+strings.Join(g.checks, ","))
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("got %q, expected %q", s, c.want)
			}
		})
	}
}

// A change that mends two findings is shown once; the second names the first. A
// change that was not verified is shown each time: its reasons differ.
func TestSameChangeShownOnce(t *testing.T) {
	edits := []diag.Edit{{Name: "shop.example", Type: "TXT", Old: "old", New: "new"}}
	r := sampleReport()
	at := slices.IndexFunc(r.Checks[0].Findings, func(f diag.Finding) bool { return f.Kind.Status == diag.Fail })
	kind := r.Checks[0].Findings[at].Kind
	for name, verified := range map[string]bool{"verified": true, "not verified": false} {
		t.Run(name, func(t *testing.T) {
			f := func(subject string) diag.Finding {
				fd := r.Checks[0].Findings[at]
				fd.Subject, fd.Fixes = subject, []diag.Fix{{Edits: edits, Verified: verified}}
				return fd
			}
			c := r.Checks[0]
			c.Findings, c.Data = []diag.Finding{f("a.example"), f("b.example")}, nil
			one := *r
			one.Checks = []diag.CheckReport{c}
			var b bytes.Buffer
			if err := Text(&b, &one, catalog(t, "en"), Options{Width: 100}); err != nil {
				t.Fatal(err)
			}
			want := map[bool]int{true: 1, false: 2}[verified]
			if n := strings.Count(b.String(), `+ shop.example. TXT "new"`); n != want {
				t.Errorf("the change is shown %d times, expected %d:\n%s", n, want, b.String())
			}
			if strings.Contains(strings.Join(strings.Fields(b.String()), " "), "the same change as for "+kind.ID) != verified {
				t.Errorf("the second finding does not say as it should where the change is:\n%s", b.String())
			}
		})
	}
}
