package testhost

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// The normalisations of [Machine]: everything that two snapshots of an unchanged machine may differ
// in, and the few traces that the system's own tools leave. Each has its reason here. Of neighbour tables
// there are only permanent entries: others come and go by themselves.

// bridgeTimers run: hello_timer, tcn_timer, topology_change_timer, gc_timer, and those of ports.
var bridgeTimers = regexp.MustCompile(` (\w+_timer|mcast_\w+_intvl) +[0-9.]+`)

func normalLinks(lines []string) []string {
	for i, l := range lines {
		lines[i] = strings.TrimRight(bridgeTimers.ReplaceAllString(l, ""), " ")
	}
	return lines
}

// lifetimes of addresses from router advertisements count down.
var lifetimes = regexp.MustCompile(`(valid_lft|preferred_lft|expires) [0-9]+sec`)

func normalAddresses(lines []string) []string {
	for i, l := range lines {
		lines[i] = strings.TrimRight(lifetimes.ReplaceAllString(l, "$1 <time>"), " ")
	}
	return lines
}

func normalRoutes(lines []string) []string { return normalAddresses(lines) }

// Counters in a table's listing count packets, comments have the date. An empty table is none: with nft
// a table stays after its last rule, with legacy from the first look at it.
var (
	tableCounters = regexp.MustCompile(`\[\d+:\d+\]`)
	emptyChain    = regexp.MustCompile(`^:\S+ ACCEPT \[`)
)

func normalTables(lines []string) []string {
	var tables [][]string
	var table []string
	empty := true
	for _, l := range lines {
		switch {
		case strings.HasPrefix(l, "#"):
			continue
		case strings.HasPrefix(l, "*"):
			table, empty = nil, true
		case l != "COMMIT" && !emptyChain.MatchString(l):
			empty = false
		}
		table = append(table, tableCounters.ReplaceAllString(l, "[0:0]"))
		if l == "COMMIT" && !empty {
			tables = append(tables, table)
		}
	}
	// They are listed in the order in which they were first used.
	slices.SortFunc(tables, slices.Compare)
	return slices.Concat(tables...)
}

// movingSysctls are read-outs, not parameters: the number of tracked connections, the key of TCP fast open, which the kernel makes
// up when it is first used, and the last process ID.
var movingSysctls = []string{"nf_conntrack_count", "nf_conntrack_buckets", "tcp_fastopen_key", "ns_last_pid"}

func normalSysctls(lines []string) []string {
	lines = slices.DeleteFunc(lines, func(l string) bool {
		path, _, _ := strings.Cut(l, ":")
		return slices.Contains(movingSysctls, filepath.Base(path))
	})
	slices.Sort(lines)
	return lines
}

// normalMount makes a line of mountinfo (proc_pid_mountinfo(5)) comparable: without mount IDs, device and
// peer group numbers, which are given out anew. It is "" for the mount of /run/netns on itself, which "ip
// netns add" makes and leaves, too: others may hold it. It brings a copy of what was mounted in the folder, that propagates.
func normalMount(fields []string) string {
	dash := slices.Index(fields, "-")
	if dash < 6 || len(fields) < dash+4 {
		return strings.Join(fields, " ")
	}
	root, target, options := fields[3], fields[4], fields[5]
	if target == "/run/netns" && root == "/netns" {
		return ""
	}
	var propagation []string
	for _, f := range fields[6:dash] {
		kind, _, _ := strings.Cut(f, ":")
		propagation = append(propagation, kind)
	}
	if strings.HasPrefix(target, "/run/netns/") {
		propagation = nil
	}
	line := append([]string{target, root, options}, propagation...)
	return strings.Join(append(line, fields[dash+1:dash+3]...), " ")
}

// normalFile says which files do not count: the lock file of iptables, the folder of mount(8), and the folder
// /run/netns itself (not what is in it), which "ip netns add" makes and leaves, too.
func normalFile(path string) bool {
	return path == "/run/xtables.lock" || path == "/run/mount" || path == "/run/netns"
}

// normalQdiscs leaves out how many queues and classes know a queueing discipline.
func normalQdiscs(lines []string) []string {
	for i, l := range lines {
		lines[i] = refcount.ReplaceAllString(l, "")
	}
	return lines
}

var refcount = regexp.MustCompile(` refcnt \d+`)
