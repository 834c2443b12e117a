package container

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The tries of TestEscape, made by this test's own program inside a container, so that what is seen is what the
// kernel said, and not what a tool made of it. Each is a process of its own. None does harm where it succeeds: files and
// devices are opened and not written, and what can't be opened alone is called with an argument that is refused
// once the call is allowed.

// tryPath is where the container has the program.
const tryPath = "/topo-try"

// tryNothing is a try that does nothing.
const tryNothing = "nothing"

// What the tries are told, in the environment.
const (
	tryDisk    = "TRY_DISK"    // NAME:MAJOR:MINOR of a disk of the host
	tryProcess = "TRY_PROCESS" // pid of a process of the host, in the host's PID namespace
	tryHostNet = "TRY_HOSTNET" // a handle on the host's network namespace
	tryFile    = "TRY_FILE"    // a file of the host's root, mounted
	trySocket  = "TRY_SOCKET"  // topo's control socket, as the host has it
)

// try is something that a program does to get out. why says what stops it; privileged, what a privileged container gets:
// "host" is what root gets outside of any container. private is what a container gets that has a user namespace of its own, all
// capabilities, and no seccomp profile: "any" is what depends on how the kernel is built.
type try struct {
	name       string
	want       string // "ok", or the errno's name
	why        string
	privileged string
	private    string
	do         func() error
}

