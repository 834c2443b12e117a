package kernel

import (
	"strconv"
	"time"
)

// Restart is a restart policy, Docker's (https://docs.docker.com/reference/compose-file/services/#restart).
type Restart struct {
	Policy RestartPolicy `json:"policy,omitempty"` // "" = RestartNo
	Max    int           `json:"max,omitempty"`    // of RestartOnFailure: restarts in all; 0 = no limit
}

// RestartPolicy is when a process that ended is started again.
type RestartPolicy string

// The restart policies. None starts what a person stopped, until a person, or `up`, starts it. So UnlessStopped is the same
// as Always: they differ in Docker when its daemon starts, and topo has none.
const (
	RestartNo            RestartPolicy = "no"
	RestartAlways        RestartPolicy = "always"
	RestartOnFailure     RestartPolicy = "on-failure"
	RestartUnlessStopped RestartPolicy = "unless-stopped"
)

// Forever reports whether a process shall run whatever its end was.
func (r Restart) Forever() bool { return r.Policy == RestartAlways || r.Policy == RestartUnlessStopped }

// Again reports whether a process that was restarted so many times is to be started once more. An end of which nobody
// knows how it was counts as a failure.
func (r Restart) Again(success bool, restarts int) bool {
	switch {
	case r.Forever():
		return true
	case r.Policy == RestartOnFailure:
		return !success && (r.Max == 0 || restarts < r.Max)
	}
	return false
}

// String is Compose's word for it.
func (r Restart) String() string {
	switch {
	case r.Policy == "":
		return string(RestartNo)
	case r.Max > 0:
		return string(r.Policy) + ":" + strconv.Itoa(r.Max)
	}
	return string(r.Policy)
}

// Docker's back-off (moby, restartmanager): the first restart comes after BackoffLeast, each further one after twice the
// time of the one before, up to BackoffMost; one that has run for BackoffReset starts from the beginning.
const (
	BackoffLeast = 100 * time.Millisecond
	BackoffMost  = time.Minute
	BackoffReset = 10 * time.Second
)

// NextBackoff is how long to wait before the next restart of a process that ran for so long, when the wait before was last
// (0 = there was none).
func NextBackoff(last, ran time.Duration) time.Duration {
	if last == 0 || ran >= BackoffReset {
		return BackoffLeast
	}
	return min(2*last, BackoffMost)
}

// LogLimits bound what is kept of a process's output.
type LogLimits struct {
	MaxSize int64 `json:"max_size,omitempty"` // bytes of a file; 0 = no limit
	MaxFile int   `json:"max_file,omitempty"` // files, that which is written among them; 0 = 1
}

// Dependency is one entry of depends_on.
type Dependency struct {
	Node      string    `json:"node"`
	Condition Condition `json:"condition"`
	Required  bool      `json:"required,omitempty"`
	Restart   bool      `json:"restart,omitempty"` // restarted when a person restarts Node
}

// Adjusted is a process with what another one has of all that can be changed while it runs: what only its supervisor goes by.
func (p Process) Adjusted(to Process) Process {
	p.Restart, p.Log, p.DependsOn = to.Restart, to.Log, to.DependsOn
	p.StopSignal, p.StopGrace = to.StopSignal, to.StopGrace
	return p
}
