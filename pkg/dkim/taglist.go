package dkim

import "strings"

// A Span is a half-open range of octets: of [Key.Text], of a field's raw
// octets, or of the text that [ParseTags] was given.
type Span struct{ Start, End int }

// A Tag is one name=value of a tag list, white space round both taken off.
type Tag struct {
	Span             // from the name to the end of the value
	Name      string // as written: names are case-sensitive (§3.2)
	Value     string
	ValueSpan Span
	// whole is what stands between "=" and ";", white space and all: the part
	// that is deleted from b= before it is verified (§3.5).
	whole Span
}

// A TagError is one place where a tag list breaks the grammar of §3.2. Code is
// one of ErrNoValue, ErrBadTagName, ErrEmptyTag, ErrDuplicateTag and
// ErrTooManyTags.
type TagError struct {
	Span
	Code string
}

// ParseTags reads a tag list (RFC 6376 §3.2) that reaches from octet start to
// the end of text. Spans count from the start of text. At most [MaxTags] tags
// are read.
func ParseTags(text string, start int) (tags []Tag, errs []TagError) {
	tags = tagList(text, Span{start, len(text)}, func(code string, at Span) {
		errs = append(errs, TagError{at, code})
	})
	return tags, errs
}

// tagList reads the tag list of §3.2:
//
//	tag-list  =  tag-spec *( ";" tag-spec ) [ ";" ]
//	tag-spec  =  [FWS] tag-name [FWS] "=" [FWS] tag-value [FWS]
func tagList(text string, in Span, fail func(code string, at Span)) []Tag {
	n := min(strings.Count(text[in.Start:in.End], ";")+1, MaxTags)
	tags := make([]Tag, 0, n)
	for start := in.Start; start <= in.End; {
		end := in.End
		if i := strings.IndexByte(text[start:in.End], ';'); i >= 0 {
			end = start + i
		}
		part := trim(text, Span{start, end})
		last := end == in.End
		start = end + 1
		if part.Start == part.End {
			// Nothing after the last semicolon is the grammar's own; white
			// space there is nobody's trouble.
			if last {
				break
			}
			fail(ErrEmptyTag, Span{max(end-1, in.Start), end + 1})
			continue
		}
		if len(tags) == MaxTags {
			fail(ErrTooManyTags, Span{part.Start, in.End})
			break
		}
		eq := strings.IndexByte(text[part.Start:part.End], '=')
		if eq < 0 {
			fail(ErrNoValue, part)
			continue
		}
		name := trim(text, Span{part.Start, part.Start + eq})
		whole := Span{part.Start + eq + 1, end}
		value := trim(text, whole)
		t := Tag{Span: part, Name: text[name.Start:name.End], Value: text[value.Start:value.End], ValueSpan: value, whole: whole}
		if t.Value == "" {
			t.ValueSpan = Span{part.End, part.End}
		}
		if !isTagName(t.Name) {
			fail(ErrBadTagName, name)
			continue
		}
		// §3.2: "Tags with duplicate names MUST NOT occur within a single
		// tag-list; if a tag name does occur more than once, the entire
		// tag-list is invalid."
		if findTag(tags, t.Name) != nil {
			fail(ErrDuplicateTag, part)
		}
		tags = append(tags, t)
	}
	return tags
}

// findTag is the first tag of that name, or nil.
func findTag(tags []Tag, name string) *Tag {
	for i := range tags {
		if tags[i].Name == name {
			return &tags[i]
		}
	}
	return nil
}

func isTagName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || !('0' <= s[i] && s[i] <= '9') && s[i] != '_') {
			return false
		}
	}
	return s != ""
}
