package dmarc

import (
	"slices"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/facts"
)

// What the check can find about a real mail.
var (
	messageFail = &diag.Kind{ID: "DMARC-MESSAGE-FAIL", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"policy", "tried", "remedy"}, Refs: []diag.Ref{diag.RFC(9989, "4.4"), facts.Gmail}}
	messageNone = &diag.Kind{ID: "DMARC-MESSAGE-NONE", Status: diag.Info, Since: "0.2",
		Refs: []diag.Ref{diag.RFC(9989, "5.3.1")}}
	messageOld = &diag.Kind{ID: "DMARC-MESSAGE-DIFFERS", Status: diag.Info, Since: "0.2",
		Args: []string{"result", "old", "old_policy", "share"}, Refs: []diag.Ref{diag.RFC(9989, "4.10"), diag.RFC(7489, "6.6.2")}}
	messagePass = &diag.Kind{ID: "DMARC-MESSAGE-PASS", Status: diag.Pass, Since: "0.2",
		Args: []string{"by"}, Refs: []diag.Ref{diag.RFC(9989, "4.4")}}
)

// message judges the mail that the target was taken from.
func (c *run1) message() error {
	v, err := facts.MailVerdict.Of(c.ctx, c.World, facts.MailAskOf(c.Target))
	if err != nil {
		return err
	}
	// An old receiver may find another record, or none (RFC 7489 §6.6.3).
	if rec, whom, known := c.oldRecord(); known && v.Old != "temperror" {
		o := *v
		o.OldAsked, o.OldPct = "", 100
		if rec != nil {
			o.OldAsked = rec.EvaluateOld(whom).Policy
			if rec.Pct >= 0 {
				o.OldPct = rec.Pct
			}
		}
		if o.OldAsked == "" {
			o.Old = "none"
		}
		v = &o
	}
	c.mail = v
	report := func(k *diag.Kind, args diag.Args) {
		c.Report(diag.Finding{Kind: k, Subject: c.from, Args: args})
	}
	switch v.Result {
	case "pass":
		if v.Policy.Record == nil {
			// What passes would pass under any record, but without a record DMARC does
			// not apply (RFC 9989 §5.3.1), and whether there is one is not known.
			c.messageOpen(v)
			return nil
		}
		var by []string
		for _, id := range v.Passing() {
			if s := id.Method + " " + id.Domain; !slices.Contains(by, s) {
				by = append(by, s)
			}
		}
		report(messagePass, diag.Args{"by": by})
	case "fail":
		tried := []string{}
		for _, id := range v.Identifiers {
			tried = append(tried, id.Method+" "+id.Domain+": "+id.Result)
		}
		remedy := "authenticate"
		if facts.ForeignFrom(c.Target) {
			remedy = "own-from"
		}
		policy := string(v.Asked)
		if policy == "" {
			policy = "none"
		}
		f := diag.Finding{Kind: messageFail, Subject: c.from, Args: diag.Args{"policy": policy, "tried": tried, "remedy": remedy}}
		if remedy == "own-from" {
			f.Owner = diag.Developer
		}
		c.Report(f)
	case "none":
		report(messageNone, diag.Args{})
	default:
		c.messageOpen(v)
		return nil
	}
	if v.Old != v.Result || v.Result == "fail" && (v.OldAsked != v.Asked || v.OldPct != 100) {
		old := string(v.OldAsked)
		if old == "" || v.Old != "fail" {
			old = "none"
		}
		report(messageOld, diag.Args{"result": v.Result, "old": v.Old, "old_policy": old, "share": v.OldPct})
	}
	return nil
}

// messageOpen says what kept the verdict from being found out.
func (c *run1) messageOpen(v *facts.MailDMARC) {
	for _, e := range v.Unknown {
		c.report(diag.Finding{Kind: undetermined, Subject: c.from, Unknown: v.Unknown,
			Args: diag.Args{"question": e.Question.String(), "reason": string(e.Reason)}})
	}
	switch {
	case len(v.Unknown) > 0:
	case len(v.Gone) > 0:
		// A signature could have vouched for the mail, with the key of then.
		c.report(diag.Finding{Kind: undetermined, Subject: c.from, Args: diag.Args{"question": v.Gone[0] + " TXT", "reason": "gone-since"}})
	default:
		// SPF could vouch for the mail, if it were known who sent it, and for which
		// Return-Path: a copy of sent mail has neither.
		args := diag.Args{"question": "sending-address", "reason": "not-known"}
		if facts.MailAskOf(c.Target).NoMailFrom {
			args = diag.Args{"question": "return-path", "reason": "no-return-path"}
		}
		c.report(diag.Finding{Kind: undetermined, Subject: c.from, Args: args})
	}
}

// An IdentifierData is what SPF or one signature says.
type IdentifierData struct {
	Method  string `json:"method"` // spf, dkim
	Domain  string `json:"domain"`
	Result  string `json:"result"`
	Aligned string `json:"aligned"`         // strict, relaxed, none, unknown
	Old     string `json:"rfc7489_aligned"` // likewise
}

func identifierData(v *facts.MailDMARC) []IdentifierData {
	out := []IdentifierData{}
	for _, id := range v.Identifiers {
		out = append(out, IdentifierData{id.Method, id.Domain, id.Result, string(id.Aligned), string(id.Old)})
	}
	return out
}
