package webform_test

import (
	"strings"
	"testing"
	"time"

	"github.com/todoku-mail/todoku/pkg/message"
	. "github.com/todoku-mail/todoku/pkg/webform"
)

func read(t testing.TB, file string) (*message.Message, *Mail) {
	t.Helper()
	m, err := message.Read(strings.NewReader(file), "mail.eml", message.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	signs, err := m.Signs()
	if err != nil {
		t.Fatal(err)
	}
	w, err := Read(m, signs)
	if err != nil {
		t.Fatal(err)
	}
	return m, w
}

const mailer = "X-Mailer: PHPMailer 6.9.1 (https://github.com/PHPMailer/PHPMailer)\n"

// Who the mail is for decides what is at fault in it.
func TestRole(t *testing.T) {
	const footer = "\n\n-- \nThis e-mail was sent from a contact form on Aoi (https://shop.example)\n"
	for _, c := range []struct {
		name, header, body string
		want               Role
	}{
		{"notice", "From: wordpress@shop.example\nTo: info@shop.example\nReply-To: a@customer.example\n", "Hi" + footer, Notice},
		{"notice to a freemail address", "From: wordpress@shop.example\nTo: owner@gmail.com\nReply-To: a@customer.example\n", "Hi" + footer, Notice},
		{"notice to a freemail address that names the visitor in the text alone", "From: wordpress@shop.example\nTo: owner@gmail.com\n", "From: A <a@customer.example>\nSubject: x\n\nMessage Body:\nHi" + footer, Notice},
		{"notice with the visitor in From", "From: a@gmail.com\nTo: info@shop.example\nReply-To: a@gmail.com\n", "Hi" + footer, Notice},
		{"notice to oneself", "From: info@shop.example\nTo: info@shop.example\nReply-To: a@gmail.com\n", "Hi" + footer, Notice},
		{"Mail (2) of old", "From: info@shop.example\nTo: a@customer.example\nReply-To: info@shop.example\n", "Message Body:\nHi" + footer, Reply},
		{"Mail (2) or a notice, which cannot be told", "From: info@shop.example\nTo: a@gmail.com\n", "Message Body:\nHi" + footer, Unknown},
		{"reply", "From: info@shop.example\nTo: a@customer.example\nSubject: Thank you for contacting Aoi\n", "Soon.", Reply},
		{"a reply to oneself is a test", "From: info@shop.example\nTo: info@shop.example\nSubject: Thank you for contacting Aoi\n", "Soon.", Unknown},
		{"a newsletter that thanks", "From: info@shop.example\nTo: a@customer.example\nSubject: Thank you for contacting Aoi\nList-Unsubscribe: <https://shop.example/u>\n", "Soon.", Unknown},
		{"an order", "From: info@shop.example\nTo: a@customer.example\nSubject: Your order\n", "12 cups", Unknown},
		{"no To", "From: info@shop.example\nSubject: Thank you for contacting Aoi\n", "Soon.", Unknown},
	} {
		_, w := read(t, mailer+c.header+"\n"+c.body+"\n")
		if w.Recognised != Sure || w.Role != c.want {
			t.Errorf("%s: %s %s, want %s", c.name, w.Recognised, w.Role, c.want)
		}
	}
}

// What a visitor typed is what stands below a label, not every line with such a word.
func TestQuoted(t *testing.T) {
	for _, c := range []struct{ body, quoted, abused string }{
		{"Message Body:\nHello\n", "Hello", ""},
		{"Message: Hello\n", "Message: Hello", ""},
		{"■お問い合わせ内容\n\nこんにちは\n", "こんにちは", ""},
		{"【お問い合わせ内容】こんにちは\n", "【お問い合わせ内容】こんにちは", ""},
		{"[ メッセージ本文 ]\nこんにちは\n", "こんにちは", ""},
		{"お問い合わせ内容 ： こんにちは\n", "お問い合わせ内容 ： こんにちは", ""},
		{"お問い合わせ内容（必須）：\nこんにちは\n", "こんにちは", ""},
		{"Message:\n\n----------\nAoi, Osaka\n", "", ""},
		{"Message:\n■電話番号：03\n", "", ""},
		{"お問い合わせ内容を確認します。\n", "", ""},
		{"This message is automatic.\nmessage\nHello\n", "", ""},
		{"> Message Body:\n> Hello\n", "", ""},
		{"Name: http://x.example/1\n", "", "Name: http://x.example/1"},
		{"お名前：www.x.example を見て\n", "", "お名前：www.x.example を見て"},
		{"氏名: 山田\nhttps://shop.example\n", "", ""},
		{"Dear win at winner.top/abc,\n", "", "Dear win at winner.top/abc,"},
		{"当選 https://x.example 様\n", "", "当選 https://x.example 様"},
		{"山田様\nhttps://shop.example/ をご覧ください\n", "", ""},
		{"https://shop.example/ をご覧いただいたお客様へ\n", "", ""},
	} {
		_, w := read(t, mailer+"From: info@shop.example\nTo: a@b.example\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"+c.body)
		text := func(l *Line) string {
			if l == nil {
				return ""
			}
			if !l.Exact || strings.Split(c.body, "\n")[l.Number-7] != l.Text {
				t.Errorf("%q: %q is not line %d", c.body, l.Text, l.Number)
			}
			return l.Text
		}
		if q, a := text(w.Quoted), text(w.Abused); q != c.quoted || a != c.abused {
			t.Errorf("%q: quoted %q, abused %q; want %q, %q", c.body, q, a, c.quoted, c.abused)
		}
	}
}

// A site is known where the program names it or two clues agree, and not where a
// visitor's links say so.
func TestSite(t *testing.T) {
	for _, c := range []struct{ id, body, want string }{
		{"a@shop.example", "See https://www.shop.example/x\n", "shop.example"},
		{"a@shop.example", "See https://other.example/x\n", ""},
		{"a@shop.example", "Hello\n", ""},
		{"a@sv1234.xserver.jp", "See https://sv1234.xserver.jp/x\n", ""},
		{"a@shop.example", "See https://shop.example/\nMessage:\nhttps://a.example/ https://a.example/ https://a.example/\n", "shop.example"},
		{"a@shop.example", "https://www.facebook.com/aoi https://www.facebook.com/aoi https://shop.example/\n", "shop.example"},
		{"a@localhost", "This e-mail was sent from a contact form on Aoi (https://shop.example)\n", "shop.example"},
		{"a@localhost", "This e-mail was sent from a contact form on Aoi (http://192.0.2.1/)\n", ""},
	} {
		if _, w := read(t, mailer+"From: info@parent.example\nTo: a@b.example\nMessage-ID: <"+c.id+">\n\n"+c.body); w.Site != c.want {
			t.Errorf("%s %q: %q, want %q", c.id, c.body, w.Site, c.want)
		}
	}
}

// What a person could have quoted, written or been sent is not evidence.
func TestNot(t *testing.T) {
	const footer = "\n\nThis e-mail was sent from a contact form on Aoi (https://shop.example)\n"
	for _, c := range []struct {
		name, file string
		want       Reason
	}{
		{"a person", "From: a@b.example\n\nHello\n", NoSign},
		{"an answer", "From: a@b.example\nIn-Reply-To: <1@shop.example>\n" + footer, IsPerson},
		{"forwarded", "From: a@b.example\nSubject: Fwd: Question\n" + footer, IsPerson},
		{"Apple Mail", "From: a@b.example\nX-Mailer: Apple Mail (2.3826)\n" + footer, IsPerson},
		{"webmail", "From: a@b.example\nX-PHP-Originating-Script: 0:rcube.php\n\nHello\n", IsWeb},
		{"a report", "From: postmaster@b.example\nContent-Type: multipart/report; boundary=b\n" + mailer + footer, IsBounce},
		{"the mailer daemon", "Return-Path: <>\nFrom: Mailer-Daemon@b.example\n" + mailer + footer, IsBounce},
		{"one hint", "From: a@b.example\nMessage-ID: <1@localhost.localdomain>\n\nHello\n", NoSign},
	} {
		if _, w := read(t, c.file); w.Recognised != No || w.Reason != c.want || len(w.Programs) > 0 || len(w.Signs) > 0 || w.Role != Unknown {
			t.Errorf("%s: %+v", c.name, w)
		}
	}
}

func TestPrograms(t *testing.T) {
	_, w := read(t, "X-Mailer: WPMailSMTP/Mailer/Mail 4.1.1\nReturn-Path: <www-data@web01.shop.example>\nFrom: wordpress@shop.example\nAuto-Submitted: auto-generated (form)\n\nBuilt with WooCommerce\n")
	if w.Mailer != "mail" || !w.WordPress || !w.Marked || w.By == nil || w.By.Line != 4 {
		t.Errorf("%+v", w)
	}
	var got []string
	for _, p := range w.Programs {
		got = append(got, p.Name+" "+p.Version)
	}
	if s := strings.Join(got, "; "); s != "WP Mail SMTP 4.1.1; WooCommerce ; WordPress ; web server " {
		t.Error(s)
	}
	for domain, want := range map[string]bool{"sv1234.xserver.jp": true, "aoi.sakura.ne.jp": true, "web01.shop.example": true, "shop.example": false, "mail.shop.example": false,
		"web01.example": false, "": false, "a..b": false} {
		if Host(domain) != want {
			t.Errorf("Host(%q) is not %v", domain, want)
		}
	}
}

// What hostile text costs, as a multiple of plain text of the same size.
func BenchmarkHostile(b *testing.B) {
	cost := func(kind, part string) time.Duration {
		m, err := message.Read(strings.NewReader(mailer+"From: a@b.example\nContent-Type: "+kind+"; charset=utf-8\n\n"+strings.Repeat(part, (64<<10)/len(part))+"\n"), "mail.eml", message.Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer m.Close()
		start := time.Now()
		for range b.N {
			if _, err := Read(m, nil); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(start)
	}
	plain := cost("text/plain", "Hello there, see you.\n")
	worst := 0.0
	for _, part := range []string{"<a href=", "お名前：\n", "Dear a a ", "■■■■\n", "http://a. ", "<!--", "----- \n", "((((", "　", "<br>", "Name: a.b/\n", "様\n"} {
		for _, kind := range []string{"text/plain", "text/html"} {
			worst = max(worst, float64(cost(kind, part))/float64(plain))
		}
	}
	b.ReportMetric(worst, "worst/plain")
}

func FuzzRead(f *testing.F) {
	f.Add(mailer + "From: info@shop.example\nTo: a@b.example\nReply-To: c@d.example\n\nMessage Body:\nHello\n\n-- \nThis e-mail was sent from a contact form on Aoi (https://shop.example)\n")
	f.Add("X-Mailer: WPMailSMTP/Mailer/smtp 4.1.1\nFrom: wordpress@shop.example\nContent-Type: text/html\n\n<p>Name:</p><td>http://x.example 様</td><a href='https://shop.example'>\n")
	f.Add("Return-Path: <www-data@web01.shop.example>\nFrom: a@gmail.com\nSubject: =?UTF-8?B?44CQ6Ieq5YuV6L+U5L+h44CR?=\n\n■お名前：山田\n【お問い合わせ内容】\nこんにちは\n")
	f.Fuzz(func(t *testing.T, file string) {
		m, err := message.Read(strings.NewReader(file), "mail.eml", message.Options{})
		if err != nil {
			return
		}
		defer m.Close()
		signs, err := m.Signs()
		if err != nil {
			t.Fatal(err)
		}
		w, err := Read(m, signs)
		if err != nil {
			t.Fatal(err)
		}
		if (w.Recognised == No) != (w.Reason != "") || w.Recognised != No && len(w.Signs) == 0 {
			t.Errorf("%+v", w)
		}
		for _, l := range []*Line{w.Quoted, w.Abused} {
			if l != nil && (l.Part == nil) == (l.Field == nil) {
				t.Errorf("%+v stands nowhere", l)
			}
		}
	})
}
