package spf

import (
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/spf"
)

// Data are the check's facts for machines. Result and what follows from it are
// those of the first address, and absent without one.
type Data struct {
	Result      spf.Result `json:"result,omitempty"`
	Explanation string     `json:"explanation,omitempty"` // a stranger's text
	Identity    string     `json:"identity"`              // mailfrom or helo
	Matched     string     `json:"matched,omitempty"`     // the term that decided
	Domain      string     `json:"domain"`
	Record      string     `json:"record,omitempty"`
	Lookups     int        `json:"lookups"`      // of the evaluation for the first address
	VoidLookups int        `json:"void_lookups"` // likewise
	// WorstCase: what evaluation costs if nothing matches early. AtLeast says
	// that it is a lower bound, because something could not be learnt or
	// depends on the sender.
	WorstCase    int        `json:"worst_case_lookups"`
	WorstVoids   int        `json:"worst_case_void_lookups"`
	AtLeast      bool       `json:"worst_case_is_lower_bound,omitempty"`
	AnswerBytes  int        `json:"answer_bytes,omitempty"`
	AuthorizedV4 string     `json:"authorized_ipv4,omitempty"` // number of addresses
	AuthorizedV6 string     `json:"authorized_ipv6,omitempty"`
	ByIP         []IPData   `json:"by_ip,omitempty"`
	Terms        []TermData `json:"tree,omitempty"`

	tree *diag.Tree
	show bool
}

// IPData is the result for one address.
type IPData struct {
	IP          string     `json:"ip"`
	Result      spf.Result `json:"result"`
	Explanation string     `json:"explanation,omitempty"`
	Matched     string     `json:"matched,omitempty"`
	Lookups     int        `json:"lookups"`
	VoidLookups int        `json:"void_lookups"`
	Problem     string     `json:"problem,omitempty"` // why temperror or permerror: a code
	// Unsure: the RFC takes an unanswered question for no match (§5.5, §7.3);
	// with an answer Result might be another.
	Unsure bool `json:"unsure,omitempty"`
}

// TermData is a term of the tree with its cost.
type TermData struct {
	Term    string     `json:"term"`
	Target  string     `json:"target,omitempty"`
	Lookups int        `json:"lookups"`
	Void    bool       `json:"void,omitempty"`
	Note    string     `json:"note,omitempty"`
	Terms   []TermData `json:"terms,omitempty"`
}

// Tree is the include tree with costs.
func (d Data) Tree() *diag.Tree { return d.tree }

// ShowTree reports whether the budget is the problem.
func (d Data) ShowTree() bool { return d.show }

func (c *run1) data() Data {
	d := Data{Identity: c.identity, Domain: c.domain}
	a := c.tree
	if a.Root != nil {
		d.Domain = a.Root.Domain
		d.WorstCase, d.WorstVoids, d.AtLeast, d.AnswerBytes = a.Lookups, a.Voids4, a.AtLeast, a.AnswerBytes
		if c.sendsIPv6() {
			d.WorstVoids = max(a.Voids4, a.Voids6)
		}
		if a.Root.Record != nil {
			d.Record = a.Root.Record.Text
			d.AuthorizedV4, d.AuthorizedV6 = a.V4.Count().String(), a.V6.Count().String()
			d.Terms = terms(a.Root)
			d.tree = &diag.Tree{Label: a.Root.Domain, Cost: a.Lookups, Unit: "lookups", Limit: spf.MaxLookups,
				Children: c.branches(a.Root, new(int))}
			d.show = a.Lookups >= near || a.Voids4 > spf.MaxVoids || c.reportedKind(tooManyVoids)
		}
	}
	for i, v := range c.verdicts {
		e := IPData{IP: c.Target.IPs[i].String(), Result: v.Result, Explanation: v.Explanation,
			Lookups: v.Lookups, VoidLookups: v.Voids, Unsure: v.Unsure}
		if n := len(v.Path); n > 0 {
			e.Matched = v.Path[n-1].Term.Text
		}
		if v.Problem != nil {
			e.Problem = v.Problem.Code
		}
		d.ByIP = append(d.ByIP, e)
	}
	if len(d.ByIP) > 0 {
		e := d.ByIP[0]
		d.Result, d.Explanation, d.Matched, d.Lookups, d.VoidLookups = e.Result, e.Explanation, e.Matched, e.Lookups, e.VoidLookups
	}
	return d
}

func (c *run1) reportedKind(k *diag.Kind) bool {
	fs, _ := c.Result()
	for i := range fs {
		if fs[i].Kind == k {
			return true
		}
	}
	return false
}

// terms is the tree for machines: every term looked at.
func terms(n *spf.Node) []TermData {
	var out []TermData
	for _, s := range n.Steps {
		t := TermData{Term: s.Term.Text, Lookups: s.Lookups, Void: s.Void, Note: note(s)}
		if s.Target != "" && s.Target != s.Term.Domain {
			t.Target = s.Target
		}
		if s.Child != nil {
			t.Terms = terms(s.Child)
		}
		out = append(out, t)
	}
	return out
}

// branches is the tree for people: the terms that cost something. sum counts
// on, to mark the terms beyond the limit.
func (c *run1) branches(n *spf.Node, sum *int) []*diag.Tree {
	var out []*diag.Tree
	for _, s := range n.Steps {
		if !s.Term.Counts() {
			continue
		}
		*sum++
		t := &diag.Tree{Label: s.Term.Text, Cost: s.Lookups, Note: note(s), Bad: *sum > spf.MaxLookups}
		switch t.Note {
		case "void", "loop", "missing", "syntax", "limit":
			t.Bad = true
		}
		if s.Child != nil {
			t.Children = c.branches(s.Child, sum)
		}
		out = append(out, t)
	}
	return out
}

// note says what is special about a step, as a code.
func note(s *spf.Step) string {
	switch {
	case s.Err != nil:
		return string(s.Err.Reason)
	case s.Why == spf.WhyLoop:
		return "loop"
	case s.Child != nil && s.Child.Problem != nil:
		switch s.Child.Problem.Code {
		case spf.ProblemNoRecord:
			return "missing"
		case spf.ProblemSyntax, spf.ProblemMultiple:
			return "syntax"
		}
	case s.Why == spf.WhyBadTarget:
		return "missing"
	case s.Why == spf.WhyLimit:
		return "limit"
	case s.Void4 || s.Void && !s.Void6:
		return "void"
	case s.Why == spf.WhySender:
		return "sender"
	}
	return ""
}
