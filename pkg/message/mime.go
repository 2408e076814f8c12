package message

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A Part is a node of the MIME tree: the whole body, or what stands between two
// boundary lines.
type Part struct {
	// ID is the place in the tree: "1" for the root, "1.2" for its second part.
	ID string
	// Header are the fields of the part; those of the message for the root.
	Header []*Field
	// MediaType is the type in lower case, as read (RFC 2045 §5.2: text/plain
	// where there is none or none that can be read; RFC 2046 §5.1.5:
	// message/rfc822 within a digest). Type has the parameters.
	MediaType   string
	Type        Parametrized
	Disposition Parametrized
	// Encoding is the Content-Transfer-Encoding in lower case, "7bit" if none.
	Encoding string
	// Filename is the name of an attachment, decoded; "" if none. It comes from
	// strangers. NameForm says how it was written.
	Filename string
	NameForm ParamForm
	// Line and Offset are where the part's header begins in the file, BodyLine
	// and BodyOffset its content; Size is the octets of the content in the file.
	Line       int
	Offset     int64
	BodyLine   int
	BodyOffset int64
	Size       int64
	Parts      []*Part
	// Closed: a multipart has its closing boundary line.
	Closed bool

	msg      *Message
	boundary string // "--" and the boundary, of a multipart
	seen     bool   // the boundary line occurred
	eight    bool
}

// Multipart reports whether the part may have parts.
func (p *Part) Multipart() bool { return strings.HasPrefix(p.MediaType, "multipart/") }

// Field is the first field of this name, nil if there is none.
func (p *Part) Field(name string) *Field {
	for _, f := range p.Header {
		if f.Is(name) {
			return f
		}
	}
	return nil
}

// Attachment reports whether mail programs show the part as a file: it says so,
// it has a name, or it is neither text nor shown inside other parts.
func (p *Part) Attachment() bool {
	switch {
	case p.Multipart():
		return false
	case p.Disposition.Value == "attachment" || p.Filename != "":
		return true
	case strings.HasPrefix(p.MediaType, "text/") || p.Disposition.Value == "inline":
		return false
	}
	return p.Field("Content-ID") == nil && p.ID != "1"
}

// Walk visits p and everything below it in the order of the file.
func (p *Part) Walk(visit func(*Part)) {
	visit(p)
	for _, c := range p.Parts {
		c.Walk(visit)
	}
}

// Attachments are the parts that mail programs show as files.
func (m *Message) Attachments() []*Part {
	var out []*Part
	m.Root.Walk(func(p *Part) {
		if p.Attachment() {
			out = append(out, p)
		}
	})
	return out
}

// Texts are the parts with text to be read, in the order of the file: plain
// text and HTML that are no attachments.
func (m *Message) Texts() []*Part {
	var out []*Part
	m.Root.Walk(func(p *Part) {
		if strings.HasPrefix(p.MediaType, "text/") && !p.Attachment() {
			out = append(out, p)
		}
	})
	return out
}

// Raw is the content as it went over the wire, still encoded.
func (p *Part) Raw() io.Reader {
	r := p.msg.spool.section(p.BodyOffset, p.BodyOffset+p.Size)
	if p.msg.asIs {
		return r
	}
	return newWire(r, p.msg.quoted)
}

// Content is the content with its transfer encoding undone. An unknown encoding
// is not undone.
func (p *Part) Content() io.Reader {
	switch p.Encoding {
	case "base64":
		return &base64Reader{r: bufio.NewReaderSize(p.Raw(), base64Chunk)}
	case "quoted-printable":
		return &qpReader{br: bufio.NewReaderSize(p.Raw(), int(min(8<<10, p.Size+16)))}
	}
	return p.Raw()
}

// Text is the content of a text part in UTF-8.
type Text struct {
	Text    string
	Charset string // what it was decoded from
	Guessed bool   // the charset is not declared, or the text is not of it
	Cut     bool   // there is more
	Err     error  // a [*CharsetError]: what could not be read is U+FFFD
}

// Text decodes the content to UTF-8, at most max octets of it before its
// charset is decoded. The error is that of reading.
func (p *Part) Text(max int) (Text, error) {
	raw, err := io.ReadAll(io.LimitReader(p.Content(), int64(max)+1))
	if err != nil {
		return Text{}, err
	}
	var t Text
	if len(raw) > max {
		t.Cut = true
		raw = raw[:max]
		// A charset with shifts is in its first state at the end of a line.
		if i := bytes.LastIndexByte(raw, '\n'); i >= 0 {
			raw = raw[:i+1]
		}
	}
	t.Charset = strings.ToLower(strings.TrimSpace(p.Type.Get("charset")))
	if t.Charset == "" || t.Charset == "us-ascii" {
		if text, cs, ok := guessText(raw); ok {
			t.Text, t.Guessed = text, cs != ""
			if t.Guessed {
				t.Charset = cs
			}
			return t, nil
		}
	}
	t.Text, t.Err = decodeCharset(t.Charset, raw)
	return t, nil
}

