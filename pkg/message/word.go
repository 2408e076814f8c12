package message

import (
	"encoding/base64"
	"strings"
)

// Decoded is text that was made readable.
type Decoded struct {
	Text string
	// Words are the encoded-words in it, in order.
	Words []Word
	// Guessed is the charset that was assumed for octets that declare none, ""
	// if there are none.
	Guessed string
	// Undecodable: something could not be read; it stays as it was, octets that
	// are no UTF-8 as U+FFFD.
	Undecodable bool
}

// A Word is one encoded-word (RFC 2047 §2) with its place in the text that was
// given to DecodeText.
type Word struct {
	Start, End int
	Charset    string // as written, without the language of RFC 2231 §5
	Encoding   byte   // 'B' or 'Q'
	Err        error  // it could not be decoded
	// Broken: it has the parts of an encoded-word and breaks the grammar of §2
	// (spaces inside, wrong base64), but can be read, as most programs do.
	Broken bool
	octets []byte
}

// maxBrokenWord is how far the end of an encoded-word is looked for. Some
// programs put a whole subject into one.
const maxBrokenWord = 8 << 10

// maxWord is how many octets an encoded-word may have (RFC 2047 §2).
const maxWord = 75

// DecodeText makes the unfolded value of a header field readable: encoded-words
// are decoded, the white space between two of them is dropped (RFC 2047
// §6.2), and raw octets are decoded as UTF-8 or as the Japanese charset that
// fits. Neighbouring words of one charset are decoded together, because some
// programs cut a character in two. It does not ask whether encoded-words are
// allowed where they stand.
func DecodeText(s string) Decoded {
	var d Decoded
	if plainASCII(s) {
		d.Text = s
		return d
	}
	var out strings.Builder
	plainFrom := 0
	plain := func(to int, before, after bool) {
		t := s[plainFrom:to]
		if before && after && strings.Trim(t, " \t\r\n") == "" {
			return
		}
		text, guessed, ok := guessText([]byte(t))
		if guessed != "" {
			d.Guessed = guessed
		}
		if !ok {
			d.Undecodable = true
		}
		out.WriteString(text)
	}
	last := -1 // index in d.Words of the word that ends at plainFrom
	var run []byte
	runFrom := 0
	flush := func() {
		if last < 0 {
			return
		}
		words := d.Words[runFrom : last+1]
		text, err := decodeCharset(words[0].Charset, run)
		if err != nil {
			for i := range words {
				words[i].Err = err
			}
			d.Undecodable = true
			if err.(*CharsetError).Unknown {
				text = strings.ToValidUTF8(s[words[0].Start:words[len(words)-1].End], "\ufffd")
			}
		}
		out.WriteString(text)
		run, last = run[:0], -1
	}
	for i := 0; i < len(s); {
		j := strings.Index(s[i:], "=?")
		if j < 0 {
			break
		}
		i += j
		w, ok := parseWord(s, i)
		if !ok {
			i += 2
			continue
		}
		adjacent := last >= 0 && strings.Trim(s[plainFrom:w.Start], " \t\r\n") == ""
		same := adjacent && strings.EqualFold(d.Words[last].Charset, w.Charset)
		if !same {
			before := last >= 0
			flush()
			plain(w.Start, before, true)
			runFrom = len(d.Words)
		}
		run = append(run, w.octets...)
		w.octets = nil
		d.Words = append(d.Words, w)
		last = len(d.Words) - 1
		plainFrom, i = w.End, w.End
	}
	flush()
	plain(len(s), false, false)
	d.Text = out.String()
	return d
}

// plainASCII reports whether there is nothing to decode.
func plainASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 || s[i] == 0x1b || s[i] == '=' && i+1 < len(s) && s[i+1] == '?' {
			return false
		}
	}
	return true
}

// parseWord reads the encoded-word that begins at s[i:], "=?".
func parseWord(s string, i int) (Word, bool) {
	w := Word{Start: i}
	rest := s[i+2:]
	q := strings.IndexByte(rest, '?')
	if q <= 0 || q > 100 || !isToken(rest[:q]) {
		return w, false
	}
	w.Charset, _, _ = strings.Cut(rest[:q], "*") // RFC 2231 §5: language behind the star
	if w.Charset == "" || len(rest) < q+3 || rest[q+2] != '?' {
		return w, false
	}
	switch rest[q+1] {
	case 'B', 'b':
		w.Encoding = 'B'
	case 'Q', 'q':
		w.Encoding = 'Q'
	default:
		return w, false
	}
	textAt := i + 2 + q + 3
	text := s[textAt:min(len(s), textAt+maxBrokenWord)]
	end := strings.Index(text, "?=")
	if end < 0 {
		return w, false
	}
	// "=?utf-8?Q??=" is empty; "=?utf-8?Q?a?=41?=" is not a word with "?" in it,
	// but "?=41" would end it. §4.2 wants "?" encoded, so the first "?=" ends it.
	text = text[:end]
	if strings.Contains(text, "=?") && w.Encoding == 'B' {
		return w, false // the end belongs to the next word
	}
	w.End = textAt + end + 2
	if strings.ContainsAny(text, " \t?") {
		w.Broken = true
	}
	if w.Encoding == 'B' {
		var clean bool
		w.octets, clean = decodeBase64(text)
		if !clean {
			w.Broken = true
		}
	} else {
		w.octets = decodeQ(text)
	}
	return w, true
}

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("()<>@,;:\"/[]?=", c) >= 0 {
			return false
		}
	}
	return s != ""
}

// decodeBase64 reads base64 as most programs do: what is none of its letters is
// skipped (RFC 2045 §6.8), padding may lack, and text may go on behind it.
// clean is false if anything of that was needed.
func decodeBase64(s string) (out []byte, clean bool) {
	if b, err := base64.StdEncoding.DecodeString(s); err == nil {
		return b, true
	}
	var acc uint32
	bits := 0
	for i := 0; i < len(s); i++ {
		v := base64Value(s[i])
		if v < 0 {
			if s[i] == '=' {
				acc, bits = 0, 0
			}
			continue
		}
		acc = acc<<6 | uint32(v)
		if bits += 6; bits >= 8 {
			bits -= 8
			out = append(out, byte(acc>>bits))
			acc &= 1<<bits - 1
		}
	}
	return out, false
}

// base64Values has the value of each letter of base64, -1 for the rest.
var base64Values = func() (t [256]int8) {
	for i := range t {
		t[i] = -1
	}
	for i, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
		t[c] = int8(i)
	}
	return t
}()

func base64Value(c byte) int { return int(base64Values[c]) }

// decodeQ reads the Q encoding (RFC 2047 §4.2). A "=" without two hexadecimal
// digits stands for itself.
func decodeQ(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '_':
			out = append(out, ' ')
		case s[i] == '=' && i+2 < len(s) && hexValue(s[i+1]) >= 0 && hexValue(s[i+2]) >= 0:
			out = append(out, byte(hexValue(s[i+1])<<4|hexValue(s[i+2])))
			i += 2
		default:
			out = append(out, s[i])
		}
	}
	return out
}

func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
