package spec

// Keys of nodes: of namespaces and containers both.
type node struct {
	origin
	_ struct{} `instead:"networks=bridges"`

	// Bridges to join: a list of names, or a map from a name to what the attachment is like.
	Bridges attachments `yaml:"bridges"`
	// none: only lo. host: the host's own namespace. node:NAME: that node's namespace. Excludes bridges.
	NetworkMode text `yaml:"network_mode"`
	// Ports that are published on the host, in Compose's short form ([HOST_IP:][HOST_PORT:]PORT[/PROTOCOL], ranges) or long form. With network_mode host: those that the node listens on.
	Ports []port `yaml:"ports"`
	// Names that only this node learns, as docker run --link does: NODE or NODE:ALIAS.
	Links []text `yaml:"links"`
	// Routes in the node, besides those that come from its addresses and the default one.
	Routes []route `yaml:"routes"`
	// Kernel parameters of the node's own namespace, net.* only: a map, or a list of KEY=VALUE.
	Sysctls pairs `yaml:"sysctls"`
	// Variables of the process: a map, or a list of KEY=VALUE. A KEY alone is taken from topo's own environment.
	Environment pairs `yaml:"environment"`
	// Files of variables, one or a list; environment goes before them, and a later file before an earlier one.
	EnvFile envFiles `yaml:"env_file"`
	// What runs: text, split into words as a shell does, or a list of words. A container without one runs its image's, or sleeps without an image; a namespace without one has no process.
	Command words `yaml:"command" merge:"replace"`
	// Put before the command's words: text or a list.
	Entrypoint words `yaml:"entrypoint" merge:"replace"`
	// Folder that the process starts in; absolute. Default: the image's, else /.
	WorkingDir text `yaml:"working_dir"`
	// USER, UID, USER:GROUP or UID:GID. Default: the image's, else root.
	User word `yaml:"user"`
	// What the node calls itself. Default: its name.
	Hostname text `yaml:"hostname"`
	// More lines of the hosts file: a list of NAME=ADDRESS or NAME:ADDRESS, or a map. The address may be host-gateway.
	ExtraHosts hosts `yaml:"extra_hosts"`
	// Addresses of name servers, one or a list. Default: the host's.
	DNS texts `yaml:"dns"`
	// Search domains, one or a list. Default: the host's.
	DNSSearch texts `yaml:"dns_search"`
	// Nodes that are started before this one: a list of names, or a map from a name to the condition that is waited for.
	DependsOn dependencies `yaml:"depends_on"`
	// How to tell that the process does its work.
	Healthcheck *healthcheck `yaml:"healthcheck"`
	// Signal that asks the process to end. Default: the image's, else SIGTERM.
	StopSignal word `yaml:"stop_signal"`
	// How long the process may take to end before it is killed. Default: 10s.
	StopGracePeriod span `yaml:"stop_grace_period"`
	// Run an init as PID 1 that reaps children and passes signals on. Default: false; true for a container without a command or image.
	Init flag `yaml:"init"`
	// Words about the node, kept with its process: a map, or a list of KEY=VALUE.
	Labels pairs `yaml:"labels"`
	// Whether the process is started again when it ends: no, always, on-failure (when it ended with another code than 0), on-failure:N (N times at most), unless-stopped. Default: no.
	Restart word `yaml:"restart"`
	// How much of what the process prints is kept.
	Logging *logging `yaml:"logging"`
	// How many of the node there are: NAME-1, NAME-2…; NAME stands for all of them. Default: one, called NAME.
	Scale number `yaml:"scale" jsonschema:"minimum=0,maximum=1000"`
	// Interfaces of the node's own, of other kinds than veth: a map from their names.
	Interfaces dict[iface] `yaml:"interfaces"`
	// Profiles, one of which must be active (--profile) for the node to be there. Default: it always is.
	Profiles []text `yaml:"profiles"`
	// A node of the same kind, of this file or another, that this one is like; what is said here is laid over it.
	Extends *extends `yaml:"extends"`
	// Leave the process's input open: topo attach writes to it, and it never ends. Default: false, the input is empty.
	StdinOpen flag `yaml:"stdin_open"`
	// Whether the node passes packets on between its interfaces, as a router does: its sysctls net.ipv4.ip_forward and net.ipv6.conf.all.forwarding. Default: as the kernel has it, which for IPv4 is as on the host.
	Forwarding flag `yaml:"forwarding"`
	// Which packets look in which routing table: the node's routing policy, besides the kernel's own rules.
	Rules []policyRule `yaml:"rules"`
}

