package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/engine"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/gate"
	"github.com/todoku-mail/todoku/pkg/zone"
)

// lockName is the lock file where no flag names one: beside the inventory, or in
// the current folder.
const lockName = "todoku.lock"

func lockFile(flag, config string) string {
	if flag != "" {
		return flag
	}
	if config != "" {
		return filepath.Join(filepath.Dir(config), lockName)
	}
	return lockName
}

func newLock(s stdio) *cobra.Command {
	var tf targetFlags
	var rf runFlags
	var gf gateFlags
	var file string
	cmd := &cobra.Command{
		Use:   "lock [DOMAIN]",
		Short: "Write down what providers' records are, to see later what they moved",
		Long: `lock writes the SPF record of a domain with everything that it includes and lets
send, its mail hosts with their addresses, and its DKIM keys to a file that is
kept beside the zone files. todoku check --locked then tells what has moved since,
and whether you or a provider moved it.

Without --selector the keys are those that can be found. An entry of another
domain in the file stays; with --config the file holds the inventory's domains and
no others. If something could not be found out, nothing is written (exit 3).`,
		Example: `  todoku lock shop.example --selector s1
  todoku lock --config todoku.yaml
  todoku check --config todoku.yaml --locked`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && gf.config == "" {
				return usagef("lock needs a DOMAIN, such as: todoku lock shop.example, or an inventory: todoku lock --config todoku.yaml")
			}
			if len(args) > 1 {
				return usagef("lock takes one DOMAIN, but got %d arguments: %s", len(args), strings.Join(args, " "))
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := gf.load(cmd, &tf, &rf, strings.Join(args, ""))
			if err != nil {
				return err
			}
			rf.failOn, rf.inconclusive = "fail", "fail"
			p, err := rf.prepare(cmd, s)
			if err != nil {
				return err
			}
			return rf.lock(cmd.Context(), s, p, g, lockFile(file, gf.config))
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&file, "file", "", "lock `FILE`, - for the standard output (default "+lockName+", beside the inventory if there is one)")
	fl.StringVar(&tf.mailFrom, "mail-from", "", "Return-Path: address or domain whose SPF record is locked (default DOMAIN)")
	fl.StringSliceVar(&tf.selectors, "selector", nil, "DKIM selector whose key is locked (repeatable; without one they are guessed)")
	fl.StringVar(&tf.dkimDomain, "dkim-domain", "", "domain of the DKIM keys, d= (default DOMAIN)")
	fl.StringVar(&gf.config, "config", "", "inventory `FILE` (todoku.yaml): lock all its domains, or only DOMAIN")
	rf.addZones(cmd)
	rf.addDNS(cmd, defaultTimeout)
	_ = cmd.MarkFlagFilename("config")
	_ = cmd.MarkFlagFilename("file")
	return cmd
}

// lock learns the records of the targets and writes the file. Its error is an
// exit code.
func (f *runFlags) lock(ctx context.Context, s stdio, p *plan, g *gating, file string) error {
	// The file is read first: one that cannot be read is not to be written over.
	old, before, err := readOldLock(file)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout*time.Duration(engine.Rounds(len(g.targets))))
	defer cancel()
	stack, err := dnsq.New(ctx, dnsq.Options{Servers: p.servers, Offline: f.offline, Replay: p.replay, Rules: p.rules,
		Budget: dnsq.DefaultBudget * len(g.targets)})
	if err != nil {
		return usagef("--server: %v", err)
	}
	defer stack.Close()
	for i := range g.targets {
		t := &g.targets[i]
		t.SelectorHints = zone.SelectorsIn(t.DKIMDomain, p.zones, p.proposed())
		if p.replay != nil {
			t.SelectorHints = hintsFor(p.replay.Hints, t)
		}
	}
	resolver := p.over(stack)
	var recorder *dnsq.Recorder
	if p.record != nil {
		defer p.record.Close()
		recorder = dnsq.NewRecorder(p.record, resolver)
		recorder.Header.Started, recorder.Header.Label, recorder.Header.Hints = p.started, p.server, hints(g.targets)
		resolver = recorder
	}
	shots := make([]*facts.Snapshot, len(g.targets))
	errs := make([]error, len(g.targets))
	var wg sync.WaitGroup
	for i := range g.targets {
		t := &g.targets[i]
		wg.Go(func() {
			w := diag.NewWorld(ctx, resolver, func() time.Time { return p.started })
			shots[i], errs[i] = snapshot(ctx, w, t)
		})
	}
	wg.Wait()
	if recorder != nil {
		if err := recorder.Close(); err != nil {
			return usagef("--record %s: %v", f.record, err)
		}
	}
	var open []string
	for i, t := range g.targets {
		if errs[i] != nil {
			open = append(open, fmt.Sprintf("%s: %v", t.Domain, errs[i]))
			continue
		}
		for _, e := range shots[i].Unknown() {
			open = append(open, fmt.Sprintf("%s: no usable answer for %v", t.Domain, e))
		}
	}
	if open != nil {
		return &exitError{exitInconclusive, fmt.Errorf("%s is not written, for not everything could be found out:\n        %s", file, strings.Join(open, "\n        "))}
	}
	var out []diag.Locked
	if g.inv == nil || len(g.targets) < len(g.inv.Domains) { // entries of other domains stay
		out = slices.DeleteFunc(old, func(l diag.Locked) bool {
			return slices.ContainsFunc(g.targets, func(t diag.Target) bool { return t.Domain == l.Domain })
		})
	}
	for _, sh := range shots {
		out = append(out, sh.Locked)
	}
	var b bytes.Buffer
	if err := gate.WriteLock(&b, out); err != nil {
		return &exitError{exitBroken, err}
	}
	// What is written can be read: a record that cannot be kept is a defect.
	if _, err := gate.ReadLock(b.Bytes(), file); err != nil {
		return &exitError{exitBroken, err}
	}
	if file == "-" {
		_, err := s.out.Write(b.Bytes())
		return err
	}
	if err := writeWhole(file, b.Bytes()); err != nil {
		return usagef("--file: %v", err)
	}
	word := "written"
	if bytes.Equal(before, b.Bytes()) {
		word = "unchanged"
	}
	records, hosts, keys := 0, 0, 0
	for _, sh := range shots {
		records, hosts, keys = records+len(sh.SPF), hosts+len(sh.MX), keys+len(sh.DKIM)
	}
	fmt.Fprintf(s.out, "%s: %s (domains: %d, SPF records: %d, mail hosts: %d, DKIM keys: %d)\n", sanitizeLines(file), word, len(shots), records, hosts, keys)
	return nil
}

