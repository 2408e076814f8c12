package dkim

import (
	"bytes"
	"hash"
	"mime"
	"slices"
	"strings"
)

// An edit is one change of the header undone.
type edit struct {
	drop    int    // the field that was not there; -1
	replace int    // the field that was otherwise; -1
	add     string // the name, in lower case, of a field that is gone
	raw     []byte // what it was, name and CRLF and all
	change  Change
	group   string // of edits of one group at most one is tried at a time
}

// A headerSearch undoes changes of the header until the signature is right.
type headerSearch struct {
	v       *Verification
	h       *Header
	to      hash.Hash
	trials  int
	budget  int // octets that may still be hashed
	over    bool
	own     []byte
	byName  map[string][]int // fields that h= may select, bottom-most first
	names   []string         // h= in lower case
	scratch []byte
}

// header undoes changes of the header.
func (d *Diagnosis) header(v *Verification, h *Header) {
	s := &headerSearch{v: v, h: h, to: v.Algorithm.Hash().New(), trials: maxRSATrials, budget: maxHashed, byName: map[string][]int{}}
	if v.Signed == nil {
		s.trials = maxEdTrials
	}
	s.own = v.withoutB(nil, v.HeaderForm)
	for _, n := range v.Names {
		l := strings.ToLower(n)
		s.names = append(s.names, l)
		if _, ok := s.byName[l]; !ok {
			all := h.All(l)
			slices.Reverse(all)
			s.byName[l] = slices.DeleteFunc(all, func(i int) bool { return i == v.Index })
		}
	}
	edits := s.edits()
	if found := s.search(edits); found != nil {
		for _, e := range found {
			c := e.change
			c.Proven = true
			d.Changes = append(d.Changes, c)
		}
		d.HeaderProven = true
		return
	}
	d.Bounded = d.Bounded || s.over
	d.Changes = append(d.Changes, s.likely(edits)...)
}

// right reports whether the signature is right with these edits.
func (s *headerSearch) right(es ...*edit) bool {
	if s.trials--; s.trials < 0 || s.budget < 0 {
		s.over = true
		return false
	}
	s.to.Reset()
	own := s.own
	used := map[string]int{}
	for _, name := range s.names {
		if name == "" {
			continue
		}
		fields := s.byName[name]
		k := used[name]
		for k < len(fields) && slices.ContainsFunc(es, func(e *edit) bool { return e.drop == fields[k] }) {
			k++
		}
		used[name] = k + 1
		if k >= len(fields) {
			// Nothing is left: what is gone stood here, once.
			for _, e := range es {
				if e.add == name && k == len(fields) {
					s.write(e.raw)
				}
			}
			continue
		}
		var by *edit
		for _, e := range es {
			if e.replace == fields[k] {
				by = e
			}
		}
		if by != nil {
			s.write(by.raw)
		} else {
			s.put(s.h.canonical(fields[k], s.v.HeaderForm))
		}
	}
	for _, e := range es {
		if e.replace == s.v.Index && e.replace >= 0 {
			own = e.raw
		}
	}
	s.put(own)
	var buf [64]byte
	sum := s.to.Sum(buf[:0])
	if s.v.Signed != nil {
		return bytes.Equal(sum, s.v.Signed)
	}
	return s.v.Key.check(s.v.Algorithm, sum, s.v.Signature.Signature).Match == Matches
}

func (s *headerSearch) write(raw []byte) {
	if s.v.HeaderForm == Simple {
		s.put(raw)
		return
	}
	s.scratch = AppendRelaxed(s.scratch[:0], raw)
	s.put(s.scratch)
}

func (s *headerSearch) put(b []byte) {
	s.budget -= len(b)
	s.to.Write(b)
}

// search tries single edits, then two and three together, of different groups.
func (s *headerSearch) search(es []*edit) []*edit {
	for _, e := range es {
		if s.right(e) {
			return []*edit{e}
		}
	}
	// All that z= says, together; then without the ones that are not needed.
	var copies []*edit
	for _, e := range es {
		if e.group == "z" {
			copies = append(copies, e)
		}
	}
	if len(copies) > 1 && s.right(copies...) {
		for i := 0; i < len(copies); {
			less := slices.Delete(slices.Clone(copies), i, i+1)
			if len(less) > 0 && s.right(less...) {
				copies = less
			} else {
				i++
			}
		}
		return copies
	}
	if s.v.HeaderForm == Simple {
		for _, set := range s.uniform() {
			if len(set) > 1 && s.right(set...) {
				return set
			}
		}
	}
	for i, a := range es {
		for _, b := range es[i+1:] {
			if s.over {
				return nil
			}
			if fits(a, b) && s.right(a, b) {
				return []*edit{a, b}
			}
		}
	}
	for i, a := range es {
		for j, b := range es[i+1:] {
			if !fits(a, b) {
				continue
			}
			for _, c := range es[i+1+j+1:] {
				if s.over {
					return nil
				}
				if fits(a, c) && fits(b, c) && s.right(a, b, c) {
					return []*edit{a, b, c}
				}
			}
		}
	}
	return nil
}

