package fake

import (
	"reflect"
	"slices"
	"strings"
	"syscall"

	"topo/internal/kernel"
)

// deepEqual takes an empty slice for a nil one.
func deepEqual(a, b any) bool {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	if x.Kind() == reflect.Slice && x.Len() == 0 && y.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a, b)
}

func contractSysctl(h *host) {
	h.addNetns("a")
	key := kernel.SysctlKey{Netns: "a", Key: "net.ipv4.ip_unprivileged_port_start"}
	gone := kernel.SysctlKey{Netns: "gone", Key: key.Key}
	lo := kernel.SysctlKey{Key: "net/ipv4/conf/lo/route_localnet"}
	set := func(k kernel.SysctlKey, v string, record bool) kernel.Op {
		return kernel.SysctlSet{SysctlKey: k, Value: v, Project: contractProject, Record: record}
	}
	s := h.read(key, gone, lo)
	equal(h, "before", s.Sysctls[key], "1024")
	if _, ok := s.Sysctls[gone]; ok {
		h.Errorf("a sysctl of a namespace that is not there was read")
	}
	h.do(set(key, "80", false))
	equal(h, "after", h.read(key).Sysctls[key], "80")
	equal(h, "records", h.read().Records, nil)

	h.do(set(lo, "1", true), set(lo, "1", true))
	s = h.read()
	equal(h, "of the record", s.Sysctls[lo], "1")
	equal(h, "records", s.Records, []kernel.SysctlRecord{{SysctlKey: lo, Project: contractProject, Before: "0"}})
	h.do(kernel.SysctlRestore{SysctlKey: lo, Project: contractProject})
	s = h.read(lo)
	equal(h, "restored", s.Sysctls[lo], "0")
	equal(h, "records", s.Records, nil)
	h.do(kernel.SysctlRestore{SysctlKey: lo, Project: contractProject})

	h.refuse(syscall.ENOENT, set(kernel.SysctlKey{Netns: "a", Key: "net.ipv4.no_such_thing"}, "1", false))
	h.refuse(syscall.ENOENT, set(gone, "1", false))
	h.refuse(syscall.EINVAL, set(kernel.SysctlKey{Netns: "a", Key: "net.ipv4.ip_forward"}, "no number", false))

	h.do(kernel.BridgeAdd{Name: "br0"})
	bridge := kernel.SysctlKey{Key: "net/ipv4/conf/br0/route_localnet"}
	h.do(set(bridge, "1", true), kernel.LinkDelete{Name: "br0"}, kernel.SysctlRestore{SysctlKey: bridge, Project: contractProject})
	equal(h, "records of a link that is gone", h.read().Records, nil)
}

func contractForwarding(h *host) {
	h.do(kernel.BridgeAdd{Name: "br0"}, kernel.BridgeAdd{Name: "br1"})
	var keys []kernel.SysctlKey
	for _, key := range []string{
		"net.ipv4.ip_forward", "net.ipv4.conf.all.accept_redirects", "net.ipv4.conf.default.forwarding", "net.ipv4.conf.lo.forwarding",
		"net/ipv4/conf/br0/forwarding", "net/ipv4/conf/br1/forwarding", "net.ipv6.conf.all.forwarding", "net.ipv6.conf.lo.forwarding",
	} {
		keys = append(keys, kernel.SysctlKey{Key: key})
	}
	h.do(kernel.SysctlSet{SysctlKey: keys[4], Value: "1"})
	before := h.read(keys...)
	equal(h, "forwarding", before.Forwards, []kernel.Forwarding{{Family: kernel.IPv4}, {Family: kernel.IPv6}})

	h.do(kernel.ForwardingOn{Family: kernel.IPv4})
	s := h.read(keys...)
	equal(h, "forwarding", s.Forwards, []kernel.Forwarding{{Family: kernel.IPv4, On: true, Recorded: true}, {Family: kernel.IPv6}})
	equal(h, "ip_forward", s.Sysctls[keys[0]], "1")
	equal(h, "forwarding of br1", s.Sysctls[keys[5]], "1")
	h.do(kernel.ForwardingOn{Family: kernel.IPv4}, kernel.ForwardingOn{Family: kernel.IPv6})
	s = h.read(keys...)
	equal(h, "forwarding", s.Forwards, []kernel.Forwarding{{Family: kernel.IPv4, On: true, Recorded: true}, {Family: kernel.IPv6, On: true, Recorded: true}})

	h.do(kernel.ForwardingRestore{Family: kernel.IPv4}, kernel.ForwardingRestore{Family: kernel.IPv6})
	after := h.read(keys...)
	equal(h, "sysctls", after.Sysctls, before.Sysctls)
	equal(h, "forwarding", after.Forwards, before.Forwards)
	h.do(kernel.ForwardingRestore{Family: kernel.IPv4})
}

