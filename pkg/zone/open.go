package zone

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// Open reads the zone file that spec names: FILE, or FILE@ORIGIN where the
// file does not say its origin. ORIGIN is what follows the last @ if that is a
// domain name (or "." for the root) and spec as a whole is no existing file.
// Without it the origin is that of the SOA record, else the domain that the
// file's name holds (example.com.zone, db.example.com, example.com), else the
// first $ORIGIN. A FILE that ends in .yaml or .yml is read as octoDNS writes it
// ([ParseOctoDNS]). FILE "-" is the standard input. $INCLUDE takes files inside
// the folder of FILE only, also through symbolic links; none from the standard
// input. An error is of type [Errors].
func Open(spec string) (*Zone, error) {
	name, origin := splitSpec(spec)
	z, _, err := openFile(spec, name, origin, os.Stdin)
	return z, err
}

// OpenAll reads what --zone names, each as [Open] does, or a folder: then every
// zone file directly in it. stdin is what "-" is read from; it can be named
// once. The error is of type [Errors] and holds the faults of all of them; a
// zone that is there twice is one.
//
// Of a folder count
//   - files with the name of a zone file: NAME.zone, NAME.db, NAME.dns, db.NAME;
//   - and files that look like one inside: a $ORIGIN, $TTL, $INCLUDE or
//     $GENERATE at the start of a line, or an SOA record;
//   - octoDNS zones: NAME.yaml, and folders NAME. with the records in files of
//     their own. Such a folder may also be named itself.
//
// Files that another one includes are part of that one. Hidden files, and those
// that are nothing of the above, backups, journals, signed copies and folders are
// left out; all but the hidden ones are in [Set.Passed], so that nothing is left
// out in silence. A folder without any zone is an error.
func OpenAll(specs []string, stdin io.Reader) (*Set, error) {
	var (
		zones  []*Zone
		passed []Passed
		errs   Errors
	)
	fail := func(name string, err error) {
		var list Errors
		if !errors.As(err, &list) {
			list = Errors{{File: name, Msg: err.Error(), Err: err}}
		}
		errs = append(errs, list...)
	}
	fromStdin := false
	for _, spec := range specs {
		name, origin := splitSpec(spec)
		if name == "" {
			fail(`""`, errors.New("names no file: expected FILE, FILE@ORIGIN, a folder, or - for the standard input"))
			continue
		}
		if name == "-" {
			if fromStdin {
				fail(stdinLabel, errors.New("the standard input is named twice; it can be read once"))
				continue
			}
			fromStdin = true
		}
		if st, err := os.Stat(name); err == nil && st.IsDir() && name != "-" {
			if origin != "" {
				fail(name, fmt.Errorf("is a folder; @%s can only be said of one file", origin))
				continue
			}
			if split := splitOrigin(name); split != "" {
				z, err := openOctoSplit(name, split)
				if err != nil {
					fail(name, err)
					continue
				}
				zones = append(zones, z)
				continue
			}
			zs, ps, err := openFolder(name)
			if err != nil {
				fail(name, err)
			}
			zones, passed = append(zones, zs...), append(passed, ps...)
			continue
		}
		z, _, err := openFile(spec, name, origin, stdin)
		if err != nil {
			fail(name, err)
			continue
		}
		zones = append(zones, z)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	s, err := NewSet(zones...)
	if err != nil {
		return nil, err
	}
	s.passed = passed
	return s, nil
}

// stdinLabel is what records and errors call the standard input.
const stdinLabel = "stdin"

// ReadsStdin reports whether one of the specs of [OpenAll] is the standard
// input, which two sets cannot both read.
func ReadsStdin(specs []string) bool {
	for _, s := range specs {
		if name, _ := splitSpec(s); name == "-" {
			return true
		}
	}
	return false
}

// A Passed is a file of a folder that was not taken for a zone file.
type Passed struct {
	File string
	Why  string
}

// splitSpec takes FILE@ORIGIN apart.
func splitSpec(spec string) (name, origin string) {
	if _, err := os.Lstat(spec); err == nil && spec != "-" {
		return spec, ""
	}
	if i := strings.LastIndexByte(spec, '@'); i > 0 {
		switch o, err := dnsq.ParseName(spec[i+1:]); {
		case err == nil:
			return spec[:i], o
		case spec[i+1:] == ".":
			return spec[:i], "."
		}
	}
	return spec, ""
}

// openFile reads one zone file. included are the paths of what it includes,
// seen from its folder, also if there is an error.
func openFile(spec, name, origin string, stdin io.Reader) (z *Zone, included []string, err error) {
	if name == "-" {
		z, err = Parse(stdin, stdinLabel, origin)
		return z, nil, err
	}
	fail := func(err error) (*Zone, []string, error) {
		msg := "cannot be read: " + reason(err)
		if origin == "" && strings.Contains(spec, "@") && errors.Is(err, fs.ErrNotExist) {
			msg += " (what follows the @ is not a domain name either)"
		}
		return nil, nil, Errors{{File: name, Msg: msg, Err: err}}
	}
	f, err := os.Open(name)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return fail(err)
	} else if st.IsDir() {
		return nil, nil, Errors{{File: name, Msg: "is a folder; a zone file is expected"}}
	}
	if isOctoDNS(name) {
		z, err = openOcto(name, origin)
		return z, nil, err
	}
	src, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return fail(err)
	}
	dir, base := filepath.Split(name)
	if dir == "" {
		dir = "."
	}
	s := source{src: src, label: name, origin: origin, path: base, dir: path.Clean(filepath.ToSlash(dir)), included: &included}
	if origin == "" {
		s.assumed = nameOrigin(base)
	}
	if root, err := os.OpenRoot(dir); err == nil {
		defer root.Close()
		s.read = from(root.FS())
	}
	z, err = parse(s)
	return z, included, err
}

