package linux

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// cardSetup is a machine's card with all that one can have.
const cardSetup = `
ip -4 address flush dev em1
ip address add 192.0.2.10/24 brd + dev em1 label em1:lan
ip address add 192.0.2.11/24 dev em1 metric 5
ip address add 198.51.100.1 peer 198.51.100.2/32 dev em1 scope link
ip address add 10.8.0.1/24 dev em1 noprefixroute
ip address add 2001:db8:2::10/64 dev em1
ip address add 2001:db8:2::11/64 dev em1 nodad
ip address add 2001:db8:2::12/64 dev em1 preferred_lft 0
ip route add default via 192.0.2.1 dev em1 proto static src 192.0.2.11 metric 100 mtu 1400
ip route add 203.0.113.0/24 via 192.0.2.2 dev em1
ip route append 203.0.113.0/24 via 192.0.2.3 dev em1
ip route add 203.0.114.0/24 via 192.0.2.2 dev em1 table 77 proto bird
ip route add 203.0.115.0/24 nexthop via 192.0.2.2 dev em1 weight 2 nexthop via 192.0.2.3 dev em1 weight 1
ip route add 203.0.116.0/24 nexthop via 192.0.2.2 dev em1 nexthop via 172.16.0.2 dev em2
ip route add 10.9.9.9 dev em1 scope link
ip route add 10.10.0.0/16 via 10.99.99.99 dev em1 onlink tos 0x10
ip route add 10.8.0.0/24 dev em1 proto kernel scope link src 10.8.0.1 metric 100
ip -6 route add default via 2001:db8:2::1 dev em1 metric 1024 pref high
ip -6 route add 2001:db8:7::/64 via fe80::1 dev em1 table 77
ip -6 route add 2001:db8:8::/64 nexthop via 2001:db8:2::2 dev em1 nexthop via 2001:db8:2::3 dev em1
ip neigh add 192.0.2.77 lladdr 02:00:00:00:00:77 dev em1 nud permanent
ip -6 neigh add 2001:db8:2::77 lladdr 02:00:00:00:00:78 dev em1 nud permanent
ip neigh add proxy 192.0.2.88 dev em1
`

func card(t *testing.T) (*testhost.RemoteMachine, func() string) {
	t.Helper()
	lan := testhost.Remote(t, "em1", "192.0.2.10/24", "192.0.2.1/24")
	lan.Run("ip", "address", "add", "2001:db8:2::1/64", "dev", "eth0", "nodad")
	testhost.Run(t, "sh", "-ec", "ip link add em2 type veth peer name em2far && ip link set em2 addrgenmode none && ip link set em2far addrgenmode none && ip address add 172.16.0.1/24 dev em2 && ip link set em2 up && ip link set em2far up")
	testhost.Run(t, "sh", "-ec", cardSetup)
	return lan, func() string {
		var out string
		testhost.Poll(t, func() error {
			out = testhost.Run(t, "ip", "-d", "address", "show", "dev", "em1")
			if strings.Contains(out, "tentative") {
				return unix.EAGAIN
			}
			return nil
		})
		for _, argv := range []string{"ip -4 route show table all", "ip -6 route show table all", "ip neigh show nud permanent", "ip -4 neigh show proxy"} {
			out += "== " + argv + "\n"
			for line := range strings.Lines(testhost.Run(t, strings.Fields(argv)...)) {
				if !strings.Contains(line, "dev lan") && !strings.Contains(line, "ff00::/8") {
					out += line
				}
			}
		}
		return out
	}
}

func lanBridge(t *testing.T, h *Host) {
	t.Helper()
	mac := linkOf(t, snapshot(t, h).Host, "em1").MAC
	do(t, h, kernel.BridgeAdd{Name: "lan", MAC: mac, Group: group}, kernel.LinkSet{Name: "lan", Up: ptr(true)})
}

// cardAndBridge is a machine with a card and a bridge that it can become a port of.
func cardAndBridge(t *testing.T) (h *Host, before string, state func() string) {
	t.Helper()
	h = open(t)
	_, state = card(t)
	lanBridge(t, h)
	return h, state(), state
}

// asBefore waits for what the kernel does in its own time: the local routes of IPv6 addresses (addrconf_dad_work).
func asBefore(t *testing.T, what, before string, state func() string) {
	t.Helper()
	testhost.Poll(t, func() error {
		if diff := cmp.Diff(before, state()); diff != "" {
			return fmt.Errorf("%s, the card is not as it was (-before +after):\n%s", what, diff)
		}
		return nil
	})
}

var (
	take    = kernel.UplinkTake{Project: project, Card: "em1", Bridge: "lan", Patience: 5 * time.Second}
	quick   = kernel.UplinkTake{Project: project, Card: "em1", Bridge: "lan"} // asks no gateway
	release = kernel.UplinkRelease{Project: project, Card: "em1"}
)

