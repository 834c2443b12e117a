package linux

import (
	"context"
	"fmt"
	"slices"

	"topo/internal/kernel"
)

// readNamespaces reads the host's own namespace and those in /run/netns, of these whole only the project's, and of what is remembered
// only what may have changed. unsettled is Snapshot.Unsettled.
func (h *Host) readNamespaces(ctx context.Context, past *recollection) (host kernel.Netns, named []kernel.Netns, unsettled string, err error) {
	names, err := namespaceNames()
	if err != nil {
		return kernel.Netns{}, nil, "", err
	}
	names = slices.Insert(names, 0, "") // the host's
	r := &reading{
		host: h, past: past, names: names, spaces: make([]space, len(names)),
		read: map[string]bool{}, ends: map[kernel.End]bool{}, links: map[int]bool{},
	}
	if err := r.all(ctx); err != nil {
		return kernel.Netns{}, nil, "", err
	}
	spaces := r.spaces
	for i := range spaces[0].links {
		findRadio(&spaces[0].links[i])
	}
	if err := h.findPeers(spaces); err != nil {
		return kernel.Netns{}, nil, "", err
	}
	past.remember(spaces)
	if past.query.Again {
		unsettled = h.unsettledOf(spaces, past.query.Project)
	}
	for _, s := range spaces[1:] {
		if !s.gone {
			named = append(named, s.finish())
		}
	}
	return spaces[0].finish(), named, unsettled, nil
}

// reading is one of all namespaces, which begins with what is remembered of them.
type reading struct {
	host   *Host
	past   *recollection
	names  []string // "", for the host's own, first
	spaces []space  // by name
	read   map[string]bool
	ends   map[kernel.End]bool // links that are not as they were
	links  map[int]bool        // those of the host's own that were read one by one
	kept   bool                // the host's own is not read whole
}

// all reads what may have changed, then what that may be felt in, until nothing new comes of it.
func (r *reading) all(ctx context.Context) error {
	unread := r.recall()
	for len(unread) > 0 {
		if err := r.whole(ctx, unread); err != nil {
			return err
		}
		if err := r.felt(); err != nil {
			return err
		}
		unread = unread[:0]
		for i, name := range r.names {
			if !r.read[name] && (name == "" && !r.kept || name != "" && r.spaces[i].reaches(r.ends)) {
				unread = append(unread, i)
			}
		}
	}
	for i, name := range r.names {
		if !r.read[name] {
			r.spaces[i].forgetEnds(r.read)
		}
	}
	if r.kept {
		return r.host.readRest(r.host.conn, &r.spaces[0])
	}
	return nil
}

// recall takes what is remembered for what is, and gives the others to read. The host's own is kept where no change was sent to it, and no
// namespace is gone since, which may have given something back.
func (r *reading) recall() (unread []int) {
	own := r.past.spaces[""]
	r.kept = own != nil && !r.past.changed[""]
	for name, was := range r.past.spaces {
		if _, there := slices.BinarySearch(r.names, name); !there {
			was.changedEnds(nil, r.ends)
			r.kept = false
		}
	}
	for i, name := range r.names {
		if was := r.past.asItWas(name); was != nil {
			r.spaces[i] = *was
		} else if name == "" && r.kept {
			r.spaces[i] = *own
			r.spaces[i].links = slices.Clone(own.links)
		} else {
			unread = append(unread, i)
		}
	}
	return unread
}

// whole reads namespaces, and notes which of their links are not as they were.
func (r *reading) whole(ctx context.Context, unread []int) error {
	g := readers()
	for _, i := range unread {
		r.spaces[i] = space{vlans: r.past.query.VLANs}
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return r.host.readSpace(r.names[i], r.past.query.Project, &r.spaces[i])
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, i := range unread {
		name, now := r.names[i], &r.spaces[i]
		r.read[name] = true
		was := r.past.spaces[name]
		if was != nil {
			was.changedEnds(now, r.ends)
		}
		// A link that has come, or is gone, may be the host's no more, or again.
		if was == nil || was.id != now.id || !slices.EqualFunc(was.links, now.links, func(a, b link) bool { return a.Index == b.Index && a.Name == b.Name }) {
			r.kept = false
		}
	}
	return nil
}

// felt reads those of the host's own links again that end, or stand, on one of others, the bridges that these are ports of, and what
// stands on any of them. The kernel searches all namespaces that links of one lead to for each link that it tells of (peernet2id in
// net/core/net_namespace.c): to read 5,000 of the host's takes a third of a second.
func (r *reading) felt() error {
	if !r.kept {
		return nil
	}
	own := &r.spaces[0]
	byIndex := linksByIndex(own.links)
	felt := map[int]bool{}
	for more := true; more; {
		more = false
		add := func(index int) {
			if byIndex[index] != nil && !felt[index] {
				felt[index], more = true, true
			}
		}
		for i := range own.links {
			l := &own.links[i]
			if r.ends[l.Peer] || r.ends[l.Parent] || felt[l.lower()] {
				add(l.Index)
			}
			if felt[l.Index] {
				add(l.master)
			}
		}
	}
	for index := range felt {
		if r.links[index] {
			continue
		}
		r.links[index] = true
		was := byIndex[index]
		now, err := r.host.conn.link(index)
		if absent(err) || err == nil && now.Name != was.Name {
			r.kept = false
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading link %s again: %w", was.Name, err)
		}
		now.Master = linkName(byIndex, now.master)
		*was = now
	}
	r.past.spaces[""].changedEnds(own, r.ends)
	return nil
}

// forgetEnds forgets which links in some namespaces this one's end at, or stand on.
func (s *space) forgetEnds(in map[string]bool) {
	for i := range s.links {
		for _, end := range []*kernel.End{&s.links[i].Peer, &s.links[i].Parent} {
			if in[end.Netns] {
				*end = kernel.End{}
			}
		}
	}
}

// changedEnds adds the links of a namespace that are not as they were, or gone, as all are where the namespace is (nil) or another one has
// its name.
func (s *space) changedEnds(now *space, to map[kernel.End]bool) {
	ends := map[string]end{}
	if now != nil && now.id == s.id {
		for i := range now.links {
			ends[now.links[i].Name] = now.links[i].end()
		}
	}
	for i := range s.links {
		l := &s.links[i]
		if is, there := ends[l.Name]; !there || is != l.end() {
			to[kernel.End{Netns: s.Name, Name: l.Name}] = true
		}
	}
}

// reaches reports whether a link of the namespace ends, or stands, on one of others.
func (s *space) reaches(ends map[kernel.End]bool) bool {
	for i := range s.links {
		if ends[s.links[i].Peer] || ends[s.links[i].Parent] {
			return true
		}
	}
	return false
}
