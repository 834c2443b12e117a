package spec

import (
	"net/netip"
	"regexp"
	"strings"
)

// hostGateway is Docker's word for the host's address as the node sees it.
const hostGateway = "host-gateway"

// hostName is a name of a hosts file: letters, digits, - and . (RFC 1123), and _, which Docker allows.
var hostName = regexp.MustCompile(`^[a-zA-Z0-9_]([a-zA-Z0-9_.-]*[a-zA-Z0-9_])?$`)

// maxHostname is HOST_NAME_MAX of Linux, that of sethostname(2).
const maxHostname = 64

func (r *resolver) checkHostName(pos Pos, what, name string) bool {
	if hostName.MatchString(name) && len(name) <= maxFile {
		return true
	}
	r.add(pos, "%s %q is not a host name", what, name)
	return false
}

// readNames reads what decides how the node and others are called in it.
func (r *resolver) readNames(s *nodeState, n *Node) {
	raw := s.raw
	if h := raw.Hostname; h.Set && r.checkHostName(h.Pos, "hostname", h.Value) {
		n.Hostname = h.Value
		if len(h.Value) > maxHostname {
			r.add(h.Pos, "hostname %q is longer than %d bytes", h.Value, maxHostname)
		}
	}
	for _, t := range set(raw.Links) {
		r.oneWayLink(n, t)
	}
	n.ExtraHosts = r.extraHosts(raw.ExtraHosts)
	for _, t := range raw.DNS.all() {
		if a, ok := r.addr(t.Pos, t.Value, "dns"); ok {
			n.DNS = append(n.DNS, a)
		}
	}
	for _, t := range raw.DNSSearch.all() {
		// A single dot means no search at all (resolv.conf(5)).
		if t.Value == "." || r.checkHostName(t.Pos, "dns_search", strings.TrimSuffix(t.Value, ".")) {
			n.DNSSearch = append(n.DNSSearch, t.Value)
		}
	}
}

// oneWayLink reads NODE or NODE:ALIAS.
func (r *resolver) oneWayLink(n *Node, t text) {
	name, alias, given := strings.Cut(t.Value, ":")
	if !given {
		alias = name
	}
	others, ok := r.findNodes(t.Pos, name)
	if !ok || !r.checkHostName(t.Pos, "alias", alias) {
		return
	}
	for _, s := range others {
		other := r.node(s).Name
		if other == n.Name {
			r.add(t.Pos, "links: %s is this node itself", name)
			return
		}
		n.OneWay = append(n.OneWay, OneWayLink{Pos: t.Pos, Node: other, Alias: alias})
	}
}

// extraHosts reads either form. An IPv6 address may be in brackets.
func (r *resolver) extraHosts(h hosts) []HostEntry {
	var list []HostEntry
	add := func(pos Pos, name, address string) {
		if !r.checkHostName(pos, "name", name) {
			return
		}
		if address == hostGateway {
			list = append(list, HostEntry{Name: name})
			return
		}
		if a, err := netip.ParseAddr(strings.Trim(address, "[]")); err == nil && a.Zone() == "" {
			list = append(list, HostEntry{Name: name, Addr: a.Unmap()})
			return
		}
		r.add(pos, "extra_hosts: %q is not an IP address%s", address, suggest(address, []string{hostGateway}))
	}
	for _, t := range set(h.List) {
		name, address, ok := strings.Cut(t.Value, "=")
		if !ok {
			name, address, ok = strings.Cut(t.Value, ":")
		}
		if !ok {
			r.add(t.Pos, "extra_hosts: %q is not NAME=ADDRESS", t.Value)
			continue
		}
		for _, a := range strings.Split(address, ",") {
			add(t.Pos, name, a)
		}
	}
	for _, e := range h.Map {
		for _, t := range e.Value.all() {
			add(t.Pos, e.Key, t.Value)
		}
	}
	return list
}
