// Package message reads a mail as it lies in a file and says what stands
// where: its header fields, its parts, its faults.
//
// # A mail in one page
//
// A message is lines that end in CR LF (RFC 5322 §2.1): a header, an empty
// line, a body. The header is a list of fields, "Name: value"; a line that
// begins with a space or tab continues the one before (folding). No line may
// have more than 998 octets. Everything in a header is ASCII; other letters
// are written as encoded-words, =?charset?B?…?= (RFC 2047), and as
// name*=charset'language'%XX in parameters (RFC 2231), or, where both sides
// support it, as UTF-8 (RFC 6532). The body is text, or a tree of parts (MIME,
// RFC 2045 and 2046) with a boundary line between them.
//
// What lies in a file is not what went over the wire. Programs store mail with
// LF alone; the mbox format puts a "From " line in front, and ">" before body
// lines that begin with "From "; editors add a byte order mark. [Read] takes
// all that back and says so in [Message.Repairs], because a signature can be
// verified only over what was signed. What it does not take back it reports:
// [Message.Faults] are the places where the message breaks a rule, each with
// its octets, line and offset in the file.
//
// # Limits
//
// A message may have up to [DefaultMaxSize] octets; more is an error, and so
// is a header over [DefaultMaxHeader]. Memory does not grow with the message:
// over 1 MiB it is kept in a temporary file until [Message.Close]. Parts are
// read to a depth of [MaxDepth] and a number of [MaxParts]; where there are
// more the message is still read, and a fault says so.
//
// # Where the RFC leaves a choice
//
//   - A line in the header that is no field: RFC 5322 knows none. Postfix and
//     Exim end the header there, and so do we: the line and what follows are
//     body. PHP scripts that write their headers wrongly are seen that way at
//     receivers, too.
//   - ">>From ": mboxrd quotes it and mboxo does not. One ">" is taken off, as
//     mboxrd does; [Message.RawBody] has the octets of the file.
//   - LF alone in a file that also has CR LF: some programs add their own
//     lines with LF. It is read as a line end and counted in
//     [Message.LineEnds]; receivers that see it on the wire may refuse it.
package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Limits.
const (
	DefaultMaxSize   = 50 << 20 // octets of a file
	DefaultMaxHeader = 4 << 20  // octets of all header fields of a message, or of one part
	MaxFields        = 50_000   // header fields of a message, and of all its parts together
	MaxDepth         = 32       // multiparts inside one another
	MaxParts         = 2000
)

// Options for Read. The zero value is ready for use.
type Options struct {
	MaxSize   int64  // octets; 0 is DefaultMaxSize
	MaxHeader int    // octets; 0 is DefaultMaxHeader
	TempDir   string // where a large message is kept; "" is the system's folder for temporary files
}

// An Error says why a file is not a message that can be judged. Its text is
// one line that names the file.
type Error struct {
	File string
	Line int // from 1; 0 if the fault has no line
	Msg  string
	// Messages is how many an mbox holds, if that is the fault; otherwise 0.
	Messages int
}

func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
	}
	return e.File + ": " + e.Msg
}

// A RepairCode says what was taken back.
type RepairCode string

// The repairs.
const (
	RepairLineEnds    RepairCode = "line-ends"     // LF alone became CR LF
	RepairBOM         RepairCode = "bom"           // a byte order mark in front was left out
	RepairBlankLines  RepairCode = "blank-lines"   // empty lines in front were left out
	RepairFromLine    RepairCode = "mbox"          // the "From " line of an mbox was left out
	RepairFromQuoting RepairCode = "from-quoting"  // ">From " in the body became "From "
	RepairQuotedFrom  RepairCode = "quoted-from"   // a ">From " line within the header was left out
	RepairDecoded     RepairCode = "decoded"       // an embedded message was itself in base64 or quoted-printable
	RepairTrailing    RepairCode = "trailing-line" // the empty line with which an mbox ends a message was left out
)

// A Repair is something that the file has and the message did not.
type Repair struct {
	Code  RepairCode
	Line  int // of the file, the first
	Count int // lines, or octets of a byte order mark
}

