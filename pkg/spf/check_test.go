package spf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// TestCheck: each case says what a naive implementation gets wrong.
func TestCheck(t *testing.T) {
	w := newWorld(t, `
		example.com TXT v=spf1 ip4:192.0.2.1 -all
		mapped.example.com TXT v=spf1 ip6:::ffff:192.0.2.1 ?all
		slow.example.com !TXT timeout
		refused.example.com !TXT refused
		broken.example.com !TXT servfail
		inc-slow.example.com TXT v=spf1 include:slow.example.com +all
		inc-deep.example.com TXT v=spf1 include:inc-slow.example.com +all
		early.example.com TXT v=spf1 ip4:192.0.2.1 include:slow.example.com -all
		inc-perm.example.com TXT v=spf1 include:syntax.example.com +all
		syntax.example.com TXT v=spf1 ip4:192.0.2.1 -all oops
		a-slow.example.com TXT v=spf1 a:host.example.com -all
		host.example.com !A timeout
		host.example.com AAAA 2001:db8::1
		mx-slow.example.com TXT v=spf1 mx -all
		mx-slow.example.com MX 20 host.example.com
		mx-slow.example.com MX 10 good.example.com
		good.example.com A 192.0.2.1
		mxq.example.com TXT v=spf1 mx:none.example.com -all
		none.example.com !MX servfail
		none.example.com TXT hello
		red-slow.example.com TXT v=spf1 redirect=slow.example.com
		red-none.example.com TXT v=spf1 redirect=none.example.com
		inc-none.example.com TXT v=spf1 include:nx.example.com all
		multi.example.com TXT v=spf1 -all
		multi.example.com TXT v=spf1 +all
		inc-multi.example.com TXT v=spf1 ?include:multi.example.com all
		alias.example.com CNAME example.com
		inc-bad.example.com TXT v=spf1 -include:%{l}.example.com all
		bad.example.com TXT v=spf1 a:a..example.com all
		bad2.example.com TXT v=spf1 ip4:192.0.2.1 a:a..example.com all
		badmacro.example.com TXT v=spf1 -a:%{l}.example.com all
		redbad.example.com TXT v=spf1 redirect=%{l}.example.com
		lp.example.com TXT v=spf1 -exists:%{l}.lp.example.com -include:%{s}.example.com ~all
		void3.example.com TXT v=spf1 a:nx1.example.com mx:good.example.com exists:nx3.example.com all
		void2.example.com TXT v=spf1 a:nx1.example.com mx:good.example.com all
		voidptr.example.com TXT v=spf1 ptr a:nx1.example.com a:nx2.example.com all
		mxvoid.example.com TXT v=spf1 mx -all
		mxvoid.example.com MX 1 nx1.example.com
		mxvoid.example.com MX 2 nx2.example.com
		mxvoid.example.com MX 3 nx3.example.com
		nullmx.example.com TXT v=spf1 mx ?all
		nullmx.example.com MX 0 .
		expvoid.example.com TXT v=spf1 a:nx1.example.com a:nx2.example.com -all exp=nx3.example.com
		ptr-err.example.com TXT v=spf1 ptr -all
		7.2.0.192.in-addr.arpa !PTR servfail
		8.2.0.192.in-addr.arpa PTR bad.ptr-err.example.com
		8.2.0.192.in-addr.arpa PTR ok.ptr-err.example.com
		bad.ptr-err.example.com !A timeout
		ok.ptr-err.example.com A 192.0.2.8
		9.2.0.192.in-addr.arpa PTR notptr-err.example.com
		notptr-err.example.com A 192.0.2.9
		first.example.com TXT v=spf1 ~ip4:192.0.2.0/24 ip4:192.0.2.1 -all
		redall.example.com TXT v=spf1 redirect=nx.example.com ?all
		redlate.example.com TXT v=spf1 redirect=first.example.com ip4:192.0.2.9
		xn--r8jz45g.example.com TXT v=spf1 exists:%{d}.check.example.com -all
		xn--r8jz45g.example.com.check.example.com A 127.0.0.2
		xn--wgv71a119e.jp TXT v=spf1 exists:%{o}.check.example.com -all
		xn--wgv71a119e.jp.check.example.com A 127.0.0.2
		tab.example.com TXT v=spf1	+all
		exist6.example.com TXT v=spf1 exists:host.example.com -all
		dual.example.com TXT v=spf1 a:host.example.com//64 -all
		no.example.com TXT v=spf1
	`)
	for _, tc := range []struct {
		ip, helo, from string
		want           Result
		code, why      string
	}{
		{"192.0.2.1", "h.example.com", "a@example.com", Pass, "", ""},
		{"192.0.2.2", "h.example.com", "a@example.com", Fail, "", ""},
		{"::ffff:192.0.2.1", "h.example.com", "a@example.com", Pass, "", "§5: an IPv4-mapped client is an IPv4 client"},
		{"192.0.2.1", "h.example.com", "a@mapped.example.com", Neutral, "", "§5: and ip6 never matches it"},
		{"192.0.2.1", "h.example.com", "<a@example.com>", Pass, "", "angle brackets are no part of the address"},
		{"192.0.2.1", "example.com", "<>", Pass, "", "§2.4: the null sender is judged by HELO"},
		{"192.0.2.1", "example.com", "", Pass, "", ""},
		{"192.0.2.1", "h.example.com", "example.com", Pass, "", ""},
		{"192.0.2.1", "h.example.com", `"a@b"@example.com`, Pass, "", "the last @ separates"},
		{"192.0.2.1", "h.example.com", "a@EXAMPLE.com.", Pass, "", "§4.3: a zero-length label at the end is none"},
		{"192.0.2.1", "h.example.com", "a@localhost", None, ProblemInvalidDomain, "§4.3: not multi-label"},
		{"192.0.2.1", "h.example.com", "a@", None, ProblemInvalidDomain, ""},
		{"192.0.2.1", "h.example.com", "a@ex..com", None, ProblemInvalidDomain, ""},
		{"192.0.2.1", "h.example.com", "a@.example.com", None, ProblemInvalidDomain, ""},
		{"192.0.2.1", "h.example.com", "a@" + strings.Repeat("a", 64) + ".com", None, ProblemInvalidDomain, ""},
		{"192.0.2.1", "h.example.com", "a@" + strings.Repeat("aaaaaaa.", 40) + "com", None, ProblemInvalidDomain, "a name over 253"},
		{"192.0.2.1", "192.0.2.1", "", None, ProblemInvalidDomain, "an address is no domain"},
		{"192.0.2.1", "h.example.com", "a@[192.0.2.1]", None, ProblemInvalidDomain, ""},
		{"192.0.2.1", "h.example.com", "a@[IPv6:2001:db8::1]", None, ProblemInvalidDomain, ""},
		{"192.0.2.1", "h.example.com", "a@日本語.\xff", None, ProblemInvalidDomain, "garbage that is no UTF-8"},
		{"192.0.2.1", "h.example.com", "a@nx.example.com", None, ProblemNoRecord, "§4.3: NXDOMAIN is none"},
		{"192.0.2.1", "h.example.com", "a@none.example.com", None, ProblemNoRecord, "§4.5"},
		{"192.0.2.1", "h.example.com", "a@tab.example.com", None, ProblemNoRecord, "a TAB does not end the version"},
		{"192.0.2.1", "h.example.com", "a@slow.example.com", TempError, ProblemDNS, "a timeout is not a missing record"},
		{"192.0.2.1", "h.example.com", "a@refused.example.com", TempError, ProblemDNS, "REFUSED is not a missing record"},
		{"192.0.2.1", "h.example.com", "a@broken.example.com", TempError, ProblemDNS, ""},
		{"192.0.2.1", "h.example.com", "a@inc-slow.example.com", TempError, ProblemDNS, "§5.2: temperror stays temperror, +all or not"},
		{"192.0.2.1", "h.example.com", "a@inc-deep.example.com", TempError, ProblemDNS, ""},
		{"192.0.2.1", "h.example.com", "a@early.example.com", Pass, "", "what is behind the match is not asked"},
		{"192.0.2.2", "h.example.com", "a@early.example.com", TempError, ProblemDNS, ""},
		{"192.0.2.1", "h.example.com", "a@inc-perm.example.com", PermError, ProblemSyntax, "§5.2"},
		{"192.0.2.1", "h.example.com", "a@syntax.example.com", PermError, ProblemSyntax, "§4.6: errors behind the match count"},
		{"192.0.2.1", "h.example.com", "a@a-slow.example.com", TempError, ProblemDNS, "§5: no 'does not match'"},
		{"2001:db8::1", "h.example.com", "a@a-slow.example.com", Pass, "", "§5: AAAA only; the A that times out is not asked"},
		{"192.0.2.1", "h.example.com", "a@mx-slow.example.com", Pass, "", "by preference: the host that answers comes first"},
		{"192.0.2.9", "h.example.com", "a@mx-slow.example.com", TempError, ProblemDNS, ""},
		{"192.0.2.1", "h.example.com", "a@mxq.example.com", TempError, ProblemDNS, ""},
		{"192.0.2.1", "h.example.com", "a@red-slow.example.com", TempError, ProblemDNS, "§6.1"},
		{"192.0.2.1", "h.example.com", "a@red-none.example.com", PermError, ProblemRedirectNone, "§6.1: none becomes permerror"},
		{"192.0.2.1", "h.example.com", "a@inc-none.example.com", PermError, ProblemIncludeNone, "§5.2: none becomes permerror, not 'no match'"},
		{"192.0.2.1", "h.example.com", "a@multi.example.com", PermError, ProblemMultiple, "§4.5"},
		{"192.0.2.1", "h.example.com", "a@inc-multi.example.com", PermError, ProblemMultiple, ""},
		{"192.0.2.1", "h.example.com", "a@alias.example.com", Pass, "", "DNS follows CNAMEs"},
		{"192.0.2.1", "h.example.com", "a..b@inc-bad.example.com", PermError, ProblemIncludeNone, "§4.3: a malformed name is none; §5.2: permerror"},
		{"192.0.2.1", "h.example.com", "a@bad.example.com", PermError, ProblemBadTarget, "§4.8: nobody can look that up"},
		{"192.0.2.1", "h.example.com", "a@bad2.example.com", Pass, "", "but the grammar allows it: no syntax error"},
		{"192.0.2.1", "h.example.com", "a..b@badmacro.example.com", Pass, "", "§4.8: a sender's local part breaks no record"},
		{"192.0.2.1", "h.example.com", "a..b@redbad.example.com", PermError, ProblemRedirectNone, ""},
		{"192.0.2.1", "h.example.com", "おれ@lp.example.com", SoftFail, "", "RFC 8616 §4: %{l}, %{s} do not match"},
		{"192.0.2.1", "h.example.com", "a@void2.example.com", Pass, "", "two void terms are allowed"},
		{"192.0.2.1", "h.example.com", "a@void3.example.com", PermError, ProblemVoids, "the third is not; NODATA and NXDOMAIN count alike"},
		{"192.0.2.1", "h.example.com", "a@voidptr.example.com", PermError, ProblemVoids, "a void PTR counts"},
		{"192.0.2.1", "h.example.com", "a@mxvoid.example.com", Fail, "", "§4.6.4 counts terms: three void hosts of one mx are not three"},
		{"192.0.2.1", "h.example.com", "a@nullmx.example.com", Neutral, "", "the host of a null MX is not asked"},
		{"192.0.2.1", "h.example.com", "a@expvoid.example.com", Fail, "", "exp counts nowhere"},
		{"192.0.2.7", "h.example.com", "a@ptr-err.example.com", Fail, "", "§5.5: a DNS error is no match, not temperror"},
		{"192.0.2.8", "h.example.com", "a@ptr-err.example.com", Pass, "", "§5.5: a name that errs is skipped"},
		{"192.0.2.9", "h.example.com", "a@ptr-err.example.com", Fail, "", "a suffix of text is not a parent domain"},
		{"192.0.2.1", "h.example.com", "a@first.example.com", SoftFail, "", "the first match decides, not the narrowest"},
		{"192.0.2.1", "h.example.com", "a@redall.example.com", Neutral, "", "§6.1: with an all, redirect is ignored"},
		{"192.0.2.1", "h.example.com", "a@redlate.example.com", SoftFail, "", "redirect comes last wherever it stands"},
		{"192.0.2.9", "h.example.com", "a@redlate.example.com", Pass, "", ""},
		{"192.0.2.1", "h.example.com", "a@例え.example.com", Pass, "", "RFC 8616 §4: A-labels in macros"},
		{"192.0.2.1", "h.example.com", "a@日本語。jp", Pass, "", "an ideographic full stop separates labels"},
		{"2001:db8::1", "h.example.com", "a@exist6.example.com", TempError, ProblemDNS, "§5.7: exists asks A for IPv6 clients too"},
		{"2001:db8::ffff", "h.example.com", "a@dual.example.com", Pass, "", "//64 is for IPv6"},
		{"192.0.2.1", "h.example.com", "a@no.example.com", Neutral, "", "§4.7: the default is neutral"},
	} {
		for _, prefetch := range []bool{false, true} {
			c := Checker{Resolver: w, Prefetch: prefetch}
			v := c.Check(context.Background(), netip.MustParseAddr(tc.ip), tc.helo, tc.from)
			code := ""
			if v.Problem != nil {
				code = v.Problem.Code
			}
			if v.Result != tc.want || code != tc.code {
				t.Errorf("%s from %s (prefetch %t): %s %s, expected %s %s: %s\n%s", tc.from, tc.ip, prefetch, v.Result, code, tc.want, tc.code, tc.why, dump(v))
			}
			checkVerdict(t, v)
		}
	}
	if v := (&Checker{Resolver: w}).Check(context.Background(), netip.Addr{}, "h.example.com", "a@example.com"); v.Result != None || v.Problem.Code != ProblemInvalidIP {
		t.Errorf("zero address: %s", dump(v))
	}
}

