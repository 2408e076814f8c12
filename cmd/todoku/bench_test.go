package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// shopZone is what the start of the program is measured with: SPF with nine
// includes in the same file and two mail hosts.
const shopZone = `$ORIGIN shop.example.
$TTL 300
shop.example. SOA ns1.example.net. hostmaster.example.net. 1 3600 600 86400 300
shop.example. TXT "v=spf1 include:s1.shop.example include:s2.shop.example include:s3.shop.example include:s4.shop.example include:s5.shop.example include:s6.shop.example include:s7.shop.example include:s8.shop.example include:s9.shop.example ?all"
s1.shop.example. TXT "v=spf1 ip4:198.51.1.0/24 ~all"
s2.shop.example. TXT "v=spf1 ip4:198.51.2.0/24 ~all"
s3.shop.example. TXT "v=spf1 ip4:198.51.3.0/24 ~all"
s4.shop.example. TXT "v=spf1 ip4:198.51.4.0/24 ~all"
s5.shop.example. TXT "v=spf1 ip4:198.51.5.0/24 ~all"
s6.shop.example. TXT "v=spf1 ip4:198.51.6.0/24 ~all"
s7.shop.example. TXT "v=spf1 ip4:198.51.7.0/24 ~all"
s8.shop.example. TXT "v=spf1 ip4:198.51.8.0/24 ~all"
s9.shop.example. TXT "v=spf1 ip4:192.0.2.0/24 ~all"
shop.example. MX 10 mx1.shop.example.
shop.example. MX 20 mx2.shop.example.
mx1.shop.example. A 192.0.2.1
mx2.shop.example. A 192.0.2.2
mail.shop.example. A 192.0.2.25
`

// BenchmarkFirstByte is the time from the start of the process to the first
// byte of its report from a zone file: the built program is run, as a person or
// a CI job does. "ms/first-byte" is the median, "ms/version" that of
// `todoku --version`, which does nothing: the share that any Go program of this
// size takes.
func BenchmarkFirstByte(b *testing.B) {
	dir := b.TempDir()
	bin, file := filepath.Join(dir, "todoku"), filepath.Join(dir, "shop.zone")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	if err := os.WriteFile(file, []byte(shopZone), 0o644); err != nil {
		b.Fatal(err)
	}
	first := func(exit int, args ...string) time.Duration {
		cmd := exec.Command(bin, args...)
		cmd.Env = []string{"LANG=C"}
		out, err := cmd.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		var one [1]byte
		_, err = io.ReadFull(out, one[:])
		took := time.Since(start)
		if err != nil {
			b.Fatalf("no output: %v", err)
		}
		_, _ = io.Copy(io.Discard, out)
		if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != exit {
			b.Fatalf("exit code %d, expected %d", cmd.ProcessState.ExitCode(), exit)
		}
		return took
	}
	check := []string{"check", "shop.example", "--offline", "--zone", file, "--ip", "192.0.2.25", "--inconclusive", "ok"}
	first(exitOK, check...) // once to have the file in memory
	var report, version []time.Duration
	for b.Loop() {
		report = append(report, first(exitOK, check...))
		version = append(version, first(exitOK, "--version"))
	}
	ms := func(d []time.Duration) float64 {
		slices.Sort(d)
		return float64(d[len(d)/2].Microseconds()) / 1000
	}
	b.ReportMetric(ms(report), "ms/first-byte")
	b.ReportMetric(ms(version), "ms/version")
}
