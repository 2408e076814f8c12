// Package received reads the Received fields of a mail: the way that it came.
//
// # The path in one page
//
// Every server that takes a mail puts a Received field on top of it (RFC 5321
// §4.4): from whom it came, by whom it was taken, how, and when. The topmost
// field is the last server's, the lowest the first's:
//
//	Received: from mail.shop.example (web01.host.example [192.0.2.25])
//		by mx.customer.example (Postfix) with ESMTPS id 4XYZ
//		for <taro@customer.example>; Mon, 2 Nov 2026 10:00:00 +0900
//
// Behind "from" stands the name with which the client greeted (HELO), which it
// can choose; in the comment what the server saw itself: the client's address
// and the name that the DNS has for it. The grammar has no place for either, so
// every program writes them in its own way. [Parse] reads the ways of Postfix,
// Exim, sendmail, qmail, Gmail, Microsoft, Yahoo, Amazon and their like.
//
// # What can be believed
//
// A field is worth as much as the server that wrote it. The receiver's own are
// facts: what they say about the host that delivered the mail is what SPF is
// judged by. Everything below the first field of the receiver was in the mail
// when it came, and anybody can write anything there: it is a claim. [Path]
// says where the border is and how that is known, by the names of receivers in
// receivers.tsv, by names that the user gives, or by an address that the user
// gives. Where it is not known it says so; it never takes the topmost field
// that looks like it.
package received

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/todoku-mail/todoku/pkg/message"
)

// A Hop is one Received field, read. Everything in it is what the field says.
type Hop struct {
	Raw string // the value, unfolded

	// From: HELO is the name in the greeting, as given ("[192.0.2.1]" too).
	// Reverse is the name that the server found for the address, without a final
	// dot. NoReverse: it looked and found none, or one that did not lead back.
	// Addr is the client's address; the zero Addr if the field has none.
	HELO      string
	Reverse   string
	NoReverse bool
	Addr      netip.Addr

	By     string // the server's name for itself
	ByAddr netip.Addr
	Via    string
	With   string // the protocol as written: "ESMTPS", "Microsoft SMTP Server"
	ID     string
	For    string // the recipient, without < and >

	// EnvelopeFrom is the Return-Path, where the field says it (Exim, qmail,
	// sendmail). HasEnvelopeFrom tells "<>" from nothing.
	EnvelopeFrom    string
	HasEnvelopeFrom bool

	TLS TLS
	// Authenticated: the client logged in (RFC 3848 §3: a protocol ending in A;
	// or a comment says so). User is its name, if said.
	Authenticated bool
	User          string
	// Local: the mail came from a program on the server itself, not over the
	// network. User is whose.
	Local bool
	// Fetched: it was collected from a mailbox (POP, IMAP), not sent to the host.
	Fetched bool
	// HTTP: it was handed in by a web page or an API.
	HTTP bool

	Software Software
	Comments []string // without the outer parentheses, in order

	// Date is the time; HasDate is false if there is none, or none that can be
	// read.
	Date    message.Date
	HasDate bool

	// Faults are what the field lacks or has in no known form.
	Faults []Fault
}

// TLS says how the connection was protected.
type TLS struct {
	Used    bool
	Version string // "TLS1.3", "TLS1.2", "SSL3"; "" if not said
	Cipher  string
	Bits    int
}

// Software is what wrote the field, by its form.
type Software string

// The programs that are told apart.
const (
	Unknown   Software = ""
	Postfix   Software = "postfix"
	Exim      Software = "exim"
	Sendmail  Software = "sendmail"
	Qmail     Software = "qmail"
	Google    Software = "google"
	Microsoft Software = "microsoft"
	Yahoo     Software = "yahoo"
	Dovecot   Software = "dovecot" // LMTP into a mailbox
)

// A Fault is what is wrong with a field.
type Fault string

