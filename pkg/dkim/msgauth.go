package dkim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"
	"unicode"

	msgauth "github.com/emersion/go-msgauth/dkim"
)

// A Weakness is a known way in which go-msgauth's verdict differs from that of
// this package. Each is shown by a test.
type Weakness string

const (
	WeakEmptiesB    Weakness = "empties-b"     // empties each "b=" of the field, also inside z= ("Feb=20"): good signatures fail
	WeakLength      Weakness = "l"             // refuses l=, without looking at the hash
	WeakStrict      Weakness = "t=s"           // does not apply the flag s of a key
	WeakKeyRecord   Weakness = "key-record"    // reads key records in its own way: no tabs in p=, k= in lower case only, duplicates of unknown tags refused, other errors passed
	WeakMultiple    Weakness = "multiple-keys" // takes none of several records
	WeakIdentity    Weakness = "identity"      // compares i= with d= with case, and without undoing its quoted-printable
	WeakDomain      Weakness = "domain"        // asks for d= and s= as they are: no U-labels (RFC 8616), no check
	WeakSyntax      Weakness = "syntax"        // takes fields that break the grammar: empty tags, bad tag names, bad numbers, white space that is none in DKIM
	WeakCase        Weakness = "case"          // a=, c= and q= in lower case only
	WeakClock       Weakness = "clock"         // compares x= with the machine's clock
	WeakFuture      Weakness = "x-before-t"    // does not compare x= with t=
	WeakOwnField    Weakness = "own-field"     // a dkim-signature in h= can select the signature itself
	WeakBareCR      Weakness = "bare-cr"       // takes a bare CR for a line end or for white space
	WeakHeader      Weakness = "header"        // reads a header in its own way: one without an empty line after it is an error, a line without a colon is a field
	WeakPermanent   Weakness = "permanent"     // stops at the first thing that is wrong, so its kind of error may be another
	WeakAllSkipped  Weakness = "skipped"       // evaluates all signatures, however many
	WeakShortHeader Weakness = "too-large"     // takes a field of any size
)

// Weaknesses lists every [Weakness].
var Weaknesses = []Weakness{
	WeakEmptiesB, WeakLength, WeakStrict, WeakKeyRecord, WeakMultiple, WeakIdentity, WeakDomain, WeakSyntax,
	WeakCase, WeakClock, WeakFuture, WeakOwnField, WeakBareCR, WeakHeader, WeakPermanent, WeakAllSkipped, WeakShortHeader,
}

// An Opinion is what go-msgauth says of a message.
type Opinion struct {
	Verdicts []OpinionVerdict // of its signatures, from the top
	Err      error            // it could not read the message
	bareCR   bool
	noEnd    bool // the header has no empty line after it
	oddField bool // a line of the header is no field
}

// An OpinionVerdict is what it says of one signature. Detail is its error text,
// which may hold hostile text; "" for pass.
type OpinionVerdict struct {
	Domain  string
	Verdict Verdict
	Detail  string
}

// SecondOpinion verifies a message with go-msgauth, a library that others use to
// receive mail, over the same answers of the DNS. Its verdicts are those under
// RFC 8301. At most max signatures are looked at; [DefaultMax] if 0.
func SecondOpinion(ctx context.Context, v *Verifier, message io.Reader) *Opinion {
	o := &Opinion{noEnd: true}
	limit := v.Max
	if limit <= 0 {
		limit = DefaultMax
	}
	seen := &watcher{o: o, r: message}
	vs, err := msgauth.VerifyWithOptions(seen, &msgauth.VerifyOptions{
		MaxVerifications: limit,
		LookupTXT: func(name string) ([]string, error) {
			r := LookupName(ctx, v.Resolver, name)
			if r.Status == Undetermined {
				// It takes an error for temporary only in this form.
				return nil, &net.DNSError{Err: string(r.Err.Reason), Name: name, IsTemporary: true}
			}
			if r.Status == Missing {
				return nil, &net.DNSError{Err: "no such record", Name: name, IsNotFound: true}
			}
			var out []string
			for i := range r.Answer.RRs {
				out = append(out, r.Answer.RRs[i].Text())
			}
			return out, nil
		},
	})
	if err != nil && !errors.Is(err, msgauth.ErrTooManySignatures) {
		io.Copy(io.Discard, seen)
		o.Err = err
		return o
	}
	// What it did not read decides nothing for it, but may for us.
	io.Copy(io.Discard, seen)
	if o.Err = seen.err; o.Err != nil {
		return o
	}
	for _, x := range vs {
		ov := OpinionVerdict{Domain: x.Domain, Verdict: Fail}
		switch {
		case x.Err == nil:
			ov.Verdict = Pass
		case msgauth.IsTempFail(x.Err):
			ov.Verdict = TempError
		case msgauth.IsPermFail(x.Err):
			ov.Verdict = PermError
		}
		if x.Err != nil {
			ov.Detail = x.Err.Error()
		}
		o.Verdicts = append(o.Verdicts, ov)
	}
	return o
}

