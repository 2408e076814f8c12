package facts

import "github.com/todoku-mail/todoku/pkg/diag"

// What the largest receivers ask of senders, in their own words; several checks
// refer to it.
var (
	Gmail = diag.Page("Google: Email sender guidelines", "https://support.google.com/a/answer/81126")
	Yahoo = diag.Page("Yahoo: Sender best practices", "https://senders.yahooinc.com/best-practices/")
)

// GmailCodes are the replies with which Gmail refuses mail.
var GmailCodes = diag.Page("Google: SMTP errors and codes", "https://support.google.com/a/answer/3726730")

// Docomo is what docomo asks of those who send to its customers.
var Docomo = diag.Page("NTT docomo: notes for senders (Japanese)", "https://www.docomo.ne.jp/service/docomo_mail/smtp_notice/")
