package dkim_test

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dkim/dkimtest"
	reader "github.com/todoku-mail/todoku/pkg/message"
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

// Read by the message reader, with CRLF and with LF, the suite comes out the same.
func TestSuiteThroughMessage(t *testing.T) {
	for _, c := range suite(t) {
		for _, ends := range []string{"\r\n", "\n"} {
			text := strings.ReplaceAll(strings.ReplaceAll(string(c.message(t)), "\r\n", "\n"), "\n", ends)
			want, err := (&dkim.Verifier{Resolver: dkimtest.Zone(c.DNS)}).Verify(context.Background(), strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			m, err := reader.Read(strings.NewReader(text), c.ID, reader.Options{})
			if err != nil {
				if len(want.Signatures) > 0 {
					t.Errorf("%s: %v", c.ID, err)
				}
				continue
			}
			h := dkim.NewHeader(dkim.Fields(m.WireHeader()))
			var body dkim.Body
			s := (&dkim.Verifier{Resolver: dkimtest.Zone(c.DNS)}).Start(h, &body)
			if _, err := io.Copy(&body, m.Body()); err != nil {
				t.Fatal(err)
			}
			body.Close()
			got := s.Finish(context.Background())
			if got.Result() != want.Result() || len(got.Signatures) != len(want.Signatures) {
				t.Errorf("%s: %s, want %s", c.ID, got.Result(), want.Result())
			}
			for i := range got.Signatures {
				if g, w := got.Signatures[i], want.Signatures[i]; g.Cryptographic != w.Cryptographic || g.BodyMatch != w.BodyMatch || g.HeaderMatch != w.HeaderMatch {
					t.Errorf("%s, signature %d: %s, want %s", c.ID, i, g.Cryptographic, w.Cryptographic)
				}
			}
			m.Close()
		}
	}
}
