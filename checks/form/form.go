// Package form checks mail that a program on a web server wrote: what a contact form
// or a shop sends. It says what shows that, which of the settings of such programs
// keeps the mail from arriving, and which sends strangers' text to strangers.
//
// Other mail is none of its business: it says so, once, and nothing else.
//
// Whether SPF, DKIM and DMARC let the mail pass is said by the checks of those names.
// Here it only decides whether a setting is at fault: a From of a large mail provider
// is right if that provider sent the mail, and a Return-Path of the web host does no
// harm to mail that is signed for the From domain.
package form

import (
	"context"
	"embed"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dmarc"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/message"
	"github.com/todoku-mail/todoku/pkg/spf"
	"github.com/todoku-mail/todoku/pkg/webform"
)

//go:embed doc.*.md
var docs embed.FS

var (
	wpMail   = diag.Page("WordPress: wp_mail()", "https://developer.wordpress.org/reference/functions/wp_mail/")
	wp69     = diag.Page("WordPress: More reliable email in WordPress 6.9", "https://make.wordpress.org/core/2025/11/18/more-reliable-email-in-wordpress-6-9/")
	gmailWeb = diag.Page("Google: Gmail not getting contact form messages", "https://support.google.com/a/answer/11966003")
	phpMail  = diag.Page("PHP: mail()", "https://www.php.net/manual/function.mail.php")
)

// What the check can find.
var (
	fromVisitor = &diag.Kind{ID: "FORM-FROM-VISITOR", Status: diag.Fail, Owner: diag.Developer, Since: "0.2",
		Args: []string{"from", "domain"}, Refs: []diag.Ref{diag.RFC(5322, "3.6.2"), gmailWeb, facts.Gmail}}
	fromFreemail = &diag.Kind{ID: "FORM-FROM-FREEMAIL", Status: diag.Fail, Owner: diag.Developer, Since: "0.2",
		Args: []string{"from", "domain"}, Refs: []diag.Ref{diag.RFC(5322, "3.6.2"), facts.Gmail}}
	fromHost = &diag.Kind{ID: "FORM-FROM-HOST-DOMAIN", Status: diag.Warn, Owner: diag.Developer, Since: "0.2",
		Args: []string{"from", "host"}, Refs: []diag.Ref{facts.Gmail}}
	fromServer = &diag.Kind{ID: "FORM-FROM-SERVER-NAME", Status: diag.Warn, Owner: diag.Developer, Since: "0.2",
		Args: []string{"from"}, Refs: []diag.Ref{diag.RFC(5321, "2.3.5"), wpMail}}
	otherCompany = &diag.Kind{ID: "FORM-OTHER-COMPANY", Status: diag.Warn, Owner: diag.Developer, Since: "0.2",
		Args: []string{"field", "address", "site"}, Key: []string{"field"}, Refs: []diag.Ref{diag.RFC(5322, "3.6.2"), facts.Gmail}}
	wordpressReturnPath = &diag.Kind{ID: "FORM-WORDPRESS-RETURN-PATH", Status: diag.Warn, Owner: diag.Developer, Since: "0.2",
		Args: []string{"return_path", "host"}, Refs: []diag.Ref{wp69, diag.RFC(9989, "4.4.2")}}
	returnPathHost = &diag.Kind{ID: "FORM-RETURN-PATH-HOST", Status: diag.Warn, Owner: diag.Developer, Since: "0.2",
		Args: []string{"return_path", "host"}, Refs: []diag.Ref{phpMail, diag.RFC(9989, "4.4.2")}}
	wordpressSPF = &diag.Kind{ID: "FORM-WORDPRESS-SPF", Status: diag.Warn, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"domain", "ip", "spf"}, Refs: []diag.Ref{wp69, diag.RFC(7208, "2.4")}}
	pluginUnused = &diag.Kind{ID: "FORM-SMTP-PLUGIN-UNUSED", Status: diag.Warn, Owner: diag.Developer, Since: "0.2",
		Refs: []diag.Ref{phpMail}}
	pluginFrom = &diag.Kind{ID: "FORM-SMTP-PLUGIN-FROM", Status: diag.Warn, Owner: diag.Developer, Since: "0.2",
		Args: []string{"from", "account"}, Refs: []diag.Ref{diag.RFC(9989, "4.4"), facts.Gmail}}
	serverName = &diag.Kind{ID: "FORM-SERVER-NAME", Status: diag.Warn, Owner: diag.Developer, Since: "0.2",
		Args: []string{"where", "name"}, Key: []string{"where"}, Refs: []diag.Ref{diag.RFC(5322, "3.6.4"), diag.RFC(5321, "4.1.4")}}
	replyAbused = &diag.Kind{ID: "FORM-REPLY-ABUSED", Status: diag.Warn, Owner: diag.Developer, Since: "0.2",
		Args: []string{"where"}, Refs: []diag.Ref{diag.RFC(3834, "6"), facts.Gmail}}
	replyQuotes = &diag.Kind{ID: "FORM-REPLY-QUOTES-VISITOR", Status: diag.Warn, Owner: diag.Developer, Since: "0.2",
		Refs: []diag.Ref{diag.RFC(3834, "6"), facts.Gmail}}
	replyUnmarked = &diag.Kind{ID: "FORM-REPLY-UNMARKED", Status: diag.Warn, Owner: diag.Developer, Since: "0.2",
		Refs: []diag.Ref{diag.RFC(3834, "3.1.7"), diag.RFC(3834, "5")}}
	noticeUnmarked = &diag.Kind{ID: "FORM-NOTICE-UNMARKED", Status: diag.Info, Since: "0.2",
		Refs: []diag.Ref{diag.RFC(3834, "5")}}
	defaultAddress = &diag.Kind{ID: "FORM-DEFAULT-ADDRESS", Status: diag.Info, Since: "0.2",
		Args: []string{"from"}, Refs: []diag.Ref{wpMail, wp69}}
	messageIDHost = &diag.Kind{ID: "FORM-MESSAGE-ID-HOST", Status: diag.Info, Since: "0.2",
		Args: []string{"name", "host"}, Refs: []diag.Ref{diag.RFC(5322, "3.6.4")}}
	recognized = &diag.Kind{ID: "FORM-RECOGNIZED", Status: diag.Info, Since: "0.2",
		Args: []string{"programs", "role", "signs"}, Refs: []diag.Ref{wpMail}}
	looksLike = &diag.Kind{ID: "FORM-LOOKS-LIKE", Status: diag.Info, Since: "0.2",
		Args: []string{"programs", "role", "signs"}, Refs: []diag.Ref{wpMail}}
	ok = &diag.Kind{ID: "FORM-OK", Status: diag.Pass, Since: "0.2",
		Refs: []diag.Ref{facts.Gmail}}
	none = &diag.Kind{ID: "FORM-NONE", Status: diag.Skip, Since: "0.2",
		Args: []string{"why"}, Refs: []diag.Ref{wpMail}}
	undetermined = &diag.Kind{ID: "FORM-UNDETERMINED", Status: diag.Inconclusive, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"question", "reason"}, Key: []string{"question"}, Refs: []diag.Ref{diag.RFC(9989, "4.4")}}
)

