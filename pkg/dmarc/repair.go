package dmarc

import (
	"regexp"
	"slices"
	"strings"
)

var (
	// marks are what word processors and web forms put round a text: quotes of
	// every kind, no-break spaces, byte order marks, zero width spaces.
	marks = strings.NewReplacer("\u201c", "", "\u201d", "", "\u201e", "", "\u2018", "", "\u2019", "",
		"\u00ab", "", "\u00bb", "", "\u00a0", " ", "\u3000", " ", "\ufeff", "", "\u200b", "", `"`, "", "`", "",
		"\uff1b", ";", "\uff1d", "=", "\uff0c", ",", "\uff1a", ":", `\;`, ";")
	versionSlip = regexp.MustCompile(`(?i)^[ \t']*v[ \t]*[=:]?[ \t]*dmarc1([ \t']*[;,:.]|[ \t']+|'*$)`)
	colonTag    = regexp.MustCompile(`(?i)^(p|sp|np|adkim|aspf|pct|t|psd|fo):[ \t]*([a-z0-9]+)$`)
	bareAddress = regexp.MustCompile(`^<?(?i:mailto:)?/{0,2}[ \t]*([A-Za-z0-9._+=-]+@[A-Za-z0-9.-]+\.[A-Za-z0-9-]+)>?(![0-9]+[kmgtKMGT]?)?$`)
	between     = regexp.MustCompile(`([^ \t,:])[ \t]+([^ \t,])`)
)

// Repair corrects the slips of a record that have only one meaning: quotes and
// blanks around it, a zone file's backslashes, the version in another case, in
// another place or without its semicolon, a colon for an equals sign, an
// address without mailto:, a value spelt out (adkim=relaxed). ok is false if the text is sound already, or if
// anything in it would still be ignored afterwards: then a person must look.
func Repair(text string) (fixed string, ok bool) {
	if len(text) > 4096 {
		return "", false // longer than any record that was typed
	}
	s := marks.Replace(text)
	if m := versionSlip.FindStringIndex(s); m != nil {
		s = "v=DMARC1;" + s[m[1]:]
	}
	var version string
	var tags []string
	for _, part := range strings.Split(s, ";") {
		part = strings.Trim(part, " \t'")
		if part == "" {
			continue
		}
		if m := colonTag.FindStringSubmatch(part); m != nil {
			part = m[1] + "=" + m[2]
		}
		name, value, eq := strings.Cut(part, "=")
		name, value = strings.Trim(name, " \t"), strings.Trim(value, " \t'")
		low := strings.ToLower(name)
		switch {
		case low == "v" && strings.EqualFold(value, "DMARC1"):
			version = "v=DMARC1"
			continue
		case low == "rua" || low == "ruf":
			part = low + "=" + destinations(value)
		case !eq || !alpha(name):
			// A destination behind a semicolon where a comma belongs.
			if n := len(tags); n > 0 && bareAddress.MatchString(part) && (strings.HasPrefix(tags[n-1], "rua=") || strings.HasPrefix(tags[n-1], "ruf=")) {
				tags[n-1] += "," + destinations(part)
				continue
			}
			return "", false
		default:
			part = low + "=" + value
			if known[low] {
				part = low + "=" + word(low, strings.ToLower(value))
			}
		}
		tags = append(tags, part)
	}
	if version == "" {
		// Without a v tag only a policy at the start shows what was meant.
		if len(tags) == 0 || !strings.HasPrefix(tags[0], "p=") {
			return "", false
		}
		version = "v=DMARC1"
	}
	fixed = strings.Join(append([]string{version}, tags...), "; ")
	if fixed == text {
		return "", false
	}
	r := Parse(fixed)
	if r.Fatal != nil {
		return "", false
	}
	for _, n := range r.Notes {
		switch n.Code {
		case NoteRemovedTag, NoteFOWithoutRUF, NoteSizeLimit, NoteNotMailto, NoteUnknownTag:
			// Ignored as before; leaving them changes nothing.
		default:
			return "", false
		}
	}
	return fixed, true
}

// word is the value that stands for one that was spelt out.
func word(tag, value string) string {
	switch {
	case (tag == "adkim" || tag == "aspf") && (value == "relaxed" || value == "strict"),
		(tag == "t" || tag == "psd") && (value == "yes" || value == "no"):
		return value[:1]
	case tag == "fo":
		// RFC 7489 §6.3 allowed 0 and 1 together. 1 asks for all that 0 does.
		options := strings.Split(value, ":")
		if slices.Contains(options, "1") {
			options = slices.DeleteFunc(options, func(o string) bool { return o == "0" })
		}
		return strings.Join(options, ":")
	}
	return value
}

// destinations corrects a list of report destinations.
func destinations(value string) string {
	value = between.ReplaceAllString(value, "$1,$2")
	var out []string
	for _, d := range strings.Split(value, ",") {
		d = strings.Trim(d, " \t'")
		if d == "" {
			continue
		}
		if m := bareAddress.FindStringSubmatch(d); m != nil {
			d = "mailto:" + m[1] + m[2]
		}
		out = append(out, d)
	}
	return strings.Join(out, ",")
}
