//go:build e2e

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// A change of real records, held against the DNS as unbound answers it from nsd,
// and against the old zone file: one diff. What todoku says of a pull request must
// not hang on whether it has the old files or asks for what is published.
func TestE2EDiff(t *testing.T) {
	old, z, _ := realZone(t)
	nsd := startNSD(t, old)
	unbound := startUnbound(t, nsd, unboundOptions{zones: []string{"."}})
	domains := mailDomains(z)
	text, err := os.ReadFile(old.path)
	if err != nil {
		t.Fatal(err)
	}
	// Every third domain changes: a term of its SPF record goes, it gets a second
	// one, or its MX records go.
	lines := strings.Split(string(text), "\n")
	var changed []string
	drop := map[int]bool{}
	for i, name := range slices.Sorted(maps.Keys(domains)) {
		if i%3 != 0 || len(changed) == 60 {
			continue
		}
		for j := range z.Records {
			rr := &z.Records[j]
			if rr.Name != name {
				continue
			}
			at := z.Spans[j]
			switch {
			case i%2 == 0 && rr.Type == dnsq.TypeMX:
				for l := at.Line; l <= at.EndLine; l++ {
					drop[l-1] = true
				}
			case i%2 == 1 && rr.Type == dnsq.TypeTXT && strings.HasPrefix(rr.Text(), "v=spf1 ") && at.Line == at.EndLine:
				if i%9 == 0 {
					lines[at.Line-1] += "\n" + name + ". 300 IN TXT \"v=spf1 ~all\""
				} else if terms := strings.Fields(rr.Text()); len(terms) > 2 && !strings.Contains(rr.Text(), `"`) {
					lines[at.Line-1] = fmt.Sprintf("%s. 300 IN TXT %s", name, quotedStrings(strings.Join(append(terms[:1:1], terms[2:]...), " ")))
				}
			default:
				continue
			}
			if !slices.Contains(changed, name) {
				changed = append(changed, name)
			}
		}
	}
	if len(changed) < 10 {
		t.Fatalf("only %d domains change", len(changed))
	}
	kept := []string{}
	for i, l := range lines {
		if !drop[i] {
			kept = append(kept, l)
		}
	}
	file := filepath.Join(t.TempDir(), "new.zone")
	if err := os.WriteFile(file, []byte(strings.Join(kept, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	diff := func(args ...string) (map[string]any, map[string]int) {
		t.Helper()
		var out, errs bytes.Buffer
		// The check zone looks at the text of both files, which the DNS does not have.
		code := runWith(t, &out, &errs, append(append([]string{"diff", "-o", "json", "--new", file + "@.", "--skip", "zone,dnsbl"}, args...), changed...)...)
		if code != exitFound || errs.Len() > 0 {
			t.Fatalf("exit code %d, expected %d: %s", code, exitFound, errs.String())
		}
		var all map[string]any
		if err := json.Unmarshal(out.Bytes(), &all); err != nil {
			t.Fatal(err)
		}
		n := map[string]int{}
		var walk func(v any)
		walk = func(v any) {
			switch v := v.(type) {
			case map[string]any:
				if c, ok := v["change"].(string); ok {
					n[c]++
				}
				for _, key := range []string{"duration_ms", "server", "started", "before", "old_seen_seconds", "old_seen_at_least"} {
					if _, ok := v[key].(string); ok || key != "before" {
						delete(v, key)
					}
				}
				if _, evidence := v["text"]; evidence {
					for _, key := range []string{"source", "file", "line"} {
						delete(v, key)
					}
				}
				for _, x := range v {
					walk(x)
				}
			case []any:
				for _, x := range v {
					walk(x)
				}
			}
		}
		walk(all)
		return all, n
	}
	live, n := diff("--old", "live", "--server", unbound.String())
	files, m := diff("--old", old.path+"@.", "--offline")
	if d := difference(live, files); d != "" || !maps.Equal(n, m) {
		t.Errorf("the diff against unbound and that against the old file are not the same:\n%s", d)
	}
	if n["new"] < 10 || n["unchanged"] < 10 {
		t.Errorf("changes %v: nothing was tested", n)
	}
	t.Logf("%d domains: %v", len(changed), n)
}

// quotedStrings is a text as the strings of a TXT record.
func quotedStrings(s string) string {
	var out []string
	for len(s) > 255 {
		out, s = append(out, `"`+s[:255]+`"`), s[255:]
	}
	return strings.Join(append(out, `"`+s+`"`), " ")
}
