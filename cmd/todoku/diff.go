package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/engine"
	"github.com/todoku-mail/todoku/pkg/gate"
	"github.com/todoku-mail/todoku/pkg/render"
	"github.com/todoku-mail/todoku/pkg/zone"
)

// live is the value of --old and --new that stands for the DNS as it is.
const live = "live"

// diffTimeout is the default for a diff: it may have hundreds of domains.
const diffTimeout = 2 * time.Minute

type diffFlags struct {
	targetFlags
	runFlags
	old, new []string
	config   string
}

func newDiff(s stdio) *cobra.Command {
	var f diffFlags
	cmd := &cobra.Command{
		Use:   "diff --old ZONE… --new ZONE… [DOMAIN…]",
		Short: "What a change of zone files breaks, fixes and leaves",
		Long: `diff runs every check on the DNS as it was (--old) and as it would be (--new)
and compares what they find. Only what the change brings counts: a fault that was
there before fails nothing.

Each side is zone files, folders of them, or the word live for the DNS as it is.
A zone file answers for its origin; everything else comes from the live DNS, or is
inconclusive with --offline. Without DOMAIN every domain is judged that the files
say something about mail for: the origin of each zone, and every name with an MX,
SPF, DMARC or DKIM record; with --config, those of the inventory.

Exit code 1: the change brings findings at or above --fail-on. 3: it cannot be said
whether it does. 0: it does not.`,
		Example: `  todoku diff --old live --new shop.example.zone
  todoku diff --old main/zones --new branch/zones --offline
  todoku diff --old live --new shop.example.zone --ip 192.0.2.25 shop.example
  todoku diff --record-set 'shop.example TXT "v=spf1 mx -all"'            against the live DNS
  git show HEAD~1:shop.example.zone | todoku diff --old - --new shop.example.zone`,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.diff(cmd.Context(), cmd, s, args)
		},
	}
	f.targetFlags.add(cmd)
	f.addReport(cmd)
	f.addRecordSets(cmd)
	f.addDNS(cmd, diffTimeout)
	fl := cmd.Flags()
	fl.StringVar(&f.config, "config", "", "inventory `FILE` (todoku.yaml): judge its domains, as they are declared to send; its waivers apply")
	_ = cmd.MarkFlagFilename("config")
	fl.StringArrayVar(&f.old, "old", nil, "`ZONE` before the change: FILE[@ORIGIN], a folder, - or live (repeatable)")
	fl.StringArrayVar(&f.new, "new", nil, "`ZONE` after the change: FILE[@ORIGIN], a folder, - or live (repeatable)")
	return cmd
}

// A side is what one of --old and --new came to.
type side struct {
	flag  string
	zones *zone.Set // nil: the live DNS
	label string
	// records are those of --record-set, which the new side alone has; nil
	// without any.
	records *zone.RecordSets
}

// sideOf reads the zones of one side.
func (f *diffFlags) sideOf(flag string, specs []string, s stdio) (*side, error) {
	out := &side{flag: flag, label: live}
	switch {
	case len(specs) == 0:
		return nil, usagef("diff needs %s: give zone files, a folder of them, or live for the DNS as it is", flag)
	case slices.Contains(specs, live) && len(specs) > 1:
		return nil, usagef("%s live is the whole DNS as it is: leave out the other %s", flag, flag)
	case specs[0] == live:
		return out, nil
	}
	set, err := zone.OpenAll(specs, s.in)
	if err != nil {
		return nil, usage(prefixed(flag, err))
	}
	tellPassed(s, flag, set)
	out.zones, out.label = set, strings.Join(specs, ", ")
	return out, nil
}

