package message

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// A FaultCode says which rule a message breaks.
type FaultCode string

// The codes. The RFC section behind each is that of the rule.
const (
	// Lines and octets.
	FaultLongLine  FaultCode = "long-line"      // over 998 octets (RFC 5322 §2.1.1)
	FaultNUL       FaultCode = "nul"            // RFC 5322 §4.1
	FaultBareCR    FaultCode = "bare-cr"        // a CR that ends no line (§2.3)
	FaultBareLF    FaultCode = "bare-lf"        // LF alone in a file whose lines end in CR LF (§2.3)
	FaultControl   FaultCode = "control"        // a control character in a header field
	FaultRaw8Bit   FaultCode = "raw-8bit"       // octets over 127 in a header field that are no UTF-8
	FaultRawUTF8   FaultCode = "raw-utf8"       // UTF-8 in a header field (RFC 6532: only where SMTPUTF8 was agreed)
	FaultRawEscape FaultCode = "raw-iso2022"    // escapes of ISO-2022 in a header field
	FaultNotAField FaultCode = "not-a-field"    // a line in the header that is no field; the header ends there
	FaultSpaceName FaultCode = "space-in-name"  // a space before the colon (§4.5, obsolete)
	FaultBlankFold FaultCode = "blank-folding"  // a folded line with nothing but spaces (§3.2.2)
	FaultHeaderBig FaultCode = "header-large"   // all fields together over LargeHeader
	FaultFieldBig  FaultCode = "field-large"    // one field over LargeField
	FaultMixedEnds FaultCode = "mixed-line-end" // CR LF among lines that end in LF

	// Fields.
	FaultFromMissing    FaultCode = "from-missing"   // §3.6: exactly one
	FaultFromTwice      FaultCode = "from-twice"     // several From fields
	FaultFromEmpty      FaultCode = "from-empty"     // a From without an address
	FaultFromSeveral    FaultCode = "from-several"   // several addresses; allowed by §3.6.2, refused by receivers
	FaultSenderMissing  FaultCode = "sender-missing" // several From addresses need a Sender (§3.6.2)
	FaultSenderSeveral  FaultCode = "sender-several" // a Sender with more than one address (§3.6.2)
	FaultFieldTwice     FaultCode = "field-twice"    // a field that may stand once only (§3.6); Detail is its name
	FaultDateMissing    FaultCode = "date-missing"   // §3.6: exactly one
	FaultDateSyntax     FaultCode = "date-syntax"    // no date (§3.3)
	FaultDateForm       FaultCode = "date-form"      // a date in a form that is no longer or was never allowed; Detail says what
	FaultDateDay        FaultCode = "date-day"       // the day of the week is another (§3.3)
	FaultDateFuture     FaultCode = "date-future"    // Ahead says how much
	FaultDatePast       FaultCode = "date-past"      // Ahead is negative
	FaultIDMissing      FaultCode = "message-id-missing"
	FaultIDSyntax       FaultCode = "message-id-syntax"  // §3.6.4
	FaultIDHost         FaultCode = "message-id-host"    // the right side is no public name
	FaultToMissing      FaultCode = "to-missing"         // neither To nor Cc
	FaultToAbsent       FaultCode = "to-absent"          // Cc or Bcc, but no To
	FaultAddressSyntax  FaultCode = "address-syntax"     // §3.4; Detail says what, Tolerated whether it is read all the same
	FaultAddressOld     FaultCode = FaultAddressObsolete // see there
	FaultAddressDomain  FaultCode = "address-domain"     // an address whose domain is no public name
	FaultSubjectMissing FaultCode = "subject-missing"    // allowed (§3.6), and typical of broken programs

	// The faults of an address.
	FaultAddressNoDomain FaultCode = "address-no-domain" // no "@"
	FaultAddressDots     FaultCode = "address-dots"      // ".." or ".@" (§3.2.3)
	FaultAddressObsolete FaultCode = "address-obsolete"  // a form of §4.4

	// Encoded-words (RFC 2047).
	FaultWordLong        FaultCode = "word-long"         // over 75 octets (§2)
	FaultWordBroken      FaultCode = "word-broken"       // spaces or other octets inside (§2, §4)
	FaultWordGlued       FaultCode = "word-glued"        // no space between it and other text (§5 (1))
	FaultWordInAddress   FaultCode = "word-in-address"   // in an address itself (§5)
	FaultWordInQuotes    FaultCode = "word-in-quotes"    // in a quoted-string (§5)
	FaultWordInParameter FaultCode = "word-in-parameter" // §5
	FaultWordForbidden   FaultCode = "word-forbidden"    // in another field without free text (§5)
	FaultUndecodable     FaultCode = "undecodable"       // an encoded-word or parameter that cannot be read

	// MIME.
	FaultTypeSyntax          FaultCode = "type-syntax"           // a Content-Type that is none (RFC 2045 §5.1)
	FaultParamSyntax         FaultCode = "param-syntax"          // a parameter (RFC 2045 §5.1)
	FaultParamTwice          FaultCode = "param-twice"           // a parameter twice
	FaultNoBoundary          FaultCode = "no-boundary"           // a multipart without boundary (RFC 2046 §5.1.1)
	FaultBoundaryNotFound    FaultCode = "boundary-not-found"    // the boundary line never occurs
	FaultUnclosed            FaultCode = "unclosed"              // no closing boundary line: the mail may be cut
	FaultEncodingUnknown     FaultCode = "encoding-unknown"      // RFC 2045 §6.1
	FaultEncodingOnMultipart FaultCode = "encoding-on-multipart" // RFC 2045 §6.4
	FaultNoMIMEVersion       FaultCode = "no-mime-version"       // RFC 2045 §4
	FaultPartHeader          FaultCode = "part-header"           // a line in a part's header that is no field, or too large
	FaultTooDeep             FaultCode = "too-deep"              // more than MaxDepth multiparts inside one another
	FaultTooManyParts        FaultCode = "too-many-parts"        // more than MaxParts
	FaultBase64Line          FaultCode = "base64-line"           // a line over 76 octets (RFC 2045 §6.8)
	FaultBase64              FaultCode = "base64"                // octets that are no base64
	FaultQPLine              FaultCode = "qp-line"               // a line over 76 octets (RFC 2045 §6.7 (5))
	FaultUndeclared8Bit      FaultCode = "undeclared-8bit"       // octets over 127 in a part that does not say 8bit (RFC 2045 §2.7)
	FaultBlockedType         FaultCode = "blocked-type"          // an attachment that receivers refuse by its name; Detail names them
)

