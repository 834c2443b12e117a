package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// The control socket: a connection is one request and its response, each a line of JSON. A client that
// hangs up gives up waiting; what was begun is finished.

// request is what a supervisor can be asked.
type request struct {
	Op        string           `json:"op"`
	Process   *kernel.Process  `json:"process,omitempty"`
	Node      string           `json:"node,omitempty"`
	Condition kernel.Condition `json:"condition,omitempty"`
	Optional  bool             `json:"optional,omitempty"`
	Limits    *kernel.Limits   `json:"limits,omitempty"`
	Grace     time.Duration    `json:"grace,omitempty"`
	Signal    string           `json:"signal,omitempty"`
	Docker    string           `json:"docker,omitempty"`
}

// The requests.
const (
	opStart    = "start"    // Process, Docker: where the engine listens that is to run it, if one is
	opStop     = "stop"     // Node
	opWait     = "wait"     // Node, Condition, Optional
	opLimit    = "limit"    // Node, Limits
	opHalt     = "halt"     // Node, Grace
	opResume   = "resume"   // Node
	opSignal   = "signal"   // Node, Signal
	opAdjust   = "adjust"   // Process
	opLend     = "lend"     // Node
	opQuiesce  = "quiesce"  // answers when what was asked before is done
	opShutdown = "shutdown" // stop all that is left, and end
)

// response says how it went: zero is well.
type response struct {
	Error   string `json:"error,omitempty"`
	Errno   int    `json:"errno,omitempty"`   // the kernel's error behind it
	Command string `json:"command,omitempty"` // of a CommandError
	Code    int    `json:"code,omitempty"`    // of a CommandError
}

func respond(err error) response {
	if err == nil {
		return response{}
	}
	r := response{Error: err.Error()}
	var command *CommandError
	if errors.As(err, &command) {
		r.Command, r.Code, r.Error = command.Command, command.Code, command.Err.Error()
	}
	var errno unix.Errno
	if errors.As(err, &errno) {
		r.Errno = int(errno)
	}
	return r
}

// err makes an error of it that answers errors.Is and errors.As as the supervisor's own did.
func (r response) err() error {
	switch {
	case r.Error == "":
		return nil
	case r.Command != "":
		return &CommandError{r.Command, r.Code, errors.New(r.Error)}
	case r.Errno != 0:
		return &remoteError{r.Error, unix.Errno(r.Errno)}
	}
	return errors.New(r.Error)
}

type remoteError struct {
	msg   string
	errno unix.Errno
}

func (e *remoteError) Error() string { return e.msg }
func (e *remoteError) Unwrap() error { return e.errno }

// errNoSupervisor: none runs, or it ended before it answered.
var errNoSupervisor = errors.New("no supervisor runs")

// call asks a project's supervisor.
func call(ctx context.Context, l layout, r request) error {
	conn, err := dial(ctx, l)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	var answer response
	err = json.NewEncoder(conn).Encode(r)
	if err == nil {
		err = json.NewDecoder(conn).Decode(&answer)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case hungUp(err):
		return errNoSupervisor
	case err != nil:
		return fmt.Errorf("asking the supervisor: %w", err)
	}
	return answer.err()
}

// hungUp reports whether an error says that the other end has ended.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET)
}

// throughFD names a file in a folder by an open handle on the folder: a path of any length fits into a
// socket's address, which takes 107 bytes, unix(7).
func throughFD(dir *os.File, name string) string {
	return "/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/" + name
}

func dial(ctx context.Context, l layout) (net.Conn, error) {
	dir, err := os.Open(l.run())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoSupervisor
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", throughFD(dir, "supervisor.sock"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		return nil, errNoSupervisor
	}
	return conn, err
}

// listen opens the control socket; the caller holds the supervisor's lock, so an old one is a dead one's.
func listen(l layout) (*net.UnixListener, error) {
	if err := os.Remove(l.socket()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	dir, err := os.Open(l.run())
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	defer unix.Umask(unix.Umask(0o177)) // 0600 from the first moment
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: throughFD(dir, "supervisor.sock")})
	if err != nil {
		return nil, fmt.Errorf("opening control socket: %w", err)
	}
	listener.SetUnlinkOnClose(false) // its name was that of an open folder
	return listener, nil
}

// allowed reports whether the other end is root or whoever runs the supervisor, unix(7) SO_PEERCRED.
func allowed(conn *net.UnixConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var cred *unix.Ucred
	cerr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return cerr == nil && err == nil && (cred.Uid == 0 || int(cred.Uid) == os.Geteuid())
}
