package fake

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"topo/internal/kernel"
)

// globals is the sysctls of a namespace that belong to no interface, with their defaults.
var globals = map[string]string{
	"net/core/somaxconn":                  "4096",
	"net/ipv4/icmp_echo_ignore_all":       "0",
	"net/ipv4/ip_default_ttl":             "64",
	"net/ipv4/ip_local_port_range":        "32768 60999",
	"net/ipv4/ip_nonlocal_bind":           "0",
	"net/ipv4/ip_unprivileged_port_start": "1024",
	"net/ipv4/ping_group_range":           "1 0",
	"net/ipv4/tcp_keepalive_time":         "7200",
	"net/ipv4/tcp_syncookies":             "1",
	"net/ipv6/bindv6only":                 "0",
	"net/ipv6/ip_nonlocal_bind":           "0",
}

// perInterface is the sysctls below net/FAMILY/conf/INTERFACE, with their defaults.
var perInterface = map[kernel.Family]map[string]string{
	kernel.IPv4: {
		"accept_local": "0", "accept_redirects": "1", "accept_source_route": "0", "arp_announce": "0", "arp_ignore": "0",
		"forwarding": "0", "log_martians": "0", "promote_secondaries": "0", "proxy_arp": "0", "route_localnet": "0",
		"rp_filter": "0", "send_redirects": "1",
	},
	kernel.IPv6: {
		"accept_dad": "1", "accept_ra": "1", "accept_redirects": "1", "addr_gen_mode": "0", "autoconf": "1", "disable_ipv6": "0",
		"forwarding": "0", "keep_addr_on_down": "0", "use_tempaddr": "0",
	},
}

// ranges are the sysctls that hold two numbers.
var ranges = []string{"net/ipv4/ip_local_port_range", "net/ipv4/ping_group_range"}

const ipForward = "net/ipv4/ip_forward" // another name of net/ipv4/conf/all/forwarding

// sysctlPath turns a key into its path: dots separate, unless there are slashes.
func sysctlPath(key string) string {
	if !strings.Contains(key, "/") {
		key = strings.ReplaceAll(key, ".", "/")
	}
	if key == ipForward {
		return confPath(kernel.IPv4, "all", "forwarding")
	}
	return key
}

func confPath(f kernel.Family, iface, name string) string {
	return "net/" + string(f) + "/conf/" + iface + "/" + name
}

// conf takes net/FAMILY/conf/INTERFACE/NAME apart.
func conf(path string) (f kernel.Family, iface, name string, ok bool) {
	p := strings.Split(path, "/")
	if len(p) != 5 || p[0] != "net" || p[2] != "conf" {
		return "", "", "", false
	}
	return kernel.Family(p[1]), p[3], p[4], true
}

// fallback is the default of a sysctl; ok is false for one that does not exist.
func (s *space) fallback(path string) (value string, ok bool) {
	if f, iface, name, isConf := conf(path); isConf {
		value, ok = perInterface[f][name]
		return value, ok && (iface == "all" || iface == "default" || s.link(iface) != nil)
	}
	value, ok = globals[path]
	return value, ok
}

// sysctl is the value of a sysctl, "" for one that does not exist.
func (s *space) sysctl(path string) string {
	if v, ok := s.sysctls[path]; ok {
		return v
	}
	v, _ := s.fallback(path)
	return v
}

func (s *space) put(path, value string) {
	if fallback, _ := s.fallback(path); value == fallback {
		delete(s.sysctls, path)
		return
	}
	s.sysctls[path] = value
}

// inherit gives a new link the values of "default".
func (s *space) inherit(name string) {
	for _, f := range []kernel.Family{kernel.IPv4, kernel.IPv6} {
		for key := range perInterface[f] {
			if v, ok := s.sysctls[confPath(f, "default", key)]; ok {
				s.sysctls[confPath(f, name, key)] = v
			}
		}
	}
}

// forget drops what belonged to a link.
func (s *space) forget(name string) {
	maps.DeleteFunc(s.sysctls, func(path, _ string) bool {
		_, iface, _, ok := conf(path)
		return ok && iface == name
	})
}

