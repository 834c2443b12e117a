package tracer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Program is what to run.
type Program struct {
	Args []string // with the path of the program first
	Env  []string // nil: this process's own
	Dir  string   // "": this process's own
	// Interrupted is asked for each part of a dump that the program receives from rtnetlink(7): whether it is to be marked as
	// one that was interrupted (NLM_F_DUMP_INTR), as the kernel marks it when the table has changed meanwhile. May be nil.
	Interrupted func() bool
	// Facts: [Result.Facts] are wanted.
	Facts bool
}

// Call is a system call that changes the machine.
type Call struct {
	// What is the change in words.
	What string
	// By is the name of the program that makes it: "topo", "iptables-nft-restore".
	By string
	// Process and Thread are their numbers, as the tracer sees them.
	Process, Thread int
	// Args are the words of an execution; the target, the source, the type and the flags of a mount, the target of an unmount.
	Args []string
	// After: it has been carried out; otherwise it is about to be.
	After bool
	// Err is what it ended with, of a call that has been carried out; 0 is success.
	Err unix.Errno
}

// Action is what becomes of a call, and of those who make it.
type Action struct {
	kill victims
	fail unix.Errno
}

type victims int

const (
	nobody victims = iota
	program
	caller
	everybody
)

var (
	// Continue lets the call go on.
	Continue = Action{}
	// Kill kills the program that was started; processes that it started go on.
	Kill = Action{kill: program}
	// KillCaller kills the process that makes the call.
	KillCaller = Action{kill: caller}
	// KillAll kills the program and all that it started.
	KillAll = Action{kill: everybody}
)

// Fail keeps a call that is about to be carried out from being so: it ends with errno at once.
func Fail(errno unix.Errno) Action { return Action{fail: errno} }

// Observer is told of each changing call twice: before it is carried out, and after. The thread that makes it stands still
// until the observer answers; calls of others wait their turn.
type Observer func(Call) Action

// Result is how a program ended.
type Result struct {
	Output string      // what it, and its processes, printed on both outputs until then
	Code   int         // -1 of one that was killed
	Signal unix.Signal // that killed it, or 0
	// Facts are all changes of the network and its parameters, each in its smallest parts, sorted: those of two programs are the
	// same that do the same, however much each says in one message.
	Facts []string
	// Calls is how often the program itself, none that it started, made each system call, by its number.
	Calls map[uint64]int
}

// Run starts a program, and observes it and all processes that it starts until it has ended. Those that live on then are
// let go, as they are. ctx ends the program, by SIGKILL. The error is one of the tracing.
func Run(ctx context.Context, p Program, observe Observer) (Result, error) {
	fd, err := unix.MemfdCreate("output", unix.MFD_CLOEXEC)
	if err != nil {
		return Result{}, fmt.Errorf("making a file for the output: %w", err)
	}
	output := os.NewFile(uintptr(fd), "output")
	defer output.Close()
	type outcome struct {
		Result
		err error
	}
	ended := make(chan outcome, 1)
	go func() {
		// A tracee answers to the thread that traces it. The thread ends with this goroutine, as it is not unlocked.
		runtime.LockOSThread()
		r, err := trace(ctx, p, output, observe)
		ended <- outcome{r, err}
	}()
	o := <-ended
	if o.err != nil {
		return Result{}, fmt.Errorf("tracing %v: %w", p.Args, o.err)
	}
	r := o.Result
	info, err := output.Stat()
	if err != nil {
		return r, err
	}
	text := make([]byte, info.Size())
	if _, err := output.ReadAt(text, 0); err != nil {
		return r, fmt.Errorf("reading the output: %w", err)
	}
	r.Output = string(text)
	return r, nil
}

// tracer is one call of Run.
type tracer struct {
	observe Observer
	torn    func() bool // Program.Interrupted
	root    int         // the program's PID
	threads map[int]*thread
	sockets map[place]socket
	spaces  *spaces
	books   *books
	calls   map[uint64]int
}

