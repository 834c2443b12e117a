package linux

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// hostID is machine-id(5); a machine without one (a minimal container) is told apart by its name only.
func hostID() (string, error) {
	b, err := os.ReadFile("/etc/machine-id")
	if absent(err) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

// readNeighbours reads the limit of the neighbour table. It is one for the machine, and shown in the first
// network namespace only; elsewhere the answer is 0.
func readNeighbours() (int, error) {
	v, err := readSysctl("net.ipv4.neigh.default.gc_thresh3")
	if absent(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0, fmt.Errorf("reading gc_thresh3: %w", err)
	}
	return n, nil
}

func putNative(b []byte, n uint32) { binary.NativeEndian.PutUint32(b, n) }
