package dkim

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"sync"
)

// A Field is one header field as it stands in the message: name, colon, value
// with its folds, and the final CRLF. Line ends are CRLF; who reads a file that
// has bare LFs makes CRLF of them first, as an MTA does, since that is what was
// signed. A line that is no field (no colon) is a Field that nothing selects.
type Field struct{ Raw []byte }

// Fields makes fields of their octets, each with its CRLF: what the message
// reader of pkg/message calls the wire header.
func Fields(raw [][]byte) []Field {
	out := make([]Field, len(raw))
	for i := range raw {
		out[i].Raw = raw[i]
	}
	return out
}

// Name is the field's name as written, white space before the colon taken off;
// "" if there is no colon.
func (f Field) Name() string { return string(f.name()) }

func (f Field) name() []byte {
	i := bytes.IndexByte(f.Raw, ':')
	if i < 0 {
		return nil
	}
	n := f.Raw[:i]
	for len(n) > 0 && isSpace(n[len(n)-1]) {
		n = n[:len(n)-1]
	}
	return n
}

// Is reports whether the field has that name, in any case.
func (f Field) Is(name string) bool { return foldEqual(f.name(), name) }

// Value is what stands after the colon, folds and all, without the final CRLF.
func (f Field) Value() string {
	i := bytes.IndexByte(f.Raw, ':')
	return string(bytes.TrimSuffix(f.Raw[i+1:], crlf))
}

// foldEqual compares in ASCII without case.
func foldEqual(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		if lower(b[i]) != lower(s[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}

// MaxHeader is the size in octets of the largest header block that
// [ReadHeader] takes. Receivers stop far earlier: Postfix at 100 kB of
// fields (header_size_limit), Gmail at 500 kB.
const MaxHeader = 4 << 20

// ErrHeaderTooLarge is what ReadHeader says of more than [MaxHeader] octets.
var ErrHeaderTooLarge = errors.New("dkim: the header block is over 4 MiB")

// ReadHeader reads the header block up to and with the empty line after it, and
// leaves r where the body begins. Bare LFs become CRLF; their number is
// returned. The error is [ErrHeaderTooLarge] or that of r other than io.EOF: a
// message that ends in its header has no body.
func ReadHeader(r *bufio.Reader) (fields []Field, bareLF int, err error) {
	var block []byte // all fields; they are cut when it no longer moves
	var starts []int
	line := 0 // where the line under way begins
	for {
		part, err := r.ReadSlice('\n')
		if len(block)+len(part) > MaxHeader {
			return nil, bareLF, ErrHeaderTooLarge
		}
		block = append(block, part...)
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil && err != io.EOF {
			return nil, bareLF, err
		}
		end := len(block)
		if err == nil {
			end--
			if end > line && block[end-1] == '\r' {
				end--
			} else {
				bareLF++
			}
		}
		if end == line {
			block = block[:line]
			break
		}
		block = append(block[:end], crlf...)
		// §2.8: a line that begins with white space continues the field before.
		if c := block[line]; line == 0 || c != ' ' && c != '\t' {
			starts = append(starts, line)
		}
		line = len(block)
		if err == io.EOF {
			break
		}
	}
	fields = make([]Field, len(starts))
	for i, s := range starts {
		e := len(block)
		if i+1 < len(starts) {
			e = starts[i+1]
		}
		fields[i].Raw = block[s:e:e]
	}
	return fields, bareLF, nil
}

// A Header is a header block with what verifying needs to find its fields fast,
// whatever their number. Many goroutines may use one: a message's DKIM signatures
// and its ARC sets are judged side by side.
type Header struct {
	Fields []Field
	last   map[string]int32 // lower-case name to the bottom-most field
	above  []int32          // to the next field of the same name upwards, or -1
	// relaxed canonical forms, made once, when first needed.
	mu      sync.Mutex
	relaxed [][]byte
}

// NewHeader indexes the fields of a message, top first. It keeps them: they are
// not to be changed afterwards.
func NewHeader(fields []Field) *Header {
	h := &Header{Fields: fields, last: make(map[string]int32, min(len(fields), 64)), above: make([]int32, len(fields))}
	var buf [64]byte
	for i, f := range fields {
		key := appendLower(buf[:0], f.name())
		if prev, ok := h.last[string(key)]; ok {
			h.above[i] = prev
		} else {
			h.above[i] = -1
		}
		h.last[string(key)] = int32(i)
	}
	return h
}

func appendLower(dst, b []byte) []byte {
	for _, c := range b {
		dst = append(dst, lower(c))
	}
	return dst
}

// All are the indexes of the fields of that name, in any case, from the top.
func (h *Header) All(name string) []int {
	var out []int
	i, ok := h.last[string(appendLower(nil, []byte(name)))]
	for ok && i >= 0 {
		out = append(out, int(i))
		i = h.above[i]
	}
	for a, b := 0, len(out)-1; a < b; a, b = a+1, b-1 {
		out[a], out[b] = out[b], out[a]
	}
	return out
}

// Selected are the fields that a signature with these h= names covers, as
// indexes in the order of h=, -1 for a name that has no field (left). Of
// repeated fields the bottom-most comes first (§5.4.2); own, the signature's
// own field, is never among them (§3.5, h=); -1 if it is not in the header.
func (h *Header) Selected(names []string, own int) []int {
	out := make([]int, len(names))
	taken := make(map[string]int32, len(names))
	var buf [64]byte
	for n, name := range names {
		out[n] = -1
		key := buf[:0]
		for i := 0; i < len(name); i++ {
			key = append(key, lower(name[i]))
		}
		if len(key) == 0 {
			continue
		}
		i, ok := taken[string(key)]
		if !ok {
			if i, ok = h.last[string(key)]; !ok {
				continue
			}
		}
		if i >= 0 && int(i) == own {
			i = h.above[i]
		}
		if i < 0 {
			continue // oversigned: the field must not be there a second time (§8.15)
		}
		out[n] = int(i)
		taken[string(key)] = h.above[i]
	}
	return out
}

// canonical is the field's canonical form, CRLF included.
func (h *Header) canonical(i int, c Canonicalization) []byte {
	if c == Simple {
		// §3.4.1: no change.
		return h.Fields[i].Raw
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.relaxed == nil {
		h.relaxed = make([][]byte, len(h.Fields))
	}
	if h.relaxed[i] == nil {
		raw := h.Fields[i].Raw
		h.relaxed[i] = AppendRelaxed(make([]byte, 0, len(raw)), raw)
	}
	return h.relaxed[i]
}
