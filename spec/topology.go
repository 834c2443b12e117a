package spec

import (
	"net/netip"
	"time"
)

// Topology is a file that was read, checked and completed: every default that
// does not depend on the machine is filled in. What the file leaves to
// allocation (subnets, addresses) is left out here and chosen by the planner.
type Topology struct {
	Name   string
	Prefix string
	Dir    string // folder that relative paths start from; absolute

	Bridges []Bridge // in the file's order
	Nodes   []Node   // in the file's order, namespaces before containers
	Links   []Link   // in the file's order

	// Warnings are what a person should hear of though it is no mistake: variables of ${…} that are not set, MTUs that don't fit, too
	// many routers in a row.
	Warnings Errors

	// Volumes are those of the file, in its order, then the nodes' own in theirs.
	Volumes []Volume
	// Scaled are the entries of the file with a scale, whatever it is, that are there.
	Scaled []string
	// Inactive are the nodes of the file that are left out, as none of their profiles is active.
	Inactive []Inactive
	// Interfaces are those of other kinds than veth, in the order of their nodes.
	Interfaces []Interface `json:",omitempty"`
}

// Inactive is a node none of whose profiles is active.
type Inactive struct {
	Name string
	// Scaled: it is NAME-1, NAME-2…
	Scaled bool
}

// Pos is a place in a file. The zero Pos is none.
type Pos struct {
	File         string
	Line, Column int // from 1
}

// Bridge is a Linux bridge in the host's namespace, or in a node's.
type Bridge struct {
	Pos        Pos
	Name       string // in the file
	Interface  string // kernel name, at most 15 bytes
	External   bool   // made by somebody else: only ports are added
	Plain      bool   // subnet: none
	Subnets    []Subnet
	Masquerade bool
	Internal   bool
	ICC        bool
	Names      bool
	MTU        int    // bytes; 1500 when not stated
	MAC        string // "" = derived from project and name
	STP        bool
	// ForwardDelay is 15 s when not stated, the kernel's default.
	ForwardDelay time.Duration

	VLANFiltering bool `json:",omitempty"`
	// VLANs are those of the bridge itself; nil: what a new bridge has.
	VLANs *VLANs `json:",omitempty"`
	// What follows has the kernel's defaults when not stated.
	Priority   int
	HelloTime  time.Duration
	MaxAge     time.Duration
	AgeingTime time.Duration
	// McastSnooping is nil when not stated: on, where the kernel has it.
	McastSnooping *bool `json:",omitempty"`
	// Node is the node in whose namespace, Netns, the bridge is; "" = the host's own.
	Node  string `json:",omitempty"`
	Netns string `json:",omitempty"`
	// Uplinks are interfaces of the host's that are ports of the bridge.
	Uplinks []Uplink `json:",omitempty"`
}

// Subnet is a range of addresses on a bridge. A bridge whose subnet is left to allocation
// has one with an invalid Prefix.
type Subnet struct {
	Pos     Pos
	Prefix  netip.Prefix // masked
	Gateway netip.Addr   // the bridge's own address; invalid: gateway: none (or not yet allocated)
	// NoGateway is gateway: none.
	NoGateway bool
}

// Node is a network namespace with what runs in it.
type Node struct {
	Pos       Pos
	Name      string
	Container bool
	// Netns is the name under /run/netns; "" for network_mode host. For node:NAME it is that node's.
	Netns string
	// Network says where the node's namespace comes from.
	Network NetworkMode
	// Shares is the node whose namespace is used, for NetworkNode.
	Shares string

	Attachments []Attachment
	Ports       []Port
	OneWay      []OneWayLink
	Routes      []Route
	Sysctls     []Sysctl // sorted by key
	ExtraHosts  []HostEntry
	DNS         []netip.Addr
	DNSSearch   []string
	Hostname    string // what the node calls itself: hostname, or its name; "" leaves the host's, with NetworkHost

	// Process is what runs in the node; nil when nothing does.
	Process   *Process
	DependsOn []Dependency
	Labels    map[string]string
	// Of is the entry of the file with a scale that the node is one of; "" = the node is an entry itself.
	Of string
	// Rules are the routing policy, besides the kernel's own, by priority.
	Rules []PolicyRule `json:",omitempty"`
}

// PolicyRule says which packets look in which routing table.
type PolicyRule struct {
	Pos      Pos
	IPv6     bool
	Priority int
	From, To netip.Prefix `json:",omitzero"` // masked; invalid: any
	In, Out  string       `json:",omitempty"`
	Mark     uint32       `json:",omitempty"`
	Mask     uint32       `json:",omitempty"` // 0: the mark doesn't matter
	Table    int          `json:",omitempty"`
	Type     string       `json:",omitempty"` // "" = looks in Table; "blackhole", "unreachable", "prohibit"
}

// NetworkMode is where a node's network namespace comes from.
type NetworkMode string

