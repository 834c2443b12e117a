package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"topo/internal/kernel"
)

// Observe reads which processes a project has, by node, and its supervisor. It needs no supervisor and
// changes nothing: a process counts as running when its pid lives and has its start time. Limits are those that a
// container has now, whoever set them.
func (e *Engine) Observe(ctx context.Context, project string) (kernel.Supervisor, []kernel.ProcessState, error) {
	l := e.layout(project)
	supervisor := findSupervisor(l)
	nodes, err := l.nodes()
	if err != nil {
		return kernel.Supervisor{}, nil, fmt.Errorf("reading processes of %s: %w", project, err)
	}
	var states []kernel.ProcessState
	for _, node := range nodes {
		p, rec, err := readSettled(ctx, l, node, supervisor)
		if err != nil {
			return kernel.Supervisor{}, nil, fmt.Errorf("reading process of %s: %w", node, err)
		}
		if p.Node != "" {
			if p.Container && rec.Status == kernel.Running {
				p.Limits = liveLimits(cgroupDir, rec.group(), p.Limits)
			}
			s := rec.state(p)
			if privateIDs(p) {
				if s.FirstID, err = l.claimedIDs(node); err != nil {
					return kernel.Supervisor{}, nil, err
				}
			}
			states = append(states, s)
		}
	}
	return kernel.Supervisor{PID: supervisor.PID}, states, nil
}

// readSettled reads a node. A process that has just ended is recorded as running until its supervisor has
// noted the end, and one that is being started as lost: a living one gets a moment to be done.
func readSettled(ctx context.Context, l layout, node string, supervisor identity) (kernel.Process, record, error) {
	const moment, pause = 3 * time.Second, 2 * time.Millisecond
	for end := time.Now().Add(moment); ; {
		p, rec, err := readNode(l, node)
		ended := rec.Status == kernel.Running && !rec.alive()
		starting := rec.Status == kernel.Lost && rec.Starter.PID != 0 && rec.Starter == supervisor
		if err != nil || !ended && !starting {
			return p, rec, err
		}
		if !supervisor.alive() || time.Now().After(end) {
			return p, rec.lost(), nil
		}
		select {
		case <-ctx.Done():
			return p, rec, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// readNode reads a node's files: the zero Process when there is none. One that has no record was
// being started when its supervisor died.
func readNode(l layout, node string) (p kernel.Process, rec record, err error) {
	if err := readJSON(l.processFile(node), &p); errors.Is(err, fs.ErrNotExist) {
		return kernel.Process{}, record{}, nil
	} else if err != nil {
		return kernel.Process{}, record{}, err
	}
	if err := readJSON(l.stateFile(node), &rec); errors.Is(err, fs.ErrNotExist) {
		return p, record{Status: kernel.Lost}, nil
	} else if err != nil {
		return p, record{}, err
	}
	return p, rec, nil
}

// findSupervisor tells who a project's supervisor is: zero when none runs.
func findSupervisor(l layout) identity {
	var id identity
	if err := readJSON(l.supervisorFile(), &id); err != nil || !id.alive() {
		return identity{}
	}
	return id
}
