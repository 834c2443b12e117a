package fake

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"topo/internal/kernel"
)

// PutVolume puts something where volumes are: of another project, or, with no project, no volume at all.
func (m *Machine) PutVolume(v kernel.Volume) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.volumes[v.Name] = v
}

func (m *Machine) createVolume(o kernel.VolumeCreate) error {
	if _, there := m.volumes[o.Name]; there {
		return syscall.EEXIST
	}
	m.volumes[o.Name] = kernel.Volume{
		Name: o.Name, Project: o.Project, Labels: o.Labels, Created: m.clock(), Node: o.Node, Target: o.Target,
		External: o.Project == "",
	}
	return nil
}

func (m *Machine) setVolume(o kernel.VolumeSet) error {
	v, err := m.ownVolume(o.Name, o.Project)
	if err != nil {
		return err
	}
	v.Labels = o.Labels
	m.volumes[o.Name] = v
	return nil
}

func (m *Machine) deleteVolume(o kernel.VolumeDelete) error {
	v, err := m.ownVolume(o.Name, o.Project)
	if errors.Is(err, syscall.ENOENT) {
		return errAbsent
	}
	if err != nil {
		return err
	}
	if users := m.volumeUsers(v.Name); len(users) > 0 {
		return fmt.Errorf("%s has it mounted: %w", users[0].Node, syscall.EBUSY)
	}
	delete(m.volumes, o.Name)
	return nil
}

func (m *Machine) ownVolume(name, project string) (kernel.Volume, error) {
	v, there := m.volumes[name]
	switch {
	case !there:
		return v, syscall.ENOENT
	case v.Project != project || !v.Genuine():
		return v, syscall.EPERM
	}
	return v, nil
}

// mountVolumes checks that the volumes of a process are there.
func (m *Machine) mountVolumes(p kernel.Process) error {
	for _, mount := range p.Mounts {
		if mount.Kind == kernel.VolumeMount && !m.volumes[mount.Source].Genuine() {
			return fmt.Errorf("volume %s: %w", mount.Source, syscall.ENOENT)
		}
	}
	return nil
}

func (m *Machine) volumeUsers(name string) []kernel.VolumeUser {
	var users []kernel.VolumeUser
	for k, p := range m.processes {
		if slices.ContainsFunc(p.Process.Mounts, func(m kernel.Mount) bool { return m.Kind == kernel.VolumeMount && m.Source == name }) {
			users = append(users, kernel.VolumeUser{Project: k.project, Node: k.node})
		}
	}
	slices.SortFunc(users, func(a, b kernel.VolumeUser) int { return strings.Compare(a.Project+"/"+a.Node, b.Project+"/"+b.Node) })
	return users
}

// LoseVolume takes a volume away from whoever has it, as rm -r does.
func (m *Machine) LoseVolume(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.volumes, name)
}
