package container

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// fully gives the number of times that a test does something: few, or with TOPO_TEST_FULL in the environment as many as it
// was meant for.
func fully(t *testing.T, few, full int) int {
	t.Helper()
	if os.Getenv("TOPO_TEST_FULL") != "" {
		return full
	}
	return few
}

// countRoutines has a supervisor of the tests write down how many goroutines it has, at SIGUSR2.
func countRoutines() {
	if os.Args[0] != supervisorName {
		return
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, unix.SIGUSR2)
	go func() {
		for range asked {
			_ = writeJSON(filepath.Join(os.Args[2], "goroutines"), runtime.NumGoroutine())
		}
	}()
}

// holdings are what a supervisor holds, and what of its project is in the machine; each by its name.
type holdings map[string]int

func (l *lab) holdings() holdings {
	l.Helper()
	id := findSupervisor(l.layout(l.project))
	file := filepath.Join(l.config.RunDir, "goroutines")
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.Fatal(err)
	}
	if err := unix.Kill(id.PID, unix.SIGUSR2); err != nil {
		l.Fatal(err)
	}
	h := holdings{}
	testhost.Poll(l, func() error {
		var n int
		err := readJSON(file, &n)
		h["goroutines"] = n
		return err
	})
	if err := os.Remove(file); err != nil {
		l.Fatal(err)
	}
	for name, path := range map[string]string{"files": "fd", "threads": "task", "mounts": "mountinfo"} {
		path = fmt.Sprintf("/proc/%d/%s", id.PID, path)
		if name == "mounts" {
			data, err := os.ReadFile(path)
			if err != nil {
				l.Fatal(err)
			}
			h[name] = bytes.Count(data, []byte("\n"))
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			l.Fatal(err)
		}
		h[name] = len(entries)
	}
	children, _ := testhost.Try(l, "ps", "-o", "pid=", "--ppid", strconv.Itoa(id.PID)) // which fails when there is none
	h["children"] = strings.Count(children, "\n")
	h["control groups"] = len(l.groups())
	for _, dir := range []string{l.config.RunDir, l.config.DataDir} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if d != nil && strings.Contains(path, "/nodes/") && strings.HasPrefix(d.Name(), "log.") {
				return nil // the number of a log's files has a limit of its own
			}
			h["files below "+dir]++
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		})
		if err != nil {
			l.Fatal(err)
		}
	}
	return h
}

// leaks tells what there is more of than before. Go never ends a thread, and has as many as have ever waited in
// the kernel at once: of them, some more are no leak.
func (l *lab) leaks(before holdings) {
	l.Helper()
	const threads = 8
	testhost.Poll(l, func() error {
		now := l.holdings()
		for name, n := range now {
			most := before[name]
			if name == "threads" {
				most += threads
			}
			if n > most {
				return fmt.Errorf("%d %s, before %d", n, name, before[name])
			}
		}
		return nil
	})
}

// Many commands at once in one node, each with its own input, output and code.
func TestManyExecs(t *testing.T) {
	const many = 32
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sleep", "1000"}
		l.start(p)
		round := func() {
			l.Helper()
			var all errgroup.Group
			for i := range many {
				all.Go(func() error {
					code, out, stderr := l.exec(ExecRequest{
						Argv: []string{"sh", "-c", fmt.Sprintf("cat; echo err%d >&2; exit %[1]d", i)}, Stdin: strings.NewReader(fmt.Sprintf("in%d", i)),
					})
					if want := fmt.Sprintf("in%d", i); code != i || out != want || stderr != fmt.Sprintf("err%d\n", i) {
						return fmt.Errorf("the command %d: code %d, %q, %q", i, code, out, stderr)
					}
					return nil
				})
			}
			if err := all.Wait(); err != nil {
				l.Fatal(err)
			}
		}
		open := func() int {
			files, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				l.Fatal(err)
			}
			return len(files)
		}
		round()
		before, routines, files := l.holdings(), runtime.NumGoroutine(), open()
		begin := time.Now()
		for range 2 {
			round()
		}
		l.Logf("%d commands took %v", 2*many, time.Since(begin))
		l.leaks(before)
		testhost.Poll(l, func() error {
			if r, f := runtime.NumGoroutine(), open(); r > routines || f > files {
				return fmt.Errorf("of the caller, %d goroutines and %d files, before %d and %d", r, f, routines, files)
			}
			return nil
		})
		if s := l.state("n"); s.Status != kernel.Running {
			l.Errorf("then %+v", s)
		}
	})
}