// TestProblem: which domain, term and name a Problem names.
func TestProblem(t *testing.T) {
	w := newWorld(t, `
		example.com TXT v=spf1 include:a.example.com include:b.example.com -all
		a.example.com TXT v=spf1 ip4:192.0.2.1
		b.example.com TXT v=spf1 include:gone.example.com
		slow.example.com TXT v=spf1 include:s2.example.com -all
		s2.example.com TXT v=spf1 include:s3.example.com -all
		s3.example.com !TXT timeout
		many.example.com TXT v=spf1 mx:m.example.com -all
	`)
	for i := 0; i < 11; i++ {
		w.add(t, "m.example.com", "MX", fmt.Sprintf("10 h%d.example.com", i))
		w.add(t, fmt.Sprintf("h%d.example.com", i), "A", "192.0.2.1")
	}
	c := Checker{Resolver: w}
	ip := netip.MustParseAddr("192.0.2.9")
	v := c.Check(context.Background(), ip, "h", "x@example.com")
	if p := v.Problem; p.Code != ProblemIncludeNone || p.Domain != "b.example.com" || p.Target != "gone.example.com" || p.Term.Text != "include:gone.example.com" {
		t.Errorf("include-none: %s", dump(v))
	}
	if len(v.Path) != 2 || v.Path[0].Term.Text != "include:b.example.com" || v.Path[1].Target != "gone.example.com" {
		t.Errorf("path: %s", dump(v))
	}
	if child := v.Path[1].Child; child.Problem.Code != ProblemNoRecord || child.Answer == nil || child.Answer.Outcome != dnsq.NXDomain {
		t.Errorf("the included domain: %s", dump(v))
	}
	v = c.Check(context.Background(), ip, "h", "x@slow.example.com")
	if p := v.Problem; v.Result != TempError || p.Domain != "s3.example.com" || p.Err.Reason != dnsq.Timeout || p.Err.Question != dnsq.Q("s3.example.com", dnsq.TypeTXT) {
		t.Errorf("an include that times out is named: %s", dump(v))
	}
	// More than ten MX: permerror even for the address of the first host.
	v = c.Check(context.Background(), netip.MustParseAddr("192.0.2.1"), "h", "x@many.example.com")
	if p := v.Problem; v.Result != PermError || p.Code != ProblemMX || p.Count != 11 || p.Limit != 10 || p.Target != "m.example.com" {
		t.Errorf("too many mx: %s", dump(v))
	}
	if n := len(w.asked()); n != 4+3+2 {
		t.Errorf("%d questions: the hosts of an mx over the limit are not asked", n)
	}
}

