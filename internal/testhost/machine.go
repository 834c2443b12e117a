package testhost

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Machine is the whole host as text, for comparison before and after. Two texts are equal when the
// machine is the same: links, VLANs, static FDB entries, addresses, routes, rules and permanent neighbours of the host's namespace
// and of each one in /run/netns, iptables of both families (and both kinds, nft and legacy), the parameters under
// net.* of each namespace, and all others; mounts, the files in /run, /etc/netns and /var/lib/topo, and processes.
//
// Control groups are not in it: there is no hierarchy of a test's own, and all tests' are in the one. See [ControlGroups].
//
// What is left out, and why, is written down in normal.go.
func Machine(t testing.TB) string {
	t.Helper()
	var m strings.Builder
	network(t, &m, "host", nil)
	names, err := os.ReadDir("/run/netns")
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, n := range names {
		network(t, &m, "netns "+n.Name(), []string{"nsenter", "--net=/run/netns/" + n.Name(), "--"})
	}
	section(&m, "sysctls of no network", normalSysctls(systemSysctls(t)))
	section(&m, "mounts", mounts(t))
	section(&m, "files", files(t, "/run", "/etc/netns", "/var/lib/topo"))
	section(&m, "processes", Processes(t))
	return m.String()
}

func section(m *strings.Builder, title string, lines []string) {
	fmt.Fprintf(m, "== %s\n", title)
	for _, l := range lines {
		fmt.Fprintln(m, l)
	}
}

// network writes what one network namespace holds; enter is put before each command.
func network(t testing.TB, m *strings.Builder, name string, enter []string) {
	t.Helper()
	run := func(argv ...string) []string {
		out, err := Try(t, append(slices.Clone(enter), argv...)...)
		if err != nil {
			// A regular file in /run/netns is no namespace.
			return []string{"unreadable"}
		}
		return slices.DeleteFunc(strings.Split(out, "\n"), func(l string) bool { return strings.TrimSpace(l) == "" })
	}
	section(m, name+": links", normalLinks(run("ip", "-d", "-o", "link", "show")))
	section(m, name+": qdiscs", normalQdiscs(run("tc", "qdisc", "show")))
	section(m, name+": VLANs", run("bridge", "vlan", "show"))
	section(m, name+": static FDB", slices.DeleteFunc(run("bridge", "fdb", "show"), func(l string) bool { return !strings.Contains(l, " static") }))
	section(m, name+": addresses", normalAddresses(run("ip", "-o", "address", "show")))
	for _, family := range []string{"-4", "-6"} {
		section(m, name+": routes "+family, normalRoutes(run("ip", family, "route", "show", "table", "all")))
		section(m, name+": rules "+family, run("ip", family, "rule", "show"))
		section(m, name+": permanent neighbours "+family, run("ip", family, "neighbour", "show", "nud", "permanent"))
	}
	for _, tool := range []string{"iptables-nft-save", "ip6tables-nft-save", "iptables-legacy-save", "ip6tables-legacy-save"} {
		if _, err := exec.LookPath(tool); err == nil {
			section(m, name+": "+tool, normalTables(run(tool)))
		}
	}
	// Some parameters can't be read, or not yet: grep then says 2.
	section(m, name+": sysctls", normalSysctls(run("sh", "-c", "grep -rs '' /proc/sys/net || true")))
}

// systemSysctls are the parameters that are not under net.*: what nobody can write is the kernel's report of the whole real machine.
func systemSysctls(t testing.TB) []string {
	t.Helper()
	const root = "/proc/sys"
	var lines []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path == root+"/net" {
				return filepath.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if mode := info.Mode().Perm(); mode&0o444 == 0 || mode&0o222 == 0 { // what can't be read does something when it is written
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			content = []byte("unreadable\n") // of what the machine has not
		}
		for line := range strings.Lines(string(content)) {
			lines = append(lines, path+":"+strings.TrimSuffix(line, "\n"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// ControlGroups lists those whose names begin with a prefix, in all hierarchies of either version, the named ones too; and folders
// of such names that a hierarchy is mounted over.
func ControlGroups(t testing.TB, prefix string) []string {
	t.Helper()
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	find := func(root, name string) {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if os.IsNotExist(err) {
				return nil // others come and go
			}
			if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), prefix) {
				found = append(found, name+strings.TrimPrefix(path, root))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(string(info)) {
		fields := strings.Fields(line)
		dash := slices.Index(fields, "-")
		if dash < 5 || len(fields) < dash+2 || fields[dash+1] != "cgroup" && fields[dash+1] != "cgroup2" {
			continue
		}
		find(fields[4], fields[4])
	}
	// A copy of the mount alone, without what is mounted in it.
	const top = "/sys/fs/cgroup"
	fd, err := unix.OpenTree(unix.AT_FDCWD, top, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		t.Fatalf("looking below what is mounted in %s: %v", top, err)
	}
	defer unix.Close(fd)
	find(fmt.Sprintf("/proc/self/fd/%d/", fd), "below "+top+"/")
	slices.Sort(found)
	return slices.Compact(found)
}

// mounts lists the mounts by where they are, with what propagates to them.
func mounts(t testing.TB) []string {
	t.Helper()
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(info)) {
		if l := normalMount(strings.Fields(line)); l != "" {
			lines = append(lines, l)
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines) // a copy is the same
}

// files lists everything under the folders, with the content of short files.
func files(t testing.TB, roots ...string) []string {
	t.Helper()
	const short = 4096
	var lines []string
	for _, root := range roots {
		err := filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
			if os.IsNotExist(err) {
				return nil
			}
			if err != nil {
				return err
			}
			if normalFile(path) {
				return nil
			}
			line := fmt.Sprintf("%s %s", info.Mode(), path)
			if info.Mode().IsRegular() {
				line += fmt.Sprintf(" %d bytes", info.Size())
			}
			// Reading under /run/netns would be reading a namespace.
			if info.Mode().IsRegular() && info.Size() <= short && filepath.Dir(path) != "/run/netns" {
				content, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				line += fmt.Sprintf(" %q", content)
			}
			lines = append(lines, line)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return lines
}

// Processes lists those of the machine, without the test itself: process ID and command line.
func Processes(t testing.TB) []string {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // ended meanwhile
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X") {
			continue // dead, about to be reaped
		}
		argv, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || len(argv) == 0 {
			continue // it ends, or becomes another program
		}
		lines = append(lines, fmt.Sprintf("%7d %s", pid, strings.ReplaceAll(strings.TrimRight(string(argv), "\x00"), "\x00", " ")))
	}
	slices.Sort(lines)
	return lines
}