// thread is a traced one.
type thread struct {
	tid, process int
	inside       bool // between the entry and the exit of a call
	again        bool // the kernel begins the call anew that it has just left
	call         *Call
	number       uint64
	args         [6]uint64
	facts        []fact
	refusal      unix.Errno // the call was kept from the kernel, and is to end with this
}

const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK |
	unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_EXITKILL

func trace(ctx context.Context, p Program, output *os.File, observe Observer) (Result, error) {
	env := p.Env
	if env == nil {
		env = os.Environ()
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return Result{}, err
	}
	defer null.Close()
	root, err := syscall.ForkExec(p.Args[0], p.Args, &syscall.ProcAttr{
		Dir: p.Dir, Env: env, Files: []uintptr{null.Fd(), output.Fd(), output.Fd()},
		Sys: &syscall.SysProcAttr{Ptrace: true},
	})
	if err != nil {
		return Result{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = unix.Kill(root, unix.SIGKILL) })
	defer stop()
	t := &tracer{observe: observe, torn: p.Interrupted, root: root, threads: map[int]*thread{}, sockets: map[place]socket{}, spaces: newSpaces(), books: newBooks(p.Facts), calls: map[uint64]int{}}
	defer t.books.close()
	status, err := t.follow()
	if err != nil {
		return Result{}, errors.Join(err, unix.Kill(root, unix.SIGKILL))
	}
	r := Result{Code: status.ExitStatus(), Facts: t.told(), Calls: t.calls}
	if status.Signaled() {
		r.Signal = status.Signal()
	}
	return r, t.leave()
}

// next waits for a thread to stop or end. Only those that this thread traces are waited for, not other children of the process.
func next() (int, unix.WaitStatus, error) {
	for {
		var status unix.WaitStatus
		tid, err := unix.Wait4(-1, &status, unix.WALL|unix.WNOTHREAD, nil)
		if err != unix.EINTR {
			return tid, status, err
		}
	}
}

// follow lets all go on, from call to call, until the program has ended.
func (t *tracer) follow() (unix.WaitStatus, error) {
	for {
		tid, status, err := next()
		if err != nil {
			return 0, fmt.Errorf("waiting for the program: %w", err)
		}
		if status.Exited() || status.Signaled() {
			delete(t.threads, tid)
			if tid == t.root {
				return status, nil
			}
			continue
		}
		signal, err := t.stopped(tid, status)
		if err != nil {
			return 0, err
		}
		if err := resume(tid, signal); err != nil {
			return 0, fmt.Errorf("letting thread %d go on: %w", tid, err)
		}
	}
}

// resume lets a thread go on to its next stop, with a signal or 0. One that was killed meanwhile needs no word.
func resume(tid int, signal unix.Signal) error {
	if err := unix.PtraceSyscall(tid, int(signal)); err != nil && err != unix.ESRCH {
		return err
	}
	return nil
}

// stopped handles a stop; it gives the signal that the thread is to have.
func (t *tracer) stopped(tid int, status unix.WaitStatus) (unix.Signal, error) {
	th, known := t.threads[tid]
	if !known { // the program's first stop, or a new thread's or process's
		th = &thread{tid: tid, process: processOf(tid)}
		t.threads[tid] = th
		if tid == t.root {
			if err := unix.PtraceSetOptions(tid, options); err != nil {
				return 0, fmt.Errorf("setting up the tracing: %w", err)
			}
		}
		return 0, nil
	}
	switch signal := status.StopSignal(); {
	case signal == unix.SIGTRAP|0x80:
		return 0, t.syscall(th)
	case signal == unix.SIGTRAP && status.TrapCause() == unix.PTRACE_EVENT_EXEC:
		return 0, t.executed(tid)
	case signal == unix.SIGTRAP && status.TrapCause() > 0:
		return 0, nil // a new thread or process, which has its own first stop
	default:
		return signal, nil
	}
}