// LineEnds counts how the lines of the message end in the file, header and
// body together.
type LineEnds struct {
	CRLF, LF int
	BareCR   int // CRs that end no line
	FirstLF  int // line number of the first LF alone
}

// A Message is one mail. It is not safe for use by several goroutines at once
// except for Body and RawBody.
type Message struct {
	File   string   // the name given to Read
	Header []*Field // in order of appearance, the topmost first
	// FromLine is the "From " line of an mbox without its end, "" if none.
	FromLine string
	Repairs  []Repair
	LineEnds LineEnds
	Size     int64 // octets of the message in the file
	// HeaderSize is octets of the header in the file, without the empty line.
	HeaderSize int
	// BodyLine and BodyOffset are where the body begins in the file. BodySize is
	// its octets in the file. HasBody is false where the file ends without the
	// empty line behind the header.
	BodyLine   int
	BodyOffset int64
	BodySize   int64
	HasBody    bool
	// Root is the body as MIME sees it; never nil. A message without MIME has
	// one part.
	Root *Part

	spool   *spool
	owned   bool
	mbox    bool // the file is an mbox
	quoted  bool // body lines may be quoted with ">"
	asIs    bool // the body on the wire is the body in the file
	reading faultList
}

var fromDate = regexp.MustCompile(`^(\S.*)?\d{1,2}:\d{2}(:\d{2})?\b.*\b(19|20)\d{2}\b`)

