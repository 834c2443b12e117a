package planner_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topo/executor"
	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/planner"
	"topo/spec"
)

const baseYAML = `
name: p
bridges:
  app: {subnet: 10.1.0.0/24}
  db: {subnet: 10.2.0.0/24}
namespaces:
  redis: {bridges: [app], command: [redis-server]}
  web:
    bridges: [app]
    command: [serve]
    environment: {REDIS_HOST: redis}
    ports: ["5000:5000"]
    depends_on: [redis]
    sysctls: {net.ipv4.ip_default_ttl: "100"}
  plain: {}
links:
  - [redis:x1, plain:x2]
`

// lab is a fake machine with a project on it.
type lab struct {
	t       testing.TB
	m       *fake.Machine
	top     *spec.Topology
	applied planner.Applied
}

func (l *lab) load(yaml string) {
	l.t.Helper()
	top, err := spec.Load([]spec.Source{{Name: "p.yaml", Data: []byte(yaml)}}, spec.Options{Dir: "/p"})
	if err != nil {
		l.t.Fatal(err)
	}
	l.top = top
}

func (l *lab) options() planner.Options {
	l.t.Helper()
	s, err := l.m.Snapshot(context.Background(), planner.Query(l.top, "p"))
	if err != nil {
		l.t.Fatal(err)
	}
	o := planner.Options{Project: "p", Snapshot: s, Applied: l.applied}
	if l.top != nil {
		if o.Topology, err = planner.Allocate(l.top, s); err != nil {
			l.t.Fatal(err)
		}
	}
	return o
}

func (l *lab) plan() *planner.Plan {
	l.t.Helper()
	p, err := planner.Build(l.options())
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

func (l *lab) up() {
	l.t.Helper()
	p := l.plan()
	if err := executor.Run(context.Background(), p, l.m, executor.Options{}).Err(); err != nil {
		l.t.Fatal(err)
	}
	if l.top != nil {
		l.applied = l.plan().Remember()
	}
	replan := func(kernel.Snapshot) (*planner.Plan, error) { return planner.Build(l.options()) }
	if err := executor.Verify(context.Background(), l.m, replan, planner.Query(l.top, "p"), 5*time.Second); err != nil {
		l.t.Fatal(err)
	}
}

func standing(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, m: fake.New()}
	l.load(baseYAML)
	l.up()
	return l
}

// lines are the actions of a plan, their columns closed up.
func lines(p *planner.Plan) []string {
	var out []string
	for line := range strings.Lines(p.Text(planner.TextOptions{})) {
		if strings.HasPrefix(line, "  ") {
			out = append(out, strings.Join(strings.Fields(line), " "))
		}
	}
	return out
}

func ptr[T any](v T) *T { return &v }