// extensions of zone files; a domain stands before them. dbPrefix is the other
// habit: the domain stands behind it.
var extensions = []string{".zone", ".db", ".dns"}

const dbPrefix = "db."

// namedZone reports whether a file's name says that it is a zone file.
func namedZone(base string) bool {
	lower := strings.ToLower(base)
	for _, e := range extensions {
		if strings.HasSuffix(lower, e) && len(base) > len(e) {
			return true
		}
	}
	return strings.HasPrefix(lower, dbPrefix) && len(base) > len(dbPrefix)
}

// nameOrigin is the domain that a file's name holds, "" if it holds none. One
// label is no domain here: "new.zone" is no top-level domain but a file.
func nameOrigin(base string) string {
	lower := strings.ToLower(base)
	stem := lower
	for _, e := range extensions {
		if s, ok := strings.CutSuffix(lower, e); ok {
			stem = s
			break
		}
	}
	if stem == lower {
		stem = strings.TrimPrefix(lower, dbPrefix)
	}
	stem = strings.TrimSuffix(stem, ".")
	if !strings.Contains(stem, ".") {
		return ""
	}
	n, err := dnsq.ParseName(stem)
	if err != nil {
		return ""
	}
	return n
}

// openFolder reads the zone files of a folder. Its zones are in the order of
// their files' names.
func openFolder(dir string) ([]*Zone, []Passed, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, Errors{{File: dir, Msg: "cannot be read: " + reason(err), Err: err}}
	}
	type result struct {
		z        *Zone
		included []string
		err      error
	}
	read := map[string]result{}
	var names []string
	var passed []Passed
	for _, e := range entries {
		base := e.Name()
		full := filepath.Join(dir, base)
		st, err := os.Stat(full) // what a link leads to
		why := ""
		switch {
		case strings.HasPrefix(base, "."):
			continue
		case err != nil:
			return nil, nil, Errors{{File: full, Msg: "cannot be read: " + reason(err), Err: err}}
		case st.IsDir() && splitOrigin(full) != "":
			z, err := openOctoSplit(full, splitOrigin(full))
			read[base] = result{z, nil, err}
			names = append(names, base)
			continue
		case st.IsDir():
			why = "a folder inside the folder"
		case !st.Mode().IsRegular():
			why = "not a regular file"
		default:
			why = leftover(base)
		}
		if why == "" && isOctoDNS(base) {
			// example.com.yaml is a zone of octoDNS; production.yaml beside it is
			// its configuration.
			if nameOrigin(strings.TrimSuffix(base, filepath.Ext(base))) == "" {
				why = "a YAML file whose name is no domain"
			}
		} else if why == "" && !namedZone(base) {
			ok, err := looksLikeZone(full)
			if err != nil {
				return nil, nil, Errors{{File: full, Msg: "cannot be read: " + reason(err), Err: err}}
			}
			if !ok {
				why = "neither the name nor the text of a zone file"
			}
		}
		if why != "" {
			passed = append(passed, Passed{full, why})
			continue
		}
		z, included, err := openFile(full, full, "", nil)
		read[base] = result{z, included, err}
		names = append(names, base)
	}
	// What another file includes is a part of that one, not a zone.
	for _, r := range read {
		for _, inc := range r.included {
			delete(read, inc)
		}
	}
	sort.Strings(names)
	var zones []*Zone
	var errs Errors
	for _, base := range names {
		r, ok := read[base]
		if !ok {
			continue
		}
		var list Errors
		if errors.As(r.err, &list) {
			errs = append(errs, list...)
			continue
		}
		zones = append(zones, r.z)
	}
	if len(errs) > 0 {
		return nil, passed, errs
	}
	if len(zones) == 0 {
		return nil, passed, Errors{{File: dir, Msg: "the folder holds no zone file: expected names such as example.com.zone, example.com.db or db.example.com, or files with an SOA record"}}
	}
	return zones, passed, nil
}

