package zone

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	yamllexer "github.com/goccy/go-yaml/lexer"
	yamlparser "github.com/goccy/go-yaml/parser"
	yamltoken "github.com/goccy/go-yaml/token"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// octoDNS keeps a zone as YAML: a mapping from names ('' is the origin) to a
// record set or a list of them, each with type, ttl, and value or values.
//
//	'':
//	  - type: MX
//	    values:
//	      - exchange: mail.example.com.
//	        preference: 10
//	  - type: TXT
//	    value: v=spf1 mx -all
//	_dmarc:
//	  type: TXT
//	  value: v=DMARC1\; p=none
//
// It is read as strictly as octoDNS does: targets have a final dot, semicolons a
// backslash, no key and no record set stands twice. What octoDNS lets pass with
// `octodns: {lenient: true}` passes here too.

// isOctoDNS reports whether a file's name is that of an octoDNS zone.
func isOctoDNS(base string) bool {
	ext := strings.ToLower(filepath.Ext(base))
	return ext == ".yaml" || ext == ".yml"
}

// ParseOctoDNS reads a zone in the YAML of octoDNS. file is its name in records
// and errors, origin the zone's name, which the text does not say. An error is of
// type [Errors].
func ParseOctoDNS(src []byte, file, origin string) (*Zone, error) {
	r, err := newOcto(origin, file)
	if err != nil {
		return nil, err
	}
	r.file(src, file)
	return r.zone(file)
}

// openOctoSplit reads a zone that octoDNS keeps as a folder of files.
func openOctoSplit(dir, origin string) (*Zone, error) {
	r, err := newOcto(origin, dir)
	if err != nil {
		return nil, err
	}
	names, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*.yaml"))
	if err != nil {
		return nil, Errors{{File: dir, Msg: "cannot be read: " + err.Error(), Err: err}}
	}
	sort.Strings(names)
	for _, n := range names {
		src, err := readLimited(n)
		if err != nil {
			r.errs = append(r.errs, &Error{File: n, Msg: "cannot be read: " + reason(err), Err: err})
			continue
		}
		r.file(src, n)
	}
	return r.zone(dir)
}

