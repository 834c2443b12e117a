package container

import (
	"bytes"
	"os"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// printed is what one process writes to one stream, on its way into the log. A node that says nothing has no buffer, so
// that a supervisor of many takes little; what has been read and is not in the file is never more than maxLine.
type printed struct {
	stream string
	log    *logWriter
	rest   []byte // the beginning of a line
}

// buffers are those that streams are read into, while there is something to read.
var buffers = sync.Pool{New: func() any { return new([maxLine]byte) }}

// copy reads a FIFO, opened without O_NONBLOCK's effect on the thread (see openOutput), until all its writers have
// closed it, or f is closed.
func (p *printed) copy(f *os.File) {
	defer p.end()
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	for more := true; more && err == nil; {
		err = conn.Read(func(fd uintptr) (done bool) {
			more, done = p.read(int(fd))
			return done
		})
	}
}

// read takes what is there; it is not done where there is nothing yet, and no more comes after the end.
func (p *printed) read(fd int) (more, done bool) {
	buffer := buffers.Get().(*[maxLine]byte)
	defer buffers.Put(buffer)
	for {
		kept := copy(buffer[:], p.rest)
		n, err := unix.Read(fd, buffer[kept:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return true, false
		case err != nil || n == 0:
			return false, true
		}
		p.take(buffer[:kept+n])
		return true, true
	}
}

// take writes whole lines, and keeps the rest; where that fills the buffer, it is written, too, but not half a character.
func (p *printed) take(text []byte) {
	end := bytes.LastIndexByte(text, '\n') + 1
	if end == 0 && len(text) == maxLine {
		end = wholeRunes(text)
	}
	if end > 0 {
		p.log.write(p.stream, time.Now().UTC(), text[:end])
	}
	p.rest = nil
	if end < len(text) {
		p.rest = bytes.Clone(text[end:])
	}
}

func (p *printed) end() {
	if len(p.rest) > 0 {
		p.log.write(p.stream, time.Now().UTC(), p.rest)
	}
}

// wholeRunes is the length of text without a last character that isn't there wholly.
func wholeRunes(text []byte) int {
	for back := 1; back < utf8.UTFMax; back++ {
		if c := text[len(text)-back]; utf8.RuneStart(c) {
			if !utf8.FullRune(text[len(text)-back:]) {
				return len(text) - back
			}
			break
		}
	}
	return len(text)
}
