// Package dnsbl checks whether blocklists hold the sending addresses or the
// sender's domains. What an answer of a list is worth is decided in package
// pkg/dnsbl; here is decided what it means for mail.
package dnsbl

import (
	"context"
	"embed"
	"maps"
	"net/netip"
	"slices"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsbl"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
)

//go:embed doc.*.md
var docs embed.FS

var (
	spamhaus = diag.Page("Spamhaus: data sets and return codes", "https://docs.spamhaus.com/datasets/")
	yahoo    = diag.Page("Yahoo: SMTP error codes", "https://senders.yahooinc.com/smtp-error-codes/")
	uribl    = diag.Page("URIBL: refused", "https://uribl.com/refused.shtml")
)

// listing is a kind of finding about an entry in a list. The list is part of
// the fingerprint: each has to be asked for removal on its own.
func listing(id string, s diag.Status, o diag.Owner, advice bool, refs ...diag.Ref) *diag.Kind {
	k := &diag.Kind{ID: id, Status: s, Owner: o, Since: "0.1", Refs: refs, Key: []string{"list"},
		Args: []string{"list", "kind", "codes", "says", "page"}}
	if advice {
		k.Args = append(k.Args, "advice")
	}
	return k
}

// What the check can find.
var (
	listed    = listing("DNSBL-LISTED", diag.Fail, diag.MailAdmin, true, diag.RFC(5782, "2.1"), spamhaus, yahoo)
	secondary = listing("DNSBL-LISTED-SECONDARY", diag.Warn, diag.MailAdmin, true, diag.RFC(5782, "2.1"))
	policy    = listing("DNSBL-POLICY", diag.Warn, diag.MailAdmin, false, spamhaus, diag.RFC(5782, "2.1"))
	abused    = listing("DNSBL-DOMAIN-ABUSED", diag.Warn, diag.Developer, false, spamhaus, diag.RFC(5782, "3"))
	minor     = listing("DNSBL-LISTED-MINOR", diag.Info, diag.MailAdmin, true, diag.RFC(5782, "2.1"))

	unknownCode = &diag.Kind{ID: "DNSBL-UNKNOWN-CODE", Status: diag.Info, Since: "0.1",
		Args: []string{"list", "codes", "page"}, Key: []string{"list"}, Refs: []diag.Ref{diag.RFC(5782, "2.1"), diag.RFC(5782, "2.3")}}
	neverAsked = &diag.Kind{ID: "DNSBL-NEVER-ASKED", Status: diag.Info, Owner: diag.MailAdmin, Since: "0.1",
		Args: []string{"state", "since"}, Refs: []diag.Ref{diag.RFC(5782, "7")}}
	clean = &diag.Kind{ID: "DNSBL-CLEAN", Status: diag.Pass, Since: "0.1",
		Args: []string{"names", "answered", "asked", "ip4", "ip6", "domain"}, Refs: []diag.Ref{diag.RFC(5782, "2.1"), diag.RFC(5782, "5")}}
	skipped = &diag.Kind{ID: "DNSBL-SKIPPED", Status: diag.Skip, Since: "0.1",
		Args: []string{"missing"}, Refs: []diag.Ref{diag.RFC(5782, "6")}}
	notPublic = &diag.Kind{ID: "DNSBL-IP-NOT-PUBLIC", Status: diag.Skip, Since: "0.1",
		Refs: []diag.Ref{diag.RFC(6890, "2.2")}}

	// None of these takes part in the verdict: mail arrives or not whether or not
	// todoku may ask. Refusals and broken lists are said once each, lost answers
	// once for each subject.
	refused = &diag.Kind{ID: "DNSBL-REFUSED", Status: diag.Inconclusive, Harmless: true, Owner: diag.MailAdmin, Since: "0.1",
		Args: []string{"lists", "reasons", "resolver"}, Refs: []diag.Ref{spamhaus, uribl}}
	unhealthy = &diag.Kind{ID: "DNSBL-UNHEALTHY", Status: diag.Inconclusive, Harmless: true, Since: "0.1",
		Args: []string{"lists", "fault"}, Key: []string{"fault"}, Refs: []diag.Ref{diag.RFC(5782, "5")}}
	partly = &diag.Kind{ID: "DNSBL-CLEAN-SO-FAR", Status: diag.Inconclusive, Harmless: true, Since: "0.1",
		Args: []string{"names", "answered", "asked", "ip4", "ip6", "domain"}, Refs: []diag.Ref{diag.RFC(5782, "2.1"), diag.RFC(5782, "5")}}
	undetermined = &diag.Kind{ID: "DNSBL-UNDETERMINED", Status: diag.Inconclusive, Harmless: true, Since: "0.1",
		Args: []string{"question", "reason"}, Key: []string{"reason"}, Refs: []diag.Ref{diag.RFC(5782, "2.1")}}
)

