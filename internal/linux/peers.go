package linux

import (
	"errors"
	"fmt"
	"slices"

	"topo/internal/kernel"
)

// findPeers tells each veth its other end, where that is not known yet. A veth knows the index of its peer, and, when that is in another
// namespace, the number that its own namespace has for that one. Indices repeat from namespace to
// namespace, so the number is what decides.
func (h *Host) findPeers(spaces []space) error {
	searches, err := h.searches(spaces)
	if err != nil {
		return err
	}
	numbers, err := h.askNumbers(spaces, searches)
	if err != nil {
		return err
	}
	for _, s := range searches {
		from, l := spaces[s.space].Name, s.link
		for _, c := range s.among {
			if l.Peer != (kernel.End{}) {
				break // it was found from there
			}
			same, err := numbers.leadTo(from, l, spaces[c.space].Name, s.space == c.space)
			if err != nil {
				return err
			}
			if same && c.link != l {
				l.Peer = kernel.End{Netns: spaces[c.space].Name, Name: c.link.Name}
				c.link.Peer = kernel.End{Netns: from, Name: l.Name}
			}
		}
	}
	return numbers.findParents(spaces)
}

// search is a veth whose other end is to be found, and what that may be.
type search struct {
	candidate
	among []candidate
}

type candidate struct {
	space int
	link  *link
}

// appearance is what one link of many has for itself, mostly.
type appearance struct {
	index, peerIndex int
	name, mac, alias string
}

func (l *link) appearance() appearance {
	return appearance{l.Index, l.peerIndex, l.Name, l.MAC, l.Alias}
}

// searches are those that are to be made. Where several links have the indices, the kernel is asked what the other end looks like: a
// chain of 300 nodes, whose links all have the same two, would be 45,000 questions for numbers.
func (h *Host) searches(spaces []space) ([]search, error) {
	ends, looks := map[[2]int][]candidate{}, map[appearance][]candidate{}
	for i := range spaces {
		for j := range spaces[i].links {
			if l := &spaces[i].links[j]; l.Kind == "veth" {
				key := [2]int{l.Index, l.peerIndex}
				ends[key] = append(ends[key], candidate{i, l})
				looks[l.appearance()] = append(looks[l.appearance()], candidate{i, l})
			}
		}
	}
	var all []search
	g := readers()
	found := make([][]search, len(spaces))
	for i := range spaces {
		var of []search
		for j := range spaces[i].links {
			l := &spaces[i].links[j]
			if l.Kind != "veth" || l.Peer != (kernel.End{}) {
				continue
			}
			if among := ends[[2]int{l.peerIndex, l.Index}]; len(among) > 0 {
				of = append(of, search{candidate{i, l}, among})
			}
		}
		found[i] = of
		if slices.ContainsFunc(of, func(s search) bool { return len(s.among) > 1 && s.link.peerOutside }) {
			g.Go(func() error { return h.narrow(spaces[i].Name, of, looks) })
		}
	}
	err := g.Wait()
	for _, of := range found {
		all = append(all, of...)
	}
	return all, err
}

// narrow leaves of several candidates those that look like the other end. Where there is none, all are left: it may have changed.
func (h *Host) narrow(from string, searches []search, looks map[appearance][]candidate) error {
	err := h.in(from, func(c *conn) error {
		for i := range searches {
			s := &searches[i]
			if len(s.among) == 1 || !s.link.peerOutside || s.link.dying() {
				continue
			}
			peer, err := c.linkIn(s.link.peerNetns, s.link.peerIndex)
			if err != nil && !absent(err) {
				return fmt.Errorf("looking for the other end of link %s of namespace %q: %w", s.link.Name, from, err)
			}
			seen := looks[peer.appearance()]
			// One of the same namespace is what a kernel shows that does not know the question.
			if len(seen) > 0 && !slices.ContainsFunc(seen, func(c candidate) bool { return c.space == s.space }) {
				s.among = seen
			}
		}
		return nil
	})
	return gone(err)
}

// askNumbers asks for the numbers that decide between candidates, several at a time.
func (h *Host) askNumbers(spaces []space, searches []search) (*numbers, error) {
	n := &numbers{host: h, known: map[[2]string]int{}}
	var pairs [][2]string
	for _, s := range searches {
		for _, c := range s.among {
			pair := [2]string{spaces[s.space].Name, spaces[c.space].Name}
			if _, there := n.known[pair]; s.link.peerOutside && !there && s.space < c.space { // one of the two ends is asked
				n.known[pair] = unassigned
				pairs = append(pairs, pair)
			}
		}
	}
	ids := make([]int, len(pairs))
	g := readers()
	for i, pair := range pairs {
		g.Go(func() (err error) {
			ids[i], err = n.ask(pair[0], pair[1])
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i, pair := range pairs {
		n.known[pair] = ids[i]
	}
	return n, nil
}

// findParents tells each link of another kind what it stands on, where that is not known yet, by the same numbers.
func (n *numbers) findParents(spaces []space) error {
	byIndex := make([]map[int]*link, len(spaces)) // made when they are needed
	for i := range spaces {
		for j := range spaces[i].links {
			l := &spaces[i].links[j]
			index := l.lower()
			if index == 0 || l.Parent != (kernel.End{}) {
				continue
			}
			for k := range spaces {
				if byIndex[k] == nil {
					byIndex[k] = linksByIndex(spaces[k].links)
				}
				name := linkName(byIndex[k], index)
				if name == "" {
					continue
				}
				there, err := n.leadTo(spaces[i].Name, l, spaces[k].Name, i == k)
				if err != nil {
					return err
				}
				if there {
					l.Parent = kernel.End{Netns: spaces[k].Name, Name: name}
					break
				}
			}
		}
	}
	return nil
}

// lower is the index of what a link stands on; 0: nothing.
func (l *link) lower() int {
	switch kind, made := linkKinds[l.Kind]; {
	case !made:
		return 0
	case kind.parent != 0:
		return l.lowerIndex
	default:
		return l.peerIndex
	}
}

// numbers remembers what namespaces call each other.
type numbers struct {
	host  *Host
	known map[[2]string]int
}

// leadTo says whether the veth's other end, or what another link stands on, is in the namespace called to.
func (n *numbers) leadTo(from string, l *link, to string, same bool) (bool, error) {
	if same || !l.peerOutside {
		return same && !l.peerOutside, nil
	}
	key := [2]string{from, to}
	id, ok := n.known[key]
	if !ok {
		var err error
		if id, err = n.ask(from, to); err != nil {
			return false, err
		}
		n.known[key] = id
	}
	return id != unassigned && id == l.peerNetns, nil
}

// ask is unassigned for a namespace that is gone meanwhile.
func (n *numbers) ask(from, to string) (id int, err error) {
	if from == "" {
		id, err = n.host.number(to)
	} else {
		id, err = n.askNamed(from, to)
	}
	if absent(err) {
		return unassigned, nil
	}
	return id, err
}

func (n *numbers) askNamed(from, to string) (id int, err error) {
	fd, done, err := n.host.descriptor(to)
	if err != nil {
		return unassigned, err
	}
	err = n.host.in(from, func(c *conn) (err error) {
		id, err = nsid(c, fd)
		return err
	})
	return id, errors.Join(err, done())
}
