package checks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/todoku-mail/todoku/checks"
	"github.com/todoku-mail/todoku/pkg/checktest"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/engine"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/message"
	"github.com/todoku-mail/todoku/pkg/render"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
)

// mailChecks are the checks that are about a message.
func mailChecks() []*diag.Check {
	return slices.DeleteFunc(slices.Clone(checks.All), func(c *diag.Check) bool { return c.Needs.Input != diag.MailInput })
}

// hostileReport is what the checks of a message say of data, with a DNS in which
// there is nothing.
func hostileReport(t testing.TB, data []byte) *diag.Report {
	t.Helper()
	m, err := message.Read(bytes.NewReader(data), "mail.eml", message.Options{TempDir: t.TempDir()})
	if err != nil {
		if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
			t.Errorf("the error is not one clean line: %q", err)
		}
		return nil
	}
	defer m.Close()
	nothing := dnsq.ResolverFunc(func(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
		return &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain, Source: dnsq.SourceDNS}, nil
	})
	target := facts.MailTarget(m, facts.MailOptions{ReceiverHosts: []string{"customer.example"}, Today: checktest.Clock})
	return engine.Run(t.Context(), config(mailChecks(), dnsq.NewCache(t.Context(), nothing)), target)
}

// hold holds what is true of the report on any mail: no check crashes or is silent,
// evidence is within its text, and nothing that acts on a reader's screen leaves
// in any format.
func hold(t testing.TB, rep *diag.Report, all bool) {
	t.Helper()
	for i := range rep.Checks {
		c := &rep.Checks[i]
		if c.Panic != "" {
			t.Fatalf("%s crashed: %s", c.Check.Name, c.Panic)
		}
		if len(c.Findings) == 0 || len(c.Findings) > 150 {
			t.Errorf("%s: %d findings", c.Check.Name, len(c.Findings))
		}
		for _, f := range c.Findings {
			if len(f.Evidence) > 60 {
				t.Errorf("%s: %d pieces of evidence", f.Kind.ID, len(f.Evidence))
			}
			for _, e := range f.Evidence {
				if e.Offset < 0 || e.Length < 0 || e.Offset+e.Length > len(e.Text) || len(e.Text) > 64<<10 {
					t.Errorf("%s: octets %d+%d of %d", f.Kind.ID, e.Offset, e.Length, len(e.Text))
				}
			}
		}
	}
	langs := i18n.Languages
	if !all {
		langs = langs[:1]
	}
	for _, lang := range langs {
		cat, err := i18n.Load(checks.All, lang)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range render.Formats {
			if !all && f.Name != "text" && f.Name != "json" && f.Name != "html" {
				continue
			}
			var b bytes.Buffer
			if err := f.Write(&b, &diag.Run{Reports: []*diag.Report{rep}, Started: checktest.Clock}, cat, render.Options{Width: 80}); err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			for _, r := range b.String() {
				if r != '\n' && r != '\u00a0' && sanitize.Unsafe(r) {
					t.Fatalf("%s: %U reached the reader", f.Name, r)
				}
			}
			if f.Name == "html" && strings.Contains(strings.ToLower(b.String()), "<script") {
				t.Error("html: a script")
			}
			if f.Name == "json" && !json.Valid(b.Bytes()) {
				t.Error("json: it is none")
			}
			if f.Name != "json" && f.Name != "ndjson" && b.Len() > 2<<20 {
				t.Errorf("%s: %d bytes", f.Name, b.Len())
			}
		}
	}
}

