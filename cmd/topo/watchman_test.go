package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topo/internal/testhost"
)

var kills = flag.Int("topo.kills", 12, "how often topo up --confirm is killed at a random moment")

const firstFile = `name: lab
bridges:
  br: {subnet: 10.9.1.0/24}
  old: {subnet: 10.9.3.0/24}
namespaces:
  a: {bridges: {br: {address: 10.9.1.10}, old: {address: 10.9.3.10}}, sysctls: {net.ipv4.conf.eth0.rp_filter: 2}}
  b: {bridges: {br: {address: 10.9.1.11}}, ports: ["8080:80"]}
links:
  - [a:x, b:x]
`

const secondFile = `name: lab
bridges:
  br: {subnet: 10.9.2.0/24, mtu: 1400}
  new: {subnet: 10.9.4.0/24, internal: true}
namespaces:
  a: {bridges: {br: {address: 10.9.2.10}}, ports: ["8081:80"]}
  c: {bridges: {br: {address: 10.9.2.12}, new: {}}}
  d: {bridges: [new]}
links:
  - [a:y, c:y]
`

// inHost prepares a folder with both files, and the state before.
func inHost(t *testing.T) (topo func(args ...string) *exec.Cmd) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"first.yaml": firstFile, "second.yaml": secondFile} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return func(args ...string) *exec.Cmd {
		cmd := exec.Command("topo", args...)
		cmd.Dir = dir
		return cmd
	}
}

func succeeds(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
}

// asBefore is the machine without what the kernel makes up anew: the numbers of links and namespaces, and link-local addresses, which a
// link that ever had a carrier keeps; nor operational states, which follow in the kernel's own time.
func asBefore(t *testing.T) string {
	t.Helper()
	var lines []string
	section := ""
	for line := range strings.Lines(testhost.Machine(t)) {
		if strings.HasPrefix(line, "== ") {
			section = strings.TrimSpace(line)
		}
		if !strings.Contains(line, "fe80:") && !strings.Contains(line, "/run/topo/locks") { // the file of a lock that nobody holds means nothing
			lines = append(lines, section+": "+madeUp.ReplaceAllString(line, ""))
		}
	}
	slices.Sort(lines) // links are listed by their numbers
	return strings.Join(lines, "")
}

var madeUp = regexp.MustCompile(`^\d+: |@if\d+|net:\[\d+\]|link-netnsid \d+|NO-CARRIER,| state [A-Z]+|( dead)? linkdown`)

// undone waits until the machine is what it was, nobody watches and nothing is kept.
func undone(t *testing.T, before string) {
	t.Helper()
	testhost.Poll(t, func() error {
		if _, e := os.Stat("/run/topo/confirm"); e == nil {
			return errors.New("it still waits for confirmation")
		}
		// What was done is told in a file.
		if e := os.RemoveAll("/run/topo/put-back"); e != nil {
			t.Fatal(e)
		}
		if now := asBefore(t); now != before {
			return fmt.Errorf("the machine is not what it was:\n%s", cmp.Diff(before, now))
		}
		return nil
	})
}

// 5: topo is killed at any moment of up --confirm: what was before is back, within the time and what putting it back takes.
func TestKilledUpIsUndone(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	topo := inHost(t)
	succeeds(t, topo("up", "-f", "first.yaml"))
	before := asBefore(t)
	began := time.Now()
	succeeds(t, topo("up", "-f", "second.yaml", "--confirm", "1h"))
	whole := time.Since(began)
	if asBefore(t) == before {
		t.Fatal("the second file changes nothing")
	}
	succeeds(t, topo("confirm", "-p", "lab", "--revert"))
	undone(t, before)
	const patience = 2 * time.Second
	running, slowest := 0, time.Duration(0)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range *kills {
		cmd := topo("up", "-f", "second.yaml", "--confirm", patience.String())
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.Int64N(int64(whole + whole/4)))) // the moment is what is random here
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		err := cmd.Wait()
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			running++
		} else if err != nil {
			t.Fatalf("up: %v", err)
		}
		killed := time.Now()
		undone(t, before)
		slowest = max(slowest, time.Since(killed))
	}
	if running == 0 && *kills > 1 {
		t.Fatal("topo was never killed in the middle")
	}
	t.Logf("figure: confirm: topo killed %d times at a random moment of up --confirm %s (%d while it ran): 0 times what was before was not back; slowest %s after the kill",
		*kills, patience, running, slowest.Round(time.Millisecond))
	succeeds(t, topo("down", "-p", "lab"))
}

// A topo that does not go on, because its terminal does not take what it says, is stuck: it is ended, and what was before comes back.
func TestStuckUpIsUndone(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	topo := inHost(t)
	succeeds(t, topo("up", "-f", "first.yaml"))
	before := asBefore(t)
	cmd := topo("up", "-f", "second.yaml", "--confirm", "1s")
	nobody, terminal, err := os.Pipe() // which nobody reads
	if err != nil {
		t.Fatal(err)
	}
	defer nobody.Close()
	fd := int(terminal.Fd()) // which makes it a blocking one
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for full := false; !full; {
		_, err := syscall.Write(fd, make([]byte, 1024))
		full = err != nil
	}
	if err := syscall.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = terminal
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("topo ended with %v", err)
	}
	undone(t, before)
	succeeds(t, topo("down", "-p", "lab"))
}
