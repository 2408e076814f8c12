// Command todoku says whether mail from a domain and an address arrives, and
// if not, who must change what.
//
// This package turns flags into a target and a report into bytes and an exit
// code. It knows nothing of mail: that is in packages checks and pkg.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/render"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
)

// version is the version that reports carry.
const version = "0.2.0"

// The exit codes. No flag renumbers them.
const (
	exitOK           = 0 // nothing at or above the threshold
	exitFound        = 1 // findings at or above --fail-on
	exitUsage        = 2 // used wrongly: flags, an unreadable zone, a bad domain
	exitInconclusive = 3 // nothing failed, but something that the verdict needs was inconclusive
	exitBroken       = 4 // todoku itself is broken
)

// languages are those that todoku speaks.
var languages = []string{"en", "ja"}

// A stdio is the outside of a run, so that tests can hold it in their hands.
type stdio struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
	width    func() int // of the terminal behind out; 0 if it is none
	now      func() time.Time
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := stdio{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv, now: time.Now, width: func() int {
		if w, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
			return w
		}
		return 0
	}}
	os.Exit(run(ctx, os.Args[1:], s))
}

// An exitError ends the program with a code; err is what to tell the person,
// nil if the report has said it.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usage(err error) error { return &exitError{exitUsage, err} }

func usagef(format string, a ...any) error { return usage(fmt.Errorf(format, a...)) }

// run is the whole program: arguments in, exit code out.
func run(ctx context.Context, args []string, s stdio) (code int) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(s.err, "todoku: internal error: %v\n%s", p, debug.Stack())
			code = exitBroken
		}
	}()
	root := newRoot(s)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var e *exitError
	if !errors.As(err, &e) {
		e = &exitError{exitUsage, err} // cobra's own: an unknown flag, a missing argument
	}
	if e.err != nil {
		text := "todoku: " + sanitizeLines(e.err.Error()) + "\n"
		if s.env("GITHUB_ACTIONS") == "true" {
			text = render.Defuse(text)
		}
		fmt.Fprint(s.err, text)
	}
	return e.code
}

// sanitizeLines makes a message fit for a terminal and keeps its line breaks.
func sanitizeLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = sanitize.Text(strings.ReplaceAll(l, "\t", "    "))
	}
	return strings.Join(lines, "\n")
}

func newRoot(s stdio) *cobra.Command {
	root := &cobra.Command{
		Use:   "todoku",
		Short: "Says whether your mail arrives, and if not, who must change what",
		Long: `todoku checks a sending domain and its addresses the way receivers do: SPF,
DKIM, DMARC, MX, reverse DNS, alignment, blocklists. Each finding says what is wrong, what happens to mail because of
it, who must act, and which record to publish.`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			hint := ": todoku --help lists them"
			if strings.Contains(args[0], ".") {
				hint = fmt.Sprintf("; did you mean: todoku check %s", args[0])
			} else if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = "; did you mean: todoku " + near[0]
			}
			return usagef("%q is not a command%s", args[0], hint)
		},
	}
	root.SetVersionTemplate(versionText())
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.CompletionOptions.HiddenDefaultCmd = false
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%v: %s --help lists the flags", err, cmd.CommandPath())
	})
	root.SuggestionsMinimumDistance = 2
	// Help fits a terminal of 80 columns.
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "FlagUsages", "FlagUsagesWrapped 80"))
	root.PersistentFlags().String("lang", "", "language of reports: en or ja (default from LC_ALL, LC_MESSAGES, LANG)")
	root.PersistentFlags().String("color", "auto", "colour: auto, always or never (NO_COLOR is honoured)")
	_ = root.RegisterFlagCompletionFunc("lang", cobra.FixedCompletions(languages, cobra.ShellCompDirectiveNoFileComp))
	_ = root.RegisterFlagCompletionFunc("color", cobra.FixedCompletions([]string{"auto", "always", "never"}, cobra.ShellCompDirectiveNoFileComp))
	root.AddCommand(newCheck(s), newMessage(s), newLock(s), newDiff(s), newDemo(s), newExplain(s), newList(s))
	return root
}

func versionText() string {
	rev := ""
	if bi, ok := debug.ReadBuildInfo(); ok {
		for _, kv := range bi.Settings {
			if kv.Key == "vcs.revision" && len(kv.Value) >= 12 {
				rev = " " + kv.Value[:12]
			}
		}
	}
	return fmt.Sprintf("todoku %s%s (%s %s/%s)\n", version, rev, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// A voice is how a run speaks: its texts, its width and its colour.
type voice struct {
	catalog *i18n.Catalog
	width   int
	color   bool
}

func (s stdio) voice(cmd *cobra.Command, checks []*diag.Check) (*voice, error) {
	lang, _ := cmd.Flags().GetString("lang")
	lang, err := i18n.Pick(lang, s.env)
	if err != nil {
		return nil, usage(err)
	}
	mode, _ := cmd.Flags().GetString("color")
	width := s.width()
	color, err := render.ColorMode(mode, s.env, width > 0)
	if err != nil {
		return nil, usage(err)
	}
	catalog, err := i18n.Load(checks, lang)
	if err != nil {
		return nil, &exitError{exitBroken, err}
	}
	if width == 0 {
		width = 80
	}
	return &voice{catalog, width, color}, nil
}
