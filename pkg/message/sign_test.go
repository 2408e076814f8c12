package message_test

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/todoku-mail/todoku/pkg/message"
)

func signs(t *testing.T, m *Message) string {
	t.Helper()
	ss, err := m.Signs()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range ss {
		line := fmt.Sprintf("%s %s", s.Kind, s.Name)
		if !s.Sure {
			line += "?"
		}
		if s.Value != "" {
			line += "=" + s.Value
		}
		if s.Field == nil && s.Part == nil {
			t.Errorf("%s stands nowhere", line)
		}
		if (s.Part != nil) != (s.Line != "") {
			t.Errorf("%s stands in the line %q", line, s.Line)
		}
		if s.Source == "" || s.Confidence == "" {
			t.Errorf("%s has no source", line)
		}
		out = append(out, line)
	}
	return strings.Join(out, "; ")
}

func TestSigns(t *testing.T) {
	const rest = "Date: Mon, 2 Nov 2026 10:00:00 +0900\nTo: info@shop.example\n"
	for _, c := range []struct{ name, file, want string }{
		{"a person", "From: Taro <taro@shop.example>\nSubject: Hello\nX-Mailer: Mail (2.1)\nMessage-ID: <1@shop.example>\n" + rest + "\nSee you, and thank you for the PHPMailer hint\n", ""},
		{"WordPress", "From: WordPress <wordpress@shop.example>\nX-Mailer: PHPMailer 6.9.1 (https://github.com/PHPMailer/PHPMailer)\nMessage-ID: <Ab12@localhost.localdomain>\n" + rest + "\nNew user\n",
			"software PHPMailer=6.9.1; software WordPress; software PHP?"},
		{"Contact Form 7", "From: Shop <info@shop.example>\nX-PHP-Originating-Script: 1001:class-phpmailer.php\n" + rest + "\nHi\n-- \nThis is a notification that a contact form was submitted on your website (Shop https://shop.example).\n",
			"software PHP=class-phpmailer.php; software Contact Form 7"},
		{"Contact Form 7 by base64", "From: Shop <info@shop.example>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n" + rest + "\nVGhpcyBlLW1haWwgd2FzIHNlbnQgZnJvbSBhIGNvbnRhY3QgZm9ybSBvbiBTaG9w\n", "software Contact Form 7"},
		{"EC-CUBE", "From: Shop <info@shop.example>\nContent-Type: text/plain; charset=utf-8\n" + rest + "\n　※本メールは自動配信メールです。\n　等幅フォント(MSゴシック12ポイント、Osaka-等幅など)で\n", "software EC-CUBE?; acknowledgement auto-reply?"},
		{"WooCommerce", "From: Shop <info@shop.example>\nContent-Type: text/html\n" + rest + "\n<p>Aoi &mdash; Built with <a href=\"https://woocommerce.com\">WooCommerce</a></p>\n", "software WooCommerce"},
		{"Elementor", "From: Shop <info@shop.example>\n" + rest + "\nMessage: Hi\n---\nPowered by: Elementor\n", "software Elementor"},
		{"Swift Mailer", "From: Shop <info@shop.example>\nContent-Type: multipart/alternative; boundary=\"_=_swift_1744648156_630f81f39bd2174deb49b56f244e1b14_=_\"\n" + rest + "\nx\n", "software Swift Mailer?"},
		{"WP Mail SMTP", "From: Shop <info@shop.example>\nX-Mailer: WPMailSMTP/Mailer/smtp 4.1.1\n" + rest + "\nx\n", "software WP Mail SMTP=smtp 4.1.1"},
		{"an auto-reply without Auto-Submitted", "From: Shop <info@shop.example>\nSubject: =?UTF-8?B?44CQ6Ieq5YuV6L+U5L+h44CR44GK5ZWP44GE5ZCI44KP44Gb?=\n" + rest + "\nx\n", "acknowledgement auto-reply?"},
		{"an auto-reply with Auto-Submitted", "From: a@shop.example\nAuto-Submitted: auto-replied (vacation)\n" + rest + "\nx\n", "automatic Auto-Submitted=auto-replied"},
		{"Auto-Submitted: no", "From: a@shop.example\nAuto-Submitted: no\n" + rest + "\nx\n", ""},
		{"a newsletter", "From: a@shop.example\nList-Unsubscribe: <https://shop.example/u>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\nList-Id: <news.shop.example>\nPrecedence: bulk\nFeedback-ID: 1:shop\n" + rest + "\nx\n",
			"bulk List-Unsubscribe=<https://shop.example/u>; bulk List-Unsubscribe-Post=List-Unsubscribe=One-Click; bulk List-ID=<news.shop.example>; bulk Precedence=bulk; bulk Feedback-ID=1:shop"},
		{"a newsletter by its text alone", "From: a@shop.example\n" + rest + "\n配信停止はこちら\n", "bulk unsubscribe?"},
		{"a list", "From: a@shop.example\nList-Post: <mailto:l@lists.example>\nResent-From: b@lists.example\nSubject: [SPF Fail] x\n" + rest + "\nx\n", "forwarded List-Post=<mailto:l@lists.example>; forwarded Resent=b@lists.example; stamped receiver's stamp=[SPF Fail]"},
	} {
		if got := signs(t, read(t, c.file)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// What was found in a text is shown with its line, however long that is.
func TestSignLine(t *testing.T) {
	long := strings.Repeat("あ", 200)
	for _, c := range []struct{ body, want string }{
		{"Hi\n  This e-mail was sent from a contact form on Aoi (https://shop.example)\r\nx", "This e-mail was sent from a contact form on Aoi (https://shop.example)"},
		{"> This e-mail was sent from a contact form on Aoi", "> This e-mail was sent from a contact form on Aoi"},
		{long + "This e-mail was sent from a contact form on Aoi\nx", "This e-mail was sent from a contact form on Aoi"},
	} {
		ss, err := read(t, "From: a@b.example\nContent-Type: text/plain; charset=utf-8\n\n"+c.body+"\n").Signs()
		if err != nil || len(ss) != 1 || ss[0].Line != c.want {
			t.Errorf("%q: %+v, %v", c.body, ss, err)
		}
	}
}

func TestUnsubscribe(t *testing.T) {
	for _, c := range []struct {
		list, post string
		uris       int
		one        bool
	}{
		{"<https://shop.example/u?x=1>, <mailto:u@shop.example>", "List-Unsubscribe=One-Click", 2, true},
		{"(by mail <x>) <mailto:u@shop.example>", "List-Unsubscribe=One-Click", 1, false},
		{"<http://shop.example/u>", "List-Unsubscribe=One-Click", 1, false},
		{"<HTTPS://shop.example/u>", "list-unsubscribe=one-click", 1, true},
		{"<https://shop.example/\n very/long>", "List-Unsubscribe=One-Click", 1, true},
		{"<https://shop.example/u>", "One-Click", 1, false},
		{"<https://shop.example/u>", "", 1, false},
		{"https://shop.example/u", "List-Unsubscribe=One-Click", 0, false},
		{"<https://shop.example/u", "List-Unsubscribe=One-Click", 0, false},
	} {
		m := read(t, "From: a@b.example\nList-Unsubscribe: "+c.list+"\nList-Unsubscribe-Post: "+c.post+"\n\n")
		if u := m.Unsubscribe(); len(u.URIs) != c.uris || u.OneClick != c.one || u.Field == nil {
			t.Errorf("%q %q: %+v", c.list, c.post, u)
		}
	}
	if u := read(t, "From: a@b.example\n\n").Unsubscribe(); u.Field != nil || u.OneClick {
		t.Errorf("%+v", u)
	}
}

func TestReturnPath(t *testing.T) {
	for _, c := range []struct {
		in, addr, scheme, original string
		user, host                 bool
	}{
		{"<order@shop.example>", "order@shop.example", "", "", false, false},
		{"<>", "", "", "", false, false},
		{"<www-data@web01.host.example>", "www-data@web01.host.example", "", "", true, true},
		{"<taro@sv1234.xserver.jp>", "taro@sv1234.xserver.jp", "", "", false, true},
		{"<taro@www1234.sakura.ne.jp>", "taro@www1234.sakura.ne.jp", "", "", false, true},
		{"<SRS0=ab+c=XY=shop.example=order@fwd.example>", "SRS0=ab+c=XY=shop.example=order@fwd.example", "srs0", "order@shop.example", false, false},
		{"<SRS1=ab=fwd.example==ab+c=XY=shop.example=order@fwd2.example>", "SRS1=ab=fwd.example==ab+c=XY=shop.example=order@fwd2.example", "srs1", "", false, false},
		{"<prvs=0123abcdef=order@shop.example>", "prvs=0123abcdef=order@shop.example", "batv", "order@shop.example", false, false},
		{"<taro+caf_=taro=work.example@gmail.example>", "taro+caf_=taro=work.example@gmail.example", "gmail-forward", "taro@gmail.example", false, false},
		{"<bounce+taro=customer.example@news.example>", "bounce+taro=customer.example@news.example", "verp", "taro@customer.example", false, false},
		{"<a=b@shop.example>", "a=b@shop.example", "", "", false, false},
	} {
		m := read(t, "Return-Path: "+c.in+"\nReturn-Path: <forged@x.example>\nFrom: a@b.example\n\n")
		a, f, ok := m.ReturnPath()
		w := a.Rewritten()
		user, host := a.HostUser()
		if !ok || f.Line != 1 || a.Address() != c.addr || w.Scheme != c.scheme || w.Original != c.original || user != c.user || host != c.host {
			t.Errorf("%s: %q %+v user %v host %v", c.in, a.Address(), w, user, host)
		}
	}
	if _, f, ok := read(t, "From: a@b.example\n\n").ReturnPath(); ok || f != nil {
		t.Error("a Return-Path where none is")
	}
	if !Freemail("Gmail.com.") || Freemail("shop.example") || Freemail("mail.gmail.com.evil.example") {
		t.Error("freemail")
	}
}
