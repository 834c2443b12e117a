package fake

import (
	"strconv"

	"topo/internal/kernel"
)

// acceptRA is accept_ra of a link; 0 where it has no IPv6.
func (l *link) acceptRA() int {
	if l.mtu < minMTUIPv6 {
		return 0
	}
	n, err := strconv.Atoi(l.space.sysctl(confPath(kernel.IPv6, l.name, "accept_ra")))
	if err != nil {
		return 0
	}
	return n
}
