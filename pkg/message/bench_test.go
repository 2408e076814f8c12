//go:build linux

package message_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/mail"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/todoku-mail/todoku/pkg/message"
)

// ordinary is a mail as it arrives: 20 fields, two parts, 8 kB.
func ordinary() []byte {
	var b strings.Builder
	for i := range 4 {
		fmt.Fprintf(&b, "Received: from mx%d.shop.example (mx%d.shop.example [192.0.2.%d])\n\tby mail.customer.example (Postfix) with ESMTPS id 4XYZ\n\tfor <taro@customer.example>; Mon, 2 Nov 2026 10:00:0%d +0900 (JST)\n", i, i, i, 9-i)
	}
	for i := range 8 {
		fmt.Fprintf(&b, "X-Field-%d: %s\n", i, strings.Repeat("value ", 10))
	}
	b.WriteString(strings.SplitN(plain, "\n\n", 2)[0])
	b.WriteString("\nMIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=b\n\n")
	for _, typ := range []string{"text/plain", "text/html"} {
		b.WriteString("--b\nContent-Type: " + typ + "; charset=utf-8\nContent-Transfer-Encoding: base64\n\n")
		b.WriteString(strings.Repeat(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("届く", 9)))+"\n", 40))
	}
	b.WriteString("--b--\n")
	return []byte(crlf(b.String()))
}

// BenchmarkRead is reading an ordinary mail with its parts and faults, against
// net/mail, which reads the header alone, and the body thrown away.
func BenchmarkRead(b *testing.B) {
	file := ordinary()
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		m, err := Read(bytes.NewReader(file), "mail.eml", Options{})
		if err != nil {
			b.Fatal(err)
		}
		if fs := m.Faults(LintOptions{Now: receipt}); len(fs) != 0 {
			b.Fatal(show(fs))
		}
		io.Copy(io.Discard, m.Body())
		m.Close()
	}
	own := b.Elapsed() / time.Duration(b.N)
	b.StopTimer()
	const n = 2000
	start := time.Now()
	for range n {
		m, err := mail.ReadMessage(bytes.NewReader(file))
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, m.Body)
	}
	b.ReportMetric(float64(own)/(float64(time.Since(start))/n), "x-net/mail")
}

// large is a mail of n octets, made while it is read.
func large(n int) io.Reader {
	const head = "From: Shop <order@shop.example>\r\nTo: taro@customer.example\r\nSubject: a\r\nDate: Mon, 2 Nov 2026 10:00:00 +0900\r\nMessage-ID: <1@shop.example>\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	const tail = "\r\n--b--\r\n"
	line := strings.Repeat("QUJD", 19) + "\r\n"
	fill := (n - len(head) - len(tail)) / len(line)
	return io.MultiReader(strings.NewReader(head), io.LimitReader(&endless{line: line}, int64(fill*len(line))), strings.NewReader(tail))
}

type endless struct {
	line string
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		k := copy(p[n:], e.line[e.at:])
		n += k
		e.at = (e.at + k) % len(e.line)
	}
	return n, nil
}

// readLarge does with a mail of 50 MB what a report needs: read it, look for
// faults, go over the body twice and over the attachment once.
func readLarge(tb testing.TB) {
	m, err := Read(large(DefaultMaxSize), "mail.eml", Options{})
	if err != nil {
		tb.Fatal(err)
	}
	defer m.Close()
	if fs := m.Faults(LintOptions{Now: receipt}); len(fs) != 0 {
		tb.Fatal(show(fs))
	}
	for range 2 {
		if n, err := io.Copy(io.Discard, m.Body()); err != nil || n != m.BodySize {
			tb.Fatal(n, err)
		}
	}
	if n, err := io.Copy(io.Discard, m.Attachments()[0].Content()); err != nil || n < 38_000_000 {
		tb.Fatal(n, err)
	}
}

const memoryEnv = "TODOKU_TEST_READ_LARGE"

// peak is the most memory, in octets (Linux counts it in KiB), that a process of its own needs for
// readLarge.
func peak(tb testing.TB) int64 {
	cmd := exec.Command(os.Args[0], "-test.run=^TestLargeMessage$")
	cmd.Env = append(os.Environ(), memoryEnv+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%v\n%s", err, out)
	}
	return int64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) << 10
}

// A mail of 50 MB needs less than 100 MB, everything included.
func TestLargeMessage(t *testing.T) {
	if os.Getenv(memoryEnv) != "" {
		readLarge(t)
		return
	}
	if got := peak(t); got > 100_000_000 {
		t.Errorf("%d MB resident", got/1e6)
	}
}

// BenchmarkLarge is readLarge, against the same octets copied to a file and
// read back as often.
func BenchmarkLarge(b *testing.B) {
	b.SetBytes(DefaultMaxSize)
	b.ReportAllocs()
	for b.Loop() {
		readLarge(b)
	}
	own := b.Elapsed() / time.Duration(b.N)
	b.StopTimer()
	start := time.Now()
	f, err := os.CreateTemp(b.TempDir(), "x")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	io.Copy(struct{ io.Writer }{f}, large(DefaultMaxSize))
	for range 4 {
		f.Seek(0, io.SeekStart)
		io.Copy(struct{ io.Writer }{io.Discard}, f)
	}
	b.ReportMetric(float64(own)/float64(time.Since(start)), "x-copy")
	b.ReportMetric(float64(peak(b))/1e6, "MB-resident")
}