// Check is the dnsbl check.
var Check = &diag.Check{
	Name: "dnsbl",
	Docs: docs,
	Kinds: []*diag.Kind{listed, secondary, policy, abused, refused, unhealthy, undetermined,
		partly, unknownCode, minor, neverAsked, clean, notPublic, skipped},
	Needs:        diag.Needs{IP: true},
	Uses:         diag.Doors{DNS: true},
	Requires:     []diag.AnyFact{facts.BlocklistHealth, facts.BlocklistEntry, facts.BlocklistReasons, facts.AddressDomains},
	Run:          run,
	Undetermined: undetermined,
	Skipped:      skipped,
}

// kindOf is the finding for each class of listing.
var kindOf = map[dnsbl.Class]*diag.Kind{
	dnsbl.ClassMajor: listed, dnsbl.ClassSecondary: secondary, dnsbl.ClassMinor: minor,
	dnsbl.Policy: policy, dnsbl.Abused: abused,
}

// classes in the order of the report.
var classes = []dnsbl.Class{dnsbl.ClassMajor, dnsbl.Abused, dnsbl.Policy, dnsbl.ClassSecondary, dnsbl.ClassMinor}

// advice says which advice a listing needs; each is a text of its own. What is
// not here gets "reputation".
var advice = map[string]string{
	"sbl": "sbl", "css": "css", "xbl": "xbl", "botnet": "xbl", "bcl": "xbl", "outbreak": "xbl",
	"drop": "drop", "neighbours": "neighbours", "attack": "attack", "backscatter": "backscatter",
	"spam-domain": "domain", "phish": "hacked", "malware": "hacked", "black": "domain", "red": "domain", "grey": "marketing",
	"click-tracking": "marketing", "dm": "marketing", "new-domain": "new-domain",
	"generic-ptr": "ptr", "no-ptr": "ptr", "no-auth": "auth",
	"reported-spam": "reports", "spamtrap": "traps", dnsbl.MeaningListed: "own",
}

// owner is who acts on an advice, where it is not the mail server's admin.
var owner = map[string]diag.Owner{"drop": diag.Provider, "neighbours": diag.Provider, "ptr": diag.Provider, "hacked": diag.Developer}

// maxQuestions bounds what is asked of lists for one target; what is beyond it
// is undetermined. With the usual lists it is enough for 25 addresses, and it
// leaves the run's budget (dnsq.DefaultBudget) to the other checks.
const maxQuestions = 240

// A part is what one list holds of one kind, and what became of it.
type part struct {
	facts.BlocklistPart
	subjects []dnsbl.Subject // those asked, in the order of the run
	health   *dnsbl.Health
	replies  []*dnsbl.Reply // one for each subject
}

// lost is why something about a subject is not known.
type lost struct {
	what string // a list's zone, or a question about the subject's names
	list bool   // what is a list
	err  *dnsq.Error
}

type session struct {
	j         *diag.Job
	parts     []*part
	questions int
	late      map[facts.BlocklistAsk]bool // beyond maxQuestions
	resolver  string                      // name of the public resolver, or ""

	data     Data
	refused  map[string][]string // reason: lists
	faults   map[string][]string // fault: lists
	unknown  map[dnsbl.Subject][]lost
	found    map[*diag.Kind][]diag.Finding
	answered map[dnsbl.Subject]bool // some list answered for it
	dirty    map[dnsbl.Subject]bool // it has an entry somewhere
}

