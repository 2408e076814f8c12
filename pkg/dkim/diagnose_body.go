package dkim

import (
	"bytes"
	"crypto"
	"hash"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"
)

// A bodySearch undoes changes of a body until its hash is the one that was
// signed.
type bodySearch struct {
	form   Canonicalization
	hash   crypto.Hash
	want   []byte
	length int64 // l=; -1 without
	budget int64 // octets that may still be hashed
	over   bool  // the budget was used up

	rawLines [][]byte
	rawAt    []int64 // where each line begins in the body as it was given
}

func (s *bodySearch) bounded() bool { return s.over }

// spend takes n octets off the budget; false if there are not so many left.
func (s *bodySearch) spend(n int) bool {
	s.budget -= int64(n) + 64
	if s.budget < 0 {
		s.over = true
		return false
	}
	return true
}

// A text is a body in lines, with the canonical form of each.
type text struct {
	lines [][]byte
	canon []byte
	at    []int // where the canonical form of each line begins; one more at the end
	end   int   // lines up to and with the last that is not empty
}

func (t *text) empty(i int) bool     { return t.at[i+1]-t.at[i] == 2 }
func (t *text) cut(i, j int) []byte  { return t.canon[t.at[i]:t.at[j]] }
func (t *text) join(i, j int) []byte { return bytes.Join(t.lines[i:j], nil) }

func (s *bodySearch) text(b []byte) *text { return s.ofLines(splitLines(b)) }

func (s *bodySearch) ofLines(lines [][]byte) *text {
	t := &text{lines: lines, at: make([]int, 1, len(lines)+1)}
	n := 0
	for _, l := range lines {
		n += len(l) + 2
	}
	t.canon = make([]byte, 0, n)
	for i, l := range lines {
		l = bytes.TrimSuffix(bytes.TrimSuffix(l, []byte{'\n'}), []byte{'\r'})
		before := len(t.canon)
		if s.form == Relaxed {
			t.canon = appendRelaxedLine(t.canon, l)
		} else {
			t.canon = append(t.canon, l...)
		}
		if len(t.canon) > before {
			t.end = i + 1
		}
		t.canon = append(t.canon, '\r', '\n')
		t.at = append(t.at, len(t.canon))
	}
	return t
}

// appendRelaxedLine appends a line of a body in the relaxed form (§3.4.4).
func appendRelaxedLine(dst, l []byte) []byte {
	space := false
	for _, c := range l {
		if c == ' ' || c == '\t' {
			space = true
			continue
		}
		if space {
			dst = append(dst, ' ')
			space = false
		}
		dst = append(dst, c)
	}
	return dst
}

// trim is j, moved up over empty lines, not beyond i.
func (t *text) trim(i, j int) int {
	for j > i && t.empty(j-1) {
		j--
	}
	return j
}

func clone(h hash.Hash) hash.Hash {
	c, err := h.(hash.Cloner).Clone()
	if err != nil {
		panic("dkim: a hash that cannot be cloned: " + err.Error())
	}
	return c
}

// is reports whether what was hashed into h (n octets), followed by rest, is the
// signed body. h is used up.
func (s *bodySearch) is(h hash.Hash, n int, rest []byte) bool {
	if s.length >= 0 {
		left := s.length - int64(n)
		if left < 0 || left > int64(len(rest)) {
			return false
		}
		rest = rest[:left]
	}
	h.Write(rest)
	return bytes.Equal(h.Sum(nil), s.want)
}

// whole reports whether lines i to j alone are the signed body.
func (s *bodySearch) whole(t *text, i, j int) bool {
	j = t.trim(i, j)
	rest := t.cut(i, j)
	if i == j && s.form == Simple {
		rest = crlf // §3.4.3
	}
	return s.spend(len(rest)) && s.is(s.hash.New(), 0, rest)
}

