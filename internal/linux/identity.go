package linux

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Identity tells this machine from others, this boot from those before, and the network namespace that topo takes for
// the host's from others.
func Identity() (machine, boot, namespace string, err error) {
	if machine, err = hostID(); err != nil {
		return "", "", "", fmt.Errorf("telling which machine this is: %w", err)
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", "", "", fmt.Errorf("telling which boot this is: %w", err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", "", "", fmt.Errorf("telling which network namespace this is: %w", err)
	}
	defer unix.Close(fd)
	cookie, err := netnsCookie(fd)
	return machine, strings.TrimSpace(string(id)), strconv.FormatUint(cookie, 10), err
}

// netnsCookie tells the network namespace of a socket from all others since the machine was started; 0 before Linux 5.14.
func netnsCookie(fd int) (uint64, error) {
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if errors.Is(err, unix.ENOPROTOOPT) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("telling which network namespace this is: %w", err)
	}
	return cookie, nil
}

func (c *conn) netnsCookie() (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return 0, unix.ENOENT // its namespace was deleted
	}
	return netnsCookie(c.fd)
}

// WritePrivate writes a file that its owner alone may read, so that it is there whole or not at all. Its folder must be there.
func WritePrivate(path string, content []byte) error { return writeRenamed(path, content, 0o600) }
