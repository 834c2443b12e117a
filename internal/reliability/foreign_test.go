package reliability_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"topo/internal/kernel"
	"topo/internal/linux"
	"topo/internal/testhost"
)

// decoys are other people's things that look like topo's, or are in its places, as shell commands. GROUP is that of the links of project p.
var decoys = map[string]string{
	"a namespace with the prefix":         "ip netns add p-foreign",
	"a namespace of another project":      "ip netns add p-other && ip -n p-other link set lo alias topo:q:netns/other group $GROUP",
	"an anonymous mount":                  "mkdir -p /run/netns && touch /run/netns/p-mount && mount --bind /proc/self/ns/uts /run/netns/p-mount",
	"a file where namespaces are":         "mkdir -p /run/netns && echo mine > /run/netns/p-file",
	"a bridge with the prefix":            "ip link add p-foreign type bridge && ip link set p-foreign up",
	"a bridge in the group":               "ip link add grouped group $GROUP type bridge && ip link set grouped alias mine",
	"a bridge of another project":         "ip link add q-b1 group $GROUP type bridge && ip link set q-b1 alias topo:q:bridge/b1",
	"a bridge with an uplink":             "ip link add br-lan type bridge && ip link add eth7 type veth peer name wire7 && ip link set eth7 master br-lan up && ip link set br-lan up && ip address add 192.0.2.7/24 dev br-lan",
	"an address on a link":                "ip link add q-lk1 type veth peer name q-lk2 && ip link set q-lk1 up && ip address add 172.29.0.1/24 dev q-lk1",
	"a permanent neighbour":               "ip link add nb1 type veth peer name nb2 && ip link set nb1 up && ip neighbour add 192.0.2.99 lladdr 02:00:00:00:00:99 dev nb1 nud permanent",
	"a route and a rule":                  "ip route add 198.51.100.0/24 dev lo metric 4000 && ip rule add from 198.51.100.0/24 lookup 77 priority 77 && ip route add blackhole 203.0.113.0/24 table 77",
	"a chain like topo's":                 "iptables -N TOPO-FOREIGN && iptables -A TOPO-FOREIGN -j ACCEPT",
	"a rule of another project":           "iptables -A FORWARD -i q-b1 -m comment --comment topo:q:isolation/b1 -j ACCEPT",
	"a comment like a mark":               `iptables -A FORWARD -i p-b1 -m comment --comment "topo: p: bridge" -j ACCEPT`,
	"rules for a bridge of topo's":        "iptables -A FORWARD -i p-b1 -j ACCEPT && iptables -t nat -A POSTROUTING -s 10.20.1.0/24 ! -o p-b1 -j MASQUERADE",
	"a policy":                            "iptables -P FORWARD DROP && ip6tables -P FORWARD DROP",
	"rules of the legacy tables":          "iptables-legacy -A FORWARD -s 198.51.100.0/24 -j ACCEPT && ip6tables-legacy -t mangle -A PREROUTING -j ACCEPT",
	"files of a namespace of somebody's":  "mkdir -p /etc/netns/p-foreign && echo 127.0.0.1 localhost > /etc/netns/p-foreign/hosts && echo x > /etc/netns/p-foreign/nsswitch.conf",
	"a file of another project":           "mkdir -p /etc/netns/p-other && echo '# topo:q:hosts/other' > /etc/netns/p-other/hosts",
	"parameters":                          "sysctl -qw net.ipv4.conf.all.rp_filter=2 net.core.somaxconn=4097 net.ipv6.conf.all.accept_ra=0",
	"forwarding":                          "sysctl -qw net.ipv4.ip_forward=1",
	"forwarding of one link":              "ip link add fw1 type veth peer name fw2 && sysctl -qw net.ipv4.conf.fw1.forwarding=1 net.ipv6.conf.fw2.forwarding=1",
	"a user's own chain":                  "iptables -N TOPO-USER && iptables -A TOPO-USER -s 198.51.100.0/24 -j DROP && iptables -I FORWARD -m comment --comment topo:@host:firewall/ipv4/filter -j TOPO-USER",
	"a volume's folder that nobody marks": "mkdir -p /var/lib/topo/volumes/stranger && echo mine > /var/lib/topo/volumes/stranger/file",
	"Docker": `ip link add docker0 type bridge && ip address add 172.17.0.1/16 dev docker0 && ip link set docker0 up && sysctl -qw net.ipv4.ip_forward=1 && iptables-restore --noflush <<'END'
*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 18080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
END`,
	"containerlab": `ip link add br-1a2b3c4d5e6f type bridge && ip address add 172.20.20.1/24 dev br-1a2b3c4d5e6f && iptables-restore --noflush <<'END'
*filter
:DOCKER-USER - [0:0]
-I DOCKER-USER -o br-1a2b3c4d5e6f -m comment --comment "set by containerlab" -j ACCEPT
-I DOCKER-USER -i br-1a2b3c4d5e6f -m comment --comment "set by containerlab" -j ACCEPT
COMMIT
END`,
	"libvirt": `ip link add virbr0 type bridge stp_state 1 && ip address add 192.168.122.1/24 dev virbr0 && iptables-restore --noflush <<'END'
*nat
:LIBVIRT_PRT - [0:0]
-A POSTROUTING -j LIBVIRT_PRT
-A LIBVIRT_PRT -s 192.168.122.0/24 -d 224.0.0.0/24 -j RETURN
-A LIBVIRT_PRT -s 192.168.122.0/24 -d 255.255.255.255/32 -j RETURN
-A LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -p tcp -j MASQUERADE --to-ports 1024-65535
-A LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -j MASQUERADE
COMMIT
*filter
:LIBVIRT_FWI - [0:0]
:LIBVIRT_FWO - [0:0]
:LIBVIRT_FWX - [0:0]
-A FORWARD -j LIBVIRT_FWX
-A FORWARD -j LIBVIRT_FWI
-A FORWARD -j LIBVIRT_FWO
-A LIBVIRT_FWI -d 192.168.122.0/24 -o virbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A LIBVIRT_FWI -o virbr0 -j REJECT --reject-with icmp-port-unreachable
-A LIBVIRT_FWO -s 192.168.122.0/24 -i virbr0 -j ACCEPT
-A LIBVIRT_FWO -i virbr0 -j REJECT --reject-with icmp-port-unreachable
-A LIBVIRT_FWX -i virbr0 -o virbr0 -j ACCEPT
COMMIT
END`,
	"ufw": `for tables in iptables ip6tables; do $tables-restore --noflush <<'END'
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:ufw-before-forward - [0:0]
:ufw-before-input - [0:0]
:ufw-user-forward - [0:0]
:ufw-reject-forward - [0:0]
-A INPUT -j ufw-before-input
-A FORWARD -j ufw-before-forward
-A FORWARD -j ufw-reject-forward
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-forward -j ufw-user-forward
-A ufw-before-input -i lo -j ACCEPT
COMMIT
END
done`,
	"firewalld": `iptables-restore --noflush <<'END'
*filter
:FWD_public - [0:0]
:FORWARD_ZONES - [0:0]
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT
-A FORWARD -i lo -j ACCEPT
-A FORWARD -j FORWARD_ZONES
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A FORWARD -j REJECT --reject-with icmp-host-prohibited
-A FORWARD_ZONES -g FWD_public
-A FWD_public -p icmp -j ACCEPT
COMMIT
END`,
}