// prefix finds the number of lines from i on, up to j, that are the signed body;
// -1 if there is none. It is one pass, whatever the number of lines.
func (s *bodySearch) prefix(t *text, i, j int) int {
	if s.length >= 0 || !s.spend(t.at[j]-t.at[i]) {
		return -1 // what is beyond l= does not matter anyway
	}
	if s.whole(t, i, i) {
		return i // there was no body at all
	}
	h := s.hash.New()
	var sum [64]byte
	blank := i
	for k := i; k < j; k++ {
		if t.empty(k) {
			continue
		}
		h.Write(t.cut(blank, k+1))
		blank = k + 1
		if !s.spend(0) {
			return -1
		}
		if bytes.Equal(h.Sum(sum[:0]), s.want) {
			return k + 1
		}
	}
	return -1
}

// run searches. The result is nil if nothing was found.
func (s *bodySearch) run(raw []byte, h *Header) []Change {
	s.rawLines = splitLines(raw)
	s.rawAt = make([]int64, len(s.rawLines)+1)
	for i, l := range s.rawLines {
		s.rawAt[i+1] = s.rawAt[i] + int64(len(l))
	}
	b := toCRLF(raw)
	t := s.text(b)
	top := part{to: len(t.lines), ctype: "text/plain", encoding: "7bit"}
	if f, ok := h.first("Content-Type"); ok {
		top.mediaType(value(f))
	}
	if f, ok := h.first("Content-Transfer-Encoding"); ok {
		top.encoding = strings.ToLower(value(f))
	}
	if len(b) != len(raw) && s.asGiven(raw) {
		return []Change{{Kind: LineEnds, Index: -1, Offset: -1}}
	}
	if c := s.cheap(t); c != nil {
		return c
	}
	var ps []part
	if top.multi {
		ps = parts(t.lines, 0, len(t.lines), top.boundary, 1, nil)
	}
	// The message as a part of a new multipart: a list that adds its footer as
	// another part does this.
	for _, p := range ps {
		if p.depth > 2 {
			continue
		}
		wrapped := Change{Kind: Wrapped, Index: -1, Offset: s.rawAt[0], Length: s.rawAt[p.content], Is: s.is2(0, p.content)}
		if s.whole(t, p.content, p.to) {
			return []Change{wrapped}
		}
		if k := s.prefix(t, p.content, p.to); k >= 0 {
			return []Change{wrapped, s.change(FooterAdded, k, p.to)}
		}
	}
	if c := s.rewritten(t); c != nil {
		return c
	}
	if c := s.recoded(t, top, ps, nil); c != nil {
		return c
	}
	if c := s.recharset(t, top, ps); c != nil {
		return c
	}
	for _, p := range ps {
		if p.depth == 1 && p.content < p.to {
			sub := s.ofLines(t.lines[p.content:p.to])
			inner := part{to: len(sub.lines), ctype: p.ctype, encoding: p.encoding, charset: p.charset, boundary: p.boundary, multi: p.multi}
			var ips []part
			if p.multi {
				ips = parts(sub.lines, 0, len(sub.lines), p.boundary, 1, nil)
			}
			wrapped := Change{Kind: Wrapped, Index: -1, Offset: 0, Length: s.rawAt[p.content], Is: s.is2(0, p.content)}
			if c := s.recoded(sub, inner, ips, &wrapped); c != nil {
				return c
			}
		}
	}
	if c := s.withinEncoded(t, top, ps); c != nil {
		return c
	}
	if c := s.withinHTML(t, top, ps); c != nil {
		return c
	}
	return s.blocks(t, top, ps)
}

