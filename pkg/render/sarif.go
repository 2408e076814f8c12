package render

// SARIF 2.1.0 (OASIS), for code scanning and editors. A writer of our own: what
// is needed are a dozen structs, which the tests hold against the schema of the
// standard; the library that there is (go-sarif) has the whole object model with
// a pointer to each field, and checks nothing.
//
// The standard says more than its readers read. Where they differ:
//
//   - GitHub takes every result for an alert, whatever its kind, suppressions or
//     baselineState say. So what is good, was not looked at, or is fixed is no
//     result: it would be shown as a fault. What a diff fixes is in the property
//     bag of the run, and GitHub closes an alert that is no longer there.
//   - GitHub refuses the whole file if one result has no physical location. A
//     finding on a zone file points at the record, else at the line that names
//     the target. One that rests on the live DNS alone points at
//     dns/<domain>, line 1, a file that does not exist: so each domain keeps
//     its alerts apart, and a path that is the same in each run is what GitHub
//     finds an alert again by.
//   - What could not be found out has the kind "open" ("insufficient information
//     to decide whether a problem exists", §3.27.9), or "informational" if the
//     verdict does not need it. Neither may have a level but "none" (§3.27.10).
//     The questions without an answer are notifications of the invocation too,
//     as warnings.
//   - An accepted finding has a suppression, for those who read it, and the level
//     "note" with the reason in its message, for those who do not.
//   - GitHub tells alerts apart by primaryLocationLineHash alone, which its
//     upload would make of the text of the line. It is the fingerprint here, so
//     that an edit of the record that leaves it wrong keeps the alert.
//   - Text is read as Markdown without anything but links (§3.11.6). No value of a
//     record becomes a link: "](" does not occur.
//   - There are no fixes (§3.55): they replace a region, and of a record only its
//     first line is known. The change to make is in the message.
//   - automationDetails is left out: with it, `category` of GitHub's upload action
//     would count for nothing, and two runs in one workflow would be one.

import (
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/i18n"
)

// sarifResults is how many results of one run GitHub takes; it shows 5,000.
const sarifResults = 25000

// sarifRelated is how many other records a result points at.
const sarifRelated = 20

