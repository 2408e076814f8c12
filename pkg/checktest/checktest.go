// Package checktest runs a check over its fixtures.
//
// A fixture is a txtar file in the check's testdata folder, one per situation.
// It opens with a sentence on what a naive implementation gets wrong there,
// and goes on with:
//
//	-- target --           one "key: value" a line: domain, ip (repeatable),
//	                       helo, mail-from (<> is the null sender), from,
//	                       selector (repeatable), dkim-domain, dnsbl (a
//	                       blocklist's zone, repeatable), dnsbl-all (yes),
//	                       dnsbl-key (a service, repeatable), server, files
//	                       (yes: the zones are zone files that were given)
//	-- todoku.yaml --      an inventory, in place of target: its first domain is
//	                       the target, its waivers are applied
//	-- message --          in place of target: the mail that the run is about, as
//	                       it lies in a file; "message crlf" writes its lines with
//	                       CR LF, "message base64" decodes it first
//	-- sign --             DKIM signatures that the harness puts on top of the
//	                       mail, one a line: d=DOMAIN s=SELECTOR key=NAME, and
//	                       h=from:to… if not the usual, c=simple/relaxed (relaxed/
//	                       relaxed if not said), i=, l= (octets, or whole), t=, x=
//	                       (seconds since 1970), z=yes, sha1=yes; the record of the
//	                       Ed25519 key NAME is dkimtest.Record(dkimtest.Ed25519(NAME)),
//	                       that of "shop" v=DKIM1; k=ed25519;
//	                       p=uWrsZ2BJgmDJDSiEIkFWhRPNXWlNbQBXc5rd7x9jUGU=; NAME
//	                       rsa-BITS-WORD is dkimtest.RSA(WORD, BITS)
//	-- seal --             ARC sets, one a line: d=, s=, key=, h= and t= as above,
//	                       cv= if not the usual, and at the end of the line
//	                       "results: " with what stands behind "i=1; "
//	-- alter --            what is done to the mail then, one a line: s/…/…/ (a Go
//	                       regular expression over the whole text, (?m) set; \n in
//	                       the replacement is a line end), append LINE (at its end),
//	                       top FIELD (a header field above all others). sign,
//	                       seal and alter can occur several times, each name with
//	                       a number behind it ("alter 2"); they take effect in order
//	-- mail --             what a person says beside the message, "key: value" a
//	                       line: receiver-host (repeatable), ip, helo, mail-from, now,
//	                       forwarded (yes); -- before NAME -- says that records
//	                       are proposed
//	-- todoku.lock --      a lock file, which may lack the target's domain
//	-- private-key --      the DKIM private key of --private-key, PEM
//	-- zone NAME --        a zone file for NAME; "; want ID arg=value" behind a
//	                       record: a finding ID rests on that very record
//	-- before NAME --      the zone NAME before the change that the target's zones
//	                       are; zones without one are the same before
//	-- faults --           one "name TYPE reason" a line, reason as in
//	                       dnsq.Reason: that question gets no answer; -- faults
//	                       before --: it got none before the change
//	-- want --             every finding of the check, one a line, in order:
//	                       "status ID subject arg=value …"
//	-- fixed ID --         the edits of the first fix of that finding, "- " and
//	                       "+ " with a record, the way they are shown; the
//	                       harness writes them (and those of every other
//	                       verified fix) into the text of the zone files and
//	                       demands that the finding goes away
//
// Names outside the fixture's zones fail the test: they never reach a network.
// `go test ./checks/... -update` writes want and fixed anew, for reading.
package checktest

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/todoku-mail/todoku/pkg/arc/arctest"
	"github.com/todoku-mail/todoku/pkg/diag"
	rfc "github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dkim/dkimtest"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/engine"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/gate"
	"github.com/todoku-mail/todoku/pkg/message"
	"github.com/todoku-mail/todoku/pkg/zone"
)

var update = flag.Bool("update", false, "write the want and fixed parts of fixtures anew")

// Clock is the time of every fixture run.
var Clock = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

