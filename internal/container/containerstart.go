package container

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	runc "github.com/containerd/go-runc"
	"topo/internal/kernel"
)

// launchContainer makes a container, up to the point where its main process is about to become
// the program. What is needed to find the container again is saved before there is one.
func (l *launcher) launchContainer(ctx context.Context, p kernel.Process, from origin, io stdio, save func(record) error) (launched, error) {
	started := launched{record: record{ContainerID: containerID(p), Image: from.config}}
	id := started.ContainerID
	if err := save(started.record); err != nil {
		return launched{}, err
	}
	if privateIDs(p) && io.in == nil {
		in, err := endedInput()
		if err != nil {
			return launched{}, err
		}
		defer in.Close()
		io.in = in
	}
	runtimes, err := findRuntimes(cmp.Or(p.Runtime, l.config.Runtime), l.runtimeRoot())
	if err != nil {
		return launched{}, err
	}
	done := l.reaper.launch()
	defer done()
	bundle := l.bundle(p.Node)
	pidFile := filepath.Join(bundle, "pid")
	err = onThread(func() error {
		b, release, err := l.prepare(p, from, id)
		if err != nil {
			return err
		}
		defer release()
		var first error
		for _, rt := range runtimes {
			err := l.create(ctx, rt, b, bundle, pidFile, io)
			var command *CommandError
			if err == nil || errors.As(err, &command) {
				started.Runtime = rt.path
				return err
			}
			// What crun can't do on this host, runc may: the first's words are the better ones.
			if first == nil {
				first = err
			}
			_ = rt.remove(ctx, id, filepath.Join(bundle, "log"))
		}
		return first
	})
	if err != nil {
		return launched{}, err
	}
	pid, err := runc.ReadPidFile(pidFile)
	if err != nil {
		return launched{}, fmt.Errorf("reading the pid of container %s: %w", id, err)
	}
	started.exit = l.reaper.watch(pid)
	if started.identity, err = identify(pid); err != nil {
		return launched{}, fmt.Errorf("finding container %s: %w", id, err)
	}
	rt := ociRuntime{started.Runtime, l.runtimeRoot()}
	started.run = func(ctx context.Context) error {
		return rt.start(ctx, started.identity, id, p.Argv[0], p.Init, filepath.Join(bundle, "log"))
	}
	return started, nil
}

// containerID is new for each start: a control group of that name that somebody else has, or that was
// left behind, is never joined.
func containerID(p kernel.Process) string {
	return fmt.Sprintf("topo-%s-%s-%08x", p.Project, p.Node, rand.Uint32())
}

// prepare makes, in the calling thread's new mount namespace, all that the container's mounts come from.
func (l *launcher) prepare(p kernel.Process, from origin, id string) (b box, release func(), err error) {
	release = func() {}
	b = box{Process: p, id: id, hostname: p.Hostname, cgroups: hasCgroups(), rootfs: "rootfs"}
	if b.hostView() {
		b.hidden = []string{l.runDir, l.dataDir}
	}
	if b.hostname == "" {
		if b.hostname, err = os.Hostname(); err != nil {
			return b, release, err
		}
	}
	if b.security, err = parseSecurity(p.SecurityOpt, p.Privileged); err != nil {
		return b, release, err
	}
	if p.Init {
		if b.self, err = l.config.program(); err != nil {
			return b, release, err
		}
	}
	if p.Netns != "" {
		netns, err := os.Open(filepath.Join(netnsDir, p.Netns))
		if err != nil {
			return b, release, fmt.Errorf("opening network namespace %s: %w", p.Netns, err)
		}
		release = func() { _ = netns.Close() }
		// The runtime has no /run/netns, but it has our open file.
		b.netns = "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(int(netns.Fd()))
	}
	if privateIDs(p) {
		if b.firstID, err = l.claimIDs(p.Node); err != nil {
			return b, release, fmt.Errorf("finding ids for the user namespace of %s: %w", p.Node, err)
		}
	}
	if b.Mounts, err = resolveMounts(p.Mounts, b.firstID); err != nil {
		return b, release, err
	}
	place, err := grabShared(b.Mounts)
	if err != nil {
		return b, release, err
	}
	defer place.close()
	if err := l.base.enter(); err != nil {
		return b, release, err
	}
	bundle := l.bundle(p.Node)
	rootfs := filepath.Join(bundle, b.rootfs)
	for _, dir := range []string{rootfs, l.root(p.Node), l.runtimeRoot()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return b, release, err
		}
	}
	if err := place.put(bundle, b.Mounts); err != nil {
		return b, release, err
	}
	view := rootView{source: "/", target: rootfs, store: l.root(p.Node), hidden: b.hidden}
	if !b.hostView() {
		view.source, view.layers, view.hidden = p.Rootfs, from.layers, nil
	}
	if privateIDs(p) {
		if err := l.mapIDs(&b); err != nil {
			return b, release, err
		}
		defer b.ids.close()
		rootfs = b.stage.root
		b.rootfs, view.target, view.ids, view.stage = rootfs, rootfs, b.ids, b.stage
	}
	if err := view.mount(); err != nil {
		return b, release, err
	}
	root, err := os.OpenRoot(rootfs)
	if err != nil {
		return b, release, err
	}
	defer root.Close()
	if b.account, err = findAccount(root, p.User); err != nil {
		return b, release, err
	}
	if b.ids != nil && slices.Max(append([]uint32{b.uid, b.gid}, b.groups...)) >= idCount {
		return b, release, fmt.Errorf("user %q: the container's user namespace has the ids 0 to %d only", p.User, idCount-1)
	}
	if err := l.own(p, b.onHost(b.uid)); err != nil {
		return b, release, err
	}
	if err := l.volumes().mountVolumes(&b, bundle, rootfs); err != nil {
		return b, release, err
	}
	if err := furnish(root, &b); err != nil {
		return b, release, err
	}
	if b.ids != nil {
		if err := b.stageMounts(); err != nil {
			return b, release, err
		}
	}
	if p.ReadOnly {
		err = view.makeReadOnly() // the runtime does so with / alone
	}
	return b, release, err
}

// create makes the container with one runtime.
func (l *launcher) create(ctx context.Context, rt ociRuntime, b box, bundle, pidFile string, io stdio) error {
	spec, err := b.spec()
	if err != nil {
		return err
	}
	log := filepath.Join(bundle, "log")
	try := func() error {
		if err := writeJSON(filepath.Join(bundle, "config.json"), spec); err != nil {
			return err
		}
		err := rt.client(log).Create(ctx, b.id, bundle, &runc.CreateOpts{IO: io, PidFile: pidFile})
		return rt.failure(b.Argv[0], log, err)
	}
	if !rt.isCrun() {
		return try()
	}
	if err := leaveHybrid(); err != nil {
		return err
	}
	profile, err := l.filters.reuse(spec)
	if err != nil {
		return err
	}
	err = try()
	var command *CommandError
	if err != nil && spec.Annotations != nil && !errors.As(err, &command) {
		// It may be one that doesn't take compiled filters: the profile does, too.
		_ = rt.remove(ctx, b.id, log)
		spec.Annotations = nil
		err = try()
	}
	if err == nil {
		l.filters.keep(profile, rt.root, b.id)
	}
	return err
}
