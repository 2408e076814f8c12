// Package ptr checks the reverse DNS of each sending address: that it has a
// name, that the name leads back to the address, and that the name and the
// HELO look like those of a mail server.
package ptr

import (
	"context"
	"embed"
	"net/netip"
	"slices"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/orgdomain"
)

//go:embed doc.*.md
var docs embed.FS

// What the check can find.
var (
	missing = &diag.Kind{ID: "PTR-MISSING", Status: diag.Fail, Owner: diag.Provider, Since: "0.1",
		Args: []string{"name"}, Refs: []diag.Ref{diag.RFC(1912, "2.1"), facts.Gmail}}
	notConfirmed = &diag.Kind{ID: "PTR-NOT-CONFIRMED", Status: diag.Fail, Owner: diag.DNSAdmin, Since: "0.1",
		Args: []string{"names", "addresses"}, Refs: []diag.Ref{diag.RFC(8601, "3"), diag.RFC(1912, "2.1"), facts.Gmail}}
	looksGeneric = &diag.Kind{ID: "PTR-GENERIC", Status: diag.Warn, Owner: diag.Provider, Since: "0.1",
		Args: []string{"name", "part"}, Refs: []diag.Ref{facts.Yahoo, diag.RFC(1912, "2.1")}}
	tooMany = &diag.Kind{ID: "PTR-TOO-MANY", Status: diag.Warn, Owner: diag.Provider, Since: "0.1",
		Args: []string{"count"}, Refs: []diag.Ref{diag.RFC(7208, "5.5")}}
	notPublic = &diag.Kind{ID: "PTR-IP-NOT-PUBLIC", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(6890, "2.2"), diag.RFC(6303, "4")}}
	heloInvalid = &diag.Kind{ID: "PTR-HELO-INVALID", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.1",
		Args: []string{"helo"}, Refs: []diag.Ref{diag.RFC(5321, "2.3.5"), diag.RFC(5321, "4.1.1.1")}}
	heloUnresolvable = &diag.Kind{ID: "PTR-HELO-UNRESOLVABLE", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.1",
		Args: []string{"helo"}, Refs: []diag.Ref{diag.RFC(5321, "2.3.5")}}
	heloMismatch = &diag.Kind{ID: "PTR-HELO-MISMATCH", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.1",
		Args: []string{"helo", "addresses"}, Refs: []diag.Ref{diag.RFC(5321, "4.1.4"), diag.RFC(1912, "2.1")}}
	ok = &diag.Kind{ID: "PTR-OK", Status: diag.Pass, Since: "0.1",
		Args: []string{"names"}, Refs: []diag.Ref{diag.RFC(8601, "3")}}
	skipped = &diag.Kind{ID: "PTR-SKIPPED", Status: diag.Skip, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(1912, "2.1")}}
	undetermined = &diag.Kind{ID: "PTR-UNDETERMINED", Status: diag.Inconclusive, Owner: diag.Provider, Since: "0.1",
		Args: []string{"question", "reason"}, Key: []string{"question"}, Refs: []diag.Ref{diag.RFC(1912, "2.1")}}
)

// Check is the ptr check. Each address is judged on its own, v4 and v6 alike.
var Check = &diag.Check{
	Name: "ptr",
	Docs: docs,
	Kinds: []*diag.Kind{missing, notConfirmed, undetermined, notPublic, looksGeneric, tooMany,
		heloInvalid, heloUnresolvable, heloMismatch, ok, skipped},
	Needs:        diag.Needs{IP: true},
	Uses:         diag.Doors{DNS: true},
	Requires:     []diag.AnyFact{facts.Reverse, facts.Host},
	Run:          run,
	Undetermined: undetermined,
}

// Data are the check's facts for machines.
type Data struct {
	ByIP []IPData `json:"by_ip"`
}

// IPData are the names of one address.
type IPData struct {
	IP        string   `json:"ip"`
	Names     []string `json:"names"`
	Confirmed []string `json:"confirmed"`
	// Helo says what became of the HELO name: "match", "mismatch",
	// "unresolvable", "invalid", "unknown", or "" if none was given.
	Helo string `json:"helo"`
}

