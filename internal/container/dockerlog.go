package container

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"time"

	"topo/internal/container/dockerapi"
)

// dockerLog brings what a container printed from the engine's log into topo's. The engine keeps it while there is no
// supervisor; the next one goes on where topo's log ends.
type dockerLog struct {
	n      *node
	rec    record
	log    *logWriter
	last   map[string]time.Time // of the newest entry, by stream
	cancel context.CancelFunc
	done   chan struct{}
}

func (n *node) openDockerLog(rec record) (*dockerLog, error) {
	last, err := lastEntries(n.log(n.name))
	if err != nil {
		return nil, err
	}
	log, err := openLog(n.log(n.name), n.limits)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := &dockerLog{n: n, rec: rec, log: log, last: last, cancel: cancel, done: make(chan struct{})}
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

// read takes what comes after that which the log has. The times of a stream rise, and parts of one line have the same.
func (d *dockerLog) read(ctx context.Context, follow bool) error {
	c, err := d.n.dockers.at(ctx, d.rec.Runtime)
	if err != nil {
		return err
	}
	known := map[string]time.Time{}
	var since time.Time
	for stream, at := range d.last {
		known[stream] = at
		if since.IsZero() || at.Before(since) {
			since = at
		}
	}
	if len(known) < len(streams) {
		since = time.Time{}
	}
	return c.Logs(ctx, d.rec.ContainerID, since, follow, func(p dockerapi.Printed) {
		if !p.At.After(known[p.Stream]) {
			return
		}
		d.last[p.Stream] = p.At
		d.log.write(p.Stream, p.At, p.Text)
	})
}

// finish reads the rest of what a container printed that has ended.
func (d *dockerLog) finish(limit time.Duration) error {
	d.cancel()
	<-d.done
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return errors.Join(d.read(ctx, false), d.log.close())
}

func (d *dockerLog) close() error {
	d.cancel()
	<-d.done
	return d.log.close()
}

// lastEntries gives the times of the newest entries of a log, by stream; of its newest file only.
func lastEntries(path string) (map[string]time.Time, error) {
	last := map[string]time.Time{}
	numbers, err := logFiles(path)
	if err != nil || len(numbers) == 0 {
		return last, err
	}
	f, err := os.Open(logFile(path, numbers[len(numbers)-1]))
	if errors.Is(err, fs.ErrNotExist) {
		return last, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	back := backward{f: f}
	if err := back.start(); err != nil {
		return nil, err
	}
	for len(last) < len(streams) {
		data, _, err := back.previous()
		if err != nil || data == nil {
			return last, err
		}
		var e entry
		if json.Unmarshal(data, &e) == nil && last[e.Stream].IsZero() {
			last[e.Stream] = e.Time
		}
	}
	return last, nil
}