// snapshot is what the records of a target are now: with the selectors that it
// names, or else those that can be found.
func snapshot(ctx context.Context, w *diag.World, t *diag.Target) (s *facts.Snapshot, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error: %v", p)
		}
	}()
	var found []string
	if len(t.Selectors) == 0 {
		keys, err := facts.DKIMKeys.Of(ctx, w, facts.DKIMAskOf(t))
		if err != nil {
			return nil, err
		}
		for i := range keys.Keys {
			if k := &keys.Keys[i]; !k.Wild && k.Usable() {
				found = append(found, k.Selector)
			}
		}
	}
	return facts.Lock.Of(ctx, w, facts.LockAskOf(t, found))
}

// readOldLock is what the lock file holds already; nothing if there is none.
func readOldLock(file string) ([]diag.Locked, []byte, error) {
	if file == "-" {
		return nil, nil, nil
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, usagef("--file: %v", err)
	}
	l, err := gate.ReadLock(b, file)
	if err != nil {
		return nil, nil, usagef("--file: it is there already, and no lock (remove it, or name another):\n%v", err)
	}
	return l.Domains, b, nil
}

// writeWhole writes a file so that it is never seen half written.
func writeWhole(file string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b)
	if err := errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}

// setLock gives the targets their entries of the lock file.
func (g *gateFlags) setLock(targets []diag.Target) error {
	if !g.locked {
		if g.lockFile != "" {
			return usagef("--lock-file belongs to --locked: give that too")
		}
		return nil
	}
	file := lockFile(g.lockFile, g.config)
	l, err := gate.LoadLock(file)
	var faults gate.Errors
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return usagef("--locked: there is no %s: write it with todoku lock", file)
	case errors.As(err, &faults):
		return usagef("--locked: %v", err)
	case err != nil:
		return usagef("--locked: %v", err)
	}
	for i := range targets {
		t := &targets[i]
		t.Lock = l.Domain(t.Domain)
		t.Inputs = withInput(t.Inputs, diag.LockInput)
	}
	return nil
}

func withInput(m map[diag.Input]bool, in diag.Input) map[diag.Input]bool {
	out := map[diag.Input]bool{in: true}
	for k, v := range m {
		out[k] = v
	}
	return out
}
