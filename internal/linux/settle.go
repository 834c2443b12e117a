package linux

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// Settle waits for what the kernel does in its own time: ports of the project's bridges that
// have a carrier forwarding, addresses no longer tentative, links into deleted namespaces gone. It ends with
// an error that names what it waits for when the context does.
//
// Link-local addresses, which the kernel makes by itself, are not waited for: nothing of topo needs them.
func (h *Host) Settle(ctx context.Context, project string) error {
	const shortest, longest = 2 * time.Millisecond, 50 * time.Millisecond
	names, err := h.withTentative(project)
	if err != nil {
		return err
	}
	for pause := shortest; ; pause = min(2*pause, longest) {
		busy, err := h.unsettled(project, &names)
		if err != nil {
			return err
		}
		if busy == "" {
			h.dying.clear()
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", busy, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// unsettled names one thing that is not yet as it will be, "" for none. Namespaces that have settled leave names.
func (h *Host) unsettled(project string, names *[]string) (string, error) {
	links, err := readLinks(h.conn)
	if err != nil {
		return "", err
	}
	bridges := map[string]bool{} // the project's, up
	for _, l := range links {
		if l.Kind == "bridge" && l.Up && belongs(l, project) {
			bridges[l.Name] = true
		}
	}
	for _, l := range links {
		switch {
		case l.Port != nil && bridges[l.Master] && l.Up && l.Oper == "up" && l.Port.State != "forwarding" && l.Port.State != "blocking":
			return fmt.Sprintf("port %s is forwarding (it is %s)", l.Name, l.Port.State), nil
		case l.Kind == "veth" && belongs(l, project) && (l.dying() || l.peerOutside && h.dying.has(l.peerNetns)):
			return fmt.Sprintf("link %s is gone with the namespace of its other end", l.Name), nil
		}
	}
	for len(*names) > 0 {
		tentative, err := h.tentative((*names)[0], project)
		if err != nil || tentative != "" {
			return tentative, err
		}
		*names = (*names)[1:]
	}
	return "", nil
}

// belongs says whether a link is the project's, by its mark, or, unfinished, by its group.
func belongs(l link, project string) bool {
	if l.Alias == "" {
		return l.Group == kernel.Group(project)
	}
	m, ok := kernel.ParseMark(l.Alias)
	return ok && m.Project == project
}

// withTentative lists the namespaces of the project with a tentative address, and the host's.
func (h *Host) withTentative(project string) ([]string, error) {
	_, named, err := h.readNamespaces(context.Background(), project)
	if err != nil {
		return nil, err
	}
	names := []string{""}
	for _, n := range named {
		for _, a := range n.Addrs {
			if a.Tentative && !a.Kernel {
				names = append(names, n.Name)
				break
			}
		}
	}
	return names, nil
}

// tentative names an address that is one; in the host's namespace, only on the project's links.
func (h *Host) tentative(netns, project string) (string, error) {
	found := ""
	err := h.in(netns, func(c *conn) error {
		links, err := readLinks(c)
		if err != nil {
			return err
		}
		own := map[string]bool{}
		for _, l := range links {
			own[l.Name] = netns != "" || belongs(l, project)
		}
		addrs, err := readAddrs(c, links)
		for _, a := range addrs {
			if a.Tentative && !a.Kernel && own[a.Link] {
				found = fmt.Sprintf("address %s of %s is no longer tentative", a.Prefix, a.Link)
			}
		}
		return err
	})
	if errors.Is(err, unix.ENOENT) {
		return "", nil // the namespace is gone
	}
	return found, err
}
