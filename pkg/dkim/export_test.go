package dkim

import "crypto"

// WantForTest asks a body for a digest; the function gives it afterwards.
func WantForTest(b *Body, c Canonicalization, h crypto.Hash, length int64) func() []byte {
	w := b.want(c, h, length)
	return func() []byte { return w.sum }
}