// Mail that is made to break programs: too much of everything, and every header
// an injection into every format.
func TestHostileMail(t *testing.T) {
	inject := "\x1b[2J\x1b]0;owned\x07\u202e<script>alert(1)</script>]]>`${x}`|::error::x##[group]y\\n%0A&amp;\u2028\xff\xfe"
	var all strings.Builder
	for _, name := range []string{"From", "Sender", "Reply-To", "To", "Cc", "Subject", "Date", "Message-ID", "Return-Path", "Received", "MIME-Version",
		"Content-Type", "Content-Disposition", "Content-Transfer-Encoding", "DKIM-Signature", "ARC-Seal", "Authentication-Results", "List-Unsubscribe", "List-Id", "X-Mailer"} {
		fmt.Fprintf(&all, "%s: %s <a%s@shop.example> [192.0.2.1] by mx.customer.example; name=\"%s.exe\"\r\n", name, inject, inject, inject)
	}
	received := "Received: from a (a [192.0.2.1])\r\n\tby mx.customer.example (Postfix) with ESMTP; Mon, 2 Nov 2026 10:00:00 +0900\r\n"
	base := "From: a@shop.example\r\nTo: b@customer.example\r\nDate: Mon, 2 Nov 2026 10:00:00 +0900\r\nMessage-ID: <1@shop.example>\r\n"
	deep := base
	for i := range 200 {
		deep += fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	for name, mail := range map[string]string{
		"injection":        all.String() + "\r\nbody " + inject + "\r\n",
		"received":         strings.Repeat(received, 20_000) + base + "\r\nx\r\n",
		"fields":           strings.Repeat("X-A: b\r\n", 49_000) + base + "\r\nx\r\n",
		"same fields":      strings.Repeat(base, 5_000) + "\r\nx\r\n",
		"recipients":       base + "Cc: " + strings.Repeat("a@b.example,", 100_000) + "\r\n\r\nx\r\n",
		"bad recipients":   base + "Cc: " + strings.Repeat("<<@,", 100_000) + "\r\n\r\nx\r\n",
		"comments":         base + "Cc: " + strings.Repeat("(", 200_000) + "\r\n\r\nx\r\n",
		"words":            base + "Subject: " + strings.Repeat("=?UTF-8?B?44GC?= ", 20_000) + "\r\n\r\nx\r\n",
		"bad words":        base + "Subject: " + strings.Repeat("=?x?B?=?", 50_000) + "\r\n\r\nx\r\n",
		"folding":          base + "X: a\r\n" + strings.Repeat(" \r\n", 100_000) + "\r\nx\r\n",
		"signatures":       strings.Repeat("DKIM-Signature: v=1; a=rsa-sha256; d=shop.example; s=s; h=from; bh=AA; b=AA\r\n", 10_000) + base + "\r\nx\r\n",
		"parts in parts":   deep,
		"parts":            base + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\nContent-Disposition: attachment; filename=a.exe\r\n\r\nx\r\n", 10_000),
		"one long line":    base + "\r\n" + strings.Repeat("x", 5<<20),
		"lone CR":          base + "\r\n" + strings.Repeat("\r", 1<<20),
		"NUL":              base + "X: \x00\r\n\r\n" + strings.Repeat("\x00", 1<<20),
		"no end":           "From: a@shop.example",
		"colon alone":      "From:\r\nReceived:\r\nDate:\r\nMessage-ID:\r\nReply-To:\r\nContent-Type:\r\n",
		"a name of dots":   "From: \"a@b.example\" <a@" + strings.Repeat("a.", 2000) + "example>\r\nReply-To: b@" + strings.Repeat("b", 5000) + ".example\r\n\r\nx",
		"times":            "Received: by mx.customer.example; Fri, 31 Dec 9999 23:59:59 -9959\r\nReceived: by a; 1 Jan 1 00:00:00 +9959\r\n" + base + "\r\nx\r\n",
		"a year far ahead": strings.Replace(base, "2026", "9999", 1) + "\r\nx\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			rep := hostileReport(t, []byte(mail))
			if rep == nil {
				t.Fatal("the mail was not read")
			}
			hold(t, rep, true)
			t.Logf("%d KiB in %v", len(mail)>>10, time.Since(begin))
		})
	}
}

// Whatever a mail holds: see hold. The seeds are the mails of all fixtures.
func FuzzMail(f *testing.F) {
	for _, c := range mailChecks() {
		for _, path := range checktest.Files(f, filepath.Join(c.Name, "testdata")) {
			ar, err := txtar.ParseFile(path)
			if err != nil {
				f.Fatal(err)
			}
			for _, file := range ar.Files {
				if file.Name == "message" {
					f.Add(file.Data)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if rep := hostileReport(t, data); rep != nil {
			hold(t, rep, false)
		}
	})
}
