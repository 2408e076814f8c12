package signature

import (
	"slices"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/message"
)

// maxShown is how many changes of one kind are shown as evidence.
const maxShown = 4

// kindOf says which finding a change belongs to: those with one remedy are one.
func kindOf(c *dkim.Change) *diag.Kind {
	switch c.Kind {
	case dkim.FooterAdded, dkim.BannerAdded, dkim.TextInserted, dkim.PartAdded, dkim.Wrapped:
		return footerAdded
	case dkim.EncodingChanged, dkim.CharsetChanged:
		return recoded
	case dkim.LineEnds, dkim.LinesBroken, dkim.FromQuoted, dkim.DotsChanged:
		return linesChanged
	case dkim.BlankLines, dkim.SpaceAdded, dkim.SpaceRemoved, dkim.Refolded:
		return whitespace
	case dkim.BodyCut:
		return bodyCut
	case dkim.BodyChanged:
		return bodyChanged
	case dkim.SubjectTagged:
		return subjectTagged
	case dkim.FromRewritten:
		return fromRewritten
	case dkim.FieldAdded:
		return headerAdded
	case dkim.FieldRemoved:
		return headerRemoved
	case dkim.FieldChanged:
		if refolded(c) {
			return whitespace
		}
		return headerChanged
	case dkim.HeaderChanged:
		return headerUnknown
	}
	return nil
}

// refolded reports whether only white space of a field was changed.
func refolded(c *dkim.Change) bool {
	return c.Kind == dkim.FieldChanged && strings.Join(strings.Fields(c.Is), "") == strings.Join(strings.Fields(c.Was), "")
}

// ofHeader are the kinds of changes of the header.
var ofHeader = map[dkim.ChangeKind]bool{dkim.SubjectTagged: true, dkim.FromRewritten: true, dkim.FieldAdded: true,
	dkim.FieldRemoved: true, dkim.FieldChanged: true, dkim.Refolded: true, dkim.HeaderChanged: true}

// changes reports what was done to the mail after it was signed.
func (c *run1) changes(s *sig) {
	by, who := c.changer()
	eitherWay := s.HeaderMatch == dkim.Mismatches && !s.headerBroken()
	if eitherWay && c.mail.DNSThen(c.Now(), s.Time) {
		// The signature and the header do not fit, and neither gives the other away.
		if c.cause(s) == dkim.CauseKeyChanged {
			c.report(keyOther, s, diag.Args{"name": s.Lookup.Name}).Evidence = append(c.field(s), c.record(s)...)
		} else {
			c.report(keyOrHeader, s, nil).Evidence = append(c.field(s), c.record(s)...)
		}
	}
	if s.why == nil {
		// One of too many to be looked into.
		if s.BodyMatch == dkim.Mismatches {
			c.change(s, bodyChanged, nil, by, who)
		}
		if s.headerBroken() {
			c.change(s, headerUnknown, nil, by, who)
		}
		return
	}
	recodes := slices.ContainsFunc(s.why.Changes, func(ch dkim.Change) bool { return kindOf(&ch) == recoded })
	var order []*diag.Kind
	of := map[*diag.Kind][]int{}
	for i := range s.why.Changes {
		ch := &s.why.Changes[i]
		k := kindOf(ch)
		if k == headerChanged && recodes && strings.HasPrefix(strings.ToLower(ch.Field), "content-") {
			k = recoded // the field that says how the text is coded
		}
		if k == nil || eitherWay && ofHeader[ch.Kind] {
			continue // likely at most, and it may be the key: said above
		}
		if of[k] == nil {
			order = append(order, k)
		}
		of[k] = append(of[k], i)
	}
	for _, k := range order {
		c.change(s, k, of[k], by, who)
	}
}

