package kernel

import (
	"fmt"
	"net/netip"
	"time"
)

// An Op is one edit of a host. The set is closed: internal/linux carries out
// those of the network, internal/container those of processes. An Op prints as
// the ip(8), bridge(8), tc(8), wg(8), iptables(8) or sysctl(8) line that does the same.
//
// Each is idempotent in this sense only: deleting what is absent succeeds, making
// what exists fails with EEXIST.
type Op interface {
	fmt.Stringer
	op()
}

// OpError is the failure of one edit, in the kernel's words.
type OpError struct {
	Op  Op
	Err error
}

func (e *OpError) Error() string { return e.Op.String() + ": " + e.Err.Error() }
func (e *OpError) Unwrap() error { return e.Err }

type (
	// NetnsAdd makes a network namespace: a new one, whose new interfaces hear no router advertisements, lo marked with Alias and
	// Group and set up, then bound to /run/netns/NAME, in this order, so that it is never visible unmarked.
	NetnsAdd struct {
		Name  string
		Alias string
		Group uint32
	}
	// NetnsDelete unmounts and removes /run/netns/NAME. The kernel takes down what is inside
	// when the last process has left it, and after this op returned.
	NetnsDelete struct{ Name string }

	// BridgeAdd makes a bridge, down. It hears no router advertisements: else a node could make itself the host's router
	// (CVE-2020-13401). Zero values leave the kernel's default.
	BridgeAdd struct {
		Name         string
		MAC          string
		MTU          int
		Group        uint32
		STP          bool
		ForwardDelay time.Duration
		Netns        string // "" = the host's own
	}
	// VethAdd makes both ends of a veth, each in its namespace at once, in one message.
	VethAdd struct{ A, B VethEnd }
	// LinkSet changes attributes of a link, in one message; nil leaves one alone.
	// Master is a bridge, a bond or a VRF of its namespace; "" detaches it from what it is a port or a member of.
	LinkSet struct {
		Netns  string
		Name   string
		MTU    *int
		MAC    *string
		Up     *bool
		Master *string
		Group  *uint32
		Alias  *string
	}
	// LinkDelete removes a link (of a veth: both ends).
	LinkDelete struct{ Netns, Name string }
	// GroupDelete removes all links of a group in the host's namespace in one message. Names are
	// those that the plan saw in it: where others have joined since, it fails and deletes nothing.
	GroupDelete struct {
		Group uint32
		Names []string
	}

	// AddrAdd adds an address. IPv6 ones skip duplicate address detection (nodad).
	AddrAdd struct {
		Netns  string
		Link   string
		Prefix netip.Prefix
	}
	// AddrDelete removes an address.
	AddrDelete struct {
		Netns  string
		Link   string
		Prefix netip.Prefix
	}
	// RouteReplace makes or replaces the route with its destination, metric and table.
	// Via is invalid for one directly on the link. Its protocol is [Protocol].
	RouteReplace struct {
		Netns  string
		Dst    netip.Prefix
		Via    netip.Addr
		Link   string
		Metric int
		Table  int
		// Type is "" for a unicast route, or one that leads nowhere: see [RejectTypes].
		Type string
		RouteMore
	}
	// RouteDelete removes a route. Without Via and Link: with all its ways. Metric 0 is that of a route without one.
	RouteDelete struct {
		Netns  string
		Dst    netip.Prefix
		Via    netip.Addr
		Link   string
		Metric int
		Table  int
	}

	// SysctlSet writes a kernel parameter. With Record, the value from before is kept (once,
	// durably, before the write), for SysctlRestore.
	SysctlSet struct {
		SysctlKey
		Value   string
		Project string
		Record  bool
	}
	// SysctlRestore writes back the recorded value and forgets the record.
	SysctlRestore struct {
		SysctlKey
		Project string
	}
	// ForwardingOn makes the host forward packets of a family, after recording what that
	// changes (each interface's forwarding; IPv4: accept_redirects, too).
	ForwardingOn struct{ Family Family }
	// ForwardingRestore puts all of that back.
	ForwardingRestore struct{ Family Family }

	// Iptables is one line of iptables(8): a rule or chain added or removed. Ops that stand in a
	// row and share Family and Table are one iptables-restore transaction.
	Iptables struct {
		Family Family
		Table  string
		Args   string // "-A TOPO-USER -j RETURN", quoted as iptables-save does
	}

	// FileWrite writes a file, made whole and renamed into place when new, in place otherwise
	// (processes have the inode bound over their own). Missing folders are made.
	FileWrite struct {
		Path    string
		Content Text
	}
	// FileDelete removes a file, and its folder when that is empty then.
	FileDelete struct{ Path string }

	// SupervisorStart starts a project's supervisor.
	SupervisorStart struct{ Project string }
	// SupervisorStop ends it; processes are stopped before.
	SupervisorStop struct{ Project string }
	// ProcessStart starts a process; it returns once that runs (or could not be started).
	ProcessStart struct{ Process Process }
	// ProcessStop stops it: its stop signal, the grace period, SIGKILL; then forgets it.
	ProcessStop struct{ Project, Node string }
	// ProcessUpdate changes the limits of a container that runs. One that has ended has them when it is started again.
	ProcessUpdate struct {
		Project, Node string
		Limits        Limits
	}
	// ProcessHalt ends a process as a person's stop does: its stop signal, a grace period, SIGKILL. It is remembered,
	// and not started again by its policy. One that has ended stays as it is.
	ProcessHalt struct {
		Project, Node string
		Grace         time.Duration // negative = the process's own
	}
	// ProcessResume starts a process that has ended once more, with what it wrote and printed; one that runs is let be.
	ProcessResume struct{ Project, Node string }
	// ProcessSignal sends a signal ("SIGHUP", "1") to a process that runs; one that does not is let be. SIGKILL, and its
	// own stop signal, are a person's stop: see ProcessHalt.
	ProcessSignal struct{ Project, Node, Signal string }
	// ProcessAdjust changes what a running process need not notice: see [Process.Adjusted].
	ProcessAdjust struct{ Process Process }
	// ProcessWait waits until a node's process meets a condition, and fails when it no longer can.
	ProcessWait struct {
		Project, Node string
		Condition     Condition
		// Optional: that it no longer can be met is no failure (depends_on with required: false).
		Optional bool
	}

	// ImagePull fetches what a reference names into the store: with a Digest that image and no other, else what it names
	// now. Of an image for many platforms it is that for one, "" is the machine's.
	ImagePull struct{ Reference, Digest, Platform string }
	// VolumeCreate makes a volume, empty, with all that says whose it is: without a Project it is external to all. EEXIST
	// where anything has the name.
	VolumeCreate struct {
		Name, Project string
		Labels        map[string]string
		// Node and Target are those of a volume that a node has for itself.
		Node, Target string
	}
	// VolumeSet gives a volume of the project other labels.
	VolumeSet struct {
		Name, Project string
		Labels        map[string]string
	}
	// VolumeDelete removes a volume of the project, or without one an external volume, with all that is in it. EBUSY while a
	// process has it mounted.
	VolumeDelete struct{ Name, Project string }
)

