// Package bulk checks whether those who get a newsletter can leave it with one click,
// as Gmail and Yahoo demand of marketing mail since June 2024 (RFC 8058).
//
// # One click in a few lines
//
//	List-Unsubscribe: <https://shop.example/u/1a2b>, <mailto:u@shop.example>
//	List-Unsubscribe-Post: List-Unsubscribe=One-Click
//
// The first field says where (RFC 2369 §3.2). The second says that a POST to the https
// address is enough: no page, no login, no question (RFC 8058 §3.1). Both must be
// covered by a DKIM signature that verifies, for otherwise a stranger could add them
// (RFC 8058 §4). A mailto: address alone is no such way.
//
// # Which mail it is demanded of
//
// Of marketing and other mail that one subscribes to. Order confirmations, passwords,
// answers to a form are exempt, at Gmail in so many words. Nothing in a mail says which
// it is, so this goes by evidence, and where there is none says nothing:
//
//   - List-Unsubscribe itself: the sender says that one can leave.
//   - An offer to leave in the text, with a link beside it, in a mail that no person
//     wrote, answered or passed on. That is the newsletter of one's own script, which
//     has no fields at all.
//   - List-ID or "Precedence: bulk" together with such an offer, wherever the link is.
//
// Not taken as evidence, because services put them into all mail that they send:
// Feedback-ID, fields of mailing services. Of the mail that qualifies, that is left out
// whose Subject names an order, a payment, a booking, an account or an enquiry, and that
// of lists on which people write (List-Post), whose programs are not made for one click
// and of which Gmail does not demand it. That leaves out a newsletter with "your order"
// in its Subject; it is better to miss one than to accuse an invoice.
package bulk

import (
	"context"
	"embed"
	"regexp"
	"slices"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/message"
	"github.com/todoku-mail/todoku/pkg/webform"
)

//go:embed doc.*.md
var docs embed.FS

// What the check can find.
var (
	noUnsubscribe = &diag.Kind{ID: "BULK-NO-UNSUBSCRIBE", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Refs: []diag.Ref{diag.RFC(2369, "3.2"), diag.RFC(8058, "3.1"), facts.Gmail, facts.Yahoo}}
	syntax = &diag.Kind{ID: "BULK-UNSUBSCRIBE-SYNTAX", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"problem"}, Refs: []diag.Ref{diag.RFC(2369, "2"), diag.RFC(8058, "3.1")}}
	notHTTPS = &diag.Kind{ID: "BULK-UNSUBSCRIBE-NOT-HTTPS", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"uri"}, Refs: []diag.Ref{diag.RFC(8058, "3.1"), facts.Gmail, facts.Yahoo}}
	noOneClick = &diag.Kind{ID: "BULK-NO-ONE-CLICK", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"problem"}, Refs: []diag.Ref{diag.RFC(8058, "3.1"), facts.Gmail, facts.Yahoo}}
	unsigned = &diag.Kind{ID: "BULK-UNSUBSCRIBE-UNSIGNED", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"fields", "problem"}, Refs: []diag.Ref{diag.RFC(8058, "4"), diag.RFC(6376, "5.4")}}
	undetermined = &diag.Kind{ID: "BULK-UNDETERMINED", Status: diag.Inconclusive, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"question", "reason"}, Key: []string{"question"}, Refs: []diag.Ref{diag.RFC(8058, "4")}}
	noVisible = &diag.Kind{ID: "BULK-NO-VISIBLE-LINK", Status: diag.Info, Since: "0.2",
		Refs: []diag.Ref{facts.Gmail, facts.Yahoo}}
	fields = &diag.Kind{ID: "BULK-FIELDS", Status: diag.Info, Since: "0.2",
		Args: []string{"fields"}, Refs: []diag.Ref{diag.RFC(2919, "3"), diag.RFC(3834, "3.1.8"), diag.Page("Google: Feedback loop", "https://support.google.com/a/answer/6254652")}}
	ok = &diag.Kind{ID: "BULK-OK", Status: diag.Pass, Since: "0.2",
		Args: []string{"signature"}, Refs: []diag.Ref{diag.RFC(8058, "3.1"), diag.RFC(8058, "4")}}
	none = &diag.Kind{ID: "BULK-NONE", Status: diag.Skip, Since: "0.2",
		Args: []string{"why"}, Refs: []diag.Ref{facts.Gmail}}
)

