// Package webform recognises mail that a program on a web server wrote: what a
// visitor typed into a form, sent to the site's owner; the automatic answer to the
// visitor; what a shop writes to its customers.
//
// # Such mail in one page
//
// A visitor fills a form in, and a program on the web server (WordPress with
// Contact Form 7, EC-CUBE, a script that calls PHP's mail()) writes one or two
// mails. The notice goes to the owner: its From is an address of the site, its
// Reply-To the visitor's. The reply goes to the visitor, "we have received your
// message". Both are handed to the server's own mail program, which puts the server's
// user into the Return-Path (www-data@web01, taro@sv1234.host) unless it is told
// another.
//
// So much of it can go wrong that this is the mail which most often does not
// arrive: a From that is the visitor's, which no server but the visitor's provider
// may use; a Return-Path of the host, which vouches for nobody; a reply that repeats
// what was typed, with which strangers send their advertisements to strangers.
//
// # Evidence
//
// No header field says "I come from a form". What programs leave is in package
// message (signs.tsv), each piece with its source and with how sure it is. Mail is
// recognised for sure by one piece that only such programs write, and as likely by
// two that others write as well. A piece from a source that is only memory is never
// sure. Nothing is evidence that a person could have quoted: lines behind ">", and
// the body of an answer, of a forwarded mail or of a bounce. Webmail in PHP
// (Roundcube and others) marks its mail as PHP does, and is a person's.
//
// What stands in the mail was written by strangers, the visitor among them. It is
// never more than evidence.
package webform

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/message"
	"github.com/todoku-mail/todoku/pkg/orgdomain"
	"github.com/todoku-mail/todoku/pkg/provider"
)

// Recognised says how sure it is that a web program wrote the mail.
type Recognised string

// The degrees.
const (
	No     Recognised = "no"
	Likely Recognised = "likely"
	Sure   Recognised = "sure"
)

// A Reason says why mail with signs of a web program in it is not judged as such.
type Reason string

// The reasons.
const (
	NoSign   Reason = "no-sign"
	IsBounce Reason = "bounce"  // a bounce, which holds another's mail
	IsPerson Reason = "person"  // a person's mail program wrote it, or it is an answer or forwarded
	IsWeb    Reason = "webmail" // a person wrote it in a web page
)

// A Role says who the mail is for.
type Role string

// The roles.
const (
	Unknown Role = "unknown"
	Notice  Role = "notice" // tells the site's owner what a visitor typed
	Reply   Role = "reply"  // the automatic answer to the visitor
)

// A Program is what made the mail.
type Program struct {
	Name    string
	Version string // as it says; from strangers
	Sure    bool
}

// A Clue is how a site's domain became known.
type Clue string

// The clues.
const (
	ByFooter    Clue = "footer"     // the sentence with which the program says where the form is
	ByMessageID Clue = "message-id" // the right side of Message-ID
	ByLinks     Clue = "links"      // most links in the text lead there
)

// A Mail is what was found.
type Mail struct {
	Recognised Recognised
	Reason     Reason    // of No
	Programs   []Program // the most telling first
	Signs      []message.Sign
	// WordPress: a program that runs in WordPress made it.
	WordPress bool
	// Mailer is how WP Mail SMTP sent it: "mail" (PHP's mail()), "smtp", "gmail" …;
	// "" if it did not.
	Mailer string
	Role   Role
	// Marked: a field says that a program sent it, so that other programs do not
	// answer (RFC 3834 §5). By is that field.
	Marked bool
	By     *message.Field
	// Passed: it went through a list or was forwarded, so that Return-Path and
	// signatures are no longer the site's.
	Passed bool
	// Site is the organizational domain of the web site, "" if it is not known for
	// sure: one that the program names, or on which two clues agree.
	Site  string
	Clues []Clue
	// Quoted is what the visitor typed as far as the mail repeats it; nil if no free
	// text is seen.
	Quoted *Line
	// Abused is where a web address stands in what should be a name or a subject: what
	// strangers do who use the form to advertise. nil if there is none.
	Abused *Line
	// Links are the organizational domains that the mail's own text leads to, the most
	// frequent first.
	Links []string
}

// A Line is a line of the mail's text. It comes from strangers.
type Line struct {
	Text  string         // decoded, without markup
	Part  *message.Part  // where it stands; nil for the Subject
	Field *message.Field // Subject
	// Number is that of the line in the file, from 1. In an encoded part it is where
	// the part's content begins, and Exact is false.
	Number int
	Exact  bool
}

// Limits on how much of a mail is looked at.
const (
	maxText  = 64 << 10 // octets of the text that is read
	maxLines = 2000
	maxLine  = 1000 // octets of a line that patterns see
)

