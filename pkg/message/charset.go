package message

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"
)

// aliases are names of charsets that mail uses and the registries lack. The
// decoders of Shift_JIS, EUC-JP and ISO-2022-JP are those of browsers, which
// know the signs that Windows added (①, ㈱), so the -MS and cp names are the
// same decoder.
var aliases = map[string]encoding.Encoding{
	"cp932":            japanese.ShiftJIS,
	"ms932":            japanese.ShiftJIS,
	"windows-932":      japanese.ShiftJIS,
	"sjis":             japanese.ShiftJIS,
	"sjis-win":         japanese.ShiftJIS,
	"shift-jis":        japanese.ShiftJIS,
	"x-sjis":           japanese.ShiftJIS,
	"x-sjis-jp":        japanese.ShiftJIS,
	"eucjp":            japanese.EUCJP,
	"eucjp-win":        japanese.EUCJP,
	"eucjp-ms":         japanese.EUCJP,
	"x-eucjp":          japanese.EUCJP,
	"x-euc-jp":         japanese.EUCJP,
	"cp51932":          japanese.EUCJP,
	"iso-2022-jp-ms":   japanese.ISO2022JP,
	"cp50220":          japanese.ISO2022JP,
	"cp50221":          japanese.ISO2022JP,
	"cp50222":          japanese.ISO2022JP,
	"iso2022jp":        japanese.ISO2022JP,
	"iso-2022-jp-1":    japanese.ISO2022JP,
	"iso_2022-jp":      japanese.ISO2022JP,
	"x-iso-2022-jp":    japanese.ISO2022JP,
	"csiso2022jp":      japanese.ISO2022JP,
	"jis":              japanese.ISO2022JP,
	"utf8":             unicode.UTF8,
	"utf_8":            unicode.UTF8,
	"utf-8n":           unicode.UTF8,
	"x-utf_8j":         unicode.UTF8,
	"unicode-1-1-utf8": unicode.UTF8,
	"cp65001":          unicode.UTF8,
}

// charsetByName finds a charset by the name that a message gives it; nil if it
// is not known.
func charsetByName(name string) encoding.Encoding {
	name = strings.ToLower(strings.TrimSpace(name))
	if e := aliases[name]; e != nil {
		return e
	}
	if len(name) > 64 {
		return nil
	}
	if e, err := htmlindex.Get(name); err == nil {
		// The web's "replacement" stands for charsets that it refuses.
		if n, _ := htmlindex.Name(e); n != "replacement" {
			return e
		}
	}
	if e, err := ianaindex.MIME.Encoding(name); err == nil && e != nil {
		return e
	}
	return nil
}

// A CharsetError says that text could not be turned into UTF-8.
type CharsetError struct {
	Charset string
	Unknown bool // the charset is not known; otherwise the octets are none of it
}

func (e *CharsetError) Error() string {
	if e.Unknown {
		return fmt.Sprintf("charset %q is not known", e.Charset)
	}
	return fmt.Sprintf("octets that are not %s", e.Charset)
}

// decodeCharset turns text into UTF-8. With an error the first result still is
// what could be read, U+FFFD in the place of the rest; it is raw if nothing is
// known.
func decodeCharset(name string, raw []byte) (string, error) {
	low := strings.ToLower(strings.TrimSpace(name))
	switch low {
	case "", "us-ascii", "ascii", "ansi_x3.4-1968", "utf-8", "utf8":
		if utf8.Valid(raw) && (low == "utf-8" || low == "utf8" || isASCII(raw)) {
			return string(raw), nil
		}
		if low == "" {
			low = "us-ascii"
		}
		return strings.ToValidUTF8(string(raw), "\ufffd"), &CharsetError{Charset: low}
	}
	enc := charsetByName(low)
	if enc == nil {
		return strings.ToValidUTF8(string(raw), "\ufffd"), &CharsetError{Charset: name, Unknown: true}
	}
	out, err := enc.NewDecoder().Bytes(raw)
	if err != nil || bytes.ContainsRune(out, utf8.RuneError) && !bytes.Contains(raw, []byte("\xef\xbf\xbd")) {
		return strings.ToValidUTF8(string(out), "\ufffd"), &CharsetError{Charset: name}
	}
	return string(out), nil
}

func isASCII(b []byte) bool {
	for len(b) >= 8 {
		if binary.NativeEndian.Uint64(b)&0x8080808080808080 != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// guessText turns octets of no declared charset into UTF-8: ISO-2022-JP by its
// escapes, then UTF-8, then Shift_JIS or EUC-JP where exactly one fits or the
// one that makes kana out of it. charset is what was taken, "" if it is plain
// ASCII; ok is false if nothing fits.
func guessText(raw []byte) (text, charset string, ok bool) {
	if bytes.Contains(raw, []byte("\x1b$")) || bytes.Contains(raw, []byte("\x1b(")) {
		if s, err := decodeCharset("iso-2022-jp", raw); err == nil {
			return s, "iso-2022-jp", true
		}
	}
	if isASCII(raw) {
		return string(raw), "", true
	}
	if utf8.Valid(raw) {
		return string(raw), "utf-8", true
	}
	sj, errSJ := decodeCharset("shift_jis", raw)
	eu, errEU := decodeCharset("euc-jp", raw)
	switch {
	case errSJ == nil && errEU == nil:
		// Text in EUC-JP reads as half-width katakana in Shift_JIS.
		if likelyJapanese(eu) >= likelyJapanese(sj) {
			return eu, "euc-jp", true
		}
		return sj, "shift_jis", true
	case errEU == nil:
		return eu, "euc-jp", true
	case errSJ == nil:
		return sj, "shift_jis", true
	}
	return strings.ToValidUTF8(string(raw), "\ufffd"), "", false
}

// likelyJapanese counts letters of usual Japanese text, against half-width
// katakana.
func likelyJapanese(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case r >= 0x3040 && r <= 0x30ff:
			n += 2
		case r >= 0x4e00 && r <= 0x9fff:
			n++
		case r >= 0xff61 && r <= 0xff9f:
			n--
		}
	}
	return n
}
