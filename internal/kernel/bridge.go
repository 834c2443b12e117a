package kernel

import (
	"strconv"
	"time"
)

// BridgeAttrs are the parameters of a bridge that a topology can state, and what is to be known of it to read them. Times are in
// hundredths of a second on the wire.
type BridgeAttrs struct {
	STP          bool
	ForwardDelay time.Duration
	// VLANFiltering: packets stay in their VLANs; false also where the kernel was built without it.
	VLANFiltering bool
	// DefaultPVID is the VLAN that a new port belongs to, untagged; 1 unless somebody changed it, 0 = none.
	DefaultPVID int

	Priority   int // of becoming the spanning tree's root: the smallest does
	HelloTime  time.Duration
	MaxAge     time.Duration
	AgeingTime time.Duration // how long a MAC address is remembered
	// McastSnooping: multicast goes to those ports alone behind which somebody listens; true also where the kernel was built
	// without it.
	McastSnooping bool

	// Follows: another bridge is the root, whose delay, hello time and maximum age these are.
	Follows bool
	// Changing: the spanning tree has just changed, and the ageing time is twice the forward delay for a while.
	Changing bool
}

// DefaultBridge is a new bridge (br_dev_setup in net/bridge/br_device.c), but for what the kernel's build decides.
var DefaultBridge = BridgeAttrs{
	ForwardDelay: 15 * time.Second, Priority: 32768, HelloTime: 2 * time.Second, MaxAge: 20 * time.Second, AgeingTime: 300 * time.Second,
	McastSnooping: true,
}

// PortAttrs are the parameters of a bridge port that a topology can state, and its state.
type PortAttrs struct {
	Isolated bool   // no traffic with other isolated ports
	Hairpin  bool   // frames may leave by the port that they came in by
	State    string // "disabled", "listening", "learning", "forwarding", "blocking"

	Learning   bool // the MAC addresses behind it are learnt
	Flood      bool // packets to a MAC address that nobody knows leave by it
	McastFlood bool // multicast that nobody asked for does
	BcastFlood bool // broadcasts do
	Cost       int  // of the way by it to the spanning tree's root
	Priority   int  // among ports with equal ways: the smallest wins
}

// DefaultPort is the port that a veth becomes (new_nbp in net/bridge/br_if.c): it says of itself to be 10 Gbit/s fast.
var DefaultPort = PortAttrs{Learning: true, Flood: true, McastFlood: true, BcastFlood: true, Cost: 2, Priority: 32}

type (
	// BridgeSet changes the parameters of a bridge; nil leaves one alone. What the kernel was built without it ignores.
	BridgeSet struct {
		Name         string
		STP          *bool
		ForwardDelay *time.Duration

		VLANFiltering *bool
		Priority      *int
		HelloTime     *time.Duration
		MaxAge        *time.Duration
		AgeingTime    *time.Duration
		McastSnooping *bool

		Netns string
	}
	// PortSet changes the parameters of a bridge port; nil leaves one alone.
	PortSet struct {
		Name     string
		Isolated *bool
		Hairpin  *bool

		Learning   *bool
		Flood      *bool
		McastFlood *bool
		BcastFlood *bool
		Cost       *int
		Priority   *int

		Netns string
	}
)

func (BridgeSet) op() {}
func (PortSet) op()   {}

func (o BridgeSet) String() string {
	var b line
	b.add(ip(o.Netns), "link set", o.Name, "type bridge")
	b.onOff("stp_state", o.STP, "1", "0")
	b.time("forward_delay", o.ForwardDelay)
	b.onOff("vlan_filtering", o.VLANFiltering, "1", "0")
	b.number("priority", o.Priority)
	b.time("hello_time", o.HelloTime)
	b.time("max_age", o.MaxAge)
	b.time("ageing_time", o.AgeingTime)
	b.onOff("mcast_snooping", o.McastSnooping, "1", "0")
	return b.String()
}

func (o PortSet) String() string {
	var b line
	b.add(bridge(o.Netns), "link set dev", o.Name)
	b.onOff("isolated", o.Isolated, "on", "off")
	b.onOff("hairpin", o.Hairpin, "on", "off")
	b.onOff("learning", o.Learning, "on", "off")
	b.onOff("flood", o.Flood, "on", "off")
	b.onOff("mcast_flood", o.McastFlood, "on", "off")
	b.onOff("bcast_flood", o.BcastFlood, "on", "off")
	b.number("cost", o.Cost)
	b.number("priority", o.Priority)
	return b.String()
}

// What is nil is left out.

func (l *line) onOff(word string, v *bool, on, off string) {
	if v != nil {
		l.add(word, onOff(*v, on, off))
	}
}

func (l *line) time(word string, v *time.Duration) {
	if v != nil {
		l.add(word, centiseconds(*v))
	}
}

func (l *line) number(word string, v *int) {
	if v != nil {
		l.add(word, strconv.Itoa(*v))
	}
}

// maxMTU is the largest MTU of an Ethernet-like device (ETH_MAX_MTU).
const maxMTU = 65535

// FirstMTU is what a bridge is made with; it then gets its own, in another edit. One whose MTU was never set follows the smallest
// MTU of its ports (br_mtu_auto_adjust in net/bridge/br_if.c), and only a change counts as set. 0 = the kernel's default.
func (o BridgeAdd) FirstMTU() int {
	switch o.MTU {
	case 0:
		return 0
	case maxMTU:
		return maxMTU - 1
	default:
		return o.MTU + 1
	}
}