// TestLookupLimit: ten are allowed, the eleventh is not evaluated, wherever in
// the tree it stands, and terms with the same name count each time.
func TestLookupLimit(t *testing.T) {
	w := newWorld(t, `
		a.example.com A 192.0.2.1
		ten.example.com TXT v=spf1 a:a.example.com a:a.example.com a:a.example.com include:five.example.com a:a.example.com -all
		five.example.com TXT v=spf1 a:a.example.com a:a.example.com a:a.example.com a:a.example.com a:a.example.com ?all
		eleven.example.com TXT v=spf1 include:ten.example.com ?all
		red.example.com TXT v=spf1 redirect=ten.example.com
		pmacro.example.com TXT v=spf1 include:nine.example.com a:%{p}.example.com -all
		nine.example.com TXT v=spf1 include:five.example.com a:a.example.com a:a.example.com
		loop.example.com TXT v=spf1 include:loop.example.com
	`)
	for _, tc := range []struct {
		from    string
		want    Result
		lookups int
	}{
		{"ten.example.com", Fail, 10},
		{"eleven.example.com", PermError, 11},
		{"red.example.com", PermError, 11},
		{"pmacro.example.com", Fail, 10}, // the PTR of %{p} is no term
		{"loop.example.com", PermError, 11},
	} {
		v := (&Checker{Resolver: w, Prefetch: true}).Check(context.Background(), netip.MustParseAddr("192.0.2.9"), "h", tc.from)
		if v.Result != tc.want || v.Lookups != tc.lookups {
			t.Errorf("%s: %s", tc.from, dump(v))
		}
		if v.Result == PermError && (v.Problem.Code != ProblemLookups || v.Problem.Count != 11) {
			t.Errorf("%s: %s", tc.from, dump(v))
		}
		checkVerdict(t, v)
	}
}

