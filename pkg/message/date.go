package message

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Date is the time that a Date or Received field says.
type Date struct {
	Time time.Time // in the zone written
	// Obsolete: a form that RFC 5322 §4.3 reads and no program may write: a year
	// of two digits, a zone by name.
	Obsolete bool
	// Odd: a form that no RFC has and most programs read all the same
	// (asctime, ISO 8601, a zone without a sign or with a name that is not in
	// RFC 5322). What is odd is in Detail.
	Odd    bool
	Detail string
	// WrongDay: the day of the week is not that of the date (§3.3).
	WrongDay bool
	// UnknownZone: the zone is "-0000" or a name that says nothing (§4.3), so
	// Time is UTC.
	UnknownZone bool
}

var months = map[string]time.Month{"jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
	"january": 1, "february": 2, "march": 3, "april": 4, "june": 6, "july": 7, "august": 8, "sept": 9, "september": 9, "october": 10, "november": 11, "december": 12}

var weekdays = map[string]time.Weekday{"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6,
	"sunday": 0, "monday": 1, "tuesday": 2, "wednesday": 3, "thursday": 4, "friday": 5, "saturday": 6, "tues": 2, "thur": 4, "thurs": 4}

// zones are those of RFC 5322 §4.3, in minutes east of Greenwich.
var zones = map[string]int{"UT": 0, "GMT": 0, "EST": -300, "EDT": -240, "CST": -360, "CDT": -300, "MST": -420, "MDT": -360, "PST": -480, "PDT": -420}

// oddZones are names in use that RFC 5322 does not have and that mean one
// thing only.
var oddZones = map[string]int{"JST": 540, "UTC": 0, "Z": 0, "CET": 60, "CEST": 120, "KST": 540, "BST": 60, "HKT": 480, "SGT": 480}

