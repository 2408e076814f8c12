package dnsbl_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	. "github.com/todoku-mail/todoku/pkg/dnsbl"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/dnsq/dnstest"
)

// world answers from "name": "address address …"; "!reason" is an error, "-" is
// NODATA, and a name that is not there does not exist. "*.zone" answers for all
// of a zone that has no line of its own.
type world map[string]string

func (w world) Ask(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
	v, ok := w[q.Name+" "+q.Type.String()]
	if !ok {
		v, ok = w[q.Name]
	}
	for z := q.Name; !ok && z != "."; {
		z = dnsq.Parent(z)
		v, ok = w["*."+z]
	}
	switch {
	case !ok:
		return &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain}, nil
	case strings.HasPrefix(v, "!"):
		return nil, &dnsq.Error{Question: q, Reason: dnsq.Reason(v[1:])}
	case v == "-":
		return &dnsq.Answer{Question: q, Outcome: dnsq.NoData}, nil
	}
	a := &dnsq.Answer{Question: q, Outcome: dnsq.Found}
	if q.Type == dnsq.TypeTXT {
		for _, s := range strings.Split(v, "|") {
			a.RRs = append(a.RRs, dnsq.RR{Name: q.Name, Type: q.Type, Strings: []string{s}})
		}
		return a, nil
	}
	for _, s := range strings.Fields(v) {
		a.RRs = append(a.RRs, dnsq.RR{Name: q.Name, Type: q.Type, Addr: netip.MustParseAddr(s)})
	}
	return a, nil
}

func list(t *testing.T, zone string) *List {
	t.Helper()
	l := Lookup(zone)
	if l == nil {
		t.Fatalf("no list %s", zone)
	}
	return l
}

func TestQuestions(t *testing.T) {
	zen, dbl := list(t, "zen.spamhaus.org"), list(t, "dbl.spamhaus.org")
	name, _ := DomainName("Shop.Example.")
	for _, tt := range []struct {
		l    *List
		s    Subject
		want string
	}{
		{zen, IP(netip.MustParseAddr("192.0.2.25")), "25.2.0.192.zen.spamhaus.org A"},
		{zen, IP(netip.MustParseAddr("::ffff:192.0.2.25")), "25.2.0.192.zen.spamhaus.org A"},
		{zen, IP(netip.MustParseAddr("2001:db8::25")), "5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.zen.spamhaus.org A"},
		{zen, IP(netip.MustParseAddr("fe80::1%eth0")), "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.e.f.zen.spamhaus.org A"},
		{dbl, name, "shop.example.dbl.spamhaus.org A"},
	} {
		if got := tt.l.Question(tt.s).String(); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.s, got, tt.want)
		}
	}
	// RFC 5782 §5.
	for _, tt := range []struct {
		zone        string
		k           Kind
		listed, not string
	}{
		{"zen.spamhaus.org", IPv4, "2.0.0.127.zen.spamhaus.org A", "1.0.0.127.zen.spamhaus.org A"},
		{"zen.spamhaus.org", IPv6, "2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.zen.spamhaus.org A",
			"1.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.zen.spamhaus.org A"},
		{"dbl.spamhaus.org", Domain, "test.dbl.spamhaus.org A", "invalid.dbl.spamhaus.org A"},
		{"multi.uribl.com", Domain, "test.uribl.com.multi.uribl.com A", "example.com.multi.uribl.com A"},
	} {
		l := list(t, tt.zone)
		a, b := l.Test(tt.k)
		if l.Question(a).String() != tt.listed || l.Question(b).String() != tt.not {
			t.Errorf("%s %s: %s, %s", tt.zone, tt.k, l.Question(a), l.Question(b))
		}
	}
}

// What a domain list must never be asked.
func TestDomainName(t *testing.T) {
	for _, s := range []string{"", ".", "localhost", "192.0.2.25", "25", "host.25", "192.0.2."} {
		if got, ok := DomainName(s); ok {
			t.Errorf("%q: %v", s, got)
		}
	}
	for _, s := range []string{"shop.example", "25.example", "_x.shop.example.", "xn--r8jz45g.jp"} {
		if _, ok := DomainName(s); !ok {
			t.Errorf("%q is a domain", s)
		}
	}
}

