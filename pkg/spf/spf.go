// Package spf evaluates the Sender Policy Framework, RFC 7208, and shows how
// it came to its result.
//
// # SPF in one page
//
// A mail server that receives a message knows two things that are hard to
// forge: the IP address of its peer, and the domain that the peer claims, in
// MAIL FROM (the envelope sender) or, where that is empty, in HELO. SPF asks
// the claimed domain whether it authorises that address. The answer is one TXT
// record at the domain itself:
//
//	example.com.  TXT  "v=spf1 ip4:192.0.2.0/24 mx include:_spf.provider.example ~all"
//
// The record is a list of directives, each a mechanism that may match the
// address, with a qualifier that says what a match means: + pass (the default),
// - fail, ~ softfail, ? neutral. They are tried from left to right; the first
// match decides. all always matches; ip4 and ip6 match networks; a and mx match
// the addresses of a host and of a domain's mail servers; include asks another
// domain's record and matches if the result there is pass; exists matches if a
// name has an A record; ptr matches by reverse DNS and should not be published.
// Two modifiers may follow: redirect=other says whose record to use when
// nothing matched, and exp=name where the text of an explanation is.
//
// Names in a record may hold macros, such as %{i} for the address, so that a
// domain can decide by DNS look-ups of its own design.
//
// Every receiver pays for the DNS queries that someone else's record asks for,
// so the RFC limits them (§4.6.4): at most ten terms that need DNS (include, a,
// mx, ptr, exists, redirect) in a whole evaluation, includes of includes counted
// in; at most two of them "void", that is, leading to a name or type that does
// not exist; at most ten hosts in one mx. Beyond the limit the result is
// permerror, and mail that the record was to authorise is not. As the first
// match ends the evaluation, a record can be over its limit and still pass for
// the addresses near its beginning.
//
// # What this package does
//
// [Checker.Check] is check_host of the RFC for one address: a [Verdict] with
// the result and a trace of every term looked at. [Checker.Analyze] is the
// worst case over all addresses: what evaluation costs if nothing matches, what
// is broken anywhere in the tree of includes, which addresses the record
// authorises. [Parse] reads one record and notes every syntax error.
//
// Not finding out is a result of its own: a DNS failure is temperror, never a
// missing record and never a failure to match (§5; the sole exceptions are
// the RFC's own, ptr in §5.5, %{p} in §7.3 and exp in §6.2).
//
// # Where the RFC leaves a choice
//
//   - Void look-ups (§4.6.4) count terms: a term is void at most once, and only
//     by its own query (the A or AAAA of a, the A of exists, the MX of mx, the
//     PTR of ptr). pyspf and Mail::SPF count every void query instead, the
//     addresses of mx hosts among them, so that "mx" with three IPv4-only hosts
//     is a permerror for them when an IPv6 client connects. The RFC says
//     "terms"; [Analysis] has both numbers. The TXT query of include and
//     redirect is not counted: void, it is a permerror anyway (§5.2, §6.1).
//   - %{p} does not count towards the limit of ten: §4.6.4 lists the terms that
//     do, and the term around the macro has been counted. The query of exp
//     counts nowhere. A term that stands twice counts twice, though its answer
//     is known the second time, and is void twice.
//   - An mx with more than ten hosts is a permerror before any host is looked
//     up, so that the result depends neither on the client nor on the order of
//     the answer.
//   - A domain-spec that follows the grammar but cannot be a DNS name (an empty
//     label, a label over 63 octets) is a permerror where no macro is in it:
//     nobody's record means that. Where a macro made it so, a mechanism does
//     not match (§4.8 names both as seen in the wild; a sender must not be able
//     to break the record). For include and redirect a malformed name is "none"
//     by §4.3 and so a permerror by §5.2 and §6.1.
//   - Internationalised names in MAIL FROM and HELO become A-labels first
//     (RFC 8616 §4). A non-ASCII local part makes terms with %{s} or %{l} not
//     match, by the same section.
package spf

import (
	"net/netip"
	"time"

	"github.com/todoku-mail/todoku/pkg/dnsq"
)

// A Result is one of the seven results of RFC 7208 §2.6.
type Result string

// The results of check_host.
const (
	None      Result = "none"      // no record, or no domain to look at
	Neutral   Result = "neutral"   // the domain asserts nothing about the address
	Pass      Result = "pass"      // authorised
	Fail      Result = "fail"      // not authorised
	SoftFail  Result = "softfail"  // probably not authorised
	TempError Result = "temperror" // DNS did not answer: could not be found out now
	PermError Result = "permerror" // the records cannot be interpreted
)

// The limits of RFC 7208 §4.6.4.
const (
	MaxLookups  = 10 // terms that need DNS
	MaxVoids    = 2  // of them, those whose query was void
	MaxMXHosts  = 10 // MX records of one mx term: more are a permerror
	MaxPTRNames = 10 // PTR records looked at by one ptr or %{p}: the rest is ignored
)