const (
	sarifSchema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
	sarifHome   = "https://github.com/todoku-mail/todoku"
	srcRoot     = "%SRCROOT%"
)

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool        sarifTool                  `json:"tool"`
	Invocations []sarifInvocation          `json:"invocations"`
	Bases       map[string]sarifArtifactAt `json:"originalUriBaseIds"`
	Language    string                     `json:"language"`
	ColumnKind  string                     `json:"columnKind"`
	Results     []sarifResult              `json:"results"`
	Properties  *sarifRunProperties        `json:"properties,omitempty"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name    string      `json:"name"`
	Version string      `json:"version,omitempty"`
	URI     string      `json:"informationUri"`
	Rules   []sarifRule `json:"rules"`
}

type sarifText struct {
	Text     string `json:"text"`
	Markdown string `json:"markdown,omitempty"`
}

type sarifRule struct {
	ID         string              `json:"id"`
	Name       string              `json:"name"`
	Short      sarifText           `json:"shortDescription"`
	Full       *sarifText          `json:"fullDescription,omitempty"`
	Config     sarifConfig         `json:"defaultConfiguration"`
	Help       *sarifText          `json:"help,omitempty"`
	HelpURI    string              `json:"helpUri,omitempty"`
	Properties sarifRuleProperties `json:"properties"`
}

type sarifConfig struct {
	Level string `json:"level"`
}

type sarifRuleProperties struct {
	Tags     []string `json:"tags"`
	Severity string   `json:"problem.severity,omitempty"` // GitHub's: error, warning, recommendation
}

type sarifInvocation struct {
	Successful    bool                `json:"executionSuccessful"`
	Start         string              `json:"startTimeUtc,omitempty"`
	End           string              `json:"endTimeUtc,omitempty"`
	Notifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
}

type sarifNotification struct {
	Level   string    `json:"level"`
	Message sarifText `json:"message"`
}

type sarifResult struct {
	RuleID       string                `json:"ruleId"`
	RuleIndex    int                   `json:"ruleIndex"`
	Kind         string                `json:"kind,omitempty"` // "fail" if absent
	Level        string                `json:"level"`
	Message      sarifText             `json:"message"`
	Locations    []sarifLocation       `json:"locations"`
	Related      []sarifLocation       `json:"relatedLocations,omitempty"`
	Fingerprints map[string]string     `json:"partialFingerprints"`
	Baseline     string                `json:"baselineState,omitempty"`
	Suppressions []sarifSuppression    `json:"suppressions,omitempty"`
	Properties   sarifResultProperties `json:"properties"`
}

type sarifResultProperties struct {
	Target  string      `json:"target"`
	Subject string      `json:"subject"`
	Status  diag.Status `json:"status"`
	Owner   diag.Owner  `json:"owner,omitempty"`
	Change  diag.Change `json:"change,omitempty"`
}

type sarifRunProperties struct {
	Fixed []sarifFixed `json:"fixed,omitempty"`
}

type sarifFixed struct {
	RuleID      string `json:"ruleId"`
	Target      string `json:"target"`
	Message     string `json:"message"`
	Fingerprint string `json:"fingerprint"`
}

type sarifSuppression struct {
	Kind          string `json:"kind"`
	Status        string `json:"status"`
	Justification string `json:"justification,omitempty"`
}

type sarifLocation struct {
	ID       int            `json:"id,omitempty"`
	Physical sarifPhysical  `json:"physicalLocation"`
	Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	Message  *sarifText     `json:"message,omitempty"`
}

type sarifPhysical struct {
	Artifact sarifArtifactAt `json:"artifactLocation"`
	Region   sarifRegion     `json:"region"`
}

type sarifArtifactAt struct {
	URI         string     `json:"uri,omitempty"`
	Base        string     `json:"uriBaseId,omitempty"`
	Description *sarifText `json:"description,omitempty"`
}

type sarifRegion struct {
	StartLine int `json:"startLine"`
}

type sarifLogical struct {
	Name string `json:"fullyQualifiedName"`
	Kind string `json:"kind"`
}

// runSARIF writes a run as SARIF 2.1.0, in the language of the catalog.
func runSARIF(w io.Writer, r *diag.Run, cat *i18n.Catalog, o Options) error {
	run := sarifRun{
		Tool:       sarifTool{sarifDriver{Name: "todoku", Version: valid(r.Version), URI: sarifHome, Rules: []sarifRule{}}},
		Bases:      map[string]sarifArtifactAt{srcRoot: {Description: &sarifText{Text: cat.T("sarif.root", nil)}}},
		Language:   cat.Lang(),
		ColumnKind: "unicodeCodePoints",
		Results:    []sarifResult{},
	}
	all := items(r)
	baseline := slices.ContainsFunc(all, func(it item) bool { return it.f.Known })
	var fixed []sarifFixed
	var list []item
	for _, it := range all {
		switch {
		case it.f.Kind.Status <= diag.Pass:
		case it.change == diag.Fixed:
			fixed = append(fixed, sarifFixed{it.f.Kind.ID, valid(it.target.Domain), unlinked(cat.Message(it.f)), it.f.Fingerprint()})
		default:
			list = append(list, it)
		}
	}
	if fixed != nil {
		run.Properties = &sarifRunProperties{fixed}
	}
	inv := sarifInvocations(r, cat)
	if len(list) > sarifResults {
		inv.Notifications = append(inv.Notifications, sarifNotification{"warning", sarifText{Text: cat.T("sarif.more",
			diag.Args{"n": len(list) - sarifResults, "limit": sarifResults})}})
		list = important(list)[:sarifResults]
	}
	run.Invocations = []sarifInvocation{inv}
	index := map[string]int{}
	for i := range list {
		it := &list[i]
		n, ok := index[it.f.Kind.ID]
		if !ok {
			n = len(run.Tool.Driver.Rules)
			index[it.f.Kind.ID] = n
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, ruleSARIF(it.check, it.f.Kind, cat))
		}
		res := resultSARIF(it, cat, o)
		res.RuleIndex = n
		if baseline && it.change == "" {
			res.Baseline = "new"
			if it.f.Known {
				res.Baseline = "unchanged"
			}
		}
		run.Results = append(run.Results, res)
	}
	return writeJSON(w, sarifLog{sarifSchema, "2.1.0", []sarifRun{run}}, "  ")
}

func sarifInvocations(r *diag.Run, cat *i18n.Catalog) sarifInvocation {
	inv := sarifInvocation{Successful: true}
	if !r.Started.IsZero() {
		inv.Start = r.Started.UTC().Format(time.RFC3339Nano)
		inv.End = r.Started.Add(r.Duration).UTC().Format(time.RFC3339Nano)
	}
	reports := slices.Clone(r.Reports)
	for _, d := range r.Diffs {
		reports = append(reports, d.Old, d.New)
	}
	seen := map[dnsq.Question]bool{}
	for _, rep := range reports {
		if rep == nil {
			continue
		}
		for _, tr := range rep.Trouble {
			if tr.Err == nil || seen[tr.Err.Question] {
				continue
			}
			seen[tr.Err.Question] = true
			inv.Notifications = append(inv.Notifications, sarifNotification{"warning", sarifText{Text: unlinked(cat.T("sarif.unanswered",
				diag.Args{"question": tr.Err.Question.String(), "reason": string(tr.Err.Reason)}))}})
		}
		for i := range rep.Checks {
			if c := &rep.Checks[i]; c.Panic != "" {
				inv.Successful = false
				first, _, _ := strings.Cut(c.Panic, "\n")
				inv.Notifications = append(inv.Notifications, sarifNotification{"error",
					sarifText{Text: unlinked(cat.T("check.crashed", nil) + " " + cat.Value("", first))}})
			}
		}
	}
	return inv
}

// sarifLevel is the level of a kind of finding, and GitHub's word for it.
func sarifLevel(s diag.Status) (level, severity string) {
	switch s {
	case diag.Fail:
		return "error", "error"
	case diag.Warn:
		return "warning", "warning"
	case diag.Info:
		return "note", "recommendation"
	}
	return "none", ""
}

func ruleSARIF(c *diag.Check, k *diag.Kind, cat *i18n.Catalog) sarifRule {
	rule := sarifRule{ID: k.ID, Name: pascal(k.ID), Short: sarifText{Text: k.ID}}
	rule.Config.Level, rule.Properties.Severity = sarifLevel(k.Status)
	rule.Properties.Tags = []string{"mail", "dns", c.Name}
	if k.Owner != diag.Nobody {
		rule.Properties.Tags = append(rule.Properties.Tags, string(k.Owner))
	}
	if len(k.Refs) > 0 {
		rule.HelpURI = k.Refs[0].URL()
	}
	e := cat.Entry(k.ID)
	if e == nil {
		return rule
	}
	rule.Short.Text = cat.Blank(e.Message)
	var text, mark strings.Builder
	section := func(key string, blocks []i18n.Block) {
		if len(blocks) == 0 {
			return
		}
		title := cat.T(key, nil)
		text.WriteString(title + "\n")
		mark.WriteString("## " + title + "\n")
		for i, b := range blocks {
			s := cat.Blank(b.Text)
			if b.Kind != i18n.Item || i == 0 || blocks[i-1].Kind != i18n.Item {
				text.WriteString("\n")
				mark.WriteString("\n")
			}
			switch b.Kind {
			case i18n.Prose:
				text.WriteString(s + "\n")
				mark.WriteString(mdText(s) + "\n")
			case i18n.Item:
				text.WriteString("- " + s + "\n")
				mark.WriteString("- " + mdText(s) + "\n")
			case i18n.Code:
				text.WriteString(s + "\n")
				mark.WriteString(mdFence("", strings.Split(s, "\n")))
			}
		}
		text.WriteString("\n")
		mark.WriteString("\n")
	}
	if len(e.Why) > 0 {
		rule.Full = &sarifText{Text: cat.Blank(e.Why[0].Text)}
	}
	section("explain.why", e.Why)
	section("explain.fix", e.Fix)
	if len(k.Refs) > 0 {
		title := cat.T("explain.refs", nil)
		text.WriteString(title + "\n\n")
		mark.WriteString("## " + title + "\n\n")
		for _, r := range k.Refs {
			text.WriteString("- " + r.String() + " " + r.URL() + "\n")
			mark.WriteString("- " + mdLink(r.String(), r.URL()) + "\n")
		}
	}
	if t := strings.TrimSpace(text.String()); t != "" {
		rule.Help = &sarifText{t, strings.TrimSpace(mark.String())}
	}
	return rule
}

// pascal is an ID as a name: SpfTooManyLookups. A rule's name must differ from
// its ID (§3.49.7), and without one VS Code shows a dash.
func pascal(id string) string {
	var b strings.Builder
	for _, w := range strings.Split(id, "-") {
		if w != "" {
			b.WriteString(w[:1] + strings.ToLower(w[1:]))
		}
	}
	return b.String()
}

func resultSARIF(it *item, cat *i18n.Catalog, o Options) sarifResult {
	f := it.f
	fp := f.Fingerprint()
	res := sarifResult{
		RuleID:       f.Kind.ID,
		Message:      sarifText{Text: unlinked(strings.Join(plain(it, cat), "\n"))},
		Fingerprints: map[string]string{"todoku/v1": fp, "primaryLocationLineHash": fp + ":1"},
		Properties:   sarifResultProperties{valid(it.target.Domain), valid(f.Subject), f.Kind.Status, f.Who(), it.change},
	}
	res.Level, _ = sarifLevel(f.Kind.Status)
	switch {
	case f.Kind.Status == diag.Inconclusive && f.Kind.Harmless:
		res.Kind = "informational"
	case f.Kind.Status == diag.Inconclusive, it.lost():
		res.Kind, res.Level = "open", "none"
	}
	switch it.change {
	case diag.New:
		res.Baseline = "new"
	case diag.Unchanged:
		res.Baseline = "unchanged"
	}
	if w := f.Waived; w != nil {
		res.Suppressions = []sarifSuppression{{"external", "accepted", cat.Value("", w.Reason)}}
		if res.Level != "none" {
			res.Level = "note"
		}
	}
	p, ok := it.place(o)
	if !ok {
		p = diag.Place{File: "dns/" + it.target.Domain, Line: 1}
	}
	loc := sarifLocation{Physical: physical(p)}
	for _, e := range f.Evidence {
		if loc.Logical == nil {
			loc.Logical = []sarifLogical{{strings.TrimSpace(cat.Value("", e.Name) + " " + cat.Value("", e.Type)), "resource"}}
			continue
		}
		if e.File == "" || e.Line < 1 || len(res.Related) == sarifRelated {
			continue
		}
		res.Related = append(res.Related, sarifLocation{
			ID:       len(res.Related) + 1,
			Physical: physical(diag.Place{File: o.file(e.File), Line: e.Line}),
			Message:  &sarifText{Text: unlinked(cat.Value("", e.Name) + " " + cat.Value("", e.Type))},
		})
	}
	if loc.Logical == nil {
		loc.Logical = []sarifLogical{{cat.Value("", f.Subject), "resource"}}
	}
	res.Locations = []sarifLocation{loc}
	return res
}

func physical(p diag.Place) sarifPhysical {
	return sarifPhysical{sarifArtifactAt{URI: relativeURI(p.File), Base: srcRoot}, sarifRegion{p.Line}}
}

// relativeURI is a path as a relative reference (RFC 3986 §4.2). Each octet that
// may not stand in one is percent-encoded, so it is ASCII whatever the name is.
func relativeURI(name string) string {
	return (&url.URL{Path: name}).String()
}

// unlinked is text in which nothing is a link of SARIF (§3.11.6) or Markdown.
func unlinked(s string) string {
	return strings.ReplaceAll(s, "](", "] (")
}
