// Package dkimtest signs messages for tests: with every tag, with keys of any
// size, and with the mistakes that real signers make. What it writes is built
// apart from package dkim wherever that can be: its canonicalization is the
// plain reading of RFC 6376 §3.4 on a whole message in memory.
package dkimtest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"sync"

	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// A Signer writes DKIM-Signature fields. The zero value of a field leaves its
// tag out, or is the usual.
type Signer struct {
	Key      crypto.Signer // *rsa.PrivateKey or ed25519.PrivateKey
	Domain   string        // d=
	Selector string        // s=
	SHA1     bool          // a=rsa-sha1

	Header, Body dkim.Canonicalization // c=; simple if ""
	// Names is h=; by default the fields of a usual list that the message has.
	Names    []string
	Identity string // i=
	Length   int    // l=; -1 stands for 0, and Whole for the length there is
	Time     int64  // t=
	Expires  int64  // x=
	Copy     bool   // z=
	Query    string // q=
	// Tags stand after the others as they are: "foo=bar".
	Tags []string
	// Edit changes the field before it is signed: text begins at its name, has no
	// CRLF at its end, and [Here] where the signature will stand.
	Edit func(text string) string
	// Field is the name of the field; DKIM-Signature if "". An
	// ARC-Message-Signature has no v=.
	Field    string
	Unfolded bool // b= on one line
}

// Here marks the place of the signature in a field that is not signed yet.
const Here = "\x00"

// Whole is the Length that writes the length of the canonical body as l=.
const Whole = -2

