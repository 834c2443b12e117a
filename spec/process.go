package spec

import (
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/shlex"
	"github.com/moby/sys/signal"
)

const (
	// defaultStopSignal and defaultStopGrace are Compose's.
	defaultStopSignal = "SIGTERM"
	defaultStopGrace  = 10 * time.Second
)

// userSyntax is USER or UID, with :GROUP or :GID. Names are those that useradd(8) takes, with dots and capitals.
var userSyntax = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*\$?(:[A-Za-z0-9_][A-Za-z0-9_.-]*\$?)?$`)

// process reads what runs in a node; nil when nothing does.
func (r *resolver) process(s *nodeState, n *Node) *Process {
	raw := s.raw
	argv := append(r.words(raw.Entrypoint, "entrypoint"), r.words(raw.Command, "command")...)
	p := &Process{
		Pos:        n.Pos,
		Argv:       argv,
		Env:        r.environment(s),
		Dir:        r.workingDir(raw.WorkingDir),
		User:       r.user(raw.User),
		StopSignal: r.stopSignal(raw.StopSignal),
		StopGrace:  defaultStopGrace,
		Init:       raw.Init.Value,
		StdinOpen:  raw.StdinOpen.Value,
	}
	if raw.Command.Set {
		p.Pos = raw.Command.Pos
	}
	if raw.StopGracePeriod.Set {
		p.StopGrace = raw.StopGracePeriod.Value
	}
	if s.container != nil {
		r.containerOnly(s.container, n, p)
	}
	p.Health = r.health(raw.Healthcheck, s.container != nil && s.container.Image.Set)
	p.Restart = r.restart(raw.Restart)
	p.Log = r.logLimits(raw.Logging)
	if p.Image != "" && r.leaveToImage(raw, p) {
		return p
	}
	if len(argv) > 0 {
		if argv[0] == "" {
			r.add(p.Pos, "command: the program has no name")
		}
		r.checkInit(p)
		return p
	}
	malformed := raw.Command.Bad || raw.Entrypoint.Bad || raw.Command.Scalar.Bad || raw.Entrypoint.Scalar.Bad
	switch {
	case s.container != nil:
		p.Argv, p.Init = []string{"sleep", "infinity"}, raw.Init.or(true)
		r.checkInit(p)
		return p
	case p.Health != nil && !malformed:
		r.add(raw.Healthcheck.Pos, "healthcheck: %s has no command", n.Name)
	case p.Restart.Policy != RestartNo && !malformed:
		r.add(raw.Restart.Pos, "restart: %s has no command", n.Name)
	}
	return nil
}

// words reads a command line. Text is split as a shell does; no shell runs it.
func (r *resolver) words(w words, what string) []string {
	var list []string
	if w.Scalar.Set {
		split, err := shlex.Split(w.Scalar.Value)
		if err != nil {
			r.add(w.Scalar.Pos, "%s: %s", what, strings.ToLower(err.Error()))
		}
		list = split
	}
	for _, v := range w.List {
		list = append(list, v.Value)
	}
	if slices.ContainsFunc(list, func(v string) bool { return strings.Contains(v, "\x00") }) {
		r.add(w.Pos, "%s has a zero byte in it", what)
	}
	return list
}

func (r *resolver) workingDir(t text) string {
	if t.Set && !path.IsAbs(t.Value) {
		r.add(t.Pos, "working_dir %q must be absolute", t.Value)
	}
	if !t.Set {
		return ""
	}
	return path.Clean(t.Value)
}

func (r *resolver) user(w word) string {
	if w.Set && w.Value != "" && !userSyntax.MatchString(w.Value) {
		r.add(w.Pos, "user %q is not USER, UID, USER:GROUP or UID:GID", w.Value)
	}
	return w.Value
}

// stopSignal writes a signal's name in full, and leaves its number a number.
func (r *resolver) stopSignal(w word) string {
	if !w.Set {
		return defaultStopSignal
	}
	if n, err := strconv.Atoi(w.Value); err == nil {
		if !signal.ValidSignalForPlatform(syscall.Signal(n)) {
			r.add(w.Pos, "stop_signal: there is no signal %d", n)
		}
		return w.Value
	}
	name := "SIG" + strings.TrimPrefix(strings.ToUpper(w.Value), "SIG")
	if _, err := signal.ParseSignal(name); err != nil {
		known := make([]string, 0, len(signal.SignalMap))
		for k := range signal.SignalMap {
			known = append(known, "SIG"+k)
		}
		slices.Sort(known)
		r.add(w.Pos, "stop_signal: there is no signal %q%s", w.Value, suggest(name, known))
	}
	return name
}

// containerOnly reads the keys that a namespace has not.
func (r *resolver) containerOnly(c *container, n *Node, p *Process) {
	p.ReadOnly, p.Privileged = c.ReadOnly.Value, c.Privileged.Value
	for _, t := range set(c.SecurityOpt) {
		p.SecurityOpt = append(p.SecurityOpt, r.securityOpt(t))
	}
	r.root(c, p)
	p.Mounts = r.mounts(n, c.Volumes)
	p.Limits, p.Ulimits = r.limits(c), r.ulimits(c.Ulimits)
	p.CapAdd, p.CapDrop = r.capabilities(c.CapAdd, "cap_add"), r.capabilities(c.CapDrop, "cap_drop")
	p.Tmpfs = r.tmpfs(c.Tmpfs.all(), p.Mounts)
	p.Userns = r.userns(c, p)
}

// securityOpt reads a security option as Docker writes it: "name", "name=value" or, as it was once, "name:value".
func (r *resolver) securityOpt(t text) string {
	name, value, given := strings.Cut(t.Value, "=")
	if !given {
		name, value, given = strings.Cut(t.Value, ":")
	}
	switch name {
	case "no-new-privileges":
		if _, err := strconv.ParseBool(value); given && err != nil {
			r.add(t.Pos, "security_opt: no-new-privileges is true or false, not %q", value)
		}
		if !given {
			return name
		}
		return name + ":" + value
	case "seccomp":
		switch value {
		case "":
			r.add(t.Pos, "security_opt: seccomp needs a file, or unconfined")
		case "unconfined":
		default:
			value = r.absolute(t.Pos, value)
		}
		return name + "=" + value
	case "apparmor", "label", "systempaths", "credentialspec":
		r.add(t.Pos, "security_opt %s is not supported yet", name)
	default:
		r.add(t.Pos, "security_opt %q is not known%s", t.Value, suggest(name, []string{"no-new-privileges", "seccomp"}))
	}
	return t.Value
}

// absolute makes an absolute path of one that starts at the folder of its file (see [resolver.folders]), or at ~.
func (r *resolver) absolute(pos Pos, p string) string {
	if home := r.Env["HOME"]; home != "" && (p == "~" || strings.HasPrefix(p, "~/")) {
		return filepath.Join(home, p[1:])
	}
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(r.folders[pos.File], p)
}
