package dmarc_test

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	msgauth "github.com/emersion/go-msgauth/dmarc"

	"github.com/todoku-mail/todoku/pkg/dmarc"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/orgdomain"
)

// The worked examples of RFC 9989 (§4.10, Appendix B).
func TestExamples(t *testing.T) {
	b, err := os.ReadFile("testdata/rfc9989-examples.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		ID     string                         `json:"id"`
		From   string                         `json:"from_domain"`
		DKIM   []string                       `json:"dkim"`
		SPF    []string                       `json:"spf"`
		Zone   map[string]map[string][]txtish `json:"zone"`
		Expect struct{ Result, Policy, Org string }
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != 15 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, c := range cases {
		t.Run(c.ID, func(t *testing.T) {
			world := dnsq.ResolverFunc(func(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
				a := &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain}
				for _, strs := range c.Zone[q.Name][q.Type.String()] {
					a.Outcome = dnsq.Found
					a.RRs = append(a.RRs, dnsq.RR{Name: q.Name, Type: q.Type, Strings: strs})
				}
				for name := range c.Zone {
					if a.Outcome == dnsq.NXDomain && dnsq.AtOrBelow(name, q.Name) {
						a.Outcome = dnsq.NoData
					}
				}
				return a, nil
			})
			walks := map[string]*orgdomain.Result{}
			walk := func(d string) *orgdomain.Result {
				if walks[d] == nil {
					walks[d] = orgdomain.Walk(t.Context(), world, d)
				}
				return walks[d]
			}
			same := func(a, b string) (bool, bool) { return orgdomain.Same(walk(a), walk(b)) }
			from := walk(c.From)
			if from.Policy == nil {
				t.Fatal("no policy was found")
			}
			r := dmarc.Parse(from.Policy.Record().Text())
			whom := dmarc.Self
			if from.Policy.Domain != c.From {
				whom = dmarc.Subdomain
				if a, _ := world(t.Context(), dnsq.Q(c.From, dnsq.TypeTXT)); !a.Exists() {
					whom = dmarc.NonExistent
				}
			}
			result := "fail"
			for _, d := range c.DKIM {
				if a := dmarc.Aligned(c.From, d, r.ADKIM, same); a == dmarc.AlignedStrict || a == dmarc.AlignedRelaxed {
					result = "pass"
				}
			}
			for _, d := range c.SPF {
				if a := dmarc.Aligned(c.From, d, r.ASPF, same); a == dmarc.AlignedStrict || a == dmarc.AlignedRelaxed {
					result = "pass"
				}
			}
			if result != c.Expect.Result {
				t.Errorf("result %s, want %s", result, c.Expect.Result)
			}
			if p := r.Evaluate(whom).Policy; c.Expect.Policy != "" && string(p) != c.Expect.Policy {
				t.Errorf("policy %s, want %s", p, c.Expect.Policy)
			}
			if c.Expect.Org != "" && from.Org != c.Expect.Org {
				t.Errorf("organizational domain %s, want %s", from.Org, c.Expect.Org)
			}
		})
	}
}

// txtish is a list of strings, or the one string of an address.
type txtish []string

func (x *txtish) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*x = txtish{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(x))
}

// records are real DMARC records, if the collection is beside the repository,
// and some that are made up.
func records(t testing.TB) (real []string) {
	b, err := os.ReadFile("../../../shared/suites/records/records.tsv")
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Split(line, "\t"); len(f) > 2 && f[1] == "TXT" && strings.Contains(strings.ToLower(f[2]), "dmarc1") {
			real = append(real, f[2])
		}
	}
	return real
}

// Real records are read without a fault that their publishers would not own to.
func TestRealRecords(t *testing.T) {
	real := records(t)
	if len(real) == 0 {
		t.Skip("the collection of real records is not beside this repository")
	}
	if len(real) < 300 {
		t.Fatalf("only %d records", len(real))
	}
	count := map[string]int{}
	for _, text := range real {
		r := dmarc.Parse(text)
		if r.Fatal != nil {
			count["!"+r.Fatal.Code]++
			t.Logf("%s: %q", r.Fatal.Code, text)
			continue
		}
		for _, n := range r.Notes {
			count[n.Code]++
		}
		if v := r.Evaluate(dmarc.Self); v.Policy == "" && r.P != "" && len(r.Problems()) == 0 {
			t.Errorf("%q has p=%s and no policy", text, r.P)
		}
	}
	t.Logf("%d records: %v", len(real), count)
}

