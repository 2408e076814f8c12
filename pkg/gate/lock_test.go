package gate_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/gate"
)

var comparers = cmp.Options{cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func sampleLock(record string) []diag.Locked {
	return []diag.Locked{
		{Domain: "b.example", ReturnPath: "b.example", DKIMDomain: "b.example"},
		{Domain: "a.example", ReturnPath: "bounce.a.example", DKIMDomain: "a.example",
			SPF: []diag.LockedSPF{{Name: "a.example", Record: record, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}},
				{Name: `odd\.label.a.example`}},
			MX:   []diag.LockedMX{{Host: ".", Preference: 0}, {Host: "mail.a.example", Preference: 65535, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}},
			DKIM: []diag.LockedKey{{Selector: "123", CNAME: "s.provider.example", Key: digest}, {Selector: "null", Key: digest}}},
	}
}

// What is written is read again, whatever a record holds, and sorted by domain.
func TestLockRoundTrip(t *testing.T) {
	for _, record := range []string{"v=spf1 -all", "", `"quoted" \back`, "\x00\x1b[31m\n\r\t\u202e\xff\xfe", "日本語", "yes", ": # - {"} {
		var b bytes.Buffer
		want := sampleLock(record)
		if err := gate.WriteLock(&b, want); err != nil {
			t.Fatal(err)
		}
		for i, c := range b.Bytes() {
			if c >= 0x7f || c < ' ' && c != '\n' {
				t.Errorf("octet %#x at %d", c, i)
			}
		}
		got, err := gate.ReadLock(b.Bytes(), "todoku.lock")
		if err != nil {
			t.Fatalf("%q: %v\n%s", record, err, b.Bytes())
		}
		want[0], want[1] = want[1], want[0]
		if d := cmp.Diff(want, got.Domains, comparers); d != "" {
			t.Errorf("%q: -want +got\n%s", record, d)
		}
		var again bytes.Buffer
		if err := gate.WriteLock(&again, got.Domains); err != nil || again.String() != b.String() {
			t.Errorf("%q: written another time it differs (%v)", record, err)
		}
		if got.Domain("a.example") == nil || got.Domain("c.example") != nil {
			t.Error("Domain")
		}
	}
}

// A lock of many domains is read as well as one of two.
func TestLockLarge(t *testing.T) {
	var want []diag.Locked
	for i := range 3000 {
		l := sampleLock("v=spf1 -all")[1]
		l.Domain = fmt.Sprintf("d%04d.example", i)
		want = append(want, l)
	}
	var b bytes.Buffer
	if err := gate.WriteLock(&b, want); err != nil {
		t.Fatal(err)
	}
	got, err := gate.ReadLock(b.Bytes(), "todoku.lock")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got.Domains, comparers); d != "" {
		t.Error("read otherwise than written")
	}
}

func TestLockErrors(t *testing.T) {
	head := "version: 1\ndomains:\n  a.example:\n"
	for text, want := range map[string]string{
		"":                               "is empty",
		"version: 1\n":                   "is no lock",
		"domains: {}\n":                  "is no lock",
		"version: 2\ndomains: {}\n":      "version is 2: this todoku reads version 1",
		"version: 1\ndomains: []\n":      "expected a mapping",
		head + "    spf: {}\n":           "spf is a mapping: expected a list",
		head + "    spf:\n":              "spf is nothing: expected a list",
		head + "    spfs: []\n":          `unknown key "spfs" (did you mean spf?)`,
		head + "    return_path: A.b.\n": "expected a name in lower case",
		head + "    spf:\n      - {name: a, record: b, networks: [192.0.2.1]}\n":         `"192.0.2.1" is not a network`,
		head + "    spf:\n      - {name: a, recrd: b}\n":                                 `unknown key "recrd" (did you mean record?)`,
		head + "    spf:\n      - {name: a, record: \"日本\"}\n":                           "a character that todoku lock does not write",
		head + "    spf:\n      - {name: a, record: }\n":                                 "record has no value",
		head + "    mx:\n      - {host: a, preference: x}\n":                             `preference is "x"`,
		head + "    mx:\n      - {host: a, preference: 65536}\n":                         `preference is "65536"`,
		head + "    mx:\n      - {host: a, preference: 1, addresses: [\"fe80::1%1\"]}\n": "is not an IP address",
		head + "    dkim:\n      - {selector: a, key: \"sha256:00\"}\n":                  "expected sha256: and 64 digits",
		"version: 1\ndomains:\n  a..example: {}\n":                                       "is not a domain name",
	} {
		l, err := gate.ReadLock([]byte(text), "todoku.lock")
		var list gate.Errors
		if !errors.As(err, &list) || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "todoku.lock") {
			t.Errorf("%q: %v, error %v, want %s", text, l, err, want)
		}
	}
}

// FuzzLock: a file that is taken is written and read again as the same.
func FuzzLock(f *testing.F) {
	var b bytes.Buffer
	if err := gate.WriteLock(&b, sampleLock("v=spf1 \xff\u202e -all")); err != nil {
		f.Fatal(err)
	}
	f.Add(b.String())
	f.Add("version: 1\ndomains:\n  a.example:\n    mx:\n      - {host: \".\", preference: 0, addresses: []}\n")
	if sample, err := os.ReadFile(filepath.Join("testdata", "todoku.yaml")); err == nil {
		f.Add(string(sample))
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := gate.ReadLock([]byte(text), "todoku.lock")
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := gate.WriteLock(&b, l.Domains); err != nil {
			t.Fatal(err)
		}
		again, err := gate.ReadLock(b.Bytes(), "todoku.lock")
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, b.Bytes())
		}
		if d := cmp.Diff(l.Domains, again.Domains, comparers); d != "" {
			t.Errorf("-first +again\n%s", d)
		}
	})
}
