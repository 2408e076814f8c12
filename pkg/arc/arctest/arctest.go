// Package arctest seals messages for tests, as a forwarder does (RFC 8617 §5.1).
package arctest

import (
	"crypto"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/todoku-mail/todoku/pkg/arc"
	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dkim/dkimtest"
)

// A Sealer adds ARC sets.
type Sealer struct {
	Key      crypto.Signer
	Domain   string // d=
	Selector string // s=
	Names    []string
	Time     int64  // t=
	Results  string // what stands after "i=1; "
	// Chain is cv=; by default none for the first set and pass for later ones.
	Chain    string
	Unfolded bool // b= on one line, as the signer of the suite has it when it seals
	// EditSeal changes the seal before it is signed, as [dkimtest.Signer.Edit]
	// does.
	EditSeal func(text string) string
}

// Seal puts a set on top of a message with CRLF line ends. A chain that says
// cv=fail gets none (§5.1: nothing more can be said of it).
func (s Sealer) Seal(msg string) string {
	fields, _ := dkimtest.Fields(msg)
	h := dkim.NewHeader(fields)
	n := 0
	sets := map[int]map[string]string{}
	for _, name := range []string{arc.FieldResults, arc.FieldMessage, arc.FieldSeal} {
		for _, i := range h.All(name) {
			var k int
			for part := range strings.SplitSeq(fields[i].Value(), ";") {
				if v, ok := strings.CutPrefix(strings.TrimSpace(part), "i="); ok {
					fmt.Sscan(v, &k)
				}
				if strings.TrimSpace(part) == "cv=fail" {
					return msg
				}
			}
			if sets[k] == nil {
				sets[k] = map[string]string{}
			}
			sets[k][name] = string(fields[i].Raw)
			n = max(n, k)
		}
	}
	n++
	cv := s.Chain
	if cv == "" {
		cv = "pass"
		if n == 1 {
			cv = "none"
		}
	}
	tail := ""
	if s.Time != 0 {
		tail = fmt.Sprintf("; t=%d", s.Time)
	}
	alg := "rsa-sha256"
	if dkim.ParseKey(dkimtest.Record(s.Key)).Type == dkim.Ed25519 {
		alg = "ed25519-sha256"
	}
	results := fmt.Sprintf("%s: i=%d; %s\r\n", arc.FieldResults, n, s.Results)
	ms := dkimtest.Signer{Key: s.Key, Domain: s.Domain, Selector: s.Selector, Header: dkim.Relaxed, Body: dkim.Relaxed, Names: s.Names, Field: arc.FieldMessage, Unfolded: s.Unfolded,
		Edit: func(text string) string {
			// In the order of the suite.
			bh, _, _ := strings.Cut(text[strings.Index(text, "bh="):], ";")
			names, _, _ := strings.Cut(text[strings.Index(text, "h=")+2:], ";")
			return fmt.Sprintf("%s: a=%s; b=%s; %s; c=relaxed/relaxed;\r\n d=%s; h=%s; i=%d; s=%s%s", arc.FieldMessage, alg, dkimtest.Here, bh, s.Domain, names, n, s.Selector, tail)
		},
	}
	message := ms.SignField(results + msg)
	text := fmt.Sprintf("%s: a=%s; b=%s; cv=%s; d=%s; i=%d; s=%s%s", arc.FieldSeal, alg, dkimtest.Here, cv, s.Domain, n, s.Selector, tail)
	if s.EditSeal != nil {
		text = s.EditSeal(text)
	}
	data := ""
	if cv != "fail" {
		for i := 1; i < n; i++ {
			for _, name := range []string{arc.FieldResults, arc.FieldMessage, arc.FieldSeal} {
				data += string(dkim.AppendRelaxed(nil, []byte(sets[i][name])))
			}
		}
	}
	for _, f := range []string{results, message, strings.Replace(text, dkimtest.Here, "", 1) + "\r\n"} {
		data += string(dkim.AppendRelaxed(nil, []byte(f)))
	}
	sum := sha256.Sum256([]byte(strings.TrimSuffix(data, "\r\n")))
	seal := dkimtest.Insert(text, dkimtest.Raw(s.Key, crypto.SHA256, sum[:]), s.Unfolded)
	return seal + message + results + msg
}
