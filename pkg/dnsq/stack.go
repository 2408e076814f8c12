package dnsq

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"time"
)

// Options are what the usual stack of Resolvers may be told. The zero Options
// ask the system's servers.
type Options struct {
	Servers []Server       // nil: SystemServers
	RootCAs *x509.CertPool // for TLS and HTTPS servers; nil: the system's

	// Under asks instead of Servers: runs over many targets share one and its
	// connections and limit ([Shared]). Servers, RootCAs, Timeout, Tries and
	// Limit do not matter then.
	Under Resolver

	Timeout time.Duration // of the first try; see RetryOptions
	Tries   int           // see RetryOptions
	Limit   int           // questions under way; see Limit
	Budget  int           // different questions; see Budget

	// Record gets the recording when the Stack is closed; nil: none.
	Record io.Writer
	// Started goes into the recording's header; the zero Time: now.
	Started time.Time
	// Replay answers instead of any server. Servers, Timeout and Tries do not
	// matter then.
	Replay *Recording
	// Rules put secrets into the names that are asked, below everything that
	// keeps or shows them; see Rewrite.
	Rules []Rule
	// Offline asks nobody: every question is an [Offline] error.
	Offline bool
}

// A Stack is the Resolvers of one run in their usual order: Cache, Record,
// Budget, Rewrite, Limit, Retry, Exchange. What-if overlays go round it.
type Stack struct {
	*Cache
	rec *Recorder
	own *Shared
}

// New builds the Stack for a run that lasts as long as ctx. The error is about
// Options: no server, or none that can be found out.
func New(ctx context.Context, o Options) (*Stack, error) {
	s := &Stack{}
	var r Resolver
	switch {
	case o.Replay != nil:
		r = o.Replay.Resolver()
	case o.Offline:
		r = OfflineResolver("not in the files, and asking the network was not allowed")
	case o.Under != nil:
		r = o.Under
	default:
		sh, err := NewShared(o)
		if err != nil {
			return nil, err
		}
		s.own, r = sh, sh
	}
	r = Rewrite(r, o.Rules...)
	r = Budget(o.Budget, r)
	if o.Record != nil {
		s.rec = NewRecorder(o.Record, r)
		if !o.Started.IsZero() {
			s.rec.Header.Started = o.Started
		}
		r = s.rec
	}
	s.Cache = NewCache(ctx, r)
	return s, nil
}

// Close writes the recording, if there is one, and lets go of connections. Its
// error is the recording's.
func (s *Stack) Close() error {
	if s.own != nil {
		s.own.Close()
	}
	if s.rec != nil {
		return s.rec.Close()
	}
	return nil
}

// Shared is the lower half of a Stack, Limit, Retry and Exchange: what runs at
// the same time have in common.
type Shared struct {
	Resolver
	exchanges []*Exchange
}

// NewShared takes Servers, RootCAs, Timeout, Tries and Limit of o. The error is
// as in [New].
func NewShared(o Options) (*Shared, error) {
	servers := o.Servers
	if servers == nil {
		var err error
		if servers, err = SystemServers(); err != nil {
			return nil, err
		}
	}
	if len(servers) == 0 {
		return nil, errors.New("no DNS server is given")
	}
	s := &Shared{}
	under := make([]Resolver, len(servers))
	for i, srv := range servers {
		x := NewExchange(srv, ExchangeOptions{RootCAs: o.RootCAs})
		s.exchanges = append(s.exchanges, x)
		under[i] = x
	}
	s.Resolver = Limit(o.Limit, NewRetry(RetryOptions{Timeout: o.Timeout, Tries: o.Tries}, under...))
	return s, nil
}

// Close lets go of connections.
func (s *Shared) Close() error {
	for _, x := range s.exchanges {
		x.Close()
	}
	return nil
}
