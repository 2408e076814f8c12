//go:build e2e

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Mail as it really is: signed by opendkim in a postfix that sends it, taken by a
// postfix and an opendkim that judge it, delivered into a maildir, and read from
// there. Keys come from nsd. The wire between the two is the test, which can play
// mailing list or forwarder; the address that a mail is said to come from is given
// to postfix with XCLIENT.

// A daemon is a server of the mail tests.
func daemon(t *testing.T, at netip.AddrPort, name string, argv ...string) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(program(t, name), argv...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait()
	})
	listening(t, at, func() string { return out.String() })
}

// listening waits until something takes connections.
func listening(t *testing.T, at netip.AddrPort, log func() string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond) // between two tries
	defer tick.Stop()
	late := time.After(readyIn)
	for {
		c, err := net.Dial("tcp", at.String())
		if err == nil {
			c.Close()
			return
		}
		select {
		case <-late:
			t.Fatalf("%s: %v\n%s", at, err, log())
		case <-tick.C:
		}
	}
}

// openDKIM runs one that signs with a key for shop.test, or judges what comes in.
func openDKIM(t *testing.T, key, resolver string) netip.AddrPort {
	t.Helper()
	dir, at := t.TempDir(), ports(t, 1)[0]
	var b strings.Builder
	fmt.Fprintf(&b, "Background no\nSyslog no\nSocket inet:%d@127.0.0.1\nCanonicalization relaxed/simple\nSubDomains no\n", at.Port())
	if key != "" {
		// Diagnostics: copies of the signed fields in z=.
		fmt.Fprintf(&b, "Mode s\nDomain shop.test\nSelector od\nKeyFile %s\nDiagnostics yes\nRequireSafeKeys no\nInternalHosts 0.0.0.0/0\nOversignHeaders From\n", key)
	} else {
		fmt.Fprintf(&b, "Mode v\nAuthservID mx.customer.test\nResolverConfiguration %s\nDNSTimeout 5\n", resolver)
	}
	writeFile(t, filepath.Join(dir, "opendkim.conf"), b.String())
	daemon(t, at, "opendkim", "-f", "-x", filepath.Join(dir, "opendkim.conf"))
	return at
}

// A mailSystem is a postfix with two doors: one for the shop, whose mail is signed
// and goes to the wire; one of the customer's MX, whose mail is judged and delivered.
type mailSystem struct {
	shop, mx netip.AddrPort
	wire     net.Listener
	box, log string
}