// Check is the bulk check.
var Check = &diag.Check{
	Name:         "bulk",
	Docs:         docs,
	Kinds:        []*diag.Kind{noUnsubscribe, syntax, notHTTPS, noOneClick, unsigned, undetermined, noVisible, fields, ok, none},
	Needs:        diag.Needs{Input: diag.MailInput},
	Uses:         diag.Doors{DNS: true},
	Requires:     []diag.AnyFact{facts.MailSigns, facts.MailSignatures},
	Run:          run,
	Undetermined: undetermined,
}

// Data are the check's facts for machines.
type Data struct {
	// Marketing: the mail looks like marketing; Why says why it does not.
	Marketing bool   `json:"marketing"`
	Why       string `json:"why,omitempty"`
	// URIs are those of List-Unsubscribe.
	URIs     []string `json:"uris,omitempty"`
	OneClick bool     `json:"one_click"` // RFC 8058 §3.1 is met
	// Signed says whether a signature that verifies covers both fields: yes, no,
	// unknown; absent where that was not asked.
	Signed        string `json:"signed,omitempty"`
	ListID        string `json:"list_id,omitempty"`
	Precedence    string `json:"precedence,omitempty"`
	FeedbackID    string `json:"feedback_id,omitempty"`
	AutoSubmitted string `json:"auto_submitted,omitempty"`
}

// shown are fields that say what kind of mail it is, for people to see.
var shown = []string{"List-ID", "Precedence", "Feedback-ID", "Auto-Submitted"}

type bulk struct {
	*diag.Job
	ctx     context.Context
	mail    *facts.Mail
	unsub   message.Unsubscribe
	subject string
	offer   *webform.Line // what the text says about leaving, with a link
	word    bool          // the text speaks of leaving
	data    Data
}

func run(ctx context.Context, j *diag.Job) error {
	m := facts.MailOf(j.Target)
	c := &bulk{Job: j, ctx: ctx, mail: m, unsub: m.Unsubscribe(), subject: j.Target.From}
	if c.subject == "" {
		c.subject = j.Target.Domain
	}
	signs, err := facts.MailSigns.Of(ctx, j.World, m)
	if err != nil {
		return err
	}
	if err := c.readText(); err != nil {
		return err
	}
	w, err := webform.Read(m.Message, signs)
	if err != nil {
		return err
	}
	defer func() { j.SetData(c.data) }()
	c.data.URIs = c.unsub.URIs
	c.data.Why = c.why(w)
	if c.data.Why != "" {
		j.Report(diag.Finding{Kind: none, Subject: c.subject, Args: diag.Args{"why": c.data.Why}})
		c.show()
		return nil
	}
	c.data.Marketing = true
	if err := c.judge(); err != nil {
		return err
	}
	if c.offer == nil && !c.word {
		c.find(noVisible, nil)
	}
	c.show()
	return nil
}

func (c *bulk) find(k *diag.Kind, args diag.Args, fields ...*message.Field) {
	if args == nil {
		args = diag.Args{}
	}
	f := diag.Finding{Kind: k, Subject: c.subject, Args: args}
	for _, x := range fields {
		if x != nil {
			f.Evidence = append(f.Evidence, c.mail.FieldEvidence(x, 0, 0))
		}
	}
	c.Report(f)
}

