package main

import (
	"iter"

	"github.com/agext/levenshtein"
)

// nearestOf is the name that was probably meant, or "": at most two letters
// away, and nearer than rewriting half of it.
func nearestOf(typed string, names iter.Seq[string]) string {
	best, distance := "", 3
	for name := range names {
		d := levenshtein.Distance(typed, name, nil)
		if d < distance && 2*d <= len(name) {
			best, distance = name, d
		}
	}
	return best
}
