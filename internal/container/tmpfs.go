package container

import (
	"os"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"topo/internal/kernel"
)

// tmpfsType is the file system's name, in specs and in the kernel.
const tmpfsType = "tmpfs"

// addTmpfs adds the file systems in memory that the file states, those around others first. One in the place of a
// default mount (/run, /dev/shm) stands in its place in the list: what is mounted below it comes after.
func (b box) addTmpfs(list []specs.Mount) []specs.Mount {
	own := slices.Clone(b.Tmpfs)
	slices.SortStableFunc(own, func(x, y kernel.Tmpfs) int {
		return strings.Count(x.Target, "/") - strings.Count(y.Target, "/")
	})
	for _, t := range own {
		m := specs.Mount{Destination: t.Target, Type: tmpfsType, Source: tmpfsType, Options: tmpfsOptions(t)}
		i := slices.IndexFunc(list, func(d specs.Mount) bool { return d.Destination == t.Target && d.Type == tmpfsType })
		if i >= 0 {
			list[i] = m
			continue
		}
		list = append(list, m)
	}
	return list
}

// tmpfsOptions are Docker's, and over them those of the file.
func tmpfsOptions(t kernel.Tmpfs) []string {
	var options []string
	for _, o := range []string{"noexec", "nosuid", "nodev"} {
		if !slices.Contains(t.Options, o) && !slices.Contains(t.Options, strings.TrimPrefix(o, "no")) {
			options = append(options, o)
		}
	}
	return append(options, t.Options...)
}

// tmpfsMode is what the folder must have that a tmpfs is mounted on: runc and crun give its mode to the tmpfs, runc
// even over a stated one. A new folder is open to all, as tmpfs(5) makes one.
func tmpfsMode(m specs.Mount) (mode os.FileMode, stated bool) {
	for _, o := range m.Options {
		text, ok := strings.CutPrefix(o, "mode=")
		if n, err := strconv.ParseUint(text, 8, 32); ok && err == nil {
			mode = os.FileMode(n & 0o777)
			if n&0o1000 != 0 {
				mode |= os.ModeSticky
			}
			return mode, true
		}
	}
	return os.ModeSticky | 0o777, false
}
