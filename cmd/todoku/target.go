package main

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dnsbl"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// targetFlags are the flags that say what a run is about.
type targetFlags struct {
	ips            []string
	helo, mailFrom string
	from           string
	selectors      []string
	dkimDomain     string
	privateKey     string
	dnsbl          []string
	dnsblAll       bool
}

func (f *targetFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringSliceVar(&f.ips, "ip", nil, "address that sends the mail, IPv4 or IPv6 (repeatable)")
	fl.StringVar(&f.helo, "helo", "", "name that the server gives in HELO/EHLO")
	fl.StringVar(&f.mailFrom, "mail-from", "", "Return-Path: address, domain, or '<>' for the null sender (default DOMAIN)")
	fl.StringSliceVar(&f.selectors, "selector", nil, "DKIM selector that mail is signed with (repeatable; without one they are guessed)")
	fl.StringVar(&f.dkimDomain, "dkim-domain", "", "domain of the DKIM signature, d= (default DOMAIN)")
	fl.StringVar(&f.privateKey, "private-key", "", "DKIM private key `FILE`: does it belong to the published record? It is never shown or kept")
	fl.StringArrayVar(&f.dnsbl, "dnsbl", nil, "ask this blocklist too: `ZONE` or ZONE:ip4,ip6,domain (repeatable)")
	fl.BoolVar(&f.dnsblAll, "dnsbl-all", false, "ask the minor blocklists too")
	fl.StringVar(&f.from, "from", "", "header From: address or domain (default DOMAIN)")
}

// target reads DOMAIN and the flags. Only DOMAIN and the addresses must be
// valid: a malformed Return-Path or HELO is evaluated as RFC 7208 §4.3 says.
func (f *targetFlags) target(cmd *cobra.Command, domain string) (diag.Target, error) {
	name, err := dnsq.ParseName(domain)
	if err != nil {
		return diag.Target{}, usagef("DOMAIN: %v", err)
	}
	t := diag.Target{Domain: name, From: name, MailFrom: name, DKIMDomain: name, Helo: f.helo}
	for _, s := range f.ips {
		ip, err := netip.ParseAddr(strings.Trim(strings.TrimSpace(s), "[]"))
		switch {
		case err != nil && strings.Contains(s, "/"):
			return t, usagef("--ip %q is a network: give single addresses, one --ip each", s)
		case err != nil:
			return t, usagef("--ip %q is not an IP address: expected one such as 192.0.2.1 or 2001:db8::1", s)
		case ip.Zone() != "":
			return t, usagef("--ip %q has a zone: give the public address without %%%s", s, ip.Zone())
		}
		if ip = ip.Unmap(); !slices.Contains(t.IPs, ip) {
			t.IPs = append(t.IPs, ip)
		}
	}
	if cmd.Flags().Changed("mail-from") {
		t.MailFrom = address(f.mailFrom)
		t.NullSender = t.MailFrom == ""
		if f.mailFrom == "" {
			return t, usagef(`--mail-from is empty: give an address, a domain, or '<>' for the null sender`)
		}
	}
	if cmd.Flags().Changed("from") {
		t.From = address(f.from)
		if i := strings.LastIndexByte(t.From, '@'); i >= 0 {
			t.From = t.From[i+1:]
		}
		if t.From == "" {
			return t, usagef("--from %q names no domain: give an address or a domain, such as info@shop.example", f.from)
		}
		if n, err := dnsq.ParseName(t.From); err == nil {
			t.From = n
		}
	}
	if cmd.Flags().Changed("selector") && len(f.selectors) == 0 {
		f.selectors = []string{""}
	}
	for _, sel := range f.selectors {
		if strings.TrimSpace(sel) == "" {
			return t, usagef("--selector is empty: give the s= of a DKIM-Signature header, such as s1")
		}
		t.Selectors = append(t.Selectors, strings.TrimSpace(sel))
	}
	if cmd.Flags().Changed("dkim-domain") {
		if t.DKIMDomain, err = dnsq.ParseName(f.dkimDomain); err != nil {
			return t, usagef("--dkim-domain: %v", err)
		}
	}
	if t.Blocklists, err = f.blocklists(); err != nil {
		return t, err
	}
	if f.privateKey != "" {
		if t.ProveKey, err = f.prover(); err != nil {
			return t, err
		}
	}
	if cmd.Flags().Changed("helo") && f.helo == "" {
		return t, usagef("--helo is empty: give the name from the server's greeting, such as mail.example.com")
	}
	return t, nil
}

// blocklists are those that flags name.
func (f *targetFlags) blocklists() (diag.Blocklists, error) {
	out := diag.Blocklists{All: f.dnsblAll}
	for _, s := range f.dnsbl {
		if _, err := dnsbl.ParseSpec(s); err != nil {
			return out, usagef("--dnsbl: %v", err)
		}
		out.Extra = append(out.Extra, s)
	}
	return out, nil
}

// prover reads the private key. The key stays in what it returns: no report,
// recording or error holds any of it.
func (f *targetFlags) prover() (func(record string) error, error) {
	if len(f.selectors) == 0 {
		return nil, usagef("--private-key needs --selector: the name under which the key's public half is published")
	}
	key, err := os.ReadFile(f.privateKey)
	if err != nil {
		return nil, usagef("--private-key: %v", err)
	}
	if err := dkim.CheckPrivateFile(key); err != nil {
		return nil, usagef("--private-key %s: %v", f.privateKey, err)
	}
	return func(record string) error { return dkim.CheckPrivateKey(key, record) }, nil
}

// address takes the angle brackets off an address and writes its domain in
// the canonical way, if it can be.
func address(s string) string {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "<") && strings.HasSuffix(s, ">") {
		s = s[1 : len(s)-1]
	}
	i := strings.LastIndexByte(s, '@')
	if name, err := dnsq.ParseName(s[i+1:]); err == nil {
		return s[:i+1] + name
	}
	return s
}

// pick narrows the list of checks by --only and --skip.
func pick(all []*diag.Check, only, skip []string) ([]*diag.Check, error) {
	var names []string
	for _, c := range all {
		names = append(names, c.Name)
	}
	for flag, list := range map[string][]string{"--only": only, "--skip": skip} {
		for _, n := range list {
			if !slices.Contains(names, n) {
				return nil, usagef("%s %q is not a check: expected one of %s", flag, n, strings.Join(names, ", "))
			}
		}
	}
	var out []*diag.Check
	for _, c := range all {
		if (len(only) == 0 || slices.Contains(only, c.Name)) && !slices.Contains(skip, c.Name) {
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		return nil, usage(fmt.Errorf("--only and --skip leave no check: the checks are %s", strings.Join(names, ", ")))
	}
	return out, nil
}
