package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"topo/internal/linux"
)

// tellWaiting tells for whom a command waits; mode is that of --progress.
func tellWaiting(w io.Writer, mode string) func(*linux.LockedError) {
	return func(held *linux.LockedError) {
		if mode != progressJSON {
			fmt.Fprintf(w, "topo: waiting: %v\n", held)
			return
		}
		_ = json.NewEncoder(w).Encode(waitingLineOf(held)) // stderr is gone: there is no other place to say so
	}
}

// waitingLine is a line of --progress json where another topo is waited for.
type waitingLine struct {
	Event   string `json:"event"` // "waiting"
	PID     int    `json:"pid,omitempty"`
	Command string `json:"command,omitempty"`
	Project string `json:"project,omitempty"` // that the other one works on
	Since   string `json:"since,omitempty"`   // RFC 3339
	Text    string `json:"text"`              // as a person reads it
}

func waitingLineOf(held *linux.LockedError) waitingLine {
	line := waitingLine{Event: "waiting", PID: held.PID, Command: held.Command, Project: held.Project, Text: held.Error()}
	if !held.Since.IsZero() {
		line.Since = held.Since.Format(time.RFC3339)
	}
	return line
}