func readLimited(name string) ([]byte, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	if st.Size() > maxYAML {
		return nil, fmt.Errorf("more than %d MB", maxYAML>>20)
	}
	return os.ReadFile(name)
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

// splitOrigin is the domain whose octoDNS files a folder holds, "" if it is no
// such folder: octoDNS calls it by the zone's name with its final dot, or puts the
// records of the origin into a file $NAME.yaml.
func splitOrigin(dir string) string {
	base := filepath.Base(filepath.Clean(dir))
	name := strings.TrimSuffix(base, ".")
	if !strings.Contains(name, ".") {
		return ""
	}
	origin, err := dnsq.ParseName(name)
	if err != nil {
		return ""
	}
	if _, err := os.Stat(filepath.Join(dir, "$"+name+".yaml")); err != nil && base == name {
		return ""
	}
	return origin
}

const (
	maxYAML      = 8 << 20 // octets of a file
	maxYAMLDepth = 24
)

// An octo reads the files of one zone.
type octo struct {
	z       *Zone
	errs    Errors
	name    string // of the file that is read
	anchors map[string]ast.Node
	seen    map[string]int // name and type, to the line of their set
}

func newOcto(origin, file string) (*octo, error) {
	o, err := dnsq.ParseName(origin)
	if err != nil {
		return nil, Errors{{File: file, Msg: "the file does not say which zone it is: name it by its domain, as in example.com.yaml, or give FILE@ORIGIN", Err: err}}
	}
	return &octo{z: &Zone{Origin: o, sources: map[string][]byte{}, foreign: true}, seen: map[string]int{}}, nil
}

func (r *octo) zone(file string) (*Zone, error) {
	if len(r.errs) == 0 && len(r.z.Records) == 0 && len(r.z.opaque) == 0 {
		r.errs = append(r.errs, &Error{File: file, Msg: "holds no records"})
	}
	if len(r.errs) > 0 {
		return nil, r.errs
	}
	return r.z, nil
}

// bad notes a fault at a token.
func (r *octo) bad(t *yamltoken.Token, format string, a ...any) {
	if len(r.errs) >= MaxErrors {
		return
	}
	e := &Error{File: r.name, Msg: fmt.Sprintf(format, a...)}
	if t != nil && t.Position != nil {
		e.Line, e.Column = t.Position.Line, t.Position.Column
	}
	r.errs = append(r.errs, e)
}

// file reads one file.
func (r *octo) file(src []byte, name string) {
	r.name, r.anchors = name, map[string]ast.Node{}
	r.z.sources[name] = src
	switch {
	case len(src) > maxYAML:
		r.bad(nil, "more than %d MB", maxYAML>>20)
		return
	case !utf8.Valid(src):
		r.bad(nil, "is not valid UTF-8 text")
		return
	}
	// The parser is fed hostile text.
	defer func() {
		if p := recover(); p != nil {
			r.bad(nil, "is no YAML that can be read")
		}
	}()
	tokens := yamllexer.Tokenize(strings.ReplaceAll(strings.TrimPrefix(string(src), "\ufeff"), "\r\n", "\n"))
	if !r.shallow(tokens) {
		return
	}
	f, err := yamlparser.Parse(tokens, 0, yamlparser.AllowDuplicateMapKey())
	if err != nil {
		var ye yaml.Error
		if errors.As(err, &ye) && ye.GetToken() != nil {
			r.bad(ye.GetToken(), "is no YAML: %s", ye.GetMessage())
		} else {
			r.bad(nil, "is no YAML: %s", strings.ReplaceAll(err.Error(), "\n", " "))
		}
		return
	}
	seen := false
	for _, d := range f.Docs {
		if d.Body == nil {
			continue
		}
		if _, null := d.Body.(*ast.NullNode); null {
			continue
		}
		if seen {
			r.bad(d.Body.GetToken(), "a second document: expected one in the file")
			return
		}
		seen = true
		r.names(d.Body)
	}
}

// shallow reports whether nothing is nested deeper than a zone needs: the parser
// recurses.
func (r *octo) shallow(tokens yamltoken.Tokens) bool {
	flow, entries, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position != nil && t.Position.Line != line {
			entries, line = 0, t.Position.Line
		}
		switch t.Type {
		case yamltoken.SequenceStartType, yamltoken.MappingStartType:
			flow++
		case yamltoken.SequenceEndType, yamltoken.MappingEndType:
			flow--
		case yamltoken.SequenceEntryType, yamltoken.MappingKeyType, yamltoken.AnchorType:
			entries++
		case yamltoken.TagType, yamltoken.DirectiveType, yamltoken.MergeKeyType:
			r.bad(t, "%s: tags such as !include, directives and merge keys are not read here; write out what they stand for", clip(t.Value))
			return false
		}
		if flow > maxYAMLDepth || entries > maxYAMLDepth || t.Position != nil && t.Position.IndentLevel > maxYAMLDepth {
			r.bad(t, "nested more than %d levels deep", maxYAMLDepth)
			return false
		}
	}
	return true
}

// see is a node behind its anchor or reference.
func (r *octo) see(n ast.Node) ast.Node {
	for range maxYAMLDepth {
		switch x := n.(type) {
		case *ast.AnchorNode:
			if x.Name != nil {
				r.anchors[x.Name.GetToken().Value] = x.Value
			}
			n = x.Value
		case *ast.AliasNode:
			to, ok := r.anchors[x.Value.GetToken().Value]
			if !ok {
				r.bad(x.GetToken(), "the reference *%s has no anchor above it", clip(x.Value.GetToken().Value))
				return nil
			}
			n = to
		case *ast.MappingKeyNode:
			n = x.Value
		default:
			return n
		}
	}
	return nil
}

