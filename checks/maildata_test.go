package checks_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/todoku-mail/todoku/checks"
	"github.com/todoku-mail/todoku/pkg/checktest"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/render"
)

// The JSON reports of all fixtures about a message are as the schema has them, the
// data of the checks that it describes included.
func TestMailDataKeepsToTheSchema(t *testing.T) {
	c := jsonschema.NewCompiler()
	schema, err := c.Compile(filepath.Join("..", "testdata", "report.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	cat, err := i18n.Load(checks.All, "en")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, ch := range mailChecks() {
		for _, path := range checktest.Files(t, filepath.Join(ch.Name, "testdata")) {
			f, err := checktest.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			f.AnswerOutside = true
			rep, _ := f.Report(t, mailChecks()...)
			var b bytes.Buffer
			if err := render.JSON(&b, rep, cat, render.Options{}); err != nil {
				t.Fatal(err)
			}
			v, err := jsonschema.UnmarshalJSON(&b)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if err := schema.Validate(v); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			n++
		}
	}
	if n < 60 {
		t.Errorf("only %d fixtures", n)
	}
}
