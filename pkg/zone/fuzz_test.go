package zone

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// FuzzParse: nothing panics; every record that is read has a place, and its
// printed form reads back to the same record.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"$ORIGIN example.com.\n$TTL 1h\n@ SOA ns host 1 2 3 4 5\n\tNS ns\nwww 5 IN A 192.0.2.1 ; c\n",
		"a TXT ( \"x\\\"\\059\" ; c\n y )\nb AAAA 2001:db8::1\nc MX 10 @\n",
		"$GENERATE 1-20/3 h${-1,3,n} 5 TXT \"$ \\$\"\n$INCLUDE x\n",
		"a SRV 1 2 3 b\na CAA 0 issue \"x\\255\"\na TYPE65280 \\# 2 abcd\na TXT \\# 2 0161\na SVCB 1 . alpn=h2,h3 port=1\na NAPTR 1 2 \"u\" \"\" \"!\\\\!\" .\n",
		"例え DNAME メール.jp.\n\\000\\.b PTR \\097.\n\"q\" A 1\n",
		"a TXT \"open\nb A ( 192.0.2.1\nc A 192.0.2.1 )\nd LOC 1 2 3 N 4 5 6 E 7m\ne APL 1:192.0.2.0/24\n",
		"a TLSA 3 1 1 ab\na HIP 2 20 10 ab\na NSEC b A TXT\na RRSIG A 8 2 5 20300101000000 20200101000000 1 a. YWI=\na URI 1 2 \"x\"\n",
	} {
		f.Add([]byte(s), "example.com")
		f.Add([]byte(s), "")
	}
	f.Fuzz(func(t *testing.T, src []byte, origin string) {
		z, err := Parse(strings.NewReader(string(src)), "f", origin)
		if err != nil {
			es, ok := err.(Errors)
			if !ok || len(es) == 0 || z != nil {
				t.Fatalf("%T %v", err, err)
			}
			for _, e := range es {
				if e.Line < 0 || e.Column < 0 || e.Msg == "" {
					t.Errorf("%+v", e)
				}
			}
			return
		}
		for i := range z.Records {
			if i == 100 {
				break // a $GENERATE of 65536: the rest is alike
			}
			rr := &z.Records[i]
			if s := z.Spans[i]; s.Start > s.End || s.End > len(src) || rr.Line < 1 || rr.Line != s.Line {
				t.Fatalf("record %d: %+v", i, s)
			}
			line := FormatRecord(*rr)
			origin := "."
			if rr.Type == dnsq.TypeSOA {
				origin = ""
			}
			back, err := Parse(strings.NewReader(line+"\n"), "f", origin)
			if err != nil || len(back.Records) != 1 {
				t.Fatalf("%q (from %q): %v", line, z.Raw(i), err)
			}
			b := &back.Records[0]
			if !sameData(b, rr) || b.Name != rr.Name || b.TTL != rr.TTL {
				t.Fatalf("%q reads back as %+v, was %+v", line, b, rr)
			}
			if wireLen(rr.Name) > 255 || rr.Name != dnsq.CanonicalName(rr.Name) {
				t.Fatalf("owner %q", rr.Name)
			}
			e, err := RecordOf(rr.Name, rr.Type.String(), EditText(*rr))
			if err != nil || !sameText(&e, rr) {
				t.Fatalf("as an edit %q: %+v %v", EditText(*rr), e, err)
			}
		}
	})
}

// FuzzLookup: nothing panics or runs away; an answer is one thing; the same
// question answered by overlay and by an empty patch over it gives the same.
func FuzzLookup(f *testing.F) {
	f.Add("a CNAME b\n* TXT x\nb.c A 192.0.2.1\nd NS e\nf DNAME g\n", "a.z", uint16(16), "n.z", "text")
	f.Add("a DNAME a.a\n*.b CNAME a\nc CNAME c\n* MX 1 .\n", "x.a.z", uint16(5), "*.z", "v=spf1")
	f.Add("a DNAME .\n@ DNAME x.\n", "b.a.z", uint16(255), "q.b.a.z", "")
	f.Fuzz(func(t *testing.T, src, name string, typ uint16, edited, text string) {
		z, err := Parse(strings.NewReader(src), "f", "z")
		if err != nil {
			return
		}
		s, err := NewSet(z)
		if err != nil {
			t.Fatal(err)
		}
		q := dnsq.Q(name, dnsq.Type(typ))
		a, w := s.Lookup(q)
		if (a != nil) != (w.Place == In || w.Place == Leaves) || a != nil && len(a.Chain) > maxChain {
			t.Fatalf("%v: %+v %+v", q, a, w)
		}
		if a != nil && w.Place == In && (a.Outcome == dnsq.Found) != (len(a.RRs) > 0) {
			t.Fatalf("%v: %+v", q, a)
		}
		under := s.Overlay(dnsq.OfflineResolver("out"))
		show1 := func(r dnsq.Resolver) string {
			a, err := r.Ask(context.Background(), q)
			if (a == nil) == (err == nil) {
				t.Fatalf("%v: %+v %v", q, a, err)
			}
			if err != nil {
				return err.Error()
			}
			return show(a)
		}
		none, err := Patch(under, nil)
		if err != nil {
			t.Fatal(err)
		}
		if x, y := show1(under), show1(none); x != y {
			t.Fatalf("%v: %s, and under no edit %s", q, x, y)
		}
		p, err := Patch(under, []diag.Edit{{Name: edited, Type: "TXT", New: text}})
		if err != nil {
			return
		}
		show1(p)
		n, _ := parseName(edited, ".")
		pa, err := p.Ask(context.Background(), dnsq.Question{Name: n, Type: dnsq.TypeTXT})
		if err != nil {
			return
		}
		found := false
		for i := range pa.RRs {
			found = found || pa.RRs[i].Text() == text
		}
		if !found {
			t.Fatalf("the edit of %s is not in %s", n, show(pa))
		}
	})
}

func benchZone(n int) string {
	var b strings.Builder
	b.WriteString("$ORIGIN example.com.\n$TTL 1h\n@ SOA ns hostmaster 1 2h 1h 2w 10m\n")
	for i := 0; i < n-1; i++ {
		switch i % 4 {
		case 0:
			fmt.Fprintf(&b, "host%d 300 IN A 192.0.2.%d ; a host\n", i, i%256)
		case 1:
			fmt.Fprintf(&b, "host%d IN MX 10 mail.example.com.\n", i)
		case 2:
			fmt.Fprintf(&b, "host%d TXT \"v=spf1 ip4:192.0.2.%d include:_spf.example.net -all\"\n", i, i%256)
		case 3:
			fmt.Fprintf(&b, "alias%d CNAME host%d\n", i, i-1)
		}
	}
	return b.String()
}

func BenchmarkParse10000(b *testing.B) {
	text := benchZone(10000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if z, err := Parse(strings.NewReader(text), "bench", ""); err != nil || len(z.Records) != 10000 {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewSet10000(b *testing.B) {
	z := mustParse(b, benchZone(10000), "")
	b.ReportAllocs()
	for b.Loop() {
		mustSet(b, z)
	}
}

func BenchmarkLookup(b *testing.B) {
	s := mustSet(b, mustParse(b, benchZone(10000), ""))
	for name, q := range map[string]dnsq.Question{
		"found":    {Name: "host4002.example.com", Type: dnsq.TypeTXT},
		"alias":    {Name: "alias4003.example.com", Type: dnsq.TypeTXT},
		"nxdomain": {Name: "a.b.c.example.com", Type: dnsq.TypeTXT},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Lookup(q)
			}
		})
	}
}
