package dmarc_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/pkg/dmarc"
	"github.com/todoku-mail/todoku/pkg/orgdomain"
)

// codes are the notes as "code:tag" or, for a text that is no record, "!code".
func codes(r *dmarc.Record) string {
	if r.Fatal != nil {
		return "!" + r.Fatal.Code
	}
	var out []string
	for _, n := range r.Notes {
		s := n.Code
		if n.Tag != "" {
			s += ":" + n.Tag
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func show(v dmarc.Verdict) string {
	s := string(v.Policy)
	if s == "" {
		return "-"
	}
	if v.Applied != v.Policy {
		s += ">" + string(v.Applied)
	}
	return s
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text  string
		notes string
		// policies for the domain, a subdomain, one that does not exist; and by
		// RFC 7489 for the domain and a subdomain. "-" is no DMARC.
		policies string
	}{
		{"v=DMARC1; p=none", "", "none none none / none none"},
		{"v=DMARC1;p=reject;", "", "reject reject reject / reject reject"},
		{"V = DMARC1 ;\tp = quarantine ; ", "", "quarantine quarantine quarantine / quarantine quarantine"},
		{"v=DMARC1; p=reject; sp=none; np=quarantine", "", "reject none quarantine / reject none"},
		{"v=DMARC1; p=none; sp=reject", "", "none reject reject / none reject"},
		{"v=DMARC1; p=none; np=reject", "", "none none reject / none none"},
		// t=y: one step weaker, and old receivers do not know it.
		{"v=DMARC1; p=reject; t=y", "", "reject>quarantine reject>quarantine reject>quarantine / reject reject"},
		{"v=DMARC1; p=quarantine; sp=none; t=Y", "value-case:t", "quarantine>none none none / quarantine none"},

		// What kills the record (RFC 9989 §4.7, v).
		{"", "!not-dmarc", "- - - / - -"},
		{"v=spf1 -all", "!not-dmarc", "- - - / - -"},
		{"v=dmarc1; p=reject", "!version-case", "- - - / - -"},
		{"v=DMARC2; p=reject", "!bad-version", "- - - / - -"},
		{"v=DMARC10; p=reject", "!bad-version", "- - - / - -"},
		{"v:DMARC1; p=reject", "!bad-version", "- - - / - -"},
		{"p=reject; v=DMARC1", "!version-not-first", "- - - / - -"},
		{"p=reject", "!version-missing", "- - - / - -"},
		{" v=DMARC1; p=reject", "!before-version", "- - - / - -"},
		{`"v=DMARC1; p=reject"`, "!before-version", "- - - / - -"},
		{"\u201cv=DMARC1; p=reject\u201d", "!before-version", "- - - / - -"},
		{"\ufeffv=DMARC1; p=reject", "!before-version", "- - - / - -"},
		{"v=DMARC1 p=reject", "!no-separator", "- - - / - -"},
		{"v=DMARC1, p=reject", "!no-separator", "- - - / - -"},
		{"v=DMARC1p=reject", "!no-separator", "- - - / - -"},
		{`v=DMARC1\; p=reject`, "!escaped-semicolon", "- - - / - -"},
		{"dmarc1 is a fine protocol", "!not-dmarc", "- - - / - -"},

		// No policy, or one that is none (§4.10.1).
		{"v=DMARC1", "only-version:p", "- - - / - -"},
		{"v=DMARC1; rua=mailto:a@example.com", "missing-policy:p", "none none none / none none"},
		{"v=DMARC1; aspf=s", "missing-policy:p", "- - - / - -"},
		{"v=DMARC1; p=monitor", "bad-policy:p", "- - - / - -"},
		{"v=DMARC1; p=monitor; rua=mailto:a@example.com", "bad-policy:p", "none none none / none none"},
		{"v=DMARC1; p=monitor; rua=a@example.com", "bad-policy:p no-scheme:rua", "- - - / - -"},
		{"v=DMARC1; p=reject; sp=", "bad-policy:sp", "- - - / - -"},
		{"v=DMARC1; p=reject; sp=x; rua=mailto:a@example.com", "bad-policy:sp", "none none none / none none"},
		// Old receivers do not know np and so cannot stumble over it.
		{"v=DMARC1; p=reject; np=x", "bad-policy:np", "- - - / reject reject"},
		{"v=DMARC1; p=Reject", "value-case:p", "reject reject reject / reject reject"},
		{"v=DMARC1; P=reject", "name-case:p", "reject reject reject / reject reject"},
		{"v=DMARC1; p=\u201creject\u201d", "non-ascii:p", "- - - / - -"},
		{"v=DMARC1; p=\x00reject", "control-char:p", "- - - / - -"},
		{"v=DMARC1; p=reject\n", "control-char:p", "- - - / - -"},

		// What is ignored, and told.
		{"v=DMARC1; p=none; p=reject", "duplicate:p", "none none none / none none"},
		{"v=DMARC1; v=DMARC1; p=none", "duplicate:v", "none none none / none none"},
		{"v=DMARC1;; p=none", "empty-tag", "none none none / none none"},
		{"v=DMARC1; p=none;;", "empty-tag", "none none none / none none"},
		{"v=DMARC1; p=none; hello", "bad-tag", "none none none / none none"},
		{"v=DMARC1; p=none; x-y=1", "bad-tag", "none none none / none none"},
		{"v=DMARC1; p=none; foo=bar", "unknown-tag:foo", "none none none / none none"},
		{"v=DMARC1; p=none; adkim=relaxed; aspf=; t=1; psd=yes", "bad-value:adkim bad-value:aspf bad-value:t bad-value:psd", "none none none / none none"},
		{"v=DMARC1; p=none; pct=100; rf=afrf; ri=86400", "removed-tag:pct removed-tag:rf removed-tag:ri", "none none none / none none"},
		{"v=DMARC1; p=none; pct=50%", "removed-tag:pct bad-value:pct", "none none none / none none"},
		{"v=DMARC1; p=none; pct=+5", "removed-tag:pct bad-value:pct", "none none none / none none"},
		{"v=DMARC1; p=none; pct=", "removed-tag:pct bad-value:pct", "none none none / none none"},
		{"v=DMARC1; p=none; fo=1", "fo-without-ruf:fo", "none none none / none none"},
		{"v=DMARC1; p=none; fo=0:1:d:s; ruf=mailto:a@example.com", "bad-value:fo", "none none none / none none"},
		{"v=DMARC1; p=none; fo=d:1:s; ruf=mailto:a@example.com", "", "none none none / none none"},
		{"v=DMARC1; p=none; rua=mailto:a@example.com!10m, https://example.com/r", "size-limit:rua not-mailto:rua", "none none none / none none"},
		{"v=DMARC1; p=none; rua=a@example.com,mailto:@example.com,mailto:a,mailto:a@b@,http://x y", "no-scheme:rua bad-address:rua bad-address:rua bad-address:rua bad-uri:rua", "none none none / none none"},
		{"v=DMARC1; p=none; rua=mailto:a@192.0.2.1", "bad-address:rua", "none none none / none none"},
		{"v=DMARC1; p=none; rua=mailto:a!b@example.com", "bad-address:rua", "none none none / none none"},
		{"v=DMARC1; p=none; rua=", "no-scheme:rua", "none none none / none none"},
		{"v=DMARC1; p=none; rua=mailto:\u90f5\u4fbf@example.com,mailto:a@example.com", "non-ascii:rua", "none none none / none none"},
	} {
		r := dmarc.Parse(c.text)
		if got := codes(r); got != c.notes {
			t.Errorf("%q: notes %q, want %q", c.text, got, c.notes)
		}
		got := fmt.Sprintf("%s %s %s / %s %s", show(r.Evaluate(dmarc.Self)), show(r.Evaluate(dmarc.Subdomain)),
			show(r.Evaluate(dmarc.NonExistent)), show(r.EvaluateOld(dmarc.Self)), show(r.EvaluateOld(dmarc.Subdomain)))
		if got != c.policies {
			t.Errorf("%q: policies %q, want %q", c.text, got, c.policies)
		}
	}
}

func TestSpans(t *testing.T) {
	for _, c := range []struct{ text, want string }{ // what the first note points at
		{"v=DMARC1; p=none; p=reject", "p=reject"},
		{"v=DMARC1; p=nnoe ; rua=mailto:a@example.com", "p=nnoe"},
		{"v=DMARC1; p=\u201creject\u201d", "\u201c"},
		{"v=DMARC1; p=none; rua=mailto:a@example.com , b@example.com ", "b@example.com"},
		{"v=DMARC1; p=none; rua=mailto:a@example.com!10m", "!10m"},
		{"v=DMARC1; p=none; ; x=1", ""},
		{"v=DMARC1", "v=DMARC1"},
	} {
		n := dmarc.Parse(c.text).Notes[0]
		if n.Text != c.want || c.text[n.Start:n.End] != c.want {
			t.Errorf("%q: points at %q (%d to %d), want %q", c.text, n.Text, n.Start, n.End, c.want)
		}
	}
	for text, want := range map[string]string{
		"v=dmarc1; p=none": "dmarc1", `v=DMARC1\; p=none`: `DMARC1\`, "p=none; v=DMARC1": "v=DMARC1", "  v=DMARC1": "  ",
		"\xbc\xbc\xbcv=DMARC1": "\xbc\xbc\xbc", // octets that are not UTF-8 do not shift the place
	} {
		if f := dmarc.Parse(text).Fatal; f.Text != want || text[f.Start:f.End] != want {
			t.Errorf("%q: points at %q, want %q", text, f.Text, want)
		}
	}
}

func TestValues(t *testing.T) {
	r := dmarc.Parse("v=DMARC1; p=reject; adkim=s; aspf=S; psd=n; fo=1:d; pct=20; rua=mailto:Dmarc%2Br@Example.COM!1g,mailto:x@xn--r8jz45g.jp?subject=a; ruf=https://example.com/")
	if r.ADKIM != dmarc.Strict || r.ASPF != dmarc.Strict || r.PSD != 'n' || r.FO != "1:d" || r.Pct != 20 || r.Test {
		t.Errorf("%+v", r)
	}
	if len(r.RUA) != 2 || r.RUA[0].Address != "Dmarc+r@Example.COM" || r.RUA[0].Host != "example.com" || r.RUA[0].Size != "1g" ||
		r.RUA[1].Host != "xn--r8jz45g.jp" {
		t.Errorf("%+v", r.RUA)
	}
	if len(r.RUF) != 1 || !r.RUF[0].Valid || r.RUF[0].Host != "" {
		t.Errorf("%+v", r.RUF)
	}
}

func TestRepair(t *testing.T) {
	for _, c := range []struct{ text, want string }{ // want "" if no repair is certain
		{" v=DMARC1; p=reject", "v=DMARC1; p=reject"},
		{`"v=DMARC1; p=reject;"`, "v=DMARC1; p=reject"},
		{"\u201cv=DMARC1; p=reject\u201d", "v=DMARC1; p=reject"},
		{"v=DMARC1; p=\u201creject\u201d", "v=DMARC1; p=reject"},
		{`v=DMARC1\; p=none\; rua=mailto:a@example.com`, "v=DMARC1; p=none; rua=mailto:a@example.com"},
		{"v=dmarc1; p=Reject", "v=DMARC1; p=reject"},
		{"p=reject; v=DMARC1", "v=DMARC1; p=reject"},
		{"p=reject; rua=mailto:a@example.com", "v=DMARC1; p=reject; rua=mailto:a@example.com"},
		{"v=DMARC1 p=reject", "v=DMARC1; p=reject"},
		{"v=DMARC1, p=reject", "v=DMARC1; p=reject"},
		{"v:DMARC1; p:reject", "v=DMARC1; p=reject"},
		{"v=DMARC1; p=none; rua=a@example.com", "v=DMARC1; p=none; rua=mailto:a@example.com"},
		{"v=DMARC1; p=none; rua=mailto: a@example.com", "v=DMARC1; p=none; rua=mailto:a@example.com"},
		{"v=DMARC1; p=none; rua=mailto://a@example.com", "v=DMARC1; p=none; rua=mailto:a@example.com"},
		{"v=DMARC1; p=none; rua=<a@example.com>", "v=DMARC1; p=none; rua=mailto:a@example.com"},
		{"v=DMARC1; p=none; rua=mailto:a@example.com mailto:b@example.com", "v=DMARC1; p=none; rua=mailto:a@example.com,mailto:b@example.com"},
		{"v=DMARC1; p=none; rua=mailto:a@example.com; mailto:b@example.com", "v=DMARC1; p=none; rua=mailto:a@example.com,mailto:b@example.com"},
		{"v=DMARC1;; p=none", "v=DMARC1; p=none"},
		{"v=DMARC1; p=none; adkim=relaxed; aspf=Strict; t=yes", "v=DMARC1; p=none; adkim=r; aspf=s; t=y"},
		{"v=DMARC1; p=none; fo=0:1:d:s; ruf=mailto:a@example.com", "v=DMARC1; p=none; fo=1:d:s; ruf=mailto:a@example.com"},
		// What only a person can say.
		{"v=DMARC1; p=monitor", ""},
		{"v=DMARC1", ""},
		{"v=DMARC1; rua=mailto:a@example.com", ""},
		{"v=DMARC1; p=none; p=reject", ""},
		{"v=DMARC1; p=none; adkim=lax", ""},
		{"v=DMARC1; p=none; rua=postmaster", ""},
		{"v=DMARC2; p=none", ""},
		{"v=spf1 -all", ""},
		{"sp=none; foo", ""},
		// Sound already.
		{"v=DMARC1; p=none", ""},
		{strings.Repeat(" ", 5000) + "v=DMARC1; p=none", ""},
	} {
		got, ok := dmarc.Repair(c.text)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("Repair(%q) = %q, %v; want %q", c.text, got, ok, c.want)
		}
	}
}

func TestAligned(t *testing.T) {
	same := func(same, known bool) func(a, b string) (bool, bool) {
		return func(a, b string) (bool, bool) { return same, known }
	}
	never := func(a, b string) (bool, bool) { t.Error("asked without need"); return false, false }
	for _, c := range []struct {
		a, b string
		mode dmarc.Mode
		org  func(a, b string) (bool, bool)
		want dmarc.Alignment
	}{
		{"example.com", "example.com", dmarc.Strict, never, dmarc.AlignedStrict},
		{"example.com", "example.com", dmarc.Relaxed, never, dmarc.AlignedStrict},
		{"example.com", "a.example.com", dmarc.Strict, never, dmarc.NotAligned},
		{"example.com", "a.example.com", dmarc.Relaxed, same(true, true), dmarc.AlignedRelaxed},
		{"example.com", "example.net", dmarc.Relaxed, same(false, true), dmarc.NotAligned},
		{"example.com", "example.net", dmarc.Relaxed, same(false, false), dmarc.Undetermined},
		{"example.com", "example.net", dmarc.Relaxed, same(true, false), dmarc.Undetermined},
	} {
		if got := dmarc.Aligned(c.a, c.b, c.mode, c.org); got != c.want {
			t.Errorf("Aligned(%s, %s, %c) = %s, want %s", c.a, c.b, c.mode, got, c.want)
		}
	}
}

func TestConsent(t *testing.T) {
	// The example of RFC 9990.
	if name, ok := dmarc.ReportName("blue.example.com", "red.example.net"); name != "blue.example.com._report._dmarc.red.example.net" || !ok {
		t.Error(name, ok)
	}
	long := strings.Repeat("a.", 90) + "com"
	if _, ok := dmarc.ReportName(long, long); ok {
		t.Error("a name of over 253 characters")
	}
	for _, c := range []struct {
		texts []string
		want  dmarc.Consent
	}{
		{nil, dmarc.NoConsent},
		{[]string{"v=DMARC1"}, dmarc.Consents},
		{[]string{"v=DMARC1;"}, dmarc.Consents},
		{[]string{"v=dmarc1"}, dmarc.NoConsent},
		{[]string{"v=spf1 -all"}, dmarc.NoConsent},
		{[]string{"token", "v=DMARC1"}, dmarc.Consents},
		{[]string{"v=DMARC1", "v=DMARC1;"}, dmarc.Consents}, // several are fine here
		{[]string{"v=DMARC1; rua=mailto:x@red.example.net"}, dmarc.Consents},
		{[]string{"v=DMARC1; rua=mailto:x@other.example"}, dmarc.Diverts},
		{[]string{"v=DMARC1; rua=nonsense"}, dmarc.Consents}, // an invalid rua is ignored
	} {
		if got := dmarc.ReadConsent(c.texts, "red.example.net"); got != c.want {
			t.Errorf("%q: %d, want %d", c.texts, got, c.want)
		}
	}
}

func TestIncludes(t *testing.T) {
	p := dmarc.Parse
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"v=DMARC1; p=none; rua=mailto:a@example.com", "v=DMARC1; p=none", true},
		{"v=DMARC1; p=none", "v=DMARC1; p=none; rua=mailto:a@example.com", false},
		{"v=DMARC1; p=none", "v=DMARC1;p=none;", true},
		{"v=DMARC1; p=none", "v=DMARC1; p=reject", false},
	} {
		if got := dmarc.Includes(p(c.a), p(c.b)); got != c.want {
			t.Errorf("%q includes %q: %v", c.a, c.b, got)
		}
	}
}

// Whatever the text: spans lie inside it, the version is judged as package
// orgdomain judges it, and a repair is sound and final.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"v=DMARC1; p=reject; sp=none; rua=mailto:a@example.com!10m,https://x/; pct=50; fo=1:d; psd=y; t=y",
		"\u201cv=DMARC1; p=\u201dreject", `v=DMARC1\; p=none`, "p=none; v=dmarc1 ;;", "v=DMARC1;psd=n;rua=a@b.c d@e.f", "v:DMARC1 p:none", "0\xbc\xbcvDMARC1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := dmarc.Parse(text)
		notes := r.Notes
		if r.Fatal != nil {
			notes = append(notes, *r.Fatal)
		}
		for _, n := range notes {
			if n.Start < 0 || n.End > len(text) || n.Start > n.End || text[n.Start:n.End] != n.Text {
				t.Fatalf("note %+v", n)
			}
		}
		for _, tag := range r.Tags {
			if text[tag.ValueAt.Start:tag.ValueAt.End] != tag.Value || strings.ToLower(text[tag.NameAt.Start:tag.NameAt.End]) != tag.Name {
				t.Fatalf("tag %+v", tag)
			}
		}
		psd, ok := orgdomain.Read(text)
		if ok != (r.Fatal == nil) || ok && byte(psd) != r.PSD {
			t.Fatalf("orgdomain reads %c, %v; dmarc %c, %v", psd, ok, r.PSD, r.Fatal)
		}
		for _, w := range []dmarc.Whom{dmarc.Self, dmarc.Subdomain, dmarc.NonExistent} {
			v := r.Evaluate(w)
			if (v.Policy == "") != (v.Applied == "") || v.Applied.Strength() > v.Policy.Strength() || r.Fatal != nil && v.Policy != "" {
				t.Fatalf("verdict %+v", v)
			}
		}
		if fixed, ok := dmarc.Repair(text); ok {
			g := dmarc.Parse(fixed)
			if g.Fatal != nil || len(g.Problems()) > 0 {
				t.Fatalf("repaired to %q", fixed)
			}
			if again, ok := dmarc.Repair(fixed); ok {
				t.Fatalf("repaired to %q and again to %q", fixed, again)
			}
		}
	})
}
