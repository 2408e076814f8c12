//go:build e2e

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/zone"
)

// The end-to-end tests ask real servers (e2e_servers_test.go): what nsd and
// unbound do with a zone is what the world sees of it, and neither shares a
// line with todoku.

// records are real DNS records, and how many domains they are at least about.
// The collection of ../shared is there in CI; elsewhere the part of it that
// may be copied stands in.
func records(t *testing.T) (text string, domains int) {
	t.Helper()
	b, err := os.ReadFile("../../../shared/suites/records/records.zone")
	if err == nil {
		return string(b), 200
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if b, err = os.ReadFile("../../testdata/e2e/records.zone"); err != nil {
		t.Fatal(err)
	}
	return string(b), 20
}

// realZone is the root zone that holds the real records, and for each address
// in them a PTR record, so that some addresses have a name and most have none.
func realZone(t *testing.T) (zoneFile, *zone.Zone, int) {
	t.Helper()
	text, domains := records(t)
	z := parse(t, writeZone(t, ".", text))
	var b strings.Builder
	b.WriteString(text + "\n")
	for _, rr := range z.Records {
		if rr.Addr.IsValid() {
			fmt.Fprintf(&b, "%s. PTR %s.\n", dnsq.ReverseName(rr.Addr), rr.Name)
		}
	}
	f := writeZone(t, ".", b.String())
	return f, parse(t, f), domains
}

func parse(t *testing.T, f zoneFile) *zone.Zone {
	t.Helper()
	z, err := zone.Open(f.path + "@" + f.origin)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// A report is what -o json says, as much of it as the tests look at.
type report struct {
	Status string
	Checks []struct {
		Check, Status string
		Findings      []finding
		Data          json.RawMessage
	}
	Trouble []unknown
}

type finding struct {
	ID, Status, Subject string
	Unknown             []unknown
}

type unknown struct {
	Name, Type, Reason, Detail string
	EDE                        []string
}

// finding is the first finding with this ID, nil if there is none.
func (r *report) finding(id string) *finding {
	for i := range r.Checks {
		for j := range r.Checks[i].Findings {
			if f := &r.Checks[i].Findings[j]; f.ID == id {
				return f
			}
		}
	}
	return nil
}

// ids are the IDs of all findings, and the subjects they are about.
func (r *report) ids() []string {
	var out []string
	for _, c := range r.Checks {
		for _, f := range c.Findings {
			out = append(out, f.ID+" "+f.Subject)
		}
	}
	return out
}

var schemaOnce = sync.OnceValues(func() (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.AssertContent()
	return c.Compile("../../testdata/report.schema.json")
})

// decode reads a report and holds it to the schema. all is the whole of it,
// without what differs between two runs of the same (the clock) and between an
// answer from a server and one from a zone file (where it came from).
func decode(out []byte) (r *report, all map[string]any, err error) {
	schema, err := schemaOnce()
	if err != nil {
		return nil, nil, err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(out))
	if err != nil {
		return nil, nil, fmt.Errorf("the report is not JSON: %w\n%s", err, out)
	}
	if err := schema.Validate(v); err != nil {
		return nil, nil, fmt.Errorf("the report does not keep the schema: %w\n%s", err, out)
	}
	if err := errors.Join(json.Unmarshal(out, &r), json.Unmarshal(out, &all)); err != nil {
		return nil, nil, err
	}
	var strip func(v any)
	strip = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, key := range []string{"duration_ms", "server", "started"} {
				delete(v, key)
			}
			if _, evidence := v["text"]; evidence {
				for _, key := range []string{"source", "file", "line"} {
					delete(v, key)
				}
			}
			for _, x := range v {
				strip(x)
			}
		case []any:
			for _, x := range v {
				strip(x)
			}
		}
	}
	strip(all)
	return r, all, nil
}

