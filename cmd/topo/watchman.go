package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"topo/internal/container"
	"topo/internal/linux"
)

// The watchman of up --confirm: topo's program under another name, in a session of its own, that knows what is in the state file. It
// stands before the first change, and puts the state before back:
//
//   - at once, when topo ends in the middle of its run, however that is;
//   - when topo has no news for as long as it waits for the confirmation: its terminal may be what it waits for;
//   - when the run is over and no confirmation came in time.
const watchmanName = "topo-watchman"

// What topo says to its watchman, a byte each.
const (
	newsStep = '.' // a step has ended
	newsOver = '!' // the run is over, and the state file says until when to wait
)

// Descriptors of a watchman.
const (
	readyFD = 3 // where it says that it stands
	newsFD  = 4 // where it is told what to watch over, a line of JSON, and then the news
)

// reexec is a watchman's whole program, when this process was started as one.
func reexec() (handled bool, code int) {
	if os.Args[0] != watchmanName || len(os.Args) != 3 {
		return false, 0
	}
	container.CloseInherited(newsFD)
	unix.CloseOnExec(readyFD)
	unix.CloseOnExec(newsFD)
	ready, news := os.NewFile(readyFD, "ready"), os.NewFile(newsFD, "news")
	if err := watch(os.Args[1], os.Args[2], ready, news); err != nil {
		// Where topo still listens it hears of it; what goes wrong later is in the file that ps shows.
		_, _ = fmt.Fprintln(ready, err)
		return true, exitError
	}
	return true, exitDone
}

// watchOver is topo's side of a watchman.
type watchOver struct {
	pending *pending
	news    *os.File
}

// setWatch starts the watchman, with what the state before is put back by. It returns when that stands, and has written that down.
func setWatch(back *wayBack, patience time.Duration) (*watchOver, error) {
	state, err := back.encode()
	if err != nil {
		return nil, err
	}
	p := &pending{Project: back.run.Project, Token: rand.Text(), Began: time.Now(), Patience: patience, State: state}
	w := &watchOver{pending: p}
	if err := w.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the watchman: %w", err), p.end())
	}
	return w, nil
}

func (w *watchOver) start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ready, theirReady, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	theirNews, news, err := os.Pipe()
	if err != nil {
		return errors.Join(err, theirReady.Close())
	}
	w.news = news
	cmd := &exec.Cmd{
		Path: self, Args: []string{watchmanName, w.pending.Project, w.pending.Token}, Dir: "/",
		// Nothing of the caller's environment but where its programs and its engine are.
		Env:        []string{"PATH=" + os.Getenv("PATH"), "DOCKER_HOST=" + os.Getenv("DOCKER_HOST")},
		ExtraFiles: []*os.File{theirReady, theirNews}, SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	err = cmd.Start()
	if err := errors.Join(err, theirReady.Close(), theirNews.Close()); err != nil {
		return err
	}
	w.pending.Watchman = cmd.Process.Pid
	go func() { _ = cmd.Wait() }() // so that it leaves no zombie when this process outlives it
	if err := json.NewEncoder(news).Encode(w.pending); err != nil {
		return err
	}
	line, err := bufio.NewReader(ready).ReadString('\n')
	switch {
	case err != nil:
		return fmt.Errorf("it ended before it stood: %w", err)
	case line != "ok\n":
		return errors.New(strings.TrimSpace(line))
	}
	return nil
}

// step tells the watchman that the run goes on.
func (w *watchOver) step() {
	_, _ = w.news.Write([]byte{newsStep}) // a watchman that is gone is missed at the end
}

// over has the watchman wait for the confirmation from now on, and says how to confirm.
func (w *watchOver) over(run *changing) error {
	w.pending.Until = time.Now().Add(w.pending.Patience)
	if err := w.pending.write(); err != nil {
		return err
	}
	if _, err := w.news.Write([]byte{newsOver}); err != nil {
		return &unwatchedError{w.pending}
	}
	if run.progress == progressJSON {
		line := struct {
			Event   string    `json:"event"` // "unconfirmed"
			Project string    `json:"project"`
			Until   time.Time `json:"until"`
		}{"unconfirmed", run.project, w.pending.Until}
		return json.NewEncoder(run.err).Encode(line)
	}
	_, err := fmt.Fprintf(run.err, "%s: what was before comes back at %s, unless you confirm: topo confirm -p %s\n", run.project, clock(w.pending.Until), run.project)
	return err
}

