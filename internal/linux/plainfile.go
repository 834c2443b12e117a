package linux

import (
	"errors"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// What there is a file of for each node is read and written by plain calls: package os has each file looked after by the runtime's
// poller, which costs six calls more than the four that do the work. The errors are those of package os.

// readPlain reads a whole file of about size bytes, into a buffer if that has room.
func readPlain(path string, size int, content []byte) ([]byte, error) {
	fd, err := openPlain(path, unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	content = slices.Grow(content[:0], size+1) // a byte more than there is, to see that there are no more
	for {
		if len(content) == cap(content) {
			content = append(content, 0)[:len(content)]
		}
		n, err := unix.Read(fd, content[len(content):cap(content)])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, &fs.PathError{Op: "read", Path: path, Err: err}
		case n == 0:
			return content, nil
		default:
			content = content[:len(content)+n]
		}
	}
}

// writePlain opens a file with flags of open(2) and writes content to it. A mode that is not 0 is the file's then, whatever the umask.
func writePlain(path string, flags int, content []byte, mode os.FileMode) error {
	fd, err := openPlain(path, unix.O_WRONLY|flags, uint32(mode))
	if err != nil {
		return err
	}
	for err == nil && len(content) > 0 {
		var n int
		n, err = unix.Write(fd, content)
		content = content[max(n, 0):]
		if errors.Is(err, unix.EINTR) {
			err = nil
		}
	}
	if err == nil && mode != 0 {
		err = unix.Fchmod(fd, uint32(mode))
	}
	if err = errors.Join(err, unix.Close(fd)); err != nil {
		return &fs.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
}

func openPlain(path string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, mode)
		switch err {
		case nil:
			return fd, nil
		case unix.EINTR:
		default:
			return -1, &fs.PathError{Op: "open", Path: path, Err: err}
		}
	}
}
