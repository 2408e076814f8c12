package dnsq

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// A Rule has questions below one zone asked below another whose name holds a
// secret: blocklist operators give out keys that are a label of the name to
// ask. It shows neither in print nor in JSON.
type Rule struct {
	public  string // the zone as everybody may see it
	private string // KEY.zone, where it is really asked
	secret  string // KEY, lower case
}

// NewRule has questions at and below public asked below key.zone instead. The
// error does not hold the key: it must be a single label of 8 to 63 letters and
// digits, since a short one might be part of an innocent word.
func NewRule(public, zone, key string) (Rule, error) {
	key = asciiLower(strings.TrimSpace(key))
	if len(key) < 8 || len(key) > MaxLabel || strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return Rule{}, fmt.Errorf("expected 8 to %d letters and digits, got %d characters", MaxLabel, len(key))
	}
	return Rule{CanonicalName(public), Join(key, zone), key}, nil
}

// Format prints the public zone alone, whatever the verb.
func (r Rule) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%s (with a key)", r.public) }

// Rewrite asks by the rules and takes the secrets out of everything that comes
// back: names, chains, texts, extended errors and errors speak of the public
// zone. It belongs below whatever keeps or shows questions, [Recorder] and
// [Cache], and above whatever asks them. Of rules for one name the first
// decides.
//
// What it cannot hide is what leaves the machine: the resolver sees the key.
func Rewrite(under Resolver, rules ...Rule) Resolver {
	if len(rules) == 0 {
		return under
	}
	w := rewriter(rules)
	return ResolverFunc(func(ctx context.Context, q Question) (*Answer, error) {
		asked := Question{w.private(CanonicalName(q.Name)), q.Type}
		if len(asked.Name) > MaxName && asked.Name != q.Name {
			return nil, &Error{Question: q, Reason: Malformed, Detail: "with the key the name is too long to be asked"}
		}
		a, err := under.Ask(ctx, asked)
		if err != nil {
			return nil, w.err(q, AsError(q, err))
		}
		return w.answer(q, a), nil
	})
}

type rewriter []Rule

func (w rewriter) private(name string) string {
	for _, r := range w {
		if AtOrBelow(name, r.public) && !AtOrBelow(name, r.private) {
			return name[:len(name)-len(r.public)] + r.private
		}
	}
	return name
}

// hidden stands where a secret was and no public zone can stand for it.
const hidden = "***"

// mask takes every secret out of a text, whatever its case.
func (w rewriter) mask(s string) string {
	for _, r := range w {
		s = replaceFold(s, r.private, r.public)
	}
	for _, r := range w {
		s = replaceFold(s, r.secret, hidden)
	}
	return s
}

// replaceFold replaces old, which is lower case ASCII, in any ASCII case.
func replaceFold(s, old, with string) string {
	low := asciiLower(s)
	i := strings.Index(low, old)
	if i < 0 {
		return s
	}
	var b strings.Builder
	at := 0
	for i >= 0 {
		b.WriteString(s[at : at+i])
		b.WriteString(with)
		at += i + len(old)
		i = strings.Index(low[at:], old)
	}
	b.WriteString(s[at:])
	return b.String()
}

func (w rewriter) masked(list []string) []string {
	if list == nil {
		return nil
	}
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = w.mask(s)
	}
	// A secret may stand across two strings of a TXT record, which are read as
	// one. Then they are one.
	if whole := strings.Join(out, ""); w.mask(whole) != whole {
		return []string{w.mask(whole)}
	}
	return out
}

func (w rewriter) answer(q Question, a *Answer) *Answer {
	b := *a
	b.Question = q
	b.Server = w.mask(a.Server)
	b.EDE = w.each(a.EDE)
	b.Chain = w.each(a.Chain)
	if a.RRs != nil {
		b.RRs = make([]RR, len(a.RRs))
		for i, rr := range a.RRs {
			rr.Name, rr.Host, rr.Data = w.mask(rr.Name), w.mask(rr.Host), w.mask(rr.Data)
			rr.Strings = w.masked(rr.Strings)
			if rr.SOA != nil {
				s := *rr.SOA
				s.MName, s.RName = w.mask(s.MName), w.mask(s.RName)
				rr.SOA = &s
			}
			b.RRs[i] = rr
		}
	}
	return &b
}

func (w rewriter) each(list []string) []string {
	if list == nil {
		return nil
	}
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = w.mask(s)
	}
	return out
}

// err is an error about q. Its cause is left out, since its text cannot be
// seen through, but for the end of the run, which others look for.
func (w rewriter) err(q Question, e *Error) *Error {
	out := &Error{Question: q, Reason: e.Reason, Server: w.mask(e.Server), EDE: w.each(e.EDE), Detail: w.mask(e.Detail)}
	for _, c := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(e.Err, c) {
			out.Err = c
		}
	}
	return out
}
