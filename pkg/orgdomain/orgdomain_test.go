package orgdomain_test

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/orgdomain"
)

// world answers TXT questions: a text, "!" for a timeout, absent for NXDOMAIN.
// It counts what it is asked.
type world struct {
	txt   map[string][]string
	mu    sync.Mutex
	asked []string
}

func (w *world) Ask(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
	w.mu.Lock()
	w.asked = append(w.asked, q.Name)
	w.mu.Unlock()
	texts, ok := w.txt[q.Name]
	if !ok || q.Type != dnsq.TypeTXT {
		return &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain}, nil
	}
	if slices.Contains(texts, "!") {
		return nil, &dnsq.Error{Question: q, Reason: dnsq.Timeout}
	}
	a := &dnsq.Answer{Question: q, Outcome: dnsq.Found}
	for _, t := range texts {
		a.RRs = append(a.RRs, dnsq.RR{Name: q.Name, Type: dnsq.TypeTXT, Strings: []string{t}})
	}
	return a, nil
}

func walk(t *testing.T, txt map[string][]string, domain string) *orgdomain.Result {
	t.Helper()
	return orgdomain.Walk(t.Context(), &world{txt: txt}, domain)
}

func TestDomains(t *testing.T) {
	for _, c := range []struct{ domain, want string }{
		{"com", "com"},
		{"example.com", "example.com com"},
		// Eight labels: the parent, as below eight.
		{"a.b.c.d.e.f.example.com", "a.b.c.d.e.f.example.com b.c.d.e.f.example.com c.d.e.f.example.com d.e.f.example.com e.f.example.com f.example.com example.com com"},
		// The example of RFC 9989 §4.10.
		{"a.b.c.d.e.f.g.h.i.j.mail.example.com", "a.b.c.d.e.f.g.h.i.j.mail.example.com g.h.i.j.mail.example.com h.i.j.mail.example.com i.j.mail.example.com j.mail.example.com mail.example.com example.com com"},
		// The example of §5.1.8: nine labels.
		{"mail.a.b.c.d.e.f.g.example.com", "mail.a.b.c.d.e.f.g.example.com c.d.e.f.g.example.com d.e.f.g.example.com e.f.g.example.com f.g.example.com g.example.com example.com com"},
		{".", ""},
	} {
		got := orgdomain.Domains(c.domain)
		if strings.Join(got, " ") != c.want {
			t.Errorf("Domains(%s) = %v, want %s", c.domain, got, c.want)
		}
		if len(got) > orgdomain.MaxQueries {
			t.Errorf("Domains(%s): %d names", c.domain, len(got))
		}
	}
}

