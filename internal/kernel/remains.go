package kernel

// Remains is what there is of a project on the machine, as far as it tells whether the project is dead.
type Remains struct {
	Project string
	// Worked: another topo works on it.
	Worked bool
	// Kernel: something in the kernel, or a hosts file, bears the project's mark; or one of its processes lives without a record.
	Kernel bool
	// State: its folder below /run/topo/projects is there. The first up that ended well made it, or its supervisor.
	State bool
	// Files are those that the last successful up read, absolute; none where that read stdin, or was none. Gone are those
	// of them that are not there any more.
	Files, Gone []string
	// Supervised: its supervisor runs.
	Supervised bool
	// Processes is how many it has a record of, Alive how many of them run.
	Processes, Alive int
}
