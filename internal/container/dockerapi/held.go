package dockerapi

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
)

// held keeps back what an engine itself says, in the place of a program's output, of one that can't be run: that is an
// error, and not something printed.
type held struct {
	command string

	mu    sync.Mutex
	begun bool // something was printed
	words bytes.Buffer
}

// runtimeWords are in what engines say then: Docker first, Podman after it.
var runtimeWords = []string{
	"OCI runtime exec failed", "OCI runtime attempted to invoke a command that was not found", "OCI permission denied", "OCI runtime error",
}

// before gives a writer that passes on to w what a program prints. An engine's words come whole, and first.
func (h *held) before(w io.Writer) io.Writer { return heldWriter{h, w} }

// err is what the engine said; nil when it has run the program.
func (h *held) err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.words.Len() == 0 {
		return nil
	}
	first, _, _ := strings.Cut(strings.TrimSpace(h.words.String()), "\n")
	return startError(h.command, errors.New(strings.TrimPrefix(strings.TrimSpace(first), "Error: ")))
}

type heldWriter struct {
	*held
	w io.Writer
}

// Write passes text on, or keeps it.
func (h heldWriter) Write(text []byte) (int, error) {
	h.mu.Lock()
	if !h.begun {
		for _, words := range runtimeWords {
			if bytes.Contains(text, []byte(words)) {
				h.words.Write(text)
				break
			}
		}
		h.begun = true
	} else if h.words.Len() > 0 {
		h.words.Write(text)
	}
	kept := h.words.Len() > 0
	h.mu.Unlock()
	if kept {
		return len(text), nil
	}
	return h.w.Write(text)
}
