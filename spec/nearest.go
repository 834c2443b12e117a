package spec

import (
	"strconv"
	"strings"

	"github.com/agext/levenshtein"
)

// suggest reads on after a word that is not known: it names the nearest of those that are.
func suggest(word string, known []string) string {
	if n := nearest(word, known); n != "" {
		return ", did you mean " + strconv.Quote(n) + "?"
	}
	return ""
}

// suggestOrList names the nearest word, or all where none is near.
func suggestOrList(word string, known []string) string {
	if s := suggest(word, known); s != "" {
		return s
	}
	return "; it is one of " + strings.Join(known, ", ")
}

// nearest is the known word with the fewest edits to the given one, at most one for each three letters (and
// one); failing that, one that holds it or that it holds. "" when none is near.
func nearest(word string, known []string) string {
	best, least := "", len([]rune(word))/3+2
	lower := strings.ToLower(word)
	for _, k := range known {
		if n := levenshtein.Distance(lower, strings.ToLower(k), nil); n < least {
			best, least = k, n
		}
	}
	if best != "" {
		return best
	}
	for _, k := range known {
		if len(word) >= 3 && len(k) >= 3 && (strings.Contains(k, lower) || strings.Contains(lower, k)) {
			return k
		}
	}
	return ""
}
