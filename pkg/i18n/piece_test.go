package i18n

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/todoku-mail/todoku/pkg/diag"
)

func sentence(pieces []Piece) string {
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(p.Text)
	}
	return b.String()
}

// Pieces say which words are values, and put together they are the sentence.
func TestPieces(t *testing.T) {
	c, err := Load(nil, "en")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		why, key string
		args     diag.Args
		want     []Piece
	}{
		{"a value among our words", "verdict.mail", diag.Args{"domain": "a.example"}, []Piece{{"Mail from ", false}, {"a.example", true}}},
		{"a number is ours", "cut", diag.Args{"n": 7}, []Piece{{"7", false}, {" bytes in all", false}}},
		{"elements of a list, not the commas between them", "trouble.needed", diag.Args{"checks": []string{"a", "b"}},
			[]Piece{{"needed by ", false}, {"a", true}, {", ", false}, {"b", true}}},
		{"no value", "trouble.needed", diag.Args{"checks": []string{}}, []Piece{{"needed by ", false}, {"(none)", false}}},
		{"an empty one", "verdict.mail", diag.Args{"domain": ""}, []Piece{{"Mail from ", false}, {"(empty)", false}}},
		{"one that is missing", "verdict.mail", nil, []Piece{{"Mail from ", false}, {"‹domain›", false}}},
		{"escapes are part of the value", "verdict.mail", diag.Args{"domain": "\x1b{n}"}, []Piece{{"Mail from ", false}, {`\x1b{n}`, true}}},
	} {
		got := c.TPieces(tc.key, tc.args)
		// Neighbours that are both ours may be one piece or two.
		if diff := cmp.Diff(tc.want, got); diff != "" && !cmp.Equal(merge(tc.want), merge(got)) {
			t.Errorf("%s:\n%s", tc.why, diff)
		}
		if tc.args != nil && sentence(got) != c.T(tc.key, tc.args) {
			t.Errorf("%s: pieces say %q, the sentence %q", tc.why, sentence(got), c.T(tc.key, tc.args))
		}
	}
	long := make([]string, maxList+3)
	for i := range long {
		long[i] = "x"
	}
	if got, want := sentence(c.ValuePieces(nil, "", long)), c.Value("", long); got != want {
		t.Errorf("a long list: %q, want %q", got, want)
	}
	if got := c.ValuePieces(nil, "reason", "timeout"); len(got) != 1 || got[0].Value {
		t.Errorf("a code with a text of ours: %+v", got)
	}
}

func merge(in []Piece) (out []Piece) {
	for _, p := range in {
		if n := len(out); n > 0 && !p.Value && !out[n-1].Value {
			out[n-1].Text += p.Text
		} else {
			out = append(out, p)
		}
	}
	return out
}
