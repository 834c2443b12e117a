// Package schema holds the JSON Schema (draft 2020-12) of the topology file, for
// editors and other tools. It is made from the types and comments of package
// spec, and checked in; a test holds the two together. What it can't say (that
// a name is known, an address free, a variable set) is left to spec.
package schema

import _ "embed"

//go:generate go test . -run TestUpToDate -update

//go:embed topology.schema.json
var topology []byte

// JSON is the schema, as UTF-8 text with a newline at the end.
func JSON() []byte { return topology }