// The network modes. NetworkOwn is any node with bridges or links, or none stated.
const (
	NetworkOwn  NetworkMode = ""
	NetworkNone NetworkMode = "none" // its own, with nothing but lo
	NetworkHost NetworkMode = "host" // the host's
	NetworkNode NetworkMode = "node" // another node's
)

// Attachment joins a node to a bridge, by a veth.
type Attachment struct {
	Pos           Pos
	Bridge        string         // name in the file
	Interface     string         // in the node: eth0, eth1…, in order
	HostInterface string         // the host's end; derived from project, node and interface when not stated
	Addresses     []netip.Prefix // stated ones, with the subnet's length unless stated; none: one of each subnet is allocated
	MAC           string         // "" = derived
	MTU           int            // the bridge's when not stated
	Aliases       []string
	DefaultRoute  bool // gets the default route(s), by its bridge's gateway
	// Impair is what becomes of what the node sends; nil: nothing.
	Impair *Impair `json:",omitempty"`
	// VLANs are those of the bridge's port; nil: what a new one has.
	VLANs *VLANs `json:",omitempty"`
	// Port is how the bridge treats its port; nil: nothing is said.
	Port *BridgePort `json:",omitempty"`
	// AcceptRA: addresses and routes are taken from router advertisements.
	AcceptRA bool `json:",omitempty"`
}

// Port is one published port.
type Port struct {
	Pos      Pos
	HostIP   netip.Addr // invalid: all addresses, of the families that the node has
	HostPort uint16     // with network_mode host, the port that is listened on; derived where the file states none
	NodePort uint16
	Protocol string // "tcp", "udp", "sctp"
}

// OneWayLink is a name that only this node learns (docker run --link).
type OneWayLink struct {
	Pos   Pos
	Node  string
	Alias string
}

// HostEntry is a line of a hosts file.
type HostEntry struct {
	Name string
	Addr netip.Addr // invalid: "host-gateway", the gateway of the node's first bridge
}

// Route is a stated route of a node.
type Route struct {
	Pos       Pos
	Dst       netip.Prefix // masked; /0 for the default
	Via       netip.Addr   // invalid: directly on the interface
	Interface string       // "" = that which reaches Via
	Metric    int
	Table     int // 254 (main) when not stated
	// Type is "", or one that leads nowhere: "blackhole", "unreachable", "prohibit" or "throw".
	Type string     `json:",omitempty"`
	Src  netip.Addr `json:",omitzero"` // that the node's packets come from; invalid: the kernel chooses
	MTU  int        `json:",omitempty"`
	// OnLink: the next hop is taken to be on the interface, whatever the addresses say.
	OnLink bool `json:",omitempty"`
	// NextHops are those of a route that has several; Via and Interface are not set then.
	NextHops []NextHop `json:",omitempty"`
}

// NextHop is one of several that a route has.
type NextHop struct {
	Pos       Pos
	Via       netip.Addr // invalid: directly on the interface
	Interface string     // "" = that which reaches Via
	Weight    int        // 1 to 256, 1 when not stated
}

// Sysctl is a kernel parameter of a node's namespace.
type Sysctl struct {
	Pos   Pos
	Key   string // "net.ipv4.ip_forward"
	Value string
}

// Dependency is one entry of depends_on.
type Dependency struct {
	Pos       Pos
	Node      string
	Condition Condition
	Required  bool
	// Restart: this node's process is restarted when the one that it depends on is replaced.
	Restart bool
}

// Condition is what a dependent waits for (compose-spec, depends_on).
type Condition string

// The conditions of depends_on.
const (
	Started   Condition = "service_started"
	IsHealthy Condition = "service_healthy"
	Completed Condition = "service_completed_successfully"
)

// Process is a program to be run in a node.
type Process struct {
	Pos         Pos
	Argv        []string // entrypoint and command
	Env         []string // KEY=VALUE, sorted by key; env_file first, environment over it
	Dir         string   // "" = /
	User        string   // "", NAME, UID, USER:GROUP
	Mounts      []Mount
	StopSignal  string        // "SIGTERM" when not stated
	StopGrace   time.Duration // 10 s when not stated
	Init        bool
	ReadOnly    bool
	Privileged  bool
	SecurityOpt []string
	Health      *Healthcheck // nil: none, or disabled
	Restart     Restart
	Log         LogLimits
	// Rootfs is the folder, absolute, that the root is a copy-on-write view of; "" = the host's root.
	Rootfs  string
	RootPos Pos // of what says what the root is
	// Image is a registry's reference, "oci:DIR[:TAG]" or "docker-archive:FILE", absolute; "" = none.
	Image      string
	PullPolicy PullPolicy
	// What is left to the image: its entrypoint and command stand before Argv, its health check holds.
	ImageEntrypoint bool
	ImageCommand    bool
	ImageHealth     bool

	// Of a container only.
	Limits          Limits       `json:",omitzero"`
	Ulimits         []Ulimit     // sorted by name
	CapAdd, CapDrop []Capability // sorted by name
	Tmpfs           []Tmpfs
	// VolumesFrom is NODE or NODE:ro; what comes of it is in Mounts.
	VolumesFrom []string
	Userns      Userns `json:",omitzero"`
	// Platform is "linux/ARCH" or "linux/ARCH/VARIANT", of the image; "" is the machine's.
	Platform    string
	PlatformPos Pos `json:",omitzero"`
	// StdinOpen: its input can be written to, and never ends; else it is empty.
	StdinOpen bool `json:",omitempty"`
	// Runtime is RuntimeDocker, or the name or absolute path of an OCI runtime; "" = topo's own choice of one.
	Runtime string
}