// shell runs commands as another program's.
func (h *host) shell(commands string) {
	h.Helper()
	testhost.Run(h, "env", "GROUP="+group, "sh", "-ec", commands)
}

// TestForeign has other people's things stay as they are, byte for byte, while a topology next to them is planned, brought up,
// changed and taken down; and what is in topo's way is refused, by name, before anything is changed.
func TestForeign(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	m, err := linux.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	h := drawnHost(t)
	left := slices.Sorted(maps.Keys(decoys))
	h.random.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
	files := 2
	if *whole {
		files = 200
	}
	var touched, refusals, untrue int
	o := drawn(false)
	for n := range files {
		for range (len(decoys) + 3) / 4 { // all of them are there in the fourth run
			if len(left) > 0 {
				h.shell(decoys[left[0]])
				left = left[1:]
			}
		}
		f := draw(h.random.Uint64()>>1, "p", o)
		h.write(f)
		h.before = h.machine()
		stays := func(when string) {
			t.Helper()
			if gone := lacks(h.machine(), h.before); len(gone) > 0 {
				touched++
				t.Errorf("after %s this is gone or another:\n%s\n%s", when, strings.Join(gone, "\n"), f.YAML())
			}
		}
		h.must("plan")
		if diff := h.residue(); diff != "" {
			touched++
			t.Errorf("plan changes the machine (-before +after):\n%s", diff)
		}
		h.must("up")
		stays("up")
		h.shell(amongTopos("-I", "-A"))
		among := notTopos(h.machine())
		keepTheirPlaces := func(when string) {
			t.Helper()
			if moved := disordered(h.machine(), among); len(moved) > 0 {
				touched++
				t.Errorf("after %s:\n%s\n%s", when, strings.Join(moved, "\n"), f.YAML())
			}
		}
		blockers := inTheWay(h.own(m))
		h.write(alter(h.random.Uint64()>>1, f, o))
		h.must("up")
		stays("a change")
		keepTheirPlaces("a change")
		h.must("down", "-v")
		keepTheirPlaces("down")
		h.shell(amongTopos("-D", "-D"))
		if diff := h.residue(); diff != "" {
			touched++
			t.Errorf("down leaves (-before +after):\n%s\n%s", diff, f.YAML())
		}
		h.write(f)
		for range 3 {
			if len(blockers) == 0 {
				break
			}
			b := blockers[h.random.IntN(len(blockers))]
			refusals++
			if !h.refuses(b) {
				untrue++
				t.Errorf("the file:\n%s", f.YAML())
			}
		}
		if t.Failed() {
			t.Fatalf("in run %d", n)
		}
	}
	if refusals == 0 {
		t.Error("nothing was refused")
	}
	t.Logf("figure: foreign things, plain kernel: %d topologies among %d kinds, %d touched; %d refusals, %d untrue",
		files, len(decoys)-len(left), touched, refusals, untrue)
}

