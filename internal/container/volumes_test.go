package container

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// volume makes a volume that is gone with the test.
func (l *lab) volume(name string) string {
	l.Helper()
	l.do(kernel.VolumeCreate{Name: name, Project: l.project})
	return l.volumes().path(name, "data")
}

// drop ends the process and removes volumes.
func (l *lab) drop(names ...string) {
	l.Helper()
	l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
	for _, name := range names {
		l.do(kernel.VolumeDelete{Name: name, Project: l.project})
	}
}

func onVolume(name, target string) kernel.Mount {
	return kernel.Mount{Kind: kernel.VolumeMount, Source: name, Target: target}
}

// seed makes a tree of everything that a file system can hold.
func seed(t *testing.T, dir string) {
	t.Helper()
	testhost.Run(t, "sh", "-c", `set -e; mkdir -p "$0"; cd "$0"
		mkdir -m 2750 sub; echo one > sub/one; ln sub/one two; ln -s sub/one link; ln -s /no/such/place broken
		chmod 4711 sub/one; chown 1234:55 sub; chown -h 77:88 link; mkfifo pipe; chmod 600 pipe
		truncate -s 1M holes; touch -d '2001-02-03 04:05:06 UTC' sub/one sub; chmod 1770 .; chown 11:22 .`, dir)
	if err := unix.Setxattr(filepath.Join(dir, "holes"), "trusted.colour", []byte("blue"), 0); err != nil {
		t.Fatal(err)
	}
}

// described is all about a tree but the times of the folder itself.
func described(t *testing.T, dir string) string {
	t.Helper()
	out := testhost.Run(t, "sh", "-c", `cd "$0"; find . -type d -printf '%p %y %#m %U:%G\n' -o -printf '%p %y %#m %U:%G %s %n %l\n' | sort; cat two; find . -name one -printf '%T@\n'`, dir)
	if same := testhost.Run(t, "sh", "-c", `cd "$0"; stat -c %i sub/one two | uniq | wc -l`, dir); same != "1\n" {
		out += "the hard link is a copy\n"
	}
	value := make([]byte, 16)
	n, err := unix.Getxattr(filepath.Join(dir, "holes"), "trusted.colour", value)
	return out + fmt.Sprintln(string(value[:max(n, 0)]), err)
}

func TestVolumeIsFilledFromTheRoot(t *testing.T) {
	boxes(t, func(l *lab) {
		target := filepath.Join(l.TempDir(), "seed")
		seed(l.T, target)
		data := l.volume("v")
		list := l.run(kernel.Process{Mounts: []kernel.Mount{onVolume("v", target)}}, "cd "+target+" && ls && echo changed > new && rm two")
		if want := "broken\nholes\nlink\npipe\nsub\ntwo\n"; list != want {
			l.Errorf("in the container: %q, want %q", list, want)
		}
		testhost.Run(l, "sh", "-c", `cd "$0" && rm new && ln sub/one two`, data)
		if got, want := described(l.T, data), described(l.T, target); got != want {
			l.Errorf("the volume has:\n%s\nthe root:\n%s", got, want)
		}
		// It is filled once: what is deleted stays so.
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		testhost.Run(l, "sh", "-c", `rm -r "$0"/sub`, data)
		if list := l.run(kernel.Process{Mounts: []kernel.Mount{onVolume("v", target)}}, "ls "+target); strings.Contains(list, "sub") {
			l.Errorf("it was filled again: %q", list)
		}
		l.drop("v")

		l.volume("w")
		m := onVolume("w", target)
		m.NoCopy = true
		if list := l.run(kernel.Process{Mounts: []kernel.Mount{m}}, "ls "+target); list != "" {
			l.Errorf("nocopy: %q", list)
		}
		l.drop("w")
		// What a container has at its /run is its own, not the host's.
		l.volume("x")
		if list := l.run(kernel.Process{Mounts: []kernel.Mount{onVolume("x", "/run/netns")}}, "ls /run/netns"); list != "" {
			l.Errorf("in /run: %q", list)
		}
		l.drop("x")
		// A link leads there, too.
		link := filepath.Join(l.TempDir(), "link")
		testhost.Run(l, "ln", "-s", "/run", link)
		data = l.volume("y")
		l.run(kernel.Process{Mounts: []kernel.Mount{onVolume("y", link)}}, "true")
		if found := testhost.Run(l, "ls", "-A", data); found != "" {
			l.Errorf("by a link to /run: %q", found)
		}
		l.drop("y")
	})
}

// A volume over topo's own folder would be filled with all volumes, and with itself.
func TestVolumeOverTheVolumes(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	lib := t.TempDir()
	inLab(t, Config{DataDir: filepath.Join(lib, "topo")}, func(l *lab) {
		l.volume("v")
		p := l.complete(kernel.Process{Container: true, Argv: []string{"sleep", "60"}, Mounts: []kernel.Mount{onVolume("v", lib)}})
		if err := l.Do(l.Context(), kernel.ProcessStart{Process: p}); err == nil || !strings.Contains(err.Error(), "nocopy") {
			l.Errorf("starting it: %v", err)
		}
		p.Mounts[0].NoCopy = true
		l.do(kernel.ProcessStart{Process: p})
		l.drop("v")
	})
}

