package spec

import "time"

// Compose's defaults of a health check.
const (
	healthInterval      = 30 * time.Second
	healthTimeout       = 30 * time.Second
	healthStartInterval = 5 * time.Second
	healthRetries       = 3
)

// health reads a health check; nil when there is none. Of one without a test, which the image has, only what is stated
// is there.
func (r *resolver) health(raw *healthcheck, image bool) *Healthcheck {
	if raw == nil || !raw.Set || raw.Disable.Value {
		return nil
	}
	if image && raw.leavesTest() {
		return &Healthcheck{
			Interval: raw.Interval.Value, Timeout: raw.Timeout.Value, StartPeriod: raw.StartPeriod.Value,
			StartInterval: raw.StartInterval.Value, Retries: raw.Retries.Value,
		}
	}
	argv := r.healthTest(raw)
	if argv == nil {
		return nil
	}
	h := &Healthcheck{
		Argv:          argv,
		Interval:      raw.Interval.or(healthInterval),
		Timeout:       raw.Timeout.or(healthTimeout),
		StartPeriod:   raw.StartPeriod.Value,
		StartInterval: raw.StartInterval.or(healthStartInterval),
		Retries:       raw.Retries.or(healthRetries),
	}
	if h.Retries == 0 {
		h.Retries = healthRetries
	}
	return h
}

// leavesTest reports whether no test is stated.
func (h *healthcheck) leavesTest() bool {
	return !h.Test.Set && !h.Test.Bad && !h.Bad && !h.Disable.Value
}

// or is a stated duration, or a default; 0 stands for the default, as with Docker.
func (v span) or(otherwise time.Duration) time.Duration {
	if v.Value != 0 {
		return v.Value
	}
	return otherwise
}

// healthTest makes an argument vector of a test; nil for NONE, or when it is not well-formed.
func (r *resolver) healthTest(raw *healthcheck) []string {
	t := raw.Test
	if t.Scalar.Set {
		if t.Scalar.Value == "" {
			r.add(t.Pos, "test is empty")
			return nil
		}
		return []string{"/bin/sh", "-c", t.Scalar.Value}
	}
	if t.Bad || t.Scalar.Bad {
		return nil
	}
	if len(t.List) == 0 {
		r.add(raw.Pos, "healthcheck needs a test")
		return nil
	}
	words := make([]string, len(t.List))
	for i, w := range t.List {
		if w.Bad {
			return nil
		}
		words[i] = w.Value
	}
	rest := words[1:]
	kinds := []string{"CMD", "CMD-SHELL", "NONE"}
	switch words[0] {
	case "NONE":
		return nil
	case "CMD":
		if len(rest) == 0 || rest[0] == "" {
			r.add(t.Pos, "test: CMD needs a program")
			return nil
		}
		return rest
	case "CMD-SHELL":
		if len(rest) == 0 {
			r.add(t.Pos, "test: CMD-SHELL needs a command line")
			return nil
		}
		return append([]string{"/bin/sh", "-c"}, rest...)
	}
	r.add(t.List[0].Pos, "test must start with CMD, CMD-SHELL or NONE, not %q%s", words[0], suggest(words[0], kinds))
	return nil
}