// A member is a key of a mapping with its value.
type member struct {
	key   string
	at    *yamltoken.Token
	value ast.Node
}

// mapping is the members of n; false and a fault if it is none.
func (r *octo) mapping(n ast.Node, what string) ([]member, bool) {
	var values []*ast.MappingValueNode
	switch n := r.see(n).(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	case nil: // a reference to nothing, which was told
		return nil, false
	default:
		r.bad(tokenOf(n), "%s: expected a mapping, a \"key: value\" a line", what)
		return nil, false
	}
	var out []member
	seen := map[string]bool{}
	for _, v := range values {
		key, ok := scalarText(r.see(v.Key))
		at := tokenOf(r.see(v.Key))
		switch {
		case !ok:
			r.bad(at, "%s: a key is to be text", what)
		case seen[key]:
			r.bad(at, "%s: %q stands here a second time", what, clip(key))
		default:
			seen[key] = true
			out = append(out, member{key, at, v.Value})
		}
	}
	return out, true
}

func tokenOf(n ast.Node) *yamltoken.Token {
	if n == nil {
		return nil
	}
	return n.GetToken()
}

// list is the members of a sequence, or the node alone.
func (r *octo) list(n ast.Node) []ast.Node {
	switch n := r.see(n).(type) {
	case nil:
		return nil
	case *ast.SequenceNode:
		return n.Values
	default:
		return []ast.Node{n}
	}
}

// scalarText is the text of a scalar as it was written; false if n is none.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return strings.TrimRight(n.Value.Value, "\n"), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// names reads the whole of a file.
func (r *octo) names(n ast.Node) {
	ms, ok := r.mapping(n, "the zone")
	if !ok {
		return
	}
	// A configuration of octoDNS itself is no zone; it looks like one at first.
	for _, m := range ms {
		if m.key == "providers" || m.key == "zones" {
			if sub, ok := r.see(m.value).(*ast.MappingNode); ok && len(sub.Values) > 0 {
				if k, _ := scalarText(r.see(sub.Values[0].Key)); k != "type" && k != "value" && k != "values" && k != "ttl" && k != "octodns" {
					r.bad(m.at, "this is the configuration of octoDNS, not a zone: give the folder that it names")
					return
				}
			}
		}
	}
	for _, m := range ms {
		name, err := r.owner(m.key)
		if err != nil {
			r.bad(m.at, "%v", err)
			continue
		}
		for _, set := range r.list(m.value) {
			if len(r.errs) >= MaxErrors {
				return
			}
			r.set(name, m, set)
			if len(r.z.Records) > MaxRecords {
				r.bad(m.at, "more than %d records", MaxRecords)
				return
			}
		}
	}
}

func (r *octo) owner(key string) (string, error) {
	switch {
	case key == "":
		return r.z.Origin, nil
	case key == "@":
		return "", errors.New("the name @: octoDNS writes '' for the origin")
	case strings.HasSuffix(key, "."):
		return "", fmt.Errorf("the name %q ends in a dot: names are relative to the zone here", clip(key))
	}
	return parseName(key, r.z.Origin)
}

// octoKeys are the keys of a record set.
var octoKeys = []string{"type", "ttl", "value", "values", "octodns", "geo", "dynamic"}

