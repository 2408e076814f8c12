//go:build e2e

package dkim_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dkim/dkimtest"
)

// Messages signed by libopendkim, with a key and record of opendkim-genkey. Its
// test tool signs with SHA-1: valid, and not acceptable any more.
func TestE2EOpenDKIM(t *testing.T) {
	for _, tool := range []string{"opendkim-testmsg", "opendkim-genkey"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is not here: install opendkim-tools", tool)
		}
	}
	dir := t.TempDir()
	if out, err := exec.Command("opendkim-genkey", "-b", "2048", "-d", "example.com", "-s", "od", "-D", dir).CombinedOutput(); err != nil {
		t.Fatalf("opendkim-genkey: %v: %s", err, out)
	}
	txt, err := os.ReadFile(filepath.Join(dir, "od.txt"))
	if err != nil {
		t.Fatal(err)
	}
	record := ""
	for i, part := range strings.Split(string(txt), `"`) {
		if i%2 == 1 {
			record += part
		}
	}
	// The record says h=sha256, which the tool itself does not keep to.
	z := dkimtest.Zone{"od._domainkey.example.com": strings.Replace(record, "h=sha256; ", "", 1)}
	strict := dkimtest.Zone{"od._domainkey.example.com": record}
	for name, msg := range map[string]string{
		"plain":     message(),
		"multipart": multipart(),
		"no body":   dkimtest.Message("From: a@example.com\nDate: Fri, 6 Feb 2026 10:00:00 +0900", ""),
		"spaces":    dkimtest.Message("From:  a@example.com \nDate: Fri, 6 Feb 2026 10:00:00 +0900\nSubject: x\n\ty  z", " a  b \n\n \n\n"),
		"folded":    dkimtest.Message("From: a@example.com\nTo: x@example.net,\n\ty@example.net\nDate: Fri, 6 Feb 2026 10:00:00 +0900", "no end"),
	} {
		cmd := exec.Command("opendkim-testmsg", "-C", "-d", "example.com", "-s", "od", "-k", filepath.Join(dir, "od.private"), "-t", dir)
		cmd.Stdin = strings.NewReader(msg)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		signed, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: opendkim-testmsg: %v: %s", name, err, stderr.String())
		}
		r := verify(t, z, string(signed))
		if len(r.Signatures) != 1 || r.Result() != dkim.Pass || r.Result8301() != dkim.Fail || !r.Signatures[0].Has(dkim.ReasonSHA1) {
			t.Errorf("%s: %s, %s\n%s", name, r.Result(), r.Result8301(), signed)
			continue
		}
		if r := verify(t, strict, string(signed)); r.Result() != dkim.PermError || !r.Signatures[0].Has(dkim.ReasonKeyHash) {
			t.Errorf("%s: with h=sha256 %s", name, r.Result())
		}
		d, _ := diagnose(t, z, string(signed)+"\r\n-- \r\nfooter\r\n")
		if got := show(d); got != "body: footer-added!" {
			t.Errorf("%s, with a footer: %s", name, got)
		}
	}
}