// sides reads both sides. A zone that is in files on one side only would be
// compared with whatever the live DNS says, or with nothing at all: that is
// asked for by the word live, not by an omission.
func (f *diffFlags) sides(s stdio) (old, new *side, err error) {
	if slices.Contains(f.old, "-") && slices.Contains(f.new, "-") {
		return nil, nil, usagef("--old - and --new - cannot both be the standard input: give a file for one of them")
	}
	var records *zone.RecordSets
	before := f.old
	if f.recordSets != nil {
		if records, err = zone.ParseRecordSets(f.recordSets, "--record-set"); err != nil {
			return nil, nil, usagef("--record-set %v", err)
		}
		if len(before) == 0 {
			before = []string{live}
		}
	}
	if old, err = f.sideOf("--old", before, s); err != nil {
		return nil, nil, err
	}
	// The records alone are a change: of what there was.
	if records != nil && len(f.new) == 0 {
		new = &side{flag: "--record-set", zones: old.zones, label: "--record-set"}
	} else if new, err = f.sideOf("--new", f.new, s); err != nil {
		return nil, nil, err
	}
	new.records = records
	if old.zones == nil && new.zones == nil && records == nil {
		return nil, nil, usagef("--old live and --new live are the same: give zone files for one of them")
	}
	if f.offline && f.replay == "" {
		for _, d := range []*side{old, new} {
			if d.zones == nil {
				return nil, nil, usagef("%s live is asked over the network, which --offline forbids: leave out --offline, or give the zone files of that side", d.flag)
			}
		}
	}
	if old.zones != nil && new.zones != nil {
		for _, x := range [][2]*side{{old, new}, {new, old}} {
			for _, z := range x[0].zones.Zones() {
				if !slices.ContainsFunc(x[1].zones.Zones(), func(o *zone.Zone) bool { return o.Origin == z.Origin }) {
					return nil, nil, usagef("%s has the zone %s and %s has not: give its file there too; for a zone that is not there on that side, a file with its SOA record alone",
						x[0].flag, z.Origin, x[1].flag)
				}
			}
		}
	}
	return old, new, nil
}

// targets are the domains that the diff judges.
func (f *diffFlags) targets(cmd *cobra.Command, args []string, old, new *side) ([]diag.Target, error) {
	var out []diag.Target
	names := zone.MailNames(new.zones, new.proposed(), old.zones) // the line of the new side, if both name a domain
	if len(args) > 0 {
		place := map[string]diag.Place{}
		for _, n := range names {
			place[n.Domain] = n.Place
		}
		for _, a := range args {
			t, err := f.target(cmd, a)
			if err != nil {
				return nil, err
			}
			if len(args) > 1 {
				if name := aboutOne(cmd); name != "" {
					return nil, usagef("--%s is about one domain, but there are %d: give one DOMAIN", name, len(args))
				}
			}
			t.Named = place[t.Domain]
			out = append(out, t)
		}
		return out, nil
	}
	if name := aboutOne(cmd); name != "" {
		return nil, usagef("--%s is about one domain: name it, as in todoku diff … --%s … %s", name, name, first(names))
	}
	for _, n := range names {
		t, err := f.target(cmd, n.Domain)
		if err != nil {
			continue // a name that is no domain name, such as one with an escape: no mail has it
		}
		t.Named = n.Place
		out = append(out, t)
	}
	if len(out) == 0 {
		return nil, usagef("the zone files name no domain that mail could have: give a DOMAIN")
	}
	return out, nil
}

func first(names []zone.MailName) string {
	if len(names) == 0 {
		return "shop.example"
	}
	return names[0].Domain
}

// aboutOne is a flag that was given and says something about a single domain.
func aboutOne(cmd *cobra.Command) string {
	for _, name := range []string{"ip", "helo", "mail-from", "from", "selector", "dkim-domain", "private-key"} {
		if cmd.Flags().Changed(name) {
			return name
		}
	}
	return ""
}

// gating is what the diff judges: the domains of the inventory or, without one,
// those of the arguments and the files.
func (f *diffFlags) gating(cmd *cobra.Command, args []string, old, new *side) (*gating, error) {
	if f.config == "" {
		targets, err := f.targets(cmd, args, old, new)
		return &gating{targets: targets}, err
	}
	g := &gating{all: len(args) == 0 && len(f.only) == 0 && len(f.skip) == 0}
	var err error
	if g.inv, err = loadInventory(f.config); err != nil {
		return nil, err
	}
	if name := aboutOne(cmd); name != "" {
		return nil, usagef("--%s says how one domain sends, and so does %s: write it there", name, f.config)
	}
	var named []string
	for _, a := range args {
		d, err := inventoryDomain(g.inv, a)
		if err != nil {
			return nil, err
		}
		named = append(named, d.Target.Domain)
	}
	lists, err := f.blocklists()
	if err != nil {
		return nil, err
	}
	for _, t := range g.inv.Targets() {
		if len(args) == 0 || slices.Contains(named, t.Domain) {
			t.Blocklists = lists
			g.targets = append(g.targets, t)
		}
	}
	zones := f.zones
	f.inventory(cmd, g.inv)
	f.zones = zones // the sides say which zones there are
	return g, nil
}

// waive marks what the inventory's waivers cover on either side.
func (g *gating) waive(run *diag.Run, now time.Time) {
	var old, new []*diag.Report
	for _, d := range run.Diffs {
		old, new = append(old, d.Old), append(new, d.New)
	}
	gate.Apply(old, g.all, now)
	gate.Apply(new, g.all, now)
}

