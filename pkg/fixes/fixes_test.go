package fixes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/zone"
)

const file = `$ORIGIN shop.example.
$TTL 3600
@ IN SOA ns1 hostmaster 7 3600 600 86400 300
@ IN TXT "v=spf1 mx ~all" ; who sends
@ IN TXT "other"
@ IN MX 10 mail
mail IN A 192.0.2.25
`

var kind = &diag.Kind{ID: "SPF-MISSING", Status: diag.Fail, Owner: diag.DNSAdmin}

// input is a plan with these edits over the file, offline beyond it.
func input(t testing.TB, src string, edits ...diag.Edit) *Input {
	t.Helper()
	z, err := zone.Parse(strings.NewReader(src), "shop.example.zone", "shop.example")
	if err != nil {
		t.Fatal(err)
	}
	set, err := zone.NewSet(z)
	if err != nil {
		t.Fatal(err)
	}
	f := diag.Finding{Kind: kind, Subject: "shop.example", Args: diag.Args{}}
	check := &diag.Check{Name: "spf"}
	left := diag.Finding{Kind: &diag.Kind{ID: "SPF-LOOP", Status: diag.Fail, Owner: diag.DNSAdmin}, Subject: "a\u2028b\nc", Args: diag.Args{}}
	plan := &diag.Plan{Target: diag.Target{Domain: "shop.example"}, Edits: edits, Before: &diag.Report{Version: "1"}, After: &diag.Report{},
		Steps: []diag.Step{{Check: check, Finding: f, Edits: edits, Gone: []diag.Finding{left}, Others: []diag.Fix{{Edits: edits}}}},
		Left:  []diag.Left{{Check: check, Finding: left, Tried: []diag.Fix{{Edits: edits, Unverified: []string{"edit: a\r\nb"}}}}}}
	in := &Input{Plan: plan, Zones: set, Version: "1", Bump: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)}
	under := set.Overlay(dnsq.OfflineResolver("out"))
	if in.Sets, err = Sets(context.Background(), under, set, edits); err != nil {
		t.Skip() // not an edit that could have been tried
	}
	return in
}