var (
	// personal are mail programs of people, in X-Mailer or User-Agent.
	personal = regexp.MustCompile(`(?i)outlook|apple mail|thunderbird|i(?:phone|pad) mail|becky!|shuriken|airmail|evolution|mutt|k-?mail|sylpheed|claws|eM ?Client|\bmail \(\d|gnus|postbox|mailspring|windows live mail`)
	// webmail are programs with which people write in a web page.
	webmail   = regexp.MustCompile(`(?i)roundcube|rcube|rcmail|squirrelmail|horde|imp\b|rainloop|snappymail|afterlogic|cypht|active! ?mail|zimbra|sogo|nextcloud`)
	automatic = regexp.MustCompile(`(?i)自動|\bauto(?:mat|[- ]?repl)`)
	answers   = regexp.MustCompile(`(?i)^\s*(?:re|fwd?|aw|wg|tr|sv|antw)\s*(?:\[\d+\])?\s*[:：]`)
)

// Read recognises a mail by its signs (Message.Signs). The error is that of reading
// the body.
func Read(m *message.Message, signs []message.Sign) (*Mail, error) {
	w := &Mail{Recognised: No, Reason: NoSign, Role: Unknown}
	switch {
	case Bounce(m):
		w.Reason = IsBounce
		return w, nil
	case isWebmail(m):
		w.Reason = IsWeb
		return w, nil
	}
	lines, err := Text(m)
	if err != nil {
		return nil, err
	}
	person := ByPerson(m)
	dropped := w.take(m, signs, person)
	body := scan(lines)
	w.Quoted = body.quoted
	w.Abused = body.abused
	w.recognise(signs, body, person)
	if w.Recognised == No {
		if dropped {
			w.Reason = IsPerson
		}
		return &Mail{Recognised: No, Reason: w.Reason, Role: Unknown}, nil
	}
	w.Reason = ""
	if f := m.Field("Subject"); w.Abused == nil && f != nil && webAddress.MatchString(clip(f.Text())) {
		w.Abused = &Line{Text: clip(f.Text()), Field: f, Number: f.Line, Exact: true}
	}
	w.findSite(m, body)
	w.findRole(m, signs, body)
	return w, nil
}

// Bounce reports whether the mail tells of another that did not arrive (RFC 3464,
// RFC 5321 §6.1).
func Bounce(m *message.Message) bool {
	if m.Root.MediaType == "multipart/report" || m.Field("X-Failed-Recipients") != nil {
		return true
	}
	if f := m.Field("Return-Path"); f != nil {
		l := f.Addresses()
		// Auto-replies have a null sender too (RFC 3834 §3.3), but only mail systems
		// call themselves so.
		if len(l.Addresses) == 1 && l.Addresses[0].Null() {
			local := strings.ToLower(from(m).Local)
			return local == "mailer-daemon" || local == "postmaster"
		}
	}
	return strings.EqualFold(from(m).Local, "mailer-daemon")
}

func isWebmail(m *message.Message) bool {
	for _, name := range []string{"User-Agent", "X-Mailer", "X-PHP-Originating-Script", "X-PHP-Script"} {
		for _, f := range m.Fields(name) {
			if webmail.MatchString(clip(f.Text())) {
				return true
			}
		}
	}
	return false
}

// ByPerson reports whether a person wrote the mail, as far as it shows: a mail program
// of people names itself, or it answers another mail or passes one on. What stands in
// its text may be quoted.
func ByPerson(m *message.Message) bool {
	return personal.MatchString(clip(m.Value("X-Mailer"))) || personal.MatchString(clip(m.Value("User-Agent"))) || isWebmail(m) || isAnswer(m)
}

// isAnswer reports whether a person answers or passes another mail on. A program
// answers a form, not a mail, so it has nothing to refer to.
func isAnswer(m *message.Message) bool {
	if m.Field("In-Reply-To") != nil || m.Field("References") != nil {
		return true
	}
	f := m.Field("Subject")
	return f != nil && answers.MatchString(clip(f.Text()))
}

// from is the first address of From, "" if there is none.
func from(m *message.Message) message.Address {
	if f := m.Field("From"); f != nil {
		if l := f.Addresses(); len(l.Addresses) > 0 {
			return l.Addresses[0]
		}
	}
	return message.Address{}
}

// wordpress are the programs that run in WordPress and nowhere else.
var wordpress = map[string]bool{"WordPress": true, "WP Mail SMTP": true, "Contact Form 7": true, "WooCommerce": true, "Elementor": true}

