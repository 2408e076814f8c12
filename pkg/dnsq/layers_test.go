package dnsq_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/dnsq/dnstest"
)

var q1 = Q("example.com", TypeTXT)

// script is a Resolver that fails with the given reasons in turn and then
// answers.
type script struct {
	mu    sync.Mutex
	steps []*Error
	asked int
}

func fails(reasons ...Reason) *script {
	s := &script{}
	for _, r := range reasons {
		s.steps = append(s.steps, &Error{Reason: r, Server: "server of " + string(r)})
	}
	return s
}

func (s *script) Ask(_ context.Context, q Question) (*Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.asked
	s.asked++
	if n < len(s.steps) {
		e := *s.steps[n]
		e.Question = q
		return nil, &e
	}
	return &Answer{Question: q, Outcome: NoData}, nil
}

func quick(servers ...Resolver) *Retry {
	return NewRetry(RetryOptions{Timeout: time.Second, Backoff: time.Microsecond}, servers...)
}

func TestRetryReasons(t *testing.T) {
	tests := []struct {
		name   string
		a, b   []Reason // b nil: one server
		asked  string   // how often each
		reason Reason   // "": answered
	}{
		{"an answer is not asked again", nil, nil, "1", ""},
		{"one failure", []Reason{ServFail}, nil, "2", ""},
		{"two failures", []Reason{Timeout, Timeout}, nil, "3", ""},
		{"three failures are enough", []Reason{Timeout, Timeout, Timeout}, nil, "3", Timeout},
		{"refused twice is refused", []Reason{Refused, Refused, Refused}, nil, "2", Refused},
		{"the other server answers", []Reason{Refused}, []Reason{}, "1 1", ""},
		{"malformed", []Reason{Malformed, Malformed, Malformed}, nil, "3", Malformed},
		{"SERVFAIL tells more than the silence after it", []Reason{ServFail, Timeout, Timeout}, nil, "3", ServFail},
		{"and than the silence before it", []Reason{Timeout, Timeout, ServFail}, nil, "3", ServFail},
		{"a dead server beside one that refuses", []Reason{Network, Network, Network}, []Reason{Refused, Refused, Refused}, "2 1", Refused},
		{"refused tells more than malformed", []Reason{Malformed, Refused, Malformed}, nil, "3", Refused},
		{"silence tells more than our own network", []Reason{Network, Timeout, Network}, nil, "3", Timeout},
		{"the budget is not tried again", []Reason{OverDue}, nil, "1", OverDue},
		{"offline is not tried again", []Reason{Offline}, nil, "1", Offline},
		{"the run's end does not hide what was learnt", []Reason{ServFail, OverDue}, nil, "2", ServFail},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			servers := []*script{fails(tt.a...)}
			under := []Resolver{servers[0]}
			if tt.b != nil {
				servers = append(servers, fails(tt.b...))
				under = append(under, servers[1])
			}
			a, err := askCtx(t, context.Background(), quick(under...), q1)
			var asked []string
			for _, s := range servers {
				asked = append(asked, fmt.Sprint(s.asked))
			}
			if got := strings.Join(asked, " "); got != tt.asked {
				t.Errorf("asked %s times, want %s", got, tt.asked)
			}
			switch {
			case tt.reason == "" && err != nil:
				t.Errorf("%v", err)
			case tt.reason == "" && a.Outcome != NoData:
				t.Errorf("%+v", a)
			case tt.reason != "" && err == nil:
				t.Errorf("answered, want %s", tt.reason)
			case tt.reason != "" && (err.Reason != tt.reason || err.Server != "server of "+string(tt.reason)):
				t.Errorf("got %v, want %s", err, tt.reason)
			}
		})
	}
}

