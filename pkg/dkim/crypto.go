package dkim

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/subtle"
	"math/big"
)

// A Match is the result of one comparison.
type Match string

const (
	Matches    Match = "match"
	Mismatches Match = "mismatch"
	Unknown    Match = "unknown" // it could not be compared
)

// A KeyCheck is what one key says of one signature.
type KeyCheck struct {
	Key   *Key
	Match Match // whether the signature is that of the digest
	// Signed is the digest that the owner of the key put its signature to, where
	// that can be seen: an RSA signature opens with the public key and shows it.
	// So if Match is Mismatches and Signed is there, the key is the right one
	// and the text was changed; if it is nil, an RSA signature was made by
	// another key or was damaged. nil for Ed25519, which does not tell.
	Signed []byte
}

// check verifies sig over digest with the key, whatever its size.
func (k *Key) check(a Algorithm, digest, sig []byte) KeyCheck {
	c := KeyCheck{Key: k, Match: Mismatches}
	switch pub := k.Public.(type) {
	case ed25519.PublicKey:
		// RFC 8463 §3: PureEdDSA over the SHA-256 hash.
		if len(sig) == ed25519.SignatureSize && ed25519.Verify(pub, digest, sig) {
			c.Match = Matches
		}
	case *rsa.PublicKey:
		// crypto/rsa refuses keys under 1024 bits. Whether a signature with one
		// verifies is a question of its own, so those are opened by hand.
		if k.Bits >= MinRSA && rsa.VerifyPKCS1v15(pub, a.Hash(), digest, sig) == nil {
			c.Match, c.Signed = Matches, digest
			return c
		}
		c.Signed = openRSA(pub, a.Hash(), sig)
		if c.Signed != nil && subtle.ConstantTimeCompare(c.Signed, digest) == 1 {
			c.Match = Matches
		}
	default:
		c.Match = Unknown
	}
	return c
}

// The DER before a digest in EMSA-PKCS1-v1_5 (RFC 8017 §9.2, note 1).
var digestInfo = map[crypto.Hash][]byte{
	crypto.SHA1:   {0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14},
	crypto.SHA256: {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20},
}

// openRSA raises an RSASSA-PKCS1-v1_5 signature to the public exponent and
// returns the digest in it (RFC 8017 §8.2.2, with the encoding compared whole);
// nil if there is none of that hash.
func openRSA(pub *rsa.PublicKey, h crypto.Hash, sig []byte) []byte {
	size := (pub.N.BitLen() + 7) / 8
	prefix := digestInfo[h]
	if len(sig) != size || size < len(prefix)+h.Size()+11 || pub.N.Bit(0) == 0 {
		return nil
	}
	s := new(big.Int).SetBytes(sig)
	if s.Cmp(pub.N) >= 0 {
		return nil
	}
	em := s.Exp(s, big.NewInt(int64(pub.E)), pub.N).FillBytes(make([]byte, size))
	pad := size - h.Size() - len(prefix) // 00 01 FF … FF 00
	if em[0] != 0 || em[1] != 1 || em[pad-1] != 0 || !bytes.Equal(em[pad:size-h.Size()], prefix) {
		return nil
	}
	for _, c := range em[2 : pad-1] {
		if c != 0xff {
			return nil
		}
	}
	return em[size-h.Size():]
}
