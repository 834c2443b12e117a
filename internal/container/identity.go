package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// identity names a process for good: the kernel uses a pid again, but not with the same start time.
type identity struct {
	PID       int    `json:"pid,omitempty"`
	StartTime uint64 `json:"start_time,omitempty"` // clock ticks after boot: field 22 of /proc/PID/stat, proc(5)
}

// identify reads the start time of a process that lives.
func identify(pid int) (identity, error) {
	stat, err := readStat(pid)
	if err != nil {
		return identity{}, err
	}
	if stat.state == 'Z' || stat.state == 'X' {
		return identity{}, fmt.Errorf("process %d: %w", pid, unix.ESRCH)
	}
	return identity{pid, stat.start}, nil
}

// alive reports whether the process still runs; a zombie doesn't.
func (id identity) alive() bool {
	if id.PID == 0 {
		return false
	}
	now, err := identify(id.PID)
	return err == nil && now == id
}

// open gives a handle on the process; ESRCH when it is gone.
func (id identity) open() (*pidfd, error) {
	if id.PID == 0 {
		return nil, unix.ESRCH
	}
	fd, err := openPidfd(id.PID)
	if err != nil {
		return nil, err
	}
	// The handle is on whatever has this pid now; it is the right process when that
	// one, looked at after the handle was there, has the right start time.
	if stat, err := readStat(id.PID); err != nil || stat.start != id.StartTime {
		fd.close()
		return nil, unix.ESRCH
	}
	return fd, nil
}

// procStat is what is needed of /proc/PID/stat, proc(5).
type procStat struct {
	state  byte   // field 3
	parent int    // field 4
	start  uint64 // field 22
}

func readStat(pid int) (procStat, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return procStat{}, err
	}
	// The second field is the name in parentheses, and may hold anything.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 20 {
		return procStat{}, fmt.Errorf("reading /proc/%d/stat: only %d fields", pid, len(fields))
	}
	parent, err := strconv.Atoi(fields[1])
	start, serr := strconv.ParseUint(fields[19], 10, 64)
	return procStat{fields[0][0], parent, start}, errors.Join(err, serr)
}

// argv is the command line of a process; nil of one that is gone.
func argv(pid int) []string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
}

// allPIDs lists the processes of the machine.
func allPIDs() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// pidfd is a handle on a process, waited on by Go's poller: it takes no thread.
type pidfd struct{ f *os.File }

func openPidfd(pid int) (*pidfd, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return &pidfd{os.NewFile(uintptr(fd), "pidfd")}, nil
}

func (p *pidfd) close() { _ = p.f.Close() }

// signal sends a signal; ESRCH when the process has ended.
func (p *pidfd) signal(sig unix.Signal) error {
	var err error
	return errors.Join(p.control(func(fd int) { err = unix.PidfdSendSignal(fd, sig, nil, 0) }), err)
}

// wait returns when the process has ended, or with the error of ctx.
func (p *pidfd) wait(ctx context.Context) error {
	conn, err := p.f.SyscallConn()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = p.f.SetReadDeadline(time.Unix(0, 1)) })()
	err = conn.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		return err == nil && n == 1
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.Join(ctx.Err(), p.f.SetReadDeadline(time.Time{}))
	}
	return err
}

// waitStatus tells how a process that has ended did so, also one that is not our child; !ok
// before Linux 6.15, which lacks PIDFD_INFO_EXIT. The kernel knows when the parent has waited for
// it: for an orphan that is PID 1, at once.
func (p *pidfd) waitStatus() (status unix.WaitStatus, ok bool) {
	const limit, pause = 2 * time.Second, time.Millisecond // of a parent that has other things to do
	for end := time.Now().Add(limit); ; time.Sleep(pause) {
		waited := p.waitedFor()
		info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
		var err error
		if cerr := p.control(func(fd int) { err = unix.IoctlPidfdInfo(fd, &info) }); cerr != nil {
			return 0, false
		}
		if err == nil && info.Mask&unix.PIDFD_INFO_EXIT != 0 {
			return unix.WaitStatus(info.Exit_code), true
		}
		if waited || time.Now().After(end) {
			return 0, false
		}
	}
}

// waitedFor reports whether a process that has ended is a zombie no longer: no signal finds it.
func (p *pidfd) waitedFor() bool { return errors.Is(p.signal(0), unix.ESRCH) }

func (p *pidfd) control(f func(fd int)) error {
	conn, err := p.f.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Control(func(fd uintptr) { f(int(fd)) })
}

// exitCode is the exit code in a shell's words: 128+n for a process killed by signal n.
func exitCode(s unix.WaitStatus) int {
	if s.Signaled() {
		return 128 + int(s.Signal())
	}
	return s.ExitStatus()
}