// A node that another one is like: its name, or a map.
type extends struct {
	origin
	_      struct{} `instead:"node=service container=service namespace=service"`
	Scalar text

	// The node's name.
	Service text `yaml:"service" jsonschema:"required"`
	// The file that it is in. Default: this one.
	File text `yaml:"file"`
}

// How much of what the process prints is kept.
type logging struct {
	origin

	// Compose's words for how it is kept: json-file or local. Both mean the same here. Default: json-file.
	Driver text `yaml:"driver" jsonschema:"enum=json-file,enum=local"`
	// The limits.
	Options *logOptions `yaml:"options"`
}

// Limits of what is kept.
type logOptions struct {
	origin
	_ struct{} `later:"compress labels labels-regex env env-regex tag mode max-buffer-size"`

	// Size of a file, with k, m or g for 1,000, a million or a thousand million bytes; -1: no limit. Default: 10m.
	MaxSize word `yaml:"max-size"`
	// How many files there are, that which is written among them. Default: 3.
	MaxFile number `yaml:"max-file" jsonschema:"minimum=1,maximum=1000"`
}

// A network namespace.
type namespace struct {
	node
	_ struct{} `elsewhere:"image pull_policy platform rootfs volumes volumes_from tmpfs runtime read_only cap_add cap_drop privileged mem_limit cpus pids_limit ulimits security_opt userns_mode=is for containers; a namespace has the host's files and rights"`
}

// A container.
type container struct {
	node

	// Volumes, and files and folders of the host: [SOURCE:]TARGET[:OPTIONS], or the long form.
	Volumes []volume `yaml:"volumes"`
	// Nothing can be written to the root file system. Default: false.
	ReadOnly flag `yaml:"read_only"`
	// All capabilities and devices, no filters. Default: false.
	Privileged flag `yaml:"privileged"`
	// no-new-privileges[:true or false], seccomp=unconfined, seccomp=FILE.
	SecurityOpt []text `yaml:"security_opt"`
	// Folder that the root file system is a private copy-on-write view of; relative ones start at the topology's folder, ~ is the home. It is never written. Default: the host's root.
	Rootfs text `yaml:"rootfs"`
	// Image that the container is made from: NAME[:TAG][@DIGEST] of a registry, oci:DIR[:TAG] or docker-archive:FILE. Default: none, a view of the host's root.
	Image text `yaml:"image"`
	// missing: fetch the image when it was never fetched. always: look for a newer one at each plan. never: it must be there. Default: missing.
	PullPolicy text `yaml:"pull_policy" jsonschema:"enum=missing,enum=if_not_present,enum=always,enum=never"`
	// Bytes of memory that all its processes have together: a number, or one with b, k, m, g or t after it. Default: no limit.
	MemLimit word `yaml:"mem_limit"`
	// How many CPUs its processes may keep busy, 0.5 is half of one. Default: no limit.
	CPUs word `yaml:"cpus"`
	// How many processes and threads there may be. Default, and -1: no limit.
	PidsLimit number `yaml:"pids_limit" jsonschema:"minimum=-1"`
	// Limits of each of its processes, getrlimit(2), by name: nofile, nproc, memlock… Default: the host's.
	Ulimits dict[ulimit] `yaml:"ulimits"`
	// Capabilities besides Docker's 14: with or without CAP_, or ALL.
	CapAdd []text `yaml:"cap_add"`
	// Capabilities that it has not: with or without CAP_, or ALL, which leaves those of cap_add.
	CapDrop []text `yaml:"cap_drop"`
	// File systems in memory, one or a list: TARGET[:OPTIONS], with size=, mode=, uid=, gid=, nr_inodes=, ro, exec…
	Tmpfs texts `yaml:"tmpfs"`
	// Containers whose volumes and bind mounts this one has, too: NODE, NODE:ro or NODE:rw.
	VolumesFrom []text `yaml:"volumes_from"`
	// private: a user namespace of its own, whose root is nobody on the host. Default: host.
	UsernsMode text `yaml:"userns_mode" jsonschema:"enum=host,enum=private"`
	// What the image is for: linux/ARCH or linux/ARCH/VARIANT, with Go's words for architectures. Default: the machine's.
	Platform text `yaml:"platform"`
	// Who runs the container. docker: Docker, or Podman by its compatible socket, from an image. crun, runc or an absolute path: topo, by that OCI runtime. Default: topo, by crun, or by runc where crun is missing or fails; --runtime sets another one.
	Runtime text `yaml:"runtime"`
}

