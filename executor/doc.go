// Package executor carries out a plan: independent steps at the same time, what
// depends on a failure left undone, everything reported. It decides nothing.
package executor