// watch is what the watchman does.
func watch(project, token string, ready, news *os.File) error {
	caller, err := unix.PidfdOpen(os.Getppid(), 0)
	if err != nil {
		return fmt.Errorf("looking at who watches: %w", err)
	}
	told := bufio.NewReader(news)
	line, err := told.ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		return nil // topo ended before it changed anything
	}
	if err != nil {
		return err
	}
	p := &pending{}
	if err := json.Unmarshal(line, p); err != nil || p.Project != project || p.Token != token {
		return errors.Join(err, errors.New("there is nothing to watch over"))
	}
	back, err := decodeWayBack(p.State)
	if err != nil {
		return err
	}
	if err := p.write(); err != nil {
		return err
	}
	_, err = ready.WriteString("ok\n")
	if err := errors.Join(err, ready.Close()); err != nil && !errors.Is(err, unix.EPIPE) { // topo has ended: there will be no news
		return err
	}
	why, err := p.await(hear(told), caller)
	if err != nil {
		return err
	}
	return p.putBack(back, why)
}

// hear gives the news as they come; closed when topo has ended.
func hear(news io.Reader) <-chan byte {
	heard := make(chan byte)
	go func() {
		defer close(heard)
		one := make([]byte, 1)
		for {
			if _, err := io.ReadFull(news, one); err != nil {
				return
			}
			heard <- one[0]
		}
	}()
	return heard
}

// await returns when the state before is to be put back, and why.
func (p *pending) await(news <-chan byte, caller int) (why string, err error) {
	for {
		select {
		case word, alive := <-news:
			if alive && word != newsOver {
				continue
			}
			now, err := readPending(p.Project)
			switch {
			case err != nil:
				return "", err
			case now == nil || now.Until.IsZero():
				return "topo ended in the middle of it", nil
			}
			time.Sleep(time.Until(now.Until))
			return fmt.Sprintf("it was not confirmed within %s", p.Patience), nil
		case <-time.After(p.Patience):
			if err := unix.PidfdSendSignal(caller, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
				return "", fmt.Errorf("ending topo: %w", err)
			}
			return fmt.Sprintf("topo was stuck for %s", p.Patience), nil
		}
	}
}

// The watchman tries so many times, as what fails may be under way elsewhere.
const (
	tries    = 3
	tryPause = time.Second
)

// putBack puts the state before back, unless somebody has said meanwhile that it is not to be, and leaves word of it.
func (p *pending) putBack(back *wayBack, why string) error {
	ctx := context.Background()
	release, err := linux.LockProject(ctx, p.Project, linux.Wait{Limit: -1})
	if err != nil {
		return err
	}
	defer release() //nolint:errcheck // a lock ends with its holder
	now, err := readPending(p.Project)
	if err != nil || now == nil || now.Token != p.Token {
		return err
	}
	word := putBack{Project: p.Project, Began: p.Began, Why: why}
	for n := range tries {
		if n > 0 {
			time.Sleep(tryPause)
		}
		var plan strings.Builder
		err = back.alone(ctx, &plan)
		word.Plan += plan.String()
		if err == nil {
			break
		}
	}
	word.At = time.Now()
	if err != nil {
		word.Error = err.Error()
		now.Failed, now.Until = word.Error, word.At
		err = errors.Join(err, now.write())
	} else {
		err = linux.RemovePending(p.Project)
	}
	data, bad := json.Marshal(word)
	if bad == nil {
		bad = linux.WritePutBack(p.Project, data)
	}
	return errors.Join(err, bad)
}

// alone puts the state before back with nobody to look on.
func (b *wayBack) alone(ctx context.Context, plan io.Writer) error {
	m, err := openMachine()
	if err != nil {
		return err
	}
	defer m.Close()
	w := &changing{verb: "confirm --revert", project: b.run.Project, progress: progressPlain, out: plan, err: io.Discard}
	return b.carryOut(ctx, w, m)
}
