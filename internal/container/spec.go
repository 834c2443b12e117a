package container

import (
	"cmp"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// ociVersion is what crun 1.8 and runc 1.1, of Debian 12, know; nothing newer is used.
const ociVersion = "1.0.2"

// maskedPaths and readonlyPaths are Docker's (moby, oci/defaults.go), but for those of the CPUs: see throttlePaths.
var (
	maskedPaths = []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
		"/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
	}
	readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// throttlePaths are masked, too: by how hot a CPU gets, programs elsewhere can be watched.
var throttlePaths = sync.OnceValue(func() []string {
	paths, err := filepath.Glob("/sys/devices/system/cpu/cpu*/thermal_throttle")
	if err != nil {
		panic(err) // the pattern's own mistake
	}
	return paths
})

// box is what a container's spec is made from.
type box struct {
	kernel.Process
	account
	security
	id       string
	hostname string // the process's, or the host's
	netns    string // path of the network namespace; "" = the host's
	hidden   []string
	cgroups  bool   // the host has cgroups
	self     string // topo's own program, for the init
	rootfs   string // where its root is mounted; relative to the bundle

	// Of a container with a user namespace of its own only.
	firstID uint32 // what its root is on the host
	ids     *idMap
	stage   *stage
	sys     string // where the /sys is that it shows
}

// hostView reports whether the container's root is a view of the host's.
func (b box) hostView() bool { return b.Rootfs == "" && b.Image == "" }

// initPath is where a container with an init has topo's program.
const initPath = "/run/topo-init"

// spec is the container in the words of the OCI: Docker's defaults wherever the process says nothing.
// No rlimits but those of ulimits: the others stay as topo's caller had them, since root may lack CAP_SYS_RESOURCE
// and could raise none.
func (b box) spec() (*specs.Spec, error) {
	namespaces := []specs.LinuxNamespace{
		{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}, {Type: specs.UTSNamespace}, {Type: specs.IPCNamespace},
	}
	if b.cgroups {
		namespaces = append(namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}
	if b.netns != "" {
		namespaces = append(namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: b.netns})
	}
	s := &specs.Spec{
		Version:  ociVersion,
		Hostname: b.hostname,
		Root:     &specs.Root{Path: b.rootfs, Readonly: b.ReadOnly},
		Process:  b.process(b.Argv, b.Dir, containerEnv(b.account, b.hostname), b.Env),
		Mounts:   b.mounts(),
		Linux: &specs.Linux{
			Namespaces:  namespaces,
			CgroupsPath: "/" + b.id,
			Resources:   resources(b.Limits),
			MaskedPaths: b.hidden,
		},
	}
	s.Linux.Resources.Devices = deviceRules()
	if b.Init {
		s.Process.Args = append([]string{initPath, initName}, b.Argv...)
	}
	if b.Privileged {
		s.Linux.Devices = hostDevices()
		s.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	} else {
		s.Linux.MaskedPaths = slices.Concat(s.Linux.MaskedPaths, maskedPaths, throttlePaths())
		s.Linux.ReadonlyPaths = readonlyPaths
	}
	if b.ids != nil {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: b.firstID, Size: idCount}}
		s.Linux.GIDMappings = s.Linux.UIDMappings
	}
	for _, m := range b.Mounts {
		// A mount can only receive or send on what is mounted when its root does.
		switch strings.TrimPrefix(m.Propagation, "r") {
		case "shared":
			s.Linux.RootfsPropagation = "shared"
		case "slave":
			if s.Linux.RootfsPropagation == "" {
				s.Linux.RootfsPropagation = "slave"
			}
		}
	}
	return s, setSeccomp(s, b.Privileged, b.security)
}

