package main

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"topo/planner"
)

// A consentError is a plan that may cut the machine, or the one who sits before it, off. Nothing was changed.
type consentError struct {
	move    planner.Move
	carries string
}

func (e *consentError) Error() string {
	return fmt.Sprintf("%s carries %s; nothing was changed", e.move.Card, e.carries)
}

// consent refuses, without --yes, to move a card by which the machine or the session is reached. With it, it says what happens.
func consent(p *planner.Plan, yes bool, m *machine, w io.Writer) error {
	session := sessionAddr(os.Getpid(), os.ReadFile)
	for _, move := range p.Moves {
		carries := move.Carries(session)
		if carries == "" {
			continue
		}
		if !yes {
			return &consentError{move, carries}
		}
		// The terminal may go with the session for a moment: topo must live to undo the move. Children have SIGHUP as ever.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
		fmt.Fprintf(w, "topo: %s carries %s: %s\n", move.Card, carries, move)
		for _, gateway := range move.Gateways {
			if move.Bridge != "" && !m.host.Answers(move.Card, gateway) {
				warn(w, fmt.Errorf("gateway %s does not answer on %s now: nothing will tell whether it is reached by way of %s, and nothing is undone", gateway, move.Card, move.Bridge))
			}
		}
	}
	return nil
}

// warnOfMoves says what up will want to hear --yes for.
func warnOfMoves(w io.Writer, p *planner.Plan) {
	session := sessionAddr(os.Getpid(), os.ReadFile)
	for _, move := range p.Moves {
		if carries := move.Carries(session); carries != "" {
			warn(w, fmt.Errorf("%s carries %s, so up asks for --yes: %s", move.Card, carries, move))
		}
	}
}

// sessionAddr is the machine's own address in the SSH connection that a process was started over (SSH_CONNECTION, ssh(1)). sudo(8)
// takes the variable away, so those who started it are asked, too.
func sessionAddr(pid int, readFile func(string) ([]byte, error)) netip.Addr {
	for pid > 1 {
		folder := "/proc/" + strconv.Itoa(pid)
		environ, err := readFile(folder + "/environ")
		if err != nil {
			return netip.Addr{}
		}
		for _, v := range strings.Split(string(environ), "\x00") {
			value, ok := strings.CutPrefix(v, "SSH_CONNECTION=")
			if words := strings.Fields(value); ok && len(words) == 4 {
				addr, err := netip.ParseAddr(words[2])
				if err == nil {
					return addr.WithZone("").Unmap()
				}
			}
		}
		stat, err := readFile(folder + "/stat")
		if err != nil {
			return netip.Addr{}
		}
		// PID (COMMAND) STATE PPID …: a command may have blanks and brackets in it.
		words := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(words) < 2 {
			return netip.Addr{}
		}
		if pid, err = strconv.Atoi(words[1]); err != nil {
			return netip.Addr{}
		}
	}
	return netip.Addr{}
}
