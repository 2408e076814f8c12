package message

import (
	"bufio"
	"bytes"
	"io"
)

// A line is one line of the file.
type line struct {
	text  []byte // without its end; cut to what was asked for; valid until the next call
	end   string // "\n", "\r\n", "" at the end of the file
	off   int64  // of the file
	num   int    // of the file, from 1
	size  int64  // octets without the end, also where text is cut
	nul   int64  // offset within the line of the first NUL, -1
	cr    int64  // of the first CR that ends no line, -1
	eight int64  // of the first octet over 127, -1
	nuls  int
	crs   int
}

// next is the offset behind the line.
func (l *line) next() int64 { return l.off + l.size + int64(len(l.end)) }

func (l *line) blank() bool { return l.size == 0 }

// lines cuts a file into lines at LF. A CR before it belongs to the end.
type lines struct {
	br  *bufio.Reader
	off int64
	num int
	buf []byte
}

const lineBuffer = 64 << 10

func newLines(r *io.SectionReader, off int64, num int) *lines {
	return &lines{br: newBuffer(r, r.Size()), off: off, num: num}
}

// newBuffer is a bufio.Reader no larger than what there is to read.
func newBuffer(r io.Reader, size int64) *bufio.Reader {
	return bufio.NewReaderSize(r, int(min(lineBuffer, size+1)))
}

// read reads a line and keeps at most max octets of its text. io.EOF if there
// is none.
func (ls *lines) read(l *line, max int) error {
	*l = line{off: ls.off, num: ls.num, nul: -1, cr: -1, eight: -1}
	ls.buf = ls.buf[:0]
	var total int64
	whole := true // text is one piece of the reader's own buffer
	heldCR := false
	for {
		frag, err := ls.br.ReadSlice('\n')
		more := err == bufio.ErrBufferFull
		if err != nil && !more && (err != io.EOF || len(frag) == 0 && total == 0) {
			return err
		}
		total += int64(len(frag))
		ended := !more && len(frag) > 0 && frag[len(frag)-1] == '\n'
		text := frag
		if ended {
			text, l.end = frag[:len(frag)-1], "\n"
			if n := len(text); n > 0 && text[n-1] == '\r' {
				text, l.end = text[:n-1], "\r\n"
			} else if n == 0 && heldCR {
				l.end, heldCR = "\r\n", false
			}
		}
		if heldCR { // the CR at the end of the piece before stands alone
			ls.inspect(l, crOctet[:], max)
			heldCR = false
		}
		if more && text[len(text)-1] == '\r' {
			text, heldCR = text[:len(text)-1], true
		}
		if more {
			whole = false
		}
		if whole {
			l.inspect(text)
			if len(text) > max {
				text = text[:max]
			}
			l.text = text
		} else {
			ls.inspect(l, text, max)
		}
		if !more {
			break
		}
	}
	if !whole {
		l.text = ls.buf
	}
	ls.off += total
	ls.num++
	return nil
}

var crOctet = [1]byte{'\r'}

func (ls *lines) inspect(l *line, text []byte, max int) {
	if room := max - len(ls.buf); room > 0 {
		ls.buf = append(ls.buf, text[:min(room, len(text))]...)
	}
	l.inspect(text)
}

// inspect counts what the next piece of the line has that it should not have.
func (l *line) inspect(text []byte) {
	plain := bytes.IndexByte(text, '\r') < 0 && bytes.IndexByte(text, 0) < 0 && isASCII(text)
	if !plain {
		for i, c := range text {
			switch {
			case c >= 0x80:
				if l.eight < 0 {
					l.eight = l.size + int64(i)
				}
			case c == 0:
				if l.nul < 0 {
					l.nul = l.size + int64(i)
				}
				l.nuls++
			case c == '\r':
				if l.cr < 0 {
					l.cr = l.size + int64(i)
				}
				l.crs++
			}
		}
	}
	l.size += int64(len(text))
}

// isFromLine reports whether text is the line with which mbox begins a
// message: "From ", a sender and a date in the form of asctime(3), more or
// less (RFC 4155 appendix A; the year and the time of day are in all
// variants). A sentence that begins with "From " is not.
func isFromLine(text []byte) bool {
	rest, ok := bytes.CutPrefix(text, []byte("From "))
	return ok && len(text) <= 1000 && fromDate.Match(rest)
}
