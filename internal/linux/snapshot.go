package linux

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"topo/internal/kernel"
)

// Snapshot reads the host: everything of a [kernel.Snapshot] but what is known of processes, images, volumes and folders, and what
// containers can be held to. It changes nothing. Neighbours is 0 where the kernel does not say (in a network namespace that is not the
// first one).
func (h *Host) Snapshot(ctx context.Context, q kernel.Query) (kernel.Snapshot, error) {
	var s kernel.Snapshot
	if q.Again {
		if busy, err := h.deleting(q.Project); busy != "" || err != nil {
			return kernel.Snapshot{Unsettled: busy}, err
		}
	}
	past := h.memory.recall(q)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		s.Host, s.Netns, s.Unsettled, err = h.readNamespaces(ctx, past)
		return err
	})
	g.Go(func() (err error) {
		s.Chains, s.Rules, s.IptablesError, err = h.readTables(ctx)
		if err != nil {
			return err
		}
		s.Short, err = readShort(s.IptablesError)
		return err
	})
	g.Go(func() (err error) {
		s.Records, err = readRecords()
		if err != nil {
			return err
		}
		s.Sysctls, err = h.readSysctls(slices.Concat(q.Sysctls, recordedKeys(s.Records)))
		return err
	})
	g.Go(func() (err error) {
		if s.Forwards, err = readForwards(); err != nil {
			return err
		}
		if s.Neighbours, err = readNeighbours(); err != nil {
			return err
		}
		if s.Files, err = readFiles(past); err != nil {
			return err
		}
		s.Nameservers, err = readNameservers()
		return err
	})
	g.Go(func() (err error) {
		s.KeyFiles = readKeyFiles(q.KeyFiles)
		if s.Keys, err = readKeys(q.Project); err != nil {
			return err
		}
		if s.Uplinks, err = readUplinks(); err != nil {
			return err
		}
		s.Lent, err = readLent()
		return err
	})
	g.Go(func() (err error) {
		s.Lacking, err = lackingOptions(q.Options)
		return err
	})
	if q.Listeners {
		g.Go(func() (err error) {
			s.Listeners, err = readListeners()
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return kernel.Snapshot{}, err
	}
	var err error
	if s.HostID, err = hostID(); err != nil {
		return kernel.Snapshot{}, err
	}
	if s.Hostname, err = os.Hostname(); err != nil {
		return kernel.Snapshot{}, err
	}
	if q.Secrets {
		s.Secrets, err = h.readSecrets(s, q.Project)
	}
	return s, err
}

// space is a namespace as it was read.
type space struct {
	kernel.Netns
	id    identity
	links []link
	gone  bool // deleted while it was read
	vlans bool // those of bridges that don't filter them are read, too
}

// readSpace reads a namespace; "" is the host's own.
func (h *Host) readSpace(name, project string, s *space) (err error) {
	if name != "" {
		return h.readNamespace(name, project, s, h.readRest)
	}
	if s.links, err = readLinks(h.conn); err != nil {
		return err
	}
	return h.readRest(h.conn, s)
}

// readers is a group of goroutines that each read a namespace.
func readers() *errgroup.Group {
	g := new(errgroup.Group)
	g.SetLimit(2 * runtime.GOMAXPROCS(0)) // each waits for the kernel now and then
	return g
}

// findRadio looks whether hardware is a radio (cfg80211). Where /sys shows another namespace's links, it is not found.
func findRadio(l *link) {
	if l.Kind == "" {
		_, err := os.Stat("/sys/class/net/" + l.Name + "/phy80211")
		l.Wireless = err == nil
	}
}

func namespaceNames() ([]string, error) {
	entries, err := os.ReadDir(netnsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

// readNamespace reads a named namespace: who it belongs to, and if that is the project, its links and what rest reads.
func (h *Host) readNamespace(name, project string, s *space, rest func(*conn, *space) error) error {
	s.Name = name
	var err error
	if s.id, err = identify(name); err != nil {
		if unfinished(netnsDir + "/" + name) {
			s.Unfinished = true
			return nil
		}
		_, err := os.Lstat(netnsDir + "/" + name)
		s.gone = errors.Is(err, fs.ErrNotExist)
		return nil // otherwise something else has that name, and nothing more is known
	}
	err = h.in(name, func(c *conn) (err error) {
		if s.Cookie, err = c.netnsCookie(); err != nil {
			return err
		}
		links, err := readLinks(c)
		if err != nil {
			return err
		}
		for _, l := range links {
			if l.Index == loIndex {
				s.Mark, _ = kernel.ParseMark(l.Alias)
				s.Group = l.Group
			}
		}
		if s.Mark.Project != project || project == "" {
			return nil
		}
		s.links = links
		return rest(c, s)
	})
	if errors.Is(err, errOtherKind) {
		return nil // something else has that name
	}
	if absent(err) {
		s.gone = true
		return nil
	}
	return err
}

func readSpaceAddrs(c *conn, s *space) (err error) {
	s.Addrs, err = readAddrs(c, s.links)
	return err
}

// readRest reads what a namespace has besides its links.
func (h *Host) readRest(c *conn, s *space) (err error) {
	if err = readSpaceAddrs(c, s); err != nil {
		return err
	}
	if s.Routes, err = readRoutes(c, s.links); err != nil {
		return err
	}
	if err = readVLANs(c, s.links, s.vlans); err != nil {
		return err
	}
	if err = readFDB(c, s.links); err != nil {
		return err
	}
	if s.PolicyRules, err = readPolicyRules(c); err != nil {
		return err
	}
	if err = readQdiscs(c, s.links); err != nil {
		return err
	}
	return h.readWireGuard(s)
}

// finish sorts, so that the same host gives the same value.
func (s *space) finish() kernel.Netns {
	s.Links = make([]kernel.Link, 0, len(s.links)) // one that was read before has some
	for _, l := range s.links {
		s.Links = append(s.Links, l.Link)
	}
	slices.SortFunc(s.Links, func(a, b kernel.Link) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Addrs, func(a, b kernel.Addr) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
	})
	slices.SortFunc(s.Routes, func(a, b kernel.Route) int {
		return cmp.Or(
			a.Dst.Addr().Compare(b.Dst.Addr()), cmp.Compare(a.Dst.Bits(), b.Dst.Bits()), cmp.Compare(a.Table, b.Table),
			cmp.Compare(a.Metric, b.Metric), a.Via.Compare(b.Via), cmp.Compare(a.Link, b.Link), cmp.Compare(a.Protocol, b.Protocol))
	})
	return s.Netns
}
