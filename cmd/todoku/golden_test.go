package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// The demo's report as people see it, in both languages, plain, in colour and
// in detail. `make golden` writes the files anew; read the difference.
func TestGoldenReports(t *testing.T) {
	for name, args := range map[string][]string{
		"demo.en.txt":         {"demo", "--lang", "en"},
		"demo.ja.txt":         {"demo", "--lang", "ja"},
		"demo.en.color.txt":   {"demo", "--lang", "en", "--color", "always"},
		"demo.ja.color.txt":   {"demo", "--lang", "ja", "--color", "always"},
		"demo.en.verbose.txt": {"demo", "--lang", "en", "-v"},
		"demo.ja.quiet.txt":   {"demo", "--lang", "ja", "-q"},
		"demo.json":           {"demo", "-o", "json"},
		"list.en.txt":         {"list"},
		"list.ja.txt":         {"list", "--lang", "ja"},
		"explain.ja.txt":      {"explain", "SPF-TOO-MANY-LOOKUPS", "--lang", "ja"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			runWith(t, &out, &errs, args...)
			if errs.Len() > 0 {
				t.Fatalf("standard error: %s", errs.String())
			}
			got := seconds.ReplaceAll(durations.ReplaceAll(out.Bytes(), []byte("$1 0")), []byte("0 $1"))
			path := filepath.Join("..", "..", "testdata", "golden", name)
			if os.Getenv("UPDATE") != "" {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("differs from %s; make golden writes it anew\n%s", path, got)
			}
		})
	}
}
