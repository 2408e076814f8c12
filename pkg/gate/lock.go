package gate

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// A Lock is the content of a lock file: what the records of domains, and those of
// others that they lead to, were when it was written. The file is YAML, sorted,
// an item a line, so that a difference between two of them reads as what moved.
type Lock struct {
	File    string
	Domains []diag.Locked // by domain
}

const lockHead = `# Written by todoku lock. Keep it beside your zone files: todoku check --locked
# tells what others have moved since. Write it anew when you have seen that.
version: 1
domains:
`

// WriteLock writes a lock file. What it writes, [ReadLock] reads.
func WriteLock(w io.Writer, domains []diag.Locked) error {
	var b strings.Builder
	b.WriteString(lockHead)
	sorted := slices.Clone(domains)
	slices.SortFunc(sorted, func(a, b diag.Locked) int { return cmp.Compare(a.Domain, b.Domain) })
	line := func(indent int, format string, a ...any) {
		b.WriteString(strings.Repeat(" ", indent))
		fmt.Fprintf(&b, format, a...)
		b.WriteByte('\n')
	}
	for i := range sorted {
		d := &sorted[i]
		line(2, "%s:", quote(d.Domain))
		line(4, "return_path: %s", quote(d.ReturnPath))
		line(4, "dkim_domain: %s", quote(d.DKIMDomain))
		empty := func(key string, n int) {
			if n == 0 {
				line(4, "%s: []", key)
			} else {
				line(4, "%s:", key)
			}
		}
		empty("spf", len(d.SPF))
		for _, s := range d.SPF {
			line(6, "- name: %s", quote(s.Name))
			line(8, "record: %s", quote(s.Record))
			if len(s.Networks) == 0 {
				line(8, "networks: []")
				continue
			}
			line(8, "networks:")
			for _, n := range s.Networks {
				line(10, "- %s", quote(n.String()))
			}
		}
		empty("mx", len(d.MX))
		for _, m := range d.MX {
			line(6, "- host: %s", quote(m.Host))
			line(8, "preference: %d", m.Preference)
			if len(m.Addresses) == 0 {
				line(8, "addresses: []")
				continue
			}
			line(8, "addresses:")
			for _, a := range m.Addresses {
				line(10, "- %s", quote(a.String()))
			}
		}
		empty("dkim", len(d.DKIM))
		for _, k := range d.DKIM {
			line(6, "- selector: %s", quote(k.Selector))
			if k.CNAME != "" {
				line(8, "cname: %s", quote(k.CNAME))
			}
			line(8, "key: %s", quote(k.Key))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// quote is text as a YAML scalar in double quotes, with everything escaped that
// is not printable ASCII: record text is a stranger's. Octets above 0x7f stand as
// \xNN, which in YAML is a character of that number: [unquote] makes octets of
// them again.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// unquote makes octets of the characters that quote wrote; false if there is one
// that it would not have written.
func unquote(s string) (string, bool) {
	var b []byte
	for _, r := range s {
		if r > 0xff {
			return "", false
		}
		b = append(b, byte(r))
	}
	return string(b), true
}

// LoadLock reads a lock file. The error is of the file system, or Errors.
func LoadLock(file string) (*Lock, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return ReadLock(b, file)
}

// ReadLock is LoadLock for text that is at hand; file is its name.
func ReadLock(text []byte, file string) (*Lock, error) {
	r := &reader{file: file, max: maxLock}
	l := &Lock{File: file}
	if root := r.parse(text); root != nil {
		r.lock(l, root)
	} else if len(r.errs) == 0 {
		r.errs = append(r.errs, &Error{File: file, Message: "is empty: write it with todoku lock"})
	}
	if len(r.errs) > 0 {
		return nil, r.sorted()
	}
	slices.SortFunc(l.Domains, func(a, b diag.Locked) int { return cmp.Compare(a.Domain, b.Domain) })
	return l, nil
}

// Domain is the entry of a domain; nil if it has none.
func (l *Lock) Domain(name string) *diag.Locked {
	for i := range l.Domains {
		if l.Domains[i].Domain == name {
			return &l.Domains[i]
		}
	}
	return nil
}

func (r *reader) lock(l *Lock, root ast.Node) {
	pairs, ok := r.mapping(root, "the file")
	if !ok {
		return
	}
	version, domains := false, false
	for _, p := range pairs {
		switch p.name {
		case "version":
			version = true
			if s, ok := r.str(p, "1"); ok && s != "1" {
				r.bad(p.value, "version is %s: this todoku reads version 1; write the file anew with todoku lock", s)
				return
			}
		case "domains":
			domains = true
			list, _ := r.mapping(p.value, "domains")
			for _, d := range list {
				l.Domains = append(l.Domains, r.locked(d))
			}
		default:
			r.unknown(p, "the file", "version", "domains")
		}
	}
	if !version || !domains {
		r.bad(root, "the file is no lock: expected \"version:\" and \"domains:\", as todoku lock writes them")
	}
}

// name is the text of p as a domain name as the DNS has it.
func (r *reader) name(p pair) string {
	s, ok := r.octets(p)
	if ok && dnsq.CanonicalName(s) != s {
		r.bad(p.value, "%s is %q: expected a name in lower case without a final dot", p.name, s)
	}
	return s
}

func (r *reader) octets(p pair) (string, bool) {
	if p.value == nil {
		r.bad(p.key, "%s has no value: expected text", p.name)
		return "", false
	}
	s, ok := text(p.value)
	if !ok {
		r.bad(p.value, "%s is %s: expected text", p.name, kindOf(p.value))
		return "", false
	}
	out, ok := unquote(s)
	if !ok {
		r.bad(p.value, "%s holds a character that todoku lock does not write", p.name)
	}
	return out, ok
}

// items are the mappings of a list.
func (r *reader) items(p pair, what string, each func([]pair)) {
	list, ok := p.value.(*ast.SequenceNode)
	if !ok {
		at := p.value
		if at == nil {
			at = p.key
		}
		r.bad(at, "%s is %s: expected a list, or [] for none", p.name, kindOf(p.value))
		return
	}
	for _, n := range list.Values {
		if pairs, ok := r.mapping(n, what); ok {
			each(pairs)
		}
	}
}

func (r *reader) locked(p pair) diag.Locked {
	d := diag.Locked{ReturnPath: p.name, DKIMDomain: p.name}
	if name, err := dnsq.ParseName(p.name); err != nil {
		r.bad(p.key, "%v", err)
	} else {
		d.Domain = name
	}
	pairs, ok := r.mapping(p.value, p.name)
	if !ok {
		return d
	}
	for _, q := range pairs {
		switch q.name {
		case "return_path":
			d.ReturnPath = r.name(q)
		case "dkim_domain":
			d.DKIMDomain = r.name(q)
		case "spf":
			r.items(q, "a record", func(item []pair) {
				var s diag.LockedSPF
				for _, i := range item {
					switch i.name {
					case "name":
						s.Name = r.name(i)
					case "record":
						s.Record, _ = r.octets(i)
					case "networks":
						for _, n := range r.texts(i, "networks") {
							net, err := netip.ParsePrefix(n.text)
							if err != nil {
								r.bad(n.node, "%q is not a network: expected one such as 192.0.2.0/24", n.text)
								continue
							}
							s.Networks = append(s.Networks, net)
						}
					default:
						r.unknown(i, "a record", "name", "record", "networks")
					}
				}
				d.SPF = append(d.SPF, s)
			})
		case "mx":
			r.items(q, "a mail host", func(item []pair) {
				var m diag.LockedMX
				for _, i := range item {
					switch i.name {
					case "host":
						m.Host = r.name(i)
					case "preference":
						s, _ := r.octets(i)
						n, err := strconv.ParseUint(s, 10, 16)
						if err != nil {
							r.bad(i.key, "preference is %q: expected a number from 0 to 65535", s)
						}
						m.Preference = int(n)
					case "addresses":
						for _, n := range r.texts(i, "addresses") {
							a, err := netip.ParseAddr(n.text)
							if err != nil || a.Zone() != "" {
								r.bad(n.node, "%q is not an IP address: expected one such as 192.0.2.1", n.text)
								continue
							}
							m.Addresses = append(m.Addresses, a)
						}
					default:
						r.unknown(i, "a mail host", "host", "preference", "addresses")
					}
				}
				d.MX = append(d.MX, m)
			})
		case "dkim":
			r.items(q, "a key", func(item []pair) {
				var k diag.LockedKey
				for _, i := range item {
					switch i.name {
					case "selector":
						k.Selector, _ = r.octets(i)
					case "cname":
						k.CNAME = r.name(i)
					case "key":
						k.Key, _ = r.octets(i)
						if !digestForm.MatchString(k.Key) {
							r.bad(i.key, "key is %q: expected sha256: and 64 digits 0-9 a-f", k.Key)
						}
					default:
						r.unknown(i, "a key", "selector", "cname", "key")
					}
				}
				d.DKIM = append(d.DKIM, k)
			})
		default:
			r.unknown(q, p.name, "return_path", "dkim_domain", "spf", "mx", "dkim")
		}
	}
	return d
}