// The faults.
const (
	NoDate      Fault = "no-date"      // none, or none that can be read (RFC 5321 §4.4)
	NoSemicolon Fault = "no-semicolon" // a date without the semicolon before it
	NoBy        Fault = "no-by"
	BadAddress  Fault = "bad-address" // brackets without an address in them
	NoEnd       Fault = "no-end"      // a comment without end
	TooLong     Fault = "too-long"    // over MaxLength; the rest was not read
)

// MaxLength is how many octets of one field are read.
const MaxLength = 16 << 10

var (
	bracketed  = regexp.MustCompile(`\[([^\[\]\s]{2,60})\](?::\d+)?`)
	heloWord   = regexp.MustCompile(`(?i)\b(?:helo|ehlo)[= ]+"?([^\s"()]+)`)
	tlsVersion = regexp.MustCompile(`(?i)\b(TLSv?1(?:[._][0-3])?|TLS1[._]?[0-3]|TLS 1\.[0-3]|SSLv?[23])\b`)
	cipherWord = regexp.MustCompile(`(?i)\bcipher[= ]+([A-Za-z0-9_+\-]+)`)
	eximCipher = regexp.MustCompile(`^(?:TLS[v0-9._]*|SSLv3)[:/]([A-Za-z0-9_\-]+)(?::(\d+))?$`)
	encrypted  = regexp.MustCompile(`^([A-Za-z0-9_\-]+) encrypted$`)
	bitsWord   = regexp.MustCompile(`(?i)\bbits[= ]+(\d+)|\((\d+)/\d+ bits\)`)
	envFrom    = regexp.MustCompile(`(?i)\benvelope-(?:from|sender)[= ]*<?([^<>\s)]*)>?`)
	authSender = regexp.MustCompile(`(?i)\bauthenticated sender:? ?([^\s)]*)`)
	authWord   = regexp.MustCompile(`(?i)\bauthenticated(?: as ([^\s)]+))?\b|\bauth=pass\b|\bauthid=`)
	userID     = regexp.MustCompile(`(?i)from userid (\d+)|invoked by uid (\d+)|^from ([^\s@]+)@localhost$`)
	dateAtEnd  = regexp.MustCompile(`(?i)(?:(?:mon|tue|wed|thu|fri|sat|sun),? +)?\d{1,2} +(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]* +\d{2,4} +\d{1,2}:\d{2}.*$`)
)

// Parse reads the value of a Received field, folded or not. It reads what it
// can; Faults says what it could not.
func Parse(value string) Hop {
	value = strings.Join(strings.FieldsFunc(value, func(r rune) bool { return r == '\r' || r == '\n' }), "")
	h := Hop{}
	if len(value) > MaxLength {
		value = value[:MaxLength]
		h.Faults = append(h.Faults, TooLong)
	}
	h.Raw = strings.TrimSpace(value)
	clauses := h.split(h.Raw)
	h.readFrom(clauses["from"])
	h.readBy(clauses["by"])
	h.Via = clauses["via"].text()
	h.With = clauses["with"].text()
	h.ID = clauses["id"].first()
	h.For = strings.Trim(clauses["for"].first(), "<>")
	if c := clauses["tls"]; len(c.words) > 0 { // RFC 8314 §4.3
		h.TLS.Used, h.TLS.Cipher = true, c.words[0]
	}
	h.readComments()
	h.readProtocol()
	h.software(clauses)
	if h.By == "" && !h.ByAddr.IsValid() && h.Software != Qmail {
		h.Faults = append(h.Faults, NoBy)
	}
	return h
}

// A clause is what follows a key word: words, and the comments among them.
type clause struct {
	words    []string
	comments []string
}

func (c clause) text() string { return strings.Join(c.words, " ") }

func (c clause) first() string {
	if len(c.words) == 0 {
		return ""
	}
	return c.words[0]
}

// keys are the words that begin a clause (RFC 5321 §4.4; "tls" RFC 8314).
var keys = map[string]bool{"from": true, "by": true, "via": true, "with": true, "id": true, "for": true, "tls": true}

