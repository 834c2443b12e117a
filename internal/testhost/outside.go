package testhost

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Outside says whether the caller is on the real machine, where it has nothing more to do: the
// test has then run on a machine of its own and t has its result. It belongs at a test's head (or
// a subtest's, or a benchmark's), after t.Parallel.
//
// It skips without root, and fails the test when the inner one gives no sign of having run.
func Outside(t testing.TB) bool {
	t.Helper()
	stage, err := currentStage()
	switch {
	case err != nil:
		t.Fatal(err)
	case stage.name == "":
		if os.Geteuid() != 0 {
			t.Skip("needs root, to make a machine for this test")
		}
		enter(t)
		return true
	case t.Name() != stage.name && !strings.HasPrefix(t.Name(), stage.name+"/"):
		t.Fatalf("the machine is that of %s, not of %s", stage.name, t.Name())
	case stage.init:
		code := initMain(stage)
		syscall.Exit(code) // not os.Exit, which panics inside a test when the code is 0
	case t.Name() == stage.name:
		stage.report(t)
	}
	return false
}

// enter runs the test on a new machine and passes on its log and result.
func enter(t testing.TB) {
	t.Helper()
	if b, ok := t.(*testing.B); ok && replay(b) {
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	verdict, verdictIn, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer verdict.Close()

	log := &frameFilter{name: t.Name(), to: t.Output()}
	cmd := exec.Command(self, arguments(t)...)
	cmd.Env = append(os.Environ(), stageVariable+"="+stage{init: true, name: t.Name(), outer: networkID()}.String())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{verdictIn}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	// Pdeathsig is sent when the starting thread ends, so this one must live as long as the machine.
	runtime.LockOSThread()
	err = cmd.Start()
	verdictIn.Close()
	if err == nil {
		err = cmd.Wait()
	}
	runtime.UnlockOSThread()
	log.Flush()

	word, readErr := io.ReadAll(verdict)
	conclude(t, string(word), log, errors.Join(err, readErr))
}

// conclude gives t the result of the inner test. Its word is "" when it never came to its end.
func conclude(t testing.TB, word string, log *frameFilter, err error) {
	t.Helper()
	switch {
	case word == "skip" && err == nil:
		t.Skip(reason(log.kept.String()))
	case word == "pass" && err == nil:
		if b, ok := t.(*testing.B); ok {
			record(b, log.all.String())
		}
	case word == "fail":
		t.Fail()
	case word == "":
		t.Errorf("the test did not run to its end on its machine: %v", err)
	default:
		t.Errorf("the test ended with %q on its machine, and its process with: %v", word, err)
	}
}

// reason is the text of the last thing that was logged: "    web_test.go:12: needs curl".
func reason(log string) string {
	log = strings.TrimSpace(log)
	if i := strings.LastIndex(log, "\n"); i >= 0 {
		log = strings.TrimSpace(log[i:])
	}
	if file, text, ok := strings.Cut(log, ": "); ok && strings.Contains(file, ".go:") {
		return text
	}
	return log
}

// deadline is how long the inner test may run: a little less than the outer one, so
// that it is the inner one that prints its goroutines.
func deadline(t testing.TB) time.Duration {
	d, ok := t.(interface{ Deadline() (time.Time, bool) })
	if !ok {
		return 0
	}
	at, ok := d.Deadline()
	if !ok {
		return 0
	}
	left := time.Until(at)
	return max(left-left/20, time.Second)
}

// frameFilter passes on what the inner test printed, without the lines that package testing
// draws around it (the outer test draws them, too).
type frameFilter struct {
	name string
	to   io.Writer
	all  bytes.Buffer // everything
	kept bytes.Buffer // what was passed on
	line bytes.Buffer // begun, not yet ended
}

func (f *frameFilter) Write(p []byte) (int, error) {
	f.all.Write(p)
	f.line.Write(p)
	for {
		text, rest, found := bytes.Cut(f.line.Bytes(), []byte("\n"))
		if !found {
			return len(p), nil
		}
		line := string(text)
		rest = bytes.Clone(rest)
		f.line.Reset()
		f.line.Write(rest)
		f.pass(line)
	}
}

// Flush passes on a last line without an end.
func (f *frameFilter) Flush() {
	if f.line.Len() > 0 {
		f.pass(f.line.String())
		f.line.Reset()
	}
}

func (f *frameFilter) pass(line string) {
	if f.frame(line) {
		return
	}
	fmt.Fprintln(&f.kept, line)
	fmt.Fprintln(f.to, line)
}

func (f *frameFilter) frame(line string) bool {
	switch {
	case line == "PASS" || line == "FAIL" || strings.HasPrefix(line, "coverage: "):
		return true
	}
	words := strings.Fields(line)
	if len(words) < 3 || (words[0] != "===" && words[0] != "---") {
		return false
	}
	// Those of the test itself and of the tests around it.
	return words[2] == f.name || strings.HasPrefix(f.name, words[2]+"/")
}
