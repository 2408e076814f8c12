package zone

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/todoku-mail/todoku/pkg/diag"
)

var update = flag.Bool("update", false, "write the want and unplaced parts of testdata/edit anew")

// TestEdit: testdata/edit has one txtar per situation. "zone FILE" is a zone
// file, "file FILE" one that it includes, both with the line ends of the part
// "crlf" if there is one; "edits" are lines "- name TYPE text" and "+ name TYPE
// text", where a "+" right behind a "-" of the same name and type is one edit;
// "now" is the time for serials; "want FILE" is the whole file afterwards, of
// those that differ; "unplaced" are the edits that were not made.
func TestEdit(t *testing.T) {
	files, err := filepath.Glob("testdata/edit/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d cases, %v", len(files), err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) { editCase(t, path) })
	}
}

func editCase(t *testing.T, path string) {
	ar, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(bytes.TrimSpace(ar.Comment)) == 0 {
		t.Fatal("it must open with a sentence on what is easily got wrong")
	}
	fsys := fstest.MapFS{}
	var mains []string
	var edits []diag.Edit
	var now time.Time
	want := map[string]string{}
	unplaced, crlf, bare := "", false, false
	var keep []txtar.File
	for _, f := range ar.Files {
		word, arg, _ := strings.Cut(f.Name, " ")
		switch word {
		case "crlf":
			crlf = true
		case "no-final-line-end":
			bare = true
		case "zone", "file":
			text := string(f.Data)
			if bare {
				text = strings.TrimSuffix(text, "\n")
			}
			if crlf {
				text = strings.ReplaceAll(text, "\n", "\r\n")
			}
			fsys[arg] = &fstest.MapFile{Data: []byte(text)}
			if word == "zone" {
				mains = append(mains, arg)
			}
		case "edits":
			edits = readEdits(t, string(f.Data))
		case "now":
			if now, err = time.Parse(time.RFC3339, strings.TrimSpace(string(f.Data))); err != nil {
				t.Fatal(err)
			}
		case "want":
			want[arg] = string(f.Data)
		case "unplaced":
			unplaced = string(f.Data)
		default:
			t.Fatalf("unknown part %q", f.Name)
		}
		if word != "want" && word != "unplaced" {
			keep = append(keep, f)
		}
	}
	var zones []*Zone
	for _, m := range mains {
		z, err := ParseFS(fsys, m, "")
		if err != nil {
			t.Fatal(err)
		}
		zones = append(zones, z)
	}
	ed := mustSet(t, zones...).Edit(edits, now)
	got := map[string]string{}
	for _, f := range ed.Files {
		if !bytes.Equal(f.Old, fsys[f.Name].Data) {
			t.Errorf("%s: Old is not the file", f.Name)
		}
		text := string(f.New)
		if crlf {
			if strings.Count(text, "\n") != strings.Count(text, "\r\n") {
				t.Errorf("%s: line ends are mixed: %q", f.Name, text)
			}
			text = strings.ReplaceAll(text, "\r\n", "\n")
		}
		if bare {
			text += "\n"
		}
		got[f.Name] = text
		keep = append(keep, txtar.File{Name: "want " + f.Name, Data: []byte(text)})
	}
	var left strings.Builder
	for _, u := range ed.Unplaced {
		fmt.Fprintf(&left, "%s %s:%d %s %s -%q +%q\n", u.Why, u.File, u.Line, u.Edit.Name, u.Edit.Type, u.Edit.Old, u.Edit.New)
	}
	if left.Len() > 0 {
		keep = append(keep, txtar.File{Name: "unplaced", Data: []byte(left.String())})
	}
	if *update {
		ar.Files = keep
		if err := os.WriteFile(path, txtar.Format(ar), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
	if d := cmp.Diff(unplaced, left.String()); d != "" {
		t.Errorf("not made (-want +got):\n%s", d)
	}
}

func readEdits(t *testing.T, text string) []diag.Edit {
	t.Helper()
	var out []diag.Edit
	open := false // the last edit waits for its new side
	for l := range strings.Lines(text) {
		if l = strings.TrimSuffix(l, "\n"); l == "" {
			open = false
			continue
		}
		p := strings.SplitN(l, " ", 4)
		if len(p) != 4 || p[0] != "-" && p[0] != "+" {
			t.Fatalf("edit %q", l)
		}
		e := diag.Edit{Name: p[1], Type: p[2]}
		switch {
		case p[0] == "-":
			e.Old, open = p[3], true
			out = append(out, e)
		case open && out[len(out)-1].Name == e.Name && out[len(out)-1].Type == e.Type:
			out[len(out)-1].New, open = p[3], false
		default:
			e.New, open = p[3], false
			out = append(out, e)
		}
	}
	return out
}

func TestNextSerial(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		old, want uint32
		why       string
	}{
		{2026112001, 2026112200, "a date: today"},
		{2026112200, 2026112201, "today's date: the next of the day"},
		{2026112299, 2026112300, "more than a hundred on one day: it grows all the same"},
		{2026112301, 2026112302, "a date a little ahead"},
		{2027010101, 2027010102, "a date far ahead stays ahead: a serial that falls is not seen"},
		{2026139901, 2026139902, "no date: a counter"},
		{17, 18, "a counter"},
		{1780000000, 1795338000, "seconds since 1970"},
		{1795338000, 1795338001, "seconds, twice in one second"},
		{1990010100, 2026112200, "an old date is a date, although it could be seconds"},
		{4294967295, 1, "the end of the range: 0 is left out"},
		{4294967294, 4294967295, "nearly the end"},
		{2026022900, 2026022901, "the 29th of February of a year without one: a counter"},
	} {
		got := NextSerial(c.old, now)
		if got != c.want {
			t.Errorf("%d becomes %d, want %d (%s)", c.old, got, c.want, c.why)
		}
		// RFC 1982 §3.2: later, in serial number arithmetic.
		if d := got - c.old; d == 0 || d >= 1<<31 {
			t.Errorf("%d does not follow %d", got, c.old)
		}
	}
}
