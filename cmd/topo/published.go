package main

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"

	"topo/spec"
)

// printPublished says where the published ports of a topology are reached.
func printPublished(w io.Writer, t *spec.Topology) {
	for _, n := range t.Nodes {
		for _, p := range n.Ports {
			if n.Network == spec.NetworkHost {
				fmt.Fprintf(w, "  %s listens on %s\n", n.Name, listenText(p.HostIP, p.HostPort, p.Protocol))
				continue
			}
			fmt.Fprintf(w, "  %s → %s:%d\n", listenText(p.HostIP, p.HostPort, p.Protocol), n.Name, p.NodePort)
		}
	}
}

// listenText is an address to listen on: "0.0.0.0:5000/tcp"; an invalid one is all of them.
func listenText(ip netip.Addr, port uint16, protocol string) string {
	return hostPort(ip, port) + "/" + protocol
}

// hostPort is an address as docker port prints it.
func hostPort(ip netip.Addr, port uint16) string {
	if !ip.IsValid() {
		ip = netip.IPv4Unspecified()
	}
	if ip.Is6() {
		return "[" + ip.String() + "]:" + strconv.Itoa(int(port))
	}
	return ip.String() + ":" + strconv.Itoa(int(port))
}

// shortPort is a port in Compose's short form.
func shortPort(p spec.Port) string {
	host := strconv.Itoa(int(p.HostPort))
	if p.HostIP.IsValid() {
		host = netip.AddrPortFrom(p.HostIP, p.HostPort).String()
	}
	return host + ":" + strconv.Itoa(int(p.NodePort)) + "/" + p.Protocol
}
