package fake

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"topo/internal/kernel"
)

// Listen adds a socket that holds a port of the host.
func (m *Machine) Listen(l kernel.Listener) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listeners = append(m.listeners, l)
}

// Snapshot implements executor.Machine.
func (m *Machine) Snapshot(_ context.Context, q kernel.Query) (kernel.Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.faults.crashed {
		return kernel.Snapshot{}, ErrCrashed
	}
	if q.Again && !m.settled {
		return kernel.Snapshot{Unsettled: "all has happened that happens by itself"}, nil
	}
	s := kernel.Snapshot{HostID: "fake", Hostname: "machine", Sysctls: map[kernel.SysctlKey]string{}, Neighbours: 1024, Images: m.findImages(q.Images)}
	read := map[*space]bool{m.host: true}
	for _, x := range m.named {
		if mark, ok := kernel.ParseMark(x.links[0].alias); ok && mark.Project == q.Project {
			read[x] = true
		}
	}
	s.Host = m.host.facts(read, q.VLANs)
	for _, x := range m.spaces()[1:] {
		s.Netns = append(s.Netns, x.facts(read, q.VLANs))
	}
	for name := range m.leftovers {
		s.Netns = append(s.Netns, kernel.Netns{Name: name, Unfinished: true})
	}
	slices.SortFunc(s.Netns, func(a, b kernel.Netns) int { return cmp.Compare(a.Name, b.Name) })
	m.rules(&s)
	for k, before := range m.records {
		s.Records = append(s.Records, kernel.SysctlRecord{SysctlKey: k.key, Project: k.project, Before: before})
		q.Sysctls = append(slices.Clip(q.Sysctls), k.key)
	}
	slices.SortFunc(s.Records, func(a, b kernel.SysctlRecord) int {
		return cmp.Or(cmp.Compare(a.Netns, b.Netns), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Project, b.Project))
	})
	for _, k := range q.Sysctls {
		if x, err := m.find(k.Netns); err == nil {
			if _, ok := x.fallback(sysctlPath(k.Key)); ok {
				s.Sysctls[k] = x.sysctl(sysctlPath(k.Key))
			}
		}
	}
	for _, f := range []kernel.Family{kernel.IPv4, kernel.IPv6} {
		s.Forwards = append(s.Forwards, kernel.Forwarding{
			Family: f, On: m.host.sysctl(confPath(f, "all", "forwarding")) == "1", Recorded: m.forwards[f] != nil,
		})
	}
	for _, path := range slices.Sorted(maps.Keys(m.files)) {
		if !strings.HasPrefix(path, "/etc/netns/") {
			continue
		}
		file := kernel.File{Path: path, Mark: fileMark(m.files[path])}
		if file.Mark != (kernel.Mark{}) {
			file.Content = kernel.Text{m.files[path]}
		}
		s.Files = append(s.Files, file)
	}
	s.Supervisor.PID = m.supervisors[q.Project]
	for k, p := range m.processes {
		if k.project == q.Project {
			s.Processes = append(s.Processes, p.ProcessState)
		}
	}
	slices.SortFunc(s.Processes, func(a, b kernel.ProcessState) int { return cmp.Compare(a.Process.Node, b.Process.Node) })
	for _, name := range slices.Sorted(maps.Keys(m.volumes)) {
		v := m.volumes[name]
		v.Users = m.volumeUsers(name)
		s.Volumes = append(s.Volumes, v)
	}
	m.keyFacts(&s, q)
	for _, card := range slices.Sorted(maps.Keys(m.uplinks)) {
		s.Uplinks = append(s.Uplinks, m.uplinks[card].facts())
	}
	for _, card := range slices.Sorted(maps.Keys(m.lent)) {
		s.Lent = append(s.Lent, m.lent[card].facts())
	}
	if q.Listeners {
		s.Listeners = slices.Clone(m.listeners)
	}
	return s, nil
}

// facts is what a reading finds in a namespace; of one that is not read, only whose it is.
func (s *space) facts(read map[*space]bool, vlans bool) kernel.Netns {
	n := kernel.Netns{Name: s.name, Cookie: uint64(s.links[0].index), Group: s.links[0].group}
	n.Mark, _ = kernel.ParseMark(s.links[0].alias)
	if !read[s] {
		return n
	}
	vlans = vlans || slices.ContainsFunc(s.links, func(l *link) bool { return l.bridge != nil && l.bridge.VLANFiltering })
	for _, l := range s.links {
		fact := kernel.Link{
			Name: l.name, Index: l.index, Kind: l.kind, MTU: l.mtu, MAC: l.mac, Up: l.up, Oper: l.oper(), Group: l.group, Alias: l.alias,
			Qdisc: copyQdisc(l.qdisc), AcceptRA: l.acceptRA(), Params: slices.Clone(l.params), Remotes: slices.Clone(l.remotes),
			WireGuard: l.wireGuardFacts(),
		}
		if l.parent != nil && read[l.parent.space] {
			fact.Parent = kernel.End{Netns: l.parent.space.name, Name: l.parent.name}
		}
		if l.master != nil {
			fact.Master = l.master.name
		}
		if l.peer != nil && read[l.peer.space] {
			fact.Peer = kernel.End{Netns: l.peer.space.name, Name: l.peer.name}
		}
		if vlans {
			fact.VLANs = l.vlans.facts()
		}
		fact.FDB = l.fdb.facts()
		if l.bridge != nil {
			attrs := l.bridge.BridgeAttrs
			fact.Bridge = &attrs
		}
		if l.port != nil {
			attrs := *l.port
			fact.Port = &attrs
		}
		n.Links = append(n.Links, fact)
		n.Addrs = append(n.Addrs, l.addrs...)
	}
	for _, r := range s.routes {
		n.Routes = append(n.Routes, r.fact())
	}
	n.PolicyRules = slices.Clone(s.rules)
	kernel.SortPolicyRules(n.PolicyRules)
	slices.SortFunc(n.Links, func(a, b kernel.Link) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortStableFunc(n.Addrs, func(a, b kernel.Addr) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), a.Prefix.Compare(b.Prefix))
	})
	slices.SortFunc(n.Routes, func(a, b kernel.Route) int {
		return cmp.Or(a.Dst.Compare(b.Dst), cmp.Compare(a.Table, b.Table), cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Link, b.Link), a.Via.Compare(b.Via))
	})
	return n
}

func (m *Machine) rules(s *kernel.Snapshot) {
	for _, k := range m.tableKeys() {
		chains := slices.Clone(m.tables[k].chains)
		slices.SortFunc(chains, func(a, b *chain) int { return cmp.Compare(a.name, b.name) })
		for _, c := range chains {
			s.Chains = append(s.Chains, kernel.Chain{Family: k.family, Table: k.name, Name: c.name, Policy: c.policy})
			for _, rule := range c.rules {
				s.Rules = append(s.Rules, kernel.Rule{Family: k.family, Table: k.name, Chain: c.name, Spec: rule})
			}
		}
	}
}

func (m *Machine) tableKeys() []tableKey {
	return slices.SortedFunc(maps.Keys(m.tables), func(a, b tableKey) int {
		return cmp.Or(cmp.Compare(a.family, b.family), cmp.Compare(a.name, b.name))
	})
}
