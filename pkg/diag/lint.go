package diag

import "slices"

// ZoneFiles are what zone files say beside their records: which zones they are,
// and what is odd about their text. It is data, so that a recording of a run can
// keep it; package zone makes it.
type ZoneFiles struct {
	Zones []ZoneFile
	Lints []Lint // in the order of the files and their lines
}

// A ZoneFile is one zone.
type ZoneFile struct {
	Origin  string
	File    string
	Records int
	Cuts    []string // names that the zone hands on to other servers
}

// A LintCode says what is wrong with the text of a zone file.
type LintCode string

const (
	LintLongString       LintCode = "long-string"        // a character-string over 255 octets; Number of them
	LintByteOrderMark    LintCode = "byte-order-mark"    // the file starts with U+FEFF
	LintOriginWithoutDot LintCode = "origin-without-dot" // $ORIGIN Read has no final dot
	LintOutOfZone        LintCode = "out-of-zone"        // the record is not below the origin
	LintBesideCNAME      LintCode = "beside-cname"       // a record beside a CNAME to Read
	LintBelowDNAME       LintCode = "below-dname"        // a record below the DNAME at Read
	LintNoNameServer     LintCode = "no-name-server"     // an SOA record, and no NS beside it
	LintServerAddress    LintCode = "server-address"     // the name server Read is in the zone and has no address
	LintHostName         LintCode = "host-name"          // a host with a name that no host may have: Read
	LintCutBySemicolon   LintCode = "cut-by-semicolon"   // an unquoted ; ends the text; Meant is all of it
	LintUnquoted         LintCode = "unquoted"           // words without quotes, read without the blanks; Meant has them
	LintSmartQuotes      LintCode = "smart-quotes"       // typographic quotes in the text
	LintBackslash        LintCode = "backslash"          // a literal backslash in the text
	LintQuote            LintCode = "quote"              // literal quotes in the text
	LintMissingDot       LintCode = "missing-dot"        // a name in the data means Meant and is Read
	LintNameDoubled      LintCode = "name-doubled"       // the owner means Meant
	LintUTF8Name         LintCode = "utf8-name"          // a name that is not ASCII: Read
	LintSPFType          LintCode = "spf-type"           // an SPF record of type SPF, beside one of type TXT
	LintSPFTypeOnly      LintCode = "spf-type-only"      // an SPF record of type SPF alone
	LintBelowCut         LintCode = "below-cut"          // a record that the delegation at Read hides
	LintTTL              LintCode = "ttl"                // a TTL of Number seconds
	LintNegativeTTL      LintCode = "negative-ttl"       // absence is remembered for Number seconds
	LintSerial           LintCode = "serial"             // the serial went from Was to Number, which is not up
	LintMore             LintCode = "more"               // there is more of it than is looked at
)

// LintCodes are all of them.
var LintCodes = []LintCode{LintLongString, LintByteOrderMark, LintOriginWithoutDot, LintOutOfZone, LintBesideCNAME,
	LintBelowDNAME, LintNoNameServer, LintServerAddress, LintHostName, LintCutBySemicolon, LintUnquoted, LintSmartQuotes,
	LintBackslash, LintQuote, LintMissingDot, LintNameDoubled, LintUTF8Name, LintSPFType, LintSPFTypeOnly, LintBelowCut,
	LintTTL, LintNegativeTTL, LintSerial, LintMore}

// A Lint is one thing that the text of a zone file says and its records, seen
// through the DNS, do not.
type Lint struct {
	Code   LintCode
	Zone   string // the zone's origin
	Place  Place
	Column int // from 1, in octets; 0 is unknown
	// Name, Type and Text are those of the record, as in an [Edit]. Where the lint
	// is about no record, Type is the directive or "", and Name the origin.
	Name, Type, Text string
	Offset, Length   int    // the octets of Text at fault; Length 0: the whole
	Read, Meant      string // what servers read, and what was meant
	Was, Number      int64
	// Mail: the record is one that mail needs. A lint that is neither of a mail
	// record nor of the Whole file (servers refuse it, or read all of it in another
	// way) concerns mail in no way.
	Mail, Whole bool
	// Fix are the edits that mend it, if it can be told what was meant.
	Fix []Edit
}

// After is z as it would be after edits: without the lints of records that they
// take away or replace. nil if z is nil.
func (z *ZoneFiles) After(edits []Edit) *ZoneFiles {
	if z == nil {
		return nil
	}
	out := *z
	out.Lints = slices.DeleteFunc(slices.Clone(z.Lints), func(l Lint) bool {
		return slices.ContainsFunc(edits, func(e Edit) bool {
			if e.Old == "" || e.Name != l.Name {
				return false
			}
			return e.Type == l.Type && e.Old == l.Text ||
				l.Code == LintBesideCNAME && e.Type == "CNAME" && e.New == ""
		})
	})
	return &out
}
