package gate

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/todoku-mail/todoku/pkg/diag"
)

// maxBaseline is how many octets of a baseline are read.
const maxBaseline = 256 << 20

// A Baseline is what reports of another day had already found.
type Baseline struct {
	known   map[string]bool // fingerprints
	Reports int             // that were read
}

// Len is the number of different findings that it knows.
func (b *Baseline) Len() int { return len(b.known) }

// LoadBaseline reads what -o json or -o ndjson wrote. The error is one line that
// names the file and what was expected.
func LoadBaseline(file string) (*Baseline, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := ReadBaseline(f)
	if err != nil {
		return nil, fmt.Errorf("%s %w", file, err)
	}
	return b, nil
}

// The part of a report that a baseline is about.
type (
	baselineRun struct {
		Schema  *int              `json:"schema"`
		Checks  []*baselineCheck  `json:"checks"`
		Reports []*baselineRun    `json:"reports"`
		Diffs   []json.RawMessage `json:"diffs"`
	}
	baselineCheck struct {
		Check    string             `json:"check"`
		Findings []*baselineFinding `json:"findings"`
	}
	baselineFinding struct {
		ID          string      `json:"id"`
		Status      diag.Status `json:"status"`
		Fingerprint string      `json:"fingerprint"`
		Waived      any         `json:"waived"`
	}
)

// ReadBaseline reads one report, several in one object, or one a line.
//
// What a baseline excuses is a fault or a warning that it shows. It excuses
// nothing that could not be found out then: behind it there may have been any
// fault or none. Nor what was waived then: the waiver has its own end.
func ReadBaseline(in io.Reader) (*Baseline, error) {
	lr := &io.LimitedReader{R: bufio.NewReader(in), N: maxBaseline + 1}
	lines := &lineCounter{r: lr}
	d := json.NewDecoder(lines)
	b := &Baseline{known: map[string]bool{}}
	for {
		var run *baselineRun
		err := d.Decode(&run)
		if lr.N <= 0 {
			return nil, fmt.Errorf("is larger than %d octets", maxBaseline)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("is no report of -o json: %v", at(lines, d, err))
		}
		if err := b.add(run); err != nil {
			return nil, err
		}
	}
	if b.Reports == 0 {
		return nil, errors.New("is empty: expected a report that -o json wrote")
	}
	return b, nil
}

func (b *Baseline) add(run *baselineRun) error {
	switch {
	case run == nil || run.Schema == nil:
		return errors.New("is no report: expected what -o json wrote, an object with \"schema\" and \"checks\"")
	case *run.Schema != 1:
		return fmt.Errorf("is a report of schema %d: this todoku reads schema 1; write it anew with -o json", *run.Schema)
	case run.Diffs != nil:
		return errors.New("is a diff: expected the report of a check, written by todoku check … -o json")
	case run.Reports != nil:
		for _, r := range run.Reports {
			if r == nil || r.Reports != nil {
				return errors.New("is no report: expected reports in \"reports\"")
			}
			if err := b.add(r); err != nil {
				return err
			}
		}
		return nil
	case run.Checks == nil:
		return errors.New("is no report: it has no \"checks\"")
	}
	b.Reports++
	for _, c := range run.Checks {
		if c == nil {
			return errors.New("is no report: one of its checks is null")
		}
		for _, f := range c.Findings {
			if f == nil || f.ID == "" || !fingerprintForm.MatchString(f.Fingerprint) {
				return fmt.Errorf("is no report: a finding of the check %q has no ID or no fingerprint", c.Check)
			}
			if f.Waived == nil && (f.Status == diag.Fail || f.Status == diag.Warn) {
				b.known[f.Fingerprint] = true
			}
		}
	}
	return nil
}

// Mark sets Known on the faults and warnings that the baseline has. The status
// of a finding does not matter for it: one ID has one status.
func (b *Baseline) Mark(reports []*diag.Report) {
	for _, r := range reports {
		for i := range r.Checks {
			for j := range r.Checks[i].Findings {
				f := &r.Checks[i].Findings[j]
				f.Known = (f.Kind.Status == diag.Fail || f.Kind.Status == diag.Warn) && b.known[f.Fingerprint()]
			}
		}
	}
}

// A lineCounter remembers where lines end, to say where an error is.
type lineCounter struct {
	r    io.Reader
	read int64
	ends []int64
}

func (l *lineCounter) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	for i, c := range p[:n] {
		if c == '\n' {
			l.ends = append(l.ends, l.read+int64(i))
		}
	}
	l.read += int64(n)
	return n, err
}

// at is an error of the decoder with the line where it is.
func at(l *lineCounter, d *json.Decoder, err error) error {
	offset := d.InputOffset()
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &typ):
		offset = typ.Offset
		err = fmt.Errorf("%s where %s was expected", typ.Value, typ.Type.Kind())
		if typ.Field != "" {
			err = fmt.Errorf("%q is %s", typ.Field, typ.Value)
		}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it ends in the middle")
	}
	line := 1
	for _, e := range l.ends {
		if e < offset {
			line++
		}
	}
	return fmt.Errorf("line %d: %s", line, bytes.TrimPrefix([]byte(err.Error()), []byte("json: ")))
}
