package form

import (
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/message"
	"github.com/todoku-mail/todoku/pkg/provider"
	"github.com/todoku-mail/todoku/pkg/webform"
)

// judgeFrom looks at whose address stands in From.
func (c *form) judgeFrom() {
	if c.from.Domain == "" {
		return // said by others: there is no address at all
	}
	at := c.field(c.fromField)
	addr := c.from.Address()
	switch {
	case !message.PublicName(c.from.Domain) || serverMade(c.from):
		c.find(fromServer, diag.Args{"from": addr}, at...)
		c.fromFirst = true
		return
	case message.Freemail(c.from.Domain) || c.visitor():
		// RFC 5322 §3.6.2: From names the author, and the visitor is the author of what
		// the form says. But it is the server that sends, and no server but those of the
		// visitor's provider can prove that it may use the address (RFC 9989 §4.4).
		switch c.vouched {
		case "unknown":
			c.open()
		case "no":
			if c.web.Passed {
				break // the way may have broken what vouched for it
			}
			k := fromFreemail
			if c.visitor() {
				k = fromVisitor
			}
			c.find(k, diag.Args{"from": addr, "domain": c.from.Domain}, append(at, c.field(c.mail.Field("Reply-To"))...)...)
		}
		return
	}
	if name, is := shared(c.from.Domain); is {
		c.find(fromHost, diag.Args{"from": addr, "host": name}, at...)
		c.fromFirst = true
		return
	}
	c.company()
	if c.web.WordPress && strings.EqualFold(c.from.Local, "wordpress") {
		c.find(defaultAddress, diag.Args{"from": addr}, at...)
	}
}

// visitor reports whether the address in From looks like that of the visitor who
// filled the form in: it is not the site's, and the mail goes to the site.
func (c *form) visitor() bool {
	if c.web.Role == webform.Reply || c.fromOrg == "" || strings.EqualFold(c.from.Address(), c.to.Address()) {
		return false
	}
	to := webform.Org(c.to.Domain)
	if to == "" || to == c.fromOrg || c.fromOrg == c.web.Site {
		return false
	}
	// Two things have to agree that the site is the recipient's: what the mail says of
	// its origin, and that the author is not of there.
	home := to == c.web.Site || to == webform.Org(c.returnPath.Domain) || c.messageID() == to
	switch {
	case c.web.Role == webform.Notice:
		return home || message.Freemail(c.from.Domain) && !message.Freemail(c.to.Domain)
	case strings.EqualFold(c.replyTo.Address(), c.from.Address()):
		return home
	}
	return home && message.Freemail(c.from.Domain)
}

// messageID is the organizational domain in Message-ID, "" if it is none of the
// Internet.
func (c *form) messageID() string {
	if f := c.mail.Field("Message-ID"); f != nil {
		if _, right, ok := message.ParseMessageID(f.Value()); ok && message.PublicName(right) {
			return webform.Org(right)
		}
	}
	return ""
}

// serverMade reports whether an address was made up from the server's name: by a user
// of the server, or at www.
func serverMade(a message.Address) bool {
	user, _ := a.HostUser()
	return user && !strings.EqualFold(a.Local, "web") && !strings.EqualFold(a.Local, "www") ||
		len(a.Domain) > 4 && strings.EqualFold(a.Domain[:4], "www.")
}

// shared is who shares a domain out among its customers; its name where that was read
// at a good source, else the domain.
func shared(domain string) (name string, is bool) {
	f, is := provider.SharedDomain(domain)
	if is && f.Shown() {
		return f.Provider, true
	}
	return f.Value, is
}

// company looks whether another organisation than that of the site writes or is to be
// answered.
func (c *form) company() {
	site := c.web.Site
	if site == "" || c.web.Role == webform.Notice && c.vouched == "yes" {
		return
	}
	if c.web.Role == webform.Notice && c.vouched == "unknown" && c.fromOrg != site && !c.web.Passed {
		c.openOnce()
		return
	}
	if c.fromOrg != "" && c.fromOrg != site && !c.web.Passed {
		c.find(otherCompany, diag.Args{"field": "From", "address": c.from.Address(), "site": site}, c.field(c.fromField)...)
		return
	}
	reply := webform.Org(c.replyTo.Domain)
	if c.web.Role == webform.Reply && reply != "" && reply != site && reply != c.fromOrg && !message.Freemail(c.replyTo.Domain) {
		c.find(otherCompany, diag.Args{"field": "Reply-To", "address": c.replyTo.Address(), "site": site}, c.field(c.mail.Field("Reply-To"))...)
	}
}

