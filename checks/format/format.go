// Package format checks the form of a mail: what RFC 5322, RFC 2045 to 2047 and
// RFC 6532 demand, and what receivers refuse mail for beyond that.
//
// The faults themselves are found by package message, each with its octets, line
// and offset; here stands which of them receivers act on, how, and who mends it.
// What the receiver put on top of the mail, and what only the storing of the file
// changed (line ends), is never a fault of the mail.
package format

import (
	"context"
	"embed"
	"slices"
	"strings"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dmarc"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
	"github.com/todoku-mail/todoku/pkg/message"
	"github.com/todoku-mail/todoku/pkg/orgdomain"
	"github.com/todoku-mail/todoku/pkg/received"
	"github.com/todoku-mail/todoku/pkg/webform"
)

//go:embed doc.*.md
var docs embed.FS

// kind makes a Kind about a fault of the form: its arguments are the field (or
// part) and which of several problems with one remedy it is.
func kind(id string, status diag.Status, owner diag.Owner, refs ...diag.Ref) *diag.Kind {
	return &diag.Kind{ID: id, Status: status, Owner: owner, Since: "0.1", Args: []string{"field", "problem"}, Key: []string{"field", "problem"}, Refs: refs}
}

// What the check can find.
var (
	from          = kind("FORMAT-FROM", diag.Fail, diag.Developer, diag.RFC(5322, "3.6.2"), facts.Gmail, facts.GmailCodes)
	fromDomain    = kind("FORMAT-FROM-DOMAIN", diag.Fail, diag.Developer, diag.RFC(5321, "2.3.5"), facts.Yahoo)
	twice         = kind("FORMAT-HEADER-TWICE", diag.Fail, diag.Developer, diag.RFC(5322, "3.6"), facts.Gmail, facts.GmailCodes)
	dateMissing   = kind("FORMAT-DATE-MISSING", diag.Fail, diag.Developer, diag.RFC(5322, "3.6.1"), facts.Yahoo)
	idMissing     = kind("FORMAT-MESSAGE-ID-MISSING", diag.Fail, diag.Developer, diag.RFC(5322, "3.6.4"), facts.Gmail, facts.GmailCodes)
	addressSyntax = kind("FORMAT-ADDRESS-SYNTAX", diag.Fail, diag.Developer, diag.RFC(5322, "3.4"), facts.Yahoo)
	notAField     = kind("FORMAT-HEADER-BROKEN", diag.Fail, diag.Developer, diag.RFC(5322, "2.2"))
	longLine      = kind("FORMAT-LONG-LINE", diag.Fail, diag.Developer, diag.RFC(5322, "2.1.1"), facts.Docomo)
	wordInAddress = kind("FORMAT-WORD-IN-ADDRESS", diag.Fail, diag.Developer, diag.RFC(2047, "5"), facts.Gmail)

	repeated      = kind("FORMAT-HEADER-REPEATED", diag.Warn, diag.Developer, diag.RFC(5322, "3.6"), diag.RFC(2369, "2"))
	dateForm      = kind("FORMAT-DATE-FORM", diag.Warn, diag.Developer, diag.RFC(5322, "3.3"))
	idForm        = kind("FORMAT-MESSAGE-ID-FORM", diag.Warn, diag.Developer, diag.RFC(5322, "3.6.4"), facts.Gmail)
	toMissing     = kind("FORMAT-TO-MISSING", diag.Warn, diag.Developer, diag.RFC(5322, "3.6.3"))
	addressForm   = kind("FORMAT-ADDRESS-FORM", diag.Warn, diag.Developer, diag.RFC(5322, "3.4"))
	addressDots   = kind("FORMAT-ADDRESS-DOTS", diag.Warn, diag.Reader, diag.RFC(5322, "3.2.3"), diag.RFC(5321, "4.1.2"))
	addressDomain = kind("FORMAT-ADDRESS-DOMAIN", diag.Warn, diag.Developer, diag.RFC(5321, "2.3.5"))
	raw8bit       = kind("FORMAT-RAW-8BIT", diag.Warn, diag.Developer, diag.RFC(5322, "2.2"), diag.RFC(2047, "5"), facts.Gmail)
	control       = kind("FORMAT-CONTROL", diag.Warn, diag.Developer, diag.RFC(5322, "2.2"), diag.RFC(5322, "4.1"))
	bareCR        = kind("FORMAT-BARE-CR", diag.Warn, diag.Developer, diag.RFC(5322, "2.3"), diag.RFC(5321, "2.3.8"))
	headerLarge   = kind("FORMAT-HEADER-LARGE", diag.Warn, diag.Developer, facts.GmailCodes)
	wordPlace     = kind("FORMAT-WORD-PLACE", diag.Warn, diag.Developer, diag.RFC(2047, "5"), facts.Gmail)
	undecodable   = kind("FORMAT-UNDECODABLE", diag.Warn, diag.Developer, diag.RFC(2047, "6.2"))
	mime          = kind("FORMAT-MIME", diag.Warn, diag.Developer, diag.RFC(2045, "5"), diag.RFC(2046, "5.1.1"), facts.Yahoo)
	body8bit      = kind("FORMAT-BODY-8BIT", diag.Warn, diag.Developer, diag.RFC(2045, "2.7"), diag.RFC(6152, "3"))

	subjectMissing = kind("FORMAT-SUBJECT-MISSING", diag.Info, diag.Developer, diag.RFC(5322, "3.6.5"))
	mixedEnds      = kind("FORMAT-LINE-ENDS-MIXED", diag.Info, diag.Nobody, diag.RFC(5322, "2.3"))
	oldForm        = kind("FORMAT-OLD-FORM", diag.Info, diag.Developer, diag.RFC(5322, "4"))
	encodingForm   = kind("FORMAT-ENCODING-FORM", diag.Info, diag.Developer, diag.RFC(2047, "2"), diag.RFC(2045, "6.7"))
	cut            = kind("FORMAT-CUT", diag.Info, diag.Nobody, diag.RFC(2046, "5.1.1"))

	dateFuture = &diag.Kind{ID: "FORMAT-DATE-FUTURE", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"duration"}, Refs: []diag.Ref{diag.RFC(5322, "3.6.1"), facts.Yahoo}}
	dateAhead = &diag.Kind{ID: "FORMAT-DATE-AHEAD", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"duration"}, Refs: []diag.Ref{diag.RFC(5322, "3.3"), diag.RFC(5322, "3.6.1")}}
	datePast = &diag.Kind{ID: "FORMAT-DATE-PAST", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"duration"}, Refs: []diag.Ref{diag.RFC(5322, "3.6.1"), facts.Yahoo}}
	idHost = &diag.Kind{ID: "FORMAT-MESSAGE-ID-HOST", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"host"}, Refs: []diag.Ref{diag.RFC(5322, "3.6.4")}}
	blocked = &diag.Kind{ID: "FORMAT-BLOCKED-ATTACHMENT", Status: diag.Fail, Owner: diag.Developer, Since: "0.2",
		Args: []string{"receivers"}, Refs: []diag.Ref{
			diag.Page("Google: File types blocked in Gmail", "https://support.google.com/mail/answer/6590"),
			diag.Page("Microsoft: Anti-malware protection", "https://learn.microsoft.com/defender-office-365/anti-malware-protection-about")}}
	freemail = &diag.Kind{ID: "FORMAT-FREEMAIL-FROM", Status: diag.Fail, Owner: diag.Developer, Since: "0.2",
		Args: []string{"policy"}, Refs: []diag.Ref{facts.Gmail, diag.RFC(9989, "5.3")}}
	notYet = &diag.Kind{ID: "FORMAT-NOT-YET", Status: diag.Info, Owner: diag.Developer, Since: "0.2",
		Args: []string{"field"}, Key: []string{"field"}, Refs: []diag.Ref{diag.RFC(6409, "8.1"), diag.RFC(6409, "8.2")}}
	formMail = &diag.Kind{ID: "FORMAT-FORM-MAIL", Status: diag.Info, Since: "0.2",
		Args: []string{"field"}, Key: []string{"field"}, Refs: []diag.Ref{diag.RFC(5322, "3.6")}}
	freemailUnknown = &diag.Kind{ID: "FORMAT-FREEMAIL-UNKNOWN", Status: diag.Inconclusive, Harmless: true, Since: "0.2",
		Refs: []diag.Ref{facts.Gmail}}
	imitates = &diag.Kind{ID: "FORMAT-NAME-IMITATES", Status: diag.Warn, Owner: diag.Developer, Since: "0.2",
		Args: []string{"name", "address"}, Refs: []diag.Ref{facts.Gmail}}
	replyElsewhere = &diag.Kind{ID: "FORMAT-REPLY-TO-ELSEWHERE", Status: diag.Info, Since: "0.2",
		Args: []string{"from"}, Refs: []diag.Ref{diag.RFC(5322, "3.6.2")}}
	replyUnreachable = &diag.Kind{ID: "FORMAT-REPLY-TO-UNREACHABLE", Status: diag.Warn, Owner: diag.Developer, Since: "0.2",
		Refs: []diag.Ref{diag.RFC(5321, "5.1"), diag.RFC(7505, "3")}}
	ok = &diag.Kind{ID: "FORMAT-OK", Status: diag.Pass, Since: "0.2",
		Refs: []diag.Ref{diag.RFC(5322, "3.6")}}
	undetermined = &diag.Kind{ID: "FORMAT-UNDETERMINED", Status: diag.Inconclusive, Owner: diag.DNSAdmin, Since: "0.2",
		Args: []string{"question", "reason"}, Key: []string{"question"}, Refs: []diag.Ref{diag.RFC(9989, "5.3")}}
)

