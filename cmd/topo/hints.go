package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"topo/internal/linux"
	"topo/planner"
)

// hints says what a person can do about an error. It is the one place that
// does: the packages state facts.
func hints(err error) []string {
	var (
		usage    *usageError
		locked   *linux.LockedError
		conflict *planner.ConflictError
		missing  *missingFileError
		program  *exec.Error
		half     *unfinishedError
	)
	switch {
	case errors.As(err, &half):
		again := fmt.Sprintf("What is done stays. \"topo %s\" again continues; \"topo plan\" shows what is left.", half.verb)
		return append(hints(half.cause), again)
	case errors.As(err, &usage):
		return []string{"See: " + strings.TrimSpace("topo "+usage.command) + " --help"}
	case errors.As(err, &missing):
		return []string{"Name the file with -f FILE, or the project with -p NAME."}
	case errors.As(err, &locked):
		return []string{"Wait until it is done, or let topo wait: --lock-timeout 1m."}
	case errors.As(err, &conflict):
		return conflictHints(err)
	case errors.As(err, &program):
		return []string{programHint(program.Name)}
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0:
		return []string{
			"Run it as root: sudo topo …",
			"Without privilege there are validate, config, schema, and plan --offline (against an empty machine).",
		}
	case errors.Is(err, fs.ErrPermission):
		return []string{"This root lacks a capability: topo needs CAP_NET_ADMIN and CAP_SYS_ADMIN (in a container: --privileged)."}
	}
	return nil
}

// conflictHints are the ways out of each conflict.
func conflictHints(err error) []string {
	var all planner.Conflicts
	var one *planner.ConflictError
	if !errors.As(err, &all) && errors.As(err, &one) {
		all = planner.Conflicts{one}
	}
	var lines []string
	for _, c := range all {
		if len(c.Ways) > 0 {
			lines = append(lines, c.Object+": "+strings.Join(c.Ways, "; or "))
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return append([]string{"Nothing was changed. Ways out:"}, lines...)
}

// packages are the Debian packages of the programs that topo runs.
var packages = map[string]string{
	"iptables":          "iptables",
	"ip6tables":         "iptables",
	"iptables-restore":  "iptables",
	"iptables-save":     "iptables",
	"ip6tables-restore": "iptables",
	"ip6tables-save":    "iptables",
	"crun":              "crun",
	"runc":              "runc",
}

func programHint(name string) string {
	base := name[strings.LastIndexByte(name, '/')+1:]
	if p, ok := packages[base]; ok {
		return base + " is in the package " + p + ": sudo apt-get install " + p
	}
	return base + " was not found in PATH."
}
