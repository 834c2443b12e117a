package spec

import "testing"

func TestNearest(t *testing.T) {
	known := []string{"web", "redis", "bridges", "service_healthy", "mac", "mtu", "SIGTERM"}
	for word, want := range map[string]string{
		"wbe":      "web", // two neighbours that changed places
		"bad":      "",    // as many edits as letters are not near
		"bridge":   "bridges",
		"brigdes":  "bridges",
		"healthy":  "service_healthy",
		"sigterm":  "SIGTERM",
		"Redis":    "redis",
		"reddis":   "redis",
		"":         "",
		"x":        "",
		"ma":       "mac",
		"postgres": "",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("nearest to %q: got %q, want %q", word, got, want)
		}
	}
}