// write sets a sysctl, with what the kernel makes of it.
func (m *Machine) write(s *space, path, value string) error {
	if _, ok := s.fallback(path); !ok {
		return syscall.ENOENT
	}
	fields := strings.Fields(value)
	want := 1
	if slices.Contains(ranges, path) {
		want = 2
	}
	if len(fields) != want {
		return syscall.EINVAL
	}
	for _, f := range fields {
		if _, err := strconv.ParseInt(f, 10, 32); err != nil {
			return syscall.EINVAL
		}
	}
	value = strings.Join(fields, " ")
	before := s.sysctl(path)
	s.put(path, value)
	f, iface, name, ok := conf(path)
	if !ok || before == value {
		return nil
	}
	switch {
	case name == "forwarding" && iface == "all":
		// inet_forward_change and addrconf_fixup_forwarding: every interface's own value is lost.
		s.put(confPath(f, "default", name), value)
		for _, l := range s.links {
			s.put(confPath(f, l.name, name), value)
		}
		if f == kernel.IPv4 {
			s.put(confPath(f, "all", "accept_redirects"), map[bool]string{true: "1", false: "0"}[value == "0"])
		}
	case name == "disable_ipv6":
		for _, l := range s.links {
			switch {
			case iface == "all":
				s.put(confPath(f, l.name, name), value)
			case iface != l.name:
				continue
			}
			if value != "0" {
				l.flushIPv6()
			} else {
				if l.up && l.kind == "loopback" {
					l.loopback()
				}
				l.linkLocal()
			}
		}
		if iface == "all" {
			s.put(confPath(f, "default", name), value)
		}
	}
	return nil
}

type recordKey struct {
	key     kernel.SysctlKey
	project string
}

func (m *Machine) record(o kernel.SysctlSet) error {
	s, err := m.find(o.Netns)
	if err != nil {
		return err
	}
	path := sysctlPath(o.Key)
	if _, ok := s.fallback(path); !ok {
		return syscall.ENOENT
	}
	k := recordKey{o.SysctlKey, o.Project}
	if _, ok := m.records[k]; !ok {
		m.records[k] = s.sysctl(path)
	}
	return nil
}

func (m *Machine) setSysctl(o kernel.SysctlSet) error {
	s, err := m.find(o.Netns)
	if err != nil {
		return err
	}
	if o.Record {
		if err := m.record(o); err != nil {
			return err
		}
	}
	return m.write(s, sysctlPath(o.Key), o.Value)
}

// restoreSysctl succeeds where the interface or namespace of the sysctl is gone.
func (m *Machine) restoreSysctl(o kernel.SysctlRestore) error {
	k := recordKey{o.SysctlKey, o.Project}
	before, ok := m.records[k]
	if !ok {
		return errAbsent
	}
	if s, err := m.find(o.Netns); err == nil {
		path := sysctlPath(o.Key)
		if _, ok := s.fallback(path); ok {
			if err := m.write(s, path, before); err != nil {
				return err
			}
		}
	}
	delete(m.records, k)
	return nil
}

// recordForwarding keeps what turning forwarding on changes.
func (m *Machine) recordForwarding(f kernel.Family) {
	if m.forwards[f] != nil {
		return
	}
	record := map[string]string{}
	names := []string{"all", "default"}
	for _, l := range m.host.links {
		names = append(names, l.name)
	}
	for _, name := range names {
		path := confPath(f, name, "forwarding")
		record[path] = m.host.sysctl(path)
	}
	if f == kernel.IPv4 {
		path := confPath(f, "all", "accept_redirects")
		record[path] = m.host.sysctl(path)
	}
	m.forwards[f] = record
}

func (m *Machine) forwardingOn(f kernel.Family) error {
	m.recordForwarding(f)
	return m.write(m.host, confPath(f, "all", "forwarding"), "1")
}

func (m *Machine) restoreForwarding(f kernel.Family) error {
	record := m.forwards[f]
	if record == nil {
		return errAbsent
	}
	all := confPath(f, "all", "forwarding") // first: it overwrites the others
	if err := m.write(m.host, all, record[all]); err != nil {
		return err
	}
	for path, value := range record {
		if _, ok := m.host.fallback(path); ok && path != all {
			m.host.put(path, value)
		}
	}
	delete(m.forwards, f)
	return nil
}
