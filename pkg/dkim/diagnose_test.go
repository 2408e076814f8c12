package dkim_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"mime/quotedprintable"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dkim/dkimtest"
)

// diagnose verifies a message and diagnoses its first signature.
func diagnose(t testing.TB, z dkimtest.Zone, msg string) (*dkim.Diagnosis, *dkim.Verification) {
	t.Helper()
	br := bufio.NewReader(strings.NewReader(msg))
	fields, _, err := dkim.ReadHeader(br)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := io.ReadAll(br)
	h := dkim.NewHeader(fields)
	var body dkim.Body
	s := (&dkim.Verifier{Resolver: z, Now: time.Unix(1770340000, 0)}).Start(h, &body)
	body.Write(raw)
	body.Close()
	v := s.Finish(context.Background()).Signatures[0]
	d := dkim.Diagnose(v, h, bytes.NewReader(raw))
	for _, c := range d.Changes {
		if c.Offset >= 0 && c.Length > 0 && c.Is != "" && c.Field == "" && c.Kind != dkim.EncodingChanged && c.Kind != dkim.CharsetChanged {
			got := string(raw[c.Offset:][:min(int(c.Length), len(c.Is))])
			if !strings.HasPrefix(got, c.Is) {
				t.Errorf("%s: %q is not at %d", c.Kind, c.Is, c.Offset)
			}
		}
		if !slices.Contains(dkim.ChangeKinds, c.Kind) {
			t.Errorf("unknown kind %q", c.Kind)
		}
	}
	if !slices.Contains(dkim.Causes, d.Cause) {
		t.Errorf("unknown cause %q", d.Cause)
	}
	return d, v
}

// show is "cause: kind(field)!" with "!" for proven.
func show(d *dkim.Diagnosis) string {
	var out []string
	for _, c := range d.Changes {
		s := string(c.Kind)
		if c.Field != "" {
			s += "(" + c.Field + ")"
		}
		if c.Proven {
			s += "!"
		}
		out = append(out, s)
	}
	return string(d.Cause) + ": " + strings.Join(out, " ")
}

const multi = `From: Shop <shop@example.com>
To: list@lists.example.org
Subject: Your order
Date: Fri, 6 Feb 2026 10:00:00 +0900
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="b1"

This is a multi-part message.
--b1
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

注文ありがとうございます。
From now on it is yours = ours.
--b1
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: 8bit

<html><body>
<p>注文ありがとうございます。</p>
</body></html>
--b1--
`

const long = `From: Shop <shop@example.com>
Subject: long

`

func multipart() string {
	h, b, _ := strings.Cut(multi, "\n\n")
	return dkimtest.Message(h, b)
}

func qp(s string) string {
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	w.Write([]byte(s))
	w.Close()
	return dkimtest.Lines(b.String())
}

func b64Lines(s string) string {
	e := base64.StdEncoding.EncodeToString([]byte(s))
	out := ""
	for len(e) > 76 {
		out, e = out+e[:76]+"\r\n", e[76:]
	}
	return out + e + "\r\n"
}