func iptables(args ...string) []kernel.Op {
	ops := make([]kernel.Op, len(args))
	for i, a := range args {
		ops[i] = kernel.Iptables{Family: kernel.IPv4, Table: "filter", Args: a}
	}
	return ops
}

// rules is the rules of a chain of the filter table; ok is false where that is missing.
func (h *host) rules(f kernel.Family, chain string) (specs []string, ok bool) {
	s := h.read()
	ok = slices.ContainsFunc(s.Chains, func(c kernel.Chain) bool { return c.Family == f && c.Table == "filter" && c.Name == chain })
	for _, r := range s.Rules {
		if r.Family == f && r.Table == "filter" && r.Chain == chain {
			specs = append(specs, r.Spec)
		}
	}
	return specs, ok
}

func contractIptables(h *host) {
	h.do(iptables("-N TOPO-A", "-N TOPO-B", "-A TOPO-A -j TOPO-B", "-A FORWARD -j ACCEPT", "-I FORWARD -j TOPO-A", "-A TOPO-B -j DROP", "-I TOPO-B 1 -j RETURN")...)
	rules, ok := h.rules(kernel.IPv4, "TOPO-B")
	equal(h, "TOPO-B is there", ok, true)
	equal(h, "rules", rules, []string{"-j RETURN", "-j DROP"})
	rules, _ = h.rules(kernel.IPv4, "FORWARD")
	equal(h, "rules", rules, []string{"-j TOPO-A", "-j ACCEPT"})
	i := slices.IndexFunc(h.read().Chains, func(c kernel.Chain) bool {
		return c.Name == "FORWARD" && c.Table == "filter" && c.Family == kernel.IPv4
	})
	equal(h, "policy", h.read().Chains[i].Policy, "ACCEPT")
	if _, ok := h.rules(kernel.IPv6, "TOPO-A"); ok {
		h.Errorf("a chain of iptables is one of ip6tables, too")
	}
	h.do(kernel.Iptables{Family: kernel.IPv6, Table: "filter", Args: "-N TOPO-A"}, kernel.Iptables{Family: kernel.IPv6, Table: "filter", Args: "-A TOPO-A -d fd00::/64 -j ACCEPT"})
	rules, _ = h.rules(kernel.IPv6, "TOPO-A")
	equal(h, "rules", rules, []string{"-d fd00::/64 -j ACCEPT"})

	h.do(iptables("-D FORWARD -j TOPO-A", "-D FORWARD -j ACCEPT", "-F TOPO-A", "-X TOPO-A", "-D TOPO-B -j RETURN")...)
	_, ok = h.rules(kernel.IPv4, "TOPO-A")
	equal(h, "TOPO-A is there", ok, false)
	rules, _ = h.rules(kernel.IPv4, "TOPO-B")
	equal(h, "rules", rules, []string{"-j DROP"})
}

func contractIptablesRefused(h *host) {
	h.do(iptables("-N TOPO-A", "-N TOPO-B", "-A TOPO-A -j TOPO-B", "-A TOPO-B -j DROP")...)
	for _, last := range []string{
		"-N TOPO-A",              // exists
		"-A TOPO-A -j TOPO-NONE", // dangling jump
		"-A TOPO-NONE -j ACCEPT", // no chain
		"-X TOPO-A",              // not empty
		"-A TOPO-A -p tcp --dport 99999 -j ACCEPT",
		"-A TOPO-A --dport 80 -j ACCEPT",
		"-A FORWARD -j MASQUERADE", // another table's
		"-I TOPO-A 9 -j ACCEPT",
		"-N ABCDEFGHIJKLMNOPQRSTUVWXYZ123", // 29 bytes
	} {
		err := h.machine.Do(h.Context(), iptables("-N TOPO-NEW", "-A TOPO-B -j ACCEPT", last))
		if err == nil {
			h.Errorf("%s: succeeded", last)
		}
		if _, ok := h.rules(kernel.IPv4, "TOPO-NEW"); ok {
			h.Errorf("%s was refused, and the rest of the transaction was not", last)
		}
		rules, _ := h.rules(kernel.IPv4, "TOPO-B")
		equal(h, "rules after "+last, rules, []string{"-j DROP"})
	}
	h.do(iptables("-D TOPO-A -j ACCEPT", "-D TOPO-NONE -j ACCEPT", "-F TOPO-NONE", "-X TOPO-NONE", "-F TOPO-B")...)
	rules, _ := h.rules(kernel.IPv4, "TOPO-B")
	equal(h, "rules after a transaction that also deletes what is not there", rules, nil)
	if err := h.machine.Do(h.Context(), iptables("-X TOPO-B")); err == nil {
		h.Errorf("a chain was deleted that a rule jumps to")
	}
}

