package dockerapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
)

// Printed is something that a container printed: a line, or a part of a long one.
type Printed struct {
	Stream string // "stdout" or "stderr"
	At     time.Time
	Text   []byte
}

// Logs gives what a container printed since a time in whole seconds, which may be zero, until it ends or ctx does; without
// follow, what is there: nothing of one that somebody has removed.
func (c *Client) Logs(ctx context.Context, id string, since time.Time, follow bool, take func(Printed)) error {
	options := client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: follow}
	if !since.IsZero() {
		options.Since = since.UTC().Format(time.RFC3339)
	}
	in, err := c.api.ContainerLogs(ctx, id, options)
	if noContainer(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = stdcopy.StdCopy(frames{"stdout", take}, frames{"stderr", take}, in)
	if errors.Is(err, io.EOF) || ctx.Err() != nil {
		return nil
	}
	return err
}

// frames takes one frame of the stream a call: a time, a space, and text.
type frames struct {
	stream string
	take   func(Printed)
}

// Write passes a frame on.
func (f frames) Write(frame []byte) (int, error) {
	stamp, text, _ := bytes.Cut(frame, []byte(" "))
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		at, text = time.Now(), frame
	}
	f.take(Printed{f.stream, at.UTC(), text})
	return len(frame), nil
}
