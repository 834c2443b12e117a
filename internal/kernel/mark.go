package kernel

import (
	"hash/fnv"
	"strings"
)

// A Mark says whose a kernel object is. It is written where the kernel keeps a
// word for its users: a link's alias (a namespace's is that of its lo), the
// comment of an iptables rule, the first line of a hosts file.
//
// The text is "topo:PROJECT:ID", ID being that of the planner ("bridge/app").
// A link's alias takes at most 255 bytes (IFALIASZ), a rule's comment 256.
type Mark struct {
	Project string
	ID      string // "bridge/app", "netns/web", "port/web:eth0"
}

const markPrefix = "topo:"

func (m Mark) String() string {
	if m == (Mark{}) {
		return ""
	}
	return markPrefix + m.Project + ":" + m.ID
}

// ParseMark reads a mark; ok is false for text that is not one.
func ParseMark(s string) (m Mark, ok bool) {
	rest, ok := strings.CutPrefix(s, markPrefix)
	if !ok {
		return Mark{}, false
	}
	project, id, ok := strings.Cut(rest, ":")
	if !ok || project == "" || id == "" {
		return Mark{}, false
	}
	return Mark{Project: project, ID: id}, true
}

// HostProject is the project of what all projects share: the jumps from the
// built-in chains, the user's own chain, forwarding. No project can be called
// so, a name has no "@".
const HostProject = "@host"

// Group is the number of a project's link group (IFLA_GROUP). It is the one mark that the
// kernel takes in the very message that creates a link: what has our name and
// our group but no alias is our own unfinished work. The number is 0x74 ("t")
// and 24 bits of a hash, so two projects may share one; the alias decides.
func Group(project string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(project))
	return 0x74<<24 | h.Sum32()&0xffffff
}
