package container

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

func TestRootIsPrivate(t *testing.T) {
	boxes(t, func(l *lab) {
		// In the machine of a test, /etc and /var/lib are mounts of their own.
		files := []string{"/etc/topo-test", "/var/lib/topo-test", "/usr/topo-test", "/topo-test", "/tmp/topo-test", "/run/topo-test", "/root/topo-test"}
		if err := os.WriteFile("/run/secret.sock", []byte("the host's"), 0o666); err != nil {
			l.Fatal(err)
		}
		defer os.Remove("/run/secret.sock")
		got := l.run(kernel.Process{}, `
			for f in `+strings.Join(files, " ")+`; do echo mine > $f && cat $f; done
			rm -rf /etc/passwd /usr/share/doc && echo removed
			ls /run /run/topo /var/lib/topo
			stat -c '%a %n' / /tmp /etc`)
		want := strings.Repeat("mine\n", len(files)) + "removed\n" +
			"ls: cannot access '/run/topo': No such file or directory\n/run:\ntopo-test\n\n/var/lib/topo:\n" +
			"755 /\n1777 /tmp\n755 /etc\n"
		if got != want {
			l.Errorf("got %q\nwant %q", got, want)
		}
		for _, f := range files {
			if _, err := os.Lstat(f); err == nil {
				l.Errorf("%s has reached the host", f)
				os.Remove(f)
			}
		}
		if _, err := os.Stat("/etc/passwd"); err != nil {
			l.Error(err)
		}
		// Another start has a new root.
		if got := l.run(kernel.Process{}, "cat /etc/topo-test; id -un"); got != "cat: /etc/topo-test: No such file or directory\nroot\n" {
			l.Errorf("the next one sees %q", got)
		}
		// The container changes nothing that the host can see, but the host's changes arrive.
		l.start(kernel.Process{Container: true, Argv: []string{"sleep", "1000"}})
		if out := testhost.Run(l, "cat", "/proc/mounts"); strings.Contains(out, l.project) {
			l.Errorf("the host sees mounts of the container: %s", out)
		}
	})
}

func TestOneNodeCantSeeAnother(t *testing.T) {
	boxes(t, func(l *lab) {
		l.start(kernel.Process{Node: "other", Container: true, Argv: []string{"sh", "-c", "echo secret > /etc/secret; sleep 1000"}, Env: []string{"PASSWORD=x"}})
		if got := l.run(kernel.Process{}, "cat /etc/secret; ls -A /var/lib/topo /run; ps -e -o comm= | grep -c sleep"); got !=
			"cat: /etc/secret: No such file or directory\n/run:\n\n/var/lib/topo:\n0\n" {
			l.Errorf("got %q", got)
		}
	})
}

func TestReadOnlyRoot(t *testing.T) {
	boxes(t, func(l *lab) {
		got := l.run(kernel.Process{ReadOnly: true, Dir: "/made/for/this"}, "pwd; touch /etc/x || echo refused; touch /run/x && echo run is writable")
		if want := "/made/for/this\ntouch: cannot touch '/etc/x': Read-only file system\nrefused\nrun is writable\n"; got != want {
			l.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestMounts(t *testing.T) {
	boxes(t, func(l *lab) {
		dir := l.TempDir()
		for name, text := range map[string]string{"ro/file": "kept\n", "rw/file": "before\n", "single": "one file\n"} {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				l.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				l.Fatal(err)
			}
		}
		mounts := []kernel.Mount{
			{Source: dir + "/ro", Target: "/srv/ro", ReadOnly: true},
			{Source: dir + "/rw", Target: "/new/rw"},
			{Source: dir + "/single", Target: "/etc/single", ReadOnly: true},
			{Source: dir + "/made/here", Target: "/made", CreateSource: true},
		}
		got := l.run(kernel.Process{Mounts: mounts},
			"cat /srv/ro/file /etc/single; echo no > /srv/ro/file; echo after > /new/rw/file; touch /made/x && echo done")
		want := "kept\none file\nsh: 4: cannot create /srv/ro/file: Read-only file system\ndone\n"
		if normal := strings.Replace(got, "sh: 2:", "sh: 4:", 1); normal != want {
			l.Errorf("got %q, want %q", got, want)
		}
		if data, _ := os.ReadFile(dir + "/rw/file"); string(data) != "after\n" {
			l.Errorf("the volume has %q", data)
		}
		if _, err := os.Stat(dir + "/made/here/x"); err != nil {
			l.Error(err)
		}
		p := l.complete(kernel.Process{Container: true, Argv: []string{"true"}, Mounts: []kernel.Mount{{Source: dir + "/absent", Target: "/x"}}})
		if err := l.Do(l.Context(), kernel.ProcessStart{Process: p}); err == nil || !strings.Contains(err.Error(), dir+"/absent") {
			l.Errorf("a missing source: %v", err)
		}
	})
}

// A mount that the container makes in a shared volume reaches the host, one that the host makes in
// a slave one reaches the container.
func TestPropagation(t *testing.T) {
	boxes(t, func(l *lab) {
		dir := l.TempDir()
		testhost.Run(l, "mount", "-t", "tmpfs", "shared", dir)
		testhost.Run(l, "mount", "--make-shared", dir)
		defer testhost.Run(l, "umount", "-R", dir)
		for _, d := range []string{"/up", "/down"} {
			if err := os.Mkdir(dir+d, 0o755); err != nil {
				l.Fatal(err)
			}
		}
		l.start(kernel.Process{
			Container: true, Privileged: true, Argv: []string{"sh", "-c", "mount -t tmpfs up /v/up && touch /v/up/file && echo ready; while ! test -e /w/down/file; do sleep 0.01; done; echo seen"},
			Mounts: []kernel.Mount{{Source: dir, Target: "/v", Propagation: "rshared"}, {Source: dir, Target: "/w", Propagation: "rslave"}},
		})
		l.awaitLog("n", "ready\n")
		if _, err := os.Stat(dir + "/up/file"); err != nil {
			l.Errorf("the container's mount: %v", err)
		}
		testhost.Run(l, "mount", "-t", "tmpfs", "down", dir+"/down")
		if err := os.WriteFile(dir+"/down/file", nil, 0o644); err != nil {
			l.Fatal(err)
		}
		l.awaitLog("n", "seen\n")
	})
}

// That there was no room for what is written to a mount below the root made it read-only, and nobody was told.
func TestNoFolderForALayer(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	source := t.TempDir()
	v := rootView{source: source, target: t.TempDir(), store: filepath.Join(t.TempDir(), "file")}
	below, at := filepath.Join(source, "below"), filepath.Join(v.target, "below")
	err := errors.Join(os.WriteFile(v.store, nil, 0o600), os.Mkdir(at, 0o755), os.Mkdir(below, 0o755), os.WriteFile(filepath.Join(below, "f"), nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.layer(below, "1"); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("a layer whose folders can't be made: %v", err)
	}
	if entries, err := os.ReadDir(at); err != nil || len(entries) > 0 {
		t.Errorf("it is shown: %v, %v", entries, err)
	}
}
