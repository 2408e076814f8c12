package message

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

//go:embed signs.tsv
var signsData string

// A SignKind says what a sign is a sign of.
type SignKind string

// The kinds.
const (
	SignSoftware        SignKind = "software"        // what program made the mail: WordPress, PHPMailer, Contact Form 7 …
	SignAcknowledgement SignKind = "acknowledgement" // it looks like the automatic answer to a form
	SignAutomatic       SignKind = "automatic"       // it says that a program sent it (RFC 3834)
	SignBulk            SignKind = "bulk"            // newsletters and other mail to many
	SignService         SignKind = "service"         // a service that sends for others
	SignForwarded       SignKind = "forwarded"       // it went through a list or was forwarded
	SignStamped         SignKind = "stamped"         // a receiver wrote its verdict into the subject
)

var signKinds = map[SignKind]bool{SignSoftware: true, SignAcknowledgement: true, SignAutomatic: true, SignBulk: true, SignService: true, SignForwarded: true, SignStamped: true}

// A Sign is a piece of evidence for what kind of mail it is.
type Sign struct {
	Kind   SignKind
	Name   string // of the program, field or service
	Sure   bool   // false: others have it as well
	Value  string // what it says: a version, a script, a field's value; decoded; from strangers
	Field  *Field // where it stands, nil if in the body
	Part   *Part  // where it stands in the body
	Line   string // in the body: the line of text that it stands in, decoded; from strangers
	Source string // where it was learnt
	// Confidence of the source: official, observed, secondary, memory.
	Confidence string
}

// Certain reports whether nothing but what the sign is of leaves it, by a source that
// is more than memory.
func (s *Sign) Certain() bool { return s.Sure && s.Confidence != "memory" }

type signRow struct {
	kind       SignKind
	name       string
	where      string
	pattern    *regexp.Regexp
	sure       bool
	source     string
	confidence string
}

var signRows = sync.OnceValue(func() []signRow {
	rows, err := parseSigns(signsData)
	if err != nil {
		panic("message: signs.tsv: " + err.Error()) // held by a test
	}
	return rows
})

func parseSigns(data string) ([]signRow, error) {
	var out []signRow
	for i, l := range strings.Split(strings.TrimSuffix(data, "\n"), "\n") {
		c := strings.Split(l, "\t")
		if len(c) != 8 {
			return nil, fmt.Errorf("line %d: %d columns, not 8", i+1, len(c))
		}
		if i == 0 {
			continue
		}
		re, err := regexp.Compile(c[3])
		_, isField := strings.CutPrefix(c[2], "field ")
		switch {
		case err != nil:
			return nil, fmt.Errorf("line %d: %v", i+1, err)
		case !signKinds[SignKind(c[0])] || c[1] == "" || c[5] == "" || len(c[6]) != 7:
			return nil, fmt.Errorf("line %d: a column is empty or not in form", i+1)
		case !isField && c[2] != "from-local" && c[2] != "text" && c[2] != "subject" && c[2] != "boundary" && c[2] != "message-id-host":
			return nil, fmt.Errorf("line %d: no such place %q", i+1, c[2])
		case c[4] != "sure" && c[4] != "hint":
			return nil, fmt.Errorf("line %d: neither sure nor hint", i+1)
		case c[7] != "official" && c[7] != "observed" && c[7] != "secondary" && c[7] != "memory":
			return nil, fmt.Errorf("line %d: no such confidence %q", i+1, c[7])
		}
		out = append(out, signRow{SignKind(c[0]), c[1], c[2], re, c[4] == "sure", c[5], c[7]})
	}
	return out, nil
}

// signText is how many octets of each text part are looked through for signs,
// signTexts how many parts.
const (
	signText  = 64 << 10
	signTexts = 4
)

