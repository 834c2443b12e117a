package linux

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
	PID     int    // 0 when the holder can't be seen, as it is in another PID namespace
	Command string
	Project string    // that the holder works on; "" when it has not said
	Since   time.Time // zero when the holder has not said
}

func (e *LockedError) Error() string {
	text := e.Name + " is locked"
	if e.Name == hostLock {
		text = "what all projects share is being changed"
	}
	if e.PID == 0 {
		return text + " by another process"
	}
	text += fmt.Sprintf(" by process %d", e.PID)
	if e.Command != "" {
		text += " (" + e.Command + ")"
	}
	if e.Name == hostLock && e.Project != "" {
		text += " for " + e.Project
	}
	if !e.Since.IsZero() {
		text += " since " + moment(e.Since, time.Now())
	}
	return text
}

// moment is a time of today, or a date and a time.
func moment(t, now time.Time) string {
	if t.Local().Format(time.DateOnly) == now.Local().Format(time.DateOnly) {
		return t.Local().Format(time.TimeOnly)
	}
	return t.Local().Format(time.DateTime)
}

// Wait is how long to wait for a lock, and who is to know meanwhile.
type Wait struct {
	Limit time.Duration // 0 does not wait, less than 0 waits for ever
	// Tell, if not nil, is called with who is waited for: after a while, and when the lock has passed on to another one.
	Tell func(*LockedError)
}

// LockProject takes the lock of a project, or waits for it. The error is a *[LockedError] when another process has it until the end.
//
// It is a flock(2): it ends with its holder, however that ends, and a file that is left means nothing.
func LockProject(ctx context.Context, name string, wait Wait) (unlock func() error, err error) {
	f, err := lock(ctx, name, name, wait)
	if err != nil {
		return nil, err
	}
	return func() error { return unlockFile(f) }, nil
}

// LockFile is the file that stands for the lock of a project.
func LockFile(project string) string { return filepath.Join(locksDir, project+".lock") }

// LockHost takes the lock on what all projects share, for one of them, as LockProject does. The programs that edit iptables have it,
// too, until they end: one whose topo was killed would else change the rules behind the back of the next.
func (h *Host) LockHost(ctx context.Context, project string, wait Wait) (unlock func() error, err error) {
	f, err := lock(ctx, hostLock, project, wait)
	if err != nil {
		return nil, err
	}
	h.lock.Store(f)
	return func() error {
		h.lock.Store(nil)
		return unlockFile(f)
	}, nil
}

const (
	// lockPause is between two tries. A flock can't be waited for and given up at a moment of our own.
	lockPause = 20 * time.Millisecond
	// lockQuiet is how long one waits without a word, and how long after a look at who has the lock until the next.
	lockQuiet = time.Second
	// unseenTries is how often a lock is tried again that somebody has and nobody is seen to have: he is gone by now, or can't be seen.
	unseenTries = 3
)

func lock(ctx context.Context, name, project string, wait Wait) (*os.File, error) {
	path := LockFile(name)
	began := time.Now()
	looked, waitedFor := began, -1 // nobody yet
	for unseen := 0; ; {
		f, mine, err := tryLock(path)
		if err != nil {
			return nil, fmt.Errorf("locking %s: %w", name, err)
		}
		if mine {
			if err := sayHolder(f, project); err != nil {
				return nil, errors.Join(fmt.Errorf("locking %s: %w", name, err), f.Close())
			}
			return f, nil
		}
		over := wait.Limit >= 0 && time.Since(began) >= wait.Limit
		tell := wait.Tell != nil && time.Since(looked) >= lockQuiet
		var held *LockedError
		if over || tell || ctx.Err() != nil {
			held = holder(name, f)
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
		switch {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("%w while it waited: %w", context.Cause(ctx), held)
		case over && (held.PID != 0 || unseen == unseenTries):
			return nil, held
		case over:
			unseen++
		case tell:
			looked = time.Now()
			if held.PID != waitedFor {
				wait.Tell(held)
				waitedFor = held.PID
			}
		}
		select {
		case <-ctx.Done(): // who has it is told after one more try
		case <-time.After(lockPause):
		}
	}
}

// tryLock opens the lock's file, and says whether the lock is ours now or another one's. Who unlocks removes the file, so a lock counts
// only if the file still is the one of that name.
func tryLock(path string) (_ *os.File, mine bool, err error) {
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
			return nil, false, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EWOULDBLOCK), errors.Is(err, unix.EINTR):
			return f, false, nil
		case err != nil:
			return nil, false, errors.Join(err, f.Close())
		}
		opened, err := f.Stat()
		if err != nil {
			return nil, false, errors.Join(err, f.Close())
		}
		if there, err := os.Stat(path); err == nil && os.SameFile(opened, there) {
			return f, true, nil
		}
		if err := f.Close(); err != nil {
			return nil, false, err
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
	Project string    `json:"project"`
	Since   time.Time `json:"since"`
}

func sayHolder(f *os.File, project string) error {
	b, err := json.Marshal(holding{PID: os.Getpid(), Command: strings.Join(os.Args, " "), Project: project, Since: time.Now()})
	if err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt(append(b, '\n'), 0)
	return err
}

// holder finds who has the lock of an open file. The file may still have the words of one who was killed, and whose lock has passed on to
// a program that he started, or to another topo that hasn't said so yet: nobody is named who doesn't have the lock.
func holder(name string, f *os.File) *LockedError {
	e := &LockedError{Name: name}
	said := readHolding(f)
	e.PID = said.PID
	if !holds(said.PID, f) {
		if e.PID = findHolder(f); e.PID == 0 {
			return e
		}
		if said = readHolding(f); said.PID != e.PID {
			e.Command = commandLine(e.PID)
			return e
		}
	}
	e.Command, e.Project, e.Since = said.Command, said.Project, said.Since
	return e
}

// readHolding gives nothing where nothing whole is written yet.
func readHolding(f *os.File) holding {
	var said holding
	if err := json.NewDecoder(io.NewSectionReader(f, 0, 1<<20)).Decode(&said); err != nil {
		return holding{}
	}
	return said
}

// findHolder looks through all processes; 0 is none that can be seen.
func findHolder(f *os.File) int {
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, p := range processes {
		if pid, err := strconv.Atoi(p.Name()); err == nil && holds(pid, f) {
			return pid
		}
	}
	return 0
}

// holds reports whether a process has the lock of a file, by proc_pid_fdinfo(5): proc_locks(5) names only who took it, and leaves out
// those who are gone. What can't be read is that of one who has ended.
func holds(pid int, f *os.File) bool {
	wanted, err := f.Stat()
	if err != nil {
		return false
	}
	folder := filepath.Join("/proc", strconv.Itoa(pid))
	files, err := os.ReadDir(filepath.Join(folder, "fdinfo"))
	if err != nil {
		return false
	}
	return slices.ContainsFunc(files, func(file fs.DirEntry) bool {
		info, err := os.ReadFile(filepath.Join(folder, "fdinfo", file.Name()))
		if err != nil || !bytes.Contains(info, []byte("FLOCK")) {
			return false
		}
		locked, err := os.Stat(filepath.Join(folder, "fd", file.Name()))
		return err == nil && os.SameFile(locked, wanted)
	})
}

// commandLine is what a process was started with; "" of one that has ended.
func commandLine(pid int) string {
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil {
		return ""
	}
	return string(bytes.ReplaceAll(bytes.TrimRight(line, "\x00"), []byte{0}, []byte{' '}))
}
