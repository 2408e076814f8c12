package dkim_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dkim/dkimtest"
)

// Each known weakness of go-msgauth is real: a message for which its verdict
// differs from ours, and from what RFC 6376 or 8301 says, by that name.
func TestWeaknesses(t *testing.T) {
	base := dkimtest.Signer{Key: ed, Domain: "example.com", Selector: "ed"}
	with := func(f func(*dkimtest.Signer)) dkimtest.Signer { s := base; f(&s); return s }
	tab := func(r string) string {
		return strings.Replace(r, "p=", "p=\t", 1)[:60] + "\t" + strings.Replace(r, "p=", "p=\t", 1)[60:]
	}
	many := make([]string, 70)
	for i := range many {
		many[i] = fmt.Sprint("u", i, "=1")
	}
	tested := map[dkim.Weakness]bool{dkim.WeakAllSkipped: true} // it takes a maximum, which we give it
	for _, c := range []struct {
		w    dkim.Weakness
		s    dkimtest.Signer
		key  string
		ours dkim.Verdict
		edit func(string) string
	}{
		{dkim.WeakEmptiesB, with(func(s *dkimtest.Signer) { s.Copy = true }), "", dkim.Pass, nil}, // Date: … Feb 2026
		{dkim.WeakLength, with(func(s *dkimtest.Signer) { s.Length = dkimtest.Whole }), "", dkim.Pass, nil},
		{dkim.WeakStrict, with(func(s *dkimtest.Signer) { s.Identity = "@a.example.com" }), dkimtest.Record(ed) + "; t=s", dkim.PermError, nil},
		{dkim.WeakKeyRecord, base, tab(dkimtest.Record(ed)), dkim.Pass, nil},
		{dkim.WeakKeyRecord, base, strings.Replace(dkimtest.Record(ed), "k=ed", "k=Ed", 1), dkim.Pass, nil},
		{dkim.WeakKeyRecord, base, dkimtest.Record(ed) + "; 1=2", dkim.PermError, nil},
		{dkim.WeakKeyRecord, base, dkimtest.Record(ed) + "; h=", dkim.Pass, nil},
		{dkim.WeakMultiple, base, dkimtest.Record(ed) + "\nv=spf1 -all", dkim.Pass, nil},
		{dkim.WeakIdentity, with(func(s *dkimtest.Signer) { s.Identity = "a@EXAMPLE.com" }), "", dkim.Pass, nil},
		{dkim.WeakIdentity, with(func(s *dkimtest.Signer) { s.Identity = "a.example.com" }), "", dkim.PermError, nil},
		{dkim.WeakDomain, with(func(s *dkimtest.Signer) { s.Domain = "例え.jp" }), "", dkim.Pass, nil},
		{dkim.WeakSyntax, with(func(s *dkimtest.Signer) { s.Tags = []string{"", "n=1"} }), "", dkim.PermError, nil},
		{dkim.WeakSyntax, with(func(s *dkimtest.Signer) { s.Tags = []string{"t=+5"} }), "", dkim.PermError, nil},
		{dkim.WeakSyntax, with(func(s *dkimtest.Signer) { s.Tags = many }), "", dkim.PermError, nil},
		{dkim.WeakCase, with(func(s *dkimtest.Signer) { s.Header = "Relaxed"; s.Edit = nil }), "", dkim.Pass, nil},
		{dkim.WeakClock, with(func(s *dkimtest.Signer) { s.Expires = 1770350000 }), "", dkim.Pass, nil},
		{dkim.WeakFuture, with(func(s *dkimtest.Signer) { s.Time, s.Expires = 9000000001, 9000000000 }), "", dkim.PermError, nil},
		{dkim.WeakOwnField, with(func(s *dkimtest.Signer) { s.Names = []string{"From", "DKIM-Signature"} }), "", dkim.Pass, nil},
		{dkim.WeakHeader, base, "", dkim.Pass, func(m string) string {
			// A message that ends in its header.
			m, _, _ = strings.Cut(m, "\r\n\r\n")
			return base.SignField(m+"\r\n\r\n") + m + "\r\n"
		}},
		{dkim.WeakBareCR, with(func(s *dkimtest.Signer) { s.Body = dkim.Relaxed }), "", dkim.Pass, func(m string) string {
			return with(func(s *dkimtest.Signer) { s.Body = dkim.Relaxed }).Sign(m + "a \r b\r\n")
		}},
		{dkim.WeakPermanent, with(func(s *dkimtest.Signer) { s.Expires = 5 }), "!timeout", dkim.TempError, nil},
		{dkim.WeakShortHeader, with(func(s *dkimtest.Signer) { s.Tags = []string{"n=" + strings.Repeat("x", dkim.MaxSignature)} }), "", dkim.PermError, nil},
	} {
		z := zone()
		z["ed._domainkey.xn--r8jz45g.jp"] = dkimtest.Record(ed)
		if c.key != "" {
			z["ed._domainkey.example.com"] = c.key
		}
		msg := c.s.Sign(message())
		if c.w == dkim.WeakCase {
			// Its own canonicalization knows only lower case: sign as such, then
			// say it in capitals, which relaxed does not forgive. So it is signed so.
			c.s.Header = dkim.Relaxed
			c.s.Edit = func(s string) string { return strings.Replace(s, "c=relaxed", "c=Relaxed", 1) }
			msg = c.s.Sign(message())
		}
		if c.edit != nil {
			msg = c.edit(message())
		}
		r := verify(t, z, msg)
		if r.Result8301() != c.ours {
			t.Errorf("%s: we say %s, want %s: %v", c.w, r.Result8301(), c.ours, r.Signatures[0].Errors)
		}
		why := checkOpinion(t, string(c.w), z, msg, r)
		if !slices.Contains(why, c.w) {
			t.Errorf("%s: the difference is explained by %v", c.w, why)
		}
		tested[c.w] = true
	}
	for _, w := range dkim.Weaknesses {
		if !tested[w] {
			t.Errorf("%s is not shown", w)
		}
	}
}

