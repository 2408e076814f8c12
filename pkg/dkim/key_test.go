package dkim

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// rsaKey is a public key of exactly that many bits. Nobody can sign with it:
// reading a record does not ask whether the modulus has factors.
func rsaKey(bits int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	n.Add(n, big.NewInt(0x12345))
	return &rsa.PublicKey{N: n, E: 65537}
}

func spki(t testing.TB, pub any) string {
	t.Helper()
	b, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return b64(b)
}

func codes(es []KeyError) string {
	var out []string
	for _, e := range es {
		c := e.Code
		if e.Tolerated {
			c = "(" + c + ")"
		}
		out = append(out, c)
	}
	return strings.Join(out, " ")
}

func TestParseKey(t *testing.T) {
	k2048 := spki(t, rsaKey(2048))
	k1024 := spki(t, rsaKey(1024))
	bare := b64(x509.MarshalPKCS1PublicKey(rsaKey(2048)))
	edPub, edPriv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed := b64(edPub)
	edSPKI := spki(t, edPub)
	priv, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(edPriv)
	if err != nil {
		t.Fatal(err)
	}
	even := rsaKey(2048)
	even.N.Add(even.N, big.NewInt(1))
	type want struct {
		errs, warns string
		usable      bool
		bits        int
	}
	for name, c := range map[string]struct {
		text string
		want
	}{
		"plain":                   {"v=DKIM1; k=rsa; p=" + k2048, want{"", "", true, 2048}},
		"p alone":                 {"p=" + k1024, want{"", "", true, 1024}},
		"no spaces":               {"v=DKIM1;k=rsa;p=" + k1024 + ";", want{"", "", true, 1024}},
		"trailing spaces":         {"v=DKIM1; p=" + k1024 + " ; ", want{"", "", true, 1024}},
		"bare PKCS #1":            {"v=DKIM1; p=" + bare, want{"", "", true, 2048}},
		"folded key":              {"v=DKIM1;\tp=" + k2048[:64] + "\r\n\t " + k2048[64:], want{"", "", true, 2048}},
		"spaces round =":          {" v = DKIM1 ; k\t= rsa ; p = " + k2048, want{"", "", true, 2048}},
		"1023 bits":               {"p=" + spki(t, rsaKey(1023)), want{"", "", false, 1023}},
		"512 bits":                {"p=" + spki(t, rsaKey(512)), want{"", "", false, 512}},
		"8192 bits":               {"p=" + spki(t, rsaKey(8192)), want{"", "", true, 8192}},
		"20000 bits":              {"p=" + spki(t, rsaKey(20000)), want{"bad-key", "", false, 0}},
		"even modulus":            {"p=" + spki(t, even), want{"bad-key", "", false, 0}},
		"exponent 3":              {"p=" + spki(t, &rsa.PublicKey{N: rsaKey(1024).N, E: 3}), want{"", "small-exponent", true, 1024}},
		"exponent 1":              {"p=" + spki(t, &rsa.PublicKey{N: rsaKey(1024).N, E: 1}), want{"bad-key", "", false, 0}},
		"ed25519":                 {"v=DKIM1; k=ed25519; p=" + ed, want{"", "", true, 256}},
		"ed25519 with ASN.1":      {"v=DKIM1; k=ed25519; p=" + edSPKI, want{"spki-ed25519", "", false, 0}},
		"ed25519 called rsa":      {"v=DKIM1; k=rsa; p=" + ed, want{"key-mismatch", "", false, 0}},
		"ed25519 SPKI called rsa": {"v=DKIM1; p=" + edSPKI, want{"key-mismatch", "", false, 0}},
		"rsa called ed25519":      {"v=DKIM1; k=ed25519; p=" + k1024, want{"key-mismatch", "", false, 0}},
		"revoked":                 {"v=DKIM1; p=", want{"", "", false, 0}},
		"revoked with spaces":     {"v=DKIM1; k=rsa; p= \t; n=gone", want{"", "", false, 0}},
		"no p":                    {"v=DKIM1; k=rsa", want{"missing-p", "", false, 0}},
		"P is not p":              {"v=DKIM1; P=" + k1024, want{"missing-p", "unknown-tag", false, 0}},
		"v not first":             {"k=rsa; v=DKIM1; p=" + k1024, want{"(v-not-first)", "", true, 1024}},
		"v lower case":            {"v=dkim1; p=" + k1024, want{"bad-version", "", false, 1024}},
		"v=DKIM2":                 {"v=DKIM2; p=" + k1024, want{"bad-version", "", false, 1024}},
		"v=DKIM1.0":               {"v=DKIM1.0; p=" + k1024, want{"bad-version", "", false, 1024}},
		"v with quotes":           {`"v=DKIM1; p=` + k1024 + `"`, want{"bad-tag-name bad-base64", "", false, 0}},
		"escaped semicolons":      {`v=DKIM1\; k=rsa\; p=` + k1024, want{"bad-version bad-key-type", "", false, 0}},
		"no semicolon":            {"v=DKIM1 k=rsa p=" + k1024, want{"bad-version missing-p", "", false, 0}},
		"k in capitals":           {"v=DKIM1; k=RSA; p=" + k1024, want{"(case)", "", true, 1024}},
		"k=dsa":                   {"v=DKIM1; k=dsa; p=" + k1024, want{"bad-key-type", "", false, 0}},
		"h=sha256":                {"h=sha256; p=" + k1024, want{"", "", true, 1024}},
		"h=sha1":                  {"h=sha1; p=" + k1024, want{"", "", false, 1024}},
		"h both":                  {"h= sha1 : sha256; p=" + k1024, want{"", "", true, 1024}},
		"h=rsa-sha256":            {"h=rsa-sha256; p=" + k1024, want{"", "unknown-hash", false, 1024}},
		"h=SHA256":                {"h=SHA256; p=" + k1024, want{"(case)", "", true, 1024}},
		"h= empty":                {"h=; p=" + k1024, want{"", "", true, 1024}},
		"h of colons":             {"h=::; p=" + k1024, want{"", "", false, 1024}},
		"s=*":                     {"s=*; p=" + k1024, want{"", "", true, 1024}},
		"s=email":                 {"s=email; p=" + k1024, want{"", "", true, 1024}},
		"s=tlsrpt":                {"s=tlsrpt; p=" + k1024, want{"", "", false, 1024}},
		"s=tlsrpt:email":          {"s=tlsrpt:email; p=" + k1024, want{"", "", true, 1024}},
		"t=y:s":                   {"t=y:s; p=" + k1024, want{"", "", true, 1024}},
		"t=x":                     {"t=x; p=" + k1024, want{"", "unknown-flag", true, 1024}},
		"g=":                      {"g=; p=" + k1024, want{"", "obsolete-tag", true, 1024}},
		"double semicolon":        {"v=DKIM1;; p=" + k1024, want{"(empty-tag)", "", true, 1024}},
		"leading semicolon":       {";p=" + k1024, want{"(empty-tag)", "", true, 1024}},
		"duplicate":               {"v=DKIM1; k=rsa; k=rsa; p=" + k1024, want{"duplicate-tag", "", false, 1024}},
		"unknown tag":             {"v=DKIM1; x1_y=2; p=" + k1024, want{"", "unknown-tag", true, 1024}},
		"bad tag name":            {"v=DKIM1; 1x=2; p=" + k1024, want{"bad-tag-name", "", false, 1024}},
		"tag without value":       {"v=DKIM1; hello; p=" + k1024, want{"no-value", "", false, 1024}},
		"note in UTF-8":           {"v=DKIM1; n=鍵; p=" + k1024, want{"(non-ascii)", "", true, 1024}},
		"smart quotes":            {"v=DKIM1; p=“" + k1024 + "”", want{"non-ascii bad-base64", "", false, 0}},
		"NUL":                     {"v=DKIM1; k=r\x00sa; p=" + k1024, want{"bad-key-type non-ascii", "", false, 0}},
		"base64 of the web":       {"p=" + strings.ReplaceAll(k1024, "A", "-"), want{"bad-base64", "", false, 0}},
		"unpadded":                {"k=ed25519; p=" + strings.TrimRight(ed, "="), want{"unpadded", "", false, 0}},
		"= in the middle":         {"k=ed25519; p=" + ed + ed, want{"bad-base64", "", false, 0}},
		"cut at 255":              {"p=" + k2048[:252], want{"truncated", "", false, 0}},
		"PEM":                     {"p=-----BEGIN PUBLIC KEY-----" + k1024 + "-----END PUBLIC KEY-----", want{"bad-base64", "", false, 0}},
		"private PKCS #1":         {"p=" + b64(x509.MarshalPKCS1PrivateKey(priv)), want{"private-key", "", false, 0}},
		"private PKCS #8":         {"k=ed25519; p=" + b64(pkcs8), want{"private-key", "", false, 0}},
		"key alone":               {k1024, want{"bare-key", "", false, 0}},
		"text as key":             {"v=DKIM1; p=hello+world+", want{"bad-key", "", false, 0}},
		"not a key: spf":          {"v=spf1 -all", want{"bad-version missing-p", "", false, 0}},
		"not a key: token":        {"google-site-verification=abc", want{"bad-tag-name missing-p", "", false, 0}},
		"empty":                   {"", want{"missing-p", "", false, 0}},
		"semicolons":              {";;;", want{"(empty-tag) (empty-tag) (empty-tag) missing-p", "", false, 0}},
	} {
		k := ParseKey(c.text)
		got := want{codes(k.Errors), codes(k.Warnings), k.Usable(), k.Bits}
		// Only what decides is looked at for records that are no key.
		if strings.HasPrefix(name, "not a key") {
			if k.Attempt() {
				t.Errorf("%s: %q is taken for a key", name, c.text)
			}
			got.warns = ""
		}
		if got != c.want {
			t.Errorf("%s: %q\n got %+v\nwant %+v", name, c.text, got, c.want)
		}
	}
	if k := ParseKey("v=DKIM1; p="); !k.Revoked || k.Broken() {
		t.Errorf("revoked key: %+v", k)
	}
	if k := ParseKey("t=s; p=" + k1024); k.Testing() || !k.Strict() {
		t.Error("t=s is not t=y")
	}
	if k := ParseKey("p=" + k1024); k.Testing() || k.Strict() {
		t.Error("no t= is no flag")
	}
	if k := ParseKey("h=sha1;p=" + k1024); !k.SHA1Only() {
		t.Error("h=sha1")
	}
	if k := ParseKey("h=rsa-sha256;p=" + k1024); k.SHA1Only() || k.AllowsSHA256() {
		t.Error("h=rsa-sha256")
	}
}