// All that a card has goes to the bridge, and comes back the same.
func TestUplink(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	lan, state := card(t)
	before := state()
	lanBridge(t, h)
	for range 2 { // the second finds nothing to do
		do(t, h, take)
		if a := testhost.Run(t, "ip", "address", "show", "dev", "em1"); strings.Contains(a, "192.0.2.") || strings.Contains(a, "2001:db8") {
			t.Errorf("left on the card:\n%s", a)
		}
		if r := testhost.Run(t, "sh", "-c", "ip route show table all | grep em1 | grep -v -e ff00::/8 -e fe80: || true"); r != "" {
			t.Errorf("routes left on the card:\n%s", r)
		}
		for _, want := range []string{"192.0.2.10/24 brd 192.0.2.255 scope global lan:lan", "192.0.2.11/24", "198.51.100.1 peer 198.51.100.2/32", "2001:db8:2::12/64 scope global nodad deprecated"} {
			if a := testhost.Run(t, "ip", "address", "show", "dev", "lan"); !strings.Contains(a, want) {
				t.Errorf("the bridge lacks %q:\n%s", want, a)
			}
		}
		lan.Run("ping", "-c", "1", "-W", "5", "192.0.2.10")
		lan.Run("ping", "-c", "1", "-W", "5", "2001:db8:2::10")
	}
	u := snapshot(t, h).Uplinks
	if len(u) != 1 || u[0].Project != project || u[0].Card != "em1" || u[0].Bridge != "lan" || len(u[0].Addrs) != 7 {
		t.Errorf("the record reads %+v", u)
	}
	do(t, h, release, release)
	do(t, h, kernel.LinkDelete{Name: "lan"})
	asBefore(t, "released", before, state)
	lan.Run("ping", "-c", "1", "-W", "5", "192.0.2.10")
	if _, err := os.Stat(recordsDir); err == nil {
		t.Error("records are left")
	}
}

// killed stands for the end of topo.
type killed struct{}

// doKilled carries out an edit until it is about to send its n-th change; it reports whether it got there.
func doKilled(t *testing.T, n int, op kernel.Op) (was bool) {
	t.Helper()
	h := open(t) // another run of topo
	h.Trace(func(string) {
		if n--; n < 0 {
			panic(killed{})
		}
	})
	defer func() {
		if p := recover(); p != nil {
			was = p == killed{}
			if !was {
				panic(p)
			}
		}
	}()
	do(t, h, op)
	return false
}

// Killed at any of its messages, a move is finished, or undone.
func TestUplinkKilled(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h, before, state := cardAndBridge(t)
	check := func(n int, what string) {
		t.Helper()
		asBefore(t, fmt.Sprintf("killed at message %d, %s", n, what), before, state)
	}
	for n := 0; doKilled(t, n, quick); n++ {
		if n%2 == 0 {
			do(t, h, quick)
		}
		do(t, h, release)
		check(n, "then released")
	}
	do(t, h, release)
	for n := 0; ; n++ {
		do(t, h, quick)
		was := doKilled(t, n, release)
		if !was {
			break
		}
		if n%2 == 0 {
			do(t, h, quick)
		}
		do(t, h, release)
		check(n, "while released")
	}
	check(-1, "at the end")
}

// A gateway that answered before and does not by way of the bridge: all is undone. One that did not is no reason.
func TestUplinkGateway(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h, before, state := cardAndBridge(t)
	gateway := addr("192.0.2.1")
	if !h.Answers("em1", gateway) {
		t.Fatal("the gateway does not answer on the card")
	}
	testhost.Run(t, "ip", "link", "set", "lan", "type", "bridge", "stp_state", "1") // nothing is forwarded for 30 s
	short := take
	short.Patience = 100 * time.Millisecond
	err := refused(t, h, unix.ETIMEDOUT, short)
	if !strings.Contains(err.Error(), "gateway 192.0.2.1 answered on em1, and did not on lan within 100ms") {
		t.Errorf("the reason: %v", err)
	}
	asBefore(t, "released", before, state)
	if u := snapshot(t, h).Uplinks; len(u) != 0 {
		t.Errorf("a record is left: %+v", u)
	}
	// Now none answers at all.
	testhost.Run(t, "sh", "-ec", "ip route del default && ip -6 route del default && ip route add default via 192.0.2.99 dev em1")
	do(t, h, short, release)
}