func TestWalk(t *testing.T) {
	v := func(s ...string) []string { return s }
	for _, c := range []struct {
		name, domain string
		txt          map[string][]string
		org, policy  string // "?" for not determined, policy "" for none
	}{
		{"nothing anywhere: the name itself", "a.example.com", nil, "a.example.com", ""},
		{"own record", "example.com", map[string][]string{"_dmarc.example.com": v("v=DMARC1")}, "example.com", "example.com"},
		{"own record below another's: own policy, topmost organization", "a.example.com",
			map[string][]string{"_dmarc.a.example.com": v("v=DMARC1"), "_dmarc.example.com": v("v=DMARC1")}, "example.com", "a.example.com"},
		{"psd=n ends it", "x.a.example.com",
			map[string][]string{"_dmarc.a.example.com": v("v=DMARC1;psd=n"), "_dmarc.example.com": v("v=DMARC1")}, "a.example.com", "a.example.com"},
		{"psd=y: one label below, with the registry's policy", "x.a.example.com",
			map[string][]string{"_dmarc.example.com": v("v=DMARC1; psd=y")}, "a.example.com", "example.com"},
		{"psd=y, and the domain below it has a record", "x.a.example.com",
			map[string][]string{"_dmarc.example.com": v("v=DMARC1; psd=y"), "_dmarc.a.example.com": v("v=DMARC1")}, "a.example.com", "a.example.com"},
		{"psd=y: a record further down is no candidate (§4.10.1)", "x.y.a.example.com",
			map[string][]string{"_dmarc.example.com": v("v=DMARC1; psd=y"), "_dmarc.y.a.example.com": v("v=DMARC1")}, "a.example.com", "example.com"},
		{"psd=y where the walk starts is its own organization", "com", map[string][]string{"_dmarc.com": v("v=DMARC1; psd=y")}, "com", "com"},
		{"two records at one name are none", "a.example.com",
			map[string][]string{"_dmarc.a.example.com": v("v=DMARC1; p=none", "v=DMARC1; p=reject"), "_dmarc.example.com": v("v=DMARC1")}, "example.com", "example.com"},
		{"a foreign text beside the record does not count", "example.com",
			map[string][]string{"_dmarc.example.com": v("v=spf1 -all", "v=DMARC1")}, "example.com", "example.com"},
		{"above eight labels names are left out", "mail.a.b.c.d.e.f.g.example.com",
			map[string][]string{"_dmarc.b.c.d.e.f.g.example.com": v("v=DMARC1; psd=n")}, "mail.a.b.c.d.e.f.g.example.com", ""},
		{"one label below a psd that the walk jumped to", "a.b.c.d.e.f.g.h.example.com",
			map[string][]string{"_dmarc.d.e.f.g.h.example.com": v("v=DMARC1; psd=y")}, "c.d.e.f.g.h.example.com", "d.e.f.g.h.example.com"},

		{"timeout at the name: neither", "example.com", map[string][]string{"_dmarc.example.com": v("!")}, "example.com", "?"},
		{"timeout above an own record: the policy stands, the organization does not", "example.com",
			map[string][]string{"_dmarc.example.com": v("v=DMARC1"), "_dmarc.com": v("!")}, "?", "example.com"},
		{"timeout above psd=n changes nothing", "example.com",
			map[string][]string{"_dmarc.example.com": v("v=DMARC1; psd=n"), "_dmarc.com": v("!")}, "example.com", "example.com"},
		{"timeout above, no record: could be inherited", "example.com", map[string][]string{"_dmarc.com": v("!")}, "?", "?"},
		{"timeout below psd=y: the name there could be a registry too", "x.a.example.com",
			map[string][]string{"_dmarc.a.example.com": v("!"), "_dmarc.example.com": v("v=DMARC1; psd=y")}, "?", "?"},
		{"timeout at the name below psd=y: the organization stands", "a.example.com",
			map[string][]string{"_dmarc.a.example.com": v("!"), "_dmarc.example.com": v("v=DMARC1; psd=y")}, "a.example.com", "?"},
		{"more unknown than can be tried", "a.b.c.d.e.example.com", map[string][]string{
			"_dmarc.b.c.d.e.example.com": v("!"), "_dmarc.c.d.e.example.com": v("!"), "_dmarc.d.e.example.com": v("!"),
			"_dmarc.e.example.com": v("!"), "_dmarc.example.com": v("!"), "_dmarc.com": v("!")}, "?", "?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := walk(t, c.txt, c.domain)
			org, policy := w.Org, ""
			if org == "" && w.OrgUnknown != nil {
				org = "?"
			}
			if w.Policy != nil {
				policy = w.Policy.Domain
			} else if w.PolicyUnknown != nil {
				policy = "?"
			}
			if org != c.org || policy != c.policy {
				t.Errorf("organization %s, policy %s; want %s, %s", org, policy, c.org, c.policy)
			}
		})
	}
}

// A timeout at the only name with a parent that has a record: with a record of
// psd=y, a.example.com would still be its own organization; with another, the
// parent's.
func TestStartUnknown(t *testing.T) {
	w := walk(t, map[string][]string{"_dmarc.a.example.com": {"!"}, "_dmarc.example.com": {"v=DMARC1"}}, "a.example.com")
	if w.Org != "" || len(w.OrgUnknown) != 1 || w.Policy != nil || len(w.PolicyUnknown) != 1 {
		t.Errorf("%+v", w)
	}
}