// Each row is one list with its answers for the two test entries and the
// question, and what is known then.
func TestJudge(t *testing.T) {
	const q4, hit4, miss4 = "25.2.0.192", "2.0.0.127", "1.0.0.127"
	ip := IP(netip.MustParseAddr("192.0.2.25"))
	dom, _ := DomainName("shop.example")
	for _, tt := range []struct {
		name, zone     string
		hit, miss, got string // "": does not exist
		want           string // state, why or reason, hits, unknown
	}{
		{"healthy and clean", "bl.spamcop.net", "127.0.0.2", "", "", "not-listed"},
		{"NODATA is no entry either", "bl.spamcop.net", "127.0.0.2", "-", "-", "not-listed"},
		{"listed", "bl.spamcop.net", "127.0.0.2", "", "127.0.0.2", "listed reported-spam/secondary"},
		{"a code of no table", "bl.spamcop.net", "127.0.0.2", "", "127.0.0.3", "unrecognised ?127.0.0.3"},
		{"known beside unknown", "bl.spamcop.net", "127.0.0.2", "", "127.0.0.9 127.0.0.2", "listed reported-spam/secondary ?127.0.0.9"},
		{"the world is listed", "bl.spamcop.net", "127.0.0.2", "127.0.0.2", "127.0.0.2", "unhealthy lists-everything"},
		{"the world is listed with a code of no table", "bl.spamcop.net", "127.0.0.7", "127.0.0.7", "127.0.0.2", "unhealthy lists-everything"},
		{"silence", "bl.spamcop.net", "", "", "", "unhealthy silent"},
		{"silence beside a listing", "bl.spamcop.net", "", "", "127.0.0.2", "unhealthy silent"},
		{"the wrong test entry", "bl.spamcop.net", "", "127.0.0.2", "", "unhealthy inverted"},
		{"parked", "bl.spamcop.net", "203.0.113.9", "203.0.113.9", "203.0.113.9", "unhealthy parked"},
		{"parked question alone", "bl.spamcop.net", "127.0.0.2", "", "203.0.113.9", "unhealthy parked"},
		{"an address of the Internet beside a code", "bl.spamcop.net", "127.0.0.2", "", "127.0.0.2 203.0.113.9", "unhealthy parked"},
		{"127.255.255.x of a list without error codes", "bl.spamcop.net", "127.255.255.254", "127.255.255.254", "127.255.255.254", "refused refused"},
		{"timeout", "bl.spamcop.net", "127.0.0.2", "", "!timeout", "undetermined timeout"},
		{"the listed entry is not learnt", "bl.spamcop.net", "!servfail", "", "", "undetermined servfail"},
		{"the other entry is not learnt", "bl.spamcop.net", "127.0.0.2", "!refused", "127.0.0.2", "undetermined refused"},
		{"nothing is learnt", "bl.spamcop.net", "!timeout", "!timeout", "!timeout", "undetermined timeout"},
		{"a refusal says more than a time-out", "zen.spamhaus.org", "!timeout", "127.255.255.254", "!timeout", "refused public-resolver"},
		{"public resolver", "zen.spamhaus.org", "127.255.255.254", "127.255.255.254", "127.255.255.254", "refused public-resolver"},
		{"quota", "zen.spamhaus.org", "127.0.0.2 127.0.0.4 127.0.0.10", "", "127.255.255.255", "refused quota"},
		{"typo", "zen.spamhaus.org", "127.255.255.252", "127.255.255.252", "127.255.255.252", "refused typo"},
		{"an error beside a code", "zen.spamhaus.org", "127.0.0.2", "", "127.0.0.2 127.255.255.255", "refused quota"},
		{"the worst first", "zen.spamhaus.org", "127.0.0.2", "", "127.0.0.10 127.0.0.2 127.0.0.9", "listed drop/major sbl/major pbl-isp/policy"},
		{"historic XBL codes", "zen.spamhaus.org", "127.0.0.2", "", "127.0.0.7", "listed xbl/major"},
		{"a gap in the table", "zen.spamhaus.org", "127.0.0.2", "", "127.0.0.8", "unrecognised ?127.0.0.8"},
		{"a code of another base", "zen.spamhaus.org", "127.0.0.2", "", "127.0.1.2", "unrecognised ?127.0.1.2"},
		{"silent and unregistered", "b.barracudacentral.org", "", "", "", "refused register"},
		{"a white entry", "hostkarma.junkemailfilter.com", "127.0.0.2", "127.0.0.1", "127.0.0.1", "not-listed"},
		{"a white entry beside a black one", "hostkarma.junkemailfilter.com", "127.0.0.2", "", "127.0.0.1 127.0.0.2", "listed spam-source/secondary"},
		{"a test entry of its own code", "bl.suomispam.net", "127.0.0.99", "", "", "not-listed"},

		{"a domain", "dbl.spamhaus.org", "127.0.1.2", "", "127.0.1.102", "listed abused-spam/abused"},
		{"no domain", "dbl.spamhaus.org", "127.0.1.2", "", "127.0.1.255", "refused not-a-domain"},
		{"a code of ZEN", "dbl.spamhaus.org", "127.0.1.2", "", "127.0.0.2", "unrecognised ?127.0.0.2"},
		{"bits", "multi.uribl.com", "127.0.0.14", "", "127.0.0.12", "listed grey/minor red/secondary"},
		{"the bit that refuses", "multi.uribl.com", "127.0.0.1", "127.0.0.1", "127.0.0.1", "refused refused"},
		{"the bit that refuses among others", "multi.uribl.com", "127.0.0.14", "", "127.0.0.3", "refused refused"},
		{"a bit without meaning", "multi.uribl.com", "127.0.0.14", "", "127.0.0.16", "unrecognised ?127.0.0.16"},
		{"no bit at all", "multi.uribl.com", "127.0.0.14", "", "127.0.0.0", "unrecognised ?127.0.0.0"},
		{"bits of another base", "multi.uribl.com", "127.0.0.14", "", "127.0.1.2", "unrecognised ?127.0.1.2"},
		{"all bits of SURBL", "multi.surbl.org", "127.0.0.254", "", "127.0.0.252", "listed phish/major malware/major spam-domain/major cracked/abused dm/minor click-tracking/minor"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := list(t, tt.zone)
			s, hit, miss := ip, hit4, miss4
			q := q4
			if l.Has(Domain) {
				s, q = dom, "shop.example"
				a, b := l.Test(Domain)
				hit, miss = a.Name, b.Name
			}
			w := world{}
			for sub, v := range map[string]string{hit: tt.hit, miss: tt.miss, q: tt.got} {
				if v != "" {
					w[sub+"."+l.Zone] = v
				}
			}
			h := Probe(t.Context(), w, l, s.Kind)
			r := Ask(t.Context(), w, l, s)
			v := Judge(l, h, r)
			got := v.State.String()
			if v.Why != "" {
				got += " " + v.Why
			}
			if v.Err != nil {
				got += " " + string(v.Err.Reason)
			}
			if v.State == Listed || v.State == Unrecognised {
				for _, x := range r.Hits {
					got += fmt.Sprintf(" %s/%s", x.Meaning, x.Class)
				}
				for _, x := range r.Unknown {
					got += " ?" + x.String()
				}
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			// Health alone never says more than with the question.
			if alone := Judge(l, h, nil); alone.State != NotListed && (v.State == Listed || v.State == NotListed || v.State == Unrecognised) {
				t.Errorf("the list alone is %v, but with the question %v", alone.State, v.State)
			}
		})
	}
}

