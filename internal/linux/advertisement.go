package linux

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// deafen has an interface of the thread's namespace, or "default", hear no router advertisements. Without IPv6 there is nothing to set.
func (h *Host) deafen(iface string) error {
	err := h.writeSysctl("", kernel.AcceptRAKey("", iface).Key, "0")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// devconfAcceptRA is where accept_ra is in IFLA_INET6_CONF, an array of int32 (DEVCONF_ACCEPT_RA in linux/ipv6.h).
const devconfAcceptRA = 3

// parseAcceptRA reads what IPv6 says of a link in IFLA_AF_SPEC: by family, attributes of its own.
func parseAcceptRA(spec []byte) int {
	for family, value := range attributes(spec) {
		if family != unix.AF_INET6 {
			continue
		}
		for kind, conf := range attributes(value) {
			if kind == unix.IFLA_INET6_CONF {
				return number(after(conf, 4*devconfAcceptRA))
			}
		}
	}
	return 0
}
