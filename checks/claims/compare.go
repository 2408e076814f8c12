package claims

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/todoku-mail/todoku/pkg/authres"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/spf"
)

// An item is one result of the receiver beside ours.
type item struct {
	f      *field
	r      *authres.Result
	method string
	about  string // the domain, or "" if neither says one
	then   string
	now    string // "" if it was not compared
	same   bool
	why    string // a code: why not the same
	key    string // of why key-gone: the name of the record,
	state  string // and what is there: missing, revoked, unusable
	data   *ResultData
	open   []*dnsq.Error
}

// label is what an item is about: "dkim shop.example".
func (i *item) label() string {
	if i.about == "" {
		return i.method
	}
	return i.method + " " + i.about
}

// was reports whether the receiver let it pass.
func (i *item) was() bool { return i.then == "pass" }

// compare sets every result of the receiver beside our own.
func (c *claims) compare() error {
	seen := map[[3]string]bool{}
	used := map[*dkim.Verification]bool{}
	for _, f := range c.fields {
		if f.writer != byReceiver && f.writer != likely {
			continue
		}
		clear(used)
		for n := range f.results {
			r := &f.results[n]
			if len(c.items) == maxCompared {
				return nil
			}
			i := &item{f: f, r: r, method: r.Method, about: r.Domain(), then: r.Value, data: &f.data.Results[n]}
			var err error
			switch r.Method {
			case "spf":
				err = c.spf(i)
			case "dkim":
				c.dkim(i, used)
			case "dmarc":
				err = c.dmarc(i)
			case "arc":
				c.arc(i)
			}
			if err != nil {
				return err
			}
			if i.now == "" && i.why == "" && i.open == nil {
				continue // nothing of ours to set beside it
			}
			// Many write the same result twice, into Received-SPF and the ARC form too.
			key := [3]string{i.label(), i.then, i.now + i.why}
			if i.open == nil {
				i.data.Now, i.data.Why = i.now, i.why
				same := i.same
				i.data.Agrees = &same
			}
			if !seen[key] {
				seen[key] = true
				c.items = append(c.items, i)
			}
		}
	}
	return nil
}

// spf judges the same identity for the same address (RFC 7208 §9.1 has both in the
// field).
func (c *claims) spf(i *item) error {
	t := c.Target
	ip := i.r.Addr()
	if !ip.IsValid() {
		if len(t.IPs) == 0 {
			return nil
		}
		ip = t.IPs[0]
	}
	ask := facts.SPFAsk{IP: ip, Helo: t.Helo, MailFrom: t.MailFrom}
	theirs, hasFrom := i.r.Get("smtp", "mailfrom")
	if !hasFrom {
		theirs, hasFrom = i.r.Get("smtp", "mail")
	}
	helo, hasHelo := i.r.Get("smtp", "helo")
	switch theirs = strings.Trim(theirs, "<> "); {
	case hasFrom && theirs != "" && !strings.EqualFold(theirs, "none"):
		d := theirs[strings.LastIndexByte(theirs, '@')+1:]
		if !sameName(d, t.MailFromDomain()) && !sameName(d, t.Helo) {
			// Rewritten since, or it was another mail's field.
			i.why = "other-identity"
			return nil
		}
		if !sameName(d, t.MailFromDomain()) {
			ask.MailFrom = "" // the null sender: its domain is the HELO name
			if t.Helo == "" {
				return nil
			}
		}
	case hasHelo && !hasFrom:
		if !sameName(helo, t.Helo) {
			i.why = "other-identity"
			return nil
		}
		ask.MailFrom = ""
	default:
		if t.MailFrom == "" && !t.NullSender || t.NullSender && t.Helo == "" {
			return nil
		}
	}
	v, err := facts.SPFResult.Of(c.ctx, c.World, ask)
	if err != nil {
		return err
	}
	if i.about == "" {
		i.about = v.Domain
	}
	if v.Result == spf.TempError || v.Unsure {
		if v.Problem != nil && v.Problem.Err != nil {
			i.open = append(i.open, v.Problem.Err)
		}
		i.open = append(i.open, v.Ignored...)
		return nil
	}
	i.now = string(v.Result)
	then := spfWords(i.r)
	if i.same = then == i.now; i.same {
		return nil
	}
	switch {
	case then == "temperror":
		i.why = "temperror-then"
	case c.mail.Proposed:
		i.why = "proposed"
	case then == "best-guess":
		i.why = "best-guess"
	case i.was() || i.now == "pass":
		i.why = "dns"
	default:
		i.why = "dns-maybe"
	}
	return nil
}