// Sizes of headers that receivers refuse.
const (
	// LargeHeader is the size of all fields, as they arrive, over which sendmail refuses a header
	// (MaxHeadersLength, 32768 by default, "552 Headers too large").
	LargeHeader = 32 << 10
	// LargeField is the size to which Postfix cuts a field (header_size_limit,
	// 102400 by default).
	LargeField = 100 << 10
)

// A Fault is a place where the message breaks a rule.
type Fault struct {
	Code  FaultCode
	Field *Field // nil if it is about none, or about one that is absent
	Part  *Part  // nil if it is about none
	// Name is the field's name, also where it is absent.
	Name string
	// Line and Offset are the place in the file, Length the octets at fault. Line
	// is 0 for what is absent.
	Line     int
	Offset   int64
	Length   int64
	Text     string // the octets at fault, as they are, at most 200
	Detail   string // see the codes
	InHeader bool   // of FaultLongLine, FaultNUL, FaultBareCR: in the message's header
	// Tolerated: receivers in general read past it.
	Tolerated bool
	// Ahead is by how much a date is ahead of the clock.
	Ahead time.Duration
	// More is how many faults of the same code are not in the list; it is set in
	// the last that is.
	More int
}

const (
	maxFaultText = 200
	maxFaults    = 10 // of one code
)

// faultList keeps at most maxFaults faults of a code.
type faultList struct {
	list []Fault
	kept map[FaultCode]int
	last map[FaultCode]int // index of the last one kept
}

