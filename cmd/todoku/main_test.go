package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/todoku-mail/todoku/checks"
	"github.com/todoku-mail/todoku/checks/mx"
	"github.com/todoku-mail/todoku/checks/ptr"
	"github.com/todoku-mail/todoku/checks/spf"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/dnsq/dnstest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"todoku": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
			defer stop()
			os.Exit(run(ctx, os.Args[1:], stdio{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv,
				width: func() int { return 0 }, now: func() time.Time { return time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC) }}))
		},
	})
}

var faultLine = regexp.MustCompile(`(?m)^; fault (\S+) (\S+) (\S+)$`)

// The command line as a person meets it: each script in testdata/cli reads as
// a page of the manual. `make golden` writes their expected output anew.
func TestCommandLine(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "../../testdata/cli",
		UpdateScripts:       os.Getenv("UPDATE") != "",
		RequireExplicitExec: true,
		Cmds:                commands,
		Setup: func(e *testscript.Env) error {
			// A script that has a file dns.zone gets a DNS server that answers
			// from it, at $SERVER. "; fault NAME TYPE WORD" breaks a question.
			if b, err := os.ReadFile(filepath.Join(e.WorkDir, "dns.zone")); err == nil {
				srv := dnstest.Start(t, string(b))
				for _, m := range faultLine.FindAllStringSubmatch(string(b), -1) {
					ty, err := dnsq.ParseType(m[2])
					if err != nil {
						return err
					}
					f, err := dnstest.ParseFault(m[3])
					if err != nil {
						return err
					}
					srv.Fault(m[1], ty, f)
				}
				e.Setenv("SERVER", srv.Addr().String())
			}
			e.Setenv("LANG", "C")
			e.Setenv("LC_ALL", "")
			e.Setenv("LC_MESSAGES", "")
			e.Setenv("NO_COLOR", "")
			return nil
		},
	})
}

// Exit 4: a check that crashes costs itself, not the report, and says so.
func TestBroken(t *testing.T) {
	defer func(all []*diag.Check) { checks.All = all }(checks.All)
	for name, run := range map[string]func(context.Context, *diag.Job) error{
		"panics":       func(context.Context, *diag.Job) error { panic("no such luck") },
		"says nothing": func(context.Context, *diag.Job) error { return nil },
		"errs":         func(context.Context, *diag.Job) error { return errors.New("no such luck") },
	} {
		t.Run(name, func(t *testing.T) {
			crashing := *mx.Check
			crashing.Run = run
			checks.All = []*diag.Check{&crashing, ptr.Check}
			var out, errs bytes.Buffer
			code := runWith(t, &out, &errs, "check", "shop.example", "--offline", "--inconclusive", "ok")
			if code != exitBroken {
				t.Errorf("exit code %d, expected %d", code, exitBroken)
			}
			if !strings.Contains(errs.String(), "defect of todoku") {
				t.Errorf("standard error does not say that todoku is at fault: %s", errs.String())
			}
			if !strings.Contains(out.String(), "MX-UNDETERMINED") || !strings.Contains(out.String(), "PTR-SKIPPED") {
				t.Errorf("the report lacks the crash's finding or the other check's:\n%s", out.String())
			}
		})
	}
}

// A failing check beats a crashing one: a gate must see the fault.
func TestBrokenAndFailing(t *testing.T) {
	defer func(all []*diag.Check) { checks.All = all }(checks.All)
	crashing := *spf.Check
	crashing.Run = func(context.Context, *diag.Job) error { panic("no such luck") }
	checks.All = []*diag.Check{&crashing, mx.Check}
	var out, errs bytes.Buffer
	if code := runWith(t, &out, &errs, "demo"); code != exitFound {
		t.Errorf("exit code %d, expected %d", code, exitFound)
	}
}

func runWith(t *testing.T, out, errs io.Writer, args ...string) int {
	return run(t.Context(), args, stdio{in: strings.NewReader(""), out: out, err: errs,
		env: func(string) string { return "" }, width: func() int { return 0 },
		now: func() time.Time { return time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC) }})
}
