//go:build e2e

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// The servers of the end-to-end tests: a real nsd that is authoritative for
// the zones of a test, and a real unbound that validates and asks that nsd for
// everything, the root included. Each lives in a folder of the test, listens on
// a free port of 127.0.0.1 and ends with the test.
//
// No question can leave the machine: unbound has a stub for ".", and it may
// send from 127.0.0.1 only, whence nothing is routed outside.
//
// Linux only (Pdeathsig): it is what the CI runs.

// readyIn is how long a server may take until it answers; loading takes well
// under a second.
const readyIn = 20 * time.Second

// program is the path of a server or tool. A missing one fails the test: an
// end-to-end test that is skipped proves nothing.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, at := range []string{name, "/usr/sbin/" + name, "/sbin/" + name} {
		if path, err := exec.LookPath(at); err == nil {
			return path
		}
	}
	pkg := name
	switch {
	case strings.HasPrefix(name, "ldns-"):
		pkg = "ldnsutils"
	case strings.HasPrefix(name, "opendkim-"):
		pkg = "opendkim-tools"
	case name == "arcsign":
		pkg = "python3-dkim python3-authres"
	}
	t.Fatalf("%s is not installed: apt-get install %s (.ci/run does)", name, pkg)
	return ""
}

// A server is a process that answers DNS questions on loopback.
type server struct {
	udp      netip.AddrPort // and TCP
	tls, doh netip.AddrPort // unbound with a certificate

	cmd    *exec.Cmd
	exited chan struct{}
}

// String is the server as --server takes it.
func (s *server) String() string { return s.udp.String() }

