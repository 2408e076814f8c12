package authres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/todoku-mail/todoku/pkg/authres"
)

// show writes a field in lines: the head, then a line per result.
func show(f *Field) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %d", f.AuthservID, f.Version)
	if f.Instance > 0 {
		fmt.Fprintf(&b, " i=%d", f.Instance)
	}
	if f.None {
		b.WriteString(" none")
	}
	for _, r := range f.Results {
		fmt.Fprintf(&b, "\n%s=%s", r.Method, r.Value)
		if r.Reason != "" {
			fmt.Fprintf(&b, " reason=%s", r.Reason)
		}
		for _, c := range r.Comments {
			fmt.Fprintf(&b, " (%s)", c)
		}
		for _, p := range r.Props {
			t := p.Type + "."
			if p.Type == "" {
				t = ""
			}
			fmt.Fprintf(&b, " %s%s=%s", t, p.Name, p.Value)
		}
	}
	if len(f.Faults) > 0 {
		b.WriteString("\n!")
		for _, x := range f.Faults {
			fmt.Fprintf(&b, " %s:%s", x.Code, strings.Fields(x.Text + " -")[0])
		}
	}
	return b.String()
}

// The forms are those of the receivers named; the names in them are examples.
// Each would be read wrongly by splitting at semicolons and "=".
func TestParse(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"RFC 8601, appendix B.4", `example.com;
   auth=pass (cram-md5) smtp.auth=sender@example.net;
   spf=pass smtp.mailfrom=example.net`,
			`"example.com" 1
auth=pass (cram-md5) smtp.auth=sender@example.net
spf=pass smtp.mailfrom=example.net`},
		{"RFC 8601, appendix B.2", "example.org 1; none", `"example.org" 1 none`},
		{"RFC 8601, appendix B.7, comments everywhere", `foo.example.net (foobar) 1 (baz);
    dkim (Because I like it) / 1 (One yay) = (wait for it) fail
      policy (A dot can go here) . (like that) expired
      (this surprised me) = (as I wasn't expecting it) 1362471462`,
			`"foo.example.net" 1
dkim=fail (Because I like it) (One yay) (wait for it) (A dot can go here) (like that) (this surprised me) (as I wasn't expecting it) policy.expired=1362471462`},
		{"gmail", `mx.google.com;
       dkim=pass header.i=@shop.example header.s=s1 header.b=AbCd/E+g;
       spf=pass (google.com: domain of order@shop.example designates 192.0.2.25 as permitted sender) smtp.mailfrom=order@shop.example;
       dmarc=pass (p=QUARANTINE sp=NONE dis=NONE) header.from=shop.example`,
			`"mx.google.com" 1
dkim=pass header.i=@shop.example header.s=s1 header.b=AbCd/E+g
spf=pass (google.com: domain of order@shop.example designates 192.0.2.25 as permitted sender) smtp.mailfrom=order@shop.example
dmarc=pass (p=QUARANTINE sp=NONE dis=NONE) header.from=shop.example`},
		{"gmail, neutral with a semicolon in the comment", `mx.google.com;
       dkim=neutral (body hash did not verify) header.i=@shop.example;
       spf=softfail (google.com: domain of transitioning a@b.example does not designate 192.0.2.25 as permitted sender; see docs) smtp.mailfrom="a b"@b.example`,
			`"mx.google.com" 1
dkim=neutral (body hash did not verify) header.i=@shop.example
spf=softfail (google.com: domain of transitioning a@b.example does not designate 192.0.2.25 as permitted sender; see docs) smtp.mailfrom=a b@b.example`},
		{"microsoft", `spf=pass (sender IP is 192.0.2.25)
 smtp.mailfrom=shop.example; dkim=pass (signature was verified)
 header.d=shop.example;dmarc=pass action=none
 header.from=shop.example;compauth=pass reason=100`,
			`"" 1
spf=pass (sender IP is 192.0.2.25) smtp.mailfrom=shop.example
dkim=pass (signature was verified) header.d=shop.example
dmarc=pass action=none header.from=shop.example
compauth=pass reason=100
! no-authserv-id:- no-type:action=none no-type:reason=100`},
		{"microsoft, the older form with the recipient's domain", `spf=none (sender IP is 192.0.2.25)
 smtp.mailfrom=shop.example; customer.example; dkim=none (message not signed)
 header.d=none;customer.example; dmarc=bestguesspass action=none header.from=shop.example;`,
			`"" 1
spf=none (sender IP is 192.0.2.25) smtp.mailfrom=shop.example
dkim=none (message not signed) header.d=none
dmarc=bestguesspass action=none header.from=shop.example
! no-authserv-id:- stray-word:customer.example stray-word:customer.example no-type:action=none`},
		{"yahoo", `atlas-production.v2-mail-prod1-gq1.omega.yahoo.com;
 dkim=pass header.i=@shop.example header.s=s1;
 spf=pass smtp.mailfrom=shop.example;
 dmarc=pass(p=QUARANTINE,sp=NONE) header.from=shop.example;`,
			`"atlas-production.v2-mail-prod1-gq1.omega.yahoo.com" 1
dkim=pass header.i=@shop.example header.s=s1
spf=pass smtp.mailfrom=shop.example
dmarc=pass (p=QUARANTINE,sp=NONE) header.from=shop.example`},
		{"yahoo of old", `mta1.mail.yahoo.example  from=shop.example; domainkeys=neutral (no sig);  from=shop.example; dkim=pass (ok)`,
			`"mta1.mail.yahoo.example" 1
domainkeys=neutral (no sig)
from=shop.example
dkim=pass (ok)
! stray-word:from=shop.example`},
		{"apple", `dkim-verifier.icloud.com;
	dkim=pass (2048-bit key) header.d=shop.example header.i=@shop.example header.b=AbC=`,
			`"dkim-verifier.icloud.com" 1
dkim=pass (2048-bit key) header.d=shop.example header.i=@shop.example header.b=AbC=`},
		{"apple, bimi", "bimi.icloud.com; bimi=none", "\"bimi.icloud.com\" 1\nbimi=none"},
		{"fastmail", `mx6.messagingengine.com;
    arc=none (no signatures found);
    bimi=none (Domain is not BIMI enabled);
    dkim=pass (2048-bit rsa key sha256) header.d=shop.example
      header.i=@shop.example header.b=AbC header.a=rsa-sha256 header.s=s1
      x-bits=2048;
    dmarc=pass policy.published-domain-policy=none
      policy.applied-disposition=none (p=none,d=none,d.eval=none)
      policy.policy-from=p header.from=shop.example;
    iprev=pass smtp.remote-ip=192.0.2.25 (web01.host.example);
    spf=pass smtp.mailfrom=order@shop.example smtp.helo=mail.shop.example;
    x-me-sender=none`,
			`"mx6.messagingengine.com" 1
arc=none (no signatures found)
bimi=none (Domain is not BIMI enabled)
dkim=pass (2048-bit rsa key sha256) header.d=shop.example header.i=@shop.example header.b=AbC header.a=rsa-sha256 header.s=s1 x-bits=2048
dmarc=pass (p=none,d=none,d.eval=none) policy.published-domain-policy=none policy.applied-disposition=none policy.policy-from=p header.from=shop.example
iprev=pass (web01.host.example) smtp.remote-ip=192.0.2.25
spf=pass smtp.mailfrom=order@shop.example smtp.helo=mail.shop.example
x-me-sender=none
! no-type:x-bits=2048`},
		{"opendkim: a semicolon in a comment", `mx.customer.example;
	dkim=pass (2048-bit key; unprotected) header.d=shop.example header.i=@shop.example header.a=rsa-sha256 header.s=s1 header.b=AbC;
	dkim-atps=neutral`,
			`"mx.customer.example" 1
dkim=pass (2048-bit key; unprotected) header.d=shop.example header.i=@shop.example header.a=rsa-sha256 header.s=s1 header.b=AbC
dkim-atps=neutral`},
		{"opendkim, reason", `mx.customer.example; dkim=fail reason="signature verification failed" (1024-bit key; unprotected) header.d=shop.example; dkim-adsp=none`,
			`"mx.customer.example" 1
dkim=fail reason=signature verification failed (1024-bit key; unprotected) header.d=shop.example
dkim-adsp=none`},
		{"opendmarc", "mx.customer.example; dmarc=pass (p=none dis=none) header.from=shop.example", "\"mx.customer.example\" 1\ndmarc=pass (p=none dis=none) header.from=shop.example"},
		{"policyd-spf", "mx.customer.example; spf=pass (mailfrom) smtp.mailfrom=shop.example (client-ip=192.0.2.25; helo=mail.shop.example; envelope-from=order@shop.example; receiver=<UNKNOWN>)",
			"\"mx.customer.example\" 1\nspf=pass (mailfrom) (client-ip=192.0.2.25; helo=mail.shop.example; envelope-from=order@shop.example; receiver=<UNKNOWN>) smtp.mailfrom=shop.example"},
		{"rspamd", "mx.customer.example;\n\tdkim=pass header.d=shop.example header.s=s1 header.b=\"a/+b=\";\n\tdmarc=pass (policy=none) header.from=shop.example;\n\tspf=pass (mx.customer.example: domain of order@shop.example designates 2001:db8::25 as permitted sender) smtp.mailfrom=order@shop.example",
			"\"mx.customer.example\" 1\ndkim=pass header.d=shop.example header.s=s1 header.b=a/+b=\ndmarc=pass (policy=none) header.from=shop.example\nspf=pass (mx.customer.example: domain of order@shop.example designates 2001:db8::25 as permitted sender) smtp.mailfrom=order@shop.example"},
		{"au, docomo: spf and sender-id in one", "docomo.example; spf=pass smtp.mailfrom=order@shop.example; sender-id=pass header.From=order@shop.example",
			"\"docomo.example\" 1\nspf=pass smtp.mailfrom=order@shop.example\nsender-id=pass header.from=order@shop.example"},
		{"equals signs in a rewritten sender", "mx.example; spf=pass smtp.mailfrom=SRS0=ab+c=XY=shop.example=order@fwd.example smtp.helo=fwd.example",
			"\"mx.example\" 1\nspf=pass smtp.mailfrom=SRS0=ab+c=XY=shop.example=order@fwd.example smtp.helo=fwd.example"},
		{"null sender", "mx.example; spf=pass smtp.mailfrom=<> smtp.helo=mail.shop.example; dmarc=pass header.from=shop.example",
			"\"mx.example\" 1\nspf=pass smtp.mailfrom=<> smtp.helo=mail.shop.example\ndmarc=pass header.from=shop.example"},
		{"an empty value", "mx.example; spf=none smtp.mailfrom= smtp.helo=mail.shop.example; dkim=none", "\"mx.example\" 1\nspf=none smtp.mailfrom= smtp.helo=mail.shop.example\ndkim=none"},
		{"no semicolons", "mx.example spf=pass smtp.mailfrom=shop.example dkim=pass header.d=shop.example dmarc=pass",
			"\"mx.example\" 1\nspf=pass smtp.mailfrom=shop.example\ndkim=pass header.d=shop.example\ndmarc=pass\n! missing-semicolon:- missing-semicolon:- missing-semicolon:-"},
		{"unquoted words", "mx.example; dkim=fail reason=bad signature header.d=shop.example", "\"mx.example\" 1\ndkim=fail reason=bad header.d=shop.example\n! stray-word:signature"},
		{"method version, quoted id", `"mx.example" 1; dkim/1=pass header.d=shop.example`, "\"mx.example\" 1\ndkim=pass header.d=shop.example"},
		{"spaces round the equals sign", "mx.example; dkim = pass header.d = shop.example; spf= fail", "\"mx.example\" 1\ndkim=pass header.d=shop.example\nspf=fail"},
		{"version that is none", "mx.example v2; none", "\"mx.example\" 1 none\n! bad-version:v2"},
		{"a comment without end", "mx.example; dkim=pass (2048 header.d=shop.example; spf=pass", "\"mx.example\" 1\ndkim=pass header.d=shop.example\nspf=pass\n! no-end:( stray-word:(2048"},
		{"quotes without end", `mx.example; dkim=fail reason="bad header.d=shop.example; spf=pass`, "\"mx.example\" 1\ndkim=fail reason=\"bad header.d=shop.example\nspf=pass\n! no-end:\""},
		{"empty", "", "\"\" 1\n! empty:-"},
		{"only the name", "mx.example", "\"mx.example\" 1\n! empty:mx.example"},
		{"a method without a result", "mx.example; dkim=; spf=pass", "\"mx.example\" 1\ndkim=\nspf=pass\n! no-result:dkim="},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, in := range []string{c.in, strings.ReplaceAll(c.in, "\n", "\r\n")} {
				f := Parse(in)
				for _, x := range f.Faults {
					if x.Text != in[x.Offset:x.Offset+x.Length] {
						t.Errorf("%s: %q does not stand at %d", x.Code, x.Text, x.Offset)
					}
				}
				got := show(f)
				if in != c.in {
					got, _, _ = strings.Cut(got, "\n!") // other offsets
					c.want, _, _ = strings.Cut(c.want, "\n!")
				}
				if got != c.want {
					t.Errorf("\n got %s\nwant %s", got, c.want)
				}
			}
		})
	}
}

