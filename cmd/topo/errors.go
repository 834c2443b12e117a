package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"topo/spec"
)

// usageError is a command line that can't be understood.
type usageError struct {
	command string // "plan"; "" for topo itself
	msg     string
}

func (e *usageError) Error() string { return e.msg }

func usageErrorf(c *cli.Context, format string, args ...any) error {
	name := ""
	if c.Command != nil && c.Command.Name != c.App.Name {
		name = strings.TrimPrefix(c.Command.HelpName, c.App.Name+" ")
	}
	return &usageError{command: name, msg: fmt.Sprintf(format, args...)}
}

// internalError is a mistake in topo, a panic.
type internalError struct{ value any }

func (e *internalError) Error() string { return fmt.Sprintf("internal error: %v", e.value) }

// printError writes an error as a person reads it: what is the matter, then, indented,
// what can be done. Mistakes of a file stand alone on their lines, FILE:LINE:COLUMN
// first, as editors and CI systems expect of a compiler.
func printError(w io.Writer, err error) {
	var mistakes spec.Errors
	if errors.As(err, &mistakes) {
		for _, m := range mistakes {
			if m.Pos == (spec.Pos{}) { // of no file: down reads none
				fmt.Fprint(w, "topo: ")
			}
			fmt.Fprintln(w, m)
		}
		if len(mistakes) > 1 {
			fmt.Fprintf(w, "topo: %d mistakes\n", len(mistakes))
		}
	} else {
		fmt.Fprintf(w, "topo: %s\n", strings.ReplaceAll(err.Error(), "\n", "\n  "))
	}
	for _, hint := range hints(err) {
		fmt.Fprintf(w, "  %s\n", strings.ReplaceAll(hint, "\n", "\n  "))
	}
}

// errorDocument is what --json prints of an error.
type errorDocument struct {
	FormatVersion string            `json:"format_version"`
	Error         string            `json:"error"`
	ExitCode      int               `json:"exit_code"`
	Mistakes      []mistakeDocument `json:"mistakes,omitempty"` // of the file
	Hints         []string          `json:"hints,omitempty"`
}

type mistakeDocument struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
}

// writeErrorJSON writes the document of an error; a status alone is none.
func writeErrorJSON(w io.Writer, err error) {
	if status := exitStatus(0); errors.As(err, &status) {
		return
	}
	// What can't be written to stdout can't be reported there either.
	_ = writeJSON(w, documentOf(err))
}

func documentOf(err error) errorDocument {
	doc := errorDocument{FormatVersion: "1.0", Error: err.Error(), ExitCode: exitCode(err), Hints: hints(err)}
	var mistakes spec.Errors
	if errors.As(err, &mistakes) {
		for _, m := range mistakes {
			doc.Mistakes = append(doc.Mistakes, mistakeDocument{m.Pos.File, m.Pos.Line, m.Pos.Column, m.Msg})
		}
	}
	return doc
}

// writeJSON writes one indented document.
func writeJSON(w io.Writer, doc any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(doc)
}
