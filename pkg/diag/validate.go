package diag

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

var (
	checkName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	kindID    = regexp.MustCompile(`^[A-Z][A-Z0-9]*(-[A-Z0-9]+)+$`)
	argName   = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	sinceForm = regexp.MustCompile(`^[0-9]+\.[0-9]+$`)
)

// Validate looks at the descriptors of checks before anything runs. The rules:
//   - a check has a name (lower case, "spf"), unique; documents; a Run, or a
//     Review in its place
//   - it has kinds, and Undetermined is one of them, inconclusive, with the
//     arguments "question" and "reason"; Skipped, if there is one, is a skip
//     with the argument "missing"
//   - an ID is upper case ("SPF-MISSING"), starts with the check's prefix and
//     is unique over all checks
//   - a fail or warn kind names an owner; every kind has a reference
//   - only an inconclusive kind is harmless
//   - arguments are lower case, unique, and not "subject", which all texts have;
//     keys are arguments
//   - Since is a version, "0.1"
//   - the facts required form no circle
//   - documents exist in every language
//
// It returns one error for each breach.
func Validate(checks []*Check, languages ...string) []error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	names := map[string]bool{}
	ids := map[string]string{}
	for _, c := range checks {
		if !checkName.MatchString(c.Name) {
			bad("check %q: the name must be lower case letters and digits, parts joined by '-'", c.Name)
		}
		if names[c.Name] {
			bad("check %s: the name is used twice", c.Name)
		}
		names[c.Name] = true
		if (c.Run == nil) == (c.Review == nil) {
			bad("check %s: it has a Run or a Review, one of them", c.Name)
		}
		if c.Docs == nil {
			bad("check %s: Docs is nil", c.Name)
		} else {
			for _, l := range languages {
				if _, err := fs.Stat(c.Docs, "doc."+l+".md"); err != nil {
					bad("check %s: %v", c.Name, err)
				}
			}
		}
		if len(c.Kinds) == 0 {
			bad("check %s: no kinds", c.Name)
		}
		switch u := c.Undetermined; {
		case u == nil:
			bad("check %s: Undetermined is nil", c.Name)
		case c.Kind(u.ID) != u:
			bad("check %s: Undetermined (%s) is not in Kinds", c.Name, u.ID)
		case u.Status != Inconclusive:
			bad("check %s: Undetermined (%s) has status %s, not inconclusive", c.Name, u.ID, u.Status)
		case u.checkArgs(Args{"question": "", "reason": ""}) != nil:
			bad("check %s: Undetermined (%s) must have exactly the arguments question and reason", c.Name, u.ID)
		}
		if k := c.Skipped; k != nil && (c.Kind(k.ID) != k || k.Status != Skip || k.checkArgs(Args{"missing": ""}) != nil) {
			bad("check %s: Skipped (%s) must be one of Kinds, of status skip, with the argument missing alone", c.Name, k.ID)
		}
		prefix := ""
		for _, k := range c.Kinds {
			if !kindID.MatchString(k.ID) {
				bad("check %s: ID %q must be upper case words joined by '-'", c.Name, k.ID)
				continue
			}
			p, _, _ := strings.Cut(k.ID, "-")
			if prefix == "" {
				prefix = p
			}
			if p != prefix {
				bad("check %s: ID %s does not start with %s-", c.Name, k.ID, prefix)
			}
			if other, ok := ids[k.ID]; ok {
				bad("check %s: ID %s is also one of check %s", c.Name, k.ID, other)
			}
			ids[k.ID] = c.Name
			if (k.Status == Fail || k.Status == Warn) && k.Owner == Nobody {
				bad("%s: a %s kind names who must act", k.ID, k.Status)
			}
			if k.Harmless && k.Status != Inconclusive {
				bad("%s: only an inconclusive kind can be harmless", k.ID)
			}
			if len(k.Refs) == 0 {
				bad("%s: no reference", k.ID)
			}
			for _, r := range k.Refs {
				if r.RFC == 0 && (r.Title == "" || !strings.HasPrefix(r.Link, "https://")) {
					bad("%s: a reference that is no RFC has a title and an https link", k.ID)
				}
			}
			if !sinceForm.MatchString(k.Since) {
				bad("%s: Since is %q, not a version such as 0.1", k.ID, k.Since)
			}
			seen := map[string]bool{"subject": true}
			for _, a := range k.Args {
				if !argName.MatchString(a) || seen[a] {
					bad("%s: argument %q is not lower case, used twice, or called subject", k.ID, a)
				}
				seen[a] = true
			}
			for _, key := range k.Key {
				if !slices.Contains(k.Args, key) {
					bad("%s: key %q is not one of its arguments", k.ID, key)
				}
			}
		}
		var path []AnyFact
		var walk func(f AnyFact)
		walk = func(f AnyFact) {
			for _, p := range path {
				if p == f {
					bad("check %s: fact %q requires itself", c.Name, f.FactName())
					return
				}
			}
			path = append(path, f)
			for _, g := range f.requires() {
				walk(g)
			}
			path = path[:len(path)-1]
		}
		for _, f := range c.Requires {
			walk(f)
		}
	}
	return errs
}
