package dnsq

import (
	"fmt"

	"github.com/miekg/dns"
)

// String is the type's mnemonic, or TYPEnnn (RFC 3597 §5).
func (t Type) String() string {
	if s, ok := dns.TypeToString[uint16(t)]; ok {
		return s
	}
	return fmt.Sprintf("TYPE%d", uint16(t))
}

// ParseType reads a mnemonic or TYPEnnn, in upper case.
func ParseType(s string) (Type, error) {
	if t, ok := dns.StringToType[s]; ok {
		return Type(t), nil
	}
	var n uint16
	if _, err := fmt.Sscanf(s, "TYPE%d", &n); err == nil && fmt.Sprintf("TYPE%d", n) == s {
		return Type(n), nil
	}
	return 0, fmt.Errorf("%q is not a DNS record type: expected a name such as TXT or MX, or TYPE and a number (RFC 3597)", s)
}

// MarshalText and UnmarshalText make a Type its mnemonic in JSON.
func (t Type) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (t *Type) UnmarshalText(b []byte) error {
	v, err := ParseType(string(b))
	if err == nil {
		*t = v
	}
	return err
}
