package spec

import (
	"cmp"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
)

const (
	// minMemory is Docker's least mem_limit: a runtime that sets a container up needs about as much itself.
	minMemory = 6 * units.MiB
	// minCPUs is the least share of a CPU: a quota of 1 ms, the kernel's least (min_cfs_quota_period, kernel/sched),
	// in each period of 100 ms. maxCPUs is the most CPUs that Linux can be built for (NR_CPUS).
	minCPUs, maxCPUs = 0.01, 8192
)

// limits reads mem_limit, cpus and pids_limit. As with Docker, 0 is no limit, and so is a pids_limit of -1.
func (r *resolver) limits(c *container) Limits {
	return Limits{
		Memory: r.memory(c.MemLimit), NanoCPUs: r.cpus(c.CPUs), Pids: int64(max(c.PidsLimit.Value, 0)),
		Pos: LimitPos{Memory: c.MemLimit.Pos, CPUs: c.CPUs.Pos, Pids: c.PidsLimit.Pos},
	}
}

// minPidsWithInit is what an init needs to run one program beside it: it is a Go program, of up to ten threads.
const minPidsWithInit = 16

// checkInit notes a pids_limit that leaves no room for the program that the container is for.
func (r *resolver) checkInit(p *Process) {
	if n := p.Limits.Pids; p.Init && n > 0 && n < minPidsWithInit {
		r.add(p.Limits.Pos.Pids, "pids_limit must be at least %d with an init, whose threads count, too; or say init: false", minPidsWithInit)
	}
}

// memory reads a number of bytes as Docker writes it: 67108864, 64m, 1.5g; k is 1024.
func (r *resolver) memory(w word) int64 {
	if !w.Set {
		return 0
	}
	n, err := units.RAMInBytes(w.Value)
	switch {
	case err != nil:
		r.add(w.Pos, "mem_limit must be a number of bytes like 512m or 1.5g, not %q", w.Value)
	case n != 0 && n < minMemory:
		r.add(w.Pos, "mem_limit must be at least 6m, or 0 for none, not %s", w.Value)
	}
	return n
}

// cpus reads a number of CPUs, which may have a fraction, as billionths.
func (r *resolver) cpus(w word) int64 {
	if !w.Set {
		return 0
	}
	n, err := strconv.ParseFloat(w.Value, 64)
	if err != nil || n != 0 && !(n >= minCPUs && n <= maxCPUs) {
		r.add(w.Pos, "cpus must be a number from 0.01 to 8192, or 0 for no limit, not %q", w.Value)
		return 0
	}
	return int64(math.Round(n * 1e9))
}

// ulimitNames are those of Docker and Compose: the kernel's (getrlimit(2)) in lower case, without RLIMIT_.
var ulimitNames = []string{
	"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack",
}

