package zone

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// ttlState says what a record without a TTL gets.
type ttlState uint8

const (
	ttlNone   ttlState = iota // nothing was said: decided at the end of the file
	ttlStated                 // the last TTL that a record stated (RFC 1035 §5.1)
	ttlSet                    // $TTL (RFC 2308 §4)
)

// A parser reads a file and what it includes into one Zone.
type parser struct {
	z        *Zone
	read     reader // nil: no $INCLUDE
	dir      string // put before the paths that read takes, to name them
	budget   int    // octets that may still be read
	includes int
	included *[]string // their paths, if somebody wants them
	errs     Errors
	stop     bool // too many errors, or a limit: read no further

	// $TTL and stated TTLs go on behind an included file, as in BIND.
	ttl      uint32
	ttlState ttlState
	noTTL    []int // records whose TTL is decided at the end

	assumed     string // origin by the name of the file
	firstOrigin string // of the first $ORIGIN
	relative    bool   // the missing-origin error was given
}

// A file is where the parser is in one file. Origin and owner are local: the
// including file goes on with its own (RFC 1035 §5.1).
type file struct {
	lexer
	path     string // as the reader takes it
	depth    int
	up       *file
	origin   string // "" if unknown
	owner    string
	hasOwner bool
	badOwner bool // the last owner could not be read: nothing inherits it
}

// A reader reads a file to include, but not more than most octets and one.
type reader func(path string, most int) ([]byte, error)

// from reads the regular files of fsys; nil, and so no file, if that is nil.
func from(fsys fs.FS) reader {
	if fsys == nil {
		return nil
	}
	return func(path string, most int) ([]byte, error) {
		st, err := fs.Stat(fsys, path)
		if err != nil {
			return nil, err
		}
		if !st.Mode().IsRegular() {
			return nil, errors.New("not a regular file")
		}
		r, err := fsys.Open(path)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(io.LimitReader(r, int64(most)+1))
	}
}

// A source is the text of a zone and what is known of it from outside.
type source struct {
	src   []byte
	label string // what records and errors call it
	// origin is the zone's name as somebody gave it; assumed is one that the
	// name of the file suggests, which what the file says itself outweighs.
	origin, assumed string
	read            reader // how $INCLUDE gets at files; nil: not at all
	path            string // of the file, among those that read takes
	dir             string // put before the paths that read takes, to name them
	included        *[]string
}

func parse(s source) (*Zone, error) {
	p := &parser{z: &Zone{sources: map[string][]byte{}, main: s, paths: map[string]string{}, loads: map[string]int{}, ends: map[string]string{}},
		read: s.read, dir: s.dir, budget: MaxFile, assumed: s.assumed, included: s.included}
	origin := s.origin
	if origin != "" && origin != "." {
		o, err := dnsq.ParseName(origin)
		if err != nil {
			return nil, Errors{{File: s.label, Msg: "the origin given is not usable: " + err.Error(), Err: err}}
		}
		origin = o
	}
	f := &file{lexer: lexer{file: s.label, line: 1}, path: s.path, origin: origin}
	if f.origin == "" {
		f.origin = s.assumed
	}
	p.file(f, s.src)
	p.finish(s.label, origin)
	if len(p.errs) > 0 {
		sort.SliceStable(p.errs, func(i, j int) bool {
			a, b := p.errs[i], p.errs[j]
			return a.File == b.File && a.Line < b.Line
		})
		return nil, p.errs
	}
	return p.z, nil
}

func (p *parser) fail(e *Error) {
	if p.stop {
		return
	}
	if len(p.errs) >= MaxErrors {
		p.errs = append(p.errs, &Error{File: e.File, Line: e.Line, Msg: "more errors follow; reading stopped here"})
		p.stop = true
		return
	}
	p.errs = append(p.errs, e)
}

// halt is a fault behind which reading makes no sense.
func (p *parser) halt(e *Error) {
	p.fail(e)
	p.stop = true
}

// note notes an oddity of the record that is about to be added.
func (p *parser) note(f *file, line, col int, code NoteCode, text string) {
	p.noteOf(len(p.z.Records), f, line, col, code, text)
}

func (p *parser) noteOf(record int, f *file, line, col int, code NoteCode, text string) {
	if len(p.z.Notes) < 4*MaxErrors+4*len(p.z.Records) {
		p.z.Notes = append(p.z.Notes, Note{File: f.file, Line: line, Column: col, Record: record, Code: code, Text: clipNote(text)})
	}
}

func clipNote(s string) string {
	if len(s) > 300 {
		s = s[:300]
	}
	return strings.Clone(s)
}

