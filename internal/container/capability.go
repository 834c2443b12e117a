package container

import (
	"os"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"topo/internal/kernel"
)

// dockerCapabilities are those that Docker leaves to root in a container (moby, oci/caps/defaults.go).
var dockerCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// capabilityNames are all of them, at their numbers (linux/capability.h).
var capabilityNames = strings.Fields(`
	CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID
	CAP_SETPCAP CAP_LINUX_IMMUTABLE CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_ADMIN CAP_NET_RAW CAP_IPC_LOCK CAP_IPC_OWNER
	CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_SYS_PACCT CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE
	CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_MKNOD CAP_LEASE CAP_AUDIT_WRITE CAP_AUDIT_CONTROL CAP_SETFCAP
	CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_AUDIT_READ CAP_PERFMON CAP_BPF CAP_CHECKPOINT_RESTORE`)

// capabilities are those of a container, as far as this process has them itself: a runtime
// can't give what it lacks. A program that doesn't run as root gets them as a limit only, as with Docker.
func capabilities(p kernel.Process, uid uint32) *specs.LinuxCapabilities {
	own := boundingSet()
	want := wantedCapabilities(p)
	want = slices.DeleteFunc(slices.Clone(want), func(c string) bool { return !slices.Contains(own, c) })
	if uid != 0 {
		return &specs.LinuxCapabilities{Bounding: want}
	}
	return &specs.LinuxCapabilities{Bounding: want, Effective: want, Permitted: want}
}

// wantedCapabilities are Docker's, changed as Docker does (moby, oci/caps/utils.go): a privileged container has all,
// whatever is dropped; cap_add ALL gives all but what is dropped; cap_drop ALL leaves what is added; and what is both
// dropped and added is there.
func wantedCapabilities(p kernel.Process) []string {
	without := func(list []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(c string) bool { return slices.Contains(p.CapDrop, c) })
	}
	switch {
	case p.Privileged:
		return capabilityNames
	case slices.Contains(p.CapAdd, "ALL"):
		return without(capabilityNames)
	case slices.Contains(p.CapDrop, "ALL"):
		return p.CapAdd
	}
	list := without(dockerCapabilities)
	for _, c := range p.CapAdd {
		if !slices.Contains(list, c) {
			list = append(list, c)
		}
	}
	return list
}

// boundingSet reads CapBnd of this process, proc_pid_status(5).
func boundingSet() []string {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return capabilityNames
	}
	_, after, _ := strings.Cut(string(status), "CapBnd:")
	word, _, _ := strings.Cut(after, "\n")
	mask, err := strconv.ParseUint(strings.TrimSpace(word), 16, 64)
	if err != nil {
		return capabilityNames
	}
	var names []string
	for i, name := range capabilityNames {
		if mask&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}
