package examples_test

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/testhost"
)

// twin is another machine on the LAN, with a /run, an /etc/netns and a machine-id of its own.
type twin struct {
	l   *lab
	pid string
	env []string
}

// newLAN is a LAN of three machines: the test's, with em1 (192.0.2.10), another one, with em1 (192.0.2.20), and the router, which is the
// switch, too (192.0.2.1).
func newLAN(t *testing.T, l *lab, env ...string) (router *testhost.RemoteMachine, other *twin) {
	t.Helper()
	router = testhost.Remote(t, "em1", "192.0.2.10/24", "192.0.2.254/24")
	holder := exec.CommandContext(t.Context(), "sh", "-ec", `mount --make-rprivate /; mount -t tmpfs run /run; mkdir -p /etc/netns; mount -t tmpfs netns /etc/netns
		echo 00000000000000000000000000000002 >/run/id; mount --bind /run/id /etc/machine-id; touch /run/ready; exec sleep infinity`)
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = holder.Process.Kill() // it may have ended with the test's context
		_ = holder.Wait()         // says only that it was killed
	})
	other = &twin{l: l, pid: strconv.Itoa(holder.Process.Pid), env: env}
	testhost.Poll(t, func() error {
		_, err := os.Stat("/proc/" + other.pid + "/root/run/ready")
		return err
	})
	for _, line := range []string{
		"ip link add sw type bridge", "ip link set sw up", "ip link set eth0 master sw", "ip address flush dev eth0",
		"ip address add 192.0.2.1/24 dev sw", "ip address add 2001:db8:2::1/64 dev sw nodad",
		"ip link add eth1 master sw type veth peer name em1 netns " + other.pid, "ip link set eth1 up",
	} {
		router.Run(strings.Fields(line)...)
	}
	other.sh("ip link set lo up; ip address add 192.0.2.20/24 dev em1; ip link set em1 up")
	l.sh("ip address add 2001:db8:2::10/64 dev em1 nodad")
	return router, other
}

// sh runs a shell line on the other machine.
func (o *twin) sh(line string) string {
	o.l.Helper()
	return testhost.Run(o.l.T, append(append([]string{"nsenter", "-t", o.pid, "-m", "-n", "-u", "env"}, o.env...), "sh", "-ec", line)...)
}

func (o *twin) topo(command string) {
	o.l.Helper()
	dir, err := os.Getwd()
	if err != nil {
		o.l.Fatal(err)
	}
	o.sh("cd " + dir + "; " + os.Getenv(binaryVariable) + " " + command + " -f " + o.l.file)
}

// otherState is what the other machine has; of link-local addresses the kernel takes time to be sure.
const otherState = "ip address | grep -v fe80:; ip route"

// Nodes of two machines are on one layer 2, that of their cards; the cards have all back after down.
func TestUplink(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := &lab{T: t, file: "uplink.yaml"}
	router, other := newLAN(t, l, "WEB=192.0.2.102/24")
	l.sh("ip route add 203.0.113.0/24 via 192.0.2.1 dev em1 metric 7 && ip neigh add 192.0.2.77 lladdr 02:00:00:00:00:77 dev em1 nud permanent")
	*l = *start(t, "uplink.yaml")
	before := other.sh(otherState)
	other.topo("up")

	for _, to := range []string{"192.0.2.1", "192.0.2.10", "192.0.2.20", "192.0.2.102"} {
		l.sh(in("uplink-web", ping(to)))
	}
	l.sh(ping("192.0.2.101"))
	l.sh(ping("192.0.2.102"))
	router.Run(strings.Fields(ping("192.0.2.101"))...)
	router.Run(strings.Fields(ping("192.0.2.10"))...)
	router.Run(strings.Fields(ping("2001:db8:2::10"))...)
	l.shows("ip route", "192.0.2.0/24 dev br-lan proto kernel", "203.0.113.0/24 via 192.0.2.1 dev br-lan metric 7")
	l.shows("ip neigh show dev br-lan nud permanent", "192.0.2.77 lladdr 02:00:00:00:00:77")

	l.heal("ip link set em1 nomaster", "~ uplink/em1")
	l.heal("ip link set em1 down", "~ uplink/em1")
	l.heal("ip address add 192.0.2.10/24 dev em1", "~ uplink/em1")
	l.heal("ip address delete 192.0.2.10/24 dev br-lan", "~ uplink/em1")
	l.heal("ip route delete 203.0.113.0/24", "~ uplink/em1")
	l.heal("ip address add 192.0.2.99/24 dev br-lan", "- address/host:br-lan/192.0.2.99/24")
	l.heal("ip link set br-lan down", "~ up/lan", "~ uplink/em1")
	l.sh("ip link delete br-lan")
	l.plans("the bridge is gone", "+ bridge/lan", "+ up/lan", "~ port/web:eth0", "± uplink/em1")
	l.up()
	l.settled()
	router.Run(strings.Fields(ping("192.0.2.101"))...)

	other.topo("down")
	if diff := cmp.Diff(before, other.sh(otherState)); diff != "" {
		t.Errorf("the other machine is not what it was (-before +after):\n%s", diff)
	}
	l.down()
}

