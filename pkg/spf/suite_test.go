package spf

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/dnsq/dnstest"
)

// The conformance suite of RFC 7208 (openspf.org's, in its newest form). Its
// strings stand for octets, one character each.
type scenario struct {
	Scenario int                             `json:"scenario"`
	Desc     string                          `json:"desc"`
	Zone     map[string][][2]json.RawMessage `json:"zone"`
	Tests    []struct {
		ID          string   `json:"id"`
		Helo        string   `json:"helo"`
		Host        string   `json:"host"`
		MailFrom    string   `json:"mailfrom"`
		Result      []Result `json:"result"`
		Explanation *string  `json:"explanation"`
	} `json:"tests"`
}

func loadSuite(t testing.TB) []scenario {
	t.Helper()
	b, err := os.ReadFile("testdata/rfc7208.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []scenario
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// quoted is s as a quoted string of a zone file, each character an octet.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		if r > 0xff {
			panic("suite: a character over 255")
		}
		fmt.Fprintf(&b, "\\%03d", r)
	}
	b.WriteByte('"')
	return b.String()
}

func zoneName(t testing.TB, s string) string {
	if s == "" {
		return "."
	}
	n, ok := dnsq.NameOfRaw(s)
	if !ok {
		t.Fatalf("suite: %q is no name", s)
	}
	return n + "."
}

// zone is the scenario's zone as a zone file, and the questions that get no
// answer: at a name with TIMEOUT, every type that has no record there.
func (sc *scenario) zone(t testing.TB) (text string, timeouts []dnsq.Question) {
	t.Helper()
	var b strings.Builder
	get := func(raw json.RawMessage, v any) {
		if err := json.Unmarshal(raw, v); err != nil {
			t.Fatal(err)
		}
	}
	for name, rrs := range sc.Zone {
		owner := zoneName(t, name)
		timeout, have := false, map[string]bool{}
		for _, rr := range rrs {
			var typ string
			get(rr[0], &typ)
			have[typ] = true
			switch typ {
			case "TIMEOUT":
				timeout = true
			case "TXT", "SPF":
				var list []string
				get(rr[1], &list)
				if len(list) == 0 {
					list = []string{""}
				}
				fmt.Fprintf(&b, "%s 60 %s", owner, typ)
				for _, s := range list {
					b.WriteString(" " + quoted(s))
				}
				b.WriteString("\n")
			case "A", "AAAA":
				var s string
				get(rr[1], &s)
				fmt.Fprintf(&b, "%s 60 %s %s\n", owner, typ, s)
			case "PTR", "CNAME":
				var s string
				get(rr[1], &s)
				fmt.Fprintf(&b, "%s 60 %s %s\n", owner, typ, zoneName(t, s))
			case "MX":
				var v []any
				get(rr[1], &v)
				fmt.Fprintf(&b, "%s 60 MX %d %s\n", owner, int(v[0].(float64)), zoneName(t, v[1].(string)))
			default:
				t.Fatalf("suite: type %s", typ)
			}
		}
		if timeout {
			for _, typ := range []dnsq.Type{dnsq.TypeA, dnsq.TypeAAAA, dnsq.TypeMX, dnsq.TypePTR, dnsq.TypeTXT, dnsq.TypeSPF} {
				if !have[typ.String()] {
					timeouts = append(timeouts, dnsq.Q(strings.TrimSuffix(owner, "."), typ))
				}
			}
		}
	}
	return b.String(), timeouts
}

