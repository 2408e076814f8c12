package facts

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/message"
	"github.com/todoku-mail/todoku/pkg/orgdomain"
	"github.com/todoku-mail/todoku/pkg/received"
)

// MailOptions are what a person says about a message beside it.
type MailOptions struct {
	ReceiverHosts []string   // as received.Options
	Addr          netip.Addr // the sending address; the zero Addr: what the Received fields say
	Helo          string     // "": what the Received fields say
	MailFrom      string     // address, or "<>"; "": what the message says
	Now           time.Time  // the time for which it is judged; zero: that of its receipt
	Today         time.Time  // the clock of the run, for a message that says no time at all
	// Records: records that are not published are laid over the DNS. Forwarded is as
	// in [Mail].
	Records, Forwarded bool
}

// MailTarget is what a message says about itself: the target of a run on it. The
// target's Domain is "" if neither From nor Return-Path hold a domain name.
func MailTarget(msg *message.Message, o MailOptions) diag.Target {
	var values []string
	for _, x := range msg.Fields("Received") {
		values = append(values, x.Value())
	}
	m := &Mail{Message: msg, Path: received.Read(values, received.Options{ReceiverHosts: o.ReceiverHosts, Addr: o.Addr})}
	t := diag.Target{Inputs: map[diag.Input]bool{diag.MailInput: true}, Message: m, Helo: o.Helo}
	b := &m.Path.Boundary
	m.AsReceived = *b
	if o.Addr.IsValid() {
		m.AsReceived = received.Read(values, received.Options{ReceiverHosts: o.ReceiverHosts}).Boundary
	}
	m.Proposed = o.Records || m.AsReceived.Addr.IsValid() && m.AsReceived.Addr != b.Addr
	m.Forwarded = o.Forwarded
	t.Inputs[diag.WhatIfInput] = m.Proposed || m.Forwarded
	if b.Addr.IsValid() {
		t.IPs, m.AddressFrom = []netip.Addr{b.Addr}, string(b.How)
	}
	if t.Helo == "" {
		t.Helo = b.HELO
	}
	m.clock(&o)
	m.returnPath(&t, &o)
	t.From = fromDomain(msg)
	t.Domain = t.From
	if t.Domain == "" {
		// Something has to be looked at: whoever takes the bounces.
		if name, err := dnsq.ParseName(t.MailFromDomain()); err == nil {
			t.Domain = name
		}
	}
	m.signer(&t)
	t.Mail = m.head()
	return t
}

// fromDomain is the domain of the first address in the first From field that has
// one, canonical; "" if there is none.
func fromDomain(m *message.Message) string {
	for _, field := range m.Fields("From") {
		for _, a := range field.Addresses().Addresses {
			if name, err := dnsq.ParseName(a.Domain); err == nil && strings.Contains(name, ".") {
				return name
			}
		}
	}
	return ""
}

// ForeignFrom reports whether a mail names somebody else in From: an address that
// anybody can have at a mail provider, while neither the Return-Path nor a
// signature is the provider's. A contact form that puts its visitor's address
// there does so. The provider's records are then not what is to be mended.
func ForeignFrom(t *diag.Target) bool {
	if MailOf(t) == nil || !message.Freemail(t.From) {
		return false
	}
	org := func(d string) string {
		if o, ok := orgdomain.PSL(d); ok {
			return o
		}
		return d
	}
	signed := len(t.Selectors) > 0 && org(t.DKIMDomain) == org(t.From)
	return !signed && org(t.MailFromDomain()) != org(t.From)
}

// returnPath sets the Return-Path: that of the options, of the topmost Return-Path
// field, or that which the border's Received field names.
func (m *Mail) returnPath(t *diag.Target, o *MailOptions) {
	set := func(s string) {
		s = strings.TrimSpace(s)
		if strings.HasPrefix(s, "<") && strings.HasSuffix(s, ">") {
			s = s[1 : len(s)-1]
		}
		i := strings.LastIndexByte(s, '@')
		if name, err := dnsq.ParseName(s[i+1:]); err == nil {
			s = s[:i+1] + name
		}
		t.MailFrom, t.NullSender = s, s == ""
	}
	if o.MailFrom != "" {
		set(o.MailFrom)
		return
	}
	if field := m.Field("Return-Path"); field != nil {
		if l := field.Addresses(); len(l.Addresses) > 0 {
			set("<" + l.Addresses[0].Address() + ">")
		} else {
			set(field.Value()) // malformed: judged as such (RFC 7208 §4.3)
		}
		return
	}
	if i := m.Path.Boundary.Index; i >= 0 && m.Path.Steps[i].HasEnvelopeFrom {
		set("<" + m.Path.Steps[i].EnvelopeFrom + ">")
	}
}

// clock sets the time for which the mail is judged.
func (m *Mail) clock(o *MailOptions) {
	if !o.Now.IsZero() {
		m.Clock, m.ClockFrom = o.Now, "flag"
		return
	}
	if t := m.Path.Boundary.Time; !t.IsZero() {
		m.Clock, m.ClockFrom = t, "received"
		return
	}
	if len(m.Path.Steps) > 0 && m.Path.Steps[0].HasDate {
		m.Clock, m.ClockFrom = m.Path.Steps[0].Date.Time, "topmost"
		return
	}
	if field := m.Field("Date"); field != nil {
		if d, err := message.ParseDate(field.Value()); err == nil {
			m.Clock, m.ClockFrom = d.Time, "date"
			return
		}
	}
	m.Clock, m.ClockFrom = o.Today, "now"
}

// signer sets whose DKIM keys are looked at: of the signatures, those of the
// domain that is nearest to the From domain.
func (m *Mail) signer(t *diag.Target) {
	t.DKIMDomain = t.Domain
	org := func(d string) string {
		if o, ok := orgdomain.PSL(d); ok {
			return o
		}
		return d
	}
	best := 0
	var sigs []*dkim.Signature
	for i, field := range m.WireHeader() {
		if m.Message.Header[i].Is("DKIM-Signature") && len(sigs) < dkim.DefaultMax {
			sigs = append(sigs, dkim.ParseSignature(dkim.Field{Raw: field}))
		}
	}
	for _, sig := range sigs {
		rank := 0
		switch {
		case sig.Domain == "" || sig.Selector == "":
			continue
		case sig.Domain == t.From:
			rank = 3
		case t.From != "" && org(sig.Domain) == org(t.From):
			rank = 2
		default:
			rank = 1
		}
		if rank > best {
			best, t.DKIMDomain = rank, sig.Domain
		}
	}
	for _, sig := range sigs {
		if best > 0 && sig.Domain == t.DKIMDomain && sig.Selector != "" && !slices.Contains(t.Selectors, sig.Selector) {
			t.Selectors = append(t.Selectors, sig.Selector)
		}
	}
}

// head is what a report shows of the message itself.
func (m *Mail) head() *diag.MailHead {
	text := func(name string) string {
		if field := m.Field(name); field != nil {
			return field.Text()
		}
		return ""
	}
	b := &m.Path.Boundary
	return &diag.MailHead{File: m.File, Size: m.Size, From: text("From"), To: text("To"), Subject: text("Subject"),
		Date: text("Date"), MessageID: text("Message-ID"), Clock: m.Clock, ClockFrom: m.ClockFrom,
		AddressFrom: m.AddressFrom, AddressUnknown: string(b.Reason), Receiver: b.Receiver}
}
