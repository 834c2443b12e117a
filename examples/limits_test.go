package examples_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"topo/internal/testhost"
)

func TestLimits(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	text, err := os.ReadFile("limits.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "limits.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(string(text))
	l := start(t, file)
	l.shows("curl -s --retry 20 --retry-connrefused --retry-delay 1 http://172.31.10.2:8000/", "Directory listing")
	for _, line := range []string{"touch /etc/x", "head -c 20m /dev/zero > /tmp/x", "ulimit -n 2000"} {
		if out, code := l.try("exec", "web", "sh", "-c", line); code == 0 {
			t.Errorf("%q went through:\n%s", line, out)
		}
	}
	status := l.topo("exec", "web", "cat", "/proc/self/status")
	if !strings.Contains(status, "CapBnd:\t0000000000000000\n") {
		t.Errorf("it has capabilities:\n%s", status)
	}
	inspect := func(wants ...string) {
		t.Helper()
		out := l.topo("inspect", "web")
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("inspect lacks %q:\n%s", want, out)
			}
		}
	}
	inspect("of 64MiB", "of 50\n", "cpus up to 0.5", "ulimit nofile 1024 to 1024", "cap_drop ALL", "tmpfs /tmp (mode=1777,size=16m)")

	// A limit changes in the running process.
	pid := l.pid("web")
	write(strings.NewReplacer("mem_limit: 64m", "mem_limit: 128m", "cpus: 0.5", "cpus: 1", "pids_limit: 50", "").Replace(string(text)))
	if plan := l.topo("plan"); !strings.Contains(plan, "~ process/web  mem_limit 64MiB → 128MiB, cpus 0.5 → 1, pids_limit 50 → none  edited") {
		t.Errorf("the plan is\n%s", plan)
	}
	l.up()
	l.settled()
	inspect("of 128MiB", "cpus up to 1\n")
	if now := l.pid("web"); now != pid {
		t.Errorf("the process was %s and is %s", pid, now)
	}
	// What somebody else changes is repaired, in the running process.
	group := strings.TrimSpace(l.sh("first=$(sed -n 's/.*:pids://p' /proc/" + pid + "/cgroup); " +
		"echo /sys/fs/cgroup${first:+/pids}${first:-$(sed -n 's/^0:://p' /proc/" + pid + "/cgroup)}"))
	l.heal("echo 7 > "+group+"/pids.max", "~ process/web")
	if now := l.pid("web"); now != pid {
		t.Errorf("after the repair the process was %s and is %s", pid, now)
	}
	l.down()
}
