package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// files opens the files of node n, and the root of them.
func (l *lab) files() (*NodeFiles, *os.Root) {
	l.Helper()
	f, err := l.Files(l.Context(), l.project, "n")
	if err != nil {
		l.Fatalf("%v\n%s", err, l.supervisorLog())
	}
	root, err := f.Open("/")
	if err != nil {
		l.Fatal(err)
	}
	return f, root
}

// owner is who owns a file in the node's eyes.
func (l *lab) owner(f *NodeFiles, root *os.Root, path string) string {
	l.Helper()
	info, err := root.Lstat(path)
	if err != nil {
		l.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	uid, gid, err := f.IDs.ToContainer(int(stat.Uid), int(stat.Gid))
	if err != nil {
		l.Fatal(err)
	}
	return fmt.Sprint(uid, ":", gid)
}

// Of a container that has ended there is all that its process saw, but for what was in memory, and what is put there its next run sees.
func TestFilesOfContainers(t *testing.T) {
	boxes(t, func(l *lab) {
		host, hosts := l.TempDir(), filepath.Join(l.TempDir(), "hosts")
		testhost.Run(l, "sh", "-c", `echo host > "$0"/file; echo names > "$1"; chmod 755 "$0"`, host, hosts)
		for _, mode := range []kernel.UsernsMode{"", kernel.PrivateUserns} {
			data := l.volume("v")
			p := kernel.Process{
				Container: true, UsernsMode: mode, Hosts: hosts, Tmpfs: []kernel.Tmpfs{{Target: "/srv/memory"}},
				Mounts: []kernel.Mount{onVolume("v", "/srv/vol"), {Source: host, Target: "/srv/vol/ro", ReadOnly: true}},
			}
			const script = "cat /new /srv/vol/new 2> /dev/null && exit; echo kept > /kept; echo inner > /srv/vol/inner; chown 33:44 /kept /srv/vol/inner; touch /srv/memory/x; echo ready; exec sleep 1000"
			p.Argv = []string{"sh", "-c", script}
			l.start(p)
			testhost.Poll(l, func() error {
				if code, _, _ := l.exec(ExecRequest{Argv: []string{"test", "-e", "/srv/memory/x"}}); code != 0 {
					return errors.New("not ready")
				}
				return nil
			})
			for _, running := range []bool{true, false} {
				if !running {
					l.do(kernel.ProcessHalt{Project: l.project, Node: "n"})
				}
				f, root := l.files()
				for path, want := range map[string]string{"kept": "kept\n", "srv/vol/inner": "inner\n", "srv/vol/ro/file": "host\n", "etc/hosts": "names\n"} {
					if got, err := root.ReadFile(path); err != nil || string(got) != want {
						l.Errorf("%q running %t: %s has %q, %v", mode, running, path, got, err)
					}
				}
				for _, path := range []string{"kept", "srv/vol/inner"} {
					if got := l.owner(f, root, path); got != "33:44" {
						l.Errorf("%q running %t: %s belongs to %s", mode, running, path, got)
					}
				}
				if _, err := root.Lstat("srv/memory/x"); (err == nil) != running {
					l.Errorf("%q running %t: the file in memory: %v", mode, running, err)
				}
				for _, path := range []string{"srv/vol/ro/x", "etc/hosts"} {
					if _, err := root.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600); !errors.Is(err, unix.EROFS) {
						l.Errorf("%q running %t: writing %s: %v", mode, running, path, err)
					}
				}
				if _, err := f.Open("/proc/self/cwd"); err == nil {
					l.Errorf("%q running %t: a link of /proc leads out", mode, running)
				}
				for _, path := range []string{"new", "srv/vol/new"} {
					uid, gid, err := f.IDs.ToHost(0, 0)
					err = errors.Join(err, root.WriteFile(path, []byte("put\n"), 0o600), root.Lchown(path, uid, gid))
					if err != nil {
						l.Errorf("%q running %t: %v", mode, running, err)
					}
				}
				if err := errors.Join(root.Close(), f.Close()); err != nil {
					l.Error(err)
				}
			}
			l.do(kernel.ProcessResume{Project: l.project, Node: "n"})
			if got := l.logged("n"); !strings.HasSuffix(got, "ready\nput\nput\n") {
				l.Errorf("%q: its next run printed %q", mode, got)
			}
			if got, err := os.ReadFile(filepath.Join(data, "new")); err != nil || string(got) != "put\n" || exists("/new") || exists("/kept") {
				l.Errorf("%q: the volume has %q, %v", mode, got, err)
			}
			l.drop("v")
		}
	})
}