// Signs looks for evidence of what made the mail and what kind of mail it is,
// in the order of signs.tsv. The error is that of reading the body.
func (m *Message) Signs() ([]Sign, error) {
	var out []Sign
	var texts []string
	var parts []*Part
	for _, p := range m.Texts() {
		if len(parts) == signTexts {
			break
		}
		t, err := p.Text(signText)
		if err != nil {
			return nil, err
		}
		texts, parts = append(texts, t.Text), append(parts, p)
	}
	var from *Field
	local := ""
	if from = m.Field("From"); from != nil {
		if l := from.Addresses(); len(l.Addresses) > 0 {
			local = l.Addresses[0].Local
		}
	}
	for _, r := range signRows() {
		add := func(f *Field, p *Part, match []string) {
			s := Sign{Kind: r.kind, Name: r.name, Sure: r.sure, Field: f, Part: p, Source: r.source, Confidence: r.confidence}
			if len(match) > 1 {
				s.Value = clip([]byte(strings.TrimSpace(match[1])), maxFaultText)
			}
			out = append(out, s)
		}
		if name, ok := strings.CutPrefix(r.where, "field "); ok {
			if f := m.Field(name); f != nil {
				if match := r.pattern.FindStringSubmatch(f.Text()); match != nil {
					add(f, nil, match)
				}
			}
			continue
		}
		var f *Field
		value := ""
		switch r.where {
		case "from-local":
			f, value = from, local
		case "subject":
			if f = m.Field("Subject"); f != nil {
				value = f.Text()
			}
		case "boundary":
			f, value = m.Field("Content-Type"), m.Root.Type.Get("boundary")
		case "message-id-host":
			if f = m.Field("Message-ID"); f != nil {
				_, value, _ = ParseMessageID(f.Value())
			}
		case "text":
			for i, t := range texts {
				if match := r.pattern.FindStringSubmatch(t); match != nil {
					add(nil, parts[i], match)
					out[len(out)-1].Line = lineAt(t, strings.Index(t, match[0]))
					break
				}
			}
			continue
		}
		if f != nil && value != "" {
			if match := r.pattern.FindStringSubmatch(value); match != nil {
				add(f, nil, match)
			}
		}
	}
	return out, nil
}

// lineAt is the line of text that octet i is in, cut to what is kept of a fault.
func lineAt(text string, i int) string {
	from := strings.LastIndexByte(text[:i], '\n') + 1
	if i-from > maxFaultText/2 { // keep what was found
		from = i
	}
	line, _, _ := strings.Cut(text[from:], "\n")
	return strings.ToValidUTF8(clip([]byte(strings.TrimSpace(line)), maxFaultText), "")
}

// Unsubscribe is what a mail offers to those who want no more of it.
type Unsubscribe struct {
	URIs []string // of List-Unsubscribe, in order (RFC 2369 §2)
	// OneClick: List-Unsubscribe-Post is there with the one value that it may
	// have, and one URI is https (RFC 8058 §3.1).
	OneClick bool
	Post     string // the value of List-Unsubscribe-Post
	Field    *Field // List-Unsubscribe, nil if there is none
}

// Unsubscribe reads List-Unsubscribe and List-Unsubscribe-Post. Whether a
// signature covers them, as RFC 8058 §4 wants, it does not say.
func (m *Message) Unsubscribe() Unsubscribe {
	var u Unsubscribe
	if u.Field = m.Field("List-Unsubscribe"); u.Field != nil {
		u.URIs = ListURIs(u.Field.Value())
	}
	u.Post = strings.TrimSpace(stripComments(m.Value("List-Unsubscribe-Post")))
	for _, s := range u.URIs {
		if len(s) > 8 && strings.EqualFold(s[:8], "https://") && strings.EqualFold(u.Post, "List-Unsubscribe=One-Click") {
			u.OneClick = true
		}
	}
	return u
}

// ListURIs reads the value of a List- field: URIs in < and >, with commas
// between them and comments anywhere (RFC 2369 §2). White space inside a URI is
// taken out, as the RFC says.
func ListURIs(s string) []string {
	var out []string
	for len(out) < 100 {
		i := strings.IndexByte(s, '<')
		// A comment may hold a "<".
		if c := strings.IndexByte(s, '('); c >= 0 && c < i {
			if end := skipComment(s, c); end > 0 {
				s = s[end:]
				continue
			}
		}
		if i < 0 {
			break
		}
		j := strings.IndexByte(s[i:], '>')
		if j < 0 {
			break
		}
		if uri := strings.Join(strings.Fields(s[i+1:i+j]), ""); uri != "" {
			out = append(out, uri)
		}
		s = s[i+j+1:]
	}
	return out
}

// ReturnPath is the address of the topmost Return-Path field, which the
// receiver wrote. ok is false if there is none or it holds no address; "<>" is
// an address that is Null.
func (m *Message) ReturnPath() (a Address, f *Field, ok bool) {
	if f = m.Field("Return-Path"); f == nil {
		return a, nil, false
	}
	l := f.Addresses()
	if len(l.Addresses) == 0 {
		return a, f, false
	}
	return l.Addresses[0], f, true
}

