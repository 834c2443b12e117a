package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	containersDir = "/run/floor"
	// together is how many are started at a time, as topo does.
	together = 8
)

// containers starts, or removes, as many containers as args says, by crun alone. Each is in the namespace of a node that is there, on
// a root of its own over the host's, and what config.json says of one of topo's is true of all.
//
//	floor containers up N PROJECT CONFIG
//	floor containers down N
func containers(args []string) error {
	if len(args) < 2 || args[0] == "up" && len(args) < 4 {
		return errors.New("usage: floor containers up N PROJECT CONFIG | down N")
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	one := removeContainer
	if args[0] == "up" {
		config, err := os.ReadFile(args[3])
		if err != nil {
			return err
		}
		one = func(i int) error { return startContainer(i, args[2], config) }
	}
	var g errgroup.Group
	g.SetLimit(together)
	for i := range n {
		g.Go(func() error {
			runtime.LockOSThread() // which ends with the goroutine: it may be in a mount namespace of its own
			return one(i)
		})
	}
	return g.Wait()
}

// hideUnified is for crun 1.8, which makes no container where control groups of both versions are mounted.
func hideUnified() error {
	const unified = "/sys/fs/cgroup/unified"
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Unmount(unified, unix.MNT_DETACH); err != nil {
		return nil //nolint:nilerr // there is none
	}
	return unix.Mount("tmpfs", unified, "tmpfs", 0, "")
}

func containerID(i int) string { return "floor-" + strconv.Itoa(i) }

func bundleOf(i int) string { return filepath.Join(containersDir, strconv.Itoa(i)) }

func startContainer(i int, project string, config []byte) error {
	var spec struct {
		OCI      string           `json:"ociVersion"`
		Process  map[string]any   `json:"process"`
		Root     map[string]any   `json:"root"`
		Hostname string           `json:"hostname"`
		Mounts   []map[string]any `json:"mounts"`
		Linux    map[string]any   `json:"linux"`
	}
	if err := json.Unmarshal(config, &spec); err != nil {
		return err
	}
	node := fmt.Sprintf("n%d", i)
	netns := project + "-" + node
	spec.Hostname = node
	for _, m := range spec.Mounts {
		if m["destination"] == "/etc/hosts" {
			m["source"] = filepath.Join(etcDir, netns, "hosts")
		}
	}
	for _, n := range spec.Linux["namespaces"].([]any) {
		if n := n.(map[string]any); n["type"] == "network" {
			n["path"] = filepath.Join(netnsDir, netns)
		}
	}
	spec.Linux["cgroupsPath"] = "/" + containerID(i)
	spec.Root["path"] = "rootfs"
	bundle := bundleOf(i)
	for _, dir := range []string{"rootfs", "upper", "work"} {
		if err := os.MkdirAll(filepath.Join(bundle, dir), 0o755); err != nil {
			return err
		}
	}
	layers := fmt.Sprintf("lowerdir=/,upperdir=%s/upper,workdir=%s/work", bundle, bundle)
	if err := hideUnified(); err != nil {
		return fmt.Errorf("hiding control groups: %w", err)
	}
	if err := unix.Mount("overlay", filepath.Join(bundle, "rootfs"), "overlay", 0, layers); err != nil {
		return fmt.Errorf("mounting a root: %w", err)
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), text, 0o600); err != nil {
		return err
	}
	return crun("run", "--detach", "--bundle", bundle, containerID(i))
}

func removeContainer(i int) error {
	if err := crun("delete", "--force", containerID(i)); err != nil {
		return err
	}
	return os.RemoveAll(bundleOf(i))
}

func crun(args ...string) error {
	log := filepath.Join(containersDir, "log") // stderr would be the container's, too
	if err := exec.Command("crun", append([]string{"--root", filepath.Join(containersDir, "state"), "--log", log}, args...)...).Run(); err != nil {
		said, _ := os.ReadFile(log)
		return fmt.Errorf("crun %v: %w: %s", args, err, said)
	}
	return nil
}