func (l *faultList) add(f Fault) {
	if l.full(f.Code) {
		return
	}
	if l.kept == nil {
		l.kept, l.last = map[FaultCode]int{}, map[FaultCode]int{}
	}
	l.kept[f.Code]++
	l.last[f.Code] = len(l.list)
	l.list = append(l.list, f)
}

// full counts one more fault of a code that has enough; false if it has not.
func (l *faultList) full(c FaultCode) bool {
	if l.kept[c] < maxFaults {
		return false
	}
	l.list[l.last[c]].More++
	return true
}

// in notes a fault in octets [at, at+n) of f.Raw.
func (l *faultList) in(code FaultCode, f *Field, at, n int, detail string) {
	if !l.full(code) {
		l.add(inField(code, f, at, n, detail))
	}
}

func (l *faultList) clone() *faultList {
	return &faultList{slices.Clone(l.list), maps.Clone(l.kept), maps.Clone(l.last)}
}

// lineFault notes a fault of a line that is found while reading.
func (m *Message) lineFault(code FaultCode, l *line, at, n int64, header bool) {
	if !m.reading.full(code) {
		m.reading.add(Fault{Code: code, Line: l.num, Offset: l.off + at, Length: n, Text: clip(l.text, maxFaultText), InHeader: header})
	}
}

// fieldFault notes a fault in octets [at, at+n) of f.Raw.
func (m *Message) fieldFault(code FaultCode, f *Field, at, n int, detail string) {
	m.reading.in(code, f, at, n, detail)
}

func inField(code FaultCode, f *Field, at, n int, detail string) Fault {
	at = max(0, min(at, len(f.Raw)))
	n = max(0, min(n, len(f.Raw)-at))
	line, off := f.At(at)
	return Fault{Code: code, Field: f, Name: f.Name, Line: line, Offset: off, Length: int64(n),
		Text: clip(f.Raw[at:at+n], maxFaultText), Detail: clip([]byte(detail), maxFaultText)}
}

// LintOptions for Faults.
type LintOptions struct {
	// Now is the clock that Date is held against: the time of receipt of a mail
	// that was received. Zero leaves Date's age unjudged.
	Now time.Time
	// Future and Past are how far Date may be from Now. 0 is DefaultFuture and
	// DefaultPast.
	Future, Past time.Duration
}

// How far Date may be from the clock. RFC 5322 says nothing. An hour is more
// than clocks drift and less than the mistakes that zones make; four days is
// what a queue may hold a mail (RFC 5321 §4.5.4.1 recommends giving up after
// four to five days).
const (
	DefaultFuture = time.Hour
	DefaultPast   = 96 * time.Hour
)

// once are the fields that may stand once only (RFC 5322 §3.6; RFC 2045 §3 for
// those of MIME; RFC 8058 §3.1 and RFC 2369 §2 for those of lists). From has
// codes of its own.
var once = []string{"Date", "Sender", "Reply-To", "To", "Cc", "Bcc", "Message-ID", "In-Reply-To", "References", "Subject",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-ID", "Content-Description", "Content-Disposition",
	"List-Unsubscribe", "List-Unsubscribe-Post", "List-ID"}

// addressFields hold addresses, structuredFields no free text either.
var (
	addressFields    = []string{"From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Resent-From", "Resent-Sender", "Resent-To", "Resent-Cc", "Return-Path"}
	structuredFields = []string{"Date", "Message-ID", "In-Reply-To", "References", "MIME-Version", "Content-Transfer-Encoding", "Received", "Return-Path",
		"DKIM-Signature", "List-Unsubscribe", "List-Unsubscribe-Post", "Content-ID"}
)

