package main

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/planner"
)

// unwritable reports whether a file could not be written for what the machine is, and not for what happened.
func unwritable(err error) bool {
	return errors.Is(err, unix.EROFS) || errors.Is(err, fs.ErrPermission)
}

// noLock is why nothing can be done where no lock can be taken: as a plan says it, with the places in the file, if one does.
func noLock(lock error, plan func() error) error {
	if !unwritable(lock) {
		return lock
	}
	if err := plan(); err != nil {
		return err
	}
	return lock
}

// ways are what a person can do about what a machine is short of.
var ways = map[kernel.Need]string{
	kernel.NeedRun:       "Have /run writable: sudo mount -o remount,rw /run, or sudo mount -t tmpfs tmpfs /run/topo",
	kernel.NeedNetnsDir:  "Have /run writable: sudo mount -o remount,rw /run",
	kernel.NeedEtc:       "Have /etc/netns writable: sudo mount -o remount,rw /, or sudo mount -t tmpfs tmpfs /etc/netns",
	kernel.NeedData:      "Have /var/lib/topo writable: sudo mount -o remount,rw /var, or mount a disk there",
	kernel.NeedSysctls:   "Have /proc/sys writable: sudo mount -o remount,rw /proc/sys; in a container, run that one with --privileged",
	kernel.NeedCgroups:   "Have control groups writable: sudo mount -o remount,rw /sys/fs/cgroup; in a container, run that one with --privileged",
	kernel.NeedOverlay:   "Load it: sudo modprobe overlay; or run a kernel with CONFIG_OVERLAY_FS. Nodes of namespaces: need none.",
	kernel.NeedIPv6:      "Boot without ipv6.disable=1 (see /proc/cmdline), or take the IPv6 addresses and subnets out of the file.",
	kernel.NeedHostIPv6:  "Switch it on: sudo sysctl -w net.ipv6.conf.default.disable_ipv6=0 net.ipv6.conf.all.disable_ipv6=0",
	kernel.NeedRuntime:   "Install an OCI runtime: sudo apt-get install crun",
	kernel.NeedIptables:  "Install iptables: sudo apt-get install iptables",
	kernel.NeedIP6tables: "Install ip6tables, which comes with iptables: sudo apt-get install iptables",
}

func shortHints(e *planner.ShortError) []string {
	hints := []string{"Nothing was changed."}
	for _, need := range e.Needs {
		hint := ways[need]
		if name, ok := strings.CutPrefix(string(need), string(kernel.NeedRuntime)+" "); ok {
			hint = "Install " + name + ", or take runtime: out of the file."
		}
		if need == kernel.NeedIptables && !absent("iptables-save") || need == kernel.NeedIP6tables && !absent("ip6tables-save") {
			hint = "Have the kernel load its modules: sudo modprobe nf_tables; or choose the other kind: sudo update-alternatives --config " + string(need)
		}
		if !slices.Contains(hints, hint) {
			hints = append(hints, hint)
		}
	}
	return hints
}
