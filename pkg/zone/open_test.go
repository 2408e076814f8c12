package zone

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// folder writes the files of a txtar into a new folder.
func folder(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range txtar.Parse([]byte(text)).Files {
		p := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// zonesOf are the zones of a set and how many records each has.
func zonesOf(s *Set) string {
	var out []string
	for _, z := range s.Zones() {
		out = append(out, fmt.Sprintf("%s:%d", z.Origin, len(z.Records)))
	}
	return strings.Join(out, " ")
}

func TestOpenAllFolder(t *testing.T) {
	dir := folder(t, `
-- db.example.com --
@ A 192.0.2.1
$INCLUDE common.zone
-- common.zone --
@ MX 10 mail
-- example.net --
$TTL 60
@ A 192.0.2.1
-- example.org.zone --
; no directive and no SOA: the name says it all
@ TXT "x"
-- 2.0.192.in-addr.arpa.db --
1 PTR mail.example.com.
-- zone-of-another-name --
$ORIGIN .
example.info 5 IN SOA ns.example.info. host.example.info. ( 1 2 3 4 5 )
-- view.internal.zone --
example.jp. 5 SOA ns host 1 2 3 4 5
-- readme.txt --
The SOA record is at the top. $ORIGIN is not.
-- named.conf --
zone "example.com" { type master; file "db.example.com"; };
-- example.org.zone.bak --
@ TXT "old"
-- example.org.zone.signed --
@ TXT "signed"
-- sub/example.edu.zone --
@ TXT "x"
-- .hidden.zone --
@ TXT "x"
`)
	s, err := OpenAll([]string{dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := zonesOf(s), "2.0.192.in-addr.arpa:1 example.com:2 example.net:1 example.org:1 example.jp:1 example.info:1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var passed []string
	for _, p := range s.Passed() {
		rel, _ := filepath.Rel(dir, p.File)
		passed = append(passed, rel+": "+p.Why)
	}
	want := []string{"example.org.zone.bak: a backup", "example.org.zone.signed: a signed copy", "named.conf: a configuration",
		"readme.txt: neither the name nor the text of a zone file", "sub: a folder inside the folder"}
	if strings.Join(passed, "\n") != strings.Join(want, "\n") {
		t.Errorf("passed over\n%s\nwant\n%s", strings.Join(passed, "\n"), strings.Join(want, "\n"))
	}
	// Records know the file as it was named.
	if f := s.Zones()[0].Records[0].File; f != filepath.Join(dir, "2.0.192.in-addr.arpa.db") {
		t.Errorf("the record is of file %s", f)
	}
}

func TestOpenAllTogether(t *testing.T) {
	dir := folder(t, `
-- zones/example.com.zone --
@ A 192.0.2.1
-- snippet --
@ A 192.0.2.1
`)
	s, err := OpenAll([]string{filepath.Join(dir, "zones"), "-@example.net", filepath.Join(dir, "snippet") + "@example.org"},
		strings.NewReader("@ A 192.0.2.1\n@ A 192.0.2.2\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := zonesOf(s), "example.com:1 example.net:2 example.org:1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if f := s.Zones()[1].Records[1]; f.File != "stdin" || f.Line != 2 {
		t.Errorf("%s:%d", f.File, f.Line)
	}
	if !ReadsStdin([]string{"a", "-@b.example"}) || !ReadsStdin([]string{"-"}) || ReadsStdin([]string{"a-", "a@-"}) {
		t.Error("ReadsStdin")
	}
}

func TestOpenAllErrors(t *testing.T) {
	dir := folder(t, `
-- bad/a.example.zone --
@ A nope
$INCLUDE part
-- bad/b.example.zone --
@ A 192.0.2.1
@ MX mail
-- bad/part --
$TTL 60
@ A neither
-- none/readme --
nothing
-- unnamed/snippet.zone --
www A 192.0.2.1
-- twice/example.com.zone --
@ A 192.0.2.1
-- twice/db.example.com --
@ A 192.0.2.1
-- one/example.com.zone --
@ A 192.0.2.1
`)
	in := func(names ...string) (out []string) {
		for _, n := range names {
			out = append(out, filepath.Join(dir, n))
		}
		return out
	}
	for _, tc := range []struct {
		name  string
		specs []string
		want  []string // parts, one for each error
	}{
		{"the faults of all files, those of an included one once", in("bad"),
			[]string{"a.example.zone:1:5: ", "part:2:5: ", "b.example.zone:2:10: "}},
		{"no zone in it", in("none"), []string{"none: the folder holds no zone file"}},
		{"which zone it is, nobody says", in("unnamed"), []string{"snippet.zone:1:1: the name is relative"}},
		{"the same zone twice in a folder", in("twice"), []string{"two zone files answer for example.com: "}},
		{"the same zone in a folder and beside it", in("one", "twice/db.example.com"), []string{"two zone files answer for example.com: "}},
		{"an origin for a whole folder", []string{in("one")[0] + "@example.com"}, []string{"@example.com can only be said of one file"}},
		{"nothing at all", []string{""}, []string{`"": names no file: expected FILE`}},
		{"stdin twice", []string{"-@example.com", "-@example.net"}, []string{"named twice"}},
		{"every spec, not only the first that fails", append(in("missing"), in("none")...), []string{"missing: cannot be read: no such file", "holds no zone file"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := OpenAll(tc.specs, strings.NewReader("@ A 192.0.2.1\n"))
			if err == nil || s != nil {
				t.Fatalf("no error: %v", s)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tc.want) {
				t.Fatalf("got\n%v\nwant %d lines: %q", err, len(tc.want), tc.want)
			}
			for i, l := range lines {
				if !strings.Contains(l, tc.want[i]) {
					t.Errorf("got %s, want %s", l, tc.want[i])
				}
			}
			var es Errors
			if !errors.As(err, &es) {
				t.Errorf("not of type Errors: %T", err)
			}
		})
	}
}

// The name of the file is the last witness of what the zone is: what the file
// says outweighs it.
func TestOriginByName(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"example.com.zone", "@ TXT x\n", "example.com"},
		{"EXAMPLE.com.DB", "@ TXT x\n", "example.com"},
		{"example.com.dns", "@ TXT x\n", "example.com"},
		{"db.example.com", "@ TXT x\n", "example.com"},
		{"example.com", "@ TXT x\n", "example.com"},
		{"example.com..zone", "@ TXT x\n", "example.com"},
		{"old.zone", "$ORIGIN example.com.\n@ TXT x\n", "example.com"},
		{"example.com.zone", "$ORIGIN example.net.\n@ TXT x\n", "example.net"},
		{"example.com.zone", "$ORIGIN sub.example.com.\n@ TXT x\n", "example.com"},
		{"example.com.zone", "$ORIGIN sub\n@ TXT x\n", "example.com"},
		{"example.com.zone", "$ORIGIN example.com\n@ TXT x\n", "example.com"},
		{"example.com.zone", "example.net. SOA a b 1 2 3 4 5\n", "example.net"},
	} {
		dir := t.TempDir()
		p := filepath.Join(dir, tc.name)
		if err := os.WriteFile(p, []byte(tc.text), 0o644); err != nil {
			t.Fatal(err)
		}
		z, err := Open(p)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if z.Origin != tc.want {
			t.Errorf("%s with %q: origin %s, want %s", tc.name, tc.text, z.Origin, tc.want)
		}
		if o := z.Records[0].Name; !strings.HasSuffix(o, tc.want) || strings.Contains(o, "com.example") {
			t.Errorf("%s with %q: the record is at %s", tc.name, tc.text, o)
		}
	}
}
