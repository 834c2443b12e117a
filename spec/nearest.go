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

// nearest is the known word with the fewest edits to the given one, at most one for each three letters; failing
// that, one that holds it or that it holds. "" when none is near.
func nearest(word string, known []string) string {
	lower := strings.ToLower(word)
	best, least := "", max(1, len([]rune(word))/3)+1
	for _, k := range known {
		if n := edits(lower, strings.ToLower(k)); n < least {
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

// edits is the distance of two words, where two neighbours that changed places are one edit: the commonest slip
// of fingers.
func edits(a, b string) int {
	n := levenshtein.Distance(a, b, nil)
	if n != 2 || len(a) != len(b) {
		return n
	}
	for i := range len(a) - 1 {
		if a[i] != b[i] {
			if a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:] {
				return 1
			}
			break
		}
	}
	return n
}
