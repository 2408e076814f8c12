package arc_test

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/pkg/arc"
	"github.com/todoku-mail/todoku/pkg/dkim/dkimtest"
)

type suiteCase struct {
	Kind, ID, Desc, Message, CV string
	DNS                         map[string]string
	AS, AMS, AAR                string
	T                           int64
	SigHeaders, SrvID           string
	Domain, Sel, Key            string
}

// suite are the cases of the ValiMail ARC suite.
func suite(t testing.TB, kind string, n int) []suiteCase {
	t.Helper()
	b, err := os.ReadFile("testdata/suite.json")
	if err != nil {
		t.Fatal(err)
	}
	if there, err := os.ReadFile("../../../shared/suites/arc/cases.json"); err == nil && string(there) != string(b) {
		t.Error("the copy differs from the suite")
	}
	var all, out []suiteCase
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.Kind == kind {
			out = append(out, c)
		}
	}
	if len(out) != n {
		t.Fatalf("%d cases of %s, want %d", len(out), kind, n)
	}
	return out
}

func zone(c suiteCase) dkimtest.Zone {
	z := dkimtest.Zone{}
	for k, v := range c.DNS {
		// The suite folds long records with newlines; one record each.
		z[strings.ToLower(k)] = strings.ReplaceAll(v, "\n", " ")
	}
	return z
}

func TestSuite(t *testing.T) {
	for _, c := range suite(t, "validate", 171) {
		v := arc.Validator{Resolver: zone(c)}
		r, err := v.Validate(context.Background(), strings.NewReader(c.Message))
		if err != nil {
			t.Errorf("%s: %v", c.ID, err)
			continue
		}
		want := strings.ToLower(c.CV)
		if want == "" {
			// The newest or an older seal says cv=fail; the suite leaves the result
			// open. RFC 8617 §5.2, steps 2 and 3: fail.
			want = "fail"
		}
		if string(r.Status) != want {
			t.Errorf("%s (%s): %s, want %s: %+v", c.ID, c.Desc, r.Status, want, r.Faults)
		}
		if (r.Status == arc.Fail) != (len(r.Faults) > 0) {
			t.Errorf("%s: %s with faults %+v", c.ID, r.Status, r.Faults)
		}
	}
}
