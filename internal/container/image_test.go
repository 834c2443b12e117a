package container

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"topo/internal/kernel"
)

// packed is a folder as a layer.
func packed(t testing.TB, dir string) v1.Layer {
	t.Helper()
	data, err := exec.Command("tar", "-C", dir, "-c", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

// scripted is a layer that a shell script makes in an empty folder.
func scripted(t testing.TB, script string) v1.Layer {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return packed(t, dir)
}

// registered pushes an image to a registry of the lab's own, and gives its reference.
func (l *lab) registered(config v1.Config, layers ...v1.Layer) string {
	l.Helper()
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		l.Fatal(err)
	}
	if img, err = mutate.Config(img, config); err != nil {
		l.Fatal(err)
	}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	l.Cleanup(server.Close)
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/team/app:1")
	if err != nil {
		l.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		l.Fatal(err)
	}
	return ref.Name()
}

// fromImage is a process that leaves all to its image.
func fromImage(ref string) kernel.Process {
	return kernel.Process{Container: true, Image: ref, ImageEntrypoint: true, ImageCommand: true, ImageHealth: true}
}

func TestImage(t *testing.T) {
	boxes(t, func(l *lab) {
		base := l.TempDir()
		smallRoot(l, base)
		ref := l.registered(v1.Config{
			Entrypoint: []string{"sh", "-c", `echo "$0 $*"; id; pwd; echo $PATH $GREETING $HOME; ls /srv /gone; cat /srv/file /run/kept/from/root; exec sleep 1000`},
			Cmd:        []string{"cmd", "from image"}, Env: []string{"PATH=/opt/bin:/bin", "GREETING=hello"}, User: "www:logs", WorkingDir: "/srv/work",
			StopSignal: "SIGUSR1", ExposedPorts: map[string]struct{}{"80/tcp": {}},
			Healthcheck: &v1.HealthConfig{Test: []string{"CMD-SHELL", "test -e /srv/file"}, Interval: 10 * time.Millisecond},
		}, packed(l, base), scripted(l, "mkdir srv gone; echo below > srv/file; echo x > srv/other; echo x > gone/x"),
			scripted(l, "mkdir srv; echo above > srv/file; touch srv/.wh.other .wh.gone"))
		before, err := l.Images(l.Context(), []kernel.ImageQuery{{Reference: ref}})
		if err != nil || len(before) != 1 || before[0].Digest != "" {
			l.Fatalf("before pulling: %+v, %v", before, err)
		}
		if err := l.Do(l.Context(), kernel.ProcessStart{Process: l.complete(fromImage(ref))}); err == nil || !strings.Contains(err.Error(), "not in the store") {
			l.Errorf("without its image: %v", err)
		}
		l.do(kernel.ImagePull{Reference: ref})
		found, err := l.Images(l.Context(), []kernel.ImageQuery{{Reference: ref, Fresh: true}})
		if err != nil || found[0].Digest == "" || found[0].Now != found[0].Digest || found[0].Error != "" {
			l.Fatalf("after pulling: %+v, %v", found, err)
		}
		p := l.complete(fromImage(ref))
		p.StopSignal = ""
		l.do(kernel.ProcessStart{Process: p})
		l.do(kernel.ProcessWait{Project: l.project, Node: "n", Condition: kernel.ServiceHealthy})
		s := l.state("n")
		if s.Process.ImageID != found[0].ID || len(s.Process.Argv) != 0 || s.Image == nil || s.Image.Ports[0] != "80/tcp" {
			l.Errorf("state %+v", s)
		}
		code, out, _ := l.exec(ExecRequest{Node: "n", Argv: []string{"sh", "-c", "id -un; pwd; echo $GREETING; touch /srv/data 2>/dev/null || echo refused"}})
		if want := "www\n/srv/work\nhello\nrefused\n"; code != 0 || out != want {
			l.Errorf("a command in it: %d %q, want %q", code, out, want)
		}
		if err := l.Store().Remove(l.Context(), ref, l.ImageUsers); err == nil || !strings.Contains(err.Error(), "in use by n of "+l.project) {
			l.Errorf("removing an image in use: %v", err)
		}
		pid := s.PID
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		if syscall.Kill(pid, 0) == nil {
			l.Error("it runs on")
		}

		p.Argv, p.ImageEntrypoint, p.ImageCommand = []string{"sh", "-c", "exec 2>&1; echo $GREETING; id -u; ls -a /srv /gone; cat /srv/file /run/kept/from/root; echo x > /srv/file; rm -r /run/kept; ls /usr/bin/apt"}, false, false
		p.User, p.Env = "0", []string{"GREETING=bye"}
		for range 2 { // what the first one wrote is gone with it
			l.do(kernel.ProcessStart{Process: p})
			want := "bye\n0\n/srv:\n.\n..\nfile\nwork\nls: cannot access '/gone': No such file or directory\nabove\nkept\nls: cannot access '/usr/bin/apt': No such file or directory\n"
			if got := strings.Replace(l.logged("n"), "ls: cannot access '/gone': No such file or directory\n/srv:\n.\n..\nfile\nwork\n", "/srv:\n.\n..\nfile\nwork\nls: cannot access '/gone': No such file or directory\n", 1); got != want {
				l.Errorf("overridden, it printed %q\nwant %q", got, want)
			}
			l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		}

		p = l.complete(fromImage(ref))
		p.ImageCommand, p.Argv = false, []string{"command", "of file"}
		l.do(kernel.ProcessStart{Process: p})
		l.do(kernel.ProcessWait{Project: l.project, Node: "n", Condition: kernel.ServiceHealthy})
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
	})
}

// What an image says is for data is a volume of the node's own: filled from the image, there again for the next process, in use
// while there is one. A mount of the file goes before it.
func TestImageVolumes(t *testing.T) {
	boxes(t, func(l *lab) {
		base := l.TempDir()
		smallRoot(l, base)
		ref := l.registered(v1.Config{Volumes: map[string]struct{}{"/srv/data": {}, "/srv/stated/": {}, "/tmp/memory": {}}},
			packed(l, base), scripted(l, "mkdir -p srv/data srv/stated; echo first > srv/data/file; chmod 700 srv/data; chown 7:8 srv/data"))
		l.do(kernel.ImagePull{Reference: ref})
		l.do(kernel.VolumeCreate{Name: l.project + "_stated", Project: l.project})
		p := l.complete(kernel.Process{
			Container: true, Image: ref, Argv: []string{"sh", "-c", "cat /srv/data/file; stat -c '%a %u:%g' /srv/data; echo second > /srv/data/file"},
			Mounts: []kernel.Mount{{Kind: kernel.VolumeMount, Source: l.project + "_stated", Target: "/srv/stated"}},
			Tmpfs:  []kernel.Tmpfs{{Target: "/tmp/memory"}},
		})
		own := kernel.OwnVolumeName(l.project, "n", "/srv/data")
		for _, want := range []string{"first\n700 7:8\n", "second\n700 7:8\n"} {
			l.do(kernel.ProcessStart{Process: p})
			if got := l.logged("n"); got != want {
				l.Errorf("it printed %q, want %q", got, want)
			}
			volumes, err := l.Volumes(l.Context())
			if err != nil || len(volumes) != 2 {
				l.Fatalf("volumes %+v, %v", volumes, err)
			}
			for _, v := range volumes {
				if v.Name == own && (v.Node != "n" || v.Target != "/srv/data" || v.Project != l.project) || len(v.Users) != 1 {
					l.Errorf("volume %+v", v)
				}
			}
			if err := l.Do(l.Context(), kernel.VolumeDelete{Name: own, Project: l.project}); !errors.Is(err, syscall.EBUSY) {
				l.Errorf("removing a volume in use: %v", err)
			}
			l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		}
		for _, name := range []string{own, l.project + "_stated"} {
			l.do(kernel.VolumeDelete{Name: name, Project: l.project})
		}
	})
}

// Users, folders and commands that a bad image may name are errors, and nothing is left of them.
func TestBadImages(t *testing.T) {
	boxes(t, func(l *lab) {
		base := l.TempDir()
		smallRoot(l, base)
		for what, c := range map[string]struct {
			config v1.Config
			layer  string
			want   string
		}{
			"no command":   {v1.Config{}, "true", "no command"},
			"no user":      {v1.Config{User: "nobody-here", Cmd: []string{"id"}}, "true", "nobody-here"},
			"passwd waits": {v1.Config{User: "www", Cmd: []string{"id"}}, "mkdir etc; mkfifo etc/passwd", "www"},
			"no program":   {v1.Config{Cmd: []string{"absent"}}, "true", "absent"},
		} {
			ref := l.registered(c.config, packed(l, base), scripted(l, c.layer))
			l.do(kernel.ImagePull{Reference: ref})
			err := l.Do(l.Context(), kernel.ProcessStart{Process: l.complete(fromImage(ref))})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				l.Errorf("%s: error %v, want %q", what, err, c.want)
			}
			l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		}
		// Links in the image that lead to the host's files: what topo and the runtime write stays inside.
		if err := exec.Command("sh", "-c", "mkdir -p /run/aim && echo mine > /run/aim/hostname").Run(); err != nil {
			l.Fatal(err)
		}
		defer func() { _ = exec.Command("rm", "-r", "/run/aim").Run() }()
		ref := l.registered(v1.Config{Cmd: []string{"sh", "-c", "echo ran"}, WorkingDir: "/"}, packed(l, base),
			scripted(l, "mkdir etc; ln -s /run/aim/hostname etc/hostname; ln -s ../../../../../run/aim/hosts etc/hosts; ln -s /run/aim work; ln -s /run/aim dev; ln -s /run/aim proc; ln -s /run/aim sys"))
		l.do(kernel.ImagePull{Reference: ref})
		l.do(kernel.ProcessStart{Process: l.complete(fromImage(ref))})
		if got := l.logged("n"); got != "ran\n" {
			l.Errorf("it printed %q", got)
		}
		out, err := exec.Command("sh", "-c", "cat /run/aim/hostname; ls /run/aim").Output()
		if err != nil || string(out) != "mine\nhostname\n" {
			l.Errorf("links led out: %q, %v", out, err)
		}
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
	})
}

