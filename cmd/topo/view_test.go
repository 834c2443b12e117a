package main

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topo/internal/container"
	"topo/internal/kernel"
)

// lab is a reading of a machine with one project of two nodes, and another project.
func lab() kernel.Snapshot {
	app := kernel.Mark{Project: "lab", ID: "bridge/app"}.String()
	return kernel.Snapshot{
		Host: kernel.Netns{
			Links: []kernel.Link{
				{Name: "lab-app", Index: 3, Kind: "bridge", Alias: app, MTU: 1500, MAC: "02:00:00:00:00:01", Up: true, Oper: "up"},
				{
					Name: "veth1", Index: 12, Kind: "veth", Alias: "topo:lab:port/web:eth0", MTU: 1500, MAC: "02:00:00:00:00:02", Up: true, Oper: "up",
					Master: "lab-app", Peer: kernel.End{Netns: "lab-web", Name: "eth0"}, Port: &kernel.PortAttrs{State: "forwarding", Isolated: true, Learning: true, Flood: true, McastFlood: true, BcastFlood: true, Cost: 7, Priority: 32},
					VLANs: []kernel.VLAN{{First: 10, Last: 10, PVID: true, Untagged: true}, {First: 20, Last: 30}}, FDB: []kernel.FDBEntry{{MAC: "02:00:00:00:00:aa", VLAN: 10}},
				},
				{Name: "eth0", Index: 2, Alias: "uplink of the house"},
			},
			Addrs: []kernel.Addr{{Link: "lab-app", Prefix: netip.MustParsePrefix("172.28.0.1/24")}},
		},
		Netns: []kernel.Netns{
			{Name: "lab-db", Mark: kernel.Mark{Project: "lab", ID: "netns/db"}},
			{
				Name: "lab-web", Mark: kernel.Mark{Project: "lab", ID: "netns/web"},
				Links: []kernel.Link{
					{Name: "lo", Index: 1, Kind: "loopback", MTU: 65536, MAC: "00:00:00:00:00:00", Up: true, Oper: "unknown", AcceptRA: 1},
					{Name: "eth0", Index: 2, Kind: "veth", MTU: 1400, MAC: "02:00:00:00:00:03", Up: true, Oper: "lowerlayerdown", Peer: kernel.End{Name: "veth1"}, AcceptRA: 1},
				},
				Addrs: []kernel.Addr{
					{Link: "lo", Prefix: netip.MustParsePrefix("127.0.0.1/8"), Kernel: true},
					{Link: "eth0", Prefix: netip.MustParsePrefix("172.28.0.3/24")},
				},
				Routes: []kernel.Route{
					{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("172.28.0.1"), Link: "eth0", Table: kernel.TableMain, Protocol: kernel.Protocol, Type: "unicast"},
					{Dst: netip.MustParsePrefix("172.28.0.255/32"), Link: "eth0", Table: 255, Protocol: 2, Type: "broadcast"},
					{Dst: netip.MustParsePrefix("10.9.0.0/16"), Link: "eth0", Metric: 7, Table: 100, Protocol: 4, Type: "unicast"},
					{Dst: netip.MustParsePrefix("10.10.0.0/16"), Table: kernel.TableMain, Protocol: kernel.Protocol, Type: "blackhole"},
					{Dst: netip.MustParsePrefix("10.11.0.0/16"), Table: kernel.TableMain, Protocol: kernel.Protocol, Type: "unicast", RouteMore: kernel.RouteMore{
						Src: netip.MustParseAddr("172.28.0.3"), MTU: 1300,
						Ways: []kernel.Way{{Link: "eth0", Via: netip.MustParseAddr("172.28.0.4"), Weight: 3}, {Link: "eth0", Weight: 1}},
					}},
				},
				PolicyRules: []kernel.PolicyRule{
					{Family: kernel.IPv4, Priority: 100, From: netip.MustParsePrefix("172.28.0.0/24"), Mark: 7, Mask: 7, Table: 100},
					{Family: kernel.IPv6, Priority: 100, In: "eth0", Type: "prohibit"},
				},
			},
			{Name: "other-a", Mark: kernel.Mark{Project: "other", ID: "netns/a"}},
			{Name: "foreign"},
		},
		Rules: []kernel.Rule{
			{Family: kernel.IPv4, Table: "nat", Chain: "TOPO-D-1", Spec: kernel.Canonical(`-m comment --comment topo:lab:publish/web:5000/tcp -p tcp --dport 5000 -j DNAT --to-destination 172.28.0.3:80`)},
			{Family: kernel.IPv4, Table: "nat", Chain: "TOPO-D-1", Spec: kernel.Canonical(`-m comment --comment topo:lab:publish/web:127.0.0.1:53/udp -d 127.0.0.1 -p udp --dport 53 -j DNAT --to-destination 172.28.0.3:5353`)},
			{Family: kernel.IPv4, Table: "filter", Chain: "FORWARD", Spec: kernel.Canonical(`-m comment --comment topo:@host:jump/x -j TOPO-USER`)},
			{Family: kernel.IPv4, Table: "filter", Chain: "FORWARD", Spec: `-j ACCEPT`},
		},
		Files: []kernel.File{{Path: "/etc/netns/lab-web/hosts", Mark: kernel.Mark{Project: "lab", ID: "hosts/web"}, Content: kernel.Text{"# topo:lab:hosts/web\n127.0.0.1\tlocalhost\n\n172.28.0.3\tweb\n"}}},
		Processes: []kernel.ProcessState{
			{
				Process: kernel.Process{
					Node: "web", Container: true, Netns: "lab-web", Argv: []string{"python3", "/srv/app.py"}, Env: []string{"REDIS_HOST=redis"}, Mounts: []kernel.Mount{{Source: "/src", Target: "/srv", ReadOnly: true}},
					Limits:  kernel.Limits{Memory: 64 << 20, NanoCPUs: 500_000_000},
					Ulimits: []kernel.Ulimit{{Name: "nofile", Soft: 1024, Hard: -1}}, CapDrop: []string{"ALL"}, Tmpfs: []kernel.Tmpfs{{Target: "/t", Options: []string{"size=1m"}}},
				},
				Status: kernel.Running, PID: 4711, Health: kernel.Healthy, HealthLog: "all\nwell\n", StartedAt: time.Unix(0, 0),
			},
			{Process: kernel.Process{Node: "job", Argv: []string{"false"}}, Status: kernel.Exited, ExitCode: 1},
		},
	}
}

