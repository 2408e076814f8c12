// Package gate is what a team keeps beside its DNS: an inventory of who sends
// and what has been accepted (todoku.yaml), a report to compare with (the
// baseline), and what the providers' records were when somebody last looked
// (the lock). It turns them into targets, marks findings, and holds the present
// against the past. It asks nothing and judges no record: checks do that.
//
// # The file
//
// Everything but domains may be left out.
//
//	server: 192.0.2.53            # or a list: who is asked, as --server has it
//	zones: [zones/shop.zone]      # zone files that answer for their origins
//	fail_on: warn                 # exit 1 from this status on: fail or warn
//	receivers: [gmail, docomo]    # whose demands matter
//	domains:
//	  shop.example:
//	    ips: [192.0.2.25, "2001:db8::25"]
//	    helo: mail.shop.example
//	    from: info@shop.example
//	    mail_from: bounce@shop.example      # or '<>'
//	    selectors: [s1, s2]
//	    dkim_domain: shop.example
//	    providers:                          # all of them; [] for none
//	      - Google Workspace
//	      - _spf.newsletter.example         # one by the name of its SPF include
//	      - {name: SendGrid, spf: false}    # sends with a Return-Path of its own
//	    receivers: [gmail]                  # in place of those above
//	    fail_on: fail
//	  old-shop.example:
//	    never_sends: true
//	    receives: true                      # but takes mail
//	waivers:
//	  - id: DMARC-POLICY-NONE
//	    subject: shop.example
//	    reason: reports are being read until the move is done
//	    expires: 2027-01-31                 # the first day on which it holds no more
//	  - fingerprint: 0123456789abcdef01234567
//	    reason: …
//	    expires: 2027-01-31
package gate

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/provider"
	"github.com/todoku-mail/todoku/pkg/receiver"
)

// An Inventory is what todoku.yaml says.
type Inventory struct {
	File    string
	Servers []string // in the form of --server
	Zones   []string // files or folders; relative ones are relative to the file's folder, and joined to it here
	// FailOn is the status from which on a run fails, for domains that do not say
	// their own; Skip if the file does not say.
	FailOn  diag.Status
	Domains []Domain // in the order of the file
	Waivers []diag.Waiver
}

// A Domain is one domain of an Inventory.
type Domain struct {
	Target diag.Target
	FailOn diag.Status // that of the Inventory, unless the domain says its own
}

// Targets are what to run, in the order of the file, each with all the waivers.
func (inv *Inventory) Targets() []diag.Target {
	out := make([]diag.Target, len(inv.Domains))
	for i := range inv.Domains {
		out[i] = inv.Domains[i].Target
		out[i].Waivers = inv.Waivers
	}
	return out
}

// Domain is the entry of a domain, whose name is canonical; nil if it has none.
func (inv *Inventory) Domain(name string) *Domain {
	for i := range inv.Domains {
		if inv.Domains[i].Target.Domain == name {
			return &inv.Domains[i]
		}
	}
	return nil
}

// Load reads the inventory in a file. checks are those whose IDs waivers may
// name; without any, IDs are not looked at. The error is of the file system, or
// Errors with all that is wrong in the file.
func Load(file string, checks ...*diag.Check) (*Inventory, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return Parse(b, file, checks...)
}

// Parse is Load for text that is at hand; file is its name.
func Parse(text []byte, file string, checks ...*diag.Check) (*Inventory, error) {
	r := &reader{file: file, max: maxFile}
	inv := &Inventory{File: file}
	if root := r.parse(text); root != nil {
		r.inventory(inv, root, checks)
	} else if len(r.errs) == 0 {
		r.errs = append(r.errs, &Error{File: file, Message: "is empty: expected at least \"domains:\" with a domain below it"})
	}
	if len(r.errs) > 0 {
		return nil, r.sorted()
	}
	return inv, nil
}

func (r *reader) inventory(inv *Inventory, root ast.Node, checks []*diag.Check) {
	pairs, ok := r.mapping(root, "the file")
	if !ok {
		return
	}
	var receivers []string
	var domains, waivers *pair
	for _, p := range pairs {
		switch p.name {
		case "server":
			for _, s := range r.texts(p, "DNS servers") {
				if _, err := dnsq.ParseServer(s.text); err != nil {
					r.bad(s.node, "%v", err)
				}
				inv.Servers = append(inv.Servers, s.text)
			}
		case "zones":
			for _, s := range r.texts(p, "zone files") {
				if !filepath.IsAbs(s.text) {
					s.text = filepath.Join(filepath.Dir(inv.File), s.text)
				}
				inv.Zones = append(inv.Zones, s.text)
			}
		case "fail_on":
			inv.FailOn = r.failOn(p)
		case "receivers":
			receivers = r.receivers(p)
		case "domains":
			domains = &p
		case "waivers":
			waivers = &p
		default:
			r.unknown(p, "the file", "server", "zones", "fail_on", "receivers", "domains", "waivers")
		}
	}
	switch {
	case domains == nil:
		r.bad(root, "the file names no domains: expected \"domains:\" with a domain below it")
	case domains.value == nil:
		r.bad(domains.key, "domains is empty: expected a domain below it, such as \"shop.example:\"")
	default:
		r.domains(inv, *domains, receivers)
	}
	if waivers != nil && waivers.value != nil {
		r.waivers(inv, *waivers, checks)
	}
}

