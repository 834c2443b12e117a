package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// prepareHost makes the fresh namespaces of this process a host: a /run and /sys of its own, /etc and
// /var/lib whose changes stay in memory, lo up. It returns a folder for files.
func prepareHost() (dir string, err error) {
	for _, m := range []struct{ target, kind string }{{"/run", "tmpfs"}, {"/sys", "sysfs"}} {
		if err := unix.Mount(m.kind, m.target, m.kind, 0, ""); err != nil {
			return "", fmt.Errorf("mounting %s on %s: %w", m.kind, m.target, err)
		}
	}
	dir = "/run/bench"
	for _, lower := range []string{"/etc", "/var/lib"} {
		upper, work := dir+lower+"/upper", dir+lower+"/work"
		for _, d := range []string{upper, work} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				return "", err
			}
		}
		if err := unix.Mount("overlay", lower, "overlay", 0, "lowerdir="+lower+",upperdir="+upper+",workdir="+work); err != nil {
			return "", fmt.Errorf("mounting an overlay on %s: %w", lower, err)
		}
	}
	return dir, runAll([][]string{
		{"ip", "link", "set", "lo", "up"},
		{"sysctl", "-qw", "net.ipv4.ip_forward=0"},
	})
}

// checkStar fails unless n ports hang on a bridge and the last node reaches the first.
func checkStar(n int, netns func(i int) string) error {
	out, err := output("ip", "-o", "link", "show", "type", "veth")
	if err != nil {
		return err
	}
	if got := strings.Count(out, " master "); got != n {
		return fmt.Errorf("%d ports, want %d", got, n)
	}
	addrs, err := output("ip", "-n", netns(0), "-4", "-o", "address", "show", "dev", "eth0")
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(strings.Fields(addrs)[3], "/")
	// Where the bridge was up before its ports (ip -batch), 1,000 of them flood it for some seconds, and ARP's three questions get lost.
	for range 10 {
		if _, err = output("ip", "netns", "exec", netns(n-1), "ping", "-c", "1", "-W", "5", first); err == nil {
			return nil
		}
	}
	return err
}

// checkEmpty fails unless nothing is left but lo.
func checkEmpty() error {
	links, err := output("ip", "-o", "link")
	if err != nil {
		return err
	}
	if n := strings.Count(links, "\n"); n != 1 {
		return fmt.Errorf("%d links are left", n-1)
	}
	names, err := os.ReadDir("/run/netns")
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if len(names) > 0 {
		return fmt.Errorf("%d namespaces are left", len(names))
	}
	return nil
}
