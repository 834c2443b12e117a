package linux

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// TablesLockedError says that another program has had the lock on iptables' old kind of tables for as long as was waited for it.
type TablesLockedError struct {
	File    string
	PID     int // 0 when nobody is seen to have it any more
	Command string
}

func (e *TablesLockedError) Error() string {
	text := fmt.Sprintf("another program holds the lock of iptables, %s", e.File)
	if e.PID == 0 {
		return text
	}
	text += fmt.Sprintf(": process %d", e.PID)
	if e.Command != "" {
		text += " (" + e.Command + ")"
	}
	return text
}

// Unwrap gives the number of what is in use.
func (e *TablesLockedError) Unwrap() error { return unix.EBUSY }

// tablesHolder finds who has the lock on the old kind of tables.
func tablesHolder() *TablesLockedError {
	e := &TablesLockedError{File: "/run/xtables.lock"}
	if named := os.Getenv("XTABLES_LOCKFILE"); named != "" {
		e.File = named
	}
	f, err := os.Open(e.File)
	if err != nil {
		return e
	}
	defer f.Close()
	if e.PID = findHolder(f); e.PID != 0 {
		e.Command = commandLine(e.PID)
	}
	return e
}
