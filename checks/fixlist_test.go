package checks_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/todoku-mail/todoku/checks"
	"github.com/todoku-mail/todoku/pkg/checktest"
	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/i18n"
)

// byHand are faults whose remedy is neither a record that todoku can name nor an
// answer to a question: why.
var byHand = map[string]string{
	"LOCK-NO-ENTRY":          "a line of the lock file, which todoku lock writes",
	"LOCK-PROVIDER-KEY":      "a record of the provider, to be looked at and accepted with todoku lock",
	"LOCK-PROVIDER-MX":       "a record of the provider, to be looked at and accepted with todoku lock",
	"LOCK-PROVIDER-NETWORKS": "a record of the provider, to be looked at and accepted with todoku lock",
	"LOCK-SPF-ADDRESSES":     "who may send has changed, to be looked at and accepted with todoku lock",

	"ZONE-BELOW-DNAME":         "which is meant, the DNAME or the record below it, the file does not say; a DNAME cannot be tried (zone.Patch)",
	"ZONE-BESIDE-CNAME":        "which is meant, the CNAME or what stands beside it, the file does not say",
	"ZONE-BYTE-ORDER-MARK":     "three octets of the file, not a record",
	"ZONE-NAME-SERVER-ADDRESS": "the address of a name server, which its owner knows",
	"ZONE-NO-NAME-SERVER":      "the name servers, which the owner of the zone knows; NS cannot be tried (zone.Patch)",
	"ZONE-ORIGIN-WITHOUT-DOT":  "a directive, not a record",
	"ZONE-OUT-OF-ZONE":         "it belongs into another zone, or its name is mistyped",
	"ZONE-UTF8-NAME":           "the spelling of a name that stays the same record",
	"ZONE-BELOW-DELEGATION":    "it belongs into the zone of another",
	"ZONE-HOST-NAME":           "the name of a machine, which its owner chooses",
	"ZONE-NEGATIVE-TTL-LONG":   "a time in the SOA record, which cannot be tried (zone.Patch)",
	"ZONE-SERIAL-NOT-GROWN":    "the serial in the SOA record: --fix zone raises it",
	"ZONE-TTL-LONG":            "a TTL, not the data of a record",
}

// Every fail and warn that a DNS administrator mends either has a fixture with a
// fix that was tried, or asks the person what no record says (### Ask in its
// doc), or stands in byHand with the reason. It may do both of the first: what can
// be proposed often depends on what was given.
func TestEveryRecordHasAFix(t *testing.T) {
	cat, err := i18n.Load(checks.All, "en")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks.All {
		fixed := map[string]bool{}
		for _, path := range checktest.Files(t, filepath.Join(c.Name, "testdata")) {
			f, err := checktest.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			for id, lines := range f.Fixed {
				fixed[id] = fixed[id] || len(lines) > 0 && !strings.HasPrefix(lines[0], "not verified")
			}
		}
		for _, k := range c.Kinds {
			if k.Owner != diag.DNSAdmin || k.Status != diag.Fail && k.Status != diag.Warn {
				continue
			}
			if byHand[k.ID] != "" {
				if fixed[k.ID] {
					t.Errorf("%s: a fixture has a verified fix, and byHand says that there can be none", k.ID)
				}
				continue
			}
			if e := cat.Entry(k.ID); !fixed[k.ID] && (e == nil || e.Ask == "") {
				t.Errorf("%s: no fixture has a verified fix for it, and its doc asks nothing (### Ask)", k.ID)
			}
		}
	}
}