// An extended error is kept, even when another server answers without one.
func TestRetryKeepsEDE(t *testing.T) {
	bogus := &Error{Reason: ServFail, EDE: []string{"6 DNSSEC Bogus"}}
	a, err := askCtx(t, context.Background(), quick(&script{steps: []*Error{bogus}}, fails()), q1)
	if err != nil || !slices.Equal(a.EDE, []string{"6 DNSSEC Bogus"}) {
		t.Errorf("%+v, %v", a, err)
	}
	plain := &Error{Reason: ServFail}
	late := &Error{Reason: Timeout, EDE: []string{"22 No Reachable Authority"}}
	_, err = askCtx(t, context.Background(), quick(&script{steps: []*Error{plain, bogus, late}}), q1)
	if err == nil || err.Reason != ServFail || !slices.Equal(err.EDE, []string{"6 DNSSEC Bogus", "22 No Reachable Authority"}) || !strings.Contains(err.Detail, "3 tries") {
		t.Errorf("%v", err)
	}
}

// A dead first server costs one time-out, not one per question.
func TestRetryRemembersTheDead(t *testing.T) {
	dead := dnstest.Start(t)
	dead.Handle(func(dnstest.Query) *dnstest.Reply { return &dnstest.Reply{Drop: true} })
	live := dnstest.Start(t, zone)
	x, y := exchange(t, dead.Server()), exchange(t, live.Server())
	r := NewRetry(RetryOptions{Timeout: 50 * time.Millisecond}, x, y)
	for range 5 {
		if a, err := r.Ask(context.Background(), q1); err != nil || a.Server != live.Addr().String() {
			t.Fatalf("%v, %v", a, err)
		}
	}
	if n := len(dead.Log()); n != 1 {
		t.Errorf("the dead server was asked %d times", n)
	}
}

