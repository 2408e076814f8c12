package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// Changes that break mail in practice, each as a pair of zone files. A scenario in
// testdata/diff opens with what goes wrong and who would let it pass, and goes on
// with:
//
//	-- args --       flags and DOMAIN beside --old and --new, if there are any
//	-- old ZONE --   the zone before, -- new ZONE -- after, -- both ZONE -- the
//	                 same on both sides; "." says that nothing else exists
//	-- want --       the exit code, and every finding that is not unchanged:
//	                 "new fail ID subject"
//
// NAME.en.txt and NAME.ja.txt beside it are the reports. `make golden` writes want
// and reports anew, for reading.
func TestDiffScenarios(t *testing.T) {
	files, err := filepath.Glob("../../testdata/diff/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d scenarios: %v", len(files), err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) { diffScenario(t, path) })
	}
}

func diffScenario(t *testing.T, path string) {
	ar, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(strings.TrimSpace(string(ar.Comment))) < 40 {
		t.Error("it must open with what goes wrong")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir()) // so that reports hold relative names
	args := []string{"diff", "--old", "old", "--new", "new", "--offline"}
	var want []string
	for _, f := range ar.Files {
		word, zone, _ := strings.Cut(f.Name, " ")
		switch word {
		case "args":
			args = append(args, strings.Fields(string(f.Data))...)
		case "want":
			want = strings.Split(strings.TrimSpace(string(f.Data)), "\n")
		case "old", "new", "both":
			for _, side := range []string{"old", "new"} {
				if word == side || word == "both" {
					name, origin := zone, zone+"."
					if zone == "." {
						name, origin = "root", "."
					}
					data := append([]byte("$ORIGIN "+origin+"\n"), f.Data...)
					if err := os.MkdirAll(side, 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(filepath.Join(side, name+".zone"), data, 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
		default:
			t.Fatalf("unknown part %q", f.Name)
		}
	}
	try := func(more ...string) (string, int) {
		t.Helper()
		var out, errs bytes.Buffer
		code := run(t.Context(), append(slices.Clone(args), more...), stdio{in: strings.NewReader(""), out: &out, err: &errs,
			env: func(string) string { return "" }, width: func() int { return 0 },
			now: func() time.Time { return time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC) }})
		if errs.Len() > 0 {
			t.Errorf("%v says: %s", args, errs.String())
		}
		return out.String(), code
	}
	text, code := try("-o", "json")
	var report struct {
		Domains []struct {
			Findings []struct {
				Change   string
				Old, New *struct {
					ID, Status, Subject string
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		t.Fatal(err)
	}
	got := []string{"exit " + strconv.Itoa(code)}
	for _, d := range report.Domains {
		for _, f := range d.Findings {
			x := f.New
			if x == nil {
				x = f.Old
			}
			if f.Change != "unchanged" {
				line := fmt.Sprintf("%s %s %s %s", f.Change, x.Status, x.ID, x.Subject)
				if f.Change == "undecided" && f.New == nil {
					line += " (old)"
				}
				got = append(got, line)
			}
		}
	}
	update := os.Getenv("UPDATE") != ""
	if update {
		ar.Files = slices.DeleteFunc(ar.Files, func(f txtar.File) bool { return f.Name == "want" })
		ar.Files = append(ar.Files, txtar.File{Name: "want", Data: []byte(strings.Join(got, "\n") + "\n")})
		if err := os.WriteFile(abs, txtar.Format(ar), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for _, lang := range languages {
		text, again := try("--lang", lang)
		if again != code {
			t.Errorf("exit %d as text, %d as JSON", again, code)
		}
		text = seconds.ReplaceAllString(text, "0 $1")
		golden := strings.TrimSuffix(abs, "txtar") + lang + ".txt"
		if update {
			if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		b, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(b), text); d != "" {
			t.Errorf("%s (-want +got):\n%s", lang, d)
		}
	}
}