// resolver asks the server, with retries and without a cache.
func (s *server) resolver(t *testing.T) dnsq.Resolver {
	t.Helper()
	sh, err := dnsq.NewShared(dnsq.Options{Servers: []dnsq.Server{{Net: dnsq.UDP, Addr: s.udp}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sh.Close() })
	return sh
}

// signal sends sig to the server and its children.
func (s *server) signal(sig syscall.Signal) { _ = syscall.Kill(-s.cmd.Process.Pid, sig) }

// kill ends the server at once, in the middle of whatever it does.
func (s *server) kill() {
	s.signal(syscall.SIGKILL)
	<-s.exited
}

// stop ends the server in good order, or by force if it takes its time.
func (s *server) stop() {
	s.signal(syscall.SIGCONT)
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it ends its children itself
	select {
	case <-s.exited:
		s.signal(syscall.SIGKILL) // children that it left behind
	case <-time.After(5 * time.Second):
		s.kill()
	}
}

// ports are n different ports of 127.0.0.1 that are free for UDP and TCP.
func ports(t *testing.T, n int) []netip.AddrPort {
	t.Helper()
	var out []netip.AddrPort
	for try := 0; len(out) < n && try < 100; try++ {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // held until all are found, so that they differ
		c, err := net.ListenPacket("udp4", l.Addr().String())
		if err != nil {
			continue
		}
		defer c.Close()
		out = append(out, netip.MustParseAddrPort(l.Addr().String()))
	}
	if len(out) < n {
		t.Fatal("no free ports on 127.0.0.1")
	}
	return out
}

// start runs a server until the test ends. configure writes its configuration
// for some free ports and says how to run it, probe is a question that it
// answers as soon as it is ready. Somebody else may take a port between the
// search and the start: the server then ends at once, and others are tried.
func start(t *testing.T, n int, probe dnsq.Question, configure func(at []netip.AddrPort) (argv []string, log string)) (*server, []netip.AddrPort) {
	t.Helper()
	for try := 1; ; try++ {
		at := ports(t, n)
		argv, log := configure(at)
		s := &server{udp: at[0], exited: make(chan struct{})}
		var out bytes.Buffer
		s.cmd = exec.Command(argv[0], argv[1:]...)
		s.cmd.Stdout, s.cmd.Stderr = &out, &out
		// A group of its own to signal as a whole; and it ends if the tests crash.
		s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
		if err := s.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() {
			_ = s.cmd.Wait()
			close(s.exited)
		}()
		err := s.ready(t, probe)
		if err == nil {
			t.Cleanup(s.stop)
			return s, at
		}
		s.stop()
		text, _ := os.ReadFile(log)
		if try < 3 && strings.Contains(out.String()+string(text), "in use") {
			continue
		}
		t.Fatalf("%s: %v\n%s%s", filepath.Base(argv[0]), err, out.String(), text)
	}
}

// ready asks until the server answers.
func (s *server) ready(t *testing.T, probe dnsq.Question) error {
	ctx, cancel := context.WithTimeout(t.Context(), readyIn)
	defer cancel()
	x := dnsq.NewExchange(dnsq.Server{Net: dnsq.UDP, Addr: s.udp}, dnsq.ExchangeOptions{})
	defer x.Close()
	tick := time.NewTicker(10 * time.Millisecond) // between two questions
	defer tick.Stop()
	for {
		once, stop := context.WithTimeout(ctx, 500*time.Millisecond)
		_, err := x.Ask(once, probe)
		stop()
		if err == nil {
			return nil
		}
		select {
		case <-s.exited:
			return errors.New("it ended instead of starting")
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", err)
		case <-tick.C:
		}
	}
}

// A zoneFile is a zone to be served: its origin, with the final dot only for
// the root, and where its file is.
type zoneFile struct{ origin, path string }

func (z zoneFile) fqdn() string { return strings.TrimSuffix(z.origin, ".") + "." }

// writeZone writes a zone of this text, with $ORIGIN, $TTL, SOA and NS before
// it, into a folder of the test. The name server's own name does not exist: a
// resolver that wanted to follow it would find nobody to ask.
func writeZone(t *testing.T, origin, text string) zoneFile {
	t.Helper()
	z := zoneFile{origin, filepath.Join(t.TempDir(), strings.Trim(origin, ".")+".zone")}
	head := fmt.Sprintf("$ORIGIN %s\n$TTL 300\n@ 600 IN SOA ns.e2e.invalid. hostmaster.e2e.invalid. 1 3600 600 86400 120\n@ IN NS ns.e2e.invalid.\n", z.fqdn())
	if err := os.WriteFile(z.path, []byte(head+text), 0o644); err != nil {
		t.Fatal(err)
	}
	return z
}

// startNSD serves zones. One without a path is configured and never loads: nsd
// answers SERVFAIL for it, and REFUSED for what is in none of them.
func startNSD(t *testing.T, zones ...zoneFile) *server {
	t.Helper()
	nsd, dir := program(t, "nsd"), t.TempDir()
	conf, log := filepath.Join(dir, "nsd.conf"), filepath.Join(dir, "nsd.log")
	s, _ := start(t, 1, dnsq.Q(zones[0].origin, dnsq.TypeSOA), func(at []netip.AddrPort) ([]string, string) {
		var b strings.Builder
		// Without the two limits nsd stops answering a tester after 200
		// answers a second.
		fmt.Fprintf(&b, `server:
  ip-address: 127.0.0.1@%d
  username: ""
  chroot: ""
  zonesdir: "%[2]s"
  pidfile: "%[2]s/nsd.pid"
  database: ""
  zonelistfile: "%[2]s/zone.list"
  xfrdfile: "%[2]s/xfrd.state"
  xfrdir: "%[2]s"
  logfile: "%[2]s/nsd.log"
  server-count: 1
  tcp-count: 200
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
remote-control:
  control-enable: no
`, at[0].Port(), dir)
		for _, z := range zones {
			fmt.Fprintf(&b, "zone:\n  name: \"%s\"\n  zonefile: \"%s\"\n", z.fqdn(), z.path)
		}
		writeFile(t, conf, b.String())
		return []string{nsd, "-d", "-c", conf}, log
	})
	return s
}

// unboundOptions are what the tests vary.
type unboundOptions struct {
	zones   []string     // that the nsd serves, "." among them
	anchors []string     // trust anchors: DNSKEY records
	cert    *certificate // for DNS over TLS and HTTPS; nil: neither
}

// startUnbound puts a validating resolver in front of auth.
func startUnbound(t *testing.T, auth *server, o unboundOptions) *server {
	t.Helper()
	unbound, dir := program(t, "unbound"), t.TempDir()
	conf, log := filepath.Join(dir, "unbound.conf"), filepath.Join(dir, "unbound.log")
	writeFile(t, filepath.Join(dir, "anchors"), strings.Join(o.anchors, "\n")+"\n")
	s, at := start(t, 3, dnsq.Q(".", dnsq.TypeSOA), func(at []netip.AddrPort) ([]string, string) {
		var b strings.Builder
		fmt.Fprintf(&b, `server:
  interface: 127.0.0.1@%d
  port: %[1]d
  outgoing-interface: 127.0.0.1
  do-ip6: no
  do-daemonize: no
  do-not-query-localhost: no
  access-control: 127.0.0.0/8 allow
  username: ""
  chroot: ""
  directory: "%[2]s"
  pidfile: "%[2]s/unbound.pid"
  logfile: "%[2]s/unbound.log"
  use-syslog: no
  num-threads: 1
  module-config: "validator iterator"
  trust-anchor-file: "%[2]s/anchors"
  ede: yes
  rrset-roundrobin: yes
  val-log-level: 2
`, at[0].Port(), dir)
		// Zones that unbound would answer out of its own head.
		for _, z := range []string{"test.", "invalid.", "localhost.", "10.in-addr.arpa.", "2.0.192.in-addr.arpa.", "127.in-addr.arpa."} {
			fmt.Fprintf(&b, "  local-zone: %q nodefault\n", z)
		}
		if o.cert != nil {
			fmt.Fprintf(&b, "  interface: 127.0.0.1@%d\n  tls-port: %[1]d\n  interface: 127.0.0.1@%[2]d\n  https-port: %[2]d\n"+
				"  tls-service-pem: %[3]q\n  tls-service-key: %[4]q\n", at[1].Port(), at[2].Port(), o.cert.pem, o.cert.key)
		}
		b.WriteString("remote-control:\n  control-enable: no\n")
		for _, z := range o.zones {
			fmt.Fprintf(&b, "stub-zone:\n  name: %q\n  stub-addr: 127.0.0.1@%d\n", zoneFile{origin: z}.fqdn(), auth.udp.Port())
		}
		writeFile(t, conf, b.String())
		return []string{unbound, "-d", "-c", conf}, log
	})
	s.tls, s.doh = at[1], at[2]
	return s
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tool runs a program in dir and returns what it prints.
func tool(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program(t, name), args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// sign signs a zone with new keys, for the time from .. until from now, and
// returns the signed zone and its trust anchor. options are ldns-signzone's:
// "-n" for NSEC3.
func sign(t *testing.T, z zoneFile, from, until time.Duration, options ...string) (zoneFile, string) {
	t.Helper()
	dir := filepath.Dir(z.path)
	key := func(options ...string) string {
		lines := strings.Fields(tool(t, dir, "ldns-keygen", append(options, "-r", "/dev/urandom", "-a", "ECDSAP256SHA256", z.origin)...))
		return lines[len(lines)-1]
	}
	ksk, zsk := key("-k"), key()
	const form = "20060102150405"
	now := time.Now().UTC()
	signed := zoneFile{z.origin, z.path + ".signed"}
	args := append(slices.Clone(options), "-i", now.Add(from).Format(form), "-e", now.Add(until).Format(form),
		"-o", z.fqdn(), "-f", signed.path, z.path, ksk, zsk)
	tool(t, dir, "ldns-signzone", args...)
	anchor, err := os.ReadFile(filepath.Join(dir, ksk+".key"))
	if err != nil {
		t.Fatal(err)
	}
	return signed, strings.TrimSpace(string(anchor))
}

// tamper changes a zone file behind its signer's back. A change that changes
// nothing fails the test.
func tamper(t *testing.T, z zoneFile, change func(lines []string) []string) {
	t.Helper()
	b, err := os.ReadFile(z.path)
	if err != nil {
		t.Fatal(err)
	}
	old := strings.Split(string(b), "\n")
	after := change(slices.Clone(old))
	if slices.Equal(old, after) {
		t.Fatalf("%s: nothing was tampered with", z.origin)
	}
	writeFile(t, z.path, strings.Join(after, "\n"))
}

// A certificate for dns.test and 127.0.0.1 that nobody but the test trusts.
type certificate struct{ pem, key string }

func newCertificate(t *testing.T) *certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "dns.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"dns.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := &certificate{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	writeFile(t, c.pem, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeFile(t, c.key, string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})))
	return c
}