// Faults lists where the message breaks the rules of RFC 5322, 2045 to 2047
// and 6532, and what receivers refuse beyond them: those found while reading,
// then those of the header in the order of the file. Of each code at most ten
// are listed; Fault.More counts the rest.
func (m *Message) Faults(o LintOptions) []Fault {
	if o.Future <= 0 {
		o.Future = DefaultFuture
	}
	if o.Past <= 0 {
		o.Past = DefaultPast
	}
	out := m.reading.clone()
	if m.LineEnds.LF > 0 && m.LineEnds.CRLF > 0 {
		code := FaultBareLF
		if m.LineEnds.LF > m.LineEnds.CRLF {
			code = FaultMixedEnds
		}
		out.add(Fault{Code: code, Line: m.LineEnds.FirstLF, More: max(0, m.LineEnds.LF-1)})
	}
	if m.HeaderSize > LargeHeader {
		out.add(Fault{Code: FaultHeaderBig, Line: m.Header[0].Line, Offset: m.Header[0].Offset, Length: int64(m.HeaderSize)})
	}
	for _, f := range m.Header {
		m.lintField(f, out)
	}
	m.lintFrom(out)
	for _, name := range once {
		if fs := m.Fields(name); len(fs) > 1 {
			for _, f := range fs[1:] {
				x := inField(FaultFieldTwice, f, 0, len(f.Raw), "")
				x.Name = name
				out.add(x)
			}
		}
	}
	m.lintDate(o, out)
	m.lintID(out)
	to, cc := m.Field("To"), m.Field("Cc")
	switch {
	case to == nil && cc == nil:
		out.add(Fault{Code: FaultToMissing, Name: "To"})
	case to == nil:
		out.add(Fault{Code: FaultToAbsent, Name: "To"})
	}
	if m.Field("Subject") == nil {
		out.add(Fault{Code: FaultSubjectMissing, Name: "Subject"})
	}
	m.Root.Walk(func(p *Part) {
		if p.ID != "1" {
			for _, f := range p.Header {
				m.lintField(f, out)
			}
		}
		if by := BlockedBy(p.Filename); len(by) > 0 && !p.Multipart() {
			var names []string
			for _, b := range by {
				names = append(names, b.Receiver)
			}
			x := Fault{Code: FaultBlockedType, Part: p, Line: p.Line, Offset: p.Offset, Text: clip([]byte(p.Filename), maxFaultText), Detail: strings.Join(names, ", ")}
			if f := p.Field("Content-Disposition"); f != nil {
				x.Field, x.Name, x.Line, x.Offset = f, f.Name, f.Line, f.Offset
			}
			out.add(x)
		}
	})
	return out.list
}

func oneOf(name string, list []string) bool {
	for _, n := range list {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// lintField looks at the octets of one field, whatever it is.
func (m *Message) lintField(f *Field, out *faultList) {
	if f.colon > len(f.Name) {
		out.in(FaultSpaceName, f, len(f.Name), f.colon-len(f.Name), "")
	}
	if len(f.Raw) > LargeField {
		out.in(FaultFieldBig, f, 0, len(f.Raw), "")
	}
	value := f.RawValue()
	at := f.ValueOffset()
	first8, firstControl, escape := -1, -1, false
	for i, c := range value {
		switch {
		case c >= 0x80:
			if first8 < 0 {
				first8 = i
			}
		case c == 0x1b && i+1 < len(value) && (value[i+1] == '$' || value[i+1] == '('):
			if !escape {
				out.in(FaultRawEscape, f, at+i, len(value)-i, "")
			}
			escape = true
		case c < ' ' && c != '\t' && c != '\r' && c != '\n' && c != 0 && c != 0x1b || c == 0x7f:
			if firstControl < 0 {
				firstControl = i
			}
		case c == '\n':
			// §3.2.2: a folded line holds more than white space.
			rest := value[i+1:]
			if j := strings.IndexByte(string(rest[:min(len(rest), 1000)]), '\n'); j >= 0 && strings.Trim(string(rest[:j]), " \t\r") == "" || len(rest) < 1000 && strings.Trim(string(rest), " \t\r\n") == "" {
				out.in(FaultBlankFold, f, at+i+1, max(0, j), "")
			}
		}
	}
	if first8 >= 0 {
		code := FaultRaw8Bit
		if utf8.Valid(value) {
			code = FaultRawUTF8
		}
		out.in(code, f, at+first8, len(value)-first8, "")
	}
	if firstControl >= 0 {
		out.in(FaultControl, f, at+firstControl, 1, "")
	}
	m.lintWords(f, value, out)
	if oneOf(f.Name, addressFields) {
		m.lintAddresses(f, out)
	}
}

// lintWords looks at the encoded-words of a field.
func (m *Message) lintWords(f *Field, value []byte, out *faultList) {
	s := string(value)
	if !strings.Contains(s, "=?") {
		return
	}
	at := f.ValueOffset()
	d := DecodeText(s)
	content := strings.HasPrefix(strings.ToLower(f.Name), "content-")
	for _, w := range d.Words {
		if w.End-w.Start > maxWord {
			out.in(FaultWordLong, f, at+w.Start, w.End-w.Start, "")
		}
		if w.Broken {
			out.in(FaultWordBroken, f, at+w.Start, w.End-w.Start, "")
		}
		if w.Err != nil {
			out.in(FaultUndecodable, f, at+w.Start, w.End-w.Start, w.Err.Error())
		}
		if content {
			continue // parameters are looked at where they are read
		}
		if oneOf(f.Name, structuredFields) {
			out.in(FaultWordForbidden, f, at+w.Start, w.End-w.Start, "")
			continue
		}
		// §5 (1): white space between a word and what is beside it; in a comment
		// or an address the parentheses, commas and brackets do as well.
		glued := func(c byte) bool { return strings.IndexByte(" \t\r\n\"()<,:;@", c) < 0 }
		if w.Start > 0 && glued(s[w.Start-1]) || w.End < len(s) && glued(s[w.End]) {
			out.in(FaultWordGlued, f, at+w.Start, w.End-w.Start, "")
		}
	}
	if !oneOf(f.Name, addressFields) {
		return
	}
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '(':
			if end := skipComment(s, i); end > 0 {
				i = end - 1
			} else {
				return
			}
		case '"':
			end := skipQuoted(s, i)
			if end < 0 {
				return
			}
			if dd := DecodeText(s[i:end]); len(dd.Words) > 0 {
				out.in(FaultWordInQuotes, f, at+i, end-i, "")
			}
			i = end - 1
		}
	}
}