func run(ctx context.Context, j *diag.Job) error {
	b := &j.Target.Blocklists
	var named []dnsbl.Spec
	for _, s := range b.Extra {
		spec, err := dnsbl.ParseSpec(s)
		if err != nil {
			return err // the command line has let through what it should not
		}
		named = append(named, spec)
	}
	ask, never := dnsbl.Select(b.All, b.Keyed, named)
	s := &session{j: j, late: map[facts.BlocklistAsk]bool{},
		refused: map[string][]string{}, faults: map[string][]string{},
		unknown: map[dnsbl.Subject][]lost{},
		found:   map[*diag.Kind][]diag.Finding{}, answered: map[dnsbl.Subject]bool{}, dirty: map[dnsbl.Subject]bool{},
		data: Data{Listed: []ListedData{}, Refused: []string{}, Unhealthy: []string{}, ByKind: map[string]Count{}}}
	s.resolver, _ = dnsbl.PublicResolverIn(b.Server)
	for _, l := range ask {
		for _, k := range l.Kinds {
			s.parts = append(s.parts, &part{BlocklistPart: facts.BlocklistPart{List: l, Kind: k}})
		}
	}

	// Everything that can be asked at once is: test entries and questions in one
	// round. Subjects go before lists, so that a bound cuts the last subjects.
	var subjects []dnsbl.Subject
	var public []netip.Addr
	for _, ip := range j.Target.IPs {
		if ip = ip.Unmap(); facts.Public(ip) {
			subjects = append(subjects, dnsbl.IP(ip))
			if len(public) < maxNamedAddresses {
				facts.AddressDomains.Start(j.World, ip)
				public = append(public, ip)
			}
		} else {
			j.Report(diag.Finding{Kind: notPublic, Subject: ip.String(), Args: diag.Args{}})
		}
	}
	subjects = append(subjects, facts.SenderDomains(j.Target)...)
	for _, x := range subjects {
		s.start(x)
	}
	// The names of the addresses come later: two round trips, which other checks
	// need too.
	for _, x := range s.addressDomains(ctx, public) {
		if !slices.Contains(subjects, x) {
			subjects = append(subjects, x)
			s.start(x)
		}
	}

	listings := s.weigh(ctx)
	for _, e := range listings {
		facts.BlocklistReasons.Start(j.World, e.ask)
	}
	for _, e := range listings {
		s.report(ctx, e)
	}
	s.finish(subjects, never)
	return nil
}

// start asks every list of the subject's kind about it, and for its test
// entries, without waiting.
func (s *session) start(x dnsbl.Subject) {
	for _, p := range s.parts {
		if p.Kind != x.Kind {
			continue
		}
		n := 1
		if p.subjects == nil {
			n = 3
		}
		p.subjects = append(p.subjects, x)
		a := facts.BlocklistAsk{List: p.List, Subject: x}
		if s.questions += n; s.questions > maxQuestions {
			s.late[a] = true
			continue
		}
		facts.BlocklistHealth.Start(s.j.World, p.BlocklistPart)
		facts.BlocklistEntry.Start(s.j.World, a)
	}
}

// Bounds of what names of addresses add. Addresses beyond the first bound are
// asked about all the same.
const (
	maxNamedAddresses = 25
	maxAddressDomains = 8
)

// addressDomains are the registered domains of the addresses' names.
func (s *session) addressDomains(ctx context.Context, ips []netip.Addr) []dnsbl.Subject {
	var out []dnsbl.Subject
	for _, ip := range ips {
		n, err := facts.AddressDomains.Of(ctx, s.j.World, ip)
		if err != nil {
			n = &facts.NamedDomains{Unknown: []*dnsq.Error{dnsq.AsError(dnsq.Q(dnsq.ReverseName(ip), dnsq.TypePTR), err)}}
		}
		for _, e := range n.Unknown {
			s.lose(dnsbl.IP(ip), lost{e.Question.String(), false, e})
		}
		for _, d := range n.Domains {
			if x, ok := dnsbl.DomainName(d); ok && !slices.Contains(out, x) && len(out) < maxAddressDomains {
				out = append(out, x)
			}
		}
	}
	return out
}

