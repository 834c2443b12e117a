package planner

import "topo/spec"

// inside is what a node's namespace has besides the ends of its attachments, in the file's order.
type inside struct {
	bridges    []spec.Bridge
	ends       []spec.Endpoint // of links
	interfaces []spec.Interface
}

// inside sorts what the topology has by nodes once: to look for each node through all of it is the square of its size.
func (w *Want) inside(n spec.Node) inside {
	if w.byNode == nil {
		w.byNode = map[string]*inside{}
		of := func(node string) *inside {
			in := w.byNode[node]
			if in == nil {
				in = &inside{}
				w.byNode[node] = in
			}
			return in
		}
		for _, b := range w.Topology.Bridges {
			in := of(b.Node)
			in.bridges = append(in.bridges, b)
		}
		for _, l := range w.Topology.Links {
			for _, e := range l.Ends {
				if !e.Bridge {
					in := of(e.Node)
					in.ends = append(in.ends, e)
				}
			}
		}
		for _, i := range w.Topology.Interfaces {
			in := of(i.Node)
			in.interfaces = append(in.interfaces, i)
		}
	}
	if in := w.byNode[n.Name]; in != nil {
		return *in
	}
	return inside{}
}