// TestWhatSomebodyBreaksIsNamedAndRepaired: one foreign edit, the exact plan, and up puts it right.
func TestWhatSomebodyBreaksIsNamedAndRepaired(t *testing.T) {
	const outside = "changed outside topo"
	port := func(l *lab) string {
		for _, at := range l.top.Nodes {
			if at.Name == "web" {
				return at.Attachments[0].HostInterface
			}
		}
		return ""
	}
	find := func(l *lab, part string) kernel.Op {
		for _, r := range l.options().Snapshot.Rules {
			if strings.Contains(r.Mark().ID, part) {
				return kernel.Iptables{Family: r.Family, Table: r.Table, Args: "-D " + r.Chain + " " + r.Spec}
			}
		}
		t.Fatalf("no rule of %s", part)
		return nil
	}
	for name, c := range map[string]struct {
		edit func(*lab) []kernel.Op
		want []string
	}{
		"mtu of a node's end": {
			func(*lab) []kernel.Op {
				return []kernel.Op{kernel.LinkSet{Netns: "p-web", Name: "eth0", MTU: ptr(1400)}}
			},
			[]string{"~ link/web:eth0 mtu 1400 → 1500 " + outside},
		},
		"mac of a node's end": {
			func(*lab) []kernel.Op {
				return []kernel.Op{kernel.LinkSet{Netns: "p-web", Name: "eth0", MAC: ptr("02:00:00:00:00:01")}}
			},
			nil,
		},
		"port off its bridge": {
			func(l *lab) []kernel.Op { return []kernel.Op{kernel.LinkSet{Name: port(l), Master: ptr("")}} },
			[]string{"~ port/web:eth0 bridge none → p-app " + outside},
		},
		"port on another bridge": {
			func(l *lab) []kernel.Op { return []kernel.Op{kernel.LinkSet{Name: port(l), Master: ptr("p-db")}} },
			[]string{"~ port/web:eth0 bridge p-db → p-app " + outside},
		},
		"port's mark": {
			func(l *lab) []kernel.Op { return []kernel.Op{kernel.LinkSet{Name: port(l), Alias: ptr("")}} },
			[]string{"~ port/web:eth0 mark none → topo:p:port/web:eth0 " + outside},
		},
		"bridge down": {
			func(*lab) []kernel.Op { return []kernel.Op{kernel.LinkSet{Name: "p-app", Up: ptr(false)}} },
			[]string{"~ up/app state down → up " + outside},
		},
		"bridge's mtu and mac": {
			func(*lab) []kernel.Op {
				return []kernel.Op{kernel.LinkSet{Name: "p-app", MTU: ptr(1300)}}
			},
			[]string{"~ bridge/app mtu 1300 → 1500 " + outside},
		},
		"address flushed": {
			func(*lab) []kernel.Op {
				return []kernel.Op{kernel.AddrDelete{Netns: "p-web", Link: "eth0", Prefix: netip.MustParsePrefix("10.1.0.3/24")}}
			},
			[]string{"+ address/web:eth0/10.1.0.3/24 missing", "+ route/web:default via 10.1.0.1 missing"},
		},
		"address of the bridge flushed": {
			func(*lab) []kernel.Op {
				return []kernel.Op{kernel.AddrDelete{Link: "p-app", Prefix: netip.MustParsePrefix("10.1.0.1/24")}}
			},
			[]string{"+ address/host:p-app/10.1.0.1/24 missing"},
		},
		"an address too many": {
			func(*lab) []kernel.Op {
				return []kernel.Op{kernel.AddrAdd{Netns: "p-web", Link: "eth0", Prefix: netip.MustParsePrefix("10.9.9.9/24")}}
			},
			[]string{"- address/web:eth0/10.9.9.9/24 not in the file"},
		},
		"an address of the same subnet put first": {
			func(*lab) []kernel.Op {
				ours, theirs := netip.MustParsePrefix("10.1.0.3/24"), netip.MustParsePrefix("10.1.0.77/24")
				return []kernel.Op{
					kernel.AddrDelete{Netns: "p-web", Link: "eth0", Prefix: ours},
					kernel.AddrAdd{Netns: "p-web", Link: "eth0", Prefix: theirs},
					kernel.AddrAdd{Netns: "p-web", Link: "eth0", Prefix: ours},
					kernel.RouteReplace{Netns: "p-web", Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("10.1.0.1"), Link: "eth0", Table: 254},
				}
			},
			[]string{
				"- address/web:eth0/10.1.0.77/24 not in the file",
				"± address/web:eth0/10.1.0.3/24 address/web:eth0/10.1.0.77/24 is replaced",
				"+ route/web:default via 10.1.0.1 address/web:eth0/10.1.0.3/24 is replaced",
			},
		},
		"a route too many": {
			func(*lab) []kernel.Op {
				return []kernel.Op{kernel.RouteReplace{Netns: "p-web", Dst: netip.MustParsePrefix("10.77.0.0/16"), Via: netip.MustParseAddr("10.1.0.1"), Link: "eth0", Table: 254}}
			},
			[]string{"- route/web:10.77.0.0/16 not in the file"},
		},
		"default route by another way": {
			func(*lab) []kernel.Op {
				return []kernel.Op{kernel.RouteReplace{Netns: "p-web", Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("10.1.0.2"), Link: "eth0", Table: 254}}
			},
			[]string{"~ route/web:default via 10.1.0.2 → 10.1.0.1 " + outside},
		},
		"a published port's rule deleted": {
			func(l *lab) []kernel.Op { return []kernel.Op{find(l, "publish/web")} },
			[]string{"+ publish/web:5000/tcp to 10.1.0.3:5000 missing"},
		},
		"one of a bridge's rules deleted": {
			func(l *lab) []kernel.Op { return []kernel.Op{find(l, "isolation/app")} },
			[]string{"~ isolation/app 1 rule missing " + outside},
		},
		"a rule put in front of the jumps": {
			func(*lab) []kernel.Op {
				return []kernel.Op{kernel.Iptables{Family: kernel.IPv4, Table: "filter", Args: "-I FORWARD 1 -j ACCEPT"}}
			},
			[]string{"~ firewall/ipv4/filter behind other rules " + outside},
		},
		"a rule of somebody's in topo's chain": {
			func(l *lab) []kernel.Op {
				for _, c := range l.options().Snapshot.Chains {
					if strings.HasPrefix(c.Name, "TOPO-A-") {
						return []kernel.Op{kernel.Iptables{Family: c.Family, Table: c.Table, Args: "-A " + c.Name + " -j DROP"}}
					}
				}
				return nil
			},
			nil,
		},
		"sysctl": {
			func(*lab) []kernel.Op {
				return []kernel.Op{kernel.SysctlSet{SysctlKey: kernel.SysctlKey{Netns: "p-web", Key: "net.ipv4.ip_default_ttl"}, Value: "64"}}
			},
			[]string{"~ sysctl/web:net.ipv4.ip_default_ttl value 64 → 100 " + outside},
		},
		"hosts file": {
			func(*lab) []kernel.Op {
				return []kernel.Op{kernel.FileWrite{Path: "/etc/netns/p-web/hosts", Content: kernel.Text{"# topo:p:hosts/web\n127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n10.1.0.3 web\n"}}}
			},
			[]string{"~ hosts/web 1 line missing " + outside},
		},
		"lo down": {
			func(*lab) []kernel.Op {
				return []kernel.Op{kernel.LinkSet{Netns: "p-web", Name: "lo", Up: ptr(false)}}
			},
			[]string{"~ netns/web lo down → up " + outside},
		},
		"far end of a link": {
			func(*lab) []kernel.Op {
				return []kernel.Op{kernel.LinkSet{Netns: "p-plain", Name: "x2", Up: ptr(false)}}
			},
			[]string{"~ link/plain:x2 state down → up " + outside},
		},
		"a link deleted": {
			func(*lab) []kernel.Op { return []kernel.Op{kernel.LinkDelete{Netns: "p-plain", Name: "x2"}} },
			[]string{"+ link/redis:x1 veth to link/plain:x2 missing"},
		},
		"a process killed": {
			func(l *lab) []kernel.Op { l.m.Exit("p", "web", 137); return nil },
			[]string{"~ process/web state exited 137 → running " + outside},
		},
		"a process stopped": {
			func(*lab) []kernel.Op { return []kernel.Op{kernel.ProcessHalt{Project: "p", Node: "web"}} },
			[]string{"~ process/web state stopped → running stopped by topo"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := standing(t)
			if err := l.m.Foreign(c.edit(l)...); err != nil {
				t.Fatal(err)
			}
			p := l.plan()
			if p.Empty() {
				t.Fatal("the plan sees nothing")
			}
			if c.want != nil {
				if diff := cmp.Diff(c.want, lines(p)); diff != "" {
					t.Error(diff)
				}
			} else if len(p.Changes) != 1 {
				t.Errorf("want one change:\n%s", p.Text(planner.TextOptions{}))
			}
			l.up()
		})
	}
}

