// Package zone checks the text of zone files: what BIND or NSD would not load,
// and what they would read as something else than was meant. Once a zone is
// published, none of this can be seen any more but by its effects.
//
// Two sorts of fault are reported: those of the file as a whole, in the zone that
// holds the domain (and those of the From and Return-Path); and those of records
// that mail needs, at or below those domains. Anything else, such as a website's
// alias without its final dot, and any fault in other zones that were given
// along, is left to the tools of name servers. The exception are PTR records of
// the sending addresses, which stand in zones of their own.
//
// The check does not run without zone files, and asks no questions.
package zone

import (
	"context"
	"embed"
	"slices"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
)

//go:embed doc.*.md
var docs embed.FS

var (
	bindARM = diag.Page("BIND 9 Administrator Reference Manual", "https://bind9.readthedocs.io/en/stable/")
	rfc1035 = diag.RFC(1035, "5.1")
)

// keyed makes an argument part of the fingerprint: two hosts without their final
// dot at one name are two findings.
func keyed(k *diag.Kind, arg string) *diag.Kind {
	k.Key = []string{arg}
	return k
}

// fault is a kind for the code of a lint.
func fault(id string, status diag.Status, args []string, refs ...diag.Ref) *diag.Kind {
	return &diag.Kind{ID: id, Status: status, Owner: diag.DNSAdmin, Since: "0.1", Args: args, Refs: refs}
}

// What the check can find, by the code of the lint behind it.
var (
	kinds = map[diag.LintCode]*diag.Kind{
		diag.LintLongString:       fault("ZONE-LONG-STRING", diag.Fail, []string{"octets"}, diag.RFC(1035, "3.3"), diag.RFC(7208, "3.3")),
		diag.LintByteOrderMark:    fault("ZONE-BYTE-ORDER-MARK", diag.Fail, []string{"file"}, rfc1035),
		diag.LintOriginWithoutDot: fault("ZONE-ORIGIN-WITHOUT-DOT", diag.Fail, []string{"read", "meant"}, rfc1035),
		diag.LintOutOfZone:        fault("ZONE-OUT-OF-ZONE", diag.Fail, []string{"zone"}, diag.RFC(1034, "4.2")),
		diag.LintBesideCNAME:      fault("ZONE-BESIDE-CNAME", diag.Fail, []string{"type", "target"}, diag.RFC(1034, "3.6.2"), diag.RFC(2181, "10.1")),
		diag.LintBelowDNAME:       fault("ZONE-BELOW-DNAME", diag.Fail, []string{"dname"}, diag.RFC(6672, "2.4")),
		diag.LintNoNameServer:     fault("ZONE-NO-NAME-SERVER", diag.Fail, nil, diag.RFC(1034, "4.2.1"), bindARM),
		diag.LintServerAddress:    keyed(fault("ZONE-NAME-SERVER-ADDRESS", diag.Fail, []string{"server"}, diag.RFC(1034, "4.2.1"), bindARM), "server"),
		diag.LintCutBySemicolon:   fault("ZONE-CUT-BY-SEMICOLON", diag.Fail, []string{"kept"}, rfc1035),
		diag.LintUnquoted:         fault("ZONE-UNQUOTED", diag.Fail, []string{"read"}, rfc1035, diag.RFC(7208, "3.3")),
		diag.LintSmartQuotes:      fault("ZONE-SMART-QUOTES", diag.Fail, nil, rfc1035),
		diag.LintBackslash:        fault("ZONE-LITERAL-BACKSLASH", diag.Fail, nil, rfc1035),
		diag.LintQuote:            fault("ZONE-LITERAL-QUOTE", diag.Fail, nil, rfc1035),
		diag.LintMissingDot:       keyed(fault("ZONE-MISSING-DOT", diag.Fail, []string{"type", "read", "meant"}, rfc1035), "read"),
		diag.LintNameDoubled:      fault("ZONE-NAME-DOUBLED", diag.Fail, []string{"type", "meant"}, rfc1035),
		diag.LintUTF8Name:         fault("ZONE-UTF8-NAME", diag.Fail, []string{"read", "meant"}, diag.RFC(5891, "4.4")),
		diag.LintSPFTypeOnly:      fault("ZONE-SPF-TYPE-ONLY", diag.Fail, nil, diag.RFC(7208, "3.1")),
		diag.LintHostName:         keyed(fault("ZONE-HOST-NAME", diag.Warn, []string{"name"}, diag.RFC(1123, "2.1"), bindARM), "name"),
		diag.LintBelowCut:         fault("ZONE-BELOW-DELEGATION", diag.Warn, []string{"type", "cut"}, diag.RFC(1034, "4.2.1")),
		diag.LintTTL:              fault("ZONE-TTL-LONG", diag.Warn, []string{"hours", "names"}, diag.RFC(1912, "2.2")),
		diag.LintNegativeTTL:      fault("ZONE-NEGATIVE-TTL-LONG", diag.Warn, []string{"hours"}, diag.RFC(2308, "5")),
		diag.LintSerial:           fault("ZONE-SERIAL-NOT-GROWN", diag.Warn, []string{"before", "after"}, diag.RFC(1982, "3.2"), diag.RFC(1034, "4.3.5")),
		diag.LintSPFType:          fault("ZONE-SPF-TYPE", diag.Info, nil, diag.RFC(7208, "3.1")),
	}
	ok = &diag.Kind{ID: "ZONE-OK", Status: diag.Pass, Since: "0.2", Args: []string{"file", "records"}, Refs: []diag.Ref{rfc1035}}
	// Whether the domain's own zone file is among those that were given decides
	// nothing; but whoever gave one may think that it is.
	undetermined = &diag.Kind{ID: "ZONE-UNDETERMINED", Status: diag.Inconclusive, Owner: diag.DNSAdmin, Since: "0.2", Harmless: true,
		Args: []string{"question", "reason"}, Key: []string{"question", "reason"}, Refs: []diag.Ref{diag.RFC(1034, "4.2")}}
)

