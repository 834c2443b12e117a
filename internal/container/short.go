package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// Short says which needs of containers the machine can't meet; runtimes are those that are stated, "" for topo's own choice.
// It changes nothing.
func (e *Engine) Short(runtimes []string) (map[kernel.Need]string, error) {
	short := map[kernel.Need]string{}
	data := existing(e.config.DataDir)
	if err := unix.Access(data, unix.W_OK); err != nil {
		short[kernel.NeedData] = fmt.Sprintf("writing %s: %v", data, err)
	}
	if len(runtimes) == 0 {
		return short, nil
	}
	for _, name := range runtimes {
		if _, err := findRuntimes(name, ""); err != nil {
			short[kernel.NeedRuntimeOf(name)] = strings.TrimPrefix(err.Error(), "finding an OCI runtime: ")
		}
	}
	mounts, err := readMounts("self")
	if err != nil {
		return nil, err
	}
	for _, m := range mounts {
		if (m.fstype == "cgroup" || m.fstype == "cgroup2") && within(m.path, cgroupDir) {
			if err := unix.Access(m.path, unix.W_OK); err != nil {
				short[kernel.NeedCgroups] = fmt.Sprintf("writing %s: %v", m.path, err)
			}
		}
	}
	there, err := hasOverlay()
	if err != nil {
		return nil, fmt.Errorf("looking for overlay: %w", err)
	}
	if !there {
		short[kernel.NeedOverlay] = "this kernel has no such file system, and no module of it is installed"
	}
	return short, nil
}

// hasOverlay reports whether the kernel has overlays, or a module that mount(2) loads for them.
func hasOverlay() (bool, error) {
	list, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(list)) {
		if words := strings.Fields(line); len(words) > 0 && words[len(words)-1] == "overlay" {
			return true, nil
		}
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return false, err
	}
	deps, err := os.ReadFile(filepath.Join("/lib/modules", unix.ByteSliceToString(uts.Release[:]), "modules.dep"))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return strings.Contains(string(deps), "/overlay.ko"), err
}
