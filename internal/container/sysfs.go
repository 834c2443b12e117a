package container

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// mountSys mounts the /sys that belongs to the calling thread's network namespace (its
// /sys/class/net is that namespace's), and puts on it what was mounted in the old one: the
// cgroup hierarchies, debugfs and the like. The thread has a mount namespace of its own.
func mountSys() error {
	mounts, err := readMounts("thread-self")
	if err != nil {
		return err
	}
	old := mountOf(mounts, "/sys")
	if old.path != "/sys" {
		return nil // no /sys here, so there is none to replace
	}
	type kept struct {
		tree int
		path string
	}
	var keep []kept
	defer func() {
		for _, k := range keep {
			unix.Close(k.tree)
		}
	}()
	for _, m := range mounts {
		if m.parent != old.id {
			continue
		}
		tree, err := unix.OpenTree(unix.AT_FDCWD, m.path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if err != nil {
			return fmt.Errorf("keeping %s: %w", m.path, err)
		}
		keep = append(keep, kept{tree, m.path})
	}
	if err := unix.Unmount("/sys", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmounting /sys: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /sys: %w", err)
	}
	for _, k := range keep {
		if err := unix.MoveMount(k.tree, "", unix.AT_FDCWD, k.path, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("putting back %s: %w", k.path, err)
		}
	}
	return nil
}
