package diag

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// A World is what checks and facts see of the outside: DNS through one
// resolver, a clock, and the facts learnt so far. Checks get it inside their
// [Job]; package engine makes it.
type World struct {
	store *factStore
	dns   dnsq.Resolver
	now   func() time.Time
	seen  *asked
	owner string           // the check or fact that holds this view, for messages
	may   map[AnyFact]bool // facts that this view may pull; nil: all
	ctx   context.Context  // the run's, under which facts are learnt
}

// NewWorld is the world of one run. Facts are learnt under ctx, the run's
// context, not under that of whoever asks first.
func NewWorld(ctx context.Context, r dnsq.Resolver, now func() time.Time) *World {
	return &World{
		store: &factStore{m: map[factKey]*learnt{}},
		dns:   r, now: now, seen: &asked{m: map[dnsq.Question]*dnsq.Error{}}, ctx: ctx, owner: "run",
	}
}

// view is the same world with a record of its own of what is asked.
func (w *World) view(owner string, requires []AnyFact) *World {
	v := *w
	v.seen = &asked{m: map[dnsq.Question]*dnsq.Error{}}
	v.owner = owner
	v.may = make(map[AnyFact]bool, len(requires))
	for _, f := range requires {
		v.may[f] = true
	}
	return &v
}

// Ask asks DNS. A World is a [dnsq.Resolver], so that protocol packages can
// be handed one. A resolver that panics gives an error that holds a
// [PanicError]: questions are asked in goroutines whose panic would end the
// process and with it the report.
func (w *World) Ask(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
	a, err := w.ask(ctx, q)
	if err != nil {
		e := dnsq.AsError(q, err)
		w.seen.add(q, e)
		return nil, e
	}
	w.seen.add(q, nil)
	return a, nil
}

func (w *World) ask(ctx context.Context, q dnsq.Question) (a *dnsq.Answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			a = nil
			err = &dnsq.Error{Question: q, Reason: dnsq.Malformed, Detail: "internal error",
				Err: &PanicError{Value: p, Stack: debug.Stack()}}
		}
	}()
	return w.dns.Ask(ctx, q)
}

// Now is the time of the run.
func (w *World) Now() time.Time { return w.now() }

// Queries is the number of different questions this view needed, facts that
// it pulled included.
func (w *World) Queries() int {
	w.seen.mu.Lock()
	defer w.seen.mu.Unlock()
	return len(w.seen.m)
}

// Questions are the different questions of this view, in order of name and type.
func (w *World) Questions() []dnsq.Question {
	w.seen.mu.Lock()
	defer w.seen.mu.Unlock()
	return slices.SortedFunc(maps.Keys(w.seen.m), dnsq.Question.Compare)
}

// Optional is this view for questions whose answer adds something but decides
// nothing: that one went unanswered is not DNS trouble of the report.
func (w *World) Optional() dnsq.Resolver {
	return dnsq.ResolverFunc(func(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
		a, err := w.ask(ctx, q)
		w.seen.add(q, nil)
		return a, err
	})
}

// Unanswered are the questions of this view that got no answer, in order of
// name and type.
func (w *World) Unanswered() []*dnsq.Error {
	w.seen.mu.Lock()
	defer w.seen.mu.Unlock()
	var out []*dnsq.Error
	for _, e := range w.seen.m {
		if e != nil {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b *dnsq.Error) int { return a.Question.Compare(b.Question) })
	return out
}

// asked remembers which questions were asked and which of them went unanswered.
type asked struct {
	mu sync.Mutex
	m  map[dnsq.Question]*dnsq.Error
}

func (a *asked) add(q dnsq.Question, err *dnsq.Error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.m[q]; old == nil {
		a.m[q] = err // an error stays: an optional question may also be a needed one
	}
}

func (a *asked) merge(b *asked) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	for q, e := range b.m {
		if a.m[q] == nil {
			a.m[q] = e
		}
	}
}

// AnyFact is a [Fact] of any type, for Check.Requires.
type AnyFact interface {
	FactName() string
	requires() []AnyFact
}

// A Fact is something that several checks need, learnt once per target by
// whoever asks first; the rest wait. It is keyed: one value per K.
type Fact[K comparable, V any] struct {
	Name     string
	Requires []AnyFact
	// Learn finds it out. It sees only what it is handed. Its error means that
	// the fact could not be learnt; it is remembered like a value.
	Learn func(ctx context.Context, w *World, key K) (V, error)
}

// FactName is Name.
func (f *Fact[K, V]) FactName() string { return f.Name }

func (f *Fact[K, V]) requires() []AnyFact { return f.Requires }

type factKey struct {
	fact AnyFact
	key  any
}

type learnt struct {
	done chan struct{}
	val  any
	err  error
	seen *asked
}

type factStore struct {
	mu sync.Mutex
	m  map[factKey]*learnt
}

// grace is how long Of waits for Learn after the run has ended: Learn meets the
// same end and comes back with what it has learnt so far, which is worth more to
// the report than nothing.
const grace = time.Second