var (
	leaving = regexp.MustCompile(`(?i)\bunsubscrib(?:e|ing)\b|\bopt[- ]?out\b|配信(?:の|を)?(?:停止|解除)|メルマガ(?:の|を)?(?:解除|退会|停止)|購読(?:の|を)?(?:解除|停止|中止)|受信(?:の|を)?停止`)
	link    = regexp.MustCompile(`(?i)https?://|mailto:|[^\s@]@[a-z0-9-]+\.[a-z]`)
	// transactional are Subjects of mail that somebody asked for by what they did.
	transactional = regexp.MustCompile(`(?i)ご?注文|発送|出荷|お届け|配送|領収|請求|見積|納品|お?支払|入金|予約|パスワード|認証|ワンタイム|本人確認|登録(?:の)?(?:完了|確認)|明細|利用通知|会員情報|アカウント|お問い?合わ?せ|お問合せ|自動返信|\b(?:receipt|invoice|order|shipped|shipment|delivery|password|passcode|verification|verify|one[- ]time|security (?:code|alert)|sign[- ]in|log[- ]?in|confirm|confirmation|booking|reservation|payment|refund|appointment|statement|account|ticket)\b`)
)

// readText looks for an offer to leave: words for it, and a link in the line or within
// two lines of it.
func (c *bulk) readText() error {
	lines, err := webform.Text(c.mail.Message)
	if err != nil {
		return err
	}
	for i := range lines {
		l := &lines[i]
		if strings.HasPrefix(strings.TrimLeft(l.Text, " "), ">") || !leaving.MatchString(l.Text) {
			continue
		}
		c.word = true
		for _, near := range lines[max(0, i-2):min(len(lines), i+3)] {
			if c.offer == nil && link.MatchString(near.Text) {
				c.offer = l
			}
		}
	}
	return nil
}

// why says why the mail does not look like marketing; "" if it does.
func (c *bulk) why(w *webform.Mail) string {
	m := c.mail.Message
	subject := ""
	if f := m.Field("Subject"); f != nil {
		subject = f.Text()
	}
	// RFC 2369 §3.4: "NO" says that nobody may post, as with announcements.
	if f := m.Field("List-Post"); f != nil && !strings.EqualFold(strings.TrimSpace(f.Value()), "NO") || m.Field("Mailing-List") != nil {
		return "list"
	}
	series := m.Field("List-ID") != nil || precedence(m) == "bulk" || precedence(m) == "junk"
	switch {
	case webform.Bounce(m):
		return "bounce"
	case w.Role != webform.Unknown:
		return "form"
	case c.unsub.Field == nil && c.offer == nil && !(series && c.word):
		return "no-sign"
	case c.unsub.Field == nil && webform.ByPerson(m):
		return "person"
	case transactional.MatchString(subject):
		return "transactional"
	}
	return ""
}

func precedence(m *message.Message) string {
	return strings.ToLower(strings.TrimSpace(m.Value("Precedence")))
}

