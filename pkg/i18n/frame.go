package i18n

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

//go:embed frame.en.txt
var frameEN string

//go:embed frame.ja.txt
var frameJA string

var frameText = map[string]string{"en": frameEN, "ja": frameJA}

// parseFrame reads lines of "key = text". Blank lines and lines that start
// with # say nothing. A text in double quotes is a Go string, for blanks at
// its ends. The first fault is the error, with file and line.
func parseFrame(file, src string) (map[string]string, error) {
	m := make(map[string]string, 160)
	line := 0
	for rest := src; rest != ""; {
		var l string
		l, rest, _ = strings.Cut(rest, "\n")
		line++
		bad := func(format string, a ...any) (map[string]string, error) {
			return nil, fmt.Errorf("%s:%d: %s", file, line, fmt.Sprintf(format, a...))
		}
		if l == "" || l[0] == '#' {
			continue
		}
		if !utf8.ValidString(l) {
			return bad("not valid UTF-8")
		}
		if strings.TrimRight(l, " \t\r") != l {
			return bad("blanks at the end of the line")
		}
		key, text, ok := strings.Cut(l, " = ")
		if !ok || !isKey(key) {
			return bad("expected key = text, the key in lower case letters, digits, '.', '-' and '_'")
		}
		if strings.HasPrefix(text, `"`) {
			t, err := strconv.Unquote(text)
			if err != nil {
				return bad("%s is no quoted string", text)
			}
			text = t
		}
		if text == "" {
			return bad("%s has no text", key)
		}
		if _, err := placeholders(text); err != nil {
			return bad("%v", err)
		}
		if _, twice := m[key]; twice {
			return bad("%s is here twice", key)
		}
		m[key] = text
	}
	return m, nil
}

func isKey(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == "" && !strings.Contains(s, "..") && s[0] != '.' && s[len(s)-1] != '.'
}