// spfWords is a result in the words of RFC 7208 §2.6: some are older, and Gmail
// wrote what it guessed where there is no record.
func spfWords(r *authres.Result) string {
	for _, c := range r.Comments {
		if strings.Contains(strings.ToLower(c), "best guess") {
			return "best-guess"
		}
	}
	switch r.Value {
	case "hardfail":
		return "fail"
	case "error":
		return "temperror"
	case "unknown":
		return "permerror"
	}
	return r.Value
}

func sameName(a, b string) bool {
	x, errA := dnsq.ParseName(a)
	y, errB := dnsq.ParseName(b)
	return errA == nil && errB == nil && x == y
}

// class is what a DKIM result comes to. RFC 8601 §2.7.1 has several words for a
// signature that counts for nothing, and receivers choose among them: Gmail writes
// neutral where the body hash differs.
func class(v string) string {
	switch v {
	case "fail", "permerror", "neutral", "policy", "hardfail", "invalid":
		return "fail"
	}
	return v
}

// dkim finds the signature that a result is about, by header.b where there is one
// (RFC 6008), else by domain and selector.
func (c *claims) dkim(i *item, used map[*dkim.Verification]bool) {
	if c.auth.DKIM.Skipped > 0 {
		return // the one that is meant may not have been looked at
	}
	sigs := c.auth.DKIM.Signatures
	if i.about == "" {
		now := string(c.auth.DKIM.Result8301())
		switch {
		case i.then == "none" && len(sigs) > 0:
			i.now, i.why = now, "signed-since"
		case i.then == "none", class(i.then) == class(now):
			i.now, i.same = now, true
		}
		return // of which signature any other word is cannot be told
	}
	s := find(i.r, i.about, sigs, used)
	if s == nil {
		i.why = "no-such-signature"
		return
	}
	used[s] = true
	if s.Lookup != nil && s.Lookup.Err != nil {
		i.open = []*dnsq.Error{s.Lookup.Err}
		return
	}
	i.now = string(s.RFC8301)
	// RFC 6376 §3.6.1: a signature with a key under test (t=y) is to be treated as if
	// it were not there, which most receivers do not write down.
	testing := i.now == "pass" && s.Key != nil && s.Key.Testing()
	if i.same = class(i.then) == class(i.now) || testing && i.then == "neutral"; i.same {
		return
	}
	switch {
	case i.then == "temperror":
		i.why = "temperror-then"
	case testing:
		i.why = "testing"
	case c.mail.Proposed:
		i.why = "proposed"
	case i.now == "pass":
		i.why = "dns"
	case !i.was():
		i.why = "dns-maybe"
	case len(s.Refused) > 0 && len(s.Reasons) == 0:
		i.why = "rfc8301"
	case s.Has(dkim.ReasonBody):
		i.why = "changed-body"
	case s.Has(dkim.ReasonHeader) && s.Signed != nil:
		i.why = "changed-header" // the key opened the signature: it is the right one
	case s.Has(dkim.ReasonHeader):
		i.why = "changed-header-or-key"
	case s.Has(dkim.ReasonKeyMissing), s.Has(dkim.ReasonKeyRevoked), s.Key == nil && s.Lookup != nil:
		i.why, i.key, i.state = "key-gone", s.Lookup.Name, "unusable"
		if st := s.Lookup.Status; st == dkim.Missing || st == dkim.Revoked {
			i.state = string(st)
		}
	case s.Has(dkim.ReasonExpired):
		i.why = "expired"
	default:
		i.why = "dns-maybe"
	}
}

func find(r *authres.Result, domain string, sigs []*dkim.Verification, used map[*dkim.Verification]bool) *dkim.Verification {
	selector, hasSelector := r.Get("header", "s")
	start, hasB := r.Get("header", "b")
	var open *dkim.Verification
	for _, s := range sigs {
		if !sameName(s.Domain, domain) && !identity(s, domain) || hasSelector && !strings.EqualFold(s.Selector, selector) {
			continue
		}
		if hasB && start != "" {
			b := s.Tag("b")
			if b == nil || !strings.HasPrefix(strings.Join(strings.Fields(b.Value), ""), start) {
				continue
			}
			return s
		}
		if used[s] {
			continue
		}
		if class(string(s.RFC8301)) == class(r.Value) {
			return s
		}
		if open == nil {
			open = s
		}
	}
	return open
}

// identity reports whether a domain is that of a signature's i=.
func identity(s *dkim.Verification, domain string) bool {
	return sameName(s.Identity[strings.LastIndexByte(s.Identity, '@')+1:], domain)
}

