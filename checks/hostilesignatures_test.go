package checks_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/todoku-mail/todoku/checks"
	"github.com/todoku-mail/todoku/checks/arc"
	"github.com/todoku-mail/todoku/checks/signature"
	"github.com/todoku-mail/todoku/pkg/arc/arctest"
	"github.com/todoku-mail/todoku/pkg/checktest"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dkim/dkimtest"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/engine"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/message"
	"github.com/todoku-mail/todoku/pkg/render"
)

// Signed mail that is made to break programs: too many signatures and sets, and
// injections wherever a signature, a change of the mail, a key record or a chain
// brings text of strangers into a report.
func TestHostileSignatures(t *testing.T) {
	inject := "\x1b[2J\x1b]0;owned\x07\u202e<script>alert(1)</script>]]>`${x}`|::error::x##[group]y%0A&amp;\u2028\xff\xfe"
	base := "From: Shop <a@shop.example>\r\nTo: b@customer.example\r\nSubject: Your order\r\nDate: Mon, 2 Nov 2026 10:00:00 +0900\r\nMessage-ID: <1@shop.example>\r\n\r\nThank you.\r\n"
	key := dkimtest.RSA("shop", 1024)
	signer := dkimtest.Signer{Key: key, Domain: "shop.example", Selector: "s1", Header: dkim.Relaxed, Body: dkim.Relaxed}
	whole := signer
	whole.Length = dkimtest.Whole
	copies := signer
	copies.Copy = true
	sealer := arctest.Sealer{Key: dkimtest.Ed25519("fwd"), Domain: "fwd.example", Selector: "arc", Results: "mx" + inject + "; dkim=pass header.d=" + inject + "; spf=" + inject + "; x" + inject}
	zone := dkimtest.Zone{
		"s1._domainkey.shop.example": dkimtest.Record(key),
		"s2._domainkey.shop.example": "v=DKIM1; k=rsa; n=" + inject + "; p=!" + inject,
		"s3._domainkey.shop.example": inject + "; p=",
		"arc._domainkey.fwd.example": dkimtest.Record(sealer.Key),
	}
	field := "DKIM-Signature: v=1; a=rsa-sha256; d=shop.example; s=%s; h=from:" + strings.ReplaceAll(inject, ":", "") + "; bh=AAAA; b=AAAA; x%s=%s; i=%s@shop.example\r\n"
	many := func(n int, line string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, line, i)
		}
		return b.String()
	}
	footer := "___________\r\n" + strings.Repeat(inject+"\r\n", 40)
	for name, mail := range map[string]string{
		"footer":           "List-Id: " + inject + "\r\n" + signer.Sign(base) + footer,
		"unknown change":   strings.Replace(signer.Sign(base), "Thank you", inject, 1),
		"subject":          "List-Id: <x>\r\n" + strings.Replace(signer.Sign(base), "Subject: ", "Subject: ["+inject+"] ", 1),
		"subject in words": "List-Id: <x>\r\n" + strings.Replace(signer.Sign(base), "Subject: ", "Subject: =?UTF-8?Q?[=1B[2J=E2=80=AE]?= ", 1),
		"from":             "List-Id: <x>\r\nReply-To: Shop <a@shop.example>\r\n" + strings.Replace(signer.Sign(base), "From: Shop <a@shop.example>", "From: "+inject+" <l@lists.example>", 1),
		"copied":           strings.Replace(copies.Sign(strings.Replace(base, "Your order", inject, 1)), "Subject: "+inject, "Subject: other", 1),
		"appended":         whole.Sign(base) + footer,
		"tags":             fmt.Sprintf(field, "s1", inject, inject, inject) + base,
		"key record":       strings.Replace(signer.Sign(base), "s=s1", "s=s2", 1),
		"no key record":    strings.Replace(signer.Sign(base), "s=s1", "s=s3", 1),
		"selector":         strings.Replace(signer.Sign(base), "s=s1", "s="+inject, 1),
		"domain":           strings.Replace(signer.Sign(base), "d=shop.example", "d="+inject, 1),
		"chain":            sealer.Seal(base),
		"chain, changed":   sealer.Seal(base) + footer,
		"chain, no number": strings.Replace(sealer.Seal(base), "i=1", "i="+inject, 1),
		"10,000 selectors": many(10_000, "DKIM-Signature: v=1; a=rsa-sha256; d=shop.example; s=s%d; h=from; bh=AAAA; b=AAAA\r\n") + base,
		"10,000 domains":   many(10_000, "DKIM-Signature: v=1; a=rsa-sha256; d=d%d.example; s=s1; h=from; bh=AAAA; b=AAAA\r\n") + base,
		"10,000 the same":  strings.Repeat(signer.SignField(base), 10_000) + base + footer,
		"49 sets":          chain(sealer, base, 49),
		"10,000 seals":     many(10_000, "ARC-Seal: i=%d; a=rsa-sha256; cv=none; d=fwd.example; s=arc; b=AAAA\r\n") + base,
		"100,000 names":    "DKIM-Signature: v=1; a=rsa-sha256; d=shop.example; s=s1; h=from" + strings.Repeat(":x", 100_000) + "; bh=AAAA; b=AAAA\r\n" + base,
	} {
		t.Run(name, func(t *testing.T) {
			m, err := message.Read(strings.NewReader(mail), "mail.eml", message.Options{TempDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			var asked atomic.Int32
			counted := dnsq.ResolverFunc(func(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
				asked.Add(1)
				return zone.Ask(ctx, q)
			})
			target := facts.MailTarget(m, facts.MailOptions{ReceiverHosts: []string{"customer.example"}, Today: checktest.Clock})
			list := []*diag.Check{signature.Check, arc.Check}
			begin := time.Now()
			rep := engine.Run(t.Context(), config(list, dnsq.NewCache(t.Context(), counted)), target)
			t.Logf("%d KiB in %v, %d questions", len(mail)>>10, time.Since(begin), asked.Load())
			// 20 signatures have a key each, and their domains two steps to the top.
			if asked.Load() > 80 {
				t.Errorf("%d questions", asked.Load())
			}
			hold(t, rep, true)
			for i := range rep.Checks {
				c := &rep.Checks[i]
				if c.Check == signature.Check && strings.HasPrefix(name, "10,000 ") && !strings.Contains(name, "seals") {
					if d := c.Data.(signature.Data); d.Skipped != 10_000-dkim.DefaultMax || len(d.Signatures) != dkim.DefaultMax || !has(c, "SIGNATURE-TOO-MANY") {
						t.Errorf("%d looked at, %d not, and it is not said: %v", len(d.Signatures), d.Skipped, c.Findings)
					}
				}
			}
		})
	}
}

func has(c *diag.CheckReport, id string) bool {
	for i := range c.Findings {
		if c.Findings[i].Kind.ID == id {
			return true
		}
	}
	return false
}

func chain(s arctest.Sealer, mail string, n int) string {
	for range n {
		mail = s.Seal(mail)
	}
	return mail
}

// Text of strangers stands in data as it is, and in reports so that nothing acts.
func TestSignatureDataIsClean(t *testing.T) {
	key := dkimtest.Ed25519("shop")
	s := dkimtest.Signer{Key: key, Domain: "shop.example", Selector: "s1", Header: dkim.Relaxed, Body: dkim.Relaxed}
	mail := s.Sign("From: a@shop.example\r\n\r\nx\r\n") + "\x1b[31m\xff\r\n"
	m, err := message.Read(strings.NewReader(mail), "mail.eml", message.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	zone := dkimtest.Zone{"s1._domainkey.shop.example": dkimtest.Record(key)}
	rep := engine.Run(t.Context(), config([]*diag.Check{signature.Check}, zone), facts.MailTarget(m, facts.MailOptions{Today: checktest.Clock}))
	cat, err := i18n.Load(checks.All, "en")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := render.JSON(&b, rep, cat, render.Options{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), `"is": "\u001b[31m�`) && !strings.Contains(b.String(), `"is":"\u001b[31m�`) {
		t.Errorf("the added text is not in the data, escaped: %s", b.String())
	}
}
