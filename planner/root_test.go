package planner

import (
	"errors"
	"testing"

	"topo/internal/kernel"
	"topo/spec"
)

// A root that is not there is a mistake at its place in the file; on the way down nobody needs it.
func TestRootIsMissing(t *testing.T) {
	pos := spec.Pos{File: "topo.yaml", Line: 3, Column: 13}
	topology := &spec.Topology{Name: "p", Nodes: []spec.Node{{
		Name: "web", Container: true, Netns: "p-web", Network: spec.NetworkOwn,
		Process: &spec.Process{Argv: []string{"true"}, Rootfs: "/srv/root", RootPos: pos},
	}}}
	q := Query(topology, "p")
	if len(q.Folders) != 1 || q.Folders[0] != "/srv/root" {
		t.Fatalf("asked for: %q", q.Folders)
	}
	o := Options{Topology: topology, Project: "p", Snapshot: kernel.Snapshot{MissingFolders: q.Folders}}
	_, err := Build(o)
	var mistakes spec.Errors
	if !errors.As(err, &mistakes) || err.Error() != "topo.yaml:3:13: rootfs /srv/root of web is not a folder of this machine" {
		t.Errorf("error %v", err)
	}
	o.Topology = nil
	if _, err := Build(o); err != nil {
		t.Error(err)
	}
}
