package diag

import "net/netip"

// A Locked is what the records of a domain, and those of others that they lead
// to, were on some day: an entry of a lock file.
type Locked struct {
	Domain string
	// ReturnPath is the domain whose SPF record is locked.
	ReturnPath string
	DKIMDomain string
	SPF        []LockedSPF // by name
	MX         []LockedMX  // by host, then preference
	DKIM       []LockedKey // by selector
}

// A LockedSPF is one SPF record of the tree.
type LockedSPF struct {
	Name   string
	Record string // as text; "" if there was none
	// Networks are what the record and those that it leads to let send, as far as
	// that does not depend on the sender: sorted, none inside another.
	Networks []netip.Prefix
}

// A LockedMX is one MX record, with the addresses of its host, sorted.
type LockedMX struct {
	Host       string // "." is a null MX
	Preference int
	Addresses  []netip.Addr
}

// A LockedKey is one DKIM key record.
type LockedKey struct {
	Selector string
	CNAME    string // where the record leads, "" if it is the domain's own
	Key      string // "sha256:" and the digest of the key in hex, or of the whole record if it holds none that can be read
}
