package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// The folder /proc/sys/net shows each thread the parameters of its own network namespace
// (net_ctl_root in net/sysctl_net.c): a thread of the namespace must open the file.

// sysctlPath is the file of a parameter. A key with slashes is taken as it is, as sysctl(8) does: so names
// of interfaces with dots can be written.
func sysctlPath(key string) (string, error) {
	name := key
	if !strings.Contains(key, "/") {
		name = strings.ReplaceAll(key, ".", "/")
	}
	if !strings.HasPrefix(name, "net/") || path.Clean(name) != name {
		return "", fmt.Errorf("kernel parameter %q is not one of a network namespace: %w", key, unix.EINVAL)
	}
	return "/proc/sys/" + name, nil
}

// withSysctls runs f on a thread of the namespace; in the host's own, that is any.
func (h *Host) withSysctls(netns string, f func() error) error {
	if netns == "" {
		return f()
	}
	fd, done, err := h.descriptor(netns)
	if err != nil {
		return err
	}
	return errors.Join(h.onThread(fd, f), done())
}

// readSysctls reads parameters, several namespaces at a time. Those that are not there are left out.
func (h *Host) readSysctls(keys []kernel.SysctlKey) (map[kernel.SysctlKey]string, error) {
	byNetns := map[string][]kernel.SysctlKey{}
	asked := map[kernel.SysctlKey]bool{} // what is wanted is recorded, too, most often
	for _, k := range keys {
		if !asked[k] {
			asked[k] = true
			byNetns[k.Netns] = append(byNetns[k.Netns], k)
		}
	}
	values := map[kernel.SysctlKey]string{}
	var mu sync.Mutex
	keep := func(k kernel.SysctlKey, v string) {
		mu.Lock()
		defer mu.Unlock()
		values[k] = v
	}
	g := readers()
	for netns, keys := range byNetns {
		g.Go(func() error {
			err := h.readSysctlsOf(netns, keys, keep)
			if err != nil && !absent(err) {
				return fmt.Errorf("reading kernel parameters of namespace %q: %w", netns, err)
			}
			return nil
		})
	}
	err := g.Wait()
	return values, err
}

// readSysctlsOf reads those of a namespace. What netlink tells of them is asked for by it: it takes a message and no visit.
func (h *Host) readSysctlsOf(netns string, keys []kernel.SysctlKey, keep func(kernel.SysctlKey, string)) error {
	var files []kernel.SysctlKey
	err := h.in(netns, func(c *conn) error {
		for _, k := range keys {
			v, told, err := c.forwarding(k.Key)
			switch {
			case err != nil:
				return err
			case told:
				keep(k, v)
			default:
				files = append(files, k)
			}
		}
		return nil
	})
	if err != nil || len(files) == 0 {
		return err
	}
	return h.withSysctls(netns, func() error {
		for _, k := range files {
			v, err := readSysctl(k.Key)
			if err == nil {
				keep(k, v)
			} else if !absent(err) && !errors.Is(err, fs.ErrPermission) { // some can only be written
				return err
			}
		}
		return nil
	})
}

// What linux/netconf.h has for them.
const (
	netconfIndex      = 1 // NETCONFA_IFINDEX
	netconfForwarding = 2 // NETCONFA_FORWARDING
	netconfAll        = math.MaxUint32
)

// forwarding tells whether the namespace of the socket forwards, as its parameter would say; not told: key is another parameter, or
// the kernel knows no such family.
func (c *conn) forwarding(key string) (value string, told bool, err error) {
	var family byte
	switch strings.ReplaceAll(key, "/", ".") {
	case "net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding":
		family = unix.AF_INET
	case "net.ipv6.conf.all.forwarding":
		family = unix.AF_INET6
	default:
		return "", false, nil
	}
	req := nl.NewNetlinkRequest(unix.RTM_GETNETCONF, 0)
	req.AddData(parts{raw{family, 0, 0, 0}, numberAttr(netconfIndex, netconfAll)}) // struct netconfmsg, aligned
	err = c.ask(req, func(body []byte) error {
		for kind, v := range attributes(after(body, align(1))) {
			if kind == netconfForwarding {
				value, told = strconv.Itoa(signed(v)), true
			}
		}
		return nil
	})
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = nil
	}
	return value, told, err
}

// readSysctl reads a parameter of the thread's namespace. Numbers in a row come with tabs between; one blank is what people write.
func readSysctl(key string) (string, error) {
	file, err := sysctlPath(key)
	if err != nil {
		return "", err
	}
	b, err := readPlain(file, 31, nil)
	if err != nil {
		return "", err
	}
	return strings.Join(strings.Fields(string(b)), " "), nil
}

// locking are the last words of parameters that the kernel writes under its RTNL lock, which it only tries to take (Host.rtnl).
var locking = []string{"ip_forward", "forwarding", "disable_ipv6", "proxy_ndp", "addr_gen_mode", "ignore_routes_with_linkdown"}

// writeSysctl writes a parameter of the thread's namespace. Where the kernel would try for a lock, it waits until no change of topo's
// is under way.
func (h *Host) writeSysctl(netns, key, value string) error {
	file, err := sysctlPath(key)
	if err != nil {
		return err
	}
	if slices.Contains(locking, path.Base(file)) {
		h.rtnl.Lock()
		defer h.rtnl.Unlock()
	}
	h.traced(netns, "sysctl "+key+"="+value)
	h.memory.change(netns)
	return writePlain(file, 0, []byte(value), 0) // never made: a file there would mean a parameter
}

// sysctlSet keeps the value from before on disk before it writes.
func (h *Host) sysctlSet(o kernel.SysctlSet) error {
	return h.withSysctls(o.Netns, func() error {
		if o.Record {
			before, err := readSysctl(o.Key)
			if err != nil {
				return err
			}
			err = h.keepRecord(kernel.SysctlRecord{SysctlKey: o.SysctlKey, Project: o.Project, Before: before})
			if err != nil {
				return err
			}
		}
		return h.writeSysctl(o.Netns, o.Key, o.Value)
	})
}

// sysctlRestore does nothing without a record. Where the namespace or the interface is gone, the value
// went with it.
func (h *Host) sysctlRestore(o kernel.SysctlRestore) error {
	record, ok, err := findRecord(o.Project, o.SysctlKey)
	if err != nil || !ok {
		return err
	}
	err = h.withSysctls(o.Netns, func() error { return h.writeSysctl(o.Netns, o.Key, record.Before) })
	if gone(err) != nil {
		return err
	}
	return h.dropRecord(o.Project, o.SysctlKey)
}
