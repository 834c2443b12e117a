package linux

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"topo/internal/kernel"
)

// Settle waits for what the kernel does in its own time: ports of the project's bridges that
// have a carrier forwarding, veths able to send, addresses no longer tentative, links into deleted
// namespaces gone. It ends with an error that names what it waits for when the context does.
//
// Link-local addresses, which the kernel makes by itself, are not waited for: their duplicate address detection
// takes one to two seconds, and nothing of topo needs them.
func (h *Host) Settle(ctx context.Context, q kernel.Query) error {
	const shortest, longest = 2 * time.Millisecond, 50 * time.Millisecond
	waiting, err := namespaceNames()
	if err != nil {
		return err
	}
	if err := h.dying.forgetLiving(h, waiting); err != nil {
		return err
	}
	for pause := shortest; ; pause = min(2*pause, longest) {
		var busy string
		if busy, waiting, err = h.unsettled(q, waiting); err != nil {
			return err
		}
		if busy == "" {
			h.dying.clear()
			return nil
		}
		q.Again = false // of those that are waited for
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", busy, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// deleting names a link into a namespace that this Host has deleted, which the kernel has not come round to; "" for none.
func (h *Host) deleting(project string) (string, error) {
	if !h.dying.any() {
		return "", nil
	}
	var host space
	var err error
	if host.links, err = readLinks(h.conn); err != nil {
		return "", err
	}
	return h.hostUnsettled(&host, project), nil
}

// unsettledOf names one thing in namespaces that is not yet as it will be, "" for none, and has those read again that have one.
func (h *Host) unsettledOf(spaces []space, project string) string {
	busy := h.hostUnsettled(&spaces[0], project)
	if busy != "" {
		h.memory.change("")
	}
	for i := range spaces[1:] {
		if what := nodeUnsettled(&spaces[1+i]); what != "" {
			h.memory.change(spaces[1+i].Name)
			busy = cmp.Or(busy, what)
		}
	}
	return busy
}

// unsettled names one thing that is not yet as it will be, "" for none. Of the namespaces it
// gives back those that are not settled; the others are not looked at again.
func (h *Host) unsettled(q kernel.Query, names []string) (busy string, waiting []string, err error) {
	var host space
	if host.links, err = readLinks(h.conn); err != nil {
		return "", nil, err
	}
	if err := readSpaceAddrs(h.conn, &host); err != nil {
		return "", nil, err
	}
	busy = h.hostUnsettled(&host, q.Project)
	names = h.memory.stale(q, names, &host)
	found := make([]string, len(names))
	g := readers()
	for i, name := range names {
		g.Go(func() error {
			var s space
			err := h.readNamespace(name, q.Project, &s, readSpaceAddrs)
			found[i] = nodeUnsettled(&s)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return "", nil, err
	}
	for i, what := range found {
		if what != "" {
			busy, waiting = cmp.Or(busy, what), append(waiting, names[i])
		}
	}
	return busy, waiting, nil
}

// hostUnsettled looks at the project's links, bridges and ports in the host's namespace.
func (h *Host) hostUnsettled(s *space, project string) string {
	own := map[string]bool{} // links of the project, bridges that have a port of it, ports of its bridges
	for _, l := range s.links {
		if belongs(l, project) {
			own[l.Name] = true
			own[l.Master] = true
		}
	}
	for _, l := range s.links {
		mine := own[l.Name] || l.Port != nil && own[l.Master]
		switch {
		case !mine:
		case l.dying() || l.peerOutside && h.dying.has(l.peerNetns):
			return fmt.Sprintf("link %s is gone with the namespace of its other end", l.Name)
		case l.pending():
			return fmt.Sprintf("the state of link %s follows its carrier (it is %s)", l.Name, l.Oper)
		case l.Port != nil && l.Oper == "up" && !steady(l, s):
			return fmt.Sprintf("port %s is forwarding (it is %s)", l.Name, l.Port.State)
		}
	}
	return tentative(s, func(link string) bool { return own[link] })
}

// steady says whether a port with a carrier is in a state that will last: forwarding, blocked by spanning tree,
// or disabled because its bridge is down.
func steady(port link, s *space) bool {
	switch port.Port.State {
	case "forwarding", "blocking":
		return true
	case "disabled":
		return !slices.ContainsFunc(s.links, func(l link) bool { return l.Name == port.Master && l.Up })
	}
	return false
}

// nodeUnsettled looks at one of the project's namespaces; others were not read and have nothing.
func nodeUnsettled(s *space) string {
	for _, l := range s.links {
		if l.pending() {
			return fmt.Sprintf("the state of link %s in %s follows its carrier (it is %s)", l.Name, s.Name, l.Oper)
		}
		if l.Port != nil && l.Oper == "up" && belongs(l, s.Mark.Project) && !steady(l, s) {
			return fmt.Sprintf("port %s in %s is forwarding (it is %s)", l.Name, s.Name, l.Port.State)
		}
	}
	return tentative(s, func(string) bool { return true })
}

// tentative names an address under duplicate address detection, "" for none.
func tentative(s *space, mine func(link string) bool) string {
	for _, a := range s.Addrs {
		if a.Tentative && !a.Kernel && mine(a.Link) {
			return fmt.Sprintf("address %s of %s is no longer tentative", a.Prefix, a.Link)
		}
	}
	return ""
}

// belongs says whether a link is the project's, by its mark, or, unfinished, by its group.
func belongs(l link, project string) bool {
	if l.Alias == "" {
		return l.Group == kernel.Group(project)
	}
	m, ok := kernel.ParseMark(l.Alias)
	return ok && m.Project == project
}
