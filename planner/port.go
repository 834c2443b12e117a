package planner

// port: the ends of veths that are ports of bridges.
var portKind = Kind{
	Name:    "port",
	Desire:  func(w *Want) []Resource { return ofKind("port", desireVeths(w)) },
	Observe: func(h *Have) []Resource { return observeLinks(h, "port") },
}