// Whatever a list answers, an entry that is not in its table, or of a list that
// is not healthy, is never a listing.
func TestNeverListedByWildcard(t *testing.T) {
	for _, l := range Lists() {
		for _, k := range l.Kinds {
			s := IP(netip.MustParseAddr("192.0.2.25"))
			if k == IPv6 {
				s = IP(netip.MustParseAddr("2001:db8::25"))
			} else if k == Domain {
				s, _ = DomainName("shop.example")
			}
			for _, answer := range []string{"127.0.0.2", "127.0.1.2", "127.0.0.1", "127.255.255.254", "127.255.255.1", "203.0.113.9", "10.0.0.1", "!timeout", "!servfail", "!refused", "-"} {
				w := world{"*." + l.Zone: answer}
				if v := Judge(l, Probe(t.Context(), w, l, k), Ask(t.Context(), w, l, s)); v.State == Listed || v.State == NotListed {
					t.Errorf("%s %s, everything answers %s: %s", l.Zone, k, answer, v.State)
				}
			}
			if v := Judge(l, Probe(t.Context(), world{}, l, k), Ask(t.Context(), world{}, l, s)); v.State == Listed || v.State == NotListed {
				t.Errorf("%s %s, nothing exists: %s", l.Zone, k, v.State)
			}
		}
	}
}

