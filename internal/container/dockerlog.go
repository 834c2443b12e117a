package container

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"topo/internal/container/dockerapi"
)

// dockerLog brings what a container printed from the engine's log into topo's. The engine keeps it while there is no
// supervisor; the next one goes on where topo's log ends.
type dockerLog struct {
	n      *node
	rec    record
	log    *logWriter
	place  logPlace
	cancel context.CancelFunc
	done   chan struct{}
}

// logPlace is where a reader of an engine's log is: how many entries it has of the newest second, by stream. An engine
// can be asked for what is not older than a second, and Podman 4.3 tells no other times than whole ones.
type logPlace struct {
	second time.Time
	read   map[string]int
}

// passed reports whether an entry that is read again was there before; it is called once for each.
func (p logPlace) passed(stream string, at time.Time) bool {
	if p.read[stream] == 0 || !at.Truncate(time.Second).Equal(p.second) {
		return false
	}
	p.read[stream]--
	return true
}

func (p *logPlace) pass(stream string, at time.Time) {
	second := at.Truncate(time.Second)
	if p.read == nil || second.After(p.second) { // the first; an entry of another's hand may have no time
		*p = logPlace{second, map[string]int{}}
	}
	if second.Equal(p.second) {
		p.read[stream]++
	}
}

// openDockerLog goes on with a node's log; of a container that is new, nothing is there yet.
func (n *node) openDockerLog(rec record, fresh bool) (*dockerLog, error) {
	var place logPlace
	if !fresh {
		var err error
		if place, err = placeIn(n.log(n.name)); err != nil {
			return nil, err
		}
	}
	log, err := openLog(n.log(n.name), n.limits)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := &dockerLog{n: n, rec: rec, log: log, place: place, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(d.done)
		d.follow(ctx)
	}()
	return d, nil
}

// follow reads what is printed as it is, until ctx ends: engines end a stream early, and may be away for a while.
func (d *dockerLog) follow(ctx context.Context) {
	const pause = 200 * time.Millisecond
	for ctx.Err() == nil {
		_ = d.read(ctx, true) // finish has the last word
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// read takes what comes after that which the log has.
func (d *dockerLog) read(ctx context.Context, follow bool) error {
	c, err := d.n.dockers.at(ctx, d.rec.Runtime)
	if err != nil {
		return err
	}
	before := logPlace{d.place.second, maps.Clone(d.place.read)}
	return c.Logs(ctx, d.rec.ContainerID, d.place.second, follow, func(p dockerapi.Printed) {
		if before.passed(p.Stream, p.At) {
			return
		}
		d.place.pass(p.Stream, p.At)
		d.log.write(p.Stream, p.At, p.Text)
	})
}

// finish reads the rest of what a container printed that has ended; it asks an engine again that doesn't answer, or is away.
func (d *dockerLog) finish() error {
	d.cancel()
	<-d.done
	ctx, cancel := context.WithTimeout(context.Background(), enginePatience)
	defer cancel()
	const pause = 50 * time.Millisecond
	err := d.read(ctx, false)
	for err != nil && ctx.Err() == nil {
		time.Sleep(pause)
		err = d.read(ctx, false)
	}
	return errors.Join(err, d.log.close())
}

func (d *dockerLog) close() error {
	d.cancel()
	<-d.done
	return d.log.close()
}

// placeIn is where the reader was that wrote a log.
func placeIn(path string) (logPlace, error) {
	var place logPlace
	numbers, err := logFiles(path)
	if err != nil {
		return place, err
	}
	for _, number := range slices.Backward(numbers) {
		f, err := os.Open(logFile(path, number))
		if errors.Is(err, fs.ErrNotExist) {
			break // rotated away meanwhile, as are those before it
		}
		if err != nil {
			return place, err
		}
		more, err := place.countBack(f)
		if err := errors.Join(err, f.Close()); err != nil || !more {
			return place, err
		}
	}
	return place, nil
}

// countBack counts the entries of the newest second in a file; more says that there may be some in the one before.
func (p *logPlace) countBack(f *os.File) (more bool, err error) {
	back := backward{f: f}
	if err := back.start(); err != nil {
		return false, err
	}
	for {
		data, _, err := back.previous()
		if err != nil || data == nil {
			return true, err
		}
		var e entry
		if json.Unmarshal(data, &e) != nil {
			continue // written by a machine that crashed
		}
		if e.Time.Before(p.second) {
			return false, nil
		}
		p.pass(e.Stream, e.Time)
	}
}
