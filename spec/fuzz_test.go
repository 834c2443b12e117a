package spec_test

import (
	"errors"
	"os"
	"testing"

	"topo/spec"
)

// FuzzLoad: whatever the text, there is a topology or there are mistakes with positions; never both, never a panic.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/bad/*.yaml", "../examples/*.yaml"} {
		for _, path := range glob(f, pattern) {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	for _, text := range []string{
		"&a [*a]", "*", "? ", "{", "[", "\"", "'", "%", "---\n---", "...", "<<: 1", "a: !!map x", "\t", "\x00", "\xff", "\ufeff", "- - - -",
		"containers: {a: {ports: ['1-65535:1-65535/udp', '[::]:1']}}", "x: |\n  a\n b", "name: \"${A:-${B:-${C}}}\"", "name: $${}$",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		topology, err := spec.Load([]spec.Source{{Name: "f", Data: data}}, options())
		var list spec.Errors
		switch {
		case (topology == nil) == (err == nil):
			t.Fatalf("topology %v and error %v", topology, err)
		case err != nil && (!errors.As(err, &list) || len(list) == 0):
			t.Fatalf("an error without mistakes: %v", err)
		case err == nil:
			checkTopology(t, topology)
		}
		for _, e := range list {
			if e.Pos.File == "" || e.Pos.Line < 1 || e.Pos.Column < 1 || e.Msg == "" {
				t.Errorf("no position or no message: %#v", e)
			}
		}
	})
}

// checkTopology checks what every reader of a topology counts on.
func checkTopology(t *testing.T, topology *spec.Topology) {
	t.Helper()
	nodes, bridges := map[string]bool{}, map[string]bool{}
	for _, b := range topology.Bridges {
		bridges[b.Name] = true
		if len(b.Interface) == 0 || len(b.Interface) > 15 || b.MTU < 68 {
			t.Errorf("bridge %+v", b)
		}
		if b.Plain == (len(b.Subnets) > 0) {
			t.Errorf("bridge %s is plain and has subnets, or neither", b.Name)
		}
		for _, s := range b.Subnets {
			if s.NoGateway && s.Gateway.IsValid() || s.Prefix.IsValid() && !s.NoGateway && !s.Prefix.Contains(s.Gateway) {
				t.Errorf("gateway of %+v", s)
			}
			if s.Prefix != s.Prefix.Masked() {
				t.Errorf("subnet %s is not masked", s.Prefix)
			}
		}
	}
	for _, n := range topology.Nodes {
		nodes[n.Name] = true
	}
	for _, n := range topology.Nodes {
		if (n.Netns == "") != (n.Network == spec.NetworkHost) {
			t.Errorf("namespace %q of %s", n.Netns, n.Name)
		}
		if n.Container && n.Process == nil {
			t.Errorf("container %s without a process", n.Name)
		}
		if n.Process != nil && n.Process.Image == "" && (len(n.Process.Argv) == 0 || n.Process.StopSignal == "") {
			t.Errorf("process of %s: %+v", n.Name, n.Process)
		}
		for _, a := range n.Attachments {
			if !bridges[a.Bridge] || a.Interface == "" || a.HostInterface == "" || a.MTU == 0 {
				t.Errorf("attachment of %s: %+v", n.Name, a)
			}
		}
		for _, p := range n.Ports {
			if p.HostPort == 0 || p.NodePort == 0 || p.Protocol == "" {
				t.Errorf("port of %s: %+v", n.Name, p)
			}
		}
		for _, d := range n.DependsOn {
			if !nodes[d.Node] {
				t.Errorf("%s depends on %s, which is not there", n.Name, d.Node)
			}
		}
	}
	for _, l := range topology.Links {
		for _, e := range l.Ends {
			if e.Interface == "" || e.MTU == 0 || !e.Bridge && e.Node != spec.Host && !nodes[e.Node] || e.Bridge && !bridges[e.Node] {
				t.Errorf("end of a link: %+v", e)
			}
		}
	}
}
