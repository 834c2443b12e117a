package container

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"topo/internal/kernel"
)

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

// write appends text, an entry for each line and one for what is after the last: as many as fit into a file together,
// which ends with the one that fills it. A disk that is full loses lines, it doesn't stop the program.
func (w *logWriter) write(stream string, at time.Time, text []byte) {
	batch := batches.Get().(*[]byte)
	defer batches.Put(batch)
	w.mu.Lock()
	defer w.mu.Unlock()
	limit := w.limits()
	data := (*batch)[:0]
	for len(text) > 0 {
		if limit.MaxSize > 0 && w.size+int64(len(data)) >= limit.MaxSize {
			w.append(data)
			data = data[:0]
			w.rotate(max(limit.MaxFile, 1))
		}
		end := bytes.IndexByte(text, '\n') + 1
		if end == 0 {
			end = len(text)
		}
		data = appendEntry(data, text[:end], stream, at)
		text = text[end:]
	}
	w.append(data)
	*batch = data
}

// batches are buffers for entries that are written at once: one for each stream that is being read, not for each that there is.
var batches = sync.Pool{New: func() any { return new([]byte) }}

// append writes whole entries; of those that a full disk cuts short, the last goes: half an entry would spoil the next one, too.
func (w *logWriter) append(data []byte) {
	n, err := w.f.Write(data)
	if err != nil {
		if whole := bytes.LastIndexByte(data[:n], '\n') + 1; w.f.Truncate(w.size+int64(whole)) == nil {
			n = whole
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
