package render

import (
	"io"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
)

// Explain writes everything that the catalog says about one kind of finding:
// what it says, why it matters, what to do, where it is laid down.
func Explain(w io.Writer, c *diag.Check, k *diag.Kind, cat *i18n.Catalog, o Options) error {
	p := newPage(o)
	p.put(span{text: word(k.Status), style: p.st.status[k.Status]}, p.say("  "), p.loud(k.ID))
	p.newline()
	p.newline()
	e := cat.Entry(k.ID)
	if e != nil {
		p.pad(margin)
		p.para(margin, p.say(cat.Blank(e.Message)))
		p.newline()
	}
	owner := cat.T("explain.nobody", nil)
	if k.Owner != diag.Nobody {
		owner = cat.T("owner."+string(k.Owner), nil)
	}
	title := c.Name
	if d := cat.Check(c.Name); d != nil {
		title = d.Title
	}
	p.table(margin, [][2]string{
		{cat.T("explain.status", nil), cat.T("status."+k.Status.String(), nil)},
		{cat.T("explain.owner", nil), owner},
		{cat.T("explain.check", nil), title},
		{cat.T("explain.since", nil), cat.T("explain.since.text", diag.Args{"version": k.Since})},
	})
	blanks := false
	if e != nil {
		p.blocks(cat, "explain.why", e.Why)
		p.blocks(cat, "explain.fix", e.Fix)
		if e.Ask != "" {
			p.blocks(cat, "explain.ask", []i18n.Block{{Text: e.Ask}})
		}
		blanks = len(cat.Placeholders(k.ID)) > 0
	}
	if len(k.Refs) > 0 {
		p.newline()
		p.para(0, p.loud(cat.T("explain.refs", nil)))
		p.newline()
		for _, r := range k.Refs {
			p.pad(margin)
			p.para(margin, p.say(sanitize.Text(r.String())))
			// An address is on a line of its own and never wrapped: it is to be clicked.
			p.pad(margin + 2)
			p.put(p.dim(sanitize.Text(r.URL())))
			p.newline()
		}
	}
	if blanks {
		p.newline()
		p.para(0, p.dim(cat.T("explain.blank", nil)))
	}
	_, err := w.Write(p.Bytes())
	return err
}

// blocks sets a section of an entry, placeholders as ‹name›.
func (p *page) blocks(cat *i18n.Catalog, title string, blocks []i18n.Block) {
	if len(blocks) == 0 {
		return
	}
	p.newline()
	p.para(0, p.loud(cat.T(title, nil)))
	for i, b := range blocks {
		text := cat.Blank(b.Text)
		if i == 0 || b.Kind != i18n.Item || blocks[i-1].Kind != i18n.Item {
			p.newline()
		}
		switch b.Kind {
		case i18n.Prose:
			p.pad(margin)
			p.para(margin, p.say(text))
		case i18n.Item:
			p.pad(margin)
			p.put(p.say("- "))
			p.para(margin+2, p.say(text))
		case i18n.Code:
			// Examples are to be copied, so their lines stay whole.
			for _, l := range strings.Split(text, "\n") {
				if l != "" {
					p.pad(margin + 2)
					p.put(p.say(l))
				}
				p.newline()
			}
		}
	}
}
