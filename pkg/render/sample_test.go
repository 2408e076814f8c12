package render

import (
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/i18n"
)

// The sample checks have texts of the size and kind that real ones have.
const alphaEN = `# SPF: which servers may send mail for the domain

Reads the SPF record of the Return-Path domain and evaluates it for the sending address.

## SPF-IP-NOT-AUTHORIZED

The SPF record of {subject} does not allow {ip} to send: the result is {result}.

### Why

Receivers that check SPF refuse the message or file it as spam. DMARC cannot pass through SPF either.

More for those who want to know:

- Gmail answers 550 5.7.26
- others defer with 451 and try again, in vain, for days until the message is returned to the sender

### Fix

Add {ip} to the record, before the term that ends it, if that server really sends your mail.

    example.com. TXT "v=spf1 ip4:192.0.2.1 -all"

## SPF-SYNTAX

The SPF record of {subject} has an error: {problem}.

### Why

Receivers ignore the whole record or treat it as a permanent error.

### Fix

Correct the marked part.

## SPF-NEAR-LOOKUP-LIMIT

The SPF record of {subject} takes {n} of 10 allowed DNS look-ups.

### Why

One more include of a provider breaks the record for every server.

### Fix

Remove includes of services that you no longer use.

## SPF-OBSOLETE-TYPE

{subject} still publishes a record of the obsolete type SPF.

## SPF-OK

The SPF record of {subject} allows {ip}.

## SPF-SKIPPED

No sending address was given, so SPF was not evaluated for one: give it with --ip.

## SPF-UNDETERMINED

SPF could not be evaluated: {question} got no answer ({reason}).

### Why

Whether receivers accept the sender cannot be said.

### Fix

Ask again later, or at another server (--server).
`

const alphaJA = `# SPF: どのサーバーがこのドメインのメールを送れるか

Return-Path のドメインの SPF レコードを読み、送信元の IP アドレスについて評価します。

## SPF-IP-NOT-AUTHORIZED

{subject} の SPF レコードは {ip} からの送信を許可していません。結果は {result} です。

### Why

SPF を確認する受信側は、メールを拒否するか、迷惑メールに分類します。DMARC も SPF では合格になりません。

さらに詳しい説明です。

- Gmail は 550 5.7.26 を返します
- ほかの受信側は 451 で保留し、何日も再送が続いたあとで送信者に戻ることがあります

### Fix

そのサーバーが本当にこのドメインのメールを送っている場合は、末尾の項目より前に {ip} を追加してください。

    example.com. TXT "v=spf1 ip4:192.0.2.1 -all"

## SPF-SYNTAX

{subject} の SPF レコードに誤りがあります: {problem}。

### Why

受信側はレコード全体を無視するか、恒久的なエラーとして扱います。

### Fix

印の付いた部分を直してください。

## SPF-NEAR-LOOKUP-LIMIT

{subject} の SPF レコードは、上限 10 回の DNS 参照のうち {n} 回を使います。

### Why

あと一つ事業者の include を加えると、すべてのサーバーについてレコードが無効になります。

### Fix

使わなくなったサービスの include を消してください。

## SPF-OBSOLETE-TYPE

{subject} に、廃止された SPF 型のレコードが残っています。

## SPF-OK

{subject} の SPF レコードは {ip} を許可しています。

## SPF-SKIPPED

送信元の IP アドレスがないため、SPF を評価していません。--ip で指定してください。

## SPF-UNDETERMINED

SPF を評価できませんでした。{question} の答えが得られません ({reason})。

### Why

受信側が受け取るかどうかは分かりません。

### Fix

時間をおいて試すか、別のサーバー (--server) に質問してください。
`

const betaEN = `# Reverse names of the sending addresses

Looks up the PTR records of each sending address and confirms them.

## PTR-MISSING

{subject} has no reverse name.

### Why

Gmail, Yahoo and many others refuse mail from addresses without one.

### Fix

Ask whoever gave you the address to set its reverse name to the name of your mail server.

## PTR-OK

{subject} is {names}, and that name leads back to it.

## PTR-UNDETERMINED

The reverse name could not be looked up: {question} got no answer ({reason}).

### Why

Whether receivers accept the server cannot be said.

### Fix

Ask again later, or at another server (--server).
`

const betaJA = `# 送信元アドレスの逆引き

送信元の IP アドレスごとに PTR レコードを引き、正引きで確かめます。

## PTR-MISSING

{subject} には逆引きの名前がありません。

### Why

Gmail や Yahoo など多くの受信側は、逆引きのないアドレスからのメールを拒否します。

### Fix

IP アドレスの割り当て元に、逆引きをメールサーバーの名前に設定するよう依頼してください。

## PTR-OK

{subject} の名前は {names} で、その名前から元のアドレスに戻れます。

## PTR-UNDETERMINED

逆引きを確認できませんでした。{question} の答えが得られません ({reason})。

### Why

受信側がこのサーバーを受け入れるかどうかは分かりません。

### Fix

時間をおいて試すか、別のサーバー (--server) に質問してください。
`

