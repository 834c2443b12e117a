package scripts_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/testhost"
)

// topoBinary builds topo, once a test: each runs on a machine of its own.
func topoBinary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "topo")
	testhost.Run(t, "go", "build", "-o", path, "topo/cmd/topo")
	return path
}

const page = "curl --fail --silent --show-error --max-time 10 http://127.0.0.1:5000/"

// The job of docs/ci.md: whatever its tests say, nothing is left.
func TestCIExample(t *testing.T) {
	for _, c := range []struct {
		name, test string
		ok         bool
		says       string
	}{
		{"tests pass", page + " | grep -q viewed", true, "up to date"},
		{"a test fails", "exit 7", false, ""},
		{"a test changes the network", "ip -n flask-redis-web link set eth0 mtu 1400", false, "changed outside topo"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			topo := topoBinary(t)
			before := testhost.Machine(t)
			cmd := exec.CommandContext(t.Context(), "./ci-example", "../examples/flask-redis.yaml", c.test)
			cmd.Env = append(os.Environ(), "TOPO="+topo)
			out, err := cmd.CombinedOutput()
			if (err == nil) != c.ok {
				t.Errorf("the job ended with: %v", err)
			}
			if !strings.Contains(string(out), c.says) {
				t.Errorf("the job does not say %q", c.says)
			}
			if diff := cmp.Diff(strings.Split(before, "\n"), strings.Split(testhost.Machine(t), "\n")); diff != "" {
				t.Errorf("the job left something (-before +after):\n%s", diff)
			}
			if t.Failed() {
				t.Logf("%s", out)
			}
		})
	}
}

// A file that is wrong ends the job before anything is touched.
func TestCIExampleRefuses(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	topo := topoBinary(t)
	file := filepath.Join(t.TempDir(), "wrong.yaml")
	if err := os.WriteFile(file, []byte("name: wrong\nnodes: {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := testhost.Machine(t)
	if out, err := testhost.Try(t, "env", "TOPO="+topo, "./ci-example", file, "true"); err == nil {
		t.Errorf("the job went on:\n%s", out)
	}
	if diff := cmp.Diff(before, testhost.Machine(t)); diff != "" {
		t.Errorf("a refused job changed the machine (-before +after):\n%s", diff)
	}
}

// The script that the page shows is the script that is tested.
func TestCIPage(t *testing.T) {
	text, err := os.ReadFile("../docs/ci.md")
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("ci-example")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "```sh\n"+string(script)+"```\n") {
		t.Error("docs/ci.md does not show scripts/ci-example as it is")
	}
}
