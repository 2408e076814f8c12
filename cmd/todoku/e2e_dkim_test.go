//go:build e2e

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A key pair as mail servers really get it: made by opendkim-genkey, its record
// served by nsd and asked for through unbound. The private key belongs to its
// own record and to no other, and is in no report and no recording.
func TestE2EOpenDKIMKey(t *testing.T) {
	dir := t.TempDir()
	// DKIM keys of 2048 bits: the record does not fit into one string of 255.
	for _, s := range []string{"s1", "s2"} {
		tool(t, dir, "opendkim-genkey", "-b", "2048", "-d", "signed.test", "-s", s, "-D", dir)
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	f := writeZone(t, "signed.test", "@ TXT \"v=spf1 ip4:198.51.100.9 -all\"\n@ MX 10 mail\nmail A 198.51.100.9\n"+
		"_dmarc TXT \"v=DMARC1; p=reject; rua=mailto:d@signed.test\"\n"+read("s1.txt")+read("s2.txt"))
	root := writeZone(t, ".", "")
	unbound := startUnbound(t, startNSD(t, root, f), unboundOptions{zones: []string{".", "signed.test"}})
	secret := strings.Split(read("s1.private"), "\n")[2]
	if len(secret) < 40 {
		t.Fatalf("the key file does not look like one: %q", secret)
	}
	for _, c := range []struct {
		selector, key, want string
		code                int
	}{
		{"s1", "s1.private", "DKIM-KEY-MATCHES", exitOK},
		{"s2", "s1.private", "DKIM-KEY-MISMATCH", exitFound},
	} {
		recording := filepath.Join(dir, c.selector+".rec")
		r, _, code := check(t, "signed.test", "--only", "dkim,alignment", "--ip", "198.51.100.9", "--selector", c.selector,
			"--private-key", filepath.Join(dir, c.key), "--server", unbound.String(), "--record", recording)
		if r.finding(c.want) == nil || code != c.code {
			t.Errorf("%s with %s: exit code %d, findings %q; expected %d and %s", c.selector, c.key, code, r.ids(), c.code, c.want)
		}
		b, err := os.ReadFile(recording)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), secret) {
			t.Error("the private key is in the recording")
		}
	}
}