// fits reports whether two edits can be tried together.
func fits(a, b *edit) bool {
	if a.group == b.group && a.group != "" && a.group != "drop" && a.group != "z" {
		return false
	}
	touch := func(e *edit) int { return max(e.drop, e.replace) }
	return touch(a) < 0 || touch(a) != touch(b)
}

// edits are the changes that are worth undoing, likeliest first.
func (s *headerSearch) edits() []*edit {
	var extra, z, likely, other []*edit
	v, h := s.v, s.h
	replace := func(to *[]*edit, i int, kind ChangeKind, group, text string) {
		f := h.Fields[i]
		raw := []byte(f.Name() + ":" + text + "\r\n")
		if bytes.Equal(raw, f.Raw) || v.HeaderForm == Relaxed && bytes.Equal(AppendRelaxed(nil, raw), h.canonical(i, Relaxed)) {
			return
		}
		*to = append(*to, &edit{drop: -1, replace: i, raw: raw, group: group, change: Change{
			Kind: kind, Field: f.Name(), Index: i, Offset: -1, Is: clip(f.Value()), Was: clip(text),
		}})
	}
	add := func(to *[]*edit, name, text string) {
		*to = append(*to, &edit{drop: -1, replace: -1, add: strings.ToLower(name), raw: []byte(name + ":" + text + "\r\n"), group: "add " + strings.ToLower(name), change: Change{
			Kind: FieldRemoved, Field: name, Index: -1, Offset: -1, Was: clip(text),
		}})
	}
	// z=: what the signer says that it signed.
	copied := map[string][]Copied{}
	for _, c := range v.Copied {
		l := strings.ToLower(c.Name)
		copied[l] = append(copied[l], c)
	}
	seen := map[string]int{}
	for k, name := range s.names {
		n := seen[name]
		seen[name]++
		cs := copied[name]
		if n >= len(cs) || len(z) >= 200 {
			continue
		}
		if n < len(s.byName[name]) {
			kind := FieldChanged
			switch name {
			case "subject":
				kind = SubjectTagged
			case "from":
				kind = FromRewritten
			}
			i := s.byName[name][n]
			if kind == SubjectTagged && !strings.HasSuffix(value(h.Fields[i]), strings.TrimSpace(strings.ReplaceAll(cs[n].Value, "\r\n", ""))) {
				kind = FieldChanged
			}
			before := len(z)
			replace(&z, i, kind, "z", cs[n].Value)
			if len(z) > before && v.HeaderForm == Simple && bytes.Equal(AppendRelaxed(nil, z[before].raw), h.canonical(i, Relaxed)) {
				z[before].change.Kind = Refolded
			}
		} else {
			before := len(z)
			add(&z, v.Names[k], cs[n].Value)
			z[before].group = "z"
		}
	}
	// What is there by the name of a field that is signed.
	done := map[string]bool{}
	for k, name := range s.names {
		if done[name] {
			continue
		}
		done[name] = true
		fields := s.byName[name]
		for n, i := range fields {
			if n >= 6 {
				break
			}
			f := h.Fields[i]
			val := f.Value()
			// One that was added. The author's address cannot have been missing.
			if name != "from" || len(fields) > 1 {
				to := &other
				if len(fields) > count(s.names, name) {
					to = &extra // there are more than were signed
				} else if name == "reply-to" || name == "sender" || strings.HasPrefix(name, "list-") || len(fields) > 1 {
					to = &likely
				}
				*to = append(*to, &edit{drop: i, replace: -1, group: "drop", change: Change{
					Kind: FieldAdded, Field: f.Name(), Index: i, Offset: -1, Is: clip(val),
				}})
			}
			if len(f.Raw) > maxValue {
				s.over = true
				continue
			}
			switch name {
			case "subject":
				for _, t := range untagged(val) {
					replace(&likely, i, SubjectTagged, "subject", t)
				}
			case "from":
				for _, t := range s.authors(val) {
					replace(&likely, i, FromRewritten, "from", t)
				}
			case "content-transfer-encoding":
				for _, t := range []string{" 8bit", " 7bit", " quoted-printable", " base64", " 8BIT", " 7BIT"} {
					replace(&other, i, FieldChanged, name, t)
				}
			case "mime-version":
				replace(&other, i, FieldChanged, name, " 1.0")
			case "content-type":
				for _, t := range contentTypes(val) {
					replace(&other, i, FieldChanged, name, t)
				}
			case "reply-to", "to", "cc":
				for _, t := range addressLists(val) {
					replace(&other, i, FieldChanged, name, t)
				}
			}
			// The original under another name, as lists and gateways keep it.
			for _, prefix := range []string{"X-Original-", "Original-", "Old-", "X-Orig-", "X-"} {
				for _, j := range first(h.All(prefix + name)) {
					kind := FieldChanged
					if name == "from" {
						kind = FromRewritten
					}
					replace(&likely, i, kind, name, h.Fields[j].Value())
				}
			}
			if v.HeaderForm == Simple {
				for _, t := range refolded(val) {
					replace(&other, i, Refolded, "fold "+name, t)
				}
			}
		}
		if len(fields) == 0 {
			// One that is gone: what it may have been.
			for _, prefix := range []string{"X-Original-", "Original-", "Old-", "X-Orig-"} {
				for _, j := range first(h.All(prefix + name)) {
					add(&likely, v.Names[k], h.Fields[j].Value())
				}
			}
			switch name {
			case "mime-version":
				add(&other, v.Names[k], " 1.0")
			case "content-transfer-encoding":
				for _, t := range []string{" 8bit", " 7bit", " quoted-printable", " base64"} {
					add(&other, v.Names[k], t)
				}
			case "content-type":
				for _, t := range []string{" text/plain", " text/plain; charset=utf-8", " text/plain; charset=\"utf-8\"", " text/plain; charset=UTF-8", " text/plain; charset=\"UTF-8\"", " text/plain; charset=us-ascii"} {
					add(&other, v.Names[k], t)
				}
			}
		}
	}
	if v.HeaderForm == Simple {
		// The signature itself is part of what is signed.
		other = append(other, s.ownFolds()...)
	}
	return slices.Concat(extra, z, likely, other)
}

