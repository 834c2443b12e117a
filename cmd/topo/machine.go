package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"topo/internal/container"
	"topo/internal/image"
	"topo/internal/kernel"
	"topo/internal/linux"
)

// machine is this host: the network by linux.Host, processes by container.Engine.
// It is what the executor edits (executor.Machine).
type machine struct {
	host   *linux.Host
	engine *container.Engine
}

func openMachine() (*machine, error) {
	if err := checkPrivilege(); err != nil {
		return nil, err
	}
	host, err := linux.Open()
	if err != nil {
		return nil, err
	}
	return &machine{host: host, engine: newEngine()}, nil
}

func newEngine() *container.Engine { return newEngineTelling(nil) }

// newEngineTelling also tells how far pulls of images are.
func newEngineTelling(pulling func(image.Progress)) *container.Engine {
	return container.New(container.Config{DockerHost: os.Getenv("DOCKER_HOST"), Pulling: pulling})
}

func (m *machine) Close() error { return m.host.Close() }

// Snapshot reads the network, the processes of the query's project, and all volumes.
func (m *machine) Snapshot(ctx context.Context, q kernel.Query) (kernel.Snapshot, error) {
	s, err := m.host.Snapshot(ctx, q)
	if err != nil || s.Unsettled != "" {
		return s, err
	}
	s.MissingFolders = m.engine.MissingFolders(q.Folders)
	if s.Images, err = m.engine.Images(ctx, q.Images); err != nil {
		return kernel.Snapshot{}, err
	}
	if s.Unmappable, err = m.engine.Unmappable(q.Mapped); err != nil {
		return kernel.Snapshot{}, fmt.Errorf("looking whose owners can be mapped: %w", err)
	}
	if q.Project == "" {
		return s, nil
	}
	short, err := m.engine.Short(q.Runtimes)
	if err != nil {
		return kernel.Snapshot{}, err
	}
	maps.Copy(s.Short, short)
	s.Supervisor, s.Processes, err = m.engine.Observe(ctx, q.Project)
	if err != nil {
		return kernel.Snapshot{}, fmt.Errorf("reading the processes of %s: %w", q.Project, err)
	}
	if q.Lost {
		if err := m.engine.Lost(q.Project, &s.Supervisor, &s.Processes); err != nil {
			return kernel.Snapshot{}, fmt.Errorf("looking for processes of %s that have no record: %w", q.Project, err)
		}
	}
	s.Confinement, err = container.Confinement(s.Supervisor)
	if err != nil {
		return kernel.Snapshot{}, fmt.Errorf("reading what containers can be held to: %w", err)
	}
	if s.Containers, err = m.engine.Containers(ctx, q.Containers); err != nil {
		return kernel.Snapshot{}, err
	}
	s.Volumes, err = m.engine.Volumes(ctx)
	return s, err
}

// Do carries out edits in order. Neighbours of one kind stay one call, so that
// rules of a table remain one transaction.
func (m *machine) Do(ctx context.Context, ops []kernel.Op) (err error) {
	// The executor's workers call this: what goes wrong in here must leave a report, not a stack.
	defer func() {
		if p := recover(); p != nil {
			err = &internalError{p}
		}
	}()
	for len(ops) > 0 {
		n := 0
		for n < len(ops) && !ofEngine(ops[n]) {
			n++
		}
		if n > 0 {
			if err := m.host.Do(ctx, ops[:n]); err != nil {
				return err
			}
			ops = ops[n:]
			continue
		}
		if err := m.engine.Do(ctx, ops[0]); err != nil {
			return err
		}
		ops = ops[1:]
	}
	return nil
}

// Settle waits for what the kernel does in its own time.
func (m *machine) Settle(ctx context.Context, q kernel.Query) error {
	return m.host.Settle(ctx, q)
}

// ofEngine reports whether an edit is the container engine's: of a process or a volume.
func ofEngine(op kernel.Op) bool {
	switch op.(type) {
	case kernel.SupervisorStart, kernel.SupervisorStop, kernel.ProcessStart, kernel.ProcessStop, kernel.ProcessWait,
		kernel.ProcessUpdate, kernel.VolumeCreate, kernel.VolumeSet, kernel.VolumeDelete,
		kernel.ProcessHalt, kernel.ProcessResume, kernel.ProcessSignal, kernel.ProcessAdjust, kernel.ImagePull:
		return true
	}
	return false
}

// projects finds all projects: by their marks in the kernel, and those that have processes in
// the host's own namespace only, by their folders.
func (m *machine) projects(ctx context.Context) (map[string]*projectView, error) {
	s, err := m.host.Snapshot(ctx, kernel.Query{})
	if err != nil {
		return nil, err
	}
	found := projectsOf(s)
	folders, err := os.ReadDir(filepath.Join(container.DefaultRunDir, "projects"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing projects: %w", err)
	}
	for _, folder := range folders {
		if name := folder.Name(); found[name] == nil {
			found[name] = &projectView{Project: name}
		}
	}
	for name, view := range found {
		_, processes, err := m.engine.Observe(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("reading the processes of %s: %w", name, err)
		}
		for _, p := range processes {
			view.Processes++
			if p.Status == kernel.Running {
				view.Running++
			}
		}
	}
	return found, nil
}
