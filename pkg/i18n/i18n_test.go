package i18n

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

func TestPick(t *testing.T) {
	for _, c := range []struct {
		why, flag string
		env       map[string]string
		want      string
	}{
		{"nothing set", "", nil, "en"},
		{"the flag wins", "en", map[string]string{"LC_ALL": "ja_JP.UTF-8"}, "en"},
		{"LC_ALL before LANG", "", map[string]string{"LC_ALL": "C", "LANG": "ja_JP.UTF-8"}, "en"},
		{"an empty LC_ALL counts as not set", "", map[string]string{"LC_ALL": "", "LC_MESSAGES": "ja_JP.UTF-8", "LANG": "C"}, "ja"},
		{"LANG alone", "", map[string]string{"LANG": "ja"}, "ja"},
		{"other encodings and modifiers", "", map[string]string{"LANG": "ja_JP.eucJP@x"}, "ja"},
		{"POSIX", "", map[string]string{"LANG": "POSIX"}, "en"},
		{"an unknown language does not fall through to the next variable", "", map[string]string{"LC_MESSAGES": "fr_FR", "LANG": "ja"}, "en"},
		{"jam is no ja", "", map[string]string{"LANG": "jam_JM"}, "en"},
		{"LANGUAGE is not read", "", map[string]string{"LANGUAGE": "ja"}, "en"},
	} {
		got, err := Pick(c.flag, func(k string) string { return c.env[k] })
		if err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", c.why, got, err, c.want)
		}
	}
	for _, flag := range []string{"fr", "JA", "ja_JP", "\x1b"} {
		_, err := Pick(flag, func(string) string { return "ja" })
		if err == nil || !strings.Contains(err.Error(), "en, ja") || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("--lang %q: error %v, want one line that lists en, ja", flag, err)
		}
	}
}

// The frames hold the same keys and values; every word of the vocabulary is there.
func TestFrames(t *testing.T) {
	for _, err := range Problems(nil) {
		t.Error(err)
	}
}

func TestParseFrameErrors(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"a = b\na = c\n", "f:2: a is here twice"},
		{"a=b\n", "f:1: expected key = text"},
		{"A = b\n", "f:1: expected key = text"},
		{"a = \n", "f:1: blanks at the end"},
		{"a = \"\"\n", "f:1: a has no text"},
		{"a = \"x\n", "f:1: \"x is no quoted string"},
		{"# ok\n\na = {b\n", "f:3: a { without its }"},
		{"a = b}\n", "f:1: a } without its {"},
		{"a = {B}\n", "f:1: {B} is no placeholder"},
		{"a = \xff\n", "f:1: not valid UTF-8"},
	} {
		if _, err := parseFrame("f", c.src); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.src, err, c.want)
		}
	}
}

const goodEN = `# Demo: a check

It looks at things.

## DEMO-BAD

{subject} has {n} faults in
` + "`%{{i}}`" + `.

### Why

Mail is refused.

More on it:

- one thing
  goes on
- another

### Fix

Publish this.

    example.com. TXT "x"

    example.com. TXT "y"

` + "```" + `
# not a heading
` + "```" + `

## DEMO-OK

All is well.
`

func TestParseDoc(t *testing.T) {
	d, err := parseDoc("f", goodEN)
	if err != nil {
		t.Fatal(err)
	}
	want := &Doc{Title: "Demo: a check", Intro: "It looks at things.", file: "f", Entries: []*Entry{
		{ID: "DEMO-BAD", line: 5, Message: "{subject} has {n} faults in `%{{i}}`.",
			Why: []Block{{Prose, "Mail is refused."}, {Prose, "More on it:"}, {Item, "one thing goes on"}, {Item, "another"}},
			Fix: []Block{{Prose, "Publish this."}, {Code, "example.com. TXT \"x\"\n\nexample.com. TXT \"y\""}, {Code, "# not a heading"}}},
		{ID: "DEMO-OK", line: 32, Message: "All is well."},
	}}
	if diff := cmp.Diff(want, d, cmp.AllowUnexported(Doc{}, Entry{})); diff != "" {
		t.Error(diff)
	}
}

