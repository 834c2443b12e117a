package tracer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// describe says what a call changes that a thread enters; "" where it changes nothing. Reading, opening a file for reading, and
// what concerns the process alone (its memory, its threads, its own descriptors) changes nothing.
func (t *tracer) describe(th *thread) string {
	a := th.args
	at := func(verb string, dir, path int) string { return t.file(th, verb, int32(a[dir]), a[path]) }
	const here = unix.AT_FDCWD
	from := func(verb string, path int) string { return t.file(th, verb, here, a[path]) }
	switch th.number {
	case unix.SYS_SENDTO:
		return t.message(th, [][2]uint64{{a[1], a[2]}})
	case unix.SYS_SENDMSG:
		return t.message(th, th.vector(a[1]+16))
	case unix.SYS_WRITE, unix.SYS_PWRITE64:
		return t.write(th, [][2]uint64{{a[1], a[2]}})
	case unix.SYS_WRITEV:
		return t.write(th, nil)
	case unix.SYS_SETSOCKOPT:
		return legacyTables(th)
	case unix.SYS_IOCTL:
		return ioctl(th)

	case unix.SYS_OPENAT:
		return t.open(th, int32(a[0]), a[1], a[2])
	case unix.SYS_OPEN:
		return t.open(th, here, a[0], a[1])
	case unix.SYS_CREAT:
		return t.open(th, here, a[0], unix.O_CREAT|unix.O_WRONLY|unix.O_TRUNC)
	case unix.SYS_MKDIRAT:
		return at("make folder", 0, 1)
	case unix.SYS_MKDIR:
		return from("make folder", 0)
	case unix.SYS_RMDIR:
		return from("remove folder", 0)
	case unix.SYS_UNLINK:
		return from("remove", 0)
	case unix.SYS_UNLINKAT:
		return at("remove", 0, 1)
	case unix.SYS_RENAME:
		return from("rename to", 1)
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2:
		return at("rename to", 2, 3)
	case unix.SYS_LINK:
		return from("link", 1)
	case unix.SYS_LINKAT:
		return at("link", 2, 3)
	case unix.SYS_SYMLINK:
		return from("link", 1)
	case unix.SYS_SYMLINKAT:
		return at("link", 1, 2)
	case unix.SYS_MKNOD:
		return from("make node", 0)
	case unix.SYS_MKNODAT:
		return at("make node", 0, 1)
	case unix.SYS_CHMOD:
		return from("change mode of", 0)
	case unix.SYS_FCHMODAT:
		return at("change mode of", 0, 1)
	case unix.SYS_FCHMOD:
		return t.descriptor(th, "change mode of")
	case unix.SYS_CHOWN, unix.SYS_LCHOWN:
		return from("change owner of", 0)
	case unix.SYS_FCHOWNAT:
		return at("change owner of", 0, 1)
	case unix.SYS_FCHOWN:
		return t.descriptor(th, "change owner of")
	case unix.SYS_TRUNCATE:
		return from("truncate", 0)
	case unix.SYS_FTRUNCATE:
		return t.descriptor(th, "truncate")
	case unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR:
		return from("change attribute of", 0)
	case unix.SYS_FSETXATTR, unix.SYS_FREMOVEXATTR:
		return t.descriptor(th, "change attribute of")

	case unix.SYS_MOUNT:
		return from("mount", 1)
	case unix.SYS_MOVE_MOUNT:
		return at("mount", 2, 3)
	case unix.SYS_MOUNT_SETATTR:
		return at("change mount", 0, 1)
	case unix.SYS_UMOUNT2:
		return from("unmount", 0)
	case unix.SYS_PIVOT_ROOT:
		return from("pivot root to", 0)
	case unix.SYS_UNSHARE:
		return namespaces(a[0])
	case unix.SYS_CLONE:
		if a[0]&unix.CLONE_THREAD == 0 {
			return "start a process"
		}
	case unix.SYS_CLONE3: // struct clone_args begins with the flags
		if flags := th.words(a[0], 1); len(flags) == 1 && flags[0]&unix.CLONE_THREAD == 0 {
			return "start a process"
		}
	case unix.SYS_FORK, unix.SYS_VFORK:
		return "start a process"
	case unix.SYS_EXECVE:
		return from("execute", 0)
	case unix.SYS_EXECVEAT:
		return at("execute", 0, 1)
	case unix.SYS_KILL, unix.SYS_TGKILL, unix.SYS_TKILL, unix.SYS_PIDFD_SEND_SIGNAL:
		return signal(th)
	}
	return ""
}

