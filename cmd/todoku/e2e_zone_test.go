//go:build e2e

package main

import (
	"errors"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/zone"
)

// family is a zone that hands names on to a zone of its own, to servers that are
// nowhere, and holds what the delegations hide.
const family = `
@ MX 10 mail
mail A 198.51.100.40
*.open A 198.51.100.41
child NS ns.child
child NS ns.e2e.invalid. ; as writeZone says in the child: a delegation that is in force
ns.child A 198.51.100.42
; only at names that the child has too: nsd keeps all its zones in one tree, and
; takes a name that any of them holds for one that exists in each
child TXT "hidden by the delegation"
www.child TXT "hidden too"
deep.down NS ns.nowhere.invalid.
a.deep.down MX 10 mail
toChild CNAME www.child
intoHidden CNAME www.child
throughWild CNAME a.b.open
d DNAME child.family.test.
`

const child = `
@ TXT "v=spf1 -all"
ns A 198.51.100.42
www A 198.51.100.43
up CNAME mail.family.test.
*.w CNAME www
circle CNAME intochild.d.family.test.
intochild CNAME circle
`

// randomZone is a zone that a server loads, in which everything collides with
// everything: wildcards, aliases, redirections, delegations, names in between.
func randomZone(r *rand.Rand, origin string, others []string) string {
	labels := []string{"a", "b", "c", "*"}
	name := func() string {
		n := origin
		for i := r.Intn(5); i > 0; i-- {
			n = labels[r.Intn(len(labels))] + "." + n
		}
		return n
	}
	target := func() string {
		if r.Intn(4) == 0 {
			return "a." + others[r.Intn(len(others))]
		}
		return name()
	}
	taken, dname := map[string]string{}, map[string]bool{}
	var b strings.Builder
	for range 40 {
		n := name()
		typ := []string{"TXT", "TXT", "A", "MX", "CNAME", "CNAME", "NS", "DNAME"}[r.Intn(8)]
		wild := strings.Contains(n, "*")
		have := taken[n]
		switch {
		case n == origin && (typ == "CNAME" || typ == "NS" || typ == "DNAME"), // the top is what writeZone makes of it
			wild && (typ == "NS" || typ == "DNAME"), // RFC 4592 §4.2 and §4.4 leave them open
			have != "" && (typ == "CNAME" || have == "CNAME" || typ == "DNAME" || have == "DNAME" || typ == "NS" || have == "NS"):
			continue
		}
		// NSD loads nothing below a DNAME.
		if typ == "DNAME" && slices.ContainsFunc(keys(taken), func(k string) bool { return k != n && dnsq.AtOrBelow(k, n) }) ||
			slices.ContainsFunc(keys(dname), func(d string) bool { return n != d && dnsq.AtOrBelow(n, d) }) {
			continue
		}
		taken[n] = typ
		switch typ {
		case "TXT":
			fmt.Fprintf(&b, "%s. TXT \"%s %d\"\n", n, n, r.Intn(3))
		case "A":
			fmt.Fprintf(&b, "%s. A 198.51.100.%d\n", n, r.Intn(256))
		case "MX":
			fmt.Fprintf(&b, "%s. %d MX %d %s.\n", n, 60, r.Intn(3), target())
		case "CNAME":
			fmt.Fprintf(&b, "%s. CNAME %s.\n", n, target())
		case "NS":
			fmt.Fprintf(&b, "%s. NS ns.nowhere.invalid.\n", n)
		case "DNAME":
			dname[n] = true
			fmt.Fprintf(&b, "%s. DNAME %s.\n", n, target())
		}
	}
	return b.String()
}