func (r *reader) failOn(p pair) diag.Status {
	s, ok := r.str(p, "fail or warn")
	switch {
	case !ok:
	case s == "fail":
		return diag.Fail
	case s == "warn":
		return diag.Warn
	default:
		r.bad(p.value, "fail_on is %q: expected fail or warn", s)
	}
	return diag.Fail
}

func (r *reader) receivers(p pair) []string {
	out := []string{}
	for _, s := range r.texts(p, "receivers") {
		if _, ok := receiver.Lookup(s.text); !ok {
			r.bad(s.node, "%q is not a receiver%s expected one of %s", s.text, didYouMean(s.text, receiver.Names()), strings.Join(receiver.Names(), ", "))
			continue
		}
		if !slices.Contains(out, s.text) {
			out = append(out, s.text)
		}
	}
	return out
}

// didYouMean goes between what is wrong and what was expected.
func didYouMean(s string, known []string) string {
	if near := nearest(s, known); near != "" {
		return " (did you mean " + near + "?):"
	}
	return ":"
}

func (r *reader) domains(inv *Inventory, p pair, receivers []string) {
	pairs, ok := r.mapping(p.value, "domains")
	if !ok {
		return
	}
	if len(pairs) == 0 {
		r.bad(p.key, "domains is empty: expected a domain below it, such as \"shop.example:\"")
	}
	lines := map[string]int{}
	for _, dp := range pairs {
		name, err := dnsq.ParseName(dp.name)
		if err != nil {
			r.bad(dp.key, "%v", err)
			name = dp.name
		}
		if at := lines[name]; at != 0 {
			r.bad(dp.key, "%s stands here a second time, in another spelling; the first time in line %d", name, at)
			continue
		}
		lines[name] = line(dp.key)
		d := Domain{FailOn: inv.FailOn, Target: diag.Target{Domain: name, From: name, MailFrom: name, DKIMDomain: name,
			Declared: &diag.Declared{Receivers: receivers}, Named: diag.Place{File: r.file, Line: line(dp.key)},
			Inputs: map[diag.Input]bool{diag.InventoryInput: true}}}
		if dp.value != nil {
			r.domain(&d, dp)
		}
		inv.Domains = append(inv.Domains, d)
	}
}

// senders are the keys that say that, and how, a domain sends.
var senders = []string{"ips", "helo", "from", "mail_from", "selectors", "dkim_domain", "providers"}

