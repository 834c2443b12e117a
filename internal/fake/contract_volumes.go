package fake

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"topo/executor"
	"topo/internal/kernel"
)

// ContractVolumes is how a machine keeps volumes. It stands beside [Contract] because others keep them than the kernel:
// it is run against [Machine] and against internal/container.
func ContractVolumes(t *testing.T, open func(*testing.T) executor.Machine) {
	for _, c := range []struct {
		name string
		run  func(*host)
	}{
		{"volume", contractVolume},
		{"volume of others", contractForeignVolume},
		{"external volume", contractExternalVolume},
	} {
		t.Run(c.name, func(t *testing.T) {
			if m := open(t); m != nil {
				c.run(&host{t, m})
			}
		})
	}
}

// volumes is what a reading finds, without the times.
func (h *host) volumes() []kernel.Volume {
	h.Helper()
	list := slices.Clone(h.read().Volumes)
	for i := range list {
		if list[i].Created.IsZero() {
			h.Errorf("volume %s was never made", list[i].Name)
		}
		list[i].Created = time.Time{}
	}
	return list
}

func contractVolume(h *host) {
	labels := map[string]string{"tier": "db"}
	h.do(
		kernel.VolumeCreate{Name: "b", Project: contractProject, Labels: labels},
		kernel.VolumeCreate{Name: "a", Project: contractProject, Node: "web", Target: "/data"},
	)
	a := kernel.Volume{Name: "a", Project: contractProject, Node: "web", Target: "/data"}
	b := kernel.Volume{Name: "b", Project: contractProject, Labels: labels}
	equal(h, "volumes", h.volumes(), []kernel.Volume{a, b})
	h.refuse(syscall.EEXIST, kernel.VolumeCreate{Name: "a", Project: contractProject})

	b.Labels = map[string]string{"tier": "cache"}
	h.do(kernel.VolumeSet{Name: "b", Project: contractProject, Labels: b.Labels})
	equal(h, "volumes", h.volumes(), []kernel.Volume{a, b})
	h.refuse(syscall.ENOENT, kernel.VolumeSet{Name: "c", Project: contractProject})

	h.do(kernel.VolumeDelete{Name: "a", Project: contractProject}, kernel.VolumeDelete{Name: "a", Project: contractProject})
	equal(h, "volumes", h.volumes(), []kernel.Volume{b})
	h.do(kernel.VolumeDelete{Name: "b", Project: contractProject})
	equal(h, "volumes", h.volumes(), nil)
}

func contractForeignVolume(h *host) {
	h.do(kernel.VolumeCreate{Name: "a", Project: "other"})
	h.refuse(syscall.EEXIST, kernel.VolumeCreate{Name: "a", Project: contractProject})
	h.refuse(syscall.EPERM, kernel.VolumeSet{Name: "a", Project: contractProject})
	h.refuse(syscall.EPERM, kernel.VolumeDelete{Name: "a", Project: contractProject})
	equal(h, "volumes", h.volumes(), []kernel.Volume{{Name: "a", Project: "other"}})
	h.do(kernel.VolumeDelete{Name: "a", Project: "other"})
}

// What no project made, every project can mount and none can change.
func contractExternalVolume(h *host) {
	h.do(kernel.VolumeCreate{Name: "a", Labels: map[string]string{"tier": "db"}})
	want := []kernel.Volume{{Name: "a", Labels: map[string]string{"tier": "db"}, External: true}}
	equal(h, "volumes", h.volumes(), want)
	h.refuse(syscall.EEXIST, kernel.VolumeCreate{Name: "a"})
	h.refuse(syscall.EEXIST, kernel.VolumeCreate{Name: "a", Project: contractProject})
	h.refuse(syscall.EPERM, kernel.VolumeSet{Name: "a", Project: contractProject})
	h.refuse(syscall.EPERM, kernel.VolumeDelete{Name: "a", Project: contractProject})
	equal(h, "volumes", h.volumes(), want)
	h.do(kernel.VolumeDelete{Name: "a"})
	h.do(kernel.VolumeCreate{Name: "b", Project: contractProject})
	h.refuse(syscall.EPERM, kernel.VolumeDelete{Name: "b"})
	h.do(kernel.VolumeDelete{Name: "b", Project: contractProject})
}
