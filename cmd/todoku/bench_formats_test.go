package main

import (
	"io"
	"testing"
	"time"

	"github.com/todoku-mail/todoku/checks"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/engine"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/render"
)

// BenchmarkFormats is what it takes to write the demo's report in each format:
// "of-run" is its share of the run that made the report, all from zone files,
// fixes tried; with a network the run takes far longer.
func BenchmarkFormats(b *testing.B) {
	set, err := demoSet()
	if err != nil {
		b.Fatal(err)
	}
	run := func() *diag.Run {
		stack, err := dnsq.New(b.Context(), dnsq.Options{Offline: true})
		if err != nil {
			b.Fatal(err)
		}
		cfg := engine.Config{Checks: checks.All, Resolver: set.Overlay(stack), Version: version, Now: time.Now}
		r := engine.Run(b.Context(), cfg, demoTarget)
		engine.Verify(b.Context(), cfg, r)
		if err := stack.Close(); err != nil {
			b.Fatal(err)
		}
		return &diag.Run{Version: version, Started: r.Started, Duration: r.Duration, Reports: []*diag.Report{r}}
	}
	r := run()
	const runs = 5
	start := time.Now()
	for range runs {
		run()
	}
	took := time.Since(start) / runs
	cat, err := i18n.Load(checks.All, "ja")
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range render.Formats {
		b.Run(f.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := f.Write(io.Discard, r, cat, render.Options{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(took), "of-run")
		})
	}
}
