package dkim

import (
	"context"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/engine"
)

const edKey = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

func TestRepair(t *testing.T) {
	good := "v=DKIM1; k=ed25519; p=" + edKey
	for in, want := range map[string]string{
		good:                                          good,
		`"v=DKIM1; k=ed25519; p=` + edKey + `"`:       good,
		`v=DKIM1\; k=ed25519\; p=` + edKey:            good,
		"v=DKIM1 k=ed25519 p=" + edKey:                good,
		"V=dkim1; K=Ed25519; P=" + edKey:              good,
		"k=ed25519; v=DKIM1; p=" + edKey:              good,
		"v=DKIM1;; k=ed25519; p=" + edKey + ";":       good,
		"v=DKIM1, k=ed25519, p=" + edKey:              good,
		"v=DKIM1; k=ed25519-sha256; p=" + edKey:       good,
		"v=DKIM1; k=rsa; p=" + edKey:                  good,
		"v=DKIM1; p=" + edKey:                         good,
		"p=" + edKey:                                  "k=ed25519; p=" + edKey,
		strings.TrimRight(good, "="):                  good,
		"v=DKIM1； k=ed25519；\u3000p＝" + edKey:         good,
		"v=DKIM1; k=ed25519; k=ed25519; p=" + edKey:   good,
		"v=DKIM1; k=ed25519; h=SHA256; p=" + edKey:    "v=DKIM1; k=ed25519; h=sha256; p=" + edKey,
		"v=DKIM1; k=ed25519; n=my note; p=" + edKey:   "v=DKIM1; k=ed25519; n=my note; p=" + edKey,
		"v=DKIM1; k=ed25519; p=":                      "", // a revoked key is no slip
		"v=DKIM1; k=ed25519; p=" + edKey + "; p=AAAA": "", // which of the two?
		"v=DKIM1; k=ed25519; hello; p=" + edKey:       "",
		"v=DKIM2; k=ed25519; p=" + edKey:              "", // of a future, perhaps
		"v=DKIM1; k=rsa; p=AAAA":                      "",
		"v=spf1 -all":                                 "",
		"":                                            "",
	} {
		got, ok := repair(in)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%q:\n got %q %v\nwant %q", in, got, ok, want)
		}
	}
}

// A repaired record is a key without an error, and needs no second repair.
func FuzzRepair(f *testing.F) {
	for _, s := range []string{"v=DKIM1; k=ed25519; p=" + edKey, `v=DKIM1\; p="` + edKey, "p=AAA", "v=dkim1 k=RSA,p=", "k=ed25519; p=MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out, ok := repair(s)
		if !ok {
			return
		}
		k := dkim.ParseKey(out)
		if len(k.Errors) > 0 || k.Public == nil {
			t.Fatalf("%q became %q: %v", s, out, k.Errors)
		}
		if again, ok := repair(out); !ok || again != out {
			t.Fatalf("%q became %q, and that %q", s, out, again)
		}
		for _, change := range []func(string) (string, bool){withSHA256, withoutTesting, withoutTag("g")} {
			if c, ok := change(out); ok && dkim.ParseKey(c).Broken() {
				t.Fatalf("%q broken by a change to %q", out, c)
			}
		}
	})
}

// Whatever stands at the selectors, the check ends with findings, crashes
// nowhere, and never says ok of a key that cannot be used.
func FuzzCheck(f *testing.F) {
	f.Add("v=DKIM1; k=ed25519; p="+edKey, "v=spf1 -all", uint8(0))
	f.Add("v=DKIM1; p=", "p=", uint8(1))
	f.Add(`v=DKIM1\; p=“`, "v=spf1 include:_spf.google.com", uint8(2))
	f.Add("\x00;=;;=\xff", "", uint8(3))
	f.Fuzz(func(t *testing.T, a, b string, bits uint8) {
		r := dnsq.ResolverFunc(func(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
			ans := &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain, Source: dnsq.SourceDNS}
			h := bits
			for i := range len(q.Name) {
				h = h*31 + q.Name[i]
			}
			switch {
			case q.Type != dnsq.TypeTXT, h%8 == 0:
			case h%8 == 1 && bits&1 != 0:
				return nil, &dnsq.Error{Question: q, Reason: dnsq.ServFail}
			case h%8 == 2 && bits&2 != 0:
				ans.Chain = []string{"k.provider.example"}
				fallthrough
			default:
				ans.Outcome = dnsq.Found
				ans.RRs = []dnsq.RR{{Name: ans.Owner(), Type: q.Type, Strings: []string{a}}}
				if h%8 == 3 {
					ans.RRs = append(ans.RRs, dnsq.RR{Name: ans.Owner(), Type: q.Type, Strings: []string{b}})
				} else if h%8 > 5 {
					ans.RRs[0].Strings[0] = b
				}
			}
			return ans, nil
		})
		target := diag.Target{Domain: "shop.example", DKIMDomain: "shop.example"}
		if bits&4 != 0 {
			target.Selectors = []string{"a", b, "c"}
		}
		cfg := engine.Config{Checks: []*diag.Check{Check}, Resolver: dnsq.NewCache(t.Context(), r)}
		rep := engine.Run(t.Context(), cfg, target)
		engine.Verify(t.Context(), cfg, rep)
		cr := &rep.Checks[0]
		if cr.Panic != "" {
			t.Fatal(cr.Panic)
		}
		for _, fd := range cr.Findings {
			if fd.Kind == ok && !dkim.ParseKey(fd.Evidence[0].Text).Usable() {
				t.Fatalf("ok of %q", fd.Evidence[0].Text)
			}
			for _, e := range fd.Evidence {
				if e.Offset < 0 || e.Length < 0 || e.Offset+e.Length > len(e.Text) {
					t.Fatalf("%s: evidence %+v", fd.Kind.ID, e)
				}
			}
		}
	})
}
