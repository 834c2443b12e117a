// Package kernel is the vocabulary that the pure half of topo (planner,
// executor) and the half with effects (internal/linux, internal/container)
// share: [Snapshot], the facts that one reading of a host gave, and [Op], the
// edits that can be asked of it.
//
// It holds values only. Things are called by name, as (network namespace,
// interface), never by index: no edit needs the result of an earlier one, so a
// plan can be printed, saved and carried out later.
package kernel
