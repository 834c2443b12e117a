package examples_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"topo/internal/testhost"
)

func TestUserns(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "userns.yaml")
	l.shows("curl -s --retry 20 --retry-connrefused --retry-delay 1 http://172.31.11.2/", "Directory listing")

	// Inside it is root, outside it is nobody.
	found := regexp.MustCompile(`private: root is (\d+) on the host`).FindStringSubmatch(l.topo("inspect", "web"))
	if found == nil {
		t.Fatalf("inspect doesn't say who it is:\n%s", l.topo("inspect", "web"))
	}
	if got, want := strings.Fields(l.topo("exec", "web", "cat", "/proc/self/uid_map")), []string{"0", found[1], "65536"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("uid_map is %q, want %q", got, want)
	}
	if uids := strings.Fields(l.sh("grep Uid: /proc/" + l.pid("web") + "/status"))[1:]; fmt.Sprint(uids) != fmt.Sprint([]string{found[1], found[1], found[1], found[1]}) {
		t.Errorf("on the host it runs as %q, want %s", uids, found[1])
	}
	l.sh("! getent passwd " + found[1])

	// What is its own is root's there, also in its volume, which on disk is any container's.
	if got, want := l.topo("exec", "web", "sh", "-c", "touch /srv/x /usr/x && stat -c %u:%g /srv/x /usr/x && id -un"), "0:0\n0:0\nroot\n"; got != want {
		t.Errorf("what it made is of %q, want %q", got, want)
	}
	l.sh("stat -c %u /var/lib/topo/volumes/userns_data/data/x | grep -qx 0")
	// The host's files are the host's.
	for _, line := range []string{"echo x > /mnt/hostname", "cat /mnt/shadow", "chown 0 /mnt/hostname", "ip link add d0 type veth"} {
		if out, code := l.try("exec", "web", "sh", "-c", line); code == 0 {
			t.Errorf("%q went through:\n%s", line, out)
		}
	}
	l.topo("exec", "web", "sh", "-c", "test -s /mnt/passwd && cat /mnt/passwd > /dev/null")
	l.topo("exec", "-u", "nobody", "web", "ping", "-c", "1", "-W", "5", "172.31.11.1")

	// Stopped and started again, it has its files.
	l.topo("stop", "web")
	l.topo("start", "web")
	l.topo("exec", "web", "sh", "-c", "test $(stat -c %u /usr/x) = 0")
	l.settled()
	l.topo("down", "-v")
	l.asBefore()
}