var tries = []try{
	{"mount", "EPERM", "CAP_SYS_ADMIN, seccomp", "ok", "ok", func() error {
		return unix.Mount("none", "/mnt", "tmpfs", 0, "")
	}},
	{"umount of a masked file", "EPERM", "CAP_SYS_ADMIN, seccomp", "EINVAL", "ok", func() error { // nothing is mounted there
		return unix.Unmount("/proc/interrupts", unix.MNT_DETACH)
	}},
	{"remount of /proc/sys", "EPERM", "CAP_SYS_ADMIN, seccomp", "EINVAL", "ok", func() error { // it is no mount of its own
		return unix.Mount("", "/proc/sys", "", unix.MS_REMOUNT|unix.MS_BIND, "")
	}},
	{"new mount API", "EPERM", "CAP_SYS_ADMIN, seccomp", "ok", "ok", func() error {
		fd, err := unix.Fsopen("tmpfs", 0)
		return closed(fd, err)
	}},
	{"user namespace", "EPERM", "seccomp", "ok", "ok", cloning(unix.CLONE_NEWUSER)},
	{"mount namespace", "EPERM", "CAP_SYS_ADMIN, seccomp", "ok", "ok", cloning(unix.CLONE_NEWNS)},
	{"host's network namespace by a handle", "EPERM", "CAP_SYS_ADMIN, seccomp", "ok", "EPERM", func() error {
		ns, err := os.Open(os.Getenv(tryHostNet))
		if err != nil {
			return fmt.Errorf("%w, which is the test's own mistake", err)
		}
		return unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
	}},
	{"host's namespaces by /proc/1/ns", "ENOENT", "PID namespace: process 1 is the container's", "ENOENT", "ENOENT", func() error {
		for _, kind := range []string{"mnt", "pid", "net", "ipc", "uts"} {
			one, err1 := os.Readlink("/proc/1/ns/" + kind)
			own, err2 := os.Readlink("/proc/self/ns/" + kind)
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			if one != own {
				return nil
			}
		}
		return unix.ENOENT
	}},
	{"disk by mknod", "EPERM", "device rules", "ok", "EPERM", func() error {
		words := strings.Split(os.Getenv(tryDisk), ":")
		major, _ := strconv.ParseUint(words[1], 10, 32)
		minor, _ := strconv.ParseUint(words[2], 10, 32)
		return device("/try-disk", unix.S_IFBLK, uint32(major), uint32(minor))
	}},
	{"disk of /dev", "ENOENT", "a /dev of its own", "ok", "ENOENT", func() error {
		name, _, _ := strings.Cut(os.Getenv(tryDisk), ":")
		return opened("/dev/"+name, os.O_RDONLY)
	}},
	{"memory by mknod", "EPERM", "device rules", "host", "EPERM", func() error { return device("/try-mem", unix.S_IFCHR, 1, 1) }},
	{"kernel log by mknod", "EPERM", "device rules", "host", "EPERM", func() error { return device("/try-kmsg", unix.S_IFCHR, 1, 11) }},
	{"/proc/kcore", "EOF", "masked", "host", "EOF", func() error { return read("/proc/kcore") }},
	{"/proc/keys", "EOF", "masked", "host", "EOF", func() error { return read("/proc/keys") }},
	{"/proc/sys", "EROFS", "read-only", "ok", "EACCES", func() error { return opened("/proc/sys/kernel/core_pattern", os.O_WRONLY) }},
	{"/proc/sysrq-trigger", "EROFS", "read-only", "host", "EACCES", func() error { return opened("/proc/sysrq-trigger", os.O_WRONLY) }},
	{"/sys", "EROFS", "read-only", "ok", "EACCES", func() error {
		name, _, _ := strings.Cut(os.Getenv(tryDisk), ":")
		return opened("/sys/block/"+name+"/uevent", os.O_WRONLY)
	}},
	{"own control group", "EROFS", "read-only", "ok", "EACCES", func() error {
		found, err := filepath.Glob(cgroupDir + "/*/cgroup.procs")
		if err != nil || len(found) == 0 {
			found = []string{cgroupDir + "/cgroup.procs"}
		}
		return opened(found[0], os.O_WRONLY)
	}},
	{"ptrace of a process of the host", "ESRCH", "PID namespace", "ESRCH", "ESRCH", func() error {
		return traced(os.Getenv(tryProcess))
	}},
	{"signal to a process of the host", "ESRCH", "PID namespace", "ESRCH", "ESRCH", func() error {
		pid, err := strconv.Atoi(os.Getenv(tryProcess))
		if err != nil {
			return err
		}
		return unix.Kill(pid, 0)
	}},
	{"finding the supervisor in /proc", "ENOENT", "PID namespace", "ENOENT", "ENOENT", func() error {
		lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			return err
		}
		for _, file := range lines {
			if argv, err := os.ReadFile(file); err == nil && strings.HasPrefix(string(argv), supervisorName+"\x00") {
				return nil
			}
		}
		return unix.ENOENT
	}},
	{"topo's control socket", "ENOENT", "a /run of its own", "ENOENT", "ENOENT", func() error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return unix.Connect(fd, &unix.SockaddrUnix{Name: os.Getenv(trySocket)})
	}},
	{"topo's control socket by /proc/1/root", "ENOENT", "a root and a /run of its own", "ENOENT", "ENOENT", func() error {
		_, err := os.Stat("/proc/1/root" + os.Getenv(trySocket))
		return err
	}},
	{"folder of the host by an inherited file", "ENOENT", "no file is left open by topo or a runtime", "ENOENT", "ENOENT", func() error {
		files, err := filepath.Glob("/proc/1/fd/*")
		if err != nil || len(files) < 3 {
			return fmt.Errorf("process 1 has the files %q: %w", files, err)
		}
		for _, file := range files {
			if info, err := os.Stat(file); err == nil && info.IsDir() {
				return nil
			}
		}
		return unix.ENOENT
	}},
	{"topo's own program", "EROFS", "it is mounted read-only, for the init", "EROFS", "EROFS", func() error {
		return os.Chmod(initPath, 0o755)
	}},
	{"out of a chroot", "ENOENT", "pivot_root: above its root there is nothing", "ENOENT", "ENOENT", func() error {
		if err := os.MkdirAll("/try-jail", 0o755); err != nil {
			return err
		}
		out, err := os.Open("/")
		if err != nil {
			return err
		}
		if err := unix.Chroot("/try-jail"); err != nil {
			return err
		}
		if err := unix.Fchdir(int(out.Fd())); err != nil {
			return err
		}
		for range 64 {
			if err := unix.Chdir(".."); err != nil {
				return err
			}
		}
		_, err = os.Stat("." + os.Getenv(trySocket))
		return err
	}},
	{"file by its handle", "EPERM", "CAP_DAC_READ_SEARCH, seccomp", "EBADF", "EBADF", func() error {
		_, err := unix.OpenByHandleAt(-1, unix.NewFileHandle(1, make([]byte, 8)), unix.O_RDONLY)
		return err
	}},
	{"keyctl", "EPERM", "seccomp", "host", "any", func() error {
		_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
		return err
	}},
	{"add_key", "EPERM", "seccomp", "host", "any", func() error {
		_, err := unix.AddKey("user", "", nil, unix.KEY_SPEC_PROCESS_KEYRING) // a key without a name is none
		return err
	}},
	{"kernel module", "EPERM", "CAP_SYS_MODULE, seccomp", "host", "any", func() error {
		return unix.InitModule([]byte("no module"), "")
	}},
	{"reboot", "EPERM", "CAP_SYS_BOOT, seccomp", "EINVAL", "EINVAL", func() error { // the first magic number is wrong
		_, _, errno := unix.Syscall6(unix.SYS_REBOOT, 0, unix.LINUX_REBOOT_MAGIC2, unix.LINUX_REBOOT_CMD_CAD_OFF, 0, 0, 0)
		return failure(errno)
	}},
	{"clock", "EPERM", "CAP_SYS_TIME, seccomp", "EINVAL", "EINVAL", func() error { // no such time
		return unix.Settimeofday(&unix.Timeval{Sec: -1, Usec: -1})
	}},
	{"swap", "EPERM", "CAP_SYS_ADMIN, seccomp", "ENOENT", "EPERM", func() error {
		name := []byte("/no-such-file\x00")
		_, _, errno := unix.Syscall(unix.SYS_SWAPON, uintptr(unsafe.Pointer(&name[0])), 0, 0)
		return failure(errno)
	}},
	{"bpf", "EPERM", "CAP_BPF, seccomp", "host", "any", func() error {
		_, _, errno := unix.Syscall(unix.SYS_BPF, ^uintptr(0), 0, 0) // no such command
		return failure(errno)
	}},
	{"perf_event_open", "EPERM", "CAP_PERFMON, seccomp", "host", "any", func() error {
		fd, err := unix.PerfEventOpen(&unix.PerfEventAttr{Type: ^uint32(0), Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{}))}, 0, -1, -1, 0)
		return closed(fd, err)
	}},
	{"io_uring", "EPERM", "seccomp", "host", "any", func() error {
		_, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 0, 0, 0) // a queue of none
		return failure(errno)
	}},
	{"userfaultfd", "EPERM", "seccomp", "host", "any", func() error {
		_, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, ^uintptr(0), 0, 0) // no such flags
		return failure(errno)
	}},
	{"socket to the hypervisor", "EPERM", "seccomp", "host", "any", func() error {
		fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		return closed(fd, err)
	}},
	{"kernel log", "EPERM", "CAP_SYSLOG, seccomp", "host", "EPERM", func() error {
		_, err := unix.Klogctl(10, nil) // SYSLOG_ACTION_SIZE_BUFFER
		return err
	}},
	{"host name", "EPERM", "CAP_SYS_ADMIN, seccomp", "ok", "ok", func() error { return unix.Sethostname([]byte("try")) }},
	{"interface's flags", "EPERM", "CAP_NET_ADMIN", "ok", "EPERM", func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		req, err := unix.NewIfreq("lo")
		if err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, req); err != nil {
			return err
		}
		return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req) // as they are
	}},
	{"higher hard limit", "EPERM", "CAP_SYS_RESOURCE", "host", "EPERM", func() error {
		var now unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NICE, &now); err != nil {
			return err
		}
		now.Max++
		return unix.Prlimit(0, unix.RLIMIT_NICE, &now, nil)
	}},

	// What Docker lets a container do.
	{"raw socket", "ok", "CAP_NET_RAW is Docker's", "ok", "EPERM", func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
		return closed(fd, err)
	}},
	{"packet socket", "ok", "CAP_NET_RAW is Docker's", "ok", "EPERM", func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return closed(fd, err)
	}},
	{"chroot", "ok", "CAP_SYS_CHROOT is Docker's", "ok", "ok", func() error { return unix.Chroot("/mnt") }},
	{"null device by mknod", "ok", "CAP_MKNOD is Docker's", "ok", "EPERM", func() error { return device("/try-null", unix.S_IFCHR, 1, 3) }},
	{"file of the host's root in a mount", "ok", "nothing: it was mounted to be written", "ok", "EACCES", func() error {
		return opened(os.Getenv(tryFile), os.O_WRONLY)
	}},
	{"writing /usr", "ok", "its own copy; the host's stays as it is", "ok", "ok", func() error {
		return os.WriteFile("/usr/topo-try", nil, 0o644)
	}},
}