// Check is the zone check.
var Check = &diag.Check{
	Name:         "zone",
	Docs:         docs,
	Kinds:        all(),
	Needs:        diag.Needs{Input: diag.ZoneInput},
	Run:          run,
	Undetermined: undetermined,
}

// all are the kinds in the order of their lints' codes' IDs, the worst first.
func all() []*diag.Kind {
	var out []*diag.Kind
	for _, k := range kinds {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b *diag.Kind) int {
		if a.Status != b.Status {
			return int(b.Status) - int(a.Status)
		}
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return append(out, undetermined, ok)
}

// Data are the check's facts for machines.
type Data struct {
	Zones []ZoneData `json:"zones"` // those that hold the mail's domains
}

// ZoneData is one zone file. Lints counts those that were reported.
type ZoneData struct {
	Zone    string `json:"zone"`
	File    string `json:"file"`
	Records int    `json:"records"`
	Lints   int    `json:"lints"`
}

func run(_ context.Context, j *diag.Job) error {
	t := j.Target
	given := t.Zones
	if given == nil {
		given = &diag.ZoneFiles{}
	}
	domains := facts.MailDomains(t)
	if !slices.Contains(domains, t.DKIMDomain) && t.DKIMDomain != "" {
		domains = append(domains, t.DKIMDomain)
	}
	var reverse []string
	for _, ip := range t.IPs {
		reverse = append(reverse, dnsq.ReverseName(ip))
	}
	data := Data{Zones: []ZoneData{}}
	seen := map[string]bool{}
	for _, d := range domains {
		z, reason := zoneOf(given, d)
		if z == nil || reason != "" {
			// Only of the domain itself: that the From domain is another's is not
			// told by a missing file.
			if d == t.Domain {
				j.Report(diag.Finding{Kind: undetermined, Subject: d, Args: diag.Args{"question": d, "reason": reason}})
			}
			continue
		}
		if seen[z.Origin] {
			continue
		}
		seen[z.Origin] = true
		n, good := 0, true
		var long *diag.Finding
		for i := range given.Lints {
			l := &given.Lints[i]
			if l.Zone != z.Origin || !l.Whole && !(l.Mail && ours(l, domains)) {
				continue
			}
			n++
			f := finding(l)
			good = good && f.Kind.Status < diag.Warn
			// One $TTL makes all of them long: one finding.
			if l.Code == diag.LintTTL {
				if long == nil {
					f.Subject, f.Args["names"] = z.Origin, []string(nil)
					long = &f
				}
				long.Args["hours"] = max(long.Args["hours"].(int), f.Args["hours"].(int))
				if names := long.Args["names"].([]string); !slices.Contains(names, l.Name+" "+l.Type) {
					long.Args["names"] = append(names, l.Name+" "+l.Type)
				}
				continue
			}
			j.Report(f)
		}
		if long != nil {
			j.Report(*long)
		}
		if good {
			j.Report(diag.Finding{Kind: ok, Subject: z.Origin, Args: diag.Args{"file": z.File, "records": z.Records}})
		}
		data.Zones = append(data.Zones, ZoneData{z.Origin, z.File, z.Records, n})
	}
	// A missing dot in a reverse zone makes a name that does not lead back.
	for i := range given.Lints {
		if l := &given.Lints[i]; l.Type == "PTR" && l.Mail && slices.Contains(reverse, l.Name) && !seen[l.Zone] {
			j.Report(finding(l))
		}
	}
	j.SetData(data)
	return nil
}

// zoneOf is the zone that holds a domain, or why there is none: "not-given", or
// "delegated" if a zone hands the name on to servers whose zone was not given.
func zoneOf(given *diag.ZoneFiles, domain string) (*diag.ZoneFile, string) {
	var best *diag.ZoneFile
	for i := range given.Zones {
		z := &given.Zones[i]
		if dnsq.AtOrBelow(domain, z.Origin) && (best == nil || dnsq.AtOrBelow(z.Origin, best.Origin)) {
			best = z
		}
	}
	if best == nil {
		return nil, "not-given"
	}
	for _, cut := range best.Cuts {
		if dnsq.AtOrBelow(domain, cut) {
			return best, "delegated"
		}
	}
	return best, ""
}

// ours reports whether a lint is about a name at or below one of the domains, or
// one that was meant to be.
func ours(l *diag.Lint, domains []string) bool {
	return slices.ContainsFunc(domains, func(d string) bool {
		return dnsq.AtOrBelow(l.Name, d) || l.Code == diag.LintNameDoubled && dnsq.AtOrBelow(l.Meant, d)
	})
}

// finding is a lint as a finding.
func finding(l *diag.Lint) diag.Finding {
	if l.Code == diag.LintMore {
		return diag.Finding{Kind: undetermined, Subject: l.Zone, Args: diag.Args{"question": l.Zone, "reason": "too-many"}}
	}
	f := diag.Finding{Kind: kinds[l.Code], Subject: l.Name, Args: diag.Args{}}
	f.Evidence = []diag.Evidence{{Name: l.Name, Type: l.Type, Text: l.Text, Offset: l.Offset, Length: l.Length,
		Source: dnsq.SourceZone, File: l.Place.File, Line: l.Place.Line}}
	values := map[string]any{
		"octets": int(l.Number), "hours": int((l.Number + 3599) / 3600), "before": int(l.Was), "after": int(l.Number),
		"file": l.Place.File, "zone": l.Zone, "type": l.Type, "read": l.Read, "meant": l.Meant, "kept": l.Text,
		"target": l.Read, "dname": l.Read, "server": l.Read, "name": l.Read, "cut": l.Read,
	}
	if l.Code == diag.LintUnquoted {
		values["read"] = l.Text
	}
	for _, a := range f.Kind.Args {
		f.Args[a] = values[a]
	}
	if len(l.Fix) > 0 {
		f.Fixes = []diag.Fix{{Owner: diag.DNSAdmin, Edits: slices.Clone(l.Fix)}}
	}
	return f
}