func run(ctx context.Context, j *diag.Job) error {
	data := Data{ByIP: []IPData{}}
	if len(j.Target.IPs) == 0 {
		j.Report(diag.Finding{Kind: skipped, Subject: j.Target.Domain, Args: diag.Args{}})
		j.SetData(data)
		return nil
	}
	for _, ip := range j.Target.IPs { // all at once; then each is waited for
		if facts.Public(ip) {
			facts.Reverse.Start(j.World, ip.Unmap())
		}
	}
	if name, ok := heloName(j.Target); ok {
		facts.Host.Start(j.World, name)
	}
	for _, ip := range j.Target.IPs {
		ip = ip.Unmap()
		d := IPData{IP: ip.String(), Names: []string{}, Confirmed: []string{}}
		judge(ctx, j, ip, &d)
		if j.Target.Helo != "" {
			d.Helo = judgeHelo(ctx, j, ip)
		}
		data.ByIP = append(data.ByIP, d)
	}
	j.SetData(data)
	return nil
}

func judge(ctx context.Context, j *diag.Job, ip netip.Addr, d *IPData) {
	subject := ip.String()
	if !facts.Public(ip) {
		// RFC 6303 §4: resolvers answer for private reverse zones themselves, so
		// what they say about such an address says nothing about the sender.
		j.Report(diag.Finding{Kind: notPublic, Subject: subject, Args: diag.Args{}})
		return
	}
	r, err := facts.Reverse.Of(ctx, j.World, ip)
	if err != nil {
		undecided(j, subject, dnsq.AsError(dnsq.Q(dnsq.ReverseName(ip), dnsq.TypePTR), err))
		return
	}
	if r.Answer.Outcome != dnsq.Found {
		j.Report(diag.Finding{Kind: missing, Subject: subject, Args: diag.Args{"name": dnsq.ReverseName(ip)}})
		return
	}
	d.Names = r.All()
	// More names than a receiver looks at: it may stop before the right one.
	if r.Total > 10 {
		j.Report(diag.Finding{Kind: tooMany, Subject: subject, Args: diag.Args{"count": r.Total}})
	}
	confirmed := r.Confirmed()
	if len(confirmed) == 0 {
		// One name that leads back would be enough, so while any of them is
		// unknown nothing is proved.
		if u := r.Unknown(); len(u) > 0 {
			undecided(j, subject, u...)
			return
		}
		if r.Total > facts.MaxReverseNames {
			return // not all were looked at: PTR-TOO-MANY has said so
		}
		j.Report(diag.Finding{Kind: notConfirmed, Subject: subject,
			Args: diag.Args{"names": r.All(), "addresses": addresses(r)}, Evidence: evidence(r, r.All()), Fixes: confirmFix(j.Target, r, ip)})
		return
	}
	d.Confirmed = confirmed
	// A receiver takes whichever name it meets first; one good name is enough.
	if sign, part, name := genericAll(confirmed, ip); sign != "" {
		// … so while a good one is unknown, the address may have one.
		good := false
		for _, e := range r.Unknown() {
			if s, _ := generic(e.Name, ip); s == "" {
				undecided(j, subject, e)
				good = true
			}
		}
		if good {
			return
		}
		j.Report(diag.Finding{Kind: looksGeneric, Subject: subject, Args: diag.Args{"name": name, "part": part},
			Evidence: mark(evidence(r, []string{name}), part)})
		return
	}
	j.Report(diag.Finding{Kind: ok, Subject: subject, Args: diag.Args{"names": confirmed}, Evidence: evidence(r, confirmed)})
}

// genericAll says why all the names look generic, by the first of them; sign
// is "" if one does not.
func genericAll(names []string, ip netip.Addr) (sign, part, name string) {
	for _, n := range names {
		s, p := generic(n, ip)
		if s == "" {
			return "", "", ""
		}
		if sign == "" {
			sign, part, name = s, p, n
		}
	}
	return sign, part, name
}

// heloName is the HELO name, if it is a full host name.
func heloName(t *diag.Target) (string, bool) {
	name, err := dnsq.ParseName(t.Helo)
	return name, err == nil && strings.Contains(name, ".")
}

// judgeHelo looks whether the HELO name leads to the address. It need not
// equal the reverse name: RFC 5321 §4.1.4 forbids to refuse mail for that, and
// large senders use one HELO for many addresses.
func judgeHelo(ctx context.Context, j *diag.Job, ip netip.Addr) string {
	helo := j.Target.Helo
	name, ok := heloName(j.Target)
	if !ok {
		if j.Target.IPs[0].Unmap() == ip { // the same for every address: said once
			j.Report(diag.Finding{Kind: heloInvalid, Subject: helo, Args: diag.Args{"helo": helo}})
		}
		return "invalid"
	}
	h, _ := facts.Host.Of(ctx, j.World, name)
	if h == nil {
		undecided(j, ip.String(), &dnsq.Error{Question: dnsq.Q(name, dnsq.TypeA), Reason: dnsq.OverDue})
		return "unknown"
	}
	all := h.All()
	if slices.Contains(all, ip) {
		return "match"
	}
	if u := h.Unknown(); len(u) > 0 {
		// The address could be in the half that was not learnt: A for an IPv4
		// sender, AAAA for an IPv6 one. The other half does not matter for a
		// match, but "no address at all" needs both.
		needed := h.AErr
		if ip.Is6() {
			needed = h.A6Err
		}
		if needed != nil || len(all) == 0 {
			undecided(j, ip.String(), u...)
			return "unknown"
		}
	}
	if len(all) == 0 {
		if j.Target.IPs[0].Unmap() == ip { // the same for every address: said once
			j.Report(diag.Finding{Kind: heloUnresolvable, Subject: name, Args: diag.Args{"helo": name}})
		}
		return "unresolvable"
	}
	j.Report(diag.Finding{Kind: heloMismatch, Subject: ip.String(), Args: diag.Args{"helo": name, "addresses": texts(all)}})
	return "mismatch"
}

