package render

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	gmtext "github.com/yuin/goldmark/text"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
)

// hostileTexts are what each format might trip over, beside fuzzTexts.
var hostileTexts = []string{
	"```", "``` `x", "</details><script>x</script>", "<!--", "]]>", "&lt;b&gt;", "::error::x", "a\n::add-mask::b", "##[error]x", "%0A%25",
	"| a | b |\n|---|---|", "[x](https://evil.example)", "![x](https://evil.example/i.png)", "<https://evil.example>", "www.evil.example", "@everyone", "#1",
	"a\\", "\\`", "# x", "- x", "1. x", "    x", "\r\n\r\nx", "\u2028", "{0}", "\" onload=\"x", "' x='", "javascript:alert(1)", "http://evil.example/?a=b&c=d", "~~~", "***", "$x$", "\x00",
}

// marker stands in every hostile value, so that it can be found again wherever a
// format put it, and brings markup that none of the formats writes.
const marker = "zqxj<xyzzy a=b>"

// hostileRun is a run of a report and a diff, or one of both, with s wherever a
// stranger's text can stand.
func hostileRun(s string, off, n int, shape uint8) *diag.Run {
	s += marker + s
	f := func(k *diag.Kind) *diag.Finding {
		return &diag.Finding{
			Kind: k, Subject: s, Args: diag.Args{"ip": s, "result": s, "problem": s, "n": off, "names": []string{s, s}, "question": s, "reason": s},
			Evidence: []diag.Evidence{
				{Name: s, Type: "TXT", Text: s, Offset: off, Length: n, Source: dnsq.Source(s), File: s, Line: 1 + off&0xff},
				{Name: s, Type: s, Text: s, File: s, Line: n},
			},
			Fixes: []diag.Fix{
				{Verified: true, Edits: []diag.Edit{{Name: s, Type: "TXT", Old: s, New: s}, {Name: s, Type: s, New: s}}},
				{Owner: diag.Owner(s), Unverified: []string{s, "inconclusive:" + s, "edit:" + s}, Edits: []diag.Edit{{Name: s, Type: "A", Old: s}}},
			},
			Unknown: []*dnsq.Error{{Question: dnsq.Question{Name: s, Type: 16}, Reason: dnsq.Reason(s), Server: s, Detail: s, EDE: []string{s}}},
		}
	}
	report := func() *diag.Report {
		waived, known := f(kSyntax), f(kNear)
		waived.Waived = &diag.Waiver{Reason: s, Expires: time.Unix(1e9, 0), Place: diag.Place{File: s, Line: 1}}
		known.Known = true
		return &diag.Report{
			Version: s, Server: s, Started: time.Unix(1.7e9, 0), Queries: off,
			Target: diag.Target{Domain: s, From: s, MailFrom: s, Helo: s, Selectors: []string{s, s}, DKIMDomain: s,
				IPs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Named: diag.Place{File: s, Line: n}},
			Trouble: []diag.Trouble{{Err: &dnsq.Error{Question: dnsq.Question{Name: "x." + s, Type: 1}, Detail: s, EDE: []string{s}}, Checks: []string{"spf", "ptr"}}},
			Checks: []diag.CheckReport{
				{Check: alpha, Status: diag.Fail, Panic: strings.Repeat(s, int(shape>>3)&1),
					Findings: []diag.Finding{*f(kOK), *f(kNotAuth), *waived, *known, *f(kOld), *f(kSkip)},
					Data:     treeData{show: true, tree: &diag.Tree{Label: s, Cost: off, Note: s, Unit: s, Limit: n, Children: []*diag.Tree{{Label: s, Cost: n, Bad: true}, nil, {Label: s, Note: s}}}}},
				{Check: beta, Status: diag.Inconclusive, Findings: []diag.Finding{*f(kPTR), *f(kNoPTRA)}},
			},
		}
	}
	r := &diag.Run{Version: s, Server: s, Started: time.Unix(1.7e9, 0)}
	if shape&1 == 0 {
		r.Reports = append(r.Reports, report())
	}
	if shape&2 != 0 {
		r.Reports = append(r.Reports, report())
	}
	if shape&4 != 0 {
		r.Before, r.After = s, s
		old, neu := report(), report()
		change := func() diag.RecordChange {
			return diag.RecordChange{Name: s, Type: s, Old: neu.Checks[0].Findings[0].Evidence, New: neu.Checks[0].Findings[1].Evidence, Seen: time.Duration(off) * time.Second, Stays: time.Duration(n) * time.Second}
		}
		r.Changes = []diag.RecordChange{change(), change()}
		fs := neu.Checks[0].Findings
		d := &diag.Diff{Target: neu.Target, Old: old, New: neu, Pairs: []diag.Pair{
			{Change: diag.New, Check: alpha, New: &fs[1], Changes: []int{0, 1}},
			{Change: diag.New, Check: alpha, New: &fs[2]},
			{Change: diag.Unchanged, Check: alpha, Old: &fs[1], New: &fs[1]},
			{Change: diag.Fixed, Check: alpha, Old: f(kSyntax), Changes: []int{1}},
			{Change: diag.Undecided, Check: alpha, Old: f(kNotAuth)},
			{Change: diag.Undecided, Check: beta, New: f(kNoPTR), Changes: []int{0}},
			{Change: diag.New, Check: beta, New: f(kNoPTRA)},
			{Change: diag.New, Check: beta, New: f(kPTR)},
		}}
		r.Diffs = append(r.Diffs, d)
		if shape&16 != 0 {
			two := *d
			r.Diffs = append(r.Diffs, &two)
		}
	}
	return r
}

