// Package sanitize makes text from strangers fit for a terminal, a log or a
// page: whatever would act on the reader's screen instead of being read on it
// is written out.
//
// DNS records, zone files and mail come from people we do not know. A byte of
// theirs can clear the screen (ESC), overwrite the line before it (CR), turn
// the rest of the line round (U+202E), hide in the middle of a word (U+200B)
// or be half a character. [Text] turns each of these into what a person can
// see and quote: \x1b, \r, \u202e, \u200b, \xff.
//
// Ordinary text of every script stays as it is. A backslash stays a single
// backslash, so the output is for reading, not for reading back: the JSON
// report holds the exact bytes.
package sanitize

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxMarks is how many combining marks may follow a character. No orthography
// that mail names use needs more; stacks of dozens paint over the lines above.
const maxMarks = 4

// Text is s with everything that [Unsafe] names made visible, invalid UTF-8
// included. The result is valid UTF-8 on one line, and Text(Text(s)) is
// Text(s).
func Text(s string) string {
	i := clean(s)
	if i == len(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	b.WriteString(s[:i])
	Walk(s[i:], func(_ int, shown string, _ bool) { b.WriteString(shown) })
	return b.String()
}

// clean is the length of the printable ASCII that s begins with.
func clean(s string) int {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			// One back: a combining mark belongs to the character before it.
			return max(i-1, 0)
		}
	}
	return len(s)
}

// Walk calls f for each character of s in order: how many bytes of s it takes,
// how it is shown, and whether that is an escape. The sizes add up to len(s).
// f may not assume that shown is one rune, nor that it is one column wide.
func Walk(s string, f func(size int, shown string, escaped bool)) {
	marks := maxMarks // a mark with nothing before it would join our own text
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			f(1, `\x`+hex(uint32(s[0]), 2), true)
			marks = maxMarks
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Mc) && !Unsafe(r):
			if marks++; marks > maxMarks {
				f(n, Escape(r), true)
			} else {
				f(n, s[:n], false)
			}
		case Unsafe(r):
			f(n, Escape(r), true)
			marks = maxMarks // the escape takes no marks
		default:
			f(n, s[:n], false)
			marks = 0
		}
		s = s[n:]
	}
}

// Unsafe reports whether r may not reach a reader as it is:
//   - controls: C0 with newline and tab, DEL, C1;
//   - what changes direction or joins invisibly: all of category Cf (bidi
//     controls, zero-width characters, soft hyphen, tags), U+2028, U+2029;
//   - what is there and takes no room: variation selectors, fillers, and the
//     rest of Unicode's default ignorable characters;
//   - spaces that look like a space and are none (U+00A0, U+2003, …), for a
//     record that holds one is broken, and nobody sees why. U+3000 stays: it
//     is ordinary in Japanese and wide enough to be seen;
//   - what no font or width table agrees on: private use and unassigned code
//     points, and U+2800, a Braille cell without a dot.
func Unsafe(r rune) bool {
	switch {
	case ' ' <= r && r <= '~', r == '\u3000':
		return false
	case r == '\u2800', unicode.Is(unicode.Zs, r):
		return true
	case unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r),
		unicode.Is(unicode.Variation_Selector, r):
		return true
	}
	return !unicode.IsGraphic(r) // letters, marks, numbers, punctuation, symbols
}

// Escape is r as text: \n, \t, \r, \x1b, \u202e, \U000e0041.
func Escape(r rune) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\t':
		return `\t`
	case r == '\r':
		return `\r`
	case r < 0x80:
		return `\x` + hex(uint32(r), 2)
	case r < 0x10000:
		return `\u` + hex(uint32(r), 4)
	}
	return `\U` + hex(uint32(r), 8)
}

func hex(v uint32, width int) string {
	s := strconv.FormatUint(uint64(v), 16)
	return "00000000"[:max(width-len(s), 0)] + s
}
