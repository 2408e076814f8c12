package render

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/i18n"
)

// summary writes the table that stands above several reports: a line for each
// with its status and what it counts.
func summary(w *bytes.Buffer, reports []*diag.Report, cat *i18n.Catalog, o Options) {
	p := newPage(o)
	p.para(0, p.loud(cat.N("summary.head", len(reports), nil)))
	p.newline()
	wide := 0
	names := make([]string, len(reports))
	for i, r := range reports {
		names[i] = cat.Value("", r.Target.Domain)
		wide = max(wide, columns(names[i]))
	}
	wide = min(wide, p.prose/2)
	for i, r := range reports {
		s := VerdictStatus(r)
		if s == diag.Info {
			s = diag.Pass
		}
		p.status(s)
		name := names[i]
		if columns(name) > wide {
			name = cond.Truncate(name, wide, "…")
		}
		p.put(p.say(name))
		p.pad(wide - columns(name) + 2)
		p.para(margin+wide+2, p.counts(r, cat)...)
	}
	w.Write(p.Bytes())
}

// counts are the findings of each status, the worst first, and what of them is
// waived or known.
func (p *page) counts(r *diag.Report, cat *i18n.Catalog) []span {
	var spans []span
	add := func(parts ...span) {
		for i := range parts {
			parts[i].solid = true
		}
		spans = append(append(spans, parts...), p.solid(p.say("   ")))
	}
	n := r.Counts()
	for _, s := range slices.Backward(diag.Statuses) {
		if n[s] > 0 {
			add(span{text: word(s), style: p.st.status[s]}, p.say(fmt.Sprintf(" %d", n[s])))
		}
	}
	if k := r.Waived(); k > 0 {
		add(p.dim(waivedWord), p.say(fmt.Sprintf(" %d", k)))
	}
	if k := r.Known(); k > 0 {
		add(p.dim(cat.N("foot.known", k, nil)))
	}
	return spans
}

// waivedWord stands in place of the status of a finding that is waived.
const waivedWord = "WAIV"

// waiver says until when and why a finding is accepted, and where that stands.
func (t *textReport) waiver(f *diag.Finding) {
	w := f.Waived
	text := t.cat.T("waived.until", diag.Args{"status": word(f.Kind.Status), "date": w.Expires.UTC().Format("2006-01-02"), "reason": w.Reason})
	var at []span
	if w.Place.File != "" {
		at = append(at, t.dim(" ("+t.cat.Value("", place(w.Place))+")"))
	}
	t.detail("waived", append([]span{t.say(text)}, at...)...)
}

func place(p diag.Place) string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}