// Start begins to learn the fact for key, if nobody has yet, and does not wait.
// A check that needs several facts starts them all before it asks for the
// first: then it takes as long as the slowest, not as all together.
//
// Start panics like [Fact.Of] if the asker did not name f in its Requires.
func (f *Fact[K, V]) Start(w *World, key K) { f.start(w, key) }

func (f *Fact[K, V]) start(w *World, key K) *learnt {
	if w.may != nil && !w.may[f] {
		panic(fmt.Sprintf("diag: %s pulls the fact %q that it does not list in Requires", w.owner, f.Name))
	}
	k := factKey{f, key}
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if l, ok := w.store.m[k]; ok {
		return l
	}
	v := w.view("fact "+f.Name, f.Requires)
	l := &learnt{done: make(chan struct{}), seen: v.seen}
	w.store.m[k] = l
	go func() {
		// The error is set first: a panic must not leave "nothing, no error".
		l.err = fmt.Errorf("fact %s: was not learnt", f.Name)
		defer close(l.done)
		defer func() {
			if p := recover(); p != nil {
				pe, ok := p.(*PanicError) // of a fact that this one pulled
				if !ok {
					pe = &PanicError{Value: p, Stack: debug.Stack()}
				}
				l.err = pe
			}
		}()
		val, err := f.Learn(w.ctx, v, key)
		l.val, l.err = val, err
	}()
	return l
}

// Of returns the fact for key. It waits until the fact is learnt or ctx ends;
// the learning itself goes on under the run's context. Where the end of ctx is
// that of the run, Of waits a moment longer for what Learn makes of it.
//
// Of panics if Learn did, for everyone who asks: it never returns a zero value
// without an error. So it must be called in a goroutine where a panic can be
// dealt with: that of Run or of Learn; see [Fact.Start] for learning several
// facts at once. Of panics as well if the check or fact that asks did not name
// f in its Requires: that list is what `todoku list` and the tests rely on.
func (f *Fact[K, V]) Of(ctx context.Context, w *World, key K) (V, error) {
	l := f.start(w, key)
	var zero V
	select {
	case <-l.done:
	case <-ctx.Done():
		if w.ctx.Err() == nil {
			return zero, ctx.Err()
		}
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-l.done:
		case <-t.C:
			return zero, ctx.Err()
		}
	}
	w.seen.merge(l.seen)
	if p, ok := l.err.(*PanicError); ok {
		panic(p) // costs the asking check its one finding, with the stack of Learn
	}
	if l.val == nil || reflect.TypeOf(l.val) == nil {
		return zero, l.err
	}
	return l.val.(V), l.err
}

// A PanicError is a panic inside a fact, carried to those who asked for it.
type PanicError struct {
	Value any
	Stack []byte
}

// Error is the panic's value.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// A Job is what a check sees while it runs.
type Job struct {
	Target *Target
	*World
	// Before is the world before the change that is judged; nil if no change is
	// ([Target].Before). The same facts can be pulled from it. What it is asked is
	// not counted, and what it does not answer is no trouble of the report.
	Before   *World
	check    *Check
	mu       sync.Mutex
	findings []Finding
	data     any
}

// NewJob is a Job for c. Package engine and tests make them.
func NewJob(c *Check, t *Target, w *World) *Job {
	return &Job{Target: t, World: w.view("check "+c.Name, c.Requires), check: c}
}

// LookBack gives the Job the world before the change. Package engine and tests
// call it.
func (j *Job) LookBack(before *World) {
	j.Before = before.view("check "+j.check.Name, j.check.Requires)
}

// Report adds a finding. It panics if the Kind is not one of the check's or
// the Args are not exactly those that the Kind names: a defect of the check
// that a test must meet before a user does.
func (j *Job) Report(f Finding) {
	if f.Kind == nil || j.check.Kind(f.Kind.ID) != f.Kind {
		panic(fmt.Sprintf("diag: check %s reports a kind that is not in its Kinds: %v", j.check.Name, f.Kind))
	}
	if err := f.Kind.checkArgs(f.Args); err != nil {
		panic(fmt.Sprintf("diag: check %s: %v", j.check.Name, err))
	}
	j.mu.Lock()
	j.findings = append(j.findings, f)
	j.mu.Unlock()
}

// SetData sets the check's facts for machines, the "data" of the JSON report.
func (j *Job) SetData(v any) { j.data = v }

// Result returns what was reported so far.
func (j *Job) Result() ([]Finding, any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.findings, j.data
}

func (k *Kind) checkArgs(a Args) error {
	for _, n := range k.Args {
		v, ok := a[n]
		if !ok {
			return fmt.Errorf("%s: argument %q is missing", k.ID, n)
		}
		switch v.(type) {
		case string, int, bool, []string:
		default:
			return fmt.Errorf("%s: argument %q has type %T: use string, int, bool or []string", k.ID, n, v)
		}
	}
	if len(a) != len(k.Args) {
		for n := range a {
			found := false
			for _, m := range k.Args {
				found = found || m == n
			}
			if !found {
				return fmt.Errorf("%s: argument %q is not in its Kind", k.ID, n)
			}
		}
	}
	return nil
}