// Read reads one message. name is what findings and errors call the file.
//
// An error is an [*Error] if the input is not a message that can be judged: it
// is empty, too large, has no header, or is an mbox with several messages.
// Errors of r come wrapped. The caller closes the message.
func Read(r io.Reader, name string, o Options) (*Message, error) {
	if o.MaxSize <= 0 {
		o.MaxSize = DefaultMaxSize
	}
	if o.MaxHeader <= 0 {
		o.MaxHeader = DefaultMaxHeader
	}
	s, err := newSpool(r, o.MaxSize, o.TempDir)
	if errors.Is(err, errTooLarge) {
		return nil, &Error{File: name, Msg: fmt.Sprintf("the file is larger than %s, the most that is read; no large receiver takes such a mail", octets(o.MaxSize))}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	m := &Message{File: name, spool: s, owned: true}
	if err := m.read(0, s.size, 1, o.MaxHeader, true); err != nil {
		s.close()
		return nil, err
	}
	return m, nil
}

// Close gives back the temporary file, if there is one. The message's bodies
// cannot be read afterwards; its header can.
func (m *Message) Close() error {
	if !m.owned {
		return nil
	}
	m.owned = false
	return m.spool.close()
}

// octets shows a size in the unit that fits.
func octets(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d octets", n)
}

func (m *Message) errorAt(line int, format string, a ...any) *Error {
	return &Error{File: m.File, Line: line, Msg: fmt.Sprintf(format, a...)}
}

// read reads the message in [start, end) of the spool, whose first line has
// the number num. top is false for a message inside another, which has no
// mbox line.
func (m *Message) read(start, end int64, num, maxHeader int, top bool) error {
	ls := newLines(m.spool.section(start, end), start, num)
	if top {
		if err := m.skipBOM(ls); err != nil {
			return err
		}
	}
	var l line
	var h headerReader

	// What may stand in front: empty lines, then the line of an mbox.
	err := ls.read(&l, maxHeader)
	blanks, blankLine := 0, l.num
	for err == nil && strings.TrimSpace(string(l.text)) == "" && l.size < 1000 {
		blanks++
		err = ls.read(&l, maxHeader)
	}
	if err == io.EOF {
		return m.errorAt(0, "there is nothing in it; expected a mail with its headers (RFC 5322)")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.File, err)
	}
	if blanks > 0 {
		m.Repairs = append(m.Repairs, Repair{RepairBlankLines, blankLine, blanks})
	}
	if isFromLine(l.text) {
		m.FromLine = string(l.text)
		if top {
			m.mbox, m.quoted = true, true
		}
		m.Repairs = append(m.Repairs, Repair{RepairFromLine, l.num, 1})
		if err = ls.read(&l, maxHeader); err != nil {
			return m.errorAt(1, "an mbox line and nothing behind it; expected a mail with its headers (RFC 5322)")
		}
	}
	begin := l.off
	firstLine := l.num

	// The header.
	quotedFrom := 0
	bodyStart, bodyLine := end, 0
header:
	for ; err == nil; err = ls.read(&l, max(1, maxHeader-h.size()+1)) {
		switch {
		case l.blank():
			m.count(&l)
			m.HasBody = true
			bodyStart, bodyLine = l.next(), l.num+1
			break header
		case bytes.HasPrefix(l.text, []byte(">From ")) && !isFieldLine(l.text):
			// Old programs put the mbox line of an earlier hop into the header.
			m.count(&l)
			quotedFrom++
			m.Repairs = append(m.Repairs, Repair{RepairQuotedFrom, l.num, 1})
			continue
		}
		if int64(h.size())+l.size+2 > int64(maxHeader) {
			return m.errorAt(l.num, "the header is larger than %s, the most that is read; expected an empty line behind the header fields", octets(int64(maxHeader)))
		}
		if len(h.at) >= MaxFields {
			return m.errorAt(l.num, "the header has more than %d fields, the most that are read", MaxFields)
		}
		if !h.add(&l) {
			if len(h.at) == 0 {
				return m.errorAt(l.num, "%q is not a header field (\"Name: value\"); expected a mail with its headers, as \"Show original\" or \"Save as\" of a mail program gives it", clip(l.text, 60))
			}
			// See "Where the RFC leaves a choice".
			m.lineFault(FaultNotAField, &l, 0, l.size, true)
			m.HasBody = true
			bodyStart, bodyLine = l.off, l.num
			break header
		}
		m.count(&l)
		m.inspect(&l, true)
	}
	if err != nil && err != io.EOF {
		return fmt.Errorf("%s: %w", m.File, err)
	}
	if len(h.at) == 0 {
		return m.errorAt(firstLine, "there is no header; expected a mail with its headers (RFC 5322)")
	}
	m.Header = h.fields()
	for _, f := range m.Header {
		m.HeaderSize += len(f.Raw)
	}
	if bodyLine == 0 {
		bodyLine = ls.num
		if last := m.Header[len(m.Header)-1].Raw; last[len(last)-1] != '\n' {
			bodyLine--
		}
	}
	m.BodyLine, m.BodyOffset, m.BodySize = bodyLine, bodyStart, end-bodyStart
	m.Size = end - begin

	// The body.
	w := newWalker(m, maxHeader)
	if err := m.readBody(ls, &l, w, err, bodyStart); err != nil {
		return err
	}
	m.BodySize = w.end - bodyStart
	m.Size = w.end - begin
	w.finish()
	if m.LineEnds.LF > 0 {
		m.Repairs = append(m.Repairs, Repair{RepairLineEnds, m.LineEnds.FirstLF, m.LineEnds.LF})
	}
	return nil
}

// readBody goes through the body line by line. err is what ended the header.
func (m *Message) readBody(ls *lines, l *line, w *walker, err error, bodyStart int64) error {
	w.end = bodyStart
	if err != nil {
		return nil
	}
	// The line that ended the header is body if it is not the empty one.
	have := l.off >= bodyStart
	messages, quoted, quotedAt := 1, 0, 0
	second := 0
	blank := !have // an mbox line stands behind an empty line
	lastBlank := line{}
	bodyLF := 0
	for {
		if !have {
			if err = ls.read(l, lineBuffer); err != nil {
				break
			}
		}
		have = false
		if m.mbox {
			if blank && isFromLine(l.text) {
				messages++
				if messages == 2 {
					second = l.num
				}
			}
			blank = l.blank()
		}
		if m.quoted && isQuotedFrom(l.text) {
			if quoted++; quoted == 1 {
				quotedAt = l.num
			}
		}
		if messages > 1 {
			continue
		}
		m.count(l)
		if l.end == "\n" {
			bodyLF++
		}
		m.inspect(l, false)
		w.line(l)
		w.end = l.next()
		lastBlank = *l
	}
	if err != io.EOF {
		return fmt.Errorf("%s: %w", m.File, err)
	}
	if messages > 1 {
		return &Error{File: m.File, Line: second, Messages: messages,
			Msg: fmt.Sprintf("an mbox with %d messages, of which the second begins here; expected one message: save the one that is meant to a file of its own", messages)}
	}
	// The empty line that ends a message in an mbox is the format's, not the
	// message's (RFC 4155 appendix A). Nothing tells it from one of the message
	// where the file was cut by hand; both canonicalizations of DKIM ignore it.
	if m.mbox && lastBlank.num > 0 && lastBlank.blank() && lastBlank.end != "" {
		w.end = lastBlank.off
		m.Repairs = append(m.Repairs, Repair{RepairTrailing, lastBlank.num, 1})
	}
	if quoted > 0 {
		// What a mail program quoted before it signed looks the same.
		m.Repairs = append(m.Repairs, Repair{RepairFromQuoting, quotedAt, quoted})
	}
	m.asIs = bodyLF == 0 && quoted == 0
	return nil
}

