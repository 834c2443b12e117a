package container

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// Processes write to FIFOs, not to pipes that end with the supervisor: a new one opens them again.
//
// A process has its end open for reading, too, so that it never gets SIGPIPE while nobody reads; it
// waits when 64 KiB are full, until a reader is back.

// The input of a process that is to have one is a FIFO, too. It never ends, whoever comes and goes: the process has it open for
// writing.

// stdio is a process's output, as [runc.IO]; its input is /dev/null, unless there is another one.
type stdio struct{ out, err, in *os.File }

// makeStdio makes a node's FIFOs and opens the process's ends.
func makeStdio(l layout, p kernel.Process) (stdio, error) {
	var io stdio
	files := map[string]**os.File{"stdout": &io.out, "stderr": &io.err}
	if p.StdinOpen {
		files[inputName] = &io.in
	}
	for stream, f := range files {
		path := l.fifo(p.Node, stream)
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return stdio{}, errors.Join(err, io.Close())
		}
		err := unix.Mkfifo(path, 0o600)
		if err == nil {
			*f, err = os.OpenFile(path, os.O_RDWR, 0)
		}
		if err != nil {
			return stdio{}, errors.Join(fmt.Errorf("making FIFO %s: %w", path, err), io.Close())
		}
	}
	return io, nil
}

// streams are those of the output.
var streams = []string{"stdout", "stderr"}

const inputName = "stdin"

// own lets a process of this user open its output, and its input, anew, as /dev/stdout.
func (l *launcher) own(p kernel.Process, uid uint32) error {
	all := streams
	if p.StdinOpen {
		all = append(slices.Clone(all), inputName)
	}
	for _, stream := range all {
		if err := os.Chown(l.fifo(p.Node, stream), int(uid), -1); err != nil {
			return err
		}
	}
	return nil
}

// Set gives a command the output.
func (s stdio) Set(c *exec.Cmd) {
	c.Stdout, c.Stderr = s.out, s.err
	if s.in != nil {
		c.Stdin = s.in
	}
}

// endedInput is an input that has nothing to read, and is not the host's /dev/null: crun 1.8.1 gives its input to the
// container's user, and in a user namespace that is the host's own device.
func endedInput() (*os.File, error) {
	in, end, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return in, end.Close()
}

// Stdin is none.
func (s stdio) Stdin() io.WriteCloser { return nil }

// Stdout is none: the FIFO is read elsewhere.
func (s stdio) Stdout() io.ReadCloser { return nil }

// Stderr is none, too.
func (s stdio) Stderr() io.ReadCloser { return nil }

// Close closes all; the process has its own.
func (s stdio) Close() error {
	var errs []error
	for _, f := range []*os.File{s.out, s.err, s.in} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// recorder brings what one process prints into its log.
type recorder interface {
	// finish waits, within limits, until everything that a process printed that has ended is in the log, and closes the log.
	finish() error
	close() error
}

// lastWords is how long the output of a process that has ended may take to be read. All who can
// write it have been killed, so it is a matter of microseconds.
const lastWords = 2 * time.Second

// output reads what one process prints into its log.
type output struct {
	log     *logWriter
	readers sync.WaitGroup
	files   []*os.File
}

// openOutput opens the FIFOs of a node for reading. The other end must be open already, or
// reading ends at once.
func openOutput(l layout, node string, limits func() kernel.LogLimits) (*output, error) {
	log, err := openLog(l.log(node), limits)
	if err != nil {
		return nil, err
	}
	o := &output{log: log}
	for _, stream := range streams {
		// Not blocking: Go's poller waits, not a thread.
		f, err := os.OpenFile(l.fifo(node, stream), os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return nil, errors.Join(err, o.close())
		}
		o.files = append(o.files, f)
		o.readers.Go(func() { (&printed{stream: stream, log: log}).copy(f) })
	}
	return o, nil
}

// finish waits until everything printed is in the log: until all who can write have ended, which they
// have, or for lastWords.
func (o *output) finish() error {
	read := make(chan struct{})
	go func() {
		o.readers.Wait()
		close(read)
	}()
	select {
	case <-read:
	case <-time.After(lastWords):
	}
	return o.close()
}

func (o *output) close() error {
	for _, f := range o.files {
		f.Close()
	}
	o.readers.Wait()
	return o.log.close()
}
