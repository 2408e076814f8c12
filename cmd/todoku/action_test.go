package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/todoku-mail/todoku/pkg/render"
)

type action struct {
	Name        string
	Description string
	Inputs      map[string]struct {
		Description string
		Default     string
	}
	Runs struct {
		Using string
		Steps []struct {
			Name, Shell, Run, Uses string
			Env                    map[string]string
		}
	}
}

func readAction(t *testing.T) *action {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "action.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var a action
	if err := yaml.Unmarshal(b, &a); err != nil {
		t.Fatal(err)
	}
	return &a
}

// The action is one that GitHub takes: composite, each script with its shell,
// each input used and described, and no input in the text of a script.
func TestAction(t *testing.T) {
	a := readAction(t)
	if a.Name == "" || a.Description == "" || a.Runs.Using != "composite" || len(a.Runs.Steps) != 2 {
		t.Fatalf("%+v", a)
	}
	used := map[string]bool{}
	for _, s := range a.Runs.Steps {
		if s.Shell != "bash" || s.Run == "" || s.Uses != "" {
			t.Errorf("step %q: shell %q, uses %q", s.Name, s.Shell, s.Uses)
		}
		if strings.Contains(s.Run, "${{") {
			t.Errorf("step %q puts an expression into the text of its script", s.Name)
		}
		for k, v := range s.Env {
			name, ok := strings.CutPrefix(v, "${{ inputs.")
			name, ok2 := strings.CutSuffix(name, " }}")
			if _, there := a.Inputs[name]; !ok || !ok2 || !there {
				t.Errorf("%s is %s, which is no input", k, v)
			}
			if !strings.Contains(s.Run, "$"+k) {
				t.Errorf("%s is not used", k)
			}
			used[name] = true
		}
	}
	for name, in := range a.Inputs {
		if !used[name] || in.Description == "" {
			t.Errorf("input %s: used %v, %q", name, used[name], in.Description)
		}
	}
	for _, f := range render.Formats {
		if !strings.Contains(a.Inputs["format"].Description, f.Name) {
			t.Errorf("the input format does not name %s", f.Name)
		}
	}
}

