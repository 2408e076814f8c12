// Package render shows what a run found: as text for a person at a terminal, as a
// page or a comment for those who were not there, as JSON, SARIF, JUnit XML and
// workflow commands for programs. One file per format; [Formats] lists them.
//
// Formats differ in what they leave out, never in what they say: every
// sentence comes from package i18n, and every byte that a stranger wrote goes
// through package sanitize before it reaches a reader. Only JSON, whose reader
// is a program, has the exact text; it escapes what could act on a terminal
// that shows it.
package render

import (
	"io"
	"slices"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/i18n"
)

// Options are how a report looks. Formats ignore what does not apply to them.
type Options struct {
	// Width of the terminal in columns; 0 is 80. Less than 40 is taken as 40.
	// Sentences end at 100 columns, records use what there is.
	Width   int
	Color   bool // decided by the caller, see ColorMode
	Quiet   bool // the verdict, and a line for what failed or could not be found out
	Verbose bool // everything: evidence of what is good, costs, trees
	// Dir is the folder that names of files start from, and Root the folder of the
	// repository: formats that point another program at a line name the file from
	// there. Both are absolute; "" leaves names as they are.
	Dir, Root string
	// FailOn is the status from which on a finding about a target is a failure,
	// in formats that know nothing between a failure and success; nil: diag.Fail.
	FailOn func(*diag.Target) diag.Status
}

// A Format is one way to write what a run found: one report, several, or a diff.
type Format struct {
	Name  string // value of -o
	Write func(w io.Writer, r *diag.Run, cat *i18n.Catalog, o Options) error
}

// Formats lists every format, the default first.
var Formats = []Format{
	{"text", runText},
	{"json", runJSON},
	{"ndjson", runNDJSON},
	{"sarif", runSARIF},
	{"junit", runJUnit},
	{"github", runGitHub},
	{"markdown", runMarkdown},
	{"html", runHTML},
}

// Lookup is the format of that name.
func Lookup(name string) (Format, bool) {
	for _, f := range Formats {
		if f.Name == name {
			return f, true
		}
	}
	return Format{}, false
}

// VerdictStatus is the status of the run as a whole. A check that crashed
// leaves it at inconclusive at least: what it would have said is not known.
func VerdictStatus(r *diag.Report) diag.Status {
	s := r.Status()
	if r.Broken() {
		s = max(s, diag.Inconclusive)
	}
	return s
}

// Verdict is the run in one or two sentences, sanitised. It claims no more
// than what was looked at: what could not be learnt is said beside any fault,
// and without a sending address it says that nothing was judged about one.
func Verdict(r *diag.Report, cat *i18n.Catalog) string {
	return plainText(verdictPieces(r, cat))
}

func verdictPieces(r *diag.Report, cat *i18n.Catalog) []i18n.Piece {
	t := &r.Target
	dom := diag.Args{"domain": t.Domain}
	mail := cat.TPieces("verdict.mail", dom)
	if len(t.IPs) > 0 {
		mail = cat.TPieces("verdict.mail.ip", diag.Args{"domain": t.Domain, "ips": ipPieces(t, cat, 2)})
	}
	if t.Mail != nil { // one mail, not all that the domain sends
		switch {
		case t.Domain == "":
			dom["domain"] = t.Mail.File
			mail = cat.TPieces("verdict.this", nil)
		case len(t.IPs) > 0:
			mail = cat.TPieces("verdict.this.ip", diag.Args{"domain": t.Domain, "ips": ipPieces(t, cat, 2)})
		default:
			mail = cat.TPieces("verdict.this.from", dom)
		}
	}
	n := r.Counts()
	open := unanswered(r)
	var say [][]i18n.Piece
	switch s := VerdictStatus(r); {
	case s == diag.Fail:
		// A check may call itself failed without a finding; there is one fault then.
		if t.NeverSends() {
			say = append(say, cat.NPieces("verdict.never", max(n[diag.Fail], 1), dom))
		} else {
			say = append(say, cat.NPieces("verdict.fail", max(n[diag.Fail], 1), diag.Args{"mail": mail}))
		}
		if open > 0 {
			say = append(say, cat.NPieces("verdict.more", open, nil))
		}
		if r.Broken() {
			say = append(say, cat.TPieces("verdict.broken", nil))
		}
	case r.Broken():
		say = append(say, cat.TPieces("verdict.broken", nil))
	case s == diag.Inconclusive:
		say = append(say, cat.NPieces("verdict.inconclusive", max(open, 1), nil))
	case t.NeverSends() && s > diag.Skip:
		say = append(say, cat.TPieces("verdict.never.pass", dom))
		if k := n[diag.Warn]; k > 0 {
			say = append(say, cat.NPieces("verdict.never.warn", k, nil))
		}
	case s == diag.Warn:
		say = append(say, cat.NPieces("verdict.warn", max(n[diag.Warn], 1), dom))
	case s == diag.Skip:
		say = append(say, cat.TPieces("verdict.nothing", dom))
	default:
		say = append(say, cat.TPieces("verdict.pass", diag.Args{"mail": mail}))
	}
	if k := r.Known(); k > 0 {
		say = append(say, cat.NPieces("verdict.known", k, nil))
	}
	if k := r.Waived(); k > 0 {
		say = append(say, cat.NPieces("verdict.waived", k, nil))
	}
	if len(t.IPs) == 0 && len(r.Checks) > 0 && !t.NeverSends() {
		say = append(say, cat.TPieces("verdict.noip", nil))
	}
	if cat.Lang() == "ja" {
		return slices.Concat(say...)
	}
	return slices.Concat(between(say, " ")...)
}

// unanswered is the number of different questions without an answer. If
// something was inconclusive for another reason it is the number of those
// findings.
func unanswered(r *diag.Report) int {
	seen := map[dnsq.Question]bool{}
	for _, t := range r.Trouble {
		if t.Err != nil {
			seen[t.Err.Question] = true
		}
	}
	findings := 0
	for i := range r.Checks {
		for j := range r.Checks[i].Findings {
			f := &r.Checks[i].Findings[j]
			if f.Weight() != diag.Inconclusive {
				continue
			}
			findings++
			for _, e := range f.Unknown {
				if e != nil {
					seen[e.Question] = true
				}
			}
		}
	}
	if len(seen) > 0 {
		return len(seen)
	}
	return findings
}

func ipList(t *diag.Target, cat *i18n.Catalog, most int) string {
	return plainText(ipPieces(t, cat, most))
}

func ipPieces(t *diag.Target, cat *i18n.Catalog, most int) []i18n.Piece {
	var ips []string
	for _, ip := range t.IPs {
		ips = append(ips, ip.String())
	}
	return somePieces(ips, most, cat)
}

// worstFirst is the findings of a check, the worst first, else in the order of
// the check.
func worstFirst(c *diag.CheckReport) []*diag.Finding {
	out := make([]*diag.Finding, len(c.Findings))
	for i := range c.Findings {
		out[i] = &c.Findings[i]
	}
	// What is unknown without harm to the verdict, and what is waived, stands below
	// the warnings.
	rank := func(f *diag.Finding) int {
		if f.Kind.Harmless || f.Waived != nil {
			return 2*int(diag.Info) + 1
		}
		return 2 * int(f.Kind.Status)
	}
	slices.SortStableFunc(out, func(a, b *diag.Finding) int { return rank(b) - rank(a) })
	return out
}
