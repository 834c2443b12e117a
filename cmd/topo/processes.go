package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/urfave/cli/v2"

	"topo/internal/kernel"
)

// processes is what a command on processes works on.
type processes struct {
	c       *cli.Context
	m       *machine
	project string
	all     []kernel.ProcessState // by node
	named   []string

	telling sync.Mutex
}

// withProcesses finds the project and its processes, under its lock, and has a supervisor there.
func withProcesses(c *cli.Context, work func(context.Context, *processes) error) error {
	project, err := runningProject(c.Context, c)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(c.Context)
	defer stop()
	m, err := openMachine()
	if err != nil {
		return err
	}
	defer m.Close()
	unlock, err := lockProject(ctx, c, project)
	if err != nil {
		return err
	}
	defer unlock()
	p := &processes{c: c, m: m, project: project, named: c.Args().Slice()}
	err = p.read(ctx)
	if err == nil {
		err = work(ctx, p)
	}
	if interrupted(ctx) && err != nil {
		return fmt.Errorf("%s: %w", project, errInterrupted)
	}
	return err
}

func (p *processes) read(ctx context.Context) error {
	s, err := p.m.Snapshot(ctx, kernel.Query{Project: p.project})
	if err != nil {
		return err
	}
	if projectsOf(s)[p.project] == nil && len(s.Processes) == 0 {
		return &notUpError{p.project}
	}
	if len(p.named) > 0 {
		chosen, err := chosenNodes(p.c, nodesOf(s, p.project), p.project, p.named)
		if err != nil {
			return err
		}
		p.named = namesOf(chosen)
	}
	p.all = s.Processes
	for _, name := range p.named {
		if _, ok := p.find(name); !ok {
			return fmt.Errorf("%s runs no process", name)
		}
	}
	if s.Supervisor.PID != 0 || len(p.all) == 0 {
		return nil
	}
	// What it adopts may differ from what was read.
	if err := p.m.Do(ctx, []kernel.Op{kernel.SupervisorStart{Project: p.project}}); err != nil {
		return err
	}
	_, p.all, err = p.m.engine.Observe(ctx, p.project)
	return err
}

func (p *processes) find(node string) (kernel.ProcessState, bool) {
	i := slices.IndexFunc(p.all, func(s kernel.ProcessState) bool { return s.Process.Node == node })
	if i < 0 {
		return kernel.ProcessState{}, false
	}
	return p.all[i], true
}

// chosen are the processes that are named, or all; and with also, what that adds to them.
func (p *processes) chosen(also func(have map[string]bool) []string) []kernel.ProcessState {
	if len(p.named) == 0 {
		return slices.Clone(p.all)
	}
	have := map[string]bool{}
	for more := p.named; len(more) > 0; {
		for _, name := range more {
			have[name] = true
		}
		more = nil
		if also != nil {
			more = slices.DeleteFunc(also(have), func(name string) bool { return have[name] })
		}
	}
	return slices.DeleteFunc(slices.Clone(p.all), func(s kernel.ProcessState) bool { return !have[s.Process.Node] })
}

// dependedOn are the nodes that those of a set depend on.
func (p *processes) dependedOn(set map[string]bool) []string {
	var names []string
	for _, s := range p.all {
		for _, d := range s.Process.DependsOn {
			if set[s.Process.Node] {
				names = append(names, d.Node)
			}
		}
	}
	return names
}

// restartedWith are the nodes that are restarted with those of a set.
func (p *processes) restartedWith(set map[string]bool) []string {
	var names []string
	for _, s := range p.all {
		for _, d := range s.Process.DependsOn {
			if d.Restart && set[d.Node] {
				names = append(names, s.Process.Node)
			}
		}
	}
	return names
}

// said tells what was done to a node.
func (p *processes) said(node, done string) {
	p.telling.Lock()
	defer p.telling.Unlock()
	fmt.Fprintf(p.c.App.ErrWriter, "%s: %s %s\n", p.project, node, done)
}

// nothing tells that there is nothing to be done.
func (p *processes) nothing(verb string) error {
	_, err := fmt.Fprintf(p.c.App.Writer, "%s: nothing to %s\n", p.project, verb)
	return err
}

func (p *processes) do(ctx context.Context, op kernel.Op) error {
	err := p.m.Do(ctx, []kernel.Op{op})
	var wrapped *kernel.OpError
	if errors.As(err, &wrapped) {
		return causeOf(ctx, wrapped.Err)
	}
	return err
}

// inOrder does something to processes, all at once but for this: forward, what a process depends on goes before it;
// backward, what depends on it. Errors are told all.
func inOrder(set []kernel.ProcessState, forward bool, do func(kernel.ProcessState) error) error {
	sorted := byDependency(set)
	at := map[string]int{}
	done := make([]chan struct{}, len(sorted))
	for i, s := range sorted {
		at[s.Process.Node], done[i] = i, make(chan struct{})
	}
	before := make([][]int, len(sorted))
	for i, s := range sorted {
		for _, d := range s.Process.DependsOn {
			// One that comes later closes a cycle: of processes that were started from different files.
			switch j, ok := at[d.Node]; {
			case !ok || j >= i:
			case forward:
				before[i] = append(before[i], j)
			default:
				before[j] = append(before[j], i)
			}
		}
	}
	slots := make(chan struct{}, len(sorted))
	if forward {
		slots = make(chan struct{}, 2*runtime.NumCPU()) // starting takes work, stopping takes time
	}
	errs := make([]error, len(sorted))
	var all sync.WaitGroup
	for i, s := range sorted {
		all.Go(func() {
			defer close(done[i])
			for _, j := range before[i] {
				<-done[j]
			}
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[i] = do(s)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// byDependency sorts processes so that each stands behind what it depends on.
func byDependency(set []kernel.ProcessState) []kernel.ProcessState {
	byNode := map[string]kernel.ProcessState{}
	for _, s := range set {
		byNode[s.Process.Node] = s
	}
	sorted := make([]kernel.ProcessState, 0, len(set))
	seen := map[string]bool{}
	var add func(kernel.ProcessState)
	add = func(s kernel.ProcessState) {
		if seen[s.Process.Node] {
			return
		}
		seen[s.Process.Node] = true
		for _, d := range s.Process.DependsOn {
			if other, ok := byNode[d.Node]; ok {
				add(other)
			}
		}
		sorted = append(sorted, s)
	}
	for _, s := range set {
		add(s)
	}
	return sorted
}
