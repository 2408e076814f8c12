// Package zone reads DNS zone files and answers from them as a name server
// would, so that a zone can be judged before anyone publishes it.
//
// # What a zone file is
//
// A zone is the part of the DNS tree that one set of servers answers for: all
// names at or below its origin ("example.com"), except what it hands on to
// other servers with NS records (a delegation, or zone cut). A zone file is
// the text that such a server loads, in the form of RFC 1035 §5: a record per
// entry,
//
//	owner  [TTL] [class]  type  data
//	www    3600  IN       A     192.0.2.1
//
// where an entry is a line, or several lines held together by parentheses; a
// semicolon starts a comment; a name without a final dot is relative to the
// current origin; a line that starts with a blank takes over the owner of the
// record before. $ORIGIN, $TTL (RFC 2308 §4), $INCLUDE and BIND's $GENERATE
// are directives.
//
// # What this package does with it
//
// [OpenAll], [Open] and [Parse] read files and keep, for every record, the file,
// the line, the octets it was written in and the comment beside it ([Span]); a
// file with faults yields all of them ([Errors]), not only the first. A [Set]
// of zones answers questions as an authoritative server does (RFC 1034 §4.3.2
// with RFC 4592 wildcards and RFC 6672 DNAME). [Set.Overlay] lays the zones
// over another resolver: they answer first, the rest of the DNS answers for
// everything else. [Patch] lays single edits over a resolver in the same way:
// it is how a proposed fix is tried before it is shown to anyone.
//
// An answer that the zones or edits do not determine (a CNAME loop, a CNAME
// beside other records, an edit of a record that is not there) is a
// [dnsq.Error] of reason malformed. It is never an absence.
package zone

