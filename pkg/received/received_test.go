package received_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/todoku-mail/todoku/pkg/message"
	. "github.com/todoku-mail/todoku/pkg/received"
)

// line shows what a hop says, in one line.
func line(h Hop) string {
	var b strings.Builder
	add := func(k, v string) {
		if v != "" {
			fmt.Fprintf(&b, " %s=%s", k, v)
		}
	}
	add("helo", h.HELO)
	add("reverse", h.Reverse)
	if h.NoReverse {
		b.WriteString(" no-reverse")
	}
	if h.Addr.IsValid() {
		add("addr", h.Addr.String())
	}
	add("by", h.By)
	if h.ByAddr.IsValid() {
		add("by-addr", h.ByAddr.String())
	}
	add("via", h.Via)
	add("with", h.With)
	add("id", h.ID)
	add("for", h.For)
	if h.HasEnvelopeFrom {
		add("mail", "<"+h.EnvelopeFrom+">")
	}
	if h.TLS.Used {
		b.WriteString(" tls")
		add("version", h.TLS.Version)
		add("cipher", h.TLS.Cipher)
		if h.TLS.Bits > 0 {
			add("bits", fmt.Sprint(h.TLS.Bits))
		}
	}
	if h.Authenticated {
		b.WriteString(" auth")
	}
	if h.Local {
		b.WriteString(" local")
	}
	if h.Fetched {
		b.WriteString(" fetched")
	}
	if h.HTTP {
		b.WriteString(" http")
	}
	add("user", h.User)
	add("software", string(h.Software))
	if h.HasDate {
		add("date", h.Date.Time.UTC().Format("02T15:04:05"))
	}
	if len(h.Faults) > 0 {
		add("faults", fmt.Sprint(h.Faults))
	}
	return strings.TrimSpace(b.String())
}

const at = "; Mon, 2 Nov 2026 10:00:00 +0900"