// TestAnEditOfTheFileTouchesOnlyWhatChanged: the file is edited, and the plan is exactly that.
func TestAnEditOfTheFileTouchesOnlyWhatChanged(t *testing.T) {
	replace := func(old, new string) string {
		out := strings.Replace(baseYAML, old, new, 1)
		if out == baseYAML {
			t.Fatalf("%q is not in the file", old)
		}
		return out
	}
	for name, c := range map[string]struct {
		yaml string
		want []string
	}{
		"environment": {
			replace("REDIS_HOST: redis", "REDIS_HOST: cache"),
			[]string{"± process/web REDIS_HOST redis → cache edited; can't be changed in a running process"},
		},
		"a restart policy": {
			replace("    command: [serve]", "    command: [serve]\n    restart: always"),
			[]string{"~ process/web restart no → always edited"},
		},
		"limits of a log": {
			replace("    command: [serve]", "    command: [serve]\n    logging: {options: {max-size: 1m, max-file: 2}}"),
			[]string{"~ process/web logging 10000000 bytes × 3 → 1000000 bytes × 2 edited"},
		},
		"a condition": {
			replace("depends_on: [redis]", "depends_on: {redis: {condition: service_started, restart: true}}"),
			[]string{"~ process/web depends_on redis service_started → service_started restart edited"},
		},
		"how long a stop may take": {
			replace("    command: [serve]", "    command: [serve]\n    stop_grace_period: 1m"),
			[]string{"~ process/web stop_grace_period 10s → 1m0s edited"},
		},
		"a second published port": {
			replace(`"5000:5000"`, `"5000:5000", "6000:6000"`),
			[]string{"+ publish/web:6000/tcp to 10.1.0.3:6000 missing"},
		},
		"a published port moves": {
			replace(`"5000:5000"`, `"5001:5000"`),
			[]string{"- publish/web:5000/tcp not in the file", "+ publish/web:5001/tcp to 10.1.0.3:5000 missing"},
		},
		"an address": {
			replace("  web:\n    bridges: [app]", "  web:\n    bridges: {app: {address: 10.1.0.9}}"),
			[]string{
				"- address/web:eth0/10.1.0.3/24 not in the file",
				"~ hosts/redis 1 line missing, 1 line too many edited",
				"~ hosts/web 1 line missing, 1 line too many edited",
				"~ link/web:eth0 mac 02:ef:3e:8c:24:a0 → 02:7c:7c:d6:ff:9d edited",
				"+ address/web:eth0/10.1.0.9/24 missing",
				"+ route/web:default via 10.1.0.1 address/web:eth0/10.1.0.3/24 is replaced",
				"~ publish/web:5000/tcp 1 rule missing, 1 rule too many edited",
			},
		},
		"a running node joins a second bridge": {
			replace("  web:\n    bridges: [app]", "  web:\n    bridges: [app, db]"),
			[]string{
				"~ hosts/web 1 line missing edited",
				"+ link/web:eth1 veth to port/web:eth1 missing",
				"+ address/web:eth1/10.2.0.2/24 missing",
			},
		},
		"a node goes": {
			replace("  plain: {}\nlinks:\n  - [redis:x1, plain:x2]\n", ""),
			[]string{"- link/plain:x2 not in the file", "- hosts/plain not in the file", "- netns/plain not in the file"},
		},
		"a sysctl goes": {
			replace("    sysctls: {net.ipv4.ip_default_ttl: \"100\"}\n", ""),
			[]string{"- sysctl/web:net.ipv4.ip_default_ttl not in the file"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := standing(t)
			l.load(c.yaml)
			if diff := cmp.Diff(c.want, lines(l.plan())); diff != "" {
				t.Error(diff)
			}
			l.up()
		})
	}
}