func TestMountsOfAllKinds(t *testing.T) {
	boxes(t, func(l *lab) {
		data := l.volume("v")
		testhost.Run(l, "sh", "-c", `cd "$0"; mkdir -p a/b; echo deep > a/b/file; ln -s /etc out; ln -s a in`, data)
		readOnly, part, file, through := onVolume("v", "/mnt/ro"), onVolume("v", "/mnt/part"), onVolume("v", "/mnt/file"), onVolume("v", "/mnt/in")
		readOnly.ReadOnly = true
		part.Subpath, file.Subpath, through.Subpath = "a/b", "a/b/file", "in/b"
		memory := kernel.Mount{Kind: kernel.TmpfsMount, Target: "/mnt/mem", Size: 1 << 20, Mode: 0o1750}
		got := l.run(kernel.Process{ReadOnly: true, Mounts: []kernel.Mount{
			onVolume("v", "/mnt/mem/below"), // the file's order is not that of mounting
			memory, readOnly, part, file, through, onVolume("v", "/mnt/v"),
		}}, `touch /mnt/ro/x || true; cat /mnt/part/file /mnt/file /mnt/in/file /mnt/mem/below/a/b/file; touch /mnt/v/x /mnt/part/y && ls /mnt/ro
			stat -f -c '%T %S*%b' /mnt/mem; stat -c %a /mnt/mem; grep -o ' /mnt/mem .*noexec' /proc/mounts | wc -l; touch /x || true`)
		for _, want := range []string{
			"touch: cannot touch '/mnt/ro/x': Read-only file system\n", strings.Repeat("deep\n", 4), "a\nin\nout\nx\n", "tmpfs 4096*256\n1750\n1\n",
			"touch: cannot touch '/x': Read-only file system\n",
		} {
			if !strings.Contains(got, want) {
				l.Errorf("got %q, which lacks %q", got, want)
			}
		}
		for subpath, want := range map[string]string{"missing": "no such file", "out/passwd": "no such file"} {
			m := onVolume("v", "/mnt")
			m.Subpath = subpath
			p := l.complete(kernel.Process{Container: true, Argv: []string{"true"}, Mounts: []kernel.Mount{m}})
			if err := l.Do(l.Context(), kernel.ProcessStart{Process: p}); err == nil || !strings.Contains(err.Error(), want) {
				l.Errorf("subpath %s: %v", subpath, err)
			}
		}
		p := l.complete(kernel.Process{Container: true, Argv: []string{"true"}, Mounts: []kernel.Mount{onVolume("none", "/mnt")}})
		if err := l.Do(l.Context(), kernel.ProcessStart{Process: p}); err == nil || !strings.Contains(err.Error(), "no such volume") {
			l.Errorf("a volume that is not there: %v", err)
		}
		l.drop("v")
	})
}

func TestUsedVolumeIsNotRemoved(t *testing.T) {
	boxes(t, func(l *lab) {
		l.volume("v")
		l.run(kernel.Process{Mounts: []kernel.Mount{onVolume("v", "/mnt")}}, "exit 1")
		volumes, err := l.Volumes(l.Context())
		if err != nil || len(volumes) != 1 || len(volumes[0].Users) != 1 || volumes[0].Users[0] != (kernel.VolumeUser{Project: l.project, Node: "n"}) {
			l.Errorf("%+v, %v", volumes, err)
		}
		if err := l.Do(l.Context(), kernel.VolumeDelete{Name: "v", Project: l.project}); !errors.Is(err, unix.EBUSY) {
			l.Errorf("removing it: %v", err)
		}
		l.drop("v")
	})
}

// What a crash leaves of a volume that is being made or removed is neither seen nor kept.
func TestHalfAVolume(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	e := New(Config{})
	s := e.volumes()
	testhost.Run(t, "mkdir", "-p", s.path(".new", "data"), s.path(".gone", "data", "much"), s.path("foreign"))
	volumes, err := e.Volumes(t.Context())
	if err != nil || len(volumes) != 1 || volumes[0].Name != "foreign" || volumes[0].Project != "" {
		t.Errorf("%+v, %v", volumes, err)
	}
	if err := e.Do(t.Context(), kernel.VolumeCreate{Name: "v", Project: "lab"}); err != nil {
		t.Error(err)
	}
	if err := e.Do(t.Context(), kernel.VolumeDelete{Name: "foreign", Project: "lab"}); !errors.Is(err, unix.EPERM) {
		t.Errorf("removing what is not topo's: %v", err)
	}
	testhost.Run(t, "mkdir", "-p", s.path(".gone", "data", "much"))
	if err := e.Do(t.Context(), kernel.VolumeDelete{Name: "v", Project: "lab"}); err != nil {
		t.Error(err)
	}
	if left := testhost.Run(t, "ls", "-A", s.path()); left != "foreign\n" {
		t.Errorf("left behind: %q", left)
	}
}