// arguments are what [Call.Args] says.
func (th *thread) arguments() []string {
	const longest = 4096
	text := func(address uint64) string { return word(th.read(address, longest)) }
	target := func(dir int32, address uint64) string {
		path := text(address)
		for _, self := range []string{"/proc/self/fd/", "/proc/thread-self/fd/"} { // a runtime has opened it before
			if fd, ok := strings.CutPrefix(path, self); ok {
				if real, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", th.process, fd)); err == nil {
					return real
				}
			}
		}
		return absolute(th, dir, path)
	}
	a := th.args
	switch th.number {
	case unix.SYS_EXECVE:
		return th.list(a[1])
	case unix.SYS_EXECVEAT:
		return th.list(a[2])
	case unix.SYS_MOUNT:
		return []string{target(unix.AT_FDCWD, a[1]), text(a[0]), text(a[2]), fmt.Sprintf("%#x", a[3])}
	case unix.SYS_MOVE_MOUNT:
		return []string{target(int32(a[2]), a[3]), target(int32(a[0]), a[1]), "", "0"}
	case unix.SYS_UMOUNT2:
		return []string{target(unix.AT_FDCWD, a[0])}
	}
	return nil
}

// list is texts in a thread's memory, of which the addresses stand one behind the other, and a zero at the end.
func (th *thread) list(at uint64) []string {
	const most, longest = 1024, 4096
	var out []string
	for _, address := range th.words(at, most) {
		if address == 0 {
			break
		}
		out = append(out, word(th.read(address, longest)))
	}
	return out
}

// learn keeps what later calls refer to by a descriptor.
func (t *tracer) learn(th *thread, result int64) {
	if th.number == unix.SYS_SOCKET && th.args[0] == unix.AF_NETLINK {
		s := socket{protocol: int(th.args[2]), space: spaceOf(th.process, th.tid)}
		t.sockets[place{th.process, int32(result)}] = s
		if t.books.wanted {
			t.books.lookInto(s.space, th.tid)
		}
	}
}

// forget drops what is known of a descriptor that a thread is about to close: once it is closed another thread may have been given
// the same number, and be told of first.
func (t *tracer) forget(th *thread) {
	if th.number == unix.SYS_CLOSE {
		delete(t.sockets, place{th.process, int32(th.args[0])})
	}
}

// place is a descriptor of a process.
type place struct {
	process int
	fd      int32
}

// changing are the numbers of what ioctl(2) is used for to make or change interfaces: those of netdevice(7) that set, of
// bridges, and of tun devices.
func ioctl(th *thread) string {
	switch request := th.args[1]; {
	case request == unix.TUNSETIFF, request == unix.TUNSETPERSIST:
		return fmt.Sprintf("ioctl %#x", request)
	case request >= 0x8900 && request < 0x8a00 && strings.Contains(" 8914 8916 891a 891c 8922 8923 8924 8934 8937 8946 89a0 89a1 89a2 89a3 ", fmt.Sprintf(" %x ", request)):
		return fmt.Sprintf("ioctl %#x", request)
	}
	return ""
}

// legacyTables is a transaction of the old kind of iptables (IPT_SO_SET_REPLACE, IP6T_SO_SET_REPLACE).
func legacyTables(th *thread) string {
	const replace = 64
	level := th.args[1]
	if th.args[2] != replace || level != unix.SOL_IP && level != unix.SOL_IPV6 {
		return ""
	}
	family := "iptables"
	if level == unix.SOL_IPV6 {
		family = "ip6tables"
	}
	return family + " " + word(th.read(th.args[3], 32)) // the table's name comes first
}

func namespaces(flags uint64) string {
	if flags&unix.CLONE_NEWNET != 0 {
		return "make a network namespace"
	}
	return ""
}

// signal: sent to another process; those within one are its runtime's own.
func signal(th *thread) string {
	number := th.args[1]
	switch th.number {
	case unix.SYS_TGKILL:
		number = th.args[2]
		fallthrough
	case unix.SYS_KILL:
		if int(int32(th.args[0])) == th.process {
			return ""
		}
	case unix.SYS_TKILL:
		return ""
	}
	if number == 0 {
		return "" // asks whether it lives
	}
	return fmt.Sprintf("send %s", unix.SignalName(unix.Signal(number)))
}

func (t *tracer) open(th *thread, dir int32, path, flags uint64) string {
	if flags&(unix.O_CREAT|unix.O_TRUNC) == 0 && flags&unix.O_TMPFILE != unix.O_TMPFILE {
		return ""
	}
	return t.file(th, "create", dir, path)
}