// A limit of each process: a number that is the soft and the hard limit, or both. -1 is no limit.
type ulimit struct {
	origin
	Scalar number

	// What holds; a process can raise it up to the hard limit.
	Soft number `yaml:"soft" jsonschema:"required,minimum=-1"`
	// What it can be raised to.
	Hard number `yaml:"hard" jsonschema:"required,minimum=-1"`
}

// A list of bridges, or a map from a bridge to the attachment.
type attachments struct {
	origin
	List []text
	Map  dict[attachment]
}

// How a node joins a bridge.
type attachment struct {
	origin

	// Name of the interface in the node. Default: the next free of eth0, eth1…, in order.
	Interface text `yaml:"interface" jsonschema:"pattern=^[^/:%\\s]{1\\,15}$"`
	// One or a list; the prefix length is the subnet's where it is left out. Default: allocated, one of each subnet.
	Address texts `yaml:"address" merge:"replace"`
	// MAC address of the node's interface. Default: derived from machine, project, bridge and address.
	MAC text `yaml:"mac" jsonschema:"pattern=^([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}$"`
	// Bytes of the largest packet. Default: the bridge's.
	MTU number `yaml:"mtu" jsonschema:"minimum=68,maximum=65535"`
	// More names of the node on this bridge.
	Aliases []text `yaml:"aliases"`
	// Name of the host's end. Default: veth and a hash.
	HostInterface text `yaml:"host_interface" jsonschema:"pattern=^[^/:%\\s]{1\\,15}$"`
	// true: the default route is by this bridge. false: never by it. Default: the first bridge that is not internal and has a gateway.
	DefaultRoute flag `yaml:"default_route"`
	// What becomes of the packets that the node sends here.
	Impair *impair `yaml:"impair"`
	// The VLANs that the node's port belongs to, on a bridge that filters them. Default: 1, untagged.
	VLAN *vlans `yaml:"vlan"`
	// How the bridge treats the node's port.
	Port *bridgePort `yaml:"port"`
	// Whether the interface takes addresses and routes from router advertisements. Default: false.
	AcceptRA flag `yaml:"accept_ra"`
}

// A published port, or a range of them: the short form, or a map.
type port struct {
	origin
	Scalar word

	// Port in the node, or a range.
	Target word `yaml:"target" jsonschema:"required"`
	// Port on the host, or a range. Default: derived from project, node and port.
	Published word `yaml:"published"`
	// Address of the host. Default: all.
	HostIP text `yaml:"host_ip"`
	// Default: tcp.
	Protocol text `yaml:"protocol" jsonschema:"enum=tcp,enum=udp,enum=sctp"`
	// Compose's word for how a cluster publishes; both mean the same here.
	Mode text `yaml:"mode" jsonschema:"enum=host,enum=ingress"`
	// A name for people.
	Name text `yaml:"name"`
	// Compose's word for the protocol on top; for people.
	AppProtocol text `yaml:"app_protocol"`
}

