// Command topo brings the network of one machine into the state that a YAML
// file describes: namespaces, containers, bridges, links, published ports. It
// compares the file with the live kernel, shows a plan, and carries out exactly
// that.
//
// This package is the command line only: flags, what is printed, exit codes, and
// the hints that stand under an error. Packages state facts; what a person can do
// about them is said here, in hints.go.
package main

import (
	"context"
	"errors"
	"io"
	"os"

	"topo/internal/container"
)

func main() {
	// The supervisor and its children are this program again, under another name.
	if handled, code := container.Reexec(); handled {
		os.Exit(code)
	}
	if handled, code := reexec(); handled {
		os.Exit(code)
	}
	collectLate()
	os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program but the process that it runs in: it carries out one
// command line, args[0] being the program's name, and returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	defer func() {
		if p := recover(); p != nil {
			printError(stderr, &internalError{p})
			code = exitError
		}
	}()
	app := newApp(stdin, stdout, stderr)
	err := app.RunContext(context.Background(), arrange(app, args))
	if err != nil && wantsJSON(app, args) {
		writeErrorJSON(stdout, err)
	}
	if status := exitStatus(0); err != nil && !errors.As(err, &status) {
		printError(stderr, err)
	}
	return exitCode(err)
}
