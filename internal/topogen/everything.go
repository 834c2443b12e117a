package topogen

import _ "embed" // the file below

// Everything is a file with every kind of resource that a network has, of project p: what draws seldom is in it, too.
//
//go:embed everything.yaml
var Everything []byte
