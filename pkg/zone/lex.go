package zone

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// A token is a word of an entry: its text without quotes, escapes still in.
type token struct {
	start, end int // octets of the source, quotes excluded
	line, col  int
	quoted     bool
	glued      bool // follows the token before without a blank: key="value"
}

// An entry is one record or directive: a line, or several in parentheses.
type entry struct {
	start, end    int
	line, endLine int
	tokens        []token
	blank         bool // starts with a blank: no owner
	comment       string
	commentAt     int // offset of the first comment's semicolon, -1 if none
	err           *Error
}

// A lexer cuts a file into entries. It knows nothing of types. A lexical fault
// costs the entry it is in; the next call goes on behind it.
type lexer struct {
	file      string
	src       []byte
	pos       int
	line      int // of pos, from 1
	lineStart int // offset of the line that pos is in
	toks      []token
	com       []byte
	rescanned int
}

func (l *lexer) errorAt(pos int, format string, a ...any) *Error {
	return &Error{File: l.file, Line: l.line, Column: pos - l.lineStart + 1, Msg: fmt.Sprintf(format, a...)}
}

func (l *lexer) newline(next int) {
	l.line++
	l.lineStart = next
}

// next reads the next entry into e; false at the end of the file. An entry may
// be empty (no tokens). e.tokens is valid until the next call.
func (l *lexer) next(e *entry) bool {
	src := l.src
	if l.pos >= len(src) {
		return false
	}
	*e = entry{start: l.pos, line: l.line, commentAt: -1}
	l.toks, l.com = l.toks[:0], l.com[:0]
	e.blank = src[l.pos] == ' ' || src[l.pos] == '\t'
	var (
		depth      int
		open       *Error // where the outermost ( is
		afterOpen  int    // offset of the line behind the one with it
		afterLine  int
		suspect    bool // inside the parentheses a line starts like an entry
		i          = l.pos
		limit      = l.pos + MaxEntry
		lineLimits = l.pos + MaxEntry
	)
scan:
	for i < len(src) {
		if i > limit {
			if depth > 0 {
				e.err = l.rewind(open, i, afterOpen, afterLine)
			} else {
				e.err = &Error{File: l.file, Line: l.line, Msg: fmt.Sprintf("the line is longer than %d octets", MaxEntry)}
				l.skipLine(i)
			}
			return l.done(e, l.pos)
		}
		switch c := src[i]; c {
		case '\n':
			if depth == 0 {
				break scan
			}
			i++
			l.newline(i)
			if afterOpen == 0 {
				afterOpen, afterLine = i, l.line
			}
			suspect = suspect || i < len(src) && startsEntry(src[i])
			lineLimits = i + MaxEntry
		case ' ', '\t', '\r':
			i++
		case ';':
			if e.commentAt < 0 {
				e.commentAt = i
			}
			n := bytes.IndexByte(src[i:], '\n')
			if n < 0 {
				n = len(src) - i
			}
			if i+n > lineLimits {
				e.err = &Error{File: l.file, Line: l.line, Msg: fmt.Sprintf("the line is longer than %d octets", MaxEntry)}
				l.skipLine(i)
				return l.done(e, l.pos)
			}
			if len(l.com) > 0 {
				l.com = append(l.com, ' ')
			}
			l.com = append(l.com, bytes.TrimRight(src[i:i+n], "\r")...)
			i += n
		case '(':
			if depth == 0 {
				open = l.errorAt(i, "this parenthesis is not closed")
				afterOpen, suspect = 0, false
			}
			depth++
			i++
		case ')':
			if depth == 0 {
				e.err = l.errorAt(i, "a closing parenthesis without an opening one")
				l.skipLine(i)
				return l.done(e, l.pos)
			}
			depth--
			i++
		case '"':
			t := token{start: i + 1, line: l.line, col: i - l.lineStart + 1, quoted: true, glued: l.glued(i)}
			j := i + 1
			for j < len(src) && src[j] != '"' && src[j] != '\n' && j <= lineLimits {
				if src[j] == '\\' && j+1 < len(src) && src[j+1] != '\n' {
					j++
				}
				j++
			}
			// RFC 1035 §5.1 lets a quoted string hold "any character", so also
			// a line end, and NSD takes it. BIND refuses it, and what looks like
			// such a string is nearly always a forgotten quote that would
			// swallow the records behind it: refused here too.
			if j >= len(src) || src[j] != '"' {
				// A fault in what looks like a record of its own: the parenthesis
				// before it is not closed, and hides more than one.
				if depth > 0 && suspect {
					e.err = l.rewind(open, i, afterOpen, afterLine)
					return l.done(e, l.pos)
				}
				e.err = l.errorAt(i, "this quoted string is not closed before the end of the line")
				l.resync(i, depth)
				return l.done(e, l.pos)
			}
			t.end = j
			l.toks = append(l.toks, t)
			i = j + 1
		default:
			t := token{start: i, line: l.line, col: i - l.lineStart + 1, glued: l.glued(i)}
			j := i
		word:
			for j < len(src) {
				switch src[j] {
				case ' ', '\t', '\r', '\n', ';', '"', '(', ')':
					break word
				case '\\':
					// An escape takes the next octet along, but not the line end.
					if j+1 < len(src) && src[j+1] != '\n' {
						j++
					}
				}
				j++
			}
			t.end = j
			l.toks = append(l.toks, t)
			if bad := oddSpace(src[i:j]); bad >= 0 {
				r, _ := utf8.DecodeRune(src[i+bad:])
				e.err = l.errorAt(i+bad, "an invisible character (%U) outside quotes; type an ordinary blank or delete it", r)
				l.resync(i, depth)
				return l.done(e, l.pos)
			}
			i = j
		}
	}
	if depth > 0 {
		if afterOpen == 0 {
			afterOpen, afterLine = len(src), l.line
		}
		e.err = l.rewind(open, i, afterOpen, afterLine)
		return l.done(e, l.pos)
	}
	l.pos = i
	if i-e.start > MaxEntry {
		e.err = &Error{File: l.file, Line: e.line, Msg: fmt.Sprintf("the entry is longer than %d octets", MaxEntry)}
	}
	l.done(e, i)
	if i < len(src) { // the line end
		l.pos = i + 1
		l.newline(l.pos)
	}
	return true
}

