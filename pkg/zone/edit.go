package zone

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// A Refusal says why an edit cannot be made in the text of the zone files.
type Refusal string

const (
	// OutsideZones: no zone file speaks for the name.
	OutsideZones Refusal = "outside-zones"
	// NoZoneFile: the zone's records are not from a file in the syntax of RFC 1035.
	NoZoneFile Refusal = "no-zone-file"
	// BelowCut: the zone hands the name on to other servers with NS records; a
	// record there would not be seen.
	BelowCut Refusal = "below-cut"
	// NotThere: the record to change or to remove is not in the files.
	NotThere Refusal = "not-there"
	// FromGenerate: a $GENERATE makes the record, and others with it.
	FromGenerate Refusal = "from-generate"
	// ReadTwice: the line stands in a file that is included several times, so it
	// is several records.
	ReadTwice Refusal = "read-twice"
	// BesideAlias: a CNAME stands alone at its name (RFC 1034 §3.6.2).
	BesideAlias Refusal = "beside-alias"
	// Unreadable: the edit is no record.
	Unreadable Refusal = "unreadable"
	// Unsafe: the text could be changed, but would then not be read as meant, or
	// another record would be. Nothing of the zone is changed then.
	Unsafe Refusal = "unsafe"
)

// An Unplaced is an edit that was not made, and why.
type Unplaced struct {
	Edit   diag.Edit
	Why    Refusal
	File   string // where the record in question stands, if it is in a file
	Line   int    // from 1
	Detail string // more about it, in English, hostile; may be ""
}

// A FileText is a file before and after the edits.
type FileText struct {
	Name     string
	Old, New []byte
}

// A SerialChange is a zone's serial before and after.
type SerialChange struct {
	Zone     string
	Old, New uint32
	File     string
	Line     int // from 1, in the old file
}

// An Edition is what edits make of zone files.
type Edition struct {
	// Files are those that differ, in the order of the zones and of their
	// $INCLUDE directives.
	Files    []FileText
	Unplaced []Unplaced
	Serials  []SerialChange
	// Set are the zones as they are after the edits, read from the new texts.
	Set *Set
}

// Edit makes edits in the text of the files that the zones were read from, and
// leaves everything else in them as it is: comments, layout, order, spelling.
// Nothing is written to disk.
//
//   - A record that changes is changed where it stands. Of a TXT record of
//     several strings over several lines only the strings that differ are
//     written anew. TTL, class and the spelling of the owner stay. Old and New
//     alike cut strings that are too long for RFC 1035 §3.3.
//   - A record that comes is put behind the last of its name and type, else
//     behind the last of its name, else at the end of the zone's own file;
//     owner and spacing are as its neighbour has them. Names are relative to
//     the $ORIGIN in force there where the neighbour's are, else absolute.
//   - A record that goes takes its lines and the comment in them along. Where
//     records below inherit its owner or its TTL (RFC 1035 §5.1), the first of
//     them states it.
//   - A TXT record longer than 255 octets is cut behind a blank where there is
//     one near, in parentheses over several lines if the file has such records.
//   - What a wildcard gives to a name that has no record is not there to be
//     changed: the name gets a record of its own.
//
// If bump is not the zero time, the serial of each zone that changes grows as
// [NextSerial] says, since a primary that loads a file with the old serial does
// not tell its secondaries (RFC 1996 §3, RFC 1035 §3.3.13). Serial 0 stays: files
// have it where another program sets the serial.
//
// Every new text is read again. If it does not hold exactly the records that
// were meant, none of that zone's edits is made, and they are Unsafe.
func (s *Set) Edit(edits []diag.Edit, bump time.Time) *Edition {
	out := &Edition{}
	byZone := map[*index][]*job{}
	var order []*index
	for _, e := range edits {
		j := &job{edit: e}
		x, err := s.place(j)
		if err != nil {
			out.Unplaced = append(out.Unplaced, *err)
			continue
		}
		if byZone[x] == nil {
			order = append(order, x)
		}
		byZone[x] = append(byZone[x], j)
	}
	sort.SliceStable(order, func(i, j int) bool { return s.rank(order[i]) < s.rank(order[j]) })
	zones := slices.Clone(s.order)
	for _, x := range order {
		ed := newEditor(s, x, byZone[x])
		z := ed.run(bump, out)
		if z != nil {
			zones[s.rank(x)] = z
		}
	}
	// Origins do not change, so the zones are as compatible as before.
	out.Set, _ = NewSet(zones...)
	return out
}

func (s *Set) rank(x *index) int { return slices.Index(s.order, x.zone) }