// Each case is a message that is signed, changed as software in the way does
// it, and diagnosed. want is what comes out, for RSA and for Ed25519; field and
// text are looked for in the first change.
func TestDiagnose(t *testing.T) {
	replace := func(pairs ...string) func(string) string {
		return func(m string) string {
			for i := 0; i < len(pairs); i += 2 {
				if !strings.Contains(m, pairs[i]) {
					t.Fatalf("no %q in %q", pairs[i], m)
				}
				m = strings.Replace(m, pairs[i], pairs[i+1], 1)
			}
			return m
		}
	}
	body := func(f func(string) string) func(string) string {
		return func(m string) string {
			h, b, _ := strings.Cut(m, "\r\n\r\n")
			return h + "\r\n\r\n" + f(b)
		}
	}
	simple := dkimtest.Signer{Domain: "example.com"}
	relaxed := simple
	relaxed.Header, relaxed.Body = dkim.Relaxed, dkim.Relaxed
	sb, sh := relaxed, relaxed // simple body, simple header
	sb.Body, sh.Header = dkim.Simple, dkim.Simple
	z, over := relaxed, relaxed
	z.Copy = true
	over.Names = []string{"From", "To", "Subject", "Date", "Reply-To", "Sender", "List-Id"}
	short, partial := relaxed, relaxed
	short.Length, partial.Length = 5000, dkimtest.Whole
	footer := "\r\n_______________________________________________\r\nlist mailing list\r\nlist@lists.example.org\r\n"
	longLine := strings.Repeat("0123456789", 120)
	text := func(h, b string) string { return dkimtest.Message(h, b) }
	japanese := "From: a@example.com\nSubject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit"
	noCTE := relaxed
	noCTE.Names = []string{"From", "Subject"}

	for name, c := range map[string]struct {
		s      dkimtest.Signer
		msg    string
		change func(string) string
		want   string
		is     string // in Is of the first change
		was    string // in Was of it
	}{
		"nothing":              {relaxed, message(), replace(), ": ", "", ""},
		"footer":               {relaxed, message(), func(m string) string { return m + footer }, "body: footer-added!", "____", ""},
		"footer, simple":       {simple, message(), func(m string) string { return m + footer }, "body: footer-added!", "____", ""},
		"footer, one line":     {simple, message(), func(m string) string { return m + "Sent from a list\r\n" }, "body: footer-added!", "Sent from", ""},
		"footer, body empty":   {simple, text("From: a@example.com", ""), func(m string) string { return m + "Scanned\r\n" }, "body: footer-added!", "Scanned", ""},
		"footer, no line end":  {relaxed, strings.TrimRight(message(), "\r\n"), func(m string) string { return m + "\r\nfooter" }, "body: footer-added!", "footer", ""},
		"banner":               {relaxed, message(), body(func(b string) string { return "CAUTION: external\r\n\r\n" + b }), "body: banner-added!", "CAUTION: external\r\n\r\n", ""},
		"empty line on top":    {simple, message(), body(func(b string) string { return "\r\n" + b }), "body: blank-lines!", "\r\n", ""},
		"empty line cut":       {simple, text("From: a@example.com", "\nhello\n"), body(func(b string) string { return b[2:] }), "body: blank-lines!", "", ""},
		"a line in the middle": {simple, message(), replace("order. \t\r\n", "order. \t\r\nThis message was scanned\r\n"), "body: text-inserted!", "This message was scanned\r\n", ""},
		"two in the middle":    {simple, message(), replace("order. \t\r\n", "order. \t\r\nThis message\r\nwas scanned\r\n"), "body: text-inserted!", "This message\r\nwas scanned\r\n", ""},
		"two places":           {simple, message(), replace("Dear", "X\r\nDear", "It will", "Y\r\nIt will"), "body: body-changed", "", ""},
		"a word":               {simple, message(), replace("soon", "late"), "body: body-changed", "", ""},
		"spaces at line ends":  {sb, text("From: a@example.com", "one\n\ntwo\n"), replace("one\r\n", "one \r\n"), "body: space-added!", "one \r\n", "one\r\n"},
		"spaces and a footer":  {sb, text("From: a@example.com", "one\n\ntwo\n"), func(m string) string { return replace("one\r\n", "one \r\n")(m) + "footer\r\n" }, "body: space-added! footer-added!", "one \r\n", "one\r\n"},
		"double spaces":        {sb, text("From: a@example.com", "one two\n"), replace("one two", "one  two"), "body: space-added!", "one  two", "one two"},
		"the signature's mark": {sb, text("From: a@example.com", "hello\n-- \nme\n"), replace("-- \r\n", "--\r\n"), "body: space-removed!", "--\r\n", "-- \r\n"},
		">From":                {relaxed, text("From: a@example.com", "hello\nFrom now on\n"), replace("From now", ">From now"), "body: from-quoted!", ">From now", "From now"},
		"dots doubled":         {relaxed, text("From: a@example.com", "hello\n.\n.x\n"), replace("\r\n.\r\n.x", "\r\n..\r\n..x"), "body: dots-changed!", "..\r\n", ".\r\n"},
		"dots lost":            {relaxed, text("From: a@example.com", "hello\n..x\n"), replace("..x", ".x"), "body: dots-changed!", ".x", "..x"},
		"CR CR LF":             {relaxed, text("From: a@example.com", "a\nb\n"), body(func(b string) string { return strings.ReplaceAll(b, "\r\n", "\r\r\n") }), "body: line-ends!", "", ""},
		"lines doubled":        {simple, text("From: a@example.com", "a\nb\nc\n"), body(func(b string) string { return strings.ReplaceAll(b, "\r\n", "\r\n\r\n") }), "body: line-ends!", "", ""},
		"long line, Postfix":   {relaxed, text("From: a@example.com", longLine+"\n"), body(func(b string) string { return b[:998] + "\r\n " + b[998:] }), "body: lines-broken!", "", ""},
		"long line, sendmail":  {relaxed, text("From: a@example.com", longLine+"\n"), body(func(b string) string { return b[:990] + "!\r\n " + b[990:] }), "body: lines-broken!", "", ""},
		"long line":            {relaxed, text("From: a@example.com", longLine+"\n"), body(func(b string) string { return b[:998] + "\r\n" + b[998:] }), "body: lines-broken!", "", ""},
		"8bit to qp": {noCTE, text(japanese, "注文 = ok\n"), func(m string) string {
			h, b, _ := strings.Cut(m, "\r\n\r\n")
			return strings.Replace(h, "8bit", "quoted-printable", 1) + "\r\n\r\n" + qp(b)
		}, "body: encoding-changed!", "quoted-printable", "8bit"},
		"8bit to base64": {noCTE, text(japanese, "注文 = ok\n"), func(m string) string {
			h, b, _ := strings.Cut(m, "\r\n\r\n")
			return strings.Replace(h, "8bit", "base64", 1) + "\r\n\r\n" + b64Lines(b)
		}, "body: encoding-changed!", "base64", "8bit"},
		"8bit to base64, with a footer": {noCTE, text(japanese, "注文 = ok\n"), func(m string) string {
			h, b, _ := strings.Cut(m, "\r\n\r\n")
			return strings.Replace(h, "8bit", "base64", 1) + "\r\n\r\n" + b64Lines(strings.ReplaceAll(b+footer, "\r\n", "\n"))
		}, "body: encoding-changed! footer-added!", "base64", "8bit"},
		"qp to 8bit": {noCTE, text(strings.Replace(japanese, "8bit", "quoted-printable", 1), qp("注文 = ok\n")), func(m string) string {
			return replace("quoted-printable", "8bit", qp("注文 = ok\n"), "注文 = ok\r\n")(m)
		}, "body: encoding-changed!", "8bit", "quoted-printable"},
		"base64 to 8bit": {noCTE, text(strings.Replace(japanese, "8bit", "base64", 1), b64Lines("注文 = ok\r\n")), func(m string) string {
			return replace("base64", "8bit", b64Lines("注文 = ok\r\n"), "注文 = ok\r\n")(m)
		}, "body: encoding-changed!", "8bit", "base64"},
		"8bit to qp, header signed too": {relaxed, text(japanese, "注文 = ok\n"), func(m string) string {
			h, b, _ := strings.Cut(m, "\r\n\r\n")
			return strings.Replace(h, "8bit", "quoted-printable", 1) + "\r\n\r\n" + qp(b)
		}, "body-and-header: encoding-changed! field-changed(Content-Transfer-Encoding)!", "quoted-printable", "8bit"},
		"iso-2022-jp to utf-8": {noCTE, text(strings.NewReplacer("utf-8", "iso-2022-jp", "8bit", "7bit").Replace(japanese), "\x1b$BCmJ8\x1b(B = ok\n"), func(m string) string {
			h, _, _ := strings.Cut(m, "\r\n\r\n")
			return strings.NewReplacer("iso-2022-jp", "utf-8", "7bit", "8bit").Replace(h) + "\r\n\r\n注文 = ok\r\n" + footer
		}, "body: charset-changed! footer-added!", "utf-8", "iso-2022-jp"},
		"iso-2022-jp to utf-8, header signed too": {relaxed, text(strings.NewReplacer("utf-8", "iso-2022-jp", "8bit", "7bit").Replace(japanese), "\x1b$BCmJ8\x1b(B = ok\n"), func(m string) string {
			h, _, _ := strings.Cut(m, "\r\n\r\n")
			return strings.NewReplacer("iso-2022-jp", "utf-8", "7bit", "8bit").Replace(h) + "\r\n\r\n注文 = ok\r\n"
		}, "body-and-header: charset-changed! field-changed(Content-Type)! field-changed(Content-Transfer-Encoding)!", "utf-8", "iso-2022-jp"},
		"a part to iso-2022-jp": {relaxed, multipart(), body(func(b string) string {
			return replace("charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n注文ありがとうございます。", "charset=ISO-2022-JP\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\x1b$BCmJ8$\"$j$,$H$&$4$6$$$^$9!#\x1b(B")(b)
		}), "body: charset-changed!", "iso-2022-jp", "utf-8"},
		"footer within base64": {relaxed, text(strings.Replace(japanese, "8bit", "base64", 1), b64Lines("注文\r\nです\r\n")), func(m string) string {
			return replace(b64Lines("注文\r\nです\r\n"), b64Lines("注文\r\nです\r\n"+footer))(m)
		}, "body: footer-added!", "____", ""},
		"footer within qp": {relaxed, text(strings.Replace(japanese, "8bit", "quoted-printable", 1), qp("注文 =\r\nです\r\n")), func(m string) string {
			return replace(qp("注文 =\r\nです\r\n"), qp("注文 =\r\nです\r\n="+footer))(m)
		}, "body: footer-added!", "____", ""},
		"a part to base64 with a footer": {relaxed, multipart(), body(func(b string) string {
			text := "注文ありがとうございます。\r\nFrom now on it is yours = ours."
			return replace("8bit", "base64", text, strings.TrimSuffix(b64Lines(strings.ReplaceAll(text+footer, "\r\n", "\n")), "\r\n"))(b)
		}), "body: encoding-changed! text-inserted!", "base64", "8bit"},
		"footer in a line of HTML": {relaxed, multipart(), replace("</body></html>", "<div><p>Scanned</p>\r\n<p>by us</p></div></body></html>"), "body: text-inserted!", "<div><p>Scanned</p>\r\n<p>by us</p></div>", ""},
		"banner in a line of HTML": {relaxed, multipart(), replace("<html><body>", "<html><body><div>CAUTION</div>"), "body: text-inserted!", "<div>CAUTION</div>", ""},
		"all parts to qp": {relaxed, multipart(), body(func(b string) string {
			text := "注文ありがとうございます。\r\nFrom now on it is yours = ours."
			html := "<html><body>\r\n<p>注文ありがとうございます。</p>\r\n</body></html>"
			b = strings.ReplaceAll(b, "8bit", "quoted-printable")
			return replace(text, qp(text), html, qp(html))(b)
		}), "body: encoding-changed!", "quoted-printable", "8bit"},
		"one part to base64": {relaxed, multipart(), body(func(b string) string {
			text := "注文ありがとうございます。\r\nFrom now on it is yours = ours."
			return replace("8bit", "base64", text, strings.TrimSuffix(b64Lines(text), "\r\n"))(b)
		}), "body: encoding-changed!", "base64", "8bit"},
		"footer in the first part": {relaxed, multipart(), replace("yours = ours.\r\n", "yours = ours."+footer), "body: text-inserted!", "____", ""},
		"footer in both parts": {relaxed, multipart(), replace("yours = ours.\r\n", "yours = ours."+footer, "</body></html>\r\n", "</body></html>\r\n<p>list</p>\r\n"),
			"body: text-inserted! text-inserted!", "____", ""},
		"footer as a part": {relaxed, multipart(), replace("--b1--", "--b1\r\nContent-Type: text/plain\r\n\r\nfooter\r\n--b1--"), "body: part-added!", "--b1\r\nContent-Type: text/plain\r\n\r\nfooter\r\n", ""},
		"wrapped by a list": {noCTE, multipart(), func(m string) string {
			h, b, _ := strings.Cut(m, "\r\n\r\n")
			h = strings.Replace(h, `multipart/alternative; boundary="b1"`, `multipart/mixed; boundary="outer"`, 1)
			return h + "\r\n\r\n--outer\r\nContent-Type: multipart/alternative; boundary=b1\r\n\r\n" + b + "\r\n--outer\r\nContent-Type: text/plain\r\n\r\nfooter\r\n--outer--\r\n"
		}, "body: wrapped!", "--outer\r\n", ""},
		"wrapped plain, recoded": {noCTE, text(japanese, "注文 = ok\n"), func(m string) string {
			h, b, _ := strings.Cut(m, "\r\n\r\n")
			h = strings.Replace(h, "text/plain; charset=utf-8", `multipart/mixed; boundary=outer`, 1)
			return h + "\r\n\r\n--outer\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b64Lines(b) + "\r\n--outer\r\n\r\nfooter\r\n--outer--\r\n"
		}, "body: wrapped! encoding-changed!", "--outer\r\n", ""},
		"l= beyond":     {partial, message(), func(m string) string { return m + "Buy now!\r\n" }, ": appended-beyond-l!", "Buy now!", ""},
		"l= cut":        {short, message(), replace(), "body: body-cut!", "", ""},
		"l= and banner": {partial, message(), body(func(b string) string { return "X\r\n" + b }), "body: banner-added!", "X\r\n", ""},

		"subject tag":          {relaxed, message(), replace("Subject: Your", "Subject: [shop] Your"), "header: subject-tagged(Subject)!", "[shop]", "Your order"},
		"subject tag after Re": {relaxed, text("From: a@example.com\nSubject: Re: hello", "x\n"), replace("Re: hello", "Re: [l] hello"), "header: subject-tagged(Subject)!", "[l]", "Re: hello"},
		"spam mark":            {relaxed, message(), replace("Subject: Your", "Subject: ***SPAM*** Your"), "header: subject-tagged(Subject)!", "SPAM", "Your order"},
		"tag before Japanese":  {relaxed, text("From: a@example.com\nSubject: =?utf-8?B?5rOo5paH?=", "x\n"), replace("Subject: ", "Subject: [shop] "), "header: subject-tagged(Subject)!", "[shop]", "=?utf-8?B?5rOo5paH?="},
		"tag within Japanese":  {relaxed, text("From: a@example.com\nSubject: =?utf-8?B?5rOo5paH?=", "x\n"), replace("=?utf-8?B?5rOo5paH?=", "=?utf-8?b?W3Nob3BdIOazqOaWhw==?="), "header: subject-tagged(Subject)!", "W3Nob3", "5rOo5paH"},
		"from rewritten":       {relaxed, message(), replace("From: Shop <shop@example.com>", "From: Shop via List <list@lists.example.org>\r\nReply-To: shop@example.com"), "header: from-rewritten(From)!", "via List", "Shop <shop@example.com>"},
		"from kept elsewhere":  {relaxed, message(), replace("From: Shop <shop@example.com>", "From: x <list@lists.example.org>\r\nX-Original-From: Shop <shop@example.com>"), "header: from-rewritten(From)!", "list@", "Shop <shop@example.com>"},
		"from, subject, body": {relaxed, message(), func(m string) string {
			return replace("From: Shop <shop@example.com>", "From: Shop via List <list@lists.example.org>\r\nReply-To: Shop <shop@example.com>", "Your", "[list] Your")(m) + footer
		}, "body-and-header: footer-added! from-rewritten(From)! subject-tagged(Subject)!", "____", ""},
		"reply-to added":         {over, message(), replace("Date:", "Reply-To: list@lists.example.org\r\nDate:"), "header: field-added(Reply-To)!", "list@", ""},
		"three things of a list": {over, message(), replace("Date:", "Reply-To: list@lists.example.org\r\nSender: l@lists.example.org\r\nList-Id: <l.lists.example.org>\r\nDate:"), "header: field-added(Reply-To)! field-added(Sender)! field-added(List-Id)!", "list@", ""},
		"second subject":         {over, message(), replace("Date:", "Subject: again\r\nDate:"), "header: field-added(Subject)!", "again", ""},
		"mime-version gone":      {relaxed, multipart(), replace("MIME-Version: 1.0\r\n", ""), "header: field-removed(MIME-Version)!", "", "1.0"},
		"date gone":              {relaxed, message(), replace("Date: Fri, 6 Feb 2026 10:00:00 +0900\r\n", ""), "header: header-changed", "", ""},
		"date gone, z=":          {z, message(), replace("Date: Fri, 6 Feb 2026 10:00:00 +0900\r\n", ""), "header: field-removed(Date)!", "", "Fri, 6 Feb"},
		"date and to, z=":        {z, message(), replace("Date: Fri, 6 Feb", "Date: Fri, 7 Feb", "guest@", "gast@"), "header: field-changed(To)! field-changed(Date)!", "gast@", "guest@"},
		"subject, z=":            {z, message(), replace("Your order", "[x] Your order"), "header: subject-tagged(Subject)!", "[x]", "Your order"},
		"refolded":               {sh, message(), replace("order\r\n of", "order of"), "header: refolded(Subject)!", "order of", "order\r\n of"},
		"unfolded with tabs":     {sh, text("From: a@example.com\nSubject: a\n b\nTo: x@example.net,\n y@example.net", "x\n"), replace("a\r\n b", "a\r\n\tb", ",\r\n y", ",\r\n\ty"), "header: refolded(Subject)! refolded(To)!", "\t", " b"},
		"a word of the subject":  {relaxed, message(), replace("Your order", "Your odrer"), "header: header-changed", "", ""},
		"tag and another word":   {relaxed, message(), replace("Your order", "[shop] Your odrer", "\r\n\r\n", "\r\nList-Id: <shop.example>\r\n\r\n"), "header: subject-tagged(Subject)", "[shop]", ""},
	} {
		for _, key := range []string{"rsa", "ed25519", "lf"} {
			s := c.s
			s.Key, s.Selector = key2, "r2"
			if key == "ed25519" {
				s.Key, s.Selector = ed, "ed"
			}
			begin := time.Now()
			msg := s.SignField(c.msg) + c.change(c.msg)
			if key == "lf" { // a file that was saved without CRs
				if strings.Contains(msg, "\r\r") {
					continue
				}
				msg = strings.ReplaceAll(msg, "\r\n", "\n")
				c.is = strings.ReplaceAll(c.is, "\r\n", "\n")
			}
			d, v := diagnose(t, zone(), msg)
			took := time.Since(begin)
			want := c.want
			if key == "ed25519" && !d.HeaderProven {
				// It cannot be told from another key.
				want = strings.Replace(want, "header:", "header-or-key:", 1)
			}
			if got := show(d); got != want {
				t.Errorf("%s, %s:\n got %s\nwant %s\n%s %+v", name, key, got, want, reasons(v), d.Changes)
				continue
			}
			if len(d.Changes) > 0 && (!strings.Contains(strings.ReplaceAll(d.Changes[0].Is, "\r\n", "\n"), strings.ReplaceAll(c.is, "\r\n", "\n")) || !strings.Contains(d.Changes[0].Was, c.was)) {
				t.Errorf("%s, %s: it is %q, was %q", name, key, d.Changes[0].Is, d.Changes[0].Was)
			}
			if took > 5*time.Second {
				t.Errorf("%s, %s: took %v", name, key, took)
			}
		}
	}
}

