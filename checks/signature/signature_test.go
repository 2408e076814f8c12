package signature_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/todoku-mail/todoku/checks/signature"
	"github.com/todoku-mail/todoku/pkg/checktest"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dkim/dkimtest"
	"github.com/todoku-mail/todoku/pkg/engine"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/message"
)

func TestFixtures(t *testing.T) { checktest.Run(t, signature.Check, "testdata") }

// A suiteCase is one of ../shared/suites/dkim/cases.json, of which package dkim
// keeps a copy.
type suiteCase struct {
	ID, File           string
	DNS                map[string]string
	Now                *int64
	Expect, Expect8301 []string
	Sigs               []struct {
		A    string
		Bits *int
		L    bool
	}
}

// The whole DKIM suite through the check: its data says what the suite wants, in
// both readings.
func TestSuite(t *testing.T) {
	dir := filepath.Join("..", "..", "pkg", "dkim", "testdata", "suite")
	b, err := os.ReadFile(filepath.Join(dir, "cases.json"))
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
	best := func(d signature.Data, of func(signature.SignatureData) string) string {
		out := 0
		order := []string{"none", "permerror", "fail", "temperror", "pass"}
		for _, s := range d.Signatures {
			out = max(out, slices.Index(order, of(s)))
		}
		return order[out]
	}
	for _, c := range cases {
		t.Run(c.ID, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(dir, c.File))
			if err != nil {
				t.Fatal(err)
			}
			m, err := message.Read(bytes.NewReader(text), c.File, message.Options{})
			if err != nil {
				if len(c.Sigs) > 0 || !slices.Contains(c.Expect, "none") {
					t.Fatal(err)
				}
				return // it has no header at all: todoku says so and runs no check
			}
			defer m.Close()
			o := facts.MailOptions{Today: checktest.Clock}
			if c.Now != nil {
				o.Now = time.Unix(*c.Now, 0)
			}
			rep := engine.Run(t.Context(), engine.Config{Checks: []*diag.Check{signature.Check}, Resolver: dkimtest.Zone(c.DNS),
				Now: func() time.Time { return checktest.Clock }}, facts.MailTarget(m, o))
			cr := rep.Checks[0]
			if cr.Panic != "" {
				t.Fatal(cr.Panic)
			}
			d := cr.Data.(signature.Data)
			if !slices.Contains(c.Expect8301, d.Result) || !slices.Contains(c.Expect, d.Cryptographic) {
				t.Errorf("result %s, cryptographic %s, want %v and %v", d.Result, d.Cryptographic, c.Expect8301, c.Expect)
			}
			if a := best(d, func(s signature.SignatureData) string { return s.RFC8301 }); a != d.Result {
				t.Errorf("result %s, but the best signature is %s", d.Result, a)
			}
			if a := best(d, func(s signature.SignatureData) string { return s.Cryptographic }); a != d.Cryptographic {
				t.Errorf("cryptographic %s, but the best signature is %s", d.Cryptographic, a)
			}
			if len(d.Signatures) != len(c.Sigs) {
				t.Fatalf("%d signatures, want %d", len(d.Signatures), len(c.Sigs))
			}
			for i, s := range d.Signatures {
				if s.Algorithm != c.Sigs[i].A || (s.Length != nil) != c.Sigs[i].L || c.Sigs[i].Bits != nil && s.KeyBits != 0 && s.KeyBits != *c.Sigs[i].Bits {
					t.Errorf("signature %d: %s, %d bits", i, s.Algorithm, s.KeyBits)
				}
				if (s.RFC8301 == "pass") != (s.BrokenBy == "") {
					t.Errorf("signature %d: %s, broken by %q", i, s.RFC8301, s.BrokenBy)
				}
			}
			// A pass is said exactly if there is one, and so is a failure.
			switch {
			case d.Result == "pass" && cr.Status > diag.Warn, d.Result == "none" && cr.Status != diag.Warn,
				(d.Result == "fail" || d.Result == "permerror") && cr.Status < diag.Inconclusive,
				d.Result == "temperror" && cr.Status != diag.Inconclusive:
				t.Errorf("result %s, status %s: %v", d.Result, cr.Status, cr.Findings)
			}
			for j := range cr.Findings {
				t.Log(checktest.Line(&cr.Findings[j]))
			}
		})
	}
}

// Evidence points at the octets at fault, in the file as it is: with LF alone, with
// CR LF, and with both.
func TestPlaces(t *testing.T) {
	key := dkimtest.Ed25519("shop")
	s := dkimtest.Signer{Key: key, Domain: "shop.example", Selector: "s1", Header: dkim.Relaxed, Body: dkim.Relaxed}
	good := s.Sign("From: a@shop.example\r\nTo: b@customer.example\r\n\r\nOne.\r\nTwo.\r\n")
	zone := dkimtest.Zone{"s1._domainkey.shop.example": dkimtest.Record(key)}
	run := func(mail string) *diag.CheckReport {
		m, err := message.Read(bytes.NewReader([]byte(mail)), "mail.eml", message.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		rep := engine.Run(t.Context(), engine.Config{Checks: []*diag.Check{signature.Check}, Resolver: zone, Now: func() time.Time { return checktest.Clock }},
			facts.MailTarget(m, facts.MailOptions{Today: checktest.Clock}))
		return &rep.Checks[0]
	}
	for name, ends := range map[string]func(string) string{
		"CRLF": func(s string) string { return s },
		"LF":   func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") },
		"both": func(s string) string { return strings.Replace(s, "\r\n", "\n", 1) },
	} {
		// The third line of the field holds bh=.
		bad := ends(strings.Replace(good, "bh=", "bh=!", 1))
		c := run(bad)
		if len(c.Findings) != 1 || c.Findings[0].Kind.ID != "SIGNATURE-SYNTAX" {
			t.Fatalf("%s: %v", name, c.Findings)
		}
		e := c.Findings[0].Evidence[0]
		if got := e.Text[e.Offset : e.Offset+e.Length]; got != "!" || e.Line != 3 || e.Name != "DKIM-Signature" || e.File != "mail.eml" {
			t.Errorf("%s: %q at line %d of %s", name, got, e.Line, e.Name)
		}
		cut := ends(good + "___\r\nAdded.\r\n")
		c = run(cut)
		if len(c.Findings) != 1 || c.Findings[0].Kind.ID != "SIGNATURE-FOOTER-ADDED" {
			t.Fatalf("%s: %v", name, c.Findings)
		}
		e = c.Findings[0].Evidence[0]
		if want := 1 + strings.Count(cut[:strings.Index(cut, "___")], "\n"); e.Line != want || !strings.HasPrefix(e.Text, "___") || !strings.HasSuffix(e.Text, "Added.") {
			t.Errorf("%s: %q at line %d, want %d", name, e.Text, e.Line, want)
		}
	}
}