// NXDOMAIN and NODATA are answers: one question on the wire each.
func TestAbsenceIsNotRetried(t *testing.T) {
	srv := dnstest.Start(t, zone)
	r := srv.Resolver()
	for _, q := range []Question{Q("nix.example.com", TypeA), Q("mail.example.com", TypeTXT)} {
		if _, err := r.Ask(context.Background(), q); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(srv.Log()); n != 2 {
		t.Errorf("%d questions", n)
	}
}

// Over the real stack: a fault that passes costs nothing but time, one that
// stays is reported as what it is, and neither is ever an absence.
func TestStackFaults(t *testing.T) {
	srv := dnstest.Start(t, zone)
	tests := []struct {
		faults []dnstest.Fault
		reason Reason
	}{
		{[]dnstest.Fault{dnstest.Timeout, ""}, ""},
		{[]dnstest.Fault{dnstest.ServFail, dnstest.ServFail, ""}, ""},
		{[]dnstest.Fault{dnstest.Garbage, ""}, ""},
		{[]dnstest.Fault{dnstest.Referral, ""}, ""},
		{[]dnstest.Fault{dnstest.OnlyWrongID, ""}, ""},
		{[]dnstest.Fault{dnstest.Timeout}, Timeout},
		{[]dnstest.Fault{dnstest.ServFail}, ServFail},
		{[]dnstest.Fault{dnstest.Refused}, Refused},
		{[]dnstest.Fault{dnstest.Cut}, Malformed},
		{[]dnstest.Fault{dnstest.TCPFails}, Network},
		{[]dnstest.Fault{dnstest.Timeout, dnstest.ServFail, dnstest.Timeout}, ServFail},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.faults), func(t *testing.T) {
			srv.Fault(q1.Name, q1.Type, tt.faults...)
			s, err := New(t.Context(), Options{Servers: []Server{srv.Server()}, Timeout: 60 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			a, e := askCtx(t, context.Background(), s, q1)
			switch {
			case tt.reason == "" && (e != nil || a.Outcome != Found):
				t.Errorf("%+v, %v", a, e)
			case tt.reason != "" && (e == nil || e.Reason != tt.reason):
				t.Errorf("%+v, %v, want %s", a, e, tt.reason)
			}
		})
	}
}

// With a third of everything lost, refused or forged, each of 300 questions
// ends in the truth or in an error, never in another answer.
func TestChanceNeverLies(t *testing.T) {
	srv := dnstest.Start(t, zone)
	srv.Set(dnstest.Faults{Loss: 0.2, ServFail: 0.3, Forge: 0.3, Truncate: 0.3, Garbage: 0.1, Seed: 42})
	s, err := New(t.Context(), Options{Servers: []Server{srv.Server()}, Timeout: 60 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var wg sync.WaitGroup
	var learnt, failed atomic.Int32
	for i := range 300 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			q, want, text := Q("example.com", TypeTXT), Found, "v=spf1 a -all"
			switch i % 3 {
			case 1:
				q, want, text = Q(fmt.Sprintf("nix%d.example.com", i), TypeTXT), NXDomain, ""
			case 2:
				q, want, text = Q("mail.example.com", Type(60000+i)), NoData, ""
			}
			a, err := s.Ask(context.Background(), q)
			if err != nil {
				failed.Add(1)
				return
			}
			learnt.Add(1)
			got := ""
			if len(a.RRs) > 0 {
				got = a.RRs[0].Text()
			}
			if a.Outcome != want || got != text {
				t.Errorf("%v: %v %q", q, a.Outcome, got)
			}
		}()
	}
	wg.Wait()
	if learnt.Load() < 150 {
		t.Errorf("learnt %d, failed %d", learnt.Load(), failed.Load())
	}
}

func TestCache(t *testing.T) {
	srv := dnstest.Start(t, zone)
	srv.Fault("bad.example.com", TypeTXT, dnstest.ServFail)
	srv.Set(dnstest.Faults{Latency: 20 * time.Millisecond})
	x := exchange(t, srv.Server())
	c := NewCache(t.Context(), x)
	var first, copies atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Add(2)
		go func() {
			defer wg.Done()
			a, err := c.Ask(context.Background(), Question{Name: "EXAMPLE.com.", Type: TypeTXT}) // the same question
			if err != nil {
				t.Error(err)
			} else if a.Cached {
				copies.Add(1)
			} else {
				first.Add(1)
			}
		}()
		go func() {
			defer wg.Done()
			if _, err := c.Ask(context.Background(), Q("bad.example.com", TypeTXT)); AsError(q1, err).Reason != ServFail {
				t.Errorf("%v", err)
			}
		}()
	}
	wg.Wait()
	if first.Load() != 1 || copies.Load() != 49 {
		t.Errorf("%d first, %d copies", first.Load(), copies.Load())
	}
	if n := len(srv.Log()); n != 2 {
		t.Errorf("%d questions on the wire", n)
	}
	if c.Len() != 2 || len(c.Asked()) != 2 || !slices.Contains(c.Asked(), q1) {
		t.Errorf("asked %v", c.Asked())
	}
}

