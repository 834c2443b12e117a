package kernel

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Volume is a folder that topo keeps for containers, and that outlives them.
type Volume struct {
	Name string `json:"name"`
	// Project made it; "" for one that is External, and for something else that stands where a volume would be.
	Project string            `json:"project"`
	Labels  map[string]string `json:"labels,omitempty"`
	Created time.Time         `json:"created"`
	// Node and Target are set for a volume that a node has for itself.
	Node   string `json:"node,omitempty"`
	Target string `json:"target,omitempty"`
	// Users are the nodes whose processes, as they were started, have it mounted, by project and node.
	Users []VolumeUser `json:"users,omitempty"`
	// External: a person made it (topo volume create), for any project to name.
	External bool `json:"external,omitempty"`
}

// Genuine reports whether it is a volume, and not something else that stands where one would be.
func (v Volume) Genuine() bool { return v.Project != "" || v.External }

// VolumeUser is a node that has a volume mounted. Its process may have ended.
type VolumeUser struct {
	Project string `json:"project"`
	Node    string `json:"node"`
}

// OwnVolumeName is the name on the machine of the volume that a node has for itself at a target: the same each time.
func OwnVolumeName(project, node, target string) string {
	const digits = 12 // 48 bits: a node has few volumes
	sum := sha256.Sum256([]byte(target))
	return project + "_" + node + "_" + hex.EncodeToString(sum[:])[:digits]
}
