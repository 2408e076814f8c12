package zone

import (
	"fmt"
	"strconv"
	"strings"
)

// generate carries out $GENERATE, which is BIND's and in no RFC:
//
//	$GENERATE start-stop[/step] owner [TTL] [class] type data
//
// Each $ in the rest becomes the number, ${offset,width,base} the number
// shifted, padded and in base d, o, x, X, n or N (nibbles, reversed, with
// dots), \$ a dollar. The records have TTL and class like any other entry:
// miekg/dns gives them 3600 whatever $TTL says.
func (p *parser) generate(f *file, e *entry) {
	t := e.tokens
	if len(t) < 5 {
		p.fail(f.at(f.behind(e), "expected $GENERATE, a range, owner, type, data, as in $GENERATE 1-10 host$ A 192.0.2.$"))
		return
	}
	bad := func(msg string) { p.fail(f.at(t[1], "%q is not a range: %s", clip(f.text(t[1])), msg)) }
	span, stepText, hasStep := strings.Cut(f.text(t[1]), "/")
	from, to, ok := strings.Cut(span, "-")
	start, err1 := strconv.ParseUint(from, 10, 31)
	stop, err2 := strconv.ParseUint(to, 10, 31)
	step := uint64(1)
	var err3 error
	if hasStep {
		step, err3 = strconv.ParseUint(stepText, 10, 31)
	}
	switch {
	case !ok || err1 != nil || err2 != nil || err3 != nil || step == 0 || t[1].quoted:
		bad("expected start-stop or start-stop/step, numbers up to 2147483647")
		return
	case stop < start:
		bad("it ends before it starts")
		return
	case (stop-start)/step+1 > MaxGenerate:
		bad(fmt.Sprintf("it makes more than %d records", MaxGenerate))
		return
	}
	// The template is compiled once: a fault is one error, not one per record.
	var parts [][]genPart
	for _, tok := range t[2:] {
		g, err := compileGen(f.text(tok))
		if err != nil {
			p.fail(f.at(tok, "%v", err))
			return
		}
		parts = append(parts, g)
	}
	owner, hasOwner, badOwner := f.owner, f.hasOwner, f.badOwner
	for n := start; n <= stop && !p.stop; n += step {
		// Each entry gets a source of its own, and its records the place of
		// the directive.
		var b strings.Builder
		for i, g := range parts {
			if i > 0 && !t[2+i].glued {
				b.WriteByte(' ')
			}
			if t[2+i].quoted {
				b.WriteByte('"')
			}
			for _, part := range g {
				if err := part.write(&b, int64(n)); err != nil {
					p.fail(f.at(t[2+i], "%v", err))
					return
				}
			}
			if t[2+i].quoted {
				b.WriteByte('"')
			}
		}
		if p.budget -= b.Len(); p.budget < 0 {
			p.halt(f.at(t[0], "more than %d MB of zone text ($GENERATE counted)", MaxFile>>20))
			return
		}
		sub := &file{lexer: lexer{file: f.file, src: []byte(b.String()), line: 1}, origin: f.origin}
		var ge entry
		if !sub.next(&ge) || ge.err != nil || len(ge.tokens) != len(parts) || ge.blank {
			p.fail(f.at(t[1], "the record for %d cannot be read: %q", n, clip(b.String())))
			return
		}
		errs, notes, recs := len(p.errs), len(p.z.Notes), len(p.z.Records)
		p.record(sub, &ge, ge.tokens)
		if len(p.errs) > errs {
			for _, x := range p.errs[errs:] {
				x.Line, x.Column, x.Msg = t[0].line, t[0].col, fmt.Sprintf("$GENERATE at %d: %s", n, x.Msg)
			}
			return
		}
		for i := range p.z.Notes[notes:] {
			p.z.Notes[notes+i].Line, p.z.Notes[notes+i].Column = t[0].line, t[0].col
		}
		if len(p.z.Records) == recs { // a fault that was told before
			return
		}
		for i := recs; i < len(p.z.Records); i++ {
			p.z.Records[i].Line = t[0].line
			p.z.Spans[i] = Span{File: f.file, Line: t[0].line, EndLine: e.endLine, Start: e.start, End: e.end,
				Comment: e.comment, Generated: true, TTLSet: p.z.Spans[i].TTLSet,
				origin: f.origin, stated: p.z.Spans[i].stated}
		}
	}
	f.owner, f.hasOwner, f.badOwner = owner, hasOwner, badOwner
}

// A genPart is literal text, or the number in some form.
type genPart struct {
	text   string
	number bool
	offset int64
	width  int
	base   byte
}

func compileGen(s string) ([]genPart, error) {
	var out []genPart
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			out = append(out, genPart{text: lit.String()})
			lit.Reset()
		}
	}
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			if s[i+1] != '$' {
				lit.WriteByte('\\')
			}
			i++
			lit.WriteByte(s[i])
		case s[i] != '$':
			lit.WriteByte(s[i])
		case i+1 < len(s) && s[i+1] == '$': // BIND: the old spelling of \$
			lit.WriteByte('$')
			i++
		case i+1 < len(s) && s[i+1] == '{':
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				return nil, fmt.Errorf("%q has ${ without }", clip(s))
			}
			part := genPart{number: true, base: 'd'}
			fields := strings.Split(s[i+2:i+end], ",")
			offset, err := strconv.ParseInt(fields[0], 10, 32)
			if err != nil || len(fields) > 3 {
				return nil, fmt.Errorf("%q: expected ${offset,width,base}", clip(s[i:i+end+1]))
			}
			part.offset = offset
			if len(fields) > 1 {
				w, err := strconv.ParseUint(fields[1], 10, 8)
				if err != nil {
					return nil, fmt.Errorf("%q: the width must be a number up to 255", clip(s[i:i+end+1]))
				}
				part.width = int(w)
			}
			if len(fields) > 2 {
				if len(fields[2]) != 1 || strings.IndexByte("doxXnN", fields[2][0]) < 0 {
					return nil, fmt.Errorf("%q: the base must be d, o, x, X, n or N", clip(s[i:i+end+1]))
				}
				part.base = fields[2][0]
			}
			flush()
			out = append(out, part)
			i += end
		default:
			flush()
			out = append(out, genPart{number: true, base: 'd'})
		}
	}
	flush()
	return out, nil
}

func (g genPart) write(b *strings.Builder, n int64) error {
	if !g.number {
		b.WriteString(g.text)
		return nil
	}
	n += g.offset
	if n < 0 || n > 1<<31-1 {
		return fmt.Errorf("$GENERATE: the offset %d leads to %d, outside 0 to 2147483647", g.offset, n)
	}
	switch g.base {
	case 'n', 'N':
		digits := "0123456789abcdef"
		if g.base == 'N' {
			digits = "0123456789ABCDEF"
		}
		// The width counts the dots too, as in BIND.
		for width := g.width; ; {
			b.WriteByte(digits[n&15])
			n >>= 4
			width--
			if width <= 0 && n == 0 {
				return nil
			}
			b.WriteByte('.')
			if width--; width <= 0 && n == 0 {
				return nil
			}
		}
	default:
		fmt.Fprintf(b, "%0*"+string(g.base), g.width, n)
	}
	return nil
}
