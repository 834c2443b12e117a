package main

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"topo/internal/kernel"
)

// nodeView is a node as it is on the machine: the document of ps and the head of that of inspect.
type nodeView struct {
	Node      string          `json:"node"`
	Kind      string          `json:"kind"`      // "namespace", "container"
	Namespace string          `json:"namespace"` // in /run/netns; "" is the host's own
	Status    string          `json:"status"`    // "up" (nothing is run in it), "running", "restarting", "stopped", "exited", "lost"
	ExitCode  *int            `json:"exit_code,omitempty"`
	Error     string          `json:"error,omitempty"` // why its process could not be started
	Health    string          `json:"health,omitempty"`
	PID       int             `json:"pid,omitempty"`
	Command   []string        `json:"command,omitempty"`
	StartedAt *time.Time      `json:"started_at,omitempty"`
	Addresses []netip.Prefix  `json:"addresses"`
	Published []publishedView `json:"published"`

	Signal     string     `json:"signal,omitempty"`     // that ended its process
	OOMKilled  bool       `json:"oom_killed,omitempty"` // for want of memory
	Restarts   int        `json:"restarts"`             // by its policy
	RestartAt  *time.Time `json:"restart_at,omitempty"`
	FinishedAt *time.Time `json:"finished_at,omitempty"` // its last run
}

// publishedView is a port of the host that leads to a node.
type publishedView struct {
	HostIP   netip.Addr `json:"host_ip"` // 0.0.0.0 or ::, for all
	HostPort uint16     `json:"host_port"`
	NodePort uint16     `json:"node_port"`
	Protocol string     `json:"protocol"`
}

func (p publishedView) String() string {
	return hostPort(p.HostIP, p.HostPort) + "→" + strconv.Itoa(int(p.NodePort)) + "/" + p.Protocol
}

// nodesOf lists the nodes of a project that a reading found, by name.
func nodesOf(s kernel.Snapshot, project string) []nodeView {
	views := map[string]*nodeView{}
	for _, ns := range s.Netns {
		node, ok := nodeOf(ns, project)
		if !ok {
			continue
		}
		views[node] = &nodeView{Node: node, Kind: "namespace", Namespace: ns.Name, Status: "up"}
	}
	for _, p := range s.Processes {
		v := views[p.Process.Node]
		if v == nil { // it shares another node's namespace, or the host's
			v = &nodeView{Node: p.Process.Node, Kind: "namespace", Namespace: p.Process.Netns}
			views[v.Node] = v
		}
		addProcess(v, p)
	}
	published := publishedOf(s, project)
	list := make([]nodeView, 0, len(views))
	for _, name := range slices.Sorted(maps.Keys(views)) {
		v := views[name]
		v.Addresses = addressesOf(s, v.Namespace)
		v.Published = append([]publishedView{}, published[name]...)
		list = append(list, *v)
	}
	return list
}

// nodeOf is the node whose namespace this is, where it is one of the project's.
func nodeOf(ns kernel.Netns, project string) (string, bool) {
	if ns.Mark.Project != project {
		return "", false
	}
	return strings.CutPrefix(ns.Mark.ID, "netns/")
}

func addProcess(v *nodeView, p kernel.ProcessState) {
	if p.Process.Container {
		v.Kind = "container"
	}
	v.Status, v.Health, v.PID, v.Error = string(p.Status), string(p.Health), p.PID, p.Error
	v.Command = p.Image.Over(p.Process).Argv
	switch p.Status {
	case kernel.Exited, kernel.Stopped, kernel.Restarting:
		if p.ExitCode >= 0 { // else nobody knows
			v.ExitCode = &p.ExitCode
		}
	}
	v.Signal, v.OOMKilled, v.Restarts = p.Signal, p.OOMKilled, p.Restarts
	if !p.RestartAt.IsZero() {
		v.RestartAt = &p.RestartAt
	}
	if !p.FinishedAt.IsZero() {
		v.FinishedAt = &p.FinishedAt
	}
	if !p.StartedAt.IsZero() {
		v.StartedAt = &p.StartedAt
	}
}

// addressesOf lists the addresses in a namespace, without those that the kernel puts everywhere.
func addressesOf(s kernel.Snapshot, netns string) []netip.Prefix {
	list := []netip.Prefix{}
	if netns == "" {
		return list // the host's are not the node's
	}
	if ns, ok := findNetns(s, netns); ok {
		for _, a := range ns.Addrs {
			if !a.Kernel {
				list = append(list, a.Prefix)
			}
		}
	}
	return list
}

func findNetns(s kernel.Snapshot, name string) (kernel.Netns, bool) {
	if name == "" {
		return s.Host, true
	}
	i := slices.IndexFunc(s.Netns, func(ns kernel.Netns) bool { return ns.Name == name })
	if i < 0 {
		return kernel.Netns{}, false
	}
	return s.Netns[i], true
}

// publishedOf reads a project's published ports from its DNAT rules, by node.
func publishedOf(s kernel.Snapshot, project string) map[string][]publishedView {
	all := map[string][]publishedView{}
	for _, r := range s.Rules {
		mark := r.Mark()
		of, ok := strings.CutPrefix(mark.ID, "publish/")
		if !ok || mark.Project != project {
			continue
		}
		node, _, _ := strings.Cut(of, ":")
		if p, ok := parseDNAT(r); ok && !slices.Contains(all[node], p) {
			all[node] = append(all[node], p)
		}
	}
	for _, list := range all {
		slices.SortFunc(list, func(a, b publishedView) int {
			return cmp.Or(cmp.Compare(a.HostPort, b.HostPort), cmp.Compare(a.Protocol, b.Protocol), a.HostIP.Compare(b.HostIP))
		})
	}
	return all
}

// parseDNAT reads "-p tcp -d 127.0.0.1 --dport 5000 -j DNAT --to-destination 172.28.0.3:5000"; ok is
// false for a rule that is no translation of a port.
func parseDNAT(r kernel.Rule) (p publishedView, ok bool) {
	p.HostIP = netip.IPv4Unspecified()
	if r.Family == kernel.IPv6 {
		p.HostIP = netip.IPv6Unspecified()
	}
	words := strings.Fields(r.Spec)
	for i := 0; i+1 < len(words); i++ {
		value := words[i+1]
		switch words[i] {
		case "-p":
			p.Protocol = value
		case "-d":
			if a, err := netip.ParseAddr(value); err == nil {
				p.HostIP = a
			}
		case "--dport":
			p.HostPort = parsePort(value)
		case "--to-destination":
			p.NodePort = parsePort(value[strings.LastIndexByte(value, ':')+1:])
			ok = true
		}
	}
	return p, ok && p.HostPort != 0
}

// parsePort reads a port; 0 is none.
func parsePort(s string) uint16 {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0
	}
	return uint16(n)
}