func TestSame(t *testing.T) {
	v := func(s ...string) []string { return s }
	for _, c := range []struct {
		name, a, b  string
		txt         map[string][]string
		same, known bool
	}{
		{"parent and child with a record above", "mail.example.com", "example.com", map[string][]string{"_dmarc.example.com": v("v=DMARC1")}, true, true},
		{"parent and child without any record", "mail.example.com", "example.com", nil, false, true},
		{"siblings", "a.example.com", "b.example.com", map[string][]string{"_dmarc.example.com": v("v=DMARC1")}, true, true},
		{"siblings, one apart by psd=n", "a.example.com", "b.example.com", map[string][]string{"_dmarc.example.com": v("v=DMARC1"), "_dmarc.a.example.com": v("v=DMARC1; psd=n")}, false, true},
		{"strangers", "example.com", "example.net", nil, false, true},
		// Whatever _dmarc.com holds, both have the same organization.
		{"a shared parent unknown", "mail.example.com", "example.com", map[string][]string{"_dmarc.example.com": v("v=DMARC1"), "_dmarc.com": v("!")}, true, true},
		{"strangers below an unknown top", "example.com", "example.org", map[string][]string{"_dmarc.com": v("!"), "_dmarc.org": v("!")}, false, true},
		{"the parent itself unknown", "mail.example.com", "example.com", map[string][]string{"_dmarc.example.com": v("!")}, false, false},
		{"two shops below an unknown top", "a.example", "b.example", map[string][]string{"_dmarc.example": v("!")}, false, false},
		{"the same name, whatever is unknown", "a.example", "a.example", map[string][]string{"_dmarc.a.example": v("!"), "_dmarc.example": v("!")}, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := walk(t, c.txt, c.a), walk(t, c.txt, c.b)
			if same, known := orgdomain.Same(a, b); same != c.same || known != c.known {
				t.Errorf("same %v, known %v", same, known)
			}
			if same, known := orgdomain.Same(b, a); same != c.same || known != c.known {
				t.Errorf("the other way round: same %v, known %v", same, known)
			}
		})
	}
}

// A name too long to exist is not asked for and is no error.
func TestTooLong(t *testing.T) {
	l := strings.Repeat("a", 63)
	domain := l + "." + l + "." + l + "." + strings.Repeat("b", 57) + ".com"
	w := &world{txt: map[string][]string{"_dmarc.com": {"v=DMARC1; psd=y"}}}
	r := orgdomain.Walk(t.Context(), w, domain)
	if slices.Contains(w.asked, "_dmarc."+domain) {
		t.Error("asked for a name of more than 255 octets")
	}
	if len(r.Steps) != 5 || r.Steps[0].Err != nil || r.Steps[0].Answer != nil || r.Policy == nil || r.Policy.Domain != "com" {
		t.Errorf("%+v", r)
	}
	// Escapes count as the octets they stand for.
	odd := `\000\000\..com`
	w = &world{}
	orgdomain.Walk(t.Context(), w, odd)
	if !slices.Contains(w.asked, "_dmarc."+odd) {
		t.Error("a name with escapes was not asked for")
	}
}

func TestRoot(t *testing.T) {
	w := walk(t, nil, ".")
	if len(w.Steps) != 0 || w.Policy != nil || w.Org != "." {
		t.Errorf("%+v", w)
	}
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		text string
		psd  orgdomain.PSD
		ok   bool
	}{
		{"v=DMARC1", 'u', true},
		{"V = DMARC1 ;", 'u', true},
		{"v=DMARC1;psd=Y", 'y', true},
		{"v=DMARC1; p=none; PSD = n ;", 'n', true},
		{"v=DMARC1; psd=x; psd=y", 'u', true},
		{"v=DMARC1; p\u017fd=y", 'u', true},
		{" v=DMARC1", 'u', false},
		{"v=dmarc1", 'u', false},
		{"v=DMARC1 p=none", 'u', false},
		{"p=none; v=DMARC1", 'u', false},
		{"v=DMARC12", 'u', false},
		{"", 'u', false},
	} {
		if psd, ok := orgdomain.Read(c.text); psd != c.psd || ok != c.ok {
			t.Errorf("Read(%q) = %c, %v", c.text, psd, ok)
		}
	}
}