// A reader that fails leaves nothing behind and is no verdict.
func TestOpinionErrors(t *testing.T) {
	s := dkimtest.Signer{Key: ed, Domain: "example.com", Selector: "ed"}
	msg := s.SignField(message()) + s.Sign(message())
	before := runtime.NumGoroutine()
	for i := range 200 {
		r := io.MultiReader(strings.NewReader(msg[:len(msg)*i/200]), iotest.ErrReader(io.ErrUnexpectedEOF))
		o := dkim.SecondOpinion(context.Background(), &dkim.Verifier{Resolver: zone()}, r)
		if o.Err == nil || len(o.Verdicts) != 0 {
			t.Fatalf("cut at %d: %v, %v", i, o.Err, o.Verdicts)
		}
	}
	o := dkim.SecondOpinion(context.Background(), &dkim.Verifier{Resolver: zone()}, io.MultiReader(strings.NewReader("X: "), io.LimitReader(lines{}, 20<<20)))
	if o.Err == nil {
		t.Error("a header of 20 MB is read")
	}
	for range 100 {
		if runtime.NumGoroutine() <= before+2 {
			return
		}
		runtime.Gosched()
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

// The suite: no difference without a name, and exactly these.
func TestOpinionOfSuite(t *testing.T) {
	want := map[string][]dkim.Weakness{
		"chasquid/09-limited_body":             {dkim.WeakLength},
		"chasquid/11-strict_domain_check_fail": {dkim.WeakStrict},
	}
	for _, c := range suite(t) {
		msg := string(c.message(t))
		r := verify(t, c.DNS, msg)
		why := checkOpinion(t, c.ID, c.DNS, msg, r)
		if !slices.Equal(why, want[c.ID]) {
			t.Errorf("%s: %v, want %v", c.ID, why, want[c.ID])
		}
	}
}

// Messages signed by go-msgauth's own signer, whose fields look otherwise than
// those of our tests, and messages changed at random: both engines agree, or
// the difference has a name.
func TestOpinionAtRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	seen := map[dkim.Weakness]int{}
	passed, failed := 0, 0
	for i := range 1200 {
		msg := randomSigned(rnd)
		if rnd.IntN(2) == 0 {
			msg = mutate(rnd, msg)
		}
		z := zone()
		r := verify(t, z, msg)
		if r.Result() == dkim.Pass {
			passed++
		} else {
			failed++
		}
		for _, w := range checkOpinion(t, fmt.Sprint("message ", i), z, msg, r) {
			seen[w]++
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d pass, %d do not; differences: %v", passed, failed, seen)
	if passed < 300 || failed < 300 {
		t.Errorf("%d pass, %d do not: nothing is compared", passed, failed)
	}
}

func randomSigned(rnd *rand.Rand) string {
	pick := func(of ...string) string { return of[rnd.IntN(len(of))] }
	body := ""
	for range rnd.IntN(8) {
		body += pick("", "text", "a  b", "x \t", "\t", ".", "--", "日本語", strings.Repeat("long ", 300)) + pick("\r\n", "\r\n", "\r\n", "\n")
	}
	msg := "From: " + pick("a@example.com", "\"A, B\"\r\n\t<a@example.com>") + "\r\nSubject: " + pick("x", " two  spaces ", "a\r\n b", "") +
		"\r\n" + pick("", "To : x@example.net\r\n", "X-Y:\r\n z\r\n", "Date: Mon, 2 Feb 2026 00:00:00 +0000\r\n") + "\r\n" + body
	s := dkimtest.Signer{Domain: "example.com"}
	switch rnd.IntN(3) {
	case 0:
		s.Key, s.Selector = ed, "ed"
	case 1:
		s.Key, s.Selector = key1, "r1"
	default:
		s.Key, s.Selector = key2, "r2"
		s.SHA1 = rnd.IntN(4) == 0
	}
	form := []dkim.Canonicalization{dkim.Simple, dkim.Relaxed}
	s.Header, s.Body = form[rnd.IntN(2)], form[rnd.IntN(2)]
	s.Copy = rnd.IntN(4) == 0
	if rnd.IntN(4) == 0 {
		s.Names = []string{"from", "to", "subject", "subject", "x-y", "list-id"}
	}
	if rnd.IntN(8) == 0 {
		s.Length = rnd.IntN(40)
	}
	if rnd.IntN(4) == 0 {
		s.Identity = pick("@example.com", "x@a.example.com", "x@Example.com")
	}
	if rnd.IntN(8) == 0 {
		s.Time = 1770000000
		s.Expires = time.Now().Unix() + 1000000
	}
	return s.Sign(dkimtest.Lines(msg))
}

// mutate changes, deletes, doubles or adds some octets.
func mutate(rnd *rand.Rand, msg string) string {
	b := []byte(msg)
	for range 1 + rnd.IntN(3) {
		i := rnd.IntN(len(b))
		alphabet := " \t\r\n;:=abB19/+.\x00\xe3"
		c := alphabet[rnd.IntN(len(alphabet))]
		switch rnd.IntN(4) {
		case 0:
			b[i] = c
		case 1:
			b = slices.Delete(b, i, i+1)
		case 2:
			b = slices.Insert(b, i, c)
		default:
			j := min(i+rnd.IntN(80), len(b))
			b = slices.Insert(b, i, b[i:j]...)
		}
	}
	return string(b)
}

// FuzzVerify: any message, any key record; go-msgauth agrees or the difference
// has a name.
func FuzzVerify(f *testing.F) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 30 {
		f.Add([]byte(randomSigned(rnd)), dkimtest.Record(ed), dkimtest.Record(key1))
	}
	f.Fuzz(func(t *testing.T, msg []byte, r1, r2 string) {
		z := zone()
		z["ed._domainkey.example.com"] = strings.ReplaceAll(r1, "\n", " ")
		z["r1._domainkey.example.com"] = strings.ReplaceAll(r2, "\n", " ")
		for _, n := range []string{"ed", "r1"} {
			if strings.HasPrefix(z[n+"._domainkey.example.com"], "!") {
				delete(z, n+"._domainkey.example.com")
			}
		}
		v := dkim.Verifier{Resolver: z, Now: time.Now()}
		r, err := v.Verify(context.Background(), bytes.NewReader(msg))
		if err != nil {
			return
		}
		for _, s := range r.Signatures {
			if (s.Cryptographic == dkim.Pass) != (len(s.Reasons) == 0) || s.Cryptographic == dkim.Pass && (s.BodyMatch != dkim.Matches || s.HeaderMatch != dkim.Matches) {
				t.Fatalf("%s %s: %s, body %s, header %s", s.Cryptographic, s.RFC8301, reasons(s), s.BodyMatch, s.HeaderMatch)
			}
			if s.RFC8301 == dkim.Pass && s.Cryptographic != dkim.Pass {
				t.Fatalf("acceptable, but not valid: %s", reasons(s))
			}
		}
		checkOpinion(t, "fuzz", z, string(msg), r)
	})
}
