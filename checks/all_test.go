package checks_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/checks"
	"github.com/todoku-mail/todoku/pkg/checktest"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/i18n"
)

func TestValidate(t *testing.T) {
	for _, err := range diag.Validate(checks.All, i18n.Languages...) {
		t.Error(err)
	}
}

// Every ID has texts in every language with the same placeholders, and a
// reference (Validate).
func TestTexts(t *testing.T) {
	for _, err := range i18n.Problems(checks.All) {
		t.Error(err)
	}
}

// Every ID is what some fixture wants, and every fixture wants something of
// its check.
func TestFixturesCoverEveryID(t *testing.T) {
	for _, c := range checks.All {
		wanted := map[string]int{}
		for _, path := range checktest.Files(t, filepath.Join(c.Name, "testdata")) {
			f, err := checktest.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(f.Want) == 0 {
				t.Errorf("%s wants nothing", path)
			}
			for _, line := range f.Want {
				wanted[strings.Fields(line)[1]]++
			}
		}
		for _, k := range c.Kinds {
			// What the engine puts in a check's place is seen where it does so.
			if k == c.Skipped && wanted[k.ID] == 0 {
				f, err := checktest.Load("domain/testdata/not-found.txtar")
				if err != nil {
					t.Fatal(err)
				}
				f.AnswerOutside = true
				if in := c.Needs.Input; in != diag.NoInput {
					f.Target.Inputs = map[diag.Input]bool{in: true}
				}
				rep, _ := f.Report(t, checks.All...)
				for i := range rep.Checks {
					for j := range rep.Checks[i].Findings {
						wanted[rep.Checks[i].Findings[j].Kind.ID]++
					}
				}
			}
			if wanted[k.ID] == 0 {
				t.Errorf("%s: no fixture in checks/%s/testdata wants it", k.ID, c.Name)
			}
		}
	}
}

// judging is every check but those whose findings make others moot: with them
// beside it a check rightly says something else.
func judging() []*diag.Check {
	return slices.DeleteFunc(slices.Clone(checks.All), func(c *diag.Check) bool {
		return slices.ContainsFunc(c.Kinds, func(k *diag.Kind) bool { return k.Moots })
	})
}

// The fixtures of every check, run with all checks over one cache: what is
// said must not depend on who runs beside it, and nothing may crash.
func TestChecksDoNotDisturbEachOther(t *testing.T) {
	for _, c := range judging() {
		if c.Review != nil {
			continue // what it says is about who runs beside it
		}
		for _, path := range checktest.Files(t, filepath.Join(c.Name, "testdata")) {
			f, err := checktest.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			f.AnswerOutside = true // other checks ask for more than the fixture's zones hold
			rep, _ := f.Report(t, judging()...)
			for i := range rep.Checks {
				cr := &rep.Checks[i]
				if cr.Panic != "" {
					t.Errorf("%s: check %s crashed: %s", path, cr.Check.Name, cr.Panic)
				}
				if cr.Check != c {
					continue
				}
				var got []string
				for j := range cr.Findings {
					got = append(got, checktest.Line(&cr.Findings[j]))
				}
				if a, b := strings.Join(got, "\n"), strings.Join(f.Want, "\n"); a != b {
					t.Errorf("%s: with all checks beside it\n%s\nalone\n%s", path, a, b)
				}
			}
		}
	}
}

