package examples_test

import (
	"slices"
	"strings"
	"testing"

	"topo/internal/testhost"
)

func TestScale(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "scale.yaml")
	resolves := func(name string, want ...string) {
		t.Helper()
		out := l.topo("exec", "client", "getent", "ahostsv4", name)
		var got []string
		for line := range strings.Lines(out) {
			if f := strings.Fields(line); f[1] == "STREAM" {
				got = append(got, f[0])
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	all := []string{"172.31.8.3", "172.31.8.4", "172.31.8.5"} // client, a namespace, has the first
	resolves("web", all...)
	resolves("site", all...)
	for port, node := range map[string]string{"8000": "web-1", "8001": "web-2", "8002": "web-3"} {
		l.shows(get("http://127.0.0.1:"+port), node)
		l.shows(in("scale-client", get("http://"+node)), node)
	}
	if out := l.topo("ps", "web"); strings.Count(out, "web-") != 3 || strings.Contains(out, "client") {
		t.Errorf("ps web:\n%s", out)
	}
	if out, code := l.try("exec", "web", "true"); code == 0 || !strings.Contains(out, "web stands for 3 nodes; name one, as web-1") {
		t.Errorf("exec web: %d\n%s", code, out)
	}

	// Fewer: the last ones go. More: those that there are run on.
	pid := l.pid("web-1")
	l.topo("up", "--scale", "web=1")
	resolves("web", all[0])
	l.fails(noGet("http://127.0.0.1:8001"))
	l.up()
	l.settled()
	resolves("web", all...)
	if l.pid("web-1") != pid {
		t.Error("web-1 was started anew")
	}
	l.topo("up", "--scale", "web=0", "web")
	if out := l.topo("ps"); strings.Contains(out, "web-") || !strings.Contains(out, "client") {
		t.Errorf("without any web:\n%s", out)
	}
	l.up()
	l.topo("stop", "-t", "0", "web")
	l.topo("start", "web")
	l.up()

	l.topo("up", "--profile", "debug")
	l.sh(in("scale-debug", ping("172.31.8.3")))
	l.up()
	l.fails("ip netns exec scale-debug true")
	l.settled()
	l.down()
}