// What the file mounts over the files that topo keeps was hidden by them, or there was no place for these in it.
func TestFilesOverThoseThatTopoKeeps(t *testing.T) {
	boxes(t, func(l *lab) {
		dir := l.TempDir()
		testhost.Run(l, "sh", "-c", `cd "$0"; echo kept > kept; echo own > own; mkdir etc; echo own > etc/own`, dir)
		for path, m := range map[string]kernel.Mount{
			"etc/hosts": {Source: filepath.Join(dir, "own"), Target: "/etc/hosts"},
			"etc/own":   {Source: filepath.Join(dir, "etc"), Target: "/etc"},
		} {
			if got := l.run(kernel.Process{Hosts: filepath.Join(dir, "kept"), Mounts: []kernel.Mount{m}}, "cat /"+path); got != "own\n" {
				l.Errorf("in the container /%s is %q", path, got)
			}
			f, root := l.files()
			if got, err := root.ReadFile(path); err != nil || string(got) != "own\n" {
				l.Errorf("when it has ended /%s is %q, %v", path, got, err)
			}
			if err := errors.Join(root.Close(), f.Close()); err != nil {
				l.Error(err)
			}
		}
	})
}

// While somebody has the files of a container that has ended, nobody else gets to write them.
func TestFilesAreLent(t *testing.T) {
	boxes(t, func(l *lab) {
		l.run(kernel.Process{ReadOnly: true}, "echo run")
		f, root := l.files()
		if err := root.WriteFile("x", nil, 0o600); !errors.Is(err, unix.EROFS) {
			l.Errorf("a read-only root was written: %v", err)
		}
		soon, cancel := context.WithTimeout(l.Context(), 50*time.Millisecond)
		defer cancel()
		if err := l.Do(soon, kernel.ProcessResume{Project: l.project, Node: "n"}); !errors.Is(err, context.DeadlineExceeded) {
			l.Errorf("it was started: %v", err)
		}
		if err := errors.Join(root.Close(), f.Close()); err != nil {
			l.Error(err)
		}
		testhost.Poll(l, func() error {
			if got := l.logged("n"); got != "run\nrun\n" {
				return fmt.Errorf("printed %q", got)
			}
			return nil
		})
		// A dead supervisor is started again.
		l.killSupervisor()
		f, root = l.files()
		if _, err := root.Lstat("etc"); err != nil {
			l.Error(err)
		}
		if err := errors.Join(root.Close(), f.Close()); err != nil {
			l.Error(err)
		}
	})
}

// What can't take an overlay's writes has none of what a container wrote: to give the files of its image would be a lie.
func TestFilesInMemoryAreGone(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	dir := t.TempDir()
	testhost.Run(t, "mount", "-t", "tmpfs", "memory", dir)
	defer testhost.Run(t, "umount", "-R", dir)
	testhost.Run(t, "sh", "-c", `cd "$0" && mkdir low up work data && mount -t overlay -o lowerdir=low,upperdir=up,workdir=work overlay data`, dir)
	inLab(t, Config{DataDir: filepath.Join(dir, "data/topo")}, func(l *lab) {
		if _, err := l.Files(l.Context(), l.project, "n"); err == nil || !strings.Contains(err.Error(), "n runs no process") {
			l.Errorf("without a process: %v", err)
		}
		l.run(kernel.Process{}, "echo kept > /kept")
		if _, err := l.Files(l.Context(), l.project, "n"); err == nil || !strings.Contains(err.Error(), "in memory") {
			l.Errorf("error %v", err)
		}
	})
}

// A program of `namespaces:` has the host's files, but for those that topo keeps for the node.
func TestFilesOfNamespaces(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	inLab(t, Config{}, func(l *lab) {
		hosts := filepath.Join(l.TempDir(), "hosts")
		testhost.Run(l, "sh", "-c", `echo names > "$0"`, hosts)
		l.start(kernel.Process{Hosts: hosts, Argv: []string{"sleep", "1000"}})
		for _, running := range []bool{true, false} {
			if !running {
				l.do(kernel.ProcessHalt{Project: l.project, Node: "n"})
			}
			f, root := l.files()
			if got, err := root.ReadFile("etc/hosts"); err != nil || string(got) != "names\n" {
				l.Errorf("running %t: /etc/hosts is %q, %v", running, got, err)
			}
			if _, err := root.Stat(strings.TrimPrefix(hosts, "/")); err != nil {
				l.Errorf("running %t: %v", running, err)
			}
			if err := errors.Join(root.Close(), f.Close()); err != nil {
				l.Error(err)
			}
		}
	})
}