func TestParse(t *testing.T) {
	const date = " date=02T01:00:00"
	for _, c := range []struct{ name, in, want string }{
		{"postfix", "from mail.shop.example (web01.host.example [192.0.2.25])\r\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\r\n\t key-exchange X25519 server-signature RSA-PSS (2048 bits))\r\n\t(No client certificate requested)\r\n\tby mx.customer.example (Postfix) with ESMTPS id 4XYZ\r\n\tfor <taro@customer.example>" + at + " (JST)",
			"helo=mail.shop.example reverse=web01.host.example addr=192.0.2.25 by=mx.customer.example with=ESMTPS id=4XYZ for=taro@customer.example tls version=TLS1.3 cipher=TLS_AES_256_GCM_SHA384 bits=256 software=postfix"},
		{"postfix, no reverse name, IPv6", "from mail.shop.example (unknown [IPv6:2001:db8::25]) by mx.customer.example (Postfix) with ESMTP id 4XYZ" + at,
			"helo=mail.shop.example no-reverse addr=2001:db8::25 by=mx.customer.example with=ESMTP id=4XYZ software=postfix"},
		{"postfix, greeting is an address", "from [10.0.0.5] (pc.isp.example [203.0.113.9]) (Authenticated sender: taro@shop.example) by mail.shop.example (Postfix) with ESMTPSA id 4XYZ" + at,
			"helo=[10.0.0.5] reverse=pc.isp.example addr=203.0.113.9 by=mail.shop.example with=ESMTPSA id=4XYZ tls auth user=taro@shop.example software=postfix"},
		{"postfix, from a program", "by web01.host.example (Postfix, from userid 33) id 4XYZ" + at, "by=web01.host.example id=4XYZ local user=33 software=postfix"},
		{"postfix, content filter", "from localhost (localhost [127.0.0.1]) by mail.shop.example (Postfix) with ESMTP id 4XYZ" + at,
			"helo=localhost reverse=localhost addr=127.0.0.1 by=mail.shop.example with=ESMTP id=4XYZ software=postfix"},
		{"amavis", "from mail.shop.example ([127.0.0.1]) by localhost (mail.shop.example [127.0.0.1]) (amavisd-new, port 10024) with ESMTP id AbC" + at,
			"helo=mail.shop.example addr=127.0.0.1 by=localhost with=ESMTP id=AbC"},
		{"exim, HELO is the reverse name", "from mail.shop.example ([192.0.2.25]) by mx.customer.example with esmtps (TLS1.3) tls TLS_AES_256_GCM_SHA384 (Exim 4.96) (envelope-from <order@shop.example>) id 1qABC-0001 for taro@customer.example" + at,
			"helo=mail.shop.example reverse=mail.shop.example addr=192.0.2.25 by=mx.customer.example with=esmtps id=1qABC-0001 for=taro@customer.example mail=<order@shop.example> tls version=TLS1.3 cipher=TLS_AES_256_GCM_SHA384 software=exim"},
		{"exim, another HELO, port, bounce", "from web01.host.example ([192.0.2.25]:54321 helo=mail.shop.example) by mx.customer.example with esmtp (Exim 4.96) (envelope-from <>) id 1q" + at,
			"helo=mail.shop.example reverse=web01.host.example addr=192.0.2.25 by=mx.customer.example with=esmtp id=1q mail=<> software=exim"},
		{"exim, no reverse name", "from [192.0.2.25] (helo=mail.shop.example) by mx.customer.example with smtp (Exim 4.96) id 1q" + at,
			"helo=mail.shop.example addr=192.0.2.25 by=mx.customer.example with=smtp id=1q software=exim"},
		{"exim, port before helo", "from [192.0.2.25] (port=1234 helo=[10.0.0.1]) by mx.customer.example with esmtpsa (TLSv1.2:ECDHE-RSA-AES256-GCM-SHA384:256) (Exim 4.92) id 1q" + at,
			"helo=[10.0.0.1] addr=192.0.2.25 by=mx.customer.example with=esmtpsa id=1q tls version=TLS1.2 cipher=ECDHE-RSA-AES256-GCM-SHA384 bits=256 auth software=exim"},
		{"exim, from a program", "from www-data by web01.host.example with local (Exim 4.96) (envelope-from <www-data@web01.host.example>) id 1q" + at,
			"by=web01.host.example with=local id=1q mail=<www-data@web01.host.example> local user=www-data software=exim"},
		{"sendmail", "from mail.shop.example (web01.host.example [192.0.2.25]) by mx.customer.example (8.17.1/8.17.1) with ESMTPS id 3A (version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384 bits=256 verify=NOT) for <taro@customer.example>" + at,
			"helo=mail.shop.example reverse=web01.host.example addr=192.0.2.25 by=mx.customer.example with=ESMTPS id=3A for=taro@customer.example tls version=TLS1.3 cipher=TLS_AES_256_GCM_SHA384 bits=256 software=sendmail"},
		{"sendmail, forged", "from mail.shop.example (IDENT:root@web01.host.example [192.0.2.25] (may be forged)) by mx.customer.example (8.9.3/3.7W) with ESMTP id AAA00001" + at,
			"helo=mail.shop.example no-reverse addr=192.0.2.25 by=mx.customer.example with=ESMTP id=AAA00001 software=sendmail"},
		{"sendmail, authenticated", "from pc (pc.isp.example [203.0.113.9]) (authenticated bits=0) by mail.shop.example (8.14.4/8.14.4) with ESMTP id 3A" + at,
			"helo=pc reverse=pc.isp.example addr=203.0.113.9 by=mail.shop.example with=ESMTP id=3A auth software=sendmail"},
		{"sendmail, from a program", "(from apache@localhost) by web01.host.example (8.14.4/8.14.4/Submit) id 3A" + at, "by=web01.host.example id=3A local user=apache software=sendmail"},
		{"qmail", "from unknown (HELO mail.shop.example) (192.0.2.25) by mx.customer.example with SMTP" + at,
			"helo=mail.shop.example no-reverse addr=192.0.2.25 by=mx.customer.example with=SMTP software=qmail"},
		{"qmail, names, user", "from web01.host.example (HELO mail.shop.example) (order@shop.example@192.0.2.25) by mx.customer.example with (ECDHE-RSA-AES256-GCM-SHA384 encrypted) ESMTPSA; 2 Nov 2026 01:00:00 -0000",
			"helo=mail.shop.example reverse=web01.host.example addr=192.0.2.25 by=mx.customer.example with=ESMTPSA tls cipher=ECDHE-RSA-AES256-GCM-SHA384 auth software=qmail"},
		{"qmail, from a program", "(qmail 12345 invoked by uid 89); 2 Nov 2026 01:00:00 -0000", "local user=89 software=qmail"},
		{"qmail, from the network", "(qmail 12345 invoked from network); 2 Nov 2026 01:00:00 -0000", "local software=qmail"},
		{"gmail", "from web01.host.example (web01.host.example. [192.0.2.25])\r\n        by mx.google.com with ESMTPS id d2e1a72fcca58-1abc.12.2026.11.01.17.00.00\r\n        for <taro@gmail.example>\r\n        (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256);\r\n        Sun, 01 Nov 2026 17:00:00 -0800 (PST)",
			"helo=web01.host.example reverse=web01.host.example addr=192.0.2.25 by=mx.google.com with=ESMTPS id=d2e1a72fcca58-1abc.12.2026.11.01.17.00.00 for=taro@gmail.example tls version=TLS1.3 cipher=TLS_AES_256_GCM_SHA384 bits=256 software=google"},
		{"gmail, no reverse name", "from mail.shop.example ([2001:db8::25]) by mx.google.com with ESMTP id x" + at,
			"helo=mail.shop.example no-reverse addr=2001:db8::25 by=mx.google.com with=ESMTP id=x software=google"},
		{"gmail, within", "by 2002:a05:7300:1234:b0:12:34:56 with SMTP id abc123csp; Sun, 1 Nov 2026 17:00:00 -0800 (PST)",
			"by=2002:a05:7300:1234:b0:12:34:56 by-addr=2002:a05:7300:1234:b0:12:34:56 with=SMTP id=abc123csp software=google"},
		{"gmail, API", "from 123456789 named unknown by gmailapi.google.com with HTTPREST" + at,
			"helo=123456789 by=gmailapi.google.com with=HTTPREST auth http software=google"},
		{"microsoft, edge", "from mail.shop.example (192.0.2.25) by\r\n OS0JPN01FT001.mail.protection.outlook.com (10.13.137.1) with Microsoft SMTP\r\n Server (version=TLS1_3, cipher=TLS_AES_256_GCM_SHA384) id 15.20.9275.10 via\r\n Frontend Transport; Mon, 2 Nov 2026 01:00:00 +0000",
			"helo=mail.shop.example addr=192.0.2.25 by=OS0JPN01FT001.mail.protection.outlook.com by-addr=10.13.137.1 via=Frontend Transport with=Microsoft SMTP Server id=15.20.9275.10 tls version=TLS1.3 cipher=TLS_AES_256_GCM_SHA384 software=microsoft"},
		{"microsoft, between mailboxes", "from TYAPR01MB0001.jpnprd01.prod.outlook.com (2603:1096:404::1) by OSAPR01MB0001.jpnprd01.prod.outlook.com with HTTPS" + at,
			"helo=TYAPR01MB0001.jpnprd01.prod.outlook.com addr=2603:1096:404::1 by=OSAPR01MB0001.jpnprd01.prod.outlook.com with=HTTPS tls software=microsoft"},
		{"exchange, mapi", "from EX1.shop.example ([fe80::1]) by EX1.shop.example ([fe80::1%4]) with mapi id 15.20.9275.010" + at,
			"helo=EX1.shop.example addr=fe80::1 by=EX1.shop.example by-addr=fe80::1 with=mapi id=15.20.9275.010 auth software=microsoft"},
		{"yahoo", "from 192.0.2.25 (EHLO mail.shop.example) by 10.197.38.77 with SMTPs (version=TLS1_3 cipher=TLS_AES_128_GCM_SHA256); Mon, 02 Nov 2026 01:00:00 +0000",
			"helo=mail.shop.example addr=192.0.2.25 by=10.197.38.77 by-addr=10.197.38.77 with=SMTPs tls version=TLS1.3 cipher=TLS_AES_128_GCM_SHA256 software=yahoo"},
		{"yahoo japan", "from 192.0.2.25  (EHLO mail.shop.example) (192.0.2.25) by mta0001.mail.djm.yahoo.co.jp with SMTP" + at,
			"helo=mail.shop.example addr=192.0.2.25 by=mta0001.mail.djm.yahoo.co.jp with=SMTP software=yahoo"},
		{"amazon ses", "from a8-1.smtp-out.amazonses.com (a8-1.smtp-out.amazonses.com [192.0.2.25]) by inbound-smtp.us-east-1.amazonaws.com with SMTP id abc for taro@customer.example; Mon, 02 Nov 2026 01:00:00 +0000 (UTC)",
			"helo=a8-1.smtp-out.amazonses.com reverse=a8-1.smtp-out.amazonses.com addr=192.0.2.25 by=inbound-smtp.us-east-1.amazonaws.com with=SMTP id=abc for=taro@customer.example"},
		{"docomo", "from mail.shop.example (mail.shop.example [192.0.2.25]) by mfsmax.docomo.example (DOCOMO Mail Server Ver2.0) with ESMTP id 5A for <taro@docomo.example>" + at + " (JST)",
			"helo=mail.shop.example reverse=mail.shop.example addr=192.0.2.25 by=mfsmax.docomo.example with=ESMTP id=5A for=taro@docomo.example"},
		{"ironport", "from web01.host.example (HELO mail.shop.example) ([192.0.2.25]) by mx.customer.example with ESMTP/TLS/AES128-SHA; 02 Nov 2026 10:00:00 +0900",
			"helo=mail.shop.example reverse=web01.host.example addr=192.0.2.25 by=mx.customer.example with=ESMTP/TLS/AES128-SHA tls cipher=AES128-SHA software=qmail"},
		{"vger", "from mail.shop.example ([192.0.2.25]:46624 \"EHLO mail.shop.example\" rhost-flags-OK-OK-OK-OK) by lists.example with ESMTP id S1 (ORCPT <rfc822;l@lists.example>)" + at,
			"helo=mail.shop.example reverse=mail.shop.example addr=192.0.2.25 by=lists.example with=ESMTP id=S1"},
		{"dovecot", "from mx.customer.example by imap.customer.example with LMTP id abc (envelope-from <order@shop.example>) for <taro@customer.example>" + at,
			"helo=mx.customer.example by=imap.customer.example with=LMTP id=abc for=taro@customer.example mail=<order@shop.example> software=dovecot"},
		{"fetched", "from pop.isp.example [192.0.2.110] by pc with POP3 (fetchmail-6.4.29) for <taro@localhost> (single-drop)" + at,
			"helo=pop.isp.example addr=192.0.2.110 by=pc with=POP3 for=taro@localhost fetched"},
		{"RFC 2822", "from client1.shop.example  [192.0.2.1] by submitserver.example with SUBMISSION" + at, "helo=client1.shop.example addr=192.0.2.1 by=submitserver.example with=SUBMISSION"},
		{"web mail of old", "from [192.0.2.25] by web1.mail.example via HTTP" + at, "helo=[192.0.2.25] addr=192.0.2.25 by=web1.mail.example via=HTTP auth http"},
		{"no semicolon", "from grnt.example (HELO grnt.example) (192.0.2.25) by mx.customer.example with SMTP 2 Nov 2026 10:00:00 +0900",
			"helo=grnt.example reverse=grnt.example addr=192.0.2.25 by=mx.customer.example with=SMTP software=qmail faults=[no-semicolon]"},
		{"two semicolons", "from a.example (a.example [192.0.2.25]) by b.example with ESMTP id 1; spf=pass" + at, "helo=a.example reverse=a.example addr=192.0.2.25 by=b.example with=ESMTP id=1"},
		{"no date", "from a.example (a.example [192.0.2.25]) by b.example with ESMTP id 1", "helo=a.example reverse=a.example addr=192.0.2.25 by=b.example with=ESMTP id=1 faults=[no-date]"},
		{"a comment without end", "from a.example (a.example [192.0.2.25] by b.example" + at, "helo=a.example reverse=a.example addr=192.0.2.25 faults=[no-end no-by]"},
		{"no address in brackets", "from a.example (a.example [unknown]) by b.example" + at, "helo=a.example by=b.example faults=[bad-address]"},
		{"empty", "", "faults=[no-date no-by]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := c.want
			if !strings.Contains(want, "no-date") {
				if i := strings.Index(want, " faults="); i >= 0 {
					want = want[:i] + date + want[i:]
				} else {
					want += date
				}
			}
			if got := line(Parse(c.in)); got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
}

func hop(from, addr, by, clock string) string {
	return fmt.Sprintf("from %s (%s [%s]) by %s with ESMTP id 1; Mon, 2 Nov 2026 %s +0900", from, from, addr, by, clock)
}

// The border is where the receiver took the mail from somebody else. What a
// naive reader takes, the lowest field, the topmost address, is wrong in each.
func TestBoundary(t *testing.T) {
	const (
		gIn   = "by 2002:a05:7300:1234:b0:12:34:56 with SMTP id abc; Mon, 2 Nov 2026 10:00:03 +0900"
		gEdge = "from mail.shop.example (web01.host.example. [192.0.2.25]) by mx.google.com with ESMTPS id x for <t@gmail.example> (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256); Mon, 2 Nov 2026 10:00:02 +0900"
		gSub  = "from [10.0.0.9] (pc.isp.example. [203.0.113.9]) by smtp.gmail.com with ESMTPSA id x; Mon, 2 Nov 2026 10:00:00 +0900"
		msIn  = "from TYAPR01MB1.jpnprd01.prod.outlook.com (2603:1096:404::1) by OSAPR01MB1.jpnprd01.prod.outlook.com with HTTPS; Mon, 2 Nov 2026 01:00:03 +0000"
		msFT  = "from OS0JPN01FT001.eop-JPN01.prod.protection.outlook.com (2603:1096:405:cafe::5) by TYAPR01MB1.outlook.office365.com (2603:1096:404::2) with Microsoft SMTP Server id 1; Mon, 2 Nov 2026 01:00:03 +0000"
		msEd  = "from mail.shop.example (192.0.2.25) by OS0JPN01FT001.mail.protection.outlook.com (10.13.137.1) with Microsoft SMTP Server id 1 via Frontend Transport; Mon, 2 Nov 2026 01:00:02 +0000"
		msOut = "from JPN01-OS0-obe.outbound.protection.outlook.com (40.107.0.1) by OS0JPN01FT001.mail.protection.outlook.com (10.13.137.1) with Microsoft SMTP Server id 1; Mon, 2 Nov 2026 01:00:02 +0000"
		local = "by web01.host.example (Postfix, from userid 33) id 1; Mon, 2 Nov 2026 10:00:00 +0900"
	)
	forged := hop("bank.example", "198.51.100.1", "mx.google.com", "09:59:00")
	for _, c := range []struct {
		name   string
		fields []string
		o      Options
		want   string
	}{
		{"gmail", []string{gIn, gEdge, local}, Options{}, "known-receiver gmail 1 192.0.2.25 helo=mail.shop.example reverse=web01.host.example 10:00:02"},
		{"gmail, forged below", []string{gIn, gEdge, forged}, Options{}, "known-receiver gmail 1 192.0.2.25 helo=mail.shop.example reverse=web01.host.example 10:00:02"},
		{"gmail to gmail", []string{gIn, strings.Replace(gEdge, "web01.host.example.", "mail-sor-f41.google.com.", 1), gIn, gSub}, Options{}, "known-receiver gmail 1 192.0.2.25 helo=mail.shop.example reverse=mail-sor-f41.google.com 10:00:02"},
		{"the author's copy at gmail", []string{gSub}, Options{}, "unknown submission []"},
		{"collected from gmail by a mail program", []string{"from imap.gmail.com [192.0.2.99] by pc with IMAP (fetchmail-6.4.29); Mon, 2 Nov 2026 10:05:00 +0900", gIn, gEdge}, Options{}, "known-receiver gmail 2 192.0.2.25 helo=mail.shop.example reverse=web01.host.example 10:00:02"},
		{"microsoft", []string{msIn, msFT, msEd, local}, Options{}, "known-receiver microsoft 2 192.0.2.25 helo=mail.shop.example reverse= 10:00:02"},
		{"microsoft to microsoft", []string{msIn, msOut, msIn}, Options{}, "known-receiver microsoft 1 40.107.0.1 helo=JPN01-OS0-obe.outbound.protection.outlook.com reverse= 10:00:02"},
		{"within microsoft", []string{msIn, msIn}, Options{}, "unknown no-outside [0 1]"},
		{"yahoo japan", []string{hop("mail.shop.example", "192.0.2.25", "mta1.mail.djm.yahoo.co.jp", "10:00:02")}, Options{}, "known-receiver yahoojp 0 192.0.2.25 helo=mail.shop.example reverse=mail.shop.example 10:00:02"},
		{"a server nobody knows", []string{hop("mail.shop.example", "192.0.2.25", "mx.customer.example", "10:00:02")}, Options{}, "unknown not-a-receiver [0]"},
		{"a known receiver below a server nobody knows", []string{hop("mail.shop.example", "192.0.2.26", "mx.customer.example", "10:00:02"), gEdge}, Options{}, "unknown not-a-receiver [0 1]"},
		{"given host", []string{hop("mail.shop.example", "192.0.2.25", "mx.customer.example", "10:00:02"), forged}, Options{ReceiverHosts: []string{"Customer.Example."}}, "receiver-host Customer.Example. 0 192.0.2.25 helo=mail.shop.example reverse=mail.shop.example 10:00:02"},
		{"given host behind filters", []string{
			"from mx.customer.example by imap.customer.example with LMTP id 1; Mon, 2 Nov 2026 10:00:05 +0900",
			"from localhost (localhost [127.0.0.1]) by mx.customer.example (Postfix) with ESMTP id 1; Mon, 2 Nov 2026 10:00:04 +0900",
			"from mx.customer.example ([127.0.0.1]) by localhost (amavisd-new) with ESMTP id 1; Mon, 2 Nov 2026 10:00:03 +0900",
			hop("gw.customer.example", "203.0.113.2", "mx.customer.example", "10:00:02"),
			hop("mail.shop.example", "192.0.2.25", "gw.customer.example", "10:00:01"), local}, Options{ReceiverHosts: []string{"customer.example"}},
			"receiver-host customer.example 4 192.0.2.25 helo=mail.shop.example reverse=mail.shop.example 10:00:01"},
		{"given host is not there", []string{gIn, gEdge}, Options{ReceiverHosts: []string{"mx.customer.example"}}, "unknown host-not-found [1]"},
		{"given host is only in a forged field", []string{hop("a.example", "192.0.2.1", "b.example", "10:00:00"), forged}, Options{ReceiverHosts: []string{"mx.google.com"}}, "unknown host-not-found [0 1]"},
		{"given host took it from its author", []string{"from pc (pc.isp.example [203.0.113.9]) by mail.shop.example (Postfix) with ESMTPSA id 1" + at}, Options{ReceiverHosts: []string{"mail.shop.example"}}, "unknown submission []"},
		{"given address", []string{gIn, gEdge, forged}, Options{Addr: netip.MustParseAddr("198.51.100.1")}, "ip  2 198.51.100.1 helo=bank.example reverse=bank.example 09:59:00"},
		{"given address in no field", []string{gIn}, Options{Addr: netip.MustParseAddr("198.51.100.2")}, "ip  -1 198.51.100.2 helo= reverse= "},
		{"no field", nil, Options{}, "unknown no-received []"},
		{"a host whose name only begins like gmail's", []string{hop("a.example", "192.0.2.1", "mx.google.com.evil.example", "10:00:00")}, Options{}, "unknown not-a-receiver [0]"},
		{"delivered on the host itself", []string{gIn, local}, Options{}, "unknown no-outside []"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Read(c.fields, c.o)
			b := p.Boundary
			got := fmt.Sprintf("%s %s %v", b.How, b.Reason, b.Candidates)
			if b.How != NotKnown {
				clock := ""
				if !b.Time.IsZero() {
					clock = b.Time.In(time.FixedZone("", 9*3600)).Format("15:04:05")
				}
				got = fmt.Sprintf("%s %s %d %s helo=%s reverse=%s %s", b.How, b.Receiver, b.Index, b.Addr, b.HELO, b.Reverse, clock)
			}
			if got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
			for i, s := range p.Steps {
				if s.Trusted != (i <= b.Index) {
					t.Errorf("step %d: trusted is %v", i, s.Trusted)
				}
			}
		})
	}
}

func TestDelays(t *testing.T) {
	p := Read([]string{
		hop("c.example", "192.0.2.3", "d.example", "10:05:00"),
		"by c.example with ESMTP id 1",
		hop("b.example", "10.0.0.1", "c.example", "09:00:00"),
		hop("a.example", "127.0.0.1", "b.example", "10:00:01"),
		hop("a.example", "2001:db8::1", "a.example", "10:00:02"),
	}, Options{})
	var out []string
	for _, s := range p.Steps {
		out = append(out, fmt.Sprintf("%s %s %v", s.Kind, s.Delay, s.Backwards))
	}
	want := "public 1h5m0s false|none 0s false|private -1h0m1s true|loopback -1s false|public 0s false"
	if got := strings.Join(out, "|"); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestManyHops(t *testing.T) {
	p := Read(make([]string, 100_000), Options{})
	if len(p.Steps) != MaxSteps || p.More != 100_000-MaxSteps {
		t.Error(len(p.Steps), p.More)
	}
}

// The table has its columns, and every suffix once.
func TestRows(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Rows() {
		if seen[r.Suffix] {
			t.Errorf("%s twice", r.Suffix)
		}
		seen[r.Suffix] = true
	}
	if len(seen) < 30 {
		t.Errorf("%d rows", len(seen))
	}
}

func FuzzParse(f *testing.F) {
	f.Add("from mail.shop.example (web01.host.example [192.0.2.25]) (using TLSv1.3 with cipher X (256/256 bits)) by mx.customer.example (Postfix) with ESMTPS id 4XYZ for <t@c.example>" + at)
	f.Add("from unknown (HELO a) (u@192.0.2.25) by b with (X encrypted) SMTP; 2 Nov 2026 01:00:00 -0000")
	f.Add("qmail 1 invoked by uid 89); 2 Nov6202  01:00:00 -0000")
	f.Add("(qmail 1 invoked by uid 89); 2 Nov 2026 01:00:00 -0000")
	f.Add("from a ([fe80::1%4]) by 2002:a05:: with SMTP id \"x; y\" ((()")
	f.Fuzz(func(t *testing.T, s string) {
		h := Parse(s)
		if h.Addr.Zone() != "" || h.Addr.Is4In6() || len(h.Raw) > MaxLength {
			t.Fatalf("%+v", h)
		}
		p := Read([]string{s, s}, Options{ReceiverHosts: []string{"b"}})
		if b := p.Boundary; b.How != NotKnown && (b.Index < 0 || !b.Addr.IsValid()) {
			t.Fatalf("%+v", b)
		}
	})
}

// BenchmarkParse is one field of Postfix, against its date alone.
func BenchmarkParse(b *testing.B) {
	s := "from mail.shop.example (web01.host.example [192.0.2.25]) (using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)) by mx.customer.example (Postfix) with ESMTPS id 4XYZ for <t@c.example>" + at
	b.ReportAllocs()
	for b.Loop() {
		Parse(s)
	}
	own := float64(b.Elapsed()) / float64(b.N)
	b.StopTimer()
	const n = 10_000
	start := time.Now()
	for range n {
		message.ParseDate(at[2:])
	}
	b.ReportMetric(own/(float64(time.Since(start))/n), "x-date")
}