// Check is the form check.
var Check = &diag.Check{
	Name: "form",
	Docs: docs,
	Kinds: []*diag.Kind{fromVisitor, fromFreemail, undetermined, fromHost, fromServer, otherCompany, wordpressReturnPath, returnPathHost, wordpressSPF,
		pluginUnused, pluginFrom, serverName, replyAbused, replyQuotes, replyUnmarked, noticeUnmarked, defaultAddress, messageIDHost,
		recognized, looksLike, ok, none},
	Needs:        diag.Needs{Input: diag.MailInput},
	Uses:         diag.Doors{DNS: true},
	Requires:     []diag.AnyFact{facts.MailSigns, facts.MailVerdict},
	Run:          run,
	Undetermined: undetermined,
}

// Data are the check's facts for machines.
type Data struct {
	Recognised webform.Recognised `json:"recognised"` // sure, likely, no
	Programs   []Program          `json:"programs,omitempty"`
	Role       webform.Role       `json:"role,omitempty"` // notice, reply, unknown
	// Vouched says whether SPF or DKIM vouches for the From domain: yes, no, unknown.
	Vouched       string `json:"vouched,omitempty"`
	Site          string `json:"site,omitempty"`   // organizational domain of the web site
	Mailer        string `json:"mailer,omitempty"` // how WP Mail SMTP sent it
	AutoSubmitted bool   `json:"auto_submitted"`   // a field says that a program sent it
	QuotesVisitor bool   `json:"quotes_visitor"`   // it repeats free text of a form
}

// Program is what made the mail.
type Program struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	Sure    bool   `json:"sure"`
}