// split cuts the value into its clauses and reads the date. A key word counts
// the first time.
func (h *Hop) split(s string) map[string]clause {
	out := map[string]clause{}
	cur := ""
	var c clause
	end := func() {
		if cur != "" {
			out[cur] = c
		} else if len(c.comments) > 0 {
			out[""] = c
		}
		c = clause{}
	}
	dateFrom := -1
	i := 0
scan:
	for i < len(s) {
		switch ch := s[i]; {
		case ch == ' ' || ch == '\t' || ch == ')':
			i++
		case ch == '(':
			j := commentEnd(s, i)
			if j < 0 {
				h.Faults = append(h.Faults, NoEnd)
				j = len(s)
				if k := strings.LastIndexByte(s, ';'); k > i {
					j = k
				}
				c.comments = append(c.comments, strings.TrimSpace(s[i+1:j]))
				i = j
				continue
			}
			c.comments = append(c.comments, strings.TrimSpace(s[i+1:j-1]))
			i = j
		case ch == ';':
			// qmail and some gateways write attributes behind a semicolon; the date
			// is behind the last one.
			if k := lastSemicolon(s, i); k > i {
				i = k
			}
			dateFrom = i + 1
			break scan
		default:
			j := i
			for j < len(s) && strings.IndexByte(" \t();", s[j]) < 0 {
				if s[j] == '"' {
					if k := strings.IndexByte(s[j+1:], '"'); k >= 0 {
						j += k + 1
					}
				}
				j++
			}
			w := s[i:j]
			low := strings.ToLower(w)
			_, had := out[low]
			if keys[low] && !had && low != cur && (low != "from" || cur == "" && len(c.words) == 0) {
				end()
				cur = low
			} else {
				c.words = append(c.words, w)
			}
			i = j
		}
	}
	// Some write no semicolon: the date is what looks like one at the end.
	date := ""
	if dateFrom >= 0 {
		date = s[dateFrom:]
	} else if m := dateAtEnd.FindStringIndex(s); m != nil {
		date = s[m[0]:]
		h.Faults = append(h.Faults, NoSemicolon)
		for k, w := range c.words {
			if strings.HasPrefix(date, w) || strings.HasPrefix(strings.ToLower(date), strings.ToLower(w)) {
				c.words = c.words[:k]
				break
			}
		}
	}
	end()
	if d, err := message.ParseDate(date); err == nil {
		h.Date, h.HasDate = d, true
	} else {
		h.Faults = append(h.Faults, NoDate)
	}
	h.Comments = nil
	for _, k := range []string{"", "from", "by", "via", "with", "tls", "id", "for"} {
		h.Comments = append(h.Comments, out[k].comments...)
	}
	return out
}

func lastSemicolon(s string, from int) int {
	last, depth := from, 0
	for i := from; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			depth--
		case ';':
			if depth <= 0 {
				last = i
			}
		}
	}
	return last
}

// commentEnd is the offset behind the comment at s[i] == '('; -1 if it has no
// end.
func commentEnd(s string, i int) int {
	depth := 0
	for ; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// parseAddr reads an address as Received fields have it: "192.0.2.1",
// "IPv6:2001:db8::1", "fe80::1%4", "user@192.0.2.1". ok is false for a name.
func parseAddr(s string) (netip.Addr, bool) {
	s = strings.Trim(s, "[]")
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		s = s[i+1:]
	}
	if len(s) > 5 && strings.EqualFold(s[:5], "ipv6:") {
		s = s[5:]
	}
	// "192.0.2.1:25"
	if c := strings.Count(s, ":"); c == 1 && strings.Contains(s, ".") {
		s, _, _ = strings.Cut(s, ":")
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, false
	}
	return a.WithZone("").Unmap(), true
}

func isName(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '.' || c == '-' || c == '_' || c >= 0x80) {
			return false
		}
	}
	return true
}

