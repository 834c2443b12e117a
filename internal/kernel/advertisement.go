package kernel

// AcceptRAKey is the parameter that says whether an interface hears router advertisements: see [Link.AcceptRA].
func AcceptRAKey(netns, iface string) SysctlKey {
	return SysctlKey{Netns: netns, Key: "net/ipv6/conf/" + iface + "/accept_ra"}
}
