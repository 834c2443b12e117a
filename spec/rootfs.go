package spec

import "strings"

// rootfs reads the folder of a container's root. Whether it is there is the machine's to say: a plan checks it.
func (r *resolver) rootfs(t text) string {
	switch {
	case !t.Set:
		return ""
	case t.Value == "":
		r.add(t.Pos, "rootfs is empty")
		return ""
	case strings.Contains(t.Value, "\x00"):
		r.add(t.Pos, "rootfs has a zero byte in it")
		return ""
	}
	return r.absolute(t.Value)
}
