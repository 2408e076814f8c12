package i18n

import (
	"fmt"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
)

// A Piece is a part of a sentence: words of ours, or a value that a stranger
// may have chosen. Both are sanitised. A format with markup of its own (Markdown,
// HTML) sets them apart, so that no value is taken for markup.
type Piece struct {
	Text  string
	Value bool
}

// MessagePieces is Message in pieces.
func (c *Catalog) MessagePieces(f *diag.Finding) []Piece {
	if e := c.byID[f.Kind.ID]; e != nil {
		return c.FillPieces(e.Message, f)
	}
	return []Piece{{c.Message(f), true}}
}

// WhyPieces is Why in pieces; nil if there is none.
func (c *Catalog) WhyPieces(f *diag.Finding) []Piece {
	if e := c.byID[f.Kind.ID]; e != nil && len(e.Why) > 0 {
		return c.FillPieces(e.Why[0].Text, f)
	}
	return nil
}

// FixPieces is Fix in pieces; nil if there is none.
func (c *Catalog) FixPieces(f *diag.Finding) []Piece {
	if e := c.byID[f.Kind.ID]; e != nil && len(e.Fix) > 0 {
		return c.FillPieces(e.Fix[0].Text, f)
	}
	return nil
}

// FillPieces is Fill in pieces.
func (c *Catalog) FillPieces(text string, f *diag.Finding) []Piece {
	return c.pieces(text, c.docOf[f.Kind.ID], func(name string) (any, bool) {
		if name == "subject" {
			return f.Subject, true
		}
		v, ok := f.Args[name]
		return v, ok
	})
}

// TPieces is T in pieces. A value that is []Piece is put in as it is.
func (c *Catalog) TPieces(key string, args diag.Args) []Piece {
	text, ok := c.frame[key]
	if !ok {
		return []Piece{{key, false}}
	}
	return c.pieces(text, nil, func(name string) (any, bool) { v, ok := args[name]; return v, ok })
}

// NPieces is N in pieces.
func (c *Catalog) NPieces(key string, n int, args diag.Args) []Piece {
	all := diag.Args{"n": n}
	for k, v := range args {
		all[k] = v
	}
	if n == 1 {
		return c.TPieces(key+".one", all)
	}
	return c.TPieces(key+".many", all)
}

func (c *Catalog) pieces(text string, doc *Doc, value func(name string) (any, bool)) []Piece {
	var out []Piece
	walk(text, func(own string) {
		if n := len(out); n > 0 && !out[n-1].Value {
			out[n-1].Text += own
		} else if own != "" {
			out = append(out, Piece{own, false})
		}
	}, func(name string) {
		if v, ok := value(name); ok {
			out = append(out, c.ValuePieces(doc, name, v)...)
		} else {
			out = append(out, Piece{"‹" + name + "›", false})
		}
	})
	return out
}

// ValuePieces is Value in pieces: a list is a piece for each element, with our
// separators between them. The terms of doc are used if it is not nil.
func (c *Catalog) ValuePieces(doc *Doc, name string, v any) []Piece {
	one := func(s string) Piece {
		text, ours := c.shown(doc, name, s)
		return Piece{text, !ours}
	}
	switch v := v.(type) {
	case []Piece:
		return v
	case string:
		return []Piece{one(v)}
	case []string:
		var out []Piece
		for i, s := range v {
			if i == maxList {
				return append(out, Piece{c.T("list.more", diag.Args{"n": len(v) - maxList}), false})
			}
			if i > 0 {
				out = append(out, Piece{c.frame["list.sep"], false})
			}
			out = append(out, one(s))
		}
		if out != nil {
			return out
		}
	case int, bool:
	default:
		return []Piece{{sanitize.Text(fmt.Sprint(v)), true}}
	}
	return []Piece{{c.value(doc, name, v), false}}
}
