package examples_test

import (
	"testing"

	"topo/internal/testhost"
)

func TestOverride(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "override/topo.yaml")
	l.shows(get("http://127.0.0.1:8080"), "topo.override.yaml")
	both := func(args string) string { return l.sh("cd override && $" + binaryVariable + " " + args) }
	both("up --wait")
	l.shows(get("http://127.0.0.1:8081"), "topo.override.yaml")
	l.shows(get("http://127.0.0.1:8082"), "topo.override.yaml")
	l.fails(noGet("http://127.0.0.1:8080"))
	for _, node := range []string{"web-1", "web-2"} {
		if env := l.topo("exec", node, "sh", "-c", "echo $STAGE $DEBUG $LANG"); env != "trial 1 C.UTF-8\n" {
			t.Errorf("%s has %q", node, env)
		}
	}
	both("plan -f topo.yaml -f topo.override.yaml --detailed-exitcode")
	both("down")
	l.asBefore()
}