// fillVariable has this test binary fill a volume, to be killed while it does: from which folder.
const fillVariable = "TOPO_TEST_FILL"

func folder(path string) func() (*os.File, error) {
	return func() (*os.File, error) { return os.Open(path) }
}

func TestFillToBeKilled(t *testing.T) {
	root := os.Getenv(fillVariable)
	if root == "" {
		return // this is no such process
	}
	if err := New(Config{}).volumes().ready("v", folder(root), nil); err != nil {
		t.Fatal(err)
	}
}

func TestKilledWhileFilling(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	root := filepath.Join(t.TempDir(), "seed")
	seed(t, root)
	testhost.Run(t, "sh", "-c", `cd "$0"; for i in $(seq 300); do echo $i > f$i; done`, root)
	want := described(t, root)
	e := New(Config{})
	s := e.volumes()
	if err := e.Do(t.Context(), kernel.VolumeCreate{Name: "v", Project: "lab"}); err != nil {
		t.Fatal(err)
	}
	// Killed when there are so many files in a folder: the first is where it copies to.
	killed := 0
	for _, at := range []struct {
		folder string
		files  int
	}{{"copy", 3}, {"copy", 200}, {"data", 1}, {"data", 150}} {
		testhost.Run(t, "sh", "-c", `find "$0" -mindepth 1 -delete`, s.path("v", "data"))
		cmd := exec.Command(os.Args[0], "-test.run=^TestFillToBeKilled$")
		cmd.Env = append(os.Environ(), fillVariable+"="+root)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for done := false; !done; {
			entries, _ := os.ReadDir(s.path("v", at.folder))
			if len(entries) >= at.files {
				_ = cmd.Process.Kill()
				if err := <-ended; err != nil {
					killed++
				}
				done = true
			}
			select {
			case <-ended:
				done = true
			default:
			}
		}
		// Half a copy is never in the volume; once the copy is complete, the next start completes the volume.
		if there, _ := os.ReadDir(s.path("v", "copy")); len(there) > 0 {
			if in, _ := os.ReadDir(s.path("v", "data")); len(in) > 0 {
				t.Errorf("killed at %v: the volume has %d files of a copy that was not complete", at, len(in))
			}
		}
		if err := s.ready("v", folder(root), nil); err != nil {
			t.Fatal(err)
		}
		if got := described(t, s.path("v", "data")); got != want {
			t.Errorf("killed at %v: the volume has:\n%s\nwant:\n%s", at, got, want)
		}
		if left := testhost.Run(t, "ls", "-A", s.path("v")); left != "data\nvolume.json\n" {
			t.Errorf("killed at %v: left behind: %q", at, left)
		}
	}
	if killed == 0 {
		t.Error("it was never killed in time: the test shows nothing")
	}
	if err := e.Do(t.Context(), kernel.VolumeDelete{Name: "v", Project: "lab"}); err != nil {
		t.Error(err)
	}
}

// What a container has written into the empty volume while it is being filled stays.
func TestFillingReplacesNothing(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	e := New(Config{})
	s := e.volumes()
	if err := e.Do(t.Context(), kernel.VolumeCreate{Name: "v", Project: "lab"}); err != nil {
		t.Fatal(err)
	}
	testhost.Run(t, "sh", "-c", `cd "$0"; mkdir -p fill/dir; echo theirs > fill/file; echo more > fill/other; echo ours > data/file; mkdir data/dir; echo x > data/dir/x`, s.path("v"))
	if err := s.ready("v", nothing, nil); err != nil {
		t.Fatal(err)
	}
	if got := testhost.Run(t, "sh", "-c", `cd "$0"; cat file other dir/x; ls ..`, s.path("v", "data")); got != "ours\nmore\nx\ndata\nvolume.json\n" {
		t.Errorf("got %q", got)
	}
}

// Two file systems give their files the same numbers: what is one file in each must not become one in the volume.
func TestFillingFromSeveralFileSystems(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	root := t.TempDir()
	testhost.Run(t, "sh", "-c", `set -e; cd "$0"; mount -t tmpfs a .; cd "$0"; mkdir sub; mount -t tmpfs b sub
		echo outer > one; ln one two; mkdir sub/x; echo inner > sub/one; ln sub/one sub/two; : > file; mount --bind sub/one file`, root)
	defer testhost.Run(t, "umount", "-R", root)
	if numbers := testhost.Run(t, "sh", "-c", `cd "$0"; stat -c %i one sub/one | uniq | wc -l`, root); numbers != "1\n" {
		t.Fatalf("the files have different numbers: the test shows nothing")
	}
	e := New(Config{})
	s := e.volumes()
	if err := e.Do(t.Context(), kernel.VolumeCreate{Name: "v", Project: "lab"}); err != nil {
		t.Fatal(err)
	}
	if err := s.ready("v", folder(root), nil); err != nil {
		t.Fatal(err)
	}
	got := testhost.Run(t, "sh", "-c", `cd "$0"; cat one two sub/one sub/two file; test one -ef two && test sub/one -ef sub/two && echo linked`, s.path("v", "data"))
	if want := "outer\nouter\ninner\ninner\ninner\nlinked\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