var (
	kNotAuth = &diag.Kind{ID: "SPF-IP-NOT-AUTHORIZED", Status: diag.Fail, Owner: diag.DNSAdmin, Args: []string{"ip", "result"}, Refs: []diag.Ref{diag.RFC(7208, "2.6.4"), diag.RFC(7208, "8.4")}, Since: "0.1"}
	kSyntax  = &diag.Kind{ID: "SPF-SYNTAX", Status: diag.Fail, Owner: diag.DNSAdmin, Args: []string{"problem"}, Refs: []diag.Ref{diag.RFC(7208, "4.6"), diag.Page("Google Workspace: SPF", "https://support.google.com/a/answer/33786")}, Since: "0.1"}
	kNear    = &diag.Kind{ID: "SPF-NEAR-LOOKUP-LIMIT", Status: diag.Warn, Owner: diag.DNSAdmin, Args: []string{"n"}, Refs: []diag.Ref{diag.RFC(7208, "4.6.4")}, Since: "0.1"}
	kOld     = &diag.Kind{ID: "SPF-OBSOLETE-TYPE", Status: diag.Info, Owner: diag.DNSAdmin, Refs: []diag.Ref{diag.RFC(7208, "3.1")}, Since: "0.1"}
	kOK      = &diag.Kind{ID: "SPF-OK", Status: diag.Pass, Args: []string{"ip"}, Refs: []diag.Ref{diag.RFC(7208, "2.6.3")}, Since: "0.1"}
	kSkip    = &diag.Kind{ID: "SPF-SKIPPED", Status: diag.Skip, Refs: []diag.Ref{diag.RFC(7208, "")}, Since: "0.1"}
	kUndet   = &diag.Kind{ID: "SPF-UNDETERMINED", Status: diag.Inconclusive, Args: []string{"question", "reason"}, Refs: []diag.Ref{diag.RFC(7208, "2.6.6")}, Since: "0.1"}
	kNoPTR   = &diag.Kind{ID: "PTR-MISSING", Status: diag.Fail, Owner: diag.Provider, Refs: []diag.Ref{diag.RFC(1912, "2.1")}, Since: "0.1"}
	kPTR     = &diag.Kind{ID: "PTR-OK", Status: diag.Pass, Args: []string{"names"}, Refs: []diag.Ref{diag.RFC(1912, "2.1")}, Since: "0.1"}
	kNoPTRA  = &diag.Kind{ID: "PTR-UNDETERMINED", Status: diag.Inconclusive, Args: []string{"question", "reason"}, Refs: []diag.Ref{diag.RFC(1912, "2.1")}, Since: "0.1"}

	alpha = &diag.Check{Name: "spf", Docs: docs(alphaEN, alphaJA), Kinds: []*diag.Kind{kNotAuth, kSyntax, kNear, kOld, kOK, kSkip, kUndet}, Undetermined: kUndet}
	beta  = &diag.Check{Name: "ptr", Docs: docs(betaEN, betaJA), Kinds: []*diag.Kind{kNoPTR, kPTR, kNoPTRA}, Undetermined: kNoPTRA}

	sampleChecks = []*diag.Check{alpha, beta}
)

func docs(en, ja string) fstest.MapFS {
	return fstest.MapFS{"doc.en.md": {Data: []byte(en)}, "doc.ja.md": {Data: []byte(ja)}}
}

