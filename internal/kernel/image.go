package kernel

import (
	"path"
	"slices"
)

// ImageQuery asks for what a container image's reference names.
type ImageQuery struct {
	Reference string // as the file has it
	// Fresh asks the registry, too. Stored looks at nothing but the store, not even at files of this machine.
	Fresh, Stored bool
	// Asked: Now and Error are those of an Image, found out before, and nobody is asked again.
	Asked      bool
	Now, Error string
	// Platform is "linux/ARCH" or "linux/ARCH/VARIANT"; "" is the machine's.
	Platform string
}

// Image is what the reference of a container image names.
type Image struct {
	Reference string // as it was asked for
	// Digest and ID are of the image in the store: what the reference named when it was pulled (a manifest, an index, or of
	// an archive the config), and the config. Both are "" where the store has none.
	Digest, ID string
	// Now is the digest that it names now, of files of this machine, and where the registry was asked; otherwise, and where
	// there is an Error, "".
	Now string
	// Error says why Now was asked for and is not known.
	Error string
	// Platform is as it was asked for; Unfit says why this machine can't run it, "" where it can.
	Platform, Unfit string
}

// ImageConfig is what an image says about running it.
type ImageConfig struct {
	Entrypoint []string     `json:"entrypoint,omitempty"`
	Command    []string     `json:"command,omitempty"`
	Env        []string     `json:"env,omitempty"` // KEY=VALUE
	Dir        string       `json:"dir,omitempty"` // absolute
	User       string       `json:"user,omitempty"`
	StopSignal string       `json:"stop_signal,omitempty"`
	Health     *Healthcheck `json:"health,omitempty"`
	// Ports are those that it listens on ("80/tcp"); Volumes are folders for data that is to be kept.
	Ports   []string `json:"ports,omitempty"`
	Volumes []string `json:"volumes,omitempty"`
}

// Over gives the process with what it leaves to its image filled in, but for volumes; nil, of one without an image, changes nothing.
func (c *ImageConfig) Over(p Process) Process {
	if c == nil {
		return p
	}
	var argv []string
	if p.ImageEntrypoint {
		argv = append(argv, c.Entrypoint...)
	}
	if p.ImageCommand {
		argv = append(argv, c.Command...)
	}
	p.Argv = append(argv, p.Argv...)
	if p.ImageHealth {
		p.Health = p.Health.over(c.Health)
	}
	p.ImageEntrypoint, p.ImageCommand, p.ImageHealth = false, false, false
	// Of two values of one variable the later holds.
	p.Env = slices.Concat(c.Env, p.Env)
	for _, f := range []struct{ have, image *string }{{&p.Dir, &c.Dir}, {&p.User, &c.User}, {&p.StopSignal, &c.StopSignal}} {
		if *f.have == "" {
			*f.have = *f.image
		}
	}
	return p
}

// VolumesOf are the image's volumes that a process has for itself: at each target where nothing else is mounted. nil has none.
func (c *ImageConfig) VolumesOf(p Process) []Mount {
	if c == nil {
		return nil
	}
	var mounts []Mount
	for _, target := range c.Volumes {
		target = path.Clean("/" + target)
		taken := target == "/" ||
			slices.ContainsFunc(p.Mounts, func(m Mount) bool { return path.Clean(m.Target) == target }) ||
			slices.ContainsFunc(p.Tmpfs, func(m Tmpfs) bool { return path.Clean(m.Target) == target }) ||
			slices.ContainsFunc(mounts, func(m Mount) bool { return m.Target == target })
		if !taken {
			mounts = append(mounts, Mount{Kind: VolumeMount, Source: OwnVolumeName(p.Project, p.Node, target), Target: target})
		}
	}
	return mounts
}
