package dnsq

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// The transports of a [Server].
const (
	UDP   = "udp"   // RFC 1035 §4.2.1, with TCP to the same server when a reply is truncated
	TCP   = "tcp"   // RFC 7766
	TLS   = "tls"   // DNS over TLS, RFC 7858
	HTTPS = "https" // DNS over HTTPS, RFC 8484
)

// A Server is one DNS server and how it is spoken to. [ParseServer] makes one.
type Server struct {
	Net  string         // UDP, TCP, TLS or HTTPS
	Addr netip.AddrPort // where it is; not valid for an HTTPS server that has only a host name
	// Name is what the certificate must be for: the host name of TLS and
	// HTTPS servers. "" with a valid Addr: the address itself (an IP SAN).
	Name string
	Port uint16 // HTTPS without Addr: the port
	Path string // HTTPS: the path and query of the URL
}

// String is the server in the form that [ParseServer] reads, and the Server
// field of answers and errors: "192.0.2.53:53", "tls://dns.example@192.0.2.53:853".
func (s Server) String() string {
	at := ""
	if s.Name != "" {
		at = s.Name + "@"
	}
	switch s.Net {
	case UDP, "":
		return s.Addr.String()
	case TCP:
		return "tcp://" + s.Addr.String()
	case TLS:
		return "tls://" + at + s.Addr.String()
	}
	if s.Addr.IsValid() {
		return "https://" + at + s.Addr.String() + s.Path
	}
	if s.Port != 443 {
		return "https://" + s.Name + ":" + strconv.Itoa(int(s.Port)) + s.Path
	}
	return "https://" + s.Name + s.Path
}

const serverForms = "ip[:port], [v6]:port, tcp://ip[:port], tls://[name@]ip[:port] or https://host[:port]/path"

// ParseServer reads a server as people give it:
//
//	192.0.2.53   192.0.2.53:5353   2001:db8::53   [2001:db8::53]:5353
//	udp://ip[:port]            the same
//	tcp://ip[:port]            TCP only
//	tls://name@ip[:port]       DNS over TLS, certificate for name; port 853
//	tls://ip[:port]            DNS over TLS, certificate for the address
//	https://host[:port]/path   DNS over HTTPS; the system finds the host's address
//	https://name@ip[:port]/path  the same at a given address, certificate for name
//
// Without a path, https means /dns-query, the path that RFC 8484 uses in its
// examples and that servers in fact have. The error is one line that names the
// value and says what was expected.
func ParseServer(s string) (Server, error) {
	fail := func(why string) (Server, error) {
		return Server{}, fmt.Errorf("%q is not a DNS server: %s; expected %s", s, why, serverForms)
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = UDP, s
	}
	if rest == "" {
		return fail("it is empty")
	}
	switch scheme {
	case UDP, TCP:
		ap, err := parseAddrPort(rest, 53)
		if err != nil {
			return fail(err.Error())
		}
		return Server{Net: scheme, Addr: ap}, nil
	case TLS:
		name, host, named := strings.Cut(rest, "@")
		if !named {
			name, host = "", rest
		}
		ap, err := parseAddrPort(host, 853)
		if err != nil {
			return fail(err.Error())
		}
		if named {
			if name, err = parseHost(name); err != nil {
				return fail("the name before the @ is not a host name")
			}
		}
		return Server{Net: TLS, Addr: ap, Name: name}, nil
	case HTTPS:
		return parseHTTPS(rest, fail)
	}
	return fail(fmt.Sprintf("%q is not a transport that todoku knows", scheme))
}

