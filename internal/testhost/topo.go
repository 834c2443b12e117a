package testhost

import (
	"errors"
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
func RunWithTopo(m *testing.M) int {
	flag.Parse()
	if os.Getenv(TopoVariable) != "" {
		return m.Run()
	}
	code, err := buildTopo(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "building topo:", err)
		return 1
	}
	return code
}

// buildTopo builds it for the time that run takes.
func buildTopo(run func() int) (code int, err error) {
	dir, err := os.MkdirTemp("", "topo-built-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	build := exec.Command("go", "build", "-o", dir, "topo/cmd/topo")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as make build
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w\n%s", err, out)
	}
	if err := os.Setenv(TopoVariable, filepath.Join(dir, "topo")); err != nil {
		return 0, err
	}
	return run(), nil
}
