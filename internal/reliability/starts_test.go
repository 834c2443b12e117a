package reliability_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"topo/internal/testhost"
	"topo/internal/tracer"
)

// TestStartsAndMountsArePlanned: each program that up starts, each transaction of iptables and each mount that it makes, its
// supervisor and the containers' runtime included, is of one change of the plan; and each change that needs one has it once.
//
// Not among it is what changes nothing: programs that read, or that say their version; a health check that the plan has; a mount that its
// maker takes away again (crun's of itself); and what in a container's own view hides the machine's /proc, /sys and topo's folder.
func TestStartsAndMountsArePlanned(t *testing.T) {
	for _, topology := range []string{"network", "processes", "random"} {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			h := newHost(t, "network")
			runs, made := 1, 0
			if topology == "random" {
				runs = howMany(1, 200)
			} else {
				h.file = filepath.Join("testdata", topology+".yaml")
			}
			for n := range runs {
				if topology == "random" {
					h.file = filepath.Join(t.TempDir(), "topology.yaml")
					h.write(draw(*seed+uint64(n), "random", drawn(false)))
				}
				made += h.startsAsPlanned()
				if t.Failed() {
					text, err := os.ReadFile(h.file)
					t.Fatalf("that was %s (%v)", text, err)
				}
			}
			t.Logf("figure: starts and mounts, %s: %d topologies, %d program starts, transactions and mounts, each planned and each made once", topology, runs, made)
		})
	}
}

// startsAsPlanned brings up the topology and compares what it starts and mounts with its plan.
func (h *host) startsAsPlanned() int {
	h.Helper()
	p := h.planned()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		h.Fatal(err)
	}
	folder := !strings.Contains(string(mounts), " /run/netns ") // it stays
	w := &watch{host: mountsOf("self"), owner: map[string]string{}, hosts: map[string]string{}}
	for _, c := range p.Changes {
		if name, ok := strings.CutPrefix(c.ID, "process/"); ok {
			w.hosts[c.After["netns"]] = name
		}
	}
	if r := h.trace(w.observe, "up"); r.Code != 0 {
		h.Fatalf("up ends with %d: %s", r.Code, tail(r.Output))
	}
	made := w.told(p)
	if diff := cmp.Diff(p.startsAndMounts(folder), made); diff != "" {
		h.Errorf("up starts and mounts other things than the plan says (-planned +done):\n%s", diff)
	}
	h.must("down", "-v")
	if diff := h.residue(); diff != "" {
		h.Errorf("down leaves (-before +after):\n%s", diff)
	}
	return len(made)
}

// startsAndMounts are those that a plan for a machine without anything of topo has, each in a line, sorted. folder: that of network
// namespaces is no mount yet.
func (p plan) startsAndMounts(folder bool) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	tables, spaces := map[string]bool{}, false
	for _, c := range p.Changes {
		kind, name, _ := strings.Cut(c.ID, "/")
		switch kind {
		case "netns":
			spaces = true
			say("mount /run/netns/%s", c.After["name"])
		case "supervisor":
			say("start %s", c.ID)
		case "process":
			out = append(out, processes(name, c.After)...)
		case "firewall", "chain":
			tables[strings.Replace(name, "/", " ", 1)] = true
		default:
			if table := c.After["table"]; c.After["rule"] != "" {
				tables[table] = true
			}
		}
	}
	if folder && spaces {
		say("mount /run/netns")
	}
	for table := range tables {
		family, _, _ := strings.Cut(table, " ")
		say("%s", map[string]string{"ipv4": "iptables-restore", "ipv6": "ip6tables-restore"}[family])
	}
	slices.Sort(out)
	return out
}

// processes are the starts and mounts of a node's process.
func processes(node string, after map[string]string) []string {
	var out []string
	mounts := []string{"/sys", "/sys/fs/cgroup"}
	if after["hosts"] != "none" {
		mounts = append(mounts, "/etc/hosts")
	}
	if after["kind"] == "container" {
		out = append(out, node+": runtime create", node+": runtime start")
		mounts = append(mounts, "/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/run", "/etc/resolv.conf")
		for key := range after {
			if target, ok := strings.CutPrefix(key, "volume "); ok {
				mounts = append(mounts, target)
			}
		}
	} else if after["resolv"] != "none" {
		mounts = append(mounts, "/etc/resolv.conf")
	}
	for _, m := range mounts {
		out = append(out, node+": mount "+m)
	}
	return append(out, node+": "+after["command"])
}

// watch takes down what is started and mounted.
type watch struct {
	host  string            // the host's view of mounts
	owner map[string]string // node of a view of mounts
	hosts map[string]string // node of a network namespace
	seen  []seen
}

type seen struct {
	call tracer.Call
	view string
	node string // that the call names, or ""
}

func mountsOf(thread string) string {
	view, err := os.Readlink("/proc/" + thread + "/ns/mnt")
	if err != nil {
		return err.Error()
	}
	return view
}

var (
	ofNode  = regexp.MustCompile(`/nodes/([^/]+)/`)
	ofHosts = regexp.MustCompile(`^/etc/netns/([^/]+)/`)
)

