package dnsq

import (
	"context"
	"fmt"
	"sync"
)

// DefaultLimit is the number of questions under way that resolvers stand
// without dropping any: unbound with its defaults dropped some of 512, and
// dnsmasq, which many small routers run, refuses more than 150 at a time
// (dns-forward-max). A full check has some 115 that wait for nothing.
const DefaultLimit = 128

// Limit lets at most n questions be under way below it (0: [DefaultLimit]).
// Since a question is at one server at a time, no server has more than n. It
// stands above [Retry], so waiting for one's turn costs none of a try's time.
// Waiting ends with the asker's context.
func Limit(n int, under Resolver) Resolver {
	if n <= 0 {
		n = DefaultLimit
	}
	slots := make(chan struct{}, n)
	return ResolverFunc(func(ctx context.Context, q Question) (*Answer, error) {
		select {
		case slots <- struct{}{}:
		default:
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return nil, ctxError(ctx, q, "")
			}
		}
		defer func() { <-slots }()
		return under.Ask(ctx, q)
	})
}

// DefaultBudget is far above what a domain needs (a full check asks about a
// hundred questions) and far below what a hostile one could make of us.
const DefaultBudget = 500

// Budget lets n different questions through (0: [DefaultBudget]). A question
// that was let through once may pass again. Beyond n every question is an
// [OverDue] error.
func Budget(n int, under Resolver) Resolver {
	if n <= 0 {
		n = DefaultBudget
	}
	var mu sync.Mutex
	seen := make(map[Question]bool)
	return ResolverFunc(func(ctx context.Context, q Question) (*Answer, error) {
		q.Name = CanonicalName(q.Name)
		mu.Lock()
		ok := seen[q]
		if !ok && len(seen) < n {
			seen[q], ok = true, true
		}
		mu.Unlock()
		if !ok {
			return nil, &Error{Question: q, Reason: OverDue, Detail: fmt.Sprintf("the budget of %d different questions is used up", n)}
		}
		return under.Ask(ctx, q)
	})
}