// withinEncoded takes the last lines off a text that is encoded, and encodes it
// again: a list that adds its footer to base64 does the reverse.
func (s *bodySearch) withinEncoded(t *text, top part, ps []part) []Change {
	for _, p := range leaves(top, ps) {
		if !strings.HasPrefix(p.ctype, "text/") || p.encoding != "base64" && p.encoding != "quoted-printable" {
			continue
		}
		content := t.join(p.content, p.to)
		plain := decodeB64(content)
		if p.encoding == "quoted-printable" {
			plain = decodeQP(content)
		}
		end := len(plain)
		for range 60 {
			if end <= 0 || s.over {
				break
			}
			end = bytes.LastIndexByte(plain[:end-1], '\n') + 1
			kept := plain[:end]
			for _, k := range [][]byte{kept, bytes.TrimSuffix(bytes.TrimSuffix(kept, crlf[1:]), crlf[:1])} {
				for _, was := range []string{p.encoding, "base64", "quoted-printable", "8bit", "7bit"} {
					if !s.spend(len(t.canon)) {
						return nil
					}
					b := recode(t, []part{p}, top.multi, func([]byte) []byte {
						switch was {
						case "base64":
							return encodeB64(k, 76)
						case "quoted-printable":
							return encodeQP(k)
						}
						return toCRLF(k)
					}, "", was)
					n := s.text(b)
					if !s.whole(n, 0, len(n.lines)) {
						continue
					}
					c := Change{Kind: FooterAdded, Index: -1, Offset: -1, Is: clip(string(plain[len(k):]))}
					if top.multi {
						c.Kind = TextInserted
					}
					if was == p.encoding {
						return []Change{c}
					}
					return []Change{{Kind: EncodingChanged, Index: -1, Offset: s.rawAt[p.content], Length: s.rawAt[p.to] - s.rawAt[p.content], Is: p.encoding, Was: was}, c}
				}
			}
		}
	}
	return nil
}

// withinHTML takes text from behind <body> and from before </body> of a part of
// HTML, where banners and footers go that are no lines of their own.
func (s *bodySearch) withinHTML(t *text, top part, ps []part) []Change {
	const most = 8 << 10 // octets of a banner or footer
	for _, p := range leaves(top, ps) {
		if p.ctype != "text/html" {
			continue
		}
		html := t.join(p.content, p.to)
		lower := bytes.ToLower(html)
		try := func(from, to int) []Change {
			if from >= to || !s.spend(len(t.canon)) {
				return nil
			}
			n := s.text(recode(t, []part{p}, top.multi, func(b []byte) []byte {
				return append(append([]byte(nil), b[:from]...), b[to:]...)
			}, "", p.encoding))
			if !s.whole(n, 0, len(n.lines)) {
				return nil
			}
			// The place in the body as it was given; its bare LFs have become CRLF.
			bare := int64(0)
			for i := p.content; i < p.to && bytes.Count(html[:from], crlf[1:]) > i-p.content; i++ {
				bare += int64(len(t.lines[i]) - len(s.rawLines[i]))
			}
			is := string(html[from:to])
			if bare > 0 {
				is = strings.ReplaceAll(is, "\r\n", "\n")
			}
			return []Change{{Kind: TextInserted, Index: -1, Offset: s.rawAt[p.content] + int64(from) - bare, Length: int64(len(is)), Is: clip(is)}}
		}
		// A tag begins or ends there, or a line.
		edge := func(i int) bool {
			return html[i] == '<' || i > 0 && (html[i-1] == '>' || html[i-1] == '\n')
		}
		if e := bytes.LastIndex(lower, []byte("</body")); e > 0 {
			for i := e - 1; i >= max(0, e-most) && !s.over; i-- {
				if edge(i) {
					if c := try(i, e); c != nil {
						return c
					}
				}
			}
		}
		if b := bytes.Index(lower, []byte("<body")); b >= 0 {
			if g := bytes.IndexByte(html[b:], '>'); g >= 0 {
				b += g + 1
				for i := b + 1; i < min(len(html), b+most) && !s.over; i++ {
					if edge(i) {
						if c := try(b, i); c != nil {
							return c
						}
					}
				}
			}
		}
	}
	return nil
}

