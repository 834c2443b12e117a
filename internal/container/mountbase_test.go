package container

import (
	"strings"
	"testing"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// Where systemd has made all mounts shared, what ip netns mounts is there twice: in /run/netns, and in /run below it.
func TestSharedMounts(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	testhost.Run(t, "mount", "--make-rshared", "/")
	inLab(t, Config{}, func(l *lab) {
		testhost.Run(l, "ip", "netns", "add", "lab-other")
		defer testhost.Run(l, "ip", "netns", "delete", "lab-other")
		l.start(kernel.Process{Container: true, Argv: []string{"sleep", "1000"}})
		l.start(kernel.Process{Node: "plain", Argv: []string{"sleep", "1000"}})
		for _, node := range []string{"n", "plain"} {
			if _, out, _ := l.exec(ExecRequest{Node: node, Argv: []string{"cat", "/proc/self/mountinfo"}}); strings.Contains(out, netnsDir) {
				t.Errorf("%s has mounts of namespaces:\n%s", node, out)
			}
		}
	})
}