// TestSuite runs all 203 cases over a real socket, with and without Prefetch.
// The best implementations that we know of fail one or more of them.
func TestSuite(t *testing.T) {
	all := loadSuite(t)
	cases, explained := 0, 0
	for _, sc := range all {
		cases += len(sc.Tests)
		for _, tc := range sc.Tests {
			if tc.Explanation != nil {
				explained++
			}
		}
	}
	if len(all) != 16 || cases != 203 || explained == 0 {
		t.Fatalf("the suite has %d scenarios, %d cases, %d explanations; expected 16, 203, over 0", len(all), cases, explained)
	}
	for _, sc := range all {
		text, timeouts := sc.zone(t)
		srv := dnstest.Start(t, text)
		for _, q := range timeouts {
			srv.Fault(q.Name, q.Type, dnstest.Timeout)
		}
		res := srv.Resolver()
		for _, tc := range sc.Tests {
			for _, prefetch := range []bool{false, true} {
				t.Run(fmt.Sprintf("%02d/%s/prefetch=%t", sc.Scenario, tc.ID, prefetch), func(t *testing.T) {
					t.Parallel()
					c := Checker{Resolver: res, DefaultExplanation: "DEFAULT", Prefetch: prefetch}
					v := c.Check(context.Background(), netip.MustParseAddr(tc.Host), tc.Helo, tc.MailFrom)
					if !slices.Contains(tc.Result, v.Result) {
						t.Errorf("result %s, expected %v; problem %+v", v.Result, tc.Result, v.Problem)
					}
					if tc.Explanation != nil && v.Explanation != *tc.Explanation {
						t.Errorf("explanation %q, expected %q", v.Explanation, *tc.Explanation)
					}
					checkVerdict(t, v)
				})
			}
		}
	}
}

// checkVerdict holds for every Verdict whatever the record.
func checkVerdict(t testing.TB, v *Verdict) {
	t.Helper()
	switch v.Result {
	case None, TempError, PermError:
		if v.Problem == nil {
			t.Errorf("%s without a Problem", v.Result)
		} else if (v.Result == TempError) != (v.Problem.Code == ProblemDNS && v.Problem.Err != nil) {
			t.Errorf("%s with the problem %+v", v.Result, v.Problem)
		} else if !slices.Contains(ProblemCodes, v.Problem.Code) {
			t.Errorf("unknown code %q", v.Problem.Code)
		}
	case Pass, Fail, SoftFail, Neutral:
		if v.Problem != nil {
			t.Errorf("%s with the problem %+v", v.Result, v.Problem)
		}
	default:
		t.Errorf("result %q", v.Result)
	}
	if v.Result != Fail && v.Explanation != "" {
		t.Errorf("%s with an explanation", v.Result)
	}
	if v.Lookups > MaxLookups+1 || v.Voids > MaxVoids+1 || v.Lookups == MaxLookups+1 && v.Result != PermError {
		t.Errorf("%s after %d lookups, %d voids", v.Result, v.Lookups, v.Voids)
	}
	if v.Root != nil {
		if v.Root.Lookups != v.Lookups || v.Root.Voids != v.Voids {
			t.Errorf("the root says %d lookups and %d voids, the verdict %d and %d", v.Root.Lookups, v.Root.Voids, v.Lookups, v.Voids)
		}
		checkNode(t, v.Root)
	}
	if v.Result == Pass && (len(v.Path) == 0 || !v.Path[0].Matched && v.Path[0].Why != WhyRedirect) {
		t.Errorf("pass without a path")
	}
}

// checkNode: the costs of a record are those of its terms; a term that was
// looked at says why it did or did not match.
func checkNode(t testing.TB, n *Node) {
	t.Helper()
	sum := 0
	for _, s := range n.Steps {
		sum += s.Lookups
		own := 0
		if s.Term.Counts() {
			own = 1
		}
		if s.Child != nil {
			own += s.Child.Lookups
			checkNode(t, s.Child)
		}
		if s.Lookups != own && s.Why != WhyTooBig { // a term over the bound of terms is not counted
			t.Errorf("%s at %s costs %d, not %d", s.Term.Text, n.Domain, s.Lookups, own)
		}
		if s.Why == "" {
			t.Errorf("%s at %s: no Why", s.Term.Text, n.Domain)
		}
		if s.Term.Text != n.Record.Text[s.Term.Start:s.Term.End] {
			t.Errorf("%s at %s: span %v", s.Term.Text, n.Domain, s.Term.Span)
		}
	}
	if sum != n.Lookups {
		t.Errorf("%s costs %d, its terms %d", n.Domain, n.Lookups, sum)
	}
}
