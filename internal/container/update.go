package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// limit changes the limits of the node's container. One that has ended keeps them for its next start.
func (n *node) limit(l kernel.Limits) error {
	n.work.Lock()
	defer n.work.Unlock()
	p, rec, _ := n.state()
	switch {
	case p.Node == "":
		return unix.ESRCH
	case !p.Container:
		return errors.New("limits are for containers")
	}
	if rec.Status == kernel.Running {
		if err := setLimits(cgroupDir, rec.group(), l); err != nil {
			return fmt.Errorf("limiting %s: %w", p.Node, err)
		}
	}
	p.Limits = l
	if err := writeJSON(n.processFile(n.name), p); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.process = p
	return nil
}

// setLimits writes limits into a container's control groups below root, of either version. The runtimes' own
// "update" won't do: that of crun 1.8.1 can't take a limit of CPU time or of processes back, since it writes
// what stands for none as a number, which the kernel refuses.
func setLimits(root, id string, l kernel.Limits) error {
	if group := filepath.Join(root, id); exists(group) {
		return setUnified(group, l)
	}
	in := func(controller, file string) string { return filepath.Join(root, controller, id, file) }
	memory, both := in("memory", "memory.limit_in_bytes"), in("memory", "memory.memsw.limit_in_bytes")
	most, swap := orElse(l.Memory, "-1"), orElse(2*l.Memory, "-1")
	// Memory alone is never above memory and swap: on the way up it is refused (EINVAL) until the other has been
	// raised, and on the way down the other is refused until it has been lowered.
	_ = writeGroup(memory, most)
	err := writeGroup(both, swap)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // this host counts no swap
	}
	err = errors.Join(err, writeLimit(memory, most, l.Memory))
	quota := orElse(l.NanoCPUs*cpuPeriod/1e9, "-1")
	return errors.Join(err,
		writeLimit(in("cpu", "cpu.cfs_quota_us"), quota, l.NanoCPUs),
		writeLimit(in("pids", "pids.max"), orElse(l.Pids, "max"), l.Pids))
}

// setUnified writes limits into a control group of the second version.
func setUnified(group string, l kernel.Limits) error {
	in := func(file string) string { return filepath.Join(group, file) }
	if l.Memory != 0 {
		// The first version refuses a limit below what can't be given up; this one would kill at once.
		used, err := groupNumber(group, "memory.current", "")
		cache, err2 := groupNumber(group, "memory.stat", "file")
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		if used-cache > l.Memory {
			return fmt.Errorf("memory to %d bytes, when %d are in use: %w", l.Memory, used-cache, unix.EBUSY)
		}
	}
	err := writeLimit(in("memory.max"), orElse(l.Memory, "max"), l.Memory)
	// As much swap as memory; a host that counts none has no such file.
	if serr := writeGroup(in("memory.swap.max"), orElse(l.Memory, "max")); !errors.Is(serr, fs.ErrNotExist) {
		err = errors.Join(err, serr)
	}
	quota := orElse(l.NanoCPUs*cpuPeriod/1e9, "max") + " " + strconv.Itoa(cpuPeriod)
	return errors.Join(err,
		writeLimit(in("cpu.max"), quota, l.NanoCPUs),
		writeLimit(in("pids.max"), orElse(l.Pids, "max"), l.Pids))
}

// writeLimit writes a limit; where there is to be none, the file need not be there.
func writeLimit(path, text string, limit int64) error {
	err := writeGroup(path, text)
	if limit == 0 && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// writeGroup writes a file of a control group, which is never made: one that is missing is an error.
func writeGroup(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func orElse(n int64, none string) string {
	if n == 0 {
		return none
	}
	return strconv.FormatInt(n, 10)
}