// TestPTRLimit: of more than ten names the rest is ignored, matching or not.
func TestPTRLimit(t *testing.T) {
	w := newWorld(t, `example.com TXT v=spf1 ptr -all`)
	for i := 0; i < 10; i++ {
		w.add(t, "1.2.0.192.in-addr.arpa", "PTR", fmt.Sprintf("h%d.example.net", i))
	}
	w.add(t, "1.2.0.192.in-addr.arpa", "PTR", "ok.example.com")
	w.add(t, "ok.example.com", "A", "192.0.2.1")
	v := (&Checker{Resolver: w}).Check(context.Background(), netip.MustParseAddr("192.0.2.1"), "h", "example.com")
	if v.Result != Fail || len(v.Root.Steps[0].Hosts) != 10 {
		t.Errorf("%s", dump(v))
	}
}

func TestMacros(t *testing.T) {
	base := `
		4.3.2.1.in-addr.arpa PTR z.example.org
		4.3.2.1.in-addr.arpa PTR mail.sub.email.example.com
		4.3.2.1.in-addr.arpa PTR forged.email.example.com
		z.example.org A 1.2.3.4
		mail.sub.email.example.com A 1.2.3.4
		forged.email.example.com A 9.9.9.9
	`
	long := strings.Repeat("0123456789.", 30)
	for _, tc := range []struct{ spec, ip, from, want string }{
		// RFC 7208 §7.4.
		{"%{s}", "1.2.3.4", "", `strong-bad\@email.example.com`},
		{"%{o}", "1.2.3.4", "", "email.example.com"},
		{"%{d}", "1.2.3.4", "", "email.example.com"},
		{"%{d4}", "1.2.3.4", "", "email.example.com"},
		{"%{d2}", "1.2.3.4", "", "example.com"},
		{"%{d1}", "1.2.3.4", "", "com"},
		{"%{dr}", "1.2.3.4", "", "com.example.email"},
		{"%{d2r}", "1.2.3.4", "", "example.email"},
		{"%{l}", "1.2.3.4", "", "strong-bad"},
		{"%{l-}", "1.2.3.4", "", "strong.bad"},
		{"%{lr}", "1.2.3.4", "", "strong-bad"},
		{"%{lr-}", "1.2.3.4", "", "bad.strong"},
		{"%{l1r-}", "1.2.3.4", "", "strong"},
		{"%{ir}.%{v}._spf.%{d2}", "1.2.3.4", "", "4.3.2.1.in-addr._spf.example.com"},
		{"%{lr-}.lp._spf.%{d2}", "1.2.3.4", "", "bad.strong.lp._spf.example.com"},
		{"%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "1.2.3.4", "", "4.3.2.1.in-addr.strong.lp._spf.example.com"},
		{"%{d2}.trusted-domains.example.net", "1.2.3.4", "", "example.com.trusted-domains.example.net"},
		{"%{ir}.%{v}._spf.%{d2}", "2001:db8::cb01", "", "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com"},
		// Beyond the examples.
		{"%{L}._%%%-x.%{D2}", "1.2.3.4", "a/b c@email.example.com", `a%2fb%20c._%%20x.example.com`},
		{"x%_y.%{d}", "1.2.3.4", "", `x\ y.email.example.com`},
		{"%{p}.x.com", "1.2.3.4", "", "mail.sub.email.example.com.x.com"},
		{"%{p2}.x.com", "1.2.3.4", "", "example.com.x.com"},
		{"%{p}.x.com", "1.2.3.5", "", "unknown.x.com"},
		{"%{h}", "1.2.3.4", "", "helo.example.net"},
		{"%{d128}", "1.2.3.4", "", "email.example.com"},
		{"%{d99999999999999999999}", "1.2.3.4", "", "email.example.com"},
		{"%{l2r+-=}.x.com", "1.2.3.4", "a-b+c=d@email.example.com", "b.a.x.com"},
		{"x.%{d}.com.", "1.2.3.4", "", "x.email.example.com.com"},
		// §7.3: over 253 characters the left side goes, by whole labels.
		{long + "%{d}", "1.2.3.4", "", strings.Repeat("0123456789.", 21) + "email.example.com"},
		{"%{l}.%{d}", "1.2.3.4", strings.TrimSuffix(strings.Repeat("ab.", 100), ".") + "@email.example.com", strings.Repeat("ab.", 78) + "email.example.com"},
	} {
		from := tc.from
		if from == "" {
			from = "strong-bad@email.example.com"
		}
		w := newWorld(t, base+"email.example.com TXT v=spf1 exists:"+tc.spec+" -all")
		for _, prefetch := range []bool{false, true} {
			v := (&Checker{Resolver: w, Prefetch: prefetch}).Check(context.Background(), netip.MustParseAddr(tc.ip), "helo.example.net", from)
			if len(v.Root.Steps) == 0 || v.Root.Steps[0].Target != tc.want {
				t.Errorf("%s: expected %q\n%s", tc.spec, tc.want, dump(v))
			}
		}
	}
}

func TestExplanation(t *testing.T) {
	now := func() time.Time { return time.Unix(1234567890, 0) }
	for _, tc := range []struct{ world, from, want, why string }{
		{"x TXT hello", "a@example.com", "", WhyNoText},
		{"e.example.com TXT Not %{i} (%{c}) for %{s}%_at %{d}: see http://%{d}/why?s=%{S}&t=%{t}&r=%{r}", "a b@example.com",
			"Not 1.2.3.4 (1.2.3.4) for a b@example.com at example.com: see http://example.com/why?s=a%20b%40example.com&t=1234567890&r=mx.example.net", WhyExplained},
		{"e.example.com TXT %{h} said hello", "a@example.com", "h.example.org said hello", WhyExplained},
		{"e.example.com TXT bad %{x}", "a@example.com", "", WhyBadText},
		{"e.example.com TXT 100%", "a@example.com", "", WhyBadText},
		{"e.example.com TXT caf\u00e9", "a@example.com", "", WhyBadText},
		{"e.example.com TXT line\tbreak", "a@example.com", "", WhyBadText},
		{"e.example.com TXT %{l} was here", "\u00e9@example.com", "", WhyBadText},
		{"e.example.com TXT %{l} was here", "a\x1b[31m@example.com", "", WhyBadText},
		{"e.example.com TXT one\ne.example.com TXT two", "a@example.com", "", WhyManyTexts},
		{"e.example.com !TXT servfail", "a@example.com", "", WhyDNSError},
		{"e.example.com TXT " + strings.Repeat("%{s}", 10000), "a@example.com", "", WhyBadText},
	} {
		w := newWorld(t, "example.com TXT v=spf1 -all exp=e.example.com\n"+tc.world)
		c := Checker{Resolver: w, Receiver: "mx.example.net", Now: now}
		v := c.Check(context.Background(), netip.MustParseAddr("1.2.3.4"), "h.example.org", tc.from)
		if v.Result != Fail || v.Explanation != tc.want || v.Exp == nil || v.Exp.Why != tc.why {
			t.Errorf("%s: got %q (%+v), expected %q %s", tc.world, v.Explanation, v.Exp, tc.want, tc.why)
		}
	}
	// No exp: the default, verbatim, and only for fail.
	w := newWorld(t, "example.com TXT v=spf1 -all\nsoft.example.com TXT v=spf1 ~all exp=example.com")
	c := Checker{Resolver: w, DefaultExplanation: "100% no"}
	if v := c.Check(context.Background(), netip.MustParseAddr("1.2.3.4"), "h", "example.com"); v.Explanation != "100% no" || v.Exp != nil {
		t.Errorf("%s", dump(v))
	}
	if v := c.Check(context.Background(), netip.MustParseAddr("1.2.3.4"), "h", "soft.example.com"); v.Explanation != "" || v.Exp != nil {
		t.Errorf("%s", dump(v))
	}
}

// TestTrace: what is shown for each term of a tree.
func TestTrace(t *testing.T) {
	w := newWorld(t, `
		example.com TXT v=spf1 ip4:192.0.2.0/28 ip6:2001:db8::/32 a:nx.example.com mx include:_spf.example.com -exists:%{ir}.bl.example.com ~all
		example.com MX 10 mail.example.com
		mail.example.com A 192.0.2.1
		_spf.example.com TXT v=spf1 a:h.example.com ptr ip4:198.51.100.0/24 -all
		h.example.com A 192.0.2.33
		h.example.com A 192.0.2.34
	`)
	v := (&Checker{Resolver: w}).Check(context.Background(), netip.MustParseAddr("198.51.100.7"), "h", "example.com")
	want := `pass mailfrom example.com lookups=5 voids=2 exp="" ok
path: include:_spf.example.com ip4:198.51.100.0/24
example.com pass lookups=5 voids=2 ok
  ip4:192.0.2.0/28 -> "" cost=0 void=false/false/false matched=false not-in-network [] [] <nil>
  ip6:2001:db8::/32 -> "" cost=0 void=false/false/false matched=false other-family [] [] <nil>
  a:nx.example.com -> "nx.example.com" cost=1 void=true/false/false matched=false no-such-name [] [] <nil>
  mx -> "example.com" cost=1 void=false/false/false matched=false address-differs [192.0.2.1] [mail.example.com] <nil>
  include:_spf.example.com -> "_spf.example.com" cost=3 void=false/false/false matched=true include-pass [] [] <nil>
    _spf.example.com pass lookups=2 voids=1 ok
      a:h.example.com -> "h.example.com" cost=1 void=false/false/false matched=false address-differs [192.0.2.33 192.0.2.34] [] <nil>
      ptr -> "_spf.example.com" cost=1 void=true/false/false matched=false ptr-no-match [] [] <nil>
      ip4:198.51.100.0/24 -> "" cost=0 void=false/false/false matched=true in-network [] [] <nil>
`
	if got := dump(v); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestContext: a run that is out of time is temperror, never a verdict.
func TestContext(t *testing.T) {
	for _, prefetch := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, "example.com TXT v=spf1 include:a.example.com -all\na.example.com TXT v=spf1 ip4:192.0.2.1")
			w.latency = time.Second
			ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
			defer cancel()
			v := (&Checker{Resolver: w, Prefetch: prefetch}).Check(ctx, netip.MustParseAddr("192.0.2.1"), "h", "example.com")
			if v.Result != TempError || v.Problem.Err.Reason != dnsq.OverDue || v.Problem.Err.Name != "a.example.com" {
				t.Errorf("%s", dump(v))
			}
			v = (&Checker{Resolver: w, Prefetch: prefetch}).Check(ctx, netip.MustParseAddr("192.0.2.1"), "h", "example.com")
			if v.Result != TempError || v.Problem.Err.Reason != dnsq.OverDue {
				t.Errorf("over before it began: %s", dump(v))
			}
		})
	}
}

