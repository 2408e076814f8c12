package message

import (
	"bytes"
	"strings"
)

// A Field is one header field.
type Field struct {
	Name   string // as written, without spaces before the colon
	Raw    []byte // the field as it stands in the file, folding and line ends included
	Line   int    // of the file, from 1
	Offset int64  // of the file
	colon  int
}

// Key is the name in lower case.
func (f *Field) Key() string { return strings.ToLower(f.Name) }

// Is reports whether the field has this name; case does not matter.
func (f *Field) Is(name string) bool { return strings.EqualFold(f.Name, name) }

// RawValue is what follows the colon, folding included, the last line end not.
func (f *Field) RawValue() []byte {
	return trimEnd(f.Raw[f.colon+1:])
}

// ValueOffset is where RawValue begins in Raw.
func (f *Field) ValueOffset() int { return f.colon + 1 }

// Value is the value unfolded: line ends taken out (RFC 5322 §2.2.3), spaces
// around it trimmed. Encoded-words are as they are; see Text.
func (f *Field) Value() string {
	return strings.Trim(string(unfold(f.RawValue())), " \t")
}

// Text is the value to show: unfolded, encoded-words and other octets decoded
// as far as that is possible. It comes from strangers.
func (f *Field) Text() string {
	d := DecodeText(f.Value())
	return d.Text
}

// Wire is the field as it went over the wire: every line ends in CR LF, the
// last one too.
func (f *Field) Wire() []byte {
	raw := f.Raw
	lf := bytes.Count(raw, []byte("\n"))
	crlf := bytes.Count(raw, []byte("\r\n"))
	ended := bytes.HasSuffix(raw, []byte("\n"))
	if lf == crlf && ended {
		return raw
	}
	out := make([]byte, 0, len(raw)+lf-crlf+2)
	for i, c := range raw {
		if c == '\n' && (i == 0 || raw[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	if !ended {
		out = append(out, '\r', '\n')
	}
	return out
}

// At is the place in the file of an octet of Raw. i may be len(f.Raw).
func (f *Field) At(i int) (line int, offset int64) {
	i = max(0, min(i, len(f.Raw)))
	return f.Line + bytes.Count(f.Raw[:i], []byte("\n")), f.Offset + int64(i)
}

func trimEnd(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
		if n := len(b); n > 0 && b[n-1] == '\r' {
			b = b[:n-1]
		}
	}
	return b
}

// unfold takes the line ends out of a value.
func unfold(b []byte) []byte {
	if bytes.IndexByte(b, '\n') < 0 {
		return b
	}
	out := make([]byte, 0, len(b))
	for i, c := range b {
		if c == '\n' || c == '\r' && i+1 < len(b) && b[i+1] == '\n' {
			continue
		}
		out = append(out, c)
	}
	return out
}

// Fields are the fields of this name from the top; case does not matter.
func (m *Message) Fields(name string) []*Field { return named(m.Header, name) }

// Field is the first field of this name from the top, nil if there is none.
func (m *Message) Field(name string) *Field {
	for _, f := range m.Header {
		if f.Is(name) {
			return f
		}
	}
	return nil
}

// Value is the unfolded value of Field(name), "" if there is none.
func (m *Message) Value(name string) string {
	if f := m.Field(name); f != nil {
		return f.Value()
	}
	return ""
}

func named(fs []*Field, name string) []*Field {
	var out []*Field
	for _, f := range fs {
		if f.Is(name) {
			out = append(out, f)
		}
	}
	return out
}

// isFieldLine reports whether a line begins a field: a name of printable ASCII
// (RFC 5322 §2.2), spaces perhaps (§4.5.8, obsolete), a colon.
func isFieldLine(text []byte) bool {
	i := 0
	for i < len(text) && text[i] > ' ' && text[i] < 0x7f && text[i] != ':' {
		i++
	}
	if i == 0 {
		return false
	}
	for i < len(text) && (text[i] == ' ' || text[i] == '\t') {
		i++
	}
	return i < len(text) && text[i] == ':'
}

// A headerReader gathers fields line by line.
type headerReader struct {
	buf []byte
	at  []fieldAt
}

type fieldAt struct {
	start int // in buf
	line  int
	off   int64
}

func (h *headerReader) size() int { return len(h.buf) }

// add takes a line; false if it is no part of a header.
func (h *headerReader) add(l *line) bool {
	t := l.text
	if len(t) > 0 && (t[0] == ' ' || t[0] == '\t') {
		if len(h.at) == 0 {
			return false
		}
	} else {
		if !isFieldLine(t) {
			return false
		}
		h.at = append(h.at, fieldAt{len(h.buf), l.num, l.off})
	}
	h.buf = append(append(h.buf, t...), l.end...)
	return true
}

func (h *headerReader) fields() []*Field {
	fields := make([]Field, len(h.at))
	out := make([]*Field, len(h.at))
	for i, a := range h.at {
		end := len(h.buf)
		if i+1 < len(h.at) {
			end = h.at[i+1].start
		}
		f := &fields[i]
		f.Raw, f.Line, f.Offset = h.buf[a.start:end:end], a.line, a.off
		f.colon = bytes.IndexByte(f.Raw, ':')
		f.Name = string(bytes.TrimRight(f.Raw[:f.colon], " \t"))
		out[i] = f
	}
	return out
}