// What is the card's as long as it is a port is taken along, and refusals change nothing.
func TestUplinkRefusals(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h, before, state := cardAndBridge(t)
	other := func(change func(*kernel.UplinkTake)) kernel.UplinkTake {
		o := quick
		change(&o)
		return o
	}
	refused(t, h, unix.ENODEV, other(func(o *kernel.UplinkTake) { o.Card = "none" }))
	refused(t, h, unix.ENODEV, other(func(o *kernel.UplinkTake) { o.Bridge = "none" }))
	refused(t, h, unix.EOPNOTSUPP, other(func(o *kernel.UplinkTake) { o.Bridge = "em2" }))
	testhost.Run(t, "sh", "-ec", "ip nexthop add id 7 via 192.0.2.9 dev em1 && ip route add 203.0.117.0/24 nhid 7")
	refused(t, h, unix.EOPNOTSUPP, quick)
	testhost.Run(t, "ip", "nexthop", "delete", "id", "7")
	asBefore(t, "refused", before, state)
	do(t, h, quick)
	refused(t, h, unix.EBUSY, other(func(o *kernel.UplinkTake) { o.Project = "other" }))
	do(t, h, kernel.UplinkRelease{Project: "other", Card: "em1"}) // is not its own: nothing
	// Somebody pulls the card out of the bridge, and gives it an address.
	testhost.Run(t, "sh", "-ec", "ip link set em1 nomaster && ip address add 192.0.2.10/24 dev em1 && ip address add 192.0.2.99/24 dev em1")
	do(t, h, quick)
	if got := linkOf(t, snapshot(t, h).Host, "em1"); got.Master != "lan" {
		t.Errorf("the card is a port of %q", got.Master)
	}
	do(t, h, release)
	testhost.Run(t, "ip", "address", "delete", "192.0.2.99/24", "dev", "em1")
	asBefore(t, "released", before, state)
	// The bridge goes first, and the card is down when it is taken.
	do(t, h, quick, kernel.LinkDelete{Name: "lan"}, release)
	asBefore(t, "released without the bridge", before, state)
	lanBridge(t, h)
	testhost.Run(t, "ip", "link", "set", "em1", "down")
	do(t, h, quick, release)
	if linkOf(t, snapshot(t, h).Host, "em1").Up {
		t.Error("the card was down, and is up")
	}
	// A card that is gone has nothing to be given.
	do(t, h, quick)
	testhost.Run(t, "ip", "link", "delete", "em1")
	do(t, h, release)
	if u := snapshot(t, h).Uplinks; len(u) != 0 {
		t.Errorf("a record is left: %+v", u)
	}
}

// Addresses that end keep the time that is left to them.
func TestUplinkLifetimes(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	card(t)
	lanBridge(t, h)
	testhost.Run(t, "ip", "address", "add", "2001:db8:9::5/64", "dev", "em1", "valid_lft", "3600", "preferred_lft", "1800")
	testhost.Run(t, "ip", "-6", "route", "add", "2001:db8:a::/64", "via", "2001:db8:2::5", "dev", "em1", "expires", "3600")
	do(t, h, quick)
	testhost.Run(t, "ip", "address", "change", "2001:db8:9::5/64", "dev", "lan", "valid_lft", "7200", "preferred_lft", "300")
	do(t, h, release)
	if a := testhost.Run(t, "ip", "address", "show", "dev", "em1"); !strings.Contains(a, "valid_lft 7200sec preferred_lft 300sec") && !strings.Contains(a, "valid_lft 7199sec preferred_lft 299sec") {
		t.Errorf("the address has not the time that it had on the bridge:\n%s", a)
	}
	if r := testhost.Run(t, "ip", "-6", "route", "show", "2001:db8:a::/64"); !strings.Contains(r, "expires 35") && !strings.Contains(r, "expires 3600sec") {
		t.Errorf("the route has not the time that it had: %s", r)
	}
}

// The kernel says "file exists" of what is not there: a card that is given back doesn't lose what it had without a word.
func TestUplinkLosesNothingThatIsSaidToBeThere(t *testing.T) {
	for what, kind := range map[string]uint16{"192.0.2.11": unix.RTM_NEWADDR, "203.0.114.0": unix.RTM_NEWROUTE} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			h, before, state := cardAndBridge(t)
			do(t, h, quick)
			lied, send := false, h.conn.send
			h.conn.send = func(fd int, request []byte) error {
				if short(request[4:]) == kind && bytes.Contains(request, netip.MustParseAddr(what).AsSlice()) && !lied {
					lied = true
					request = secondBridge(unsigned(request[8:]))
				}
				return send(fd, request)
			}
			refused(t, h, unix.EEXIST, release)
			do(t, h, release, kernel.LinkDelete{Name: "lan"})
			asBefore(t, "released", before, state)
		})
	}
}

// secondBridge is a request for a bridge that there is already.
func secondBridge(seq uint32) []byte {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.Seq = seq
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(textAttr(unix.IFLA_IFNAME, "lan"))
	info, _ := linkInfo("bridge")
	req.AddData(info)
	return req.Serialize()
}