func TestSpans(t *testing.T) {
	text := "k=rsa ; v= DKIM1; h=sha1 : md5 ; p=?"
	k := ParseKey(text)
	for _, tag := range k.Tags {
		if text[tag.ValueSpan.Start:tag.ValueSpan.End] != tag.Value {
			t.Errorf("value span of %s is %q", tag.Name, text[tag.ValueSpan.Start:tag.ValueSpan.End])
		}
	}
	if got := k.Warnings[0].Text; got != "md5" {
		t.Errorf("the unknown hash is %q", got)
	}
	if got := k.Errors[len(k.Errors)-1]; got.Text != "?" || got.Start != len(text)-1 {
		t.Errorf("the bad base64 is %+v", got)
	}
	if got := k.Errors[0].Text; got != "v= DKIM1" {
		t.Errorf("the version is %q", got)
	}
}

func TestBounds(t *testing.T) {
	if k := ParseKey("v=DKIM1; p=" + strings.Repeat("A", MaxText)); codes(k.Errors) != "too-long" || !k.Attempt() || k.Usable() {
		t.Errorf("too long: %s", codes(k.Errors))
	}
	var b strings.Builder
	for i := range 5000 {
		b.WriteString("a" + string(rune('a'+i%26)) + "=1;")
	}
	if k := ParseKey(b.String()); len(k.Tags) > MaxTags || !k.Broken() {
		t.Errorf("%d tags", len(k.Tags))
	}
}