// judgeReturnPath looks at whose Return-Path it is.
func (c *form) judgeReturnPath() {
	rp := c.returnPath
	if rp.Domain == "" || c.web.Passed || rp.Rewritten().Scheme != "" || c.vouched == "yes" {
		return
	}
	// Where From is of no use, the Return-Path that goes with it comes later; and an
	// SMTP plug-in that is put to use mends the Return-Path too.
	if c.fromFirst || c.web.Mailer == "mail" {
		return
	}
	at := c.field(c.mail.Field("Return-Path"))
	user, _ := rp.HostUser()
	name, isShared := shared(rp.Domain)
	if !isShared {
		name = rp.Domain
	}
	// One's own mail server may be a numbered machine of one's own domain; a server's
	// user is no sender there either.
	if user || webform.Host(rp.Domain) && webform.Org(rp.Domain) != c.fromOrg {
		if c.vouched == "unknown" {
			c.openOnce()
			return
		}
		k := returnPathHost
		if c.web.WordPress {
			k = wordpressReturnPath
		}
		c.find(k, diag.Args{"return_path": rp.Address(), "host": name}, at...)
		return
	}
	// Since WordPress 6.9 the Return-Path is the address in From, and SPF is asked of
	// its domain.
	if !c.web.WordPress || c.web.Mailer != "" || !strings.EqualFold(rp.Address(), c.from.Address()) || message.Freemail(rp.Domain) {
		return
	}
	if c.vouched == "unknown" {
		c.openOnce()
		return
	}
	if len(c.Target.IPs) == 0 || c.verdict == nil {
		return
	}
	for _, id := range c.verdict.Identifiers {
		if id.Method == "spf" && id.Result != "pass" && id.Result != "temperror" {
			c.find(wordpressSPF, diag.Args{"domain": id.Domain, "ip": c.Target.IPs[0].String(), "spf": id.Result}, at...)
		}
	}
}

// openOnce is open, unless something of the kind was said.
func (c *form) openOnce() {
	if !c.undecided {
		c.open()
	}
}

// judgePlugin looks at how an SMTP plug-in sent the mail.
func (c *form) judgePlugin() {
	switch c.web.Mailer {
	case "":
		return
	case "mail":
		c.find(pluginUnused, nil, c.field(c.mail.Field("X-Mailer"))...)
		return
	}
	// Services that send for others have Return-Paths of their own, and sign.
	account := webform.Org(c.returnPath.Domain)
	if _, service := provider.ByReturnPath(c.returnPath.Domain); service || account == "" || c.web.Passed || c.returnPath.Rewritten().Scheme != "" {
		return
	}
	if account == c.fromOrg || c.vouched == "yes" || c.visitor() || webform.Host(c.returnPath.Domain) {
		return
	}
	if c.vouched == "unknown" {
		c.openOnce()
		return
	}
	c.find(pluginFrom, diag.Args{"from": c.from.Address(), "account": c.returnPath.Address()},
		append(c.field(c.fromField), c.field(c.mail.Field("Return-Path"))...)...)
}

// judgeNames looks at the names that the server has for itself.
func (c *form) judgeNames() {
	if f := c.mail.Field("Message-ID"); f != nil {
		_, right, ok := message.ParseMessageID(f.Value())
		name, is := shared(right)
		switch {
		case !ok:
		case !message.PublicName(right):
			c.find(serverName, diag.Args{"where": "Message-ID", "name": right}, c.field(f)...)
		case is:
			c.find(messageIDHost, diag.Args{"name": right, "host": name}, c.field(f)...)
		}
	}
	// The greeting counts where the receiver wrote it down; a literal has no name.
	if h := c.Target.Helo; h != "" && !strings.HasPrefix(h, "[") && !message.PublicName(h) {
		var at []diag.Evidence
		if i := c.mail.Path.Boundary.Index; i >= 0 {
			if fields := c.mail.Fields("Received"); i < len(fields) {
				at = c.field(fields[i])
			}
		}
		c.find(serverName, diag.Args{"where": "HELO", "name": h}, at...)
	}
}