func TestDownLeavesTheMachineAsItWas(t *testing.T) {
	before := fake.New().String()
	l := standing(t)
	l.top = nil
	l.up()
	if diff := cmp.Diff(before, l.m.String()); diff != "" {
		t.Error(diff)
	}
}

func TestForeignThingsInTheWayAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		edit kernel.Op
		want string
	}{
		"a namespace":                {kernel.NetnsAdd{Name: "p-web"}, "network namespace p-web: exists and is not topo's"},
		"a bridge":                   {kernel.BridgeAdd{Name: "p-app"}, "interface p-app for the bridge app: exists and is not topo's"},
		"another's":                  {kernel.NetnsAdd{Name: "p-web", Alias: "topo:q:netns/x"}, "network namespace p-web: belongs to netns/x of project q"},
		"in the place of its folder": {kernel.FileWrite{Path: "/etc/netns/p-web", Content: kernel.Text{"mine\n"}}, "file /etc/netns/p-web: exists and is not topo's"},
		"a hosts file":               {kernel.FileWrite{Path: "/etc/netns/p-web/hosts", Content: kernel.Text{"mine\n"}}, "file /etc/netns/p-web/hosts: exists and is not topo's"},
	} {
		t.Run(name, func(t *testing.T) {
			l := &lab{t: t, m: fake.New()}
			l.load(baseYAML)
			if err := l.m.Foreign(c.edit); err != nil {
				t.Fatal(err)
			}
			_, err := planner.Build(l.options())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// A VXLAN or VLAN of somebody's that has the same number, by another name, made up fail in the middle: the kernel takes one.
func TestWhatTheKernelTakesOnce(t *testing.T) {
	vxlan := func(port string) kernel.Op {
		return kernel.LinkAdd{Name: "flannel.1", Kind: "vxlan", Params: []kernel.Param{{Name: "id", Value: "1"}, {Name: "port", Value: port}}}
	}
	vlan := kernel.LinkAdd{Name: "office", Kind: "vlan", Parent: kernel.End{Name: "eth0"}, Params: []kernel.Param{{Name: "protocol", Value: "802.1Q"}, {Name: "id", Value: "7"}}}
	for name, c := range map[string]struct {
		yaml string
		edit kernel.Op
		want string // "": it is none
	}{
		"a VXLAN":         {"bridges: {b: {subnet: none, vxlan: {id: 1}}}", vxlan("4789"), "interface flannel.1, which has the id and port of link/host:vxc1190eac01: exists and is not topo's"},
		"on another port": {"bridges: {b: {subnet: none, vxlan: {id: 1}}}", vxlan("8472"), ""},
		"in a node":       {"namespaces: {n: {interfaces: {v: {type: vxlan, id: 1}}}}", vxlan("4789"), ""},
		"a VLAN":          {`namespaces: {n: {interfaces: {v: {type: vlan, id: 7, parent: "host:eth0"}}}}`, vlan, "interface office, which has the parent and id of link/n:v: exists and is not topo's"},
		"an uplink's":     {"bridges: {b: {uplinks: [eth0.7]}}", vlan, "interface office, which has the parent and id of link/host:eth0.7: exists and is not topo's"},
		"of another card": {"bridges: {b: {uplinks: [eth0.8]}}", vlan, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := &lab{t: t, m: fake.New()}
			l.load("name: p\n" + c.yaml + "\n")
			if err := l.m.Foreign(c.edit); err != nil {
				t.Fatal(err)
			}
			_, err := planner.Build(l.options())
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestWhatBecomesOfProcesses: which ends are drift, by the restart policy.
func TestWhatBecomesOfProcesses(t *testing.T) {
	const outside = " changed outside topo"
	for name, c := range map[string]struct {
		restart string
		codes   []int // of its runs, one after the other
		want    []string
	}{
		"done":                       {"no", []int{0}, nil},
		"failed":                     {"no", []int{1}, []string{"~ process/web state exited 1 → running" + outside}},
		"restarting":                 {"on-failure:1", []int{1}, nil},
		"given up":                   {"on-failure:1", []int{1, 2}, []string{"~ process/web state exited 2 → running" + outside}},
		"a success after a failure":  {"on-failure:1", []int{1, 0}, nil},
		"a success that is no end":   {"always", []int{0}, nil},
		"failures that are no end":   {"unless-stopped", []int{1, 1, 1}, nil},
		"a success, done on failure": {"on-failure", []int{0}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := &lab{t: t, m: fake.New()}
			l.load(strings.Replace(baseYAML, "    command: [serve]", "    command: [serve]\n    restart: "+c.restart, 1))
			l.up()
			for i, code := range c.codes {
				if i > 0 {
					if err := l.m.Revive("p", "web"); err != nil {
						t.Fatal(err)
					}
				}
				l.m.Exit("p", "web", code)
			}
			if diff := cmp.Diff(c.want, lines(l.plan())); diff != "" {
				t.Error(diff)
			}
			l.up()
		})
	}
}

// TestAPolicyThatStartsWhatWasDone: an edit of the file is enough; the process has to be started, too.
func TestAPolicyThatStartsWhatWasDone(t *testing.T) {
	l := standing(t)
	l.m.Exit("p", "web", 0)
	l.load(strings.Replace(baseYAML, "    command: [serve]", "    command: [serve]\n    restart: always", 1))
	if diff := cmp.Diff([]string{"~ process/web restart no → always edited"}, lines(l.plan())); diff != "" {
		t.Error(diff)
	}
	l.up()
	for _, s := range l.options().Snapshot.Processes {
		if s.Status != kernel.Running {
			t.Errorf("%s is %s", s.Process.Node, s.Status)
		}
	}
}

// A link in the way of a veth's far end was not seen: up made most of the rest, and failed.
func TestALinkInTheWayOfAFarEndIsRefused(t *testing.T) {
	for name, yaml := range map[string]string{
		"the host's end is second": "name: p\nnamespaces: {n: {}}\nlinks: [[n:a, host:taken]]\n",
		"the host's end is first":  "name: p\nnamespaces: {n: {}}\nlinks: [[host:taken, n:a]]\n",
		"both ends are the host's": "name: p\nlinks: [[host:free, host:taken]]\n",
		"a bridge's port":          "name: p\nbridges: {app: {}}\nnamespaces: {n: {bridges: {app: {host_interface: taken}}}}\n",
	} {
		t.Run(name, func(t *testing.T) {
			l := &lab{t: t, m: fake.New()}
			if err := l.m.Foreign(kernel.BridgeAdd{Name: "taken", MTU: 1500}); err != nil {
				t.Fatal(err)
			}
			l.load(yaml)
			_, err := planner.Build(l.options())
			var conflicts planner.Conflicts
			if !errors.As(err, &conflicts) || len(conflicts) != 1 || !strings.HasPrefix(conflicts[0].Object, "interface taken for ") {
				t.Errorf("the error is %v", err)
			}
		})
	}
}