// readFrom reads who delivered the mail. What stands where depends on who
// writes:
//
//	HELO (reverse [addr])            Postfix, sendmail, Gmail (reverse with a final dot)
//	HELO (addr)                      Microsoft
//	reverse ([addr] helo=HELO)       Exim; "[addr] (helo=HELO)" without a reverse name
//	reverse ([addr])                 Exim, where HELO is the reverse name
//	reverse (HELO HELO) (addr)       qmail; "unknown" without a reverse name
//	addr  (EHLO HELO)                Yahoo
//	HELO ([addr])                    others, without a reverse name
func (h *Hop) readFrom(c clause) {
	if len(c.words) == 0 && len(c.comments) == 0 {
		return
	}
	name := strings.TrimSuffix(c.first(), ".")
	firstAddr, firstIsAddr := parseAddr(name)
	helo := ""
	for _, com := range c.comments {
		if m := heloWord.FindStringSubmatch(com); m != nil && helo == "" {
			helo = m[1]
		}
	}
	// The address: in brackets first, then a comment that is nothing else, then
	// the name itself.
	for _, com := range c.comments {
		if h.Addr.IsValid() {
			break
		}
		com = heloWord.ReplaceAllString(com, "") // "helo=[10.0.0.1]"
		for _, m := range bracketed.FindAllStringSubmatchIndex(com, -1) {
			a, ok := parseAddr(com[m[2]:m[3]])
			if !ok {
				continue
			}
			h.Addr = a
			if before := strings.TrimSpace(com[:m[0]]); before != "" && helo == "" {
				// "IDENT:user@name", "user@name"
				f := strings.Fields(before)
				n := f[len(f)-1]
				if i := strings.LastIndexByte(n, '@'); i >= 0 {
					n = n[i+1:]
				}
				n = strings.TrimSuffix(n, ".")
				switch {
				case strings.EqualFold(n, "unknown") || strings.EqualFold(n, "unverified"):
					h.NoReverse = true
				case isName(n):
					if _, isAddr := parseAddr(n); !isAddr {
						h.Reverse = n
					}
				}
			}
			break
		}
	}
	for _, com := range c.comments {
		if h.Addr.IsValid() {
			break
		}
		for _, w := range strings.Fields(com) {
			if a, ok := parseAddr(strings.Trim(w, ",;")); ok {
				h.Addr = a
				break
			}
		}
	}
	for _, w := range c.words[min(1, len(c.words)):] {
		// "name [192.0.2.1]" without a comment, as RFC 2822's examples have it.
		if !h.Addr.IsValid() && strings.HasPrefix(w, "[") {
			if a, ok := parseAddr(w); ok {
				h.Addr = a
			}
		}
	}
	if firstIsAddr && !h.Addr.IsValid() {
		h.Addr = firstAddr
	}
	for _, com := range c.comments {
		if strings.Contains(strings.ToLower(com), "may be forged") {
			// sendmail: the name does not lead back to the address.
			h.Reverse, h.NoReverse = "", true
		}
	}
	switch {
	case helo != "":
		h.HELO = helo
		if !firstIsAddr && name != "" {
			if strings.EqualFold(name, "unknown") {
				h.NoReverse = true
			} else {
				h.Reverse = name
			}
		}
	default:
		h.HELO = name
	}
	if !h.Addr.IsValid() {
		for _, com := range c.comments {
			if strings.ContainsAny(com, "[") {
				h.Faults = append(h.Faults, BadAddress)
				break
			}
		}
	}
}

func (h *Hop) readBy(c clause) {
	h.By = strings.TrimSuffix(c.first(), ".")
	if a, ok := parseAddr(h.By); ok {
		h.ByAddr = a
		if strings.HasPrefix(h.By, "[") {
			h.By = ""
		}
	}
	for _, com := range c.comments {
		if h.ByAddr.IsValid() {
			break
		}
		if a, ok := parseAddr(com); ok {
			h.ByAddr = a
		}
	}
}

