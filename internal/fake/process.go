package fake

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"topo/internal/kernel"
)

type processKey struct{ project, node string }

// process is a program; space is the namespace that it lives in and so keeps alive.
type process struct {
	kernel.ProcessState
	space *space
}

// Behaviour is what becomes of a node's process once it was started. The zero value runs
// for ever and becomes healthy when somebody waits for it; or, waited
// for as a job, ends with 0.
type Behaviour struct {
	Refuses   bool // it can't be started
	ExitCode  int  // of a job
	Unhealthy bool
}

// Behave sets how processes of a node behave that are started from now on.
func (m *Machine) Behave(node string, b Behaviour) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.behaviours[node] = b
}

// Exit ends a node's process, as if by itself.
func (m *Machine) Exit(project, node string, code int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.processes[processKey{project, node}]; p != nil {
		p.exit(m.clock(), code)
	}
}

// KillSupervisor ends a project's supervisor; its processes run on.
func (m *Machine) KillSupervisor(project string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.supervisors, project)
}

// clock gives times that are all different.
func (m *Machine) clock() time.Time {
	m.serial++
	return time.Unix(int64(m.serial), 0).UTC()
}

func (p *process) exit(at time.Time, code int) {
	p.Status, p.ExitCode, p.PID, p.FinishedAt, p.space = kernel.Exited, code, 0, at, nil
	if p.Process.Restart.Again(code == 0, p.Restarts) {
		p.Status = kernel.Restarting
	}
}

// inhabited: a process runs there, and the namespace outlives its name.
func (m *Machine) inhabited(s *space) bool {
	for _, p := range m.processes {
		if p.space == s {
			return true
		}
	}
	return false
}

func (m *Machine) startSupervisor(o kernel.SupervisorStart) error {
	if m.supervisors[o.Project] != 0 {
		return syscall.EEXIST
	}
	m.serial++
	m.supervisors[o.Project] = m.serial
	return nil
}

func (m *Machine) stopSupervisor(o kernel.SupervisorStop) error {
	if m.supervisors[o.Project] == 0 {
		return errAbsent
	}
	for k, p := range m.processes {
		if k.project == o.Project && p.Status == kernel.Running {
			return fmt.Errorf("process %s: %w", k.node, syscall.EBUSY)
		}
	}
	delete(m.supervisors, o.Project)
	return nil
}

func (m *Machine) startProcess(p kernel.Process) error {
	k := processKey{p.Project, p.Node}
	if m.supervisors[p.Project] == 0 {
		return fmt.Errorf("supervisor: %w", syscall.ECONNREFUSED)
	}
	if m.processes[k] != nil {
		return syscall.EEXIST
	}
	return m.launch(k, p)
}

// launch makes a process run, in place of one that was there.
func (m *Machine) launch(k processKey, p kernel.Process) error {
	if len(p.Argv) == 0 && !p.ImageCommand && !p.ImageEntrypoint {
		return syscall.EINVAL
	}
	if p.Image != "" {
		key := imageKey{p.ImageReference(), p.Platform}
		if m.images[key] == "" {
			return fmt.Errorf("image %s: %w", p.Image, syscall.ENOENT)
		}
		p.ImageID = m.configOf(key)
	}
	p.VolumesFrom = slices.Clone(p.VolumesFrom)
	for i, v := range p.VolumesFrom {
		if from := m.processes[processKey{p.Project, v.Node}]; from != nil {
			p.VolumesFrom[i].Images = from.Process.ImagesBehind()
		}
	}
	s, err := m.find(p.Netns)
	if err != nil {
		return err
	}
	for _, file := range []string{p.Hosts, p.Resolv} {
		if _, ok := m.files[file]; file != "" && !ok {
			return fmt.Errorf("%s: %w", file, syscall.ENOENT)
		}
	}
	if err := m.mountVolumes(p); err != nil {
		return err
	}
	started := &process{space: s, ProcessState: kernel.ProcessState{Process: p, Status: kernel.Running, StartedAt: m.clock()}}
	m.serial++
	started.PID = m.serial
	if p.Health != nil {
		started.Health = kernel.Starting
	}
	if m.behaviours[p.Node].Refuses {
		return fmt.Errorf("exec %q: %w", p.Argv, syscall.ENOENT)
	}
	m.processes[k] = started
	return nil
}

func (m *Machine) stopProcess(o kernel.ProcessStop) error {
	k := processKey{o.Project, o.Node}
	if m.processes[k] == nil {
		return errAbsent
	}
	delete(m.processes, k)
	return nil
}

func (m *Machine) updateProcess(o kernel.ProcessUpdate) error {
	p := m.processes[processKey{o.Project, o.Node}]
	switch {
	case p == nil:
		return syscall.ESRCH
	case m.supervisors[o.Project] == 0:
		return fmt.Errorf("supervisor: %w", syscall.ECONNREFUSED)
	case !p.Process.Container:
		return syscall.EINVAL
	}
	p.Process.Limits = o.Limits
	return nil
}

// waitProcess lets come to pass what is waited for, or fails.
func (m *Machine) waitProcess(o kernel.ProcessWait) error {
	p := m.processes[processKey{o.Project, o.Node}]
	if p == nil {
		return syscall.ESRCH
	}
	behaviour := m.behaviours[o.Node]
	switch o.Condition {
	case kernel.ServiceStarted:
		return nil
	case kernel.ServiceRunning:
		if p.Status == kernel.Running || p.Status == kernel.Exited && p.ExitCode == 0 {
			return nil
		}
		return fmt.Errorf("%s exited with %d", o.Node, p.ExitCode)
	case kernel.ServiceHealthy:
		switch {
		case p.Status == kernel.Restarting:
			return syscall.EAGAIN // time does not pass in here
		case p.Status != kernel.Running:
			return fmt.Errorf("%s exited with %d", o.Node, p.ExitCode)
		case p.Process.Health == nil:
			return fmt.Errorf("%s has no health check", o.Node)
		case behaviour.Unhealthy:
			p.Health = kernel.Unhealthy
			return fmt.Errorf("%s is unhealthy", o.Node)
		}
		p.Health = kernel.Healthy
		return nil
	case kernel.ServiceCompleted:
		if p.Status == kernel.Running {
			p.exit(m.clock(), behaviour.ExitCode)
		}
		if p.Status != kernel.Exited || p.ExitCode != 0 {
			return fmt.Errorf("%s exited with %d", o.Node, p.ExitCode)
		}
		return nil
	}
	return errors.New("unknown condition " + string(o.Condition))
}
