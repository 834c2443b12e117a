package planner

import (
	"fmt"
	"strings"

	"topo/internal/kernel"
)

// Dead says why nobody can want a project any more, "" for one that lives. A dead one is what gc takes down:
//
//   - its files are gone, all those that the last successful up read: no up brings it back;
//   - its processes are gone, and so is the supervisor that would start them again;
//   - its state folder is gone, with which up begins and down ends: no up of it ever ended well, or somebody removed the folder.
//
// One that another topo works on lives. One of which nothing but files outlived a reboot (keys, logs) lives as long as its topology
// is there: the next up takes them over. What differs from its file in any other way has drifted, and is up's to repair.
func Dead(r kernel.Remains) string {
	gone := len(r.Files) > 0 && len(r.Gone) == len(r.Files)
	switch {
	case r.Worked:
	case gone && len(r.Gone) == 1:
		return fmt.Sprintf("its file is gone: %s", r.Gone[0])
	case gone:
		return fmt.Sprintf("its files are gone: %s", strings.Join(r.Gone, ", "))
	case !r.State && r.Kernel:
		return "its state folder is gone"
	case !r.State && len(r.Files) == 0:
		return "only files are left of it"
	case r.Processes > 0 && r.Alive == 0 && !r.Supervised:
		return "its processes are gone, and their supervisor"
	}
	return ""
}
