package dnsq_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	. "github.com/todoku-mail/todoku/pkg/dnsq"
)

const secret = "s3cr3ts3cr3ts3cr3t"

func rule(t testing.TB, public, zone string) Rule {
	t.Helper()
	r, err := NewRule(public, zone, " "+strings.ToUpper(secret)+"\n")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func holds(v any) bool {
	return strings.Contains(strings.ToLower(fmt.Sprintf("%+v %#v", v, v)), secret)
}

// shown is all that can be seen of an answer or an error.
func shown(v any) string {
	var b strings.Builder
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.String:
			fmt.Fprintf(&b, "%s\n", v.String())
		case reflect.Pointer, reflect.Interface:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Struct:
			if _, ok := v.Interface().(netip.Addr); ok {
				return
			}
			for i := range v.NumField() {
				walk(v.Field(i))
			}
			if rr, ok := v.Interface().(RR); ok {
				fmt.Fprintf(&b, "%s\n", rr.Text()) // which joins its strings
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		}
	}
	walk(reflect.ValueOf(v))
	return strings.ToLower(b.String())
}

func TestRewrite(t *testing.T) {
	zen := rule(t, "zen.spamhaus.org", "zen.dq.spamhaus.net")
	same := rule(t, "combined.mail.abusix.zone", "combined.mail.abusix.zone")
	var got Question
	r := Rewrite(ResolverFunc(func(_ context.Context, q Question) (*Answer, error) {
		got = q
		return &Answer{Question: q, Outcome: NXDomain}, nil
	}), zen, same)
	for in, want := range map[string]string{
		"2.0.0.127.zen.spamhaus.org":          "2.0.0.127." + secret + ".zen.dq.spamhaus.net",
		"2.0.0.127.ZEN.Spamhaus.org.":         "2.0.0.127." + secret + ".zen.dq.spamhaus.net",
		"zen.spamhaus.org":                    secret + ".zen.dq.spamhaus.net",
		"xzen.spamhaus.org":                   "xzen.spamhaus.org",
		`a\.zen.spamhaus.org`:                 `a\.zen.spamhaus.org`,
		"zen.spamhaus.org.example":            "zen.spamhaus.org.example",
		"example.com":                         "example.com",
		"2.0.0.127.combined.mail.abusix.zone": "2.0.0.127." + secret + ".combined.mail.abusix.zone",
		"2.0.0.127.zen.dq.spamhaus.net":       "2.0.0.127.zen.dq.spamhaus.net",
	} {
		a, err := r.Ask(t.Context(), Question{Name: in, Type: TypeA})
		if err != nil || got.Name != want || got.Type != TypeA || a.Name != in {
			t.Errorf("%s: asked %s, answer for %v (%v); want %s", in, got, a.Question, err, want)
		}
	}
	// No rule, no layer.
	if under := ResolverFunc(nil); reflect.ValueOf(Rewrite(under)).Pointer() != reflect.ValueOf(under).Pointer() {
		t.Error("a layer without a rule")
	}
	// What would be too long is not asked.
	long := strings.Repeat("1.", 110) + "zen.spamhaus.org"
	got = Question{}
	_, err := r.Ask(t.Context(), Q(long, TypeA))
	var e *Error
	if !errors.As(err, &e) || e.Name != long || got.Name != "" || holds(err) {
		t.Errorf("%v, asked %v", err, got)
	}
}