// TestContradiction: a Resolver that answers nonsense has told nothing.
func TestContradiction(t *testing.T) {
	for _, a := range []*dnsq.Answer{
		nil, {}, {Outcome: dnsq.Found}, {Outcome: 9},
		{Outcome: dnsq.NXDomain, RRs: []dnsq.RR{{Type: dnsq.TypeTXT, Strings: []string{"v=spf1 +all"}}}},
	} {
		r := dnsq.ResolverFunc(func(context.Context, dnsq.Question) (*dnsq.Answer, error) { return a, nil })
		v := (&Checker{Resolver: r}).Check(context.Background(), netip.MustParseAddr("192.0.2.1"), "h", "example.com")
		if v.Result != TempError || v.Problem.Err.Reason != dnsq.Malformed {
			t.Errorf("%+v: %s", a, dump(v))
		}
	}
	r := dnsq.ResolverFunc(func(context.Context, dnsq.Question) (*dnsq.Answer, error) { return nil, errors.New("boom") })
	if v := (&Checker{Resolver: r}).Check(context.Background(), netip.MustParseAddr("192.0.2.1"), "h", "example.com"); v.Result != TempError {
		t.Errorf("%s", dump(v))
	}
}

// TestTypes: records of another type in an answer, or of another family, are
// not addresses.
func TestTypes(t *testing.T) {
	w := newWorld(t, `
		example.com TXT v=spf1 a -all
		example.com A 192.0.2.1
		example.com AAAA ::ffff:192.0.2.1
	`)
	q := dnsq.Q("example.com", dnsq.TypeA)
	w.rrs[q] = append(w.rrs[q], dnsq.RR{Type: dnsq.TypeA}, dnsq.RR{Type: dnsq.TypeAAAA, Addr: netip.MustParseAddr("192.0.2.9")})
	for ip, want := range map[string]Result{"192.0.2.1": Pass, "192.0.2.9": Fail, "2001:db8::1": Fail} {
		if v := (&Checker{Resolver: w}).Check(context.Background(), netip.MustParseAddr(ip), "h", "example.com"); v.Result != want {
			t.Errorf("%s: %s", ip, dump(v))
		}
	}
}

