package spf

import (
	"context"
	"sync"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// memo asks each question once per call of Check or Analyze, whoever asks
// first, the evaluation or the goroutines ahead of it.
type memo struct {
	resolver dnsq.Resolver
	ctx      context.Context // of the call; ends with it
	mu       sync.Mutex
	m        map[dnsq.Question]*flight
}

type flight struct {
	done chan struct{}
	ans  *dnsq.Answer
	err  *dnsq.Error
}

// ask returns the answer or an error, never both nil. Its error is of the
// call's own question or of one that the resolver put beneath it.
func (m *memo) ask(name string, t dnsq.Type) (*dnsq.Answer, *dnsq.Error) {
	q := dnsq.Question{Name: name, Type: t}
	m.mu.Lock()
	f, ok := m.m[q]
	if !ok {
		f = &flight{done: make(chan struct{})}
		m.m[q] = f
	}
	m.mu.Unlock()
	if ok {
		<-f.done // whoever asks is bound by the same context
		return f.ans, f.err
	}
	// A resolver that panics must not leave others waiting for ever.
	f.err = &dnsq.Error{Question: q, Reason: dnsq.Network, Detail: "the resolver gave up"}
	defer close(f.done)
	if err := m.ctx.Err(); err != nil {
		f.err = dnsq.AsError(q, context.Cause(m.ctx))
		return f.ans, f.err
	}
	ans, err := m.resolver.Ask(m.ctx, q)
	switch {
	case err != nil:
		f.ans, f.err = nil, dnsq.AsError(q, err)
	case ans == nil || ans.Outcome < dnsq.Found || ans.Outcome > dnsq.NXDomain,
		(ans.Outcome == dnsq.Found) != (len(ans.RRs) > 0):
		// Neither an answer nor an error: nothing was learnt.
		f.ans, f.err = nil, &dnsq.Error{Question: q, Reason: dnsq.Malformed, Detail: "the resolver's answer contradicts itself"}
	default:
		f.ans, f.err = ans, nil
	}
	return f.ans, f.err
}
