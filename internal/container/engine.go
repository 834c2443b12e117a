package container

import (
	"context"
	"errors"
	"fmt"
	"os"

	"topo/internal/image"
	"topo/internal/kernel"
)

// Config says where things are; its zero value is the real thing.
type Config struct {
	RunDir  string // "" = DefaultRunDir
	DataDir string // "" = DefaultDataDir
	// Self is the program that runs the hidden commands (see [Reexec]): "" = this one.
	Self string
	// Runtime is the OCI runtime, a name or path; "" = crun, and where that is missing or fails, runc.
	Runtime string
	// Pulling, if not nil, hears how far pulls of images are.
	Pulling func(image.Progress)
	// DockerHost is the variable DOCKER_HOST of whoever runs topo: where an engine listens, see dockerapi.Address.
	DockerHost string
}

// program is the path of Self.
func (c Config) program() (string, error) {
	if c.Self != "" {
		return c.Self, nil
	}
	return os.Executable()
}

// Engine runs programs in nodes. It holds nothing: what runs is found on disk and in /proc.
type Engine struct{ config Config }

// New gives an engine. It touches nothing.
func New(c Config) *Engine {
	if c.RunDir == "" {
		c.RunDir = DefaultRunDir
	}
	if c.DataDir == "" {
		c.DataDir = DefaultDataDir
	}
	return &Engine{c}
}

func (e *Engine) layout(project string) layout {
	return layout{e.config.RunDir, e.config.DataDir, project}
}

// Do carries out an edit of processes or volumes; others are refused. The error is a *kernel.OpError.
//
//   - SupervisorStart: succeeds when one runs already, and adopts the processes of a dead one.
//   - SupervisorStop: stops processes that are left, too; succeeds when none runs.
//   - ProcessStart: fails with EEXIST when the node's process runs; a *CommandError says
//     that the program is not there. A process that could not be started is remembered, as exited
//     with 126, 127 or 128, until ProcessStop. It starts a supervisor where there is none.
//   - ProcessStop: succeeds when there is none. It starts no supervisor.
//   - ImagePull: tries again when the registry or the network may do better. Fails where a file of this machine is another image
//     than the one that is asked for.
//   - ProcessUpdate: fails with ESRCH when the node has no process. It starts a supervisor where there is none.
//   - ProcessWait: fails at once when the condition can no longer be met.
//   - VolumeCreate: fails with EEXIST where anything has the name.
//   - VolumeSet: fails with ENOENT, and with EPERM when it is another project's.
//   - VolumeDelete: succeeds when there is none. Fails with EBUSY while a node's process has it, running
//     or not, and with EPERM when it is another project's.
//   - ProcessHalt, ProcessResume, ProcessSignal, ProcessAdjust: fail when the node has no process. They start a supervisor
//     where there is none.
func (e *Engine) Do(ctx context.Context, op kernel.Op) error {
	var err error
	switch op := op.(type) {
	case kernel.SupervisorStart:
		err = e.startSupervisor(ctx, e.layout(op.Project))
	case kernel.SupervisorStop:
		err = e.stopSupervisor(ctx, e.layout(op.Project))
	case kernel.ProcessStart:
		err = e.startProcess(ctx, op.Process)
	case kernel.ProcessStop:
		err = e.stop(ctx, e.layout(op.Project), op.Node)
	case kernel.ProcessUpdate:
		err = e.ask(ctx, e.layout(op.Project), request{Op: opLimit, Node: op.Node, Limits: &op.Limits})
	case kernel.ProcessWait:
		err = e.ask(ctx, e.layout(op.Project), request{Op: opWait, Node: op.Node, Condition: op.Condition, Optional: op.Optional})
	case kernel.ImagePull:
		_, err = e.Pull(ctx, image.Query{Reference: op.Reference, Platform: op.Platform}, op.Digest, e.config.Pulling)
	case kernel.VolumeCreate:
		err = e.volumes().create(op)
	case kernel.VolumeSet:
		err = e.volumes().set(op)
	case kernel.VolumeDelete:
		err = e.volumes().remove(op)
	case kernel.ProcessHalt:
		err = e.ask(ctx, e.layout(op.Project), request{Op: opHalt, Node: op.Node, Grace: op.Grace})
	case kernel.ProcessResume:
		err = e.ask(ctx, e.layout(op.Project), request{Op: opResume, Node: op.Node})
	case kernel.ProcessSignal:
		err = e.ask(ctx, e.layout(op.Project), request{Op: opSignal, Node: op.Node, Signal: op.Signal})
	case kernel.ProcessAdjust:
		err = e.ask(ctx, e.layout(op.Process.Project), request{Op: opAdjust, Process: &op.Process})
	default:
		err = errors.ErrUnsupported
	}
	if err != nil {
		return &kernel.OpError{Op: op, Err: err}
	}
	return nil
}

// ask has the supervisor do something; a dead one is started again.
func (e *Engine) ask(ctx context.Context, l layout, r request) error {
	err := call(ctx, l, r)
	if !errors.Is(err, errNoSupervisor) {
		return err
	}
	if err := e.startSupervisor(ctx, l); err != nil {
		return err
	}
	return call(ctx, l, r)
}

// Quiesce waits until a project's supervisor has done what it was asked to, and until one that is being started can be asked: a topo
// may have asked, or begun that, and been killed. The caller has the project's lock, so nobody asks for more.
func (e *Engine) Quiesce(ctx context.Context, project string) error {
	if err := awaitStart(ctx, e.layout(project)); err != nil {
		return err
	}
	err := call(ctx, e.layout(project), request{Op: opQuiesce})
	if errors.Is(err, errNoSupervisor) {
		return nil // it may have been asked to end
	}
	return err
}

// startProcess has the supervisor start a process; if an engine is to run it, the one that this command's user has.
func (e *Engine) startProcess(ctx context.Context, p kernel.Process) error {
	docker, err := e.dockerAddress(p)
	if err != nil {
		return err
	}
	return e.ask(ctx, e.layout(p.Project), request{Op: opStart, Process: &p, Docker: docker})
}

// stop stops a node's process, without a supervisor if there is none.
func (e *Engine) stop(ctx context.Context, l layout, node string) error {
	err := call(ctx, l, request{Op: opStop, Node: node})
	if !errors.Is(err, errNoSupervisor) {
		return err
	}
	p, rec, err := readNode(l, node)
	if err != nil {
		return err
	}
	if p.Node != "" {
		err = halt(ctx, l, p, rec)
	} else {
		err = endLost(ctx, l)
	}
	if err != nil {
		return err
	}
	return l.removeNode(node)
}

// Remove removes what is left of a project's files after its processes and its supervisor were
// stopped, and topo's own folders when they are empty then. It fails when something still runs.
func (e *Engine) Remove(project string) error {
	l := e.layout(project)
	supervisor, processes, err := e.Observe(context.Background(), project)
	if err != nil {
		return err
	}
	if supervisor.PID != 0 {
		return fmt.Errorf("removing files of %s: its supervisor runs, process %d", project, supervisor.PID)
	}
	for _, p := range processes {
		if p.Status == kernel.Running {
			return fmt.Errorf("removing files of %s: %s runs, process %d", project, p.Process.Node, p.PID)
		}
	}
	err = errors.Join(os.RemoveAll(l.data()), os.RemoveAll(l.run()), e.volumes().cleanUp())
	removeEmpty(l.dataDir+"/projects", l.dataDir, l.runDir+"/projects", l.runDir)
	return err
}