// Causes that the key or the field has.
func TestDiagnoseCause(t *testing.T) {
	s := dkimtest.Signer{Key: key2, Domain: "example.com", Selector: "r2"}
	e := dkimtest.Signer{Key: ed, Domain: "example.com", Selector: "ed"}
	x := s
	x.Time, x.Expires = 1, 2
	sha1 := s
	sha1.SHA1 = true
	other := dkimtest.Record(dkimtest.RSA("other", 2048))
	for name, c := range map[string]struct {
		msg  string
		key  string
		want string
	}{
		"missing":               {s.Sign(message()), "!nxdomain", "key-missing: "},
		"revoked":               {s.Sign(message()), "v=DKIM1; p=", "key-revoked: "},
		"broken":                {s.Sign(message()), "v=DKIM1; p=x", "key-unusable: "},
		"other type":            {s.Sign(message()), dkimtest.Record(ed), "key-unusable: "},
		"timeout":               {s.Sign(message()), "!timeout", "key-unavailable: "},
		"rotated":               {s.Sign(message()), other, "key-changed: "},
		"rotated, ed":           {e.Sign(message()), other, "header-or-key: header-changed"},
		"missing, and a footer": {s.Sign(message()) + "x\r\n", "!nxdomain", "key-missing: footer-added!"},
		"rotated, and a footer": {s.Sign(message()) + "x\r\n", other, "key-changed: footer-added!"},
		"syntax":                {strings.Replace(s.Sign(message()), "v=1", "v=2", 1), "", "syntax: header-changed"},
		"expired":               {x.Sign(message()), "", "expired: "},
		"sha1":                  {sha1.Sign(message()), "", "unacceptable: "},
		"b= damaged":            {strings.Replace(s.Sign(message()), "b=", "b=A", 2), "", ""},
	} {
		z := zone()
		if c.key != "" {
			z["r2._domainkey.example.com"] = c.key
		}
		if name == "rotated, ed" {
			z["ed._domainkey.example.com"] = dkimtest.Record(dkimtest.Ed25519("other"))
		}
		d, v := diagnose(t, z, c.msg)
		if c.want != "" && show(d) != c.want {
			t.Errorf("%s: %s, want %s (%s)", name, show(d), c.want, reasons(v))
		}
	}
}

