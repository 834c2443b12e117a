package container

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// execPlain runs a program in a `namespaces:` node: beside its process when one runs (rec is not zero),
// else in a place made for it.
func execPlain(ctx context.Context, p kernel.Process, rec record, r ExecRequest) (int, error) {
	stdin, closeStdin, err := input(r.Stdin)
	if err != nil {
		return 0, err
	}
	defer closeStdin()
	var cmd *exec.Cmd
	err = onThread(func() error {
		if rec.PID != 0 {
			err = joinPlace(rec.identity)
		} else {
			err = namedPlace(r.Netns, p).enter(new(mountBase))
		}
		if err != nil {
			return err
		}
		cmd, err = r.plainCommand(p, os.Getenv("PATH"))
		if err != nil {
			return err
		}
		if stdin != nil {
			cmd.Stdin = stdin
		}
		if r.Detach {
			cmd.Stdin, cmd.SysProcAttr.Setsid = nil, true
		} else {
			cmd.Stdout, cmd.Stderr = r.Stdout, r.Stderr
		}
		if err := cmd.Start(); err != nil {
			return commandError(r.Argv[0], err)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if r.Detach {
		return 0, cmd.Process.Release()
	}
	defer forward(r.Signals, sendTo(cmd.Process.Pid))()
	defer context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })()
	err = cmd.Wait()
	var exit *exec.ExitError
	if err == nil || errors.As(err, &exit) {
		return exitCode(unix.WaitStatus(cmd.ProcessState.Sys().(syscall.WaitStatus))), ctx.Err()
	}
	return 0, err
}

// namedPlace is a node without a process: its namespace, and the files that `ip netns exec` shows.
func namedPlace(netns string, p kernel.Process) place {
	if p.Node != "" {
		return placeOf(p) // one that has ended: as it was
	}
	pl := place{netns: netns}
	if netns == "" {
		return pl
	}
	for file, path := range map[*string]string{&pl.hosts: "hosts", &pl.resolv: "resolv.conf"} {
		path = filepath.Join("/etc/netns", netns, path)
		if _, err := os.Stat(path); err == nil {
			*file = path
		}
	}
	return pl
}

// plainCommand makes the command, from a thread that is in its place.
func (r ExecRequest) plainCommand(p kernel.Process, path string) (*exec.Cmd, error) {
	root, err := os.OpenRoot("/")
	if err != nil {
		return nil, err
	}
	defer root.Close()
	who, err := findAccount(root, or(r.User, p.User))
	if err != nil {
		return nil, err
	}
	prog := program{
		argv: r.Argv, dir: or(r.Dir, p.Dir), account: who,
		env: mergeEnv(placeEnv(who, path), p.Env, r.Env),
	}
	return prog.command()
}

// or gives the first that is not empty.
func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