// set reads one record set.
func (r *octo) set(name string, at member, n ast.Node) {
	what := at.key
	if what == "" {
		what = "''"
	}
	ms, ok := r.mapping(n, what)
	if !ok {
		return
	}
	errs := len(r.errs)
	var (
		typ      string
		typeAt   *yamltoken.Token
		ttl      = uint32(DefaultTTL)
		values   []ast.Node
		hasValue bool
		lenient  bool
		ignored  bool
	)
	for _, m := range ms {
		switch m.key {
		case "type":
			typ, _ = scalarText(r.see(m.value))
			typeAt = tokenOf(r.see(m.value))
		case "ttl":
			s, _ := scalarText(r.see(m.value))
			v, err := strconv.ParseUint(s, 10, 31)
			if err != nil {
				r.bad(tokenOf(r.see(m.value)), "%s: ttl %q: expected seconds, a number up to 2147483647", what, clip(s))
			}
			ttl = uint32(v)
		case "value", "values":
			if hasValue {
				r.bad(m.at, "%s: both value and values: expected one of them", what)
			}
			hasValue = true
			for _, v := range r.list(m.value) {
				if v = r.see(v); v == nil {
					continue
				}
				if _, null := v.(*ast.NullNode); null {
					r.bad(m.at, "%s: %s is empty", what, m.key)
					continue
				}
				values = append(values, v)
			}
		case "octodns":
			opts, ok := r.mapping(m.value, what+": octodns")
			if !ok {
				continue
			}
			for _, o := range opts {
				s, _ := scalarText(r.see(o.value))
				on := strings.EqualFold(s, "true")
				lenient = lenient || o.key == "lenient" && on
				ignored = ignored || o.key == "ignored" && on
			}
		case "geo", "dynamic": // what everybody else gets is in values
		default:
			r.bad(m.at, "%s: unknown key %q: expected one of %s", what, clip(m.key), strings.Join(octoKeys, ", "))
		}
	}
	switch {
	case typ == "":
		r.bad(at.at, "%s: the type is missing, as in type: TXT", what)
	case !hasValue && len(r.errs) == errs:
		r.bad(at.at, "%s: value or values is missing", what)
	}
	key := name + " " + strings.ToUpper(typ)
	if line, twice := r.seen[key]; twice && len(r.errs) == errs {
		r.bad(typeAt, "%s: a second set of type %s (the first is in line %d): put all values into one", what, clip(typ), line)
	}
	if len(r.errs) > errs || ignored {
		return
	}
	r.seen[key] = typeAt.Position.Line
	for _, v := range values {
		r.value(name, typ, ttl, what, v, lenient)
	}
}

// value reads one value of a set as a record.
func (r *octo) value(name, typ string, ttl uint32, what string, n ast.Node, lenient bool) {
	tok := tokenOf(n)
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 {
		tok = m.Values[0].Key.GetToken()
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		tok = m.Key.GetToken()
	}
	bad := func(format string, a ...any) { r.bad(tok, what+": "+format, a...) }
	rr := dnsq.RR{Name: name, TTL: ttl, File: r.name, Line: tok.Position.Line}
	text := func() (string, bool) {
		s, ok := scalarText(n)
		if !ok {
			bad("%s: expected a text", typ)
		}
		return s, ok
	}
	// fields are those of a mapping, by name; alternative names behind a |.
	fields := func(names ...string) ([]string, bool) {
		ms, ok := r.mapping(n, what+": "+typ)
		if !ok {
			return nil, false
		}
		out := make([]string, len(names))
		for _, m := range ms {
			i := slices.IndexFunc(names, func(s string) bool { return slices.Contains(strings.Split(s, "|"), m.key) })
			if i < 0 {
				r.bad(m.at, "%s: %s: unknown key %q: expected %s", what, typ, clip(m.key), strings.Join(names, ", "))
				return nil, false
			}
			out[i], _ = scalarText(r.see(m.value))
		}
		for i, s := range out {
			if s == "" {
				bad("%s: %s is missing", typ, strings.Split(names[i], "|")[0])
				return nil, false
			}
		}
		return out, true
	}
	target := func(s string) bool {
		if !lenient && !strings.HasSuffix(s, ".") {
			bad("%s %q: octoDNS wants a final dot: %s.", typ, clip(s), clip(s))
			return false
		}
		return true
	}
	data := ""
	switch typ {
	case "A", "AAAA":
		s, ok := text()
		if !ok {
			return
		}
		data = s
	case "CNAME", "DNAME", "NS", "PTR":
		s, ok := text()
		if !ok || !target(s) {
			return
		}
		data = s
	case "MX":
		f, ok := fields("preference|priority", "exchange|value")
		if !ok || !target(f[1]) {
			return
		}
		data = f[0] + " " + f[1]
	case "SRV":
		f, ok := fields("priority", "weight", "port", "target")
		if !ok || !target(f[3]) {
			return
		}
		data = strings.Join(f, " ")
	case "TLSA":
		f, ok := fields("certificate_usage", "selector", "matching_type", "certificate_association_data")
		if !ok {
			return
		}
		data = strings.Join(f, " ")
	case "TXT", "SPF":
		s, ok := text()
		if !ok {
			return
		}
		s, err := octoText(s, lenient)
		if err != nil {
			bad("%s %q: %v", typ, clip(s), err)
			return
		}
		rr.Type, _ = typeOf(typ)
		rr.Strings = split255(s)
		if len(s)+len(rr.Strings) > 65535 {
			bad("%s: longer than 65535 octets", typ)
			return
		}
		r.add(rr)
		return
	default:
		// Types that mail has no need of: that they are there matters, for a name
		// with records exists; what they say does not.
		t, ok := typeOf(typ)
		switch {
		case typ == "ALIAS":
			// An alias that the provider resolves itself: addresses that nobody
			// knows but him.
			r.z.opaque = append(r.z.opaque, opaqueSet{name, dnsq.TypeA, "an ALIAS of octoDNS, which the provider resolves"},
				opaqueSet{name, dnsq.TypeAAAA, "an ALIAS of octoDNS, which the provider resolves"})
		case ok:
			r.z.opaque = append(r.z.opaque, opaqueSet{name, t, "a type that is not read from octoDNS"})
		case vendorType.MatchString(typ):
			r.z.opaque = append(r.z.opaque, opaqueSet{name, 0, ""})
		default:
			bad("%q is not a record type", clip(typ))
		}
		return
	}
	rr.Type, _ = typeOf(typ)
	if err := dataOf(&rr, data); err != nil {
		bad("%s: %v", typ, err)
		return
	}
	r.add(rr)
}

