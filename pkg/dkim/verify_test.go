package dkim_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dkim/dkimtest"
)

const mail = `Received: from a.example by b.example; Fri, 6 Feb 2026 10:00:00 +0900
From: Shop <shop@example.com>
To: guest@example.net
Subject: Your order
 of today
Date: Fri, 6 Feb 2026 10:00:00 +0900
Message-ID: <1@example.com>

Dear guest,

thank you  for your order. 	
It will arrive soon.

`

var (
	ed   = dkimtest.Ed25519("shop")
	key1 = dkimtest.RSA("shop", 1024)
	key2 = dkimtest.RSA("shop", 2048)
)

func message() string {
	h, b, _ := strings.Cut(mail, "\n\n")
	return dkimtest.Message(h, b)
}

func zone() dkimtest.Zone {
	return dkimtest.Zone{
		"ed._domainkey.example.com": dkimtest.Record(ed),
		"r1._domainkey.example.com": dkimtest.Record(key1),
		"r2._domainkey.example.com": dkimtest.Record(key2),
	}
}

func verify(t testing.TB, z dkimtest.Zone, msg string) *dkim.Report {
	t.Helper()
	v := dkim.Verifier{Resolver: z, Now: time.Unix(1770340000, 0)}
	r, err := v.Verify(context.Background(), strings.NewReader(msg))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func reasons(v *dkim.Verification) string {
	return strings.TrimSpace(fmt.Sprint(v.Reasons, v.Refused, v.Notes))
}

// Each case is one signature over the message, changed or not, with what the
// zone says; want is the two verdicts, the two matches and the reasons,
// refusals and notes.
func TestVerify(t *testing.T) {
	replace := func(old, new string) func(string) string {
		return func(m string) string {
			if !strings.Contains(m, old) {
				t.Fatalf("no %q in the message", old)
			}
			return strings.Replace(m, old, new, 1)
		}
	}
	base := dkimtest.Signer{Key: ed, Domain: "example.com", Selector: "ed"}
	with := func(f func(*dkimtest.Signer)) dkimtest.Signer { s := base; f(&s); return s }
	relaxed := with(func(s *dkimtest.Signer) { s.Header, s.Body = dkim.Relaxed, dkim.Relaxed })
	r2 := with(func(s *dkimtest.Signer) { s.Key, s.Selector = key2, "r2" })
	short := dkimtest.RSA("short", 512)
	for name, c := range map[string]struct {
		s      dkimtest.Signer
		change func(string) string
		zone   map[string]string
		want   string
	}{
		"simple":                  {base, nil, nil, "pass pass match match [] [] []"},
		"relaxed":                 {relaxed, nil, nil, "pass pass match match [] [] []"},
		"relaxed, refolded":       {relaxed, replace("Subject: Your order\r\n of today", "SUBJECT : Your   order of\r\n\ttoday  "), nil, "pass pass match match [] [] []"},
		"simple, refolded":        {base, replace("order\r\n of", "order of"), nil, "fail fail match mismatch [header-hash] [] []"},
		"relaxed, spaces in body": {relaxed, replace("thank you  for your order. \t\r\n", "thank you for\tyour order.\r\n"), nil, "pass pass match match [] [] []"},
		"simple, spaces in body":  {base, replace("order. \t\r\n", "order.\r\n"), nil, "fail fail mismatch match [body-hash] [] []"},
		"empty lines at the end":  {base, func(m string) string { return m + "\r\n\r\n\r\n" }, nil, "pass pass match match [] [] []"},
		"body and header changed": {base, func(m string) string { return strings.ReplaceAll(m, "order", "odrer") }, nil, "fail fail mismatch mismatch [body-hash header-hash] [] []"},
		"rsa 2048":                {r2, nil, nil, "pass pass match match [] [] []"},
		"rsa 1024":                {with(func(s *dkimtest.Signer) { s.Key, s.Selector = key1, "r1" }), nil, nil, "pass pass match match [] [] [weak-key]"},
		"rsa 512":                 {with(func(s *dkimtest.Signer) { s.Key, s.Selector = short, "s" }), nil, map[string]string{"s._domainkey.example.com": dkimtest.Record(short)}, "pass fail match match [] [short-key] [weak-key]"},
		"rsa 512, changed":        {with(func(s *dkimtest.Signer) { s.Key, s.Selector = short, "s" }), replace("Your", "My"), map[string]string{"s._domainkey.example.com": dkimtest.Record(short)}, "fail fail match mismatch [header-hash] [] [weak-key]"},
		"sha1":                    {with(func(s *dkimtest.Signer) { s.Key, s.Selector, s.SHA1 = key2, "r2", true }), nil, nil, "pass fail match match [] [sha1] []"},
		"sha1, key without it":    {with(func(s *dkimtest.Signer) { s.Key, s.Selector, s.SHA1 = key2, "r2", true }), nil, map[string]string{"r2._domainkey.example.com": dkimtest.Record(key2) + "; h=sha256"}, "permerror permerror match match [key-hash] [] []"},
		"key for sha1 only":       {r2, nil, map[string]string{"r2._domainkey.example.com": dkimtest.Record(key2) + "; h=sha1"}, "permerror permerror match match [key-hash] [] []"},
		"key not for mail":        {base, nil, map[string]string{"ed._domainkey.example.com": dkimtest.Record(ed) + "; s=tlsrpt"}, "permerror permerror match match [key-service] [] []"},
		"key of another type":     {base, nil, map[string]string{"ed._domainkey.example.com": dkimtest.Record(key2)}, "permerror permerror match unknown [key-type] [] []"},
		"another key":             {base, nil, map[string]string{"ed._domainkey.example.com": dkimtest.Record(dkimtest.Ed25519("other"))}, "fail fail match mismatch [header-hash] [] []"},
		"two keys":                {base, nil, map[string]string{"ed._domainkey.example.com": dkimtest.Record(dkimtest.Ed25519("other")) + "\n" + dkimtest.Record(ed)}, "pass pass match match [] [] [multiple-keys]"},
		"key and something else":  {base, nil, map[string]string{"ed._domainkey.example.com": "v=spf1 -all\n" + dkimtest.Record(ed)}, "pass pass match match [] [] [multiple-keys]"},
		"testing":                 {base, nil, map[string]string{"ed._domainkey.example.com": dkimtest.Record(ed) + "; t=y"}, "pass pass match match [] [] [testing]"},
		"revoked":                 {base, nil, map[string]string{"ed._domainkey.example.com": "v=DKIM1; p="}, "permerror permerror match unknown [key-revoked] [] []"},
		"no record":               {base, nil, map[string]string{"ed._domainkey.example.com": "!nxdomain"}, "permerror permerror match unknown [key-missing] [] []"},
		"no data":                 {base, nil, map[string]string{"ed._domainkey.example.com": ""}, "permerror permerror match unknown [key-missing] [] []"},
		"a wildcard's spf":        {base, nil, map[string]string{"ed._domainkey.example.com": "v=spf1 -all"}, "permerror permerror match unknown [key-missing] [] []"},
		"a broken record":         {base, nil, map[string]string{"ed._domainkey.example.com": "v=DKIM1; k=ed25519; p=###"}, "permerror permerror match unknown [key-syntax] [] []"},
		"timeout":                 {base, nil, map[string]string{"ed._domainkey.example.com": "!timeout"}, "temperror temperror match unknown [key-unavailable] [] []"},
		"servfail, body changed":  {base, replace("soon", "late"), map[string]string{"ed._domainkey.example.com": "!servfail"}, "temperror temperror mismatch unknown [key-unavailable body-hash] [] []"},
		"l= of all":               {with(func(s *dkimtest.Signer) { s.Length = dkimtest.Whole }), nil, nil, "pass pass match match [] [] [partial]"},
		"l=, appended":            {with(func(s *dkimtest.Signer) { s.Length = dkimtest.Whole }), func(m string) string { return m + "Buy now!\r\n" }, nil, "pass pass match match [] [] [partial]"},
		"l=0":                     {with(func(s *dkimtest.Signer) { s.Length = -1 }), nil, nil, "pass pass match match [] [] [partial]"},
		"l= too large":            {with(func(s *dkimtest.Signer) { s.Length = 5000 }), nil, nil, "permerror permerror mismatch match [length-too-large body-hash] [] [partial]"},
		"l=, signed part changed": {with(func(s *dkimtest.Signer) { s.Length = 10 }), replace("Dear", "Fear"), nil, "fail fail mismatch match [body-hash] [] [partial]"},
		"expired":                 {with(func(s *dkimtest.Signer) { s.Time, s.Expires = 1770000000, 1770339999 }), nil, nil, "fail fail match match [expired] [] []"},
		"expires now":             {with(func(s *dkimtest.Signer) { s.Expires = 1770340000 }), nil, nil, "pass pass match match [] [] []"},
		"of the future":           {with(func(s *dkimtest.Signer) { s.Time = 1770340001 }), nil, nil, "pass pass match match [] [] [future]"},
		"i= below d=":             {with(func(s *dkimtest.Signer) { s.Identity = "a@mail.Example.COM" }), nil, nil, "pass pass match match [] [] []"},
		"i= below d=, strict key": {with(func(s *dkimtest.Signer) { s.Identity = "a@mail.example.com" }), nil, map[string]string{"ed._domainkey.example.com": dkimtest.Record(ed) + "; t=s"}, "permerror permerror match match [identity-strict] [] []"},
		"i= at d=, strict key":    {with(func(s *dkimtest.Signer) { s.Identity = "a@EXAMPLE.com" }), nil, map[string]string{"ed._domainkey.example.com": dkimtest.Record(ed) + "; t=s"}, "pass pass match match [] [] []"},
		"i= outside":              {with(func(s *dkimtest.Signer) { s.Identity = "@notexample.com" }), nil, nil, "permerror permerror match match [syntax] [] []"},
		"i= with an encoded part": {with(func(s *dkimtest.Signer) { s.Identity = "a=40b=3B@example.com" }), nil, nil, "pass pass match match [] [] []"},
		"From not signed":         {with(func(s *dkimtest.Signer) { s.Names = []string{"To", "Subject"} }), nil, nil, "permerror permerror match match [syntax] [] []"},
		"oversigned":              {with(func(s *dkimtest.Signer) { s.Names = []string{"From", "From", "Subject", "Subject", "X"} }), nil, nil, "pass pass match match [] [] []"},
		"oversigned, added":       {with(func(s *dkimtest.Signer) { s.Names = []string{"From", "From"} }), func(m string) string { return "From: evil@example.org\r\n" + m }, nil, "fail fail match mismatch [header-hash] [] []"},
		"added on top":            {with(func(s *dkimtest.Signer) { s.Names = []string{"From"} }), func(m string) string { return "From: evil@example.org\r\n" + m }, nil, "pass pass match match [] [] []"},
		"added below":             {with(func(s *dkimtest.Signer) { s.Names = []string{"From"} }), replace("\r\n\r\n", "\r\nFrom: evil@example.org\r\n\r\n"), nil, "fail fail match mismatch [header-hash] [] []"},
		"h= names the signature":  {with(func(s *dkimtest.Signer) { s.Names = []string{"From", "DKIM-Signature"} }), nil, nil, "pass pass match match [] [] []"},
		"h= with an empty item":   {with(func(s *dkimtest.Signer) { s.Names = []string{"From", "", "To"} }), nil, nil, "pass pass match match [] [] []"},
		"h= folded in a name":     {with(func(s *dkimtest.Signer) { s.Names = []string{"From", "Sub\r\n\tject"} }), nil, nil, "fail fail match mismatch [header-hash] [] []"},
		"z= with b=":              {with(func(s *dkimtest.Signer) { s.Copy = true; s.Tags = []string{"b2=x", "x=1799999999"} }), nil, nil, "pass pass match match [] [] []"},
		"b= between spaces": {with(func(s *dkimtest.Signer) {
			s.Edit = func(t string) string {
				return strings.Replace(t, dkimtest.Here, "\r\n\t "+dkimtest.Here+" \r\n\t ; n=x", 1)
			}
		}), nil, nil, "pass pass match match [] [] []"},
		"b= between spaces, last": {with(func(s *dkimtest.Signer) {
			s.Edit = func(t string) string { return strings.Replace(t, dkimtest.Here, " "+dkimtest.Here+" \t", 1) }
		}), nil, nil, "pass pass match match [] [] []"},
		"b = with a space before": {with(func(s *dkimtest.Signer) {
			s.Edit = func(t string) string { return strings.Replace(t, "b="+dkimtest.Here, "b ="+dkimtest.Here, 1) }
		}), nil, nil, "pass pass match match [] [] []"},
		"q=dns/txt":       {with(func(s *dkimtest.Signer) { s.Query = "other : dns/txt" }), nil, nil, "pass pass match match [] [] []"},
		"q=other":         {with(func(s *dkimtest.Signer) { s.Query = "other" }), nil, nil, "permerror permerror match match [syntax] [] []"},
		"LF only":         {base, func(m string) string { return strings.ReplaceAll(m, "\r\n", "\n") }, nil, "pass pass match match [] [] []"},
		"x= not after t=": {with(func(s *dkimtest.Signer) { s.Time, s.Expires = 1770339999, 1770339999 }), nil, nil, "permerror permerror match match [syntax expired] [] []"},
		"U-label":         {with(func(s *dkimtest.Signer) { s.Domain, s.Identity = "例え.jp", "a@例え.jp" }), nil, map[string]string{"ed._domainkey.xn--r8jz45g.jp": dkimtest.Record(ed)}, "pass pass match match [] [] []"},
	} {
		msg := c.s.Sign(message())
		if c.change != nil {
			msg = c.change(msg)
		}
		z := zone()
		for k, r := range c.zone {
			z[k] = r
		}
		r := verify(t, z, msg)
		if len(r.Signatures) != 1 {
			t.Errorf("%s: %d signatures", name, len(r.Signatures))
			continue
		}
		v := r.Signatures[0]
		got := fmt.Sprintf("%s %s %s %s %s", v.Cryptographic, v.RFC8301, v.BodyMatch, v.HeaderMatch, reasons(v))
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s\n%v", name, got, c.want, v.Errors)
		}
		if r.Result() != v.Cryptographic || r.Result8301() != v.RFC8301 {
			t.Errorf("%s: the message is %s, %s", name, r.Result(), r.Result8301())
		}
		if (v.Key == nil) != (v.HeaderMatch == dkim.Unknown) {
			t.Errorf("%s: key %v, header %s", name, v.Key, v.HeaderMatch)
		}
		checkOpinion(t, name, z, msg, r)
	}
}