// A form is one run.
type form struct {
	*diag.Job
	ctx  context.Context
	mail *facts.Mail
	web  *webform.Mail

	from, replyTo, to, returnPath message.Address
	fromField                     *message.Field
	fromOrg                       string
	subject                       string
	verdict                       *facts.MailDMARC
	vouched                       string // yes, no, unknown
	bad                           bool   // something was found at fault, or could not be judged
	fromFirst                     bool   // From has to be mended before anything else
	undecided                     bool   // that something could not be judged was said
}

func run(ctx context.Context, j *diag.Job) error {
	m := facts.MailOf(j.Target)
	signs, err := facts.MailSigns.Of(ctx, j.World, m)
	if err != nil {
		return err
	}
	c := &form{Job: j, ctx: ctx, mail: m}
	if c.web, err = webform.Read(m.Message, signs); err != nil {
		return err
	}
	c.addresses()
	if c.web.Recognised == webform.No {
		j.Report(diag.Finding{Kind: none, Subject: c.subject, Args: diag.Args{"why": string(c.web.Reason)}})
		j.SetData(Data{Recognised: webform.No})
		return nil
	}
	if err := c.learn(); err != nil {
		return err
	}
	c.judgeFrom()
	c.judgeReturnPath()
	c.judgePlugin()
	c.judgeNames()
	c.judgeReply()
	c.say()
	c.data()
	return nil
}

// find reports something.
func (c *form) find(k *diag.Kind, args diag.Args, evidence ...diag.Evidence) {
	if args == nil {
		args = diag.Args{}
	}
	if k.Status >= diag.Warn {
		c.bad = true
	}
	c.Report(diag.Finding{Kind: k, Subject: c.subject, Args: args, Evidence: evidence})
}

// addresses reads who the mail is from and for.
func (c *form) addresses() {
	c.fromField = c.mail.Field("From")
	c.from, c.replyTo, c.to = first(c.fromField), first(c.mail.Field("Reply-To")), first(c.mail.Field("To"))
	c.fromOrg = webform.Org(c.from.Domain)
	if !c.Target.NullSender {
		if i := strings.LastIndexByte(c.Target.MailFrom, '@'); i >= 0 {
			c.returnPath = message.Address{Local: c.Target.MailFrom[:i], Domain: c.Target.MailFrom[i+1:]}
		}
	}
	if c.subject = c.Target.From; c.subject == "" {
		c.subject = c.Target.Domain
	}
	if c.subject == "" {
		c.subject = c.from.Domain
	}
}

// first is the first address of a field, the zero Address if there is none.
func first(f *message.Field) message.Address {
	if f != nil {
		if l := f.Addresses(); len(l.Addresses) > 0 {
			return l.Addresses[0]
		}
	}
	return message.Address{}
}

// learn finds out whether SPF or DKIM vouches for the From domain.
func (c *form) learn() error {
	c.vouched = "no"
	if c.Target.From == "" {
		return nil // there is no domain that anything could vouch for
	}
	v, err := facts.MailVerdict.Of(c.ctx, c.World, facts.MailAskOf(c.Target))
	if err != nil {
		return err
	}
	c.verdict = v
	if len(v.Passing()) > 0 {
		c.vouched = "yes"
		return nil
	}
	for _, id := range v.Identifiers {
		open := id.Result == string(spf.TempError) || id.Result == "pass" && id.Aligned == dmarc.Undetermined
		if open && id.Aligned != dmarc.NotAligned {
			c.vouched = "unknown"
		}
	}
	// Without a sending address SPF cannot be judged. It matters only if the
	// Return-Path could vouch for From at all.
	if len(c.Target.IPs) == 0 && c.vouched == "no" && webform.Org(c.Target.MailFromDomain()) == c.fromOrg && c.fromOrg != "" {
		c.vouched = "unknown"
	}
	return nil
}

// open reports that what a verdict hangs on is not known.
func (c *form) open() {
	f := diag.Finding{Kind: undetermined, Subject: c.subject, Args: diag.Args{"question": "address", "reason": "not-known"}}
	if c.verdict != nil && len(c.verdict.Unknown) > 0 {
		e := c.verdict.Unknown[0]
		f.Unknown, f.Args = []*dnsq.Error{e}, diag.Args{"question": e.Question.String(), "reason": string(e.Reason)}
	}
	c.bad, c.undecided = true, true
	c.Report(f)
}