// Restart is what becomes of a process when it ends.
type Restart struct {
	Policy string // RestartNo when not stated
	Max    int    // of RestartOnFailure: how often; 0 = no limit
}

// The restart policies, Compose's.
const (
	RestartNo            = "no"
	RestartAlways        = "always"
	RestartOnFailure     = "on-failure"
	RestartUnlessStopped = "unless-stopped"
)

// LogLimits bound what is kept of a process's output.
type LogLimits struct {
	MaxSize int64 // bytes of a file, 10 million when not stated; 0 = no limit
	MaxFile int   // files, 3 when not stated
}

// Limits are what the processes of a container have together; 0 is no limit.
type Limits struct {
	Pos      LimitPos
	Memory   int64 // bytes
	NanoCPUs int64 // billionths of a CPU
	Pids     int64 // processes and threads
}

// LimitPos is where the limits stand in the file.
type LimitPos struct{ Memory, CPUs, Pids Pos }

// Ulimit is a limit of each process of a container, getrlimit(2); -1 is none.
type Ulimit struct {
	Pos        Pos
	Name       string // "nofile"
	Soft, Hard int64
}

// Capability is a capability's name, "CAP_CHOWN", or "ALL".
type Capability struct {
	Pos  Pos
	Name string
}

// Tmpfs is a file system in memory that a container has.
type Tmpfs struct {
	Pos     Pos
	Target  string   // absolute
	Options []string // "size=64m", "noexec"…; sorted
}

// Volume is a folder that topo keeps for containers, and that outlives them.
type Volume struct {
	Pos  Pos
	Key  string // in the file; of a node's own, "NODE:TARGET"
	Name string // on the machine
	// External: made by somebody else, and there already.
	External bool
	Labels   map[string]string
}

// MountKind is what is mounted.
type MountKind string

// The kinds of mounts.
const (
	BindMount   MountKind = "bind"
	VolumeMount MountKind = "volume"
	TmpfsMount  MountKind = "tmpfs"
)

// Mount is something that is mounted in a container.
type Mount struct {
	Pos         Pos
	Source      string // of a bind: absolute; of a volume: its name on the machine
	Target      string // absolute
	ReadOnly    bool
	Propagation string // "" = rprivate
	// CreateSource makes a missing source folder of a bind: the short form, and the long one unless bind.create_host_path is false.
	CreateSource bool
	Kind         MountKind
	// NoCopy: an empty volume is not filled with what the container has at Target.
	NoCopy  bool
	Subpath string // of a volume: what is mounted of it; "" = all
	Size    int64  // of a tmpfs, in bytes; 0 = the kernel's default, half of the memory
	Mode    uint32 // of a tmpfs; 01777 when not stated
	Volume  string // of a volume: its key in the file; "" = a node's own
	From    string // the node that it comes from, by volumes_from; "" = it is the node's
}

// Healthcheck says how to tell that a process does its work; Compose's defaults are filled in
// (interval 30 s, timeout 30 s, start_period 0, start_interval 5 s, retries 3). Without Argv it is the image's, with what is not
// zero here.
type Healthcheck struct {
	Argv          []string // CMD's words; CMD-SHELL has become ["/bin/sh", "-c", …]
	Interval      time.Duration
	Timeout       time.Duration
	StartPeriod   time.Duration
	StartInterval time.Duration
	Retries       int
}

// Link is a point-to-point veth.
type Link struct {
	Pos  Pos
	Ends [2]Endpoint
}

// Endpoint is one end of a link.
type Endpoint struct {
	Pos       Pos
	Node      string // a node, "host", or a bridge
	Bridge    bool   // Node is a bridge; Interface is the port's name
	Interface string
	Addresses []netip.Prefix
	MAC       string // "" = derived
	MTU       int    // 1500 when not stated
	Up        bool
	// Impair is what becomes of what this end sends; nil: nothing.
	Impair *Impair `json:",omitempty"`
	// VLANs are those of a bridge's port; nil: what a new one has.
	VLANs *VLANs `json:",omitempty"`
	// Port is how a bridge treats its port; nil: nothing is said.
	Port *BridgePort `json:",omitempty"`
	// AcceptRA: addresses and routes are taken from router advertisements.
	AcceptRA bool `json:",omitempty"`
}

// Host is the reserved name of the host's own namespace.
const Host = "host"
