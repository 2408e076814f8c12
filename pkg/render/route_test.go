package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
)

type routeData struct{ r *diag.Route }

func (d routeData) Route() *diag.Route { return d.r }

// hostileName would clear a terminal, turn the line round, close an element and
// open a code span.
const hostileName = "pc\x1b[2J\u202e</code><script>`##[endgroup]"

func sampleRoute() *diag.Route {
	jst := time.FixedZone("", 9*3600)
	at := time.Date(2026, 11, 2, 10, 0, 0, 0, jst)
	return &diag.Route{Border: 2, Receiver: "gmail", More: 3, Legs: []diag.Leg{
		{From: hostileName, Addr: "192.168.1.20", To: "mail.shop.example", With: "ESMTPSA", TLS: "TLS1.3", Time: at, Claim: true,
			Notes: []diag.LegNote{{Code: "private"}, {Code: "login"}}},
		{From: "localhost", Addr: "127.0.0.1", To: "mail.shop.example", With: "ESMTP", Time: at.Add(-3 * time.Hour), Delay: -3 * time.Hour, HasDelay: true, Claim: true,
			Notes: []diag.LegNote{{Code: "backwards", Bad: true}}},
		{From: "mail.shop.example", Addr: "192.0.2.25", Name: "vps-25.host.example", To: "mx.google.com", With: "ESMTP", Time: at.Add(42 * time.Minute).In(time.UTC),
			Delay: 222 * time.Minute, HasDelay: true, Notes: []diag.LegNote{{Code: "no-tls", Bad: true}, {Code: "slow", Bad: true}}},
		{To: "a-very-long-name-of-a-host-within-the-receiver-that-fits-on-no-narrow-terminal.google.com", Notes: []diag.LegNote{{Code: "no-time"}}},
	}}
}

// mailReport is the sample report about a message.
func mailReport() *diag.Report {
	r := sampleReport()
	r.Trouble = nil
	r.Target.Domain, r.Target.MailFrom, r.Target.Selectors = "shop.example", "", nil
	r.Target.IPs = []netip.Addr{netip.MustParseAddr("192.0.2.25")}
	r.Target.Mail = &diag.MailHead{File: "mails/order.eml", Size: 4711, From: "お店 <info@shop.example>", To: "taro@customer.example",
		Subject: "ご注文ありがとうございます " + hostileName, Date: "Mon, 2 Nov 2026 10:00:00 +0900", MessageID: "<1@shop.example>",
		Clock: time.Date(2026, 11, 2, 1, 42, 0, 0, time.UTC), ClockFrom: "received", AddressFrom: "known-receiver", Receiver: "gmail"}
	field := "Received: from mail.shop.example\r\n\tby mx.google.com; Mon, 2 Nov\r\n 2026 10:42:00 +0900"
	r.Checks = r.Checks[1:]
	r.Checks[0].Findings = []diag.Finding{{Kind: kNoPTR, Subject: "192.0.2.25", Evidence: []diag.Evidence{
		{Name: "Received", Type: "header", Text: field, Offset: strings.Index(field, "mx."), Length: 13, Source: dnsq.SourceMessage, File: "mails/order.eml", Line: 2}}}}
	r.Checks[0].Status = diag.Fail
	r.Checks[0].Data = routeData{sampleRoute()}
	return r
}

// The head of a message and its way, in both languages, wide and narrow.
func TestMailReport(t *testing.T) {
	for _, lang := range []string{"en", "ja"} {
		cat := catalog(t, lang)
		for _, width := range []int{80, 40} {
			var b bytes.Buffer
			if err := Text(&b, mailReport(), cat, Options{Width: width}); err != nil {
				t.Fatal(err)
			}
			clean(t, b.String())
			for l := range strings.Lines(b.String()) {
				if n := columns(strings.TrimSuffix(l, "\n")); n > width {
					t.Errorf("%s, %d columns: %d wide: %s", lang, width, n, l)
				}
			}
			golden(t, fmt.Sprintf("mail-%s-%d.golden", lang, width), b.Bytes())
		}
		run := &diag.Run{Reports: []*diag.Report{mailReport()}, Started: sampleReport().Started}
		for _, f := range []struct{ format, file string }{{"html", "html-%s-mail.html"}, {"markdown", "markdown-%s-mail.md"}} {
			var b bytes.Buffer
			g, _ := Lookup(f.format)
			if err := g.Write(&b, run, cat, Options{}); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(b.String(), "<script>") && f.format == "html" {
				t.Error("a name became markup")
			}
			clean(t, b.String())
			golden(t, fmt.Sprintf(f.file, lang), b.Bytes())
		}
	}
}

func clean(t *testing.T, s string) {
	t.Helper()
	for _, r := range s {
		if r != '\n' && r != '\u00a0' && sanitize.Unsafe(r) {
			t.Errorf("%U reached the reader", r)
		}
	}
}

// Of a loop of hundreds of legs the first and the last are shown, and the border.
func TestRouteIsBounded(t *testing.T) {
	r := &diag.Route{Border: 60}
	for i := range 200 {
		r.Legs = append(r.Legs, diag.Leg{From: fmt.Sprintf("h%d.example", i), To: fmt.Sprintf("h%d.example", i+1), Claim: i < 60})
	}
	cat := catalog(t, "en")
	lines := routeLines(cat, "ptr", r, false)
	if len(lines) > 4*routeLegs+4 {
		t.Errorf("%d lines", len(lines))
	}
	text := ""
	for _, l := range lines {
		for _, p := range l.parts {
			text += plainText(p.pieces) + "\n"
		}
	}
	for _, want := range []string{"h0.example", "h4.example", "55 more steps", "h61.example", "131 more steps", "h200.example"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not shown", want)
		}
	}
	if n := len(routeLines(cat, "ptr", r, true)); n < 400 {
		t.Errorf("with -v %d lines of 200 legs", n)
	}
	for border := range 200 {
		r.Border = border - 1
		routeLines(cat, "ptr", r, false)
	}
	routeLines(cat, "ptr", &diag.Route{Border: 5}, false)
	// Where nobody is known to be the receiver, the end says so.
	none := routeLines(cat, "ptr", &diag.Route{Border: -1, Legs: r.Legs[:2]}, false)
	if last := none[len(none)-1]; last.kind != routeBorder || !strings.Contains(plainText(last.parts[0].pieces), "claim") {
		t.Errorf("without a border the last line is %v", last)
	}
}

// The head of a message in JSON, as the schema has it.
func TestMailJSON(t *testing.T) {
	var b bytes.Buffer
	if err := JSON(&b, mailReport(), catalog(t, "en"), Options{}); err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema(t).Validate(v); err != nil {
		t.Error(err)
	}
	var got struct {
		Target struct{ Message map[string]any }
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if m := got.Target.Message; m["clock"] != "2026-11-02T01:42:00Z" || m["address_from"] != "known-receiver" || m["size"] != 4711.0 {
		t.Errorf("%v", m)
	}
}