// Docker takes 127 layers; all paths of them would not fit into the options of a mount.
func TestManyLayers(t *testing.T) {
	boxes(t, func(l *lab) {
		base := l.TempDir()
		smallRoot(l, base)
		layers := []v1.Layer{packed(l, base)}
		for i := 1; i < 127; i++ {
			layers = append(layers, scripted(l, fmt.Sprintf("mkdir srv; echo %d > srv/top; touch srv/%d", i, i)))
		}
		ref := l.registered(v1.Config{Cmd: []string{"sh", "-c", "cat /srv/top; ls /srv | wc -l"}}, layers...)
		l.do(kernel.ImagePull{Reference: ref})
		l.do(kernel.ProcessStart{Process: l.complete(fromImage(ref))})
		if got := l.logged("n"); got != "126\n127\n" {
			l.Errorf("got %q", got)
		}
	})
}

// Its program is mounted; all was well the first time, and the next start failed.
func TestImageWithoutLayersRunsAgain(t *testing.T) {
	boxes(t, func(l *lab) {
		base := l.TempDir()
		smallRoot(l, base)
		ref := l.registered(v1.Config{Cmd: []string{"sh", "-c", "echo run"}})
		l.do(kernel.ImagePull{Reference: ref})
		p := fromImage(ref)
		for _, folder := range []string{"/bin", "/lib", "/lib64"} {
			p.Mounts = append(p.Mounts, kernel.Mount{Source: base + folder, Target: folder, ReadOnly: true})
		}
		l.start(p)
		l.awaitLog("n", "run\n")
		l.do(kernel.ProcessHalt{Project: l.project, Node: "n"})
		l.do(kernel.ProcessResume{Project: l.project, Node: "n"})
		l.awaitLog("n", "run\nrun\n")
	})
}