// checkOpinion: go-msgauth agrees, or its difference has a name.
func checkOpinion(t testing.TB, name string, z dkimtest.Zone, msg string, r *dkim.Report) []dkim.Weakness {
	t.Helper()
	o := dkim.SecondOpinion(context.Background(), &dkim.Verifier{Resolver: z}, strings.NewReader(msg))
	var out []dkim.Weakness
	for _, d := range r.Compare(o) {
		out = append(out, d.Why...)
		if len(d.Why) == 0 {
			detail := fmt.Sprint(o.Err)
			if d.Index >= 0 {
				detail = o.Verdicts[d.Index].Detail + "; ours: " + reasons(r.Signatures[d.Index])
			}
			t.Errorf("%s: signature %d: we say %s, go-msgauth %s (%s), and no known weakness explains it\n%q", name, d.Index, d.Ours, d.Theirs, detail, msg[:min(len(msg), 3000)])
		}
	}
	return out
}

func TestUnsigned(t *testing.T) {
	s := dkimtest.Signer{Key: ed, Domain: "example.com", Selector: "ed", Length: dkimtest.Whole, Body: dkim.Relaxed}
	msg := s.Sign(message())
	v := verify(t, zone(), msg).Signatures[0]
	if v.Unsigned != 0 || v.Appended != nil || v.BodySize != v.Length {
		t.Errorf("%d unsigned, %q, body of %d, l=%d", v.Unsigned, v.Appended, v.BodySize, v.Length)
	}
	v = verify(t, zone(), msg+"\r\nBuy  now!\r\n").Signatures[0]
	if v.Unsigned != 14 || string(v.Appended) != "\r\n\r\nBuy now!\r\n" {
		t.Errorf("%d unsigned: %q", v.Unsigned, v.Appended)
	}
	v = verify(t, zone(), msg+strings.Repeat("x", 10000)).Signatures[0]
	if len(v.Appended) != dkim.MaxAppended || v.Unsigned < 10000 {
		t.Errorf("%d unsigned, %d kept", v.Unsigned, len(v.Appended))
	}
}

