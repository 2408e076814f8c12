// Package gate checks the waivers of an inventory: whether each is in force, and
// whether there is still something that it covers.
//
// It reviews what the other checks said; package pkg/gate has marked by then what
// is waived.
package gate

import (
	"embed"

	"github.com/todoku-mail/todoku/pkg/diag"
)

//go:embed doc.*.md
var docs embed.FS

// soon is how many days before its end a waiver is mentioned; far how many days
// ahead its end may be.
const (
	soon = 14
	far  = 366
)

var about = diag.Page("todoku: waivers", "https://github.com/todoku-mail/todoku#waivers-what-you-have-accepted")

// What the check can find. Everything is keyed by the waiver: two of one subject
// are two findings.
var (
	expired = &diag.Kind{ID: "GATE-WAIVER-EXPIRED", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"waiver", "expires", "reason"}, Key: []string{"waiver"}, Refs: []diag.Ref{about}}
	unused = &diag.Kind{ID: "GATE-WAIVER-UNUSED", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"waiver", "expires", "reason"}, Key: []string{"waiver"}, Refs: []diag.Ref{about}}
	farOff = &diag.Kind{ID: "GATE-WAIVER-FAR-OFF", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"waiver", "expires", "days"}, Key: []string{"waiver"}, Refs: []diag.Ref{about}}
	ending = &diag.Kind{ID: "GATE-WAIVER-ENDING", Status: diag.Info, Since: "0.2",
		Args: []string{"waiver", "expires", "days"}, Key: []string{"waiver"}, Refs: []diag.Ref{about}}
	inForce = &diag.Kind{ID: "GATE-WAIVER-IN-FORCE", Status: diag.Pass, Since: "0.2",
		Args: []string{"waiver", "expires", "findings"}, Key: []string{"waiver"}, Refs: []diag.Ref{about}}
	undetermined = &diag.Kind{ID: "GATE-UNDETERMINED", Status: diag.Inconclusive, Harmless: true, Since: "0.2",
		Args: []string{"question", "reason"}, Key: []string{"question"}, Refs: []diag.Ref{about}}
)

// Check is the gate check: the waivers that the report tells about.
var Check = &diag.Check{
	Name:         "gate",
	Docs:         docs,
	Kinds:        []*diag.Kind{expired, unused, farOff, undetermined, ending, inForce},
	Needs:        diag.Needs{Input: diag.GateInput},
	Uses:         diag.Doors{Clock: true},
	Review:       review,
	Undetermined: undetermined,
}

// Data are the check's facts for machines.
type Data struct {
	Waivers []WaiverData `json:"waivers"`
}

// WaiverData is one waiver. State is "in-force", "expired", "unused", or
// "unknown" where it was not found out whether anything is covered.
type WaiverData struct {
	ID          string `json:"id,omitempty"`
	Subject     string `json:"subject,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
	Reason      string `json:"reason"`
	Expires     string `json:"expires"` // year-month-day: the first day on which it holds no more
	State       string `json:"state"`
	Findings    int    `json:"findings"`
}

func review(j *diag.Job, r *diag.Report) {
	data := Data{Waivers: []WaiverData{}}
	for i := range r.Waivers {
		u := &r.Waivers[i]
		data.Waivers = append(data.Waivers, WaiverData{ID: u.ID, Subject: u.Subject, Fingerprint: u.Fingerprint,
			Reason: u.Reason, Expires: date(u), State: judge(j, u), Findings: u.Findings})
	}
	j.SetData(data)
}

func date(u *diag.WaiverUse) string { return u.Expires.UTC().Format("2006-01-02") }

// judge reports what there is to say about a waiver, and names its state.
func judge(j *diag.Job, u *diag.WaiverUse) string {
	left := int(u.Expires.Sub(j.Now()).Hours() / 24)
	switch {
	case !u.InForce(j.Now()):
		// Whether anything would be covered does not matter any more: what is found
		// counts again, and the line is to go or to be renewed.
		report(j, u, expired, diag.Args{"expires": date(u), "reason": u.Reason})
		return "expired"
	case u.Findings == 0 && !u.Looked:
		// Not found is not gone: nothing is said against the waiver.
		question, reason := "-", "unlooked"
		if len(u.Unknown) > 0 {
			question, reason = u.Unknown[0].Question.String(), string(u.Unknown[0].Reason)
		}
		j.Report(diag.Finding{Kind: undetermined, Subject: subject(j, u), Evidence: evidence(u), Unknown: u.Unknown,
			Args: diag.Args{"question": question, "reason": reason}})
		return "unknown"
	case u.Findings == 0:
		report(j, u, unused, diag.Args{"expires": date(u), "reason": u.Reason})
		return "unused"
	case left > far:
		report(j, u, farOff, diag.Args{"expires": date(u), "days": far})
	case left < soon:
		report(j, u, ending, diag.Args{"expires": date(u), "days": left})
	default:
		report(j, u, inForce, diag.Args{"expires": date(u), "findings": u.Findings})
	}
	return "in-force"
}

func report(j *diag.Job, u *diag.WaiverUse, k *diag.Kind, args diag.Args) {
	args["waiver"] = u.Name()
	j.Report(diag.Finding{Kind: k, Subject: subject(j, u), Args: args, Evidence: evidence(u)})
}

// subject is what the waiver is about, as far as it says.
func subject(j *diag.Job, u *diag.WaiverUse) string {
	if u.Subject != "" {
		return u.Subject
	}
	return j.Target.Domain
}

// evidence is the line of the file where the waiver stands.
func evidence(u *diag.WaiverUse) []diag.Evidence {
	return []diag.Evidence{{Name: u.Name(), Text: u.Reason, File: u.Place.File, Line: u.Place.Line}}
}
