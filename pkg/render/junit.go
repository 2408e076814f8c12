package render

// JUnit XML, which GitLab, Jenkins and most CI services show: a suite for each
// target, a case for each check. There is no standard; this keeps to what both
// of the schema that Jenkins publishes (jenkins-junit.xsd: no attributes of one's
// own, one of failure, error and skipped in a case) and GitLab's reader take.
//
//   - fail: findings at or above --fail-on, for there is nothing between failed
//     and passed;
//   - error: nothing failed, but something that the verdict needs was not found
//     out, or todoku itself failed;
//   - skipped: the check did not look, or what would have failed is accepted or
//     known; the message has the reason.
//
// In a diff only what the change brings fails. Names of suites and cases are the
// same in every language and run, for by them a service follows a test; the text
// of a case has the findings as the text report shows them.

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
)

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Time     string       `xml:"time,attr"` // seconds
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name      string      `xml:"name,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Errors    int         `xml:"errors,attr"`
	Skipped   int         `xml:"skipped,attr"`
	Time      string      `xml:"time,attr"`
	Timestamp string      `xml:"timestamp,attr,omitempty"` // UTC, without a zone: the schema has none
	Cases     []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    string        `xml:"time,attr"`
	Skipped *junitSkipped `xml:"skipped"`
	Error   *junitProblem `xml:"error"`
	Failure *junitProblem `xml:"failure"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitSkipped struct {
	Message string `xml:"message,attr,omitempty"`
}

type junitProblem struct {
	Type    string `xml:"type,attr"` // ID of the first finding
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// runJUnit writes a run as JUnit XML.
func runJUnit(w io.Writer, r *diag.Run, cat *i18n.Catalog, o Options) error {
	all := junitSuites{Name: "todoku", Time: xmlSeconds(r.Duration), Suites: []junitSuite{}}
	add := func(s junitSuite, domain string) {
		s.Name = sanitize.Text(domain)
		for i := range s.Cases {
			c := &s.Cases[i]
			// GitLab lists names without classes, Jenkins folds by class.
			c.Name = c.Class + " " + s.Name
			c.Class = "todoku." + c.Class
			switch {
			case c.Failure != nil:
				s.Failures++
			case c.Error != nil:
				s.Errors++
			case c.Skipped != nil:
				s.Skipped++
			}
		}
		s.Tests = len(s.Cases)
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Errors += s.Errors
		all.Suites = append(all.Suites, s)
	}
	for _, rep := range r.Reports {
		s := junitSuite{Time: xmlSeconds(rep.Duration), Timestamp: xmlTime(rep.Started)}
		for i := range rep.Checks {
			if c := &rep.Checks[i]; c.Check != nil {
				list := items(&diag.Run{Reports: []*diag.Report{{Target: rep.Target, Checks: rep.Checks[i : i+1]}}})
				s.Cases = append(s.Cases, junitOf(rep, c, list, cat, o))
			}
		}
		add(s, rep.Target.Domain)
	}
	for _, d := range r.Diffs {
		s := junitSuite{Time: xmlSeconds(d.New.Duration), Timestamp: xmlTime(r.Started)}
		list := items(&diag.Run{Diffs: []*diag.Diff{d}})
		for i := range d.New.Checks {
			c := &d.New.Checks[i]
			if c.Check == nil {
				continue
			}
			own := slices.DeleteFunc(slices.Clone(list), func(it item) bool { return it.check != c.Check })
			if c.Panic == "" {
				// A check that crashed on the old side has nothing to compare with.
				for j := range d.Old.Checks {
					if o := &d.Old.Checks[j]; o.Check == c.Check && o.Panic != "" {
						c = &diag.CheckReport{Check: c.Check, Duration: c.Duration, Panic: o.Panic}
						break
					}
				}
			}
			s.Cases = append(s.Cases, junitOf(d.New, c, own, cat, o))
		}
		add(s, d.Target.Domain)
	}
	b, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("report as JUnit XML: %w", err)
	}
	// Line breaks stand in texts only, where they may stand as they are.
	out := strings.ReplaceAll(string(b), "&#xA;", "\n")
	_, err = io.WriteString(w, xml.Header+defuseMarkup(out)+"\n")
	return err
}

// junitOf is a check as a test: what decides is the worst that counts.
func junitOf(r *diag.Report, c *diag.CheckReport, list []item, cat *i18n.Catalog, o Options) junitCase {
	out := junitCase{Class: c.Check.Name, Time: xmlSeconds(c.Duration)}
	failing := diag.Fail
	if o.FailOn != nil {
		failing = o.FailOn(&r.Target)
	}
	// Inconclusive ranks above a warning, and is no failure whatever the threshold.
	fails := func(it *item) bool { w := it.weight(); return w != diag.Inconclusive && w >= failing }
	unsure := func(it *item) bool {
		// What may be a new warning is nothing to fail for if a warning is not.
		return it.weight() == diag.Inconclusive && !(it.f.Kind.Status == diag.Warn && failing > diag.Warn)
	}
	var failed, open, rest, set []item
	for _, it := range important(list) {
		switch {
		case fails(&it):
			failed = append(failed, it)
		case unsure(&it):
			open = append(open, it)
		default:
			rest = append(rest, it)
			if (it.f.Waived != nil || it.f.Known) && it.change != diag.Fixed && it.f.Kind.Weight() >= failing {
				set = append(set, it)
			}
		}
	}
	t := &textReport{page: newPage(Options{Width: 100}), r: r, cat: cat, o: Options{Width: 100}, changes: map[string]string{}}
	write := func(list []item, full bool) string {
		t.Reset()
		for i := range list {
			if i > 0 && full {
				t.newline()
			}
			t.finding(list[i].f, full)
			// The text says itself what is waived or known.
			change := item{change: list[i].change, f: &diag.Finding{}}
			if m := marks(&change, cat); m != nil {
				t.pad(margin)
				t.para(margin, t.say("("+plainText(m)+")"))
			}
		}
		return t.String()
	}
	switch {
	case len(failed) > 0:
		out.Failure = &junitProblem{failed[0].f.Kind.ID, cat.Message(failed[0].f), "\n" + write(slices.Concat(failed, open), true)}
	case c.Panic != "":
		t.crash(c)
		out.Error = &junitProblem{"crash", cat.T("check.crashed", nil), "\n" + t.String()}
	case len(open) > 0:
		out.Error = &junitProblem{open[0].f.Kind.ID, cat.Message(open[0].f), "\n" + write(open, true)}
	case len(set) > 0:
		out.Skipped = &junitSkipped{plainText(marks(&set[0], cat))}
	case !slices.ContainsFunc(rest, func(it item) bool { return it.f.Kind.Status > diag.Skip }):
		out.Skipped = &junitSkipped{}
		if len(rest) > 0 {
			out.Skipped.Message = cat.Message(rest[0].f)
		}
	}
	if s := write(rest, false); s != "" {
		out.Out = "\n" + s
	}
	return out
}

func xmlSeconds(d time.Duration) string { return fmt.Sprintf("%.3f", max(d, 0).Seconds()) }

func xmlTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strings.TrimSuffix(t.UTC().Format(time.RFC3339), "Z")
}
