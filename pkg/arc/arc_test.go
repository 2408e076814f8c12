package arc_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/todoku-mail/todoku/pkg/arc"
	"github.com/todoku-mail/todoku/pkg/arc/arctest"
	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dkim/dkimtest"
)

// The suite's cases of signing: our test sealer writes the same three fields,
// signatures included, so what the tests below validate is made as others do.
func TestSealerSuite(t *testing.T) {
	space := regexp.MustCompile(`\s+`)
	tags := func(s string) string {
		var out []string
		for part := range strings.SplitSeq(strings.TrimRight(strings.TrimSpace(s), ";"), ";") {
			out = append(out, space.ReplaceAllString(part, ""))
		}
		slices.Sort(out)
		return strings.Join(out, ";")
	}
	for _, c := range suite(t, "sign", 17) {
		block, _ := pem.Decode([]byte(c.Key))
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		msg := dkimtest.Lines(c.Message)
		fields, _ := dkimtest.Fields(msg)
		results := []string{c.SrvID}
		chain := ""
		for _, f := range fields {
			id, rest, _ := strings.Cut(f.Value(), ";")
			if !f.Is("Authentication-Results") || strings.TrimSpace(id) != c.SrvID {
				continue
			}
			for part := range strings.SplitSeq(rest, ";") {
				part = strings.TrimSpace(part)
				results = append(results, part)
				if v, ok := strings.CutPrefix(part, "arc="); ok {
					chain = v
				}
			}
		}
		s := arctest.Sealer{Key: key, Domain: c.Domain, Selector: c.Sel, Names: strings.Split(c.SigHeaders, ":"), Time: c.T, Results: strings.Join(results, "; "), Chain: chain, Unfolded: true}
		sealed := s.Seal(msg)
		if c.AS == "" {
			if sealed != msg {
				t.Errorf("%s: a set was added", c.ID)
			}
			continue
		}
		fields, _ = dkimtest.Fields(sealed)
		for i, want := range []string{c.AS, c.AMS, c.AAR} {
			if got := fields[i].Value(); tags(got) != tags(want) {
				t.Errorf("%s (%s):\n got %s\nwant %s", c.ID, c.Desc, tags(got), tags(want))
			}
		}
	}
}

const mail = "From: a@example.com\r\nTo: list@example.org\r\nSubject: x\r\nDate: Fri, 6 Feb 2026 10:00:00 +0900\r\n\r\nhello\r\n"

var names = []string{"from", "to", "subject", "date"}

func sealer(n int) arctest.Sealer {
	return arctest.Sealer{Key: dkimtest.Ed25519(fmt.Sprint(n)), Domain: fmt.Sprintf("hop%d.example", n), Selector: "arc", Names: names, Results: fmt.Sprintf("hop%d.example; spf=pass", n), Time: 1770000000}
}

func zoneOf(n int) dkimtest.Zone {
	z := dkimtest.Zone{}
	for i := 1; i <= n; i++ {
		z[fmt.Sprintf("arc._domainkey.hop%d.example", i)] = dkimtest.Record(dkimtest.Ed25519(fmt.Sprint(i)))
	}
	return z
}

func chain(n int) string {
	msg := mail
	for i := 1; i <= n; i++ {
		msg = sealer(i).Seal(msg)
	}
	return msg
}

