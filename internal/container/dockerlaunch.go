package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"topo/internal/container/dockerapi"
	"topo/internal/kernel"
)

// launchDocker has the engine run a container: the one of the run before, where that is there, so that what it wrote is, too.
func (n *node) launchDocker(ctx context.Context, p kernel.Process, from origin, save func(record) error) (started launched, out recorder, err error) {
	_, last, _ := n.state()
	c, err := n.dockers.at(ctx, last.Runtime)
	if err != nil {
		return launched{}, nil, err
	}
	n.follow(last.Runtime)
	started.record = record{Runtime: last.Runtime, ContainerID: last.ContainerID, Image: from.config}
	if err := save(started.record); err != nil {
		return launched{}, nil, err
	}
	again, err := n.ready(ctx, c, p, last.ContainerID)
	if err != nil {
		return launched{}, nil, err
	}
	if !again {
		if started.ContainerID, err = n.createDocker(ctx, c, p, *from.config); err != nil {
			return launched{}, nil, err
		}
		if err := save(started.record); err != nil {
			return launched{}, nil, err
		}
	}
	if err := c.Start(ctx, started.ContainerID, p.Argv[0]); err != nil {
		return launched{}, nil, dockerFailure(p.Argv[0], err)
	}
	if out, err = n.openDockerLog(started.record, !again); err != nil {
		return launched{}, nil, err
	}
	started.ended, err = n.take(ctx, c, p, &started.record)
	return started, out, err
}

// dockerFailure puts an error about the program that was to be run in our words.
func dockerFailure(command string, err error) error {
	var start *dockerapi.StartError
	switch {
	case !errors.As(err, &start):
		return err
	case start.Code == 127:
		return &CommandError{command, start.Code, errNotFound}
	}
	return &CommandError{command, start.Code, errNotAllowed}
}

// ready reports whether a container is there and can be started: whether its sandbox is in place, which is started again
// if need be.
func (n *node) ready(ctx context.Context, c *dockerapi.Client, p kernel.Process, id string) (bool, error) {
	if id == "" {
		return false, nil
	}
	_, there, err := c.State(ctx, id)
	if err != nil || !there || p.Netns == "" {
		return there, err
	}
	sandbox := kernel.EngineSandboxName(p.Project, p.Node)
	if _, there, err = c.State(ctx, sandbox); err != nil || !there {
		return false, err
	}
	return true, n.startSandbox(ctx, c, p, sandbox)
}

// createDocker makes a container and its sandbox.
func (n *node) createDocker(ctx context.Context, c *dockerapi.Client, p kernel.Process, image kernel.ImageConfig) (id string, err error) {
	// What a start left that was cut short, or an earlier boot.
	if err := c.Remove(ctx, p.Project, p.Node); err != nil {
		return "", err
	}
	spec := dockerapi.ContainerSpec{Process: p, Argv: p.Argv}
	security, err := parseSecurity(p.SecurityOpt, p.Privileged)
	if err != nil {
		return "", err
	}
	spec.NoNewPrivileges, spec.Seccomp = !security.newPrivileges, security.seccomp
	self, err := n.config.program()
	if err != nil {
		return "", err
	}
	if p.Netns != "" || p.Init {
		if err := checkStatic(self); err != nil {
			return "", err
		}
	}
	if p.Netns != "" {
		if spec.Sandbox, err = c.CreateSandbox(ctx, dockerapi.SandboxSpec{
			Process: p, Argv: []string{sandboxPath, sandboxName, sandboxNetns}, Binds: sandboxBinds(self, p.Netns), Image: image,
		}); err != nil {
			return "", err
		}
		if err := n.startSandbox(ctx, c, p, spec.Sandbox); err != nil {
			return "", err
		}
	}
	if spec.Process.Mounts, err = n.dockerMounts(ctx, c, p, image); err != nil {
		return "", err
	}
	if p.Init {
		spec.Argv = append([]string{initPath, initName}, p.Argv...)
		spec.Process.Mounts = append(spec.Process.Mounts, kernel.Mount{Source: self, Target: initPath, ReadOnly: true})
	}
	return c.CreateContainer(ctx, spec)
}

// startSandbox starts a sandbox, and returns when it is in the node's network namespace.
func (n *node) startSandbox(ctx context.Context, c *dockerapi.Client, p kernel.Process, id string) error {
	if err := c.Start(ctx, id, sandboxPath); err != nil {
		return fmt.Errorf("starting the sandbox: %w", err)
	}
	s, _, err := c.State(ctx, id)
	if err != nil {
		return err
	}
	return awaitSandbox(s.PID, p.Netns, func() error {
		if s, _, err := c.State(ctx, id); err != nil || s.Running {
			return err
		}
		var words []byte
		err := c.Logs(ctx, id, time.Time{}, false, func(p dockerapi.Printed) { words = append(words, p.Text...) })
		return errors.Join(fmt.Errorf("the sandbox ended%s", quoted(string(words))), err)
	})
}

