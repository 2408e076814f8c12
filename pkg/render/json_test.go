package render

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
)

func schema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.AssertContent()
	s, err := c.Compile("../../testdata/report.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func reportBytes(t testing.TB, r *diag.Report) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := JSON(&b, r, catalog(t, "en"), Options{}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSchema(t *testing.T) {
	s := schema(t)
	empty := &diag.Report{}
	null := sampleReport()
	null.Target.NullSender, null.Target.MailFrom = true, ""
	null.Checks[0].Panic = "boom"
	for name, r := range map[string]*diag.Report{"sample": sampleReport(), "empty": empty, "null sender and crash": null} {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(reportBytes(t, r)))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The schema is not one that lets everything through.
	for _, c := range []struct{ why, old, new string }{
		{"an unknown status", `"status": "fail"`, `"status": "bad"`},
		{"a missing key", `"fingerprint"`, `"finger"`},
		{"a number as text", `"queries": 21`, `"queries": "21"`},
		{"an ID in lower case", `"id": "SPF-OK"`, `"id": "spf-ok"`},
		{"an unknown owner", `"owner": "dns-admin"`, `"owner": "boss"`},
		{"a line without its file", `"file": "zones/shop.zone",`, ``},
		{"null for an empty list", `"selectors": [`, `"selectors": null, "x": [`},
	} {
		b := strings.Replace(string(reportBytes(t, sampleReport())), c.old, c.new, 1)
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(b))
		if err != nil {
			t.Fatalf("%s: %v", c.why, err)
		}
		if s.Validate(v) == nil {
			t.Errorf("the schema accepts %s", c.why)
		}
	}
}

// Keys of the contract, in its order.
func TestKeyOrder(t *testing.T) {
	out := string(reportBytes(t, sampleReport()))
	for _, keys := range [][]string{
		{"schema", "version", "started", "duration_ms", "queries", "target", "domain", "from", "mail_from", "helo", "ips", "selectors",
			"status", "counts", "pass", "info", "warn", "inconclusive", "fail", "skip", "checks", "check",
			"findings", "id", "subject", "args", "message", "owner", "evidence", "name", "type", "text", "source", "fixes", "references", "rfc", "section", "url", "fingerprint"},
		{"offset", "length", "source", "file", "line", "verified", "edits", "old", "new"},
	} {
		at := 0
		for _, k := range keys {
			i := strings.Index(out[at:], `"`+k+`":`)
			if i < 0 {
				t.Fatalf("%s is missing or out of order", k)
			}
			at += i
		}
	}
}

func TestNDJSON(t *testing.T) {
	var b bytes.Buffer
	for range 2 {
		if err := NDJSON(&b, sampleReport(), catalog(t, "ja"), Options{}); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, l := range lines {
		if !json.Valid([]byte(l)) {
			t.Error(l)
		}
	}
}

func oneEvidence(text string, off, n int) *diag.Report {
	return &diag.Report{Checks: []diag.CheckReport{{Check: alpha, Findings: []diag.Finding{{
		Kind: kSyntax, Subject: "a.example", Args: diag.Args{"problem": text},
		Evidence: []diag.Evidence{{Name: "a.example", Type: "TXT", Text: text, Offset: off, Length: n, Source: dnsq.SourceDNS}},
		Fixes:    []diag.Fix{{Edits: []diag.Edit{{Name: "a.example", Type: "TXT", Old: text, New: "x"}}}},
	}}}}}
}

func decodeEvidence(t testing.TB, b []byte) (text, exact string) {
	t.Helper()
	var r struct {
		Checks []struct {
			Findings []struct {
				Evidence []struct {
					Text string `json:"text"`
					B64  string `json:"text_base64"`
				}
			}
		}
	}
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	e := r.Checks[0].Findings[0].Evidence[0]
	raw, err := base64.StdEncoding.DecodeString(e.B64)
	if err != nil {
		t.Fatal(err)
	}
	return e.Text, string(raw)
}

func TestJSONText(t *testing.T) {
	for _, c := range []struct{ why, raw, text, b64 string }{
		{"exact where JSON can hold it", "v=spf1 \x1b[2J\u202e届\u200b\U000e0041\x7f\u009b<&>\u2028", "v=spf1 \x1b[2J\u202e届\u200b\U000e0041\x7f\u009b<&>\u2028", ""},
		{"two different bad bytes stay different", "a\xff\xfe", `a\xff\xfe`, "a\xff\xfe"},
		{"U+FFFD that is really there", "\ufffd", "\ufffd", ""},
	} {
		b := reportBytes(t, oneEvidence(c.raw, 0, 0))
		text, exact := decodeEvidence(t, b)
		if text != c.text || exact != c.b64 {
			t.Errorf("%s: %q, %q", c.why, text, exact)
		}
		for _, r := range string(b) {
			if r != '\n' && sanitize.Unsafe(r) {
				t.Errorf("%s: U+%04X stands in the output", c.why, r)
			}
		}
	}
}

// Spans are held inside the text; a span that is empty is left out whole.
func TestJSONSpan(t *testing.T) {
	for _, c := range []struct {
		off, n int
		want   string
	}{
		{0, 2, `"offset":0,"length":2`}, {1, 99, `"offset":1,"length":2`}, {-3, 1, `"offset":0,"length":1`},
	} {
		var b bytes.Buffer
		if err := NDJSON(&b, oneEvidence("abc", c.off, c.n), catalog(t, "en"), Options{}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), c.want) {
			t.Errorf("%d,%d: no %s in %s", c.off, c.n, c.want, b.String())
		}
	}
	if out := string(reportBytes(t, oneEvidence("abc", 1, 0))); strings.Contains(out, `"offset"`) || strings.Contains(out, `"length"`) {
		t.Error("a span of no octets is written")
	}
}