// A Checker evaluates SPF. Only Resolver is needed. It may be used by many
// goroutines at once and must not be changed meanwhile.
type Checker struct {
	// Resolver answers all questions. The Checker asks each question once per
	// call; a cache beneath it makes several calls share.
	Resolver dnsq.Resolver
	// Receiver is the name of the host that does the check, for %{r};
	// "unknown" if empty (§7.3).
	Receiver string
	// Now is the clock for %{t}; time.Now if nil.
	Now func() time.Time
	// Prefetch asks ahead, in parallel, for what the records met so far will
	// ask next. It changes neither result nor counts nor trace, only time: a
	// record with nine includes takes the time of two questions, not of ten.
	// Questions that turn out not to be needed are cancelled, and no goroutine
	// outlives the call. At most 64 questions are asked ahead.
	Prefetch bool
	// DefaultExplanation is the explanation of a fail whose domain has none
	// that can be used (§6.2).
	DefaultExplanation string
}

// A Verdict is the result of check_host with its reasons.
type Verdict struct {
	Result Result
	// Identity is "mailfrom" or "helo".
	Identity string
	// Domain of the identity, canonical; the text given if it is no name.
	Domain string
	// Explanation for a fail, "" for other results. US-ASCII without control
	// characters, at most 16 KiB, but a stranger's text all the same.
	Explanation string
	// Exp is how the explanation was looked up; nil if it was not.
	Exp *Step
	// Path are the steps from the record of Domain down to the term that
	// decided; empty if none did (none, or neutral by default).
	Path []*Step
	// Lookups counts terms that need DNS, as far as evaluated: up to
	// MaxLookups, or one more if that broke the limit. Voids likewise.
	Lookups, Voids int
	// Ignored are the questions without an answer that the RFC takes for no
	// match: those of ptr (§5.5) and of %{p} (§7.3); each as often as it was
	// met. Unsure says that with an answer to them Result might be another: a
	// receiver that gets one comes to a different result by the same rules.
	Ignored []*dnsq.Error
	Unsure  bool
	// Root is the record of Domain and, below it, everything evaluated. It is
	// nil only if Domain could not be asked for.
	Root *Node
	// Problem says why the result is none, temperror or permerror; nil
	// otherwise. The path to it is Path.
	Problem *Problem
}

// The codes of [Problem].
const (
	ProblemInvalidDomain = "invalid-domain"     // none: not a fully qualified name that DNS can be asked for (§4.3)
	ProblemInvalidIP     = "invalid-ip"         // none: the caller's address is the zero netip.Addr
	ProblemNoRecord      = "no-record"          // none: NXDOMAIN, no TXT, or no TXT that is SPF (§4.5)
	ProblemDNS           = "dns"                // temperror: Err (§4.4, §5)
	ProblemMultiple      = "multiple"           // more than one SPF record: Records (§4.5)
	ProblemSyntax        = "syntax"             // Record.Errors (§4.6)
	ProblemLookups       = "too-many-lookups"   // Term is the one over Limit (§4.6.4)
	ProblemVoids         = "too-many-voids"     // Term is the one over Limit (§4.6.4)
	ProblemMX            = "too-many-mx"        // Target has Count MX records, over Limit (§4.6.4)
	ProblemIncludeNone   = "include-none"       // include of Target, which has no record (§5.2)
	ProblemRedirectNone  = "redirect-none"      // redirect to Target, which has no record (§6.1)
	ProblemBadTarget     = "bad-target"         // Target follows the grammar but is no DNS name (§4.8)
	ProblemLoop          = "loop"               // include or redirect back to a record under evaluation: Loop. In Analyze only; Check meets a limit
	ProblemExpUnusable   = "exp-unusable"       // exp=Target has no usable explanation; Why says more. In Analyze only, changes no result
	ProblemTooBig        = "analysis-too-large" // Analyze stopped here: Limit terms, levels or questions
)

// ProblemCodes lists every code of a [Problem], in the order above.
var ProblemCodes = []string{
	ProblemInvalidDomain, ProblemInvalidIP, ProblemNoRecord, ProblemDNS, ProblemMultiple, ProblemSyntax,
	ProblemLookups, ProblemVoids, ProblemMX, ProblemIncludeNone, ProblemRedirectNone, ProblemBadTarget,
	ProblemLoop, ProblemExpUnusable, ProblemTooBig,
}

