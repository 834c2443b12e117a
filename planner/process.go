package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"topo/internal/kernel"
	"topo/spec"
)

// process is what runs in a node.
type process struct {
	p kernel.Process
	// state is "running" also for a process that waits to be restarted by its policy, and for one that ended with 0 and
	// has none: it is done.
	state string
	done  bool
	waits []spec.Dependency
	needs []ID
	netns ID // whose replacement takes the process out of its network
	// volumes that it has mounted: made anew, they are others than those that it has.
	volumes []ID
}

var processKind = Kind{Name: "process", Desire: desireProcesses, Observe: observeProcesses}

func desireProcesses(w *Want) []Resource {
	t := w.Topology
	if !slices.ContainsFunc(t.Nodes, func(n spec.Node) bool { return n.Process != nil }) {
		return nil
	}
	byNode := map[string][]ID{}
	for _, k := range []Kind{linkKind, impairKind, addressKind, routeKind, policyRuleKind, advertisementKind, sysctlKind, fileKind} {
		for _, r := range w.of(k) {
			node, _, _ := strings.Cut(r.ID().Name, ":")
			byNode[node] = append(byNode[node], r.ID())
		}
	}
	nodes := map[string]spec.Node{}
	for _, n := range t.Nodes {
		nodes[n.Name] = n
	}
	volumes := map[string]ID{}
	for _, v := range t.Volumes {
		if !v.External {
			volumes[v.Name] = ID{"volume", v.Key}
		}
	}
	var out []Resource
	for _, n := range t.Nodes {
		if n.Process == nil {
			continue
		}
		home := n // whose namespace it is
		if n.Network == spec.NetworkNode {
			home = nodes[n.Shares]
		}
		r := process{p: kernelProcess(w, n, home), state: runs, netns: ID{"netns", home.Name}}
		r.needs = append([]ID{{"supervisor", w.Project}, r.netns}, byNode[home.Name]...)
		if n.Process.Image != "" {
			r.needs = append(r.needs, image{ref: imageReference(n.Process), platform: n.Process.Platform}.ID())
		}
		for _, a := range home.Attachments {
			r.needs = append(r.needs, ID{"up", a.Bridge})
		}
		r.p.VolumesFrom = handedOn(w, nodes, n)
		r.volumes = volumeNeeds(r.p, volumes)
		r.needs = append(r.needs, r.volumes...)
		for _, d := range n.DependsOn {
			if nodes[d.Node].Process != nil {
				r.waits = append(r.waits, d)
				r.p.DependsOn = append(r.p.DependsOn, kernel.Dependency{
					Node: d.Node, Condition: kernel.Condition(d.Condition), Required: d.Required, Restart: d.Restart,
				})
				r.needs = append(r.needs, ID{"process", d.Node})
			}
		}
		out = append(out, r)
	}
	return out
}

func kernelProcess(w *Want, n, home spec.Node) kernel.Process {
	s := n.Process
	p := kernel.Process{
		Project: w.Project, Node: n.Name, Container: n.Container, Netns: home.Netns,
		Argv: s.Argv, Env: s.Env, Dir: s.Dir, User: s.User, Hostname: n.Hostname, Labels: n.Labels,
		StopSignal: s.StopSignal, StopGrace: s.StopGrace, Init: s.Init, ReadOnly: s.ReadOnly,
		Privileged: s.Privileged, SecurityOpt: s.SecurityOpt, Rootfs: s.Rootfs,
		Restart: kernel.Restart{Policy: kernel.RestartPolicy(s.Restart.Policy), Max: s.Restart.Max},
		Log:     kernel.LogLimits{MaxSize: s.Log.MaxSize, MaxFile: s.Log.MaxFile},

		StdinOpen: s.StdinOpen, Runtime: s.Runtime,
	}
	if s.Image != "" {
		p.Image, p.Platform, p.ImageID = s.Image, s.Platform, imageID(w.Host, imageReference(s), s.Platform)
		p.ImageEntrypoint, p.ImageCommand, p.ImageHealth = s.ImageEntrypoint, s.ImageCommand, s.ImageHealth
	}
	if home.Netns != "" {
		p.Hosts = hostsPath(home.Netns)
		if len(home.DNS) > 0 || len(home.DNSSearch) > 0 {
			p.Resolv = resolvPath(home.Netns)
		}
	}
	for _, m := range s.Mounts {
		p.Mounts = append(p.Mounts, kernelMount(m))
	}
	if h := s.Health; h != nil {
		p.Health = &kernel.Healthcheck{
			Argv: h.Argv, Interval: h.Interval, Timeout: h.Timeout,
			StartPeriod: h.StartPeriod, StartInterval: h.StartInterval, Retries: h.Retries,
		}
	}
	confine(&p, s)
	return p
}

