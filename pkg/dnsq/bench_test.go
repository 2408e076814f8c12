package dnsq_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	. "github.com/todoku-mail/todoku/pkg/dnsq"
)

// fastServer answers every TXT question by putting a prepared answer behind it:
// as little work as a server can have, so that the client is what is measured.
func fastServer(t testing.TB) netip.AddrPort {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadBuffer(4 << 20)
	var wg sync.WaitGroup
	answer := []byte("\xc0\x0c\x00\x10\x00\x01\x00\x00\x01\x2c\x00\x25\x24v=spf1 include:_spf.example.com ~all")
	opt := []byte("\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00")
	for range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			buf := make([]byte, 1500)
			for {
				n, from, err := c.ReadFromUDPAddrPort(buf)
				if err != nil {
					return
				}
				end := 12
				for end < n && buf[end] != 0 {
					end += 1 + int(buf[end])
				}
				end += 5
				binary.BigEndian.PutUint16(buf[2:], 0x8180)
				binary.BigEndian.PutUint16(buf[6:], 1)
				binary.BigEndian.PutUint16(buf[10:], 1)
				b := append(append(buf[:end], answer...), opt...)
				c.WriteToUDPAddrPort(b, from)
			}
		}()
	}
	t.Cleanup(func() { c.Close(); wg.Wait() })
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// plain is what the stack is measured against: a socket per worker for as long
// as it lasts, nothing checked but the ID.
func plain(b *testing.B, ap netip.AddrPort, workers, n int) time.Duration {
	conns := make([]*dns.Conn, workers)
	cl := &dns.Client{Timeout: 2 * time.Second, UDPSize: 1232}
	for i := range conns {
		c, err := cl.Dial(ap.String())
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		conns[i] = c
	}
	return spread(workers, n, func(w, i int) {
		m := new(dns.Msg)
		m.SetQuestion(fmt.Sprintf("n%d.example.com.", i), dns.TypeTXT)
		m.SetEdns0(1232, false)
		r, _, err := cl.ExchangeWithConn(m, conns[w])
		if err != nil || len(r.Answer) != 1 {
			b.Error(err)
		}
	})
}

// whole is the stack as New builds it, every question a different one: the
// cache never helps.
func whole(b *testing.B, ap netip.AddrPort, workers, n int) time.Duration {
	s, err := New(b.Context(), Options{Servers: []Server{{Net: UDP, Addr: ap}}, Budget: n + 1})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	return spread(workers, n, func(_, i int) {
		a, err := s.Ask(b.Context(), Question{Name: fmt.Sprintf("n%d.example.com", i), Type: TypeTXT})
		if err != nil || a.Outcome != Found {
			b.Error(err)
		}
	})
}

func spread(workers, n int, f func(w, i int)) time.Duration {
	var next atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
				f(w, i)
			}
		}()
	}
	wg.Wait()
	return time.Since(start)
}

func BenchmarkPlain(b *testing.B) {
	ap := fastServer(b)
	for _, workers := range []int{1, 64} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			b.ReportAllocs()
			d := plain(b, ap, workers, b.N)
			b.ReportMetric(float64(b.N)/d.Seconds(), "q/s")
		})
	}
}

// BenchmarkAsk reports the throughput of the whole stack, and as "ratio" its
// share of that of a plain exchange: the median over turns of 2,000 questions
// each, so that what else the machine does hits both or one turn only. Run it
// with -benchtime of at least 40000x.
func BenchmarkAsk(b *testing.B) {
	ap := fastServer(b)
	for _, workers := range []int{1, 64} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			b.ReportAllocs()
			d := whole(b, ap, workers, b.N)
			b.ReportMetric(float64(b.N)/d.Seconds(), "q/s")
		})
		b.Run(fmt.Sprintf("ratio/workers=%d", workers), func(b *testing.B) {
			const turn = 2000
			var ratios []float64
			for done := 0; done < b.N; done += turn {
				n := min(turn, b.N-done)
				var ours, theirs time.Duration
				measure := []func(){
					func() { runtime.GC(); theirs = plain(b, ap, workers, n) },
					func() { runtime.GC(); ours = whole(b, ap, workers, n) },
				}
				first := len(ratios) % 2
				measure[first]()
				measure[1-first]()
				ratios = append(ratios, theirs.Seconds()/ours.Seconds())
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "ratio")
		})
	}
}

// BenchmarkCached is a question that was asked before.
func BenchmarkCached(b *testing.B) {
	ap := fastServer(b)
	s, err := New(b.Context(), Options{Servers: []Server{{Net: UDP, Addr: ap}}})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	q := Q("example.com", TypeTXT)
	if _, err := s.Ask(b.Context(), q); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	ctx := context.Background()
	for b.Loop() {
		if a, err := s.Ask(ctx, q); err != nil || !a.Cached {
			b.Fatal(err)
		}
	}
}