// readComments reads what stands in comments or as attributes, wherever.
func (h *Hop) readComments() {
	tls := func(s string) {
		if v := tlsVersion.FindString(s); v != "" {
			h.TLS.Used = true
			if h.TLS.Version == "" {
				h.TLS.Version = canonicalTLS(v)
			}
		}
		if m := cipherWord.FindStringSubmatch(s); m != nil && !strings.EqualFold(m[1], "NONE") && h.TLS.Cipher == "" {
			h.TLS.Cipher, h.TLS.Used = m[1], true
		}
		if m := bitsWord.FindStringSubmatch(s); m != nil && h.TLS.Used && h.TLS.Bits == 0 {
			h.TLS.Bits, _ = strconv.Atoi(m[1] + m[2])
		}
	}
	for _, com := range h.Comments {
		if m := eximCipher.FindStringSubmatch(com); m != nil {
			h.TLS.Used, h.TLS.Cipher = true, m[1]
			h.TLS.Bits, _ = strconv.Atoi(m[2])
		}
		if m := encrypted.FindStringSubmatch(com); m != nil {
			h.TLS.Used, h.TLS.Cipher = true, m[1]
		}
		low := strings.ToLower(com)
		if strings.Contains(low, "tls") || strings.Contains(low, "ssl") || strings.Contains(low, "cipher") {
			tls(com)
		}
		if m := authSender.FindStringSubmatch(com); m != nil {
			h.Authenticated, h.User = true, m[1]
		} else if m := authWord.FindStringSubmatch(com); m != nil {
			h.Authenticated = true
			if h.User == "" {
				h.User = m[1]
			}
		}
		if m := userID.FindStringSubmatch(com); m != nil {
			h.Local, h.User = true, m[1]+m[2]+m[3]
		}
	}
	if m := envFrom.FindStringSubmatch(h.Raw); m != nil {
		h.EnvelopeFrom, h.HasEnvelopeFrom = m[1], true
	}
}

// canonicalTLS makes "TLS1.2" of "TLSv1.2", "TLS1_2" and "TLS 1.2".
func canonicalTLS(s string) string {
	s = strings.NewReplacer("_", ".", " ", "", "v", "", "V", "").Replace(strings.ToUpper(s))
	if s == "TLS1" {
		return "TLS1.0"
	}
	if len(s) == 5 && strings.HasPrefix(s, "TLS1") { // "TLS12"
		return "TLS1." + s[4:]
	}
	return s
}

// readProtocol reads what the protocol's name says (RFC 3848 §3, RFC 6531
// §4.3): S is TLS, A is authenticated.
func (h *Hop) readProtocol() {
	first, _, _ := strings.Cut(h.With, " ")
	p, _, _ := strings.Cut(strings.ToUpper(first), "/")
	switch p {
	case "ESMTPS", "ESMTPSA", "SMTPS", "SMTPSA", "LMTPS", "LMTPSA", "UTF8SMTPS", "UTF8SMTPSA", "UTF8LMTPS", "UTF8LMTPSA", "HTTPS":
		h.TLS.Used = true
	}
	switch p {
	case "ESMTPA", "ESMTPSA", "SMTPA", "SMTPSA", "ASMTP", "LMTPA", "LMTPSA", "UTF8SMTPA", "UTF8SMTPSA":
		h.Authenticated = true
	case "HTTP", "HTTPS", "HTTPREST", "HTTPU", "DAV", "MAPI":
		h.HTTP = p != "MAPI"
		h.Authenticated = true
	case "LOCAL":
		h.Local = true
	case "POP3", "POP3S", "IMAP", "IMAPS", "IMAP4", "POP":
		h.Fetched = true
	}
	if v := strings.ToUpper(h.Via); v == "HTTP" || v == "HTTPS" {
		h.HTTP, h.Authenticated = true, true
	}
	// "ESMTP/TLS/AES128-SHA"
	if _, rest, ok := strings.Cut(strings.ToUpper(first), "/TLS/"); ok {
		h.TLS.Used = true
		if h.TLS.Cipher == "" {
			h.TLS.Cipher = rest
		}
	}
}

