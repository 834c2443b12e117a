package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"topo/internal/kernel"
)

// Usage is what the processes of a container use together. What the host does not count is left at zero.
type Usage struct {
	Memory int64 `json:"memory"` // bytes, without what the kernel can drop at once: files that were read and are not mapped
	// CPU is how long they have run on all CPUs, in nanoseconds.
	CPU  int64 `json:"cpu_nanoseconds"`
	Pids int64 `json:"pids"` // processes and threads
}

// Usage reads what a node's container uses now; nil when it has none that runs.
func (e *Engine) Usage(ctx context.Context, project, node string) (*Usage, error) {
	p, rec, err := readSettled(ctx, e.layout(project), node, identity{})
	if err != nil {
		return nil, fmt.Errorf("reading process of %s: %w", node, err)
	}
	if !p.Container || rec.Status != kernel.Running || rec.ContainerID == "" {
		return nil, nil
	}
	var u Usage
	if unified := filepath.Join(cgroupDir, rec.group()); exists(unified) {
		err = u.read(unified, unified, unified, unifiedUsage)
	} else {
		group := func(controller string) string { return filepath.Join(cgroupDir, controller, rec.group()) }
		err = u.read(group("memory"), group("cpuacct"), group("pids"), firstUsage)
	}
	if err != nil {
		return nil, fmt.Errorf("reading what %s uses: %w", node, err)
	}
	return &u, nil
}

// usageFiles are the names of the kernel's files in a version of control groups; inactive is a key of memory.stat.
type usageFiles struct{ memory, inactive, cpu, pids string }

var (
	firstUsage   = usageFiles{"memory.usage_in_bytes", "total_inactive_file", "cpuacct.usage", "pids.current"}
	unifiedUsage = usageFiles{"memory.current", "inactive_file", "cpu.stat", "pids.current"}
)

func (u *Usage) read(memory, cpu, pids string, f usageFiles) error {
	used, err1 := groupNumber(memory, f.memory, "")
	idle, err2 := groupNumber(memory, "memory.stat", f.inactive)
	key := map[bool]string{true: "usage_usec"}[f.cpu == "cpu.stat"]
	ran, err3 := groupNumber(cpu, f.cpu, key)
	if key != "" {
		ran *= 1000
	}
	count, err4 := groupNumber(pids, f.pids, "")
	u.Memory, u.CPU, u.Pids = max(used-idle, 0), ran, count
	return errors.Join(err1, err2, err3, err4)
}

// groupNumber is the number in a file of a control group, or after a key in it; 0 where there is no such file.
func groupNumber(group, file, key string) (int64, error) {
	data, err := os.ReadFile(filepath.Join(group, file))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		switch {
		case key == "" && len(words) == 1:
			return strconv.ParseInt(words[0], 10, 64)
		case len(words) == 2 && words[0] == key:
			return strconv.ParseInt(words[1], 10, 64)
		}
	}
	return 0, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
