package dnsq

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
)

// A Cache asks each question once in a run, whoever asks it and however often,
// and remembers what came of it: answers and errors alike. What timed out for
// one check has timed out for the report; asking again for the next check would
// let two parts of one report disagree. Nothing is forgotten: a run is short and
// its number of questions bounded by [Budget].
type Cache struct {
	run   context.Context
	under Resolver
	mu    sync.Mutex
	m     map[Question]*flight
	order []Question
}

type flight struct {
	done  chan struct{}
	ans   *Answer
	err   error
	panic *PanicError
}

// NewCache is a Cache over under. Questions are asked under run, the context of
// the whole run: an asker that gives up does not take the answer away from
// those who wait for it too.
func NewCache(run context.Context, under Resolver) *Cache {
	return &Cache{run: run, under: under, m: make(map[Question]*flight)}
}

// Ask returns what is known of q, or asks. The first asker's answer has Cached
// false, all others get copies with Cached true. If ctx ends first the error
// is ctx's and the question goes on.
func (c *Cache) Ask(ctx context.Context, q Question) (*Answer, error) {
	q.Name = CanonicalName(q.Name)
	c.mu.Lock()
	f, ok := c.m[q]
	if !ok {
		f = &flight{done: make(chan struct{})}
		c.m[q] = f
		c.order = append(c.order, q)
	}
	c.mu.Unlock()
	if !ok {
		if ctx.Done() == c.run.Done() {
			// This asker can leave no earlier than the run ends: no need for a
			// goroutine of its own, whose stack would have to grow each time.
			c.learn(f, q)
		} else {
			go c.learn(f, q)
		}
	}
	select {
	case <-f.done:
	default:
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, ctxError(ctx, q, "")
		}
	}
	switch {
	case f.panic != nil:
		panic(f.panic)
	case f.err != nil:
		return nil, f.err
	case !ok:
		return f.ans, nil
	}
	a := *f.ans
	a.Cached = true
	return &a, nil
}

func (c *Cache) learn(f *flight, q Question) {
	defer close(f.done)
	defer func() {
		if p := recover(); p != nil {
			f.panic = &PanicError{Value: p, Stack: debug.Stack()}
		}
	}()
	a, err := c.under.Ask(c.run, q)
	if err != nil {
		f.err = AsError(q, err)
		return
	}
	f.ans = a
}

// Len is the number of different questions asked so far.
func (c *Cache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.order)
}

// Asked are the different questions asked so far, in the order of the first
// time.
func (c *Cache) Asked() []Question {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.order)
}

// A PanicError is a panic of the Resolver under a [Cache], carried to everyone
// who asked: each meets it in its own goroutine, where it can be dealt with.
type PanicError struct {
	Value any
	Stack []byte
}

// Error is the panic's value.
func (e *PanicError) Error() string { return "panic while asking DNS: " + fmt.Sprint(e.Value) }
