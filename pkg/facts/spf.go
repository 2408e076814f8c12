package facts

import (
	"context"
	"net/netip"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/spf"
)

// SPFTree is the fact: everything that the SPF record of a domain leads to,
// whoever sends (the worst case). It never has an error: what could not be
// learnt is in the Analysis.
var SPFTree = &diag.Fact[string, *spf.Analysis]{
	Name: "spf-tree",
	Learn: func(ctx context.Context, w *diag.World, domain string) (*spf.Analysis, error) {
		return checker(w).Analyze(ctx, domain), nil
	},
}

// SPFAsk is whom an SPF result is about.
type SPFAsk struct {
	IP       netip.Addr
	Helo     string
	MailFrom string // "" is the null sender: the HELO identity
}

// SPFResult is the fact: check_host for one address (RFC 7208 §4). It never
// has an error: temperror is a result.
var SPFResult = &diag.Fact[SPFAsk, *spf.Verdict]{
	Name: "spf-result",
	Learn: func(ctx context.Context, w *diag.World, a SPFAsk) (*spf.Verdict, error) {
		return checker(w).Check(ctx, a.IP, a.Helo, a.MailFrom), nil
	},
}

// checker evaluates without fetching ahead: SPFTree, which runs beside it, has
// asked for the whole tree in parallel, and asking the same set of questions
// in every run keeps reports and recordings the same.
func checker(w *diag.World) *spf.Checker { return &spf.Checker{Resolver: w, Now: w.Now} }

// obsoletePatience is how long a report waits for records of the obsolete type:
// some servers never answer for it, and nothing depends on it.
const obsoletePatience = 2 * time.Second

// ObsoleteSPF is the fact: records of the type SPF (99), which RFC 7208 §3.1
// gave up. It never has an error; nil is "not learnt", which is no trouble.
var ObsoleteSPF = &diag.Fact[string, *dnsq.Answer]{
	Name: "spf-obsolete",
	Learn: func(ctx context.Context, w *diag.World, domain string) (*dnsq.Answer, error) {
		ctx, cancel := context.WithTimeout(ctx, obsoletePatience)
		defer cancel()
		a, _ := w.Optional().Ask(ctx, dnsq.Q(domain, dnsq.TypeSPF))
		return a, nil
	},
}

// SendsNothing is the fact: the SPF record of a domain is exactly "v=spf1 -all",
// which says that no mail has it as its Return-Path (RFC 7208 §10.1.2).
var SendsNothing = &diag.Fact[string, bool]{
	Name: "sends-nothing",
	Learn: func(ctx context.Context, w *diag.World, domain string) (bool, error) {
		a, err := ask(ctx, w, domain, dnsq.TypeTXT)
		if err != nil {
			return false, err
		}
		records, nothing := 0, false
		for i := range a.RRs {
			if text := a.RRs[i].Text(); spf.IsSPF(text) {
				r := spf.Parse(text)
				records++
				nothing = len(r.Errors) == 0 && len(r.Terms) == 1 && r.Terms[0].Name == "all" && r.Terms[0].Qualifier == spf.Minus
			}
		}
		return records == 1 && nothing, nil
	},
}