// The card carries the default route: topo wants to hear --yes, and undoes all where the router answers no more.
func TestUplinkWithDefaultRoute(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	l := &lab{T: t, file: "uplink.yaml"}
	router, _ := newLAN(t, l)
	l.sh("ip route add default via 192.0.2.1 dev em1 proto static")
	l.before = testhost.Machine(t)
	out, code := l.try("up")
	if code != 3 || !strings.Contains(out, "em1 carries the default route (via 192.0.2.1); nothing was changed") || !strings.Contains(out, "topo up --yes") {
		t.Errorf("without --yes: exit code %d\n%s", code, out)
	}
	l.asBefore()
	l.shows(os.Getenv(binaryVariable)+" plan -f uplink.yaml 2>&1", "topo: warning: em1 carries the default route (via 192.0.2.1), so up asks for --yes: em1 becomes a port of br-lan")
	l.topo("up", "--yes")
	l.settled()
	l.shows("ip route", "default via 192.0.2.1 dev br-lan proto static")
	router.Run(strings.Fields(ping("192.0.2.10"))...)
	l.topo("up") // nothing to do, and so nothing to agree to
	l.down()

	// The session comes in by the card.
	l.sh("ip route delete default")
	l.before = testhost.Machine(t)
	t.Setenv("SSH_CONNECTION", "192.0.2.1 5000 192.0.2.10 22")
	if out, code = l.try("up"); code != 3 || !strings.Contains(out, "em1 carries the session that topo runs in (192.0.2.10)") {
		t.Errorf("over SSH: exit code %d\n%s", code, out)
	}
	l.asBefore()

	// The switch lets one address through, and the bridge has another.
	l.sh("ip route add default via 192.0.2.1 dev em1 proto static")
	l.before = testhost.Machine(t)
	router.Run("sh", "-c", "ip link set eth0 type bridge_slave learning off; bridge fdb add 02:00:00:00:00:99 dev eth1 master static")
	l.edited("name: br-lan", "name: br-lan\n    mac: 02:00:00:00:00:99")
	out, code = l.try("up", "--yes")
	if code != 1 || !strings.Contains(out, "gateway 192.0.2.1 answered on em1, and did not on br-lan within 10s; em1 has all back that it had") {
		t.Errorf("the router does not answer: exit code %d\n%s", code, out)
	}
	l.shows("ip route", "default via 192.0.2.1 dev em1 proto static")
	l.sh(ping("192.0.2.1"))
	l.down()
}

// What can't be an uplink is refused before anything is changed.
func TestUplinkConflicts(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := &lab{T: t, file: "uplink.yaml"}
	newLAN(t, l)
	for name, c := range map[string][3]string{
		"missing":    {"ip link set em1 down && ip link set em1 name em0", "there is no such interface on the host", "ip link set em0 name em1 && ip link set em1 up"},
		"a port":     {"ip link add br9 type bridge && ip link set em1 master br9", "it is a member of br9", "ip link delete br9"},
		"DHCP":       {"ip address add 192.0.2.30/24 dev em1 valid_lft 3600 preferred_lft 3600", "its address 192.0.2.30/24 ends by itself: a DHCP client", "ip address delete 192.0.2.30/24 dev em1"},
		"a MACVLAN":  {"ip link add mv0 link em1 type macvlan || true", "it carries the macvlan mv0", "ip link delete mv0"},
		"a low MTU":  {"ip link set em1 mtu 1400", "em1 has an MTU of 1400, less than the bridge's 1500", "ip link set em1 mtu 1500"},
		"topo's own": {"ip link set em1 alias topo:other:port/x:eth0", "belongs to port/x:eth0 of project other", "ip link set em1 alias ''"},
	} {
		l.sh(c[0])
		if name == "a MACVLAN" {
			if _, err := testhost.Try(t, "ip", "link", "show", "mv0"); err != nil {
				continue // this kernel has none
			}
		}
		out, code := l.try("plan")
		if code != 3 || !strings.Contains(out, c[1]) {
			t.Errorf("%s: exit code %d, want %q:\n%s", name, code, c[1], out)
		}
		l.sh(c[2])
	}
	// Another project has it.
	l.topo("up")
	out, err := exec.CommandContext(t.Context(), os.Getenv(binaryVariable), "plan", "-f", l.file, "-p", "second").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(string(out), "it is an uplink of br-lan of project uplink") {
		t.Errorf("another project: %v\n%s", err, out)
	}
}