// A value that JSON has no form for is an error, not half a report.
func TestJSONDataError(t *testing.T) {
	r := sampleReport()
	r.Checks[0].Data = func() {}
	var b bytes.Buffer
	if err := JSON(&b, r, catalog(t, "en"), Options{}); err == nil || b.Len() > 0 {
		t.Errorf("error %v, %d bytes written", err, b.Len())
	}
}

var fuzzTexts = []string{"", " ", "v=spf1 +all", "\x1b[2J", "届\u202eく", "\xff\xfe", "e\u0301\u0301\u0301\u0301\u0301", "ｶﾞ①📧👩\u200d👩", "\u0e33\u0915\u094d\u0937", "\U0001f1ef\U0001f1f5\U0001f1ef", strings.Repeat("a ", 3000), "한국어\u1100\u1161"}

func FuzzReportText(f *testing.F) {
	for i, s := range fuzzTexts {
		f.Add(s, i, i+3, 40+i*7, i%2 == 0)
	}
	cats := []struct{ l string }{{"en"}, {"ja"}}
	f.Fuzz(func(t *testing.T, s string, off, n, width int, ja bool) {
		r := oneEvidence(s, off, n)
		fd := &r.Checks[0].Findings[0]
		fd.Subject = s
		fd.Evidence = append(fd.Evidence, diag.Evidence{Name: s, Type: s, Text: "x", File: s, Line: 1})
		fd.Fixes[0].Edits = append(fd.Fixes[0].Edits, diag.Edit{Name: s, Type: s, New: s}, diag.Edit{Name: s, Type: "TXT", New: s})
		fd.Fixes[0].Unverified = []string{s, "inconclusive:" + s}
		e := &dnsq.Error{Question: dnsq.Question{Name: s, Type: 16}, Reason: dnsq.Reason(s), Server: s, Detail: s, EDE: []string{s}}
		fd.Unknown = []*dnsq.Error{e}
		r.Target = diag.Target{Domain: s, MailFrom: s, Helo: s, From: s, Selectors: []string{s}}
		r.Server, r.Version = s, "0.1"
		r.Trouble = []diag.Trouble{{Err: &dnsq.Error{Question: dnsq.Question{Name: "x." + s, Type: 1}, Detail: s}, Checks: []string{"a", "b"}}}
		r.Checks[0].Panic = s
		r.Checks[0].Data = treeData{show: true, tree: &diag.Tree{Label: s, Note: s, Unit: s, Children: []*diag.Tree{{Label: s, Bad: true}}}}
		lang := cats[0].l
		if ja {
			lang = cats[1].l
		}
		w := 40 + (width%80+80)%80
		for _, v := range []bool{false, true} {
			safeLines(t, text(t, r, lang, Options{Width: w, Verbose: v}), w)
		}
		out := reportBytes(t, r)
		got, exact := decodeEvidence(t, out)
		if utf8.ValidString(s) && got != s || !utf8.ValidString(s) && exact != s {
			t.Fatalf("the text %q is %q, %q in JSON", s, got, exact)
		}
		for _, c := range string(out) {
			if c != '\n' && sanitize.Unsafe(c) {
				t.Fatalf("U+%04X stands in the JSON of %q", c, s)
			}
		}
	})
}

// What cells say about columns is what the terminal's width table says about
// the line that is printed.
func FuzzCells(f *testing.F) {
	for _, s := range fuzzTexts {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		cols, at := 0, 0
		var b strings.Builder
		for _, c := range cells(s) {
			if c.off != at || c.size <= 0 {
				t.Fatalf("cells of %q: %+v at %d", s, c, at)
			}
			at += c.size
			cols += c.cols
			b.WriteString(c.text)
		}
		if at != len(s) || b.String() != sanitize.Text(s) {
			t.Fatalf("cells of %q cover %d bytes as %q, sanitised it is %q", s, at, b.String(), sanitize.Text(s))
		}
		if w := columns(b.String()); w != cols {
			t.Fatalf("cells of %q have %d columns, the line %+q has %d", s, cols, b.String(), w)
		}
	})
}

func FuzzZoneRecord(f *testing.F) {
	for i, s := range fuzzTexts {
		f.Add(s, i*20)
	}
	f.Fuzz(func(t *testing.T, data string, width int) {
		w := 20 + (width%200+200)%200
		lines := zoneRecord("a.example", "TXT", data, w)
		for _, l := range lines {
			for i := range len(l) {
				if l[i] < ' ' || l[i] > '~' {
					t.Fatalf("%q is not plain ASCII", l)
				}
			}
			if len(l) > w {
				t.Fatalf("%d of %d columns: %q", len(l), w, l)
			}
		}
		if got := unquote(t, strings.Join(lines, "\n")); got != data {
			t.Fatalf("%q reads back as %q", data, got)
		}
	})
}
