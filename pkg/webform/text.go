package webform

import (
	"cmp"
	"html"
	"regexp"
	"slices"
	"strings"

	"github.com/todoku-mail/todoku/pkg/message"
)

// Text are the lines of the mail's text: of the plain text, or of the HTML without its
// markup where there is no plain text, with the address of a link in front of it. At
// most 64 KiB of it and 2000 lines are read, and 1000 octets of a line. The error is
// that of reading the body.
func Text(m *message.Message) ([]Line, error) {
	var part *message.Part
	for _, p := range m.Texts() {
		if part == nil || part.MediaType == "text/html" && p.MediaType == "text/plain" {
			part = p
		}
	}
	if part == nil {
		return nil, nil
	}
	t, err := part.Text(maxText)
	if err != nil {
		return nil, err
	}
	text := t.Text
	exact := part.Encoding == "7bit" || part.Encoding == "8bit" || part.Encoding == "binary"
	if part.MediaType == "text/html" {
		text, exact = plain(text), false
	}
	var out []Line
	for i, s := range strings.SplitN(text, "\n", maxLines+1) {
		if i == maxLines {
			break // the rest
		}
		l := Line{Text: strings.TrimRight(clip(s), " \t\r　"), Part: part, Number: part.BodyLine, Exact: exact}
		if exact {
			l.Number += i
		}
		out = append(out, l)
	}
	return out, nil
}

var (
	ignored = regexp.MustCompile(`(?is)<(?:script|style|head|title)\b.*?</(?:script|style|head|title)\s*>|<!--.*?-->`)
	anchor  = regexp.MustCompile(`(?is)<a\b[^>]*?\bhref\s*=\s*["']?(https?://[^"'\s>]{1,1000})`)
	breaks  = regexp.MustCompile(`(?i)<(?:br|/p|/div|/tr|/td|/th|/li|/h[1-6]|/table|/blockquote|hr)\b[^>]*>`)
	tags    = regexp.MustCompile(`<[a-zA-Z/!?][^>]*>`)
)

// plain takes the markup out of HTML. Where a link leads is put behind it.
func plain(s string) string {
	s = ignored.ReplaceAllString(s, "")
	s = strings.Join(strings.Fields(s), " ") // line ends mean nothing in HTML
	s = anchor.ReplaceAllString(s, " $1 $0")
	s = breaks.ReplaceAllString(s, "\n")
	s = html.UnescapeString(tags.ReplaceAllString(s, ""))
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}

// What stands before and behind a label: "■", "【", "●", "* "; "】", "(required)".
const (
	bullet  = `^[\s　■□●○◆◇▼▽▶・*#\-]*`
	opening = `([\[【《〈（(<＜]?)[\s　]*`
	closing = `[\s　]*(?:\((?:required|必須|任意)\)|（(?:必須|任意)）|[※*])*[\s　]*([\]】》〉）)>＞]?)[\s　]*([:：]?)[\s　]*(.*)$`
)