// Embedded reports whether the part holds a message, and if so whether only its
// header.
func (p *Part) Embedded() (message, headersOnly bool) {
	switch p.MediaType {
	case "message/rfc822", "message/global", "message/news":
		return true, false
	case "text/rfc822-headers", "message/rfc822-headers", "message/global-headers":
		return true, true
	}
	return false, false
}

// Message reads the message that the part holds (see Embedded). Lines and
// offsets are those of the file, unless the part is encoded (RFC 2046 §5.2.1
// forbids it, some do it): then they are those of the decoded text, File says
// so, and the caller closes it. It can be used until m is closed.
func (p *Part) Message() (*Message, error) {
	if ok, _ := p.Embedded(); !ok {
		return nil, fmt.Errorf("%s: part %s is %s, which holds no message", p.msg.File, p.ID, p.MediaType)
	}
	sub := &Message{File: p.msg.File, spool: p.msg.spool, quoted: p.msg.quoted}
	start, end, line := p.BodyOffset, p.BodyOffset+p.Size, p.BodyLine
	if p.Encoding == "base64" || p.Encoding == "quoted-printable" {
		s, err := newSpool(p.Content(), DefaultMaxSize, "")
		if err != nil {
			return nil, fmt.Errorf("%s: part %s: %w", p.msg.File, p.ID, err)
		}
		sub = &Message{File: fmt.Sprintf("%s (part %s, decoded)", p.msg.File, p.ID), spool: s, owned: true}
		sub.Repairs = append(sub.Repairs, Repair{RepairDecoded, 1, 1})
		start, end, line = 0, s.size, 1
	}
	if err := sub.read(start, end, line, DefaultMaxHeader, false); err != nil {
		sub.Close()
		return nil, err
	}
	return sub, nil
}

// Original finds the part of a bounce that holds the mail it is about: the last
// message or header within a multipart/report (RFC 6522 §3). nil if there is
// none.
func (m *Message) Original() *Part {
	var found *Part
	m.Root.Walk(func(p *Part) {
		if p.MediaType != "multipart/report" {
			return
		}
		for _, c := range p.Parts {
			if ok, _ := c.Embedded(); ok {
				found = c
			}
		}
	})
	return found
}

// EmbeddedMessages are all parts that hold a message or its header.
func (m *Message) EmbeddedMessages() []*Part {
	var out []*Part
	m.Root.Walk(func(p *Part) {
		if ok, _ := p.Embedded(); ok {
			out = append(out, p)
		}
	})
	return out
}

// newPart reads what the header says about the content.
func newPart(m *Message, id string, header []*Field, digest bool) *Part {
	p := &Part{ID: id, Header: header, MediaType: "text/plain", Encoding: "7bit", msg: m}
	if digest {
		p.MediaType = "message/rfc822"
	}
	if f := p.Field("Content-Type"); f != nil {
		p.Type = ParseParams(f.Value())
		major, minor, ok := strings.Cut(p.Type.Value, "/")
		if ok && isToken(major) && isToken(minor) {
			p.MediaType = p.Type.Value
		} else {
			// RFC 2045 §5.2: what cannot be read is text/plain, as if it were absent.
			m.fieldFault(FaultTypeSyntax, f, f.ValueOffset(), len(f.RawValue()), "")
			p.MediaType = "text/plain"
		}
		m.paramFaults(f, p.Type)
	}
	if f := p.Field("Content-Transfer-Encoding"); f != nil {
		p.Encoding = strings.ToLower(strings.TrimSpace(stripComments(f.Value())))
		switch p.Encoding {
		case "7bit", "8bit", "binary", "base64", "quoted-printable":
		default:
			m.fieldFault(FaultEncodingUnknown, f, f.ValueOffset(), len(f.RawValue()), "")
		}
		// RFC 2045 §6.4: a multipart is never encoded as a whole.
		if p.Multipart() && (p.Encoding == "base64" || p.Encoding == "quoted-printable") {
			m.fieldFault(FaultEncodingOnMultipart, f, f.ValueOffset(), len(f.RawValue()), "")
			p.Encoding = "7bit"
		}
	}
	if f := p.Field("Content-Disposition"); f != nil {
		p.Disposition = ParseParams(f.Value())
		m.paramFaults(f, p.Disposition)
	}
	for _, from := range []struct {
		v    *Parametrized
		name string
	}{{&p.Disposition, "filename"}, {&p.Type, "name"}} {
		for i := range from.v.Params {
			if q := &from.v.Params[i]; q.Name == from.name && p.Filename == "" {
				p.Filename, p.NameForm = q.Value, q.Form
			}
		}
	}
	return p
}

