// Package dkim verifies DomainKeys Identified Mail (RFC 6376, RFC 8301,
// RFC 8463) and explains what it finds: of keys, of signatures, and of the
// changes that broke one.
//
// # DKIM signatures in one page
//
// Who sends a mail signs it: a DKIM-Signature field is put on top. It is a list
// of tags:
//
//	DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=example.com;
//	  s=mail; h=from:to:subject:date; bh=2jUSOH9N…; b=AuUoFEfD…
//
// d= and s= say where the key is, a= the algorithm. There are two hashes. bh=
// is the hash of the body. b= is a signature over the hash of the header fields
// that h= names, one after the other, and last of the DKIM-Signature itself with
// an empty b=. So b= covers bh= too, and both can be judged apart: a changed
// body breaks bh= and leaves b= whole; a changed Subject breaks b= alone; and if
// neither is broken, the two together say that nothing signed was changed.
//
// Before they are hashed, header and body are written in a canonical form, each
// in one of two (c=): simple, as it is but for empty lines at the body's end, or
// relaxed, in which runs of spaces, folds and the case of field names do not
// matter. h= may name a field more often than it occurs: then none can be added
// later without breaking b=. If a field occurs several times, the bottom-most is
// the first that a name stands for.
//
// Other tags: i= is who of d= signs, and lies in d= or below; t= is when it was
// signed and x= until when it is good, in seconds since 1970; l= is how many
// octets of the body were hashed, so that anybody can append to it; z= holds
// copies of the signed fields, for diagnosis; q= says how to get the key.
//
// A signature has two readings. Cryptographically it is valid if the hashes and
// the key fit. A receiver of today must also refuse SHA-1 and RSA keys under
// 1024 bits (RFC 8301). [Verification] has both.
//
// # DKIM keys in one page
//
// A sender signs its mail: a DKIM-Signature header names a domain (d=), a
// selector (s=) and an algorithm, and holds a signature over parts of the
// message. A receiver finds the public key in the DNS, as one TXT record at
//
//	selector._domainkey.domain
//
// The selector is any name that the sender likes, so that a domain can have
// many keys: one for each service that sends for it, one for each year. There
// is no list of them. Who has not seen a signed message can only guess, and a
// guess that finds nothing proves nothing. (One absence does prove something:
// if the name _domainkey.domain itself does not exist, nothing is below it,
// RFC 8020.)
//
// The record is a list of tags, name=value, separated by semicolons:
//
//	v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKB…
//
// v, the version, may be left out; if it is there it stands first and is
// "DKIM1". k is the type of the key, rsa unless it says otherwise, or ed25519.
// p is the key itself in base64; empty, it says that the key was revoked. h
// lists the hashes that signatures may use, s the services the key is for
// (* or email for mail), t holds flags: y, the domain is only testing, so its
// signatures are to be treated as if they were not there; s, the signature's
// identity (i=) may be in no subdomain of d=. n is a note for people. Unknown
// tags are ignored.
//
// RSA keys stand as a SubjectPublicKeyInfo, as RFC 6376's examples have it,
// or as a bare RSAPublicKey, as its text has it (erratum 3017): both are in
// use and both are read here. Ed25519 keys are the 32 octets alone (RFC 8463
// §4.2). Signatures with RSA keys under 1024 bits, and signatures that use
// SHA-1, do not verify (RFC 8301).
//
// A TXT record's strings have at most 255 octets; a 2048-bit key needs two,
// which are joined with nothing in between (RFC 6376 §3.6.2.2).
//
// # What this package does
//
// [ParseKey] reads one record and notes everything in it with its place.
// [Lookup] asks for the key of a selector. Not finding out is a result of its
// own, [Undetermined], never a missing key. [CheckPrivateKey] proves whether a
// private key belongs to a published record.
//
// [ParseSignature] reads a field, [Verifier] evaluates the signatures of a
// message while its body streams by, and [SecondOpinion] sets the verdict of
// another library beside it. pkg/arc builds on the same parts.
//
// # Why a signature broke
//
// [Diagnose] answers that. The two hashes and the key tell whose change it was:
// the body's, the header's, the key's. What kind of change is found by undoing
// likely ones, one after the other, and hashing again: the last lines cut off,
// whole lines taken out, "[list] " taken from the Subject, the author put back
// into From, base64 turned back into 8bit, and so on. Once the hash is right, the
// change is proven, exactly as it was made, for nobody hits a SHA-256 by chance.
// Without proof it is likely at most, and said to be no more.
//
// An RSA signature helps: the public key opens it and shows the hash that was
// signed. So a right key over another text can be told from a wrong key, and
// thousands of trials cost one opening. Ed25519 shows nothing of the kind: there
// a changed header and another key look alike until a trial succeeds.
//
// # Where the RFC leaves a choice
//
//   - Several TXT records at one selector: "the results are undefined"
//     (§3.6.2.2), and a verifier may choose one or try them all (§6.1.2). In
//     practice some take the first that they get, some the first that parses,
//     some none, and DNS servers rotate the order. Here it is [Multiple], which
//     is no usable key.
//   - A record that breaks the grammar is to be ignored (§6.1.2). Some
//     breaches are read past by most verifiers in use, though not by all: an
//     empty tag (";;"), a v= that is not first, rsa or sha256 in capitals,
//     other octets than ASCII in a note. They are errors like the rest, with
//     [KeyError.Tolerated] true, and [Key.Usable] does not count them.
//   - Spaces after the last semicolon are not in the grammar of §3.2 either;
//     nobody minds, and neither do we.
//   - What is no key at all: §6.1.2 knows only good keys and bad ones, but a
//     wildcard's SPF record at the selector's name needs other advice than a
//     key with a slip. A record is taken for an attempt at a key if it has a
//     tag p, begins with v=DKIM in any case, or is a bare base64 key; anything
//     else is [NotKey].
//   - A signature is verified against up to four of several key records, as
//     §6.1.2 allows; that there are several is noted.
//   - Verdicts: what cannot be evaluated is permerror, what was tried and is not
//     valid is fail, also after x=; RFC 6376 calls both PERMFAIL (§3.9).
//     An unanswered question is temperror even if the body hash does not match:
//     the mismatch is said beside it.
//   - Bare LFs are line ends, as in a file that was saved without CRs and as most
//     MTAs take them (§5.3 asks signers for it). A bare CR is an octet like
//     others.
//   - Folds within a name of h= and empty items are read past. An empty tag
//     (";;") is not: the grammar has none, and the ARC suite refuses it.
package dkim

