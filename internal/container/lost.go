package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// What lives without a record, because somebody removed RUN or the project's folder in it, is found by what the kernel says of it: a
// supervisor by its command line, the processes that it started by their descent from it (it is a subreaper, so none
// gets away), a container whose supervisor is dead by the name of its control group. A process of a `namespaces:` node whose
// supervisor is dead, too, bears no mark: it can't be told from one that somebody ran with ip netns exec.

// lost is what a project has in that way.
type lost struct {
	supervisor identity
	mains      []lostMain // of the supervisor's children, and of containers
}

type lostMain struct {
	identity
	node  string // "" where nothing tells
	group string // its container's control group
}

// lostGroup is the form of a container's ID ([containerID]).
var lostGroup = regexp.MustCompile(`^topo-(.+)-[0-9a-f]{8}$`)

// findLost looks at all processes. It finds nothing of a project that has records.
func findLost(l layout) (lost, error) {
	var found lost
	if exists(l.supervisorFile()) {
		return found, nil
	}
	all, err := processTable()
	if err != nil {
		return found, err
	}
	for _, p := range all {
		if p.supervises(l.runDir) && p.argv[1] == l.project {
			found.supervisor = p.identity
		}
	}
	recorded, err := recordedPIDs(l)
	if err != nil {
		return found, err
	}
	for _, p := range all {
		main := lostMain{identity: p.identity}
		if group, err := cgroupOf(p.PID); err == nil && sameNamespace(p.parent, "pid") && sameNamespace(p.parent, "mnt") {
			// Control groups are shared with machines in machines, and with topos that have a RUN of their own: what is theirs
			// is none of this one's.
			if name, ok := l.lostNode(filepath.Base(group)); ok {
				main.node, main.group = name, filepath.Base(group)
			}
		}
		child := found.supervisor.PID != 0 && p.parent == found.supervisor.PID
		if (child || main.group != "") && !recorded[p.PID] {
			found.mains = append(found.mains, main)
		}
	}
	return found, nil
}

// lostNode is the node of a container of the project's, by the container's ID. Where another project's name begins as this one's and it
// has a folder, it is that one's.
func (l layout) lostNode(id string) (string, bool) {
	m := lostGroup.FindStringSubmatch(id)
	if m == nil {
		return "", false
	}
	node, ok := strings.CutPrefix(m[1], l.project+"-")
	others, err := filepath.Glob(filepath.Join(l.runDir, "projects", l.project+"-*"))
	return node, ok && err == nil && !slices.ContainsFunc(others, func(dir string) bool {
		return strings.HasPrefix(m[1], filepath.Base(dir)+"-")
	})
}

// recordedPIDs are the main processes that records of the project name.
func recordedPIDs(l layout) (map[int]bool, error) {
	pids := map[int]bool{}
	nodes, err := l.nodes()
	if err != nil {
		return nil, err
	}
	for _, node := range nodes {
		_, rec, err := readNode(l, node)
		if err != nil {
			return nil, err
		}
		pids[rec.PID] = true
	}
	return pids, nil
}

// listed is a process of the machine's.
type listed struct {
	identity
	parent int
	argv   []string
}

// processTable lists all that live. What ends meanwhile is left out.
func processTable() ([]listed, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var all []listed
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		id, err := identify(pid)
		if err != nil {
			continue
		}
		parent, err := parentOf(pid)
		if err != nil {
			continue
		}
		cmdline, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if err != nil {
			continue
		}
		all = append(all, listed{id, parent, strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00")})
	}
	return all, nil
}

// supervises reports whether it is a supervisor of this machine's, and of none in it that has a RUN of its own.
func (p listed) supervises(runDir string) bool {
	a := p.argv
	return len(a) == 6 && a[0] == supervisorName && a[2] == runDir && sameNamespace(p.PID, "pid") && sameNamespace(p.PID, "mnt")
}

// sameNamespace reports whether a process has a namespace of this kind in common with this one.
func sameNamespace(pid int, kind string) bool {
	its, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/" + kind)
	if err != nil {
		return false
	}
	own, err := os.Readlink("/proc/self/ns/" + kind)
	return err == nil && its == own
}

// parentOf is field 4 of /proc/PID/stat, proc(5).
func parentOf(pid int) (int, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 2 {
		return 0, unix.ESRCH
	}
	return strconv.Atoi(fields[1])
}

// endLost ends what a project has without a record.
func endLost(ctx context.Context, l layout) error {
	found, err := findLost(l)
	if err == nil {
		err = found.end(ctx)
	}
	if err != nil {
		return fmt.Errorf("ending processes that have no record: %w", err)
	}
	return nil
}

// end kills all of it. The supervisor is stopped meanwhile, or it would start again what a policy says; it ends last, or
// its children would be nobody's.
func (found lost) end(ctx context.Context) error {
	if found.supervisor.PID != 0 {
		fd, err := found.supervisor.open()
		if err == nil {
			defer fd.close()
			err = fd.signal(unix.SIGSTOP)
		}
		if err == nil {
			err = killAll(func(pid int) bool { return descends(pid, found.supervisor.PID) && !zombie(pid) })
			err = errors.Join(err, fd.signal(unix.SIGKILL), fd.wait(ctx))
		}
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	for _, main := range found.mains {
		if err := haltMain(ctx, kernel.Process{StopSignal: "SIGKILL", StopGrace: killLimit}, main.identity); err != nil {
			return err
		}
		if main.group != "" {
			if err := removeGroups(main.group); err != nil {
				return err
			}
		}
	}
	return nil
}

func zombie(pid int) bool {
	_, err := identify(pid)
	return err != nil
}

// descends reports whether a process is a child, or a child's child, of another one.
func descends(pid, of int) bool {
	for pid > 1 {
		parent, err := parentOf(pid)
		if err != nil {
			return false
		}
		if parent == of {
			return true
		}
		pid = parent
	}
	return false
}

// Lost adds to what [Engine.Observe] found what a project has without a record. It looks at every process of the machine.
func (e *Engine) Lost(project string, supervisor *kernel.Supervisor, states *[]kernel.ProcessState) error {
	found, err := findLost(e.layout(project))
	if err != nil {
		return err
	}
	if supervisor.PID == 0 {
		supervisor.PID = found.supervisor.PID
	}
	for _, main := range found.mains {
		node := main.node
		if node == "" {
			node = "pid-" + strconv.Itoa(main.PID)
		}
		if slices.ContainsFunc(*states, func(s kernel.ProcessState) bool { return s.Process.Node == node }) {
			continue
		}
		*states = append(*states, kernel.ProcessState{
			Process: kernel.Process{Project: project, Node: node, Container: main.group != ""}, Status: kernel.Running, PID: main.PID,
		})
	}
	return nil
}

// Supervised lists the projects whose supervisors run, with records or without.
func (e *Engine) Supervised() ([]string, error) {
	all, err := processTable()
	if err != nil {
		return nil, err
	}
	var projects []string
	for _, p := range all {
		if p.supervises(e.config.RunDir) {
			projects = append(projects, p.argv[1])
		}
	}
	slices.Sort(projects)
	return slices.Compact(projects), nil
}
