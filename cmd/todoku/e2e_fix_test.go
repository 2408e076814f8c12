//go:build e2e

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The diff of --fix zone is what patch(1) and git take, and the patched files
// have the fault no more.
func TestE2EPatch(t *testing.T) {
	tools := map[string][]string{
		"patch": {"patch", "-p0", "-i", "fix.diff"},
		"git":   {"git", "apply", "-p0", "fix.diff"},
	}
	demo, err := os.ReadDir("demo")
	if err != nil {
		t.Fatal(err)
	}
	for name, tool := range tools {
		for _, odd := range []string{"zones", "my zones \"é\""} {
			t.Run(name+"/"+odd, func(t *testing.T) {
				dir := t.TempDir()
				t.Chdir(dir)
				if err := os.Mkdir(odd, 0o755); err != nil {
					t.Fatal(err)
				}
				for _, e := range demo {
					b, err := demoZones.ReadFile("demo/" + e.Name())
					if err != nil {
						t.Fatal(err)
					}
					if e.Name() == "shop.example.zone" { // Windows, and no line end at the end
						b = bytes.ReplaceAll(bytes.TrimSuffix(b, []byte("\n")), []byte("\n"), []byte("\r\n"))
					}
					if err := os.WriteFile(filepath.Join(odd, e.Name()), b, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				args := []string{"check", "shop.example", "--ip", "203.0.113.25", "--ip", "2001:db8:25::25", "--offline", "--zone", odd}
				var out, errs bytes.Buffer
				runWith(t, &out, &errs, append(args, "--fix", "zone")...)
				if err := os.WriteFile("fix.diff", out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command(tool[0], tool[1:]...)
				cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
				said, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%v: %s\n%s\n%s", err, said, out.String(), errs.String())
				}
				text, err := os.ReadFile(filepath.Join(odd, "shop.example.zone"))
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Contains(text, []byte("_dmarc")) || bytes.Count(text, []byte("\n")) != bytes.Count(text, []byte("\r\n")) {
					t.Fatalf("%s", text)
				}
				out.Reset()
				runWith(t, &out, &errs, args...)
				for _, id := range []string{"SPF-TOO-MANY-LOOKUPS", "DMARC-MISSING"} {
					if strings.Contains(out.String(), id) {
						t.Errorf("%s is still there:\n%s", id, out.String())
					}
				}
				if errs.Len() > 0 {
					t.Errorf("%s", errs.String())
				}
			})
		}
	}
}
