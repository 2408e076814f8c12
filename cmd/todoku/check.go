package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/todoku-mail/todoku/checks"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/engine"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/gate"
	"github.com/todoku-mail/todoku/pkg/render"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
	"github.com/todoku-mail/todoku/pkg/zone"
)

// runFlags are the flags of every command that runs checks.
type runFlags struct {
	zones         []string
	recordSets    []string
	offline       bool
	servers       []string
	record        string
	replay        string
	only, skip    []string
	outputs       []string
	fix           []string
	failOn        string
	inconclusive  string
	timeout       time.Duration
	dnsblKeys     string
	quiet, detail bool
	failOnSet     bool      // --fail-on was given, and comes before what an inventory says
	bundled       *zone.Set // the demo's zones, in place of --zone
}

const defaultTimeout = 15 * time.Second

func (f *runFlags) addReport(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringSliceVar(&f.only, "only", nil, "run only these checks")
	fl.StringSliceVar(&f.skip, "skip", nil, "leave these checks out")
	fl.StringArrayVarP(&f.outputs, "output", "o", nil, "FORMAT[=FILE]: "+strings.Join(formats, ", ")+" (repeatable; default text)")
	fl.StringVar(&f.failOn, "fail-on", "fail", "exit 1 from this status on: fail or warn")
	fl.StringVar(&f.inconclusive, "inconclusive", "fail", "what could not be found out: fail (exit 3) or ok (exit 0)")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "only the verdict and what stops mail")
	fl.BoolVarP(&f.detail, "verbose", "v", false, "everything: the records behind what passes, the SPF tree")
	var names []string
	for _, c := range checks.All {
		names = append(names, c.Name)
	}
	for flag, values := range map[string][]string{"only": names, "skip": names, "output": formats,
		"fail-on": {"fail", "warn"}, "inconclusive": {"fail", "ok"}} {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
}

// addZones is the flag that addDNS has beside it where there is one state of the
// DNS to look at.
func (f *runFlags) addZones(cmd *cobra.Command) {
	fl := cmd.Flags()
	f.addRecordSets(cmd)
	fl.StringArrayVar(&f.zones, "zone", nil, "zone `FILE[@ORIGIN]` that answers for its origin in place of the DNS; a folder of them, or - (repeatable)")
}

// addRecordSets is the flag for records that are proposed one by one.
func (f *runFlags) addRecordSets(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.recordSets, "record-set", nil,
		"what if: `RECORD` such as 'example.com TXT \"v=spf1 -all\"' in place of all of its name and type (repeatable)")
}

// addDNS is where answers come from, and how long they may take.
func (f *runFlags) addDNS(cmd *cobra.Command, timeout time.Duration) {
	fl := cmd.Flags()
	fl.BoolVar(&f.offline, "offline", false, "no network at all: what is in no zone file or recording is inconclusive")
	fl.StringArrayVar(&f.servers, "server", nil, "DNS server to ask: ip[:port], tcp://…, tls://name@ip, https://…/dns-query (repeatable; default the system's)")
	fl.StringVar(&f.record, "record", "", "write every answer of this run to `FILE`")
	fl.StringVar(&f.replay, "replay", "", "take every answer from `FILE`, written by --record")
	fl.StringVar(&f.dnsblKeys, "dnsbl-keys", "", "`FILE` with keys of blocklists, a service and its key a line; or set "+keyVariable("service"))
	fl.DurationVar(&f.timeout, "timeout", timeout, "time for the whole run; what is not learnt by then is inconclusive")
}

func newCheck(s stdio) *cobra.Command {
	var tf targetFlags
	var rf runFlags
	var gf gateFlags
	cmd := &cobra.Command{
		Use:   "check [DOMAIN]",
		Short: "Check a sending domain and the addresses that send its mail",
		Example: `  todoku check shop.example --ip 192.0.2.25
  todoku check shop.example --ip 192.0.2.25 --helo mail.shop.example --mail-from bounce@mail.shop.example
  todoku check shop.example --ip 192.0.2.25 --zone shop.example.zone      before you publish the zone
  todoku check shop.example --ip 192.0.2.25 --zone shop.example.zone --fix zone | patch -p0
  todoku check shop.example --ip 192.0.2.25 -o json=report.json -o text
  todoku check --config todoku.yaml                          every domain of an inventory
  todoku check --config todoku.yaml --baseline report.json   fail only for what is new
  todoku check --config todoku.yaml --locked                 what providers moved since todoku lock`,
		Args:              func(_ *cobra.Command, args []string) error { return gf.args(args) },
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := gf.load(cmd, &tf, &rf, strings.Join(args, ""))
			if err != nil {
				return err
			}
			return rf.check(cmd.Context(), cmd, s, g)
		},
	}
	tf.add(cmd)
	rf.addReport(cmd)
	rf.addFix(cmd)
	rf.addZones(cmd)
	rf.addDNS(cmd, defaultTimeout)
	gf.add(cmd)
	return cmd
}