// A Fixture is one parsed txtar file.
type Fixture struct {
	Path   string
	Story  string // the sentence it opens with
	Target diag.Target
	Zones  []*zone.Zone
	Before []*zone.Zone // zones that were otherwise before a change; nil if none is judged
	Faults map[dnsq.Question]dnsq.Reason
	// FaultsBefore are those of the DNS before the change.
	FaultsBefore map[dnsq.Question]dnsq.Reason
	Want         []string
	Fixed        map[string][]string
	// AnswerOutside: names outside the zones are NXDOMAIN in Report, not a
	// failure of the test. For running checks that a fixture was not made for.
	AnswerOutside bool
	marks         []mark
	archive       *txtar.Archive
	message       *message.Message
	mail          facts.MailOptions
}

type mark struct {
	file string
	line int
	id   string
	args []string
}

// Files lists the fixtures of a folder and of those below it.
func Files(t testing.TB, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".txtar") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(files)
	return files
}

var wantMark = regexp.MustCompile(`;\s*want\s+([A-Z0-9-]+)([^;]*)$`)

// Load reads a fixture.
func Load(path string) (*Fixture, error) {
	ar, err := txtar.ParseFile(path)
	if err != nil {
		return nil, err
	}
	f := &Fixture{Path: path, Story: strings.TrimSpace(string(ar.Comment)), archive: ar,
		Faults: map[dnsq.Question]dnsq.Reason{}, FaultsBefore: map[dnsq.Question]dnsq.Reason{}, Fixed: map[string][]string{}}
	if f.Story == "" {
		return nil, fmt.Errorf("%s: it must open with a sentence on what a naive implementation gets wrong", path)
	}
	hasTarget := false
	var mail []byte
	var steps []txtar.File // what is done to the mail
	for _, file := range ar.Files {
		word, arg, _ := strings.Cut(file.Name, " ")
		lines := lines(file.Data)
		switch word {
		case "target":
			hasTarget = true
			prove := f.Target.ProveKey
			if f.Target, err = parseTarget(lines); err != nil {
				return nil, fmt.Errorf("%s: %v", path, err)
			}
			f.Target.ProveKey = prove
		case "zone":
			z, err := zone.Parse(bytes.NewReader(file.Data), arg, arg)
			if err != nil {
				return nil, fmt.Errorf("%s: %v", path, err)
			}
			f.Zones = append(f.Zones, z)
			for i, l := range strings.Split(string(file.Data), "\n") {
				if m := wantMark.FindStringSubmatch(l); m != nil {
					f.marks = append(f.marks, mark{arg, i + 1, m[1], fields(m[2])})
				}
			}
		case "before":
			z, err := zone.Parse(bytes.NewReader(file.Data), arg+" before", arg)
			if err != nil {
				return nil, fmt.Errorf("%s: %v", path, err)
			}
			f.Before = append(f.Before, z)
		case "todoku.yaml":
			hasTarget = true
			inv, err := gate.Parse(file.Data, file.Name)
			if err != nil {
				return nil, fmt.Errorf("%s: %v", path, err)
			}
			f.Target = inv.Targets()[0]
		case "message":
			data := file.Data
			switch arg {
			case "":
			case "crlf":
				data = bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n"))
			case "base64":
				if data, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(data)), "")); err != nil {
					return nil, fmt.Errorf("%s: message: %v", path, err)
				}
			default:
				return nil, fmt.Errorf("%s: message %q: expected crlf, base64 or nothing", path, arg)
			}
			mail = data
		case "sign", "seal", "alter":
			steps = append(steps, file)
		case "mail":
			if f.mail, err = parseMail(lines); err != nil {
				return nil, fmt.Errorf("%s: %v", path, err)
			}
		case "todoku.lock":
			l, err := gate.ReadLock(file.Data, file.Name)
			if err != nil {
				return nil, fmt.Errorf("%s: %v", path, err)
			}
			f.Target.Lock, f.Target.Inputs = l.Domain(f.Target.Domain), map[diag.Input]bool{diag.LockInput: true}
		case "private-key":
			key := file.Data
			f.Target.ProveKey = func(record string) error { return rfc.CheckPrivateKey(key, record) }
		case "faults":
			for _, l := range lines {
				p := strings.Fields(l)
				if len(p) != 3 {
					return nil, fmt.Errorf("%s: fault %q: expected \"name TYPE reason\"", path, l)
				}
				ty, err := dnsq.ParseType(p[1])
				if err != nil {
					return nil, fmt.Errorf("%s: %v", path, err)
				}
				faults := f.Faults
				if arg == "before" {
					faults = f.FaultsBefore
				}
				faults[dnsq.Q(p[0], ty)] = dnsq.Reason(p[2])
			}
		case "want":
			f.Want = lines
		case "fixed":
			f.Fixed[arg] = lines
		default:
			return nil, fmt.Errorf("%s: unknown part %q", path, file.Name)
		}
	}
	if mail != nil && !hasTarget {
		for _, step := range steps {
			word, _, _ := strings.Cut(step.Name, " ")
			do := map[string]func([]byte, []string) ([]byte, error){"sign": sign, "seal": seal, "alter": alter}[word]
			if mail, err = do(mail, lines(step.Data)); err != nil {
				return nil, fmt.Errorf("%s: %v", path, err)
			}
		}
		if f.message, err = message.Read(bytes.NewReader(mail), "mail.eml", message.Options{}); err != nil {
			return nil, fmt.Errorf("%s: %v", path, err)
		}
		f.mail.Today, f.mail.Records = Clock, f.Before != nil
		f.Target, hasTarget = facts.MailTarget(f.message, f.mail), true
	}
	if !hasTarget {
		return nil, fmt.Errorf("%s: no target", path)
	}
	if f.Before != nil {
		zones := slices.DeleteFunc(slices.Clone(f.Zones), func(z *zone.Zone) bool {
			return slices.ContainsFunc(f.Before, func(b *zone.Zone) bool { return b.Origin == z.Origin })
		})
		if f.Target.Before, err = f.answers(append(zones, f.Before...), f.FaultsBefore, func(dnsq.Question) {}); err != nil {
			return nil, fmt.Errorf("%s: %v", path, err)
		}
	}
	if f.Target.Inputs[diag.ZoneInput] {
		if err := f.lint(); err != nil {
			return nil, fmt.Errorf("%s: %v", path, err)
		}
	}
	return f, nil
}