func TestReasons(t *testing.T) {
	l := list(t, "zen.spamhaus.org")
	s := IP(netip.MustParseAddr("192.0.2.25"))
	n := "25.2.0.192.zen.spamhaus.org TXT"
	for text, want := range map[string]string{
		"b|a|b| ":                 "a|b",
		"1|2|3|4|5|6":             "1|2|3|4",
		strings.Repeat("x", 5000): strings.Repeat("x", 512),
		"!timeout":                "",
		"-":                       "",
	} {
		if got := strings.Join(Reasons(t.Context(), world{n: text}, l, s), "|"); got != want {
			t.Errorf("%.20q: %.40q, want %.40q", text, got, want)
		}
	}
}

// A name that cannot be asked is neither listed nor clean.
func TestTooLong(t *testing.T) {
	l := list(t, "dbl.spamhaus.org")
	s, _ := DomainName(strings.Repeat(strings.Repeat("a", 62)+".", 3) + strings.Repeat("b", 50) + ".example")
	r := Ask(t.Context(), dnsq.ResolverFunc(func(context.Context, dnsq.Question) (*dnsq.Answer, error) {
		t.Error("asked")
		return nil, nil
	}), l, s)
	w := world{"test." + l.Zone: "127.0.1.2"}
	if v := Judge(l, Probe(t.Context(), w, l, Domain), r); v.State != Undetermined || v.Err == nil {
		t.Errorf("%+v", v)
	}
	if Reasons(t.Context(), w, l, s) != nil {
		t.Error("reasons of a name that is none")
	}
}

func TestTable(t *testing.T) {
	zones, asked, byDefault := 0, 0, 0
	for _, l := range Lists() {
		zones++
		if l.Ask == Never {
			if l.Why == "" {
				t.Errorf("%s: no reason", l.Zone)
			}
			continue
		}
		asked++
		if l.Ask == ByDefault {
			byDefault++
			if l.Access == Registered || l.Trust != "official" && l.Trust != "secondary" {
				t.Errorf("%s is asked by default", l.Zone)
			}
		}
		// A code means one thing, and no listing is an error at the same time.
		for n := 0; n < 1<<16; n++ {
			b := [4]byte{127, 0, byte(n >> 8), byte(n)}
			r := Ask(t.Context(), world{"*." + l.Zone: netip.AddrFrom4(b).String()}, l, Subject{Kind: IPv4, IP: netip.MustParseAddr("192.0.2.1")})
			if r.Refused != "" && len(r.Hits) > 0 {
				t.Errorf("%s: %v is an error and a listing", l.Zone, b)
			}
			if !l.Bits && len(r.Hits) > 1 {
				t.Errorf("%s: %v has %d meanings", l.Zone, b, len(r.Hits))
			}
			if n > 1<<10 {
				break // codes stand in 127.0.0 to 127.0.3
			}
		}
	}
	if zones < 60 || asked < 25 || byDefault < 8 {
		t.Errorf("%d zones, %d asked, %d by default", zones, asked, byDefault)
	}
	for _, dead := range []string{"dnsbl.sorbs.net", "web.dnsbl.sorbs.net", "ix.dnsbl.manitu.net", "dnsbl.ahbl.org", "list.dnswl.org", "relays.ordb.org", "cbl.abuseat.org", "DNSBL.SORBS.NET."} {
		if l := Lookup(dead); l == nil || l.Ask != Never {
			t.Errorf("%s may be asked", dead)
		}
	}
	if l := Lookup("spamhaus.org"); l != nil {
		t.Errorf("%s", l.Zone)
	}
}