// VethEnd is one end of a veth as it is made.
type VethEnd struct {
	Netns  string // "" = the host's own
	Name   string
	MAC    string // "" = the kernel's choice
	MTU    int    // bytes; 0 = the kernel's default, 1500
	Group  uint32
	Up     bool
	Master string // bridge, in the end's own namespace
	Alias  string // written in a message of its own: RTM_NEWLINK ignores IFLA_IFALIAS on creation
}

func (NetnsAdd) op()          {}
func (NetnsDelete) op()       {}
func (BridgeAdd) op()         {}
func (VethAdd) op()           {}
func (LinkSet) op()           {}
func (LinkDelete) op()        {}
func (GroupDelete) op()       {}
func (AddrAdd) op()           {}
func (AddrDelete) op()        {}
func (RouteReplace) op()      {}
func (RouteDelete) op()       {}
func (SysctlSet) op()         {}
func (SysctlRestore) op()     {}
func (ForwardingOn) op()      {}
func (ForwardingRestore) op() {}
func (Iptables) op()          {}
func (FileWrite) op()         {}
func (FileDelete) op()        {}
func (SupervisorStart) op()   {}
func (SupervisorStop) op()    {}
func (ProcessStart) op()      {}
func (ProcessStop) op()       {}
func (ProcessUpdate) op()     {}
func (ProcessWait) op()       {}
func (ImagePull) op()         {}
func (VolumeCreate) op()      {}
func (VolumeSet) op()         {}
func (VolumeDelete) op()      {}
func (ProcessHalt) op()       {}
func (ProcessResume) op()     {}
func (ProcessSignal) op()     {}
func (ProcessAdjust) op()     {}
