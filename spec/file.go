package spec

import "reflect"

// The types of this file and of file_*.go are what a topology file says, as it says it: nothing is
// filled in. Their tags drive the decoder (see [decoder]), and with the comments they make the schema
// and are held against the reference.

// FileType is the type of a whole file, for those who make a schema or a page of it by reflection.
func FileType() reflect.Type { return reflect.TypeFor[file]() }

// A topology file: namespaces and containers, the bridges and links between them, and what runs in them.
type file struct {
	origin
	_ struct{} `later:"expect" instead:"services=containers networks=bridges"`

	// Name of the project: lower-case letters, digits, - and _. The option -p goes before it; the folder's name is used where neither is given.
	Name text `yaml:"name"`
	// Put before every name that the host sees. Default: the project's name and a hyphen. Empty: names are as written.
	Prefix text `yaml:"prefix" jsonschema:"pattern=^([a-zA-Z0-9_][a-zA-Z0-9_.-]*)?$"`
	// Other topology files, whose nodes, bridges, links and volumes are there, too.
	Include []include `yaml:"include"`
	// Linux bridges in the host's own namespace.
	Bridges dict[bridge] `yaml:"bridges"`
	// Nodes that are a network namespace and nothing else; they may run a command.
	Namespaces dict[namespace] `yaml:"namespaces"`
	// Nodes with network, mount, PID, UTS, IPC and cgroup namespaces of their own, and a root file system.
	Containers dict[container] `yaml:"containers"`
	// Point-to-point links: veth pairs; with a type, interfaces of that type.
	Links []link `yaml:"links"`
	// Named volumes: folders that topo keeps, and that outlive containers.
	Volumes dict[namedVolume] `yaml:"volumes"`
}

// A topology file that is included: its path, or a map.
type include struct {
	origin
	Scalar text

	// The file; of a list, each over those before it. Relative ones start at this file's folder.
	Path texts `yaml:"path" jsonschema:"required"`
	// Folder that relative paths in it start from. Default: its own.
	ProjectDirectory text `yaml:"project_directory"`
	// Files of variables for ${…} in it, which this file's go before. Default: .env in its folder.
	EnvFile texts `yaml:"env_file"`
}

// A Linux bridge.
type bridge struct {
	origin

	// A CIDR, or a list of them (IPv4 and IPv6). Left out: allocated. none: a plain switch, layer 2 only.
	Subnet texts `yaml:"subnet" merge:"replace"`
	// The bridge's own address, one for each subnet at most. Default: the first host address of each subnet. none: the bridge has no address.
	Gateway texts `yaml:"gateway" merge:"replace"`
	// Source NAT of what leaves the subnet through another interface. Default: true when the bridge has a gateway and is not internal.
	Masquerade flag `yaml:"masquerade"`
	// No default route, no NAT, nothing in or out but host ↔ node and node ↔ node. Default: false.
	Internal flag `yaml:"internal"`
	// false: nodes on the bridge can't reach each other except through published ports. Default: true.
	ICC flag `yaml:"icc"`
	// Nodes on the bridge resolve each other by name and alias. false is Docker's default bridge: no names, only one-way links. Default: true.
	Names flag `yaml:"names"`
	// Bytes of the largest packet, of the bridge and, where they state none, of its nodes' interfaces. Default: 1500.
	MTU number `yaml:"mtu" jsonschema:"minimum=68,maximum=65535"`
	// The bridge's own MAC address. Default: derived from machine, project and name.
	MAC text `yaml:"mac" jsonschema:"pattern=^([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}$"`
	// The spanning tree protocol. Default: false.
	STP flag `yaml:"stp"`
	// How long a port listens and learns before it forwards, with stp. Default: 15s.
	ForwardDelay span `yaml:"forward_delay"`
	// Name in the kernel, verbatim, at most 15 bytes. Default: the prefix and the bridge's name; br- and a hash where that is longer.
	Name text `yaml:"name" jsonschema:"pattern=^[^/:%\\s]{1\\,15}$"`
	// A port to bridges of other machines, over their layer 3.
	VXLAN *vxlan `yaml:"vxlan"`
	// Made by somebody else: topo adds ports to it and nothing more. Default: false.
	External flag `yaml:"external"`
	// Packets stay in the VLANs that they are in; ports belong to VLAN 1, untagged, where they don't say others. Default: false.
	VLANFiltering flag `yaml:"vlan_filtering"`
	// The VLANs that the bridge's own interface belongs to, by which the host is reached. Default: 1, untagged.
	VLAN *vlans `yaml:"vlan"`
	// With stp, the bridge with the smallest becomes the root. Default: 32768.
	Priority number `yaml:"priority" jsonschema:"minimum=0,maximum=65535"`
	// Time between the root's messages, with stp. Default: 2s.
	HelloTime span `yaml:"hello_time"`
	// How long a message of the root is believed, with stp. Default: 20s.
	MaxAge span `yaml:"max_age"`
	// How long the bridge remembers behind which port a MAC address was seen. 0s: not at all, it floods. Default: 300s.
	AgeingTime span `yaml:"ageing_time"`
	// Multicast goes only to ports behind which somebody listens (IGMP and MLD snooping). Default: true.
	McastSnooping flag `yaml:"mcast_snooping"`
	// The node in whose network namespace the bridge is: a switch of its own, with the ends of cables in it. Default: the host's own.
	Node text `yaml:"node"`
	// Interfaces of the host's that are ports of the bridge: network cards, or VLANs of them, as em1.101. With them, subnet and gateway are none by default.
	Uplinks uplinks `yaml:"uplinks"`
}