// A watcher sees bare CRs and the header go by. What goes wrong in reading it
// keeps to itself and ends the message there: go-msgauth leaves goroutines behind
// otherwise.
type watcher struct {
	r      io.Reader
	o      *Opinion
	cr     bool
	header []byte // so far, while it has not ended
	err    error
}

func (w *watcher) Read(p []byte) (int, error) {
	if w.err != nil {
		return 0, io.EOF
	}
	n, err := w.r.Read(p)
	b := p[:n]
	if w.o.noEnd && n > 0 {
		from := max(len(w.header)-3, 0)
		w.header = append(w.header, b...)
		for at := from; ; {
			i := bytes.IndexByte(w.header[at:], '\n')
			if i < 0 {
				break
			}
			at += i + 1
			rest := bytes.TrimPrefix(w.header[at:], crlf[:1])
			if len(rest) > 0 && rest[0] == '\n' || at == 1 || at == 2 && w.header[0] == '\r' {
				w.o.noEnd = false
				w.look(w.header[:at])
				break
			}
		}
		if w.o.noEnd && len(w.header) > MaxHeader {
			w.err = ErrHeaderTooLarge
			return 0, io.EOF
		}
	}
	if !w.o.bareCR && n > 0 {
		if w.cr && b[0] != '\n' {
			w.o.bareCR = true
		}
		w.cr = b[n-1] == '\r'
		if k := bytes.Count(b, crlf[:1]); k > 0 {
			if w.cr {
				k--
			}
			if k != bytes.Count(b, crlf) {
				w.o.bareCR = true
			}
		}
	}
	if err == io.EOF {
		w.o.bareCR = w.o.bareCR || w.cr
		if w.o.noEnd {
			w.look(w.header)
		}
	} else if err != nil {
		w.err, err = err, io.EOF
	}
	return n, err
}

// look finds lines that are no fields, and names that are none.
func (w *watcher) look(header []byte) {
	for i, l := range splitLines(header) {
		l = bytes.TrimRight(l, "\r\n")
		if len(l) == 0 || i > 0 && (l[0] == ' ' || l[0] == '\t') {
			continue
		}
		name, _, colon := bytes.Cut(l, []byte{':'})
		if !colon || !isFieldName(string(bytes.TrimRight(name, " \t"))) {
			w.o.oddField = true
		}
	}
	w.header = nil
}

// A Difference is a signature of which go-msgauth says something else than we.
type Difference struct {
	Index        int // of the signature, from the top; -1: of the whole message
	Ours, Theirs Verdict
	// Why are the known weaknesses that explain it. Without one, somebody has a
	// bug.
	Why []Weakness
}

// Compare sets the opinion beside a report on the same message, under RFC 8301.
// Kinds of failure are not told apart: only pass, failure and temporary error.
func (r *Report) Compare(o *Opinion) []Difference {
	if o.Err != nil {
		// It reads no signature of such a message.
		if r.Result8301() == Pass {
			return []Difference{{Index: -1, Ours: Pass, Theirs: PermError, Why: o.reading()}}
		}
		return nil
	}
	var out []Difference
	if len(o.Verdicts) != len(r.Signatures) {
		return []Difference{{Index: -1, Ours: r.Result8301(), Theirs: None, Why: o.reading()}}
	}
	kind := func(v Verdict) Verdict {
		if v == PermError {
			return Fail
		}
		return v
	}
	for i, v := range r.Signatures {
		ours, theirs := v.RFC8301, o.Verdicts[i].Verdict
		if kind(ours) != kind(theirs) {
			out = append(out, Difference{Index: i, Ours: ours, Theirs: theirs, Why: v.weaknesses(theirs, o)})
		}
	}
	return out
}