// flat is a record with nine includes.
func flat(t testing.TB) *world {
	w := newWorld(t, "")
	rec := "v=spf1"
	for i := 1; i <= 9; i++ {
		rec += fmt.Sprintf(" include:s%d.example.com", i)
		w.add(t, fmt.Sprintf("s%d.example.com", i), "TXT", fmt.Sprintf("v=spf1 ip4:198.51.100.%d ~all", i))
	}
	w.add(t, "example.com", "TXT", rec+" -all")
	return w
}

// TestRounds: the time of a check, in round trips of virtual time.
func TestRounds(t *testing.T) {
	deep := newWorld(t, `
		example.com TXT v=spf1 include:a.example.com mx a:h.example.com redirect=r.example.com
		example.com MX 1 m1.example.com
		example.com MX 2 m2.example.com
		m1.example.com A 192.0.2.1
		m2.example.com A 192.0.2.2
		h.example.com A 192.0.2.3
		a.example.com TXT v=spf1 include:b.example.com exists:%{i}.x.example.com ?all
		b.example.com TXT v=spf1 a:h.example.com ptr -all
		r.example.com TXT v=spf1 a:h2.example.com -all
		h2.example.com A 192.0.2.4
	`)
	early := newWorld(t, `
		example.com TXT v=spf1 ip4:198.51.100.77 include:a.example.com include:b.example.com -all
	`)
	for _, tc := range []struct {
		name          string
		w             *world
		serial, ahead int // round trips
		questions     int // with Prefetch
		analysis      int // round trips of Analyze
	}{
		{"flat", flat(t), 10, 2, 10, 2},
		{"deep", deep, 11, 4, 11, 3},
		{"nothing to fetch", early, 1, 1, 1, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc.w.latency = time.Second
				run := func(prefetch bool) (int, *Verdict) {
					tc.w.log = nil
					start := time.Now()
					v := (&Checker{Resolver: tc.w, Prefetch: prefetch}).Check(context.Background(), netip.MustParseAddr("198.51.100.77"), "h", "example.com")
					return int(time.Since(start) / time.Second), v
				}
				serial, a := run(false)
				ahead, b := run(true)
				if serial != tc.serial || ahead != tc.ahead {
					t.Errorf("%d round trips, %d with Prefetch; expected %d and %d", serial, ahead, tc.serial, tc.ahead)
				}
				if len(tc.w.log) != tc.questions {
					t.Errorf("%d questions with Prefetch, expected %d: %v", len(tc.w.log), tc.questions, tc.w.log)
				}
				if dump(a) != dump(b) {
					t.Errorf("Prefetch changes the verdict:\n%s\n%s", dump(a), dump(b))
				}
				start := time.Now()
				(&Checker{Resolver: tc.w}).Analyze(context.Background(), "example.com")
				if n := int(time.Since(start) / time.Second); n != tc.analysis {
					t.Errorf("Analyze: %d round trips, expected %d", n, tc.analysis)
				}
			})
		})
	}
}