func TestSelect(t *testing.T) {
	zones := func(ls []*List) string {
		var out []string
		for _, l := range ls {
			out = append(out, l.Zone)
		}
		return strings.Join(out, " ")
	}
	ask, never := Select(false, nil, nil)
	const usual = "zen.spamhaus.org dbl.spamhaus.org bl.spamcop.net psbl.surriel.com bl.mailspike.net bl.spameatingmonkey.net multi.uribl.com multi.surbl.org"
	if zones(ask) != usual || never != nil {
		t.Errorf("by default: %s; %s", zones(ask), zones(never))
	}
	all, _ := Select(true, nil, nil)
	if len(all) < 20 || !slices.Contains(all, Lookup("b.barracudacentral.org")) || slices.Contains(all, Lookup("zrd.dq.spamhaus.net")) || slices.Contains(all, Lookup("dyna.spamrats.com")) {
		t.Errorf("all: %s", zones(all))
	}
	keyed, _ := Select(false, []string{"abusix"}, nil)
	if !slices.Contains(keyed, Lookup("combined.mail.abusix.zone")) || slices.Contains(keyed, Lookup("zrd.dq.spamhaus.net")) {
		t.Errorf("with a key of abusix: %s", zones(keyed))
	}
	ask, never = Select(false, nil, []Spec{{Zone: "dyna.spamrats.com"}, {Zone: "bl.corp.example"}, {Zone: "bl.corp.example", Kinds: []Kind{IPv4}}, {Zone: "zen.spamhaus.org"}, {Zone: "x.ahbl.org"}, {Zone: "a.rhsbl.ahbl.org"}, {Zone: "rhsbl.ahbl.org"}})
	if got := strings.TrimPrefix(zones(ask), usual); got != " dyna.spamrats.com bl.corp.example x.ahbl.org" || zones(never) != "rhsbl.ahbl.org" {
		t.Errorf("named: %s; %s", got, zones(never))
	}
}

