package container

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// seekTail has the next reading of entries begin with the last n lines that are there now, and reads no more than
// these: a log may be long. A line may be several entries. It is called on a reader that has read nothing.
func (r *logReader) seekTail(n int) error {
	numbers, err := logFiles(r.path)
	if err != nil {
		return err
	}
	last := true
	for _, number := range slices.Backward(numbers) {
		f, err := os.Open(logFile(r.path, number))
		if errors.Is(err, fs.ErrNotExist) {
			break // rotated away meanwhile, as are those before it
		}
		if err != nil {
			return err
		}
		back := backward{f: f}
		if err := back.start(); err != nil {
			return errors.Join(err, f.Close())
		}
		r.close()
		r.f, r.number, r.in = f, number, bufio.NewReader(f)
		for {
			data, after, err := back.previous()
			if err != nil {
				return err
			}
			if data == nil {
				break
			}
			var e entry
			if json.Unmarshal(data, &e) != nil {
				continue // as in rest
			}
			if last || strings.HasSuffix(e.Log, "\n") {
				if n == 0 {
					return r.seek(after)
				}
				n--
			}
			last = false
		}
	}
	return r.seek(0)
}

// seek goes to a place in the open file, if there is one.
func (r *logReader) seek(at int64) error {
	if r.f == nil {
		return nil
	}
	_, err := r.f.Seek(at, io.SeekStart)
	r.in.Reset(r.f)
	r.at = at
	return err
}

// backward reads the whole lines of a file from its last to its first.
type backward struct {
	f    *os.File
	from int64  // where data begins
	data []byte // what has been read and not given, without what is after the last whole line
}

const backwardBlock = 64 << 10 // as much as a few hundred lines, in one read(2)

// start skips what is after the last newline.
func (b *backward) start() error {
	info, err := b.f.Stat()
	if err != nil {
		return err
	}
	for b.from = info.Size(); b.from > 0; {
		if err := b.more(); err != nil {
			return err
		}
		if end := bytes.LastIndexByte(b.data, '\n') + 1; end > 0 {
			b.data = b.data[:end]
			return nil
		}
	}
	b.data = nil
	return nil
}

// more reads the block before.
func (b *backward) more() error {
	size := min(b.from, backwardBlock)
	data := make([]byte, size, size+int64(len(b.data)))
	if _, err := b.f.ReadAt(data, b.from-size); err != nil {
		return err
	}
	b.from -= size
	b.data = append(data, b.data...)
	return nil
}

// previous gives the last line that it has not given yet, and where it ends in the file; nil when there is none.
func (b *backward) previous() (line []byte, end int64, err error) {
	for {
		if len(b.data) > 0 {
			begin := bytes.LastIndexByte(b.data[:len(b.data)-1], '\n') + 1
			if begin > 0 || b.from == 0 {
				end = b.from + int64(len(b.data))
				line, b.data = b.data[begin:], b.data[:begin]
				return line, end, nil
			}
		}
		if b.from == 0 {
			return nil, 0, nil
		}
		if err := b.more(); err != nil {
			return nil, 0, err
		}
	}
}