// ownFolds are edits of the signature's own field.
func (s *headerSearch) ownFolds() []*edit {
	i := s.v.Index
	if i < 0 {
		return nil
	}
	var out []*edit
	colon := bytes.IndexByte(s.own, ':') + 1
	for _, t := range refolded(string(s.own[colon:])) {
		out = append(out, &edit{drop: -1, replace: i, raw: append(slices.Clone(s.own[:colon]), t...), group: "own", change: Change{
			Kind: Refolded, Field: s.h.Fields[i].Name(), Index: i, Offset: -1, Is: clip(s.h.Fields[i].Value()),
		}})
	}
	return out
}

// uniform are sets of edits that undo one way of folding in all fields at once,
// without the signature and with it.
func (s *headerSearch) uniform() [][]*edit {
	var out [][]*edit
	folds := strings.NewReplacer("\r\n\t", "\r\n ", "\r\n ", "\r\n\t")
	for _, f := range []func(v string) string{
		folds.Replace,
		func(v string) string { return strings.ReplaceAll(v, "\r\n", "") },
		func(v string) string { return strings.ReplaceAll(v, "\t", " ") },
		func(v string) string { return " " + strings.TrimLeft(v, " \t") },
		func(v string) string { return strings.TrimLeft(v, " \t") },
	} {
		var set []*edit
		for name, fields := range s.byName {
			for _, i := range fields[:min(len(fields), count(s.names, name))] {
				fd := s.h.Fields[i]
				if len(fd.Raw) > maxValue {
					continue
				}
				if t := f(fd.Value()); t != fd.Value() {
					set = append(set, &edit{drop: -1, replace: i, raw: []byte(fd.Name() + ":" + t + "\r\n"), change: Change{
						Kind: Refolded, Field: fd.Name(), Index: i, Offset: -1, Is: clip(fd.Value()), Was: clip(t),
					}})
				}
			}
		}
		slices.SortFunc(set, func(a, b *edit) int { return a.replace - b.replace })
		out = append(out, set)
		colon := bytes.IndexByte(s.own, ':') + 1
		if t := f(string(s.own[colon:])); s.v.Index >= 0 && t != string(s.own[colon:]) {
			own := &edit{drop: -1, replace: s.v.Index, raw: append(slices.Clone(s.own[:colon]), t...), change: Change{
				Kind: Refolded, Field: s.h.Fields[s.v.Index].Name(), Index: s.v.Index, Offset: -1, Is: clip(s.h.Fields[s.v.Index].Value()),
			}}
			out = append(out, append(slices.Clone(set), own))
		}
	}
	return out
}