// lint sets what the text of the zones says.
func (f *Fixture) lint() error {
	set, err := zone.NewSet(f.Zones...)
	if err != nil {
		return err
	}
	f.Target.Zones = zone.Lint(set)
	before, err := zone.NewSet(f.Before...)
	if err != nil {
		return err
	}
	f.Target.Zones.Lints = append(f.Target.Zones.Lints, zone.LintChange(before, set)...)
	return nil
}

func lines(b []byte) []string {
	var out []string
	for l := range strings.Lines(string(b)) {
		if l = strings.TrimRight(l, "\n"); strings.TrimSpace(l) != "" && !strings.HasPrefix(l, "#") {
			out = append(out, l)
		}
	}
	return out
}

// fields splits at spaces, but not inside double quotes.
func fields(s string) []string {
	var out []string
	var cur strings.Builder
	quoted := false
	for _, r := range s {
		switch {
		case r == '"':
			quoted = !quoted
			cur.WriteRune(r)
		case r == ' ' && !quoted:
			if cur.Len() > 0 {
				out = append(out, cur.String())
				cur.Reset()
			}
		default:
			cur.WriteRune(r)
		}
	}
	if cur.Len() > 0 {
		out = append(out, cur.String())
	}
	return out
}

// sign puts DKIM signatures on top of a mail, the last line's topmost.
func sign(mail []byte, lines []string) ([]byte, error) {
	for _, l := range lines {
		s := dkimtest.Signer{Header: rfc.Relaxed, Body: rfc.Relaxed}
		for _, f := range strings.Fields(l) {
			key, val, _ := strings.Cut(f, "=")
			var err error
			switch key {
			case "d":
				s.Domain = val
			case "s":
				s.Selector = val
			case "key":
				s.Key, err = testKey(val)
			case "h":
				s.Names = strings.Split(val, ":")
			case "c":
				head, body, _ := strings.Cut(val, "/")
				s.Header, s.Body = rfc.Canonicalization(head), rfc.Canonicalization(body)
			case "i":
				s.Identity = val
			case "l":
				if s.Length = dkimtest.Whole; val != "whole" {
					s.Length, err = strconv.Atoi(val)
				}
			case "t":
				s.Time, err = strconv.ParseInt(val, 10, 64)
			case "x":
				s.Expires, err = strconv.ParseInt(val, 10, 64)
			case "z":
				s.Copy = val == "yes"
			case "sha1":
				s.SHA1 = val == "yes"
			default:
				err = fmt.Errorf("%q is not known", f)
			}
			if err != nil {
				return nil, fmt.Errorf("sign %q: %v", l, err)
			}
		}
		if s.Key == nil || s.Domain == "" || s.Selector == "" {
			return nil, fmt.Errorf("sign %q: d=, s= and key= are needed", l)
		}
		mail = overWire(mail, s.Sign)
	}
	return mail, nil
}

