package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// cgroupDir is where control groups are mounted.
const cgroupDir = "/sys/fs/cgroup"

// hasCgroups reports whether this host has control groups, of either version. It is asked once.
var hasCgroups = sync.OnceValue(func() bool {
	mounts, err := readMounts("self")
	return err == nil && slices.ContainsFunc(mounts, func(m mountPoint) bool {
		return (m.fstype == "cgroup" || m.fstype == "cgroup2") && within(m.path, cgroupDir)
	})
})

// leaveHybrid hides the second version's hierarchy of a hybrid host in the calling thread's mount
// namespace: crun 1.8.1 refuses to make a container when that has any controller, even with
// --cgroup-manager=disabled. What it does to a container later works without this. Where the hierarchy was, crun makes a folder:
// in an empty file system that goes with the mount namespace, not in the one that the host has below.
func leaveHybrid() error {
	const unified = cgroupDir + "/unified"
	var fs unix.Statfs_t
	if err := unix.Statfs(unified, &fs); err != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return nil
	}
	// On a host of the second version alone, that is a group which somebody named so.
	if err := unix.Statfs(cgroupDir, &fs); err != nil || fs.Type == unix.CGROUP2_SUPER_MAGIC {
		return nil
	}
	if err := unix.Unmount(unified, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmounting %s: %w", unified, err)
	}
	if err := unix.Mount("tmpfs", unified, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0755"); err != nil {
		return fmt.Errorf("hiding %s: %w", unified, err)
	}
	return nil
}

// removeGroups removes a container's control groups, of all hierarchies, with the processes in them; mostly the
// runtime has done so.
func removeGroups(id string) error {
	groups, err := groupsOf(id)
	if err != nil {
		return err
	}
	for _, group := range groups {
		if err := removeGroup(group); err != nil {
			return fmt.Errorf("removing control group %s: %w", group, err)
		}
	}
	return nil
}

// groupsOf lists a container's control groups, on hosts of either version and of both; an asterisk stands for any letters.
func groupsOf(id string) ([]string, error) {
	below, err := filepath.Glob(filepath.Join(cgroupDir, "*", id))
	if err != nil {
		return nil, err
	}
	top, err := filepath.Glob(filepath.Join(cgroupDir, id))
	return append(below, top...), err
}

// groupPIDs lists the processes in a control group; those that are in no PID namespace of this one's are left out.
func groupPIDs(group string) []int {
	data, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
	if err != nil {
		return nil
	}
	var pids []int
	for _, word := range strings.Fields(string(data)) {
		if pid, err := strconv.Atoi(word); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// oomKilled reports whether the kernel has killed something of a container for want of memory: the count oom_kill, in
// memory.events of the second version and in memory.oom_control of the first (from Linux 4.13 on).
func oomKilled(id string) bool {
	groups, err := groupsOf(id)
	if err != nil {
		return false
	}
	for _, group := range groups {
		for _, file := range []string{"memory.events", "memory.oom_control"} {
			data, err := os.ReadFile(filepath.Join(group, file))
			if err != nil {
				continue
			}
			for line := range strings.Lines(string(data)) {
				if count, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok && count != "0" {
					return true
				}
			}
		}
	}
	return false
}

func removeGroup(group string) error {
	const limit, pause = 5 * time.Second, time.Millisecond // for processes to end, which rmdir(2) doesn't wait for
	for end := time.Now().Add(limit); ; time.Sleep(pause) {
		err := os.Remove(group)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if time.Now().After(end) {
			return err
		}
		for _, pid := range groupPIDs(group) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// cgroupOf is the control group of a process, below each hierarchy: on a host of the first version, or of both, where its
// memory is counted.
func cgroupOf(pid int) (string, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return "", err
	}
	var unified string
	for line := range strings.Lines(string(data)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3) // ID:CONTROLLERS:PATH, cgroups(7)
		switch {
		case len(parts) != 3:
		case slices.Contains(strings.Split(parts[1], ","), kernel.MemoryController):
			return parts[2], nil
		case parts[0] == "0":
			unified = parts[2]
		}
	}
	return unified, nil
}