// dmarc compares the verdict for the From domain.
func (c *claims) dmarc(i *item) error {
	if i.about != "" && !sameName(i.about, c.Target.From) {
		i.why = "other-identity"
		return nil
	}
	if c.Target.From == "" {
		return nil
	}
	i.about = c.Target.From
	v, err := facts.MailVerdict.Of(c.ctx, c.World, facts.MailAskOf(c.Target))
	if err != nil {
		return err
	}
	if v.Result == "temperror" {
		i.open = v.Unknown // none if only the sending address is not known
		return nil
	}
	i.now = v.Result
	then := i.then
	if then == "bestguesspass" {
		then = "none" // Microsoft: there is no record, and with one it would pass
	}
	if i.same = then == i.now; i.same {
		return nil
	}
	switch {
	case then == "temperror":
		i.why = "temperror-then"
	case c.mail.Proposed:
		i.why = "proposed"
	case then == v.Old:
		i.why = "rfc7489"
	case i.was() && slices.ContainsFunc(i.r.Comments, func(s string) bool { return strings.Contains(strings.ToLower(s), "arc=pass") }):
		i.why = "arc"
	case i.was() || i.now == "pass":
		i.why = "dns"
	default:
		i.why = "dns-maybe"
	}
	return nil
}

// arc compares the state of the chain. A receiver that puts a set of its own on top
// spoke of the chain below, which is not ours to judge any more.
func (c *claims) arc(i *item) {
	border := -1
	for n, h := range c.mail.Header {
		if h.Is("Received") {
			if border++; border == c.border.Index {
				border = n
				break
			}
		}
	}
	for _, s := range c.auth.ARC.Sets {
		if s.Results == nil || s.Results.Index < border || s.Seal == nil || s.Seal.Index < border {
			return
		}
	}
	switch now := string(c.auth.ARC.Status); {
	case now == "temperror":
		return // the check of the chain says so
	default:
		i.now = now
	}
	if i.same = i.then == i.now; !i.same {
		switch {
		case i.then == "temperror":
			i.why = "temperror-then"
		case i.was() && i.now == "none":
			i.why = "no-such-chain"
		default:
			i.why = "changed-or-dns"
		}
	}
}

// summary says what the comparison comes to.
func (c *claims) summary() {
	c.head()
	var then, now, fine []string
	var evThen, evNow, evFine []diag.Evidence
	by, sure := "", true
	compared, differs, moved, told := 0, false, false, 0
	unknown := map[dnsq.Question]bool{}
	addresses := map[netip.Addr]bool{}
	// DMARC last: it follows from the others.
	slices.SortStableFunc(c.items, func(a, b *item) int { return rank(a) - rank(b) })
	for _, i := range c.items {
		if i.open != nil {
			c.open(i, unknown)
			continue
		}
		if by == "" {
			by = i.f.who()
		}
		sure = sure && i.f.writer == byReceiver
		compared++
		c.address(i, addresses)
		if i.same {
			fine = append(fine, i.label()+": "+i.then)
			evFine = c.more(evFine, i.f)
			continue
		}
		differs = true
		if i.why != "dns" {
			moved = moved || i.method != "dmarc"
			if told++; told > maxDiffer {
				continue
			}
		}
		step := i.label() + ": " + i.then + " → " + i.now
		ev := []diag.Evidence{i.f.evidence(c, i.r)}
		if i.method == "dmarc" && i.why == "dns" && moved {
			i.why, i.data.Why = "follows", "follows"
		}
		switch i.why {
		case "dns":
			if i.was() {
				then, evThen = append(then, step), c.more(evThen, i.f)
			} else {
				now, evNow = append(now, step), c.more(evNow, i.f)
			}
		case "key-gone":
			c.Report(diag.Finding{Kind: keyGone, Subject: c.subject(), Evidence: ev, Args: diag.Args{"by": i.f.who(), "key": i.key, "why": i.state}})
		case "changed-body", "changed-header", "changed-header-or-key":
			c.Report(diag.Finding{Kind: changed, Subject: c.subject(), Evidence: ev,
				Args: diag.Args{"by": i.f.who(), "domain": i.about, "what": strings.TrimPrefix(i.why, "changed-")}})
		default:
			now := i.now
			if now == "" {
				now = "not-judged"
			}
			c.Report(diag.Finding{Kind: differ, Subject: c.subject(), Evidence: ev,
				Args: diag.Args{"by": i.f.who(), "what": i.label(), "then": i.then, "now": now, "why": i.why}})
		}
	}
	c.overrides()
	if len(unknown) > 0 {
		return // whether all agrees, and what follows from what, is not known
	}
	if then != nil {
		c.Report(diag.Finding{Kind: worse, Subject: c.subject(), Evidence: evThen, Args: diag.Args{"by": by, "results": then}})
	}
	if now != nil {
		c.Report(diag.Finding{Kind: mended, Subject: c.subject(), Evidence: evNow, Args: diag.Args{"by": by, "results": now}})
	}
	if compared > 0 {
		agrees := !differs
		c.data.Agrees = &agrees
		if agrees {
			word := "position"
			if !sure {
				word = "name"
			}
			c.Report(diag.Finding{Kind: agree, Subject: c.subject(), Evidence: evFine, Args: diag.Args{"by": by, "results": fine, "sure": word}})
		}
		return
	}
	why := "not-the-receiver"
	if slices.ContainsFunc(c.fields, func(f *field) bool { return f.writer == byReceiver || f.writer == likely }) {
		why = "nothing-to-compare"
	}
	c.Report(diag.Finding{Kind: none, Subject: c.subject(), Args: diag.Args{"why": why}})
}

