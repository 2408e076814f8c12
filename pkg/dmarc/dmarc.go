// Package dmarc reads DMARC records and says what they ask for (RFC 9989; RFC
// 7489 where it differs).
//
// DMARC ties the domain that people see, that of the From header, to the two
// that SPF and DKIM vouch for: the Return-Path's and the signature's d=. A
// message passes if one of them passed and is aligned with the From domain:
// identical to it (strict) or of the same organization (relaxed, see package
// orgdomain). What receivers are to do with mail that does not pass stands in
// a TXT record at _dmarc below the domain:
//
//	v=DMARC1; p=reject; sp=quarantine; rua=mailto:reports@example.com
//
// p is the policy for the domain itself, sp for its subdomains, np for
// subdomains that do not exist; t=y asks to go one step easier while testing;
// rua and ruf say where reports go; adkim and aspf choose strict alignment.
//
// The RFC is lenient and its readers are not. It wants a wrong version to kill
// the record, a wrong policy to make it p=none, and everything else that is
// wrong to be ignored. So people publish records that look right and do
// something else, and nobody tells them. [Parse] therefore never refuses: it
// reads what a receiver reads and keeps a [Note] for each thing that is
// ignored, with its place in the text. [Repair] corrects slips that have only
// one meaning.
//
// Where the RFC is silent or readers differ:
//
//   - A tag that stands twice. RFC 6376 §3.2, whose syntax DMARC borrows, calls
//     the whole list invalid; RFC 9989 §4.8 ignores what is wrong; most programs
//     take the last one. Here the first counts, the later ones are the error
//     that is ignored, and [NoteDuplicate] says so.
//   - Case. The grammar's literals (tag names, policies) match in any case
//     (RFC 5234 §2.3), but RFC 6376 §3.2 reads tags and values with case, and
//     some programs refuse p=Reject. It counts, and is noted.
//   - A space or quote before v. The grammar begins with v, so it is no record
//     (§4.8); some programs skip it.
package dmarc

