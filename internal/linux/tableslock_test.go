package linux

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// Somebody held the lock of iptables, and topo waited for ever without a word, with all other topos behind it.
func TestTheLockOfOldTablesIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	testhost.Legacy(t)
	h := open(t)
	for _, tables := range h.tables {
		tables.flags = func() ([]string, error) { return []string{"--noflush", "--wait=1"}, nil }
	}
	const file = "/run/xtables.lock"
	holder := exec.Command("flock", "--no-fork", file, "sleep", "infinity")
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	testhost.Poll(t, func() error {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		if !holds(holder.Process.Pid, f) {
			return errors.New("not locked yet")
		}
		return nil
	})
	edit := []kernel.Op{kernel.Iptables{Family: kernel.IPv4, Table: "filter", Args: "-N TOPO-USER"}}
	err := h.Do(t.Context(), edit)
	var locked *TablesLockedError
	if !errors.As(err, &locked) || !errors.Is(err, unix.EBUSY) || locked.PID != holder.Process.Pid || locked.Command != "sleep infinity" || locked.File != file {
		t.Errorf("error %v", err)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait() // says that it was killed
	if err := h.Do(t.Context(), edit); err != nil {
		t.Error(err)
	}
}
