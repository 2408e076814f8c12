package claims_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/checks/claims"
	"github.com/todoku-mail/todoku/pkg/checktest"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/engine"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/message"
)

func TestFixtures(t *testing.T) { checktest.Run(t, claims.Check, "testdata") }

const border = "Received: from a (a.shop.example [192.0.2.25])\n\tby mx.customer.example with ESMTP; Sun, 22 Nov 2026 17:00:00 +0900\n"

// judge runs the check on a mail; no name exists. It returns how many questions
// were asked.
func judge(t testing.TB, mail string) (*diag.CheckReport, int) {
	t.Helper()
	m, err := message.Read(strings.NewReader(mail), "mail.eml", message.Options{})
	if err != nil {
		t.Skip(err)
	}
	defer m.Close()
	nowhere := dnsq.ResolverFunc(func(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
		return &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain}, nil
	})
	tg := facts.MailTarget(m, facts.MailOptions{ReceiverHosts: []string{"customer.example"}, Today: checktest.Clock})
	r := engine.Run(t.Context(), engine.Config{Checks: []*diag.Check{claims.Check}, Resolver: nowhere}, tg)
	if p := r.Checks[0].Panic; p != "" {
		t.Fatalf("%s\n%s", p, mail)
	}
	return &r.Checks[0], r.Queries
}

// A mail can hold any number of fields, in anybody's name; what is read, asked and
// said of them is bounded.
func TestManyFields(t *testing.T) {
	var one strings.Builder
	one.WriteString("Authentication-Results: mx.customer.example")
	for i := range 300 {
		fmt.Fprintf(&one, ";\n\tspf=pass smtp.mailfrom=d%d.example; dkim=pass header.d=d%[1]d.example", i)
	}
	many := strings.Repeat(one.String()+"\n", 100)
	for name, mail := range map[string]string{
		"above": many + border + "From: a@shop.example\n\nx",
		"below": border + "Received: from b by c; Sun, 22 Nov 2026 17:00:00 +0900\n" + many + "From: a@shop.example\n\nx",
		"beside, each broken": border + strings.Repeat("Authentication-Results: mx.customer.example; spf=pass (\n", 5000) +
			"Return-Path: <a@shop.example>\nFrom: a@shop.example\n\nx",
	} {
		r, asked := judge(t, mail)
		d := r.Data.(*claims.Data)
		if len(r.Findings) == 0 || len(r.Findings) > 24 || len(d.Fields) != 50 || d.More < 50 || asked > 12 {
			t.Errorf("%s: %d findings, %d fields and %d more, %d questions", name, len(r.Findings), len(d.Fields), d.More, asked)
		}
		for _, f := range d.Fields {
			if len(f.Results) > 40 {
				t.Errorf("%s: %d results of one field", name, len(f.Results))
			}
		}
	}
}

// FuzzClaims: no field makes the check crash, and none that came with the mail makes
// it agree with anything.
func FuzzClaims(f *testing.F) {
	for _, s := range []string{"Authentication-Results: mx.customer.example; spf=pass smtp.mailfrom=a@shop.example; dkim=pass header.d=shop.example header.b=AA; dmarc=pass header.from=shop.example",
		"Received-SPF: pass (x) client-ip=192.0.2.1; receiver=mx.customer.example", "ARC-Authentication-Results: i=1; mx.customer.example; arc=none", "Authentication-Results: ;=(\"", "Received: from"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, field string, above bool) {
		rest := "DKIM-Signature: v=1; d=shop.example; s=a; b=AAAA; bh=; h=from\nFrom: a@shop.example\n\nx"
		if above {
			judge(t, "Return-Path: <a@shop.example>\n"+field+"\n"+border+rest)
			return
		}
		r, _ := judge(t, border+"Received: from b by c; Sun, 22 Nov 2026 17:00:00 +0900\n"+field+"\n"+rest)
		if d := r.Data.(*claims.Data); d.By != "" || d.Agrees != nil {
			t.Errorf("a field from outside is taken for the receiver's: %+v", d)
		}
	})
}