import (
	"slices"
	"strconv"
	"strings"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// A Span is a half-open range of octets of [Record.Text].
type Span struct{ Start, End int }

// A Policy is what a domain asks receivers to do with mail that fails.
type Policy string

// The policies. The empty Policy stands for no policy at all.
const (
	None       Policy = "none"
	Quarantine Policy = "quarantine"
	Reject     Policy = "reject"
)

// Strength orders policies: 0 for no policy and none, 1 quarantine, 2 reject.
func (p Policy) Strength() int {
	switch p {
	case Quarantine:
		return 1
	case Reject:
		return 2
	}
	return 0
}

// A Mode is how closely an identifier must match the From domain.
type Mode byte

// The two modes (RFC 9989 §4.4).
const (
	Relaxed Mode = 'r' // same organizational domain
	Strict  Mode = 's' // same domain
)

// A Tag is one name=value of a record.
type Tag struct {
	Span           // of the whole tag, blanks around it not included
	Name    string // in lower case
	NameAt  Span
	Value   string // as written, blanks around it not included
	ValueAt Span
	// Counts: the tag is known, its value valid, and it is the first of its
	// name, so that it has an effect.
	Counts bool
}

// A URI is one report destination.
type URI struct {
	Span
	Text string // as written
	// Size is the largest report wanted, as written behind "!" ("10m"), "" if
	// none is. RFC 9989 §4.8: obsolete, to be ignored.
	Size string
	// Valid: a URI by its syntax (RFC 3986, RFC 6068). Invalid ones are ignored.
	Valid bool
	// Address and Host are those of a valid mailto URI: the mailbox as written,
	// and its domain, canonical. Other schemes have neither; the RFC lets
	// receivers ignore what they do not support, and they support mailto.
	Address, Host string
}

// The codes of [Note]. Those of the first group make a text no DMARC record at
// all; [Record.Fatal] holds one of them.
const (
	NoteNotDMARC         = "not-dmarc"         // something else: SPF, a verification token
	NoteVersionMissing   = "version-missing"   // has a policy, but no v tag
	NoteVersionNotFirst  = "version-not-first" // v=DMARC1 behind other tags
	NoteVersionCase      = "version-case"      // v=dmarc1
	NoteBadVersion       = "bad-version"       // v=DMARC2, v=DMARC
	NoteNoSeparator      = "no-separator"      // no semicolon behind v=DMARC1
	NoteEscapedSemicolon = "escaped-semicolon" // v=DMARC1\; a zone file's spelling, typed into a form
	NoteBeforeVersion    = "before-version"    // a blank, a quote, a byte order mark before v
	NoteOnlyVersion      = "only-version"      // v=DMARC1 and nothing else: p is missing
	NoteMissingPolicy    = "missing-policy"    // no p tag
	NoteBadPolicy        = "bad-policy"        // p, sp or np is none of the three
	NoteBadTag           = "bad-tag"           // not name=value, or a name that is no name
	NoteEmptyTag         = "empty-tag"         // nothing between two semicolons
	NoteBadValue         = "bad-value"         // adkim, aspf, fo, psd, t, pct with a value they do not have
	NoteDuplicate        = "duplicate"         // the tag stood before
	NoteUnknownTag       = "unknown-tag"       // a tag that RFC 9989 does not know
	NoteRemovedTag       = "removed-tag"       // pct, rf, ri: RFC 7489 knew them
	NoteNonASCII         = "non-ascii"         // octets over 127 in a value, such as curly quotes
	NoteControlChar      = "control-char"      // a control character in a value
	NoteNoScheme         = "no-scheme"         // a destination without mailto:
	NoteBadAddress       = "bad-address"       // mailto: without a usable address
	NoteBadURI           = "bad-uri"           // no URI by its syntax
	NoteNotMailto        = "not-mailto"        // a scheme that no receiver is known to support
	NoteSizeLimit        = "size-limit"        // "!10m" behind a destination
	NoteNameCase         = "name-case"         // P=reject
	NoteValueCase        = "value-case"        // p=Reject
	NoteFOWithoutRUF     = "fo-without-ruf"    // fo is ignored where there is no ruf
)

// NoteCodes lists every code, in the order above.
var NoteCodes = []string{NoteNotDMARC, NoteVersionMissing, NoteVersionNotFirst, NoteVersionCase, NoteBadVersion, NoteNoSeparator, NoteEscapedSemicolon, NoteBeforeVersion,
	NoteOnlyVersion, NoteMissingPolicy, NoteBadPolicy, NoteBadTag, NoteEmptyTag, NoteBadValue, NoteDuplicate, NoteUnknownTag,
	NoteRemovedTag, NoteNonASCII, NoteControlChar, NoteNoScheme, NoteBadAddress, NoteBadURI, NoteNotMailto, NoteSizeLimit, NoteNameCase, NoteValueCase, NoteFOWithoutRUF}

// A Note is something in a record that is not as it should be.
type Note struct {
	Code string
	Tag  string // the name of the tag, in lower case, or ""
	Span
	Text string // the octets at Span
}

// maxNotes bounds the notes of one record; a TXT record has up to 64 KiB.
const maxNotes = 200

// A Record is a text read as a DMARC record.
type Record struct {
	Text string
	// Fatal says why the text is no DMARC record; nil if it is one. Tags, and
	// only they, are filled in then too.
	Fatal *Note
	Tags  []Tag
	// Notes are what is ignored, in order of place.
	Notes []Note

	// P, SP, NP are the valid values of these tags; "" where the tag is absent
	// or invalid. See [Record.Evaluate] for what they amount to.
	P, SP, NP Policy
	ADKIM     Mode
	ASPF      Mode
	PSD       byte // 'y', 'n' or 'u', the default
	Test      bool // t=y
	FO        string
	RUA, RUF  []URI
	// Pct is the percentage of RFC 7489 §6.3, 0 to 100, which RFC 9989 dropped;
	// -1 if the tag is absent or invalid.
	Pct int

	badP, badSP, badNP bool
}

// Tag returns the first tag of that name, or nil.
func (r *Record) Tag(name string) *Tag {
	for i := range r.Tags {
		if r.Tags[i].Name == name {
			return &r.Tags[i]
		}
	}
	return nil
}

// Text is the tag as r has it.
func (t *Tag) Text(r *Record) string { return r.Text[t.Start:t.End] }

// known are the tags of RFC 9989 §4.7; removed those that RFC 7489 §6.3 had
// besides.
var (
	known   = map[string]bool{"v": true, "p": true, "sp": true, "np": true, "adkim": true, "aspf": true, "fo": true, "psd": true, "rua": true, "ruf": true, "t": true}
	removed = map[string]bool{"pct": true, "rf": true, "ri": true}
)

// Parse reads text as a DMARC record. It never returns nil and never fails.
func Parse(text string) *Record {
	r := &Record{Text: text, ADKIM: Relaxed, ASPF: Relaxed, PSD: 'u', FO: "0", Pct: -1}
	r.split()
	r.version()
	if r.Fatal != nil {
		r.Notes = nil
		return r
	}
	seen := map[string]bool{}
	for i := range r.Tags {
		t := &r.Tags[i]
		if i == 0 {
			t.Counts = true // v
			seen["v"] = true
			continue
		}
		if r.Text[t.NameAt.Start:t.NameAt.End] != t.Name && (known[t.Name] || removed[t.Name]) {
			r.note(NoteNameCase, t.Name, t.NameAt)
		}
		switch {
		case seen[t.Name]:
			r.note(NoteDuplicate, t.Name, t.Span)
		case removed[t.Name]:
			r.note(NoteRemovedTag, t.Name, t.Span)
			r.removed(t)
		case !known[t.Name]:
			// RFC 9989 §4.7: unknown tags MUST be ignored.
			r.note(NoteUnknownTag, t.Name, t.Span)
		default:
			r.value(t)
		}
		seen[t.Name] = true
	}
	if !seen["p"] {
		code := NoteMissingPolicy
		if len(r.Tags) == 1 {
			code = NoteOnlyVersion
		}
		r.note(code, "p", Span{0, len(text)})
	}
	if t := r.Tag("fo"); t != nil && !seen["ruf"] {
		// §4.7: fo MUST be ignored if there is no ruf.
		t.Counts = false
		r.note(NoteFOWithoutRUF, "fo", t.Span)
	}
	slices.SortStableFunc(r.Notes, func(a, b Note) int { return a.Start - b.Start })
	return r
}

func (r *Record) note(code, tag string, at Span) {
	if len(r.Notes) < maxNotes {
		r.Notes = append(r.Notes, Note{Code: code, Tag: tag, Span: at, Text: r.Text[at.Start:at.End]})
	}
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// within is the range without the blanks (WSP, RFC 5234 §B.1) at its ends.
func within(text string, at Span) Span {
	for at.Start < at.End && blank(text[at.Start]) {
		at.Start++
	}
	for at.End > at.Start && blank(text[at.End-1]) {
		at.End--
	}
	return at
}

// split finds the tags.
func (r *Record) split() {
	text := r.Text
	for from := 0; from <= len(text); {
		end := len(text)
		if i := strings.IndexByte(text[from:], ';'); i >= 0 {
			end = from + i
		}
		at := within(text, Span{from, end})
		last := end == len(text)
		from = end + 1
		if at.Start == at.End {
			// RFC 9989 §4.8: one separator may end the record; others need a
			// tag between them. An empty tag does nothing.
			if !last {
				r.note(NoteEmptyTag, "", Span{at.Start, at.Start})
			}
			continue
		}
		eq := strings.IndexByte(text[at.Start:at.End], '=')
		if eq < 0 {
			r.note(NoteBadTag, "", at)
			continue
		}
		name := within(text, Span{at.Start, at.Start + eq})
		value := within(text, Span{at.Start + eq + 1, at.End})
		if !alpha(text[name.Start:name.End]) {
			// dmarc-tag = 1*ALPHA equals 1*dmarc-value
			r.note(NoteBadTag, "", at)
			continue
		}
		r.Tags = append(r.Tags, Tag{Span: at, Name: strings.ToLower(text[name.Start:name.End]), NameAt: name,
			Value: text[value.Start:value.End], ValueAt: value})
	}
}

func alpha(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return s != ""
}

// version decides whether the text is a DMARC record.
//
// RFC 9989 §4.7: v must be the first tag, and its value DMARC1 in this case;
// otherwise the entire record is ignored. §4.8: the record begins with it.
func (r *Record) version() {
	text := r.Text
	fatal := func(code string, at Span) {
		r.Fatal = &Note{Code: code, Tag: "v", Span: at, Text: text[at.Start:at.End]}
	}
	if len(r.Tags) > 0 && r.Tags[0].Name == "v" && r.Tags[0].Start == 0 {
		t := &r.Tags[0]
		if t.Value == "DMARC1" {
			return
		}
		low := strings.ToLower(t.Value)
		switch {
		case low == "dmarc1":
			fatal(NoteVersionCase, t.ValueAt)
		case strings.HasPrefix(low, `dmarc1\`):
			fatal(NoteEscapedSemicolon, Span{t.ValueAt.Start, t.ValueAt.Start + len(`dmarc1\`)})
		case strings.HasPrefix(low, "dmarc1") && !('0' <= low[6] && low[6] <= '9'):
			// "v=DMARC1 p=none": the value is all of it.
			fatal(NoteNoSeparator, t.ValueAt)
		case strings.HasPrefix(low, "dmarc"):
			fatal(NoteBadVersion, t.ValueAt)
		default:
			fatal(NoteNotDMARC, Span{0, len(text)})
		}
		return
	}
	// Not a record. Was it meant to be one?
	low := lower(text)
	for i := range r.Tags {
		if t := &r.Tags[i]; t.Name == "v" && strings.HasPrefix(strings.ToLower(t.Value), "dmarc1") {
			if t.Start == len(text)-len(strings.TrimLeft(text, " \t")) {
				break // only blanks before it
			}
			fatal(NoteVersionNotFirst, t.Span)
			return
		}
	}
	if at := strings.Index(low, "dmarc1"); at >= 0 {
		head := low[:at]
		if v := strings.LastIndexByte(head, 'v'); v >= 0 && strings.Trim(head[v+1:], " \t=:") == "" && !strings.ContainsAny(head[:v], ";=") {
			fatal(NoteBeforeVersion, Span{0, v})
			if v == 0 { // "v:DMARC1", "v DMARC1"
				fatal(NoteBadVersion, Span{0, at + len("dmarc1")})
			}
			return
		}
	}
	if t := r.Tag("p"); t != nil && policy(t.Value) != "" {
		fatal(NoteVersionMissing, Span{0, len(text)})
		return
	}
	fatal(NoteNotDMARC, Span{0, len(text)})
}

// lower is s with ASCII letters in lower case, of the same length whatever
// octets it holds (strings.ToLower replaces what is not UTF-8).
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func policy(s string) Policy {
	switch p := Policy(strings.ToLower(s)); p {
	case None, Quarantine, Reject:
		return p
	}
	return ""
}

// removed reads the tags that RFC 9989 dropped, for receivers that still
// follow RFC 7489 §6.3.
func (r *Record) removed(t *Tag) {
	if t.Name != "pct" {
		return
	}
	if n, err := strconv.ParseUint(t.Value, 10, 8); err == nil && n <= 100 && t.Value[0] != '+' {
		r.Pct = int(n)
	} else {
		r.note(NoteBadValue, t.Name, t.ValueAt)
	}
}

// value reads a known tag. RFC 9989 §4.8: what is wrong is discarded in favour
// of the default, or ignored.
func (r *Record) value(t *Tag) {
	bad := func(code string, at Span) {
		switch t.Name {
		case "p":
			r.badP = true
		case "sp":
			r.badSP = true
		case "np":
			r.badNP = true
		}
		r.note(code, t.Name, at)
	}
	// dmarc-value = %x20-3A / %x3C-7E. Tabs inside are not in it either.
	for i := t.ValueAt.Start; i < t.ValueAt.End; i++ {
		if c := r.Text[i]; c >= 0x80 || c < ' ' || c == 0x7f {
			if t.Name == "rua" || t.Name == "ruf" {
				break // each destination is judged by itself
			}
			end := i
			for end < t.ValueAt.End && (r.Text[end] >= 0x80) == (c >= 0x80) && (c >= 0x80 || r.Text[end] < ' ' || r.Text[end] == 0x7f) {
				end++
			}
			code := NoteControlChar
			if c >= 0x80 {
				code = NoteNonASCII
			}
			bad(code, Span{i, end})
			return
		}
	}
	low := strings.ToLower(t.Value)
	oneOf := func(values ...string) bool {
		for _, v := range values {
			if low == v {
				t.Counts = true
				if t.Value != v {
					r.note(NoteValueCase, t.Name, t.ValueAt)
				}
				return true
			}
		}
		if t.Name == "p" || t.Name == "sp" || t.Name == "np" {
			bad(NoteBadPolicy, t.Span)
		} else {
			bad(NoteBadValue, t.Span)
		}
		return false
	}
	switch t.Name {
	case "p", "sp", "np":
		if oneOf("none", "quarantine", "reject") {
			switch t.Name {
			case "p":
				r.P = Policy(low)
			case "sp":
				r.SP = Policy(low)
			case "np":
				r.NP = Policy(low)
			}
		}
	case "adkim":
		if oneOf("r", "s") {
			r.ADKIM = Mode(low[0])
		}
	case "aspf":
		if oneOf("r", "s") {
			r.ASPF = Mode(low[0])
		}
	case "psd":
		if oneOf("y", "n", "u") {
			r.PSD = low[0]
		}
	case "t":
		if oneOf("y", "n") {
			r.Test = low == "y"
		}
	case "fo":
		if failureOptions(low) {
			t.Counts, r.FO = true, low
		} else {
			bad(NoteBadValue, t.Span)
		}
	case "rua":
		r.RUA = r.uris(t)
	case "ruf":
		r.RUF = r.uris(t)
	case "v":
		bad(NoteDuplicate, t.Span)
	}
}

// failureOptions is the grammar of fo (RFC 9989 §4.8): one of 0 and 1 at most,
// d and s each once at most, in any order. RFC 7489 allowed 0 and 1 together.
func failureOptions(s string) bool {
	n := map[string]int{}
	for _, o := range strings.Split(s, ":") {
		switch o = strings.Trim(o, " "); o {
		case "0", "1":
			n["01"]++
		case "d", "s":
			n[o]++
		default:
			return false
		}
	}
	return n["01"] <= 1 && n["d"] <= 1 && n["s"] <= 1
}

// uris reads a list of destinations. The tag counts if one of them is valid.
func (r *Record) uris(t *Tag) []URI {
	var out []URI
	for from := t.ValueAt.Start; from <= t.ValueAt.End; {
		end := t.ValueAt.End
		if i := strings.IndexByte(r.Text[from:t.ValueAt.End], ','); i >= 0 {
			end = from + i
		}
		at := within(r.Text, Span{from, end})
		from = end + 1
		u := URI{Span: at, Text: r.Text[at.Start:at.End]}
		if code := u.read(); code != "" {
			r.note(code, t.Name, at)
		}
		if u.Size != "" {
			r.note(NoteSizeLimit, t.Name, Span{at.End - len(u.Size) - 1, at.End})
		}
		t.Counts = t.Counts || u.Valid
		out = append(out, u)
	}
	return out
}

// read takes Text apart and returns the code of what is wrong, or "".
func (u *URI) read() string {
	for i := 0; i < len(u.Text); i++ {
		switch c := u.Text[i]; {
		case c >= 0x80:
			return NoteNonASCII
		case c < ' ' || c == 0x7f:
			return NoteControlChar
		}
	}
	s := u.Text
	// obs-dmarc-report-size = "!" 1*DIGIT [ "k" / "m" / "g" / "t" ]
	if i := strings.LastIndexByte(s, '!'); i >= 0 && reportSize(s[i+1:]) {
		u.Size, s = s[i+1:], s[:i]
	}
	colon := strings.IndexByte(s, ':')
	if colon <= 0 || !scheme(s[:colon]) {
		return NoteNoScheme
	}
	rest := s[colon+1:]
	if !strings.EqualFold(s[:colon], "mailto") {
		if !uriChars(rest) || rest == "" {
			return NoteBadURI
		}
		u.Valid = true
		return NoteNotMailto
	}
	to, _, _ := strings.Cut(rest, "?")
	addr, ok := unescape(to)
	at := strings.LastIndexByte(addr, '@')
	if !ok || at <= 0 || !uriChars(rest) {
		return NoteBadAddress
	}
	host, err := dnsq.ParseName(addr[at+1:])
	if err != nil {
		return NoteBadAddress
	}
	for i := 0; i < at; i++ {
		if addr[i] <= ' ' || addr[i] >= 0x7f {
			return NoteBadAddress
		}
	}
	u.Valid, u.Address, u.Host = true, addr, host
	return ""
}

func reportSize(s string) bool {
	if s != "" && strings.IndexByte("kmgtKMGT", s[len(s)-1]) >= 0 {
		s = s[:len(s)-1]
	}
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// scheme is RFC 3986 §3.1: ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )
func scheme(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		if 'a' <= c && c <= 'z' || i > 0 && ('0' <= s[i] && s[i] <= '9' || strings.IndexByte("+-.", s[i]) >= 0) {
			continue
		}
		return false
	}
	return s != ""
}

// uriChars holds s to the characters of a URI (RFC 3986 §2), percent signs
// followed by two hexadecimal digits, "!" encoded (RFC 9989 §4.8).
func uriChars(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9':
		case c == '%':
			if i+2 >= len(s) || !hex(s[i+1]) || !hex(s[i+2]) {
				return false
			}
		case strings.IndexByte("-._~:/?#[]@$&'()*+=", c) >= 0:
		default:
			return false
		}
	}
	return true
}

func hex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String(), true
}
