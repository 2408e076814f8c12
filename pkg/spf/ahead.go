package spf

import (
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

const (
	maxAheadCheck = 64 // questions that Check asks ahead
	maxAheadDepth = MaxLookups
)

// ahead asks questions before the evaluation gets to them. It knows nothing
// of results: its answers wait in the memo, and what it leaves out the
// evaluation asks for itself.
type ahead struct {
	m        *memo
	value    func(letter byte, d string) (string, bool)
	families families
	ip       netip.Addr // stop at a network that holds it; zero: never
	left     atomic.Int64
	wg       sync.WaitGroup
	mu       sync.Mutex
	seen     map[string]bool // records walked, by the raw name
}

func newAhead(m *memo, value func(byte, string) (string, bool), f families, ip netip.Addr, limit int64) *ahead {
	p := &ahead{m: m, value: value, families: f, ip: ip, seen: make(map[string]bool)}
	p.left.Store(limit)
	return p
}

// ask asks in a goroutine of its own and hands the answer to then. It must be
// called by the evaluation or by a then: so wg cannot be waited for too early.
func (p *ahead) ask(name string, t dnsq.Type, then func(*dnsq.Answer)) {
	if p.left.Add(-1) < 0 || p.m.ctx.Err() != nil {
		return
	}
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		ans, err := p.m.ask(name, t)
		if err == nil && then != nil {
			then(ans)
		}
	}()
}

// addresses asks for the addresses of name, of the families wanted.
func (p *ahead) addresses(name string) {
	if p.families&family4 != 0 {
		p.ask(name, dnsq.TypeA, nil)
	}
	if p.families&family6 != 0 {
		p.ask(name, dnsq.TypeAAAA, nil)
	}
}

// target is the term's name if it can be known without %{p}.
func (p *ahead) target(t *Term, d string) (raw, name string, ok bool) {
	if t.Domain == "" {
		name, ok = canAsk(d)
		return d, name, ok
	}
	ok = true
	raw = expandDomain(t.macros, func(l byte) string {
		v, known := p.value(l, d)
		ok = ok && known
		return v
	})
	if !ok {
		return "", "", false
	}
	name, ok = canAsk(raw)
	return raw, name, ok
}

// record asks for what the terms of a record of domain d need.
func (p *ahead) record(r *Record, d string, depth int) {
	if depth > maxAheadDepth || len(r.Errors) > 0 && p.ip.IsValid() {
		return
	}
	p.mu.Lock()
	seen := p.seen[d]
	p.seen[d] = true
	p.mu.Unlock()
	if seen {
		return
	}
	counted := 0
	for i := range r.Terms {
		t := &r.Terms[i]
		if t.Modifier || t.Invalid {
			continue
		}
		if t.Name == "all" || p.ip.IsValid() && t.Prefix.IsValid() && t.Prefix.Masked().Contains(p.ip) {
			return // matches for certain: nothing behind it is reached
		}
		if t.Counts() {
			if counted++; counted > MaxLookups && p.ip.IsValid() {
				return
			}
			p.term(t, d, depth)
		}
	}
	if t := r.Redirect(); t != nil {
		p.term(t, d, depth)
	}
}

// exp asks for the explanation of the record of domain d.
func (p *ahead) exp(r *Record, d string) {
	if t := r.Exp(); t != nil {
		if _, name, ok := p.target(t, d); ok {
			p.ask(name, dnsq.TypeTXT, nil)
		}
	}
}

func (p *ahead) term(t *Term, d string, depth int) {
	raw, name, ok := p.target(t, d)
	if !ok {
		return
	}
	switch t.Name {
	case "include", "redirect":
		if !strings.Contains(raw, ".") {
			return
		}
		p.ask(name, dnsq.TypeTXT, func(ans *dnsq.Answer) {
			text, count := "", 0
			for i := range ans.RRs {
				if s := ans.RRs[i].Text(); ans.RRs[i].Type == dnsq.TypeTXT && IsSPF(s) {
					text = s
					count++
				}
			}
			if count == 1 {
				p.record(Parse(text), raw, depth+1)
			}
		})
	case "a":
		p.addresses(name)
	case "mx":
		p.ask(name, dnsq.TypeMX, func(ans *dnsq.Answer) {
			hosts, count := mxHosts(ans)
			if count <= MaxMXHosts {
				for _, h := range hosts {
					p.addresses(h)
				}
			}
		})
	case "exists":
		p.ask(name, dnsq.TypeA, nil)
	case "ptr":
		if p.ip.IsValid() {
			p.ask(dnsq.ReverseName(p.ip), dnsq.TypePTR, func(ans *dnsq.Answer) {
				for _, h := range ptrNames(ans) {
					if dnsq.AtOrBelow(h, name) {
						p.addresses(h)
					}
				}
			})
		}
	}
}