// One VLAN of the cards of two machines; em1 keeps what it has.
func TestVMUplinkVLAN(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	l := &lab{T: t, file: "uplink-vlan.yaml"}
	_, other := newLAN(t, l, "WEB=10.101.0.2/24")
	testhost.Kernel(t, "CONFIG_VLAN_8021Q", "ip", "link", "add", "link", "em1", "name", "probe", "type", "vlan", "id", "7")
	l.sh("ip route add default via 192.0.2.1 dev em1")
	*l = *start(t, "uplink-vlan.yaml")
	other.topo("up")
	l.shows("ip -d link show em1.101", "vlan protocol 802.1Q id 101", "master vlan-servers", "alias topo:vlan:link/host:em1.101")
	l.shows("ip address show em1", "192.0.2.10/24")
	l.sh(in("vlan-web", ping("10.101.0.2")))
	l.fails(in("vlan-web", noPing("192.0.2.1")))
	l.heal("ip link set em1.101 nomaster", "~ uplink/em1.101")
	l.sh("ip link delete em1.101")
	l.plans("the VLAN is gone", "+ link/host:em1.101", "± uplink/em1.101")
	l.up()
	l.settled()
	l.sh(in("vlan-web", ping("10.101.0.2")))
	other.topo("down")
	l.down()
	// One that is there by itself is an uplink like any other, and stays.
	l.sh("ip link add link em1 name em1.101 type vlan id 101 && ip address add 10.101.0.9/24 dev em1.101 && ip link set em1.101 up")
	*l = *start(t, "uplink-vlan.yaml")
	l.shows("ip address show vlan-servers", "10.101.0.9/24")
	l.down()
}

// A card is a trunk of a bridge that filters VLANs; its own addresses stay reachable without a tag.
func TestVMUplinkTrunk(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	remote := testhost.Remote(t, "em1", "192.0.2.10/24", "192.0.2.1/24")
	testhost.Kernel(t, "CONFIG_VLAN_8021Q", "ip", "link", "add", "link", "em1", "name", "probe", "type", "vlan", "id", "7")
	testhost.Run(t, "ip", "link", "delete", "probe")
	for _, id := range []string{"101", "102"} {
		remote.Run("ip", "link", "add", "link", "eth0", "name", "eth0."+id, "type", "vlan", "id", id)
		remote.Run("ip", "address", "add", "10."+id+".0.2/24", "dev", "eth0."+id)
		remote.Run("ip", "link", "set", "eth0."+id, "up")
	}
	l := start(t, "uplink-trunk.yaml")
	l.shows("bridge vlan show dev em1", "1 PVID Egress Untagged", "101", "102")
	l.sh(in("uptrunk-web", ping("10.101.0.2")))
	l.sh(in("uptrunk-db", ping("10.102.0.2")))
	l.sh(ping("192.0.2.1"))
	l.fails(in("uptrunk-web", noPing("10.102.0.2")))
	l.heal("bridge vlan delete dev em1 vid 102", "~ uplink/em1")
	l.heal("bridge vlan add dev em1 vid 103", "~ uplink/em1")
	l.heal("ip link set em1 nomaster", "~ uplink/em1")
	l.edited("tagged: [101, 102]", "tagged: 101")
	l.plans("a VLAN less", "~ uplink/em1")
	l.up()
	l.fails(in("uptrunk-db", noPing("10.102.0.2")))
	l.sh(in("uptrunk-web", ping("10.101.0.2")))
	l.down()
}
