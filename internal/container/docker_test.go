package container

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	ocilayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sys/unix"

	"topo/internal/image"
	"topo/internal/kernel"
	"topo/internal/testhost"
)

// engines runs a test by each engine, on a machine of its own. The image has a small root, and what is said of it; engine is what
// makes a shell's command line of the engine's own program.
func engines(t *testing.T, config v1.Config, script string, f func(l *lab, engine string, p kernel.Process)) {
	for _, name := range testhost.Engines() {
		t.Run(name, func(t *testing.T) {
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
			base := t.TempDir()
			smallRoot(t, base)
			outside := &lab{T: t}
			ref := outside.registered(config, packed(outside, base), scripted(outside, script))
			host, _, _ := strings.Cut(ref, "/")
			engine := testhost.Engine(t, name, host)
			inLab(t, Config{Self: self}, func(l *lab) {
				p := fromImage(ref)
				p.Runtime, p.Hostname = kernel.RuntimeDocker, "web"
				l.do(kernel.ImagePull{Reference: p.ImageReference()})
				f(l, engine, p)
				l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
				for _, what := range []string{"ps --all --quiet", "volume ls --quiet"} {
					if left := testhost.Run(l, "sh", "-c", engine+what); left != "" {
						l.Errorf("%s: the engine still has %s", what, left)
					}
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
		Healthcheck: &v1.HealthConfig{Test: []string{"CMD-SHELL", "test -e /srv/file"}, Interval: time.Second, StartPeriod: time.Second},
	}, "mkdir -p srv/work srv/data; echo x > srv/file; echo first > srv/data/file; chmod 755 srv/data; chown 7:8 srv/data", func(l *lab, engine string, p kernel.Process) {
		found, err := l.Images(l.Context(), []kernel.ImageQuery{{Reference: p.ImageReference(), Fresh: true}})
		if err != nil || found[0].Digest == "" || found[0].Now != found[0].Digest || found[0].Error != "" {
			l.Fatalf("after pulling: %+v, %v", found, err)
		}
		host, _, _ := strings.Cut(p.Image, "/")
		missing := kernel.EngineImages + host + "/team/none:1"
		if err := l.Do(l.Context(), kernel.ImagePull{Reference: missing}); err == nil || !strings.Contains(err.Error(), host+"/team/none") || !strings.Contains(err.Error(), "unknown") {
			l.Errorf("pulling what is not there: %v", err)
		}
		p = l.complete(p)
		p.StopSignal, p.ImageID = "", found[0].ID
		dir := l.TempDir()
		if err := os.WriteFile(dir+"/file", []byte("of the host\n"), 0o644); err != nil {
			l.Fatal(err)
		}
		l.volume("v")
		p.Mounts = []kernel.Mount{
			{Source: dir, Target: "/mnt/dir", ReadOnly: true},
			onVolume("v", "/mnt/volume"),
			{Kind: kernel.TmpfsMount, Target: "/mnt/memory", Size: 2 * mib, Mode: 0o1777},
		}
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
		if u := l.usage("n"); u.Pids == 0 {
			l.Errorf("it uses %+v", u)
		}
		if in, err := inNetns(s.PID, "lab-n"); !in {
			l.Errorf("it is not in its network namespace: %v", err)
		}
		script := "id -un; pwd; cat /proc/sys/kernel/hostname; echo $GREETING $MORE; cat /srv/data/file; stat -c '%a %u:%g' /srv/data; ulimit -n; " +
			"stat -f -c %b /tmp/memory /mnt/memory; cat /mnt/dir/file; touch /mnt/dir/x 2> /dev/null || echo refused; cat /proc/self/status"
		code, out, errs := l.exec(ExecRequest{Node: "n", Env: []string{"MORE=more"}, Argv: []string{"sh", "-c", script}})
		want := "www\n/srv/work\nweb\nhello more\nfirst\n755 7:8\n200\n256\n512\nof the host\nrefused\n"
		if code != 0 || !strings.HasPrefix(out, want) {
			l.Errorf("a command in it: %d %q %q, want %q", code, out, errs, want)
		}
		for _, line := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000"} {
			if !strings.Contains(out, line) {
				l.Errorf("a command in it lacks %q: %s", line, out)
			}
		}
		terminal(l)
		// Its limits change while it runs, and hold after somebody has started it again.
		p.Limits = kernel.Limits{Memory: 32 * mib, Pids: 20}
		l.do(kernel.ProcessUpdate{Project: l.project, Node: "n", Limits: p.Limits})
		testhost.Run(l, "sh", "-c", engine+"restart --time 1 "+kernel.EngineName(l.project, "n"))
		again := l.await("started again", func(now kernel.ProcessState) bool {
			return now.Status == kernel.Running && now.PID != s.PID && now.Process.Limits == p.Limits
		})
		if in, err := inNetns(again.PID, "lab-n"); !in {
			l.Errorf("after a restart it is not in its network namespace: %v", err)
		}
		run := "cmd from image\nuid=33(www) gid=44(logs) groups=44(logs)\n/srv/work\nhello\n"
		l.awaitLog("n", strings.Repeat(run, 2))
		// A person's stop, and what the log has: three runs.
		l.do(kernel.ProcessHalt{Project: l.project, Node: "n", Grace: -1})
		if s := l.state("n"); s.Status != kernel.Stopped || s.Signal != "SIGKILL" {
			l.Errorf("stopped, it is %+v", s)
		}
		l.do(kernel.ProcessResume{Project: l.project, Node: "n"})
		l.awaitLog("n", strings.Repeat(run, 3))
		l.exec(ExecRequest{Node: "n", User: "0", Argv: []string{"sh", "-c", "echo kept > /mnt/volume/file"}})
		l.do(kernel.ProcessHalt{Project: l.project, Node: "n", Grace: -1})
		if got := l.logged("n"); got != strings.Repeat(run, 3) {
			l.Errorf("it printed %q, want %q three times", got, run)
		}
		// Volumes are topo's, and outlive the container.
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		p.Argv, p.User, p.ImageEntrypoint, p.ImageCommand, p.ImageHealth = []string{"cat", "/mnt/volume/file"}, "0", false, false, false
		l.do(kernel.ProcessStart{Process: p})
		if got := l.logged("n"); got != "kept\n" {
			l.Errorf("the volume has %q", got)
		}
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		l.drop("v", kernel.OwnVolumeName(l.project, "n", "/srv/data"))
	})
}

// Ends, restarts and a supervisor's death are with an engine as without.
func TestDockerLifecycle(t *testing.T) {
	engines(t, v1.Config{Env: []string{"PATH=/bin"}}, "mkdir -p mnt", func(l *lab, engine string, p kernel.Process) {
		sh := func(script string) { p.Argv = []string{"sh", "-c", script} }
		dir := l.TempDir()
		p.Mounts = []kernel.Mount{{Source: dir, Target: "/mnt"}}
		end := func() {
			if err := os.WriteFile(dir+"/end", nil, 0o644); err != nil {
				l.Fatal(err)
			}
		}
		endless := func() {
			if err := os.Remove(dir + "/end"); err != nil {
				l.Fatal(err)
			}
		}
		sh("echo run; exit 3")
		p.Restart = kernel.Restart{Policy: kernel.RestartOnFailure, Max: 2}
		l.start(p)
		if s := l.await("given up", is(kernel.Exited)); s.ExitCode != 3 || s.Restarts != 2 {
			l.Errorf("after its restarts: %+v", s)
		}
		if got := l.logged("n"); got != "run\nrun\nrun\n" {
			l.Errorf("printed %q", got)
		}
		p.Restart = kernel.Restart{}
		for command, want := range map[string]int{"no-such-program": 127, "/etc/passwd": 126} {
			p.Argv = []string{command}
			if err := l.Do(l.Context(), kernel.ProcessStart{Process: l.complete(p)}); err == nil || !strings.Contains(err.Error(), command) {
				l.Errorf("starting %s: %v", command, err)
			}
			if s := l.state("n"); s.Status != kernel.Exited || s.ExitCode != want {
				l.Errorf("after starting %s: %+v", command, s)
			}
		}
		// When it dies at once, it is up to the engine to see why, and Podman may not.
		sh("until test -e /mnt/end; do sleep 0.02; done; exec tail /dev/zero")
		p.Limits = kernel.Limits{Memory: 16 * mib}
		l.start(p)
		end()
		if s := l.await("killed", is(kernel.Exited)); s.Signal != "SIGKILL" || !s.OOMKilled {
			l.Errorf("short of memory: %+v", s)
		}
		p.Limits = kernel.Limits{}
		endless()

		// Its supervisor is killed: it runs on, nothing that it prints is lost, and the next one sees how it ends.
		p.Init = true
		sh("n=0; until test -e /mnt/end; do n=$((n+1)); echo line $n; sleep 0.02; done; echo last; exit 7")
		l.start(p)
		l.awaitLog("n", "line 3\n")
		before := l.state("n")
		l.killSupervisor()
		if s := l.state("n"); s.Status != kernel.Running || s.PID != before.PID {
			l.Fatalf("without its supervisor: %+v", s)
		}
		l.do(kernel.SupervisorStart{Project: l.project})
		if s := l.state("n"); s.Status != kernel.Running || s.PID != before.PID || !s.StartedAt.Equal(before.StartedAt) {
			l.Fatalf("adopted: %+v", s)
		}
		end()
		if s := l.await("ended", is(kernel.Exited)); s.ExitCode != 7 {
			l.Errorf("ended, it is %+v", s)
		}
		checkLines(l, l.logged("n"))

		// It ends while there is none: the engine knows how.
		endless()
		l.start(p)
		l.awaitLog("n", "line 3\n")
		l.killSupervisor()
		end()
		testhost.Poll(l, func() error {
			if left := testhost.Run(l, "sh", "-c", engine+"ps --quiet --filter name="+kernel.EngineName(l.project, "n")+"$"); left != "" {
				return fmt.Errorf("%s runs on", left)
			}
			return nil
		})
		l.do(kernel.SupervisorStart{Project: l.project})
		if s := l.await("known to have ended", is(kernel.Exited)); s.ExitCode != 7 {
			l.Errorf("ended, it is %+v", s)
		}
		checkLines(l, l.logged("n"))

		// Somebody removes both of its containers: a start makes them anew.
		for _, name := range []string{kernel.EngineName(l.project, "n"), kernel.EngineSandboxName(l.project, "n")} {
			testhost.Run(l, "sh", "-c", engine+"rm --force --time 0 "+name)
		}
		endless()
		l.do(kernel.ProcessResume{Project: l.project, Node: "n"})
		s := l.await("running", is(kernel.Running))
		if in, err := inNetns(s.PID, "lab-n"); !in {
			l.Errorf("made anew, it is not in its network namespace: %v", err)
		}
	})
}

// What is typed arrives by an engine, too, whoever leaves and whatever becomes of the supervisor; and files go in and out while it runs.
func TestDockerAttach(t *testing.T) {
	engines(t, v1.Config{Env: []string{"PATH=/bin"}}, "mkdir -p mnt", func(l *lab, _ string, p kernel.Process) {
		p.StdinOpen = true
		p.Argv = []string{"sh", "-c", "trap 'echo signalled' USR1; while :; do read line || continue; echo got $line; [ $line = end ] && exit 7; done"}
		l.start(p)
		two := l.attachTwo()
		f, root := l.files()
		err := errors.Join(root.WriteFile("mnt/file", []byte("of the host"), 0o644), root.Close(), f.Close())
		if _, out, _ := l.exec(ExecRequest{Node: "n", Argv: []string{"cat", "/mnt/file"}}); out != "of the host" || err != nil {
			l.Errorf("in the file: %q, %v", out, err)
		}
		l.killSupervisor()
		l.do(kernel.SupervisorStart{Project: l.project})
		two.types(l, "three")
		two.shows(l, "got three\n")
		two.types(l, "end")
		two.ends(l, 7)
		if _, err := l.Files(l.Context(), l.project, "n"); err == nil || !strings.Contains(err.Error(), "docker cp "+kernel.EngineName(l.project, "n")+":PATH") {
			l.Errorf("files of one that has ended: %v", err)
		}
		// The next run has an input of its own.
		l.do(kernel.ProcessResume{Project: l.project, Node: "n"})
		again := l.attach()
		again.types(l, "end")
		again.ends(l, 7)
	})
}

// Volumes of images are handed on from and to what an engine runs.
func TestDockerHandsOn(t *testing.T) {
	engines(t, v1.Config{Env: []string{"PATH=/bin"}, Volumes: map[string]struct{}{"/srv/data": {}}}, "mkdir -p srv/data; echo first > srv/data/file", func(l *lab, engine string, p kernel.Process) {
		p.Argv, p.ImageEntrypoint, p.ImageCommand = []string{"sleep", "1000"}, false, false
		here := p
		here.Runtime = ""
		l.do(kernel.ImagePull{Reference: here.Image})
		from := func(p kernel.Process, node, handed string, readOnly bool) {
			p.Node = node
			if handed != "" {
				p.VolumesFrom = []kernel.VolumesFrom{{Node: handed, ReadOnly: readOnly}}
			}
			l.start(p)
		}
		from(p, "n", "", false)
		from(here, "heir", "n", false)
		from(p, "reader", "heir", true)
		l.exec(ExecRequest{Node: "heir", Argv: []string{"sh", "-c", "echo second >> /srv/data/file"}})
		reads := func() {
			l.Helper()
			code, out, _ := l.exec(ExecRequest{Node: "reader", Argv: []string{"sh", "-c", "cat /srv/data/file; echo more >> /srv/data/file"}})
			if code == 0 || out != "first\nsecond\n" {
				l.Errorf("reader has %q, and writing to it ended with %d", out, code)
			}
		}
		reads()
		if s := l.state("reader"); len(s.Process.VolumesFrom[0].Images) != 2 || len(s.Added) != 1 {
			l.Errorf("reader is %+v", s)
		}
		// Whoever starts it again, the volume is in use as long as anybody has it.
		before := l.state("reader").PID
		testhost.Run(l, "sh", "-c", engine+"restart --time 0 "+kernel.EngineName(l.project, "reader"))
		testhost.Poll(l, func() error {
			if s := l.state("reader"); s.Status != kernel.Running || s.PID == before {
				return fmt.Errorf("reader is %+v", s)
			}
			return nil
		})
		reads()
		for _, node := range []string{"n", "heir"} {
			l.do(kernel.ProcessStop{Project: l.project, Node: node})
		}
		volume := kernel.OwnVolumeName(l.project, "n", "/srv/data")
		if err := l.Do(l.Context(), kernel.VolumeDelete{Name: volume, Project: l.project}); !errors.Is(err, unix.EBUSY) {
			l.Errorf("removing what reader has: %v", err)
		}
		l.do(kernel.ProcessStop{Project: l.project, Node: "reader"})
		l.drop(volume)
	})
}

// An engine fetches for the platform that is stated, and what was planned, though the tag has gone on.
func TestDockerPlatform(t *testing.T) {
	engines(t, v1.Config{Env: []string{"PATH=/bin"}}, "mkdir -p mnt", func(l *lab, _ string, p kernel.Process) {
		ref, err := name.ParseReference(strings.TrimSuffix(p.Image, ":1") + ":2")
		if err != nil {
			l.Fatal(err)
		}
		one, err := remote.Image(ref.Context().Tag("1"))
		if err != nil {
			l.Fatal(err)
		}
		var index v1.ImageIndex = empty.Index
		for _, text := range []string{image.Machine(), "linux/riscv64"} {
			platform, err := v1.ParsePlatform(text)
			if err != nil {
				l.Fatal(err)
			}
			config, err := one.ConfigFile()
			if err != nil {
				l.Fatal(err)
			}
			config = config.DeepCopy()
			config.OS, config.Architecture, config.Config.User = platform.OS, platform.Architecture, platform.Architecture
			img, err := mutate.ConfigFile(one, config)
			if err != nil {
				l.Fatal(err)
			}
			index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: platform}})
		}
		digest, err := index.Digest()
		if err == nil {
			err = remote.WriteIndex(ref, index)
		}
		if err != nil {
			l.Fatal(err)
		}
		dir := filepath.Join(l.TempDir(), "layout")
		path, err := ocilayout.Write(dir, empty.Index)
		if err == nil {
			err = path.AppendIndex(index)
		}
		if err != nil {
			l.Fatal(err)
		}
		find := func(of, platform string) kernel.Image {
			l.Helper()
			found, err := l.Images(l.Context(), []kernel.ImageQuery{{Reference: kernel.EngineImages + of, Platform: platform, Fresh: true}})
			if err != nil {
				l.Fatal(err)
			}
			return found[0]
		}
		for _, of := range []string{ref.Name(), "oci:" + dir} {
			for _, platform := range []string{"linux/riscv64", image.Machine()} {
				if i := find(of, platform); i.Digest != "" || i.Now != digest.String() {
					l.Errorf("before pulling %s for %s: %+v", of, platform, i)
				}
				l.do(kernel.ImagePull{Reference: kernel.EngineImages + of, Platform: platform, Digest: digest.String()})
				if i := find(of, platform); i.Digest != i.Now || i.ID == "" || (i.Unfit != "") != (platform == "linux/riscv64") {
					l.Errorf("after pulling %s for %s: %+v", of, platform, i)
				}
			}
			p.Image, p.Platform, p.User, p.Argv = of, image.Machine(), "0", []string{"sh", "-c", "echo it runs"}
			l.start(p)
			l.awaitLog("n", "it runs\n")
			l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		}
		if err := l.Do(l.Context(), kernel.ImagePull{Reference: kernel.EngineImages + ref.Name(), Platform: "linux/s390x"}); err == nil {
			l.Errorf("pulled for what it is not for")
		}
		if err := remote.Write(ref, one); err != nil {
			l.Fatal(err)
		}
		l.do(kernel.ImagePull{Reference: kernel.EngineImages + ref.Name(), Platform: image.Machine(), Digest: digest.String()})
		planned := kernel.ImageQuery{Reference: kernel.EngineImages + ref.Name(), Platform: image.Machine(), Asked: true, Now: digest.String()}
		if found, err := l.Images(l.Context(), []kernel.ImageQuery{planned}); err != nil || found[0].Digest != digest.String() {
			l.Errorf("after the tag has gone on: %+v, %v", found, err)
		}
	})
}

// checkLines: "line 1", "line 2" and so on, and "last".
func checkLines(l *lab, log string) {
	l.Helper()
	lines := strings.Split(strings.TrimSuffix(log, "\n"), "\n")
	var want []string
	for i := range len(lines) - 1 {
		want = append(want, fmt.Sprintf("line %d", i+1))
	}
	if !slices.Equal(lines, append(want, "last")) {
		l.Errorf("the log is %q", log)
	}
}