// Nothing that comes back holds the secret, wherever the server put it and in
// whatever case.
func TestRewriteHides(t *testing.T) {
	up := strings.ToUpper(secret)
	zone := "." + secret + ".zen.dq.spamhaus.net"
	full := &Answer{
		Question: Q("2.0.0.127"+zone, TypeA), Outcome: Found, Server: "192.0.2.53:53 " + secret,
		Chain: []string{"x" + zone, secret + ".example"}, EDE: []string{"22 No Reachable Authority: at " + up},
		RRs: []RR{
			{Name: "2.0.0.127" + zone, Type: TypeA, Addr: netip.MustParseAddr("127.0.0.2")},
			{Name: "x", Type: TypeTXT, Strings: []string{"key " + up + " of you", secret[:5], secret[5:]}},
			{Name: "x", Type: TypeCNAME, Host: "y" + zone, Data: secret},
			{Name: "x", Type: TypeSOA, SOA: &SOA{MName: "ns" + zone, RName: secret + ".x"}},
		},
	}
	before := shown(full)
	fails := []error{
		&Error{Question: full.Question, Reason: ServFail, Server: "https://" + secret, EDE: []string{up}, Detail: "no answer for 2.0.0.127" + zone, Err: errors.New(secret)},
		errors.New("dial: 2.0.0.127" + zone),
		fmt.Errorf("%s: %w", secret, context.DeadlineExceeded),
		fmt.Errorf("%s: %w", secret, context.Canceled),
	}
	var fail error
	r := Rewrite(ResolverFunc(func(context.Context, Question) (*Answer, error) {
		if fail != nil {
			return nil, fail
		}
		return full, nil
	}), rule(t, "zen.spamhaus.org", "zen.dq.spamhaus.net"))
	var recording bytes.Buffer
	rec := NewRecorder(&recording, r)
	c := NewCache(t.Context(), rec)
	a, err := c.Ask(t.Context(), Q("2.0.0.127.zen.spamhaus.org", TypeA))
	if err != nil {
		t.Fatal(err)
	}
	if s := shown(a); strings.Contains(s, secret) {
		t.Errorf("the answer holds the key:\n%s", s)
	}
	if a.RRs[0].Name != "2.0.0.127.zen.spamhaus.org" || a.Chain[0] != "x.zen.spamhaus.org" || a.RRs[2].Host != "y.zen.spamhaus.org" || a.RRs[0].Addr != netip.MustParseAddr("127.0.0.2") {
		t.Errorf("%+v", a)
	}
	if shown(full) != before {
		t.Error("the answer below, which others share, was changed")
	}
	for i, fail1 := range fails {
		fail = fail1
		q := Q(fmt.Sprint(i)+".zen.spamhaus.org", TypeA)
		_, err := c.Ask(t.Context(), q)
		var e *Error
		if !errors.As(err, &e) || e.Question != q || strings.Contains(strings.ToLower(err.Error()), secret) {
			t.Errorf("%v", err)
		}
		for u := err; u != nil; u = errors.Unwrap(u) {
			if strings.Contains(strings.ToLower(u.Error()), secret) {
				t.Errorf("the cause holds the key: %v", u)
			}
		}
		for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
			if errors.Is(fail1, cause) != errors.Is(err, cause) {
				t.Errorf("%v and %v", fail1, err)
			}
		}
	}
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(strings.ToLower(recording.String()), secret) || recording.Len() < 500 {
		t.Errorf("the recording:\n%s", recording.String())
	}
	// A replay needs no key.
	back, err := ReadRecording(&recording)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := back.Resolver().Ask(t.Context(), Q("2.0.0.127.zen.spamhaus.org", TypeA)); err != nil || a.Outcome != Found {
		t.Error(a, err)
	}
}

func TestRuleIsSilent(t *testing.T) {
	r := rule(t, "zen.spamhaus.org", "zen.dq.spamhaus.net")
	for _, v := range []any{r, &r, []Rule{r}, map[string]Rule{"x": r}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			s := strings.ToLower(fmt.Sprintf(verb, v))
			if strings.Contains(s, secret) || strings.Contains(s, fmt.Sprintf("%x", secret)) {
				t.Errorf("%s: %s", verb, s)
			}
		}
		if b, err := json.Marshal(v); err != nil || strings.Contains(string(b), secret) {
			t.Errorf("%s, %v", b, err)
		}
	}
	for _, bad := range []string{"", "short12", "has.dot.in.it", "has space in", "umläutumläut", strings.Repeat("x", 64), "under_score_x"} {
		if _, err := NewRule("a.example", "b.example", bad); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzRewrite(f *testing.F) {
	f.Add("2.0.0.127", "text "+secret, secret[:4], secret[4:])
	f.Add(`a\.b`, "S3CR3Ts3cr3ts3cr3t", "", "x")
	f.Add(secret, secret+secret, secret+".zen.dq.spamhaus.net", "*")
	z := rule(f, "zen.spamhaus.org", "zen.dq.spamhaus.net")
	f.Fuzz(func(t *testing.T, label, text, a, b string) {
		name, ok := NameOfRaw(label)
		if !ok {
			return
		}
		q := Q(name+".zen.spamhaus.org", TypeTXT)
		for _, fail := range []bool{false, true} {
			r := Rewrite(ResolverFunc(func(_ context.Context, asked Question) (*Answer, error) {
				if !AtOrBelow(asked.Name, secret+".zen.dq.spamhaus.net") {
					t.Errorf("asked %s", asked)
				}
				if fail {
					return nil, &Error{Question: asked, Reason: ServFail, Detail: text, EDE: []string{a, b}}
				}
				return &Answer{Question: asked, Outcome: Found, Chain: []string{a}, EDE: []string{b},
					RRs: []RR{{Name: asked.Name, Type: TypeTXT, Strings: []string{a, b, text}, Host: text, Data: a}}}, nil
			}), z)
			ans, err := r.Ask(t.Context(), q)
			if strings.Contains(strings.ToLower(label), secret) {
				return // the asker put the key into the name: it knows it
			}
			if ans != nil && (strings.Contains(shown(ans), secret) || ans.Question != q) {
				t.Errorf("%s", shown(ans))
			}
			if err != nil && strings.Contains(shown(err), secret) {
				t.Errorf("%v", err)
			}
		}
	})
}
