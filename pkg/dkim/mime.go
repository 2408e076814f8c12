package dkim

import (
	"bytes"
	"encoding/base64"
	"mime/quotedprintable"
	"strings"
)

// Just enough of MIME (RFC 2045, 2046) to find the parts of a body by its
// lines. It reads what it can and never fails.

// A part is a MIME part by line numbers of a body: [from, to) is the whole,
// its headers come first and its content begins at line content.
type part struct {
	from, content, to int
	ctype, encoding   string // media type and transfer encoding, in lower case
	charset, boundary string
	depth             int
	multi             bool
}

const maxParts = 100

// mediaType reads a Content-Type value: the type, in lower case, and two of its
// parameters.
func (p *part) mediaType(v string) {
	typ, params, _ := strings.Cut(v, ";")
	p.ctype = strings.ToLower(strings.TrimSpace(typ))
	p.multi = strings.HasPrefix(p.ctype, "multipart/")
	p.boundary = parameter(params, "boundary")
	p.charset = strings.ToLower(parameter(params, "charset"))
}

func parameter(params, name string) string {
	i := strings.Index(strings.ToLower(params), name)
	if i < 0 {
		return ""
	}
	b, ok := strings.CutPrefix(strings.TrimLeft(params[i+len(name):], " \t"), "=")
	if !ok {
		return ""
	}
	b = strings.TrimLeft(b, " \t")
	if strings.HasPrefix(b, `"`) {
		b, _, _ = strings.Cut(b[1:], `"`)
	} else if j := strings.IndexAny(b, "; \t("); j >= 0 {
		b = b[:j]
	}
	return b
}

// parts finds the MIME parts in lines from to, of a multipart with a boundary.
func parts(lines [][]byte, from, to int, boundary string, depth int, out []part) []part {
	if boundary == "" || depth > 8 {
		return out
	}
	delim := []byte("--" + boundary)
	begin := -1
	for i := from; i < to; i++ {
		l := bytes.TrimRight(lines[i], " \t\r\n")
		if !bytes.HasPrefix(l, delim) {
			continue
		}
		last := string(l[len(delim):]) == "--"
		if !last && len(l) != len(delim) {
			continue
		}
		if begin >= 0 && len(out) < maxParts {
			out = onePart(lines, begin, i, depth, out)
		}
		begin = i + 1
		if last {
			return out
		}
	}
	if begin >= 0 && begin < to && len(out) < maxParts {
		out = onePart(lines, begin, to, depth, out)
	}
	return out
}

func onePart(lines [][]byte, from, to, depth int, out []part) []part {
	p := part{from: from, to: to, content: to, ctype: "text/plain", encoding: "7bit", depth: depth}
	var name, val string
	field := func() {
		switch strings.ToLower(name) {
		case "content-type":
			p.mediaType(val)
		case "content-transfer-encoding":
			p.encoding = strings.ToLower(strings.TrimSpace(val))
		}
		name, val = "", ""
	}
	for i := from; i < to; i++ {
		l := strings.TrimRight(string(lines[i]), "\r\n")
		if l == "" {
			p.content = i + 1
			break
		}
		if l[0] == ' ' || l[0] == '\t' {
			val += l
			continue
		}
		field()
		name, val, _ = strings.Cut(l, ":")
	}
	field()
	out = append(out, p)
	if p.multi {
		out = parts(lines, p.content, to, p.boundary, depth+1, out)
	}
	return out
}

// splitLines cuts a text after each LF.
func splitLines(b []byte) [][]byte {
	out := make([][]byte, 0, bytes.Count(b, []byte{'\n'})+1)
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			i = len(b) - 1
		}
		out = append(out, b[:i+1:i+1])
		b = b[i+1:]
	}
	return out
}

// toCRLF makes CRLF of every line end.
func toCRLF(b []byte) []byte {
	if bytes.Count(b, []byte{'\n'}) == bytes.Count(b, crlf) {
		return b
	}
	out := make([]byte, 0, len(b)+len(b)/32)
	for i, c := range b {
		if c == '\n' && (i == 0 || b[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	return out
}

// decodeQP undoes quoted-printable (RFC 2045 §6.7); what is no code stays.
func decodeQP(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for _, l := range splitLines(b) {
		text := bytes.TrimRight(l, "\r\n")
		end := l[len(text):]
		text = bytes.TrimRight(text, " \t")
		if n := len(text); n > 0 && text[n-1] == '=' {
			text, end = text[:n-1], nil
		}
		for i := 0; i < len(text); i++ {
			if text[i] == '=' && i+2 < len(text) {
				hi, ok1 := unhex(text[i+1])
				lo, ok2 := unhex(text[i+2])
				if ok1 && ok2 {
					out = append(out, hi<<4|lo)
					i += 2
					continue
				}
			}
			out = append(out, text[i])
		}
		out = append(out, end...)
	}
	return out
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// decodeB64 undoes base64, whatever its line lengths; nil if it is none.
func decodeB64(b []byte) []byte {
	out, err := base64.StdEncoding.DecodeString(squeeze(string(b)))
	if err != nil {
		return nil
	}
	return out
}

func encodeQP(b []byte) []byte {
	var out bytes.Buffer
	w := quotedprintable.NewWriter(&out)
	w.Write(b)
	w.Close()
	return toCRLF(out.Bytes())
}

func encodeB64(b []byte, width int) []byte {
	s := base64.StdEncoding.EncodeToString(b)
	out := make([]byte, 0, len(s)+len(s)/width*2+2)
	for len(s) > 0 {
		n := min(width, len(s))
		out = append(append(out, s[:n]...), '\r', '\n')
		s = s[n:]
	}
	return out
}