// take keeps the signs of web programs that count. It says whether there are others,
// which a person may have quoted.
func (w *Mail) take(m *message.Message, signs []message.Sign, person bool) (dropped bool) {
	if a, f, ok := m.ReturnPath(); ok {
		user, host := a.HostUser()
		switch {
		case user && serverUsers[strings.ToLower(a.Local)]:
			w.server(f, a, true)
		case (user || host || Host(a.Domain)) && !person:
			w.server(f, a, false)
		}
	}
	for _, s := range signs {
		switch s.Kind {
		case message.SignForwarded:
			w.Passed = true
		case message.SignAutomatic:
			if w.By == nil {
				w.Marked, w.By = true, s.Field
			}
		case message.SignBulk:
			// Precedence keeps programs from answering, too (RFC 3834 §2).
			if s.Name == "Precedence" && w.By == nil {
				w.Marked, w.By = true, s.Field
			}
		case message.SignSoftware:
			if s.Part != nil && strings.HasPrefix(s.Line, ">") {
				continue
			}
			sure := s.Certain()
			if person && (s.Part != nil || !sure) {
				dropped = true
				continue
			}
			w.Signs = append(w.Signs, s)
			p := Program{Name: s.Name, Sure: sure}
			switch s.Name {
			case "WP Mail SMTP":
				var version string
				w.Mailer, version, _ = strings.Cut(s.Value, " ")
				w.Mailer, p.Version = strings.ToLower(w.Mailer), version
			case "PHPMailer":
				p.Version = s.Value
			}
			w.add(p)
			w.WordPress = w.WordPress || sure && wordpress[s.Name]
		}
	}
	slices.SortStableFunc(w.Programs, func(a, b Program) int { return rank(b) - rank(a) })
	return dropped
}

// serverUsers are users as which web servers run and nobody writes mail. Others, such
// as root, write mail of their own (cron).
var serverUsers = map[string]bool{"www-data": true, "apache": true, "apache2": true, "httpd": true, "nginx": true, "wwwrun": true}

// WebServer is the name of a program that is known only by the user of the server.
const WebServer = "web server"

func (w *Mail) server(f *message.Field, a message.Address, sure bool) {
	w.Signs = append(w.Signs, message.Sign{Kind: message.SignSoftware, Name: WebServer, Sure: sure, Value: clip(a.Address()),
		Field: f, Source: "users of web servers, names of machines at hosts", Confidence: "observed"})
	w.add(Program{Name: WebServer, Sure: sure})
}

func (w *Mail) add(p Program) {
	for i := range w.Programs {
		if q := &w.Programs[i]; q.Name == p.Name {
			q.Sure = q.Sure || p.Sure
			if q.Version == "" {
				q.Version = p.Version
			}
			return
		}
	}
	w.Programs = append(w.Programs, p)
}

// rank says how much a program's name tells: the form's before the library's.
func rank(p Program) int {
	r := 2
	switch p.Name {
	case WebServer:
		r = -1
	case "PHP", "PHPMailer", "Swift Mailer", "contact form":
		r = 0
	case "WordPress":
		r = 1
	}
	if p.Sure {
		r += 4
	}
	return r
}

// recognise weighs the signs.
func (w *Mail) recognise(signs []message.Sign, body *body, person bool) {
	places := map[string]bool{}
	for _, s := range w.Signs {
		if s.Certain() {
			w.Recognised = Sure
			return
		}
		switch {
		case s.Part != nil:
			places["text"] = true
		case s.Field != nil:
			places[s.Field.Key()] = true
		}
	}
	if person {
		return
	}
	says := false // that it is automatic
	for _, s := range signs {
		if s.Kind == message.SignAcknowledgement && !strings.HasPrefix(s.Line, ">") {
			w.Signs = append(w.Signs, s)
			places["acknowledgement"] = true
			says = says || automatic.MatchString(s.Line) || s.Field != nil && automatic.MatchString(clip(s.Field.Text()))
		}
	}
	// An acknowledgement alone may be a person's, or a vacation notice; one that says
	// that it is automatic, over what was typed under labels, is a form's.
	if body.labels >= 2 {
		places["labels"] = true
	}
	if len(places) >= 2 && (len(w.Programs) > 0 || places["labels"] && says) {
		w.Recognised = Likely
	} else {
		w.Signs = nil
	}
}

