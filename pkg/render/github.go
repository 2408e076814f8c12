package render

// Workflow commands of GitHub Actions: the runner makes an annotation of each
// line "::error file=…,line=…,title=…::…", which the pull request shows beside the
// line of the zone file.
//
// The runner undoes %25, %0D and %0A, in properties %3A and %2C too. Whatever
// else a record holds has gone through package sanitize, so that a line holds one
// command, which is ours.
//
// GitHub shows ten errors and ten warnings of a step and drops the others without
// a word. So the most important come first, no more than that are written, and a
// last line, which is no command, says how many there are besides. Everything is
// in the step summary, which the command writes ([Summary]).

import (
	"fmt"
	"io"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
)

// githubShown is how many annotations of each level GitHub shows of a step.
const githubShown = 10

// Summary is the format of the file that GITHUB_STEP_SUMMARY names.
var Summary = Format{"markdown", runMarkdown}

// runGitHub writes a run as workflow commands. Good news, and what is accepted,
// known or was there before, is no annotation.
func runGitHub(w io.Writer, r *diag.Run, cat *i18n.Catalog, o Options) error {
	var b strings.Builder
	shown := map[string]int{}
	left := 0
	annotate := func(level string, p diag.Place, title, text string) {
		if shown[level]++; shown[level] > githubShown {
			left++
			return
		}
		b.WriteString("::" + level)
		sep := " "
		property := func(key, value string) {
			b.WriteString(sep + key + "=" + githubProperty(value))
			sep = ","
		}
		if p.File != "" {
			property("file", sanitize.Text(p.File))
			property("line", fmt.Sprint(max(p.Line, 1)))
		}
		property("title", title)
		b.WriteString("::" + githubData(text) + "\n")
	}
	for _, it := range important(items(r)) {
		level := "warning"
		switch it.weight() {
		case diag.Fail:
			level = "error"
		case diag.Inconclusive:
			if it.f.Kind.Harmless {
				continue
			}
		case diag.Warn:
		default:
			if !it.lost() {
				continue
			}
		}
		p, _ := it.place(o)
		title := it.f.Kind.ID + " · " + cat.Value("", it.target.Domain)
		if it.weight() == diag.Inconclusive || it.lost() {
			title += " · " + cat.T("status.inconclusive", nil)
		}
		annotate(level, p, title, strings.Join(plain(&it, cat), "\n"))
	}
	reports := r.Reports
	for _, d := range r.Diffs {
		reports = append(reports[:len(reports):len(reports)], d.Old, d.New)
	}
	for _, rep := range reports {
		for i := range rep.Checks {
			if c := &rep.Checks[i]; c.Panic != "" {
				first, _, _ := strings.Cut(c.Panic, "\n")
				annotate("error", diag.Place{}, "todoku · "+cat.Value("", rep.Target.Domain), cat.T("check.crashed", nil)+" "+cat.Value("", first))
			}
		}
	}
	if left > 0 {
		b.WriteString("todoku: " + Defuse(cat.N("github.more", left, nil)) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// githubData is text as the message of a workflow command.
func githubData(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

// githubProperty is text as a property of one.
func githubProperty(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(s)
}

// Defuse makes text fit for the log of a GitHub job that is no workflow command.
// The runner takes a line for a command that begins with "::", blanks before it
// or not, and one that has "##[" anywhere: a record could mask words of the log,
// write annotations, or stop commands. The first sign of either is written out,
// as package sanitize does.
func Defuse(s string) string {
	if !strings.Contains(s, "::") && !strings.Contains(s, "##[") {
		return s
	}
	s = strings.ReplaceAll(s, "##[", `\x23#[`)
	lines := strings.SplitAfter(s, "\n")
	for i, l := range lines {
		if rest := strings.TrimLeft(l, " \t\r\v\f\u3000"); strings.HasPrefix(rest, "::") {
			lines[i] = l[:len(l)-len(rest)] + `\x3a` + rest[1:]
		}
	}
	return strings.Join(lines, "")
}

// defuseMarkup is Defuse for XML and HTML, whose readers see no difference.
func defuseMarkup(s string) string {
	s = strings.ReplaceAll(s, "##[", "#&#35;[")
	if !strings.Contains(s, "::") {
		return s
	}
	lines := strings.SplitAfter(s, "\n")
	for i, l := range lines {
		if rest := strings.TrimLeft(l, " \t\u3000"); strings.HasPrefix(rest, "::") {
			lines[i] = l[:len(l)-len(rest)] + "&#58;" + rest[1:]
		}
	}
	return strings.Join(lines, "")
}