// NextSerial is the serial that follows old (RFC 1982 §3.2: by less than half of
// its range). What the date has as YYYYMMDDnn becomes that of now, if it is
// later; what counts seconds since 1970 becomes the time of now; anything else,
// and where that would not grow, is one more than old.
func NextSerial(old uint32, now time.Time) uint32 {
	next := old + 1
	day := func(v uint32) (time.Time, bool) {
		t, err := time.Parse("20060102", strconv.FormatUint(uint64(v/100), 10))
		return t, err == nil && t.Year() >= 1980 && t.Year() < 2100
	}
	if t, ok := day(old); ok && !t.After(now.AddDate(0, 0, 2)) {
		y, m, d := now.UTC().Date()
		today := uint32(y*1_000_000 + int(m)*10_000 + d*100)
		return max(next, today)
	}
	// Since 2001, and not ahead of the clock.
	if u := now.Unix(); old > 1_000_000_000 && int64(old) <= u && u <= math.MaxUint32 {
		return max(next, uint32(u))
	}
	if next == 0 { // RFC 1982 allows it, but some software takes it for "none"
		next = 1
	}
	return next
}

// A job is one edit of a zone, as records.
type job struct {
	edit     diag.Edit
	old, new *dnsq.RR
	with     *job  // the addition that became part of this one (pair)
	at       []int // indices of the records that Old is: the first to be changed, the rest to go
	done     bool  // refused, or part of another one
}

func (j *job) refuse(why Refusal, detail string) *Unplaced {
	return &Unplaced{Edit: j.edit, Why: why, Detail: detail}
}

// place reads an edit and finds its zone.
func (s *Set) place(j *job) (*index, *Unplaced) {
	e := j.edit
	if e.Old == "" && e.New == "" {
		return nil, j.refuse(Unreadable, "neither an old nor a new record")
	}
	var rr dnsq.RR
	for _, side := range []struct {
		text string
		to   **dnsq.RR
	}{{e.Old, &j.old}, {e.New, &j.new}} {
		if side.text == "" {
			continue
		}
		r, err := RecordOf(e.Name, e.Type, side.text)
		if err != nil {
			return nil, j.refuse(Unreadable, err.Error())
		}
		rr, *side.to = r, &r
	}
	q := dnsq.Question{Name: rr.Name, Type: rr.Type}
	x := s.find(q)
	if x == nil {
		return nil, j.refuse(OutsideZones, "")
	}
	if x.zone.foreign {
		u := j.refuse(NoZoneFile, "")
		if len(x.zone.Records) > 0 {
			u.File, u.Line = x.zone.Records[0].File, x.zone.Records[0].Line
		}
		return nil, u
	}
	if r := x.step(q); r.kind == stepDelegated && q.Type != dnsq.TypeNS {
		u := j.refuse(BelowCut, r.next)
		if n := x.nodes[r.next]; n != nil {
			if ns := n.set(dnsq.TypeNS); len(ns) > 0 {
				u.File, u.Line = ns[0].File, ns[0].Line
			}
		}
		return nil, u
	}
	return x, nil
}

// An editor makes the edits of one zone.
type editor struct {
	set     *Set
	x       *index
	z       *Zone
	jobs    []*job
	fate    map[int]*job     // records that an edit changes or removes
	gone    map[int]bool     // records that go
	patches map[string][]cut // by file
	refused []Unplaced
	serial  *SerialChange
	adds    []*job
}

// A cut replaces the octets from start to end.
type cut struct {
	start, end int
	text       string
	rank       int // insertions at one place keep this order
}

func newEditor(s *Set, x *index, jobs []*job) *editor {
	return &editor{set: s, x: x, z: x.zone, jobs: jobs, fate: map[int]*job{}, gone: map[int]bool{},
		patches: map[string][]cut{}}
}

// run returns the zone after its edits, nil if nothing changes.
func (ed *editor) run(bump time.Time, out *Edition) *Zone {
	ed.pair()
	for _, j := range ed.jobs {
		if u := ed.match(j); u != nil {
			ed.refuse(j, *u)
		}
	}
	for _, j := range ed.jobs {
		if !j.done {
			ed.change(j)
		}
	}
	for _, j := range ed.adds {
		ed.add(j)
	}
	ed.heirs()
	if len(ed.patches) > 0 && !bump.IsZero() {
		ed.bump(bump)
	}
	out.Unplaced = append(out.Unplaced, ed.refused...)
	if len(ed.patches) == 0 {
		return nil
	}
	texts := map[string][]byte{}
	var files []FileText
	for _, name := range ed.files() {
		text, ok := apply1(ed.z.sources[name], ed.patches[name])
		if !ok {
			return ed.unsafe(out, "two edits touch the same place")
		}
		texts[name] = text
		if !bytes.Equal(text, ed.z.sources[name]) {
			files = append(files, FileText{name, ed.z.sources[name], text})
		}
	}
	z, err := ed.z.reread(texts)
	if err != nil {
		return ed.unsafe(out, err.Error())
	}
	if detail := ed.compare(z); detail != "" {
		return ed.unsafe(out, detail)
	}
	out.Files = append(out.Files, files...)
	if ed.serial != nil {
		out.Serials = append(out.Serials, *ed.serial)
	}
	return z
}