func (s *session) lose(x dnsbl.Subject, l lost) { s.unknown[x] = append(s.unknown[x], l) }

// An entry is a listing that counts.
type entry struct {
	ask   facts.BlocklistAsk
	reply *dnsbl.Reply
}

// health is what became of the part's test entries, never nil.
func (s *session) health(ctx context.Context, p *part) *dnsbl.Health {
	listed, not := p.List.Test(p.Kind)
	err := errBound
	if !s.late[facts.BlocklistAsk{List: p.List, Subject: p.subjects[0]}] {
		var h *dnsbl.Health
		if h, err = facts.BlocklistHealth.Of(ctx, s.j.World, p.BlocklistPart); err == nil {
			return h
		}
	}
	return &dnsbl.Health{Listed: unasked(p.List, listed, err), Not: unasked(p.List, not, err)}
}

// reply is what the list answered about x, never nil.
func (s *session) reply(ctx context.Context, a facts.BlocklistAsk) *dnsbl.Reply {
	err := errBound
	if !s.late[a] {
		var r *dnsbl.Reply
		if r, err = facts.BlocklistEntry.Of(ctx, s.j.World, a); err == nil {
			return r
		}
	}
	return unasked(a.List, a.Subject, err)
}

// errBound is why a subject was not asked about.
var errBound error = &dnsq.Error{Reason: dnsq.OverDue, Detail: "too many blocklists and subjects for one run"}

func unasked(l *dnsbl.List, x dnsbl.Subject, err error) *dnsbl.Reply {
	q := l.Question(x)
	e := *dnsq.AsError(q, err)
	e.Question = q
	return &dnsbl.Reply{Subject: x, Question: q, Err: &e}
}

// weigh judges every answer, in the order of lists, and returns the listings.
func (s *session) weigh(ctx context.Context) []entry {
	var asked []*part
	for _, p := range s.parts {
		if len(p.subjects) == 0 {
			continue
		}
		asked = append(asked, p)
		p.health = s.health(ctx, p)
		for _, x := range p.subjects {
			p.replies = append(p.replies, s.reply(ctx, facts.BlocklistAsk{List: p.List, Subject: x}))
		}
	}
	var out []entry
	for _, p := range asked {
		if notHeld(p, asked) {
			continue
		}
		count := s.data.ByKind[p.Kind.String()]
		count.Asked++
		answered := true
		for i, x := range p.subjects {
			a, r := facts.BlocklistAsk{List: p.List, Subject: x}, p.replies[i]
			v := dnsbl.Judge(p.List, p.health, r)
			switch v.State {
			case dnsbl.NotListed:
				s.answered[x] = true
				continue
			case dnsbl.Listed:
				s.dirty[x] = true
				out = append(out, entry{a, r})
				continue
			case dnsbl.Unrecognised:
				s.dirty[x] = true
				s.unrecognised(a, r)
				continue
			case dnsbl.Refused:
				add(s.refused, v.Why, p.List.Zone)
			case dnsbl.Unhealthy:
				if s.resolver != "" && p.List.Access == dnsbl.NoPublic && v.Why == dnsbl.FaultSilent {
					// Such a list may tell a public resolver nothing instead of
					// refusing it.
					add(s.refused, dnsbl.ReasonPublic, p.List.Zone)
				} else {
					add(s.faults, v.Why, p.List.Zone)
				}
			default:
				s.lose(x, lost{p.List.Zone, true, v.Err})
			}
			answered = false
		}
		if answered {
			count.Answered++
		}
		s.data.ByKind[p.Kind.String()] = count
	}
	return out
}

