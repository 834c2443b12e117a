package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"topo/internal/testhost"
)

// livingFile is a neighbour of those that die. Its process is to be the same one all along.
const livingFile = `name: alive
bridges: {net: {subnet: [10.31.0.0/24, "fd31::/64"]}}
namespaces:
  a: {bridges: [net], command: [sleep, "4720"], ports: ["8131:80"]}
`

// dyingFile has a bit of everything that up makes.
const dyingFile = `name: dying
bridges: {net: {subnet: [10.32.0.0/24, "fd32::/64"]}}
namespaces:
  a: {bridges: [net], sysctls: {net.ipv4.ip_forward: "1"}, ports: ["8132:80"]}
  b: {bridges: [net], command: [sleep, "4721"], restart: always, stop_signal: SIGKILL}
containers:
  c: {bridges: [net], command: [sleep, "4722"], stop_signal: SIGKILL}
links: [[a:x, b:y]]
`

// Whatever moment up or down is killed at, and in whatever way the project is dead then, gc leaves the machine as it was
// before that project, byte for byte, and the neighbour's processes as they are. TOPO_GC_KILLS=N kills N times.
func TestGCAfterKill(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	rounds := 6
	if text := os.Getenv("TOPO_GC_KILLS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("TOPO_GC_KILLS=%s", text)
		}
		rounds = n
	}
	const seed = 20
	random := rand.New(rand.NewPCG(seed, seed))
	living := writeFile(t, livingFile)
	must(t, "up", "-f", living)
	before := settled(t)
	deaths := map[string]int{}
	for i := range rounds {
		verb := []string{"up", "up", "down"}[random.IntN(3)]
		death := []string{"state folder", "file", "processes"}[random.IntN(3)]
		file := writeFile(t, dyingFile)
		if verb == "down" || death == "file" {
			must(t, "up", "-f", file)
		}
		if verb == "up" && death == "file" {
			must(t, "down", "-f", file)
			must(t, "up", "-f", file)
			if err := os.WriteFile(file, []byte(strings.ReplaceAll(dyingFile, "10.32", "10.33")), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		killTopo(t, time.Duration(random.IntN(400))*time.Millisecond, verb, "-f", file)
		die(t, death, file)
		deaths[verb+", "+death]++
		code, said := topo("gc", "--yes")
		if code != exitDone {
			t.Fatalf("round %d (%s, %s): gc ends with %d:\n%s", i, verb, death, code, said)
		}
		if after := testhost.Machine(t); after != before {
			t.Fatalf("round %d (%s, %s): something is left:\n%s\ngc said:\n%s", i, verb, death, cmp.Diff(before, after), said)
		}
	}
	must(t, "down", "-f", living)
	t.Logf("figure: gc after kill -9: %d kills (%v), 0 left over, 0 changes of the living neighbour", rounds, deaths)
}

// killTopo begins a command, kills it after a while, and waits until what it had begun is through.
func killTopo(t *testing.T, after time.Duration, args ...string) {
	t.Helper()
	cmd := exec.Command(topoProgram(t), args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) // it may have ended by itself
	_ = cmd.Wait()
	kill.Stop()
	last := ""
	testhost.Poll(t, func() error {
		now := testhost.Machine(t)
		if now != last {
			last = now
			return errors.New("the machine still changes")
		}
		return nil
	})
}

// die makes a project dead.
func die(t *testing.T, how, file string) {
	t.Helper()
	const state = "/run/topo/projects/dying"
	if how == "processes" {
		killRecorded(t, state)
		if nodes, err := filepath.Glob(state + "/nodes/*/process.json"); err != nil || len(nodes) > 0 {
			return
		}
		how = "file" // it had none: there is nothing that can be dead of it
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(state + "/source.json"); how == "file" && err == nil {
		return
	}
	if err := os.RemoveAll(state); err != nil {
		t.Fatal(err)
	}
}

// killRecorded kills all processes that records name, the supervisor first, and waits until the kernel is through with them.
func killRecorded(t *testing.T, state string) {
	t.Helper()
	records, err := filepath.Glob(state + "/nodes/*/state.json")
	if err != nil {
		t.Fatal(err)
	}
	var killed []int
	for _, path := range append([]string{state + "/supervisor.json"}, records...) {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var who struct{ PID int }
		if err := errors.Join(err, json.Unmarshal(data, &who)); err != nil {
			t.Fatal(err)
		}
		if who.PID == 0 {
			continue
		}
		if err := unix.Kill(who.PID, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			t.Fatal(err)
		}
		killed = append(killed, who.PID)
	}
	testhost.Poll(t, func() error {
		for _, pid := range killed {
			if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err == nil {
				return fmt.Errorf("process %d is still there", pid)
			}
		}
		return nil
	})
}

// topoProgram is a program that is topo: the test binary by that name (testscript.Main).
func topoProgram(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	topo := filepath.Join(t.TempDir(), "topo")
	if err := os.Symlink(self, topo); err != nil {
		t.Fatal(err)
	}
	return topo
}
