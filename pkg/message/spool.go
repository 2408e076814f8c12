package message

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// spoolInMemory is how many octets of a message stay in memory. What is larger
// goes to a temporary file, so that memory does not grow with the message.
const spoolInMemory = 1 << 20

// A spool holds what was read, to be read again from any place.
type spool struct {
	mem  []byte
	file *os.File
	size int64
}

var errTooLarge = errors.New("too large")

// newSpool reads r to its end, at most max octets; errTooLarge beyond.
func newSpool(r io.Reader, max int64, dir string) (*spool, error) {
	s := &spool{}
	lr := io.LimitReader(r, max+1)
	mem, err := io.ReadAll(io.LimitReader(lr, spoolInMemory+1))
	if err != nil {
		return nil, err
	}
	s.mem, s.size = mem, int64(len(mem))
	if s.size > max {
		return nil, errTooLarge
	}
	if s.size <= spoolInMemory {
		return s, nil
	}
	f, err := os.CreateTemp(dir, "todoku-message-*")
	if err != nil {
		return nil, fmt.Errorf("no place to keep a large message: %w", err)
	}
	s.file, s.mem = f, nil
	// On systems that allow it the name is gone at once, so that nothing stays
	// behind whatever happens to the process.
	os.Remove(f.Name())
	_, err = f.Write(mem)
	if err == nil {
		var n int64
		n, err = io.Copy(struct{ io.Writer }{f}, lr)
		s.size += n
	}
	if err == nil && s.size > max {
		err = errTooLarge
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *spool) ReadAt(p []byte, off int64) (int, error) {
	if s.file != nil {
		return s.file.ReadAt(p, off)
	}
	if off >= int64(len(s.mem)) {
		return 0, io.EOF
	}
	n := copy(p, s.mem[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// section is what stands in [start, end).
func (s *spool) section(start, end int64) *io.SectionReader {
	return io.NewSectionReader(s, start, end-start)
}

func (s *spool) close() error {
	s.mem = nil
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	err := f.Close()
	if e := os.Remove(f.Name()); err == nil && e != nil && !errors.Is(e, os.ErrNotExist) {
		err = e
	}
	return err
}
