package render

import (
	"fmt"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
)

// A command is a line as the runner reads it (actions/runner, ActionCommand).
type command struct {
	name, message string
	props         map[string]string
}

// commands reads a log as the runner does. Each line is a command of ours or the
// last line, which is none.
func commands(t testing.TB, b []byte) []command {
	t.Helper()
	if len(b) > 0 && b[len(b)-1] != '\n' {
		t.Fatalf("the last line is open: %q", b)
	}
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if len(b) == 0 {
		return nil
	}
	var out []command
	for i, l := range lines {
		for _, r := range l {
			if sanitize.Unsafe(r) {
				t.Errorf("U+%04X stands in %q", r, l)
			}
		}
		if i == len(lines)-1 && strings.HasPrefix(l, "todoku: ") {
			if strings.Contains(l, "##[") {
				t.Errorf("%q holds a command", l)
			}
			continue
		}
		head, message, ok := strings.Cut(strings.TrimPrefix(l, "::"), "::")
		if !strings.HasPrefix(l, "::") || !ok {
			t.Fatalf("line %d is no command: %q", i+1, l)
		}
		c := command{props: map[string]string{}}
		c.message = strings.NewReplacer("%0D", "\r", "%0A", "\n", "%25", "%").Replace(message)
		name, props, _ := strings.Cut(head, " ")
		c.name = name
		if name != "error" && name != "warning" {
			t.Fatalf("the command %q is none of ours: %q", name, l)
		}
		for _, p := range strings.Split(props, ",") {
			k, v, ok := strings.Cut(p, "=")
			if _, twice := c.props[k]; !ok || twice || k != "file" && k != "line" && k != "title" {
				t.Fatalf("property %q in %q", p, l)
			}
			c.props[k] = strings.NewReplacer("%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",", "%25", "%").Replace(v)
		}
		out = append(out, c)
	}
	return out
}

func TestGitHubCommands(t *testing.T) {
	var got []string
	for _, c := range commands(t, machine(t, "github", sampleRun(), "en", Options{})) {
		got = append(got, fmt.Sprint(c.name, " ", c.props["file"], ":", c.props["line"], " ", c.props["title"]))
	}
	want := []string{
		"error zones/shop.zone:12 SPF-IP-NOT-AUTHORIZED · 例え.jp (xn--r8jz45g.jp)",
		"error : PTR-MISSING · news.example",
		"warning todoku.yaml:3 PTR-UNDETERMINED · 例え.jp (xn--r8jz45g.jp) · could not be found out",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	got = nil
	for _, c := range commands(t, machine(t, "github", sampleChange(), "en", Options{})) {
		got = append(got, c.name+" "+c.props["title"])
	}
	want = []string{"error SPF-IP-NOT-AUTHORIZED · shop.example", "warning PTR-MISSING · shop.example · could not be found out", "warning PTR-UNDETERMINED · shop.example · could not be found out"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("of a diff: %q, want %q", got, want)
	}
}

// A record cannot write a command, end one, or set a property.
func TestGitHubInjection(t *testing.T) {
	evil := "x\n::add-mask::secret\r\n%0A::error::fake,line=1::##[error]y%25"
	f := diag.Finding{Kind: kSyntax, Subject: evil, Args: diag.Args{"problem": evil}, Evidence: []diag.Evidence{{Name: evil, Type: "TXT", File: evil, Line: 3}}}
	r := only(alpha, f)
	r.Reports[0].Target.Domain = evil
	cs := commands(t, machine(t, "github", r, "en", Options{}))
	if len(cs) != 1 || !strings.Contains(cs[0].message, `x\n::add-mask::secret\r\n%0A::error::fake`) {
		t.Errorf("%+v", cs)
	}
	if !strings.Contains(cs[0].props["title"], `::error::fake,line=1::`) || cs[0].props["line"] != "3" {
		t.Errorf("%+v", cs[0].props)
	}
}

// GitHub drops what is beyond ten of a kind without a word: the worst are kept,
// and the rest is said.
func TestGitHubLimit(t *testing.T) {
	var fs []diag.Finding
	for i := range 14 {
		fs = append(fs, diag.Finding{Kind: kNear, Subject: fmt.Sprint(i)}, diag.Finding{Kind: kSyntax, Subject: fmt.Sprint(i)})
	}
	out := machine(t, "github", only(alpha, fs...), "en", Options{})
	n := map[string]int{}
	for _, c := range commands(t, out) {
		n[c.name]++
	}
	if n["error"] != 10 || n["warning"] != 10 || !strings.HasSuffix(string(out), "todoku: 8 more findings are in the summary of the step: GitHub shows ten of a kind.\n") {
		t.Errorf("%v\n%s", n, out)
	}
}

// What a runner would take for a command is text.
func TestDefuse(t *testing.T) {
	for in, want := range map[string]string{
		"::add-mask::x":              `\x3a:add-mask::x`,
		"a\n   ::stop-commands::y\n": "a\n   \\x3a:stop-commands::y\n",
		"2001:db8::1 ::1":            "2001:db8::1 ::1",
		"x ##[error]y":               `x \x23#[error]y`,
		"###[debug]":                 `#\x23#[debug]`,
		"":                           "",
	} {
		if got := Defuse(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
