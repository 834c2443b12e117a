package kernel

import (
	"cmp"
	"time"
)

// Process is a program to be run in a node: all that a supervisor needs to know.
type Process struct {
	Project string `json:"project"`
	Node    string `json:"node"`
	// Container: with file system, PID, IPC and cgroup namespaces of its own, by an
	// OCI runtime. Otherwise only in its network namespace, with mount and UTS
	// namespaces of its own.
	Container bool `json:"container,omitempty"`
	// Netns is the name in /run/netns; "" is the host's own namespace.
	Netns string `json:"netns,omitempty"`

	Argv     []string          `json:"argv"`
	Env      []string          `json:"env,omitempty"`      // KEY=VALUE, sorted by key: what the file states, over Docker's or the host's base
	Dir      string            `json:"dir,omitempty"`      // "" = /
	User     string            `json:"user,omitempty"`     // "", "NAME", "UID", "USER:GROUP"
	Hostname string            `json:"hostname,omitempty"` // "" leaves the host's own
	Mounts   []Mount           `json:"mounts,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`

	// Hosts and Resolv are files bound over /etc/hosts and /etc/resolv.conf; "" leaves the host's.
	Hosts  string `json:"hosts,omitempty"`
	Resolv string `json:"resolv,omitempty"`

	StopSignal string        `json:"stop_signal,omitempty"` // "SIGTERM"
	StopGrace  time.Duration `json:"stop_grace"`            // then SIGKILL
	Init       bool          `json:"init,omitempty"`        // an init as PID 1 that reaps and passes signals on
	ReadOnly   bool          `json:"read_only,omitempty"`   // root file system
	Privileged bool          `json:"privileged,omitempty"`
	// SecurityOpt as in Compose: "no-new-privileges[:bool]", "seccomp=unconfined", "seccomp=FILE" (absolute).
	SecurityOpt []string     `json:"security_opt,omitempty"`
	Health      *Healthcheck `json:"health,omitempty"`

	// Rootfs is a folder that the container's root is a copy-on-write view of; "" is the host's own root.
	Rootfs string `json:"rootfs,omitempty"`

	// Image names the image that the container's root is a copy-on-write view of; "" is none. ImageID is the digest of its
	// config; "" is that which Image names in the store when the process is started.
	Image   string `json:"image,omitempty"`
	ImageID string `json:"image_id,omitempty"`
	// What the file leaves to the image, besides the variables, working folder, user and stop signal that it doesn't state:
	// the image's entrypoint and its command stand before Argv; its health check holds.
	ImageEntrypoint bool     `json:"image_entrypoint,omitempty"`
	ImageCommand    bool     `json:"image_command,omitempty"`
	ImageHealth     bool     `json:"image_health,omitempty"`
	Limits          Limits   `json:"limits,omitzero"`
	Ulimits         []Ulimit `json:"ulimits,omitempty"`
	// CapAdd and CapDrop change Docker's list: "CAP_CHOWN", "ALL".
	CapAdd  []string `json:"cap_add,omitempty"`
	CapDrop []string `json:"cap_drop,omitempty"`
	Tmpfs   []Tmpfs  `json:"tmpfs,omitempty"`
	// Restart says what becomes of it when it ends; Log how much of what it printed is kept.
	Restart Restart   `json:"restart"`
	Log     LogLimits `json:"log"`
	// DependsOn is for commands that stop and start processes in their order.
	DependsOn []Dependency `json:"depends_on,omitempty"`
	// UsernsMode says whose ids a container has: "" the host's.
	UsernsMode UsernsMode `json:"userns_mode,omitempty"`
	// VolumesFrom are the nodes that hand their volumes on, a later one's over an earlier one's: what their files state is in
	// Mounts, what comes with their images is found when the process is started.
	VolumesFrom []VolumesFrom `json:"volumes_from,omitempty"`
	// Platform is the image's where the file states it: "linux/ARCH" or "linux/ARCH/VARIANT".
	Platform string `json:"platform,omitempty"`
	// StdinOpen: its input can be written to while it runs, and never ends; else it is empty.
	StdinOpen bool `json:"stdin_open,omitempty"`
	// Runtime is who runs a container: "" is topo, by crun, or by runc where that is missing or fails; RuntimeDocker is an
	// engine; any other is the name or the path of an OCI runtime.
	Runtime string `json:"runtime,omitempty"`
}

// VolumesFrom is a node that hands its volumes on.
type VolumesFrom struct {
	Node     string `json:"node"`
	ReadOnly bool   `json:"read_only,omitempty"`
	// Images are the IDs of the images that volumes may come with: the node's, and those behind it; "" is one that is to be pulled.
	Images []string `json:"images,omitempty"`
}

// ImagesBehind are the IDs of the images that a process has volumes from.
func (p Process) ImagesBehind() []string {
	var ids []string
	if p.Image != "" {
		ids = append(ids, p.ImageID)
	}
	for _, v := range p.VolumesFrom {
		ids = append(ids, v.Images...)
	}
	return ids
}

// UsernsMode is in which user namespace a container is.
type UsernsMode string

// PrivateUserns is a user namespace of the container's own.
const PrivateUserns UsernsMode = "private"