// A private key in the DNS is found whatever else is wrong, and its text does
// not spread into the error's own words.
func TestErrorIsShort(t *testing.T) {
	k := ParseKey("v=DKIM1; p=" + strings.Repeat("A", 400))
	if len(k.Errors) == 0 || len(k.Errors[0].Error()) > 120 {
		t.Errorf("error text: %v", k.Errors)
	}
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"v=DKIM1; k=rsa; p=MIGf", "p=", ";;", "v=DKIM1\\; p=AA", "k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
		"h=::sha1:; s=; t=y :s; n=\xff; p= A A = =", "p=MAA=", "p=MIMAAAA=", "v = dkim1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k := ParseKey(s)
		if k.Text != s || k.Usable() && (k.Broken() || k.Revoked || k.Public == nil || !k.Attempt()) {
			t.Fatalf("%q: %+v", s, k)
		}
		if k.Revoked && k.Public != nil || (k.Bits > 0) != (k.Public != nil) {
			t.Fatalf("%q: revoked %v, %d bits, %v", s, k.Revoked, k.Bits, k.Public)
		}
		last := 0
		for _, e := range k.Errors {
			if e.Start < last || e.End < e.Start || e.End > len(s) || s[e.Start:e.End] != e.Text || !slices.Contains(KeyCodes, e.Code) {
				t.Fatalf("%q: error %+v", s, e)
			}
			last = e.Start
		}
		for _, e := range k.Warnings {
			if e.End < e.Start || e.End > len(s) || s[e.Start:e.End] != e.Text || !slices.Contains(WarningCodes, e.Code) {
				t.Fatalf("%q: warning %+v", s, e)
			}
		}
		for _, tag := range k.Tags {
			if s[tag.ValueSpan.Start:tag.ValueSpan.End] != tag.Value {
				t.Fatalf("%q: tag %+v", s, tag)
			}
		}
		// A record that verifiers can use stays usable when a note is added.
		if k.Usable() && k.Tag("n") == nil && len(k.Tags) < MaxTags && len(s) < MaxText-10 {
			if !ParseKey(strings.TrimRight(s, " \t\r\n;") + "; n=x").Usable() {
				t.Fatalf("%q: unusable with a note", s)
			}
		}
	})
}

