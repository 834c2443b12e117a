package testhost

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// HostID is the /etc/machine-id of every test's machine, and Hostname its name; both
// are fixed, so that what is derived from them can stand in goldens.
const (
	HostID   = "7e57a057000000000000000000000001"
	Hostname = "testhost"
)

// initMain is PID 1 of a machine: it prepares the machine, runs the inner test, and gives its exit code.
func initMain(s stage) int {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "testhost: this process is not the first of a machine")
		return 1
	}
	if err := boot(); err != nil {
		fmt.Fprintln(os.Stderr, "testhost:", err)
		return 1
	}
	s.init = false
	if err := os.Setenv(stageVariable, s.String()); err != nil {
		fmt.Fprintln(os.Stderr, "testhost:", err)
		return 1
	}
	code, err := runAndReap()
	if err != nil {
		fmt.Fprintln(os.Stderr, "testhost:", err)
		return 1
	}
	return code
}

// boot mounts the machine's own file systems and sets its network to the defaults.
func boot() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making all mounts private: %w", err)
	}
	steps := []func() error{
		uncover,
		func() error { return mount("tmpfs", "/run", "tmpfs", "mode=0755") },
		func() error { return mount("proc", "/proc", "proc", "") },
		mountSys,
		func() error { return overlay("/etc", "/run/.etc") },
		func() error { return os.RemoveAll("/etc/netns") },
		func() error { return overlay("/var/lib", "/run/.lib") },
		func() error { return os.MkdirAll("/var/lib/topo", 0o755) },
		func() error { return mount("tmpfs", "/var/lib/topo", "tmpfs", "mode=0755") },
		func() error { return replaceFile("/etc/machine-id", HostID+"\n") },
		func() error { return unix.Sethostname([]byte(Hostname)) },
		// A new namespace takes the values of the real machine's (net.core.devconf_inherit_init_net 0).
		func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0) },
		func() error { return os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("0"), 0) },
		func() error { return loUp() },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("booting the machine: %w", err)
		}
	}
	return nil
}

// uncover takes off the real machine's /run/netns: it would be listed below the machine's own /run, and be gone from there
// when somebody removes the folder on the real machine.
func uncover() error {
	for {
		switch err := unix.Unmount("/run/netns", unix.MNT_DETACH); err {
		case nil:
		case unix.EINVAL, unix.ENOENT: // no mount is there
			return nil
		default:
			return fmt.Errorf("unmounting the real machine's /run/netns: %w", err)
		}
	}
}

// mountSys mounts the /sys of this network namespace and puts the cgroup mounts of the old
// one on it: container runtimes need them, and there is no new cgroup hierarchy to be had.
func mountSys() error {
	cgroups, err := unix.OpenTree(unix.AT_FDCWD, "/sys/fs/cgroup",
		unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("keeping /sys/fs/cgroup: %w", err)
	}
	defer unix.Close(cgroups)
	if err := mount("sysfs", "/sys", "sysfs", ""); err != nil {
		return err
	}
	if err := unix.MoveMount(cgroups, "", unix.AT_FDCWD, "/sys/fs/cgroup", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("putting back /sys/fs/cgroup: %w", err)
	}
	return nil
}

// overlay makes writes to dir stay in memory. The tmpfs that takes them is mounted on scratch and
// unmounted again (the overlay keeps it), so that nothing is seen of it.
func overlay(dir, scratch string) error {
	if err := os.Mkdir(scratch, 0o700); err != nil {
		return err
	}
	if err := mount("tmpfs", scratch, "tmpfs", "mode=0755"); err != nil {
		return err
	}
	upper, work := filepath.Join(scratch, "upper"), filepath.Join(scratch, "work")
	for _, d := range []string{upper, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", dir, upper, work)
	if err := mount("overlay", dir, "overlay", options); err != nil {
		return err
	}
	if err := unix.Unmount(scratch, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmounting %s: %w", scratch, err)
	}
	return os.Remove(scratch)
}

func mount(source, target, fstype, options string) error {
	if err := unix.Mount(source, target, fstype, unix.MS_NOSUID, options); err != nil {
		return fmt.Errorf("mounting %s on %s: %w", fstype, target, err)
	}
	return nil
}

// replaceFile writes a file that may be read-only, or a link to one of the real machine.
func replaceFile(path, content string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o444)
}

// loUp is "ip link set lo up" (netdevice(7)).
func loUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("setting lo up: %w", err)
	}
	return nil
}

// runAndReap starts this program again, as the inner test, and reaps every child (orphans of the
// machine become PID 1's) until that one ends.
func runAndReap() (code int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	inner, err := os.StartProcess(self, os.Args, &os.ProcAttr{
		Files: []*os.File{nil, os.Stdout, os.Stderr, os.NewFile(verdictFD, "verdict")},
	})
	if err != nil {
		return 0, fmt.Errorf("starting the test: %w", err)
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, fmt.Errorf("waiting for the test: %w", err)
		case pid == inner.Pid && status.Signaled():
			return 0, fmt.Errorf("the test was killed: %v", status.Signal())
		case pid == inner.Pid && status.Exited():
			return status.ExitStatus(), nil
		}
	}
}
