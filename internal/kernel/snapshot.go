package kernel

import (
	"net/netip"
)

// Family is an address family, by the name that users type.
type Family string

// The two families.
const (
	IPv4 Family = "ipv4"
	IPv6 Family = "ipv6"
)

// FamilyOf tells the family of an address.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() || a.Is4In6() {
		return IPv4
	}
	return IPv6
}

// A Query says which facts a caller needs beyond those that are always read.
type Query struct {
	Project string
	// Sysctls are read from these namespaces, where those exist.
	Sysctls []SysctlKey
	// Listeners asks for the listening sockets of the host, with their holders.
	Listeners bool
	// Folders are looked for.
	Folders []string
	Images  []ImageQuery
	// Options of the kernel's build, without CONFIG_, are looked for.
	Options []string
	// Mapped are folders whose files' owners are to be mapped for user namespaces; DataFolder is one of them.
	Mapped []string
	// Containers are names that are looked for in the engine.
	Containers []string
	// VLANs are read also of bridges that do not filter them.
	VLANs bool
	// KeyFiles are files with keys of WireGuard, which are looked into.
	KeyFiles []string
	// Runtimes are OCI runtimes that are looked for, as the file states them; "" is topo's own choice.
	Runtimes []string
	// Lost asks for processes of the project's that live without a record.
	Lost bool
	// Secrets asks for the keys of Project's WireGuards themselves.
	Secrets bool
	// Again lets a reader that has read the same before, and has itself made all changes since that matter, leave out what it did not
	// change: namespaces that no change was sent to, and no link of which ends where something changed. iptables, sysctls, records and
	// the host's own namespace are always read. It asks for Snapshot.Unsettled, too.
	Again bool
}

// DataFolder stands for the folder in which topo keeps images and volumes.
const DataFolder = "topo's data"

// A SysctlKey is a kernel parameter of one network namespace.
type SysctlKey struct {
	Netns string // "" = the host's own
	Key   string // "net.ipv4.ip_forward"; with slashes where a name has a dot: "net/ipv4/conf/em1.101/forwarding"
}

// Snapshot is what one reading of a host found. Slices are sorted, so that the
// same host gives the same value.
type Snapshot struct {
	// HostID tells machines apart (/etc/machine-id); it is mixed into generated
	// MAC addresses, so that two machines with the same file on one wire differ.
	HostID string
	// Hostname is the host's own name.
	Hostname string

	// Unsettled is something that the kernel is still doing in its own time, in words; "" for nothing, and where Query.Again doesn't ask.
	// Where it is known beforehand, nothing else is read.
	Unsettled string

	Host  Netns   // the host's own namespace: Name is ""
	Netns []Netns // those in /run/netns, by name; contents only of Query.Project's own

	Chains []Chain // of all iptables tables that exist, built-in chains too
	Rules  []Rule  // in the order of their chains
	// IptablesError says why rules of a family could not be read
	// (no iptables installed); nil entries are absent.
	IptablesError map[Family]string

	Sysctls  map[SysctlKey]string // those asked for, and those in Records
	Records  []SysctlRecord       // values that topo changed and will put back
	Forwards []Forwarding         // one a family
	Files    []File               // hosts and resolv.conf of all folders under /etc/netns
	// Nameservers are those of the host's /etc/resolv.conf.
	Nameservers []netip.Addr

	Supervisor Supervisor
	Processes  []ProcessState // of Query.Project, by node

	Listeners []Listener
	// Neighbours is net.ipv4.neigh.default.gc_thresh3: the most neighbours that the whole machine keeps.
	Neighbours int

	// MissingFolders are those of Query.Folders that are not there, or no folders.
	MissingFolders []string
	// Images are those of Query.Images, in that order.
	Images []Image
	// Confinement is what containers can be held to; nil: not read.
	Confinement *Confinement

	Volumes []Volume // of all projects, by name

	// Lacking are those of Query.Options that the kernel was built without, or whose module is not installed; one of
	// which nothing can be known is not among them.
	Lacking []string
	// Short says why a need can't be met here. What is not in it is there, or nothing is known.
	Short map[Need]string
	// Unmappable are those of Query.Mapped of which the owners can't be mapped, and why.
	Unmappable map[string]string
	// Containers are those of Query.Containers that the engine has.
	Containers []EngineContainer
	// Keys are those that topo made for Query.Project, by name.
	Keys []Key
	// KeyFiles are those of Query.KeyFiles.
	KeyFiles map[string]KeyFile
	// Secrets are keys themselves, where Query.Secrets asks for them.
	Secrets map[SecretOf]Secret
	// Uplinks are the cards that are ports of topo's bridges, of all projects, by name.
	Uplinks []Uplink
	// Lent are the cards that are in nodes, of all projects, by name.
	Lent []LentCard
}