import (
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// Limits of what is read. Input beyond them is an error, never cut in silence.
const (
	MaxFile         = 64 << 20 // octets, all included files and $GENERATE text together
	MaxEntry        = 1 << 20  // octets of one line, or of one entry in parentheses
	MaxRecords      = 2_000_000
	MaxIncludeDepth = 7     // files inside files
	MaxIncludes     = 1000  // $INCLUDE directives carried out
	MaxGenerate     = 65536 // records of one $GENERATE
	MaxErrors       = 1000  // errors listed; more are only counted as "more"
)

// DefaultTTL, in seconds, is what a record gets when neither it nor a $TTL nor
// a record before it nor an SOA says a TTL. RFC 1035 leaves that case out;
// 3600 is what NSD takes.
const DefaultTTL = 3600

// A Zone is the content of one zone file.
type Zone struct {
	// Origin is the name the zone answers for, canonical.
	Origin string
	// Records in order of appearance, File and Line set, names canonical.
	// Records outside the origin are kept here (with a note) and never served.
	Records []dnsq.RR
	// Spans[i] says where Records[i] is written.
	Spans []Span
	// Notes are oddities that do not stop the file from being read.
	Notes []Note

	sources map[string][]byte
	main    source            // what the zone is read from
	paths   map[string]string // names of the files by their paths, as $INCLUDE finds them
	loads   map[string]int    // how often each file was read
	ends    map[string]string // the origin in force at the end of each file
	// foreign: the files are in no zone file syntax.
	foreign bool
	// opaque are sets that are there and whose records are not known.
	opaque []opaqueSet
}

// An opaqueSet is a record set of which only the name, and maybe the type, is
// known. Type 0: only that the name exists.
type opaqueSet struct {
	name string
	typ  dnsq.Type
	why  string
}

// A Span is where a record is written.
type Span struct {
	File    string
	Line    int // first line, from 1
	EndLine int // last line; the same for a record on one line
	// Start and End are octet offsets into the file: from the first octet of
	// the entry (its owner, or the blank that stands for it) to behind its last,
	// comment included, line end excluded.
	Start, End int
	// Comment is what follows an unquoted semicolon inside the entry, the
	// semicolon included; several are joined by a blank.
	Comment string
	// Inherited: the owner is that of the record before (the line starts with
	// a blank). Generated: the entry is a $GENERATE, which makes other records
	// too. TTLSet: the entry itself says the TTL.
	Inherited, Generated, TTLSet bool

	origin string // in force at the entry, "" if none is known
	stated bool   // the TTL is that of a record before (RFC 1035 §5.1)
}

// Raw is the text of record i as it stands in the file, line ends inside
// included.
func (z *Zone) Raw(i int) string {
	s := z.Spans[i]
	return string(z.sources[s.File][s.Start:s.End])
}

// Source is the text of one of the files the zone was read from, nil if it is
// none of them.
func (z *Zone) Source(file string) []byte { return z.sources[file] }

// Files are the names of the files the zone was read from, the main one first.
func (z *Zone) Files() []string {
	var out []string
	seen := map[string]bool{}
	for _, s := range z.Spans {
		if !seen[s.File] {
			seen[s.File] = true
			out = append(out, s.File)
		}
	}
	return out
}

// A NoteCode says which oddity a [Note] is about.
type NoteCode string

const (
	// LongString: a character-string over 255 octets. RFC 1035 §3.3 has no
	// such thing; BIND and NSD refuse the file. It is read as several strings.
	LongString NoteCode = "long-string"
	// CutBySemicolon: the data of a TXT record ends at an unquoted semicolon
	// that looks like part of the text: "v=DMARC1; p=none" without quotes.
	CutBySemicolon NoteCode = "cut-by-semicolon"
	// UnquotedText: several unquoted words in a TXT record. They are separate
	// strings, and read together without the blanks.
	UnquotedText NoteCode = "unquoted-text"
	// SmartQuotes: typographic quotation marks, which are ordinary characters.
	SmartQuotes NoteCode = "smart-quotes"
	// UTF8Name: a name that is not ASCII. It is read as its A-labels; BIND and
	// NSD take the octets literally.
	UTF8Name NoteCode = "utf8-name"
	// OriginWithoutDot: $ORIGIN with a relative name.
	OriginWithoutDot NoteCode = "origin-without-dot"
	// OutOfZone: a record that is not at or below the origin. It is not served.
	OutOfZone NoteCode = "out-of-zone"
	// BesideCNAME: a CNAME with other records, or two CNAMEs, at one name
	// (RFC 1034 §3.6.2, RFC 2181 §10.1). BIND and NSD refuse the file.
	BesideCNAME NoteCode = "beside-cname"
	// ByteOrderMark: the file starts with U+FEFF, which servers refuse.
	ByteOrderMark NoteCode = "byte-order-mark"
)

// A Note is an oddity of the file that does not stop it from being read.
type Note struct {
	File         string
	Line, Column int // from 1
	Record       int // index into Records, -1 if the note is about none
	Code         NoteCode
	Text         string // the text in question, raw: hostile
	Name         string // the name that came of it, of OriginWithoutDot
}

// An Error is one fault of a zone file. Line counts from 1, Column from 1 in
// octets; 0 is unknown.
type Error struct {
	File         string
	Line, Column int
	Msg          string
	Err          error // the cause, if there is one
}

// Error is "file:line:column: message".
func (e *Error) Error() string {
	switch {
	case e.Line == 0:
		return e.File + ": " + e.Msg
	case e.Column == 0:
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Msg)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errors are all faults of a file, in its order.
type Errors []*Error

// Error is one line per fault.
func (es Errors) Error() string {
	var b strings.Builder
	for i, e := range es {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(e.Error())
	}
	return b.String()
}

// Unwrap returns the single errors, for errors.Is and errors.As.
func (es Errors) Unwrap() []error {
	out := make([]error, len(es))
	for i, e := range es {
		out[i] = e
	}
	return out
}

// Parse reads a zone file. file is its name in records and errors. origin is
// the zone's name in any spelling, "." for the root, or "" if the file says it
// itself: by its SOA record or, without one, by its first $ORIGIN.
//
// $INCLUDE is refused, for there is no folder to take the file from: see
// [ParseFS] and [Open]. An error is of type [Errors].
func Parse(r io.Reader, file, origin string) (*Zone, error) {
	src, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return nil, Errors{{File: file, Msg: "cannot be read: " + err.Error(), Err: err}}
	}
	return parse(source{src: src, label: file, origin: origin})
}

// ParseFS reads the zone file name from fsys, and what it includes: paths are
// relative to the including file and cannot leave fsys.
func ParseFS(fsys fs.FS, name, origin string) (*Zone, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, Errors{{File: name, Msg: "cannot be opened: " + reason(err), Err: err}}
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, Errors{{File: name, Msg: "cannot be read: " + reason(err), Err: err}}
	}
	return parse(source{src: src, label: name, origin: origin, read: from(fsys), path: name})
}