func TestParseSpec(t *testing.T) {
	for in, want := range map[string]string{
		"bl.example":             "bl.example []",
		"BL.Example.":            "bl.example []",
		"bl.example:ip4":         "bl.example [ip4]",
		"bl.example:domain, ip4": "bl.example [ip4 domain]",
		"bl.example:ip4,ip4":     "bl.example [ip4]",
		"ブロック.example":           "xn--9ck0dyc2e.example []",
	} {
		s, err := ParseSpec(in)
		if got := fmt.Sprint(s.Zone, " ", s.Kinds); err != nil || got != want {
			if strings.HasPrefix(s.Zone, "xn--") && strings.HasPrefix(want, "xn--") {
				continue
			}
			t.Errorf("%q: %s, %v; want %s", in, got, err, want)
		}
	}
	const key = "k3yk3yk3yk3yk3yk3y"
	for in, want := range map[string]string{
		"":                                  "it is empty",
		"localhost":                         "no blocklist",
		"192.0.2.1":                         "IP address",
		"bl.example:ip5":                    `"ip5" is not what a blocklist holds`,
		"bl.example:":                       "is not what a blocklist holds",
		"a b":                               "not allowed",
		key + ".zen.dq.spamhaus.net":        "no place on the command line",
		key + ".combined.mail.abusix.zone.": "no place on the command line",
		strings.ToUpper(key + ".dbl.dq.spamhaus.net:domain"): "no place on the command line",
	} {
		_, err := ParseSpec(in)
		if err == nil || !strings.Contains(err.Error(), want) || strings.ContainsAny(err.Error(), "\n") || strings.Contains(strings.ToLower(err.Error()), key) {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
}

func TestKeys(t *testing.T) {
	const key = "Abcdefgh12345678"
	k := Keys{"spamhaus": key, "abusix": "zyxwvuts87654321"}
	rules, err := k.Rules()
	if err != nil || len(rules) < 5 {
		t.Fatalf("%d rules, %v", len(rules), err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, v := range []any{k, rules, rules[0], struct{ K Keys }{k}} {
			if s := strings.ToLower(fmt.Sprintf(verb, v)); strings.Contains(s, strings.ToLower(key)) || strings.Contains(s, fmt.Sprintf("%x", key)) {
				t.Errorf("%s prints the key: %s", verb, s)
			}
		}
	}
	if _, err := k.MarshalText(); err == nil {
		t.Error("keys can be written")
	}
	for _, bad := range []Keys{{"spamhaus": "short"}, {"spamhaus": "with.dot.12345"}, {"nobody": "abcdefgh12345678"}, {"spamhaus": ""}, {"abusix": strings.Repeat("secretly", 9)}} {
		_, err := bad.Rules()
		for s, v := range bad {
			if err == nil || !strings.Contains(err.Error(), s) || v != "" && strings.Contains(err.Error(), v) {
				t.Errorf("%s: %v", s, err)
			}
		}
	}
	// With the key the question goes to the operator's other zone, and nobody
	// above sees it.
	var asked []string
	under := dnsq.ResolverFunc(func(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
		asked = append(asked, q.Name)
		return &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain}, nil
	})
	l := list(t, "zen.spamhaus.org")
	r := Ask(t.Context(), dnsq.Rewrite(under, rules...), l, IP(netip.MustParseAddr("192.0.2.25")))
	if len(asked) != 1 || asked[0] != "25.2.0.192."+strings.ToLower(key)+".zen.dq.spamhaus.net" || r.Answer.Name != "25.2.0.192.zen.spamhaus.org" {
		t.Errorf("asked %v, answer for %s", asked, r.Answer.Name)
	}
}

func TestPublicResolver(t *testing.T) {
	for in, want := range map[string]string{
		"8.8.8.8:53":                             "Google Public DNS",
		"192.0.2.53:53, 1.1.1.1:53":              "Cloudflare 1.1.1.1",
		"tls://dns.quad9.net@9.9.9.9:853":        "Quad9",
		"tcp://[2620:fe::fe]:53":                 "Quad9",
		"https://dns.google/dns-query":           "Google Public DNS",
		"https://mozilla.cloudflare-dns.com/dns": "Cloudflare 1.1.1.1",
		"https://dns.google:443/dns-query":       "Google Public DNS",
		"192.0.2.53:53":                          "",
		"127.0.0.53:53":                          "",
		"https://mydns.google.example/dns-query": "",
		"":                                       "",
		"garbage, @, ://,[":                      "",
	} {
		if got, ok := PublicResolverIn(in); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v; want %q", in, got, ok, want)
		}
	}
	if _, ok := PublicResolver(netip.MustParseAddr("::ffff:8.8.4.4")); !ok {
		t.Error("an IPv4-mapped address")
	}
	if _, ok := PublicResolver(netip.Addr{}); ok {
		t.Error("no address")
	}
}

// Over a real socket: test entries and question, and the two round trips.
func TestOverTheWire(t *testing.T) {
	srv := dnstest.Start(t, `
$ORIGIN bl.spamcop.net.
2.0.0.127  A 127.0.0.2
25.2.0.192 A 127.0.0.2
25.2.0.192 TXT "Blocked - see https://www.spamcop.net/bl.shtml?192.0.2.25"
`)
	l, s := list(t, "bl.spamcop.net"), IP(netip.MustParseAddr("192.0.2.25"))
	h, r := Probe(t.Context(), srv.Resolver(), l, IPv4), Ask(t.Context(), srv.Resolver(), l, s)
	if v := Judge(l, h, r); v.State != Listed {
		t.Errorf("%+v", v)
	}
	if got := Reasons(t.Context(), srv.Resolver(), l, s); len(got) != 1 || !strings.HasPrefix(got[0], "Blocked") {
		t.Errorf("%q", got)
	}
}
