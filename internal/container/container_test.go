package container

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

func TestMain(m *testing.M) {
	countRoutines()
	if handled, code := Reexec(); handled {
		os.Exit(code)
	}
	if os.Args[0] == tryPath {
		os.Exit(tryMain(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// lab is a project on a machine of its own.
type lab struct {
	*testing.T
	*Engine
	project string // of its own for each test: control groups are the real machine's
}

// inLab runs f in a project whose supervisor runs. Then everything is taken down, and the machine must be
// as it was.
func inLab(t *testing.T, c Config, f func(l *lab)) {
	t.Helper()
	l := &lab{t, New(c), fmt.Sprintf("lab%08x", crc32.ChecksumIEEE([]byte(t.Name())))}
	testhost.Run(t, "ip", "netns", "add", "lab-n")
	testhost.Run(t, "ip", "-n", "lab-n", "link", "set", "lo", "up")
	before := testhost.Machine(t)
	l.do(kernel.SupervisorStart{Project: l.project})
	defer l.down(before)
	f(l)
}

func (l *lab) down(before string) {
	ctx := context.Background()
	if err := l.Do(ctx, kernel.SupervisorStop{Project: l.project}); err != nil {
		l.Errorf("stopping the supervisor: %v\n%s", err, l.supervisorLog())
	}
	if log := l.supervisorLog(); log != "" {
		l.Errorf("the supervisor complained: %s", log)
	}
	if err := l.Remove(l.project); err != nil {
		l.Error(err)
	}
	// The store of images is no project's, and stays.
	if err := os.RemoveAll(filepath.Join(l.config.DataDir, "images")); err != nil {
		l.Error(err)
	}
	removeEmpty(l.config.DataDir, l.config.RunDir)
	if l.Failed() {
		return
	}
	testhost.Poll(l, func() error { return same(before, testhost.Machine(l)) })
	if groups := l.groups(); len(groups) != 0 {
		l.Errorf("control groups are left: %v", groups)
	}
}

// groups are the control groups of the project's containers, of either version.
func (l *lab) groups() []string {
	l.Helper()
	var all []string
	for _, dir := range []string{cgroupDir, cgroupDir + "/*"} {
		found, err := filepath.Glob(dir + "/topo-" + l.project + "-*")
		if err != nil {
			l.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}

func same(before, after string) error {
	before, after = testhost.WithoutEngine(before), testhost.WithoutEngine(after)
	if before == after {
		return nil
	}
	old := map[string]bool{}
	for line := range strings.Lines(before) {
		old[line] = true
	}
	for line := range strings.Lines(after) {
		if !old[line] {
			return fmt.Errorf("left behind: %s", line)
		}
	}
	return errors.New("something that was there before is gone")
}

func (l *lab) supervisorLog() string {
	data, _ := os.ReadFile(l.layout(l.project).supervisorLog())
	return string(data)
}

func (l *lab) do(op kernel.Op) {
	l.Helper()
	if err := l.Do(l.Context(), op); err != nil {
		l.Fatalf("%v\n%s", err, l.supervisorLog())
	}
}

// start starts a process of node with what a file would fill in.
func (l *lab) start(p kernel.Process) {
	l.Helper()
	l.do(kernel.ProcessStart{Process: l.complete(p)})
}

func (l *lab) complete(p kernel.Process) kernel.Process {
	p.Project = l.project
	if p.Node == "" {
		p.Node = "n"
	}
	if p.Netns == "" {
		p.Netns = "lab-n"
	}
	if p.StopSignal == "" {
		p.StopSignal = "SIGTERM"
	}
	if p.StopGrace == 0 {
		p.StopGrace = 100 * time.Millisecond
	}
	return p
}

func (l *lab) state(node string) kernel.ProcessState {
	l.Helper()
	_, states, err := l.Observe(l.Context(), l.project)
	if err != nil {
		l.Fatal(err)
	}
	for _, s := range states {
		if s.Process.Node == node {
			return s
		}
	}
	l.Fatalf("no process of %s", node)
	return kernel.ProcessState{}
}

// logged gives what a process printed, once it has ended.
func (l *lab) logged(node string) string {
	l.Helper()
	testhost.Poll(l, func() error {
		if s := l.state(node); s.Status == kernel.Running {
			return fmt.Errorf("%s still runs: %+v", node, s)
		}
		return nil
	})
	r := logReader{path: l.layout(l.project).log(node)}
	defer r.close()
	entries, err := collect(&r)
	if err != nil {
		l.Fatal(err)
	}
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(e.Log)
	}
	return b.String()
}

// everywhere runs a test for both kinds of node, and containers by both runtimes, each on its own machine.
func everywhere(t *testing.T, f func(l *lab, node kernel.Process)) {
	for _, way := range []string{"namespace", "crun", "runc"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			c, p := Config{}, kernel.Process{}
			if way != "namespace" {
				c.Runtime, p.Container = way, true
			}
			inLab(t, c, func(l *lab) { f(l, p) })
		})
	}
}

func TestStart(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sleep", "1000"}
		l.start(p)
		s := l.state("n")
		if s.Status != kernel.Running || s.PID == 0 {
			l.Fatalf("state %+v", s)
		}
		argv, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.PID))
		if err != nil || string(argv) != "sleep\x001000\x00" {
			l.Errorf("the process is %q, %v", argv, err)
		}
		testhost.Run(l, "ip", "netns", "exec", "lab-n", "true")
		if pids := testhost.Run(l, "ip", "netns", "pids", "lab-n"); strings.TrimSpace(pids) != fmt.Sprint(s.PID) {
			l.Errorf("processes in the namespace: %q, want %d", pids, s.PID)
		}
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		if _, states, _ := l.Observe(l.Context(), l.project); len(states) != 0 {
			l.Errorf("after stopping: %+v", states)
		}
	})
}

func TestExitCode(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sh", "-c", "echo out; echo err >&2; exit 7"}
		l.start(p)
		if got, want := l.logged("n"), "out\nerr\n"; got != want && got != "err\nout\n" {
			l.Errorf("printed %q, want %q", got, want)
		}
		if s := l.state("n"); s.Status != kernel.Exited || s.ExitCode != 7 || s.PID != 0 {
			l.Errorf("state %+v", s)
		}
	})
}