// dockerMounts are a container's mounts by their paths on the host, and the files that topo keeps for it.
func (n *node) dockerMounts(ctx context.Context, c *dockerapi.Client, p kernel.Process, image kernel.ImageConfig) ([]kernel.Mount, error) {
	const root = 0 // the host's: userns_mode private is not for containers of engines
	list, err := resolveMounts(p.Mounts, root)
	if err != nil {
		return nil, err
	}
	store, files := n.volumes(), n.layout.run("nodes", n.name, "image-files")
	defer func() { _ = os.RemoveAll(files) }()
	for i := range list {
		m := &list[i]
		if m.Kind != kernel.VolumeMount {
			continue
		}
		from := imageFolder(ctx, c, p, image, m.Target, files)
		if m.NoCopy {
			from = nothing
		}
		if err := store.ready(m.Source, from, nil); err != nil {
			return nil, fmt.Errorf("mounting volume %s: %w", m.Source, err)
		}
		m.Source, m.Kind = store.path(m.Source, "data"), kernel.BindMount
	}
	for target, source := range map[string]string{"/etc/hosts": p.Hosts, "/etc/resolv.conf": p.Resolv} {
		taken := slices.ContainsFunc(list, func(m kernel.Mount) bool { return filepath.Clean(m.Target) == target })
		if source != "" && !taken {
			list = append(list, kernel.Mount{Source: source, Target: target, ReadOnly: true})
		}
	}
	return list, nil
}

// take notes who a container's main process is, holds it to the limits that it has by now, and gives what waits for its end.
func (n *node) take(ctx context.Context, c *dockerapi.Client, p kernel.Process, rec *record) (ended func(context.Context) ending, err error) {
	s, there, err := c.State(ctx, rec.ContainerID)
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, errors.New("the container is gone from the engine")
	}
	rec.identity = identity{}
	if s.Running {
		// One that has ended since has no identity any more; its end is told by the engine.
		rec.identity, err = identify(s.PID)
		if err != nil && !gonePID(err) {
			return nil, err
		}
	}
	if rec.PID != 0 {
		rec.Cgroup, err = cgroupOf(rec.PID)
		if err != nil && !gonePID(err) {
			return nil, err
		}
		if live := liveLimits(cgroupDir, rec.group(), p.Limits); live != p.Limits && rec.alive() {
			if err := setLimits(cgroupDir, rec.group(), p.Limits); err != nil && rec.alive() {
				return nil, fmt.Errorf("limiting %s: %w", p.Node, err)
			}
		}
	}
	fd, err := rec.open()
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return nil, err
	}
	id := *rec
	return func(ctx context.Context) ending { return n.dockerEnd(ctx, id, fd) }, nil
}

// enginePatience is how long an engine is asked about a run that has ended: one that is being restarted itself is back soon.
const enginePatience = 10 * time.Second

// dockerEnd waits for the end of a run, and asks the engine how it was. fd is nil where that has come already.
func (n *node) dockerEnd(ctx context.Context, rec record, fd *pidfd) ending {
	if fd != nil {
		defer fd.close()
		if err := fd.wait(ctx); err != nil {
			n.complain(err)
			return ending{}
		}
	}
	how := ending{}
	if fd != nil {
		if status, ok := fd.waitStatus(); ok {
			how = endingOf(status)
		}
	}
	how.oom = oomKilled(rec.group()) // which is there for a moment yet; not every engine sees it
	const pause = 5 * time.Millisecond
	for end := time.Now().Add(enginePatience); time.Now().Before(end); time.Sleep(pause) {
		c, err := n.dockers.at(ctx, rec.Runtime)
		if err != nil {
			continue
		}
		s, there, err := c.State(ctx, rec.ContainerID)
		switch {
		case err != nil, there && s.Running && s.PID == rec.PID:
			continue
		case !there || s.Running: // somebody has removed it, or started it again
			return how
		case !how.known:
			how.known, how.code = true, s.ExitCode
		}
		how.oom = how.oom || s.OOMKilled
		return how
	}
	return how
}

// haltDocker ends a container's main process as a person wants it, and leaves the container.
func haltDocker(ctx context.Context, _ layout, p kernel.Process, rec record) error {
	return haltMain(ctx, rec.Image.Over(p), rec.identity)
}

// removeDocker removes what the engine has of a node.
func removeDocker(ctx context.Context, p kernel.Process, rec record) error {
	if rec.Runtime == "" {
		return nil // it came to nothing before the engine was asked
	}
	c, err := dockerapi.Open(ctx, rec.Runtime)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Remove(ctx, p.Project, p.Node)
}