// check runs the checks on the targets and writes the reports. Its error is an
// exit code.
func (f *runFlags) check(ctx context.Context, cmd *cobra.Command, s stdio, g *gating) error {
	p, err := f.prepare(cmd, s)
	if err != nil {
		return err
	}
	targets := g.targets
	if err := p.oneTarget(targets); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout*time.Duration(engine.Rounds(len(targets))))
	defer cancel()
	opt := dnsq.Options{Servers: p.servers, Offline: f.offline, Replay: p.replay, Rules: p.rules,
		Budget: dnsq.DefaultBudget * len(targets)}
	texts, err := p.texts()
	if err != nil {
		return usagef("--replay %s: %v", f.replay, err)
	}
	names := zone.MailNames(p.zones)
	for i := range targets {
		t := &targets[i]
		if texts != nil {
			setTexts(t, texts)
		}
		if t.Named.File == "" {
			if n := slices.IndexFunc(names, func(n zone.MailName) bool { return n.Domain == t.Domain }); n >= 0 {
				t.Named = names[n].Place
			}
		}
		t.SelectorHints = zone.SelectorsIn(t.DKIMDomain, p.zones, p.proposed())
		if p.replay != nil {
			t.SelectorHints = hintsFor(p.replay.Hints, t)
		}
		t.Blocklists.Keyed, t.Blocklists.Server = p.keyed, p.server
		if !slices.ContainsFunc(p.checks, func(c *diag.Check) bool { return applies(c, t) }) {
			return usagef("--only %s: there is nothing for it to look at: %s", strings.Join(f.only, ","), missing(p.checks))
		}
	}
	stack, err := dnsq.New(ctx, opt)
	if err != nil {
		return usagef("--server: %v", err)
	}
	for i := range targets {
		if facts.MailOf(&targets[i]) != nil && f.proposes() {
			targets[i].Before = stack // the DNS as the mail came in
		}
	}
	resolver := p.over(stack)
	// Outermost, so that what the zone files said is kept too.
	var recorder *dnsq.Recorder
	if p.record != nil {
		defer p.record.Close()
		recorder = dnsq.NewRecorder(p.record, resolver)
		recorder.Header.Started, recorder.Header.Label, recorder.Header.Hints = p.started, p.server, hints(targets)
		if recorder.Header.Context, err = recordTexts(texts); err != nil {
			return &exitError{exitBroken, err}
		}
		resolver = recorder
	}
	cfg := engine.Config{Checks: p.checks, Others: f.others(p.checks), Resolver: resolver, Version: version, Server: p.server,
		Now: func() time.Time { return p.started }}
	all := engine.RunAll(ctx, cfg, targets, func(reports []*diag.Report) { gate.Apply(reports, g.all, p.started) })
	if g.baseline != nil {
		g.baseline.Mark(all.Reports)
	}
	fixed := p.writeFixes(ctx, s, cfg, all.Reports)
	if err := stack.Close(); err != nil {
		return &exitError{exitBroken, err}
	}
	p.options.FailOn = func(t *diag.Target) diag.Status { return f.threshold(g, t) }
	if err := p.write(all, s); err != nil {
		return err
	}
	if fixed != nil {
		return fixed
	}
	// After the reports: nothing already found is lost if this fails.
	if recorder != nil {
		if err := recorder.Close(); err != nil {
			return usagef("--record %s: %v", f.record, err)
		}
	}
	tellBroken(s, all.Reports)
	return f.verdict(all.Reports, g)
}

// over is a resolver with the zone files and proposed records laid over it.
func (p *plan) over(under dnsq.Resolver) dnsq.Resolver {
	if p.zones != nil {
		under = p.zones.Overlay(under)
	}
	if p.records != nil {
		under = p.records.Over(under)
	}
	return under
}

// verdict turns reports into an exit code, the worst of theirs.
func (f *runFlags) verdict(reports []*diag.Report, g *gating) error {
	found, broken, open := false, false, false
	for _, r := range reports {
		counts := r.Decisive()
		found = found || counts[diag.Fail] > 0 || f.threshold(g, &r.Target) <= diag.Warn && counts[diag.Warn] > 0
		broken = broken || r.Broken()
		open = open || counts[diag.Inconclusive] > 0
	}
	switch {
	case found:
		return &exitError{code: exitFound}
	case broken:
		return &exitError{code: exitBroken}
	case open && f.inconclusive != "ok":
		return &exitError{code: exitInconclusive}
	}
	return nil
}

