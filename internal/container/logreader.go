package container

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
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
			return entries, r.seek(r.at)
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
