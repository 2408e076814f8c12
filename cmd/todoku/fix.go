package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/todoku-mail/todoku/checks"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/engine"
	"github.com/todoku-mail/todoku/pkg/fixes"
	"github.com/todoku-mail/todoku/pkg/i18n"
)

// fixFormats are the values of --fix.
var fixFormats = func() []string {
	var out []string
	for _, f := range fixes.Formats {
		out = append(out, f.Name)
	}
	return out
}()

func (f *runFlags) addFix(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.fix, "fix", nil, "print the changes that were tried: FORMAT[=FILE], one of "+strings.Join(fixFormats, ", ")+" (repeatable); the text report is then left out unless -o asks for it")
	_ = cmd.RegisterFlagCompletionFunc("fix", cobra.FixedCompletions(fixFormats, cobra.ShellCompDirectiveNoFileComp))
}

// parseFixes reads --fix. With it, and without -o, there is no report: the
// standard output is for one thing.
func (f *runFlags) parseFixes(p *plan) error {
	if len(f.fix) > 0 && len(f.outputs) == 0 {
		p.outputs = nil
	}
	for _, spec := range f.fix {
		format, file, named := strings.Cut(spec, "=")
		if !slices.Contains(fixFormats, format) {
			return usagef("--fix %q is not a format: expected one of %s, with =FILE to write to a file", format, strings.Join(fixFormats, ", "))
		}
		if named && file == "" {
			return usagef("--fix %q names no file: expected %s=FILE, or %s alone for the standard output", spec, format, format)
		}
		if file == "-" {
			file = ""
		}
		for _, o := range p.outputs {
			if o.file == file {
				return usagef("-o %s and --fix %s go to the same place: give one of them a file, as in --fix %s=changes", o.format, format, format)
			}
		}
		for _, o := range p.fixes {
			if o.file == file {
				return usagef("--fix: %s and %s go to the same place: give one of them a file, as in --fix %s=changes", o.format, format, format)
			}
		}
		p.fixes = append(p.fixes, output{format, file})
	}
	return nil
}

// oneTarget refuses --fix for several domains: changes of two domains may meet
// in one record, and each set is tried for one.
func (p *plan) oneTarget(targets []diag.Target) error {
	if len(p.fixes) > 0 && len(targets) != 1 {
		return usagef("--fix is for one domain, and there are %d: name one, as in todoku check %s --config FILE --fix %s", len(targets), targets[0].Domain, p.fixes[0].format)
	}
	return nil
}

// others are the checks that --only leaves out. Fixes are tried with them all the
// same, for what a change spoils may be elsewhere. What --skip names is not run:
// somebody does not want it asked.
func (f *runFlags) others(picked []*diag.Check) []*diag.Check {
	return slices.DeleteFunc(slices.Clone(checks.All), func(c *diag.Check) bool {
		return slices.Contains(picked, c) || slices.Contains(f.skip, c.Name)
	})
}

// writeFixes plans the changes and writes them.
func (p *plan) writeFixes(ctx context.Context, s stdio, cfg engine.Config, reports []*diag.Report) error {
	if len(p.fixes) == 0 {
		return nil
	}
	in := &fixes.Input{Plan: engine.Plan(ctx, cfg, reports[0]), Zones: p.zones, Bump: p.started, Version: version}
	var err error
	if in.Sets, err = fixes.Sets(ctx, cfg.Resolver, p.zones, in.Plan.Edits); err != nil {
		return &exitError{exitBroken, err}
	}
	for _, o := range p.fixes {
		if err := writeFix(s, o, in, p.catalog); err != nil {
			return err
		}
	}
	return nil
}

func writeFix(s stdio, o output, in *fixes.Input, cat *i18n.Catalog) error {
	var b bytes.Buffer
	format, _ := fixes.Lookup(o.format)
	if err := format.Write(&b, in, cat); err != nil {
		return &exitError{exitBroken, err}
	}
	var err error
	switch {
	case o.file != "":
		err = os.WriteFile(o.file, b.Bytes(), 0o644)
	case s.width() > 0:
		// A terminal: a diff has lines of the file as they stand there, and what
		// is copied from a screen is no patch anyway.
		_, err = io.WriteString(s.out, sanitizeLines(b.String()))
	default:
		_, err = io.Copy(s.out, &b)
	}
	if err != nil {
		return usagef("--fix %s: %v", o.format, err)
	}
	return nil
}