// is2 is the text of lines i to j as they were given.
func (s *bodySearch) is2(i, j int) string {
	var b strings.Builder
	for ; i < j && b.Len() < MaxChangeText; i++ {
		b.Write(s.rawLines[i])
	}
	return clip(b.String())
}

// change is one of whole lines of the body as it was given, which were not there.
func (s *bodySearch) change(k ChangeKind, i, j int) Change {
	return Change{Kind: k, Index: -1, Offset: s.rawAt[i], Length: s.rawAt[j] - s.rawAt[i], Is: s.is2(i, j)}
}

// asGiven: bare LFs were in the body when it was signed, and hashed as they are.
func (s *bodySearch) asGiven(raw []byte) bool {
	var lines [][]byte
	for _, l := range bytes.SplitAfter(raw, crlf) {
		lines = append(lines, l)
	}
	t := &text{at: []int{0}}
	for _, l := range lines {
		l = bytes.TrimSuffix(l, crlf)
		if s.form == Relaxed {
			t.canon = appendRelaxedLine(t.canon, l)
		} else {
			t.canon = append(t.canon, l...)
		}
		t.canon = append(t.canon, '\r', '\n')
		t.at = append(t.at, len(t.canon))
	}
	return s.whole(t, 0, len(lines))
}

// cheap tries what costs one pass, or little more: text after the end, before
// the beginning.
func (s *bodySearch) cheap(t *text) []Change {
	if k := s.prefix(t, 0, len(t.lines)); k >= 0 {
		return []Change{s.change(FooterAdded, k, len(t.lines))}
	}
	for j := 1; j <= min(len(t.lines), 64); j++ {
		if s.whole(t, j, len(t.lines)) {
			k := BannerAdded
			if t.trim(0, j) == 0 {
				k = BlankLines
			}
			return []Change{s.change(k, 0, j)}
		}
	}
	return nil
}

// mapLines makes a body of lines that f gives for each line, without its CRLF;
// nil if no line is another one.
func mapLines(t *text, f func(l []byte) []byte) []byte {
	var out []byte
	changed := false
	for i, l := range t.lines {
		body := bytes.TrimSuffix(bytes.TrimSuffix(l, crlf[1:]), crlf[:1])
		end := l[len(body):]
		n := f(body)
		if !changed && !bytes.Equal(n, body) {
			changed = true
			out = append(make([]byte, 0, len(t.canon)), bytes.Join(t.lines[:i], nil)...)
		}
		if changed {
			out = append(append(out, n...), end...)
		}
	}
	return out
}

var gt = []byte(">")

