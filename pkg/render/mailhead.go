package render

import (
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/i18n"
)

// A headRow is a label in the head of a report and what stands beside it.
type headRow struct {
	key   string // of the frame, behind "head."
	value []i18n.Piece
}

// title is what a report is called: the domain, or the file of a message that
// names none.
func title(t *diag.Target) string {
	if t.Domain == "" && t.Mail != nil {
		return t.Mail.File
	}
	return t.Domain
}

// headRows are what was looked at. Of a message they say besides what it calls
// itself, for when it is judged, and who says that its sending address is the one.
func headRows(r *diag.Report, cat *i18n.Catalog, most int) []headRow {
	t := &r.Target
	var out []headRow
	row := func(key string, v []i18n.Piece) { out = append(out, headRow{key, v}) }
	maybe := func(key, s string) {
		if s != "" {
			row(key, cat.ValuePieces(nil, "", s))
		}
	}
	m := t.Mail
	if m != nil {
		row("file", cat.TPieces("head.file.size", diag.Args{"file": m.File, "size": []i18n.Piece{{Text: octets(m.Size)}}}))
		maybe("subject", m.Subject)
		if m.From == "" {
			row("from", cat.TPieces("head.from.none", nil))
		}
		maybe("from", m.From)
		maybe("to", m.To)
		maybe("date", m.Date)
	}
	switch {
	case m != nil:
		row("ip", addressPieces(t, cat))
	case len(t.IPs) == 0:
		row("ip", cat.TPieces("head.ip.none", nil))
	default:
		row("ip", ipPieces(t, cat, most))
	}
	if t.NullSender {
		row("mailfrom", cat.TPieces("head.mailfrom.null", nil))
	} else {
		maybe("mailfrom", t.MailFrom)
	}
	if m == nil {
		maybe("from", t.From)
	}
	maybe("helo", t.Helo)
	if len(t.Selectors) > 0 {
		row("selectors", cat.ValuePieces(nil, "", t.Selectors))
	}
	maybe("dkimdomain", t.DKIMDomain)
	if m != nil {
		row("asof", asOfPieces(m, cat))
		// The DNS of another day may have been another.
		if d := r.Started.Sub(m.Clock); d > 24*time.Hour || d < -24*time.Hour {
			row("dnsof", cat.TPieces("head.dnsof.now", diag.Args{"date": []i18n.Piece{{Text: r.Started.UTC().Format(time.DateOnly)}}}))
		}
	}
	maybe("server", r.Server)
	return out
}

// asOfPieces is the time for which a message is judged, and where it is from.
func asOfPieces(m *diag.MailHead, cat *i18n.Catalog) []i18n.Piece {
	at := []i18n.Piece{{Text: m.Clock.Format("2006-01-02 15:04:05 -0700")}}
	return cat.TPieces("head.asof."+m.ClockFrom, diag.Args{"time": at})
}

// addressPieces is the sending address of a message and who says so, or why it
// is not known.
func addressPieces(t *diag.Target, cat *i18n.Catalog) []i18n.Piece {
	m := t.Mail
	if m.AddressFrom == "" || len(t.IPs) == 0 {
		return cat.TPieces("head.ip.unknown."+m.AddressUnknown, nil)
	}
	return cat.TPieces("head.ip."+m.AddressFrom, diag.Args{"ip": ipPieces(t, cat, 1), "receiver": m.Receiver})
}
