package planner

// port: the ends of veths that are ports of bridges.
var portKind = Kind{
	Name:    "port",
	Desire:  func(w *Want) []Resource { return w.linksOf("port") },
	Observe: func(h *Have) []Resource { return observeLinks(h, "port") },
}
