package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"topo/internal/kernel"
)

// writeNode prints everything of a node for people.
func writeNode(w io.Writer, d nodeDocument) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  (%s of %s)\n", d.Node, d.Kind, d.Project)
	section(&b, "namespace", namespaceText(d.Namespace))
	section(&b, "process", processText(d)...)
	if d.Process != nil && d.Process.Container {
		section(&b, "limits", limitText(*d.Process, d.Usage)...)
		section(&b, "userns_mode", usernsText(*d.Process, d.FirstID)...)
	}
	for _, i := range d.Interfaces {
		section(&b, "interface", interfaceText(i)...)
	}
	for _, r := range d.Routes {
		section(&b, "route", routeText(r))
	}
	for _, r := range d.Rules {
		does := r.Type
		if does == "" {
			does = "table " + strconv.Itoa(r.Table)
		}
		section(&b, "rule", fmt.Sprintf("%s %d %s: %s", r.Family, r.Priority, r.Packets, does))
	}
	for _, p := range d.Published {
		section(&b, "published", p.String())
	}
	section(&b, "hosts", d.Hosts...)
	section(&b, "resolv.conf", d.Resolv...)
	_, err := io.WriteString(w, b.String())
	return err
}

// section prints lines with their title before the first one.
func section(b *strings.Builder, title string, lines ...string) {
	for i, line := range lines {
		if i > 0 {
			title = ""
		}
		fmt.Fprintf(b, "  %-12s %s\n", title, line)
	}
}

func namespaceText(name string) string {
	if name == "" {
		return "the host's own"
	}
	return name + "  (/run/netns/" + name + ")"
}

func processText(d nodeDocument) []string {
	if len(d.Command) == 0 {
		return []string{"none"}
	}
	words := []string{statusText(d.nodeView)}
	if d.Health != "" {
		words = append(words, d.Health)
	}
	if d.PID != 0 {
		words = append(words, "pid "+strconv.Itoa(d.PID))
	}
	if d.StartedAt != nil {
		words = append(words, "since "+d.StartedAt.Local().Format(time.DateTime))
	}
	if d.PID == 0 && d.FinishedAt != nil {
		words = append(words, "ended "+d.FinishedAt.Local().Format(time.DateTime))
	}
	if d.RestartAt != nil {
		words = append(words, "starts again "+d.RestartAt.Local().Format(time.DateTime))
	}
	lines := []string{strings.Join(words, ", "), strings.Join(d.Command, " ")}
	if d.Error != "" {
		lines = append(lines, "error: "+d.Error)
	}
	if d.Process != nil {
		if policy := d.Process.Restart.String(); policy != string(kernel.RestartNo) {
			lines = append(lines, "restart "+policy)
		}
		lines = append(lines, rootText(d)...)
		for _, kv := range d.Process.Env {
			lines = append(lines, "env "+kv)
		}
		for _, m := range slices.Concat(d.Process.Mounts, d.Added) {
			mode := "rw"
			if m.ReadOnly {
				mode = "ro"
			}
			source := m.Source
			if m.Kind != kernel.BindMount {
				source = strings.TrimSpace(string(m.Kind) + " " + m.Source)
			}
			lines = append(lines, fmt.Sprintf("mount %s → %s (%s)", source, m.Target, mode))
		}
		for _, m := range d.Process.Tmpfs {
			lines = append(lines, strings.TrimSuffix(fmt.Sprintf("tmpfs %s (%s)", m.Target, strings.Join(m.Options, ",")), " ()"))
		}
	}
	if out := strings.TrimSpace(d.HealthLog); out != "" {
		lines = append(lines, "last check: "+strings.ReplaceAll(out, "\n", " "))
	}
	return lines
}

