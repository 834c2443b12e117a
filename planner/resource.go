package planner

import (
	"topo/internal/kernel"
)

// ID is the address of a resource, stable over runs: "bridge/app".
type ID struct{ Kind, Name string }

func (id ID) String() string { return id.Kind + "/" + id.Name }

// Resource is one small thing that a topology wants or that a host has: an immutable value.
type Resource interface {
	ID() ID
	// Needs lists what must stand before this can be made, and must still stand
	// when this is removed. IDs that no plan knows are ignored.
	Needs() []ID
	// Attrs is everything about the resource that is compared with the kernel,
	// in the order in which it is shown. What is not here is neither seen nor repaired.
	Attrs() []Attr
	// Create makes the resource, Delete removes it.
	Create() []kernel.Op
	Delete() []kernel.Op
	// Update turns have, of the same ID, into the receiver; ok is false where only
	// removing it and making it anew does.
	Update(have Resource) (ops []kernel.Op, ok bool)
}

// Attr is an attribute in words.
type Attr struct{ Name, Value string }
