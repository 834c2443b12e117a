package container

import (
	"io/fs"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// deviceRules are Docker's: nothing, but any node may be made (mknod), and these be used. The
// runtime makes null, zero, full, random, urandom, tty, console and ptmx.
func deviceRules() []specs.LinuxDeviceCgroup {
	number := func(n int64) *int64 { return &n }
	rules := []specs.LinuxDeviceCgroup{
		{Allow: false, Access: "rwm"},
		{Allow: true, Type: "c", Access: "m"},
		{Allow: true, Type: "b", Access: "m"},
	}
	for _, d := range [][2]int64{
		{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, // null, zero, full, random, urandom
		{5, 0}, {5, 1}, {5, 2}, // tty, console, ptmx
	} {
		rules = append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: number(d[0]), Minor: number(d[1]), Access: "rwm"})
	}
	// The terminals of devpts.
	return append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: number(136), Access: "rwm"})
}

// hostDevices are all devices of the host's /dev, for privileged containers. Terminals and what is
// mounted in /dev are left out: the container has its own.
func hostDevices() []specs.LinuxDevice {
	var devices []specs.LinuxDevice
	own := map[string]bool{"/dev/pts": true, "/dev/shm": true, "/dev/mqueue": true, "/dev/console": true, "/dev/ptmx": true}
	// What can't be read is not there for the container either.
	_ = filepath.WalkDir("/dev", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if own[path] {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		var kind string
		switch {
		case entry.Type()&fs.ModeCharDevice != 0:
			kind = "c"
		case entry.Type()&fs.ModeDevice != 0:
			kind = "b"
		default:
			return nil
		}
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			return nil
		}
		mode := os.FileMode(st.Mode & 0o777)
		devices = append(devices, specs.LinuxDevice{
			Path: path, Type: kind, Major: int64(unix.Major(st.Rdev)), Minor: int64(unix.Minor(st.Rdev)),
			FileMode: &mode, UID: &st.Uid, GID: &st.Gid,
		})
		return nil
	})
	return devices
}