// runAction runs the second script of the action as GitHub does, with a todoku
// that writes down its arguments.
func runAction(t *testing.T, inputs map[string]string) []string {
	t.Helper()
	a := readAction(t)
	dir := t.TempDir()
	stub := "#!/bin/sh\nfor a in \"$@\"; do printf '%s\\0' \"$a\"; done >\"$ARGS\"\n"
	if err := os.WriteFile(filepath.Join(dir, "todoku"), []byte(stub), 0o755); err != nil {
		t.Fatal(err)
	}
	step := a.Runs.Steps[1]
	cmd := exec.Command("bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step.Run)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "ARGS=" + filepath.Join(dir, "args")}
	for k, v := range step.Env {
		name := strings.TrimSuffix(strings.TrimPrefix(v, "${{ inputs."), " }}")
		value, ok := inputs[name]
		if !ok {
			value = a.Inputs[name].Default
		}
		cmd.Env = append(cmd.Env, k+"="+value)
	}
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%v\n%s", err, out)
	}
	files, _ := os.ReadDir(dir)
	if len(files) != 2 {
		t.Errorf("the script made files: %v", files)
	}
	b, err := os.ReadFile(filepath.Join(dir, "args"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

// Each value of an input is one argument, whatever it holds.
func TestActionArguments(t *testing.T) {
	for _, c := range []struct {
		why    string
		inputs map[string]string
		want   []string
	}{
		{"nothing given", nil, []string{"check", "--output=github", "--lang=en", "--"}},
		{"a diff", map[string]string{"old": "live", "new": "zones\nmore zones\n", "format": "github\nsarif=a b.sarif\r\n", "offline": "true", "ip": "192.0.2.1"},
			[]string{"diff", "--old=live", "--new=zones", "--new=more zones", "--ip=192.0.2.1", "--output=github", "--output=sarif=a b.sarif", "--lang=en", "--offline", "--"}},
		{"an inventory", map[string]string{"config": "todoku.yaml", "fail-on": "warn", "inconclusive": "ok", "lang": "ja"},
			[]string{"check", "--config=todoku.yaml", "--fail-on=warn", "--inconclusive=ok", "--output=github", "--lang=ja", "--"}},
		{"commands, and flags in place of values", map[string]string{"domain": "$(touch a)\n`touch b`; touch c\n--offline", "zones": "\"; touch d #\n*", "fail-on": "--old=x", "offline": "$(touch e)"},
			[]string{"check", "--zone=\"; touch d #", "--zone=*", "--fail-on=--old=x", "--output=github", "--lang=en", "--", "$(touch a)", "`touch b`; touch c", "--offline"}},
	} {
		if diff := cmp.Diff(c.want, runAction(t, c.inputs)); diff != "" {
			t.Errorf("%s:\n%s", c.why, diff)
		}
	}
}

var (
	longFlag  = regexp.MustCompile(`(?:^|[ (])(--[a-z][a-z-]*)`)
	shortFlag = regexp.MustCompile(` (-[a-z])[ =]`)
	yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")
)

// flagsOf are the flags of a command, as they are typed.
func flagsOf(t *testing.T, name string) func(string) bool {
	t.Helper()
	cmd, _, err := newRoot(stdio{in: strings.NewReader(""), out: &bytes.Buffer{}, err: &bytes.Buffer{}}).Find([]string{name})
	if err != nil || cmd.Name() != name {
		t.Fatalf("no command %s: %v", name, err)
	}
	return func(f string) bool {
		if short, ok := strings.CutPrefix(f, "-"); ok && len(short) == 1 {
			return cmd.Flags().ShorthandLookup(short) != nil
		}
		f = strings.TrimPrefix(f, "--")
		return has(cmd, f)
	}
}

func has(cmd *cobra.Command, name string) bool {
	return cmd.Flags().Lookup(name) != nil || cmd.InheritedFlags().Lookup(name) != nil
}

// Every flag that the action and the README's snippets give exists, and so do
// the formats; and the snippets are YAML.
func TestActionFlags(t *testing.T) {
	check, diff := flagsOf(t, "check"), flagsOf(t, "diff")
	n := 0
	for _, m := range longFlag.FindAllStringSubmatch(readAction(t).Runs.Steps[1].Run, -1) {
		n++
		if f := m[1]; !check(f) && !diff(f) {
			t.Errorf("action.yml: no command has %s", f)
		}
	}
	if n < 10 {
		t.Errorf("only %d flags were found in action.yml", n)
	}
	b, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	calls, inputs := 0, 0
	for _, block := range yamlBlock.FindAllStringSubmatch(string(b), -1) {
		var doc any
		if err := yaml.Unmarshal([]byte(block[1]), &doc); err != nil {
			t.Errorf("%v\n%s", err, block[1])
		}
		for _, l := range strings.Split(block[1], "\n") {
			_, call, ok := strings.Cut(l, "- todoku ")
			if !ok {
				continue
			}
			calls++
			name, rest, _ := strings.Cut(call, " ")
			known := flagsOf(t, name)
			for _, m := range slices.Concat(longFlag.FindAllStringSubmatch(" "+rest, -1), shortFlag.FindAllStringSubmatch(" "+rest, -1)) {
				if !known(m[1]) {
					t.Errorf("README.md: todoku %s has no %s: %s", name, m[1], l)
				}
			}
			for _, o := range regexp.MustCompile(`-o ([a-z]+)`).FindAllStringSubmatch(rest, -1) {
				if !slices.Contains(formats, o[1]) {
					t.Errorf("README.md: %s is not a format: %s", o[1], l)
				}
			}
		}
		if _, with, ok := strings.Cut(block[1], "uses: todoku-mail/todoku@"); ok {
			for _, m := range regexp.MustCompile(`(?m)^ {10}([a-z-]+):`).FindAllStringSubmatch(with, -1) {
				inputs++
				if _, ok := readAction(t).Inputs[m[1]]; !ok {
					t.Errorf("README.md: the action has no input %s", m[1])
				}
			}
		}
	}
	if calls != 1 || inputs != 3 {
		t.Errorf("%d calls and %d inputs were found in README.md", calls, inputs)
	}
}
