package kernel

import (
	"fmt"
	"strconv"

	"github.com/docker/go-units"
)

// Limits are what the processes of a container have together, by a control group; 0 is no limit. They can be
// changed while it runs.
type Limits struct {
	Memory   int64 `json:"memory,omitempty"`    // bytes
	NanoCPUs int64 `json:"nano_cpus,omitempty"` // billionths of a CPU
	Pids     int64 `json:"pids,omitempty"`      // processes and threads
}

// String is the limits as a file has them: "mem_limit 64MiB, cpus 0.5, pids_limit 100".
func (l Limits) String() string {
	return fmt.Sprintf("mem_limit %s, cpus %s, pids_limit %s", orNone(l.MemoryText()), orNone(l.CPUText()), orNone(l.PidsText()))
}

// MemoryText is the limit of memory as Docker writes one, "64MiB", and exact; "" for none.
func (l Limits) MemoryText() string {
	if l.Memory == 0 {
		return ""
	}
	text := units.BytesSize(float64(l.Memory))
	if n, err := units.RAMInBytes(text); err != nil || n != l.Memory {
		return strconv.FormatInt(l.Memory, 10)
	}
	return text
}

// CPUText is the number of CPUs, "0.5"; "" for no limit.
func (l Limits) CPUText() string {
	if l.NanoCPUs == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(l.NanoCPUs)/1e9, 'f', -1, 64)
}

// PidsText is the number of processes; "" for no limit.
func (l Limits) PidsText() string {
	if l.Pids == 0 {
		return ""
	}
	return strconv.FormatInt(l.Pids, 10)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// Controllers are those of control groups (cgroups(7)) that limits need.
const (
	MemoryController = "memory"
	CPUController    = "cpu"
	PidsController   = "pids"
)

// Ulimit is a limit of each process, getrlimit(2); -1 is none.
type Ulimit struct {
	Name string `json:"name"` // "nofile"
	Soft int64  `json:"soft"`
	Hard int64  `json:"hard"`
}

// Tmpfs is a file system in memory.
type Tmpfs struct {
	Target  string   `json:"target"`            // absolute, in the node
	Options []string `json:"options,omitempty"` // tmpfs(5): "size=64m"…
}

// Confinement is what containers can be held to on a host, and what they can be given there.
type Confinement struct {
	// Controllers that a container's control group can have, of either version; sorted.
	Controllers []string
	// Capabilities that this process and its children can have ("CAP_CHOWN"); by number.
	Capabilities []string
	// HardLimits are how far the hard limits of processes can be raised, by the name of the ulimit; those
	// that are not here can be what they like.
	HardLimits map[string]int64
	// NoUserns says why no container can have a user namespace of its own; "" where one can.
	NoUserns string
}
