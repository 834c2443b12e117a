package kernel

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What a file says of a health check goes over what the image says, value by value; without the image's test there is none.
func TestHealthOverTheImages(t *testing.T) {
	image := &ImageConfig{Health: &Healthcheck{
		Argv: []string{"true"}, Interval: time.Second, Timeout: 2 * time.Second, StartPeriod: 3 * time.Second, StartInterval: 4 * time.Second, Retries: 5,
	}}
	timings := &Healthcheck{Interval: time.Minute, Retries: 9}
	for name, c := range map[string]struct {
		image   *ImageConfig
		process Process
		want    *Healthcheck
	}{
		"all of it":   {image, Process{ImageHealth: true}, image.Health},
		"its test":    {image, Process{ImageHealth: true, Health: timings}, &Healthcheck{Argv: []string{"true"}, Interval: time.Minute, Timeout: 2 * time.Second, StartPeriod: 3 * time.Second, StartInterval: 4 * time.Second, Retries: 9}},
		"none":        {image, Process{}, nil},
		"the file's":  {image, Process{Health: timings}, timings},
		"it has none": {&ImageConfig{}, Process{ImageHealth: true, Health: timings}, nil},
	} {
		if diff := cmp.Diff(c.want, c.image.Over(c.process).Health); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// An image's volumes are where nothing else is mounted, each once.
func TestVolumesOfAnImage(t *testing.T) {
	image := &ImageConfig{Volumes: []string{"/data", "data/", "/stated/", "/tmp", "/", "/logs/../data"}}
	got := image.VolumesOf(Process{
		Project: "lab", Node: "web",
		Mounts: []Mount{{Kind: BindMount, Source: "/srv", Target: "/stated"}}, Tmpfs: []Tmpfs{{Target: "/tmp/"}},
	})
	want := []Mount{
		{Kind: VolumeMount, Source: OwnVolumeName("lab", "web", "/data"), Target: "/data"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
