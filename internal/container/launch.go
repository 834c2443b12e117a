package container

import (
	"context"
	"os"
	"unsafe"

	runc "github.com/containerd/go-runc"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// launcher starts programs in nodes. There is one in a supervisor.
type launcher struct {
	layout
	config  Config
	path    string // PATH of whoever started the supervisor
	base    mountBase
	filters filters
	reaper  *reaper
	thrift  *thrift
	self    identity // the supervisor's
	dockers dockerClients
	engines engineWatch
}

// launched is a main process that is there.
type launched struct {
	record
	exit <-chan runc.Exit // of a child of the supervisor
	// mountNS keeps the number of a namespace process's mount namespace from being used again.
	mountNS *os.File
	// run lets a container's main process go on to its program; nil when it has done so.
	run func(context.Context) error
	// ended waits for its end where exit doesn't tell.
	ended func(context.Context) ending
}

// launchPlain starts the process of a `namespaces:` node. It leads a session, so that signals of a
// terminal that topo runs on don't reach it.
//
// What is needed to find the process again is saved before there is one.
func (l *launcher) launchPlain(p kernel.Process, io stdio, save func(record) error) (launched, error) {
	var started launched
	err := onThread(func() error {
		if err := placeOf(p).enter(&l.base); err != nil {
			return err
		}
		ns, err := os.Open("/proc/thread-self/ns/mnt")
		if err != nil {
			return err
		}
		started.mountNS = ns
		root, err := os.OpenRoot("/")
		if err != nil {
			return err
		}
		defer root.Close()
		who, err := findAccount(root, p.User)
		if err != nil {
			return err
		}
		if err := l.own(p, who.uid); err != nil {
			return err
		}
		prog := program{argv: p.Argv, dir: p.Dir, account: who, env: mergeEnv(placeEnv(who, l.path), p.Env)}
		cmd, err := prog.command()
		if err != nil {
			return err
		}
		io.Set(cmd)
		cmd.SysProcAttr.Setsid = true
		started.MountNS = mountNumber(ns)
		if err := save(started.record); err != nil {
			return err
		}
		started.identity, started.exit, err = l.reaper.start(cmd)
		if err != nil {
			return commandError(p.Argv[0], err)
		}
		return cmd.Process.Release()
	})
	if err != nil && started.mountNS != nil {
		started.mountNS.Close()
	}
	return started, err
}

// nsGetMntnsID is NS_GET_MNTNS_ID of linux/nsfs.h: a number that no other mount namespace ever has.
const nsGetMntnsID = 0x8008b705

func mountNumber(ns *os.File) uint64 {
	var id uint64
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, ns.Fd(), nsGetMntnsID, uintptr(unsafe.Pointer(&id)))
	if errno != 0 {
		return 0
	}
	return id
}
