package container

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// What comes with a node's image is handed on as what its file states: filled by its owner, at the same place, through several
// nodes, read-only where that is said; and in use as long as somebody has it.
func TestVolumesOfAnImageAreHandedOn(t *testing.T) {
	boxes(t, func(l *lab) {
		base := l.TempDir()
		smallRoot(l, base)
		owner := l.registered(v1.Config{Volumes: map[string]struct{}{"/srv/data": {}, "/srv/stated": {}}},
			packed(l, base), scripted(l, "mkdir -p srv/data srv/stated; echo owner > srv/data/file; chown 7:8 srv/data"))
		heir := l.registered(v1.Config{Volumes: map[string]struct{}{"/srv/data": {}, "/srv/own": {}}},
			packed(l, base), scripted(l, "mkdir -p srv/data srv/own; echo heir | tee srv/data/file > srv/own/file"))
		for _, ref := range []string{owner, heir} {
			l.do(kernel.ImagePull{Reference: ref})
		}
		l.start(kernel.Process{Node: "owner", Container: true, Image: owner, Argv: []string{"sleep", "1000"}})
		from := func(node string, readOnly bool) []kernel.VolumesFrom {
			return []kernel.VolumesFrom{{Node: node, ReadOnly: readOnly}}
		}
		stated := kernel.Mount{Kind: kernel.TmpfsMount, Target: "/srv/stated"}
		l.start(kernel.Process{Node: "heir", Container: true, Image: heir, VolumesFrom: from("owner", false), Mounts: []kernel.Mount{stated}, Argv: []string{"sleep", "1000"}})
		l.start(kernel.Process{Node: "reader", Container: true, Image: owner, VolumesFrom: from("heir", true), Argv: []string{"sleep", "1000"}})

		show := "cat /srv/*/file; stat -c %u:%g /srv/data; echo more >> /srv/data/file"
		_, out, _ := l.exec(ExecRequest{Node: "heir", Argv: []string{"sh", "-c", show}})
		if want := "owner\nheir\n7:8\n"; out != want {
			l.Errorf("heir has %q, want %q", out, want)
		}
		_, out, stderr := l.exec(ExecRequest{Node: "reader", Argv: []string{"sh", "-c", show}})
		if want := "owner\nmore\nheir\n7:8\n"; out != want || !strings.Contains(stderr, "Read-only") {
			l.Errorf("reader has %q, want %q; %q", out, want, stderr)
		}
		want := map[string]string{"owner /srv/data": "heir owner reader", "owner /srv/stated": "owner", "heir /srv/own": "heir reader", "reader /srv/stated": "reader"}
		volumes, err := l.Volumes(l.Context())
		if err != nil {
			l.Fatal(err)
		}
		for _, v := range volumes {
			var users []string
			for _, u := range v.Users {
				users = append(users, u.Node)
			}
			if got := strings.Join(users, " "); got != want[v.Node+" "+v.Target] {
				l.Errorf("%s of %s is used by %q", v.Target, v.Node, got)
			}
			delete(want, v.Node+" "+v.Target)
		}
		if len(want) > 0 {
			l.Errorf("there is no %v", want)
		}
		if ids := l.state("reader").Process.VolumesFrom[0].Images; len(ids) != 2 || ids[0] != l.state("heir").Process.ImageID || ids[1] != l.state("owner").Process.ImageID {
			l.Errorf("the images behind it: %q", ids)
		}

		// Another run, and another supervisor, find them where they were.
		l.do(kernel.ProcessStop{Project: l.project, Node: "owner"})
		name := kernel.OwnVolumeName(l.project, "owner", "/srv/data")
		if err := l.Do(l.Context(), kernel.VolumeDelete{Name: name, Project: l.project}); !errors.Is(err, unix.EBUSY) {
			l.Errorf("removing what two others have: %v", err)
		}
		l.do(kernel.ProcessHalt{Project: l.project, Node: "reader"})
		l.killSupervisor()
		l.do(kernel.ProcessResume{Project: l.project, Node: "reader"})
		if _, out, _ := l.exec(ExecRequest{Node: "reader", Argv: []string{"sh", "-c", show}}); out != "owner\nmore\nheir\n7:8\n" {
			l.Errorf("in another run, reader has %q", out)
		}
		for _, node := range []string{"heir", "reader"} {
			l.do(kernel.ProcessStop{Project: l.project, Node: node})
		}
		for _, v := range volumes {
			l.do(kernel.VolumeDelete{Name: v.Name, Project: l.project})
		}
	})
}

