package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/todoku-mail/todoku/checks"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/gate"
)

// gateFlags are the flags that hold a run against what a team keeps beside it.
type gateFlags struct {
	config   string
	baseline string
	locked   bool
	lockFile string
}

func (g *gateFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&g.config, "config", "", "inventory `FILE` (todoku.yaml): check all its domains, or only DOMAIN; its waivers apply")
	fl.StringVar(&g.baseline, "baseline", "", "report `FILE` of -o json: only what is not in it counts for the exit code")
	fl.BoolVar(&g.locked, "locked", false, "tell what has moved since todoku lock, and who moved it")
	fl.StringVar(&g.lockFile, "lock-file", "", "lock `FILE` (default "+lockName+", beside the inventory if there is one)")
	for _, name := range []string{"config", "baseline", "lock-file"} {
		_ = cmd.MarkFlagFilename(name)
	}
}

// A gating is what gateFlags came to.
type gating struct {
	inv      *gate.Inventory // nil without --config
	baseline *gate.Baseline  // nil without --baseline
	targets  []diag.Target
	all      bool // every target of the inventory is among them
}

// load reads the files of the flags. domain is the DOMAIN argument, "" if none
// was given; without --config the target is that of the flags.
func (g *gateFlags) load(cmd *cobra.Command, tf *targetFlags, rf *runFlags, domain string) (*gating, error) {
	out := &gating{}
	if g.baseline != "" {
		var err error
		if out.baseline, err = gate.LoadBaseline(g.baseline); err != nil {
			return nil, usagef("--baseline: %v", err)
		}
	}
	if g.config == "" {
		t, err := tf.target(cmd, domain)
		if err != nil {
			return nil, err
		}
		out.targets = []diag.Target{t}
		return out, g.setLock(out.targets)
	}
	inv, err := loadInventory(g.config)
	if err != nil {
		return nil, err
	}
	if name := aboutOne(cmd); name != "" {
		return nil, usagef("--%s says how one domain sends, and so does %s: write it there", name, g.config)
	}
	out.inv, out.targets = inv, inv.Targets()
	out.all = domain == "" && len(rf.only) == 0 && len(rf.skip) == 0
	if domain != "" {
		d, err := inventoryDomain(inv, domain)
		if err != nil {
			return nil, err
		}
		out.targets = slices.DeleteFunc(out.targets, func(t diag.Target) bool { return t.Domain != d.Target.Domain })
	}
	lists, err := tf.blocklists()
	if err != nil {
		return nil, err
	}
	for i := range out.targets {
		out.targets[i].Blocklists = lists
	}
	rf.inventory(cmd, inv)
	return out, g.setLock(out.targets)
}

// loadInventory reads a todoku.yaml.
func loadInventory(file string) (*gate.Inventory, error) {
	inv, err := gate.Load(file, checks.All...)
	var faults gate.Errors
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, usagef("--config %s: there is no such file", file)
	case errors.As(err, &faults):
		return nil, usagef("--config: %v", err)
	case err != nil:
		return nil, usagef("--config: %v", err)
	}
	return inv, nil
}

// inventoryDomain is the entry of a DOMAIN argument.
func inventoryDomain(inv *gate.Inventory, domain string) (*gate.Domain, error) {
	name, err := dnsq.ParseName(domain)
	if err != nil {
		return nil, usagef("DOMAIN: %v", err)
	}
	if d := inv.Domain(name); d != nil {
		return d, nil
	}
	var names []string
	for i := range inv.Domains {
		names = append(names, inv.Domains[i].Target.Domain)
	}
	if len(names) > 8 {
		names = append(names[:8], "…")
	}
	return nil, usagef("%s is not in %s: it has %s", name, inv.File, strings.Join(names, ", "))
}

// inventory takes from an inventory what no flag says: flags come first.
func (f *runFlags) inventory(cmd *cobra.Command, inv *gate.Inventory) {
	if f.zones == nil {
		f.zones = inv.Zones
	}
	if f.servers == nil && f.replay == "" && !f.offline {
		f.servers = inv.Servers
	}
	f.failOnSet = cmd.Flags().Changed("fail-on")
}

// threshold is the status from which on a target fails: what --fail-on says, or
// else the inventory.
func (f *runFlags) threshold(g *gating, t *diag.Target) diag.Status {
	s := diag.Fail
	if f.failOn == "warn" {
		s = diag.Warn
	}
	if g.inv != nil && !f.failOnSet {
		if d := g.inv.Domain(t.Domain); d != nil && d.FailOn != diag.Skip {
			return d.FailOn
		}
	}
	return s
}

// hints are the selectors to guess first, for a recording: those of one target
// alone as they are, those of several with the names at which they stand.
func hints(targets []diag.Target) []string {
	if len(targets) == 1 {
		return targets[0].SelectorHints
	}
	var out []string
	for i := range targets {
		for _, s := range targets[i].SelectorHints {
			out = append(out, s+"._domainkey."+targets[i].DKIMDomain)
		}
	}
	return out
}

// hintsFor are the hints of a recording that are about a target.
func hintsFor(all []string, t *diag.Target) []string {
	var out []string
	for _, h := range all {
		if !strings.Contains(h, "._domainkey.") {
			out = append(out, h)
		} else if s, ok := strings.CutSuffix(h, "._domainkey."+t.DKIMDomain); ok {
			out = append(out, s)
		}
	}
	return out
}

// args reads the arguments of check: a DOMAIN, which --config makes optional.
func (g *gateFlags) args(args []string) error {
	switch {
	case len(args) > 1:
		return usagef("check takes one DOMAIN, but got %d arguments: %s", len(args), strings.Join(args, " "))
	case len(args) == 0 && g.config == "":
		return usagef("check needs a DOMAIN, such as: todoku check shop.example --ip 192.0.2.25, or an inventory: todoku check --config todoku.yaml")
	}
	return nil
}

// tellBroken tells of checks that crashed.
func tellBroken(s stdio, reports []*diag.Report) {
	for _, r := range reports {
		for i := range r.Checks {
			if p := r.Checks[i].Panic; p != "" {
				of := ""
				if len(reports) > 1 {
					of = " on " + r.Target.Domain
				}
				fmt.Fprintf(s.err, "todoku: the check %s failed%s, which is a defect of todoku: %s\n", r.Checks[i].Check.Name, sanitizeLines(of), sanitizeLines(p))
			}
		}
	}
}

// missing names what the checks that were picked would need to have something to
// look at.
func missing(picked []*diag.Check) string {
	var out []string
	for _, c := range picked {
		what := map[diag.Input]string{diag.ZoneInput: "zone files (--zone)", diag.InventoryInput: "an inventory (--config)",
			diag.GateInput: "waivers in an inventory (--config)", diag.LockInput: "a lock file (--locked)"}[c.Needs.Input]
		out = append(out, fmt.Sprintf("the check %s needs %s", c.Name, what))
	}
	return strings.Join(out, ", ")
}

// applies reports whether a check will have something to say about a target.
func applies(c *diag.Check, t *diag.Target) bool {
	return c.Applies(t) || c.Review != nil && len(t.Waivers) > 0
}
