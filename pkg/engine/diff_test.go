package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/zone"
)

// A check of which everything can be steered by records: each TXT record at
// DOMAIN is "ID" or "ID@NAME", a finding, with evidence of NAME TXT if named; a
// question to ask besides is "?NAME", without an answer an undetermined finding.
var (
	bad   = &diag.Kind{ID: "T-BAD", Status: diag.Fail, Owner: diag.DNSAdmin}
	meh   = &diag.Kind{ID: "T-MEH", Status: diag.Warn, Owner: diag.DNSAdmin}
	fine  = &diag.Kind{ID: "T-FINE", Status: diag.Pass}
	dunno = &diag.Kind{ID: "T-DUNNO", Status: diag.Inconclusive, Args: []string{"question", "reason"}, Key: []string{"question"}}
	told  = &diag.Check{Name: "t", Kinds: []*diag.Kind{bad, meh, fine, dunno}, Undetermined: dunno, Run: runTold}
)

func runTold(ctx context.Context, j *diag.Job) error {
	d := j.Target.Domain
	a, err := j.Ask(ctx, dnsq.Q(d, dnsq.TypeTXT))
	if err != nil {
		return err
	}
	j.Report(diag.Finding{Kind: fine, Subject: d, Args: diag.Args{}})
	for i := range a.RRs {
		word, at, _ := strings.Cut(a.RRs[i].Text(), "@")
		if name, ok := strings.CutPrefix(word, "?"); ok {
			q := dnsq.Q(name, dnsq.TypeTXT)
			if _, err := j.Ask(ctx, q); err != nil {
				e := dnsq.AsError(q, err)
				j.Report(diag.Finding{Kind: dunno, Subject: d, Unknown: []*dnsq.Error{e},
					Args: diag.Args{"question": q.String(), "reason": string(e.Reason)}})
			}
			continue
		}
		f := diag.Finding{Kind: map[string]*diag.Kind{"bad": bad, "meh": meh}[word], Subject: d, Args: diag.Args{}}
		if at != "" {
			f.Evidence = []diag.Evidence{{Name: at, Type: "TXT", Text: "x"}}
		}
		j.Report(f)
	}
	return nil
}

func sideOf(t *testing.T, text string) Side {
	t.Helper()
	z, err := zone.Parse(strings.NewReader("$TTL 600\n@ SOA ns h 1 1 1 1 60\n"+text), "z", "a.example")
	if err != nil {
		t.Fatal(err)
	}
	set, err := zone.NewSet(z)
	if err != nil {
		t.Fatal(err)
	}
	return Side{Resolver: set.Overlay(dnsq.OfflineResolver("test"))}
}

func said(r *diag.Run) []string {
	var out []string
	for _, d := range r.Diffs {
		for i := range d.Pairs {
			p := &d.Pairs[i]
			sides := ""
			if p.Old != nil {
				sides += "o"
			}
			if p.New != nil {
				sides += "n"
			}
			out = append(out, fmt.Sprintf("%s %s %s", p.Change, p.Finding().Kind.ID, sides))
		}
	}
	slices.Sort(out)
	return out
}

func TestDiffPairs(t *testing.T) {
	for _, c := range []struct {
		what, old, new string
		want           []string
	}{
		{"the same on both sides: nothing is new, whatever it is", `@ TXT bad`, `@ TXT bad`, []string{"unchanged T-BAD on"}},
		{"new", `x TXT y`, `@ TXT bad`, []string{"new T-BAD n"}},
		{"fixed", `@ TXT bad`, `x TXT y`, []string{"fixed T-BAD o"}},
		{"a naive diff calls the warning fixed that a fault has taken the place of",
			`@ TXT meh`, `@ TXT bad`, []string{"new T-BAD n", "undecided T-MEH o"}},
		{"a milder fault in place of a worse one: the worse one is fixed",
			`@ TXT bad`, `@ TXT meh`, []string{"fixed T-BAD o", "new T-MEH n"}},
		{"a naive diff calls what could not be found out on both sides unchanged, though its check saw a change",
			"@ TXT ?out.example\n@ TXT meh", `@ TXT ?out.example`, []string{"undecided T-DUNNO on", "undecided T-MEH o"}},
		{"a check that the change does not touch comes to the same on both sides, whatever it could not learn",
			"@ TXT ?out.example\nx TXT 1", "@ TXT ?out.example\nx TXT 2", []string{"unchanged T-DUNNO on"}},
		{"a naive diff calls it new, though the old side could not find out whether it had it",
			`@ TXT ?out.example`, `@ TXT bad`, []string{"undecided T-BAD n", "undecided T-DUNNO o"}},
		{"it rests on a record that the old side certainly does not have: new",
			`@ TXT ?out.example`, "@ TXT bad@k.a.example\nk TXT x", []string{"new T-BAD n", "undecided T-DUNNO o"}},
		{"the old side had that record: undecided",
			"@ TXT ?out.example\nk TXT z", "@ TXT bad@k.a.example\nk TXT x", []string{"undecided T-BAD n", "undecided T-DUNNO o"}},
		{"what the change makes impossible to find out is new",
			"x TXT y", `@ TXT ?out.example`, []string{"new T-DUNNO n"}},
		{"gone, but the new side could not find out everything",
			`@ TXT bad`, `@ TXT ?out.example`, []string{"new T-DUNNO n", "undecided T-BAD o"}},
		{"two of one fingerprint and one of it: one is fixed",
			"@ TXT bad\n@ TXT bad@x.other", "@ TXT bad", []string{"fixed T-BAD o", "unchanged T-BAD on"}},
	} {
		cfg := Config{Checks: []*diag.Check{told}}
		run := Diff(context.Background(), cfg, sideOf(t, c.old), sideOf(t, c.new), []diag.Target{{Domain: "a.example"}})
		if got := said(run); !slices.Equal(got, c.want) {
			t.Errorf("%s\n%s -> %s: %q, want %q", c.what, c.old, c.new, got, c.want)
		}
	}
}