// skipBOM leaves out a byte order mark. A UTF-16 file is an error.
func (m *Message) skipBOM(ls *lines) error {
	head, _ := ls.br.Peek(4)
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		ls.br.Discard(3)
		ls.off += 3
		m.Repairs = append(m.Repairs, Repair{RepairBOM, 1, 3})
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return m.errorAt(0, "the file is UTF-16 text; expected the octets of the mail: save it again as they came (\"Show original\", \"Save as\")")
	case len(head) == 4 && head[0] == 0xd0 && head[1] == 0xcf && head[2] == 0x11 && head[3] == 0xe0:
		return m.errorAt(0, "the file is an Outlook message (.msg), which holds no original; expected the mail as it arrived (.eml)")
	}
	return nil
}

// count counts the line's end.
func (m *Message) count(l *line) {
	switch l.end {
	case "\r\n":
		m.LineEnds.CRLF++
	case "\n":
		if m.LineEnds.LF++; m.LineEnds.LF == 1 {
			m.LineEnds.FirstLF = l.num
		}
	}
	m.LineEnds.BareCR += l.crs
}

// MaxLine is how many octets a line may have, CR LF not counted (RFC 5322
// §2.1.1).
const MaxLine = 998

// inspect notes what no line of a message may have.
func (m *Message) inspect(l *line, header bool) {
	if l.size > MaxLine {
		m.lineFault(FaultLongLine, l, 0, l.size, header)
	}
	if l.nuls > 0 {
		m.lineFault(FaultNUL, l, l.nul, 1, header)
	}
	if l.crs > 0 {
		m.lineFault(FaultBareCR, l, l.cr, 1, header)
	}
}

// Body is the body as it went over the wire: every line ends in CR LF, the
// quoting of an mbox is undone, transfer encodings are not. Each call gives a
// new reader from the beginning.
func (m *Message) Body() io.Reader {
	raw := m.spool.section(m.BodyOffset, m.BodyOffset+m.BodySize)
	if m.asIs {
		return raw
	}
	return newWire(raw, m.quoted)
}

// RawBody is the body as it stands in the file.
func (m *Message) RawBody() io.Reader {
	return m.spool.section(m.BodyOffset, m.BodyOffset+m.BodySize)
}

// WireHeader is the header as it went over the wire, field by field, each with
// its CR LF: what a DKIM verifier takes.
func (m *Message) WireHeader() [][]byte {
	out := make([][]byte, len(m.Header))
	for i, f := range m.Header {
		out[i] = f.Wire()
	}
	return out
}

// WriteTo writes the message as it went over the wire.
func (m *Message) WriteTo(w io.Writer) (int64, error) {
	var n int64
	for _, f := range m.Header {
		k, err := w.Write(f.Wire())
		n += int64(k)
		if err != nil {
			return n, err
		}
	}
	if !m.HasBody {
		return n, nil
	}
	k, err := io.WriteString(w, "\r\n")
	n += int64(k)
	if err != nil {
		return n, err
	}
	b, err := io.Copy(w, m.Body())
	return n + b, err
}

// clip cuts text to at most n octets.
func clip(text []byte, n int) string {
	if len(text) > n {
		text = text[:n]
	}
	return string(text)
}
