package testhost

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// Engines are the ways to have containers run by Docker's API: by Podman with either OCI runtime and, on a machine that has it, by
// Docker.
func Engines() []string {
	engines := []string{"podman-crun", "podman-runc"}
	if _, err := exec.LookPath("dockerd"); err == nil {
		engines = append(engines, "docker")
	}
	return engines
}

// Engine starts one on the test's machine, at the socket where it is looked for. It takes images from these registries (HOST:PORT) without
// encryption. It gives what makes a shell's command line of the engine's own program.
//
// The engine has a mount namespace of its own: without the hybrid control groups that crun 1.8.1 can't do with, and with a
// /dev/shm in which Podman's locks are its own. What is mounted later in /run/netns reaches it, as on a machine whose
// mounts systemd has made shared.
func Engine(t testing.TB, engine string, registries ...string) (command string) {
	t.Helper()
	if _, err := exec.LookPath("podman"); err != nil && engine != "docker" {
		t.Skip("needs podman")
	}
	Run(t, "sh", "-c", "mount --make-rshared / && mkdir -p /run/podman /run/engine")
	var client, service, socket string
	switch runtime, podman := strings.CutPrefix(engine, "podman-"); {
	case podman:
		conf := "[engine]\ncgroup_manager=\"cgroupfs\"\nevents_logger=\"file\"\n"
		var known strings.Builder
		for _, r := range registries {
			fmt.Fprintf(&known, "[[registry]]\nlocation=%q\ninsecure=true\n", r)
		}
		for name, text := range map[string]string{"containers.conf": conf, "registries.conf": known.String()} {
			if err := os.WriteFile("/run/engine/"+name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		client = "env CONTAINERS_CONF=/run/engine/containers.conf CONTAINERS_REGISTRIES_CONF=/run/engine/registries.conf podman " +
			"--root /run/engine/root --runroot /run/engine/run --tmpdir /run/engine/tmp --storage-driver overlay --log-level error --runtime " + runtime + " "
		socket = "/run/podman/podman.sock"
		service = client + "system service --time 0 unix://" + socket
	default: // it takes all of 127.0.0.0/8 without encryption
		client, socket = "docker ", "/run/docker.sock"
		service = "dockerd --log-level error --iptables=false --ip6tables=false --bridge=none --data-root /run/engine/root --exec-root /run/engine/run --pidfile /run/engine/pid " +
			"--host unix://" + socket
	}
	run := exec.Command("unshare", "--mount", "--propagation", "slave", "sh", "-c",
		"umount /sys/fs/cgroup/unified 2>/dev/null; mount -t tmpfs tmpfs /dev/shm && exec "+service)
	run.Dir = "/run/engine" // conmon leaves files where it is
	run.Stdout, run.Stderr = t.Output(), t.Output()
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = run.Process.Signal(os.Interrupt)
		_ = run.Wait()
		// They leave the groups that those of containers were in.
		for _, parent := range []string{"libpod_parent", "docker"} {
			_, _ = exec.Command("find", "/sys/fs/cgroup", "-depth", "-name", parent, "-exec", "rmdir", "{}", ";").CombinedOutput()
		}
	})
	Poll(t, func() error {
		return exec.Command("curl", "--silent", "--fail", "--unix-socket", socket, "http://d/_ping").Run()
	})
	return fmt.Sprintf("nsenter --mount=/proc/%d/ns/mnt ", run.Process.Pid) + client
}

// ofEngine is what a machine's text (Machine) has of an engine, whose processes come and go.
var ofEngine = regexp.MustCompile(`conmon|podman|docker|containerd|/run/engine|/var/lib/containers|/run/(crun|runc|libpod|containers)|libpod`)

// WithoutEngine leaves out of a machine's text what is an engine's own.
func WithoutEngine(machine string) string {
	var rest strings.Builder
	for line := range strings.Lines(machine) {
		if !ofEngine.MatchString(line) {
			rest.WriteString(line)
		}
	}
	return rest.String()
}
