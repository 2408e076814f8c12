package message

import (
	"bufio"
	"bytes"
	"io"
)

// isQuotedFrom reports whether a body line of an mbox is quoted: one ">" or
// more in front of "From ".
func isQuotedFrom(text []byte) bool {
	rest := bytes.TrimLeft(text[:min(len(text), 256)], ">")
	return len(text) > 0 && text[0] == '>' && bytes.HasPrefix(rest, []byte("From "))
}

// wire turns what stands in a file into what went over the wire.
type wire struct {
	br   *bufio.Reader
	mbox bool
	out  []byte
	buf  []byte
	cr   bool // the last octet handed out is a CR
	mid  bool // within a line
	err  error
}

func newWire(r *io.SectionReader, mbox bool) *wire {
	return &wire{br: newBuffer(r, r.Size()), mbox: mbox}
}

func (w *wire) Read(p []byte) (int, error) {
	for len(w.out) == 0 {
		if w.err != nil {
			return 0, w.err
		}
		w.fill()
	}
	n := copy(p, w.out)
	w.out = w.out[n:]
	return n, nil
}

// fill reads the next piece of a line.
func (w *wire) fill() {
	b, err := w.br.ReadSlice('\n')
	if err != nil && err != bufio.ErrBufferFull {
		w.err = err
	}
	if len(b) == 0 {
		return
	}
	if w.mbox && !w.mid && isQuotedFrom(b) {
		b = b[1:]
	}
	n := len(b)
	if b[n-1] != '\n' {
		w.mid, w.cr, w.out = true, b[n-1] == '\r', b
		return
	}
	w.mid = false
	if n > 1 && b[n-2] == '\r' || n == 1 && w.cr {
		w.cr, w.out = false, b
		return
	}
	w.cr = false
	w.buf = append(append(w.buf[:0], b[:n-1]...), '\r', '\n')
	w.out = w.buf
}
