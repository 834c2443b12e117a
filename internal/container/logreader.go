package container

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
)

// logReader reads a log as it grows.
type logReader struct {
	path   string
	f      *os.File
	number int
	in     *bufio.Reader
	at     int64 // how far whole lines were read
}

// entries gives those that have come since the last time; also those of a new log, when the process was forgotten and
// started anew. It gives what is there when it begins: a program may print faster than it is read. An error is the last.
func (r *logReader) entries() iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		newest, size, err := r.end()
		for more := err == nil; more && err == nil; {
			more, err = r.some(newest, size, yield)
		}
		if err != nil {
			yield(entry{}, err)
		}
	}
}

// some reads to the end of the file that is open, and opens the one after it; unless that is enough, or nobody wants more.
func (r *logReader) some(newest int, size int64, yield func(entry, error) bool) (more bool, err error) {
	switch {
	case r.f == nil:
	case r.current() && r.number > newest:
		return false, nil
	case r.current() && r.number == newest:
		_, err := r.rest(size, yield)
		return false, err
	default:
		if more, err := r.rest(math.MaxInt64, yield); !more || err != nil {
			return false, err
		}
	}
	number, err := r.successor()
	if err != nil || number == 0 {
		return false, err
	}
	if r.f != nil {
		// What was written between the reading and the beginning of the next file.
		if more, err := r.rest(math.MaxInt64, yield); !more || err != nil {
			return false, err
		}
	}
	r.close()
	f, err := os.Open(logFile(r.path, number))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // rotated away meanwhile
	}
	if err != nil {
		return false, err
	}
	r.f, r.number, r.in, r.at = f, number, bufio.NewReader(f), 0
	return true, nil
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

// rest reads to the end of the file, or to a place in it. A line that is not whole yet is read again later: it may be taken back, see
// write.
func (r *logReader) rest(end int64, yield func(entry, error) bool) (more bool, err error) {
	for r.at < end {
		data, err := r.in.ReadBytes('\n')
		if err == io.EOF {
			return true, r.seek(r.at)
		}
		if err != nil {
			return false, err
		}
		r.at += int64(len(data))
		var e entry
		if json.Unmarshal(data, &e) == nil && !yield(e, nil) { // else: written by a machine that crashed
			return false, nil
		}
	}
	return true, nil
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