var (
	freeLabel = regexp.MustCompile(`(?i)` + bullet + opening + `(?:message body|your message|message|your inquiry|inquiry|enquiry|comments?|your question|お問い?合わ?せの?(?:内容|詳細|本文)|お問合せの?(?:内容|詳細|本文)|御?ご?質問の?(?:内容)?|ご相談の?(?:内容)?|ご意見(?:・ご(?:感想|質問|要望))?|ご要望|メッセージ(?:本文|内容)?|内容|本文|(?:ご)?連絡事項|通信欄)` + closing)
	nameLabel = regexp.MustCompile(`(?i)` + bullet + opening + `(?:your name|full name|first name|last name|name|お?名前|御名前|ご?氏名|ニックネーム|担当者名|(?:お?名前|氏名)[(（](?:漢字|カナ|フリガナ|ふりがな)[)）]|フリガナ|ふりがな)` + closing)
	anyLabel  = regexp.MustCompile(`(?i)` + bullet + opening + `(?:your e-?mail|e-?mail(?: address)?|メール(?:アドレス)?|ご?連絡先|phone|tel(?:ephone)?|お?電話(?:番号)?|携帯電話|your subject|subject|件名|題名|ご?用件|お問い?合わ?せ(?:種別|種類|項目)|会社名|御?社名|貴社名|company|ご?住所|郵便番号|from|差出人)` + closing)
	separator = regexp.MustCompile(`^[\s　]*(?:[-=_*+~#・.━─＿＝～〜—–‐ー]{3,}[\s　]*[^\s]{0,20}[\s　]*[-=_*+~#・.━─＿＝～〜—–‐ー]*|--)[\s　]*$|^[┏┗┌└╔╚]`)
	dear      = regexp.MustCompile(`(?i)^[\s　]*(?:(?:dear|hi|hello|thank you,?)\s+\S.*|\S.*[\s　](?:様|さま|さん))[\s　]*[,、]?[\s　]*$|^[\s　]*\S+(?:様|さま)[\s　]*$`)

	webLink    = regexp.MustCompile(`(?i)https?://[^\s<>"'()（）「」【】]{1,500}`)
	webAddress = regexp.MustCompile(`(?i)https?://|\bwww\.[a-z0-9-]+\.[a-z]{2}|\b[a-z0-9-]{2,63}\.[a-z]{2,10}/[a-z0-9?]`)
)

// label reads a line as one of a form: what stands behind the label, and whether it
// is one. A word alone is none: it needs a bracket, a mark or a colon.
func label(re *regexp.Regexp, line string) (value string, ok bool) {
	m := re.FindStringSubmatch(line)
	if m == nil {
		return "", false
	}
	opened, closed, colon, value := m[1] != "", m[2] != "", m[3] != "", strings.TrimSpace(m[4])
	first := strings.TrimLeft(line, " \t　")
	bulleted := first != "" && strings.ContainsAny(first[:min(len(first), 3)], "■□●○◆◇▼▽▶・")
	switch {
	case opened != closed && !colon:
		return "", false
	case opened && closed, colon, bulleted && value == "":
		return value, true
	}
	return "", false
}

// A body is what the lines of a mail say.
type body struct {
	labels int  // different labels of a form
	sender bool // among them one for the visitor's address
	quoted *Line
	abused *Line
	links  []string
}

// scan looks at the lines for what forms leave there.
func scan(lines []Line) *body {
	b := &body{}
	seen := map[string]bool{}
	count := map[string]int{}
	var order []string
	inFree := false
	for i := range lines {
		l := &lines[i]
		text := l.Text
		if strings.HasPrefix(strings.TrimLeft(text, " "), ">") {
			continue // a person's quotation
		}
		if separator.MatchString(text) {
			inFree = false
			continue
		}
		if v, ok := label(nameLabel, text); ok {
			inFree = false
			seen["name"] = true
			if b.abused == nil && webAddress.MatchString(v) {
				b.abused = l
			}
			continue
		}
		if _, ok := label(anyLabel, text); ok {
			inFree = false
			seen[strings.TrimSpace(strings.FieldsFunc(text, func(r rune) bool { return r == ':' || r == '：' })[0])] = true
			b.sender = b.sender || strings.Contains(text, "@")
			continue
		}
		if v, ok := label(freeLabel, text); ok {
			seen["free"] = true
			inFree = true
			if v != "" && b.quoted == nil {
				b.quoted = l
			}
			continue
		}
		if inFree {
			if b.quoted == nil && strings.TrimSpace(text) != "" {
				b.quoted = l
			}
			continue
		}
		if b.abused == nil && dear.MatchString(text) && webAddress.MatchString(text) {
			b.abused = l
		}
		for _, u := range webLink.FindAllString(text, 50) {
			if org := linkOrg(u); org != "" {
				if count[org] == 0 {
					order = append(order, org)
				}
				count[org]++
			}
		}
	}
	b.labels = len(seen)
	slices.SortStableFunc(order, func(a, c string) int { return cmp.Compare(count[c], count[a]) })
	b.links = order[:min(len(order), 5)]
	return b
}
