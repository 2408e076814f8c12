package main

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// commands are what scripts can do beside testscript's own.
var commands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	// exit CODE COMMAND …: runs it and demands that very exit code.
	"exit": func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < 2 {
			ts.Fatalf("usage: exit CODE COMMAND [ARG...]")
		}
		want, err := strconv.Atoi(args[0])
		ts.Check(err)
		err = ts.Exec(args[1], args[2:]...)
		got := 0
		var ee *exec.ExitError
		switch {
		case errors.As(err, &ee):
			got = ee.ExitCode()
		case err != nil:
			ts.Fatalf("%v", err)
		}
		if got != want {
			ts.Fatalf("exit code %d, expected %d", got, want)
		}
	},
	// timeless FILE…: takes durations out of a report, which differ each time.
	"timeless": func(ts *testscript.TestScript, neg bool, args []string) {
		for _, a := range args {
			b, err := os.ReadFile(ts.MkAbs(a))
			ts.Check(err)
			b = durations.ReplaceAll(b, []byte("$1"))
			b = seconds.ReplaceAll(b, []byte("0 $1"))
			ts.Check(os.WriteFile(ts.MkAbs(a), b, 0o644))
		}
	},
}

var (
	durations = regexp.MustCompile(`("duration_ms":) ?[0-9.]+`)
	seconds   = regexp.MustCompile(`[0-9.]+ (ms\b|s\b|秒|ミリ秒)`)
)