// A container of a supervisor that was killed still has its image's environment, user and stop signal.
func TestImageIsAdopted(t *testing.T) {
	boxes(t, func(l *lab) {
		base := l.TempDir()
		smallRoot(l, base)
		ref := l.registered(v1.Config{
			Entrypoint: []string{"sh", "-c", "trap 'exit 3' USR1; echo ready; while :; do sleep 0.01; done"}, Env: []string{"A=image"}, StopSignal: "SIGUSR1",
			Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "sh", "-c", "test $A = image"}, Interval: 10 * time.Millisecond},
		}, packed(l, base))
		l.do(kernel.ImagePull{Reference: ref})
		p := l.complete(fromImage(ref))
		p.StopSignal, p.StopGrace = "", time.Minute
		l.do(kernel.ProcessStart{Process: p})
		supervisor, _, err := l.Observe(l.Context(), l.project)
		if err != nil {
			l.Fatal(err)
		}
		if err := syscall.Kill(supervisor.PID, syscall.SIGKILL); err != nil {
			l.Fatal(err)
		}
		l.do(kernel.SupervisorStart{Project: l.project})
		l.do(kernel.ProcessWait{Project: l.project, Node: "n", Condition: kernel.ServiceHealthy})
		if _, out, _ := l.exec(ExecRequest{Node: "n", Argv: []string{"printenv", "A"}}); out != "image\n" {
			l.Errorf("A is %q", out)
		}
		begin := time.Now()
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		if d := time.Since(begin); d > 20*time.Second {
			l.Errorf("stopping took %v: the image's signal was not sent", d)
		}
	})
}
