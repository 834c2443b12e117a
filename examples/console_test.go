package examples_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"topo/internal/testhost"
)

func TestConsole(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "console.yaml")
	l.topo("cp", "console.yaml", "shell:/srv")
	typed := func(line string) string {
		t.Helper()
		return l.sh("echo '" + line + "' | $" + binaryVariable + " attach -f console.yaml shell; echo code $?")
	}
	if got := typed("ip -4 -o route; cp /etc/hosts /srv; ls /srv; exit 3"); !strings.Contains(got, "172.28.0.0/24 dev eth0") ||
		!strings.HasSuffix(got, "console.yaml\nhosts\ncode 3\n") {
		t.Errorf("the shell answers %q", got)
	}
	to := t.TempDir()
	l.topo("cp", "shell:/srv/.", to)
	if hosts, err := os.ReadFile(filepath.Join(to, "hosts")); err != nil || !strings.Contains(string(hosts), "shell") {
		t.Errorf("its hosts file is %q, %v", hosts, err)
	}
	l.topo("start")
	if got := typed("cat /srv/console.yaml; exit"); !strings.Contains(got, "stdin_open: true") {
		t.Errorf("after its end it has %q", got)
	}
	l.down()
}