// ParseDate reads a date-time (RFC 5322 §3.3 and §4.3; comments may stand
// anywhere). The error says what is wrong in a few words.
func ParseDate(s string) (Date, error) {
	var d Date
	if len(s) > 1000 {
		return d, fmt.Errorf("%d octets are no date", len(s))
	}
	words := strings.FieldsFunc(stripComments(s), func(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' })
	odd := func(detail string) {
		if !d.Odd {
			d.Odd, d.Detail = true, detail
		}
	}
	// The day of the week, with or without its comma.
	weekday, hasDay := time.Weekday(0), false
	if len(words) > 0 {
		w := words[0]
		name, rest, comma := strings.Cut(w, ",")
		if wd, ok := weekdays[strings.ToLower(strings.TrimSuffix(name, "."))]; ok {
			weekday, hasDay = wd, true
			if len(name) != 3 {
				odd("day of the week " + name)
			}
			words = words[1:]
			if comma && rest != "" {
				words = append([]string{rest}, words...)
			} else if !comma && len(words) > 0 && words[0] == "," {
				words = words[1:]
			} else if !comma {
				if len(words) > 0 && words[0][0] >= '0' && words[0][0] <= '9' {
					odd("no comma behind the day of the week")
				}
			}
		}
	}
	if len(words) == 0 {
		return d, fmt.Errorf("no date")
	}
	var year, day int
	var month time.Month
	var clock string
	var zone []string
	_, asctime := months[strings.ToLower(words[0])]
	switch {
	case asctime && len(words) >= 4:
		// asctime: Nov 2 10:00:00 2026, or 10:00:00 JST 2026 as date(1) has it.
		odd("not in the order day, month, year")
		month = months[strings.ToLower(words[0])]
		day = number(strings.TrimSuffix(words[1], ","), 2)
		clock = words[2]
		rest := words[3:]
		if y := number(rest[0], 4); y >= 0 {
			year, zone = y, rest[1:]
		} else if len(rest) > 1 {
			year, zone = number(rest[1], 4), append([]string{rest[0]}, rest[2:]...)
		} else {
			year = -1
		}
	case len(words[0]) >= 10 && words[0][4] == '-' && words[0][7] == '-':
		// ISO 8601: 2026-11-02T10:00:00+09:00, or with a space.
		odd("not in the order day, month, year")
		y, m, dd := words[0][:4], words[0][5:7], words[0][8:10]
		year, month, day = number(y, 4), time.Month(number(m, 2)), number(dd, 2)
		if len(words[0]) > 11 && words[0][10] == 'T' {
			clock, zone = words[0][11:], words[1:]
		} else if len(words) > 1 {
			clock, zone = words[1], words[2:]
		}
		if i := strings.IndexAny(clock, "+-Z"); i > 0 {
			zone, clock = append([]string{strings.Replace(clock[i:], ":", "", 1)}, zone...), clock[:i]
		}
		clock, _, _ = strings.Cut(clock, ".")
	default:
		// The form of the RFC: 2 Nov 2026 10:00:00 +0900. Some write 2-Nov-2026.
		if p := strings.Split(words[0], "-"); len(p) == 3 {
			odd("hyphens in the date")
			words = append(p, words[1:]...)
		}
		if len(words) < 4 {
			return d, fmt.Errorf("expected day, month, year, time and zone")
		}
		day = number(words[0], 2)
		m, ok := months[strings.ToLower(strings.TrimSuffix(words[1], "."))]
		if !ok {
			return d, fmt.Errorf("no such month: %.20q", words[1])
		}
		if len(words[1]) != 3 {
			odd("month " + clip([]byte(words[1]), 20))
		}
		month = m
		year = number(words[2], 4)
		switch {
		case year < 0 || len(words[2]) == 1:
			return d, fmt.Errorf("no such year: %.20q", words[2])
		// RFC 5322 §4.3: two digits are 20xx up to 49 and 19xx from 50; three
		// digits are years since 1900.
		case len(words[2]) == 2 && year < 50:
			year, d.Obsolete = year+2000, true
		case len(words[2]) <= 3:
			year, d.Obsolete = year+1900, true
		}
		clock, zone = words[3], words[4:]
	}
	h, min, sec, ok := parseClock(clock)
	if !ok {
		return d, fmt.Errorf("no such time of day: %.20q", clock)
	}
	if year < 0 || month < 1 || month > 12 || day < 1 || day > daysIn(month, year) {
		return d, fmt.Errorf("no such day")
	}
	if strings.Count(clock, ":") == 2 && len(clock) != 8 || strings.Count(clock, ":") == 1 && len(clock) != 5 {
		odd("time of day " + clock)
	}
	offset, err := d.zone(zone, odd)
	if err != nil {
		return d, err
	}
	loc := time.UTC
	if offset != 0 {
		loc = time.FixedZone("", offset*60)
	}
	// A leap second is the last one of its minute.
	d.Time = time.Date(year, month, day, h, min, sec, 0, loc)
	if hasDay && d.Time.Weekday() != weekday {
		// The second 60 makes it the next day.
		d.WrongDay = sec < 60
	}
	return d, nil
}

func (d *Date) zone(words []string, odd func(string)) (int, error) {
	if len(words) == 0 {
		odd("no zone")
		d.UnknownZone = true
		return 0, nil
	}
	z := words[0]
	if len(words) > 1 {
		odd("text behind the zone")
	}
	// "GMT+0900" and "UTC+9" and the like.
	if up := strings.ToUpper(z); len(z) > 4 && (strings.HasPrefix(up, "GMT") || strings.HasPrefix(up, "UTC")) && (z[3] == '+' || z[3] == '-') {
		odd("zone " + clip([]byte(z), 20))
		z = strings.Replace(z[3:], ":", "", 1)
		if len(z) <= 3 {
			z = z[:1] + strings.Repeat("0", 3-len(z)) + z[1:] + "00"
		}
	}
	if z[0] == '+' || z[0] == '-' {
		digits := z[1:]
		if len(digits) == 5 && digits[2] == ':' {
			odd("zone " + z)
			digits = digits[:2] + digits[3:]
		}
		n := number(digits, 4)
		// §3.3: the two digits of the minutes are 00 to 59, the whole within
		// -9959 to +9959.
		if n < 0 || len(digits) != 4 || n%100 > 59 {
			return 0, fmt.Errorf("no such zone: %.20q", z)
		}
		minutes := n/100*60 + n%100
		if minutes > 14*60 {
			odd("zone " + z) // no place on earth is further ahead
		}
		if z[0] == '-' {
			if minutes == 0 {
				d.UnknownZone = true
			}
			minutes = -minutes
		}
		return minutes, nil
	}
	up := strings.ToUpper(z)
	if off, ok := zones[up]; ok {
		d.Obsolete = true
		return off, nil
	}
	if off, ok := oddZones[up]; ok {
		odd("zone " + z)
		return off, nil
	}
	for _, c := range up {
		if c < 'A' || c > 'Z' {
			return 0, fmt.Errorf("no such zone: %.20q", z)
		}
	}
	// §4.3: military zones and other names say nothing; they are -0000.
	d.Obsolete, d.UnknownZone = true, true
	return 0, nil
}

// number reads at most max digits; -1 if s is anything else.
func number(s string, max int) int {
	if s == "" || len(s) > max {
		return -1
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
	}
	n, _ := strconv.Atoi(s)
	return n
}

func parseClock(s string) (h, m, sec int, ok bool) {
	p := strings.Split(s, ":")
	if len(p) != 2 && len(p) != 3 {
		return
	}
	h, m = number(p[0], 2), number(p[1], 2)
	if len(p) == 3 {
		sec = number(p[2], 2)
	}
	// §3.3: 60 is a leap second.
	return h, m, sec, h >= 0 && h < 24 && m >= 0 && m < 60 && sec >= 0 && sec <= 60
}

func daysIn(m time.Month, year int) int {
	return time.Date(year, m+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// stripComments puts a space in the place of each comment. Where one has no
// end, the rest stays as it is.
func stripComments(s string) string {
	if strings.IndexByte(s, '(') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] == '(' {
			end := skipComment(s, i)
			if end < 0 {
				b.WriteString(s[i:])
				break
			}
			b.WriteByte(' ')
			i = end
			continue
		}
		b.WriteByte(s[i])
		i++
	}
	return b.String()
}