func validate(t testing.TB, z dkimtest.Zone, msg string) *arc.Report {
	t.Helper()
	r, err := (&arc.Validator{Resolver: z}).Validate(context.Background(), strings.NewReader(msg))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// line is "status oldest-pass; faults; status and reason of each seal; verdict
// of each message signature".
func line(r *arc.Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d;", r.Status, r.OldestPass)
	for _, f := range r.Faults {
		fmt.Fprintf(&b, " %s/%d", f.Code, f.Instance)
	}
	b.WriteString(";")
	for _, s := range r.Sets {
		if s.Seal != nil {
			b.WriteString(" " + strings.TrimSuffix(fmt.Sprintf("%s/%s", s.Seal.Status, s.Seal.Reason), "/"))
		}
	}
	b.WriteString(";")
	for _, s := range r.Sets {
		if s.Message != nil {
			b.WriteString(" " + string(s.Message.RFC8301))
		}
	}
	return b.String()
}

// Seal by seal: who broke the chain, and why.
func TestChains(t *testing.T) {
	sealAfter := func(change func(string) string) string {
		return sealer(2).Seal(change(sealer(1).Seal(mail)))
	}
	replace := func(msg, old, new string) string {
		if !strings.Contains(msg, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(msg, old, new, 1)
	}
	without := func(msg, prefix string) string {
		fs, body := dkimtest.Fields(msg)
		out := ""
		for _, f := range fs {
			if !strings.HasPrefix(f.Name()+":"+f.Value(), prefix) {
				out += string(f.Raw)
			}
		}
		return out + "\r\n" + string(body)
	}
	with := func(z dkimtest.Zone, name, record string) dkimtest.Zone { z["arc._domainkey."+name] = record; return z }
	small := dkimtest.RSA("small", 512)
	for name, c := range map[string]struct {
		msg  string
		zone dkimtest.Zone
		want string
	}{
		"none":                   {mail, zoneOf(0), "none 0;;;"},
		"one":                    {chain(1), zoneOf(1), "pass 1;; pass; pass"},
		"three":                  {chain(3), zoneOf(3), "pass 1;; pass pass pass; pass pass pass"},
		"fifty":                  {chain(50), zoneOf(50), "pass 1;;" + strings.Repeat(" pass", 50) + ";" + strings.Repeat(" pass", 50)},
		"changed by the second":  {sealAfter(func(m string) string { return m + "footer\r\n" }), zoneOf(2), "pass 2;; pass pass; fail pass"},
		"changed after all":      {chain(2) + "footer\r\n", zoneOf(2), "fail 0; message/2; pass pass; fail fail"},
		"subject after all":      {replace(chain(2), "Subject: x", "Subject: [l] x"), zoneOf(2), "fail 0; message/2; pass pass; fail fail"},
		"first results forged":   {replace(chain(2), "hop1.example; spf=pass", "hop1.example; spf=fail"), zoneOf(2), "fail 0; seal/2 seal/1; fail/header-hash fail/header-hash; pass pass"},
		"second results forged":  {replace(chain(2), "hop2.example; spf=pass", "hop2.example; spf=fail"), zoneOf(2), "fail 0; seal/2; pass fail/header-hash; pass pass"},
		"key gone":               {chain(2), with(zoneOf(2), "hop1.example", "!nxdomain"), "fail 0; seal/1; fail/key-missing pass; permerror pass"},
		"key timeout":            {chain(2), with(zoneOf(2), "hop1.example", "!timeout"), "temperror 0; unavailable/1; temperror/key-unavailable pass; temperror pass"},
		"newest key timeout":     {chain(1), with(zoneOf(1), "hop1.example", "!servfail"), "temperror 0; unavailable/1 unavailable/1; temperror/key-unavailable; temperror"},
		"timeout and changed":    {chain(2) + "x\r\n", with(zoneOf(2), "hop2.example", "!timeout"), "fail 0; message/2 unavailable/2; pass temperror/key-unavailable; fail temperror"},
		"timeout and a bad seal": {replace(chain(2), "hop1.example; spf=pass", "hop1.example; spf=no"), with(zoneOf(2), "hop2.example", "!timeout"), "fail 0; unavailable/2 unavailable/2 seal/1; fail/header-hash temperror/key-unavailable; pass temperror"},
		"another key":            {chain(1), with(zoneOf(1), "hop1.example", dkimtest.Record(dkimtest.Ed25519("x"))), "fail 0; message/1 seal/1; fail/header-hash; fail"},
		"key not for mail":       {chain(1), with(zoneOf(1), "hop1.example", dkimtest.Record(dkimtest.Ed25519("1"))+"; s=other"), "fail 0; message/1 seal/1; fail/key-service; permerror"},
		"short key": {arctest.Sealer{Key: small, Domain: "hop1.example", Selector: "arc", Names: names, Results: "x"}.Seal(mail),
			dkimtest.Zone{"arc._domainkey.hop1.example": dkimtest.Record(small)}, "fail 0; message/1 seal/1; fail/short-key; fail"},
		"no seal":             {without(chain(1), "ARC-Seal:"), zoneOf(1), "fail 0; missing/1;; pass"},
		"no results":          {without(chain(3), "ARC-Authentication-Results: i=2"), zoneOf(3), "fail 0; missing/2; unjudged unjudged unjudged; pass pass pass"},
		"gap":                 {replace(replace(replace(chain(1), "i=1; hop1", "i=3; hop1"), "i=1; s=arc", "i=3; s=arc"), "i=1; s=arc", "i=3; s=arc"), zoneOf(1), "fail 0; gap/1 gap/2 cv/3; unjudged; fail"},
		"cv=fail":             {arctest.Sealer{Key: dkimtest.Ed25519("2"), Domain: "hop2.example", Selector: "arc", Names: names, Results: "x", Chain: "fail"}.Seal(chain(1)), zoneOf(2), "fail 0; cv-fail/2; unjudged unjudged; pass pass"},
		"cv=none in a second": {arctest.Sealer{Key: dkimtest.Ed25519("2"), Domain: "hop2.example", Selector: "arc", Names: names, Results: "x", Chain: "none"}.Seal(chain(1)), zoneOf(2), "fail 0; cv/2; unjudged unjudged; pass pass"},
		"a set twice":         {strings.Join(strings.SplitAfter(chain(1), "\r\n")[:2], "") + chain(1), zoneOf(1), ""},
		"instance 0":          {replace(chain(1), "i=1; hop1", "i=0; hop1"), zoneOf(1), "fail 0; instance/0 missing/1; unjudged; pass"},
		"instance 51":         {replace(chain(1), "i=1; hop1", "i=51; hop1"), zoneOf(1), "fail 0; instance/0 missing/1; unjudged; pass"},
		"a comment after i=":  {func() string { s := sealer(1); m := s.Seal(mail); return m }(), zoneOf(1), "pass 1;; pass; pass"},
		"LF only":             {strings.ReplaceAll(chain(2), "\r\n", "\n"), zoneOf(2), "pass 1;; pass pass; pass pass"},
		"51 seals":            {strings.Repeat("ARC-Seal: i=1\r\n", 51) + mail, zoneOf(0), "fail 0; too-many/0;;"},
		"fields alone":        {"ARC-Seal: x\r\nARC-Message-Signature: \r\nARC-Authentication-Results\r\n" + mail, zoneOf(0), ""},
	} {
		r := validate(t, c.zone, c.msg)
		if c.want == "" {
			if r.Status != arc.Fail || len(r.Faults) == 0 {
				t.Errorf("%s: %s", name, line(r))
			}
			continue
		}
		if got := line(r); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

// One body serves DKIM and ARC in one pass.
func TestWithDKIM(t *testing.T) {
	z := zoneOf(2)
	z["s._domainkey.example.com"] = dkimtest.Record(dkimtest.Ed25519("s"))
	msg := dkimtest.Signer{Key: dkimtest.Ed25519("s"), Domain: "example.com", Selector: "s"}.Sign(mail)
	msg = sealer(2).Seal(sealer(1).Seal(msg) + "footer\r\n")
	fields, body := dkimtest.Fields(msg)
	h := dkim.NewHeader(fields)
	var b dkim.Body
	d := (&dkim.Verifier{Resolver: z}).Start(h, &b)
	a := (&arc.Validator{Resolver: z, Now: time.Unix(1770000000, 0)}).Start(h, &b)
	b.Write(body)
	b.Close()
	dr, ar := d.Finish(context.Background()), a.Finish(context.Background())
	if dr.Result() != dkim.Fail || dr.Signatures[0].HeaderMatch != dkim.Matches || line(ar) != "pass 2;; pass pass; fail pass" {
		t.Errorf("dkim %s, arc %s", dr.Result(), line(ar))
	}
}

func TestResults(t *testing.T) {
	for _, c := range []struct {
		raw      string
		instance int
		text     string
	}{
		{"ARC-Authentication-Results: i=1; a.example; spf=pass\r\n", 1, " a.example; spf=pass"},
		{"ARC-Authentication-Results:i = 50 ;a\r\n", 50, "a"},
		{"ARC-Authentication-Results:\r\n i=2 (x);\r\n a\r\n", 2, "\r\n a"},
		{"ARC-Authentication-Results: i=1 a; b\r\n", 0, ""},
		{"ARC-Authentication-Results: I=1; b\r\n", 0, ""},
		{"ARC-Authentication-Results: i=+1; b\r\n", 0, ""},
		{"ARC-Authentication-Results: i=1\r\n", 0, ""},
		{"ARC-Authentication-Results: \r\n", 0, ""},
		{"ARC-Authentication-Results", 0, ""},
	} {
		r, e := arc.ParseResults(dkim.Field{Raw: []byte(c.raw)})
		if r.Instance != c.instance || r.Text != c.text || (e == nil) != (c.instance > 0) || e != nil && c.raw[e.Start:e.End] != e.Text {
			t.Errorf("%q: %+v, %v", c.raw, r, e)
		}
		if e == nil && !strings.HasPrefix(c.raw[r.Offset:], r.Text) {
			t.Errorf("%q: text is not at %d", c.raw, r.Offset)
		}
	}
}

// FuzzValidate: any message ends in a status that its faults explain.
func FuzzValidate(f *testing.F) {
	f.Add([]byte(chain(2)))
	f.Add([]byte(chain(1) + "x"))
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 10 {
		b := []byte(chain(3))
		b[rnd.IntN(len(b))] ^= 1
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		r, err := (&arc.Validator{Resolver: zoneOf(3)}).Validate(context.Background(), strings.NewReader(string(msg)))
		if err != nil {
			return
		}
		passes := len(r.Faults) == 0 && len(r.Sets) > 0
		if (r.Status == arc.Pass) != passes || (r.Status == arc.None) != (len(r.Faults) == 0 && len(r.Sets) == 0) {
			t.Fatalf("%s", line(r))
		}
		for i, s := range r.Sets {
			if passes && (s.Instance != i+1 || s.Results == nil || s.Message == nil || s.Seal.Status != arc.Pass || (i > 0) != (s.Seal.Chain == "pass")) {
				t.Fatalf("%s", line(r))
			}
		}
		for _, f := range r.Faults {
			if !slices.Contains(arc.FaultCodes, f.Code) {
				t.Fatalf("code %q", f.Code)
			}
		}
	})
}

// Hostile chains end soon.
func TestHostile(t *testing.T) {
	big := strings.Repeat("x", 60<<10)
	msg := mail
	for i := 1; i <= 50; i++ {
		s := sealer(i)
		s.Results += "; reason=" + big
		msg = s.Seal(msg)
	}
	for name, c := range map[string]struct {
		msg  string
		want arc.Status
	}{
		"50 sets of 60 kB": {msg, arc.Pass},
		"100,000 seals":    {strings.Repeat("ARC-Seal: i=1; cv=none\r\n", 100_000) + mail, arc.Fail},
		"tags":             {"ARC-Seal: " + strings.Repeat(";", 1<<20) + "\r\n" + mail, arc.Fail},
	} {
		begin := time.Now()
		r := validate(t, zoneOf(50), c.msg)
		t.Logf("%s: %s, %v", name, r.Status, time.Since(begin))
		if r.Status != c.want {
			t.Errorf("%s: %s, want %s", name, r.Status, c.want)
		}
	}
}

// BenchmarkValidate is a chain of three sets with Ed25519.
func BenchmarkValidate(b *testing.B) {
	b.ReportAllocs()
	msg, z := chain(3), zoneOf(3)
	for b.Loop() {
		if r := validate(b, z, msg); r.Status != arc.Pass {
			b.Fatal(line(r))
		}
	}
}
