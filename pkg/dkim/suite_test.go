package dkim_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dkim/dkimtest"
)

// A suiteCase is one of testdata/suite/cases.json.
type suiteCase struct {
	ID         string
	File       string
	DNS        map[string]string
	Now        *int64
	Expect     []string
	Expect8301 []string
	Sigs       []struct {
		A    string
		Bits *int
		L    bool
	}
}

func suite(t testing.TB) []suiteCase {
	t.Helper()
	b, err := os.ReadFile("testdata/suite/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []suiteCase
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != 16 {
		t.Fatalf("%d cases, want 16", len(cases))
	}
	return cases
}

func (c *suiteCase) message(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata/suite", c.File))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The suite of ../shared/suites/dkim, in both readings. The copy here is that
// one where it is at hand.
func TestSuite(t *testing.T) {
	for _, c := range suite(t) {
		msg := c.message(t)
		if there, err := os.ReadFile(filepath.Join("../../../shared/suites/dkim", c.File)); err == nil && string(there) != string(msg) {
			t.Errorf("%s: the copy differs from the suite", c.ID)
		}
		v := dkim.Verifier{Resolver: dkimtest.Zone(c.DNS)}
		if c.Now != nil {
			v.Now = time.Unix(*c.Now, 0)
		}
		r, err := v.Verify(context.Background(), strings.NewReader(string(msg)))
		if err != nil {
			t.Errorf("%s: %v", c.ID, err)
			continue
		}
		if !slices.Contains(c.Expect, string(r.Result())) || !slices.Contains(c.Expect8301, string(r.Result8301())) {
			t.Errorf("%s: %s and under RFC 8301 %s, want %v and %v", c.ID, r.Result(), r.Result8301(), c.Expect, c.Expect8301)
		}
		if len(r.Signatures) != len(c.Sigs) {
			t.Errorf("%s: %d signatures, want %d", c.ID, len(r.Signatures), len(c.Sigs))
			continue
		}
		for i, s := range r.Signatures {
			t.Logf("%s %d: %s %s body %s header %s %v %v", c.ID, i, s.Cryptographic, s.RFC8301, s.BodyMatch, s.HeaderMatch, s.Reasons, s.Errors)
			want := c.Sigs[i]
			if string(s.Algorithm) != want.A || s.Length >= 0 != want.L || want.Bits != nil && s.Key != nil && s.Key.Bits != *want.Bits {
				t.Errorf("%s, signature %d: %s, l= %d", c.ID, i, s.Algorithm, s.Length)
			}
		}
	}
}