// refuse notes why an edit, and what became part of it, is not made.
func (ed *editor) refuse(j *job, u Unplaced) {
	j.done = true
	ed.refused = append(ed.refused, u)
	if j.with != nil {
		u.Edit = j.with.edit
		ed.refused = append(ed.refused, u)
	}
}

// unsafe refuses all edits of the zone that were not refused before.
func (ed *editor) unsafe(out *Edition, detail string) *Zone {
	ed.refused = nil
	for _, j := range ed.jobs {
		if !j.done {
			ed.refuse(j, *j.refuse(Unsafe, detail))
		}
	}
	out.Unplaced = append(out.Unplaced, ed.refused...)
	return nil
}

// files are the files with changes: the zone's own first, then in order of name.
func (ed *editor) files() []string {
	var out []string
	for f := range ed.patches {
		out = append(out, f)
	}
	main := ed.z.main.label
	sort.Slice(out, func(i, j int) bool {
		if (out[i] == main) != (out[j] == main) {
			return out[i] == main
		}
		return out[i] < out[j]
	})
	return out
}

// pair makes one edit of a removal and an addition at one name and type, so that
// the new record stands where the old one did.
func (ed *editor) pair() {
	for _, a := range ed.jobs {
		if a.old == nil || a.new != nil {
			continue
		}
		for _, b := range ed.jobs {
			if b.old == nil && b.new != nil && !b.done && a.new == nil && b.new.Name == a.old.Name && b.new.Type == a.old.Type {
				a.new, a.with, b.done = b.new, b, true
			}
		}
	}
}

// match finds the records that an edit is about.
func (ed *editor) match(j *job) *Unplaced {
	if j.done {
		return nil
	}
	if j.old != nil {
		first := -1
		for i := range ed.z.Records {
			rr := &ed.z.Records[i]
			if ed.fate[i] != nil || rr.Name != j.old.Name || rr.Type != j.old.Type {
				continue
			}
			if first < 0 && sameText(rr, j.old) || first >= 0 && sameData(rr, &ed.z.Records[first]) {
				if first < 0 {
					first = i
				}
				if u := ed.editable(j, i); u != nil {
					return u
				}
				j.at = append(j.at, i)
			}
		}
		if first < 0 && !(j.new != nil && ed.byWildcard(j.old)) {
			return j.refuse(NotThere, "")
		}
	}
	for _, i := range j.at {
		ed.fate[i] = j
	}
	return nil
}

// editable is nil if the text of record i stands for it alone.
func (ed *editor) editable(j *job, i int) *Unplaced {
	s := ed.z.Spans[i]
	var u *Unplaced
	switch {
	case s.Generated:
		u = j.refuse(FromGenerate, "")
	case ed.z.loads[s.File] > 1:
		u = j.refuse(ReadTwice, "")
	default:
		return nil
	}
	u.File, u.Line = s.File, s.Line
	return u
}

// byWildcard reports whether a wildcard gives rr to its name.
func (ed *editor) byWildcard(rr *dnsq.RR) bool {
	if ed.x.nodes[rr.Name] != nil {
		return false
	}
	r := ed.x.step(dnsq.Question{Name: rr.Name, Type: rr.Type})
	return slices.ContainsFunc(r.rrs, func(o dnsq.RR) bool { return sameText(&o, rr) })
}

// has reports whether the zone keeps a record like rr that no edit is about.
func (ed *editor) has(rr *dnsq.RR) bool {
	for i := range ed.z.Records {
		o := &ed.z.Records[i]
		if ed.fate[i] == nil && o.Name == rr.Name && sameText(o, rr) {
			return true
		}
	}
	return false
}

