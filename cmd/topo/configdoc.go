package main

import (
	"fmt"
	"strconv"
	"time"

	"gopkg.in/yaml.v3"

	"topo/spec"
)

// topologyNode writes a resolved topology as its file would have to say it.
func topologyNode(t *spec.Topology) *yaml.Node {
	m := newMap()
	m.text("name", t.Name)
	m.put("prefix", scalarText(t.Prefix))

	bridges := newMap()
	for _, b := range t.Bridges {
		bridges.put(b.Name, bridgeNode(t, b))
	}
	m.set("bridges", &bridges.node)

	namespaces, containers := newMap(), newMap()
	for _, n := range t.Nodes {
		if n.Container {
			containers.put(n.Name, nodeNode(t, n))
		} else {
			namespaces.put(n.Name, nodeNode(t, n))
		}
	}
	m.set("namespaces", &namespaces.node)
	m.set("containers", &containers.node)

	links := &yaml.Node{Kind: yaml.SequenceNode}
	for _, l := range t.Links {
		links.Content = append(links.Content, linkNode(l))
	}
	for _, i := range t.Interfaces {
		if i.OfLink {
			links.Content = append(links.Content, kindLinkNode(i))
		}
	}
	m.set("links", links)
	m.set("volumes", volumesNode(t.Volumes))
	return &m.node
}

func bridgeNode(t *spec.Topology, b spec.Bridge) *yaml.Node {
	m := newMap()
	m.text("name", b.Interface)
	m.text("node", b.Node)
	if b.External {
		m.flag("external", true)
	}
	var subnets, gateways []string
	for _, s := range b.Subnets {
		subnets = append(subnets, s.Prefix.String())
		if s.Gateway.IsValid() {
			gateways = append(gateways, s.Gateway.String())
		}
	}
	switch {
	case b.Plain:
		m.text("subnet", "none")
	case len(subnets) > 0:
		m.texts("subnet", subnets)
		if len(gateways) == 0 {
			gateways = []string{"none"}
		}
		m.texts("gateway", gateways)
	}
	m.flag("names", b.Names)
	m.number("mtu", b.MTU)
	for _, i := range t.Interfaces {
		if i.Bridge == b.Name {
			m.set("vxlan", vxlanNode(i))
		}
	}
	if b.External {
		return &m.node // the rest is its maker's
	}
	m.flag("masquerade", b.Masquerade)
	m.flag("internal", b.Internal)
	m.flag("icc", b.ICC)
	m.text("mac", b.MAC)
	m.flag("stp", b.STP)
	m.text("forward_delay", b.ForwardDelay.String())
	if b.VLANFiltering {
		m.flag("vlan_filtering", true)
	}
	m.set("vlan", vlansNode(b.VLANs))
	m.number("priority", b.Priority)
	m.text("hello_time", b.HelloTime.String())
	m.text("max_age", b.MaxAge.String())
	m.text("ageing_time", b.AgeingTime.String())
	if b.McastSnooping != nil {
		m.flag("mcast_snooping", *b.McastSnooping)
	}
	m.set("uplinks", uplinksNode(b))
	return &m.node
}

// uplinksNode writes the uplinks: a list, or a map where there is more to say than their names.
func uplinksNode(b spec.Bridge) *yaml.Node {
	var names []string
	all, more := newMap(), false
	for _, u := range b.Uplinks {
		names = append(names, u.Name)
		port := newMap()
		port.set("vlan", vlansNode(u.VLANs))
		all.put(u.Name, port.flow())
		more = more || u.VLANs != nil
	}
	if more {
		return &all.node
	}
	return listOf(names)
}