// check runs `todoku check` in this process. It must end in a verdict.
func check(t *testing.T, args ...string) (*report, map[string]any, int) {
	t.Helper()
	r, all, code, err := try(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return r, all, code
}

func try(t *testing.T, args ...string) (*report, map[string]any, int, error) {
	var out, errs bytes.Buffer
	code := runWith(t, &out, &errs, append([]string{"check", "-o", "json"}, args...)...)
	r, all, err := decode(out.Bytes())
	if err == nil && (errs.Len() > 0 || !slices.Contains([]int{exitOK, exitFound, exitInconclusive}, code)) {
		err = fmt.Errorf("%s", errs.String())
	}
	if err != nil {
		err = fmt.Errorf("todoku check %s: exit code %d: %w", strings.Join(args, " "), code, err)
	}
	return r, all, code, err
}

// difference shows the first lines in which two values differ.
func difference(a, b any) string {
	lines := func(v any) []string {
		b, _ := json.MarshalIndent(v, "", " ")
		return strings.Split(string(b), "\n")
	}
	x, y := lines(a), lines(b)
	for i := range max(len(x), len(y)) {
		if i >= len(x) || i >= len(y) || x[i] != y[i] {
			from := max(0, i-12)
			return fmt.Sprintf("first:\n%s\nsecond:\n%s", strings.Join(x[min(from, len(x)):min(i+4, len(x))], "\n"), strings.Join(y[min(from, len(y)):min(i+4, len(y))], "\n"))
		}
	}
	return ""
}

// sender is an address to try a domain with: the first IPv4 network of its own
// SPF record, so that some pass.
func sender(rrs []dnsq.RR) string {
	for i := range rrs {
		for _, term := range strings.Fields(rrs[i].Text()) {
			network, ok := strings.CutPrefix(strings.TrimLeft(term, "+-~?"), "ip4:")
			if !ok || !strings.HasPrefix(rrs[i].Text(), "v=spf1") {
				continue
			}
			if ip, err := netip.ParseAddr(strings.Split(network, "/")[0]); err == nil {
				return ip.String()
			}
		}
	}
	return "192.0.2.1"
}

// mailDomains are the names that have something to do with mail: those with
// SPF or MX records, and those that a DMARC or DKIM record is about.
func mailDomains(z *zone.Zone) map[string][]dnsq.RR {
	out := map[string][]dnsq.RR{}
	for _, rr := range z.Records {
		name := strings.TrimPrefix(rr.Name, "*.")
		if _, after, ok := strings.Cut("."+name, "._domainkey."); ok {
			name = after
		}
		name = strings.TrimPrefix(name, "_dmarc.")
		if name == "." || rr.Type != dnsq.TypeTXT && rr.Type != dnsq.TypeMX {
			continue
		}
		if _, err := dnsq.ParseName(name); err == nil {
			out[name] = out[name]
			if rr.Name == name {
				out[name] = append(out[name], rr)
			}
		}
	}
	return out
}

// Every domain of the real records, asked of unbound and read from the zone
// file: one report. A difference is a defect, of the transport, of the cache,
// of the zone's lookup, or of a check that depends on the order of an answer.
func TestE2ERealDomains(t *testing.T) {
	f, z, atLeast := realZone(t)
	nsd := startNSD(t, f)
	unbound := startUnbound(t, nsd, unboundOptions{zones: []string{"."}})
	domains := mailDomains(z)
	if len(domains) < atLeast {
		t.Fatalf("%d domains, expected at least %d", len(domains), atLeast)
	}
	set, err := zone.NewSet(z)
	if err != nil {
		t.Fatal(err)
	}
	codes, found := map[int]int{}, map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(domains)) {
		args := []string{name, "--ip", sender(domains[name]), "--helo", name}
		// A run that has the file would guess the selectors that stand in it.
		for _, sel := range zone.SelectorsIn(name, set) {
			args = append(args, "--selector", sel)
		}
		online, all, code := check(t, append(args, "--server", unbound.String())...)
		_, fromFile, code2 := check(t, append(args, "--offline", "--skip", "zone", "--zone", f.path+"@.")...)
		if d := difference(all, fromFile); d != "" || code != code2 {
			t.Errorf("%s: asked of unbound and read from the zone file it is not the same (exit %d and %d):\n%s", strings.Join(args, " "), code, code2, d)
		}
		for _, u := range online.Trouble {
			t.Errorf("%s: no answer for %s %s (%s: %s), though every name has one", name, u.Name, u.Type, u.Reason, u.Detail)
		}
		codes[code]++
		for _, c := range online.Checks {
			for _, f := range c.Findings {
				found[f.ID]++
			}
		}
	}
	t.Logf("%d domains, exit codes %v, findings %v", len(domains), codes, found)
	// The records are of all sorts: were the verdicts not, nothing was tested.
	for _, id := range []string{"SPF-OK", "SPF-MISSING", "SPF-IP-NOT-AUTHORIZED", "MX-NULL", "PTR-MISSING"} {
		if found[id] == 0 {
			t.Errorf("no domain has %s", id)
		}
	}
}

