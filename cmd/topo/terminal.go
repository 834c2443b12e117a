package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// colourful reports whether colour may be written: to a terminal that knows it, where
// NO_COLOR (no-color.org) is not set to anything.
func colourful(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// isPiped reports whether a stream brings data from elsewhere: a pipe, a socket or a file, and not a
// terminal or /dev/null.
func isPiped(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && (info.Mode().IsRegular() || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) != 0)
}
