package render

// The picture of a tree: what each branch costs, and where the limit is passed.
//
// On top one box for each unit of cost, in the order in which receivers spend
// them, with a line where the limit is; below the branches with their labels and
// costs. A label that does not fit goes on below: letters keep their size, so the
// same tree is drawn twice, for a phone and for a wide screen, and the style
// shows one of them.

import (
	"fmt"
	"html/template"
	"strings"

	"github.com/rivo/uniseg"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/i18n"
)

// Measures in CSS pixels.
const (
	svgLetter = 7.9 // widest usual advance of a 13px monospace letter
	svgLine   = 19  // from one line to the next
	svgGap    = 9   // between rows
	svgBoxes  = 60  // boxes at most; a hostile record costs thousands
)

type svgRow struct {
	node   *diag.Tree
	depth  int
	parent int // row; -1 for the root
	label  []string
	note   string
	y      float64 // of the first line's middle
}

// drawTree is the tree as an SVG image of that width.
func drawTree(cat *i18n.Catalog, check string, root *diag.Tree, width float64) template.HTML {
	step := 22.0
	if width < 500 {
		step = 13
	}
	costs := 34.0 // the column of costs
	// bars is the column of bars, unit what one unit of cost is in it.
	bars, unit := 160.0, 0.0
	if width < 500 {
		bars = 0
	} else if root.Cost > 0 {
		unit = min(bars/float64(root.Cost), 14)
	}
	var rows []svgRow
	var order []bool // for each unit of cost in order: is it of a node at fault
	more := 0
	var walk func(n *diag.Tree, depth, parent int)
	walk = func(n *diag.Tree, depth, parent int) {
		if len(rows) >= treeNodes || depth > treeDepth {
			more++
			return
		}
		at := len(rows)
		label := cat.Value("", n.Label)
		shown := min(depth, treeIndent)
		room := int((width - costs - bars - float64(shown)*step - 22) / svgLetter)
		r := svgRow{node: n, depth: shown, parent: parent, label: breakLabel(label, max(room, 8))}
		if n.Note != "" {
			r.note = cat.Term(check, "note", n.Note)
		}
		rows = append(rows, r)
		own := n.Cost
		for _, k := range n.Children {
			if k != nil {
				own -= k.Cost
			}
		}
		for range min(max(own, 0), svgBoxes) {
			order = append(order, n.Bad)
		}
		for _, k := range n.Children {
			if k != nil {
				walk(k, depth+1, at)
			}
		}
	}
	walk(root, 0, -1)

	const top = 4.0
	boxes := min(len(order), svgBoxes)
	slots := boxes
	if root.Limit > 0 && root.Limit <= svgBoxes {
		slots = max(slots, root.Limit)
	}
	y := top
	meter := 0.0
	if slots > 0 {
		meter = 22
		y += meter + 30
	}
	for i := range rows {
		r := &rows[i]
		y += svgGap
		r.y = y + svgLine/2
		y += float64(len(r.label)) * svgLine
		if r.note != "" {
			y += svgLine - 3
		}
	}
	if more > 0 {
		y += svgLine + svgGap
	}
	height := y + 8

	var b strings.Builder
	f := func(format string, a ...any) { fmt.Fprintf(&b, format, a...) }
	esc := template.HTMLEscapeString
	sum := cat.T("tree.sum", diag.Args{"n": root.Cost})
	if root.Limit > 0 {
		sum = cat.T("tree.sum.limit", diag.Args{"n": root.Cost, "limit": root.Limit})
	}
	f(`<svg class="tree" role="img" aria-label="%s" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f">`, esc(sum), width, height, width, height)
	if slots > 0 {
		gap := 3.0
		box := min((width-gap*float64(slots-1))/float64(slots), 40)
		for i := range slots {
			class := "box free"
			switch {
			case i < boxes && root.Limit > 0 && i >= root.Limit:
				class = "box over"
			case i < boxes:
				class = "box used"
			}
			f(`<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="3"/>`, class, float64(i)*(box+gap), top, max(box, 1), meter)
		}
		if root.Limit > 0 && root.Limit <= slots {
			x := float64(root.Limit)*(box+gap) - gap/2
			if root.Limit == slots {
				x = min(x, width-1)
			}
			f(`<path class="mark" d="M%.1f %.1fv%.1f"/>`, x, top-4, meter+10)
			f(`<text class="small" x="%.1f" y="%.1f" text-anchor="end">%s</text>`, max(x, 60), top+meter+18, esc(cat.T("html.limit", diag.Args{"n": root.Limit})))
		}
	}
	at := func(depth int) float64 { return 8 + float64(depth)*step }
	for i := range rows {
		r := &rows[i]
		if r.parent < 0 {
			continue
		}
		p := &rows[r.parent]
		x := at(p.depth)
		if r.depth == p.depth { // deeper than is indented
			f(`<path class="branch" d="M%.1f %.1fV%.1f"/>`, x, p.y+6, r.y-6)
			continue
		}
		f(`<path class="branch" d="M%.1f %.1fV%.1fq0 6 6 6H%.1f"/>`, x, p.y+6, r.y-6, at(r.depth)-5)
	}
	for i := range rows {
		r := &rows[i]
		x := at(r.depth)
		class, dot := "", "dot"
		if r.node.Bad || i == 0 && root.Limit > 0 && root.Cost > root.Limit {
			class, dot = " bad", "dot bad"
		}
		f(`<circle class="%s" cx="%.1f" cy="%.1f" r="5"/>`, dot, x, r.y)
		if r.node.Bad {
			f(`<path class="cross" d="M%.1f %.1fl4 4m0 -4l-4 4"/>`, x-2, r.y-2)
		}
		ty := r.y + 4.5
		for _, l := range r.label {
			f(`<text class="label%s" x="%.1f" y="%.1f">%s</text>`, class, x+13, ty, esc(l))
			ty += svgLine
		}
		if r.note != "" {
			f(`<text class="small%s" x="%.1f" y="%.1f">%s</text>`, class, x+13, ty-2, esc(r.note))
		}
		f(`<text class="cost%s" x="%.1f" y="%.1f" text-anchor="end">%d</text>`, class, width-2, r.y+4.5, r.node.Cost)
		// A bar for the cost, and a line that leads the eye to it, where there is room.
		if r.parent < 0 || unit == 0 {
			continue
		}
		bar := max(min(float64(r.node.Cost)*unit, bars), 0)
		from, to := x+13+float64(columns(r.label[0]))*svgLetter+8, width-costs-bar-6
		if to-from > 12 {
			f(`<path class="leader" d="M%.1f %.1fH%.1f"/>`, from, r.y, to)
		}
		if bar > 0 {
			f(`<rect class="bar%s" x="%.1f" y="%.1f" width="%.1f" height="8" rx="2"/>`, class, width-costs-bar, r.y-4, bar)
		}
	}
	if more > 0 {
		f(`<text class="small" x="8" y="%.1f">%s</text>`, height-12, esc(cat.T("tree.more", diag.Args{"n": more})))
	}
	f(`</svg>`)
	return template.HTML(b.String())
}

// breakLabel cuts a sanitised label into lines of at most room columns, after a
// mark that parts it (":", ".", "/") if one is in the second half, and at most
// four of them.
func breakLabel(s string, room int) []string {
	var out []string
	for s != "" {
		if len(out) == 3 && columns(s) > room {
			return append(out, cond.Truncate(s, room, "…"))
		}
		used, end, good := 0, 0, 0
		for g := uniseg.NewGraphemes(s); g.Next(); {
			c := columns(g.Str())
			if used+c > room && end > 0 {
				break
			}
			used += c
			_, end = g.Positions()
			if strings.ContainsAny(g.Str(), ":./ ") && used > room/2 {
				good = end
			}
		}
		if end < len(s) && good > 0 {
			end = good
		}
		out = append(out, s[:end])
		s = s[end:]
	}
	if out == nil {
		out = []string{""}
	}
	return out
}
