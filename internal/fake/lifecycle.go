package fake

import (
	"fmt"
	"syscall"

	"topo/internal/kernel"
)

// Revive lets the back-off of a node's process pass, if that is to be restarted.
func (m *Machine) Revive(project, node string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := processKey{project, node}
	p := m.processes[k]
	if p == nil || p.Status != kernel.Restarting {
		return fmt.Errorf("%s is not restarting", node)
	}
	restarts := p.Restarts + 1
	if err := m.launch(k, p.Process); err != nil {
		return err
	}
	m.processes[k].Restarts = restarts
	return nil
}

// known is the process that an edit is about.
func (m *Machine) known(project, node string) (*process, error) {
	if m.supervisors[project] == 0 {
		return nil, fmt.Errorf("supervisor: %w", syscall.ECONNREFUSED)
	}
	p := m.processes[processKey{project, node}]
	if p == nil {
		return nil, syscall.ESRCH
	}
	return p, nil
}

func (m *Machine) haltProcess(o kernel.ProcessHalt) error {
	p, err := m.known(o.Project, o.Node)
	if err != nil {
		return err
	}
	m.halt(p, 128+int(syscall.SIGTERM))
	return nil
}

// halt ends a process as a person does; one that has ended stays as it is.
func (m *Machine) halt(p *process, code int) {
	switch p.Status {
	case kernel.Running:
		p.exit(m.clock(), code)
		p.Status = kernel.Stopped
	case kernel.Restarting:
		p.Status = kernel.Stopped
	}
}

func (m *Machine) resumeProcess(o kernel.ProcessResume) error {
	p, err := m.known(o.Project, o.Node)
	if err != nil || p.Status == kernel.Running {
		return err
	}
	return m.launch(processKey{o.Project, o.Node}, p.Process)
}

// signalProcess knows no signal but those that end a process.
func (m *Machine) signalProcess(o kernel.ProcessSignal) error {
	p, err := m.known(o.Project, o.Node)
	if err != nil {
		return err
	}
	switch o.Signal {
	case "SIGKILL":
		m.halt(p, 128+int(syscall.SIGKILL))
	case p.Process.StopSignal:
		m.halt(p, 128+int(syscall.SIGTERM))
	}
	return nil
}

func (m *Machine) adjustProcess(o kernel.ProcessAdjust) error {
	p, err := m.known(o.Process.Project, o.Process.Node)
	if err != nil {
		return err
	}
	p.Process = p.Process.Adjusted(o.Process)
	if p.Status == kernel.Restarting && !p.Process.Restart.Again(p.ExitCode == 0, p.Restarts) {
		p.Status = kernel.Exited
	}
	return nil
}