// go-msgauth reads RFC 7489 alone. Where it reads a record otherwise, the
// reason is one of these.
func TestAgainstMsgauth(t *testing.T) {
	texts := append(records(t),
		"v=DMARC1; p=none", "v=DMARC1; p=reject; sp=quarantine; adkim=s; aspf=s; fo=1; pct=20",
		"v=DMARC1; p=reject; np=none; t=y; psd=n", "v=DMARC1; p=Reject", "v=DMARC1; p=none; p=reject",
		"p=none; v=DMARC1", " v=DMARC1; p=none", "v=DMARC1; rua=mailto:a@example.com", "v=DMARC1; p=none; pct=x",
		"v=DMARC1; p=none; adkim=x", "v=DMARC1; p=none; hello", "v=dmarc1; p=none", "v=DMARC1 p=none", "v=spf1 -all",
		"v=DMARC1; P=reject", "v=DMARC1;; p=none", "v=DMARC1; p=none; fo=1:d; ruf=mailto:a@example.com", "v=DMARC1; p=none; sp=x; rua=mailto:a@example.com")
	differ := map[string]int{}
	for _, text := range texts {
		ours := dmarc.Parse(text)
		theirs, err := msgauth.Parse(text)
		switch known := knownDifference(ours, err); {
		case known != "":
			differ[known]++
		case err != nil:
			if ours.Fatal == nil && ours.EvaluateOld(dmarc.Self).Policy != "" {
				t.Errorf("%q: go-msgauth refuses it (%v), we read %v", text, err, ours.EvaluateOld(dmarc.Self))
			}
		case ours.Fatal != nil:
			t.Errorf("%q: go-msgauth reads it, we say %s", text, ours.Fatal.Code)
		default:
			if got, want := ours.EvaluateOld(dmarc.Self).Policy, dmarc.Policy(theirs.Policy); got != want {
				t.Errorf("%q: p %s, go-msgauth %s", text, got, want)
			}
			if theirs.SubdomainPolicy != "" && string(ours.SP) != string(theirs.SubdomainPolicy) {
				t.Errorf("%q: sp %s, go-msgauth %s", text, ours.SP, theirs.SubdomainPolicy)
			}
			if theirs.DKIMAlignment != "" && byte(ours.ADKIM) != theirs.DKIMAlignment[0] || theirs.SPFAlignment != "" && byte(ours.ASPF) != theirs.SPFAlignment[0] {
				t.Errorf("%q: alignment %c %c, go-msgauth %s %s", text, ours.ADKIM, ours.ASPF, theirs.DKIMAlignment, theirs.SPFAlignment)
			}
			var rua []string
			for _, u := range ours.RUA {
				rua = append(rua, u.Text)
			}
			if !slices.Equal(rua, trimmed(theirs.ReportURIAggregate)) {
				t.Errorf("%q: rua %q, go-msgauth %q", text, rua, theirs.ReportURIAggregate)
			}
		}
	}
	t.Logf("differences of %d: %v", len(texts), differ)
}

func trimmed(list []string) (out []string) {
	for _, s := range list {
		out = append(out, strings.TrimSpace(s))
	}
	return out
}

func knownDifference(ours *dmarc.Record, err error) string {
	has := func(code string) bool {
		return slices.ContainsFunc(ours.Notes, func(n dmarc.Note) bool { return n.Code == code })
	}
	switch {
	case ours.Fatal != nil && err == nil && ours.Fatal.Code == dmarc.NoteVersionNotFirst:
		return "accepts v that is not first"
	case ours.Fatal != nil && err == nil && ours.Fatal.Code == dmarc.NoteBeforeVersion:
		return "skips blanks before v"
	case err != nil && ours.Fatal == nil && has(dmarc.NoteValueCase):
		return "refuses policies in upper case"
	case err != nil && ours.Fatal == nil && ours.P == "":
		return "refuses a record without a valid p although it has rua (RFC 7489 §6.6.3 too makes it none)"
	case has(dmarc.NoteDuplicate):
		return "takes the last of two tags"
	case err != nil && ours.Fatal == nil && (has(dmarc.NoteBadValue) || has(dmarc.NoteBadPolicy)):
		return "refuses the record for a bad value (RFC 7489 §6.3 discards it)"
	case err != nil && ours.Fatal == nil && (has(dmarc.NoteBadTag) || has(dmarc.NoteEmptyTag)):
		return "refuses the record for something that is no tag"
	case err != nil && ours.Fatal == nil && has(dmarc.NoteNameCase):
		return "reads names of tags with case"
	}
	return ""
}
