package reliability_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"topo/internal/testhost"
)

// TestFilesAreTheirOwnersAlone: whatever the umask of who runs topo, nobody else gets at what it keeps below /run/topo and
// /var/lib/topo: not at a file, a FIFO or the control socket; and all can read what programs of all users need, in /etc/netns.
func TestFilesAreTheirOwnersAlone(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	for _, umask := range []int{0, 0o077} {
		t.Run(fmt.Sprintf("umask %03o", umask), func(t *testing.T) {
			h := newHost(t, "processes")
			defer unix.Umask(unix.Umask(umask))
			h.must("up")
			kept, read := 0, 0
			for _, top := range []string{"/run/topo", "/var/lib/topo"} {
				kept += checkOwners(t, top)
			}
			for path, mode := range modes(t, "/etc/netns") {
				read++
				if mode&0o004 == 0 || mode.IsDir() && mode&0o001 == 0 || mode&0o022 != 0 {
					t.Errorf("%s has the mode %v: all must be able to read it, and its owner alone to write it", path, mode)
				}
			}
			if kept < 20 || read < 3 {
				t.Errorf("%d files of topo's own, %d for programs: not everything was there", kept, read)
			}
			h.must("down")
			t.Logf("figure: files that are their owner's alone: umask %03o: %d of %d", umask, kept, kept)
			for _, card := range []string{"em1", "em2"} { // for the next host
				testhost.Run(t, "ip", "link", "delete", card)
			}
		})
	}
}

// checkOwners checks that all in a folder of topo's own is nobody else's by its own mode, and not only because it is out of
// reach; what programs see as their roots and volumes is theirs, below a folder that lets nobody in.
func checkOwners(t *testing.T, top string) (checked int) {
	t.Helper()
	all := modes(t, top)
	if len(all) < 2 {
		t.Fatalf("%s is empty", top)
	}
	socket := false
	for path, mode := range all {
		if programs(path) || path == "/var/lib/topo" { // which is a mount of the test's own
			continue
		}
		checked++
		socket = socket || mode&fs.ModeSocket != 0
		if mode&fs.ModeSymlink == 0 && mode.Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %v", path, mode)
		}
	}
	if top == "/run/topo" && !socket {
		t.Error("there is no control socket")
	}
	return checked
}

// programs reports whether a file is in the root of a container or a volume: below a folder that lets its owner alone in.
func programs(path string) bool {
	for _, part := range []string{"/root/", "/bundle/", "/data/", "/volumes/", "/runtime/"} {
		if strings.Contains(path+"/", part) {
			return true
		}
	}
	return false
}

func modes(t *testing.T, top string) map[string]fs.FileMode {
	t.Helper()
	all := map[string]fs.FileMode{}
	err := filepath.WalkDir(top, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err == nil {
			all[path] = info.Mode()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestNobodyElseIsAnswered: somebody else can't hold a lock of topo's, nor ask its supervisor anything.
func TestNobodyElseIsAnswered(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	h := newHost(t, "processes")
	h.must("up")
	for _, try := range []string{
		"cat /run/topo/projects/run/applied.json", "ls /run/topo", "ls /var/lib/topo/projects", "flock -n /run/topo/locks/host.lock true",
		"socat - UNIX-CONNECT:/run/topo/projects/run/supervisor.sock </dev/null",
	} {
		if out := testhost.Run(t, "sh", "-c", "setpriv --reuid 65534 --regid 65534 --clear-groups sh -c '"+try+"' 2>&1; echo code $?"); strings.HasSuffix(out, "code 0\n") {
			t.Errorf("%s worked for somebody else: %s", try, out)
		}
	}
	// The file's mode is one thing; the supervisor itself asks who it is.
	const folders = "/run/topo /run/topo/projects /run/topo/projects/run"
	testhost.Run(t, "sh", "-c", "chmod 711 "+folders+" && chmod 666 /run/topo/projects/run/supervisor.sock")
	ask := `printf '{"op":"stop","node":"log"}\n' | setpriv --reuid 65534 --regid 65534 --clear-groups socat -t 5 - UNIX-CONNECT:/run/topo/projects/run/supervisor.sock 2>&1; true`
	if out := testhost.Run(t, "sh", "-c", ask); strings.Contains(out, "{}") {
		t.Errorf("the supervisor answers %q", out)
	}
	if out, code := h.topo("ps"); code != 0 || strings.Count(out, "running") < 3 {
		t.Errorf("after somebody else asked for a stop: exit code %d\n%s", code, out)
	}
	testhost.Run(t, "sh", "-c", "chmod 700 "+folders)
	h.must("down")
}