func (m *Message) lintAddresses(f *Field, out *faultList) {
	l := f.Addresses()
	at := f.ValueOffset()
	for _, e := range l.Errors {
		x := inField(e.Code, f, at+e.Offset, e.Length, e.Msg)
		x.Tolerated = e.Tolerated
		out.add(x)
	}
	for _, a := range l.Addresses {
		if strings.Contains(a.Local+a.Domain, "=?") && len(DecodeText(a.Local+"@"+a.Domain).Words) > 0 {
			out.in(FaultWordInAddress, f, at+a.Start, a.End-a.Start, "")
			continue
		}
		if a.Domain != "" && !f.Is("Return-Path") && !PublicName(a.Domain) {
			out.in(FaultAddressDomain, f, at+a.Start, a.End-a.Start, a.Domain)
		}
	}
	if f.Is("Sender") && len(l.Addresses) > 1 {
		out.in(FaultSenderSeveral, f, at, len(f.RawValue()), "")
	}
}

func (m *Message) lintFrom(out *faultList) {
	from := m.Fields("From")
	if len(from) == 0 {
		out.add(Fault{Code: FaultFromMissing, Name: "From"})
		return
	}
	for _, f := range from[1:] {
		out.in(FaultFromTwice, f, 0, len(f.Raw), "")
	}
	f := from[0]
	l := f.Addresses()
	switch n := len(l.Addresses); {
	case n == 0 || n == 1 && l.Addresses[0].Null():
		out.in(FaultFromEmpty, f, f.ValueOffset(), len(f.RawValue()), "")
	case n > 1:
		out.in(FaultFromSeveral, f, f.ValueOffset(), len(f.RawValue()), "")
		if m.Field("Sender") == nil {
			out.add(Fault{Code: FaultSenderMissing, Name: "Sender"})
		}
	}
}

