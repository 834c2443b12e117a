package container

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"topo/internal/kernel"
)

// entry is a line of a log file, in the form of Docker's json-file driver. A line of more than maxLine
// bytes is several entries, of which only the last ends with a newline.
type entry struct {
	Log    string    `json:"log"`
	Stream string    `json:"stream"` // "stdout" or "stderr"
	Time   time.Time `json:"time"`
}

const maxLine = 16 << 10 // Docker's

// A log is files PATH.1, PATH.2 and so on. The last one is written; when it is full, a next one is begun, and the oldest
// are removed. No file is ever renamed, so that a reader, too, can go from one to the next.

// logFile names one of a log's files.
func logFile(path string, number int) string { return path + "." + strconv.Itoa(number) }

// logFiles lists the numbers of the files that there are, the oldest first.
func logFiles(path string) ([]int, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var numbers []int
	for _, e := range entries {
		if suffix, ok := strings.CutPrefix(e.Name(), filepath.Base(path)+"."); ok {
			if n, err := strconv.Atoi(suffix); err == nil {
				numbers = append(numbers, n)
			}
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// logWriter appends to a log, within its limits.
type logWriter struct {
	path   string
	limits func() kernel.LogLimits

	mu     sync.Mutex
	f      *os.File
	number int
	size   int64
}

// openLog goes on with a log, or begins it. A line that a crash has cut short is removed.
func openLog(path string, limits func() kernel.LogLimits) (*logWriter, error) {
	numbers, err := logFiles(path)
	if err != nil {
		return nil, err
	}
	w := &logWriter{path: path, limits: limits}
	last := 1
	if len(numbers) > 0 {
		last = numbers[len(numbers)-1]
	}
	if err := w.open(last); err != nil {
		return nil, err
	}
	if err := w.mend(); err != nil {
		return nil, errors.Join(err, w.f.Close())
	}
	return w, nil
}

func (w *logWriter) open(number int) error {
	f, err := os.OpenFile(logFile(w.path, number), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	w.f, w.number, w.size = f, number, info.Size()
	return nil
}

// mend cuts the file after its last whole line. No entry is longer than 6 bytes for each of its text, and some more.
func (w *logWriter) mend() error {
	tail := make([]byte, min(w.size, 8*maxLine))
	if _, err := w.f.ReadAt(tail, w.size-int64(len(tail))); err != nil {
		return err
	}
	whole := bytes.LastIndexByte(tail, '\n') + 1
	if whole == len(tail) {
		return nil
	}
	w.size -= int64(len(tail) - whole)
	return w.f.Truncate(w.size)
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
	if limit := w.limits(); limit.MaxSize > 0 && w.size >= limit.MaxSize {
		w.rotate(max(limit.MaxFile, 1))
	}
	n, err := w.f.Write(append(data, '\n'))
	if err != nil && n > 0 {
		// Half an entry would spoil the next one, too.
		if w.f.Truncate(w.size) == nil {
			return
		}
	}
	w.size += int64(n)
}

// rotate begins the next file, and keeps so many. Where it can't, the present one grows on.
func (w *logWriter) rotate(keep int) {
	full := w.f
	if err := w.open(w.number + 1); err != nil {
		return
	}
	full.Close()
	numbers, err := logFiles(w.path)
	if err != nil {
		return
	}
	for _, number := range numbers[:max(0, len(numbers)-keep)] {
		_ = os.Remove(logFile(w.path, number)) // the next rotation tries again
	}
}

func (w *logWriter) close() error { return w.f.Close() }

// logReader reads a log as it grows.
type logReader struct {
	path   string
	f      *os.File
	number int
	in     *bufio.Reader
	at     int64 // how far whole lines were read
}

// next gives the entries that have come since the last call; also those of a new log, when the process was
// forgotten and started anew. It gives what is there when it is called: a program may print faster than it is read.
func (r *logReader) next() ([]entry, error) {
	newest, size, err := r.end()
	if err != nil {
		return nil, err
	}
	var entries []entry
	read := func(end int64) error {
		more, err := r.rest(end)
		entries = append(entries, more...)
		return err
	}
	for {
		switch {
		case r.f == nil:
		case r.current() && r.number > newest:
			return entries, nil
		case r.current() && r.number == newest:
			err := read(size)
			return entries, err
		default:
			if err := read(math.MaxInt64); err != nil {
				return entries, err
			}
		}
		number, err := r.successor()
		if err != nil || number == 0 {
			return entries, err
		}
		if r.f != nil {
			// What was written between the reading and the beginning of the next file.
			if err := read(math.MaxInt64); err != nil {
				return entries, err
			}
		}
		r.close()
		f, err := os.Open(logFile(r.path, number))
		if errors.Is(err, fs.ErrNotExist) {
			continue // rotated away meanwhile
		}
		if err != nil {
			return entries, err
		}
		r.f, r.number, r.in, r.at = f, number, bufio.NewReader(f), 0
	}
}

// end is where a log ends now: its newest file, and that one's size.
func (r *logReader) end() (number int, size int64, err error) {
	numbers, err := logFiles(r.path)
	if err != nil || len(numbers) == 0 {
		return 0, 0, err
	}
	number = numbers[len(numbers)-1]
	info, err := os.Stat(logFile(r.path, number))
	if errors.Is(err, fs.ErrNotExist) {
		return number, 0, nil // forgotten meanwhile
	}
	if err != nil {
		return 0, 0, err
	}
	return number, info.Size(), nil
}

// successor is the number of the file to go on with; 0: none but the one that is open.
func (r *logReader) successor() (int, error) {
	if r.f != nil && r.current() {
		// The oldest go first: as long as this one is there, so is the one after it.
		if r.exists(r.number + 1) {
			return r.number + 1, nil
		}
		return 0, nil
	}
	// It was rotated away, or all of it is a new log.
	numbers, err := logFiles(r.path)
	if err != nil || len(numbers) == 0 {
		return 0, err
	}
	first := numbers[0]
	for r.exists(first - 1) {
		first-- // a listing may lack what was made while it was read, and have what was made after that
	}
	return first, nil
}

func (r *logReader) exists(number int) bool {
	_, err := os.Stat(logFile(r.path, number))
	return err == nil
}

// rest reads to the end of the file, or to a place in it. A line that is not whole yet is read again later: it may be taken back, see write.
func (r *logReader) rest(end int64) ([]entry, error) {
	var entries []entry
	for r.at < end {
		data, err := r.in.ReadBytes('\n')
		if err == io.EOF {
			_, err := r.f.Seek(r.at, io.SeekStart)
			r.in.Reset(r.f)
			return entries, err
		}
		if err != nil {
			return entries, err
		}
		r.at += int64(len(data))
		var e entry
		if json.Unmarshal(data, &e) == nil { // else: written by a machine that crashed
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// current reports whether the file that is read is still the one with its name.
func (r *logReader) current() bool {
	named, err := os.Stat(logFile(r.path, r.number))
	if err != nil {
		return false
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
