package kernel

// A Need is something that a topology can need of a machine, and that not every machine has.
type Need string

// The needs. Options of the kernel's build are told of by Snapshot.Lacking.
const (
	NeedRun       Need = "/run/topo"          // can be written: locks, records, the processes' state
	NeedNetnsDir  Need = "/run/netns"         // can be written: names of namespaces
	NeedEtc       Need = "/etc/netns"         // can be written: hosts files
	NeedData      Need = "/var/lib/topo"      // can be written: images, volumes, keys, logs
	NeedSysctls   Need = "/proc/sys/net"      // can be written: forwarding, router advertisements, a node's sysctls
	NeedCgroups   Need = "/sys/fs/cgroup"     // can be written, where control groups are mounted: containers
	NeedOverlay   Need = "overlay"            // the file system: containers' roots
	NeedIPv6      Need = "IPv6"               // in the kernel, and not switched off for all namespaces
	NeedHostIPv6  Need = "IPv6 of the host's" // not switched off in the host's namespace
	NeedRuntime   Need = "OCI runtime"        // crun or runc, or the one that the file states
	NeedIptables  Need = "iptables"           // the programs, of IPv4
	NeedIP6tables Need = "ip6tables"          // the programs, of IPv6
)

// Needs are all of them.
var Needs = []Need{
	NeedRun, NeedNetnsDir, NeedEtc, NeedData, NeedSysctls, NeedCgroups, NeedOverlay, NeedIPv6, NeedHostIPv6, NeedRuntime, NeedIptables, NeedIP6tables,
}

// NeedRules is the programs that rules of a family are made with.
func NeedRules(f Family) Need {
	if f == IPv6 {
		return NeedIP6tables
	}
	return NeedIptables
}

// NeedRuntimeOf is an OCI runtime by the name or path that the file states, "" for topo's own choice.
func NeedRuntimeOf(name string) Need {
	if name == "" {
		return NeedRuntime
	}
	return NeedRuntime + " " + Need(name)
}
