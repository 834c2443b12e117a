package container

import (
	"cmp"
	"time"

	"topo/internal/kernel"
)

// record is state.json: what became of a process. It is written by whoever changes it (the
// supervisor; a command that stops a process while there is none), and read by all.
type record struct {
	// identity is that of the main process; zero when it could not be started.
	identity
	Status     kernel.Status `json:"status"`
	ExitCode   int           `json:"exit_code"`
	Error      string        `json:"error,omitempty"`
	Health     kernel.Health `json:"health,omitempty"`
	HealthLog  string        `json:"health_log,omitempty"`
	StartedAt  time.Time     `json:"started_at"`
	FinishedAt time.Time     `json:"finished_at"`

	// ContainerID and Runtime are set for containers: the ID and the program that made it.
	ContainerID string `json:"container_id,omitempty"`
	Runtime     string `json:"runtime,omitempty"`
	// MountNS is the kernel's number of a namespace process's mount namespace, by which what it left
	// behind is found; 0 before Linux 6.11, which has no number that is never used again.
	MountNS uint64 `json:"mount_ns,omitempty"`

	// Signal is what ended the last run, "" for an exit; OOMKilled: some of it was killed for want of memory.
	Signal    string `json:"signal,omitempty"`
	OOMKilled bool   `json:"oom_killed,omitempty"`
	// Halted: a person has this run stopped, so it is not followed by another.
	Halted bool `json:"halted,omitempty"`
	// Restarts counts those by the policy, Backoff is the wait before the last one; RestartAt is when the next is due.
	Restarts  int           `json:"restarts,omitempty"`
	Backoff   time.Duration `json:"backoff,omitempty"`
	RestartAt time.Time     `json:"restart_at,omitzero"`
	// Starter is the supervisor that is starting it: its status is Lost until that is done.
	Starter identity `json:"starter,omitzero"`
	// Image is what the image says that a container was made from.
	Image *kernel.ImageConfig `json:"image,omitempty"`
	// Added is mounted besides what the process states. It is on disk before anything is made ready for it: what it names is in use.
	Added []kernel.Mount `json:"added,omitempty"`
	// Cgroup is the control group, below each hierarchy, of a container that an engine runs. Its Runtime is where the engine listens.
	Cgroup string `json:"cgroup,omitempty"`
}

// group is the control group of a container, below each hierarchy.
func (r record) group() string { return cmp.Or(r.Cgroup, r.ContainerID) }

// state is the record in the words of the snapshot.
func (r record) state(p kernel.Process) kernel.ProcessState {
	s := kernel.ProcessState{
		Process: p, Status: r.Status, ExitCode: r.ExitCode, Error: r.Error,
		Health: r.Health, HealthLog: r.HealthLog, StartedAt: r.StartedAt, FinishedAt: r.FinishedAt, Image: r.Image,
		Signal: r.Signal, OOMKilled: r.OOMKilled, Restarts: r.Restarts, Added: r.Added,
	}
	if r.Status == kernel.Restarting {
		s.RestartAt = r.RestartAt
	}
	if r.Status == kernel.Running {
		s.PID = r.PID
	}
	return s
}

// orphaned: it is being started, by a supervisor that is dead.
func (r record) orphaned() bool {
	return r.Status == kernel.Lost && r.Starter.PID != 0 && !r.Starter.alive()
}

// lost is the record of a process whose end nobody saw.
func (r record) lost() record {
	r.Status = kernel.Lost
	r.Health = ""
	r.Starter = identity{}
	return r
}
