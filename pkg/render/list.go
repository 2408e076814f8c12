package render

import (
	"io"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/i18n"
)

// List writes which checks there are and which findings they can make.
func List(w io.Writer, checks []*diag.Check, cat *i18n.Catalog, o Options) error {
	p := newPage(o)
	wide := 0
	for _, c := range checks {
		for _, k := range c.Kinds {
			wide = max(wide, columns(k.ID))
		}
	}
	for i, c := range checks {
		if i > 0 {
			p.newline()
		}
		p.put(p.loud(c.Name))
		if d := cat.Check(c.Name); d != nil {
			p.put(p.say("  "))
			p.para(columns(c.Name)+2, p.say(d.Title))
			p.pad(2)
			p.para(2, p.dim(d.Intro))
		} else {
			p.newline()
		}
		for _, k := range c.Kinds {
			p.pad(2)
			p.put(span{text: word(k.Status), style: p.st.status[k.Status]}, p.say("  "+k.ID))
			if k.Owner != diag.Nobody && !p.narrow() {
				p.pad(wide - columns(k.ID) + 2)
				p.put(p.dim(cat.T("owner."+string(k.Owner), nil)))
			}
			p.newline()
		}
	}
	_, err := w.Write(p.Bytes())
	return err
}

type jsonList struct {
	Checks []jsonListCheck `json:"checks"`
}

type jsonListCheck struct {
	Name     string         `json:"name"`
	Findings []jsonListKind `json:"findings"`
}

type jsonListKind struct {
	ID     string      `json:"id"`
	Status diag.Status `json:"status"`
	Owner  diag.Owner  `json:"owner"`
}

// ListJSON writes the same for programs, indented by two spaces.
func ListJSON(w io.Writer, checks []*diag.Check) error {
	out := jsonList{Checks: []jsonListCheck{}}
	for _, c := range checks {
		jc := jsonListCheck{Name: c.Name, Findings: []jsonListKind{}}
		for _, k := range c.Kinds {
			jc.Findings = append(jc.Findings, jsonListKind{k.ID, k.Status, k.Owner})
		}
		out.Checks = append(out.Checks, jc)
	}
	return writeJSON(w, out, "  ")
}