// What the owner of an RSA key signed can be seen: it tells a changed header
// from another key.
func TestSigned(t *testing.T) {
	s := dkimtest.Signer{Key: key2, Domain: "example.com", Selector: "r2"}
	msg := s.Sign(message())
	whole := verify(t, zone(), msg).Signatures[0]
	changed := verify(t, zone(), strings.Replace(msg, "Your", "My", 1)).Signatures[0]
	if changed.HeaderMatch != dkim.Mismatches || !bytes.Equal(changed.Signed, whole.Signed) || len(whole.Signed) != 32 {
		t.Errorf("%s, %x, want %x", changed.HeaderMatch, changed.Signed, whole.Signed)
	}
	other := verify(t, dkimtest.Zone{"r2._domainkey.example.com": dkimtest.Record(dkimtest.RSA("other", 2048))}, msg).Signatures[0]
	if other.HeaderMatch != dkim.Mismatches || other.Signed != nil {
		t.Errorf("another key: %s, %x", other.HeaderMatch, other.Signed)
	}
}

// A signature whose padding is wrong in any octet is none, with keys that
// crypto/rsa takes and with those that it does not (RFC 8017 §8.2.2, step 4).
func TestPadding(t *testing.T) {
	for _, bits := range []int{512, 1024} {
		key := dkimtest.RSA("padding", bits)
		r := dkim.Lookup(t.Context(), dkimtest.Zone{"s._domainkey.example.com": dkimtest.Record(key)}, "s", "example.com")
		digest := crypto.SHA256.New().Sum(nil)
		good := dkimtest.Raw(key, crypto.SHA256, digest)
		if c, why := r.CheckSeal(dkim.RSASHA256, digest, good); c.Match != dkim.Matches || !bytes.Equal(c.Signed, digest) || why != "" {
			t.Fatalf("%d bits: %s, %s", bits, c.Match, why)
		}
		em := new(big.Int).Exp(new(big.Int).SetBytes(good), big.NewInt(65537), key.N).FillBytes(make([]byte, key.Size()))
		for i := range em {
			bad := slices.Clone(em)
			bad[i] ^= 1
			m := new(big.Int).SetBytes(bad)
			sig := m.Exp(m, key.D, key.N).FillBytes(make([]byte, key.Size()))
			c, _ := r.CheckSeal(dkim.RSASHA256, digest, sig)
			text := i >= len(em)-32
			if c.Match != dkim.Mismatches || (c.Signed != nil) != text {
				t.Errorf("%d bits, octet %d: %s, signed %x", bits, i, c.Match, c.Signed)
			}
		}
		for _, sig := range [][]byte{nil, good[1:], append([]byte{0}, good...), key.N.Bytes(), bytes.Repeat([]byte{0xff}, key.Size())} {
			if c, _ := r.CheckSeal(dkim.RSASHA256, digest, sig); c.Match != dkim.Mismatches || c.Signed != nil {
				t.Errorf("%d bits: %d octets: %s", bits, len(sig), c.Match)
			}
		}
	}
}

