package spec

// A named volume.
type namedVolume struct {
	origin
	_ struct{} `elsewhere:"driver_opts=is not possible: a volume of topo's is a folder; mount what is elsewhere on the host, and bind that"`

	// Name on the machine, verbatim. Default: the project's name, _ and the key; with external, the key.
	Name text `yaml:"name" jsonschema:"pattern=^[a-zA-Z0-9][a-zA-Z0-9_.-]*$"`
	// Made by somebody else, and there already: topo mounts it, and neither makes nor removes it. Default: false.
	External flag `yaml:"external"`
	// Words about the volume, kept with it: a map, or a list of KEY=VALUE.
	Labels pairs `yaml:"labels"`
	// Compose's word for who keeps it. There is only local.
	Driver text `yaml:"driver" jsonschema:"pattern=^local$"`
}

// More about the mount of a volume.
type volumeOptions struct {
	origin

	// true: an empty volume is not filled with what the container has at the target. Default: false.
	NoCopy flag `yaml:"nocopy"`
	// Mount this path of the volume, which must be there, in place of the whole.
	Subpath text `yaml:"subpath"`
}

// More about a tmpfs.
type tmpfsOptions struct {
	origin

	// The most that it holds: bytes, or a number with b, k, m or g. Default: half of the memory.
	Size word `yaml:"size" jsonschema:"pattern=^[0-9]+(\\.[0-9]+)? ?([kKmMgGtT]?[bB]?)$"`
	// Mode of its root, in octal when it begins with 0. Default: 01777.
	Mode word `yaml:"mode" jsonschema:"pattern=^(0o?[0-7]+|[0-9]+)$"`
}
