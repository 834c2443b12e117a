package planner_test

import (
	"testing"

	"topo/internal/kernel"
	"topo/planner"
)

func TestDead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		r    kernel.Remains
		want string
	}{
		{"up", kernel.Remains{Kernel: true, State: true, Files: []string{"/a"}}, ""},
		{"up, with processes", kernel.Remains{Kernel: true, State: true, Files: []string{"/a"}, Processes: 2, Alive: 2, Supervised: true}, ""},
		{"all stopped by a person", kernel.Remains{Kernel: true, State: true, Processes: 2, Supervised: true}, ""},
		{"supervisor died, a process lives", kernel.Remains{Kernel: true, State: true, Processes: 2, Alive: 1}, ""},
		{"from stdin", kernel.Remains{Kernel: true, State: true, Files: []string{}}, ""},
		{"one of two files", kernel.Remains{Kernel: true, State: true, Files: []string{"/a", "/b"}, Gone: []string{"/b"}}, ""},
		{"after a reboot", kernel.Remains{Files: []string{"/a"}}, ""},
		{"another topo works on it", kernel.Remains{Kernel: true, Worked: true}, ""},
		{"another topo works on it, without its file", kernel.Remains{Worked: true, Files: []string{"/a"}, Gone: []string{"/a"}}, ""},

		{"file", kernel.Remains{Kernel: true, State: true, Files: []string{"/a"}, Gone: []string{"/a"}, Processes: 1, Alive: 1, Supervised: true}, "its file is gone: /a"},
		{"files", kernel.Remains{Kernel: true, State: true, Files: []string{"/a", "/b"}, Gone: []string{"/a", "/b"}}, "its files are gone: /a, /b"},
		{"file, after a reboot", kernel.Remains{Files: []string{"/a"}, Gone: []string{"/a"}}, "its file is gone: /a"},
		{"processes", kernel.Remains{Kernel: true, State: true, Files: []string{"/a"}, Processes: 2}, "its processes are gone, and their supervisor"},
		{"state folder", kernel.Remains{Kernel: true}, "its state folder is gone"},
		{"state folder, with a file", kernel.Remains{Kernel: true, Files: []string{"/a"}}, "its state folder is gone"},
		{"a key, a lock", kernel.Remains{}, "only files are left of it"},
	} {
		if got := planner.Dead(c.r); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
