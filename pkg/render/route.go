package render

import (
	"strconv"
	"strings"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/i18n"
)

// Of a route with more than routeLegs legs the first ones, the last ones and those
// at the border are shown without -v. A loop has hundreds.
const (
	routeLegs  = 14
	routeFirst = 4
	routeLast  = 7
)

// A routeLine is one line of a route, the same in every format: a host, what is
// said of a leg, or where the receiver's own account begins.
type routeLine struct {
	kind  routeKind
	claim bool
	parts []routePart
}

type routePart struct {
	pieces []i18n.Piece
	bad    bool
}

type routeKind string

const (
	routeStop   routeKind = "stop"
	routeSeen   routeKind = "seen" // how the host appears to the next one
	routeStep   routeKind = "step"
	routeBorder routeKind = "border"
	routeMore   routeKind = "more"
)

// routeLines sets a route from the sender down to the receiver.
func routeLines(cat *i18n.Catalog, check string, r *diag.Route, all bool) []routeLine {
	var out []routeLine
	one := func(p ...i18n.Piece) routePart { return routePart{pieces: p} }
	value := func(s string) []i18n.Piece { return cat.ValuePieces(nil, "", s) }
	add := func(k routeKind, claim bool, parts ...routePart) { out = append(out, routeLine{k, claim, parts}) }
	more := func(n int) { add(routeMore, true, one(cat.NPieces("route.more", n, nil)...)) }
	if r.More > 0 {
		more(r.More)
	}
	shown := func(i int) bool {
		return all || len(r.Legs) <= routeLegs || i < routeFirst || i >= len(r.Legs)-routeLast || i >= r.Border-1 && i <= r.Border+1
	}
	left := 0 // legs left out before this one
	for i := range r.Legs {
		if !shown(i) {
			left++
			continue
		}
		gap := left > 0
		if gap {
			more(left)
			left = 0
		}
		l := &r.Legs[i]
		var seen []routePart
		if l.Addr != "" {
			seen = append(seen, one(value("["+l.Addr+"]")...))
		}
		if l.Name != "" && !strings.EqualFold(l.Name, l.From) {
			seen = append(seen, one(cat.TPieces("route.name", diag.Args{"name": l.Name})...))
		}
		var steps []routePart
		note := func(n diag.LegNote) routePart {
			return routePart{pieces: []i18n.Piece{{Text: cat.Term(check, "leg", n.Code)}}, bad: n.Bad}
		}
		for _, n := range l.Notes {
			// What is about the host stands with it.
			switch n.Code {
			case "private", "loopback", "link-local", "reserved", "no-reverse":
				seen = append(seen, note(n))
			}
		}
		switch {
		case i == 0 || gap || r.Legs[i-1].To == "":
			name := l.From
			if name == "" {
				name = l.Name
			}
			host := cat.TPieces("route.unnamed", nil)
			if name != "" {
				host = value(name)
			}
			add(routeStop, i <= r.Border || l.Claim, append([]routePart{one(host...)}, seen...)...)
		default:
			if l.From != "" && !strings.EqualFold(l.From, r.Legs[i-1].To) {
				seen = append([]routePart{one(cat.TPieces("route.greets", diag.Args{"name": l.From})...)}, seen...)
			}
			if seen != nil {
				add(routeSeen, l.Claim, seen...)
			}
		}
		if i == r.Border {
			border := cat.TPieces("route.border", diag.Args{"receiver": r.Receiver})
			if i == 0 {
				border = cat.TPieces("route.border.first", diag.Args{"receiver": r.Receiver})
			}
			add(routeBorder, false, one(border...))
		}
		if !l.Time.IsZero() {
			steps = append(steps, one(i18n.Piece{Text: l.Time.Format("2006-01-02 15:04:05 -0700")}))
		}
		if l.HasDelay {
			steps = append(steps, delayPart(cat, l))
		}
		if l.With != "" {
			steps = append(steps, one(value(l.With)...))
		}
		if l.TLS != "" {
			steps = append(steps, one(value(l.TLS)...))
		}
		for _, n := range l.Notes {
			switch n.Code {
			case "private", "loopback", "link-local", "reserved", "no-reverse", "slow", "backwards":
			default:
				steps = append(steps, note(n))
			}
		}
		add(routeStep, l.Claim, steps...)
		host := cat.TPieces("route.unnamed", nil)
		if l.To != "" {
			host = value(l.To)
		}
		add(routeStop, l.Claim, one(host...))
	}
	if r.Border < 0 && len(r.Legs) > 0 {
		add(routeBorder, true, one(cat.TPieces("route.border.none", nil)...))
	}
	return out
}

// delayPart is the time since the leg before. Whether it is a fault is the
// check's to say.
func delayPart(cat *i18n.Catalog, l *diag.Leg) routePart {
	p := routePart{}
	for _, n := range l.Notes {
		if n.Code == "slow" || n.Code == "backwards" {
			p.bad = n.Bad
		}
	}
	if d := int(l.Delay / time.Second); d >= 0 {
		p.pieces = cat.TPieces("route.later", diag.Args{"duration": d})
	} else {
		p.pieces = cat.TPieces("route.earlier", diag.Args{"duration": -d})
	}
	return p
}

// route draws r in the text report.
func (t *textReport) route(check string, r *diag.Route) {
	if r == nil || len(r.Legs) == 0 {
		return
	}
	t.newline()
	t.pad(margin)
	t.para(margin, t.dim(t.cat.T("route.head", nil)))
	for _, l := range routeLines(t.cat, check, r, t.o.Verbose) {
		own, st := "│ ", t.st.plain
		switch l.kind {
		case routeStop:
			own = "● "
			if l.claim {
				own = "○ "
			}
		case routeSeen:
			own = "├ "
		case routeBorder:
			own, st = "╪ ", t.st.bold
		case routeMore:
			own, st = "┆ ", t.st.faint
		}
		var spans []span
		for i, p := range l.parts {
			if i > 0 {
				spans = append(spans, t.dim(" · "))
			}
			s := st
			text := plainText(p.pieces)
			if p.bad {
				s = t.st.caret
				text += "\u00a0✗"
			}
			spans = append(spans, span{text: text, style: s})
		}
		t.pad(margin)
		t.put(t.dim(own))
		t.treeLine(margin, own, "│ ", spans)
	}
}

// htmlRoute is a route as a list.
type htmlRoute struct {
	Head  string
	Lines []htmlRouteLine
}

type htmlRouteLine struct {
	Class string
	Parts []htmlRoutePart
}

type htmlRoutePart struct {
	Text []i18n.Piece
	Bad  bool
}

func (h *htmlWriter) route(check string, r *diag.Route) *htmlRoute {
	out := &htmlRoute{Head: h.cat.T("route.head", nil)}
	for _, l := range routeLines(h.cat, check, r, h.o.Verbose) {
		hl := htmlRouteLine{Class: string(l.kind)}
		if l.claim {
			hl.Class += " claim"
		}
		for _, p := range l.parts {
			hl.Parts = append(hl.Parts, htmlRoutePart{p.pieces, p.bad})
		}
		out.Lines = append(out.Lines, hl)
	}
	return out
}

// octets is a size in the unit that fits.
func octets(n int64) string {
	switch {
	case n >= 1<<20:
		return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MiB"
	case n >= 1<<10:
		return strconv.FormatFloat(float64(n)/(1<<10), 'f', 1, 64) + " KiB"
	}
	return strconv.FormatInt(n, 10) + " B"
}
