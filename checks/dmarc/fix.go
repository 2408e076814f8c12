package dmarc

import (
	"slices"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dmarc"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/orgdomain"
	"github.com/todoku-mail/todoku/pkg/spf"
)

func edits(e ...diag.Edit) []diag.Fix { return []diag.Fix{{Owner: diag.DNSAdmin, Edits: e}} }

// replace changes a record of ours; none if it stands with somebody else,
// behind a CNAME.
func (c *run1) replace(s *orgdomain.Step, rr *dnsq.RR, text string) []diag.Fix {
	if rr.Name != s.Name || !c.ours(s.Domain) || text == rr.Text() {
		return nil
	}
	return edits(diag.Edit{Name: rr.Name, Type: "TXT", Old: rr.Text(), New: text})
}

// fixRepair corrects slips that have one meaning.
func (c *run1) fixRepair(s *orgdomain.Step, rr *dnsq.RR) []diag.Fix {
	if text, ok := dmarc.Repair(rr.Text()); ok {
		return c.replace(s, rr, text)
	}
	return nil
}

// cut takes a tag out, with the semicolon in front of it.
func (c *run1) cut(s *orgdomain.Step, rr *dnsq.RR, at dmarc.Span) []diag.Fix {
	text := rr.Text()
	head := strings.TrimRight(text[:at.Start], " \t")
	if !strings.HasSuffix(head, ";") {
		return nil
	}
	return c.replace(s, rr, strings.TrimRight(head[:len(head)-1], " \t")+text[at.End:])
}

// fixMultiple keeps the record that includes all others, if there is one. Which
// of two that contradict each other was meant, only a person can say.
func (c *run1) fixMultiple(s *orgdomain.Step) []diag.Fix {
	for _, keep := range s.Records {
		k := dmarc.Parse(keep.Text())
		var e []diag.Edit
		for _, rr := range s.Records {
			if rr == keep {
				continue
			}
			if rr.Name != s.Name || rr.Text() == keep.Text() || !dmarc.Includes(k, dmarc.Parse(rr.Text())) {
				e = nil
				break
			}
			e = append(e, diag.Edit{Name: rr.Name, Type: "TXT", Old: rr.Text()})
		}
		if e != nil {
			return edits(e...)
		}
	}
	return nil
}

// fixMove moves a record from the wrong name to the right one. Where it stands
// it has never had an effect: a policy that has mail refused is moved as p=none,
// for nobody has seen yet what it would refuse. A parked domain has no mail.
func (c *run1) fixMove(rrs []*dnsq.RR) []diag.Fix {
	a := c.own().Answer
	if len(rrs) != 1 || len(a.Chain) > 0 || len(meant(a)) > 0 || !dnsq.AtOrBelow(rrs[0].Name, c.from) {
		return nil
	}
	rr := rrs[0]
	text := rr.Text()
	if r := dmarc.Parse(text); r.Fatal != nil || len(r.Problems()) > 0 {
		var ok bool
		if text, ok = dmarc.Repair(text); !ok {
			return nil
		}
	}
	if r := dmarc.Parse(text); !c.parked && r.P.Strength() > 0 {
		p := r.Tag("p")
		text = text[:p.ValueAt.Start] + "none" + text[p.ValueAt.End:]
	}
	return edits(diag.Edit{Name: rr.Name, Type: "TXT", Old: rr.Text()}, diag.Edit{Name: c.own().Name, Type: "TXT", New: text})
}

// fixMissing publishes the policy that asks for nothing: the only one that
// cannot harm mail that was forgotten. A parked domain says by itself that
// there is none.
func (c *run1) fixMissing() []diag.Fix {
	a := c.own().Answer
	if a == nil || len(a.Chain) > 0 {
		return nil
	}
	return edits(diag.Edit{Name: c.own().Name, Type: "TXT", New: c.missingText()})
}

func (c *run1) missingText() string {
	if c.parked {
		return "v=DMARC1; p=reject"
	}
	return "v=DMARC1; p=none"
}

// fixForeign removes an SPF record from a name that sends no mail. What other
// texts are for, only a person can say.
func (c *run1) fixForeign(rr *dnsq.RR) []diag.Fix {
	if !spf.IsSPF(rr.Text()) || rr.Name != c.own().Name {
		return nil
	}
	return edits(diag.Edit{Name: rr.Name, Type: "TXT", Old: rr.Text()})
}

// fixAlias publishes the policy that asks for nothing in place of an alias that
// leads to no record: nothing can stand beside it (RFC 1034 §3.6.2), and nobody
// loses a policy by it. Whether the provider behind the alias is still meant to
// hold the record is asked besides.
func (c *run1) fixAlias(a *dnsq.Answer) []diag.Fix {
	return edits(diag.Edit{Name: c.own().Name, Type: "CNAME", Old: a.Chain[0] + "."},
		diag.Edit{Name: c.own().Name, Type: "TXT", New: c.missingText()})
}

// dropDestination takes a destination out of a list that has others. Where the
// only one is to be replaced, by which mailbox is for a person to say.
func (c *run1) dropDestination(d *destination, rr *dnsq.RR) []diag.Fix {
	var gone []dmarc.Span
	for _, list := range [][]dmarc.URI{c.policy.Record.RUA, c.policy.Record.RUF} {
		here, kept := 0, 0
		for i := range list {
			if list[i].Host == d.host {
				gone = append(gone, list[i].Span)
				here++
			} else if list[i].Valid && list[i].Host != "" {
				kept++
			}
		}
		if here > 0 && kept == 0 {
			return nil
		}
	}
	slices.SortFunc(gone, func(a, b dmarc.Span) int { return b.Start - a.Start }) // from the back
	text := rr.Text()
	for _, at := range gone {
		head, tail := strings.TrimRight(text[:at.Start], " \t"), strings.TrimLeft(text[at.End:], " \t")
		// With the comma before it; the first one with that behind it.
		if h, ok := strings.CutSuffix(head, ","); ok {
			text = strings.TrimRight(h, " \t") + text[at.End:]
		} else if t, ok := strings.CutPrefix(tail, ","); ok {
			text = text[:at.Start] + strings.TrimLeft(t, " \t")
		} else {
			return nil
		}
	}
	return c.replace(c.policy.Step, rr, text)
}