// Every code of a signature's errors, and its place.
func TestSignatureErrors(t *testing.T) {
	good := "DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=a; h=from; bh=AAAA; b=AAAA"
	swap := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	seen := map[string]bool{}
	for _, c := range []struct{ raw, want, at string }{
		{good, "", ""},
		{good + "; ", "", ""},
		{good + ";\r\n\t", "", ""},
		{swap("v=1; ", ""), "missing-tag", "v"},
		{swap("v=1", "v=1.0"), "bad-version", "v=1.0"},
		{swap("v=1", "v="), "empty-value", "v="},
		{swap("a=rsa-sha256; ", ""), "missing-tag", "a"},
		{swap("rsa-sha256", "rsa-sha512"), "unknown-algorithm", "rsa-sha512"},
		{swap("rsa-sha256", "RSA-sha256"), "(case)", "RSA-sha256"},
		{swap("; b=AAAA", ""), "missing-tag", "b"},
		{swap("; b=AAAA", "; b="), "empty-value", "b="},
		{swap("; b=AAAA", "; b=AA-AA"), "bad-base64", "-"},
		{swap("; b=AAAA", "; b=AAA"), "unpadded", ""},
		{swap("bh=AAAA; ", ""), "missing-tag", "bh"},
		{swap("d=example.com; ", ""), "missing-tag", "d"},
		{swap("d=example.com", "d=a..b"), "bad-domain", "a..b"},
		{swap("d=example.com", "d=a b"), "bad-domain", "a b"},
		{swap("d=example.com", "d=example.com."), "bad-domain", "example.com."},
		{swap("s=a", "s=a..b"), "bad-selector", "a..b"},
		{swap("s=a", "s="), "empty-value", "s="},
		{swap("h=from", "h=to"), "from-not-signed", "h=to"},
		{swap("h=from", "h="), "empty-value", "h="},
		{swap("h=from", "h=from : to::x"), "(bad-header-name)", ""},
		{swap("h=from", "h=from:t o"), "(bad-header-name)", "t o"},
		{good + "; c=relaxed", "", ""},
		{good + "; c=nowsp/simple", "unknown-canonical", "c=nowsp/simple"},
		{good + "; c=", "unknown-canonical", "c="},
		{good + "; c=simple/simple/simple", "unknown-canonical", ""},
		{good + "; l=x", "bad-length", "l=x"},
		{good + "; l=-1", "bad-length", "l=-1"},
		{good + "; l=99999999999999999999", "", ""},
		{good + "; t=1 2", "bad-time", "t=1 2"},
		{good + "; x=", "bad-time", "x="},
		{good + "; t=1234567890123", "bad-time", ""},
		{good + "; t=2; x=2", "expires-before-sign", "x=2"},
		{good + "; i=example.com", "bad-identity", "example.com"},
		{good + "; i=a@", "bad-identity", "a@"},
		{good + "; i=a=4@example.com", "bad-identity", ""},
		{good + "; i=a@example.org", "identity-outside", "a@example.org"},
		{good + "; i=a@badexample.com", "identity-outside", ""},
		{good + "; i=a@b.EXAMPLE.com", "", ""},
		{good + "; q=x", "unknown-query", "q=x"},
		{good + "; z=From:a|b", "(bad-copied-header)", ""},
		{good + "; z=From:a|To:=4", "(bad-copied-header)", ""},
		{good + "; b", "no-value", "b"},
		{good + ";; y=2", "empty-tag", ";;"},
		{good + "; 1=2", "bad-tag-name", "1"},
		{good + "; s=a", "duplicate-tag", "s=a"},
		{good + "; n=\xe9", "(non-ascii)", "\xe9"},
		{good + many(100), "too-many-tags", ""},
		{good + "; n=" + strings.Repeat("x", dkim.MaxSignature), "too-long", ""},
		{swap("h=from", "h=from"+strings.Repeat(":x", dkim.MaxNames)), "too-long", "x"},
		{"DKIM-Signature:", "missing-tag missing-tag missing-tag missing-tag missing-tag missing-tag missing-tag", "v"},
		{"DKIM-Signature", "no-value", "DKIM-Signature"},
		{"", "missing-tag missing-tag missing-tag missing-tag missing-tag missing-tag missing-tag", "v"},
	} {
		s := dkim.ParseSignature(dkim.Field{Raw: []byte(c.raw + "\r\n")})
		var got []string
		for _, e := range s.Errors {
			code := e.Code
			seen[code] = true
			if e.Tolerated {
				code = "(" + code + ")"
			}
			got = append(got, code)
			if e.Code != dkim.ErrMissingTag && s.Raw[e.Start:e.End] != e.Text {
				t.Errorf("%.100q: %v is not at its place", c.raw, &e)
			}
		}
		if c.raw == "DKIM-Signature" {
			got = got[:1]
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%.100q: %v, want %s", c.raw, got, c.want)
			continue
		}
		if c.at != "" && s.Errors[0].Text != c.at {
			t.Errorf("%.100q: at %q, want %q", c.raw, s.Errors[0].Text, c.at)
		}
	}
	for _, code := range []string{dkim.ErrInstance, dkim.ErrChain, dkim.ErrForbidden} {
		seen[code] = true // of ARC, whose suite has them
	}
	for _, code := range dkim.SignatureCodes {
		if !seen[code] {
			t.Errorf("no case for %s", code)
		}
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "; u%d=1", i)
	}
	return b.String()
}

