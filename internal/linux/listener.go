package linux

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"topo/internal/kernel"
)

// The states of a socket that holds a port (include/net/tcp_states.h): a listening TCP socket, a
// UDP socket that is not connected.
const (
	tcpListen = "0A"
	udpClose  = "07"
)

// readListeners lists the sockets of the host that hold a port, with their holders. It goes through the
// open files of all processes, which takes some milliseconds a hundred processes.
func readListeners() ([]kernel.Listener, error) {
	var listeners []kernel.Listener
	inodes := map[string][]int{} // socket → indices of its listeners
	for _, table := range []struct{ name, protocol, state string }{
		{"tcp", "tcp", tcpListen},
		{"tcp6", "tcp", tcpListen},
		{"udp", "udp", udpClose},
		{"udp6", "udp", udpClose},
	} {
		// Not /proc/net, which is that of the first thread, and that one may be somewhere else.
		b, err := os.ReadFile("/proc/thread-self/net/" + table.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading sockets: %w", err)
		}
		for line := range strings.Lines(string(b)) {
			fields := strings.Fields(line)
			if len(fields) < 10 || fields[3] != table.state {
				continue
			}
			addr, err := parseSocket(fields[1])
			if err != nil {
				return nil, fmt.Errorf("reading sockets: %w", err)
			}
			inodes[fields[9]] = append(inodes[fields[9]], len(listeners))
			listeners = append(listeners, kernel.Listener{Protocol: table.protocol, Addr: addr})
		}
	}
	findHolders(listeners, inodes)
	slices.SortFunc(listeners, func(a, b kernel.Listener) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Addr.Port(), b.Addr.Port()), a.Addr.Compare(b.Addr), cmp.Compare(a.PID, b.PID))
	})
	return listeners, nil
}

// parseSocket reads "0100007F:1F90": the address as 32-bit words in the machine's byte order.
func parseSocket(s string) (netip.AddrPort, error) {
	host, port, ok := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	if !ok || err != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, fmt.Errorf("address %q", s)
	}
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("address %q", s)
	}
	for i := 0; i < len(raw); i += 4 {
		word := raw[i : i+4]
		putNative(word, uint32(word[0])<<24|uint32(word[1])<<16|uint32(word[2])<<8|uint32(word[3]))
	}
	a, ok := netip.AddrFromSlice(raw)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("address %q", s)
	}
	return netip.AddrPortFrom(a, uint16(n)), nil
}

// findHolders looks for the sockets among the open files of all processes; what it may not see stays 0.
func findHolders(listeners []kernel.Listener, inodes map[string][]int) {
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(inodes) == 0 {
		return
	}
	for _, dir := range processes {
		files, err := os.ReadDir(dir + "/fd")
		if err != nil {
			continue // ended meanwhile
		}
		for _, f := range files {
			target, err := os.Readlink(dir + "/fd/" + f.Name())
			if err != nil || !strings.HasPrefix(target, "socket:[") {
				continue
			}
			for _, i := range inodes[strings.TrimSuffix(target[len("socket:["):], "]")] {
				if listeners[i].PID == 0 {
					listeners[i].PID, _ = strconv.Atoi(filepath.Base(dir))
					comm, _ := os.ReadFile(dir + "/comm")
					listeners[i].Command = strings.TrimSpace(string(comm))
				}
			}
		}
	}
}
