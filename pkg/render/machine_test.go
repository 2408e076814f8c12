package render

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/i18n"
)

// sampleRun is two targets of an inventory: the sample report with an accepted
// and a known finding, and a domain whose findings stand in no zone file.
func sampleRun() *diag.Run {
	first := sampleReport()
	first.Target.Named = diag.Place{File: "todoku.yaml", Line: 3}
	fs := first.Checks[0].Findings
	for i := range fs {
		switch fs[i].Kind {
		case kNear:
			fs[i].Known = true
		case kSyntax:
			fs[i].Waived = &diag.Waiver{ID: "SPF-SYNTAX", Subject: "xn--r8jz45g.jp", Reason: "the old shop closes in spring, ticket #12 (@ops)",
				Expires: time.Date(2027, 4, 1, 0, 0, 0, 0, time.UTC), Place: diag.Place{File: "todoku.yaml", Line: 9}}
		}
	}
	first.Checks[0].Weigh()
	second := &diag.Report{
		Version: "0.1", Started: first.Started, Duration: 80 * time.Millisecond, Queries: 3,
		Target: diag.Target{Domain: "news.example", From: "news.example", MailFrom: "news.example", IPs: []netip.Addr{netip.MustParseAddr("192.0.2.7")}},
		Checks: []diag.CheckReport{{Check: beta, Status: diag.Fail, Queries: 3, Duration: 70 * time.Millisecond, Findings: []diag.Finding{
			{Kind: kNoPTR, Subject: "192.0.2.7", Evidence: []diag.Evidence{{Name: "7.2.0.192.in-addr.arpa", Type: "PTR", Source: dnsq.SourceDNS}}},
		}}},
	}
	return &diag.Run{Version: "0.1", Started: first.Started, Duration: 430 * time.Millisecond, Reports: []*diag.Report{first, second}}
}

func zoneEvidence(text string, line int, file string) diag.Evidence {
	return diag.Evidence{Name: "shop.example", Type: "TXT", Text: text, Source: dnsq.SourceZone, File: file, Line: line}
}

// sampleChange is a change that breaks one thing, mends another, leaves a third,
// and of a fourth it cannot be said.
func sampleChange() *diag.Run {
	before, after := "v=spf1 include:old.example.net ?all", "v=spf1 include:old.example.net include:spf.mailer.example -all"
	old, neu := sampleReport(), sampleReport()
	for _, r := range []*diag.Report{old, neu} {
		r.Target = diag.Target{Domain: "shop.example", From: "shop.example", MailFrom: "shop.example", IPs: []netip.Addr{netip.MustParseAddr("203.0.113.9")},
			Named: diag.Place{File: "new/shop.zone", Line: 7}}
	}
	broken := &diag.Finding{Kind: kNotAuth, Subject: "shop.example", Args: diag.Args{"ip": "203.0.113.9", "result": "fail"},
		Evidence: []diag.Evidence{zoneEvidence(after, 12, "new/shop.zone")},
		Fixes: []diag.Fix{{Verified: true, Edits: []diag.Edit{{Name: "shop.example", Type: "TXT", Old: after,
			New: strings.Replace(after, "-all", "ip4:203.0.113.9 -all", 1)}}}}}
	mended := &diag.Finding{Kind: kSyntax, Subject: "shop.example", Args: diag.Args{"problem": "`@everyone` [x](https://evil.example)"},
		Evidence: []diag.Evidence{zoneEvidence(before, 11, "old/shop.zone")}}
	same := &diag.Finding{Kind: kNear, Subject: "shop.example", Args: diag.Args{"n": 9}, Evidence: []diag.Evidence{zoneEvidence(after, 12, "new/shop.zone")}}
	open := &diag.Finding{Kind: kNoPTR, Subject: "203.0.113.9"}
	asked := &diag.Finding{Kind: kNoPTRA, Subject: "203.0.113.9", Args: diag.Args{"question": "9.113.0.203.in-addr.arpa PTR", "reason": "timeout"},
		Unknown: []*dnsq.Error{{Question: dnsq.Q("9.113.0.203.in-addr.arpa", dnsq.TypePTR), Reason: dnsq.Timeout, Server: "192.0.2.53:53"}}}
	good := &diag.Finding{Kind: kOld, Subject: "shop.example"}
	return &diag.Run{
		Version: "0.1", Started: old.Started, Duration: 500 * time.Millisecond, Before: "old/shop.zone", After: "new/shop.zone",
		Diffs: []*diag.Diff{{Target: neu.Target, Old: old, New: neu, Pairs: []diag.Pair{
			{Change: diag.New, Check: alpha, New: broken, Changes: []int{0}},
			{Change: diag.Unchanged, Check: alpha, Old: same, New: same},
			{Change: diag.New, Check: alpha, New: good},
			{Change: diag.Fixed, Check: alpha, Old: mended, Changes: []int{0}},
			{Change: diag.New, Check: beta, New: asked},
			{Change: diag.Undecided, Check: beta, Old: open},
		}}},
		Changes: []diag.RecordChange{
			{Name: "shop.example", Type: "TXT", Old: []diag.Evidence{zoneEvidence(before, 11, "old/shop.zone")},
				New: []diag.Evidence{zoneEvidence(after, 12, "new/shop.zone")}, Seen: time.Hour, Stays: 5 * time.Minute},
			{Name: "s1._domainkey.shop.example", Type: "TXT", Old: []diag.Evidence{{Name: "s1._domainkey.shop.example", Type: "TXT", Text: "v=DKIM1; p=", File: "old/shop.zone", Line: 20}},
				Seen: 36 * time.Hour, Stays: -1},
		},
	}
}