func keys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// Zones that hand names on to each other, and random ones: what the overlay says
// is what nsd says, and what the world sees through unbound.
func TestE2EZoneDelegations(t *testing.T) {
	root := writeZone(t, ".", "")
	files := []zoneFile{root, writeZone(t, "family.test", family), writeZone(t, "child.family.test", child)}
	r := rand.New(rand.NewSource(20261122))
	var origins []string
	for i := range 12 {
		origins = append(origins, fmt.Sprintf("r%d.test", i))
	}
	for _, o := range origins {
		files = append(files, writeZone(t, o, randomZone(r, o, origins)))
	}
	var zones []*zone.Zone
	var names []string
	for _, f := range files {
		zones = append(zones, parse(t, f))
		names = append(names, f.origin)
	}
	set, err := zone.NewSet(zones...)
	if err != nil {
		t.Fatal(err)
	}
	nsd := startNSD(t, files...)
	overlay := set.Overlay(dnsq.OfflineResolver("the zones are all there is"))
	t.Run("nsd", func(t *testing.T) {
		sameWithLoops(t, questionsAbout(zones), overlay, nsd.resolver(t), true)
	})
	unbound := startUnbound(t, nsd, unboundOptions{zones: names})
	t.Run("unbound, the parent laid over it", func(t *testing.T) {
		// The child's names go through, though the parent's file hides data there.
		parent, err := zone.NewSet(zones[1])
		if err != nil {
			t.Fatal(err)
		}
		live := unbound.resolver(t)
		sameWithLoops(t, questionsAbout(zones[1:3]), parent.Overlay(live), live, false)
	})
}

// sameWithLoops is same for zones in which any question may go without an answer.
func sameWithLoops(t *testing.T, questions []dnsq.Question, a, b dnsq.Resolver, exact bool) {
	t.Helper()
	compare(t, questions, a, b, exact, func(dnsq.Question) bool { return true })
}

// refusing are the lints for what a server does not load, and which does not.
var refusing = map[diag.LintCode][]string{
	diag.LintLongString:       {"named-checkzone", "nsd-checkzone"},
	diag.LintByteOrderMark:    {"named-checkzone", "nsd-checkzone"},
	diag.LintOriginWithoutDot: {"nsd-checkzone"},
	diag.LintOutOfZone:        {"nsd-checkzone"},
	diag.LintBesideCNAME:      {"named-checkzone", "nsd-checkzone"},
	diag.LintBelowDNAME:       {"nsd-checkzone"},
	diag.LintNoNameServer:     {"named-checkzone"},
	diag.LintServerAddress:    {"named-checkzone"},
	diag.LintHostName:         {"named-checkzone"},
	diag.LintUTF8Name:         {"named-checkzone"},
}

// refusedBy are the servers that do not load a zone file, with what they say.
// -k fail is what named does with a primary zone by itself.
func refusedBy(t *testing.T, origin, text string) map[string]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "zone")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, args := range [][]string{{"named-checkzone", "-k", "fail", "-i", "local", origin, file}, {"nsd-checkzone", origin, file}} {
		cmd := exec.Command(program(t, args[0]), args[1:]...)
		said, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		switch {
		case errors.As(err, &exit):
			out[args[0]] = string(said)
		case err != nil:
			t.Fatal(err)
		}
	}
	return out
}

