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

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// Confinement reads what containers can be held to here, and what they can be given. Limits are
// inherited: those of the supervisor count, where one runs.
func Confinement(s kernel.Supervisor) (*kernel.Confinement, error) {
	controllers, err := readControllers()
	if err != nil {
		return nil, err
	}
	limits, err := hardLimits(s.PID)
	if err != nil {
		return nil, err
	}
	return &kernel.Confinement{
		Controllers: controllers, Capabilities: boundingSet(), HardLimits: limits, NoUserns: userNamespaces(),
	}, nil
}

// readControllers lists those that a container's control group can have. On a hybrid host they are those of the first
// version's hierarchies: runc uses no other there, and crun 1.8.1 none of the second's at all (leaveHybrid).
func readControllers() ([]string, error) {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	if list := firstVersion(string(info)); len(list) > 0 {
		return list, nil
	}
	words, err := os.ReadFile(filepath.Join(cgroupDir, "cgroup.controllers"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	list := strings.Fields(string(words))
	slices.Sort(list)
	return list, nil
}

// firstVersion lists the controllers that mountinfo has hierarchies of the first version of, cgroups(7). Those are in
// the options of the file system: "… - cgroup cgroup rw,cpu,cpuacct".
func firstVersion(mountinfo string) []string {
	var list []string
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(line, " - ")
		at, fields := strings.Fields(before), strings.Fields(after)
		if len(at) < 5 || len(fields) < 3 || fields[0] != "cgroup" || !within(unescape(at[4]), cgroupDir) {
			continue
		}
		// Among them are "rw", "name=systemd", "xattr" and the like, which no limit needs.
		list = append(list, strings.Split(fields[2], ",")...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// rlimits are the kernel's numbers by Compose's names.
var rlimits = map[string]int{
	"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA, "fsize": unix.RLIMIT_FSIZE,
	"locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK, "msgqueue": unix.RLIMIT_MSGQUEUE, "nice": unix.RLIMIT_NICE,
	"nofile": unix.RLIMIT_NOFILE, "nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS, "rtprio": unix.RLIMIT_RTPRIO,
	"rttime": unix.RLIMIT_RTTIME, "sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
}

// hardLimits are how far hard limits can be raised by a child of process pid (0: this one), by name. With
// CAP_SYS_RESOURCE that is only bounded for nofile, by fs.nr_open; without it, which root may lack in a container
// of its own, no hard limit can be raised at all.
func hardLimits(pid int) (map[string]int64, error) {
	list := map[string]int64{}
	if slices.Contains(boundingSet(), "CAP_SYS_RESOURCE") {
		text, err := os.ReadFile("/proc/sys/fs/nr_open")
		if err != nil {
			return nil, err
		}
		list["nofile"], err = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		return list, err
	}
	for name, number := range rlimits {
		var now unix.Rlimit
		err := unix.Prlimit(pid, number, nil, &now)
		if errors.Is(err, unix.ESRCH) {
			err = unix.Prlimit(0, number, nil, &now) // that supervisor has ended: the next one is this process's child
		}
		if err != nil {
			return nil, fmt.Errorf("reading the limit %s of process %d: %w", name, pid, err)
		}
		list[name] = int64(now.Max) // RLIM_INFINITY is -1
	}
	return list, nil
}

// ociRlimits are ulimits in the words of the OCI: -1 is RLIM_INFINITY, all ones.
func ociRlimits(list []kernel.Ulimit) []specs.POSIXRlimit {
	var out []specs.POSIXRlimit
	for _, u := range list {
		out = append(out, specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(u.Name), Soft: uint64(u.Soft), Hard: uint64(u.Hard)})
	}
	return out
}

// cpuPeriod is what quotas of CPU time are a part of, in microseconds: the kernel's default, and Docker's.
const cpuPeriod = 100_000

// resources are limits in the words of the OCI; where there is none, nothing is said of it.
//
// As with Docker, a container may have as much swap again as it has memory, where the host counts swap.
func resources(l kernel.Limits) *specs.LinuxResources {
	r := &specs.LinuxResources{}
	if l.Memory != 0 {
		r.Memory = &specs.LinuxMemory{Limit: &l.Memory}
		if swap := 2 * l.Memory; countsSwap() {
			r.Memory.Swap = &swap
		}
	}
	if l.NanoCPUs != 0 {
		quota, period := l.NanoCPUs*cpuPeriod/1e9, uint64(cpuPeriod)
		r.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period}
	}
	if l.Pids != 0 {
		r.Pids = &specs.LinuxPids{Limit: &l.Pids}
	}
	return r
}

// countsSwap reports whether control groups can limit swap (CONFIG_SWAP; on the first version also swapaccount=1).
func countsSwap() bool {
	if _, err := os.Stat(cgroupDir + "/memory/memory.memsw.limit_in_bytes"); err == nil {
		return true
	}
	// The root group has no memory.swap.max; any other has, where the kernel can do it.
	swaps, err := filepath.Glob(cgroupDir + "/*/memory.swap.max")
	return err == nil && len(swaps) > 0
}
