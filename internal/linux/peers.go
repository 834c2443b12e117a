package linux

import (
	"errors"

	"topo/internal/kernel"
)

// findPeers tells each veth its other end, where that is not known yet. A veth knows the index of its peer, and, when that is in another
// namespace, the number that its own namespace has for that one. Indices repeat from namespace to
// namespace, so the number is what decides.
func (h *Host) findPeers(spaces []space) error {
	candidates := map[[2]int][]candidate{} // by own index and peer's index
	for i := range spaces {
		for j := range spaces[i].links {
			l := &spaces[i].links[j]
			if l.Kind == "veth" {
				key := [2]int{l.Index, l.peerIndex}
				candidates[key] = append(candidates[key], candidate{i, l})
			}
		}
	}
	numbers, err := h.askNumbers(spaces, candidates)
	if err != nil {
		return err
	}
	for i := range spaces {
		for j := range spaces[i].links {
			l := &spaces[i].links[j]
			if l.Kind != "veth" || l.Peer != (kernel.End{}) {
				continue
			}
			for _, c := range candidates[[2]int{l.peerIndex, l.Index}] {
				same, err := numbers.leadTo(spaces[i].Name, l, spaces[c.space].Name, i == c.space)
				if err != nil {
					return err
				}
				if same && c.link != l {
					l.Peer = kernel.End{Netns: spaces[c.space].Name, Name: c.link.Name}
					c.link.Peer = kernel.End{Netns: spaces[i].Name, Name: l.Name}
					break
				}
			}
		}
	}
	return numbers.findParents(spaces)
}

// askNumbers asks for the numbers that decide between candidates, several at a time.
func (h *Host) askNumbers(spaces []space, candidates map[[2]int][]candidate) (*numbers, error) {
	n := &numbers{host: h, known: map[[2]string]int{}}
	var pairs [][2]string
	for i := range spaces {
		for _, l := range spaces[i].links {
			if l.Kind != "veth" || !l.peerOutside || l.Peer != (kernel.End{}) {
				continue
			}
			for _, c := range candidates[[2]int{l.peerIndex, l.Index}] {
				pair := [2]string{spaces[i].Name, spaces[c.space].Name}
				if _, there := n.known[pair]; !there && i < c.space { // one of the two ends is asked
					n.known[pair] = unassigned
					pairs = append(pairs, pair)
				}
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

type candidate struct {
	space int
	link  *link
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
