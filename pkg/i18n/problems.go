package i18n

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// Problems holds the texts of all checks against the kinds that they declare,
// and the languages against each other. The rules:
//   - a document can be read, in every language
//   - each kind has an entry and each entry a kind
//   - a fail, warn or inconclusive kind says why it matters and what to do
//   - a text uses only the values that its kind has, and {subject}
//   - all languages use the same values for an ID, and ask (### Ask) about the
//     same IDs; a question ends with a question mark (in Japanese with "。")
//   - the terms are the same in every language
//   - a message, Why and Fix end with a full stop (".", in Japanese "。"), and
//     Japanese texts are Japanese
//   - the frames have the same keys and values, and every reason, status,
//     owner and source of the vocabulary has its text
//
// It returns one error for each breach.
func Problems(checks []*diag.Check) []error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	errs = append(errs, frameProblems()...)
	for _, ch := range checks {
		first := map[string][]string{} // ID: values that the first language uses
		asks := map[string]bool{}      // of the first language: IDs with a question
		var terms map[string]string    // of the first language
		for i, lang := range Languages {
			d, err := read(ch, lang)
			if err != nil {
				bad("%w", err)
				continue
			}
			text := func(e *Entry, part, t string) {
				if end := sentenceEnd[lang]; !strings.HasSuffix(t, end) {
					bad("%s:%d: %s: %s does not end with %s", d.file, e.line, e.ID, part, end)
				}
				if lang == "ja" && !japanese(t) {
					bad("%s:%d: %s: %s is not Japanese", d.file, e.line, e.ID, part)
				}
			}
			if lang == "ja" && !japanese(d.Title) {
				bad("%s: the title is not Japanese", d.file)
			}
			if lang == "ja" && !japanese(d.Intro) {
				bad("%s: the paragraph below the title is not Japanese", d.file)
			}
			if i == 0 {
				terms = d.Terms
			}
			for k := range d.Terms {
				if _, ok := terms[k]; !ok {
					bad("%s: the term %s is not in %s", d.file, k, Languages[0])
				}
			}
			for k := range terms {
				if _, ok := d.Terms[k]; !ok {
					bad("%s: the term %s is missing", d.file, k)
				}
			}
			has := map[string]bool{}
			for _, e := range d.Entries {
				has[e.ID] = true
				k := ch.Kind(e.ID)
				if k == nil {
					bad("%s:%d: %s is no kind of check %s", d.file, e.line, e.ID, ch.Name)
					continue
				}
				text(e, "the message", e.Message)
				if len(e.Why) > 0 {
					text(e, "Why", e.Why[0].Text)
				}
				if len(e.Fix) > 0 {
					text(e, "Fix", e.Fix[0].Text)
				}
				if k.Status >= diag.Warn {
					if len(e.Why) == 0 {
						bad("%s:%d: %s has status %s and no ### Why", d.file, e.line, e.ID, k.Status)
					}
					if len(e.Fix) == 0 {
						bad("%s:%d: %s has status %s and no ### Fix", d.file, e.line, e.ID, k.Status)
					}
				}
				if e.Ask != "" && !strings.HasSuffix(e.Ask, questionEnd[lang]) {
					bad("%s:%d: %s: Ask does not end with %s", d.file, e.line, e.ID, questionEnd[lang])
				}
				if i == 0 {
					asks[e.ID] = e.Ask != ""
				} else if asked, ok := asks[e.ID]; ok && asked != (e.Ask != "") {
					bad("%s:%d: %s has ### Ask in one language only", d.file, e.line, e.ID)
				}
				used := e.placeholders()
				for _, n := range used {
					if n != "subject" && !slices.Contains(k.Args, n) {
						bad("%s:%d: %s uses {%s}, which is not among its values (%s)", d.file, e.line, e.ID, n, strings.Join(k.Args, ", "))
					}
				}
				if i == 0 {
					first[e.ID] = used
				} else if want, ok := first[e.ID]; ok && !slices.Equal(used, want) {
					bad("%s:%d: %s uses the values %v, in %s %v", d.file, e.line, e.ID, used, Languages[0], want)
				}
			}
			for _, k := range ch.Kinds {
				if !has[k.ID] {
					bad("%s: %s is missing", d.file, k.ID)
				}
			}
		}
	}
	return errs
}

var (
	sentenceEnd = map[string]string{"en": ".", "ja": "。"}
	questionEnd = map[string]string{"en": "?", "ja": "。"}
)

func frameProblems() []error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	all := map[string]map[string]string{}
	for _, l := range Languages {
		f, err := frames(l)
		if err != nil {
			return append(errs, err)
		}
		all[l] = f
	}
	base := all[Languages[0]]
	for _, l := range Languages {
		f := all[l]
		for k, t := range f {
			b, ok := base[k]
			if !ok {
				bad("frame.%s.txt: %s is not in frame.%s.txt", l, k, Languages[0])
				continue
			}
			x, _ := placeholders(b)
			y, _ := placeholders(t)
			slices.Sort(x)
			slices.Sort(y)
			if !slices.Equal(slices.Compact(x), slices.Compact(y)) {
				bad("frame.%s.txt: %s uses the values %v, in %s %v", l, k, y, Languages[0], x)
			}
		}
		for k := range base {
			if _, ok := f[k]; !ok {
				bad("frame.%s.txt: %s is missing", l, k)
			}
		}
		need := func(key string) {
			if _, ok := f[key]; !ok {
				bad("frame.%s.txt: %s is missing", l, key)
			}
		}
		for _, r := range dnsq.Reasons {
			need("term.reason." + string(r))
		}
		for _, s := range diag.Statuses {
			need("status." + s.String())
		}
		for _, o := range diag.Owners {
			need("owner." + string(o))
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errs
}

func japanese(s string) bool {
	for _, r := range s {
		if unicode.In(r, unicode.Hiragana, unicode.Katakana, unicode.Han) {
			return true
		}
	}
	return false
}
