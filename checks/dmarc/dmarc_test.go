package dmarc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/todoku-mail/todoku/checks/dmarc"
	"github.com/todoku-mail/todoku/pkg/checktest"
	"github.com/todoku-mail/todoku/pkg/diag"
	rfc "github.com/todoku-mail/todoku/pkg/dmarc"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/engine"
	"github.com/todoku-mail/todoku/pkg/i18n"
)

func TestFixtures(t *testing.T) { checktest.Run(t, dmarc.Check, "testdata") }

// The descriptors and the texts are complete, and each ID has its fixture.
func TestComplete(t *testing.T) {
	checks := []*diag.Check{dmarc.Check}
	for _, err := range append(diag.Validate(checks, i18n.Languages...), i18n.Problems(checks)...) {
		t.Error(err)
	}
	wanted := map[string]bool{}
	values := map[string]bool{}
	for _, path := range checktest.Files(t, "testdata") {
		f, err := checktest.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Want) == 0 {
			t.Errorf("%s wants nothing", path)
		}
		for _, line := range f.Want {
			words := strings.Fields(line)
			wanted[words[1]] = true
			for _, w := range words {
				if v, ok := strings.CutPrefix(w, "problem="); ok {
					values[v] = true
				}
			}
		}
	}
	for _, k := range dmarc.Check.Kinds {
		if !wanted[k.ID] {
			t.Errorf("no fixture wants %s", k.ID)
		}
	}
	// Codes that a person meets have a text in every language.
	for _, v := range rfc.NoteCodes {
		switch v {
		case rfc.NoteNotDMARC, rfc.NoteDuplicate, rfc.NoteRemovedTag, rfc.NoteSizeLimit: // said by their own IDs
		default:
			values[v] = true
		}
	}
	for _, lang := range i18n.Languages {
		cat, err := i18n.Load(checks, lang)
		if err != nil {
			t.Fatal(err)
		}
		for v := range values {
			if cat.Term("dmarc", "problem", v) == v {
				t.Errorf("%s: no term problem.%s", lang, v)
			}
		}
	}
}

func report(t *testing.T, fixture string) *diag.CheckReport {
	t.Helper()
	f, err := checktest.Load("testdata/" + fixture + ".txtar")
	if err != nil {
		t.Fatal(err)
	}
	rep, _ := f.Report(t, dmarc.Check)
	return &rep.Checks[0]
}

// Who must act follows who publishes the record.
func TestOwners(t *testing.T) {
	for fixture, want := range map[string]diag.Owner{
		"syntax-version-case": diag.DNSAdmin,
		"syntax-inherited":    diag.DNSAdmin,
		"cname-broken":        diag.Provider,
		"rua-unauthorized":    diag.Provider,
		"missing":             diag.DNSAdmin,
	} {
		f := report(t, fixture).Findings[0]
		if got := f.Who(); got != want {
			t.Errorf("%s: %s must act, want %s", fixture, got, want)
		}
		for _, x := range f.Fixes {
			if x.Owner != want {
				t.Errorf("%s: the edits are for %s, want %s", fixture, x.Owner, want)
			}
		}
	}
}

// The facts for machines, as the report contract has them.
func TestData(t *testing.T) {
	for fixture, want := range map[string]string{
		"ok": `{"record":"v=DMARC1; p=reject; rua=mailto:d@shop.example","found_at":"_dmarc.shop.example","org_domain":"shop.example",` +
			`"policy":"reject","applied_policy":"reject","subdomain_policy":"reject","rfc7489_policy":"reject","adkim":"r","aspf":"r",` +
			`"walk":["_dmarc.shop.example","_dmarc.example"]}`,
		"inherited-np": `{"record":"v=DMARC1; p=reject; sp=none; np=reject; rua=mailto:d@shop.example","found_at":"_dmarc.shop.example",` +
			`"org_domain":"shop.example","policy":"reject","applied_policy":"reject","subdomain_policy":"none","rfc7489_policy":"none","adkim":"r","aspf":"r",` +
			`"walk":["_dmarc.a.shop.example","_dmarc.shop.example","_dmarc.example"]}`,
		"missing":       `{"org_domain":"shop.example","walk":["_dmarc.shop.example","_dmarc.example"]}`,
		"unknown-above": `{"walk":["_dmarc.shop.example","_dmarc.example"]}`,
		"not-a-name":    `{"walk":[]}`,
	} {
		got, err := json.Marshal(report(t, fixture).Data)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s:\n%s\nwant\n%s", fixture, got, want)
		}
	}
}

// A record may name thousands of destinations: the questions stay few.
func TestHostileRecord(t *testing.T) {
	var b strings.Builder
	b.WriteString("v=DMARC1; p=reject; rua=")
	for i := 0; b.Len() < 60000; i++ {
		fmt.Fprintf(&b, "mailto:a@h%d.test,", i)
	}
	var mu sync.Mutex
	asked := map[dnsq.Question]bool{}
	r := dnsq.ResolverFunc(func(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
		mu.Lock()
		asked[q] = true
		mu.Unlock()
		a := &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain}
		if q == dnsq.Q("_dmarc.shop.example", dnsq.TypeTXT) {
			a.Outcome = dnsq.Found
			a.RRs = []dnsq.RR{{Name: q.Name, Type: q.Type, Strings: []string{b.String()}}}
		}
		return a, nil
	})
	cfg := engine.Config{Checks: []*diag.Check{dmarc.Check}, Resolver: r}
	rep := engine.Run(t.Context(), cfg, diag.Target{Domain: "shop.example", From: "shop.example"})
	if rep.Broken() {
		t.Fatal(rep.Checks[0].Panic)
	}
	if len(asked) > 80 {
		t.Errorf("%d questions", len(asked))
	}
}

// Whatever stands at the name: the check ends, and says something.
func FuzzRecord(f *testing.F) {
	f.Add("v=DMARC1; p=reject; rua=mailto:a@b.test!10m,x; pct=5; t=y", "v=DMARC1; p=none")
	f.Add("v=dmarc1;p=none", "\\;")
	f.Add("v=DMARC1; sp=x; p=none; np=none", "")
	f.Fuzz(func(t *testing.T, one, two string) {
		r := dnsq.ResolverFunc(func(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
			a := &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain}
			if q.Type == dnsq.TypeTXT && strings.HasPrefix(q.Name, "_dmarc.") {
				for _, s := range []string{one, two} {
					if s != "" {
						a.Outcome = dnsq.Found
						a.RRs = append(a.RRs, dnsq.RR{Name: q.Name, Type: q.Type, Strings: []string{s}})
					}
				}
			}
			return a, nil
		})
		cfg := engine.Config{Checks: []*diag.Check{dmarc.Check}, Resolver: r}
		rep := engine.Run(t.Context(), cfg, diag.Target{Domain: "a.shop.example", From: "a.shop.example"})
		if rep.Broken() {
			t.Fatal(rep.Checks[0].Panic)
		}
		engine.Verify(t.Context(), cfg, rep)
		for i := range rep.Checks[0].Findings {
			for _, e := range rep.Checks[0].Findings[i].Evidence {
				if e.Offset < 0 || e.Length < 0 || e.Offset+e.Length > len(e.Text) {
					t.Fatalf("%s: evidence %d+%d of %d octets", rep.Checks[0].Findings[i].Kind.ID, e.Offset, e.Length, len(e.Text))
				}
			}
		}
	})
}
