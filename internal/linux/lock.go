package linux

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const locksDir = runDir + "/locks"

// hostLock is the name of the lock on what all projects share. No project can be called so.
const hostLock = "host"

// LockedError says who holds a lock.
type LockedError struct {
	Name    string // the project; "host" for what all projects share
	PID     int    // 0 when the holder has not yet said
	Command string
	Since   time.Time
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return e.Name + " is locked by another process"
	}
	return fmt.Sprintf("%s is locked by process %d (%s) since %s", e.Name, e.PID, e.Command, e.Since.Format(time.TimeOnly))
}

// LockProject takes the lock of a project, waiting for it at most as long as is said: 0 does not wait, less than
// 0 waits for ever. The error is a *[LockedError] when another process has it.
//
// It is a flock(2): it ends with its holder, however that ends, and a file that is left means nothing.
func LockProject(ctx context.Context, name string, wait time.Duration) (unlock func() error, err error) {
	f, err := lock(ctx, name, wait)
	if err != nil {
		return nil, err
	}
	return func() error { return unlockFile(f) }, nil
}

// LockFile is the file that stands for the lock of a project.
func LockFile(project string) string { return filepath.Join(locksDir, project+".lock") }

// LockHost takes the lock on what all projects share, as LockProject does. The programs that edit iptables have it, too, until they
// end: one whose topo was killed would else change the rules behind the back of the next.
func (h *Host) LockHost(ctx context.Context, wait time.Duration) (unlock func() error, err error) {
	f, err := lock(ctx, hostLock, wait)
	if err != nil {
		return nil, err
	}
	h.lock.Store(f)
	return func() error {
		h.lock.Store(nil)
		return unlockFile(f)
	}, nil
}

// lockPause is between two tries. A flock can't be waited for and given up at a moment of our own.
const lockPause = 20 * time.Millisecond

func lock(ctx context.Context, name string, wait time.Duration) (*os.File, error) {
	path := LockFile(name)
	end := time.Now().Add(wait)
	for {
		f, err := tryLock(path)
		if err != nil {
			return nil, fmt.Errorf("locking %s: %w", name, err)
		}
		if f != nil {
			if err := sayHolder(f); err != nil {
				return nil, errors.Join(fmt.Errorf("locking %s: %w", name, err), f.Close())
			}
			return f, nil
		}
		if wait >= 0 && !time.Now().Before(end) {
			return nil, holder(name, path)
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), holder(name, path))
		case <-time.After(lockPause):
		}
	}
}

// tryLock gives nil when another one has the lock. Who unlocks removes the file, so a lock counts
// only if the file still is the one of that name.
func tryLock(path string) (*os.File, error) {
	for {
		err := makeDir(filepath.Dir(path))
		var f *os.File
		if err == nil {
			f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // who can open it can hold it
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // the folder was just removed with the last lock in it
		}
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EWOULDBLOCK), errors.Is(err, unix.EINTR):
			return nil, f.Close()
		case err != nil:
			return nil, errors.Join(err, f.Close())
		}
		mine, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if there, err := os.Stat(path); err == nil && os.SameFile(mine, there) {
			return f, nil
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
}

// unlockFile removes the file while the lock is held: a process that waits with the old file open then
// finds that it is not the one of that name.
func unlockFile(f *os.File) error {
	return errors.Join(removeWithFolders(f.Name()), f.Close())
}

// holding is what a lock file says about who has the lock.
type holding struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

func sayHolder(f *os.File) error {
	b, err := json.Marshal(holding{PID: os.Getpid(), Command: strings.Join(os.Args, " "), Since: time.Now()})
	if err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt(append(b, '\n'), 0)
	return err
}

// holder reads who has a lock. What it can't read, it leaves out.
func holder(name, path string) *LockedError {
	e := &LockedError{Name: name}
	var held holding
	if b, err := os.ReadFile(path); err == nil && json.Unmarshal(b, &held) == nil {
		e.PID, e.Command, e.Since = held.PID, held.Command, held.Since
	}
	return e
}
