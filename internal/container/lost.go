package container

import (
	"context"
	"errors"
	"fmt"
	"maps"
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

// findLost finds nothing of a project that has records. Every `down` asks, so of each process of the machine only the
// command line is read.
func findLost(l layout) (lost, error) {
	var found lost
	if exists(l.supervisorFile()) {
		return found, nil
	}
	supervisors, err := supervisors(l.runDir)
	if err != nil {
		return found, err
	}
	found.supervisor = supervisors[l.project]
	recorded, err := recordedPIDs(l)
	if err != nil {
		return found, err
	}
	grouped, err := l.lostContainers()
	if err != nil {
		return found, err
	}
	children, err := found.supervisor.children()
	if err != nil {
		return found, err
	}
	for _, pid := range slices.Compact(slices.Sorted(slices.Values(append(children, slices.Collect(maps.Keys(grouped))...)))) {
		if id, err := identify(pid); err == nil && !recorded[pid] {
			node, _ := l.lostNode(grouped[pid])
			found.mains = append(found.mains, lostMain{id, node, grouped[pid]})
		}
	}
	return found, nil
}

// lostContainers are the main processes in control groups that bear the name of a container of the project's, by their pids:
// what those started has parents in the container.
// Control groups are shared with machines in machines, and with topos that have a RUN of their own: what is theirs is none of
// this one's.
func (l layout) lostContainers() (map[int]string, error) {
	groups, err := groupsOf("topo-" + l.project + "-*")
	if err != nil {
		return nil, err
	}
	mains := map[int]string{}
	for _, group := range groups {
		id := filepath.Base(group)
		if _, ok := l.lostNode(id); !ok {
			continue
		}
		for _, pid := range groupPIDs(group) {
			stat, err := readStat(pid)
			if err == nil && sameNamespace(stat.parent, "pid") && sameNamespace(stat.parent, "mnt") {
				mains[pid] = id
			}
		}
	}
	return mains, nil
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

// supervisors are those that run, by their projects, with records or without: of this machine, and of none in it that has a RUN of
// its own.
func supervisors(runDir string) (map[string]identity, error) {
	pids, err := allPIDs()
	if err != nil {
		return nil, err
	}
	found := map[string]identity{}
	for _, pid := range pids {
		a := argv(pid)
		if len(a) != 6 || a[0] != supervisorName || a[2] != runDir || !sameNamespace(pid, "pid") || !sameNamespace(pid, "mnt") {
			continue
		}
		if id, err := identify(pid); err == nil {
			found[a[1]] = id
		}
	}
	return found, nil
}

// children are the pids of those that a process, if it is one, started.
func (id identity) children() ([]int, error) {
	if id.PID == 0 {
		return nil, nil
	}
	pids, err := allPIDs()
	return slices.DeleteFunc(pids, func(pid int) bool {
		stat, err := readStat(pid)
		return err != nil || stat.parent != id.PID
	}), err
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
		stat, err := readStat(pid)
		if err != nil {
			return false
		}
		if stat.parent == of {
			return true
		}
		pid = stat.parent
	}
	return false
}

// Lost adds to what [Engine.Observe] found what a project has without a record.
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
	found, err := supervisors(e.config.RunDir)
	return slices.Sorted(maps.Keys(found)), err
}