func (w *watch) observe(c tracer.Call) tracer.Action {
	if !c.After || c.Err != 0 || len(c.Args) == 0 {
		return tracer.Continue
	}
	s := seen{call: c, view: mountsOf(fmt.Sprintf("%d/task/%d", c.Process, c.Thread))}
	for _, a := range c.Args {
		if m := ofNode.FindStringSubmatch(a); m != nil {
			s.node = m[1]
		} else if m := ofHosts.FindStringSubmatch(a); m != nil && w.hosts[m[1]] != "" {
			s.node = w.hosts[m[1]]
		}
	}
	if s.node != "" && s.view != w.host {
		w.owner[s.view] = s.node
	}
	w.seen = append(w.seen, s)
	return tracer.Continue
}

// told is what was started and mounted, in the words of the plan.
func (w *watch) told(p plan) []string {
	checked := map[string]bool{}
	for _, c := range p.Changes {
		if name, ok := strings.CutPrefix(c.ID, "process/"); ok && c.After["healthcheck"] != "" {
			checked[name] = true
		}
	}
	var out []string
	runtimes := map[int]bool{} // that have executed themselves
	for i, s := range w.seen {
		node := s.node
		if node == "" {
			node = w.owner[s.view]
		}
		var text string
		switch verb, _, _ := strings.Cut(s.call.What, " "); {
		case verb == "execute":
			text = started(s.call, node, runtimes, checked[node])
		case verb == "mount" && !w.passing(i):
			text = mounted(s.call, node)
		case verb == "unmount" && s.view == w.host && !w.passed(i):
			text = s.call.What
		}
		if text != "" {
			out = append(out, text)
		}
	}
	slices.Sort(out)
	return out
}

// started is a program's start; "" of one that changes nothing.
func started(c tracer.Call, node string, runtimes map[int]bool, checked bool) string {
	name := filepath.Base(c.Args[0])
	switch {
	case strings.HasSuffix(name, "tables-save") && len(c.Args) == 1, strings.HasSuffix(name, "tables") && slices.Equal(c.Args[1:], []string{"--version"}):
		return ""
	case strings.HasSuffix(name, "tables-restore"):
		return name
	case name == "topo-supervisor":
		return "start supervisor/" + c.Args[1]
	case checked && c.Args[len(c.Args)-1] == "true":
		return ""
	case name == "crun" || name == "runc":
		if runtimes[c.Process] {
			return "" // from a copy of itself that nobody can change
		}
		runtimes[c.Process] = true
		if checked && slices.Contains(c.Args, "exec") {
			return ""
		}
		for _, verb := range []string{"create", "start"} {
			if slices.Contains(c.Args, verb) {
				return node + ": runtime " + verb
			}
		}
	}
	return node + ": " + strings.Join(c.Args, " ")
}

// setting are flags of a call of mount(2) that makes none, but changes one.
const setting = unix.MS_REMOUNT | unix.MS_SHARED | unix.MS_PRIVATE | unix.MS_SLAVE | unix.MS_UNBINDABLE

// mounted is a mount; "" of one that adds nothing.
func mounted(c tracer.Call, node string) string {
	target, source := c.Args[0], c.Args[1]
	flags, err := strconv.ParseUint(c.Args[3], 0, 64)
	if err != nil {
		return err.Error()
	}
	if flags&setting != 0 || target == source && node != "" { // a runtime makes a root a mount, which it is already
		return ""
	}
	if node == "" {
		return "mount " + target
	}
	if _, inside, ok := strings.Cut(target, "/bundle/rootfs"); ok {
		target = "/" + strings.TrimPrefix(inside, "/")
		covers := source == "tmpfs" || source == "/dev/null" || strings.HasPrefix(source, "/proc/self/fd/")
		switch {
		case covers && (strings.HasPrefix(target, "/proc/") || strings.HasPrefix(target, "/sys/firmware") || target == "/var/lib/topo"):
			return ""
		case source == "overlay" && target != "/": // the machine's own file systems, each by itself
			return ""
		}
	}
	if strings.HasPrefix(target, "/sys/fs/cgroup/") { // each of the old controllers
		return ""
	}
	return node + ": mount " + target
}

// passing reports whether a mount is taken away again by who made it.
func (w *watch) passing(i int) bool {
	return slices.ContainsFunc(w.seen[i+1:], func(s seen) bool { return w.undoes(s, w.seen[i]) })
}

// passed reports whether an unmount takes away what the same process has mounted.
func (w *watch) passed(i int) bool {
	return slices.ContainsFunc(w.seen[:i], func(s seen) bool { return w.undoes(w.seen[i], s) })
}

func (w *watch) undoes(unmount, mount seen) bool {
	return strings.HasPrefix(unmount.call.What, "unmount ") && strings.HasPrefix(mount.call.What, "mount ") &&
		unmount.call.Process == mount.call.Process && unmount.view == mount.view && unmount.call.Args[0] == mount.call.Args[0] &&
		slices.Contains([]string{"crun", "runc"}, mount.call.By)
}
