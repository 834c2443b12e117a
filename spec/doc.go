// Package spec reads topology files: YAML with positions, Compose's
// interpolation, defaults, and every check that needs no machine. It imports
// nothing else of topo and has no effects; files other than the topology's
// (env_file) are read through a function that the caller gives.
package spec
