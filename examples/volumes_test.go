package examples_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/testhost"
)

func TestVolumes(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "volumes.yaml")
	page, err := os.ReadFile("nginx/index.html")
	if err != nil {
		t.Fatal(err)
	}
	write := func(node, path, text string) { t.Helper(); l.topo("exec", node, "sh", "-c", "echo "+text+" > "+path) }
	has := func(node, path, want string) {
		t.Helper()
		if got := l.topo("exec", node, "cat", path); got != want {
			t.Errorf("%s has %q in %s, want %q", node, got, path, want)
		}
	}
	refuses := func(node, path string) {
		t.Helper()
		if out, code := l.try("exec", node, "touch", path); code == 0 || !strings.Contains(out, "Read-only file system") {
			t.Errorf("%s writes %s: exit code %d, %s", node, path, code, out)
		}
	}
	write("store", "/data/letter", "precious")
	write("store", "/cache/page", "cached")
	for _, node := range []string{"store", "reader"} {
		has(node, "/data/letter", "precious\n")
		has(node, "/cache/page", "cached\n")
		has(node, "/etc/page.html", string(page))
		has(node, "/srv/page/index.html", string(page))
		refuses(node, "/srv/page/x")
		refuses(node, "/etc/page.html")
	}
	refuses("reader", "/data/x")
	refuses("reader", "/cache/x")
	if out := l.topo("exec", "store", "sh", "-c", "stat -f -c %T /scratch; stat -c %a /scratch"); out != "tmpfs\n700\n" {
		t.Errorf("/scratch is %q", out)
	}
	l.topo("exec", "reader", "test", "!", "-e", "/scratch/x")
	if got, want := l.listedVolumes(), []string{"volumes_data: reader store", "volumes_store_4f7cfe6fcd42: reader store"}; !slices.Equal(got, want) {
		t.Errorf("topo volume ls: %q, want %q", got, want)
	}

	// The data outlives the process, and down.
	pid := l.pid("store")
	l.sh("kill -KILL " + pid)
	l.gone(pid)
	l.up()
	has("store", "/data/letter", "precious\n")
	has("store", "/cache/page", "cached\n")
	l.topo("down")
	if got := l.listedVolumes(); len(got) != 2 {
		t.Errorf("after down: %q", got)
	}
	l.up()
	l.settled()
	has("reader", "/data/letter", "precious\n")
	has("store", "/cache/page", "cached\n")
	l.downWithVolumes()
	l.up()
	l.topo("exec", "store", "test", "!", "-e", "/data/letter")
	l.downWithVolumes()
}

func TestVolumesBackup(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "volumes-backup.yaml")
	all := func(node string) string {
		return l.topo("exec", node, "sh", "-c", "cd /data && stat -c '%n %s %u:%g %a %h %Y' * && cat letter made && test letter -ef again && echo linked")
	}
	want := all("store")
	if !strings.Contains(want, "precious\n") || !strings.Contains(want, "letter 9 1234:55 640 2") || !strings.Contains(want, "linked") {
		t.Errorf("the store has:\n%s", want)
	}
	if diff := cmp.Diff(want, all("check")); diff != "" {
		t.Errorf("what was restored differs (-made +restored):\n%s", diff)
	}
	if out, code := l.try("exec", "check", "touch", "/data/x"); code == 0 || !strings.Contains(out, "Read-only file system") {
		t.Errorf("a read-only mount is written: exit code %d, %s", code, out)
	}
	l.topo("down")
	l.up()
	if diff := cmp.Diff(want, all("store")); diff != "" {
		t.Errorf("after down and up (-before +after):\n%s", diff)
	}
	l.downWithVolumes()
}

// listedVolumes is topo volume ls: "NAME: USER…".
func (l *lab) listedVolumes() []string {
	l.Helper()
	out := testhost.Run(l.T, os.Getenv(binaryVariable), "volume", "ls", "--json")
	var list []struct {
		Name  string
		Users []struct{ Node string }
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		l.Fatalf("reading topo volume ls: %v\n%s", err, out)
	}
	var lines []string
	for _, v := range list {
		line := v.Name + ":"
		for _, u := range v.Users {
			line += " " + u.Node
		}
		lines = append(lines, line)
	}
	return lines
}

// downWithVolumes takes the lab down, and nothing must be left of it, of its volumes neither.
func (l *lab) downWithVolumes() {
	l.Helper()
	l.topo("down", "-v")
	if diff := cmp.Diff(testhost.Steady(l.before), testhost.Steady(testhost.Machine(l.T))); diff != "" {
		l.Errorf("the machine is not what it was before (-before +after):\n%s", diff)
	}
}