// judgeReply looks at what the automatic answer to a visitor says, and whether a
// program can see that it is one.
func (c *form) judgeReply() {
	switch c.web.Role {
	case webform.Reply:
		if a := c.web.Abused; a != nil {
			where := "name"
			if a.Field != nil {
				where = "subject"
			}
			c.find(replyAbused, diag.Args{"where": where}, c.line(a))
		}
		if q := c.web.Quoted; q != nil {
			c.find(replyQuotes, nil, c.line(q))
		}
		if !c.web.Marked {
			c.find(replyUnmarked, nil, c.field(c.mail.Field("Subject"))...)
		}
	case webform.Notice:
		if !c.web.Marked {
			c.find(noticeUnmarked, nil, c.field(c.mail.Field("Subject"))...)
		}
	}
}

// say names what wrote the mail, with what shows it.
func (c *form) say() {
	k := recognized
	if c.web.Recognised != webform.Sure {
		k = looksLike
	}
	programs := []string{}
	for _, p := range c.web.Programs {
		if !p.Sure && c.web.Recognised == webform.Sure {
			continue // what is sure needs no guesses beside it
		}
		programs = append(programs, strings.ReplaceAll(strings.ToLower(p.Name), " ", "-"))
	}
	if len(programs) == 0 {
		programs = []string{"web-program"}
	}
	var at []diag.Evidence
	signs := []string{}
	show := func(text string) {
		if len(signs) < maxSigns {
			signs = append(signs, short(text))
		}
	}
	seen := map[*message.Field]bool{}
	for i := range c.web.Signs {
		s := &c.web.Signs[i]
		if c.web.Recognised == webform.Sure && !s.Certain() {
			continue
		}
		switch {
		case s.Field != nil && !seen[s.Field]:
			seen[s.Field] = true
			at = append(at, c.field(s.Field)...)
			show(s.Field.Name + ": " + s.Field.Text())
		case s.Part != nil && s.Line != "":
			at = append(at, diag.Evidence{Name: s.Part.MediaType, Type: "body", Text: s.Line, Source: dnsq.SourceMessage, File: c.mail.File, Line: s.Part.BodyLine})
			show(s.Line)
		}
	}
	c.find(k, diag.Args{"programs": programs, "role": string(c.web.Role), "signs": signs}, at...)
	if !c.bad {
		c.find(ok, nil)
	}
}

// How much evidence stands in a sentence; all of it is in Evidence.
const (
	maxSigns = 4
	maxSign  = 72 // octets
)

// short is the beginning of a text.
func short(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= maxSign {
		return s
	}
	return strings.ToValidUTF8(s[:maxSign], "") + "…"
}

func (c *form) data() {
	d := Data{Recognised: c.web.Recognised, Role: c.web.Role, Vouched: c.vouched, Site: c.web.Site, Mailer: c.web.Mailer,
		AutoSubmitted: c.web.Marked, QuotesVisitor: c.web.Quoted != nil}
	for _, p := range c.web.Programs {
		d.Programs = append(d.Programs, Program{p.Name, p.Version, p.Sure})
	}
	c.SetData(d)
}

// field is a field as evidence; none if there is no field.
func (c *form) field(f *message.Field) []diag.Evidence {
	if f == nil {
		return nil
	}
	return []diag.Evidence{c.mail.FieldEvidence(f, 0, 0)}
}

// line is a line of the text as evidence.
func (c *form) line(l *webform.Line) diag.Evidence {
	if l.Field != nil {
		return c.mail.FieldEvidence(l.Field, 0, 0)
	}
	return diag.Evidence{Name: l.Part.MediaType, Type: "body", Text: l.Text, Source: dnsq.SourceMessage, File: c.mail.File, Line: l.Number}
}
