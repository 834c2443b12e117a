package container

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// firstID is the host's id of a container's root, from the kernel.
func (l *lab) firstID(node string) uint32 {
	l.Helper()
	s := l.state(node)
	for _, file := range []string{"uid_map", "gid_map"} {
		got := strings.Fields(testhost.Run(l, "cat", fmt.Sprintf("/proc/%d/%s", s.PID, file)))
		if want := []string{"0", fmt.Sprint(s.FirstID), "65536"}; !slices.Equal(got, want) {
			l.Errorf("%s of %s is %q, want %q", file, node, got, want)
		}
	}
	return s.FirstID
}

// Inside all is as it would be without a user namespace: who owns what, who one is, what one may write.
func TestPrivateIDs(t *testing.T) {
	boxes(t, func(l *lab) {
		root := l.TempDir()
		smallRoot(l, root)
		if err := os.Chmod(root, 0o751); err != nil {
			l.Fatal(err)
		}
		testhost.Run(l, "chown", "33:44", filepath.Join(root, "etc/issue"))
		hosts := filepath.Join(l.TempDir(), "hosts") // below folders that only root may enter
		if err := os.WriteFile(hosts, []byte("127.0.0.1 localhost\n"), 0o644); err != nil {
			l.Fatal(err)
		}
		if err := os.Chmod(filepath.Dir(hosts), 0o700); err != nil {
			l.Fatal(err)
		}
		before := testhost.Run(l, "find", root, "-printf", "%P %m %U %G %s %T@\n")
		ref := l.registered(v1.Config{}, packed(l, root), scripted(l, "mkdir srv; echo x > srv/file; chown -R 33:33 srv"))
		l.do(kernel.ImagePull{Reference: ref})
		const script = `
			for p in / /etc /bin/sh /etc/issue /etc/hostname /dev /dev/shm /tmp/tmpfs /made/for/this /run; do stat -c '%n %u:%g %a' $p; done
			id; echo x > /etc/new; echo y > /etc/issue; touch /tmp/tmpfs/x /made/for/this/x; stat -c '%u:%g' /etc/new /etc/issue /tmp/tmpfs/x
			cat /etc/hosts > /dev/null && echo hosts; for i in /sys/class/net/*; do [ -L $i ] && echo $i; done; echo out > /dev/stdout`
		want := "/ 0:0 751\n/etc 0:0 755\n/bin/sh 0:0 755\n/etc/issue 33:44 644\n/etc/hostname 0:0 644\n/dev 0:0 755\n/dev/shm 0:0 1777\n" +
			"/tmp/tmpfs 0:0 1777\n/made/for/this 0:0 755\n/run 0:0 755\nuid=0(root) gid=0(root) groups=0(root)\n0:0\n33:44\n0:0\nhosts\n/sys/class/net/lo\nout\n"
		for what, p := range map[string]kernel.Process{"rootfs": {Rootfs: root}, "image": {Image: ref}} {
			p.UsernsMode, p.Dir, p.Tmpfs = kernel.PrivateUserns, "/made/for/this", []kernel.Tmpfs{{Target: "/tmp/tmpfs"}}
			p.Hosts = hosts
			if got := l.run(p, script); got != strings.Replace(want, "751", map[string]string{"rootfs": "751", "image": "755"}[what], 1) {
				l.Errorf("%s: got %q\nwant %q", what, got, want)
			}
			p.User = "www"
			got := l.run(p, "id; echo x > /etc/issue; echo x > /etc/new || echo refused; touch /tmp/tmpfs/x; stat -c %u:%g /tmp/tmpfs/x; echo out > /dev/stdout; cat /proc/1/status > /dev/null && echo status")
			if want := "uid=33(www) gid=33(www) groups=33(www),44(logs)\n"; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "refused\n33:33\nout\nstatus\n") {
				l.Errorf("%s as www: got %q", what, got)
			}
		}
		if after := testhost.Run(l, "find", root, "-printf", "%P %m %U %G %s %T@\n"); after != before {
			l.Errorf("the folder was changed:\n%s\nbefore:\n%s", after, before)
		}
		p := l.complete(kernel.Process{Container: true, Rootfs: root, UsernsMode: kernel.PrivateUserns, User: "65536", Argv: []string{"id"}})
		if err := l.Do(l.Context(), kernel.ProcessStart{Process: p}); err == nil || !strings.Contains(err.Error(), "0 to 65535") {
			l.Errorf("a user beyond the range: %v", err)
		}
	})
}