// Check is the format check.
var Check = &diag.Check{
	Name: "format",
	Docs: docs,
	Kinds: []*diag.Kind{from, fromDomain, freemail, twice, dateMissing, dateFuture, idMissing, addressSyntax, notAField, longLine, wordInAddress, blocked,
		imitates, replyUnreachable, repeated, dateAhead, datePast, dateForm, idForm, idHost, toMissing, addressForm, addressDots, addressDomain,
		raw8bit, control, bareCR, headerLarge, wordPlace, undecodable, mime, body8bit,
		subjectMissing, notYet, formMail, replyElsewhere, mixedEnds, oldForm, encodingForm, cut, freemailUnknown, ok, undetermined},
	Needs:        diag.Needs{Input: diag.MailInput},
	Uses:         diag.Doors{DNS: true},
	Requires:     []diag.AnyFact{facts.MailVerdict, facts.MX, facts.MailSigns},
	Run:          run,
	Undetermined: undetermined,
}

// rules say what a fault comes to, where that does not hang on more than its code.
// What receivers do is from their own pages (the references of each kind); where
// none says anything the fault is a note.
var rules = map[message.FaultCode]*diag.Kind{
	message.FaultFromMissing: from, message.FaultFromTwice: from, message.FaultFromEmpty: from,
	// RFC 5322 §3.6.2 allows several addresses; Gmail refuses them.
	message.FaultFromSeveral: from,
	message.FaultDateMissing: dateMissing, message.FaultDateSyntax: dateMissing,
	message.FaultDateDay:   dateForm,
	message.FaultIDMissing: idMissing, message.FaultIDSyntax: idForm,
	message.FaultToMissing:       toMissing,
	message.FaultAddressDots:     addressDots,
	message.FaultAddressObsolete: oldForm, message.FaultSpaceName: oldForm, message.FaultBlankFold: oldForm,
	message.FaultSenderSeveral: addressForm,
	message.FaultRaw8Bit:       raw8bit, message.FaultRawUTF8: raw8bit, message.FaultRawEscape: raw8bit,
	message.FaultControl: control, message.FaultNUL: control,
	message.FaultBareCR: bareCR, message.FaultBareLF: mixedEnds,
	message.FaultLongLine:      longLine,
	message.FaultFieldBig:      headerLarge,
	message.FaultNotAField:     notAField,
	message.FaultWordInAddress: wordInAddress, message.FaultWordInQuotes: wordPlace, message.FaultWordForbidden: wordPlace,
	message.FaultWordLong: encodingForm, message.FaultWordBroken: encodingForm, message.FaultWordGlued: encodingForm,
	// A file name as an encoded-word is wrong (RFC 2047 §5) and read everywhere.
	message.FaultWordInParameter: encodingForm,
	message.FaultUndecodable:     undecodable,
	message.FaultTypeSyntax:      mime, message.FaultParamSyntax: mime, message.FaultParamTwice: mime, message.FaultNoBoundary: mime,
	message.FaultBoundaryNotFound: mime, message.FaultEncodingUnknown: mime, message.FaultEncodingOnMultipart: mime,
	message.FaultPartHeader: mime, message.FaultTooDeep: mime, message.FaultTooManyParts: mime, message.FaultBase64: mime,
	message.FaultNoMIMEVersion: encodingForm, message.FaultBase64Line: encodingForm, message.FaultQPLine: encodingForm,
	message.FaultUnclosed:       cut,
	message.FaultUndeclared8Bit: body8bit,
	message.FaultSubjectMissing: subjectMissing,
}