// file reads one file to its end.
func (p *parser) file(f *file, src []byte) {
	if len(src) > p.budget {
		p.halt(&Error{File: f.file, Msg: fmt.Sprintf("more than %d MB of zone text (included files counted)", MaxFile>>20)})
		return
	}
	p.budget -= len(src)
	f.src = src
	p.z.sources[f.file] = src
	p.z.paths[f.path] = f.file
	p.z.loads[f.file]++
	if bytes.HasPrefix(src, []byte("\ufeff")) {
		p.noteOf(-1, f, 1, 1, ByteOrderMark, "")
		f.pos, f.lineStart = 3, 3
	}
	var e entry
	for !p.stop && f.next(&e) {
		p.entry(f, &e)
	}
	p.z.ends[f.file] = f.origin
}

func (p *parser) entry(f *file, e *entry) {
	if e.err != nil {
		// The owner of a broken entry is what later blanks mean, if it can be
		// told; if not, they mean nothing that is known.
		if !e.blank {
			f.badOwner = true
			if len(e.tokens) > 0 {
				if n, err := parseName(f.text(e.tokens[0]), f.origin); err == nil {
					f.owner, f.hasOwner, f.badOwner = n, true, false
				}
			}
		}
		p.fail(e.err)
		return
	}
	if len(e.tokens) == 0 {
		return
	}
	if t := e.tokens[0]; !e.blank && !t.quoted && f.src[t.start] == '$' {
		p.directive(f, e)
		return
	}
	p.record(f, e, e.tokens)
}

func (f *file) text(t token) string { return string(f.src[t.start:t.end]) }

func (f *file) at(t token, format string, a ...any) *Error {
	return &Error{File: f.file, Line: t.line, Column: t.col, Msg: fmt.Sprintf(format, a...)}
}

// behind is the position right behind an entry's last token.
func (f *file) behind(e *entry) token {
	t := e.tokens[len(e.tokens)-1]
	t.col += t.end - t.start
	if t.quoted {
		t.col += 2
	}
	return t
}

func (p *parser) directive(f *file, e *entry) {
	t := e.tokens
	args := func(least, most int, form string) bool {
		if n := len(t) - 1; n < least {
			p.fail(f.at(f.behind(e), "expected %s", form))
			return false
		} else if n > most {
			p.fail(f.at(t[most+1], "too much for this directive: expected %s", form))
			return false
		}
		return true
	}
	name := func(t token) (string, bool) {
		n, err := parseName(f.text(t), f.origin)
		if err != nil || t.quoted {
			if err == nil {
				err = errors.New("a quoted string where a name is expected")
			}
			p.fail(f.at(t, "%v", err))
			return "", false
		}
		return n, true
	}
	switch d := strings.ToUpper(f.text(t[0])); d {
	case "$ORIGIN":
		if !args(1, 1, "$ORIGIN and a name, as in $ORIGIN example.com.") {
			return
		}
		s := f.text(t[1])
		noted := len(p.z.Notes)
		if s != "@" && !strings.HasSuffix(s, ".") {
			p.noteOf(-1, f, t[1].line, t[1].col, OriginWithoutDot, s)
		}
		// RFC 1035 §5.1 has a relative $ORIGIN relative to the one before.
		// Where there is none it can only be meant from the root.
		absolute, aerr := "", errNoOrigin
		if s != "@" && !t[1].quoted {
			absolute, aerr = parseName(strings.TrimSuffix(s, ".")+".", "")
		}
		// An origin that only the file's name suggests is not one to be
		// relative to, if the directive names it in full.
		if aerr == nil && f.origin == p.assumed && p.firstOrigin == "" && p.assumed != "" && dnsq.AtOrBelow(absolute, p.assumed) ||
			f.origin == "" && s != "@" && !t[1].quoted {
			if aerr != nil {
				p.fail(f.at(t[1], "%v", aerr))
				return
			}
			f.origin = absolute
		} else if n, ok := name(t[1]); ok {
			f.origin = n
		} else {
			return
		}
		if len(p.z.Notes) > noted {
			p.z.Notes[noted].Name = f.origin
		}
		if p.firstOrigin == "" {
			p.firstOrigin = f.origin
		}
	case "$TTL":
		if !args(1, 1, "$TTL and a time, as in $TTL 3600 or $TTL 1h") {
			return
		}
		v, ok := parseTTL(f.text(t[1]))
		if !ok || t[1].quoted {
			p.fail(f.at(t[1], "%q is not a TTL: expected seconds up to 2147483647, or a number with s, m, h, d or w", clip(f.text(t[1]))))
			return
		}
		p.ttl, p.ttlState = v, ttlSet
	case "$INCLUDE":
		if !args(1, 2, "$INCLUDE, a file and maybe an origin") {
			return
		}
		origin := f.origin
		if len(t) == 3 {
			n, ok := name(t[2])
			if !ok {
				return
			}
			origin = n
		}
		p.include(f, t[1], origin)
	case "$GENERATE":
		p.generate(f, e)
	default:
		p.fail(f.at(t[0], "unknown directive %q: there are $ORIGIN, $TTL, $INCLUDE and $GENERATE", clip(f.text(t[0]))))
	}
}