// Mount is something that is mounted in a node.
type Mount struct {
	// Source of a bind is absolute, on the host; of a volume it is its name.
	Source      string `json:"source"`
	Target      string `json:"target"` // absolute, in the node
	ReadOnly    bool   `json:"read_only,omitempty"`
	Propagation string `json:"propagation,omitempty"` // "rprivate" when empty
	// CreateSource makes a missing source directory, as Compose's short form does.
	CreateSource bool `json:"create_source,omitempty"`
	// Kind is what is mounted; "" is a bind.
	Kind MountKind `json:"kind,omitempty"`
	// NoCopy: an empty volume is not filled with what the node's root has at Target.
	NoCopy  bool   `json:"no_copy,omitempty"`
	Subpath string `json:"subpath,omitempty"` // of a volume: what is mounted of it; "" is all
	Size    int64  `json:"size,omitempty"`    // of a tmpfs, in bytes; 0 is the kernel's default, half of the memory
	Mode    uint32 `json:"mode,omitempty"`    // of a tmpfs's root
	// From is the node that handed it on (VolumesFrom); "" is nobody.
	From string `json:"from,omitempty"`
}

// MountKind is what is mounted.
type MountKind string

// The kinds of mounts.
const (
	BindMount   MountKind = ""
	VolumeMount MountKind = "volume"
	TmpfsMount  MountKind = "tmpfs"
)

// Healthcheck says how to tell that a process does its work. Zero durations never occur: defaults
// (30s, 30s, 0s, 5s; 3 retries) are filled in when the file is read; but where the test is left to the image (no Argv), zero
// leaves that to it, too.
type Healthcheck struct {
	// Argv is run in the node; exit code 0 is healthy. CMD-SHELL has become ["/bin/sh", "-c", …].
	Argv          []string      `json:"argv"`
	Interval      time.Duration `json:"interval"`
	Timeout       time.Duration `json:"timeout"`
	StartPeriod   time.Duration `json:"start_period,omitempty"`
	StartInterval time.Duration `json:"start_interval"`
	Retries       int           `json:"retries"`
}

// over gives the image's health check with what the file says of it; nil where the image has none.
func (h *Healthcheck) over(image *Healthcheck) *Healthcheck {
	if h == nil || image == nil {
		return image
	}
	return &Healthcheck{
		Argv:          image.Argv,
		Interval:      cmp.Or(h.Interval, image.Interval),
		Timeout:       cmp.Or(h.Timeout, image.Timeout),
		StartPeriod:   cmp.Or(h.StartPeriod, image.StartPeriod),
		StartInterval: cmp.Or(h.StartInterval, image.StartInterval),
		Retries:       cmp.Or(h.Retries, image.Retries),
	}
}

// Status is where a process is in its life.
type Status string

// The statuses of a process.
const (
	Running Status = "running"
	Exited  Status = "exited"
	// Lost: it ran, it is gone, and nobody was there to see its end.
	Lost Status = "lost"
	// Restarting: it ended, and is started again when its back-off is over.
	Restarting Status = "restarting"
	// Stopped: a person had it ended (topo stop, topo kill); its policy doesn't start it again.
	Stopped Status = "stopped"
)

// Health is what the health check says.
type Health string

// The healths. A process without a health check has none ("").
const (
	Starting  Health = "starting"
	Healthy   Health = "healthy"
	Unhealthy Health = "unhealthy"
)

// ProcessState is a process as found on the machine.
type ProcessState struct {
	Process    Process   `json:"process"` // as it was started
	Status     Status    `json:"status"`
	PID        int       `json:"pid,omitempty"`   // in the host's PID namespace; 0 when it does not run
	ExitCode   int       `json:"exit_code"`       // of an exited, stopped or restarting one; 128+n when killed by signal n
	Error      string    `json:"error,omitempty"` // why it could not be started
	Health     Health    `json:"health,omitempty"`
	HealthLog  string    `json:"health_log,omitempty"` // output of the last check
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at"`

	Signal    string    `json:"signal,omitempty"`     // what killed the last run: "SIGKILL"
	OOMKilled bool      `json:"oom_killed,omitempty"` // something of the last run was killed for want of memory
	Restarts  int       `json:"restarts,omitempty"`   // by its policy, since it was last started by a person
	RestartAt time.Time `json:"restart_at,omitzero"`  // of a restarting one
	// Image is what the image says that it was started from.
	Image *ImageConfig `json:"image,omitempty"`
	// FirstID is the host's id that is 0 in a container with a user namespace of its own.
	FirstID uint32 `json:"first_id,omitempty"`
	// Added is mounted besides what Process states: its image's volumes, and those of the images of nodes that hand theirs on.
	Added []Mount `json:"added,omitempty"`
}

// Condition is what a dependent waits for (depends_on of compose-spec).
type Condition string

// The conditions of depends_on.
const (
	ServiceStarted   Condition = "service_started"
	ServiceHealthy   Condition = "service_healthy"
	ServiceCompleted Condition = "service_completed_successfully"
	// ServiceRunning is no condition of depends_on, but that of waiting for all that was started: it runs,
	// or has done its work and ended with 0.
	ServiceRunning Condition = "running"
)
