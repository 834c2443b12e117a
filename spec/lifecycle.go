package spec

import (
	"strconv"
	"strings"

	"github.com/docker/go-units"
)

// restart reads a restart policy, in Compose's grammar. YAML 1.1 takes an unquoted no for false: that says the same.
func (r *resolver) restart(w word) Restart {
	policy, count, counted := strings.Cut(w.Value, ":")
	switch {
	case w.Bad || !w.Set:
		return Restart{Policy: RestartNo}
	case policy == "false" && !counted:
		policy = RestartNo
	}
	known := []string{RestartNo, RestartAlways, RestartOnFailure, RestartUnlessStopped}
	switch policy {
	case RestartNo, RestartAlways, RestartUnlessStopped:
		if counted {
			r.add(w.Pos, "restart: only on-failure takes a number, not %s", policy)
		}
		return Restart{Policy: policy}
	case RestartOnFailure:
		n, err := strconv.Atoi(count)
		if counted && (err != nil || n < 0) {
			r.add(w.Pos, "restart: on-failure takes a number of restarts, not %q", count)
			n = 0
		}
		return Restart{Policy: policy, Max: n}
	}
	r.add(w.Pos, "restart can't be %q%s", w.Value, suggestOrList(policy, known))
	return Restart{Policy: RestartNo}
}

// The default limits of a log. Docker's own json-file has none, and fills disks.
const (
	defaultLogSize = 10_000_000
	defaultLogFile = 3
)

// logLimits reads what bounds a log.
func (r *resolver) logLimits(raw *logging) LogLimits {
	l := LogLimits{MaxSize: defaultLogSize, MaxFile: defaultLogFile}
	if raw == nil || raw.Options == nil {
		return l
	}
	l.MaxFile = raw.Options.MaxFile.or(defaultLogFile)
	w := raw.Options.MaxSize
	switch {
	case w.Bad || !w.Set:
		return l
	case w.Value == "-1":
		l.MaxSize = 0
		return l
	}
	size, err := units.FromHumanSize(w.Value)
	switch {
	case err != nil:
		r.add(w.Pos, "max-size must be a size like 10m, or -1, not %q", w.Value)
	case size < 1:
		r.add(w.Pos, "max-size must be more than nothing, or -1 for no limit, not %q", w.Value)
	default:
		l.MaxSize = size
	}
	return l
}
