package facts_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
)

const dkimKey = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

// dkimWorld answers TXT and MX questions: texts of a name, "!reason" for
// silence, "nodata", "MX host". A name that is not there does not exist, unless
// something below it does.
type dkimWorld struct {
	records map[string][]string
	// every, if set, answers for names that are not there.
	every func(name string) []string
	delay time.Duration

	mu    sync.Mutex
	asked map[dnsq.Question]int
}

func (w *dkimWorld) Ask(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
	w.mu.Lock()
	if w.asked == nil {
		w.asked = map[dnsq.Question]int{}
	}
	w.asked[q]++
	w.mu.Unlock()
	time.Sleep(w.delay)
	texts, ok := w.records[q.Name]
	if !ok && w.every != nil {
		texts, ok = w.every(q.Name), true
	}
	a := &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain, Source: dnsq.SourceDNS}
	if !ok {
		for n := range w.records {
			if dnsq.AtOrBelow(n, q.Name) {
				a.Outcome = dnsq.NoData
			}
		}
		return a, nil
	}
	a.Outcome = dnsq.NoData
	for _, s := range texts {
		if r, silent := strings.CutPrefix(s, "!"); silent {
			return nil, &dnsq.Error{Question: q, Reason: dnsq.Reason(r)}
		}
		switch host, mx := strings.CutPrefix(s, "MX "); {
		case s == "nxdomain":
			a.Outcome = dnsq.NXDomain
		case mx && q.Type == dnsq.TypeMX:
			a.Outcome = dnsq.Found
			a.RRs = append(a.RRs, dnsq.RR{Name: q.Name, Type: q.Type, Pref: 10, Host: host})
		case !mx && s != "nodata" && q.Type == dnsq.TypeTXT:
			a.Outcome = dnsq.Found
			a.RRs = append(a.RRs, dnsq.RR{Name: q.Name, Type: q.Type, Strings: []string{s}})
		}
	}
	return a, nil
}

func search(t testing.TB, w *dkimWorld, selectors ...string) *facts.DKIMSearch {
	t.Helper()
	target := diag.Target{Domain: "shop.example", DKIMDomain: "shop.example", Selectors: selectors}
	world := diag.NewWorld(t.Context(), dnsq.NewCache(t.Context(), w), time.Now)
	s, err := facts.DKIMKeys.Of(t.Context(), world, facts.DKIMAskOf(&target))
	if err != nil {
		t.Fatal(err)
	}
	for q, n := range w.asked {
		if n > 1 {
			t.Errorf("%s was asked %d times", q, n)
		}
	}
	return s
}