// A plan is what the flags of a run came to, all of it looked at before
// anything is asked.
type plan struct {
	*voice
	checks  []*diag.Check
	servers []dnsq.Server
	server  string // for the head of the report
	zones   *zone.Set
	files   bool             // zones are files that the person gave
	records *zone.RecordSets // nil without --record-set
	record  *os.File         // nil without --record
	replay  *dnsq.Recording
	rules   []dnsq.Rule // that put the keys of blocklists into names
	keyed   []string    // services with a key
	started time.Time
	outputs []output
	fixes   []output
	options render.Options
}

func (f *runFlags) prepare(cmd *cobra.Command, s stdio) (*plan, error) {
	p := &plan{started: s.now().UTC().Truncate(time.Second)}
	var err error
	if f.failOn != "fail" && f.failOn != "warn" {
		return nil, usagef("--fail-on %q: expected fail or warn", f.failOn)
	}
	if f.inconclusive != "fail" && f.inconclusive != "ok" {
		return nil, usagef("--inconclusive %q: expected fail or ok", f.inconclusive)
	}
	if f.timeout <= 0 {
		return nil, usagef("--timeout %s: expected a time above zero, such as 15s", f.timeout)
	}
	if f.quiet && f.detail {
		return nil, usagef("-q and -v contradict each other: give one of them")
	}
	if p.checks, err = pick(checks.All, f.only, f.skip); err != nil {
		return nil, err
	}
	if p.voice, err = s.voice(cmd, p.checks); err != nil {
		return nil, err
	}
	if p.outputs, err = parseOutputs(f.outputs); err != nil {
		return nil, err
	}
	if err := f.parseFixes(p); err != nil {
		return nil, err
	}
	p.options = render.Options{Width: p.width, Color: p.color, Quiet: f.quiet, Verbose: f.detail}
	p.options.FailOn = func(t *diag.Target) diag.Status { return f.threshold(&gating{}, t) }
	p.options.Dir, p.options.Root = folders(s.env)
	if err := f.sources(p, s); err != nil {
		return nil, err
	}
	keys, err := f.keys(s.env)
	if err != nil {
		return nil, err
	}
	if p.rules, err = keys.Rules(); err != nil {
		return nil, usagef("key of a blocklist: %v", err)
	}
	p.keyed = keys.Services()
	if f.record != "" { // last: nothing is written if anything else is wrong
		if p.record, err = os.Create(f.record); err != nil {
			return nil, usagef("--record: %v", err)
		}
	}
	return p, nil
}

// folders are the working directory and that of the repository, which formats
// for machines name files from: what a CI job says that it is, if the working
// directory is inside, else the working directory.
func folders(env func(string) string) (dir, root string) {
	dir, err := os.Getwd()
	if err != nil {
		return "", ""
	}
	for _, v := range []string{"GITHUB_WORKSPACE", "CI_PROJECT_DIR"} {
		root := env(v)
		if rel, err := filepath.Rel(root, dir); filepath.IsAbs(root) && err == nil && filepath.IsLocal(rel) {
			return dir, root
		}
	}
	return dir, dir
}

// sources reads the zone files and the recording, and finds the servers.
func (f *runFlags) sources(p *plan, s stdio) error {
	p.zones = f.bundled
	if f.zones != nil {
		set, err := zone.OpenAll(f.zones, s.in)
		if err != nil {
			return usage(prefixed("--zone", err))
		}
		tellPassed(s, "--zone", set)
		p.zones, p.files = set, true
	}
	if f.recordSets != nil {
		var err error
		if p.records, err = zone.ParseRecordSets(f.recordSets, "--record-set"); err != nil {
			return usagef("--record-set %v", err)
		}
	}
	switch {
	case f.replay != "" && (f.record != "" || f.servers != nil):
		return usagef("--replay takes every answer from its file: leave out --record and --server")
	case f.offline && f.servers != nil:
		return usagef("--offline asks no server: leave out --server")
	case f.replay != "":
		file, err := os.Open(f.replay)
		if err != nil {
			return usagef("--replay: %v", err)
		}
		defer file.Close()
		if p.replay, err = dnsq.ReadRecording(file); err != nil {
			return usagef("--replay %s: %v", f.replay, err)
		}
		p.started, p.server = p.replay.Started, p.replay.Label
		return nil
	case f.offline:
		return nil
	}
	for _, spec := range f.servers {
		srv, err := dnsq.ParseServer(spec)
		if err != nil {
			return usagef("--server: %v", err)
		}
		p.servers = append(p.servers, srv)
	}
	if p.servers == nil {
		var err error
		if p.servers, err = dnsq.SystemServers(); err != nil {
			return usagef("the system names no DNS server (%v): give one with --server, such as --server 192.0.2.53", err)
		}
	}
	var names []string
	for _, srv := range p.servers {
		names = append(names, srv.String())
	}
	p.server = strings.Join(names, ", ")
	return nil
}