// Of two nodes that hand on the same target the later goes first, whether its file or its image has it; what the container
// states goes before both.
func TestHandedOnOrder(t *testing.T) {
	t.Parallel()
	l := layout{runDir: t.TempDir(), dataDir: t.TempDir(), project: "lab"}
	for node, target := range map[string]string{"a": "/a", "b": "/b"} {
		if err := l.makeNode(node); err != nil {
			t.Fatal(err)
		}
		for path, v := range map[string]any{
			l.processFile(node): kernel.Process{Project: "lab", Node: node, Image: node, ImageID: "sha256:" + node},
			l.stateFile(node):   record{Added: []kernel.Mount{onVolume(node, "/both"), onVolume(node, target), onVolume(node, "/tmp")}},
		} {
			if err := writeJSON(path, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	stated := func(m kernel.Mount, from string) kernel.Mount {
		m.From = from
		return m
	}
	p := kernel.Process{
		Project: "lab", Node: "n", VolumesFrom: []kernel.VolumesFrom{{Node: "a"}, {Node: "b", ReadOnly: true}, {Node: "absent"}},
		Mounts: []kernel.Mount{stated(onVolume("own", "/a"), ""), stated(onVolume("of a", "/b"), "a")},
		Tmpfs:  []kernel.Tmpfs{{Target: "/tmp/"}},
	}
	added, err := l.added(&p, &kernel.ImageConfig{Volumes: []string{"/both", "/mine"}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range added {
		got = append(got, fmt.Sprintf("%s %s ro=%t nocopy=%t %s", m.Source, m.Target, m.ReadOnly, m.NoCopy, m.From))
	}
	want := "b /both ro=true nocopy=true b\nb /b ro=true nocopy=true b\n" + kernel.OwnVolumeName("lab", "n", "/mine") + " /mine ro=false nocopy=false "
	if strings.Join(got, "\n") != want {
		t.Errorf("added:\n%s\nwant:\n%s", strings.Join(got, "\n"), want)
	}
	if m := putOver(p.Mounts, added...); len(m) != 4 || m[0].Source != "own" {
		t.Errorf("in all: %+v", m)
	}
	if ids := fmt.Sprint(p.ImagesBehind()); ids != "[sha256:a sha256:b]" {
		t.Errorf("images behind it: %s", ids)
	}
}

// locking holds the lock of volumes, as one does who removes one, until release is called; waited waits until somebody
// else wants it.
func (l *lab) locking() (release, waited func()) {
	l.Helper()
	s := l.volumes()
	unlock, err := s.lock()
	if err != nil {
		l.Fatal(err)
	}
	release = sync.OnceFunc(unlock)
	var stat unix.Stat_t
	if err := unix.Stat(s.path(), &stat); err != nil {
		l.Fatal(err)
	}
	return release, func() {
		l.Helper()
		testhost.Poll(l, func() error {
			locks, err := os.ReadFile("/proc/locks")
			if err != nil {
				return err
			}
			for line := range strings.Lines(string(locks)) {
				if strings.Contains(line, "->") && strings.Contains(line, fmt.Sprintf(":%d ", stat.Ino)) {
					return nil
				}
			}
			return errors.New("nobody waits for the lock of volumes")
		})
	}
}

// A volume that an image has is in use before it is made: what looks for users before it removes one finds its node.
func TestVolumeOfAnImageIsClaimedFirst(t *testing.T) {
	boxes(t, func(l *lab) {
		base := l.TempDir()
		smallRoot(l, base)
		ref := l.registered(v1.Config{Volumes: map[string]struct{}{"/data": {}}}, packed(l, base))
		l.do(kernel.ImagePull{Reference: ref})
		name := kernel.OwnVolumeName(l.project, "n", "/data")
		l.do(kernel.VolumeCreate{Name: name, Project: l.project, Node: "n", Target: "/data"})
		release, waited := l.locking()
		defer release()
		started := make(chan error, 1)
		go func() {
			started <- l.Do(l.Context(), kernel.ProcessStart{Process: l.complete(kernel.Process{Container: true, Image: ref, Argv: []string{"sleep", "1000"}})})
		}()
		waited()
		users, err := l.volumes().users()
		release()
		if err != nil || len(users[name]) != 1 {
			l.Errorf("it is used by %v, %v", users, err)
		}
		if err := <-started; err != nil {
			l.Error(err)
		}
		l.drop(name)
	})
}

// A volume that was found unused before the node said that it uses it goes; the process is not started with a folder that is
// being removed.
func TestStartWaitsForARemoval(t *testing.T) {
	boxes(t, func(l *lab) {
		l.volume("v")
		release, waited := l.locking()
		defer release()
		started := make(chan error, 1)
		go func() {
			started <- l.Do(l.Context(), kernel.ProcessStart{Process: l.complete(kernel.Process{
				Container: true, Argv: []string{"sleep", "1000"}, Mounts: []kernel.Mount{onVolume("v", "/mnt")},
			})})
		}()
		waited()
		if err := os.Rename(l.volumes().path("v"), l.volumes().path(".gone")); err != nil {
			l.Fatal(err)
		}
		release()
		if err := <-started; err == nil || !strings.Contains(err.Error(), "no such volume") {
			l.Errorf("starting it: %v", err)
		}
		l.drop()
		if err := l.volumes().cleanUp(); err != nil {
			l.Error(err)
		}
	})
}
