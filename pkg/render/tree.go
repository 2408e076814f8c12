package render

import (
	"strconv"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
)

// Bounds of a tree: SPF allows ten look-ups, a hostile record has thousands of
// terms.
const (
	treeNodes  = 200
	treeDepth  = 24 // deeper nodes are left out; SPF cannot go that deep
	treeIndent = 12 // levels that are indented; below, lines keep that indent
)

// tree draws t: costs in a column of their own, right-aligned, so that they
// can be compared; the branches beside them; the sum at the end.
func (t *textReport) tree(check string, root *diag.Tree) {
	if root == nil {
		return
	}
	unit := t.cat.Value("unit", root.Unit)
	if root.Unit == "" {
		unit = ""
	}
	t.newline()
	t.pad(margin)
	head := t.cat.T("tree.head", nil)
	if unit != "" {
		head += " (" + unit + ")"
	}
	t.para(margin, t.dim(head))
	wide := max(len(strconv.Itoa(root.Cost)), 3)
	left := treeNodes
	var walk func(n *diag.Tree, own, below string, depth int)
	more := func(branch string, n int) {
		t.pad(margin + wide + 2)
		t.put(t.dim(branch))
		t.para(margin+wide+2+columns(branch), t.dim(t.cat.T("tree.more", diag.Args{"n": n})))
	}
	walk = func(n *diag.Tree, own, below string, depth int) {
		left--
		cost := strconv.Itoa(n.Cost)
		t.pad(margin + wide - len(cost))
		st := t.st.plain
		if n.Bad {
			st = t.st.caret
		}
		t.put(span{text: cost, style: st}, t.say("  "), t.dim(own))
		label := []span{{text: t.cat.Value("", n.Label), style: st}}
		if n.Note != "" {
			label = append(label, t.dim("  "+t.cat.Term(check, "note", n.Note)))
		}
		if n.Bad {
			label = append(label, span{text: " ✗", style: t.st.caret, solid: true})
		}
		t.treeLine(margin+wide+2, own, below, label)
		kids := n.Children
		if depth >= treeDepth && len(kids) > 0 {
			more(below+"└─ ", len(kids))
			return
		}
		for i, k := range kids {
			if k == nil {
				continue
			}
			if left <= 0 {
				more(below+"└─ ", len(kids)-i)
				return
			}
			o, b := below+"├─ ", below+"│  "
			if i == len(kids)-1 {
				o, b = below+"└─ ", below+"   "
			}
			if depth >= treeIndent || columns(o) > (t.full-margin-wide)/2 {
				o, b = below+"· ", below
			}
			walk(k, o, b, depth+1)
		}
	}
	walk(root, "", "", 0)
	t.pad(margin)
	t.put(t.dim(strings.Repeat("─", wide)))
	t.newline()
	sum := t.cat.T("tree.sum", diag.Args{"n": root.Cost})
	st := t.st.bold
	if root.Limit > 0 {
		sum = t.cat.T("tree.sum.limit", diag.Args{"n": root.Cost, "limit": root.Limit})
		if root.Cost > root.Limit {
			st = t.st.caret
		}
	}
	t.pad(margin)
	t.para(margin, span{text: sum, style: st})
}

// treeLine sets what stands right of the branches; a label that does not fit
// goes on below, past the branches of the lines that follow.
func (t *textReport) treeLine(col int, own, below string, spans []span) {
	w := columns(own)
	for i, l := range wrap(spans, max(t.full-col-w, 10), max(t.full-col-w, 10)) {
		if i > 0 {
			t.pad(col)
			t.put(t.dim(below))
			t.pad(w - columns(below))
		}
		t.put(l...)
		t.newline()
	}
}
