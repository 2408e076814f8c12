package facts

import (
	"context"
	"sync"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// Exists is the fact: whether a domain is in the DNS at all. RFC 8020 §2: an
// NXDOMAIN answer says that nothing is at the name nor below it. A name that is
// an alias exists, whatever becomes of the alias.
//
// There are two witnesses, the questions for TXT and MX, which other checks ask
// anyway. One that has seen the name is enough: some servers answer NXDOMAIN
// where only the type is missing. One that says NXDOMAIN is enough while the
// other is silent.
var Exists = &diag.Fact[string, bool]{
	Name: "exists",
	Learn: func(ctx context.Context, w *diag.World, domain string) (bool, error) {
		var answers [2]*dnsq.Answer
		var errs [2]*dnsq.Error
		var wg sync.WaitGroup
		for i, t := range []dnsq.Type{dnsq.TypeTXT, dnsq.TypeMX} {
			wg.Go(func() { answers[i], errs[i] = ask(ctx, w, domain, t) })
		}
		wg.Wait()
		gone := false
		for _, a := range answers {
			switch {
			case a == nil:
			case a.Outcome != dnsq.NXDomain || len(a.Chain) > 0:
				return true, nil
			default:
				gone = true
			}
		}
		if !gone {
			return false, errs[0]
		}
		return false, nil
	},
}