// contractIptablesCanonical: what is written and read back is the same in the canonical form.
func contractIptablesCanonical(h *host) {
	mark := kernel.Mark{Project: contractProject, ID: "publish/web:80/tcp"}
	for _, c := range []struct {
		family      kernel.Family
		table, spec string
	}{
		{kernel.IPv4, "filter", "-i br0 -o br1 -j DROP"},
		{kernel.IPv4, "filter", "-p tcp --dport 80 -d 10.0.0.2/32 ! -i br0 -o br0 -j ACCEPT"},
		{kernel.IPv4, "filter", "-o br0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"},
		{kernel.IPv4, "nat", "-s 10.0.0.0/24 ! -d 10.0.0.0/24 -j MASQUERADE"},
		{kernel.IPv4, "nat", "-p udp --dport 53 -d 127.0.0.1 -j DNAT --to-destination 10.0.0.2:5353"},
		{kernel.IPv4, "raw", "-d 127.0.0.0/8 ! -i lo -j DROP"},
		{kernel.IPv6, "filter", "-s fd00::/64 -p udp -j ACCEPT"},
		{kernel.IPv6, "nat", "-p tcp --dport 80 -j DNAT --to-destination [fd00::2]:8080"},
	} {
		match, target, _ := strings.Cut(c.spec, "-j")
		spec := match + "-m comment --comment " + mark.String() + " -j" + target
		if strings.Contains(spec, "conntrack") { // iptables finds a rule to delete only with its matches in their order
			spec = kernel.Canonical(spec)
		}
		h.do(
			kernel.Iptables{Family: c.family, Table: c.table, Args: "-N TOPO-C"},
			kernel.Iptables{Family: c.family, Table: c.table, Args: "-A TOPO-C " + spec},
		)
		var found []kernel.Rule
		for _, r := range h.read().Rules {
			if r.Chain == "TOPO-C" && r.Family == c.family && r.Table == c.table {
				found = append(found, r)
			}
		}
		equal(h, "rules", found, []kernel.Rule{{Family: c.family, Table: c.table, Chain: "TOPO-C", Spec: kernel.Canonical(spec)}})
		for _, r := range found {
			equal(h, "mark", r.Mark(), mark)
			h.do(kernel.Iptables{Family: c.family, Table: c.table, Args: "-D TOPO-C " + r.Spec})
		}
		h.do(kernel.Iptables{Family: c.family, Table: c.table, Args: "-X TOPO-C"})
	}
}

func contractFile(h *host) {
	const path = "/etc/netns/topo-contract/hosts"
	mark := kernel.Mark{Project: contractProject, ID: "hosts/a"}
	first, second := "# "+mark.String()+"\n127.0.0.1 localhost\n", "# "+mark.String()+"\n"
	h.Cleanup(func() { _ = h.machine.Do(h.Context(), []kernel.Op{kernel.FileDelete{Path: path}}) })
	files := func() []kernel.File {
		found := h.read().Files
		for i, f := range found {
			found[i].Content = kernel.Text{f.Content.String()} // cut anywhere
		}
		return found
	}
	h.do(kernel.FileWrite{Path: path, Content: kernel.Text{first}})
	equal(h, "files", files(), []kernel.File{{Path: path, Mark: mark, Content: kernel.Text{first}}})
	h.do(kernel.FileWrite{Path: path, Content: kernel.Text{second}})
	equal(h, "files", files(), []kernel.File{{Path: path, Mark: mark, Content: kernel.Text{second}}})
	h.do(kernel.FileDelete{Path: path})
	equal(h, "files", files(), nil)
	h.do(kernel.FileDelete{Path: path})
}