// seal puts ARC sets on top of a mail, the last line's topmost.
func seal(mail []byte, lines []string) ([]byte, error) {
	for _, l := range lines {
		words, results, _ := strings.Cut(l, " results: ")
		s := arctest.Sealer{Results: results}
		for _, f := range strings.Fields(words) {
			key, val, _ := strings.Cut(f, "=")
			var err error
			switch key {
			case "d":
				s.Domain = val
			case "s":
				s.Selector = val
			case "key":
				s.Key, err = testKey(val)
			case "h":
				s.Names = strings.Split(val, ":")
			case "t":
				s.Time, err = strconv.ParseInt(val, 10, 64)
			case "cv":
				s.Chain = val
			default:
				err = fmt.Errorf("%q is not known", f)
			}
			if err != nil {
				return nil, fmt.Errorf("seal %q: %v", l, err)
			}
		}
		if s.Key == nil || s.Domain == "" || s.Selector == "" {
			return nil, fmt.Errorf("seal %q: d=, s= and key= are needed", l)
		}
		mail = overWire(mail, s.Seal)
	}
	return mail, nil
}

// overWire does something to a mail with CRLF line ends and gives it back with
// those that it had.
func overWire(mail []byte, do func(string) string) []byte {
	wire := do(strings.ReplaceAll(strings.ReplaceAll(string(mail), "\r\n", "\n"), "\n", "\r\n"))
	if !bytes.Contains(mail, []byte("\r\n")) {
		wire = strings.ReplaceAll(wire, "\r\n", "\n")
	}
	return []byte(wire)
}

// testKey is the key of a name: rsa-BITS-WORD, or an Ed25519 key.
func testKey(name string) (crypto.Signer, error) {
	if rest, ok := strings.CutPrefix(name, "rsa-"); ok {
		bits, word, _ := strings.Cut(rest, "-")
		n, err := strconv.Atoi(bits)
		if err != nil || n < 384 || n > 4096 {
			return nil, fmt.Errorf("key=%s: expected rsa-BITS-WORD", name)
		}
		return dkimtest.RSA(word, n), nil
	}
	return dkimtest.Ed25519(name), nil
}

