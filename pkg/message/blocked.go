package message

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"
)

//go:embed blocked.tsv
var blockedData string

// A Blocked is a kind of file that a receiver takes in no mail.
type Blocked struct {
	Receiver  string // gmail, microsoft365
	Extension string // lower case, without the dot
	Action    string // what happens to the mail: reject, quarantine
	Source    string // where the receiver says so
	Date      string // when that was read, YYYY-MM
}

var blocked = sync.OnceValue(func() map[string][]Blocked {
	m, err := parseBlocked(blockedData)
	if err != nil {
		panic("message: blocked.tsv: " + err.Error()) // held by a test
	}
	return m
})

func parseBlocked(data string) (map[string][]Blocked, error) {
	out := map[string][]Blocked{}
	for i, l := range strings.Split(strings.TrimSuffix(data, "\n"), "\n") {
		if i == 0 {
			if l != "receiver\taction\tsource\tdate\textensions" {
				return nil, fmt.Errorf("line 1: other columns")
			}
			continue
		}
		c := strings.Split(l, "\t")
		if len(c) != 5 || c[0] == "" || c[2] == "" || c[4] == "" {
			return nil, fmt.Errorf("line %d: expected five columns", i+1)
		}
		for _, ext := range strings.Fields(c[4]) {
			if ext != strings.ToLower(ext) || strings.Contains(ext, ".") {
				return nil, fmt.Errorf("line %d: %q is no extension in lower case", i+1, ext)
			}
			out[ext] = append(out[ext], Blocked{c[0], ext, c[1], c[2], c[3]})
		}
	}
	return out, nil
}

// BlockedBy lists the receivers that take no file of this name, by its last
// extension. Receivers look into archives too, which this does not.
func BlockedBy(filename string) []Blocked {
	name := strings.ToLower(strings.TrimRight(strings.TrimSpace(filename), ". "))
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return nil
	}
	return blocked()[name[i+1:]]
}