// tellPassed says which files of a folder were not taken for zones: whoever
// named the folder may think that they were.
func tellPassed(s stdio, flag string, set *zone.Set) {
	const most = 10
	passed := set.Passed()
	for i, p := range passed {
		if i == most {
			fmt.Fprintf(s.err, "todoku: %s: and %d files more\n", flag, len(passed)-most)
			return
		}
		fmt.Fprintf(s.err, "todoku: %s: %s is not read: %s\n", flag, sanitize.Text(p.File), p.Why)
	}
}

// prefixed puts a flag's name before each line of an error about its value.
func prefixed(flag string, err error) error {
	var list zone.Errors
	if !errors.As(err, &list) {
		return fmt.Errorf("%s: %w", flag, err)
	}
	lines := make([]string, len(list))
	for i, e := range list {
		lines[i] = e.Error()
	}
	return fmt.Errorf("%s: %s", flag, strings.Join(lines, "\n        "))
}

// formats are the values of -o.
var formats = func() []string {
	var out []string
	for _, f := range render.Formats {
		out = append(out, f.Name)
	}
	return out
}()

// An output is one -o.
type output struct{ format, file string }

func parseOutputs(specs []string) ([]output, error) {
	if len(specs) == 0 {
		return []output{{format: "text"}}, nil
	}
	var out []output
	for _, spec := range specs {
		format, file, named := strings.Cut(spec, "=")
		if !slices.Contains(formats, format) {
			return nil, usagef("-o %q is not a format: expected one of %s, with =FILE to write to a file", format, strings.Join(formats, ", "))
		}
		if named && file == "" {
			return nil, usagef("-o %q names no file: expected %s=FILE, or %s alone for the standard output", spec, format, format)
		}
		if file == "-" {
			file = ""
		}
		for _, o := range out {
			if o.file == file {
				return nil, usagef("-o: %s and %s go to the same place: give one of them a file, as in -o %s=report.%s", o.format, format, format, format)
			}
		}
		out = append(out, output{format, file})
	}
	return out, nil
}

// write renders what was found to every output. An output that cannot be written
// does not keep the others from being: the first error is returned at the end.
func (p *plan) write(r *diag.Run, s stdio) error {
	var errs []error
	for _, o := range p.outputs {
		if err := p.writeOne(r, s, o); err != nil {
			errs = append(errs, err)
		}
	}
	if slices.ContainsFunc(p.outputs, func(o output) bool { return o.format == "github" }) {
		if err := p.summary(r, s); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return errs[0]
	}
	return nil
}

// summary appends the run to the summary of the step of a GitHub job, if this is one.
func (p *plan) summary(r *diag.Run, s stdio) error {
	path := s.env("GITHUB_STEP_SUMMARY")
	if path == "" {
		return nil
	}
	var b bytes.Buffer
	opt := p.options
	opt.Color = false
	if err := render.Summary.Write(&b, r, p.catalog, opt); err != nil {
		return &exitError{exitBroken, err}
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = file.Write(b.Bytes())
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		return usagef("GITHUB_STEP_SUMMARY: %v", err)
	}
	return nil
}

func (p *plan) writeOne(r *diag.Run, s stdio, o output) error {
	var b bytes.Buffer
	opt := p.options
	if o.file != "" {
		opt.Color, opt.Width = false, 80 // a file is no terminal
	}
	format, _ := render.Lookup(o.format)
	if err := format.Write(&b, r, p.catalog, opt); err != nil {
		return &exitError{exitBroken, err}
	}
	var err error
	if o.file == "" {
		out := b.String()
		if s.env("GITHUB_ACTIONS") == "true" && (o.format == "text" || o.format == "markdown") {
			out = render.Defuse(out)
		}
		_, err = io.WriteString(s.out, out)
	} else {
		err = os.WriteFile(o.file, b.Bytes(), 0o644)
	}
	if err != nil {
		return usagef("-o %s: %v", o.format, err)
	}
	return nil
}