func (o *Opinion) reading() []Weakness {
	var out []Weakness
	if o.noEnd || o.oddField {
		out = append(out, WeakHeader)
	}
	if o.bareCR {
		out = append(out, WeakBareCR)
	}
	return out
}

var emptied = regexp.MustCompile(`(b\s*=)[^;]+`)

// weaknesses are those that bear on this signature in the direction of the
// difference.
func (v *Verification) weaknesses(theirs Verdict, o *Opinion) []Weakness {
	var out []Weakness
	add := func(w Weakness, applies bool) {
		if applies {
			out = append(out, w)
		}
	}
	ours := v.RFC8301
	add(WeakBareCR, o.bareCR)
	add(WeakHeader, o.oddField)
	odd := strings.ContainsFunc(v.Raw, func(r rune) bool { return unicode.IsSpace(r) && !strings.ContainsRune(" \t\r\n", r) })
	if theirs == Pass {
		// It passes what does not.
		add(WeakStrict, v.Has(ReasonStrict))
		add(WeakKeyRecord, v.Has(ReasonKeySyntax) || v.Has(ReasonKeyMissing) || v.Has(ReasonKeyType) || v.Has(ReasonKeyHash))
		add(WeakClock, v.Has(ReasonExpired))
		add(WeakSyntax, v.Has(ReasonSyntax) && (odd || v.faultIn(ErrEmptyTag, ErrBadTagName, ErrEmptyValue, ErrTime, ErrTooManyTags, ErrLength)))
		add(WeakFuture, v.faultIn(ErrExpiresBeforeSign))
		add(WeakIdentity, v.faultIn(ErrIdentity))
		add(WeakDomain, v.faultIn(ErrDomain, ErrSelector))
		add(WeakShortHeader, v.faultIn(ErrTooLong))
		return out
	}
	if theirs == TempError || ours == TempError {
		// One of them asked for no key, or for another one.
		add(WeakPermanent, true)
		add(WeakDomain, v.faultIn(ErrDomain, ErrSelector))
	}
	if ours != Pass {
		return out
	}
	// It fails what passes.
	add(WeakLength, v.Length >= 0)
	add(WeakMultiple, v.Has(NoteMultiple))
	b := v.Tag("b")
	for _, at := range emptied.FindAllStringIndex(v.Raw, -1) {
		add(WeakEmptiesB, !(at[0] <= b.Start && b.Start < at[1]) && !containsWeak(out, WeakEmptiesB))
	}
	add(WeakKeyRecord, v.Key != nil && (len(v.Key.Errors) > 0 || strings.ContainsAny(v.Key.Text, "\t\r\n") || strings.ContainsFunc(v.Key.Text, func(r rune) bool { return r > '~' }) ||
		v.Key.Tag("h") != nil || v.Key.Tag("s") != nil))
	add(WeakKeyRecord, len(v.Lookup.Keys) == 1 && v.Key.Tag("k") != nil && v.Key.Tag("k").Value != string(v.Key.Type) && !containsWeak(out, WeakKeyRecord))
	if t := v.Tag("i"); t != nil {
		add(WeakIdentity, !strings.HasSuffix(squeeze(t.Value), squeeze(v.Tag("d").Value)) || strings.Contains(t.Value, "="))
	}
	add(WeakDomain, !isFieldName(v.Tag("d").Value) || !isFieldName(v.Tag("s").Value))
	add(WeakCase, v.faultIn(ErrCase))
	if t := v.Tag("q"); t != nil {
		add(WeakCase, strings.ToLower(t.Value) != t.Value)
	}
	add(WeakClock, !v.Expires.IsZero())
	for i := range v.Names {
		add(WeakOwnField, strings.EqualFold(v.Names[i], "DKIM-Signature") && !containsWeak(out, WeakOwnField))
	}
	add(WeakSyntax, odd)
	return out
}

func containsWeak(ws []Weakness, w Weakness) bool {
	for _, x := range ws {
		if x == w {
			return true
		}
	}
	return false
}

func (v *Verification) faultIn(codes ...string) bool {
	for i := range v.Errors {
		for _, c := range codes {
			if v.Errors[i].Code == c {
				return true
			}
		}
	}
	return false
}
