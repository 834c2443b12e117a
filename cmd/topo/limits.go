package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"

	"topo/internal/container"
	"topo/internal/kernel"
	"topo/spec"
)

// limitText is what a container may use, and what it does: a line each. Of one that doesn't run, u is nil.
func limitText(p kernel.Process, u *container.Usage) []string {
	var lines []string
	add := func(what, used, limit string) {
		switch {
		case used == "" && limit == "":
		case limit == "":
			lines = append(lines, what+" "+used)
		case used == "":
			lines = append(lines, what+" up to "+limit)
		default:
			lines = append(lines, what+" "+used+" of "+limit)
		}
	}
	var memory, pids string
	if u != nil {
		memory, pids = units.BytesSize(float64(u.Memory)), strconv.FormatInt(u.Pids, 10)
	}
	add("memory", memory, p.Limits.MemoryText())
	add("processes", pids, p.Limits.PidsText())
	add("cpus", "", p.Limits.CPUText())
	if u != nil {
		lines = append(lines, "cpu time "+time.Duration(u.CPU).Round(time.Millisecond).String())
	}
	for _, l := range p.Ulimits {
		lines = append(lines, fmt.Sprintf("ulimit %s %s to %s", l.Name, ulimitText(l.Soft), ulimitText(l.Hard)))
	}
	for _, words := range []struct {
		key  string
		list []string
	}{{"cap_add", p.CapAdd}, {"cap_drop", p.CapDrop}} {
		if len(words.list) > 0 {
			lines = append(lines, words.key+" "+strings.Join(words.list, " "))
		}
	}
	if p.Privileged {
		lines = append(lines, "privileged")
	}
	return lines
}

// usernsText says who a container's root is on the host. Without a range it never started.
func usernsText(p kernel.Process, firstID uint32) []string {
	if p.UsernsMode == "" || firstID == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s: root is %d on the host", p.UsernsMode, firstID)}
}

func ulimitText(n int64) string {
	if n == -1 {
		return "unlimited"
	}
	return strconv.FormatInt(n, 10)
}

// addLimitKeys writes what holds a container in as its file would have to say it.
func addLimitKeys(m *yamlMap, p spec.Process) {
	l := kernel.Limits{Memory: p.Limits.Memory, NanoCPUs: p.Limits.NanoCPUs, Pids: p.Limits.Pids}
	m.text("mem_limit", l.MemoryText())
	m.text("cpus", l.CPUText())
	if l.Pids != 0 {
		m.number("pids_limit", int(l.Pids))
	}
	all := newMap()
	for _, u := range p.Ulimits {
		both := newMap()
		both.number("soft", int(u.Soft))
		both.number("hard", int(u.Hard))
		all.put(u.Name, both.flow())
	}
	m.set("ulimits", &all.node)
	m.texts("cap_add", capabilityNames(p.CapAdd))
	m.texts("cap_drop", capabilityNames(p.CapDrop))
	var mounts []string
	for _, t := range p.Tmpfs {
		mounts = append(mounts, strings.TrimSuffix(t.Target+":"+strings.Join(t.Options, ","), ":"))
	}
	m.texts("tmpfs", mounts)
}

func capabilityNames(list []spec.Capability) []string {
	var names []string
	for _, c := range list {
		names = append(names, c.Name)
	}
	return names
}
