package linux

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// netnsDir is where named network namespaces are (ip-netns(8)).
const netnsDir = "/run/netns"

// identity tells namespaces apart. An inode number is given out anew when a namespace is gone; that of
// one with an open socket is not.
type identity struct{ dev, ino uint64 }

// namespace is a kept socket in a named namespace.
type namespace struct {
	id    identity
	conn  *conn
	users int  // that have it in hand: then it is not closed to make room
	used  uint // when it was last taken, for finding the one to close
	nsid  int  // the number that the host's namespace has for it, -1 for none yet; it never changes then
}

// unassigned is the number of a namespace that has none: NETNSA_NSID_NOT_ASSIGNED.
const unassigned = -1

// namespaces keeps one socket a namespace, up to a limit.
type namespaces struct {
	mu     sync.Mutex
	byName map[string]*namespace
	clock  uint
	limit  int
}

// onThread runs f on an OS thread that is in the namespace behind the file descriptor. The
// thread goes back to the host's namespace afterwards, or ends.
func (h *Host) onThread(ns int, f func() error) error {
	return h.borrowThread(func() error {
		if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering a network namespace: %w", err)
		}
		return f()
	})
}

// borrowThread runs f, which may change the network namespace, on a thread of its own.
func (h *Host) borrowThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := f()
		if back := unix.Setns(h.netns, unix.CLONE_NEWNET); back != nil {
			// Not unlocked: the runtime ends the thread together with this goroutine.
			done <- errors.Join(err, fmt.Errorf("leaving a network namespace: %w", back))
			return
		}
		runtime.UnlockOSThread()
		done <- err
	}()
	return <-done
}

// in calls f with the socket of a namespace; "" is the host's own.
func (h *Host) in(netns string, f func(*conn) error) error {
	if netns == "" {
		return f(h.conn)
	}
	ns, err := h.take(netns)
	if err != nil {
		return err
	}
	defer h.spaces.release(ns)
	return f(ns.conn)
}

// take finds or opens the socket of a namespace. A kept one counts only while the name still stands for
// the same namespace.
func (h *Host) take(name string) (*namespace, error) {
	id, err := identify(name)
	if err != nil {
		return nil, err
	}
	if ns := h.spaces.find(name, id); ns != nil {
		return ns, nil
	}
	fd, err := openNamespace(name)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var c *conn
	err = h.onThread(fd, func() (err error) {
		c, err = h.dial(name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening namespace %s: %w", name, err)
	}
	return h.spaces.keep(name, id, c), nil
}

// identify looks up what stands at /run/netns/NAME: ENOENT unless it is a namespace.
func identify(name string) (identity, error) {
	path := filepath.Join(netnsDir, name)
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return identity{}, fmt.Errorf("finding namespace %s: %w", name, err)
	}
	nsfs, err := nsfsDevice()
	if err != nil {
		return identity{}, fmt.Errorf("finding namespace %s: %w", name, err)
	}
	if st.Dev != nsfs {
		return identity{}, fmt.Errorf("finding namespace %s: %s is an ordinary file: %w", name, path, unix.ENOENT)
	}
	return identity{st.Dev, st.Ino}, nil
}

// nsfsDevice is the device of the one file system that has all namespaces (fs/nsfs.c mounts it once).
var nsfsDevice = sync.OnceValues(func() (uint64, error) {
	const own = "/proc/self/ns/net"
	var st unix.Stat_t
	if err := unix.Stat(own, &st); err != nil {
		return 0, fmt.Errorf("looking at %s: %s", own, err.Error()) // without the errno: ENOENT would say that the namespace is gone
	}
	return st.Dev, nil
})

// errOtherKind: somebody has mounted a namespace that is no network's in /run/netns.
var errOtherKind = fmt.Errorf("it is a namespace of another kind: %w", unix.ENOENT)

// openNamespace gives a file descriptor, not an *os.File: that would register it with the runtime's poller, which costs more
// than all the rest.
func openNamespace(name string) (fd int, err error) {
	fd, err = unix.Open(filepath.Join(netnsDir, name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("opening namespace %s: %w", name, err)
	}
	if kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE); err == nil && kind != unix.CLONE_NEWNET {
		unix.Close(fd)
		return -1, fmt.Errorf("opening namespace %s: %w", name, errOtherKind)
	}
	return fd, nil
}

func (s *namespaces) find(name string, id identity) *namespace {
	s.mu.Lock()
	defer s.mu.Unlock()
	ns := s.byName[name]
	switch {
	case ns == nil:
		return nil
	case ns.id != id: // deleted and made anew by somebody
		s.drop(name)
		return nil
	}
	s.mark(ns)
	return ns
}

// keep adds a socket that was just opened, unless another goroutine was faster.
func (s *namespaces) keep(name string, id identity, c *conn) *namespace {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ns := s.byName[name]; ns != nil {
		if ns.id == id {
			c.close()
			s.mark(ns)
			return ns
		}
		s.drop(name)
	}
	if len(s.byName) >= s.limit {
		s.makeRoom()
	}
	ns := &namespace{id: id, conn: c, nsid: unassigned}
	s.byName[name] = ns
	s.mark(ns)
	return ns
}

func (s *namespaces) mark(ns *namespace) {
	s.clock++
	ns.used = s.clock
	ns.users++
}

func (s *namespaces) release(ns *namespace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ns.users--
}

// makeRoom closes the socket that was not used for longest.
func (s *namespaces) makeRoom() {
	oldest := ""
	for name, ns := range s.byName {
		if ns.users == 0 && (oldest == "" || ns.used < s.byName[oldest].used) {
			oldest = name
		}
	}
	if oldest != "" {
		s.drop(oldest)
	}
}

// forget closes the socket of a namespace, which would keep that alive.
func (s *namespaces) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(name)
}

func (s *namespaces) drop(name string) {
	if ns := s.byName[name]; ns != nil {
		ns.conn.close()
		delete(s.byName, name)
	}
}

func (s *namespaces) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.byName {
		s.drop(name)
	}
}

// number is what the host's namespace calls another one, or unassigned.
func (h *Host) number(name string) (int, error) {
	ns, err := h.take(name)
	if err != nil {
		return unassigned, err
	}
	defer h.spaces.release(ns)
	return h.spaces.number(ns, func() (int, error) {
		fd, done, err := h.descriptor(name)
		if err != nil {
			return unassigned, err
		}
		id, err := nsid(h.conn, fd)
		return id, errors.Join(err, done())
	})
}

// knownNumber is the number of a namespace where it was asked for, or unassigned.
func (h *Host) knownNumber(name string) (int, error) {
	ns, err := h.take(name)
	if err != nil {
		return unassigned, err
	}
	defer h.spaces.release(ns)
	return h.spaces.number(ns, func() (int, error) { return unassigned, nil })
}

// number gives the remembered number, or asks.
func (s *namespaces) number(ns *namespace, ask func() (int, error)) (int, error) {
	s.mu.Lock()
	id := ns.nsid
	s.mu.Unlock()
	if id != unassigned {
		return id, nil
	}
	id, err := ask()
	s.mu.Lock()
	defer s.mu.Unlock()
	ns.nsid = id
	return id, err
}
