package gate

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// Apply marks the findings that a waiver in force covers, and tells in
// Report.Waivers what became of each waiver: once in all reports together, in
// that of the domain it concerns, or else in the first. all says that every
// target of the inventory was run; without it nothing is known about a waiver
// that could be about one of the others.
//
// It comes after fixes were tried (engine.Verify) and before engine.Review, whose
// check turns Report.Waivers into findings. The waivers are those of the targets.
func Apply(reports []*diag.Report, all bool, now time.Time) {
	if len(reports) == 0 {
		return
	}
	var uses []*diag.WaiverUse
	for _, r := range reports {
		r.Waivers = nil
		for i := range r.Target.Waivers {
			w := &r.Target.Waivers[i]
			if !slices.ContainsFunc(uses, func(u *diag.WaiverUse) bool { return u.Waiver == *w }) {
				uses = append(uses, &diag.WaiverUse{Waiver: *w})
			}
		}
	}
	for _, r := range reports {
		for i := range r.Checks {
			c := &r.Checks[i]
			for j := range c.Findings {
				f := &c.Findings[j]
				f.Waived = nil
				for _, u := range uses {
					if !u.Covers(f) {
						continue
					}
					u.Findings++
					if f.Waived == nil && u.InForce(now) {
						f.Waived = &u.Waiver
					}
				}
			}
			c.Weigh()
		}
	}
	for _, u := range uses {
		r, own := home(reports, u)
		switch {
		case u.Findings > 0:
			u.Looked = true
		case !own && !all:
			continue // of a domain that was not run: nothing to say
		case own && u.Fingerprint == "":
			u.Looked, u.Unknown = looked([]*diag.Report{r}, u)
		default:
			u.Looked, u.Unknown = looked(reports, u)
		}
		r.Waivers = append(r.Waivers, *u)
	}
	for _, r := range reports {
		if len(r.Waivers) == 0 {
			continue
		}
		inputs := map[diag.Input]bool{diag.GateInput: true}
		for k, v := range r.Target.Inputs {
			inputs[k] = v
		}
		r.Target.Inputs = inputs
	}
}

// home is the report that tells about a waiver: the one with a finding that it
// covers; else that of the target whose names are nearest above its subject. own
// is false if it is neither and the first report does.
func home(reports []*diag.Report, u *diag.WaiverUse) (r *diag.Report, own bool) {
	best := 0
	for _, c := range reports {
		for i := range c.Checks {
			if slices.ContainsFunc(c.Checks[i].Findings, func(f diag.Finding) bool { return u.Covers(&f) }) {
				return c, true
			}
		}
		if n := about(&c.Target, u.Subject); n > best {
			r, best = c, n
		}
	}
	if r != nil {
		return r, true
	}
	return reports[0], false
}

// about says how near a subject is to what a target names: 0 if it is something
// else.
func about(t *diag.Target, subject string) int {
	if subject == "" {
		return 0
	}
	subject = dnsq.CanonicalName(subject)
	for _, ip := range t.IPs {
		if ip.String() == subject {
			return 1000
		}
	}
	n := 0
	for _, d := range []string{t.Domain, t.From, t.MailFromDomain(), t.Helo, t.DKIMDomain} {
		if d = dnsq.CanonicalName(d); d != "." && dnsq.AtOrBelow(subject, d) {
			n = max(n, len(strings.Split(d, ".")))
		}
	}
	return n
}

// looked reports whether the check that finds what the waiver is about ran in
// every report and found out all it wanted to know; of a waiver without an ID,
// whether all checks did. The questions are those without an answer that stand in
// the way.
func looked(reports []*diag.Report, u *diag.WaiverUse) (bool, []*dnsq.Error) {
	ok := true
	var unknown []*dnsq.Error
	for _, r := range reports {
		ran := false
		for i := range r.Checks {
			c := &r.Checks[i]
			if u.ID != "" && c.Check.Kind(u.ID) == nil {
				continue
			}
			ran = true
			ok = ok && c.Panic == ""
			for j := range c.Findings {
				f := &c.Findings[j]
				// A harmless one too: a blocklist that was not asked may list.
				if f.Kind.Status == diag.Inconclusive {
					ok = false
					unknown = append(unknown, f.Unknown...)
				}
				// What was not looked at, or is beside the point, is not gone. Without a
				// sending address only what is about addresses was not looked at.
				if f.Kind.Status == diag.Skip {
					missing, _ := f.Args["missing"].(string)
					ok = ok && (missing == "" || missing == "ip") && !aboutAddress(c.Check.Kind(u.ID), u.Subject)
				}
			}
		}
		ok = ok && ran
	}
	return ok, unknown
}

// aboutAddress reports whether a finding of a kind (nil: of any) about a subject
// is about a sending address.
func aboutAddress(k *diag.Kind, subject string) bool {
	_, err := netip.ParseAddr(subject)
	return k == nil || err == nil || slices.Contains(k.Key, "ip")
}