// All signatures of a message are hashed in one pass, over pieces of any size.
func TestManySignatures(t *testing.T) {
	msg := message()
	for _, c := range []dkim.Canonicalization{dkim.Simple, dkim.Relaxed} {
		for _, h := range []dkim.Canonicalization{dkim.Simple, dkim.Relaxed} {
			for _, l := range []int{0, -1, 1, 13, dkimtest.Whole} {
				s := dkimtest.Signer{Key: ed, Domain: "example.com", Selector: "ed", Header: h, Body: c, Length: l}
				msg = s.SignField(message()) + msg
				s.Key, s.Selector, s.SHA1 = key1, "r1", true
				msg = s.SignField(message()) + msg
			}
		}
	}
	v := dkim.Verifier{Resolver: zone(), Max: 100}
	r, err := v.Verify(context.Background(), iotest.OneByteReader(strings.NewReader(msg)))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Signatures) != 40 {
		t.Fatalf("%d signatures", len(r.Signatures))
	}
	for i, s := range r.Signatures {
		if s.Cryptographic != dkim.Pass {
			t.Errorf("%d: %s %s", i, s.Cryptographic, reasons(s))
		}
	}
	r, _ = (&dkim.Verifier{Resolver: zone()}).Verify(context.Background(), strings.NewReader(msg))
	if len(r.Signatures) != dkim.DefaultMax || r.Skipped != 20 {
		t.Errorf("%d evaluated, %d skipped", len(r.Signatures), r.Skipped)
	}
}