// rewritings undo changes that go through the whole body. Each gives nil if the
// body shows nothing of the kind.
var rewritings = []struct {
	kind   ChangeKind
	simple bool // relaxed forgives it
	undo   func(t *text) []byte
}{
	{SpaceAdded, true, func(t *text) []byte {
		return mapLines(t, func(l []byte) []byte { return bytes.TrimRight(l, " \t") })
	}},
	{SpaceAdded, true, func(t *text) []byte {
		return mapLines(t, func(l []byte) []byte { return appendRelaxedLine(nil, l) })
	}},
	{SpaceRemoved, true, func(t *text) []byte {
		return mapLines(t, func(l []byte) []byte {
			if string(l) == "--" {
				return []byte("-- ")
			}
			return l
		})
	}},
	{FromQuoted, false, func(t *text) []byte {
		return mapLines(t, func(l []byte) []byte {
			if bytes.HasPrefix(bytes.TrimLeft(l, ">"), []byte("From ")) {
				return bytes.TrimPrefix(l, gt)
			}
			return l
		})
	}},
	{DotsChanged, false, func(t *text) []byte {
		return mapLines(t, func(l []byte) []byte {
			if bytes.HasPrefix(l, []byte("..")) {
				return l[1:]
			}
			return l
		})
	}},
	{DotsChanged, false, func(t *text) []byte {
		return mapLines(t, func(l []byte) []byte {
			if bytes.HasPrefix(l, []byte(".")) {
				return append([]byte("."), l...)
			}
			return l
		})
	}},
	{LineEnds, false, func(t *text) []byte {
		return mapLines(t, func(l []byte) []byte { return bytes.ReplaceAll(l, crlf[:1], nil) })
	}},
	{LineEnds, false, func(t *text) []byte {
		// Each line end was doubled.
		var out []byte
		for i := 0; i < len(t.lines); i += 2 {
			if i+1 < len(t.lines) && !t.empty(i+1) {
				return nil
			}
			out = append(out, t.lines[i]...)
		}
		return out
	}},
	{BlankLines, false, func(t *text) []byte { return append([]byte("\r\n"), t.join(0, len(t.lines))...) }},
	{BlankLines, false, func(t *text) []byte {
		// Several empty lines in a row became one, or one became several: the
		// latter can be undone.
		var out []byte
		changed := false
		for i, l := range t.lines {
			if i > 0 && t.empty(i) && t.empty(i-1) {
				changed = true
				continue
			}
			out = append(out, l...)
		}
		if !changed {
			return nil
		}
		return out
	}},
	// Lines over 998 octets (RFC 5321 §4.5.3.1.6) are broken: Postfix puts CRLF
	// and a space, sendmail "!", CRLF and a space, others CRLF alone.
	{LinesBroken, false, func(t *text) []byte { return joinLong(t, "", " ") }},
	{LinesBroken, false, func(t *text) []byte { return joinLong(t, "!", " ") }},
	{LinesBroken, false, func(t *text) []byte { return joinLong(t, "", "") }},
}

// joinLong joins lines of 900 octets and more with the next.
func joinLong(t *text, before, after string) []byte {
	var out []byte
	changed := false
	for i, l := range t.lines {
		text := bytes.TrimRight(l, "\r\n")
		if i > 0 && len(t.lines[i-1]) >= 900 && bytes.HasPrefix(l, []byte(after)) && bytes.HasSuffix(bytes.TrimRight(out, "\r\n"), []byte(before)) {
			out = bytes.TrimSuffix(bytes.TrimRight(out, "\r\n"), []byte(before))
			text = bytes.TrimPrefix(text, []byte(after))
			changed = true
		}
		out = append(append(out, text...), l[len(bytes.TrimRight(l, "\r\n")):]...)
	}
	if !changed {
		return nil
	}
	return out
}

// rewritten undoes changes that go through the whole body, and text after the
// end with them.
func (s *bodySearch) rewritten(t *text) []Change {
	for _, r := range rewritings {
		if r.simple && s.form == Relaxed || s.over {
			continue
		}
		b := r.undo(t)
		if b == nil {
			continue
		}
		n := s.text(b)
		k := s.prefix(n, 0, len(n.lines))
		if k < 0 {
			if !s.whole(n, 0, len(n.lines)) {
				continue
			}
			k = n.end
		}
		at := firstDifference(t, n)
		out := []Change{{Kind: r.kind, Index: -1, Offset: s.rawAt[at], Length: int64(len(s.rawLines[at])), Is: s.is2(at, at+1), Was: clip(string(n.lines[min(at, len(n.lines)-1)]))}}
		if k < n.end {
			out = append(out, Change{Kind: FooterAdded, Index: -1, Offset: -1, Is: clip(string(n.join(k, len(n.lines))))})
		}
		return out
	}
	return nil
}

// firstDifference is the first line of t that n has not at the same place.
func firstDifference(t, n *text) int {
	i := 0
	for i < len(t.lines)-1 && i < len(n.lines) && bytes.Equal(t.lines[i], n.lines[i]) {
		i++
	}
	return i
}

// A recoding undoes a change of transfer encoding: it makes what was of what is.
type recoding struct {
	is  []string // transfer encodings that the part says it has
	was []string // what its header may have said
	do  func(b []byte) []byte
	// text: of parts of text only; an attachment was base64 all along.
	text bool
}