const (
	runs      = "running"
	stateAttr = "state"
)

func observeProcesses(h *Have) []Resource {
	var out []Resource
	for _, s := range h.Snapshot.Processes {
		r := process{p: s.Process, needs: []ID{{"supervisor", h.Project}}, volumes: volumeNeeds(s.Process, h.volumes)}
		r.state, r.done = stateOf(s)
		r.needs = append(r.needs, r.volumes...)
		for _, v := range h.Snapshot.Volumes { // those of its image, and of others', are among them
			own, used := v.Node == s.Process.Node, slices.Contains(v.Users, kernel.VolumeUser{Project: h.Project, Node: s.Process.Node})
			if v.Project == h.Project && (own || used) {
				r.needs = append(r.needs, h.volumes[v.Name])
			}
		}
		if node, ok := h.nodes[s.Process.Netns]; ok {
			r.netns = ID{"netns", node}
			r.needs = append(r.needs, r.netns)
		}
		out = append(out, r)
	}
	return out
}

// stateOf says where a process is in its life, as far as that concerns a plan.
func stateOf(s kernel.ProcessState) (state string, done bool) {
	switch {
	case s.Status == kernel.Restarting:
		return runs, false
	case s.Status != kernel.Exited:
		return string(s.Status), false
	case s.Error != "":
		return "not started", false
	case s.ExitCode == 0 && !s.Process.Restart.Forever():
		return runs, true
	}
	state = fmt.Sprintf("exited %d", s.ExitCode)
	if s.OOMKilled {
		state += ", out of memory"
	}
	return state, false
}

func (r process) ID() ID      { return ID{"process", r.p.Node} }
func (r process) Needs() []ID { return r.needs }

// Attrs spells out every field of the process; a test holds this list against the type.
func (r process) Attrs() []Attr {
	p := r.p
	attrs := []Attr{
		{stateAttr, r.state},
		{"kind", map[bool]string{true: "container", false: "namespace"}[p.Container]},
		{"netns", orNone(p.Netns)},
		{"command", words(p.Argv)},
	}
	for _, e := range p.Env {
		key, value, _ := strings.Cut(e, "=")
		attrs = append(attrs, Attr{envPrefix + key, value})
	}
	for _, m := range p.Mounts {
		attrs = append(attrs, Attr{"volume " + m.Target, mountWords(m)})
	}
	for _, k := range sortedKeys(p.Labels) {
		attrs = append(attrs, Attr{"label " + k, p.Labels[k]})
	}
	attrs = append(attrs,
		Attr{"working_dir", orNone(p.Dir)},
		Attr{"user", orNone(p.User)},
		Attr{"hostname", orNone(p.Hostname)},
		Attr{"hosts", orNone(p.Hosts)},
		Attr{"resolv", orNone(p.Resolv)},
		Attr{"stop_signal", orNone(p.StopSignal)},
		Attr{"stop_grace_period", p.StopGrace.String()},
		Attr{"init", onOff(p.Init)},
		Attr{"read_only", onOff(p.ReadOnly)},
		Attr{"privileged", onOff(p.Privileged)},
		Attr{"security_opt", words(p.SecurityOpt)},
	)
	if h := p.Health; h != nil {
		attrs = append(attrs, Attr{"healthcheck", healthWords(*h)})
	}
	attrs = append(attrs, Attr{"restart", p.Restart.String()}, Attr{"logging", logWords(p.Log)})
	for _, d := range p.DependsOn {
		attrs = append(attrs, Attr{"depends_on " + d.Node, dependencyWords(d)})
	}
	if len(p.VolumesFrom) > 0 {
		attrs = append(attrs, Attr{"volumes_from", handedOnWords(p.VolumesFrom)})
	}
	if p.StdinOpen {
		attrs = append(attrs, Attr{"stdin_open", onOff(true)})
	}
	attrs = append(append(attrs, rootAttrs(p)...), confinementAttrs(p)...)
	return append(attrs, Attr{"runtime", cmp.Or(p.Runtime, "topo's choice")})
}

func healthWords(h kernel.Healthcheck) string {
	text := words(h.Argv)
	image := len(h.Argv) == 0 // then what is 0 is left to the image
	if image {
		text = "the image's"
	}
	for _, t := range []struct {
		name string
		time time.Duration
	}{{"interval", h.Interval}, {"timeout", h.Timeout}, {"start_period", h.StartPeriod}, {"start_interval", h.StartInterval}} {
		if !image || t.time != 0 {
			text += fmt.Sprintf(" %s %s", t.name, t.time)
		}
	}
	if !image || h.Retries != 0 {
		text += fmt.Sprintf(" retries %d", h.Retries)
	}
	return text
}