var vector = regexp.MustCompile(`^checkPublicSuffix\((null|'[^']*'), (null|'[^']*')\);`)

// The test vectors of publicsuffix.org.
func TestPSLSuite(t *testing.T) {
	b, err := os.ReadFile("../../../shared/suites/psl/test_psl.txt")
	if os.IsNotExist(err) {
		t.Skip("the suite (MPL-2.0) is not part of this repository and not beside it")
	}
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		m := vector.FindStringSubmatch(line)
		if m == nil {
			if !strings.HasPrefix(line, "//") && strings.TrimSpace(line) != "" {
				t.Errorf("cannot read %q", line)
			}
			continue
		}
		n++
		in, want := strings.Trim(m[1], "'"), strings.Trim(m[2], "'")
		if m[1] == "null" {
			in = ""
		}
		if m[2] == "null" {
			want = ""
		} else if want, err = dnsq.ParseName(want); err != nil {
			t.Fatal(err)
		}
		if got, ok := orgdomain.PSL(in); got != want || ok != (want != "") {
			t.Errorf("PSL(%q) = %q, %v; want %q", in, got, ok, want)
		}
	}
	if n < 78 { // four more are commented out
		t.Errorf("only %d vectors were read", n)
	}
}

func TestPSL(t *testing.T) {
	for in, want := range map[string]string{
		"Mail.Example.COM.":  "example.com",
		"a.b.github.io":      "b.github.io",
		"github.io":          "",
		"shop.co.jp":         "shop.co.jp",
		"mail.shop.co.jp":    "shop.co.jp",
		"食狮.公司.cn":           "xn--85x722f.xn--55qx5d.cn",
		"192.0.2.1":          "",
		"[2001:db8::1]":      "",
		"..":                 "",
		"com":                "",
		"a..example.com":     "",
		"shop.example":       "shop.example",
		"a.shop.example":     "shop.example",
		"sub.unlisted.local": "unlisted.local",
	} {
		if got, ok := orgdomain.PSL(in); got != want || ok != (want != "") {
			t.Errorf("PSL(%q) = %q, %v; want %q", in, got, ok, want)
		}
	}
}

// Whatever the names and the answers are: at most eight questions, each once,
// and an organizational domain at or above the name (or, for psd=y, on the way).
func FuzzWalk(f *testing.F) {
	f.Add("a.b.example.com", "v=DMARC1; psd=y", uint16(0x0103))
	f.Add("a.b.c.d.e.f.g.h.i.j.k", "v=DMARC1", uint16(0xffff))
	f.Add(`a\.b.\000.com`, "v=DMARC1;psd=n", uint16(5))
	f.Fuzz(func(t *testing.T, domain, text string, bits uint16) {
		domain, ok := dnsq.NameOfRaw(domain)
		if !ok {
			return
		}
		w := &world{txt: map[string][]string{}}
		for i, d := range orgdomain.Domains(domain) {
			switch bits >> (2 * i) & 3 {
			case 1:
				w.txt["_dmarc."+d] = []string{text}
			case 2:
				w.txt["_dmarc."+d] = []string{"!"}
			case 3:
				w.txt["_dmarc."+d] = []string{"v=DMARC1", text}
			}
		}
		r := orgdomain.Walk(t.Context(), w, domain)
		slices.Sort(w.asked)
		if len(w.asked) > orgdomain.MaxQueries || len(slices.Compact(slices.Clone(w.asked))) != len(w.asked) {
			t.Errorf("asked %v", w.asked)
		}
		if (r.Org == "") != (r.OrgUnknown != nil) {
			t.Errorf("organization %q, unknown %v", r.Org, r.OrgUnknown)
		}
		if r.Org != "" && !dnsq.AtOrBelow(domain, r.Org) {
			t.Errorf("%s is not at or above %s", r.Org, domain)
		}
		if r.Policy != nil && (r.PolicyUnknown != nil || r.Policy.Record() == nil) {
			t.Errorf("policy of %s", r.Policy.Domain)
		}
		if same, known := orgdomain.Same(r, r); !same || !known {
			t.Error("a name is not of its own organization")
		}
	})
}
