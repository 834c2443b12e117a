package main

import (
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	nodes := map[string]bool{}
	for _, n := range strings.Fields("db web-1 web-2 web-10 web-x web-1-1 app app-1") {
		nodes[n] = true
	}
	for typed, want := range map[string]string{
		"web":          "web-1 web-2 web-10",
		"web-2 web":    "web-2 web-1 web-10",
		"app":          "app", // a node of this name is meant
		"db db":        "db",
		"web-1":        "web-1",
		"nobody":       "nobody",
		"web-":         "web-",
		"db web app-1": "db web-1 web-2 web-10 app-1",
	} {
		if got := strings.Join(expand(strings.Fields(typed), nodes), " "); got != want {
			t.Errorf("%q means %q, want %q", typed, got, want)
		}
	}
}
