package render

import (
	"fmt"

	"github.com/fatih/color"

	"github.com/todoku-mail/todoku/pkg/diag"
)

// ColorMode decides whether to colour one stream: the flag (auto, always,
// never; "" is auto), else NO_COLOR (no-color.org: any value but an empty
// one), else FORCE_COLOR and CLICOLOR_FORCE (any value but "0" and "false"
// asks for colour, those two refuse it), else whether the stream is a terminal
// that is not "dumb". The error is one line for the person who typed the flag.
func ColorMode(flag string, env func(string) string, isTTY bool) (bool, error) {
	switch flag {
	case "always":
		return true, nil
	case "never":
		return false, nil
	case "", "auto":
	default:
		return false, fmt.Errorf("--color %q: expected auto, always or never", flag)
	}
	if env("NO_COLOR") != "" {
		return false, nil
	}
	for _, name := range []string{"FORCE_COLOR", "CLICOLOR_FORCE"} {
		if v := env(name); v != "" {
			if v != "0" && v != "false" {
				return true, nil
			}
			if name == "FORCE_COLOR" {
				return false, nil
			}
		}
	}
	return isTTY && env("TERM") != "dumb", nil
}

// A style is the colours of one report. Each Color is switched by itself: the
// library's own switch looks at stdout only, and we may write elsewhere.
type style struct {
	plain, bold, faint, caret, gone, come *color.Color
	status                                map[diag.Status]*color.Color
}

func newStyle(on bool) *style {
	mk := func(a ...color.Attribute) *color.Color {
		c := color.New(a...)
		if on {
			c.EnableColor()
		} else {
			c.DisableColor()
		}
		return c
	}
	plain := color.New()
	plain.DisableColor()
	return &style{
		plain: plain,
		bold:  mk(color.Bold),
		faint: mk(color.Faint),
		caret: mk(color.FgRed, color.Bold),
		gone:  mk(color.FgRed),
		come:  mk(color.FgGreen),
		status: map[diag.Status]*color.Color{
			diag.Skip:         mk(color.Faint),
			diag.Pass:         mk(color.FgGreen, color.Bold),
			diag.Info:         mk(color.FgCyan, color.Bold),
			diag.Warn:         mk(color.FgYellow, color.Bold),
			diag.Inconclusive: mk(color.FgMagenta, color.Bold),
			diag.Fail:         mk(color.FgRed, color.Bold),
		},
	}
}

// word is the status in four Latin letters, in every language: a column that
// can be scanned, searched with grep and quoted to a provider abroad.
func word(s diag.Status) string {
	switch s {
	case diag.Skip:
		return "SKIP"
	case diag.Pass:
		return "PASS"
	case diag.Info:
		return "INFO"
	case diag.Warn:
		return "WARN"
	case diag.Fail:
		return "FAIL"
	}
	return "????" // not found out
}