// A body that cannot be had, or is too large, is no proof of anything.
func TestDiagnoseBounds(t *testing.T) {
	s := dkimtest.Signer{Key: ed, Domain: "example.com", Selector: "ed"}
	fields, _ := dkimtest.Fields(s.Sign(message()))
	h := dkim.NewHeader(fields)
	var body dkim.Body
	ses := (&dkim.Verifier{Resolver: zone()}).Start(h, &body)
	body.Write([]byte("another"))
	body.Close()
	v := ses.Finish(context.Background()).Signatures[0]
	for name, r := range map[string]io.Reader{"none": nil, "large": io.LimitReader(lines{}, dkim.MaxDiagnoseBody+1), "just": io.LimitReader(lines{}, dkim.MaxDiagnoseBody)} {
		begin := time.Now()
		d := dkim.Diagnose(v, h, r)
		if show(d) != "body: body-changed" || d.Bounded != (name != "none") || d.BodyProven {
			t.Errorf("%s: %s, bounded %v", name, show(d), d.Bounded)
		}
		t.Logf("%s: %v", name, time.Since(begin))
	}
	// A header of many fields that all could have been added.
	s.Names = []string{"From"}
	extra := ""
	for i := range 200 {
		n := fmt.Sprintf("X-%d", i)
		s.Names = append(s.Names, n, n)
		extra += n + ": y\r\n"
	}
	for _, key := range []string{"ed", "r2"} {
		s.Selector = key
		if key == "r2" {
			s.Key = key2
		}
		begin := time.Now()
		d, _ := diagnose(t, zone(), s.SignField(message())+extra+message())
		t.Logf("%s: %v", key, time.Since(begin))
		if d.HeaderProven || !d.Bounded {
			t.Errorf("%s: %s, bounded %v", key, show(d), d.Bounded)
		}
	}
}