// process is a program in the container: its main one, or one of exec.
func (b box) process(argv []string, dir string, env ...[]string) *specs.Process {
	if dir == "" {
		dir = "/"
	}
	return &specs.Process{
		Args: argv, Cwd: dir, Env: mergeEnv(env...),
		User:            specs.User{UID: b.uid, GID: b.gid, AdditionalGids: b.groups},
		Capabilities:    capabilities(b.Process, b.uid),
		NoNewPrivileges: !b.newPrivileges,
		Rlimits:         ociRlimits(b.Ulimits),
	}
}

// mounts is Docker's list, with a /run of the container's own in a view of the host's root, which must not have
// the host's sockets. /tmp is part of the view.
func (b box) mounts() []specs.Mount {
	access := "ro"
	if b.Privileged {
		access = "rw"
	}
	list := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", access}},
	}
	if b.ids != nil {
		list[len(list)-1] = bind(b.sys, "/sys", "ro", "nosuid", "noexec", "nodev")
	}
	if b.cgroups {
		list = append(list, specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", access}})
	}
	if b.hostView() {
		list = append(list, specs.Mount{Destination: "/run", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=755"}})
	}
	if b.Init {
		list = append(list, bind(b.self, initPath, "ro", "nosuid", "nodev"))
	}
	if b.Hosts != "" {
		list = append(list, bind(b.Hosts, "/etc/hosts", "ro"))
	}
	if b.Resolv != "" {
		list = append(list, bind(b.Resolv, "/etc/resolv.conf", "ro"))
	}
	defaults := len(list)
	list = b.addTmpfs(list)
	for _, m := range b.Mounts {
		options := []string{"rw"}
		if m.ReadOnly {
			options = []string{"ro"}
		}
		if m.Kind == kernel.TmpfsMount {
			list = append(list, tmpfs(m, options...))
			continue
		}
		propagation := m.Propagation
		if propagation == "" {
			propagation = "rprivate"
		}
		list = append(list, bind(m.Source, filepath.Clean(m.Target), append(options, propagation)...))
	}
	if b.ids != nil {
		for i := range list {
			list[i].Options = append(list[i].Options, lockedOptions(list[i])...)
		}
	}
	// What is mounted in another mount comes after it, in whatever order the file has them.
	slices.SortStableFunc(list[defaults:], func(x, y specs.Mount) int { return cmp.Compare(depth(x.Destination), depth(y.Destination)) })
	return list
}

// tmpfs has Docker's options for one (moby, daemon/oci_linux.go).
func tmpfs(m kernel.Mount, options ...string) specs.Mount {
	options = append(options, "noexec", "nosuid", "nodev", "rprivate", "mode="+strconv.FormatUint(uint64(m.Mode), 8))
	if m.Size > 0 {
		options = append(options, "size="+strconv.FormatInt(m.Size, 10))
	}
	return specs.Mount{Destination: filepath.Clean(m.Target), Type: "tmpfs", Source: "tmpfs", Options: options}
}

// lockedOptions are those that a mount has because its source has them: in a user namespace they can't be taken off, and runc 1.1.5
// would try to when it makes the mount read-only (mount_namespaces(7), "Restrictions on mount namespaces").
func lockedOptions(m specs.Mount) []string {
	var fs unix.Statfs_t
	if m.Type != "bind" || unix.Statfs(m.Source, &fs) != nil {
		return nil
	}
	var options []string
	for _, o := range []struct {
		flag int64
		name string
	}{
		{unix.ST_RDONLY, "ro"},
		{unix.ST_NOSUID, "nosuid"},
		{unix.ST_NODEV, "nodev"},
		{unix.ST_NOEXEC, "noexec"},
		{unix.ST_NOATIME, "noatime"},
		{unix.ST_NODIRATIME, "nodiratime"},
		{unix.ST_RELATIME, "relatime"},
	} {
		if fs.Flags&o.flag != 0 && !slices.Contains(m.Options, o.name) {
			options = append(options, o.name)
		}
	}
	return options
}

func bind(source, target string, options ...string) specs.Mount {
	return specs.Mount{Destination: target, Type: "bind", Source: source, Options: append([]string{"rbind"}, options...)}
}
