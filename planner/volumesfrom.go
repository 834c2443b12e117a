package planner

import (
	"cmp"
	"strings"

	"topo/internal/kernel"
	"topo/spec"
)

// handedOn are the nodes that hand their volumes on to another, with the images that some of these come with: which volumes an
// image has is known when it is there.
func handedOn(w *Want, nodes map[string]spec.Node, n spec.Node) []kernel.VolumesFrom {
	var list []kernel.VolumesFrom
	for _, text := range n.Process.VolumesFrom {
		name, mode, _ := strings.Cut(text, ":")
		from := nodes[name]
		behind := kernel.Process{Image: from.Process.Image, VolumesFrom: handedOn(w, nodes, from)}
		if behind.Image != "" {
			behind.ImageID = imageID(w.Host, imageReference(from.Process), from.Process.Platform)
		}
		list = append(list, kernel.VolumesFrom{Node: name, ReadOnly: mode == "ro", Images: behind.ImagesBehind()})
	}
	return list
}

// handedOnWords keeps the order: of two at one target the later node's is mounted.
func handedOnWords(list []kernel.VolumesFrom) string {
	var parts []string
	for _, v := range list {
		words := []string{v.Node}
		if v.ReadOnly {
			words = append(words, "ro")
		}
		for _, id := range v.Images {
			words = append(words, cmp.Or(id, "an image to be pulled"))
		}
		parts = append(parts, strings.Join(words, " "))
	}
	return strings.Join(parts, ", ")
}
