// Package planner compares what a topology wants with what a host has, and
// orders the edits that turn one into the other. It is a function of values: no
// effects, no clock, no environment; the same input gives the same bytes.
package planner