// write: to a file, or to a netlink socket.
func (t *tracer) write(th *thread, parts [][2]uint64) string {
	if _, ok := t.sockets[place{th.process, int32(th.args[0])}]; ok {
		return t.message(th, parts)
	}
	what := t.descriptor(th, "write")
	if strings.HasPrefix(what, "write /proc/sys/") && len(parts) > 0 {
		const much = 64
		what += " " + strings.TrimSpace(string(th.read(parts[0][0], min(parts[0][1], much))))
	}
	return what
}

// descriptor is a change to what the first argument, a descriptor, refers to.
func (t *tracer) descriptor(th *thread, verb string) string {
	name, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", th.process, int32(th.args[0])))
	if err != nil {
		return ""
	}
	return change(verb, name)
}

// file is a change to a path as it stands at an address, relative to a folder.
func (t *tracer) file(th *thread, verb string, dir int32, address uint64) string {
	const longest = 4096
	return change(verb, absolute(th, dir, word(th.read(address, longest))))
}

// absolute is a path that a process says, which may be relative to a folder.
func absolute(th *thread, dir int32, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	folder := fmt.Sprintf("/proc/%d/fd/%d", th.process, dir)
	if dir == unix.AT_FDCWD {
		folder = fmt.Sprintf("/proc/%d/cwd", th.process)
	}
	if base, err := os.Readlink(folder); err == nil {
		return filepath.Join(base, path)
	}
	return path
}

// change is one of a file: not of devices that keep nothing, of pipes and sockets, or of memory.
func change(verb, path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "/dev/") || strings.HasPrefix(path, "/memfd:") {
		return ""
	}
	return verb + " " + varying.ReplaceAllString(path, "…")
}

// varying is what differs between two runs: process IDs, random names, the numbers of threads and descriptors. A random name may
// begin with as many digits as a process ID has.
var varying = regexp.MustCompile(`\.topo-\d+-\d+|(?:^/proc|/task|/fd)/\d+|-[0-9a-f]{8}\b|[-.]\d{5,}|crun\.\w{6}`)

// word is the text before the first zero byte.
func word(b []byte) string {
	text, _, _ := strings.Cut(string(b), "\x00")
	return text
}

// read gives up to n bytes of a thread's memory: what is behind its end is left out.
func (th *thread) read(address, n uint64) []byte {
	const page = 4096
	var out []byte
	for n > 0 {
		part := min(n, page-address%page)
		b := make([]byte, part)
		got, err := unix.ProcessVMReadv(th.tid, []unix.Iovec{{Base: &b[0], Len: part}}, []unix.RemoteIovec{{Base: uintptr(address), Len: int(part)}}, 0)
		if errors.Is(err, unix.ENOSYS) { // without CONFIG_CROSS_MEMORY_ATTACH, as user-mode Linux is
			got, err = th.peek(b, address)
		}
		if err != nil || got == 0 {
			break
		}
		out = append(out, b[:got]...)
		address, n = address+part, n-part
	}
	return out
}

// peek reads a thread's memory in the way that ptrace(2) has for it.
func (th *thread) peek(b []byte, address uint64) (int, error) {
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", th.tid))
	if err != nil {
		return 0, err
	}
	defer memory.Close()
	return memory.ReadAt(b, int64(address)) //nolint:gosec // addresses of processes are below 2^63
}

// words are numbers of eight bytes in a thread's memory.
func (th *thread) words(address uint64, n int) []uint64 {
	b := th.read(address, uint64(n)*8)
	var out []uint64
	for ; len(b) >= 8; b = b[8:] {
		out = append(out, binary.NativeEndian.Uint64(b))
	}
	return out
}

// vector is the buffers of a message, of which an address and a number stand in a struct msghdr.
func (th *thread) vector(address uint64) [][2]uint64 {
	at := th.words(address, 2)
	if len(at) < 2 {
		return nil
	}
	const most = 1024 // IOV_MAX
	entries := th.words(at[0], int(min(at[1], most))*2)
	var out [][2]uint64
	for ; len(entries) >= 2; entries = entries[2:] {
		out = append(out, [2]uint64{entries[0], entries[1]})
	}
	return out
}

func processOf(tid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return tid
	}
	for line := range strings.Lines(string(status)) {
		if id, ok := strings.CutPrefix(line, "Tgid:"); ok {
			if n, err := strconv.Atoi(strings.TrimSpace(id)); err == nil {
				return n
			}
		}
	}
	return tid
}

func nameOf(process int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", process))
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(name))
}