// rootAttrs are the attributes of what a container is made from.
func rootAttrs(p kernel.Process) []Attr {
	attrs := []Attr{{"rootfs", orNone(p.Rootfs)}, {"image", orNone(p.Image)}, {"platform", orNone(p.Platform)}}
	if p.Image == "" && p.ImageID == "" && !p.ImageEntrypoint && !p.ImageCommand && !p.ImageHealth {
		return attrs
	}
	id := p.ImageID
	if id == "" {
		id = "that to be pulled"
	}
	return append(attrs,
		Attr{"image id", id},
		Attr{"image's entrypoint", onOff(p.ImageEntrypoint)},
		Attr{"image's command", onOff(p.ImageCommand)},
		Attr{"image's healthcheck", onOff(p.ImageHealth)},
	)
}

func logWords(l kernel.LogLimits) string {
	size := "no limit"
	if l.MaxSize > 0 {
		size = strconv.FormatInt(l.MaxSize, 10) + " bytes"
	}
	return size + " × " + strconv.Itoa(max(l.MaxFile, 1))
}

func dependencyWords(d kernel.Dependency) string {
	s := string(d.Condition)
	if !d.Required {
		s += " optional"
	}
	if d.Restart {
		s += " restart"
	}
	return s
}

// envPrefix stands before a variable's name in an attribute's.
const envPrefix = "environment."

// words joins arguments so that different lists read differently.
func words(argv []string) string {
	out := make([]string, len(argv))
	for i, a := range argv {
		out[i] = a
		if a == "" || strings.ContainsAny(a, " \t\n'\"\\") {
			out[i] = strconv.Quote(a)
		}
	}
	return strings.Join(out, " ")
}

func (r process) Detail() string {
	if r.p.Image != "" && len(r.p.Argv) == 0 {
		return r.p.Image
	}
	return words(r.p.Argv)
}

func (r process) Create() []kernel.Op {
	return append(r.await(), kernel.ProcessStart{Process: r.p})
}

// await waits for what the process depends on.
func (r process) await() []kernel.Op {
	var ops []kernel.Op
	for _, d := range r.waits {
		ops = append(ops, kernel.ProcessWait{
			Project: r.p.Project, Node: d.Node, Condition: kernel.Condition(d.Condition), Optional: !d.Required,
		})
	}
	return ops
}

func (r process) Delete() []kernel.Op {
	return []kernel.Op{kernel.ProcessStop{Project: r.p.Project, Node: r.p.Node}}
}

// Update starts a process that ended, changes the limits of one that runs, and tells its supervisor what only that goes
// by; anything else can't be changed in a running one.
func (r process) Update(have Resource) ([]kernel.Op, bool) {
	h := have.(process)
	resume := h.state != r.state || h.done && r.p.Restart.Forever()
	h.state = r.state
	var ops []kernel.Op
	if h.p.Limits != r.p.Limits {
		h.p.Limits = r.p.Limits
		ops = append(ops, kernel.ProcessUpdate{Project: r.p.Project, Node: r.p.Node, Limits: r.p.Limits})
	}
	if len(changedAttrs(h, r)) > 0 {
		h.p = h.p.Adjusted(r.p)
		if len(changedAttrs(h, r)) > 0 {
			return nil, false
		}
		ops = append(ops, kernel.ProcessAdjust{Process: r.p})
	}
	if r.state != runs { // wanted so on the way back alone
		return append(ops, kernel.ProcessHalt{Project: r.p.Project, Node: r.p.Node, Grace: -1}), true
	}
	if resume {
		ops = append(ops, r.await()...)
		ops = append(ops, kernel.ProcessResume{Project: r.p.Project, Node: r.p.Node})
	}
	return ops, true
}

// Why: what a person stopped by topo was not changed outside it; and that a process ended is no edit of the file, which
// has nothing on that.
func (r process) Why(want Resource, reason Reason) Reason {
	if changed := changedAttrs(r, want); len(changed) == 1 && changed[0].Name == stateAttr {
		reason = Drifted
	}
	if reason == Drifted && r.state == string(kernel.Stopped) {
		return StoppedByTopo
	}
	return reason
}

// Ended: it neither runs nor waits to be restarted.
func (r process) Ended() bool { return r.state != runs }

// Lost: a process in a namespace that is made anew is in the old one still.
func (r process) Lost(gone func(ID) bool) (ID, Action, bool) {
	if r.netns != (ID{}) && gone(r.netns) {
		return r.netns, Replace, true
	}
	if i := slices.IndexFunc(r.volumes, gone); i >= 0 {
		return r.volumes[i], Replace, true
	}
	for _, d := range r.waits {
		if id := (ID{"process", d.Node}); d.Restart && gone(id) {
			return id, Replace, true
		}
	}
	return ID{}, "", false
}