// A thousand restarts by a person (30 in CI), then as many by policies: those of many nodes at once, since a back-off doubles
// with each.
func TestThousandRestarts(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sleep", "4444"}
		p.Restart = kernel.Restart{Policy: kernel.RestartAlways}
		l.start(p)
		again := func(times int) {
			l.Helper()
			for range times {
				l.do(kernel.ProcessHalt{Project: l.project, Node: "n", Grace: 0})
				l.do(kernel.ProcessResume{Project: l.project, Node: "n"})
			}
		}
		again(3)
		before := l.holdings()
		begin := time.Now()
		persons := fully(l.T, 30, 1000)
		again(persons)
		l.Logf("%d restarts by a person took %v", persons, time.Since(begin))
		l.leaks(before)
		if err := sleeping(l, 1); err != nil {
			l.Error(err)
		}
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})

		nodes, each := fully(l.T, 8, 170), fully(l.T, 4, 6)
		before = l.holdings()
		p.Argv, p.Restart = []string{"sh", "-c", "echo run; exit 3"}, kernel.Restart{Policy: kernel.RestartOnFailure, Max: each}
		begin = time.Now()
		var all errgroup.Group
		all.SetLimit(8)
		for i := range nodes {
			p := l.complete(p)
			p.Node = fmt.Sprintf("n%d", i)
			all.Go(func() error { return l.Do(l.Context(), kernel.ProcessStart{Process: p}) })
		}
		if err := all.Wait(); err != nil {
			l.Fatal(err)
		}
		testhost.Poll(l, func() error {
			_, states, err := l.Observe(l.Context(), l.project)
			if err != nil {
				return err
			}
			for _, s := range states {
				if s.Status != kernel.Exited || s.Restarts != each || s.ExitCode != 3 {
					return fmt.Errorf("%s: %+v", s.Process.Node, s)
				}
			}
			return nil
		})
		l.Logf("%d restarts by policies took %v", nodes*each, time.Since(begin))
		for i := range nodes {
			node := fmt.Sprintf("n%d", i)
			if got := l.logged(node); got != strings.Repeat("run\n", each+1) {
				l.Errorf("%s printed %q", node, got)
			}
			l.do(kernel.ProcessStop{Project: l.project, Node: node})
		}
		l.leaks(before)
	})
}

// neighbour is a node that does its work, and can tell when it can't.
type neighbour struct {
	*lab
	dir string
}

// settle starts it: it prints a number every 20 ms, and is checked every 100.
func (n neighbour) settle() {
	n.Helper()
	n.start(kernel.Process{
		Node: "good", Container: true, Mounts: []kernel.Mount{{Source: n.dir, Target: n.dir}},
		Argv:   []string{"sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done"},
		Log:    kernel.LogLimits{MaxSize: 1 << 20, MaxFile: 2},
		Health: &kernel.Healthcheck{Argv: []string{"sh", "-c", "echo >> " + n.dir + "/checks"}, Interval: 100 * time.Millisecond, Timeout: 20 * time.Second, StartInterval: time.Second, Retries: 1},
	})
}

// counts are how often it was checked, and the last number that is in its log.
func (n neighbour) counts() (checks, printed int) {
	n.Helper()
	data, err := os.ReadFile(n.dir + "/checks")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.Fatal(err)
	}
	var out bytes.Buffer
	if err := n.Logs(n.Context(), LogsRequest{Project: n.project, Nodes: []string{"good"}, Tail: 1, Stdout: &out, Stderr: &out}); err != nil {
		n.Fatal(err)
	}
	printed, _ = strconv.Atoi(strings.TrimSpace(out.String()))
	return len(data), printed
}

