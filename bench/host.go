package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"topo/bench/shape"
)

// prepareHost makes the fresh namespaces of this process a host: a /run and /sys of its own, /etc and
// /var/lib whose changes stay in memory, lo up. It returns a folder for files.
func prepareHost() (dir string, err error) {
	const groups, aside = "/sys/fs/cgroup", "/run/cgroup"
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		{"tmpfs", "/run", "tmpfs", 0},
		{groups, aside, "", unix.MS_BIND | unix.MS_REC}, // those of the machine: containers have some
		{"sysfs", "/sys", "sysfs", 0},
		{aside, groups, "", unix.MS_BIND | unix.MS_REC},
	} {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return "", err
		}
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			return "", fmt.Errorf("mounting %s on %s: %w", m.source, m.target, err)
		}
	}
	if err := unix.Unmount(aside, unix.MNT_DETACH); err != nil {
		return "", fmt.Errorf("unmounting %s: %w", aside, err)
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
		{"mkdir", "-p", "/var/lib/topo"},
		{"mount", "-t", "tmpfs", "tmpfs", "/var/lib/topo"}, // an overlay can't be a container's upper layer
		{"ip", "link", "set", "lo", "up"},
		{"sysctl", "-qw", "net.ipv4.ip_forward=0"},
	})
}

// stands says that a shape is up: it has all namespaces, and one reaches another.
func stands(s shape.Shape, project string) func() error {
	return func() error {
		names, err := os.ReadDir("/run/netns")
		if err != nil {
			return err
		}
		if len(names) != len(s.Nodes) {
			return fmt.Errorf("%d namespaces, want %d", len(names), len(s.Nodes))
		}
		// Where the bridge was up before its ports (ip -batch), 1,000 of them flood it for some seconds, and ARP's questions get lost.
		_, err = output("ip", "netns", "exec", project+"-"+s.Nodes[s.From].Name, "ping", "-c", "1", "-w", "60", s.To.String())
		return err
	}
}

// canaries are links of the host's into the first and the last namespace. The kernel takes a namespace down after the call that closes it
// has returned: they are gone when that is done, and whoever comes next has the machine for himself.
func canaries(s shape.Shape, project string) func() error {
	return func() error {
		var commands [][]string
		for i, n := range []int{0, len(s.Nodes) - 1} {
			commands = append(commands, []string{"ip", "link", "add", canary(i), "type", "veth", "peer", "name", canary(i), "netns", project + "-" + s.Nodes[n].Name})
		}
		return runAll(commands)
	}
}

func canary(i int) string { return fmt.Sprintf("canary%d", i) }

// noCanaries waits until both are gone.
func noCanaries() error {
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(time.Millisecond / 2) {
		_, first := os.Stat("/sys/class/net/" + canary(0))
		_, last := os.Stat("/sys/class/net/" + canary(1))
		if os.IsNotExist(first) && os.IsNotExist(last) {
			return nil
		}
	}
	return errors.New("namespaces are not taken down after a minute")
}

// isEmpty says that nothing is left but lo.
func isEmpty() error {
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