// TestPrefetchEnds: what was asked ahead and is not needed is cancelled, and
// no goroutine is left (synctest fails if one is).
func TestPrefetchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "example.com TXT v=spf1 a:fast.example.com include:slow.example.com -all\nfast.example.com A 192.0.2.1")
		r := dnsq.ResolverFunc(func(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
			if q.Name == "slow.example.com" {
				select {
				case <-time.After(time.Hour):
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
			time.Sleep(time.Second)
			return w.Ask(ctx, q)
		})
		start := time.Now()
		v := (&Checker{Resolver: r, Prefetch: true}).Check(context.Background(), netip.MustParseAddr("192.0.2.1"), "h", "example.com")
		if v.Result != Pass || time.Since(start) != 2*time.Second {
			t.Errorf("after %v: %s", time.Since(start), dump(v))
		}
	})
}

// TestAskedOnce: one check asks no question twice, ahead or not.
func TestAskedOnce(t *testing.T) {
	w := newWorld(t, `
		example.com TXT v=spf1 a:h.example.com a:h.example.com include:i.example.com include:i.example.com exists:%{p}.x.example.com ptr -all exp=%{p}.e.example.com
		i.example.com TXT v=spf1 a:h.example.com -all
		h.example.com A 192.0.2.3
		1.2.0.192.in-addr.arpa PTR h.example.com
	`)
	for _, prefetch := range []bool{false, true} {
		w.log = nil
		v := (&Checker{Resolver: w, Prefetch: prefetch}).Check(context.Background(), netip.MustParseAddr("192.0.2.1"), "h", "example.com")
		if v.Result != Fail || v.Lookups != 8 {
			t.Errorf("%s", dump(v))
		}
		for q, n := range w.asked() {
			if n > 1 {
				t.Errorf("%v asked %d times", q, n)
			}
		}
	}
}

