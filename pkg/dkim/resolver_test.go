package dkim_test

import (
	"context"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// blocking answers nothing before all is closed.
type blocking struct {
	under dnsq.Resolver
	asked chan<- string
	all   <-chan struct{}
}

func (b blocking) Ask(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
	b.asked <- q.Name
	select {
	case <-b.all:
		return b.under.Ask(ctx, q)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
