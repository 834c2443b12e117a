package container

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"topo/internal/kernel"
)

// liveLimits reads the limits that a container's control groups below root have, of either version. The kernel keeps whole
// pages and microseconds: what it made of a stated limit reads as that limit. What can't be read is as stated.
func liveLimits(root, id string, stated kernel.Limits) kernel.Limits {
	live := stated
	memory, pids := filepath.Join(root, "memory", id, "memory.limit_in_bytes"), filepath.Join(root, "pids", id, "pids.max")
	var quota []string
	period := int64(cpuPeriod)
	if group := filepath.Join(root, id); exists(group) {
		memory, pids = filepath.Join(group, "memory.max"), filepath.Join(group, "pids.max")
		quota = readWords(filepath.Join(group, "cpu.max")) // "QUOTA PERIOD"
	} else {
		cpu := filepath.Join(root, "cpu", id)
		quota = append(readWords(filepath.Join(cpu, "cpu.cfs_quota_us")), readWords(filepath.Join(cpu, "cpu.cfs_period_us"))...)
	}
	page := int64(os.Getpagesize())
	if n, ok := limitOf(readWords(memory)); ok && n != stated.Memory/page*page {
		live.Memory = n
	}
	if n, ok := limitOf(readWords(pids)); ok {
		live.Pids = n
	}
	if len(quota) == 2 {
		if n, err := strconv.ParseInt(quota[1], 10, 64); err == nil && n > 0 {
			period = n
		}
		if n, ok := limitOf(quota); ok && (n != stated.NanoCPUs*cpuPeriod/1e9 || period != cpuPeriod) {
			live.NanoCPUs = n * 1e9 / period
		}
	}
	return live
}

func readWords(path string) []string {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return strings.Fields(string(data))
}

// limitOf is the first of a file's words as a limit: 0 for none.
func limitOf(words []string) (limit int64, ok bool) {
	if len(words) == 0 {
		return 0, false
	}
	if words[0] == "max" {
		return 0, true
	}
	n, err := strconv.ParseInt(words[0], 10, 64)
	// The first version has no word for none: -1 for time, and for memory as many whole pages as there can be.
	const pages = 1 << 62
	if n < 0 || n > pages {
		n = 0
	}
	return n, err == nil
}
