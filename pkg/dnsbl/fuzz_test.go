package dnsbl_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	. "github.com/todoku-mail/todoku/pkg/dnsbl"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// A fault in the table is an error that names the line, never a list that is
// asked in the wrong way.
func TestParseFaults(t *testing.T) {
	const good = "zone bl.example\nby X\nkind ip4\ntier minor\nask all\ncode 127.0.0.2 listed\nsource x\ntrust official\n"
	if ls, err := Parse(good); err != nil || len(ls) != 1 {
		t.Fatal(ls, err)
	}
	for edit, want := range map[string]string{
		"by X|":                                            "by, source and trust",
		"kind ip4|kind ip5":                                "no kind",
		"kind ip4|":                                        "belong to a zone that is asked",
		"tier minor|tier big":                              "none of",
		"ask all|ask always":                               "none of",
		"ask all|ask key":                                  "needs a key",
		"code 127.0.0.2 listed|code 126.0.0.2 x":           "is no code",
		"code 127.0.0.2 listed|code ::1 x":                 "is no bit",
		"code 127.0.0.2 listed|code 127.0.0.2":             "expected CODE",
		"code 127.0.0.2 listed|code 2 x":                   "is no bit",
		"code 127.0.0.2 listed|bits 127.0.0.1":             "no base",
		"code 127.0.0.2 listed|bits 127.0.0.0\ncode 3 x":   "is no bit",
		"code 127.0.0.2 listed|code 127.0.0.3-127.0.0.2 x": "is no code",
		"code 127.0.0.2 listed|code 127.0.0.2 x bad":       "none of",
		"trust official|trust hearsay":                     "nobody has confirmed",
		"by X|by X\nby Y":                                  "said twice",
		"by X|colour red":                                  "unknown word",
		"by X|by X\nnever closed":                          "never asked and asked",
		"by X|zone b.example":                              "an empty line belongs before",
		"zone bl.example|zone BL.example":                  "canonical",
		"zone bl.example|by Z":                             "before any zone",
		"by X|by":                                          "expected a word and a value",
		"by X|test ip4 a b":                                "expected test domain",
		"by X|keyed x":                                     "expected keyed",
	} {
		from, to, _ := strings.Cut(edit, "|")
		text := strings.Replace(good, from, to, 1)
		text = strings.ReplaceAll(text, "\n\n", "\n")
		text = strings.TrimPrefix(text, "\n")
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%q: %v, want %s", edit, err, want)
		}
	}
	if _, err := Parse(good + "\n" + good); err == nil || !strings.Contains(err.Error(), "here twice") {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	for _, block := range strings.SplitN(ListsText, "\n\n", 12) {
		f.Add(block)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ls, err := Parse(text)
		if err != nil {
			return
		}
		for _, l := range ls {
			if l.Zone == "" || l.Ask == "" || l.Ask != Never && (len(l.Codes) == 0 || len(l.Kinds) == 0) {
				t.Errorf("half a list: %+v", l)
			}
		}
	})
}

func FuzzParseSpec(f *testing.F) {
	for _, s := range []string{"bl.example:ip4,domain", "zen.spamhaus.org", "", ":", "a:b:c", "\x00.x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		spec, err := ParseSpec(s)
		if err != nil {
			return
		}
		if n, err := dnsq.ParseName(spec.Zone); err != nil || n != spec.Zone {
			t.Errorf("%q: %q, %v", s, spec.Zone, err)
		}
		ask, never := Select(false, nil, []Spec{spec})
		if !slices.ContainsFunc(append(ask, never...), func(l *List) bool { return dnsq.AtOrBelow(spec.Zone, l.Zone) }) {
			t.Errorf("%q is neither asked nor refused", spec.Zone)
		}
	})
}

func FuzzPublicResolverIn(f *testing.F) {
	f.Add("8.8.8.8:53, https://dns.google/x")
	f.Fuzz(func(t *testing.T, s string) {
		if n, ok := PublicResolverIn(s); ok == (n == "") {
			t.Errorf("%q: %q %v", s, n, ok)
		}
	})
}

// Whatever records a list answers with, the verdict is one of a few, a listing
// has a code of the table, and an address of the Internet or an error is none.
func FuzzJudge(f *testing.F) {
	f.Add(uint8(0), []byte{127, 0, 0, 2}, []byte{}, []byte{127, 0, 0, 2, 127, 255, 255, 254})
	f.Add(uint8(1), []byte{127, 0, 1, 2}, []byte{}, []byte{127, 0, 1, 255})
	f.Add(uint8(14), []byte{127, 0, 0, 1}, []byte{127, 0, 0, 1}, []byte{127, 0, 0, 1, 8, 8, 8, 8})
	lists, _ := Select(true, Services(), []Spec{{Zone: "bl.corp.example"}})
	f.Fuzz(func(t *testing.T, which uint8, hit, miss, got []byte) {
		l := lists[int(which)%len(lists)]
		k := l.Kinds[int(which)/len(lists)%len(l.Kinds)]
		s := IP(netip.MustParseAddr("192.0.2.25"))
		if k == IPv6 {
			s = IP(netip.MustParseAddr("2001:db8::25"))
		} else if k == Domain {
			s, _ = DomainName("shop.example")
		}
		a, b := l.Test(k)
		answers := map[string][]byte{l.Question(a).Name: hit, l.Question(b).Name: miss, l.Question(s).Name: got}
		r := dnsq.ResolverFunc(func(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
			raw := answers[q.Name]
			if len(raw) == 1 {
				return nil, &dnsq.Error{Question: q, Reason: dnsq.Timeout}
			}
			ans := &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain}
			for ; len(raw) >= 4; raw = raw[4:] {
				ans.Outcome = dnsq.Found
				ans.RRs = append(ans.RRs, dnsq.RR{Name: q.Name, Type: q.Type, Addr: netip.AddrFrom4([4]byte(raw[:4]))})
			}
			return ans, nil
		})
		reply := Ask(t.Context(), r, l, s)
		v := Judge(l, Probe(t.Context(), r, l, k), reply)
		if v.State != Listed {
			return
		}
		if len(reply.Hits) == 0 || len(got) < 4 {
			t.Fatalf("%s: a listing without a code", l.Zone)
		}
		for raw := got[:min(len(got), 4*64)]; len(raw) >= 4; raw = raw[4:] {
			if raw[0] != 127 || raw[1] == 255 && raw[2] == 255 {
				t.Errorf("%s: %v is taken for a listing", l.Zone, raw[:4])
			}
		}
		for _, h := range reply.Hits {
			if h.Class == Good || h.Meaning == "" {
				t.Errorf("%s: %+v", l.Zone, h)
			}
		}
	})
}
