package format_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/checks/format"
	"github.com/todoku-mail/todoku/pkg/checktest"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/message"
)

func TestFixtures(t *testing.T) { checktest.Run(t, format.Check, "testdata") }

// Every fault of package message comes to a finding, or is left out on purpose.
func TestEveryFaultIsJudged(t *testing.T) {
	tree, err := parser.ParseFile(token.NewFileSet(), "../../pkg/message/fault.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(tree, func(node ast.Node) bool {
		v, ok := node.(*ast.ValueSpec)
		if !ok || len(v.Names) != 1 || !strings.HasPrefix(v.Names[0].Name, "Fault") || len(v.Values) != 1 {
			return true
		}
		if lit, ok := v.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			c, _ := strconv.Unquote(lit.Value)
			if n++; !format.Judged(message.FaultCode(c)) {
				t.Errorf("%s comes to no finding", c)
			}
		}
		return true
	})
	if n < 50 {
		t.Errorf("only %d codes were found", n)
	}
}

// What a finding rests on are the octets of the file, where they stand in it.
func TestEvidenceIsRaw(t *testing.T) {
	marked := map[string][]string{}
	for _, path := range checktest.Files(t, "testdata") {
		name := strings.TrimSuffix(filepath.Base(path), ".txtar")
		f, err := checktest.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		m := facts.MailOf(&f.Target)
		rep, _ := f.Report(t, format.Check)
		for _, x := range rep.Checks[0].Findings {
			for _, e := range x.Evidence {
				if e.Source != dnsq.SourceMessage || e.File != "mail.eml" || e.Line < 1 {
					t.Errorf("%s: %s: evidence from nowhere: %+v", name, x.Kind.ID, e)
				}
				if e.Offset < 0 || e.Length < 0 || e.Offset+e.Length > len(e.Text) {
					t.Errorf("%s: %s: octets %d+%d of %d", name, x.Kind.ID, e.Offset, e.Length, len(e.Text))
					continue
				}
				if e.Type == "header" && e.Name != "header" {
					found := false
					for _, h := range allFields(m) {
						if h.Name == e.Name && bytes.Contains(h.Raw, []byte(e.Text)) {
							line, _ := h.At(bytes.Index(h.Raw, []byte(e.Text)) + e.Offset)
							found = found || line == e.Line
						}
					}
					if !found {
						t.Errorf("%s: %s: the text is not in the file at line %d: %q", name, x.Kind.ID, e.Line, e.Text)
					}
				}
				marked[name] = append(marked[name], e.Text[e.Offset:e.Offset+e.Length])
			}
		}
	}
	for name, want := range map[string]string{
		"raw-bytes":     "\x82\xb2\x92\x8d\x95\xb6\x82\xcc\x8c\x8f|\x1b$B%a%b\x1b(B|\xe5\x8d\xb0",
		"name-imitates": `"info@bank.example"`,
		"from-local":    "www-data@web01.localdomain",
		"freemail":      "taro@gmail.com",
		"date-future":   " Tue, 2 Nov 2027 10:00:00 +0900",
		"id-localhost":  " <4711.1@localhost.localdomain>",
	} {
		if got := strings.Join(marked[name], "|"); got != want {
			t.Errorf("%s: marked %q, want %q", name, got, want)
		}
	}
}

func allFields(m *facts.Mail) []*message.Field {
	var out []*message.Field
	m.Root.Walk(func(p *message.Part) { out = append(out, p.Header...) })
	return append(out, m.Header...)
}

// Japanese headers are shown decoded, whatever they are written in.
func TestJapaneseIsDecoded(t *testing.T) {
	for _, c := range []struct{ file, subject, from, attachment string }{
		{"japanese-iso-2022-jp", "ご注文ありがとうございます", "お店", ""},
		{"japanese-shift-jis", "ご注文ありがとうございます", "お店", ""},
		{"japanese-euc-jp", "ご注文ありがとうございます", "お店", ""},
		{"japanese-cut-words", "ご注文ありがとうございます", "Shop", "請求書（11月）.pdf"},
		{"raw-bytes", "ご注文の件", "Shop", ""},
	} {
		f, err := checktest.Load(filepath.Join("testdata", c.file+".txtar"))
		if err != nil {
			t.Fatal(err)
		}
		if h := f.Target.Mail; h.Subject != c.subject || !strings.Contains(h.From, c.from) {
			t.Errorf("%s: subject %q, from %q", c.file, h.Subject, h.From)
		}
		rep, _ := f.Report(t, format.Check)
		data, ok := rep.Checks[0].Data.(format.Data)
		if !ok {
			t.Fatalf("%s: data is %T", c.file, rep.Checks[0].Data)
		}
		switch {
		case c.attachment == "":
		case len(data.Attachments) != 1 || data.Attachments[0].Name != c.attachment:
			t.Errorf("%s: attachments %+v", c.file, data.Attachments)
		}
		if c.file == "raw-bytes" {
			continue
		}
		for _, x := range rep.Checks[0].Findings {
			if x.Kind.Status > diag.Pass {
				t.Errorf("%s: a false fault: %s", c.file, checktest.Line(&x))
			}
		}
	}
}
