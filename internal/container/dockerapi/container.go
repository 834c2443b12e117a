package dockerapi

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"topo/internal/kernel"
)

// The labels of topo's containers.
const (
	markLabel    = "topo.mark" // kernel.Mark
	projectLabel = "topo.project"
	nodeLabel    = "topo.node"
)

// The kinds of containers in marks.
const (
	processKind = "process/"
	sandboxKind = "sandbox/"
)

// State is what an engine says of a container.
type State struct {
	Running   bool
	PID       int // on the host; 0 when it does not run
	ExitCode  int
	OOMKilled bool
}

// State tells how a container is; there is false when the engine has none.
func (c *Client) State(ctx context.Context, id string) (s State, there bool, err error) {
	found, err := c.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if noContainer(err) {
		return State{}, false, nil
	}
	if err != nil {
		return State{}, false, err
	}
	if now := found.Container.State; now != nil {
		s = State{now.Running, now.Pid, now.ExitCode, now.OOMKilled}
	}
	return s, true, nil
}

// Start starts a container that was made or has ended; one that runs is left alone. A *StartError says that its program,
// command, can't be run.
func (c *Client) Start(ctx context.Context, id, command string) error {
	_, err := c.api.ContainerStart(ctx, id, client.ContainerStartOptions{})
	return startError(command, err)
}

// Restart ends what runs in a container at once, and starts it again.
func (c *Client) Restart(ctx context.Context, id string) error {
	now := 0
	_, err := c.api.ContainerRestart(ctx, id, client.ContainerRestartOptions{Timeout: &now})
	return err
}

// Remove removes all containers of a node, with what runs in them: the sandbox last, which the other one needs.
func (c *Client) Remove(ctx context.Context, project, node string) error {
	filters := make(client.Filters).Add("label", projectLabel+"="+project, nodeLabel+"="+node)
	found, err := c.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		return err
	}
	slices.SortFunc(found.Items, func(a, b container.Summary) int { return strings.Compare(a.Labels[markLabel], b.Labels[markLabel]) })
	for _, s := range found.Items {
		// Labels that a person gave are no mark.
		if m, ok := kernel.ParseMark(s.Labels[markLabel]); !ok || m.Project != project {
			continue
		}
		if err := c.remove(ctx, s.ID); err != nil {
			return fmt.Errorf("removing container %s: %w", s.ID, err)
		}
	}
	return nil
}

func (c *Client) remove(ctx context.Context, id string) error {
	_, err := c.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if noContainer(err) {
		return nil
	}
	return err
}

// Containers tells of those names that the engine has containers for whose they are.
func (c *Client) Containers(ctx context.Context, names []string) ([]kernel.EngineContainer, error) {
	filters := make(client.Filters).Add("name", names...) // as expressions, which match parts of others, too
	found, err := c.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		return nil, err
	}
	var list []kernel.EngineContainer
	for _, s := range found.Items {
		for _, name := range s.Names {
			if name = strings.TrimPrefix(name, "/"); slices.Contains(names, name) {
				mark, _ := kernel.ParseMark(s.Labels[markLabel])
				list = append(list, kernel.EngineContainer{Name: name, Mark: mark})
			}
		}
	}
	return list, nil
}

// create makes a container, and doesn't start it. What an earlier boot left with its name was removed before: one that is
// there is somebody else's.
func (c *Client) create(ctx context.Context, name, platform string, config *container.Config, host *container.HostConfig) (id string, err error) {
	options := client.ContainerCreateOptions{Name: name, Config: config, HostConfig: host}
	if !c.podman { // whose IDs are each of one image alone
		options.Platform = platformOf(platform)
	}
	made, err := c.api.ContainerCreate(ctx, options)
	if err != nil {
		return "", fmt.Errorf("making container %s: %w", name, err)
	}
	return made.ID, nil
}

func labels(p kernel.Process, kind string) map[string]string {
	all := maps.Clone(p.Labels)
	if all == nil {
		all = map[string]string{}
	}
	all[markLabel] = kernel.Mark{Project: p.Project, ID: kind + p.Node}.String()
	all[projectLabel], all[nodeLabel] = p.Project, p.Node
	return all
}
