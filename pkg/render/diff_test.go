package render

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/i18n"
)

// sampleDiff has a pair of each kind, on two targets, one with hostile records.
func sampleDiff() *diag.Run {
	after, before := sampleReport(), sampleReport()
	find := func(r *diag.Report, k *diag.Kind) *diag.Finding {
		for i := range r.Checks {
			for j := range r.Checks[i].Findings {
				if f := &r.Checks[i].Findings[j]; f.Kind == k {
					return f
				}
			}
		}
		panic(k.ID)
	}
	record := func(text, file string, line int) []diag.Evidence {
		return []diag.Evidence{{Name: "xn--r8jz45g.jp", Type: "TXT", Text: text, Source: dnsq.SourceZone, File: file, Line: line}}
	}
	return &diag.Run{
		Version: "0.1", Started: time.Date(2026, 11, 22, 16, 0, 0, 0, time.UTC), Duration: 412 * time.Millisecond,
		Before: "live", After: "zones/shop.zone", Server: "192.0.2.53:53",
		Changes: []diag.RecordChange{
			{Name: "_dmarc.xn--r8jz45g.jp", Type: "TXT", Seen: -1, Stays: 90 * time.Minute,
				New: []diag.Evidence{{Name: "_dmarc.xn--r8jz45g.jp", Type: "TXT", Text: "v=DMARC1; p=reject", Source: dnsq.SourceZone, File: "zones/shop.zone", Line: 14}}},
			{Name: "xn--r8jz45g.jp", Type: "TXT", Seen: time.Hour, SeenAtLeast: true, Stays: 48 * time.Hour,
				Old: record("v=spf1 a \x1b[2J -all", "", 0),
				New: append(record("google-site-verification=1", "zones/shop.zone", 11), record("v=spf1 a include:_spf.google.com -all", "zones/shop.zone", 12)...)},
		},
		Diffs: []*diag.Diff{
			{Target: after.Target, Old: before, New: after, Pairs: []diag.Pair{
				{Change: diag.Unchanged, Check: alpha, Old: find(before, kNear), New: find(after, kNear)},
				{Change: diag.New, Check: alpha, New: find(after, kNotAuth), Changes: []int{1}},
				{Change: diag.Undecided, Check: alpha, New: find(after, kSyntax), Changes: []int{1}},
				{Change: diag.Fixed, Check: alpha, Old: find(before, kSyntax)},
			}},
			{Target: diag.Target{Domain: "news.shop.example"}, Old: &diag.Report{}, New: &diag.Report{}, Pairs: []diag.Pair{
				{Change: diag.Undecided, Check: beta, Old: find(before, kNoPTRA), New: find(after, kNoPTRA)},
			}},
		},
	}
}

