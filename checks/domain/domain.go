// Package domain checks that the domains of a mail exist in the DNS at all.
//
// An expired domain makes every other check fail at once. This one says so
// once, and the engine skips the checks that are about a domain that is not
// there.
package domain

import (
	"context"
	"embed"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/orgdomain"
)

//go:embed doc.*.md
var docs embed.FS

// What the check can find.
var (
	notFound = &diag.Kind{ID: "DOMAIN-NOT-FOUND", Status: diag.Fail, Moots: true, Owner: diag.DNSAdmin, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(8020, "2"), diag.RFC(5321, "2.3.5")}}
	nameNotFound = &diag.Kind{ID: "DOMAIN-NAME-NOT-FOUND", Status: diag.Fail, Moots: true, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"parent"}, Refs: []diag.Ref{diag.RFC(8020, "2"), diag.RFC(5321, "2.3.5")}}
	found = &diag.Kind{ID: "DOMAIN-FOUND", Status: diag.Pass, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(5321, "2.3.5")}}
	undetermined = &diag.Kind{ID: "DOMAIN-UNDETERMINED", Status: diag.Inconclusive, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"question", "reason"}, Key: []string{"question"}, Refs: []diag.Ref{diag.RFC(8020, "2")}}
)

// Check is the domain check: the sending domain, and those of the header From
// and the Return-Path where they differ.
var Check = &diag.Check{
	Name:         "domain",
	Docs:         docs,
	Kinds:        []*diag.Kind{notFound, nameNotFound, undetermined, found},
	Uses:         diag.Doors{DNS: true},
	Requires:     []diag.AnyFact{facts.Exists},
	Run:          run,
	Undetermined: undetermined,
}

// Data are the check's facts for machines.
type Data struct {
	Domains []DomainData `json:"domains"`
}

// DomainData is one domain; Exists is absent if it could not be found out.
type DomainData struct {
	Domain string `json:"domain"`
	Exists *bool  `json:"exists,omitempty"`
}

func run(ctx context.Context, j *diag.Job) error {
	var data Data
	list := facts.MailDomains(j.Target)
	for _, d := range list { // all at once; then each is waited for
		facts.Exists.Start(j.World, d)
	}
	for _, d := range list {
		exists, err := facts.Exists.Of(ctx, j.World, d)
		if err != nil {
			e := dnsq.AsError(dnsq.Q(d, dnsq.TypeTXT), err)
			j.Report(diag.Finding{Kind: undetermined, Subject: d, Unknown: []*dnsq.Error{e},
				Args: diag.Args{"question": e.Question.String(), "reason": string(e.Reason)}})
			data.Domains = append(data.Domains, DomainData{Domain: d})
			continue
		}
		data.Domains = append(data.Domains, DomainData{d, &exists})
		if exists {
			j.Report(diag.Finding{Kind: found, Subject: d, Args: diag.Args{}})
			continue
		}
		j.Report(missing(d))
	}
	j.SetData(data)
	return nil
}

// missing is the finding for a name that does not exist. For a registered
// domain the remedy is at the registrar, for a name below one in the zone.
func missing(d string) diag.Finding {
	if org, ok := orgdomain.PSL(d); ok && org != d {
		return diag.Finding{Kind: nameNotFound, Subject: d, Args: diag.Args{"parent": org}}
	}
	return diag.Finding{Kind: notFound, Subject: d, Args: diag.Args{}}
}