// shapes is what real mail domains rarely hold and DNS has rules for.
const shapes = `
@ MX 10 mail
@ TXT "v=spf1 a:mail.shapes.test -all"
mail A 198.51.100.1
mail AAAA 2001:db8::1
; an empty non-terminal: "ent" exists, and so do "deep.ent" and "b.a.deep.ent"
x.b.a.deep.ent TXT "leaf"
; wildcards: of addresses, of an alias; an existing name blocks one
*.wild A 198.51.100.2
*.wild TXT "wild" "card"
stop.wild MX 10 mail
x.y.hole.wild A 198.51.100.3
*.alias CNAME mail
*.dangling CNAME nowhere
sub.*.wild TXT "an asterisk in the middle is a label like others"
; aliases: chains, to nothing, to a name without the type, to another zone, out and back
c1 CNAME c2
c2 CNAME c3
c3 CNAME mail
nothing CNAME nowhere
toent CNAME ent
towild CNAME deep.down.wild
other CNAME host.plain.test.
back CNAME back.plain.test.
outside CNAME nowhere.invalid.
loop1 CNAME loop2
loop2 CNAME loop1
selfish CNAME selfish
; everything below moves
moved DNAME plain.test.
moved TXT "not moved itself"
; the same record twice is one; two different are two; case and escapes
twice TXT "once"
twice TXT "once"
two TXT "once"
two TXT "on" "ce"
UPPER A 198.51.100.4
upper TXT "one name"
dot\.ted A 198.51.100.5
sp\032ace TXT "blank in the name"
bytes TXT "\000\255\"\\;" ""
empty TXT ""
; a cut whose servers cannot be found
cut NS ns.nowhere.invalid.
glue.cut A 198.51.100.6
`

const plain = `
@ A 198.51.100.20
host A 198.51.100.21
host MX 0 .
back CNAME mail.shapes.test.
a.b.c TXT "deep"
`

// The overlay of a proposed zone must answer as the servers will once it is
// published. So: every name of the zones, its parents, names that do not
// exist beside and below it, and every type, asked of nsd, of unbound, and of
// the zone files.
func TestE2EZoneAgainstServers(t *testing.T) {
	root, rootZone, _ := realZone(t)
	shapesFile, plainFile := writeZone(t, "shapes.test", shapes), writeZone(t, "plain.test", plain)
	secure, anchor := sign(t, writeZone(t, "secure.test", "@ TXT \"v=spf1 -all\"\nhost A 198.51.100.30\n*.wild TXT \"w\"\nx.ent A 198.51.100.31\n"), -time.Hour, 24*time.Hour)
	files := []zoneFile{root, shapesFile, plainFile, secure}
	zones := []*zone.Zone{rootZone}
	for _, f := range files[1:] {
		zones = append(zones, parse(t, f))
	}
	set, err := zone.NewSet(zones...)
	if err != nil {
		t.Fatal(err)
	}
	nsd := startNSD(t, files...)
	unbound := startUnbound(t, nsd, unboundOptions{zones: []string{".", "shapes.test", "plain.test", "secure.test"}, anchors: []string{anchor}})
	overlay := set.Overlay(dnsq.OfflineResolver("the zones are all there is"))
	questions := questionsAbout(zones)

	t.Run("nsd", func(t *testing.T) {
		// What DNSSEC adds too: resolvers treat these types in ways of their own.
		dnssec := questionsAbout(zones[3:], typeDNSKEY, typeNSEC)
		same(t, append(dnssec, questions...), overlay, nsd.resolver(t), true)
	})
	t.Run("unbound", func(t *testing.T) {
		same(t, questions, overlay, unbound.resolver(t), false)
	})
	// Some of the zones laid over a resolver that knows them all: aliases lead
	// out of the overlay and back, and the answers must not change.
	t.Run("overlay of a part", func(t *testing.T) {
		for _, part := range [][]*zone.Zone{{zones[1]}, {zones[2]}, {zones[1], zones[3]}} {
			set, err := zone.NewSet(part...)
			if err != nil {
				t.Fatal(err)
			}
			r := unbound.resolver(t)
			same(t, questionsAbout(zones[1:]), set.Overlay(r), r, false)
		}
	})
}

const (
	typeNSEC   = dnsq.Type(47)
	typeDNSKEY = dnsq.Type(48)
)