func TestParseARC(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"gmail", "i=1; mx.google.com;\n dkim=pass header.i=@shop.example header.s=s1 header.b=AbC;\n arc=pass (i=1 spf=pass spfdomain=shop.example dkim=pass dkdomain=shop.example dmarc=pass fromdomain=shop.example);\n spf=pass smtp.mailfrom=order@shop.example",
			"\"mx.google.com\" 1 i=1\ndkim=pass header.i=@shop.example header.s=s1 header.b=AbC\narc=pass (i=1 spf=pass spfdomain=shop.example dkim=pass dkdomain=shop.example dmarc=pass fromdomain=shop.example)\nspf=pass smtp.mailfrom=order@shop.example"},
		{"microsoft", "i=2; mx.microsoft.com 1; spf=pass (sender ip is\n 192.0.2.25) smtp.rcpttodomain=customer.example smtp.mailfrom=shop.example;\n dmarc=pass (p=none sp=none pct=100) action=none header.from=shop.example;\n dkim=pass (signature was verified) header.d=shop.example; arc=pass (0 oda=1\n ltdi=1 spf=[1,1,smtp.mailfrom=shop.example])",
			"\"mx.microsoft.com\" 1 i=2\nspf=pass (sender ip is 192.0.2.25) smtp.rcpttodomain=customer.example smtp.mailfrom=shop.example\ndmarc=pass (p=none sp=none pct=100) action=none header.from=shop.example\ndkim=pass (signature was verified) header.d=shop.example\narc=pass (0 oda=1 ltdi=1 spf=[1,1,smtp.mailfrom=shop.example])\n! no-type:action=none"},
		{"none", "i=1; mx.example; none", "\"mx.example\" 1 i=1 none"},
		{"no instance", "mx.example; spf=pass", "\"mx.example\" 1\nspf=pass\n! no-instance:-"},
		{"no instance that can be", "i=51; mx.example; spf=pass", "\"mx.example\" 1\nspf=pass\n! bad-instance:i=51"},
	} {
		if got := show(ParseARC(c.in)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestReadings(t *testing.T) {
	for _, c := range []struct{ in, domain, addr, policy, disposition string }{
		{"x; dkim=pass header.i=@Mail.Shop.Example", "mail.shop.example", "", "", ""},
		{"x; dkim=pass header.d=shop.example header.i=@mail.shop.example", "shop.example", "", "", ""},
		{"dkim=none (message not signed) header.d=none", "", "", "", ""},
		{"x; spf=pass smtp.mailfrom=order@shop.example", "shop.example", "", "", ""},
		{"x; spf=pass smtp.mailfrom=<> smtp.helo=mail.shop.example", "mail.shop.example", "", "", ""},
		{"spf=pass (sender IP is 192.0.2.25) smtp.mailfrom=shop.example", "shop.example", "192.0.2.25", "", ""},
		{"x; spf=pass (google.com: domain of a@b.example designates 2001:db8::25 as permitted sender) smtp.mailfrom=a@b.example", "b.example", "2001:db8::25", "", ""},
		{"x; spf=softfail (google.com: domain of transitioning a@b.example does not designate 192.0.2.25 as permitted sender) smtp.mailfrom=a@b.example", "b.example", "192.0.2.25", "", ""},
		{"x; spf=neutral (google.com: 192.0.2.25 is neither permitted nor denied by best guess record for domain of a@b.example) smtp.mailfrom=a@b.example", "b.example", "192.0.2.25", "", ""},
		{"x; iprev=pass smtp.remote-ip=192.0.2.25 (a.example)", "", "192.0.2.25", "", ""},
		{"x; iprev=pass policy.iprev=192.0.2.25", "", "192.0.2.25", "", ""},
		{"x; dmarc=fail (p=REJECT sp=NONE dis=QUARANTINE) header.from=shop.example", "shop.example", "", "reject", "quarantine"},
		{"dmarc=fail action=oreject header.from=shop.example", "shop.example", "", "", "oreject"},
		{"x; dmarc=pass policy.published-domain-policy=reject policy.applied-disposition=none (p=reject,d=none,d.eval=none) header.from=shop.example", "shop.example", "", "reject", "none"},
		{"x; dmarc=pass (policy=none) header.from=shop.example", "shop.example", "", "none", ""},
	} {
		f := Parse(c.in)
		if len(f.Results) != 1 {
			t.Errorf("%q: %d results", c.in, len(f.Results))
			continue
		}
		r := &f.Results[0]
		addr := ""
		if a := r.Addr(); a.IsValid() {
			addr = a.String()
		}
		p, d := "", ""
		if r.Method == "dmarc" {
			p, d = r.Policy()
		}
		if r.Domain() != c.domain || addr != c.addr || p != c.policy || d != c.disposition {
			t.Errorf("%q: domain %q, address %q, policy %q, disposition %q", c.in, r.Domain(), addr, p, d)
		}
	}
	f := Parse("x; dkim=pass header.d=a.example; spf=pass; dkim=fail header.d=b.example")
	if rs := f.Of("dkim"); len(rs) != 2 || rs[1].Value != "fail" {
		t.Errorf("%v", rs)
	}
}

func TestReceivedSPF(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"RFC 7208 §9.1", `pass (mybox.example.org: domain of
 myname@example.com designates 192.0.2.1 as permitted sender)
    receiver=mybox.example.org; client-ip=192.0.2.1;
    envelope-from="myname@example.com"; helo=foo.example.com;`, "pass 192.0.2.1  [receiver=mybox.example.org client-ip=192.0.2.1 envelope-from=myname@example.com helo=foo.example.com] []"},
		{"RFC 7208 §9.1, the second", `fail (mybox.example.org: domain of myname@example.com does not designate 192.0.2.1 as permitted sender)
 identity=mailfrom; client-ip=192.0.2.1; envelope-from="myname@example.com";`, "fail 192.0.2.1 mailfrom [identity=mailfrom client-ip=192.0.2.1 envelope-from=myname@example.com] []"},
		{"gmail", "pass (google.com: domain of order@shop.example designates 2001:db8::25 as permitted sender) client-ip=2001:db8::25;", "pass 2001:db8::25  [client-ip=2001:db8::25] []"},
		{"microsoft", "Pass (protection.outlook.com: domain of shop.example designates 192.0.2.25\r\n as permitted sender) receiver=protection.outlook.com; client-ip=192.0.2.25;\r\n helo=mail.shop.example; pr=C", "pass 192.0.2.25  [receiver=protection.outlook.com client-ip=192.0.2.25 helo=mail.shop.example pr=C] []"},
		{"microsoft, none", "None (protection.outlook.com: shop.example does not designate\r\n permitted sender hosts)", "none invalid IP  [] []"},
		{"yahoo", "pass (domain of shop.example designates 192.0.2.25 as permitted sender)", "pass 192.0.2.25  [] []"},
		{"policyd-spf", "Pass (mailfrom) identity=mailfrom; client-ip=192.0.2.25; helo=mail.shop.example; envelope-from=order@shop.example; receiver=<UNKNOWN>", "pass 192.0.2.25 mailfrom [identity=mailfrom client-ip=192.0.2.25 helo=mail.shop.example envelope-from=order@shop.example receiver=UNKNOWN] []"},
		{"exim", "pass client-ip=192.0.2.25; envelope-from=<order@shop.example>; helo=mail.shop.example", "pass 192.0.2.25  [client-ip=192.0.2.25 envelope-from=order@shop.example helo=mail.shop.example] []"},
		{"qmail of old", "unknown", "permerror invalid IP  [] []"},
		{"no result", "client-ip=192.0.2.25", " 192.0.2.25  [client-ip=192.0.2.25] [empty]"},
		{"another result", "great (yes)", "great invalid IP  [] [no-result]"},
		{"empty", "", " invalid IP  [] [empty]"},
	} {
		r := ParseSPF(c.in)
		var keys, faults []string
		for _, k := range r.Keys {
			keys = append(keys, k.Name+"="+k.Value)
		}
		for _, x := range r.Faults {
			faults = append(faults, string(x.Code))
		}
		if got := fmt.Sprintf("%s %s %s %v %v", r.Result, r.Addr, r.Identity, keys, faults); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// A field of a megabyte and one of a hundred thousand results are cut, and said.
func TestHostile(t *testing.T) {
	for _, in := range []string{strings.Repeat("(", 1<<20), strings.Repeat("a=b;", 1<<18), strings.Repeat(`"`, 1<<20), strings.Repeat("x; dkim=(", 1<<17), strings.Repeat("a ", 1<<19), strings.Repeat(`x="\`, 1<<18)} {
		f := Parse(in)
		cut := false
		for _, x := range f.Faults {
			cut = cut || x.Code == TooLong
		}
		if len(f.Results) > MaxResults || !cut || len(f.Faults) > 50 {
			t.Errorf("%.10q: %d results, %d faults, cut %v", in, len(f.Results), len(f.Faults), cut)
		}
		ParseSPF(in)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("mx.google.com; dkim=pass header.i=@shop.example header.b=AbCd/E+g; spf=pass (a; b (c)) smtp.mailfrom=\"a b\"@x")
	f.Add("i=1; spf=pass (sender IP is 192.0.2.25)\r\n smtp.mailfrom=shop.example; dkim = pass; compauth=pass reason=100")
	f.Add("a ( ; = \" \\ none")
	f.Fuzz(func(t *testing.T, s string) {
		for _, x := range []*Field{Parse(s), ParseARC(s)} {
			for _, r := range x.Results {
				if r.Start < 0 || r.Start > r.End || r.End > len(s) || r.Method != strings.ToLower(r.Method) {
					t.Fatalf("%+v", r)
				}
				r.Domain()
				r.Addr()
				r.Policy()
			}
			for _, y := range x.Faults {
				if y.Offset < 0 || y.Length < 0 || y.Offset+y.Length > len(s) {
					t.Fatalf("%+v", y)
				}
			}
		}
		ParseSPF(s)
	})
}

// BenchmarkParse is Gmail's field, against splitting it at semicolons and
// spaces, which is what a reader does that gets it wrong.
func BenchmarkParse(b *testing.B) {
	s := "mx.google.com; dkim=pass header.i=@shop.example header.s=s1 header.b=AbCd/E+g; spf=pass (google.com: domain of order@shop.example designates 192.0.2.25 as permitted sender) smtp.mailfrom=order@shop.example; dmarc=pass (p=QUARANTINE sp=NONE dis=NONE) header.from=shop.example"
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		if len(Parse(s).Results) != 3 {
			b.Fatal()
		}
	}
	own := float64(b.Elapsed()) / float64(b.N)
	b.StopTimer()
	const n = 20_000
	start := time.Now()
	for range n {
		for _, part := range strings.Split(s, ";") {
			if len(strings.Fields(part)) == 0 {
				b.Fatal()
			}
		}
	}
	b.ReportMetric(own/(float64(time.Since(start))/n), "x-split")
}
