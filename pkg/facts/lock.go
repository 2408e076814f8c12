package facts

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/spf"
)

// LockAsk is whose records are taken down. Selectors are ended by a line feed
// each. Make it with [LockAskOf].
type LockAsk struct {
	Domain, ReturnPath, DKIMDomain string
	Selectors                      string
}

// LockAskOf is the LockAsk of a target with these selectors beside its own. A
// target without a Return-Path domain has that of its domain looked at.
func LockAskOf(t *diag.Target, selectors []string) LockAsk {
	a := LockAsk{Domain: t.Domain, ReturnPath: t.Domain, DKIMDomain: t.DKIMDomain}
	if name, err := dnsq.ParseName(t.MailFromDomain()); err == nil {
		a.ReturnPath = name
	}
	if a.DKIMDomain == "" {
		a.DKIMDomain = t.Domain
	}
	all := slices.Clone(selectors)
	for _, s := range t.Selectors {
		all = append(all, selectorOf(s, a.DKIMDomain))
	}
	slices.Sort(all)
	for _, s := range slices.Compact(all) {
		if s != "" && !strings.Contains(s, "\n") {
			a.Selectors += s + "\n"
		}
	}
	return a
}

// A Snapshot is what a [diag.Locked] holds, as it is now.
type Snapshot struct {
	diag.Locked
	// Tree is the SPF record with everything below it.
	Tree *spf.Analysis
	// SPFAt are the records of the tree by name.
	SPFAt map[string]*SnapshotSPF
	// Mail is how the domain takes mail; nil if that was not learnt (MXErr).
	Mail  *MailHosts
	MXErr *dnsq.Error
	// Keys are the keys of the selectors that were asked for, by selector.
	Keys map[string]*dkim.Result
}

// A SnapshotSPF is one record of the tree.
type SnapshotSPF struct {
	diag.LockedSPF
	RR       *dnsq.RR
	Includes []string // names that include and redirect lead to
	// Unknown are the questions without an answer in it or below: its networks
	// are not all known.
	Unknown []*dnsq.Error
}

// Unknown are all the questions without an answer.
func (s *Snapshot) Unknown() []*dnsq.Error {
	var out []*dnsq.Error
	if s.Tree != nil {
		out = append(out, s.Tree.Unknown...)
	}
	if s.MXErr != nil {
		out = append(out, s.MXErr)
	}
	if s.Mail != nil {
		for i := range s.Mail.Hosts {
			if a := s.Mail.Hosts[i].Addresses; a != nil {
				out = append(out, a.Unknown()...)
			}
		}
	}
	for _, k := range s.Keys {
		if k.Err != nil {
			out = append(out, k.Err)
		}
	}
	slices.SortFunc(out, func(a, b *dnsq.Error) int { return cmp.Compare(a.Question.String(), b.Question.String()) })
	return slices.CompactFunc(out, func(a, b *dnsq.Error) bool { return a.Question == b.Question })
}

// Lock is the fact: the SPF tree, MX hosts and DKIM keys of a domain, to be
// written down or to be held against what was written down. It never has an
// error but that of a run that ended: see Unknown.
var Lock = &diag.Fact[LockAsk, *Snapshot]{
	Name:     "lock",
	Requires: []diag.AnyFact{SPFTree, MX},
	Learn: func(ctx context.Context, w *diag.World, a LockAsk) (*Snapshot, error) {
		s := &Snapshot{SPFAt: map[string]*SnapshotSPF{}, Keys: map[string]*dkim.Result{}}
		s.Domain, s.ReturnPath, s.DKIMDomain = a.Domain, a.ReturnPath, a.DKIMDomain
		SPFTree.Start(w, a.ReturnPath)
		MX.Start(w, a.Domain)
		selectors := split(a.Selectors)
		keys := make([]*dkim.Result, len(selectors))
		var wg sync.WaitGroup
		for i, sel := range selectors {
			wg.Go(func() { keys[i] = dkim.Lookup(ctx, w, sel, a.DKIMDomain) })
		}
		wg.Wait()
		var err error
		if s.Tree, err = SPFTree.Of(ctx, w, a.ReturnPath); err != nil {
			return nil, err
		}
		if s.Tree.Root != nil {
			s.spf(s.Tree.Root)
		}
		for _, n := range s.SPFAt {
			if n.Record != "" {
				s.SPF = append(s.SPF, n.LockedSPF)
			}
		}
		slices.SortFunc(s.SPF, func(a, b diag.LockedSPF) int { return cmp.Compare(a.Name, b.Name) })
		if s.Mail, err = MX.Of(ctx, w, a.Domain); err != nil {
			s.Mail, s.MXErr = nil, dnsq.AsError(dnsq.Q(a.Domain, dnsq.TypeMX), err)
		} else {
			s.mx()
		}
		for i, k := range keys {
			s.Keys[selectors[i]] = k
			if l, ok := lockedKey(k); ok {
				s.DKIM = append(s.DKIM, l)
			}
		}
		return s, nil
	},
}