// TestHostileSize: 64 KiB of macros or terms, with a sender to match, is no
// more work than its length. (Expanding each %{s} in full would be 80 MB.)
func TestHostileSize(t *testing.T) {
	local := strings.Repeat("a.", 50000)
	for _, spec := range []string{
		strings.Repeat("%{s}", 16000), strings.Repeat("%{l1r-}", 9000), strings.Repeat("x.", 32000) + "com", strings.Repeat("%{L.-_+}", 8000) + ".com",
		strings.Repeat("%{h}", 16000),
	} {
		w := newWorld(t, "example.com TXT v=spf1 a exists:"+spec+" ~all exp="+spec)
		w.add(t, "example.com", "A", "192.0.2.9")
		for _, prefetch := range []bool{false, true} {
			c := Checker{Resolver: w, Prefetch: prefetch}
			v := c.Check(context.Background(), netip.MustParseAddr("192.0.2.1"), local, local+"@example.com")
			if v.Result != SoftFail {
				t.Errorf("%.20s…: %s %v", spec, v.Result, v.Problem)
			}
		}
	}
	w := newWorld(t, "example.com TXT v=spf1"+strings.Repeat(" x", 32000))
	v := (&Checker{Resolver: w}).Check(context.Background(), netip.MustParseAddr("192.0.2.1"), "h", "example.com")
	if v.Result != PermError || len(v.Problem.Record.Errors) != 32000 {
		t.Errorf("%s", v.Result)
	}
}
