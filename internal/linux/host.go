package linux

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/coreos/go-iptables/iptables"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// Host is this machine: the network namespace that the program was started in is the host's
// own. Its methods may be called by several goroutines.
type Host struct {
	netns  int   // the host's own namespace, for the way back
	conn   *conn // in it
	spaces namespaces
	trace  atomic.Pointer[func(string)]

	tables   map[kernel.Family]*tables
	records  sync.Mutex // serialises recording values from before
	uplinks  sync.Mutex // serialises what becomes of cards
	folders  sync.Mutex // serialises making and removing folders
	netnsDir func() error
	lock     atomic.Pointer[os.File] // on what all projects share, while it is held

	dying  deletions
	memory memory

	// rtnl is held shared by who sends a change, which the kernel makes under its own lock of that name; and alone by who writes a
	// parameter for which the kernel only tries that lock, and begins the call anew as long as somebody has it (restart_syscall in
	// net/ipv4/devinet.c and net/ipv6/addrconf.c): next to the deletion of 1,000 links that is a processor's whole time.
	rtnl sync.RWMutex
}

// Open makes a Host. It changes nothing.
func Open() (*Host, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	netns, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the host's network namespace: %w", err)
	}
	h := &Host{netns: netns, netnsDir: sync.OnceValue(prepareNetnsDir)}
	h.spaces = namespaces{byName: map[string]*namespace{}, limit: socketLimit()}
	h.tables = map[kernel.Family]*tables{
		kernel.IPv4: newTables(kernel.IPv4, "iptables", "ip_tables_names", iptables.ProtocolIPv4),
		kernel.IPv6: newTables(kernel.IPv6, "ip6tables", "ip6_tables_names", iptables.ProtocolIPv6),
	}
	if h.conn, err = h.dial(""); err != nil {
		unix.Close(netns)
		return nil, err
	}
	return h, nil
}

// Close releases all sockets.
func (h *Host) Close() error {
	h.spaces.closeAll()
	h.conn.close()
	return os.NewSyscallError("close", unix.Close(h.netns))
}

// Trace makes f see every changing message before it is sent, as "NETNS: what", those of iptables, sysctl and
// files, too. It may be called by several goroutines at once. Tests prove by it that nothing was changed.
func (h *Host) Trace(f func(change string)) { h.trace.Store(&f) }

func (h *Host) traced(netns, what string) {
	if f := h.trace.Load(); f != nil {
		if netns == "" {
			netns = "host"
		}
		(*f)(netns + ": " + what)
	}
}

// socketLimit is how many sockets are kept: half of the files that this process may open (Go raises the
// soft limit to the hard one), the other half is for everything else.
func socketLimit() int {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 256 // a fourth of the 1024 that every system grants
	}
	return int(min(r.Cur/2, 1<<16))
}