// A break between Japanese lines is no space; one beside Latin text is.
func TestJoin(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"届かない\n理由です。", "届かない理由です。"},
		{"一行目。\nSPF です。", "一行目。 SPF です。"},
		{"the\nSPF", "the SPF"},
		{"한국어\n메일", "한국어 메일"},
		{"カタカナー\n「かな」", "カタカナー「かな」"},
	} {
		if got := join(strings.Split(c.in, "\n")); got != c.want {
			t.Errorf("join(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestParseDocErrors(t *testing.T) {
	head := "# T\n\nIntro.\n\n"
	for _, c := range []struct{ why, src, want string }{
		{"empty", "", "f:1: no # title"},
		{"text first", "x\n# T\n", "f:1: text before the # title"},
		{"no intro", "# T\n\n## A-B\n", "f:3: no paragraph below the title"},
		{"two titles", head + "# U\n", "f:5: a second title"},
		{"two paragraphs of intro", head + "More.\n", "f:5: below the title stands one paragraph"},
		{"bad ID", head + "## spf-x\n", "f:5: \"spf-x\" is no ID"},
		{"the same ID twice", head + "## A-B\n\nm.\n\n## A-B\n", "f:9: A-B is here twice, first in line 5"},
		{"no message", head + "## A-B\n\n### Why\n", "f:7: A-B: no message"},
		{"no message at the end", head + "## A-B\n", "f:5: A-B: no message"},
		{"two messages", head + "## A-B\n\nm.\n\nn.\n", "f:9: A-B: below the ID stands one paragraph"},
		{"a heading that no one shows would lose its text", head + "## A-B\n\nm.\n\n### Whatever\n", "f:9: A-B: unknown heading ### Whatever"},
		{"level four", head + "#### x\n", "f:5: unknown heading ####"},
		{"empty Why", head + "## A-B\n\nm.\n\n### Why\n\n### Fix\n\nx.\n", "f:11: A-B: ### Why is empty"},
		{"empty Fix", head + "## A-B\n\nm.\n\n### Fix\n", "f:9: A-B: ### Fix is empty"},
		{"Fix before Why", head + "## A-B\n\nm.\n\n### Fix\n\nx.\n\n### Why\n", "f:13: A-B: ### Why comes once"},
		{"a section that starts with a list has nothing to show in reports", head + "## A-B\n\nm.\n\n### Fix\n\n- x\n\n", "f:12: A-B: a section starts with a paragraph"},
		{"open brace", head + "## A-B\n\nm {x.\n\n", "f:8: a { without its }"},
		{"closing brace", head + "## A-B\n\nm x}.\n\n", "f:8: a } without its {"},
		{"an SPF macro is no placeholder", head + "## A-B\n\n%{i1r}? %{I}\n\n", "f:8: {I} is no placeholder"},
		{"open fence", head + "## A-B\n\nm.\n\n### Fix\n\nx.\n\n```\nfoo\n", "f:13: ``` is never closed"},
		{"blanks at the end", head + "## A-B \n", "f:5: blanks at the end"},
		{"a tab", head + "\tx\n", "f:5: control character"},
		{"CRLF", "# T\r\n", "f:1: blanks at the end"},
		{"bytes", "# T\n\xff\n", "f: not valid UTF-8"},
		{"### outside", head + "### Why\n", "f:5: a ### heading outside an ID"},
	} {
		_, err := parseDoc("f", c.src)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.why, err, c.want)
		}
	}
}

func kinds() []*diag.Kind {
	return []*diag.Kind{
		{ID: "DEMO-BAD", Status: diag.Fail, Owner: diag.DNSAdmin, Args: []string{"n"}, Refs: []diag.Ref{diag.RFC(7208, "3")}, Since: "0.1"},
		{ID: "DEMO-OK", Status: diag.Pass, Refs: []diag.Ref{diag.RFC(7208, "3")}, Since: "0.1"},
	}
}

const goodJA = `# Demo: 例

ものを見ます。

## DEMO-BAD

{subject} に {n} 件の不具合があります。

### Why

メールが拒否されます。

### Fix

次の内容を公開してください。

## DEMO-OK

問題ありません。
`

func check(en, ja string) *diag.Check {
	return &diag.Check{Name: "demo", Kinds: kinds(), Docs: fstest.MapFS{
		"doc.en.md": {Data: []byte(en)}, "doc.ja.md": {Data: []byte(ja)},
	}}
}

