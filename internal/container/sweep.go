package container

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A process of a `namespaces:` node may leave others behind: daemons, which have sessions of their own.
// All have the mount namespace that was made for it, and nobody else has. What is left when the
// main process ends is killed, as in a container, and as systemd does with a service.

// sweep kills all processes in the mount namespace; it returns when there are none.
func sweep(ns *os.File) error {
	want, err := ns.Stat()
	if err != nil {
		return err
	}
	return killAll(func(pid int) bool {
		info, err := os.Stat("/proc/" + strconv.Itoa(pid) + "/ns/mnt")
		return err == nil && os.SameFile(info, want)
	})
}

// sweepNumber is sweep by the kernel's number of the namespace, which nobody need have kept open.
func sweepNumber(number uint64) error {
	if number == 0 {
		return nil
	}
	return killAll(func(pid int) bool {
		ns, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/mnt")
		if err != nil {
			return false
		}
		defer ns.Close()
		return mountNumber(ns) == number
	})
}

// endRuntimes ends what runtimes are still at with a container whose supervisor has died: what they make of it later nobody would
// remove.
func (l layout) endRuntimes(id string) error {
	if id == "" {
		return nil
	}
	root := l.runtimeRoot()
	return killAll(func(pid int) bool {
		words := argv(pid)
		return len(words) > 0 && words[len(words)-1] == id && slices.Contains(words, root)
	})
}

// killAll kills what belongs, and looks again for what was forked meanwhile, until a look finds none.
func killAll(belongs func(pid int) bool) error {
	const limit = 10 * time.Second // only a process in uninterruptible sleep takes as long
	for end := time.Now().Add(limit); time.Now().Before(end); {
		pids, err := allPIDs()
		if err != nil {
			return err
		}
		found := false
		for _, pid := range pids {
			if pid == os.Getpid() || !belongs(pid) {
				continue
			}
			fd, err := openPidfd(pid)
			if err != nil {
				continue
			}
			// Looked at again with the handle open: the pid can't have been used again in between.
			if belongs(pid) {
				found = true
				_ = fd.signal(unix.SIGKILL)
			}
			fd.close()
		}
		if !found {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("killing what a process left behind: some don't end")
}
