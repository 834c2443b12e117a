package container

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// The sandbox of a container that an engine runs (package dockerapi): what it runs, and where it has that and the namespace.
const (
	sandboxName  = "topo-sandbox"
	sandboxPath  = "/.topo-sandbox"
	sandboxNetns = "/.topo-netns"
)

// sandboxMain enters a network namespace, gives up all rights, and sleeps until it is told to end: then others can be put
// into the namespace that this process is in. It is PID 1 of its container, so nothing ends it that it doesn't handle.
func sandboxMain(netns string) int {
	end := make(chan os.Signal, 1)
	signal.Notify(end, unix.SIGTERM, unix.SIGINT)
	if err := enterForGood(netns); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	debug.FreeOSMemory()
	<-end
	return 0
}

// enterForGood takes all threads into a network namespace, and their capabilities from them: who looks for the namespace
// of a process looks at its first thread, which the caller needn't be on.
func enterForGood(netns string) error {
	f, err := os.Open(netns)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_SETNS, f.Fd(), unix.CLONE_NEWNET, 0); errno != 0 {
		return fmt.Errorf("entering network namespace %s: %w", netns, errno)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none[0])), 0)
	if errno != 0 {
		return fmt.Errorf("dropping capabilities: %w", errno)
	}
	return nil
}

// checkStatic: a program that is to run in any image must bring all that it needs.
func checkStatic(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	defer f.Close()
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return fmt.Errorf("%s needs shared libraries, which an image has not: it must be built with CGO_ENABLED=0", path)
	}
	return nil
}

// awaitSandbox returns when a sandbox's process is in the node's namespace. alive says whether that still runs.
func awaitSandbox(pid int, netns string, alive func() error) error {
	const patience, pause = 10 * time.Second, 2 * time.Millisecond
	for end := time.Now().Add(patience); ; time.Sleep(pause) {
		in, err := inNetns(pid, netns)
		if in {
			return nil
		}
		if aerr := alive(); aerr != nil {
			return aerr
		}
		if time.Now().After(end) {
			return errors.Join(fmt.Errorf("the sandbox did not enter network namespace %s", netns), err)
		}
	}
}

// inNetns reports whether a process is in the network namespace of a name.
func inNetns(pid int, netns string) (bool, error) {
	its, err := os.Stat(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return false, err
	}
	named, err := os.Stat(filepath.Join(netnsDir, netns))
	return err == nil && os.SameFile(its, named), err
}

// sandboxBinds are what a sandbox has of the host.
func sandboxBinds(self, netns string) []kernel.Mount {
	return []kernel.Mount{
		{Source: self, Target: sandboxPath, ReadOnly: true},
		{Source: filepath.Join(netnsDir, netns), Target: sandboxNetns},
	}
}
