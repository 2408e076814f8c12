package dkim

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/facts"
)

// The fixes that this check proposes. None invents a key: which one belongs to
// the sending server, only its owner knows. What can be known is how a record
// was meant, where its name should be, and which tags stop its key from being
// used.

// fixText is a fix that gives the selector's one record the text that change
// makes of it, if the record is ours to change.
func (c *run1) fixText(r *dkim.Result, change func(string) (string, bool)) []diag.Fix {
	rr := r.RR()
	if rr == nil || !c.own(rr.Name) {
		return nil
	}
	old := rr.Text()
	text, ok := change(old)
	if !ok || text == old {
		return nil
	}
	return []diag.Fix{{Owner: diag.DNSAdmin, Edits: []diag.Edit{{Name: rr.Name, Type: "TXT", Old: old, New: text}}}}
}

// fixMultiple removes the records beside a key, if there is one key only that
// can be used.
func (c *run1) fixMultiple(r *dkim.Result) []diag.Fix {
	if len(r.Keys) != len(r.Answer.RRs) || !c.own(r.Answer.RRs[0].Name) {
		return nil
	}
	usable := 0
	fix := diag.Fix{Owner: diag.DNSAdmin}
	for i, k := range r.Keys {
		if k.Usable() {
			usable++
			continue
		}
		rr := &r.Answer.RRs[i]
		fix.Edits = append(fix.Edits, diag.Edit{Name: rr.Name, Type: "TXT", Old: rr.Text()})
	}
	if usable != 1 {
		return nil
	}
	return []diag.Fix{fix}
}

// fixName moves a key to where it belongs.
func (c *run1) fixName(m *facts.Misplaced) []diag.Fix {
	rr := m.RR()
	if rr == nil || m.Right == "" || !c.own(m.Name) {
		return nil
	}
	typ, text := "TXT", rr.Text()
	switch chain := m.Answer.Chain; {
	case len(chain) == 0 && rr.Name != m.Name:
		return nil
	case len(chain) > 0:
		typ, text = "CNAME", chain[0]+"."
	}
	return []diag.Fix{{Owner: diag.DNSAdmin, Edits: []diag.Edit{
		{Name: m.Name, Type: typ, Old: text},
		{Name: m.Right, Type: typ, New: text},
	}}}
}

// cut takes the octets of a tag out of a record, with its semicolon.
func cut(text string, s dkim.Span) string {
	head, tail := strings.TrimRight(text[:s.Start], " \t"), strings.TrimLeft(text[s.End:], " \t")
	tail = strings.TrimLeft(strings.TrimPrefix(tail, ";"), " \t")
	switch {
	case tail == "" && strings.HasSuffix(head, ";"):
		return strings.TrimSuffix(head, ";")
	case head == "":
		return tail
	}
	return head + " " + tail
}

func withoutTag(name string) func(string) (string, bool) {
	return func(text string) (string, bool) {
		t := dkim.ParseKey(text).Tag(name)
		if t == nil {
			return "", false
		}
		return cut(text, t.Span), true
	}
}

// withSHA256 lets signatures with SHA-256 use the key.
func withSHA256(text string) (string, bool) {
	t := dkim.ParseKey(text).Tag("h")
	if t == nil {
		return "", false
	}
	return text[:t.ValueSpan.Start] + "sha256" + text[t.ValueSpan.End:], true
}

// withoutTesting takes the flag y out.
func withoutTesting(text string) (string, bool) {
	k := dkim.ParseKey(text)
	t := k.Tag("t")
	if t == nil {
		return "", false
	}
	rest := slices.DeleteFunc(slices.Clone(k.Flags), func(f string) bool { return strings.EqualFold(f, "y") })
	if len(rest) == 0 {
		return cut(text, t.Span), true
	}
	return text[:t.ValueSpan.Start] + strings.Join(rest, ":") + text[t.ValueSpan.End:], true
}