func diffText80(t testing.TB, r *diag.Run, lang string, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := runText(&b, r, catalog(t, lang), o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestDiffGolden(t *testing.T) {
	for _, lang := range i18n.Languages {
		for name, o := range map[string]Options{"80": {}, "quiet": {Quiet: true}, "verbose": {Verbose: true, Width: 60}, "colour": {Color: true}} {
			golden(t, "diff-"+lang+"-"+name+".golden", []byte(diffText80(t, sampleDiff(), lang, o)))
		}
		var b bytes.Buffer
		if err := runJSON(&b, sampleDiff(), catalog(t, lang), Options{}); err != nil {
			t.Fatal(err)
		}
		golden(t, "diff-"+lang+".json", b.Bytes())
	}
}

// What breaks stands first, then what is undecided, then what is fixed; what was
// wrong before takes one line; a record that changed is shown once.
func TestDiffOrder(t *testing.T) {
	out := diffText80(t, sampleDiff(), "en", Options{})
	at := -1
	for _, s := range []string{"This change breaks mail: 1 new fault", "Breaks: ", "[SPF-IP-NOT-AUTHORIZED]", "Undecided: ", "[SPF-SYNTAX]", "Undecided: news.shop.example",
		"Fixed: ", "GONE  ", "Wrong before too, and unchanged: 1 warning", "Other changed records", "_dmarc.xn--r8jz45g.jp", "1 new · "} {
		i := strings.Index(out, s)
		if i <= at {
			t.Fatalf("%q stands at %d, not behind %d:\n%s", s, i, at, out)
		}
		at = i
	}
	if n := strings.Count(out, "+ xn--r8jz45g.jp. TXT \"google-site-verification=1\""); n != 1 {
		t.Errorf("the changed record is shown %d times", n)
	}
	if strings.Contains(out, "SPF-NEAR-LOOKUP-LIMIT") {
		t.Error("what was wrong before is shown without -v")
	}
	if strings.ContainsAny(out, "\x1b\u202e") {
		t.Error("the record's escape reaches the terminal")
	}
}

// A naive status takes the worst finding, whatever became of it.
func TestDiffStatus(t *testing.T) {
	for _, c := range []struct {
		why  string
		edit func(*diag.Run)
		want diag.Status
	}{
		{"a new fault", func(*diag.Run) {}, diag.Fail},
		{"the fault was there before", func(r *diag.Run) { r.Diffs[0].Pairs[1].Change = diag.Unchanged }, diag.Inconclusive},
		{"the fault is waived, the rest is gone", func(r *diag.Run) {
			r.Diffs[0].Pairs[1].New.Waived = &diag.Waiver{Reason: "moves on Monday"}
			r.Diffs[0].Pairs, r.Diffs[1].Pairs = r.Diffs[0].Pairs[:2], nil
		}, diag.Pass},
		{"only fixed", func(r *diag.Run) { r.Diffs[0].Pairs, r.Diffs[1].Pairs = r.Diffs[0].Pairs[3:], nil }, diag.Pass},
		{"a crash", func(r *diag.Run) {
			r.Diffs[0].Pairs, r.Diffs[1].Pairs = nil, nil
			r.Diffs[0].New.Checks[0].Panic = "boom"
		}, diag.Inconclusive},
	} {
		r := sampleDiff()
		c.edit(r)
		if got := DiffStatus(r); got != c.want {
			t.Errorf("%s: %s, want %s", c.why, got, c.want)
		}
		for _, lang := range i18n.Languages {
			if DiffVerdict(r, catalog(t, lang)) == "" {
				t.Errorf("%s: no verdict in %s", c.why, lang)
			}
		}
	}
}

func TestDiffSchema(t *testing.T) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.AssertContent()
	s, err := c.Compile("../../testdata/diff.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := runJSON(&b, sampleDiff(), catalog(t, "en"), Options{}); err != nil {
		t.Fatal(err)
	}
	validate := func(text string) error {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return s.Validate(v)
	}
	if err := validate(b.String()); err != nil {
		t.Error(err)
	}
	for _, x := range []struct{ why, old, new string }{
		{"an unknown change", `"change": "fixed"`, `"change": "gone"`},
		{"a new finding that is old", `"change": "unchanged"`, `"change": "new"`},
		{"a time below zero", `"old_seen_seconds": 3600`, `"old_seen_seconds": -1`},
		{"a status that no diff has", `"status": "fail",
  "counts"`, `"status": "skip",
  "counts"`},
	} {
		broken := strings.Replace(b.String(), x.old, x.new, 1)
		if broken == b.String() {
			t.Fatalf("%s: %s is not in the sample", x.why, x.old)
		}
		if validate(broken) == nil {
			t.Errorf("the schema accepts %s", x.why)
		}
	}
}

func TestDuration(t *testing.T) {
	cat := catalog(t, "en")
	for d, want := range map[time.Duration]string{
		0: "0 s", 59 * time.Second: "59 s", time.Minute: "1 min", 90 * time.Second: "90 s", 5 * time.Minute: "5 min", time.Hour: "1 h",
		90 * time.Minute: "1 h 30 min", 24 * time.Hour: "24 h", 48 * time.Hour: "2 days", 7 * 24 * time.Hour: "7 days", 50 * time.Hour: "50 h",
	} {
		if got := Duration(d, cat); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

func BenchmarkDiffText(b *testing.B) {
	r, cat := sampleDiff(), catalog(b, "ja")
	b.ReportAllocs()
	for b.Loop() {
		if err := runText(io.Discard, r, cat, Options{Color: true}); err != nil {
			b.Fatal(err)
		}
	}
}

// A record that many domains share breaks them all; a naive report says the whole
// of it once for each.
func TestDiffToldOnce(t *testing.T) {
	r := sampleDiff()
	p := r.Diffs[0].Pairs[1]
	r.Diffs[1].Pairs = []diag.Pair{p}
	out := strings.Join(strings.Fields(diffText80(t, r, "en", Options{})), " ")
	if n := strings.Count(out, "todoku explain SPF-IP-NOT-AUTHORIZED"); n != 1 {
		t.Errorf("explained %d times", n)
	}
	if n := strings.Count(out, "[SPF-IP-NOT-AUTHORIZED]"); n != 2 {
		t.Errorf("told %d times, want once for each domain", n)
	}
	if !strings.Contains(out, "the same as above, at 例え.jp") {
		t.Error("the second does not point at the first")
	}
	if !strings.Contains(out, "2 new faults at 例え.jp (xn--r8jz45g.jp), news.shop.example") {
		t.Error("the verdict does not count both")
	}
}
