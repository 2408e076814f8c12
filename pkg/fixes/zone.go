package fixes

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/zone"
)

// writeZone writes lines to paste, or where there are zone files a unified diff
// of them that patch(1) and git take. Its comments are in no place where they
// could be taken for part of a hunk.
func writeZone(w io.Writer, in *Input, cat *i18n.Catalog) error {
	if in.Zones != nil {
		return writeDiff(w, in, cat)
	}
	n := &notes{mark: ";", cat: cat}
	n.head(in)
	// Only one name and type at a time: what goes, as comments, then what comes.
	for _, e := range in.Plan.Edits {
		remove, add, err := zone.FormatEdit(e)
		if err != nil {
			return err
		}
		n.WriteByte('\n')
		if remove != "" {
			n.T("fixes.remove", nil)
			n.line("    " + remove)
		}
		if add != "" {
			n.WriteString(add + "\n")
		}
	}
	n.left(in)
	_, err := io.WriteString(w, n.String())
	return err
}

func writeDiff(w io.Writer, in *Input, cat *i18n.Catalog) error {
	n := &notes{mark: "#", cat: cat}
	n.head(in)
	ed := in.Zones.Edit(in.Plan.Edits, in.Bump)
	if len(ed.Files) > 0 {
		n.line("")
		n.T("fixes.apply", nil)
		for _, s := range ed.Serials {
			n.T("fixes.serial", diag.Args{"domain": s.Zone, "old": strconv.FormatUint(uint64(s.Old), 10), "new": strconv.FormatUint(uint64(s.New), 10)})
		}
		for _, z := range in.Zones.Zones() {
			if serialStays(z, ed) {
				n.T("fixes.serial.stays", diag.Args{"domain": z.Origin})
			}
		}
	}
	for _, u := range ed.Unplaced {
		n.line("")
		args := diag.Args{"record": u.Edit.Name + " " + u.Edit.Type, "place": "", "name": u.Detail}
		if u.File != "" {
			args["place"] = u.File + ":" + strconv.Itoa(u.Line)
		}
		n.T("fixes.unplaced."+string(u.Why), args)
		n.edits([]diag.Edit{u.Edit})
	}
	n.left(in)
	for _, f := range ed.Files {
		name := diffName(f.Name)
		d, err := unified(name, string(f.Old), string(f.New))
		if err != nil {
			return err
		}
		n.WriteByte('\n')
		n.WriteString(d)
	}
	_, err := io.WriteString(w, n.String())
	return err
}

// serialStays reports whether files of z change and its serial does not.
func serialStays(z *zone.Zone, ed *zone.Edition) bool {
	hasSOA := slices.ContainsFunc(z.Records, func(rr dnsq.RR) bool { return rr.SOA != nil })
	if !hasSOA || slices.ContainsFunc(ed.Serials, func(s zone.SerialChange) bool { return s.Zone == z.Origin }) {
		return false
	}
	return slices.ContainsFunc(ed.Files, func(f zone.FileText) bool { return z.Source(f.Name) != nil })
}

// unified is a diff with three lines of context.
func unified(name, old, new string) (string, error) {
	return udiff.ToUnified(name, name, old, udiff.Lines(old, new), udiff.DefaultContextLines)
}

// diffName is a file's name as the head of a diff has it: relative to the
// current folder if it is in it, since patch(1) takes no other; a name with odd
// octets in quotes as a C string, which GNU patch and git both read.
func diffName(name string) string {
	if filepath.IsAbs(name) {
		if wd, err := os.Getwd(); err == nil {
			if rel, err := filepath.Rel(wd, name); err == nil && filepath.IsLocal(rel) {
				name = rel
			}
		}
	}
	name = filepath.ToSlash(name)
	odd := false
	for i := 0; i < len(name); i++ {
		c := name[i]
		odd = odd || c < ' ' || c > '~' || c == '"' || c == '\\'
	}
	if odd {
		var b strings.Builder
		b.WriteByte('"')
		for i := 0; i < len(name); i++ {
			switch c := name[i]; {
			case c == '"' || c == '\\':
				b.WriteString(`\` + string(rune(c)))
			case c < ' ' || c > '~':
				b.WriteString(`\` + string([]byte{'0' + c>>6, '0' + c>>3&7, '0' + c&7}))
			default:
				b.WriteByte(c)
			}
		}
		return b.String() + `"`
	}
	if strings.Contains(name, " ") {
		return name + "\t" // ends the name
	}
	return name
}
