package main

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/linux"
	"topo/planner"
	"topo/spec"
)

// pending is a run of up --confirm, from before its first change until it is confirmed or undone.
type pending struct {
	Project string `json:"project"`
	// Token tells the run from others of the project; its watchman bears it on its command line.
	Token    string        `json:"token"`
	Began    time.Time     `json:"began"`
	Patience time.Duration `json:"patience"`
	Until    time.Time     `json:"until,omitzero"` // zero: the run is not over
	Watchman int           `json:"watchman,omitempty"`
	Failed   string        `json:"failed,omitempty"` // why the watchman could not put the state before back
	State    []byte        `json:"state"`
}

// pastState is a [wayBack] as it is kept. gob has the secrets as they are, which JSON never has; of a topology it would take a pointer to
// false for none, so that is JSON.
type pastState struct {
	Project  string
	Snapshot kernel.Snapshot
	Query    kernel.Query
	Topology []byte
	Applied  []byte
	Source   []string
}

func (b *wayBack) encode() ([]byte, error) {
	topology, err := json.Marshal(withoutKeys(b.run.Topology))
	if err != nil {
		return nil, fmt.Errorf("writing the topology down: %w", err)
	}
	var out bytes.Buffer
	err = gob.NewEncoder(&out).Encode(pastState{b.run.Project, b.run.Snapshot, b.query, topology, b.applied, b.source})
	if err != nil {
		return nil, fmt.Errorf("writing the state down: %w", err)
	}
	return out.Bytes(), nil
}

// withoutKeys leaves the keys out that a file states. On the way back only the names of what it wanted are of use.
func withoutKeys(t *spec.Topology) *spec.Topology {
	c := *t
	c.Interfaces = slices.Clone(c.Interfaces)
	for i, x := range c.Interfaces {
		if x.WireGuard == nil {
			continue
		}
		w := *x.WireGuard
		w.Key.Given = spec.Secret{}
		w.Peers = slices.Clone(w.Peers)
		for j := range w.Peers {
			w.Peers[j].Preshared.Given = spec.Secret{}
		}
		c.Interfaces[i].WireGuard = &w
	}
	return &c
}

func decodeWayBack(data []byte) (*wayBack, error) {
	var s pastState
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&s); err != nil {
		return nil, fmt.Errorf("reading the state from before: %w", err)
	}
	var t spec.Topology
	if err := json.Unmarshal(s.Topology, &t); err != nil {
		return nil, fmt.Errorf("reading the topology of the run: %w", err)
	}
	run := planner.Options{Project: s.Project, Snapshot: s.Snapshot, Topology: &t, Applied: parseApplied(s.Applied)}
	return &wayBack{run: run, query: s.Query, applied: s.Applied, source: s.Source}, nil
}

// readPending is nil where no run of the project waits.
func readPending(project string) (*pending, error) {
	data, err := linux.ReadPending(project)
	if err != nil || data == nil {
		return nil, err
	}
	var p pending
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("reading what waits for confirmation: %w", err)
	}
	return &p, nil
}

func (p *pending) write() error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return linux.WritePending(p.Project, data)
}

// watchman is a descriptor of its process, which the caller closes; -1 where there is none any more.
func (p *pending) watchman() int {
	if p.Watchman == 0 {
		return -1
	}
	fd, err := unix.PidfdOpen(p.Watchman, 0)
	if err != nil {
		return -1
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.Watchman))
	if err != nil || !slices.Contains(strings.Split(string(line), "\x00"), p.Token) {
		unix.Close(fd)
		return -1
	}
	return fd
}

func (p *pending) watched() bool {
	fd := p.watchman()
	if fd < 0 {
		return false
	}
	unix.Close(fd)
	return true
}

// end ends the waiting, and the watchman with it. The caller has the project's lock, so the watchman is not at work.
func (p *pending) end() error {
	if err := linux.RemovePending(p.Project); err != nil {
		return err
	}
	return p.dismiss()
}

// dismiss ends the watchman, and waits until it has.
func (p *pending) dismiss() error {
	fd := p.watchman()
	if fd < 0 {
		return nil
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("ending the watchman (process %d): %w", p.Watchman, err)
	}
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// putBack is what a watchman did.
type putBack struct {
	Project string    `json:"project"`
	Began   time.Time `json:"began"` // the run
	At      time.Time `json:"at"`
	Why     string    `json:"why"`
	Plan    string    `json:"plan"`
	Error   string    `json:"error,omitempty"` // why it is not whole
}

func readPutBack(project string) (*putBack, error) {
	data, err := linux.ReadPutBack(project)
	if err != nil || data == nil {
		return nil, err
	}
	var b putBack
	if err := json.Unmarshal(data, &b); err != nil {
		return nil, fmt.Errorf("reading what the watchman did: %w", err)
	}
	return &b, nil
}

func (b *putBack) String() string {
	if b.Error != "" {
		return fmt.Sprintf("%s: at %s topo began to put back what was before the up of %s (%s), and failed: %s", b.Project, clock(b.At), clock(b.Began), b.Why, b.Error)
	}
	return fmt.Sprintf("%s: at %s topo put back what was before the up of %s: %s", b.Project, clock(b.At), clock(b.Began), b.Why)
}

func clock(t time.Time) string { return t.Local().Format(time.TimeOnly) }
