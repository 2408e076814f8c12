package dnsq

import (
	"context"
	"time"
)

// TryContext is the context of one try, as Retry makes it.
func TryContext(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, errTry)
}
