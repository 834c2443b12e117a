package container

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// screen is what somebody who is attached sees.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) shows(l *lab, text string) {
	l.Helper()
	testhost.Poll(l, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if got := s.text.String(); !strings.Contains(got, text) {
			return errors.New("the screen shows " + got)
		}
		return nil
	})
}

// session is an attachment that goes on.
type session struct {
	*screen
	keys    *io.PipeWriter
	signals chan os.Signal
	detach  func()
	ended   chan struct{}
	code    int
	err     error
}

func (l *lab) attach() *session {
	in, keys := io.Pipe()
	ctx, cancel := context.WithCancel(l.Context())
	s := &session{screen: &screen{}, keys: keys, signals: make(chan os.Signal), detach: cancel, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		defer in.Close()
		s.code, s.err = l.Attach(ctx, AttachRequest{Project: l.project, Node: "n", Stdin: in, Stdout: s.screen, Stderr: s.screen, Signals: s.signals})
	}()
	return s
}

func (s *session) types(l *lab, line string) {
	l.Helper()
	if _, err := io.WriteString(s.keys, line+"\n"); err != nil {
		l.Fatal(err)
	}
}

// ends waits for the process's end, which is told as this code.
func (s *session) ends(l *lab, code int) {
	l.Helper()
	if <-s.ended; s.code != code || s.err != nil {
		l.Errorf("ended: %d, %v", s.code, s.err)
	}
}

// attachTwo attaches two to a process that says what it has got, and when it is signalled; the second stays.
func (l *lab) attachTwo() *session {
	l.Helper()
	one := l.attach()
	one.types(l, "one")
	one.shows(l, "got one\n")
	two := l.attach()
	two.types(l, "two")
	one.shows(l, "got one\ngot two\n")
	two.shows(l, "got two\n")
	two.signals <- unix.SIGUSR1
	one.shows(l, "signalled\n")
	one.keys.Close()
	one.detach()
	if <-one.ended; !errors.Is(one.err, context.Canceled) {
		l.Errorf("detached: %d, %v", one.code, one.err)
	}
	return two
}

// What is typed arrives, whoever is attached, and whatever becomes of the supervisor; the end is the process's own.
func TestAttach(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		for _, mode := range []kernel.UsernsMode{"", kernel.PrivateUserns} {
			if mode != "" && !p.Container {
				continue
			}
			p.StdinOpen, p.UsernsMode, p.User = true, mode, "nobody"
			p.Argv = []string{"sh", "-c", "trap 'echo signalled' USR1; echo before; while :; do read line || continue; echo got $line; [ $line = again ] && exec sh -c 'read x < /dev/stdin; echo anew $x; exit 7'; done"}
			l.start(p)
			two := l.attachTwo()
			l.killSupervisor()
			l.do(kernel.SupervisorStart{Project: l.project})
			two.types(l, "again")
			two.shows(l, "got again\n")
			two.types(l, "x")
			two.shows(l, "anew x\n")
			<-two.ended
			if hasExitCodes(l.T) != (two.err == nil && two.code == 7) {
				l.Errorf("ended: %d, %v", two.code, two.err)
			}
			if strings.Contains(two.text.String(), "before") {
				l.Errorf("the second one shows %q", two.text.String())
			}
			l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		}
	})
}

// Without stdin_open there is nothing to read, whoever is attached.
func TestAttachWithoutInput(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sh", "-c", "trap 'exit 9' USR1; cat; echo ready; while :; do sleep 0.01; done"}
		l.start(p)
		l.awaitLog("n", "ready\n")
		s := l.attach()
		s.signals <- unix.SIGUSR1
		s.ends(l, 9)
		s = l.attach()
		if <-s.ended; s.err == nil || !strings.Contains(s.err.Error(), "n is exited") {
			l.Errorf("error %v", s.err)
		}
	})
}
