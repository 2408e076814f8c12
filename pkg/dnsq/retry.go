package dnsq

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"
)

// RetryOptions say how often and how long a [Retry] tries.
type RetryOptions struct {
	// Timeout of the first try; each further one has half as much more: with
	// the default of 2 s, 2 s, 3 s, 4 s. They bound the whole.
	Timeout time.Duration
	// Tries for one question over all servers; 0 is 3, or one more than there
	// are servers if that is more.
	Tries int
	// Backoff before the same server is asked again, plus up to as much again
	// at random; 0 is 50 ms. Another server is asked at once.
	Backoff time.Duration
}

// A Retry asks again when nothing could be learnt: at the next server, or at
// the same one if there is no other. NXDOMAIN and NODATA are answers and are
// never asked again.
//
// If no try succeeds the error is the most telling one, not the last: a
// SERVFAIL (a server looked into it and failed: it speaks about the domain)
// before a REFUSED (it speaks about us), before a reply that cannot be read,
// before silence, before a network that carries nothing (which speaks about our
// own end); of equals one with an extended error, then the first. Server is
// the one that gave that reason. The extended errors of all tries are kept, in
// the answer too when another server gave one: a validating server's "DNSSEC
// Bogus" matters most when a second, careless server hides it.
type Retry struct {
	servers []Resolver
	o       RetryOptions
	first   atomic.Int32 // the server to begin with
}

// NewRetry is a Retry over servers, at least one, the first preferred.
func NewRetry(o RetryOptions, servers ...Resolver) *Retry {
	if len(servers) == 0 {
		panic("dnsq: NewRetry without a server")
	}
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Second
	}
	if o.Tries <= 0 {
		o.Tries = max(3, len(servers)+1)
	}
	if o.Backoff <= 0 {
		o.Backoff = 50 * time.Millisecond
	}
	return &Retry{servers: servers, o: o}
}

var telling = []Reason{ServFail, Refused, Malformed, Timeout, Network}

// Ask asks until there is an answer, or the tries or ctx are used up.
func (r *Retry) Ask(ctx context.Context, q Question) (*Answer, error) {
	var best *Error
	var ede []string
	// Which servers still deserve a try. One that refuses twice has made up its
	// mind; asking on is how clients get blocked.
	var few [4]int
	refused := few[:]
	if len(r.servers) > len(few) {
		refused = make([]int, len(r.servers))
	}
	start := int(r.first.Load())
	last := -1
	try := 0
	for i := 0; try < r.o.Tries && i < r.o.Tries*len(r.servers); i++ {
		at := (start + i) % len(r.servers)
		if refused[at] >= 2 {
			continue
		}
		if at == last && !r.pause(ctx, try) {
			break
		}
		last = at
		tctx, cancel := context.WithTimeoutCause(ctx, r.o.Timeout*time.Duration(2+try)/2, errTry)
		try++
		a, err := r.servers[at].Ask(tctx, q)
		if err != nil && !errors.As(err, new(*Error)) && tctx.Err() != nil {
			err = ctxError(tctx, q, "") // a Resolver that returned the bare context error
		}
		cancel()
		if err == nil {
			if at != start && best != nil && (best.Reason == Timeout || best.Reason == Network) {
				// A dead first server costs every question a time-out: begin
				// with the one that lives from now on.
				r.first.CompareAndSwap(int32(start), int32(at))
			}
			if extra := merge(slices.Clip(a.EDE), ede); len(extra) > len(a.EDE) {
				b := *a
				b.EDE = extra
				a = &b
			}
			return a, nil
		}
		e := AsError(q, err)
		if !slices.Contains(telling, e.Reason) {
			// The run's time or questions are used up, or asking is not allowed.
			// What earlier tries said is still the better answer.
			if best == nil {
				best = e
			}
			break
		}
		ede = merge(ede, e.EDE)
		if best == nil || rank(e) < rank(best) {
			best = e
		}
		if e.Reason == Refused {
			refused[at]++
		}
	}
	if best == nil { // ctx ended before anything was asked
		return nil, ctxError(ctx, q, "")
	}
	e := *best
	e.EDE = ede
	if try > 1 && slices.Contains(telling, e.Reason) {
		tries := fmt.Sprintf("%d tries", try)
		if len(r.servers) > 1 {
			tries += fmt.Sprintf(", %d servers", len(r.servers))
		}
		if e.Detail != "" {
			tries = e.Detail + " (" + tries + ")"
		}
		e.Detail = tries
	}
	return nil, &e
}

func rank(e *Error) int {
	n := 2 * slices.Index(telling, e.Reason)
	if len(e.EDE) > 0 {
		n--
	}
	return n
}

// merge is a and those of b that a does not hold.
func merge(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) && len(a) < 4*maxEDE {
			a = append(a, s)
		}
	}
	return a
}

// pause waits before the same server is asked again; false if ctx ended. The
// jitter keeps the questions that failed together from coming back together;
// it need not be unpredictable.
func (r *Retry) pause(ctx context.Context, try int) bool {
	d := r.o.Backoff * time.Duration(try)
	t := time.NewTimer(d + rand.N(d))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
