package linux

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// deletions are the namespaces that this Host deleted, by the numbers that the host's namespace
// has for them (RTM_GETNSID): so links into one are known until the kernel has taken it down.
type deletions struct {
	mu  sync.Mutex
	ids map[int]bool
}

// add notes a namespace that is about to be deleted. One that can't be opened (an unfinished one) has no
// link into it. The kernel gives out a number when a link is first looked at; without one the
// link could not be told from others afterwards, so the number is asked for.
func (d *deletions) add(h *Host, name string) error {
	id, err := h.knownNumber(name)
	if err == nil && id == unassigned {
		id, err = h.giveNumber(name)
	}
	if absent(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for links into namespace %s: %w", name, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ids == nil {
		d.ids = map[int]bool{}
	}
	d.ids[id] = true
	return nil
}

// giveNumber has the host's namespace give another one a number.
func (h *Host) giveNumber(name string) (int, error) {
	fd, done, err := h.descriptor(name)
	if err != nil {
		return unassigned, err
	}
	err = numberNamespace(h.conn, fd)
	if errors.Is(err, unix.EEXIST) { // somebody has just looked at a link
		err = nil
	}
	id := unassigned
	if err == nil {
		id, err = nsid(h.conn, fd)
	}
	return id, errors.Join(err, done())
}

// numberNamespace makes the socket's namespace have a number for another one; EEXIST when it has.
func numberNamespace(c *conn, namespace int) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWNSID, unix.NLM_F_ACK)
	req.AddData(nl.NewRtGenMsg())
	req.AddData(numberAttr(unix.NETNSA_FD, uint32(namespace)))
	req.AddData(numberAttr(unix.NETNSA_NSID, math.MaxUint32)) // -1: any
	return c.exchange(req, func(uint16, []byte) error { return nil })
}

func (d *deletions) has(id int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ids[id]
}

func (d *deletions) any() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.ids) > 0
}

// clear forgets all.
func (d *deletions) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ids = nil
}

// forgetLiving forgets numbers that were given out again, to namespaces that are there.
func (d *deletions) forgetLiving(h *Host, names []string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range names {
		if len(d.ids) == 0 {
			return nil
		}
		id, err := h.number(name)
		if gone(err) != nil {
			return err
		}
		delete(d.ids, id)
	}
	return nil
}

// nsid is the number that the namespace of the socket has for another one, unassigned when no link between the
// two was ever looked at.
func nsid(c *conn, namespace int) (int, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETNSID, 0)
	req.AddData(nl.NewRtGenMsg())
	req.AddData(numberAttr(unix.NETNSA_FD, uint32(namespace)))
	id := unassigned
	err := c.ask(req, func(body []byte) error {
		for kind, value := range attributes(after(body, align(unix.SizeofRtGenmsg))) {
			if kind == unix.NETNSA_NSID {
				id = signed(value)
			}
		}
		return nil
	})
	return id, err
}