// A list of the host's interfaces, or a map from an interface to how it is a port.
type uplinks struct {
	origin
	List []text
	Map  dict[uplink]
}

// How an interface of the host's is a port of a bridge.
type uplink struct {
	origin

	// The VLANs that the port belongs to, on a bridge with vlan_filtering. Default: 1, untagged.
	VLAN *vlans `yaml:"vlan"`
}

// How a bridge treats one of its ports (bridge(8)).
type bridgePort struct {
	origin

	// No packets between it and other isolated ports. Default: true on a bridge with icc: false.
	Isolated flag `yaml:"isolated"`
	// What comes in may leave by the same port. Default: false, but where a node needs it to reach itself by what it publishes.
	Hairpin flag `yaml:"hairpin"`
	// The bridge remembers the MAC addresses that it sees behind the port. Default: true.
	Learning flag `yaml:"learning"`
	// Packets to MAC addresses that the bridge doesn't know leave by the port. Default: true.
	Flood flag `yaml:"flood"`
	// Multicast that nobody asked for leaves by the port. Default: true.
	McastFlood flag `yaml:"mcast_flood"`
	// Broadcasts leave by the port. Default: true.
	BcastFlood flag `yaml:"bcast_flood"`
	// What the way by this port costs, with stp. Default: 2.
	Cost number `yaml:"cost" jsonschema:"minimum=1,maximum=65535"`
	// Among ways that cost the same, the port with the smallest is taken, with stp. Default: 32.
	Priority number `yaml:"priority" jsonschema:"minimum=0,maximum=63"`
	// MAC addresses that are behind the port, whatever the bridge sees: static entries of its forwarding database.
	FDB []fdbEntry `yaml:"fdb"`
}

// A MAC address that is behind a bridge's port.
type fdbEntry struct {
	origin
	Scalar text

	// The MAC address.
	MAC text `yaml:"mac" jsonschema:"required,pattern=^([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}$"`
	// Its VLAN, on a bridge that filters them. Default: the port's pvid.
	VLAN number `yaml:"vlan" jsonschema:"minimum=1,maximum=4094"`
}

// The VLANs that a bridge's port belongs to: one whose packets have no tag here, none, or a map.
type vlans struct {
	origin
	Scalar word

	// VLAN of what comes in without a tag. Default: none, such packets are dropped.
	PVID number `yaml:"pvid" jsonschema:"minimum=1,maximum=4094"`
	// VLANs whose packets leave without a tag: numbers and ranges like 20-30, one or a list. Default: that of pvid, unless it is tagged.
	Untagged vlanIDs `yaml:"untagged" merge:"replace"`
	// VLANs whose packets leave with their tag: numbers and ranges like 20-30, one or a list.
	Tagged vlanIDs `yaml:"tagged" merge:"replace"`
}

// A VLAN or a range of them, or a list of such.
type vlanIDs struct {
	origin
	Scalar word
	List   []word
}

// A port by which bridges of several machines are one layer 2: ip-link(8), RFC 7348.
type vxlan struct {
	origin
	_ struct{} `instead:"vni=id dstport=port parent=dev"`

	// Number of the network, the same on all machines.
	ID number `yaml:"id" jsonschema:"required,minimum=0,maximum=16777215"`
	// This machine's address. Default: that of remotes which it has, else the kernel's choice.
	Local text `yaml:"local"`
	// Addresses of the machines, one or a list; this one's own is left out.
	Remotes texts `yaml:"remotes" merge:"replace"`
	// A multicast group in place of remotes; it needs dev.
	Group text `yaml:"group"`
	// UDP port. Default: 4789.
	Port number `yaml:"port" jsonschema:"minimum=1,maximum=65535"`
	// Interface of this machine that it goes by. Default: the route's.
	Dev text `yaml:"dev" jsonschema:"pattern=^[^/:%\\s]{1\\,15}$"`
	// Static entries, the machine behind which each MAC address is.
	FDB dict[texts] `yaml:"fdb"`
	// Time to live of the outer packets. Default: the system's own.
	TTL number `yaml:"ttl" jsonschema:"minimum=0,maximum=255"`
	// Whether it learns who is behind which remote. Default: true.
	Learning flag `yaml:"learning"`
}