// change carries out an edit of records that are there, and keeps the others
// for later, when it is known what goes.
func (ed *editor) change(j *job) {
	rest := j.at
	switch {
	case j.new != nil && ed.has(j.new): // nothing to add, and a double would be no record
		j.new = nil
	case j.new != nil && len(j.at) == 0:
		if !slices.ContainsFunc(ed.adds, func(o *job) bool { return o.new.Name == j.new.Name && sameText(o.new, j.new) }) {
			ed.adds = append(ed.adds, j)
		}
	case j.new != nil:
		ed.rewrite(j.at[0], j.new)
		rest = j.at[1:]
	}
	for _, i := range rest {
		ed.gone[i] = true
		s := ed.z.Spans[i]
		ed.cut(s.File, s.Start, lineEnd(ed.z.sources[s.File], s.End), "")
	}
}

func (ed *editor) cut(file string, start, end int, text string) {
	ed.patches[file] = append(ed.patches[file], cut{start, end, text, len(ed.patches[file])})
}

// apply1 carries out cuts; false if two overlap.
func apply1(src []byte, cuts []cut) ([]byte, bool) {
	cuts = slices.Clone(cuts)
	sort.SliceStable(cuts, func(i, j int) bool {
		a, b := cuts[i], cuts[j]
		if a.start != b.start {
			return a.start < b.start
		}
		if (a.start == a.end) != (b.start == b.end) {
			return a.start == a.end // an insertion comes before what is cut there
		}
		return a.rank < b.rank
	})
	var out []byte
	pos := 0
	for _, c := range cuts {
		if c.start < pos {
			return nil, false
		}
		out = append(append(out, src[pos:c.start]...), c.text...)
		pos = c.end
	}
	return append(out, src[pos:]...), true
}

// lineEnd is the offset behind the line end at i, which is at one or at the end.
func lineEnd(src []byte, i int) int {
	for i < len(src) && src[i] != '\n' {
		i++
	}
	return min(i+1, len(src))
}

