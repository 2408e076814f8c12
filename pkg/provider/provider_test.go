package provider

import (
	"slices"
	"strings"
	"testing"
)

// Each row has a source and a date, parses, and stands once: parse refuses the
// rest, which the second half holds.
func TestData(t *testing.T) {
	facts, err := parse(data)
	if err != nil {
		t.Fatal(err)
	}
	count := map[Kind]int{}
	shown := map[Kind]int{}
	for _, f := range facts {
		count[f.Kind]++
		if f.Shown() {
			shown[f.Kind]++
			if strings.Contains(f.Source, "not read") {
				t.Errorf("%s %s: shown as a fact, but its source was not read", f.Kind, f.Value)
			}
		}
	}
	for _, k := range kinds {
		if count[k] < 9 {
			t.Errorf("%s: %d rows", k, count[k])
		}
	}
	for _, k := range []Kind{SPFInclude, DKIMTarget, Shared} {
		if shown[k] == 0 {
			t.Errorf("%s: nothing may be shown", k)
		}
	}
	row := "selector\tgoogle\tGoogle\t*\talways\tpage\t2026-11\tofficial"
	if got, err := parse(header + "\n" + row + "\n"); err != nil || len(got) != 1 || !got[0].Always || !got[0].Shown() {
		t.Fatalf("%v %v", got, err)
	}
	for _, bad := range []string{
		strings.Replace(row, "selector", "selectors", 1),
		strings.Replace(row, "google", "Google", 1),
		strings.Replace(row, "google", "", 1),
		strings.Replace(row, "google", "goo gle", 1),
		strings.Replace(row, "\tGoogle\t", "\t\t", 1),
		strings.Replace(row, "*", "all", 1),
		strings.Replace(row, "always", "-", 1),
		strings.Replace(row, "page", " ", 1),
		strings.Replace(row, "2026-11", "2026", 1),
		strings.Replace(row, "2026-11", "2026-13", 1),
		strings.Replace(row, "official", "sure", 1),
		strings.Replace(row, "\tofficial", "", 1),
		row + "\n" + row,
		strings.Replace(strings.Replace(row, "selector", "mx-suffix", 1), "always", "-", 1), // a top-level domain
		"",
	} {
		if _, err := parse(header + "\n" + bad + "\n"); err == nil {
			t.Errorf("accepted: %q", bad)
		}
	}
	if _, err := parse("kind\n"); err == nil {
		t.Error("accepted another header")
	}
}

// What is asked of every domain stays bounded.
func TestWellKnown(t *testing.T) {
	w := WellKnown()
	if len(w) < 40 || len(w) > 64 {
		t.Errorf("%d well-known selectors", len(w))
	}
	for _, s := range []string{"google", "selector1", "selector2", "default", "s1", "k1"} {
		if !slices.Contains(w, s) {
			t.Errorf("%s is not well-known", s)
		}
	}
	seen := map[string]bool{}
	for _, s := range w {
		if seen[s] {
			t.Errorf("%s twice", s)
		}
		seen[s] = true
	}
	// A date in a selector is that of one customer: nobody can guess it.
	for _, f := range Facts() {
		if f.Kind == Selector && strings.HasPrefix(f.Value, "rs20") {
			t.Errorf("%s cannot be guessed", f.Value)
		}
	}
}

func TestFind(t *testing.T) {
	for _, c := range []struct {
		find func(string) (Fact, bool)
		name string
		want string // provider, "" if unknown
	}{
		{BySPFInclude, "_spf.google.com", "Google Workspace"},
		{BySPFInclude, "_SPF.Google.com.", "Google Workspace"},
		{BySPFInclude, "spf.protection.outlook.com", "Microsoft 365"},
		{BySPFInclude, "spf.acme.smtps.jp", "Customers Mail Cloud"},
		{BySPFInclude, "google.com", ""},
		{BySPFInclude, "notsendgrid.net", ""},
		{ByTarget, "s1.domainkey.u123.wl456.sendgrid.net", "SendGrid"},
		{ByTarget, "selector1-example-com._domainkey.acme.onmicrosoft.com", "Microsoft 365"},
		{ByTarget, "selector1-example-com._domainkey.acme.n-v1.dkim.mail.microsoft", "Microsoft 365"},
		{ByMX, "aspmx.l.google.com", "Google Workspace"},
		{ByMX, "example-com.mail.protection.outlook.com", "Microsoft 365"},
		{ByMX, "alt1.gmail-smtp-in.l.google.com", "Gmail"},
		{ByReturnPath, "eu-west-1.amazonses.com", "Amazon SES"},
		{SharedDomain, "www1234.sakura.ne.jp", "Sakura Rental Server"},
		{SharedDomain, "sakura.ne.jp", "Sakura Rental Server"},
		{SharedDomain, "mysakura.ne.jp", ""},
		{SharedDomain, "ne.jp", ""},
		{SharedDomain, ".", ""},
		{SharedDomain, "", ""},
	} {
		f, ok := c.find(c.name)
		if ok != (c.want != "") || f.Provider != c.want {
			t.Errorf("%s: %+v, want %q", c.name, f, c.want)
		}
	}
	// A provider that includes or MX hosts lead to has the same name where its
	// selectors are.
	for _, c := range []struct{ include, selector string }{
		{"_spf.google.com", "google"}, {"spf.protection.outlook.com", "selector1"}, {"spf.sender.xserver.jp", "default"},
		{"_spf.conoha.ne.jp", "default"}, {"spf.mailjet.com", "mailjet"}, {"spf.brevo.com", "brevo1"}, {"_spf.sparkpostmail.com", "scph0819"},
		{"spf.mtasv.net", "pm"}, {"sendgrid.net", "m1"}, {"mailgun.org", "pic"}, {"spf.besender.jp", "be2026"}, {"mail.zendesk.com", "zendesk1"},
		{"_spf.protonmail.ch", "protonmail"}, {"icloud.com", "sig1"}, {"spf.makeshop.jp", "shop01"},
	} {
		f, _ := BySPFInclude(c.include)
		if !slices.Contains(Selectors(f.Provider), c.selector) {
			t.Errorf("%s is %q, whose selectors are %v, not %s", c.include, f.Provider, Selectors(f.Provider), c.selector)
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add("_spf.google.com")
	f.Add(`a\.b..sakura.ne.jp.`)
	f.Fuzz(func(t *testing.T, s string) {
		for _, find := range []func(string) (Fact, bool){BySPFInclude, ByTarget, ByMX, ByReturnPath, SharedDomain} {
			if fact, ok := find(s); ok && !strings.HasSuffix(strings.TrimSuffix(strings.ToLower(s), "."), fact.Value) {
				t.Fatalf("%q is %+v", s, fact)
			}
		}
	})
}
