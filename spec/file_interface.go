package spec

// An interface of a node's own, of another kind than veth: ip-link(8).
type iface struct {
	origin
	kindKeys
	_ struct{} `instead:"kind=type"`

	// What it is.
	Type text `yaml:"type" jsonschema:"required,enum=dummy,enum=macvlan,enum=macvtap,enum=ipvlan,enum=vlan,enum=vxlan,enum=geneve,enum=gre,enum=ipip,enum=vrf,enum=bond,enum=tap,enum=tun,enum=ifb,enum=wireguard,enum=physical"`
	// Addresses with prefix length, one or a list.
	Address texts `yaml:"address" merge:"replace"`
	// MAC address. Default: that of the parent, of a vlan or an ipvlan; else derived from machine, project and name.
	MAC text `yaml:"mac" jsonschema:"pattern=^([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}$"`
	// Bytes of the largest packet. Default: the parent's, or 1500, less what a tunnel puts around each packet.
	MTU number `yaml:"mtu" jsonschema:"minimum=68,maximum=65535"`
	// Whether the interface is set up. Default: true.
	Up flag `yaml:"up"`
	// What becomes of the packets that it sends.
	Impair *impair `yaml:"impair"`
}

// What makes an interface one of its kind. Which keys a kind takes, the reference says.
type kindKeys struct {
	_ struct{} `instead:"dev=parent link=parent vni=id vid=id dstport=port slaves=members interfaces=members xmit-hash-policy=xmit_hash_policy"`

	// The interface that it stands on: one of the same node, NODE:INTERFACE, or host:INTERFACE. Of a physical: the host's card that it is.
	Parent text `yaml:"parent"`
	// macvlan, macvtap: bridge (default), private, vepa, passthru. ipvlan: l2 (default), l3, l3s. bond: balance-rr (default), active-backup, balance-xor, broadcast, 802.3ad, balance-tlb, balance-alb.
	Mode text `yaml:"mode" jsonschema:"enum=bridge,enum=private,enum=vepa,enum=passthru,enum=l2,enum=l3,enum=l3s,enum=balance-rr,enum=active-backup,enum=balance-xor,enum=broadcast,enum=802.3ad,enum=balance-tlb,enum=balance-alb"`
	// Number of the VLAN (1 to 4094), or of the network in a vxlan or geneve.
	ID number `yaml:"id" jsonschema:"minimum=0,maximum=16777215"`
	// Of a vlan: 802.1ad for the outer one of two. Default: 802.1Q.
	Protocol text `yaml:"protocol" jsonschema:"enum=802.1Q,enum=802.1ad"`
	// Own address of a tunnel.
	Local text `yaml:"local"`
	// Address of a tunnel's other end.
	Remote text `yaml:"remote"`
	// Of a vxlan: addresses that get what has no entry of its own.
	Remotes texts `yaml:"remotes" merge:"replace"`
	// Of a vxlan: the multicast group that gets it.
	Group text `yaml:"group"`
	// Of a vxlan: static entries, the remote address of each MAC address.
	FDB dict[texts] `yaml:"fdb"`
	// UDP port. Default: 4789 of a vxlan, 6081 of a geneve.
	Port number `yaml:"port" jsonschema:"minimum=1,maximum=65535"`
	// Time to live of a tunnel's outer packets; 0 is the system's own, or the inner one's. Default: 0.
	TTL number `yaml:"ttl" jsonschema:"minimum=0,maximum=255"`
	// Of a gre: the number that both ends have.
	Key number `yaml:"key" jsonschema:"minimum=0,maximum=4294967295"`
	// Of a vxlan: whether it learns who is behind which remote. Default: true.
	Learning flag `yaml:"learning"`
	// Of a vrf: the routing table that its members use.
	Table number `yaml:"table" jsonschema:"minimum=1,maximum=4294967295"`
	// Of a bond or a vrf: interfaces of the same node.
	Members []text `yaml:"members"`
	// Of a bond: how often its members' carrier is looked at; 0s is never, which 802.3ad, balance-tlb and balance-alb don't take. Default: 100ms.
	MIIMon span `yaml:"miimon"`
	// Of a bond: how long a member with a carrier is waited with, a multiple of miimon. Default: 0s.
	UpDelay span `yaml:"updelay"`
	// Of a bond: how long a member without a carrier is still used, a multiple of miimon. Default: 0s.
	DownDelay span `yaml:"downdelay"`
	// Of a bond: members with a carrier that it takes for it to have one. Default: 0.
	MinLinks number `yaml:"min_links" jsonschema:"minimum=0,maximum=1000"`
	// Of a bond with mode 802.3ad: how often the other side is asked to speak. Default: slow.
	LACPRate text `yaml:"lacp_rate" jsonschema:"enum=slow,enum=fast"`
	// Of a bond: by what a member is chosen for a packet. Default: layer2.
	XmitHashPolicy text `yaml:"xmit_hash_policy" jsonschema:"enum=layer2,enum=layer2+3,enum=layer3+4,enum=encap2+3,enum=encap3+4,enum=vlan+srcmac"`
	// Of a wireguard: its private key, in base64. Nothing prints it. Default: one that topo makes once and keeps.
	PrivateKey text `yaml:"private_key"`
	// Of a wireguard: a file with its private key.
	PrivateKeyFile text `yaml:"private_key_file"`
	// Of a wireguard: its UDP port. Default: the kernel's choice.
	ListenPort number `yaml:"listen_port" jsonschema:"minimum=1,maximum=65535"`
	// Of a wireguard: the mark of its outer packets, for policy rules; 0 is none. Default: 0.
	FwMark number `yaml:"fwmark" jsonschema:"minimum=0,maximum=4294967295"`
	// Of a wireguard: its peers.
	Peers peers `yaml:"peers"`
}

// Peers of a WireGuard: a list of nodes or maps, or a map from nodes, or other names, to what is said of them.
type peers struct {
	origin
	List []peer
	Map  dict[peer]
}

// A peer of a WireGuard: a node's name, or a map.
type peer struct {
	origin
	Scalar text

	// A node of this file, or host: its public key, endpoint and allowed_ips follow from its interface of type wireguard.
	Node text `yaml:"node"`
	// Which of its interfaces, where it has several of type wireguard.
	Interface text `yaml:"interface"`
	// The public key of a peer elsewhere, in base64.
	PublicKey text `yaml:"public_key"`
	// ADDRESS:PORT; none: it is known once the peer has sent something. Default: of a node with a listen_port, its address and that.
	Endpoint text `yaml:"endpoint"`
	// What is behind the peer, CIDRs or addresses: what is sent there goes to it, and nothing else is taken from it. Default: of a node, the addresses of its interface.
	AllowedIPs texts `yaml:"allowed_ips" merge:"replace"`
	// How often something is sent to it where nothing is to be said, in seconds. Default: off.
	PersistentKeepalive word `yaml:"persistent_keepalive"`
	// A key that both ends have besides, in base64. Nothing prints it.
	PresharedKey text `yaml:"preshared_key"`
	// A file with that key.
	PresharedKeyFile text `yaml:"preshared_key_file"`
}
