package facts

import (
	"context"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dmarc"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/orgdomain"
)

// OrgDomain is the fact: the DNS tree walk from a domain (RFC 9989 §4.10). It
// never has an error: what could not be learnt is in the Result. Whether two
// domains belong together is orgdomain.Same of theirs.
var OrgDomain = &diag.Fact[string, *orgdomain.Result]{
	Name: "org-domain",
	Learn: func(ctx context.Context, w *diag.World, domain string) (*orgdomain.Result, error) {
		return orgdomain.Walk(ctx, w, domain), nil
	},
}

// DMARCPolicy is the policy that applies to mail From a domain.
type DMARCPolicy struct {
	Domain string
	Walk   *orgdomain.Result
	// Step is where the record that applies stands, Record that record, read.
	// nil: there is none, or (Unknown) it could not be learnt which.
	Step   *orgdomain.Step
	Record *dmarc.Record
	// Whom says how Domain stands to the record's domain, Verdict what the
	// record then asks for.
	Whom    dmarc.Whom
	Verdict dmarc.Verdict
	// WhomUnknown is set where it was not learnt whether Domain exists, and it
	// comes to the same: the Verdict is known but for its Tag, which is "".
	WhomUnknown *dnsq.Error
	// Unknown are the questions without an answer that the policy hangs on. If
	// Record is not nil, only the Verdict is unknown, not the record.
	Unknown []*dnsq.Error
}

// Known reports whether it was learnt what applies, a record or none.
func (p *DMARCPolicy) Known() bool { return len(p.Unknown) == 0 }

// DMARC is the fact: the policy for mail From a domain (RFC 9989 §4.10.1). It
// never has an error: see Unknown.
var DMARC = &diag.Fact[string, *DMARCPolicy]{
	Name:     "dmarc",
	Requires: []diag.AnyFact{OrgDomain, Exists},
	Learn: func(ctx context.Context, w *diag.World, domain string) (*DMARCPolicy, error) {
		walk, err := OrgDomain.Of(ctx, w, domain)
		if err != nil {
			return nil, err
		}
		p := &DMARCPolicy{Domain: domain, Walk: walk, Step: walk.Policy, Unknown: walk.PolicyUnknown}
		if p.Step == nil {
			return p, nil
		}
		p.Record = dmarc.Parse(p.Step.Record().Text())
		if p.Step.Domain != domain {
			p.Whom = dmarc.Subdomain
			// §3.2.13: a domain does not exist if a query for it gets NXDOMAIN.
			// Asked only where it makes a difference.
			sp, np := p.Record.Evaluate(dmarc.Subdomain), p.Record.Evaluate(dmarc.NonExistent)
			if sp != np {
				switch exists, err := exists(ctx, w, walk); {
				case err != nil && sp.Policy == np.Policy && sp.Applied == np.Applied:
					p.WhomUnknown = err
					p.Verdict = dmarc.Verdict{Policy: sp.Policy, Applied: sp.Applied}
					return p, nil
				case err != nil:
					p.Unknown = append(p.Unknown, err)
					return p, nil
				case !exists:
					p.Whom = dmarc.NonExistent
				}
			}
		}
		p.Verdict = p.Record.Evaluate(p.Whom)
		return p, nil
	},
}

// exists reports whether the domain of a walk exists.
func exists(ctx context.Context, w *diag.World, walk *orgdomain.Result) (bool, *dnsq.Error) {
	// RFC 8020: if _dmarc below it exists, be it as an alias of nothing, so does
	// the domain.
	if a := walk.Steps[0].Answer; a != nil && (a.Exists() || len(a.Chain) > 0) {
		return true, nil
	}
	found, err := Exists.Of(ctx, w, walk.Domain)
	if err != nil {
		return false, dnsq.AsError(dnsq.Q(walk.Domain, dnsq.TypeTXT), err)
	}
	return found, nil
}