var usual = []string{"From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To", "Sender", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"}

// Lines makes CRLF of the line ends of a text.
func Lines(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

// split is a message's fields and body, line ends CRLF.
func split(msg string) (fields []string, body string) {
	head, body, _ := strings.Cut(msg, "\r\n\r\n")
	head = strings.TrimSuffix(head, "\r\n")
	for l := range strings.SplitSeq(head, "\r\n") {
		if len(fields) > 0 && l != "" && (l[0] == ' ' || l[0] == '\t') {
			fields[len(fields)-1] += l + "\r\n"
		} else {
			fields = append(fields, l+"\r\n")
		}
	}
	return fields, body
}

// Canonical is the canonical body.
func Canonical(body string, c dkim.Canonicalization) string {
	lines := strings.Split(body, "\r\n")
	if c == dkim.Relaxed {
		for i, l := range lines {
			l = strings.TrimRight(strings.ReplaceAll(l, "\t", " "), " ")
			for strings.Contains(l, "  ") {
				l = strings.ReplaceAll(l, "  ", " ")
			}
			lines[i] = l
		}
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	if len(lines) == 0 && c == dkim.Relaxed {
		return ""
	}
	return strings.Join(lines, "\r\n") + "\r\n"
}

func canonicalField(f string, c dkim.Canonicalization) string {
	if c != dkim.Relaxed {
		return f
	}
	name, value, _ := strings.Cut(f, ":")
	value = strings.ReplaceAll(value, "\r\n", "")
	return strings.ToLower(strings.TrimRight(name, " \t")) + ":" +
		strings.Join(strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == '\t' }), " ") + "\r\n"
}

// Sign puts a signature on top of a message with CRLF line ends.
func (s Signer) Sign(msg string) string { return s.SignField(msg) + msg }

// SignField is the field that signs a message, CRLF included.
func (s Signer) SignField(msg string) string {
	fields, body := split(msg)
	if s.Field == "" {
		s.Field = "DKIM-Signature"
	}
	if s.Header == "" {
		s.Header = dkim.Simple
	}
	if s.Body == "" {
		s.Body = dkim.Simple
	}
	nameOf := func(f string) string {
		n, _, _ := strings.Cut(f, ":")
		return strings.ToLower(strings.TrimRight(n, " \t"))
	}
	if s.Names == nil {
		for _, u := range usual {
			for _, f := range fields {
				if nameOf(f) == strings.ToLower(u) {
					s.Names = append(s.Names, u)
				}
			}
		}
	}
	used := map[int]bool{}
	var chosen []string
	for _, n := range s.Names {
		for i := len(fields) - 1; i >= 0; i-- {
			if !used[i] && nameOf(fields[i]) == strings.ToLower(n) {
				used[i] = true
				chosen = append(chosen, fields[i])
				break
			}
		}
	}
	hash, alg := crypto.SHA256, "rsa-sha256"
	if s.SHA1 {
		hash, alg = crypto.SHA1, "rsa-sha1"
	}
	if _, ok := s.Key.(ed25519.PrivateKey); ok {
		alg = "ed25519-sha256"
	}
	canon := Canonical(body, s.Body)
	length := ""
	switch {
	case s.Length == Whole:
		length = fmt.Sprintf("; l=%d", len(canon))
	case s.Length == -1:
		length, canon = "; l=0", ""
	case s.Length > 0:
		length = fmt.Sprintf("; l=%d", s.Length)
		canon = canon[:min(s.Length, len(canon))]
	}
	sum := func(h crypto.Hash, text string) []byte {
		w := h.New()
		w.Write([]byte(text))
		return w.Sum(nil)
	}
	var t strings.Builder
	t.WriteString(s.Field + ":")
	if s.Field == "DKIM-Signature" {
		t.WriteString(" v=1;")
	}
	fmt.Fprintf(&t, " a=%s; c=%s/%s; d=%s; s=%s%s", alg, s.Header, s.Body, s.Domain, s.Selector, length)
	if s.Identity != "" {
		fmt.Fprintf(&t, "; i=%s", s.Identity)
	}
	if s.Query != "" {
		fmt.Fprintf(&t, "; q=%s", s.Query)
	}
	if s.Time != 0 {
		fmt.Fprintf(&t, "; t=%d", s.Time)
	}
	if s.Expires != 0 {
		fmt.Fprintf(&t, "; x=%d", s.Expires)
	}
	for _, x := range s.Tags {
		t.WriteString("; " + x)
	}
	if s.Copy {
		var copies []string
		for _, f := range chosen {
			name, value, _ := strings.Cut(strings.TrimSuffix(f, "\r\n"), ":")
			copies = append(copies, name+":"+quote(value))
		}
		t.WriteString(";\r\n\tz=" + strings.Join(copies, "|\r\n\t "))
	}
	fmt.Fprintf(&t, ";\r\n\th=%s;\r\n\tbh=%s;\r\n\tb="+Here, strings.Join(s.Names, ":"), base64.StdEncoding.EncodeToString(sum(hash, canon)))
	text := t.String()
	if s.Edit != nil {
		text = s.Edit(text)
	}
	data := ""
	for _, f := range chosen {
		data += canonicalField(f, s.Header)
	}
	// The value of b= and all white space round it are not there (§3.5).
	before, after, _ := strings.Cut(text, Here)
	bare := strings.TrimRight(before, " \t\r\n") + strings.TrimLeft(after, " \t\r\n")
	data += strings.TrimSuffix(canonicalField(bare+"\r\n", s.Header), "\r\n")
	return Insert(text, Raw(s.Key, hash, sum(hash, data)), s.Unfolded)
}

// Insert puts a signature at [Here] and a CRLF at the end.
func Insert(text string, sig []byte, unfolded bool) string {
	b := base64.StdEncoding.EncodeToString(sig)
	if !unfolded {
		b = fold(b)
	}
	return strings.Replace(text, Here, b, 1) + "\r\n"
}

// fold breaks lines where the signers of the ARC suite do.
func fold(b string) string {
	var out []string
	for n := 70; len(b) > n; n = 72 {
		out, b = append(out, b[:n]), b[n:]
	}
	return strings.Join(append(out, b), "\r\n\t ")
}

// quote is dkim-quoted-printable as OpenDKIM writes it.
func quote(v string) string {
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		if c := v[i]; c <= ' ' || c > '~' || c == ';' || c == '=' || c == '|' {
			fmt.Fprintf(&b, "=%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

var prefixes = map[crypto.Hash]string{
	crypto.SHA1:   "\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14",
	crypto.SHA256: "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
}

// Raw signs a digest as DKIM does: RSASSA-PKCS1-v1_5 with a key of any size, or
// Ed25519 over the digest.
func Raw(key crypto.Signer, h crypto.Hash, digest []byte) []byte {
	switch k := key.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(k, digest)
	case *rsa.PrivateKey:
		size := k.Size()
		em := append([]byte(prefixes[h]), digest...)
		em = append([]byte{0}, em...)
		for len(em) < size-2 {
			em = append([]byte{0xff}, em...)
		}
		em = append([]byte{0, 1}, em...)
		m := new(big.Int).SetBytes(em)
		return m.Exp(m, k.D, k.N).FillBytes(make([]byte, size))
	}
	panic(fmt.Sprintf("dkimtest: a key of type %T", key))
}

// Record is the text of the TXT record for the key.
func Record(key crypto.Signer) string {
	if k, ok := key.(ed25519.PrivateKey); ok {
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(k.Public().(ed25519.PublicKey))
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		panic(err)
	}
	return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
}

// Ed25519 is a key made of a name: the same name, the same key.
func Ed25519(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

var (
	mu   sync.Mutex
	keys = map[string]*rsa.PrivateKey{}
)

// RSA is a key of that many bits made of a name: the same arguments, the same
// key. It can be of a size that crypto/rsa refuses.
func RSA(name string, bits int) *rsa.PrivateKey {
	mu.Lock()
	defer mu.Unlock()
	id := fmt.Sprint(name, " ", bits)
	if k := keys[id]; k != nil {
		return k
	}
	one := big.NewInt(1)
	seed := sha256.Sum256([]byte(id))
	octets := func(n int) []byte {
		var out []byte
		for len(out) < n {
			seed = sha256.Sum256(seed[:])
			out = append(out, seed[:]...)
		}
		return out[:n]
	}
	prime := func(bits int) *big.Int {
		p := new(big.Int).SetBytes(octets((bits + 7) / 8))
		p.Mod(p, new(big.Int).Lsh(one, uint(bits)))
		p.SetBit(p, bits-1, 1)
		p.SetBit(p, bits-2, 1)
		for p.SetBit(p, 0, 1); !p.ProbablyPrime(12); {
			p.Add(p, big.NewInt(2))
		}
		return p
	}
	for {
		p, q := prime((bits+1)/2), prime(bits/2)
		n := new(big.Int).Mul(p, q)
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		d := new(big.Int).ModInverse(big.NewInt(65537), phi)
		if n.BitLen() != bits || d == nil || p.Cmp(q) == 0 {
			continue
		}
		k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: 65537}, D: d, Primes: []*big.Int{p, q}}
		keys[id] = k
		return k
	}
}

// Zone answers TXT questions from a map of names to records, several separated
// by newlines. "!timeout", "!servfail" and other reasons are errors,
// "!nxdomain" and names that are not there do not exist, "" is no data.
type Zone map[string]string

// Ask answers q.
func (z Zone) Ask(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
	a := &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain, Source: dnsq.SourceZone}
	text, ok := z[q.Name]
	if why, bad := strings.CutPrefix(text, "!"); bad {
		if why = strings.ToLower(why); why != "nxdomain" {
			return nil, &dnsq.Error{Question: q, Reason: dnsq.Reason(why)}
		}
		return a, nil
	}
	if !ok {
		return a, nil
	}
	a.Outcome = dnsq.NoData
	if q.Type == dnsq.TypeTXT && text != "" {
		a.Outcome = dnsq.Found
		for s := range strings.SplitSeq(text, "\n") {
			a.RRs = append(a.RRs, dnsq.RR{Name: q.Name, Type: q.Type, Strings: chunks(s)})
		}
	}
	return a, nil
}

func chunks(s string) []string {
	var out []string
	for len(s) > 255 {
		out, s = append(out, s[:255]), s[255:]
	}
	return append(out, s)
}

// Fields are the fields of a message and its body.
func Fields(msg string) (fields []dkim.Field, body []byte) {
	fs, b := split(msg)
	for _, f := range fs {
		fields = append(fields, dkim.Field{Raw: []byte(f)})
	}
	return fields, []byte(b)
}

// Message is a header and a body with CRLF line ends, of lines with LF.
func Message(header, body string) string {
	var b bytes.Buffer
	b.WriteString(Lines(strings.Trim(header, "\n")) + "\r\n\r\n" + Lines(body))
	return b.String()
}