// Keys are asked for at once, each once.
func TestKeysAtOnce(t *testing.T) {
	msg := message()
	for i := range 8 {
		s := dkimtest.Signer{Key: ed, Domain: "example.com", Selector: fmt.Sprint("s", i%4)}
		msg = s.SignField(message()) + msg
	}
	asked := make(chan string, 20)
	all := make(chan struct{})
	res := blocking{zone(), asked, all}
	go func() {
		for range 4 {
			<-asked
		}
		close(all) // only now is anything answered
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r, err := (&dkim.Verifier{Resolver: res}).Verify(ctx, strings.NewReader(msg))
	if err != nil || r.Result() != dkim.PermError || len(asked) != 0 {
		t.Errorf("%v, %s, %d more questions", err, r.Result(), len(asked))
	}
}

func TestReadHeader(t *testing.T) {
	for _, c := range []struct {
		in     string
		fields []string
		lf     int
		rest   string
	}{
		{"", nil, 0, ""},
		{"\r\nbody", nil, 0, "body"},
		{"\nbody", nil, 1, "body"},
		{"A: 1\r\n\tx\r\nB: 2\r\n\r\nbody", []string{"A: 1\r\n\tx\r\n", "B: 2\r\n"}, 0, "body"},
		{"A: 1\n x\nB: 2\n\nbody\n", []string{"A: 1\r\n x\r\n", "B: 2\r\n"}, 4, "body\n"},
		{"A: 1", []string{"A: 1\r\n"}, 0, ""},
		{"A: 1\r\n", []string{"A: 1\r\n"}, 0, ""},
		{"A: 1\r", []string{"A: 1\r\r\n"}, 0, ""},
		{" x\r\nA: 1\r\n\r\n", []string{" x\r\n", "A: 1\r\n"}, 0, ""},
		{"A: 1\r\n \r\nB: 2\r\n\r\nx", []string{"A: 1\r\n \r\n", "B: 2\r\n"}, 0, "x"},
		{"junk\r\n\r\n", []string{"junk\r\n"}, 0, ""},
	} {
		for _, size := range []int{16, 4096} {
			br := bufio.NewReaderSize(strings.NewReader(c.in), size)
			fs, lf, err := dkim.ReadHeader(br)
			rest, _ := io.ReadAll(br)
			var got []string
			for _, f := range fs {
				got = append(got, string(f.Raw))
			}
			if err != nil || !slices.Equal(got, c.fields) || lf != c.lf || string(rest) != c.rest {
				t.Errorf("%q: %q, %d bare LF, rest %q, %v", c.in, got, lf, rest, err)
			}
		}
	}
	_, _, err := dkim.ReadHeader(bufio.NewReader(strings.NewReader("A: " + strings.Repeat("x", dkim.MaxHeader))))
	if !errors.Is(err, dkim.ErrHeaderTooLarge) {
		t.Errorf("too large: %v", err)
	}
	_, _, err = dkim.ReadHeader(bufio.NewReader(iotest.ErrReader(io.ErrUnexpectedEOF)))
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a reader's error: %v", err)
	}
}