func (m *Message) lintDate(o LintOptions, out *faultList) {
	f := m.Field("Date")
	if f == nil {
		out.add(Fault{Code: FaultDateMissing, Name: "Date"})
		return
	}
	at, n := f.ValueOffset(), len(f.RawValue())
	d, err := ParseDate(f.Value())
	if err != nil {
		out.in(FaultDateSyntax, f, at, n, err.Error())
		return
	}
	if d.Odd || d.Obsolete {
		x := inField(FaultDateForm, f, at, n, d.Detail)
		x.Tolerated = !d.Odd
		out.add(x)
	}
	if d.WrongDay {
		out.in(FaultDateDay, f, at, n, "")
	}
	if o.Now.IsZero() {
		return
	}
	ahead := d.Time.Sub(o.Now)
	x := inField(FaultDateFuture, f, at, n, "")
	x.Ahead = ahead
	switch {
	case ahead > o.Future:
		out.add(x)
	case -ahead > o.Past:
		x.Code = FaultDatePast
		out.add(x)
	}
}

// ParseMessageID reads a Message-ID (RFC 5322 §3.6.4 and §4.5.4): its two
// sides, and whether it has the form. Comments and spaces around it are left
// out.
func ParseMessageID(s string) (left, right string, ok bool) {
	s = strings.TrimSpace(stripComments(s))
	inside, closed := strings.CutPrefix(s, "<")
	inside, closed2 := strings.CutSuffix(inside, ">")
	ok = closed && closed2
	if i := strings.LastIndexByte(inside, '@'); i >= 0 {
		left, right = inside[:i], inside[i+1:]
	} else {
		left, ok = inside, false
	}
	if !isDotAtom(left) && !(len(left) > 1 && left[0] == '"' && skipQuoted(left, 0) == len(left)) {
		ok = false
	}
	if !isDotAtom(right) && !(strings.HasPrefix(right, "[") && strings.HasSuffix(right, "]")) {
		ok = false
	}
	return left, right, ok
}

func (m *Message) lintID(out *faultList) {
	f := m.Field("Message-ID")
	if f == nil {
		out.add(Fault{Code: FaultIDMissing, Name: "Message-ID"})
		return
	}
	at, n := f.ValueOffset(), len(f.RawValue())
	if f.Value() == "" || f.Value() == "<>" {
		out.in(FaultIDMissing, f, at, n, "")
		return
	}
	_, right, ok := ParseMessageID(f.Value())
	if !ok {
		out.in(FaultIDSyntax, f, at, n, "")
	}
	if right != "" && !PublicName(right) {
		out.in(FaultIDHost, f, at, n, right)
	}
}

// notPublic are top-level names that never are in the DNS of the Internet (RFC
// 6761, RFC 6762 §3, RFC 8375, RFC 9476, and ICANN's .internal of 2024) or that
// programs put there for want of a name. example and its kind count as public:
// in examples they stand for such names.
var notPublic = map[string]bool{"localhost": true, "local": true, "localdomain": true, "internal": true, "lan": true, "intra": true, "intranet": true,
	"corp": true, "home": true, "private": true, "invalid": true, "alt": true, "onion": true, "workgroup": true, "domain": true, "host": false}

// PublicName reports whether a domain as it stands in an address could be one
// of the Internet: several labels that do not end in a name for private use,
// or an address literal that is public.
func PublicName(domain string) bool {
	d := strings.ToLower(strings.TrimSuffix(strings.TrimSpace(domain), "."))
	if strings.HasPrefix(d, "[") {
		lit := strings.TrimSuffix(strings.TrimPrefix(d, "["), "]")
		ip, err := netip.ParseAddr(strings.TrimPrefix(lit, "ipv6:"))
		return err == nil && publicAddr(ip)
	}
	labels := strings.Split(d, ".")
	if len(labels) < 2 || len(d) > 253 {
		return false
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 {
			return false
		}
	}
	top := labels[len(labels)-1]
	if notPublic[top] || d == "home.arpa" || strings.HasSuffix(d, ".home.arpa") {
		return false
	}
	// A top-level domain is never a number: 192.0.2.1 without brackets.
	for _, c := range top {
		if c < '0' || c > '9' {
			return true
		}
	}
	return false
}

var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// publicAddr: see facts.Public, which says the same of sending addresses.
func publicAddr(a netip.Addr) bool {
	a = a.Unmap()
	return !(a.IsLoopback() || a.IsPrivate() || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() ||
		sharedSpace.Contains(a) || a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 240))
}