// include reads another file in place of the directive. RFC 1035 §5.1: the
// origin (and the owner) of the including file are as before afterwards.
func (p *parser) include(f *file, t token, origin string) {
	name, err := unescape(f.text(t))
	if err != nil {
		p.fail(f.at(t, "%v", err))
		return
	}
	if p.read == nil {
		p.fail(f.at(t, "$INCLUDE %q: only a zone that is read from a file in a folder can include others", clip(name)))
		return
	}
	if f.depth >= MaxIncludeDepth {
		p.fail(f.at(t, "$INCLUDE %q: files may include each other %d deep", clip(name), MaxIncludeDepth))
		return
	}
	if p.includes++; p.includes > MaxIncludes {
		p.halt(f.at(t, "more than %d $INCLUDE directives", MaxIncludes))
		return
	}
	full := path.Join(path.Dir(f.path), name)
	if path.IsAbs(name) || !fs.ValidPath(full) || strings.ContainsRune(name, '\\') {
		p.fail(f.at(t, "$INCLUDE %q: only files in the folder of the zone file, or below it, can be included", clip(name)))
		return
	}
	for up := f; up != nil; up = up.up {
		if up.path == full {
			p.fail(f.at(t, "$INCLUDE %q: the file includes itself", clip(name)))
			return
		}
	}
	src, err := p.read(full, p.budget)
	if err != nil {
		e := f.at(t, "$INCLUDE %q: %s", clip(name), reason(err))
		e.Err = err
		p.fail(e)
		return
	}
	label := full
	if p.dir != "" {
		label = path.Join(p.dir, full)
	}
	if p.included != nil {
		*p.included = append(*p.included, full)
	}
	p.file(&file{lexer: lexer{file: label, line: 1}, path: full, depth: f.depth + 1, up: f, origin: origin,
		owner: f.owner, hasOwner: f.hasOwner, badOwner: f.badOwner}, src)
}