// machine is what a format makes of a run.
func machine(t testing.TB, name string, r *diag.Run, lang string, o Options) []byte {
	t.Helper()
	f, ok := Lookup(name)
	if !ok {
		t.Fatalf("no format %s", name)
	}
	var b bytes.Buffer
	if err := f.Write(&b, r, catalog(t, lang), o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// machineFormats are the formats of this file's goldens, with the ending of
// their files.
var machineFormats = []struct{ name, ext string }{{"sarif", "json"}, {"junit", "xml"}, {"github", "txt"}, {"markdown", "md"}, {"html", "html"}}

func TestMachineGolden(t *testing.T) {
	for _, f := range machineFormats {
		for _, lang := range i18n.Languages {
			for name, r := range map[string]*diag.Run{"run": sampleRun(), "diff": sampleChange()} {
				t.Run(f.name+"-"+lang+"-"+name, func(t *testing.T) {
					golden(t, f.name+"-"+lang+"-"+name+"."+f.ext, machine(t, f.name, r, lang, Options{}))
				})
			}
		}
	}
}

// A run that found nothing, or was of nothing, is a whole document too.
func TestMachineEmpty(t *testing.T) {
	for name, r := range map[string]*diag.Run{"nothing": {}, "a report without checks": {Reports: []*diag.Report{{}}}, "a diff without pairs": {Diffs: []*diag.Diff{{Old: &diag.Report{}, New: &diag.Report{}}}}} {
		for _, f := range Formats {
			for _, lang := range i18n.Languages {
				out := machine(t, f.Name, r, lang, Options{})
				if check := wellFormed[f.Name]; check != nil {
					check(t, r, out)
				}
				if f.Name == "text" || f.Name == "ndjson" || f.Name == "github" {
					continue // these may say nothing of nothing
				}
				if len(out) == 0 {
					t.Errorf("%s, %s: nothing is written", name, f.Name)
				}
			}
		}
	}
}

func TestFileNames(t *testing.T) {
	repo := Options{Dir: "/repo/dns", Root: "/repo"}
	for _, c := range []struct {
		o          Options
		name, want string
	}{
		{Options{}, "zones/a.zone", "zones/a.zone"},
		{Options{}, "./zones//a.zone", "zones/a.zone"},
		{Options{}, "../a.zone", "a.zone"},
		{Options{}, "/etc/nsd/a.zone", "etc/nsd/a.zone"},
		{Options{}, "-", "stdin"},
		{Options{}, "", "stdin"},
		{Options{}, "..", "stdin"},
		{repo, "a.zone", "dns/a.zone"},
		{repo, "../other/a.zone", "other/a.zone"},
		{repo, "/repo/x/a.zone", "x/a.zone"},
		{repo, "/elsewhere/a.zone", "elsewhere/a.zone"},
		{repo, "../../elsewhere/a.zone", "elsewhere/a.zone"},
	} {
		if got := c.o.file(c.name); got != c.want {
			t.Errorf("%q from %q in %q: %q, want %q", c.name, c.o.Dir, c.o.Root, got, c.want)
		}
	}
}

// wellFormed are what each format must be, whatever the run holds.
var wellFormed = map[string]func(testing.TB, *diag.Run, []byte){
	"sarif":  func(t testing.TB, r *diag.Run, b []byte) { validSARIF(t, r, b) },
	"junit":  func(t testing.TB, _ *diag.Run, b []byte) { validJUnit(t, b) },
	"github": func(t testing.TB, _ *diag.Run, b []byte) { commands(t, b) },
	"html":   func(t testing.TB, _ *diag.Run, b []byte) { validHTML(t, b) },
}

// A finding of a diff that no record of its own stands behind is where the change
// is that brought it, not where the domain is named.
func TestBrought(t *testing.T) {
	r := sampleChange()
	at := func(n int) string {
		p, _ := items(r)[n].place(Options{})
		return fmt.Sprint(p.File, ":", p.Line)
	}
	for n, want := range []string{"new/shop.zone:12", "new/shop.zone:12", "new/shop.zone:12", "old/shop.zone:11", "new/shop.zone:12", "new/shop.zone:12"} {
		if got := at(n); got != want {
			t.Errorf("item %d is at %s, want %s", n, got, want)
		}
	}
	r.Changes[0].New = nil
	if got, want := at(4), "new/shop.zone:7"; got != want {
		t.Errorf("without a new record: %s, want %s", got, want)
	}
}