// amongTopos are rules before, between and behind topo's; that which is behind is removed as it was added.
func amongTopos(before, behind string) string {
	at := func(n string) string {
		if before == "-D" {
			return ""
		}
		return n
	}
	var all []string
	for _, chain := range []string{"iptables -t filter X FORWARD", "ip6tables -t filter X FORWARD", "iptables -t nat X PREROUTING", "iptables -t nat X POSTROUTING"} {
		first, next := strings.Replace(chain, "X", before, 1), strings.Replace(chain, "X", behind, 1)
		all = append(all, first+" -m comment --comment before -j RETURN", next+" -m comment --comment behind -j RETURN",
			first+at(" 2")+" -m comment --comment between -j RETURN")
	}
	return strings.Join(all, " && ")
}

// notTopos are the lines of a machine without topo's own rules and chains.
func notTopos(machine []string) []string {
	return slices.DeleteFunc(slices.Clone(machine), func(l string) bool { return strings.Contains(l, "topo:p:") || strings.Contains(l, "TOPO-") })
}

// lacks lists lines of before that now are gone. Forwarding is a parameter of the host's that topo changes, and puts back.
func lacks(now, before []string) []string {
	count := map[string]int{}
	for _, l := range now {
		count[l]++
	}
	var gone []string
	for _, l := range before {
		if count[l]--; count[l] < 0 && !forwarding(l) {
			gone = append(gone, l)
		}
	}
	return append(gone, disordered(now, before)...)
}