func (r *reader) domain(d *Domain, dp pair) {
	pairs, ok := r.mapping(dp.value, dp.name)
	if !ok {
		return
	}
	t := &d.Target
	var never, sends, receives *pair
	for _, p := range pairs {
		if slices.Contains(senders, p.name) && sends == nil {
			sends = &p
		}
		switch p.name {
		case "ips":
			for _, s := range r.texts(p, "addresses such as 192.0.2.1 or \"2001:db8::1\"") {
				ip, err := netip.ParseAddr(strings.Trim(s.text, "[]"))
				switch {
				case err != nil && strings.Contains(s.text, "/"):
					r.bad(s.node, "%q is a network: expected single addresses", s.text)
				case err != nil:
					r.bad(s.node, "%q is not an IP address: expected one such as 192.0.2.1 or \"2001:db8::1\"", s.text)
				case ip.Zone() != "":
					r.bad(s.node, "%q has a zone: expected the public address without %%%s", s.text, ip.Zone())
				case slices.Contains(t.IPs, ip.Unmap()):
					r.bad(s.node, "%s stands here a second time", ip)
				default:
					t.IPs = append(t.IPs, ip.Unmap())
				}
			}
		case "helo":
			t.Helo, _ = r.str(p, "the name in the server's greeting, such as mail.example.com")
		case "from":
			if s, ok := r.str(p, "an address or a domain, such as info@shop.example"); ok {
				t.From = r.domainOf(p, s)
			}
		case "mail_from":
			if s, ok := r.str(p, "an address, a domain, or '<>' for the null sender"); ok {
				t.NullSender = s == "<>"
				t.MailFrom = ""
				if !t.NullSender {
					// A Return-Path that is evaluated as it is may be malformed on the
					// command line; what a team declares is to be right.
					at := strings.LastIndexByte(s, '@')
					t.MailFrom = strings.TrimPrefix(s[:at+1], "<") + r.domainOf(p, s)
				}
			}
		case "selectors":
			for _, s := range r.texts(p, "DKIM selectors, the s= of a signature") {
				if slices.Contains(t.Selectors, s.text) {
					r.bad(s.node, "%s stands here a second time", s.text)
					continue
				}
				t.Selectors = append(t.Selectors, s.text)
			}
		case "dkim_domain":
			if s, ok := r.str(p, "the domain of the signature, d="); ok {
				t.DKIMDomain = r.domainOf(p, s)
			}
		case "providers":
			t.Declared.Complete = true
			r.providers(t, p)
		case "receivers":
			t.Declared.Receivers = r.receivers(p)
		case "fail_on":
			d.FailOn = r.failOn(p)
		case "never_sends":
			if t.Declared.NeverSends = r.boolean(p); t.Declared.NeverSends {
				never = &p
			}
		case "receives":
			t.Declared.Receives = r.boolean(p)
			receives = &p
		default:
			r.unknown(p, dp.name, append(slices.Clone(senders), "receivers", "fail_on", "never_sends", "receives")...)
		}
	}
	if never != nil && sends != nil {
		r.bad(sends.key, "%s: %s says how the domain sends, but never_sends in line %d says that it does not: leave one of them out", dp.name, sends.name, line(never.key))
	}
	if receives != nil && never == nil {
		r.bad(receives.key, "%s: receives belongs to never_sends: true; a domain that sends is always expected to receive", dp.name)
	}
}

// domainOf is the domain of an address or a domain; it notes a fault where that
// is none.
func (r *reader) domainOf(p pair, s string) string {
	if strings.HasPrefix(s, "<") && strings.HasSuffix(s, ">") {
		s = s[1 : len(s)-1]
	}
	name, err := dnsq.ParseName(s[strings.LastIndexByte(s, '@')+1:])
	if err != nil {
		r.bad(p.value, "%s: %v", p.name, err)
		return s
	}
	return name
}

func (r *reader) providers(t *diag.Target, p pair) {
	for _, n := range r.list(p, "providers") {
		var dp diag.DeclaredProvider
		at := n
		switch orNil(n).(type) {
		case *ast.MappingNode, *ast.MappingValueNode:
			pairs, _ := r.mapping(n, "a provider")
			named := false
			for _, q := range pairs {
				switch q.name {
				case "name":
					dp.Name, named = r.str(q, "the name of a provider, or of its SPF include")
					at, named = q.value, true
				case "spf":
					dp.NoSPF = q.value != nil && !r.boolean(q)
				default:
					r.unknown(q, "a provider", "name", "spf")
				}
			}
			if !named {
				r.bad(n, "a provider without a name: expected \"name:\"")
			}
		default:
			dp.Name, _ = r.str(pair{name: p.name, key: p.key, value: orNil(n)}, "the name of a provider, or of its SPF include")
		}
		if dp.Name == "" {
			continue
		}
		known, spf := knownProvider(dp.Name)
		switch {
		case known != "" && !spf && !dp.NoSPF:
			r.bad(at, "no SPF include of %s is known: give the name of its include, such as _spf.provider.example, or {name: %s, spf: false} if it needs none", known, known)
		case known != "":
			dp.Name = known
		case strings.Contains(dp.Name, "."):
			name, err := dnsq.ParseName(dp.Name)
			if err != nil {
				r.bad(at, "%v", err)
			}
			dp.Name, dp.Include = name, true
		default:
			r.bad(at, "%q is not a provider that todoku knows%s give the name of its SPF include, such as _spf.provider.example", dp.Name, didYouMean(dp.Name, providerNames()))
			continue
		}
		if slices.ContainsFunc(t.Declared.Providers, func(o diag.DeclaredProvider) bool { return o.Name == dp.Name }) {
			r.bad(at, "%s stands here a second time", dp.Name)
			continue
		}
		t.Declared.Providers = append(t.Declared.Providers, dp)
	}
}

// fold is how names of providers are compared: "google-workspace" is Google
// Workspace.
func fold(s string) string {
	return strings.NewReplacer(" ", "", "-", "", "_", "", ".", "").Replace(strings.ToLower(s))
}

