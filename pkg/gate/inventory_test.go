package gate_test

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/gate"
)

// The commented sample is what it says.
func TestLoad(t *testing.T) {
	file := filepath.Join("testdata", "todoku.yaml")
	inv, err := gate.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	place := func(line int) diag.Place { return diag.Place{File: file, Line: line} }
	date := func(m time.Month, d int) time.Time { return time.Date(2027, m, d, 0, 0, 0, 0, time.UTC) }
	inputs := map[diag.Input]bool{diag.InventoryInput: true}
	both := []string{"gmail", "docomo"}
	want := &gate.Inventory{
		File:    file,
		Servers: []string{"tls://dns.example@192.0.2.53"},
		Zones:   []string{filepath.Join("testdata", "zones", "shop.zone")},
		FailOn:  diag.Warn,
		Domains: []gate.Domain{
			{FailOn: diag.Warn, Target: diag.Target{Domain: "shop.example", From: "shop.example", MailFrom: "bounce@shop.example",
				Helo: "mail.shop.example", IPs: []netip.Addr{netip.MustParseAddr("192.0.2.25"), netip.MustParseAddr("2001:db8::25")},
				Selectors: []string{"s1", "20260101"}, DKIMDomain: "shop.example", Named: place(20), Inputs: inputs,
				Declared: &diag.Declared{Complete: true, Receivers: both, Providers: []diag.DeclaredProvider{
					{Name: "Google Workspace"}, {Name: "_spf.newsletter.example", Include: true}, {Name: "SendGrid", NoSPF: true}}}}},
			{FailOn: diag.Fail, Target: diag.Target{Domain: "news.shop.example", From: "news.shop.example", NullSender: true,
				DKIMDomain: "news.shop.example", Named: place(39), Inputs: inputs, Declared: &diag.Declared{Receivers: []string{"gmail"}}}},
			{FailOn: diag.Warn, Target: diag.Target{Domain: "old-shop.example", From: "old-shop.example", MailFrom: "old-shop.example",
				DKIMDomain: "old-shop.example", Named: place(46), Inputs: inputs, Declared: &diag.Declared{NeverSends: true, Receivers: both}}},
			{FailOn: diag.Warn, Target: diag.Target{Domain: "form.example", From: "form.example", MailFrom: "form.example",
				DKIMDomain: "form.example", Named: place(50), Inputs: inputs, Declared: &diag.Declared{NeverSends: true, Receives: true, Receivers: both}}},
			{FailOn: diag.Warn, Target: diag.Target{Domain: "other.example", From: "other.example", MailFrom: "other.example",
				DKIMDomain: "other.example", Named: place(55), Inputs: inputs, Declared: &diag.Declared{Receivers: both}}},
		},
		Waivers: []diag.Waiver{
			{ID: "DMARC-POLICY-NONE", Subject: "shop.example", Reason: "the reports are being read until the move is done", Expires: date(1, 31), Place: place(60)},
			{Fingerprint: "123456789012345678901234", Reason: "the old server is switched off in spring", Expires: date(3, 1), Place: place(65)},
		},
	}
	if d := cmp.Diff(want, inv, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if got := inv.Targets(); len(got) != 5 || got[4].Domain != "other.example" {
		t.Errorf("Targets: %v", got)
	}
	if d := inv.Domain("form.example"); d == nil || !d.Target.TakesMail() || !d.Target.NeverSends() {
		t.Errorf("form.example: %+v", d)
	}
}

// Every fault of a file is told, with its place and what was expected.
// UPDATE=1 writes the errors anew, for reading.
func TestErrors(t *testing.T) {
	checks := []*diag.Check{{Kinds: []*diag.Kind{{ID: "SPF-MISSING"}, {ID: "SPF-MULTIPLE"}, {ID: "DMARC-MISSING"}}}}
	files, err := filepath.Glob(filepath.Join("testdata", "*.txtar"))
	if err != nil || len(files) < 8 {
		t.Fatalf("%d files (%v)", len(files), err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(ar.Comment) == 0 || len(ar.Files) != 2 {
				t.Fatal("expected a sentence, todoku.yaml and errors")
			}
			inv, err := gate.Parse(ar.Files[0].Data, "todoku.yaml", checks...)
			if err == nil {
				t.Fatalf("taken: %+v", inv)
			}
			got := err.Error() + "\n"
			if os.Getenv("UPDATE") != "" {
				ar.Files[1].Data = []byte(got)
				if err := os.WriteFile(path, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(ar.Files[1].Data), got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// What cannot stand in a file of the test data.
func TestHostile(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"control":      {"domains:\n  a\x1b[31m.example:\n", "todoku.yaml:2:4: a control character"},
		"no UTF-8":     {"domains:\n  a\xff.example:\n", "todoku.yaml: is not valid UTF-8 text"},
		"too long":     {strings.Repeat("# long\n", 200_000), "at most 1048576 are read"},
		"deep":         {"domains: " + strings.Repeat("[", 100_000), "nested more than 20 levels deep"},
		"deeper":       {"domains:\n " + strings.Repeat("- ", 100_000) + "a", "nested more than 20 levels deep"},
		"braces":       {"domains: " + strings.Repeat("{a: ", 50_000), "nested more than 20 levels deep"},
		"keys":         {"domains:\n  " + strings.Repeat("? ", 50_000) + "a", "nested more than 20 levels deep"},
		"line by line": {nest(1000), "indented by more than 200 columns"},
		"two":          {"domains: {a.example: }\n---\ndomains: {b.example: }\n", "a second document"},
		"merge":        {"domains:\n  <<: {a.example: }\n", "anchors, references"},
		"tag":          {"domains:\n  a.example: !!binary aGVsbG8=\n", "anchors, references"},
		"long line": {"domains:\n  a.example: {ips: [" + strings.Repeat(" ", 5000) + "x]}\n",
			"\"x\" is not an IP address"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := gate.Parse([]byte(c.text), "todoku.yaml")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v\nwant %s", err, c.want)
			}
			for l := range strings.Lines(err.Error()) {
				if len(l) > 1000 {
					t.Errorf("a line of %d octets", len(l))
				}
			}
		})
	}
}

// nest is a mapping in a mapping in a mapping, a line each.
func nest(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func TestLoadNothing(t *testing.T) {
	if _, err := gate.Load(filepath.Join("testdata", "nothing.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// FuzzParse: any text gives an inventory with domains, or errors that lie in it.
func FuzzParse(f *testing.F) {
	b, err := os.ReadFile(filepath.Join("testdata", "todoku.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(b))
	files, _ := filepath.Glob(filepath.Join("testdata", "*.txtar"))
	for _, path := range files {
		if ar, err := txtar.ParseFile(path); err == nil {
			f.Add(string(ar.Files[0].Data))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		inv, err := gate.Parse([]byte(text), "todoku.yaml")
		if err == nil {
			if len(inv.Domains) == 0 {
				t.Error("taken without a domain")
			}
			for _, w := range inv.Waivers {
				if w.Reason == "" || w.Expires.IsZero() || w.Fingerprint == "" && (w.ID == "" || w.Subject == "") {
					t.Errorf("taken: %+v", w)
				}
			}
			return
		}
		var list gate.Errors
		if !errors.As(err, &list) || len(list) == 0 {
			t.Fatalf("error %T %v", err, err)
		}
		lines := strings.Split(strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n"), "\n")
		for _, e := range list {
			if e.Line < 0 || e.Line > len(lines) || e.Line > 0 && e.Source != lines[e.Line-1] {
				t.Errorf("line %d of %d", e.Line, len(lines))
			}
			_ = e.Error()
		}
	})
}