func parseHTTPS(rest string, fail func(string) (Server, error)) (Server, error) {
	host, path := rest, "/dns-query"
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	u, err := url.Parse("https://localhost" + path)
	if err != nil || u.Host != "localhost" || u.Fragment != "" || strings.HasSuffix(path, "#") {
		return fail("its path cannot be read")
	}
	if path = u.RequestURI(); path == "/" && !strings.HasSuffix(rest, "/") {
		path = "/dns-query"
	}
	srv := Server{Net: HTTPS, Path: path}
	if name, addr, ok := strings.Cut(host, "@"); ok {
		if srv.Addr, err = parseAddrPort(addr, 443); err != nil {
			return fail(err.Error())
		}
		if srv.Name, err = parseHost(name); err != nil {
			return fail("the name before the @ is not a host name")
		}
		return srv, nil
	}
	if srv.Addr, err = parseAddrPort(host, 443); err == nil {
		return srv, nil
	}
	srv.Addr = netip.AddrPort{}
	name, port, ok := strings.Cut(host, ":")
	srv.Port = 443
	if ok {
		if srv.Port, err = parsePort(port); err != nil {
			return fail(err.Error())
		}
	}
	if srv.Name, err = parseHost(name); err != nil {
		return fail("its host is neither a name nor an address")
	}
	return srv, nil
}

// parseHost is ParseName without the people who type an address where a name goes.
func parseHost(s string) (string, error) {
	n, err := ParseName(s)
	if err != nil {
		return "", err
	}
	// A last label of digits alone is a misspelt address, never a host name
	// (RFC 1123 §2.1).
	last := n[strings.LastIndexByte(n, '.')+1:]
	if strings.Trim(last, "0123456789") == "" {
		return "", errors.New("a mistyped address")
	}
	return n, nil
}

func parseAddrPort(s string, port uint16) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, port), nil
	}
	if n := len(s); n > 2 && s[0] == '[' && s[n-1] == ']' {
		if a, err := netip.ParseAddr(s[1 : n-1]); err == nil && a.Is6() {
			return netip.AddrPortFrom(a, port), nil
		}
	}
	ap, err := netip.ParseAddrPort(s)
	switch {
	case err == nil && ap.Port() == 0:
		return netip.AddrPort{}, errors.New("port 0 cannot be asked")
	case err == nil:
		return ap, nil
	}
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		if _, err := netip.ParseAddr(strings.Trim(s[:i], "[]")); err == nil {
			if _, err := parsePort(s[i+1:]); err != nil {
				return netip.AddrPort{}, err
			}
		}
	}
	return netip.AddrPort{}, errors.New("it is not an IP address")
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a port (1 to 65535)", s)
	}
	return uint16(n), nil
}

const resolvConf = "/etc/resolv.conf"

// SystemServers are the servers of /etc/resolv.conf, in its order, at most
// three as in libc (MAXNS). Search lists, ndots and all other options are
// ignored: names here are absolute.
//
// No RFC covers the file. Where it is missing or names no server, libc asks the
// local machine (resolv.conf(5)), and so do we. On Windows there is no such
// file: the error says to give a server.
func SystemServers() ([]Server, error) {
	if runtime.GOOS == "windows" {
		return nil, errors.New("the system's DNS servers cannot be found out on Windows: give one with --server")
	}
	f, err := os.Open(resolvConf)
	if errors.Is(err, os.ErrNotExist) {
		return readResolvConf(strings.NewReader(""))
	}
	if err != nil {
		return nil, fmt.Errorf("the system's DNS servers cannot be read: %w: give one with --server", err)
	}
	defer f.Close()
	s, err := readResolvConf(f)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w: give a server with --server", resolvConf, err)
	}
	return s, nil
}

func readResolvConf(r io.Reader) ([]Server, error) {
	const maxServers, maxFile = 3, 1 << 20
	var out []Server
	sc := bufio.NewScanner(io.LimitReader(r, maxFile))
	for sc.Scan() && len(out) < maxServers {
		// A keyword starts in the first column; ';' and '#' there are comments.
		f := strings.Fields(sc.Text())
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		// libc skips a value that is not an address without a word. So do we:
		// refusing to run because of a line that everything else on the machine
		// ignores helps nobody.
		if a, err := netip.ParseAddr(f[1]); err == nil {
			out = append(out, Server{Net: UDP, Addr: netip.AddrPortFrom(a, 53)})
		}
	}
	if err := sc.Err(); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		out = []Server{{Net: UDP, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 53)}}
	}
	return out, nil
}