// silent are faults without a finding: the mail is read, and was meant, so
// (to-absent: it went to Cc or Bcc), another fault says it (sender-missing:
// several From addresses), or only the file has it (mixed-line-end).
var silent = map[message.FaultCode]bool{message.FaultToAbsent: true, message.FaultSenderMissing: true, message.FaultMixedEnds: true}

// single are the fields that RFC 5322 §3.6 and RFC 2045 allow once. Others that
// mean nothing twice are told more gently.
var single = []string{"Date", "Sender", "Reply-To", "To", "Cc", "Bcc", "Message-ID", "In-Reply-To", "References", "Subject",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding"}

// Data are the check's facts for machines.
type Data struct {
	Faults      []Fault      `json:"faults"`
	Attachments []Attachment `json:"attachments"`
	// Repairs are what the storing of the file had changed and was taken back.
	Repairs []string `json:"repairs"`
}

// A Fault is a place where the mail breaks a rule.
type Fault struct {
	Code   string `json:"code"`
	Field  string `json:"field,omitempty"`
	Line   int    `json:"line"` // of the file, from 1; 0 for what is absent
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
	More   int    `json:"more,omitempty"` // faults of the code that are not listed
}

// An Attachment is a part that mail programs show as a file.
type Attachment struct {
	Name      string   `json:"name"`
	Type      string   `json:"type"`
	Size      int64    `json:"size"` // octets in the file, encoded
	BlockedBy []string `json:"blocked_by,omitempty"`
}

// maxAttachments bounds what a hostile mail makes of the data.
const maxAttachments = 200

// maxEvidence is how many places a finding names.
const maxEvidence = 5

// A look is the check's look at one mail.
type look struct {
	job  *diag.Job
	mail *facts.Mail
	// border is the last line of the file that the receiver wrote on top; 0 if
	// that is not known.
	border   int
	form     bool // a form or a shop's program wrote it: the form check knows better
	utf8     bool // the mail came over SMTPUTF8: its header may be UTF-8 (RFC 6532)
	findings []*diag.Finding
}

func run(ctx context.Context, j *diag.Job) error {
	m := facts.MailOf(j.Target)
	l := &look{job: j, mail: m}
	l.where()
	signs, err := facts.MailSigns.Of(ctx, j.World, m)
	if err != nil {
		return err
	}
	web, err := webform.Read(m.Message, signs)
	if err != nil {
		return err
	}
	l.form = web.Recognised != webform.No
	provider := l.freemailDomain()
	if provider != "" && l.form {
		l.add(formMail, m.File, diag.Args{"field": "From"})
		provider = ""
	}
	if provider != "" {
		facts.MailVerdict.Start(j.World, facts.MailAskOf(j.Target))
	}
	reply, replyField := l.replyTo()
	if reply != "" {
		facts.MX.Start(j.World, reply)
	}
	data := Data{Faults: []Fault{}, Attachments: []Attachment{}, Repairs: []string{}}
	for _, r := range m.Repairs {
		data.Repairs = append(data.Repairs, string(r.Code))
	}
	for i, p := range m.Attachments() {
		if i == maxAttachments {
			break
		}
		a := Attachment{Name: p.Filename, Type: p.MediaType, Size: p.Size}
		for _, b := range message.BlockedBy(p.Filename) {
			a.BlockedBy = append(a.BlockedBy, b.Receiver)
		}
		data.Attachments = append(data.Attachments, a)
	}
	o := message.LintOptions{Now: m.Clock}
	if m.ClockFrom == "date" {
		o = message.LintOptions{} // Date held against itself says nothing
	}
	faults := m.Faults(o)
	for i := range faults {
		x := &faults[i]
		if l.receivers(x) || silent[x.Code] || x.Code == message.FaultRawUTF8 && l.utf8 {
			continue
		}
		data.Faults = append(data.Faults, Fault{string(x.Code), x.Name, x.Line, x.Offset, x.Length, x.More})
		l.fault(x)
	}
	j.SetData(data)
	l.size()
	l.name()
	if provider != "" {
		if err := l.freemail(ctx, provider); err != nil {
			return err
		}
	}
	if reply != "" {
		l.reachable(ctx, reply, replyField)
	}
	worst := diag.Skip
	for _, f := range l.findings {
		j.Report(*f)
		if worst = max(worst, f.Kind.Status); f.Kind == formMail {
			worst = diag.Warn // the form check has more to say: this is no all-clear
		}
	}
	if worst < diag.Warn {
		j.Report(diag.Finding{Kind: ok, Subject: m.File, Args: diag.Args{}})
	}
	return nil
}

// unsent reports whether no server has taken the mail yet.
func (l *look) unsent() bool { return len(l.mail.Path.Steps) == 0 }

// where finds the border below which the header is the sender's. Where it is not
// known, what stands above the topmost Received field is the last server's at any
// rate.
func (l *look) where() {
	fields := l.mail.Fields("Received")
	i := l.mail.Path.Boundary.Index
	if len(fields) > 0 {
		i = min(max(i, 0), len(fields)-1)
		l.border, _ = fields[i].At(len(fields[i].Raw))
		l.border-- // the line behind the field is the sender's
	}
	for k := range l.mail.Path.Steps {
		l.utf8 = l.utf8 || strings.HasPrefix(strings.ToUpper(l.mail.Path.Steps[k].With), "UTF8")
	}
}

// receivers reports whether the fault is in what the receiver wrote.
func (l *look) receivers(x *message.Fault) bool {
	if x.Code == message.FaultFieldTwice || x.Code == message.FaultFromTwice {
		// One of the receiver's and one of the sender's are not two of the sender.
		n := 0
		for _, f := range l.mail.Fields(x.Name) {
			if f.Line > l.border {
				n++
			}
		}
		return n < 2 && l.border > 0
	}
	// A Return-Path is the receiver's word always; what is wrong with the address
	// SPF says.
	if x.Field != nil && x.Part == nil && x.Field.Is("Return-Path") {
		return true
	}
	return x.Line > 0 && x.Line <= l.border
}

// add adds a place to the finding of this kind, field and problem.
func (l *look) add(k *diag.Kind, subject string, args diag.Args, e ...diag.Evidence) {
	f := diag.Finding{Kind: k, Subject: subject, Args: args}
	for _, g := range l.findings {
		if g.Kind != k || g.Subject != subject {
			continue
		}
		same := true
		for _, key := range k.Key {
			same = same && g.Args[key] == args[key]
		}
		if same {
			if len(g.Evidence) < maxEvidence {
				g.Evidence = append(g.Evidence, e...)
			}
			return
		}
	}
	f.Evidence = e
	l.findings = append(l.findings, &f)
}

// fault makes a finding of a fault.
func (l *look) fault(x *message.Fault) {
	var at []diag.Evidence
	if e, ok := l.mail.FaultEvidence(x); ok {
		at = append(at, e)
	}
	field, problem := x.Name, string(x.Code)
	switch {
	case field == "" && x.Field != nil:
		field = x.Field.Name
	case field == "" && x.InHeader:
		field = "header"
	case field == "":
		field = "body"
	}
	file := l.mail.File
	k := rules[x.Code]
	switch x.Code {
	case message.FaultFieldTwice:
		if k = repeated; slices.Contains(single, field) {
			k = twice
		}
	case message.FaultDateFuture, message.FaultDatePast:
		seconds := int(x.Ahead.Seconds())
		switch {
		case seconds < 0 && l.mail.Field("Resent-Date") != nil:
			return // RFC 5322 §3.6.6: it was sent again, and Date is that of the first time
		case seconds < 0:
			k = datePast
		case seconds > 24*3600:
			k = dateFuture
		default:
			k = dateAhead
		}
		l.add(k, file, diag.Args{"duration": max(seconds, -seconds)}, at...)
		return
	case message.FaultDateForm:
		if k = dateForm; x.Tolerated {
			k = oldForm
		}
	case message.FaultIDMissing:
		if x.Field != nil {
			problem = "empty"
		} else if l.unsent() {
			l.add(notYet, file, diag.Args{"field": field})
			return
		}
	case message.FaultDateMissing:
		// RFC 6409 §8.1 and §8.2: the server that takes the mail from its author may
		// add what is missing.
		if l.unsent() {
			l.add(notYet, file, diag.Args{"field": field})
			return
		}
	case message.FaultIDHost:
		if l.form {
			l.add(formMail, file, diag.Args{"field": field}, at...)
			return
		}
		l.add(idHost, file, diag.Args{"host": x.Detail}, at...)
		return
	case message.FaultAddressSyntax, message.FaultAddressNoDomain:
		if k = addressForm; !x.Tolerated && (strings.EqualFold(field, "From") || strings.EqualFold(field, "Sender")) {
			k = addressSyntax
		}
	case message.FaultAddressDomain:
		if k = addressDomain; strings.EqualFold(field, "From") {
			k = fromDomain
		}
		problem = x.Detail
	case message.FaultHeaderBig:
		return // see size
	case message.FaultBlockedType:
		var by []string
		for _, b := range message.BlockedBy(x.Text) {
			by = append(by, b.Receiver)
		}
		l.add(blocked, x.Text, diag.Args{"receivers": by}, at...)
		return
	}
	if k != nil {
		l.add(k, file, diag.Args{"field": field, "problem": problem}, at...)
	}
}

// size judges the header as the sender sent it: receivers put some 10 KiB of their
// own on top of many mails.
func (l *look) size() {
	n := 0
	for _, f := range l.mail.Header {
		if f.Line > l.border {
			n += len(f.Wire())
		}
	}
	if n > message.LargeHeader {
		l.add(headerLarge, l.mail.File, diag.Args{"field": "header", "problem": string(message.FaultHeaderBig)})
	}
}

// org is the registered domain above a domain, or itself.
func org(domain string) string {
	name := dnsq.CanonicalName(domain)
	if o, ok := orgdomain.PSL(name); ok {
		return o
	}
	return name
}

// list reports whether a mailing list handed the mail on: lists put names and
// addresses of others where they stand (RFC 2369, RFC 2919).
func (l *look) list() bool {
	return l.mail.Field("List-Id") != nil || l.mail.Field("List-Post") != nil
}

// author is the first address of the first From field, nil if there is none.
func (l *look) author() (*message.Field, *message.Address) {
	f := l.mail.Field("From")
	if f == nil {
		return nil, nil
	}
	if list := f.Addresses(); len(list.Addresses) > 0 && list.Addresses[0].Domain != "" {
		return f, &list.Addresses[0]
	}
	return nil, nil
}

// name looks for an address of somebody else in the display name, which is all
// that most programs on phones show.
func (l *look) name() {
	f, a := l.author()
	if a == nil || l.list() {
		return
	}
	shown := message.AddressInName(a.Name)
	if shown == "" {
		return
	}
	domain := shown[strings.LastIndexByte(shown, '@')+1:]
	if org(domain) == org(a.Domain) {
		return
	}
	l.add(imitates, a.Domain, diag.Args{"name": shown, "address": a.Address()},
		l.mail.FieldEvidence(f, f.ValueOffset()+a.NameStart, a.NameEnd-a.NameStart))
}

// freemailDomain is the domain of From if everybody can have an address there and
// nothing in the mail says that its provider signed it. A signature of theirs that
// does not hold is a mail of theirs that was changed: the signature check says so.
func (l *look) freemailDomain() string {
	_, a := l.author()
	if a == nil || !message.Freemail(a.Domain) || l.list() || l.job.Target.From == "" {
		return ""
	}
	for _, f := range l.mail.Fields("DKIM-Signature") {
		if d := dkimDomain(f.Value()); d != "" && org(d) == org(a.Domain) {
			return ""
		}
	}
	return a.Domain
}

// dkimDomain is the d= of a signature's text.
func dkimDomain(value string) string {
	for tag := range strings.SplitSeq(value, ";") {
		if k, v, ok := strings.Cut(tag, "="); ok && strings.TrimSpace(k) == "d" {
			return dnsq.CanonicalName(strings.TrimSpace(v))
		}
	}
	return ""
}

// freemail says that somebody else sent the mail: neither SPF nor DKIM vouches for
// the provider.
func (l *look) freemail(ctx context.Context, domain string) error {
	v, err := facts.MailVerdict.Of(ctx, l.job.World, facts.MailAskOf(l.job.Target))
	if err != nil {
		return err
	}
	f, a := l.author()
	at := l.mail.FieldEvidence(f, f.ValueOffset()+a.Start, a.End-a.Start)
	// Whether the provider sent it does not hang on whether it has a DMARC record.
	open := slices.ContainsFunc(v.Identifiers, func(id facts.Identifier) bool {
		return id.Aligned != dmarc.NotAligned && (id.Result == "temperror" || id.Result == "pass" && id.Aligned == dmarc.Undetermined)
	})
	switch {
	case len(v.Passing()) > 0:
	case (open || v.Result == "temperror") && len(v.Unknown) > 0:
		e := v.Unknown[0]
		l.findings = append(l.findings, &diag.Finding{Kind: undetermined, Subject: domain, Unknown: v.Unknown,
			Args: diag.Args{"question": e.Question.String(), "reason": string(e.Reason)}})
	case open || v.Result == "temperror" || l.mail.Path.Boundary.How == received.NotKnown || facts.MailAskOf(l.job.Target).NoMailFrom:
		l.add(freemailUnknown, domain, diag.Args{}, at)
	default:
		policy := string(v.Asked)
		if policy == "" {
			policy = "unpublished"
		}
		l.add(freemail, domain, diag.Args{"policy": policy}, at)
	}
	return nil
}

// replyTo is the domain of Reply-To, if it is not one of the From domain's
// organisation, and says so.
func (l *look) replyTo() (string, *message.Field) {
	f := l.mail.Field("Reply-To")
	_, a := l.author()
	if f == nil || a == nil || l.list() {
		return "", nil
	}
	list := f.Addresses()
	if len(list.Addresses) == 0 {
		return "", nil
	}
	r := list.Addresses[0]
	name, err := dnsq.ParseName(r.Domain)
	if err != nil || !message.PublicName(r.Domain) || strings.HasPrefix(r.Domain, "[") || org(name) == org(a.Domain) {
		return "", nil
	}
	l.add(replyElsewhere, r.Address(), diag.Args{"from": a.Address()}, l.mail.FieldEvidence(f, f.ValueOffset()+r.Start, r.End-r.Start))
	return name, f
}

// reachable says whether replies can go to the domain at all.
func (l *look) reachable(ctx context.Context, domain string, f *message.Field) {
	undecided := func(e *dnsq.Error) {
		l.findings = append(l.findings, &diag.Finding{Kind: undetermined, Subject: domain, Unknown: []*dnsq.Error{e},
			Args: diag.Args{"question": e.Question.String(), "reason": string(e.Reason)}})
	}
	m, err := facts.MX.Of(ctx, l.job.World, domain)
	if err != nil {
		undecided(dnsq.AsError(dnsq.Q(domain, dnsq.TypeMX), err))
		return
	}
	// Hosts that lead nowhere are for the domain's owner to mend; here it matters
	// whether the domain takes mail at all (RFC 5321 §5.1, RFC 7505 §3).
	gone := slices.ContainsFunc(m.Hosts, func(h facts.MailHost) bool { return h.Null }) &&
		!slices.ContainsFunc(m.Hosts, func(h facts.MailHost) bool { return !h.Null })
	if m.Implicit != nil && len(m.Implicit.All()) == 0 {
		if u := m.Implicit.Unknown(); len(u) > 0 {
			undecided(u[0])
			return
		}
		gone = true
	}
	if gone {
		l.add(replyUnreachable, domain, diag.Args{}, l.mail.FieldEvidence(f, 0, 0))
	}
}

// Judged reports whether a fault of the code comes to a finding, or is left out on
// purpose. A test holds that every code is one or the other.
func Judged(c message.FaultCode) bool {
	switch c {
	case message.FaultFieldTwice, message.FaultDateFuture, message.FaultDatePast, message.FaultDateForm, message.FaultIDHost,
		message.FaultAddressSyntax, message.FaultAddressNoDomain, message.FaultAddressDomain, message.FaultHeaderBig, message.FaultBlockedType:
		return true
	}
	return rules[c] != nil || silent[c]
}
