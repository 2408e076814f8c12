//go:build e2e

package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/todoku-mail/todoku/checks/dnsbl"
	"github.com/todoku-mail/todoku/pkg/checktest"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/engine"
)

// A real rbldnsd, the server that most blocklists run on, poses as the lists
// that todoku knows and as some of one's own.

// test entries as RFC 5782 §5 has them, in the forms of rbldnsd's data sets. The
// first line of each is what entries answer that say nothing else.
const (
	tests4  = ":127.0.0.2:listed $\n127.0.0.2\n"
	tests6  = ":127.0.0.2:listed $\n::ffff:127.0.0.2/128\n"
	everyV4 = ":127.0.0.2:listed $\n0.0.0.0/1\n128.0.0.0/1\n"
	nobody4 = ":127.0.0.2:listed $\n203.0.113.1\n"
)

// rbldnsd runs one for data sets: "zone:type" and their contents.
func rbldnsd(t *testing.T, sets [][2]string) *server {
	t.Helper()
	dir := t.TempDir()
	bin := program(t, "rbldnsd")
	argv := []string{bin, "-n", "-q", "-f", "-e", "-t", "60"}
	if os.Getuid() == 0 {
		// It will not run as root, and nobody has to be let into the test's folder.
		argv = append(argv, "-u", "nobody")
		for _, d := range []string{dir, filepath.Dir(dir)} {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	var specs []string
	for i, s := range sets {
		file := fmt.Sprintf("set%d", i)
		if err := os.WriteFile(filepath.Join(dir, file), []byte(s[1]), 0o644); err != nil {
			t.Fatal(err)
		}
		specs = append(specs, s[0]+":"+file)
	}
	srv, _ := start(t, 1, dnsq.Q("2.0.0.127.zen.spamhaus.org", dnsq.TypeA), func(at []netip.AddrPort) ([]string, string) {
		a := append([]string{}, argv...)
		a = append(a, "-b", fmt.Sprintf("%s/%d", at[0].Addr(), at[0].Port()), "-w", dir)
		return append(a, specs...), ""
	})
	return srv
}

// usual are the lists that are asked by default, healthy and empty, but for
// those that the test brings itself.
func usual(own ...[2]string) [][2]string {
	out := own
	for _, s := range [][2]string{
		{"zen.spamhaus.org:ip4set", ":127.0.0.2:listed $\n127.0.0.2\n"},
		{"zen.spamhaus.org:ip6trie", tests6},
		{"dbl.spamhaus.org:dnset", ":127.0.1.2:https://check.example/$\ntest\n"},
		{"bl.spamcop.net:ip4set", tests4},
		{"psbl.surriel.com:ip4tset", tests4},
		{"bl.mailspike.net:ip4trie", tests4},
		{"bl.spameatingmonkey.net:ip4set", tests4},
		{"multi.uribl.com:dnset", ":127.0.0.14:uribl\ntest.uribl.com\n"},
		{"multi.surbl.org:dnset", ":127.0.0.254:surbl\ntest.surbl.org\n"},
	} {
		mine := false
		for _, o := range own {
			mine = mine || o[0] == s[0]
		}
		if !mine {
			out = append(out, s)
		}
	}
	return out
}

// everybody is an acl that does the same to all who ask.
func everybody(what string) string { return "0.0.0.0/0 " + what + "\n::/0 " + what + "\n" }

func TestE2EBlocklists(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sets  [][2]string
		ips   []string
		extra []string
		want  []string
	}{
		{
			name: "healthy and clean", sets: usual(), ips: []string{"192.0.2.25", "2001:db8::25"},
			want: []string{"pass DNSBL-CLEAN shop.example names=192.0.2.25,2001:db8::25,shop.example answered=9 asked=9 ip4=5/5 ip6=1/1 domain=3/3"},
		}, {
			name: "listed in every kind of set",
			sets: usual(
				[2]string{"zen.spamhaus.org:ip4set", ":127.0.0.2:listed $\n127.0.0.2\n192.0.2.0/24 :127.0.0.4:https://check.example/query/ip/$\n"},
				[2]string{"zen.spamhaus.org:ip6trie", ":127.0.0.2:listed $\n::ffff:127.0.0.2/128\n2001:db8::/64 :127.0.0.3:https://check.example/query/ip/$\n"},
				[2]string{"dbl.spamhaus.org:dnset", ":127.0.1.2:https://check.example/$\ntest\n.shop.example :127.0.1.104:https://check.example/query/domain/$\n"}),
			ips: []string{"192.0.2.25", "2001:db8::25"},
			want: []string{
				"fail DNSBL-LISTED 192.0.2.25 list=zen.spamhaus.org kind=xbl codes=127.0.0.4 says=https://check.example/query/ip/192.0.2.25 page=https://check.spamhaus.org/ advice=xbl",
				"fail DNSBL-LISTED 2001:db8::25 list=zen.spamhaus.org kind=css codes=127.0.0.3 says=https://check.example/query/ip/2001:db8::25 page=https://check.spamhaus.org/ advice=css",
				"warn DNSBL-DOMAIN-ABUSED shop.example list=dbl.spamhaus.org kind=abused-phish codes=127.0.1.104 says=https://check.example/query/domain/shop.example page=https://check.spamhaus.org/",
			},
		}, {
			// The server answers every question of ours with a code, as Spamhaus
			// does to public resolvers.
			name: "refuses by code",
			sets: append(usual(), [2]string{"bl.spamcop.net:acl", everybody(":127.255.255.254:Error: open resolver")}),
			ips:  []string{"192.0.2.25"},
			want: []string{
				"inconclusive DNSBL-REFUSED shop.example lists=bl.spamcop.net reasons=refused resolver=own",
				"pass DNSBL-CLEAN shop.example names=192.0.2.25,shop.example answered=7 asked=8 ip4=4/5 ip6=none domain=3/3",
			},
		}, {
			name: "refuses by RCODE", sets: append(usual(), [2]string{"bl.spamcop.net:acl", everybody(":refuse")}), ips: []string{"192.0.2.25"},
			want: []string{
				"inconclusive DNSBL-UNDETERMINED 192.0.2.25 question=bl.spamcop.net reason=refused",
				"inconclusive DNSBL-CLEAN-SO-FAR shop.example names=192.0.2.25 answered=7 asked=8 ip4=4/5 ip6=none domain=3/3",
				"pass DNSBL-CLEAN shop.example names=shop.example answered=7 asked=8 ip4=4/5 ip6=none domain=3/3",
			},
		}, {
			name: "does not reply", sets: append(usual(), [2]string{"psbl.surriel.com:acl", everybody(":ignore")}), ips: []string{"192.0.2.25"},
			want: []string{
				"inconclusive DNSBL-UNDETERMINED 192.0.2.25 question=psbl.surriel.com reason=timeout",
				"inconclusive DNSBL-CLEAN-SO-FAR shop.example names=192.0.2.25 answered=7 asked=8 ip4=4/5 ip6=none domain=3/3",
				"pass DNSBL-CLEAN shop.example names=shop.example answered=7 asked=8 ip4=4/5 ip6=none domain=3/3",
			},
		}, {
			name: "says that it is empty", sets: append(usual(), [2]string{"psbl.surriel.com:acl", everybody(":empty")}), ips: []string{"192.0.2.25"},
			want: []string{
				"inconclusive DNSBL-UNHEALTHY shop.example lists=psbl.surriel.com fault=silent",
				"pass DNSBL-CLEAN shop.example names=192.0.2.25,shop.example answered=7 asked=8 ip4=4/5 ip6=none domain=3/3",
			},
		}, {
			name: "lists the world",
			sets: usual([2]string{"bl.mailspike.net:ip4trie", everyV4}, [2]string{"multi.surbl.org:dnset", ":127.0.0.64:surbl\n.com\n.org\n.example\n"}),
			ips:  []string{"192.0.2.25"},
			want: []string{
				"inconclusive DNSBL-UNHEALTHY shop.example lists=bl.mailspike.net,multi.surbl.org fault=lists-everything",
				"pass DNSBL-CLEAN shop.example names=192.0.2.25,shop.example answered=6 asked=8 ip4=4/5 ip6=none domain=2/3",
			},
		}, {
			name: "without test entries", sets: usual([2]string{"bl.spameatingmonkey.net:ip4set", nobody4}), ips: []string{"192.0.2.25"},
			want: []string{
				"inconclusive DNSBL-UNHEALTHY shop.example lists=bl.spameatingmonkey.net fault=silent",
				"pass DNSBL-CLEAN shop.example names=192.0.2.25,shop.example answered=7 asked=8 ip4=4/5 ip6=none domain=3/3",
			},
		}, {
			name: "a parked zone", sets: usual([2]string{"bl.spamcop.net:ip4set", ":203.0.113.80:for sale\n0.0.0.0/1\n128.0.0.0/1\n"}), ips: []string{"192.0.2.25"},
			want: []string{
				"inconclusive DNSBL-UNHEALTHY shop.example lists=bl.spamcop.net fault=parked",
				"pass DNSBL-CLEAN shop.example names=192.0.2.25,shop.example answered=7 asked=8 ip4=4/5 ip6=none domain=3/3",
			},
		}, {
			name: "lists of one's own, whose kinds they show by their test entries",
			sets: usual(
				[2]string{"bl.corp.example:ip4set", ":127.0.0.9:seen by $\n127.0.0.2\n192.0.2.25\n"},
				[2]string{"bl.corp.example:ip6trie", ":127.0.0.9:seen\n::ffff:127.0.0.2/128\n"},
				[2]string{"dom.corp.example:dnset", ":127.0.0.2:seen\ntest\n"}),
			ips: []string{"192.0.2.25", "2001:db8::25"}, extra: []string{"bl.corp.example", "dom.corp.example:domain"},
			want: []string{
				`warn DNSBL-LISTED-SECONDARY 192.0.2.25 list=bl.corp.example kind=listed codes=127.0.0.9 says="seen by 192.0.2.25" page=none advice=own`,
				"pass DNSBL-CLEAN shop.example names=2001:db8::25,shop.example answered=12 asked=12 ip4=6/6 ip6=2/2 domain=4/4",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := rbldnsd(t, tt.sets)
			tg := diag.Target{Domain: "shop.example", From: "shop.example", MailFrom: "shop.example", DKIMDomain: "shop.example"}
			for _, ip := range tt.ips {
				tg.IPs = append(tg.IPs, netip.MustParseAddr(ip))
			}
			tg.Blocklists.Extra = tt.extra
			// What the server is not authoritative for, reverse names among it, does
			// not exist: it would refuse.
			r := srv.resolver(t)
			world := dnsq.ResolverFunc(func(ctx context.Context, q dnsq.Question) (*dnsq.Answer, error) {
				if strings.HasSuffix(q.Name, ".arpa") {
					return &dnsq.Answer{Question: q, Outcome: dnsq.NXDomain}, nil
				}
				return r.Ask(ctx, q)
			})
			rep := engine.Run(t.Context(), engine.Config{Checks: []*diag.Check{dnsbl.Check}, Resolver: dnsq.NewCache(t.Context(), world), Now: time.Now}, tg)
			var got []string
			for i := range rep.Checks[0].Findings {
				got = append(got, checktest.Line(&rep.Checks[0].Findings[i]))
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("findings (-want +got):\n%s", d)
			}
			if n := rep.Decisive()[diag.Inconclusive]; n != 0 || len(rep.Trouble) != 0 || rep.Broken() {
				t.Errorf("%d inconclusive findings count, %d questions of trouble, %s", n, len(rep.Trouble), rep.Checks[0].Panic)
			}
		})
	}
}