// eol is how the file ends its lines.
func eol(src []byte) string {
	if i := bytes.IndexByte(src, '\n'); i > 0 && src[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// A line is an entry cut into its parts.
type line struct {
	src        []byte
	span       Span
	owner      *token // nil if it is inherited
	head, data []token
	ttl, class int // indices into head, -1 if it has none; the type is the last
	depth      []int
}

// line reads the entry of record i once more. It was read before, so it has no
// faults.
func (ed *editor) line(i int) *line {
	s := ed.z.Spans[i]
	src := ed.z.sources[s.File]
	l := &line{src: src, span: s, ttl: -1, class: -1}
	lx := lexer{file: s.File, src: src[:s.End], pos: s.Start, line: s.Line, lineStart: s.Start}
	var e entry
	lx.next(&e)
	t := slices.Clone(e.tokens)
	if !e.blank && len(t) > 0 {
		l.owner, t = &t[0], t[1:]
	}
	n := 0
	for done := false; n < len(t) && !done; n++ {
		word := string(src[t[n].start:t[n].end])
		if _, ok := parseTTL(word); ok && l.ttl < 0 {
			l.ttl = n
		} else if _, ok := typeOf(word); ok {
			done = true
		} else {
			l.class = n
		}
	}
	l.head, l.data = t[:n], t[n:]
	// How deep each word of the data stands in parentheses.
	depth, pos := 0, s.Start
	if l.owner != nil {
		pos = l.owner.behind()
	}
	for _, tok := range t {
		for ; pos < tok.outer(); pos++ {
			switch src[pos] {
			case '(':
				depth++
			case ')':
				depth--
			case ';':
				for pos < tok.outer() && src[pos] != '\n' {
					pos++
				}
			}
		}
		pos = tok.behind()
		l.depth = append(l.depth, depth)
	}
	l.depth = l.depth[len(l.head):]
	return l
}

// outer and behind are the offsets of a token with its quotes.
func (t token) outer() int {
	if t.quoted {
		return t.start - 1
	}
	return t.start
}

func (t token) behind() int {
	if t.quoted {
		return t.end + 1
	}
	return t.end
}

func (l *line) text(t token) string { return string(l.src[t.start:t.end]) }

// indent is the white space before t if t is the first of its line.
func (l *line) indent(t token) (string, bool) {
	i := t.outer()
	for i > l.span.Start && (l.src[i-1] == ' ' || l.src[i-1] == '\t') {
		i--
	}
	return string(l.src[i:t.outer()]), i > l.span.Start && l.src[i-1] == '\n'
}

// rewrite gives record i the data of rr.
func (ed *editor) rewrite(i int, rr *dnsq.RR) {
	l := ed.line(i)
	file := l.span.File
	if rr.Type == dnsq.TypeTXT || rr.Type == dnsq.TypeSPF {
		ed.rewriteText(i, l, rr.Text())
		return
	}
	old, new := wordsOf(FormatData(ed.z.Records[i])), wordsOf(FormatData(*rr))
	if len(old) == len(l.data) && len(new) == len(l.data) {
		for k, t := range l.data {
			if old[k] == new[k] {
				continue
			}
			word := new[k]
			if k == nameWord(rr) && !strings.HasSuffix(l.text(t), ".") {
				word = relative(rr.Host, l.span.origin)
			}
			ed.cut(file, t.outer(), t.behind(), word)
		}
		return
	}
	ed.cut(file, l.data[0].outer(), l.data[0].behind(), FormatData(*rr))
	for _, t := range l.data[1:] {
		ed.drop(l, t)
	}
}

// nameWord is which word of the data is a name that may be relative, -1 if none.
func nameWord(rr *dnsq.RR) int {
	switch rr.Type {
	case dnsq.TypeMX:
		return 1
	case dnsq.TypeNS, dnsq.TypeCNAME, dnsq.TypeDNAME, dnsq.TypePTR:
		return 0
	}
	return -1
}

// wordsOf cuts data in presentation format into its words, quotes included.
func wordsOf(data string) []string {
	lx := lexer{src: []byte(data), line: 1}
	var e entry
	var out []string
	for lx.next(&e) {
		for _, t := range e.tokens {
			out = append(out, data[t.outer():t.behind()])
		}
	}
	return out
}

// relative is name as it is written below origin.
func relative(name, origin string) string {
	switch {
	case origin == "" || origin == "." || !dnsq.AtOrBelow(name, origin):
		return fqdn(name)
	case name == origin:
		return "@"
	}
	return name[:len(name)-len(origin)-1]
}

// ownerWord is a name in the place of an owner: a $ there starts a directive.
func ownerWord(s string) string {
	if strings.HasPrefix(s, "$") {
		return `\` + s
	}
	return s
}

// drop takes a word out of an entry, with the blanks that set it off. A line
// that is empty then goes too; one with a comment stays.
func (ed *editor) drop(l *line, t token) {
	start, end := t.outer(), t.behind()
	src := l.src
	back, ahead := start, end
	for back > l.span.Start && (src[back-1] == ' ' || src[back-1] == '\t') {
		back--
	}
	for ahead < len(src) && (src[ahead] == ' ' || src[ahead] == '\t' || src[ahead] == '\r') {
		ahead++
	}
	first := back > l.span.Start && src[back-1] == '\n'
	last := ahead < len(src) && src[ahead] == '\n'
	switch {
	case first && last:
		ed.cut(l.span.File, back, ahead+1, "")
	case first:
		ed.cut(l.span.File, start, ahead, "")
	default:
		ed.cut(l.span.File, back, end, "")
	}
}

// rewriteText gives the TXT record i another text: of several strings over
// several lines, only those that differ are touched.
func (ed *editor) rewriteText(i int, l *line, text string) {
	lo, hi := 0, len(l.data)
	var strs []string
	whole := l.span.Line == l.span.EndLine
	for _, t := range l.data {
		s, err := unescape(l.text(t))
		whole = whole || err != nil || !t.quoted || len(s) > 255
		strs = append(strs, s)
	}
	now := strings.Join(strs, "")
	if text == now && !slices.ContainsFunc(strs, func(s string) bool { return len(s) > 255 }) &&
		!slices.ContainsFunc(l.data, func(t token) bool { return !t.quoted }) {
		return
	}
	if !whole {
		rest := text
		for lo < hi && strings.HasPrefix(rest, strs[lo]) {
			rest = rest[len(strs[lo]):]
			lo++
		}
		for hi > lo && strings.HasSuffix(rest, strs[hi-1]) {
			hi--
			rest = rest[:len(rest)-len(strs[hi])]
		}
		if lo == hi { // only something new between two strings
			if lo > 0 {
				lo--
				rest = strs[lo] + rest
			} else {
				rest += strs[hi]
				hi++
			}
		}
		text = rest
	}
	file, first := l.span.File, l.data[lo]
	if text == "" && (lo > 0 || hi < len(l.data)) {
		for _, t := range l.data[lo:hi] {
			ed.drop(l, t)
		}
		return
	}
	parts := chunks(text)
	var b strings.Builder
	indent, own := l.indent(first)
	style, wrap := ed.wrapped(file)
	nl := eol(l.src)
	switch {
	case len(parts) == 1:
		quote(&b, parts[0])
	case l.depth[lo] > 0 && l.span.Line != l.span.EndLine:
		if !own {
			indent = strings.Repeat(" ", max(first.col-1, 1))
		}
		writeParts(&b, parts, nl+indent)
	case wrap && slices.Max(l.depth) == 0 && lo == 0 && hi == len(l.data):
		b.WriteString("(" + nl + style)
		writeParts(&b, parts, nl+style)
		b.WriteString(" )")
	default:
		writeParts(&b, parts, " ")
	}
	ed.cut(file, first.outer(), first.behind(), b.String())
	for _, t := range l.data[lo+1 : hi] {
		ed.drop(l, t)
	}
	// What looks like a comment was meant as the rest of the text.
	if hi == len(l.data) && ed.noted(i, CutBySemicolon) {
		last := l.data[hi-1]
		if at := last.behind(); at < l.span.End {
			end := l.span.End
			if l.span.Line != l.span.EndLine {
				if n := bytes.IndexByte(l.src[at:l.span.End], '\n'); n >= 0 {
					end = at + n
				}
			}
			if bytes.IndexByte(l.src[at:end], ')') < 0 {
				ed.cut(file, at, end, "")
			}
		}
	}
}

func (ed *editor) noted(i int, code NoteCode) bool {
	return slices.ContainsFunc(ed.z.Notes, func(n Note) bool { return n.Record == i && n.Code == code })
}

func writeParts(b *strings.Builder, parts []string, sep string) {
	for i, p := range parts {
		if i > 0 {
			b.WriteString(sep)
		}
		quote(b, p)
	}
}

// chunks cuts text into strings of at most 255 octets (RFC 1035 §3.3), behind a
// blank if there is one in the last part of a string.
func chunks(text string) []string {
	var out []string
	for len(text) > 255 {
		n := 255
		if i := strings.LastIndexByte(text[150:255], ' '); i >= 0 {
			n = 150 + i + 1
		}
		out = append(out, text[:n])
		text = text[n:]
	}
	return append(out, text)
}

// wrapped is how the file indents the strings of a TXT record over several
// lines, if it has one.
func (ed *editor) wrapped(file string) (indent string, ok bool) {
	for i := range ed.z.Records {
		s := ed.z.Spans[i]
		if t := ed.z.Records[i].Type; s.File != file || s.Line == s.EndLine || s.Generated || t != dnsq.TypeTXT && t != dnsq.TypeSPF {
			continue
		}
		l := ed.line(i)
		for k, t := range l.data {
			if in, own := l.indent(t); own && in != "" && l.depth[k] > 0 {
				return in, true
			}
		}
	}
	return "", false
}

// add puts a record into the text.
func (ed *editor) add(j *job) {
	name, typ := j.new.Name, j.new.Type
	at, same := -1, false
	for i := range ed.z.Records {
		rr, s := &ed.z.Records[i], ed.z.Spans[i]
		if rr.Name != name || ed.z.loads[s.File] > 1 {
			continue
		}
		// RFC 1034 §3.6.2: nothing beside a CNAME that stays, and no CNAME
		// beside anything.
		if f := ed.fate[i]; (f == nil || f.new != nil) && (rr.Type == dnsq.TypeCNAME && !besides(typ) || typ == dnsq.TypeCNAME && !besides(rr.Type)) {
			u := j.refuse(BesideAlias, "")
			u.File, u.Line = s.File, s.Line
			ed.refuse(j, *u)
			return
		}
		if rr.Type == typ || !same && rr.Type != dnsq.TypeSOA || at < 0 {
			at, same = i, same || rr.Type == typ
		}
	}
	if at >= 0 {
		s := ed.z.Spans[at]
		ed.insert(s.File, s.End, ed.newLine(j.new, at, s.origin, same && !s.Generated))
		return
	}
	file := ed.z.main.label
	// Its last record shows how records are written there.
	for i := range ed.z.Records {
		if s := ed.z.Spans[i]; s.File == file && !s.Generated && ed.z.Records[i].Type != dnsq.TypeSOA {
			at = i
		}
	}
	ed.insert(file, len(ed.z.sources[file]), ed.newLine(j.new, at, ed.z.ends[file], false))
}

// insert puts a line behind the one that ends at or behind offset at.
func (ed *editor) insert(file string, at int, text string) {
	src := ed.z.sources[file]
	nl := eol(src)
	at = lineEnd(src, at)
	if at > 0 && src[at-1] != '\n' { // the last line of the file has no end
		ed.cut(file, at, at, nl+text)
		return
	}
	ed.cut(file, at, at, text+nl)
}

// newLine is rr as an entry that looks like record i (none if negative), where
// origin is in force. Of a record of its own set (same) it takes owner and TTL.
func (ed *editor) newLine(rr *dnsq.RR, i int, origin string, same bool) string {
	owner, typ := ownerWord(fqdn(rr.Name)), rr.Type.String()
	head := owner + " IN " + typ + " "
	rel := false
	if i >= 0 && !ed.z.Spans[i].Generated {
		l := ed.line(i)
		like := &ed.z.Records[i]
		rel = ed.spellsRelative(l, like)
		switch {
		case like.Name == rr.Name && l.owner == nil && !ed.gone[i]:
			owner = ""
		case like.Name == rr.Name && l.owner != nil && l.span.origin == origin:
			owner = l.text(*l.owner)
		case rel:
			owner = ownerWord(relative(rr.Name, origin))
		}
		head = l.headLike(owner, typ, same)
	}
	var b strings.Builder
	b.WriteString(head)
	switch at := nameWord(rr); {
	case rr.Type == dnsq.TypeTXT || rr.Type == dnsq.TypeSPF:
		parts := chunks(rr.Text())
		file := ed.z.main.label
		if i >= 0 {
			file = ed.z.Spans[i].File
		}
		indent, wrap := ed.wrapped(file)
		nl := eol(ed.z.sources[file])
		if wrap && len(parts) > 1 {
			b.WriteString("(" + nl + indent)
			writeParts(&b, parts, nl+indent)
			b.WriteString(" )")
		} else {
			writeParts(&b, parts, " ")
		}
	case at >= 0 && rel:
		w := wordsOf(FormatData(*rr))
		w[at] = relative(rr.Host, origin)
		b.WriteString(strings.Join(w, " "))
	default:
		b.WriteString(FormatData(*rr))
	}
	return b.String()
}

// spellsRelative reports whether the entry writes names without a final dot.
func (ed *editor) spellsRelative(l *line, rr *dnsq.RR) bool {
	if l.owner != nil {
		return !strings.HasSuffix(l.text(*l.owner), ".")
	}
	if at := nameWord(rr); at >= 0 && at < len(l.data) {
		return !strings.HasSuffix(l.text(l.data[at]), ".")
	}
	return true
}

// headLike is owner, TTL, class and type for a new record, set off as in l. The
// TTL is taken over only from a record of the same set.
func (l *line) headLike(owner, typ string, same bool) string {
	if len(l.data) == 0 || bytes.ContainsAny(l.src[l.span.Start:l.data[0].outer()], "\n();\"") {
		return owner + " IN " + typ + " "
	}
	var b strings.Builder
	// The white space before each word, and the word in place of the old one.
	pos, want := l.span.Start, 0 // want is the column at which the next word stood
	put := func(t *token, word string, keep bool) {
		gap := ""
		end := l.span.Start
		if t != nil {
			gap, end = string(l.src[pos:t.outer()]), t.behind()
			want += len(gap)
		}
		if keep {
			if strings.Trim(gap, " ") == "" && b.Len() > 0 { // blanks: keep the column
				gap = strings.Repeat(" ", max(want-b.Len(), 1))
			}
			b.WriteString(gap + word)
		}
		if t != nil {
			want += end - t.outer()
			pos = end
		}
	}
	put(l.owner, owner, true)
	for k := range l.head {
		t := &l.head[k]
		switch {
		case k == len(l.head)-1:
			put(t, typ, true)
		case k == l.ttl:
			put(t, l.text(*t), same)
		default:
			put(t, l.text(*t), true)
		}
	}
	gap := string(l.src[pos:l.data[0].outer()])
	if strings.Trim(gap, " ") == "" {
		gap = strings.Repeat(" ", max(want+len(gap)-b.Len(), 1))
	}
	return b.String() + gap
}

// heirs states owner and TTL where records inherit them from one that goes.
func (ed *editor) heirs() {
	lost := map[string]int{} // by file: the record that goes whose owner is inherited
	last, known := uint32(0), false
	for i := range ed.z.Records {
		s, ttl := ed.z.Spans[i], ed.z.Records[i].TTL
		if ed.gone[i] {
			if _, pending := lost[s.File]; !s.Inherited || pending {
				lost[s.File] = i
			}
			continue
		}
		stateTTL := s.stated && (!known || last != ttl)
		if s.stated || s.TTLSet {
			last, known = ttl, true
		}
		if s.Generated || ed.z.loads[s.File] > 1 {
			continue // has an owner of its own; what else it needs cannot be written here, which compare finds out
		}
		from, stateOwner := lost[s.File]
		delete(lost, s.File)
		stateOwner = stateOwner && s.Inherited
		if !stateOwner && !stateTTL {
			continue
		}
		l := ed.line(i)
		if stateOwner {
			owner := ownerWord(relative(ed.z.Records[i].Name, s.origin))
			if f := ed.line(from); f.owner != nil && f.span.origin == s.origin {
				owner = f.text(*f.owner)
			}
			// Blanks make room for it, as far as one remains.
			end := s.Start
			for end < len(l.src) && l.src[end] == ' ' && end-s.Start < len(owner) {
				end++
			}
			if end > s.Start && l.src[end] != ' ' && l.src[end] != '\t' {
				end--
			}
			ed.cut(s.File, s.Start, end, owner)
		}
		if stateTTL {
			at := l.head[0].outer()
			ed.cut(s.File, at, at, strconv.FormatUint(uint64(ttl), 10)+" ")
		}
	}
}

// bump lets the serial grow.
func (ed *editor) bump(now time.Time) {
	for i := range ed.z.Records {
		rr := &ed.z.Records[i]
		s := ed.z.Spans[i]
		if rr.Type != dnsq.TypeSOA || rr.SOA == nil {
			continue
		}
		l := ed.line(i)
		if ed.fate[i] != nil || ed.z.loads[s.File] > 1 || rr.SOA.Serial == 0 || len(l.data) != 7 {
			return
		}
		next := NextSerial(rr.SOA.Serial, now)
		t := l.data[2]
		ed.cut(s.File, t.start, t.end, strconv.FormatUint(uint64(next), 10))
		ed.serial = &SerialChange{Zone: ed.z.Origin, Old: rr.SOA.Serial, New: next, File: s.File, Line: t.line}
		return
	}
}

// reread reads the zone again with other texts for some of its files.
func (z *Zone) reread(texts map[string][]byte) (*Zone, error) {
	text := func(label string) ([]byte, bool) {
		if t, ok := texts[label]; ok {
			return t, true
		}
		t, ok := z.sources[label]
		return t, ok
	}
	read := func(path string, most int) ([]byte, error) {
		src, ok := text(z.paths[path])
		if !ok {
			return nil, errors.New("the file was not read before")
		}
		return src, nil
	}
	from := z.main
	from.src, _ = text(from.label)
	from.read, from.included = read, nil
	return parse(from)
}

// compare is "" if z holds what the edits were meant to make: all other records
// as they were, with their TTL, and each new one where it belongs.
func (ed *editor) compare(z *Zone) string {
	count := map[string]int{}
	key := func(rr dnsq.RR, ttl bool) string {
		if !ttl {
			rr.TTL = 0
		}
		data := EditText(rr)
		return fmt.Sprintf("%s %d %s %s", rr.Name, rr.TTL, rr.Type, data)
	}
	type name struct {
		name string
		typ  dnsq.Type
	}
	edited := map[name]bool{}
	for _, j := range ed.jobs {
		if !j.done {
			for _, rr := range []*dnsq.RR{j.old, j.new} {
				if rr != nil {
					edited[name{rr.Name, rr.Type}] = true
				}
			}
		}
	}
	withTTL := func(rr *dnsq.RR) bool { return !edited[name{rr.Name, rr.Type}] }
	for i := range ed.z.Records {
		rr := ed.z.Records[i]
		j := ed.fate[i]
		switch {
		case ed.gone[i]:
			continue
		case j != nil && j.new != nil:
			n := *j.new
			n.TTL = rr.TTL
			rr = n
		case rr.Type == dnsq.TypeSOA && ed.serial != nil && rr.SOA != nil:
			soa := *rr.SOA
			soa.Serial = ed.serial.New
			rr.SOA = &soa
		}
		count[key(rr, withTTL(&rr))]++
	}
	for _, j := range ed.adds {
		if !j.done {
			count[key(*j.new, false)]++
		}
	}
	for i := range z.Records {
		k := key(z.Records[i], withTTL(&z.Records[i]))
		if count[k]--; count[k] < 0 {
			return "there would be another record: " + clip(k)
		}
	}
	for k, n := range count {
		if n > 0 {
			return "a record would be missing: " + clip(k)
		}
	}
	aliases := func(z *Zone) (n int) {
		for i := range z.Notes {
			if z.Notes[i].Code == BesideCNAME {
				n++
			}
		}
		return n
	}
	if z.Origin != ed.z.Origin {
		return "the zone's name would change"
	}
	if aliases(z) > aliases(ed.z) {
		return "a record would stand beside a CNAME"
	}
	return ""
}
