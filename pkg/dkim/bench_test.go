package dkim_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dkim/dkimtest"
)

// A load is a signed message and what must be done to verify it in any case.
type load struct {
	name string
	msg  []byte
	zone dkimtest.Zone
	// floor hashes the octets of header and body once and verifies one signature.
	floor func()
}

func loads() []load {
	var out []load
	for _, size := range []int{2 << 10, 50 << 10, 5 << 20} {
		for _, form := range []dkim.Canonicalization{dkim.Simple, dkim.Relaxed} {
			for _, alg := range []string{"rsa", "ed25519"} {
				body := strings.Repeat("The quick brown fox jumps over the lazy dog, and over the moon.\r\n", size/66)
				if size > 1<<20 { // an attachment: lines without spaces
					body = strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", size/78)
				}
				s := dkimtest.Signer{Key: key2, Domain: "example.com", Selector: "r2", Header: dkim.Relaxed, Body: form}
				if alg == "ed25519" {
					s.Key, s.Selector = ed, "ed"
				}
				msg := []byte(s.Sign(strings.SplitAfter(message(), "\r\n\r\n")[0] + body))
				head := bytes.Index(msg, []byte("\r\n\r\n"))
				digest := sha256.Sum256(msg[:head])
				sig := dkimtest.Raw(s.Key, crypto.SHA256, digest[:])
				pub := s.Key.Public()
				out = append(out, load{fmt.Sprintf("%dk/%s/%s", size>>10, form, alg), msg, zone(), func() {
					sha256.Sum256(msg[head:])
					d := sha256.Sum256(msg[:head])
					var ok bool
					switch k := pub.(type) {
					case *rsa.PublicKey:
						ok = rsa.VerifyPKCS1v15(k, crypto.SHA256, d[:], sig) == nil
					case ed25519.PublicKey:
						ok = ed25519.Verify(k, d[:], sig)
					}
					if !ok {
						panic("the floor does not verify")
					}
				}})
			}
		}
	}
	return out
}

// BenchmarkVerify gives messages a second, and two ratios: to the bare cost of
// hashing and verifying (aim: at least 0.5), and to go-msgauth on the same
// message (aim: at least 1).
func BenchmarkVerify(b *testing.B) {
	for _, l := range loads() {
		b.Run(l.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(l.msg)))
			v := dkim.Verifier{Resolver: l.zone}
			ctx := context.Background()
			var ours, floor, theirs time.Duration
			for b.Loop() {
				begin := time.Now()
				r, err := v.Verify(ctx, bytes.NewReader(l.msg))
				if err != nil || r.Result() != dkim.Pass {
					b.Fatal(err, r)
				}
				ours += time.Since(begin)
				b.StopTimer()
				begin = time.Now()
				l.floor()
				floor += time.Since(begin)
				begin = time.Now()
				vs, err := msgauth.VerifyWithOptions(bytes.NewReader(l.msg), &msgauth.VerifyOptions{LookupTXT: func(n string) ([]string, error) { return []string{l.zone[n]}, nil }})
				if err != nil || vs[0].Err != nil {
					b.Fatal(err, vs)
				}
				theirs += time.Since(begin)
				b.StartTimer()
			}
			b.ReportMetric(float64(b.N)/ours.Seconds(), "msg/s")
			b.ReportMetric(floor.Seconds()/ours.Seconds(), "of-floor")
			b.ReportMetric(theirs.Seconds()/ours.Seconds(), "of-msgauth")
		})
	}
}

// BenchmarkDiagnose: a change that is found at once, one that takes a search, and
// one that cannot be found; ms is the time for one message of 20 kB.
func BenchmarkDiagnose(b *testing.B) {
	body := strings.Repeat("The quick brown fox jumps over the lazy dog, and over the moon.\r\n", 310)
	msg := strings.SplitAfter(message(), "\r\n\r\n")[0] + body
	for name, change := range map[string]func(string) string{
		"footer": func(m string) string { return m + "____\r\nlist\r\n" },
		"line": func(m string) string {
			return strings.Replace(m, "\r\n\r\nThe quick", "\r\n\r\nThe quick\r\nscanned\r\nThe quick", 1)
		},
		"subject": func(m string) string { return strings.Replace(m, "Subject:", "Subject: [x]", 1) },
		"unknown": func(m string) string { return strings.Replace(m, "lazy", "busy", 1) },
	} {
		b.Run(name, func(b *testing.B) {
			s := dkimtest.Signer{Key: key2, Domain: "example.com", Selector: "r2", Header: dkim.Relaxed, Body: dkim.Relaxed}
			changed := s.SignField(msg) + change(msg)
			for b.Loop() {
				diagnose(b, zone(), changed)
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms")
		})
	}
}