// fuzzFormat hands a format hostile runs, in both languages, and what it writes
// to check.
func fuzzFormat(f *testing.F, name string, check func(t *testing.T, r *diag.Run, out []byte)) {
	for i, s := range append(append([]string{}, fuzzTexts...), hostileTexts...) {
		f.Add(s, i, i%5, uint8(i))
	}
	f.Fuzz(func(t *testing.T, s string, off, n int, shape uint8) {
		if len(s) > 1<<14 {
			return
		}
		// A diff and reports do not come together; each is looked at.
		r := hostileRun(s, off%(1<<20), n%(1<<20), shape)
		lang := "en"
		if shape&32 != 0 {
			lang = "ja"
		}
		o := Options{Verbose: shape&64 != 0}
		if shape&128 != 0 {
			o.Dir, o.Root = "/repo/zones", "/repo"
		}
		check(t, r, machine(t, name, r, lang, o))
	})
}

func FuzzSARIF(f *testing.F) {
	fuzzFormat(f, "sarif", func(t *testing.T, r *diag.Run, out []byte) {
		validSARIF(t, r, out)
		noCommands(t, out)
	})
}

func FuzzJUnit(f *testing.F) {
	fuzzFormat(f, "junit", func(t *testing.T, _ *diag.Run, out []byte) { validJUnit(t, out) })
}

func FuzzGitHub(f *testing.F) {
	fuzzFormat(f, "github", func(t *testing.T, _ *diag.Run, out []byte) { commands(t, out) })
}

func FuzzHTML(f *testing.F) {
	fuzzFormat(f, "html", func(t *testing.T, _ *diag.Run, out []byte) { validHTML(t, out) })
}

func FuzzMarkdown(f *testing.F) {
	fuzzFormat(f, "markdown", func(t *testing.T, _ *diag.Run, out []byte) { validMarkdown(t, out) })
}

func FuzzJSON(f *testing.F) {
	fuzzFormat(f, "json", func(t *testing.T, r *diag.Run, out []byte) {
		if !json.Valid(out) {
			t.Fatalf("%q", out)
		}
		noCommands(t, out)
		var lines bytes.Buffer
		if err := runNDJSON(&lines, r, catalog(t, "en"), Options{}); err != nil {
			t.Fatal(err)
		}
		noCommands(t, lines.Bytes())
		for _, l := range bytes.Split(bytes.TrimSuffix(lines.Bytes(), []byte("\n")), []byte("\n")) {
			if len(l) > 0 && !json.Valid(l) {
				t.Fatalf("%q", l)
			}
		}
	})
}

// FuzzText: what a diff or several reports write to a terminal or, as in a job,
// to a log.
func FuzzText(f *testing.F) {
	fuzzFormat(f, "text", func(t *testing.T, r *diag.Run, out []byte) {
		if len(out) > 0 {
			safeLines(t, string(out), 200)
		}
		noCommands(t, []byte(Defuse(string(out))))
	})
}

// noCommands holds that no line is a command for a GitHub runner, and that
// nothing acts on a terminal.
func noCommands(t testing.TB, b []byte) {
	t.Helper()
	for _, l := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(strings.TrimSpace(l), "::") || strings.Contains(l, "##[") {
			t.Fatalf("a GitHub runner takes this line for a command: %q", l)
		}
		for _, r := range l {
			if sanitize.Unsafe(r) {
				t.Fatalf("U+%04X stands in %q", r, l)
			}
		}
	}
}

var gfm = goldmark.New(goldmark.WithExtensions(extension.GFM))

// ourHTML is the HTML that the Markdown holds.
var ourHTML = []string{"<details><summary>", "</summary>", "</details>", "<sub>", "</sub>"}

