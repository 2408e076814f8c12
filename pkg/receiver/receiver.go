// Package receiver knows the large receivers of mail by name, and what they ask
// of senders beyond the standards.
//
// It is a table, not a protocol: every row names the page where it was read.
package receiver

import "slices"

// A Receiver is a mail provider with many mailboxes.
type Receiver struct {
	Name  string // "gmail": lower case, stable, what people write
	Title string // "Gmail"
	// DMARC is the page where the receiver asks senders for a DMARC record, be it
	// p=none; "" if none is known that does. Some ask bulk senders only, but what
	// they count as bulk is not always told.
	DMARC string
}

// All are the receivers, those with the most mailboxes first.
var All = []Receiver{
	{"gmail", "Gmail", "https://support.google.com/mail/answer/81126"},
	{"outlook", "Outlook.com", "https://techcommunity.microsoft.com/blog/microsoftdefenderforoffice365blog/strengthening-email-ecosystem-outlook%E2%80%99s-new-requirements-for-high%E2%80%90volume-senders/4399730"},
	{"yahoo", "Yahoo", "https://senders.yahooinc.com/best-practices/"},
	{"icloud", "iCloud Mail", "https://support.apple.com/en-us/102322"},
	{"docomo", "docomo", "https://www.docomo.ne.jp/service/docomo_mail/smtp_notice/"},
	{"au", "au", ""},
	{"softbank", "SoftBank", ""},
	{"yahoo-japan", "Yahoo! JAPAN", ""},
}

// Lookup is the receiver of that name.
func Lookup(name string) (Receiver, bool) {
	i := slices.IndexFunc(All, func(r Receiver) bool { return r.Name == name })
	if i < 0 {
		return Receiver{}, false
	}
	return All[i], true
}

// Names are the names of all receivers.
func Names() []string {
	out := make([]string, len(All))
	for i, r := range All {
		out[i] = r.Name
	}
	return out
}