func startPostfix(t *testing.T, signer, verifier netip.AddrPort) *mailSystem {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("postfix starts as root alone: run the test as root")
	}
	// Its processes are users of their own: the test's folders keep them out.
	dir, err := os.MkdirTemp("/tmp", "todoku-postfix-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	wire, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { wire.Close() })
	at := ports(t, 2)
	m := &mailSystem{shop: at[0], mx: at[1], wire: wire, box: filepath.Join(dir, "mail", "box"), log: filepath.Join(dir, "log")}
	for _, d := range []string{"conf", "queue", "data", "mail"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tool(t, dir, "chown", "postfix", filepath.Join(dir, "data"))
	tool(t, dir, "chown", "nobody", filepath.Join(dir, "mail"))
	conf := filepath.Join(dir, "conf")
	nobody := strings.TrimSpace(tool(t, dir, "id", "-u", "nobody"))
	writeFile(t, filepath.Join(conf, "main.cf"), fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.shop.test
mydestination =
alias_maps =
alias_database =
smtpd_peername_lookup = no
smtpd_authorized_xclient_hosts = 127.0.0.1
mynetworks = 0.0.0.0/0
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
disable_dns_lookups = yes
relayhost = [127.0.0.1]:%[2]d
smtp_tls_security_level = none
virtual_mailbox_domains = inbox.test
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:%[3]s
virtual_gid_maps = static:%[3]s
milter_default_action = tempfail
milter_protocol = 6
`, dir, wire.Addr().(*net.TCPAddr).Port, nobody))
	writeFile(t, filepath.Join(conf, "master.cf"), fmt.Sprintf(`%[1]s inet n - n - - smtpd
  -o smtpd_milters=inet:%[3]s
%[2]s inet n - n - - smtpd
  -o myhostname=mx.customer.test
  -o smtpd_milters=inet:%[4]s
  -o cleanup_service_name=inbox
cleanup unix n - n - 0 cleanup
inbox unix n - n - 0 cleanup
  -o myhostname=mx.customer.test
  -o virtual_alias_maps=static:box@inbox.test
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
flush unix n - n 1000? 0 flush
showq unix n - n - - showq
postlog unix-dgram n - n - 1 postlogd
`, at[0], at[1], hostPort(signer), hostPort(verifier)))
	start := exec.Command(program(t, "postfix"), "-c", conf, "start")
	if out, err := start.CombinedOutput(); err != nil {
		t.Fatalf("postfix start: %v\n%s%s", err, out, m.logged())
	}
	t.Cleanup(func() { _ = exec.Command(program(t, "postfix"), "-c", conf, "stop").Run() })
	for _, p := range at {
		listening(t, p, m.logged)
	}
	return m
}

func hostPort(a netip.AddrPort) string { return fmt.Sprintf("127.0.0.1:%d", a.Port()) }

func (m *mailSystem) logged() string {
	b, _ := os.ReadFile(m.log)
	return string(b)
}

// send hands a mail to a door, as the client at an address with a name, which is its
// HELO too. An invalid address is the test itself.
func (m *mailSystem) send(t *testing.T, door netip.AddrPort, client netip.Addr, name, from, mail string) {
	t.Helper()
	conn, err := net.Dial("tcp", door.String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(readyIn))
	c := textproto.NewConn(conn)
	defer c.Close()
	say := func(expect int, format string, args ...any) {
		t.Helper()
		if format != "" {
			if _, err := c.Cmd(format, args...); err != nil {
				t.Fatal(err)
			}
		}
		if _, msg, err := c.ReadResponse(expect); err != nil {
			t.Fatalf("%s: %v %s\n%s", format, err, msg, m.logged())
		}
	}
	say(220, "")
	say(250, "EHLO test")
	if client.IsValid() {
		say(220, "XCLIENT ADDR=%s NAME=%s HELO=%s", client, name, name)
		say(250, "EHLO %s", name)
	}
	say(250, "MAIL FROM:<%s> BODY=8BITMIME", from)
	say(250, "RCPT TO:<taro@customer.test>")
	say(354, "DATA")
	w := c.DotWriter()
	if _, err := io.WriteString(w, mail); err != nil {
		t.Fatal(err)
	}
	w.Close()
	say(250, "")
	say(221, "QUIT")
}

// receive takes one mail from the wire, byte for byte. Without eightBit the server
// takes no 8-bit text, and postfix writes the mail anew.
func (m *mailSystem) receive(t *testing.T, eightBit bool) string {
	t.Helper()
	_ = m.wire.(*net.TCPListener).SetDeadline(time.Now().Add(readyIn))
	conn, err := m.wire.Accept()
	if err != nil {
		t.Fatalf("nothing comes over the wire: %v\n%s", err, m.logged())
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(readyIn))
	c := textproto.NewConn(conn)
	say := func(s string) {
		if err := c.PrintfLine("%s", s); err != nil {
			t.Fatal(err)
		}
	}
	say("220 wire.test ESMTP")
	mail := ""
	for {
		line, err := c.ReadLine()
		if err != nil {
			t.Fatalf("the wire: %v\n%s", err, m.logged())
		}
		switch verb := strings.ToUpper(strings.Fields(line + " x")[0]); verb {
		case "EHLO":
			if eightBit {
				say("250-wire.test")
				say("250 8BITMIME")
				continue
			}
			say("250 wire.test")
		case "DATA":
			say("354 go on")
			b, err := c.ReadDotBytes()
			if err != nil {
				t.Fatal(err)
			}
			mail = strings.ReplaceAll(string(b), "\n", "\r\n")
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return mail
		default:
			say("250 ok")
		}
	}
}

// delivered waits for the next mail in the box, and takes it out.
func (m *mailSystem) delivered(t *testing.T) string {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond) // between two looks
	defer tick.Stop()
	late := time.After(readyIn)
	for {
		files, _ := filepath.Glob(filepath.Join(m.box, "new", "*"))
		if len(files) > 0 {
			b, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(files[0]); err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		select {
		case <-late:
			t.Fatalf("the mail does not arrive:\n%s", m.logged())
		case <-tick.C:
		}
	}
}

// A mailVerdict is what todoku message says, as far as the tests look.
type mailVerdict struct {
	*report
	dmarc struct{ Result string }
	ids   []struct{ Method, Domain, Result string }
	said  struct {
		By, SPF, DKIM, DMARC string
		Agrees               *bool
		Fields               []struct {
			WrittenBy string `json:"written_by"`
		}
	}
	result map[string]string // of spf and each signature's domain
}

// judgeMail runs todoku message.
func judgeMail(t *testing.T, mail string, args ...string) *mailVerdict {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mail.eml")
	writeFile(t, file, mail)
	var out, errs bytes.Buffer
	runWith(t, &out, &errs, append([]string{"message", file, "-o", "json", "--receiver-host", "customer.test", "--skip", "dnsbl"}, args...)...)
	r, _, err := decode(out.Bytes())
	if err != nil {
		t.Fatalf("%v: %s\n%s", err, errs.String(), mail)
	}
	v := &mailVerdict{report: r, result: map[string]string{}}
	for _, c := range r.Checks {
		switch c.Check {
		case "dmarc":
			var d struct {
				Result      string
				Identifiers []struct{ Method, Domain, Result string }
			}
			if err := json.Unmarshal(c.Data, &d); err != nil {
				t.Fatal(err)
			}
			v.dmarc.Result, v.ids = d.Result, d.Identifiers
		case "claims":
			if err := json.Unmarshal(c.Data, &v.said); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, id := range v.ids {
		v.result[id.Method+" "+id.Domain] = id.Result
	}
	return v
}

const orderMail = "From: Shop =?utf-8?q?B=C3=BCcher?= <order@shop.test>\r\n" +
	"To: Taro <taro@customer.test>\r\n" +
	"Subject: Your order\r\n" +
	"Date: %s\r\n" +
	"Message-ID: <1@shop.test>\r\n" +
	"MIME-Version: 1.0\r\n" +
	"Content-Type: text/plain; charset=utf-8\r\n" +
	"Content-Transfer-Encoding: 8bit\r\n" +
	"\r\n" +
	"Danke für Ihre Bestellung. ありがとうございます。\r\n" +
	"\r\n" +
	"-- \r\n" +
	"Shop\r\n"

func TestE2EMail(t *testing.T) {
	dir := t.TempDir()
	tool(t, dir, "opendkim-genkey", "-b", "2048", "-d", "shop.test", "-s", "od", "-D", dir)
	record, err := os.ReadFile(filepath.Join(dir, "od.txt"))
	if err != nil {
		t.Fatal(err)
	}
	arcKey, arcRecord := rsaKey(t, dir)
	const server, forwarder = "192.0.2.25", "198.51.100.7"
	shop := writeZone(t, "shop.test", "@ TXT \"v=spf1 ip4:"+server+" -all\"\n@ MX 10 mail\nmail A "+server+"\n"+
		"_dmarc TXT \"v=DMARC1; p=reject; rua=mailto:d@shop.test\"\n"+string(record))
	lists := writeZone(t, "lists.test", "@ MX 10 mail\nmail A "+forwarder+"\narc1._domainkey TXT "+arcRecord+"\n")
	root := writeZone(t, ".", "")
	nsd := startNSD(t, root, shop, lists)
	unbound := startUnbound(t, nsd, unboundOptions{zones: []string{".", "shop.test", "lists.test"}})
	dns := []string{"--server", unbound.String()}

	// opendkim asks by libunbound, which is told to ask the same nsd.
	resolver := filepath.Join(dir, "resolver.conf")
	writeFile(t, resolver, fmt.Sprintf("server:\n  do-not-query-localhost: no\n  module-config: \"iterator\"\n  local-zone: \"test.\" nodefault\n"+
		"stub-zone:\n  name: \"shop.test.\"\n  stub-addr: 127.0.0.1@%d\nstub-zone:\n  name: \".\"\n  stub-addr: 127.0.0.1@%[1]d\n", nsd.udp.Port()))
	m := startPostfix(t, openDKIM(t, filepath.Join(dir, "od.private"), ""), openDKIM(t, "", resolver))
	shopAddr, listAddr := netip.MustParseAddr(server), netip.MustParseAddr(forwarder)
	sign := func(eightBit bool) string {
		t.Helper()
		m.send(t, m.shop, netip.Addr{}, "", "order@shop.test", fmt.Sprintf(orderMail, time.Now().Format(time.RFC1123Z)))
		wire := m.receive(t, eightBit)
		if !strings.Contains(wire, "DKIM-Signature:") || !strings.Contains(wire, "z=") {
			t.Fatalf("opendkim did not sign, or without copies:\n%s%s", wire, m.logged())
		}
		return wire
	}
	take := func(client netip.Addr, name, mail string) string {
		t.Helper()
		m.send(t, m.mx, client, name, "order@shop.test", mail)
		return m.delivered(t)
	}
	wire := sign(true)
	header, body, _ := strings.Cut(wire, "\r\n\r\n")

	for _, tt := range []struct {
		name             string
		client           netip.Addr
		helo, mail       string
		spf, dkim, dmarc string
		id, signature    string
	}{
		{"as delivered", shopAddr, "mail.shop.test", wire, "pass", "pass", "pass", "DMARC-MESSAGE-PASS", "SIGNATURE-OK"},
		{"a footer added by a list", listAddr, "mail.lists.test", header + "\r\n\r\n" + body + "_______________\r\nshop mailing list\r\n", "fail", "fail", "fail", "DMARC-MESSAGE-FAIL", "SIGNATURE-FOOTER-ADDED"},
		{"a tag in the subject", listAddr, "mail.lists.test", strings.Replace(wire, "Subject: ", "Subject: [shop] ", 1), "fail", "fail", "fail", "DMARC-MESSAGE-FAIL", "SIGNATURE-SUBJECT-TAGGED"},
		{"forwarded as it is", listAddr, "mail.lists.test", wire, "fail", "pass", "pass", "DMARC-MESSAGE-PASS", "SIGNATURE-OK"},
		{"8bit written anew by postfix", shopAddr, "mail.shop.test", sign(false), "pass", "fail", "pass", "DMARC-MESSAGE-PASS", "SIGNATURE-RECODED"},
	} {
		mail := take(tt.client, tt.helo, tt.mail)
		if strings.Contains(tt.name, "anew") && !strings.Contains(mail, "quoted-printable") {
			t.Errorf("%s: postfix did not write it anew:\n%s", tt.name, mail)
		}
		v := judgeMail(t, mail, dns...)
		if v.result["spf shop.test"] != tt.spf || v.result["dkim shop.test"] != tt.dkim || v.dmarc.Result != tt.dmarc || v.finding(tt.id) == nil || v.finding(tt.signature) == nil {
			t.Errorf("%s: %v, DMARC %s; expected SPF %s, DKIM %s, DMARC %s, %s and %s; findings %q\n%s", tt.name, v.result, v.dmarc.Result, tt.spf, tt.dkim, tt.dmarc, tt.id, tt.signature, v.report.ids(), mail)
		}
		// The real opendkim of the receiver found the same of the signature.
		if v.said.By != "mx.customer.test" || v.said.Agrees == nil || !*v.said.Agrees || v.finding("CLAIMS-AGREE") == nil ||
			(v.said.DKIM == "pass") != (tt.dkim == "pass") {
			t.Errorf("%s: opendkim said %+v; findings %q\n%s", tt.name, v.said, v.report.ids(), mail)
		}
		// And forwarded once more it survives if the signature does.
		want := "WHATIF-FORWARD-FAILS"
		if tt.dkim == "pass" {
			want = "WHATIF-FORWARD-PASSES"
		}
		if v := judgeMail(t, mail, append(dns, "--forwarded")...); v.finding(want) == nil {
			t.Errorf("%s, forwarded: no %s in %q", tt.name, want, v.report.ids())
		}
	}

	// ARC sets sealed by two other implementations, one upon the other.
	claims := "Authentication-Results: mail.lists.test; spf=pass smtp.mailfrom=order@shop.test; arc=none\r\n"
	perl := sealed(t, dir, "perl", []string{"-MMail::DKIM::ARC::Signer", "-e", perlSeal, arcKey}, claims+wire)
	// dkimpy takes the state of the chain so far from the field.
	twice := sealed(t, dir, "arcsign", []string{"arc1", "lists.test", arcKey, "mail2.lists.test"},
		"Authentication-Results: mail2.lists.test; spf=pass smtp.mailfrom=order@shop.test; arc=pass\r\n"+perl)
	for _, tt := range []struct {
		name, mail string
		sets       int
	}{
		{"Mail::DKIM", perl, 1},
		{"dkimpy", sealed(t, dir, "arcsign", []string{"arc1", "lists.test", arcKey, "mail.lists.test"}, claims+wire), 1},
		{"Mail::DKIM, then dkimpy", twice, 2},
	} {
		v := judgeMail(t, take(listAddr, "mail.lists.test", tt.mail), dns...)
		if n := vouched(v); n != tt.sets || v.dmarc.Result != "pass" || v.finding("ARC-PASS") == nil {
			t.Errorf("%s: %d sets whose seals hold, expected %d; DMARC %s; findings %q\n%s", tt.name, n, tt.sets, v.dmarc.Result, v.report.ids(), tt.mail)
		}
		broken := strings.Replace(tt.mail, "Danke", "danke", 1)
		v = judgeMail(t, take(listAddr, "mail.lists.test", broken), dns...)
		if n := vouched(v); n != 0 || v.finding("ARC-CHANGED") == nil {
			t.Errorf("%s: %d sets hold although the body was changed; findings %q", tt.name, n, v.report.ids())
		}
	}
}

// vouched counts the fields that a valid chain covers.
func vouched(v *mailVerdict) int {
	n := 0
	for _, c := range v.report.Checks {
		if c.Check != "claims" {
			continue
		}
		var d struct{ Fields []struct{ Sealed string } }
		if json.Unmarshal(c.Data, &d) == nil {
			for _, f := range d.Fields {
				if f.Sealed == "lists.test" {
					n++
				}
			}
		}
	}
	return n
}

// rsaKey makes a key without the tools of DKIM, and its record.
func rsaKey(t *testing.T, dir string) (file, record string) {
	t.Helper()
	tool(t, dir, "opendkim-genkey", "-b", "2048", "-d", "lists.test", "-s", "arc1", "-D", dir)
	b, err := os.ReadFile(filepath.Join(dir, "arc1.txt"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	return filepath.Join(dir, "arc1.private"), text[strings.IndexByte(text, '(') : strings.IndexByte(text, ')')+1]
}

const perlSeal = `my $mail = do { local $/; <STDIN> };
my $s = Mail::DKIM::ARC::Signer->new(Algorithm => "rsa-sha256", Chain => "ar", Domain => "lists.test", SrvId => "mail.lists.test",
  Selector => "arc1", KeyFile => $ARGV[0], Headers => "From:To:Subject:Date:Message-ID");
$s->PRINT($mail); $s->CLOSE;
die $s->{details} if $s->{result} ne "sealed";
print join("\r\n", $s->as_strings), "\r\n", $mail;`

// sealed runs a program that puts an ARC set on top of a mail.
func sealed(t *testing.T, dir, name string, args []string, mail string) string {
	t.Helper()
	cmd := exec.Command(program(t, name), args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(mail)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "ARC-Seal:") {
		t.Fatalf("%s: %v\n%s", name, err, errs.String())
	}
	return strings.ReplaceAll(strings.ReplaceAll(string(out), "\r\n", "\n"), "\n", "\r\n")
}