func nodeNode(t *spec.Topology, n spec.Node) *yaml.Node {
	m := newMap()
	switch n.Network {
	case spec.NetworkOwn:
	case spec.NetworkNode:
		m.text("network_mode", "node:"+n.Shares)
	default:
		m.text("network_mode", string(n.Network))
	}
	attachments := newMap()
	for _, a := range n.Attachments {
		attachments.put(a.Bridge, attachmentNode(a))
	}
	m.set("bridges", &attachments.node)
	m.set("interfaces", interfacesNode(t, n.Name))
	m.texts("ports", portTexts(n.Ports))
	var oneWay []string
	for _, l := range n.OneWay {
		oneWay = append(oneWay, l.Node+":"+l.Alias)
	}
	m.texts("links", oneWay)
	m.set("routes", routesNode(n.Routes))
	m.set("rules", policyRulesNode(n.Rules))
	var sysctls []string
	for _, s := range n.Sysctls {
		sysctls = append(sysctls, s.Key+"="+s.Value)
	}
	m.set("sysctls", pairsOf(sysctls))
	m.text("hostname", n.Hostname)
	m.texts("extra_hosts", hostTexts(n.ExtraHosts))
	m.texts("dns", words(n.DNS))
	m.texts("dns_search", n.DNSSearch)
	addProcessKeys(m, n)
	m.set("depends_on", dependenciesNode(n.DependsOn))
	m.set("labels", pairsOf(sortedPairs(n.Labels)))
	return &m.node
}

func attachmentNode(a spec.Attachment) *yaml.Node {
	m := newMap()
	m.text("interface", a.Interface)
	m.texts("address", words(a.Addresses))
	m.text("mac", a.MAC)
	m.number("mtu", a.MTU)
	m.texts("aliases", a.Aliases)
	m.text("host_interface", a.HostInterface)
	m.flag("default_route", a.DefaultRoute)
	if a.AcceptRA {
		m.flag("accept_ra", true)
	}
	if a.Impair != nil {
		m.set("impair", impairNode(*a.Impair))
	}
	m.set("vlan", vlansNode(a.VLANs))
	m.set("port", bridgePortNode(a.Port))
	return &m.node
}

// portTexts writes ports in Compose's short form.
func portTexts(ports []spec.Port) []string {
	var list []string
	for _, p := range ports {
		list = append(list, shortPort(p))
	}
	return list
}

func routesNode(routes []spec.Route) *yaml.Node {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, r := range routes {
		m := newMap()
		m.text("to", r.Dst.String())
		if r.Via.IsValid() {
			m.text("via", r.Via.String())
		}
		m.text("interface", r.Interface)
		if r.Metric != 0 {
			m.number("metric", r.Metric)
		}
		m.number("table", r.Table)
		addRareRouteKeys(m, r)
		list.Content = append(list.Content, m.flow())
	}
	return list
}

func hostTexts(entries []spec.HostEntry) []string {
	var list []string
	for _, e := range entries {
		addr := "host-gateway"
		if e.Addr.IsValid() {
			addr = e.Addr.String()
		}
		list = append(list, e.Name+"="+addr)
	}
	return list
}

func dependenciesNode(dependencies []spec.Dependency) *yaml.Node {
	all := newMap()
	for _, d := range dependencies {
		m := newMap()
		m.text("condition", string(d.Condition))
		m.flag("required", d.Required)
		m.flag("restart", d.Restart)
		all.put(d.Node, m.flow())
	}
	return &all.node
}

// addProcessKeys writes what runs in a node.
func addProcessKeys(m *yamlMap, n spec.Node) {
	p := n.Process
	if p == nil {
		return
	}
	command := "command"
	if p.Image != "" && !p.ImageEntrypoint {
		command = "entrypoint"
	}
	if p.Image == "" || !p.ImageCommand {
		m.put(command, listOf(p.Argv))
	}
	m.set("environment", pairsOf(p.Env))
	m.text("working_dir", p.Dir)
	m.text("user", p.User)
	m.text("stop_signal", p.StopSignal)
	m.text("stop_grace_period", p.StopGrace.String())
	m.flag("init", p.Init)
	m.flag("stdin_open", p.StdinOpen)
	switch {
	case p.Health != nil:
		m.set("healthcheck", healthNode(*p.Health))
	case p.Image != "" && !p.ImageHealth:
		none := newMap()
		none.flag("disable", true)
		m.set("healthcheck", none.flow())
	}
	m.text("restart", restartText(p.Restart))
	m.set("logging", loggingNode(p.Log))
	if !n.Container {
		return
	}
	volumes := &yaml.Node{Kind: yaml.SequenceNode}
	for _, v := range p.Mounts {
		if v.From == "" {
			volumes.Content = append(volumes.Content, mountNode(v))
		}
	}
	m.set("volumes", volumes)
	m.texts("volumes_from", p.VolumesFrom)
	m.flag("read_only", p.ReadOnly)
	m.flag("privileged", p.Privileged)
	m.texts("security_opt", p.SecurityOpt)
	m.text("rootfs", p.Rootfs)
	m.text("image", p.Image)
	m.text("pull_policy", string(p.PullPolicy))
	m.text("platform", p.Platform)
	addLimitKeys(m, *p)
	if p.Userns.Private {
		m.text("userns_mode", "private")
	}
	m.text("runtime", p.Runtime)
}

