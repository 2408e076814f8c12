package facts

import (
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/message"
)

// maxField is how many octets of a header field are kept as evidence.
const maxField = 4 << 10

// FieldEvidence is a header field of the mail that a finding rests on: its raw
// octets as they stand in the file, folding included, the last line end not.
// [offset, offset+length) of Field.Raw are at fault; length 0 is the whole. Of a
// long field what is round the fault is kept. Line is that of the fault.
func (m *Mail) FieldEvidence(f *message.Field, offset, length int) diag.Evidence {
	text := f.Raw[:f.ValueOffset()+len(f.RawValue())]
	offset = min(max(offset, 0), len(text))
	length = min(max(length, 0), len(text)-offset)
	line, _ := f.At(offset)
	from := 0
	if offset > maxField/2 {
		from = offset - maxField/2
	}
	text = text[from:min(len(text), from+maxField)]
	offset -= from
	return diag.Evidence{Name: f.Name, Type: "header", Text: string(text), Offset: offset, Length: min(length, len(text)-offset),
		Source: dnsq.SourceMessage, File: m.File, Line: line}
}

// FaultEvidence is the place of a fault; ok is false for what is absent.
func (m *Mail) FaultEvidence(x *message.Fault) (e diag.Evidence, ok bool) {
	switch {
	case x.Field != nil:
		return m.FieldEvidence(x.Field, int(x.Offset-x.Field.Offset), int(x.Length)), true
	case x.Line == 0:
		return e, false
	}
	e = diag.Evidence{Name: "body", Type: "body", Text: x.Text, Source: dnsq.SourceMessage, File: m.File, Line: x.Line}
	if x.InHeader {
		e.Name, e.Type = "header", "header"
	}
	if x.Part != nil && x.Part.ID != "1" { // "1" is the body as a whole
		e.Name, e.Type = x.Part.ID, "part"
	}
	return e, true
}