// ulimits reads the limits of each process of a container, sorted by name. -1 is none.
func (r *resolver) ulimits(list dict[ulimit]) []Ulimit {
	var out []Ulimit
	for _, e := range list {
		u := Ulimit{Pos: e.Pos, Name: e.Key, Soft: int64(e.Value.Soft.Value), Hard: int64(e.Value.Hard.Value)}
		n, both := e.Value.Scalar, e.Value.Soft.Set && e.Value.Hard.Set
		if n.Set {
			u.Soft, u.Hard = int64(n.Value), int64(n.Value)
		}
		switch {
		case !slices.Contains(ulimitNames, u.Name):
			r.add(e.Pos, "there is no ulimit %q%s", u.Name, suggest(u.Name, ulimitNames))
		case !n.Set && !both: // noted already
		case u.Soft < -1 || u.Hard < -1:
			r.add(e.Value.Pos, "ulimit %s must be at least -1, which is no limit", u.Name)
		case u.Hard != -1 && (u.Soft == -1 || u.Soft > u.Hard):
			r.add(e.Value.Pos, "ulimit %s: the soft limit is above the hard one", u.Name)
		}
		out = append(out, u)
	}
	slices.SortFunc(out, func(a, b Ulimit) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// allCapabilities is Docker's word for all of them.
const allCapabilities = "ALL"

// capabilityNames are those of Linux 5.9 and later, capabilities(7), by number; no newer kernel has more yet.
var capabilityNames = strings.Fields(`
	CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID
	CAP_SETPCAP CAP_LINUX_IMMUTABLE CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_ADMIN CAP_NET_RAW CAP_IPC_LOCK CAP_IPC_OWNER
	CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_SYS_PACCT CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE
	CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_MKNOD CAP_LEASE CAP_AUDIT_WRITE CAP_AUDIT_CONTROL CAP_SETFCAP
	CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_AUDIT_READ CAP_PERFMON CAP_BPF CAP_CHECKPOINT_RESTORE`)

// capabilities reads cap_add or cap_drop: names in any case, with or without CAP_, or ALL. They come sorted, each once.
func (r *resolver) capabilities(list []text, key string) []Capability {
	known := []string{allCapabilities}
	for _, name := range capabilityNames {
		known = append(known, strings.TrimPrefix(name, "CAP_"))
	}
	var out []Capability
	for _, t := range set(list) {
		name := strings.ToUpper(t.Value)
		if name != allCapabilities {
			name = "CAP_" + strings.TrimPrefix(name, "CAP_")
		}
		if name != allCapabilities && !slices.Contains(capabilityNames, name) {
			r.add(t.Pos, "%s: there is no capability %q%s", key, t.Value, suggest(strings.TrimPrefix(name, "CAP_"), known))
			continue
		}
		out = append(out, Capability{t.Pos, name})
	}
	slices.SortStableFunc(out, func(a, b Capability) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b Capability) bool { return a.Name == b.Name })
}

// tmpfsValues are the options of tmpfs(5) that have a value, with what that may be.
var tmpfsValues = map[string]*regexp.Regexp{
	"size":      regexp.MustCompile(`^[0-9]+[kKmMgG%]?$`),
	"nr_blocks": regexp.MustCompile(`^[0-9]+[kKmMgG]?$`),
	"nr_inodes": regexp.MustCompile(`^[0-9]+[kKmMgG]?$`),
	"mode":      regexp.MustCompile(`^[0-7]{1,5}$`),
	"uid":       regexp.MustCompile(`^[0-9]{1,9}$`),
	"gid":       regexp.MustCompile(`^[0-9]{1,9}$`),
}

// tmpfsFlags are the options without one, each with its opposite.
var tmpfsFlags = map[string]string{
	"ro": "rw", "rw": "ro", "exec": "noexec", "noexec": "exec", "suid": "nosuid", "nosuid": "suid", "dev": "nodev", "nodev": "dev",
}

// tmpfs reads TARGET[:OPTION,…]. No two mounts of a container are in one place.
func (r *resolver) tmpfs(list []text, mounts []Mount) []Tmpfs {
	targets := map[string]Pos{}
	for _, m := range mounts {
		targets[m.Target] = m.Pos
	}
	var out []Tmpfs
	for _, t := range list {
		target, options, given := strings.Cut(t.Value, ":")
		m := Tmpfs{Pos: t.Pos, Target: path.Clean(target)}
		first, twice := targets[m.Target]
		switch {
		case !path.IsAbs(target):
			r.add(t.Pos, "tmpfs: %q must be absolute", target)
			continue
		case m.Target == "/":
			r.add(t.Pos, "tmpfs can't be the root")
			continue
		case twice:
			r.add(t.Pos, "something is mounted at %s already, in %s", m.Target, line(first))
			continue
		}
		targets[m.Target] = t.Pos
		if given {
			m.Options = r.tmpfsOptions(t.Pos, options)
		}
		out = append(out, m)
	}
	return out
}

// tmpfsOptions checks them and sorts them: their order means nothing, since none may be there twice.
func (r *resolver) tmpfsOptions(pos Pos, text string) []string {
	seen := map[string]bool{}
	var out []string
	for _, o := range strings.Split(text, ",") {
		name, value, given := strings.Cut(o, "=")
		opposite, isFlag := tmpfsFlags[name]
		syntax, hasValue := tmpfsValues[name]
		known := []string{"size=", "mode=", "uid=", "gid=", "nr_blocks=", "nr_inodes=", "ro", "rw", "exec", "noexec", "suid", "nosuid", "dev", "nodev"}
		switch {
		case !isFlag && !hasValue:
			r.add(pos, "tmpfs option %q is not known%s", o, suggest(name+"=", known))
		case hasValue && (!given || !syntax.MatchString(value)):
			r.add(pos, "tmpfs option %s can't be %q", name, value)
		case isFlag && given:
			r.add(pos, "tmpfs option %s has no value", name)
		case seen[name]:
			r.add(pos, "tmpfs option %s is there twice", name)
		case seen[opposite]:
			r.add(pos, "tmpfs options %s and %s exclude each other", opposite, name)
		}
		seen[name] = true
		out = append(out, o)
	}
	slices.Sort(out)
	return out
}