var (
	// Signs that get into a record on the way through editors, forms and
	// Japanese input: quotes and escapes of the zone file's form, typographic
	// quotes, full-width punctuation, invisible spaces.
	strays = strings.NewReplacer(`\"`, "", `"`, "", `\;`, ";", "“", "", "”", "", "„", "", "；", ";", "＝", "=", "\u3000", " ",
		"\u00a0", " ", "\u200b", "", "\ufeff", "")
	armour    = regexp.MustCompile(`-----(?:BEGIN|END) [A-Z0-9 ]+-----`)
	afterV    = regexp.MustCompile(`^(\s*[vV]\s*=\s*(?i:dkim1))[\s,]+([khstnp]\s*=)`)
	afterK    = regexp.MustCompile(`([;\s]k\s*=\s*(?i:rsa|ed25519))[\s,]+([hstnp]\s*=)`)
	someSpace = regexp.MustCompile(`[ \t\r\n]+`)
)

// keyTypes are slips for k= that have one meaning only.
var keyTypes = map[string]string{"rsa-sha256": "rsa", "rsa-sha1": "rsa", "ed25519-sha256": "ed25519"}

// repair writes a key record the way it was meant, where there is one meaning
// only. The result is a key without any error, or ok is false.
func repair(text string) (out string, ok bool) {
	t := armour.ReplaceAllString(strays.Replace(text), "")
	t = afterV.ReplaceAllString(t, "$1; $2")
	t = afterK.ReplaceAllString(t, "$1; $2")
	k := dkim.ParseKey(t)
	if len(k.Errors) == 1 && k.Errors[0].Code == dkim.ErrBareKey {
		t = "v=DKIM1; k=rsa; p=" + k.Errors[0].Text
		k = dkim.ParseKey(t)
	}
	if len(k.Tags) == 0 {
		return "", false
	}
	value := map[string]string{}
	var order []string
	for _, tag := range k.Tags {
		name, v := tag.Name, tag.Value
		if lower := strings.ToLower(name); lower != name && len(name) == 1 && strings.Contains("vkhstnp", lower) {
			name = lower
		}
		switch name {
		case "v":
			if strings.EqualFold(v, "DKIM1") {
				v = "DKIM1"
			}
		case "k", "h", "s":
			v = strings.ToLower(v)
			if right, slip := keyTypes[v]; slip && name == "k" {
				v = right
			}
		case "p":
			v = someSpace.ReplaceAllString(v, "")
			if n := len(v) % 4; n >= 2 && !strings.Contains(v, "=") {
				v += "=="[:4-n]
			}
		}
		if old, twice := value[name]; twice {
			if old != v {
				return "", false // which of the two was meant?
			}
			continue
		}
		value[name] = v
		order = append(order, name)
	}
	for _, e := range k.Errors {
		switch e.Code {
		case dkim.ErrNoValue, dkim.ErrBadTagName, dkim.ErrTooManyTags, dkim.ErrTooLong:
			return "", false
		}
	}
	// v comes first.
	if i := slices.Index(order, "v"); i > 0 {
		order = slices.Insert(slices.Delete(order, i, i+1), 0, "v")
	}
	write := func() string {
		parts := make([]string, len(order))
		for i, n := range order {
			parts[i] = n + "=" + value[n]
		}
		return strings.Join(parts, "; ")
	}
	out = write()
	if e := dkim.ParseKey(out).Fault(); e != nil {
		switch e.Code {
		case dkim.ErrSPKIEd25519:
			// RFC 8463 §4.2: the last 32 octets are the key.
			b, err := base64.StdEncoding.DecodeString(value["p"])
			if err != nil || len(b) < 32 {
				return "", false
			}
			value["p"] = base64.StdEncoding.EncodeToString(b[len(b)-32:])
		case dkim.ErrKeyMismatch:
			// The key says itself what it is.
			if value["k"] == "ed25519" {
				value["k"] = "rsa"
			} else {
				if _, has := value["k"]; !has {
					at := 0
					if order[0] == "v" {
						at = 1
					}
					order = slices.Insert(order, at, "k")
				}
				value["k"] = "ed25519"
			}
		}
		out = write()
		if e := dkim.ParseKey(out).Fault(); e != nil && e.Code == dkim.ErrSPKIEd25519 && out != text {
			return repair(out)
		}
	}
	done := dkim.ParseKey(out)
	return out, len(done.Errors) == 0 && done.Public != nil
}

// forMail adds mail to the services of a key (RFC 6376 §3.6.1, s=), and leaves
// those that it has.
func forMail(text string) (string, bool) {
	t := dkim.ParseKey(text).Tag("s")
	if t == nil {
		return "", false
	}
	return text[:t.ValueSpan.End] + ":email" + text[t.ValueSpan.End:], true
}