// tryMain makes one try, or all, each in a process of its own: "NAME\tRESULT" a line.
func tryMain(args []string) int {
	if len(args) == 1 && args[0] == tryNothing {
		return 0
	}
	for _, t := range tries {
		if len(args) == 1 && args[0] == t.name {
			runtime.LockOSThread() // ptrace(2) and setns(2) are a thread's
			fmt.Print(verdict(t.do()))
			return 0
		}
	}
	for _, t := range tries {
		out, err := (&exec.Cmd{Path: "/proc/self/exe", Args: []string{tryPath, t.name}}).Output()
		if err != nil {
			out = []byte(err.Error())
		}
		fmt.Printf("%s\t%s\n", t.name, out)
	}
	return 0
}

// verdict names what a try got.
func verdict(err error) string {
	var errno unix.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, io.EOF):
		return "EOF"
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

func failure(errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

func closed(fd int, err error) error {
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func opened(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	return closed(fd, err)
}

// read reads the first byte: a masked file is there, and empty.
func read(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Read(make([]byte, 1))
	return err
}

// device makes a device and opens it to read.
func device(path string, kind, major, minor uint32) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := unix.Mknod(path, kind|0o600, int(unix.Mkdev(major, minor))); err != nil {
		return fmt.Errorf("making it: %w", err)
	}
	defer os.Remove(path)
	return opened(path, os.O_RDONLY|unix.O_NONBLOCK)
}

// cloning makes a process in a new namespace, which ends at once.
func cloning(flag uintptr) func() error {
	return func() error {
		cmd := &exec.Cmd{
			Path: "/proc/self/exe", Args: []string{tryPath, tryNothing}, SysProcAttr: &syscall.SysProcAttr{Cloneflags: flag},
		}
		err := cmd.Start()
		if err != nil {
			return err
		}
		return cmd.Wait()
	}
}

// traced attaches to a process, and lets go of it.
func traced(pid string) error {
	n, err := strconv.Atoi(pid)
	if err != nil {
		return err
	}
	if err := unix.PtraceSeize(n); err != nil {
		return err
	}
	return unix.PtraceDetach(n)
}