func TestProblems(t *testing.T) {
	good := strings.Replace(goodEN, " faults in\n`%{{i}}`.", " faults.", 1)
	for _, err := range Problems([]*diag.Check{check(good, goodJA)}) {
		t.Errorf("a good document: %v", err)
	}
	rep := strings.NewReplacer
	for _, c := range []struct{ why, en, ja, want string }{
		{"a text that does not exist in one language", good, goodJA[:strings.Index(goodJA, "## DEMO-OK")], "demo/doc.ja.md: DEMO-OK is missing"},
		{"an entry that no finding uses", good + "\n## DEMO-OLD\n\nx.\n", goodJA, "DEMO-OLD is no kind of check demo"},
		{"a value that one language leaves out", good, rep("{n} 件の", "").Replace(goodJA), "DEMO-BAD uses the values [subject], in en [n subject]"},
		{"a value that the finding does not have", rep("{n}", "{n} {m}").Replace(good), rep("{n}", "{m} {n}").Replace(goodJA), "uses {m}, which is not among its values (n)"},
		{"a fail without a remedy", good, rep("### Fix\n\n次の内容を公開してください。\n\n", "").Replace(goodJA), "has status fail and no ### Fix"},
		{"a fail without its effect", rep("### Why\n\nMail is refused.\n\nMore on it:\n\n- one thing\n  goes on\n- another\n\n", "").Replace(good), goodJA, "has status fail and no ### Why"},
		{"English left in the Japanese text", good, rep("問題ありません。", "All is well。").Replace(goodJA), "the message is not Japanese"},
		{"a message without its full stop", rep("All is well.", "All is well").Replace(good), goodJA, "the message does not end with ."},
		{"an ASCII full stop in Japanese", good, rep("問題ありません。", "問題ありません.").Replace(goodJA), "the message does not end with 。"},
		{"a title that was not translated", good, rep("# Demo: 例", "# Demo").Replace(goodJA), "the title is not Japanese"},
	} {
		errs := Problems([]*diag.Check{check(c.en, c.ja)})
		if len(errs) == 0 || len(errs) > 2 || !strings.Contains(errs[0].Error(), c.want) {
			t.Errorf("%s: %v, want: %s", c.why, errs, c.want)
		}
	}
}