// validMarkdown reads the text as GitHub does: every value is in code, every
// link one of ours, all HTML ours, and it fits into a comment.
func validMarkdown(t testing.TB, b []byte) {
	t.Helper()
	if n := units(string(b)); n > mdLimit {
		t.Errorf("%d characters", n)
	}
	open := 0
	raw := func(s string) {
		open += strings.Count(s, "<details>") - strings.Count(s, "</details>")
		for _, o := range ourHTML {
			s = strings.ReplaceAll(s, o, "")
		}
		if strings.ContainsAny(s, "<>") || strings.Contains(s, "zqxj") {
			t.Errorf("HTML that is not ours: %q", s)
		}
	}
	doc := gfm.Parser().Parse(gmtext.NewReader(b))
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.CodeSpan, *ast.FencedCodeBlock:
			return ast.WalkSkipChildren, nil
		case *ast.Text:
			if s := string(n.Segment.Value(b)); strings.Contains(s, "zqxj") || strings.Contains(s, "xyzzy") {
				t.Errorf("a value stands outside of code: %q", s)
			}
		case *ast.String:
			if bytes.Contains(n.Value, []byte("zqxj")) {
				t.Errorf("a value stands outside of code: %q", n.Value)
			}
		case *ast.Link:
			if d := string(n.Destination); !strings.HasPrefix(d, "https://www.rfc-editor.org/") && !strings.HasPrefix(d, "https://support.google.com/") {
				t.Errorf("a link to %q", d)
			}
		case *ast.AutoLink, *ast.Image, *ast.CodeBlock, *ast.Blockquote, *ast.ThematicBreak, *east.Table, *east.TaskCheckBox, *east.Strikethrough:
			t.Errorf("%s, which we do not write", n.Kind())
		case *ast.RawHTML:
			var s []byte
			for i := range n.Segments.Len() {
				seg := n.Segments.At(i)
				s = append(s, seg.Value(b)...)
			}
			raw(string(s))
		case *ast.HTMLBlock:
			var s []byte
			for i := range n.Lines().Len() {
				seg := n.Lines().At(i)
				s = append(s, seg.Value(b)...)
			}
			if n.HasClosure() {
				s = append(s, n.ClosureLine.Value(b)...)
			}
			raw(string(s))
		}
		return ast.WalkContinue, nil
	})
	if open != 0 {
		t.Errorf("%d <details> are left open", open)
	}
	for _, r := range string(b) {
		if r != '\n' && sanitize.Unsafe(r) {
			t.Errorf("U+%04X stands in the Markdown", r)
		}
	}
}

// What does not fit into a comment is left out, and it is said.
func TestMarkdownLimit(t *testing.T) {
	var fs []diag.Finding
	for i := range 400 {
		k := kNotAuth
		if i%2 == 0 {
			k = kOld
		}
		fs = append(fs, diag.Finding{Kind: k, Subject: strings.Repeat("届", 40), Args: diag.Args{"ip": "192.0.2.1", "result": "fail"},
			Evidence: []diag.Evidence{{Name: "a.example", Type: "TXT", Text: strings.Repeat("ip4:192.0.2.1 ", 40)}}})
	}
	out := machine(t, "markdown", only(alpha, fs...), "en", Options{})
	validMarkdown(t, out)
	shown := strings.Count(string(out), "SPF-IP-NOT-AUTHORIZED")
	if !strings.Contains(string(out), "more findings do not fit into a comment") || shown < 40 || units(string(out)) < mdLimit-2*mdReserve-600 {
		t.Errorf("%d characters, %d findings\n%s", units(string(out)), shown, out[len(out)-400:])
	}
	// In brief where it does not fit in full: all 200 faults are there.
	if shown != 200 {
		t.Logf("%d of 200 faults are shown", shown)
	}
}

func TestMarkdownValid(t *testing.T) {
	for _, r := range []*diag.Run{sampleRun(), sampleChange(), sampleDiff(), {}} {
		for _, lang := range []string{"en", "ja"} {
			validMarkdown(t, machine(t, "markdown", r, lang, Options{}))
		}
	}
	// The test sees what would be wrong.
	for _, bad := range []string{"zqxj", "[x](https://evil.example)", "<b>x</b>", "https://evil.example", "![x](y)", "<details>", "| a |\n|---|\n| b |", "    x"} {
		if fails := tried(func(t testing.TB) { validMarkdown(t, []byte(bad)) }); !fails {
			t.Errorf("%q is taken for ours", bad)
		}
	}
}

// tried reports whether a check fails, and keeps that from the test.
func tried(check func(testing.TB)) bool {
	r := &recorder{}
	check(r)
	return r.failed
}

type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }
func (r *recorder) Error(...any)          { r.failed = true }