// layers says who may import whom, from the top. A package may import those
// of its own line's list and below, all without the module's path.
var layers = []struct {
	pkg    *regexp.Regexp
	mayNot []string // prefixes of import paths
	why    string
}{
	{regexp.MustCompile(`^pkg/`), []string{"checks", "cmd"}, "libraries know no check and no command"},
	{regexp.MustCompile(`^pkg/(spf|dkim|dmarc|orgdomain|dnsbl|provider|message|webform|received|authres|dnsq|zone)(/|$)`), []string{"pkg/render", "pkg/i18n", "pkg/engine", "pkg/facts", "pkg/checktest"}, "a protocol package knows nothing of reports"},
	{regexp.MustCompile(`^pkg/(spf|dkim|dmarc|orgdomain|dnsbl|provider|message|webform|received|authres|dnsq)(/|$)`), []string{"pkg/diag"}, "a protocol package knows nothing of findings"},
	{regexp.MustCompile(`^pkg/diag$`), []string{"pkg/engine", "pkg/facts", "pkg/render", "pkg/i18n", "pkg/zone", "pkg/spf", "pkg/dkim", "pkg/dmarc", "pkg/dnsbl", "pkg/orgdomain", "pkg/provider"}, "the vocabulary stands below everything"},
	{regexp.MustCompile(`^pkg/(render|i18n)(/|$)`), []string{"pkg/spf", "pkg/dkim", "pkg/dmarc", "pkg/dnsbl", "pkg/orgdomain", "pkg/provider", "pkg/facts", "pkg/engine", "pkg/zone"}, "renderers know no protocol"},
	{regexp.MustCompile(`^pkg/facts$`), []string{"pkg/engine", "pkg/render", "pkg/i18n", "pkg/zone"}, "facts do not judge"},
	{regexp.MustCompile(`^checks/.`), []string{"checks/", "pkg/engine", "pkg/render", "pkg/i18n", "pkg/zone", "net\x00", "net/http", "os\x00", "os/", "syscall"}, "a check sees the world through its Job, imports no other check and writes no sentences"},
}

// only says which packages alone may import a library.
var only = map[string]*regexp.Regexp{
	"github.com/miekg/dns":           regexp.MustCompile(`^pkg/(dnsq|zone)(/|$)`),
	"github.com/fatih/color":         regexp.MustCompile(`^pkg/render$`),
	"github.com/emersion/go-msgauth": regexp.MustCompile(`^pkg/(dkim|message)(/|$)`),
	"github.com/spf13/cobra":         regexp.MustCompile(`^cmd/`),
}

func TestImports(t *testing.T) {
	const module = "github.com/todoku-mail/todoku/"
	root := ".."
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		files++
		rel, _ := filepath.Rel(root, path)
		pkg := filepath.ToSlash(filepath.Dir(rel))
		test := strings.HasSuffix(path, "_test.go")
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			imp, _ := strconv.Unquote(spec.Path.Value)
			local := strings.TrimPrefix(imp, module)
			if !test {
				for _, l := range layers {
					if !l.pkg.MatchString(pkg) {
						continue
					}
					for _, no := range l.mayNot {
						exact := strings.TrimSuffix(no, "\x00")
						if local == exact || exact == no && strings.HasPrefix(local, strings.TrimSuffix(no, "/")+"/") {
							t.Errorf("%s imports %s: %s", rel, imp, l.why)
						}
					}
				}
				for lib, who := range only {
					if (imp == lib || strings.HasPrefix(imp, lib+"/")) && !who.MatchString(pkg) {
						t.Errorf("%s imports %s, which only %s may", rel, imp, who)
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 20 {
		t.Fatalf("only %d files were looked at", files)
	}
}

// A check reads no clock but its Job's.
func TestChecksReadNoClock(t *testing.T) {
	for _, c := range checks.All {
		paths, err := filepath.Glob(filepath.Join(c.Name, "*.go"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: no files (%v)", c.Name, err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, spec := range f.Imports {
				if spec.Path.Value == `"time"` {
					t.Errorf("%s imports time", path)
				}
			}
		}
	}
}

// A check that names an address among its needs says SKIPPED without one, and
// only such a check does: what it declares is true.
func TestNeedsAreTrue(t *testing.T) {
	f, err := checktest.Load(filepath.Join("..", "testdata", "scenarios", "healthy.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	f.AnswerOutside, f.Target.IPs = true, nil
	rep, _ := f.Report(t, checks.All...)
	for i := range rep.Checks {
		cr := &rep.Checks[i]
		says := slices.ContainsFunc(cr.Findings, func(f diag.Finding) bool {
			return f.Kind.Status == diag.Skip && strings.HasSuffix(f.Kind.ID, "-SKIPPED")
		})
		if says != cr.Check.Needs.IP {
			t.Errorf("%s: needs an address: %t, but says SKIPPED without one: %t", cr.Check.Name, cr.Check.Needs.IP, says)
		}
	}
}
