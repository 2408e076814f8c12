package spf

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// world is a DNS in memory. Its text has a record a line:
//
//	example.com TXT v=spf1 mx -all      the rest of the line is one string
//	example.com MX 10 mx.example.com
//	slow.example.com !TXT timeout       this question gets no answer
//
// Names above a record exist. Every question takes latency (virtual time,
// inside of synctest) and is logged.
type world struct {
	rrs     map[dnsq.Question][]dnsq.RR
	cname   map[string]string
	exists  map[string]bool
	faults  map[dnsq.Question]dnsq.Reason
	latency time.Duration

	mu  sync.Mutex
	log []dnsq.Question
}

func newWorld(t testing.TB, text string) *world {
	t.Helper()
	w := &world{rrs: map[dnsq.Question][]dnsq.RR{}, cname: map[string]string{}, exists: map[string]bool{}, faults: map[dnsq.Question]dnsq.Reason{}}
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimLeft(line, "\t ")
		if line == "" {
			continue
		}
		f := strings.SplitN(line, " ", 3)
		if len(f) != 3 {
			t.Fatalf("world: %q", line)
		}
		w.add(t, f[0], f[1], f[2])
	}
	return w
}

func (w *world) add(t testing.TB, name, typ, data string) {
	t.Helper()
	name, ok := dnsq.NameOfRaw(name)
	if !ok {
		t.Fatalf("world: name %q", name)
	}
	for n := name; n != "."; n = dnsq.Parent(n) {
		w.exists[n] = true
	}
	if typ == "CNAME" {
		w.cname[name] = data
		return
	}
	fault := strings.HasPrefix(typ, "!")
	ty, err := dnsq.ParseType(strings.TrimPrefix(typ, "!"))
	if err != nil {
		t.Fatal(err)
	}
	q := dnsq.Question{Name: name, Type: ty}
	if fault {
		w.faults[q] = dnsq.Reason(data)
		return
	}
	rr := dnsq.RR{Name: name, Type: ty, TTL: 300}
	switch ty {
	case dnsq.TypeTXT:
		rr.Strings = []string{data}
	case dnsq.TypeA, dnsq.TypeAAAA:
		rr.Addr = netip.MustParseAddr(data)
	case dnsq.TypeMX:
		p, host, _ := strings.Cut(data, " ")
		n, _ := strconv.Atoi(p)
		rr.Pref, rr.Host = uint16(n), dnsq.CanonicalName(host)
	case dnsq.TypePTR:
		rr.Host = dnsq.CanonicalName(data)
	default:
		t.Fatalf("world: type %s", typ)
	}
	w.rrs[q] = append(w.rrs[q], rr)
}

func (w *world) Ask(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
	w.mu.Lock()
	w.log = append(w.log, q)
	w.mu.Unlock()
	if w.latency > 0 {
		select {
		case <-time.After(w.latency):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a := &dnsq.Answer{Question: q, Source: dnsq.SourceZone, TTL: 300}
	name := q.Name
	for w.cname[name] != "" {
		name = w.cname[name]
		a.Chain = append(a.Chain, name)
		if len(a.Chain) > 8 {
			return nil, &dnsq.Error{Question: q, Reason: dnsq.Malformed, Detail: "CNAME loop"}
		}
	}
	end := dnsq.Question{Name: name, Type: q.Type}
	if r := w.faults[end]; r != "" {
		return nil, &dnsq.Error{Question: q, Reason: r}
	}
	switch a.RRs = w.rrs[end]; {
	case len(a.RRs) > 0:
		a.Outcome = dnsq.Found
	case w.exists[name]:
		a.Outcome = dnsq.NoData
	default:
		a.Outcome = dnsq.NXDomain
	}
	return a, nil
}

func (w *world) asked() map[dnsq.Question]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := map[dnsq.Question]int{}
	for _, q := range w.log {
		m[q]++
	}
	return m
}

// dump is everything that a Verdict or an Analysis says, as text, for comparing.
func dumpNode(b *strings.Builder, n *Node, indent string) {
	if n == nil {
		return
	}
	fmt.Fprintf(b, "%s%s %s lookups=%d voids=%d %s\n", indent, n.Domain, n.Result, n.Lookups, n.Voids, dumpProblem(n.Problem))
	for _, s := range n.Steps {
		fmt.Fprintf(b, "%s  %s -> %q cost=%d void=%t/%t/%t matched=%t %s %v %v %v\n", indent, s.Term.Text, s.Target, s.Lookups, s.Void, s.Void4, s.Void6, s.Matched, s.Why, s.Addrs, s.Hosts, s.Err)
		dumpNode(b, s.Child, indent+"    ")
	}
}

func dumpProblem(p *Problem) string {
	if p == nil {
		return "ok"
	}
	term := ""
	if p.Term != nil {
		term = p.Term.Text
	}
	return fmt.Sprintf("%s@%s term=%q target=%q %d/%d %v %v %v %s", p.Code, p.Domain, term, p.Target, p.Count, p.Limit, p.Err, p.Records, p.Loop, p.Why)
}

func dump(v *Verdict) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s lookups=%d voids=%d exp=%q %s\npath:", v.Result, v.Identity, v.Domain, v.Lookups, v.Voids, v.Explanation, dumpProblem(v.Problem))
	for _, s := range v.Path {
		fmt.Fprintf(&b, " %s", s.Term.Text)
	}
	b.WriteString("\n")
	dumpNode(&b, v.Root, "")
	return b.String()
}

func dumpAnalysis(a *Analysis) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s lookups=%d atleast=%t voids=%d,%d queries=%d,%d bytes=%d v4=%v v6=%v unknown=%v\n", a.Domain, a.Lookups, a.AtLeast, a.Voids4, a.Voids6, a.VoidQueries4, a.VoidQueries6, a.AnswerBytes, a.V4.Prefixes, a.V6.Prefixes, a.Unknown)
	for _, p := range a.Problems {
		fmt.Fprintln(&b, dumpProblem(p))
	}
	for _, s := range a.SenderDependent {
		fmt.Fprintln(&b, "sender:", s.Term.Text)
	}
	dumpNode(&b, a.Root, "")
	return b.String()
}