// A view of the host's root: its files have their owners, and the host's root stays as it is.
func TestPrivateIDsOnHostsRoot(t *testing.T) {
	boxes(t, func(l *lab) {
		null := testhost.Run(l, "stat", "-c", "%u:%g", "/dev/null")
		l.start(kernel.Process{Container: true, UsernsMode: kernel.PrivateUserns, Init: true, Argv: []string{"sleep", "1000"}})
		first := l.firstID("n")
		code, out, stderr := l.exec(ExecRequest{Argv: []string{"sh", "-c", "stat -c '%n %u:%g' / /usr /usr/bin; echo x > /usr/topo-test; stat -c %u:%g /usr/topo-test; chown 5:6 /usr/topo-test; id -un"}})
		if want := "/ 0:0\n/usr 0:0\n/usr/bin 0:0\n0:0\nroot\n"; code != 0 || out != want {
			l.Errorf("exec: %d %q %s, want %q", code, out, stderr, want)
		}
		code, out, stderr = l.exec(ExecRequest{User: "nobody", Argv: []string{"sh", "-c", "id -un; echo x > /usr/topo-test || echo refused; echo hi > /dev/null"}})
		if code != 0 || out != "nobody\nrefused\n" {
			l.Errorf("exec as nobody: %d %q %s", code, out, stderr)
		}
		if exists("/usr/topo-test") {
			l.Error("a file has reached the host")
		}
		// What it wrote has on disk the owner that the host sees in it.
		upper := filepath.Join(l.layout(l.project).root("n"), "upper0/usr/topo-test")
		if got, want := testhost.Run(l, "stat", "-c", "%u:%g", upper), fmt.Sprintf("%d:%d\n", first+5, first+6); got != want {
			l.Errorf("on disk it is %q, want %q", got, want)
		}
		if got := testhost.Run(l, "stat", "-c", "%u:%g", "/dev/null"); got != null {
			l.Errorf("the host's /dev/null belongs to %s, before to %s", got, null)
		}
	})
}

// A volume has the same owners in a container with ids of its own as in one without; so two can share it. What is the host's stays the
// host's: root of the container can't write what root of the host owns.
func TestPrivateIDsAndVolumes(t *testing.T) {
	boxes(t, func(l *lab) {
		target := filepath.Join(l.TempDir(), "seed")
		seed(l.T, target)
		data := l.volume("v")
		host := filepath.Join(l.TempDir(), "host")
		testhost.Run(l, "sh", "-c", `mkdir -m 755 "$0"; cd "$0"; echo root > owned; echo hidden > secret; chmod 600 secret; mkdir -m 1777 open`, host)
		p := kernel.Process{UsernsMode: kernel.PrivateUserns, Mounts: []kernel.Mount{
			onVolume("v", target), {Source: host, Target: "/mnt"}, {Source: filepath.Join(host, "owned"), Target: "/srv/ro", ReadOnly: true},
		}}
		got := l.run(p, "cd "+target+`
			stat -c '%n %u:%g %a' . sub sub/one link; rm two; ln sub/one two
			cat /mnt/owned /srv/ro; cat /mnt/secret || echo refused; echo x > /mnt/owned || echo refused; chown 0 /mnt/owned || echo refused
			touch /mnt/open/mine; stat -c '%u %n' /mnt /mnt/open/mine; chown 33 /mnt/open/mine`)
		for _, must := range []string{". 11:22 1770\nsub 1234:55 2750\nsub/one 0:0 4711\nlink 77:88 777\nroot\nroot\n", "refused\n", "65534 /mnt\n0 /mnt/open/mine\n"} {
			if !strings.Contains(got, must) {
				l.Errorf("got %q\nwhich lacks %q", got, must)
			}
		}
		if n := strings.Count(got, "refused\n"); n != 3 {
			l.Errorf("%d were refused: %q", n, got)
		}
		if got, want := described(l.T, data), described(l.T, target); got != want {
			l.Errorf("the volume has:\n%s\nthe root:\n%s", got, want)
		}
		first := l.state("n").FirstID
		if got, want := testhost.Run(l, "stat", "-c", "%u", filepath.Join(host, "open/mine")), fmt.Sprintln(first+33); got != want {
			l.Errorf("what it made in the host's folder is of %q, want %q", got, want)
		}
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		p.UsernsMode = ""
		if got := l.run(p, "stat -c '%u:%g' "+target+"/sub; touch "+target+"/sub/two"); got != "1234:55\n" {
			l.Errorf("in a container without: %q", got)
		}
		l.drop("v")

		// A folder that is made for it.
		made := filepath.Join(host, "made")
		if got := l.run(kernel.Process{UsernsMode: kernel.PrivateUserns, Mounts: []kernel.Mount{{Source: made, Target: "/mnt", CreateSource: true}}}, "touch /mnt/x; stat -c %u /mnt /mnt/x"); got != "0\n0\n" {
			l.Errorf("in a folder that was made for it: %q", got)
		}

		// Part of one.
		data = l.volume("w")
		testhost.Run(l, "install", "-D", "-o", "33", "/etc/hostname", data+"/a/b/file")
		m := onVolume("w", "/mnt")
		m.Subpath = "a/b"
		if got := l.run(kernel.Process{UsernsMode: kernel.PrivateUserns, Mounts: []kernel.Mount{m}}, "stat -c '%u' /mnt/file; touch /mnt/mine"); got != "33\n" {
			l.Errorf("subpath: %q", got)
		}
		if got := testhost.Run(l, "stat", "-c", "%u", data+"/a/b/mine"); got != "0\n" {
			l.Errorf("on disk it is of %q", got)
		}
		l.drop("w")
	})
}