// A Problem is why a record, or the evaluation of it, does not work.
type Problem struct {
	Code string
	// Domain is the canonical name whose record is at fault or was asked for.
	Domain string
	Record *Record // the record in which Term stands, if there is one
	Term   *Term   // the term at fault, if it is one
	Target string  // the name that Term leads to, as expanded
	// Limit and Count for the too-many codes.
	Limit, Count int
	Err          *dnsq.Error // for ProblemDNS
	// Records are the texts for ProblemMultiple, in the answer's order.
	Records []string
	// Loop are the names of the cycle, the first one repeated at the end.
	Loop []string
	// Why is a Step's code where one tells more.
	Why string
}

// A Node is one domain's record and its evaluation. Those below it hang on
// its Steps.
type Node struct {
	// Domain is canonical. Raw is the same before escaping: what %{d} is.
	Domain, Raw string
	// Answer is the TXT answer: Answer.Chain shows the CNAMEs on the way; nil
	// if none could be had.
	Answer *dnsq.Answer
	// RR is the SPF record among the answer's; nil unless there is exactly one.
	RR     *dnsq.RR
	Record *Record // RR, parsed
	// Steps are the terms looked at, in order of evaluation.
	Steps []*Step
	Via   *Term // the include or redirect that led here; nil at the root
	// Lookups, Voids: counted terms below this node, Via not among them. In an
	// Analysis Voids is the greater of Voids4 and Voids6 of the whole; per
	// node see Steps.
	Lookups, Voids int
	Result         Result // of check_host for this domain; "" in an Analysis
	// Problem of this very node (not of one below); nil if there is none.
	Problem *Problem

	decisive *Step
}

// A Step is one term looked at.
type Step struct {
	Term *Term
	// Target is the name that the term leads to, macros expanded: canonical,
	// or the raw text where that cannot be a name. "" where the term has none.
	Target string
	// Lookups is what the term cost of the ten, terms below it included.
	Lookups int
	// Void: the term's own query led to nothing. In an Analysis Void4 and
	// Void6 say for which family of senders, and Void for either.
	Void, Void4, Void6 bool
	Matched            bool
	Why                string       // one of the Why codes
	Addrs              []netip.Addr // of a and mx: the addresses compared with; of exists: what was found
	Hosts              []string     // of mx: the hosts; of ptr: the names looked at
	Child              *Node        // of include and redirect
	Err                *dnsq.Error  // the question that could not be answered
}

// The codes of [Step.Why].
const (
	WhyAll            = "all"              // all matches always
	WhyInNetwork      = "in-network"       // ip4, ip6: the address is in Term.Prefix
	WhyNotInNetwork   = "not-in-network"   // ip4, ip6: it is not
	WhyOtherFamily    = "other-family"     // ip4 for an IPv6 client, ip6 for an IPv4 one
	WhyAddressMatch   = "address-match"    // a, mx: one of Addrs, widened by the CIDR length, holds the address
	WhyAddressDiffers = "address-differs"  // a, mx: none does
	WhyNoAddress      = "no-address"       // a, mx: no address of the client's family
	WhyNoName         = "no-such-name"     // NXDOMAIN
	WhyNoMX           = "no-mx"            // mx: the name has no MX records (or one that says "no mail", RFC 7505)
	WhyExists         = "exists"           // exists: there is an A record
	WhyNotExists      = "not-exists"       // exists: the name has no A record
	WhyIncludePass    = "include-pass"     // include: the result there is pass
	WhyIncludeNot     = "include-not-pass" // include: it is fail, softfail or neutral: Child.Result
	WhyRedirect       = "redirect"         // redirect: the result is Child.Result
	WhyPTRMatch       = "ptr-match"        // ptr: a confirmed name is Target or below it: Hosts[last]
	WhyPTRNoMatch     = "ptr-no-match"     // ptr: no such name, or not confirmed
	WhyPTRUnknown     = "ptr-dns-error"    // ptr: the PTR query failed, which §5.5 makes no match: Err
	WhyBadTarget      = "bad-target"       // the target is no DNS name
	WhyLocalPart      = "non-ascii-local-part"
	WhyDNSError       = "dns-error"        // Err
	WhyLimit          = "limit"            // the step broke a limit: see the Problem
	WhyBroken         = "broken"           // include, redirect: none, permerror or temperror below
	WhyExplained      = "explained"        // exp: the text is the Verdict's Explanation
	WhyNoText         = "no-text"          // exp: no TXT record
	WhyManyTexts      = "many-texts"       // exp: more than one TXT record
	WhyBadText        = "bad-text"         // exp: syntax error, non-ASCII, or far too long
	WhySender         = "sender-dependent" // Analyze: cannot be known without a sender
	WhyAsked          = "asked"            // Analyze: looked up; nothing is compared
	WhyLoop           = "loop"             // Analyze: leads back to a record on the way here
	WhyTooBig         = "too-large"        // Analyze: beyond its bounds
)

// canAsk makes a DNS name of text that came out of a record or an identity.
func canAsk(raw string) (name string, ok bool) { return dnsq.NameOfRaw(raw) }
