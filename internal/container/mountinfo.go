package container

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// mountPoint is a line of mountinfo, proc_pid_mountinfo(5).
type mountPoint struct {
	id, parent int
	path       string
	fstype     string
	shared     bool // in a peer group
}

// readMounts reads /proc/PROC/mountinfo; proc is "self" (the main thread) or "thread-self".
func readMounts(proc string) ([]mountPoint, error) {
	data, err := os.ReadFile("/proc/" + proc + "/mountinfo")
	if err != nil {
		return nil, err
	}
	return parseMounts(string(data)), nil
}

func parseMounts(info string) []mountPoint {
	var mounts []mountPoint
	for line := range strings.Lines(info) {
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if !ok || len(fields) < 6 {
			continue
		}
		m := mountPoint{path: unescape(fields[4])}
		m.id, _ = strconv.Atoi(fields[0])
		m.parent, _ = strconv.Atoi(fields[1])
		m.fstype, _, _ = strings.Cut(after, " ")
		for _, f := range fields[6:] {
			m.shared = m.shared || strings.HasPrefix(f, "shared:")
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// unescape undoes the kernel's \040 for blanks and the like.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// within reports whether path is dir or below it.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// mountOf is the mount that a path is on: the last one with the longest fitting path.
func mountOf(mounts []mountPoint, path string) mountPoint {
	var best mountPoint
	for _, m := range mounts {
		if within(path, m.path) && len(m.path) >= len(best.path) {
			best = m
		}
	}
	return best
}