// judge looks at the way out.
func (c *bulk) judge() error {
	list, post := c.unsub.Field, c.mail.Field("List-Unsubscribe-Post")
	// RFC 2369 §2: each field at most once. Receivers take one of them, and which
	// one is not laid down.
	for _, name := range []string{"List-Unsubscribe", "List-Unsubscribe-Post"} {
		if fs := c.mail.Fields(name); len(fs) > 1 {
			c.find(syntax, diag.Args{"problem": "twice"}, fs[:min(len(fs), 4)]...)
			return nil
		}
	}
	var https, http string
	for _, u := range c.unsub.URIs {
		switch {
		case https == "" && len(u) > 8 && strings.EqualFold(u[:8], "https://"):
			https = u
		case http == "" && len(u) > 7 && strings.EqualFold(u[:7], "http://"):
			http = u
		}
	}
	switch {
	case list == nil:
		f := diag.Finding{Kind: noUnsubscribe, Subject: c.subject, Args: diag.Args{}}
		if o := c.offer; o != nil {
			f.Evidence = []diag.Evidence{{Name: o.Part.MediaType, Type: "body", Text: o.Text, Source: dnsq.SourceMessage, File: c.mail.File, Line: o.Number}}
		}
		c.Report(f)
	case len(c.unsub.URIs) == 0:
		// RFC 2369 §2: a URI stands in angle brackets; what does not is no URI.
		c.find(syntax, diag.Args{"problem": "no-brackets"}, list)
	case https == "" && http != "":
		// RFC 8058 §3.1: the field must hold one https URI.
		c.find(notHTTPS, diag.Args{"uri": http}, list)
	case https == "":
		c.find(noOneClick, diag.Args{"problem": "mailto"}, list)
	case post == nil:
		c.find(noOneClick, diag.Args{"problem": "no-post"}, list)
	case !c.unsub.OneClick:
		// RFC 8058 §3.1: the value is "List-Unsubscribe=One-Click" and nothing else.
		c.find(noOneClick, diag.Args{"problem": "post-value"}, post)
	default:
		c.data.OneClick = true
		return c.signed(list, post)
	}
	return nil
}

// signed looks whether a signature covers both fields (RFC 8058 §4).
func (c *bulk) signed(list, post *message.Field) error {
	auth, err := facts.MailSignatures.Of(c.ctx, c.World, c.mail)
	if err != nil {
		return err
	}
	at := func(f *message.Field) int { return slices.Index(c.mail.Header, f) }
	var open *dkim.Verification // would cover both, if only its key were known
	lacking := []string{list.Name, post.Name}
	problem := "none"
	for _, v := range auth.DKIM.Signatures {
		var missing []string
		for _, f := range []*message.Field{list, post} {
			if !slices.Contains(v.Selected, at(f)) {
				missing = append(missing, f.Name)
			}
		}
		switch {
		case v.RFC8301 == dkim.Pass && len(missing) == 0:
			c.data.Signed = "yes"
			c.find(ok, diag.Args{"signature": v.Domain})
			return nil
		case v.RFC8301 == dkim.TempError && len(missing) == 0:
			open = v
		case v.RFC8301 == dkim.Pass && (problem != "not-covered" || len(missing) < len(lacking)):
			problem, lacking = "not-covered", missing
		case problem == "none":
			problem = "invalid"
		}
	}
	if open != nil {
		c.data.Signed = "unknown"
		e := &dnsq.Error{Question: dnsq.Q(open.Selector+"._domainkey."+open.Domain, dnsq.TypeTXT), Reason: dnsq.OverDue}
		if open.Lookup != nil && open.Lookup.Err != nil {
			e = open.Lookup.Err
		}
		c.Report(diag.Finding{Kind: undetermined, Subject: c.subject, Unknown: []*dnsq.Error{e},
			Args: diag.Args{"question": e.Question.String(), "reason": string(e.Reason)}})
		return nil
	}
	c.data.Signed = "no"
	c.find(unsigned, diag.Args{"fields": lacking, "problem": problem}, list, post)
	return nil
}

// show tells which of the fields the mail has that say what kind of mail it is.
func (c *bulk) show() {
	var list []string
	var at []*message.Field
	for _, name := range shown {
		f := c.mail.Field(name)
		if f == nil {
			continue
		}
		at = append(at, f)
		value := short(f.Text())
		list = append(list, name+": "+value)
		switch name {
		case "List-ID":
			c.data.ListID = value
		case "Precedence":
			c.data.Precedence = value
		case "Feedback-ID":
			c.data.FeedbackID = value
		case "Auto-Submitted":
			c.data.AutoSubmitted = value
		}
	}
	if list != nil {
		c.find(fields, diag.Args{"fields": list}, at...)
	}
}

// short is the beginning of a value from strangers.
func short(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 120 {
		s = strings.ToValidUTF8(s[:120], "") + "…"
	}
	return s
}
