package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"topo/internal/kernel"
	"topo/spec"
)

// confine puts what holds a container in into what is started.
func confine(p *kernel.Process, s *spec.Process) {
	p.Limits = kernel.Limits{Memory: s.Limits.Memory, NanoCPUs: s.Limits.NanoCPUs, Pids: s.Limits.Pids}
	for _, u := range s.Ulimits {
		p.Ulimits = append(p.Ulimits, kernel.Ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard})
	}
	for _, c := range s.CapAdd {
		p.CapAdd = append(p.CapAdd, c.Name)
	}
	for _, c := range s.CapDrop {
		p.CapDrop = append(p.CapDrop, c.Name)
	}
	if s.Userns.Private {
		p.UsernsMode = kernel.PrivateUserns
	}
	for _, m := range s.Tmpfs {
		p.Tmpfs = append(p.Tmpfs, kernel.Tmpfs{Target: m.Target, Options: m.Options})
	}
}

// confinementAttrs are the attributes of what holds a container in.
func confinementAttrs(p kernel.Process) []Attr {
	attrs := []Attr{
		{"mem_limit", orNone(p.Limits.MemoryText())},
		{"cpus", orNone(p.Limits.CPUText())},
		{"pids_limit", orNone(p.Limits.PidsText())},
		{"cap_add", words(p.CapAdd)},
		{"cap_drop", words(p.CapDrop)},
		{"userns_mode", cmp.Or(string(p.UsernsMode), "host")},
	}
	for _, u := range p.Ulimits {
		attrs = append(attrs, Attr{"ulimit " + u.Name, ulimitText(u.Soft) + " to " + ulimitText(u.Hard)})
	}
	for _, m := range p.Tmpfs {
		attrs = append(attrs, Attr{"tmpfs " + m.Target, cmp.Or(strings.Join(m.Options, ","), "defaults")})
	}
	return attrs
}

// unmappable says why a container can't have a user namespace of its own here; "" when it can, or wants none.
func unmappable(s kernel.Snapshot, p *spec.Process) string {
	if !p.Userns.Private {
		return ""
	}
	if s.Confinement.NoUserns != "" {
		return s.Confinement.NoUserns
	}
	for _, path := range mappedFolders(p) {
		if why := s.Unmappable[path]; why != "" {
			return why
		}
	}
	return ""
}

// mappedFolders are those whose files a container with a user namespace of its own has with other owners.
func mappedFolders(p *spec.Process) []string {
	if !p.Userns.Private {
		return nil
	}
	list := []string{p.Rootfs}
	switch {
	case p.Image != "":
		list = []string{kernel.DataFolder}
	case p.Rootfs == "":
		list = []string{"/"}
	}
	// An image's own volumes are where the image is.
	if slices.ContainsFunc(p.Mounts, func(m spec.Mount) bool { return m.Kind == spec.VolumeMount }) {
		list = append(list, kernel.DataFolder)
	}
	return list
}

func ulimitText(n int64) string {
	if n == -1 {
		return "unlimited"
	}
	return strconv.FormatInt(n, 10)
}

// unconfinable reports all that the file asks for and this host can't do: limits without their controller,
// ulimits above what can be had, capabilities that topo itself has not. None is skipped in silence.
func unconfinable(o Options) error {
	c := o.Snapshot.Confinement
	if o.Topology == nil || c == nil {
		return nil
	}
	why := ", the kernel's fs.nr_open"
	if !slices.Contains(c.Capabilities, "CAP_SYS_RESOURCE") {
		why = ", its own hard limit, since it lacks the capability SYS_RESOURCE"
	}
	var errs spec.Errors
	add := func(pos spec.Pos, format string, args ...any) {
		errs = append(errs, &spec.Error{Pos: pos, Msg: fmt.Sprintf(format, args...)})
	}
	for _, n := range o.Topology.Nodes {
		if n.Process == nil {
			continue
		}
		if why := unmappable(o.Snapshot, n.Process); why != "" {
			add(n.Process.Userns.Pos, "userns_mode private of %s can't be had here: %s", n.Name, why)
		}
		l := n.Process.Limits
		for _, need := range []struct {
			key, controller string
			value           int64
			pos             spec.Pos
		}{
			{"mem_limit", kernel.MemoryController, l.Memory, l.Pos.Memory},
			{"cpus", kernel.CPUController, l.NanoCPUs, l.Pos.CPUs},
			{"pids_limit", kernel.PidsController, l.Pids, l.Pos.Pids},
		} {
			if need.value != 0 && !slices.Contains(c.Controllers, need.controller) {
				add(need.pos, "%s of %s can't be set here: containers have no cgroup controller %s", need.key, n.Name, need.controller)
			}
		}
		for _, u := range n.Process.Ulimits {
			if most, ok := c.HardLimits[u.Name]; ok && most != -1 && (u.Hard == -1 || u.Hard > most) {
				add(u.Pos, "ulimit %s of %s can't be %s here: the most that topo can give is %d%s", u.Name, n.Name, ulimitText(u.Hard), most, why)
			}
		}
		for _, a := range n.Process.CapAdd {
			if a.Name != "ALL" && !slices.Contains(c.Capabilities, a.Name) {
				add(a.Pos, "cap_add %s of %s can't be given here: topo has not got it itself", a.Name, n.Name)
			}
		}
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}