// vendorType is a type of one provider: URLFWD, or Route53Provider/ALIAS.
var vendorType = regexp.MustCompile(`^(URLFWD|[A-Za-z0-9]+/[A-Z0-9_]+)$`)

func (r *octo) add(rr dnsq.RR) {
	r.z.Records = append(r.z.Records, rr)
	r.z.Spans = append(r.z.Spans, Span{File: rr.File, Line: rr.Line, EndLine: rr.Line, TTLSet: true})
}

var (
	bareSemicolon   = regexp.MustCompile(`\w;`)
	doubleSemicolon = regexp.MustCompile(`\\\\;`)
)

// octoText is the text of a TXT value: \; is a semicolon, \" a quote; quotes
// round it, and those between its strings, are taken off.
func octoText(s string, lenient bool) (string, error) {
	if !lenient {
		switch {
		case bareSemicolon.MatchString(s):
			return s, errors.New(`a ; without a backslash: octoDNS wants \;`)
		case doubleSemicolon.MatchString(s):
			return s, errors.New(`\\; is one backslash too many: octoDNS wants \;`)
		}
	}
	if strings.HasPrefix(s, `"`) {
		s = strings.TrimSuffix(s[1:], `"`)
	}
	s = strings.ReplaceAll(s, `" "`, "")
	return strings.NewReplacer(`\;`, ";", `\"`, `"`).Replace(s), nil
}

// openOcto reads the octoDNS file at name.
func openOcto(name, origin string) (*Zone, error) {
	src, err := readLimited(name)
	if err != nil {
		return nil, Errors{{File: name, Msg: "cannot be read: " + reason(err), Err: err}}
	}
	if origin == "" {
		base := path.Base(filepath.ToSlash(name))
		origin = strings.TrimSuffix(base[:len(base)-len(filepath.Ext(base))], ".")
		if !strings.Contains(origin, ".") {
			origin = ""
		}
	}
	return ParseOctoDNS(src, name, origin)
}