func healthNode(h spec.Healthcheck) *yaml.Node {
	m := newMap()
	left := len(h.Argv) == 0 // to the image, with all that is zero
	if !left {
		m.texts("test", append([]string{"CMD"}, h.Argv...))
	}
	for _, d := range []struct {
		key  string
		time time.Duration
	}{{"interval", h.Interval}, {"timeout", h.Timeout}, {"start_period", h.StartPeriod}, {"start_interval", h.StartInterval}} {
		if !left || d.time != 0 {
			m.text(d.key, d.time.String())
		}
	}
	if !left || h.Retries != 0 {
		m.number("retries", h.Retries)
	}
	return &m.node
}

func restartText(r spec.Restart) string {
	if r.Max > 0 {
		return r.Policy + ":" + strconv.Itoa(r.Max)
	}
	return r.Policy
}

func loggingNode(l spec.LogLimits) *yaml.Node {
	options := newMap()
	if l.MaxSize > 0 {
		options.text("max-size", strconv.FormatInt(l.MaxSize, 10))
	} else {
		options.text("max-size", "-1")
	}
	options.number("max-file", l.MaxFile)
	m := newMap()
	m.set("options", options.flow())
	return &m.node
}

func linkNode(l spec.Link) *yaml.Node {
	ends := &yaml.Node{Kind: yaml.SequenceNode}
	for _, e := range l.Ends {
		m := newMap()
		m.text("node", e.Node)
		m.text("interface", e.Interface)
		m.texts("address", words(e.Addresses))
		m.text("mac", e.MAC)
		m.number("mtu", e.MTU)
		m.flag("up", e.Up)
		if e.AcceptRA {
			m.flag("accept_ra", true)
		}
		if e.Impair != nil {
			m.set("impair", impairNode(*e.Impair))
		}
		m.set("vlan", vlansNode(e.VLANs))
		m.set("port", bridgePortNode(e.Port))
		ends.Content = append(ends.Content, m.flow())
	}
	m := newMap()
	m.set("endpoints", ends)
	return &m.node
}

func impairNode(i spec.Impair) *yaml.Node {
	m := newMap()
	time := func(key string, d time.Duration) {
		if d != 0 {
			m.text(key, d.String())
		}
	}
	time("delay", i.Delay)
	if i.Correlation != 0 {
		m.text("jitter", fmt.Sprintf("%s %v%%", i.Jitter, i.Correlation))
	} else {
		time("jitter", i.Jitter)
	}
	m.text("distribution", i.Distribution)
	m.text("loss", i.Loss.String())
	m.text("duplicate", i.Duplicate.String())
	m.text("corrupt", i.Corrupt.String())
	reorder := i.Reorder.String()
	if i.Gap != 0 {
		reorder += fmt.Sprintf(" gap %d", i.Gap)
	}
	m.text("reorder", reorder)
	if i.Rate != 0 {
		m.text("rate", spec.RateText(i.Rate))
	}
	for _, n := range []struct {
		key   string
		value int
	}{{"burst", int(i.Burst)}, {"limit", i.Limit}} {
		if n.value != 0 {
			m.number(n.key, n.value)
		}
	}
	return m.flow()
}

func words[T fmt.Stringer](values []T) []string {
	var list []string
	for _, v := range values {
		list = append(list, v.String())
	}
	return list
}