// questionsAbout are the questions about every name that the zones hold or
// imply, and about names beside and below them that they do not hold.
func questionsAbout(zones []*zone.Zone, more ...dnsq.Type) []dnsq.Question {
	names := map[string]bool{}
	types := map[dnsq.Type]bool{}
	for _, t := range append(more, dnsq.TypeA, dnsq.TypeNS, dnsq.TypeCNAME, dnsq.TypeSOA, dnsq.TypePTR, dnsq.TypeMX,
		dnsq.TypeTXT, dnsq.TypeAAAA, dnsq.TypeDNAME, dnsq.TypeTLSA, dnsq.TypeSPF) {
		types[t] = true
	}
	for _, z := range zones {
		for _, rr := range z.Records {
			for name := rr.Name; ; name = dnsq.Parent(name) {
				names[name] = true
				if name == z.Origin || name == "." {
					break
				}
			}
			for _, below := range []string{"no-such-name", "a.b", "*", "_dmarc", "x._domainkey"} {
				names[dnsq.Join(below, rr.Name)] = true
			}
			names[dnsq.Join("no-such-name", dnsq.Parent(rr.Name))] = true
		}
	}
	var out []dnsq.Question
	for _, name := range slices.Sorted(maps.Keys(names)) {
		for _, t := range slices.Sorted(maps.Keys(types)) {
			out = append(out, dnsq.Question{Name: name, Type: t})
		}
	}
	return out
}

// same asks two resolvers and expects the same answers: outcome, chain and
// records; exact: TTLs too, which caches count down.
func same(t *testing.T, questions []dnsq.Question, a, b dnsq.Resolver, exact bool) {
	t.Helper()
	// Only what shapes breaks on purpose, the loops and the dead cut, may go
	// without an answer.
	compare(t, questions, a, b, exact, func(q dnsq.Question) bool { return dnsq.AtOrBelow(q.Name, "shapes.test") })
}

// compare is same; mayFail says which questions may go without an answer.
func compare(t *testing.T, questions []dnsq.Question, a, b dnsq.Resolver, exact bool, mayFail func(dnsq.Question) bool) {
	t.Helper()
	type pair struct{ a, b string }
	results := make([]pair, len(questions))
	var wg sync.WaitGroup
	next := make(chan int)
	for range 48 { // most of them wait: a question without an answer is asked three times
		wg.Go(func() {
			for i := range next {
				x, xerr := a.Ask(t.Context(), questions[i])
				y, yerr := b.Ask(t.Context(), questions[i])
				results[i] = pair{asText(x, xerr, exact), asText(y, yerr, exact)}
			}
		})
	}
	for i := range questions {
		next <- i
	}
	close(next)
	wg.Wait()
	kinds, wrong := map[string]int{}, 0
	for i, r := range results {
		kind, _, _ := strings.Cut(r.a, " ")
		kinds[kind]++
		if kind == "unknown" && !mayFail(questions[i]) {
			t.Errorf("%s: no answer", questions[i])
		}
		if r.a != r.b {
			if wrong++; wrong <= 20 {
				t.Errorf("%s:\n  first:  %s\n  second: %s", questions[i], r.a, r.b)
			}
		}
	}
	t.Logf("%d questions, %d differences: %v", len(questions), wrong, kinds)
	for _, k := range []string{"found", "nodata", "nxdomain", "unknown"} {
		if kinds[k] == 0 {
			t.Errorf("no question came to %s", k)
		}
	}
}

// asText is an answer as text. Why there is none differs between a server and
// a zone file; that there is none does not.
func asText(a *dnsq.Answer, err error, exact bool) string {
	if err != nil {
		return "unknown "
	}
	var rrs []string
	for _, rr := range a.RRs {
		ttl := rr.TTL
		rr.File, rr.Line, rr.TTL = "", 0, 0
		if !exact {
			ttl = 0
		}
		soa := ""
		if rr.SOA != nil {
			soa = fmt.Sprint(*rr.SOA)
		}
		rr.SOA = nil
		rrs = append(rrs, fmt.Sprintf("%d %+q %s", ttl, fmt.Sprint(rr), soa))
	}
	slices.Sort(rrs)
	ttl := a.TTL
	if !exact {
		ttl = 0
	}
	return fmt.Sprintf("%s %v %d %s", a.Outcome, a.Chain, ttl, strings.Join(rrs, " | "))
}

