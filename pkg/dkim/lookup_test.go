package dkim

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// world answers from a map: TXT texts, "" for no data, and "!reason".
func world(m map[string][]string) dnsq.Resolver {
	return dnsq.ResolverFunc(func(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
		texts, ok := m[q.Name]
		a := &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain, Source: dnsq.SourceZone}
		if !ok {
			return a, nil
		}
		for len(texts) == 1 && strings.HasPrefix(texts[0], "->") {
			to := texts[0][2:]
			a.Chain = append(a.Chain, to)
			if texts, ok = m[to]; !ok {
				return a, nil
			}
		}
		a.Outcome = dnsq.NoData
		for _, s := range texts {
			if r, ok := strings.CutPrefix(s, "!"); ok {
				return nil, &dnsq.Error{Question: q, Reason: dnsq.Reason(r)}
			}
			a.Outcome = dnsq.Found
			a.RRs = append(a.RRs, dnsq.RR{Name: a.Owner(), Type: q.Type, Strings: []string{s}})
		}
		return a, nil
	})
}

func TestLookup(t *testing.T) {
	good := "v=DKIM1; p=" + spki(t, rsaKey(2048))
	w := world(map[string][]string{
		"ok._domainkey.example.com":       {good},
		"revoked._domainkey.example.com":  {"v=DKIM1; p="},
		"syntax._domainkey.example.com":   {"v=DKIM1; k=rsa"},
		"two._domainkey.example.com":      {good, "v=spf1 -all"},
		"spf._domainkey.example.com":      {"v=spf1 -all"},
		"spfs._domainkey.example.com":     {"v=spf1 -all", "token"},
		"empty._domainkey.example.com":    {""},
		"none._domainkey.example.com":     nil,
		"slow._domainkey.example.com":     {"!timeout"},
		"c._domainkey.example.com":        {"->c.provider.example"},
		"c.provider.example":              {good},
		"dangling._domainkey.example.com": {"->gone.provider.example"},
		"a.b._domainkey.example.com":      {good},
		`a\ b._domainkey.example.com`:     {good},
	})
	for sel, want := range map[string]Status{
		"ok": OK, "OK": OK, "revoked": Revoked, "syntax": Syntax, "two": Multiple, "spf": NotKey, "spfs": NotKey, "empty": NotKey,
		"none": Missing, "nx": Missing, "slow": Undetermined, "c": OK, "dangling": Missing, "a.b": OK,
		"": Invalid, ".": Invalid, "a..b": Invalid, "a.": Invalid, strings.Repeat("x", 64): Invalid, strings.Repeat("x.", 150) + "x": Invalid,
		strings.Repeat("x.", 115) + "x": Invalid, // 231 characters and the rest: over 253
		"a b":                           OK, "名": Missing, "a\x00b": Missing, `a\b`: Missing,
	} {
		r := Lookup(t.Context(), w, sel, "example.com")
		if r.Status != want {
			t.Errorf("%q: %s, want %s", sel, r, want)
		}
		if (r.Err != nil) != (r.Status == Undetermined) || (r.Answer == nil) != (r.Status == Undetermined || r.Status == Invalid) {
			t.Errorf("%q: %s with answer %v, error %v", sel, r, r.Answer, r.Err)
		}
		if r.Usable() != (want == OK) {
			t.Errorf("%q: usable is %v", sel, r.Usable())
		}
	}
	if r := Lookup(t.Context(), w, "c", "Example.COM."); r.Target() != "c.provider.example" || r.RR().Name != "c.provider.example" {
		t.Errorf("CNAME: %s to %q", r, r.Target())
	}
	if r := LookupName(t.Context(), w, "c.provider.example"); r.Status != OK {
		t.Errorf("by name: %s", r)
	}
	many := make([]string, 3000)
	for i := range many {
		many[i] = good
	}
	if r := Lookup(t.Context(), world(map[string][]string{"m._domainkey.x.com": many}), "m", "x.com"); r.Status != Multiple || len(r.Keys) > maxRecords {
		t.Errorf("%s with %d keys", r, len(r.Keys))
	}
}

func TestCheckPrivateKey(t *testing.T) {
	rsaPriv, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	edPub, edPriv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	pkcs8 := func(k any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	pkix, err := x509.MarshalPKIXPublicKey(&rsaPriv.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	rsaPEM := block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaPriv))
	rsaRec := "v=DKIM1; h=sha256; p=" + b64(pkix)[:50] + " \t\r\n " + b64(pkix)[50:]
	edRec := "k=ed25519; p=" + b64(edPub)
	other := "v=DKIM1; p=" + spki(t, rsaKey(1024))
	for name, c := range map[string]struct {
		key  []byte
		rec  string
		want error
	}{
		"rsa":                  {rsaPEM, rsaRec, nil},
		"rsa, PKCS #8":         {block("PRIVATE KEY", pkcs8(rsaPriv)), rsaRec, nil},
		"rsa, DER":             {x509.MarshalPKCS1PrivateKey(rsaPriv), rsaRec, nil},
		"rsa, bare PKCS #1":    {rsaPEM, "p=" + b64(x509.MarshalPKCS1PublicKey(&rsaPriv.PublicKey)), nil},
		"rsa, v not first":     {rsaPEM, "k=RSA; v=DKIM1; p=" + b64(pkix), nil},
		"public half first":    {append(block("PUBLIC KEY", pkix), rsaPEM...), rsaRec, nil},
		"ed25519":              {block("PRIVATE KEY", pkcs8(edPriv)), edRec, nil},
		"another key":          {rsaPEM, other, ErrWrongKey},
		"another type":         {rsaPEM, edRec, ErrWrongKey},
		"another type back":    {block("PRIVATE KEY", pkcs8(edPriv)), rsaRec, ErrWrongKey},
		"revoked":              {rsaPEM, "v=DKIM1; p=", ErrNotUsable},
		"no record":            {rsaPEM, "", ErrNotUsable},
		"public":               {block("PUBLIC KEY", pkix), rsaRec, ErrPublicKey},
		"public DER":           {pkix, rsaRec, ErrPublicKey},
		"empty":                {nil, rsaRec, ErrNotPrivateKey},
		"text":                 {[]byte("hello"), rsaRec, ErrNotPrivateKey},
		"too large":            {bytes.Repeat([]byte("x"), maxPrivate+1), rsaRec, ErrNotPrivateKey},
		"encrypted":            {block("ENCRYPTED PRIVATE KEY", []byte("xx")), rsaRec, ErrEncrypted},
		"encrypted, old style": {pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: []byte("xx")}), rsaRec, ErrEncrypted},
		"broken PEM":           {block("RSA PRIVATE KEY", []byte("xx")), rsaRec, ErrNotPrivateKey},
	} {
		err := CheckPrivateKey(c.key, c.rec)
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err != nil && len(c.key) > 20 {
			line := strings.Split(string(c.key), "\n")[0]
			if len(line) > 20 && strings.Contains(err.Error(), line) {
				t.Errorf("%s: the error holds a line of the key", name)
			}
		}
	}
}

func FuzzParsePrivate(f *testing.F) {
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte{0x30, 0x82, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parsePrivate(b); (s == nil) == (err == nil) {
			t.Fatalf("%q: %v, %v", b, s, err)
		}
	})
}
