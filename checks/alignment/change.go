package alignment

import (
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dmarc"
	"github.com/todoku-mail/todoku/pkg/dnsq"
	"github.com/todoku-mail/todoku/pkg/facts"
)

// What the check can find about a change that begins to enforce a DMARC policy.
// A fault of alignment that was there before fails no diff; but under p=none it
// cost little, and from now on it costs the mail.
var (
	nowEnforced = &diag.Kind{ID: "ALIGN-NOW-ENFORCED", Status: diag.Fail, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"policy", "spf", "dkim"}, Refs: []diag.Ref{diag.RFC(9989, "4.4"), diag.RFC(9989, "4.7")}}
	enforcedUnsigned = &diag.Kind{ID: "ALIGN-ENFORCED-UNSIGNED", Status: diag.Warn, Owner: diag.MailAdmin, Since: "0.2",
		Args: []string{"policy", "dkim"}, Refs: []diag.Ref{diag.RFC(9989, "4.4"), diag.RFC(7960, "3")}}
)

// change compares with the policy before the change, if there is one.
func (c *align) change() error {
	if c.Before == nil || c.policy.Known() && !enforced(c.policy) {
		return nil
	}
	if c.dkim.state == yes || c.dkim.state == unknown || c.spf.state == unknown {
		return nil // it passes; or what cannot be said is said already
	}
	open := func(list []*dnsq.Error) {
		e := list[0]
		c.Report(diag.Finding{Kind: undetermined, Subject: c.from, Unknown: list,
			Args: diag.Args{"question": e.Question.String(), "reason": string(e.Reason)}})
	}
	before, err := facts.DMARC.Of(c.ctx, c.Before, c.from)
	if err != nil {
		return err
	}
	switch {
	case before.Known() && enforced(before):
		return nil
	case !c.policy.Known():
		open(c.policy.Unknown)
		return nil
	case !before.Known():
		open(before.Unknown)
		return nil
	}
	f := diag.Finding{Kind: enforcedUnsigned, Subject: c.from,
		Args: diag.Args{"policy": string(c.policy.Verdict.Applied), "dkim": c.dkim.why}}
	if c.spf.state == no && c.dkim.state == no {
		f.Kind, f.Args["spf"] = nowEnforced, c.spf.why
	}
	if rr := c.policy.Step.Record(); rr != nil {
		f.Evidence = []diag.Evidence{facts.Evidence(rr, rr.Text(), 0, 0)}
	}
	c.Report(f)
	return nil
}

// enforced reports whether receivers are asked to do something about mail that
// does not pass.
func enforced(p *facts.DMARCPolicy) bool {
	return p.Record != nil && (p.Verdict.Applied == dmarc.Quarantine || p.Verdict.Applied == dmarc.Reject)
}