func interfaceText(i interfaceView) []string {
	name := fmt.Sprintf("%d: %s", i.Index, i.Name)
	if i.Peer != nil && i.Peer.Index != 0 {
		name += fmt.Sprintf("@if%d", i.Peer.Index)
	}
	lines := []string{fmt.Sprintf("%s  %s  mtu %d  %s", name, i.MAC, i.MTU, upText(i.Up, i.State))}
	for _, a := range i.Addresses {
		lines = append(lines, "   "+a.String())
	}
	if i.AcceptRA != 0 {
		lines = append(lines, fmt.Sprintf("   accept_ra %d", i.AcceptRA))
	}
	if len(i.Parameters) > 0 || i.Parent != "" || i.Master != "" {
		words := []string{"   " + i.Kind}
		for _, name := range slices.Sorted(maps.Keys(i.Parameters)) {
			words = append(words, name+" "+i.Parameters[name])
		}
		if i.Parent != "" {
			words = append(words, "on "+i.Parent)
		}
		if i.Master != "" {
			words = append(words, "member of "+i.Master)
		}
		lines = append(lines, strings.Join(words, "  "))
	}
	lines = append(lines, portText(i.Port)...)
	if i.WireGuard != nil {
		lines = append(lines, wireGuardText(*i.WireGuard)...)
	}
	if i.Peer == nil {
		return lines
	}
	return append(lines, peerText(*i.Peer)...)
}

func peerText(p peerView) []string {
	where := "host"
	if p.Namespace != "" {
		where = p.Namespace
	}
	if p.Index == 0 {
		return []string{fmt.Sprintf("   ↔ %s: %s", where, p.Name)}
	}
	lines := []string{fmt.Sprintf("   ↔ %s: %d: %s  %s  mtu %d  %s", where, p.Index, p.Name, p.MAC, p.MTU, upText(p.Up, ""))}
	if p.Bridge != "" {
		lines = append(lines, strings.TrimRight(fmt.Sprintf("   bridge %d: %s  port %s  %s", p.BridgeIndex, p.Bridge, p.PortState, joined(p.BridgeAddresses)), " "))
	}
	for _, line := range portText(p.Port) {
		lines = append(lines, "  "+line)
	}
	return lines
}

// upText is what was asked for, and what is, where that differs.
func upText(up bool, state string) string {
	switch {
	case !up:
		return "down"
	case state == "" || state == "up" || state == "unknown":
		return "up"
	default:
		return "up (" + state + ")"
	}
}

func routeText(r routeView) string {
	to := r.To.String()
	if r.To.Bits() == 0 {
		to = "default"
	}
	words := []string{to}
	if r.Type != "" {
		words = []string{r.Type, to}
	}
	add := func(word, value string, given bool) {
		if given {
			words = append(words, word, value)
		}
	}
	add("via", r.Via, r.Via != "")
	add("dev", r.Interface, r.Interface != "")
	add("metric", strconv.Itoa(r.Metric), r.Metric != 0)
	add("table", strconv.Itoa(r.Table), r.Table != kernel.TableMain)
	add("src", r.Src, r.Src != "")
	add("mtu", strconv.Itoa(r.MTU), r.MTU != 0)
	for _, h := range r.NextHops {
		words = append(words, "nexthop")
		add("via", h.Via, h.Via != "")
		words = append(words, "dev", h.Interface, "weight", strconv.Itoa(h.Weight))
	}
	return strings.Join(words, " ")
}

// rootText is what a container was made from.
func rootText(d nodeDocument) []string {
	var lines []string
	if d.Process.Runtime != "" {
		lines = append(lines, "runtime "+d.Process.Runtime)
	}
	if d.Process.Rootfs != "" {
		lines = append(lines, "rootfs "+d.Process.Rootfs)
	}
	if d.Process.Image == "" {
		return lines
	}
	lines = append(lines, "image "+d.Process.Image+"  "+d.Process.ImageID)
	if d.Image != nil && len(d.Image.Ports) > 0 {
		lines = append(lines, "image exposes "+strings.Join(d.Image.Ports, ", "))
	}
	if d.Image != nil && len(d.Image.Volumes) > 0 {
		lines = append(lines, "image volumes "+strings.Join(d.Image.Volumes, ", "))
	}
	return lines
}
