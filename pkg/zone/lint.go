package zone

import (
	"cmp"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// MaxLints is how many lints [Lint] gives; one more of code "more" says that
// there were others.
const MaxLints = 500

// A TTL above longTTL, in seconds, makes a mistake last: RFC 1912 §2.2 finds
// one day normal, and RFC 2308 §5 found more than one day problematic for the
// memory of absence.
const longTTL = 24 * 60 * 60

// Lint looks for what only the text of the zones shows: what BIND or NSD would
// not load, and what they would read as something else than was meant. What DNS
// shows as well is left to the checks. It never asks anybody.
//
// A lint is given only where the text leaves no honest reading in which it is
// right: a name without a final dot only if the name that comes of it does not
// exist in the zones, an unquoted semicolon only where tags go on behind it, and
// so on. Records that are not about mail get those lints only that concern the
// file as a whole.
func Lint(s *Set) *diag.ZoneFiles {
	out := &diag.ZoneFiles{}
	l := &linter{set: s, hosts: map[string]bool{}}
	for _, z := range s.order {
		for i := range z.Records {
			if rr := &z.Records[i]; rr.Type == dnsq.TypeMX && rr.Host != "." {
				l.hosts[rr.Host] = true
			}
		}
	}
	for _, z := range s.order {
		out.Zones = append(out.Zones, diag.ZoneFile{Origin: z.Origin, File: z.name(), Records: len(z.Records), Cuts: cuts(z)})
		l.zone(z)
	}
	out.Lints = l.lints
	return out
}

// LintChange looks for what only two versions of a zone show together: a serial
// that did not go up although the zone changed (RFC 1982), so that secondary
// servers go on to serve the old one. Zones without an SOA record on both sides
// have no serial.
func LintChange(before, after *Set) []diag.Lint {
	var out []diag.Lint
	for _, z := range after.order {
		old := before.zones[z.Origin]
		if old == nil {
			continue
		}
		a, b := old.zone.soa(), z.soa()
		if a == nil || b == nil || SerialGrown(a.SOA.Serial, b.SOA.Serial) || !changed(old.zone, z) {
			continue
		}
		out = append(out, diag.Lint{Code: diag.LintSerial, Zone: z.Origin, Place: diag.Place{File: b.File, Line: b.Line},
			Name: b.Name, Type: "SOA", Text: EditText(*b), Was: int64(a.SOA.Serial), Number: int64(b.SOA.Serial), Whole: true})
	}
	return out
}

// SerialGrown reports whether a zone's serial went up, in the arithmetic of RFC
// 1982 §3.2: by 1 to 2^31-1, past the largest number from 0 again. A step of
// exactly 2^31 is undefined there; servers do not take it for an update.
func SerialGrown(before, after uint32) bool {
	d := after - before
	return d != 0 && d < 1<<31
}

func (z *Zone) soa() *dnsq.RR {
	for i := range z.Records {
		if rr := &z.Records[i]; rr.Type == dnsq.TypeSOA && rr.Name == z.Origin && rr.SOA != nil {
			return rr
		}
	}
	return nil
}

// changed reports whether two versions of a zone differ in anything but the
// serial and the order of their records.
func changed(a, b *Zone) bool {
	lines := func(z *Zone) []string {
		var out []string
		for _, rr := range z.Records {
			if rr.Type == dnsq.TypeSOA && rr.SOA != nil {
				soa := *rr.SOA
				soa.Serial = 0
				rr.SOA = &soa
			}
			out = append(out, FormatRecord(rr))
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	return !slices.Equal(lines(a), lines(b))
}

// cuts are the names below the origin that have NS records.
func cuts(z *Zone) []string {
	var out []string
	for i := range z.Records {
		if rr := &z.Records[i]; rr.Type == dnsq.TypeNS && rr.Name != z.Origin && dnsq.AtOrBelow(rr.Name, z.Origin) {
			out = append(out, rr.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

type linter struct {
	set   *Set
	hosts map[string]bool // that MX records of the set point to
	lints []diag.Lint

	z     *Zone
	x     *index
	notes map[int][]*Note
}

// zone lints one zone.
func (l *linter) zone(z *Zone) {
	if len(l.lints) > MaxLints {
		return
	}
	from := len(l.lints)
	l.z, l.x, l.notes = z, l.set.zones[z.Origin], map[int][]*Note{}
	for i := range z.Notes {
		n := &z.Notes[i]
		l.notes[n.Record] = append(l.notes[n.Record], n)
	}
	for _, n := range l.notes[-1] {
		switch n.Code {
		case ByteOrderMark:
			l.add(diag.Lint{Code: diag.LintByteOrderMark, Place: diag.Place{File: n.File, Line: n.Line}, Column: n.Column, Name: z.Origin, Whole: true})
		case OriginWithoutDot:
			meant := n.Name
			if name := dnsq.CanonicalName(n.Text); dnsq.AtOrBelow(name, z.Origin) {
				meant = name // it holds the zone's name already
			}
			l.add(diag.Lint{Code: diag.LintOriginWithoutDot, Place: diag.Place{File: n.File, Line: n.Line}, Column: n.Column,
				Name: z.Origin, Type: "$ORIGIN", Text: n.Text, Read: n.Text, Meant: fqdn(meant), Whole: true})
		}
	}
	l.servers()
	type set struct {
		name string
		typ  dnsq.Type
	}
	long := map[set]bool{}
	for i := range z.Records {
		if len(l.lints) > from+MaxLints {
			break
		}
		rr := &z.Records[i]
		l.record(i, rr)
		if rr.Type == dnsq.TypeSOA && rr.SOA != nil && min(rr.TTL, rr.SOA.Minimum) > longTTL {
			// RFC 2308 §5: the minimum of both is how long absence is remembered.
			x := l.of(i)
			x.Code, x.Number, x.Whole = diag.LintNegativeTTL, int64(min(rr.TTL, rr.SOA.Minimum)), true
			l.add(x)
		}
		if k := (set{rr.Name, rr.Type}); rr.TTL > longTTL && l.mail(rr) && !long[k] {
			long[k] = true
			x := l.of(i)
			x.Code, x.Number = diag.LintTTL, int64(rr.TTL)
			l.add(x)
		}
	}
	mine := l.lints[from:]
	slices.SortStableFunc(mine, func(a, b diag.Lint) int {
		if a.Place.File != b.Place.File {
			return 0
		}
		return cmp.Compare(a.Place.Line, b.Place.Line)
	})
	if len(l.lints) > MaxLints {
		l.lints = append(l.lints[:MaxLints], diag.Lint{Code: diag.LintMore, Zone: z.Origin, Place: diag.Place{File: z.name()}, Name: z.Origin, Whole: true})
	}
}

func (l *linter) add(x diag.Lint) {
	x.Zone = l.z.Origin
	l.lints = append(l.lints, x)
}

// of is a lint about record i, without what is wrong.
func (l *linter) of(i int) diag.Lint {
	rr := &l.z.Records[i]
	return diag.Lint{Place: diag.Place{File: rr.File, Line: rr.Line}, Name: rr.Name, Type: rr.Type.String(), Text: EditText(*rr), Mail: l.mail(rr)}
}

// mailLabels are those of names that only mail has.
var mailLabels = []string{"_dmarc", "_domainkey", "_report", "_mta-sts", "_tls", "_bimi", "mta-sts"}

func mailName(name string) bool {
	for _, label := range dnsq.Labels(name) {
		if slices.Contains(mailLabels, label) {
			return true
		}
	}
	return false
}

// mailTexts are how texts that mail is about begin.
var mailTexts = []string{"v=spf1", "v=dmarc1", "v=dkim1", "v=stsv1", "v=tlsrptv1", "v=bimi1"}

func mailText(s string) bool {
	s = strings.ToLower(strings.TrimLeft(s, " \t"))
	for _, begin := range mailTexts {
		// "v=spf10" is another version (RFC 7208 §4.5).
		if rest, ok := strings.CutPrefix(s, begin); ok && (rest == "" || !digit(rest[0])) {
			return true
		}
	}
	return false
}

// mail reports whether a record is one that mail needs.
func (l *linter) mail(rr *dnsq.RR) bool {
	switch rr.Type {
	case dnsq.TypeMX:
		return true
	case dnsq.TypeTXT, dnsq.TypeSPF:
		return mailName(rr.Name) || mailText(strings.TrimLeft(rr.Text(), allQuotes))
	case dnsq.TypeA, dnsq.TypeAAAA, dnsq.TypeCNAME:
		return l.hosts[rr.Name] || mailName(rr.Name)
	}
	return mailName(rr.Name)
}

// smart are typographic quotes, allQuotes those and the plain ones.
const (
	smart     = "\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u00ab\u00bb\u301d\u301e\u301f\uff02"
	allQuotes = smart + `"'` + "`\\"
)

// record lints one record.
func (l *linter) record(i int, rr *dnsq.RR) {
	for _, n := range l.notes[i] {
		x := l.of(i)
		x.Place, x.Column = diag.Place{File: n.File, Line: n.Line}, n.Column
		switch n.Code {
		case LongString:
			raw, err := unescape(n.Text)
			if err != nil {
				raw = n.Text
			}
			x.Code, x.Number, x.Whole = diag.LintLongString, int64(len(raw)), true
			// The text stays; written anew it is cut into strings.
			x.Fix = []diag.Edit{{Name: rr.Name, Type: rr.Type.String(), Old: EditText(*rr), New: EditText(*rr)}}
		case OutOfZone:
			x.Code, x.Whole = diag.LintOutOfZone, true
		case UTF8Name:
			// BIND's check-names refuses hosts with such names (see hostName).
			x.Whole = rr.Type == dnsq.TypeA || rr.Type == dnsq.TypeAAAA || rr.Type == dnsq.TypeMX
			if !x.Mail && !x.Whole {
				continue
			}
			x.Code, x.Read = diag.LintUTF8Name, n.Text
			x.Meant = rr.Name
			if n.Column > 1 {
				x.Meant = rr.Host
			}
		default:
			continue
		}
		l.add(x)
	}
	if !dnsq.AtOrBelow(rr.Name, l.z.Origin) {
		return
	}
	l.place(i, rr)
	l.doubled(i, rr)
	switch rr.Type {
	case dnsq.TypeTXT:
		l.text(i, rr)
	case dnsq.TypeSPF:
		l.spfType(i, rr)
	case dnsq.TypeMX, dnsq.TypeCNAME, dnsq.TypeNS, dnsq.TypePTR, dnsq.TypeDNAME, typeSRV:
		l.target(i, rr)
	}
	l.hostName(i, rr)
}

const typeSRV = dnsq.Type(33)

// place lints where a record stands: beside a CNAME, below a DNAME or a cut.
func (l *linter) place(i int, rr *dnsq.RR) {
	if n := l.x.nodes[rr.Name]; n != nil && !besides(rr.Type) {
		if c := n.set(dnsq.TypeCNAME); c != nil && (rr.Type != dnsq.TypeCNAME || !sameData(&c[0], rr)) {
			x := l.of(i)
			x.Code, x.Read, x.Whole = diag.LintBesideCNAME, c[0].Host, true
			l.add(x)
		}
	}
	cut := ""
	for up := rr.Name; ; up = dnsq.Parent(up) {
		n, top := l.x.nodes[up], up == l.z.Origin
		if n == nil {
			continue
		}
		if up != rr.Name && n.set(dnsq.TypeDNAME) != nil {
			x := l.of(i)
			x.Code, x.Read, x.Whole = diag.LintBelowDNAME, up, true
			l.add(x)
		}
		if top {
			break
		}
		if n.set(dnsq.TypeNS) != nil {
			cut = up
		}
	}
	// RFC 1034 §4.2.1: below a cut there is glue and nothing else.
	if cut != "" && (rr.Type == dnsq.TypeMX || rr.Type == dnsq.TypeTXT || rr.Type == dnsq.TypeCNAME) && l.mail(rr) {
		x := l.of(i)
		x.Code, x.Read = diag.LintBelowCut, cut
		l.add(x)
	}
}

// doubled lints an owner in which the zone's name stands twice. Where the zone
// is of one label, that is nothing special.
func (l *linter) doubled(i int, rr *dnsq.RR) {
	o := l.z.Origin
	if len(dnsq.Labels(o)) < 2 || rr.Name != o+"."+o && !strings.HasSuffix(rr.Name, "."+o+"."+o) {
		return
	}
	x := l.of(i)
	x.Code, x.Meant = diag.LintNameDoubled, strings.TrimSuffix(rr.Name, "."+o)
	x.Mail = x.Mail || l.hosts[x.Meant]
	x.Fix = []diag.Edit{{Name: rr.Name, Type: x.Type, Old: x.Text}, {Name: x.Meant, Type: x.Type, New: x.Text}}
	// A name that has the very record already only loses the other one.
	if n := l.x.nodes[x.Meant]; n != nil {
		for _, have := range n.set(rr.Type) {
			if sameText(&have, rr) {
				x.Fix = x.Fix[:1]
			}
		}
	}
	l.add(x)
}

// entryOf is the entry of record i and the tokens of its data; none if the
// record has no text of its own.
func (l *linter) entryOf(i int) (src string, data []token) {
	if l.z.foreign || l.z.Spans[i].Generated {
		return "", nil
	}
	src = l.z.Raw(i)
	lex := lexer{src: []byte(src), line: 1}
	var e entry
	if !lex.next(&e) || e.err != nil {
		return "", nil
	}
	k := 1
	if e.blank {
		k = 0
	}
	for ; k < len(e.tokens); k++ {
		if typ, ok := typeOf(src[e.tokens[k].start:e.tokens[k].end]); ok && typ == l.z.Records[i].Type {
			data = e.tokens[k+1:]
			break
		}
	}
	if len(data) > 0 && src[data[0].start:data[0].end] == `\#` {
		return "", nil
	}
	return src, data
}

// text lints the text of a TXT record about mail.
func (l *linter) text(i int, rr *dnsq.RR) {
	text := rr.Text()
	plain := strings.TrimLeft(text, allQuotes)
	// RFC 6376 §3.6.1: a key need not say its version.
	key := len(plain) > 1 && plain[1] == '=' && slices.Contains(dnsq.Labels(rr.Name), "_domainkey")
	if !key && !mailText(plain) {
		return
	}
	// spaced is the text as it looks in the file: with the blanks that stand
	// between words without quotes.
	spaced := text
	if src, data := l.entryOf(i); len(data) > 0 {
		var b strings.Builder
		for k, t := range data {
			s, err := unescape(src[t.start:t.end])
			if err != nil {
				break
			}
			if k > 0 && !t.glued && !t.quoted && !data[k-1].quoted {
				b.WriteByte(' ')
			}
			b.WriteString(s)
		}
		spaced = b.String()
	}
	x := l.of(i)
	meant := spaced
	switch {
	case strings.ContainsAny(text, smart):
		x.Code = diag.LintSmartQuotes
		x.Offset = strings.IndexAny(text, smart)
		x.Length = len(text[x.Offset:]) - len(strings.TrimLeft(text[x.Offset:], smart))
		meant = strings.Map(func(r rune) rune {
			if strings.ContainsRune(smart, r) {
				return -1
			}
			return r
		}, meant)
	case strings.Contains(text, `\;`) || strings.Contains(text, `\"`):
		x.Code = diag.LintBackslash
		x.Offset, x.Length = strings.IndexByte(text, '\\'), 1
		meant = strings.NewReplacer(`\;`, ";", `\"`, "").Replace(meant)
	case text != plain || strings.Contains(text, `" "`):
		// DKIM allows a quote inside its notes (n=, RFC 6376 §3.6.1); one before
		// the version, or those of a pasted list of strings, mean nothing.
		x.Code = diag.LintQuote
		x.Offset, x.Length = strings.IndexAny(text, "\"'`\\"), 1
		meant = strings.TrimRight(strings.TrimLeft(strings.ReplaceAll(meant, `" "`, ""), allQuotes), "\"'`")
	case l.noted(i, CutBySemicolon):
		// A comment that touches the text may be one: tags must go on in it.
		comment := l.z.Spans[i].Comment
		if !goesOn(text, comment) {
			return
		}
		x.Code = diag.LintCutBySemicolon
		meant = strings.TrimRight(text, " \t;") + comment
		x.Offset, x.Length = max(len(text)-1, 0), min(len(text), 1)
	case l.noted(i, UnquotedText) && spaced != text && strings.HasPrefix(strings.ToLower(plain), "v=spf1"):
		// RFC 7208 §3.3: strings join without blanks, and SPF needs them. The tag
		// lists of DKIM and DMARC do not.
		x.Code = diag.LintUnquoted
	default:
		return
	}
	x.Mail, x.Meant = true, meant
	for _, n := range l.notes[i] {
		if n.Code == CutBySemicolon && x.Code == diag.LintCutBySemicolon {
			x.Place, x.Column = diag.Place{File: n.File, Line: n.Line}, n.Column
		}
	}
	x.Fix = []diag.Edit{{Name: rr.Name, Type: "TXT", Old: text, New: meant}}
	l.add(x)
}

// tags are those of the tag lists that mail knows.
var tags = []string{"v", "p", "sp", "np", "adkim", "aspf", "rua", "ruf", "fo", "t", "pct", "psd", "ri", "rf", "k", "h", "s", "n", "g", "id", "l", "a"}

// goesOn reports whether a comment is the rest of a tag list. Whoever escapes
// semicolons knows what a comment is: behind a list with some, only a tag that
// exists and is not in it goes on.
func goesOn(text, comment string) bool {
	if !tagAfterSemicolon(comment) {
		return false
	}
	if !strings.Contains(text, ";") {
		return true
	}
	name, _, _ := strings.Cut(strings.ToLower(strings.TrimLeft(comment, "; \t")), "=")
	name = strings.TrimRight(name, " \t")
	for part := range strings.SplitSeq(strings.ToLower(text), ";") {
		if have, _, _ := strings.Cut(part, "="); strings.TrimSpace(have) == name {
			return false
		}
	}
	return slices.Contains(tags, name)
}

func (l *linter) noted(i int, code NoteCode) bool {
	return slices.ContainsFunc(l.notes[i], func(n *Note) bool { return n.Code == code })
}

// spfType lints a record of the obsolete type SPF (RFC 7208 §3.1).
func (l *linter) spfType(i int, rr *dnsq.RR) {
	if !mailText(rr.Text()) {
		return
	}
	x := l.of(i)
	x.Code, x.Mail = diag.LintSPFTypeOnly, true
	x.Fix = []diag.Edit{{Name: rr.Name, Type: "SPF", Old: x.Text}, {Name: rr.Name, Type: "TXT", New: x.Text}}
	for _, txt := range l.x.nodes[rr.Name].set(dnsq.TypeTXT) {
		if strings.HasPrefix(strings.ToLower(txt.Text()), "v=spf1") {
			x.Code, x.Fix = diag.LintSPFType, x.Fix[:1]
		}
	}
	l.add(x)
}

// target lints the name in the data of a record.
func (l *linter) target(i int, rr *dnsq.RR) {
	read, meant := l.missingDot(i, rr)
	if meant == "" {
		return
	}
	x := l.of(i)
	x.Code, x.Read, x.Meant = diag.LintMissingDot, read, meant
	x.Mail = x.Mail || rr.Type == dnsq.TypePTR
	x.Whole = rr.Type == dnsq.TypeNS && rr.Name == l.z.Origin
	head, ok := strings.CutSuffix(x.Text, fqdn(read))
	if ok {
		x.Offset, x.Length = len(head), len(read)
	}
	// The effect of NS and DNAME reaches beyond the name: it cannot be tried.
	if ok && rr.Type != dnsq.TypeNS && rr.Type != dnsq.TypeDNAME {
		x.Fix = []diag.Edit{{Name: rr.Name, Type: x.Type, Old: x.Text, New: head + fqdn(meant)}}
	}
	l.add(x)
}

// missingDot is what is read in place of a name in a record's data, and what was
// most likely meant; "" if nothing is wrong with it.
func (l *linter) missingDot(i int, rr *dnsq.RR) (read, meant string) {
	src, data := l.entryOf(i)
	if len(data) == 0 {
		return "", ""
	}
	t := data[len(data)-1]
	name := src[t.start:t.end]
	if t.quoted || !strings.Contains(name, ".") || strings.HasSuffix(name, ".") || !isASCII([]byte(name)) {
		return "", ""
	}
	meant, read = dnsq.CanonicalName(name), rr.Host
	if rr.Type == typeSRV {
		f := strings.Fields(rr.Data)
		if len(f) != 4 {
			return "", ""
		}
		read = dnsq.CanonicalName(f[3])
	}
	switch {
	case l.set.holds(read):
		// A name that the zones hold is what was meant, however it looks.
		return "", ""
	case dnsq.AtOrBelow(meant, l.z.Origin) && len(dnsq.Labels(l.z.Origin)) > 1:
		// The zone's own name stands in it in full.
		return read, meant
	case l.elsewhere(read, meant):
		return read, meant
	}
	return "", ""
}

// plainTLDs are top-level domains that nobody has for a subdomain's name, unlike
// "shop", "cloud" or "us".
var plainTLDs = []string{"com", "net", "org", "info", "biz", "edu", "gov", "mil"}

// elsewhere reports whether a relative name is most likely one outside the zone
// whose final dot is missing: it ends like a registered domain, and what was
// read does not exist, not even by a wildcard.
func (l *linter) elsewhere(read, meant string) bool {
	suffix, icann := publicsuffix.PublicSuffix(meant)
	if !icann || suffix == meant {
		return false
	}
	if !strings.Contains(suffix, ".") && !slices.Contains(plainTLDs, suffix) && len(dnsq.Labels(meant)) < 3 {
		return false
	}
	a, w := l.set.Lookup(dnsq.Question{Name: read, Type: dnsq.TypeA})
	return w.Place == In && a.Outcome == dnsq.NXDomain && len(a.Chain) == 0
}

// holds reports whether a zone of the set has records at name, or below it.
func (s *Set) holds(name string) bool {
	x := s.find(dnsq.Question{Name: name})
	return x != nil && x.nodes[name] != nil
}

// servers lints the NS records at the top of a zone that is made for a server:
// one with an SOA record. BIND loads no zone without them.
func (l *linter) servers() {
	if l.z.foreign || l.z.soa() == nil {
		return
	}
	top := l.x.nodes[l.z.Origin]
	ns := top.set(dnsq.TypeNS)
	if len(ns) == 0 {
		soa := l.z.soa()
		l.add(diag.Lint{Code: diag.LintNoNameServer, Place: diag.Place{File: soa.File, Line: soa.Line}, Name: soa.Name, Type: "SOA", Text: EditText(*soa), Whole: true})
	}
	for k := range l.z.Records {
		rr := &l.z.Records[k]
		if rr.Type != dnsq.TypeNS || rr.Name != l.z.Origin || !dnsq.AtOrBelow(rr.Host, l.z.Origin) {
			continue
		}
		if l.address(rr.Host) {
			continue
		}
		if _, meant := l.missingDot(k, rr); meant != "" {
			continue // said by target
		}
		x := l.of(k)
		x.Code, x.Read, x.Whole = diag.LintServerAddress, rr.Host, true
		l.add(x)
	}
}

// address reports whether the zone may have an address for one of its names:
// its own, a wildcard's, glue, or one that others say.
func (l *linter) address(name string) bool {
	if n := l.x.nodes[name]; n != nil && (n.set(dnsq.TypeA) != nil || n.set(dnsq.TypeAAAA) != nil) {
		return true
	}
	for _, t := range []dnsq.Type{dnsq.TypeA, dnsq.TypeAAAA} {
		a, w := l.set.Lookup(dnsq.Question{Name: name, Type: t})
		if w.Place != In || a.Outcome == dnsq.Found {
			return true
		}
	}
	return false
}

// hostName lints the names of hosts (RFC 952, RFC 1123 §2.1): letters, digits,
// hyphens. BIND's check-names refuses a primary zone with others, unless it is
// told not to. A label that starts with an underscore is no slip: such names are
// for programs, as in SPF's exists:%{i}._spf.example.com.
func (l *linter) hostName(i int, rr *dnsq.RR) {
	bad := ""
	switch rr.Type {
	case dnsq.TypeA, dnsq.TypeAAAA:
		if !isHost(strings.TrimPrefix(rr.Name, "*.")) {
			bad = rr.Name
		}
	case dnsq.TypeMX:
		if !isHost(strings.TrimPrefix(rr.Name, "*.")) {
			bad = rr.Name
		} else if !isHost(rr.Host) {
			bad = rr.Host
		}
	}
	if bad == "" || l.z.foreign || l.z.soa() == nil || l.noted(i, UTF8Name) {
		return
	}
	x := l.of(i)
	x.Code, x.Read, x.Whole = diag.LintHostName, bad, true
	l.add(x)
}

func isHost(name string) bool {
	if name == "." {
		return true
	}
	for _, label := range dnsq.Labels(name) {
		if strings.HasPrefix(label, "_") {
			return true
		}
	}
	for _, label := range dnsq.Labels(name) {
		for k := range len(label) {
			c := label[k]
			edge := k == 0 || k == len(label)-1
			if !('a' <= c && c <= 'z' || digit(c) || c == '-' && !edge) {
				return false
			}
		}
	}
	return true
}