// Each has ids of its own, and keeps them as long as it has files; nobody else's are taken.
func TestRangesOfIDs(t *testing.T) {
	boxes(t, func(l *lab) {
		ids := map[uint32]string{}
		for _, node := range []string{"a", "b", "c"} {
			l.start(kernel.Process{Node: node, Container: true, UsernsMode: kernel.PrivateUserns, Init: true, Argv: []string{"sh", "-c", "[ -e /usr/mine ] && stat -c %u /usr/mine; touch /usr/mine; exec sleep 1000"}})
			first := l.firstID(node)
			if first < firstIDs || first > lastIDs || first%idCount != 0 || ids[first] != "" {
				l.Errorf("%s has %d, the others %v", node, first, ids)
			}
			ids[first] = node
		}
		before := l.state("a").FirstID
		l.do(kernel.ProcessHalt{Project: l.project, Node: "a", Grace: time.Second})
		l.do(kernel.ProcessResume{Project: l.project, Node: "a"})
		if now := l.firstID("a"); now != before {
			l.Errorf("resumed, it has %d instead of %d", now, before)
		}
		l.do(kernel.ProcessStop{Project: l.project, Node: "a"})
		l.start(kernel.Process{Node: "a", Container: true, UsernsMode: kernel.PrivateUserns, Init: true, Argv: []string{"sleep", "1000"}})
		if now := l.firstID("a"); now != before {
			l.Errorf("made anew, it has %d instead of %d", now, before)
		}
		l.do(kernel.ProcessStop{Project: l.project, Node: "a"})
		subuid := fmt.Sprintf("somebody:%d:10\n", before+idCount-5)
		if err := os.WriteFile("/etc/subgid", []byte(subuid), 0o644); err != nil {
			l.Fatal(err)
		}
		l.start(kernel.Process{Node: "a", Container: true, UsernsMode: kernel.PrivateUserns, Init: true, Argv: []string{"sleep", "1000"}})
		if now := l.firstID("a"); now == before || now == 0 {
			l.Errorf("it has %d, part of which is somebody's", now)
		}
		for _, node := range []string{"a", "b", "c"} {
			l.do(kernel.ProcessStop{Project: l.project, Node: node})
		}
		if exists(l.layout(l.project).stagedRoot()) {
			l.Error("the folder of their roots is left")
		}
	})
}

func TestOverlapOfIDs(t *testing.T) {
	for _, c := range []struct {
		sub  user.SubID
		want bool
	}{
		{user.SubID{SubID: firstIDs - 10, Count: 10}, false},
		{user.SubID{SubID: firstIDs - 10, Count: 11}, true},
		{user.SubID{SubID: firstIDs + idCount, Count: 10}, false},
		{user.SubID{SubID: firstIDs + idCount - 1, Count: 1}, true},
		{user.SubID{SubID: 1, Count: 1 << 32}, true},
	} {
		if got := overlap(firstIDs, c.sub); got != c.want {
			t.Errorf("%+v: %t", c.sub, got)
		}
	}
}