// record reads an entry that is a record: [owner] [TTL] [class] type data,
// TTL and class in any order (RFC 1035 §5.1).
func (p *parser) record(f *file, e *entry, t []token) {
	i := 0
	if !e.blank {
		i = 1
		n, err := parseName(f.text(t[0]), f.origin)
		if t[0].quoted {
			err = errors.New("a quoted string where the owner name is expected")
		}
		if err != nil {
			f.badOwner = true
			// Said once: it has one cause, and one remedy.
			if !errors.Is(err, errNoOrigin) || !p.relative {
				p.fail(f.at(t[0], "%v", err))
			}
			p.relative = p.relative || errors.Is(err, errNoOrigin)
			return
		}
		f.owner, f.hasOwner, f.badOwner = n, true, false
		if !isASCII(f.src[t[0].start:t[0].end]) {
			p.note(f, t[0].line, t[0].col, UTF8Name, f.text(t[0]))
		}
	}
	rr := dnsq.RR{Name: f.owner, File: f.file, Line: t[0].line}
	var haveTTL, haveClass, haveType bool
	for ; i < len(t) && !haveType; i++ {
		s := f.text(t[i])
		if t[i].quoted {
			p.fail(f.at(t[i], "a quoted string where the record type is expected"))
			return
		}
		if ttl, ok := parseTTL(s); ok && !haveTTL {
			rr.TTL, haveTTL = ttl, true
			continue
		}
		if typ, ok := typeOf(s); ok {
			rr.Type, haveType = typ, true
			continue
		}
		if class, ok := classOf(s); ok && !haveClass {
			if class != 1 {
				p.fail(f.at(t[i], "class %s: only records of class IN concern mail", strings.ToUpper(clip(s))))
				return
			}
			haveClass = true
			continue
		}
		switch {
		case e.blank && !haveTTL && !haveClass && strings.Contains(s, "."):
			p.fail(f.at(t[i], "%q is not a record type; the line starts with a blank, so it has no owner name: delete the blank if this is one", clip(s)))
		case digit(s[0]):
			p.fail(f.at(t[i], "%q is neither a TTL (up to 2147483647 seconds) nor a record type", clip(s)))
		default:
			p.fail(f.at(t[i], "%q is not a record type: expected owner, TTL, class, type, data, as in www 3600 IN A 192.0.2.1", clip(s)))
		}
		return
	}
	if !haveType {
		p.fail(f.at(f.behind(e), "the record has no type: expected owner, TTL, class, type, data, as in www 3600 IN A 192.0.2.1"))
		return
	}
	if e.blank {
		switch {
		case f.badOwner:
			return // the fault of the owner was told
		case !f.hasOwner:
			p.fail(f.at(t[0], "the first record has no owner name: a line that starts with a blank takes over that of the record before"))
			return
		}
	}
	data := t[i:]
	words := make([]word, len(data))
	for j, d := range data {
		words[j] = word{f.text(d), d.quoted, d.glued}
	}
	if err := parseRData(&rr, words, f.origin); err != nil {
		at := f.behind(e)
		if err.word < len(data) {
			at = data[err.word]
		}
		if err.msg == errNoOrigin.Error() {
			if p.relative {
				return
			}
			p.relative = true
		}
		p.fail(f.at(at, "%s", err.msg))
		return
	}
	if len(p.z.Records) >= MaxRecords {
		p.halt(f.at(t[0], "more than %d records", MaxRecords))
		return
	}
	p.dataNotes(f, e, &rr, data)
	stated := !haveTTL && p.ttlState == ttlStated
	switch {
	case haveTTL:
		// RFC 1035 §5.1: an omitted TTL is the last one stated; RFC 2308 §4:
		// unless $TTL gives one.
		if p.ttlState != ttlSet {
			p.ttl, p.ttlState = rr.TTL, ttlStated
		}
	case p.ttlState == ttlNone:
		p.noTTL = append(p.noTTL, len(p.z.Records))
	default:
		rr.TTL = p.ttl
	}
	p.z.Records = append(p.z.Records, rr)
	p.z.Spans = append(p.z.Spans, Span{File: f.file, Line: t[0].line, EndLine: e.endLine, Start: e.start, End: e.end,
		Comment: e.comment, Inherited: e.blank, TTLSet: haveTTL, origin: f.origin, stated: stated})
}

// classOf reads a class: IN, CH, HS, CS or CLASSnnn (RFC 3597 §5).
func classOf(s string) (uint16, bool) {
	switch u := strings.ToUpper(s); u {
	case "IN":
		return 1, true
	case "CS":
		return 2, true
	case "CH":
		return 3, true
	case "HS":
		return 4, true
	default:
		if n, ok := strings.CutPrefix(u, "CLASS"); ok {
			v, err := strconv.ParseUint(n, 10, 16)
			return uint16(v), err == nil
		}
	}
	return 0, false
}

// dataNotes notes what is odd about the data of a record that is about to be
// added.
func (p *parser) dataNotes(f *file, e *entry, rr *dnsq.RR, data []token) {
	if rr.Type != dnsq.TypeTXT && rr.Type != dnsq.TypeSPF {
		for _, d := range data {
			if !d.quoted && !isASCII(f.src[d.start:d.end]) {
				p.note(f, d.line, d.col, UTF8Name, f.text(d))
			}
		}
		return
	}
	generic := !data[0].quoted && f.text(data[0]) == `\#`
	unquoted := 0
	for _, d := range data {
		b := f.src[d.start:d.end]
		if len(b) > 255 && !generic {
			if s, err := unescape(string(b)); err == nil && len(s) > 255 {
				p.note(f, d.line, d.col, LongString, string(b))
			}
		}
		if d.quoted {
			continue
		}
		unquoted++
		for _, q := range []string{"\u201c", "\u201d", "\u201e", "\u2018", "\u2019", "\u301d", "\u301f", "\uff02"} {
			if bytes.HasPrefix(b, []byte(q)) || bytes.HasSuffix(b, []byte(q)) {
				p.note(f, d.line, d.col, SmartQuotes, string(b))
				break
			}
		}
	}
	if generic {
		return
	}
	if unquoted > 1 {
		p.note(f, data[0].line, data[0].col, UnquotedText, "")
	}
	// The comment that is none: it touches the text before it, or goes on as a
	// tag list does.
	if last := data[len(data)-1]; !last.quoted && e.commentAt >= last.end {
		if e.commentAt == last.end || tagAfterSemicolon(e.comment) {
			p.note(f, last.line, last.col+last.end-last.start, CutBySemicolon, e.comment)
		}
	}
}