// Netns is a network namespace and what is in it.
type Netns struct {
	Name string // in /run/netns; "" = the host's own
	// Mark is the alias of lo, zero for a namespace that is not topo's.
	Mark Mark
	// Unfinished: an empty regular file stands at /run/netns/NAME and no
	// namespace is mounted on it; what a crash before the mount leaves.
	Unfinished bool
	// Cookie tells a namespace from others of the same name, before and after it (SO_NETNS_COOKIE); 0 = not known. Inode
	// numbers are given again.
	Cookie uint64
	Group  uint32 // of lo
	Links  []Link
	Addrs  []Addr
	Routes []Route
	// PolicyRules are topo's own, by family and priority; the kernel's, and other people's, are not read.
	PolicyRules []PolicyRule
}

// Link is a network interface.
type Link struct {
	Name  string
	Index int
	Kind  string // as in ip -d link: "veth", "bridge", "loopback" for lo, "" for hardware
	MTU   int
	MAC   string // lower case, colons
	Up    bool   // administratively (IFF_UP)
	Oper  string // operational state, RFC 2863: "up", "down", "lowerlayerdown", "unknown"…
	Group uint32
	Alias string
	// Master is the name of the bridge that the link is a port of, or of the bond or VRF that it is a member of.
	Master string
	// Peer is the other end of a veth, where it is in a namespace that was read.
	Peer End
	// Bridge is set for bridges, Port for ports of a bridge.
	Bridge *BridgeAttrs
	Port   *PortAttrs
	// Qdisc is what a veth, or a link that [LinkAdd] makes, sends through; nil: what the kernel gives it by itself.
	Qdisc *Qdisc
	// VLANs are those that a bridge's port, or a bridge itself, belongs to, merged; read where a bridge of the namespace filters
	// them, or Query.VLANs asks for them.
	VLANs []VLAN
	// FDB are the static entries of the bridge's forwarding database that lead to a port, sorted.
	FDB []FDBEntry
	// Parent is what a VLAN, MACVLAN, VXLAN… stands on, where that is in a namespace that was read.
	Parent End
	// Params are those of a link that [LinkAdd] makes, in the kind's own order; without those that [Params] leaves out.
	Params []Param
	// Remotes are the static entries of a VXLAN's forwarding database, by MAC address; without that of its remote or group.
	Remotes []VXLANRemote
	// AcceptRA says whether router advertisements (RFC 4861) are heard: 0 no, 1 unless IPv6 is forwarded, 2 yes. 0 without IPv6.
	AcceptRA int
	// WireGuard is set for wireguard links.
	WireGuard *WireGuard
	// Wireless: a radio. A bridge takes none: an access point refuses frames of others' addresses.
	Wireless bool
}

// End names an interface. The zero End is none.
type End struct {
	Netns string // "" = the host's own
	Name  string
}

// Addr is an address of an interface.
type Addr struct {
	Link   string
	Prefix netip.Prefix // address and length, not masked
	// Kernel: put there by the kernel itself (127.0.0.1, ::1, link-local, router advertisement).
	Kernel    bool
	Tentative bool // duplicate address detection is still under way
	// Secondary: IPv4, and another address of the same subnet came first. Linux removes it with that one, unless
	// promote_secondaries says otherwise.
	Secondary bool
	// Dynamic: it ends by itself, unless somebody renews it (a DHCP client, router advertisements).
	Dynamic bool
}

// Route is an entry of a routing table.
type Route struct {
	Dst    netip.Prefix // masked; 0.0.0.0/0 and ::/0 for the default
	Via    netip.Addr   // invalid: directly on the link
	Link   string
	Metric int // IPv6: 1024 is what the kernel makes of none
	Table  int // 254: main
	// Protocol says who made it (/etc/iproute2/rt_protos): 2 kernel, 3 boot (by
	// hand), 4 static, 9 router advertisement, 11 zebra, … [Protocol] for topo.
	Protocol int
	Type     string // "unicast", "local", "broadcast", "blackhole"…
	RouteMore
}

// Protocol is the number that topo's own routes carry (rtm_protocol, "t"); rtnetlink(7)
// leaves the numbers above 4 (RTPROT_STATIC) to user space.
const Protocol = 116

// TableMain is the number of the main routing table.
const TableMain = 254

// Chain is an iptables chain.
type Chain struct {
	Family Family
	Table  string // "filter", "nat", "raw", "mangle"
	Name   string
	Policy string // of a built-in chain: "ACCEPT", "DROP"; "" for a user-defined one
}

// SysctlRecord is a kernel parameter that topo changed, with the value from before.
type SysctlRecord struct {
	SysctlKey
	Project string
	Before  string
}

// Forwarding is whether the host forwards packets of a family.
type Forwarding struct {
	Family Family
	On     bool
	// Recorded: topo turned it on, and remembers each interface's value from before.
	Recorded bool
}

// File is a file that topo writes for a namespace: /etc/netns/NETNS/hosts or resolv.conf (ip-netns(8)); or what stands in the place
// of that folder.
type File struct {
	Path    string
	Mark    Mark // its first line, "# topo:…"; zero: somebody else's file
	Content Text
}

// Listener is a socket of the host that holds a port.
type Listener struct {
	Protocol string // "tcp", "udp", "sctp"
	Addr     netip.AddrPort
	PID      int    // 0: not known
	Command  string // the holder's name (/proc/PID/comm)
}

// Supervisor is a project's supervisor process.
type Supervisor struct {
	PID int // 0: none runs
}