// executed: of a process that executes a program one thread is left, with the process's own ID.
func (t *tracer) executed(pid int) error {
	former, err := unix.PtraceGetEventMsg(pid)
	if err != nil {
		return gone(err)
	}
	if th := t.threads[int(former)]; th != nil {
		th.tid = pid
		t.threads[pid] = th
	}
	for tid, th := range t.threads {
		if th.process == pid && tid != pid {
			delete(t.threads, tid)
		}
	}
	return nil
}

func (t *tracer) syscall(th *thread) error {
	if th.inside {
		return t.exit(th)
	}
	number, args, err := entry(th.tid)
	if err != nil {
		return gone(err)
	}
	th.inside = true
	again := th.again && number == th.number && args == th.args
	th.again = false
	if again {
		return nil // the observer knows
	}
	th.number, th.args, th.call, th.refusal = number, args, nil, 0
	if th.process == t.root {
		t.calls[number]++
	}
	t.forget(th)
	what := t.describe(th)
	if what == "" {
		return nil
	}
	th.facts = t.factsOf(th, what)
	th.call = &Call{What: what, By: nameOf(th.process), Process: th.process, Thread: th.tid, Args: th.arguments()}
	return t.act(th, t.observe(*th.call))
}

// Errors that no program sees: the kernel begins the call anew (linux/errno.h). A sysctl that wants the lock of the network's links
// does so until it has that.
const restartFirst, restartLast = 512, 516

func (t *tracer) exit(th *thread) error {
	th.inside = false
	if th.refusal != 0 {
		if err := setResult(th.tid, th.refusal); err != nil {
			return gone(err)
		}
	}
	result, err := result(th.tid)
	if err != nil {
		return gone(err)
	}
	switch {
	case result >= 0:
		t.learn(th, result)
		t.hear(th, result)
		if err := t.tear(th, result); err != nil {
			return err
		}
	case result <= -restartFirst && result >= -restartLast:
		th.again = true
		return nil
	}
	if th.call == nil {
		return nil
	}
	call := *th.call
	call.After = true
	call.Thread = th.tid // an execution makes it the process's only one
	if result >= 0 {
		t.books.enter(th)
	} else {
		call.Err = unix.Errno(-result)
	}
	return t.act(th, t.observe(call))
}

func (t *tracer) act(th *thread, a Action) error {
	switch a.kill {
	case program:
		return gone(unix.Kill(t.root, unix.SIGKILL))
	case caller:
		return gone(unix.Kill(th.process, unix.SIGKILL))
	case everybody:
		for _, other := range t.threads {
			if err := gone(unix.Kill(other.process, unix.SIGKILL)); err != nil {
				return err
			}
		}
		return nil
	}
	if a.fail != 0 && th.inside {
		th.refusal = a.fail
		return gone(skip(th.tid))
	}
	return nil
}

// leave lets go of what lives on: each thread is stopped, where it is not in a stop, and detached.
func (t *tracer) leave() error {
	for tid, th := range t.threads {
		if err := gone(unix.Tgkill(th.process, tid, unix.SIGSTOP)); err != nil {
			return fmt.Errorf("stopping thread %d: %w", tid, err)
		}
	}
	for {
		tid, status, err := next()
		switch {
		case errors.Is(err, unix.ECHILD):
			return nil
		case err != nil:
			return fmt.Errorf("letting go of what the program has started: %w", err)
		case status.Exited() || status.Signaled():
		case status.StopSignal() == unix.SIGSTOP:
			err = unix.PtraceDetach(tid)
		case status.StopSignal() == unix.SIGTRAP|0x80 || status.StopSignal() == unix.SIGTRAP && status.TrapCause() > 0:
			err = resume(tid, 0)
		default:
			err = resume(tid, status.StopSignal())
		}
		if err := gone(err); err != nil {
			return fmt.Errorf("letting go of thread %d: %w", tid, err)
		}
	}
}

// gone is the error of an attempt on what may have been killed meanwhile.
func gone(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}