// diff runs the comparison and writes the reports. Its error is an exit code.
func (f *diffFlags) diff(ctx context.Context, cmd *cobra.Command, s stdio, args []string) error {
	old, new, err := f.sides(s)
	if err != nil {
		return err
	}
	g, err := f.gating(cmd, args, old, new)
	if err != nil {
		return err
	}
	targets := g.targets
	p, err := f.prepare(cmd, s)
	if err != nil {
		return err
	}
	p.options.FailOn = func(t *diag.Target) diag.Status { return f.threshold(g, t) }
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	opt := dnsq.Options{Servers: p.servers, Offline: f.offline, Replay: p.replay, Rules: p.rules,
		Budget: dnsq.DefaultBudget * len(targets)}
	stack, err := dnsq.New(ctx, opt)
	if err != nil {
		return usagef("--server: %v", err)
	}
	// Below the files of the sides, which are given again for a replay.
	var live dnsq.Resolver = stack
	var recorder *dnsq.Recorder
	if p.record != nil {
		defer p.record.Close()
		recorder = dnsq.NewRecorder(p.record, stack)
		recorder.Header.Started, recorder.Header.Label = p.started, p.server
		live = recorder
	}
	for i := range targets {
		t := &targets[i]
		t.Blocklists.Keyed, t.Blocklists.Server = p.keyed, p.server
		// Of both sides: a key that goes is asked for on the side that has it not.
		t.SelectorHints = zone.SelectorsIn(t.DKIMDomain, old.zones, new.zones, new.proposed())
	}
	cfg := engine.Config{Checks: p.checks, Version: version, Server: p.server, Now: func() time.Time { return p.started }}
	run := engine.Diff(ctx, cfg, old.over(live, nil), new.over(live, old), targets)
	run.Before, run.After, run.Server = old.label, new.label, p.server
	g.waive(run, p.started)
	if err := stack.Close(); err != nil {
		return &exitError{exitBroken, err}
	}
	if err := p.write(run, s); err != nil {
		return err
	}
	// After the reports: nothing already found is lost if this fails.
	if recorder != nil {
		if err := recorder.Close(); err != nil {
			return usagef("--record %s: %v", f.record, err)
		}
	}
	return f.diffVerdict(run, g, s)
}

// over is the side as the engine compares it: its zones over under, and what
// their text says, beside that of the side before it where there is one.
func (d *side) over(under dnsq.Resolver, before *side) engine.Side {
	out := engine.Side{Resolver: under}
	if d.zones != nil {
		texts := zone.Lint(d.zones)
		if before != nil && before.zones != nil {
			texts.Lints = append(texts.Lints, zone.LintChange(before.zones, d.zones)...)
		}
		if d.records != nil {
			texts = d.records.Replace(texts)
		}
		out.Resolver = d.zones.Overlay(under)
		out.Prepare = func(t *diag.Target) { setTexts(t, texts) }
	}
	if d.records != nil {
		out.Resolver = d.records.Over(out.Resolver)
	}
	return out
}

// proposed are the records of --record-set as zones, nil without any.
func (d *side) proposed() *zone.Set {
	if d.records == nil {
		return nil
	}
	return d.records.Zones()
}

// diffVerdict turns a diff into an exit code.
func (f *diffFlags) diffVerdict(run *diag.Run, g *gating, s stdio) error {
	n := map[diag.Status]int{}
	warned := false
	broken := false
	for _, d := range run.Diffs {
		warn := f.threshold(g, &d.Target) <= diag.Warn
		for _, r := range []*diag.Report{d.Old, d.New} {
			for i := range r.Checks {
				if p := r.Checks[i].Panic; p != "" {
					broken = true
					fmt.Fprintf(s.err, "todoku: the check %s failed on %s, which is a defect of todoku: %s\n",
						r.Checks[i].Check.Name, d.Target.Domain, sanitizeLines(p))
				}
			}
		}
		for i := range d.Pairs {
			p := &d.Pairs[i]
			if p.Change == diag.Undecided && p.New != nil && p.New.Kind.Status == diag.Warn && !warn {
				continue // it would not fail if it were new
			}
			n[render.PairStatus(p)]++
			warned = warned || warn && render.PairStatus(p) == diag.Warn
		}
	}
	switch {
	case n[diag.Fail] > 0, warned:
		return &exitError{code: exitFound}
	case broken:
		return &exitError{code: exitBroken}
	case n[diag.Inconclusive] > 0 && f.inconclusive != "ok":
		return &exitError{code: exitInconclusive}
	}
	return nil
}
