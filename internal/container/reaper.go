package container

import (
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"time"

	runc "github.com/containerd/go-runc"
	"golang.org/x/sys/unix"
)

// reaper waits for all children of the supervisor: those that it started, and those that became its
// own because their parents ended (it is a subreaper, prctl(2)), the main processes of containers
// among them. It is the ProcessMonitor of go-runc. No other code of the supervisor may wait.
//
// An Exit's Status is what wait(2) gave, until Wait makes an exit code of it: there is more in it than that.
//
// One lock is held over fork and noting down the pid, so that the exit of a child that we started
// is never seen before its pid is known. That of a container's main process can be: launching says
// that one is under way, and exits of strangers are kept until then.
type reaper struct {
	mu        sync.Mutex
	waiting   map[int]chan runc.Exit
	launching int
	early     map[int]runc.Exit
}

func newReaper() *reaper {
	return &reaper{waiting: map[int]chan runc.Exit{}, early: map[int]runc.Exit{}}
}

// run makes this process a subreaper and reaps until the process ends.
func (r *reaper) run() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	children := make(chan os.Signal, 1) // signals while one is pending are one: reap takes all
	signal.Notify(children, unix.SIGCHLD)
	go func() {
		for range children {
			r.reap()
		}
	}()
	return nil
}

func (r *reaper) reap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		e := runc.Exit{Timestamp: time.Now(), Pid: pid, Status: int(status)}
		if c, ok := r.waiting[pid]; ok {
			delete(r.waiting, pid)
			c <- e
		} else if r.launching > 0 {
			r.early[pid] = e
		}
	}
}

// launch says that a process is being started that will be ours although we don't fork it; the
// function that it gives must be called when its pid has been watched, or nothing was started.
func (r *reaper) launch() (done func()) {
	r.mu.Lock()
	r.launching++
	r.mu.Unlock()
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.launching--; r.launching == 0 {
			clear(r.early)
		}
	}
}

// watch gives the exit of a child that we did not fork, also when that was reaped during its launch.
func (r *reaper) watch(pid int) <-chan runc.Exit {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := make(chan runc.Exit, 1)
	if e, ok := r.early[pid]; ok {
		delete(r.early, pid)
		c <- e
	} else {
		r.waiting[pid] = c
	}
	return c
}

// Start starts a command from this thread.
func (r *reaper) Start(c *exec.Cmd) (chan runc.Exit, error) {
	_, exit, err := r.start(c)
	return exit, err
}

// start is Start that also tells who was started; the child can't be gone before that is known.
func (r *reaper) start(c *exec.Cmd) (identity, chan runc.Exit, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := c.Start(); err != nil {
		return identity{}, nil, err
	}
	pid := c.Process.Pid
	exit := make(chan runc.Exit, 1)
	delete(r.early, pid) // that of a stranger, with the same pid before
	r.waiting[pid] = exit
	stat, err := readStat(pid)
	return identity{pid, stat.start}, exit, err
}

// StartLocked is Start from a thread that stays until the command has been started.
func (r *reaper) StartLocked(c *exec.Cmd) (chan runc.Exit, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return r.Start(c)
}

// Wait waits for a command and for the copying of its output.
func (r *reaper) Wait(c *exec.Cmd, exit chan runc.Exit) (int, error) {
	e := <-exit
	// The child has been waited for: this ends with ECHILD, after it has seen to the pipes.
	_ = c.Wait()
	// Without a status it keeps its handle on the child, until the garbage collector comes by.
	_ = c.Process.Release()
	return exitCode(unix.WaitStatus(e.Status)), nil
}