// What a validating resolver can prove is learnt; what it finds to be forged
// is not, and never a missing record.
func TestE2EDNSSEC(t *testing.T) {
	const text = "@ TXT \"v=spf1 ip4:198.51.100.7 -all\"\n@ MX 10 mail\nmail A 198.51.100.7\nnospf TXT \"hello\"\n*.wild TXT \"v=spf1 -all\"\n"
	hour, day := time.Hour, 24*time.Hour
	var anchors []string
	origins := []string{"."}
	signed := func(origin string, from, until time.Duration, options ...string) zoneFile {
		z, anchor := sign(t, writeZone(t, origin, text), from, until, options...)
		anchors, origins = append(anchors, anchor), append(origins, origin)
		return z
	}
	nsec, nsec3 := signed("nsec.test", -hour, day), signed("nsec3.test", -hour, day, "-n")
	expired := signed("expired.test", -2*day, -day)
	// Somebody on the way authorises himself.
	forged := signed("forged.test", -hour, day)
	tamper(t, forged, func(lines []string) []string {
		for i := range lines {
			lines[i] = strings.Replace(lines[i], "ip4:198.51.100.7", "ip4:203.0.113.66", 1)
		}
		return lines
	})
	// Somebody on the way removes the SPF record; the signed NSEC beside it
	// still says that there is a TXT record. A naive reader sees NODATA.
	stripped := signed("stripped.test", -hour, day)
	tamper(t, stripped, func(lines []string) []string {
		return slices.DeleteFunc(lines, func(l string) bool {
			return strings.HasPrefix(l, "stripped.test.") && (strings.Contains(l, "\tTXT\t") && !strings.Contains(l, "\tNSEC\t"))
		})
	})
	// Signed once, and then published without signatures by mistake.
	unsigned := signed("unsigned.test", -hour, day)
	tamper(t, unsigned, func(lines []string) []string {
		return slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, "\tRRSIG\t") })
	})
	nsd := startNSD(t, writeZone(t, ".", "island.test. TXT \"v=spf1 -all\"\n"), nsec, nsec3, expired, forged, stripped, unsigned)
	unbound := startUnbound(t, nsd, unboundOptions{zones: origins, anchors: anchors})
	r := unbound.resolver(t)

	for _, c := range []struct {
		q         dnsq.Question
		outcome   dnsq.Outcome
		authentic bool
	}{
		{dnsq.Q("nsec.test", dnsq.TypeTXT), dnsq.Found, true},
		{dnsq.Q("nsec3.test", dnsq.TypeTXT), dnsq.Found, true},
		{dnsq.Q("x.wild.nsec.test", dnsq.TypeTXT), dnsq.Found, true},
		{dnsq.Q("nsec.test", dnsq.TypeAAAA), dnsq.NoData, true},
		{dnsq.Q("nsec3.test", dnsq.TypeAAAA), dnsq.NoData, true},
		{dnsq.Q("wild.nsec.test", dnsq.TypeTXT), dnsq.NoData, true}, // an empty non-terminal
		{dnsq.Q("no.nsec.test", dnsq.TypeTXT), dnsq.NXDomain, true},
		{dnsq.Q("no.nsec3.test", dnsq.TypeTXT), dnsq.NXDomain, true},
		// Not signed at all: an answer, and nobody vouches for it.
		{dnsq.Q("island.test", dnsq.TypeTXT), dnsq.Found, false},
		{dnsq.Q("no.island.test", dnsq.TypeTXT), dnsq.NXDomain, false},
	} {
		a, err := r.Ask(t.Context(), c.q)
		if err != nil || a.Outcome != c.outcome || a.Authentic != c.authentic {
			t.Errorf("%s: %+v, %v; expected %s, authentic %t", c.q, a, err, c.outcome, c.authentic)
		}
	}

	// Forged, stripped, expired, unsigned: the report cannot know, says so, and
	// says why in the words of the validating server.
	for _, c := range []struct{ name, ede string }{
		{"forged.test", "DNSSEC Bogus"},
		{"stripped.test", "DNSSEC Bogus"},
		{"expired.test", "signature expired"},
		{"unsigned.test", "no signatures"},
	} {
		// The first answer says why; once it is in unbound's cache only "bogus"
		// is left. So both reports are of one run.
		people := filepath.Join(t.TempDir(), "report.txt")
		rep, _, code := check(t, c.name, "--ip", "203.0.113.66", "--only", "spf,mx", "--server", unbound.String(), "-o", "text="+people)
		f := rep.finding("SPF-UNDETERMINED")
		if code != exitInconclusive || f == nil || rep.finding("SPF-MISSING") != nil || rep.finding("SPF-OK") != nil {
			t.Errorf("%s: exit code %d, findings %q; expected %d and SPF-UNDETERMINED", c.name, code, rep.ids(), exitInconclusive)
			continue
		}
		if len(f.Unknown) != 1 || f.Unknown[0].Reason != "servfail" || !strings.Contains(strings.Join(f.Unknown[0].EDE, "\n"), c.ede) {
			t.Errorf("%s: %+v; expected servfail and the extended error %s", c.name, f.Unknown, c.ede)
		}
		text, err := os.ReadFile(people)
		if err != nil || !strings.Contains(strings.Join(strings.Fields(string(text)), " "), c.ede) {
			t.Errorf("%s: the report for people does not show %q: %v\n%s", c.name, c.ede, err, text)
		}
	}

	// What is proved to be absent is absent.
	for _, name := range []string{"nospf.nsec.test", "nospf.nsec3.test", "no.nsec.test", "no.nsec3.test"} {
		rep, _, code := check(t, name, "--ip", "198.51.100.7", "--only", "spf", "--server", unbound.String())
		if code != exitFound || rep.finding("SPF-MISSING") == nil {
			t.Errorf("%s: exit code %d, findings %q; expected %d and SPF-MISSING", name, code, rep.ids(), exitFound)
		}
	}
	for _, name := range []string{"nsec.test", "nsec3.test"} {
		rep, _, code := check(t, name, "--ip", "198.51.100.7", "--only", "spf", "--server", unbound.String())
		if code != exitOK || rep.finding("SPF-OK") == nil {
			t.Errorf("%s: exit code %d, findings %q; expected %d and SPF-OK", name, code, rep.ids(), exitOK)
		}
	}
}