// A route.
type route struct {
	origin

	// default, or a CIDR.
	To text `yaml:"to" jsonschema:"required"`
	// Address of the next hop, or of several, which share the flows. Left out: what is routed is directly on the interface.
	Via texts `yaml:"via" merge:"replace"`
	// Interface of the node. Default: that which reaches the next hop.
	Interface text `yaml:"interface"`
	// Among routes to the same place the smallest wins. Default: 0.
	Metric number `yaml:"metric" jsonschema:"minimum=0,maximum=4294967295"`
	// Number of the routing table. Default: 254, the main one.
	Table number `yaml:"table" jsonschema:"minimum=1,maximum=4294967295"`
	// unicast, or a route that leads nowhere, without via and interface: blackhole (dropped), unreachable and prohibit (refused with an ICMP message), throw (as if this table had no route). Default: unicast.
	Type text `yaml:"type" jsonschema:"enum=unicast,enum=blackhole,enum=unreachable,enum=prohibit,enum=throw"`
	// Address of the node that its own packets come from by this route. Default: the kernel chooses.
	Src text `yaml:"src"`
	// Bytes of the largest packet by this route. Default: the interface's.
	MTU number `yaml:"mtu" jsonschema:"minimum=68,maximum=65535"`
	// Take the next hop to be on the interface, whatever the addresses say. Default: false.
	Onlink flag `yaml:"onlink"`
	// Several next hops, which share the flows by their weights, in the place of via and interface.
	Nexthops []nexthop `yaml:"nexthops"`
}

// A rule of the routing policy.
type policyRule struct {
	origin

	// Where it stands: rules are asked from the smallest number on. The kernel's own have 0, 32766 (the main table) and 32767.
	Priority number `yaml:"priority" jsonschema:"required,minimum=1,maximum=4294967295"`
	// Source of the packets: a CIDR or an address. Default: any.
	From text `yaml:"from"`
	// Destination of the packets: a CIDR or an address. Default: any.
	To text `yaml:"to"`
	// Interface of the node that the packets came in by; lo: those that the node sends itself. Default: any.
	Iif text `yaml:"iif"`
	// Interface of the node that the packets' sender is bound to. Default: any.
	Oif text `yaml:"oif"`
	// Mark that the firewall gave the packets, a number, or MARK/MASK. Default: any.
	Fwmark word `yaml:"fwmark"`
	// Number of the table that is looked in.
	Table number `yaml:"table" jsonschema:"minimum=1,maximum=4294967295"`
	// lookup, or, without a table, blackhole (the packets are dropped), unreachable or prohibit (they are refused with an ICMP message). Default: lookup.
	Type text `yaml:"type" jsonschema:"enum=lookup,enum=blackhole,enum=unreachable,enum=prohibit"`
	// ipv4 or ipv6. Default: that of from and to; without them both.
	Family text `yaml:"family" jsonschema:"enum=ipv4,enum=ipv6"`
}

// One of several next hops.
type nexthop struct {
	origin

	// Address of the next hop. Left out: what is routed is directly on the interface.
	Via text `yaml:"via"`
	// Interface of the node. Default: that which reaches the next hop.
	Interface text `yaml:"interface"`
	// Its share of the flows. Default: 1.
	Weight number `yaml:"weight" jsonschema:"minimum=1,maximum=256"`
}

// Text that is split into words as a shell does, or a list of words.
type words struct {
	origin
	Scalar text
	List   []word
}

// Lines of the hosts file: a list of NAME=ADDRESS or NAME:ADDRESS, or a map.
type hosts struct {
	origin
	List []text
	Map  dict[texts]
}