func (h *Hop) software(c map[string]clause) {
	has := func(k, s string) bool {
		for _, x := range c[k].comments {
			if strings.Contains(strings.ToLower(x), s) {
				return true
			}
		}
		return false
	}
	any := func(s string) bool {
		for _, x := range h.Comments {
			if strings.Contains(strings.ToLower(x), s) {
				return true
			}
		}
		return false
	}
	by := strings.ToLower(h.By)
	first, _, _ := strings.Cut(h.With, " ")
	switch {
	case has("by", "postfix"):
		h.Software = Postfix
	case any("exim") || first != "" && first == strings.ToLower(first) && strings.HasPrefix(first, "esmtp"):
		h.Software = Exim
	case strings.Contains(h.With, "Microsoft SMTP Server") || strings.EqualFold(first, "mapi") || strings.Contains(by, ".outlook.com"):
		h.Software = Microsoft
	case strings.HasSuffix(by, ".google.com") || strings.HasPrefix(by, "2002:a"):
		h.Software = Google
	case strings.Contains(h.Raw, "(qmail ") || has("from", "helo ") && !has("from", "ehlo "):
		h.Software = Qmail
	case has("from", "ehlo ") && (strings.Contains(by, "yahoo") || h.ByAddr.IsValid()):
		h.Software = Yahoo
	case any("dovecot") || strings.HasPrefix(strings.ToUpper(first), "LMTP") && h.Addr == (netip.Addr{}):
		h.Software = Dovecot
	case sendmailVersion.MatchString(strings.Join(c["by"].comments, " ")):
		h.Software = Sendmail
	}
	if h.Software == Microsoft && h.HTTP {
		h.HTTP, h.Authenticated = false, false // between its own mailbox servers
	}
	if h.Software == Exim && h.Reverse == "" && h.HELO != "" && h.Addr.IsValid() {
		// Exim writes a name before the address only where the DNS has it. Where it
		// writes none, it may not have asked.
		if _, isAddr := parseAddr(h.HELO); !isAddr && !heloWord.MatchString(strings.Join(c["from"].comments, " ")) {
			h.Reverse = h.HELO
		}
	}
	if h.Software == Google && h.Reverse == "" && h.Addr.IsValid() && len(c["from"].comments) > 0 {
		h.NoReverse = true // Gmail always writes the name, if there is one
	}
	if h.Software == Exim && h.Local {
		h.User, h.HELO = h.HELO, ""
	}
	if h.Software == Sendmail && h.Local || h.Software == Qmail && h.Local {
		h.HELO = ""
	}
	// "(qmail 1234 invoked by alias)", "invoked from network": no step of its own.
	if strings.Contains(h.Raw, "(qmail ") && !h.Addr.IsValid() && h.HELO == "" {
		h.Local = true
	}
}

var sendmailVersion = regexp.MustCompile(`^\d+\.\d+(\.\d+)?[^ ]*/\d+\.\d+|/Submit$`)

// Kind of an address, as far as a path needs it.
type Kind string

// The kinds (RFC 6890).
const (
	None      Kind = "none"       // no address
	PublicNet Kind = "public"     // also documentation addresses, which stand for public ones
	Private   Kind = "private"    // RFC 1918, RFC 4193, and shared space (RFC 6598)
	Loopback  Kind = "loopback"   //
	LinkLocal Kind = "link-local" //
	Reserved  Kind = "reserved"   // unspecified, multicast, 0/8, 240/4
)

var shared = netip.MustParsePrefix("100.64.0.0/10")

// KindOf says what kind of address a is.
func KindOf(a netip.Addr) Kind {
	a = a.Unmap()
	switch {
	case !a.IsValid():
		return None
	case a.IsLoopback():
		return Loopback
	case a.IsPrivate(), shared.Contains(a):
		return Private
	case a.IsLinkLocalUnicast():
		return LinkLocal
	case a.IsUnspecified(), a.IsMulticast(), a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 240):
		return Reserved
	}
	return PublicNet
}

// clockSlack is how much a clock may be behind the one below before it is said:
// clocks drift, and times are cut to seconds.
const clockSlack = 2 * time.Second