// The same verdict over UDP, TCP, TLS and HTTPS, and none where the
// certificate is not the server's. The program is built and run as a process
// of its own here: which roots it trusts comes from its environment.
func TestE2ETransports(t *testing.T) {
	f, _, _ := realZone(t)
	cert := newCertificate(t)
	unbound := startUnbound(t, startNSD(t, f), unboundOptions{zones: []string{"."}, cert: cert})
	binary := filepath.Join(t.TempDir(), "todoku")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	todoku := func(env, server string, domain string) (*report, map[string]any, int) {
		t.Helper()
		cmd := exec.Command(binary, "check", domain, "--ip", "194.33.196.8", "-o", "json", "--server", server, "--timeout", "5s")
		cmd.Env = append(os.Environ(), "SSL_CERT_DIR="+t.TempDir(), "SSL_CERT_FILE="+env)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run() // an exit code other than 0 is an error here
		if ee := (*exec.ExitError)(nil); err != nil && !errors.As(err, &ee) {
			t.Fatal(err)
		}
		if errs.Len() > 0 {
			t.Fatalf("--server %s: %s", server, errs.String())
		}
		r, all, err := decode(out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		return r, all, cmd.ProcessState.ExitCode()
	}
	for _, domain := range []string{"justice.gov.uk", "hmiprisons.gov.uk", "courts-service.com", "no-such-domain.example"} {
		_, want, wantCode := todoku("", unbound.String(), domain)
		for _, server := range []string{
			"tcp://" + unbound.String(),
			"tls://" + unbound.tls.String(),
			"tls://dns.test@" + unbound.tls.String(),
			"https://" + unbound.doh.String() + "/dns-query",
			"https://dns.test@" + unbound.doh.String() + "/dns-query",
		} {
			_, got, code := todoku(cert.pem, server, domain)
			if d := difference(want, got); d != "" || code != wantCode {
				t.Errorf("%s over %s: not what UDP says (exit %d and %d):\n%s", domain, server, code, wantCode, d)
			}
		}
	}
	for why, c := range map[string][2]string{
		"nobody vouches for the certificate":         {"", "tls://" + unbound.tls.String()},
		"nobody vouches for it, HTTPS":               {"", "https://" + unbound.doh.String()},
		"the certificate is for another name":        {cert.pem, "tls://other.test@" + unbound.tls.String()},
		"the certificate is for another name, HTTPS": {cert.pem, "https://other.test@" + unbound.doh.String()},
		"there is nothing behind the URL's path":     {cert.pem, "https://" + unbound.doh.String() + "/nothing-here"},
		"plain DNS is spoken there":                  {cert.pem, "tls://" + unbound.String()},
	} {
		rep, _, code := todoku(c[0], c[1], "courts-service.com")
		if code != exitInconclusive || rep.finding("SPF-UNDETERMINED") == nil || rep.finding("MX-UNDETERMINED") == nil {
			t.Errorf("%s (%s): exit code %d, findings %q; expected %d and nothing determined", why, c[1], code, rep.ids(), exitInconclusive)
		}
	}
}

// steadfast holds a run under trouble to the same run without: no finding
// flips, none is made up. Things may only become inconclusive.
func steadfast(t *testing.T, domain string, calm, troubled *report) {
	t.Helper()
	known := map[string]bool{}
	for _, f := range calm.ids() {
		known[f] = true
	}
	for i, c := range troubled.Checks {
		for _, f := range c.Findings {
			if (f.Status == "fail" || f.Status == "warn") && !known[f.ID+" "+f.Subject] {
				t.Errorf("%s: %s %s (%s) is found only where answers are missing", domain, f.ID, f.Subject, f.Status)
			}
		}
		if c.Status != "inconclusive" && c.Status != calm.Checks[i].Status {
			t.Errorf("%s: %s is %s, and %s when every answer comes", domain, c.Check, c.Status, calm.Checks[i].Status)
		}
	}
}

// Servers die: before a run, in the middle of it, and so that they take
// questions and never answer.
func TestE2EServerDies(t *testing.T) {
	f, z, _ := realZone(t)
	nsd := startNSD(t, f)
	healthy := startUnbound(t, nsd, unboundOptions{zones: []string{"."}})
	domains := mailDomains(z)
	var names []string
	for _, name := range slices.Sorted(maps.Keys(domains)) {
		if len(domains[name]) > 1 {
			names = append(names, name)
		}
	}
	names = names[:min(60, len(names))]
	calm := map[string]*report{}
	whole := map[string]map[string]any{}
	for _, name := range names {
		calm[name], whole[name], _ = check(t, name, "--ip", sender(domains[name]), "--server", healthy.String())
	}

	t.Run("a dead one first in the list", func(t *testing.T) {
		dead := ports(t, 1)[0]
		for _, name := range names {
			_, all, _ := check(t, name, "--ip", sender(domains[name]), "--server", dead.String(), "--server", healthy.String())
			if d := difference(whole[name], all); d != "" {
				t.Errorf("%s: with a dead server first: %s", name, d)
			}
		}
	})

	// Runs go on beside each other while the server is killed: each is before,
	// after, or in the middle.
	t.Run("killed while it is asked", func(t *testing.T) {
		victim := startUnbound(t, nsd, unboundOptions{zones: []string{"."}})
		var mu sync.Mutex
		results := map[string]*report{}
		work := make(chan string)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for name := range work {
					r, _, _, err := try(t, name, "--ip", sender(domains[name]), "--server", victim.String(), "--timeout", "3s")
					if err != nil {
						t.Error(err)
						continue
					}
					mu.Lock()
					results[name] = r
					mu.Unlock()
				}
			})
		}
		for i, name := range names {
			if i == len(names)/2 {
				victim.kill()
			}
			work <- name
		}
		close(work)
		wg.Wait()
		inconclusive := 0
		for name, r := range results {
			steadfast(t, name, calm[name], r)
			if r.finding("SPF-UNDETERMINED") != nil {
				inconclusive++
			}
		}
		if inconclusive < len(names)/3 || inconclusive > len(names)*2/3 {
			t.Errorf("%d of %d runs were inconclusive; the server was killed after half of them", inconclusive, len(names))
		}
	})

	t.Run("it takes questions and does not answer", func(t *testing.T) {
		deaf := startUnbound(t, nsd, unboundOptions{zones: []string{"."}})
		deaf.signal(syscall.SIGSTOP)
		name := names[0]
		r, _, code := check(t, name, "--ip", sender(domains[name]), "--server", deaf.String(), "--timeout", "1s")
		steadfast(t, name, calm[name], r)
		if code != exitInconclusive || r.finding("SPF-UNDETERMINED") == nil {
			t.Errorf("%s: exit code %d, findings %q; expected %d", name, code, r.ids(), exitInconclusive)
		}
		_, all, _ := check(t, name, "--ip", sender(domains[name]), "--server", deaf.String(), "--server", healthy.String())
		if d := difference(whole[name], all); d != "" {
			t.Errorf("%s: with a deaf server first: %s", name, d)
		}
	})
}

