package image

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/sys/signal"

	"topo/internal/kernel"
)

// configFile is an image's config as it is written (OCI image-spec, config.md), with Docker's health check.
type configFile struct {
	v1.Platform
	RootFS struct {
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
	Config struct {
		User         string
		Env          []string
		Entrypoint   []string
		Cmd          []string
		Shell        []string
		WorkingDir   string
		StopSignal   string
		ExposedPorts map[string]struct{}
		Volumes      map[string]struct{}
		Healthcheck  *struct {
			Test                                          []string
			Interval, Timeout, StartPeriod, StartInterval time.Duration
			Retries                                       int
		}
	} `json:"config"`
}

// Docker's defaults of a health check (moby, daemon/health.go).
const (
	healthInterval      = 30 * time.Second
	healthTimeout       = 30 * time.Second
	healthStartInterval = 5 * time.Second
	healthRetries       = 3
)

func readConfig(raw []byte) (layers []string, is v1.Platform, c kernel.ImageConfig, err error) {
	var f configFile
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, is, c, fmt.Errorf("reading the config: %w", err)
	}
	c = kernel.ImageConfig{
		User: f.Config.User, Entrypoint: f.Config.Entrypoint, Command: f.Config.Cmd,
		Ports:   slices.Sorted(maps.Keys(f.Config.ExposedPorts)),
		Volumes: slices.Sorted(maps.Keys(f.Config.Volumes)),
	}
	for _, kv := range f.Config.Env {
		if strings.Contains(kv, "=") {
			c.Env = append(c.Env, kv)
		}
	}
	if f.Config.WorkingDir != "" {
		c.Dir = path.Join("/", f.Config.WorkingDir)
	}
	// A signal that this machine hasn't would make the container hard to stop.
	if _, err := signal.ParseSignal(f.Config.StopSignal); err == nil {
		c.StopSignal = f.Config.StopSignal
	}
	h := f.Config.Healthcheck
	if h == nil || len(h.Test) < 2 {
		return f.RootFS.DiffIDs, f.Platform, c, nil
	}
	c.Health = &kernel.Healthcheck{
		Argv:     h.Test[1:],
		Interval: or(h.Interval, healthInterval), Timeout: or(h.Timeout, healthTimeout),
		StartPeriod: h.StartPeriod, StartInterval: or(h.StartInterval, healthStartInterval),
		Retries: or(h.Retries, healthRetries),
	}
	if h.Test[0] == "CMD-SHELL" {
		shell := f.Config.Shell
		if len(shell) == 0 {
			shell = []string{"/bin/sh", "-c"}
		}
		c.Health.Argv = append(slices.Clone(shell), h.Test[1:]...)
	}
	return f.RootFS.DiffIDs, f.Platform, c, nil
}

// or is a stated value, or the default.
func or[T time.Duration | int](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

// ReadConfig reads what a document with the key "config" says about running an image: an image's config, or what an engine
// says of one.
func ReadConfig(raw []byte) (kernel.ImageConfig, error) {
	_, _, c, err := readConfig(raw)
	return c, err
}