// disordered lists rules of iptables that stand in another place among the others of before now.
func disordered(now, before []string) []string {
	order := map[string][]string{} // by title
	for begin, end := range tables(now) {
		order[now[begin-1]] = now[begin:end]
	}
	var out []string
	for begin, end := range tables(before) {
		left := order[before[begin-1]]
		for _, rule := range before[begin:end] {
			if !strings.HasPrefix(rule, "-A ") {
				continue // a table is there as long as anybody has something in it
			}
			i := slices.Index(left, rule)
			if i < 0 {
				out = append(out, before[begin-1]+": not in its place: "+rule)
				break
			}
			left = left[i+1:]
		}
	}
	return out
}

// forwarding is what the kernel sets with the forwarding of a family.
func forwarding(line string) bool {
	path, _, _ := strings.Cut(line, ":")
	return strings.HasPrefix(path, "/proc/sys/net/") && slices.Contains([]string{"forwarding", "ip_forward", "accept_redirects"}, filepath.Base(path))
}

// group is the number of the group that links of project p have.
var group = fmt.Sprint(kernel.Group("p"))

// own is what the host has of p.
func (h *host) own(m *linux.Host) kernel.Snapshot {
	h.Helper()
	s, err := m.Snapshot(h.Context(), kernel.Query{Project: "p"})
	if err != nil {
		h.Fatal(err)
	}
	return s
}

// blocker is something that is where topo wants to have something of its own.
type blocker struct{ what, make, remove string }

// inTheWay lists what can be in the way of what a project has.
func inTheWay(s kernel.Snapshot) []blocker {
	var all []blocker
	for _, l := range s.Host.Links {
		if m, ok := kernel.ParseMark(l.Alias); ok && m.Project == "p" {
			all = append(all,
				blocker{l.Name, "ip link add " + l.Name + " type bridge", "ip link delete " + l.Name},
				blocker{l.Name, fmt.Sprintf("ip link add %s group %d type bridge && ip link set %s alias topo:q:%s", l.Name, l.Group, l.Name, m.ID), "ip link delete " + l.Name})
		}
	}
	for _, n := range s.Netns {
		if n.Mark.Project == "p" {
			path := "/run/netns/" + n.Name
			all = append(all,
				blocker{n.Name, "ip netns add " + n.Name, "ip netns delete " + n.Name},
				blocker{n.Name, "ip netns add " + n.Name + " && ip -n " + n.Name + " link set lo alias topo:q:" + n.Mark.ID + " group $GROUP", "ip netns delete " + n.Name},
				blocker{n.Name, "mkdir -p /run/netns && echo mine > " + path, "rm " + path},
				blocker{n.Name, "mkdir -p /run/netns && touch " + path + " && mount --bind /proc/self/ns/uts " + path, "umount " + path + " && rm " + path})
		}
	}
	for _, f := range s.Files {
		if f.Mark.Project == "p" {
			dir := filepath.Dir(f.Path)
			all = append(all,
				blocker{f.Path, "mkdir -p " + dir + " && echo 127.0.0.1 localhost > " + f.Path, "rm " + f.Path + " && rmdir " + dir},
				blocker{f.Path, "mkdir -p " + dir + " && echo '# topo:q:" + f.Mark.ID + "' > " + f.Path, "rm " + f.Path + " && rmdir " + dir})
		}
	}
	return all
}

// refuses puts something in the way. It reports whether up says so, and what can be done, and changes nothing.
func (h *host) refuses(b blocker) bool {
	h.Helper()
	empty := h.machine()
	h.shell(b.make)
	before := h.machine()
	out, code := h.topo("up")
	good := code == 3 && strings.Contains(out, b.what) && strings.Contains(out, "Ways out")
	if !good {
		h.Errorf("%s: up: exit code %d, want 3 and %s and ways out\n%s", b.make, code, b.what, out)
	}
	if diff := testhost.Await(before, h.machine); diff != "" {
		good = false
		h.Errorf("%s: the refusal changes the machine (-before +after):\n%s", b.make, diff)
	}
	h.shell(b.remove)
	if diff := testhost.Await(empty, h.machine); diff != "" {
		h.Fatalf("%s: the test leaves (-before +after):\n%s", b.remove, diff)
	}
	return good
}
