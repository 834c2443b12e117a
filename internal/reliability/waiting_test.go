package reliability_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"golang.org/x/sys/unix"

	"topo/internal/testhost"
	"topo/internal/tracer"
)

// TestWhoWaitsSaysForWhom stops a topo in the middle of an up. Others of its project and of other projects wait, each says for whom, and
// when that one goes on all do their work.
func TestWhoWaitsSaysForWhom(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := newHost(t, "network")
	n := crowd() / 2
	type waiter struct {
		*exec.Cmd
		log  string
		says *regexp.Regexp
	}
	const holder = `process [1-9]\d* \(\S*topo up -f \S*network\.yaml\)`
	const since = ` since \d\d:\d\d:\d\d\n`
	dir := t.TempDir()
	var waiters []waiter
	wait := func(says string, args ...string) {
		log := filepath.Join(dir, fmt.Sprint(len(waiters)))
		to, err := os.Create(log)
		if err != nil {
			t.Error(err)
			return
		}
		defer to.Close()
		cmd := exec.CommandContext(t.Context(), os.Getenv(binaryVariable), args...)
		cmd.Stdout, cmd.Stderr = to, to
		if err := cmd.Start(); err != nil {
			t.Error(err)
			return
		}
		waiters = append(waiters, waiter{cmd, log, regexp.MustCompile(says)})
	}
	r, met := h.during(midway, func() {
		for i := range n {
			wait(`topo: waiting: net is locked by `+holder+since, h.args([]string{"up", "--lock-timeout", patience.String()})...)
			file := filepath.Join(dir, fmt.Sprintf("q%d.yaml", i))
			if err := os.WriteFile(file, fmt.Appendf(nil, "name: q%d\nbridges: {app: {}}\n", i), 0o600); err != nil {
				t.Error(err)
			}
			wait(`topo: waiting: what all projects share is being changed by `+holder+` for net`+since, "up", "-f", file)
		}
		for _, w := range waiters {
			testhost.Poll(t, func() error {
				text, err := os.ReadFile(w.log)
				if err == nil && !w.says.Match(text) {
					err = fmt.Errorf("%s doesn't say for whom it waits:\n%s", w, text)
				}
				return err
			})
		}
	}, "up")
	if !met || r.Code != 0 {
		t.Fatalf("up, while others wait, met %t: %+v", met, r)
	}
	for _, w := range waiters {
		if err := w.Wait(); err != nil {
			text, _ := os.ReadFile(w.log) // it is the report of an error
			t.Errorf("%s: %v\n%s", w, err, text)
		}
	}
	h.must("plan", "--detailed-exitcode")
	h.must("down", "-v")
	for i := range n {
		testhost.Run(t, os.Getenv(binaryVariable), "down", "-p", fmt.Sprintf("q%d", i))
	}
	if diff := h.residue(); diff != "" {
		t.Errorf("left (-before +after):\n%s", diff)
	}
	t.Logf("figure: waiting: %d of the project and %d of others, each said for whom, and did its work", n, n)
}

// TestSomebodyLocksTables has another program hold the lock of iptables while topo wants it: of the old kind of tables, for one table or
// all. Then topo names that program, and what it could not do; the next run gets there. The nft kind has no lock.
func TestSomebodyLocksTables(t *testing.T) {
	t.Run("nft", func(t *testing.T) {
		t.Parallel()
		if testhost.Outside(t) {
			return
		}
		h := newHost(t, "network")
		defer lockTables(h)()
		h.must("up")
		h.must("down", "-v")
	})
	t.Run("legacy", func(t *testing.T) {
		t.Parallel()
		if testhost.Outside(t) {
			return
		}
		testhost.Legacy(t)
		h := newHost(t, "network")
		impatient(h)
		standing := h.broughtUp()
		runs := 0
		var c crashes
		tables := []string{"", "iptables *nat", "iptables *filter", "iptables *raw", "ip6tables *filter", "ip6tables *nat"}
		if !*whole {
			tables = tables[:2]
		}
		for _, table := range tables {
			if err := os.Setenv(lockedVariable, table); err != nil {
				t.Fatal(err)
			}
			p := point{by: "somebody", what: "lock of iptables, " + table}
			unlock := lockTables(h)
			out, code := h.topo("up", "--progress", "json")
			says := fmt.Sprintf("holds the lock of iptables, /run/xtables.lock: process %d (", os.Getpid())
			r := tracer.Result{Output: out, Code: code}
			if lie := h.untrue(r, h.left("up", nil, r), says); lie != "" || code != 1 {
				t.Errorf("%s: exit code %d; %s\n%s", p.what, code, lie, tail(out))
			}
			unlock()
			h.converges(&c, p, "up", standing)
			unlock = lockTables(h)
			if out, code := h.topo("down", "-v", "--progress", "json"); code != 1 || !regexp.MustCompile(regexp.QuoteMeta(says)).MatchString(out) {
				t.Errorf("%s: down: exit code %d\n%s", p.what, code, tail(out))
			}
			unlock()
			h.leavesNothing(&c, p, "down")
			runs += 2
		}
		t.Logf("figure: somebody locks iptables: %d runs, each named him, %d stuck, %d with residue; nft asks for no lock", runs, c.stuck, c.residue)
	})
}

// lockTables takes the lock of the old kind of tables, for this process.
func lockTables(h *host) (unlock func()) {
	h.Helper()
	f, err := os.OpenFile("/run/xtables.lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		h.Fatal(err)
	}
	return func() { f.Close() }
}

// lockedVariable has the table whose lock is held.
const lockedVariable = "TOPO_TEST_LOCKED"

// impatient makes iptables-restore wait a second, not topo's half minute, and not at all but for the table that lockedVariable names,
// or for all where it is empty.
func impatient(h *host) {
	h.Helper()
	dir := h.TempDir()
	for _, program := range []string{"iptables", "ip6tables"} {
		real, err := exec.LookPath(program + "-legacy-restore")
		if err != nil {
			h.Fatal(err)
		}
		script := `#!/bin/sh
read table
case "` + program + ` $table" in "$` + lockedVariable + `"*) ;; *) export XTABLES_LOCKFILE=/run/another.lock ;; esac
{ echo "$table"; cat; } | ` + real + ` --noflush --wait=1
`
		if err := os.WriteFile(filepath.Join(dir, program+"-restore"), []byte(script), 0o755); err != nil {
			h.Fatal(err)
		}
	}
	for _, file := range []string{"/run/another.lock", "/run/xtables.lock"} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			h.Fatal(err)
		}
	}
	before := os.Getenv("PATH")
	if err := os.Setenv("PATH", dir+":"+before); err != nil { // not h.Setenv, which refuses parallel tests: this one is alone in its process
		h.Fatal(err)
	}
	h.Cleanup(func() {
		if err := os.Setenv("PATH", before); err != nil {
			h.Error(err)
		}
	})
	h.before = h.machine()
}
