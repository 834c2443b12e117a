package container

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// entry is a line of a log file, in the form of Docker's json-file driver. A line of more than maxLine
// bytes is several entries, of which only the last ends with a newline.
type entry struct {
	Log    string    `json:"log"`
	Stream string    `json:"stream"` // "stdout" or "stderr"
	Time   time.Time `json:"time"`
}

const maxLine = 16 << 10 // Docker's

// logWriter appends to a log file. It is where a bound on its size belongs.
type logWriter struct {
	mu sync.Mutex
	f  *os.File
}

func openLog(path string) (*logWriter, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &logWriter{f: f}, nil
}

// copy writes a stream line by line until it ends. A disk that is full loses lines, it doesn't stop the program.
func (w *logWriter) copy(stream string, r io.Reader) {
	in := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := in.ReadSlice('\n')
		if len(line) > 0 {
			w.write(entry{Log: strings.ToValidUTF8(string(line), string(utf8.RuneError)), Stream: stream, Time: time.Now().UTC()})
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

func (w *logWriter) write(e entry) {
	data, err := json.Marshal(e)
	if err != nil {
		return // a struct of strings and a time of this age can always be written
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = w.f.Write(append(data, '\n'))
}

func (w *logWriter) close() error { return w.f.Close() }

// logReader reads a log file as it grows.
type logReader struct {
	path string
	f    *os.File
	in   *bufio.Reader
	part []byte // a line that is not whole yet
}

// next gives the entries that have come since the last call; also those of a new file, when the process was
// started anew.
func (r *logReader) next() ([]entry, error) {
	var entries []entry
	for {
		if r.f == nil {
			f, err := os.Open(r.path)
			if os.IsNotExist(err) {
				return entries, nil
			}
			if err != nil {
				return nil, err
			}
			r.f, r.in, r.part = f, bufio.NewReader(f), nil
		}
		more, err := r.rest()
		entries = append(entries, more...)
		if err != nil || r.current() {
			return entries, err
		}
		r.close()
	}
}

// rest reads to the end of the file.
func (r *logReader) rest() ([]entry, error) {
	var entries []entry
	for {
		data, err := r.in.ReadBytes('\n')
		r.part = append(r.part, data...)
		if err == io.EOF {
			return entries, nil
		}
		if err != nil {
			return entries, err
		}
		var e entry
		if json.Unmarshal(r.part, &e) == nil { // else: written by a machine that crashed
			entries = append(entries, e)
		}
		r.part = r.part[:0]
	}
}

// current reports whether the file that is read is still the one with its name.
func (r *logReader) current() bool {
	named, err := os.Stat(r.path)
	if err != nil {
		return true // gone, and none in its place: what was read is all
	}
	open, err := r.f.Stat()
	return err == nil && os.SameFile(named, open)
}

func (r *logReader) close() {
	if r.f != nil {
		r.f.Close()
		r.f = nil
	}
}
