package arc_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/todoku-mail/todoku/checks/arc"
	"github.com/todoku-mail/todoku/pkg/checktest"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dkim/dkimtest"
	"github.com/todoku-mail/todoku/pkg/engine"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/message"
)

func TestFixtures(t *testing.T) { checktest.Run(t, arc.Check, "testdata") }

// The 171 messages of the ARC suite (../shared/suites/arc, of which package arc
// keeps a copy) through the check: its data says what the suite wants, and a chain
// that does not hold is said with a fault that names what is wrong.
func TestSuite(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "pkg", "arc", "testdata", "suite.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Kind, ID, Desc, Message, CV string
		DNS                         map[string]string
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range cases {
		if c.Kind != "validate" {
			continue
		}
		n++
		m, err := message.Read(bytes.NewReader([]byte(c.Message)), c.ID+".eml", message.Options{})
		if err != nil {
			if !strings.EqualFold(c.CV, "none") {
				t.Errorf("%s: %v", c.ID, err)
			}
			continue // it has no header: todoku says so and runs no check
		}
		zone := dkimtest.Zone{}
		for k, v := range c.DNS {
			zone[strings.ToLower(k)] = strings.ReplaceAll(v, "\n", " ") // folded in the suite
		}
		// Now is near the mails, which have all their keys.
		now := func() time.Time { return time.Date(2017, 1, 10, 0, 0, 0, 0, time.UTC) }
		rep := engine.Run(t.Context(), engine.Config{Checks: []*diag.Check{arc.Check}, Resolver: zone, Now: now}, facts.MailTarget(m, facts.MailOptions{Today: now(), Now: now()}))
		cr := &rep.Checks[0]
		if cr.Panic != "" {
			t.Fatalf("%s: %s", c.ID, cr.Panic)
		}
		want := strings.ToLower(c.CV)
		if want == "" {
			want = "fail" // RFC 8617 §5.2, steps 2 and 3; the suite leaves it open
		}
		d := cr.Data.(arc.Data)
		if d.CV != want {
			t.Errorf("%s (%s): cv %s, want %s", c.ID, c.Desc, d.CV, want)
		}
		status := map[string]diag.Status{"none": diag.Pass, "pass": diag.Info, "fail": diag.Warn}[want]
		if cr.Status != status && !(want == "pass" && cr.Status == diag.Pass) {
			t.Errorf("%s (%s): status %s with cv %s", c.ID, c.Desc, cr.Status, want)
		}
		if (want == "fail") != (len(d.Faults) > 0) {
			t.Errorf("%s (%s): cv %s and faults %v", c.ID, c.Desc, want, d.Faults)
		}
		m.Close()
	}
	if n != 171 {
		t.Errorf("%d cases, want 171", n)
	}
}
