package main

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/message"
)

// messageFlags say what a mail does not say itself, or not for certain.
type messageFlags struct {
	ip            string
	helo          string
	mailFrom      string
	now           string
	receiverHosts []string
	original      bool
	forwarded     bool
}

func newMessage(s stdio) *cobra.Command {
	var mf messageFlags
	var rf runFlags
	cmd := &cobra.Command{
		Use:   "message FILE|-",
		Short: "What one real mail says: who sent it, whether it passes, and where it goes wrong",
		Long: `message reads one mail as it lies in a file (.eml, or an mbox with one message; -
is the standard input) and evaluates it as a receiver would: the way it came, SPF,
every DKIM signature, ARC, DMARC, its form.

The sending address is the last host outside the receiver. It is taken from the
Received fields only where the receiver is known or named; otherwise the report says
that it is not known, and --receiver-host or --ip say it. The DNS of today is not the
DNS of the day when the mail came: where that matters the report says so.

With --zone or --record-set the report says whether this very mail would pass with
the proposed records; with --ip, from another server; with --forwarded, after somebody
has forwarded it.`,
		Example: `  todoku message mail.eml
  todoku message mail.eml --receiver-host mx.customer.example
  todoku message mail.eml --zone shop.example.zone     would it pass with this zone?
  todoku message mail.eml --forwarded                  and after somebody has forwarded it?
  todoku message bounce.eml --original                 the mail inside a bounce`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				return nil
			}
			return usagef("message takes one FILE, or - for the standard input, but got %d arguments", len(args))
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			g, closeMail, err := mf.gating(cmd, s, args[0], &rf)
			if err != nil {
				return err
			}
			defer closeMail()
			return rf.check(cmd.Context(), cmd, s, g)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&mf.ip, "ip", "", "address that sent the mail, in place of what the Received fields say")
	fl.StringVar(&mf.helo, "helo", "", "name that the server gave in HELO/EHLO, in place of what the Received fields say")
	fl.StringVar(&mf.mailFrom, "mail-from", "", "Return-Path, in place of the message's: address, or '<>' for the null sender")
	fl.StringArrayVar(&mf.receiverHosts, "receiver-host", nil, "`NAME` of a host of the receiver, or a domain of its hosts: what it wrote is believed (repeatable)")
	fl.StringVar(&mf.now, "now", "", "judge the mail as of this `TIME` (RFC 3339 or RFC 5322; default: when it was received)")
	fl.BoolVar(&mf.original, "original", false, "the message is a bounce: judge the mail inside it")
	fl.BoolVar(&mf.forwarded, "forwarded", false, "what if: say too whether the mail passes after somebody has forwarded it unchanged")
	rf.addReport(cmd)
	rf.addFix(cmd)
	rf.addZones(cmd)
	rf.addDNS(cmd, defaultTimeout)
	return cmd
}

// proposes reports whether zones and records are laid over a DNS that answers: only
// then is there something to compare with. A recording holds one side alone, so a
// run that makes or takes one has none.
func (f *runFlags) proposes() bool {
	return (f.zones != nil || f.recordSets != nil) && !f.offline && f.record == "" && f.replay == ""
}

// gating reads the message and makes it the one target of a run.
func (f *messageFlags) gating(cmd *cobra.Command, s stdio, file string, rf *runFlags) (*gating, func(), error) {
	m, closeMail, err := f.read(s, file)
	if err != nil {
		return nil, nil, err
	}
	t, err := f.target(cmd, s, m, rf)
	if err != nil {
		closeMail()
		return nil, nil, err
	}
	return &gating{targets: []diag.Target{t}}, closeMail, nil
}

func (f *messageFlags) read(s stdio, file string) (*message.Message, func(), error) {
	in, name := s.in, "stdin"
	if file != "-" {
		r, err := os.Open(file)
		if err != nil {
			return nil, nil, usagef("message: %v", err)
		}
		defer r.Close()
		in, name = io.Reader(r), file
	}
	m, err := message.Read(in, name, message.Options{})
	if err != nil {
		var bad *message.Error
		if errors.As(err, &bad) {
			return nil, nil, usagef("message: %v", bad)
		}
		return nil, nil, usagef("message %s: %v", name, err)
	}
	if !f.original {
		return m, func() { _ = m.Close() }, nil
	}
	part := m.Original()
	if part == nil {
		_ = m.Close()
		return nil, nil, usagef("--original: %s holds no copy of another mail: leave the flag out", name)
	}
	inner, err := part.Message()
	if err != nil {
		_ = m.Close()
		return nil, nil, usagef("--original: %v", err)
	}
	return inner, func() { _ = inner.Close(); _ = m.Close() }, nil
}

// target is what the message says about itself, and the flags beside it.
func (f *messageFlags) target(cmd *cobra.Command, s stdio, m *message.Message, rf *runFlags) (diag.Target, error) {
	opt := facts.MailOptions{ReceiverHosts: f.receiverHosts, Today: s.now(), Forwarded: f.forwarded, Records: rf.proposes()}
	for _, h := range f.receiverHosts {
		if _, err := dnsq.ParseName(h); err != nil {
			return diag.Target{}, usagef("--receiver-host: %v", err)
		}
	}
	if f.ip != "" {
		ip, err := netip.ParseAddr(strings.Trim(f.ip, "[]"))
		if err != nil || ip.Zone() != "" {
			return diag.Target{}, usagef("--ip %q is not an IP address: expected one such as 192.0.2.1 or 2001:db8::1", f.ip)
		}
		opt.Addr = ip.Unmap()
	}
	if cmd.Flags().Changed("helo") {
		if f.helo == "" {
			return diag.Target{}, usagef("--helo is empty: give the name from the server's greeting, such as mail.example.com")
		}
		opt.Helo = f.helo
	}
	if cmd.Flags().Changed("mail-from") {
		if f.mailFrom == "" {
			return diag.Target{}, usagef(`--mail-from is empty: give an address, or '<>' for the null sender`)
		}
		opt.MailFrom = f.mailFrom
	}
	if f.now != "" {
		t, err := time.Parse(time.RFC3339, f.now)
		if err != nil {
			d, err := message.ParseDate(f.now)
			if err != nil {
				return diag.Target{}, usagef("--now %q is not a time: expected one such as 2026-11-22T09:00:00+09:00", f.now)
			}
			t = d.Time
		}
		opt.Now = t
	}
	return facts.MailTarget(m, opt), nil
}