// The first asker gives up; those who wait for the same answer get it.
func TestCacheLeaderLeaves(t *testing.T) {
	release := make(chan struct{})
	started := make(chan struct{})
	under := ResolverFunc(func(ctx context.Context, q Question) (*Answer, error) {
		close(started)
		select {
		case <-release:
			return &Answer{Question: q, Outcome: NoData}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	c := NewCache(t.Context(), under)
	ctx, cancel := context.WithCancel(context.Background())
	leader := make(chan error)
	go func() { _, err := c.Ask(ctx, q1); leader <- err }()
	<-started
	follower := make(chan error)
	go func() { _, err := c.Ask(context.Background(), q1); follower <- err }()
	cancel()
	if err := <-leader; AsError(q1, err).Reason != OverDue {
		t.Errorf("leader: %v", err)
	}
	close(release)
	if err := <-follower; err != nil {
		t.Errorf("follower: %v", err)
	}
	// A follower leaves when its own context ends.
	block := NewCache(t.Context(), ResolverFunc(func(ctx context.Context, q Question) (*Answer, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	ctx, cancel = context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := block.Ask(ctx, q1); AsError(q1, err).Reason != OverDue {
		t.Errorf("%v", err)
	}
}

// The end of the run ends what is under way, as "budget", for everyone.
func TestCacheRunEnds(t *testing.T) {
	run, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	srv := dnstest.Start(t)
	srv.Handle(func(dnstest.Query) *dnstest.Reply { return &dnstest.Reply{Drop: true} })
	s, err := New(run, Options{Servers: []Server{srv.Server()}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Ask(context.Background(), q1); AsError(q1, err).Reason != OverDue {
		t.Errorf("%v", err)
	}
}

// A panic below reaches each asker, in its own goroutine.
func TestCachePanic(t *testing.T) {
	c := NewCache(t.Context(), ResolverFunc(func(context.Context, Question) (*Answer, error) { panic("defect") }))
	for range 2 {
		func() {
			defer func() {
				p, ok := recover().(*PanicError)
				if !ok || p.Value != "defect" || !strings.Contains(p.Error(), "defect") || len(p.Stack) == 0 {
					t.Errorf("recovered %v", p)
				}
			}()
			a, err := c.Ask(context.Background(), q1)
			t.Errorf("%v, %v", a, err)
		}()
	}
}

func TestLimit(t *testing.T) {
	var now, most atomic.Int32
	release := make(chan struct{})
	r := Limit(3, ResolverFunc(func(ctx context.Context, q Question) (*Answer, error) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-release
		now.Add(-1)
		return &Answer{Question: q, Outcome: NoData}, nil
	}))
	var wg sync.WaitGroup
	for range 10 {
		wg.Add(1)
		go func() { defer wg.Done(); r.Ask(context.Background(), q1) }()
	}
	for now.Load() < 3 {
		time.Sleep(time.Millisecond)
	}
	// A waiting question leaves with its context, without having been asked.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := r.Ask(ctx, q1); AsError(q1, err).Reason != OverDue {
		t.Errorf("%v", err)
	}
	close(release)
	wg.Wait()
	if most.Load() != 3 {
		t.Errorf("%d under way, want 3", most.Load())
	}
}

func TestBudget(t *testing.T) {
	s := fails()
	r := Budget(2, s)
	for _, name := range []string{"a.example", "A.example.", "b.example", "a.example"} {
		if _, err := r.Ask(context.Background(), Question{Name: name, Type: TypeA}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := r.Ask(context.Background(), Q("c.example", TypeA))
	if e := AsError(q1, err); err == nil || e.Reason != OverDue || !strings.Contains(e.Detail, "budget of 2") {
		t.Errorf("%v", err)
	}
	// Another type is another question.
	if _, err := r.Ask(context.Background(), Q("a.example", TypeAAAA)); err == nil {
		t.Error("a third question passed")
	}
	if s.asked != 4 {
		t.Errorf("%d asked", s.asked)
	}
}

func TestRecordReplay(t *testing.T) {
	srv := dnstest.Start(t, zone)
	srv.Fault("bad.example.com", TypeMX, dnstest.Refused)
	srv.Handle(func(q dnstest.Query) *dnstest.Reply {
		if q.Name == "ede.example.com" {
			return &dnstest.Reply{Rcode: 2, EDE: map[uint16]string{6: "not utf-8: \xff"}}
		}
		if q.Name == "ad.example.com" {
			return &dnstest.Reply{AD: true, Answer: []string{"ad.example.com. 60 CNAME x.example.com.", "x.example.com. 30 A 192.0.2.8"}}
		}
		return nil
	})
	questions := []Question{
		Q("example.com", TypeTXT), Q("example.com", TypeMX), Q("odd.example.com", TypeTXT), Q("www.example.com", TypeA),
		Q("www.example.com", TypeTXT), Q("nix.example.com", TypeA), Q("bad.example.com", TypeMX), Q("ede.example.com", TypeTXT),
		Q("ad.example.com", TypeA), Q("mail.example.com", TypeAAAA), Q("example.com", TypeSOA), Q("example.com", 257), Q("example.com", TypeNS),
		Q(`a\.b.example.com`, TypeTXT), Q("1.2.0.192.in-addr.arpa", TypePTR), Q("example.com", 65280),
	}
	started := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	record := func(order []Question) (string, map[Question]*Answer, map[Question]*Error) {
		var b bytes.Buffer
		s, err := New(t.Context(), Options{Servers: []Server{srv.Server()}, Record: &b, Started: started, Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		answers, errs := map[Question]*Answer{}, map[Question]*Error{}
		for _, q := range append(order, order[0]) {
			a, e := askCtx(t, context.Background(), s, q)
			if answers[q] == nil && errs[q] == nil {
				answers[q], errs[q] = a, e
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String(), answers, errs
	}
	text, answers, errs := record(questions)
	rev := slices.Clone(questions)
	slices.Reverse(rev)
	if again, _, _ := record(rev); again != text {
		t.Errorf("another order of questions gives another recording:\n%s\n%s", text, again)
	}
	if n := strings.Count(text, "\n"); n != len(questions)+1 {
		t.Errorf("%d lines for %d questions", n, len(questions))
	}
	rec, err := ReadRecording(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if !rec.Started.Equal(started) || rec.Len() != len(questions) {
		t.Errorf("started %v, %d questions", rec.Started, rec.Len())
	}
	s, err := New(t.Context(), Options{Replay: rec})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range questions {
		a, e := askCtx(t, context.Background(), s, q)
		if want := answers[q]; want != nil {
			w := *want
			w.Source, w.RTT = SourceReplay, 0
			if e != nil || fmt.Sprintf("%#v", normal(a)) != fmt.Sprintf("%#v", normal(&w)) {
				t.Errorf("%v:\n got %#v %v\nwant %#v", q, a, e, w)
			}
		} else if want := errs[q]; e == nil || e.Reason != want.Reason || e.Server != want.Server || e.Detail != want.Detail || !slices.Equal(e.EDE, want.EDE) {
			t.Errorf("%v: got %v, want %v", q, e, want)
		}
	}
	if a, _ := s.Ask(context.Background(), Q("odd.example.com", TypeTXT)); a.RRs[0].Strings[0] != "\xe9\x00\"\\;" {
		t.Errorf("octets: %q", a.RRs[0].Strings)
	}
	_, e := askCtx(t, context.Background(), s, Q("other.example.com", TypeA))
	if e == nil || e.Reason != Offline || e.Detail != "not in the recording" {
		t.Errorf("not recorded: %v", e)
	}
}

// normal spells out what %#v would print as pointers.
func normal(a *Answer) string {
	b := *a
	var soa []SOA
	b.RRs = slices.Clone(a.RRs)
	for i := range b.RRs {
		if s := b.RRs[i].SOA; s != nil {
			soa = append(soa, *s)
			b.RRs[i].SOA = nil
		}
	}
	return fmt.Sprintf("%#v %v", b, soa)
}

// What is under way when the run is over was not learnt.
func TestRecordUnderWay(t *testing.T) {
	var b bytes.Buffer
	started, release := make(chan struct{}), make(chan struct{})
	r := NewRecorder(&b, ResolverFunc(func(ctx context.Context, q Question) (*Answer, error) {
		close(started)
		<-release
		return &Answer{Question: q, Outcome: NoData}, nil
	}))
	done := make(chan struct{})
	go func() { r.Ask(context.Background(), q1); close(done) }()
	<-started
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	close(release)
	<-done
	rec, err := ReadRecording(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rec.Resolver().Ask(context.Background(), q1); AsError(q1, err).Reason != OverDue {
		t.Errorf("%v", err)
	}
}

type badWriter struct{}

func (badWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestRecordWriteError(t *testing.T) {
	if err := NewRecorder(badWriter{}, fails()).Close(); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("%v", err)
	}
}

func TestReadRecordingErrors(t *testing.T) {
	const head = `{"todoku-recording":1,"started":"2026-01-02T03:04:05Z"}` + "\n"
	tests := []struct{ text, want string }{
		{"", "line 1: the recording is empty"},
		{"\n", "line 1: expected"},
		{"hello\n", "line 1: expected"},
		{`{"todoku-recording":2,"new":1}`, "line 1: recording version 2"},
		{head + "{", "line 2:"},
		{head + `{"name":"example.com","type":"TXT"}`, `line 2: expected either`},
		{head + `{"name":"example.com","type":"TXT","outcome":"found"}`, "line 2: outcome found with 0 records"},
		{head + `{"name":"example.com","type":"TXT","outcome":"nodata","rrs":[{"name":"a","type":"TXT","ttl":1,"strings":["x"]}]}`, "line 2: outcome nodata with 1"},
		{head + `{"name":"example.com","type":"A","outcome":"found","rrs":[{"name":"a","type":"A","ttl":1,"addr":"2001:db8::1"}]}`, "line 2: a record of type A without"},
		{head + `{"name":"example.com","type":"A","outcome":"maybe"}`, `"maybe" is not an outcome`},
		{head + `{"name":"example.com","type":"A","error":"tired"}`, `"tired" is not a reason`},
		{head + `{"name":"example.com","type":"a","error":"timeout"}`, "line 2:"},
		{head + `{"name":"Example.com","type":"A","error":"timeout"}`, "canonical"},
		{head + `{"name":"example.com","type":"A","error":"timeout","outcme":"found"}`, "outcme"},
		{head + `{"name":"example.com","type":"A","error":"timeout"} {}`, "line 2: more than one"},
		{head + "\n" + `{"name":"a","type":"A","error":"timeout"}` + "\n" + `{"name":"a","type":"A","outcome":"nodata"}`, "line 4: a A is recorded twice"},
		{head + "{\"name\":\"\xff\",\"type\":\"A\",\"error\":\"timeout\"}", "line 2: it is not valid UTF-8"},
		{head + `{"name":{"base64":"%%"},"type":"A","error":"timeout"}`, "line 2:"},
		{head + `{"name":{},"type":"A","error":"timeout"}`, "line 2:"},
		{head + `{"name":"` + strings.Repeat("x", 5<<20) + `"}`, "line 2: it is longer than"},
	}
	for _, tt := range tests {
		if _, err := ReadRecording(strings.NewReader(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.80q: %v, want %q", tt.text, err, tt.want)
		}
	}
	if rec, err := ReadRecording(strings.NewReader(head)); err != nil || rec.Len() != 0 {
		t.Errorf("a recording of nothing: %v", err)
	}
}

func TestNew(t *testing.T) {
	if _, err := New(t.Context(), Options{Servers: []Server{}}); err == nil {
		t.Error("no servers, no error")
	}
	s, err := New(t.Context(), Options{Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ask(context.Background(), q1); AsError(q1, err).Reason != Offline {
		t.Errorf("%v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := New(t.Context(), Options{}); err != nil {
		t.Errorf("the system's servers: %v", err)
	}
}

// Two runs over one Shared: each asks for itself, and closing a run leaves
// the other's connections alone.
func TestShared(t *testing.T) {
	srv := dnstest.Start(t, zone)
	sh, err := NewShared(Options{Servers: []Server{srv.TCP()}})
	if err != nil {
		t.Fatal(err)
	}
	defer sh.Close()
	for range 2 {
		s, err := New(t.Context(), Options{Under: sh})
		if err != nil {
			t.Fatal(err)
		}
		if a, err := s.Ask(context.Background(), q1); err != nil || a.Cached {
			t.Errorf("%+v, %v", a, err)
		}
		s.Close()
	}
	log := srv.Log()
	if len(log) != 2 || log[0].From != log[1].From {
		t.Errorf("%+v", log)
	}
}
