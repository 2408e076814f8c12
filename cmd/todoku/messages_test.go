package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The mails of testdata/messages, as people see what is said of them, in both
// languages, with the DNS beside them. `make golden` writes the files anew; read the
// difference.
func TestGoldenMessages(t *testing.T) {
	dir := filepath.Join("..", "..", "testdata", "messages")
	t.Chdir(dir) // the report names the files as they are given
	files, err := filepath.Glob("*.eml")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d mails, expected 6 at least (%v)", len(files), err)
	}
	for _, file := range files {
		for _, lang := range []string{"en", "ja"} {
			name := strings.TrimSuffix(file, ".eml") + "." + lang + ".txt"
			t.Run(name, func(t *testing.T) {
				var out, errs bytes.Buffer
				runWith(t, &out, &errs, "message", file, "--receiver-host", "customer.example", "--zone", "dns.zone@.", "--offline", "--lang", lang)
				if errs.Len() > 0 {
					t.Fatalf("standard error: %s", errs.String())
				}
				got := seconds.ReplaceAll(out.Bytes(), []byte("0 $1"))
				if os.Getenv("UPDATE") != "" {
					if err := os.WriteFile(name, got, 0o644); err != nil {
						t.Fatal(err)
					}
					return
				}
				want, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("differs from %s; make golden writes it anew\n%s", name, got)
				}
			})
		}
	}
}