// The hash of a body in pieces is that of its canonical form, plainly made.
func FuzzBody(f *testing.F) {
	for _, s := range []string{"", "\r\n", "a", "a\r\n", "a \t\r\n\r\n \r\n", "\t\r\n  x  y\r\n", "a\rb\n\r\r\nc\n", "\r", "x\n\n\n", " \r"} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, body []byte, size uint8) {
		// The plain reading: bare LF to CRLF, then lines.
		text := strings.ReplaceAll(string(body), "\r\n", "\n")
		text = strings.ReplaceAll(text, "\n", "\r\n")
		for _, c := range []dkim.Canonicalization{dkim.Simple, dkim.Relaxed} {
			want := dkimtest.Canonical(text, c)
			for _, l := range []int64{-1, 0, int64(len(want) / 2), int64(len(want)), int64(len(want)) + 1} {
				var b dkim.Body
				sum := dkim.WantForTest(&b, c, crypto.SHA256, l)
				for p := body; len(p) > 0; {
					n := min(int(size)+1, len(p))
					b.Write(p[:n])
					p = p[n:]
				}
				b.Close()
				part := want
				if l >= 0 {
					part = want[:min(int(l), len(want))]
				}
				h := crypto.SHA256.New()
				h.Write([]byte(part))
				if l > int64(len(want)) {
					if sum() != nil {
						t.Fatalf("%q: a sum of more than there is", body)
					}
				} else if !bytes.Equal(sum(), h.Sum(nil)) {
					t.Fatalf("%q, %s, l=%d: not the hash of %q", body, c, l, part)
				}
				if b.Octets != int64(len(body)) || b.BareLF+b.BareCR != int64(bare(body)) {
					t.Fatalf("%q: %d octets, %d bare LF, %d bare CR", body, b.Octets, b.BareLF, b.BareCR)
				}
			}
		}
	})
}

func bare(b []byte) int {
	return bytes.Count(b, []byte("\n")) + bytes.Count(b, []byte("\r")) - 2*bytes.Count(b, []byte("\r\n"))
}

func FuzzSignature(f *testing.F) {
	f.Add([]byte("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=example.com; s=a; i=a@b.example.com; l=3; q=dns/txt; t=1; x=2; z=From:a=20b|To:c; h=from:to; bh=AAAA; b=AA\r\n\t AA ;\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, s := range []*dkim.Signature{dkim.ParseSignature(dkim.Field{Raw: raw}), dkim.ParseARCSignature(dkim.Field{Raw: raw}), dkim.ParseARCSeal(dkim.Field{Raw: raw})} {
			for _, e := range s.Errors {
				if e.Start < 0 || e.End < e.Start || e.End > len(s.Raw) || !slices.Contains(dkim.SignatureCodes, e.Code) {
					t.Fatalf("%q: %v from %d to %d", raw, &e, e.Start, e.End)
				}
			}
			if s.Fault() == nil && (s.Domain == "" || s.Selector == "" || s.Algorithm == "" || s.Signature == nil || s.BodyHash == nil && s.Chain == "") {
				t.Fatalf("%q: no error, but %+v", raw, s)
			}
			if s.Tag("b") != nil {
				dkim.AppendWithoutB(nil, s.Raw, s.Tag("b"), dkim.Relaxed)
			}
		}
	})
}