// findRole tells notice and reply apart.
func (w *Mail) findRole(m *message.Message, signs []message.Sign, body *body) {
	ack, sureAck := false, false
	for _, s := range signs {
		switch s.Kind {
		case message.SignAcknowledgement:
			ack = true
			sureAck = sureAck || s.Certain()
		case message.SignBulk:
			if s.Sure && s.Name != "Precedence" && s.Name != "Feedback-ID" {
				return // a newsletter
			}
		}
	}
	f, to, reply := from(m), first(m, "To"), first(m, "Reply-To")
	// Whose a domain is: the site's, if that is known; otherwise that of From, unless
	// From is the visitor's.
	home := Org(f.Domain)
	if message.Freemail(f.Domain) || reply.Domain != "" && strings.EqualFold(reply.Address(), f.Address()) {
		home = ""
	}
	own := func(a message.Address) bool {
		org := Org(a.Domain)
		return org != "" && (org == home || org == w.Site)
	}
	visitors := reply.Domain != "" && !own(reply)
	form := body.labels >= 2 || slices.ContainsFunc(w.Signs, func(s message.Sign) bool {
		return s.Part != nil && (s.Name == "Contact Form 7" || s.Name == "contact form" || s.Name == "Elementor")
	})
	switch {
	case to.Domain == "" || strings.EqualFold(to.Address(), f.Address()):
		// A mail to oneself: both are the owner.
		if form && visitors {
			w.Role = Notice
		}
	case sureAck:
		w.Role = Reply
	case ack && !own(to):
		w.Role = Reply
	case ack:
		// The owner's own test, or a copy for the owner.
	case !form:
	case own(reply) && !own(to) && !strings.EqualFold(reply.Address(), to.Address()):
		w.Role = Reply // Mail (2) of Contact Form 7: To the visitor, Reply-To the owner
	case own(to), visitors, body.sender:
		w.Role = Notice
	}
}

func first(m *message.Message, name string) message.Address {
	if f := m.Field(name); f != nil {
		if l := f.Addresses(); len(l.Addresses) > 0 {
			return l.Addresses[0]
		}
	}
	return message.Address{}
}

// Org is the organizational domain of a name, by the Public Suffix List; the name
// itself where the list has none, "" if it is no domain name.
func Org(domain string) string {
	name, err := dnsq.ParseName(domain)
	if err != nil || !strings.Contains(name, ".") {
		return ""
	}
	if org, ok := orgdomain.PSL(name); ok {
		return org
	}
	return name
}

// findSite finds out which web site it is.
func (w *Mail) findSite(m *message.Message, body *body) {
	for _, s := range w.Signs {
		if s.Part == nil || s.Name != "Contact Form 7" {
			continue
		}
		if u := webLink.FindString(s.Line); u != "" {
			if org := linkOrg(u); org != "" {
				w.Site, w.Clues = org, []Clue{ByFooter}
			}
		}
	}
	w.Links = body.links
	// The name of the machine is not that of the site.
	id := ""
	if f := m.Field("Message-ID"); f != nil {
		if _, right, ok := message.ParseMessageID(f.Value()); ok && message.PublicName(right) && !Host(right) {
			id = Org(right)
		}
	}
	top := ""
	if len(body.links) > 0 {
		top = body.links[0]
	}
	switch {
	case w.Site != "":
		if id == w.Site {
			w.Clues = append(w.Clues, ByMessageID)
		}
	case id != "" && id == top:
		w.Site, w.Clues = id, []Clue{ByMessageID, ByLinks}
	}
}

// machine is a first label that numbers a server, as web hosts name theirs.
var machine = regexp.MustCompile(`^(?:sv|srv|svr|server|www|web|host|h|s|ns|cp|vps|vm|cloud|box|node|p|hosting|shared|ip)-?[0-9]+[a-z0-9-]*$`)

// Host reports whether a domain looks like a web host's: one that a provider shares
// out, or the name of a numbered machine (sv1234.host.example).
func Host(domain string) bool {
	name, err := dnsq.ParseName(domain)
	if err != nil {
		return false
	}
	if _, is := provider.SharedDomain(name); is {
		return true
	}
	labels := dnsq.Labels(name)
	return len(labels) > 2 && machine.MatchString(labels[0])
}

// others are sites that mails lead to whoever wrote them.
var others = map[string]bool{"facebook.com": true, "twitter.com": true, "x.com": true, "t.co": true, "instagram.com": true, "line.me": true, "lin.ee": true,
	"youtube.com": true, "youtu.be": true, "google.com": true, "goo.gl": true, "google.co.jp": true, "w3.org": true, "wordpress.org": true, "wordpress.com": true,
	"woocommerce.com": true, "gravatar.com": true, "linkedin.com": true, "tiktok.com": true, "apple.com": true, "gmail.com": true, "elementor.com": true}

// linkOrg is the organizational domain that a web address leads to, "" if it has
// none or is one of others.
func linkOrg(link string) string {
	u, err := url.Parse(link)
	if err != nil {
		return ""
	}
	org := Org(u.Hostname())
	if others[org] {
		return ""
	}
	return org
}

func clip(s string) string {
	if len(s) > maxLine {
		s = s[:maxLine]
	}
	return strings.ToValidUTF8(s, "")
}