func rank(i *item) int {
	if i.method == "dmarc" {
		return 1
	}
	return 0
}

// more adds a field to evidence, once.
func (c *claims) more(list []diag.Evidence, f *field) []diag.Evidence {
	e := f.evidence(c, nil)
	if slices.Contains(list, e) {
		return list
	}
	return append(list, e)
}

// head sets what the receiver says, in short.
func (c *claims) head() {
	for _, f := range c.fields {
		if f.writer != byReceiver && f.writer != likely {
			continue
		}
		if c.data.By == "" {
			c.data.By = f.by
		}
		for _, m := range []struct {
			name string
			at   *string
		}{{"spf", &c.data.SPF}, {"dkim", &c.data.DKIM}, {"dmarc", &c.data.DMARC}} {
			for n := range f.results {
				if r := &f.results[n]; r.Method == m.name && (*m.at == "" || m.name == "dkim" && r.Value == "pass") {
					*m.at = r.Value
				}
			}
		}
	}
}

// open reports the questions that kept us from judging, each once.
func (c *claims) open(i *item, said map[dnsq.Question]bool) {
	for _, e := range i.open {
		if said[e.Question] || len(said) == maxOpen {
			continue
		}
		said[e.Question] = true
		c.Report(diag.Finding{Kind: undetermined, Subject: c.subject(), Unknown: []*dnsq.Error{e},
			Args: diag.Args{"question": e.Question.String(), "reason": string(e.Reason)}})
	}
}

// address reports that the receiver judged another address than this report does,
// unless a person said which to take.
func (c *claims) address(i *item, seen map[netip.Addr]bool) {
	t := c.Target
	if i.method != "spf" || len(t.IPs) == 0 || c.mail.Proposed {
		return
	}
	theirs := i.r.Addr()
	if !theirs.IsValid() || theirs == t.IPs[0].Unmap() || seen[theirs] {
		return
	}
	seen[theirs] = true
	c.Report(diag.Finding{Kind: otherAddress, Subject: c.subject(), Evidence: []diag.Evidence{i.f.evidence(c, i.r)},
		Args: diag.Args{"by": i.f.who(), "theirs": theirs.String(), "ours": t.IPs[0].Unmap().String()}})
}

// overrides reports a receiver that took mail which its sender's policy would have
// had refused (RFC 9989 §5.4 leaves that to receivers).
func (c *claims) overrides() {
	done := false
	for _, i := range c.items {
		if i.method != "dmarc" || i.then != "fail" || done {
			continue
		}
		policy, disposition := i.r.Policy()
		reason := ""
		for n := range i.f.results {
			if r := &i.f.results[n]; r.Method == "compauth" {
				reason, _ = r.Get("", "reason")
			}
		}
		switch disposition {
		case "oreject", "o.reject":
			policy = "reject" // Microsoft: the policy, overridden
		case "oquarantine", "o.quarantine":
			policy = "quarantine"
		case "none":
		default:
			continue
		}
		if policy != "reject" && policy != "quarantine" {
			continue
		}
		if reason == "" {
			reason = "not-said"
		}
		done = true
		c.Report(diag.Finding{Kind: overridden, Subject: c.subject(), Evidence: []diag.Evidence{i.f.evidence(c, i.r)},
			Args: diag.Args{"by": i.f.who(), "policy": policy, "reason": reason}})
	}
}
