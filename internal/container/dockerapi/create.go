package dockerapi

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"

	"topo/internal/kernel"
)

// SandboxSpec is what a node's sandbox is made of.
type SandboxSpec struct {
	Process kernel.Process
	Argv    []string // the program that enters the namespace, in the container
	Binds   []kernel.Mount
	Image   kernel.ImageConfig
}

// CreateSandbox makes the container whose network namespace the node's has. Nothing of its image runs in it.
func (c *Client) CreateSandbox(ctx context.Context, s SandboxSpec) (id string, err error) {
	p := s.Process
	config := &container.Config{
		Image: p.ImageID, Entrypoint: s.Argv[:1], Cmd: s.Argv[1:], User: "0:0", WorkingDir: "/", Hostname: p.Hostname,
		Labels: labels(kernel.Process{Project: p.Project, Node: p.Node}, sandboxKind), Healthcheck: noHealth,
	}
	host := &container.HostConfig{
		NetworkMode: network.none, RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		ReadonlyRootfs: true, CapDrop: []string{"ALL"}, CapAdd: []string{"CAP_SYS_ADMIN"}, SecurityOpt: []string{noNewPrivileges},
		Mounts: mounts(s.Binds), Tmpfs: covered(s.Image), LogConfig: container.LogConfig{Type: "json-file"},
	}
	return c.create(ctx, kernel.EngineSandboxName(p.Project, p.Node), p.Platform, config, host)
}

// noHealth: topo runs the checks.
var noHealth = &container.HealthConfig{Test: []string{"NONE"}}

const noNewPrivileges = "no-new-privileges"

// ContainerSpec is what a node's container is made of: a process with what it leaves to its image filled in, whose mounts
// all have paths of the host as their sources.
type ContainerSpec struct {
	Process kernel.Process
	Argv    []string
	Sandbox string // ID; "" is the host's network
	// NoNewPrivileges and Seccomp ("" = the engine's default, "unconfined", or a file) are what security_opt says.
	NoNewPrivileges bool
	Seccomp         string
}

// CreateContainer makes a node's container.
func (c *Client) CreateContainer(ctx context.Context, s ContainerSpec) (id string, err error) {
	p := s.Process
	config := &container.Config{
		Image: p.ImageID, Entrypoint: s.Argv[:1], Cmd: s.Argv[1:], Env: p.Env, User: p.User, WorkingDir: p.Dir,
		StopSignal: p.StopSignal, Labels: labels(p, processKind), Healthcheck: noHealth, OpenStdin: p.StdinOpen,
	}
	if c.podman || s.Sandbox == "" {
		config.Hostname = p.Hostname // Docker takes the sandbox's, and refuses another
	}
	grace := int(p.StopGrace.Seconds())
	config.StopTimeout = &grace
	host := &container.HostConfig{
		NetworkMode: network.host, RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		ReadonlyRootfs: p.ReadOnly, Privileged: p.Privileged, CapAdd: c.added(p), CapDrop: p.CapDrop,
		Mounts: mounts(p.Mounts), Tmpfs: tmpfs(p), LogConfig: logConfig(p.Log), Resources: resources(p),
	}
	if s.Sandbox != "" {
		host.NetworkMode = container.NetworkMode("container:" + s.Sandbox)
	}
	if host.SecurityOpt, err = c.security(s); err != nil {
		return "", err
	}
	return c.create(ctx, kernel.EngineName(p.Project, p.Node), p.Platform, config, host)
}

// network are the modes that need no other container.
var network = struct{ none, host container.NetworkMode }{"none", "host"}

// podmanLacks are those of Docker's 14 capabilities that Podman leaves out.
var podmanLacks = []string{"CAP_AUDIT_WRITE", "CAP_MKNOD", "CAP_NET_RAW"}

// added are the capabilities to ask for: with either engine the container shall have what Docker's would. What Podman is
// asked for, a user other than root has, too, and not as a limit only as with Docker: so for those it is not asked.
func (c *Client) added(p kernel.Process) []string {
	user, _, _ := strings.Cut(p.User, ":")
	if !c.podman || p.Privileged || slices.Contains(p.CapDrop, "ALL") || user != "" && user != "0" && user != "root" {
		return p.CapAdd
	}
	list := slices.Clone(p.CapAdd)
	for _, name := range podmanLacks {
		if !slices.Contains(list, name) && !slices.Contains(list, "ALL") && !slices.Contains(p.CapDrop, name) {
			list = append(list, name)
		}
	}
	return list
}

// security: Docker wants a seccomp profile's text, Podman its path.
func (c *Client) security(s ContainerSpec) ([]string, error) {
	var list []string
	if s.NoNewPrivileges {
		list = append(list, noNewPrivileges)
	}
	const option = "seccomp="
	switch {
	case s.Seccomp == "":
	case s.Seccomp == "unconfined" || c.podman:
		list = append(list, option+s.Seccomp)
	default:
		profile, err := os.ReadFile(s.Seccomp)
		if err != nil {
			return nil, err
		}
		list = append(list, option+string(profile))
	}
	return list, nil
}

func mounts(list []kernel.Mount) []mount.Mount {
	var out []mount.Mount
	for _, m := range list {
		if m.Kind == kernel.TmpfsMount {
			continue
		}
		propagation := mount.PropagationRPrivate
		if m.Propagation != "" {
			propagation = mount.Propagation(m.Propagation)
		}
		out = append(out, mount.Mount{
			Type: mount.TypeBind, Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly,
			BindOptions: &mount.BindOptions{Propagation: propagation},
		})
	}
	return out
}

// tmpfs are the file systems in memory, by target.
func tmpfs(p kernel.Process) map[string]string {
	all := map[string]string{}
	for _, t := range p.Tmpfs {
		all[t.Target] = strings.Join(t.Options, ",")
	}
	for _, m := range p.Mounts {
		if m.Kind != kernel.TmpfsMount {
			continue
		}
		var options []string
		if m.Size != 0 {
			options = append(options, "size="+strconv.FormatInt(m.Size, 10))
		}
		if m.Mode != 0 {
			options = append(options, "mode="+strconv.FormatUint(uint64(m.Mode), 8))
		}
		if m.ReadOnly {
			options = append(options, "ro")
		}
		all[m.Target] = strings.Join(options, ",")
	}
	return all
}

// logConfig: topo reads what is printed out of the engine's own log, which is to be bounded as topo's is.
func logConfig(l kernel.LogLimits) container.LogConfig {
	config := container.LogConfig{Type: "json-file", Config: map[string]string{}}
	if l.MaxSize > 0 {
		config.Config["max-size"] = strconv.FormatInt(l.MaxSize, 10)
		config.Config["max-file"] = strconv.Itoa(max(l.MaxFile, 2)) // the reader may be behind by one
	}
	return config
}

func resources(p kernel.Process) container.Resources {
	r := container.Resources{Memory: p.Limits.Memory, NanoCPUs: p.Limits.NanoCPUs}
	if p.Limits.Memory != 0 {
		r.MemorySwap = 2 * p.Limits.Memory // as much swap again as memory: Docker's default
	}
	if p.Limits.Pids != 0 {
		r.PidsLimit = &p.Limits.Pids
	}
	for _, u := range p.Ulimits {
		r.Ulimits = append(r.Ulimits, &units.Ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard})
	}
	return r
}