func (m *Message) paramFaults(f *Field, p Parametrized) {
	for _, x := range p.Faults {
		m.fieldFault(x.Code, f, f.ValueOffset(), len(f.RawValue()), x.Text)
	}
	for _, q := range p.Params {
		if q.Form == EncodedWord {
			m.fieldFault(FaultWordInParameter, f, f.ValueOffset(), len(f.RawValue()), q.Raw)
		}
		if q.Undecodable {
			m.fieldFault(FaultUndecodable, f, f.ValueOffset(), len(f.RawValue()), q.Raw)
		}
	}
}

// A walker builds the tree, fed line by line.
type walker struct {
	m         *Message
	maxHeader int
	stack     []*Part // open multiparts, the outermost first
	cur       *Part   // the part whose content the line is, nil in a preamble or epilogue
	head      *headerReader
	headAt    line // where the part's header begins
	parent    *Part
	count     int
	end       int64 // of the message in the file
	before    int64 // offset of the end of the line before, its line end excluded
	tooMany   bool
	nextLine  int // number of the line behind
	headers   int // octets of all part headers
	fields    int // and their fields

	// Of the part whose content it is.
	noted map[FaultCode]bool
}

func newWalker(m *Message, maxHeader int) *walker {
	w := &walker{m: m, maxHeader: maxHeader, count: 1, before: m.BodyOffset}
	m.Root = newPart(m, "1", m.Header, false)
	m.Root.Line, m.Root.Offset = m.Header[0].Line, m.Header[0].Offset
	w.open(m.Root, m.BodyLine, m.BodyOffset)
	return w
}

// open begins the content of a part.
func (w *walker) open(p *Part, line int, off int64) {
	p.BodyLine, p.BodyOffset = line, off
	w.noted = nil
	w.cur = p
	if !p.Multipart() {
		return
	}
	b := p.Type.Get("boundary")
	f := p.Field("Content-Type")
	switch {
	case b == "":
		w.m.fieldFault(FaultNoBoundary, f, f.ValueOffset(), len(f.RawValue()), "")
	case len(w.stack) >= MaxDepth:
		w.m.fieldFault(FaultTooDeep, f, f.ValueOffset(), len(f.RawValue()), "")
	default:
		// RFC 2046 §5.1.1: at most 70 characters, no space at the end. Longer
		// ones work everywhere.
		p.boundary = "--" + strings.TrimRight(b, " \t")
		w.stack = append(w.stack, p)
		w.cur = nil // preamble
	}
}

// line takes the next line of the body.
func (w *walker) line(l *line) {
	w.nextLine = l.num
	if l.end != "" {
		w.nextLine++
	}
	if len(w.stack) > 0 && len(l.text) > 2 && l.text[0] == '-' && l.text[1] == '-' {
		if k, closing := w.delimiter(l); k >= 0 {
			w.delimit(l, k, closing)
			w.before = l.off + l.size
			return
		}
	}
	switch {
	case w.head != nil:
		w.headLine(l)
	case w.cur != nil:
		w.content(l)
	}
	w.before = l.off + l.size
}

// delimiter finds the open multipart, the innermost first, whose boundary line
// this is; -1 if none.
func (w *walker) delimiter(l *line) (int, bool) {
	if l.size > int64(len(l.text)) {
		return -1, false
	}
	text := bytes.TrimRight(l.text, " \t")
	for k := len(w.stack) - 1; k >= 0; k-- {
		b := w.stack[k].boundary
		if len(text) < len(b) || string(text[:len(b)]) != b {
			continue
		}
		switch rest := text[len(b):]; {
		case len(rest) == 0:
			return k, false
		case string(rest) == "--":
			return k, true
		}
	}
	return -1, false
}

// delimit ends what is open below stack[k] and begins its next part.
func (w *walker) delimit(l *line, k int, closing bool) {
	w.endHead(l)
	w.endContent()
	for i := len(w.stack) - 1; i > k; i-- {
		w.unclosed(w.stack[i])
	}
	p := w.stack[k]
	w.stack = w.stack[:k+1]
	p.seen = true
	if closing {
		p.Closed = true
		p.Size = l.next() - p.BodyOffset
		w.stack = w.stack[:k]
		return
	}
	w.head, w.headAt, w.parent = nil, line{}, p
	if w.count >= MaxParts {
		if !w.tooMany {
			w.tooMany = true
			w.m.lineFault(FaultTooManyParts, l, 0, l.size, false)
		}
		return
	}
	w.count++
	w.head = &headerReader{}
	w.headAt = line{off: l.next(), num: l.num + 1}
}