// alter changes a mail.
func alter(mail []byte, lines []string) ([]byte, error) {
	end := "\n"
	if bytes.Contains(mail, []byte("\r\n")) {
		end = "\r\n"
	}
	for _, l := range lines {
		word, rest, _ := strings.Cut(l, " ")
		switch {
		case word == "append":
			mail = append(mail, rest+end...)
		case word == "top":
			mail = append([]byte(rest+end), mail...)
		case strings.HasPrefix(l, "s/"):
			p := strings.Split(l, "/")
			if len(p) != 4 || p[3] != "" {
				return nil, fmt.Errorf("alter %q: expected s/…/…/", l)
			}
			re, err := regexp.Compile("(?m)" + p[1])
			if err != nil {
				return nil, fmt.Errorf("alter %q: %v", l, err)
			}
			if !re.Match(mail) {
				return nil, fmt.Errorf("alter %q: nothing in the mail is like that", l)
			}
			mail = re.ReplaceAll(mail, []byte(strings.ReplaceAll(p[2], `\n`, end)))
		default:
			return nil, fmt.Errorf("alter %q: expected s/…/…/, append or top", l)
		}
	}
	return mail, nil
}

func parseMail(lines []string) (facts.MailOptions, error) {
	var o facts.MailOptions
	for _, l := range lines {
		key, val, ok := strings.Cut(l, ":")
		val = strings.TrimSpace(val)
		var err error
		switch {
		case !ok:
			err = fmt.Errorf("mail line %q: expected \"key: value\"", l)
		case key == "receiver-host":
			o.ReceiverHosts = append(o.ReceiverHosts, val)
		case key == "ip":
			o.Addr, err = netip.ParseAddr(val)
		case key == "helo":
			o.Helo = val
		case key == "mail-from":
			o.MailFrom = val
		case key == "forwarded":
			o.Forwarded = val == "yes"
		case key == "now":
			o.Now, err = time.Parse(time.RFC3339, val)
		default:
			err = fmt.Errorf("mail key %q: expected receiver-host, ip, helo, mail-from, now or forwarded", key)
		}
		if err != nil {
			return o, err
		}
	}
	return o, nil
}

func parseTarget(lines []string) (diag.Target, error) {
	var t diag.Target
	for _, l := range lines {
		key, val, ok := strings.Cut(l, ":")
		val = strings.TrimSpace(val)
		if !ok {
			return t, fmt.Errorf("target line %q: expected \"key: value\"", l)
		}
		switch key {
		case "domain":
			name, err := dnsq.ParseName(val)
			if err != nil {
				return t, err
			}
			t.Domain, t.From, t.MailFrom, t.DKIMDomain = name, name, name, name
		case "ip":
			ip, err := netip.ParseAddr(val)
			if err != nil {
				return t, err
			}
			t.IPs = append(t.IPs, ip)
		case "helo":
			t.Helo = val
		case "mail-from":
			t.MailFrom, t.NullSender = val, val == "<>"
			if t.NullSender {
				t.MailFrom = ""
			}
		case "from":
			t.From = val[strings.LastIndexByte(val, '@')+1:]
		case "selector":
			t.Selectors = append(t.Selectors, val)
		case "dkim-domain":
			t.DKIMDomain = val
		case "dnsbl":
			t.Blocklists.Extra = append(t.Blocklists.Extra, val)
		case "dnsbl-all":
			t.Blocklists.All = val == "yes"
		case "dnsbl-key":
			t.Blocklists.Keyed = append(t.Blocklists.Keyed, val)
		case "server":
			t.Blocklists.Server = val
		case "files":
			t.Inputs = map[diag.Input]bool{diag.ZoneInput: val == "yes"}
		default:
			return t, fmt.Errorf("target key %q: expected domain, ip, helo, mail-from, from, selector, dkim-domain, dnsbl, dnsbl-all, dnsbl-key, server or files", key)
		}
	}
	if t.Domain == "" {
		return t, fmt.Errorf("target has no domain")
	}
	return t, nil
}

// Resolver answers from the fixture's zones and faults. A question outside
// them is reported to outside, and answered as offline.
func (f *Fixture) Resolver(outside func(dnsq.Question)) (dnsq.Resolver, error) {
	return f.answers(f.Zones, f.Faults, outside)
}

