package planner

import (
	"fmt"
	"strings"

	"topo/internal/kernel"
	"topo/spec"
)

// file is /etc/netns/NETNS/hosts or resolv.conf: it reaches the node's processes as /etc/hosts, also
// under a plain ip netns exec (ip-netns(8)).
type file struct {
	id      ID
	path    string
	content kernel.Text
}

var fileKind = Kind{Name: "hosts", Desire: desireFiles, Observe: observeFiles}

func hostsPath(netns string) string  { return "/etc/netns/" + netns + "/hosts" }
func resolvPath(netns string) string { return "/etc/netns/" + netns + "/resolv.conf" }

func desireFiles(w *Want) []Resource {
	var out []Resource
	named, sharers := namesByBridge(w.Topology), sharersByNode(w.Topology)
	for _, n := range w.Topology.Nodes {
		if n.Network != spec.NetworkOwn && n.Network != spec.NetworkNone {
			continue
		}
		id := ID{"hosts", n.Name}
		out = append(out, file{id, hostsPath(n.Netns), hosts(w, n, markLine(w.Project, id), named, sharers[n.Name])})
		if text := resolv(n, w.Host); text != "" {
			id := ID{"resolv", n.Name}
			out = append(out, file{id, resolvPath(n.Netns), kernel.Text{markLine(w.Project, id) + text}})
		}
	}
	return out
}

// markLine is the first line of a file.
func markLine(project string, id ID) string { return "# " + mark(project, id) + "\n" }

func observeFiles(h *Have) []Resource {
	var out []Resource
	for _, f := range h.Snapshot.Files {
		if f.Mark.Project == h.Project {
			out = append(out, file{parseID(f.Mark.ID), f.Path, f.Content})
		}
	}
	return out
}

// localhost is in every hosts file.
const localhost = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"

// hosts is what a node resolves without a name server: itself, the nodes and aliases of the bridges that it shares,
// its one-way links, its extra hosts; it begins with a line that is given.
func hosts(w *Want, n spec.Node, first string, named map[string]bridgeNames, sharers []string) kernel.Text {
	var out kernel.Text
	var b strings.Builder
	add := func(pieces ...string) {
		for _, piece := range append([]string{b.String()}, pieces...) {
			if piece != "" {
				out = append(out, piece)
			}
		}
		b.Reset()
	}
	b.WriteString(first)
	b.WriteString(localhost)
	own := []string{n.Name}
	if n.Hostname != n.Name && n.Hostname != "" {
		own = append([]string{n.Hostname}, own...)
	}
	own = append(own, sharers...)
	addrs := addressesOf(n, w.inside(n))
	for _, a := range addrs {
		fmt.Fprintf(&b, "%s %s\n", a.prefix.Addr(), strings.Join(own, " "))
	}
	if len(addrs) == 0 {
		fmt.Fprintf(&b, "127.0.1.1 %s\n", strings.Join(own, " "))
	}
	for _, a := range n.Attachments {
		names := named[a.Bridge]
		own := names.of[n.Name]
		add(names.text[:own.begin], names.text[own.end:])
	}
	for _, l := range n.OneWay {
		for _, other := range w.Topology.Nodes {
			if other.Name != l.Node {
				continue
			}
			names := l.Alias
			if l.Alias != l.Node {
				names += " " + l.Node
			}
			for _, a := range sharedAttachments(n, other) {
				for _, p := range a.Addresses {
					fmt.Fprintf(&b, "%s %s\n", p.Addr(), names)
				}
			}
		}
	}
	for _, e := range n.ExtraHosts {
		addr := e.Addr
		if !addr.IsValid() {
			addr = gatewayOf(w.Topology, n)
		}
		if addr.IsValid() {
			fmt.Fprintf(&b, "%s %s\n", addr, e.Name)
		}
	}
	add()
	return out
}

// bridgeNames are the lines that a bridge gives to its nodes, and where in them those of each node are.
type bridgeNames struct {
	text string
	of   map[string]part
}

type part struct{ begin, end int }

// namesByBridge makes the lines once: 1,000 nodes on a bridge have a million of them.
func namesByBridge(t *spec.Topology) map[string]bridgeNames {
	texts := map[string]*strings.Builder{}
	for _, b := range t.Bridges {
		if b.Names {
			texts[b.Name] = &strings.Builder{}
		}
	}
	m := map[string]bridgeNames{}
	for _, n := range t.Nodes {
		for _, a := range n.Attachments {
			text := texts[a.Bridge]
			if text == nil {
				continue
			}
			if m[a.Bridge].of == nil {
				m[a.Bridge] = bridgeNames{of: map[string]part{}}
			}
			begin := text.Len()
			names := strings.Join(append([]string{n.Name}, a.Aliases...), " ")
			for _, p := range a.Addresses {
				fmt.Fprintf(text, "%s %s\n", p.Addr(), names)
			}
			m[a.Bridge].of[n.Name] = part{begin, text.Len()}
		}
	}
	for name, names := range m {
		names.text = texts[name].String()
		m[name] = names
	}
	return m
}

// sharersByNode lists the nodes that use each node's namespace.
func sharersByNode(t *spec.Topology) map[string][]string {
	m := map[string][]string{}
	for _, n := range t.Nodes {
		if n.Network == spec.NetworkNode {
			m[n.Shares] = append(m[n.Shares], n.Name)
		}
	}
	return m
}

// sharedAttachments lists where other is attached to a bridge of n's.
func sharedAttachments(n, other spec.Node) []spec.Attachment {
	var out []spec.Attachment
	for _, a := range n.Attachments {
		for _, o := range other.Attachments {
			if a.Bridge == o.Bridge {
				out = append(out, o)
			}
		}
	}
	return out
}

// resolv is the node's resolv.conf, "" where it says nothing of its own.
func resolv(n spec.Node, host kernel.Snapshot) string {
	if len(n.DNS) == 0 && len(n.DNSSearch) == 0 {
		return ""
	}
	servers := n.DNS
	if len(servers) == 0 {
		servers = host.Nameservers
	}
	var b strings.Builder
	for _, s := range servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if len(n.DNSSearch) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(n.DNSSearch, " "))
	}
	return b.String()
}

func (r file) ID() ID           { return r.id }
func (r file) Needs() []ID      { return nil }
func (r file) Detail() string   { return r.path }
func (r file) Claims() []string { return []string{"file " + r.path} }
func (r file) Attrs() []Attr    { return []Attr{{"path", r.path}, {"content", r.content.String()}} }

func (r file) lengthy() ([]Attr, kernel.Text) { return []Attr{{"path", r.path}}, r.content }

// Differs: the lines are many.
func (r file) Differs(have Resource) string {
	h := have.(file)
	if h.path != r.path {
		return h.path + " → " + r.path
	}
	count := func(a, b string) int {
		n := 0
		for line := range strings.Lines(a) {
			if !strings.Contains("\n"+b, "\n"+line) {
				n++
			}
		}
		return n
	}
	want, is := r.content.String(), h.content.String()
	return countWords(count(want, is), count(is, want), "line")
}

func (r file) Create() []kernel.Op {
	return []kernel.Op{kernel.FileWrite{Path: r.path, Content: r.content}}
}
func (r file) Delete() []kernel.Op { return []kernel.Op{kernel.FileDelete{Path: r.path}} }

func (r file) Update(have Resource) ([]kernel.Op, bool) {
	return r.Create(), have.(file).path == r.path
}