func catalog(t testing.TB, lang string) *i18n.Catalog {
	t.Helper()
	c, err := i18n.Load(sampleChecks, lang)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// treeData is check data that can be drawn.
type treeData struct {
	Lookups int `json:"lookups"`
	show    bool
	tree    *diag.Tree
}

func (d treeData) Tree() *diag.Tree { return d.tree }
func (d treeData) ShowTree() bool   { return d.show }

func sampleTree() *diag.Tree {
	return &diag.Tree{Label: "shop.example", Cost: 12, Unit: "lookups", Limit: 10, Children: []*diag.Tree{
		{Label: "a", Cost: 1},
		{Label: "include:_spf.google.com", Cost: 4, Children: []*diag.Tree{
			{Label: "include:_netblocks.google.com", Cost: 1},
			{Label: "include:_netblocks2.google.com", Cost: 1},
			{Label: "include:_netblocks3.google.com", Cost: 1},
		}},
		{Label: "include:old.example.net", Cost: 1, Note: "void"},
		{Label: "include:spf.mailer.example", Cost: 6, Note: "limit", Bad: true, Children: []*diag.Tree{
			{Label: "mx", Cost: 1},
			{Label: "exists:%{i}._spf.mailer.example", Cost: 1},
			{Label: "include:a-very-long-name-of-a-provider-that-does-not-fit.on-a-narrow-terminal.example", Cost: 3},
		}},
	}}
}

func sampleReport() *diag.Report {
	timeout := &dnsq.Error{Question: dnsq.Q("_dmarc.shop.example", dnsq.TypeTXT), Reason: dnsq.Timeout, Server: "192.0.2.53:53", Detail: "read udp: i/o timeout"}
	bogus := &dnsq.Error{Question: dnsq.Q("mail.xn--r8jz45g.jp", dnsq.TypeAAAA), Reason: dnsq.ServFail, Server: "192.0.2.53:53", EDE: []string{"6 DNSSEC Bogus: signature expired"}}
	record := "v=spf1 a include:_spf.google.com include:old.example.net include:spf.mailer.example ip4:198.51.100.0/24 -all"
	return &diag.Report{
		Version: "0.1", Started: time.Date(2026, 11, 22, 16, 0, 0, 0, time.UTC), Duration: 412 * time.Millisecond,
		Queries: 21, Server: "192.0.2.53:53",
		Target: diag.Target{Domain: "xn--r8jz45g.jp", From: "xn--r8jz45g.jp", MailFrom: "info@xn--r8jz45g.jp", Helo: "mail.shop.example",
			IPs: []netip.Addr{netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("2001:db8::9")}, Selectors: []string{"s1", "google"}},
		Trouble: []diag.Trouble{{Err: timeout, Checks: []string{"spf", "ptr"}}, {Err: bogus, Checks: []string{"ptr"}}},
		Checks: []diag.CheckReport{
			{Check: alpha, Status: diag.Fail, Queries: 14, Duration: 310 * time.Millisecond,
				Data: treeData{Lookups: 12, show: true, tree: sampleTree()},
				Findings: []diag.Finding{
					{Kind: kOK, Subject: "xn--r8jz45g.jp", Args: diag.Args{"ip": "2001:db8::9"},
						Evidence: []diag.Evidence{{Name: "xn--r8jz45g.jp", Type: "TXT", Text: record, Source: dnsq.SourceDNS}}},
					{Kind: kNear, Subject: "xn--r8jz45g.jp", Args: diag.Args{"n": 9}},
					{Kind: kNotAuth, Subject: "xn--r8jz45g.jp", Args: diag.Args{"ip": "203.0.113.9", "result": "fail"},
						Evidence: []diag.Evidence{{Name: "xn--r8jz45g.jp", Type: "TXT", Text: record, Offset: strings.Index(record, "-all"), Length: 4, Source: dnsq.SourceZone, File: "zones/shop.zone", Line: 12}},
						Fixes: []diag.Fix{
							{Verified: true, Edits: []diag.Edit{{Name: "xn--r8jz45g.jp", Type: "TXT", Old: record, New: strings.Replace(record, "-all", "ip4:203.0.113.9 -all", 1)}}},
							{Owner: diag.MailAdmin, Unverified: []string{"SPF-SYNTAX", "inconclusive:old.example.net TXT"}, Edits: []diag.Edit{{Name: "mail.xn--r8jz45g.jp", Type: "A", New: "198.51.100.7"}}},
						}},
					{Kind: kOld, Subject: "xn--r8jz45g.jp"},
					{Kind: kSyntax, Subject: "xn--r8jz45g.jp", Args: diag.Args{"problem": "\x1b[2J届け"},
						Evidence: []diag.Evidence{
							{Name: "evil.example", Type: "TXT", Text: "v=spf1 \x1b[2J\u202e届け:メール\u200b -all", Offset: strings.Index("v=spf1 \x1b[2J\u202e届け", "届"), Length: len("届け"), Source: dnsq.SourceReplay},
							{Name: "long.example", Type: "TXT", Text: strings.Repeat("ip4:192.0.2.1 ", 300) + "ip4:x " + strings.Repeat("ip4:192.0.2.1 ", 300), Offset: 300*14 + 4, Length: 1, Source: dnsq.SourceDNS},
						}},
				}},
			{Check: beta, Status: diag.Inconclusive, Queries: 3, Duration: 90 * time.Millisecond,
				Findings: []diag.Finding{
					{Kind: kPTR, Subject: "203.0.113.9", Args: diag.Args{"names": []string{"mail.xn--r8jz45g.jp", "mail.shop.example"}}},
					{Kind: kNoPTRA, Subject: "2001:db8::9", Args: diag.Args{"question": "mail.xn--r8jz45g.jp AAAA", "reason": "servfail"},
						Unknown: []*dnsq.Error{bogus, timeout}},
				}},
		},
	}
}