func (f *Fixture) answers(zones []*zone.Zone, faults map[dnsq.Question]dnsq.Reason, outside func(dnsq.Question)) (dnsq.Resolver, error) {
	set, err := zone.NewSet(zones...)
	if err != nil {
		return nil, err
	}
	over := set.Overlay(dnsq.ResolverFunc(func(_ context.Context, q dnsq.Question) (*dnsq.Answer, error) {
		if f.AnswerOutside {
			return &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain, Source: dnsq.SourceZone}, nil
		}
		outside(q)
		return nil, &dnsq.Error{Question: q, Reason: dnsq.Offline, Detail: "not in the fixture"}
	}))
	return dnsq.ResolverFunc(func(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
		if r, ok := faults[q]; ok {
			return nil, &dnsq.Error{Question: q, Reason: r, Server: "192.0.2.53:53"}
		}
		return over.Ask(ctx, q)
	}), nil
}

// Run runs check over every fixture below dir, beside others whose findings are
// not compared: what a check that reviews them is about.
func Run(t *testing.T, check *diag.Check, dir string, beside ...*diag.Check) {
	t.Helper()
	files := Files(t, dir)
	if len(files) == 0 {
		t.Fatalf("no fixtures in %s", dir)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) { runOne(t, check, path, beside) })
	}
}

func runOne(t *testing.T, check *diag.Check, path string, beside []*diag.Check) {
	f, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	rep, cfg := f.Report(t, append([]*diag.Check{check}, beside...)...)
	i := slices.IndexFunc(rep.Checks, func(c diag.CheckReport) bool { return c.Check == check })
	if i < 0 {
		t.Fatal("the check did not run: has the fixture the input that it needs?")
	}
	cr := &rep.Checks[i]
	if cr.Panic != "" {
		t.Fatalf("the check crashed: %s", cr.Panic)
	}
	var got []string
	for i := range cr.Findings {
		got = append(got, Line(&cr.Findings[i]))
	}
	fixed := map[string][]string{}
	for i := range cr.Findings {
		fd := &cr.Findings[i]
		for k, x := range fd.Fixes {
			if _, ok := fixed[fd.Kind.ID]; k == 0 && !ok {
				fixed[fd.Kind.ID] = EditLines(x.Edits)
				if !x.Verified {
					fixed[fd.Kind.ID] = append([]string{"not verified: " + strings.Join(x.Unverified, " ")}, fixed[fd.Kind.ID]...)
				}
			}
			if !x.Verified {
				continue
			}
			// The engine laid the edits over the answers; make sure with the files
			// themselves, edited as text and read again.
			after, err := f.Edited(x.Edits)
			if err != nil {
				t.Errorf("%s: %v", fd.Kind.ID, err)
				continue
			}
			c := cfg
			c.Resolver = after.resolver(t)
			again := engine.Run(t.Context(), c, after.Target)
			for i := range again.Checks {
				for j := range again.Checks[i].Findings {
					if again.Checks[i].Findings[j].Fingerprint() == fd.Fingerprint() {
						t.Errorf("%s is still there after its fix was written into the zone files:\n%s", fd.Kind.ID, strings.Join(EditLines(x.Edits), "\n"))
					}
				}
			}
		}
	}
	// Where a finding rests is written by hand: -update holds it too.
	for _, m := range f.marks {
		if check.Kind(m.id) == nil {
			continue // a mark for another check that reads the same fixture
		}
		if err := m.met(cr.Findings); err != nil {
			t.Errorf("%s:%d: %v", m.file, m.line, err)
		}
	}
	if *update {
		rewrite(t, f, got, fixed)
		return
	}
	if d := cmp.Diff(f.Want, got); d != "" {
		t.Errorf("findings (-want +got):\n%s", d)
	}
	if d := cmp.Diff(f.Fixed, fixed); d != "" {
		t.Errorf("fixes (-want +got):\n%s", d)
	}
}