func TestNodes(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := writeNodes(&b, nodesOf(lab(), "lab")); err != nil {
		t.Fatal(err)
	}
	want := `
NODE   KIND        STATUS       HEALTH    PID    ADDRESSES       PORTS
db     namespace   up           -         -      -               -
job    namespace   exited (1)   -         -      -               -
web    container   running      healthy   4711   172.28.0.3/24   127.0.0.1:53→5353/udp, 0.0.0.0:5000→80/tcp
`
	if d := cmp.Diff(want, "\n"+b.String()); d != "" {
		t.Error(d)
	}
}

func TestInspectText(t *testing.T) {
	t.Parallel()
	s := lab()
	nodes := nodesOf(s, "lab")
	var b bytes.Buffer
	doc := documentOfNode(s, "lab", nodes[len(nodes)-1])
	doc.Usage = &container.Usage{Memory: 5 << 20, CPU: 1_234_567_890, Pids: 3}
	if err := writeNode(&b, doc); err != nil {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(b.String(), time.Unix(0, 0).Local().Format(time.DateTime), "THEN")
	want := `
web  (container of lab)
  namespace    lab-web  (/run/netns/lab-web)
  process      running, healthy, pid 4711, since THEN
               python3 /srv/app.py
               env REDIS_HOST=redis
               mount /src → /srv (ro)
               tmpfs /t (size=1m)
               last check: all well
  limits       memory 5MiB of 64MiB
               processes 3
               cpus up to 0.5
               cpu time 1.235s
               ulimit nofile 1024 to unlimited
               cap_drop ALL
  interface    1: lo  00:00:00:00:00:00  mtu 65536  up
                  127.0.0.1/8
  interface    2: eth0@if12  02:00:00:00:00:03  mtu 1400  up (lowerlayerdown)
                  172.28.0.3/24
                  accept_ra 1
                  ↔ host: 12: veth1  02:00:00:00:00:02  mtu 1500  up
                  bridge 3: lab-app  port forwarding  172.28.0.1/24
                    VLANs 10 pvid untagged, 20-30  cost 7  isolated on  static 02:00:00:00:00:aa vlan 10
  route        default via 172.28.0.1 dev eth0
  route        10.9.0.0/16 dev eth0 metric 7 table 100
  route        blackhole 10.10.0.0/16
  route        10.11.0.0/16 src 172.28.0.3 mtu 1300 nexthop via 172.28.0.4 dev eth0 weight 3 nexthop dev eth0 weight 1
  rule         ipv4 100 from 172.28.0.0/24 fwmark 0x7/0x7: table 100
  rule         ipv6 100 from all iif eth0: prohibit
  published    127.0.0.1:53→5353/udp
  published    0.0.0.0:5000→80/tcp
  hosts        127.0.0.1	localhost
               172.28.0.3	web
`
	if d := cmp.Diff(want, "\n"+got); d != "" {
		t.Error(d)
	}
}

func TestProjects(t *testing.T) {
	t.Parallel()
	want := map[string]*projectView{
		"lab":   {Project: "lab", Nodes: 2, Bridges: 1, Links: 1, Published: 2},
		"other": {Project: "other", Nodes: 1},
	}
	if d := cmp.Diff(want, projectsOf(lab())); d != "" {
		t.Error(d)
	}
}

func TestParseDNAT(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		family kernel.Family
		spec   string
		want   string
	}{
		{kernel.IPv4, "-p tcp --dport 49153 -j DNAT --to-destination 127.0.0.3:22", "0.0.0.0:49153→22/tcp"},
		{kernel.IPv6, "-d ::1 -p sctp --dport 80 -j DNAT --to-destination [fd00::2]:8080", "[::1]:80→8080/sctp"},
		{kernel.IPv6, "-p tcp --dport 80 -j DNAT --to-destination [fd00::2]:8080", "[::]:80→8080/tcp"},
		{kernel.IPv4, "-p tcp --dport 80 -j ACCEPT", ""},
		{kernel.IPv4, "-p tcp -j DNAT --to-destination 127.0.0.3:22", ""},
	} {
		p, ok := parseDNAT(kernel.Rule{Family: c.family, Spec: kernel.Canonical(c.spec)})
		if ok != (c.want != "") || ok && p.String() != c.want {
			t.Errorf("parseDNAT(%s %s) = %v %v, want %q", c.family, c.spec, p, ok, c.want)
		}
	}
}
