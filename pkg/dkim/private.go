package dkim

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"

	msgauth "github.com/emersion/go-msgauth/dkim"
)

// Why a private key does not fit, or cannot be judged. None of these errors
// holds any part of the key.
var (
	// ErrNotPrivateKey: the octets are no private key that signs DKIM: PEM or
	// DER, PKCS #1 or PKCS #8, RSA or Ed25519.
	ErrNotPrivateKey = errors.New("not an RSA or Ed25519 private key in PEM or DER form")
	// ErrEncrypted: the key needs a pass phrase, which mail servers cannot type.
	ErrEncrypted = errors.New("the private key is encrypted; give it as the mail server reads it, without a pass phrase")
	// ErrPublicKey: it is the public half.
	ErrPublicKey = errors.New("a public key, not a private one")
	// ErrNotUsable: the record holds no key with which anything can verify.
	ErrNotUsable = errors.New("the published record is not a usable key")
	// ErrWrongKey: the published key is another one.
	ErrWrongKey = errors.New("the private key does not belong to the published key")
)

// maxPrivate is the size of a key file in octets that is read; an RSA key of
// 16384 bits has some 13,000.
const maxPrivate = 64 << 10

// CheckPrivateKey proves whether a private key belongs to a published key
// record: it signs a small message and verifies it against the record, as a
// receiver would. nil means that it does. Otherwise the error is, or wraps
// nothing else than, one of ErrNotPrivateKey, ErrEncrypted, ErrPublicKey,
// ErrNotUsable and ErrWrongKey; it never holds any part of the key.
//
// private is the content of a key file, PEM or DER; record the text of the TXT
// record.
func CheckPrivateKey(private []byte, record string) error {
	signer, err := parsePrivate(private)
	if err != nil {
		return err
	}
	k := ParseKey(record)
	if !k.Usable() {
		return ErrNotUsable
	}
	const domain, selector = "example.com", "check"
	// go-msgauth reads p= as it stands, without the white space that §2.10
	// allows; what it verifies with is the key that was published all the same.
	published := "v=DKIM1; k=" + string(k.Type) + "; p=" + squeeze(k.Tag("p").Value)
	message := "From: <postmaster@example.com>\r\nSubject: key check\r\n\r\nOnly to be signed.\r\n"
	var signed bytes.Buffer
	if err := msgauth.Sign(&signed, strings.NewReader(message), &msgauth.SignOptions{
		Domain: domain, Selector: selector, Signer: signer, Hash: crypto.SHA256,
		HeaderKeys: []string{"From", "Subject"},
	}); err != nil {
		// Too short or not consistent in itself: it cannot sign.
		return ErrNotPrivateKey
	}
	vs, err := msgauth.VerifyWithOptions(&signed, &msgauth.VerifyOptions{
		LookupTXT: func(name string) ([]string, error) {
			if name != selector+"._domainkey."+domain {
				return nil, errors.New("unexpected question")
			}
			return []string{published}, nil
		},
		MaxVerifications: 1,
	})
	if err != nil || len(vs) != 1 || vs[0].Err != nil {
		return ErrWrongKey
	}
	return nil
}

// CheckPrivateFile reports whether the content of a file is a private key at
// all. Its error is ErrNotPrivateKey, ErrEncrypted or ErrPublicKey.
func CheckPrivateFile(private []byte) error {
	_, err := parsePrivate(private)
	return err
}

func parsePrivate(b []byte) (crypto.Signer, error) {
	if len(b) > maxPrivate {
		return nil, ErrNotPrivateKey
	}
	// A file may hold the public half or parameters before the key: the first
	// block that is a private key counts.
	verdict := ErrNotPrivateKey
	rest := b
	for blocks := 0; blocks < 16; blocks++ {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return nil, ErrEncrypted
		}
		if strings.HasSuffix(block.Type, "PUBLIC KEY") {
			verdict = ErrPublicKey
			continue
		}
		if s := parseDER(block.Bytes); s != nil {
			return s, nil
		}
	}
	if s := parseDER(b); s != nil {
		return s, nil
	}
	if _, err := x509.ParsePKIXPublicKey(b); err == nil {
		verdict = ErrPublicKey
	}
	return nil, verdict
}

func parseDER(der []byte) crypto.Signer {
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return k
	}
	p, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil
	}
	switch k := p.(type) {
	case *rsa.PrivateKey:
		return k
	case ed25519.PrivateKey:
		return k
	}
	return nil
}