// tagAfterSemicolon reports whether a comment looks like the rest of a DKIM or
// DMARC tag list: "; p=none".
func tagAfterSemicolon(c string) bool {
	c = strings.TrimLeft(c, "; \t")
	n := 0
	for n < len(c) && ('a' <= c[n]|0x20 && c[n]|0x20 <= 'z') {
		n++
	}
	return n > 0 && n <= 8 && strings.HasPrefix(strings.TrimLeft(c[n:], " \t"), "=")
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// finish decides what only the whole file tells: the origin, missing TTLs,
// what is out of zone.
func (p *parser) finish(label, given string) {
	z := p.z
	// RFC 1035 §5.2: exactly one SOA, at the top. A second one that is the
	// same is what `dig axfr` prints at the end.
	soa := -1
	for i := range z.Records {
		rr := &z.Records[i]
		if rr.Type != dnsq.TypeSOA {
			continue
		}
		if soa >= 0 {
			first := &z.Records[soa]
			if first.Name != rr.Name || *first.SOA != *rr.SOA {
				p.fail(&Error{File: rr.File, Line: rr.Line, Msg: fmt.Sprintf("a second SOA record (the first is in line %d of %s): one file is one zone", first.Line, first.File)})
			}
			continue
		}
		soa = i
	}
	switch {
	case soa >= 0:
		rr := &z.Records[soa]
		z.Origin = rr.Name
		if given != "" && given != rr.Name {
			p.fail(&Error{File: rr.File, Line: rr.Line, Msg: fmt.Sprintf("the SOA record makes this the zone %s, but %s was given", rr.Name, given)})
		}
	case given != "":
		z.Origin = given
	case p.assumed != "" && (p.firstOrigin == "" || dnsq.AtOrBelow(p.firstOrigin, p.assumed)):
		z.Origin = p.assumed
	case p.firstOrigin != "" && p.firstOrigin != ".":
		z.Origin = p.firstOrigin
	case len(p.errs) == 0:
		spell := label
		if label == stdinLabel {
			spell = "-"
		}
		p.fail(&Error{File: label, Msg: "the file does not say which zone it is (no SOA record, no $ORIGIN, no domain as its name): name the zone with FILE@ORIGIN, as in " + spell + "@example.com"})
	}
	// An empty file is most likely a download that failed. As a zone it would
	// say that nothing exists.
	if len(z.Records) == 0 && len(p.errs) == 0 {
		p.fail(&Error{File: label, Msg: "the file holds no records"})
	}
	if len(p.errs) > 0 {
		return
	}
	// BIND takes the SOA minimum (its meaning before RFC 2308).
	ttl := uint32(DefaultTTL)
	if soa >= 0 {
		ttl = z.Records[soa].SOA.Minimum
	}
	for _, i := range p.noTTL {
		z.Records[i].TTL = ttl
	}
	for i := range z.Records {
		if rr := &z.Records[i]; !dnsq.AtOrBelow(rr.Name, z.Origin) {
			z.Notes = append(z.Notes, Note{File: rr.File, Line: rr.Line, Column: 1, Record: i, Code: OutOfZone, Text: rr.Name})
		}
	}
	p.besideCNAME()
}

// besideCNAME notes names with a CNAME and something else.
func (p *parser) besideCNAME() {
	z := p.z
	cname := map[string]int{}
	for i := range z.Records {
		if z.Records[i].Type == dnsq.TypeCNAME {
			if _, ok := cname[z.Records[i].Name]; !ok {
				cname[z.Records[i].Name] = i
			}
		}
	}
	if len(cname) == 0 {
		return
	}
	for i := range z.Records {
		rr := &z.Records[i]
		first, ok := cname[rr.Name]
		if !ok || i == first || besides(rr.Type) {
			continue
		}
		if rr.Type == dnsq.TypeCNAME && rr.Host == z.Records[first].Host {
			continue // the same record twice
		}
		z.Notes = append(z.Notes, Note{File: rr.File, Line: rr.Line, Column: 1, Record: i, Code: BesideCNAME, Text: rr.Name})
	}
}

// besides reports whether a type may stand beside a CNAME: DNSSEC's RRSIG and
// NSEC (RFC 4034 §3, §4), and the KEY that RFC 2181 §10.1 lets pass.
func besides(t dnsq.Type) bool { return t == 46 || t == 47 || t == 25 }