// Hostile messages end soon and in little memory.
func TestHostile(t *testing.T) {
	s := dkimtest.Signer{Key: ed, Domain: "example.com", Selector: "ed"}
	field := s.SignField(message())
	names := "DKIM-Signature: v=1; a=ed25519-sha256; d=example.com; s=ed; h=from" + strings.Repeat(":x", 2000) + "; bh=AAAA; b=AAAA\r\n"
	for name, msg := range map[string]string{
		"10,000 signatures":           strings.Repeat(field, 10000) + message(),
		"100,000 fields":              field + strings.Repeat("X: y\r\n", 100000) + message(),
		"100,000 fields, 2,000 names": strings.Repeat(names, 30) + strings.Repeat("X: y\r\n", 100000) + message(),
		"a field of 3 MiB":            field + "X: " + strings.Repeat("y", 3<<20) + "\r\n" + message(),
		"a signature of 3 MiB":        "DKIM-Signature: v=1; z=" + strings.Repeat("|", 3<<20) + "\r\n" + message(),
		"a fold of 3 MiB":             "DKIM-Signature: v=1;" + strings.Repeat("\r\n ", 1<<20) + "\r\n" + message(),
		"empty lines":                 s.Sign(message()) + strings.Repeat("\r\n", 4<<20),
		"spaces":                      s.Sign(message()) + strings.Repeat(" ", 8<<20),
	} {
		begin := time.Now()
		r := verify(t, zone(), msg)
		t.Logf("%s: %s %v, %d skipped, %v", name, r.Result(), len(r.Signatures), r.Skipped, time.Since(begin))
		if name == "10,000 signatures" && (r.Result() != dkim.Pass || r.Skipped != 10000-dkim.DefaultMax) {
			t.Errorf("%s: %s, %d skipped", name, r.Result(), r.Skipped)
		}
		if strings.HasPrefix(name, "a field") && r.Result() != dkim.Pass {
			t.Errorf("%s: %s", name, r.Result())
		}
	}
	whole := s.Sign(message())
	for i := range whole {
		if r := verify(t, zone(), whole[:i]); i < len(whole)-20 && r.Result() == dkim.Pass {
			t.Fatalf("cut at %d: pass", i)
		}
	}
}

// A body of 50 MB needs no memory of its size.
func TestMemory(t *testing.T) {
	s := dkimtest.Signer{Key: ed, Domain: "example.com", Selector: "ed"}
	head := s.SignField(message()) + strings.SplitAfter(message(), "\r\n\r\n")[0]
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := (&dkim.Verifier{Resolver: zone()}).Verify(context.Background(), io.MultiReader(strings.NewReader(head), io.LimitReader(lines{}, 50<<20)))
	runtime.ReadMemStats(&after)
	if err != nil || r.Signatures[0].BodyMatch != dkim.Mismatches || r.Signatures[0].HeaderMatch != dkim.Matches {
		t.Fatalf("%v, %v", err, r)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d octets allocated", used)
	}
}

// lines is an endless text.
type lines struct{}

func (lines) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "0123456789012345678901234567890123456789012345678901234567890 2345678901234\r\n"[i%77]
	}
	return len(p), nil
}

// The signatures and the ARC sets of a message are judged at the same time, over
// one header. A naive memo of the canonical fields is a data race.
func TestOneHeaderManySessions(t *testing.T) {
	msg := dkimtest.Signer{Key: dkimtest.Ed25519("k"), Domain: "a.example", Selector: "s", Header: dkim.Relaxed, Body: dkim.Relaxed}.
		Sign(dkimtest.Message("From: x@a.example\nSubject: y\nDate: z\n", "hello\n"))
	fields, body := dkimtest.Fields(msg)
	h := dkim.NewHeader(fields)
	zone := dkimtest.Zone{"s._domainkey.a.example": dkimtest.Record(dkimtest.Ed25519("k"))}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			b := new(dkim.Body)
			s := (&dkim.Verifier{Resolver: zone}).Start(h, b)
			_, _ = b.Write(body)
			_ = b.Close()
			if got := s.Finish(t.Context()).Result(); got != dkim.Pass {
				t.Errorf("%s, want pass", got)
			}
		})
	}
	wg.Wait()
}