// lives: its checks and its log go on, and others can be started and stopped meanwhile.
func (n neighbour) lives(beside string) {
	n.Helper()
	begin := time.Now()
	checks, printed := n.counts()
	testhost.Poll(n, func() error {
		if c, p := n.counts(); c < checks+10 || p < printed+50 {
			return fmt.Errorf("beside %s: checked %d times, printed %d lines in %v", beside, c-checks, p-printed, time.Since(begin))
		}
		return nil
	})
	took := time.Since(begin)
	begin = time.Now()
	n.start(kernel.Process{Node: "other", Container: true, Argv: []string{"sleep", "1000"}})
	if code, out, errs := n.exec(ExecRequest{Node: "other", Argv: []string{"echo", "hello"}}); code != 0 || out != "hello\n" {
		n.Errorf("beside %s, a command: %d, %q, %q", beside, code, out, errs)
	}
	n.do(kernel.ProcessStop{Project: n.project, Node: "other"})
	n.Logf("beside %s: 10 checks and 50 lines, which would be 1 s, in %v; another's start, command and stop in %v", beside, took, time.Since(begin))
	if s := n.state("good"); s.Health != kernel.Healthy || s.Restarts != 0 {
		n.Errorf("beside %s: %+v", beside, s)
	}
}

// What one container does without measure, others don't feel, and nothing of it is left.
func TestBadNeighbours(t *testing.T) {
	boxes(t, func(l *lab) {
		good := neighbour{l, l.TempDir()}
		good.settle()
		good.lives("nobody")
		before := l.holdings()
		supervisor := findSupervisor(l.layout(l.project)).PID
		bad := func(what string, p kernel.Process, met func(kernel.ProcessState) bool) {
			l.Helper()
			p.Container = true
			begin, ticks := time.Now(), cpuTicks(l, supervisor)
			l.start(p)
			l.await(what, met)
			good.lives(what)
			l.Logf("beside %s: %d%% of a CPU for the supervisor", what, int(float64(cpuTicks(l, supervisor)-ticks)/time.Since(begin).Seconds()))
		}
		gone := func() {
			l.Helper()
			begin := time.Now()
			l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
			if took := time.Since(begin); took > 15*time.Second {
				l.Errorf("stopping it took %v", took)
			}
			l.leaks(before)
		}

		limits := kernel.LogLimits{MaxSize: 1 << 20, MaxFile: 3}
		began := time.Now()
		bad("what prints without end", kernel.Process{Argv: []string{"sh", "-c", "exec yes " + strings.Repeat("x", 79)}, Log: limits}, is(kernel.Running))
		var size int64
		numbers, err := logFiles(l.layout(l.project).log("n"))
		if err != nil {
			l.Fatal(err)
		}
		for _, number := range numbers {
			info, err := os.Stat(logFile(l.layout(l.project).log("n"), number))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				l.Fatal(err)
			}
			if err == nil {
				size += info.Size()
			}
		}
		// A file may be made while the oldest is about to go; the entry that fills one is of 200 bytes.
		if most := limits.MaxSize*int64(limits.MaxFile+1) + 1000; size > most {
			l.Errorf("its log takes %d bytes, more than %d", size, most)
		}
		last := numbers[len(numbers)-1]
		l.Logf("it printed %.0f MB/s", float64(last)*float64(limits.MaxSize)*80/150/1e6/time.Since(began).Seconds())
		if last < 10 {
			l.Errorf("only %d files of its log were filled", last)
		}
		gone()

		bad("what forks without end", kernel.Process{
			// A shell that can't fork ends: the main process forks once, before there are others.
			Argv: []string{"sh", "-c", "f() { while :; do f & done; }; f 2>/dev/null & exec sleep 1000"}, Limits: kernel.Limits{Pids: 60},
		}, func(s kernel.ProcessState) bool {
			u, err := l.Usage(l.Context(), l.project, "n")
			return err == nil && u != nil && u.Pids >= 30
		})
		testhost.Poll(l, func() error {
			u, err := l.Usage(l.Context(), l.project, "n")
			if err != nil || u == nil || u.Pids < 10 {
				return fmt.Errorf("what forks without end has ended: %+v, %v; %+v", u, err, l.state("n"))
			}
			return nil
		})
		gone()

		bad("what eats memory", kernel.Process{
			Argv: []string{"tail", "/dev/zero"}, Limits: kernel.Limits{Memory: 32 * mib}, Restart: kernel.Restart{Policy: kernel.RestartAlways},
		}, func(s kernel.ProcessState) bool { return s.OOMKilled && s.Restarts >= 1 })
		gone()
		if s := l.state("good"); s.Restarts != 0 || s.Status != kernel.Running {
			l.Errorf("then %+v", s)
		}
	})
}

// cpuTicks is the time that a process has run, without its children, in hundredths of a second.
func cpuTicks(l *lab, pid int) int {
	l.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		l.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err := errors.Join(err1, err2); err != nil {
		l.Fatal(err)
	}
	return user + system
}
