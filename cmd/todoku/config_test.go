package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// What an inventory's run writes for machines keeps the contract: each report on
// its own keeps to the schema, with waived and known findings in it.
func TestInventoryJSON(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("shop.zone", `$ORIGIN example.
@ IN SOA ns hostmaster 1 3600 600 86400 300
@ IN NS ns
ns A 192.0.2.53
shop TXT "v=spf1 ip4:192.0.2.25 include:_spf.news.example -all"
shop MX 10 mail.shop
mail.shop A 192.0.2.25
_spf.news TXT "v=spf1 ip4:198.51.100.0/24 -all"
_dmarc.shop TXT "v=DMARC1; p=none"
old A 192.0.2.80
`)
	config := write("todoku.yaml", `zones: shop.zone
domains:
  shop.example: {ips: [192.0.2.25], providers: []}
  old.example: {never_sends: true}
waivers:
  - {id: DMARC-POLICY-NONE, subject: shop.example, reason: "a \" reason \u202e", expires: 2027-01-31}
  - {id: MX-NULL, subject: shop.example, reason: gone, expires: 2027-01-31}
`)
	lock := filepath.Join(dir, "todoku.lock")
	var out, errs bytes.Buffer
	if code := runWith(t, &out, &errs, "lock", "--config", config, "--offline"); code != exitOK {
		t.Fatalf("lock: exit %d: %s", code, errs.String())
	}
	out.Reset()
	if code := runWith(t, &out, &errs, "check", "--config", config, "--offline", "--skip", "dnsbl,ptr", "-o", "json"); code != exitFound {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	base := write("base.json", out.String())
	out.Reset()
	code := runWith(t, &out, &errs, "check", "--config", config, "--offline", "--skip", "dnsbl,ptr", "-o", "ndjson",
		"--baseline", base, "--locked", "--lock-file", lock)
	if code != exitOK || errs.Len() > 0 {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join("..", "..", "testdata", "report.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, l := range lines {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(l))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Error(err)
		}
	}
	for _, want := range []string{`"waived":{"reason":"a \" reason \u202e","expires":"2027-01-31","file":`, `"known":true`, `"waived":1,"known":`,
		`"id":"GATE-WAIVER-UNUSED"`, `"id":"LOCK-OK"`, `"id":"INV-PARKED-SPF"`, `"id":"INV-PROVIDER-UNDECLARED"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is not in the report", want)
		}
	}
}

// A domain is judged by the threshold of its own entry, and a flag comes first.
func TestThreshold(t *testing.T) {
	for _, c := range []struct {
		yaml, flag string
		code       int
	}{
		{"domains: {shop.example: }", "", exitOK},
		{"fail_on: warn\ndomains: {shop.example: }", "", exitFound},
		{"fail_on: warn\ndomains: {shop.example: {fail_on: fail}}", "", exitOK},
		{"domains: {shop.example: {fail_on: warn}}", "", exitFound},
		{"domains: {shop.example: {fail_on: warn}}", "fail", exitOK},
		{"domains: {shop.example: {fail_on: fail}}", "warn", exitFound},
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{"todoku.yaml": c.yaml, "z.zone": "$ORIGIN shop.example.\n@ SOA ns.example. h.example. 1 1 1 1 1\n@ MX 10 a\n@ MX 0 .\na A 192.0.2.1\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		args := []string{"check", "--config", filepath.Join(dir, "todoku.yaml"), "--zone", filepath.Join(dir, "z.zone"), "--offline", "--only", "mx"}
		if c.flag != "" {
			args = append(args, "--fail-on", c.flag)
		}
		var out, errs bytes.Buffer
		if code := runWith(t, &out, &errs, args...); code != c.code {
			t.Errorf("%q, --fail-on %q: exit %d, want %d: %s", c.yaml, c.flag, code, c.code, errs.String())
		}
	}
}