// refolded are other ways in which a value may have been folded.
func refolded(v string) []string {
	unfold := strings.ReplaceAll(v, "\r\n", "")
	one := strings.Join(strings.FieldsFunc(unfold, func(r rune) bool { return r == ' ' || r == '\t' }), " ")
	out := []string{unfold, " " + one, one, strings.TrimRight(v, " \t")}
	for _, fold := range []string{"\r\n ", "\r\n\t", "\r\n        "} {
		out = append(out, " "+strings.ReplaceAll(one, ", ", ","+fold), " "+strings.ReplaceAll(one, "; ", ";"+fold))
		var lines []string
		for l := range strings.SplitSeq(v, "\r\n") {
			lines = append(lines, strings.Trim(l, " \t"))
		}
		out = append(out, " "+strings.Join(lines, fold))
		if words := strings.Fields(one); len(words) <= 32 {
			for i := 1; i < len(words); i++ { // one fold, anywhere
				out = append(out, " "+strings.Join(words[:i], " ")+fold+strings.Join(words[i:], " "))
			}
		}
		for _, width := range []int{72, 76, 78} {
			var b strings.Builder
			col := len("Subject:")
			for i, w := range strings.Fields(one) {
				if i > 0 && col+1+len(w) > width {
					b.WriteString(fold)
					col = len(fold) - 2
				} else {
					b.WriteByte(' ')
					col++
				}
				b.WriteString(w)
				col += len(w)
			}
			out = append(out, b.String())
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return slices.DeleteFunc(out, func(t string) bool { return t == v })
}

// untagged are subjects as they may have been before a tag was put before them.
func untagged(v string) []string {
	var out []string
	line := strings.TrimSpace(strings.ReplaceAll(v, "\r\n", ""))
	try := func(t string) {
		if t = " " + strings.TrimSpace(t); t != " "+line && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	bracket := func(t string) string { // without its first [tag]
		i := strings.IndexByte(t, '[')
		if i < 0 {
			return t
		}
		j := strings.IndexByte(t[i:], ']')
		if j < 0 {
			return t
		}
		return t[:i] + strings.TrimLeft(t[i+j+1:], " \t")
	}
	try(bracket(line))
	try(bracket(bracket(line)))
	// ***SPAM***, (was …), EXTERNAL: and so on: words before, words after.
	words := strings.Fields(line)
	for k := 1; k <= min(len(words)-1, 5); k++ {
		try(strings.TrimSpace(line[strings.Index(line, words[k-1])+len(words[k-1]):]))
		line2 := line
		for range k {
			line2 = strings.TrimLeft(line2, " \t")
			if i := strings.IndexAny(line2, " \t"); i >= 0 {
				line2 = line2[i:]
			}
		}
		try(line2)
	}
	if i := strings.LastIndexByte(line, '('); i > 0 {
		try(line[:i])
	}
	// A tag within an encoded word: decoded, and encoded again.
	if strings.Contains(line, "=?") {
		dec := mime.WordDecoder{CharsetReader: nil}
		if plain, err := dec.DecodeHeader(line); err == nil {
			for _, t := range []string{bracket(plain), bracket(bracket(plain))} {
				t = strings.TrimSpace(t)
				if t == plain || t == "" {
					continue
				}
				for _, cs := range []string{"UTF-8", "utf-8"} {
					for _, enc := range []mime.WordEncoder{mime.BEncoding, mime.QEncoding} {
						e := enc.Encode(cs, t)
						try(e)
						if len(e) > 10 {
							try(strings.NewReplacer("?b?", "?B?", "?q?", "?Q?").Replace(e))
						}
					}
				}
			}
		}
	}
	return out
}

// authors are values that From may have had before a list put its own address
// there: what Reply-To and others hold, and the old name with the old address.
func (s *headerSearch) authors(v string) []string {
	var out []string
	try := func(t string) {
		t = " " + strings.TrimSpace(t)
		if t != " " && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	name := strings.TrimSpace(strings.ReplaceAll(v, "\r\n", ""))
	if i := strings.LastIndexByte(name, '<'); i >= 0 {
		name = strings.TrimSpace(name[:i])
	}
	bare := strings.Trim(name, `"`)
	for _, mark := range []string{" via ", " (via ", "（"} {
		if i := strings.Index(bare, mark); i > 0 {
			bare = bare[:i]
		}
	}
	bare = strings.Trim(strings.TrimSpace(bare), `'"`)
	for _, n := range []string{"X-Original-From", "Original-From", "X-From", "Author", "Reply-To", "X-Original-Sender", "X-Google-Original-From", "Sender", "Cc"} {
		for _, i := range first(s.h.All(n)) {
			if len(s.h.Fields[i].Raw) > maxValue/4 {
				continue
			}
			val := value(s.h.Fields[i])
			try(val)
			for a := range strings.SplitSeq(val, ",") {
				try(a)
				addr := strings.TrimSpace(a)
				own := ""
				if k := strings.LastIndexByte(addr, '<'); k >= 0 {
					own = strings.Trim(strings.TrimSpace(addr[:k]), `"`)
					addr = strings.TrimSuffix(addr[k+1:], ">")
				}
				try(addr)
				try("<" + addr + ">")
				for _, nm := range []string{bare, own} {
					if nm != "" {
						try(nm + " <" + addr + ">")
						try(`"` + nm + `" <` + addr + ">")
						try(mime.QEncoding.Encode("utf-8", nm) + " <" + addr + ">")
						try(mime.BEncoding.Encode("UTF-8", nm) + " <" + addr + ">")
					}
				}
			}
		}
	}
	return out
}

// addressLists are other spellings of a list of addresses, and lists without one
// of them.
func addressLists(v string) []string {
	line := strings.TrimSpace(strings.ReplaceAll(v, "\r\n", ""))
	items := strings.Split(line, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	out := []string{" " + strings.Join(items, ", "), " " + strings.Join(items, ",")}
	if len(items) > 1 && len(items) <= 8 {
		for i := range items {
			out = append(out, " "+strings.Join(slices.Delete(slices.Clone(items), i, i+1), ", "))
		}
	}
	return out
}

// contentTypes are other spellings of a media type.
func contentTypes(v string) []string {
	line := strings.TrimSpace(strings.ReplaceAll(v, "\r\n", ""))
	typ, params, _ := strings.Cut(line, ";")
	out := []string{" " + typ}
	if params == "" {
		return []string{" " + line + "; charset=us-ascii", " " + line + "; charset=utf-8"}
	}
	p := strings.TrimSpace(params)
	name, val, _ := strings.Cut(p, "=")
	val = strings.Trim(val, `"`)
	for _, c := range []string{val, strings.ToLower(val), strings.ToUpper(val), "iso-2022-jp", "ISO-2022-JP", "us-ascii", "iso-8859-1"} {
		out = append(out, " "+typ+"; "+name+"="+c, " "+typ+"; "+name+`="`+c+`"`)
	}
	return out
}

// likely is what the header shows of changes that could not be proved.
func (s *headerSearch) likely(edits []*edit) []Change {
	var out []Change
	has := map[string]bool{}
	add := func(c Change) {
		key := string(c.Kind) + strings.ToLower(c.Field)
		if !has[key] {
			has[key] = true
			out = append(out, c)
		}
	}
	_, list := s.h.first("List-Id")
	for _, e := range edits {
		switch {
		case e.group == "z":
			add(e.change) // the signer's own copy says so
		case e.change.Kind == SubjectTagged && list && strings.HasPrefix(strings.TrimSpace(e.change.Is), "["):
			add(e.change)
		case e.change.Kind == FromRewritten && list && strings.Contains(e.change.Was, "@"+s.v.Domain) && !strings.Contains(e.change.Is, "@"+s.v.Domain):
			add(e.change)
		case e.change.Kind == FieldAdded && len(s.byName[strings.ToLower(e.change.Field)]) > count(s.names, strings.ToLower(e.change.Field)):
			add(e.change) // there are more than were signed
		}
	}
	if len(out) == 0 {
		add(Change{Kind: HeaderChanged, Index: -1, Offset: -1})
	}
	return out
}

// first are the first few: a hostile header has thousands.
func first(is []int) []int { return is[:min(len(is), 4)] }

func count(list []string, s string) int {
	n := 0
	for _, l := range list {
		if l == s {
			n++
		}
	}
	return n
}
