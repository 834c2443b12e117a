package main

import (
	"fmt"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"topo/spec"
)

// volumesNode writes the volumes of a file: those that nodes have for themselves are not stated.
func volumesNode(volumes []spec.Volume) *yaml.Node {
	all := newMap()
	for _, v := range volumes {
		if strings.Contains(v.Key, ":") {
			continue
		}
		m := newMap()
		m.text("name", v.Name)
		if v.External {
			m.flag("external", true)
		}
		m.set("labels", pairsOf(sortedPairs(v.Labels)))
		all.put(v.Key, m.flow())
	}
	return &all.node
}

// mountNode writes a mount in the long form.
func mountNode(v spec.Mount) *yaml.Node {
	m, more := newMap(), newMap()
	m.text("type", string(v.Kind))
	switch v.Kind {
	case spec.BindMount:
		m.text("source", v.Source)
		more.text("propagation", v.Propagation)
		more.flag("create_host_path", v.CreateSource)
	case spec.VolumeMount:
		m.text("source", v.Volume)
		more.flag("nocopy", v.NoCopy)
		more.text("subpath", v.Subpath)
	case spec.TmpfsMount:
		if v.Size > 0 {
			more.text("size", strconv.FormatInt(v.Size, 10))
		}
		more.text("mode", fmt.Sprintf("%#o", v.Mode))
	}
	m.text("target", v.Target)
	m.flag("read_only", v.ReadOnly)
	m.set(string(v.Kind), &more.node)
	return m.flow()
}