// A Rewriting is how a Return-Path was made out of another address.
type Rewriting struct {
	Scheme string // "srs0", "srs1", "batv", "gmail-forward", "verp"; "" if none is known
	// Original is the address that was rewritten, as far as it can be told: the
	// sender of srs0, batv and srs1 (where only the domain is certain: ""), the
	// mailbox that forwarded (gmail-forward), the recipient (verp).
	Original string
}

var (
	srs0 = regexp.MustCompile(`(?i)^srs0[=+-][^=]+=[^=]+=([^=]+)=(.+)$`)
	srs1 = regexp.MustCompile(`(?i)^srs1[=+-][^=]+=`)
	batv = regexp.MustCompile(`(?i)^(?:prvs|btv1)=[^=]+=(.+)$`)
	caf  = regexp.MustCompile(`(?i)^(.+)\+caf_=(.+)=([^=]+)$`)
	verp = regexp.MustCompile(`^[^+=]+[+-](?:.*[+-])?([^+=]+)=([^=@]+\.[^=@]+)$`)
)

// Rewritten tells from the form of an address whether a forwarder or a list
// made it: SRS, BATV (prvs=), Gmail's forwarding, VERP. RFC 5321 §4.1.2 leaves
// the local part to the domain, so this is a guess from usage, safe for SRS and
// BATV, which nobody writes by chance.
func (a Address) Rewritten() Rewriting {
	if m := srs0.FindStringSubmatch(a.Local); m != nil {
		return Rewriting{"srs0", m[2] + "@" + m[1]}
	}
	if srs1.MatchString(a.Local) {
		return Rewriting{"srs1", ""}
	}
	if m := batv.FindStringSubmatch(a.Local); m != nil {
		return Rewriting{"batv", m[1] + "@" + a.Domain}
	}
	if m := caf.FindStringSubmatch(a.Local); m != nil {
		return Rewriting{"gmail-forward", m[1] + "@" + a.Domain}
	}
	if m := verp.FindStringSubmatch(a.Local); m != nil {
		return Rewriting{"verp", m[1] + "@" + m[2]}
	}
	return Rewriting{}
}

// hostUsers are the users under which web servers run, which a mail from a web
// program carries in its Return-Path where nobody set another.
var hostUsers = map[string]bool{"www-data": true, "apache": true, "nobody": true, "www": true, "wwwrun": true, "httpd": true, "nginx": true, "daemon": true, "web": true,
	"http": true, "php": true, "apache2": true, "nfsnobody": true, "root": true}

// hostServer are names of single machines at hosts.
var hostServer = regexp.MustCompile(`(?i)^(?:sv|www|web|srv|server|vps|host|ip-?)-?[0-9][0-9a-z-]*\.`)

// HostUser reports whether the address is one that a server makes up for its
// own programs: www-data@…, taro@sv1234.host.example. user is true where the
// local part says so, host where the domain is that of a single machine.
func (a Address) HostUser() (user, host bool) {
	return hostUsers[strings.ToLower(a.Local)], hostServer.MatchString(a.Domain)
}

// freemail are domains under which everybody has an address, so that no shop's
// server may send for them.
var freemail = map[string]bool{"gmail.com": true, "googlemail.com": true, "yahoo.co.jp": true, "ymail.ne.jp": true, "yahoo.com": true, "ymail.com": true, "aol.com": true,
	"outlook.com": true, "outlook.jp": true, "hotmail.com": true, "hotmail.co.jp": true, "live.com": true, "live.jp": true, "msn.com": true,
	"icloud.com": true, "me.com": true, "mac.com": true, "docomo.ne.jp": true, "ezweb.ne.jp": true, "au.com": true, "uqmobile.jp": true, "softbank.ne.jp": true,
	"i.softbank.jp": true, "ymobile.ne.jp": true, "y-mobile.ne.jp": true, "rakuten.jp": true, "nifty.com": true, "biglobe.ne.jp": true, "ocn.ne.jp": true, "plala.or.jp": true, "excite.co.jp": true,
	"gmx.de": true, "gmx.net": true, "gmx.com": true, "web.de": true, "t-online.de": true, "proton.me": true, "protonmail.com": true, "mail.ru": true, "yandex.ru": true, "qq.com": true, "163.com": true, "naver.com": true}

// Freemail reports whether everybody can have an address under the domain.
func Freemail(domain string) bool {
	return freemail[strings.ToLower(strings.TrimSuffix(strings.TrimSpace(domain), "."))]
}