func TestDKIMPossible(t *testing.T) {
	testingKey := strings.Replace(dkimKey, "v=DKIM1;", "v=DKIM1; t=y;", 1)
	type m = map[string][]string
	for name, c := range map[string]struct {
		records   m
		selectors []string
		want      facts.Possibility
		absent    bool
	}{
		"named":              {m{"a._domainkey.shop.example": {dkimKey}}, []string{"a"}, facts.Possible, false},
		"named, gone":        {m{"b._domainkey.shop.example": {dkimKey}}, []string{"a"}, facts.Impossible, false},
		"named, revoked":     {m{"a._domainkey.shop.example": {"p="}}, []string{"a"}, facts.Impossible, false},
		"named, one of two":  {m{"a._domainkey.shop.example": {dkimKey}}, []string{"a", "b"}, facts.Possible, false},
		"named, silent":      {m{"a._domainkey.shop.example": {"!timeout"}}, []string{"a", "b"}, facts.NotLearned, false},
		"named, testing":     {m{"a._domainkey.shop.example": {testingKey}}, []string{"a"}, facts.OnlyTesting, false},
		"testing and silent": {m{"a._domainkey.shop.example": {testingKey}, "b._domainkey.shop.example": {"!refused"}}, []string{"a", "b"}, facts.NotLearned, false},
		"guessed":            {m{"default._domainkey.shop.example": {dkimKey}}, nil, facts.Possible, false},
		"guessed and silent": {m{"default._domainkey.shop.example": {dkimKey}, "s1._domainkey.shop.example": {"!servfail"}}, nil, facts.Possible, false},
		"unguessable":        {m{"rs20260101._domainkey.shop.example": {dkimKey}}, nil, facts.NotFound, false},
		"nothing":            {m{"shop.example": {"v=spf1 -all"}}, nil, facts.Impossible, true},
		"nothing, silent":    {m{"shop.example": {"v=spf1 -all"}, "s1._domainkey.shop.example": {"!timeout"}}, nil, facts.NotLearned, false},
		"base silent":        {m{"_domainkey.shop.example": {"!timeout"}}, nil, facts.NotLearned, false},
		// An old server that says NXDOMAIN of a name with names below it: the
		// key that is found refutes it (RFC 8020 §4, RFC 4592 §2.2.2).
		"base denies":         {m{"_domainkey.shop.example": {"nxdomain"}, "default._domainkey.shop.example": {dkimKey}}, nil, facts.Possible, false},
		"base denies revoked": {m{"_domainkey.shop.example": {"nxdomain"}, "default._domainkey.shop.example": {"p="}}, nil, facts.NotFound, false},
		"base denies, silent": {m{"_domainkey.shop.example": {"nxdomain"}, "default._domainkey.shop.example": {"!timeout"}}, nil, facts.NotLearned, false},
	} {
		s := search(t, &dkimWorld{records: c.records}, c.selectors...)
		if got := s.Possible(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if s.Absent() != c.absent {
			t.Errorf("%s: absent is %v", name, s.Absent())
		}
	}
}

func TestDKIMAskOf(t *testing.T) {
	for _, c := range []struct {
		target diag.Target
		want   facts.DKIMAsk
	}{
		{diag.Target{Domain: "a.example"}, facts.DKIMAsk{Domain: "a.example"}},
		{diag.Target{Domain: "a.example", DKIMDomain: "B.Example."}, facts.DKIMAsk{Domain: "b.example"}},
		{diag.Target{Domain: "a.example", Selectors: []string{" s1 ", "S1", "s2._domainkey.a.example", "s3._domainkey", "s2._domainkey.b.example"}},
			facts.DKIMAsk{Domain: "a.example", Selectors: "s1\ns2\ns3\ns2._domainkey.b.example\n"}},
		{diag.Target{Domain: "a.example", Selectors: []string{"._domainkey.a.example", "x\ny"}}, facts.DKIMAsk{Domain: "a.example", Selectors: "._domainkey.a.example\nx y\n"}},
	} {
		if got := facts.DKIMAskOf(&c.target); got != c.want {
			t.Errorf("%+v: %+v, want %+v", c.target, got, c.want)
		}
	}
	many := diag.Target{Domain: "a.example"}
	for i := range 500 {
		many.Selectors = append(many.Selectors, fmt.Sprint("s", i))
	}
	if n := strings.Count(facts.DKIMAskOf(&many).Selectors, "\n"); n != facts.MaxNamedSelectors {
		t.Errorf("%d selectors", n)
	}
}

// Whatever the DNS answers, a search is bounded in questions and, where each
// answer takes a second, in seconds: one round for the well-known selectors,
// up to three until those that a provider suggests are known, one more where a
// name is doubled.
func TestDKIMSearchIsBounded(t *testing.T) {
	var includes strings.Builder
	includes.WriteString("v=spf1")
	for _, p := range []string{"mailgun.org", "sendgrid.net", "spf.mailjet.com", "mail.zendesk.com", "spf.brevo.com", "spf.improvmx.com",
		"spf.mymangomail.com", "_spf.pblin.net", "spf.one-email.com", "spf.yousend.app", "spf.cordesk.cc", "zibpost.com"} {
		includes.WriteString(" include:" + p)
	}
	var unknown strings.Builder
	unknown.WriteString("v=spf1")
	for i := range 300 {
		fmt.Fprintf(&unknown, " include:n%d.example", i)
	}
	for name, c := range map[string]struct {
		w       *dkimWorld
		seconds int
	}{
		"nothing":         {&dkimWorld{}, 1},
		"many providers":  {&dkimWorld{records: map[string][]string{"shop.example": {includes.String()}}}, 2},
		"nested":          {&dkimWorld{records: map[string][]string{"shop.example": {"v=spf1 include:_spf.shop.example"}, "_spf.shop.example": {includes.String()}}}, 3},
		"hostile SPF":     {&dkimWorld{every: func(string) []string { return []string{unknown.String()} }}, 3},
		"all keys":        {&dkimWorld{every: func(n string) []string { return []string{dkimKey} }}, 3},
		"all keys differ": {&dkimWorld{every: func(n string) []string { return []string{dkimKey + "; n=" + n} }}, 3},
		"all doubled": {&dkimWorld{every: func(n string) []string {
			return map[bool][]string{true: {dkimKey + "; n=" + n}, false: {"nodata"}}[strings.Contains(n, ".example.shop")]
		}}, 3},
		"all silent":        {&dkimWorld{every: func(string) []string { return []string{"!timeout"} }}, 3},
		"an include itself": {&dkimWorld{records: map[string][]string{"shop.example": {"v=spf1 include:shop.example include:%{d}.x redirect=shop.example"}}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.w.delay = time.Second
				begin := time.Now()
				s := search(t, c.w)
				if d := time.Since(begin); d > time.Duration(c.seconds)*time.Second {
					t.Errorf("%s, want at most %d s", d, c.seconds)
				}
				limit := 95
				if len(s.Misplaced) > 0 || len(s.Usable()) == 0 {
					limit = 95 + 80 // a second look under the doubled name
				}
				if n := len(c.w.asked); n > limit {
					t.Errorf("%d questions", n)
				}
				if len(s.Keys) > 80 || len(s.Keys) < 60 {
					t.Errorf("%d selectors", len(s.Keys))
				}
			})
		})
	}
}

// A wildcard's key counts once, whatever it is that any selector gets.
func TestDKIMWildcard(t *testing.T) {
	wild := func(n string) []string {
		if strings.HasSuffix(n, "._domainkey.shop.example") {
			return []string{dkimKey}
		}
		return []string{"nodata"}
	}
	s := search(t, &dkimWorld{every: wild})
	if s.Wildcard == nil || s.Wildcard.Status != dkim.OK || len(s.Usable()) != 1 || s.Possible() != facts.Possible {
		t.Errorf("wildcard %v, usable %v", s.Wildcard, s.Usable())
	}
	// With one of its own beside it.
	s = search(t, &dkimWorld{every: wild, records: map[string][]string{"google._domainkey.shop.example": {dkimKey + "; n=own"}}})
	if u := s.Usable(); len(u) != 2 || u[1].Selector != "google" {
		t.Errorf("usable: %v", u)
	}
	// No wildcard: all the selectors with one key, as some publish on purpose, are theirs.
	s = search(t, &dkimWorld{records: map[string][]string{"google._domainkey.shop.example": {dkimKey}, "default._domainkey.shop.example": {dkimKey},
		"mail._domainkey.shop.example": {dkimKey}, "dkim._domainkey.shop.example": {dkimKey}}})
	if s.Wildcard != nil || len(s.Usable()) != 4 {
		t.Errorf("wildcard %v, usable %v", s.Wildcard, s.Usable())
	}
}