// headLine takes a line of a part's header.
func (w *walker) headLine(l *line) {
	h := w.head
	switch {
	case l.blank():
		w.endHead(&line{off: l.next(), num: l.num + 1})
		return
	case l.size > int64(len(l.text)) || int64(w.headers+h.size())+l.size > int64(w.maxHeader) || w.fields+len(h.at) >= MaxFields:
		w.m.lineFault(FaultPartHeader, l, 0, l.size, false)
	case h.add(l):
		return
	default:
		w.m.lineFault(FaultPartHeader, l, 0, l.size, false)
	}
	// The content begins without an empty line.
	w.endHead(&line{off: l.off, num: l.num})
	if w.cur != nil {
		w.content(l)
	}
}

// endHead ends a part's header; its content begins at l.
func (w *walker) endHead(l *line) {
	if w.head == nil {
		return
	}
	h := w.head
	w.head = nil
	w.headers += h.size()
	w.fields += len(h.at)
	id := w.parent.ID + "." + strconv.Itoa(len(w.parent.Parts)+1)
	p := newPart(w.m, id, h.fields(), w.parent.MediaType == "multipart/digest")
	p.Line, p.Offset = w.headAt.num, w.headAt.off
	w.parent.Parts = append(w.parent.Parts, p)
	w.before = l.off
	w.open(p, l.num, l.off)
}

// endContent ends the leaf at the line end before a boundary line, which
// belongs to that line (RFC 2046 §5.1.1).
func (w *walker) endContent() {
	if w.cur != nil {
		w.cur.Size = max(0, w.before-w.cur.BodyOffset)
		w.cur = nil
	}
}

func (w *walker) unclosed(p *Part) {
	p.Size = max(0, w.before-p.BodyOffset)
	f := p.Field("Content-Type")
	code := FaultUnclosed
	if !p.seen {
		code = FaultBoundaryNotFound
	}
	w.m.fieldFault(code, f, f.ValueOffset(), len(f.RawValue()), p.boundary[2:])
}

// finish ends what is open at the end of the message.
func (w *walker) finish() {
	m := w.m
	w.before = w.end
	if w.head != nil {
		w.endHead(&line{off: w.end, num: w.nextLine})
	}
	if w.cur != nil {
		w.cur.Size = max(0, w.end-w.cur.BodyOffset)
		w.cur = nil
	}
	for i := len(w.stack) - 1; i >= 0; i-- {
		w.unclosed(w.stack[i])
	}
	m.Root.Size = m.BodySize
	// RFC 2045 §4: a message that uses MIME says so.
	if f := m.Root.Field("Content-Type"); f != nil && m.Field("MIME-Version") == nil {
		m.fieldFault(FaultNoMIMEVersion, f, 0, len(f.Name), "")
	}
}

// once notes a fault of a part's content the first time.
func (w *walker) once(code FaultCode, l *line, at int64, n int64) {
	if w.noted[code] {
		return
	}
	if w.noted == nil {
		w.noted = map[FaultCode]bool{}
	}
	w.noted[code] = true
	if !w.m.reading.full(code) {
		w.m.reading.add(Fault{Code: code, Part: w.cur, Line: l.num, Offset: l.off + at, Length: n, Text: clip(l.text, maxFaultText)})
	}
}

// maxEncodedLine is how many octets a line of base64 (RFC 2045 §6.8) or
// quoted-printable (§6.7 (5)) may have.
const maxEncodedLine = 76

func (w *walker) content(l *line) {
	p := w.cur
	switch p.Encoding {
	case "base64":
		if l.size > maxEncodedLine {
			w.once(FaultBase64Line, l, 0, l.size)
		}
		if !w.noted[FaultBase64] {
			for i, c := range l.text {
				if base64Value(c) < 0 && c != '=' && c != ' ' && c != '\t' {
					w.once(FaultBase64, l, int64(i), 1)
					break
				}
			}
		}
	case "quoted-printable":
		if l.size > maxEncodedLine {
			w.once(FaultQPLine, l, 0, l.size)
		}
	}
	if l.eight >= 0 && p.Encoding != "8bit" && p.Encoding != "binary" {
		// RFC 2045 §2.7, §6.2: without 8bit or binary every octet is ASCII.
		w.once(FaultUndeclared8Bit, l, l.eight, 1)
	}
}
