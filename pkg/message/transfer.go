package message

import (
	"bufio"
	"bytes"
)

const base64Chunk = 4 << 10

// base64Reader decodes base64 as decodeBase64 does.
type base64Reader struct {
	r    *bufio.Reader
	acc  uint32
	bits int
	out  []byte
	buf  [base64Chunk]byte
}

func (b *base64Reader) Read(p []byte) (int, error) {
	for len(b.out) == 0 {
		in, err := b.r.Peek(base64Chunk)
		if len(in) == 0 {
			return 0, err
		}
		b.out = b.buf[:0]
		for _, c := range in {
			v := base64Value(c)
			if v < 0 {
				if c == '=' {
					b.acc, b.bits = 0, 0
				}
				continue
			}
			b.acc = b.acc<<6 | uint32(v)
			if b.bits += 6; b.bits >= 8 {
				b.bits -= 8
				b.out = append(b.out, byte(b.acc>>b.bits))
				b.acc &= 1<<b.bits - 1
			}
		}
		b.r.Discard(len(in))
	}
	n := copy(p, b.out)
	b.out = b.out[n:]
	return n, nil
}

// qpReader decodes quoted-printable (RFC 2045 §6.7). What breaks its rules
// stands for itself.
type qpReader struct {
	br    *bufio.Reader
	carry []byte // of a line longer than the buffer: what may be half an escape
	buf   []byte
	out   []byte
	err   error
}

func (q *qpReader) Read(p []byte) (int, error) {
	for len(q.out) == 0 {
		if q.err != nil {
			return 0, q.err
		}
		q.fill()
	}
	n := copy(p, q.out)
	q.out = q.out[n:]
	return n, nil
}

func (q *qpReader) fill() {
	l, err := q.br.ReadSlice('\n')
	if err != nil && err != bufio.ErrBufferFull {
		q.err = err
	}
	if len(q.carry) > 0 {
		l = append(q.carry, l...)
		q.carry = nil
	}
	end := ""
	if err == bufio.ErrBufferFull {
		// Spaces and an escape at the cut may go on behind it.
		keep := len(l)
		for keep > 0 && len(l)-keep < 2 && l[keep-1] != '=' {
			keep--
		}
		if keep == 0 || l[keep-1] != '=' {
			keep = len(l)
		} else {
			keep--
		}
		if t := len(bytes.TrimRight(l[:keep], " \t")); keep-t < 100 {
			keep = t
		}
		q.carry = append([]byte(nil), l[keep:]...)
		l = l[:keep]
	} else {
		if n := len(l); n > 0 && l[n-1] == '\n' {
			l, end = l[:n-1], "\n"
			if n > 1 && l[n-2] == '\r' {
				l, end = l[:n-2], "\r\n"
			}
		}
		l = bytes.TrimRight(l, " \t") // (3): spaces at the end were added on the way
		if n := len(l); n > 0 && l[n-1] == '=' {
			l, end = l[:n-1], ""
		}
	}
	q.buf = q.buf[:0]
	for i := 0; i < len(l); i++ {
		if l[i] == '=' && i+2 < len(l) && hexValue(l[i+1]) >= 0 && hexValue(l[i+2]) >= 0 {
			q.buf = append(q.buf, byte(hexValue(l[i+1])<<4|hexValue(l[i+2])))
			i += 2
			continue
		}
		q.buf = append(q.buf, l[i])
	}
	q.buf = append(q.buf, end...)
	q.out = q.buf
}