func undecided(j *diag.Job, subject string, errs ...*dnsq.Error) {
	for _, e := range errs {
		j.Report(diag.Finding{Kind: undetermined, Subject: subject,
			Args: diag.Args{"question": e.Question.String(), "reason": string(e.Reason)}, Unknown: []*dnsq.Error{e}})
	}
}

func evidence(r *facts.ReverseNames, names []string) []diag.Evidence {
	var out []diag.Evidence
	for i := range r.Names {
		if n := &r.Names[i]; slices.Contains(names, n.Name) {
			out = append(out, facts.Evidence(n.RR, n.Name+".", 0, 0))
		}
	}
	return out
}

// mark points the evidence at a part of its text.
func mark(es []diag.Evidence, part string) []diag.Evidence {
	for i := range es {
		if at := strings.Index(es[i].Text, part); at >= 0 {
			es[i].Offset, es[i].Length = at, len(part)
		}
	}
	return es
}

// addresses are what the names lead to instead; empty if to nothing.
func addresses(r *facts.ReverseNames) []string {
	out := []string{}
	for i := range r.Names {
		if a := r.Names[i].Answer; a != nil {
			for k := range a.RRs {
				if s := a.RRs[k].Addr.String(); !slices.Contains(out, s) {
					out = append(out, s)
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// confirmFix publishes the missing forward record, where the name has none and
// is ours: a name that leads elsewhere may rightly do so, and only its owner can
// decide. A name of somebody else (the provider's own, "localhost", the root)
// is not ours to publish; there the reverse name has to change.
func confirmFix(t *diag.Target, r *facts.ReverseNames, ip netip.Addr) []diag.Fix {
	if fix := dotFix(r, ip); fix != nil {
		return fix
	}
	if len(r.Names) != 1 || !own(t, r.Names[0].Name) || r.Names[0].Answer == nil || r.Names[0].Answer.Outcome == dnsq.Found || len(r.Names[0].Answer.Chain) > 0 {
		return nil
	}
	typ := "A"
	if ip.Is6() {
		typ = "AAAA"
	}
	return []diag.Fix{{Owner: diag.DNSAdmin, Edits: []diag.Edit{{Name: r.Names[0].Name, Type: typ, New: ip.String()}}}}
}

// own reports whether a name is below the registered domain of the sender.
func own(t *diag.Target, name string) bool {
	org, ok := orgdomain.PSL(t.Domain)
	if !ok {
		org = t.Domain
	}
	return dnsq.AtOrBelow(name, org)
}

// dotFix ends names with the dot that they lack: without it, a name in a zone
// file goes on with the zone's own (RFC 1035 §5.1), and becomes one such as
// mail.example.com.2.0.192.in-addr.arpa. Which zone that is does not matter: it
// is what the name has in common with the reverse name, from the end.
func dotFix(r *facts.ReverseNames, ip netip.Addr) []diag.Fix {
	if len(r.Names) != 1 {
		return nil
	}
	n := &r.Names[0]
	have, rev := dnsq.Labels(n.Name), dnsq.Labels(dnsq.ReverseName(ip))
	same := 0
	for same < min(len(have), len(rev)) && have[len(have)-1-same] == rev[len(rev)-1-same] {
		same++
	}
	// Two labels are in-addr.arpa; at least two more must be left for a name.
	if same < 2 || len(have)-same < 2 {
		return nil
	}
	meant := strings.Join(have[:len(have)-same], ".")
	return []diag.Fix{{Owner: diag.Provider, Edits: []diag.Edit{{Name: n.RR.Name, Type: "PTR", Old: n.Name + ".", New: meant + "."}}}}
}

func texts(addrs []netip.Addr) []string {
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return out
}
