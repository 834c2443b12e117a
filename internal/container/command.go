package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// CommandError is a command that could not be run, with a shell's code for it: 127 when there is
// none of that name, 126 when it is there and can't be run.
type CommandError struct {
	Command string
	Code    int
	Err     error
}

func (e *CommandError) Error() string { return fmt.Sprintf("running %s: %v", e.Command, e.Err) }
func (e *CommandError) Unwrap() error { return e.Err }

// The words of a CommandError's cause.
var (
	errNotFound   = errors.New("command not found")
	errNotAllowed = errors.New("permission denied")
)

// commandError says what an error of execve(2) or of a look-up means for a command.
func commandError(command string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, exec.ErrNotFound), errors.Is(err, unix.ENOTDIR):
		return &CommandError{command, 127, errNotFound}
	case errors.Is(err, unix.EPERM):
		return &CommandError{command, 126, unix.EPERM}
	case errors.Is(err, fs.ErrPermission):
		return &CommandError{command, 126, errNotAllowed}
	case errors.Is(err, unix.ENOEXEC), errors.Is(err, unix.EISDIR):
		return &CommandError{command, 126, err}
	}
	return fmt.Errorf("running %s: %w", command, err)
}

// program is a command to be run from a thread that is where it shall run.
type program struct {
	argv []string
	env  []string
	dir  string // "" = /
	account
}

// command makes it ready; the caller adds input, output and process group.
func (p program) command() (*exec.Cmd, error) {
	dir := p.dir
	if dir == "" {
		dir = "/"
	}
	if info, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("changing to folder %s: %w", dir, errors.Unwrap(err))
	} else if !info.IsDir() {
		return nil, fmt.Errorf("changing to folder %s: %w", dir, unix.ENOTDIR)
	}
	path, err := lookPath(p.argv[0], dir, lookupEnv(p.env, "PATH"))
	if err != nil {
		return nil, commandError(p.argv[0], err)
	}
	return &exec.Cmd{
		Path: path, Args: p.argv, Env: p.env, Dir: dir,
		SysProcAttr: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: p.uid, Gid: p.gid, Groups: p.groups}},
	}, nil
}

// lookPath finds a command as a shell in dir would; a name with a slash is a path.
func lookPath(name, dir, path string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, executable(name)
	}
	err := error(fs.ErrNotExist)
	for _, d := range filepath.SplitList(path) {
		if !filepath.IsAbs(d) {
			d = filepath.Join(dir, d)
		}
		file := filepath.Join(d, name)
		switch e := executable(file); {
		case e == nil:
			return file, nil
		case errors.Is(e, fs.ErrPermission):
			err = e
		}
	}
	return "", err
}

func executable(file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if info.IsDir() || info.Mode()&0o111 == 0 {
		return fs.ErrPermission
	}
	return nil
}