// Answers that do not fit: over UDP they come truncated, and TCP brings all of
// them, up to what a DNS message can hold.
func TestE2ELargeAnswers(t *testing.T) {
	var b strings.Builder
	names := map[string]int{"over-1232": 1300, "over-4096": 4400, "as-large-as-it-gets": 64000}
	for name, size := range names {
		fmt.Fprintf(&b, "%s TXT \"v=spf1 ip4:198.51.100.9 -all\"\n%[1]s MX 10 mail\n", name)
		for n := 0; n < size; n += 212 {
			// Owner (a pointer), type, class, TTL, length: 12 octets; and a string of 200.
			fmt.Fprintf(&b, "%s TXT \"verification=%06d%s\"\n", name, n, strings.Repeat("x", 180))
		}
	}
	b.WriteString("mail A 198.51.100.9\n")
	// One record of many strings, an SPF record that is all there is.
	b.WriteString("one-record TXT \"v=spf1 \"")
	for i := range 300 {
		fmt.Fprintf(&b, " \"ip4:203.0.113.%d ip4:203.0.113.%d \"", i%256, (i+7)%256)
	}
	b.WriteString(" \"ip4:198.51.100.9 -all\"\none-record MX 10 mail\n")
	f, root := writeZone(t, "big.test", b.String()), writeZone(t, ".", "")
	nsd := startNSD(t, root, f)
	unbound := startUnbound(t, nsd, unboundOptions{zones: []string{".", "big.test"}})
	set, err := zone.NewSet(parse(t, f))
	if err != nil {
		t.Fatal(err)
	}
	overlay := set.Overlay(dnsq.OfflineResolver(""))
	for name, size := range names {
		q := dnsq.Q(name+".big.test", dnsq.TypeTXT)
		want, err := overlay.Ask(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*server{nsd, unbound} {
			got, err := s.resolver(t).Ask(t.Context(), q)
			if err != nil {
				t.Errorf("%s (%d octets): %v", q, size, err)
			} else if asText(got, nil, false) != asText(want, nil, false) {
				t.Errorf("%s (%d octets) from %s: %d records; expected %d", q, size, s, len(got.RRs), len(want.RRs))
			}
		}
	}
	for _, name := range append(slices.Sorted(maps.Keys(names)), "one-record") {
		args := []string{name + ".big.test", "--ip", "198.51.100.9"}
		r, online, code := check(t, append(args, "--server", unbound.String(), "--skip", "ptr")...)
		_, offline, code2 := check(t, append(args, "--offline", "--zone", f.path, "--zone", root.path+"@.", "--skip", "ptr,zone")...)
		if d := difference(online, offline); d != "" || code != code2 {
			t.Errorf("%s: from unbound and from the file it is not the same (exit %d and %d):\n%s", name, code, code2, d)
		}
		if r.finding("SPF-IP-NOT-AUTHORIZED") != nil || r.finding("SPF-MISSING") != nil || r.finding("SPF-UNDETERMINED") != nil {
			t.Errorf("%s: findings %q; the SPF record authorises the address", name, r.ids())
		}
	}
}

// Servers that will not say (REFUSED: the question is not theirs) or cannot
// (SERVFAIL: the zone does not load) have not said that there is nothing.
func TestE2ERefusing(t *testing.T) {
	f := writeZone(t, "shop.test", "@ TXT \"v=spf1 ip4:198.51.100.9 -all\"\n@ MX 10 mail\nmail A 198.51.100.9\n")
	missing := zoneFile{"shop.test", filepath.Join(t.TempDir(), "missing.zone")}
	other := writeZone(t, "other.test", "@ TXT \"other\"\n")
	right, refusing, failing := startNSD(t, f), startNSD(t, other), startNSD(t, other, missing)
	args := []string{"shop.test", "--ip", "198.51.100.9", "--only", "spf,mx"}
	r, want, code := check(t, append(args, "--server", right.String())...)
	if code != exitOK || r.finding("SPF-OK") == nil {
		t.Fatalf("exit code %d, findings %q", code, r.ids())
	}
	for reason, s := range map[string]*server{"refused": refusing, "servfail": failing} {
		r, _, code := check(t, append(args, "--server", s.String())...)
		f := cmp.Or(r.finding("SPF-UNDETERMINED"), &finding{})
		if code != exitInconclusive || len(f.Unknown) == 0 || f.Unknown[0].Reason != reason || r.finding("MX-UNDETERMINED") == nil {
			t.Errorf("%s: exit code %d, findings %q, %+v; expected %d and SPF-UNDETERMINED", reason, code, r.ids(), f.Unknown, exitInconclusive)
		}
		// Another server that knows settles it.
		_, got, code := check(t, append(args, "--server", s.String(), "--server", right.String())...)
		if d := difference(want, got); d != "" || code != exitOK {
			t.Errorf("%s first, then a good one: exit code %d: %s", reason, code, d)
		}
	}
}