import (
	"context"
	"fmt"
	"strings"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// A Status says what is known of the key of a selector.
type Status string

const (
	OK           Status = "ok"           // one record, a key that can be read; see [Key.Usable] for what it is good for
	Missing      Status = "missing"      // no TXT record at the name, or where its CNAMEs lead
	Revoked      Status = "revoked"      // an empty p= (§3.6.1)
	Syntax       Status = "syntax"       // a key record that verifiers must ignore (§6.1.2)
	Multiple     Status = "multiple"     // more than one TXT record (§3.6.2.2)
	NotKey       Status = "not-a-key"    // one TXT record that does not look like a key
	Invalid      Status = "invalid"      // the selector is no domain name, so nobody can ask for it
	Undetermined Status = "undetermined" // the question got no answer
)

// Statuses lists every Status.
var Statuses = []Status{OK, Missing, Revoked, Syntax, Multiple, NotKey, Invalid, Undetermined}

// A Result is what Lookup learnt.
type Result struct {
	Selector string // as given
	Domain   string // canonical
	Name     string // canonical; "" if Status is Invalid
	Status   Status
	// Answer is what the DNS said; nil if Status is Undetermined or Invalid.
	// Its Chain shows where CNAMEs led.
	Answer *dnsq.Answer
	// Keys are the TXT records of Answer, parsed, in the same order.
	Keys []*Key
	Err  *dnsq.Error // set exactly if Status is Undetermined
}

// Key is the key if there is exactly one record, else nil.
func (r *Result) Key() *Key {
	if len(r.Keys) != 1 {
		return nil
	}
	return r.Keys[0]
}

// RR is the record if there is exactly one, else nil.
func (r *Result) RR() *dnsq.RR {
	if len(r.Keys) != 1 {
		return nil
	}
	return &r.Answer.RRs[0]
}

// Usable reports whether mail signed with this selector can verify at a
// receiver that keeps to RFC 6376, 8301 and 8463, as far as the record decides.
func (r *Result) Usable() bool {
	k := r.Key()
	return k != nil && k.Usable()
}

// Target is the name that CNAMEs led to, "" without any.
func (r *Result) Target() string {
	if r.Answer == nil || len(r.Answer.Chain) == 0 {
		return ""
	}
	return r.Answer.Owner()
}

// Name is the name of a selector's key record (RFC 6376 §3.6.2.1). ok is false
// if selector is not one or more labels, or the name is over 253 characters.
func Name(selector, domain string) (name string, ok bool) {
	// A selector is sub-domains separated by dots (§3.1): letters, digits and
	// hyphens. Others can be asked for as well, and some use underscores; what
	// the DNS cannot carry is what is invalid here.
	if strings.HasSuffix(selector, ".") {
		return "", false
	}
	sel, ok := dnsq.NameOfRaw(selector)
	if !ok {
		return "", false
	}
	name = dnsq.Join(sel+"._domainkey", domain)
	return name, len(name) <= dnsq.MaxName
}

// Lookup asks for the key of a selector of a domain. It never fails: what went
// wrong is in Status and Err.
func Lookup(ctx context.Context, r dnsq.Resolver, selector, domain string) *Result {
	out := &Result{Selector: selector, Domain: dnsq.CanonicalName(domain)}
	name, ok := Name(selector, domain)
	if !ok {
		out.Status = Invalid
		return out
	}
	out.ask(ctx, r, name)
	return out
}

// LookupName is [Lookup] for the full name of a record, whatever its form.
func LookupName(ctx context.Context, r dnsq.Resolver, name string) *Result {
	out := &Result{}
	out.ask(ctx, r, dnsq.CanonicalName(name))
	return out
}

func (r *Result) ask(ctx context.Context, res dnsq.Resolver, name string) {
	r.Name = name
	q := dnsq.Q(name, dnsq.TypeTXT)
	a, err := res.Ask(ctx, q)
	if err != nil {
		// §6.1.2: no answer is a temporary failure, never "no key".
		r.Status, r.Err = Undetermined, dnsq.AsError(q, err)
		return
	}
	r.read(a)
}

// maxRecords is how many TXT records at one name are parsed: more than one is
// wrong, and a hostile answer holds thousands.
const maxRecords = 16

func (r *Result) read(a *dnsq.Answer) {
	r.Answer = a
	for i := range a.RRs[:min(len(a.RRs), maxRecords)] {
		r.Keys = append(r.Keys, ParseKey(a.RRs[i].Text()))
	}
	attempts := 0
	for _, k := range r.Keys {
		if k.Attempt() {
			attempts++
		}
	}
	switch {
	case len(r.Keys) == 0:
		// §6.1.2: no key for signature.
		r.Status = Missing
	case attempts == 0:
		r.Status = NotKey
	case len(r.Keys) > 1:
		r.Status = Multiple
	case r.Keys[0].Broken():
		r.Status = Syntax
	case r.Keys[0].Revoked:
		r.Status = Revoked
	default:
		r.Status = OK
	}
}

// String is "s1._domainkey.example.com: ok", for logs and tests.
func (r *Result) String() string {
	if r.Err != nil {
		return fmt.Sprintf("%s: %s (%s)", r.Name, r.Status, r.Err.Reason)
	}
	return fmt.Sprintf("%s: %s", r.Name, r.Status)
}
