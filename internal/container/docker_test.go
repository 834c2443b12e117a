package container

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// engineLab is a lab whose containers an engine runs. sh is what makes a command line of the engine's program.
type engineLab struct {
	*lab
	sh string
}

// engines runs a test by each engine, on a machine of its own. The image has a small root, and what is said of it.
func engines(t *testing.T, config v1.Config, script string, f func(l *engineLab, p kernel.Process)) {
	for _, engine := range testhost.Engines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			// It runs in the sandbox, and so must be static; the test's own program is not.
			self := filepath.Join(t.TempDir(), "topo")
			build := exec.Command("go", "build", "-o", self, "topo/cmd/topo")
			build.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			inLab(t, Config{Self: self}, func(l *lab) {
				base := l.TempDir()
				smallRoot(l, base)
				ref := l.registered(config, packed(l, base), scripted(l, script))
				host, _, _ := strings.Cut(ref, "/")
				sh := testhost.Engine(t, engine, host)
				f(&engineLab{l, sh}, l.complete(kernel.Process{
					Container: true, Image: ref, ImageEntrypoint: true, ImageCommand: true, ImageHealth: true, Runtime: kernel.RuntimeDocker, Hostname: "web",
				}))
				l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
				if left := testhost.Run(l, "sh", "-c", sh+"ps --all --quiet"); left != "" {
					l.Errorf("the engine still has %s", left)
				}
				if left := testhost.Run(l, "sh", "-c", sh+"volume ls --quiet"); left != "" {
					l.Errorf("the engine has volumes: %s", left)
				}
			})
		})
	}
}

// All that is said of a process holds for one that an engine runs.
func TestDocker(t *testing.T) {
	engines(t, v1.Config{
		Entrypoint: []string{"sh", "-c", `echo "$0 $*"; id; pwd; echo $GREETING; exec sleep 1000`}, Cmd: []string{"cmd", "from image"},
		Env: []string{"PATH=/opt/bin:/bin", "GREETING=hello"}, User: "www:logs", WorkingDir: "/srv/work", StopSignal: "SIGKILL",
		Volumes:     map[string]struct{}{"/srv/data": {}},
		Healthcheck: &v1.HealthConfig{Test: []string{"CMD-SHELL", "test -e /srv/file"}, Interval: 50 * time.Millisecond},
	}, "mkdir -p srv/work srv/data; echo x > srv/file; echo first > srv/data/file; chmod 755 srv/data; chown 7:8 srv/data", func(l *engineLab, p kernel.Process) {
		query := []kernel.ImageQuery{{Reference: p.ImageReference(), Fresh: true}}
		before, err := l.Images(l.Context(), query)
		if err != nil || before[0].Digest != "" || before[0].Now == "" {
			l.Fatalf("before pulling: %+v, %v", before, err)
		}
		l.do(kernel.ImagePull{Reference: p.ImageReference()})
		found, err := l.Images(l.Context(), query)
		if err != nil || found[0].Digest == "" || found[0].Now != found[0].Digest || found[0].Error != "" {
			l.Fatalf("after pulling: %+v, %v", found, err)
		}
		p.StopSignal, p.ImageID = "", found[0].ID
		p.Tmpfs = []kernel.Tmpfs{{Target: "/tmp/memory", Options: []string{"size=1m"}}}
		p.Limits = kernel.Limits{Memory: 64 * mib, NanoCPUs: 500_000_000, Pids: 50}
		// With one that is stated Podman sets nproc, too, as high as can be: a root without CAP_SYS_RESOURCE can't.
		var processes unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NPROC, &processes); err != nil {
			l.Fatal(err)
		}
		p.Ulimits = []kernel.Ulimit{{Name: "nofile", Soft: 200, Hard: 200}, {Name: "nproc", Soft: int64(processes.Cur), Hard: int64(processes.Max)}}
		p.Labels = map[string]string{"a": "b"}
		l.do(kernel.ProcessStart{Process: p})
		l.do(kernel.ProcessWait{Project: l.project, Node: "n", Condition: kernel.ServiceHealthy})
		s := l.state("n")
		if s.PID == 0 || s.Process.Limits != p.Limits || s.Image == nil {
			l.Errorf("state %+v", s)
		}
		if u, err := l.Usage(l.Context(), l.project, "n"); err != nil || u.Pids == 0 {
			l.Errorf("it uses %+v, %v", u, err)
		}
		if in, err := inNetns(s.PID, "lab-n"); !in {
			l.Errorf("it is not in its network namespace: %v", err)
		}
		script := "id -un; pwd; cat /proc/sys/kernel/hostname; echo $GREETING $MORE; cat /srv/data/file; stat -c '%a %u:%g' /srv/data; ulimit -n; stat -f -c %b /tmp/memory; cat /proc/self/status"
		code, out, errs := l.exec(ExecRequest{Node: "n", Env: []string{"MORE=more"}, Argv: []string{"sh", "-c", script}})
		want := "www\n/srv/work\nweb\nhello more\nfirst\n755 7:8\n200\n256\n"
		if code != 0 || !strings.HasPrefix(out, want) {
			l.Errorf("a command in it: %d %q %q, want %q", code, out, errs, want)
		}
		for _, line := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000"} {
			if !strings.Contains(out, line) {
				l.Errorf("a command in it lacks %q: %s", line, out)
			}
		}
		// Its limits change while it runs, and hold after somebody has started it again.
		p.Limits = kernel.Limits{Memory: 32 * mib, Pids: 20}
		l.do(kernel.ProcessUpdate{Project: l.project, Node: "n", Limits: p.Limits})
		testhost.Run(l, "sh", "-c", l.sh+"restart --time 1 "+kernel.EngineName(l.project, "n"))
		testhost.Poll(l, 10*time.Second, func() error {
			if now := l.state("n"); now.Status != kernel.Running || now.PID == s.PID || now.Process.Limits != p.Limits {
				return fmt.Errorf("after a restart it is %+v", now)
			}
			return nil
		})
		// A person's stop, and what the log has: three runs.
		l.do(kernel.ProcessHalt{Project: l.project, Node: "n", Grace: -1})
		if s := l.state("n"); s.Status != kernel.Stopped || s.Signal != "SIGKILL" {
			l.Errorf("stopped, it is %+v", s)
		}
		l.do(kernel.ProcessResume{Project: l.project, Node: "n"})
		l.do(kernel.ProcessHalt{Project: l.project, Node: "n", Grace: -1})
		run := "cmd from image\nuid=33(www) gid=44(logs) groups=44(logs)\n/srv/work\nhello\n"
		if got := l.logged("n"); got != strings.Repeat(run, 3) {
			l.Errorf("it printed %q, want %q three times", got, run)
		}
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		l.do(kernel.VolumeDelete{Name: kernel.OwnVolumeName(l.project, "n", "/srv/data"), Project: l.project})
	})
}