// resolver is Resolver with a cache; what it is asked outside the zones fails
// the test.
func (f *Fixture) resolver(t testing.TB) dnsq.Resolver {
	t.Helper()
	var mu sync.Mutex
	r, err := f.Resolver(func(q dnsq.Question) {
		mu.Lock()
		defer mu.Unlock()
		t.Errorf("asked for %s, which is in no zone of the fixture", q)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dnsq.NewCache(t.Context(), r)
}

// Edited is the fixture with edits made in the text of its zones. An edit that
// cannot be made is an error.
func (f *Fixture) Edited(edits []diag.Edit) (*Fixture, error) {
	set, err := zone.NewSet(f.Zones...)
	if err != nil {
		return nil, err
	}
	ed := set.Edit(edits, time.Time{})
	for _, u := range ed.Unplaced {
		return nil, fmt.Errorf("the edit cannot be written into a zone file: %s (%s): %s", u.Why, u.Detail, strings.Join(EditLines([]diag.Edit{u.Edit}), " "))
	}
	out := *f
	out.Zones = ed.Set.Zones()
	return &out, out.lint()
}

// Report runs the check, with the engine and its verification, over the fixture.
func (f *Fixture) Report(t testing.TB, checks ...*diag.Check) (*diag.Report, engine.Config) {
	t.Helper()
	ctx := t.Context()
	cfg := engine.Config{Checks: checks, Resolver: f.resolver(t), Now: func() time.Time { return Clock }, Version: "test"}
	rep := engine.Run(ctx, cfg, f.Target)
	engine.Verify(ctx, cfg, rep)
	gate.Apply([]*diag.Report{rep}, true, Clock)
	engine.Review(ctx, cfg, rep)
	return rep, cfg
}

func (m mark) met(fs []diag.Finding) error {
	var seen []string
	for i := range fs {
		if fs[i].Kind.ID != m.id {
			continue
		}
		for _, e := range fs[i].Evidence {
			seen = append(seen, fmt.Sprintf("%s:%d", e.File, e.Line))
			if e.File == m.file && e.Line == m.line {
				have := " " + strings.Join(argList(&fs[i]), " ") + " "
				ok := true
				for _, a := range m.args {
					ok = ok && strings.Contains(have, " "+a+" ")
				}
				if ok {
					return nil
				}
			}
		}
	}
	return fmt.Errorf("no finding %s %s rests on this record (its evidence: %s)", m.id, strings.Join(m.args, " "), strings.Join(seen, ", "))
}

// Line is a finding as fixtures write it.
func Line(f *diag.Finding) string {
	return strings.Join(append([]string{f.Kind.Status.String(), f.Kind.ID, f.Subject}, argList(f)...), " ")
}

func argList(f *diag.Finding) []string {
	var out []string
	for _, name := range f.Kind.Args { // in the order of the Kind
		v := ""
		switch x := f.Args[name].(type) {
		case []string:
			v = strings.Join(x, ",")
		default:
			v = fmt.Sprint(x)
		}
		if v == "" || strings.ContainsAny(v, " \"\n") {
			v = fmt.Sprintf("%q", v)
		}
		out = append(out, name+"="+v)
	}
	return out
}

// EditLines shows edits as fixtures write them.
func EditLines(edits []diag.Edit) []string {
	var out []string
	for _, e := range edits {
		if e.Old != "" {
			out = append(out, fmt.Sprintf("- %s %s %s", e.Name, e.Type, e.Old))
		}
		if e.New != "" {
			out = append(out, fmt.Sprintf("+ %s %s %s", e.Name, e.Type, e.New))
		}
	}
	return out
}

func rewrite(t *testing.T, f *Fixture, got []string, fixed map[string][]string) {
	var keep []txtar.File
	for _, file := range f.archive.Files {
		if w, _, _ := strings.Cut(file.Name, " "); w != "want" && w != "fixed" {
			keep = append(keep, file)
		}
	}
	keep = append(keep, txtar.File{Name: "want", Data: []byte(strings.Join(got, "\n") + "\n")})
	ids := make([]string, 0, len(fixed))
	for id := range fixed {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	for _, id := range ids {
		keep = append(keep, txtar.File{Name: "fixed " + id, Data: []byte(strings.Join(fixed[id], "\n") + "\n")})
	}
	f.archive.Files = keep
	if err := os.WriteFile(f.Path, txtar.Format(f.archive), 0o644); err != nil {
		t.Fatal(err)
	}
}