// notHeld reports whether p is a kind that a list of one's own, named without
// its kinds, does not hold: there is no test entry of that kind, but one of
// another.
func notHeld(p *part, asked []*part) bool {
	return p.List.Own && silent(p) &&
		slices.ContainsFunc(asked, func(o *part) bool { return o.List == p.List && !silent(o) })
}

func silent(p *part) bool {
	v := dnsbl.Judge(p.List, p.health, nil)
	return v.State == dnsbl.Unhealthy && v.Why == dnsbl.FaultSilent
}

func add[K comparable](m map[K][]string, k K, list string) {
	if !slices.Contains(m[k], list) {
		m[k] = append(m[k], list)
	}
}

func evidence(r *dnsbl.Reply, which func(text string) bool) []diag.Evidence {
	var out []diag.Evidence
	for i := range r.Answer.RRs {
		rr := &r.Answer.RRs[i]
		if t := rr.Addr.String(); rr.Type == dnsq.TypeA && which(t) {
			out = append(out, facts.Evidence(rr, t, 0, 0))
		}
	}
	return out
}

func page(l *dnsbl.List) string {
	if p := l.Page(); p != "" {
		return p
	}
	return "none"
}

// unrecognised names codes that are in no table. They are not counted: a code
// may mean anything, "trusted" too.
func (s *session) unrecognised(a facts.BlocklistAsk, r *dnsbl.Reply) {
	codes := []string{}
	for _, c := range r.Unknown {
		if t := c.String(); !slices.Contains(codes, t) {
			codes = append(codes, t)
		}
	}
	slices.Sort(codes)
	s.found[unknownCode] = append(s.found[unknownCode], diag.Finding{Kind: unknownCode, Subject: a.Subject.String(),
		Args: diag.Args{"list": a.List.Zone, "codes": codes, "page": page(a.List)}, Evidence: evidence(r, func(t string) bool { return slices.Contains(codes, t) })})
}

// report makes one finding for each class of an entry's codes: an address can
// stand on the PBL and the XBL at once, and each wants its own remedy.
func (s *session) report(ctx context.Context, e entry) {
	says, _ := facts.BlocklistReasons.Of(ctx, s.j.World, e.ask)
	if len(says) == 0 {
		says = []string{"nothing"}
	}
	for _, class := range classes {
		var meanings, codes []string
		for _, h := range e.reply.Hits {
			if h.Class != class {
				continue
			}
			if !slices.Contains(meanings, h.Meaning) {
				meanings = append(meanings, h.Meaning)
			}
			if c := h.Code.String(); !slices.Contains(codes, c) {
				codes = append(codes, c)
			}
		}
		if meanings == nil {
			continue
		}
		slices.Sort(codes)
		k := kindOf[class]
		f := diag.Finding{Kind: k, Subject: e.ask.Subject.String(),
			Args:     diag.Args{"list": e.ask.List.Zone, "kind": meanings, "codes": codes, "says": says, "page": page(e.ask.List)},
			Evidence: evidence(e.reply, func(t string) bool { return slices.Contains(codes, t) })}
		if slices.Contains(k.Args, "advice") {
			a := advice[meanings[0]] // the worst one's
			if a == "" {
				a = "reputation"
			}
			if a == "own" && !e.ask.List.Own {
				a = "reputation"
			}
			f.Args["advice"] = a
			f.Owner = owner[a]
		}
		s.found[k] = append(s.found[k], f)
		s.data.Listed = append(s.data.Listed, ListedData{Zone: e.ask.List.Zone, Subject: e.ask.Subject.String(), Codes: codes, Meanings: meanings, Class: string(class)})
	}
}