// Hostile messages: the search ends soon, and says that it was bounded.
func TestDiagnoseHostile(t *testing.T) {
	s := dkimtest.Signer{Key: key2, Domain: "example.com", Selector: "r2", Copy: true}
	b1 := "Content-Type: multipart/mixed; boundary=b\r\n"
	nest := ""
	for i := range 3000 {
		nest += fmt.Sprintf("--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n", i, i+1)
	}
	for name, msg := range map[string]string{
		"many parts":        s.SignField(message()) + b1 + message() + strings.Repeat("--b\r\n\r\n", 500_000),
		"nested parts":      s.SignField(message()) + strings.Replace(b1, "=b", "=b0", 1) + message() + nest,
		"empty lines":       s.SignField(message()) + message() + strings.Repeat("\n", 7<<20) + "x",
		"long line":         s.SignField(message()) + message() + strings.Repeat("x", 7<<20),
		"a large subject":   s.SignField(message()) + "Subject: " + strings.Repeat("[x] ", 500_000) + "\r\n" + message() + "x",
		"a low large field": s.SignField(message()) + strings.Replace(message(), "Message-ID", "Subject: "+strings.Repeat("[x] ", 900_000)+"\r\nMessage-ID", 1) + "x",
		"many reply-to":     s.SignField(message()) + strings.Repeat("Reply-To: <a@example.org>\r\n", 50_000) + strings.Replace(message(), "shop@", "shap@", 1),
		"base64 of all":     s.SignField(message()) + "Content-Transfer-Encoding: base64\r\n" + strings.Replace(message(), "Dear", strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", 90_000), 1),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begin := time.Now()
		d, _ := diagnose(t, zone(), msg)
		took := time.Since(begin)
		runtime.ReadMemStats(&after)
		t.Logf("%s: %s, bounded %v, %v, %d MB allocated", name, show(d), d.Bounded, took, (after.TotalAlloc-before.TotalAlloc)>>20)
		if took > 20*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

// FuzzDiagnose: what is called proven is: the search ends, and it changes nothing
// of what it was given.
func FuzzDiagnose(f *testing.F) {
	s := dkimtest.Signer{Key: ed, Domain: "example.com", Selector: "ed"}
	r := dkimtest.Signer{Key: key2, Domain: "example.com", Selector: "r2", Header: dkim.Relaxed, Body: dkim.Relaxed, Copy: true}
	f.Add([]byte(s.Sign(multipart())), []byte("x"), uint16(900))
	f.Add([]byte(r.Sign(multipart())), []byte("[x] "), uint16(600))
	f.Add([]byte(r.Sign(message())), []byte("\r\n_____\r\n"), uint16(1200))
	f.Fuzz(func(t *testing.T, msg, insert []byte, at uint16) {
		i := min(int(at), len(msg))
		changed := string(msg[:i]) + string(insert) + string(msg[i:])
		br := bufio.NewReader(strings.NewReader(changed))
		fields, _, err := dkim.ReadHeader(br)
		if err != nil {
			return
		}
		raw, _ := io.ReadAll(br)
		h := dkim.NewHeader(fields)
		var body dkim.Body
		ses := (&dkim.Verifier{Resolver: zone(), Max: 2}).Start(h, &body)
		body.Write(raw)
		body.Close()
		for _, v := range ses.Finish(context.Background()).Signatures {
			d := dkim.Diagnose(v, h, bytes.NewReader(raw))
			if d.BodyProven && v.BodyMatch != dkim.Mismatches || d.HeaderProven && v.HeaderMatch != dkim.Mismatches {
				t.Fatalf("%s proves what was not broken", show(d))
			}
			if (d.Cause == dkim.CauseNone) != (v.RFC8301 == dkim.Pass) {
				t.Fatalf("%s for %s", show(d), v.RFC8301)
			}
			for _, c := range d.Changes {
				if c.Offset > int64(len(raw)) || c.Offset >= 0 && c.Length > 0 && c.Kind != dkim.AppendedBeyond && c.Offset+c.Length > int64(len(raw)) || c.Index >= len(fields) {
					t.Fatalf("%+v is outside", c)
				}
			}
		}
	})
}