var recodings = []recoding{
	{[]string{"quoted-printable"}, []string{"8bit", "7bit", "8BIT", "7BIT"}, decodeQP, false},
	{[]string{"base64"}, []string{"8bit", "7bit", "8BIT", "7BIT"}, func(b []byte) []byte { return toCRLF(decodeB64(b)) }, true},
	{[]string{"base64"}, []string{"quoted-printable"}, func(b []byte) []byte { return encodeQP(toCRLF(decodeB64(b))) }, true},
	{[]string{"quoted-printable"}, []string{"base64"}, func(b []byte) []byte { return encodeB64(decodeQP(b), 76) }, false},
	{[]string{"8bit", "7bit", "binary"}, []string{"quoted-printable"}, encodeQP, true},
	{[]string{"8bit", "7bit", "binary"}, []string{"base64"}, func(b []byte) []byte { return encodeB64(b, 76) }, true},
	{[]string{"8bit", "7bit", "binary"}, []string{"base64"}, func(b []byte) []byte { return encodeB64(b, 72) }, true},
	{[]string{"8bit", "7bit", "binary"}, []string{"base64"}, func(b []byte) []byte { return encodeB64(bytes.ReplaceAll(b, crlf, crlf[1:]), 76) }, true},
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// leaves are the parts that hold something.
func leaves(top part, ps []part) []part {
	if !top.multi {
		return []part{top}
	}
	var out []part
	for _, p := range ps {
		if !p.multi {
			out = append(out, p)
		}
	}
	return out
}

// recoded undoes changes of the transfer encoding: of all parts that have it,
// and of one alone. around is the change that brought the body into a part.
func (s *bodySearch) recoded(t *text, top part, ps []part, around *Change) []Change {
	for _, r := range recodings {
		var of []part
		for _, p := range leaves(top, ps) {
			if contains(r.is, p.encoding) && p.content < p.to && (!r.text || strings.HasPrefix(p.ctype, "text/")) {
				of = append(of, p)
			}
		}
		groups := [][]part{of}
		if len(of) > 1 {
			for i := range min(len(of), 8) {
				groups = append(groups, of[i:i+1])
			}
		}
		for _, g := range groups {
			if len(g) == 0 {
				continue
			}
			was := r.was
			if !top.multi {
				was = was[:1] // the header says it, not the body
			}
			for _, w := range was {
				c := Change{Kind: EncodingChanged, Is: g[0].encoding, Was: w}
				if out := s.tryParts(t, g, top.multi, c, r.do, "", w, around); out != nil {
					return out
				}
				if s.over {
					return nil
				}
			}
		}
	}
	return nil
}

// The charsets that a text may have been in, and the transfer encodings that go
// with them.
var charsets = []struct {
	name string
	enc  encoding.Encoding
	was  []string
}{
	{"iso-2022-jp", japanese.ISO2022JP, []string{"7bit"}},
	{"utf-8", unicode.UTF8, []string{"8bit", "base64", "quoted-printable"}},
	{"shift_jis", japanese.ShiftJIS, []string{"8bit", "base64", "quoted-printable"}},
	{"euc-jp", japanese.EUCJP, []string{"8bit", "base64"}},
	{"iso-8859-1", charmap.ISO8859_1, []string{"8bit", "quoted-printable"}},
	{"windows-1252", charmap.Windows1252, []string{"8bit", "quoted-printable"}},
}

// recharset undoes a change of the charset, with the transfer encoding that goes
// with it, in the parts of text that have one charset.
func (s *bodySearch) recharset(t *text, top part, ps []part) []Change {
	for _, is := range charsets {
		var of []part
		for _, p := range leaves(top, ps) {
			if p.charset == is.name && strings.HasPrefix(p.ctype, "text/") && p.content < p.to {
				of = append(of, p)
			}
		}
		if len(of) == 0 {
			continue
		}
		for _, was := range charsets {
			if was.name == is.name {
				continue
			}
			for _, cte := range was.was {
				do := func(b []byte) []byte {
					switch of[0].encoding {
					case "base64":
						b = toCRLF(decodeB64(b))
					case "quoted-printable":
						b = decodeQP(b)
					}
					plain, err := is.enc.NewDecoder().Bytes(b)
					if err != nil {
						return nil
					}
					if b, err = was.enc.NewEncoder().Bytes(plain); err != nil {
						return nil
					}
					switch cte {
					case "base64":
						b = encodeB64(b, 76)
					case "quoted-printable":
						b = encodeQP(b)
					}
					return b
				}
				for _, name := range []string{was.name, strings.ToUpper(was.name)} {
					c := Change{Kind: CharsetChanged, Is: is.name, Was: was.name}
					if out := s.tryParts(t, of, top.multi, c, do, name, cte, nil); out != nil {
						return out
					}
					if s.over {
						return nil
					}
					if !top.multi {
						break // the header says it, not the body
					}
				}
			}
		}
	}
	return nil
}

// tryParts hashes the body with the parts of as do makes them, to its end and to
// every line before. c is the change that this undoes.
func (s *bodySearch) tryParts(t *text, of []part, nested bool, c Change, do func([]byte) []byte, charset, encoding string, around *Change) []Change {
	if s.over || !s.spend(len(t.canon)) {
		return nil
	}
	n := s.text(recode(t, of, nested, do, charset, encoding))
	k := s.prefix(n, 0, len(n.lines))
	if k < 0 {
		if s.length < 0 || !s.whole(n, 0, len(n.lines)) {
			return nil
		}
		k = n.end
	}
	var out []Change
	c.Index, c.Offset = -1, -1
	if around != nil {
		out = append(out, *around)
	} else {
		c.Offset, c.Length = s.rawAt[of[0].content], s.rawAt[of[0].to]-s.rawAt[of[0].content]
	}
	out = append(out, c)
	if k < n.end {
		out = append(out, Change{Kind: FooterAdded, Index: -1, Offset: -1, Is: clip(string(n.join(k, len(n.lines))))})
	}
	return out
}

// recode makes a body in which the parts of are as they were, and their headers
// say so.
func recode(t *text, of []part, nested bool, do func([]byte) []byte, charset, encoding string) []byte {
	var out []byte
	line := 0
	for _, p := range of {
		out = append(out, t.join(line, p.from)...)
		for i := p.from; i < p.content; i++ {
			l := string(t.lines[i])
			name, val, ok := strings.Cut(l, ":")
			lower := strings.ToLower(l)
			switch {
			case ok && strings.EqualFold(strings.TrimSpace(name), "Content-Transfer-Encoding"):
				l = name + ":" + val[:len(val)-len(strings.TrimLeft(val, " \t"))] + encoding + "\r\n"
			case charset != "" && strings.Contains(lower, p.charset):
				k := strings.Index(lower, p.charset)
				l = l[:k] + charset + l[k+len(p.charset):]
			}
			out = append(out, l...)
		}
		content := t.join(p.content, p.to)
		if nested {
			// The CRLF before a delimiter is the delimiter's (RFC 2046 §5.1.1).
			content = bytes.TrimSuffix(content, crlf)
		}
		content = do(content)
		out = append(out, content...)
		if nested && !(encoding == "base64" && bytes.HasSuffix(content, crlf)) {
			out = append(out, '\r', '\n')
		}
		line = p.to
	}
	return append(out, t.join(line, len(t.lines))...)
}

// blocks takes whole lines out, one run of them at any place; first where such
// things are put, then everywhere, as far as the budget goes.
func (s *bodySearch) blocks(t *text, top part, ps []part) []Change {
	n := len(t.lines)
	if n == 0 || n > 200_000 {
		s.over = s.over || n > 0
		return nil
	}
	// Hashes of the lines before each line, made when needed and in order.
	states := make([]hash.Hash, n+1)
	states[0] = s.hash.New()
	made := 0
	state := func(i int) hash.Hash {
		if states[i] != nil {
			return clone(states[i])
		}
		from := i
		for states[from] == nil {
			from--
		}
		if !s.spend(t.at[i] - t.at[from]) {
			return nil
		}
		h := clone(states[from])
		h.Write(t.cut(from, i))
		if made < 20_000 {
			states[i] = clone(h)
			made++
		}
		return h
	}
	without := func(i, j int) bool {
		end := t.trim(j, n)
		if j >= end || s.length >= 0 && int64(t.at[i]) >= s.length {
			return false // the end was tried before
		}
		if !s.spend(t.at[end] - t.at[j]) {
			return false
		}
		h := state(i)
		return h != nil && s.is(h, t.at[i], t.cut(j, end))
	}
	inPart := func(i, j int) ChangeKind {
		for _, p := range ps {
			// A part's delimiter is the line before its header.
			if i == p.from-1 && j == p.to {
				return PartAdded
			}
		}
		return TextInserted
	}
	found := func(i, j int) []Change { return []Change{s.change(inPart(i, j), i, j)} }
	// A part, with the delimiter before it.
	for _, p := range ps {
		if p.from > 0 && without(p.from-1, p.to) {
			return found(p.from-1, p.to)
		}
	}
	// The end and the beginning of a part.
	for _, p := range ps {
		if p.multi {
			continue
		}
		for i := p.to - 1; i > max(p.content-1, p.to-200) && !s.over; i-- {
			if without(i, p.to) {
				return found(i, p.to)
			}
			if p.to-1 > i && t.empty(p.to-1) && without(i, p.to-1) {
				return found(i, p.to-1)
			}
		}
		for j := p.content + 1; j < min(p.to, p.content+100) && !s.over; j++ {
			if without(p.content, j) {
				return found(p.content, j)
			}
		}
	}
	if c := s.twoParts(t, ps, state); c != nil {
		return c
	}
	// One line anywhere, then two, then more.
	for size := 1; size < n && !s.over; size++ {
		for i := 0; i+size < n && !s.over; i++ {
			if without(i, i+size) {
				return found(i, i+size)
			}
		}
	}
	return nil
}

// twoParts takes lines from the ends of two parts of text, as where a footer is
// put into the plain text and into the HTML of one message.
func (s *bodySearch) twoParts(t *text, ps []part, state func(int) hash.Hash) []Change {
	var texts []part
	for _, p := range ps {
		if strings.HasPrefix(p.ctype, "text/") && p.content < p.to {
			texts = append(texts, p)
		}
	}
	if len(texts) < 2 {
		return nil
	}
	a, b := texts[0], texts[1]
	end := t.trim(b.to, len(t.lines))
	const most = 40
	// The end of a part may be an empty line that was there before.
	for _, ea := range []int{a.to, a.to - 1} {
		for _, eb := range []int{b.to, b.to - 1} {
			for i := ea - 1; i >= max(a.content, ea-most) && !s.over; i-- {
				h := state(i)
				if h == nil || eb <= b.content {
					break
				}
				from := max(b.content, eb-most)
				if !s.spend(t.at[from] - t.at[ea]) {
					break
				}
				h.Write(t.cut(ea, from))
				for k := from; k < eb; k++ {
					if !s.spend(t.at[end] - t.at[eb]) {
						return nil
					}
					if s.is(clone(h), t.at[i]+t.at[k]-t.at[ea], t.cut(eb, max(end, eb))) {
						return []Change{s.change(TextInserted, i, ea), s.change(TextInserted, k, eb)}
					}
					h.Write(t.cut(k, k+1))
				}
			}
		}
	}
	return nil
}