func catalog(t testing.TB) *i18n.Catalog {
	t.Helper()
	cat, err := i18n.Load(nil, "en")
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

func write(t testing.TB, name string, in *Input) string {
	t.Helper()
	f, ok := Lookup(name)
	if !ok {
		t.Fatal(name)
	}
	var b bytes.Buffer
	if err := f.Write(&b, in, catalog(t)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// code are the lines of a text that are no comments.
func code(text, mark string) []string {
	var out []string
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		if s := strings.TrimLeft(l, " "); s != "" && !strings.HasPrefix(s, mark) {
			out = append(out, l)
		}
	}
	return out
}

// FuzzFormats: whatever a record and a name hold, each format stays well-formed,
// holds the very record, and no comment becomes anything else.
func FuzzFormats(f *testing.F) {
	f.Add("_dmarc.shop.example", "v=DMARC1; p=none")
	f.Add("shop.example", "a\\\"b\n--- x\n+++ y")
	f.Add("x.shop.example", "\u2028\xff*/ );//")
	f.Add("*.shop.example", strings.Repeat("long ", 80))
	f.Add("on.shop.example", "\" \"")
	f.Add("a\\.b.shop.example", "#{no}: - 'x'")
	f.Fuzz(func(t *testing.T, name, text string) {
		if text == "" || text == "v=spf1 mx ~all" || text == "other" {
			return
		}
		rr, err := zone.RecordOf(name, "TXT", text)
		if err != nil || !dnsq.AtOrBelow(rr.Name, "shop.example") {
			return
		}
		edits := []diag.Edit{{Name: name, Type: "TXT", New: text}, {Name: "shop.example", Type: "TXT", Old: "v=spf1 mx ~all"},
			{Name: "shop.example", Type: "MX", Old: "10 mail.shop.example.", New: "20 mail.shop.example."}}
		in := input(t, file, edits...)

		// Lines to paste.
		paste := *in
		paste.Zones = nil
		z, err := zone.Parse(strings.NewReader(write(t, "zone", &paste)), "paste", "shop.example")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range z.Records {
			got = append(got, r.Name+" "+r.Type.String()+" "+zone.EditText(r))
		}
		want := []string{rr.Name + " TXT " + text, "shop.example MX 20 mail.shop.example."}
		if !slices.Equal(got, want) {
			t.Fatalf("to paste: %q, want %q", got, want)
		}

		// The diff makes of the old file the new one.
		d := write(t, "zone", in)
		ed := in.Zones.Edit(edits, in.Bump)
		if len(ed.Files) == 1 {
			at := strings.Index(d, "\n--- ")
			if at < 0 || len(code(d[:at], "#")) > 0 {
				t.Fatalf("%q", d)
			}
			new, err := patched(string(ed.Files[0].Old), d[at+1:])
			if err != nil || new != string(ed.Files[0].New) {
				t.Fatalf("%v\n%q\n%q", err, d, new)
			}
		}

		// JSON.
		var plan struct {
			Edits []struct {
				New       string `json:"new"`
				NewBase64 []byte `json:"new_base64"`
			} `json:"edits"`
		}
		j := write(t, "json", in)
		if err := json.Unmarshal([]byte(j), &plan); err != nil {
			t.Fatal(err)
		}
		if e := plan.Edits[0]; e.New != text && string(e.NewBase64) != text {
			t.Fatalf("%q: %s", text, j)
		}

		// octoDNS.
		y := write(t, "octodns", in)
		var doc map[string][]struct {
			Type   string `yaml:"type"`
			TTL    int    `yaml:"ttl"`
			Values []any  `yaml:"values"`
		}
		if err := yaml.Unmarshal([]byte(y), &doc); err != nil {
			t.Fatalf("%v\n%s", err, y)
		}
		escaped, can := octoText(text)
		found := false
		for _, s := range doc[label(rr.Name, "shop.example")] {
			found = found || s.Type == "TXT" && slices.Contains(s.Values, any(escaped))
		}
		if found != can {
			t.Fatalf("%q is there: %t, can be: %t\n%s", text, found, can, y)
		}
		if mx := doc[""]; len(mx) == 0 || mx[0].Type != "MX" || mx[0].TTL != 3600 || fmt.Sprint(mx[0].Values) != "[map[exchange:mail.shop.example. preference:20]]" {
			t.Fatalf("%+v\n%s", mx, y)
		}

		// And octoDNS itself would take it, by our strict reader of its rules.
		oz, err := zone.ParseOctoDNS([]byte(y), "shop.example.yaml", "shop.example")
		if err != nil {
			t.Fatalf("%v\n%s", err, y)
		}
		if read := slices.ContainsFunc(oz.Records, func(o dnsq.RR) bool { return o.Name == rr.Name && o.Type == dnsq.TypeTXT && o.Text() == text }); read != can {
			t.Fatalf("%q is read back: %t, can be: %t\n%s", text, read, can, y)
		}

		// dnscontrol: every line is a call with literals and nothing else.
		js := write(t, "dnscontrol", in)
		found = false
		for _, l := range code(js, "//") {
			if l == `D_EXTEND("shop.example",` || l == "    END);" {
				continue
			}
			m := call.FindStringSubmatch(l)
			if m == nil {
				t.Fatalf("%q in\n%s", l, js)
			}
			var args []any
			if err := json.Unmarshal([]byte("["+m[2]+"]"), &args); err != nil {
				t.Fatalf("%q: %v", l, err)
			}
			found = found || m[1] == "TXT" && args[1] == text
		}
		if can := printable(text); found != can {
			t.Fatalf("%q is there: %t, can be: %t\n%s", text, found, can, js)
		}
		if strings.ContainsAny(js+y, "\u2028\u2029\r") {
			t.Fatalf("%q", js+y)
		}
	})
}

var call = regexp.MustCompile(`^    ([A-Z]+)\(((?:"(?:[^"\\]|\\["\\])*"|\d+)(?:, (?:"(?:[^"\\]|\\["\\])*"|\d+))*)(?:, TTL\(\d+\))?\),$`)

var hunk = regexp.MustCompile(`^@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@`)

// patched applies a unified diff of one file as patch(1) does, to the letter.
func patched(old, diff string) (string, error) {
	src := strings.SplitAfter(old, "\n")
	var out strings.Builder
	pos := 0
	lines := strings.SplitAfter(diff, "\n")
	for i := 2; i < len(lines); i++ {
		l := lines[i]
		if m := hunk.FindStringSubmatch(l); m != nil {
			start, _ := strconv.Atoi(m[1])
			for ; pos < start-1; pos++ {
				out.WriteString(src[pos])
			}
			continue
		}
		if l == "" {
			continue
		}
		text := l[1:]
		if i+1 < len(lines) && strings.HasPrefix(lines[i+1], `\`) {
			text = strings.TrimSuffix(text, "\n")
		}
		switch l[0] {
		case ' ', '-':
			if pos >= len(src) || src[pos] != text {
				return "", fmt.Errorf("line %d of the file is not %q", pos+1, text)
			}
			pos++
			if l[0] == ' ' {
				out.WriteString(text)
			}
		case '+':
			out.WriteString(text)
		case '\\':
		default:
			return "", fmt.Errorf("%q in a diff", l)
		}
	}
	for ; pos < len(src); pos++ {
		out.WriteString(src[pos])
	}
	return out.String(), nil
}

func TestJSONSchema(t *testing.T) {
	c := jsonschema.NewCompiler()
	for _, name := range []string{"fix.schema.json", "report.schema.json"} {
		b, err := os.ReadFile("../../testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource(name, s); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := c.Compile("fix.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, edits := range [][]diag.Edit{nil,
		{{Name: "shop.example", Type: "TXT", Old: "other"}},
		{{Name: "x.shop.example", Type: "TXT", New: "\xff"}}} {
		out := write(t, "json", input(t, file, edits...))
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// What a set needs to be written is asked; what is not known is not written as
// if it were.
func TestSets(t *testing.T) {
	ctx := context.Background()
	asked := map[string]bool{}
	under := dnsq.ResolverFunc(func(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
		asked[q.String()] = true
		a := &dnsq.Answer{Question: q, Outcome: dnsq.NoData, TTL: 60, Source: dnsq.SourceDNS}
		switch q.String() {
		case "sub.shop.example SOA":
			a.Outcome = dnsq.Found
			a.RRs = []dnsq.RR{{Name: "sub.shop.example", Type: dnsq.TypeSOA, SOA: &dnsq.SOA{}}}
		case "a.sub.shop.example A":
			a.Outcome = dnsq.Found
			a.RRs = []dnsq.RR{{Name: "a.sub.shop.example", Type: dnsq.TypeA, TTL: 17, Addr: netip.MustParseAddr("192.0.2.1")}}
		case "x.other.example SOA", "other.example TXT":
			return nil, &dnsq.Error{Question: q, Reason: dnsq.Timeout}
		}
		return a, nil
	})
	sets, err := Sets(ctx, under, nil, []diag.Edit{
		{Name: "other.example", Type: "TXT", New: "x"},
		{Name: "a.sub.shop.example", Type: "A", New: "192.0.2.2"},
		{Name: "A.sub.shop.example.", Type: "a", New: "192.0.2.3"},
		{Name: "x.other.example", Type: "TXT", New: "y"},
	})
	if err != nil || len(sets) != 3 {
		t.Fatalf("%v %+v", err, sets)
	}
	byName := map[string]Set{}
	for _, s := range sets {
		byName[s.Name] = s
	}
	if s := byName["a.sub.shop.example"]; s.Zone != "sub.shop.example" || len(s.After) != 3 || len(s.Before) != 1 || s.Exact || s.Err != nil {
		t.Errorf("%+v", s)
	}
	if s := byName["other.example"]; s.Err == nil {
		t.Errorf("%+v", s)
	}
	// Without an SOA to be learnt: the registered domain.
	if s := byName["x.other.example"]; s.Zone != "other.example" || s.Err != nil {
		t.Errorf("%+v", s)
	}
	if !asked["a.sub.shop.example SOA"] || asked["shop.example SOA"] {
		t.Errorf("%v", asked)
	}
	in := &Input{Plan: &diag.Plan{Before: &diag.Report{}, After: &diag.Report{}}, Sets: sets}
	for name, mark := range map[string]string{"octodns": "#", "dnscontrol": "//"} {
		out := write(t, name, in)
		if strings.Contains(strings.Join(code(out, mark), "\n"), "TTL") || strings.Contains(out, "ttl:") {
			t.Errorf("%s: a TTL that was counted down is written:\n%s", name, out)
		}
		if !strings.Contains(out, "other.example TXT: the other records of the set are not known") {
			t.Errorf("%s:\n%s", name, out)
		}
	}
}

func TestDiffName(t *testing.T) {
	for in, want := range map[string]string{
		"zones/shop.example.zone": "zones/shop.example.zone",
		"my zone":                 "my zone\t",
		"a\nb\"\\é":               `"a\012b\"\\\303\251"`,
		"/etc/bind/db.shop":       "/etc/bind/db.shop",
	} {
		if got := diffName(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if got := diffName(wd + "/x/y.zone"); got != "x/y.zone" {
		t.Errorf("a file below the current folder is %q", got)
	}
}
