// Decode reads a YAML file into values of no type, and does nothing with it: what the library alone takes.
package main

import (
	"fmt"
	"os"

	"gopkg.in/yaml.v3"
)

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err == nil {
		var v any
		err = yaml.Unmarshal(text, &v)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "decode:", err)
		os.Exit(1)
	}
}
