package container

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// libraries finds the absolute paths in what ldd(1) prints.
var libraries = regexp.MustCompile(`/[^ ]+`)

// smallRoot makes a root file system of a few of the host's programs and what they need.
func smallRoot(t testing.TB, dir string) {
	t.Helper()
	for _, program := range []string{"sh", "cat", "ls", "id", "stat", "rm", "touch", "env", "sleep", "printenv", "wc", "test", "grep", "stty", "tail"} {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		testhost.Run(t, "install", "-D", path, filepath.Join(dir, "bin", program))
		for _, lib := range libraries.FindAllString(testhost.Run(t, "ldd", path), -1) {
			testhost.Run(t, "install", "-D", lib, filepath.Join(dir, lib))
		}
	}
	for path, text := range map[string]string{
		"etc/passwd":         "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33:www:/srv/www:/bin/sh\n",
		"etc/group":          "root:x:0:\nwww:x:33:\nlogs:x:44:www\n",
		"etc/issue":          "a small root\n",
		"run/kept/from/root": "kept\n",
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRootfs(t *testing.T) {
	boxes(t, func(l *lab) {
		dir := l.TempDir()
		root := filepath.Join(dir, "root:one,two") // characters that an overlay's options use
		smallRoot(l, root)
		// What is mounted in the folder is part of it.
		if err := os.Mkdir(filepath.Join(root, "mounted"), 0o755); err != nil {
			l.Fatal(err)
		}
		testhost.Run(l, "mount", "-t", "tmpfs", "tmpfs", filepath.Join(root, "mounted"))
		defer testhost.Run(l, "umount", filepath.Join(root, "mounted"))
		if err := os.WriteFile(filepath.Join(root, "mounted/file"), []byte("in the mount\n"), 0o644); err != nil {
			l.Fatal(err)
		}
		link := filepath.Join(dir, "link")
		if err := os.Symlink(root, link); err != nil {
			l.Fatal(err)
		}
		before := testhost.Run(l, "find", root, "-printf", "%P %m %U %G %s %T@\n")
		for _, path := range []string{root, link} {
			got := l.run(kernel.Process{Rootfs: path, User: "www", Init: true}, `
				cat /etc/issue /run/kept/from/root /mounted/file; id; printenv HOME; ls /usr/bin/apt /var/lib/topo; cat /proc/1/comm`)
			want := "a small root\nkept\nin the mount\nuid=33(www) gid=33(www) groups=33(www),44(logs)\n/srv/www\n" +
				"ls: cannot access '/usr/bin/apt': No such file or directory\nls: cannot access '/var/lib/topo': No such file or directory\ntopo-init\n"
			if got != want {
				l.Errorf("%s: got %q\nwant %q", path, got, want)
			}
			if got := l.run(kernel.Process{Rootfs: path}, "echo x > /etc/issue; echo x > /mounted/file; rm -r /run/kept; cat /etc/issue /mounted/file; ls -A /run"); got != "x\nx\n" {
				l.Errorf("%s: writing gave %q", path, got)
			}
		}
		if after := testhost.Run(l, "find", root, "-printf", "%P %m %U %G %s %T@\n"); after != before {
			l.Errorf("the folder was changed:\n%s\nbefore:\n%s", after, before)
		}
		if got := l.run(kernel.Process{Rootfs: root, ReadOnly: true}, "touch /etc/x /mounted/x /run/x"); got !=
			"touch: cannot touch '/etc/x': Read-only file system\ntouch: cannot touch '/mounted/x': Read-only file system\ntouch: cannot touch '/run/x': Read-only file system\n" {
			l.Errorf("read-only: %q", got)
		}
	})
}

func TestMissingFolders(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	absent := filepath.Join(dir, "absent")
	if got := New(Config{}).MissingFolders([]string{dir, file, absent}); !slices.Equal(got, []string{file, absent}) {
		t.Errorf("missing: %q", got)
	}
}