// Real keys, where the collection is at hand: each can be read.
func TestRealRecords(t *testing.T) {
	path := filepath.Join("..", "..", "..", "shared", "suites", "records", "records.tsv")
	b, err := os.ReadFile(path)
	if err != nil {
		path = filepath.Join("testdata", "keys.tsv") // a part of it
		if b, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	count := map[string]int{}
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(f) < 3 || f[1] != "TXT" || !strings.Contains(f[0], "._domainkey.") {
			continue
		}
		k := ParseKey(f[2])
		switch {
		case !k.Attempt():
			count["other"]++
		case k.Broken():
			count["broken"]++
			t.Logf("%s: %s", f[0], codes(k.Errors))
		case k.Revoked:
			count["revoked"]++
		case k.Usable():
			count["usable"]++
			if k.Type == RSA && k.Bits%8 != 0 || k.Bits > 4096 {
				t.Errorf("%s: a real key of %d bits", f[0], k.Bits)
			}
		default:
			count["unusable"]++
			t.Logf("%s: not usable: %d bits, h=%v, s=%v", f[0], k.Bits, k.Hashes, k.Service)
		}
	}
	t.Logf("%s: %v", path, count)
	if count["usable"] < 20 || count["revoked"] < 20 || count["broken"] > count["usable"]/4 {
		t.Errorf("implausible: %v", count)
	}
}

// The records of the message suite, each with what verifies by it.
func TestSuiteRecords(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "suite-keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	var recs map[string]struct {
		Text string
		Bits int
	}
	if err := json.Unmarshal(b, &recs); err != nil {
		t.Fatal(err)
	}
	if len(recs) < 5 {
		t.Fatalf("%d records", len(recs))
	}
	for name, r := range recs {
		if k := ParseKey(r.Text); k.Broken() || k.Bits != r.Bits {
			t.Errorf("%s: %d bits, want %d: %s", name, k.Bits, r.Bits, codes(k.Errors))
		}
	}
}

func TestDERLength(t *testing.T) {
	for _, c := range []struct {
		b  []byte
		n  int
		ok bool
	}{
		{nil, 0, false}, {[]byte{0x30}, 0, false}, {[]byte{0x30, 5}, 7, true}, {[]byte{0x31, 5}, 0, false},
		{[]byte{0x30, 0x82, 1, 0}, 260, true}, {[]byte{0x30, 0x82, 1}, 0, false}, {[]byte{0x30, 0x80, 1}, 0, false},
		{[]byte{0x30, 0x84, 1, 1, 1, 1}, 0, false},
	} {
		if n, ok := derLength(c.b); n != c.n || ok != c.ok {
			t.Errorf("%x: %d %v", c.b, n, ok)
		}
	}
}