// The records of both sides, and how long the old ones are seen.
func TestDiffChanges(t *testing.T) {
	old := sideOf(t, "@ 60 TXT bad\n@ 60 TXT meh\nx TXT 1")
	new := sideOf(t, "@ 900 TXT bad\nx TXT 2")
	cfg := Config{Checks: []*diag.Check{told}}
	run := Diff(context.Background(), cfg, old, new, []diag.Target{{Domain: "a.example"}, {Domain: "b.a.example"}})
	if len(run.Changes) != 1 {
		t.Fatalf("changes: %+v, want one: x was never asked for", run.Changes)
	}
	c := run.Changes[0]
	if c.Name != "a.example" || c.Type != "TXT" || len(c.Old) != 2 || len(c.New) != 1 || c.Old[0].Text != "bad" || c.Old[0].Line != 3 {
		t.Errorf("change: %+v", c)
	}
	if c.Seen.Seconds() != 60 || c.Stays.Seconds() != 900 || c.SeenAtLeast {
		t.Errorf("seen %s, stays %s, at least %v; want 60 s, 900 s, false", c.Seen, c.Stays, c.SeenAtLeast)
	}
	// A new record: its absence is what resolvers keep (RFC 2308 §5: SOA minimum).
	run = Diff(context.Background(), cfg, sideOf(t, ""), sideOf(t, "@ TXT bad"), []diag.Target{{Domain: "a.example"}})
	if c := run.Changes[0]; c.Seen.Seconds() != 60 || len(c.Old) != 0 || c.Stays.Seconds() != 600 {
		t.Errorf("new record: %+v", c)
	}
	if p := run.Diffs[0].Pairs[0]; !slices.Equal(p.Changes, []int{0}) {
		t.Errorf("the finding rests on changes %v, want the first", p.Changes)
	}
}

// An alias in place of an address: the change is the alias.
func TestDiffAlias(t *testing.T) {
	asks := &diag.Check{Name: "t", Kinds: told.Kinds, Undetermined: dunno, Run: func(ctx context.Context, j *diag.Job) error {
		j.Report(diag.Finding{Kind: fine, Subject: "a.example", Args: diag.Args{}})
		_, err := j.Ask(ctx, dnsq.Q("m.a.example", dnsq.TypeA))
		return err
	}}
	old := sideOf(t, "m A 192.0.2.1\nn A 192.0.2.2\no A 192.0.2.3")
	for _, c := range []struct {
		new  string
		want []string
	}{
		{"m CNAME n\nn A 192.0.2.2", []string{"m.a.example A -1 +0", "m.a.example CNAME -0 +1"}},
		{"m A 192.0.2.9", []string{"m.a.example A -1 +1"}},
		{"n A 192.0.2.2", []string{"m.a.example A -1 +0"}},
	} {
		run := Diff(context.Background(), Config{Checks: []*diag.Check{asks}}, old, sideOf(t, c.new), []diag.Target{{Domain: "a.example"}})
		var got []string
		for _, x := range run.Changes {
			got = append(got, fmt.Sprintf("%s %s -%d +%d", x.Name, x.Type, len(x.Old), len(x.New)))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.new, got, c.want)
		}
	}
	// What an alias leads to changes: the change is there.
	run := Diff(context.Background(), Config{Checks: []*diag.Check{asks}}, sideOf(t, "m CNAME n\nn A 192.0.2.2"), sideOf(t, "m CNAME n\nn A 192.0.2.7"),
		[]diag.Target{{Domain: "a.example"}})
	if len(run.Changes) != 1 || run.Changes[0].Name != "n.a.example" {
		t.Errorf("%+v, want n.a.example A alone", run.Changes)
	}
}