// A file of variables, or a list of files.
type envFiles struct {
	origin
	Scalar text
	List   []envFile
}

// A file of variables: its path, or a map.
type envFile struct {
	origin
	Scalar text

	// Path of the file; relative ones start at the topology's folder.
	Path text `yaml:"path" jsonschema:"required"`
	// false: it may be missing. Default: true.
	Required flag `yaml:"required"`
	// raw: values are taken as they are, without quotes and ${…}. Default: Compose's format.
	Format text `yaml:"format" jsonschema:"enum=raw,enum=.env"`
}

// A list of nodes, or a map from a node to what is waited for.
type dependencies struct {
	origin
	List []text
	Map  dict[dependency]
}

// What is waited for.
type dependency struct {
	origin

	// service_started, service_healthy (its health check says so) or service_completed_successfully (it ended with 0). Default: service_started.
	Condition text `yaml:"condition" jsonschema:"enum=service_started,enum=service_healthy,enum=service_completed_successfully"`
	// false: the node may be missing or fail. Default: true.
	Required flag `yaml:"required"`
	// This node's process is restarted when the other one's is replaced. Default: false.
	Restart flag `yaml:"restart"`
}

// How to tell that a process does its work.
type healthcheck struct {
	origin

	// A command line for a shell, or a list: CMD and words, CMD-SHELL and a command line, or NONE. Default: the image's.
	Test healthTest `yaml:"test" merge:"replace"`
	// Time between checks. Default: 30s.
	Interval span `yaml:"interval"`
	// A check that takes longer has failed. Default: 30s.
	Timeout span `yaml:"timeout"`
	// Failures in a row that make the process unhealthy. Default: 3.
	Retries number `yaml:"retries" jsonschema:"minimum=0"`
	// Time after the start in which failures don't count. Default: 0s.
	StartPeriod span `yaml:"start_period"`
	// Time between checks in the start period. Default: 5s.
	StartInterval span `yaml:"start_interval"`
	// true: no health check. Default: false.
	Disable flag `yaml:"disable"`
}

// A command line for a shell, or a list: CMD and words, CMD-SHELL and a command line, or NONE.
type healthTest struct {
	origin
	Scalar text
	List   []word
}

// A mount: [SOURCE:]TARGET[:OPTIONS], or a map.
type volume struct {
	origin
	_      struct{} `later:"image"`
	Scalar text

	// volume: one that topo keeps. bind: a file or folder of the host. tmpfs: in memory, gone with the process.
	Type text `yaml:"type" jsonschema:"required"`
	// Of a volume its name in the file; left out: one of the node's own. Of a bind the file or folder of the host; relative paths start at the topology's folder, ~ is the home.
	Source text `yaml:"source"`
	// Path in the container; absolute.
	Target text `yaml:"target" jsonschema:"required"`
	// Nothing can be written below it. Default: false.
	ReadOnly flag `yaml:"read_only"`
	// More about a bind mount.
	Bind *bind `yaml:"bind"`
	// Compose's word for Docker Desktop; without effect on Linux.
	Consistency text `yaml:"consistency"`
	// More about a volume.
	Volume *volumeOptions `yaml:"volume"`
	// More about a tmpfs.
	Tmpfs *tmpfsOptions `yaml:"tmpfs"`
}

// More about a bind mount.
type bind struct {
	origin

	// Whether mounts made below it later are seen on the other side (mount(8), shared subtrees). Default: rprivate.
	Propagation text `yaml:"propagation" jsonschema:"enum=rprivate,enum=private,enum=rshared,enum=shared,enum=rslave,enum=slave"`
	// Make a missing source, as a folder. Default: true.
	CreateHostPath flag `yaml:"create_host_path"`
	// SELinux's relabelling, z or Z; without effect where SELinux is off.
	SELinux text `yaml:"selinux" jsonschema:"enum=z,enum=Z"`
}