func TestMapThatCoversTheRanges(t *testing.T) {
	for text, want := range map[string]bool{
		"         0          0 4294967295\n":                       true,
		"         0     100000      65536\n":                       false,
		"0 1000 1\n1 100000 65536\n":                               false,
		fmt.Sprintf("0 0 %d\n", uint64(lastIDs)+1):                 true,
		fmt.Sprintf("0 0 %d\n", uint64(lastIDs)):                   false,
		fmt.Sprintf("0 5 10\n10 10 %d\n", uint64(lastIDs)):         true,
		fmt.Sprintf("%d 10 %d\n", firstIDs+1, uint64(lastIDs)*2-1): false,
	} {
		if got := covers(text); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
	for release, want := range map[string]bool{"5.18.0": false, "5.19.0-rc1": true, "6.1.0-18-amd64": true, "4.20": false, "?": false} {
		if got := atLeast(release, 5, 19); got != want {
			t.Errorf("%s: %t", release, got)
		}
	}
	if why := userNamespaces(); why != "" {
		t.Errorf("here: %s", why)
	}
}

// What can't be mapped is known before anything is started.
func TestUnmappable(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	e := New(Config{DataDir: "/proc/topo/data"})
	before := testhost.Run(t, "cat", "/proc/self/mountinfo")
	got, err := e.Unmappable([]string{"/run", "/run/absent", "/proc", kernel.DataFolder})
	if err != nil {
		t.Fatal(err)
	}
	for folder, can := range map[string]bool{"/run": true, "/run/absent": true, "/proc": false, kernel.DataFolder: false} {
		if (got[folder] == "") != can {
			t.Errorf("%s: %q", folder, got[folder])
		}
	}
	if after := testhost.Run(t, "cat", "/proc/self/mountinfo"); after != before {
		t.Errorf("mounts have changed:\n%s", after)
	}
	if got, err := e.Unmappable(nil); got != nil || err != nil {
		t.Errorf("nothing: %v, %v", got, err)
	}
}

// What the supervisor does, it does for them as well: health checks, restarts, and finding them again after its own death.
func TestPrivateIDsAreWatched(t *testing.T) {
	boxes(t, func(l *lab) {
		l.start(kernel.Process{
			Container: true, UsernsMode: kernel.PrivateUserns, User: "nobody", Restart: kernel.Restart{Policy: kernel.RestartAlways},
			Argv:   []string{"sh", "-c", "echo runs; exec sleep 1000"},
			Health: &kernel.Healthcheck{Argv: []string{"sh", "-c", "test $(id -un) = nobody && test ! -w /usr"}, Interval: 10 * time.Millisecond, Timeout: 10 * time.Second, StartInterval: 10 * time.Millisecond, Retries: 1},
		})
		l.do(kernel.ProcessWait{Project: l.project, Node: "n", Condition: kernel.ServiceHealthy})
		first, pid := l.firstID("n"), l.state("n").PID
		l.killSupervisor()
		l.do(kernel.SupervisorStart{Project: l.project})
		if code, out, stderr := l.exec(ExecRequest{User: "root", Argv: []string{"sh", "-c", "id -u; kill -KILL -1; kill -KILL 1"}}); code == 0 && out != "0\n" {
			l.Errorf("exec: %d %q %s", code, out, stderr)
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			l.Fatal(err)
		}
		l.await("started again", func(s kernel.ProcessState) bool { return s.PID != 0 && s.PID != pid })
		if now := l.firstID("n"); now != first {
			l.Errorf("started again, it has %d instead of %d", now, first)
		}
		l.do(kernel.ProcessWait{Project: l.project, Node: "n", Condition: kernel.ServiceHealthy})
	})
}

// The host's network, and what the host mounts later.
func TestPrivateIDsBesideTheHost(t *testing.T) {
	boxes(t, func(l *lab) {
		shared := l.TempDir()
		testhost.Run(l, "mount", "-t", "tmpfs", "tmpfs", shared)
		defer testhost.Run(l, "umount", shared)
		testhost.Run(l, "mount", "--make-shared", shared)
		testhost.Run(l, "mkdir", shared+"/later")
		p := l.complete(kernel.Process{
			Container: true, UsernsMode: kernel.PrivateUserns, Init: true, Argv: []string{"sleep", "1000"},
			Mounts: []kernel.Mount{{Source: shared, Target: "/mnt", Propagation: "rslave"}},
		})
		p.Netns = ""
		l.do(kernel.ProcessStart{Process: p})
		testhost.Run(l, "mount", "-t", "tmpfs", "tmpfs", shared+"/later")
		defer testhost.Run(l, "umount", shared+"/later")
		testhost.Run(l, "touch", shared+"/later/file")
		code, out, stderr := l.exec(ExecRequest{Argv: []string{"sh", "-c", "ls /mnt/later; readlink /proc/self/ns/net; ip link set lo down || echo refused"}})
		want := "file\n" + testhost.Run(l, "readlink", "/proc/self/ns/net") + "refused\n"
		if code != 0 || out != want {
			l.Errorf("%d %q %s, want %q", code, out, stderr, want)
		}
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
	})
}
