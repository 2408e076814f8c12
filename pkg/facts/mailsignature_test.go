package facts_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dkim/dkimtest"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/message"
)

var today = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

func mailOf(t *testing.T, text string) *facts.Mail {
	t.Helper()
	m, err := message.Read(strings.NewReader(text), "mail.eml", message.Options{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	target := facts.MailTarget(m, facts.MailOptions{Today: today})
	return facts.MailOf(&target)
}

// The search for what was changed is dear: the first few are looked into, and not
// those whose fault is known without it.
func TestMailDiagnosisIsBounded(t *testing.T) {
	key := dkimtest.RSA("shop", 1024)
	zone := dkimtest.Zone{}
	mail := "From: a@shop.example\r\nSubject: x\r\n\r\nOne.\r\n"
	for i := range 6 {
		zone[fmt.Sprintf("s%d._domainkey.shop.example", i)] = dkimtest.Record(key)
		mail = dkimtest.Signer{Key: key, Domain: "shop.example", Selector: fmt.Sprint("s", i), Body: dkim.Relaxed}.Sign(mail)
	}
	mail = strings.Replace(mail, "v=1", "v=2", 1) + "Two.\r\n"
	m := mailOf(t, mail)
	w := diag.NewWorld(t.Context(), zone, func() time.Time { return today })
	why, err := facts.MailDiagnosis.Of(t.Context(), w, m)
	if err != nil {
		t.Fatal(err)
	}
	var got []bool
	for _, d := range why {
		got = append(got, d != nil)
	}
	if s := fmt.Sprint(got); s != "[false true true true false false]" {
		t.Errorf("looked into: %s", s)
	}
	if d := why[1]; len(d.Changes) != 1 || d.Changes[0].Kind != dkim.FooterAdded || d.Lines[0] != 1+strings.Count(mail[:strings.Index(mail, "Two.")], "\n") {
		t.Errorf("%+v, lines %v", d.Diagnosis, d.Lines)
	}
}

// A large mail gets no second opinion, and a signature with x= none that depends on
// the day of the run.
func TestMailSecondOpinion(t *testing.T) {
	key := dkimtest.Ed25519("shop")
	zone := dkimtest.Zone{"s1._domainkey.shop.example": dkimtest.Record(key)}
	sign := func(expires int64, body string) string {
		return dkimtest.Signer{Key: key, Domain: "shop.example", Selector: "s1", Expires: expires}.Sign("From: a@shop.example\r\nDate: Mon, 2 Nov 2020 10:00:00 +0900\r\n\r\n" + body)
	}
	for name, c := range map[string]struct {
		mail string
		want string
	}{
		"small":   {sign(0, "One.\r\n"), "pass"},
		"large":   {sign(0, strings.Repeat("One.\r\n", 200_000)), ""},
		"expired": {sign(1604300000, "One.\r\n"), ""},
	} {
		w := diag.NewWorld(t.Context(), zone, func() time.Time { return today })
		o, err := facts.MailSecondOpinion.Of(t.Context(), w, mailOf(t, c.mail))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if v := o.Verdicts[0]; v != nil {
			got = string(v.Verdict)
		}
		if got != c.want || len(o.Differences) != 0 {
			t.Errorf("%s: %q, want %q; differences %v", name, got, c.want, o.Differences)
		}
	}
}

// The DNS of today stands for that of then for a week, and no longer.
func TestKeyGone(t *testing.T) {
	key := dkimtest.Ed25519("shop")
	for _, c := range []struct {
		age  time.Duration
		zone dkimtest.Zone
		edit func(string) string
		want string
	}{
		{6 * 24 * time.Hour, dkimtest.Zone{}, nil, ""},
		{8 * 24 * time.Hour, dkimtest.Zone{}, nil, "key-missing"},
		{8 * 24 * time.Hour, dkimtest.Zone{"s1._domainkey.shop.example": "v=DKIM1; p="}, nil, "key-revoked"},
		{8 * 24 * time.Hour, dkimtest.Zone{"s1._domainkey.shop.example": "v=DKIM1; p=!"}, nil, "key-unusable"},
		{8 * 24 * time.Hour, dkimtest.Zone{"s1._domainkey.shop.example": dkimtest.Record(dkimtest.Ed25519("other"))}, nil, "key-other"},
		{8 * 24 * time.Hour, dkimtest.Zone{"s1._domainkey.shop.example": dkimtest.Record(key)}, nil, ""},
		{8 * 24 * time.Hour, dkimtest.Zone{"s1._domainkey.shop.example": "!timeout"}, nil, ""},
		{8 * 24 * time.Hour, dkimtest.Zone{}, func(s string) string { return s + "Two.\r\n" }, ""},
		{-8 * 24 * time.Hour, dkimtest.Zone{}, nil, ""},
	} {
		mail := dkimtest.Signer{Key: key, Domain: "shop.example", Selector: "s1"}.Sign("From: a@shop.example\r\nDate: " + today.Add(-c.age).Format(time.RFC1123Z) + "\r\n\r\nOne.\r\n")
		if c.edit != nil {
			mail = c.edit(mail)
		}
		w := diag.NewWorld(t.Context(), dnsq.Resolver(c.zone), func() time.Time { return today })
		auth, err := facts.MailSignatures.Of(t.Context(), w, mailOf(t, mail))
		if err != nil {
			t.Fatal(err)
		}
		if auth.Gone[0] != c.want {
			t.Errorf("%v old, %v: %q, want %q", c.age, c.zone, auth.Gone[0], c.want)
		}
	}
}