func (s *session) finish(subjects []dnsbl.Subject, never []*dnsbl.List) {
	j := s.j
	for _, k := range []*diag.Kind{listed, abused, policy, secondary} {
		for _, f := range s.found[k] {
			j.Report(f)
		}
	}
	if len(s.refused) > 0 {
		var lists, reasons []string
		for why, zones := range s.refused {
			reasons = append(reasons, why)
			lists = append(lists, zones...)
		}
		lists = s.inOrder(lists)
		slices.Sort(reasons)
		resolver := s.resolver
		if resolver == "" {
			resolver = "own"
		}
		j.Report(diag.Finding{Kind: refused, Subject: j.Target.Domain, Args: diag.Args{"lists": lists, "reasons": reasons, "resolver": resolver}})
		s.data.Refused = lists
	}
	var broken []string
	for _, fault := range []string{dnsbl.FaultEverything, dnsbl.FaultInverted, dnsbl.FaultParked, dnsbl.FaultSilent} {
		if lists := s.faults[fault]; lists != nil {
			j.Report(diag.Finding{Kind: unhealthy, Subject: j.Target.Domain, Args: diag.Args{"lists": lists, "fault": fault}})
			broken = append(broken, lists...)
		}
	}
	if broken != nil {
		s.data.Unhealthy = s.inOrder(broken)
	}
	var domains []lost
	for _, x := range subjects {
		if x.Kind == dnsbl.Domain {
			domains = append(domains, s.unknown[x]...)
		} else {
			s.undetermined(x.String(), s.unknown[x])
		}
	}
	s.undetermined(j.Target.Domain, domains)
	for _, k := range []*diag.Kind{unknownCode, minor} {
		for _, f := range s.found[k] {
			j.Report(f)
		}
	}
	for _, l := range never {
		since := l.Since
		if since == "" {
			since = "unknown"
		}
		j.Report(diag.Finding{Kind: neverAsked, Subject: l.Zone, Args: diag.Args{"state": l.Why, "since": since}})
	}
	// A subject is clean if no list that answered has it. Lists that refuse or
	// are broken do so for everybody and are said above; but where an answer was
	// lost, another try might find a listing, and that is no pass.
	names, open := []string{}, []string{}
	for _, x := range subjects {
		switch {
		case s.dirty[x] || !s.answered[x]:
		case slices.ContainsFunc(s.unknown[x], func(l lost) bool { return l.list }):
			open = append(open, x.String())
		default:
			names = append(names, x.String())
		}
	}
	counts := diag.Args{}
	for _, k := range dnsbl.Kinds {
		c := s.data.ByKind[k.String()]
		s.data.Asked += c.Asked
		s.data.Answered += c.Answered
		counts[k.String()] = c.String()
	}
	counts["answered"], counts["asked"] = s.data.Answered, s.data.Asked
	for _, f := range []struct {
		kind  *diag.Kind
		names []string
	}{{partly, open}, {clean, names}} {
		if len(f.names) > 0 {
			args := maps.Clone(counts)
			args["names"] = f.names
			j.Report(diag.Finding{Kind: f.kind, Subject: j.Target.Domain, Args: args})
		}
	}
	if len(j.Target.IPs) == 0 {
		j.Report(diag.Finding{Kind: skipped, Subject: j.Target.Domain, Args: diag.Args{"missing": "ip"}})
	}
	j.SetData(s.data)
}

// undetermined says what is not known, one finding for each reason: about an
// address by itself, about all domains together, which are one sender's.
func (s *session) undetermined(subject string, about []lost) {
	for _, r := range dnsq.Reasons {
		var what []string
		var first []*dnsq.Error
		for _, l := range about {
			if l.err.Reason != r {
				continue
			}
			if !slices.Contains(what, l.what) {
				what = append(what, l.what)
			}
			// One question shows whom we asked and what came of it; the lists' names
			// say the rest.
			if first == nil {
				first = []*dnsq.Error{l.err}
			}
		}
		if what != nil {
			s.j.Report(diag.Finding{Kind: undetermined, Subject: subject, Args: diag.Args{"question": what, "reason": string(r)}, Unknown: first})
		}
	}
}

// inOrder is the zones in the order of the run, each once.
func (s *session) inOrder(zones []string) []string {
	var out []string
	for _, p := range s.parts {
		if slices.Contains(zones, p.List.Zone) && !slices.Contains(out, p.List.Zone) {
			out = append(out, p.List.Zone)
		}
	}
	return out
}
