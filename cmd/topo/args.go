package main

import (
	"os"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// arrange moves the flags that stand behind a verb's operands before them, so
// that "topo inspect web --json" means what it says: Go's flag package stops at
// the first operand. The verbs that pass words on to another program (exec)
// keep their line as typed.
func arrange(app *cli.App, args []string) []string {
	verb, at := findVerb(app, args)
	if verb == nil || passesWordsOn(verb) {
		return args
	}
	flags := append([]string{}, args[:at+1]...)
	var operands []string
	for i := at + 1; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			operands = append(operands, args[i:]...)
			i = len(args)
		case isFlag(arg):
			flags = append(flags, arg)
			if takesValue(verb.Flags, arg) && i+1 < len(args) {
				i++
				flags = append(flags, args[i])
			}
		default:
			operands = append(operands, arg)
		}
	}
	return append(flags, operands...)
}

// findVerb returns the command of a command line, that of "volume ls" being ls, and its place in args.
func findVerb(app *cli.App, args []string) (*cli.Command, int) {
	for i := 1; i < len(args); i++ {
		switch {
		case !isFlag(args[i]):
			verb := app.Command(args[i])
			if verb != nil && i+1 < len(args) {
				for _, sub := range verb.Subcommands {
					if sub.HasName(args[i+1]) {
						return sub, i + 1
					}
				}
			}
			return verb, i
		case takesValue(app.Flags, args[i]):
			i++
		}
	}
	return nil, 0
}

func passesWordsOn(c *cli.Command) bool { return c.Name == "exec" }

// isFlag: "-" alone is an operand (stdin), and so is the word that asks for
// completions, which must stay the last.
func isFlag(arg string) bool {
	return len(arg) > 1 && arg[0] == '-' && arg != "--generate-bash-completion"
}

// takesValue reports whether the next word belongs to this flag.
func takesValue(flags []cli.Flag, arg string) bool {
	name := strings.TrimLeft(arg, "-")
	if strings.Contains(name, "=") {
		return false
	}
	f := lookupFlag(flags, name)
	if f == nil {
		return false
	}
	_, isBool := f.(*cli.BoolFlag)
	return !isBool
}

func lookupFlag(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		for _, n := range f.Names() {
			if n == name {
				return f
			}
		}
	}
	return nil
}

// wantsJSON reports whether a command line asks for a JSON document. It looks at
// the words, not at what was parsed: a line that can't be parsed asks too.
func wantsJSON(app *cli.App, args []string) bool {
	verb, at := findVerb(app, args)
	if verb == nil || lookupFlag(verb.Flags, "json") == nil {
		return false
	}
	wanted, _ := strconv.ParseBool(os.Getenv(envName("json")))
	for _, arg := range args[at+1:] {
		name, value, given := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !isFlag(arg) || name != "json" {
			continue
		}
		wanted = true
		if given {
			wanted, _ = strconv.ParseBool(value)
		}
	}
	return wanted
}
