package testhost

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TopoVariable names the topo that is tested. The processes that [Outside] starts inherit it.
const TopoVariable = "TOPO_TEST_BINARY"

// RunWithTopo is a TestMain for tests of the program as users run it: it builds one where [TopoVariable] names none.
func RunWithTopo(m *testing.M) (code int) {
	flag.Parse()
	if os.Getenv(TopoVariable) != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "topo-built-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir, "topo/cmd/topo")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as make build
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building topo: %v\n%s", err, out)
		return 1
	}
	os.Setenv(TopoVariable, filepath.Join(dir, "topo"))
	return m.Run()
}