// knownProvider is the name as package provider has it, "" if it does not; spf
// says whether an SPF include of it is known.
func knownProvider(name string) (known string, spf bool) {
	for _, f := range provider.Facts() {
		if f.Provider != provider.Generic && fold(f.Provider) == fold(name) {
			known = f.Provider
			spf = spf || f.Kind == provider.SPFInclude
		}
	}
	return known, spf
}

func providerNames() []string {
	var out []string
	for _, f := range provider.Facts() {
		if f.Provider != provider.Generic && !slices.Contains(out, f.Provider) {
			out = append(out, f.Provider)
		}
	}
	return out
}

var (
	fingerprintForm = regexp.MustCompile(`^[0-9a-f]{24}$`)
	digestForm      = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	dateForm        = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`)
)

func (r *reader) waivers(inv *Inventory, p pair, checks []*diag.Check) {
	list, ok := p.value.(*ast.SequenceNode)
	if !ok {
		r.bad(p.value, "waivers is %s: expected a list, a \"- \" before each", kindOf(p.value))
		return
	}
	type key struct{ id, subject, fingerprint string }
	seen := map[key]int{}
	for _, n := range list.Values {
		pairs, ok := r.mapping(n, "a waiver")
		if !ok {
			continue
		}
		w := diag.Waiver{Place: diag.Place{File: r.file, Line: line(n)}}
		has := map[string]bool{}
		for _, q := range pairs {
			has[q.name] = true
			switch q.name {
			case "id":
				if w.ID, ok = r.str(q, "the ID of a finding, such as DMARC-POLICY-NONE"); ok {
					r.knownID(q, w.ID, checks)
				}
			case "subject":
				if w.Subject, ok = r.str(q, "the name or address that the finding is about"); ok {
					w.Subject = canonicalSubject(w.Subject)
				}
			case "fingerprint":
				if w.Fingerprint, ok = r.str(q, "the fingerprint of a finding, from -o json"); ok {
					if !fingerprintForm.MatchString(w.Fingerprint) {
						r.bad(q.value, "%q is not a fingerprint: expected 24 digits 0-9 a-f, as -o json shows it", w.Fingerprint)
					}
				}
			case "reason":
				w.Reason, _ = r.str(q, "why the finding is accepted")
			case "expires":
				w.Expires = r.date(q)
			default:
				r.unknown(q, "a waiver", "id", "subject", "fingerprint", "reason", "expires")
			}
		}
		switch {
		case has["fingerprint"] && has["subject"]:
			r.bad(n, "a waiver names a finding by id and subject, or by fingerprint, not by both")
		case !has["fingerprint"] && !has["id"]:
			r.bad(n, "a waiver without an id: expected \"id:\" and \"subject:\", or \"fingerprint:\"")
		case !has["fingerprint"] && !has["subject"]:
			r.bad(n, "the waiver of %s has no subject: expected the name or address that the finding is about; todoku accepts nothing for all domains at once", w.ID)
		}
		if !has["reason"] {
			r.bad(n, "a waiver without a reason: expected \"reason:\" and why the finding is accepted")
		}
		if !has["expires"] {
			r.bad(n, "a waiver without an end: expected \"expires:\" and a date, such as 2027-01-31")
		}
		k := key{w.ID, w.Subject, w.Fingerprint}
		if w.Fingerprint != "" {
			k.id = ""
		}
		if at := seen[k]; at != 0 {
			r.bad(n, "this waiver stands here a second time; the first time in line %d", at)
		}
		seen[k] = line(n)
		inv.Waivers = append(inv.Waivers, w)
	}
}

func (r *reader) knownID(p pair, id string, checks []*diag.Check) {
	if len(checks) == 0 {
		return
	}
	var ids []string
	for _, c := range checks {
		for _, k := range c.Kinds {
			if k.ID == id {
				if c.Review != nil {
					r.bad(p.value, "%s is about the waivers themselves and cannot be waived: mend or remove the waiver that it tells of", id)
				}
				return
			}
			ids = append(ids, k.ID)
		}
	}
	r.bad(p.value, "%q is not the ID of a finding%s todoku list names them all", id, didYouMean(id, ids))
}

func (r *reader) date(p pair) time.Time {
	s, ok := r.str(p, "a date, such as 2027-01-31")
	if !ok {
		return time.Time{}
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil && dateForm.MatchString(s) {
		return t
	}
	r.bad(p.value, "%q is not a date: expected year-month-day, such as 2027-01-31", s)
	return time.Time{}
}

// canonicalSubject writes a name or an address as findings have it; what is
// neither stays as it is.
func canonicalSubject(s string) string {
	if ip, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return ip.Unmap().String()
	}
	if name, err := dnsq.ParseName(s); err == nil {
		return name
	}
	return s
}