func TestFill(t *testing.T) {
	load := func(lang string) *Catalog {
		t.Helper()
		c, err := Load([]*diag.Check{check(goodEN, goodJA)}, lang)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	en, ja := load("en"), load("ja")
	f := &diag.Finding{Kind: kinds()[0], Subject: "xn--r8jz45g.jp", Args: diag.Args{"n": 3}}
	eq := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
	eq(en.Message(f), "例え.jp (xn--r8jz45g.jp) has 3 faults in `%{i}`.")
	eq(ja.Message(f), "例え.jp (xn--r8jz45g.jp) に 3 件の不具合があります。")
	eq(en.Why(f), "Mail is refused.")
	eq(en.Fix(f), "Publish this.")
	eq(en.Blank(en.Entry("DEMO-BAD").Message), "‹subject› has ‹n› faults in `%{i}`.")
	eq(fmt.Sprint(en.Placeholders("DEMO-BAD"), en.Placeholders("NONE")), "[n subject] []")
	// What a value says must not be read as a placeholder, nor reach the terminal.
	f.Subject = "{n}\x1b[31m\u202e"
	eq(en.Message(f), `{n}\x1b[31m\u202e has 3 faults in `+"`%{i}`.")
	// A finding without text shows its data instead of nothing.
	eq(en.Message(&diag.Finding{Kind: &diag.Kind{ID: "DEMO-NEW"}, Subject: "a\n", Args: diag.Args{"z": 1, "b": "x\t"}}), `DEMO-NEW: a\n; b x\t; z 1`)

	for _, c := range []struct {
		name   string
		v      any
		en, ja string
	}{
		{"list", []string{"a", "xn--r8jz45g.jp"}, "a, 例え.jp (xn--r8jz45g.jp)", "a、例え.jp (xn--r8jz45g.jp)"},
		{"list", []string{}, "(none)", "(なし)"},
		{"list", []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14"}, "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 2 more", "1、2、3、4、5、6、7、8、9、10、11、12 ほか 2 件"},
		{"helo", "", "(empty)", "(空)"},
		{"helo", "  ", `"  "`, `"  "`},
		{"flag", true, "yes", "はい"},
		{"flag", false, "no", "いいえ"},
		{"reason", string(dnsq.Timeout), "no answer in time", "時間内に応答なし"},
		{"other", string(dnsq.Timeout), "timeout", "timeout"},
		{"question", "_dmarc.xn--r8jz45g.jp TXT", "_dmarc.例え.jp (_dmarc.xn--r8jz45g.jp) TXT", "_dmarc.例え.jp (_dmarc.xn--r8jz45g.jp) TXT"},
		{"term", "include:xn--r8jz45g.jp", "include:xn--r8jz45g.jp", "include:xn--r8jz45g.jp"},
		{"term", strings.Repeat("届", 200), strings.Repeat("届", 100) + "…", strings.Repeat("届", 100) + "…"},
		{"term", "a" + strings.Repeat("届", 200), "a" + strings.Repeat("届", 99) + "…", "a" + strings.Repeat("届", 99) + "…"},
		{"odd", 1.5, "1.5", "1.5"},
	} {
		eq(en.Value(c.name, c.v), c.en)
		eq(ja.Value(c.name, c.v), c.ja)
	}
}

func TestLoadErrors(t *testing.T) {
	if _, err := Load(nil, "fr"); err == nil {
		t.Error("a language without texts is loaded")
	}
	if _, err := Load([]*diag.Check{{Name: "x"}}, "en"); err == nil || !strings.Contains(err.Error(), "check x: no documents") {
		t.Error(err)
	}
	if _, err := Load([]*diag.Check{{Name: "x", Docs: fstest.MapFS{}}}, "en"); err == nil || !strings.Contains(err.Error(), "check x: ") {
		t.Error(err)
	}
	two := check(goodEN, goodJA)
	two.Name = "other"
	if _, err := Load([]*diag.Check{check(goodEN, goodJA), two}, "en"); err == nil || !strings.Contains(err.Error(), "DEMO-BAD is also in the document of another check") {
		t.Error(err)
	}
}

func FuzzParseDoc(f *testing.F) {
	f.Add(goodEN)
	f.Add(goodJA)
	f.Add("# T\n\nI.\n\n## A-B\n\n{{{x}}} m.\n")
	f.Fuzz(func(t *testing.T, src string) {
		d, err := parseDoc("f", src)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Fatalf("an error without its file: %v", err)
			}
			return
		}
		if d.Title == "" || d.Intro == "" {
			t.Fatal("accepted without title or intro")
		}
		for _, e := range d.Entries {
			if e.Message == "" {
				t.Fatalf("%s accepted without message", e.ID)
			}
			// With every placeholder gone and every brace doubled in the
			// source, what is left has as many braces as were doubled.
			out := expand(e.Message, func(string) string { return "" })
			names, err := placeholders(e.Message)
			if err != nil {
				t.Fatalf("%s: message accepted with %v", e.ID, err)
			}
			braces := strings.Count(e.Message, "{") + strings.Count(e.Message, "}") - 2*len(names)
			if got := strings.Count(out, "{") + strings.Count(out, "}"); 2*got != braces {
				t.Fatalf("%q: %d braces left, %d doubled", e.Message, got, braces)
			}
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	// Seven checks of ten kinds each, about what todoku has.
	var checks []*diag.Check
	size := 0
	for i := range 7 {
		doc := "# T\n\nIntro.\n\n"
		for j := range 10 {
			doc += fmt.Sprintf("## C%d-K%d\n\n{subject} has {n} faults.\n\n### Why\n\n%s\n\n### Fix\n\n%s\n\n", i, j,
				strings.Repeat("Receivers refuse mail that no record allows.\n", 8), strings.Repeat("Add the address to the record.\n", 8))
		}
		size += len(doc)
		checks = append(checks, &diag.Check{Name: fmt.Sprint("c", i), Docs: fstest.MapFS{"doc.en.md": {Data: []byte(doc)}}})
	}
	b.SetBytes(int64(size))
	for b.Loop() {
		if _, err := Load(checks, "en"); err != nil {
			b.Fatal(err)
		}
	}
}