// What todoku says of a file is what BIND and NSD do with it: a lint that says
// that they refuse the file is true, and a file that one of them refuses is
// either not read at all or has such a lint.
func TestE2EZoneLints(t *testing.T) {
	const head = "$TTL 3600\n@ IN SOA ns1 hostmaster 1 7200 3600 1209600 600\n@ IN NS ns1\nns1 IN A 192.0.2.53\n"
	type sample struct{ name, origin, text string }
	samples := []sample{}
	fixtures, err := filepath.Glob("../../checks/zone/testdata/*.txtar")
	if err != nil || len(fixtures) < 20 {
		t.Fatal(fixtures, err)
	}
	for _, path := range fixtures {
		ar, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range ar.Files {
			if origin, ok := strings.CutPrefix(f.Name, "zone "); ok {
				samples = append(samples, sample{filepath.Base(path), origin, string(f.Data)})
			}
		}
	}
	long := strings.Repeat("x", 256)
	for _, body := range []string{
		"", "a TXT \"" + long[:255] + "\"\n", "a TXT \"" + long + "\"\n", "a TXT " + long + "\n", "a SPF \"" + long + "\"\n",
		"a CNAME b\na TXT x\n", "a CNAME b\na CNAME c\n", "a CNAME b\na CNAME b\n", "@ CNAME ns1\n", "a CNAME b\nx.a TXT y\n",
		"x.example.org. A 192.0.2.1\n", "notexample.com. TXT x\n", "sub NS ns.sub\nns.sub A 192.0.2.1\nx.sub TXT y\n",
		"d DNAME x.\nx.d TXT y\n", "d DNAME x.\nd TXT y\n", "d DNAME x.\nd DNAME x.\n", "@ DNAME x.\n",
		"$ORIGIN sub\n@ TXT x\n", "$ORIGIN sub.example.com.\n@ TXT x\n", "$ORIGIN example.com\n@ TXT x\n",
		"mail_1 A 192.0.2.1\n", "@ MX 10 mail_1\n", "_x._y A 192.0.2.1\n", "*.w A 192.0.2.1\n", "a-b A 192.0.2.1\n", "x_ AAAA 2001:db8::1\n",
		"@ NS ns2\n", "@ NS ns2.sub\nsub NS ns2.sub\nns2.sub A 192.0.2.1\n", "@ NS ns.example.org.\n",
		"_dmarc TXT v=DMARC1; p=none\n", "a TXT “v=spf1 -all”\n", "a TXT v=spf1 -all\n", "a TXT \"v=spf1\\; \\\\; x\"\n", "a TXT 'x y'\n",
		"_dmarc.example.com TXT \"v=DMARC1; p=none\"\n", "@ MX 10 ns1.example.com\n", "例 A 192.0.2.1\n", "a SPF \"v=spf1 -all\"\n",
		"a 9999999 TXT x\n", "@ TXT \"open\n", "@ TXT ( \"x\"\n", "@ A 192.0.2.300\n", "@ MX mail\n", "@ FOO x\n", "a 99999999999 A 192.0.2.1\n",
		"b..c A 192.0.2.1\n", long[:64] + " A 192.0.2.1\n", "$TTL x\n", "$FOO\n", "@ SOA ns1 hostmaster 2 7200 3600 1209600 600\n", "a CH TXT x\n",
		"a AAAA 192.0.2.1\n", "a TXT\n", "a TXT x )\n", "a TXT \"\\256\"\n", "a MX 10 b c\n", "a MX 65536 b\n",
	} {
		samples = append(samples, sample{"sample", "example.com", head + body})
	}
	samples = append(samples, sample{"no NS", "example.com", strings.Replace(head, "@ IN NS ns1\n", "", 1)},
		sample{"no address", "example.com", strings.Replace(head, "ns1 IN A 192.0.2.53\n", "", 1)},
		sample{"BOM", "example.com", "\ufeff" + head},
		sample{"origin first", "example.com", "$ORIGIN example.com\n" + head})

	told, refusals := 0, 0
	for _, s := range samples {
		refused := refusedBy(t, s.origin, s.text)
		z, err := zone.Parse(strings.NewReader(s.text), "zone", s.origin)
		if err != nil {
			// What todoku does not read, one of them does not load.
			if len(refused) == 0 && !lenient(err) {
				t.Errorf("%s: %v; BIND and NSD load it\n%s", s.name, err, s.text)
			}
			refusals++
			continue
		}
		set, err := zone.NewSet(z)
		if err != nil {
			t.Fatal(err)
		}
		says := map[string]diag.LintCode{}
		for _, l := range zone.Lint(set).Lints {
			for _, server := range refusing[l.Code] {
				says[server] = l.Code
			}
		}
		for server, code := range says {
			told++
			if _, ok := refused[server]; !ok {
				t.Errorf("%s: the lint %s says that %s refuses it, and it does not\n%s", s.name, code, server, s.text)
			}
		}
		for server, said := range refused {
			refusals++
			// Names for programs are no slip, and no lint, though check-names
			// knows no difference.
			if strings.Contains(s.text, "\n_x._y A ") {
				continue
			}
			if says[server] == "" && len(says) == 0 {
				t.Errorf("%s: %s refuses it, and no lint says so: %s\n%s", s.name, server, said, s.text)
			}
		}
	}
	t.Logf("%d files, %d refusals foretold, %d in all", len(samples), told, refusals)
	if told < 30 {
		t.Errorf("only %d refusals were foretold", told)
	}
}

// lenient reports whether an error is about what servers let pass: a TTL that is
// too large becomes 0 there.
func lenient(err error) bool { return strings.Contains(err.Error(), "neither a TTL") }