// leftovers are endings of files that editors, name servers and people leave
// beside zone files. A signed copy is the same zone a second time.
var leftovers = map[string]string{
	"~": "a backup", ".bak": "a backup", ".old": "a backup", ".orig": "a backup", ".rej": "a backup", ".save": "a backup", ".swp": "a backup",
	".jnl": "a journal", ".jbk": "a journal", ".signed": "a signed copy", ".raw": "a compiled copy",
	".md": "a text", ".conf": "a configuration", ".json": "a configuration", ".js": "a program", ".py": "a program", ".sh": "a program",
	".key": "a key", ".private": "a key",
}

func leftover(base string) string {
	lower := strings.ToLower(base)
	for end, what := range leftovers {
		if strings.HasSuffix(lower, end) {
			return what
		}
	}
	return ""
}

// looksLikeZone looks at the start of a file for what only zone files have.
func looksLikeZone(name string) (bool, error) {
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return false, err
	}
	if bytes.IndexByte(b, 0) >= 0 {
		return false, nil
	}
	for line := range bytes.Lines(bytes.TrimPrefix(b, []byte("\ufeff"))) {
		line, _, _ = bytes.Cut(line, []byte(";"))
		words := strings.Fields(string(line))
		if len(words) < 2 {
			continue
		}
		switch first := strings.ToUpper(words[0]); first {
		case "$ORIGIN", "$TTL", "$INCLUDE", "$GENERATE":
			if line[0] == '$' {
				return true, nil
			}
		}
		if soaLine(words) {
			return true, nil
		}
	}
	return false, nil
}

// soaLine reports whether words are [owner] [TTL] [class] SOA and the start of
// its data: two names, and a parenthesis or the serial.
func soaLine(words []string) bool {
	for i, w := range words {
		if strings.EqualFold(w, "SOA") {
			rest := words[i+1:]
			return len(rest) >= 3 && (rest[2][0] == '(' || digit(rest[2][0]))
		}
		_, ttl := parseTTL(w)
		_, class := classOf(w)
		if i > 0 && !ttl && !class {
			return false
		}
	}
	return false
}

// reason is an I/O error without the path, which the message has already.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