// A veth pair: a map, or the short form, two words NODE:INTERFACE. With another type: an interface of that type for each end.
type link struct {
	origin
	kindKeys
	_ struct{} `instead:"kind=type"`

	List []text

	// What its ends are. Default: veth. The keys of a type are those of all ends that don't state them.
	Type text `yaml:"type" jsonschema:"enum=veth,enum=dummy,enum=macvlan,enum=macvtap,enum=ipvlan,enum=vlan,enum=vxlan,enum=geneve,enum=gre,enum=ipip,enum=vrf,enum=bond,enum=tap,enum=tun,enum=ifb,enum=wireguard"`
	// The ends: two of a veth pair, one or more of another type.
	Endpoints []endpoint `yaml:"endpoints" jsonschema:"required,minItems=1"`
	// Bytes of the largest packet, on all ends. Default: 1500; of another type, as of an interface.
	MTU number `yaml:"mtu" jsonschema:"minimum=68,maximum=65535"`
	// What becomes of packets on the way, in both directions, where an end says nothing else.
	Impair *impair `yaml:"impair"`
}

// One end of a link.
type endpoint struct {
	origin
	kindKeys

	// A node, a bridge (the interface is then its port's name), or host for the host's own namespace.
	Node text `yaml:"node" jsonschema:"required"`
	// Name of the interface. Default: the node's next free eth0, eth1…; on the host's side, of a veth, derived from the other end.
	Interface text `yaml:"interface" jsonschema:"pattern=^[^/:%\\s]{1\\,15}$"`
	// Addresses with prefix length, one or a list.
	Address texts `yaml:"address" merge:"replace"`
	// MAC address. Default: derived from machine, project and name.
	MAC text `yaml:"mac" jsonschema:"pattern=^([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}$"`
	// Bytes of the largest packet that this end sends. Default: the link's.
	MTU number `yaml:"mtu" jsonschema:"minimum=68,maximum=65535"`
	// Whether the interface is set up. Default: true.
	Up flag `yaml:"up"`
	// What becomes of the packets that this end sends. Default: the link's.
	Impair *impair `yaml:"impair"`
	// The VLANs that the port belongs to, on a bridge that filters them. Default: 1, untagged.
	VLAN *vlans `yaml:"vlan"`
	// How the bridge treats the port, on a bridge.
	Port *bridgePort `yaml:"port"`
	// Whether the interface takes addresses and routes from router advertisements; of a node only. Default: false.
	AcceptRA flag `yaml:"accept_ra"`
}

// What becomes of the packets that an interface sends: what a wire does that is long, slow or bad (tc-netem(8), tc-tbf(8)).
type impair struct {
	origin

	// How long each packet is under way.
	Delay span `yaml:"delay"`
	// How much the delay varies, up and down, and in percent how much that is like the packet's before: 2ms, 2ms 25%.
	Jitter word `yaml:"jitter"`
	// How the jitter is spread. Default: uniform.
	Distribution text `yaml:"distribution" jsonschema:"enum=uniform,enum=normal,enum=pareto,enum=paretonormal"`
	// How many packets are lost: 1%, 1% 25% with a correlation, gemodel P [R [1-H [1-K]]] for Gilbert-Elliott, state P13 [P31 [P32 [P23 [P14]]]].
	Loss word `yaml:"loss"`
	// How many packets are there twice: 1%, 1% 25% with a correlation.
	Duplicate word `yaml:"duplicate"`
	// How many packets have one bit wrong: 0.1%, 0.1% 25% with a correlation.
	Corrupt word `yaml:"corrupt"`
	// How many packets are sent without the delay, ahead of others: 25%, 25% 50% with a correlation, and with gap 5 of every fifth one.
	Reorder word `yaml:"reorder"`
	// Bits per second: 10mbit, 1gbit; kibit, mibit… are 1,024; bps is bytes.
	Rate word `yaml:"rate"`
	// Bytes that may be sent at once, with k or m for 1,024 or 1,024². Default: those of 5 ms at the rate, at least two packets.
	Burst word `yaml:"burst"`
	// Packets that may wait; more are dropped. Default: those of 100 ms at the rate; without one, 1,000 and a million for each second of delay.
	Limit number `yaml:"limit" jsonschema:"minimum=1,maximum=10000000"`
}

// Text, or a list of texts.
type texts struct {
	origin
	Scalar text
	List   []text
}

// all are the texts in either form.
func (t texts) all() []text {
	if t.Scalar.Set {
		return []text{t.Scalar}
	}
	return set(t.List)
}

// set leaves out what was not well-formed.
func set(list []text) []text {
	var kept []text
	for _, t := range list {
		if t.Set {
			kept = append(kept, t)
		}
	}
	return kept
}

// A map, or a list of words KEY=VALUE. A KEY without a value is taken from topo's own environment, for variables.
type pairs struct {
	origin
	List []word
	Map  dict[maybe]
}