// change reports the changes of one kind, by their places in s.why.Changes.
func (c *run1) change(s *sig, k *diag.Kind, list []int, by string, who []diag.Evidence) {
	args := diag.Args{}
	var first *dkim.Change
	if len(list) > 0 {
		first = &s.why.Changes[list[0]]
		for _, i := range list {
			if ch := &s.why.Changes[i]; kindOf(ch) == k {
				first = ch
				break
			}
		}
	}
	for _, name := range k.Args {
		switch name {
		case "by":
			args[name] = by
		case "proof":
			args[name] = "likely"
			if !slices.ContainsFunc(list, func(i int) bool { return !s.why.Changes[i].Proven }) {
				args[name] = "proven"
			}
		case "what":
			var what []string
			for _, i := range list {
				w := string(s.why.Changes[i].Kind)
				if refolded(&s.why.Changes[i]) {
					w = string(dkim.Refolded)
				}
				if !slices.Contains(what, w) {
					what = append(what, w)
				}
			}
			args[name] = what
		case "field":
			var fields []string
			for _, i := range list {
				if n := s.why.Changes[i].Field; !slices.Contains(fields, n) {
					fields = append(fields, n)
				}
			}
			args[name] = fields
		case "fields":
			args[name] = []string{}
			for _, n := range s.Names {
				if l := args[name].([]string); !slices.ContainsFunc(l, func(x string) bool { return strings.EqualFold(x, n) }) {
					args[name] = append(l, n)
				}
			}
		case "is":
			args[name] = shown(first.Is)
			if k == recoded && first.Was == "" {
				args[name] = "unknown" // likely, by a field that says so
			}
		case "was":
			args[name] = shown(first.Was)
			if first.Was == "" {
				args[name] = "unknown"
			}
		case "canonicalization":
			args[name] = string(s.HeaderForm) + "/" + string(s.BodyForm)
		case "length":
			args[name] = int(s.Length)
		case "size":
			args[name] = int(s.BodySize)
		}
	}
	f := c.report(k, s, args)
	// Whoever runs a list can leave such changes; who signs can only sign later.
	if by == "list" && (k == footerAdded || k == subjectTagged || k == fromRewritten) {
		f.Owner = diag.Provider
	}
	for n, i := range list {
		if n == maxShown {
			break
		}
		f.Evidence = append(f.Evidence, c.shows(s, i)...)
	}
	if len(f.Evidence) == 0 {
		f.Evidence = c.field(s)
	}
	if len(who) > 0 {
		f.Evidence = append(f.Evidence, who[0])
	}
}

// shown is a header value as a reader sees it: on one line, words decoded.
func shown(value string) string {
	value = strings.ReplaceAll(strings.ReplaceAll(value, "\r\n", ""), "\n", "")
	return strings.TrimSpace(message.DecodeText(strings.TrimSpace(value)).Text)
}

// shows is the text of the mail at which a change can be seen.
func (c *run1) shows(s *sig, i int) []diag.Evidence {
	ch := &s.why.Changes[i]
	switch {
	case ch.Field == "" && ch.Is != "":
		if ch.Kind == dkim.EncodingChanged || ch.Kind == dkim.CharsetChanged {
			return nil // the names of the two are in the arguments
		}
		return []diag.Evidence{c.bodyEvidence(ch.Is, s.why.Lines[i])}
	case ch.Field != "" && ch.Index >= 0 && ch.Index < len(c.mail.Header):
		return []diag.Evidence{c.mail.FieldEvidence(c.mail.Header[ch.Index], 0, 0)}
	}
	return nil
}

func (c *run1) bodyEvidence(text string, line int) diag.Evidence {
	return diag.Evidence{Name: "body", Type: "body", Text: strings.TrimRight(text, "\r\n"), Source: dnsq.SourceMessage, File: c.mail.File, Line: line}
}

// changer is who most likely changed the mail, as far as it shows: a code, and the
// field that shows it. Mailing lists name themselves (RFC 2919, RFC 2369); so do
// newsletters, but their sender signs last. Filters leave their fields in most
// mail, changed or not.
func (c *run1) changer() (by string, shows []diag.Evidence) {
	for _, x := range []struct{ name, by string }{
		{"List-Id", "list"}, {"List-Post", "list"}, {"X-Mailman-Version", "list"}, {"Mailing-List", "list"}, {"X-ML-Name", "list"},
		{"X-Virus-Scanned", "filter"}, {"X-Barracuda-Spam-Status", "filter"}, {"X-Proofpoint-Virus-Version", "filter"},
		{"X-TM-AS-Product-Ver", "filter"}, {"X-Mimecast-Spam-Score", "filter"}, {"X-Spam-Checker-Version", "filter"},
	} {
		if f := c.mail.Field(x.name); f != nil {
			return x.by, []diag.Evidence{c.mail.FieldEvidence(f, 0, 0)}
		}
	}
	return "unknown", nil
}

// field is the signature's own field.
func (c *run1) field(s *sig) []diag.Evidence {
	return []diag.Evidence{c.mail.SignatureEvidence(s.Index, 0, 0)}
}

// tag is a part of the signature's own field.
func (c *run1) tag(s *sig, name string) []diag.Evidence {
	if t := s.Tag(name); t != nil {
		return []diag.Evidence{c.mail.SignatureEvidence(s.Index, t.Start, t.End)}
	}
	return c.field(s)
}

// record is the key record, or all that stand at the selector.
func (c *run1) record(s *sig) []diag.Evidence {
	if s.Lookup == nil || s.Lookup.Answer == nil {
		return nil
	}
	var out []diag.Evidence
	for i, k := range s.Lookup.Keys {
		if len(out) == maxShown || s.Key != nil && k != s.Key || k.Fault() != nil && k.Fault().Code == dkim.ErrPrivateKey {
			continue // a private key is not to be spread by a report
		}
		rr := &s.Lookup.Answer.RRs[i]
		out = append(out, facts.Evidence(rr, rr.Text(), 0, 0))
	}
	return out
}