// spf takes down the records below n and returns that of n. A name that is met
// twice is taken the first time: a name has one record.
func (s *Snapshot) spf(n *spf.Node) *SnapshotSPF {
	if old := s.SPFAt[n.Domain]; old != nil {
		return old
	}
	out := &SnapshotSPF{RR: n.RR}
	out.Name = n.Domain
	s.SPFAt[n.Domain] = out
	switch {
	case n.RR != nil:
		out.Record = n.RR.Text()
	case n.Problem != nil && n.Problem.Code == spf.ProblemMultiple: // an error, but not the lack of one
		texts := slices.Clone(n.Problem.Records)
		slices.Sort(texts)
		out.Record = strings.Join(texts, "\n")
	}
	if n.Answer == nil && n.Problem != nil && n.Problem.Err != nil {
		out.Unknown = append(out.Unknown, n.Problem.Err)
	}
	var nets []netip.Prefix
	for _, st := range n.Steps {
		t := st.Term
		if st.Err != nil {
			out.Unknown = append(out.Unknown, st.Err)
		}
		if st.Child != nil {
			c := s.spf(st.Child)
			out.Includes = append(out.Includes, c.Name)
			out.Unknown = append(out.Unknown, c.Unknown...)
			if t.Modifier || t.Qualifier == spf.Plus {
				nets = append(nets, c.Networks...)
			}
		}
		if t.Modifier || t.Qualifier != spf.Plus {
			continue // it lets nobody send
		}
		switch t.Name {
		case "ip4", "ip6":
			nets = append(nets, t.Prefix)
		case "a", "mx":
			for _, a := range st.Addrs {
				bits := t.CIDR4
				if a.Is6() {
					bits = t.CIDR6
				}
				if bits < 0 {
					bits = a.BitLen()
				}
				nets = append(nets, netip.PrefixFrom(a, bits))
			}
		}
	}
	out.Networks = Networks(nets)
	return out
}

// Networks sorts networks, IPv4 first, leaves out what lies in another, and joins
// halves: the same addresses give the same networks, however they were written.
func Networks(list []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		if p = p.Masked(); p.IsValid() {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	// A wider one stands before those inside it.
	kept := out[:0]
	for _, p := range out {
		if n := len(kept); n == 0 || kept[n-1].Bits() > p.Bits() || !kept[n-1].Contains(p.Addr()) {
			kept = append(kept, p)
			for n := len(kept); n > 1 && halves(kept[n-2], kept[n-1]); n = len(kept) {
				p := kept[n-2]
				kept = append(kept[:n-2], netip.PrefixFrom(p.Addr(), p.Bits()-1))
			}
		}
	}
	return kept
}

// halves reports whether two different networks, a before b, are all of one that
// is twice as large.
func halves(a, b netip.Prefix) bool {
	return a.Bits() == b.Bits() && a.Bits() > 0 && a.Addr().BitLen() == b.Addr().BitLen() &&
		netip.PrefixFrom(b.Addr(), b.Bits()-1).Masked().Addr() == a.Addr()
}

// Without is what of the networks a lies in none of b, in the form of [Networks].
func Without(a, b []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	var cut func(p netip.Prefix, b []netip.Prefix)
	cut = func(p netip.Prefix, b []netip.Prefix) {
		var inside []netip.Prefix
		for _, q := range b {
			switch {
			case !p.Overlaps(q):
			case q.Bits() <= p.Bits():
				return
			default:
				inside = append(inside, q)
			}
		}
		if inside == nil {
			out = append(out, p)
			return
		}
		low := netip.PrefixFrom(p.Addr(), p.Bits()+1)
		// The upper half begins where its first bit is set.
		addr := p.Addr().AsSlice()
		addr[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
		up, _ := netip.AddrFromSlice(addr)
		cut(low, inside)
		cut(netip.PrefixFrom(up, p.Bits()+1), inside)
	}
	for _, p := range Networks(a) {
		cut(p, b)
	}
	return Networks(out)
}

func (s *Snapshot) mx() {
	for i := range s.Mail.Hosts {
		h := &s.Mail.Hosts[i]
		m := diag.LockedMX{Host: h.RR.Host, Preference: int(h.RR.Pref)}
		if h.Addresses != nil {
			m.Addresses = h.Addresses.All()
			slices.SortFunc(m.Addresses, netip.Addr.Compare)
			m.Addresses = slices.Compact(m.Addresses)
		}
		s.MX = append(s.MX, m)
	}
	slices.SortFunc(s.MX, func(a, b diag.LockedMX) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Preference, b.Preference))
	})
	s.MX = slices.CompactFunc(s.MX, func(a, b diag.LockedMX) bool { return a.Host == b.Host && a.Preference == b.Preference })
}

// lockedKey is the entry of a key record; false if there is none. Several
// records, which are wrong, are taken down together.
func lockedKey(k *dkim.Result) (diag.LockedKey, bool) {
	if k.Answer == nil || len(k.Answer.RRs) == 0 {
		return diag.LockedKey{}, false
	}
	out := diag.LockedKey{Selector: k.Selector, Key: KeyDigest(k)}
	if len(k.Answer.Chain) > 0 {
		out.CNAME = k.Answer.Chain[0]
	}
	return out, true
}

// KeyDigest names the key of a record: the SHA-256 digest of the public key, so
// that a record that is only written in another way stays the same; of the whole
// text where it holds no key that can be read.
func KeyDigest(k *dkim.Result) string {
	var b []byte
	if key := k.Key(); key != nil {
		if p := key.Tag("p"); p != nil {
			text := strings.Map(func(r rune) rune {
				if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
					return -1
				}
				return r
			}, p.Value)
			if raw, err := base64.StdEncoding.DecodeString(text); err == nil && len(raw) > 0 {
				b = raw
			}
		}
	}
	if b == nil && k.Answer != nil {
		var texts []string
		for i := range k.Answer.RRs {
			texts = append(texts, k.Answer.RRs[i].Text())
		}
		slices.Sort(texts)
		b = bytes.Join([][]byte{[]byte("record"), []byte(strings.Join(texts, "\x00"))}, []byte{0})
	}
	h := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(h[:])
}