// glued reports whether the last token ends right before offset i.
func (l *lexer) glued(i int) bool {
	if len(l.toks) == 0 {
		return false
	}
	last := l.toks[len(l.toks)-1]
	end := last.end
	if last.quoted {
		end++
	}
	return end == i
}

func (l *lexer) done(e *entry, end int) bool {
	for end > e.start && (l.src[end-1] == '\n' || l.src[end-1] == '\r') {
		end--
	}
	e.end = end
	e.endLine = l.line
	e.tokens = l.toks
	e.comment = string(l.com)
	return true
}

// skipLine goes on at the line behind offset i.
func (l *lexer) skipLine(i int) {
	n := bytes.IndexByte(l.src[i:], '\n')
	if n < 0 {
		l.pos = len(l.src)
		return
	}
	l.pos = i + n + 1
	l.newline(l.pos)
}

// resync goes on behind a fault at offset i: at the next line or, inside
// parentheses, at the next line that looks like the start of an entry.
func (l *lexer) resync(i, depth int) {
	l.skipLine(i)
	if depth > 0 {
		l.toEntry()
	}
}

// maxRescan is how many octets are read a second time, behind parentheses that
// are not closed, before the rest of the file is given up.
const maxRescan = 16 << 20

// rewind goes back from at to the line behind an unclosed parenthesis, and on
// from there to what looks like an entry. It returns the fault to report.
func (l *lexer) rewind(open *Error, at, pos, line int) *Error {
	if l.rescanned += at - pos; l.rescanned > maxRescan {
		l.pos = len(l.src)
		open.Msg += "; too many of them: reading stopped here"
		return open
	}
	l.pos, l.line, l.lineStart = pos, line, pos
	l.toEntry()
	return open
}

// toEntry skips lines that start with a blank, a quote, a parenthesis or a
// comment: the rest of an entry in parentheses, most likely.
func (l *lexer) toEntry() {
	for l.pos < len(l.src) && !startsEntry(l.src[l.pos]) {
		l.skipLine(l.pos)
	}
}

// startsEntry reports whether a line with this first octet looks like an entry.
func startsEntry(c byte) bool { return strings.IndexByte(" \t\r\n\"();", c) < 0 }

// oddSpace is the offset of a character in an unquoted word that people take
// for a blank or do not see at all: no-break and ideographic spaces, zero-width
// characters. They come with text copied from web pages. -1 if there is none.
func oddSpace(b []byte) int {
	for i := 0; i < len(b); {
		if b[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		switch r {
		case 0xa0, 0x3000, 0x200b, 0x200c, 0x200d, 0x2060, 0xfeff, 0x202f, 0x2007:
			return i
		}
		i += n
	}
	return -1
}
